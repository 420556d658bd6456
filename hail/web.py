"""Hail over HTTP: request -> hit -> publish -> answer.

    GET /count          lenient parameters: 200 `OK`         GET /count.gif   always an image; `X-Hail: accepted`,
    POST /count         one hit, JSON or form: 202                            `X-Hail: dropped; reason=...` or `unconfirmed`
    POST /batch         many, an answer for each: 202        GET /count.js    the same as a script
    /USER/BUCKET/…      events of HiiTrack
    POST /track         hits of the browser tracker      GET /track/it     one, always an image
    /count_decision     the outcome of a decision, as /count takes a hit
    /flush_hail         ships what is spooled, now           /healthz /readyz /metrics /openapi.json
    /js/trackr.js       the tracker for pages

Promise: 2xx, or `X-Hail: accepted`, is given after the publisher has made the hit durable. Else nothing is promised:
400 is the caller's fault, 401, 413 and 503 say so. A 503 `unconfirmed` may be kept all the same. Every refusal is an
RFC 9457 body whose `code` is a word of hail.hit.Reason, and is counted under it.
"""

import atexit
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import bottle

from hail import access, message, openapi
from hail.accept import Acceptor, Refused
from hail.access import Caller, Environ
from hail.answers import CORS, EXPOSED, HttpAnswer, answer, json_answer, refusal, text_answer
from hail.callers import Callers
from hail.formats import FORMATS, Format, Handler
from hail.formats.address import PARAMETERS
from hail.formats.segment import CALLS
from hail.hit import HitError, Reason
from hail.message import ACCOUNT
from hail.metrics import CONTENT_TYPE, METRICS_FOLDER, exposition
from hail.problem import Unrouted
from hail.publish import Publisher
from hail.scripts import RULE, Scripts
from hail.settings import Settings, load
from hail.visits import Visits

if TYPE_CHECKING:
    from hail.informed import Informed  # which makes metrics, and is there only where an internal key is set

log = logging.getLogger("hail.web")

FLUSH_S = 120
FEWEST_SLASHES = 3  # of HiiTrack's addresses
# Where each request has a thread of its own (granian), the publisher waits its turn at every step of a confirm. At Python's 5 ms a turn
# the steps of one large message took longer than the time that the broker has, and all hits of the next seconds went to the spool.
TURN_S = 0.0005
PREFLIGHT = access.preflight("Content-Encoding")


class Hail(bottle.Bottle):
    """The routes. What counts, the many, takes a short way past Bottle's request and response."""

    def __init__(self, acceptor: Acceptor, account: str, informed: "Informed | None" = None):
        super().__init__()
        self.acceptor, self.informed = acceptor, informed
        settings = acceptor.settings
        self.access = access.Access(
            settings, settings.hail_bind, account, by_directory=_by_directory(informed, settings)
        )
        acceptor.caller_of = self.access.caller_of
        self._flushing = threading.Lock()
        self._unrouted = Unrouted(log, "Whale", acceptor.settings.whale_bind, "see the log")
        self._unrouted.add_to(self)
        add_filters(self)
        self._short: dict[tuple[str, str], Handler] = {}
        self._counting: dict[str, Format] = {}
        for format_ in (made(acceptor) for made in FORMATS):
            self._add_format(format_)
        for method in ("GET", "POST"):
            self._add("/flush_hail", method, self.flush)
        self._add("/healthz", "GET", self.healthz)
        self._add("/readyz", "GET", self.readyz)
        self._add("/metrics", "GET", self.metrics)
        self._add(RULE, "GET", Scripts().get)
        self._add("/openapi.json", "GET", lambda caller, environ: json_answer(200, openapi.document(), EXPOSED))
        self.route("/flush_hail", "HEAD", lambda: "")
        self._add("/flush_hail", "OPTIONS", lambda caller, environ: text_answer(200, "", {**EXPOSED, **PREFLIGHT}))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if said := self.access.stranger(environ):
            found = self._to_stranger(environ, said)
        elif (environ["REQUEST_METHOD"], environ.get("PATH_INFO")) in self._short:
            found = self._count(environ)
        else:
            return self.wsgi(environ, start_response)
        start_response(found.status, list(found.headers))
        return [found.body]

    @property
    def short_routes(self) -> Collection[tuple[str, str]]:
        """Method and path of those that `short` answers."""
        return self._short.keys()

    def short(self, environ: Environ) -> HttpAnswer:
        """As by WSGI, to one of `short_routes`."""
        said = self.access.stranger(environ)
        return self._to_stranger(environ, said) if said else self._count(environ)

    def _count(self, environ: Environ) -> HttpAnswer:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        try:
            found = self._short[method, path](self.access.caller(environ), environ)
        except Exception as error:  # whatever it was, the caller has an answer
            return json_answer(500, self._unrouted.failed(error, path), CORS, "problem+json")
        if method == "POST" and found.status.startswith("401"):  # whose names Bottle wrote like this
            return found._replace(headers=[(name.title(), value) for name, value in found.headers])
        return found

    def _add_format(self, format_: Format) -> None:
        for (method, path), handler in format_.routes.items():
            right = access.right_of(path, method)
            if right.pages is access.Pages.ANY:
                self._add(path, method, handler)
                if "<" not in path:
                    self._short[method, path] = handler
            else:
                self._add(path, method, self._of_pages(right, handler))
            if path not in self._counting:
                self._counting[path] = format_
                preflight = {**PREFLIGHT, "Access-Control-Allow-Methods": access.methods_of(path)}
                self._add(path, "OPTIONS", _answering({**CORS, **preflight}))
                # Bottle would answer it by GET, and count
                self._add(path, "HEAD", _answering(CORS))

    def _add(self, path: str, method: str, handler: Handler) -> None:
        right = access.right_of(path, method, "GET", "POST", "PUT")

        def call(**_: str) -> bottle.HTTPResponse:
            environ = bottle.request.environ
            found = handler(self.access.caller(environ), environ)
            if right.pages is access.Pages.ANY:
                return bottle.HTTPResponse(found.body, found.status, found.headers)
            headers = [header for header in found.headers if header[0] != access.ALLOW_ORIGIN]
            headers += self.access.readers(right, environ).items()
            return bottle.HTTPResponse(found.body, found.status, headers)

        self.route(path, method, call)

    def _of_pages(self, right: access.Right, handler: Handler) -> Handler:
        """Refuses pages that may not do this."""

        def answered(caller: Caller, environ: Environ) -> HttpAnswer:
            if said := self.access.foreign_page(right, environ):
                return refusal(Refused(Reason.FOREIGN_ORIGIN, said))
            return handler(caller, environ)

        return answered

    def _to_stranger(self, environ: Environ, said: str) -> HttpAnswer:
        format_ = self._counting.get(environ.get("PATH_INFO", ""))
        error = Refused(Reason.KEYLESS, said, hits=int(format_ is not None))
        return format_.refuse(error, environ) if format_ else refusal(error)

    def flush(self, caller: Caller, environ: Environ) -> HttpAnswer:
        """Ships what is spooled, now."""
        try:
            self.acceptor.parameters(environ.get("QUERY_STRING", ""), PARAMETERS)
            self.acceptor.let_in(
                access.Caller(caller.account) if caller.key or caller.hash else caller
            )  # it is about all accounts
            right = access.right_of(environ["PATH_INFO"], environ["REQUEST_METHOD"])
            if said := self.access.foreign_page(right, environ):
                raise Refused(Reason.FOREIGN_ORIGIN, said, hits=0)
        except HitError as error:
            return refusal(Refused.by(error))
        except Refused as error:
            return refusal(error)
        worked, said = self._run_hailwail()
        return text_answer(200, f"OK\n{said}\n", {}) if worked else text_answer(503, f"{said}\n", {"Retry-After": "5"})

    def _run_hailwail(self) -> tuple[bool, str]:
        """Once: did it work, and what it said. One at a time."""
        if not self._flushing.acquire(blocking=False):
            return False, "hailwail is already running"
        try:
            self.acceptor.publisher.seal()
            command = [sys.executable, "-m", "whale.count.hailwail"]
            if not self.acceptor.settings.broker_url:
                command.append("--apply")
            # else it would leave two files among those of this service, for metrics that nobody reads
            environ = {name: value for name, value in os.environ.items() if name != METRICS_FOLDER}
            done = subprocess.run(command, capture_output=True, text=True, timeout=FLUSH_S, env=environ)
            return done.returncode == 0, (done.stdout + done.stderr).strip()
        except subprocess.TimeoutExpired:
            return False, f"hailwail has not finished after {FLUSH_S} s"
        finally:
            self._flushing.release()

    def healthz(self, caller: Caller, environ: Environ) -> HttpAnswer:
        return text_answer(200, "OK\n", {})

    def readyz(self, caller: Caller, environ: Environ) -> HttpAnswer:
        self.acceptor.publisher.start()
        status = self.acceptor.publisher.status()
        ready = status["spool"] == "ok"  # with a broker, too, a hit is taken only where there is room for it
        known = {}
        if self.informed:
            age = self.informed.age_s()
            known = {"directory_age_s": None if age is None else round(age, 1)}
        return json_answer(200 if ready else 503, {"ready": ready, **status, **known}, {})

    def metrics(self, caller: Caller, environ: Environ) -> HttpAnswer:
        return answer(200, exposition(), CONTENT_TYPE, {})


def _by_directory(informed: "Informed | None", settings: Settings) -> "access.ByDirectory | None":
    if informed is None:
        return None
    takes_early = (
        settings.message_version > message.VERSION
    )  # readers of that version would count them for the account default
    return Callers(informed.key_of, informed.directory.site, lambda: informed.is_known, takes_early).caller


def _answering(headers: Mapping[str, str]) -> Handler:
    """What answers nothing but these."""
    return lambda caller, environ: text_answer(200, "", headers)


def _ids_of(informed: "Informed | None") -> Callable[[str], str | None]:
    """The id of the account with a name. Without a directory there is one alone, whose name is its id."""
    if informed is None:
        return lambda name: name
    directory = informed.directory

    def found(name: str) -> str | None:
        account = directory.account_named(name)
        return account.id if account else name if name == ACCOUNT else None

    return found


def add_filters(app: bottle.Bottle) -> None:
    """What of an address may name an account, a bucket, an event and a call of Segment's. A slash behind it means nothing."""
    for name, pattern in (
        ("account", "[^/]+"),
        ("bucket", "[^/]+"),
        ("word", "[^/]+"),
        ("name", "(?s:.+)"),
        ("call", CALLS),
    ):
        app.router.add_filter(name, lambda _, pattern=pattern: (pattern, lambda text: text.removesuffix("/"), None))

    @app.hook("before_request")
    def no_slash_behind_a_word() -> None:
        environ = bottle.request.environ
        path = environ["PATH_INFO"]
        if path.endswith(("/jsonp/", "/batch/")) and path.count("/") > FEWEST_SLASHES:
            environ["PATH_INFO"] = path[:-1]


def make_app(
    settings: Settings,
    publisher: Publisher,
    clock: Callable[[], float] = time.time,
    account: str = ACCOUNT,
    informed: "Informed | None" = None,
) -> Hail:
    """The WSGI application. clock: epoch seconds.  account: whose the keys of the settings are.  informed: of all other keys."""
    visits = Visits(settings, informed.directory.site, os.urandom) if informed and settings.visitor_log else None
    told = (informed.directory, informed.salt_in, lambda: informed.told_at) if informed else ()
    acceptor = Acceptor(settings, publisher, clock, visits, _ids_of(informed), *told)
    return Hail(acceptor, account, informed)


def __getattr__(name: str) -> Any:
    """`gunicorn hail.web:application`: made when it is first asked for, so in the process that serves it.

    Raises SettingsError with a sentence, and the server does not start.
    """
    if name != "application":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    settings = load(os.environ)
    access.check_bind(settings.hail_bind, settings)
    sys.setswitchinterval(TURN_S)
    publisher = Publisher(settings)
    atexit.register(publisher.close)
    informed = None
    if settings.internal_key:
        from hail.informed import Informed

        informed = Informed(settings)
        informed.start()
    globals()["application"] = app = make_app(settings, publisher, informed=informed)
    return app

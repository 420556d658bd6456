"""What all routes of Whale share: keys, what a request gave, and what is answered where something is raised.

    request ── key, page ──> what is asked ──> the route ──> its answer; 304 where the asker has it already
                                                   └─ raises ──> 400 | 401 | 403 | 404 | 409 | 413 | 429 | 503, as an RFC 9457 body

Which key a route asks for, which right a user needs, and which pages may send and read, stands in the table of hail/access.py; a route
without a row there stops the start. A user comes by Basic, or by the cookie of a session. Browsers send both by themselves, so a cookie
opens what changes something to own pages alone, and a password to those that are listed.

A key of one site and a browser key are limited: there is no Whale for them until it was found that the request is about what they open.
So a route that forgets to say what it is about answers 403.

The methods of Door are about the request that is being answered, which Bottle keeps for each thread.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

import bottle
import msgspec
from prometheus_client import Histogram

from hail import access
from hail.callers import Callers, is_secret
from hail.cookies import scheme_of
from hail.hit import HitError, Reason, lenient
from hail.message import ACCOUNT
from hail.settings import Settings
from whale.decide.definition import Definition, decision_shown
from whale.errors import CallerError, Conflict, Gone, NotAllowed, NotFound, TooSoon, Unavailable, UnknownEvent
from whale.keys import Keys
from whale.logins import Logins
from whale.routes.asked import DecideAsked, Subject
from whale.routes.negotiation import negotiated, vary
from whale.routes.parameters import A, about_asked, asked_of, body_of, hit_fields, pks_of, query_of
from whale.routes.responses import EXPOSED, Problem, text_answer, unavailable
from whale.sessions import from_own_page

if TYPE_CHECKING:
    from whale.client import Whale
    from whale.library.whales import Whales

ASKED, CALLER, CLEARED = "hailwhale.asked", "hailwhale.caller", "hailwhale.cleared"
CREDENTIALS = ("Authorization", "Cookie", "X-API-Key")
"""Headers by which one asker gets another answer than the next one."""
PREFLIGHT = access.preflight("If-None-Match", "X-API-Key")
ANSWER_SECONDS = Histogram("hailwhale_answer_seconds", "Time of an answer, by route", ["route"])


class Elsewhere(Exception):
    """The answer is at another address of this service."""


class Guarded(bottle.Bottle):
    """An application that answers no stranger."""

    def __init__(self, doors: access.Access, below: Mapping[str, Mapping[str, str]] | None = None):
        """below: headers of all answers at paths that begin so, whoever gives them, refusals too."""
        super().__init__()
        self._doors, self._below = doors, below or {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        for start, headers in self._below.items():
            if environ["PATH_INFO"].startswith(start):
                start_response = _with(start_response, headers)
        if said := self._doors.stranger(environ):
            refused = Problem(403, Reason.KEYLESS, said).response()
            start_response(refused.status_line, refused.headerlist)
            return [refused.body]
        return self.wsgi(environ, start_response)


def _with(start_response: Any, headers: Mapping[str, str]) -> Any:
    def started(status: str, given: list[tuple[str, str]], *more: Any) -> Any:
        rest = [(name, value) for name, value in given if name not in headers]
        return start_response(status, [*rest, *headers.items()], *more)

    return started


class Door:
    """In front of every route. For many threads.

    whales: None where nothing is answered.  logins: None where nobody can log in.  keys: None where the directory has none.
    bind: where the service listens, if it is not Whale.
    """

    def __init__(
        self,
        settings: Settings,
        whales: "Whales | None" = None,
        logins: Logins | None = None,
        keys: Keys | None = None,
        bind: str = "",
    ):
        self.settings, self._whales, self.logins, self.keys = settings, whales, logins, keys
        self.account = whales.own.account if whales else ACCOUNT
        by_directory = Callers(keys.key_of, keys.site_of, lambda: True).caller if keys else None
        self.access = access.Access(settings, bind or settings.whale_bind, self.account, "HTTP_X_API_KEY", by_directory)

    def add(
        self,
        app: bottle.Bottle,
        rule: str,
        methods: Sequence[str],
        answer: Callable[..., Any],
        kind: type[msgspec.Struct] | None = None,
    ) -> None:
        """A route, timed under the name of what answers. kind: of a question, which is handed to what answers."""
        for method in methods:
            app.route(rule, method, self._answering(access.right_of(rule, method), answer, kind))

    def add_plain(self, app: bottle.Bottle, rule: str, answer: Callable[[], Any]) -> None:
        """GET of a route that asks for nothing, and is not timed."""
        right = access.right_of(rule, "GET")
        app.route(rule, "GET", lambda: self.readable(answer(), right))

    def add_options(self, app: bottle.Bottle, rule: str, *first: str) -> None:
        """What a browser wants to know before a page of another site may ask. first: the method whose pages may, where others may less."""
        right = access.right_of(rule, *first, "GET", "POST", "DELETE", "PUT")
        headers = {**EXPOSED, **PREFLIGHT, "Access-Control-Allow-Methods": access.methods_of(rule)}
        app.route(rule, "OPTIONS", lambda **_: self.readable(bottle.HTTPResponse("", 204, headers), right))

    def add_options_and_head(self, app: bottle.Bottle, rule: str) -> None:
        """OPTIONS and HEAD of a route that counts: Bottle would answer HEAD by GET, and count."""
        right = access.right_of(rule, "GET", "POST")
        self.add_options(app, rule)
        app.route(rule, "HEAD", lambda **_: self.readable(text_answer("", headers=EXPOSED), right))

    def readable(self, found: Any, right: access.Right) -> Any:
        """The answer as the asker takes it, with the headers that say which pages may read it."""
        environ = bottle.request.environ
        for name, value in self._readers(right, environ).items():
            if name == "Vary":
                vary(found, value)
            else:
                found.set_header(name, value)
        if self.is_known:  # a browser may keep it, and somebody else log in
            for value in CREDENTIALS:
                vary(found, value)
        return negotiated(found, environ)

    def _readers(self, right: access.Right, environ: Mapping[str, Any]) -> Mapping[str, str]:
        """A page with a browser key may read the answer, whatever the settings list. Before it asks it shows no key."""
        caller: access.Caller | None = environ.get(CALLER)
        origin = environ.get("HTTP_ORIGIN")
        if origin and caller and caller.may(access.BROWSER) and not caller.foreign:
            return {"Vary": "Origin", access.ALLOW_ORIGIN: origin}
        if right.public and environ["REQUEST_METHOD"] == "OPTIONS":
            return {access.ALLOW_ORIGIN: access.ANY_ORIGIN}
        return self.access.readers(right, environ)

    def _answering(
        self, right: access.Right, answer: Callable[..., Any], kind: type[msgspec.Struct] | None
    ) -> Callable[..., Any]:
        seconds = ANSWER_SECONDS.labels(answer.__name__)

        def answered(**named: str) -> Any:
            try:
                with seconds.time():
                    self.check(right)
                    question = (self.asked(kind),) if kind else ()
                    if kind and self.caller.site is not None and not self.is_page:
                        self._check_pks(*question)
                    found = answer(*question, **named)
                    if self.caller.site is not None:
                        found.headers.pop("X-Whale-Unknown", None)  # it names what is near, also of other pks
            except Elsewhere as elsewhere:
                return bottle.HTTPResponse("", 303, {"Location": str(elsewhere), "Cache-Control": "no-store"})
            except (Problem, CallerError, HitError, Unavailable) as error:
                return self.readable(problem_of(error).response(), right)
            return self.readable(found, right)

        return answered

    def check(self, right: access.Right) -> None:
        """Finds out who the caller is.

        Raises Problem 401 where the key is missing, and 403 where the page that sent the request may not do so.
        Where a user came: NotAllowed, TooSoon, Busy, Unavailable.
        """
        environ = bottle.request.environ
        caller = environ[CALLER] = self.access.caller_at(right, environ)
        if (
            right.key is not None
            and not self.access.locked
            and not caller.key
            and (user := self._named(right, environ))
        ):
            environ[CALLER] = user
        elif not caller.opens(right) and not (right.sealed and self.is_sealed()):
            is_key = bool(caller.rights) or is_secret(self.access.secret(environ))
            user = None if is_key or right.key == access.INTERNAL else self._user(right, environ)
            if user is None:
                if right.rule == "/" and self._asks_for_a_page(environ):
                    raise Elsewhere(
                        f"/login?next={quote(f'/?{query}' if (query := environ['QUERY_STRING']) else '/', safe='')}"
                    )
                ways = "" if right.key == access.INTERNAL else ", as the Basic password or as key=KEY in the address"
                expected = f"expected the {right.key} key: as a Bearer token{ways}"
                raise Problem(401, Reason.UNAUTHORIZED, expected)
            environ[CALLER] = user
        if right.pages is access.Pages.OWN:
            self._check_own_page()
        if self.is_page and caller.foreign:
            raise Problem(403, Reason.FOREIGN_ORIGIN, caller.foreign)
        if not self.is_page:
            self._check_page(right)
        if caller.site is not None and not right.of_site and not self.is_page:
            raise self._not_of_site()

    def _named(self, right: access.Right, environ: dict[str, Any]) -> access.Caller | None:
        """Where no key is set: the user whom a cookie names, or a name of Basic. Other names are of a proxy, and mean nothing.

        Raises as `check`; Problem 401 where the password of a user is wrong.
        """
        if self.logins is None or not (environ.get("HTTP_AUTHORIZATION") or environ.get("HTTP_COOKIE")):
            return None
        if environ.get("HTTP_AUTHORIZATION") and not self.logins.names_a_user(environ):
            return None
        user = self._user(right, environ)
        if user is None and environ.get("HTTP_AUTHORIZATION"):
            raise Problem(401, Reason.UNAUTHORIZED, "the name or the password is wrong")
        return user

    def user_at(self, right: access.Right, environ: dict[str, Any]) -> access.Caller | None:
        """The user who asks for a route, whatever they may; None where none came."""
        if self.logins is None:
            return None
        if environ.get("HTTP_AUTHORIZATION"):
            user = self.logins.by_basic(environ)
            if user and right.pages is access.Pages.ANY:  # no page needs to know the password of a user
                self._check_page(replace(right, pages=access.Pages.CHANGE))
            return user
        user = self.logins.by_cookie(environ)
        if user and right.pages in (access.Pages.ANY, access.Pages.CHANGE):
            self._check_own_page()
        return user

    def _user(self, right: access.Right, environ: dict[str, Any]) -> access.Caller | None:
        """The user who opens a route; None where none came."""
        user = self.user_at(right, environ)
        if user is None:
            return None
        check_user(user, right)
        return user

    def _asks_for_a_page(self, environ: dict[str, Any]) -> bool:
        """Whether a person asks by a browser, without a key or a password, and could log in. Raises Unavailable."""
        is_person = "text/html" in environ.get("HTTP_ACCEPT", "") and not environ.get("HTTP_AUTHORIZATION")
        return bool(is_person and self.settings.secret and self.logins and self.logins.has_users(self.account))

    def _check_page(self, right: access.Right) -> None:
        """Raises Problem 403 where the page that sent the request may not do so."""
        if said := self.access.foreign_page(right, bottle.request.environ):
            raise Problem(403, Reason.FOREIGN_ORIGIN, said)

    def _check_own_page(self) -> None:
        """Raises Problem 403 where no page of this service sent the request."""
        environ = bottle.request.environ
        if not from_own_page(environ, scheme_of(environ, self.settings.trusted_proxies)):
            came = environ.get("HTTP_ORIGIN")
            said = "no Origin" if came is None else f"the Origin {came[: access.MAX_SHOWN]!a}"
            host = ascii(environ.get("HTTP_HOST", "")[: access.MAX_SHOWN])
            raise Problem(403, Reason.FOREIGN_ORIGIN, f"expected a page of this service, {host}, got {said}")

    def let_in(self, caller: access.Caller) -> None:
        """Who sent the request, as something else than a key or a password says."""
        bottle.request.environ[CALLER] = caller

    @property
    def caller(self) -> access.Caller:
        """Who sent the request; known once the key was looked at."""
        found: access.Caller = bottle.request.environ[CALLER]
        return found

    def is_about(self, account: str) -> bool:
        """From here on the request is about this account, as what it holds says, without any right. False where there is none."""
        bottle.request.environ[CALLER] = access.Caller(account)
        return self._whales is not None and self._whales.has(account)

    @property
    def is_page(self) -> bool:
        """Whether a page asks by a browser key."""
        return self.caller.may(access.BROWSER)

    @property
    def whale(self) -> "Whale":
        """That answers about the caller's account. Raises NotAllowed of a limited key, until it is clear that it may."""
        if self.caller.site is not None and CLEARED not in bottle.request.environ:
            raise self._not_of_site()
        return self.whale_of_account

    @property
    def whale_of_account(self) -> "Whale":
        """The same for whoever finds out what a limited key may."""
        if self._whales is None:
            raise LookupError("nothing is answered here")
        return self._whales.of(self.caller)

    def clear(self) -> None:
        """The request is about what its key opens."""
        bottle.request.environ[CLEARED] = True

    def check_pk(self, pk: Any) -> None:
        """Of a key of one site: raises NotAllowed where a pk, as it came, is none of the site."""
        if self.caller.site is None or self.is_page:
            return
        first = pk[0] if isinstance(pk, list | tuple) and pk else pk
        if not isinstance(first, str) or first != self.caller.site:
            raise self._not_of_site()
        self.clear()

    def _check_pks(self, question: Any) -> None:
        """The same of a question. One about everything, or about a managed decision, is not about the site."""
        if isinstance(question, DecideAsked) and not question.options:
            raise self._not_of_site()
        for pk in pks_of(question) if isinstance(question, Subject) else [lenient("pk", getattr(question, "pk", ""))]:
            self.check_pk(pk)

    def _not_of_site(self) -> NotAllowed:
        what = (
            "public decisions" if self.is_page else f"pks that begin with {ascii(self.caller.site)[: access.MAX_SHOWN]}"
        )
        return NotAllowed(f"this key opens {what} alone")

    @property
    def clock(self) -> Callable[[], float]:
        """Epoch seconds."""
        if self._whales is None:
            raise LookupError("nothing is answered here")
        return self._whales.own.clock

    @property
    def is_known(self) -> bool:
        """Whether the request came from somebody who stands in the directory of accounts."""
        caller: access.Caller | None = bottle.request.environ.get(CALLER)
        return caller is not None and (caller.user is not None or bool(caller.key))

    @property
    def has_session(self) -> bool:
        """Whether the request was let in by the cookie of a user."""
        return self.caller.user is not None and not bottle.request.environ.get("HTTP_AUTHORIZATION")

    @property
    def proxied(self) -> str:
        """http or https, as the trusted proxy was asked that handed the request on; empty where there is none."""
        environ = bottle.request.environ
        said = environ.get("HTTP_X_FORWARDED_PROTO", "")
        trusts = said in ("http", "https") and access.is_trusted(environ.get("REMOTE_ADDR", ""), self.settings)
        return str(said) if trusts else ""

    def is_sealed(self) -> bool:
        """Does a sealed pixel say what is counted?"""
        return "pixel" in dict(parse_qsl(bottle.request.environ.get("QUERY_STRING", ""), errors="replace"))

    def asked(self, kind: type[A]) -> A:
        """The question of the request; raises CallerError, HitError, Problem."""
        environ = bottle.request.environ
        query = query_of(environ, self.settings.max_body_bytes)
        asked = environ[ASKED] = asked_of(query, kind, self.settings.ignored_parameters)
        return asked

    def given(self, *more: str) -> dict[str, Any]:
        """The fields of the hit in the request. more: names beside a hit's.  Raises CallerError, HitError, Problem, NotAllowed."""
        given = hit_fields(bottle.request.environ, self.settings, more)
        if "pk" in given:
            self.check_pk(given["pk"])
        return given

    def body(self) -> bytes:
        """Raises HitError, Problem."""
        return body_of(bottle.request.environ, self.settings.max_body_bytes)


def check_user(user: access.Caller, right: access.Right) -> None:
    """Raises NotAllowed where a user has not the right of a route."""
    if not user.opens(right):
        raise NotAllowed(f"you need the right {right.of_user.replace(':', ' ')}")


def problem_of(error: Problem | CallerError | HitError | Unavailable) -> Problem:
    """The answer that an error means."""
    match error:
        case Problem():
            return error
        case UnknownEvent():
            return Problem(404, error.code, str(error), error.field, near=error.near)
        case NotFound():
            return Problem(404, error.code, str(error), error.field)
        case Gone():
            return Problem(410, error.code, str(error), error.field)
        case Conflict():
            current = decision_shown(error.current) if isinstance(error.current, Definition) else error.current
            return Problem(409, error.code, str(error), error.field, current=current)
        case NotAllowed():
            return Problem(403, error.code, str(error), error.field)
        case TooSoon():
            return Problem(429, error.code, str(error), error.field, headers={"Retry-After": str(error.after_s)})
        case CallerError():
            about = about_asked(error, bottle.request.environ.get(ASKED))
            return Problem(400, about.code, str(about), about.field)
        case HitError():
            return Problem(400, error.reason, str(error), error.field)
        case Unavailable():
            return unavailable(error)


class OfCaller:
    """What routes of one subject share: a request is about the account of its caller."""

    def __init__(self, door: Door):
        self._door = door

    @property
    def _whale(self) -> "Whale":
        return self._door.whale

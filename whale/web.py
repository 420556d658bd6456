"""Whale over HTTP: request -> one question -> JSON.

    GET  /plotpoints   {path: {metric: [[epoch ms, number], ...]}}   pk dimensions metrics period depth sort limit
    GET  /totals       {period: {path: {metric: number}}}            pk dimensions metrics period | periods
    GET  /pks          [pk, ...]                                     pk: the ones below it
    GET  /metrics_of   [metric, ...]                                 pk
    GET  /count_now    OK: counted (also POST, JSON or a form)       as Hail's /count
    GET  /             a page for people        /healthz /readyz /metrics

Promise: a question never writes. `OK` from /count_now means counted. A caller's fault is 400 with the field, in an RFC
9457 body; 503 with Retry-After means that the store is away. What was never counted reads 0 or empty.
"""

import difflib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import bottle
import msgspec
import prometheus_client
from prometheus_client import Counter, Histogram, multiprocess

from hail import access
from hail.hit import FIELDS, HitError, Reason, lenient
from hail.settings import Settings, load
from whale.client import Whale
from whale.dimension import Pk, pk_text
from whale.embedded import redis_url_of
from whale.errors import CallerError, Unavailable
from whale.page import POLICY, Row, render

log = logging.getLogger("whale.web")

STORE_TIMEOUT_S = 0.4  # three tries of it, so that a request is refused within about a second
MAX_PARAMETERS = 100
MAX_PERIODS = 100
DEFAULT_LIMIT = 10
PAGE_PKS, PAGE_CHILDREN, PAGE_METRICS = 50, 5, 8
HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "86400",
}
PLURAL = {"dimension": "dimensions", "metric": "metrics"}
TYPED = frozenset(("pk", "at", "metric", "metrics", "dimension", "dimensions"))
ASKED = ("pk", "dimensions", "dimension", "metrics", "metric")

ANSWER_SECONDS = Histogram("hailwhale_answer_seconds", "Time of an answer, by route", ["route"])
REFUSED = Counter("hailwhale_questions_refused", "Questions that were not answered, by code", ["code"])


class Problem(Exception):
    """Ends a request with an RFC 9457 body."""

    def __init__(self, status: int, code: str, detail: str, field: str = "", headers: Mapping[str, str] | None = None):
        super().__init__(detail)
        self.status, self.code, self.field, self.headers = status, code, field, headers or {}

    def response(self) -> Any:
        REFUSED.labels(self.code).inc()
        body: dict[str, Any] = {
            "type": f"urn:hailwhale:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.status,
            "detail": str(self),
            "code": self.code,
        }
        if self.field:
            body["field"] = self.field
        return _json(body, self.status, self.headers, "application/problem+json")


def parameters(text: str, names: Iterable[str]) -> dict[str, str]:
    """The named parameters of a query or a form; an empty value is none. `key` and `_...` may be there too.

    Raises CallerError: what is misspelt would change the answer without a word.
    """
    expected = tuple(names)
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(text, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError as error:
        raise CallerError(f"expected UTF-8, got byte {error.object[error.start]:#04x}", "query") from None
    except ValueError:
        raise CallerError(f"expected at most {MAX_PARAMETERS} parameters", "query") from None
    for name, value in pairs:
        if name in found:
            raise CallerError("came twice", name)
        if name in expected or name == "key":
            found[name] = value
        elif not name.startswith("_"):
            near = difflib.get_close_matches(name[:60], expected, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(expected)}"
            raise CallerError(f"is not a parameter here: {hint}", ascii(name[:60])[1:-1])
    for name, plural in PLURAL.items():
        if name in found and plural in found:
            raise CallerError(f"came twice, as {plural} and as {name}", plural)
    return found


def subject(given: Mapping[str, str]) -> dict[str, Any]:
    """The common parameters, decoded; raises HitError."""
    return {
        "pk": _typed(given, "pk"),
        "dimensions": _typed(given, "dimensions" if "dimensions" in given else "dimension"),
        "metrics": _typed(given, "metrics" if "metrics" in given else "metric"),
    }


def _typed(given: Mapping[str, str], name: str) -> Any:
    return lenient(name, given[name]) if name in given else None


def _whole(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise CallerError(f"expected a whole number, got {ascii(text)[:60]}", name)
    return int(text)


def periods_of(given: Mapping[str, str]) -> list[str] | None:
    """The periods of /totals: one, or several as a JSON list or with commas; None where none is asked."""
    if "period" in given and "periods" in given:
        raise CallerError("came twice, as periods and as period", "periods")
    text = given.get("periods") or given.get("period")
    if text is None:
        return None
    found = lenient("periods", text)
    if isinstance(found, str):
        found = [part.strip() for part in found.split(",")]
    if not isinstance(found, list) or not found or not all(isinstance(part, str | int) for part in found):
        raise CallerError(f"expected a list of periods, got {ascii(text)[:60]}", "periods")
    if len(found) > MAX_PERIODS:
        raise CallerError(f"expected at most {MAX_PERIODS}, got {len(found)}", "periods")
    return [str(part) for part in found]


def hit_given(environ: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """The fields of a hit, from the query or the body, as Hail's /count takes them.

    Raises CallerError, HitError, Problem.
    """
    given = parameters(environ.get("QUERY_STRING", ""), FIELDS)
    body = _body(environ, limit) if environ["REQUEST_METHOD"] == "POST" else b""
    if body and not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise HitError(Reason.BAD_JSON, "body", f"expected JSON: {error}") from None
        if not isinstance(found, dict):
            raise HitError(Reason.BAD_JSON, "body", f"expected a hit as an object, got {type(found).__name__}")
        return found
    if body:
        try:
            given = parameters(body.decode(), FIELDS)
        except UnicodeDecodeError:
            raise CallerError("expected UTF-8", "body") from None
    given.pop("key", None)
    return {name: lenient(name, value) if name in TYPED else value for name, value in given.items()}


def _body(environ: Mapping[str, Any], limit: int) -> bytes:
    text = environ.get("CONTENT_LENGTH") or "0"
    size = int(text) if text.isdecimal() else 0
    if size > limit:
        raise Problem(413, Reason.BODY_TOO_LARGE, f"body: expected at most {limit} bytes, got {size}", "body")
    return bytes(environ["wsgi.input"].read(size))


def _json(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None, content_type: str = "application/json"
) -> Any:
    more = {**CORS, "Cache-Control": "no-cache", "Content-Type": content_type, **(headers or {})}
    return bottle.HTTPResponse(msgspec.json.encode(body), status, more)


def _text(body: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
    more = {"Cache-Control": "no-store", "Content-Type": "text/plain; charset=utf-8", **(headers or {})}
    return bottle.HTTPResponse(body, status, more)


def make_app(settings: Settings, whale: Whale) -> bottle.Bottle:
    """The WSGI application over a Whale, which knows the store, the account and the clock."""
    app = bottle.Bottle()
    locked = any(getattr(settings, name.lower()) for name in access.KEYS)

    def check_key(*doors: str) -> None:
        if not locked:
            return
        parameter = dict(parse_qsl(bottle.request.environ.get("QUERY_STRING", ""), errors="replace")).get("key")
        key = access.given_key(bottle.request.environ.get("HTTP_AUTHORIZATION", ""), parameter)
        if not access.allowed(settings, key, *doors):
            asks = {"WWW-Authenticate": 'Bearer, Basic realm="whale"'}
            expected = f"expected the {doors[0]} key, as Bearer, Basic password or key="
            raise Problem(401, Reason.UNAUTHORIZED, expected, headers=asks)

    def answering(door: str, answer: Callable[[], Any]) -> Callable[[], Any]:
        """Checks the key, and turns what is raised into the answer it means."""
        seconds = ANSWER_SECONDS.labels(answer.__name__)

        def answered() -> Any:
            try:
                with seconds.time():
                    check_key(door)
                    return answer()
            except Problem as problem:
                return problem.response()
            except (CallerError, HitError) as error:
                code = error.code if isinstance(error, CallerError) else error.reason
                return Problem(400, code, str(error), error.field).response()
            except Unavailable as error:
                return unavailable(error).response()

        return answered

    def given(*names: str) -> dict[str, str]:
        return parameters(bottle.request.environ.get("QUERY_STRING", ""), names)

    def plotpoints() -> Any:
        asked = given(*ASKED, "period", "depth", "sort", "limit")
        return _json(
            whale.plotpoints(
                **subject(asked),
                depth=_whole(asked, "depth", 0),
                period=asked.get("period"),
                sort=asked.get("sort"),
                limit=_whole(asked, "limit", DEFAULT_LIMIT),
            )
        )

    def totals() -> Any:
        asked = given(*ASKED, "period", "periods")
        return _json(whale.totals(**subject(asked), periods=periods_of(asked)))

    def pks() -> Any:
        return _json([pk_text(pk) for pk in whale.pks(_typed(given("pk"), "pk"))])

    def metrics_of() -> Any:
        return _json(whale.metrics_of(_typed(given("pk"), "pk")))

    def count_now() -> Any:
        whale.count_hit(hit_given(bottle.request.environ, settings.max_body_bytes))
        return _text("OK", headers=CORS)

    def page() -> Any:
        host = bottle.request.environ.get("HTTP_HOST", "")
        host = host if HOST.fullmatch(host) else settings.whale_bind
        names = whale.pks()
        rows = []
        for pk in names[:PAGE_PKS]:
            below = whale.pks(pk)
            rows.append(_row(whale, pk, len(below[PAGE_CHILDREN:])))
            rows += [_row(whale, child) for child in below[:PAGE_CHILDREN]]
        hail = f"http://{_seen_from(host, settings.hail_bind)}"
        html = render(rows, max(0, len(names) - PAGE_PKS), hail, f"http://{host}", locked)
        headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return bottle.HTTPResponse(html, 200, {**headers, "Content-Type": "text/html; charset=utf-8"})

    def preflight() -> Any:
        return bottle.HTTPResponse("", 204, {**CORS, **PREFLIGHT})

    for door, answer in (
        ("read", plotpoints),
        ("read", totals),
        ("read", pks),
        ("read", metrics_of),
        ("write", count_now),
    ):
        path = f"/{answer.__name__}"
        app.route(path, ["GET", "POST"] if answer is count_now else "GET", answering(door, answer))
        app.route(path, "OPTIONS", preflight)
    app.route("/count_now", "HEAD", lambda: _text("", headers=CORS))  # Bottle would answer it by GET, and count
    app.route("/", "GET", answering("read", page))

    @app.get("/healthz")
    def healthz() -> Any:
        return _text("OK\n")

    @app.get("/readyz")
    def readyz() -> Any:
        try:
            whale.store.pks(whale.account)
        except Unavailable as error:
            return unavailable(error).response()
        return _json({"ready": True, "store": "up"})

    @app.get("/metrics")
    def metrics() -> Any:
        return bottle.HTTPResponse(_metrics(), 200, {"Content-Type": prometheus_client.CONTENT_TYPE_LATEST})

    def other_error(error: bottle.HTTPError) -> Any:
        if error.status_code == 500:
            log.error("%s: %r", bottle.request.path, error.exception, exc_info=error.exception)
        bottle.response.content_type = "application/problem+json"
        said = "see the log" if error.status_code == 500 else str(error.body)
        title = error.status_line.partition(" ")[2]
        return msgspec.json.encode(
            {"type": "about:blank", "title": title, "status": error.status_code, "detail": said}
        ).decode()

    app.default_error_handler = other_error
    return app


def unavailable(error: Unavailable) -> Problem:
    log.warning("%s", error)
    return Problem(
        503, "unavailable", "the store cannot be reached: try again in a second", headers={"Retry-After": "1"}
    )


def _seen_from(host: str, bind: str) -> str:
    """Where the reader of a page from `host` finds what listens on `bind`."""
    address, _, port = bind.rpartition(":")
    wildcard = address in ("0.0.0.0", "[::]")
    return f"{re.sub(':[0-9]+$', '', host)}:{port}" if wildcard else bind


def _row(whale: Whale, pk: Pk, more: int = 0) -> Row:
    metrics = whale.metrics_of(pk)[:PAGE_METRICS]
    return Row(pk, whale.totals(pk, metrics=metrics, periods=["today"])["today"]["_"], more)


def _metrics() -> bytes:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return bytes(prometheus_client.generate_latest())
    registry = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return bytes(prometheus_client.generate_latest(registry))


class Application:
    """`gunicorn whale.web:application`: reads the settings, and connects, in the process that serves."""

    def __init__(self) -> None:
        self._app: bottle.Bottle | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            app = self._app or self.load()
        except Unavailable as error:
            app = bottle.Bottle()
            app.route("/healthz", "GET", lambda: _text("OK\n"))
            app.route("<:re:.*>", "ANY", lambda error=error: unavailable(error).response())
        return app(environ, start_response)

    def load(self) -> bottle.Bottle:
        """Raises SettingsError and SetupError with a sentence, Unavailable while the store is away."""
        with self._lock:
            if self._app is None:
                settings = load(os.environ)
                access.check_bind(settings.whale_bind, settings)
                url = settings.redis_url or redis_url_of(settings.data_dir)
                settings = settings.replace(redis_url=url)
                self._app = make_app(settings, Whale.connect(settings, timeout_s=STORE_TIMEOUT_S))
            return self._app


application = Application()

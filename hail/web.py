"""Hail over HTTP: request -> hit -> publish -> answer.

    GET /count          lenient parameters: 200 `OK`         GET /count.gif   always an image; `X-Hail: accepted`,
    POST /count         one hit, JSON or form: 202                            `X-Hail: dropped; reason=...` or `unconfirmed`
    POST /batch         many, an answer for each: 202        GET /count.js    the same as a script
    /count_decision     the outcome of a decision, as /count takes a hit
    /flush_hail         ships what is spooled, now           /healthz /readyz /metrics /openapi.json

Promise: 2xx, or `X-Hail: accepted`, is given after the publisher has made the hit durable. Else nothing is promised:
400 is the caller's fault, 401, 413 and 503 say so. A 503 `unconfirmed` may be kept all the same. Every refusal is an
RFC 9457 body whose `code` is a word of hail.hit.Reason, and is counted under it.
"""

import atexit
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote_plus

import bottle
import msgspec

from hail import access, counters, openapi
from hail.access import Caller
from hail.body import json_of, read_body, readable_items
from hail.hit import (
    DECIDED_FIELDS,
    FIELDS,
    Hit,
    HitError,
    Reason,
    Timeless,
    encode_hit,
    lenient,
    parse_decided,
    parse_hit,
)
from hail.message import ACCOUNT, CAME_BYTES, Refusal
from hail.metrics import CONTENT_TYPE, METRICS_FOLDER, exposition
from hail.parameters import Read, accepted, names_shown, read, refuse_misspelt, refuse_unknown
from hail.pixel import hit_of_pixel
from hail.problem import elsewhere, is_utf8, other_method, plain_problem
from hail.publish import NotAccepted, Publisher
from hail.room import MEGABYTE, Bounded
from hail.secret import masked, secrets_of, without_keys
from hail.settings import Settings, load

log = logging.getLogger("hail.web")

GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90400000000002c00000000010001000002024401003b")
CALLBACK = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,60}(\.[A-Za-z_$][A-Za-z0-9_$]{0,60}){0,4}", re.ASCII)
STATUS = {
    Reason.UNAUTHORIZED: 401,
    Reason.KEYLESS: 403,
    Reason.FOREIGN_ORIGIN: 403,
    Reason.BODY_TOO_LARGE: 413,
    Reason.BATCH_TOO_LARGE: 413,
    Reason.OVERLOADED: 503,
    Reason.SPOOL_FULL: 503,
    Reason.UNCONFIRMED: 503,
}
TYPED = frozenset(("pk", "metric", "metrics", "dimension", "dimensions"))
PARAMETERS = frozenset((*FIELDS, "key", "callback", "pixel"))
OF_DECISION = PARAMETERS.union(DECIDED_FIELDS)
Environ = Mapping[str, Any]
ParseHit = Callable[[Mapping[str, Any], Settings, float], Hit]
ITEM_ACCEPTED = {"status": "accepted"}
LONG_BODY = 10_000
TIMELESS_BYTES = 600  # beside its text
KNOWN_BYTES = 500
FLUSH_S = 120
EXPOSED = {"Access-Control-Expose-Headers": "X-Hail, Retry-After"}
CORS = {access.ALLOW_ORIGIN: "*", **EXPOSED}  # of what counts: a tracker reads the answer on any page
COUNTING = ("/count", "/count.gif", "/count.js", "/count_decision", "/batch")
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Content-Encoding",
    "Access-Control-Max-Age": "86400",
}
PIXEL = {
    "Cache-Control": "no-store, max-age=0",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}

_decode = msgspec.json.Decoder(strict=True).decode


class _Envelope(msgspec.Struct):
    hits: list[msgspec.Raw] | None = None


_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


class Known(NamedTuple):
    """A hit that came before, all but its time. ignored: names that came beside it, of which `shown` are kept."""

    timeless: Timeless
    cells: int
    ignored: int
    shown: tuple[str, ...]


def _shape(query: str, passed_over: re.Pattern[str]) -> str:
    """What of a query makes two hits alike but for their time; empty when it may not be remembered."""
    if len(query) > KNOWN_BYTES:
        return ""
    kept = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name in TYPED:
            kept.append(pair)
        elif "%" in name or name in PARAMETERS:
            return ""
        elif value and not passed_over.fullmatch(name):
            kept.append(name)  # that it came; no parameter stands here without its =
    return "&".join(kept)


def came_of_query(query: str) -> str:
    """The fields of a hit in a query or a form, as people read them; never the key, nor what is not ours."""
    pairs = (
        (unquote_plus(name), unquote_plus(value)) for name, _, value in (p.partition("=") for p in query.split("&"))
    )
    return "&".join(f"{name}={value}" for name, value in pairs if name in FIELDS)


def came_of_body(body: bytes | msgspec.Raw) -> tuple[str, str | None]:
    """The beginning of a body, and the visitor where it names one."""
    text = bytes(body)
    try:
        given = _decode(text) if len(text) <= LONG_BODY else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return text[:LONG_BODY].decode("utf-8", "ignore"), None
    shown = msgspec.json.encode(without_keys(given)).decode("utf-8", "ignore")
    return shown, given.get("visitor")


def hit_of(given: Mapping[str, str], settings: Settings, now: float, parse: ParseHit = parse_hit) -> Hit:
    """A hit from parameters as people type them; raises HitError."""
    names = FIELDS if parse is parse_hit else (*FIELDS, *DECIDED_FIELDS)
    fields = {name: lenient(name, value) if name in TYPED else value for name, value in given.items() if name in names}
    return parse(fields, settings, now)


def split_batch(body: bytes, content_type: str, most: int) -> list[bytes | msgspec.Raw]:
    """The items of a JSON list, of {"hits": [...]}, or of lines (NDJSON, by type or by look); raises HitError.

    most: how many may be looked at.
    """
    body = body.strip()
    if "ndjson" not in content_type and "jsonl" not in content_type:
        try:
            if body.startswith(b"["):
                return list(_decode_list(body))
            if body.startswith(b"{"):
                hits = _decode_envelope(body).hits
                return [body] if hits is None else list(hits)
        except msgspec.ValidationError:
            return [body]
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            if (items := readable_items(body, most)) is not None:
                return list(items)
            if body.startswith(b"["):
                raise HitError(Reason.BAD_JSON, "body", f"expected JSON: {error}") from None
    return [line for line in body.split(b"\n") if line.strip()]


def problem(reason: Reason, detail: str, field: str | None = None) -> dict[str, Any]:
    """An RFC 9457 body."""
    body = {
        "type": f"urn:hailwhale:{reason}",
        "title": reason.replace("_", " "),
        "status": STATUS.get(reason, 400),
        "detail": detail,
        "code": str(reason),
    }
    return {**body, "field": field} if field else body


class Refused(Exception):
    """Ends a request with a problem body."""

    def __init__(self, reason: Reason, detail: str, field: str | None = None, hits: int = 1, retry_after_s: int = 0):
        super().__init__(detail)
        self.reason, self.detail, self.field, self.retry_after_s = reason, detail, field, retry_after_s
        (counters.UNCONFIRMED if reason is Reason.UNCONFIRMED else counters.REFUSED_BY[reason]).inc(hits)

    @property
    def said(self) -> str:
        """What became of the hit, where the answer is an image or a script."""
        return "unconfirmed" if self.reason is Reason.UNCONFIRMED else f"dropped; reason={self.reason}"


class Doors:
    """What the routes share."""

    def __init__(self, settings: Settings, publisher: Publisher, clock: Callable[[], float], account: str):
        self.settings, self.publisher, self.clock = settings, publisher, clock
        self.access = access.Access(settings, settings.hail_bind, account)
        self._flushing = threading.Lock()
        self._known: Bounded[tuple[str, str], Known] = Bounded(
            "known hits", settings.known_hits_mb * MEGABYTE, lambda key, known: 5 * len(key[1]) + TIMELESS_BYTES
        )
        self._secrets = secrets_of(settings)

    def check_key(self, caller: Caller) -> None:
        """Raises Refused where the request has no key that opens Hail."""
        if not caller.may(access.WRITE):
            raise Refused(Reason.UNAUTHORIZED, f"expected the {access.WRITE} key, as Bearer, Basic password or key=")

    def check_page(self, environ: Mapping[str, Any]) -> None:
        """Raises Refused where a page of another site sent what changes more than a count."""
        right = access.right_of(environ["PATH_INFO"], environ["REQUEST_METHOD"])
        if said := self.access.foreign_page(right, environ):
            raise Refused(Reason.FOREIGN_ORIGIN, said, hits=0)

    def keep(self, caller: Caller, hits: list[tuple[bytes, int]], skewed: int = 0) -> None:
        try:
            self.publisher.publish(caller.account, hits)
        except NotAccepted as error:
            raise Refused(error.reason, str(error), None, len(hits), error.retry_after_s) from None
        if skewed:
            counters.SKEWED.inc(skewed)

    def note(self, caller: Caller, error: HitError | Refused, came: str, visitor: Any) -> None:
        """Remembers what was refused, for those who ask where their hit went."""
        if self.settings.spy:
            known = visitor if isinstance(visitor, str) and 0 < len(visitor) <= self.settings.max_name_bytes else None
            if known and masked(known, self._secrets) != known:
                known = None
            shown = masked(came, self._secrets)
            cut = shown.encode("utf-8", "ignore")[:CAME_BYTES].decode("utf-8", "ignore")
            field = masked(error.field or "", self._secrets)
            row = Refusal(int(self.clock() * 1000), str(error.reason), field, cut, known)
            self.publisher.note(caller.account, row)

    def note_query(self, caller: Caller, error: Refused, query: str) -> None:
        """`note`, of a hit in a query or a form, as WSGI gives it."""
        if self.settings.spy:
            text = query.encode("latin-1", "replace").decode("utf-8", "replace")[: 100 * CAME_BYTES]
            visitor = parse_qs(text, errors="replace").get("visitor", [None])[0]
            self.note(caller, error, came_of_query(text), visitor)

    def count_query(self, caller: Caller, environ: Environ, is_shown: bool = False) -> tuple[str, ...]:
        """One hit from the query string; the names beside it that were ignored. is_shown: as an image or a script."""
        try:
            return self._count_query(caller, environ, is_shown)
        except Refused as error:
            self.note_query(caller, error, environ.get("QUERY_STRING", ""))
            raise

    def _count_query(self, caller: Caller, environ: Environ, is_shown: bool) -> tuple[str, ...]:
        """Most hits of a site are like others but for their time: the checked, encoded rest is remembered by its text."""
        now = self.clock()
        query = environ.get("QUERY_STRING", "")
        shape = _shape(query, self.settings.ignored_parameters) if caller.may(access.WRITE) else ""
        known = self._known.get((caller.account, shape)) if shape else None
        if known and (is_shown or not known.ignored):
            self.keep(caller, [(known.timeless.at(now), known.cells)])
            return _told(known.ignored, known.shown)
        try:
            given, unknown = self.read(query)
            is_sealed = "pixel" in given
            if not is_sealed:
                self.check_key(caller)
            if is_shown:
                refuse_misspelt(unknown)
            else:
                refuse_unknown(unknown, FIELDS)
            hit = (
                hit_of_pixel(given, self.settings, caller.account, now)
                if is_sealed
                else hit_of(given, self.settings, now)
            )
        except HitError as error:
            raise Refused(error.reason, str(error), error.field) from None
        ignored = names_shown(unknown, lambda name: masked(name, self._secrets))
        if ignored:
            hit = replace(hit, ignored=ignored)
        if shape:
            self._known.keep((caller.account, shape), Known(Timeless(hit), hit.cells, len(unknown), ignored))
        self.keep(caller, [(encode_hit(hit), hit.cells)], hit.skewed)
        return _told(len(unknown), ignored)

    def read(self, text: str, names: frozenset[str] = PARAMETERS) -> Read:
        """The parameters of a query or a form; raises HitError."""
        return read(text, names, self.settings.ignored_parameters)

    def count_body(self, caller: Caller, environ: Environ, parse: ParseHit = parse_hit) -> None:
        """One hit from a JSON or form body; from the query when there is no body."""
        body, is_form = b"", False
        names, expected = (PARAMETERS, FIELDS) if parse is parse_hit else (OF_DECISION, (*FIELDS, *DECIDED_FIELDS))
        try:
            try:
                given, unknown = self.read(environ.get("QUERY_STRING", ""), names)
                self.check_key(caller)
                refuse_unknown(unknown, expected)
                if environ["REQUEST_METHOD"] == "POST":
                    body = read_body(environ, self.settings.max_body_bytes)
                said_form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
                is_form = said_form and not body.lstrip().startswith((b"{", b"["))
                if not body:
                    hit = hit_of(given, self.settings, self.clock(), parse)
                elif is_form:
                    given, unknown = self.read(body.decode("latin-1"), names)
                    refuse_unknown(unknown, expected)
                    hit = hit_of(given, self.settings, self.clock(), parse)
                else:
                    hit = self._hit(body, parse)
            except HitError as error:
                raise Refused(error.reason, str(error), error.field) from None
            self.keep(caller, [(encode_hit(hit), hit.cells)], hit.skewed)
        except Refused as error:
            if body and not is_form:
                self.note(caller, error, *came_of_body(body))
            else:
                self.note_query(caller, error, body.decode("latin-1") or environ.get("QUERY_STRING", ""))
            raise

    def given(self, environ: Environ) -> dict[str, str]:
        """The parameters in the address, whatever else is there; raises Refused."""
        try:
            return self.read(environ.get("QUERY_STRING", "")).given
        except HitError as error:
            raise Refused(error.reason, str(error), error.field) from None

    def callback(self, environ: Environ) -> str:
        """The name that a script calls, or none; raises Refused."""
        name = self.given(environ).get("callback", "")
        if name and not CALLBACK.fullmatch(name):
            raise Refused(Reason.BAD_CALLBACK, "expected a name as in JavaScript, as app.done", "callback")
        return name

    def count_batch(self, caller: Caller, environ: Environ) -> tuple[int, list[dict[str, Any]]]:
        """Many hits; how many were accepted, and one result an item."""
        try:
            return self._count_batch(caller, environ)
        except Refused as error:
            self.note(caller, error, "a batch", None)
            raise

    def _count_batch(self, caller: Caller, environ: Environ) -> tuple[int, list[dict[str, Any]]]:
        try:
            _, unknown = self.read(environ.get("QUERY_STRING", ""))
            self.check_key(caller)
            refuse_unknown(unknown, ("key",))
            body = read_body(environ, self.settings.max_body_bytes)
            limit = self.settings.max_batch_hits
            items = split_batch(body, environ.get("CONTENT_TYPE", ""), limit)
            if not items:
                raise HitError(Reason.BAD_JSON, "body", "expected at least one hit, got none")
            if len(items) > limit:
                raise HitError(Reason.BATCH_TOO_LARGE, "body", f"expected at most {limit} hits, got {len(items)}")
        except HitError as error:
            raise Refused(error.reason, str(error), error.field) from None
        hits: list[tuple[bytes, int]] = []  # as they travel, for many requests may wait with theirs
        skewed = 0
        results: list[dict[str, Any]] = []
        for item in items:
            try:
                hit = self._hit(item)
                hits.append((encode_hit(hit), hit.cells))
                skewed += hit.skewed
                results.append(ITEM_ACCEPTED)
            except HitError as error:
                counters.REFUSED_BY[error.reason].inc()
                self.note(caller, error, *came_of_body(item))
                results.append(
                    {"status": "refused", "code": str(error.reason), "detail": str(error), "field": error.field}
                )
        del body, items
        if hits:
            self.keep(caller, hits, skewed)
        return len(hits), results

    def _hit(self, item: bytes | msgspec.Raw, parse: ParseHit = parse_hit) -> Hit:
        given = json_of(item, is_hit=True)
        if not isinstance(given, dict):
            several = ": a list of hits goes to /batch" if isinstance(given, list) and parse is parse_hit else ""
            raise HitError(Reason.BAD_JSON, "body", f"expected a hit as an object, got {type(given).__name__}{several}")
        return parse(given, self.settings, self.clock())

    def flush(self) -> tuple[bool, str]:
        """Runs hailwail once; did it work, and what it said. One at a time."""
        if not self._flushing.acquire(blocking=False):
            return False, "hailwail is running already"
        try:
            self.publisher.seal()
            command = [sys.executable, "-m", "whale.count.hailwail"]
            if not self.settings.broker_url:
                command.append("--apply")
            # else it would leave two files among those of this service, for metrics that nobody reads
            environ = {name: value for name, value in os.environ.items() if name != METRICS_FOLDER}
            done = subprocess.run(command, capture_output=True, text=True, timeout=FLUSH_S, env=environ)
            return done.returncode == 0, (done.stdout + done.stderr).strip()
        except subprocess.TimeoutExpired:
            return False, f"hailwail is not done after {FLUSH_S} s"
        finally:
            self._flushing.release()


class Answer(NamedTuple):
    """status line, headers, body"""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def _answer(status: int, body: bytes | str, content_type: str, headers: Mapping[str, str]) -> Answer:
    data = body.encode() if isinstance(body, str) else body
    line = f"{status} {HTTPStatus(status).phrase}"
    return Answer(line, [*headers.items(), ("Content-Type", content_type), ("Content-Length", str(len(data)))], data)


def _text(status: int, body: str, headers: Mapping[str, str]) -> Answer:
    return _answer(status, body, "text/plain; charset=utf-8", headers)


def _json(status: int, body: Any, headers: Mapping[str, str], kind: str = "json") -> Answer:
    return _answer(status, msgspec.json.encode(body), f"application/{kind}", headers)


def _refusal(error: Refused) -> Answer:
    headers = dict(CORS)
    if error.retry_after_s:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.reason is Reason.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer, Basic realm="hail"'
    body = problem(error.reason, error.detail, error.field)
    return _json(body["status"], body, headers, "problem+json")


def _image(error: Refused) -> Answer:
    return _answer(200, GIF, "image/gif", {**CORS, **PIXEL, "X-Hail": error.said})


def _script(outcome: str, callback: str, ignored: Sequence[str] = ()) -> Answer:
    body = f'/**/{callback}("{outcome}");' if callback else f"/* {outcome} */"
    headers = {**CORS, **PIXEL, "X-Hail": accepted(ignored) if ignored else outcome}
    return _answer(200, body, "text/javascript; charset=utf-8", headers)


def _to_stranger(doors: Doors, environ: Environ, said: str) -> Answer:
    """To who is not answered: an image is one all the same, and a script calls back."""
    path = environ.get("PATH_INFO", "")
    error = Refused(Reason.KEYLESS, said, hits=int(path in COUNTING))
    if environ["REQUEST_METHOD"] == "GET" and path == "/count.gif":
        return _image(error)
    if environ["REQUEST_METHOD"] == "GET" and path == "/count.js":
        try:
            return _script(error.said, doors.callback(environ))
        except Refused as refused:
            return _script(refused.said, "")
    return _refusal(error)


OK = _text(200, "OK", {**CORS, "Cache-Control": "no-store"})
ACCEPTED = _text(202, "OK", CORS)
PIXEL_ACCEPTED = _answer(200, GIF, "image/gif", {**CORS, **PIXEL, "X-Hail": "accepted"})


class Hail(bottle.Bottle):
    """The routes. GETs that count, the many, take a short way past Bottle's request and response."""

    def __init__(self, doors: Doors):
        super().__init__()
        self.doors = doors
        self.short = {"/count": self.count, "/count.gif": self.pixel}
        self.default_error_handler = self._other_error
        self.add_hook("before_request", _check_path)
        for path, handler in self.short.items():
            self._add(path, "GET", handler)
        self._add("/count", "POST", self.count_posted)
        self._add("/count_decision", "GET", self.decision)
        self._add("/count_decision", "POST", self.decision_posted)
        self._add("/batch", "POST", self.batch)
        self._add("/count.js", "GET", self.script)
        for method in ("GET", "POST"):
            self._add("/flush_hail", method, self.flush)
        self._add("/healthz", "GET", self.healthz)
        self._add("/readyz", "GET", self.readyz)
        self._add("/metrics", "GET", self.metrics)
        self._add("/openapi.json", "GET", lambda caller, environ: _json(200, openapi.document(), EXPOSED))
        self.route("/flush_hail", "HEAD", lambda: "")
        self._add("/flush_hail", "OPTIONS", lambda caller, environ: _text(200, "", {**EXPOSED, **PREFLIGHT}))
        for path in COUNTING:
            self._add(path, "OPTIONS", lambda caller, environ: _text(200, "", {**CORS, **PREFLIGHT}))
            self._add(
                path, "HEAD", lambda caller, environ: _text(200, "", CORS)
            )  # Bottle would answer it by GET, and count

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        handler = self.short.get(environ.get("PATH_INFO", "")) if environ["REQUEST_METHOD"] == "GET" else None
        if said := self.doors.access.stranger(environ):
            answer = _to_stranger(self.doors, environ, said)
        elif handler is None:
            return self.wsgi(environ, start_response)
        else:
            try:
                answer = handler(self.doors.access.caller(environ), environ)
            except Exception as error:  # whatever it was, the caller has an answer
                answer = _failed(error, environ["PATH_INFO"])
        start_response(answer.status, list(answer.headers))
        return [answer.body]

    def _add(self, path: str, method: str, handler: Callable[[Caller, Environ], Answer]) -> None:
        right = access.right_of(path, method, "GET", "POST")

        def call() -> bottle.HTTPResponse:
            environ = bottle.request.environ
            answer = handler(self.doors.access.caller(environ), environ)
            if right.pages is access.Pages.ANY:
                return bottle.HTTPResponse(answer.body, answer.status, answer.headers)
            headers = [header for header in answer.headers if header[0] != access.ALLOW_ORIGIN]
            headers += self.doors.access.readers(right, environ).items()
            return bottle.HTTPResponse(answer.body, answer.status, headers)

        self.route(path, method, call)

    def _other_error(self, error: bottle.HTTPError) -> str:
        """Bottle's own refusals (404, 405), and what a handler did not expect."""
        bottle.response.content_type = "application/problem+json"
        path, detail = bottle.request.path, str(error.body)
        if error.status_code == 500:
            return _failed(error.exception, path).body.decode()
        if error.status_code == 404:
            host = bottle.request.environ.get("HTTP_HOST", "")
            detail += elsewhere(
                path, [route.rule for route in self.routes], host, "Whale", self.doors.settings.whale_bind
            )
        elif error.status_code == 405:
            detail = other_method(bottle.request.method, path, error.headers["Allow"])
        return msgspec.json.encode(plain_problem(error.status_code, detail)).decode()

    def count(self, caller: Caller, environ: Environ) -> Answer:
        try:
            self.doors.count_query(caller, environ)
        except Refused as error:
            return _refusal(error)
        return OK

    def count_posted(self, caller: Caller, environ: Environ) -> Answer:
        try:
            self.doors.count_body(caller, environ)
        except Refused as error:
            return _refusal(error)
        return ACCEPTED

    def decision(self, caller: Caller, environ: Environ) -> Answer:
        try:
            self.doors.count_body(caller, environ, parse_decided)
        except Refused as error:
            return _refusal(error)
        return OK

    def decision_posted(self, caller: Caller, environ: Environ) -> Answer:
        try:
            self.doors.count_body(caller, environ, parse_decided)
        except Refused as error:
            return _refusal(error)
        return ACCEPTED

    def batch(self, caller: Caller, environ: Environ) -> Answer:
        try:
            counted, results = self.doors.count_batch(caller, environ)
        except Refused as error:
            return _refusal(error)
        body = {"accepted": counted, "results": results}
        if counted:
            return _json(202, body, CORS)
        first = results[0]
        about = problem(Reason(first["code"]), first["detail"], first["field"])
        return _json(400, {**about, "status": 400, **body}, CORS, "problem+json")

    def pixel(self, caller: Caller, environ: Environ) -> Answer:
        try:
            ignored = self.doors.count_query(caller, environ, is_shown=True)
        except Refused as error:
            return _image(error)
        if not ignored:
            return PIXEL_ACCEPTED
        return _answer(200, GIF, "image/gif", {**CORS, **PIXEL, "X-Hail": accepted(ignored)})

    def script(self, caller: Caller, environ: Environ) -> Answer:
        callback = ""
        try:
            callback = self.doors.callback(environ)
            ignored = self.doors.count_query(caller, environ, is_shown=True)
        except Refused as error:
            return _script(error.said, callback)
        return _script("accepted", callback, ignored)

    def flush(self, caller: Caller, environ: Environ) -> Answer:
        try:
            self.doors.given(environ)
            self.doors.check_key(caller)
            self.doors.check_page(environ)
        except Refused as error:
            return _refusal(error)
        worked, said = self.doors.flush()
        return _text(200, f"OK\n{said}\n", {}) if worked else _text(503, f"{said}\n", {"Retry-After": "5"})

    def healthz(self, caller: Caller, environ: Environ) -> Answer:
        return _text(200, "OK\n", {})

    def readyz(self, caller: Caller, environ: Environ) -> Answer:
        self.doors.publisher.start()
        status = self.doors.publisher.status()
        ready = status["spool"] == "ok"  # with a broker, too, a hit is taken only where there is room for it
        return _json(200 if ready else 503, {"ready": ready, **status}, {})

    def metrics(self, caller: Caller, environ: Environ) -> Answer:
        return _answer(200, exposition(), CONTENT_TYPE, {})


def make_app(
    settings: Settings, publisher: Publisher, clock: Callable[[], float] = time.time, account: str = ACCOUNT
) -> Hail:
    """The WSGI application. clock: epoch seconds.  account: whose the keys of the settings are."""
    return Hail(Doors(settings, publisher, clock, account))


def _failed(error: BaseException, path: str) -> Answer:
    log.error("%s: %r", path, error, exc_info=error)
    return _json(500, plain_problem(500, "the log says more"), CORS, "problem+json")


def _check_path() -> None:
    if not is_utf8(bottle.request.environ["bottle.raw_path"]):
        raise bottle.HTTPError(400, "the address: expected UTF-8")


def _told(count: int, ignored: tuple[str, ...]) -> tuple[str, ...]:
    """The names, once they are counted."""
    if count:
        counters.PARAMETERS_IGNORED.inc(count)
    return ignored


def __getattr__(name: str) -> Any:
    """`gunicorn hail.web:application`: made when it is first asked for, so in the process that serves it.

    Raises SettingsError with a sentence, and the server does not start.
    """
    if name != "application":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    settings = load(os.environ)
    access.check_bind(settings.hail_bind, settings)
    publisher = Publisher(settings)
    atexit.register(publisher.close)
    globals()["application"] = app = make_app(settings, publisher)
    return app

"""One hit in an address, as people type it.

    GET /count        200 `OK`
    GET /count.gif    always an image; `X-Hail: accepted`, `X-Hail: dropped; reason=...` or `unconfirmed`
    GET /count.js     the same as a script; `callback=` names what it calls

A value that opens with a bracket is JSON, or Python-like; any other is text. `pixel=` is a sealed one.
An event or properties of a site without a visitor are those of whom the cookie `v` names (hail/visits.py).
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from hail import counters
from hail.accept import Acceptor, Refused
from hail.access import Caller, Environ
from hail.answers import CORS, OK, HttpAnswer, answer, refusal
from hail.hit import (
    DECIDED_FIELDS,
    FIELDS,
    TYPED,
    HitError,
    Parsed,
    Reason,
    fields_of,
    lacks_visitor,
    parse_row,
    with_ignored,
    with_key,
)
from hail.parameters import CALLBACK, accepted, names_shown, refuse_misspelt, refuse_unknown
from hail.pixel import hit_of_pixel
from hail.room import MEGABYTE, Bounded
from hail.settings import Settings
from hail.usual import UNUSUAL

GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90400000000002c00000000010001000002024401003b")
PARAMETERS = frozenset((*FIELDS, "key", "callback", "pixel"))
KNOWN_BYTES = 500
PIXEL = {
    "Cache-Control": "no-store, max-age=0",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}
ParseRow = Callable[[Mapping[str, Any], Settings, float], Parsed]


class Known(NamedTuple):
    """A hit that came before. at: packs it anew, at another time.  ignored: names that came beside it, of which `shown` are kept.

    memory: bytes that it takes.
    """

    at: Callable[[float], Any]
    cells: int
    ignored: int
    shown: tuple[str, ...]
    memory: int


class Counted(NamedTuple):
    """ignored: names beside the hit that no field has.  cookie: a value of `Set-Cookie`, or empty."""

    ignored: tuple[str, ...]
    cookie: str = ""


class Address:
    """Most hits of a site are like others but for their time: the checked, encoded rest is remembered by key and text."""

    def __init__(self, acceptor: Acceptor):
        self._acceptor = acceptor
        # what a visitor did is theirs alone, whatever it is like
        self._alike = TYPED - {"properties"} if acceptor.visits else TYPED
        self._known: Bounded[tuple[str, str, str | None, str], Known] = Bounded(
            "known hits",
            acceptor.settings.known_hits_mb * MEGABYTE,
            lambda key, known: known.memory,
        )
        self.routes = {
            ("GET", "/count"): self.text,
            ("GET", "/count.gif"): self.image,
            ("GET", "/count.js"): self.script,
        }

    def text(self, caller: Caller, environ: Environ) -> HttpAnswer:
        try:
            counted = self.count(caller, environ)
        except Refused as error:
            return refusal(error)
        return with_cookie(OK, counted.cookie)

    def image(self, caller: Caller, environ: Environ) -> HttpAnswer:
        try:
            ignored, cookie = self.count(caller, environ, is_shown=True)
        except Refused as error:
            return _image(error.said)
        return with_cookie(_image(accepted(ignored)) if ignored else IMAGE_ACCEPTED, cookie)

    def script(self, caller: Caller, environ: Environ) -> HttpAnswer:
        callback = ""
        try:
            callback = self._callback(environ)
            ignored, cookie = self.count(caller, environ, is_shown=True)
        except Refused as error:
            return _script(error.said, callback)
        return with_cookie(_script("accepted", callback, ignored), cookie)

    def refuse(self, error: Refused, environ: Environ) -> HttpAnswer:
        """An image is one all the same, and a script calls back."""
        if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"] == "/count.gif":
            return _image(error.said)
        if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"] == "/count.js":
            try:
                return _script(error.said, self._callback(environ))
            except Refused as wrong:
                return _script(wrong.said, "")
        return refusal(error)

    def count(self, caller: Caller, environ: Environ, is_shown: bool = False) -> Counted:
        """Counts the hit. is_shown: as an image or a script.  Raises Refused."""
        try:
            return self._count(caller, environ, is_shown)
        except Refused as error:
            self._acceptor.note_query(caller, error, environ.get("QUERY_STRING", ""))
            raise

    def _count(self, caller: Caller, environ: Environ, is_shown: bool) -> Counted:
        acceptor, query = self._acceptor, environ.get("QUERY_STRING", "")
        now, settings = acceptor.clock(), acceptor.settings
        shape = _shape(query, settings.ignored_parameters, self._alike) if acceptor.may_hit(caller) else ""
        whose = caller.account, caller.key or caller.hash, caller.site, shape
        known = self._known.get(whose) if shape else None
        if known and (is_shown or not known.ignored):
            acceptor.keep(caller, acceptor.publisher.pack_piece(known.at(now), known.cells))
            return Counted(_told(known.ignored, known.shown))
        try:
            given, unknown = acceptor.parameters(query, PARAMETERS)
            is_sealed = "pixel" in given
            if not is_sealed:
                acceptor.let_in(caller, with_hits=True)
            if is_shown:
                refuse_misspelt(unknown)
            else:
                refuse_unknown(unknown, FIELDS)
            if is_sealed:
                caller = Caller(caller.account)  # whose key does not matter
            read, cookie = self._read(caller, given, environ, now)
            acceptor.check(caller, read)
        except HitError as error:
            raise Refused.by(error) from None
        row, cells, is_ahead = read
        ignored = names_shown(unknown, acceptor.masked)
        if ignored:
            row = with_ignored(row, ignored)
        row = with_key(row, caller.key, caller.hash)
        publisher = acceptor.publisher
        piece = publisher.form.piece_of(row)
        if shape:
            form = publisher.form
            known = Known(form.remember(row, piece), cells, len(unknown), ignored, form.memory_of(shape, piece))
            self._known.keep(whose, known)
        acceptor.keep(caller, publisher.pack_piece(piece, cells), is_ahead)
        return Counted(_told(len(unknown), ignored), cookie)

    def _read(self, caller: Caller, given: Mapping[str, str], environ: Environ, now: float) -> tuple[Parsed, str]:
        """The hit, of its visitor, and the cookie for the answer or nothing; raises HitError."""
        read, visits = self._parsed(caller, given, now), self._acceptor.visits
        if visits and lacks_visitor(read[0]) and "basis" not in given:
            visitor, cookie = visits.told(caller.account, read[0][0][0], environ)
            if visitor is not None:
                return self._parsed(caller, {**given, "visitor": visitor}, now), cookie
        return read, ""

    def _parsed(self, caller: Caller, given: Mapping[str, str], now: float) -> Parsed:
        if "pixel" in given:
            return hit_of_pixel(given, self._acceptor.settings, caller.account, now)
        return hit_of(given, self._acceptor, now)

    def _callback(self, environ: Environ) -> str:
        """The name that a script calls, or none; raises Refused."""
        try:
            name = self._acceptor.parameters(environ.get("QUERY_STRING", ""), PARAMETERS).given.get("callback", "")
        except HitError as error:
            raise Refused.by(error) from None
        if name and not CALLBACK.fullmatch(name):
            raise Refused(Reason.BAD_CALLBACK, "expected a JavaScript name such as app.done", "callback")
        return name


def hit_of(given: Mapping[str, str], acceptor: Acceptor, now: float, parse: ParseRow = parse_row) -> Parsed:
    """A hit from parameters as people type them; raises HitError."""
    names = FIELDS if parse is parse_row else (*FIELDS, *DECIDED_FIELDS)
    given = {name: value for name, value in given.items() if name in names}
    fields = fields_of(given)
    if parse is parse_row:
        with suppress(*UNUSUAL):
            return acceptor.usual.row(acceptor.usual.of_fields(fields, "".join(given.values())), now)
    return parse(fields, acceptor.settings, now)


def _shape(query: str, passed_over: re.Pattern[str], alike: Collection[str]) -> str:
    """What of a query makes two hits alike but for their time; empty when it may not be remembered. alike: fields that may be in it."""
    if len(query) > KNOWN_BYTES:
        return ""
    kept = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name in alike:
            kept.append(pair)
        elif "%" in name or name in PARAMETERS:
            return ""
        elif value and not passed_over.fullmatch(name):
            kept.append(name)  # that it came; no parameter stands here without its =
    return "&".join(kept)


def _told(count: int, ignored: tuple[str, ...]) -> tuple[str, ...]:
    """The names, once they are counted."""
    if count:
        counters.PARAMETERS_IGNORED.inc(count)
    return ignored


def _image(outcome: str) -> HttpAnswer:
    return answer(200, GIF, "image/gif", {**CORS, **PIXEL, "X-Hail": outcome})


def _script(outcome: str, callback: str, ignored: Sequence[str] = ()) -> HttpAnswer:
    body = f'/**/{callback}("{outcome}");' if callback else f"/* {outcome} */"
    headers = {**CORS, **PIXEL, "X-Hail": accepted(ignored) if ignored else outcome}
    return answer(200, body, "text/javascript; charset=utf-8", headers)


def with_cookie(found: HttpAnswer, cookie: str) -> HttpAnswer:
    """The same answer, with a value of `Set-Cookie` where there is one."""
    return found._replace(headers=[*found.headers, ("Set-Cookie", cookie)]) if cookie else found


IMAGE_ACCEPTED = _image("accepted")

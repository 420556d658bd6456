"""Many hits in one body, an answer for each: POST /batch answers 202 where any was accepted.

A JSON list, `{"hits": [...]}`, or lines (NDJSON).
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import msgspec

from hail import counters
from hail.accept import Acceptor, Refused, came_of_body
from hail.access import Caller, Environ
from hail.answers import CORS, HttpAnswer, json_answer, problem, refusal
from hail.body import json_of, read_body, readable_items
from hail.formats.address import PARAMETERS
from hail.formats.posted import hit_of_json
from hail.hit import HitError, Parsed, Reason, with_key
from hail.packing import COLUMNS, Packed
from hail.parameters import refuse_unknown
from hail.usual import UNUSUAL, Usual

ITEM_ACCEPTED = {"status": "accepted"}
UNUSUAL_AT_FIRST = 20
"""Where so many items at the beginning of a body are unusual, the others go the long way at once."""


class _Envelope(msgspec.Struct):
    hits: list[msgspec.Raw] | None = None


_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
Checked = tuple[Packed, int, list[dict[str, Any]]]
"""Hits as they travel, for many requests may wait with theirs; how many were ahead of the clock; a result an item."""


class Batch:
    def __init__(self, acceptor: Acceptor):
        self._acceptor = acceptor
        self.routes = {("POST", "/batch"): self.batch}

    def batch(self, caller: Caller, environ: Environ) -> HttpAnswer:
        try:
            counted, results = self._count(caller, environ)
        except Refused as error:
            self._acceptor.note(caller, error, "a batch")
            return refusal(error)
        body = {"accepted": counted, "results": results}
        if counted:
            return json_answer(202, body, CORS)
        first = results[0]
        about = problem(Reason(first["code"]), first["detail"], first["field"])
        return json_answer(400, {**about, "status": 400, **body}, CORS, "problem+json")

    def refuse(self, error: Refused, environ: Environ) -> HttpAnswer:
        return refusal(error)

    def _count(self, caller: Caller, environ: Environ) -> tuple[int, list[dict[str, Any]]]:
        """How many were accepted, and one result an item."""
        hits, skewed, results = self._check(caller, self._given(caller, environ))
        if hits.hits:  # while they wait, nothing holds the body
            self._acceptor.keep(caller, hits, skewed)
        return hits.hits, results

    def _check(self, caller: Caller, given: "Given") -> Checked:
        acceptor = self._acceptor
        settings, now, hits = acceptor.settings, acceptor.clock(), acceptor.publisher.pack()
        usual = given.usual() if caller.site is None else of_site(given.usual(), caller.site)
        results: list[dict[str, Any]] = [ITEM_ACCEPTED] * len(usual)
        unusual = 0

        def ask(number: int) -> Parsed | None:
            if (found := own(number)) and (caller.key or caller.hash):
                row, cells, is_ahead = found
                return with_key(row, caller.key, caller.hash), cells, is_ahead
            return found

        def own(number: int) -> Parsed | None:
            nonlocal unusual
            try:
                if usual[number] is not None and unusual < UNUSUAL_AT_FIRST:
                    try:
                        return acceptor.check(caller, acceptor.usual.row(usual[number], now))
                    except UNUSUAL:
                        unusual += unusual == number
                return acceptor.check(caller, hit_of_json(given.items[number], settings, now))
            except HitError as error:
                results[number] = self._refuse(caller, error, given.items[number])
                return None

        if hits.form is COLUMNS and len(usual) >= acceptor.bulk.many:
            return hits, acceptor.bulk.put(usual, now, hits, ask, caller.key, caller.hash), results
        skewed = 0
        for number in range(len(usual)):
            if parsed := ask(number):
                row, cells, is_ahead = parsed
                hits.add(row, cells)
                skewed += is_ahead
        return hits, skewed, results

    def _refuse(self, caller: Caller, error: HitError, item: bytes | msgspec.Raw) -> dict[str, Any]:
        if error.reason is Reason.UNKNOWN_FIELD and is_envelope(item):
            error = HitError(error.reason, "hits", "expected a list of hits")
        counters.REFUSED_BY[error.reason].inc()
        self._acceptor.note(caller, error, *came_of_body(item))
        return {"status": "refused", "code": str(error.reason), "detail": str(error), "field": error.field}

    def _given(self, caller: Caller, environ: Environ) -> "Given":
        """Some items, and not too many; raises Refused."""
        acceptor = self._acceptor
        most = acceptor.settings.max_batch_hits
        try:
            _, unknown = acceptor.parameters(environ.get("QUERY_STRING", ""), PARAMETERS)
            acceptor.let_in(caller, with_hits=True)
            refuse_unknown(unknown, ("key",))
            body = read_body(environ, acceptor.settings.max_body_bytes)
            given = Given(body.strip(), environ.get("CONTENT_TYPE", ""), acceptor.usual, most)
            if not given.count:
                raise HitError(Reason.BAD_JSON, "body", "expected at least one hit, got none")
            if given.count > most:
                raise HitError(Reason.BATCH_TOO_LARGE, "body", f"expected at most {most} hits, got {given.count}")
        except HitError as error:
            raise Refused.by(error) from None
        return given


class Given:
    """A body of many hits, without whitespace around it."""

    def __init__(self, body: bytes, content_type: str, usual: Usual, most: int):
        """most: how many items may be looked at. Raises HitError."""
        self._body, self._content_type, self._most = body, content_type, most
        self._read = usual.reading(body)
        self._whole: Sequence[Any] | None = None
        if body.startswith(b"[") and not is_of_lines(content_type):
            with suppress(*UNUSUAL):
                self._whole = self._read.many(body)

    @property
    def count(self) -> int:
        return len(self.items if self._whole is None else self._whole)

    @cached_property
    def items(self) -> list[bytes | msgspec.Raw]:
        """The JSON of each; raises HitError."""
        return split_batch(self._body, self._content_type, self._most)

    def usual(self) -> Sequence[Any]:
        """Of each item the hit where it is a usual one, else None; of none after the first where these all are others."""
        if self._whole is not None:
            return self._whole
        lines = [bytes(item).strip() for item in self.items]
        if all(line.startswith(b"{") and line.endswith(b"}") for line in lines):  # so none goes on in the next
            with suppress(*UNUSUAL):
                hits = self._read.lines(self._body)
                if len(hits) == len(lines):
                    return hits
        found: list[Any] = [None] * len(lines)
        for number, item in enumerate(self.items):
            with suppress(*UNUSUAL):
                found[number] = self._read.one(item)
            if number + 1 == UNUSUAL_AT_FIRST and not any(found):
                break
        return found


def of_site(usual: Sequence[Any], site: str) -> Sequence[Any]:
    """The same hits, with None in place of those that are not surely of the site: these are asked one by one."""
    firsts = (None if hit is None else hit.pk[0] if type(hit.pk) is list else hit.pk for hit in usual)
    return [hit if first == site else None for hit, first in zip(usual, firsts, strict=True)]


def is_of_lines(content_type: str) -> bool:
    return "ndjson" in content_type or "jsonl" in content_type


def is_envelope(item: bytes | msgspec.Raw) -> bool:
    """Whether a body or a line that is no hit holds nothing but `hits`, and these are no list."""
    given = json_of(item, is_hit=True) if isinstance(item, bytes) else None
    return isinstance(given, dict) and list(given) == ["hits"] and not isinstance(given["hits"], list)


def split_batch(body: bytes, content_type: str, most: int) -> list[bytes | msgspec.Raw]:
    """The items of a JSON list, of {"hits": [...]}, or of lines (NDJSON, by type or by look); raises HitError.

    most: how many may be looked at.
    """
    body = body.strip()
    if not is_of_lines(content_type):
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

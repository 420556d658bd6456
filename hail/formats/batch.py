"""Many hits in one body, an answer for each: POST /batch answers 202 where any was accepted.

A JSON list, `{"hits": [...]}`, or lines (NDJSON).
"""

from typing import Any

import msgspec

from hail import counters
from hail.accept import Acceptor, Refused, came_of_body
from hail.access import Caller, Environ
from hail.answers import CORS, HttpAnswer, json_answer, problem, refusal
from hail.body import json_of, read_body, readable_items
from hail.formats.address import PARAMETERS
from hail.formats.posted import hit_of_json
from hail.hit import HitError, Reason
from hail.packing import Packed
from hail.parameters import refuse_unknown
from hail.usual import UNUSUAL, put_none

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
        hits, skewed, results = self._check(caller, *self._items(caller, environ))
        if hits.hits:  # while they wait, nothing holds the body
            self._acceptor.keep(caller, hits, skewed)
        return hits.hits, results

    def _check(self, caller: Caller, items: list[bytes | msgspec.Raw], body: bytes) -> Checked:
        acceptor = self._acceptor
        settings, now, hits = acceptor.settings, acceptor.clock(), acceptor.publisher.pack()
        put, end = acceptor.usual.putting(body, hits, len(items))
        skewed = unusual = 0
        results: list[dict[str, Any]] = [ITEM_ACCEPTED] * len(items)
        for number, item in enumerate(items):
            try:
                try:
                    skewed += put(item, now)
                except UNUSUAL:
                    unusual += 1
                    if unusual == number + 1 == UNUSUAL_AT_FIRST:
                        put = put_none
                    row, cells, is_ahead = hit_of_json(item, settings, now)
                    end()
                    hits.add(row, cells)
                    skewed += is_ahead
            except HitError as error:
                results[number] = self._refuse(caller, error, item)
        end()
        return hits, skewed, results

    def _refuse(self, caller: Caller, error: HitError, item: bytes | msgspec.Raw) -> dict[str, Any]:
        if error.reason is Reason.UNKNOWN_FIELD and is_envelope(item):
            error = HitError(error.reason, "hits", "expected a list of hits")
        counters.REFUSED_BY[error.reason].inc()
        self._acceptor.note(caller, error, *came_of_body(item))
        return {"status": "refused", "code": str(error.reason), "detail": str(error), "field": error.field}

    def _items(self, caller: Caller, environ: Environ) -> tuple[list[bytes | msgspec.Raw], bytes]:
        """The items, which are some and not too many, and all of the body; raises Refused."""
        acceptor = self._acceptor
        most = acceptor.settings.max_batch_hits
        try:
            _, unknown = acceptor.parameters(environ.get("QUERY_STRING", ""), PARAMETERS)
            acceptor.let_in(caller)
            refuse_unknown(unknown, ("key",))
            body = read_body(environ, acceptor.settings.max_body_bytes)
            items = split_batch(body, environ.get("CONTENT_TYPE", ""), most)
            if not items:
                raise HitError(Reason.BAD_JSON, "body", "expected at least one hit, got none")
            if len(items) > most:
                raise HitError(Reason.BATCH_TOO_LARGE, "body", f"expected at most {most} hits, got {len(items)}")
        except HitError as error:
            raise Refused.by(error) from None
        return items, body


def is_envelope(item: bytes | msgspec.Raw) -> bool:
    """Whether a body or a line that is no hit holds nothing but `hits`, and these are no list."""
    given = json_of(item, is_hit=True) if isinstance(item, bytes) else None
    return isinstance(given, dict) and list(given) == ["hits"] and not isinstance(given["hits"], list)


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

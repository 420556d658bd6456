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
from hail.hit import HitError, Reason, encode_hit
from hail.parameters import refuse_unknown

ITEM_ACCEPTED = {"status": "accepted"}


class _Envelope(msgspec.Struct):
    hits: list[msgspec.Raw] | None = None


_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


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
        hits: list[tuple[bytes, int]] = []  # as they travel, for many requests may wait with theirs
        skewed = 0
        results: list[dict[str, Any]] = []
        for item in self._items(caller, environ):
            try:
                hit = hit_of_json(item, self._acceptor.settings, self._acceptor.clock())
                hits.append((encode_hit(hit), hit.cells))
                skewed += hit.skewed
                results.append(ITEM_ACCEPTED)
            except HitError as error:
                if error.reason is Reason.UNKNOWN_FIELD and _is_envelope(item):
                    error = HitError(error.reason, "hits", "expected a list of hits")
                counters.REFUSED_BY[error.reason].inc()
                self._acceptor.note(caller, error, *came_of_body(item))
                results.append(
                    {"status": "refused", "code": str(error.reason), "detail": str(error), "field": error.field}
                )
        del item  # a view of the whole body
        if hits:
            self._acceptor.keep(caller, hits, skewed)
        return len(hits), results

    def _items(self, caller: Caller, environ: Environ) -> list[bytes | msgspec.Raw]:
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
        return items


def _is_envelope(item: bytes | msgspec.Raw) -> bool:
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

"""The long way of POST /batch and POST /count: each hit is decoded by itself, checked by `parse_hit`, and encoded from its Hit.

The definition that the short way (hail/usual.py, hail/formats/batch.py) equals, for laws and benchmarks.
"""

from typing import Any

import msgspec

from hail import counters
from hail.accept import came_of_body
from hail.access import Caller, Environ
from hail.body import json_of, kind_of
from hail.formats.address import ParseRow
from hail.formats.batch import ITEM_ACCEPTED, Batch, is_envelope
from hail.formats.posted import Posted
from hail.hit import Hit, HitError, Parsed, Reason, encode_hit, parse_hit, row_of_hit
from hail.settings import Settings


def hit_of(item: bytes | msgspec.Raw, settings: Settings, now: float) -> Hit:
    """A hit from the JSON of an object; raises HitError."""
    given: Any = json_of(item, is_hit=True)
    if not isinstance(given, dict):
        several = "; send a list of hits to /batch" if isinstance(given, list) else ""
        raise HitError(Reason.BAD_JSON, "body", f"expected a hit as an object, got {kind_of(given)}{several}")
    return parse_hit(given, settings, now)


class LandedBatch(Batch):
    """POST /batch, hit by hit."""

    def _count(self, caller: Caller, environ: Environ) -> tuple[int, list[dict[str, Any]]]:
        hits = self._acceptor.publisher.pack()
        skewed = 0
        results: list[dict[str, Any]] = []
        for item in self._given(caller, environ).items:
            try:
                hit = hit_of(item, self._acceptor.settings, self._acceptor.clock())
                row, cells, is_ahead = self._acceptor.check(caller, (row_of_hit(hit), hit.cells, hit.skewed))
                hits.add(row, cells)
                skewed += is_ahead
                results.append(ITEM_ACCEPTED)
            except HitError as error:
                if error.reason is Reason.UNKNOWN_FIELD and is_envelope(item):
                    error = HitError(error.reason, "hits", "expected a list of hits")
                counters.REFUSED_BY[error.reason].inc()
                self._acceptor.note(caller, error, *came_of_body(item))
                results.append(
                    {"status": "refused", "code": str(error.reason), "detail": str(error), "field": error.field}
                )
        if hits.hits:
            self._acceptor.keep(caller, hits, skewed)
        return hits.hits, results


class LandedPosted(Posted):
    """POST /count, by way of a Hit."""

    def _of_json(self, body: bytes, parse: ParseRow) -> Parsed:
        hit = hit_of(body, self._acceptor.settings, self._acceptor.clock())
        return msgspec.json.decode(encode_hit(hit)), hit.cells, hit.skewed

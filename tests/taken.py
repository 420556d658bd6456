"""Hits on their way, to be looked at: publishers that keep them, and columns of hits that were read."""

import json
from collections.abc import Sequence
from typing import Any

from hail.columns import Section, messages_of
from hail.draft import Draft, pieces_of
from hail.message import ACCOUNT, MOST_HEAD_BYTES, Refusal, WireHit
from hail.packing import Packed
from hail.publish import Publisher
from hail.settings import Settings


def wires_of(publisher: Publisher, hits: Packed) -> list[Any]:
    """The hits as rows of JSON, read from the messages that they make."""
    found = []
    for part in hits.parts:
        message = publisher.form.encode("0" * 16, 0, 0, {ACCOUNT: [part]}, {ACCOUNT: 0}, {})
        assert len(message) <= part.size + MOST_HEAD_BYTES
        found += [json.loads(hit.raw) for of_one in messages_of(message) for hit in of_one.hits]
    return found


def section_of(account: str, total: int, hits: Sequence[WireHit], refused: Sequence[Refusal] = ()) -> Section:
    """The columns of these hits, all legible."""
    draft = Draft()
    for hit in hits:
        rare = (
            *(hit.id, hit.visitor, hit.event, hit.others, hit.ignored, hit.key, hit.hash),
            *(hit.properties, hit.sub, hit.basis, hit.known),
        )
        draft.put(
            pieces_of([json.loads(bytes(hit.pk)), json.loads(bytes(hit.dimensions)), hit.metrics, hit.at_ms, *rare])
        )
    return draft.section(account, total, refused)


class Taken(Publisher):
    """hits: the rows of all that were published.  cells: theirs."""

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.hits: list[Any] = []
        self.cells = 0

    def publish(self, account: str, hits: Packed) -> None:
        self.hits += wires_of(self, hits)
        self.cells += hits.cells

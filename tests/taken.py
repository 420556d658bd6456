"""Publishers that take every hit and keep it to be looked at."""

import json
from typing import Any

from hail.columns import messages_of
from hail.message import ACCOUNT, MOST_HEAD_BYTES
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


class Taken(Publisher):
    """hits: the rows of all that were published.  cells: theirs."""

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.hits: list[Any] = []
        self.cells = 0

    def publish(self, account: str, hits: Packed) -> None:
        self.hits += wires_of(self, hits)
        self.cells += hits.cells

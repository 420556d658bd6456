"""What was counted of each publisher, by message."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hail.message import Mark


@dataclass(frozen=True)
class PublisherAudit:
    """Sums over the messages of one publisher that a store has counted.

    total: the running total that its message `last_seq`, the latest seen, carried: hits accepted up to then.  to_log: of the hits
    those that belong in logs of visitors.
    """

    publisher: str
    messages: int
    hits: int
    last_seq: int
    total: int
    dropped: Mapping[str, int]
    to_log: int = 0


class Tallies(Protocol):
    """For many threads."""

    def seen(self, mark: Mark) -> bool:
        """Whether the shard that keeps its publisher's tally has counted this message: what the audit closes on.

        Other shards may still be due, where a worker was killed between two; the message then comes again.
        """

    def audit(self, account: str) -> list[PublisherAudit]:
        """Every publisher that was heard of within the last week."""

"""What was counted of each publisher, and what could not be added."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from whale.cells import Name
from whale.dimension import Pk

MAX_NOTED = 64
"""Metrics of a shard whose amounts could not be added that are kept by name."""


@dataclass(frozen=True)
class PublisherAudit:
    """Sums over the messages of one publisher that a store has counted.

    total: the running total that its message `last_seq`, the latest seen, carried: hits accepted up to then.
    """

    publisher: str
    messages: int
    hits: int
    last_seq: int
    total: int
    dropped: Mapping[str, int]


class FaultyMetric(NamedTuple):
    """A metric whose amounts do not count in a pk, and why: mixed_kinds or too_many_metrics."""

    reason: str
    pk: Pk
    metric: str


class Audit(Protocol):
    """For many threads."""

    def seen(self, account: str, name: Name) -> bool:
        """Whether the shard that keeps its publisher's tally has counted this message: what the audit closes on.

        Other shards may still be due, where a worker was killed between two; the message then comes again.
        """

    def audit(self, account: str) -> list[PublisherAudit]:
        """Every publisher that was heard of within the last week."""

    def faults(self, account: str) -> dict[str, int]:
        """Cells that could not be added, by reason (overflow, wrong_type, mixed_kinds, too_many_metrics), since the account was made."""

    def faulty_metrics(self, account: str) -> list[FaultyMetric]:
        """Metrics whose amounts could not be added, in order: the first MAX_NOTED of each shard, until their pk is reset."""

    def faults_seen(self, account: str) -> dict[str, int]:
        """How many of `faults` there were, by reason, when somebody last said that they were seen."""

    def see_faults(self, account: str) -> None:
        """Takes note that all of `faults` were seen."""

    def evicted(self) -> int:
        """Keys that the servers threw away since they were started, to make room: what they held is lost."""

"""What could not be added, or was lost."""

from typing import NamedTuple, Protocol

from whale.dimension import Pk

MAX_NOTED = 64
"""Metrics of a shard whose amounts could not be added that are kept by name."""


class FaultyMetric(NamedTuple):
    """A metric whose amounts do not count in a pk, and why: mixed_kinds or too_many_metrics."""

    reason: str
    pk: Pk
    metric: str


class Faults(Protocol):
    """For many threads."""

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

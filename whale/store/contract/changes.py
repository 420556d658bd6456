"""Cells change otherwise than by hits: they are set, or reset."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from whale.dimension import Path, Pk
from whale.errors import CallerError
from whale.period import Interval

MAX_RESETS = 1000
RESET_KEPT_S = 31 * 86_400
"""How long a reset is remembered: a message that comes later, from a dead-letter queue, counts."""
OPERATION_KEPT_S = 31 * 86_400


@dataclass(frozen=True)
class Change:
    """Cells of one bucket that are set, under the id of an operation.

    amounts: by metric, as stored.  wider: the kept intervals that are coarser, and the bucket of each that contains this one.
    """

    id: str
    pk: Pk
    path: Path
    interval: Interval
    start: int
    end: int
    amounts: Mapping[str, int]
    wider: Mapping[Interval, int] = field(default_factory=dict)

    @property
    def prefixes(self) -> list[Path]:
        """The path and those above it, the root first."""
        return [self.path[:depth] for depth in range(len(self.path) + 1)]

    @property
    def buckets(self) -> dict[Interval, int]:
        return {self.interval: self.start, **self.wider}


def not_a_sum(metric: str, kind: str) -> CallerError:
    """What says that a metric cannot be set."""
    return CallerError(f"is of kind {kind}: only a metric of kind sum can be set", f"metrics.{metric}")


def is_below(one: tuple[Pk, Path | None], other: tuple[Pk, Path | None]) -> bool:
    """Whether what one reset (pk, path or None) takes is all taken by another one, too."""
    (pk, path), (above, top) = one, other
    if top is None:
        return pk[: len(above)] == above
    return pk == above and path is not None and path[: len(top)] == top


class Changes(Protocol):
    """For many threads."""

    def set(self, account: str, change: Change, now: float) -> dict[str, int]:
        """Sets the cells of one path and bucket to some amounts, as one atomic step among hits.

        The difference to what was there is added as a hit of that path would be: to the paths above it, to the wider
        buckets that contain this one, and in the pks above. Finer buckets stay, and `adjusted` says so.
        Returns the difference by metric. The same id again changes nothing and returns the same; with other content it
        is CallerError, as a path or a metric that only counts in `__other__`, and a metric that is no sum.
        A pk above that has the metric as another kind does not get it: cells of `mixed_kinds`.
        """

    def reset(self, account: str, pk: Pk, path: Path | None, now: float) -> None:
        """Forgets a pk and all pks below it; or a path of one pk and all paths below it. What is above keeps its sums.

        When this returns readers see nothing of it, and `apply` takes no hit of a message accepted before it there.
        Raises CallerError where more than MAX_RESETS are remembered.
        """

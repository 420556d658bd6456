"""Cells are read, and what is noted beside them."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from whale.dimension import Path, Pk
from whale.errors import TooManyPoints
from whale.period import Interval, width
from whale.store.contract.zones import Zones

Stretch = tuple[Interval, int, int]
"""Buckets that are read one after the other: interval, start, end."""
Buckets = tuple[Interval, Sequence[int]]
"""Buckets of one interval, by their starts, ascending."""
Wanted = tuple[Pk, Sequence[Path], Sequence[str]]
"""Of which paths of a pk which metrics are read."""


class Adjustment(NamedTuple):
    """A bucket in which something was set, or a range of buckets in which many were.

    path, metrics: what was set; None: nobody knows any more, and anything may have been.
    """

    interval: Interval
    start: int
    end: int
    path: Path | None = None
    metrics: tuple[str, ...] | None = None


class Overflowed(NamedTuple):
    """A cell that lacks an amount: with it, the sum would not have fitted into 64 bits. start: of its bucket."""

    path: Path
    metric: str
    interval: Interval
    start: int


class Notes(NamedTuple):
    """What is noted of a pk beside its cells.

    adjustments: for `touched`.  overflowed: the cells that lack an amount; None: too many to name them, and any may.
    """

    adjustments: Collection[Adjustment] = ()
    overflowed: Collection[Overflowed] | None = ()


class Reading(NamedTuple):
    """What was read of a pk at one moment. cells: by list of buckets, as `read` has them.

    notes, metrics, kinds: what the methods of these names said then.
    """

    cells: list[NDArray[np.int64]]
    notes: Notes
    metrics: list[str]
    kinds: dict[str, str]


def touched(adjustments: Collection[Adjustment], stretches: Iterable[Stretch]) -> list[bool]:
    """Whether each stretch overlaps a bucket that was set and is wider than its own: then it does not add up to that one."""
    return [any(touches(adjustment, each) for adjustment in adjustments) for each in stretches]


def touches(adjustment: Adjustment, stretch: Stretch) -> bool:
    """Whether a stretch overlaps a bucket that was set and is wider than its own."""
    interval, start, end = stretch
    return width(adjustment.interval) > width(interval) and adjustment.start < end and start < adjustment.end


def check_below(count: int, most: int) -> None:
    """Raises TooManyPoints where a question would add up more paths than it may."""
    if count > most:
        raise TooManyPoints(
            f"there are {count} paths below it, and the limit over this period is {most}: "
            "ask for one level, a deeper path, a wider interval or a shorter period",
            "dimension",
        )


class Rollups(Zones, Protocol):
    """For many threads."""

    def read(
        self,
        account: str,
        pk: Pk,
        paths: Sequence[Path],
        metrics: Sequence[str],
        interval: Interval,
        starts: Sequence[int],
    ) -> NDArray[np.int64]:
        """Cells as int64 of shape (paths, metrics, starts); 0 where nothing was counted.

        starts: epoch seconds of bucket starts, ascending.  Amounts as stored: `hits` plain, other metrics in millionths.
        """

    def read_several(
        self, account: str, pk: Pk, paths: Sequence[Path], metrics: Sequence[str], spans: Sequence[Buckets]
    ) -> Reading:
        """`read` of several such lists of buckets, and what the pk is like, at one moment and in one round trip."""

    def read_many(
        self,
        account: str,
        pks: Sequence[Pk],
        paths: Sequence[Path],
        metrics: Sequence[str],
        interval: Interval,
        starts: Sequence[int],
    ) -> NDArray[np.int64]:
        """`read` of several pks, (pks, paths, metrics, starts), in one round trip, or three where a dictionary has changed."""

    def read_each(
        self, account: str, wanted: Sequence[Wanted], interval: Interval, starts: Sequence[int]
    ) -> list[NDArray[np.int64]]:
        """`read` of several pks, each with paths and metrics of its own, in as many round trips as `read_many`."""

    def read_below(
        self,
        account: str,
        pk: Pk,
        path: Path,
        levels: int,
        metrics: Sequence[str],
        interval: Interval,
        groups: Sequence[Sequence[int]],
        most: int,
    ) -> tuple[list[Path], NDArray[Any]]:
        """A path, then the paths up to so many levels below it as `descendants` has them, and what their cells add up to.

        path: CHILD_PKS is the root, then the nodes of the child pks.  groups: starts of buckets, ascending, in order.
        Sums have the shape (paths, metrics, groups): int64, or Python's integers where 64 bits might not hold them.
        Raises TooManyPoints where there are more than `most` paths.  One read of the pages, nothing for each path.
        """

    def read_values(
        self, account: str, pk: Pk, paths: Sequence[Path], metric: str, interval: Interval, starts: Sequence[int]
    ) -> list[list[int | None]]:
        """Of a min, max or last: for each path the value of each bucket, in millionths; None where there is none."""

    def read_distinct(
        self,
        account: str,
        pk: Pk,
        paths: Sequence[Path],
        metric: str,
        interval: Interval,
        groups: Sequence[Sequence[int]],
    ) -> list[list[int | None]]:
        """For each path how many names the union of each group of buckets has, give or take 0.81 %.

        groups: starts of buckets.  None where names are not kept: too deep, or past `max_distinct_nodes`.
        """

    def adjusted(self, account: str, pk: Pk, stretches: Sequence[Stretch]) -> list[bool]:
        """Whether each stretch overlaps a wider bucket in which something was set. One read."""

    def notes(self, account: str, pk: Pk) -> Notes:
        """What is noted of a pk beside its cells. One read, and one more where a cell lacks an amount."""

    def adjustments_of(self, account: str, pks: Sequence[Pk]) -> list[Collection[Adjustment]]:
        """What was set in each of these pks. One read, and one more where something was."""

    def keys_of(
        self, account: str, pk: Pk, paths: Sequence[Path], interval: Interval, starts: Sequence[int]
    ) -> list[str]:
        """Names of what holds those cells, for people who look into a store."""

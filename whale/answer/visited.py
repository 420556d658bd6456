"""Who came: visitors of a range and of each of its buckets, the events that happened, and the history of one visitor. Pure.

A visitor is one number in one partition, so partitions add up. New is who had no event before, as far back as the log is kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whale.answer import ranges
from whale.store.contract.events import Column, Logged
from whale.sums import distinct
from whale.visitors.crowd import Bits, count
from whale.visitors.entries import EVENT, TICKS_A_MS

Numbers = NDArray[np.uint32]


class Visits(NamedTuple):
    """new: of the visitors those who had no event before."""

    visitors: int
    new: int

    @property
    def returning(self) -> int:
        return self.visitors - self.new


@dataclass(frozen=True)
class Partition:
    """before: the visitors who had an event before the range.  during: what was said in it."""

    before: Numbers
    during: Logged


class Happened(NamedTuple):
    """An event of a range. last_ms: when it happened last."""

    event: str
    times: int
    visitors: int
    last_ms: int


def visits(partitions: Iterable[Partition], starts: Sequence[int]) -> tuple[Visits, list[Visits]]:
    """Of a whole range, and of each of its buckets. starts: of these, in epoch seconds, the first one that of the range."""
    edges = np.array(starts, np.int64) * 1000 * TICKS_A_MS
    whole, buckets = np.zeros(2, np.int64), np.zeros((len(starts), 2), np.int64)
    for each in partitions:
        who, at = _visitors_and_buckets(each.during, edges)
        if not len(who):
            continue
        pairs = distinct(who.astype(np.int64) * len(edges) + at)
        owners = pairs // len(edges)
        first = np.flatnonzero(np.diff(owners, prepend=-1))  # of each visitor the earliest bucket
        people = owners[first]
        is_new = ~np.isin(people, each.before)
        whole += len(people), is_new.sum()
        buckets[:, 0] += np.bincount(pairs % len(edges), minlength=len(edges))
        buckets[:, 1] += np.bincount(pairs[first][is_new] % len(edges), minlength=len(edges))
    return Visits(*whole.tolist()), [Visits(*row) for row in buckets.tolist()]


def visits_of_sets(partitions: Iterable[Sequence[Bits]]) -> tuple[Visits, list[Visits]]:
    """The same from who came. partitions: of each who came before the range, and who in each of its buckets."""
    whole, found = np.zeros(2, np.int64), np.zeros((0, 2), np.int64)
    for before, *buckets in partitions:
        if not len(found):
            found = np.zeros((len(buckets), 2), np.int64)
        everybody = np.zeros_like(before)
        for place, came in enumerate(buckets):
            new = count(came & ~(before | everybody))
            everybody |= came
            found[place] += count(came), new
            whole[1] += new
        whole[0] += count(everybody)
    return Visits(*whole.tolist()), [Visits(*row) for row in found.tolist()]


def happened(partitions: Iterable[Logged]) -> list[Happened]:
    """The events of a range, the most frequent first."""
    found: dict[str, Happened] = {}
    for logged in partitions:
        for (kind, name), column in logged.columns.items():
            if kind == EVENT:
                times, visitors, last_ms = (found.get(name) or Happened(name, 0, 0, 0))[1:]
                last_ms = max(last_ms, int(column.ticks.max()) // TICKS_A_MS)
                found[name] = Happened(
                    name, times + len(column.ticks), visitors + len(distinct(column.visitors)), last_ms
                )
    return sorted(found.values(), key=lambda each: (-each.times, each.event))


def history(logged: Logged, most: int | None = None) -> list[tuple[int, str]]:
    """What the visitors of a partition did: tick and event, in order. most: the last ones alone."""
    of_events = sorted(
        ((name, column.ticks) for (kind, name), column in logged.columns.items() if kind == EVENT),
        key=lambda each: each[0],
    )
    ticks = np.concatenate([np.zeros(0, np.int64), *(mine for _, mine in of_events)])
    order = np.argsort(ticks, kind="stable")[0 if most is None else max(0, len(ticks) - most) :]
    ends = np.cumsum([len(mine) for _, mine in of_events])
    places = np.searchsorted(ends, order, "right").tolist()
    return [(tick, of_events[place][0]) for tick, place in zip(ticks[order].tolist(), places, strict=True)]


def happened_times(logged: Logged) -> int:
    """How many events there were."""
    return sum(len(column.ticks) for column in _events(logged))


def _events(logged: Logged) -> Iterable[Column]:
    return (column for (kind, _), column in logged.columns.items() if kind == EVENT)


def _visitors_and_buckets(logged: Logged, edges: NDArray[np.int64]) -> tuple[Numbers, ranges.Ints]:
    columns = list(_events(logged))
    if not columns:
        return np.zeros(0, np.uint32), np.zeros(0, np.int64)
    ticks = np.concatenate([column.ticks for column in columns])
    who = np.concatenate([column.visitors for column in columns])
    return who, ranges.bucket_of(edges, ticks)

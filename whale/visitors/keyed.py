"""Records of one event or one property, each as one number that sorts: its visitor, then its tick since a beginning. Pure.

A visitor has 27 bits and a tick 37, which is 32 days. So an event takes 8 bytes, some visitors are a slice, and what lies in several places
is put in order by numpy's sort of numbers, which merges runs that are in order.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TICK_BITS = 37
TICKS = (1 << TICK_BITS) - 1
Keys = NDArray[np.uint64]
Values = NDArray[np.unsignedinteger[Any]]


class Keyed(NamedTuple):
    """first: the tick since which theirs count.  keys: in order.

    values: those of one key in order; None where all are 0, as those of events.
    """

    first: int
    keys: Keys
    values: Values | None = None

    @property
    def visitors(self) -> NDArray[np.uint32]:
        return (self.keys >> np.uint64(TICK_BITS)).astype(np.uint32)

    @property
    def ticks(self) -> NDArray[np.int64]:
        """Since 1970."""
        return (self.keys & np.uint64(TICKS)).astype(np.int64) + self.first

    @property
    def bytes(self) -> int:
        return int(self.keys.nbytes) + (0 if self.values is None else int(self.values.nbytes))

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last visitor. It has records."""
        return int(self.keys[0]) >> TICK_BITS, int(self.keys[-1]) >> TICK_BITS

    def some(self, which: Any) -> "Keyed":
        return Keyed(self.first, self.keys[which], None if self.values is None else self.values[which])

    def between(self, low: int, high: int) -> "Keyed":
        """Those of the visitors from one number up to another: a view."""
        begin, end = np.searchsorted(self.keys, edges(low, high))
        return self.some(slice(begin, end))

    def of(self, who: NDArray[np.uint32]) -> "Keyed":
        """Those of some visitors, who are in order."""
        first = who.astype(np.uint64) << np.uint64(TICK_BITS)
        low, high = np.searchsorted(self.keys, first), np.searchsorted(self.keys, first | np.uint64(TICKS), "right")
        counts = high - low
        return self.some(np.repeat(low - np.cumsum(counts) + counts, counts) + np.arange(counts.sum()))

    def alone(self) -> "Keyed":
        """A copy where it is a small piece of something, which else would stay in memory with it."""
        whole = self.keys.base
        if whole is None or 2 * self.keys.nbytes > whole.nbytes:
            return self
        return Keyed(self.first, self.keys.copy(), None if self.values is None else self.values.copy())

    def within(self, first: int, end: int) -> "Keyed":
        """Those in [first, end)."""
        if first >= end:
            return self.some(slice(0, 0))
        ticks = self.keys & np.uint64(TICKS)
        which = ticks >= np.uint64(max(0, first - self.first))
        which &= ticks < np.uint64(max(0, min(end - self.first, TICKS + 1)))
        return self.some(which) if first - self.first <= TICKS else self.some(slice(0, 0))


def edges(*numbers: int) -> Keys:
    """The keys at which visitors begin. Past the last number that there may be it is the greatest key."""
    return np.array([min(number << TICK_BITS, 2**64 - 1) for number in numbers], np.uint64)


def keyed(visitors: NDArray[np.uint32], ticks: NDArray[np.int64], values: Values | None) -> list[Keyed]:
    """Records in order, of any time: several, where they are of more than 32 days."""
    if not len(ticks):
        return []
    first = int(ticks.min())
    since = ticks - first
    stretch = since >> TICK_BITS
    found = []
    for number in range(int(stretch.max()) + 1):
        mine = stretch == number
        if mine.any():
            keys = visitors[mine].astype(np.uint64) << np.uint64(TICK_BITS) | (since[mine] & TICKS).astype(np.uint64)
            found.append(Keyed(first + (number << TICK_BITS), keys, None if values is None else values[mine]))
    return found


def joined(several: Sequence[Keyed]) -> Keyed:
    """Together in order. All are of the same 32 days."""
    if len(several) == 1:
        return several[0]
    first = min(each.first for each in several)
    keys = np.concatenate([_since(each, first) for each in several])
    if all(each.values is None for each in several):
        keys.sort(kind="stable")
        return Keyed(first, keys)
    values = np.concatenate(
        [np.zeros(len(each.keys), np.uint8) if each.values is None else each.values for each in several]
    )
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    if not (ordered[1:] != ordered[:-1]).all():
        order = np.lexsort((values, keys))
    return Keyed(first, ordered, values[order])


def _since(some: Keyed, first: int) -> Keys:
    return some.keys if some.first == first else some.keys + np.uint64(some.first - first)

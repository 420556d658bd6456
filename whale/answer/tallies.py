"""What the visitors of a funnel add up to, kept so that some of them can be taken away and added again. Pure.

All but times are exact. A time is in a bin, 1 % wide, so a median or a quantile is less than 1 % off.
"""

import math

import numpy as np
from numpy.typing import NDArray

from whale.answer.funnels import Reached, Step
from whale.answer.ranges import Ints

WIDTH = math.log(1.01)
BINS = 2900
"""Up to 366 days and some more, in ticks."""
NONE = np.zeros(0, np.int64)


class Tallied(Step):
    """A step whose median and p90 are known already."""

    def __init__(self, visitors: int, occurrences: int, open: int, bins: Ints):
        super().__init__(visitors, occurrences, open)
        self._quantiles = {share: _quantile(bins, share) for share in (0.5, 0.9)}

    def quantile(self, share: float) -> int | None:
        return self._quantiles[share]


class Tally:
    """Of each step: visitors, events, times, and until when visitors may still get further. floor: the earliest end that is kept."""

    def __init__(self, steps: int, floor: int):
        self.floor = floor
        self._counts = np.zeros((2, steps), np.int64)
        self._bins = np.zeros((steps, BINS), np.int64)
        self._until: list[Ints] = [NONE] * steps

    def add(self, number: int, reached: Reached) -> None:
        """What a range of visitors reached, all of which ends at the floor or later."""
        self._counts[:, number] += len(reached.people), len(reached.here)
        if reached.took is not None and len(reached.took):
            self._bins[number] += np.bincount(_bins(reached.took), minlength=BINS)
        self._until[number] = np.sort(np.append(self._until[number], reached.until))

    def replace(self, before: "Tally", after: "Tally") -> None:
        """Some visitors are as they are now. Both have this one's floor."""
        self._counts += after._counts - before._counts
        self._bins += after._bins - before._bins
        for number, until in enumerate(self._until):
            left = np.delete(until, _places(until, before._until[number]))
            new = after._until[number]
            self._until[number] = np.insert(left, np.searchsorted(left, new), new)

    def raise_floor(self, floor: int) -> None:
        self.floor = floor
        self._until = [until[np.searchsorted(until, floor) :] for until in self._until]

    def steps(self, as_of: int) -> list[Step]:
        found: list[Step] = []
        for number, until in enumerate(self._until):
            visitors, occurrences = self._counts[:, number].tolist()
            open_ = len(until) - int(np.searchsorted(until, as_of))
            found.append(Tallied(visitors, occurrences, open_, self._bins[number]))
        return found

    @property
    def bytes(self) -> int:
        return int(self._counts.nbytes + self._bins.nbytes + sum(until.nbytes for until in self._until))


def _quantile(bins: Ints, share: float) -> int | None:
    count = int(bins.sum())
    if not count:
        return None
    place = int(np.searchsorted(np.cumsum(bins), int(share * count), "right"))
    return round(math.exp((place + 0.5) * WIDTH)) - 1


def _bins(took: Ints) -> NDArray[np.int64]:
    return np.minimum((np.log1p(took.astype(np.float64)) / WIDTH).astype(np.int64), BINS - 1)


def _places(whole: Ints, some: Ints) -> Ints:
    """Where some numbers stand among others, each at another place. Both are in order."""
    return np.searchsorted(whole, some) + np.arange(len(some)) - np.searchsorted(some, some)

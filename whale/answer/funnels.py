"""Funnels: how many visitors did one thing after the other. Pure.

Steps are strictly later each, and from the first to the last no more than a window passes. Of all chains that end with the same event, the
one that began last matters alone: it is the shortest, and the last to leave the window. So a chain is one number, when it began.

    events of a step, by visitor and tick ── the chain before each ──► chains that go on ──► events of the next step

It works in ranges of visitors, see ranges.py. A step may have conditions; a step without any costs nothing more for those that others have.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from whale.answer import ranges
from whale.answer.conditions import Fulfilled
from whale.answer.ranges import TICK_BITS, TICKS, Ints
from whale.store.contract.events import Column


@dataclass
class Step:
    """visitors: who got here.  occurrences: events that a chain led to.  open: of those who got no further, who still may.

    took: of each visitor but at the first step, ticks of the shortest chain that first got here.
    """

    visitors: int = 0
    occurrences: int = 0
    open: int = 0
    took: list[Ints] = field(default_factory=list)

    def quantile(self, share: float) -> int | None:
        """Of what it took, in ticks."""
        took = np.concatenate(self.took) if self.took else np.zeros(0, np.int64)
        place = int(share * len(took))
        return int(np.partition(took, place)[place]) if len(took) else None


class Partition(NamedTuple):
    """columns: the events of each step; None where there are none.  tests: what these must fulfil; None for nothing, or for all steps."""

    columns: Sequence[Column | None]
    tests: Sequence[Fulfilled | None] = ()


def funnel(partitions: Iterable[Partition], window: int, as_of: int) -> list[Step]:
    """Of each step.

    window: ticks from the first to the last step.  as_of: the tick before which all that happened is known.
    """
    found: list[Step] = []
    for columns, tests in partitions:
        found = found or [Step() for _ in columns]
        known = [column for column in columns if column is not None and len(column.ticks)]
        if not known or columns[0] is None:
            continue
        first = min(int(column.ticks.min()) for column in known)
        lowest = min(int(column.visitors[0]) for column in known)
        highest = max(int(column.visitors[-1]) for column in known)
        sources = list(zip(columns, tests or [None] * len(columns), strict=True))
        for begin in ranges.begins(highest, lowest):
            _range([_keys(*source, begin, first) for source in sources], first, window, as_of, found)
    return found


def _keys(column: Column | None, test: Fulfilled | None, begin: int, first: int) -> Ints:
    """Visitor and tick of each event in a range of visitors, as one number, rising."""
    if column is None:
        return np.zeros(0, np.int64)
    some = ranges.within(column, begin)
    return ranges.keys(test.of(some) if test else some, begin, first)


def _range(steps: Sequence[Ints], first: int, window: int, as_of: int, found: Sequence[Step]) -> None:
    """Adds what visitors of a range did."""
    before, began = steps[0], steps[0] & TICKS
    people = np.zeros(0, np.int64)
    until = people
    for number, (step, keys) in enumerate(zip(found, steps, strict=True)):
        if number:
            keys, began = _led_to(keys, before, began, window)
        here = keys >> TICK_BITS
        is_first = np.diff(here, prepend=-1) != 0
        if number:
            step.took.append(((keys & TICKS) - began)[is_first])
            found[number - 1].open += int((until[~np.isin(people, here)] >= as_of - first).sum())
        step.visitors += int(is_first.sum())
        step.occurrences += len(keys)
        is_last = np.diff(here, append=-1) != 0
        people, until = here[is_last], began[is_last] + window
        before = keys


def _led_to(keys: Ints, before: Ints, began: Ints, window: int) -> tuple[Ints, Ints]:
    """The events that a chain leads to, and when it began. before, began: of events of the step before."""
    if not len(before):
        return before, began
    place = np.searchsorted(before, keys) - 1
    is_led = (place >= 0) & (before[place] >> TICK_BITS == keys >> TICK_BITS)
    start = began[place]
    is_led &= (keys & TICKS) - start <= window
    return keys[is_led], start[is_led]

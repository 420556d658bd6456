"""Funnels: how many visitors did one thing after the other. Pure.

Steps are strictly later each, and from the first to the last no more than a window passes. Of all chains that end with the same event, the
one that began last matters alone: it is the shortest, and the last to leave the window. So a chain is one number, when it began.

    events of a step, by visitor and tick ── the chain before each ──► chains that go on ──► events of the next step

It works in ranges of visitors, see ranges.py. A step may have conditions; a step without any costs nothing more for those that others have.
The same pass splits a funnel by groups of visitors, and notes when they began.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from whale.answer import ranges
from whale.answer.conditions import Fulfilled
from whale.answer.ranges import TICK_BITS, TICKS, Ints
from whale.store.contract.events import Column

NONE = np.zeros(0, np.int64)
FEW = 0.6
"""Of the visitors of the first step: if fewer are left, what others did is left out before anything else is done with it."""
FURTHEST = (1 << TICK_BITS - 1) - 1
"""Ticks that two events of a visitor may be apart: 22 years. The keys of two visitors are further apart."""
GroupOf = NDArray[np.unsignedinteger[Any]]
"""Of each visitor of a range."""
Which = NDArray[np.bool_]


@dataclass
class Step:
    """visitors: who got here.  occurrences: events that a chain led to.  open: of those who got no further, who still may.

    took: of each visitor but at the first step, ticks of the shortest chain that first got here.
    """

    visitors: int = 0
    occurrences: int = 0
    open: int = 0
    took: list[Ints] = field(default_factory=list)

    def add(self, reached: "Reached") -> None:
        self.visitors += len(reached.people)
        self.occurrences += len(reached.here)
        self.open += len(reached.stay)
        if reached.took is not None:
            self.took.append(reached.took)

    def quantile(self, share: float) -> int | None:
        """Of what it took, in ticks."""
        took = np.concatenate(self.took) if self.took else np.zeros(0, np.int64)
        place = int(share * len(took))
        return int(np.partition(took, place)[place]) if len(took) else None


class Groups(NamedTuple):
    """The group of each visitor. visitors: in order.  places: their groups.  rest: that of all others.  known: number of groups."""

    visitors: NDArray[np.uint32]
    places: Ints
    rest: int
    known: int

    def within(self, begin: int) -> GroupOf:
        """Of each visitor of a range."""
        found = np.full(ranges.SPAN, self.rest, np.min_scalar_type(self.known))  # few bytes are sorted faster
        low, high = ranges.places(self.visitors, begin)
        found[self.visitors[low:high] - np.uint32(begin)] = self.places[low:high]
        return found


class Partition(NamedTuple):
    """All of a partition, or of some visitors of one.

    columns: the events of each step; None where there are none.  tests: what these must fulfil; None for nothing, or for all steps.
    """

    columns: Sequence[Column | None]
    tests: Sequence[Fulfilled | None] = ()
    groups: Groups | None = None


class Reached(NamedTuple):
    """Who of a range got to a step. people: each once, in order.  here: of each event that a chain led to, whose it is.

    took: of each of the people, but at the first step.  stay: of them, who get no further and still may.  until: when each of these has to.
    """

    people: Ints
    here: Ints
    took: Ints | None
    stay: Ints
    until: Ints


class Adding(Protocol):
    """What is told of each range of visitors, step by step; `until` in ticks since 1970."""

    def add(self, number: int, reached: Reached) -> None: ...


class Split:
    """The same of each group of visitors, in one pass. There may be more groups with each partition."""

    def __init__(self, steps: int):
        self._counts = np.zeros((steps, 3, 0), np.int64)
        self._took: list[list[Ints]] = [[] for _ in range(steps)]
        self._whose: list[list[GroupOf]] = [[] for _ in range(steps)]
        self._sorted: list[tuple[Ints, Ints] | None] = [None] * steps

    @property
    def began(self) -> Ints:
        """Visitors of the first step, by group."""
        found: Ints = self._counts[0, 0]
        return found

    @property
    def reached(self) -> Ints:
        """Of each step, visitors and occurrences, by group."""
        return self._counts[:, :2]

    @property
    def _groups(self) -> int:
        return self._counts.shape[2]

    def grow(self, groups: int) -> None:
        more = max(0, groups - self._groups)
        self._counts = np.pad(self._counts, ((0, 0), (0, 0), (0, more)))

    def add(self, number: int, reached: Reached, group_of: GroupOf) -> None:
        for counts, people in zip(self._counts[number], (reached.people, reached.here, reached.stay), strict=True):
            counts += np.bincount(group_of[people], minlength=self._groups)
        if reached.took is not None:
            self._took[number].append(reached.took)
            self._whose[number].append(group_of[reached.people])

    def steps(self, groups: Sequence[int]) -> list[Step]:
        """Of some groups together."""
        found = []
        for number, of_step in enumerate(self._counts):
            visitors, occurrences, open_ = of_step[:, groups].sum(axis=1).tolist()
            found.append(Step(visitors, occurrences, open_, self._took_by(number, groups)))
        return found

    def _took_by(self, number: int, groups: Sequence[int]) -> list[Ints]:
        if not self._took[number]:
            return []
        known = self._sorted[number]
        if known is None:
            whose = np.concatenate(self._whose[number])
            order = np.argsort(whose, kind="stable")
            known = self._sorted[number] = (
                np.concatenate(self._took[number])[order],
                np.cumsum(np.bincount(whose, minlength=self._groups)),
            )
        took, ends = known
        return [took[ends[group - 1] if group else 0 : ends[group]] for group in groups]


@dataclass
class Rate:
    """Visitors by the bucket in which they began. edges: ticks at which buckets begin, the first one that of the range.

    began: by their first event of the first step, each once.  ended: of these, who got to the last step.
    """

    edges: Ints
    began: Ints = field(init=False)
    ended: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.began, self.ended = np.zeros(len(self.edges), np.int64), np.zeros(len(self.edges), np.int64)

    def add(self, keys: Ints, first: int, last: Reached) -> None:
        """keys: of the first step."""
        here = keys >> TICK_BITS
        is_first = np.diff(here, prepend=-1) != 0
        people = here[is_first]
        at = ranges.bucket_of(self.edges, (keys[is_first] & TICKS) + first)
        self.began += np.bincount(at, minlength=len(self.edges))
        self.ended += np.bincount(at[np.searchsorted(people, last.people)], minlength=len(self.edges))


class Ranged(NamedTuple):
    """A range of visitors. begin: the first of them.  first: the tick since which theirs count.  keys: of the first step.

    group_of: of each visitor, of so many known groups.
    """

    begin: int
    first: int
    keys: Ints
    reached: list[Reached]
    group_of: GroupOf | None
    known: int


class Counted(NamedTuple):
    """What a partition, or some visitors of one, say of so many steps."""

    steps: int
    ranges: list[Ranged]


def funnel(
    partitions: Iterable[Partition],
    window: int,
    as_of: int,
    split: Split | None = None,
    rate: Rate | None = None,
    tally: Adding | None = None,
) -> list[Step]:
    """Of each step.

    window: ticks from the first to the last step.  as_of: the tick before which all that happened is known.
    split, rate, tally: are filled, where they are asked for.
    """
    return added((counted(each, window, as_of) for each in partitions), split, rate, tally)


def counted(partition: Partition, window: int, as_of: int) -> Counted:
    """For any thread."""
    columns, tests, groups = partition
    known = [column for column in columns if column is not None and len(column)]
    found = Counted(len(columns), [])
    if not known or columns[0] is None:
        return found
    first = min(column.since for column in known)
    lowest, highest = ranges.span(known)
    tests = tests or [None] * len(columns)
    for begin in ranges.begins(highest, lowest):
        of_range = _OfRange(columns, tests, begin, first)
        keys = of_range.keys(0)
        reached = _range(of_range, keys, window, as_of - first)
        group_of = groups.within(begin) if groups else None
        found.ranges.append(Ranged(begin, first, keys, reached, group_of, groups.known if groups else 0))
    return found


def added(
    several: Iterable[Counted], split: Split | None = None, rate: Rate | None = None, tally: Adding | None = None
) -> list[Step]:
    """All of them together."""
    found: list[Step] = []
    for each in several:
        found = found or [Step() for _ in range(each.steps)]
        for some in each.ranges:
            for number, reached in enumerate(some.reached):
                found[number].add(reached)
                if tally:
                    tally.add(number, reached._replace(until=reached.until + some.first))
            if split and some.group_of is not None:
                split.grow(some.known)
                for number, reached in enumerate(some.reached):
                    split.add(number, reached, some.group_of)
            if rate:
                rate.add(some.keys, some.first, some.reached[-1])
    return found


class _OfRange(NamedTuple):
    """The steps, of a range of visitors. tests, columns: as a Partition has them.  first: no tick is earlier."""

    columns: Sequence[Column | None]
    tests: Sequence[Fulfilled | None]
    begin: int
    first: int

    def keys(self, number: int, who: Which | None = None) -> Ints:
        """Visitor and tick of each event of a step, as one number, rising. who: whose are enough, of all visitors of the range."""
        column, test = self.columns[number], self.tests[number]
        if column is None:
            return NONE
        some = ranges.within(column, self.begin)
        if who is not None:
            some = ranges.of_some(some, self.begin, who)
        return ranges.keys(test.of(some) if test else some, self.begin, self.first)

    def may(self, number: int, people: Ints) -> Which:
        """Which visitors may still have an event of a step that fulfils its conditions."""
        test = self.tests[number]
        return test.may((people + self.begin).astype(np.uint32)) if test else np.ones(len(people), np.bool_)


def _range(steps: _OfRange, keys: Ints, window: int, as_of: int) -> list[Reached]:
    """What visitors of a range did, step by step. keys: of the first step.  as_of: as ticks of steps are.

    began: of each event that a chain led to, when it began, with the visitor, as keys are.
    """
    found: list[Reached] = []
    began, until = keys, NONE
    there = np.zeros(0, np.bool_)
    for number in range(len(steps.columns)):
        if number:
            people = found[-1].people
            few = len(people) < FEW * len(found[0].people)
            keys, began = _led_to(steps.keys(number, there if few else None), keys, began, window)
        here = keys >> TICK_BITS
        edges = np.flatnonzero(here[1:] != here[:-1])
        first, last = np.append(0, edges + 1)[: len(here)], np.append(edges, len(here) - 1)[: len(here)]
        reached = here[first]
        there = np.zeros(ranges.SPAN, np.bool_)
        there[reached] = True
        if number:
            may = ~there[people] & (until >= as_of)
            may[may] = steps.may(number, people[may])
            found[-1] = found[-1]._replace(stay=people[may], until=until[may])
        took = keys[first] - began[first] if number else None
        until = (began[last] & TICKS) + window
        found.append(Reached(reached, here, took, NONE, NONE))
    return found


def _led_to(keys: Ints, before: Ints, began: Ints, window: int) -> tuple[Ints, Ints]:
    """The events that a chain leads to, and when it began. before, began: of events of the step before.

    Events of two visitors are further apart than any window, so one comparison asks for the visitor too.
    """
    if not len(before):
        return before, began
    keys = keys[np.searchsorted(keys, before[0], "right") :]
    start = began[np.searchsorted(before, keys) - 1]
    is_led = np.flatnonzero(keys - start <= min(window, FURTHEST))
    return keys[is_led], start[is_led]

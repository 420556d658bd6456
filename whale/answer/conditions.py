"""Conditions on properties: which visitors, or which of their events, fulfil them. Pure.

| when | the value that a condition looks at |
| --- | --- |
| LAST, FIRST | the visitor's, for all of their events, also for those before it |
| ANY | each that the visitor ever had |
| AT | the one that the visitor had at the event: it came with the event, or was the last one before it |
| EVENT | the one that came with this very event; a property of events |

To have no value is NOTHING, which may be asked for as a value is. So a negated condition holds for exactly those for whom the condition
does not. Values at one tick have the order of their texts, as in properties.py: the greatest is the last.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whale.answer import ranges
from whale.answer.properties import ANY, FIRST, LAST, ranks, value_of
from whale.store.contract.events import Column, Logged, Said
from whale.sums import distinct
from whale.visitors.entries import EVENT_PROPERTY, OTHER, PROPERTY

AT, EVENT = "at", "event"
OF_VISITORS = (ANY, LAST, FIRST)
WHENS = (*OF_VISITORS, AT, EVENT)
NOTHING = "null"
"""In the place of a value's JSON: there is none. No property has this value."""
Numbers = NDArray[np.uint32]
Which = NDArray[np.bool_]


class Condition(NamedTuple):
    """name: of a property.  values: as JSON; one of them must be there.  is_not: none of them may.  when: of WHENS."""

    name: str
    values: frozenset[str]
    is_not: bool = False
    when: str = LAST

    @property
    def said(self) -> Said:
        """The property that it looks at."""
        return EVENT_PROPERTY if self.when == EVENT else PROPERTY, self.name


def shown_again(condition: Condition) -> dict[str, Any]:
    """As it may be asked for again."""
    values = [None if text == NOTHING else value_of(text) for text in sorted(condition.values) if text != OTHER]
    verb = "not" if condition.is_not else "is" if len(values) == 1 else "in"
    return {
        "property": condition.name,
        verb: values if verb == "in" else values[0],
        "when": condition.when,
    }


class Wanted(NamedTuple):
    """An event, and all that it must fulfil."""

    event: str
    where: tuple[Condition, ...] = ()


def asked_again(wanted: Wanted) -> Any:
    """As it may be asked for again."""
    where = [shown_again(each) for each in wanted.where]
    return {"event": wanted.event, "where": where} if where else wanted.event


class Fulfilled:
    """Which visitors and which records of events fulfil all of some conditions, in one partition."""

    def __init__(self, where: Sequence[Condition], checks: "Checks"):
        self._where, self._checks = where, checks
        self._tests = [checks.of(each) for each in dict.fromkeys(where)]
        self._certain: list[Fulfilled] | None = None

    def of(self, column: Column) -> Column:
        """The records of an event that do. Works in ranges of visitors, so a column of one range costs no copy but the answer."""
        if not self._tests or not len(column):
            return column
        first, last = column.span
        which = np.concatenate(
            [self._in_range(ranges.within(column, begin), begin) for begin in ranges.begins(last, first)]
        )
        return column.some(which)

    def visitors(self, numbers: Numbers) -> Numbers:
        """Those of some visitors, in order, who do. The conditions are OF_VISITORS."""
        column = Column(numbers, np.zeros(len(numbers), np.int64), np.zeros(len(numbers), np.uint32))
        return self.of(column).visitors

    def may(self, numbers: Numbers) -> Which:
        """Which of some visitors, in order, may still have an event that does, by each of the conditions: whatever comes."""
        which = np.ones(len(numbers), np.bool_)
        if self._certain is None:
            certain = dict.fromkeys(filter(None, map(_certain, self._where)))
            self._certain = [Fulfilled([each], self._checks) for each in certain]
        for each in self._certain:
            which &= np.isin(numbers, each.visitors(numbers))
        return which

    def _in_range(self, column: Column, begin: int) -> Which:
        which = np.ones(len(column.visitors), np.bool_)
        for test in self._tests:
            which &= test(column, begin)
        return which


def _certain(condition: Condition) -> Condition | None:
    """The condition on a visitor that must hold now, so that the given one may hold for an event to come; None where any may do.

    A first value stays, and so does each that a visitor ever had, as well as that they have one.
    """
    values, is_alone = condition.values, condition.values == {NOTHING}
    if condition.when == FIRST:
        return condition._replace(values=values ^ {NOTHING} if (NOTHING in values) == condition.is_not else values)
    if condition.when == ANY and condition.is_not:
        return condition._replace(values=values - {NOTHING}) if not is_alone else None
    if condition.when != EVENT and is_alone and not condition.is_not:
        return condition._replace(when=ANY)
    return None


_Test = Callable[[Column, int], Which]
"""Which records pass of a range of visitors, which begins there."""


class Checks:
    """Of one partition, or of some visitors of one. Equal conditions share a test, and those on one property its values in order."""

    def __init__(self, logged: Logged):
        """logged: all that is kept of the properties; those of events may be of the same time as the events."""
        self._logged = logged
        self._tests: dict[Condition, _Test] = {}
        self._in_order: dict[Said, Column] = {}

    def of(self, condition: Condition) -> _Test:
        if condition not in self._tests:
            self._tests[condition] = self._made(condition)
        return self._tests[condition]

    def _made(self, condition: Condition) -> _Test:
        said = condition.said
        texts, column = self._logged.values_of.get(said, ()), self._logged.columns.get(said)
        if column is None:
            is_fulfilled = (NOTHING in condition.values) != condition.is_not
            return lambda some, begin: np.full(len(some.visitors), is_fulfilled)
        if condition.when != EVENT:
            if said not in self._in_order:
                self._in_order[said] = in_order(column, texts)
            column = self._in_order[said]
        return _test(condition, column, texts)


def _test(condition: Condition, column: Column, texts: Sequence[str]) -> _Test:
    is_wanted = np.fromiter((text in condition.values for text in texts), np.bool_, len(texts))[column.values]
    if condition.when in OF_VISITORS:
        return _of_visitors(condition, column, is_wanted)
    return _OfEvents(condition, column, is_wanted)


def in_order(column: Column, texts: Sequence[str]) -> Column:
    """Values at one tick by their texts."""
    is_tie = (np.diff(column.ticks) == 0) & (np.diff(column.visitors) == 0)
    if not is_tie.any():
        return column
    order = np.lexsort((ranks(texts)[column.values], column.ticks, column.visitors))
    return Column(column.visitors[order], column.ticks[order], column.values[order])


def _of_visitors(condition: Condition, column: Column, is_wanted: Which) -> _Test:
    """By numbers of visitors, found once."""
    edge = column.visitors[1:] != column.visitors[:-1]
    if condition.when == LAST:
        is_wanted = is_wanted & np.append(edge, True)
    elif condition.when == FIRST:
        is_wanted = is_wanted & np.append(True, edge)
    numbers, is_not = distinct(column.visitors[is_wanted]), condition.is_not
    if NOTHING in condition.values:  # all pass but who has a value and none that is wanted
        having = distinct(column.visitors)
        numbers, is_not = having[~np.isin(having, numbers)], not is_not

    def test(some: Column, begin: int) -> Which:
        low, high = ranges.places(numbers, begin)
        is_there = np.zeros(ranges.SPAN, np.bool_)
        is_there[numbers[low:high] - np.uint32(begin)] = True
        which: Which = is_there[some.visitors - np.uint32(begin)]
        return ~which if is_not else which

    return test


class _OfEvents:
    """By visitor and tick of each event."""

    def __init__(self, condition: Condition, column: Column, is_wanted: Which):
        self._condition, self._column, self._is_wanted = condition, column, is_wanted
        self._earliest = int(column.ticks.min())

    def __call__(self, some: Column, begin: int) -> Which:
        if not len(some.visitors):
            return np.zeros(0, np.bool_)
        first = min(self._earliest, int(some.ticks.min()))
        part = ranges.part_of(self._column, begin)
        is_wanted = self._is_wanted[part]
        known, keys = ranges.keys(ranges.within(self._column, begin), begin, first), ranges.keys(some, begin, first)
        if self._condition.when == AT:
            place = np.searchsorted(known, keys, "right") - 1
            if len(known):
                has = (place >= 0) & (known[place] >> ranges.TICK_BITS == keys >> ranges.TICK_BITS)
                fits = has & is_wanted[place]
            else:
                has = fits = np.zeros(len(keys), np.bool_)
        else:
            has, fits = _among(keys, known), _among(keys, known[is_wanted])
        which = fits | ~has if NOTHING in self._condition.values else fits
        return ~which if self._condition.is_not else which


def _among(keys: ranges.Ints, known: ranges.Ints) -> Which:
    """Which are among others, which rise."""
    if not len(known):
        return np.zeros(len(keys), np.bool_)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return known[place] == keys

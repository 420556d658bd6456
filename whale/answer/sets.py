"""Sets of visitors: by an event, a property, where a session came from, when they began; and, or and not of these. Pure.

A set is of those who had any event in a stretch of time, so `not` has somebody to leave. Leaves are looked for in the log, see segments.py;
the rest is one bit for each visitor.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from whale.answer.conditions import NOTHING, Condition, Wanted
from whale.sums import distinct
from whale.visitors.crowd import Bits, count

Numbers = NDArray[np.uint32]
Which = NDArray[np.bool_]
AND, OR = "and", "or"


@dataclass(frozen=True)
class Did:
    """Had an event, with all that it must fulfil."""

    wanted: Wanted


@dataclass(frozen=True)
class Has:
    """One of some values of a property is theirs. condition: neither negated nor with NOTHING; None for any value."""

    property: str
    condition: Condition | None = None


@dataclass(frozen=True)
class Came:
    """Began a session of which `by`, as sessions are split, is one of some values. values: JSON, or NOTHING."""

    by: str
    values: frozenset[str]
    is_not: bool = False


@dataclass(frozen=True)
class Began:
    """Had an event for the first time in [start, end), epoch seconds. event: "" for any."""

    event: str
    start: int
    end: int


@dataclass(frozen=True)
class Not:
    of: "Set"


@dataclass(frozen=True)
class Of:
    """word: AND, all of them; OR, at least one."""

    word: str
    several: tuple["Set", ...]


Leaf = Did | Has | Came | Began
Set = Leaf | Not | Of


def having(condition: Condition) -> Set:
    """Who fulfils a condition on a property of visitors."""
    some = condition._replace(values=condition.values - {NOTHING}, is_not=False)
    found: Set = Has(condition.name, some)
    if NOTHING in condition.values:
        found = Of(OR, (found, Not(Has(condition.name))))
    return Not(found) if condition.is_not else found


def leaves(of: Set) -> list[Leaf]:
    """All that a set is made of."""
    match of:
        case Not(inner):
            return leaves(inner)
        case Of(_, several):
            return [leaf for each in several for leaf in leaves(each)]
    return [of]


def within(of: Set, everybody: Bits, found: Mapping[Leaf, Bits]) -> Bits:
    """Who of everybody is in a set. found: of its leaves, whether or not they are of everybody; all of one length."""
    match of:
        case Not(inner):
            return everybody & ~within(inner, everybody, found)
        case Of(word, several):
            each = [within(one, everybody, found) for one in several]
            return reduce(np.bitwise_and if word == AND else np.bitwise_or, each)
    return everybody & found[of]


def regions(everybody: Bits, sets: Sequence[Bits]) -> Iterator[tuple[int, int]]:
    """How many of everybody are in which of some sets, where anybody is: a bit of a region for each set, the first one the lowest."""
    if not sets:
        yield 0, count(everybody)
        return
    *others, last = sets
    for is_in, some in ((0, everybody & ~last), (1, everybody & last)):
        if some.any():
            for region, visitors in regions(some, others):
                yield is_in << len(others) | region, visitors


def among(numbers: Numbers, others: Numbers) -> Which:
    """Which of some numbers are among others; both are in order."""
    if not len(others):
        return np.zeros(len(numbers), np.bool_)
    place = np.minimum(np.searchsorted(others, numbers), len(others) - 1)
    return others[place] == numbers


def union(several: list[Numbers]) -> Numbers:
    return distinct(np.concatenate([np.zeros(0, np.uint32), *several]))

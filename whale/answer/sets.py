"""Sets of visitors: by an event, a property, where a session came from, when they began; and, or and not of these. Pure.

A set is of those who had any event in a stretch of time, so `not` has somebody to leave. Leaves are looked for in the log, see segments.py;
the rest is one bit for each visitor.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whale.answer.conditions import NOTHING, Condition, Wanted
from whale.sums import distinct

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


def within(of: Set, everybody: Numbers, found: Mapping[Leaf, Numbers]) -> Which:
    """Which of everybody, in order, are in a set. found: the visitors of its leaves, in order, whether or not they are of everybody."""
    match of:
        case Not(inner):
            return ~within(inner, everybody, found)
        case Of(word, several):
            each = [within(one, everybody, found) for one in several]
            which: Which = np.logical_and.reduce(each) if word == AND else np.logical_or.reduce(each)
            return which
    return among(everybody, found[of])


def among(numbers: Numbers, others: Numbers) -> Which:
    """Which of some numbers are among others; both are in order."""
    if not len(others):
        return np.zeros(len(numbers), np.bool_)
    place = np.minimum(np.searchsorted(others, numbers), len(others) - 1)
    return others[place] == numbers


def union(several: list[Numbers]) -> Numbers:
    return distinct(np.concatenate([np.zeros(0, np.uint32), *several]))

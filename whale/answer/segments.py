"""The visitors of sets, looked for in the log of a site, and how sets overlap, as JSON holds it.

Each leaf of a set is read once, a piece of the log after the other. Of a piece its visitors are kept, 4 bytes each.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from whale.answer.conditions import Checks, Condition, Fulfilled
from whale.answer.followed import came_by
from whale.answer.log_reading import Reading
from whale.answer.retention import began_in
from whale.answer.sets import Began, Came, Did, Has, Leaf, Numbers, Set, leaves, union, within
from whale.answer.site_log import TICKS_A_S, Asked, Log
from whale.answer.wanted import unknown_event
from whale.errors import NotFound
from whale.period import Range
from whale.store.contract.events import Logged, Said
from whale.visitors.entries import EVENT, PROPERTY


class Members(NamedTuple):
    """Of a partition. everybody: who had an event in a range, in order.  found: the visitors of each leaf."""

    everybody: Numbers
    found: dict[Leaf, Numbers]


class Found(NamedTuple):
    partitions: list[Members]
    is_incomplete: bool


def overlap_of(log: Log, sets: Sequence[tuple[Any, Set]], asked: Range, gap_s: int, now: float) -> dict[str, Any]:
    """How many visitors of a period are in which of some sets. sets: each as it was asked, too. Raises UnknownEvent, NotFound."""
    found = members(log, [each for _, each in sets], asked, gap_s, now)
    counts = Counter[int]()
    for everybody, leaves_found in found.partitions:
        region = np.zeros(len(everybody), np.int64)
        for place, (_, each) in enumerate(sets):
            region |= within(each, everybody, leaves_found).astype(np.int64) << place
        counts.update({number: count for number, count in enumerate(np.bincount(region).tolist()) if count})

    def is_in(region: int, place: int) -> bool:
        return bool(region >> place & 1)

    return {
        "visitors": counts.total(),
        "sets": [
            {"set": given, "visitors": sum(count for region, count in counts.items() if is_in(region, place))}
            for place, (given, _) in enumerate(sets)
        ],
        "regions": [
            {"in": [place for place in range(len(sets)) if is_in(region, place)], "visitors": count}
            for region, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        ],
        "basis": log.basis(asked),
        **log.kept(now, asked.zone, found),
    }


def only(log: Log, segment: Set, asked: Range, gap_s: int, now: float) -> Log:
    """The same log as if nobody else were in it who had an event in the period. Raises UnknownEvent, NotFound."""
    found = members(log, [segment], asked, gap_s, now, "segment")
    return replace(log, narrow=None, only=[each.everybody[within(segment, *each)] for each in found.partitions])


def members(log: Log, sets: Sequence[Set], asked: Range, gap_s: int, now: float, field: str = "sets") -> Found:
    """Of each partition. Raises UnknownEvent and NotFound, about the field."""
    wanted = list(dict.fromkeys(leaf for each in sets for leaf in leaves(each)))
    _check_known(log, wanted, field)
    several = [_by_event_and_property(log, wanted, asked)]
    several += [_by_begin(log, leaf) for leaf in wanted if isinstance(leaf, Began)]
    several += [came_by(log, leaf, asked, gap_s, now) for leaf in wanted if isinstance(leaf, Came)]
    found: list[dict[Leaf, list[Numbers]]] = [{leaf: [] for leaf in wanted} for _ in range(log.log.partitions)]
    for _, pieces in several:
        for partition, leaf, numbers in pieces:
            found[partition][leaf].append(numbers)
    return Found(
        [
            Members(
                log.came(partition, asked.start * 1000, asked.end * 1000),
                {leaf: union(numbers) for leaf, numbers in each.items()},
            )
            for partition, each in enumerate(found)
        ],
        any(reading.is_incomplete for reading, _ in several),
    )


Pieces = tuple[Reading, Iterator[tuple[int, Leaf, Numbers]]]
"""Visitors of leaves, as they are read: the partition, the leaf and some of its visitors."""


def _by_event_and_property(log: Log, wanted: Sequence[Leaf], asked: Range) -> Pieces:
    """Events of the range, with properties of theirs; and properties of visitors, which hold whenever they came."""
    some = [leaf for leaf in wanted if isinstance(leaf, Did | Has)]
    said = {condition.said for leaf in some for condition in _conditions(leaf)}
    of_visitors = {each for each in said if each[0] == PROPERTY}
    of_visitors |= {(PROPERTY, leaf.property) for leaf in some if isinstance(leaf, Has)}
    events = {(EVENT, leaf.wanted.event) for leaf in some if isinstance(leaf, Did)}
    reading = log.partitions(events | (said - of_visitors), asked.start * 1000, asked.end * 1000, of_visitors)

    def pieces() -> Iterator[tuple[int, Leaf, Numbers]]:
        for partition, logged in reading.pieces() if some else ():
            checks = Checks(logged)
            yield from ((partition, leaf, _numbers(leaf, logged, checks)) for leaf in some)

    return reading, pieces()


def _numbers(leaf: Did | Has, logged: Logged, checks: Checks) -> Numbers:
    column = logged.columns.get((EVENT, leaf.wanted.event) if isinstance(leaf, Did) else (PROPERTY, leaf.property))
    if column is None:
        return union([])
    if isinstance(leaf, Did):
        return union([Fulfilled(leaf.wanted.where, checks).of(column).visitors])
    having = union([column.visitors])
    return having if leaf.condition is None else Fulfilled([leaf.condition], checks).visitors(having)


def _by_begin(log: Log, leaf: Began) -> Pieces:
    reading = log.partitions(Asked([leaf.event] if leaf.event else None, ()), 0, leaf.end * 1000)
    during = leaf.start * TICKS_A_S, leaf.end * TICKS_A_S

    def pieces() -> Iterator[tuple[int, Leaf, Numbers]]:
        for partition, logged in reading.pieces():
            yield partition, leaf, began_in([*logged.columns.values()], during)

    return reading, pieces()


def _conditions(leaf: Leaf) -> Sequence[Condition]:
    match leaf:
        case Did(wanted):
            return wanted.where
        case Has(_, condition) if condition:
            return [condition]
    return ()


def _check_known(log: Log, wanted: Sequence[Leaf], field: str) -> None:
    names = log.names()
    for leaf in wanted:
        for kind, name in _names(leaf):
            if (kind, name) in names:
                continue
            if kind == EVENT:
                raise unknown_event(name, names, field)
            raise NotFound(f"no property {ascii(name)[:60]} was logged; /properties lists those that were", field)


def _names(leaf: Leaf) -> Iterator[Said]:
    """What must have been logged once, for a set to mean something."""
    match leaf:
        case Did(wanted):
            yield EVENT, wanted.event
        case Began(name) if name:
            yield EVENT, name
        case Has(name):
            yield PROPERTY, name
    for condition in _conditions(leaf):
        yield condition.said

"""The visitors of sets, looked for in the log of a site, and how sets overlap, as JSON holds it.

A set is a bit for each visitor. Where it is no matter when exactly visitors did something, the store says who did. Each other leaf of a set
is read once, a piece of the log after the other, and of a piece its visitors are kept, 4 bytes each.
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
from whale.answer.sets import Began, Came, Did, Has, Leaf, Numbers, Set, among, leaves, regions, union, within
from whale.answer.site_log import FOR_EVER_MS, TICKS_A_S, Asked, Crowds, Log
from whale.answer.wanted import unknown_event
from whale.errors import NotFound
from whale.period import Range
from whale.store.contract.events import Logged, Said
from whale.visitors.crowd import Bits, bits_of, fitted, numbers_of
from whale.visitors.entries import EVENT, PROPERTY


class Members(NamedTuple):
    """Of a partition, as bits. everybody: who had an event in a range.  found: who is in each leaf.

    places: the numbers of the visitors that bits are of, in order; None where each number has its bit.
    """

    everybody: Bits
    found: dict[Leaf, Bits]
    places: Numbers | None = None

    def add(self, leaf: Leaf, bits: Bits) -> None:
        words = len(self.everybody)
        self.found[leaf] = fitted(bits, words)[:words]

    def add_numbers(self, leaf: Leaf, numbers: Numbers) -> None:
        """numbers: in order."""
        self.add(leaf, bits_of(numbers if self.places is None else np.flatnonzero(among(self.places, numbers))))

    def numbers(self, who: Bits) -> Numbers:
        numbers = numbers_of(who)
        return numbers if self.places is None else self.places[numbers]


class Found(NamedTuple):
    partitions: list[Members]
    is_incomplete: bool


def overlap_of(log: Log, sets: Sequence[tuple[Any, Set]], asked: Range, gap_s: int, now: float) -> dict[str, Any]:
    """How many visitors of a period are in which of some sets. sets: each as it was asked, too. Raises UnknownEvent, NotFound."""
    found = members(log, [each for _, each in sets], asked, gap_s, now)
    counts = Counter[int]()
    for each in found.partitions:
        several = [within(of, each.everybody, each.found) for _, of in sets]
        counts.update(dict(regions(each.everybody, several)))

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
    who = [each.numbers(within(segment, each.everybody, each.found)) for each in found.partitions]
    return replace(log, narrow=None, only=who)


def members(log: Log, sets: Sequence[Set], asked: Range, gap_s: int, now: float, field: str = "sets") -> Found:
    """Of each partition. Raises UnknownEvent and NotFound, about the field."""
    wanted = list(dict.fromkeys(leaf for each in sets for leaf in leaves(each)))
    _check_known(log, wanted, field)
    found, is_incomplete = _by_who(log, wanted, asked)
    rest = [leaf for leaf in wanted if any(leaf not in each.found for each in found)]
    several = [_by_event_and_property(log, rest, asked)]
    several += [_by_begin(log, leaf) for leaf in rest if isinstance(leaf, Began)]
    several += [came_by(log, leaf, asked, gap_s, now) for leaf in rest if isinstance(leaf, Came)]
    gathered: list[dict[Leaf, list[Numbers]]] = [{leaf: [] for leaf in rest} for _ in found]
    for _, pieces in several:
        for partition, leaf, numbers in pieces:
            gathered[partition][leaf].append(numbers)
    for each, of_leaves in zip(found, gathered, strict=True):
        for leaf, some in of_leaves.items():
            each.add_numbers(leaf, union(some))
    return Found(found, is_incomplete or any(reading.is_incomplete for reading, _ in several))


def _by_who(log: Log, wanted: Sequence[Leaf], asked: Range) -> tuple[list[Members], bool]:
    """Everybody, with those leaves for which it is no matter when exactly a visitor did something; and whether some of it is lost.

    Where bits of all numbers take too much memory: everybody alone.
    """
    did = [leaf for leaf in wanted if isinstance(leaf, Did) and not leaf.wanted.where]
    beside = len(wanted) - len(did)
    said = [None, *((EVENT, leaf.wanted.event) for leaf in did)]
    during = log.who(said, [asked.start * 1000, asked.end * 1000], beside)
    if during is None:
        people = [log.came(number, asked.start * 1000, asked.end * 1000) for number in range(log.log.partitions)]
        return [Members(bits_of(np.arange(len(each))), {}, each) for each in people], False
    found = []
    for (everybody,), *others in during.partitions:
        found.append(Members(everybody, {}))
        for each, (bits,) in zip(did, others, strict=True):
            found[-1].add(each, bits)
    is_incomplete = during.is_incomplete
    for leaf in wanted:
        ever = _ever(log, leaf, beside)
        if ever:
            is_incomplete |= ever.is_incomplete
            for some, ((*before, bits),) in zip(found, ever.partitions, strict=True):
                some.add(leaf, bits & ~before[0] if before else bits)
    return found, is_incomplete


def _ever(log: Log, leaf: Leaf, beside: int) -> Crowds | None:
    """Who is in a leaf whatever the range is; who was in it before, first."""
    match leaf:
        case Began(event, start, end):
            return log.who([(EVENT, event) if event else None], [0, start * 1000, end * 1000], beside)
        case Has(name, None):
            return log.who([(PROPERTY, name)], [0, FOR_EVER_MS], beside)
    return None


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

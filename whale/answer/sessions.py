"""Sessions of visitors: how many, how long, how many were of one page alone, and where they came from. Pure.

A session counts where it began. All of its events are its own, also those after the end of the range. It is a bounce with one page view and
no second; where a site has no page views, with one event and no second.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whale.answer import ranges
from whale.answer.ranges import Ints
from whale.answer.streams import Piece, Stream, streams
from whale.store.contract.events import Column
from whale.visitors.entries import OTHER

ENTRY, EXIT, WHOLE = "entry", "exit", ""
SPLITS = (ENTRY, EXIT, "source", "campaign", "medium", "content", "term")
"""What sessions are split by: an event, or a property of where a visitor came from."""
NONE = -1
"""The place of the value of a session that has none."""
Small = NDArray[np.unsignedinteger[Any]]
Took = NDArray[np.unsignedinteger[Any]]
"""Ticks."""


class Part(NamedTuple):
    """All of some visitors. events: from a gap before the range to the end of each session that begins in it.  properties: records whose
    values are places in the order of these values here.  groups: of these places those among the values of all parts.
    """

    events: Sequence[Piece]
    properties: Sequence[Column] = ()
    groups: Ints = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Asked:
    """edges: ticks at which the buckets of the range begin, and its end.  gap: ticks.  page: the place of page views; None: there are none.

    by: ENTRY or EXIT, the first or the last event of each session; else the first value that its properties take in it. WHOLE: nothing.
    """

    edges: Ints
    gap: int
    page: int | None = None
    by: str = WHOLE


@dataclass
class Group:
    """Some sessions. ticks: that all of them took.  took: those of each that took some."""

    sessions: int = 0
    visitors: int = 0
    bounces: int = 0
    ticks: int = 0
    took: list[Took] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        """Of what they took, in ticks."""
        return self.ticks / self.sessions if self.sessions else None

    @property
    def median(self) -> int | None:
        """Sessions of one event took nothing, and are no more than counted."""
        place = self.sessions // 2 - (self.sessions - sum(map(len, self.took)))
        if place < 0 or not self.sessions:
            return 0 if self.sessions else None
        return int(np.partition(np.concatenate(self.took), place)[place])

    def add(self, visitors: int, is_bounce: NDArray[np.bool_], took: Took) -> None:
        """Those of a range of visitors. Ranges have no visitor in common. took: of those that took some, at least."""
        self.sessions += len(is_bounce)
        self.visitors += visitors
        self.bounces += int(is_bounce.sum())
        self.ticks += int(took.sum(dtype=np.int64))
        self.took.append(took[took > 0])


class Found(NamedTuple):
    """whole: all sessions.  buckets: sessions and bounces of each.  groups: those of some places, and of NONE.  other: of all others."""

    whole: Group
    buckets: NDArray[np.int64]
    groups: dict[int, Group]
    other: Group


class Begun(NamedTuple):
    """Of a range of visitors. first: when they began.  place: of what they are split by, from 0 for NONE.  took: ticks."""

    first: Ints
    visitors: Ints
    place: Ints
    took: Ints
    is_bounce: NDArray[np.bool_]


class Told(NamedTuple):
    """What is held of a range of visitors: its sums, and where sessions are split all of them, in few bytes.

    visitors: since the beginning of the range, in order.
    """

    whole: Group
    buckets: NDArray[np.int64]
    visitors: Small
    place: Small
    took: Took
    is_bounce: NDArray[np.bool_]

    def add_to(self, group: Group, which: NDArray[np.bool_]) -> None:
        group.add(different(self.visitors[which]), self.is_bounce[which], self.took[which])


def sessions(several: Iterable[Part], asked: Asked, limit: int = 0, named: Callable[[int], str] = str) -> Found:
    """Those that began in a range. limit: the groups that are told one by one, the largest first; all others are `other`.

    named: the name of a place, by which groups of one size are in order. It is asked at the end. That of OTHER is always of `other`.
    """
    return added((told(part, asked) for part in several), asked, limit, named)


def told(part: Part, asked: Asked) -> list[Told]:
    """Of each range of visitors. For any thread."""
    return [_told(each, asked) for each in begun(part, asked)]


def _told(some: Begun, asked: Asked) -> Told:
    first, visitors, place, took, is_bounce = some
    at = ranges.bucket_of(asked.edges, first)
    at *= 2
    at += is_bounce
    buckets = np.bincount(at, minlength=2 * len(asked.edges) - 2).reshape(-1, 2)
    buckets[:, 0] += buckets[:, 1]
    whole, none = Group(), np.zeros(0, np.uint8)
    whole.add(different(visitors), is_bounce, small(took[took > 0]))
    if asked.by == WHOLE:
        return Told(whole, buckets, none, none, none, is_bounce[:0])
    since = visitors - (visitors[0] if len(visitors) else 0)
    return Told(whole, buckets, small(since), small(place), small(took), is_bounce)


def added(several: Iterable[Sequence[Told]], asked: Asked, limit: int = 0, named: Callable[[int], str] = str) -> Found:
    """All of them together, as `sessions` has it."""
    buckets = np.zeros((len(asked.edges) - 1, 2), np.int64)
    whole, other, groups = Group(), Group(), dict[int, Group]()
    parts: list[Told] = []
    for each in (each for some in several for each in some):
        buckets += each.buckets
        whole.sessions += each.whole.sessions
        whole.visitors += each.whole.visitors
        whole.bounces += each.whole.bounces
        whole.ticks += each.whole.ticks
        whole.took += each.whole.took
        parts.append(each)
    if asked.by != WHOLE:
        sizes = np.zeros(1 + max((int(each.place.max(initial=0)) for each in parts), default=0), np.int64)
        for each in parts:
            sizes += np.bincount(each.place, minlength=len(sizes))
        names = {place: named(place - 1) if place else "" for place in np.flatnonzero(sizes).tolist()}
        there = [place for place, name in names.items() if name != OTHER]
        order = sorted(there, key=lambda place: (-sizes[place], names[place]))
        for shown in order[:limit]:
            groups[shown - 1] = group = Group()
            for each in parts:
                each.add_to(group, each.place == shown)
        hidden = np.ones(len(sizes), np.bool_)
        hidden[order[:limit]] = False
        for each in parts:
            each.add_to(other, hidden[each.place])
    return Found(whole, buckets, groups, other)


def small(numbers: Ints) -> Small:
    """In as few bytes as hold them. None is below 0."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))


def different(visitors: NDArray[np.integer[Any]]) -> int:
    """How many, where they are in order."""
    return int(np.count_nonzero(visitors[1:] != visitors[:-1])) + bool(len(visitors))


def begun(part: Part, asked: Asked) -> Iterator[Begun]:
    """The sessions of some visitors that began in the range, for each range of visitors."""
    events = part.events
    if asked.by not in (ENTRY, EXIT):  # of which no names are asked, but whether they are page views
        events = [(int(place == asked.page), column) for place, column in events]
    for stream in streams(events, asked.gap):
        yield _begun(stream, part, asked)


def _begun(stream: Stream, part: Part, asked: Asked) -> Begun:
    at = np.flatnonzero(stream.begins)
    end = np.append(at[1:], len(stream.keys)) - 1
    keys, last = stream.keys[at], stream.keys[end]
    first = (keys & ((1 << stream.bits) - 1)) + stream.first
    if asked.page is None:
        is_bounce = at == end
    else:
        page = asked.page if asked.by in (ENTRY, EXIT) else 1
        pages = np.concatenate([np.zeros(1, np.int64), np.cumsum(stream.places == page)])
        is_bounce = pages[end + 1] - pages[at] == 1
    which = (first >= asked.edges[0]) & (first < asked.edges[-1])
    if not which.all():
        at, end, keys, last, first, is_bounce = (each[which] for each in (at, end, keys, last, first, is_bounce))
    if asked.by == WHOLE:
        place = np.broadcast_to(np.int64(0), len(at))
    elif asked.by in (ENTRY, EXIT):
        place = stream.places[at if asked.by == ENTRY else end].astype(np.int64) + 1
    else:
        place = np.append(part.groups, NONE)[first_values(stream, part.properties, at, end)] + 1
    return Begun(first, (keys >> stream.bits) + stream.begin, place, last - keys, is_bounce)


def first_values(
    stream: Stream, properties: Sequence[Column], at: NDArray[np.intp], end: NDArray[np.intp]
) -> NDArray[np.int64]:
    """The place of the first value between the first and the last event of each session; NONE where there is none."""
    some = [ranges.within(column, stream.begin, stream.span) for column in properties]
    some = [_since(column, stream.first) for column in some]
    keys = np.concatenate([np.zeros(0, np.int64), *(ranges.keys(each, stream.begin, stream.first) for each in some)])
    if not len(keys):
        return np.full(len(at), NONE)
    places = np.concatenate([each.values for each in some]).astype(np.int64)
    order = np.lexsort((places, keys))
    keys, places = keys[order], places[order]
    found = np.searchsorted(keys, stream.moments(at))
    known = np.minimum(found, len(keys) - 1)
    return np.where((found < len(keys)) & (keys[known] <= stream.moments(end)), places[known], NONE)


def _since(column: Column, first: int) -> Column:
    return column.some(column.ticks >= first)

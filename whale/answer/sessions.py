"""Sessions of visitors: how many, how long, how many were of one page alone, and where they came from. Pure.

A session counts where it began. All of its events are its own, also those after the end of the range. It is a bounce with one page view and
no second; where a site has no page views, with one event and no second.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

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
    """Some sessions. took: ticks from the first to the last event of each."""

    sessions: int = 0
    visitors: int = 0
    bounces: int = 0
    took: list[Ints] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        """Of what they took, in ticks."""
        return sum(int(each.sum()) for each in self.took) / self.sessions if self.sessions else None

    @property
    def median(self) -> int | None:
        """Sessions of one event took nothing, and are no more than counted: among many equal numbers numpy finds one slowly."""
        lasting = [each[each > 0] for each in self.took]
        count = sum(map(len, self.took))
        place = count // 2 - (count - sum(map(len, lasting)))
        if place < 0:
            return 0 if count else None
        took = np.concatenate([np.zeros(0, np.int64), *lasting])
        return int(np.partition(took, place)[place]) if len(took) else None


class Found(NamedTuple):
    """whole: all sessions.  buckets: sessions and bounces of each.  groups: those of some places, and of NONE.  other: of all others."""

    whole: Group
    buckets: NDArray[np.int64]
    groups: dict[int, Group]
    other: Group


class Begun(NamedTuple):
    """Of a range of visitors. place: of what they are split by, from 0 for NONE.  took: ticks."""

    visitors: NDArray[np.int32]
    place: NDArray[np.int32]
    took: Ints
    is_bounce: NDArray[np.bool_]


def sessions(several: Iterable[Part], asked: Asked, limit: int = 0, named: Callable[[int], str] = str) -> Found:
    """Those that began in a range. limit: the groups that are told one by one, the largest first; all others are `other`.

    named: the name of a place, by which groups of one size are in order. It is asked at the end. That of OTHER is always of `other`.
    """
    buckets = np.zeros((len(asked.edges) - 1, 2), np.int64)
    parts: list[Begun] = []
    for part in several:
        for first, found in begun(part, asked):
            at = ranges.bucket_of(asked.edges, first)
            buckets[:, 0] += np.bincount(at, minlength=len(buckets))
            buckets[:, 1] += np.bincount(at[found.is_bounce], minlength=len(buckets))
            parts.append(found)
    whole, other, groups = Group(), Group(), dict[int, Group]()
    sizes = np.zeros(1 + max((int(each.place.max(initial=0)) for each in parts), default=0), np.int64)
    for each in parts:
        _add(whole, each, None)
        sizes += np.bincount(each.place, minlength=len(sizes))
    if asked.by != WHOLE:
        names = {place: named(place - 1) if place else "" for place in np.flatnonzero(sizes).tolist()}
        there = [place for place, name in names.items() if name != OTHER]
        order = sorted(there, key=lambda place: (-sizes[place], names[place]))
        for shown in order[:limit]:
            groups[shown - 1] = group = Group()
            for each in parts:
                _add(group, each, each.place == shown)
        hidden = np.ones(len(sizes), np.bool_)
        hidden[order[:limit]] = False
        for each in parts:
            _add(other, each, hidden[each.place])
    return Found(whole, buckets, groups, other)


def _add(group: Group, some: Begun, which: NDArray[np.bool_] | None) -> None:
    """The sessions of a range of visitors. Ranges have no visitor in common."""
    visitors, took, is_bounce = some.visitors, some.took, some.is_bounce
    if which is not None:
        visitors, took, is_bounce = visitors[which], took[which], is_bounce[which]
    group.sessions += len(visitors)
    group.visitors += int(np.count_nonzero(np.diff(visitors))) + bool(len(visitors))
    group.bounces += int(is_bounce.sum())
    group.took.append(took)


def begun(part: Part, asked: Asked) -> Iterator[tuple[Ints, Begun]]:
    """When sessions of some visitors began, of those that began in the range, and these; for each range of visitors."""
    for stream in streams(part.events, asked.gap):
        yield _begun(stream, part, asked)


def _begun(stream: Stream, part: Part, asked: Asked) -> tuple[Ints, Begun]:
    """The sessions of a range of visitors that began in the range of time, and when they did."""
    at = np.flatnonzero(stream.begins)
    end = np.append(at[1:], len(stream.keys)) - 1
    first = stream.ticks(at)
    which = (first >= asked.edges[0]) & (first < asked.edges[-1])
    if asked.page is None:
        is_bounce = at == end
    else:
        pages = np.concatenate([np.zeros(1, np.int64), np.cumsum(stream.places == asked.page)])
        is_bounce = pages[end + 1] - pages[at] == 1
    at, end = at[which], end[which]
    if asked.by == WHOLE:
        place = np.zeros(len(at), np.int64)
    elif asked.by in (ENTRY, EXIT):
        place = stream.places[at if asked.by == ENTRY else end].astype(np.int64) + 1
    else:
        place = np.append(part.groups, NONE)[first_values(stream, part.properties, at, end)] + 1
    took = stream.keys[end] - stream.keys[at]
    found = Begun(stream.visitors(at).astype(np.int32), place.astype(np.int32), took, is_bounce[which])
    return first[which], found


def first_values(
    stream: Stream, properties: Sequence[Column], at: NDArray[np.intp], end: NDArray[np.intp]
) -> NDArray[np.int64]:
    """The place of the first value between the first and the last event of each session; NONE where there is none."""
    some = [ranges.within(column, stream.begin) for column in properties]
    some = [_since(column, stream.first) for column in some]
    keys = np.concatenate([np.zeros(0, np.int64), *(ranges.keys(each, stream.begin, stream.first) for each in some)])
    if not len(keys):
        return np.full(len(at), NONE)
    places = np.concatenate([each.values for each in some]).astype(np.int64)
    order = np.lexsort((places, keys))
    keys, places = keys[order], places[order]
    found = np.searchsorted(keys, stream.keys[at])
    known = np.minimum(found, len(keys) - 1)
    return np.where((found < len(keys)) & (keys[known] <= stream.keys[end]), places[known], NONE)


def _since(column: Column, first: int) -> Column:
    return column.some(column.ticks >= first)

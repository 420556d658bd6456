"""Visits of a site, split by several things in one pass: by pages, events, and by values of properties. Pure.

    events of each visitor ──► visits ── those that pass all tests ──► numbers of all, of each bucket, and of each value

A visit is a session as sessions.py has it: it counts where it began, with all of its events. What it is split by:

| by | the values of a visit |
| --- | --- |
| PAGE, EVENT | each page, and each event, that was in it: a visit may have several |
| ENTRY, EXIT | its first and its last page |
| any other name | the first value of this property that came in it |

Pages are the values of the property PAGE. A visit may have no value: NOTHING. A goal is an event; a visit converts with one at least.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from hail.hit import millionths
from whale.answer import ranges
from whale.answer.conditions import NOTHING
from whale.answer.ranges import Ints
from whale.answer.sessions import Small, different, small
from whale.answer.streams import Piece, Stream, streams
from whale.store.contract.events import Column
from whale.sums import distinct

PAGE, EVENT, ENTRY, EXIT = "page", "event", "entry_page", "exit_page"
SEVERAL = (PAGE, EVENT)
"""Of which a visit may have several values."""
NUMBERS = ("visitors", "visits", "views", "bounces", "took", "converters", "converted", "goals", "worth")
"""Of some visits, each a place in a row of integers. took: ticks.  converters: visitors who converted.  converted: visits that did.
goals: how often the goal happened.  worth: of these, in millionths.
"""
VISITORS, VISITS, VIEWS, BOUNCES, TOOK, CONVERTERS, CONVERTED, GOALS, WORTH = range(len(NUMBERS))
MOST_AMOUNT = 9e9
Which = NDArray[np.bool_]


class Values(NamedTuple):
    """Of a property, or of events. columns: records with places in texts; of events none.  texts: values as JSON, each once, in order."""

    columns: Sequence[Column]
    texts: Sequence[str]


class Part(NamedTuple):
    """All of some visitors. events: from a gap before the range to the end of each visit that begins in it, with their places."""

    events: Sequence[Piece]
    values: Mapping[str, Values]


@dataclass(frozen=True)
class Must:
    """by: as visits are split.  values: as JSON, or NOTHING; a visit must have one of them.  is_not: none of them."""

    by: str
    values: frozenset[str]
    is_not: bool = False


@dataclass(frozen=True)
class Asked:
    """edges: ticks at which the buckets of the range begin, and its end.  gap: ticks.  page, goal: places of events; None: there are none.

    worth: the property whose numbers are what goals are worth.
    """

    edges: Ints
    gap: int
    page: int | None = None
    goal: int | None = None
    worth: str = ""
    by: Sequence[str] = ()
    where: Sequence[Must] = ()

    @property
    def names(self) -> list[str]:
        """The properties that must be read."""
        several = [*self.by, *(test.by for test in self.where), *([self.worth] if self.goal is not None else [])]
        return sorted({_property(by) for by in several if by != EVENT})


class Records(NamedTuple):
    """Values of visits, by visit. visit: places.  place: of values, from 0 for NOTHING.  times: how often it came; None where each visit
    has one value.
    """

    visit: NDArray[np.integer[Any]]
    place: NDArray[np.integer[Any]]
    times: Small | None = None


class Told(NamedTuple):
    """What is held of a range of visitors, in few bytes. visitors: of each visit, since the beginning of the range, in order.

    which: the visits that converted; goals and amounts: of these.  splits: by each thing that is asked.  texts: of each.
    """

    points: NDArray[np.int64]
    visitors: Small
    views: Small
    is_bounce: Which
    took: Small
    which: Small
    goals: Small
    amounts: Ints
    splits: Sequence[Records]
    texts: Sequence[Sequence[str]]

    def numbers(self, some: Which) -> Ints:
        """Of some of these visits."""
        converted = some[self.which]
        who = self.visitors[self.which]
        return np.array(
            [
                different(self.visitors[some]),
                np.count_nonzero(some),
                self.views[some].sum(dtype=np.int64),
                np.count_nonzero(self.is_bounce & some),
                self.took[some].sum(dtype=np.int64),
                different(who[converted]),
                np.count_nonzero(converted),
                self.goals[converted].sum(dtype=np.int64),
                self.amounts[converted].sum(dtype=np.int64),
            ],
            np.int64,
        )


def told(part: Part, asked: Asked) -> list[Told]:
    """Of each range of visitors. For any thread."""
    return [_told(stream, part, asked) for stream in streams(part.events, asked.gap)]


def _told(stream: Stream, part: Part, asked: Asked) -> Told:
    visits = _Visits.of(stream, part, asked)
    for test in asked.where:
        visits = visits.only(test)
    size = len(visits.at)
    keys, last = stream.keys[visits.at], stream.keys[visits.end]
    first, visitors = stream.ticks(visits.at), keys >> stream.bits
    views = visits.times(asked.page)
    is_bounce = visits.at == visits.end if asked.page is None else views == 1
    goals = visits.times(asked.goal)
    which = np.flatnonzero(goals)
    amounts = visits.worth(asked)[which] if asked.goal is not None else np.zeros(len(which), np.int64)
    found = Told(
        np.zeros((0, len(NUMBERS)), np.int64),
        small(visitors),
        small(views),
        is_bounce,
        small(last - keys),
        small(which),
        small(goals[which]),
        amounts,
        [visits.split(by) for by in asked.by],
        [part.values[by if by == EVENT else _property(by)].texts for by in asked.by],
    )
    buckets = Records(np.arange(size), ranges.bucket_of(asked.edges, first))
    return found._replace(points=table(found, buckets, len(asked.edges) - 1))


@dataclass(frozen=True)
class _Visits:
    """Some visits of a range of visitors. at, end: places of their first and last events.  known: records that were read."""

    stream: Stream
    part: Part
    at: NDArray[np.intp]
    end: NDArray[np.intp]
    known: dict[str, tuple[Ints, Ints, Ints]] = field(default_factory=dict)

    @classmethod
    def of(cls, stream: Stream, part: Part, asked: Asked) -> "_Visits":
        """Those that began in the range of the question."""
        at = np.flatnonzero(stream.begins)
        end = np.append(at[1:], len(stream.keys)) - 1
        first = stream.ticks(at)
        which = (first >= asked.edges[0]) & (first < asked.edges[-1])
        return cls(stream, part, at[which], end[which])

    def only(self, test: Must) -> "_Visits":
        texts = self.part.values[test.by if test.by == EVENT else _property(test.by)].texts
        is_one = np.array([text in test.values for text in (NOTHING, *texts)], np.bool_)
        found = self.split(test.by)
        passes = np.zeros(len(self.at), np.bool_)
        passes[found.visit[is_one[found.place]]] = True
        passes ^= test.is_not
        return _Visits(self.stream, self.part, self.at[passes], self.end[passes])

    def split(self, by: str) -> Records:
        """The values of each visit. Each visit is there at least once."""
        if by == EVENT:
            return self._several(*self._of_events())
        visit, place, _ = self._records(_property(by))
        if by == PAGE:
            return self._several(visit, place)
        found = np.zeros(len(self.at), np.int64)
        if by == EXIT:
            found[visit] = place + 1  # of several the last one stays
        else:
            found[visit[::-1]] = place[::-1] + 1
        return Records(small(np.arange(len(found))), small(found))

    def times(self, event: int | None) -> Ints:
        """How often an event was in each visit."""
        if event is None:
            return np.zeros(len(self.at), np.int64)
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.stream.places == event)])
        return before[self.end + 1] - before[self.at]

    def worth(self, asked: Asked) -> Ints:
        """The sum of the numbers that came with the goals of each visit."""
        visit, place, keys = self._records(asked.worth)
        goals = self.stream.moments(np.flatnonzero(self.stream.places == asked.goal))
        is_there = np.isin(keys, goals)
        amounts = np.array([amount_of(text) for text in self.part.values[asked.worth].texts] or [0], np.int64)
        found = np.zeros(len(self.at), np.int64)
        np.add.at(found, visit[is_there], amounts[place[is_there]])
        return found

    def _of_events(self) -> tuple[Ints, Ints]:
        lengths = self.end - self.at + 1
        visit = np.repeat(np.arange(len(self.at)), lengths)
        start = np.repeat(self.at - np.cumsum(lengths) + lengths, lengths)
        return visit, self.stream.places[start + np.arange(len(visit))].astype(np.int64)

    def _records(self, name: str) -> tuple[Ints, Ints, Ints]:
        """Of a property within visits: the visit, the value, and the moment; in order of time, then of the texts of values."""
        if name not in self.known:
            self.known[name] = self._read(name)
        return self.known[name]

    def _read(self, name: str) -> tuple[Ints, Ints, Ints]:
        stream, columns = self.stream, self.part.values[name].columns
        some = [ranges.within(column, stream.begin, stream.span) for column in columns]
        some = [column.some(column.ticks >= stream.first) for column in some]
        none = np.zeros(0, np.int64)
        if not len(self.at):
            return none, none, none
        keys = np.concatenate([none, *(ranges.keys(each, stream.begin, stream.first) for each in some)])
        place = np.concatenate([none, *(each.values.astype(np.int64) for each in some)])
        if len(some) > 1:
            order = np.argsort(keys, kind="stable")  # which merges what is in order
            keys, place = keys[order], place[order]
        if (keys[1:] == keys[:-1]).any():
            order = np.lexsort((place, keys))
            keys, place = keys[order], place[order]
        visit = np.searchsorted(stream.moments(self.at), keys, "right") - 1
        is_within = (visit >= 0) & (keys <= stream.moments(self.end)[visit])
        return visit[is_within], place[is_within], keys[is_within]

    def _several(self, visit: Ints, place: Ints) -> Records:
        """Each value of a visit once, and NOTHING where it has none."""
        width = int(place.max(initial=0)) + 2
        bare = np.ones(len(self.at), np.bool_)
        bare[visit] = False
        pairs = np.concatenate([visit * width + place + 1, np.flatnonzero(bare) * width])
        some, times = np.unique(pairs, return_counts=True)
        times[some % width == 0] = 0
        return Records(small(some // width), small(some % width), small(times))


def table(told: Told, split: Records, width: int) -> NDArray[np.int64]:
    """The numbers of the visits of each place. Where a visit may have several values, views are how often each of them came."""
    visit, place = split.visit.astype(np.int64), split.place.astype(np.int64)
    found = np.zeros((width, len(NUMBERS)), np.int64)
    found[:, VISITORS] = _distinct(told.visitors[visit], place, width)
    found[:, VISITS] = np.bincount(place, minlength=width)
    views = told.views[visit] if split.times is None else split.times
    np.add.at(found[:, VIEWS], place, views.astype(np.int64))
    found[:, BOUNCES] = np.bincount(place[told.is_bounce[visit]], minlength=width)
    np.add.at(found[:, TOOK], place, told.took[visit].astype(np.int64))
    if len(told.which):
        goal = np.full(len(told.visitors), -1)
        goal[told.which] = np.arange(len(told.which))
        goal = goal[visit]
        has = goal >= 0
        goal, place = goal[has], place[has]
        found[:, CONVERTERS] = _distinct(told.visitors[visit[has]], place, width)
        found[:, CONVERTED] = np.bincount(place, minlength=width)
        np.add.at(found[:, GOALS], place, told.goals[goal].astype(np.int64))
        np.add.at(found[:, WORTH], place, told.amounts[goal])
    return found


def _distinct(who: NDArray[np.integer[Any]], place: Ints, width: int) -> Ints:
    """The different visitors of each place."""
    return np.bincount(distinct(who.astype(np.int64) * width + place) % width, minlength=width)


def _property(by: str) -> str:
    return PAGE if by in (ENTRY, EXIT) else by


def amount_of(text: str) -> int:
    """Of a value as JSON, in millionths; 0 of what is no number that a metric may be."""
    if text[:1] not in "-0123456789" or not text:
        return 0
    number = msgspec.json.decode(text)
    return millionths(number) if abs(number) <= MOST_AMOUNT else 0

"""Who said something, and on which days.

A column of a part that lies in one of the ranges that are asked for says who came in it, whatever the times are: its plane of visitors
alone is read, see log_planes.py. Times are read of those columns alone that an edge of a range cuts. Of each range it is remembered who
is in all full parts together, and who in the small ones. So the same question again reads the tails, and parts that are new.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hail.room import COST
from whale.store.contract.events import Said
from whale.store.contract.log_who import Came
from whale.store.redis.compaction import SMALL_BYTES, Indexed
from whale.store.redis.connection import reachable
from whale.store.redis.log_cache import LogCache
from whale.store.redis.log_parts import LogParts
from whale.store.redis.log_planes import Column, Planes
from whale.store.redis.log_reader import LogReader, Snapshot
from whale.visitors import crowd
from whale.visitors.crowd import Bits, Crowd, Gathered, Numbers
from whale.visitors.entries import TICKS_A_MS, SiteLog
from whale.visitors.keyed import Keyed
from whale.visitors.parts import IS_PROPERTY, TICKS_A_S, Cut, Records, column_of

ANY, NEVER = -1, -2
"""In place of a code: all events, and what nobody ever said."""
FULL, SMALL = "full", "small"
FEW = 2
"""Ranges of a column whose records are picked, and not put in order of their ranges."""
Slot = tuple[int, int]
"""The place of what is asked for, and of a range."""
Name = tuple[str, str, int, int, int]


class LogWho:
    """For many threads."""

    def __init__(self, reader: LogReader, parts: LogParts, cache: LogCache):
        self._reader, self._cache, self._planes = reader, cache, Planes(parts, cache)

    @reachable
    def came_in_log(
        self, log: SiteLog, partition: int, said: Sequence[Said | None], edges_ms: Sequence[int], most: float
    ) -> Came | None:
        words = -(-self._reader.numbers(self._reader.key_of(log, partition)) // crowd.WORD)
        if words * crowd.WORD / 8 * len(said) * (len(edges_ms) - 1) > most:
            return None
        edges = [edge_ms * TICKS_A_MS for edge_ms in edges_ms]

        def read(key: str, at: Snapshot) -> tuple[list[list[Bits]], set[str]]:
            counting = _Counting(self._planes, self._cache, key, at, said, edges, words)
            return counting.sets(), counting.gone

        _, sets, is_incomplete = self._reader.whole(log, partition, read)
        return Came(sets, is_incomplete)

    def visitors_in_log(self, log: SiteLog, partition: int, start_ms: int, end_ms: int) -> NDArray[np.uint32]:
        came = self.came_in_log(log, partition, [None], [start_ms, end_ms], np.inf)
        return crowd.numbers_of(came.sets[0][0]) if came else np.zeros(0, np.uint32)


class _Joined(NamedTuple):
    """Who said something in a range, by these parts."""

    ids: frozenset[str]
    who: Crowd


class _Counting:
    """Of one question at one moment. gone: parts that could not be read."""

    def __init__(
        self,
        planes: Planes,
        cache: LogCache,
        key: str,
        at: Snapshot,
        said: Sequence[Said | None],
        edges: Sequence[int],
        words: int,
    ):
        self._planes, self._cache, self._key, self._at, self._edges = planes, cache, key, at, edges
        codes = {name: code for code, name in at.names.columns.items()}
        self._codes = [ANY if each is None else codes.get(each, NEVER) for each in said]
        self._slots = [(place, number) for place in range(len(said)) for number in range(len(edges) - 1)]
        self._of_full = {slot: Gathered(words) for slot in self._slots}
        self._of_small = {slot: Gathered(0) for slot in self._slots}
        self.gone = set[str]()

    def sets(self) -> list[list[Bits]]:
        full, small = ([set[str]() for _ in self._edges[1:]] for _ in range(2))
        for id_, part in self._at.parts.items():
            for number in self._ranges_of(part.first, part.last):
                (full if _is_full(part) else small)[number].add(id_)
        wanted: dict[str, set[Slot]] = {}
        known = (self._of_full, FULL, full), (self._of_small, SMALL, small)
        new = [
            (into[slot], self._name(kind, slot), frozenset(ids[slot[1]]))
            for into, kind, ids in known
            for slot in self._slots
            if self._lacks(into[slot], self._name(kind, slot), ids[slot[1]], slot, wanted)
        ]
        self._add_parts(wanted)
        for who, name, ids in new:
            self._keep(who, name, ids)
        return self._all()

    def _ranges_of(self, first: int, last: int) -> range:
        """Those that a stretch touches, its last tick too."""
        low, high = (bisect_right(self._edges, tick) - 1 for tick in (first, last))
        return range(max(low, 0), min(high + 1, len(self._edges) - 1))

    def _name(self, kind: str, slot: Slot) -> Name:
        place, number = slot
        return self._key, kind, self._codes[place], self._edges[number], self._edges[number + 1]

    def _lacks(self, into: Gathered, name: Name, ids: set[str], slot: Slot, wanted: dict[str, set[Slot]]) -> bool:
        """Takes what is known of some parts together, and notes those that are to be read for it."""
        if self._codes[slot[0]] == NEVER:
            return False
        known = self._cache.known(name)
        if known and known.ids <= ids:
            into.add(known.who)
            ids = ids - known.ids
        for id_ in ids:
            wanted.setdefault(id_, set()).add(slot)
        return bool(ids)

    def _keep(self, who: Gathered, name: Name, ids: frozenset[str]) -> None:
        if ids.isdisjoint(self.gone):
            crowd_ = crowd.smaller(who.bits())
            crowd_.setflags(write=False)
            self._cache.keep(name, _Joined(ids, crowd_), crowd_.nbytes + COST * len(ids) // 2)

    def _add_parts(self, wanted: dict[str, set[Slot]]) -> None:
        """wanted: what is to be known of each."""
        columns, parts = list[Column](), self._at.parts
        in_time = sorted(wanted, key=lambda id_: parts[id_].first)
        directories = self._planes.directories([f"{self._key}:b:{id_}" for id_ in in_time])
        for id_, directory in zip(in_time, directories, strict=True):
            if directory is None:
                self.gone.add(id_)
            else:
                columns += self._columns(id_, *directory, wanted[id_])
        for column, found in self._planes.found(columns):
            if found is None:
                self.gone.add(column.part)
            else:
                self._add(column, found, wanted[column.part])

    def _columns(self, id_: str, cuts: Sequence[Cut], begin: int, slots: set[Slot]) -> Iterator[Column]:
        """Those of a part that touch what is wanted of it."""
        key, part = f"{self._key}:b:{id_}", self._at.parts[id_]
        for cut in cuts:
            first, last = self._stretch(part, cut)
            ranges = self._ranges_of(first, last)
            if any(number in ranges and self._is_of(cut.code, place) for place, number in slots):
                yield Column(
                    id_, key, cut, begin, not self._edges[ranges[0]] <= first <= last < self._edges[ranges[0] + 1]
                )

    def _stretch(self, part: Indexed, cut: Cut) -> tuple[int, int]:
        """The first and the last tick that a column may have."""
        return max(part.first, cut.start * TICKS_A_S), min(part.last, cut.end * TICKS_A_S - 1)

    def _is_of(self, code: int, place: int) -> bool:
        asked = self._codes[place]
        return code == asked or (asked == ANY and not code & IS_PROPERTY)

    def _add(self, column: Column, found: Crowd | Keyed, slots: set[Slot]) -> None:
        into = self._of_full if _is_full(self._at.parts[column.part]) else self._of_small
        places: dict[int, list[int]] = {}
        for place, number in slots:
            if self._is_of(column.cut.code, place):
                places.setdefault(number, []).append(place)
        first, last = self._stretch(self._at.parts[column.part], column.cut)
        touched = self._ranges_of(first, last)
        crowds: Iterable[tuple[int, Crowd]]
        if not isinstance(found, Keyed):
            crowds = ((number, found) for number in touched)
        elif len(touched) <= FEW:
            crowds = ((number, found.within(*self._edges[number : number + 2]).visitors) for number in touched)
        else:
            crowds = self._by_range(found.visitors, found.ticks)
        for number, who in crowds:
            for place in places.get(number, ()):
                into[place, number].add(who)

    def _by_range(self, visitors: Numbers, ticks: NDArray[np.int64]) -> Iterator[tuple[int, Numbers]]:
        """The visitors of each range that has some, in the order in which they were."""
        number = np.searchsorted(np.array(self._edges), ticks, "right").astype(np.min_scalar_type(len(self._edges)))
        order = np.argsort(number, kind="stable")  # few bits are sorted by counting
        ends = np.cumsum(np.bincount(number, minlength=len(self._edges) + 1)).tolist()
        for place, (begin, end) in enumerate(pairwise(ends[:-1])):
            if begin < end:
                yield place, visitors[order[begin:end]]

    def _all(self) -> list[list[Bits]]:
        """With the tails, and without who was erased."""
        of_all = {slot: Gathered(0) for slot in self._slots}
        for slot, who in of_all.items():
            who.add(self._of_full[slot].bits())
            who.add(self._of_small[slot].bits())
        for tail in self._at.tails:
            self._add_tail(tail, of_all)
        found = [who.bits() for who in of_all.values()]
        words = max(map(len, found), default=0)
        found = [crowd.fitted(bits, words) for bits in found]
        if self._at.gone:
            left = ~crowd.bits_of(np.array(self._at.gone, np.uint32), words)[:words]
            found = [bits & left for bits in found]
        count = len(self._edges) - 1
        return [found[place : place + count] for place in range(0, len(found), count)]

    def _add_tail(self, tail: Records, into: dict[Slot, Gathered]) -> None:
        columns = column_of(tail.codes)
        for place, code in enumerate(self._codes):
            is_asked = columns & np.uint32(IS_PROPERTY) == 0 if code == ANY else columns == np.int64(code)
            if is_asked.any():
                for number, who in self._by_range(tail.visitors[is_asked], tail.ticks[is_asked]):
                    into[place, number].add(who)


def _is_full(part: Indexed) -> bool:
    """It is never packed anew."""
    return part.bytes >= SMALL_BYTES

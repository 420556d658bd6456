"""How often an event happened, and after which others: by the values of a property, and by buckets of time. Pure.

`total` counts events, and `unique` the visitors, each at their first one. `path` counts those events whose visitor had another one
strictly before, and `unique_path` of these the first one of each visitor. First is first of all, and not first in a bucket.

    records of an event ── the values of each ──► rows, by visitor and value ── first record of another event ──► rows after it

A visitor counts at each value that they ever had, whenever it came. A property of events belongs to its event alone.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whale.answer import ranges
from whale.answer.properties import ANY, values
from whale.answer.ranges import TICK_BITS, Ints
from whale.errors import TooManyPoints
from whale.store.contract.events import Column, Logged, Said
from whale.visitors.entries import EVENT, EVENT_PROPERTY

FOR_EVER = (0, 2**62)
"""One bucket for all."""
Cell = tuple[int, int]
"""Place of a value, place of a bucket."""


@dataclass
class Bound:
    """Of the numbers of an answer, compared while these are found. most: of them.  field: of the question, by which there may be fewer."""

    most: float = math.inf
    field: str = "limit"
    found: int = 0

    def add(self, more: int) -> None:
        """Raises TooManyPoints."""
        self.found += more
        if self.found > self.most:
            raise TooManyPoints(
                f"this report has more than {self.most} numbers: ask for wider buckets, fewer values or fewer steps",
                self.field,
            )


@dataclass
class Counts:
    """What is 0 is not there. bound: of all its numbers, and of what else is in an answer."""

    bound: Bound = field(default_factory=Bound)
    total: Counter[Cell] = field(default_factory=Counter)
    unique: Counter[Cell] = field(default_factory=Counter)
    path: dict[str, Counter[Cell]] = field(default_factory=dict)
    unique_path: dict[str, Counter[Cell]] = field(default_factory=dict)

    def add(self, table: Counter[Cell], more: Mapping[Cell, int]) -> None:
        """To one of its tables. Raises TooManyPoints."""
        before = len(table)
        table.update(more)
        self.bound.add(len(table) - before)


@dataclass
class Split:
    """By a property. texts: values as JSON, each in its place; all others share the place behind them.

    has_others: whether there are such. Values that came after `texts` were chosen are others, which `places` notes.
    """

    said: Said
    texts: Sequence[str]
    has_others: bool

    @property
    def width(self) -> int:
        return len(self.texts) + 1

    def places(self, logged: Logged) -> Column | None:
        """The records of the property in a partition, with places of values; None where there are none."""
        column = logged.columns.get(self.said)
        if column is None:
            return None
        place_of = {text: place for place, text in enumerate(self.texts)}
        place_of_value = [place_of.get(text, len(self.texts)) for text in logged.values_of[self.said]]
        places = np.array(place_of_value, np.uint32)[column.values]
        self.has_others |= bool((places == len(self.texts)).any())
        return Column(column.visitors, column.ticks, places)


def split_of(partitions: Iterable[Logged], said: Said, limit: int) -> Split:
    """By the values that most visitors had."""
    found = values(partitions, said, ANY, limit)
    return Split(said, [text for text, _ in found.rows], found.other > 0)


class _Rows(NamedTuple):
    """Records of an event, each once for each of its values, in a range of visitors; by group, then record.

    group: visitor and value.  record: its place among those of the event.
    """

    group: Ints
    record: Ints


def counted(
    partitions: Iterable[Logged],
    event: str,
    others: Collection[str],
    edges: Sequence[int],
    split: Split | None = None,
    bound: Bound | None = None,
) -> Counts:
    """others: the events that may have come before.  edges: of the buckets, in ticks, and the end of the last one.

    Raises TooManyPoints as soon as there are more numbers than the bound.
    """
    found = Counts(bound or Bound())
    for logged in partitions:
        count_into(found, logged, event, others, edges, split)
    return found


def count_into(
    found: Counts, logged: Logged, event: str, others: Collection[str], edges: Sequence[int], split: Split | None
) -> None:
    """Adds what one partition says. Raises TooManyPoints."""
    column, bounds = logged.columns.get((EVENT, event)), np.array(edges, np.int64)
    if column is None or not len(column.ticks):
        return
    places = split.places(logged) if split else None
    before = {name: logged.columns[EVENT, name] for name in others if (EVENT, name) in logged.columns}
    first = min(int(each.ticks.min()) for each in (column, *before.values(), places or column) if len(each.ticks))
    for begin in ranges.begins(int(column.visitors[-1]), int(column.visitors[0])):
        part = _Part(ranges.within(column, begin), begin, first, bounds, split, places)
        part.count(found)
        for name, other in before.items():
            part.count_after(name, ranges.within(other, begin), found)


class _Part:
    """An event in a range of visitors."""

    def __init__(
        self, column: Column, begin: int, first: int, bounds: Ints, split: Split | None, places: Column | None
    ):
        self._begin, self._first, self._buckets = begin, first, len(bounds) - 1
        self._keys = ranges.keys(column, begin, first)
        self._bucket = np.searchsorted(bounds, column.ticks, "right") - 1
        width = split.width if split else 1
        self._rows = _rows(self._keys, _owned(split, places, begin, first), width)
        starts = np.flatnonzero(np.diff(self._rows.group, prepend=-1))
        self._starts, self._ends = starts, np.append(starts[1:], len(self._rows.group))
        self._who, self._place = np.divmod(self._rows.group[starts], width)
        number = np.repeat(np.arange(len(starts)), self._ends - starts)
        self._size = len(self._keys) + 1
        self._order = number * self._size + self._rows.record
        self._is_whole = self._buckets == 1 and not self._bucket.any()

    def count(self, found: Counts) -> None:
        every = np.arange(len(self._rows.record))
        self._add(found, found.total, np.repeat(self._place, self._ends - self._starts), every)
        self._add(found, found.unique, self._place, self._starts)

    def count_after(self, name: str, other: Column, found: Counts) -> None:
        """Those that come after another event."""
        keys = ranges.keys(other, self._begin, self._first)
        keys = keys[np.diff(keys >> TICK_BITS, prepend=-1) != 0]  # of each visitor the first
        who = keys >> TICK_BITS
        low, high = np.searchsorted(self._who, who), np.searchsorted(self._who, who, "right")
        which, groups = expanded(low, high)
        after = np.searchsorted(self._keys, keys, "right")[which]
        at = np.searchsorted(self._order, groups * self._size + after)
        is_any = at < self._ends[groups]
        at, groups = at[is_any], groups[is_any]
        place = self._place[groups]
        self._add(found, found.unique_path.setdefault(name, Counter()), place, at)
        path = found.path.setdefault(name, Counter())
        if self._is_whole:
            counts = np.bincount(place, self._ends[groups] - at)
            found.add(path, {(value, 0): int(count) for value, count in enumerate(counts.tolist()) if count})
        else:
            which, rows = expanded(at, self._ends[groups])
            self._add(found, path, place[which], rows)
        for table in (found.path, found.unique_path):
            if not table[name]:
                del table[name]

    def _add(self, found: Counts, table: Counter[Cell], places: Ints, rows: Ints) -> None:
        """Rows, each at its value and in its bucket; what is in no bucket does not count."""
        buckets = self._bucket[self._rows.record[rows]]
        is_in = (buckets >= 0) & (buckets < self._buckets)
        cells, counts = np.unique(places[is_in] * self._buckets + buckets[is_in], return_counts=True)
        rows_of = zip(cells.tolist(), counts.tolist(), strict=True)
        found.add(table, {divmod(cell, self._buckets): count for cell, count in rows_of})


class _Owned(NamedTuple):
    """Places of values, each pair once, by key. key: visitor, or visitor and tick.  shift: bits of a record's key that are not of it."""

    key: Ints
    place: Ints
    shift: int


def _owned(split: Split | None, places: Column | None, begin: int, first: int) -> _Owned | None:
    """Whose values are which, in a range; None where nothing is split."""
    if split is None:
        return None
    shift = 0 if split.said[0] == EVENT_PROPERTY else TICK_BITS
    if places is None:
        return _Owned(np.zeros(0, np.int64), np.zeros(0, np.int64), shift)
    mine = ranges.within(places, begin)
    keys, place = ranges.keys(mine, begin, first) >> shift, mine.values.astype(np.int64)
    order = np.lexsort((place, keys))
    keys, place = keys[order], place[order]
    is_new = (np.diff(keys, prepend=-1) != 0) | (np.diff(place, prepend=-1) != 0)
    return _Owned(keys[is_new], place[is_new], shift)


def _rows(keys: Ints, owned: _Owned | None, width: int) -> _Rows:
    """Of records with these keys."""
    if owned is None:
        return _Rows(keys >> TICK_BITS, np.arange(len(keys)))
    own = keys >> owned.shift
    low, high = np.searchsorted(owned.key, own), np.searchsorted(owned.key, own, "right")
    record, at = expanded(low, high)
    group = (keys[record] >> TICK_BITS) * width + owned.place[at]
    order = np.lexsort((record, group))
    return _Rows(group[order], record[order])


def expanded(low: NDArray[np.intp], high: NDArray[np.intp]) -> tuple[Ints, Ints]:
    """Of ranges [low, high) all places, and of each which range it is of."""
    lengths = high - low
    which = np.repeat(np.arange(len(low)), lengths)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(lengths) - lengths - low, lengths)


def touched(partitions: Iterable[Logged], split: Split, bound: Bound | None = None) -> dict[str, Counter[int]]:
    """Of each event, by the places of values: visitors who have both. Raises TooManyPoints as soon as there are more than the bound."""
    bound = bound or Bound()
    found: dict[str, Counter[int]] = {}
    for logged in partitions:
        places = split.places(logged)
        if places is None or not len(places.ticks):
            continue
        for name, column in _events(logged):
            first = min(int(column.ticks.min()), int(places.ticks.min()))
            for begin in ranges.begins(int(column.visitors[-1]), int(column.visitors[0])):
                keys = ranges.keys(ranges.within(column, begin), begin, first)
                if split.said[0] != EVENT_PROPERTY:
                    keys = keys[np.diff(keys >> TICK_BITS, prepend=-1) != 0]
                groups = np.unique(_rows(keys, _owned(split, places, begin, first), split.width).group)
                if len(groups):
                    some, counts = np.unique(groups % split.width, return_counts=True)
                    table = found.setdefault(name, Counter())
                    before = len(table)
                    table.update(dict(zip(some.tolist(), counts.tolist(), strict=True)))
                    bound.add(len(table) - before)
    return found


def _events(logged: Logged) -> Iterator[tuple[str, Column]]:
    return ((name, column) for (kind, name), column in logged.columns.items() if kind == EVENT and len(column.ticks))

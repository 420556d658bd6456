"""Reports of events, properties and funnels as HiiTrack's clients read them: by ids, over all that a log keeps.

    the log of a site ── event_counts.py, funnels.py ──► numbers by place ── named here ──► {"total", "path": {id: number}, …}

Whoever asks says how often an event was counted: counts are kept for ever, and the log is not. All else comes from the log, and `since`
says from when on that is whole.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hail.settings import DAY
from whale.answer.event_counts import (
    FOR_EVER,
    Bound,
    Cell,
    Counts,
    Split,
    count_into,
    counted,
    expanded,
    split_of,
    touched,
)
from whale.answer.funnels import NONE, Groups, Partition, funnel
from whale.answer.funnels import Split as ByGroup
from whale.answer.ids import ID_OF_OTHERS, id_of, id_of_value
from whale.answer.properties import properties, value_of
from whale.answer.ranges import Ints
from whale.answer.site_log import TICKS_A_S, Asked, Log
from whale.errors import NotFound
from whale.period import Range
from whale.store.contract.events import Column, Logged
from whale.sums import distinct
from whale.visitors.entries import EVENT, EVENT_PROPERTY, OTHER, PROPERTY

WINDOW_S = 366 * DAY
"""Of a funnel: HiiTrack knows none, and longer ones there are not."""
Numbers = int | list[list[int]]
"""How often; or of each bucket in which something happened, when it begins (s) and how often."""


@dataclass(frozen=True)
class Reports:
    """Of one log. most: numbers in an answer; each report raises TooManyPoints once it has more."""

    log: Log
    now: float
    zone: str
    most: int

    def event(
        self, name: str, total: Numbers | None, asked: Range | None, by: tuple[str, int] | None
    ) -> dict[str, Any]:
        """A report of an event. total: how often it was counted; None where it is split.

        asked: the range whose buckets are told; None for all that happened.  by: a property, and how many values are named.
        Raises NotFound where the property was never logged.
        """
        split = self._split(*by) if by else None
        starts = list(asked.starts) if asked else [0]
        edges = [start * TICKS_A_S for start in (*starts, asked.end)] if asked else FOR_EVER
        reading = self.log.partitions(Asked(None, [by[0]] if by else ()))
        bound = Bound(self.most, "limit" if split else "interval")
        found = counted(reading, name, [each for kind, each in self.log.names() if kind == EVENT], edges, split, bound)
        table = _Table(split, starts if asked else None)
        told: dict[str, Any] = {
            "unique_total": table.numbers(found.unique),
            "path": table.by_event(found.path),
            "unique_path": table.by_event(found.unique_path),
        }
        if split is None:
            told = {"total": total, **{word: each[""] for word, each in told.items()}}
        else:
            told = {f"{word}s": each for word, each in {"total": table.numbers(found.total), **told}.items()}
            told["values"] = table.values
        beside = self.log.partitions(Asked([name]))
        names = sorted({each.name for each in properties(beside, name)})
        reading.is_incomplete |= beside.is_incomplete
        return {
            "id": id_of(name),
            "name": name,
            **told,
            "properties": {id_of(each): each for each in names},
            **self.log.kept(self.now, self.zone, reading),
        }

    def property(self, name: str, limit: int) -> dict[str, Any]:
        """A report of a property. limit: of values. Raises NotFound."""
        split = self._split(name, limit)
        reading = self.log.partitions(Asked(None, [name]))
        found = touched(reading, split, Bound(self.most))
        values = _Table(split).values
        rows = {
            id_: {
                "value": value,
                "total": {id_of(event): count[place] for event, count in found.items() if count[place]},
            }
            for place, (id_, value) in enumerate(values.items())
        }
        return {
            "id": id_of(name),
            "name": name,
            "values": rows,
            "events": {id_of(event): event for event in sorted(found)},
            **self.log.kept(self.now, self.zone, reading),
        }

    def funnel(
        self, events: Sequence[str], totals: Mapping[str, int], by: tuple[str, int] | None, window_s: int = WINDOW_S
    ) -> dict[str, Any]:
        """A report of a funnel. totals: how often its events were counted. Raises NotFound where the property was never logged."""
        split = self._split(*by, PROPERTY) if by else None
        ids, width = [id_of(event) for event in events], split.width if split else 1
        bound = Bound(self.most, "limit" if split else "event")
        bound.add(2 * len(events) * (len(split.texts) if split else 1))  # `funnel` and `unique_funnel`
        each = {event: Counts(bound) for event in events}
        steps = np.zeros((len(events), 2, width), np.int64)
        window, as_of = window_s * TICKS_A_S, int(self.now) * TICKS_A_S
        reading = self.log.partitions(Asked(events, [by[0]] if by else ()))
        for logged in reading:
            for event, counts in each.items():
                count_into(counts, logged, event, events, FOR_EVER, split)
            steps += steps_by_value(logged, events, split, window, as_of)
        table = _Table(split)
        uniques, funnels = (
            {id_: [list(pair) for pair in zip(ids, rows[place], strict=True)] for place, id_ in enumerate(table.ids)}
            for rows in steps.transpose(1, 2, 0).tolist()
        )

        def told(of: Callable[[Counts], dict[str, Any]]) -> dict[str, Any]:
            return {id_of(event): of(counts) for event, counts in each.items()}

        known = {
            "unique_total": told(lambda counts: table.numbers(counts.unique)),
            "path": told(lambda counts: table.by_event(counts.path)),
            "unique_path": told(lambda counts: table.by_event(counts.unique_path)),
        }
        head: dict[str, Any] = {"event_ids": ids}
        if split is None:
            head |= {"total": {id_of(event): totals[event] for event in each}}
            head |= {word: {id_: one[""] for id_, one in every.items()} for word, every in known.items()}
            head |= {"funnel": funnels[""], "unique_funnel": uniques[""]}
        else:
            head["property"] = {"name": split.said[1], "id": id_of(split.said[1]), "values": table.values}
            head["totals"] = told(lambda counts: table.numbers(counts.total))
            head |= {f"{word}s": every for word, every in known.items()}
            head |= {"funnels": funnels, "unique_funnels": uniques}
        return {**head, **self.log.kept(self.now, self.zone, reading)}

    def _split(self, name: str, limit: int, *kinds: str) -> Split:
        """By a property: that of visitors, where they have it. Raises NotFound."""
        names = self.log.names()
        for kind in kinds or (PROPERTY, EVENT_PROPERTY):
            if (kind, name) in names:
                return split_of(self.log.partitions({(kind, name)}), (kind, name), limit)
        whose = " of visitors" if kinds else ""
        raise NotFound(f"no property {ascii(name)[:60]}{whose} was logged", "property")


class _Table:
    """Numbers under the ids of values. Without a split all of them are under "".  starts: of buckets, in s."""

    def __init__(self, split: Split | None, starts: Sequence[int] | None = None):
        self._starts, self.values = starts, dict[str, Any]()
        if split is None:
            self.ids = [""]
            return
        self.values = {id_of_value(split.said[1], text): value_of(text) for text in split.texts}
        if split.has_others:
            self.values[ID_OF_OTHERS] = OTHER
        self.ids = list(self.values)

    def numbers(self, counts: Counter[Cell]) -> dict[str, Numbers]:
        """Of each value."""
        if self._starts is None:
            return {id_: counts[place, 0] for place, id_ in enumerate(self.ids)}
        found: dict[str, Numbers] = {id_: [] for id_ in self.ids}
        for (place, bucket), count in sorted(counts.items()):
            row = found[self.ids[place]]
            assert isinstance(row, list)
            row.append([self._starts[bucket], count])
        return found

    def by_event(self, paths: Mapping[str, Counter[Cell]]) -> dict[str, dict[str, Numbers]]:
        """Of each value, of each event before; what is 0 is left out."""
        found: dict[str, dict[str, Numbers]] = {id_: {} for id_ in self.ids}
        for event in sorted(paths):
            for id_, number in self.numbers(paths[event]).items():
                if number:
                    found[id_][id_of(event)] = number
        return found


def steps_by_value(logged: Logged, events: Sequence[str], split: Split | None, window: int, as_of: int) -> Ints:
    """Of each step of a funnel, visitors and events, by the place of each value. One pass, however many values there are."""
    found = ByGroup(len(events))
    found.grow(split.width if split else 1)
    funnel([_by_value(logged, events, split)], window, as_of, found)
    return found.reached


def _by_value(logged: Logged, events: Sequence[str], split: Split | None) -> Partition:
    """The events of visitors, as often as these have values: each pair of visitor and value is a visitor, in the group of the value."""
    columns = {event: logged.columns.get((EVENT, event)) for event in events}
    if split is None:
        return Partition([columns[event] for event in events], groups=Groups(np.zeros(0, np.uint32), NONE, 0, 1))
    places = split.places(logged)
    if places is None:
        return Partition([None for _ in events])
    pairs = distinct(places.visitors.astype(np.int64) * split.width + places.values)
    who, place = np.divmod(pairs, split.width)
    of_pairs = {event: _of_pairs(column, who) for event, column in columns.items()}
    groups = Groups(np.arange(len(pairs), dtype=np.uint32), place, 0, split.width)
    return Partition([of_pairs[event] for event in events], groups=groups)


def _of_pairs(column: Column | None, who: Ints) -> Column | None:
    """Records of an event, each once for each pair of its visitor. who: the visitors of all pairs, in order."""
    if column is None:
        return None
    visitors = column.visitors.astype(np.int64)
    which, pairs = expanded(np.searchsorted(who, visitors), np.searchsorted(who, visitors, "right"))
    order = np.argsort(pairs, kind="stable")
    rows = which[order]
    return Column(pairs[order].astype(np.uint32), column.ticks[rows], column.values[rows])

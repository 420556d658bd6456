"""A funnel for each value of a property: who had which value, and which rows are shown. Pure.

Each visitor has one value, or none. It is their last or their first one; or the first one that the session took in which they began, so far
as it lies in the period. So the rows add up to the whole funnel, at every step.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whale.answer import ranges
from whale.answer.conditions import NOTHING, in_order
from whale.answer.funnels import Groups, Split, Step
from whale.answer.properties import FIRST, FOLDED, LAST, value_of
from whale.answer.ranges import Ints
from whale.answer.sessions import first_values
from whale.answer.streams import streams
from whale.store.contract.events import Column, Logged, Said
from whale.visitors.entries import EVENT, EVENT_PROPERTY, OTHER, PROPERTY

SESSION = "session"
WHENS = (LAST, FIRST, SESSION)
REST = 0
"""The group of those without a value."""


class By(NamedTuple):
    """name: of a property.  when: of WHENS.  limit: of rows.  gap: ticks without an event that end a session."""

    name: str
    when: str
    limit: int
    gap: int = 0

    @property
    def said(self) -> list[Said]:
        """What is looked at: the visitors' property, or whoever's it is."""
        kinds = (PROPERTY, EVENT_PROPERTY) if self.when == SESSION else (PROPERTY,)
        return [(kind, self.name) for kind in kinds]


class Values:
    """The values that visitors had, as groups: more with each partition that is looked at."""

    def __init__(self, by: By):
        self._by, self._places = by, {NOTHING: REST}

    @property
    def texts(self) -> Sequence[str]:
        """By group."""
        return list(self._places)

    def groups(self, logged: Logged, began: Column | None) -> Groups:
        """logged: with all of the property, and for sessions all events.  began: the events of the first step."""
        there = [said for said in self._by.said if said in logged.columns]
        if not there or began is None:
            return Groups(np.zeros(0, np.uint32), np.zeros(0, np.int64), REST, len(self._places))
        if self._by.when == SESSION:
            visitors, places = self._of_sessions(logged, there, began)
        else:
            visitors, places = self._of_visitors(logged, there[0])
        return Groups(visitors, places, REST, len(self._places))

    def _of_visitors(self, logged: Logged, said: Said) -> tuple[NDArray[np.uint32], Ints]:
        texts = logged.values_of[said]
        column = in_order(logged.columns[said], texts)
        edge = column.visitors[1:] != column.visitors[:-1]
        which = np.append(edge, True) if self._by.when == LAST else np.append(True, edge)
        return column.visitors[which], self._whole(texts)[column.values[which]]

    def _of_sessions(self, logged: Logged, there: Sequence[Said], began: Column) -> tuple[NDArray[np.uint32], Ints]:
        texts = sorted({text for said in there for text in logged.values_of[said]})
        whole, place_of = np.append(self._whole(texts), REST), {text: place for place, text in enumerate(texts)}
        properties = []
        for said in there:
            among = np.array([place_of[text] for text in logged.values_of[said]], np.uint32)
            column = logged.columns[said]
            properties.append(Column(column.visitors, column.ticks, among[column.values]))
        events = [column for (kind, _), column in logged.columns.items() if kind == EVENT]
        visitors, places = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
        for stream in streams(list(enumerate(events)), self._by.gap):
            at = np.flatnonzero(stream.begins)
            of_each = first_values(stream, properties, at, np.append(at[1:], len(stream.keys)) - 1)
            mine = ranges.within(began, stream.begin, stream.span)
            is_first = np.diff(mine.visitors.astype(np.int64), prepend=-1) != 0
            keys = ranges.keys(mine, stream.begin, stream.first)[is_first]
            visitors.append(mine.visitors[is_first])
            places.append(whole[of_each[np.searchsorted(stream.moments(at), keys, "right") - 1]])
        return np.concatenate(visitors), np.concatenate(places)

    def _whole(self, texts: Sequence[str]) -> Ints:
        """Their groups."""
        return np.fromiter((self._places.setdefault(text, len(self._places)) for text in texts), np.int64, len(texts))


def rows(by: By, texts: Sequence[str], split: Split) -> list[tuple[Any, list[Step]]]:
    """Values with their steps, those of most visitors at the first step before others; last `__other__`, with all others."""
    began = split.began.tolist()
    there = [place for place, count in enumerate(began) if count]
    named = sorted(
        (place for place in there if texts[place] not in FOLDED), key=lambda place: (-began[place], texts[place])
    )
    found: list[tuple[Any, list[Step]]] = [
        (None if texts[place] == NOTHING else value_of(texts[place]), split.steps([place]))
        for place in named[: by.limit]
    ]
    others = [*named[by.limit :], *(place for place in there if texts[place] in FOLDED)]
    return [*found, (OTHER, split.steps(others))] if others else found

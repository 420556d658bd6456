"""A funnel for each value of a property of visitors: who had which value, and which rows are shown. Pure.

Each visitor has one value, their last or their first one, or none. So the rows add up to the whole funnel, at every step.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from whale.answer.conditions import NOTHING
from whale.answer.funnels import Groups, Split, Step
from whale.answer.properties import FOLDED, value_of, who_had
from whale.store.contract.events import Logged
from whale.visitors.entries import OTHER, PROPERTY

REST = 0
"""The group of those without a value."""


class By(NamedTuple):
    """name: of a property.  when: LAST or FIRST.  limit: of rows."""

    name: str
    when: str
    limit: int


class Values:
    """The values that visitors had, as groups: more with each partition that is looked at."""

    def __init__(self, by: By):
        self._by, self._places = by, {NOTHING: REST}

    @property
    def texts(self) -> Sequence[str]:
        """By group."""
        return list(self._places)

    def groups(self, logged: Logged) -> Groups:
        """logged: with all that is kept of the property."""
        column = logged.columns.get((PROPERTY, self._by.name))
        if column is None:
            return Groups(np.zeros(0, np.uint32), np.zeros(0, np.int64), REST, len(self._places))
        texts = logged.values_of[PROPERTY, self._by.name]
        of = who_had(column, texts, self._by.when)
        whole = np.fromiter((self._places.setdefault(text, len(self._places)) for text in texts), np.int64, len(texts))
        return Groups(of.visitors, whole[of.places], REST, len(self._places))


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

"""What properties say: who has one, which of its values, and which events go with it. Pure.

A property of a visitor is theirs from first to last: it touches all of their events, those before it too. Of its values a visitor has
`any` that they ever had, or the `last` or the `first` one. A property of an event is that of the events that came with it, and a value
counts the visitors of these. Of several values at one tick the last one is the greatest as text, so the order of arrival is no matter.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from whale.store.contract.events import Column, Logged, Said
from whale.sums import distinct
from whale.visitors.entries import EVENT, EVENT_PROPERTY, OTHER, PROPERTY, TICKS_A_MS

ANY, LAST, FIRST = "any", "last", "first"
FOLDED = (OTHER, f'"{OTHER}"')
"""As JSON, or in no quotes: the values past a cap."""
Numbers = NDArray[np.uint32]


class Property(NamedTuple):
    """kind: PROPERTY or EVENT_PROPERTY.  visitors: who have it.  values: different ones."""

    kind: str
    name: str
    visitors: int
    values: int


class Values(NamedTuple):
    """Of one property. rows: values as JSON with their visitors, those with the most first.  other: visitors of values that are in no
    row.  events: that it touches, with the visitors who have both.
    """

    visitors: int
    values: int
    rows: list[tuple[str, int]]
    other: int
    events: list[tuple[str, int]]


def properties(partitions: Iterable[Logged], event: str = "") -> list[Property]:
    """Those of most visitors first. event: of visitors who had it, or of it; "" for all."""
    visitors, values = Counter[Said](), dict[Said, set[str]]()
    for logged in partitions:
        for said, whole in logged.columns.items():
            if said[0] == EVENT:
                continue
            column = _beside(whole, logged, said[0], event)
            if len(column.visitors):
                texts = logged.values_of[said]
                visitors[said] += len(distinct(column.visitors))
                values.setdefault(said, set()).update(texts[place] for place in np.unique(column.values).tolist())
    found = [Property(*said, count, len(values[said].difference(FOLDED))) for said, count in visitors.items()]
    return sorted(found, key=lambda each: (-each.visitors, each.name, each.kind))


def values(partitions: Iterable[Logged], said: Said, when: str, limit: int, event: str = "") -> Values:
    """Of one property, by any, the last or the first value of each visitor."""
    held: list[_Held] = []
    events = Counter[str]()
    for logged in partitions:
        if said in logged.columns:
            column = _beside(logged.columns[said], logged, said[0], event)
            held.append(_who_had(column, logged.values_of[said], when))
            events.update({name: len(who) for name, who in _events_beside(column, logged, said[0]) if len(who)})
    counts = Counter[str]()
    for each in held:
        of_each = np.bincount(each.places, minlength=len(each.texts)).tolist()
        counts.update({text: count for text, count in zip(each.texts, of_each, strict=True) if count})
    named = _by_count({text: count for text, count in counts.items() if text not in FOLDED})
    shown = {text for text, _ in named[:limit]}
    other = 0
    for each in held:
        hidden = [place for place, text in enumerate(each.texts) if text not in shown]
        other += len(distinct(each.visitors[np.isin(each.places, hidden)]))
    whole = sum(len(distinct(each.visitors)) for each in held)
    return Values(whole, len(named), named[:limit], other, _by_count(events))


def value_of(text: str) -> Any:
    """The value of a property: from its JSON, or OTHER of those past a cap."""
    return OTHER if text in FOLDED else msgspec.json.decode(text)


class Last(NamedTuple):
    """The last value of a visitor's property, as JSON. since_ms: from when on they had it without another one between."""

    name: str
    value: str
    since_ms: int


def last_values(logged: Logged) -> list[Last]:
    """Of one visitor, by name. logged: theirs alone."""
    found = []
    for (kind, name), column in logged.columns.items():
        if kind == PROPERTY and len(column.ticks):
            texts = logged.values_of[kind, name]
            order = np.lexsort((ranks(texts)[column.values], column.ticks))
            ticks, places = column.ticks[order], column.values[order]
            others = np.flatnonzero(places != places[-1])
            since = ticks[others[-1] + 1 if len(others) else 0]
            found.append(Last(name, texts[places[-1]], int(since) // TICKS_A_MS))
    return sorted(found)


def assigned(logged: Logged, kind: str = PROPERTY) -> Iterator[tuple[int, str, str]]:
    """Tick, name and value of each record of a property."""
    for said, column in logged.columns.items():
        if said[0] == kind:
            texts = logged.values_of[said]
            for tick, place in zip(column.ticks.tolist(), column.values.tolist(), strict=True):
                yield tick, said[1], texts[place]


class _Held(NamedTuple):
    """Who has which value: pairs, each once. places: in texts."""

    visitors: Numbers
    places: NDArray[np.int64]
    texts: Sequence[str]


def _who_had(column: Column, texts: Sequence[str], when: str) -> _Held:
    if when == ANY:
        pairs = np.unique(column.visitors.astype(np.int64) * max(1, len(texts)) + column.values)
        visitors, places = np.divmod(pairs, max(1, len(texts)))
        return _Held(visitors.astype(np.uint32), places, texts)
    order = np.lexsort((ranks(texts)[column.values], column.ticks, column.visitors))
    visitors = column.visitors[order]
    edge = visitors[1:] != visitors[:-1]
    which = np.append(edge, True) if when == LAST else np.append(True, edge)
    which = which[: len(visitors)]
    return _Held(visitors[which], column.values[order][which].astype(np.int64), texts)


def ranks(texts: Sequence[str]) -> NDArray[np.int64]:
    """Of each its place in their order."""
    ranks = np.empty(len(texts), np.int64)
    ranks[sorted(range(len(texts)), key=lambda place: texts[place])] = np.arange(len(texts))
    return ranks


def _beside(column: Column, logged: Logged, kind: str, event: str) -> Column:
    """The records of a property that go with an event; all of them where none is named."""
    if not event:
        return column
    other = logged.columns.get((EVENT, event))
    if other is None:
        which = np.zeros(len(column.visitors), np.bool_)
    elif kind == EVENT_PROPERTY:
        which = _shared(column, other)
    else:
        which = np.isin(column.visitors, other.visitors)
    return Column(column.visitors[which], column.ticks[which], column.values[which])


def _events_beside(column: Column, logged: Logged, kind: str) -> Iterator[tuple[str, Numbers]]:
    """The events that a property touches, each with the visitors who have both."""
    for (of, name), other in logged.columns.items():
        if of == EVENT:
            which = _shared(other, column) if kind == EVENT_PROPERTY else np.isin(other.visitors, column.visitors)
            yield name, distinct(other.visitors[which])


def _shared(column: Column, other: Column) -> NDArray[np.bool_]:
    """Which records have the visitor and the tick of one of the others."""
    ticks = np.unique(other.ticks)
    if not len(ticks):
        return np.zeros(len(column.ticks), np.bool_)
    places = np.minimum(np.searchsorted(ticks, column.ticks), len(ticks) - 1)
    mine = column.visitors.astype(np.int64) * len(ticks) + places
    theirs = other.visitors.astype(np.int64) * len(ticks) + np.searchsorted(ticks, other.ticks)
    return (ticks[places] == column.ticks) & np.isin(mine, theirs)


def _by_count(counts: "dict[str, int] | Counter[str]") -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda each: (-each[1], each[0]))

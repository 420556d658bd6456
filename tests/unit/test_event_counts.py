"""How often an event happened and after which, the same as by looking at each pair of events; the oracle knows the words of
docs/http/hiitrack_reports.md alone.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import law
from whale.answer import ranges
from whale.answer.event_counts import FOR_EVER, Bound, Cell, Split, counted, split_of, touched
from whale.answer.hiitrack import steps_by_value
from whale.errors import TooManyPoints
from whale.store.contract.events import Column, Logged
from whale.visitors.entries import EVENT, EVENT_PROPERTY, PROPERTY

Event = tuple[int, int, str]
"""Visitor, tick, name."""
Said = tuple[int, int, str]
"""Visitor, tick, value of the property."""


class Told(NamedTuple):
    total: Counter[Cell]
    unique: Counter[Cell]
    path: dict[str, Counter[Cell]]
    unique_path: dict[str, Counter[Cell]]


def bucket_of(tick: int, edges: Sequence[int]) -> int | None:
    return next((i for i in range(len(edges) - 1) if edges[i] <= tick < edges[i + 1]), None)


def places_of(event: Event, said: list[Said], kind: str, texts: Sequence[str] | None) -> set[int]:
    """Which rows of an answer an event counts at: the place of each value of it, or of its visitor."""
    if texts is None:
        return {0}
    mine = {value for who, tick, value in said if who == event[0] and (kind == PROPERTY or tick == event[1])}
    return {texts.index(value) if value in texts else len(texts) for value in mine}


def oracle(
    events: list[Event], name: str, edges: Sequence[int], said: list[Said], kind: str, texts: Sequence[str] | None
) -> Told:
    told = Told(Counter(), Counter(), {}, {})
    seen: set[tuple[object, ...]] = set()

    def add(event: Event, table: Counter[Cell], unique: Counter[Cell], of: str) -> None:
        bucket = bucket_of(event[1], edges)
        for place in places_of(event, said, kind, texts):
            is_new = (of, event[0], place) not in seen
            seen.add((of, event[0], place))
            if bucket is not None:
                table[place, bucket] += 1
                unique[place, bucket] += is_new

    for event in sorted(each for each in events if each[2] == name):
        add(event, told.total, told.unique, "")
        for other in sorted({before for who, tick, before in events if who == event[0] and tick < event[1]}):
            tables = (each.setdefault(other, Counter()) for each in (told.path, told.unique_path))
            add(event, *tables, other)
    return Told(+told.total, +told.unique, _filled(told.path), _filled(told.unique_path))


def _filled(tables: dict[str, Counter[Cell]]) -> dict[str, Counter[Cell]]:
    return {name: +table for name, table in tables.items() if +table}


def logged(events: list[Event], said: list[Said], kind: str) -> Logged:
    columns = {(EVENT, name): _column([(who, tick, 0) for who, tick, each in events if each == name]) for name in "ABC"}
    texts = sorted({value for _, _, value in said})[::-1]
    if said:
        columns[kind, "p"] = _column([(who, tick, texts.index(value)) for who, tick, value in said])
    return Logged({said: column for said, column in columns.items() if len(column.ticks)}, {(kind, "p"): texts})


def _column(rows: list[tuple[int, int, int]]) -> Column:
    visitors, ticks, values = zip(*sorted(rows), strict=True) if rows else ((), (), ())
    return Column(np.array(visitors, np.uint32), np.array(ticks, np.int64), np.array(values, np.uint32))


def parts_of(events: list[Event], said: list[Said], kind: str) -> list[Logged]:
    """Visitors of even numbers in one partition, others in another one."""
    return [
        logged([each for each in events if each[0] % 2 == part], [each for each in said if each[0] % 2 == part], kind)
        for part in range(2)
    ]


visitors, ticks = st.integers(0, 5), st.integers(100, 115)
events = st.lists(st.tuples(visitors, ticks, st.sampled_from("ABC")), max_size=25)
values = st.lists(st.tuples(visitors, ticks, st.sampled_from(['"x"', '"y"', "1", '"__other__"'])), max_size=12)
kinds = st.sampled_from((PROPERTY, EVENT_PROPERTY))
buckets = st.sampled_from(((100, 116), (103, 108, 110, 112), (0, 2**60)))


@given(events, values, kinds, buckets, st.booleans(), st.integers(1, 3), st.sampled_from((2, 65_536)))
@law(400)
def test_an_event_is_counted_as_by_looking_at_each_pair(
    some: list[Event],
    said: list[Said],
    kind: str,
    edges: tuple[int, ...],
    is_split: bool,
    limit: int,
    span: int,
) -> None:
    parts = parts_of(some, said, kind)
    split = split_of(parts, (kind, "p"), limit) if is_split else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SPAN", span)
        found = counted(parts, "A", "ABC", edges, split)
    told = Told(found.total, found.unique, found.path, found.unique_path)
    assert told == oracle(some, "A", edges, said, kind, split.texts if split else None)


@given(events, values, kinds, st.integers(1, 3))
@law(200)
def test_a_value_touches_the_visitors_who_have_it_and_the_event(
    some: list[Event], said: list[Said], kind: str, limit: int
) -> None:
    parts = parts_of(some, said, kind)
    split = split_of(parts, (kind, "p"), limit)
    expected: dict[str, Counter[int]] = {}
    for name in "ABC":
        who = {
            (event[0], place)
            for event in some
            if event[2] == name
            for place in places_of(event, said, kind, split.texts)
        }
        if who:
            expected[name] = Counter(place for _, place in who)
    assert touched(parts, split) == expected


@given(events, values)
@law(100)
def test_a_split_shows_the_values_of_most_visitors(some: list[Event], said: list[Said]) -> None:
    split = split_of(parts_of(some, said, PROPERTY), (PROPERTY, "p"), 2)
    count = Counter(value for value, _ in {(value, who) for who, _, value in said} if json.loads(value) != "__other__")
    assert split.texts == sorted(count, key=lambda value: (-count[value], value))[:2]
    assert split.has_others == any(value not in split.texts for _, _, value in said)


def test_simultaneous_events_are_not_after_each_other() -> None:
    found = counted([logged([(1, 5, "A"), (1, 5, "B"), (1, 6, "A")], [], PROPERTY)], "A", "AB", FOR_EVER)
    assert (found.total, found.unique) == ({(0, 0): 2}, {(0, 0): 1})
    assert found.path == {"A": {(0, 0): 1}, "B": {(0, 0): 1}}


def test_an_event_that_is_not_there_is_counted_as_none() -> None:
    found = counted([logged([(1, 5, "B")], [], PROPERTY)], "A", "AB", FOR_EVER, Split((PROPERTY, "p"), ['"x"'], True))
    assert (found.total, found.path) == ({}, {})


def chains_to(step: int, event: Event, events: list[Event], steps: str) -> list[int]:
    """When each chain began that led to an event."""
    if event[2] != steps[step]:
        return []
    if not step:
        return [event[1]]
    before = [each for each in events if each[0] == event[0] and each[1] < event[1]]
    return [began for each in before for began in chains_to(step - 1, each, events, steps)]


@given(
    events,
    values,
    st.sampled_from(("AB", "ABC", "ABA")),
    st.integers(1, 20),
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from((2, 65_536)),
)
@law(300)
def test_a_funnel_by_values_is_that_of_the_visitors_of_each_value(
    some: list[Event], said: list[Said], steps: str, window: int, is_split: bool, limit: int, span: int
) -> None:
    part = logged(some, said, PROPERTY)
    split = split_of([part], (PROPERTY, "p"), limit) if is_split else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SPAN", span)
        found = steps_by_value(part, steps, split, window, 200)
    for step in range(len(steps)):
        events_at, visitors_at = Counter[int](), Counter[int]()
        led = [each for each in some if any(each[1] - began <= window for began in chains_to(step, each, some, steps))]
        pairs = [(each[0], place) for each in led for place in places_of(each, said, PROPERTY, split and split.texts)]
        events_at.update(place for _, place in pairs)
        visitors_at.update(place for _, place in set(pairs))
        width = split.width if split else 1
        expected = [[table[place] for place in range(width)] for table in (visitors_at, events_at)]
        assert found[step].tolist() == expected


def test_values_that_came_after_others_were_chosen_are_others() -> None:
    split = split_of([logged([], [(1, 5, '"x"')], PROPERTY)], (PROPERTY, "p"), 9)
    assert not split.has_others
    found = counted([logged([(2, 6, "A")], [(1, 5, '"x"'), (2, 5, '"y"')], PROPERTY)], "A", "A", FOR_EVER, split)
    assert (split.has_others, found.total) == (True, {(1, 0): 1})


def test_counting_stops_at_the_bound() -> None:
    def parts() -> Iterator[Logged]:
        yield logged([(1, 5, "A"), (1, 5, "B"), (1, 6, "A")], [(1, 5, '"x"')], PROPERTY)
        raise AssertionError("went on")

    split = Split((PROPERTY, "p"), ['"x"'], False)
    with pytest.raises(TooManyPoints, match="more than 5 numbers"):
        counted(parts(), "A", "AB", FOR_EVER, split, Bound(5))
    with pytest.raises(TooManyPoints):
        touched(parts(), split, Bound(1))
    bound = Bound(6)
    counted([logged([(1, 5, "A"), (1, 5, "B"), (1, 6, "A")], [], PROPERTY)] * 2, "A", "AB", FOR_EVER, bound=bound)
    assert bound.found == 6

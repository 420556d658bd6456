"""Sessions, and which event comes next, the same as by going through the events of each visitor; the oracles know the words of
docs/http/following.md alone.
"""

from collections import Counter
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import law
from whale.answer import paths, ranges, streams
from whale.answer.sessions import NONE, Asked, Part, sessions
from whale.answer.streams import Piece
from whale.store.contract.events import Column

NAMES = "ABC"
Event = tuple[int, int, str]
"""Visitor, tick, name."""
Value = tuple[int, int, int]
"""Visitor, tick, place."""


class Session(NamedTuple):
    visitor: int
    events: list[tuple[int, str]]
    values: list[tuple[int, int]]


def oracle(events: list[Event], values: list[Value], gap: int, start: int, end: int) -> list[Session]:
    """Event by event, in order."""
    found: list[Session] = []
    for visitor in sorted({event[0] for event in events}):
        mine = sorted(event[1:] for event in events if event[0] == visitor)
        several: list[list[tuple[int, str]]] = []
        for tick, name in mine:
            if not several or tick - several[-1][-1][0] > gap:
                several.append([])
            several[-1].append((tick, name))
        for some in several:
            first, last = some[0][0], some[-1][0]
            if start <= first < end:
                within = sorted(
                    (tick, place) for who, tick, place in values if who == visitor and first <= tick <= last
                )
                found.append(Session(visitor, some, within))
    return found


def told(some: list[Session], page: str | None) -> tuple[int, int, int, float | None, int | None]:
    took = sorted(each.events[-1][0] - each.events[0][0] for each in some)
    bounces = sum(sum(page in (None, name) for _, name in each.events) == 1 for each in some)
    median = took[len(took) // 2] if took else None
    return len(some), len({each.visitor for each in some}), bounces, mean(took) if took else None, median


def place_of(session: Session, by: str) -> int:
    match by:
        case "entry":
            return NAMES.index(session.events[0][1])
        case "exit":
            return NAMES.index(session.events[-1][1])
    return session.values[0][1] if session.values else NONE


def pieces(events: list[Event]) -> list[Piece]:
    """Each event in two pieces: what was read of the range, and what was read after it."""
    found: list[Piece] = []
    for place, name in enumerate(NAMES):
        for later in (False, True):
            rows = [event for event in events if event[2] == name and (event[1] > 115) == later]
            found.append((place, column([(visitor, tick, 0) for visitor, tick, _ in rows])))
    return found


def column(rows: list[Value]) -> Column:
    visitors, ticks, values = zip(*sorted(rows), strict=True) if rows else ((), (), ())
    return Column(np.array(visitors, np.uint32), np.array(ticks, np.int64), np.array(values, np.uint32))


events = st.lists(st.tuples(st.integers(0, 5), st.integers(100, 130), st.sampled_from(NAMES)), max_size=25)
values = st.lists(st.tuples(st.integers(0, 5), st.integers(95, 135), st.integers(0, 3)), max_size=12)
spans = st.sampled_from(((2, 63), (65_536, 63), (2, 0)))
"""Of ranges of visitors, and bits of a number by which events are sorted: with 0 they are put in order otherwise."""


@given(
    events,
    values,
    st.integers(0, 8),
    st.integers(95, 120),
    st.integers(1, 30),
    st.sampled_from(("", "entry", "exit", "source")),
    st.sampled_from((None, "A")),
    st.integers(1, 4),
    spans,
)
@law(500)
def test_sessions_are_those_that_a_walk_through_the_events_finds(
    some: list[Event],
    said: list[Value],
    gap: int,
    start: int,
    length: int,
    by: str,
    page: str | None,
    limit: int,
    span: tuple[int, int],
) -> None:
    edges = np.array([start, start + (length + 1) // 2, start + length], np.int64)
    asked = Asked(edges, gap, None if page is None else NAMES.index(page), by)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SPAN", span[0])
        patch.setattr(streams, "BITS", span[1])
        found = sessions(
            [
                Part(
                    pieces([event for event in some if event[0] % 2 == part]),
                    [column([value for value in said if value[0] % 2 == part])],
                    np.arange(4),
                )
                for part in range(2)
            ],
            asked,
            limit,
        )
    expected = oracle(some, said, gap, start, start + length)
    assert shown(found.whole) == told(expected, page)
    for at in range(2):
        begun = [each for each in expected if edges[at] <= each.events[0][0] < edges[at + 1]]
        assert tuple(found.buckets[at].tolist()) == (len(begun), told(begun, page)[2])
    if by:
        groups = Counter(place_of(each, by) for each in expected)
        sizes = sorted(groups.values(), reverse=True)
        assert [group.sessions for group in found.groups.values()] == sizes[:limit]
        for place, group in found.groups.items():
            assert shown(group) == told([each for each in expected if place_of(each, by) == place], page)
        rest = [each for each in expected if place_of(each, by) not in found.groups]
        assert shown(found.other) == told(rest, page)


def shown(group: Any) -> tuple[int, int, int, float | None, int | None]:
    return group.sessions, group.visitors, group.bounces, group.mean, group.median


@given(events, st.integers(0, 8), st.integers(100, 129))
@law(100)
def test_a_range_that_is_cut_has_the_same_sessions(some: list[Event], gap: int, at: int) -> None:
    def count(*edges: int) -> int:
        return sessions([Part(pieces(some))], Asked(np.array(edges, np.int64), gap)).whole.sessions

    assert count(90, at) + count(at, 140) == count(90, 140) <= len(some)


def beside(
    events: list[Event], event: str, direction: str, gap: int, start: int, end: int
) -> list[tuple[int, int, str | None]]:
    """Of each time that the event happened: visitor, tick and what comes beside."""
    found: list[tuple[int, int, str | None]] = []
    for visitor, tick, name in events:
        if name == event and start <= tick < end:
            mine = [each[1:] for each in events if each[0] == visitor]
            if direction == "next":
                near = [each for each in mine if tick < each[0] <= tick + gap]
                moment = min((each[0] for each in near), default=0)
            else:
                near = [each for each in mine if tick - gap <= each[0] < tick]
                moment = max((each[0] for each in near), default=0)
            found.append((visitor, tick, min((each[1] for each in near if each[0] == moment), default=None)))
    return found


@given(
    events,
    st.sampled_from(NAMES),
    st.sampled_from(("next", "before")),
    st.integers(0, 8),
    st.integers(95, 120),
    st.integers(1, 30),
    st.integers(100, 140),
    st.integers(1, 3),
    spans,
)
@law(500)
def test_paths_are_those_that_looking_beside_each_event_finds(
    some: list[Event],
    event: str,
    direction: str,
    gap: int,
    start: int,
    length: int,
    as_of: int,
    limit: int,
    span: tuple[int, int],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SPAN", span[0])
        patch.setattr(streams, "BITS", span[1])
        parts = [pieces([each for each in some if each[0] % 2 == part]) for part in range(2)]
        asked = paths.Asked(NAMES.index(event), direction, gap, (start, start + length), as_of, limit)
        found = paths.paths(parts, asked)
    expected = beside(some, event, direction, gap, start, start + length)
    assert (found.occurrences, found.visitors) == (len(expected), len({each[0] for each in expected}))
    ends = [tick for _, tick, name in expected if name is None]
    is_open = sum(tick + gap >= as_of for tick in ends) if direction == "next" else 0
    assert (found.ended, found.open) == (len(ends) - is_open, is_open)
    sizes = Counter(name for *_, name in expected if name)
    rows = sorted(sizes.items(), key=lambda each: (-each[1], each[0]))

    def people(names: list[str]) -> int:
        return len({visitor for visitor, _, name in expected if name in names})

    assert found.rows == [(NAMES.index(name), times, people([name])) for name, times in rows[:limit]]
    rest = [name for name, _ in rows[limit:]]
    assert found.other == (sum(sizes[name] for name in rest), people(rest))

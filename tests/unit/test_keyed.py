"""Columns in pieces, each record one number, say what columns say whose records are together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import law
from whale.answer import paths, ranges
from whale.answer.funnels import Partition, funnel
from whale.answer.paths import BEFORE, NEXT
from whale.answer.sessions import Asked, Part, sessions
from whale.store.contract.events import Column
from whale.visitors.columns import rows_of
from whale.visitors.keyed import TICKS, Keyed, joined, keyed

Row = tuple[int, int, int]
"""Visitor, tick, value."""

MONTH_END = 1_764_547_200_000 * 49  # 2025-12-01
ticks = st.integers(MONTH_END - 9, MONTH_END + 9) | st.integers(MONTH_END - 2 * TICKS, MONTH_END + 2 * TICKS)
visitors = st.integers(0, 5) | st.sampled_from([65_535, 65_536, 2**26, 2**27 - 1])
rows = st.lists(st.tuples(visitors, ticks, st.integers(0, 3)), max_size=20)
pieces = st.lists(st.integers(0, 3), min_size=20, max_size=20)


def together(some: Sequence[Row]) -> Column:
    columns = list(zip(*sorted(some), strict=True)) or [(), (), ()]
    return Column(*(np.array(each, kind) for each, kind in zip(columns, (np.uint32, np.int64, np.uint32), strict=True)))


def in_pieces(some: Sequence[Row], of: Sequence[int]) -> Column:
    """of: the piece in which each record lies."""
    found: list[Keyed] = []
    for number in sorted(set(of)):
        mine = together([row for row, piece in zip(some, of, strict=False) if piece == number])
        values = mine.values.astype(np.uint8) if mine.values.any() else None
        found += keyed(mine.visitors, mine.ticks, values)
    return Column.of(found)


def plain(column: Any) -> list[Row]:
    return list(zip(*(each.tolist() for each in column), strict=True))


@given(rows, pieces)
@law(200)
def test_pieces_are_the_records_that_they_were_made_of(some: list[Row], of: list[int]) -> None:
    column = in_pieces(some, of)
    assert len(column) == len(some)
    if some:
        assert column.since <= min(row[1] for row in some)
        assert column.span == (min(row[0] for row in some), max(row[0] for row in some))
    assert plain(column.between(1, 65_536)) == sorted(row for row in some if 1 <= row[0] < 65_536)
    assert sorted(column.visitors_from(MONTH_END).tolist()) == sorted(row[0] for row in some if row[1] >= MONTH_END)
    assert plain(column) == sorted(some)
    assert plain(column.between(1, 65_536)) == sorted(row for row in some if 1 <= row[0] < 65_536)
    assert sorted(column.visitors_from(MONTH_END).tolist()) == sorted(row[0] for row in some if row[1] >= MONTH_END)


@given(rows, pieces, ticks, ticks, st.lists(visitors))
@law(200)
def test_some_of_a_piece(some: list[Row], of: list[int], first: int, end: int, who: list[int]) -> None:
    for each in in_pieces(some, of).pieces or ():
        known = plain(rows_of(each))
        assert plain(rows_of(each.within(first, end))) == [row for row in known if first <= row[1] < end]
        assert plain(rows_of(each.between(3, 2**27))) == [row for row in known if row[0] >= 3]
        assert plain(rows_of(each.between(0, 2**26))) == [row for row in known if row[0] < 2**26]
        assert plain(rows_of(each.of(np.unique(np.array(who, np.uint32))))) == [row for row in known if row[0] in who]
        assert plain(rows_of(each.between(0, 1).alone())) == [row for row in known if not row[0]]


@given(rows, pieces, st.integers(0, 5))
@law(200)
def test_pieces_of_one_month_are_put_in_order(some: list[Row], of: list[int], later: int) -> None:
    some = [(who, MONTH_END + (tick & TICKS) // 2, value) for who, tick, value in some]
    found = list(in_pieces(some, of).pieces or ())
    if found:
        moved = found[0]
        since = np.uint64(min(later, int((moved.keys & np.uint64(TICKS)).min())))
        found[0] = Keyed(moved.first + int(since), moved.keys - since, moved.values)
        assert plain(rows_of(joined(found))) == sorted(some)


@given(rows, pieces)
@law(200)
def test_keys_of_a_range_are_visitor_and_tick(some: list[Row], of: list[int]) -> None:
    first = MONTH_END - 3 * TICKS
    for begin in (0, 65_536, 2**26):
        expected = [
            (who - begin << ranges.TICK_BITS) + tick - first
            for who, tick, _ in sorted(some)
            if begin <= who < begin + 65_536
        ]
        for column in (together(some), in_pieces(some, of)):
            assert ranges.keys(ranges.within(column, begin), begin, first).tolist() == expected


near = st.integers(MONTH_END - 20, MONTH_END + 20)
events = st.lists(st.tuples(st.integers(0, 4), near, st.integers(0, 2)), max_size=25)
of_events = st.lists(st.integers(0, 3), min_size=25, max_size=25)


def of_names(some: Sequence[Row], of: Sequence[int] | None) -> list[Column]:
    """Of each of three events its records, which have no values."""
    found = []
    for name in range(3):
        mine = [(number, row) for number, row in enumerate(some) if row[2] == name]
        plain_rows = [(who, tick, 0) for _, (who, tick, _) in mine]
        found.append(in_pieces(plain_rows, [of[at] for at, _ in mine]) if of else together(plain_rows))
    return found


@given(events, of_events, st.integers(0, 30), near, st.sampled_from((2, 65_536)))
@law(150)
def test_questions_say_the_same_of_pieces(some: list[Row], of: list[int], window: int, as_of: int, span: int) -> None:
    def answers(columns: list[Column]) -> list[object]:
        found: list[object] = []
        for step in funnel([Partition([columns[place] for place in (0, 1, 2, 0)])], window, as_of):
            took = sorted(np.concatenate([np.zeros(0, np.int64), *step.took]).tolist())
            found.append((step.visitors, step.occurrences, step.open, took))
        named = list(enumerate(columns))
        for direction in (NEXT, BEFORE):
            beside = paths.Asked(0, direction, window, (MONTH_END - 9, MONTH_END + 9), as_of, 1)
            found.append(paths.paths([named], beside))
        begun = sessions([Part(named)], Asked(np.array([MONTH_END - 9, MONTH_END, MONTH_END + 9]), window, 0))
        whole = begun.whole
        found.append((whole.sessions, whole.visitors, whole.bounces, whole.mean, whole.median, begun.buckets.tolist()))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SPAN", span)
        assert answers(of_names(some, of)) == answers(of_names(some, None))

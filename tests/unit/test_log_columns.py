"""Columns and parts of the visitor log give back what went in, whatever it was, at any length and in any zone."""

from collections import Counter
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.settings import DAY
from tests.laws import law
from whale.period import month_start, next_start
from whale.sums import distinct
from whale.visitors import parts
from whale.visitors.columns import FEW, Rows, decode, decode_visitors, encode, visitor_bytes
from whale.visitors.keyed import TICK_BITS
from whale.visitors.parts import IS_OF_EVENT, IS_PROPERTY, MANY, TICKS_A_S, Records

MONTH_TICKS = 31 * DAY * TICKS_A_S
ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe")


def rows_of(some: list[tuple[int, int, int]]) -> Rows:
    visitors, ticks, values = zip(*sorted(some), strict=True)
    return Rows(np.array(visitors, np.uint32), np.array(ticks, np.int64), np.array(values, np.uint32))


def plain(rows: Rows) -> list[tuple[int, ...]]:
    return list(zip(*(each.tolist() for each in rows), strict=True))


visitors = st.integers(0, 3) | st.integers(0, 600) | st.integers(0, 2**27 - 1)
ticks = st.integers(0, 60) | st.integers(0, MONTH_TICKS + 3600 * TICKS_A_S)
values = st.sampled_from([0, 1, 255, 256, 65_535, 65_536, 2**20 - 1])


@law(200)
@given(some=st.lists(st.tuples(visitors, ticks, values), min_size=1, max_size=3 * FEW))
def test_a_column_gives_back_its_records(some: list[tuple[int, int, int]]) -> None:
    rows = rows_of(some)
    column = encode(rows)
    assert plain(decode(column)) == plain(rows)
    assert decode_visitors(column[: visitor_bytes(column)]).tolist() == rows.visitors.tolist()


@pytest.mark.parametrize("count", [1, FEW - 1, FEW, 20_000])
def test_a_column_of_an_event_keeps_no_values(count: int) -> None:
    rows = rows_of([(number // 3, 49 * 1000 * number, 0) for number in range(count)])
    assert plain(decode(encode(rows))) == plain(rows)
    assert len(encode(rows)) < 8 * count + 10


def test_a_tick_of_the_longest_month_fits() -> None:
    assert MONTH_TICKS + 3600 * TICKS_A_S < 2**TICK_BITS


def stamp(zone: str, *day: int) -> int:
    return int(datetime(*day, tzinfo=ZoneInfo(zone)).timestamp())


codes = st.sampled_from([0, 7, IS_PROPERTY | 3, IS_PROPERTY | 4, IS_PROPERTY | IS_OF_EVENT | 1 << 20])


@pytest.mark.parametrize("zone", ZONES)
@law(30)
@given(data=st.data())
def test_records_are_parted_by_months_of_the_zone_and_none_is_lost(zone: str, data: st.DataObject) -> None:
    edges = [stamp(zone, 2026, month, 1) for month in (3, 4, 5, 10, 11, 12)]
    near = st.sampled_from(edges).flatmap(lambda edge: st.integers(edge * TICKS_A_S - 2, edge * TICKS_A_S + 2))
    some = data.draw(st.lists(st.tuples(st.integers(0, 5), near, codes), min_size=1, max_size=40))
    who, at, what = zip(*some, strict=True)
    records = Records(np.array(who, np.uint32), np.array(at, np.int64), np.array(what, np.uint32))
    found: Counter[Any] = Counter()
    for start, mine in parts.months(records.ticks, zone):
        assert month_start(start, zone) == start
        part = parts.make(parts.some_of(records, mine), start, zone)
        cuts, first = parts.directory_of(part)
        assert len(part) == first + sum(cut.bytes for cut in cuts)
        for cut in cuts:
            rows = parts.rows_of(part, cut, first)
            assert plain(rows) == sorted(plain(rows))
            assert (rows.ticks >= cut.start * TICKS_A_S).all()
            assert (rows.ticks < cut.end * TICKS_A_S).all()
            found.update((visitor, tick, cut.code | value) for visitor, tick, value in plain(rows))
    assert found == Counter(some)


@pytest.mark.parametrize("zone", ZONES)
def test_a_long_column_is_cut_at_the_days_of_the_zone(zone: str) -> None:
    start = stamp(zone, 2026, 4, 1)
    end = next_start("1mo", start, zone)
    count = MANY + 1
    at = np.linspace(start * TICKS_A_S, end * TICKS_A_S - 1, count).astype(np.int64)
    records = Records(np.arange(count, dtype=np.uint32) % 1000, at, np.full(count, 5, np.uint32))
    part = parts.make(records, start, zone)
    cuts, first = parts.directory_of(part)
    assert [cut.start for cut in cuts] == [stamp(zone, 2026, 4, day) for day in range(1, 31)]
    assert [cut.end for cut in cuts] == [*(cut.start for cut in cuts[1:]), end]
    assert sum(cut.records for cut in cuts) == count
    found = [parts.rows_of(part, cut, first) for cut in cuts]
    assert np.array_equal(np.sort(np.concatenate([rows.ticks for rows in found])), at)


@law(100)
@given(
    some=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 400), st.integers(0, 3)), min_size=1, max_size=3 * FEW),
    gone=st.lists(st.integers(0, 7), max_size=3, unique=True),
)
def test_a_part_is_made_without_some_visitors(some: list[tuple[int, int, int]], gone: list[int]) -> None:
    start = stamp("UTC", 2026, 3, 1)
    visitors, ticks, codes = zip(*some, strict=True)
    records = Records(
        np.array(visitors, np.uint32), np.array(ticks, np.int64) + start * TICKS_A_S, np.array(codes, np.uint32)
    )
    part = parts.make(records, start, "UTC")
    left = parts.without(part, np.array(gone, np.uint32))
    mine = ~np.isin(records.visitors, gone)
    if mine.all():
        assert left is None
    else:
        assert left == (parts.make(parts.some_of(records, mine), start, "UTC") if mine.any() else b"")
    assert parts.size(part) == len(some)


@law(100)
@given(st.lists(st.integers(0, 5) | st.integers(0, 2**32 - 1), max_size=20))
def test_numbers_are_given_once_and_in_order(some: list[int]) -> None:
    assert distinct(np.array(some, np.uint32)).tolist() == sorted(set(some))

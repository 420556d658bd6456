"""Who comes back, the same as by looking at each visitor's days in a calendar; the oracle knows the docs alone."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import law
from whale.answer import ranges
from whale.answer.retention import Part, curve, retention, retention_of_sets
from whale.period import DAY, MONTH, WEEK, Interval, bucket_start, next_start
from whale.store.contract.events import Column
from whale.visitors.crowd import Bits, bits_of

TICKS_A_S = 49_000
ZONES = {
    "UTC": datetime(2026, 3, 6, tzinfo=UTC),
    "America/New_York": datetime(2026, 3, 6, tzinfo=UTC),  # 2026-03-08 has 23 hours
    "Australia/Lord_Howe": datetime(2026, 4, 3, tzinfo=UTC),  # 2026-04-05 has 24 hours and a half
}
Event = tuple[int, int, str]
"""Visitor, half hours since the start, name."""


def local(zone: str, half_hours: int) -> date:
    """The day on which something happened."""
    return (ZONES[zone] + timedelta(minutes=30 * half_hours)).astimezone(ZoneInfo(zone)).date()


def name_of(day: date, interval: Interval) -> date:
    """The first day of the bucket that a day is in."""
    if interval == WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == MONTH else day


def oracle(
    events: list[Event], first: str, again: str, zone: str, interval: Interval, buckets: list[date]
) -> tuple[list[int], list[list[int]]]:
    sizes = [0] * len(buckets)
    kept = [[0] * len(buckets) for _ in buckets]
    for visitor in {event[0] for event in events}:
        mine = [(at, name) for who, at, name in events if who == visitor]
        began = min((at for at, name in mine if name == first), default=None)
        if began is None or name_of(local(zone, began), interval) not in buckets:
            continue
        cohort = buckets.index(name_of(local(zone, began), interval))
        sizes[cohort] += 1
        for bucket in {name_of(local(zone, at), interval) for at, name in mine if name == again}:
            if bucket in buckets:
                kept[cohort][buckets.index(bucket)] += 1
    return sizes, kept


def columns(events: list[Event], name: str, zone: str, pieces: int = 1) -> list[Column]:
    start = int(ZONES[zone].timestamp()) * TICKS_A_S
    found = []
    for piece in range(pieces):
        rows = sorted(
            (visitor, start + at * 1800 * TICKS_A_S)
            for visitor, at, each in events
            if each == name and at % pieces == piece
        )
        visitors, ticks = zip(*rows, strict=True) if rows else ((), ())
        found.append(Column(np.array(visitors, np.uint32), np.array(ticks, np.int64), np.zeros(len(rows), np.uint32)))
    return found


events = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 48 * 45), st.sampled_from("AB")), max_size=30)


@given(
    events,
    st.sampled_from("AB"),
    st.sampled_from(sorted(ZONES)),
    st.sampled_from((DAY, WEEK, MONTH)),
    st.integers(1, 6),
    st.integers(0, 48 * 30),
    st.sampled_from((2, 65_536)),
)
@law(400)
def test_cohorts_are_those_that_a_calendar_finds(
    some: list[Event], again: str, zone: str, interval: Interval, count: int, at: int, span: int
) -> None:
    start = bucket_start(interval, int(ZONES[zone].timestamp()) + 1800 * at, zone)
    starts = [next_start(interval, start, zone, place) for place in range(count + 1)]
    edges = np.array(starts, np.int64) * TICKS_A_S
    parts = [[event for event in some if event[0] % 2 == part] for part in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SPAN", span)
        sizes, kept = retention(
            [Part(columns(part, "A", zone, 2), columns(part, again, zone)) for part in parts], edges
        )
    buckets = [datetime.fromtimestamp(each, ZoneInfo(zone)).date() for each in starts[:-1]]
    expected, came_back = oracle(some, "A", again, zone, interval, buckets)
    assert (sizes, kept.tolist()) == (expected, came_back)
    before = [0, *(edge // TICKS_A_S for edge in edges.tolist())]
    sizes, kept = retention_of_sets(
        (sets(part, "A", zone, before), sets(part, again, zone, before)[1:]) for part in parts
    )
    assert (sizes, kept.tolist()) == (expected, np.triu(came_back).tolist())


def sets(events: list[Event], name: str, zone: str, edges: list[int]) -> list[Bits]:
    """Who had an event between two edges."""
    start = int(ZONES[zone].timestamp())
    return [
        bits_of(np.array([who for who, at, each in events if each == name and low <= start + at * 1800 < high]), 1)
        for low, high in pairwise(edges)
    ]


def test_a_cohort_counts_in_the_curve_once_its_bucket_is_over() -> None:
    kept = np.array([[4, 2, 1], [0, 6, 3], [0, 0, 5]], np.int64)
    assert curve([4, 6, 5], kept, complete=2) == [1.0, 0.5, None]
    assert curve([4, 6, 5], kept, complete=3) == [1.0, 0.5, 0.25]
    assert curve([0, 6, 5], kept, complete=1) == [None, None, None]

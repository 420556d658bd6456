"""Buckets of ticks, found by a division, are those that a search finds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hail.settings import DAY
from tests.laws import law
from whale.answer import ranges
from whale.period import starts

TICKS_A_S = 49_000


@law(60)
@given(
    gaps=st.lists(st.integers(1, 400), min_size=0, max_size=40),
    first=st.integers(-1000, 1000),
    ticks=st.lists(st.integers(-3000, 20_000), max_size=60),
)
def test_of_any_edges(gaps: list[int], first: int, ticks: list[int]) -> None:
    edges, at = first + np.cumsum([0, *gaps]), np.array([*ticks, first, first + sum(gaps)], np.int64)
    few, ranges.FEW = ranges.FEW, 0
    try:
        found = ranges.bucket_of(edges, at)
    finally:
        ranges.FEW = few
    assert found.tolist() == (np.searchsorted(edges, at, "right") - 1).tolist()


def test_of_days_over_a_change_of_the_clock() -> None:
    begin = 1_761_000_000 // DAY * DAY
    for zone in ("UTC", "America/New_York", "Australia/Lord_Howe"):
        edges = np.array(list(starts(DAY, begin, begin + 60 * DAY, zone)), np.int64) * TICKS_A_S
        at = np.random.default_rng(4).integers(edges[0] - 9 * DAY, edges[-1] + 9 * DAY * TICKS_A_S, 20_000)
        at = np.concatenate([at, edges, edges - 1, edges + 1])
        assert (ranges.bucket_of(edges, at) == np.searchsorted(edges, at, "right") - 1).all()

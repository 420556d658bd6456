"""What broke away: the day against a search of all windows, costs and levels against sums of fractions, chains, and what is no shift."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.hit import MILLION
from tests.laws import law
from whale.answer.change_points import BASELINE, FALL, MOST_SERIES, RETURN, RISE, Shifts, _scan, normal, shifts
from whale.dimension import Path
from whale.errors import TooManyPoints

MONDAY = 739_000 - 739_000 % 7  # a day whose ordinal is 0 modulo 7
MONTH = list(range(MONDAY, MONDAY + 30))
NOISE = [3, -7, 11, -2, 5, -9, 1, 8, -4, -6, 10, 0, -3, 7, -8, 2, 6, -5, 4, -1, 9, -10, 3, -2, 5, -6, 1, 7, -4, -3]
"""Of 30 days; less than that of Poisson counts of 100."""


def told(*rows: Sequence[int], days: Sequence[int] | None = MONTH, **more: Any) -> Shifts:
    """Of values of one dimension, in whole units. below: the denominators."""
    below = more.pop("below", None)
    costs = {name: amounts(cells) for name, cells in more.pop("costs", {}).items()}
    paths = more.pop("paths", [("value", str(at)) for at in range(len(rows))])

    def of(some: Sequence[Path]) -> Mapping[str, Any]:
        return {name: cells[[paths.index(path) for path in some]] for name, cells in costs.items()}

    return shifts(paths, amounts(rows), None if below is None else amounts(below), of, days)


def amounts(rows: Sequence[Sequence[int]]) -> Any:
    return np.array(rows, np.int64).reshape(len(rows), len(rows[0]) if rows else 30) * MILLION


def steady(level: int, size: float = 1.0) -> list[int]:
    return [level + round(size * noise) for noise in NOISE]


def broke(row: Sequence[int], start: int, share: float, end: int | None = None) -> list[int]:
    inside = range(start, len(row) if end is None else end)
    return [round(amount * share) if at in inside else amount for at, amount in enumerate(row)]


def edges(found: Shifts) -> list[tuple[int, int, int | None]]:
    return [(shift.row, shift.start, shift.end) for shift in found.found]


# What is told of a shift


def test_a_count_that_halves_is_told_with_its_day_and_its_cost() -> None:
    found = told(steady(400), broke(steady(400), 23, 0.5), steady(90))
    (shift,) = found.found
    assert (shift.row, shift.path, shift.start, shift.end, shift.ongoing) == (1, ("value", "1"), 23, None, True)
    before = [400 + noise for noise in NOISE[:23]]
    now = [round((400 + noise) / 2) for noise in NOISE[23:]]
    assert shift.before == Fraction(sum(before), 23)
    assert shift.now == Fraction(sum(now), 7)
    assert shift.n == (23, 7)
    assert shift.cost == sum(now) - Fraction(sum(before), 23) * 7
    assert shift.z < -found.z
    assert (found.baseline, found.series) == ("flat", 3)


def test_a_ratio_that_fell_is_told_with_its_cost_in_other_metrics() -> None:
    visits = steady(1000)
    orders, revenue = broke(steady(100, 0.5), 20, 0.4), broke(steady(5000), 20, 0.3)
    found = told(orders, below=[visits], costs={"revenue": [revenue]})
    (shift,) = found.found
    since = sum(visits[20:])
    rate, worth = Fraction(sum(orders[:20]), sum(visits[:20])), Fraction(sum(revenue[:20]), sum(visits[:20]))
    assert (shift.start, shift.end) == (20, None)
    assert shift.before == rate
    assert shift.now == Fraction(sum(orders[20:]), since)
    assert shift.n == (sum(visits[:20]), since)
    assert shift.cost == sum(orders[20:]) - rate * since
    assert shift.costs == {"revenue": sum(revenue[20:]) - worth * since}


def test_a_fall_that_ended_is_told_with_both_its_days() -> None:
    (shift,) = told(broke(steady(400), 12, 0.3, 21)).found
    assert (shift.start, shift.end, shift.ongoing) == (12, 21, False)
    row = broke(steady(400), 12, 0.3, 21)
    assert shift.cost == sum(row[12:21]) - Fraction(sum(row[:12]), 12) * 9


def test_a_rise_is_told_while_it_goes_on() -> None:
    assert edges(told(broke(steady(400), 20, 2.0))) == [(0, 20, None)]
    assert told(broke(steady(400), 20, 2.0)).found[0].z > 0
    assert edges(told(broke(steady(400), 12, 2.0, 21))) == []  # a burst


def test_a_week_is_compared_with_the_same_weekdays() -> None:
    week = [1000, 1020, 980, 1010, 990, 400, 300]
    usual = [week[day % 7] + NOISE[day] for day in range(30)]
    found = told(usual, broke(usual, 24, 0.5), [2 * amount for amount in usual])
    (shift,) = found.found
    assert (found.baseline, shift.row, shift.start) == ("weekday", 1, 24)
    row = broke(usual, 24, 0.5)
    of_weekday = {day: Fraction(sum(some := row[day:24:7]), len(some)) for day in range(7)}
    expected = sum(of_weekday[day % 7] for day in range(24, 30))
    assert shift.cost == sum(row[24:]) - expected
    assert shift.before == expected / 6


@law(40)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from(["flat", "weekly"]), st.integers(8, 25))
def test_costs_and_levels_are_exact(seed: int, is_ratio: bool, kind: str, start: int) -> None:
    random = np.random.default_rng(seed)
    usual = 800 * np.where(np.arange(30) % 7 > 4, 0.4, 1.0) if kind == "weekly" else np.full(30, 800.0)
    visits = random.poisson(usual, (4, 30)) * MILLION
    visits[0, random.integers(8)] = 0
    sold = random.binomial(visits // MILLION, 0.2) * MILLION
    cents = random.integers(0, 10**8, (4, 30))
    cut = (sold if is_ratio else visits)[1:3]
    cut[:, start:] //= 4 * MILLION
    cut[:, start:] *= MILLION
    above, below = (sold, visits) if is_ratio else (visits, None)
    found = shifts(
        [("v", str(at)) for at in range(4)],
        above,
        below,
        lambda some: {"cents": cents[[int(path[1]) for path in some]]},
        MONTH,
    )
    assert {shift.row for shift in found.found} >= {1, 2}  # of many random series one may move by chance
    for shift in found.found:
        of = [Fraction(int(each), MILLION) for each in visits[shift.row]] if is_ratio else [Fraction(1)] * 30
        end = 30 if shift.end is None else shift.end
        for cost, cells in ((shift.cost, above), (shift.costs["cents"], cents)):
            row = [Fraction(int(each), MILLION) for each in cells[shift.row]]
            assert cost == sum(row[shift.start : end]) - expected_by(row, of, shift.start, end, found.baseline)
        since = sum(of[shift.start : end])
        row = [Fraction(int(each), MILLION) for each in above[shift.row]]
        assert shift.before is not None
        assert shift.before * since == expected_by(row, of, shift.start, end, found.baseline)
        assert shift.now == sum(row[shift.start : end]) / since


def expected_by(row: list[Fraction], of: list[Fraction], start: int, end: int, baseline: str) -> Fraction:
    got, under = defaultdict(Fraction), defaultdict(Fraction)
    for at in range(start):
        key = at % 7 if baseline == "weekday" else 0
        got[key] += row[at]
        under[key] += of[at]
    mean = sum(row[:start], Fraction(0)) / sum(of[:start], Fraction(0))
    found = Fraction(0)
    for at in range(start, end):
        key = at % 7 if baseline == "weekday" else 0
        found += (got[key] / under[key] if under[key] else mean) * of[at]
    return found


# When it was


def windows(buckets: int) -> list[tuple[int, int]]:
    ended = [(i, j) for i in range(BASELINE, buckets) for j in range(i + FALL, buckets - RETURN + 1)]
    return ended + [(i, buckets) for i in range(BASELINE, buckets - FALL + 1)]


def may_be(window: tuple[int, int], buckets: int, is_fall: bool) -> bool:
    return is_fall or (window[1] == buckets and window[1] - window[0] >= RISE)


def best_of_counts(row: Sequence[int]) -> tuple[int, int]:
    """By least squares of each window in turn, beside a straight line, on the scale of roots."""
    y, count = 2 * np.sqrt(np.array(row) + 0.375), len(row)
    found: dict[tuple[int, int], float] = {}
    for window in windows(count):
        box = np.array([float(window[0] <= at < window[1]) for at in range(count)])
        columns = np.stack([np.ones(count), np.arange(count, dtype=float), box], axis=1)
        (_, _, jump), (left,), _, _ = np.linalg.lstsq(columns, y, rcond=None)
        if may_be(window, count, jump < 0):
            found[window] = float(left)
    return min(found, key=lambda window: found[window])


def best_of_ratios(row: Sequence[int], of: Sequence[int]) -> tuple[int, int]:
    """By how far each window is off its share, in fractions."""
    rate, total = Fraction(sum(row), sum(of)), sum(of)
    found: dict[tuple[int, int], Fraction] = {}
    for window in windows(len(row)):
        inside = sum(of[slice(*window)])
        off = sum(row[slice(*window)]) - rate * inside
        if may_be(window, len(row), off < 0):
            found[window] = off * off / (Fraction(inside) * (1 - Fraction(inside, total)))
    return max(found, key=lambda window: found[window])


@law(30)
@given(st.integers(0, 10**6), st.integers(8, 26), st.floats(0.1, 0.6), st.booleans())
def test_the_day_is_that_of_the_best_of_all_windows(seed: int, start: int, share: float, ends: bool) -> None:
    random = np.random.default_rng(seed)
    end = 30 if start > 18 or not ends else start + 8
    times = np.where((np.arange(30) >= start) & (np.arange(30) < end), share, 1.0)
    visits = random.poisson(900, 30).tolist()
    count, orders = random.poisson(900 * times).tolist(), random.binomial(visits, 0.3 * times).tolist()
    for shift in told(count).found:
        assert (shift.start, shift.end or 30) == best_of_counts(count)
    for shift in told(orders, below=[visits]).found:
        assert (shift.start, shift.end or 30) == best_of_ratios(orders, visits)


def test_of_a_year_the_day_is_still_exact() -> None:
    random = np.random.default_rng(4)
    rows = random.poisson(900, (4, 365))
    rows[1, 311:338] //= 2
    rows[2, 357:] //= 2
    visits = random.poisson(900, (4, 365))
    orders = random.binomial(visits, 0.2)
    orders[3, 311:338] //= 3
    year = list(range(MONDAY, MONDAY + 365))
    assert sorted(edges(told(*rows.tolist(), days=year))) == [(1, 311, 338), (2, 357, None)]
    assert edges(told(*orders.tolist(), below=visits.tolist(), days=year)) == [(3, 311, 338)]


def test_hours_are_looked_at_by_days_and_the_hour_is_found() -> None:
    random = np.random.default_rng(5)
    of_day = np.tile(200 + 150 * np.sin(np.arange(24) / 24 * 6.28), 30)
    rows = random.poisson(of_day, (3, 720))
    rows[1, 500:] = random.poisson(of_day[500:] * 0.3)
    visits = random.poisson(of_day * 5, (3, 720))
    orders = random.binomial(visits, np.where(np.arange(720) < 500, 0.2, 0.05))
    hours = np.repeat(MONTH, 24).tolist()
    ((row, start, end),) = edges(told(*rows.tolist(), days=hours))
    assert (row, end) == (1, None)
    assert abs(start - 500) <= 1
    assert [
        abs(start - 500) <= 1 for _, start, _ in edges(told(*orders.tolist(), below=visits.tolist(), days=hours))
    ] == [True] * 3
    # Of a day that has begun or lacks hours nothing is made of what is missing.
    cut = slice(5, 715)
    ((row, start, end),) = edges(told(*rows[:, cut].tolist(), days=hours[cut]))
    assert (row, end) == (1, None)
    assert abs(start - 495) <= 1
    assert told(*rows[:, :48].tolist(), days=hours[:48]).splits == 0


@law(40)
@given(st.integers(0, 10**6), st.sampled_from([10, 13, 21, 30, 45, 90]), st.booleans(), st.booleans())
def test_no_shift_is_shorter_than_its_kind_may_be(seed: int, buckets: int, is_ratio: bool, is_weekly: bool) -> None:
    random = np.random.default_rng(seed)
    level = 3000 * np.exp(
        random.normal(0, 0.3, (60, buckets)).cumsum(axis=1) * (random.random((60, buckets)) < 0.1).cumsum(axis=1)
    )
    visits = random.poisson(
        np.clip(level * np.where(np.arange(buckets) % 7 > 4, 0.5, 1) if is_weekly else level, 0, 10**6)
    )
    rows = random.binomial(visits, random.choice([0.02, 0.2, 0.9], (60, buckets))) if is_ratio else visits
    found = told(*rows.tolist(), below=visits.tolist() if is_ratio else None, days=range(MONDAY, MONDAY + buckets))
    for shift in found.found:
        end = buckets if shift.end is None else shift.end
        assert BASELINE <= shift.start < end <= (buckets if shift.ongoing else buckets - RETURN)
        assert end - shift.start >= (RISE if shift.z > 0 else FALL)
        assert shift.ongoing or shift.z < 0
        assert abs(shift.z) >= found.z


# Boundaries


def test_what_is_too_near_the_ends_is_not_told() -> None:
    for start, end in ((0, 3), (2, None), (BASELINE - 1, BASELINE + 1), (29, None), (28, None)):
        row = broke(steady(400), start, 0.2, end)
        assert all(BASELINE <= shift.start <= 30 - FALL for shift in told(row).found)
    assert edges(told(broke(steady(400), 29, 0.0))) == []
    assert edges(told(broke(steady(400), 0, 0.0, 1))) == []
    assert edges(told(broke(steady(400), 27, 0.1))) == [(0, 27, None)]
    assert edges(told(broke(steady(400), 7, 0.1))) == [(0, 7, None)]


@pytest.mark.parametrize("buckets", [0, 1, 9, 10, 11, 12, 13, 14, 20, 21, 41, 64])
@pytest.mark.parametrize("is_ratio", [False, True])
def test_any_number_of_buckets_has_an_answer(buckets: int, is_ratio: bool) -> None:
    rows = [[100] * buckets, [0] * buckets, [100 if at < buckets - 3 else 0 for at in range(buckets)]]
    below = [[200] * buckets, [0] * buckets, [200] * buckets] if is_ratio else None
    found = told(*rows, below=below, days=range(MONDAY, MONDAY + buckets))
    assert {shift.row for shift in found.found} <= {2}
    assert found.series == sum(any(row) for row in below or rows)
    assert (found.splits > 0) == (buckets >= 10)


def test_where_nothing_was_counted_nothing_is_told() -> None:
    zeros = [0] * 30
    assert told(zeros, zeros).found == []
    assert told(zeros, below=[zeros]).series == 0
    assert told(zeros, below=[[500] * 30]).found == []
    assert told([5] * 30, below=[zeros]).found == []
    assert told(days=MONTH).found == []


def test_zeros_in_the_denominator_are_no_fall() -> None:
    visits = broke(steady(1000), 20, 0.0)
    orders = [amount // 10 for amount in visits]
    assert told(orders, below=[visits]).found == []
    gaps = [0 if at in (3, 9, 24) else amount for at, amount in enumerate(steady(1000))]
    orders = broke([amount // 10 for amount in gaps], 20, 0.3)
    assert edges(told(orders, below=[gaps])) == [(0, 20, None)]


def test_all_of_nothing_is_a_whole_fall() -> None:
    (shift,) = told(broke(steady(100, 0.5), 20, 0.0), below=[steady(1000)]).found
    assert (shift.start, shift.now) == (20, 0)


def test_a_rate_near_one_is_told_by_its_failures() -> None:
    asked = steady(1000)
    good = [amount - (40 if at >= 20 else 2) for at, amount in enumerate(asked)]
    (shift,) = told(good, below=[asked]).found
    assert (shift.start, shift.z < 0) == (20, True)


def test_amounts_below_zero_are_compared_as_they_are() -> None:
    profit = [noise if at < 18 else noise - 60 for at, noise in enumerate(NOISE)]
    (shift,) = told(profit).found
    assert (shift.start, shift.end) == (18, None)
    assert shift.cost == sum(profit[18:]) - Fraction(sum(profit[:18]), 18) * 12
    assert edges(told(profit, below=[steady(1000)])) == [(0, 18, None)]
    assert told(list(NOISE), below=[steady(1000)]).found == []
    assert told(profit, below=[[-amount for amount in steady(1000)]]).series == 0


def test_amounts_past_64_bits_are_exact() -> None:
    row = broke(steady(400), 23, 0.5)
    large = np.array([[amount * 10**30 + 1 for amount in row]], object) * MILLION
    (shift,) = shifts([("v", "x")], large, None, None, MONTH).found
    assert shift.start == 23
    assert shift.cost == sum(a * 10**30 + 1 for a in row[23:]) - Fraction(sum(a * 10**30 + 1 for a in row[:23]), 23) * 7


def test_too_many_series_are_refused_with_the_limit() -> None:
    with pytest.raises(TooManyPoints, match="there are 100001 series, the limit is 100000"):
        shifts([("v",)] * (MOST_SERIES + 1), np.zeros((MOST_SERIES + 1, 1), np.int64))


# What is no shift


@pytest.mark.parametrize("kind", ["flat", "tiny", "uneven", "line", "curve", "weekly"])
def test_of_thousands_that_did_not_change_none_is_told(kind: str) -> None:
    """benchmarks/shifts.py tries a million of each kind."""
    random = np.random.default_rng(11)
    at, level = np.linspace(0, 1, 30), 10 ** random.uniform(0, 4, (5000, 1))
    shape: Any = {
        "flat": np.ones((5000, 30)),
        "tiny": np.full(30, 0.5) / level,
        "uneven": random.gamma(2, 0.5, (5000, 30)),
        "line": 1 + 2 * at,
        "curve": 1 + 3 / (1 + np.exp(-8 * (at - 0.5))),
        "weekly": np.where(np.arange(30) % 7 > 4, 0.4, 1.0),
    }[kind]
    visits = random.poisson(level * shape)
    found = told(*visits.tolist())
    assert found.found == []
    assert told(*random.binomial(visits, 0.1).tolist(), below=visits.tolist()).found == []
    assert found.baseline == ("weekday" if kind == "weekly" else "flat")


def test_the_threshold_grows_with_series_and_splits() -> None:
    few, many = told(steady(400)), told(*[steady(400)] * 1000)
    assert few.splits == many.splits == len(windows(30))
    assert few.z == pytest.approx(4.04, abs=0.01)  # 1 in 100, over both sides of 192 windows
    assert many.z == pytest.approx(5.44, abs=0.01)


def test_a_t_is_as_rare_as_the_normal_deviate_it_becomes() -> None:
    for t, freedom, z in ((3, 10, 2.4745), (9, 27, 6.0681), (-6, 21, -4.5296), (12, 5, 3.9733), (2, 1000, 1.9975)):
        assert normal(np.array(float(t)), float(freedom)) == pytest.approx(z, rel=0.012)


def test_a_scan_is_near_the_exact_tail_of_a_binomial_count() -> None:
    for inside, outside, share, z in ((0, 40, 0.25, 4.264), (87, 575, 7 / 30, 6.544), (6, 1, 0.03, 5.732)):
        assert _scan(inside, outside, share) == pytest.approx(z, rel=0.05)


# Order and chains


def test_the_most_costly_comes_first_whatever_the_order_of_rows() -> None:
    rows = [broke(steady(level), 20, 0.5) for level in (300, 900, 600)] + [steady(500)]
    money = [broke(steady(level), 20, 0.5) for level in (9000, 1000, 4000)] + [steady(500)]
    assert [shift.row for shift in told(*rows).found] == [1, 2, 0]
    first = told(*rows, costs={"money": money})
    assert [shift.row for shift in first.found] == [0, 2, 1]
    assert told(*rows, costs={"money": money}) == first
    backwards = told(*rows[::-1], costs={"money": money[::-1]}, paths=[("value", str(at)) for at in (3, 2, 1, 0)])
    assert [(shift.path, shift.z, shift.costs) for shift in backwards.found] == [
        (shift.path, shift.z, shift.costs) for shift in first.found
    ]


def tree(leaves: Mapping[tuple[str, ...], Sequence[int]]) -> tuple[list[tuple[str, ...]], list[list[int]]]:
    """Paths with all above them, and their sums; of each dimension the root has all, so it is that of the first."""
    sums: dict[tuple[str, ...], np.ndarray[Any, Any]] = {}
    first = next(iter(leaves))[0]
    for path, row in leaves.items():
        for length in range(0 if path[0] == first else 1, len(path) + 1):
            sums[path[:length]] = sums.get(path[:length], np.zeros(len(row), np.int64)) + np.array(row)
    return list(sums), [row.tolist() for row in sums.values()]


def told_of(leaves: Mapping[tuple[str, ...], Sequence[int]], is_ratio: bool = False) -> set[tuple[str, ...]]:
    paths, rows = tree(leaves)
    below = (
        tree({path: [10 * max(1, round(np.median(row)))] * 30 for path, row in leaves.items()})[1] if is_ratio else None
    )
    return {shift.path for shift in told(*rows, paths=paths, below=below).found}


SOURCES = {
    ("source", "google"): steady(900),
    ("source", "instagram", "spring-sale"): broke(steady(800), 22, 0.1),
    ("source", "instagram", "stories"): steady(300),
    ("source", "mail"): steady(500),
}


@pytest.mark.parametrize("is_ratio", [False, True])
def test_of_a_chain_the_deepest_value_is_told(is_ratio: bool) -> None:
    assert told_of(SOURCES, is_ratio) == {("source", "instagram", "spring-sale")}


@pytest.mark.parametrize("is_ratio", [False, True])
def test_a_shift_of_the_whole_is_told_once(is_ratio: bool) -> None:
    every = {path: broke(steady(500 + 100 * len(path)), 20, 0.5) for path in SOURCES}
    countries = {("country", name): broke(steady(900), 20, 0.5) for name in ("DE", "US")}
    assert told_of({**every, **countries}, is_ratio) == {()}


def test_children_that_all_fell_are_told_by_their_parent() -> None:
    leaves = {**SOURCES, ("source", "instagram", "stories"): broke(steady(300), 22, 0.1)}
    assert told_of(leaves) == {("source", "instagram")}


def test_two_of_many_children_are_told_and_not_their_parent() -> None:
    leaves = {("page", str(at)): broke(steady(400), 20, 0.3) if at < 2 else steady(400) for at in range(12)}
    assert told_of(leaves) == {("page", "0"), ("page", "1")}


def test_a_child_that_fell_further_than_the_whole_is_told_beside_it() -> None:
    leaves = {("page", str(at)): broke(steady(400), 20, 0.6) for at in range(6)}
    leaves["page", "0"] = broke(steady(400), 20, 0.0)
    assert told_of(leaves) == {(), ("page", "0")}


def test_the_name_of_a_dimension_is_no_value() -> None:
    found = told(*[broke(steady(400), 20, 0.5)] * 3, paths=[(), ("source",), ("source", "mail")])
    assert found.series == 2
    assert [shift.path for shift in found.found] == [("source", "mail")]
    assert [shift.path for shift in told(broke(steady(400), 20, 0.5), paths=[("mail",)]).found] == [("mail",)]


def test_of_a_value_that_fell_and_one_that_rose_both_are_told() -> None:
    leaves = {**SOURCES, ("source", "mail"): broke(steady(500), 15, 3.0)}
    assert {("source", "instagram", "spring-sale"), ("source", "mail")} <= told_of(leaves)


# Other dimensions

DEVICES = {"phone": 0.7, "desktop": 0.3}


def both_ways(lost: Mapping[str, float], is_ratio: bool) -> set[tuple[str, ...]]:
    """What is told of a shop of three sources on two devices: from the 20th day on mail lost so much of its amount, by device.

    Google grew by as much on phones, so the whole has not moved.
    """
    sources = {"google": 12000, "mail": 2000, "direct": 10000}
    leaves: dict[tuple[str, ...], np.ndarray[Any, Any]] = {}
    visits: dict[tuple[str, ...], np.ndarray[Any, Any]] = {}
    for at, (source, level) in enumerate(sources.items()):
        for device, share in DEVICES.items():
            row = np.array([round(level * share) + noise for noise in NOISE[at:] + NOISE[:at]])
            of = 10 * row.mean().round() + np.zeros(30)
            if source == "mail":
                row[20:] = (row[20:] * (1 - lost[device])).round()
            if (source, device) == ("google", "phone"):
                row[20:] += round(sum(2000 * DEVICES[name] * part for name, part in lost.items()))
            for path in ((), ("source", source), ("device", device)):
                leaves[path] = leaves.get(path, np.zeros(30, int)) + row
                visits[path] = visits.get(path, np.zeros(30)) + of
    below = [row.astype(int).tolist() for row in visits.values()] if is_ratio else None
    return {shift.path for shift in told(*[r.tolist() for r in leaves.values()], paths=list(leaves), below=below).found}


@pytest.mark.parametrize("is_ratio", [False, True])
def test_a_dimension_of_which_all_values_share_a_shift_evenly_is_not_told_beside_it(is_ratio: bool) -> None:
    found = both_ways({"phone": 0.9, "desktop": 0.9}, is_ratio)
    assert ("source", "mail") in found
    assert ("device", "desktop") not in found


@pytest.mark.parametrize("is_ratio", [False, True])
def test_a_value_of_another_dimension_that_has_more_than_its_share_is_told_beside_it(is_ratio: bool) -> None:
    assert {("source", "mail"), ("device", "desktop")} <= both_ways({"phone": 0.05, "desktop": 0.95}, is_ratio)

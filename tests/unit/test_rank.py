"""Ranking, on the memory store: against an oracle that knows every hit, and by laws."""

import json
import math
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.laws import law
from tests.unit.test_client import a_whale
from whale import Whale
from whale.answer import confidence
from whale.errors import CallerError, TooManyPoints
from whale.formula import parse_formula

NOW = datetime(2015, 6, 17, 14, 35, 20, tzinfo=UTC).timestamp()
DAY = 86_400


def counted(hits: list[dict[str, Any]], **settings: str) -> Whale:
    made: Whale = a_whale(**settings)
    for hit in hits:
        made.count_hit({"pk": "t", **hit})
    return made


def hit(*path: str, at: float = NOW, **metrics: Any) -> dict[str, Any]:
    return {"dimensions": list(path), "metrics": metrics, "at": at}


def names(answer: dict[str, Any]) -> list[str]:
    return [row["path"] for row in answer["rows"]]


COUNTRIES = [
    hit("US", revenue=500, visitors=100),
    hit("UK", revenue=300, visitors=30),
    hit("FR", revenue=10, visitors=100),
    hit("BR", revenue=90, visitors=3),
    hit("nobody", revenue=7),
]


def test_one_call_answers_all_the_counts_grouped_by_country_sorted_by_a_ratio() -> None:
    answer = counted(COUNTRIES).rank("t", "revenue/visitors", columns=["hits", "visitors", "revenue"], limit=3)
    assert answer["rows"][0] == {
        "path": "BR",
        "value": 30,
        "n": 3,
        "parts": {"revenue": 90, "visitors": 3},
        "columns": {"hits": 1, "visitors": 3, "revenue": 90},
        "difference": pytest.approx((30 - 907 / 233) / (907 / 233)),
        "effect": pytest.approx((30 - 907 / 233) * 3),
        "important": False,  # only 3 visitors
    }
    assert [(row["path"], row["value"], row["important"]) for row in answer["rows"]] == [
        ("BR", 30, False),
        ("UK", 10, True),
        ("US", 5, True),
    ]
    assert answer["rest"] == {
        "rows": 2,
        "value": 0.17,
        "n": 100,
        "parts": {"revenue": 17, "visitors": 100},
        "columns": {"hits": 2, "visitors": 100, "revenue": 17},
    }
    assert answer["total"]["value"] == 907 / 233
    assert answer["ended"]["parts"] == {"revenue": 0, "visitors": 0}
    assert (answer["other"], answer["complete"], answer["as_of"]) == (None, False, "2015-06-17T14:35:20Z")


def test_what_is_undefined_is_last_in_either_direction() -> None:
    whale = counted(COUNTRIES)
    assert names(whale.rank("t", "revenue/visitors")) == ["BR", "UK", "US", "FR", "nobody"]
    assert names(whale.rank("t", "revenue/visitors", ascending=True)) == ["FR", "US", "UK", "BR", "nobody"]
    assert whale.rank("t", "revenue/visitors")["rows"][-1]["value"] is None
    assert names(whale.rank("t", "revenue/visitors", min_support=30)) == ["UK", "US", "FR"]
    assert whale.rank("t", "revenue/visitors", min_support=30)["rest"]["rows"] == 2


def test_equal_rows_stand_by_support_and_then_by_name_on_every_page() -> None:
    whale = counted([hit(f"d{i}", v=1) for i in (5, 3, 8, 1, 9, 2)] + [hit("e", hits=2, v=1), hit("z", v=2)])
    everything = ["z", "e", "d1", "d2", "d3", "d5", "d8", "d9"]
    assert names(whale.rank("t", "v", limit=0)) == everything
    assert [names(whale.rank("t", "v", limit=1, offset=i))[0] for i in range(8)] == everything
    assert names(whale.rank("t", "v", limit=3, offset=3)) == everything[3:6]
    assert names(whale.rank("t", "v", limit=3, offset=8)) == []
    assert whale.rank("t", "v", limit=3, offset=3)["rest"]["rows"] == 5


def test_child_pks_are_ranked_as_paths_are() -> None:
    whale = a_whale()
    for product, spent in (("1", 5), ("2", 20), ("3", 10)):
        whale.count_now(["Product", product], "x", {"revenue": spent, "sales": 2})
    whale.count_now("Product", metrics={"revenue": 1})
    answer = whale.rank("Product", "revenue/sales", pks=True, columns=["hits"], limit=2)
    assert [(row["path"], row["value"]) for row in answer["rows"]] == [
        ('["Product", "2"]', 10),
        ('["Product", "3"]', 5),
    ]
    assert answer["ended"]["columns"] == {"hits": 1}
    assert answer["total"]["path"] == "_"
    assert answer["total"]["columns"] == {"hits": 4}
    assert answer["rest"]["value"] == 2.5


def test_other_is_always_shown_and_never_ranked() -> None:
    whale = counted([hit(f"d{i}", v=i) for i in range(8)], max_children="3")
    answer = whale.rank("t", "v", limit=1)
    assert names(answer) == ["d2"]
    assert (answer["other"]["path"], answer["other"]["value"], answer["rest"]["rows"]) == ("__other__", 25, 2)
    shown = [answer["rows"][0], answer["other"], answer["rest"], answer["ended"]]
    assert sum(row["value"] for row in shown) == answer["total"]["value"] == 28


def test_important_as_the_seed_has_it() -> None:
    """RK1 and RK2."""
    scalar = counted([hit("a", "s1", v=1), hit("a", "s2", v=30), hit("b", v=80), hit("c", v=10)])
    found = scalar.rank_subdimensions_scalar("t", metric="v")
    assert {path: row["important"] for path, row in found.items()} == {
        "_": False,
        "a": False,
        '["a", "s1"]': False,
        '["a", "s2"]': True,
        "b": True,
        "c": False,
    }
    assert found["b"] == {
        "score": 80,
        "value": 80,
        "count": 80,
        "effect": 41,
        "difference": 41,
        "important": True,
        "dimension": "b",
    }
    assert scalar.rank_subdimensions_scalar("t", metric="v", prune_parents=False)["a"]["important"] is True
    flat = scalar.rank_subdimensions_scalar("t", metric="v", recursive=False, points=True)
    assert list(flat) == ["b", "a", "c"]
    assert list(flat["a"]["points"].values())[-1] == 31


def test_ratios_as_the_seed_has_them() -> None:
    whale = counted([hit("a", v=30, n=10), hit("b", v=10, n=10), hit("c", v=5)])
    found = whale.rank_subdimensions_ratio("t", "v", "n", recursive=False, points=True)
    points = found["a"].pop("points")
    assert [list(series.values())[-1] for series in points.values()] == [30, 10, 3]
    assert found["a"] == {
        "score": 3,
        "value": 30,
        "count": 10,
        "difference": pytest.approx(1 / 3),
        "effect": 7.5,
        "important": True,
        "dimension": "a",
    }
    assert (found["c"]["score"], found["c"]["value"], found["c"]["important"]) == (0, 5, False)


def test_a_ratio_above_a_parent_below_zero_is_above_it() -> None:
    whale = counted([hit("a", money=-90), hit("b", money=30)])
    rows = whale.rank("t", "money/hits")["rows"]
    assert [(row["path"], row["difference"], row["effect"]) for row in rows] == [("b", 2.0, 60.0), ("a", -2.0, -60.0)]


def test_the_older_names() -> None:
    whale = counted(COUNTRIES)
    assert whale.zranked("t", metric="revenue/visitors", size=2) == ["BR", "UK"]
    assert whale.zranked("t", metric="revenue", start=1, size=2, sort_dir="asc") == ["FR", "BR"]
    assert whale.cached_rank("t", "revenue", limit=1)["rows"][0]["value"] == 500
    whale.count_now("t", "US", {"revenue": 1})
    assert whale.cached_rank("t", "revenue", limit=1)["rows"][0]["value"] == 500
    assert whale.cached_rank("t", "revenue", limit=1, unmemoize=True)["rows"][0]["value"] == 501
    with pytest.raises(CallerError, match="sort_dir"):
        whale.zranked("t", sort_dir="up")
    with pytest.raises(CallerError, match="size"):
        whale.zranked("t", size=0)
    with pytest.raises(CallerError, match="^start: expected 0"):
        whale.zranked("t", start=-1)


def test_metrics_that_are_no_sums_may_order_and_stand_beside() -> None:
    whale = a_whale()
    for country, visitors in (("US", "abc"), ("UK", "ad")):
        for i, visitor in enumerate(visitors * 2):
            metrics = {"visitors": "is_unique", "revenue": 6, "ms": {"quantile": 10 * (i + 1)}, "peak": {"max": i}}
            whale.count_now("t", {"c": country}, metrics, visitor=visitor)
    answer = whale.rank(
        "t", "revenue/visitors", "c", columns=["visitors", "p50(ms)", "peak", "revenue:last", "ma3(hits)"]
    )
    assert [(row["path"], row["value"], row["parts"]) for row in answer["rows"]] == [
        ('["c", "US"]', 12, {"revenue": 36, "visitors": 3}),
        ('["c", "UK"]', 12, {"revenue": 24, "visitors": 2}),
    ]
    assert answer["rows"][0]["columns"]["peak"] == 5
    assert answer["total"]["columns"]["visitors"] == 4
    assert (answer["ended"]["value"], answer["ended"]["parts"]) == (None, {"revenue": 0, "visitors": None})
    assert [row["value"] for row in whale.rank("t", "peak", "c")["rows"]] == [5, 3]
    assert [row["value"] for row in whale.rank("t", "revenue:last", "c")["rows"]] == [36, 24]
    assert whale.rank("t", "revenue/visitors", "c", order="confidence")["rows"][0]["low"] > 0
    for by in ("p50(ms)", "peak", "revenue/peak", "revenue:last", "ma3(revenue)/hits", "revenue*visitors"):
        with pytest.raises(CallerError, match="^order: "):
            whale.rank("t", by, "c", order="confidence")


def test_a_ranking_reads_no_more_than_its_bound() -> None:
    whale = counted([hit(f"d{i}") for i in range(6)], max_answer_points="5")
    with pytest.raises(TooManyPoints, match="6 paths below it") as error:
        whale.rank("t", period="year", limit=1)
    assert error.value.field == "dimension"
    with pytest.raises(TooManyPoints, match="^limit: "):
        whale.rank("t", period="seven", limit=0)


# Against an oracle

branch = st.sampled_from(["a", "b", "c", "d"])
paths = st.one_of(st.just([]), st.tuples(branch).map(list), st.tuples(branch, branch).map(list))
numbers = st.one_of(st.integers(-50, 50), st.sampled_from([0.1, 0.25, 1e6, -3.5]))
some_hits = st.lists(
    st.fixed_dictionaries(
        {
            "dimensions": paths,
            "metrics": st.fixed_dictionaries({}, optional={"m": numbers, "k": st.integers(0, 5)}),
            "at": st.sampled_from([NOW, NOW - DAY, NOW - 3 * DAY]),
        }
    ),
    max_size=25,
)
FORMULAS: dict[str, Any] = {
    "m": lambda s: s["m"],
    "m/k": lambda s: s["m"] / s["k"] if s["k"] else None,
    "(m-k)/hits*100": lambda s: (s["m"] - s["k"]) / s["hits"] * 100 if s["hits"] else None,
    "hits": lambda s: s["hits"],
    "2*m-k": lambda s: 2 * s["m"] - s["k"],
}


def close(value: Any, expected: Any) -> bool:
    if value is None or expected is None:
        return value is expected
    return math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-6)


@law(150, suppress_health_check=[HealthCheck.too_slow])
@given(
    hits=some_hits,
    by=st.sampled_from(sorted(FORMULAS)),
    recursive=st.booleans(),
    ascending=st.booleans(),
    limit=st.integers(0, 4),
    offset=st.integers(0, 3),
    cap=st.sampled_from(["2", "9"]),
    order=st.sampled_from(["value", "confidence"]),
)
def test_a_ranking_is_that_of_its_hits(
    hits: list[dict[str, Any]],
    by: str,
    recursive: bool,
    ascending: bool,
    limit: int,
    offset: int,
    cap: str,
    order: str,
) -> None:
    whale = counted(hits, max_children=cap)
    asked: dict[str, Any] = {"limit": limit, "offset": offset, "ascending": ascending, "recursive": recursive}
    answer = whale.rank("t", by, period="seven", columns=["m", "k", "hits"], order=order, **asked)
    assert all(row["columns"]["hits"] > 0 for row in answer["rows"])
    # rows + other + rest + ended = total
    if not recursive:
        parts = [*answer["rows"], *(answer[name] for name in ("other", "rest", "ended") if answer[name])]
        for name in ("m", "k", "hits"):
            added = sum(row["columns"][name] for row in parts)
            assert math.isclose(added, answer["total"]["columns"][name], rel_tol=1e-9, abs_tol=1e-6)
    if cap == "2":
        return
    sums: dict[tuple[str, ...], dict[str, float]] = defaultdict(lambda: {"m": 0.0, "k": 0.0, "hits": 0.0})
    for each in hits:
        for depth in range(len(each["dimensions"]) + 1):
            for name, amount in {**each["metrics"], "hits": 1}.items():
                sums[tuple(each["dimensions"][:depth])][name] += amount
    value = FORMULAS[by]
    expected = {path: value(row) for path, row in sums.items() if path and (recursive or len(path) == 1)}
    everything = whale.rank("t", by, period="seven", order=order, **{**asked, "limit": 0, "offset": 0})["rows"]
    found = {tuple(path_of(row["path"])): row["value"] for row in everything}
    assert found.keys() == expected.keys()
    assert all(close(found[path], expected[path]) for path in found)
    if order == "value":
        defined = [row["value"] for row in everything if row["value"] is not None]
        assert defined == sorted(defined, reverse=not ascending)
    assert [row["path"] for row in everything[offset : offset + limit if limit else None]] == names(answer)
    assert answer["rest"] is None or answer["rest"]["rows"] == len(everything) - len(answer["rows"])


def path_of(text: str) -> list[str]:
    found: list[str] = json.loads(text) if text.startswith("[") else [text]
    return found


# Confidence


def ratios(above: list[float], below: list[float], days: int = 30) -> tuple[list[float], list[float]]:
    """Bounds of rows that are spread evenly over so many days."""
    a, b = np.array(above, float), np.array(below, float)
    pieces = np.repeat(a[:, None] / days, days, axis=1), np.repeat(b[:, None] / days, days, axis=1)
    overall = float(a.sum() / b.sum()) if b.sum() else math.nan
    low, high = confidence.of_ratios(a, b, overall, pieces)
    return low.tolist(), high.tolist()


def test_bounds_of_a_count_are_those_of_poisson() -> None:
    low, high = confidence.of_sums(np.array([0.0, 1, 10, 100]), np.array([0.0, 1, 10, 100]))
    assert low == pytest.approx([0, 0.0253, 4.795, 81.36], abs=0.03)
    assert high == pytest.approx([3.689, 5.572, 18.39, 121.6], abs=0.04)


def test_a_sum_is_never_surer_than_the_hits_it_came_in() -> None:
    low, _ = confidence.of_sums(np.array([10_000.0, 9_000, -50]), np.array([1.0, 900, 10]))
    assert low[1] > 8_000 > 300 > low[0]
    assert low[2] < -50


def test_one_of_one_never_tops_the_list() -> None:
    hits = [hit("one", sales=1, visitors=1), hit("two", sales=2, visitors=2), hit("yacht", sales=1, visitors=3)]
    for day in range(10):
        hits.append(hit("good", sales=6, visitors=100, at=NOW - day * DAY))
        hits.append(hit("poor", sales=3, visitors=100, at=NOW - day * DAY))
    whale = counted(hits)
    assert names(whale.rank("t", "sales/visitors"))[:2] == ["two", "one"]
    answer = whale.rank("t", "sales/visitors", order="confidence")
    assert names(answer)[:2] == ["good", "poor"]
    assert 0.045 < answer["rows"][0]["low"] < 0.06 < answer["rows"][0]["high"] < 0.08
    upside_down = whale.rank("t", "sales/visitors", order="confidence", ascending=True)
    assert names(upside_down)[:2] == ["poor", "good"]


def test_where_there_is_no_row_a_ratio_by_confidence_has_none_either() -> None:
    whale = counted([hit("one", sales=1, visitors=1)])
    for asked in ({"pk": "none"}, {"pk": "t", "dimension": ["c", "one"]}, {"pk": "t", "min_support": 100}):
        for period in ("thirty", "1h:1d", "today"):
            answer = whale.rank(**asked, by="sales/visitors", order="confidence", period=period)
            assert answer["rows"] == []


def test_of_a_single_bucket_bounds_still_hold_what_much_support_shows() -> None:
    sums = {"US": (4360, 2000), "DE": (2125, 500), "FR": (300, 600), "IT": (110, 20), "LU": (90, 1)}
    above, below = (np.array([row[at] for row in sums.values()], float) for at in (0, 1))
    low, high = confidence.of_ratios(above, below, above.sum() / below.sum(), (above[:, None], below[:, None]))
    ratios = above / below
    assert (low[:3] <= ratios[:3]).all()
    assert (ratios[:3] <= high[:3]).all()
    assert list(sums)[int(np.argmax(low))] == "DE"
    assert high[4] < 10  # one visitor who bought for 90 shows little


def test_one_large_purchase_never_tops_money_per_visitor() -> None:
    draw = np.random.default_rng(1)
    hits = [hit("whale", revenue=10_000, visitors=8)]
    for day in range(30):
        for name, price in (("good", 40), ("poor", 20)):
            hits.append(hit(name, revenue=float(price * draw.poisson(20)), visitors=1000, at=NOW - day * DAY))
    whale = counted(hits)
    assert names(whale.rank("t", "revenue/visitors")) == ["whale", "good", "poor"]
    answer = whale.rank("t", "revenue/visitors", order="confidence")
    assert names(answer)[0] == "good"
    rows = {row["path"]: row for row in answer["rows"]}
    assert rows["whale"]["low"] < answer["total"]["value"]
    assert rows["good"]["low"] > rows["poor"]["value"]


def test_bounds_narrow_as_support_grows_and_end_at_the_value() -> None:
    widths = []
    for size in (10, 1000, 100_000, 10_000_000):
        low, high = ratios([size * 0.3, size * 0.5], [size, size])
        assert 0 <= low[1] <= 0.5
        assert 0.35 < high[1] <= 1
        widths.append(high[1] - low[1])
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.01
    low, high = ratios([0, 0], [10, 10])
    assert low == [0, 0]
    assert np.isnan(ratios([1], [0])[0]).all()


def test_margins_below_zero_have_bounds_too() -> None:
    low, high = ratios([-500.5, 300.25, 0], [1000, 1000, 10])
    assert low[0] < 0 < high[1]
    assert all(bound == bound for bound in low + high)


@law(200)
@given(
    rows=st.lists(
        st.tuples(
            st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 1000)), min_size=3, max_size=3),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_bounds_are_numbers_in_order_wherever_there_is_a_ratio(rows: list[Any]) -> None:
    above = np.array([[cell[0] for cell in row] for (row,) in rows])
    below = np.array([[float(cell[1]) for cell in row] for (row,) in rows])
    a, b = above.sum(axis=1), below.sum(axis=1)
    overall = float(a.sum() / b.sum()) if b.sum() else math.nan
    low, high = confidence.of_ratios(a, b, overall, (above, below))
    for i in range(len(rows)):
        assert math.isnan(low[i]) == math.isnan(high[i]) == (b[i] <= 0)
        assert math.isnan(low[i]) or low[i] <= high[i]


def test_bounds_hold_and_their_order_is_better_than_that_of_values() -> None:
    """1,000 rows of unlike size, whose true rates are known: money of each sale is log-normal."""
    draw = np.random.default_rng(3)
    for is_money in (False, True):
        size = np.clip(draw.pareto(1.0, 1000) * 20, 1, 20_000)
        rate = 0.05 * np.exp(draw.normal(0, 0.4, 1000))
        visitors = draw.poisson(size[:, None] / 16, (1000, 16)).astype(float)
        amounts = draw.binomial(visitors.astype(int), np.minimum(rate, 1)[:, None]).astype(float)
        truth = rate
        if is_money:
            amounts = np.vectorize(lambda sales: draw.lognormal(3, 0.8, int(sales)).sum())(amounts)
            truth = rate * np.exp(3 + 0.32)
        known = visitors.sum(axis=1) > 0
        visitors, amounts, truth = visitors[known], amounts[known], truth[known]
        above, below = amounts.sum(axis=1), visitors.sum(axis=1)
        low, high = confidence.of_ratios(above, below, float(above.sum() / below.sum()), (amounts, visitors))
        assert ((low <= truth) & (truth <= high)).mean() > 0.9
        surely = np.argsort(-np.where(below > confidence.FEW, low, -1.0))[:10]
        luckily = np.argsort(-above / below)[:10]
        assert truth[surely].mean() > 1.1 * truth[luckily].mean()


# What formulas are made of


@pytest.mark.parametrize(
    ("text", "above", "below"),
    [
        ("a/b", ("a",), ("b",)),
        ("(a-c)/(b+hits)", ("a", "c"), ("b", "hits")),
        ("100*a/b", ("a",), ("b",)),
        ("a/b*100", ("a",), ("b",)),
        ("100*(a/b)", ("a",), ("b",)),
        ("-(a/b)/2", ("a",), ("b",)),
        ("a/(b/c)", ("a",), ("b", "c")),
    ],
)
def test_a_quotient_is_told_apart(text: str, above: tuple[str, ...], below: tuple[str, ...]) -> None:
    found = parse_formula(text).quotient()
    assert found is not None
    assert (found[0].metrics, found[1].metrics) == (above, below)


@pytest.mark.parametrize("text", ["a", "a/2", "a/days", "a+b/c", "a*b", "2/a*b-1", "ma3(a/b)"])
def test_what_is_no_quotient(text: str) -> None:
    assert parse_formula(text).quotient() is None


@pytest.mark.parametrize(
    ("text", "is_sum"),
    [("a", True), ("a:sum", True), ("2*a-b/3", True), ("a/days", True), ("a+1", False), ("a*b", False), ("1/a", False)],
)
def test_a_sum_grows_with_what_is_counted(text: str, is_sum: bool) -> None:
    assert parse_formula(text).is_sum({}) is is_sum
    assert parse_formula("a").is_sum({"a": "max"}) is False


def test_of_ratios_those_of_sums_that_were_set_without_hits_stand_last_by_confidence() -> None:
    """DK's 1,000 visitors are one number that somebody wrote: by its bounds it would be surest of all."""
    sums = {
        "US": {"revenue": 20, "visitors": 30},
        "UK": {"revenue": 20, "visitors": 20},
        "BR": {"revenue": 9, "visitors": 3},
    }
    hits = [hit(name, at=NOW - DAY, **each) for name, each in sums.items()]
    for day in range(1, 11):
        hits.append(hit("DE", revenue=100, visitors=100, at=NOW - day * DAY))
    whale = counted(hits)
    assert names(whale.rank("t", "revenue/visitors", order="confidence"))[0] == "DE"
    whale.update_count_to("t", ["DK"], {"revenue": 9_000, "visitors": 1_000}, at=NOW - DAY, id="set")
    for more in ({}, {"recursive": True}, {"compare": "previous"}, {"ascending": True}, {"limit": 4}):
        rows = whale.rank("t", "revenue/visitors", period="30d", order="confidence", **more)["rows"]
        assert {row["path"] for row in rows[:3]} == {"DE", "US", "UK"}, more
        assert {row["path"] for row in rows[3:]} <= {"DK", "BR"}, more
    assert names(whale.rank("t", "revenue/visitors"))[0] == "DK"  # by value it is the best


def test_child_pks_that_were_set_without_hits_stand_last_by_confidence() -> None:
    whale = a_whale()
    for name in ("red", "blue"):
        for _ in range(10):
            whale.count_hit({"pk": ["t", name], "metrics": {"revenue": 2, "visitors": 10}})
    whale.update_count_to(["t", "set"], (), {"revenue": 9_000, "visitors": 1_000}, id="set")
    assert names(whale.rank("t", "revenue/visitors", pks=True, order="confidence"))[-1] == '["t", "set"]'


@pytest.mark.parametrize("ascending", [False, True])
def test_sums_that_were_set_without_hits_stand_last_by_confidence(ascending: bool) -> None:
    whale = counted([{**each, "at": NOW - DAY} for each in COUNTRIES])
    whale.update_count_to("t", ["DK"], {"revenue": 9_000}, at=NOW - DAY, id="set")
    for more in ({}, {"recursive": True}, {"compare": "previous"}):
        answer = whale.rank("t", "revenue", period="30d", order="confidence", ascending=ascending, **more)
        assert names(answer)[-1] == "DK"
        assert (answer["rows"][-1]["low"], answer["rows"][-1]["high"]) == (None, None)

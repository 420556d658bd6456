"""What explains a change: against sums and quotients worked out by hand, in fractions, from the hits themselves."""

import re
from collections import defaultdict
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.settings import load
from tests.laws import law
from tests.unit.test_whale_web import DAY, NOW, Door
from whale.answer import factors as module
from whale.answer.factors import Factors, factors, forms_of
from whale.client import Whale
from whale.dimension import parse_path
from whale.errors import CallerError, FormulaError, TooManyPoints
from whale.formula import parse_formula
from whale.store.memory import MemoryStore

SETTINGS = load({})
BEFORE, TODAY = NOW - 2 * DAY, NOW - DAY  # of the day that is compared, and of the one before
PRIMES = [p for p in range(100, 400) if all(p % q for q in range(2, p))]


def counted(*hits: tuple[Any, dict[str, float], float], settings: Any = SETTINGS) -> Whale:
    """Of pk `c`: dimensions, metrics, when."""
    whale = Whale(MemoryStore(settings), settings, clock=lambda: NOW)
    for dimensions, metrics, at in hits:
        whale.count_now("c", dimensions, metrics, at)
    return whale


def found_in(
    whale: Whale, metric: str, dimensions: Any = None, limit: int = 10, depth: int = 3, **more: Any
) -> Factors:
    """The answer before it becomes JSON: in fractions."""
    inquiry = whale.asking.change(
        "c", metric, more.get("period", "yesterday"), more.get("compare"), more.get("against"), None, None
    )
    (comparison,) = (inquiry.comparisons or {}).values()
    paths = whale.asking.dimensions(("c",), dimensions)
    return factors(whale.store, inquiry.question, comparison, paths, depth, limit, inquiry.bounds)


def rows(answer: dict[str, Any], *names: str) -> list[list[Any]]:
    """Of the first dimension."""
    return [[row[name] for name in names] for row in answer["dimensions"][0]["rows"]]


COUNTRIES = counted(
    ({"country": "US"}, {"sales": 20, "visits": 100}, BEFORE),
    ({"country": "DE"}, {"sales": 40, "visits": 100}, BEFORE),
    ({"country": "US"}, {"sales": 60, "visits": 300}, TODAY),
    ({"country": "DE"}, {"sales": 50, "visits": 100}, TODAY),
    (None, {"sales": 10, "visits": 100}, TODAY),
    ("country", {"sales": 5}, TODAY),
)


def test_the_parts_of_a_count_are_the_changes_of_its_values() -> None:
    answer = COUNTRIES.factors("c", "sales", "yesterday")
    assert (answer["now"], answer["before"], answer["change"]) == (125, 60, 65)
    assert rows(answer, "path", "kind", "before", "now", "part") == [
        ['["country", "US"]', "value", 20, 60, 40],
        ['["country", "DE"]', "value", 40, 50, 10],
        ["country", "ended", 0, 5, 5],
        ["_", "without", 0, 10, 10],
    ]
    assert [row[0] for row in rows(answer, "of_change")] == [40 / 65, 10 / 65, 5 / 65, 10 / 65]
    assert answer["compared"]["with"] == "previous"


def test_a_ratio_splits_into_its_own_move_and_that_of_its_share() -> None:
    whale = counted(
        ({"country": "US"}, {"sales": 20, "visits": 100}, BEFORE),
        ({"country": "DE"}, {"sales": 40, "visits": 100}, BEFORE),
        ({"country": "US"}, {"sales": 60, "visits": 300}, TODAY),
        ({"country": "DE"}, {"sales": 50, "visits": 100}, TODAY),
    )
    found = found_in(whale, "sales/visits")
    # R: 60/200 = .3 -> 110/400 = .275; shares of US .5 -> .75, rates .2 -> .2; of DE .5 -> .25, rates .4 -> .5
    assert (found.before, found.now) == (Fraction(3, 10), Fraction(11, 40))
    (country,) = found.dimensions
    middle = Fraction(23, 80)
    by_name = {row.path[-1]: row for row in country.rows}
    assert by_name["US"].rate == 0
    assert by_name["US"].mix == (Fraction(1, 5) - middle) * Fraction(1, 4)
    assert by_name["DE"].rate == Fraction(3, 8) * Fraction(1, 10)
    assert by_name["DE"].mix == (Fraction(9, 20) - middle) * -Fraction(1, 4)
    assert by_name["US"].shares == (Fraction(1, 2), Fraction(3, 4))
    assert sum(row.part for row in country.rows) == found.change


def test_a_value_that_came_or_went_is_all_mix() -> None:
    whale = counted(
        ({"c": "a"}, {"n": 1, "d": 10}, BEFORE),
        ({"c": "gone"}, {"n": 6, "d": 10}, BEFORE),
        ({"c": "a"}, {"n": 1, "d": 10}, TODAY),
        ({"c": "new"}, {"n": 8, "d": 10}, TODAY),
        ({"c": "odd"}, {"n": 1}, TODAY),
    )
    (only,) = found_in(whale, "n/d").dimensions
    shown = {row.path[-1]: (row.rate, row.before, row.now) for row in only.rows}
    assert shown["new"] == (0, None, Fraction(4, 5))
    assert shown["gone"] == (0, Fraction(3, 5), None)
    assert shown["odd"] == (Fraction(1, 20), None, None)  # nothing below the line: what it adds is no share of anything


def test_formulas_may_be_sums_with_factors() -> None:
    whale = counted(({"c": "a"}, {"x": 5, "y": 2.5, "z": 4}, TODAY), ({"c": "b"}, {"x": 1, "z": 4}, BEFORE))
    assert whale.factors("c", "x - 2*y + 0.5*hits", "yesterday")["change"] == -1
    assert whale.factors("c", "100 * (x - y) / z", "yesterday")["change"] == 62.5 - 25
    assert whale.factors("c", "1 - x/z", "yesterday")["change"] == -1
    assert whale.factors("c", "x/z + y/z", "yesterday")["change"] == 1.875 - 0.25


@pytest.mark.parametrize(
    "text",
    [
        "x*y",
        "x/y/z",
        "x/(y/z)",
        "x/y + z",
        "ma7(x)",
        "x:sum",
        "x/days",
        "x + 1",
        "1/x",
        "5",
        "p95(x)",
        "x/y + x/z",
        "_count",
    ],
)
def test_formulas_whose_parts_do_not_add_up_are_refused(text: str) -> None:
    with pytest.raises(FormulaError, match="only these split into parts that add up") as caught:
        forms_of(parse_formula(text))
    assert caught.value.field == "metric"


@pytest.mark.parametrize("text", ["x/0", "x/(1-1)", "x/(y-y)", "x/(0*y)"])
def test_a_constant_zero_is_not_divided_by(text: str) -> None:
    with pytest.raises(FormulaError, match="the denominator is always 0"):
        forms_of(parse_formula(text))


@pytest.mark.parametrize(
    "text", ["1e308*n", "n/1e-300", "n/(1e308*d)", "1e200*n/(1e-200*d)", "+".join(f"n/{p}" for p in PRIMES)]
)
def test_numbers_that_no_answer_can_hold_are_refused(text: str) -> None:
    answer = Door().get("/factors", pk="c", metric=text)
    assert (answer.status, answer.json["field"]) == (400, "metric")


def test_large_factors_are_exact() -> None:
    whale = counted(({"v": "a"}, {"n": 9e9}, TODAY))
    assert whale.factors("c", "1e30*n", "yesterday")["change"] == 9 * 10**39
    assert whale.factors("c", "1e30*never", "yesterday")["change"] == 0


def test_what_is_always_nothing_is_not_a_count() -> None:
    with pytest.raises(FormulaError):
        forms_of(parse_formula("x - x"))


# Laws, against a walk over the hits

TREES = st.sampled_from(
    [None, "a", "b", {"a": "1"}, {"a": "2"}, {"a": {"1": "x"}}, {"a": {"1": "y"}}, {"b": "1"}, {"a": "1", "b": "2"}, ["a", "3", "z"]]
)  # fmt: skip
AMOUNT = st.integers(-5, 60).map(lambda quarter: quarter / 4)
HITS = st.lists(
    st.tuples(TREES, st.fixed_dictionaries({}, optional={"n": AMOUNT, "d": AMOUNT}), st.sampled_from([BEFORE, TODAY])),
    min_size=1,
    max_size=25,
)
OVERLAPPING = st.lists(
    st.tuples(
        st.sampled_from([{"a": {"1": "x", "2": "x"}}, {"a": "1"}, {"b": {"1": "x"}}]),
        st.fixed_dictionaries({"n": st.integers(0, 9), "d": st.integers(0, 9)}),
        st.sampled_from([BEFORE, TODAY]),
    ),
    min_size=1,
    max_size=12,
)
METRICS = st.sampled_from(["n", "hits", "n - d", "n/d", "n/hits", "hits/d", "(n - d)/hits", "100*n/d"])


def walked(whale: Whale, metric: str, limit: int) -> tuple[Factors, dict[str, Any]]:
    return found_in(whale, metric, limit=limit), whale.factors("c", metric, limit=limit, period="yesterday")


def checked(found: Factors) -> None:
    for dimension in found.dimensions:
        assert sum(row.part for row in dimension.rows) == found.change
        for row in dimension.rows:
            if row.mix is not None and row.rate is not None:
                assert row.mix + row.rate == row.part
        assert sum(row.values for row in dimension.rows if row.kind in ("value", "other", "rest")) == dimension.values


@law(150)
@given(hits=HITS, metric=METRICS, limit=st.integers(0, 3))
def test_parts_add_up_to_the_change_exactly(hits: Any, metric: str, limit: int) -> None:
    whale = counted(*hits)
    found, answer = walked(whale, metric, limit)
    checked(found)
    for dimension in answer["dimensions"]:
        assert sum(row["part"] for row in dimension["rows"]) == pytest.approx(answer["change"], abs=1e-9)


@law(60)
@given(hits=OVERLAPPING, metric=METRICS)
def test_parts_add_up_where_hits_have_several_values_too(hits: Any, metric: str) -> None:
    found = found_in(counted(*hits), metric, limit=0)
    checked(found)
    if metric == "hits":
        several = any(len(tree.get("a", "")) == 2 for tree, _, _ in hits)
        for dimension in found.dimensions:
            assert dimension.closes == (dimension.path != ("a",) or not several)


def oracle(hits: Any, above: str, below: str) -> dict[str, Fraction]:
    """The parts of the values of `a`, by the formula of the docs, from the hits."""
    sums: Any = defaultdict(lambda: [[Fraction(0), Fraction(0)], [Fraction(0), Fraction(0)]])
    for tree, metrics, at in hits:
        amounts = {"hits": 1, **metrics}
        top = tree.get("a") if isinstance(tree, dict) else tree[1] if isinstance(tree, list) else None
        names = ["whole", next(iter(top)) if isinstance(top, dict) else top]
        for name in names:
            for side, metric in enumerate((above, below)):
                sums[name][side][at == TODAY] += Fraction(str(amounts.get(metric, 0)))
    (_, whole_below) = sums["whole"]
    (before, now) = (sums["whole"][0][t] / whole_below[t] for t in (0, 1))
    parts = {}
    for name, (n, d) in sums.items():
        w = [d[t] / whole_below[t] for t in (0, 1)]
        parts[name] = n[1] / whole_below[1] - n[0] / whole_below[0] - (before + now) / 2 * (w[1] - w[0])
        if d[0] and d[1] and name != "whole":
            r = [n[t] / d[t] for t in (0, 1)]
            rate, mix = (w[0] + w[1]) / 2 * (r[1] - r[0]), ((r[0] + r[1]) / 2 - (before + now) / 2) * (w[1] - w[0])
            assert rate + mix == parts[name]
    return parts


@law(150)
@given(hits=HITS, metrics=st.sampled_from([("n", "d"), ("n", "hits"), ("d", "n")]))
def test_each_part_is_that_of_the_hits(hits: Any, metrics: tuple[str, str]) -> None:
    found = found_in(counted(*hits), "/".join(metrics), dimensions="a", limit=0)
    if found.change is None:
        return
    expected = oracle(hits, *metrics)
    assert found.change == expected["whole"]
    shown = {row.path[-1]: row.part for row in found.dimensions[0].rows if row.kind == "value"}
    assert shown == {name: expected.get(name, 0) for name in shown}
    assert expected.keys() - {"whole", None} <= shown.keys()


@law(80)
@given(hits=HITS, metric=METRICS)
def test_the_other_way_round_each_part_changes_its_sign(hits: Any, metric: str) -> None:
    whale = counted(*hits)
    there = found_in(whale, metric, limit=0, period="2015-06-16..2015-06-17", against="2015-06-15..2015-06-16")
    back = found_in(whale, metric, limit=0, period="2015-06-15..2015-06-16", against="2015-06-16..2015-06-17")

    def parts(found: Factors) -> dict[Any, Any]:
        return {
            (row.path, row.kind): (row.part, row.rate, row.mix, round(row.excess, 9), round(row.deviation, 9))
            for dimension in found.dimensions
            for row in dimension.rows
        }

    turned = {
        key: (-part, rate if rate is None else -rate, mix if mix is None else -mix, -excess, deviation)
        for key, (part, rate, mix, excess, deviation) in parts(back).items()
    }
    assert {key: [pytest.approx(each, abs=1e-8) if isinstance(each, float) else each for each in row] for key, row in turned.items()} == {
        key: list(row) for key, row in parts(there).items()
    }  # fmt: skip


# What explains


def daily(values: dict[Any, tuple[int, int]], days: int = 20) -> Whale:
    """value -> hits a day in the first half and in the second; a little more on even days."""
    hits = []
    for day in range(2 * days):
        for value, both in values.items():
            amount = both[day >= days] + (day % 2)
            hits.append(({"v": value, "flat": f"x{day % 2}"}, {"hits": amount}, NOW - (2 * days - day) * DAY))
    return counted(*hits)


def explained(found: dict[str, Any]) -> dict[str, float]:
    return {dimension["dimension"]: dimension["explains"] for dimension in found["dimensions"]}


PERIOD = "1d:2015-05-28..2015-06-17"


def test_a_dimension_whose_values_all_move_alike_does_not_explain() -> None:
    answer = daily({f"v{i}": (100, 50) for i in range(6)}).factors("c", "hits", PERIOD)
    assert answer["change"] == -6 * 50 * 20
    assert explained(answer) == {"flat": pytest.approx(0, abs=0.01), "v": 0}


def test_one_value_that_moves_explains_but_for_its_share() -> None:
    answer = daily({"bad": (100, 20), **{f"v{i}": (100, 100) for i in range(5)}}).factors("c", "hits", PERIOD)
    assert list(explained(answer)) == ["v", "flat"]
    assert 0.6 < explained(answer)["v"] < 1
    first = answer["dimensions"][0]["rows"][0]
    assert (first["path"], first["of_change"]) == ('["v", "bad"]', 1)
    assert first["z"] < -10
    assert first["low"] < first["part"] < first["high"] < 0


def test_chance_does_not_explain() -> None:
    few = {f"v{i}": (3, 3 + (i % 3) - 1) for i in range(40)}
    assert explained(daily(few, days=2).factors("c", "hits", "1d:2015-06-15..2015-06-17"))["v"] in (None, 0)


def by_chance(values: int, random: np.random.Generator, broken_from: int = 40) -> Whale:
    """Visits and sales of values over 40 days, by chance alone; but v0 sells a third from a day on."""
    hits = []
    for day in range(40):
        for i in range(values):
            visits = int(random.poisson(1000))
            share = 0.05 / 3 if i == 0 and day >= broken_from else 0.05
            sales = int(random.binomial(visits, share))
            hits.append(({"v": f"v{i}"}, {"visits": visits, "sales": sales}, NOW - (40 - day) * DAY))
    return counted(*hits)


@pytest.mark.parametrize("metric", ["sales", "sales/visits"])
def test_a_break_inside_the_period_is_no_noise(metric: str) -> None:
    whale = by_chance(8, np.random.default_rng(2), broken_from=32)
    first, *others = whale.factors("c", metric, PERIOD)["dimensions"][0]["rows"]
    assert first["path"] == '["v", "v0"]'
    assert first["z"] < -3
    assert first["high"] < 0
    assert all(abs(row["z"]) < 3 for row in others)


def test_of_values_that_move_by_chance_few_reach_three_deviations() -> None:
    whale = by_chance(200, np.random.default_rng(3))
    for metric in ("visits", "sales", "sales/visits"):
        rows = whale.factors("c", metric, PERIOD, limit=0)["dimensions"][0]["rows"]
        z = np.array([row["z"] for row in rows if row["kind"] == "value"])
        assert len(z) == 200
        assert (np.abs(z) > 3).sum() <= 2
        assert 0.8 < z.std() < 1.2


def test_a_child_that_explains_its_parent_is_named_down_to_the_deepest() -> None:
    values = {"US": {"CA": {"LA": None}}, "DE": {"BE": None}}
    day = {"US": (300, 100), "other": (300, 300)}
    hits = []
    for d in range(40):
        at = NOW - (40 - d) * DAY
        hits += [
            ({"v": {"US": {"CA": "LA"}}}, {"hits": day["US"][d >= 20] + d % 2}, at),
            ({"v": {"US": {"CA": "SF"}}}, {"hits": 200 + d % 3}, at),
            ({"v": {"US": "TX"}}, {"hits": 250 + d % 2}, at),
            ({"v": values["DE"] and {"DE": "BE"}}, {"hits": 300 + d % 2}, at),
        ]
    whale = counted(*hits)
    answer = whale.factors("c", "hits", PERIOD)
    first = answer["dimensions"][0]["rows"][0]
    assert first["path"] == '["v", "US"]'
    assert [row["path"] for row in first["because"]] == ['["v", "US", "CA"]', '["v", "US", "CA", "LA"]']
    assert first["because"][-1]["part"] == -200 * 20
    shallow = whale.factors("c", "hits", PERIOD, depth=1)["dimensions"][0]["rows"][0]
    assert [row["path"] for row in shallow["because"]] == ['["v", "US", "CA"]']
    assert "because" not in whale.factors("c", "hits", PERIOD, depth=0)["dimensions"][0]["rows"][0]


def test_children_that_move_as_their_parent_does_are_not_named() -> None:
    hits = []
    for d in range(40):
        at, both = NOW - (40 - d) * DAY, 100 if d < 20 else 50
        hits += [({"v": {"US": state}}, {"hits": both}, at) for state in ("CA", "TX")]
        hits.append(({"v": "DE"}, {"hits": 100}, at))
    assert all("because" not in row for row in counted(*hits).factors("c", "hits", PERIOD)["dimensions"][0]["rows"])


def test_values_beyond_the_limit_are_one_row() -> None:
    whale = counted(*(({"v": f"v{i:02}"}, {"hits": i}, TODAY) for i in range(1, 21)))
    assert rows(whale.factors("c", "hits", "yesterday", limit=2), "path", "kind", "part") == [
        ['["v", "v20"]', "value", 20],
        ['["v", "v19"]', "value", 19],
        ["v", "rest", 171],
    ]
    assert len(rows(whale.factors("c", "hits", "yesterday", limit=0), "path")) == 20
    level = counted(*(({"v": f"v{i:02}"}, {"hits": 3}, TODAY) for i in range(20)))
    assert [row[0] for row in rows(level.factors("c", "hits", "yesterday", limit=2), "path")] == [
        '["v", "v00"]',
        '["v", "v01"]',
        "v",
    ]


def test_what_is_folded_is_a_row_of_its_own() -> None:
    tight = SETTINGS.replace(max_children=2)
    whale = counted(*(({"v": f"v{i}"}, {"hits": 1}, TODAY) for i in range(5)), settings=tight)
    assert rows(whale.factors("c", "hits", "yesterday"), "kind", "part") == [["value", 1], ["value", 1], ["other", 3]]


def test_names_without_values_are_values_of_the_root() -> None:
    whale = counted(("a", {"hits": 3}, TODAY), ("b", {"hits": 1}, TODAY), (None, {}, TODAY))
    answer = whale.factors("c", "hits", "yesterday")
    assert answer["dimensions"][0]["dimension"] == "_"
    assert rows(answer, "path", "kind", "part") == [["a", "value", 3], ["b", "value", 1], ["_", "ended", 1]]


def test_a_path_deeper_down_may_be_asked() -> None:
    whale = counted(({"v": {"US": "CA"}}, {"hits": 3}, TODAY), ({"v": "DE"}, {"hits": 2}, TODAY))
    answer = whale.factors("c", "hits", "yesterday", dimensions=["v", "US"])
    assert rows(answer, "path", "kind", "part") == [['["v", "US", "CA"]', "value", 3], ["_", "without", 2]]
    several = whale.factors("c", "hits", "yesterday", dimensions={"v": ["US", "nowhere"]})
    assert sorted(each["dimension"] for each in several["dimensions"]) == ['["v", "US"]', '["v", "nowhere"]']


def test_hits_with_several_values_leave_a_row_that_says_so() -> None:
    whale = counted(({"tag": {"a": "x", "b": "y"}}, {"hits": 4}, TODAY))
    answer = whale.factors("c", "hits", "yesterday")
    assert answer["dimensions"][0]["closes"] is False
    assert rows(answer, "path", "kind", "part") == [
        ['["tag", "a"]', "value", 4],
        ['["tag", "b"]', "value", 4],
        ["tag", "overlap", -4],
    ]


def test_over_zero_nothing_can_be_explained() -> None:
    whale = counted(({"v": "a"}, {"n": 4, "d": 2}, TODAY))
    answer = whale.factors("c", "n/d", "yesterday")
    assert (answer["now"], answer["before"], answer["change"], answer["dimensions"]) == (2, None, None, [])


def test_what_was_never_counted_has_not_changed() -> None:
    answer = counted().factors("nobody", "hits", "yesterday")
    assert (answer["change"], answer["dimensions"]) == (0, [])


def test_an_open_period_is_cut_on_both_sides() -> None:
    whale = counted(
        ({"v": "a"}, {"hits": 5}, NOW - 3600),
        ({"v": "a"}, {"hits": 7}, NOW - DAY + 3600),
        ({"v": "a"}, {"hits": 1}, NOW - DAY - 7200),
    )
    answer = whale.factors("c", "hits", "seven")
    assert answer["compared"]["cut"] == "15m"
    assert answer["change"] == 5 + 7 + 1
    today = whale.factors("c", "hits", "today")
    assert (today["now"], today["before"]) == (5, 1)
    begun = Whale(whale.store, SETTINGS, clock=lambda: NOW // DAY * DAY + 5)
    assert begun.factors("c", "hits", "today")["change"] == 0


def test_money_in_one_bucket_is_as_unsure_as_its_values_differ() -> None:
    """One bucket a range: what most values move by is chance."""
    hits = [
        ({"v": f"v{i}"}, {"m": 1000 + 300 * ((i * 7 + day * 3) % 5 - 2)}, (BEFORE, TODAY)[day])
        for i in range(20)
        for day in (0, 1)
    ]
    answer = counted(*hits).factors("c", "m", "yesterday")
    assert all(abs(row["z"]) < 3 for row in answer["dimensions"][0]["rows"])
    assert explained(answer)["v"] in (None, 0)


def test_sums_past_64_bits_close() -> None:
    whale = counted(({"v": "a"}, {"m": 1}, TODAY), ({"v": "b"}, {"m": 1}, TODAY))
    for value in "ab":
        for day in range(16, 13, -1):
            whale.update_count_to("c", {"v": value}, {"m": 9e9}, "1d", f"2015-06-{day}T01:00Z")
    found = found_in(whale, "1000000*m", period="1d:2015-06-14..2015-06-17")
    assert found.change == 2 * 3 * 9 * 10**15
    checked(found)


# Refused


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"metric": "n/0"}, "metric"),
        ({"metric": "n*n"}, "metric"),
        ({"metric": "n/"}, "metric"),
        ({"metric": "seen"}, "metric"),
        ({"metric": "n/seen"}, "metric"),
        ({"metric": "low"}, "metric"),
        ({"compare": "next"}, "compare"),
        ({"period": "today", "compare": "last_year"}, "compare"),
        ({"period": "2016-01-01..2016-01-02"}, "period"),
        ({"period": "yesterday", "against": "2016-01-01..2016-01-02"}, "against"),
        ({"period": "yesterday", "against": "someday"}, "against"),
        ({"against": "today", "compare": "previous"}, "against"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"depth": "-1"}, "depth"),
        ({"depth": "9"}, "depth"),
        ({"dimensions": "[["}, "dimensions"),
        ({"pk": ""}, "pk"),
        ({"threshold": "2"}, "threshold"),
    ],
)
def test_what_cannot_be_answered_is_a_400_with_the_field(parameters: dict[str, str], field: str) -> None:
    door = Door()
    door.whale.count_now("c", {"v": "a"}, {"n": 1, "seen": "is_unique", "low": {"min": 1}}, visitor="ann")
    asked = {"pk": "c", "period": "yesterday", **parameters}
    answer = door.get("/factors", **asked)
    assert (answer.status, answer.json.get("field")) == (400, field), answer.text


def test_too_many_rows_are_refused() -> None:
    whale = counted(*(({"v": f"v{i}"}, {}, TODAY) for i in range(30)))
    inquiry = whale.asking.change("c", "hits", "yesterday", None, None, None, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("whale.answer.factors.MOST_ROWS", 20)
        with pytest.raises(TooManyPoints) as caught:
            inquiry.factors(None, 3, 0)
    assert caught.value.field == "limit"


def test_of_many_dimensions_only_those_that_explain_most_are_looked_into() -> None:
    hits: list[Any] = []
    for d in range(30):
        for value in "xy":
            hits += [({f"d{d}": {value: child}}, {"hits": 1000}, at) for child in ("a", "b") for at in (BEFORE, TODAY)]
        hits.append(({f"d{d}": {"x": "a"}}, {"hits": 1000 + 100 * d}, TODAY))
    whale = counted(*hits)
    read, reads = whale.store.read_below, list[Any]()

    def counting(*asked: Any) -> Any:
        reads.append(asked)
        return read(*asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whale.store, "read_below", counting)
        answer = whale.factors("c", "hits", "yesterday", depth=1)
    assert [each["dimension"] for each in answer["dimensions"][:2]] == ["d29", "d28"]
    assert [bool(each["rows"][0].get("because")) for each in answer["dimensions"]] == [True] * 10 + [False] * 20
    assert len(reads) == 1 + 10  # of the root with two levels, and below the one value that moved of ten dimensions


def test_too_many_dimensions_are_refused() -> None:
    whale = counted(*(({f"d{i}": "x"}, {}, TODAY) for i in range(12)))
    assert len(whale.factors("c", dimensions=[[f"d{i}"] for i in range(100)])["dimensions"]) == 100
    with pytest.raises(CallerError, match="at most 100, got 101") as caught:
        whale.factors("c", dimensions=[[f"d{i}"] for i in range(101)])
    assert caught.value.field == "dimensions"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("whale.answer.factors.MOST_TOP", 11)
        with pytest.raises(TooManyPoints, match="the pk has 12 top-level dimensions") as caught:
            whale.factors("c")
    assert caught.value.field == "dimensions"


def test_over_http_it_is_what_the_library_says() -> None:
    door = Door()
    for dimensions, metrics, at in (({"v": "a"}, {"n": 2}, TODAY), ({"v": "b"}, {"n": 1}, BEFORE)):
        door.count("c", dimensions, metrics, at)
    asked = {"pk": "c", "metric": "n/hits", "period": "yesterday", "against": "2015-06-15..2015-06-16"}
    answer = door.get("/factors", **asked)
    assert answer.json == door.whale.factors(**asked)
    assert answer.json["compared"]["with"] == "2015-06-15..2015-06-16"
    assert answer.headers["X-Whale-Complete"] == "true"
    assert door.get("/factors", pk="c", period="today").headers["X-Whale-Complete"] == "false"
    ranged = door.get("/factors", pk="c", metric="n/hits", start="2015-06-16", finish="2015-06-17").json
    assert ranged["dimensions"] == answer.json["dimensions"]
    explained = door.get("/factors", **asked, explain="true").json
    assert explained["answer"] == answer.json
    assert list(explained["explain"]["ranges"]) == ["yesterday", "yesterday 2015-06-15..2015-06-16"]


# The page


PAGE = (Path(__file__).parents[2] / "docs/factors.md").read_text()


def test_the_page_says_what_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 6, 10, tzinfo=UTC).timestamp()
    here = Whale(MemoryStore(SETTINGS), SETTINGS, clock=lambda: now)
    monkeypatch.setattr("whale.client._connections", {Whale: here})
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
    found: dict[str, Any] = {}
    exec(compile(program, "docs/factors.md", "exec"), found)
    shown = [
        [
            dimension["dimension"],
            parse_path(row["path"])[-1],
            *(row[name] for name in ("before", "now", "rate", "mix", "part")),
        ]
        for dimension in found["answer"]["dimensions"]
        for row in dimension["rows"]
    ]
    table = [line.strip("| ").split(" | ") for line in PAGE.split("\n") if re.match(r"\| (country|device) ", line)]
    assert [[*row[:2], *map(float, row[2:])] for row in table] == shown
    counted_rows = [
        line.strip("| ").replace(",", "").split(" | ") for line in PAGE.split("\n") if re.match(r"\| (US|DE), ", line)
    ]
    assert [[int(cell) for cell in row[1:]] for row in counted_rows] == [
        [monday[2], monday[3], tuesday[2], tuesday[3]] for monday, tuesday in zip(*found["DAYS"].values(), strict=True)
    ]


def test_the_page_names_every_kind_and_bound() -> None:
    source = (Path(__file__).parents[2] / "whale/answer/factors.py").read_text()
    for kind in ("value", "other", "rest", "ended", "without", "overlap"):
        assert f'"{kind}"' in source
        assert f"| `{kind}` |" in PAGE
    assert f"{module.MOST_ROWS:,} rows" in PAGE
    assert f"up to {module.GROUPS} groups" in PAGE
    assert f"{module.EXPLAINS:.0%}".replace("%", " %") in PAGE
    assert "the ten largest values of each of the ten dimensions" in " ".join(PAGE.split())
    assert (module.DRILLED_DIMENSIONS, module.DRILLED, module.BEYOND, module.FEW_VALUES) == (10, 10, 2, 5)
    assert f"{module.MOST_NAMED} dimensions that you name, or {module.MOST_TOP:,} otherwise" in " ".join(PAGE.split())

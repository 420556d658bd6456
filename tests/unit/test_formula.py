import contextlib
import tracemalloc
from datetime import UTC, datetime
from typing import Any
from weakref import WeakSet
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.room import held
from whale.errors import FormulaError
from whale.formula import MILLION, REMEMBERED_BYTES, Frame, metrics_asked, parse_formula
from whale.period import DAY, HOUR, MONTH, WEEK, YEAR, Range

WEEK_OF_JUNE = Range(DAY, 1_433_894_400, 1_434_585_600)  # 2015-06-10 to 17
V = [0, 10, 0, 5, 0, 0, 20, 5]
HITS = [0, 2, 0, 2, 0, 0, 2, 2]


def evaluated(
    text: str, amounts: dict[str, list[int]], known: tuple[str, ...] = (), at: Range = WEEK_OF_JUNE, null: bool = False
) -> tuple[list[Any], Any]:
    """Series and total of one path. amounts: as stored, one a bucket; a metric without them was never counted."""
    formula = parse_formula(text, known)
    starts = at.starts
    cells = {name: np.array([amounts.get(name, [0] * len(starts))], np.int64) for name in formula.metrics}
    frame = Frame(cells, 1, at, starts, null)
    return formula.series(frame)[0], formula.totals(frame)[0]


def asked(text: str, known: tuple[str, ...] = (), null: bool = False) -> tuple[list[Any], Any]:
    """Of v, ten million a unit, and hits."""
    return evaluated(text, {"v": [value * MILLION for value in V], "hits": HITS}, known, null=null)


@pytest.mark.parametrize(
    ("text", "series", "total"),
    [
        ("v", V, 40),
        ("hits", HITS, 8),
        ("never", [0] * 8, 0),
        ("v:count", V, 40),
        *((f"v:{word}", [0, 10, 10, 15, 15, 15, 35, 40], 40) for word in ("sum", "add", "cumulative", "+")),
        *((f"v:{word}", [0, 10, 10, 5, 5, 5, 20, 5], 5) for word in ("last", "set", "level", "_")),
        ("v/hits", [0, 5, 0, 2.5, 0, 0, 10, 2.5], 5),
        ("v/days", V, 5),
        ("v/2", [0, 5, 0, 2.5, 0, 0, 10, 2.5], 20),
        ("v/_count", [0, 1.25, 0, 0.625, 0, 0, 2.5, 0.625], 5),
        ("v/weeks", [0, 70, 0, 35, 0, 0, 140, 35], 35),
        ("minutes", [1440] * 8, 8 * 1440),
        ("weeks", [1 / 7] * 8, 8 / 7),
        ("months", [1 / 30] * 8, 8 / 30),
        ("_days_in_month", [30] * 8, 30),
        ("(v-hits)*2/(1+1)", [0, 8, 0, 3, 0, 0, 18, 3], 32),
        ("v-hits-hits", [0, 6, 0, 1, 0, 0, 16, 1], 24),
        ("2+3*4", [14] * 8, 14),
        ("-v+-3", [-3, -13, -3, -8, -3, -3, -23, -8], -43),
        ("ma2(v)", [0, 5, 5, 2.5, 2.5, 0, 10, 12.5], 12.5),
        ("ma2(v/hits)", [0, 5, 5, 2.5, 2.5, 0, 10, 6.25], 6.25),
        ("ma100(v)", [0, 5, 10 / 3, 3.75, 3, 2.5, 5, 5], 5),
        ("v:sum / hits:sum", [0, 5, 5, 3.75, 3.75, 3.75, 35 / 6, 5], 5),
        ("time on page / hits", [0] * 8, 0),
        ('`v`/"hits"', [0, 5, 0, 2.5, 0, 0, 10, 2.5], 5),
    ],
)
def test_a_formula_has_a_value_a_bucket_and_a_total(text: str, series: list[float], total: float) -> None:
    found = asked(text)
    assert found == (series, total)
    assert all(type(value) is int for value in (*found[0], found[1]) if value == int(value))


def test_a_counted_name_wins_over_what_it_could_mean() -> None:
    million = {"a": [8 * MILLION], "b": [2 * MILLION], "a/b": [7 * MILLION], "days": [3 * MILLION], "2": [9 * MILLION]}
    for known, text, expected in (
        ((), "a/b", 4),
        (("a/b",), "a/b", 7),
        (("a/b",), "a / b", 4),
        (("a/b",), "a/b/b", 3.5),
        (("a/b",), "b*(a/b)", 14),
        ((), "a/`a/b`", 8 / 7),
        (("days",), "a/days", 8 / 3),
        ((), "a/days", 8),
        (("2",), "a/2", 4),
        (("2",), "2", 9),
        (("a", "a-b"), "a", 8),
    ):
        at = Range(DAY, 1_434_499_200, 1_434_585_600)
        assert evaluated(text, million, known, at)[1] == expected, (known, text)


def test_over_zero_is_0_or_null() -> None:
    assert asked("v/(hits-2)") == ([0, 0, 0, 0, 0, 0, 0, 0], 40 / 6)
    assert asked("v/hits", null=True) == ([None, 5, None, 2.5, None, None, 10, 2.5], 5)
    assert asked("v/never+1", null=True) == ([None] * 8, None)


def test_sums_are_exact_and_whole_numbers_stay_whole() -> None:
    at = Range(DAY, 1_434_499_200, 1_434_585_600)

    def total(text: str, **amounts: int) -> str:
        return repr(evaluated(text, {name: [amount] for name, amount in amounts.items()}, (), at)[1])

    assert total("dollars", dollars=200 * MILLION) == "200"
    assert total("dollars", dollars=-300_000) == "-0.3"
    assert total("a-b", a=300_000, b=100_000) == "0.2"
    assert total("a+b", a=100_000, b=200_000) == "0.3"
    for amount in (2**63 - 1, -(2**63), -(2**63) + 1, 2**63 // MILLION * MILLION, -(2**63 // MILLION) * MILLION):
        exact = amount // MILLION if amount % MILLION == 0 else amount / MILLION
        assert repr(evaluated("v", {"v": [amount]}, (), at)[0]) == repr([exact])
    assert total("hits", hits=2**62 + 1) == str(2**62 + 1)
    assert total("hits+hits", hits=2**62 + 1) == str(2**63 + 2)
    assert total("a-hits", a=2**62, hits=2**62) == repr((2**62 - 2**62 * MILLION) / MILLION)
    assert total("dollars/hits", dollars=7_500_000, hits=3) == "2.5"


def test_constants_know_the_calendar() -> None:
    berlin = ZoneInfo("Europe/Berlin")

    def one(text: str, interval: Any, year: int, month: int, day: int, *end: int) -> Any:
        start, stop = (int(datetime(*date, tzinfo=berlin).timestamp()) for date in ((year, month, day), end))
        return evaluated(text, {}, (), Range(interval, start, stop, "Europe/Berlin"))[0][0]

    spring = (DAY, 2026, 3, 29, 2026, 3, 30)
    assert [one(name, *spring) for name in ("hours", "minutes", "days")] == [23, 23 * 60, 1]
    assert one("days", WEEK, 2026, 3, 23, 2026, 3, 30) == 7
    march = (MONTH, 2026, 3, 1, 2026, 4, 1)
    assert [one(name, *march) for name in ("days", "months", "weeks")] == [31, 1, 31 / 7]
    leap = (YEAR, 2024, 1, 1, 2025, 1, 1)
    assert [one(name, *leap) for name in ("days", "months", "years")] == [366, 12, 1]
    hour = Range(
        HOUR, int(datetime(2026, 2, 1, tzinfo=UTC).timestamp()), int(datetime(2026, 2, 1, 1, tzinfo=UTC).timestamp())
    )
    assert evaluated("days", {}, (), hour)[0] == [1 / 24]


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("a/", "expected a metric, a number or ( at the end", "    ^"),
        ("/b", "expected a metric, a number or ( at character 1, got '/'", "  ^"),
        ("a//b", "at character 3, got '/'", "    ^"),
        ("(a", "expected an operator + - * / or ) at the end", "    ^"),
        ("a)", "expected an operator + - * / or the end at character 2, got ')'", "   ^"),
        ("a:median", "expected :sum, :last or :count (a name with a colon is written in backquotes)", "    ^"),
        ("ma0(v)", "expected 1 to 1000 buckets", "  ^"),
        ("ma2(ma3(v))", "expected no moving average inside another", "      ^"),
        ('"x', 'expected a closing "', "  ^"),
        ("1e999", "expected a number of at most 1e308", "  ^"),
        ("``", "expected a name between the quotes", "  ^"),
    ],
)
def test_an_error_points_at_the_character(text: str, said: str, line: str) -> None:
    with pytest.raises(FormulaError) as refused:
        parse_formula(text)
    message, shown, caret = str(refused.value).split("\n")
    assert said in message
    assert (shown.strip(), caret) == (text, line)


@pytest.mark.parametrize(
    "text", ["", "x" * 1001, "(" * 1000 + "a" + ")" * 1000, "a+" * 5000, "(" * 60 + "a" + ")" * 60, "-" * 60 + "a"]
)
def test_what_is_too_long_or_too_deep_is_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        parse_formula(text)


def test_a_result_that_is_no_number_is_refused() -> None:
    with pytest.raises(FormulaError, match="too large for a number"):
        asked("v*1e308*1e308")


@given(st.text('ab12.:/*+-()`"_ ', max_size=40), st.lists(st.text("ab/+", min_size=1, max_size=3)))
def test_no_text_breaks_the_parser(text: str, known: list[str]) -> None:
    with contextlib.suppress(FormulaError):
        formula = parse_formula(text, known)
        assert set(formula.metrics) <= {what[0] for kind, what in flat(formula.steps) if kind == "metric"}


def flat(steps: Any) -> list[Any]:
    return [inner for step in steps for inner in (flat(step[1][1]) if step[0] == "average" else [step])]


def test_metrics_are_asked_in_each_form() -> None:
    assert metrics_asked(None) == metrics_asked({}) == ["hits"]
    assert metrics_asked("a") == ["a"]
    assert metrics_asked(["a", "b/c", "a"]) == ["a", "b/c"]
    assert metrics_asked({"a": "b", "c": 1, "km/h": "hits"}) == ["a/b", "c", "`km/h`/hits"]


def test_formulas_that_are_remembered_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is as long as one that is kept, over metrics whose names hold operators; a dictionary is read anew for each."""
    monkeypatch.setattr(
        "hail.room._caches", WeakSet()
    )  # threads that other tests left rest, and clear what was not asked
    tracemalloc.start()
    try:
        for number in range(600):
            names = [f"{number}/{name}".ljust(200, "n") for name in range(63)]
            parse_formula("a" + "+b" * 140 + f"+c{number}", names)
        told, most = held()["formulas"]
        assert most == REMEMBERED_BYTES
        assert told > most - 100_000
        assert tracemalloc.get_traced_memory()[0] < 1.25 * most
    finally:
        tracemalloc.stop()

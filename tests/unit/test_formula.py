import numpy as np
import pytest

from whale.errors import FormulaError
from whale.formula import Formula, parse_formula

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("text", "known", "metric", "by"),
    [
        ("revenue", (), "revenue", None),
        ("revenue/visitors", (), "revenue", "visitors"),
        ("revenue / visitors", (), "revenue", "visitors"),
        ("a/b/c", (), "a", "b/c"),
        ("km/h / hits", (), "km/h", "hits"),
        ("a/b", ("a/b",), "a/b", None),
        ("a / b", ("a/b",), "a", "b"),
        ("_", (), "_", None),
    ],
)
def test_a_formula_is_a_metric_or_a_ratio(text: str, known: tuple[str, ...], metric: str, by: str | None) -> None:
    assert parse_formula(text, known) == Formula(text, metric, by)


@pytest.mark.parametrize("text", ["", "/", "a/", "/b", " / ", "x" * 10_001])
def test_a_broken_formula_is_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        parse_formula(text)


def test_numbers_are_whole_where_they_are_and_exact_where_they_are_not() -> None:
    assert repr(parse_formula("dollars").of({"dollars": 200 * MILLION})) == "200"
    assert repr(parse_formula("dollars").of({"dollars": 500_000})) == "0.5"
    assert repr(parse_formula("dollars").of({"dollars": -300_000})) == "-0.3"
    assert repr(parse_formula("hits").of({"hits": 2**62 + 1})) == str(2**62 + 1)


def test_a_ratio_divides_sums_and_is_0_over_0() -> None:
    ratio = parse_formula("dollars/hits")
    assert ratio.of({"dollars": 7_500_000, "hits": 3}) == 2.5
    assert ratio.of({"dollars": 7_500_000, "hits": 0}) == 0
    assert parse_formula("hits/dollars").of({"dollars": 2 * MILLION, "hits": 3}) == 1.5
    assert parse_formula("hits/hits").of({"hits": 3}) == 1


def test_a_series_divides_each_bucket() -> None:
    amounts = {"v": np.array([0, 5, -3, 4]) * MILLION, "hits": np.array([1, 2, 0, 4])}
    assert parse_formula("v/hits").series(amounts) == [0, 2.5, 0, 1]
    assert parse_formula("v").series(amounts) == [0, 5, -3, 4]
    assert parse_formula("hits").series(amounts) == [1, 2, 0, 4]

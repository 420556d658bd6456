"""Numbers of a dimension that are counted in nested bands."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.hit import HitError, bands, parse_hit
from hail.settings import SettingsError, load
from whale.client import Whale
from whale.dimension import paths_of
from whale.store.memory import MemoryStore

SETTINGS = load({"HAILWHALE_BANDS": '{"price": [1000, 100, 10], "load": [1, 0.1]}'})
NOW = 1_795_300_800.25


def paths(dimensions: Any) -> list[Any]:
    return paths_of(parse_hit({"pk": "a", "dimensions": dimensions}, SETTINGS, NOW).dimensions)[1:]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (37.5, ["0..1000", "0..100", "30..40"]),
        (0, ["0..1000", "0..100", "0..10"]),
        (-0.0, ["0..1000", "0..100", "0..10"]),
        (40, ["0..1000", "0..100", "40..50"]),
        (39.999999, ["0..1000", "0..100", "30..40"]),
        (39.9999999, ["0..1000", "0..100", "40..50"]),
        (1000, ["1000..2000", "1000..1100", "1000..1010"]),
        (-5, ["-1000..0", "-100..0", "-10..0"]),
        (-10, ["-1000..0", "-100..0", "-10..0"]),
        (-0.000001, ["-1000..0", "-100..0", "-10..0"]),
        ("37.5", ["0..1000", "0..100", "30..40"]),
        (9_000_000_000, ["9000000000..9000001000", "9000000000..9000000100", "9000000000..9000000010"]),
    ],
)
def test_a_number_counts_in_its_bands(number: Any, expected: list[str]) -> None:
    whole = [("price", *expected[:level]) for level in range(4)]
    assert paths({"price": number}) == whole
    assert paths(["price", number]) == paths([["price", number]]) == paths({"price": [number]}) == whole


def test_widths_may_have_decimals_and_other_names_are_left_alone() -> None:
    assert paths({"load": 37.55}) == [("load",), ("load", "37..38"), ("load", "37..38", "37.5..37.6")]
    assert paths({"load": -0.05})[-1] == ("load", "-1..0", "-0.1..0")
    assert paths({"order": {"price": 37.5}})[-1] == ("order", "price", "37.5")
    assert paths("price") == paths(["price"]) == [("price",)]
    assert paths({"price": None, "a": 5}) == [("a",), ("a", "5")]
    assert paths([["price", 5], ["price", 15]])[-1] == ("price", "0..1000", "0..100", "10..20")


@given(
    st.decimals(-9_000_000_000, 9_000_000_000, places=6),
    st.sampled_from([(1000, 100, 10), (Decimal("0.5"), Decimal("0.1")), (Decimal("0.3"), Decimal("0.000001")), (7,)]),
)
def test_each_band_holds_the_number_and_lies_in_the_one_before(number: Decimal, widths: tuple[Any, ...]) -> None:
    before = None
    value = Fraction(repr(float(number))) if abs(number) < 10**8 else Fraction(int(number))
    asked = float(number) if abs(number) < 10**8 else int(number)
    for name, width in zip(bands(asked, [int(width * 10**6) for width in widths], "price"), widths, strict=True):
        first, last = map(Fraction, name.split(".."))
        assert last - first == Fraction(width)
        assert (first / Fraction(width)).denominator == 1
        assert first <= round(value, 6) < last
        assert before is None or (before[0] <= first and last <= before[1])
        before = first, last


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("12,50", "bad_dimensions"),
        ("", "bad_dimensions"),
        ("nan", "bad_dimensions"),
        (float("nan"), "bad_dimensions"),
        (True, "bad_dimensions"),
        ({"a": 1}, "bad_dimensions"),
        ([5, 6], "bad_dimensions"),
        ([[5]], "bad_dimensions"),
        (float("inf"), "number_out_of_range"),
        (-9.1e9, "number_out_of_range"),
        ("999999999999", "number_out_of_range"),
    ],
)
def test_what_is_no_number_is_refused(given: Any, reason: str) -> None:
    with pytest.raises(HitError) as caught:
        paths({"price": given})
    assert (caught.value.reason, caught.value.field) == (reason, "dimensions.'price'")


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"price": []}',
        '{"price": 10}',
        '{"price": "10"}',
        '{"price": [null]}',
        '{"price": [0]}',
        '{"price": [-10]}',
        '{"price": [10, 10]}',
        '{"price": [10, 100]}',
        '{"price": [100, 30]}',
        '{"price": [0.0000001]}',
        '{"price": [1e400]}',
        '{"price": [NaN]}',
        '{"price": [Infinity]}',
        '{"price": [1e10]}',
        '{"price": [1e900000]}',
        '{"price": [128, 64, 32, 16, 8, 4, 2, 1]}',
    ],
)
def test_bands_that_do_not_nest_stop_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="HAILWHALE_BANDS"):
        load({"HAILWHALE_BANDS": text})


def test_a_histogram_is_read_like_any_path_and_a_band_can_be_set_and_reset() -> None:
    shop = Whale(MemoryStore(SETTINGS), SETTINGS, clock=lambda: NOW)
    for price in (5, 37.5, 39, 142):
        shop.count_now("shop", {"price": price}, {"revenue": price})
    below = shop.totals("shop", {"price": ["0..1000"]}, ["hits", "revenue"], "today")["today"]
    assert list(below.values()) == [{"hits": 4, "revenue": 223.5}]
    bars = shop.plotpoints("shop", "price", ["hits"], depth=3, period="today", with_totals=True)
    assert {path: points["hits"]["Total"] for path, points in bars.items() if path.count("..") == 3} == {
        '["price", "0..1000", "0..100", "0..10"]': 1,
        '["price", "0..1000", "0..100", "30..40"]': 2,
        '["price", "0..1000", "100..200", "140..150"]': 1,
    }
    assert shop.update_count_to("shop", {"price": 31}, {"hits": 7}) == {"hits": 5}
    shop.reset("shop", ["price", "0..1000", "100..200"])
    assert shop.total("shop", "hits", ["price", "0..1000", "0..100"]) == 8
    assert shop.total("shop", "hits", ["price", "0..1000", "100..200"]) == 0

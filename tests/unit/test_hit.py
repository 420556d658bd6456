"""A hit: what is taken, what is refused and why, and that names survive."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.hit import Hit, HitError, Reason, encode_hit, lenient, parse_hit
from hail.settings import load
from tests.laws import law

SETTINGS = load({})
NOW = 1_795_300_800.25
NASTY = ["\0", 'a"b', "{}|:/[]", "😀", "_", "[", "é\u0301", "\x7f\x1f", "\\", "__other__", " "]


def parsed(**fields: Any) -> Hit:
    return parse_hit(fields, SETTINGS, NOW)


def refusal(**fields: Any) -> tuple[str, str]:
    with pytest.raises(HitError) as caught:
        parsed(**fields)
    return str(caught.value.reason), caught.value.field


def test_the_wire_form_is_the_documented_one() -> None:
    hit = parsed(pk=["Product", 123], dimensions={"b": {"x": 1}, "a": 5}, metrics={"revenue": 0.5}, id="i")
    assert json.loads(encode_hit(hit)) == [
        ["Product", "123"],
        {"a": {"5": {}}, "b": {"x": {"1": {}}}},
        {"hits": 1, "revenue": 500_000},
        1_795_300_800_250,
        "i",
    ]
    assert hit.cells == 2 * 6 * 2 * len(SETTINGS.periods)


def test_literals_hold_what_json_can_say() -> None:
    assert lenient("metrics", "{'a': .5, 5: True, 'b': (1, None)}") == {"a": 0.5, 5: True, "b": (1, None)}
    for text in ("[1j]", "['\\ud800']", "{(1,): 2}", "{None: 1}", "[...]", "[b'']", "[0x" + "f" * 3000 + "]"):
        with pytest.raises(HitError, match="expected JSON") as caught:
            lenient("metrics", text)
        assert caught.value.field == "metrics"


def test_hits_is_implied_unless_it_is_given() -> None:
    assert parsed(pk="a").metrics == {"hits": 1}
    assert parsed(pk="a", metrics=["x", "y"]).metrics == {"hits": 1, "x": 1_000_000, "y": 1_000_000}
    assert parsed(pk="a", metrics={"hits": 7}).metrics == {"hits": 7}


def test_decimals_are_rounded_half_to_even_at_six() -> None:
    assert parsed(pk="a", metrics={"x": 0.1 + 0.2}).metrics["x"] == 300_000
    assert parsed(pk="a", metrics={"x": 0.0000005, "y": 0.0000015}).metrics == {"hits": 1, "x": 0, "y": 2}
    assert parsed(pk="a", metrics={"x": 9.0e9, "y": -9_000_000_000}).metrics["y"] == -9 * 10**15


def test_both_spellings_mean_the_same_and_not_both_at_once() -> None:
    assert parsed(pk="a", dimension="x", metric="m") == parsed(pk="a", dimensions="x", metrics="m")
    assert refusal(pk="a", metric="m", metrics="m") == ("bad_metrics", "metrics")


def test_a_time_ahead_is_set_to_now_and_the_year_9999_is_refused() -> None:
    ahead = parsed(pk="a", at=NOW + 60)
    assert (ahead.at_ms, ahead.skewed) == (int(NOW * 1000), True)
    assert parsed(pk="a", at="2026-01-01T00:00:00Z").at_ms == 1_767_225_600_000
    assert parsed(pk="a", at="Thu Jan  1 00:00:00 2026").at_ms == 1_767_225_600_000
    assert parsed(pk="a", at="2026-01-01T01:00+01:00").at_ms == 1_767_225_600_000
    assert refusal(pk="a", at="9999-12-31") == ("bad_time", "at")
    assert refusal(pk="a", at="Wed Jun 31 14:35:20 2015") == ("bad_time", "at")
    assert parsed(pk="a", at=253402300799).at_ms == 253402300799  # in milliseconds: 1978


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "bad_pk"),
        ({"pk": []}, "bad_pk"),
        ({"pk": ""}, "bad_pk"),
        ({"pk": {"a": 1}}, "bad_pk"),
        ({"pk": "a", "more": 1}, "unknown_field"),
        ({"pk": "a" * 201}, "name_too_long"),
        ({"pk": "é" * 101}, "name_too_long"),
        ({"pk": 10**5000}, "name_too_long"),
        ({"pk": ["a"] * 9}, "too_many_levels"),
        ({"pk": "\ud800"}, "bad_pk"),
        ({"pk": "a", "dimensions": list("123456789")}, "too_many_levels"),
        ({"pk": "a", "dimensions": {str(i): 1 for i in range(33)}}, "too_many_paths"),
        ({"pk": "a", "dimensions": [[str(i)] for i in range(65)]}, "too_many_paths"),
        ({"pk": "a", "dimensions": "b" * 201}, "name_too_long"),
        ({"pk": "a", "metrics": {str(i): 1 for i in range(17)}}, "too_many_metrics"),
        ({"pk": "a", "metrics": {"x": float("nan")}}, "bad_metrics"),
        ({"pk": "a", "metrics": {"x": float("inf")}}, "bad_metrics"),
        ({"pk": "a", "metrics": {"x": 9.1e9}}, "number_out_of_range"),
        ({"pk": "a", "metrics": {"x": 10**400}}, "number_out_of_range"),
        ({"pk": "a", "metrics": {"x": "12,50"}}, "bad_metrics"),
        ({"pk": "a", "metrics": {"x": True}}, "bad_metrics"),
        ({"pk": "a", "metrics": {"hits": 1.5}}, "bad_metrics"),
        ({"pk": "a", "at": "soon"}, "bad_time"),
        ({"pk": "a", "at": float("nan")}, "bad_time"),
        ({"pk": "a", "at": -1e300}, "bad_time"),
        ({"pk": "a", "id": []}, "bad_id"),
        ({"pk": "a", "id": "x" * 201}, "name_too_long"),
    ],
)
def test_a_bad_hit_is_refused_for_a_reason(fields: dict[str, Any], reason: str) -> None:
    assert refusal(**fields)[0] == reason


def test_too_many_cells_says_how_many() -> None:
    fields = {"pk": list("abcdefgh"), "dimensions": {str(i): 1 for i in range(32)}, "metrics": list("12345")}
    with pytest.raises(HitError, match=r"8 pk prefixes x 65 paths x 6 metrics x 5 intervals are 15600 cells") as caught:
        parse_hit(fields, SETTINGS, NOW)
    assert caught.value.reason == Reason.TOO_MANY_CELLS


def test_64_paths_8_levels_and_200_bytes_are_taken() -> None:
    assert parsed(pk="a", dimensions=[[str(i)] for i in range(64)]).cells == 65 * len(SETTINGS.periods)
    assert parsed(pk="a", dimensions=list("12345678"))
    assert parsed(pk="a" * 200, dimensions="é" * 100)


@pytest.mark.parametrize("name", NASTY)
def test_any_unicode_is_a_name(name: str) -> None:
    row = json.loads(encode_hit(parsed(pk=[name, name], dimensions={name: {name: name}}, metrics={name: 1}, id=name)))
    assert row[0] == [name, name]
    assert row[1] == {name: {name: {name: {}}}}
    assert row[2][name] == 1_000_000
    assert row[4] == name


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ('{"dollars": .50}', {"dollars": 0.5}),
        ("{'sales': 55}", {"sales": 55}),
        ("['a', 'b']", ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
    ],
)
def test_parameters_are_lenient(text: str, value: Any) -> None:
    assert lenient("dimensions", text) == value


@pytest.mark.parametrize(
    "text", ["{", "[1,", "{1:}", "{'a': NaN}", "[" * 5000, "[__import__('os')]", "{" * 30 + "}" * 30]
)
def test_what_is_not_json_nor_like_python_is_refused(text: str) -> None:
    with pytest.raises(HitError) as caught:
        lenient("dimensions", text)
    assert caught.value.reason == Reason.BAD_JSON


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["pk", "dimensions", "metrics", "metric", "at", "id", "visitor", "x"]), ANY))
@law(300)
def test_any_json_is_a_hit_or_a_hit_error(fields: dict[str, Any]) -> None:
    with contextlib.suppress(HitError):
        hit = parse_hit(fields, SETTINGS, NOW)
        assert json.loads(encode_hit(hit))[0] == list(hit.pk)


@given(st.text(max_size=60) | st.text("{}[]():,'\"-+~1ae. ", max_size=60))
@law(300)
def test_any_parameter_is_a_value_or_a_hit_error(text: str) -> None:
    for field in ("pk", "dimensions", "metrics", "at"):
        with contextlib.suppress(HitError):
            parse_hit({"pk": "a", field: lenient(field, text)}, SETTINGS, NOW)


def test_the_first_field_that_does_not_exist_is_named_with_the_one_that_was_meant() -> None:
    for fields, said in (
        ({"pk": "a", "metrcs": 1, "revenue": 2}, "metrcs: is not a field of a hit: did you mean metrics or metric?"),
        ({"pk": "a", "revenue": 2, "metrcs": 1}, "revenue: is not a field of a hit: expected one of pk, dimensions, "),
        ({"pk": "a", "dims": "x"}, "dims: is not a field of a hit: did you mean dimensions?"),
    ):
        with pytest.raises(HitError) as refused:
            parse_hit(fields, SETTINGS, NOW)
        assert str(refused.value).startswith(said)

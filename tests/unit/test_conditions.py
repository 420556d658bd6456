"""Conditions on properties, the same as by looking at each record; the oracle knows the words of docs/http/visitors.md alone."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.hit import HitError
from hail.settings import load
from tests.laws import law
from tests.unit.test_properties import Row, logged
from whale.answer import conditions as conditions_answered
from whale.answer import ranges
from whale.answer.conditions import Checks, Condition, Fulfilled, Wanted, shown_again
from whale.errors import CallerError
from whale.library.conditions import wanted_asked, where_asked
from whale.library.funnels import steps_asked

SETTINGS = load({})
Records = Sequence[Row]


def holds(condition: Condition, visitor: int, tick: int, plans: Records, prices: Records) -> bool:
    """Of an event of a visitor."""
    mine = sorted((at, value) for who, at, value in plans if who == visitor)
    match condition.when:
        case "any":
            values = {value for _, value in mine}
        case "last":
            values = {value for _, value in mine[-1:]}
        case "first":
            values = {value for _, value in mine[:1]}
        case "at":
            values = {value for _, value in [each for each in mine if each[0] <= tick][-1:]}
        case _:
            values = {value for who, at, value in prices if (who, at) == (visitor, tick)}
    return bool((values or {"null"}) & condition.values) != condition.is_not


values = st.sampled_from(["1", "2", '"x"'])
rows = st.lists(st.tuples(st.integers(0, 5), st.integers(100, 108), values), max_size=12)
events = st.lists(st.tuples(st.integers(0, 5), st.integers(100, 108), st.just("")), max_size=12)
whens = st.sampled_from(["any", "last", "first", "at", "event"])
conditions = st.builds(
    lambda when, some, is_not: Condition("price" if when == "event" else "plan", frozenset(some), is_not, when),
    whens,
    st.sets(st.sampled_from(["1", "2", '"x"', "null"]), min_size=1),
    st.booleans(),
)


@given(rows, rows, events, st.lists(conditions, min_size=1, max_size=3), st.sampled_from((2, 65_536)))
@law(400)
def test_conditions_hold_where_each_record_says_so(
    plans: list[Row], prices: list[Row], some: list[Row], where: list[Condition], span: int
) -> None:
    log = logged({("p", "plan"): plans, ("q", "price"): prices, ("e", "a"): some})
    expected = sorted(
        (who, tick) for who, tick, _ in some if all(holds(each, who, tick, plans, prices) for each in where)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SPAN", span)
        tests = Checks(log)
        test = Fulfilled(where, tests)
        column = log.columns.get(("e", "a"))
        found = test.of(column) if column else None
        of_visitors = [each for each in where if each.when not in ("at", "event")]
        people = Fulfilled(of_visitors, tests).visitors(np.arange(6, dtype=np.uint32)).tolist()
    records = list(zip(found.visitors.tolist(), found.ticks.tolist(), strict=True)) if found else []
    assert records == expected
    assert people == [who for who in range(6) if all(holds(each, who, 0, plans, prices) for each in of_visitors)]


def test_a_visitor_has_had_all_values_and_has_one_now() -> None:
    log = logged({("p", "plan"): [(1, 5, '"free"'), (1, 7, '"pro"'), (2, 5, '"pro"')], ("e", "a"): [(1, 6, "")]})
    some = np.array([1, 2, 3], np.uint32)

    def who(value: str, when: str, is_not: bool = False) -> list[int]:
        return Fulfilled([Condition("plan", frozenset([value]), is_not, when)], Checks(log)).visitors(some).tolist()

    assert (who('"pro"', "last"), who('"pro"', "first"), who('"free"', "any")) == ([1, 2], [2], [1])
    assert (who('"free"', "any", True), who("null", "last"), who("null", "any", True)) == ([2, 3], [3], [1, 2])
    at = Fulfilled([Condition("plan", frozenset(['"free"']), False, "at")], Checks(log))
    assert at.of(log.columns["e", "a"]).ticks.tolist() == [6]


def test_equal_conditions_share_a_test_and_a_property_is_sorted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log = logged({("p", "plan"): [(1, 5, '"free"'), (1, 5, '"pro"'), (2, 5, '"pro"')], ("e", "a"): [(1, 6, "")]})
    made: list[str] = []

    def counted(name: str) -> Any:
        function = getattr(conditions_answered, name)

        def told(*given: Any) -> Any:
            made.append(name)
            return function(*given)

        return told

    for name in ("in_order", "_test"):
        monkeypatch.setattr(conditions_answered, name, counted(name))
    tests, pro, some = Checks(log), frozenset(['"pro"']), np.array([1, 2, 3], np.uint32)
    where = [Condition("plan", pro, False, "first"), Condition("plan", pro, True, "any"), Condition("plan", pro)]
    steps = [Fulfilled([*where, *where], tests) for _ in range(32)]
    assert sorted(made) == ["_test"] * 3 + ["in_order"]
    assert {tuple(step.may(some).tolist()) for step in steps for _ in range(3)} == {(False, False, True)}
    assert sorted(made) == ["_test"] * 4 + ["in_order"]


def test_a_funnel_has_at_most_32_conditions() -> None:
    step = {"event": "buy", "where": [{"property": "plan", "is": "pro"}] * 16}
    assert len(steps_asked([step, step], SETTINGS)) == 2
    with pytest.raises(CallerError, match="steps: expected at most 32 conditions in all steps"):
        steps_asked([step, "visit", step, {**step, "where": step["where"][:1]}], SETTINGS)


def test_conditions_are_read_as_they_are_written() -> None:
    where = [
        {"property": "plan", "in": ["pro", None, 1.0], "when": "any"},
        {"property": "plan", "not": {"a": [1]}},
        {"property": "price", "is": 5, "when": "event"},
        {"property": "plan", "is": "__other__", "when": "at"},
        {"property": "geo", "is": "52.5163,13.3777"},
    ]
    found = where_asked(json.dumps(where), "where", SETTINGS)
    assert found == (
        Condition("plan", frozenset(['"pro"', "null", "1"]), False, "any"),
        Condition("plan", frozenset(['{"a":[1]}']), True, "last"),
        Condition("price", frozenset(["5"]), False, "event"),
        Condition("plan", frozenset(["__other__", '"__other__"']), False, "at"),
        Condition("geo", frozenset(['"u33db"']), False, "last"),
    )
    again = [shown_again(each) for each in found]
    assert where_asked(again, "where", SETTINGS) == found
    assert again[1:4] == [{**where[1], "when": "last"}, *where[2:4]]
    assert where_asked(None, "where", SETTINGS) == where_asked("", "where", SETTINGS) == ()
    assert wanted_asked(5, "step", SETTINGS) == Wanted("5")
    assert wanted_asked({"event": "buy", "where": where[2:3]}, "step", SETTINGS) == Wanted("buy", (found[2],))


@pytest.mark.parametrize(
    ("where", "field"),
    [
        ("plan", "w"),
        ({"property": "plan", "is": 1}, "w"),
        (["plan"], "w[0]"),
        ([{"property": "plan"}], "w[0]"),
        ([{"property": "plan", "is": 1, "in": [1]}], "w[0]"),
        ([{"property": "plan", "is": 1, "than": 2}], "w[0]"),
        ([{"property": "plan", "in": 1}], "w[0].in"),
        ([{"property": "plan", "in": []}], "w[0].in"),
        ([{"property": "plan", "in": list(range(1001))}], "w[0].in"),
        ([{"property": "plan", "is": "x" * 2000}], "w[0].is"),
        ([{"property": "plan", "is": 1, "when": "ever"}], "w[0].when"),
        ([{"property": "plan", "is": 1, "when": ["at"]}], "w[0].when"),
        ([{"is": 1}], "w[0].property"),
        ([{"property": "plan", "is": 1}] * 17, "w"),
    ],
)
def test_conditions_that_are_none_are_refused_with_their_place(where: Any, field: str) -> None:
    with pytest.raises((CallerError, HitError)) as raised:
        where_asked(where, "w", SETTINGS)
    assert raised.value.field == field

"""Properties, counted from columns: the same as by hand, and as plain dicts over any partitions."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import law
from whale.answer.properties import ANY, FIRST, LAST, Last, Property, Values, last_values, properties, values
from whale.store.contract.events import Column, Logged, Said
from whale.visitors.entries import TICKS_A_MS

Row = tuple[int, int, str]
"""Visitor, tick and value."""


def logged(said: dict[Said, Sequence[Row]]) -> Logged:
    columns: dict[Said, Column] = {}
    texts: dict[Said, list[str]] = {}
    for name, rows in said.items():
        if rows:
            known = texts[name] = list(dict.fromkeys(value for *_, value in rows))[::-1]  # numbers say nothing of order
            placed = sorted((visitor, tick, known.index(value)) for visitor, tick, value in rows)
            visitors, ticks, places = zip(*placed, strict=True)
            columns[name] = Column(
                np.array(visitors, np.uint32), np.array(ticks, np.int64), np.array(places, np.uint32)
            )
    return Logged(columns, {name: of for name, of in texts.items() if name[0] != "e"})


PLAN, PRICE = ("p", "plan"), ("q", "price")
ONE = logged(
    {
        PLAN: [(1, 10, '"free"'), (1, 20, '"pro"'), (1, 30, '"free"'), (2, 5, '"pro"'), (3, 7, "__other__")],
        PRICE: [(1, 12, "5"), (2, 9, "7")],
        ("e", "visit"): [(1, 1, ""), (4, 1, ""), (2, 9, "")],
        ("e", "buy"): [(1, 12, ""), (3, 8, "")],
    }
)
TWO = logged({PLAN: [(1, 3, '"pro"')], ("e", "buy"): [(1, 2, "")]})


def test_properties_are_listed_with_who_has_them() -> None:
    assert properties([ONE, TWO]) == [Property(*PLAN, 4, 2), Property(*PRICE, 2, 2)]
    assert properties([ONE, TWO], "buy") == [Property(*PLAN, 3, 2), Property(*PRICE, 1, 1)]
    assert properties([ONE], "nothing") == []


@pytest.mark.parametrize(
    ("when", "rows", "other"),
    [
        (ANY, [('"pro"', 3), ('"free"', 1)], 1),
        (LAST, [('"pro"', 2), ('"free"', 1)], 1),
        (FIRST, [('"pro"', 2), ('"free"', 1)], 1),
    ],
)
def test_each_visitor_counts_at_their_values(when: str, rows: list[tuple[str, int]], other: int) -> None:
    events = [("buy", 3), ("visit", 2)]
    assert values([ONE, TWO], PLAN, when, 10) == Values(4, 2, rows, other, events)
    assert values([ONE, TWO], PLAN, when, 1).rows == rows[:1]
    assert values([ONE, TWO], PLAN, when, 1).other == 2


def test_a_property_of_an_event_is_that_of_its_own_moment() -> None:
    assert values([ONE, TWO], PRICE, LAST, 10) == Values(2, 2, [("5", 1), ("7", 1)], 0, [("buy", 1), ("visit", 1)])
    assert values([ONE, TWO], PRICE, LAST, 10, "buy").rows == [("5", 1)]
    assert values([ONE, TWO], PLAN, LAST, 10, "visit").rows == [('"free"', 1), ('"pro"', 1)]


def test_the_last_value_holds_since_it_was_another_one() -> None:
    ms = TICKS_A_MS
    one = logged({PLAN: [(1, 1 * ms, "1"), (1, 2 * ms, "2"), (1, 3 * ms, "2"), (1, 4 * ms, "2")], PRICE: [(1, 9, "3")]})
    assert last_values(one) == [Last("plan", "2", 2)]
    assert last_values(logged({PLAN: [(1, ms, '"a"'), (1, ms, '"b"')]})) == [Last("plan", '"b"', 1)]


rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.sampled_from(["1", "2", '"x"'])), max_size=9)
happened = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.just("")), max_size=6)
partition = st.fixed_dictionaries({PLAN: rows, PRICE: rows, ("e", "a"): happened, ("e", "b"): happened})


@law(150)
@given(
    st.lists(partition, max_size=3), st.sampled_from([ANY, LAST, FIRST]), st.integers(1, 3), st.sampled_from(["", "a"])
)
def test_counts_are_those_of_plain_dicts(some: list[dict[Said, list[Row]]], when: str, limit: int, event: str) -> None:
    for said in (PLAN, PRICE):
        held: dict[tuple[int, int], list[tuple[int, str]]] = {}
        events: set[tuple[str, int, int]] = set()
        for place, of in enumerate(some):
            moments = {name[1]: {row[:2] for row in of[name]} for name in of if name[0] == "e"}
            mine = [row for row in of[said] if not event or _goes_with(row, said, moments[event])]
            for visitor, tick, value in mine:
                held.setdefault((place, visitor), []).append((tick, value))
            for name, when_ in moments.items():
                beside = [row for row in mine if _goes_with(row, said, when_)]
                events |= {(name, place, row[0]) for row in beside}
        chosen = {who: _chosen(timeline, when) for who, timeline in held.items()}
        counts = Counter(value for of in chosen.values() for value in of)
        order = sorted(counts, key=lambda value: (-counts[value], value))
        other = sum(bool(of.intersection(order[limit:])) for of in chosen.values())
        touched = Counter(name for name, *_ in events)
        found = values([logged(of) for of in some], said, when, limit, event)
        assert found == Values(
            len(held),
            len(order),
            [(value, counts[value]) for value in order[:limit]],
            other,
            sorted(touched.items(), key=lambda each: (-each[1], each[0])),
        )
        if when != ANY:
            assert sum(count for _, count in found.rows) + found.other == found.visitors


def _goes_with(row: Row, said: Said, moments: set[tuple[int, int]]) -> bool:
    return row[:2] in moments if said[0] == "q" else row[0] in {visitor for visitor, _ in moments}


def _chosen(timeline: list[tuple[int, str]], when: str) -> set[str]:
    if when == ANY:
        return {value for _, value in timeline}
    return {max(timeline)[1] if when == LAST else min(timeline)[1]}

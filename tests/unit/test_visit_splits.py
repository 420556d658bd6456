"""Visits and their splits, the same as by a walk through the events of each visitor; and laws of their numbers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import visits_oracle as oracle
from tests.laws import law
from tests.unit.test_visitor_sessions import column, spans
from whale.answer import ranges, streams
from whale.answer.visit_rows import ORDERS, SURE, Found, Row, added, by_name
from whale.answer.visits import Asked, Must, Part, Values, amount_of, told
from whale.visitors.entries import OTHER

EVENTS = ("buy", "leave", "view")
PAGES, SOURCES, PRICES = ('"/"', '"/a"', '"/b"'), ('"ads"', "5"), ("10", "7", '"x"')
TEXTS = {"page": PAGES, "source": SOURCES, "revenue": PRICES}
BY = ("page", "event", "entry_page", "exit_page", "source", "campaign")
END = 130

events = st.lists(st.tuples(st.integers(0, 5), st.integers(100, END), st.sampled_from(EVENTS)), max_size=25)
values = st.lists(
    st.tuples(st.integers(0, 5), st.integers(98, END + 2), st.sampled_from(sorted(TEXTS)), st.integers(0, 2)).map(
        lambda each: (*each[:3], TEXTS[each[2]][each[3] % len(TEXTS[each[2]])])
    ),
    max_size=20,
)
tests = st.lists(
    st.tuples(
        st.sampled_from(BY),
        st.frozensets(st.sampled_from([*PAGES, *SOURCES, *EVENTS, oracle.NOTHING]), min_size=1, max_size=3),
        st.booleans(),
    ),
    max_size=2,
)


def part(some: list[Any], said: list[Any], which: set[int]) -> Part:
    """Of some visitors."""
    mine = [event for event in some if event[0] in which]
    pieces = [(n, column([(who, at, 0) for who, at, name in mine if name == each])) for n, each in enumerate(EVENTS)]
    found = {"campaign": Values([], []), "event": Values([], EVENTS)}
    for name, texts in TEXTS.items():
        rows = [(who, at, texts.index(text)) for who, at, of, text in said if of == name and who in which]
        found[name] = Values([column(rows[::2]), column(rows[1::2])], texts)
    return Part(pieces, found)


def answered(
    some: list[Any], said: list[Any], asked: Asked, order: str = "visits", limit: int = 99, cut: int = 3
) -> Found:
    parts = [part(some, said, set(range(cut))), part(some, said, set(range(cut, 9)))]
    return added((told(each, asked) for each in parts), len(asked.edges) - 1, len(asked.by), order, limit)


def asked(start: int, length: int, gap: int, where: Any = (), page: bool = True, by: tuple[str, ...] = BY) -> Asked:
    edges = np.array([start, start + length, start + 2 * length], np.int64)
    return Asked(edges, gap, 2 if page else None, 0, "revenue", by, [Must(*each) for each in where])


def plain(row: Row) -> tuple[str, dict[str, int]]:
    return row.text, dict(by_name(row.numbers))


lengths = {"gap": st.integers(0, 8), "start": st.integers(95, 120), "length": st.integers(1, 15)}


@given(
    some=events,
    said=values,
    where=tests,
    page=st.booleans(),
    limit=st.integers(1, 4),
    order=st.sampled_from(ORDERS),
    cut=st.integers(0, 6),
    span=spans,
    **lengths,
)
@law(500)
def test_visits_are_those_that_a_walk_through_the_events_finds(
    some: list[Any],
    said: list[Any],
    where: Any,
    page: bool,
    limit: int,
    order: str,
    cut: int,
    span: tuple[int, int],
    gap: int,
    start: int,
    length: int,
) -> None:
    view, end = "view" if page else "", start + 2 * length
    known = [
        visit
        for visit in oracle.visits(some, said, gap, start, end)
        if all(oracle.passes(visit, *each) for each in where)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SPAN", span[0])
        patch.setattr(streams, "BITS", span[1])
        found = answered(some, said, asked(start, length, gap, where, page), order, limit, cut)
    assert by_name(found.whole) == oracle.numbers(known, view, "buy", "revenue")
    for number, (low, high) in enumerate(((start, start + length), (start + length, end))):
        begun = [visit for visit in known if low <= visit.events[0][0] < high]
        assert by_name(found.points[number]) == oracle.numbers(begun, view, "buy", "revenue")
    for by, several in zip(BY, found.rows, strict=True):
        rows = dict(plain(row) for row in several if row.text != OTHER)
        all_rows = oracle.rows(known, by, view, "buy", "revenue")
        assert len(rows) == min(limit, len(all_rows))
        assert rows.items() <= all_rows.items()
        if order != SURE:
            hidden = [row[order] for text, row in all_rows.items() if text not in rows]
            shown = [row[order] for row in rows.values()]
            assert shown == sorted(shown, reverse=True)
            assert not hidden or max(hidden) <= min(shown)
        if len(all_rows) > limit:
            assert plain(several[-1])[1] == oracle.other(known, by, rows, view, "buy", "revenue")
            assert several[-1].text == OTHER


@given(some=events, said=values, where=tests, limit=st.integers(1, 3), **lengths)
@law(200)
def test_rows_of_one_value_for_each_visit_add_up_to_the_visits(
    some: list[Any], said: list[Any], where: Any, limit: int, gap: int, start: int, length: int
) -> None:
    by = ("entry_page", "exit_page", "source", "campaign")
    found = answered(some, said, asked(start, length, gap, where, by=by), limit=limit)
    for rows in found.rows:
        total = dict.fromkeys(by_name(found.whole), 0)
        for row in rows:
            for name, number in by_name(row.numbers).items():
                total[name] += number
        assert {name: total[name] for name in total if name not in ("visitors", "converters")} == {
            name: number for name, number in by_name(found.whole).items() if name not in ("visitors", "converters")
        }


@given(some=events, said=values, where=tests, **lengths)
@law(200)
def test_a_test_and_its_contrary_share_out_the_visits(
    some: list[Any], said: list[Any], where: Any, gap: int, start: int, length: int
) -> None:
    def numbers(tests: Any) -> dict[str, int]:
        return dict(by_name(answered(some, said, asked(start, length, gap, tests, by=())).whole))

    whole = numbers(())
    for by, texts, is_not in where:
        those, others = numbers([(by, texts, is_not)]), numbers([(by, texts, not is_not)])
        for name in ("visits", "views", "bounces", "took", "converted", "goals", "worth"):
            assert those[name] + others[name] == whole[name]
        for name in ("visitors", "converters"):
            assert max(those[name], others[name]) <= whole[name] <= those[name] + others[name]


def test_what_surely_sells_comes_before_what_sold_once() -> None:
    some = [(who, 100, "view") for who in range(200)]
    said = [(who, 100, "source", '"ads"' if who < 60 else '"mail"' if who < 199 else '"luck"') for who in range(200)]
    some += [(who, 101, "buy") for who in range(0, 60, 3)] + [(199, 101, "buy"), (60, 101, "buy")]
    wanted = asked(95, 20, 8, by=("source",))
    mine = [(n, column([(who, at, 0) for who, at, name in some if name == each])) for n, each in enumerate(EVENTS)]
    texts = sorted({each[3] for each in said})
    known = Values([column([(who, at, texts.index(text)) for who, at, _, text in said])], texts)
    worth = Values([], [])
    found = added([told(Part(mine, {"source": known, "revenue": worth, "page": worth}), wanted)], 2, 1, SURE)
    assert [row.text for row in found.rows[0]] == ['"ads"', '"mail"', '"luck"']
    (ads, mail, _) = found.rows[0]
    assert 0.2 < ads.low < 20 / 60 < ads.high + 0.02 < 0.5
    assert 0 <= mail.low < 1 / 139 < mail.high


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("59.9", 59_900_000),
        ("-1", -1_000_000),
        ("0", 0),
        ('"59.9"', 0),
        ("true", 0),
        ("9000000001", 0),
        ("1e300", 0),
        ("[1]", 0),
        ("", 0),
        (OTHER, 0),
    ],
)
def test_what_a_goal_is_worth_is_a_number_that_a_metric_may_be(text: str, amount: int) -> None:
    assert amount_of(text) == amount

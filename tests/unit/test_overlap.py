"""Sets of visitors, the same as by looking at each visitor's hits; the oracle knows the words of docs/http/following.md alone."""

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.settings import DAY
from tests.contract.logs import CAPS
from tests.laws import law
from tests.unit.test_visitors_web import count, door_with, said
from tests.unit.test_whale_web import Door
from whale.answer.segments import overlap_of
from whale.answer.site_log import Log
from whale.library.sets import Reader
from whale.period import MINUTE, Range
from whale.visitors.entries import Done, entry_of

GAP = 30  # minutes


class Hit(NamedTuple):
    visitor: str
    minute: int
    event: str
    values: dict[str, str]


def is_in(asked: dict[str, Any], hits: list[Hit], start: int, end: int) -> bool:
    """Whether a visitor with these hits, in order, is in a set."""
    events = [hit for hit in hits if hit.event]
    match asked:
        case {"and": several}:
            return all(is_in(each, hits, start, end) for each in several)
        case {"or": several}:
            return any(is_in(each, hits, start, end) for each in several)
        case {"event": event}:
            return any(hit.event == event and start <= hit.minute < end for hit in events)
        case {"property": name, **rest}:
            values: list[str | None] = [hit.values[name] for hit in hits if name in hit.values]
            when = rest.get("when", "last")
            looked = values or [None]
            looked = looked if when == "any" else [looked[-1 if when == "last" else 0]]
            if "not" in rest:
                return rest["not"] not in looked
            return any(value in looked for value in rest.get("in", [rest.get("is")]))
        case {"session": by, **rest}:
            found = [place_of(each, hits, by) for each in sessions(events) if start <= each[0].minute < end]
            return any(value != rest["not"] if "not" in rest else value == rest["is"] for value in found)
        case {"cohort": event, "period": (low, high)}:
            first = next((hit.minute for hit in events if event in ("", hit.event)), None)
            return first is not None and low <= first < high
    return not is_in(asked["not"], hits, start, end)


def sessions(events: list[Hit]) -> list[list[Hit]]:
    found: list[list[Hit]] = []
    for hit in events:
        if not found or hit.minute - found[-1][-1].minute > GAP:
            found.append([])
        found[-1].append(hit)
    return found


def place_of(session: list[Hit], hits: list[Hit], by: str) -> str | None:
    if by in ("entry", "exit"):
        return session[0 if by == "entry" else -1].event
    first, last = session[0].minute, session[-1].minute
    return next((hit.values[by] for hit in hits if by in hit.values and first <= hit.minute <= last), None)


hits = st.lists(
    st.builds(
        Hit,
        st.sampled_from("vwxyz"),
        st.integers(0, 200),
        st.sampled_from(("A", "B", "")),
        st.dictionaries(st.sampled_from(("plan", "source")), st.sampled_from("pq"), max_size=2),
    ),
    max_size=25,
    unique_by=lambda hit: (hit.visitor, hit.minute),
)
value = st.sampled_from(("p", "q", None))
verbs = st.one_of(
    st.builds(lambda one: {"is": one}, value),
    st.builds(lambda one: {"not": one}, value),
    st.builds(lambda some: {"in": some}, st.lists(value, min_size=1, max_size=2)),
)
one_verb = st.one_of(st.builds(lambda one: {"is": one}, value), st.builds(lambda one: {"not": one}, value))
leaf = st.one_of(
    st.builds(lambda event: {"event": event}, st.sampled_from("AB")),
    st.builds(
        lambda verb, when: {"property": "plan", **verb, "when": when}, verbs, st.sampled_from(("any", "last", "first"))
    ),
    st.builds(lambda verb: {"session": "source", **verb}, one_verb),
    st.builds(
        lambda by, event: {"session": by, "is": event}, st.sampled_from(("entry", "exit")), st.sampled_from("AB")
    ),
)
cohort = st.builds(
    lambda event, low, length: {"cohort": event, "period": [low, low + length]},
    st.sampled_from(("A", "")),
    st.integers(0, 150),
    st.integers(1, 100),
)


def trees(of: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.recursive(
        of,
        lambda inner: st.one_of(
            st.builds(lambda one: {"not": one}, inner),
            st.builds(lambda some: {"and": some}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda some: {"or": some}, st.lists(inner, min_size=1, max_size=3)),
        ),
        max_leaves=4,
    )


def logged(door: Door, base: int, some: list[Hit]) -> None:
    """All of them in one message. base: the time of minute 0, s."""
    log = Log.of(door.store, "default", "shop")
    done = [
        Done(
            hit.visitor,
            (base + hit.minute * 60) * 1000,
            hit.event,
            {name: f'"{text}"' for name, text in hit.values.items()},
        )
        for hit in some
    ]
    mark = ("default", "ab" * 8, 0)
    door.store.add_to_log([entry_of(log.log, mark, int(door.now * 1000), done, log.hash_of)], CAPS)


@given(hits, st.lists(trees(st.one_of(leaf, cohort)), min_size=1, max_size=3), st.integers(0, 150), st.integers(1, 150))
@law(200)
def test_regions_are_those_that_looking_at_each_visitor_finds(
    some: list[Hit], asked: list[dict[str, Any]], start: int, length: int
) -> None:
    door = door_with()
    base = int(door.now) - 300 * 60
    logged(door, base, [*(Hit("nobody", -600, event, {"plan": "p", "source": "p"}) for event in "AB"), *some])
    log = Log.of(door.store, "default", "shop")

    def range_of(period: Any) -> Range:
        return Range(MINUTE, base + period[0] * 60, base + period[1] * 60)

    wanted = Reader(door.settings, range_of, lambda name: None).several(asked)
    found = overlap_of(log, wanted, range_of([start, start + length]), GAP * 60, door.now)
    regions: dict[tuple[int, ...], int] = {}
    for visitor in "vwxyz":
        mine = sorted(hit for hit in some if hit.visitor == visitor)
        if any(hit.event and start <= hit.minute < start + length for hit in mine):
            region = tuple(at for at, each in enumerate(asked) if is_in(each, mine, start, start + length))
            regions[region] = regions.get(region, 0) + 1
    assert {tuple(row["in"]): row["visitors"] for row in found["regions"]} == regions
    assert found["visitors"] == sum(regions.values())
    assert [row["visitors"] for row in found["sets"]] == [
        sum(number for region, number in regions.items() if at in region) for at in range(len(asked))
    ]


@pytest.fixture
def door() -> Door:
    return door_with()


def test_overlap_counts_each_visitor_in_one_region(door: Door) -> None:
    for visitor, event, days_ago in (("ann", "visit", 0), ("ann", "buy", 0), ("bob", "visit", 0), ("old", "buy", 40)):
        count(door, visitor, event, days_ago)
    said(door, 0, ("bob", "", {"plan": '"pro"'}), ("cy", "visit", {"price": "5"}))
    asked = '[{"event": "buy"}, {"property": "plan", "is": "pro"}]'
    found = door.get("/overlap", pk="shop", sets=asked, period="today").json
    assert found["regions"] == [
        {"in": [], "visitors": 1},
        {"in": [0], "visitors": 1},
        {"in": [1], "visitors": 1},
    ]
    assert found["visitors"] == 3
    assert found["sets"] == [
        {"set": {"event": "buy"}, "visitors": 1},
        {"set": {"property": "plan", "is": "pro"}, "visitors": 1},
    ]
    assert door.whale.overlap("shop", [{"event": "buy"}, {"property": "plan", "is": "pro"}], "today") == found
    table = door.get("/overlap", pk="shop", sets=asked, period="today", format="csv").body
    assert table == b"in,visitors\r\n,1\r\n0,1\r\n1,1\r\n"
    paid = '[{"event": "visit", "where": [{"property": "price", "is": 5, "when": "event"}]}]'
    assert door.get("/overlap", pk="shop", sets=paid, period="today").json["sets"][0]["visitors"] == 1
    began = '[{"cohort": "buy", "period": "today"}, {"cohort": "", "period": "today"}]'
    answer = door.get("/overlap", pk="shop", sets=began, period="1d:50d").json
    assert [each["visitors"] for each in answer["sets"]] == [1, 3]


def test_a_property_of_an_events_visitor_may_have_come_before_the_period(door: Door) -> None:
    door.now -= 5 * DAY
    said(door, 0, ("ann", "", {"plan": '"pro"'}))
    door.now += 5 * DAY
    for visitor in ("ann", "bob"):
        count(door, visitor, "visit")
    pro = '[{"event": "visit", "where": [{"property": "plan", "is": "pro"}]}]'
    found = door.get("/overlap", pk="shop", sets=pro, period="today").json
    assert found["regions"] == [{"in": [], "visitors": 1}, {"in": [0], "visitors": 1}]


@pytest.mark.parametrize(
    ("sets", "status", "field"),
    [
        ("", 400, "sets"),
        ("buy", 400, "sets"),
        ("[]", 400, "sets"),
        ('["buy"]', 400, "sets[0]"),
        ("[{}]", 400, "sets[0]"),
        (str([{"event": "visit"}] * 9).replace("'", '"'), 400, "sets"),
        ('[{"event": "visit", "is": 1}]', 400, "sets[0]"),
        ('[{"event": "never"}]', 404, "sets"),
        ('[{"property": "never", "is": 1}]', 404, "sets"),
        ('[{"property": "plan"}]', 400, "sets[0]"),
        ('[{"property": "plan", "is": 1, "when": "at"}]', 400, "sets[0].when"),
        ('[{"property": "plan", "is": 1, "when": "soon"}]', 400, "sets[0].when"),
        ('[{"session": "plan", "is": 1}]', 400, "sets[0].session"),
        ('[{"cohort": "visit", "period": "soon"}]', 400, "sets[0].period"),
        ('[{"and": []}]', 400, "sets[0].and"),
        ('[{"and": [{"or": [5]}]}]', 400, "sets[0].and[0].or[0]"),
        ('[{"not": 5}]', 400, "sets[0].not"),
        ("[" + '{"not": ' * 9 + '{"event": "visit"}' + "}" * 9 + "]", 400, "sets[0]" + ".not" * 8),
        (json.dumps([{"event": "visit", "where": [{"property": "never", "is": 1}] * 16}] * 2), 400, "sets[1]"),
        (json.dumps([{"event": "visit", "where": [{"property": "never", "is": 1}] * 15}] * 2), 404, "sets"),
        (json.dumps([{"or": [{"event": "visit"}] * 16}] * 3), 400, "sets[2].or[0]"),
        ('[{"or": [' + ",".join(['{"event": "visit"}'] * 33) + "]}]", 400, "sets[0].or"),
        (
            '[{"and": [' + ",".join(['{"or": [{"event": "visit"}, {"event": "visit"}]}'] * 17) + "]}]",
            400,
            "sets[0].and[16].or[0]",
        ),
    ],
)
def test_sets_that_cannot_be_read_say_why(door: Door, sets: str, status: int, field: str) -> None:
    count(door, "ann", "visit")
    answer = door.get("/overlap", pk="shop", sets=sets)
    assert (answer.status, answer.json["field"]) == (status, field)

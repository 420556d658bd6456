"""A question about a segment is answered as if nobody else had come."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import law
from tests.unit.test_overlap import Hit, hits, is_in, leaf, logged, trees
from tests.unit.test_visitors_web import count, door_with, said
from tests.unit.test_whale_web import Door
from whale.period import Span

AB = ["A", "B"]
OTHERS = [Hit("nobody", -600, event, {"plan": "p", "source": "p"}) for event in AB]
"""So that all names were logged once; the day before all other hits."""


@given(hits, trees(leaf), st.integers(0, 150), st.integers(1, 150))
@law(60)
def test_others_are_as_if_they_had_not_come(some: list[Hit], segment: dict[str, Any], start: int, length: int) -> None:
    door = door_with()
    base = int(door.now) - 300 * 60
    logged(door, base, [*OTHERS, *some])

    def left(low: int, high: int) -> Door:
        """Where those alone came who are in the segment, and one who is not."""
        several = [sorted(hit for hit in some if hit.visitor == visitor) for visitor in "vwxyz"]
        there = [each for each in several if any(hit.event and low <= hit.minute < high for hit in each)]
        mine = [hit for each in there if is_in(segment, each, low, high) for hit in each]
        alone = door_with()
        logged(alone, base, [*OTHERS, *mine])
        return alone

    def answers(whale: Any, segment: Any) -> list[Any]:
        period = Span(base + start * 60, base + (start + length) * 60, "minute")
        sets = [{"event": "A"}, {"property": "plan", "is": "p"}]
        found = whale.sessions("shop", period, by="source", segment=segment)
        return [
            {**found, "engaged_s": None},
            whale.visitors("shop", period, segment=segment),
            whale.events("shop", period, segment=segment),
            whale.funnel("shop", AB, period, segment=segment),
            whale.paths("shop", "A", period, segment=segment),
            whale.overlap("shop", sets, period, segment=segment),
        ]

    assert answers(door.whale, segment) == answers(left(start, start + length).whale, None)
    whole_day = left(-500, 1000)
    asked = {"pk": "shop", "first": "A", "by": "day", "count": 1}
    assert door.whale.retention(**asked, segment=segment) == whole_day.whale.retention(**asked)


@pytest.fixture
def door() -> Door:
    return door_with()


def test_every_question_over_http_takes_a_segment(door: Door) -> None:
    for visitor, event, days_ago in (("ann", "visit", 0), ("ann", "buy", 0), ("bob", "visit", 0), ("cy", "visit", 1)):
        count(door, visitor, event, days_ago)
    said(door, 0, ("ann", "", {"plan": '"pro"'}), ("bob", "", {"plan": '"free"'}))

    def ask(path: str, segment: str, **more: str) -> Any:
        return door.get(path, pk="shop", segment=segment, period="today", **more).json

    pro = '{"property": "plan", "is": "pro"}'
    assert (ask("/visitors", pro)["visitors"], ask("/visitors", "")["visitors"]) == (1, 2)
    assert [row["times"] for row in ask("/events", pro)["events"]] == [1, 1]
    assert ask("/funnel", pro, steps='["visit", "visit"]')["steps"][0]["visitors"] == 1
    assert ask("/sessions", pro)["sessions"] == 1
    assert ask("/paths", pro, event="visit")["occurrences"] == 1
    assert ask("/overlap", pro, sets='[{"event": "buy"}]')["regions"] == [{"in": [0], "visitors": 1}]
    by = {"pk": "shop", "segment": pro}
    assert door.get("/retention", **by, count="1").json["cohorts"][0]["visitors"] == 1
    found = door.get("/properties", **by, property="plan").json
    assert found["rows"] == [{"value": "pro", "visitors": 1}]


def test_a_funnel_that_is_compared_has_the_segment_of_each_period(door: Door) -> None:
    for visitor, event, days_ago in (
        ("ann", "visit", 0.1),
        ("ann", "visit", 1.1),
        ("bob", "visit", 1.1),
        ("ann", "buy", 0.1),
        ("bob", "buy", 1.1),
    ):
        count(door, visitor, event, days_ago)
    buyers = '{"event": "buy"}'
    asked = {"steps": '["visit", "visit"]', "compare": "previous", "period": "today"}
    found = door.get("/funnel", pk="shop", segment=buyers, **asked).json
    assert (found["steps"][0]["visitors"], found["compared"]["steps"][0]["visitors"]) == (1, 1)


@pytest.mark.parametrize(
    ("segment", "status"),
    [
        ("pro", 404),
        ('{"segment": {"a": 1}}', 400),
        ("[]", 404),
        ("{}", 400),
        ('{"event": "never"}', 404),
        ('{"property": "never", "is": 1}', 404),
    ],
)
def test_a_segment_that_there_is_not_says_so(door: Door, segment: str, status: int) -> None:
    count(door, "ann", "visit")
    answer = door.get("/visitors", pk="shop", segment=segment)
    assert (answer.status, answer.json["field"]) == (status, "segment")


JSON = {"CONTENT_TYPE": "application/json"}


def put(door: Door, name: str, set: Any, **more: Any) -> Any:
    body = json.dumps({"set": set, **more}).encode()
    return door.call("PUT", f"/segments/shop/{name}", body, headers=JSON)


def test_a_segment_is_saved_and_filters_by_its_name(door: Door) -> None:
    for visitor, event in (("ann", "visit"), ("ann", "buy"), ("bob", "visit")):
        count(door, visitor, event)
    made = put(door, "a/b", {"event": "buy"})
    shown = {"name": "a/b", "revision": 1, "set": {"event": "buy"}}
    assert (made.status, made.json) == (201, shown)
    assert (put(door, "a/b", {"event": "buy"}).status, door.get("/segments/shop").json) == (200, [shown])
    assert door.get("/segments/shop/a/b").json == door.whale.saved_segment("shop", "a/b") == shown
    assert door.get("/visitors", pk="shop", segment="a/b", period="today").json["visitors"] == 1
    assert door.whale.visitors("shop", "today", segment="a/b")["visitors"] == 1
    assert put(door, "others", {"not": {"segment": "a/b"}}).status == 201
    sets = '[{"segment": "a/b"}, {"segment": "others"}]'
    found = door.get("/overlap", pk="shop", sets=sets, period="today").json
    assert found["regions"] == [{"in": [0], "visitors": 1}, {"in": [1], "visitors": 1}]
    changed = put(door, "a/b", {"event": "visit"}, revision=1)
    assert (changed.status, changed.json["revision"]) == (200, 2)
    assert door.get("/visitors", pk="shop", segment="others", period="today").json["visitors"] == 0
    late = put(door, "a/b", {"event": "buy"}, revision=1)
    assert (late.status, late.json["code"], late.json["current"]) == (409, "conflict", changed.json)
    gone = door.call("DELETE", "/segments/shop/a/b")
    assert (gone.status, gone.body) == (204, b"")
    assert door.call("DELETE", "/segments/shop/a/b").status == door.get("/segments/shop/a/b").status == 404
    for name in ("a/b", "others"):
        answer = door.get("/visitors", pk="shop", segment=name)
        assert (answer.status, answer.json["field"]) == (404, "segment.not" if name == "others" else "segment")
    door.whale.save_segment("shop", "b", {"event": "buy"}, 0)
    assert [each["name"] for each in door.whale.segments("shop")] == ["b", "others"]
    door.whale.delete_segment("shop", "b")
    assert [each["name"] for each in door.get("/segments/shop").json] == ["others"]


def test_saved_sets_that_name_each_other_end(door: Door) -> None:
    assert put(door, "a", {"event": "visit"}).status == 201
    assert put(door, "b", {"or": [{"segment": "a"}] * 16}).status == 201
    assert put(door, "c", {"or": [{"segment": "b"}] * 3}).json["field"] == "set.or[2].or[0]"
    count(door, "ann", "visit")
    assert put(door, "loop", {"event": "visit"}).status == 201
    assert put(door, "loop", {"or": [{"segment": "loop"}] * 32}).status == 200
    answer = door.get("/visitors", pk="shop", segment="loop")
    assert (answer.status, "levels" in answer.json["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "set"),
        ({"set": {}}, 400, "set"),
        ({"set": {"segment": "none"}}, 404, "set"),
        ({"set": {"and": [{"segment": {"a": 1}}]}}, 400, "set.and[0]"),
        ({"set": {"property": "plan", "in": ["x" * 90 + str(number) for number in range(1000)]}}, 400, "set"),
        ({"set": {"event": "e"}, "revision": -1}, 400, "revision"),
        ({"set": {"event": "e"}, "revision": 1}, 409, "revision"),
        ({"set": {"event": "e"}, "colour": 1}, 400, "colour"),
    ],
)
def test_a_segment_that_cannot_be_saved_says_why(door: Door, body: Any, status: int, field: str) -> None:
    answer = door.call("PUT", "/segments/shop/a", json.dumps(body).encode(), headers=JSON)
    assert (answer.status, answer.json["field"]) == (status, field)

"""A question about a segment is answered as if nobody else had come."""

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
    [("pro", 400), ("[]", 400), ("{}", 400), ('{"event": "never"}', 404), ('{"property": "never", "is": 1}', 404)],
)
def test_a_segment_that_there_is_not_says_so(door: Door, segment: str, status: int) -> None:
    count(door, "ann", "visit")
    answer = door.get("/visitors", pk="shop", segment=segment)
    assert (answer.status, answer.json["field"]) == (status, "segment")

"""Visits of a site and what they are split by, over HTTP and in the library."""

from typing import Any

import pytest

from hail.settings import DAY
from tests.unit.test_visitors_web import count, door_with, said
from tests.unit.test_whale_web import Door
from whale.errors import CallerError

MINUTE = 60 / DAY
FORM = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
MANY: list[tuple[str, str, dict[str, str]]] = [
    ("ann", "pageview", {"page": '"/"', "source": '"news"', "campaign": '"weekly"'}),
    ("ann", "pageview", {"page": '"/bikes"', "source": '"news"', "campaign": '"weekly"'}),
    ("ann", "purchase", {"revenue": "59.9"}),
    ("ann", "purchase", {"revenue": "0.1"}),
    ("bob", "pageview", {"page": '"/"', "source": '"google"'}),
    ("bob", "pageview", {"page": '"/"'}),
    ("cy", "pageview", {"page": '"/bikes"', "source": '"google"'}),
    ("dee", "signup", {}),
]


@pytest.fixture
def door() -> Door:
    door = door_with()
    said(door, 0, *MANY)
    door.now += 1
    return door


def visits(door: Door, **asked: Any) -> Any:
    answer = door.get("/visits", pk="shop", period="today", **asked)
    assert answer.status == 200, answer.text
    return answer.json


def rows(found: Any, by: str, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in ("value", *names)) for row in found["rows"][by]]


def test_visits_are_counted_with_what_they_bought(door: Door) -> None:
    found = visits(door, goal="purchase")
    names = ("visitors", "visits", "views", "bounces", "converters", "converted", "goals", "worth", "conversion")
    assert [found[name] for name in names] == [4, 4, 5, 1, 1, 1, 2, 60, 0.25]
    assert (found["goal"], found["gap_s"], found["basis"], found["rows"]) == ("purchase", 1800, "visitor", {})
    assert [[point[name] for name in names[:4]] for point in found["points"] if point["visits"]] == [[4, 4, 5, 1]]
    assert door.whale.visits("shop", "today", goal="purchase") == found
    assert door.call("POST", "/visits", b"pk=shop&period=today&goal=purchase", headers=FORM).json == found
    without = visits(door)
    assert [without[name] for name in names] == [4, 4, 5, 1, None, None, None, None, None]


def test_one_question_splits_by_several_things(door: Door) -> None:
    found = visits(door, by="source,page,entry_page,exit_page,event", goal="purchase")
    assert list(found["rows"]) == ["source", "page", "entry_page", "exit_page", "event"]
    assert rows(found, "source", "visits", "views", "converted", "worth") == [
        ("google", 2, 3, 0, 0),
        ("news", 1, 2, 1, 60),
        (None, 1, 0, 0, 0),
    ]
    assert rows(found, "page", "visits", "views") == [("/", 2, 3), ("/bikes", 2, 2), (None, 1, 0)]
    assert rows(found, "entry_page", "visits") == [("/", 2), ("/bikes", 1), (None, 1)]
    assert rows(found, "exit_page", "visits") == [("/bikes", 2), ("/", 1), (None, 1)]
    assert rows(found, "event", "visits", "times", "views") == [
        ("pageview", 3, 5, None),
        ("purchase", 1, 2, None),
        ("signup", 1, 1, None),
    ]
    few = visits(door, by='["source"]', limit=1)
    assert rows(few, "source", "visits", "low") == [("google", 2, None), ("__other__", 2, None)]
    assert door.whale.visits("shop", "today", by=["source"], limit=1) == few


@pytest.mark.parametrize(
    ("where", "visited"),
    [
        ('[{"by":"source","is":"news"}]', 1),
        ('[{"by":"source","not":"news"}]', 3),
        ('[{"by":"source","in":["news","google"]}]', 3),
        ('[{"by":"source","is":null}]', 1),
        ('[{"by":"page","is":"/bikes"},{"by":"source","is":"google"}]', 1),
        ('[{"by":"page","not":"/bikes"}]', 2),
        ('[{"by":"exit_page","is":"/"}]', 1),
        ('[{"by":"event","is":"purchase"}]', 1),
        ('[{"by":"event","not":"purchase"}]', 3),
        ('[{"by":"term","is":"x"}]', 0),
        ("[]", 4),
    ],
)
def test_a_test_leaves_the_visits_for_which_it_holds(door: Door, where: str, visited: int) -> None:
    found = visits(door, where=where, by="event")
    assert (found["visits"], found["visitors"]) == (visited, visited)


def test_a_segment_is_of_visitors_and_a_test_of_visits(door: Door) -> None:
    count(door, "ann", "pageview", 40 * MINUTE)
    found = visits(door, segment='{"event": "purchase"}')
    assert (found["visits"], found["visitors"]) == (2, 1)
    assert visits(door, where='[{"by":"event","is":"purchase"}]')["visits"] == 1


def test_a_visit_counts_where_it_began_with_all_that_came_in_it(door: Door) -> None:
    """The clock stands at 14:35:21."""
    midnight = (14 * 60 + 35) * MINUTE
    for minutes in (-20, 5):
        count(door, "zoe", "pageview", midnight + 1 - minutes * MINUTE)
    count(door, "zoe", "purchase", midnight + 1 - 6 * MINUTE)
    for period, visited, views, converted in (("2015-06-15..2015-06-16", 1, 2, 1), ("2015-06-16..2015-06-17", 0, 0, 0)):
        found = door.get("/visits", pk="shop", period=period, goal="purchase").json
        assert [found[name] for name in ("visits", "views", "converted")] == [visited, views, converted]


def test_rows_and_points_are_tables(door: Door) -> None:
    table = door.get(
        "/visits", pk="shop", period="today", by="source,event", goal="purchase", order="converted", format="csv"
    )
    lines = table.body.decode().splitlines()
    assert lines[0].startswith("by,value,visitors,visits,views,bounces,bounce_rate,duration_s,converters,converted,")
    assert [line.split(",")[:4] for line in lines[1:]] == [
        ["source", "news", "1", "1"],
        ["source", "google", "2", "2"],
        ["source", "null", "1", "1"],
        ["event", "pageview", "3", "3"],
        ["event", "purchase", "1", "1"],
        ["event", "signup", "1", "1"],
    ]
    points = door.get("/visits", pk="shop", period="today", format="csv").body.decode().splitlines()
    assert points[0].startswith("at,visitors,visits,views")


@pytest.mark.parametrize(
    ("asked", "status", "field"),
    [
        ({"by": "plan"}, 400, "by"),
        ({"by": "source,,page"}, 400, "by"),
        ({"by": ",".join(["page"] * 17)}, 400, "by"),
        ({"goal": "purchas"}, 404, "goal"),
        ({"order": "converted"}, 400, "order"),
        ({"order": "size"}, 400, "order"),
        ({"limit": 0}, 400, "limit"),
        ({"limit": 1001}, 400, "limit"),
        ({"where": "x"}, 400, "where"),
        ({"where": '{"by":"page","is":"/"}'}, 400, "where"),
        ({"where": '[{"by":"page"}]'}, 400, "where[0]"),
        ({"where": '[{"by":"page","is":"/","not":"/"}]'}, 400, "where[0]"),
        ({"where": '[{"by":"page","was":"/"}]'}, 400, "where[0]"),
        ({"where": "[5]"}, 400, "where[0]"),
        ({"where": '[{"by":"plan","is":"/"}]'}, 400, "where[0].by"),
        ({"where": '[{"by":["page"],"is":"/"}]'}, 400, "where[0].by"),
        ({"where": '[{"by":"page","in":[]}]'}, 400, "where[0].in"),
        ({"where": '[{"by":"page","in":"/"}]'}, 400, "where[0].in"),
        ({"where": "[" + ",".join(['{"by":"page","is":"/"}'] * 17) + "]"}, 400, "where"),
        ({"segment": '{"event":"no"}'}, 404, "segment"),
        ({"period": "x"}, 400, "period"),
        ({"pk": "nobody"}, 404, "pk"),
        ({"worth": "x" * 2000}, 400, "worth"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_its_field(door: Door, asked: Any, status: int, field: str) -> None:
    answer = door.get("/visits", **{"pk": "shop", **asked})
    assert (answer.status, answer.json["field"]) == (status, field)


def test_the_library_takes_lists_and_refuses_other_things(door: Door) -> None:
    where = [{"by": "page", "is": "/bikes"}]
    assert door.whale.visits("shop", "today", by=("page",), where=where)["visits"] == 2
    for wrong in ({"by": 5}, {"by": [5]}, {"where": 5}, {"where": [{}]}):
        with pytest.raises(CallerError):
            door.whale.visits("shop", "today", **wrong)

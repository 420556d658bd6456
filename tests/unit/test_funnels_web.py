"""Funnels of sites over HTTP and in the library."""

import json
from typing import Any

import pytest

from tests.unit.test_visitors_web import count, door_with, said
from tests.unit.test_whale_web import Door
from whale.answer.ids import id_of
from whale.library.managing import Managing

JSON = {"CONTENT_TYPE": "application/json"}
PLAN = {"property": "never", "is": 1}


@pytest.fixture
def door() -> Door:
    return door_with()


def test_a_funnel_says_who_got_how_far(door: Door) -> None:
    door.now += 0.5
    for visitor, event, days_ago in (
        ("ann", "visit", 2.5),
        ("ann", "buy", 2.4),
        ("bob", "visit", 2),
        ("bob", "buy", 0.9),
        ("cy", "visit", 0.5),
        ("dee", "buy", 1),
    ):
        count(door, visitor, event, days_ago)
    found = door.get("/funnel", pk="shop", steps='["visit", "buy"]', period="1d:5d").json
    visit, buy = found["steps"]
    assert visit == {
        "event": "visit",
        "visitors": 3,
        "occurrences": 3,
        "conversion": 1.0,
        "dropped": 1,
        "open": 1,
        "median_s": None,
        "p90_s": None,
    }
    assert (buy["visitors"], buy["conversion"], buy["dropped"], buy["median_s"]) == (1, 1 / 3, 0, 8640)
    assert (found["window_s"], found["basis"], found["complete"]) == (86_400, "visitor", False)
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    asked = b'pk=shop&steps=["visit","buy"]&window=2d&period=1d:5d'
    wide = door.call("POST", "/funnel", asked, headers=form)
    assert [step["visitors"] for step in wide.json["steps"]] == [3, 2]
    assert door.whale.funnel("shop", ["visit", "buy"], "1d:5d") == found
    assert [
        step["visitors"] for step in door.whale.funnel("shop", ["visit", "visit"], "1d:5d", window=60)["steps"]
    ] == [3, 0]
    sheet = door.get("/funnel", pk="shop", steps='["visit", "buy"]', period="1d:5d", format="csv").body.decode()
    assert sheet.splitlines()[1].startswith("visit,3,3,1")


def test_steps_of_a_funnel_have_conditions(door: Door) -> None:
    some = (
        ("ann", "visit", {"plan": '"free"'}),
        ("ann", "buy", {"plan": '"pro"', "price": "5"}),
        ("bob", "visit", {}),
        ("bob", "buy", {"price": "9"}),
    )
    said(door, 0, *some)

    def counted(*steps: Any) -> list[int]:
        found = door.get("/funnel", pk="shop", steps=json.dumps(steps), period="today").json
        assert door.whale.funnel("shop", steps, "today") == found
        return [step["visitors"] for step in found["steps"]]

    pro = {"property": "plan", "is": "pro"}
    price = {"property": "price", "in": [5, 6], "when": "event"}
    assert counted("visit", {"event": "buy", "where": [price]}) == [2, 1]
    assert counted({"event": "visit", "where": [pro]}, "buy") == [1, 1]
    assert counted({"event": "visit", "where": [{**pro, "when": "at"}]}, "buy") == [0, 0]
    assert counted({"event": "visit", "where": [{"property": "plan", "not": "pro"}]}, "buy") == [1, 1]
    asked = json.dumps(["visit", {"event": "buy", "where": [price]}])
    shown = door.get("/funnel", pk="shop", steps=asked, period="today").json["steps"]
    assert "where" not in shown[0]
    assert shown[1]["where"] == [price]
    sheet = door.get("/funnel", pk="shop", steps=asked, period="today", format="csv").body.decode().splitlines()
    assert sheet[0].startswith("event,where,visitors")
    assert sheet[1].startswith("visit,,2")
    lacking = json.dumps(["visit", {"event": "buy", "where": [pro, {"property": "price", "is": 5}]}])
    unknown = door.get("/funnel", pk="shop", steps=lacking, period="today")
    assert (unknown.status, unknown.json["field"]) == (404, "steps[1].where[1].property")


@pytest.mark.parametrize(
    ("given", "status", "field"),
    [
        ({}, 400, "steps"),
        ({"steps": '["visit"]'}, 400, "steps"),
        ({"steps": json.dumps(["visit"] * 33)}, 400, "steps"),
        ({"steps": "visit"}, 400, "steps"),
        ({"steps": json.dumps([{"event": "visit", "where": [PLAN] * 11}] * 3)}, 400, "steps"),
        ({"steps": '["visit", {"a": 1}]'}, 400, "steps[1]"),
        ({"steps": '["visit", "never"]'}, 404, "steps"),
        ({"steps": '["visit", "visit"]', "window": "0"}, 400, "window"),
        ({"steps": '["visit", "visit"]', "by": "nothing"}, 404, "by"),
        ({"steps": '["visit", "visit"]', "when": "last"}, 400, "when"),
        ({"steps": '["visit", "visit"]', "by": "plan", "when": "any"}, 400, "when"),
        ({"steps": '["visit", "visit"]', "by": "plan", "limit": "0"}, 400, "limit"),
        ({"steps": '["visit", "visit"]', "by": "plan", "limit": "1001"}, 400, "limit"),
        ({"steps": '["visit", "visit"]', "compare": "other"}, 400, "compare"),
        ({"steps": '["visit", "visit"]', "window": "367d"}, 400, "window"),
        ({"steps": '["visit", "visit"]', "window": "1 day"}, 400, "window"),
        ({"steps": '["visit", "visit"]', "window": "99999999999999d"}, 400, "window"),
    ],
)
def test_a_funnel_that_cannot_be_answered_says_why(door: Door, given: dict[str, str], status: int, field: str) -> None:
    count(door, "ann", "visit")
    answer = door.get("/funnel", pk="shop", **given)
    assert (answer.status, answer.json["field"]) == (status, field)
    assert answer.json["code"] == (
        "bad_request" if status == 400 else "not_found" if field == "by" else "unknown_event"
    )


def funnel(door: Door, *steps: Any, **more: str) -> Any:
    return door.get("/funnel", site="shop", steps=json.dumps(steps), **{"period": "1d:5d", **more}).json


def test_a_funnel_is_split_by_a_property_and_adds_up(door: Door) -> None:
    some = (
        ("ann", "visit", {"plan": '"free"'}),
        ("ann", "buy", {"plan": '"pro"'}),
        ("bob", "visit", {"plan": '"pro"'}),
        ("cy", "visit", {"plan": '"free"'}),
        ("cy", "buy", {}),
        ("dee", "visit", {}),
    )
    said(door, 0, *some)

    def counted(**more: str) -> list[tuple[Any, list[int]]]:
        found = funnel(door, "visit", "buy", by="plan", **more)
        return [(row["value"], [step["visitors"] for step in row["steps"]]) for row in found["split"]]

    assert counted() == [("pro", [2, 1]), ("free", [1, 1]), (None, [1, 0])]
    assert counted(when="first") == [("free", [2, 2]), ("pro", [1, 0]), (None, [1, 0])]
    assert counted(limit="1") == [("pro", [2, 1]), ("__other__", [2, 1])]
    sheet = door.get(
        "/funnel", pk="shop", steps='["visit", "buy"]', by="plan", period="today", format="csv"
    ).body.decode()
    assert [line.split(",")[:3] for line in sheet.splitlines()[:4]] == [
        ["value", "event", "visitors"],
        ["", "visit", "4"],
        ["", "buy", "2"],
        ["pro", "visit", "2"],
    ]
    assert door.whale.funnel("shop", ["visit", "buy"], "1d:5d", by="plan") == funnel(door, "visit", "buy", by="plan")


def test_a_funnel_is_split_by_the_source_of_the_session_in_which_each_visitor_began(door: Door) -> None:
    some = (
        ("ann", "land", {"source": '"ads"'}),
        ("ann", "visit", {}),
        ("ann", "buy", {"source": '"mail"'}),
        ("bob", "visit", {"source": '"mail"'}),
        ("cy", "visit", {}),
    )
    said(door, 0, *some)
    door.now += 3600
    said(door, 1, ("cy", "buy", {"source": '"ads"'}))
    found = funnel(door, "visit", "buy", by="source", when="session")
    assert [(row["value"], [step["visitors"] for step in row["steps"]]) for row in found["split"]] == [
        ("ads", [1, 1]),
        ("mail", [1, 0]),
        (None, [1, 1]),
    ]


def test_a_funnel_has_a_rate_over_time_and_another_period_beside_it(door: Door) -> None:
    for visitor, event, days_ago in (
        ("ann", "visit", 3.1),
        ("ann", "buy", 3),
        ("bob", "visit", 3.2),
        ("cy", "visit", 1.1),
        ("cy", "buy", 1),
    ):
        count(door, visitor, event, days_ago)
    found = funnel(door, "visit", "buy", rate="1", period="last_2d", compare="previous")
    assert [step["visitors"] for step in found["steps"]] == [1, 1]
    assert found["rate"] == [[1434326400000, None], [1434412800000, 1.0]]
    compared = found["compared"]
    assert (compared["with"], compared["before"]["start"]) == ("previous", "2015-06-13T00:00:00Z")
    assert [step["visitors"] for step in compared["steps"]] == [2, 1]
    assert found == door.whale.funnel("shop", ["visit", "buy"], "last_2d", rate=True, compare="previous")
    hours = funnel(door, "visit", "buy", rate="1h", period="last_2d")["rate"]
    assert [at - hours[0][0] for at, _ in hours] == [hour * 3_600_000 for hour in range(48)]
    assert funnel(door, "visit", "buy", rate="1d", period="last_2d")["rate"] == found["rate"]
    for wrong in ("often", "1d:7d", "0", "-1d", "1s"):
        answer = door.get("/funnel", pk="shop", steps='["visit", "buy"]', rate=wrong)
        assert (answer.status == 200) is (wrong == "0"), answer
        assert wrong == "0" or answer.json["field"] == "rate"
    asked = {"pk": "shop", "steps": '["visit", "buy"]', "period": "last_2d", "compare": "previous", "format": "csv"}
    sheet = door.get("/funnel", **asked).body.decode().splitlines()
    assert [sheet[0].split(",")[0], *(line.split(",")[0] for line in sheet[1:])] == [
        "period",
        "",
        "",
        "previous",
        "previous",
    ]


def test_events_may_be_named_by_their_ids(door: Door) -> None:
    count(door, "ann", "visit")
    count(door, "ann", id_of("visit"))
    count(door, "ann", "buy")
    found = funnel(door, id_of("buy"), id_of("visit"))
    assert [step["event"] for step in found["steps"]] == ["buy", id_of("visit")]


def test_an_event_that_was_never_logged_names_those_that_it_is_near_to(door: Door) -> None:
    count(door, "ann", "visit")
    unknown = door.get("/funnel", site="shop", steps='["visit", "vist"]')
    assert (unknown.status, unknown.json["code"], unknown.json["near"]) == (404, "unknown_event", ["visit"])
    assert "did you mean 'visit'?" in unknown.json["detail"]
    assert funnel(door, "visit", "quite else")["near"] == []


def test_a_site_may_be_called_so(door: Door) -> None:
    count(door, "ann", "visit")
    for path in ("/visitors", "/events", "/properties", "/visitor/ann"):
        assert door.get(path, site="shop").json == door.get(path, pk="shop").json
    twice = door.get("/events", site="shop", pk="shop")
    assert (twice.status, twice.json["field"]) == (400, "pk")
    assert door.call("DELETE", "/visitor/ann", query="site=shop").status == 200


def put(door: Door, name: str, steps: list[Any], **more: Any) -> Any:
    return door.call("PUT", f"/funnels/shop/{name}", json.dumps({"steps": steps, **more}).encode(), headers=JSON)


def test_a_funnel_is_saved_and_asked_for_by_its_name(door: Door) -> None:
    for event, days_ago in (("visit", 2.5), ("buy", 1)):
        count(door, "ann", event, days_ago)
    steps = ["visit", {"event": "buy", "where": [{"property": "plan", "not": "pro", "when": "any"}]}]
    made = put(door, "a/b", steps, window="2d")
    shown = {"name": "a/b", "revision": 1, "steps": steps, "window_s": 172_800}
    assert (made.status, made.json) == (201, shown)
    assert (put(door, "a/b", steps, window="2d").status, door.get("/funnels/shop").json) == (200, [shown])
    assert door.get("/funnels/shop/a/b").json == door.whale.saved_funnel("shop", "a/b") == shown
    said(door, 0, ("bob", "visit", {"plan": '"pro"'}))
    found = door.get("/funnel", site="shop", name="a/b", period="1d:5d").json
    assert (found["name"], found["revision"], [step["visitors"] for step in found["steps"]]) == ("a/b", 1, [2, 1])
    assert door.whale.funnel("shop", name="a/b", period="1d:5d") == found
    assert funnel_named(door, "a/b", window="1d") == [2, 0]
    changed = put(door, "a/b", ["buy", "visit"], revision=1)
    assert (changed.status, changed.json["revision"], changed.json["window_s"]) == (200, 2, 86_400)
    late = put(door, "a/b", ["visit", "visit"], revision=1)
    assert (late.status, late.json["code"], late.json["current"]) == (409, "conflict", changed.json)
    assert funnel_named(door, "a/b") == [1, 0]
    gone = door.call("DELETE", "/funnels/shop/a/b")
    assert (gone.status, gone.body) == (204, b"")
    assert door.call("DELETE", "/funnels/shop/a/b").status == door.get("/funnels/shop/a/b").status == 404
    assert door.get("/funnel", pk="shop", name="a/b").json["field"] == "name"
    assert (door.get("/funnels/shop").json, door.whale.funnels("shop")) == ([], [])


def funnel_named(door: Door, name: str, **more: str) -> list[int]:
    found = door.get("/funnel", site="shop", name=name, period="1d:5d", **more).json
    return [step["visitors"] for step in found["steps"]]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"steps": ["visit"]}, 400, "steps"),
        ({"steps": ["visit", "buy"], "window": "0"}, 400, "window"),
        ({"steps": ["visit", "buy"], "revision": -1}, 400, "revision"),
        ({"steps": ["visit", "buy"], "revision": 1}, 409, "revision"),
        ({"steps": ["visit", "buy"], "colour": 1}, 400, "colour"),
        ({"steps": [{"event": "e", "where": [{"property": "p", "in": ["x" * 1000] * 66}]}] * 2}, 201, None),
        (
            {"steps": [{"event": "e", "where": [{"property": "p", "in": [f"{i:01000}" for i in range(66)]}]}] * 2},
            400,
            "steps",
        ),
    ],
)
def test_what_cannot_be_saved_says_why(door: Door, body: Any, status: int, field: str | None) -> None:
    answer = door.call("PUT", "/funnels/shop/a", json.dumps(body).encode(), headers=JSON)
    assert (answer.status, answer.json.get("field")) == (status, field)


def test_saved_funnels_are_of_a_site_and_go_with_it(door: Door) -> None:
    assert door.call("PUT", "/funnels/other/a", b'{"steps": ["a", "b"]}', headers=JSON).status == 404
    for number in range(50):
        assert put(door, str(number), ["a", "b"]).status == 201
    assert (put(door, "more", ["a", "b"]).json["field"], put(door, "0", ["a", "c"]).status) == ("name", 200)
    door.whale.reset("shop")
    assert len(door.store.saved("default", "shop", "funnels")) == 50
    together = door.get("/funnel", pk="shop", name="0", steps='["a", "b"]')
    assert (together.status, together.json["field"]) == (400, "name")
    account = door.store.account_with("default")
    assert account
    managing = Managing(door.store, door.now, bytes, "a test")
    managing.remove_site(account, managing.site(account, "shop"))
    assert door.store.saved("default", "shop", "funnels") == {}

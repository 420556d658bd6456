"""Visitors of sites over HTTP and in the library: who came, what happened, what one did; ids are joined, and a visitor is erased."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from hail.hit import HitError
from hail.settings import DAY
from tests.contract.logs import CAPS
from tests.servers import wait_until
from tests.unit.test_whale_web import Door
from tests.wsgi import Answer
from whale.accounts import Act, Site
from whale.answer import log_reading
from whale.answer.site_log import Log
from whale.errors import CallerError, NotFound
from whale.store.contract.identities import HOLDS_AFTER_MS
from whale.turns import Turns
from whale.visitors.entries import Done, entry_of

ADMIN, WRITE, READ = "a" * 16, "w" * 16, "r" * 16
KEYS = {"write_key": WRITE, "read_key": READ, "admin_key": ADMIN}
ODD = "é/ü ?{}"


def door_with(**settings: str) -> Door:
    """A site `shop` whose log holds since 100 days. Its clock is that of the store."""
    door = Door(visitor_log="1", **settings)
    store = door.store
    store.events._clock = lambda: door.now
    site = Site("default", "shop")
    store.add_entry(site, Act(0, "a test", "add site", "default", "shop"))
    store.begin_log(site, after_ms=-100 * DAY * 1000)
    return door


@pytest.fixture
def door() -> Door:
    return door_with()


def count(door: Door, visitor: str, event: str, days_ago: float = 0) -> None:
    door.whale.count_hit({"pk": "shop", "visitor": visitor, "event": event, "at": door.now - days_ago * DAY})


def erase(door: Door, visitor: str, **headers: str) -> Answer:
    path = f"/visitor/{visitor}".encode().decode("latin-1")
    return door.call("DELETE", path, query="pk=shop", headers=headers)


def test_of_large_questions_four_wait_and_who_comes_then_is_told(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    count(door, "ann", "visit")
    monkeypatch.setattr(log_reading, "_turns", Turns(0, "too many large questions at once"))
    with log_reading._turns.turn(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(door.get, "/events", pk="shop").result().status == 200  # it is small
        monkeypatch.setattr(log_reading, "MANY", 1)
        for path, query in (("/events", {}), ("/sessions", {}), ("/funnel", {"steps": '["visit", "visit"]'})):
            answer = pool.submit(door.get, path, pk="shop", **query).result()
            assert (answer.status, answer.json["code"]) == (503, "unavailable")
            assert answer.headers["Retry-After"] == "1"
    assert door.get("/events", pk="shop").status == 200


def test_visitors_are_counted_once_in_a_period_and_once_in_each_bucket(door: Door) -> None:
    for visitor, days_ago in (("ann", 20), ("ann", 2), ("bob", 2), ("bob", 1), ("bob", 1), ("cy", 0)):
        count(door, visitor, "visit", days_ago)
    found = door.get("/visitors", pk="shop", period="1d:2d").json
    assert {name: found[name] for name in ("visitors", "new", "returning", "is_incomplete")} == {
        "visitors": 3,
        "new": 2,
        "returning": 1,
        "is_incomplete": False,
    }
    assert found["points"] == [
        {"at": "2015-06-15T00:00:00+00:00", "visitors": 2, "new": 1, "returning": 1},
        {"at": "2015-06-16T00:00:00+00:00", "visitors": 1, "new": 0, "returning": 1},
        {"at": "2015-06-17T00:00:00+00:00", "visitors": 1, "new": 1, "returning": 0},
    ]
    assert found["since"].startswith("2015-03-09T")
    assert door.get("/visitors", pk="shop", period="1d:40d").json["new"] == 3
    assert door.whale.visitors("shop", "1d:2d") == found


def test_days_are_those_of_the_zone_that_is_asked(door: Door) -> None:
    count(door, "ann", "visit", 0.5)
    in_tokyo = door.get("/visitors", pk="shop", period="today", tz="Asia/Tokyo").json
    assert (in_tokyo["visitors"], in_tokyo["points"][0]["at"]) == (1, "2015-06-17T00:00:00+09:00")


def test_events_are_listed_with_how_often_and_by_how_many(door: Door) -> None:
    for visitor, event in (("ann", "visit"), ("ann", "visit"), ("bob", "visit"), ("bob", "buy"), ("bob", "é")):
        count(door, visitor, event)
    found = door.get("/events", pk="shop", period="today").json
    assert [(row["event"], row["times"], row["visitors"]) for row in found["events"]] == [
        ("visit", 3, 2),
        ("buy", 1, 1),
        ("é", 1, 1),
    ]
    assert found["events"][0]["last"] == "2015-06-17T14:35:20+00:00"
    assert door.get("/events", pk="shop", period="yesterday").json["events"] == []
    assert door.whale.events("shop", "today") == found


def test_a_visitor_has_a_history(door: Door) -> None:
    for event, days_ago in (("visit", 3), ("buy", 1), ("visit", 0)):
        count(door, ODD, event, days_ago)
    found = door.get(f"/visitor/{ODD}".encode().decode("latin-1"), pk="shop", limit="2").json
    assert (found["visitor"], found["more"]) == (ODD, 1)
    assert found["events"] == [
        {"at": "2015-06-17T14:35:20+00:00", "event": "visit"},
        {"at": "2015-06-16T14:35:20+00:00", "event": "buy"},
    ]
    nobody = door.get("/visitor/nobody", pk="shop")
    assert (nobody.status, nobody.json["field"]) == (404, "visitor")
    assert door.whale.visitor("shop", ODD, 2) == found


def said(door: Door, seq: int, *hits: tuple[str, str, dict[str, str]]) -> None:
    """A message that brings properties: of each hit the visitor, the event and JSON by name. `price` is listed."""
    log = Log.of(door.store, "default", "shop")
    now_ms = int(door.now * 1000)
    done = [Done(visitor, now_ms + place, event, properties) for place, (visitor, event, properties) in enumerate(hits)]
    listed = replace(log.log, listed=frozenset(["price"]))
    door.store.add_to_log([entry_of(listed, ("default", "ab" * 8, seq), now_ms, done, log.hash_of)], CAPS)


def test_properties_are_listed_and_their_values_counted(door: Door) -> None:
    some = (
        ("ann", "", {"plan": '"free"'}),
        ("ann", "buy", {"plan": '"=pro"', "price": "5"}),
        ("bob", "visit", {"plan": '{"a":1}'}),
    )
    said(door, 0, *some)
    found = door.get("/properties", pk="shop").json
    assert found["properties"] == [
        {"property": "plan", "of": "visitor", "visitors": 2, "values": 3},
        {"property": "price", "of": "event", "visitors": 1, "values": 1},
    ]
    assert (found["since"][:10], found["is_incomplete"]) == ("2015-03-09", False)
    assert door.whale.properties("shop") == found
    one = door.get("/properties", pk="shop", property="plan").json
    assert one["rows"] == [{"value": "=pro", "visitors": 1}, {"value": {"a": 1}, "visitors": 1}]
    assert one["events"] == [{"event": "buy", "visitors": 1}, {"event": "visit", "visitors": 1}]
    assert (one["property"], one["of"], one["visitors"], one["values"]) == ("plan", "visitor", 2, 2)
    assert door.whale.properties("shop", "plan") == one
    few = door.get("/properties", pk="shop", property="plan", when="any", limit="1").json["rows"]
    assert few == [{"value": "=pro", "visitors": 1}, {"value": "__other__", "visitors": 2}]
    first = door.get("/properties", pk="shop", property="plan", when="first", event="buy").json["rows"]
    assert first == [{"value": "free", "visitors": 1}]
    assert door.get("/properties", pk="shop", event="visit").json["properties"] == [
        {"property": "plan", "of": "visitor", "visitors": 1, "values": 1}
    ]
    assert door.get("/properties", pk="shop", property="price").json["of"] == "event"
    assert door.get("/properties", pk="shop", format="csv").body == (
        b"property,of,visitors,values\r\nplan,visitor,2,3\r\nprice,event,1,1\r\n"
    )
    table = door.get("/properties", pk="shop", property="plan", format="csv").body
    assert table == b'value,visitors\r\n\'=pro,1\r\n"{""a"":1}",1\r\n'
    for field, wrong in (("property", "none"), ("event", "none")):
        assert (door.get("/properties", **{"pk": "shop", field: wrong}).status) == 404
    for field, more in (
        ("when", {"when": "any"}),
        ("limit", {"limit": "5"}),
        ("of", {"of": "event"}),
        ("when", {"property": "plan", "when": "never"}),
        ("of", {"property": "plan", "of": "nobody"}),
        ("limit", {"property": "plan", "limit": "0"}),
        ("event", {"event": "e" * 10_000}),
    ):
        wrong = door.get("/properties", **{"pk": "shop", **more})
        assert (wrong.status, wrong.json["field"]) == (400, field)
    assert door.get("/properties", pk="shop", property="price", of="visitor").status == 404
    for more in ({"of": "nobody"}, {"when": "never"}):
        with pytest.raises(CallerError):
            door.whale.properties("shop", "plan", **more)


def test_properties_come_with_hits(door: Door) -> None:
    hit = {"pk": "shop", "visitor": "ann", "event": "buy", "properties": {"plan": {"a": [1, None]}, "é": "ü"}}
    door.whale.count_hit({**hit, "at": door.now})
    found = door.get("/properties", pk="shop", property="plan").json
    assert (found["of"], found["rows"]) == ("visitor", [{"value": {"a": [1, None]}, "visitors": 1}])
    assert door.get("/properties", pk="shop", property="é").json["rows"] == [{"value": "ü", "visitors": 1}]


def test_a_visitor_has_properties_and_is_exported(door: Door) -> None:
    said(
        door, 0, ("ann", "", {"plan": '"free"'}), ("ann", "buy", {"plan": '"pro"', "price": "[5]"}), ("bob", "buy", {})
    )
    found = door.get("/visitor/ann", pk="shop").json
    assert found["properties"] == [{"property": "plan", "value": "pro", "since": "2015-06-17T14:35:20.001+00:00"}]
    assert found["events"] == [{"at": "2015-06-17T14:35:20.001+00:00", "event": "buy", "properties": {"price": [5]}}]
    count(door, "ann", "visit")
    wait_until(lambda: len(door.get("/spy").json) == 1, what="the spy")
    answer = door.get("/visitor/ann", pk="shop", export="true")
    whole = answer.json
    assert {name: whole[name] for name in ("site", "visitor", "ids", "is_incomplete")} == {
        "site": "shop",
        "visitor": "ann",
        "ids": ["ann"],
        "is_incomplete": False,
    }
    assert [row["event"] for row in whole["events"]] == ["visit", "buy"]
    assert [(row["property"], row["value"]) for row in whole["properties"]] == [("plan", "free"), ("plan", "pro")]
    assert [hit["event"] for hit in whole["last_hits"]] == ["visit"]
    door.whale.count_hit({"pk": ["blog", "drafts"], "visitor": "ann", "event": "read"})
    wait_until(lambda: len(door.get("/spy").json) == 2, what="the spy")
    assert [hit["event"] for hit in door.get("/visitor/ann", pk="shop", export="true").json["last_hits"]] == ["visit"]
    assert "attachment" in answer.headers["Content-Disposition"]
    assert door.whale.export_visitor("shop", "ann") == whole
    assert door.get("/visitor/nobody", pk="shop", export="true").status == 404


def test_an_export_of_many_events_is_whole(door: Door) -> None:
    said(door, 0, *(("ann", f"e{number % 7}", {"plan": str(number)}) for number in range(2_001)))
    whole = door.get("/visitor/ann", pk="shop", export="true").json
    assert (len(whole["events"]), [row["value"] for row in whole["properties"]]) == (2_001, [*range(2_001)])


def identify(door: Door, fields: Any, **headers: str) -> Answer:
    kind = {"CONTENT_TYPE": "application/json"}
    return door.call("POST", "/identify", json.dumps(fields).encode(), headers={**kind, **headers})


def test_two_ids_become_one_visitor_for_what_comes_later(door: Door) -> None:
    count(door, "phone", "visit")
    answer = identify(door, {"pk": "shop", "anonymous": "phone", "known": "anna"})
    assert (answer.status, answer.json) == (200, {"joined": True, "why": "joined"})
    assert door.whale.identify("shop", "phone", "anna") == {"joined": True, "why": "already"}
    answer = identify(door, {"site": "shop", "anonymous": "phone", "known": "anna"})
    assert (answer.status, answer.json["why"]) == (200, "already")
    both = identify(door, {"site": "shop", "pk": "shop", "anonymous": "phone", "known": "anna"})
    assert (both.status, both.json["field"]) == (400, "pk")
    assert door.whale.identify("shop", "phone", "bert") == {"joined": False, "why": "other_known"}
    door.now += HOLDS_AFTER_MS / 1000 + 1
    count(door, "anna", "buy")
    found = door.whale.visitor("shop", "anna")
    assert (found["visitor"], [each["event"] for each in found["events"]]) == ("phone", ["buy", "visit"])


def test_an_erased_visitor_is_nowhere_any_more(door: Door) -> None:
    for visitor in ("phone", "Anna", "bob"):
        count(door, visitor, "visit")
    door.whale.identify("shop", "phone", "Anna")
    wait_until(lambda: len(door.get("/spy").json) == 3, what="the spy")
    answer = erase(door, "Anna")
    assert (answer.status, answer.json) == (200, {"purged": True, "aof": "none"})
    assert door.get("/visitor/Anna", pk="shop").status == door.get("/visitor/phone", pk="shop").status == 404
    assert door.get("/visitors", pk="shop", period="today").json["visitors"] == 1
    assert {trace.get("visitor") for trace in door.get("/spy").json} == {"bob"}
    count(door, "Anna", "late")  # accepted within the next 5 s
    assert door.get("/visitor/Anna", pk="shop").status == 404
    assert erase(door, "never seen").json == {"purged": True, "aof": "none"}


def test_hits_of_an_erased_visitor_that_are_counted_later_are_not_shown(door: Door) -> None:
    count(door, "phone", "visit")
    door.whale.identify("shop", "phone", "anna")
    erase(door, "phone")
    for visitor in ("phone", "anna", "bob"):  # accepted within the next 5 s
        count(door, visitor, "late")
    door.now += HOLDS_AFTER_MS / 1000 + 1
    count(door, "anna", "new")
    wait_until(lambda: len(door.get("/spy", visitor="anna").json) == 1, what="the spy")
    shown = [(trace["visitor"], trace["event"]) for trace in door.get("/spy").json]
    assert sorted(shown) == [("anna", "new"), ("bob", "late")]
    assert door.get("/spy", visitor="phone").json == []


def test_what_cannot_be_answered_says_why(door: Door) -> None:
    assert door.get("/visitors").json["field"] == "pk"
    unknown = door.get("/visitors", pk="blog")
    assert (unknown.status, unknown.json["field"]) == (404, "pk")
    assert door.get("/visitors", pk='["shop","shoes"]').status == 400
    assert door.get("/visitors", pk="shop", period="soon").json["field"] == "period"
    assert door.get("/visitor/ann", pk="shop", limit="10001").json["field"] == "limit"
    assert door.call("DELETE", "/visitor/ann").json["field"] == "pk"
    assert erase(door, "v" * 10_000).json["field"] == "visitor"
    assert identify(door, {"pk": "shop", "anonymous": "phone"}).json["field"] == "known"
    assert identify(door, {"pk": "shop", "anonymous": "", "known": "anna"}).json["field"] == "anonymous"
    assert identify(door, ["shop"]).status == 400
    with pytest.raises(NotFound):
        door.whale.events("blog")
    with pytest.raises(CallerError):
        door.whale.visitor("shop", "ann", 0)
    with pytest.raises(HitError):
        door.whale.erase_visitor("shop", "")


def test_each_route_asks_for_its_key() -> None:
    door = door_with(**KEYS)
    bearer = {key: {"HTTP_AUTHORIZATION": f"Bearer {key}"} for key in (ADMIN, WRITE, READ)}
    ids = {"pk": "shop", "anonymous": "phone", "known": "anna"}
    assert [identify(door, ids, **bearer[key]).status for key in (READ, WRITE)] == [401, 200]
    assert [erase(door, "ann", **bearer[key]).status for key in (READ, WRITE, ADMIN)] == [401, 401, 200]
    for path in ("/visitors", "/events", "/properties", "/visitor/phone"):
        found = [door.call("GET", path, query="pk=shop", headers=bearer[key]).status for key in (WRITE, READ)]
        assert found[0] == 401
        assert found[1] in (200, 404)


@pytest.mark.parametrize("tz", ["America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_questions_of_the_log_are_answered_in_any_zone_as_far_back_as_it_is_kept(tz: str) -> None:
    """Counts of hours are kept for some days only; the log knows the times."""
    door = door_with(periods="((900, 86400), (86400, 86400*400))")
    for days_ago in (90, 89.9, 40, 1):
        count(door, f"v{days_ago}", "visit", days_ago)
        count(door, f"v{days_ago}", "buy", days_ago - 0.01)
    asked = {"pk": "shop", "tz": tz}
    assert door.get("/visitors", period="1d:95d", **asked).json["visitors"] == 4
    assert door.get("/visitors", start="2015-03-19", finish="2015-03-21", interval="1m", **asked).json["visitors"] == 2
    steps = {"steps": '["visit","buy"]', "period": "1d:45d", "rate": "1h", "compare": "previous"}
    found = door.get("/funnel", **steps, **asked).json
    assert [step["visitors"] for step in found["steps"]] == [2, 2]
    assert [step["visitors"] for step in found["compared"]["steps"]] == [2, 2]
    assert len(found["rate"]) > 1000
    sessions = door.get("/sessions", period="1d:95d", **asked).json
    assert (sessions["sessions"], sessions["engaged_s"]) == (4, None)
    assert (
        sum(cohort["visitors"] for cohort in door.get("/retention", by="month", count="4", **asked).json["cohorts"])
        == 4
    )
    for path, more in (
        ("/paths", {"event": "visit"}),
        ("/overlap", {"sets": '[{"event":"buy"}]'}),
        ("/visitors/recent", {}),
    ):
        assert door.get(path, period="1d:95d", segment='{"event":"buy"}', **more, **asked).status == 200

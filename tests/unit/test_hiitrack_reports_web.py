"""HiiTrack's reports: their shapes, ids and names in addresses, who may, and bad input. The seed's own cases are in tests/integration."""

import base64
import json
from typing import Any

import pytest

from tests.unit.test_hiitrack_events_web import account_of, key_of
from tests.unit.test_hiitrack_web import KEYS, NOW, PASSWORD, Server
from whale.answer import hiitrack
from whale.answer.event_counts import Split, split_of
from whale.answer.ids import id_of, id_of_value
from whale.web import make_app

DAY = 86_400
A, B, C = (id_of(name) for name in "abc")
TODAY = int(NOW) // DAY * DAY


@pytest.fixture
def server() -> Server:
    found = Server(VISITOR_LOG="1")
    found.made("ann", "ben")
    found.bucket("ann", "home")
    return found


def did(server: Server, visitor: str, *events: str) -> None:
    """One after the other, and a second later."""
    for event in events:
        answer = server.ask("POST", f"/ann/home/event/{event}", "ann", {"visitor_id": visitor})
        assert answer.status == 200, answer
        server.now += 1


def has(server: Server, visitor: str, name: str, value: Any) -> None:
    message = base64.b64encode(json.dumps([[], [[name, value]]]).encode()).decode()
    answer = server.ask("GET", "/ann/home/batch", "ann", query=f"message={message}&visitor_id={visitor}")
    assert answer.status == 200, answer


def report(server: Server, path: str, query: str = "") -> Any:
    answer = server.ask("GET", f"/ann/home/{path}", "ann", query=query)
    assert answer.status == 200, answer
    return answer.json


def refused(server: Server, path: str, query: str = "") -> tuple[int, str, str]:
    answer = server.ask("GET", f"/ann/home/{path}", "ann", query=query)
    return answer.status, answer.json["code"], answer.json.get("field", "")


def test_an_event_is_reported_with_those_that_came_before(server: Server) -> None:
    did(server, "v1", "a", "b", "b")
    did(server, "v2", "b")
    has(server, "v1", "plan", "pro")
    found = report(server, "event/b")
    assert found == {
        "id": B,
        "name": "b",
        "total": 3,
        "unique_total": 2,
        "path": {A: 2, B: 1},
        "unique_path": {A: 1, B: 1},
        "properties": {id_of("plan"): "plan"},
        "since": "2027-01-15T08:00:00+00:00",
        "is_incomplete": False,
    }
    assert report(server, f"event_id/{B}") == found


def test_a_property_splits_an_event_by_each_value_that_a_visitor_ever_had(server: Server) -> None:
    did(server, "v1", "a", "b")
    did(server, "v2", "b")
    for visitor, value in (("v1", "free"), ("v1", "pro"), ("v2", "pro"), ("v3", 7)):
        has(server, visitor, "plan", value)
    free, pro, seven = (id_of_value("plan", json.dumps(value)) for value in ("free", "pro", 7))
    found = report(server, "event/b", "property=plan")
    assert found["values"] == {pro: "pro", seven: 7, free: "free"}
    assert found["totals"] == {pro: 2, seven: 0, free: 1}
    assert found["unique_totals"] == {pro: 2, seven: 0, free: 1}
    assert found["paths"] == found["unique_paths"] == {pro: {A: 1}, seven: {}, free: {A: 1}}
    assert "total" not in found
    few = report(server, "event/b", "property=plan&limit=1")
    assert few["values"] == {pro: "pro", "__other__": "__other__"}
    assert few["totals"] == {pro: 2, "__other__": 1}


def test_a_report_by_days_has_the_first_ever_as_unique_and_takes_the_bucket_of_its_start(server: Server) -> None:
    server.now = TODAY - DAY + 60
    assert server.ask("DELETE", "/ann/home", "ann").status == 200
    server.bucket("ann", "home")
    server.now = TODAY - 10
    did(server, "v1", "a", "b")
    server.now = TODAY + 3600
    did(server, "v1", "b")
    did(server, "v2", "a", "b")
    found = report(server, "event/b", f"start={TODAY - 3600}&interval=day")
    assert found["total"] == [[TODAY - DAY, 1], [TODAY, 2]]
    assert found["unique_total"] == [[TODAY - DAY, 1], [TODAY, 1]]
    assert found["path"] == {A: [[TODAY - DAY, 1], [TODAY, 2]], B: [[TODAY, 1]]}
    assert found["unique_path"] == {A: [[TODAY - DAY, 1], [TODAY, 1]], B: [[TODAY, 1]]}
    late = report(server, "event/b", f"start={TODAY + 10}&interval=hour")
    assert (late["total"], late["unique_total"]) == ([[TODAY + 3600, 2]], [[TODAY + 3600, 1]])
    none = report(server, "event/b", f"start={TODAY - DAY}&finish={TODAY - 7200}&interval=hour")
    assert (none["total"], none["unique_total"], none["path"]) == ([], [], {})


def test_days_of_a_report_are_those_of_the_zone_that_is_asked(server: Server) -> None:
    server.now = TODAY + 12 * 3600
    did(server, "v1", "a")
    found = report(server, "event/a", f"start={TODAY}&tz=Asia/Tokyo")
    assert found["unique_total"] == [[TODAY - 9 * 3600, 1]]


def test_a_property_is_reported_with_the_visitors_of_each_value_and_event(server: Server) -> None:
    did(server, "v1", "a", "a", "b")
    did(server, "v2", "a")
    has(server, "v1", "plan", "pro")
    has(server, "v2", "plan", "pro")
    has(server, "v2", "plan", [1, None])
    pro, other = id_of_value("plan", '"pro"'), id_of_value("plan", "[1,null]")
    found = report(server, "property/plan")
    assert found["values"] == {
        pro: {"value": "pro", "total": {A: 2, B: 1}},
        other: {"value": [1, None], "total": {A: 1}},
    }
    assert (found["id"], found["name"], found["events"]) == (id_of("plan"), "plan", {A: "a", B: "b"})
    assert report(server, f"property_id/{id_of('plan')}") == found


def test_a_funnel_is_ordered_over_all_steps_and_never_grows(server: Server) -> None:
    did(server, "v1", "a", "b")
    did(server, "v2", "b", "c")
    did(server, "v3", "b", "c")
    did(server, "v4", "c")
    found = report(server, "funnel", "event=a&event=b&event=c")
    assert found["event_ids"] == [A, B, C]
    assert found["funnel"] == found["unique_funnel"] == [[A, 1], [B, 1], [C, 0]]
    assert (found["total"], found["unique_total"]) == ({A: 1, B: 3, C: 3}, {A: 1, B: 3, C: 3})
    assert found["path"] == {A: {}, B: {A: 1}, C: {B: 2}}
    assert report(server, "funnel", f"event_id={A}&event_id={B}&event_id={C}") == found


def test_a_funnel_by_a_property_has_each_step_of_each_value(server: Server) -> None:
    did(server, "v1", "a", "b", "b")
    did(server, "v2", "a")
    has(server, "v1", "plan", "pro")
    has(server, "v2", "plan", "free")
    pro, free = id_of_value("plan", '"pro"'), id_of_value("plan", '"free"')
    found = report(server, "funnel", "event=a&event=b&property=plan")
    assert found["property"] == {"name": "plan", "id": id_of("plan"), "values": {free: "free", pro: "pro"}}
    assert found["funnels"] == {free: [[A, 1], [B, 0]], pro: [[A, 1], [B, 2]]}
    assert found["unique_funnels"] == {free: [[A, 1], [B, 0]], pro: [[A, 1], [B, 1]]}
    assert found["totals"] == {A: {free: 1, pro: 1}, B: {free: 0, pro: 2}}
    assert found["paths"][B] == {free: {}, pro: {A: 2, B: 1}}


@pytest.mark.parametrize("path", ["event/b?", "event/b?start=1800000000&", "funnel?event=a&event=b&", "property/plan?"])
def test_a_value_that_comes_while_a_report_is_made_is_one_of_the_others(
    server: Server, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    did(server, "v1", "a", "b")
    has(server, "v1", "plan", "pro")

    def split_then_more(*given: Any) -> Split:
        found = split_of(*given)
        has(server, "v1", "plan", "new")
        return found

    monkeypatch.setattr(hiitrack, "split_of", split_then_more)
    path, _, query = path.partition("?")
    found = report(server, path, query if path.startswith("property") else f"{query}property=plan")
    values = found["property"]["values"] if "property" in found else found["values"]
    assert values.keys() == {id_of_value("plan", '"pro"'), "__other__"}
    if "property" in found:
        assert found["funnels"]["__other__"] == [[A, 1], [B, 1]]
        assert found["totals"][B]["__other__"] == 1
    elif "totals" in found:
        assert found["totals"].keys() == values.keys()
        assert found["totals"]["__other__"] in (1, [[TODAY, 1]])
    else:
        assert values["__other__"]["total"] == {A: 1, B: 1}


@pytest.mark.parametrize(
    ("path", "query", "field", "most"),
    [
        ("event/b", "", "interval", 3),
        ("event/b", "property=plan", "limit", 7),
        ("property/plan", "", "limit", 3),
        ("funnel", "event=a&event=b", "event", 9),
        ("funnel", "event=a&event=b&property=plan", "limit", 19),
    ],
)
def test_a_report_has_at_most_so_many_numbers(path: str, query: str, field: str, most: int) -> None:
    for points in (most, most + 1):
        server = Server(VISITOR_LOG="1", MAX_ANSWER_POINTS=str(points))
        server.made("ann")
        server.bucket("ann", "home")
        did(server, "v1", "a", "b")
        for value in ("free", "pro"):
            has(server, "v1", "plan", value)
        if points == most:
            assert refused(server, path, query) == (400, "too_many_points", field)
        else:
            report(server, path, query)


def saved(server: Server, name: str, given: Any) -> Any:
    return server.ask("POST", f"/ann/home/funnel/{name}", "ann", given)


def test_a_funnel_is_saved_with_its_property_and_found_by_other_routes_too(server: Server) -> None:
    did(server, "v1", "a", "b")
    has(server, "v1", "plan", "pro")
    given = {"event_id": [A, B], "description": "The way in", "property": "plan"}
    assert saved(server, "the/way in", given).status == 201
    found = report(server, "funnel/the/way in")
    pro = id_of_value("plan", '"pro"')
    assert found["description"] == "The way in"
    assert found["unique_funnels"] == {pro: [[A, 1], [B, 1]]}
    whale = server.whale.of(account_of(server))
    assert whale.funnels("home") == [
        {
            "name": "the/way in",
            "revision": 1,
            "steps": ["a", "b"],
            "window_s": 366 * DAY,
            "description": "The way in",
            "property": "plan",
        }
    ]
    assert [step["visitors"] for step in whale.funnel("home", name="the/way in", period="today")["steps"]] == [1, 1]


def test_a_funnel_that_was_saved_elsewhere_keeps_its_window_and_has_no_conditions(server: Server) -> None:
    did(server, "v1", "a", "b")
    server.now += 5
    did(server, "v1", "b")
    whale = server.whale.of(account_of(server))
    whale.save_funnel("home", "quick", ["a", "b"], "2s")
    assert report(server, "funnel/quick")["funnel"] == [[A, 1], [B, 1]]
    has(server, "v1", "plan", "pro")
    whale.save_funnel("home", "strict", ["a", {"event": "b", "where": [{"property": "plan", "is": "pro"}]}])
    assert refused(server, "funnel/strict") == (400, "bad_request", "name")
    assert refused(server, "funnel/none") == (404, "not_found", "name")


@pytest.mark.parametrize(
    ("given", "status", "field"),
    [
        ({"event_id": [A]}, 400, "event"),
        ({}, 400, "event"),
        ({"event_id": A}, 400, "event_id"),
        ({"event_id": [A, 5]}, 400, "event_id"),
        ({"event_id": [A, "a"]}, 400, "event_id"),
        ({"event_id": [A, C]}, 404, "event"),
        ({"event": ["a", "a"], "description": "x" * 301}, 400, "description"),
        ({"event": ["a", "a"], "description": 5}, 400, "description"),
        ({"event": ["a", "a"], "steps": "a"}, 400, "steps"),
        (b"event=a&event=a&limit=5", 400, "limit"),
        (b"event=\xff&event=a", 400, "body"),
    ],
)
def test_a_funnel_that_is_none_is_not_saved(server: Server, given: Any, status: int, field: str) -> None:
    did(server, "v1", "a")
    answer = saved(server, "f", given)
    assert (answer.status, answer.json["field"]) == (status, field)
    assert server.whale.of(account_of(server)).funnels("home") == []


def test_totals_come_from_the_counts_also_where_nothing_is_logged_yet(server: Server) -> None:
    server.app = make_app(server.settings, server.whale, server.passwords)
    for visitor in ("v1", "v2"):
        assert server.ask("POST", "/ann/new/event/a", "ann", {"visitor_id": visitor}).status == 200
    answer = server.ask("GET", "/ann/new/event/a", "ann")
    assert (answer.json["total"], answer.json["unique_total"]) == (2, 0)
    assert answer.json["since"] == "2027-01-15T08:00:05+00:00"


def test_what_never_happened_is_not_found(server: Server) -> None:
    did(server, "v1", "a")
    assert refused(server, "event/b") == (404, "unknown_event", "event")
    assert refused(server, f"event_id/{B}") == (404, "unknown_event", "event")
    assert refused(server, "event/a", "property=plan") == (404, "not_found", "property")
    assert refused(server, "property/plan") == (404, "not_found", "property")
    assert refused(server, "funnel", "event=a&event=b") == (404, "unknown_event", "event")
    assert refused(server, "funnel", "event=a&event=a&property=plan") == (404, "not_found", "property")
    assert server.ask("GET", "/ann/none/event/a", "ann").status == 404
    did(server, "v1", "landed-on-homepage")
    assert server.ask("GET", "/ann/home/event/landed-on-homepaeg", "ann").json["near"] == ["landed-on-homepage"]


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("event_id/a", "", "event_id"),
        ("property_id/!", "", "property_id"),
        ("event/a", "limit=5", "limit"),
        ("event/a", "finish=5", "finish"),
        ("event/a", "interval=day", "interval"),
        ("event/a", "start=never", "start"),
        ("event/a", f"start={TODAY}&interval=fortnight", "interval"),
        ("event/a", f"start={TODAY}&finish={TODAY - 1}", "finish"),
        ("event/a", "start=0&interval=minute", ""),
        ("event/a", f"start={TODAY}&tz=Nowhere", "tz"),
        ("event/a", "event=a", "event"),
        ("event/a", "start=1&start=2", "start"),
        ("property/plan", "limit=0", "limit"),
        ("property/plan", "limit=10001", "limit"),
        ("property/plan", "limit=-1", "limit"),
        ("property/plan", "limit=%C2%B2", "limit"),
        ("funnel", "", "event"),
        ("funnel", "event=a", "event"),
        ("funnel", "&".join(["event=a"] * 33), "event"),
        ("funnel", f"event=a&event=a&event_id={A}", "event"),
        ("funnel", "event_id=a&event_id=b", "event_id"),
        ("funnel", "event=a&event=%FF", "query"),
        ("funnel", "event=a&event=a&name=x", "name"),
    ],
)
def test_bad_input_is_refused_with_its_field(server: Server, path: str, query: str, field: str) -> None:
    did(server, "v1", "a")
    has(server, "v1", "plan", "pro")
    answer = server.ask("GET", f"/ann/home/{path}", "ann", query=query)
    assert answer.status == 400, answer
    if field:
        assert answer.json["field"] == field


def test_the_token_of_a_bucket_reads_its_reports_and_a_key_that_writes_does_not() -> None:
    server = Server(VISITOR_LOG="1", OPEN_REGISTRATION="1", **KEYS)
    server.made("ann", "ben")
    token = server.bucket("ann", "home")
    other, writes = server.bucket("ann", "other"), key_of(server, "write")
    did(server, "v1", "a")
    paths = ("event/a", f"event_id/{A}", "funnel")
    for path in paths:
        query = "event=a&event=a" if path == "funnel" else ""
        whos = {"x": token, "y": other, "z": writes, "ben": PASSWORD}
        asked = [
            server.ask("GET", f"/ann/home/{path}", who, None, query, password).status for who, password in whos.items()
        ]
        assert asked == [200, 401, 401, 401]
    for method in ("POST", "DELETE"):
        whos = {"x": token, "z": writes, "ben": PASSWORD}
        asked = [
            server.ask(method, "/ann/home/funnel/f", who, None, "event=a&event=a", password).status
            for who, password in whos.items()
        ]
        assert asked == [401, 401, 401]
    script = server.ask("GET", "/ann/home/event/a", query=f"key={token}&callback=done&request_id=7")
    assert script.text.startswith("/**/done({")
    assert '"request_id":"7"' in script.text

"""What visitors do next, over HTTP and in the library."""

import pytest

from hail.settings import DAY
from tests.unit.test_visitors_web import count, door_with, said
from tests.unit.test_whale_web import Door
from whale.accounts import Site
from whale.answer.ids import id_of

MINUTE = 60 / DAY
FORM = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}


@pytest.fixture
def door() -> Door:
    return door_with()


def test_sessions_end_with_half_an_hour_without_an_event(door: Door) -> None:
    for visitor, event, days_ago in (
        ("ann", "visit", 2),
        ("ann", "buy", 2 - 10 * MINUTE),
        ("ann", "visit", 2 - 41 * MINUTE),
        ("bob", "visit", 1 + 20 * MINUTE),
        ("bob", "visit", 1),
    ):
        count(door, visitor, event, days_ago)
    found = door.get("/sessions", pk="shop", period="1d:3d").json
    assert {name: found[name] for name in ("sessions", "visitors", "bounces", "bounce_rate", "gap_s", "basis")} == {
        "sessions": 3,
        "visitors": 2,
        "bounces": 1,
        "bounce_rate": 1 / 3,
        "gap_s": 1800,
        "basis": "visitor",
    }
    assert found["duration"] == {"median": 600.0, "mean": 600.0}
    assert [(point["sessions"], point["bounces"]) for point in found["points"]] == [(0, 0), (2, 1), (1, 0), (0, 0)]
    assert (found["rows"], found["engaged_s"], found["is_incomplete"]) == ([], None, False)
    assert door.whale.sessions("shop", "1d:3d") == found
    assert door.call("POST", "/sessions", b"pk=shop&period=1d:3d", headers=FORM).json == found
    door.store.begin_log(Site("default", "shop", session_gap_s=3600))
    assert [door.get("/sessions", pk="shop", period="1d:3d").json[name] for name in ("sessions", "gap_s")] == [2, 3600]
    wider = door_with(session_gap_s="3600")
    for days_ago in (1, 1 - 41 * MINUTE):
        count(wider, "ann", "visit", days_ago)
    assert wider.get("/sessions", pk="shop").json["sessions"] == 1


def test_a_session_counts_where_it_began_and_lasts_to_its_end(door: Door) -> None:
    """The clock stands at 14:35:20."""
    midnight = (14 * 60 + 35) * MINUTE
    for minutes in (-50, -25, -1, 20, 45, 70):
        count(door, "ann", "visit", midnight + 1 - minutes * MINUTE)
    for period, sessions, median in (("2015-06-15..2015-06-16", 1, 7200.0), ("2015-06-16..2015-06-17", 0, None)):
        found = door.get("/sessions", pk="shop", period=period).json
        assert (found["sessions"], found["duration"]["median"]) == (sessions, median)


def test_sessions_are_split_by_their_first_and_last_event_and_their_source(door: Door) -> None:
    source = {"source": '"ads"'}
    said(
        door,
        0,
        ("ann", "visit", source),
        ("ann", "buy", {"source": '"mail"'}),
        ("bob", "visit", {"source": "5"}),
        ("cy", "search", {}),
        ("dee", "visit", source),
    )

    def rows(by: str, **more: str) -> list[tuple[object, int]]:
        found = door.get("/sessions", pk="shop", period="today", by=by, **more).json
        return [(row["value"], row["sessions"]) for row in found["rows"]]

    assert rows("entry") == [("visit", 3), ("search", 1)]
    assert rows("exit") == [("visit", 2), ("buy", 1), ("search", 1)]
    assert rows("source") == [("ads", 2), (None, 1), (5, 1)]
    assert rows("source", limit="1") == [("ads", 2), ("__other__", 2)]
    assert rows("campaign") == [(None, 4)]
    table = door.get("/sessions", pk="shop", period="today", by="source", format="csv").body.decode().splitlines()
    assert table[0] == "value,sessions,visitors,bounces,bounce_rate,duration_median_s,duration_mean_s"
    assert table[1].startswith("ads,2,2,1,0.5,")
    assert door.whale.sessions("shop", "today", by="entry")["rows"][0]["value"] == "visit"
    days = door.get("/sessions", pk="shop", period="today", format="csv").body.decode().splitlines()
    assert days[0] == "at,sessions,bounces"


@pytest.mark.parametrize("limit", ["1", "2", "3", "10"])
def test_what_is_past_a_cap_is_in_the_last_row_alone(door: Door, limit: str) -> None:
    past = {"source": '"__other__"'}
    ads, mail = {"source": '"ads"'}, {"source": '"mail"'}
    for place, (visitor, event, properties) in enumerate(
        (
            ("ann", "__other__", past),
            ("bob", "__other__", past),
            ("cy", "__other__", past),
            ("dee", "visit", ads),
            ("eve", "visit", ads),
            ("fay", "buy", mail),
        )
    ):
        said(door, 2 * place, (visitor, "start", properties), (visitor, event, {}))
    door.now += 0.5
    asked = {"pk": "shop", "period": "today", "limit": limit}
    for path, query, name, number, names in (
        ("/sessions", {"by": "source"}, "value", "sessions", ["ads", "mail"]),
        ("/sessions", {"by": "exit"}, "value", "sessions", ["visit", "buy"]),
        ("/paths", {"event": "start"}, "event", "occurrences", ["visit", "buy"]),
    ):
        rows = door.get(path, **asked, **query).json["rows"]
        told = [(row[name], row[number], row["visitors"]) for row in rows]
        few = int(limit) == 1
        assert told == [(names[0], 2, 2), *([] if few else [(names[1], 1, 1)]), ("__other__", 3 + few, 3 + few)]


def test_page_views_decide_what_a_bounce_is_where_there_are_some(door: Door) -> None:
    for visitor, event in (
        ("ann", "pageview"),
        ("ann", "click"),
        ("bob", "pageview"),
        ("bob", "pageview"),
        ("cy", "click"),
    ):
        count(door, visitor, event)
    assert door.get("/sessions", pk="shop", period="today").json["bounces"] == 1
    assert door.get("/sessions", pk="shop", period="today", page="click").json["bounces"] == 2
    assert door.get("/sessions", pk="shop", period="today", page="never").json["bounces"] == 1


def test_engaged_time_is_the_sum_of_a_metric(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    count(door, "ann", "visit")
    assert door.get("/sessions", pk="shop", period="today").json["engaged_s"] is None
    assert "engaged_ms" not in caplog.text
    door.whale.count_now("shop", metrics={"engaged_ms": 2500})
    assert door.get("/sessions", pk="shop", period="today").json["engaged_s"] == 2.5


def test_paths_say_what_came_next_and_what_came_before(door: Door) -> None:
    door.now += 0.5
    for visitor, event, minutes in (
        ("ann", "visit", 300),
        ("ann", "search", 290),
        ("ann", "buy", 280),
        ("ann", "visit", 200),
        ("bob", "visit", 300),
        ("bob", "search", 299),
        ("bob", "visit", 290),
        ("bob", "buy", 289),
        ("cy", "visit", 1),
    ):
        count(door, visitor, event, minutes * MINUTE)
    found = door.get("/paths", pk="shop", event="visit", period="today").json
    assert found["rows"] == [
        {"event": "search", "occurrences": 2, "visitors": 2},
        {"event": "buy", "occurrences": 1, "visitors": 1},
    ]
    assert [found[name] for name in ("occurrences", "visitors", "ended", "open", "gap_s")] == [5, 3, 1, 1, 1800]
    assert door.whale.paths("shop", "visit", "today") == found
    before = door.get("/paths", pk="shop", event="visit", period="today", direction="before").json
    assert (before["rows"], before["ended"], before["open"]) == (
        [{"event": "search", "occurrences": 1, "visitors": 1}],
        4,
        0,
    )
    few = door.get("/paths", pk="shop", event="visit", period="today", limit="1").json["rows"]
    assert few[1] == {"event": "__other__", "occurrences": 1, "visitors": 1}
    table = door.get("/paths", pk="shop", event="visit", period="today", format="csv").body
    assert table == b"event,occurrences,visitors\r\nsearch,2,2\r\nbuy,1,1\r\n"
    earlier = door.get("/paths", pk="shop", event="buy", period="yesterday").json
    assert (earlier["occurrences"], earlier["rows"]) == (0, [])


def test_retention_says_who_came_back_in_later_weeks(door: Door) -> None:
    """Now is a Wednesday."""
    for visitor, event, days_ago in (
        ("ann", "signup", 16),
        ("ann", "visit", 9),
        ("ann", "visit", 2),
        ("bob", "signup", 15),
        ("bob", "visit", 15),
        ("cy", "signup", 8),
        ("cy", "signup", 1),
        ("old", "signup", 60),
        ("old", "visit", 8),
    ):
        count(door, visitor, event, days_ago)
    found = door.get("/retention", pk="shop", first="signup", again="visit", count="3").json
    assert found["cohorts"] == [
        {"at": "2015-06-01T00:00:00+00:00", "visitors": 2, "kept": [1, 1, 1], "open_from": 2},
        {"at": "2015-06-08T00:00:00+00:00", "visitors": 1, "kept": [0, 0], "open_from": 1},
        {"at": "2015-06-15T00:00:00+00:00", "visitors": 0, "kept": [0], "open_from": 0},
    ]
    assert (found["curve"], found["basis"]) == ([1 / 3, 0.5, None], "visitor")
    assert door.whale.retention("shop", "signup", "visit", count=3) == found
    table = door.get("/retention", pk="shop", first="signup", again="visit", count="3", format="csv").body.decode()
    assert table.splitlines()[:3] == [
        "at,visitors,0,1,2",
        "2015-06-01T00:00:00+00:00,2,1,1,1",
        "2015-06-08T00:00:00+00:00,1,0,0,",
    ]
    asked = {"pk": "shop", "first": "signup", "again": "visit", "count": "3"}
    seen = '{"event": "visit"}'
    some = door.get("/retention", where=f"[{seen}]", **asked).json["cohorts"]
    assert [row["visitors"] for row in some] == [2, 0, 0]
    assert door.get("/retention", segment=seen, **asked).json["cohorts"] == some
    nobody = door.get("/retention", where=f"[{seen}]", segment=f'{{"not": {seen}}}', **asked).json["cohorts"]
    assert [row["visitors"] for row in nobody] == [0, 0, 0]
    for wrong in ('{"event": "visit"}', "[]", '[{"events": "visit"}]', "["):
        answer = door.get("/retention", where=wrong, **asked)
        assert (answer.status, answer.json["field"].partition("[")[0]) == (400, "where")
    past = door.get("/retention", pk="shop", by="month", start="2015-04-10", count="2").json["cohorts"]
    assert [(row["at"][:7], row["visitors"], row["kept"], row["open_from"]) for row in past] == [
        ("2015-04", 1, [1, 0], None),
        ("2015-05", 0, [0], None),
    ]
    ahead = door.get("/retention", pk="shop", by="day", start="2015-06-16", count="5").json["cohorts"]
    assert [row["at"][:10] for row in ahead] == ["2015-06-16", "2015-06-17"]
    sundays = door.get("/retention", pk="shop", count="1", week="sunday").json["cohorts"]
    assert sundays[0]["at"] == "2015-06-14T00:00:00+00:00"


@pytest.mark.parametrize(
    ("path", "given", "status", "field"),
    [
        ("/sessions", {"by": "plan"}, 400, "by"),
        ("/sessions", {"limit": "0"}, 400, "limit"),
        ("/sessions", {"period": "soon"}, 400, "period"),
        ("/paths", {}, 400, "event"),
        ("/paths", {"event": "never"}, 404, "event"),
        ("/paths", {"event": "visit", "direction": "up"}, 400, "direction"),
        ("/paths", {"event": "visit", "limit": "1001"}, 400, "limit"),
        ("/retention", {"first": "never"}, 404, "first"),
        ("/retention", {"again": "never"}, 404, "again"),
        ("/retention", {"by": "hour"}, 400, "by"),
        ("/retention", {"count": "101"}, 400, "count"),
        ("/retention", {"start": "soon"}, 400, "start"),
        ("/retention", {"start": "2030-01-01"}, 400, "start"),
        ("/retention", {"pk": "none"}, 404, "pk"),
    ],
)
def test_what_cannot_be_answered_says_why(
    door: Door, path: str, given: dict[str, str], status: int, field: str
) -> None:
    count(door, "ann", "visit")
    answer = door.get(path, **{"pk": "shop", **given})
    assert (answer.status, answer.json["field"]) == (status, field)


def test_an_unknown_event_names_those_like_it_and_a_site_may_be_called_so(door: Door) -> None:
    count(door, "ann", "visit")
    for path, asked in (
        ("/paths", {"event": "vist"}),
        ("/retention", {"again": "vist"}),
        ("/overlap", {"sets": '[{"event": "vist"}]'}),
    ):
        answer = door.get(path, site="shop", **asked)
        assert (answer.status, answer.json["code"], answer.json["near"]) == (404, "unknown_event", ["visit"])
    by_id = door.get("/paths", site="shop", event=id_of("visit")).json
    assert (by_id["event"], by_id["occurrences"]) == ("visit", 1)
    assert door.get("/retention", site="shop", first=id_of("visit"), count="1").json["cohorts"][0]["visitors"] == 1

"""Who was at a site last: the same as by going through all that visitors did."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import law
from tests.unit.test_visitors_web import Door, count, door_with
from whale.answer import recent
from whale.errors import CallerError


@pytest.fixture
def door() -> Door:
    return door_with()


def rows(door: Door, **asked: str) -> list[tuple[str, str]]:
    found = door.get("/visitors/recent", pk="shop", **asked).json["rows"]
    return [(row["visitor"], row["event"]) for row in found]


@law(60)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcde"), st.sampled_from(["visit", "buy"]), st.integers(0, 40 * 96)),
        max_size=25,
        unique_by=lambda each: each[2],
    ),
    st.integers(1, 6),
)
def test_those_who_came_last_are_listed_with_their_last_event(said: list[tuple[str, str, int]], limit: int) -> None:
    door = door_with()
    for visitor, event, quarters in said:
        count(door, visitor, event, quarters / 96)
    last: dict[str, tuple[int, str]] = {}
    for visitor, event, quarters in said:
        if quarters < 30 * 96 and quarters < last.get(visitor, (math.inf, ""))[0]:
            last[visitor] = quarters, event
    expected = [(visitor, event) for visitor, (_, event) in sorted(last.items(), key=lambda each: each[1])]
    assert rows(door, period="1h:720h", limit=str(limit)) == expected[:limit]


def test_no_more_is_read_than_it_takes(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        count(door, f"v{number}", "visit", number / 24 / 60)
    count(door, "long ago", "visit", 20)
    read: list[int] = []
    seen = recent._seen
    monkeypatch.setattr(
        recent, "_seen", lambda reading, limit: read.append(reading.wanted[0].start_ms) or seen(reading, limit)
    )
    assert rows(door, period="30d") == [(f"v{number}", "visit") for number in range(10)]
    assert read == [(int(door.now) - 900) * 1000]
    assert len(rows(door, period="30d", limit="13")) == 13
    assert len(read) == 1 + len(recent.STEPS_S) + 1


def test_a_segment_a_period_and_a_table(door: Door) -> None:
    for visitor, event, days_ago in (
        ("ann", "visit", 3),
        ("ann", "buy", 2),
        ("bob", "visit", 1),
        ("cÿ,\n", "visit", 0),
    ):
        count(door, visitor, event, days_ago)
    assert rows(door) == [("cÿ,\n", "visit"), ("bob", "visit"), ("ann", "buy")]
    assert rows(door, segment='{"event":"buy"}') == [("ann", "buy")]
    assert rows(door, period="today") == [("cÿ,\n", "visit")]
    assert rows(door, start="2015-06-13", finish="2015-06-15") == [("ann", "visit")]
    table = door.get("/visitors/recent", pk="shop", format="csv").body.decode()
    assert table.splitlines()[0] == "visitor,at,event"
    assert '"cÿ,' in table
    assert door.whale.recent_visitors("shop", limit=1)["rows"][0]["visitor"] == "cÿ,\n"
    assert door.get("/visitors/recent", pk="shop", period="yesterday", tz="Asia/Tokyo").status == 200


def test_whose_id_is_not_kept_has_none(door: Door) -> None:
    door.whale.count_hit({"pk": "shop", "visitor": "daily one", "event": "visit", "basis": "daily"})
    assert door.get("/visitors/recent", pk="shop").json["rows"][0]["visitor"] is None


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1"])
def test_a_wrong_limit_is_told(door: Door, limit: str) -> None:
    answer = door.get("/visitors/recent", pk="shop", limit=limit)
    assert (answer.status, answer.json["field"]) == (400, "limit")


def test_bad_questions(door: Door) -> None:
    assert door.get("/visitors/recent", pk="nobody").status == 404
    assert door.get("/visitors/recent").status == 400
    assert door.get("/visitors/recent", pk="shop", start="x").json["field"] == "start"
    with pytest.raises(CallerError):
        door.whale.recent_visitors("shop", limit=0)
    nobody: dict[str, Any] = door.get("/visitors/recent", pk="shop", period="yesterday").json
    assert nobody["rows"] == []
    assert nobody["is_incomplete"] is False

"""Shifts over HTTP and from Python: what is read, what is told of it, and what is refused."""

from typing import Any

import pytest

from tests.unit.test_whale_web import DAY, NOW, Door
from whale.answer import shifts
from whale.errors import CallerError

TODAY = NOW // DAY * DAY
BROKE = 9  # days ago, with today
ORDERS = [20, 22, 19, 21, 18, 20, 23, 17, 21, 20, 19]


@pytest.fixture
def door() -> Door:
    """A shop of 30 days and of today, in which one campaign of two stopped selling nine days ago."""
    door = Door()
    for back in range(30, -1, -1):
        at = TODAY - back * DAY
        for name, place in (("sale", ["instagram", "sale"]), ("news", ["instagram", "news"]), ("mail", ["mail"])):
            orders = ORDERS[(back * 3 + len(name)) % len(ORDERS)]
            if name == "sale" and 1 <= back < BROKE:
                orders = 2
            if not back:
                orders = 0  # today has just begun
            door.count("shop", {"source": path(place)}, {"orders": orders, "visits": 200, "revenue": orders * 5}, at)
    return door


def path(names: list[str]) -> Any:
    return names[0] if len(names) == 1 else {names[0]: path(names[1:])}


ASKED = {"pk": "shop", "metric": "orders/visits", "cost": "revenue", "period": "30d"}


def test_the_campaign_that_broke_is_told_with_its_day_its_rates_and_its_cost(door: Door) -> None:
    answer = door.get("/shifts", **ASKED)
    assert answer.status == 200
    said = answer.json
    (shift,) = said["shifts"]
    before = [ORDERS[(back * 3 + 4) % len(ORDERS)] for back in range(29, BROKE - 1, -1)]
    rate = sum(before) / (200 * len(before))
    assert shift["path"] == ["source", "instagram", "sale"]
    assert (shift["at"], shift["until"], shift["ongoing"]) == ("2015-06-09T00:00:00+00:00", None, True)
    assert (shift["before"], shift["now"]) == (pytest.approx(rate), 0.01)
    assert shift["n"] == {"before": 200 * len(before), "now": 200 * 8}
    assert shift["z"] < -said["tested"]["z"]
    assert list(shift["cost"]) == ["orders", "revenue"]
    assert shift["cost"]["orders"] == pytest.approx(8 * 2 - rate * 200 * 8)
    assert shift["cost"]["revenue"] == pytest.approx(5 * shift["cost"]["orders"])
    assert {**said, "shifts": 1, "tested": said["tested"]["series"]} == {
        "as_of": "2015-06-17T14:35:20Z",
        "complete": False,
        "baseline": "flat",
        "tested": 5,  # the root, two sources, two campaigns
        "left_out": 0,
        "shifts": 1,
    }


def test_the_library_and_a_form_answer_the_same(door: Door) -> None:
    said = door.get("/shifts", **ASKED).json
    assert door.call("POST", "/shifts", **ASKED).json == said
    assert door.whale.shifts("shop", "orders/visits", "revenue", "30d") == said
    assert door.whale.shifts("shop", "orders/visits", ["revenue"], "30d", dimension="source") == said
    explained = door.get("/shifts", **ASKED, explain="1").json
    assert explained["answer"] == said
    # the sums of all, then the costs of the one that is told
    assert [read["paths"] for read in explained["explain"]["reads"]] == [6, 1]


def test_a_bucket_that_is_open_does_not_look_like_a_fall(door: Door) -> None:
    assert [shift["path"] for shift in door.get("/shifts", **ASKED | {"metric": "orders"}).json["shifts"]] == [
        ["source", "instagram", "sale"]
    ]
    door.now = TODAY + DAY
    assert door.get("/shifts", **ASKED | {"period": "1d:2015-05-18..2015-06-18"}).json["complete"] is True


def test_times_are_those_of_the_zone_that_is_asked(door: Door) -> None:
    (shift,) = door.get("/shifts", **ASKED, tz="Europe/Berlin").json["shifts"]
    assert shift["at"] == "2015-06-09T00:00:00+02:00"
    with pytest.raises(CallerError, match="^tz: "):
        door.whale.shifts("shop", tz="Mars")


def test_a_factor_changes_levels_but_not_how_sure_it_is(door: Door) -> None:
    (plain,) = door.get("/shifts", **ASKED).json["shifts"]
    (share,) = door.get("/shifts", **ASKED | {"metric": "100 * orders / visits"}).json["shifts"]
    assert share["now"] == 1
    assert (share["z"], share["cost"], share["n"]) == (plain["z"], plain["cost"], plain["n"])
    (both,) = door.get("/shifts", **ASKED | {"metric": "orders + orders"}).json["shifts"]
    assert both["cost"]["orders"] < 0


def test_the_limit_leaves_out_the_least_costly(door: Door) -> None:
    for back in range(30, 0, -1):
        door.count("two", {"v": "a"}, {"n": 400 if back >= BROKE else 100}, TODAY - back * DAY)
        door.count("two", {"v": "b"}, {"n": 900 if back >= BROKE else 90}, TODAY - back * DAY)
        door.count("two", {"w": "b"}, {"n": 900}, TODAY - back * DAY)
    every = door.get("/shifts", pk="two", metric="n", period="30d", limit=0).json
    assert len(every["shifts"]) > 1
    one = door.get("/shifts", pk="two", metric="n", period="30d", limit=1)
    assert one.json["shifts"] == every["shifts"][:1]
    assert one.json["left_out"] == len(every["shifts"]) - 1
    assert one.headers["X-Whale-More"] == str(len(every["shifts"]) - 1)


def test_an_answer_is_known_again_by_its_etag(door: Door) -> None:
    first = door.get("/shifts", **ASKED)
    again = door.call("GET", "/shifts", headers={"HTTP_IF_NONE_MATCH": first.headers["Etag"]}, **ASKED)
    assert again.status == 304


def test_days_of_hours_are_searched_too(door: Door) -> None:
    for back in range(20 * 24, 0, -1):
        door.count("hours", {"v": "a"}, {"n": 40 if back > 100 else 4}, TODAY - back * 3600)
        door.count("hours", {"v": "b"}, {"n": 40}, TODAY - back * 3600)
    (shift,) = door.get("/shifts", pk="hours", metric="n", period="1h:20d").json["shifts"]
    assert (shift["path"], shift["at"]) == (["v", "a"], "2015-06-12T20:00:00+00:00")


def test_a_pk_that_was_never_counted_and_a_range_that_is_open_have_no_shifts(door: Door) -> None:
    for asked in ({"pk": "never"}, {"pk": "shop", "period": "1d:1d"}, {"pk": "shop", "metric": "never"}):
        said = door.get("/shifts", **asked).json
        assert said["shifts"] == []
    assert door.get("/shifts", pk="shop", metric="n", cost="revenu").headers["X-Whale-Unknown"].endswith("near=revenue")


@pytest.mark.parametrize(
    ("asked", "field", "code"),
    [
        ({"pk": ""}, "pk", "bad_path"),
        ({"metric": "seen"}, "metric", "bad_formula"),
        ({"metric": "orders/seen"}, "metric", "bad_formula"),
        ({"metric": "orders*visits"}, "metric", "bad_formula"),
        ({"metric": "orders/0"}, "metric", "bad_formula"),
        ({"metric": "1"}, "metric", "bad_formula"),
        ({"cost": "seen"}, "cost", "bad_formula"),
        ({"cost": "orders/visits"}, "cost", "bad_formula"),
        ({"cost": "orders/"}, "cost", "bad_formula"),
        ({"cost": "[1]"}, "cost", "bad_formula"),
        ({"cost": str([f"m{i}" for i in range(21)])}, "cost", "bad_request"),
        ({"depth": "0"}, "depth", "bad_request"),
        ({"depth": "9"}, "depth", "bad_request"),
        ({"depth": "x"}, "depth", "bad_request"),
        ({"limit": "-1"}, "limit", "bad_request"),
        ({"dimensions": str([[f"d{i}"] for i in range(101)])}, "dimensions", "bad_request"),
        ({"dimensions": "[1"}, "dimensions", "bad_json"),
        ({"dimensions": "a", "dimension": "b"}, "dimensions", "bad_request"),
        ({"period": "soon"}, "period", "bad_period"),
        ({"period": "1d:2y"}, "period", "too_many_points"),
        ({"tz": "Mars"}, "tz", "bad_period"),
        ({"week": "tuesday"}, "week", "bad_request"),
        ({"compare": "previous"}, "compare", "bad_request"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_its_field(
    door: Door, asked: dict[str, str], field: str, code: str
) -> None:
    door.count("shop", None, {"seen": {"unique": "ann"}})
    for method in ("GET", "POST"):
        answer = door.call(method, "/shifts", **{"pk": "shop", **asked})
        assert (answer.status, answer.json["code"], answer.json["field"]) == (400, code, field), answer.text


def test_too_many_series_are_refused_with_the_limit(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shifts, "MOST_SERIES", 5)
    for more in ({}, {"dimensions": "source"}, {"dimensions": '[["source", "mail"], ["source"]]'}):
        answer = door.get("/shifts", **ASKED, **more)
        assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "too_many_points", "dimensions")
        assert "the limit is 5" in answer.json["detail"]
    assert door.get("/shifts", **ASKED, depth=1).status == 200

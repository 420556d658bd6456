"""A day that was set: told where finer buckets are read, and answering by itself where all of it is asked. On every store."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest

from hail.settings import Settings
from tests.contract.hits import NOW
from tests.wsgi import call
from whale.answer.listed import MOST_BYTES, MOST_NAMED
from whale.client import Whale
from whale.store.base import Store
from whale.web import make_app

DAY = 86_400
TODAY = int(NOW) // DAY * DAY
BEFORE = TODAY - DAY


def text(day: int) -> str:
    return datetime.fromtimestamp(day, UTC).strftime("%Y-%m-%d")


@pytest.fixture
def whale(store: Store, settings: Settings, unique: str) -> Whale:
    """60 of US and 40 of DE the day before, in two hours; and 5 of US today."""
    made = Whale(store, settings, unique, lambda: NOW)
    for country, revenue, at in (("US", 60, 3600), ("DE", 40, 7200), ("US", 5, DAY + 60)):
        made.count_now("t", {"country": country}, {"revenue": revenue}, at=BEFORE + at)
    return made


def set_us(whale: Whale, to: float = 100.5) -> None:
    whale.update_count_to("t", ["country", "US"], {"revenue": to}, at=BEFORE)


ROW = {
    "path": '["country", "US"]',
    "metric": "revenue",
    "interval": "1d",
    "start": f"{text(BEFORE)}T00:00:00Z",
    "to": 100.5,
}
HEADER = f'revenue;path=["country", "US"];interval=1d;at={BEFORE * 1000};to=100.5'


def test_a_whole_day_that_was_set_answers_by_itself(whale: Whale) -> None:
    set_us(whale)
    for period in (
        text(BEFORE),
        f"1h:{text(BEFORE)}..{text(TODAY)}",
        f"15m:{text(BEFORE)}..{text(TODAY)}",
        "yesterday",
    ):
        assert whale.total("t", "revenue", period=period) == 140.5
        assert whale.total("t", "revenue", ["country", "US"], period) == 100.5
        assert whale.total("t", "revenue", ["country", "DE"], period) == 40
        assert whale.total("t", "revenue/hits", period=period) == 70.25
        assert whale.total("t", "revenue:sum", period=period) == 140.5
    points = whale.plotpoints("t", None, "revenue", period=text(BEFORE), with_totals=True)["_"]["revenue"]
    assert points.pop("Total") == 140.5
    assert sum(points.values()) == 100
    # beside other hours: the day, and the hours of the rest
    longer = f"1h:{text(BEFORE - DAY)}..{text(TODAY)}T01:00"
    assert whale.total("t", "revenue", period=longer) == 145.5
    assert whale.total("t", "hits", period=longer) == 3


def test_a_part_of_a_day_is_answered_by_its_hours(whale: Whale) -> None:
    set_us(whale)
    for period, value in (
        (f"1h:{text(BEFORE)}..{text(BEFORE)}T23:00", 100),
        (f"1h:{text(BEFORE)}T01:00..{text(TODAY)}", 100),
    ):
        found = whale.totals("t", metrics="revenue", periods=period)[period]
        assert (found["_"], found.adjusted) == ({"revenue": value}, True)
    whale.update_count_to("t", metrics={"revenue": 1000})
    assert whale.totals("t", metrics="revenue", periods="today")["today"] == {"_": {"revenue": 5}}


def test_an_answer_by_hours_says_which_day_was_set_and_to_what(whale: Whale, settings: Settings) -> None:
    app = make_app(settings, whale)

    def header(route: str, **asked: Any) -> str | None:
        found = call(app, "GET", route, {"pk": "t", "metrics": "revenue", "period": text(BEFORE), **asked})
        assert found.status == 200, found.text
        told = found.headers.get("X-Adjusted")
        return told and unquote(told)

    assert header("/plotpoints") is None
    set_us(whale)
    for route in ("/plotpoints", "/totals"):
        assert header(route) == HEADER
        assert header(route, dimensions="country", depth=1) if route == "/plotpoints" else True
        assert header(route, dimensions='["country", "US"]') == HEADER
        assert header(route, metrics="revenue/hits") == HEADER
        assert header(route, dimensions='["country", "DE"]') is None
        assert header(route, metrics="hits") is None
        assert header(route, period="yesterday") is None
        assert header(route, period="today") is None
    whale.count_now("t", {"country": "US"}, {"revenue": 1}, at=BEFORE)
    assert header("/plotpoints") == HEADER.replace("100.5", "101.5")


def test_where_the_body_has_room_it_says_so_too(whale: Whale, settings: Settings) -> None:
    set_us(whale)
    app, hours = make_app(settings, whale), text(BEFORE)
    asked = {"pk": "t", "period": hours}

    def said(route: str, **more: Any) -> Any:
        found = call(app, "GET", route, {**asked, **more})
        assert found.status == 200, found.text
        assert unquote(found.headers["X-Adjusted"]) == HEADER
        return found.json

    rank = said("/rank", by="revenue", dimension="country")
    assert rank["adjusted"] == [ROW] == whale.rank("t", "revenue", "country", hours)["adjusted"]
    assert said("/factors", metric="revenue")["adjusted"] == [ROW] == whale.factors("t", "revenue", hours)["adjusted"]
    more = {"metrics": "revenue", "compare": "previous"}
    assert said("/totals", **more)[hours]["adjusted"] == [ROW]
    assert said("/plotpoints", **more)["adjusted"] == [ROW]
    assert said("/total", metric="revenue", compare="previous")["adjusted"] == [ROW]
    explained = said("/totals", metrics="revenue", explain="true")["explain"]
    assert explained["ranges"][hours]["adjusted"] == [ROW]
    assert whale.plotpoints("t", metrics="revenue", period=hours).adjustments == [ROW]
    assert "adjusted" not in whale.rank("t", "hits", "country", hours)


def test_tables_and_explanations_close_over_a_set_day(whale: Whale) -> None:
    set_us(whale)
    hours = text(BEFORE)
    for more in ({}, {"limit": 1}, {"order": "confidence"}):
        found = whale.rank("t", "revenue", "country", hours, **more)
        rows = [*found["rows"], *(found[name] for name in ("other", "rest", "ended") if found[name])]
        assert sum(row["value"] for row in rows) == found["total"]["value"] == 140.5
    recursive = whale.rank("t", "revenue/hits", period=hours, columns=["revenue"], recursive=True, order="confidence")
    assert {row["path"]: row["columns"]["revenue"] for row in recursive["rows"]}['["country", "US"]'] == 100.5
    change = whale.factors("t", "revenue", hours)
    assert (change["now"], change["before"]) == (140.5, 0)
    assert sum(row["part"] for row in change["dimensions"][0]["rows"]) == 140.5
    compared = whale.total("t", "revenue", period=hours, compare="previous")
    assert (compared["now"], compared["before"]) == (140.5, 0)
    both = whale.totals("t", metrics="revenue", periods=hours, compare="previous")[hours]["paths"]["_"]["revenue"]
    assert both["now"] == 140.5


def test_the_other_half_of_a_comparison_is_told_too(whale: Whale) -> None:
    set_us(whale)
    found = whale.rank("t", "revenue", "country", text(TODAY), compare="previous")
    assert found["adjusted"] == [ROW]
    assert whale.factors("t", "revenue", "today")["adjusted"] == [ROW]


def test_an_open_period_by_days_tells_of_the_day_whose_hours_it_is_cut_to(whale: Whale) -> None:
    """Compared, the day that is open is read by quarters, though the period is by days."""
    whale.update_count_to("t", metrics={"revenue": 9})
    assert whale.total("t", "revenue", period="1d:1d") == 109
    found = whale.totals("t", metrics="revenue", periods="1d:1d", compare="previous")["1d:1d"]
    assert found["paths"]["_"]["revenue"]["now"] == 105
    assert [(row["start"], row["to"]) for row in found["adjusted"]] == [(f"{text(TODAY)}T00:00:00Z", 9)]


def test_a_month_that_was_set_answers_by_itself_where_its_days_are_asked(whale: Whale) -> None:
    start = text(BEFORE)[:8] + "01"
    whale.update_count_to("t", metrics={"hits": 50}, period="1mo", at=BEFORE)
    month = text(BEFORE)[:7]
    assert whale.total("t", "hits", period=month) == 50
    found = whale.totals("t", metrics="hits", periods=month)[month]
    assert found.adjustments == [
        {"path": "_", "metric": "hits", "interval": "1mo", "start": f"{start}T00:00:00Z", "to": 50}
    ]
    set_us(whale)
    whale.update_count_to("t", metrics={"hits": 9}, at=BEFORE)  # in the month, which takes the difference
    assert whale.total("t", "hits", period=month) == 57
    assert whale.total("t", "hits", period=text(BEFORE)) == 9


def test_a_pk_above_tells_what_was_set_below_it(whale: Whale, settings: Settings) -> None:
    whale.count_now(["up", "down"], {"country": "US"}, {"revenue": 1}, at=BEFORE + 60)
    whale.count_now(["up", "beside"], {"country": "US"}, {"revenue": 2}, at=BEFORE + 60)
    whale.update_count_to(["up", "down"], ["country", "US"], {"revenue": 10}, at=BEFORE)
    found = whale.totals("up", metrics="revenue", periods=text(BEFORE))[text(BEFORE)]
    assert found["_"] == {"revenue": 12}
    assert [row["to"] for row in found.adjustments] == [12]
    ranked = whale.rank("up", "revenue", period=text(BEFORE), pks=True)
    assert {row["path"]: row["value"] for row in ranked["rows"]} == {'["up", "down"]': 10, '["up", "beside"]': 2}


def test_many_are_told_in_bounded_bytes_and_forgotten_names_as_a_star(whale: Whale, settings: Settings) -> None:
    app, names = make_app(settings, whale), [f"{'ö' * 60}{i}" for i in range(30)]
    for name in names:
        whale.update_count_to("t", ["city", name], {"revenue": 1}, at=BEFORE)
    asked = {"pk": "t", "metrics": "revenue", "period": text(BEFORE), "explain": "true"}
    found = call(app, "GET", "/totals", asked)
    rows = found.json["explain"]["ranges"][text(BEFORE)]["adjusted"]
    assert len(rows) == MOST_NAMED + 1
    assert rows[-1] == {"more": 10}
    told = found.headers["X-Adjusted"].split(", ")
    assert len(told) - 1 + int(told[-1].removeprefix("*;more=")) == 30
    assert len(found.headers["X-Adjusted"]) <= MOST_BYTES
    whale.reset("t", "city")
    found = call(app, "GET", "/totals", asked)
    assert found.headers["X-Adjusted"] == "*"
    assert found.json["explain"]["ranges"][text(BEFORE)]["adjusted"] == [{"more": None}]


def test_more_marks_than_are_kept_become_a_stretch_and_still_answer(whale: Whale, settings: Settings) -> None:
    metrics = {"revenue": 7, **{f"m{i}": 1 for i in range(14)}}
    for day in range(330):  # Redis keeps 20,000 bytes of marks
        whale.update_count_to("t", metrics=metrics, at=BEFORE - day * DAY)
    for period in (text(BEFORE), f"15m:{text(BEFORE)}..{text(TODAY)}"):
        assert whale.total("t", "revenue", period=period) == 7
        assert whale.total("t", "revenue", ["country", "DE"], period) == 40
    found = whale.totals("t", metrics="revenue", periods=text(BEFORE))[text(BEFORE)]
    assert found.adjusted
    assert found.adjustments == ([{"more": None}] if settings.redis_url else [{**ROW, "path": "_", "to": 7}])


def test_a_set_day_costs_what_else_is_read_once_more_at_most(
    whale: Whale, settings: Settings, trips: list[str]
) -> None:
    app = make_app(settings, whale)
    asked = {"pk": "t", "metrics": json.dumps(["revenue"]), "period": text(BEFORE)}
    call(app, "GET", "/totals", asked)
    trips.clear()
    call(app, "GET", "/totals", asked)
    assert len(trips) == (1 if settings.redis_url else 0)
    set_us(whale)
    call(app, "GET", "/totals", asked)
    trips.clear()
    call(app, "GET", "/totals", asked)
    assert len(trips) <= (3 if settings.redis_url else 0)

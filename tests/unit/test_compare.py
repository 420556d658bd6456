"""Which two ranges are compared, and that they hold what a walk over all hits finds there."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.settings import load
from tests.laws import law
from tests.unit.test_whale_web import Door
from whale.answer.compare import Comparison, Scope, against, compare, pair
from whale.client import Whale
from whale.errors import CallerError, PeriodError
from whale.period import parse_period
from whale.store.memory import MemoryStore

SETTINGS = load({})
PERIODS = dict(SETTINGS.periods)


def moment(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def compared(
    period: str, now: str, word: str = "previous", zone: str = "UTC", kept: Any = None, single: bool = False
) -> Comparison:
    """As it is at a local time."""
    at, periods = moment(now, zone), kept or PERIODS
    return compare(parse_period(period, at, zone, periods.items()), period, word, Scope(zone, periods, at, at, single))


def shown(found: Comparison) -> list[str]:
    """now and before on the local clock, `start..end`, and the cut."""
    zone = ZoneInfo(found.now.zone)
    edges = [(each.start, each.end) for each in (found.now, found.before)]
    local = ["..".join(datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M") for at in pair_) for pair_ in edges]
    return [*local, str(found.said()["cut"])]


def test_today_so_far_meets_yesterday_until_the_same_time() -> None:
    found = compared("today", "2015-06-17 14:35:20")
    assert shown(found) == ["2015-06-17 00:00..2015-06-17 14:30", "2015-06-16 00:00..2015-06-16 14:30", "15m"]
    assert (found.complete, found.same_length) == (False, True)


@pytest.mark.parametrize(
    ("period", "at", "word", "now", "before", "cut"),
    [
        ("yesterday", "2015-06-17 14:35", "previous",
         "2015-06-16 00:00..2015-06-17 00:00", "2015-06-15 00:00..2015-06-16 00:00", "None"),
        ("yesterday", "2015-06-17 14:35", "last_year",
         "2015-06-16 00:00..2015-06-17 00:00", "2014-06-16 00:00..2014-06-17 00:00", "None"),
        ("wtd", "2015-06-17 14:35", "previous",
         "2015-06-15 00:00..2015-06-17 14:30", "2015-06-08 00:00..2015-06-10 14:30", "15m"),
        ("wtd", "2015-06-17 14:35", "last_year",
         "2015-06-15 00:00..2015-06-17 00:00", "2014-06-16 00:00..2014-06-18 00:00", "1d"),
        ("mtd", "2015-06-17 14:35", "previous",
         "2015-06-01 00:00..2015-06-17 14:00", "2015-05-01 00:00..2015-05-17 14:00", "1h"),
        ("mtd", "2015-03-31 14:35", "previous",
         "2015-03-01 00:00..2015-03-31 14:35", "2015-02-01 00:00..2015-03-01 00:00", "1m"),
        ("ytd", "2015-06-17 14:35", "last_year",
         "2015-01-01 00:00..2015-06-17 00:00", "2014-01-01 00:00..2014-06-17 00:00", "1d"),
        ("ytd", "2016-02-29 14:35", "previous",
         "2016-01-01 00:00..2016-02-29 14:35", "2015-01-01 00:00..2015-03-01 00:00", "1m"),
        ("seven", "2015-06-17 14:35", "previous",
         "2015-06-10 00:00..2015-06-17 14:30", "2015-06-02 00:00..2015-06-09 14:30", "15m"),
        ("2015-03-01..2015-04-01", "2015-06-17 14:35", "previous",
         "2015-03-01 00:00..2015-04-01 00:00", "2015-01-29 00:00..2015-03-01 00:00", "None"),
        ("1mo:2015-03-01..2015-04-01", "2015-06-17 14:35", "previous",
         "2015-03-01 00:00..2015-04-01 00:00", "2015-02-01 00:00..2015-03-01 00:00", "None"),
        ("2016-02-29..2016-03-01", "2016-06-17 14:35", "last_year",
         "2016-02-29 00:00..2016-03-01 00:00", "2015-02-28 00:00..2015-03-01 00:00", "None"),
        ("2016-02-01..2016-03-01", "2016-06-17 14:35", "last_year",
         "2016-02-01 00:00..2016-03-01 00:00", "2015-02-01 00:00..2015-03-02 00:00", "None"),
        ("1mo:2016-01-01..2016-03-01", "2016-06-17 14:35", "last_year",
         "2016-01-01 00:00..2016-03-01 00:00", "2015-01-01 00:00..2015-03-01 00:00", "None"),
        ("1y", "2015-06-17 14:35", "previous",
         "2010-01-01 00:00..2015-06-17 00:00", "2004-01-01 00:00..2009-06-17 00:00", "1d"),
        ("hour", "2015-06-17 14:35:20", "previous",
         "2015-06-17 13:35..2015-06-17 14:35", "2015-06-17 12:34..2015-06-17 13:34", "1m"),
        ("day", "2015-06-17 14:35:20", "previous",
         "2015-06-16 14:00..2015-06-17 14:30", "2015-06-15 13:00..2015-06-16 13:30", "15m"),
        ("today", "2015-06-17 00:00:10", "previous",
         "2015-06-17 00:00..2015-06-17 00:00", "2015-06-16 00:00..2015-06-16 00:00", "1m"),
    ],
)  # fmt: skip
def test_what_a_period_is_compared_with(period: str, at: str, word: str, now: str, before: str, cut: str) -> None:
    assert shown(compared(period, at, word)) == [now, before, cut]


def test_a_month_that_is_too_short_is_taken_whole_and_said() -> None:
    assert not compared("mtd", "2015-03-31 14:35").same_length
    assert compared("mtd", "2015-03-28 14:35").same_length
    assert not compared("1mo:2016-01-01..2016-03-01", "2016-06-17 00:00", "last_year").same_length


BERLIN = "Europe/Berlin"


def test_hours_over_a_change_of_the_clock_have_not_the_same_length() -> None:
    over = compared("day", "2015-03-29 10:00", zone=BERLIN)  # 25 hours, and the clock went on by 26
    assert over.now.end - over.now.start == over.before.end - over.before.start
    assert not over.same_length
    assert compared("day", "2015-03-28 10:00", zone=BERLIN).same_length


def test_days_meet_on_the_local_clock_though_one_has_23_hours() -> None:
    found = compared("today", "2015-03-29 14:35", zone=BERLIN)
    assert shown(found) == ["2015-03-29 00:00..2015-03-29 14:35", "2015-03-28 00:00..2015-03-28 14:35", "1m"]
    assert found.before.end - found.before.start == found.now.end - found.now.start + 3600
    assert found.same_length
    after = compared("today", "2015-03-30 02:35", zone=BERLIN)  # the clock of the 29th had no 02:30
    assert shown(after) == ["2015-03-30 00:00..2015-03-30 02:35", "2015-03-29 00:00..2015-03-29 03:35", "1m"]
    back = compared("seven", "2015-10-26 09:10", zone=BERLIN)
    assert shown(back) == ["2015-10-19 00:00..2015-10-26 09:00", "2015-10-11 00:00..2015-10-18 09:00", "15m"]
    whole = compared("1h:2015-03-29..2015-03-30", "2015-04-17 14:35", zone=BERLIN)
    assert (whole.now.points, whole.before.points) == (23, 24)


def test_hours_that_are_not_days_are_compared_with_as_many_seconds() -> None:
    found = compared("1h:2015-06-10T06:00..2015-06-10T09:00", "2015-06-17 14:35")
    assert shown(found)[1] == "2015-06-10 03:00..2015-06-10 06:00"
    assert shown(compared("1h:2015-06-10T06:00..2015-06-10T09:00", "2015-06-17 14:35", kept={3600: None}, word="last_year"))[1] == (
        "2014-06-10 06:00..2014-06-10 09:00"
    )  # fmt: skip


def test_what_is_not_kept_on_both_sides_is_refused_with_the_reason() -> None:
    with pytest.raises(PeriodError, match="compare: buckets of 1h are kept for 90d") as caught:
        compared("today", "2015-06-17 14:35", "last_year")
    assert caught.value.field == "compare"
    with pytest.raises(PeriodError, match="no 1d of this period has ended yet"):
        compared("2015-06-17..2015-06-18", "2015-06-17 14:35", "last_year")


def test_a_period_that_has_not_begun_is_refused() -> None:
    with pytest.raises(PeriodError, match="period: expected a period that has begun"):
        compared("2015-06-18..2015-06-19", "2015-06-17 14:35")


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(CallerError, match="compare: expected previous or last_year, got 'next'"):
        compared("today", "2015-06-17 14:35", "next")


def test_what_would_lie_before_1900_is_refused() -> None:
    for period in ("1y:1900-01-01..1950-01-01", "1d:1900-01-05..1910-01-01"):
        with pytest.raises(PeriodError, match="compare"):
            compared(period, "1999-12-31 00:00", kept={86_400: None})


def test_names_of_distinct_counts_are_read_from_one_interval() -> None:
    kept = {3600: 7 * 86_400.0, 86_400: None, "1mo": None}
    assert shown(compared("today", "2015-06-17 14:35", kept=kept, single=True))[2] == "1h"
    found = compared("wtd", "2015-06-17 14:35", kept=kept, single=True)
    assert (found.now.parts, found.now.source, shown(found)[2]) == ((), 86_400, "1d")


def test_two_periods_as_asked_are_not_cut_but_their_lengths_are_told() -> None:
    now = moment("2015-06-17 14:35")
    asked, other, short = (
        parse_period(text, now, "UTC", PERIODS.items()) for text in ("seven", "1d:2015-03-01..2015-03-09", "yesterday")
    )
    scope = Scope("UTC", PERIODS, now, now)
    assert against(asked, other, "x", scope).same_length
    assert not against(asked, short, "x", scope).same_length
    assert not against(asked, short, "x", scope).complete


def test_differences_are_those_of_decimals() -> None:
    assert pair(15.5, 10.2) == {"now": 15.5, "before": 10.2, "change": 5.3, "ratio": 15.5 / 10.2}
    assert pair(3, 0) == {"now": 3, "before": 0, "change": 3, "ratio": None}
    assert pair(None, 2) == {"now": None, "before": 2, "change": None, "ratio": None}


# Against a walk over all hits

ZONES = ("UTC", BERLIN, "Asia/Kolkata", "America/Sao_Paulo")
ASKED = ("today", "wtd", "mtd", "ytd", "thirty", "seven", "1w:1y", "1mo:1y", "day", "1h:3d", "2015-01-01..2015-01-05")


@law(60)
@given(
    zone=st.sampled_from(ZONES),
    period=st.sampled_from(ASKED),
    word=st.sampled_from(("previous", "last_year")),
    now=st.integers(int(moment("2015-02-20 00:00")), int(moment("2015-12-30 00:00"))),
    times=st.lists(st.floats(0, 800), min_size=1, max_size=30),
)
def test_both_values_are_those_of_the_hits_in_the_ranges(
    zone: str, period: str, word: str, now: int, times: list[float]
) -> None:
    kept = {
        "HAILWHALE_TIMEZONE": zone,
        "HAILWHALE_PERIODS": "((900, 94608000), (3600, 94608000), (86400, None), ('1mo', None))",
    }
    whale = Whale(MemoryStore(load(kept)), load(kept), clock=lambda: now)
    hits = [int(now - days * 86_400) for days in times]
    for at in hits:
        whale.count_now("c", metrics={"v": 0.1}, at=at)
    found = whale.totals("c", metrics=["v", "hits", "v/hits", "v:sum"], periods=[period], compare=word)[period]
    start, end, begin, until = (
        datetime.fromisoformat(found["compared"][side][edge]).timestamp()
        for side in ("now", "before")
        for edge in ("start", "end")
    )
    row = found["paths"]["_"]
    assert row["hits"]["now"] == sum(start <= at < end for at in hits)
    assert row["hits"]["before"] == sum(begin <= at < until for at in hits)
    assert row["v"]["now"] == row["v:sum"]["now"] == pytest.approx(row["hits"]["now"] / 10)
    series = whale.plotpoints("c", metrics=["hits"], period=period, compare=word)["paths"]["_"]["hits"]
    assert [sum(series[side].values()) for side in ("now", "before")] == [
        row["hits"][side] for side in ("now", "before")
    ]
    assert end - start <= now - start
    if not found["compared"]["complete"] and now - start > timedelta(hours=1).total_seconds():
        assert end > now - 900


# Over HTTP


def test_totals_compare_over_http() -> None:
    door = Door()
    for at, amount in (
        ("2015-06-17T10:00Z", 5),
        ("2015-06-17T14:34Z", 7),
        ("2015-06-16T14:29Z", 3),
        ("2015-06-16T15:00Z", 9),
    ):
        door.count("c", metrics={"v": amount}, at=at)
    found = door.get("/totals", pk="c", metrics="v", period="today", compare="previous")
    assert found.json == {
        "today": {
            "compared": {
                "with": "previous",
                "now": {"start": "2015-06-17T00:00:00Z", "end": "2015-06-17T14:30:00Z"},
                "before": {"start": "2015-06-16T00:00:00Z", "end": "2015-06-16T14:30:00Z"},
                "cut": "15m",
                "complete": False,
                "same_length": True,
            },
            "paths": {"_": {"v": {"now": 5, "before": 3, "change": 2, "ratio": 5 / 3}}},
        }
    }
    assert found.headers["Cache-Control"] == "no-cache"
    assert found.headers["X-Whale-Complete"] == "false"
    one = door.get("/total", pk="c", metric="v", period="today", compare="previous").json
    assert one["compared"]["cut"] == "15m"
    assert {name: one[name] for name in ("now", "before", "change", "ratio")} == found.json["today"]["paths"]["_"]["v"]
    assert door.get("/totals", pk="c", metrics="v", period="today").json == {"today": {"_": {"v": 12}}}


def test_series_compare_by_position_over_http() -> None:
    door = Door()
    for at in ("2015-06-17T10:00Z", "2015-06-16T09:00Z", "2015-06-15T09:00Z", "2015-06-14T10:00Z", "2015-06-14T20:00Z"):
        door.count("c", {"d": at[8:10]}, at=at)
    asked = {
        "pk": "c",
        "dimensions": "d",
        "depth": 1,
        "period": "1d:2d",
        "compare": "previous",
        "limit": 1,
        "sort": "-hits",
    }
    found = door.get("/plotpoints", **asked).json
    assert list(found["paths"]) == ["d", '["d", "15"]']
    days = [1434326400000 + day * 86_400_000 for day in range(-3, 3)]
    assert found["paths"]["d"]["hits"] == {
        "now": [[days[3], 1], [days[4], 1], [days[5], 1]],
        "before": [[days[0], 0], [days[1], 0], [days[2], 1]],
    }
    shaped = door.get("/plotpoints", **asked, points_type="dict", with_totals="true").json["paths"]["d"]["hits"]
    assert list(shaped["before"].values()) == [0, 0, 1, 1]


def test_several_pks_compare_each_for_itself() -> None:
    door = Door()
    for pk, at in (("a", "2015-06-16T10:00Z"), ("b", "2015-06-15T10:00Z")):
        door.count(pk, at=at)
    asked = {"pks": '["a", "b"]', "period": "yesterday", "compare": "previous"}
    totals = door.get("/totals", **asked).json
    assert {pk: totals[pk]["yesterday"]["paths"]["_"]["hits"]["change"] for pk in "ab"} == {"a": 1, "b": -1}
    plots = door.get("/plotpoints", **asked).json
    assert {pk: plots[pk]["paths"]["_"]["hits"]["before"][0][1] for pk in "ab"} == {"a": 0, "b": 1}


def test_a_range_from_a_start_compares() -> None:
    door = Door()
    door.count("c", at="2015-06-09T10:00Z")
    asked = {"pk": "c", "start": "2015-06-10", "finish": "2015-06-12", "compare": "previous"}
    assert door.get("/total", **asked).json["compared"]["before"]["start"] == "2015-06-08T00:00:00Z"
    (row,) = door.get("/totals", **asked).json.values()
    assert row["paths"]["_"]["hits"]["before"] == 1


def test_explain_tells_both_ranges() -> None:
    door = Door()
    door.count("c")
    found = door.get("/totals", pk="c", period="yesterday", compare="previous", explain="true").json
    assert list(found["explain"]["ranges"]) == ["yesterday", "yesterday previous"]


@pytest.mark.parametrize(
    ("path", "parameters", "field"),
    [
        ("/totals", {"period": "today", "compare": "next"}, "compare"),
        ("/totals", {"period": "today", "compare": "last_year"}, "compare"),
        ("/totals", {"period": "2016-01-01..2016-01-02", "compare": "previous"}, "period"),
        ("/total", {"period": "seven", "compare": "previous", "index": "0"}, "index"),
        ("/plotpoints", {"period": "hour", "compare": "last_year"}, "compare"),
    ],
)
def test_what_cannot_be_compared_is_a_400_with_the_field(path: str, parameters: dict[str, str], field: str) -> None:
    answer = Door().get(path, pk="c", **parameters)
    assert (answer.status, answer.json["field"]) == (400, field)


def test_default_periods_that_cannot_be_compared_are_left_out() -> None:
    door = Door()
    assert list(door.get("/totals", pk="c", compare="last_year").json) == ["1d:1y", "1d:1mo", "1d:1w"]


def test_distinct_names_are_compared() -> None:
    door = Door()
    for name, at in (("ann", "2015-06-17T10:00Z"), ("bob", "2015-06-17T11:00Z"), ("ann", "2015-06-16T10:00Z")):
        door.whale.count_now("c", metrics={"visitors": "is_unique"}, visitor=name, at=at)
    found = door.get("/total", pk="c", metric="hits/visitors", period="today", compare="previous").json
    assert (found["compared"]["cut"], found["now"], found["before"]) == ("1h", 1, 1)


def test_a_day_that_has_just_begun_is_compared_with_nothing() -> None:
    now = datetime(2015, 6, 17, 0, 0, 10, tzinfo=UTC).timestamp()
    whale = Whale(MemoryStore(SETTINGS), SETTINGS, clock=lambda: now)
    whale.count_now("c", metrics={"v": 1})
    asked = ["v", "v/hits", "v:sum", "ma7(v)", "v/days", "_count"]
    found = whale.totals("c", metrics=asked, periods=["today"], compare="previous")["today"]
    assert {name: row["now"] for name, row in found["paths"]["_"].items()} == {**dict.fromkeys(asked, 0), "_count": 1}


# Rows of a ranking


def shop() -> Door:
    door = Door()
    for country, revenue, visits, at in (
        ("US", 30, 10, "2015-06-17T10:00Z"),
        ("DE", 40, 8, "2015-06-17T14:20Z"),
        ("DE", 900, 1, "2015-06-17T14:34Z"),
        ("US", 50, 20, "2015-06-16T10:00Z"),
        ("US", 700, 1, "2015-06-16T14:31Z"),
        ("FR", 7, 7, "2015-06-16T10:00Z"),
    ):
        door.count(["shop", country], {"country": country}, {"revenue": revenue, "visits": visits}, at)
    return door


def test_rows_of_a_ranking_stand_beside_what_they_were() -> None:
    door = shop()
    asked = {
        "pk": "shop",
        "dimension": "country",
        "by": "revenue/visits",
        "columns": "revenue",
        "period": "today",
        "compare": "previous",
    }
    answer = door.get("/rank", **asked).json
    assert [(row["path"], row["value"], row["compared"]["revenue/visits"]["before"]) for row in answer["rows"]] == [
        ('["country", "DE"]', 5, None),
        ('["country", "US"]', 3, 2.5),
        ('["country", "FR"]', None, 1),
    ]
    assert answer["rows"][1]["compared"] == {
        "revenue/visits": {"now": 3, "before": 2.5, "change": 0.5, "ratio": 1.2},
        "revenue": {"now": 30, "before": 50, "change": -20, "ratio": 0.6},
    }
    assert answer["total"]["compared"]["revenue"] == {"now": 70, "before": 57, "change": 13, "ratio": 70 / 57}
    assert (answer["compared"]["cut"], answer["complete"], answer["as_of"]) == ("15m", False, "2015-06-17T14:30:00Z")
    assert "compared" not in door.get("/rank", **{**asked, "compare": ""}).json["rows"][0]
    pks = door.whale.rank("shop", "revenue", pks=True, period="today", compare="previous", limit=1)
    assert [(row["path"], row["compared"]["revenue"]["before"]) for row in pks["rows"]] == [('["shop", "DE"]', 0)]
    sure = door.whale.rank("shop", "revenue/visits", "country", "seven", compare="previous", order="confidence")
    assert [("low" in row) for row in sure["rows"]] == [True] * 3


@pytest.mark.parametrize(
    ("parameters", "field"), [({"by": "x/"}, "by"), ({"columns": "x/"}, "columns"), ({"compare": "next"}, "compare")]
)
def test_a_ranking_that_cannot_be_compared_names_the_field(parameters: dict[str, str], field: str) -> None:
    answer = shop().get("/rank", **{"pk": "shop", "period": "today", "compare": "previous", **parameters})
    assert (answer.status, answer.json["field"]) == (400, field)

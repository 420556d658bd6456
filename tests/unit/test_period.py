import contextlib
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whale.errors import PeriodError
from whale.period import (
    DAY,
    HOUR,
    MONTH,
    Range,
    bucket_start,
    day_start,
    interval_name,
    month_start,
    next_start,
    parse_period,
    points,
    starts,
)

NOW = 1_434_551_720  # Wed 2015-06-17T14:35:20Z
PERIODS = ((60, 86_400), (900, 14 * DAY), (3600, 90 * DAY), (DAY, None), (MONTH, None))
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "America/Havana", "Pacific/Apia", "Asia/Kathmandu"]


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def listed(period: Range, zone: str = "UTC") -> list[int]:
    return list(starts(period.interval, period.start, period.end, zone))


@pytest.mark.parametrize(
    ("text", "interval", "first", "last", "count"),
    [
        (None, DAY, "2015-05-17", "2015-06-17", 32),
        ("thirty", DAY, "2015-05-17", "2015-06-17", 32),
        ("1d:1mo", DAY, "2015-05-17", "2015-06-17", 32),
        ("year", DAY, "2014-06-17", "2015-06-17", 366),
        ("1d:1y", DAY, "2014-06-17", "2015-06-17", 366),
        ("1d", DAY, "2014-06-17", "2015-06-17", 366),
        ("86400", DAY, "2014-06-17", "2015-06-17", 366),
        ("seven", DAY, "2015-06-10", "2015-06-17", 8),
        ("1d:1w", DAY, "2015-06-10", "2015-06-17", 8),
        ("day", HOUR, "2015-06-16T14:00", "2015-06-17T14:00", 25),
        ("1h:1d", HOUR, "2015-06-16T14:00", "2015-06-17T14:00", 25),
        ("1h", HOUR, "2015-06-16T14:00", "2015-06-17T14:00", 25),
        ("24h", HOUR, "2015-06-16T14:00", "2015-06-17T14:00", 25),
        ("hours", HOUR, "2015-06-16T14:00", "2015-06-17T14:00", 25),
        ("hour", 60, "2015-06-17T13:35", "2015-06-17T14:35", 61),
        ("1m:1h", 60, "2015-06-17T13:35", "2015-06-17T14:35", 61),
        ("1m", 60, "2015-06-17T13:35", "2015-06-17T14:35", 61),
        ("60", 60, "2015-06-17T13:35", "2015-06-17T14:35", 61),
        ("1minutes:1hours", 60, "2015-06-17T13:35", "2015-06-17T14:35", 61),
        ("today", HOUR, "2015-06-17T00:00", "2015-06-17T14:00", 15),
        ("yesterday", DAY, "2015-06-16", "2015-06-16", 1),
        ("wtd", DAY, "2015-06-15", "2015-06-17", 3),
        ("mtd", DAY, "2015-06-01", "2015-06-17", 17),
        ("ytd", DAY, "2015-01-01", "2015-06-17", 168),
        ("06/01/2015-06/10/2015", DAY, "2015-06-01", "2015-06-10", 10),
        ("2026-01-01..2026-02-01", DAY, "2026-01-01", "2026-01-31", 31),
        ("1mo", MONTH, "2014-06-01", "2015-06-01", 13),
        ("15m:2h", 900, "2015-06-17T12:30", "2015-06-17T14:30", 9),
    ],
)
def test_a_period_means_its_window(text: str | None, interval: int | str, first: str, last: str, count: int) -> None:
    found = parse_period(text, NOW, "UTC", PERIODS)
    listing = listed(found)
    assert (found.interval, listing[0], listing[-1], len(listing)) == (interval, at(first), at(last), count)
    assert points(found.interval, found.start, found.end, "UTC") == count


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "monthly",
        "1w",
        "7m",
        "0d",
        "1d:",
        ":1d",
        "1d:0",
        "1d:1fortnight",
        "-5",
        "1e9",
        "1h:99999999999999y",
        "1d:9000y",
        "13/01/2015-06/10/2015",
        "06/10/2015-06/01/2015",
        "2026-02-01..2026-01-01",
        "2026-02-30..2026-03-01",
        "9999-01-01..9999-02-01",
        "0001-01-01..0002-01-01",
        "1" * 100000,
        "١d",
        "today\x00",
    ],
)
def test_what_is_not_a_period_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(PeriodError) as refused:
        parse_period(text, NOW, "UTC", PERIODS)
    assert refused.value.field == "period"
    assert len(str(refused.value)) < 300


def test_what_is_not_kept_is_refused_with_the_reason() -> None:
    with pytest.raises(PeriodError, match="buckets of 5m are not kept; kept are 1m, 15m, 1h, 1d, 1mo"):
        parse_period("5m", NOW, "UTC", PERIODS)
    with pytest.raises(PeriodError, match="buckets of 1m are kept for 1d, the period begins at 2015-06-15T14:35:00Z"):
        parse_period("1m:2d", NOW, "UTC", PERIODS)


def test_the_oldest_bucket_that_is_still_partly_kept_may_be_asked() -> None:
    assert len(listed(parse_period("1m:1d", NOW, "UTC", PERIODS))) == 1441


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(PeriodError):
        parse_period(text, NOW, "Europe/Berlin", PERIODS)


def test_days_of_23_and_25_hours_are_days() -> None:
    berlin = "Europe/Berlin"
    spring, autumn = (
        day_start(at("2026-03-29T12:00", berlin), berlin),
        day_start(at("2026-10-25T12:00", berlin), berlin),
    )
    assert next_start(DAY, spring, berlin) - spring == 23 * HOUR
    assert next_start(DAY, autumn, berlin) - autumn == 25 * HOUR
    week = parse_period("seven", at("2026-04-01T00:30", berlin), berlin, PERIODS)
    assert (week.start, len(listed(week, berlin))) == (at("2026-03-25", berlin), 8)


def test_today_in_a_zone_of_half_hours_has_whole_hours_of_utc() -> None:
    now = at("2026-01-10T03:40", "Asia/Kolkata")
    assert listed(parse_period("today", now, "Asia/Kolkata", PERIODS), "Asia/Kolkata") == [
        at("2026-01-09T19:00"),
        at("2026-01-09T20:00"),
        at("2026-01-09T21:00"),
        at("2026-01-09T22:00"),
    ]


def test_a_day_without_midnight_begins_at_its_first_instant() -> None:
    santiago = "America/Santiago"  # 2022-09-11: the clock jumps from 00:00 to 01:00
    begins = day_start(at("2022-09-11T12:00", santiago), santiago)
    assert datetime.fromtimestamp(begins, ZoneInfo(santiago)).isoformat() == "2022-09-11T01:00:00-03:00"
    toronto = "America/Toronto"  # 1919-03-30 23:30 to 00:30
    begins = day_start(at("1919-03-31T12:00", toronto), toronto)
    assert datetime.fromtimestamp(begins, ZoneInfo(toronto)).strftime("%m-%d %H:%M") == "03-31 00:30"


def test_a_day_that_a_zone_left_out_has_no_bucket() -> None:
    apia = "Pacific/Apia"
    days = starts(DAY, day_start(at("2011-12-29", apia), apia), day_start(at("2012-01-01", apia), apia), apia)
    assert [datetime.fromtimestamp(day, ZoneInfo(apia)).day for day in days] == [29, 31]


def test_a_day_begins_once_where_the_clock_goes_back_over_midnight() -> None:
    st_johns = "America/St_Johns"  # 2010-11-07 00:01 back to 2010-11-06 23:01
    begins = day_start(at("2010-11-07T12:00", st_johns), st_johns)
    assert day_start(begins + 30 * 60, st_johns) == begins
    assert day_start(begins - 1, st_johns) < begins


@given(st.sampled_from(ZONES), st.integers(-2_208_988_800, 4_102_444_800), st.sampled_from([DAY, MONTH, 60, 900, HOUR]))
def test_buckets_follow_each_other_without_gap_or_overlap(zone: str, second: int, interval: int | str) -> None:
    start = bucket_start(interval, second, zone)
    end = next_start(interval, start, zone)
    assert start <= second < end
    assert bucket_start(interval, start, zone) == start == bucket_start(interval, end - 1, zone)
    assert bucket_start(interval, end, zone) == end
    assert list(starts(interval, start, end + 1, zone)) == [start, end]


@given(st.sampled_from(ZONES), st.integers(0, 4_102_444_800))
def test_months_are_made_of_whole_days(zone: str, second: int) -> None:
    start = month_start(second, zone)
    assert day_start(start, zone) == start
    assert month_start(day_start(second, zone), zone) == start


@given(
    st.sampled_from(ZONES),
    st.integers(0, 4_000_000_000),
    st.integers(1, 100 * DAY),
    st.sampled_from([DAY, MONTH, HOUR]),
)
def test_points_says_how_long_the_list_is(zone: str, first: int, length: int, interval: int | str) -> None:
    start = bucket_start(interval, first, zone)
    skipped = zone == "Pacific/Apia" and interval == DAY
    assert len(starts(interval, start, start + length, zone)) in (
        points(interval, start, start + length, zone),
        points(interval, start, start + length, zone) - skipped,
    )


def test_intervals_have_short_names() -> None:
    assert [interval_name(i) for i in (15, 60, 300, 900, 3600, DAY, MONTH)] == [
        "15s",
        "1m",
        "5m",
        "15m",
        "1h",
        "1d",
        "1mo",
    ]


def test_a_bucket_holds_its_start_and_not_its_end() -> None:
    assert bucket_start(HOUR, datetime(2015, 6, 17, 10, 42, tzinfo=UTC).timestamp(), "UTC") == at("2015-06-17T10:00")
    assert bucket_start(HOUR, at("2015-06-17T11:00"), "UTC") == at("2015-06-17T11:00")
    assert bucket_start(60, -0.5, "UTC") == -60

import contextlib
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whale.errors import PeriodError, TooManyPoints
from whale.period import (
    DAY,
    HOUR,
    MONTH,
    SUNDAY_WEEK,
    WEEK,
    YEAR,
    Range,
    Span,
    bucket_start,
    day_start,
    interval_name,
    month_start,
    next_start,
    parse_period,
    points,
    starts,
    widest,
    zone_of_offset,
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


# The table of docs/http/periods.md, at moments where a calendar is awkward

MOMENTS = [
    ("2015-06-17T14:35", "UTC"),
    ("2026-03-30T00:10", "Europe/Berlin"),  # a Monday, the day after 23 hours
    ("2026-10-25T02:30", "Europe/Berlin"),  # an hour that comes twice
    ("2024-02-29T23:59", "America/New_York"),
    ("2025-12-31T23:30", "UTC"),
    ("2026-01-01T00:00", "UTC"),
    ("2027-01-01T00:10", "Asia/Kolkata"),
    ("2028-12-31T12:00", "Pacific/Apia"),
]
POINTS = {
    "2h": {2}, "12h": {12}, "48h": {48}, "2d": {2}, "7d": {7}, "30d": {30}, "7 days": {7}, "2w": {2}, "8w": {8}, "2mo": {2}, "12mo": {12},
    "12 months": {12}, "2y": {2}, "3y": {3}, "last_7d": {7}, "last_30d": {30}, "last_week": {7}, "last_month": {28, 29, 30, 31},
    "24h": {25}, "day": {25}, "hours": {25}, "seven": {8}, "thirty": {32}, "1h": {25}, "1d": {366}, "1m": {61},
    "1w": {53, 54}, "1mo": {13}, "1y": {6}, "1w:8w": {9}, "1mo:1y": {13}, "1mo:6mo": {7}, "1y:2y": {3}, "1d:1mo": {32},
}  # fmt: skip


@pytest.mark.parametrize(("when", "zone"), MOMENTS)
@pytest.mark.parametrize("text", POINTS)
def test_a_period_has_as_many_points_as_the_docs_say(text: str, when: str, zone: str) -> None:
    now = at(when, zone)
    kept = [(60, None), (900, None), (HOUR, None), (DAY, None), (MONTH, None)]
    found = parse_period(text, now, zone, kept)
    assert found.points == len(found.starts) in POINTS[text]
    if text.startswith("last_"):
        assert found.end <= now - (now - day_start(now, zone))
    else:
        assert found.starts[-1] <= now < found.end


def test_a_year_of_months_and_five_years_have_as_many_points_on_every_day() -> None:
    begin = at("2023-12-30T12:00")
    for now in range(begin, begin + 800 * DAY, DAY):
        names = ("1mo", "1y", "1w")
        assert [parse_period(text, now, "UTC", PERIODS).points for text in names[:2]] == [13, 6]
        monday = datetime.fromtimestamp(now, UTC).weekday() == 0
        assert parse_period("1w", now, "UTC", PERIODS).points == (54 if monday else 53)


@pytest.mark.parametrize(
    ("text", "zone", "interval", "first", "end"),
    [
        ("7d", "UTC", DAY, "2015-06-11", "2015-06-18"),
        ("2w", "UTC", WEEK, "2015-06-08", "2015-06-22"),
        ("2w|sunday", "UTC", SUNDAY_WEEK, "2015-06-07", "2015-06-21"),
        ("wtd|sunday", "UTC", DAY, "2015-06-14", "2015-06-18"),
        ("last_week", "UTC", DAY, "2015-06-08", "2015-06-15"),
        ("last_week|Europe/Berlin|sunday", "Europe/Berlin", DAY, "2015-06-07", "2015-06-14"),
        ("last_7d", "UTC", DAY, "2015-06-10", "2015-06-17"),
        ("last_month", "UTC", DAY, "2015-05-01", "2015-06-01"),
        ("12mo", "UTC", MONTH, "2014-07-01", "2015-07-01"),
        ("2015-06-10", "UTC", HOUR, "2015-06-10", "2015-06-11"),
        ("2015-02-10", "UTC", DAY, "2015-02-10", "2015-02-11"),  # its hours are not kept any more
        ("2015-02", "UTC", DAY, "2015-02-01", "2015-03-01"),
        ("1w|sunday", "UTC", SUNDAY_WEEK, "2014-06-15", "2015-06-21"),
        ("1w:2015-06-10..2015-06-17|sunday", "UTC", SUNDAY_WEEK, "2015-06-07", "2015-06-21"),
    ],
)
def test_a_period_begins_and_ends_with_its_buckets(text: str, zone: str, interval: Any, first: str, end: str) -> None:
    found = parse_period(text, NOW, zone, PERIODS)
    assert (found.interval, found.start, found.end) == (interval, at(first, zone), at(end, zone))


def test_a_day_of_hours_has_23_to_25() -> None:
    now, berlin = at("2026-10-26T10:00", "Europe/Berlin"), "Europe/Berlin"
    kept = [(HOUR, None), (DAY, None)]
    for day, hours in (("2026-03-29", 23), ("2026-10-24", 24), ("2026-10-25", 25)):
        assert parse_period(day, now, berlin, kept).points == hours


def test_the_setting_says_with_which_day_weeks_begin() -> None:
    assert parse_period("wtd", NOW, "UTC", PERIODS, week="sunday").start == at("2015-06-14")
    assert parse_period("wtd|monday", NOW, "UTC", PERIODS, week="sunday").start == at("2015-06-15")
    assert parse_period(Span("2015-06-10", interval="week"), NOW, "UTC", PERIODS, week="sunday").start == at(
        "2015-06-07"
    )
    with pytest.raises(PeriodError, match="week: expected monday or sunday, got 'friday'"):
        parse_period("wtd", NOW, "UTC", PERIODS, week="friday")


def test_hours_of_a_zone_of_half_hours_are_cut_at_its_midnight() -> None:
    now, kolkata = at("2026-11-25T10:00"), "Asia/Kolkata"
    found = parse_period("1h:2026-11-20..2026-11-21", now, "UTC", PERIODS, kolkata)
    assert (found.source, found.points, found.start) == (900, 24, at("2026-11-19T18:30"))
    with pytest.raises(PeriodError, match="buckets of 15m, which 1h in Asia/Kolkata is summed from, are kept for 2w, "):
        parse_period("1h:2026-11-01..2026-11-02", now, "UTC", PERIODS, kolkata)
    with pytest.raises(PeriodError, match="are kept for 2w, "):
        parse_period(Span("2026-11-01", "2026-11-02", "hour"), now, "UTC", PERIODS, kolkata)
    with pytest.raises(PeriodError, match="1h in Asia/Kolkata do not align with the stored buckets"):
        parse_period("1h:2026-11-20..2026-11-21", now, "UTC", PERIODS[2:], kolkata)
    assert parse_period(Span("2026-11-20T10:40", "2026-11-20T12:10", "hour"), now, "UTC", PERIODS, kolkata).points == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "monthly",
        "7m",
        "2h:1d",
        "0w",
        "last_0d",
        "last_year",
        "2015-13",
        "2015-02-30",
        "2015",
        "99999999d",
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


@pytest.mark.parametrize(
    "text", ["last7d", "last_30_days", "week", "2d:7d", "3d:1d", "7", "1d:", "7d:1d", "1h:1m", "1mo:7d"]
)
def test_a_period_that_cannot_be_read_names_the_spellings_of_some_days(text: str) -> None:
    with pytest.raises(PeriodError) as refused:
        parse_period(text, NOW, "UTC", PERIODS)
    assert "7d" in str(refused.value).split("got")[0] + str(refused.value).rpartition(":")[2]
    assert "last_7d" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("yesterdy", "yesterday"),
        ("lastweek", "last_week"),
        ("last week", "last_week"),
        ("Today", "today"),
        ("week", "last_week, 7d or wtd"),
        ("this month", "mtd"),
    ],
)
def test_a_misspelt_name_of_a_period_is_told_the_one_that_is_near(text: str, meant: str) -> None:
    with pytest.raises(PeriodError) as refused:
        parse_period(text, NOW, "UTC", PERIODS)
    assert str(refused.value).endswith(f"got '{text}': did you mean {meant}?")


def test_a_year_alone_is_told_how_to_ask_a_year() -> None:
    with pytest.raises(PeriodError, match="got '2026': write a year by months as 1mo:2026-01-01..2027-01-01"):
        parse_period("2026", NOW, "UTC", PERIODS)
    assert parse_period("1mo:2025-01-01..2026-01-01", NOW, "UTC", PERIODS).points == 12


def test_an_interval_and_a_length_in_the_wrong_order_are_told_so() -> None:
    with pytest.raises(PeriodError) as refused:
        parse_period("7d:1d", NOW, "UTC", PERIODS)
    assert str(refused.value) == (
        "period: expected interval:length such as 1d:7d, got '7d:1d', whose length is shorter than its interval: "
        "write 7d for 7 days, or last_7d for 7 days without today"
    )
    for text in ("1d:1d", "1mo:1mo", "1mo:28d", "1w:1w", "1y:1y", "1h:60m"):
        assert parse_period(text, NOW, "UTC", PERIODS).points >= 1


def test_what_is_not_kept_is_refused_with_the_reason() -> None:
    with pytest.raises(
        PeriodError, match="buckets of 30s are not kept, and neither are finer ones to sum; kept are 1m, 15m, 1h, "
    ):
        parse_period("30s", NOW, "UTC", PERIODS)
    with pytest.raises(
        PeriodError, match="buckets of 1m are kept for 1d, but the period begins at 2015-06-15T14:35:00Z"
    ):
        parse_period("1m:2d", NOW, "UTC", PERIODS)


def test_the_oldest_bucket_that_is_still_partly_kept_may_be_asked() -> None:
    assert len(listed(parse_period("1m:1d", NOW, "UTC", PERIODS))) == 1441


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(PeriodError, TooManyPoints):
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


def test_today_in_a_zone_of_half_hours_is_cut_from_its_midnight() -> None:
    now, kolkata = at("2026-01-10T03:40", "Asia/Kolkata"), "Asia/Kolkata"
    found = parse_period("today", now, kolkata, PERIODS)
    assert (found.source, list(found.starts)) == (900, [at(f"2026-01-09T{hour}:30") for hour in (18, 19, 20, 21)])
    hours_only = parse_period("today", now, kolkata, PERIODS[2:])
    assert (hours_only.interval, list(hours_only.starts)) == (DAY, [at("2026-01-10", kolkata)])


@pytest.mark.parametrize(
    ("text", "interval", "source", "first", "count"),
    [
        ("5m:1h", 300, 60, "2015-06-17T13:35", 13),
        ("30m:1d", 1800, 900, "2015-06-16T14:30", 49),
        ("1w", WEEK, DAY, "2014-06-16", 53),
        ("1w:3w", WEEK, DAY, "2015-05-25", 4),
        ("1mo:3mo", MONTH, MONTH, "2015-03-01", 4),
        ("1y", YEAR, MONTH, "2010-01-01", 6),
        ("1h:2015-06-01..2015-06-02", HOUR, HOUR, "2015-06-01", 24),
        ("1h:2015-06-01T06:00..2015-06-01T09:30", HOUR, HOUR, "2015-06-01T06:00", 4),
        ("1w:2012-04-01..2012-05-07", WEEK, DAY, "2012-03-26", 6),
        ("1w:2012-04-02..2012-05-07", WEEK, DAY, "2012-04-02", 5),
    ],
)
def test_what_is_not_stored_is_summed(
    text: str, interval: int | str, source: int | str, first: str, count: int
) -> None:
    found = parse_period(text, NOW, "UTC", PERIODS)
    assert (found.interval, found.source, found.starts[0], found.points) == (interval, source, at(first), count)
    assert len(found.starts) == count


@pytest.mark.parametrize(
    ("zone", "asked", "source", "first"),
    [
        ("UTC", "Europe/Berlin", HOUR, ("2015-06-10", "Europe/Berlin")),
        ("UTC", "Asia/Kolkata", 900, ("2015-06-10", "Asia/Kolkata")),
        ("UTC", "-0700", HOUR, ("2015-06-10", "Etc/GMT+7")),
        ("UTC", "+05:30", 900, ("2015-06-10", "Asia/Kolkata")),
        ("Europe/Berlin", "Europe/Paris", DAY, ("2015-06-10", "Europe/Paris")),
        ("UTC", "UTC", DAY, ("2015-06-10", "UTC")),
        ("Europe/Berlin", "system", DAY, ("2015-06-10", "Europe/Berlin")),
    ],
)
def test_a_day_of_another_zone_is_summed_from_what_fits(zone: str, asked: str, source: int, first: Any) -> None:
    for found in (
        parse_period("seven", NOW, zone, PERIODS, asked),
        parse_period(f"seven|{asked}", NOW, zone, PERIODS),
    ):
        assert (found.source, found.starts[0], found.points) == (source, at(*first), 8)


def test_a_day_that_no_stored_bucket_fits_is_refused_and_never_shifted() -> None:
    with pytest.raises(
        PeriodError, match="which 1d in Europe/Berlin is summed from, are kept for 90d, but the period begins"
    ):
        parse_period("year|Europe/Berlin", NOW, "UTC", PERIODS)
    with pytest.raises(
        PeriodError, match="1d in Asia/Kolkata do not align with the stored buckets .account zone UTC, intervals 1h, 1d"
    ):
        parse_period("seven|Asia/Kolkata", NOW, "UTC", PERIODS[2:])
    with pytest.raises(PeriodError, match="intervals 1d, 1mo"):
        parse_period("1mo|Asia/Tokyo", NOW, "UTC", PERIODS[3:])


def test_a_day_of_23_hours_is_summed_from_23_hours() -> None:
    now = at("2026-03-29T23:10", "Europe/Berlin")
    found = parse_period("2026-03-29..2026-03-30|Europe/Berlin", now, "UTC", PERIODS)
    assert (found.source, found.end - found.start) == (HOUR, 23 * HOUR)
    assert parse_period("today|Europe/Berlin", now, "UTC", PERIODS).points == 23
    assert parse_period("today|Europe/Berlin", now, "UTC", PERIODS, "Asia/Kolkata").points == 23  # its own zone holds


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("-0700", "-07:00"),
        ("-700", "-07:00"),
        ("-7", "-07:00"),
        ("-7.0", "-07:00"),
        ("+05:30", "+05:30"),
        ("0530", "+05:30"),
        ("550", "+05:30"),
        ("5.5", "+05:30"),
        ("545", "+05:45"),
        ("575", "+05:45"),
        ("0", "+00:00"),
        ("1400", "+14:00"),
    ],
)
def test_an_offset_is_read_in_each_of_its_forms(text: str, zone: str) -> None:
    assert zone_of_offset(text) == zone


@pytest.mark.parametrize("text", ["", "x", "5.1", "0710", "+99", "1e3", "--7", "7:5", "+16:00", "٧", "5:30:00"])
def test_what_is_no_offset_is_refused(text: str) -> None:
    with pytest.raises(PeriodError) as refused:
        zone_of_offset(text)
    assert refused.value.field == "tzoffset"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../UTC", "/etc/passwd", "A" * 5000, "America", "Europe/Berl\0in"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(PeriodError) as refused:
        parse_period("today", NOW, "UTC", PERIODS, zone)
    assert refused.value.field in ("tz", "tzoffset")


@given(
    st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "America/Havana", "+05:30"]),
    st.integers(1_300_000_000, 1_500_000_000),
    st.integers(0, 430),
    st.sets(st.integers(0, 430), max_size=2),
)
def test_months_and_days_are_the_same_days(zone: str, first: int, count: int, without: set[int]) -> None:
    days = starts(DAY, bucket_start(DAY, first, zone), bucket_start(DAY, first + count * DAY, zone), zone)
    asked = [day for position, day in enumerate(days) if position not in without]
    found = widest(asked, zone)
    covered = [starts(DAY, at, next_start(interval, at, zone), zone) for interval, at in found]
    assert [day for some in covered for day in some] == asked
    assert len([at for interval, at in found if interval == DAY]) <= 60 + 31 * len(without)


def test_what_a_period_was_then_is_answered_by_what_is_kept_now() -> None:
    then = NOW - 200 * DAY
    found = parse_period("today", NOW, "UTC", PERIODS, at=then)
    assert (found.interval, list(found.starts)) == (DAY, [then - then % DAY])
    assert parse_period("today", NOW, "UTC", PERIODS, at=NOW - 50 * DAY).interval == HOUR
    with pytest.raises(PeriodError, match="buckets of 1h are kept for 90d"):
        parse_period("1h:1d", NOW, "UTC", PERIODS, at=then)


def test_a_period_may_begin_later() -> None:
    found = parse_period("seven", NOW, "UTC", PERIODS, start_at=at("2015-06-15T12:00"))
    assert list(found.starts) == [at(f"2015-06-{day}") for day in (15, 16, 17)]
    kolkata = parse_period("today|Asia/Kolkata", NOW, "UTC", PERIODS, start_at=at("2015-06-17T12:50"))
    assert list(kolkata.starts) == [at("2015-06-17T12:30"), at("2015-06-17T13:30"), at("2015-06-17T14:30")]


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


@pytest.mark.parametrize(
    ("now", "period", "days"),
    [
        ("2011-12-31T00:30", "last_1d", [29]),
        ("2011-12-31T00:30", "yesterday", [29]),
        ("2011-12-31T00:30", "2d", [29, 31]),
        ("2012-01-02T12:00", "last_1d", [1]),
        ("2012-01-02T12:00", "last_2d", [31, 1]),
        ("2012-01-02T12:00", "last_3d", [29, 31, 1]),
        ("2012-01-02T12:00", "7d", [26, 27, 28, 29, 31, 1, 2]),
        ("2012-01-02T12:00", "1d:1w", [26, 27, 28, 29, 31, 1, 2]),
        ("2012-01-02T12:00", Span("2011-12-28", buckets=3), [28, 29, 31]),
        ("2012-01-02T12:00", Span("2011-12-30", buckets=2), [31, 1]),
    ],
)
def test_so_many_days_are_days_that_there_were(now: str, period: Any, days: list[int]) -> None:
    apia = "Pacific/Apia"  # 2011-12-30 was left out
    found = parse_period(period, at(now, apia), apia, PERIODS)
    assert [datetime.fromtimestamp(day, ZoneInfo(apia)).day for day in found.starts] == days


@pytest.mark.parametrize("period", ["2011-12-30", "2011-12-30..2011-12-31", "12/30/2011-12/30/2011"])
def test_a_day_that_a_zone_left_out_is_no_period(period: str) -> None:
    assert parse_period(period, NOW, "UTC", PERIODS).points in (1, 24)
    with pytest.raises(PeriodError):
        parse_period(period, NOW, "UTC", PERIODS, "Pacific/Apia")


def test_a_day_begins_once_where_the_clock_goes_back_over_midnight() -> None:
    st_johns = "America/St_Johns"  # 2010-11-07 00:01 back to 2010-11-06 23:01
    begins = day_start(at("2010-11-07T12:00", st_johns), st_johns)
    assert day_start(begins + 30 * 60, st_johns) == begins
    assert day_start(begins - 1, st_johns) < begins


@given(
    st.sampled_from(ZONES),
    st.integers(-2_208_988_800, 4_102_444_800),
    st.sampled_from([DAY, WEEK, MONTH, YEAR, 60, 900, HOUR]),
)
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
    st.sampled_from([DAY, WEEK, MONTH, YEAR, HOUR]),
)
def test_points_says_how_long_the_list_is(zone: str, first: int, length: int, interval: int | str) -> None:
    start = bucket_start(interval, first, zone)
    skipped = zone == "Pacific/Apia" and interval == DAY
    assert len(starts(interval, start, start + length, zone)) in (
        points(interval, start, start + length, zone),
        points(interval, start, start + length, zone) - skipped,
    )


def test_intervals_have_short_names() -> None:
    assert [interval_name(i) for i in (15, 60, 300, 900, 3600, DAY, WEEK, MONTH, YEAR)] == [
        "15s",
        "1m",
        "5m",
        "15m",
        "1h",
        "1d",
        "1w",
        "1mo",
        "1y",
    ]


def test_a_bucket_holds_its_start_and_not_its_end() -> None:
    assert bucket_start(HOUR, datetime(2015, 6, 17, 10, 42, tzinfo=UTC).timestamp(), "UTC") == at("2015-06-17T10:00")
    assert bucket_start(HOUR, at("2015-06-17T11:00"), "UTC") == at("2015-06-17T11:00")
    assert bucket_start(60, -0.5, "UTC") == -60


# A start, and a finish or a number of buckets


def span(start: object, zone: str = "UTC", asked: str = "", periods: Any = PERIODS, **more: Any) -> Range:
    return parse_period(Span(start, **more), NOW, zone, periods, asked)


@pytest.mark.parametrize(
    ("asked", "first", "last", "count"),
    [
        (Span("2015-06-15T10:42:30", "2015-06-15T13:00", "hour"), "2015-06-15T10:00", "2015-06-15T12:00", 3),
        (Span("2015-06-15T10:42", "2015-06-15T13:00:01", "hour"), "2015-06-15T10:00", "2015-06-15T13:00", 4),
        (Span("2015-06-17T13:59:59Z", interval="15m"), "2015-06-17T13:45", "2015-06-17T14:30", 4),
        (Span(NOW - 90, interval="minute"), "2015-06-17T14:33", "2015-06-17T14:35", 3),
        (Span(str(NOW - 90), interval="minutes"), "2015-06-17T14:33", "2015-06-17T14:35", 3),
        (Span("2015-06-10"), "2015-06-10", "2015-06-17", 8),
        (Span("2015-06-10", "2015-06-12"), "2015-06-10", "2015-06-11", 2),
        (Span("2015-06-10", buckets=3), "2015-06-10", "2015-06-12", 3),
        (Span("2012-04-04", interval="week", buckets=5), "2012-04-02", "2012-04-30", 5),
        (Span("2012-04-02", interval="1mo", buckets=5), "2012-04-01", "2012-08-01", 5),
        (Span("2013-05-05", interval="year"), "2013-01-01", "2015-01-01", 3),
        (Span(datetime(2015, 6, 16, 9, tzinfo=ZoneInfo("Europe/Berlin")), buckets=1), "2015-06-16", "2015-06-16", 1),
        (Span("2015-06-17", buckets=30), "2015-06-17", "2015-07-16", 30),
    ],
)
def test_a_range_begins_with_the_bucket_of_its_start(asked: Span, first: str, last: str, count: int) -> None:
    found = parse_period(asked, NOW, "UTC", PERIODS)
    assert (listed(found)[0], listed(found)[-1], len(listed(found))) == (at(first), at(last), count)


@pytest.mark.parametrize("zone", ZONES)
@given(
    first=st.integers(NOW - 80 * DAY, NOW),
    length=st.integers(1, 70 * DAY),
    interval=st.sampled_from(["15m", "hour", "day", "week", "month", "year"]),
)
def test_a_range_has_each_bucket_that_it_touches_and_no_other(
    zone: str, first: int, length: int, interval: str
) -> None:
    for_ever = [(900, None), (HOUR, None), (DAY, None), (MONTH, None)]
    found = span(first, zone, periods=for_ever, finish=first + length, interval=interval)
    names = listed(found, zone)
    edges = [*names, found.end]
    wide = next_start(found.interval, names[0], zone) - names[0]
    offset = datetime.fromtimestamp(first, ZoneInfo(zone)).utcoffset()
    assert offset is not None

    def bucket(moment: int) -> int:
        if interval not in ("15m", "hour"):
            return bucket_start(found.interval, moment, zone)
        return moment - int(moment + offset.total_seconds()) % wide  # on the local clock of its first moment

    moments = [*range(first, first + length, min(HOUR, wide) // 4), first + length - 1]
    assert set(names) == set(map(bucket, moments))
    assert edges == sorted(set(edges))
    assert span(first, zone, periods=for_ever, interval=interval, buckets=len(names)) == found


def test_a_start_without_an_offset_is_of_the_zone_that_is_asked() -> None:
    found = span("2015-06-16", asked="America/Phoenix", finish="2015-06-17")
    assert (found.start, found.points) == (at("2015-06-16T07:00"), 1)
    assert span("2015-06-16T00:00Z", asked="America/Phoenix", buckets=1).start == at("2015-06-15T07:00")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"start": "2015-06-16", "finish": "2015-06-15"}, "finish"),
        ({"start": "2015-06-16", "finish": "2015-06-16"}, "finish"),
        ({"start": "2015-06-16", "finish": "2015-06-17", "buckets": 1}, "finish"),
        ({"start": "2015-06-18"}, "start"),
        ({"start": "yesterday"}, "start"),
        ({"start": "nan"}, "start"),
        ({"start": "1e400"}, "start"),
        ({"start": "9999-12-31", "buckets": 1}, "start"),
        ({"start": "1899-12-31"}, "start"),
        ({"start": 1_434_551_720_000_000_000}, "start"),
        ({"start": True}, "start"),
        ({"start": [1]}, "start"),
        ({"start": "2015-06-16", "finish": "\0"}, "finish"),
        ({"start": "2015-06-16", "interval": "fortnight"}, "interval"),
        ({"start": "2015-06-16", "interval": "7m"}, "interval"),
        ({"start": "2015-06-16", "interval": "2d"}, "interval"),
        ({"start": "2015-06-16", "interval": "9" * 9 + "y"}, "interval"),
        ({"start": "2015-06-16", "interval": ""}, "interval"),
        ({"start": "2015-05-16", "interval": "minute", "buckets": 5}, "interval"),
        ({"start": "1915-06-16", "interval": "minute"}, "interval"),
        ({"start": "2015-06-16", "buckets": 0}, "buckets"),
        ({"start": "2015-06-16", "buckets": -1}, "buckets"),
        ({"start": "2015-06-16", "buckets": 10_001}, "buckets"),
        ({"start": "2015-06-16", "interval": "year", "buckets": 9_000}, "start"),
    ],
)
def test_a_range_that_cannot_be_answered_names_its_part(asked: dict[str, Any], field: str) -> None:
    with pytest.raises((PeriodError, TooManyPoints)) as error:
        span(**asked)
    assert error.value.field == field
    assert str(error.value).startswith(f"{field}: ")
    assert len(str(error.value)) < 300

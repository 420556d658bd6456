"""Intervals, buckets and periods: calendar arithmetic only, no clock and no store.

An interval is the width of a bucket: a number of seconds that divides an hour (cut in UTC), `DAY` (a local day) or
`MONTH` (a local calendar month). A bucket is named by the epoch second it begins at. Days and months are cut in an
IANA zone, so a day may have 23 or 25 hours. A day begins at the first instant whose local date is that day or later;
so days never overlap, whatever a zone does at midnight, and a day that a zone left out (Samoa, 2011-12-30) has no
bucket.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from whale.errors import PeriodError

MINUTE, HOUR, DAY, WEEK = 60, 3600, 86_400, 7 * 86_400
MONTH = "1mo"
UNITS = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK, "mo": 31 * DAY, "y": 365 * DAY}
UNIT_WORDS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks", "mo": "months", "y": "years"}
FIRST_YEAR, LAST_YEAR = 1900, 9000
FIRST = -2_208_988_800  # 1900-01-01

Interval = int | str
Kept = Iterable[tuple[Interval, float | None]]


@dataclass(frozen=True, slots=True)
class Range:
    """The half-open [start, end), on bucket edges of the interval, in epoch seconds."""

    interval: Interval
    start: int
    end: int


# Buckets


@lru_cache(maxsize=65_536)
def day_start(at: int, zone: str) -> int:
    """Where the local day that contains `at` begins: epoch seconds. A coarse `at` (a quarter) uses the cache well."""
    if zone == "UTC":
        return at - at % DAY
    day = datetime.fromtimestamp(at, ZoneInfo(zone)).date()
    after = _midnight(day.toordinal() + 1, zone)  # begun already where a clock was put back over midnight
    return after if after <= at else _midnight(day.toordinal(), zone)


@lru_cache(maxsize=65_536)
def month_start(at: int, zone: str) -> int:
    """Where the local calendar month that contains `at` begins, in epoch seconds."""
    day = date.fromordinal(_day(at, zone))
    return _midnight(day.replace(day=1).toordinal(), zone)


def bucket_start(interval: Interval, at: float, zone: str) -> int:
    """The bucket that contains `at`: 10:42 is in hour [10:00, 11:00)."""
    second = int(at // 1)
    if interval == MONTH:
        return month_start(second, zone)
    if interval == DAY:
        return day_start(second, zone)
    assert isinstance(interval, int)
    return second - second % interval


def next_start(interval: Interval, start: int, zone: str) -> int:
    """Where the bucket after the one that begins at `start` begins."""
    if interval == MONTH:
        day = date.fromordinal(_day(start, zone))
        return _midnight(_month(day, 1).toordinal(), zone)
    if interval == DAY:
        return _midnight(_day(start, zone) + 1, zone)
    assert isinstance(interval, int)
    return start + interval


def starts(interval: Interval, start: int, end: int, zone: str) -> Sequence[int]:
    """The starts of the buckets that begin in [start, end), in order. Ask `points` first: the list is that long."""
    first = bucket_start(interval, start, zone)
    if first < start:
        first = next_start(interval, first, zone)
    if isinstance(interval, int) and interval < DAY:
        return range(first, end, interval)
    return list(_walk(interval, first, end, zone))


def points(interval: Interval, start: int, end: int, zone: str) -> int:
    """How many buckets [start, end) takes, without listing them (a day that a zone left out is counted)."""
    if end <= start:
        return 0
    if interval == MONTH:
        first, last = (date.fromordinal(_day(at, zone)) for at in (start, end - 1))
        return (last.year - first.year) * 12 + last.month - first.month + 1
    if interval == DAY:
        return _day(end - 1, zone) - _day(start, zone) + 1
    assert isinstance(interval, int)
    return -(-(end - start) // interval)


def interval_name(interval: Interval) -> str:
    """`15s`, `1m`, `15m`, `1h`, `1d`, `1mo`."""
    if isinstance(interval, str):
        return interval
    unit = next(unit for unit in ("d", "h", "m", "s") if interval % UNITS[unit] == 0)
    return f"{interval // UNITS[unit]}{unit}"


def _walk(interval: Interval, at: int, end: int, zone: str) -> Iterator[int]:
    while at < end:
        yield at
        at = next_start(interval, at, zone)


def _day(at: int, zone: str) -> int:
    """The ordinal of the local day that contains `at`."""
    day = datetime.fromtimestamp(at, UTC if zone == "UTC" else ZoneInfo(zone)).date().toordinal()
    return day + 1 if zone != "UTC" and _midnight(day + 1, zone) <= at else day


def _month(day: date, months: int) -> date:
    """The first of the month so many months after that of `day`."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, 1)


@lru_cache(maxsize=65_536)
def _midnight(ordinal: int, zone: str) -> int:
    """The first instant whose local date is that day or later."""
    day = date.fromordinal(ordinal)
    tz = ZoneInfo(zone)
    midnight = datetime(day.year, day.month, day.day, tzinfo=tz)
    at = int(midnight.timestamp())
    if datetime.fromtimestamp(at, tz).date() == day and datetime.fromtimestamp(at - 1, tz).date() < day:
        return at
    low, high = at - 2 * DAY, at + 1  # midnight was skipped: look for the jump
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, tz).date() < day:
            low = middle
        else:
            high = middle
    return high


# Periods, as people write them

NAMED = {
    "thirty": "1d:1mo",
    "year": "1d:1y",
    "seven": "1d:1w",
    "day": "1h:1d",
    "24h": "1h:1d",
    "hours": "1h:1d",
    "hour": "1m:1h",
}
LENGTH_OF = {DAY: "1y", HOUR: "1d", 15 * MINUTE: "1d", MINUTE: "1h", MONTH: "1y"}  # of an interval alone
DEFAULT = "thirty"
EXPECTED = "expected a name as today or thirty, interval:length as 1h:7d, or two dates as 2026-01-01..2026-02-01"


def parse_period(text: str | int | None, now: float, zone: str, periods: Kept) -> Range:
    """The range that a period means at `now` in a zone, as the table in docs/http.md.

    periods: (interval, retention in seconds or None) of what is kept.
    Raises PeriodError: unknown, or not kept, or not kept so far back.
    """
    kept = dict(periods)
    try:
        found = _parse(str(DEFAULT if text is None else text).strip(), now, zone, kept)
        _check_kept(found, now, zone, kept)
    except (OverflowError, OSError):
        raise PeriodError(f"expected years {FIRST_YEAR} to {LAST_YEAR}, got {_shown(text)}") from None
    return found


def _parse(text: str, now: float, zone: str, kept: dict[Interval, float | None]) -> Range:
    today = day_start(int(now // 1), zone)
    tomorrow = next_start(DAY, today, zone)
    match text:
        case "today":
            return Range(HOUR, _hour_edge(today), bucket_start(HOUR, now, zone) + HOUR)
        case "yesterday":
            return Range(DAY, day_start(today - 1, zone), today)
        case "wtd":
            ordinal = _day(today, zone)
            return Range(DAY, _midnight(ordinal - date.fromordinal(ordinal).weekday(), zone), tomorrow)
        case "mtd":
            return Range(DAY, month_start(today, zone), tomorrow)
        case "ytd":
            year = date.fromordinal(_day(today, zone)).year
            return Range(DAY, _midnight(date(year, 1, 1).toordinal(), zone), tomorrow)
    if dates := re.fullmatch(r"([0-9][0-9]/[0-9][0-9]/[0-9]{4})-([0-9][0-9]/[0-9][0-9]/[0-9]{4})", text):
        first, last = (_date(part, "%m/%d/%Y", text) for part in dates.groups())
        return _days(first, last + timedelta(days=1), zone, text)
    if dates := re.fullmatch(r"([0-9]{4}-[0-9][0-9]-[0-9][0-9])\.\.([0-9]{4}-[0-9][0-9]-[0-9][0-9])", text):
        first, last = (_date(part, "%Y-%m-%d", text) for part in dates.groups())
        return _days(first, last, zone, text)
    interval_text, colon, length_text = NAMED.get(text, text).partition(":")
    interval = _interval(interval_text, text)
    if not colon:
        length_text = LENGTH_OF.get(interval) or f"{60 * int(interval)}s"
    return _back(interval, _seconds(length_text, text), now, zone)


def _back(interval: Interval, length_s: int, now: float, zone: str) -> Range:
    """From the bucket `length_s` ago to the one that contains now, both taken."""
    if length_s > now - FIRST:
        raise OverflowError
    last = bucket_start(interval, now, zone)
    end = next_start(interval, last, zone)
    if interval == DAY and length_s % DAY == 0:  # by the calendar: a day of 23 hours is a day
        return Range(interval, _midnight(_day(last, zone) - length_s // DAY, zone), end)
    start = bucket_start(interval, (now if isinstance(interval, str) or interval == DAY else last) - length_s, zone)
    return Range(interval, start, end)


def _interval(text: str, period: str) -> Interval:
    """`1mo`, `15m`, or seconds as `86400`."""
    found = re.fullmatch(r"([0-9]{1,9})\s*([a-z]*)", text)
    unit = _unit(found[2]) if found and found[2] else "s"
    if not found or not unit or int(found[1]) == 0:
        raise PeriodError(f"{EXPECTED}; got {_shown(period)}")
    if unit == "mo" and int(found[1]) == 1:
        return MONTH
    seconds = int(found[1]) * UNITS[unit]
    if unit == "mo" or not (seconds == DAY or (seconds <= HOUR and HOUR % seconds == 0)):
        raise PeriodError(f"expected buckets that divide an hour, or of 1d or 1mo, got {_shown(text)}")
    return seconds


def _seconds(text: str, period: str) -> int:
    found = re.fullmatch(r"([0-9]{1,12})\s*([a-z]*)", text)
    unit = _unit(found[2]) if found and found[2] else "s"
    if not found or not unit or int(found[1]) == 0:
        raise PeriodError(f"{EXPECTED}; got {_shown(period)}")
    return int(found[1]) * UNITS[unit]


def _unit(text: str) -> str | None:
    """`m`, `min`, `minutes` -> m; `mo`, `months` -> mo."""
    return next((unit for unit in ("mo", *UNITS) if text.startswith(unit) and UNIT_WORDS[unit].startswith(text)), None)


def _date(text: str, form: str, period: str) -> date:
    try:
        found = datetime.strptime(text, form).date()
    except ValueError:
        raise PeriodError(f"expected dates of the calendar, got {_shown(period)}") from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise OverflowError
    return found


def _days(first: date, last: date, zone: str, period: str) -> Range:
    if last <= first:
        raise PeriodError(f"expected the end after the start, got {_shown(period)}")
    return Range(DAY, _midnight(first.toordinal(), zone), _midnight(last.toordinal(), zone))


def _hour_edge(at: int) -> int:
    """The first whole hour at or after: in a zone of half hours a local day begins inside an hour."""
    return -(-at // HOUR) * HOUR


def _check_kept(asked: Range, now: float, zone: str, kept: dict[Interval, float | None]) -> None:
    name = interval_name(asked.interval)
    if asked.interval not in kept:
        raise PeriodError(f"buckets of {name} are not kept; kept are {', '.join(map(interval_name, kept))}")
    retention = kept[asked.interval]
    if retention is not None and next_start(asked.interval, asked.start, zone) <= now - retention:
        since = datetime.fromtimestamp(asked.start, UTC).isoformat().replace("+00:00", "Z")
        raise PeriodError(f"buckets of {name} are kept for {_length(retention)}, the period begins at {since}")


def _length(seconds: float) -> str:
    return interval_name(int(seconds)) if seconds == int(seconds) else f"{seconds}s"


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."

"""Intervals, buckets and periods: calendar arithmetic only, no clock and no store.

An interval is the width of a bucket: a number of seconds that divides an hour (stored ones are cut in UTC), `DAY` (a local
day), `WEEK` (from Monday), `SUNDAY_WEEK`, `MONTH` or `YEAR` (of the local calendar). A bucket
is named by the epoch second it begins at. What is local is cut in a zone, so a day may have 23 or 25 hours. A day begins
at the first instant whose local date is that day or later; so days never overlap, whatever a zone does at midnight, and
a day that a zone left out (Samoa, 2011-12-30) has no bucket.

A zone is an IANA name, or an offset from UTC as `-07:00`. Days and months are stored in the account's zone. A range in
another zone, or in an interval that is not stored, is read from a stored interval whose buckets begin wherever the
asked ones do (`Range.source`), else it is refused: a day is never shifted without a word.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any, TypeGuard
from zoneinfo import ZoneInfo

from hail.meant import near
from hail.room import calendar
from hail.times import SECOND, NoTime, time_of
from whale.errors import PeriodError, TooManyPoints

MINUTE, QUARTER, HOUR, DAY, WEEK = 60, 900, 3600, 86_400, 7 * 86_400
MONTH, YEAR, SUNDAY_WEEK = "1mo", "1y", "1w from Sunday"
UNITS = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK, "mo": 31 * DAY, "y": 365 * DAY}
UNIT_WORDS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks", "mo": "months", "y": "years"}
FIRST_YEAR, LAST_YEAR = 1900, 9000
FIRST = -2_208_988_800  # 1900-01-01
LAST = 221_845_392_000  # 9000-01-01

Interval = int | str
Kept = Iterable[tuple[Interval, float | None]]
CALENDAR_DAYS: dict[Interval, int] = {DAY: 1, WEEK: 7, SUNDAY_WEEK: 7}
WEEKS: dict[Interval, int] = {WEEK: 1, SUNDAY_WEEK: 0}
"""Kinds of weeks, and the ordinal, modulo 7, of the day that each begins with."""
WEEK_STARTS: dict[str, Interval] = {"monday": WEEK, "sunday": SUNDAY_WEEK}
WEEK_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS: dict[Interval, int] = {MONTH: 1, YEAR: 12}


@dataclass(frozen=True, slots=True)
class Range:
    """The half-open [start, end), in epoch seconds, on edges of the interval's buckets in the zone.

    Buckets below a day are cut from `start` on; the last one ends with the range: of a day on which a clock changed by half an hour it is
    half an hour. source: the stored interval that answers, where it is another one.
    parts: the ranges that it is read from, where its end cuts a bucket and no one stored interval answers all of it.
    """

    interval: Interval
    start: int
    end: int
    zone: str = "UTC"
    source: Interval | None = None
    parts: tuple["Range", ...] = ()

    @property
    def starts(self) -> Sequence[int]:
        """Where its buckets begin."""
        return starts(self.interval, self.start, self.end, self.zone)

    @property
    def points(self) -> int:
        """How many buckets it has, without listing them; a day that a zone left out is counted."""
        return points(self.interval, self.start, self.end, self.zone)


@dataclass(frozen=True, slots=True)
class Span:
    """A range as a start, and a finish or a number of buckets; `interval` is how wide these are. Stands for a period.

    start, finish: what hail/times.py reads; text without an offset is local time of the zone that is asked.
    The bucket that contains the start is the first. The finish is not in it; left out it is now, and the bucket of now
    is the last. interval: minute, hour, day, week, month, year, or as in a period: `15m`.
    """

    start: Any
    finish: Any = None
    interval: str = "day"
    buckets: int | None = None

    def __str__(self) -> str:
        last = f"+{self.buckets}" if self.finish is None and self.buckets is not None else self.finish
        return f"{self.interval}:{self.start}..{'' if last is None else last}"


# Zones


@lru_cache(maxsize=1024)
def tz(zone: str) -> tzinfo:
    """The zone of a name or of an offset as `+05:30`; raises PeriodError."""
    if zone[:1] in ("+", "-"):
        hours, minutes = int(zone[1:3]), int(zone[4:6])
        offset = timedelta(hours=hours, minutes=minutes)
        return timezone(-offset if zone[0] == "-" else offset)
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}", zone):
        try:
            return ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            pass
    raise PeriodError(
        f"expected an IANA zone such as Europe/Berlin, or an offset such as -07:00, got {_shown(zone)}", "tz"
    )


def zone_of_offset(text: str) -> str:
    """The zone of an offset: `-0700` or `-07:00`, hours as `-7` or `5.5`, or hundredths of hours as `-700` or `550`.

    Raises PeriodError. No text is both: minutes end in 00, 15, 30 or 45, hundredths in 00, 25, 50 or 75.
    """
    expected = f"expected an offset in quarters of an hour such as -0700, +05:30, -7 or 5.5, got {_shown(text)}"
    found = re.fullmatch(r"([+-]?)([0-9]{1,2})(?::([0-9]{2})|(\.[0-9]{1,4})|([0-9]{2}))?", text.strip(), re.ASCII)
    if not found:
        raise PeriodError(expected, "tzoffset")
    sign, hours, minutes, fraction, two = found.groups()
    if fraction:
        quarters = float(fraction) * 4
    elif two:
        quarters = int(two) / 15 if two in ("00", "15", "30", "45") else int(two) / 25
    else:
        quarters = int(minutes or 0) / 15
    if quarters != int(quarters) or quarters > 3 or int(hours) * 4 + quarters > 15 * 4:
        raise PeriodError(expected, "tzoffset")
    return f"{sign or '+'}{int(hours):02}:{int(quarters) * 15:02}"


def zone_asked(text: str, account_zone: str) -> str:
    """The zone of the part after `|` in a period: a name, an offset, or `system`, the account's own."""
    if text == "system":
        return account_zone
    if text[:1] not in "+-0123456789":
        tz(text)
        return text
    try:
        return zone_of_offset(text)
    except PeriodError as error:
        raise error.named("tz") from None


# Buckets


@calendar
@lru_cache(maxsize=16_384)
def day_start(at: int, zone: str) -> int:
    """Where the local day that contains `at` begins: epoch seconds. A coarse `at` (a quarter) uses the cache well."""
    if zone == "UTC":
        return at - at % DAY
    day = datetime.fromtimestamp(at, tz(zone)).date()
    after = midnight(day.toordinal() + 1, zone)  # begun already where a clock was put back over midnight
    return after if after <= at else midnight(day.toordinal(), zone)


@calendar
@lru_cache(maxsize=16_384)
def month_start(at: int, zone: str) -> int:
    """Where the local calendar month that contains `at` begins, in epoch seconds."""
    day = date.fromordinal(day_of(at, zone))
    return midnight(day.replace(day=1).toordinal(), zone)


def bucket_start(interval: Interval, at: float, zone: str) -> int:
    """The bucket that contains `at`: 10:42 is in hour [10:00, 11:00)."""
    second = int(at // 1)
    if interval == DAY:
        return day_start(second, zone)
    if interval == MONTH:
        return month_start(second, zone)
    if interval in WEEKS:
        ordinal = day_of(second, zone)
        return midnight(ordinal - (ordinal - WEEKS[interval]) % 7, zone)
    if interval == YEAR:
        return midnight(date(date.fromordinal(day_of(second, zone)).year, 1, 1).toordinal(), zone)
    assert isinstance(interval, int)
    return second - second % interval


def next_start(interval: Interval, start: int, zone: str, count: int = 1) -> int:
    """Where the bucket after the one that begins at `start` begins; or so many buckets after it, before it if less than 0.

    A day that a zone left out is no bucket.
    """
    if interval == DAY and count != 1:  # the next one begins at once after a day that was left out
        return _days_on(start, count, zone)
    if interval in CALENDAR_DAYS:
        return midnight(day_of(start, zone) + count * CALENDAR_DAYS[interval], zone)
    if isinstance(interval, str):
        return midnight(_month(date.fromordinal(day_of(start, zone)), count * MONTHS[interval]).toordinal(), zone)
    assert isinstance(interval, int)
    return start + count * interval


def _days_on(start: int, count: int, zone: str) -> int:
    """Where the day begins that is so many days, which there were, after the one that begins at `start`."""
    day = day_of(start, zone)
    found = midnight(day + count, zone)
    left_out = max(0, abs(count) - round(abs(found - start) / DAY))
    return midnight(day + count + (left_out if count > 0 else -left_out), zone) if left_out else found


def starts(interval: Interval, start: int, end: int, zone: str) -> Sequence[int]:
    """The starts of the buckets that begin in [start, end), in order. Ask `points` first: the list is that long.

    Below a day the first one begins at `start`.
    """
    if _is_short(interval):
        return range(start, end, interval)
    return _listed(interval, start, end, zone)


def widest(days: Sequence[int], zone: str) -> list[tuple[Interval, int]]:
    """Days, given by their starts in order, as the months that are whole among them and the days that are left."""
    found: list[tuple[Interval, int]] = []
    at = 0
    while at < len(days):
        month: Sequence[int] = ()
        if month_start(days[at], zone) == days[at]:
            month = starts(DAY, days[at], next_start(MONTH, days[at], zone), zone)
        whole = len(month) > 0 and list(days[at : at + len(month)]) == list(month)
        found.append((MONTH if whole else DAY, days[at]))
        at += len(month) if whole else 1
    return found


def points(interval: Interval, start: int, end: int, zone: str) -> int:
    """How many buckets [start, end) takes, without listing them (a day that a zone left out is counted)."""
    if end <= start:
        return 0
    if interval in MONTHS:
        first, last = (date.fromordinal(day_of(at, zone)) for at in (start, end - 1))
        years = last.year - first.year
        return years + 1 if interval == YEAR else years * 12 + last.month - first.month + 1
    if interval in CALENDAR_DAYS:
        days, first_day = CALENDAR_DAYS[interval], WEEKS.get(interval, 0)
        return (day_of(end - 1, zone) - first_day) // days - (day_of(start, zone) - first_day) // days + 1
    assert isinstance(interval, int)
    return -(-(end - start) // interval)


def interval_name(interval: Interval) -> str:
    """`15s`, `1m`, `15m`, `1h`, `1d`, `1w`, `1mo`, `1y`."""
    if interval in WEEKS:
        return "1w"
    if isinstance(interval, str):
        return interval
    unit = next(unit for unit in ("w", "d", "h", "m", "s") if interval % UNITS[unit] == 0)
    return f"{interval // UNITS[unit]}{unit}"


@calendar
@lru_cache(maxsize=32)
def _listed(interval: Interval, start: int, end: int, zone: str) -> tuple[int, ...]:
    at = bucket_start(interval, start, zone)
    if at < start:
        at = next_start(interval, at, zone)
    found = []
    while at < end:
        found.append(at)
        at = next_start(interval, at, zone)
    return tuple(found)


def day_of(at: int, zone: str) -> int:
    """The ordinal of the local day that contains `at`."""
    day = datetime.fromtimestamp(at, UTC if zone == "UTC" else tz(zone)).date().toordinal()
    return day + 1 if zone != "UTC" and midnight(day + 1, zone) <= at else day


def _month(day: date, months: int) -> date:
    """The first of the month so many months after that of `day`."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, 1)


@calendar
@lru_cache(maxsize=16_384)
def midnight(ordinal: int, zone: str) -> int:
    """The first instant whose local date is that day or later."""
    day = date.fromordinal(ordinal)
    local = tz(zone)
    at = int(datetime(day.year, day.month, day.day, tzinfo=local).timestamp())
    if datetime.fromtimestamp(at, local).date() == day and datetime.fromtimestamp(at - 1, local).date() < day:
        return at
    low, high = at - 2 * DAY, at + 1  # midnight was skipped: look for the jump
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, local).date() < day:
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
LENGTH_OF = {WEEK: "1y", DAY: "1y", HOUR: "1d", QUARTER: "1d", MINUTE: "1h", MONTH: "1y", YEAR: "5y"}  # alone
DEFAULT = "thirty"
SEVEN_DAYS = "write 7d for 7 days, or last_7d for 7 days without today"
A_YEAR = "write a year by months as 1mo:2026-01-01..2027-01-01"
EXPECTED = (
    "expected a name such as today or thirty, a number of buckets such as 7d, whole days before today such as last_7d, "
    "interval:length such as "
    "1h:7d, a date such as 2026-01-05, or two such as 2026-01-01..2026-02-01"
)
WORDS = (*NAMED, "today", "yesterday", "wtd", "mtd", "ytd", "last_week", "last_month")
MEANT = {
    "week": "last_week, 7d or wtd",
    "this_week": "wtd",
    "month": "last_month, thirty or mtd",
    "this_month": "mtd",
    "this_year": "ytd",
    "now": "today or hour",
}
"""What people write who have not read the table, and the names that there are for it."""
ONE_OF = {
    "hour": "1h",
    "today": "1d",
    "yesterday": "1d",
    "day": "1d",
    "wtd": "1w",
    "last_week": "1w",
    "mtd": "1mo",
    "last_month": "1mo",
    "ytd": "1y",
    "year": "1y",
}
"""Names of one bucket that are read by narrower ones, or are not the bucket of now."""
BY_DAYS = ("thirty", "seven")
BUCKETS_OF: dict[str, Interval] = {"h": HOUR, "d": DAY, "w": WEEK, "mo": MONTH, "y": YEAR}
"""The intervals of which a number of buckets may be asked, as `7d`."""
MOST_MEANT = 100
"""Buckets that a text is taken to have meant."""
MAX_POINTS = 10_000
MAX_SOURCE_POINTS = 50_000
"""Stored buckets that one series may be summed from."""
_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2})?"
_LAST_DAYS = re.compile(r"last_([0-9]{1,9})d", re.ASCII)
_A_YEAR = re.compile(r"(?:19|20)[0-9]{2}", re.ASCII)
_A_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}", re.ASCII)
_A_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DAYS = re.compile(r"([0-9][0-9]/[0-9][0-9]/[0-9]{4})-([0-9][0-9]/[0-9][0-9]/[0-9]{4})")
_BETWEEN = re.compile(rf"(?:([0-9]{{1,9}}\s*[a-z]*):)?({_ISO})\.\.({_ISO})", re.ASCII)


def parse_period(
    text: str | int | Span | None,
    now: float,
    zone: str,
    periods: Kept | None,
    asked_zone: str = "",
    max_points: int = MAX_POINTS,
    start_at: float | None = None,
    at: float | None = None,
    week: str = "monday",
) -> Range:
    """The range that a period means at `now`, as the table in docs/http/periods.md, and the stored interval that answers it.

    zone: the account's.  periods: (interval, retention in seconds or None) of what is kept; None where times are, as in a log.
    asked_zone: a name or an offset; the period may also end in `|zone`, which then holds.  start_at: only from the bucket with it on.
    week: the day that weeks begin with, of WEEK_STARTS; the period may also end in `|sunday`, which then holds.
    at: the period as it was then; what is kept is still told by `now`.
    Raises PeriodError (unknown; not kept, or not so far back; no stored bucket fits) and TooManyPoints.
    """
    period, *after = ("" if isinstance(text, Span) else DEFAULT if text is None else str(text)).strip().split("|")
    if after and after[-1] in WEEK_STARTS:
        week = after.pop()
    if week not in WEEK_STARTS:
        raise PeriodError(f"expected {' or '.join(WEEK_STARTS)}, got {_shown(week)}", "week")
    weeks = WEEK_STARTS[week]
    if after and after[-1].lower() in WEEK_DAYS:
        said = f"expected a zone, or {' or '.join(WEEK_STARTS)} as the day that weeks begin with"
        raise PeriodError(f"{said}, got {_shown(after[-1])}", "tz")
    own_zone = "|".join(after) or asked_zone
    in_zone = zone_asked(own_zone, zone) if own_zone else zone
    kept, then = None if periods is None else dict(periods), now if at is None else at

    def answers(asked: Range) -> Interval | None:
        return asked.interval if kept is None else source_of(asked, now, zone, kept)

    try:
        if isinstance(text, Span):
            found = _of_span(text, then, in_zone, weeks, max_points)
        else:
            found = _parse(period.strip(), then, in_zone, weeks, answers)
        if start_at is not None:
            found = _since(found, start_at)
        check_points(found, max_points, lambda wide: answers(wide) is not None)
        return found if kept is None else with_source(found, now, zone, kept, is_advised=True)
    except (OverflowError, OSError):
        where = "start" if isinstance(text, Span) else "period"
        raise PeriodError(f"expected years {FIRST_YEAR} to {LAST_YEAR}, got {_shown(str(text))}", where) from None
    except (PeriodError, TooManyPoints) as error:
        if isinstance(text, Span) and error.field == "period":
            raise type(error)(str(error).removeprefix("period: "), "interval") from None
        raise


def check_points(found: Range, limit: int, is_kept: Callable[[Range], bool] = lambda wide: True) -> None:
    """Raises TooManyPoints with what to do. is_kept: whether a range by a wider interval is answered."""
    if found.points > limit:
        wider = next(
            (
                name
                for name, interval in _WIDER
                if width(found.interval) < width(interval)
                and (wide := _widened(found, interval)).points <= limit
                and is_kept(wide)
            ),
            None,
        )
        hint = f"ask by {wider} or shorten the range" if wider else "shorten the range"
        raise TooManyPoints(
            f"this range by {interval_name(found.interval)} is {found.points} points, the limit is {limit}: {hint}"
        )


_WIDER: tuple[tuple[str, Interval], ...] = (
    ("minute", MINUTE),
    ("hour", HOUR),
    ("day", DAY),
    ("week", WEEK),
    ("month", MONTH),
    ("year", YEAR),
)


def _widened(asked: Range, interval: Interval) -> Range:
    """The buckets of a wider interval that hold a range."""
    begin = _local_start(interval, asked.start, asked.zone)
    return Range(interval, begin, _edge(interval, begin, asked.end, asked.zone), asked.zone)


def width(interval: Interval) -> int:
    """Seconds of its shortest bucket, about: for choosing."""
    return interval if isinstance(interval, int) else {SUNDAY_WEEK: WEEK, MONTH: 28 * DAY, YEAR: 365 * DAY}[interval]


def _parse(text: str, now: float, zone: str, week: Interval, kept_as: Callable[[Range], Interval | None]) -> Range:
    """kept_as: the stored interval that answers a range. Where none answers the hours of a day, the day itself does."""
    today = day_start(int(now // 1), zone)
    tomorrow = next_start(DAY, today, zone)
    match text:
        case "today":
            hours = Range(HOUR, today, min(today + (int(now) - today) // HOUR * HOUR + HOUR, tomorrow), zone)
            return hours if kept_as(hours) else Range(DAY, today, tomorrow, zone)
        case "yesterday":
            return Range(DAY, day_start(today - 1, zone), today, zone)
        case "wtd":
            return Range(DAY, bucket_start(week, today, zone), tomorrow, zone)
        case "last_week":
            monday = bucket_start(week, today, zone)
            return Range(DAY, next_start(week, monday, zone, -1), monday, zone)
        case "last_month":
            first_of_month = month_start(today, zone)
            return Range(DAY, month_start(first_of_month - 1, zone), first_of_month, zone)
        case "mtd":
            return Range(DAY, month_start(today, zone), tomorrow, zone)
        case "ytd":
            return Range(DAY, bucket_start(YEAR, today, zone), tomorrow, zone)
    if (days := _LAST_DAYS.fullmatch(text)) and int(days[1]):
        return Range(DAY, _buckets_back(DAY, int(days[1]), today, zone), today, zone)
    if _A_MONTH.fullmatch(text):
        start = int(_local(_date(text, "%Y-%m", text), zone).timestamp())
        return Range(DAY, start, next_start(MONTH, start, zone), zone)
    if _A_DAY.fullmatch(text):
        day = _date(text, "%Y-%m-%d", text)
        start = int(_local(day, zone).timestamp())
        if midnight(day.toordinal() + 1, zone) == start:
            raise PeriodError(f"expected an existing day, got {text}, which {zone[:60]} skipped")
        hours = Range(HOUR, start, next_start(DAY, start, zone), zone)
        return hours if kept_as(hours) else replace(hours, interval=DAY)
    if dates := _DAYS.fullmatch(text):
        first, last = (_date(part, "%m/%d/%Y", text) for part in dates.groups())
        return _between(DAY, first, last + timedelta(days=1), zone, text)
    if dates := _BETWEEN.fullmatch(text):
        first, last = (
            _date(part, "%Y-%m-%dT%H:%M" if "T" in part else "%Y-%m-%d", text) for part in dates.groups()[1:]
        )
        return _between(_interval(dates[1], text, week) if dates[1] else DAY, first, last, zone, text)
    if text not in NAMED and (number := _number_of_buckets(text)):
        if number == (24, HOUR):  # `24h` in words
            return _parse("24h", now, zone, week, kept_as)
        count, interval = number[0], week if number[1] == WEEK else number[1]
        open_one = bucket_start(interval, now, zone)
        first_one = _buckets_back(interval, count - 1, open_one, zone)
        return Range(interval, first_one, next_start(interval, open_one, zone), zone)
    interval_text, colon, length_text = NAMED.get(text, text).partition(":")
    interval = _interval(interval_text, text, week)
    if not colon:
        length_text = LENGTH_OF.get(WEEK if interval in WEEKS else interval) or f"{60 * int(interval)}s"
    length = _length_asked(length_text, text)
    if length[0] * UNITS[length[1]] < width(interval):
        raise PeriodError(
            f"expected interval:length such as 1d:7d, got {_shown(text)}, whose length is shorter than its interval: "
            f"{_length_hint(interval, length_text)}"
        )
    return _back(interval, length, now, zone)


def not_an_interval(period: Any) -> str | None:
    """None of a period that says its interval, as `1d` or `1d:1mo`. Of another the interval that it may mean, or no text.

    `today` is read by hours and means a day; `yesterday` is read by days, but is not the day of now.
    """
    text = str(period).partition("|")[0].strip()
    if not isinstance(period, Span) and (text in BY_DAYS or re.match(r"[0-9]{1,9}\s*[a-z]*(:|$)", text, re.ASCII)):
        return None
    return "1d" if _A_DAY.fullmatch(text) else "1mo" if _A_MONTH.fullmatch(text) else ONE_OF.get(text, "")


def _unread(period: str) -> str:
    """A sentence about a period that cannot be read, with the name that it is near to."""
    plain = re.sub(r"[\s-]+", "_", period.lower()[:60])
    meant = MEANT.get(plain) or _last_meant(plain) or near(plain, WORDS)
    return f"{EXPECTED}; got {_shown(period)}{f': did you mean {meant}?' if meant else ''}"


def _last_meant(text: str) -> str:
    """`5h` of `last_5h`, `last_30d` of `last30days`; empty of anything else."""
    found = re.fullmatch(r"last_?([0-9]{1,3})_?([a-z]+)", text, re.ASCII)
    unit = _unit(found[2]) if found else None
    if not found or unit in (None, "s") or not 1 < int(found[1]) <= MOST_MEANT:
        return ""
    return f"last_{found[1]}d" if unit == "d" else f"1m:{found[1]}m" if unit == "m" else f"{found[1]}{unit}"


def _number_of_buckets(text: str) -> tuple[int, Interval] | None:
    """(7, DAY) of `7d`: two buckets or more of hours, days, weeks, months or years. None of anything else."""
    found = re.fullmatch(r"([0-9]{1,9})\s*([a-z]+)", text)
    interval = BUCKETS_OF.get(_unit(found[2]) or "") if found else None
    return (int(found[1]), interval) if found and interval is not None and int(found[1]) > 1 else None


def _buckets_back(interval: Interval, count: int, start: int, zone: str) -> int:
    """Where the bucket begins that is so many before the one that begins at `start`."""
    if count * width(interval) > start - FIRST:
        raise OverflowError
    return next_start(interval, start, zone, -count)


def _back(interval: Interval, length: tuple[int, str], now: float, zone: str) -> Range:
    """From the bucket a length ago to the one that contains now, both taken. length: a number and its unit.

    By the calendar where both are: days and weeks may have hours more or less, and months and years days.
    """
    count, unit = length
    length_s = count * UNITS[unit]
    if length_s > now - FIRST:
        raise OverflowError
    last = bucket_start(interval, now, zone)
    end = next_start(interval, last, zone)
    if interval in MONTHS and unit in ("mo", "y"):
        first = next_start(MONTH, month_start(last, zone), zone, -count * MONTHS[f"1{unit}"])
        return Range(interval, bucket_start(interval, first, zone), end, zone)
    if (interval in CALENDAR_DAYS or interval in MONTHS) and length_s % DAY == 0:
        first = midnight(day_of(int(now // 1), zone) - length_s // DAY, zone)
        return Range(interval, bucket_start(interval, first, zone), end, zone)
    local = isinstance(interval, str) or interval >= DAY
    return Range(interval, bucket_start(interval, (now if local else last) - length_s, zone), end, zone)


def _of_span(asked: Span, now: float, zone: str, week: Interval, max_points: int) -> Range:
    if asked.finish is not None and asked.buckets is not None:
        raise PeriodError("came together with buckets: send only one of them", "finish")
    name = str(asked.interval)
    try:
        interval = _interval(f"1{name}" if name.isalpha() else name, name, week)
    except PeriodError:
        words = "expected minute, hour, day, week, month, year, or a width such as 15m"
        raise PeriodError(f"{words}, got {_shown(asked.interval)}", "interval") from None
    first = _moment(asked.start, zone, "start")
    start = _local_start(interval, first, zone)
    if asked.buckets is not None:
        if type(asked.buckets) is not int or asked.buckets < 1:
            raise PeriodError(f"expected a number of 1 or more, got {_shown(asked.buckets)}", "buckets")
        if asked.buckets > max_points:
            raise TooManyPoints(f"expected at most {max_points}, got {_shown(asked.buckets)}", "buckets")
        try:
            return Range(interval, start, next_start(interval, start, zone, asked.buckets), zone)
        except ValueError:  # past what a calendar has
            raise OverflowError from None
    if asked.finish is None:
        if first > now:
            raise PeriodError("expected a time that is not in the future; or send finish or buckets too", "start")
        return Range(interval, start, _edge_after(interval, start, now, zone), zone)
    end = _moment(asked.finish, zone, "finish")
    if end <= first:
        raise PeriodError(f"expected a time after the start, got {_shown(asked.finish)}", "finish")
    return Range(interval, start, _edge(interval, start, end, zone), zone)


def _moment(value: Any, zone: str, field: str) -> float:
    """Epoch seconds of what `time_of` reads, without an offset as local time."""
    try:
        at = time_of(value, lambda when: _local(when, zone)) / SECOND
    except NoTime as error:
        raise PeriodError(str(error), field) from None
    if not FIRST <= at < LAST:
        raise PeriodError(f"expected years {FIRST_YEAR} to {LAST_YEAR}, got {_shown(value)}", field)
    return at


def _local(at: datetime, zone: str) -> datetime:
    """A local time with its zone; midnight as the instant where that day begins."""
    if at.time() != time.min:
        return at.replace(tzinfo=tz(zone))
    return datetime.fromtimestamp(midnight(at.toordinal(), zone), UTC)


def _local_start(interval: Interval, at: float, zone: str) -> int:
    """The bucket that contains `at`; below a day it is cut on the local clock, as of a zone of half hours at half past."""
    if not _is_short(interval):
        return bucket_start(interval, at, zone)
    second = int(at // 1)
    offset = datetime.fromtimestamp(second, tz(zone)).utcoffset() or timedelta()
    return second - (second + int(offset.total_seconds())) % interval


def _edge(interval: Interval, start: int, end: float, zone: str) -> int:
    """Where the last bucket before an end ends, of buckets that begin at `start`; the end itself where it is an edge."""
    cut = (
        start + int((end - start) // interval) * interval if _is_short(interval) else bucket_start(interval, end, zone)
    )
    return cut if cut == end else next_start(interval, cut, zone)


def _edge_after(interval: Interval, start: int, at: float, zone: str) -> int:
    """Where the bucket that contains a time ends, of buckets that begin at `start`."""
    cut = _edge(interval, start, at, zone)
    return next_start(interval, cut, zone) if cut == at else cut


def _is_short(interval: Interval) -> TypeGuard[int]:
    return isinstance(interval, int) and interval < DAY


def _interval(text: str, period: str, week: Interval) -> Interval:
    """`1mo`, `1w`, `15m`, or seconds as `86400`."""
    found = re.fullmatch(r"([0-9]{1,9})\s*([a-z]*)", text)
    unit = _unit(found[2]) if found and found[2] else "s"
    if not found or not unit or int(found[1]) == 0:
        raise PeriodError(_unread(period))
    if unit in ("mo", "y") and int(found[1]) == 1:
        return MONTH if unit == "mo" else YEAR
    seconds = int(found[1]) * UNITS[unit]
    if unit in ("mo", "y") or not (seconds in (DAY, WEEK) or (seconds <= HOUR and HOUR % seconds == 0)):
        expected = "expected buckets that divide an hour, or of 1d, 1w, 1mo or 1y"
        raise PeriodError(f"{expected}, got {_shown(text)}: {_interval_hint(text, found[2] and unit, seconds)}")
    return week if seconds == WEEK else seconds


def _interval_hint(text: str, unit: str, seconds: int) -> str:
    """How to ask in place of an interval that there is not."""
    if unit in ("mo", "y"):
        return f"ask by 1{unit}"
    if unit and HOUR < seconds < DAY:
        return "ask by 1h"
    return A_YEAR if _A_YEAR.fullmatch(text) else SEVEN_DAYS


def _length_hint(interval: Interval, length_text: str) -> str:
    """How to ask in place of a length that is shorter than its interval: mostly its unit was left out."""
    if not length_text.isdigit() or int(length_text) > MOST_MEANT:
        return SEVEN_DAYS
    name = interval_name(interval)
    number, unit = int(name.rstrip("smhdwoy")), name.lstrip("0123456789")
    length = f"{number * int(length_text)}{unit}"
    return f"write {length if _number_of_buckets(length) and number == 1 else f'{name}:{length}'}"


def _length_asked(text: str, period: str) -> tuple[int, str]:
    found = _number_and_unit(text)
    if found is None:
        raise PeriodError(_unread(period))
    return found


def _number_and_unit(text: str) -> tuple[int, str] | None:
    found = re.fullmatch(r"([0-9]{1,12})\s*([a-z]*)", text)
    unit = _unit(found[2]) if found and found[2] else "s"
    return (int(found[1]), unit) if found and unit and int(found[1]) else None


def length_of(text: str) -> int | None:
    """Seconds of a length as `7d`, `12 hours`, or `3600`; None where it is none, or 0."""
    found = _number_and_unit(text)
    return found and found[0] * UNITS[found[1]]


def length_name(seconds: float) -> str:
    """`36h`, `7d`: in days, or the widest narrower unit that it is a whole number of."""
    unit = next((unit for unit in ("d", "h", "m") if seconds % UNITS[unit] == 0), "s")
    return f"{seconds / UNITS[unit]:.15g}{unit}"


def _unit(text: str) -> str | None:
    """`m`, `min`, `minutes` -> m; `mo`, `months` -> mo."""
    return next((unit for unit in ("mo", *UNITS) if text.startswith(unit) and UNIT_WORDS[unit].startswith(text)), None)


def _date(text: str, form: str, period: str) -> datetime:
    try:
        found = datetime.strptime(text, form)
    except ValueError:
        raise PeriodError(f"expected existing dates, got {_shown(period)}") from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise OverflowError
    return found


def _between(interval: Interval, first: datetime, last: datetime, zone: str, period: str) -> Range:
    """From the bucket with `first` to before `last`; where that is no edge, to the end of its bucket."""
    start, end = (int(_local(edge, zone).timestamp()) for edge in (first, last))
    if end <= start:
        raise PeriodError(f"expected the end after the start, got {_shown(period)}")
    begin = _local_start(interval, start, zone)
    return Range(interval, begin, _edge(interval, begin, end, zone), zone)


# What is stored


def _since(asked: Range, at: float) -> Range:
    if not FIRST <= at < asked.end:
        raise PeriodError("expected a time since 1900 and before the end of the period", "start_at")
    start = bucket_start(asked.interval, at, asked.zone)
    if isinstance(asked.interval, int) and asked.interval < DAY:
        start = asked.start + int((at - asked.start) // asked.interval) * asked.interval
    return Range(asked.interval, start, asked.end, asked.zone)


def with_source(
    asked: Range, now: float, zone: str, kept: dict[Interval, float | None], is_advised: bool = False
) -> Range:
    """The range with the widest stored interval that answers it; raises PeriodError, TooManyPoints.

    is_advised: the error names an interval by which the range is answered.
    """
    if source := source_of(asked, now, zone, kept):
        count = points(source, asked.start, asked.end, zone)
        if count > MAX_SOURCE_POINTS:
            raise TooManyPoints(
                f"this range is summed from {count} stored buckets of {interval_name(source)}, the limit is "
                f"{MAX_SOURCE_POINTS}: shorten the range"
            )
        return Range(asked.interval, asked.start, asked.end, asked.zone, source)
    gone = list(_fitting(asked, zone, kept))
    name = interval_name(asked.interval)
    if gone:
        longest = max(gone, key=lambda stored: kept[stored] or 0)
        begins = datetime.fromtimestamp(asked.start, UTC).isoformat().replace("+00:00", "Z")
        wider = (each for each in sorted(kept, key=width) if width(each) > width(asked.interval))
        found = next((each for each in wider if source_of(_widened(asked, each), now, zone, kept)), None)
        hint = f": ask by {interval_name(found)}" if is_advised and found else ""
        made = "" if longest == asked.interval else f", which {name} in {asked.zone} is summed from,"
        raise PeriodError(
            f"buckets of {interval_name(longest)}{made} are kept for {_length(kept[longest] or 0)}, "
            f"but the period begins at {begins}{hint}"
        )
    names = ", ".join(map(interval_name, kept))
    if any(_made_of(asked.interval, stored) for stored in kept):
        raise PeriodError(
            f"buckets of {name} in {asked.zone} do not align with the stored buckets (account zone {zone}, intervals {names}): "
            "ask in the account's zone"
        )
    raise PeriodError(f"buckets of {name} are not kept, and neither are finer ones to sum; kept are {names}")


def source_of(asked: Range, now: float, zone: str, kept: dict[Interval, float | None]) -> Interval | None:
    """The widest stored interval that answers, if there is one."""
    for stored in _fitting(asked, zone, kept):
        retention = kept[stored]
        if retention is None or next_start(stored, asked.start, zone) > now - retention:
            return stored
    return None


def _fitting(asked: Range, zone: str, kept: Iterable[Interval]) -> Iterator[Interval]:
    """The stored intervals of which every asked bucket is a sum, the widest first."""
    for stored in sorted(kept, key=width, reverse=True):
        if _made_of(asked.interval, stored) and _edges_fit(asked, stored, zone):
            yield stored


def _made_of(interval: Interval, stored: Interval) -> bool:
    """Whether buckets of an interval are whole buckets of a stored one, in one zone of whole hours."""
    if interval == stored:
        return True
    if isinstance(stored, str) or stored >= DAY:
        return (interval, stored) in ((WEEK, DAY), (SUNDAY_WEEK, DAY), (MONTH, DAY), (YEAR, DAY), (YEAR, MONTH))
    return isinstance(interval, str) or interval % stored == 0


def _edges_fit(asked: Range, stored: Interval, zone: str) -> bool:
    """Whether a stored bucket begins wherever an asked one does."""
    if isinstance(asked.interval, int) and asked.interval < DAY:
        return isinstance(stored, int) and asked.start % stored == asked.end % stored == 0
    if asked.zone == zone and (isinstance(stored, str) or stored >= DAY):
        return True
    return all(bucket_start(stored, edge, zone) == edge for edge in (*asked.starts, asked.end))


def _length(seconds: float) -> str:
    return interval_name(int(seconds)) if seconds == int(seconds) else f"{seconds}s"


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."

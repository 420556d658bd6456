"""The oracle: periods and answers, read from docs/http/periods.md once more. It imports nothing of HailWhale.

It keeps hits in a list, finds the edges of the buckets that a question means, and adds up by plain Python the hits that lie between
two edges. Slow and simple: where Whale says something else, one of the two has misread the docs.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

Width = int | str
"""Of a bucket: seconds below a day, else 1d, 1w, 1mo or 1y."""
Path = tuple[str, ...]

MINUTE, HOUR, DAY, WEEK = 60, 3600, 86_400, 604_800
SECONDS = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
DAYS = {"mo": 31, "y": 365}
MONTHS = {"1mo": 1, "1y": 12}
SHORTEST: Mapping[Width, int] = {"1d": DAY, "1w": WEEK, "1mo": 28 * DAY, "1y": 365 * DAY}
WORDS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
UNITS = {text: unit for unit, word in WORDS.items() for text in (unit, word, f"{word}s")}
NAMED = {"thirty": "1d:1mo", "year": "1d:1y", "seven": "1d:1w", "hour": "1m:1h"} | dict.fromkeys(
    ("day", "24h", "hours"), "1h:1d"
)
ALONE = {MINUTE: "1h", 15 * MINUTE: "1d", HOUR: "1d", "1d": "1y", "1w": "1y", "1mo": "1y", "1y": "5y"}
DISTINCT: Mapping[Width, float | None] = {HOUR: 7 * DAY, "1d": None, "1mo": None}
NO_TIME = {"bad_time", "bad_period", "bad_request"}  # by the door
MOST_POINTS, MOST_SUMMED = 10_000, 50_000
MOST_RANKED = 100_000  # rows x stored buckets, by a metric that is no sum


class Refused(Exception):
    """What the docs refuse: the code and the parameter at fault. codes: any of them may be told."""

    def __init__(self, codes: str | set[str], at: str = "period"):
        super().__init__(codes, at)
        self.codes, self.field = {codes} if isinstance(codes, str) else codes, at


# Zones and days


def clock_of(zone: str) -> tzinfo:
    """Of an IANA name, or of an offset as +05:30."""
    if zone[0] not in "+-":
        return ZoneInfo(zone)
    away = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
    return timezone(-away if zone[0] == "-" else away)


def zone_read(text: str, account: str) -> str:
    """A zone as it stands after `|`, in tz or in tzoffset."""
    if text == "system":
        return account
    if text[0] in "+-0123456789":
        return offset_read(text)
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise Refused("bad_period", "tz") from None
    return text


def offset_read(text: str) -> str:
    """-0700, -07:00; hours, -7 or 5.5; hundredths of hours, -700 or 550."""
    sign, digits = ("-" if text[0] == "-" else "+"), text.lstrip("+-")
    if ":" in digits:
        hours, minutes = map(int, digits.split(":"))
    elif "." in digits or len(digits) <= 2:
        hours, minutes = int(float(digits)), float(digits) % 1 * 60
    else:
        hours, last = int(digits[:-2]), int(digits[-2:])
        minutes = last if last in (0, 15, 30, 45) else last * 60 / 100
    if minutes not in (0, 15, 30, 45):
        raise Refused("bad_period", "tzoffset")
    return f"{sign}{hours:02}:{int(minutes):02}"


@lru_cache(maxsize=100_000)
def begins(day: date, zone: str) -> int:
    """The first second whose local date is that day, or a later one where a zone left that day or its midnight out."""
    clock = clock_of(zone)
    at = int(datetime.combine(day, time(), clock).timestamp())
    if _date(at, clock) == day and _date(at - 1, clock) < day:
        return at
    at -= 2 * DAY
    while _date(at + MINUTE, clock) < day:  # zones change on whole minutes
        at += MINUTE
    return next(second for second in range(at, at + 2 * MINUTE) if _date(second, clock) >= day)


def day_at(at: int, zone: str) -> date:
    """The day that a second lies in: one that has begun stays so, though the clock is put back over its midnight."""
    day = _date(at, clock_of(zone))
    return day + timedelta(1) if begins(day + timedelta(1), zone) <= at else day


def _date(at: int, clock: tzinfo) -> date:
    return datetime.fromtimestamp(at, clock).date()


def days_on(day: date, count: int, zone: str) -> date:
    """The day so many days, which there were in a zone, after another, or before it."""
    one = timedelta(1 if count > 0 else -1)
    for _ in range(abs(count)):
        day += one
        while begins(day, zone) == begins(day + timedelta(1), zone):
            day += one
    return day


# Buckets


def first_day(width: str, day: date, week: str) -> date:
    """The first day of the bucket of days, weeks, months or years that a day lies in."""
    if width == "1w":
        return day - timedelta((day.weekday() + (week == "sunday")) % 7)
    return {"1d": day, "1mo": day.replace(day=1), "1y": day.replace(month=1, day=1)}[width]


def next_day(width: str, day: date, count: int = 1) -> date:
    """The first day of the bucket so many after the one that begins on a day."""
    if width in MONTHS:
        months = day.year * 12 + day.month - 1 + count * MONTHS[width]
        return date(months // 12, months % 12 + 1, 1)
    return day + timedelta(count * (7 if width == "1w" else 1))


def bucket_of(width: Width, at: int, zone: str, week: str = "monday") -> int:
    """Where the bucket begins that a second lies in: below a day cut in UTC."""
    if isinstance(width, int):
        return at // width * width
    return begins(first_day(width, day_at(at, zone), week), zone)


def about(width: Width) -> int:
    """Seconds, to know the wider of two."""
    return width if isinstance(width, int) else {"1d": DAY, "1w": WEEK, "1mo": 28 * DAY, "1y": 365 * DAY}[width]


@dataclass(frozen=True)
class Window:
    """What a period means: where its buckets begin, and where the last one ends."""

    width: Width
    edges: Sequence[int]

    @property
    def start(self) -> int:
        return self.edges[0]

    @property
    def end(self) -> int:
        return self.edges[-1]

    @property
    def points(self) -> int:
        return len(self.edges) - 1

    def said(self) -> str:
        """As X-Whale-Range says it."""
        return f"{_said(self.start)}/{_said(self.end)};by={width_said(self.width)};points={self.points}"


def _said(at: int) -> str:
    when = datetime.fromtimestamp(at, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%SZ}" if when.second else f"{when:%Y-%m-%dT%H:%MZ}"


def width_said(width: Width) -> str:
    if isinstance(width, str):
        return width
    unit, seconds = next(each for each in (("h", HOUR), ("m", MINUTE), ("s", 1)) if width % each[1] == 0)
    return f"{width // seconds}{unit}"


# Periods


@dataclass(frozen=True)
class Asked:
    """Of a question, which time it is about: the parameters as they are written."""

    period: str | None = None
    start: str | None = None
    finish: str | None = None
    interval: str | None = None
    buckets: int | None = None
    tz: str | None = None
    tzoffset: str | None = None
    week: str | None = None

    def parameters(self) -> dict[str, str]:
        return {name: str(value) for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Calendar:
    """Periods as an account reads them. kept: of each width for how many seconds, or None for ever."""

    zone: str
    kept: Mapping[Width, float | None]
    now: float
    week: str = "monday"

    def window(
        self, asked: Asked, then: float | None = None, kept: Mapping[Width, float | None] | None = None
    ) -> Window:
        """then: as if it were asked then.  kept: of what is asked, where that is kept otherwise. Raises Refused."""
        kept = self.kept if kept is None else kept
        period, *after = (asked.period or "thirty").split("|")
        week = asked.week or self.week
        if after and after[-1] in ("monday", "sunday"):
            week = after.pop()
        zone_text = "|".join(after) or asked.tz or asked.tzoffset
        zone = zone_read(zone_text, self.zone) if zone_text else self.zone
        reading = Reading(zone, week, int((self.now if then is None else then) // 1))
        if asked.start is not None:
            found = reading.span(asked)
        else:
            found = reading.period(period, lambda window: self._source(window, self.kept) is not None)
        self._check(found, kept, "interval" if asked.start is not None else "period")
        return found

    def _check(self, window: Window, kept: Mapping[Width, float | None], at: str) -> None:
        codes = {"too_many_points"} if window.points > MOST_POINTS else set()
        source = None if codes else self._source(window, kept)
        if source is None:
            codes.add("bad_period")
        elif self._summed(window, source) > MOST_SUMMED:
            codes.add("too_many_points")
        if codes:
            raise Refused(codes, at)

    def _source(self, window: Window, kept: Mapping[Width, float | None]) -> Width | None:
        """The widest width kept whose buckets begin wherever those of the window do, if it is kept as far back."""
        for width in sorted(kept, key=about, reverse=True):
            if about(width) <= about(window.width) and all(
                bucket_of(width, edge, self.zone) == edge for edge in window.edges
            ):
                for_s = kept[width]
                if for_s is None or self._end(width, window.start) > self.now - for_s:
                    return width
        return None

    def _end(self, width: Width, start: int) -> int:
        if isinstance(width, int):
            return start + width
        return begins(next_day(width, first_day(width, day_at(start, self.zone), self.week)), self.zone)

    def stored(self, window: Window, kept: Mapping[Width, float | None] | None = None) -> int:
        """How many stored buckets a window is read from. A day may be an hour longer or shorter."""
        source = self._source(window, self.kept if kept is None else kept)
        return 0 if source is None else round((window.end - window.start) / about(source))

    def _summed(self, window: Window, width: Width) -> int:
        return (window.end - window.start) // about(width)


@dataclass(frozen=True)
class Reading:
    """One question's zone, first day of the week, and now."""

    zone: str
    week: str
    now: int

    @property
    def today(self) -> date:
        return day_at(self.now, self.zone)

    def days(self, first: date, after: date, width: str = "1d") -> Window:
        """Buckets of days, weeks, months or years from the one of a day to the one before a day."""
        day = first_day(width, first, self.week)
        edges = [begins(day, self.zone)]
        while day < after:
            day = next_day(width, day)
            edges.append(begins(day, self.zone))
            if len(edges) > 4 * MOST_POINTS:
                raise Refused("too_many_points")
        if len(set(edges)) == 1:  # of a day that the zone left out
            raise Refused("bad_period")
        return Window(width, sorted(set(edges)))

    def seconds(self, width: int, start: int, end: int) -> Window:
        """Buckets so many seconds wide, from a start to the one before an end."""
        count = -(-(end - start) // width)
        return Window(width, range(start, start + count * width + 1, width))

    def hours(self, day: date, end: int) -> Window:
        """The hours of a day, to the one before an end. The last is shorter where a clock changed by half an hour."""
        start, after = begins(day, self.zone), begins(day + timedelta(1), self.zone)
        edges = self.seconds(HOUR, start, end).edges
        return Window(HOUR, sorted({min(edge, after) for edge in edges}))

    def period(self, text: str, is_kept: Any) -> Window:
        """is_kept: whether a window can be answered."""
        today, one = self.today, timedelta(1)
        if text == "today":
            hours = self.hours(today, self.now + 1)
            return hours if is_kept(hours) else self.days(today, today + one)
        if text in ("wtd", "mtd", "ytd"):
            of = {"wtd": "1w", "mtd": "1mo", "ytd": "1y"}[text]
            return self.days(first_day(of, today, self.week), today + one)
        if text in ("last_week", "last_month"):
            of = "1w" if text == "last_week" else "1mo"
            this_one = first_day(of, today, self.week)
            return self.days(next_day(of, this_one, -1), this_one)
        if text == "yesterday":  # the last day that there was
            return self.days(day_at(begins(today, self.zone) - 1, self.zone), today)
        if found := re.fullmatch("last_([0-9]+)d", text):
            count = int(found[1])
            if count == 0:
                raise Refused("bad_period")
            return self.days(days_on(today, -count, self.zone), today)
        if re.fullmatch(r"\d{4}-\d{2}", text):
            month = _calendar_date(f"{text}-01")
            return self.days(month, next_day("1mo", month))
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            day = _calendar_date(text)
            if begins(day, self.zone) == begins(day + one, self.zone):
                raise Refused("bad_period")
            hours = self.hours(day, begins(day + one, self.zone))
            return hours if is_kept(hours) else self.days(day, day + one)
        if found := re.fullmatch(r"(\d\d)/(\d\d)/(\d{4})-(\d\d)/(\d\d)/(\d{4})", text):
            dates = found.groups()
            first, last = (_calendar_date(f"{year}-{month}-{day}") for month, day, year in (dates[:3], dates[3:]))
            return self.days(first, last + one) if first <= last else self._no_period()
        if found := re.fullmatch(r"(?:([^:]+):)?([\dT:-]+)\.\.([\dT:-]+)", text):
            start, end = self.local(found[2]), self.local(found[3])
            return self.between(self.width(found[1] or "1d"), start, end) if start < end else self._no_period()
        if text not in NAMED and (number := self._number_of_buckets(text)):
            return number
        width_text, colon, length = NAMED.get(text, text).partition(":")
        width: Width = self.width(width_text)
        if not colon:
            length = ALONE.get(width) or f"{60 * int(width)}s"
        return self._back(width, length)

    def _no_period(self) -> Window:
        raise Refused("bad_period")

    def _number_of_buckets(self, text: str) -> Window | None:
        """Of 7d and the like: two or more, the last is the one of now. 24 hours are `day`."""
        found = re.fullmatch(r"(\d+) ?([a-z]+)", text)
        unit = UNITS.get(found[2]) if found else None
        if not found or unit not in ("h", "d", "w", "mo", "y") or int(found[1]) < 2:
            return None
        count = int(found[1])
        if unit == "h":
            if count == 24:
                return self.period("day", None)
            hour = self.now // HOUR * HOUR
            return self.seconds(HOUR, hour - (count - 1) * HOUR, hour + HOUR)
        width = f"1{unit}"
        this_one = first_day(width, self.today, self.week)
        first = days_on(this_one, 1 - count, self.zone) if unit == "d" else next_day(width, this_one, 1 - count)
        return self.days(first, next_day(width, this_one), width)

    def width(self, text: str, at: str = "period") -> Width:
        """15m, 1 day, 3600."""
        found = re.fullmatch(r"(\d+) ?([a-z]*)", text)
        unit = UNITS.get(found[2] or "s") if found else None
        if not found or not unit or int(found[1]) == 0:
            raise Refused("bad_period", at)
        count = int(found[1])
        if unit in DAYS:
            if count == 1:
                return f"1{unit}"
            raise Refused("bad_period", at)
        seconds = count * SECONDS[unit]
        if seconds in (DAY, WEEK):
            return "1d" if seconds == DAY else "1w"
        if seconds > HOUR or HOUR % seconds:
            raise Refused("bad_period", at)
        return seconds

    def _back(self, width: Width, length: str) -> Window:
        """From the bucket a length ago to the one that contains now."""
        found = re.fullmatch(r"(\d+) ?([a-z]*)", length)
        unit = UNITS.get(found[2] or "s") if found else None
        if not found or not unit or int(found[1]) == 0:
            raise Refused("bad_period")
        count = int(found[1])
        seconds = count * (SECONDS[unit] if unit in SECONDS else DAYS[unit] * DAY)
        if seconds < (width if isinstance(width, int) else SHORTEST[width]):
            raise Refused("bad_period")
        if isinstance(width, int):
            last = self.now // width * width
            return self.seconds(width, (last - seconds) // width * width, last + width)
        after = next_day(width, first_day(width, self.today, self.week))
        if width in MONTHS and unit in DAYS:
            first = next_day(f"1{unit}", first_day(width, self.today, self.week), -count)
        elif seconds % DAY == 0:
            first = self.today - timedelta(seconds // DAY)
        else:
            first = day_at(self.now - seconds, self.zone)
        return self.days(first, after, width)

    # ranges

    def local(self, text: str) -> int:
        """2026-01-05, 2026-01-05T06:00: a local time; of two alike the first."""
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            raise Refused("bad_period") from None
        if when.time() == time():
            return begins(when.date(), self.zone)
        return int(when.replace(tzinfo=clock_of(self.zone)).timestamp())

    def between(self, width: Width, start: float, end: float) -> Window:
        """The bucket with the start, whole, to the one before the end, or with it where the end lies inside."""
        last = math.ceil(end) - 1
        if isinstance(width, str):
            return self.days(day_at(int(start), self.zone), self._after(width, last), width)
        away = datetime.fromtimestamp(start, clock_of(self.zone)).utcoffset() or timedelta()
        second = int(start)
        begin = second - (second + int(away.total_seconds())) % width
        return self.seconds(width, begin, math.ceil(end))

    def _after(self, width: str, at: int) -> date:
        """The first day after the bucket that a second lies in."""
        return next_day(width, first_day(width, day_at(at, self.zone), self.week))

    def span(self, asked: Asked) -> Window:
        """start, with finish or buckets."""
        if asked.finish is not None and asked.buckets is not None:
            raise Refused("bad_period", "finish")
        name = asked.interval or "day"
        width = self.width(f"1{name}" if name.isalpha() else name, "interval")
        start = time_read(asked.start, self.zone, "start")
        if asked.buckets is not None:
            if asked.buckets < 1:
                raise Refused("bad_period", "buckets")
            if isinstance(width, str):
                first = first_day(width, day_at(int(start), self.zone), self.week)
                is_day = width == "1d"
                after = days_on(first, asked.buckets, self.zone) if is_day else next_day(width, first, asked.buckets)
                return self.days(first, after, width)
            begin = self.between(width, start, start + 1).start
            return self.seconds(width, begin, begin + asked.buckets * width)
        if asked.finish is None:
            if start > self.now:
                raise Refused("bad_period", "start")
            return self.between(width, start, self.now + 1)
        finish = time_read(asked.finish, self.zone, "finish")
        if finish <= start:
            raise Refused("bad_period", "finish")
        return self.between(width, start, finish)


def _calendar_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused("bad_period") from None


# Times

CTIME = "%a %b %d %H:%M:%S %Y"


def time_read(value: Any, zone: str = "UTC", at: str = "at") -> float:
    """Epoch seconds of a time, as every door reads it. zone: of what names no offset. Raises Refused."""
    if isinstance(value, bool):
        raise Refused(NO_TIME, at)
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return _text_read(str(value), zone, at)
    size = abs(number)
    if not number.is_finite() or size >= 10**18:
        raise Refused(NO_TIME, at)
    digits = len(str(int(size))) if number == int(number) and number > 0 else 0
    if digits in (4, 6):
        raise Refused(NO_TIME, at)
    if digits == 8:
        return _text_read(str(int(number)), zone, at)
    return float(number if size < 10**11 else number / 1000 if size < 10**14 else number / 10**6)


def _text_read(text: str, zone: str, at: str) -> float:
    try:
        when = datetime.strptime(text, CTIME) if text[:1].isalpha() else datetime.fromisoformat(text)
    except ValueError:
        raise Refused(NO_TIME, at) from None
    if when.tzinfo is None and when.time() == time():
        return begins(when.date(), zone)
    return (when if when.tzinfo else when.replace(tzinfo=clock_of(zone))).timestamp()


# Hits and their sums

NARROW = 2  # names of the longest path that distinct counts and quantiles go down to
MILLION = 1_000_000


@dataclass(frozen=True)
class Hit:
    """What happened when. metrics: as a hit has them, {"low": {"min": 5}} and so on."""

    at: float
    pk: Path
    dimensions: Any
    metrics: Mapping[str, Any]
    paths: frozenset[Path] = field(init=False)

    def __post_init__(self) -> None:
        found = {path[:end] for path in paths_of(self.dimensions) for end in range(len(path) + 1)}
        object.__setattr__(self, "paths", frozenset(found | {()}))


def paths_of(dimensions: Any) -> Iterator[Path]:
    """The paths of a hit's dimensions: a name, one path, several, or a nested object."""
    if isinstance(dimensions, Mapping):
        for name, below in dimensions.items():
            if below is not None:
                yield from ((name_read(name), *path) for path in list(paths_of(below)) or [()])
    elif isinstance(dimensions, list) and any(isinstance(each, list) for each in dimensions):
        for each in dimensions:
            yield from paths_of(each)
    elif isinstance(dimensions, list):
        yield tuple(name_read(each) for each in dimensions if each is not None)
    elif dimensions not in (None, "_"):
        yield (name_read(dimensions),)


def name_read(name: Any) -> str:
    """Numbers and booleans become names as in JSON."""
    return {True: "true", False: "false"}[name] if isinstance(name, bool) else str(name)


def millionths(number: Any) -> int:
    return int((Decimal(str(number)) * MILLION).to_integral_value(ROUND_HALF_EVEN))


class Answers:
    """All hits that were counted, and what is answered of them."""

    def __init__(self, hits: Iterable[Hit], kinds: Mapping[str, str]):
        """kinds: of metrics that are no sums, the word that a hit has for them: unique, quantile, min, max, last."""
        self._kinds = kinds
        self._hits = sorted(hits, key=lambda hit: hit.at)
        self._of: dict[tuple[Path, Path], tuple[list[float], list[Hit]]] = {}

    def between(self, pk: Path, path: Path, start: float, end: float) -> list[Hit]:
        """The hits of a pk, and of those below it, at a path: from a time on, before another."""
        if (pk, path) not in self._of:
            found = [hit for hit in self._hits if hit.pk[: len(pk)] == pk and path in hit.paths]
            self._of[pk, path] = [hit.at for hit in found], found
        times, hits = self._of[pk, path]
        return hits[bisect_left(times, start) : bisect_left(times, end)]

    def children(self, pk: Path, path: Path) -> set[Path]:
        """The paths one level below, whenever they were counted."""
        every = self.between(pk, path, -math.inf, math.inf)
        return {each for hit in every for each in hit.paths if len(each) == len(path) + 1 and each[:-1] == path}

    def is_ranked(self, by: str, pk: Path, path: Path, stored: int) -> bool:
        """Whether rows below a path are ranked over so many stored buckets: by a metric that is no sum not over any number."""
        names = [name for name in by.split("/") if self._kinds.get(name, "quantile") != "quantile"]
        rows = 1 + len(self.children(pk, path))  # the total is one of them
        return rows * stored <= MOST_RANKED or not any(self.was_counted(name, pk) for name in names)

    def was_counted(self, metric: str, pk: Path) -> bool:
        return any(metric in hit.metrics for hit in self.between(pk, (), -math.inf, math.inf))

    def value(
        self, formula: str, pk: Path, path: Path, start: float, end: float, nothing: float | None = 0
    ) -> float | None:
        """Of a formula between two times: a metric, a quantile of one, or one metric over another.

        nothing: what a ratio over zero is, and what a least, greatest or last value and a quantile of no hits are.
        """
        hits = self.between(pk, path, start, end)
        if "/" in formula:
            above, below = (self.value(name, pk, path, start, end, nothing) for name in formula.split("/"))
            if above is None or below is None:
                return None
            return above / below if below else nothing
        if quantile := re.fullmatch(r"p(\d+)\((.*)\)", formula):
            if not self.was_counted(quantile[2], pk):
                return nothing
            if len(path) > NARROW:
                return None
            values = sorted(float(value) for value in _of_kind(hits, quantile[2], "quantile"))
            return values[int(quantile[1]) * (len(values) - 1) // 100] if values else nothing
        kind = self._kinds.get(formula, "sum")
        if kind == "sum" or not self.was_counted(formula, pk):
            default = 1 if formula == "hits" else 0
            return sum(millionths(hit.metrics.get(formula, default)) for hit in hits) / MILLION
        if kind in ("unique", "quantile") and len(path) > NARROW:
            return None
        values = _of_kind(hits, formula, kind)
        if kind == "unique":
            return len(set(values))
        if kind == "quantile":
            return len(values)
        if not values:
            return nothing
        value = min(values) if kind == "min" else max(values) if kind == "max" else values[-1]
        return millionths(value) / MILLION


def _of_kind(hits: Iterable[Hit], metric: str, kind: str) -> list[Any]:
    """The values that hits have of a metric of a kind, the oldest first."""
    return [hit.metrics[metric][kind] for hit in hits if metric in hit.metrics]

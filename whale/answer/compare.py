"""A period beside the one before, or beside the same one last year: which two ranges, and what they hold. Pure.

Months and years are compared with as many months or years (`mtd`, `ytd`, and periods by `1mo` or `1y`), everything made of whole days
with as many days, else with as many seconds. Last year is the same dates (29 February: the 28th) for as many days; of weeks, 52 weeks
before, so that Mondays meet.

While a period is open both ranges are cut, so that a day so far meets the other day until the same time. The cut is where the last bucket
ended of the finest interval that is kept on both sides; a time is the local one, so it is the same after so many months and days, on
the same clock, though a day has 23 hours. Where the other month is too short it is taken whole: of 31 March so far meets all of February.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

from hail.settings import DISTINCT
from whale.answer import series
from whale.answer.series import Bounds, Plot, Question
from whale.dimension import Path
from whale.errors import CallerError, NotBegun, PeriodError
from whale.formula import Number
from whale.metric import distinct_periods
from whale.period import (
    DAY,
    FIRST,
    MAX_POINTS,
    MONTH,
    MONTHS,
    WEEK,
    WEEKS,
    YEAR,
    Interval,
    Range,
    bucket_start,
    day_of,
    day_start,
    interval_name,
    midnight,
    month_start,
    next_start,
    points,
    source_of,
    starts,
    tz,
    width,
    with_source,
)
from whale.store.contract.counters import Counters

WORDS = ("previous", "last_year")
BY_DAY = "ask by 1d, for days that have ended, such as yesterday or last_7d"
TO_DATE: dict[str, Interval] = {"today": DAY, "wtd": WEEK, "mtd": MONTH, "ytd": YEAR}
"""Periods that end with now, and what they are the begin of."""
Kept = Mapping[Interval, float | None]
_DECIMALS = Context(prec=28, traps=[])
"""Not the thread's, which a program may have changed."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two ranges. word: as it was asked.  asked: the period, not cut.  now, before: what is compared.

    cut: the interval whose last ended bucket is where both end; None: nothing is cut.  complete: the period has ended.
    same_length: they have as many days, hours and minutes on the local clock.
    """

    word: str
    asked: Range
    now: Range
    before: Range
    cut: Interval | None
    complete: bool
    same_length: bool

    def said(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "with": self.word,
            "now": _said(self.now),
            "before": _said(self.before),
            "cut": None if self.cut is None else interval_name(self.cut),
            "complete": self.complete,
            "same_length": self.same_length,
        }


@dataclass(frozen=True, slots=True)
class Scope:
    """What is kept, and when it is asked.

    zone: the account's.  kept: interval -> seconds it is kept, or None.  now: epoch seconds.  at: as if it were asked then.
    single: each range must be read from one interval, as names of distinct counts are.
    """

    zone: str
    kept: Kept
    now: float
    at: float
    single: bool = False

    @classmethod
    def of(
        cls,
        store: Counters,
        question: Question,
        periods: Kept,
        now: float,
        at: float | None = None,
        fields: Mapping[str, Sequence[str]] | None = None,
    ) -> "Scope":
        """As the formulas of a question need it (or those of these parameters); raises FormulaError."""
        kinds = series.kinds_of(store, question, {question.field: question.metrics} if fields is None else fields)
        kept = distinct_periods(periods.items()) if DISTINCT in kinds else dict(periods)
        return cls(store.zone(question.account), kept, now, now if at is None else at, bool(kinds))


def compare(asked: Range, period: str, word: str, scope: Scope) -> Comparison:
    """What a period is compared with. period: its text.  word: of WORDS.

    Raises CallerError (word), PeriodError (future; not kept so far back).
    """
    if word not in WORDS:
        raise CallerError(f"expected {' or '.join(WORDS)}, got {ascii(word)[:60]}", "compare")
    check_begun(asked, scope)
    try:
        return _Calendar(asked, period.partition("|")[0].strip(), scope).comparison(word)
    except (OverflowError, ValueError, OSError):
        raise PeriodError("expected a period whose comparison period begins after 1900", "compare") from None
    except PeriodError as error:
        raise error.named("compare") from None


def against(asked: Range, other: Range, word: str, scope: Scope) -> Comparison:
    """Two periods as they are asked, whatever their lengths, none cut."""
    check_begun(asked, scope)
    check_begun(other, scope, "against")
    same = _length(asked) == _length(other)
    return Comparison(word, asked, asked, other, None, asked.end <= scope.at, same)


def check_begun(asked: Range, scope: Scope, field: str = "period") -> None:
    if asked.start > scope.at:
        raise NotBegun("expected a period that has begun", field)


def totals(store: Counters, question: Question, comparison: Comparison, bounds: Bounds) -> dict[Path, dict[str, Any]]:
    """{path: {formula: {now, before, change, ratio}}} for the paths of a question."""
    found = (series.totals(store, question, each, bounds) for each in (comparison.now, comparison.before))
    return {
        now.path: {name: pair(value, before.totals[name]) for name, value in now.totals.items()}
        for now, before in zip(*found, strict=True)
    }


def read_ahead(store: Counters, question: Question, comparisons: Iterable[Comparison], bounds: Bounds) -> None:
    """Reads all ranges of some comparisons, whose `totals` come next, in one round trip. store: one that remembers."""
    ranges = (each for comparison in comparisons for each in (comparison.now, comparison.before))
    series.read_ahead(store, question, [series.Buckets(store, question, each, bounds) for each in ranges])


def plotpoints(store: Counters, question: Question, comparison: Comparison, bounds: Bounds) -> tuple[Plot, Plot]:
    """The series of both ranges, of the paths that now's keeps, in their order. Buckets meet by their position."""
    now = series.plotpoints(store, question, comparison.now, bounds)
    paths = [row.path for row in now.series]
    again = replace(question, paths=paths, depth=0, sort=None, limit=0)
    return now, series.plotpoints(store, again, comparison.before, bounds)


def pair(now: Number | None, before: Number | None) -> dict[str, Number | None]:
    """Both values, their difference, and now/before; None where that is not defined."""
    if now is None or before is None:
        return {"now": now, "before": before, "change": None, "ratio": None}
    # by their shortest decimals: 15.5 - 10.2 is 5.3
    change: Number = (
        float(_DECIMALS.subtract(Decimal(repr(now)), Decimal(repr(before))))
        if isinstance(now - before, float)
        else now - before
    )
    return {"now": now, "before": before, "change": change, "ratio": now / before if before else None}


class _Calendar:
    """Where a period lies, and where the other one does. Elapsed: (months, days, seconds on the local clock)."""

    def __init__(self, asked: Range, name: str, scope: Scope):
        self.asked, self.scope, self.zone = asked, scope, asked.zone
        self.end = next_start(TO_DATE[name], asked.start, self.zone) if name in TO_DATE else asked.end
        self.weeks = name == "wtd" or asked.interval in WEEKS
        if name in ("mtd", "ytd") or asked.interval in MONTHS:
            self.unit = "month"
        else:
            whole = all(bucket_start(DAY, edge, self.zone) == edge for edge in (asked.start, self.end))
            self.unit = "day" if whole else "second"

    def comparison(self, word: str) -> Comparison:
        begin = self._begin(word)
        if begin < FIRST:
            raise ValueError
        try:
            return self._comparison(word, begin)
        except PeriodError as error:
            if width(self.asked.interval) >= DAY or not self._has_day(begin):
                raise
            raise PeriodError(f"{str(error).removeprefix('period: ')}: {BY_DAY}") from None

    def _has_day(self, at: int) -> bool:
        """Whether the day with a time is kept."""
        start = bucket_start(DAY, at, self.zone)
        day = Range(DAY, start, next_start(DAY, start, self.zone), self.zone)
        return source_of(day, self.scope.now, self.scope.zone, dict(self.scope.kept)) is not None

    def _comparison(self, word: str, begin: int) -> Comparison:
        asked, scope = self.asked, self.scope
        if asked.end <= scope.at:
            before = self._read(Range(asked.interval, begin, self._at(begin, asked.end), self.zone), asked.interval)
            return self._made(word, asked, before, None)
        finer = [interval for interval in scope.kept if width(interval) < width(asked.interval)]
        for cut in sorted(finer, key=width):
            try:
                return self._cut(word, begin, cut)
            except PeriodError:
                continue
        return self._cut(word, begin, asked.interval)

    def _cut(self, word: str, begin: int, cut: Interval) -> Comparison:
        """Both ranges up to the last edge of an interval; raises PeriodError where it is not kept."""
        asked = self.asked
        end = _edge(cut, asked.start, int(self.scope.at), self.zone)
        if end == asked.start and width(cut) >= DAY:
            raise PeriodError(
                f"nothing can be compared: buckets finer than {interval_name(cut)} are not kept for both periods, and no "
                f"{interval_name(cut)} of this period has ended yet"
            )
        now = self._read(Range(asked.interval, asked.start, end, self.zone), cut)
        before = self._read(Range(asked.interval, begin, self._at(begin, end), self.zone), cut)
        return self._made(word, now, before, cut)

    def _made(self, word: str, now: Range, before: Range, cut: Interval | None) -> Comparison:
        same = _length(now) == _length(before)
        return Comparison(word, self.asked, now, before, cut, cut is None, same)

    def _begin(self, word: str) -> int:
        """Where the other period begins."""
        start, zone = self.asked.start, self.zone
        months, days, seconds = self._elapsed(self.end)
        local = datetime.fromtimestamp(start, tz(zone))
        if self.unit == "month":
            return _months_on(start, -12 if word == "last_year" else -months, zone)
        if word == "last_year" and self.weeks:
            return midnight(day_of(start, zone) - 364, zone)
        if word == "last_year":
            leap = (local.month, local.day) == (2, 29)
            then = date.fromordinal(day_of(start, zone)).replace(year=local.year - 1, **({"day": 28} if leap else {}))
            return midnight(then.toordinal(), zone) if self.unit == "day" else _local(then.toordinal(), local, zone)
        return next_start(DAY, start, zone, -days) if self.unit == "day" else start - seconds

    def _elapsed(self, at: int) -> tuple[int, int, int]:
        """From the start of the period to a time in it."""
        start, zone = self.asked.start, self.zone
        if self.unit == "second":
            return 0, 0, at - start
        local = datetime.fromtimestamp(at, tz(zone))
        seconds = 0 if bucket_start(DAY, at, zone) == at else local.hour * 3600 + local.minute * 60 + local.second
        if self.unit == "day":
            return 0, _days(start, at, zone), seconds
        first, month = (date.fromordinal(day_of(each, zone)) for each in (start, month_start(at, zone)))
        months = (month.year - first.year) * 12 + month.month - first.month
        return months, day_of(at, zone) - month.toordinal(), seconds

    def _at(self, begin: int, at: int) -> int:
        """The time as far into the other period as `at` is into this one."""
        months, days, seconds = self._elapsed(at)
        if self.unit == "second":
            return begin + seconds
        first = _months_on(begin, months, self.zone) if self.unit == "month" else begin
        is_month = self.unit == "month"
        day = (
            day_of(first, self.zone) + days if is_month else day_of(next_start(DAY, begin, self.zone, days), self.zone)
        )
        clock = datetime.min + timedelta(seconds=seconds)
        then = _local(day, clock, self.zone) if seconds else midnight(day, self.zone)
        if self.unit == "month" and (days or seconds):
            return min(then, _months_on(first, 1, self.zone))
        return then

    def _read(self, asked: Range, finest: Interval) -> Range:
        """The range, with what it is read from: whole buckets, and finer ones for the end. Raises PeriodError."""
        scope, kept = self.scope, dict(self.scope.kept)
        if asked.start == asked.end:
            return asked
        if _edge(asked.interval, asked.start, asked.end, asked.zone) == asked.end:
            return with_source(asked, scope.now, scope.zone, kept)
        if scope.single:
            if points(finest, asked.start, asked.end, asked.zone) > MAX_POINTS:
                raise PeriodError(f"too many buckets of {interval_name(finest)}")
            found = with_source(Range(finest, asked.start, asked.end, asked.zone), scope.now, scope.zone, kept)
            return Range(asked.interval, asked.start, asked.end, asked.zone, found.source)
        at, parts = asked.start, []
        for interval in sorted({asked.interval, *kept}, key=width, reverse=True):
            if width(finest) <= width(interval) <= width(asked.interval):
                edge = _edge(interval, at, asked.end, asked.zone)
                part = Range(interval, at, edge, asked.zone)
                fits = edge > at and _begins(interval, at, asked.zone)
                if fits and (source := source_of(part, scope.now, scope.zone, kept)):
                    parts.append(Range(interval, at, edge, asked.zone, source))
                    at = edge
        if at < asked.end:
            raise PeriodError(f"buckets of {interval_name(finest)} are not kept for the end of the range")
        return Range(asked.interval, asked.start, asked.end, asked.zone, parts=tuple(parts))


def _edge(interval: Interval, start: int, at: int, zone: str) -> int:
    """The last edge of an interval up to a time, not before the start."""
    if isinstance(interval, int) and interval < DAY:
        return start + (at - start) // interval * interval
    return max(start, bucket_start(interval, at, zone))


def _begins(interval: Interval, at: int, zone: str) -> bool:
    """Whether a bucket may begin there; shorter ones begin anywhere."""
    return width(interval) < DAY or bucket_start(interval, at, zone) == at


def _months_on(start: int, months: int, zone: str) -> int:
    """The first of the month so many months after the one that begins at `start`."""
    day = date.fromordinal(day_of(start, zone))
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return midnight(date(year, month + 1, 1).toordinal(), zone)


def _local(ordinal: int, clock: datetime, zone: str) -> int:
    """A local day at a local time: within the day, where the clock skips it."""
    then = datetime.combine(date.fromordinal(ordinal), clock.time(), tz(zone))
    return max(midnight(ordinal, zone), min(int(then.timestamp()), midnight(ordinal + 1, zone)))


def _days(start: int, end: int, zone: str) -> int:
    """How many days, which there were, from the one of a time to the one of another."""
    return len(starts(DAY, day_start(start, zone), day_start(end, zone), zone))


def _length(period: Range) -> timedelta:
    """On the local clock, without days that the zone left out."""
    start, end, zone = period.start, period.end, period.zone
    first, last = (datetime.fromtimestamp(edge, tz(zone)).replace(tzinfo=None) for edge in (start, end))
    left_out = day_of(end, zone) - day_of(start, zone) - _days(start, end, zone)
    return last - first - timedelta(left_out)


def _said(period: Range) -> dict[str, str]:
    start, end = (
        datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z") for at in (period.start, period.end)
    )
    return {"start": start, "end": end}

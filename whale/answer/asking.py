"""What is asked, read the same way for every door: names, formulas, times and periods of one account.

as it was asked ── Asking ──> Inquiry(question, ranges, comparisons) ── inquiry.py ──> Answer(rows, basis)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from typing import Any, Protocol

from hail.hit import MILLION, HitError, parse_time
from hail.settings import Settings
from whale.answer import compare, notes
from whale.answer.compare import Comparison, Scope
from whale.answer.days_counted import Calendar
from whale.answer.inquiry import Inquiry
from whale.answer.measures import Described, Measure, measures
from whale.answer.once import once
from whale.answer.pks import page_of, used
from whale.answer.rank import Ranking
from whale.answer.series import Bounds, Question
from whale.answer.shapes import naming_of
from whale.answer.unknown import Unknown, unknown_names
from whale.dimension import Path, Pk, pk_asked, read_paths, two_readings
from whale.errors import CallerError, FormulaError, PathError, PeriodError, Unavailable
from whale.formula import metrics_asked
from whale.period import Kept, Range, Span, parse_period, width, zone_asked, zone_of_offset
from whale.store.contract.accounts import Accounts
from whale.store.contract.counters import Counters

PERIODS = ("1d:1y", "1d:1mo", "1d:1w", "1h:1d", "1m:1h")
"""What is answered of totals when no period is asked."""
REMEMBERED_S = 60.0
"""How long an answer may be remembered that names no period."""
Period = str | int | Sequence[Any] | Span | None
"""As text; a Span; or a pair of the setting PERIODS: (interval in seconds or '1mo', length in seconds or None)."""


class AskedStore(Described, Accounts, Protocol):
    """What this asks of a store."""


class Asking:
    """Reads what is asked about one account. For many threads.  clock: epoch seconds."""

    def __init__(self, store: AskedStore, settings: Settings, account: str, clock: Callable[[], float]):
        self.store, self.settings, self.account, self.clock = store, settings, account, clock
        self.bounds = Bounds(settings.max_points, settings.max_answer_points, settings.max_levels)

    def now(self) -> "Asking":
        """The same, for one question: its clock stands still, so that names, ranges and the answer are of one moment."""
        asking, now = copy(self), self.clock()
        asking.clock = lambda: now
        return asking

    # of which names

    def question(
        self,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        *,
        depth: int = 0,
        sort: str | None = None,
        limit: int = 0,
        undefined: str = "zero",
        field: str = "metrics",
    ) -> Question:
        """field: the parameter that the metrics came in. Raises CallerError."""
        if undefined not in ("zero", "null"):
            raise CallerError(f"expected zero or null, got {ascii(undefined)[:60]}", "undefined")
        names, whose = metrics_asked(metrics, field), pk_asked(pk)
        paths, null = self.paths(whose, dimensions, "dimensions"), undefined == "null"
        kept = dict(self.settings.periods)
        return Question(self.account, whose, paths, names, depth, sort, limit, null, self.clock(), field, kept)

    def single(self, pk: Any, path: Any, metric: Any, field: str, **more: Any) -> Question:
        """A question about one path and one formula, which came in the parameter `field`; raises CallerError."""
        question = self.question(pk, path, [metric], field=field, **more)
        if len(question.paths) != 1:
            raise CallerError(f"expected one path, got {len(question.paths)}", "dimensions")
        return question

    def ranking(
        self, pk: Any, by: str = "hits", dimension: Any = None, columns: Any = None, **more: Any
    ) -> tuple[Question, Ranking]:
        """more: fields of Ranking. Raises CallerError."""
        if not isinstance(by, str):
            raise FormulaError(f"expected a metric or a formula, got {ascii(by)[:60]}", "by")
        named = metrics_asked(columns, "columns") if columns else []
        question = self.question(pk, undefined="null")
        paths = self.paths(question.pk, dimension, "dimension")
        return replace(question, paths=paths, metrics=[by, *named]), Ranking(by, named, **more)

    def shifts(self, pk: Any, metric: Any, cost: Any) -> Question:
        """A question about one formula and, after it, what a shift of it costs. Raises CallerError."""
        if not isinstance(metric, str) or not metric:
            raise CallerError(f"expected a metric or a formula, got {ascii(metric)[:60]}", "metric")
        costs = [] if cost in (None, "", [], {}, ()) else metrics_asked(cost, "cost")
        return replace(self.question(pk, None, [metric], undefined="null", field="metric"), metrics=[metric, *costs])

    def paths(self, pk: Pk, dimensions: Any, field: str) -> list[Path]:
        """The paths that a question about a pk names. field: the parameter that they came in.

        Raises PathError, also for a list below an object that was counted as the path it is in a hit. Only where there is such a
        list names are looked up, at once.
        """
        asked = read_paths(dimensions, field)
        lists = {(*above, *names): (above, names) for above, names in asked.lists}
        for path in self.store.counted(self.account, pk, list(lists)) if lists else ():
            raise PathError(two_readings(*lists[path]), field)
        return asked.paths

    def one_path(self, pk: Any, dimensions: Any, field: str) -> Path:
        """The one path that a question names; raises CallerError."""
        paths = self.paths(pk_asked(pk), dimensions, field)
        if len(paths) != 1:
            raise CallerError(f"expected one path, got {len(paths)}", field)
        return paths[0]

    def dimensions(self, pk: Pk, dimensions: Any) -> list[Path] | None:
        """Paths whose values are meant; None: all at the top."""
        return None if dimensions in (None, "", [], {}, ()) else self.paths(pk, dimensions, "dimensions")

    def below(self, pk: Any, dimension: Any, depth: int) -> list[Path]:
        """The paths that were counted up to so many levels below a path."""
        path = self.one_path(pk, dimension, "dimension")
        if not 1 <= depth <= self.bounds.levels:
            raise CallerError(f"expected 1 to {self.bounds.levels}, got {depth}", "depth")
        return self.store.descendants(self.account, pk_asked(pk), path, depth)

    def unknown(self, pk: Pk, paths: Sequence[Path] = (), metrics: Sequence[str] = ()) -> list[Unknown]:
        """The pk, or paths and metrics of it, that were never counted."""
        return unknown_names(self.store, self.account, pk, paths, metrics)

    # names, and what is known of them

    def pks(
        self, parent: Any, prefix: str, limit: int, offset: int, counts: bool, tz: str | None, tzoffset: Any
    ) -> tuple[list[Any], int]:
        """Some pks below a pk, or with `counts` how much each is used; and how many more there are behind them."""
        above = () if parent is None else pk_asked(parent)
        names = self.store.pks(self.account, above, prefix)
        page = page_of(len(names), limit, offset, counts)
        found, more = [(*above, name) for name in names[page]], max(0, len(names) - page.stop)
        if not counts:
            return found, more
        today = self.range_of("today", tz, tzoffset)
        return used(self.store, self.account, found, today, dict(self.settings.periods), self.clock()), more

    def measures(self, pk: Any, tz: str | None, tzoffset: Any) -> list[Measure]:
        """What the metrics of a pk measure, and when they were counted."""
        own = self.store.zone(self.account)
        calendar = Calendar(dict(self.settings.periods), self.clock(), own)
        zone = zone_asked(zone_text(tz, tzoffset) or "system", own)
        return measures(self.store, self.account, pk_asked(pk), self.settings.metrics, calendar, zone)

    # of which time

    @property
    def zone(self) -> str:
        """Whose days the account's buckets are of."""
        return self.store.zone(self.account)

    @property
    def zone_or_setting(self) -> str:
        """The zone, for whatever is there while the store is away: then that of the settings."""
        try:
            return self.zone
        except Unavailable:
            return self.settings.timezone

    @property
    def account_name(self) -> str:
        """By which senders call the account; its id where nobody can say it now."""
        try:
            found = self.store.account_with(self.account)
        except Unavailable:
            found = None
        return found.name if found else self.account

    def moment(self, value: Any, field: str) -> float | None:
        """Epoch seconds of a time as it was asked; None of None."""
        try:
            if value is None:
                return None
            return parse_time(value, self.clock(), field) / MILLION
        except HitError as error:
            raise CallerError(str(error).removeprefix(f"{field}: "), field) from None

    def range_of(
        self,
        period: Period = None,
        tz: str | None = None,
        tzoffset: Any = None,
        *,
        at: float | None = None,
        start_at: float | None = None,
        week: str | None = None,
    ) -> Range:
        """What a period means now, or as if it were asked at a time. at, start_at: epoch seconds."""
        return self._range(period, zone_text(tz, tzoffset), self.settings.periods, start_at, at, week)

    def range_of_log(
        self, period: Period = None, tz: str | None = None, tzoffset: Any = None, *, week: str | None = None
    ) -> Range:
        """`range_of`, for a log: it keeps times, so buckets of any width in any zone are answered, however old they are."""
        return self._range(period, zone_text(tz, tzoffset), None, None, None, week)

    def _range(
        self, period: Period, zone: str, kept: Kept | None, start_at: float | None, at: float | None, week: str | None
    ) -> Range:
        return parse_period(
            period if isinstance(period, Span) else period_text(period),
            self.clock(),
            self.store.zone(self.account),
            kept,
            zone,
            self.bounds.points,
            start_at,
            at,
            week or self.settings.week_starts,
        )

    def range_named(
        self, period: Period = None, tz: str | None = None, tzoffset: Any = None, **more: Any
    ) -> dict[str, Range]:
        """`range_of`, by the text of the period."""
        return {period_text(period): self.range_of(period, tz, tzoffset, **more)}

    def ranges_of(
        self,
        periods: Any,
        tz: str | None = None,
        tzoffset: Any = None,
        *,
        at: float | None = None,
        week: str | None = None,
        field: str = "periods",
    ) -> dict[str, Range]:
        """The ranges of some periods, by their text; of None those of PERIODS that are kept. field: what they came in."""
        if periods is None:
            return dict(self._kept(tz, tzoffset, at, week))
        several = isinstance(periods, list) or (isinstance(periods, tuple) and not is_pair(periods))
        ranges = {}
        for period in periods if several else [periods]:
            try:
                ranges[period_text(period)] = self.range_of(period, tz, tzoffset, at=at, week=week)
            except CallerError as error:
                raise error.named(field) if error.field == "period" else error from None
        return ranges

    def _kept(self, tz: str | None, tzoffset: Any, at: float | None, week: str | None) -> Iterator[tuple[str, Range]]:
        zone_asked(zone_text(tz, tzoffset) or "system", "UTC")  # a zone that does not exist is told
        for period in PERIODS:
            with suppress(PeriodError):
                yield period, self.range_of(period, tz, tzoffset, at=at, week=week)

    def lifetime_s(self, periods: Any, tz: str | None = None, tzoffset: Any = None) -> float:
        """How long an answer about some periods may be remembered: a fifth of the finest interval."""
        if periods is None:
            return REMEMBERED_S
        widths = (width(each.interval) for each in self.ranges_of(periods, tz, tzoffset).values())
        return min(widths, default=5 * REMEMBERED_S) / 5

    def notes(self, pk: Pk | None, period: Range) -> list[dict[str, Any]]:
        """Notes of people within a range, as JSON holds them: those of a pk and those of none; of None all."""
        found = self.store.notes_between(self.account, period.start * 1000, period.end * 1000)
        return [notes.said(note, period.zone) for note in notes.about(found, pk)]

    # what is then answered

    def inquiry(
        self,
        question: Question,
        ranges: Mapping[str, Range],
        word: str | None = None,
        *,
        at: float | None = None,
        is_each_asked: bool = True,
        fields: Mapping[str, Sequence[str]] | None = None,
        store: Counters | None = None,
        bounds: Bounds | None = None,
        paths: str = "text",
    ) -> Inquiry:
        """A question over some ranges, by their periods' text.

        word: of compare.WORDS, what each is compared with; as if it were asked `at` a time.  is_each_asked: else those are left
        out that cannot be answered.  fields: the formulas by the parameter they came in, where these are several.
        store: that remembers what it read.  paths: how the answer names paths, `text` or `list`.
        """
        naming = naming_of(paths)
        reader = once(self.store) if store is None else store
        comparisons: dict[str, Comparison] | None = None
        if word:
            comparisons = {}
            for period, asked in ranges.items():
                try:
                    scope = Scope.of(reader, question, dict(self.settings.periods), self.clock(), at, fields)
                    comparisons[period] = compare.compare(asked, period, word, scope)
                except PeriodError:
                    if is_each_asked:
                        raise
        return Inquiry(reader, question, ranges, comparisons, bounds or self.bounds, is_each_asked, naming)

    def change(
        self,
        pk: Any,
        metric: str,
        period: Period,
        word: str | None,
        against: Period,
        tz: str | None,
        tzoffset: Any,
        *,
        week: str | None = None,
        store: Counters | None = None,
        paths: str = "text",
    ) -> Inquiry:
        """A question about the change of a metric from one range to another, of which neither is cut where `against` names it."""
        if not isinstance(metric, str) or not metric:
            raise CallerError(f"expected a metric or a formula, got {ascii(metric)[:60]}", "metric")
        if word and against not in (None, ""):
            raise CallerError("came twice, as compare and as against", "against")
        question = self.question(pk, None, [metric], undefined="null")
        asked, now = self.range_of(period, tz, tzoffset, week=week), self.clock()
        scope = Scope(self.store.zone(self.account), dict(self.settings.periods), now, now)
        if against in (None, ""):
            comparison = compare.compare(asked, period_text(period), word or "previous", scope)
        else:
            try:
                other = self.range_of(against, tz, tzoffset, week=week)
            except PeriodError as error:
                raise error.named("against") from None
            comparison = compare.against(asked, other, period_text(against), scope)
        text, reader = period_text(period), once(self.store) if store is None else store
        return Inquiry(reader, question, {text: asked}, {text: comparison}, self.bounds, naming=naming_of(paths))


def period_text(period: Any) -> str:
    """As `parse_period` reads it."""
    if period is None:
        return "thirty"
    if is_pair(period):
        interval, length = period
        return str(interval) if length is None else f"{interval}:{int(length)}"
    if isinstance(period, list | tuple):
        raise PeriodError(f"expected text or a pair (interval, length), got {ascii(period)[:60]}")
    return str(period)


def is_pair(period: Any) -> bool:
    return isinstance(period, list | tuple) and len(period) == 2 and isinstance(period[1], int | float | None)


def zone_text(tz: str | None, tzoffset: Any) -> str:
    if tz and tzoffset not in (None, ""):
        raise CallerError("came twice, as tz and as tzoffset", "tz")
    if tz or tzoffset in (None, ""):
        return tz or ""
    offset = str(tzoffset)
    try:
        zone_asked(offset, "UTC")
    except PeriodError:
        zone_of_offset(offset)  # refuses it too, and says what an offset is
    return offset

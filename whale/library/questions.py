"""What the library answers: series, totals, names; a part of Whale, see client.py."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from hail.hit import MILLION, RESERVED, HitError, parse_time
from hail.settings import Settings
from whale.answer import compare, series
from whale.answer.adjusted import adjusted
from whale.answer.cache import Cache, argument_key
from whale.answer.compare import Comparison, Scope
from whale.answer.once import once
from whale.answer.series import Bounds, Question
from whale.answer.shapes import ByPath, labels, path_below, points, times
from whale.answer.unknown import tell
from whale.dimension import Path, Pk, path_text, pk_asked, pk_text, pks_asked, read_paths, two_readings
from whale.errors import CallerError, PathError, PeriodError
from whale.formula import Number, metrics_asked, ratio_text
from whale.library.arguments import Period, is_pair, on_default, one, period_text, zone_text
from whale.period import Range, Span, parse_period, width, zone_asked
from whale.store.base import Store
from whale.store.contract.counters import Counters

PERIODS = ("1d:1y", "1d:1mo", "1d:1w", "1h:1d", "1m:1h")
"""What `totals` answers when no period is asked."""
CACHED_S = 60.0


class Questions:
    """Answers about one account. For many threads; clock: epoch seconds."""

    store: Store
    settings: Settings
    account: str
    clock: Callable[[], float]
    bounds: Bounds
    _cache: Cache

    # series

    @on_default
    def plotpoints(
        self,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        depth: int = 0,
        period: Period = None,
        sort: str | None = None,
        limit: int = 0,
        tzoffset: Any = None,
        flot_time: bool = False,
        points_type: type = dict,
        descending: bool = False,
        with_totals: bool = False,
        *,
        tz: str | None = None,
        undefined: str = "zero",
        compare: str | None = None,
        dimension: Any = None,
        metric: Any = None,
    ) -> Any:
        """{path: {metric: points}}: the asked paths, then those below them in sort order.

        points: {label: number}, or with points_type=list [(label, number), ...]; a label is local time as text, or with
        flot_time epoch ms.  with_totals adds a row `Total`.  undefined="null": None, not 0, over a zero denominator.
        compare="previous" or "last_year": {"compared": …, "paths": {path: {metric: {"now": points, "before": points}}}}.
        """
        asked = one(dimensions, dimension), one(metrics, metric)
        question = self.question(pk, *asked, depth=depth, sort=sort, limit=limit, undefined=undefined)
        found = self.range_of(period, tz, tzoffset)

        def shaped(plot: series.Plot) -> list[tuple[str, dict[str, Any]]]:
            names = labels(found, plot.starts, flot_time)
            return [
                (
                    path_text(row.path),
                    {
                        name: points(names, values, row.totals[name] if with_totals else ..., points_type, descending)
                        for name, values in row.values.items()
                    },
                )
                for row in plot.series
            ]

        store = once(self.store)
        if compare:
            comparison = self.comparison(question, found, period, compare)
            both = self.compared_plotpoints(question, comparison, store, self.bounds, shaped)
            tell(store, question)
            return both
        plot = series.plotpoints(store, question, found, self.bounds)
        tell(store, question)
        lacking = series.overflowed(store, question, [found], question.depth)
        (set_,) = adjusted(store, question, [found])
        return ByPath(question.pk, shaped(plot), set_.said(), lacking, plot.more)

    @on_default
    def scalar_plotpoints(self, /, pk: Any, dimensions: Any = None, metrics: Any = None, **more: Any) -> ByPath[Any]:
        """`plotpoints`, of plain metrics."""
        return self.plotpoints(pk, dimensions, metrics, **more)

    @on_default
    def ratio_plotpoints(
        self, /, pk: Any, numerator: str, denominator: str = "hits", dimensions: Any = None, **more: Any
    ) -> ByPath[Any]:
        """`plotpoints`, of one metric over another, under the name `numerator/denominator`."""
        return self.plotpoints(pk, dimensions, [ratio_text(numerator, denominator)], **more)

    @on_default
    def dataset(
        self,
        pk: Any,
        dimensions: Any = None,
        value: str = "hits",
        period: Period = None,
        start_at: Any = None,
        depth: int = 0,
        *,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> Any:
        """[(datetime, number), ...] of one path; with depth {child: the same}, for what is below it.

        start_at: only from the bucket with that time on.
        """
        question = self.single(pk, dimensions, value, "value", depth=depth)
        found = self.range_of(period, tz, tzoffset, start_at=start_at)
        plot = series.plotpoints(self.store, question, found, self.bounds)
        tell(self.store, question)
        when = times(found, plot.starts)
        rows = {
            path_below(row.path, question.paths[0]): list(zip(when, row.values[value], strict=True))
            for row in plot.series
            if depth == 0 or row.path != question.paths[0]
        }
        return rows if depth else next(iter(rows.values()))

    # totals

    @on_default
    def totals(
        self,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        periods: Any = None,
        tzoffset: Any = None,
        *,
        tz: str | None = None,
        undefined: str = "zero",
        compare: str | None = None,
        dimension: Any = None,
        metric: Any = None,
        period: Period = None,
    ) -> dict[str, Any]:
        """{period as asked: {path: {metric: number}}}; without periods those of PERIODS that are kept.

        periods: one, or a list. A ratio is the ratio of sums.
        compare="previous" or "last_year": {period: {"compared": …, "paths": {path: {metric: {now, before, change, ratio}}}}}.
        """
        question = self.question(pk, one(dimensions, dimension), one(metrics, metric), undefined=undefined)
        asked = one(periods, period)
        ranges = self.ranges_of(asked, tz, tzoffset, field="period" if periods is None else "periods")
        store = once(self.store)
        if compare:
            comparisons = self.comparisons(question, ranges, compare, asked is not None, store=store)
            both = self.compared_totals(question, comparisons, store, self.bounds)
            tell(store, question)
            return both
        found = series.totals_of(store, question, ranges, self.bounds, asked is not None)
        tell(store, question)
        set_ = dict(zip(ranges, adjusted(store, question, list(ranges.values())), strict=True))
        return {
            name: ByPath(
                question.pk,
                ((path_text(row.path), row.totals) for row in rows),
                set_[name].said(),
                series.overflowed(store, question, [ranges[name]], question.depth),
            )
            for name, rows in found.items()
        }

    @on_default
    def totals_of(self, /, pks: Sequence[Any], *args: Any, **more: Any) -> dict[str, dict[str, ByPath[Any]]]:
        """{pk: `totals`} of up to 100 pks."""
        return {pk_text(pk): self.totals(pk, *args, **more) for pk in pks_asked(pks)}

    @on_default
    def plotpoints_of(self, /, pks: Sequence[Any], *args: Any, **more: Any) -> dict[str, ByPath[dict[str, Any]]]:
        """{pk: `plotpoints`} of up to 100 pks."""
        return {pk_text(pk): self.plotpoints(pk, *args, **more) for pk in pks_asked(pks)}

    @on_default
    def total(
        self,
        pk: Any,
        metric: str = "hits",
        dimension: Any = None,
        period: Period = None,
        at: Any = None,
        index: int | None = None,
        tzoffset: Any = None,
        *,
        tz: str | None = None,
        undefined: str = "zero",
        compare: str | None = None,
    ) -> Any:
        """One number: the total of a period, as it stood `at` a time; with an index that of one bucket, -1 the last.

        compare="previous" or "last_year": {"compared": …, "now", "before", "change", "ratio"}.
        """
        question = self.single(pk, dimension, metric, "metric", undefined=undefined)
        then = self.moment(at, "at")
        found = self.range_at(then, period, tz, tzoffset)
        if compare:
            comparison = self.comparison(question, found, period, compare, then)
            both = self.compared_total(question, comparison, index, once(self.store))
            tell(self.store, question)
            return both
        number = self.one_total(question, found, index, once(self.store))
        tell(self.store, question)
        return number

    @on_default
    def today(self, /, pk: Any, metric: str = "hits", dimension: Any = None, **more: Any) -> Any:
        """The total of the day so far, in the account's zone."""
        return self.total(pk, metric, dimension, "today", **more)

    @on_default
    def yesterday(self, /, pk: Any, metric: str = "hits", dimension: Any = None, **more: Any) -> Any:
        """The total of the day before."""
        return self.total(pk, metric, dimension, "yesterday", **more)

    # remembered answers

    @on_default
    def cached_plotpoints(self, /, *args: Any, unmemoize: bool = False, **more: Any) -> ByPath[dict[str, Any]]:
        """`plotpoints`, which remembers its answer for a fifth of the interval. unmemoize: ask anew."""
        return self._cached(Questions.__dict__["plotpoints"], args, more, unmemoize)

    @on_default
    def cached_totals(
        self, /, *args: Any, unmemoize: bool = False, **more: Any
    ) -> dict[str, ByPath[dict[str, Number]]]:
        """`totals`, which remembers its answer for a fifth of the finest interval."""
        return self._cached(Questions.__dict__["totals"], args, more, unmemoize)

    @on_default
    def cached_total(self, /, *args: Any, unmemoize: bool = False, **more: Any) -> Number:
        """`total`, which remembers its answer for a fifth of the interval."""
        return self._cached(Questions.__dict__["total"], args, more, unmemoize)

    def _cached(self, method: Any, args: tuple[Any, ...], more: dict[str, Any], unmemoize: bool) -> Any:
        """An entry lives a fifth of the interval, a minute where no period is asked; other arguments, other entry."""
        some, named = method.plain(self, args, more)
        bound = inspect.signature(method.function).bind(self, *some, **named)
        arguments = {name: value for name, value in bound.arguments.items() if name != "self"}
        key = argument_key(self.account, method.function.__name__, arguments)
        asked = one(arguments.get("periods"), arguments.get("period"))
        zone = arguments.get("tz"), arguments.get("tzoffset")
        return self._cache.get(
            key,
            lambda: method.function(*bound.args, **bound.kwargs),
            lambda _: self.lifetime_s(asked, *zone),
            unmemoize,
        )

    def lifetime_s(self, periods: Any, tz: str | None = None, tzoffset: Any = None) -> float:
        """How long an answer about some periods may be remembered."""
        if periods is None:
            return CACHED_S
        widths = (width(found.interval) for found in self.ranges_of(periods, tz, tzoffset).values())
        return min(widths, default=5 * CACHED_S) / 5

    # names

    @on_default
    def get_subdimensions(self, pk: Any, dimension: Any = None, *, depth: int = 1) -> list[str]:
        """The paths one level below a path (or so many levels), as `plotpoints` names them."""
        return [path_text(path) for path in self.below(pk, dimension, depth)]

    @on_default
    def all_subdimensions(self, pk: Any, dimension: Any = None) -> list[str]:
        """A path and everything below it."""
        path = self.one_path(pk, dimension, "dimension")
        return [path_text(path), *(path_text(below) for below in self.below(pk, dimension, self.bounds.levels))]

    @on_default
    def below(self, pk: Any, dimension: Any, depth: int) -> list[Path]:
        """The paths up to so many levels below a path."""
        path = self.one_path(pk, dimension, "dimension")
        if not 1 <= depth <= self.bounds.levels:
            raise CallerError(f"expected 1 to {self.bounds.levels}, got {depth}", "depth")
        return self.store.descendants(self.account, pk_asked(pk), path, depth)

    @on_default
    def pks(self, parent: Any = None) -> list[Pk]:
        """The pks one level below a pk; without one, the top ones."""
        above = () if parent is None else pk_asked(parent)
        return [(*above, name) for name in self.store.pks(self.account, above)]

    @on_default
    def metrics_of(self, pk: Any) -> list[str]:
        """The metrics of a pk, `hits` first; not what HailWhale counts of decisions."""
        return [name for name in self.store.metrics(self.account, pk_asked(pk)) if name not in RESERVED]

    # what the other doors share

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
        """A question about this account. field: the parameter that the metrics came in. Raises CallerError."""
        if undefined not in ("zero", "null"):
            raise CallerError(f"expected zero or null, got {ascii(undefined)[:60]}", "undefined")
        names, whose = metrics_asked(metrics, field), pk_asked(pk)
        paths, null = self.paths(whose, dimensions, "dimensions"), undefined == "null"
        return Question(
            self.account,
            whose,
            paths,
            names,
            depth,
            sort,
            limit,
            null,
            self.clock(),
            field,
            dict(self.settings.periods),
        )

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

    def single(self, pk: Any, path: Any, metric: Any, field: str, **more: Any) -> Question:
        """A question about one path and one formula, which came in the parameter `field`; raises CallerError."""
        question = self.question(pk, path, [metric], field=field, **more)
        if len(question.paths) != 1:
            raise CallerError(f"expected one path, got {len(question.paths)}", "dimensions")
        return question

    def one_total(self, question: Question, period: Range, index: int | None, store: Counters) -> Number:
        """The total of the first path and metric of a question; or one of its buckets."""
        if index is None:
            return next(iter(series.totals(store, question, period, self.bounds)[0].totals.values()))
        values = next(iter(series.plotpoints(store, question, period, self.bounds).series[0].values.values()))
        if not -len(values) <= index < len(values):
            raise CallerError(f"expected {-len(values)} to {len(values) - 1}, got {index}", "index")
        return values[index]

    def comparison(
        self,
        question: Question,
        asked: Range,
        period: Period,
        word: str,
        at: float | None = None,
        store: Counters | None = None,
    ) -> Comparison:
        """What a period, of which `asked` is the range, is compared with; at: as if it were asked then. store: that answers."""
        now = self.clock()
        then = now if at is None else at
        scope = Scope.of(store or self.store, question, dict(self.settings.periods), now, then)
        return compare.compare(asked, period_text(period), word, scope)

    def comparisons(
        self,
        question: Question,
        ranges: Mapping[str, Range],
        word: str,
        is_each_asked: bool,
        at: float | None = None,
        store: Counters | None = None,
    ) -> dict[str, Comparison]:
        """Of some periods. is_each_asked: else those are left out whose other one is not kept."""
        found = {}
        for period, asked in ranges.items():
            try:
                found[period] = self.comparison(question, asked, period, word, at, store)
            except PeriodError:
                if is_each_asked:
                    raise
        return found

    def compared_totals(
        self, question: Question, comparisons: Mapping[str, Comparison], store: Counters, bounds: Bounds
    ) -> dict[str, dict[str, Any]]:
        """{period: {compared, paths}}."""
        compare.read_ahead(store, question, comparisons.values(), bounds)
        found = {}
        for period, each in comparisons.items():
            rows = compare.totals(store, question, each, bounds)
            paths = ByPath(question.pk, ((path_text(path), row) for path, row in rows.items()))
            found[period] = self.with_adjusted({"compared": each.said(), "paths": paths}, question, each, store)
        return found

    def compared_total(
        self, question: Question, comparison: Comparison, index: int | None, store: Counters
    ) -> dict[str, Any]:
        """{compared, now, before, change, ratio} of the first path and metric of a question."""
        if index is not None:
            raise CallerError("not with compare: ask for a series", "index")
        row = next(iter(compare.totals(store, question, comparison, self.bounds).values()))
        return self.with_adjusted(
            {"compared": comparison.said(), **next(iter(row.values()))}, question, comparison, store
        )

    def compared_plotpoints(
        self,
        question: Question,
        comparison: Comparison,
        store: Counters,
        bounds: Bounds,
        shaped: Callable[[series.Plot], Iterable[tuple[str, dict[str, Any]]]],
    ) -> dict[str, Any]:
        """{compared, paths}. shaped: a plot as (path, {metric: points})."""
        plots = compare.plotpoints(store, question, comparison, bounds)
        rows = (
            (path, {name: {"now": values, "before": before[name]} for name, values in now.items()})
            for (path, now), (_, before) in zip(*map(shaped, plots), strict=True)
        )
        said = {"compared": comparison.said(), "paths": ByPath(question.pk, rows, more=plots[0].more)}
        return self.with_adjusted(said, question, comparison, store)

    def with_adjusted(
        self, said: dict[str, Any], question: Question, about: Range | Comparison, store: Counters
    ) -> dict[str, Any]:
        """An answer, with `adjusted` where it is read from finer buckets than ones that were set. about: what it is read from."""
        ranges = [about] if isinstance(about, Range) else [about.now, about.before]
        rows = list({str(row): row for each in adjusted(store, question, ranges) for row in each.said()}.values())
        return {**said, "adjusted": rows} if rows else said

    @on_default
    def range_of(
        self,
        period: Period = None,
        tz: str | None = None,
        tzoffset: Any = None,
        *,
        at: Any = None,
        start_at: Any = None,
        week: str | None = None,
    ) -> Range:
        """The range that a period means now (or at a time), in the account's zone or the one that is asked.

        week: `monday` or `sunday`, with which weeks begin; None: as the setting says.
        """
        begin = self.moment(start_at, "start_at")
        return self.range_at(self.moment(at, "at"), period, tz, tzoffset, start_at=begin, week=week)

    def range_at(
        self,
        at: float | None,
        period: Period = None,
        tz: str | None = None,
        tzoffset: Any = None,
        *,
        start_at: float | None = None,
        week: str | None = None,
    ) -> Range:
        """`range_of`, at a time that was read before. at, start_at: epoch seconds."""
        zone = self.store.zone(self.account)
        return parse_period(
            period if isinstance(period, Span) else period_text(period),
            self.clock(),
            zone,
            self.settings.periods,
            zone_text(tz, tzoffset),
            self.bounds.points,
            start_at,
            at,
            week or self.settings.week_starts,
        )

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
        found = {}
        for period in periods if several else [periods]:
            try:
                found[period_text(period)] = self.range_at(at, period, tz, tzoffset, week=week)
            except CallerError as error:
                raise error.named(field) if error.field == "period" else error from None
        return found

    def _kept(self, tz: str | None, tzoffset: Any, at: float | None, week: str | None) -> Iterator[tuple[str, Range]]:
        zone_asked(zone_text(tz, tzoffset) or "system", "UTC")  # a zone that does not exist is told
        for period in PERIODS:
            with suppress(PeriodError):
                yield period, self.range_at(at, period, tz, tzoffset, week=week)

    def moment(self, value: Any, field: str) -> float | None:
        """Epoch seconds of a time as it was asked; None of None."""
        try:
            if value is None:
                return None
            return parse_time(value, self.clock(), field) / MILLION
        except HitError as error:
            raise CallerError(str(error).removeprefix(f"{field}: "), field) from None

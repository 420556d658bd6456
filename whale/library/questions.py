"""Series, totals and names in the library; a part of Whale, see client.py."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hail.hit import RESERVED
from hail.settings import Settings
from whale.answer.asking import Asking, Period
from whale.answer.cache import argument_key
from whale.answer.inquiry import Answer
from whale.answer.shapes import ByPath, Shape, naming_of
from whale.answer.unknown import tell
from whale.dimension import pk_asked, pk_text, pks_asked
from whale.formula import Number, ratio_text
from whale.library.arguments import on_default, one
from whale.library.parts import Parts
from whale.period import Range
from whale.store.base import Store

R = TypeVar("R")


class Questions:
    """Answers about one account. For many threads; clock: epoch seconds."""

    store: Store
    settings: Settings
    account: str
    clock: Callable[[], float]
    asking: Asking
    _parts: Parts

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
        paths: str = "text",
    ) -> Any:
        """{path: {metric: points}}: the given paths first, then the paths below them, sorted.

        points: {label: number}, or with points_type=list [(label, number), ...]; a label is local time as text, or with
        flot_time epoch ms.  with_totals adds a row `Total`.  undefined="null": None, not 0, over a zero denominator.
        compare="previous" or "last_year": {"compared": …, "paths": {path: {metric: {"now": points, "before": points}}}}.
        paths="list": [{"path": [name, ...], "metrics": {metric: points}}, ...], a list of rows instead of a dict by path.
        """
        asked = one(dimensions, dimension), one(metrics, metric)
        asking = self.asking.now()
        question = asking.question(pk, *asked, depth=depth, sort=sort, limit=limit, undefined=undefined)
        inquiry = asking.inquiry(question, asking.range_named(period, tz, tzoffset), compare, paths=paths)
        plots = inquiry.plotpoints()
        self._rows(plots)
        return inquiry.labelled(plots, Shape(flot_time, points_type, descending, with_totals))

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
        paths: str = "text",
    ) -> Any:
        """[(datetime, number), ...] for one path; with depth {child: [(datetime, number), ...]} for the paths below it.

        start_at: only from the bucket with that time on.  paths="list": with depth [{"path": [name, ...], "points"}, ...].
        """
        asking = self.asking.now()
        question = asking.single(pk, dimensions, value, "value", depth=depth)
        begin = asking.moment(start_at, "start_at")
        ranges = asking.range_named(period, tz, tzoffset, start_at=begin)
        return self._rows(asking.inquiry(question, ranges, paths=paths).dataset())

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
        paths: str = "text",
    ) -> dict[str, Any]:
        """{period: {path: {metric: number}}}. Default: those periods of PERIODS that are kept.

        periods: one, or a list. A ratio is the ratio of sums.
        compare="previous" or "last_year": {period: {"compared": …, "paths": {path: {metric: {now, before, change, ratio}}}}}.
        paths="list": [{"path": [name, ...], "metrics": {metric: number}}, ...], a list of rows instead of a dict by path.
        """
        asking = self.asking.now()
        question = asking.question(pk, one(dimensions, dimension), one(metrics, metric), undefined=undefined)
        asked = one(periods, period)
        ranges = asking.ranges_of(asked, tz, tzoffset, field="period" if periods is None else "periods")
        inquiry = asking.inquiry(question, ranges, compare, is_each_asked=asked is not None, paths=paths)
        return self._rows(inquiry.totals())

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
        asking = self.asking.now()
        question = asking.single(pk, dimension, metric, "metric", undefined=undefined)
        then = asking.moment(at, "at")
        ranges = asking.range_named(period, tz, tzoffset, at=then)
        return self._rows(asking.inquiry(question, ranges, compare, at=then).total(index))

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
        """`plotpoints`, which remembers its answer for a fifth of the interval. unmemoize: compute it again."""
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
        return self._parts.cache.get(
            key,
            lambda: method.function(*bound.args, **bound.kwargs),
            lambda _: self.asking.lifetime_s(asked, *zone),
            unmemoize,
        )

    # names

    @on_default
    def get_subdimensions(self, pk: Any, dimension: Any = None, *, depth: int = 1, paths: str = "text") -> list[Any]:
        """The paths below a path, one level or `depth` levels deep, named as in `plotpoints`; with paths="list" as lists."""
        return [*map(naming_of(paths), self.asking.below(pk, dimension, depth))]

    @on_default
    def all_subdimensions(self, pk: Any, dimension: Any = None, *, paths: str = "text") -> list[Any]:
        """A path and everything below it."""
        path, levels = self.asking.one_path(pk, dimension, "dimension"), self.asking.bounds.levels
        return [*map(naming_of(paths), [path, *self.asking.below(pk, dimension, levels)])]

    @on_default
    def pks(
        self,
        parent: Any = None,
        prefix: str = "",
        limit: int = 0,
        offset: int = 0,
        counts: bool = False,
        *,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> list[Any]:
        """The pks one level below a pk, in the order they were first counted. Default: top-level pks.

        prefix: only names that begin with it, in any case.  limit: the most pks to answer, 0 for all.
        counts: for each a whale.answer.pks.PkUsed, with its hits of today and the last day that it was counted; at most 1,000, 0 for 50.
        """
        rows, _ = self.asking.now().pks(parent, prefix, limit, offset, counts, tz, tzoffset)
        return rows

    @on_default
    def metrics_of(self, pk: Any, info: bool = False, *, tz: str | None = None, tzoffset: Any = None) -> list[Any]:
        """The metrics of a pk, `hits` first, without HailWhale's own metrics of decisions.

        info: for each a whale.answer.measures.Measure: kind, unit, currency, the better direction, whether these are declared, and the
        first and the last day on which it was counted.
        """
        if info:
            return self.asking.now().measures(pk, tz, tzoffset)
        return [name for name in self.store.metrics(self.account, pk_asked(pk)) if name not in RESERVED]

    # periods

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
        """The time range of a period, now or `at` a time, in the account's zone or the given one.

        week: `monday` or `sunday`, the first day of the week. Default: the setting WEEK_STARTS.
        """
        begin, then = self.asking.moment(start_at, "start_at"), self.asking.moment(at, "at")
        return self.asking.range_of(period, tz, tzoffset, at=then, start_at=begin, week=week)

    def _rows(self, answer: Answer[R]) -> R:
        """What an answer holds; the log is told which names of the question were never counted."""
        tell(answer.basis.store, answer.basis.question)
        return answer.rows

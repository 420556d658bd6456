"""What matters, and what changed, as the library answers it; a part of Whale, see client.py."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from whale.answer import compare, factors, nearest
from whale.answer import rank as answer_rank
from whale.answer.compare import Comparison, Scope
from whale.answer.once import once
from whale.answer.rank import Ranking, Row
from whale.answer.series import Question
from whale.answer.shapes import ByPath
from whale.answer.unknown import tell
from whale.dimension import Path, path_text, pk_asked
from whale.errors import CallerError, FormulaError, PeriodError
from whale.formula import metrics_asked, ratio_text
from whale.library.arguments import Period, on_default, one, period_text
from whale.library.questions import Questions
from whale.period import Range
from whale.store.contract.counters import Counters


class Rankings(Questions):
    """Questions, and rankings and factors."""

    # ranking

    @on_default
    def rank(
        self,
        pk: Any,
        by: str = "hits",
        dimension: Any = None,
        period: Period = None,
        columns: Any = None,
        limit: int = 10,
        offset: int = 0,
        *,
        threshold: float = 0.1,
        min_support: float = 0,
        order: str = "value",
        ascending: bool = False,
        recursive: bool = False,
        pks: bool = False,
        tz: str | None = None,
        tzoffset: Any = None,
        compare: str | None = None,
    ) -> dict[str, Any]:
        """{"rows": [{path, value, n, parts, columns, difference, effect, important}, ...], "other", "rest", "ended", "total", ...}.

        What is below a path (or with pks the child pks), by a formula; columns: more formulas. As GET /rank answers it.
        compare="previous" or "last_year": each row has `compared` {formula: {now, before, change, ratio}}.
        """
        question, ranking = self.ranking(
            pk,
            by,
            dimension,
            columns,
            limit=limit,
            offset=offset,
            threshold=threshold,
            min_support=min_support,
            order=order,
            ascending=ascending,
            recursive=recursive,
            pks=pks,
        )
        found = self.range_of(period, tz, tzoffset)
        if compare:
            comparison = self.ranks_compared(question, ranking, found, period, compare)
            return self.compared_rank(question, ranking, comparison, once(self.store))[0]
        store = once(self.store)
        ranked = answer_rank.rank(store, question, ranking, found, self.bounds)
        tell(store, question)
        said = answer_rank.shown(ranked, question, ranking, found, self.clock())
        return self.with_adjusted(said, question, found, store)

    @on_default
    def rank_subdimensions_scalar(
        self,
        /,
        pk: Any,
        dimension: Any = None,
        metric: str = "hits",
        period: Period = None,
        recursive: bool = True,
        prune_parents: bool = True,
        points: bool = False,
        **zone: Any,
    ) -> ByPath[dict[str, Any]]:
        """{path: {score, value, count, effect, difference, important, dimension[, points]}} of all below a path.

        recursive: not one level, and the path too.  prune_parents: what its children explain is not important.
        zone: tz or tzoffset.
        """
        rows = self._rows_of(pk, metric, dimension, period, recursive, zone, [], prune_parents)
        said: dict[str, dict[str, Any]] = {
            path_text(row.path): {
                **dict.fromkeys(("score", "value", "count"), row.value or 0),
                **_said(row),
            }
            for row in rows
        }
        if points:
            plotted = self.plotpoints(pk, [list(row.path) for row in rows], [metric], period=period, **zone)
            for path, row in said.items():
                row["points"] = plotted[path][metric]
        return ByPath(pk_asked(pk), said.items())

    @on_default
    def rank_subdimensions_ratio(
        self,
        /,
        pk: Any,
        numerator: str,
        denominator: str = "hits",
        dimension: Any = None,
        period: Period = None,
        recursive: bool = True,
        points: bool = False,
        **zone: Any,
    ) -> ByPath[dict[str, Any]]:
        """The same of a ratio: score is the ratio (0 over zero), value and count are what it is made of."""
        both = [numerator, denominator]
        ratio = ratio_text(*both)
        rows = self._rows_of(pk, ratio, dimension, period, recursive, zone, both)
        said: dict[str, dict[str, Any]] = {
            path_text(row.path): {
                "score": row.value or 0,
                "value": row.columns[numerator] or 0,
                "count": row.columns[denominator] or 0,
                **_said(row),
            }
            for row in rows
        }
        if points:
            plotted = self.plotpoints(pk, [list(row.path) for row in rows], [*both, ratio], period=period, **zone)
            for path, row in said.items():
                row["points"] = plotted[path]
        return ByPath(pk_asked(pk), said.items())

    def _rows_of(
        self,
        pk: Any,
        by: str,
        dimension: Any,
        period: Period,
        recursive: bool,
        zone: Mapping[str, Any],
        columns: list[str],
        prune: bool = True,
    ) -> list[Row]:
        """Every row, with recursion the path itself first."""
        asked = self.ranking(pk, by, dimension, columns, limit=0, recursive=recursive, prune=prune)
        found = answer_rank.rank(self.store, *asked, self.range_of(period, **zone), self.bounds)
        return [*[found.total] * recursive, *found.rows, *([found.other] if found.other else [])]

    @on_default
    def zranked(
        self,
        pk: Any,
        parent_dimension: Any = None,
        metric: str = "hits",
        period: Period = None,
        at: Any = None,
        start: int = 0,
        size: int = 10,
        sort_dir: str | None = None,
        tzoffset: Any = None,
        *,
        tz: str | None = None,
    ) -> list[str]:
        """The paths of the rows from `start` on, `size` of them, by a metric or a formula. sort_dir: asc or desc (default)."""
        if sort_dir not in (None, "", "asc", "desc", "ASC", "DESC"):
            raise CallerError(f"expected asc or desc, got {ascii(sort_dir)[:60]}", "sort_dir")
        if size < 1:
            raise CallerError(f"expected 1 or more, got {size}", "size")
        if start < 0:
            raise CallerError(f"expected 0 or more, got {start}", "start")
        is_ascending = (sort_dir or "").lower() == "asc"
        asked = self.ranking(pk, metric, parent_dimension, limit=size, offset=start, ascending=is_ascending)
        found = self.range_of(period, tz, tzoffset, at=at)
        rows = answer_rank.rank(self.store, *asked, found, self.bounds).rows
        return [path_text(row.path) for row in rows]

    @on_default
    def cached_rank(self, /, *args: Any, unmemoize: bool = False, **more: Any) -> dict[str, Any]:
        """`rank`, which remembers its answer for a fifth of the interval."""
        return self._cached(Rankings.__dict__["rank"], args, more, unmemoize)

    def ranking(
        self, pk: Any, by: str = "hits", dimension: Any = None, columns: Any = None, **more: Any
    ) -> tuple[Question, Ranking]:
        """What `rank` asks. more: fields of Ranking; raises CallerError."""
        if not isinstance(by, str):
            raise FormulaError(f"expected a metric or a formula, got {ascii(by)[:60]}", "by")
        named = metrics_asked(columns, "columns") if columns else []
        question = self.question(pk, undefined="null")
        paths = self.paths(question.pk, dimension, "dimension")
        return replace(question, paths=paths, metrics=[by, *named]), Ranking(by, named, **more)

    def ranks_compared(
        self, question: Question, ranking: Ranking, asked: Range, period: Period, word: str
    ) -> Comparison:
        """What a ranking of a period is compared with."""
        now, fields = self.clock(), {"by": [ranking.by], "columns": ranking.columns}
        scope = Scope.of(self.store, question, dict(self.settings.periods), now, None, fields)
        return compare.compare(asked, period_text(period), word, scope)

    def compared_rank(
        self, question: Question, ranking: Ranking, comparison: Comparison, store: Counters
    ) -> tuple[dict[str, Any], int]:
        """The rows of now, each beside what it was before; and how many rows are not among them."""
        ranked, rows = compare.ranked(store, question, ranking, comparison, self.bounds)
        said = answer_rank.shown(ranked, question, ranking, comparison.now, self.clock(), rows)
        whole = {"compared": comparison.said(), **said, "complete": comparison.complete}
        return self.with_adjusted(whole, question, comparison, store), ranked.rest_count

    # what changed

    @on_default
    def factors(
        self,
        pk: Any,
        metric: str = "hits",
        period: Period = None,
        *,
        compare: str | None = None,
        against: Period = None,
        dimensions: Any = None,
        depth: int = 3,
        limit: int = 10,
        tz: str | None = None,
        tzoffset: Any = None,
        dimension: Any = None,
    ) -> dict[str, Any]:
        """Which values of which dimensions explain the change of a count or of a ratio; the shape is in docs/factors.md.

        compare: "previous" (default) or "last_year"; or against: another period.  dimensions: default all at the top.
        depth: levels below a value that are looked into.  limit: values of each dimension, 0 for all.
        """
        question, comparison = self.factors_asked(pk, metric, period, compare, against, tz, tzoffset)
        paths = self.dimensions_asked(pk, one(dimensions, dimension))
        store = once(self.store)
        said = self.factors_of(question, comparison, paths, depth, limit, store)
        tell(store, question)
        return said

    def factors_asked(
        self,
        pk: Any,
        metric: str,
        period: Period,
        word: str | None,
        against: Period,
        tz: str | None,
        tzoffset: Any,
        week: str | None = None,
    ) -> tuple[Question, Comparison]:
        """The question, and the two ranges that it is about."""
        if not isinstance(metric, str) or not metric:
            raise CallerError(f"expected a metric or a formula, got {ascii(metric)[:60]}", "metric")
        if word and against not in (None, ""):
            raise CallerError("came twice, as compare and as against", "against")
        question = self.question(pk, None, [metric], undefined="null")
        asked, now = self.range_of(period, tz, tzoffset, week=week), self.clock()
        scope = Scope(self.store.zone(self.account), dict(self.settings.periods), now, now)
        if against in (None, ""):
            return question, compare.compare(asked, period_text(period), word or "previous", scope)
        try:
            other = self.range_of(against, tz, tzoffset, week=week)
        except PeriodError as error:
            raise error.named("against") from None
        return question, compare.against(asked, other, period_text(against), scope)

    def dimensions_asked(self, pk: Any, dimensions: Any) -> list[Path] | None:
        """Paths whose values are meant; None: all at the top."""
        return None if dimensions in (None, "", [], {}, ()) else self.paths(pk_asked(pk), dimensions, "dimensions")

    def factors_of(
        self,
        question: Question,
        comparison: Comparison,
        dimensions: list[Path] | None,
        depth: int,
        limit: int,
        store: Counters,
    ) -> dict[str, Any]:
        found = factors.factors(store, question, comparison, dimensions, depth, limit, self.bounds)
        kept, now = dict(self.settings.periods), self.clock()
        why = nearest.why(store, question, comparison, found, kept, now, self.bounds)
        said = factors.said(found, question.metrics[0], comparison) | why
        return self.with_adjusted(said, question, comparison, store)


def _said(row: Row) -> dict[str, Any]:
    """What the first HailWhale says of a row of any kind."""
    return {
        "effect": row.effect or 0,
        "difference": row.difference or 0,
        "important": row.important,
        "dimension": path_text(row.path),
    }

"""Rankings and factors in the library; a part of Whale, see client.py."""

from collections.abc import Mapping
from typing import Any

from whale.answer.asking import Period
from whale.answer.rank import Row
from whale.answer.shapes import ByPath
from whale.dimension import path_text, pk_asked
from whale.errors import CallerError
from whale.formula import ratio_text
from whale.library.arguments import on_default, one
from whale.library.questions import Questions


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
        series: bool = False,
        tz: str | None = None,
        tzoffset: Any = None,
        compare: str | None = None,
        paths: str = "text",
    ) -> dict[str, Any]:
        """{"rows": [{path, value, n, parts, columns, difference, effect, important}, ...], "other", "rest", "ended", "total", ...}.

        Ranks the children of a path (with pks: the child pks) by a formula. columns: more formulas. The same answer as GET /rank.
        series: each row has `series`, the values of the formula at `times`.
        compare="previous" or "last_year": each row has `compared` {formula: {now, before, change, ratio}}, and `change` {low, high, z}.
        paths="list": each path is the list of its names.
        """
        asking = self.asking.now()
        question, ranking = asking.ranking(
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
        ranges = asking.range_named(period, tz, tzoffset)
        inquiry = asking.inquiry(question, ranges, compare, fields=ranking.fields, paths=paths)
        return self._rows(inquiry.rank(ranking, series))

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

        recursive: all levels, and the path itself.  prune_parents: a path whose children explain it is not important.
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
        """The same for a ratio: score is the ratio (0 over zero), value and count are its two parts."""
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
        asking = self.asking.now()
        question, ranking = asking.ranking(pk, by, dimension, columns, limit=0, recursive=recursive, prune=prune)
        ranked = asking.inquiry(question, asking.range_named(period, **zone)).ranked(ranking)
        return [*[ranked.total] * recursive, *ranked.rows, *([ranked.other] if ranked.other else [])]

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
        shown = {"limit": size, "offset": start, "ascending": is_ascending}
        asking = self.asking.now()
        question, ranking = asking.ranking(pk, metric, parent_dimension, **shown)
        ranges = asking.range_named(period, tz, tzoffset, at=asking.moment(at, "at"))
        return [path_text(row.path) for row in asking.inquiry(question, ranges).ranked(ranking).rows]

    @on_default
    def cached_rank(self, /, *args: Any, unmemoize: bool = False, **more: Any) -> dict[str, Any]:
        """`rank`, which remembers its answer for a fifth of the interval."""
        return self._cached(Rankings.__dict__["rank"], args, more, unmemoize)

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
        paths: str = "text",
    ) -> dict[str, Any]:
        """Which values of which dimensions explain the change of a count or of a ratio; the shape is in docs/factors.md.

        compare: "previous" (default) or "last_year"; or against: another period.  dimensions: default all at the top.
        depth: levels below a value that are looked into.  limit: values of each dimension, 0 for all.
        paths="list": each path is the list of its names.
        """
        asking = self.asking.now()
        inquiry = asking.change(pk, metric, period, compare, against, tz, tzoffset, paths=paths)
        above = asking.dimensions(inquiry.question.pk, one(dimensions, dimension))
        return self._rows(inquiry.factors(above, depth, limit))

    @on_default
    def shifts(
        self,
        pk: Any,
        metric: str = "hits",
        cost: Any = None,
        period: Period = None,
        *,
        dimensions: Any = None,
        depth: int = 3,
        limit: int = 10,
        tz: str | None = None,
        tzoffset: Any = None,
        week: str | None = None,
        dimension: Any = None,
    ) -> dict[str, Any]:
        """Which values broke away, since when, how sure that is, and its cost; the shape is in docs/shifts.md.

        metric: a count, or a ratio of two.  cost: other metrics whose loss or gain to answer; the first one decides the order.
        dimensions: default all at the top.  depth: levels below them.  limit: shifts, 0 for all.
        """
        asking = self.asking.now()
        question = asking.shifts(pk, metric, cost)
        paths = asking.dimensions(question.pk, one(dimensions, dimension))
        ranges = asking.range_named(period, tz, tzoffset, week=week)
        return self._rows(asking.inquiry(question, ranges).shifts(paths, depth, limit))


def _said(row: Row) -> dict[str, Any]:
    """What the first HailWhale says of a row of any kind."""
    return {
        "effect": row.effect or 0,
        "difference": row.difference or 0,
        "important": row.important,
        "dimension": path_text(row.path),
    }

"""Beside the rows of a ranking: their series, what they were in the period before, and how sure the change is. Pure: no clock.

One read of the listed rows for each period that is needed, whatever of it is asked.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from hail.settings import DISTINCT, SUM
from whale.answer import change
from whale.answer.change import Side
from whale.answer.compare import Comparison, pair
from whale.answer.rank import PIECES, Ranked, Ranking, rank
from whale.answer.series import Bounds, Buckets, Question, formulas_of
from whale.dimension import Path
from whale.errors import TooManyPoints
from whale.formula import Floats, Formula
from whale.metric import ERRORS
from whale.period import Range
from whale.store.contract.counters import Counters

Fields = dict[Path, dict[str, Any]]
"""Of each row, by its path, more fields of it."""


def with_series(
    store: Counters, question: Question, ranking: Ranking, period: Range, bounds: Bounds
) -> tuple[Ranked, Fields, Sequence[int]]:
    """The rows; the series of each, of `other` and of the total; and the starts of its buckets.

    Raises as `rank` does, and TooManyPoints (limit).
    """
    found = rank(store, question, ranking, period, bounds)
    rows = _Rows(store, question, ranking, period, bounds, listed(found))
    return found, rows.series(), rows.buckets.starts


def compared(
    store: Counters, question: Question, ranking: Ranking, comparison: Comparison, bounds: Bounds, is_plotted: bool
) -> tuple[Ranked, Fields, Sequence[int]]:
    """The rows of now, in its order; `compared`, `change` and perhaps the series of each, of `other` and of the total.

    compared: {formula: {now, before, change, ratio}}.  change: {low, high, z} of the formula that orders the rows, or None.
    """
    found = rank(store, question, ranking, comparison.now, bounds)
    paths = listed(found)
    before = _Rows(store, question, ranking, comparison.before, bounds, paths)
    rows = [*found.rows, *([found.other] if found.other else []), found.total]
    totals, names = before.totals(), dict.fromkeys([ranking.by, *ranking.columns])
    more: Fields = {
        row.path: {
            "compared": {
                name: pair(row.value if name == ranking.by else row.columns[name], totals[row.path][name])
                for name in names
            }
        }
        for row in rows
    }
    now = _Rows(store, question, ranking, comparison.now, bounds, paths)
    for path, said in zip(paths, _changes(now, before), strict=True):
        more[path]["change"] = said
    if is_plotted:
        for path, fields in now.series().items():
            more[path] |= fields
    return found, more, now.buckets.starts


def listed(found: Ranked) -> list[Path]:
    """The paths of the rows, of `other` and of the total."""
    return [row.path for row in [*found.rows, *([found.other] if found.other else []), found.total]]


class _Numbers(NamedTuple):
    """Of one formula, by row: totals and series as an answer has them; and as floats, by portion of the rows."""

    totals: list[Any]
    series: list[list[Any]]
    floats: list[Floats]
    by_bucket: list[Floats]


class _Rows:
    """Some rows in one period."""

    def __init__(
        self, store: Counters, question: Question, ranking: Ranking, period: Range, bounds: Bounds, paths: list[Path]
    ):
        self.ranking, self.bounds, self.paths = ranking, bounds, paths
        self.buckets = Buckets(store, question, period, bounds)
        self.formulas = formulas_of(store, question, [ranking.by, *ranking.columns], "by")
        self.by = self.formulas[0]
        self.ratio = self.by.quotient()
        plain = list(self.by.metrics) == ["hits"]
        self.kinds = {} if plain else store.kinds(question.account, question.pk)

    @property
    def tells_change(self) -> bool:
        """A sum, or a ratio of sums; a number of distinct ones is nearly a sum."""
        is_known = {self.kinds.get(name, SUM) for name in self.by.metrics} <= {SUM, DISTINCT}
        return is_known and self.by.is_of_totals and bool(self.ratio or self.by.is_sum(self.kinds))

    @cached_property
    def _read(self) -> dict[Formula, "_Numbers"]:
        parts = [self.by, *(self.ratio or ()), _HITS] if self.tells_change else [self.by]
        found = {formula: _Numbers([], [], [], []) for formula in [*self.formulas, *parts]}
        for _, frame in self.buckets.frames(self.paths, list(found)):
            for formula, numbers in found.items():
                numbers.totals.extend(formula.totals(frame))
                numbers.series.extend(formula.series(frame) if formula == self.by else ())
                numbers.floats.append(formula.numbers(frame))
                numbers.by_bucket.append(formula.by_bucket(frame))
        return found

    def totals(self) -> dict[Path, dict[str, Any]]:
        columns = [self._read[formula].totals for formula in self.formulas]
        names = [formula.text for formula in self.formulas]
        return {path: dict(zip(names, row, strict=True)) for path, *row in zip(self.paths, *columns, strict=True)}

    def series(self) -> Fields:
        """{path: {series: numbers}} of the formula that orders the rows."""
        points = len(self.paths) * len(self.buckets.starts)
        if points > self.bounds.answer_points:
            raise TooManyPoints(
                f"the series would be {points} points, the limit is {self.bounds.answer_points}: "
                "ask for fewer rows, by a wider interval or for a shorter range",
                "limit",
            )
        return {path: {"series": row} for path, row in zip(self.paths, self._read[self.by].series, strict=True)}

    def side(self, pieces: int) -> Side:
        """What a change is told from, in so many pieces of the period."""
        above, below = self.ratio or (self.by, _HITS)
        firsts = [piece * len(self.buckets.starts) // pieces for piece in range(pieces)]

        def cut(formula: Formula) -> Floats:
            summed: Floats = np.add.reduceat(np.concatenate(self._read[formula].by_bucket), np.array(firsts), axis=1)
            return summed

        def total(formula: Formula) -> Floats:
            return np.concatenate(self._read[formula].floats)

        return Side(
            total(above),
            total(below),
            total(_HITS),
            cut(above),
            cut(below),
        )


_HITS = Formula("hits", ("hits",), (("metric", ("hits", "")),))


def _changes(now: _Rows, before: _Rows) -> list[dict[str, float] | None]:
    """{low, high, z} of each row; None where it cannot be said."""
    if not now.tells_change:
        return [None] * len(now.paths)
    pieces = min(PIECES, len(now.buckets.starts), len(before.buckets.starts))
    sides = now.side(pieces), before.side(pieces)
    if now.ratio is None:
        found = change.of_sums(*sides, error=_error(now, now.by))
    else:
        # by the total row, which is the last one and does not depend on how many rows were asked
        is_rate = change.are_rates(*(_last(side) for side in sides))
        error = math.hypot(*(_error(now, part) for part in now.ratio))
        found = change.of_ratios(*sides, is_rate=is_rate, error=error)
    return [
        None if np.isnan(z) else {"low": low, "high": high, "z": z}
        for low, high, z in zip(*(column.tolist() for column in found), strict=True)
    ]


def _last(side: Side) -> Side:
    return Side(*(each[-1:] for each in side))


def _error(rows: _Rows, formula: Formula) -> float:
    """Of a formula that an estimate stands in."""
    return max((ERRORS.get(rows.kinds.get(name, SUM), 0.0) for name in formula.metrics), default=0.0)

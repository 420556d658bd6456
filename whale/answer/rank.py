"""Rows below a path, or the child pks of a pk, in the order of any formula, over any Store. Pure: no clock.

A question reads each page of what lies below once (`Rollups.read_below`), orders numpy columns and makes rows of those that it
answers: with 10,000 children nothing is done 10,000 times but in numpy. What every number means: docs/ranking.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hail.settings import DISTINCT, SUM
from whale.answer import confidence
from whale.answer.explain import iso
from whale.answer.series import READ_FACTOR, Bounds, Buckets, Question, formulas_of
from whale.answer.shapes import Naming
from whale.dimension import ROOT, Path, path_text, pk_text
from whale.errors import CallerError, FormulaError, NotBegun, TooManyPoints
from whale.formula import Floats, Formula, Frame, Number, Others, sums
from whale.period import Range
from whale.store.contract.counters import Counters
from whale.store.contract.names import CHILD_PKS, OTHER

MAX_BELOW = 200_000
"""Paths that one ranking may order."""
MOST_COLUMNS = 100
PIECES = 16
"""Pieces that a period is cut into, to tell how sure a ratio is."""
IMPORTANT_VALUE, IMPORTANT_SUPPORT = 10, 5
ORDERS = ("value", "confidence")


@dataclass(frozen=True, slots=True)
class Ranking:
    """What is asked beside pk, path and period.

    by, columns: formulas.  limit: 0 is all.  threshold: share of the parent, or difference to it, from which a row matters.
    min_support: rows of less are left to `rest`.  order: value or confidence.  recursive: everything below, not one level.
    pks: the child pks instead of paths.  prune: with recursion a sum that its children explain is not important.
    """

    by: str = "hits"
    columns: Sequence[str] = ()
    limit: int = 10
    offset: int = 0
    threshold: float = 0.1
    min_support: float = 0
    order: str = "value"
    ascending: bool = False
    recursive: bool = False
    pks: bool = False
    prune: bool = True

    @property
    def fields(self) -> dict[str, Sequence[str]]:
        """The formulas by the parameter they came in."""
        return {"by": [self.by], "columns": self.columns}


@dataclass(slots=True)
class Row:
    """One path's numbers; None where nobody can say. n: its support.  parts: totals of the metrics in `by`.

    low, high: its bounds, where the order asked for them.  What is no path of its own has the parent's.
    """

    path: Path
    value: Number | None
    n: Number | None
    parts: dict[str, Number | None]
    columns: dict[str, Number | None]
    difference: Number | None = None
    effect: Number | None = None
    important: bool = False
    low: Number | None = None
    high: Number | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    """rows: those asked, in order.  other: `__other__`.  rest: all rows that are not answered, and how many they are.

    ended: hits that went no deeper than the parent.  total: the parent.  Where a hit carries at most one child,
    rows + other + rest + ended = total, of every part.
    """

    rows: list[Row]
    other: Row | None
    rest: Row | None
    rest_count: int
    ended: Row
    total: Row


def rank(store: Counters, question: Question, ranking: Ranking, period: Range, bounds: Bounds) -> Ranked:
    """The rows below question.paths[0].

    Raises CallerError (limit, offset, threshold, min_support, order, columns, dimension), FormulaError (by, columns),
    PeriodError, TooManyPoints, Unavailable.
    """
    return _Rank(store, question, ranking, period, bounds).answer()


def check(ranking: Ranking, question: Question, period: Range, bounds: Bounds) -> None:
    """Raises CallerError that names the field."""
    most = bounds.answer_points
    if not 0 <= ranking.limit <= most:
        raise CallerError(f"expected 0 (all) to {most}, got {ranking.limit}", "limit")
    if not 0 <= ranking.offset <= MAX_BELOW:
        raise CallerError(f"expected 0 to {MAX_BELOW}, got {ranking.offset}", "offset")
    if not 0 <= ranking.threshold <= 1:
        raise CallerError(f"expected a number from 0 to 1, got {ranking.threshold:g}", "threshold")
    if not 0 <= ranking.min_support < float("inf"):
        raise CallerError(f"expected 0 or more, got {ranking.min_support:g}", "min_support")
    if ranking.order not in ORDERS:
        raise CallerError(f"expected value or confidence, got {ascii(ranking.order)[:60]}", "order")
    if len(ranking.columns) > MOST_COLUMNS:
        raise CallerError(f"expected at most {MOST_COLUMNS}, got {len(ranking.columns)}", "columns")
    if len(question.paths) != 1:
        raise CallerError(f"expected one path, got {len(question.paths)}", "dimension")
    if ranking.pks and question.paths[0] != ROOT:
        raise CallerError("cannot be combined with pks: child pks are ranked as a whole", "dimension")
    if ranking.pks and ranking.recursive:
        raise CallerError("cannot be combined with pks: to rank the next level, ask with a child pk", "all")
    if question.now is not None and period.start > question.now:
        raise NotBegun("begins in the future")


class _Rank:
    def __init__(self, store: Counters, question: Question, ranking: Ranking, period: Range, bounds: Bounds):
        check(ranking, question, period, bounds)
        self.store, self.ranking, self.bounds = store, ranking, bounds
        self.question = replace(question, null=True)
        self.buckets = Buckets(store, self.question, period, bounds)
        (self.by,) = formulas_of(store, self.question, [ranking.by], "by")
        self.columns = formulas_of(store, self.question, ranking.columns, "columns") if ranking.columns else []
        for formula, name in [(self.by, "by"), *((column, "columns") for column in self.columns)]:
            formula.check_divisors(name)
        if not self.by.metrics:
            raise FormulaError("expected a metric, got a constant", "by")
        hits = Formula("hits", ("hits",), (("metric", ("hits", "")),))
        self.ratio = self.by.quotient()
        self.support = self.ratio[1] if self.ratio else hits
        self.parts = [Formula(name, (name,), (("metric", (name, "")),)) for name in self.by.metrics]
        needed = [self.by, self.support, *self.columns]
        names = dict.fromkeys(name for formula in needed for name in formula.metrics)
        self.kinds = store.kinds(question.account, question.pk) if list(names) != ["hits"] else {}
        self.is_sum = self.by.is_sum(self.kinds)
        self.sure = ranking.order == "confidence"
        if self.sure:
            names["hits"] = None  # a sum that was set has none, and is behind all that were counted
        self.metrics = [name for name in names if name not in self.kinds]
        if self.sure:
            self._check_sure()

    def _check_sure(self) -> None:
        kinds = {name: self.kinds.get(name, SUM) for name in self.by.metrics}
        if self.ratio is None and not self.is_sum:
            raise CallerError(
                f"confidence requires a sum, or one ratio of sums, to rank by; got {self.by.text[:60]}", "order"
            )
        for name, kind in kinds.items():
            if kind not in (SUM, DISTINCT):
                raise CallerError(
                    f"confidence requires metrics of kind sum or distinct; {name[:60]} is of kind {kind}", "order"
                )
        if not self.by.is_of_totals:
            raise CallerError(f"confidence cannot rank by a level or an average, got {self.by.text[:60]}", "order")

    def answer(self) -> Ranked:
        self._read()
        values, support = self._scores()
        top = CHILD_PKS if self.ranking.pks else self.paths[0]
        folded = (*top, OTHER)
        other = self.paths.index(folded) if folded in self.paths else None
        is_row = np.ones(len(self.paths), bool)
        is_row[[0] if other is None else [0, other]] = False
        candidates = np.flatnonzero(
            is_row & (support >= self.ranking.min_support) if self.ranking.min_support else is_row
        )
        low, high = self._limits(candidates, values, support) if self.sure else (values, values)
        chosen = self._window(candidates, high if self.ranking.ascending else low, support)
        listed = [0, *([] if other is None else [other]), *chosen]
        total, *rows, ended, rest = self._rows(listed, self._closing(is_row, chosen))
        explained = self._explained(values) if self.ranking.recursive and self.ranking.prune and self.is_sum else None
        for at, row in zip(listed, [total, *rows], strict=True):
            ends = (float(low[at]), float(high[at])) if self.sure else None
            self._judge(row, total, None if explained is None else float(explained[at]), ends)
            if self.sure and at not in (0, other):
                row.low, row.high = _number(low[at]), _number(high[at])
        left = int(is_row.sum()) - len(chosen)
        first = None if other is None else rows.pop(0)
        return Ranked(rows, first, None if self.ranking.recursive or not left else rest, left, ended, total)

    # reading

    def _read(self) -> None:
        """Paths, the parent first, and cells of shape (paths, metrics, pieces)."""
        asked, stored = self.question, self.buckets.stored
        count = max(1, min(PIECES, len(stored))) if self.sure else 1
        self.firsts = [piece * len(stored) // count for piece in range(count)]
        cells = max(1, len(self.metrics)) * max(1, len(stored))
        most = min(MAX_BELOW, READ_FACTOR * self.bounds.answer_points // cells)
        where = CHILD_PKS if self.ranking.pks else asked.paths[0]
        levels = self.bounds.levels if self.ranking.recursive else 1
        self.paths, self.cells = self.buckets.below(where, levels, self.metrics, self.firsts, most)
        self.totals: NDArray[Any] = sums(self.cells)

    def _frame(self, paths: Sequence[Path], cells: NDArray[Any], others: Others) -> Frame:
        """On which totals are evaluated. cells: by path and metric, and piece."""
        by_name = {name: cells[:, column] for column, name in enumerate(self.metrics)}
        return Frame(by_name, len(paths), self.buckets.period, self.buckets.starts, True, others)

    def _scores(self) -> tuple[Floats, Floats]:
        """Value and support of every path."""
        if self.by.is_of_totals:
            frame = self._frame(self.paths, self.cells, self.buckets.others(self.paths, self.kinds))
            return self.by.numbers(frame), self.support.numbers(frame)
        found = [
            (self.by.numbers(frame), self.support.numbers(frame))
            for _, frame in self.buckets.frames(self.paths, [self.by, self.support])
        ]
        values, support = (np.concatenate(columns) for columns in zip(*found, strict=True))
        return values, support

    def _limits(self, rows: NDArray[np.intp], values: Floats, support: Floats) -> tuple[Floats, Floats]:
        """Between what bounds each of these rows lies; not a number for other paths."""
        low, high = np.full(len(values), np.nan), np.full(len(values), np.nan)
        if self.ratio is None:
            low[rows], high[rows] = confidence.of_sums(values[rows], support[rows])
            return low, high
        if (
            not len(rows) or not self.buckets.stored
        ):  # as of today in its first hour, which ends where the other day does
            return low, high
        paths = [self.paths[at] for at in rows.tolist()]
        frame = self._frame(paths, self.cells[rows], self.buckets.others(paths, self.kinds, self.firsts))
        pieces = replace(frame, starts=[self.buckets.stored[first] for first in self.firsts])
        above, below = (part.by_bucket(pieces) for part in self.ratio)
        of = self.ratio[0].numbers(frame), self.ratio[1].numbers(frame)
        low[rows], high[rows] = confidence.of_ratios(*of, float(values[0]), (above, below))
        return low, high

    # ordering

    def _window(self, rows: NDArray[np.intp], score: Floats, support: Floats) -> list[int]:
        """The rows asked, in order: undefined ones last, equal ones by more support, then by name."""
        asked, score = self.ranking, score[rows]
        undefined = np.isnan(score)
        support = np.nan_to_num(support[rows], nan=-np.inf)
        few = self._few(rows, support)
        end = min(len(rows), asked.offset + asked.limit) if asked.limit else len(rows)
        if asked.offset >= end:
            return []
        numbers = (end - asked.offset) * (1 + len(self.parts) + len(self.columns))
        if numbers > self.bounds.answer_points:
            raise TooManyPoints(
                f"the answer would be {numbers} numbers, the limit is {self.bounds.answer_points}: "
                "ask for fewer rows or columns",
                "limit",
            )
        keys = [-support, np.where(undefined, 0.0, score if asked.ascending else -score), few, undefined]
        first_class = ~(few | undefined)
        if end <= first_class.sum():  # only those that may be answered, and all that are equal to the last of them
            edge = np.partition(keys[1][first_class], end - 1)[end - 1]
            may = first_class & (keys[1] <= edge)
            rows, keys = rows[may], [key[may] for key in keys]
        order = np.lexsort(keys)
        differs = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
        place = np.concatenate([[0], np.cumsum(differs)])
        first = int(np.searchsorted(place, place[asked.offset], "left"))
        last = int(np.searchsorted(place, place[end - 1], "right"))
        tied = sorted(
            zip(place[first:last].tolist(), rows[order[first:last]].tolist(), strict=True),
            key=lambda at: (at[0], [name or "" for name in self.paths[at[1]]]),
        )
        return [at for _, at in tied[asked.offset - first : end - first]]

    def _few(self, rows: NDArray[np.intp], support: Floats) -> NDArray[np.bool_]:
        """Which of these stand behind all others whatever their bounds: ratios of little support, or of sums that were set without hits."""
        if not (self.sure and self.ratio):
            return np.zeros(len(rows), bool)
        hits = self.totals[rows, self.metrics.index("hits")]
        found: NDArray[np.bool_] = (support <= confidence.FEW) | (hits <= 0).astype(bool)
        return found

    # rows

    def _closing(self, is_row: NDArray[np.bool_], chosen: list[int]) -> NDArray[Any]:
        """Of two rows that are no paths, the sums by metric: what ended at the parent, and what is not answered."""
        depth = len(self.paths[0]) + 1 + self.ranking.pks
        below = (
            [at for at, path in enumerate(self.paths) if len(path) == depth]
            if self.ranking.recursive
            else slice(1, None)
        )
        children = sums(self.totals[below].T)
        is_left = is_row.copy()
        is_left[chosen] = False
        ended = sums(np.stack([self.totals[0], -children], axis=-1))
        return np.stack([ended, sums(self.totals[is_left].T)])

    def _rows(self, listed: list[int], closing: NDArray[Any]) -> list[Row]:
        """A row for each of these paths, then those of `closing`."""
        paths = [self.paths[at] for at in listed]
        cells = np.concatenate([self.totals[listed], closing])[:, :, None]
        others = _WithUnknown(self.buckets.others(paths, self.kinds), len(closing))
        frame = self._frame([*paths, *[()] * len(closing)], cells, others)
        formulas = dict.fromkeys([self.by, self.support, *self.parts, *self.columns])
        found = {formula: self._totals(formula, frame) for formula in formulas if formula.is_of_totals}
        of_buckets = [formula for formula in formulas if not formula.is_of_totals]
        found.update((formula, []) for formula in of_buckets)
        for _, whole in self.buckets.frames(paths, of_buckets) if of_buckets else ():
            for formula in of_buckets:
                found[formula] += self._totals(formula, whole)
        for formula in of_buckets:
            found[formula] += [None] * len(closing)
        return [
            Row(
                path,
                found[self.by][at],
                found[self.support][at],
                {part.text: found[part][at] for part in self.parts},
                {column.text: found[column][at] for column in self.columns},
            )
            for at, path in enumerate([*paths, *[self.paths[0]] * len(closing)])
        ]

    def _totals(self, formula: Formula, frame: Frame) -> list[Any]:
        try:
            return formula.totals(frame)
        except FormulaError as error:
            name = "columns" if formula in self.columns and formula != self.by else "by"
            raise error.named(name) from None

    def _explained(self, values: Floats) -> Floats:
        """What the children of each path add up to."""
        index = {path: at for at, path in enumerate(self.paths)}
        found = np.zeros(len(values))
        parents = [index[path[:-1]] for path in self.paths[1:]]
        np.add.at(found, parents, np.nan_to_num(values[1:]))
        return found

    def _judge(self, row: Row, total: Row, explained: float | None, ends: tuple[float, float] | None) -> None:
        """Difference, effect and importance, by the seed's rules; with an interval all of it must be so.

        explained: what the row's children add up to.  ends: of the interval; not a number where it is not known.
        """
        value, overall, share = row.value, total.value, self.ranking.threshold
        if value is None or overall is None:
            return
        if self.is_sum:
            row.difference = row.effect = overall - value
            least = value if ends is None else ends[0]
            row.important = least > IMPORTANT_VALUE and least > share * overall
            if explained is not None and value - explained < share * overall:
                row.important = False
            return
        if self.ratio and row.n is not None:
            row.effect = (value - overall) * row.n
        if overall:
            row.difference = (value - overall) / abs(overall)
            if ends is None:
                row.important = row.n is not None and row.n > IMPORTANT_SUPPORT and abs(row.difference) > share
            else:
                off = share * abs(overall)
                row.important = ends[0] > overall + off or ends[1] < overall - off


@dataclass(frozen=True)
class _WithUnknown:
    """Metrics that are no sums, of some paths, and then of some rows that are none."""

    inner: Others
    more: int

    @property
    def kinds(self) -> Mapping[str, str]:
        return self.inner.kinds

    def numbers(self, metric: str, total: bool) -> Floats:
        return self._with(self.inner.numbers(metric, total))

    def quantile(self, metric: str, share: float, total: bool) -> Floats:
        return self._with(self.inner.quantile(metric, share, total))

    def _with(self, found: Floats) -> Floats:
        return np.concatenate([found, np.full((self.more, *found.shape[1:]), np.nan)])


def shown(
    ranked: Ranked,
    question: Question,
    ranking: Ranking,
    period: Range,
    now: float,
    beside: Mapping[Path, dict[str, Any]],
    naming: Naming,
) -> dict[str, Any]:
    """As JSON holds it: rows, other, rest, ended, total, as_of, complete. beside: more fields of rows, by path.

    naming: of a path, and of a pk.
    """

    def named(row: Row) -> dict[str, Any]:
        pk = (*question.pk, str(row.path[-1])) if ranking.pks and row.path else ()
        text = naming(row.path) if not pk else pk_text(pk) if naming is path_text else naming(pk)
        return {"path": text, **plain(row), **beside.get(row.path, {})}

    def plain(row: Row) -> dict[str, Any]:
        return {"value": row.value, "n": row.n, "parts": row.parts, "columns": row.columns}

    def judged(row: Row) -> dict[str, Any]:
        more: dict[str, Any] = {"difference": row.difference, "effect": row.effect, "important": row.important}
        if ranking.order == "confidence":
            more |= {"low": row.low, "high": row.high}
        return {**named(row), **more}

    return {
        "rows": [judged(row) for row in ranked.rows],
        "other": None if ranked.other is None else judged(ranked.other),
        "rest": None if ranked.rest is None else {"rows": ranked.rest_count, **plain(ranked.rest)},
        "ended": plain(ranked.ended),
        "total": named(ranked.total),
        "as_of": iso(int(min(now, period.end))),
        "complete": period.end <= now,
    }


def _number(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None

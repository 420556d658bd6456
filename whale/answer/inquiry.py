"""A question over ranges, and its answer with what that rests on; the same for the library and for HTTP.

An inquiry is answered from one store that remembers what it read, so that the answer and what is said of it agree.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Generic, TypeVar

from whale.answer import compare, factors, rank_details, series, shifts, why_empty
from whale.answer.adjusted import Adjusted, adjusted
from whale.answer.compare import Comparison
from whale.answer.rank import Ranked, Ranking, rank, shown
from whale.answer.series import Bounds, Plot, Question
from whale.answer.shapes import ByPath, Naming, Shape, named_paths, path_below, times
from whale.dimension import Path, path_text
from whale.errors import CallerError
from whale.formula import Number
from whale.period import Range
from whale.store.contract.counters import Counters
from whale.store.contract.rollups import Overflowed

R = TypeVar("R")


def _as_it_is(when: datetime) -> datetime:
    return when


@dataclass(frozen=True)
class Basis:
    """What an answer rests on. store: that answered.

    ranges: each period as it was asked, and what it is compared with, by name.  reads: what was read of each.
    levels: below the paths and the depth of the question, that were read too; None: all.
    more: how many rows the limit left out.
    """

    store: Counters
    question: Question
    ranges: Mapping[str, Range]
    reads: Mapping[str, Range]
    levels: int | None = 0
    more: int = 0

    @cached_property
    def adjusted(self) -> dict[str, Adjusted]:
        """What was set in wider buckets than each range was read from."""
        return dict(zip(self.reads, adjusted(self.store, self.question, list(self.reads.values())), strict=True))

    def overflowed(self, *names: str) -> Collection[Overflowed] | None:
        """The cells that lack an amount, of the ranges of these names, else of all; None: any may."""
        ranges = [self.ranges[name] for name in names or self.ranges]
        depth = None if self.levels is None else self.question.depth + self.levels
        return series.overflowed(self.store, self.question, ranges, depth)

    def told(self, answer: dict[str, Any], *names: str) -> dict[str, Any]:
        """An answer, with `adjusted` where it is read from finer buckets than ones that were set."""
        every = [self.adjusted[name] for name in names or self.reads]
        rows = list({str(row): row for each in every for row in each.said()}.values())
        return {**answer, "adjusted": rows} if rows else answer


@dataclass(frozen=True, slots=True)
class Answer(Generic[R]):
    rows: R
    basis: Basis


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is asked, of which time. store: that remembers what it read.

    ranges: by the period's text.  comparisons: of these; None: nothing is compared.
    is_each_asked: else ranges are left out that do not keep what is asked.
    naming: how the answer names paths; as lists, what would be keyed by path is a list of rows.
    """

    store: Counters
    question: Question
    ranges: Mapping[str, Range]
    comparisons: Mapping[str, Comparison] | None
    bounds: Bounds
    is_each_asked: bool = True
    naming: Naming = path_text

    def plotpoints(self) -> Answer[list[Plot]]:
        """Of the one range; and of the one that it is compared with."""
        if self.comparisons is None:
            plots = [series.plotpoints(self.store, self.question, self._range, self.bounds)]
        else:
            plots = [*compare.plotpoints(self.store, self.question, self._comparison, self.bounds)]
        return Answer(plots, self._basis(more=plots[0].more))

    def labelled(self, answer: Answer[list[Plot]], shape: Shape) -> Any:
        """{path: {metric: points}}; compared {compared, paths: {path: {metric: {now, before}}}}. answer: of `plotpoints`."""
        basis = answer.basis
        rows, *before = (shape.rows(plot, self._range) for plot in answer.rows)
        if self.comparisons is None:
            (set_,) = basis.adjusted.values()
            return self._by_path(rows, set_.said(), basis.overflowed(), basis.more)
        pairs = (
            (path, {name: {"now": values, "before": then[name]} for name, values in now.items()})
            for (path, now), (_, then) in zip(rows, *before, strict=True)
        )
        return basis.told({"compared": self._comparison.said(), "paths": self._by_path(pairs, more=basis.more)})

    def _by_path(self, rows: Iterable[tuple[Path, Any]], *marks: Any, **more: Any) -> Any:
        """What was asked of each path. marks, more: of ByPath."""
        if self.is_listed:
            return named_paths(rows, "metrics")
        return ByPath(self.question.pk, ((path_text(path), row) for path, row in rows), *marks, **more)

    @property
    def is_listed(self) -> bool:
        return self.naming is not path_text

    def dataset(self, named: Callable[[datetime], Any] = _as_it_is) -> Answer[Any]:
        """[(time, number), …] of the one path and formula; with a depth {child: the same}, of lists [{path, points}, …].

        named: a time as the answer has it.
        """
        answer = self.plotpoints()
        (plot,), above = answer.rows, self.question.paths[0]
        when = [named(each) for each in times(self._range, plot.starts)]
        rows = {row.path: list(zip(when, *row.values.values(), strict=True)) for row in plot.series}
        if not self.question.depth:
            return Answer(rows[above], answer.basis)
        below = [(path, row) for path, row in rows.items() if path != above]
        if self.is_listed:
            return Answer(named_paths(below, "points"), answer.basis)
        return Answer({path_below(path, above): row for path, row in below}, answer.basis)

    def totals(self) -> Answer[dict[str, Any]]:
        """{period: {path: {formula: number}}}; compared {period: {compared, paths: {path: {formula: pair}}}}."""
        basis = self._basis()
        if self.comparisons is None:
            periods = series.totals_of(self.store, self.question, self.ranges, self.bounds, self.is_each_asked)
            rows: dict[str, Any] = {
                name: self._by_path(
                    [(row.path, row.totals) for row in some], basis.adjusted[name].said(), basis.overflowed(name)
                )
                for name, some in periods.items()
            }
            return Answer(rows, basis)
        compare.read_ahead(self.store, self.question, self.comparisons.values(), self.bounds)
        pairs = {
            name: compare.totals(self.store, self.question, each, self.bounds)
            for name, each in self.comparisons.items()
        }
        rows = {
            name: basis.told(
                {"compared": each.said(), "paths": self._by_path(pairs[name].items())},
                *_names(name, each),
            )
            for name, each in self.comparisons.items()
        }
        return Answer(rows, basis)

    def total(self, index: int | None = None) -> Answer[Any]:
        """The number of the one range, path and formula, or of one of its buckets; compared {compared, now, before, …}."""
        basis = self._basis()
        if self.comparisons is None:
            return Answer(self._number(index), basis)
        if index is not None:
            raise CallerError("cannot be combined with compare: ask for a series instead", "index")
        row = next(iter(compare.totals(self.store, self.question, self._comparison, self.bounds).values()))
        return Answer(basis.told({"compared": self._comparison.said(), **next(iter(row.values()))}), basis)

    def _number(self, index: int | None) -> Number:
        asked = self.store, self.question, self._range, self.bounds
        if index is None:
            return next(iter(series.totals(*asked)[0].totals.values()))
        values = next(iter(series.plotpoints(*asked).series[0].values.values()))
        if not -len(values) <= index < len(values):
            raise CallerError(f"expected {-len(values)} to {len(values) - 1}, got {index}", "index")
        return values[index]

    def rank(self, ranking: Ranking, is_plotted: bool = False) -> Answer[dict[str, Any]]:
        """As JSON holds it; compared each row beside the numbers that it had before. is_plotted: with the series of rows."""
        asked = self.store, self.question, ranking
        levels, now = None if ranking.recursive else 1, self.question.now or 0.0
        starts: Sequence[int] = ()
        if self.comparisons is not None:
            comparison = self._comparison
            ranked, more, starts = rank_details.compared(*asked, comparison, self.bounds, is_plotted)
            said = shown(ranked, self.question, ranking, comparison.now, now, more, self.naming)
            said = {"compared": comparison.said(), **said, "complete": comparison.complete}
        elif is_plotted:
            ranked, more, starts = rank_details.with_series(*asked, self._range, self.bounds)
            said = shown(ranked, self.question, ranking, self._range, now, more, self.naming)
        else:
            ranked = self.ranked(ranking)
            said = shown(ranked, self.question, ranking, self._range, now, {}, self.naming)
        if is_plotted:
            said |= {"times": [start * 1000 for start in starts]}
        basis = self._basis(levels, ranked.rest_count)
        return Answer(basis.told(said), basis)

    def ranked(self, ranking: Ranking) -> Ranked:
        """The rows of the one range."""
        return rank(self.store, self.question, ranking, self._range, self.bounds)

    def factors(self, dimensions: Sequence[Path] | None, depth: int, limit: int) -> Answer[dict[str, Any]]:
        """Which values explain the change of the one comparison, as JSON holds it. dimensions: None: all at the top."""
        store, question, comparison = self.store, self.question, self._comparison
        found = factors.factors(store, question, comparison, dimensions, depth, limit, self.bounds)
        kept, now = dict(question.kept or {}), question.now or 0.0
        why = why_empty.why(store, question, comparison, found, kept, now, self.bounds)
        basis = self._basis(depth)
        return Answer(basis.told(factors.said(found, question.metrics[0], comparison, self.naming) | why), basis)

    def shifts(self, dimensions: Sequence[Path] | None, depth: int, limit: int) -> Answer[dict[str, Any]]:
        """Which values broke away in the one range, as JSON holds it. dimensions: None: all at the top.

        The first formula of the question is searched; the others are costs.
        """
        store, question = self.store, self.question
        found = shifts.shifted(store, question, self._range, dimensions, depth, limit, self.bounds)
        basis, told = self._basis(None, found.left_out), shifts.said(found, question.now or 0.0, limit)
        shifts.add_notes(store, question, found, told["shifts"])
        return Answer(basis.told(told), basis)

    @property
    def _range(self) -> Range:
        (only,) = self.ranges.values()
        return only

    @property
    def _comparison(self) -> Comparison:
        (only,) = (self.comparisons or {}).values()
        return only

    def _basis(self, levels: int | None = 0, more: int = 0) -> Basis:
        if self.comparisons is None:
            return Basis(self.store, self.question, self.ranges, self.ranges, levels, more)
        ranges: dict[str, Range] = {}
        reads: dict[str, Range] = {}
        for text, each in self.comparisons.items():
            asked, before = _names(text, each)
            ranges |= {asked: each.asked, before: each.before}
            reads |= {asked: each.now, before: each.before}
        return Basis(self.store, self.question, ranges, reads, levels, more)


def _names(period: str, comparison: Comparison) -> tuple[str, str]:
    """Of a period, and of what it is compared with."""
    return period, f"{period} {comparison.word}"

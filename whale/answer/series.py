"""Points and totals, over any Store. Pure: no clock; the range says when, and which stored buckets answer.

A question costs one read of the dictionary and, for each path below the ones it names, one sum over the range to find
those that the answer keeps; only these are read in full. Never more with more hits.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whale.answer.kinds import OtherMetrics
from whale.answer.once import MOST_CELLS
from whale.answer.whole import Whole, groups_of, places_in, wholes, with_wholes
from whale.dimension import ROOT, Path, Pk
from whale.errors import CallerError, FormulaError, PeriodError, TooManyPoints
from whale.formula import CONSTANTS, Cells, Formula, Frame, Number, check_kinds, parse_formula, roomy, sums
from whale.metric import ERRORS
from whale.period import Interval, Range, check_points, starts
from whale.store.contract.counters import Counters
from whale.store.contract.rollups import Adjustment, Overflowed
from whale.store.contract.rollups import Buckets as StoredBuckets

CELLS_A_READ = 1_000_000
READ_FACTOR = 50  # cells that may be summed to choose a series, for each point that may be answered
MOST_ABOVE = 1000  # paths of a question with depth: what is below each is looked up by itself


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one answer may cost: points of a series, points of the answer, levels below a path."""

    points: int = 10_000
    answer_points: int = 200_000
    levels: int = 8

    def shared(self, answers: int) -> "Bounds":
        """What each of several answers may cost, so that all together cost no more than one may."""
        return replace(self, answer_points=self.answer_points // answers)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a pk.

    paths: () is the root.  metrics: formulas.
    depth: levels below the paths that are answered too.
    sort: of the paths below, `-metric` (the largest first) or `metric`; None: by the first metric, the largest first.
    limit: how many paths below the asked ones the answer keeps; 0 keeps all.
    null: over zero is None, not 0.  now: epoch seconds, where it matters what is kept; None: unknown.
    field: the parameter that the metrics came in, which an error names.
    kept: of each interval how many seconds its buckets are kept, None for ever; None: unknown, and no set bucket answers by itself.
    """

    account: str
    pk: Pk
    paths: Sequence[Path] = (ROOT,)
    metrics: Sequence[str] = ("hits",)
    depth: int = 0
    sort: str | None = None
    limit: int = 0
    null: bool = False
    now: float | None = None
    field: str = "metrics"
    kept: Mapping[Interval, float | None] | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One path's numbers: for each formula as asked, one value a bucket, and the total of the range. None: undefined."""

    path: Path
    values: dict[str, list[Number]] = field(default_factory=dict)
    totals: dict[str, Number] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plot:
    """starts: epoch seconds of the buckets.  series: the asked paths as asked, then those below them in sort order.

    more: how many paths below them the limit left out.
    """

    starts: Sequence[int]
    series: list[Series]
    more: int = 0


def plotpoints(store: Counters, question: Question, period: Range, bounds: Bounds = Bounds()) -> Plot:
    """Every bucket of the range for each path that the question keeps; 0 where nothing was counted.

    A name never counted reads 0.  Raises CallerError (depth, limit, formula), TooManyPoints, Unavailable.
    """
    buckets = Buckets(store, question, period, bounds)
    formulas = formulas_of(store, question, question.metrics)
    order = _Order(store, question)
    more = 0
    if question.limit:
        paths, more = _chosen(store, question, order, buckets, bounds)
    else:  # all are read, so that what orders them may be read with them
        paths = list(dict.fromkeys([*question.paths, *_below(store, question)]))
    _check_size(len(paths) * len(formulas) * len(buckets.starts), bounds)
    texts = [formula.text for formula in formulas]
    found: dict[Path, Series] = {}
    score: dict[Path, Number] = {}
    for some, frame in buckets.frames(paths, [*formulas, *([] if question.limit else [order.formula])]):
        values = zip(*(formula.series(frame) for formula in formulas), strict=True)
        sums = zip(*(formula.totals(frame) for formula in formulas), strict=True)
        for path, row, total in zip(some, values, sums, strict=True):
            found[path] = Series(path, dict(zip(texts, row, strict=True)), dict(zip(texts, total, strict=True)))
        if not question.limit:
            score.update(zip(some, order.formula.totals(frame), strict=True))
    if not question.limit:
        paths = order.of(paths, score)
    return Plot(buckets.starts, [found[path] for path in paths], more)


def totals(store: Counters, question: Question, period: Range, bounds: Bounds = Bounds()) -> list[Series]:
    """The sums of the range for each path that the question keeps, in its order; a ratio is the ratio of sums."""
    buckets = Buckets(store, question, period, bounds)
    formulas, order = formulas_of(store, question, question.metrics), _Order(store, question)
    return _totals(store, question, formulas, order, buckets, bounds)


def _totals(
    store: Counters, question: Question, formulas: list[Formula], order: "_Order", buckets: "Buckets", bounds: Bounds
) -> list[Series]:
    paths, _ = _chosen(store, question, order, buckets, bounds)
    _check_size(len(paths) * len(formulas), bounds)
    texts = [formula.text for formula in formulas]
    found = []
    for some, frame in buckets.frames(paths, formulas):
        for path, row in zip(some, zip(*(formula.totals(frame) for formula in formulas), strict=True), strict=True):
            found.append(Series(path, totals=dict(zip(texts, row, strict=True))))
    return found


def totals_of(
    store: Counters, question: Question, periods: Mapping[str, Range], bounds: Bounds, is_each_asked: bool
) -> dict[str, list[Series]]:
    """`totals` of some ranges. is_each_asked: else those are left out that do not keep what is asked.

    store: one that remembers, as whale/answer/once.py; then they are all read in one round trip, unless that is too much.
    """
    several = {name: Buckets(store, question, period, bounds) for name, period in periods.items()}
    read_ahead(store, question, several.values())
    formulas, order = formulas_of(store, question, question.metrics), _Order(store, question)
    found = {}
    for name, buckets in several.items():
        try:
            found[name] = _totals(store, question, formulas, order, buckets, bounds)
        except PeriodError:
            if is_each_asked:
                raise
    return found


def read_ahead(store: Counters, question: Question, several: Iterable["Buckets"]) -> None:
    """Reads the asked paths in some ranges, and what the pk is like, in one round trip, unless that is too much.

    store: one that remembers. It is not asked first which metrics there are and of which kinds: the read tells that, too, and
    cells of what is no sum are not used. A metric that is named like a formula is read after that.
    """
    paths = list(dict.fromkeys(question.paths))
    spans = [read for each in several for read in each.reads if len(read[1])]
    size = len(paths) * sum(len(stored) for _, stored in spans)
    guess: list[str] = []
    with suppress(FormulaError):  # told below, with its parameter
        guess = list(dict.fromkeys(name for text in question.metrics for name in parse_formula(text).metrics))
    if guess and spans and size * len(guess) <= MOST_CELLS:
        store.read_several(question.account, question.pk, paths, guess, spans)
    sums, kinds = _metrics(store, question, formulas_of(store, question, question.metrics))
    if sums != [name for name in guess if name not in kinds] and size * len(sums) <= MOST_CELLS:
        store.read_several(question.account, question.pk, paths, sums, spans)


def kinds_of(store: Counters, question: Question, fields: Mapping[str, Sequence[str]]) -> set[str]:
    """The kinds other than sum of the metrics that formulas name. fields: formulas by the parameter they came in."""
    asked = (formula for field, texts in fields.items() for formula in formulas_of(store, question, texts, field))
    names = {name for formula in asked for name in formula.metrics}
    kinds = store.kinds(question.account, question.pk) if names - {"hits"} else {}
    return {kinds[name] for name in names if name in kinds}


def estimates(store: Counters, question: Question) -> dict[str, float]:
    """The metrics of an answer that are estimated, and their standard or largest relative error."""
    kinds = store.kinds(question.account, question.pk)
    if not kinds:
        return {}
    names = (name for formula in formulas_of(store, question, question.metrics) for name in formula.metrics)
    return {name: ERRORS[kinds[name]] for name in names if kinds.get(name) in ERRORS}


def overflowed(
    store: Counters, question: Question, ranges: Iterable[Range], levels: int | None
) -> Collection[Overflowed] | None:
    """The cells of an answer that lack an amount, since their sums left 64 bits; None: any may.

    levels: how far below the question's paths cells were read; None: all.
    """
    noted = store.notes(question.account, question.pk).overflowed
    if not noted:
        return noted
    zone = store.zone(question.account)
    reads = [stored_of(part, zone) for found in ranges for part in found.parts or (found,)]
    names = {name for formula in formulas_of(store, question, question.metrics) for name in formula.metrics}
    return [
        cell
        for cell in noted
        if cell.metric in names
        and any(interval == cell.interval and cell.start in starts_ for interval, starts_ in reads)
        and any(
            cell.path[: len(path)] == path and (levels is None or len(cell.path) <= len(path) + levels)
            for path in question.paths
        )
    ]


class Buckets:
    """The buckets of a range, and how the stored ones make them up.

    source, stored: the stored interval that answers, and its buckets; firsts: where among them each of the range begins.
    """

    def __init__(self, store: Counters, question: Question, period: Range, bounds: Bounds):
        if not 0 <= question.depth <= bounds.levels:
            raise CallerError(f"expected 0 to {bounds.levels}, got {question.depth}", "depth")
        if question.limit < 0:
            raise CallerError(f"expected 0 (all) or more, got {question.limit}", "limit")
        check_points(period, bounds.points)
        self.store, self.question, self.period = store, question, period
        self.starts: Sequence[int] = period.starts or (period.start,)  # of a period that has just begun: one, empty
        zone = store.zone(question.account)
        self.reads = [stored_of(part, zone) for part in period.parts or (period,)]
        self.source = self.reads[0][0]
        self.stored = [start for _, some in self.reads for start in some] if period.parts else self.reads[0][1]
        self._firsts = None
        if self.stored and len(self.stored) != len(self.starts):
            self._firsts = np.searchsorted(np.array(self.stored), np.array(self.starts))

    def frames(self, paths: list[Path], formulas: Sequence[Formula]) -> Iterator[tuple[list[Path], Frame]]:
        """The cells that the formulas need, for portions of the paths that keep one read small."""
        asked = self.question
        metrics, kinds = _metrics(self.store, asked, formulas)
        size = max(1, CELLS_A_READ // max(1, len(metrics) * len(self.stored)))
        for first in range(0, len(paths), size):
            some = paths[first : first + size]
            cells, more = self._read(some, metrics)
            by_name = {name: cells[:, column] for column, name in enumerate(metrics)}
            others = self.others(some, kinds)
            yield some, Frame(by_name, len(some), self.period, self.starts, asked.null, others, more)

    def below(
        self, path: Path, levels: int, metrics: Sequence[str], firsts: Sequence[int], most: int
    ) -> tuple[list[Path], NDArray[Any]]:
        """What `Rollups.read_below` finds of groups of buckets, of which each begins at one of `firsts` of the stored ones."""
        asked = self.question
        edges = [self.stored[first] for first in firsts] if self.stored else [self.period.start]
        paths: list[Path] = []
        out: NDArray[Any] = np.zeros(0, np.int64)
        for interval, some in whole_reads(self.store, asked, self.period, self.reads, metrics):
            groups = groups_of(some, edges)
            found, cells = self.store.read_below(asked.account, asked.pk, path, levels, metrics, interval, groups, most)
            paths, out = (paths, roomy(out, 2) + same_paths(cells, found, paths)) if paths else (found, cells)
        return paths, out

    def others(
        self, paths: Sequence[Path], kinds: Mapping[str, str], firsts: Sequence[int] | None = None
    ) -> OtherMetrics:
        """The metrics of these paths that are no sums. firsts: where each bucket begins, if not as the range has them."""
        asked = self.question
        if firsts is None:
            firsts = range(len(self.stored)) if self._firsts is None else self._firsts.tolist()
        where = self.store, asked.account, asked.pk, paths, kinds, self.source, self.stored, firsts
        return OtherMetrics(*where, asked.null, asked.now)

    def _read(self, paths: list[Path], metrics: list[str]) -> tuple[Cells, dict[str, Cells]]:
        """Cells of the asked buckets, of shape (paths, metrics, buckets); and what totals have beside them, by metric."""
        asked = self.question
        if not self.stored:
            return np.zeros((len(paths), len(metrics), 1), np.int64), {}
        read = self.store.read_several(asked.account, asked.pk, paths, metrics, self.reads)
        cells: Cells = np.concatenate(read.cells, axis=-1) if len(read.cells) > 1 else read.cells[0]
        more = self._more(paths, metrics, cells, read.notes.adjustments)
        if self._firsts is None:
            return cells, more
        if cells.size and float(np.abs(cells.astype(np.float64)).max()) * len(self.stored) >= 2.0**62:
            cells = cells.astype(object)
        summed: Cells = np.add.reduceat(cells, self._firsts, axis=-1)
        return summed, more

    def _more(
        self, paths: list[Path], metrics: list[str], cells: Cells, marks: Collection[Adjustment]
    ) -> dict[str, Cells]:
        """By how much the set buckets that lie in the range as a whole differ from the stored ones in them."""
        asked = self.question
        some = _wholes(self.store, asked, self.period, self.reads, metrics, marks)
        if not some:
            return {}
        spans = with_wholes([], some)
        wide = self.store.read_several(asked.account, asked.pk, paths, metrics, spans).cells
        whole = sums(np.concatenate(wide, axis=-1))
        narrow = sums(cells[..., places_in(self.stored, some)])
        difference = roomy(whole, 2) - roomy(narrow, 2)
        return {name: difference[:, column] for column, name in enumerate(metrics)}


def whole_reads(
    store: Counters, question: Question, period: Range, reads: Sequence[StoredBuckets], metrics: Sequence[str]
) -> list[StoredBuckets]:
    """What a total of a range is read from: set buckets that lie in it as a whole, and for the rest what its points are read from.

    One read more, of what the pk is like, unless the store remembers it.
    """
    marks = store.notes(question.account, question.pk).adjustments
    return with_wholes(reads, _wholes(store, question, period, reads, metrics, marks))


def _wholes(
    store: Counters,
    question: Question,
    period: Range,
    reads: Sequence[StoredBuckets],
    metrics: Sequence[str],
    marks: Collection[Adjustment],
) -> list[Whole]:
    if not marks or question.kept is None or question.now is None:
        return []
    return wholes(period, reads, marks, metrics, question.kept, question.now, store.zone(question.account))


def _metrics(store: Counters, question: Question, formulas: Sequence[Formula]) -> tuple[list[str], dict[str, str]]:
    """The sums that formulas need, and the kinds of the metrics that are none."""
    names = list(dict.fromkeys(name for formula in formulas for name in formula.metrics))
    kinds = store.kinds(question.account, question.pk) if names not in ([], ["hits"]) else {}
    return [name for name in names if name not in kinds], kinds


def same_paths(cells: NDArray[Any], found: list[Path], paths: list[Path]) -> NDArray[Any]:
    """The cells of some paths, though a read found others too, or not all of them."""
    if found == paths:
        return cells
    rows = {path: row for row, path in enumerate(found)}
    return np.stack([cells[rows[path]] if path in rows else np.zeros_like(cells[0]) for path in paths])


def stored_of(period: Range, zone: str) -> tuple[Interval, Sequence[int]]:
    """The stored interval that answers, and its buckets, which are those of the account's zone."""
    source = period.interval if period.source is None else period.source
    if source != period.interval or (period.source is not None and period.zone != zone):
        return source, starts(source, period.start, period.end, zone)
    return source, period.starts


def formulas_of(store: Counters, question: Question, texts: Sequence[str], field: str = "") -> list[Formula]:
    """field: the parameter that they came in, if not that of the question."""
    field = field or question.field
    plain = all(text.isidentifier() and text not in CONSTANTS for text in texts)
    known = () if plain else store.metrics(question.account, question.pk)
    try:
        found = list(dict.fromkeys(parse_formula(text, known) for text in texts))
    except FormulaError as error:
        raise error.named(field) from None
    if known:
        kinds = store.kinds(question.account, question.pk)
        for formula in found:
            check_kinds(formula.steps, known, kinds, field)
    return found


def _check_size(count: int, bounds: Bounds) -> None:
    if count > bounds.answer_points:
        raise TooManyPoints(
            f"the answer would be {count} points, the limit is {bounds.answer_points}: "
            "ask for fewer metrics, a smaller limit or depth, or a shorter range"
        )


class _Order:
    """By the total over the range; of ratios by the ratio of sums. Equal ones by name, undefined ones last."""

    def __init__(self, store: Counters, question: Question):
        asked = f"-{question.metrics[0]}" if question.sort is None else question.sort
        text = asked.removeprefix("-")
        if not text:
            raise CallerError(f"expected metric or -metric, got {asked!a}", "sort")
        self.formula = formulas_of(store, question, [text], "" if question.sort is None else "sort")[0]
        self._descending = asked.startswith("-")
        self._asked = list(dict.fromkeys(question.paths))

    def of(self, paths: list[Path], score: Mapping[Path, Number]) -> list[Path]:
        """The asked paths as asked, then those below them."""
        named = sorted(paths, key=_name)
        defined = [path for path in named if score[path] is not None]
        ordered = sorted(defined, key=score.__getitem__, reverse=self._descending)
        ordered += [path for path in named if score[path] is None]
        asked = set(self._asked)
        return self._asked + [path for path in ordered if path not in asked]


def _chosen(
    store: Counters, question: Question, order: _Order, buckets: Buckets, bounds: Bounds
) -> tuple[list[Path], int]:
    """The asked paths, then the ones below them that sort first, up to the limit; and how many it left out."""
    asked = list(dict.fromkeys(question.paths))
    paths = list(dict.fromkeys([*asked, *_below(store, question)]))
    if len(paths) == len(asked):
        return paths, 0
    work = len(paths) * len(order.formula.metrics) * len(buckets.stored)
    if work > READ_FACTOR * bounds.answer_points:
        raise TooManyPoints(
            f"sorting {len(paths)} paths over {len(buckets.stored)} buckets reads {work} cells, the limit is "
            f"{READ_FACTOR * bounds.answer_points}: ask by a wider interval or shorten the range"
        )
    score: dict[Path, Number] = {}
    for some, frame in buckets.frames(paths, [order.formula]):
        score.update(zip(some, order.formula.totals(frame), strict=True))
    chosen = order.of(paths, score)[: len(asked) + question.limit if question.limit else None]
    return chosen, len(paths) - len(chosen)


def _below(store: Counters, question: Question) -> list[Path]:
    """The paths below the asked ones, as deep as is asked."""
    if not question.depth:
        return []
    if len(question.paths) > MOST_ABOVE:
        raise CallerError(f"expected at most {MOST_ABOVE} with a depth, got {len(question.paths)}", "dimensions")
    levels = (store.descendants(question.account, question.pk, path, question.depth) for path in question.paths)
    return [path for level in levels for path in level]


def _name(path: Path) -> tuple[str, ...]:
    return tuple(name or "" for name in path)

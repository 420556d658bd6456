"""Which values of a dimension explain the change of a count, or of a ratio, between two ranges. Pure.

A count: the part of a value is its own change. A ratio R = N/D is the mean of the values' rates r = n/d, weighted by their shares w = d/D
of the denominator; its change splits into two parts a value, with the midpoints of both ranges:

    rate   (w0 + w1)/2 * (r1 - r0)                     its own ratio moved
    mix    ((r0 + r1)/2 - (R0 + R1)/2) * (w1 - w0)     its share moved, and it is better or worse than the whole

That is the Shapley value of two factors: it does not depend on which range comes first (the other way round each part only changes its
sign), and nothing is left over. Where a value has no denominator in one range, its rate of the other one stands for both.

The parts of a dimension add up to the whole change, exactly: of the values, of what ended at the dimension (`ended`), and of what does
not have it (`without`). Where hits carry several of its values they count more than once; then `overlap` is what that was too much.

How sure: the variance of a value's sum is that from one group of buckets to the next, around its share of the whole; of a ratio that
around its own rate; but at least that of a Poisson or binomial count, times what most values of the dimension show to be usual
(quasi-Poisson, quasi-binomial). `excess` is what a part is more than if all values had moved alike. A dimension explains what the
excesses that are beyond chance make up of the change: beyond sqrt(2 ln k) deviations, which the noise of k values hardly passes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby, takewhile
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hail.hit import MILLION
from whale.answer import series
from whale.answer.compare import Comparison
from whale.answer.series import READ_FACTOR, Bounds, Question
from whale.answer.shapes import Naming
from whale.dimension import ROOT, Path, path_text
from whale.errors import CallerError, FormulaError, TooManyPoints
from whale.formula import Floats, Formula, roomy, sums
from whale.period import Interval, Range
from whale.store.contract.counters import Counters
from whale.store.contract.names import OTHER
from whale.store.contract.rollups import Buckets

GROUPS = 10  # of buckets of a range, whose spread says how sure a part is
MEDIAN_SQUARE = 0.455  # of a normal deviate
FEW_VALUES = 5  # too few to show what is usual
MOST_ROWS = 10_000  # of an answer
MOST_NAMED, MOST_TOP = (
    100,
    1000,
)  # dimensions of an answer: that are asked by name, each a read; of the root, all one read
DRILLED_DIMENSIONS, DRILLED = 10, 10  # dimensions that are looked into, those that explain most; and values of each
EXPLAINS = 0.8  # of its parent's part that a child must make up
BEYOND = 2.0  # deviations that it must be beyond its share of it
CONSTANT = ""
LARGEST = 10**40  # of what amounts are multiplied by, to be whole
Form = Mapping[str, Fraction]
"""metric -> factor; CONSTANT -> what is added."""
Both = tuple[Fraction, Fraction]
"""Before and now."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one row adds to the change. kind: value, other, rest, ended, overlap or without.

    now, before: its own count or ratio, None over zero.  rate + mix = part, of a ratio.  values: how many it stands for.
    because: the chain of children below it that explain it, the deepest last.
    """

    path: Path
    kind: str
    now: Fraction | None
    before: Fraction | None
    part: Fraction
    rate: Fraction | None
    mix: Fraction | None
    shares: Both | None
    excess: float
    deviation: float
    values: int = 1
    because: list["Part"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Dimension:
    """path: whose values these are.  explains: the share of the change, 0 to 1; None where nothing changed.

    strength: the same, not as a share.  closes: no hit has several of its values, as far as sums tell.
    """

    path: Path
    values: int
    explains: float | None
    strength: float
    closes: bool
    rows: list[Part]


@dataclass(frozen=True, slots=True)
class Factors:
    """The whole, and the dimensions, those that explain most first. None: over zero, and then there are no dimensions.

    is_ratio: not a count.  counted: anything is there in one of the ranges.
    """

    now: Fraction | None
    before: Fraction | None
    change: Fraction | None
    dimensions: list[Dimension]
    is_ratio: bool
    counted: bool


def check_search(dimensions: Sequence[Path] | None, depth: int, least_depth: int, limit: int, bounds: Bounds) -> None:
    """Whether so many values may be searched and answered; raises CallerError (depth, limit, dimensions)."""
    if not least_depth <= depth <= bounds.levels:
        raise CallerError(f"expected {least_depth} to {bounds.levels}, got {depth}", "depth")
    if limit < 0:
        raise CallerError(f"expected 0 (all) or more, got {limit}", "limit")
    if dimensions is not None and len(dimensions) > MOST_NAMED:
        raise CallerError(f"expected at most {MOST_NAMED}, got {len(dimensions)}", "dimensions")


def factors(
    store: Counters,
    question: Question,
    comparison: Comparison,
    dimensions: Sequence[Path] | None,
    depth: int,
    limit: int,
    bounds: Bounds,
) -> Factors:
    """What explains the change of the question's formula. dimensions: None takes every top path that has values.

    depth: levels below a value that are looked into.  limit: values a dimension, 0 for all.
    Raises CallerError (depth, limit, dimensions, metric), TooManyPoints, Unavailable.  Reads each page of both ranges once, and again
    what is below up to 100 values, a level at a time.
    """
    check_search(dimensions, depth, 0, limit, bounds)
    reading = _Reading(store, question, comparison, bounds)
    tables: list[_Values] = []
    if dimensions is None:
        paths, cells = reading.below(ROOT, 2)
        root, tables = cells[:, :1], _top_dimensions(paths, cells)
        if len(tables) > MOST_TOP:
            raise TooManyPoints(
                f"the pk has {len(tables)} top-level dimensions, the limit is {MOST_TOP}: name the ones to search",
                "dimensions",
            )
    else:
        root = reading.below(ROOT, 0)[1][:, :1]
        for path in dict.fromkeys(dimensions):
            paths, cells = reading.below(path, 1)
            tables.append((path, paths[1:], cells))
    whole = _Whole(reading, root)
    if whole.change is None:
        return Factors(whole.now, whole.before, None, [], True, whole.counted)
    rows = sum(min(limit or len(paths), len(paths)) for _, paths, _ in tables)
    if rows > MOST_ROWS:
        raise TooManyPoints(f"the answer would be {rows} rows, the limit is {MOST_ROWS}: ask for fewer", "limit")
    found = [_dimension(whole, *table, limit) for table in tables]
    found.sort(key=lambda each: (-each.strength, path_text(each.path)))
    for each in found[:DRILLED_DIMENSIONS]:
        for row in [row for row in each.rows if row.kind == "value"][:DRILLED]:
            row.because.extend(_because(whole, row, depth))
    return Factors(whole.now, whole.before, whole.change, found, whole.is_ratio, whole.counted)


_Values = tuple[Path, list[Path], NDArray[Any]]
"""A dimension, its values, and the table of both."""


# Formulas

_Quotient = tuple[dict[str, Fraction], dict[str, Fraction] | None]


def forms_of(formula: Formula) -> tuple[Form, Form | None]:
    """Numerator and denominator as sums of metrics with factors; no denominator: a count. Raises FormulaError."""
    stack: list[_Quotient] = []
    for kind, what in formula.steps:
        if kind == "number":
            stack.append(({CONSTANT: Fraction(str(what))}, None))
        elif kind == "metric" and not what[1]:
            stack.append(({what[0]: Fraction(1)}, None))
        elif kind == "negate":
            stack.append(_scaled(stack.pop(), Fraction(-1)))
        elif kind == "op":
            right, left = stack.pop(), stack.pop()
            if what == "-":
                right = _scaled(right, Fraction(-1))
            stack.append({"*": _times, "/": _over}.get(what, _plus)(left, right))
        else:
            raise _not_explained()
    above, below = (_without_zeros(each or {}) for each in stack[0])
    if CONSTANT in above or CONSTANT in below or not (above or below):
        raise _not_explained()
    if stack[0][1] is None:
        return above, None
    if not below:
        raise _over_zero()
    return above, below


def _not_explained() -> FormulaError:
    expected = "expected a sum of metrics, or one sum over another: only these split into parts that add up"
    return FormulaError(expected, "metric")


def _over_zero() -> FormulaError:
    return FormulaError("the denominator is always 0", "metric")


def _without_zeros(form: dict[str, Fraction]) -> Form:
    return {name: factor for name, factor in form.items() if factor}


def _scaled(value: _Quotient, factor: Fraction) -> _Quotient:
    return {name: each * factor for name, each in value[0].items()}, value[1]


def _constant(value: _Quotient) -> Fraction | None:
    return value[0].get(CONSTANT, Fraction(0)) if value[1] is None and not value[0].keys() - {CONSTANT} else None


def _plus(left: _Quotient, right: _Quotient) -> _Quotient:
    if left[1] is not None and (added := _constant(right)) is not None:
        right = {name: each * added for name, each in left[1].items()}, left[1]
    elif right[1] is not None and (added := _constant(left)) is not None:
        left = {name: each * added for name, each in right[1].items()}, right[1]
    if left[1] != right[1]:
        raise _not_explained()
    names = left[0] | right[0]
    return {name: left[0].get(name, Fraction(0)) + right[0].get(name, Fraction(0)) for name in names}, left[1]


def _times(left: _Quotient, right: _Quotient) -> _Quotient:
    if (factor := _constant(right)) is not None:
        return _scaled(left, factor)
    if (factor := _constant(left)) is not None:
        return _scaled(right, factor)
    raise _not_explained()


def _over(left: _Quotient, right: _Quotient) -> _Quotient:
    if (by := _constant(right)) is not None:
        if by == 0:
            raise _over_zero()
        return _scaled(left, 1 / by)
    if left[1] is not None or right[1] is not None:
        raise _not_explained()
    return left[0], right[0]


# Reading


class _Reading:
    """Cells of both ranges in groups of buckets, as amounts of the numerator and the denominator.

    A table has the shape (1 or 2, paths, groups): integers in units of 1/scale, of before first and then of now (`spans`).
    """

    def __init__(self, store: Counters, question: Question, comparison: Comparison, bounds: Bounds):
        (formula,) = series.formulas_of(store, question, question.metrics[:1], "metric")
        above, below = forms_of(formula)
        self.is_ratio = below is not None
        self.store, self.question, self.bounds = store, question, bounds
        forms = [above] if below is None else [above, below]
        self.metrics = list(dict.fromkeys(name for form in forms for name in form))
        kinds = store.kinds(question.account, question.pk)
        for name in self.metrics:
            if name in kinds:
                raise FormulaError(f"{name[:60]} is of kind {kinds[name]}: expected sums, whose parts add up", "metric")
        units = {name: 1 if name == "hits" else MILLION for name in self.metrics}
        rows = [[form.get(name, Fraction(0)) / unit for name, unit in units.items()] for form in forms]
        self.scales = [math.lcm(*(factor.denominator for factor in row)) for row in rows]
        self._factors = [[int(factor * scale) for factor in row] for row, scale in zip(rows, self.scales, strict=True)]
        if max(*self.scales, *(abs(factor) for row in self._factors for factor in row)) > LARGEST:
            raise FormulaError("the numbers are too large, too small or too many to compute exactly", "metric")
        zone = store.zone(question.account)
        self.spans: list[slice] = []
        self._reads: list[list[tuple[int, Interval, list[int]]]] = []  # of ranges that do not overlap
        begun = 0
        for period in (comparison.before, comparison.now):
            stored = [series.stored_of(part, zone) for part in period.parts or (period,) if part.end > part.start]
            groups, reads = _grouped(period, series.whole_reads(store, question, period, stored, self.metrics))
            self._reads.append([(begun + group, interval, starts) for group, interval, starts in reads])
            self.spans.append(slice(begun, begun + groups))
            begun += groups
        self._groups = begun
        if comparison.before.end <= comparison.now.start:
            self._reads = [[*self._reads[0], *self._reads[1]]]

    def below(self, path: Path, levels: int) -> tuple[list[Path], NDArray[Any]]:
        """A path and those up to so many levels below it, and their table.

        Where a read finds paths that the first one did not, they are as if they had ended above; so sums close.
        """
        asked = self.question
        paths: list[Path] = []
        out: NDArray[Any] = np.zeros((1, len(self.metrics), self._groups), np.int64)
        for some in self._reads:
            for interval in dict.fromkeys(interval for _, interval, _ in some):
                chosen = [(group, starts) for group, each, starts in some if each == interval]
                buckets = sum(len(starts) for _, starts in chosen)
                most = READ_FACTOR * self.bounds.answer_points // (len(self.metrics) * buckets)
                groups = [starts for _, starts in chosen]
                found, cells = self.store.read_below(
                    asked.account, asked.pk, path, levels, self.metrics, interval, groups, most
                )
                if not paths:
                    paths = found
                    out = np.zeros((len(paths), len(self.metrics), self._groups), np.int64)
                cells = series.same_paths(cells, found, paths)
                out = out.astype(object) if cells.dtype == object else out
                out[:, :, [group for group, _ in chosen]] += cells
        largest = max(sum(map(abs, row)) for row in self._factors)
        out = roomy(out, largest * max(1, self._groups) * len(out)) if largest < 2**62 else out.astype(object)
        columns = []
        for row in self._factors:
            terms = [out[:, at] * factor if factor != 1 else out[:, at] for at, factor in enumerate(row) if factor]
            columns.append(sum(terms[1:], terms[0]) if terms else np.zeros_like(out[:, 0]))
        return paths or [path], np.stack(columns)


def _grouped(period: Range, stored: Sequence[Buckets]) -> tuple[int, list[tuple[int, Interval, list[int]]]]:
    """How many groups of buckets a range has, and of each (number, interval, starts) what is read for it. stored: all that is."""
    starts = period.starts or (period.start,)
    groups = min(GROUPS, len(starts))
    edges = [starts[len(starts) * group // groups] for group in range(groups)]
    reads = []
    for interval, some in stored:
        places = np.searchsorted(edges, np.array(some), "right") - 1
        for group in dict.fromkeys(places.tolist()):
            reads.append((group, interval, np.array(some)[places == group].tolist()))
    return groups, reads


def _top_dimensions(paths: list[Path], cells: NDArray[Any]) -> list[_Values]:
    """Every top path that has values; where none has, the root. paths: two levels below the root, each in order."""
    tops = sum(1 for _ in takewhile(lambda path: len(path) < 2, paths)) - 1
    found: list[_Values] = []
    begun = 1 + tops
    for name, some in groupby(paths[begun:], itemgetter(0)):
        values = list(some)
        at = paths.index((name,), 1)
        found.append(
            ((name,), values, np.concatenate([cells[:, at : at + 1], cells[:, begun : begun + len(values)]], axis=1))
        )
        begun += len(values)
    return found or ([(ROOT, paths[1:], cells)] if tops else [])


# Parts


class _Whole:
    """The root in both ranges, and what follows from it for any path."""

    def __init__(self, reading: _Reading, root: NDArray[Any]):
        self.reading, self.cells, self.is_ratio = reading, root, reading.is_ratio
        self.counted = bool(root.any())
        (both,) = self.exact(root)
        self.below: Both = both[-1]
        self.before, self.now = self._own(both[0], self.below)
        self.change = None if self.now is None or self.before is None else self.now - self.before
        self.middle = Fraction(0) if self.now is None or self.before is None else (self.before + self.now) / 2

    def exact(self, cells: NDArray[Any]) -> list[tuple[Both, ...]]:
        """For each path the sums of the numerator, and of the denominator."""
        found = []
        for row, scale in zip(cells, self.reading.scales, strict=True):
            both = (sums(row[:, span]).tolist() for span in self.reading.spans)
            found.append([(Fraction(int(a), scale), Fraction(int(b), scale)) for a, b in zip(*both, strict=True)])
        return list(zip(*found, strict=True))

    def _own(self, n: Both, d: Both) -> tuple[Fraction | None, Fraction | None]:
        before, now = ((a / b if b else None) if self.is_ratio else a for a, b in zip(n, d, strict=True))
        return before, now

    def part(
        self,
        path: Path,
        kind: str,
        both: tuple[Both, ...],
        excess: float,
        deviation: float,
        values: int = 1,
        mix: float | None = None,
    ) -> Part:
        """Of a row with these sums, as `exact` gives them. mix: where it is not that of the sums."""
        n, d = both[0], both[-1]
        before, now = self._own(n, d)
        if not self.is_ratio:
            return Part(path, kind, now, before, n[1] - n[0], None, None, None, excess, deviation, values)
        shares = d[0] / self.below[0], d[1] / self.below[1]
        moved = shares[1] - shares[0]
        part = n[1] / self.below[1] - n[0] / self.below[0] - self.middle * moved
        rates = [rate for rate in (before, now) if rate is not None]
        of_mix = (sum(rates, Fraction(0)) / len(rates) - self.middle) * moved if rates else Fraction(0)
        of_mix = of_mix if mix is None else Fraction(mix)
        return Part(path, kind, now, before, part, part - of_mix, of_mix, shares, excess, deviation, values)


class _Table:
    """Rows of paths as columns of floats, for choosing and for how sure they are."""

    def __init__(self, whole: _Whole, cells: NDArray[Any]):
        spans, scales = whole.reading.spans, whole.reading.scales
        tables = [
            [row[:, span].astype(np.float64) / scale for span in spans]
            for row, scale in zip(cells, scales, strict=True)
        ]
        wholes = [
            [row[0, span].astype(np.float64) / scale for span in spans]
            for row, scale in zip(whole.cells, scales, strict=True)
        ]
        with np.errstate(all="ignore"):
            if whole.is_ratio:
                self.part, self.mix, base, variance = _ratio(whole, tables[0], tables[1], wholes[1])
            else:
                self.part, self.mix, base, variance = _count(tables[0], wholes[0])
        self.deviation: Floats = np.sqrt(variance)
        self.excess: Floats = self.mix + _beyond(self.part - self.mix, base)


_Columns = list[Floats]  # of before and now, by row and group
_Parts = tuple[Floats, Floats, Floats, Floats]  # part, mix, what parts are like if all move alike, variance


def _count(n: _Columns, whole: _Columns) -> _Parts:
    before, now = totals = [each.sum(axis=1) for each in n]
    noise = [np.abs(total) + 1 for total in totals]
    spread = [_spread(*each) for each in zip(n, totals, whole, strict=True)]
    part, base = now - before, (before + now) / 2
    variance = _variance(spread, noise, _beyond(part, base))
    return part, np.zeros(len(part)), base, variance


def _ratio(whole: _Whole, n: _Columns, d: _Columns, whole_below: _Columns) -> _Parts:
    middle, wholes = float(whole.middle), [float(each) for each in whole.below]
    above, below = ([each.sum(axis=1) for each in rows] for rows in (n, d))
    rates = np.array([np.where(b != 0, a / b, np.nan) for a, b in zip(above, below, strict=True)])
    known = (~np.isnan(rates)).sum(axis=0)
    own = np.nan_to_num(rates)
    rate = own.sum(axis=0) / np.maximum(known, 1)
    shares = [b / all_ for b, all_ in zip(below, wholes, strict=True)]
    weight, moved = (shares[0] + shares[1]) / 2, shares[1] - shares[0]
    mix = np.where(known > 0, (rate - middle) * moved, 0.0)
    part = above[1] / wholes[1] - above[0] / wholes[0] - middle * moved
    base = weight * rate
    base = base if base.sum() else weight
    # of the rates, in units of the numerator
    around = [_around(*each) for each in zip(n, own, d, strict=True)]
    fair = [np.where((r >= 0) & (r <= 1), np.maximum(1 - r, 1 / (b + 2)), 1.0) for r, b in zip(own, below, strict=True)]
    noise = [(np.abs(a) + 1) * each for a, each in zip(above, fair, strict=True)]
    scale = [np.where(b != 0, weight / b, 0.0) for b in below]
    of_rates = _variance(around, noise, _beyond(part - mix, base), scale)
    # of the shares, in units of the denominator
    spread = [_spread(*each) for each in zip(d, below, whole_below, strict=True)]
    noise = [(np.abs(b) + 1) * np.clip(1 - share, 0, 1) for b, share in zip(below, shares, strict=True)]
    scale = [np.full(len(part), 1 / all_) for all_ in wholes]
    return part, mix, base, of_rates + (rate - middle) ** 2 * _variance(spread, noise, moved, scale)


def _beyond(part: Floats, base: Floats) -> Floats:
    """What parts are more than if all moved alike, in proportion to their base."""
    of = float(base.sum())
    if abs(of) <= 1e-9 * float(np.abs(base).sum()):  # the rounding of what cancels out
        return part
    return part - base * (float(part.sum()) / of)


def _variance(
    spread: Sequence[Floats | None], noise: Sequence[Floats], moved: Floats, scale: Sequence[Floats] | None = None
) -> Floats:
    """Of a difference of two sums, times `scale`: by their spread or, where that is more, by noise as it usually is.

    How usual spread and noise compare is what the median row shows; without a spread, by how much rows moved apart.
    """
    scale = [np.ones(len(moved))] * 2 if scale is None else scale
    plain = noise[0] * scale[0] ** 2 + noise[1] * scale[1] ** 2
    found: Floats = np.zeros(len(moved))
    for each, least, times in zip(spread, noise, scale, strict=True):
        usual, told = 1.0, plain > 0
        if told.sum() > FEW_VALUES:
            if each is None:
                usual = float(np.median(moved[told] ** 2 / plain[told])) / MEDIAN_SQUARE
            else:
                usual = float(np.median(each[told] / np.maximum(least[told], 1e-12)))
        found += np.maximum(0 if each is None else each, max(1.0, usual) * least) * times**2
    return found


def _spread(cells: Floats, total: Floats, whole: Floats) -> Floats | None:
    """The variance of sums of groups around their share of the whole's groups; None where there is one group."""
    return _around(cells, total / whole.sum(), whole) if whole.sum() else _around(cells, total / cells.shape[1], 1.0)


def _around(cells: Floats, factor: Floats, whole: Floats | float) -> Floats | None:
    """The variance of sums of groups around this factor of the whole's, by how much each group differs from the next one, so that a
    break inside the period is not taken for noise.  Source: von Neumann, Annals of Mathematical Statistics, 1941.
    """
    groups = cells.shape[1]
    if groups < 2:
        return None
    steps = np.diff(cells - factor[:, None] * whole, axis=1)
    found: Floats = np.einsum("ij,ij->i", steps, steps) * groups / (2 * (groups - 1))
    return found


def _dimension(whole: _Whole, path: Path, paths: list[Path], cells: NDArray[Any], limit: int) -> Dimension:
    """cells: of the dimension itself, then of its values."""
    here, values = cells[:, :1], cells[:, 1:]
    ended = here - values.sum(axis=1, keepdims=True)
    without = whole.cells - here
    every = np.concatenate([values, ended, without], axis=1)
    table = _Table(whole, every)
    overlaps = _overlaps(whole, values, ended)

    others = [paths.index((*path, OTHER))] if (*path, OTHER) in paths else []
    shown = _largest(paths, table.part, limit, others)
    needed = [*shown, *others, len(paths), len(paths) + 1]
    exact = dict(zip(needed, whole.exact(every[:, needed]), strict=True))

    def row(at: int, of: Path, kind: str) -> Part:
        return whole.part(of, kind, exact[at], float(table.excess[at]), float(table.deviation[at]))

    rows = sorted(
        (row(at, paths[at], "value") for at in shown), key=lambda each: (-abs(each.part), path_text(each.path))
    )
    rows += [row(at, paths[at], "other") for at in others]
    hidden = np.ones(len(paths), bool)
    hidden[[*shown, *others]] = False
    if hidden.any():
        rows.append(_rest(whole, table, values[:, hidden], np.flatnonzero(hidden), path))
    if ended.any():
        rows.append(row(len(paths), path, "overlap" if overlaps else "ended"))
    if without.any():
        rows.append(row(len(paths) + 1, ROOT, "without"))
    told = np.ones(len(table.part), bool)
    told[len(paths)] = not overlaps
    change = whole.change or Fraction(0)
    strength = _strength(table.excess[told], table.deviation[told], float(change), len(paths))
    explains = min(1.0, strength / abs(float(change))) if change else None
    return Dimension(path, len(paths), explains, strength, not overlaps, rows)


def _overlaps(whole: _Whole, values: NDArray[Any], ended: NDArray[Any]) -> bool:
    """Whether values add up to more than their dimension, where each of them only grows."""
    for row, of_ended in zip(values, ended, strict=True):
        for span in whole.reading.spans:
            if sums(of_ended[:, span])[0] < 0 <= sums(row[:, span]).min(initial=0):
                return True
    return False


def _strength(excess: Floats, deviation: Floats, change: float, values: int) -> float:
    """What is in the direction of the change and beyond chance; of no change, half of both directions."""
    threshold = max(BEYOND, math.sqrt(2 * math.log(max(values, 1))))
    beyond = np.maximum(np.abs(excess) - threshold * deviation, 0)
    return float(beyond[np.sign(excess) == np.sign(change)].sum() if change else beyond.sum() / 2)


def _largest(paths: list[Path], part: Floats, limit: int, but: list[int]) -> list[int]:
    """Rows of the largest parts, equal ones by name, without some."""
    rows = np.delete(np.arange(len(paths)), but)
    if not limit or limit >= len(rows):
        return list(rows.tolist())
    size = np.abs(part[rows])
    least = np.partition(size, len(size) - limit)[len(size) - limit]
    sure = rows[size > least].tolist()
    level = sorted(rows[size == least].tolist(), key=lambda row: path_text(paths[row]))
    return [*sure, *level[: limit - len(sure)]]


def _rest(whole: _Whole, table: _Table, values: NDArray[Any], rows: NDArray[np.intp], path: Path) -> Part:
    """The values that are not shown, as one row: their sums, and what their mixes add up to."""
    (both,) = whole.exact(values.sum(axis=1, keepdims=True))
    deviation = math.sqrt(float((table.deviation[rows] ** 2).sum()))
    excess, mix = float(table.excess[rows].sum()), float(table.mix[rows].sum())
    return whole.part(path, "rest", both, excess, deviation, len(rows), mix)


def _because(whole: _Whole, above: Part, depth: int) -> list[Part]:
    """The chain of children of which each explains the one above it: most of its part, and more than its share of it."""
    reading, asked = whole.reading, whole.reading.question
    chain: list[Part] = []
    while len(chain) < depth and above.part and reading.store.children(asked.account, asked.pk, above.path):
        paths, cells = reading.below(above.path, 1)
        table = _Table(whole, cells)
        size = np.abs(cells[1 if whole.is_ratio else 0].astype(np.float64).sum(axis=1))
        towards = table.part[1:] * (1 if above.part > 0 else -1)
        if not len(towards) or not size[0]:
            break
        at = 1 + int(np.argmax(towards))
        part = abs(float(above.part))
        beyond = float(towards[at - 1] - part * size[at] / size[0])
        deviation = float(table.deviation[at])
        if towards[at - 1] < EXPLAINS * part or beyond < BEYOND * deviation:
            break
        kind = "other" if paths[at][-1] == OTHER else "value"
        (both,) = whole.exact(cells[:, at : at + 1])
        above = whole.part(paths[at], kind, both, math.copysign(beyond, above.part), deviation)
        chain.append(above)
    return chain


# As JSON


def said(found: Factors, formula: str, comparison: Comparison, naming: Naming) -> dict[str, Any]:
    """As JSON holds it."""
    return {
        "compared": comparison.said(),
        "metric": formula,
        "now": as_number(found.now),
        "before": as_number(found.before),
        "change": as_number(found.change),
        "dimensions": [_dimension_said(each, found.change or Fraction(0), naming) for each in found.dimensions],
    }


def _dimension_said(dimension: Dimension, change: Fraction, naming: Naming) -> dict[str, Any]:
    found: dict[str, Any] = {
        "dimension": naming(dimension.path),
        "explains": dimension.explains,
        "values": dimension.values,
        "closes": dimension.closes,
    }
    rates = [row.rate for row in dimension.rows if row.rate is not None]
    mixes = [row.mix for row in dimension.rows if row.mix is not None]
    if rates:
        found |= {"rate": as_number(sum(rates, Fraction(0))), "mix": as_number(sum(mixes, Fraction(0)))}
    return {**found, "rows": [_row_said(row, change, naming) for row in dimension.rows]}


def _row_said(row: Part, whole: Fraction, naming: Naming) -> dict[str, Any]:
    part = float(row.part)
    found: dict[str, Any] = {
        "path": naming(row.path),
        "kind": row.kind,
        "now": as_number(row.now),
        "before": as_number(row.before),
        "part": as_number(row.part),
        "of_change": as_number(row.part / whole) if whole else None,
        "low": part - 1.96 * row.deviation,
        "high": part + 1.96 * row.deviation,
        "excess": row.excess,
        "z": row.excess / row.deviation if row.deviation else None,
    }
    if row.shares is not None:
        found |= {"rate": as_number(row.rate), "mix": as_number(row.mix)}
        found["share"] = {"now": as_number(row.shares[1]), "before": as_number(row.shares[0])}
    if row.kind == "rest":
        found["values"] = row.values
    if row.because:
        found["because"] = [_row_said(each, row.part, naming) for each in row.because]
    return found


def as_number(value: Fraction | None) -> int | float | None:
    if value is None:
        return None
    return value.numerator if value.denominator == 1 else float(value)

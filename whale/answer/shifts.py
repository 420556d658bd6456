"""Shifts of a pk, as a question asks for them: reads the closed buckets, has change_points.py find them, and says them as JSON.

    pk, metric, dimensions ── read ──> amounts by path and bucket ── change_points.py ──> shifts ── said ──> JSON

A bucket that is open is left out: half a day looks like a fall.
Reads the numerator and the denominator of every path once, and the costs of the paths that are told.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hail.hit import MILLION
from whale.answer import series
from whale.answer.change_points import MOST_SERIES, Shift, Shifts, shifts
from whale.answer.explain import iso
from whale.answer.factors import LARGEST, Form, as_number, check_search, forms_of
from whale.answer.notes import about, near
from whale.answer.series import CELLS_A_READ, READ_FACTOR, Bounds, Question
from whale.answer.whole import groups_of
from whale.dimension import ROOT, Path
from whale.errors import CallerError, FormulaError, TooManyPoints
from whale.formula import roomy
from whale.period import DAY, Range, check_points, day_of, tz, width
from whale.store.contract.counters import Counters

MOST_DAYS = 400  # days, or longer buckets, that are searched: windows grow faster than these
MOST_COSTS = 20


@dataclass(frozen=True, slots=True)
class Shifted:
    """found: with amounts in millionths of the units of each form.  left_out: shifts beyond the limit."""

    found: Shifts
    left_out: int
    above: "_Amount"
    below: "_Amount | None"
    costs: list["_Amount"]
    buckets: "_Closed"


def shifted(
    store: Counters,
    question: Question,
    period: Range,
    dimensions: Sequence[Path] | None,
    depth: int,
    limit: int,
    bounds: Bounds,
) -> Shifted:
    """Shifts of the question's first formula, and what they cost in the others. dimensions: None takes all at the top.

    depth: levels below a dimension.  limit: shifts that are told, 0 for all.
    Raises CallerError (depth, limit, dimensions, metric, cost), TooManyPoints, Unavailable.
    """
    check_search(dimensions, depth, 1, limit, bounds)
    metric, *costs = question.metrics
    if len(costs) > MOST_COSTS:
        raise CallerError(f"expected at most {MOST_COSTS}, got {len(costs)}", "cost")
    above, below = _parts(store, question, metric, "metric")
    priced = [_cost(store, question, text) for text in dict.fromkeys(costs)]
    closed = _Closed(store, question, period, bounds)
    reading = _Reading(store, question, closed, bounds)
    paths, amounts = reading.below(dimensions, depth, [above] if below is None else [above, below])

    def cost(some: Sequence[Path]) -> dict[str, NDArray[Any]]:
        return dict(zip([each.name for each in priced], reading.of(some, priced), strict=True))

    found = shifts(paths, amounts[0], None if below is None else amounts[1], cost if priced else None, closed.days)
    left_out = max(0, len(found.found) - limit) if limit else 0
    return Shifted(found, left_out, above, below, priced, closed)


# Formulas


@dataclass(frozen=True, slots=True)
class _Amount:
    """A sum of metrics: `unit` times whole numbers of each. Counts stay counts, whatever they are multiplied by."""

    name: str
    unit: Fraction
    times: dict[str, int]

    @classmethod
    def of(cls, form: Form, text: str, field: str) -> "_Amount":
        unit = Fraction(
            math.gcd(*(factor.numerator for factor in form.values())),
            math.lcm(*(factor.denominator for factor in form.values())),
        )
        times = {name: int(factor / (unit or 1)) for name, factor in form.items()}
        if max([unit.denominator, unit.numerator, *map(abs, times.values())]) > LARGEST:
            raise FormulaError("the numbers are too large, too small or too many to compute exactly", field)
        return cls(next(iter(times)) if list(times.values()) == [1] else text, unit or Fraction(1), times)

    @property
    def own(self) -> Fraction:
        """The unit that it is told in: of one metric that of the metric."""
        return Fraction(1) if list(self.times.values()) == [1] else self.unit


def _parts(store: Counters, question: Question, text: str, field: str) -> tuple[_Amount, _Amount | None]:
    """Numerator and denominator, which are sums. Raises FormulaError."""
    (formula,) = series.formulas_of(store, question, [text], field)
    try:
        above, below = forms_of(formula)
    except FormulaError as error:
        raise error.named(field) from None
    kinds = store.kinds(question.account, question.pk)
    for name in [*above, *(below or {})]:
        if name in kinds:
            raise FormulaError(f"{name[:60]} is of kind {kinds[name]}: expected sums, whose parts add up", field)
    return _Amount.of(above, text, field), None if below is None else _Amount.of(below, text, field)


def _cost(store: Counters, question: Question, text: str) -> _Amount:
    amount, below = _parts(store, question, text, "cost")
    if below is not None:
        raise FormulaError("expected a sum of metrics, got a ratio: a cost is an amount", "cost")
    return amount


# Reading


class _Closed:
    """The buckets of a range that are over.  starts: of these.  interval, stored: those that make them up."""

    def __init__(self, store: Counters, question: Question, period: Range, bounds: Bounds):
        check_points(period, bounds.points)
        now = question.now or 0.0
        starts = list(period.starts)
        ends = [*starts[1:], period.end]
        count = sum(end <= now for end in ends) if starts else 0
        self.ends = ends[:count]
        end = ends[count - 1] if count else period.start
        self.period, self.starts = period, starts[:count]
        self.is_complete = now >= period.end
        self.days = [day_of(at, period.zone) for at in self.starts] if width(period.interval) <= DAY else None
        looked = len(self.starts) if self.days is None else len(set(self.days))
        if looked > MOST_DAYS:
            what = "buckets" if self.days is None else "days"
            raise TooManyPoints(f"the period has {looked} {what}, the limit is {MOST_DAYS}", "period")
        self.interval, stored = series.stored_of(period, store.zone(question.account))
        self.stored = [at for at in stored if at < end]

    def near(self, bucket: int) -> tuple[int, int]:
        """Epoch seconds: the begin of the bucket before it, and its own end."""
        return self.starts[max(0, bucket - 1)], self.ends[bucket]

    def at(self, bucket: int | None) -> str | None:
        """When a bucket begins, in the zone that was asked."""
        if bucket is None:
            return None
        return datetime.fromtimestamp(self.starts[bucket], tz(self.period.zone)).isoformat()


class _Reading:
    """Amounts of paths in closed buckets: integers in millionths of the units of each form, by path and bucket."""

    def __init__(self, store: Counters, question: Question, closed: _Closed, bounds: Bounds):
        self.store, self.question, self.closed, self.bounds = store, question, closed, bounds

    def below(
        self, dimensions: Sequence[Path] | None, depth: int, forms: Sequence[_Amount]
    ) -> tuple[list[Path], list[NDArray[Any]]]:
        """The root and so many levels below the dimensions."""
        asked = [(ROOT, depth + 1)] if dimensions is None else [(ROOT, 0), *((path, depth) for path in dimensions)]
        metrics = _metrics(forms)
        rows: dict[Path, NDArray[Any]] = {}
        for path, levels in dict.fromkeys(asked):
            paths, cells = self._read(path, levels, metrics)
            rows |= dict(zip(paths, cells, strict=True))
            if len(rows) > self.most(metrics):
                raise _too_many(self.most(metrics))
        every = np.stack(list(rows.values()))
        return list(rows), [_sum(every, metrics, form) for form in forms]

    def _read(self, path: Path, levels: int, metrics: Sequence[str]) -> tuple[list[Path], NDArray[Any]]:
        asked, closed = self.question, self.closed
        if not closed.starts:
            return [path], np.zeros((1, len(metrics), 0), np.int64)
        most = self.most(metrics)
        groups = groups_of(closed.stored, closed.starts)
        try:
            return self.store.read_below(
                asked.account, asked.pk, path, min(levels, self.bounds.levels), metrics, closed.interval, groups, most
            )
        except TooManyPoints:
            raise _too_many(most) from None

    def most(self, metrics: Sequence[str]) -> int:
        """How many series may be read."""
        cells = READ_FACTOR * self.bounds.answer_points
        return min(MOST_SERIES, cells // max(1, len(metrics) * len(self.closed.starts)))

    def of(self, paths: Sequence[Path], forms: Sequence[_Amount]) -> list[NDArray[Any]]:
        """Of some paths, in their order."""
        asked, closed, metrics = self.question, self.closed, _metrics(forms)
        firsts = np.searchsorted(np.array(closed.stored), np.array(closed.starts))
        size = max(1, CELLS_A_READ // (len(metrics) * len(closed.stored)))
        found = []
        for first in range(0, len(paths), size):
            some = paths[first : first + size]
            cells = self.store.read(asked.account, asked.pk, some, metrics, closed.interval, closed.stored)
            found.append(np.add.reduceat(roomy(cells, len(closed.stored)), firsts, axis=-1))
        every = np.concatenate(found)
        return [_sum(every, metrics, form) for form in forms]


def _metrics(forms: Sequence[_Amount]) -> list[str]:
    return list(dict.fromkeys(name for form in forms for name in form.times))


def _sum(cells: NDArray[Any], metrics: Sequence[str], form: _Amount) -> NDArray[Any]:
    """cells: by path, metric and bucket; hits are whole, other metrics in millionths."""
    times = {name: factor * (MILLION if name == "hits" else 1) for name, factor in form.times.items()}
    largest = sum(map(abs, times.values()))
    cells = roomy(cells, largest) if largest < 2**62 else cells.astype(object)
    out = np.zeros_like(cells[:, 0])
    for name, factor in times.items():
        out = out + cells[:, metrics.index(name)] * factor
    return out


def _too_many(most: int) -> TooManyPoints:
    return TooManyPoints(
        f"there are more than {most} series, the limit is {most} over this period: "
        "name dimensions, or ask for a smaller depth or a shorter period",
        "dimensions",
    )


# As JSON


def said(shifted: Shifted, now: float, limit: int) -> dict[str, Any]:
    """As JSON holds it."""
    found = shifted.found
    return {
        "as_of": iso(int(now)),
        "complete": shifted.buckets.is_complete,
        "baseline": found.baseline,
        "tested": {"series": found.series, "splits": found.splits, "z": round(found.z, 2)},
        "left_out": shifted.left_out,
        "shifts": [_shift_said(shifted, each) for each in (found.found[:limit] if limit else found.found)],
    }


def _shift_said(shifted: Shifted, shift: Shift) -> dict[str, Any]:
    above, below = shifted.above, shifted.below
    unit = above.unit / (below.unit if below else 1)
    of = below.own if below else Fraction(1)
    cost = {above.name: as_number(shift.cost * above.own)}
    cost |= {each.name: as_number(shift.costs[each.name] * each.own) for each in shifted.costs}
    return {
        "path": list(shift.path),
        "at": shifted.buckets.at(shift.start),
        "before": _times(shift.before, unit),
        "now": _times(shift.now, unit),
        "n": {"before": _times(shift.n[0], of), "now": _times(shift.n[1], of)},
        "z": round(shift.z, 2),
        "ongoing": shift.ongoing,
        "until": shifted.buckets.at(shift.end),
        "cost": cost,
    }


def add_notes(store: Counters, question: Question, shifted: Shifted, told: Sequence[dict[str, Any]]) -> None:
    """To each shift that is told the notes of people near its begin: from one bucket before it to one after it."""
    if not told:
        return
    shifts, closed = shifted.found.found[: len(told)], shifted.buckets
    windows = [closed.near(shift.start) for shift in shifts]
    since, until = min(window[0] for window in windows), max(window[1] for window in windows)
    found = about(store.notes_between(question.account, since * 1000, until * 1000), question.pk)
    for row, shift, window in zip(told, shifts, windows, strict=True):
        row["notes"] = near(found, closed.starts[shift.start], *window)


def _times(value: Fraction | None, unit: Fraction) -> int | float | None:
    return as_number(None if value is None else value * unit)

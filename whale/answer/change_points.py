"""Which values of dimensions broke away, when, how sure that is, and what it cost. Pure.

Each series is compared with itself: every window of buckets that may be a shift is set against the buckets outside of it. The window
that stands out most counts, if each of several witnesses says so, beyond a threshold that is corrected for all series and windows:

    a count    on the scale of roots, beside a straight line: more than Poisson counts do; more than this series usually does;
               and the same on the scale of logarithms
    a ratio    more than Poisson or binomial counts do (the scan statistic); and more than this series usually does
    both       at the edge the level jumps by far more than it moves elsewhere

Where weeks are visible a bucket is compared with the same weekdays. Buckets finer than a day are looked at by whole days, and the edge is
then found among them. Of a chain of values only the deepest one is told whose shift the others share, and of two dimensions not the one
that only has its even share of the other's shift.

Why so, and how often it is wrong: docs/shifts.md. Costs and levels are exact, in fractions; only the choice is made in floats.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hail.hit import MILLION
from whale.dimension import ROOT, Path, path_text
from whale.errors import TooManyPoints
from whale.formula import Floats

MOST_SERIES = 100_000
FALSE_ALARMS = 0.01  # calls in which anything is told though nothing changed, at most
WEEK = 7
BASELINE, RISE, FALL, RETURN = 7, 7, 3, 3
"""Buckets, or days, at least: before a shift, of a rise, of a fall, and after one that ended. A rise that ended is a burst."""
ALL_WINDOWS = 40  # buckets up to which every window is tried; of more, lengths and steps grow
LONGER, STEPS = 1.25, 8  # of lengths; and steps in a length
CHUNK = 2_000_000  # windows of series that are tried at once
WEEKS_VISIBLE, LEAST_WEEKS = (
    3.0,
    0.3,
)  # deviations beyond chance, and as a share, that the variance between weekdays is more
JUMP, JUMP_BUCKETS = 4.0, 3  # times what the level usually moves by; and buckets on each side of an edge
SPARSE = 0.9  # of the baseline's buckets must have an amount that is no count
EXPLAINS, APART, NEARLY_ALL = 0.8, 3.0, 0.95
"""Of its parent's cost that children make up; deviations that a child is off its siblings; of its parent: then it is the parent."""
LEAST_BOX = 0.1  # of a window that the base does not explain, in buckets: a shorter one tells nothing
BESIDE_CURVE = 0.9  # of the threshold, that a count must be off a curve of the third degree
UNEVEN = 1.0  # variance of a rate, as a share of its square, at which a day counts about as much as any other
BESIDE_LINE = 0.7  # of the threshold, that a ratio must be off a straight line
NEAR = 0.6  # of the threshold, by a quick look: then it is looked at closely
ROOTS, LOGS = "roots", "logs"

Cells = NDArray[Any]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shift:
    """One value that broke away. start, end: bucket numbers, half-open; end None: it goes on.

    before: what the same weekdays had before, now: since; a ratio, or the mean of a bucket. None: no denominator.
    n: of a ratio the denominator before and since, of a count the numbers of buckets.  z: negative for a fall.
    cost: counted since, less what was to be expected; of the metric itself, and `costs` of others by name.
    """

    row: int
    path: Path
    start: int
    end: int | None
    before: Fraction | None
    now: Fraction | None
    n: tuple[Fraction, Fraction]
    z: float
    cost: Fraction
    costs: Mapping[str, Fraction] = field(default_factory=dict)

    @property
    def ongoing(self) -> bool:
        return self.end is None


@dataclass(frozen=True, slots=True)
class Shifts:
    """baseline: weekday or flat.  series, splits: how many were tested, and windows of each.  z: from which on one is told.

    found: most costly first, by the first of `costs`, or by the metric itself.
    """

    baseline: str
    series: int
    splits: int
    z: float
    found: list[Shift]


def shifts(
    paths: Sequence[Path],
    above: Cells,
    below: Cells | None = None,
    costs: Callable[[Sequence[Path]], Mapping[str, Cells]] | None = None,
    days: Sequence[int] | None = None,
) -> Shifts:
    """What broke away in closed buckets.

    above, below: numerator and denominator by path and bucket, integers in millionths; no denominator: a count.
    costs: other metrics alike, of some paths; it is asked once, of those that are told.
    days: the ordinal of each bucket's local day; None: buckets are longer than a day.
    Paths that are the name of a dimension (of length 1, with others below) are not tested: they are as their parent.
    Raises TooManyPoints.  Takes about 100 ms for 10,000 series of 30 buckets.
    """
    if len(paths) > MOST_SERIES:
        raise TooManyPoints(f"there are {len(paths)} series, the limit is {MOST_SERIES}", "dimensions")
    calendar = _Calendar(above.shape[1], days)
    names = {path[0] for path in paths if len(path) > 1}
    counted = np.any(above != 0, axis=1) if below is None else np.any(below != 0, axis=1) & np.all(below >= 0, axis=1)
    tested = np.flatnonzero(counted & np.array([len(p) != 1 or p[0] not in names for p in paths], bool))
    tries = _windows(calendar.count)
    if not len(tested) or not len(tries.starts):
        return Shifts("flat", len(tested), len(tries.starts), 0.0, [])
    limit = -NormalDist().inv_cdf(FALSE_ALARMS / (2 * len(tested) * len(tries.starts)))
    whole = _whole(above[tested])
    of_days = [calendar.folded(cells[tested]) for cells in ([above] if below is None else [above, below])]
    model: _Counts | _Ratios
    if below is None:
        model = _Counts(of_days[0], whole, calendar)
    else:
        model = _Ratios(of_days[0], of_days[1], whole & _whole(below[tested]), calendar)
    rows, chosen, z = model.found(tries, limit)
    exact = _Exact(above, below, calendar.slots(model.by_weekday))
    seen = []
    for row, (first, last), sure in zip(tested[rows].tolist(), chosen.tolist(), z.tolist(), strict=True):
        if sure > 0 and not (last == calendar.count and last - first >= RISE):
            continue
        start, end = calendar.edges(first, last, *exact.floats(row))
        seen.append(exact.shift(row, paths[row], start, end, sure))
    told = _deepest(seen, exact)
    if ROOT in paths:
        told = _without_echoes(told, exact, paths.index(ROOT))
    if costs and told:
        told = exact.priced(told, costs([shift.path for shift in told]))
    told.sort(
        key=lambda shift: (-abs(next(iter(shift.costs.values()), shift.cost)), -abs(shift.z), path_text(shift.path))
    )
    return Shifts("weekday" if model.by_weekday else "flat", len(tested), len(tries.starts), limit, told)


def _whole(cells: Cells) -> Bools:
    """Whether all are counts of something: whole, and none below 0."""
    found: Bools = ((cells >= 0) & (cells % MILLION == 0)).all(axis=1)
    return found


# Buckets


class _Calendar:
    """Buckets, and the days that they make: those that are looked at. Days that lack hours at either end are left out."""

    def __init__(self, buckets: int, days: Sequence[int] | None):
        self.buckets = buckets
        ordinals = np.arange(buckets) if days is None else np.array(days, np.int64)
        firsts = np.flatnonzero(np.diff(ordinals, prepend=ordinals[:1] - 1))
        sizes = np.diff(firsts, append=buckets)
        most = int(sizes.max(initial=0))
        first, last = 0, len(firsts)
        while last > first and sizes[last - 1] < 0.9 * most:
            last -= 1
        while first < last and sizes[first] < 0.9 * most:
            first += 1
        self.firsts: Ints = np.append(firsts, buckets)[first : last + 1]
        self.count = last - first
        self.finer = most > 1
        self.weekdays: Ints | None = None if days is None else ordinals[self.firsts[:-1]] % WEEK
        self._weekday = None if days is None else ordinals % WEEK
        self._of_day = np.arange(buckets) - np.repeat(firsts, sizes)

    def folded(self, cells: Cells) -> Floats:
        """Sums of days."""
        some = cells[:, self.firsts[0] : self.firsts[-1]].astype(np.float64) / MILLION
        return np.add.reduceat(some, self.firsts[:-1] - self.firsts[0], axis=1) if self.finer else some

    def slots(self, by_weekday: bool) -> Ints:
        """For each bucket a number that those share which are compared: of the same time of day, and of the same weekday."""
        weekday = self._weekday if by_weekday and self._weekday is not None else np.zeros(self.buckets, np.int64)
        return np.unique(np.stack([weekday, self._of_day]), axis=1, return_inverse=True)[1].reshape(-1)

    def edges(self, first: int, last: int, x: Floats, expected: Floats) -> tuple[int, int | None]:
        """The buckets that a shift of days begins and ends with. expected: by slot, in any unit."""
        start, end = int(self.firsts[first]), int(self.firsts[last])
        if self.finer:
            week = slice(int(self.firsts[max(0, first - WEEK)]), int(self.firsts[max(0, first - 1)]))
            inside = slice(int(self.firsts[min(first + 1, last - 1)]), int(self.firsts[last - 1]))
            usual, level = _over(x[week], expected[week]), _over(x[inside], expected[inside])
            gain = _likelier(x, expected, usual, level)
            from_, to = int(self.firsts[max(0, first - 1)]), int(self.firsts[min(first + 1, last)])
            start = from_ + int(np.append(gain[from_:to][::-1].cumsum()[::-1], 0.0).argmax())
            if last < self.count:
                from_, to = int(self.firsts[last - 1]), int(self.firsts[min(last + 1, self.count)])
                end = from_ + int(np.append(0.0, gain[from_:to].cumsum()).argmax())
        return start, None if last == self.count else end


def _over(x: Floats, expected: Floats) -> float:
    total = float(expected.sum())
    return float(x.sum()) / total if total else 0.0


def _likelier(x: Floats, expected: Floats, usual: float, level: float) -> Floats:
    """How much likelier each bucket is at this level than as usual: of Poisson counts, or of amounts that may be below 0."""
    least = 0.5 / (float(expected.sum()) + 1)
    if (x < 0).any() or usual <= 0:
        return (x - usual * expected) ** 2 - (x - level * expected) ** 2
    times = max(level, least) / max(usual, least)
    return x * math.log(times) - usual * expected * (times - 1)


@dataclass(frozen=True)
class _Windows:
    """What may be a shift: half-open windows. The first `falls` of them may only be falls."""

    starts: Ints
    ends: Ints
    falls: int
    step: Ints  # up to how many buckets the edges may be off

    @property
    def pairs(self) -> Ints:
        return np.stack([self.starts, self.ends], axis=1)


@lru_cache(maxsize=64)
def _windows(buckets: int) -> _Windows:
    lengths = list(range(FALL, buckets))
    if buckets > ALL_WINDOWS:
        lengths = sorted({round(FALL * LONGER**power) for power in range(64) if FALL * LONGER**power < buckets})
    found: list[tuple[int, int, int]] = []
    for length in lengths:
        step = max(1, length // STEPS) if buckets > ALL_WINDOWS else 1
        found += [(i, i + length, step - 1) for i in range(BASELINE, buckets - length - RETURN + 1, step)]
    falls = found + [(i, buckets, 0) for i in range(max(BASELINE, buckets - RISE + 1), buckets - FALL + 1)]
    either = [(i, buckets, 0) for i in range(BASELINE, buckets - RISE + 1)]
    columns = np.array(falls + either, np.int64).reshape(-1, 3).T
    return _Windows(columns[0], columns[1], len(falls), columns[2])


def _best(signed: Floats, falls: int) -> tuple[Ints, Floats]:
    """Of each row the column that stands out most, and by how much. The first `falls` columns count below 0 only."""
    size = np.abs(signed)
    size[:, :falls] = -signed[:, :falls]
    at = size.argmax(axis=1)
    return at, signed[np.arange(len(signed)), at]


# Witnesses


def normal(t: Floats, freedom: Floats | float) -> Floats:
    """The normal deviate that is as rare as Student's t.  Source: Wallace, Annals of Mathematical Statistics, 1959."""
    found: Floats = np.sign(t) * (8 * freedom + 1) / (8 * freedom + 3) * np.sqrt(freedom * np.log1p(t * t / freedom))
    return found


def _weeks_visible(y: Floats, calendar: "_Calendar") -> bool:
    """Whether weekdays differ: by more than days of the same weekday do, beyond chance. y: with noise that is even.

    Each day is set against the week around it, so that a level that moved does not hide them.
    """
    if calendar.weekdays is None or calendar.count < 3 * WEEK:
        return False
    sums = np.concatenate([np.zeros((len(y), 1)), y.cumsum(axis=1)], axis=1)
    half = WEEK // 2
    off = y[:, half : calendar.count - half] - (sums[:, WEEK:] - sums[:, :-WEEK]) / WEEK
    weekdays = calendar.weekdays[half : calendar.count - half]
    squares = (off**2).sum(axis=1)
    between = sum(off[:, some].sum(axis=1) ** 2 / some.sum() for some in (weekdays == day for day in range(WEEK)))
    total, explained = float(squares.sum()), float(np.sum(between))
    freedom = len(weekdays) * (WEEK - 1) / WEEK - (WEEK - 1)
    if total <= explained or not explained:
        return explained > 0
    series = total**2 / float((squares**2).sum())
    times = explained / (WEEK - 1) / ((total - explained) / freedom)
    return times > 1 + max(LEAST_WEEKS, WEEKS_VISIBLE / math.sqrt(series) * (1 + (WEEK - 1) / freedom))


def _jumps(contrasts: Floats, start: int, end: int) -> bool:
    """Whether the level jumps at the start by far more than elsewhere. contrasts: of neighbouring stretches, of variance 1 by chance."""
    places = np.arange(len(contrasts)) + JUMP_BUCKETS
    elsewhere = (
        (np.abs(places - start) >= JUMP_BUCKETS) & (np.abs(places - end) >= JUMP_BUCKETS) & np.isfinite(contrasts)
    )
    here = contrasts[start - JUMP_BUCKETS]
    if not np.isfinite(here) or not elsewhere.any():
        return True
    usual = max(0.0, float((contrasts[elsewhere] ** 2).mean()) - 1)
    return abs(float(here)) >= JUMP * math.sqrt(usual)


def _sides(x: Floats) -> tuple[Floats, Floats]:
    """Sums of the stretches of buckets before and after each place that has both."""
    sums = np.append(0.0, x.cumsum())
    stretches = sums[JUMP_BUCKETS:] - sums[:-JUMP_BUCKETS]
    return stretches[:-JUMP_BUCKETS], stretches[JUMP_BUCKETS:]


def _sure(u: Floats, squares: Floats, freedom: int, floor: Bools) -> Floats:
    """Deviations of what a window explains, by the noise that it leaves; by noise of 1, if that is more and there is a floor."""
    if freedom < 1:
        return np.zeros_like(u)
    left = np.maximum(squares - u * u, 1e-9 * squares + 1e-300)
    t = normal(u / np.sqrt(left / freedom), freedom)
    return np.where(floor & (np.abs(u) < np.abs(t)), u, t)


class _Counts:
    """Least squares on a scale where noise is even, beside a straight line and, where weeks are visible, weekdays."""

    def __init__(self, x: Floats, whole: Bools, calendar: _Calendar):
        self.x, self.whole = x, whole
        self.signed: Bools = np.any(x < 0, axis=1)
        size = np.abs(x).mean(axis=1, keepdims=True)
        self.unit = np.where(whole[:, None], 1.0, np.where(size > 0, size, 1.0))
        self.y = self._scaled(np.arange(len(x)), ROOTS)
        self.weekdays = calendar.weekdays
        self.by_weekday = _weeks_visible(self.y, calendar)
        self.base, self.bent = (_base(x.shape[1], self.weekdays if self.by_weekday else None, n) for n in (1, 3))

    def _scaled(self, rows: Ints, scale: str) -> Floats:
        """Anscombe's roots of counts have variance 1; amounts that may be below 0 stay as they are."""
        x = self.x[rows] / self.unit[rows]
        if scale == LOGS:
            some = np.where(self.whole[rows, None], 1.0, 0.01)
            return np.where(self.signed[rows, None], x, np.log(np.maximum(x, 0) + some))
        some = np.where(self.whole[rows, None], 0.375, 0.0)
        return np.where(self.signed[rows, None], x, 2 * np.sqrt(np.maximum(x, 0) + some))

    def found(self, tries: _Windows, limit: float) -> tuple[Ints, Ints, Floats]:
        """Rows that have a shift, its windows, and how sure they are."""
        at, u = np.zeros(len(self.x), np.int64), np.zeros(len(self.x))
        boxes = self._boxes(tries.starts, tries.ends)
        chunk = max(1, CHUNK // len(tries.starts))
        for first in range(0, len(self.x), chunk):
            some = slice(first, first + chunk)
            at[some], u[some] = _best(self.y[some] @ boxes, tries.falls)
        rest = self.y - (self.y @ self.base) @ self.base.T
        z = _sure(u, (rest**2).sum(axis=1), self.x.shape[1] - self.base.shape[1] - 1, self.whole)
        rows: list[int] = []
        windows: list[tuple[int, int]] = []
        sure: list[float] = []
        for row in np.flatnonzero(np.abs(z) >= NEAR * limit).tolist():
            start, end = self._nearer(row, tries, int(at[row]))
            weakest = self._weakest(row, start, end)
            if abs(weakest) >= limit and self._stands(row, start, end):
                rows.append(row)
                windows.append((start, end))
                sure.append(weakest)
        return np.array(rows, np.int64), np.array(windows, np.int64).reshape(-1, 2), np.array(sure)

    def _boxes(self, starts: Ints, ends: Ints) -> Floats:
        """Windows as columns, less what the base explains, each of length 1."""
        places = np.arange(self.x.shape[1])[:, None]
        boxes = ((places >= starts) & (places < ends)).astype(np.float64)
        boxes -= self.base @ (self.base.T @ boxes)
        size = np.sqrt((boxes**2).sum(axis=0))
        return np.where(size > LEAST_BOX, boxes / np.maximum(size, LEAST_BOX), 0.0)

    def _nearer(self, row: int, tries: _Windows, at: int) -> tuple[int, int]:
        """The best of the windows beside one that was tried."""
        start, end, step = int(tries.starts[at]), int(tries.ends[at]), int(tries.step[at])
        if not step:
            return start, end
        buckets = self.x.shape[1]
        pairs = [
            (i, j)
            for i in range(max(BASELINE, start - step), start + step + 1)
            for j in range(end - step, min(buckets - RETURN, end + step) + 1)
            if j - i >= FALL
        ]
        starts, ends = np.array(pairs, np.int64).T
        signed = self.y[row : row + 1] @ self._boxes(starts, ends)
        return pairs[int(np.abs(signed[0]).argmax())]

    def _weakest(self, row: int, start: int, end: int) -> float:
        """The least that a witness says; 0 where they do not agree, or where a curve explains it."""
        inside = np.zeros(self.x.shape[1], bool)
        inside[start:end] = True
        roots, logs = (self._scaled(np.array([row]), scale)[0] for scale in (ROOTS, LOGS))
        # A break takes its share of each weekday, so on the scale of roots it is smaller where the weekday is.
        shape = self._week(roots, inside) if self.by_weekday and not self.signed[row] else np.ones(len(roots))
        floor = bool(self.whole[row])
        found = [
            self._beside(roots, shape, inside, self.base, floor),
            self._beside(logs, np.ones(len(logs)), inside, self.base, False),
            self._beside(roots, shape, inside, self.bent, floor) / BESIDE_CURVE,
        ]
        return min(found, key=abs) if min(found) * max(found) > 0 else 0.0

    def _beside(self, y: Floats, shape: Floats, inside: Bools, base: Floats, floor: bool) -> float:
        """How sure a window is beside a base, both in this shape. floor: noise is at least 1."""
        base = np.linalg.qr(shape[:, None] * base)[0]
        box = shape * inside
        box -= base @ (base.T @ box)
        size = float(np.sqrt(box @ box))
        if size < LEAST_BOX:
            return 0.0
        rest = y - base @ (base.T @ y)
        return float(_sure(np.array(y @ box / size), rest @ rest, len(y) - base.shape[1] - 1, np.array(floor)))

    def _week(self, y: Floats, inside: Bools) -> Floats:
        """For each bucket how large its weekday is outside of a window."""
        assert self.weekdays is not None
        found = np.ones(len(y))
        for day in range(WEEK):
            some = self.weekdays == day
            found[some] = max(float(y[some & ~inside].mean()) if (some & ~inside).any() else 0.0, 1e-3)
        return found / found.mean()

    def _stands(self, row: int, start: int, end: int) -> bool:
        """Whether it does so as a shift, not by a curve, and not where most buckets are empty and tell no noise."""
        x = self.x[row]
        if not self.whole[row] and (np.delete(x, np.s_[start:end]) != 0).mean() < SPARSE:
            return False
        y, noise = self.y[row], 1.0 if self.whole[row] else 1e-9
        if self.by_weekday and not self.signed[row]:
            inside = np.zeros(len(y), bool)
            inside[start:end] = True
            week = self._week(y, inside)
            y, noise = y / week, noise * float((1 / week**2).mean())
        before, after = _sides(y)
        return _jumps((after - before) / math.sqrt(2 * JUMP_BUCKETS * noise), start, end)


@lru_cache(maxsize=16)
def _base_of(buckets: int, weekdays: tuple[int, ...], degree: int) -> Floats:
    at = np.linspace(-1, 1, buckets)
    columns = [at**power for power in range(degree + 1)]
    columns += [(np.array(weekdays) == day).astype(np.float64) for day in sorted(set(weekdays))[1:]]
    return np.linalg.qr(np.stack(columns, axis=1))[0]


def _base(buckets: int, weekdays: Ints | None, degree: int = 1) -> Floats:
    """What is no shift: a straight line, or a curve of this degree, and weekdays; as columns that are orthonormal."""
    return _base_of(buckets, () if weekdays is None else tuple(weekdays.tolist()), degree)


class _Ratios:
    """The scan statistic: what a window has beside what its denominator leads one to expect."""

    def __init__(self, x: Floats, d: Floats, whole: Bools, calendar: _Calendar):
        self.x, self.d = x, d
        total = d.sum(axis=1)
        rate = x.sum(axis=1) / total
        # Of a rate near 1 it is the failures that are few.
        is_rate = whole & (x <= d).all(axis=1)
        self.turned: Bools = is_rate & (rate > 0.5)
        self.x = x = np.where(self.turned[:, None], d - x, x)
        self.rate = rate = np.where(self.turned, 1 - rate, rate)
        self.whole, self.fair = whole, np.where(is_rate, np.maximum(1 - rate, 1e-9), 1.0)
        self.signed: Bools = np.any(x < 0, axis=1)
        self.weekdays = calendar.weekdays
        self.expected = rate[:, None] * d
        # Variance goes with the size of amounts, which may cancel out.
        self.size = np.where(self.signed, np.abs(x).sum(axis=1) / total, rate)
        root = np.sqrt(self.size[:, None] * d)
        even = np.where(root > 1e-6, (x - self.expected) / np.maximum(root, 1e-6), 0.0) / np.sqrt(self.fair[:, None])
        self.by_weekday = _weeks_visible(even, calendar)
        if self.by_weekday and self.weekdays is not None:
            self.expected = self.expected * _by_weekday(x, self.expected, self.weekdays)
        self.weight = np.where(self.signed[:, None], self.size[:, None] * d, self.expected)

    def found(self, tries: _Windows, limit: float) -> tuple[Ints, Ints, Floats]:
        """Rows that have a shift, its windows, and how sure they are."""
        places = np.arange(self.x.shape[1])[:, None]
        inside = ((places >= tries.starts) & (places < tries.ends)).astype(np.float32)
        scale = np.sqrt(np.maximum(self.weight.sum(axis=1), 1e-300))[:, None]
        off = ((self.x - self.expected) / scale).astype(np.float32)
        share = (self.weight / scale**2).astype(np.float32)
        rows: list[int] = []
        windows: list[tuple[int, int]] = []
        sure: list[float] = []
        squares = (off.astype(np.float64) ** 2 / np.where(share > 0, share, np.inf)).sum(axis=1)
        freedom = max(1, self.x.shape[1] - 2 - 6 * self.by_weekday)
        chunk = max(1, CHUNK // len(tries.starts))
        for first in range(0, len(self.x), chunk):
            some = slice(first, first + chunk)
            of = share[some] @ inside
            of *= 1 - of
            signed = off[some] @ inside
            signed /= np.sqrt(np.maximum(of, 1e-6, out=of), out=of)
            turned = self.turned[some]
            signed[turned] *= -1
            at, u = _best(signed, tries.falls)
            left = np.maximum(squares[some] - u * u, 1e-9 * squares[some] + 1e-300) / freedom
            near = np.abs(normal(u / np.sqrt(left), freedom)) >= NEAR * limit
            near &= ~self.whole[some] | (np.abs(u) / np.sqrt(self.fair[some]) >= NEAR * limit)
            for row in np.flatnonzero(near).tolist():
                start, end = self._nearer(first + row, tries, int(at[row]))
                z = self._weakest(first + row, start, end, limit)
                if abs(z) >= limit and self._stands(first + row, start, end):
                    rows.append(first + row)
                    windows.append((start, end))
                    sure.append(z)
        return np.array(rows, np.int64), np.array(windows, np.int64).reshape(-1, 2), np.array(sure)

    def _nearer(self, row: int, tries: _Windows, at: int) -> tuple[int, int]:
        start, end, step = int(tries.starts[at]), int(tries.ends[at]), int(tries.step[at])
        if not step:
            return start, end
        off, of = (np.append(0.0, each.cumsum()) for each in (self.x[row] - self.expected[row], self.weight[row]))
        pairs = [
            (i, j)
            for i in range(max(BASELINE, start - step), start + step + 1)
            for j in range(end - step, min(self.x.shape[1] - RETURN, end + step) + 1)
            if j - i >= FALL
        ]
        starts, ends = np.array(pairs, np.int64).T
        share = np.clip((of[ends] - of[starts]) / max(of[-1], 1e-300), 1e-6, 1 - 1e-6)
        best = int(((off[ends] - off[starts]) ** 2 / (share * (1 - share))).argmax())
        return pairs[best]

    def _weakest(self, row: int, start: int, end: int, limit: float) -> float:
        """The least that a witness says; 0 where there is too little, or where a straight line explains it."""
        x = self.x[row]
        inside = np.zeros(len(x), bool)
        inside[start:end] = True
        if not self._is_enough(row, start, inside):
            return 0.0
        weekly = np.ones(len(x))
        if self.by_weekday and self.weekdays is not None:
            weekly = _by_weekday(x[None, ~inside], self.d[row][None, ~inside], self.weekdays[~inside], self.weekdays)[0]
        d = self.d[row] * weekly
        got, of, got_else, of_else = (
            float(each) for each in (x[inside].sum(), d[inside].sum(), x[~inside].sum(), d[~inside].sum())
        )
        level, level_else = got / of, got_else / of_else
        times, freedom = self._dispersion(row, d, ((inside, level), (~inside, level_else)))
        if freedom < 1 or self._beside_line(row, inside) < BESIDE_LINE * limit:
            return 0.0
        counts = self.whole[row] and not self.signed[row]
        if counts:
            z = _scan(got, got_else, of / (of + of_else)) / math.sqrt(self.fair[row])
        else:
            z = abs(level - level_else) / math.sqrt(max(self.size[row], 1e-300) * (1 / of + 1 / of_else))
        more = max(0.0, times - 1) / max(float(self.weight[row][d > 0].mean()), 1e-300)
        said = [float(normal(np.array(z / math.sqrt(times)), float(freedom)))]
        said += [self._uneven(row, d, inside, each, freedom) for each in (more, UNEVEN)]
        if counts:
            said.append(z)
        return min(said) if (level > level_else) != self.turned[row] else -min(said)

    def _is_enough(self, row: int, start: int, inside: Bools) -> bool:
        """Whether there are denominators in enough buckets on each side, and amounts that are no counts in nearly all."""
        known = self.d[row] > 0
        if (known & ~inside).sum() < BASELINE or known[:start].sum() < FALL or (known & inside).sum() < FALL:
            return False
        return bool(self.whole[row] or (self.x[row][known & ~inside] != 0).mean() >= SPARSE)

    def _dispersion(self, row: int, d: Floats, sides: Sequence[tuple[Bools, float]]) -> tuple[float, int]:
        """How many times the variance of counts days have around the level of their side, and degrees of freedom."""
        freedom, squares = -6 * int(self.by_weekday), 0.0
        for side, level in sides:
            some = side & (d > 0)
            size = self.size[row] if self.signed[row] else level
            if size:
                squares += float(((self.x[row][some] - level * d[some]) ** 2 / (size * d[some])).sum())
                freedom += int(some.sum()) - 1
        return max(squares / max(freedom, 1) / self.fair[row], 1e-12), freedom

    def _uneven(self, row: int, d: Floats, inside: Bools, more: float, freedom: int) -> float:
        """The same as a difference of rates, where they vary from day to day however many there were.

        more: the variance of a rate beyond that of a count, as a share of its square.  Source: Williams, Applied Statistics, 1982.
        """
        weights = d / (1 + more * self.weight[row])
        some = 0.375 if self.whole[row] else 0.0
        of_all = np.where(d + 2 * some > 0, d + 2 * some, 1.0)  # a day without a denominator has no weight
        rates = (np.maximum(self.x[row], 0) + some) / of_all
        rates = self.x[row] / np.where(d > 0, d, 1.0) if self.signed[row] else np.sqrt(rates)
        left, means, of = 0.0, [], 0.0
        for side in (inside, ~inside):
            total = float(weights[side].sum())
            means.append(float((weights[side] * rates[side]).sum()) / total)
            left += float((weights[side] * (rates[side] - means[-1]) ** 2).sum())
            of += 1 / total
        deviation = math.sqrt(max(left / freedom * of, 1e-18 * (means[0] ** 2 + means[1] ** 2), 1e-300))
        return float(normal(np.array(abs(means[0] - means[1]) / deviation), float(freedom)))

    def _beside_line(self, row: int, inside: Bools) -> float:
        """How many deviations it is off a straight line."""
        root = np.sqrt(np.maximum(self.weight[row], 1e-12))
        base = np.linalg.qr(root[:, None] * _base(len(root), None))[0]
        box = root * inside
        box -= base @ (base.T @ box)
        y = (self.x[row] - self.expected[row]) / root
        return abs(float(y @ box)) / math.sqrt(max(float(box @ box) * self.fair[row], 1e-300))

    def _stands(self, row: int, start: int, end: int) -> bool:
        before, after = _sides(self.x[row])
        of_before, of_after = _sides(self.weight[row])
        with np.errstate(all="ignore"):
            contrasts = (after / of_after - before / of_before) / np.sqrt(
                self.fair[row] * (1 / of_before + 1 / of_after)
            )
        if not self.whole[row]:
            contrasts *= 1e5
        return _jumps(contrasts, start, end)


def _by_weekday(x: Floats, of: Floats, weekdays: Ints, all_: Ints | None = None) -> Floats:
    """For each bucket how many times its weekday is what the mean is; 1 where that is not known."""
    found = np.ones((len(x), len(weekdays if all_ is None else all_)))
    mean = x.sum(axis=1) / np.maximum(of.sum(axis=1), 1e-300)
    for day in range(WEEK):
        some = weekdays == day
        got, expected = x[:, some].sum(axis=1), of[:, some].sum(axis=1) * mean
        times = np.where((got > 0) & (expected > 0), got / np.where(expected > 0, expected, 1), 1.0)
        found[:, (weekdays if all_ is None else all_) == day] = times[:, None]
    return found


def _scan(inside: float, outside: float, share: float) -> float:
    """How many deviations a window's count is from its share of all: the signed root of the likelihood ratio, half a count nearer.

    Source: Kulldorff, A spatial scan statistic, Communications in Statistics, 1997; given the total, a count is binomial.
    """
    total = inside + outside
    middle = total * share
    got = min(inside + 0.5, middle) if inside < middle else max(inside - 0.5, middle)
    other = total - got
    found = 0.0
    for part, of in ((got, middle), (other, total - middle)):
        if part > 0:
            found += part * math.log(part / of)
    return math.sqrt(max(0.0, 2 * found))


# Levels and costs, exactly


class _Exact:
    """Sums of buckets as they were counted."""

    def __init__(self, above: Cells, below: Cells | None, slots: Ints):
        self.above, self.below, self.slots = above, below, slots

    def floats(self, row: int) -> tuple[Floats, Floats]:
        """A row, and what its denominator or, of a count, its slots lead one to expect."""
        x = self.above[row].astype(np.float64) / MILLION
        if self.below is not None:
            return x, self.below[row].astype(np.float64) / MILLION
        means = np.bincount(self.slots, x) / np.bincount(self.slots)
        return x, np.maximum(means[self.slots], 0.0)

    def shift(self, row: int, path: Path, start: int, end: int | None, z: float) -> Shift:
        above = self.above[row]
        of = None if self.below is None else self.below[row]
        since = slice(start, end)
        counted, expected = self.since(above, of, start, end)
        if of is None:
            before_n, now_n = Fraction(start), Fraction(len(above[since]))
        else:
            before_n, now_n = _sum(of[:start]), _sum(of[since])
        before, now = (part / now_n if now_n else None for part in (expected, counted))
        return Shift(row, path, start, end, before, now, (before_n, now_n), z, counted - expected)

    def priced(self, told: Sequence[Shift], costs: Mapping[str, Cells]) -> list[Shift]:
        """With their costs in other metrics. costs: a row for each of them."""
        found = []
        for at, shift in enumerate(told):
            of = None if self.below is None else self.below[shift.row]
            both = {name: self.since(cells[at], of, shift.start, shift.end) for name, cells in costs.items()}
            found.append(replace(shift, costs={name: counted - expected for name, (counted, expected) in both.items()}))
        return found

    def cells(self, rows: Sequence[int]) -> tuple[Cells, Cells | None]:
        """Sums of rows, numerators and denominators."""
        below = None if self.below is None else self.below[rows].astype(object).sum(axis=0)
        return self.above[rows].astype(object).sum(axis=0), below

    def since(self, amounts: Cells, of: Cells | None, start: int, end: int | None) -> tuple[Fraction, Fraction]:
        """What was counted since, and what was to be expected: by slot the rate before, times the denominator, or buckets, since."""
        weights = np.full(len(amounts), MILLION, object) if of is None else of
        expected, slots = Fraction(0), self.slots
        whole = _sum(weights[:start])
        mean = _sum(amounts[:start]) / whole if whole else Fraction(0)
        since = np.arange(len(amounts))[start:end]
        for slot in np.unique(slots[since]).tolist():
            earlier = np.flatnonzero(slots[:start] == slot)
            under = _sum(weights[earlier])
            rate = _sum(amounts[earlier]) / under if under else mean
            expected += rate * _sum(weights[since[slots[since] == slot]])
        return _sum(amounts[start:end]), expected


def _sum(cells: Cells) -> Fraction:
    return Fraction(sum(cells.tolist()), MILLION)


# Chains


def _deepest(seen: list[Shift], exact: _Exact) -> list[Shift]:
    """Of each chain those that broke away on their own: neither with the whole above them, nor by what is below them."""
    by_path = {shift.path: shift for shift in seen}
    told = {shift.path for shift in seen}
    below: dict[Path, list[Shift]] = {}
    for shift in sorted(seen, key=lambda shift: (-len(shift.path), path_text(shift.path))):
        own = below.get(shift.path, [])
        if _explained(shift, own, exact):
            told.discard(shift.path)
        ancestor = next((by_path[p] for p in _above(shift.path) if p in by_path and _together(shift, by_path[p])), None)
        if ancestor is None:
            continue
        if _apart(shift, ancestor, exact):
            passed = own if shift.path not in told else [shift]
            below.setdefault(ancestor.path, []).extend(passed)
        else:
            told.discard(shift.path)
            below.setdefault(ancestor.path, []).extend(own)
    return [shift for shift in seen if shift.path in told]


def _above(path: Path) -> list[Path]:
    return [path[:length] for length in range(len(path) - 1, -1, -1)]


def _together(one: Shift, other: Shift) -> bool:
    """Whether both moved the same way at the same time."""
    begun = max(one.start, other.start)
    return one.z * other.z > 0 and all(each.end is None or each.end > begun for each in (one, other))


def _move(counted: Fraction, expected: Fraction) -> float:
    return float(counted / expected - 1) if expected else 0.0


def _deviation(shift: Shift) -> float:
    """Of how far it moved, as a share: so many of them are its z."""
    return abs(_move(shift.now or Fraction(0), shift.before or Fraction(0)) / shift.z)


def _left_of(
    shift: Shift, without: Sequence[Shift], exact: _Exact, start: int, end: int | None
) -> tuple[Fraction, Fraction]:
    """What is counted, and to be expected, of a row without some below it."""
    rows = [each.row for each in without]
    above = exact.above[shift.row].astype(object) - exact.above[rows].astype(object).sum(axis=0)
    of = None
    if exact.below is not None:
        of = np.maximum(exact.below[shift.row].astype(object) - exact.below[rows].astype(object).sum(axis=0), 0)
    return exact.since(above, of, start, end)


def _apart(shift: Shift, ancestor: Shift, exact: _Exact) -> bool:
    """Whether it moved further than the rest of its ancestor, beyond chance; or is nearly all of it."""
    counted, expected = _left_of(ancestor, [shift], exact, shift.start, shift.end)
    mine = exact.since(
        exact.above[shift.row], None if exact.below is None else exact.below[shift.row], shift.start, shift.end
    )
    if expected <= 0 or expected <= (mine[1] + expected) * Fraction(1 - NEARLY_ALL):
        return True
    move, others = _move(*mine), _move(counted, expected)
    further = (move - others) * (1 if shift.z > 0 else -1)
    return further >= APART * math.hypot(_deviation(shift), _deviation(ancestor))


def _explained(shift: Shift, own: Sequence[Shift], exact: _Exact) -> bool:
    """Whether without those below it that broke away on their own, of any one dimension, it has not moved."""
    groups: dict[Path, list[Shift]] = {}
    for each in own:
        groups.setdefault(shift.path or each.path[:1], []).append(each)
    for some in groups.values():
        counted, expected = _left_of(shift, some, exact, shift.start, shift.end)
        if abs(counted - expected) <= abs(shift.cost) * Fraction(1 - EXPLAINS) or expected <= 0:
            return True
        if abs(_move(counted, expected)) < APART * _deviation(shift):
            return True
    return False


# Other dimensions


def _without_echoes(told: list[Shift], exact: _Exact, root: int) -> list[Shift]:
    """Those that are more than their even share of a shift in another dimension, in which values moved further.

    Whichever moved furthest of all stays, so what broke is told in one dimension at least.
    """
    tops: dict[str, list[Shift]] = {}
    paths = {shift.path for shift in told}
    for shift in told:
        name = shift.path[0] if shift.path else None
        if name is not None and paths.isdisjoint(_above(shift.path)):
            tops.setdefault(name, []).append(shift)
    return [
        shift
        for shift in told
        if not any(
            _is_echo(shift, [each for each in others if _together(shift, each)], exact, root)
            for name, others in tops.items()
            if shift.path and name != shift.path[0]
        )
    ]


def _is_echo(shift: Shift, others: Sequence[Shift], exact: _Exact, root: int) -> bool:
    """Whether it has not moved beyond its share of what `others` lack, where its share of that is its share of all."""
    if not others:
        return False
    counted, expected = exact.since(*exact.cells([each.row for each in others]), shift.start, shift.end)
    own, usual = exact.since(*exact.cells([shift.row]), shift.start, shift.end)
    whole = exact.since(*exact.cells([root]), shift.start, shift.end)[1]
    if usual <= 0 or whole <= 0 or abs(_move(counted, expected)) <= abs(_move(own, usual)):
        return False
    share = usual * (counted - expected) / whole
    return abs(_move(own - share, usual)) < APART * _deviation(shift)

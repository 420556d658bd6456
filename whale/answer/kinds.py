"""Metrics that are no sums, in an answer: distinct names, least, greatest, last, quantiles. Pure.

A bucket that is asked may be made of several stored ones, and a total is of all of them: names are united, extremes merged, bins added.
Not a number stands for what nobody can say: below the paths that are kept, or past a cap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hail.hit import MILLION
from hail.settings import DISTINCT, HOUR, QUANTILE
from whale.dimension import Path, Pk
from whale.errors import PeriodError, TooManyPoints
from whale.formula import Floats
from whale.metric import DISTINCT_KEPT, bins_of, is_narrow, quantiles, value_of
from whale.period import Interval
from whale.store.contract.counters import Counters

MOST_KEYS = 100_000  # sets of names, or values, that one metric of an answer may read
MOST_BINS = 10_000_000  # cells of bins


@dataclass(frozen=True)
class OtherMetrics:
    """What formulas ask of metrics that are no sums, for some paths.

    kinds: of a pk's metrics.  interval, stored: the buckets that answer; firsts: where among them each asked one begins.
    null: of a bucket where nothing was counted a least value, a last value or a quantile is unknown, not 0.
    now: epoch seconds; None: unknown.
    """

    store: Counters
    account: str
    pk: Pk
    paths: Sequence[Path]
    kinds: Mapping[str, str]
    interval: Interval
    stored: Sequence[int]
    firsts: Sequence[int]
    null: bool
    now: float | None = None
    _read: dict[tuple[str, bool], Any] = field(default_factory=dict)

    def numbers(self, metric: str, total: bool) -> Floats:
        """By path and bucket; or by path, of the whole range. Of a quantile metric: how many values."""
        kind = self.kinds[metric]
        if kind == DISTINCT:
            return self._distinct(metric, total)
        if kind == QUANTILE:
            found = np.array([counts.sum(axis=0) for _, counts in self._bins(metric, total)], np.float64)
            return self._narrow(found)
        return self._values(metric, kind, total)

    def quantile(self, metric: str, share: float, total: bool) -> Floats:
        """The value below which a share (0 to 1) of a quantile metric's values lies."""
        rows = []
        for values, counts in self._bins(metric, total):
            row = quantiles(values, counts, share) / MILLION
            if not self.null:
                row = np.where(counts.sum(axis=0) == 0, 0.0, row)
            rows.append(np.where(counts[np.isnan(values)].sum(axis=0) > 0, np.nan, row))
        return self._narrow(np.array(rows))

    def _narrow(self, found: Floats) -> Floats:
        found[[not is_narrow(path) for path in self.paths]] = np.nan
        return found

    def _groups(self, total: bool) -> list[Sequence[int]]:
        if total:
            return [self.stored]
        ends = [*self.firsts[1:], len(self.stored)]
        return [self.stored[first:end] for first, end in zip(self.firsts, ends, strict=True)]

    def _check(self, count: int, most: int) -> None:
        if count > most:
            raise TooManyPoints(
                f"{len(self.paths)} paths over {len(self.stored)} buckets read {count} places of one metric, the limit is "
                f"{most}: ask for fewer paths, by a wider interval, or shorten the range"
            )

    def _distinct(self, metric: str, total: bool) -> Floats:
        if self.interval not in DISTINCT_KEPT:
            raise PeriodError(
                f"{metric[:60]} is a distinct count, kept by hour, day and month only: ask by one of these"
            )
        kept = DISTINCT_KEPT[self.interval]
        oldest = self.stored[0] if len(self.stored) else 0
        if kept is not None and self.now is not None and oldest + HOUR + kept <= self.now:
            raise PeriodError(
                f"{metric[:60]} is a distinct count, kept by hour for {kept // 86_400:.0f} days: ask by day"
            )
        self._check(len(self.paths) * len(self.stored), MOST_KEYS)
        groups = self._groups(total)
        counts = self.store.read_distinct(self.account, self.pk, self.paths, metric, self.interval, groups)
        found = np.array(counts, np.float64).reshape(len(self.paths), len(groups))  # None becomes not a number
        return found[:, 0] if total else found

    def _values(self, metric: str, kind: str, total: bool) -> Floats:
        self._check(len(self.paths) * len(self.stored), MOST_KEYS)
        if (metric, False) not in self._read:
            read = self.store.read_values(self.account, self.pk, self.paths, metric, self.interval, self.stored)
            shape = len(self.paths), len(self.stored)
            self._read[metric, False] = np.array(read, np.float64).reshape(shape) / MILLION
        values: Floats = self._read[metric, False]
        found: Floats = np.full((len(self.paths), 1 if total else len(self.firsts)), np.nan)
        if len(self.stored):
            firsts = [0] if total else list(self.firsts)
            if kind == "last":
                places = np.where(np.isnan(values), -1, np.arange(len(self.stored)))
                latest = np.maximum.reduceat(places, firsts, axis=1)
                known = latest >= 0
                found[known] = np.take_along_axis(values, np.maximum(latest, 0), 1)[known]
            else:
                found = (np.fmin if kind == "min" else np.fmax).reduceat(values, firsts, axis=1)
        if not self.null:
            found = np.where(np.isnan(found), 0.0, found)
        return found[:, 0] if total else found

    def _bins(self, metric: str, total: bool) -> list[tuple[Floats, NDArray[np.int64]]]:
        """For each path the values that its bins stand for, and the counts by bin and bucket."""
        if (metric, total) not in self._read:
            names = self.store.bins(self.account, self.pk, self.paths, metric)
            count = sum(map(len, names))
            self._check(count * len(self.stored), MOST_BINS)
            below = [
                (*bins_of(path, metric), name) for path, some in zip(self.paths, names, strict=True) for name in some
            ]
            cells = self.store.read(self.account, self.pk, below, ["hits"], self.interval, self.stored)[:, 0]
            if total or not len(self.stored):
                cells = cells.sum(axis=1, keepdims=True)
            elif len(self.firsts) != len(self.stored):
                cells = np.add.reduceat(cells, list(self.firsts), axis=1)
            ends = np.cumsum([len(some) for some in names])
            parts = np.split(cells[:, 0] if total else cells, ends[:-1])
            self._read[metric, total] = [
                (np.array([value_of(name) for name in some]), part) for some, part in zip(names, parts, strict=True)
            ]
        found: list[tuple[Floats, NDArray[np.int64]]] = self._read[metric, total]
        return found

"""On which days something was first and last counted, read from buckets of months and then of days. Pure.

Of a metric those days are read that lie in its first two and its last two months. The second one counts where a month was set
without its days, or where the oldest days of the first one are no longer kept.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hail.hit import OLDEST_S
from hail.settings import DAY, DISTINCT, MONTH, QUANTILE
from whale.dimension import ROOT, Pk
from whale.metric import bins_of
from whale.period import Interval, day_of, day_start, month_start, next_start, starts
from whale.store.contract.counters import Counters

ENDS = 2
"""Months that are looked at from either end."""
MOST_DAYS = 10_000
"""Days that are read at once where no months are kept: the newest."""
Present = NDArray[np.bool_]


class Days(NamedTuple):
    """Where the first and the last day begin on which something was counted. Epoch seconds."""

    first: int
    last: int


class Calendar:
    """Which months and days there may be. kept: interval -> seconds, None for ever.  zone: the account's."""

    def __init__(self, kept: Mapping[Interval, float | None], now: float, zone: str):
        self._zone, self._now, self._has_days = zone, now, DAY in kept
        retention = kept.get(DAY)
        end = next_start(DAY, day_start(int(now), zone), zone)
        oldest = OLDEST_S if retention is None else int(max(OLDEST_S, now - retention))
        self._days = range(oldest, end)
        has_months = MONTH in kept and self._has_days and _is_as_long(kept[MONTH], retention)
        self.months = starts(MONTH, month_start(oldest, zone), end, zone) if has_months else ()

    def first_text(self, day: int, zone: str) -> str:
        """As `2026-11-19` in a zone. A day of the account lies in two of another zone: this is the first."""
        return _text(day, zone)

    def last_text(self, day: int, zone: str) -> str:
        """The last of these two; never a day that is ahead."""
        return _text(max(day, min(next_start(DAY, day, self._zone) - 1, int(self._now))), zone)

    def days_in(self, months: Iterable[int]) -> list[int]:
        """The days of some months, of those that may be kept; without months the newest days."""
        if not self._has_days:
            return []
        if not self.months:
            newest = max(self._days.start, self._days.stop - MOST_DAYS * DAY)
            return list(starts(DAY, day_start(newest, self._zone), self._days.stop, self._zone))
        spans = ((month, next_start(MONTH, month, self._zone)) for month in sorted(set(months)))
        return [
            day
            for first, end in spans
            for day in starts(DAY, first, end, self._zone)
            if day < self._days.stop and next_start(DAY, day, self._zone) > self._days.start
        ]


def _is_as_long(one: float | None, other: float | None) -> bool:
    """Of two retentions."""
    return one is None or (other is not None and one >= other)


def ends_of(months: Sequence[int], present: Present) -> list[int]:
    """The months at both ends of those in which something was counted."""
    some = np.flatnonzero(present)
    return [months[place] for place in {*some[:ENDS].tolist(), *some[-ENDS:].tolist()}]


def days_of(days: Sequence[int], present: Present) -> Days | None:
    some = np.flatnonzero(present)
    return Days(days[some[0]], days[some[-1]]) if some.size else None


def seen_metrics(
    store: Counters, account: str, pk: Pk, names: Sequence[str], kinds: Mapping[str, str], calendar: Calendar
) -> dict[str, Days]:
    """By metric of a pk, where any day of it is kept. A day on which a sum is 0 is none.

    Two reads of all sums. Two more, or four of a quantile, for each metric that is no sum, of months and days with hits.
    """
    sums = list(dict.fromkeys(["hits", *(name for name in names if name not in kinds)]))

    def of_sums(interval: Interval, buckets: Sequence[int]) -> dict[str, Present]:
        cells = store.read(account, pk, [ROOT], sums, interval, buckets)[0] if buckets else np.zeros((len(sums), 0))
        return dict(zip(sums, cells != 0, strict=True))

    months = of_sums(MONTH, calendar.months)
    days = calendar.days_in(month for present in months.values() for month in ends_of(calendar.months, present))
    by_day = of_sums(DAY, days)
    found = {name: days_of(days, by_day[name]) for name in sums if name in names}
    with_hits = _where(calendar.months, months["hits"])
    for name in names:
        if name in kinds:
            read = _reader_of(store, account, pk, name, kinds[name])
            some = _where(days, by_day["hits"])
            if calendar.months:
                some = calendar.days_in(ends_of(with_hits, read(MONTH, with_hits)))
            found[name] = days_of(some, read(DAY, some))
    return {name: each for name, each in found.items() if each}


def last_days(store: Counters, account: str, pks: Sequence[Pk], calendar: Calendar) -> list[int | None]:
    """Where the last day with hits begins, for each pk. Two reads of all."""

    def read(interval: Interval, buckets: Sequence[int]) -> Present:
        if not buckets:
            return np.zeros((len(pks), 0), bool)
        return store.read_many(account, pks, [ROOT], ["hits"], interval, buckets)[:, 0, 0] != 0

    months = [ends_of(calendar.months, present) for present in read(MONTH, calendar.months)]
    days = calendar.days_in(month for some in months for month in some)
    found = [days_of(days, present) for present in read(DAY, days)]
    return [each.last if each else None for each in found]


def _where(buckets: Sequence[int], present: Present) -> list[int]:
    return [bucket for bucket, is_there in zip(buckets, present.tolist(), strict=True) if is_there]


def _text(at: int, zone: str) -> str:
    return date.fromordinal(day_of(at, zone)).isoformat()


def _reader_of(
    store: Counters, account: str, pk: Pk, name: str, kind: str
) -> Callable[[Interval, Sequence[int]], Present]:
    """In which buckets there is anything of a metric that is no sum."""

    def read(interval: Interval, buckets: Sequence[int]) -> Present:
        if not buckets:
            return np.zeros(0, bool)
        if kind == DISTINCT:
            groups = [[bucket] for bucket in buckets]
            (counts,) = store.read_distinct(account, pk, [ROOT], name, interval, groups)
            return np.array([bool(count) for count in counts])
        if kind == QUANTILE:
            (bins,) = store.bins(account, pk, [ROOT], name)
            paths = [(*bins_of(ROOT, name), each) for each in bins]
            cells = store.read(account, pk, paths, ["hits"], interval, buckets)[:, 0]
            return np.asarray(cells.any(axis=0))
        (values,) = store.read_values(account, pk, [ROOT], name, interval, buckets)
        return np.array([value is not None for value in values])

    return read

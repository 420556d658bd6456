"""Dated cells: what whale/fasttrack.py rests on. The contract, and the reference store in plain dicts.

A cell is (pair, interval, start) -> signed 64-bit integer, where a pair is an id and a metric, the interval is DAY, WEEK (from
Monday) or MONTH, and the start is a date: no zone, no instant. Beside its cells a pair has a total of all time, and a count
without dates. Weeks, months and the total are cells of their own: setting a day may leave them as they were, so they need not
add up. What adds up are the days, and `sums` reads only those.

All that a call changes of one pair is changed at once, or not at all; of a sync each week and month. Details are records of a
user and an event, by microsecond.
"""

import threading
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Protocol

from whale.errors import CallerError
from whale.period import DAY, MONTH, WEEK, Interval

Pair = tuple[str, str]
"""An id and a metric."""
Values = tuple[int, int, int, int]
"""What the day, its week and its month hold, and the total."""
INT64 = range(-(2**63), 2**63)
MAX_AT_ONCE = 1000
"""Records of one user and event that may have the same time."""


class DatedStore(Protocol):
    """Writes raise CallerError where a cell would leave 64 bits: that pair is then as it was, the others are changed."""

    def add(self, pairs: Sequence[Pair], day: date, amount: int) -> list[Values]:
        """Adds to the day, its week, its month and the total of each pair; gives what they then hold."""
        ...

    def set_day(self, pairs: Sequence[Pair], day: date, value: int, sync: bool, total: bool) -> list[Values]:
        """Sets a day. sync: then sums its week and month up anew; total: the difference is added to the total."""
        ...

    def sync(self, pairs: Sequence[Pair], weeks: Sequence[date], months: Sequence[date]) -> None:
        """Sums these weeks and months up from their days; one without any day is removed."""
        ...

    def count(self, pair: Pair, amount: int) -> int:
        """Adds to the count without dates; gives what it then holds."""
        ...

    def series(self, pairs: Sequence[Pair], interval: Interval, starts: Sequence[date]) -> list[list[int]]:
        """The cells of each pair, 0 where there is none."""
        ...

    def sums(self, pairs: Sequence[Pair], first: date | None, last: date | None) -> list[int]:
        """The sum of each pair's days from first to last, both taken; None: all there are on that side."""
        ...

    def totals(self, pairs: Sequence[Pair]) -> list[int]:
        """Of each pair the total and the count without dates, together."""
        ...

    def add_record(self, event: str, user: str, at_us: int, record: str, most: int) -> None:
        """Keeps a record; where its time is taken by another one, under the next microsecond.

        Raises CallerError where the event has `most` records, or MAX_AT_ONCE have this time.
        """
        ...

    def records_of(self, event: str, user: str) -> dict[int, str]:
        """The records of a user, by microseconds since the epoch."""
        ...

    def records(self, event: str) -> dict[str, dict[int, str]]:
        """The records of all users of an event."""
        ...

    def clear(self) -> None:
        """Removes everything. What is written while it runs may stay or go."""
        ...


# The calendar


def start_of(interval: Interval, day: date) -> date:
    """The day itself, the Monday on or before it, or the first of its month."""
    if interval == WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == MONTH else day


def starts_from(interval: Interval, day: date, count: int) -> list[date]:
    """So many starts, from the one of the day's bucket on; raises OverflowError past the year 9999."""
    first = start_of(interval, day)
    if interval == MONTH:
        months = [first.year * 12 + first.month - 1 + i for i in range(count)]
        if months and months[-1] // 12 > date.max.year:
            raise OverflowError
        return [date(month // 12, month % 12 + 1, 1) for month in months]
    step = timedelta(days=7 if interval == WEEK else 1)
    return [first + i * step for i in range(count)]


def starts_between(interval: Interval, first: date, last: date) -> list[date]:
    """The starts of the buckets that hold a day from first to last."""
    begin, end = start_of(interval, first), start_of(interval, last)
    if interval == MONTH:
        return starts_from(MONTH, begin, (end.year - begin.year) * 12 + end.month - begin.month + 1)
    return starts_from(interval, begin, (end - begin).days // (7 if interval == WEEK else 1) + 1)


def days_of(interval: Interval, start: date) -> list[date]:
    """The days of a week or a month; the last week of 9999 is shorter."""
    ordinal = start.toordinal()
    if interval == WEEK:
        end = ordinal + 7
    else:
        end = date(start.year + start.month // 12, start.month % 12 + 1, 1).toordinal() if start < LAST_MONTH else END
    return [date.fromordinal(day) for day in range(ordinal, min(end, END))]


END = date.max.toordinal() + 1
LAST_MONTH = date.max.replace(day=1)


# Faults


def overflow(pair: Pair) -> CallerError:
    """Of a pair whose sums would not fit."""
    return CallerError(f"the sums of {ascii(pair)[:80]} would exceed 64 bits; nothing was changed")


def too_many_records(event: str, most: int) -> CallerError:
    return CallerError(f"{ascii(event)[:60]} has {most} records, the most that max_records allows", "event_id")


def too_many_at_once() -> CallerError:
    return CallerError(f"{MAX_AT_ONCE} records of this user and event already have this time", "now")


# The reference


class MemoryDated:
    """In one process. For tests, trials and reading."""

    def __init__(self) -> None:
        self._cells: dict[Pair, dict[tuple[Interval, date], int]] = {}
        self._totals: dict[Pair, int] = {}
        self._counts: dict[Pair, int] = {}
        self._records: dict[str, dict[str, dict[int, str]]] = {}
        self._lock = threading.Lock()

    def add(self, pairs: Sequence[Pair], day: date, amount: int) -> list[Values]:
        def added(cells: dict[tuple[Interval, date], int], total: int) -> int:
            for interval in (DAY, WEEK, MONTH):
                at = interval, start_of(interval, day)
                cells[at] = cells.get(at, 0) + amount
            return total + amount

        return self._change(pairs, day, added)

    def set_day(self, pairs: Sequence[Pair], day: date, value: int, sync: bool, total: bool) -> list[Values]:
        def changed(cells: dict[tuple[Interval, date], int], before: int) -> int:
            difference = value - cells.get((DAY, day), 0)
            cells[DAY, day] = value
            if sync:
                _sum_up(cells, [start_of(WEEK, day)], [start_of(MONTH, day)])
            return before + difference if total else before

        return self._change(pairs, day, changed)

    def sync(self, pairs: Sequence[Pair], weeks: Sequence[date], months: Sequence[date]) -> None:
        def changed(cells: dict[tuple[Interval, date], int], before: int) -> int:
            _sum_up(cells, weeks, months)
            return before

        self._change(pairs, date.min, changed)

    def count(self, pair: Pair, amount: int) -> int:
        with self._lock:
            value = self._counts.get(pair, 0) + amount
            if value not in INT64:
                raise overflow(pair)
            self._counts[pair] = value
            return value

    def series(self, pairs: Sequence[Pair], interval: Interval, starts: Sequence[date]) -> list[list[int]]:
        with self._lock:
            return [[self._cells.get(pair, {}).get((interval, start), 0) for start in starts] for pair in pairs]

    def sums(self, pairs: Sequence[Pair], first: date | None, last: date | None) -> list[int]:
        begin, end = first or date.min, last or date.max
        with self._lock:
            days = [self._cells.get(pair, {}).items() for pair in pairs]
            return [sum(value for (at, day), value in of if at == DAY and begin <= day <= end) for of in days]

    def totals(self, pairs: Sequence[Pair]) -> list[int]:
        with self._lock:
            return [self._totals.get(pair, 0) + self._counts.get(pair, 0) for pair in pairs]

    def add_record(self, event: str, user: str, at_us: int, record: str, most: int) -> None:
        with self._lock:
            users = self._records.setdefault(event, {})
            if sum(map(len, users.values())) >= most:
                raise too_many_records(event, most)
            records = users.setdefault(user, {})
            for later in range(at_us, at_us + MAX_AT_ONCE):
                if later not in records:
                    records[later] = record
                    return
            raise too_many_at_once()

    def records_of(self, event: str, user: str) -> dict[int, str]:
        with self._lock:
            return dict(sorted(self._records.get(event, {}).get(user, {}).items()))

    def records(self, event: str) -> dict[str, dict[int, str]]:
        with self._lock:
            return {user: dict(sorted(found.items())) for user, found in sorted(self._records.get(event, {}).items())}

    def clear(self) -> None:
        with self._lock:
            for kept in (self._cells, self._totals, self._counts, self._records):
                kept.clear()

    def _change(self, pairs: Sequence[Pair], day: date, change: "_Change") -> list[Values]:
        refused, found = [], list[Values]()
        with self._lock:
            for pair in pairs:
                cells = dict(self._cells.get(pair, {}))
                total = change(cells, self._totals.get(pair, 0))
                if total not in INT64 or any(value not in INT64 for value in cells.values()):
                    refused.append(pair)
                    continue
                self._cells[pair], self._totals[pair] = cells, total
                of_day, week, month = (cells.get((each, start_of(each, day)), 0) for each in (DAY, WEEK, MONTH))
                found.append((of_day, week, month, total))
        if refused:
            raise overflow(refused[0])
        return found


class _Change(Protocol):
    def __call__(self, cells: dict[tuple[Interval, date], int], before: int, /) -> int:
        """Changes the cells; gives the total."""
        ...


def _sum_up(cells: dict[tuple[Interval, date], int], weeks: Sequence[date], months: Sequence[date]) -> None:
    for interval, starts in ((WEEK, weeks), (MONTH, months)):
        for start in starts:
            days = [cells[DAY, day] for day in days_of(interval, start) if (DAY, day) in cells]
            cells.pop((interval, start), None)
            if days:
                cells[interval, start] = sum(days)

"""Buckets in which something was set, where a question asks for all of one: then it answers by itself. Pure.

A day that was set is no longer the sum of its hours. A series by hours shows the hours; but a total over a range that holds the
whole day takes the day, and the hours of the rest.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from whale.period import Interval, Range, bucket_start, next_start, starts, width
from whale.store.contract.rollups import Adjustment, Buckets

Kept = Mapping[Interval, float | None]


class Whole(NamedTuple):
    interval: Interval
    start: int
    end: int


def is_kept(interval: Interval, end: int, kept: Kept, now: float) -> bool:
    """Whether a bucket that ends there is kept. kept: interval -> seconds, None for ever."""
    if interval not in kept:
        return False
    retention = kept[interval]
    return retention is None or end > now - retention


def wholes(
    period: Range,
    reads: Sequence[Buckets],
    marks: Collection[Adjustment],
    metrics: Collection[str],
    kept: Kept,
    now: float,
    zone: str,
) -> list[Whole]:
    """The buckets that were set in one of these metrics and lie in a range as a whole, in order; none lies in another.

    reads: what the range is read from, which is narrower.  kept: interval -> seconds, None for ever.  zone: the account's.
    """
    found: list[Whole] = []
    narrowest = min((width(interval) for interval, _ in reads), default=0)
    for mark in sorted(marks, key=lambda mark: -width(mark.interval)):
        first, last = max(mark.start, period.start), min(mark.end, period.end)
        set_ = mark.metrics is None or not set(mark.metrics).isdisjoint(metrics)
        if width(mark.interval) <= narrowest or first >= last or not set_:
            continue
        for start in starts(mark.interval, _edge(mark.interval, first, zone), last, zone):
            whole = Whole(mark.interval, start, next_start(mark.interval, start, zone))
            inside = period.start <= start and whole.end <= period.end
            if inside and is_kept(mark.interval, whole.end, kept, now) and not _within(start, found):
                found.append(whole)
        found.sort(key=lambda whole: whole.start)
    return found


def with_wholes(reads: Sequence[Buckets], some: Sequence[Whole]) -> list[Buckets]:
    """The same reads, with those buckets instead of the narrower ones in them; of each interval in order."""
    if not some:
        return list(reads)
    found: dict[Interval, list[int]] = {}
    for interval, stored in reads:
        found.setdefault(interval, []).extend(start for start in stored if not _within(start, some))
    for whole in some:
        found.setdefault(whole.interval, []).append(whole.start)
    return [(interval, tuple(sorted(each))) for interval, each in found.items() if each]


def groups_of(stored: Sequence[int], edges: Sequence[int]) -> list[Sequence[int]]:
    """The buckets from each edge up to the next; the first group has all before the second edge."""
    cuts = [0, *(bisect_left(stored, edge) for edge in edges[1:]), len(stored)]
    return [stored[cut:end] for cut, end in pairwise(cuts)]


def places_in(stored: Sequence[int], some: Iterable[Whole]) -> list[int]:
    """Where among some buckets those are that lie in others."""
    return [
        place for whole in some for place in range(bisect_left(stored, whole.start), bisect_left(stored, whole.end))
    ]


def _edge(interval: Interval, at: int, zone: str) -> int:
    """Where the first bucket begins that does not begin before a time."""
    start = bucket_start(interval, at, zone)
    return start if start >= at else next_start(interval, start, zone)


def _within(at: int, some: Sequence[Whole]) -> bool:
    place = bisect_right(some, at, key=lambda whole: whole.start) - 1
    return place >= 0 and at < some[place].end

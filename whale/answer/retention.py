"""Who comes back: visitors by the bucket in which they first did something, and in which later ones they did it, or another thing, again.
Pure.

A bucket is a day, a week or a month of a zone. First is first of all that is kept, so a cohort stays the same, whichever buckets are asked.
It works in ranges of visitors, see ranges.py.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whale.answer import ranges
from whale.store.contract.events import Column
from whale.visitors.crowd import Bits, count

NEVER = np.iinfo(np.int64).max


class Part(NamedTuple):
    """All of some visitors. first: the records of events with which a visitor begins.  again: those of events to come back for."""

    first: Sequence[Column]
    again: Sequence[Column]


def retention(parts: Iterable[Part], edges: NDArray[np.int64]) -> tuple[list[int], NDArray[np.int64]]:
    """Visitors of each cohort, and of these by bucket: a row for each cohort.

    edges: ticks at which the buckets begin, and the end of the last one.
    """
    buckets = len(edges) - 1
    sizes, kept = np.zeros(buckets, np.int64), np.zeros((buckets, buckets), np.int64)
    for first, again in parts:
        for begin in _begins(first):
            cohorts = _cohorts([ranges.within(column, begin) for column in first], begin, edges)
            sizes += np.bincount(cohorts[cohorts >= 0], minlength=buckets)
            there = np.zeros((ranges.SPAN, buckets), np.bool_)
            for column in again:
                _mark(there, ranges.within(column, begin), begin, edges)
            for cohort in range(buckets):
                kept[cohort] += there[cohorts == cohort].sum(0)
    return sizes.tolist(), kept


def retention_of_sets(
    parts: Iterable[tuple[Sequence[Bits], Sequence[Bits]]],
) -> tuple[list[int], NDArray[np.int64]]:
    """The same from who came, but for buckets before a cohort's own one, which are 0.

    parts: who had an event with which a visitor begins, before the buckets and in each of them; and who in each had one to come back for.
    """
    sizes: list[int] = []
    kept = np.zeros((0, 0), np.int64)
    for (before, *first), again in parts:
        if not len(kept):
            sizes, kept = [0] * len(first), np.zeros((len(first), len(first)), np.int64)
        for cohort, came in enumerate(first):
            begun = came & ~before
            before = before | came
            sizes[cohort] += count(begun)
            for bucket in range(cohort, len(again)):
                kept[cohort, bucket] += count(begun & again[bucket])
    return sizes, kept


def _cohorts(columns: Sequence[Column], begin: int, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each visitor of a range the bucket of their first event; -1 outside."""
    found = ranges.bucket_of(edges, _firsts(columns, begin))
    return np.where(found < len(edges) - 1, found, -1)


def _firsts(columns: Sequence[Column], begin: int) -> NDArray[np.int64]:
    """Of each visitor of a range the tick of their first event, or NEVER."""
    first = np.full(ranges.SPAN, NEVER)
    for column in columns:
        at = np.flatnonzero(np.diff(column.visitors.astype(np.int64), prepend=-1))  # of each visitor the earliest one
        who = column.visitors[at] - np.uint32(begin)
        first[who] = np.minimum(first[who], column.ticks[at])
    return first


def began_in(columns: Sequence[Column], during: tuple[int, int]) -> NDArray[np.uint32]:
    """The visitors whose first event is in a stretch of ticks, in order. columns: all of their events."""
    found = [np.zeros(0, np.uint32)]
    for begin in _begins(columns):
        first = _firsts([ranges.within(column, begin) for column in columns], begin)
        found.append((np.flatnonzero((first >= during[0]) & (first < during[1])) + begin).astype(np.uint32))
    return np.concatenate(found)


def _begins(columns: Sequence[Column]) -> Iterable[int]:
    """The ranges of visitors that some records are of."""
    known = [column.visitors for column in columns if len(column.visitors)]
    if not known:
        return ()
    return ranges.begins(max(int(each[-1]) for each in known), min(int(each[0]) for each in known))


def _mark(there: NDArray[np.bool_], column: Column, begin: int, edges: NDArray[np.int64]) -> None:
    at = ranges.bucket_of(edges, column.ticks)
    is_within = (at >= 0) & (at < len(edges) - 1)
    there[column.visitors[is_within] - np.uint32(begin), at[is_within]] = True


def curve(sizes: Sequence[int], kept: NDArray[np.int64], complete: int) -> list[float | None]:
    """Of all cohorts together the share that came back after so many buckets, of those cohorts alone whose bucket is over; None where none
    has one. complete: how many of the buckets are over.
    """
    found: list[float | None] = []
    for after in range(len(sizes)):
        cohorts = range(complete - after)
        whole = sum(sizes[cohort] for cohort in cohorts)
        back = sum(int(kept[cohort, cohort + after]) for cohort in cohorts)
        found.append(back / whole if whole else None)
    return found

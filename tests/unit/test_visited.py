"""Who came, counted from columns: the same as by hand, and as plain sets over any partitions and buckets."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import law
from whale.answer.visited import Happened, Partition, Visits, happened, happened_times, history, visits, visits_of_sets
from whale.store.contract.events import Column, Logged
from whale.visitors.crowd import bits_of
from whale.visitors.entries import TICKS_A_MS

Row = tuple[int, int]
"""Visitor and second."""


def logged(**events: Sequence[Row]) -> Logged:
    columns = {("p", "plan"): column([(9, 0)])}
    return Logged(columns | {("e", name): column(rows) for name, rows in events.items() if rows}, {})


def column(rows: Sequence[Row]) -> Column:
    visitors, seconds = zip(*sorted(rows), strict=True)
    ticks = np.array(seconds, np.int64) * 1000 * TICKS_A_MS
    return Column(np.array(visitors, np.uint32), ticks, np.zeros(len(rows), np.uint32))


def before(*visitors: int) -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
    return np.array(visitors, np.uint32)


def test_a_visitor_counts_once_and_is_new_in_the_first_bucket_alone() -> None:
    first = Partition(before(2), logged(visit=[(1, 5), (1, 15), (2, 5)], buy=[(1, 5), (3, 29)]))
    second = Partition(before(), logged(visit=[(1, 20)]))
    whole, buckets = visits([first, second], [0, 10, 20])
    assert whole == Visits(4, 3)
    assert buckets == [Visits(2, 1), Visits(1, 0), Visits(2, 2)]
    assert whole.returning == 1
    assert visits([Partition(before(1), Logged({}, {}))], [0]) == (Visits(0, 0), [Visits(0, 0)])


def test_events_add_up_over_partitions_and_properties_are_none() -> None:
    parts = [logged(visit=[(1, 5), (1, 6)], buy=[(1, 7)]), logged(visit=[(1, 9)]), logged()]
    assert happened(parts) == [Happened("visit", 3, 2, 9_000), Happened("buy", 1, 1, 7_000)]
    assert history(parts[0]) == [(5_000 * 49, "visit"), (6_000 * 49, "visit"), (7_000 * 49, "buy")]
    assert history(parts[2]) == history(parts[2], 5) == []


@law(100)
@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 9), max_size=6)), st.integers(0, 20))
def test_the_last_of_what_happened_is_the_end_of_all_of_it(events: dict[str, list[int]], most: int) -> None:
    one = logged(**{name: [(1, second) for second in seconds] for name, seconds in events.items()})
    whole = sorted((second * 49_000, name) for name, seconds in events.items() for second in seconds)
    assert (history(one), history(one, most)) == (whole, whole[max(0, len(whole) - most) :])
    assert happened_times(one) == len(whole)


rows = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 59)), max_size=12)


@law(100)
@given(st.lists(st.tuples(rows, rows, st.sets(st.integers(0, 6))), max_size=3), st.integers(1, 30))
def test_counts_are_those_of_plain_sets(some: list[tuple[list[Row], list[Row], set[int]]], width: int) -> None:
    starts = list(range(0, 60, width))
    whole, buckets = visits([Partition(before(*known), logged(a=a, b=b)) for a, b, known in some], starts)
    came = [(part, visitor, at // width) for part, (a, b, _) in enumerate(some) for visitor, at in (*a, *b)]
    first = {(part, visitor): min(at for p, v, at in came if (p, v) == (part, visitor)) for part, visitor, _ in came}
    new = {each: at for each, at in first.items() if each[1] not in some[each[0]][2]}
    assert whole == Visits(len(first), len(new))
    if some:
        ranges = [
            [known, *({who for who, at in (*a, *b) if at // width == place} for place in range(len(starts)))]
            for a, b, known in some
        ]
        sets = [[bits_of(before(*each), 1) for each in of] for of in ranges]
        assert visits_of_sets(sets) == (whole, buckets)
    for place, bucket in enumerate(buckets):
        people = {(part, visitor) for part, visitor, at in came if at == place}
        assert bucket == Visits(len(people), sum(at == place for at in new.values()))

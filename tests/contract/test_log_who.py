"""Who said something between two times: the same as by reading all that was said, in every store, whatever was packed."""

import itertools
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.contract.logs import CAPS, FOR_EVER_MS, NOW_MS, entry, hash_in, visit
from tests.laws import law
from whale.store.base import Store
from whale.store.contract.events import Said
from whale.visitors import parts
from whale.visitors.crowd import numbers_of
from whale.visitors.entries import DAY_MS, TICKS_A_MS, SiteLog

SITES = itertools.count()
THINGS: list[Said | None] = [None, ("e", "visit"), ("e", "buy"), ("p", "plan"), ("e", "never")]
times = st.integers(0, 3) | st.integers(0, 40 * DAY_MS)
hits = st.fixed_dictionaries(
    {
        "visitor": st.sampled_from(["ann", "bob", "cy", "dée"]),
        "event": st.sampled_from(["", "visit", "buy"]),
        "properties": st.dictionaries(st.just("plan"), st.sampled_from(['"a"', "1"])),
        "at": times.map(lambda back: NOW_MS - back),
    }
)


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns of three records are cut at days."""
    monkeypatch.setattr(parts, "MANY", 2)


@law(25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    some=st.lists(st.lists(hits, max_size=8), max_size=5),
    edges=st.lists(times.map(lambda back: NOW_MS - back) | st.sampled_from((0, FOR_EVER_MS)), min_size=2, max_size=5),
    data=st.data(),
)
def test_it_is_who_is_there_when_all_is_read(
    store: Store, unique: str, some: list[list[dict[str, Any]]], edges: list[int], data: st.DataObject
) -> None:
    log, edges = SiteLog(unique, f"site {next(SITES)}", 2, keep_days=60), sorted(edges)
    for seq, of in enumerate(some):
        store.add_to_log([entry(log, {"name": seq, "at": NOW_MS, "hits": of}, f"{next(SITES):016x}")], CAPS)
        if data.draw(st.booleans()):
            store.compact_log(log, data.draw(st.integers(0, 1)))
    if data.draw(st.booleans()):
        store.erase_visitor(log, hash_in(log)("ann"))
    for partition in range(2):
        columns = store.read_log(log, partition, 0, FOR_EVER_MS).columns
        came = store.came_in_log(log, partition, THINGS, edges, math.inf)
        assert came
        for thing, sets in zip(THINGS, came.sets, strict=True):
            wanted = [column for said, column in columns.items() if said == thing or (thing is None and said[0] == "e")]
            for (start, end), bits in zip(itertools.pairwise(edges), sets, strict=True):
                records = [
                    row
                    for column in wanted
                    for row in zip(column.visitors.tolist(), column.ticks.tolist(), strict=True)
                ]
                there = {who for who, tick in records if start * TICKS_A_MS <= tick < end * TICKS_A_MS}
                assert numbers_of(bits).tolist() == sorted(there)
                assert len(bits) == len(came.sets[0][0])
        everybody = store.visitors_in_log(log, partition, edges[0], edges[-1]).tolist()
        assert everybody == sorted({who for bits in came.sets[0] for who in numbers_of(bits).tolist()})


def test_what_takes_more_memory_than_it_may_is_not_answered(store: Store, unique: str) -> None:
    log, edges = SiteLog(unique, "shop"), [0, NOW_MS - DAY_MS, FOR_EVER_MS]
    assert store.came_in_log(log, 0, [None], edges, 0)  # nobody was there
    store.add_to_log([visit(log, 0, *(f"visitor {number}" for number in range(65)))], CAPS)
    came = store.came_in_log(log, 0, [None, ("e", "visit")], edges, 2 * 2 * 16)
    assert came
    assert sum(bits.nbytes for sets in came.sets for bits in sets) == 2 * 2 * 16
    assert store.came_in_log(log, 0, [None, ("e", "visit")], edges, 2 * 2 * 16 - 1) is None

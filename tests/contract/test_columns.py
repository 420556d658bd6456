"""Hits in columns count as hits in lines do, whatever they carry, and whatever comes between."""

import itertools
from typing import Any

import msgspec
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.settings import DAY, Settings
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, everything, in_columns, message, publisher_of
from tests.laws import law
from whale.count.apply import Applier
from whale.metric import bins_of
from whale.period import bucket_start
from whale.store.base import Store
from whale.store.contract.names import OTHER
from whale.store.memory import MemoryStore

TURNS = itertools.count()
TODAY = bucket_start(DAY, NOW, "UTC")
AMOUNTS = st.integers(0, 50) | st.sampled_from([-9e9, 9e9, 0.25, -1])
BUSY = st.just(["shop", "s1"])
QUIET = st.integers(0, 70).map(lambda number: ["shop", "s1", f"u{number}"]) | st.sampled_from(
    [["a"], ["a", "b"], ["é"]]
)
HITS = st.fixed_dictionaries(
    {
        "pk": BUSY | BUSY | BUSY | QUIET,
        "dimensions": st.sampled_from(
            [None, "US", {"country": {"US": "CA"}, "device": "m"}, {"country": "US", "device": {"m": {"x": "y"}}}]
        ),
        "metrics": st.fixed_dictionaries(
            {},
            optional={
                "revenue": AMOUNTS,
                "hits": st.integers(-3, 3),
                "low": AMOUNTS.map(lambda number: {"min": number}),
                "now": AMOUNTS.map(lambda number: {"last": number}),
                "q": AMOUNTS.map(lambda number: {"quantile": number}),
                "visitors": st.sampled_from("abcd").map(lambda name: {"unique": name}),
            },
        ),
        "at": st.integers(int(NOW) - 3 * DAY, int(NOW)) | st.integers(int(NOW) - 90, int(NOW)),
    },
    optional={"id": st.integers(0, 12).map(str), "visitor": st.sampled_from("xy"), "event": st.just("seen")},
)
RESETS = st.tuples(
    st.sampled_from([("shop",), ("shop", "s1"), ("shop", "s1", "u1"), ("a",)]),
    st.sampled_from([None, ("country",), ("country", "US"), ("device", "m")]),
)


def all_of(store: Store, account: str, settings: Settings) -> dict[str, Any]:
    """Everything that can be read."""
    found: dict[str, Any] = {
        "cells": everything(store, account, settings, NOW - 4 * DAY),
        "audit": store.audit(account),
    }
    days = [TODAY - back * DAY for back in (3, 2, 1, 0)]
    for pk in (("shop",), ("shop", "s1"), ("a",)):
        for path in ((), ("country",), ("country", "US")):
            for metric in ("low", "now"):
                found[f"{pk}{path}{metric}"] = store.read_values(account, pk, [path], metric, DAY, days)
            found[f"{pk}{path}visitors"] = store.read_distinct(account, pk, [path], "visitors", DAY, [days])
            for name in store.bins(account, pk, [path], "q")[0]:
                (counts,) = store.read(account, pk, [(*bins_of(path, "q"), name)], ["hits"], DAY, days).tolist()
                if any(counts[0]):  # a bin may be listed after a reset
                    found[f"{pk}{path}q{name}"] = counts
    return found


@law(12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    given_hits=st.lists(st.lists(st.lists(HITS, max_size=15), min_size=2, max_size=2), min_size=1, max_size=4),
    data=st.data(),
)
def test_columns_count_as_lines_do(
    settings: Settings, store: Store, unique: str, given_hits: list[list[list[dict[str, Any]]]], data: st.DataObject
) -> None:
    """Each message has hits of two accounts; there are ids, every kind, resets, busy and quiet pks; and each comes twice."""
    turn = f"{unique}-{next(TURNS)}"
    accounts, publisher = [f"{turn}-{i}" for i in range(2)], publisher_of(turn)
    lines = [
        [
            message(some, settings, account, seq, publisher=publisher)
            for account, some in zip(accounts, of_both, strict=True)
        ]
        for seq, of_both in enumerate(given_hits)
    ]
    reference = MemoryStore(settings)
    by_lines, by_columns = Applier(reference, settings), Applier(store, settings)
    waiting = data.draw(st.permutations([*range(len(lines))] * 2))
    while waiting:
        together = data.draw(st.integers(1, len(waiting)))
        some, waiting = waiting[:together], waiting[together:]
        columns = [part for seq in some for part in in_columns(lines[seq])]
        by_columns.apply(columns, NOW)
        by_lines.apply([msgspec.structs.replace(part, v=2) for seq in some for part in lines[seq]], NOW)
        if data.draw(st.booleans()):
            account, (pk, path) = data.draw(st.sampled_from(accounts)), data.draw(RESETS)
            for each in (store, reference):
                each.reset(account, pk, path, NOW + 1)
    for account in accounts:
        assert all_of(store, account, settings) == all_of(reference, account, settings)
        assert store.faults(account) == reference.faults(account)


def test_names_past_the_limits_count_in_other_as_in_memory(settings: Settings, unique: str) -> None:
    """200 names over 70 pks, of which most are folded; a name may be folded into the same place as another of its hit."""
    few = settings.replace(max_children=3, max_nodes=12, max_pks=20, max_metrics=4)
    hits = [
        {
            "pk": ["shop", f"s{i % 2}", f"u{i % 70}"],
            "dimensions": {"country": {f"c{i % 5}": f"r{i % 200}"}, f"d{i % 7}": "x", f"e{i % 3}": "y"},
            "metrics": {f"m{i % 6}": i, "revenue": 1},
        }
        for i in range(400)
    ]
    parts = in_columns([message(hits, few, unique, publisher=publisher_of(unique))])
    store, reference = open_store(few), MemoryStore(few)
    for each in (store, reference):
        Applier(each, few).apply(parts * 2, NOW)
    found = everything(store, unique, few, NOW - DAY)
    assert found == everything(reference, unique, few, NOW - DAY)
    assert found[("shop",), (), DAY, TODAY, "revenue"] == 400_000_000
    assert any(OTHER in path for _, path, *_ in found)
    assert store.faults(unique) == reference.faults(unique) == {}

"""What every store promises of metrics that are no sums."""

import dataclasses
import itertools
import math
import random
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.hit import MILLION
from hail.message import decode_message, encode_message
from hail.settings import DAY, HOUR, MONTH, Settings
from tests import cut
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, PUBLISHER, everything, in_columns, message, publisher_of, sums
from tests.laws import law
from whale.answer.series import Question, plotpoints, totals
from whale.count.apply import Applier
from whale.dimension import Path
from whale.errors import Unavailable
from whale.metric import RELATIVE_ERROR, bins_of, quantiles, value_of
from whale.period import bucket_start, parse_period, starts
from whale.store.base import Store
from whale.store.memory import MemoryStore

TODAY = int(NOW // DAY * DAY)
PKS = 40  # on more than half of the shards, whatever their names
ROOT: Path = ()


def bins(store: Store, account: str, path: Path = ROOT, metric: str = "q", pk: str = "t") -> dict[str, int]:
    names = store.bins(account, (pk,), [path], metric)[0]
    counts = store.read(account, (pk,), [(*bins_of(path, metric), name) for name in names], ["hits"], DAY, [TODAY])
    return {name: int(count) for name, count in zip(names, counts[:, 0, 0], strict=True)}


def values(store: Store, account: str, metric: str, paths: list[Path] | None = None) -> list[int | None]:
    found = store.read_values(account, ("t",), paths or [ROOT], metric, DAY, [TODAY])
    return [None if row[0] is None else row[0] // MILLION for row in found]


def names(store: Store, account: str, paths: list[Path] | None = None, metric: str = "visitors") -> list[int | None]:
    return [row[0] for row in store.read_distinct(account, ("t",), paths or [ROOT], metric, DAY, [[TODAY]])]


def test_each_kind_is_kept_by_bucket_and_path(settings: Settings, store: Store, unique: str) -> None:
    hits: list[dict[str, Any]] = [
        {
            "pk": ["t", "child"],
            "dimensions": {"c": {f"x{i % 2}": "deep"}},
            "visitor": f"v{i % 3}",
            "at": NOW - 10 + i,
            "metrics": {
                "visitors": "is_unique",
                "low": {"min": i},
                "high": {"max": i},
                "now": {"last": i},
                "q": {"quantile": i},
            },
        }
        for i in range(6)
    ]
    Applier(store, settings).apply([message(hits, settings, unique)], NOW)
    paths: list[Path] = [(), ("c",), ("c", "x0"), ("c", "x1"), ("c", "x1", "deep"), ("never",)]
    assert values(store, unique, "low", paths) == [0, 0, 0, 1, 1, None]
    assert values(store, unique, "high", paths) == [5, 5, 4, 5, 5, None]
    assert values(store, unique, "now", paths) == [5, 5, 4, 5, 5, None]
    assert names(store, unique, paths) == [3, 3, 3, 3, None, 0]
    counted = [sum(bins(store, unique, path).values()) for path in paths]
    assert counted == [6, 6, 3, 3, 0, 0]
    assert store.kinds(unique, ("t",)) == {
        "visitors": "distinct",
        "low": "min",
        "high": "max",
        "now": "last",
        "q": "quantile",
    }
    assert store.kinds(unique, ("t", "child")).keys() <= set(store.metrics(unique, ("t", "child")))
    assert store.kinds(unique, ("nobody",)) == {}
    assert set(store.metrics(unique, ("t",))) == {"hits", "visitors", "low", "high", "now", "q"}
    assert store.children(unique, ("t",), ()) == ["c"]
    assert store.descendants(unique, ("t",), (), 8) == [
        ("c",),
        ("c", "x0"),
        ("c", "x1"),
        ("c", "x0", "deep"),
        ("c", "x1", "deep"),
    ]
    assert store.read_values(unique, ("t",), [("c", "x0")], "low", MONTH, [bucket_start(MONTH, NOW, "UTC")]) == [[0]]
    assert store.read_values(unique, ("t",), [(None, "child")], "high", DAY, [TODAY]) == [[5 * MILLION]]
    assert sums(store, unique, ("t",), [(), ("c", "x0")]) == [6, 3]
    assert store.faults(unique) == {}


def test_distinct_counts_are_of_the_union_of_buckets(settings: Settings, store: Store, unique: str) -> None:
    hits = [
        {"pk": "t", "metrics": {"visitors": {"unique": f"v{i % 50}"}}, "at": NOW - i * HOUR / 4} for i in range(200)
    ]
    Applier(store, settings).apply([message(hits, settings, unique)], NOW)
    days = [TODAY - DAY, TODAY]
    hours = [int(NOW // HOUR * HOUR) - back * HOUR for back in (2, 1, 0)]
    assert store.read_distinct(unique, ("t",), [()], "visitors", DAY, [[days[0]], [days[1]], days, []]) == [
        [50, 50, 50, 0]
    ]
    found = store.read_distinct(unique, ("t",), [()], "visitors", HOUR, [[hour] for hour in hours] + [hours])
    assert found == [[4, 4, 1, 9]]
    assert store.read_distinct(unique, ("t",), [()], "never", DAY, [days]) == [[0]]


def test_a_union_of_many_days_is_the_same_number_however_it_is_read(settings: Settings, unique: str) -> None:
    settings = settings.replace(timezone="America/New_York")
    store, rng = open_store(settings), random.Random(7)
    applier = Applier(store, settings)
    for seq in range(4):
        hits = [
            {"pk": "t", "metrics": {"v": {"unique": str(rng.randrange(9000))}}, "at": NOW - back * DAY}
            for back in range(100 * seq, 100 * seq + 100)
            for _ in range(20)
        ]
        applier.apply([message(hits, settings, unique, seq)], NOW)
    last = bucket_start(DAY, NOW, "America/New_York")
    days = starts(DAY, last - 400 * DAY, last + DAY, "America/New_York")
    groups = [days, days[3:-3], days[:200], days[200:228], [*days[:90], *days[91:]], days[-31:], days[::2]]
    by_days: Store = store
    if settings.redis_url:
        periods = tuple(period for period in settings.periods if period[0] != MONTH)
        by_days = open_store(settings.replace(periods=periods))
    found = store.read_distinct(unique, ("t",), [()], "v", DAY, groups)
    assert found == by_days.read_distinct(unique, ("t",), [()], "v", DAY, groups)
    assert found[0][0] is not None
    assert abs(found[0][0] - 5300) < 300


def test_many_names_are_counted_with_a_small_error(settings: Settings, store: Store, unique: str) -> None:
    hits = [{"pk": "t", "visitor": f"visitor {i}", "metrics": {"visitors": "is_unique"}} for i in range(5000)]
    Applier(store, settings).apply([message(hits, settings, unique)], NOW)
    (found,) = names(store, unique)
    assert found is not None
    assert abs(found - 5000) <= 5000 * 3 * 0.0081


def test_past_the_most_distinct_nodes_nothing_is_said(settings: Settings, unique: str) -> None:
    settings = settings.replace(max_distinct_nodes=3)
    store = open_store(settings)
    hits = [{"pk": "t", "dimensions": {"c": f"x{i}"}, "metrics": {"visitors": {"unique": "v"}}} for i in range(3)]
    for seq, hit in enumerate(hits):
        Applier(store, settings).apply([message([hit], settings, unique, seq)], NOW)
    assert names(store, unique, [(), ("c",), ("c", "x0"), ("c", "x1"), ("c", "x2")]) == [1, 1, 1, None, None]


def test_bins_past_their_cap_fold_and_names_stay(settings: Settings, unique: str) -> None:
    settings = settings.replace(max_bins=4)
    store = open_store(settings)
    hits: list[dict[str, Any]] = [{"pk": "t", "metrics": {"q": {"quantile": 2**i}}} for i in range(6)]
    applier = Applier(store, settings)
    applier.apply([message(hits, settings, unique, 0)], NOW)
    applier.apply([message([{"pk": "t", "dimensions": "new"}], settings, unique, 1)], NOW)
    found = bins(store, unique)
    assert len(found) == 5
    assert found["__other__"] == 2
    assert math.isnan(value_of("__other__"))
    assert store.children(unique, ("t",), ()) == ["new"]


def test_what_comes_as_another_kind_is_not_counted_but_told(settings: Settings, store: Store, unique: str) -> None:
    applier = Applier(store, settings)
    first = {"visitors": {"unique": "v"}, "q": {"quantile": 1}, "low": {"min": 5}}
    applier.apply([message([{"pk": "t", "metrics": {**first, "plain": 1}}], settings, unique, 0)], NOW)
    mixed = {"visitors": 3, "q": {"max": 9}, "low": {"quantile": 1}, "plain": {"min": 3}}
    again = message([{"pk": "t", "metrics": mixed}], settings, unique, 1)
    applier.apply([again], NOW)
    applier.apply([again], NOW)
    assert store.kinds(unique, ("t",)) == {"visitors": "distinct", "q": "quantile", "low": "min"}
    assert sums(store, unique, ("t",), [()], "plain") == [MILLION]
    assert sums(store, unique, ("t",), [()], "visitors") == [0]
    assert sums(store, unique, ("t",), [()]) == [2]
    assert (names(store, unique), values(store, unique, "low"), sum(bins(store, unique).values())) == ([1], [5], 1)
    assert bins(store, unique, metric="low") in ({}, {"p691": 0})
    assert store.faults(unique) == {"mixed_kinds": 4 * len(settings.periods)}
    assert store.faulty_metrics(unique) == [("mixed_kinds", ("t",), name) for name in ("low", "plain", "q", "visitors")]
    assert store.faults_seen(unique) == {}
    store.see_faults(unique)
    assert store.faults_seen(unique) == store.faults(unique)
    store.reset(unique, ("t",), None, NOW)
    assert store.faulty_metrics(unique) == []
    assert store.faults_seen(unique) == store.faults(unique)


def test_metrics_that_are_no_sums_do_not_fold(settings: Settings, unique: str) -> None:
    settings = settings.replace(max_metrics=2)
    store = open_store(settings)
    Applier(store, settings).apply(
        [message([{"pk": "t", "metrics": {"a": 1, "low": {"min": 5}, "q": {"quantile": 5}}}], settings, unique)], NOW
    )
    assert store.metrics(unique, ("t",)) == ["hits", "a"] or store.kinds(unique, ("t",)) == {"q": "quantile"}
    assert values(store, unique, "low") == [None]
    assert set(store.faults(unique)) == {"too_many_metrics"}
    assert {each.reason for each in store.faulty_metrics(unique)} == {"too_many_metrics"}


def test_a_redelivery_after_part_of_an_apply_counts_a_quantile_once(
    settings: Settings, store: Store, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = {"q": {"quantile": 7}, "visitors": {"unique": "v"}, "now": {"last": 3}}
    hits = [{"pk": f"p{i}", "metrics": metrics} for i in range(PKS)]
    message_ = message(hits, settings, unique)
    if not isinstance(store, MemoryStore):
        dying = cut.after(store.writer._send, settings.shards // 2 + 1, cut.off("killed after it wrote"))
        monkeypatch.setattr(store.writer, "_send", dying)
        with pytest.raises(Unavailable):
            Applier(store, settings).apply([message_], NOW)
        monkeypatch.undo()
    Applier(store, settings).apply([message_], NOW)
    Applier(store, settings).apply([message_], NOW)
    for i in range(PKS):
        assert sum(bins(store, unique, pk=f"p{i}").values()) == 1
        assert store.read_distinct(unique, (f"p{i}",), [()], "visitors", DAY, [[TODAY]]) == [[1]]


def test_marks_find_their_place_again_where_redis_forgot(settings: Settings, store: Store, unique: str) -> None:
    if isinstance(store, MemoryStore):
        return  # it has no cache, and no other process to forget
    applier = Applier(store, settings)
    metrics = {"q": {"quantile": 7}, "visitors": {"unique": "v"}, "now": {"last": 3}}
    applier.apply([message([{"pk": "t", "dimensions": "a", "metrics": {"other": 1}}], settings, unique, 0)], NOW)
    applier.apply([message([{"pk": "t", "dimensions": {"b": "c"}, "metrics": metrics}], settings, unique, 1)], NOW)
    client = store.client
    for key in client.scan_iter(f"{unique}:*"):
        if b":seen:" not in key:
            client.delete(key)
    hit = {"pk": "t", "dimensions": {"b": "c"}, "metrics": {**metrics, "first": 1}}
    applier.apply([message([hit], settings, unique, 2)], NOW)
    for reader in (store, open_store(settings)):
        assert values(reader, unique, "now", [(), ("b", "c"), ("a",)]) == [3, 3, None]
        assert names(reader, unique, [(), ("b", "c"), ("a",)]) == [1, 1, 0]
        assert sum(bins(reader, unique, ("b", "c")).values()) == 1


def test_answers_of_every_store_are_those_of_the_one_in_memory(settings: Settings, store: Store, unique: str) -> None:
    rng = random.Random(3)
    hits: list[dict[str, Any]] = [
        {
            "pk": "t",
            "dimensions": {"c": f"x{rng.randrange(3)}"},
            "at": NOW - rng.randrange(5 * DAY),
            "metrics": {
                "visitors": {"unique": f"v{rng.randrange(9)}"},
                "seconds": {"quantile": rng.gauss(5, 20)},
                "low": {"min": rng.randrange(-99, 99)},
                "now": {"last": rng.randrange(99)},
                "plain": rng.randrange(9),
            },
        }
        for _ in range(300)
    ]
    texts = [
        "plain/visitors",
        "visitors",
        "p50(seconds)",
        "p99(seconds)-p1(seconds)",
        "seconds",
        "low",
        "now",
        "ma3(low)",
    ]
    reference = MemoryStore(settings)
    for each in (store, reference):
        Applier(each, settings).apply([message(hits, settings, unique)], NOW)
    for period in ("seven", "1w:2w", "1mo:2mo", "today"):
        found = parse_period(period, NOW, "UTC", settings.periods)
        for sort in ("-visitors", "p50(seconds)"):
            question = Question(unique, ("t",), metrics=texts, depth=2, sort=sort, null=True, now=NOW)
            assert plotpoints(store, question, found) == plotpoints(reference, question, found)
            limited = dataclasses.replace(question, limit=2)
            assert totals(store, limited, found) == totals(reference, limited, found)


def test_unsound_metrics_drop_their_hit(settings: Settings, store: Store, unique: str) -> None:
    at = int(NOW * 1000)
    wire = [
        b'[["t"],{},{"hits":1},%d,null,null,null,{"q":["quantile","x"]}]' % at,
        b'[["t"],{},{"hits":1},%d,null,null,null,{"q":["sum",1]}]' % at,
        b'[["t"],{},{"hits":1},%d,null,null,null,{"q":["quantile",1000000]}]' % at,
    ]
    Applier(store, settings).apply([decode_message(encode_message(PUBLISHER, 0, unique, 3, at, wire))], NOW)
    assert store.audit(unique)[0].dropped == {"undecodable_hit": 2}
    assert sums(store, unique, ("t",), [()]) == [1]
    assert bins(store, unique) == {"p691": 1}


ACCOUNTS = itertools.count()
numbers = st.integers(-(10**6), 10**6) | st.floats(-9e9, 9e9)
hits_of_kinds = st.lists(
    st.fixed_dictionaries(
        {
            "pk": st.sampled_from(["t", "u"]).map(lambda name: ["t", name]),
            "dimensions": st.sampled_from([None, "a", {"a": "b"}, {"a": {"b": "c"}, "d": "e"}]),
            "metrics": st.fixed_dictionaries(
                {},
                optional={
                    "plain": numbers,
                    "low": numbers.map(lambda number: {"min": number}),
                    "high": numbers.map(lambda number: {"max": number}),
                    "now": numbers.map(lambda number: {"last": number}),
                    "q": numbers.map(lambda number: {"quantile": number}),
                    "visitors": st.sampled_from("abcdefgh").map(lambda name: {"unique": name}),
                },
            ),
            "at": st.integers(int(NOW) - 3 * DAY, int(NOW)),
        }
    ),
    max_size=12,
)


def all_of(store: Store, account: str, settings: Settings) -> dict[str, Any]:
    """Everything that can be read of these metrics."""
    found: dict[str, Any] = {"cells": everything(store, account, settings, NOW - 4 * DAY)}
    days = [TODAY - back * DAY for back in (3, 2, 1, 0)]
    for pk in (("t",), ("t", "t"), ("t", "u")):
        paths = [(), *store.descendants(account, pk, (), 8)]
        for path in sorted(paths, key=str):
            for metric in ("low", "high", "now"):
                found[f"{pk}{path}{metric}"] = store.read_values(account, pk, [path], metric, DAY, days)
            groups = [[day] for day in days] + [days]
            found[f"{pk}{path}visitors"] = store.read_distinct(account, pk, [path], "visitors", DAY, groups)
            reserved = bins_of(path, "q")
            of_bins = sorted(store.bins(account, pk, [path], "q")[0])
            counts = store.read(account, pk, [(*reserved, name) for name in of_bins], ["hits"], DAY, days)
            found[f"{pk}{path}q"] = of_bins, counts.tolist()
        found[f"{pk}kinds"] = store.kinds(account, pk)
    return found


@law(25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(some=hits_of_kinds, data=st.data())
def test_any_split_order_and_redelivery_of_any_kind_is_as_one_apply_in_memory(
    settings: Settings, store: Store, unique: str, some: list[dict[str, Any]], data: st.DataObject
) -> None:
    account = f"{unique}-{next(ACCOUNTS)}"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(some)), max_size=3)))
    parts = [some[i:j] for i, j in zip([0, *cuts], [*cuts, len(some)], strict=True)]
    publisher = publisher_of(account)
    messages = [message(part, settings, account, seq, publisher=publisher) for seq, part in enumerate(parts)]
    reference = MemoryStore(settings)
    Applier(reference, settings).apply(messages, NOW)
    messages = [each if data.draw(st.booleans()) else in_columns([each])[0] for each in messages]
    deliveries = data.draw(st.permutations(messages * data.draw(st.integers(1, 2))))
    applier = Applier(store, settings)
    while deliveries:
        together = data.draw(st.integers(1, len(deliveries)))
        applier.apply(deliveries[:together], NOW)
        deliveries = deliveries[together:]
    assert all_of(store, account, settings) == all_of(reference, account, settings)
    assert store.faults(account) == {}


@law(200)
@given(numbers=st.lists(st.integers(-(9 * 10**15), 9 * 10**15), min_size=1, max_size=60), share=st.floats(0, 1))
def test_a_quantile_is_within_one_percent(numbers: list[int], share: float) -> None:
    from whale.metric import bin_of

    counts: dict[str, int] = defaultdict(int)
    for number in numbers:
        counts[bin_of(number)] += 1
    found = quantiles([value_of(name) for name in counts], np.array(list(counts.values())).reshape(-1, 1), share)
    exact = sorted(numbers)[math.floor(share * (len(numbers) - 1))]
    assert abs(found[0] - exact) <= abs(exact) * RELATIVE_ERROR * (1 + 1e-6)

"""Decisions in every store: their moments, reads of many options at once, and what is kept of each."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from hail.hit import MILLION, encode_hit, parse_decided
from hail.message import Message, decode_message, encode_message
from hail.settings import Settings
from tests.contract.conftest import IN_REDIS, open_store
from tests.contract.hits import NOW, PUBLISHER
from whale.count.apply import Applier
from whale.decide.outcomes import Ratio, evidence_of, nodes_of
from whale.errors import CallerError
from whale.metric import COUNT, moment_path, product_bin, sum_bin
from whale.period import DAY, day_start, parse_period
from whale.store.base import Store
from whale.store.contract.decisions import DIGEST, Begun, Kept, Reward

PK = ("site", "page")
TODAY = day_start(int(NOW), "UTC")


def outcomes(given: list[dict[str, Any]], settings: Settings, account: str, seq: int = 0) -> Message:
    rows = [encode_hit(parse_decided({"pk": "site", "decision": "page", **each}, settings, NOW)) for each in given]
    return decode_message(encode_message(PUBLISHER, seq, account, len(rows), int(NOW * 1000), rows))


def moment(store: Store, account: str, pk: tuple[str, ...], bin_: str) -> int:
    return int(store.read(account, pk, [moment_path(bin_)], ["hits"], DAY, [TODAY])[0, 0, 0])


def test_moments_are_counted_at_the_root_of_an_outcome(settings: Settings, store: Store, unique: str) -> None:
    given = [
        {"option": "a", "dimensions": {"country": "US"}, "metrics": {"earned": 25, "spent": 0.5}},
        {"option": "a", "metrics": {"spent": -1.5}},
        {"option": "b", "metrics": {"hits": 3, "spent": 2}},
    ]
    applier = Applier(store, settings)
    applier.apply([outcomes(given, settings, unique)], NOW)
    applier.apply([outcomes(given, settings, unique)], NOW)  # it came again
    a, b = (*PK, "a"), (*PK, "b")
    found = {bin_: moment(store, unique, a, bin_) for bin_ in (COUNT, sum_bin("spent"), sum_bin("earned"))}
    assert found == {"n": 2, "=spent": -1_000_000, "=earned": 25_000_000}
    assert moment(store, unique, a, product_bin("spent", "spent")) == 2_500_000
    assert moment(store, unique, a, product_bin("earned", "spent")) == 12_500_000
    assert moment(store, unique, a, product_bin("earned", "earned")) == 625_000_000
    assert moment(store, unique, b, sum_bin("hits")) == 2_000_000
    assert moment(store, unique, b, product_bin("hits", "spent")) == 4_000_000
    assert moment(store, unique, PK, COUNT) == 3
    plain = store.read(unique, a, [(), ("country",), ("country", "US")], ["hits", "spent"], DAY, [TODAY])[..., 0]
    assert plain.tolist() == [[2, -1_000_000], [1, 500_000], [1, 500_000]]
    assert store.faults(unique) == {}


def test_large_numbers_keep_their_squares(settings: Settings, store: Store, unique: str) -> None:
    amounts = [9e9, -9e9, 8.5e9, 123_456.789, 0.000001, 3e6, 1e3] * 6
    given = [{"option": "a", "metrics": {"x": amount, "y": 9e9}} for amount in amounts]
    Applier(store, settings).apply([outcomes(given, settings, unique)], NOW)
    period = parse_period("today", NOW, "UTC", settings.periods)
    found = evidence_of(store, unique, PK, ["a"], [()], Ratio("x", "y"), period, 1000)
    n, x, y, xx, yy, xy = found.sums[0, 0]
    assert n == 42
    assert x == pytest.approx(sum(amounts), rel=1e-12)
    assert xx == pytest.approx(sum(amount**2 for amount in amounts), rel=1e-5)
    assert yy == pytest.approx(42 * 9e9**2, rel=1e-5)
    assert xy == pytest.approx(sum(amount * 9e9 for amount in amounts), rel=1e-5)
    assert y == 42 * 9e9
    assert store.faults(unique) == {}


def test_evidence_is_what_the_hits_add_up_to(settings: Settings, store: Store, unique: str) -> None:
    rng = random.Random(4)
    hits = []
    for _ in range(400):
        metrics: dict[str, Any] = {
            "earned": rng.choice([0, 0, rng.randrange(1, 5000) / 100]),
            "spent": rng.choice([0.5, 1.25]),
        }
        if rng.random() < 0.2:
            metrics["hits"] = rng.randrange(0, 4)
        if rng.random() < 0.5:
            del metrics[rng.choice(["earned", "spent"])]
        country = rng.choice(["US", "DE", "FR"])
        hits.append({"option": rng.choice("abc"), "dimensions": {"country": country}, "metrics": metrics})
    applier = Applier(store, settings)
    for seq in range(4):
        applier.apply([outcomes(hits[seq * 100 : seq * 100 + 100], settings, unique, seq)], NOW)
    nodes = nodes_of({"country": {"US": {}}})
    assert nodes == [(), ("country", "US")]
    period = parse_period("today", NOW, "UTC", settings.periods)
    for ratio in (Ratio("earned", "spent"), Ratio("earned"), Ratio("spent", "earned")):
        found = evidence_of(store, unique, PK, ["a", "b", "c", "never"], nodes, ratio, period, 1000)
        for i, option in enumerate("abc"):
            mine = [hit for hit in hits if hit["option"] == option]
            rows = np.array(
                [[hit["metrics"].get(name, name == "hits") for name in (ratio.reward, ratio.base)] for hit in mine]
            )
            y, x = rows.T.astype(float)
            expected = [len(mine), y.sum(), x.sum(), (y * y).sum(), (x * x).sum(), (x * y).sum()]
            assert found.sums[i, 0] == pytest.approx(expected, rel=1e-9)
            here = np.array([hit["dimensions"]["country"] == "US" for hit in mine])
            assert found.sums[i, 1, 1:3] == pytest.approx([y[here].sum(), x[here].sum()], rel=1e-9)
        assert not found.sums[3].any()


def test_many_pks_are_read_at_once(settings: Settings, unique: str) -> None:
    store, reader = open_store(settings), open_store(settings)
    if not settings.redis_url:
        reader = store
    applier = Applier(store, settings)
    names = [f"o{i}" for i in range(30)]
    pks = [(*PK, name) for name in (*names, "never")]
    paths = [(), ("d", "1"), ("d", "new")]

    def read() -> Any:
        return reader.read_many(unique, pks, paths, ["hits", "m", "none"], DAY, [TODAY - DAY, TODAY])

    assert not read().any()
    for seq in range(3):  # known, then grown by what the reader does not know yet
        more = {"dimensions": {"d": "1" if seq < 2 else "new"}, "metrics": {"m": seq + 1}}
        applier.apply([outcomes([{"option": name, **more} for name in names], settings, unique, seq)], NOW)
        found = read()
        one = np.stack([reader.read(unique, pk, paths, ["hits", "m", "none"], DAY, [TODAY - DAY, TODAY]) for pk in pks])
        assert (found == one).all()
        assert found.shape == (31, 3, 3, 2)
        assert found[:30, 0, 0, 1].tolist() == [seq + 1] * 30
        assert not found[30].any()
    store.reset(unique, (*PK, "o3"), None, NOW)
    applier.apply([outcomes([{"option": "o4"}], settings, unique, 9)], NOW + 1)
    found = read()
    assert found[3:5, 0, :2, 1].tolist() == [[0, 0], [4, 6 * MILLION]]


# What is kept


def keep(store: Store, account: str, visitor: str | None, nonce: str, now: float = NOW, **more: Any) -> Kept:
    text = f'{{"n": "{nonce}ß"}}'.encode()
    return store.keep_decision(account, PK, visitor, text, now, nonce, 100, **more)


def test_a_visitor_keeps_the_first_decision(settings: Settings, store: Store, unique: str) -> None:
    assert store.decision_of(unique, PK, "ann", NOW) is None
    first = keep(store, unique, "ann", "n1")
    assert first.id.endswith("-n1")
    assert keep(store, unique, "ann", "n2") == first
    assert store.decision_of(unique, PK, "ann", NOW) == first
    assert store.decision(unique, first.id, NOW) == first
    assert keep(store, unique, "bob", "n3").id.endswith("-n3")
    assert store.decision_of(unique, (*PK, "other"), "ann", NOW) is None
    assert store.decision_of(f"{unique}b", PK, "ann", NOW) is None
    second = keep(store, unique, "ann", "n4", instead_of=first.id)
    assert store.decision_of(unique, PK, "ann", NOW) == second
    assert keep(store, unique, "ann", "n5", instead_of=first.id) == second
    assert store.decision(unique, first.id, NOW) == first


def test_one_of_many_at_once_is_kept(settings: Settings, store: Store, unique: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: keep(store, unique, "ann", f"n{i}").id, range(40)))
    assert len(set(found)) == 1


def test_a_decision_without_a_visitor_is_found_by_its_id(settings: Settings, store: Store, unique: str) -> None:
    kept = [keep(store, unique, None, f"n{i}") for i in range(5)]
    assert [store.decision(unique, each.id, NOW) for each in kept] == kept
    for bad in ("", "-", "0-", "x-n1", "99999-n1", "0-n1 ", "-1-n1", "٣-n1", "0-nobody", "0-" + "n" * 5000):
        assert store.decision(unique, bad, NOW) is None
        with pytest.raises(CallerError, match="no decision .* is kept"):
            store.begin_reward(unique, bad, reward("", "1"), NOW)
        store.end_reward(unique, bad, reward("", "1"))


def reward(id_: str, digest: str, seq: int = 0, **amounts: int) -> Reward:
    return Reward(id_, digest * DIGEST, amounts, PUBLISHER, seq, seq + 1, 5)


def test_a_decision_has_one_reward_an_id(settings: Settings, store: Store, unique: str) -> None:
    kept = keep(store, unique, None, "n1")
    first = Begun(PUBLISHER, 0, 1, 5, None)
    large = 9 * 10**15
    for id_ in ("", "order"):
        store = open_store(settings) if settings.redis_url else store
        one = reward(id_, "1", a=large - 3) if not id_ else reward(id_, "1", 7, b=5, a=2)
        begun = store.begin_reward(unique, kept.id, one, NOW)
        assert begun == (first if not id_ else Begun(PUBLISHER, 7, 8, 5, {"a": large - 3}))
        again = store.begin_reward(unique, kept.id, reward(id_, "1", 99, **dict(one.amounts)), NOW)
        assert again == begun
        with pytest.raises(CallerError, match="has a different reward" if not id_ else "belongs to another reward"):
            store.begin_reward(unique, kept.id, reward(id_, "2", a=1), NOW)
        store.end_reward(unique, kept.id, reward(id_, "2", a=1))
        assert store.begin_reward(unique, kept.id, one, NOW) == begun
        store.end_reward(unique, kept.id, one)
        assert store.begin_reward(unique, kept.id, one, NOW) is None
    with pytest.raises(CallerError, match="expected a total from -9.0e9"):
        store.begin_reward(unique, kept.id, reward("more", "3", a=2), NOW)
    last = store.begin_reward(unique, kept.id, reward("more", "3", a=1), NOW)
    assert last == Begun(PUBLISHER, 0, 1, 5, {"a": large - 1, "b": 5})


def test_rewards_of_a_decision_are_bounded(settings: Settings, unique: str) -> None:
    store = open_store(settings.replace(max_rewards=3, max_metrics_per_hit=3))
    kept = keep(store, unique, None, "n1")
    for number in range(2):
        assert store.begin_reward(unique, kept.id, reward(str(number), "1"), NOW)
    with pytest.raises(CallerError, match="the limit is 2 metrics"):
        store.begin_reward(unique, kept.id, reward("2", "1", a=1, b=1, c=1), NOW)
    begun = store.begin_reward(unique, kept.id, reward("2", "1", a=1), NOW)
    assert begun is not None
    assert begun.before == {}
    with pytest.raises(CallerError, match="has 3 rewards"):
        store.begin_reward(unique, kept.id, reward("3", "1"), NOW)
    assert store.begin_reward(unique, kept.id, reward("2", "1", a=1), NOW) == begun


def test_rewards_at_once_are_added_one_after_the_other(settings: Settings, store: Store, unique: str) -> None:
    kept = keep(store, unique, None, "n1")

    def begin(number: int) -> Begun | None:
        return store.begin_reward(unique, kept.id, reward(str(number // 2), "1", a=1), NOW)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(begin, range(40)))
    befores = [begun.before for begun in found if begun]
    assert befores[::2] == befores[1::2]
    expected = [None, *({"a": n} for n in range(1, 20))]
    assert sorted(befores[::2], key=lambda before: before["a"] if before else 0) == expected


@pytest.mark.parametrize("settings", IN_REDIS, indirect=True)
def test_a_reward_that_an_earlier_version_noted_is_kept(store: Store, unique: str) -> None:
    key = "{}:{{{}}}:d:n1".format(unique, keep(store, unique, None, "n1").id.partition("-")[0])
    kept = keep(store, unique, None, "n1")
    client = store.client
    client.hset(key, "r", "1" * DIGEST)
    begun = store.begin_reward(unique, kept.id, reward("", "1", a=3), NOW)
    assert begun == Begun(PUBLISHER, 0, 1, 5, None)
    client.hdel(key, "s", "n")
    client.hset(key, mapping={"r": "1" * DIGEST, "d": "1"})
    assert store.begin_reward(unique, kept.id, reward("", "1", a=3), NOW) is None
    begun = store.begin_reward(unique, kept.id, reward("x", "1", a=3), NOW)
    assert begun == Begun(PUBLISHER, 0, 1, 5, {})


def test_past_the_bound_the_oldest_decisions_are_forgotten(settings: Settings, unique: str) -> None:
    store = open_store(settings.replace(max_decisions=3 * settings.shards))
    kept = [keep(store, unique, f"v{i}", f"n{i}", NOW + i) for i in range(20 * settings.shards)]
    there = [store.decision(unique, each.id, NOW + 100) is not None for each in kept]
    assert sum(there) == 3 * settings.shards
    assert all(there[-3:]) or settings.shards > 1
    sticky = [store.decision_of(unique, PK, f"v{i}", NOW) is not None for i in range(20 * settings.shards)]
    assert sticky == there

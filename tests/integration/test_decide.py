"""Decisions on a real Redis and Redis Cluster: what is counted, who is rewarded, and what is answered while Redis is away."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hail.hit import DECIDED, EXPECTED
from hail.settings import load
from tests.servers import RedisCluster, RedisServer, wait_until
from whale.client import Whale
from whale.decide.decider import AWAY_S
from whale.errors import CallerError
from whale.store.contract.decisions import DIGEST, Reward

ABC = ["a", "b", "c"]
US = {"country": {"US": "CA"}}


@pytest.fixture(params=["redis_server", "redis_cluster"])
def whale(request: pytest.FixtureRequest, unique: str) -> Whale:
    server: RedisServer | RedisCluster = request.getfixturevalue(request.param)
    settings = load({}).replace(redis_url=server.url, decide_snapshot_s=0.0)
    if request.param == "redis_cluster":
        settings = settings.replace(redis_url=server.url.replace("redis://", "redis+cluster://"), shards=8)
    return Whale.connect(settings, unique)


def test_many_visitors_at_once_are_decided_and_rewarded_once_each(whale: Whale) -> None:
    def visit(number: int) -> None:
        visitor = f"v{number % 60}"
        decision = whale.decision("page", None, ABC, visitor=visitor, dimensions=US)
        whale.reward(str(decision.decision_id), {"value": 2})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(240)))
    whale.flush()
    totals = whale.totals("page", None, ["hits", "value", DECIDED, EXPECTED], "today")["today"]["_"]
    assert totals == {"hits": 60, "value": 120, DECIDED: 60, EXPECTED: pytest.approx(60, abs=1e-3)}
    evidence = whale._decider().evidence(whale._asked("page", None, ABC, context=US))
    assert evidence.sums[:, 0, [0, 2, 4]].sum(axis=0).tolist() == [60, 60, 60]
    assert evidence.sums[:, 0, [1, 3, 5]].sum(axis=0).tolist() == [120, 240, 120]
    assert evidence.nodes == [(), ("country", "US"), ("country", "US", "CA")]
    assert evidence.trials.sum(axis=0).tolist() == [60, 60, 60]


def test_of_two_rewards_that_differ_one_counts(whale: Whale) -> None:
    made = str(whale.decision("page", None, ["a"], visitor="v").decision_id)

    def reward(value: int) -> int:
        try:
            return int(whale.reward(made, {"value": value}))
        except CallerError:
            return 0

    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(reward, range(1, 9)))
    assert sum(counted) == 1
    assert whale.total(["page", "a"], "value", period="today") == counted.index(1) + 1


def test_trials_are_counted_without_being_asked_for(whale: Whale) -> None:
    whale.decision("page", None, ["a"], visitor="v")
    wait_until(lambda: whale.total(["page", "a"], DECIDED, period="today") == 1)


def test_decisions_leave_nothing_that_never_expires(whale: Whale, unique: str) -> None:
    def keys() -> set[bytes]:
        return set(whale.store.client.scan_iter(f"{unique}:*"))

    whale.count_decision("page", option="a")
    before = keys()
    made = str(whale.decision("page", None, ["a"], visitor="v", trial=False).decision_id)
    with pytest.raises(CallerError):
        whale.reward(f"{made}x", {"value": 1})
    whale._decider()._slow.end_reward(unique, "0-gone", Reward("", "1" * DIGEST, {}, "0" * 16, 0, 1, 0))
    fresh = keys() - before
    assert {key.split(b":")[2] for key in fresh} >= {b"d", b"dv", b"decisions"}
    for key in fresh:
        if key.split(b":")[2] in (b"d", b"dv", b"decisions"):
            assert 0 < whale.store.client.ttl(key) <= whale.settings.decision_kept_s


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_while_redis_is_away_the_default_is_answered_and_afterwards_it_is_decided(
    own_redis: RedisServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whale.decide.decider.HURRY_S", 1.0)
    now = [1_800_000_000.0]
    settings = load({}).replace(redis_url=own_redis.url)
    whale = Whale.connect(settings)
    whale.clock = lambda: now[0]
    away: Callable[[], Any] = own_redis.kill9 if how == "killed" else own_redis.sigstop
    assert whale.decision("page", None, ABC, visitor="ann", default="b").reason == "chosen"
    whale.flush()
    away()
    for visitor in ("ann", "bob", None):
        found = whale.decision("page", None, ABC, visitor=visitor, default="b")
        assert (found.option, found.reason, found.decision_id) == ("b", "default", None)
    if how == "killed":
        own_redis.start()
    else:
        own_redis.sigcont()
    now[0] += AWAY_S
    assert whale.decision("page", None, ABC, visitor="ann", default="b").reason == "sticky"
    whale.flush()

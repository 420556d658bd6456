"""Rewards that are cut off: Whale or Redis is killed at each step of one, and whoever sends it again has it counted once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from hail.settings import Settings, load
from tests import cut
from tests.farm import ROOT
from tests.integration.test_interrupted import once
from tests.servers import RedisServer
from whale.client import Whale
from whale.errors import Unavailable
from whale.store.redis.decisions import Decisions
from whale.store.redis.ids import Ids
from whale.store.redis.writer import Writer

# of 256 shards four pks and a publisher seldom share one
PLACES = [
    (Decisions, "begin_reward", 1),
    (Ids, "claim_each", 1),
    *((Writer, "_send", at) for at in (1, 2, 3)),
    (Decisions, "end_reward", 1),
]
IDS = [None, "order-1", "order-2"]
VALUES = dict(zip(IDS, (3, 5, 7), strict=True))


def interrupted(part: type, method: str, at: int, then: Callable[[], Any]) -> Callable[..., Any]:
    """The method, which calls `then` at one of PLACES, once."""
    return (cut.after if part is Writer else once)(getattr(part, method), at, then)


@pytest.fixture
def settings(module_redis: RedisServer) -> Settings:
    return load({"HAILWHALE_REDIS_URL": module_redis.url, "HAILWHALE_SHARDS": "256"})


def is_counted_once(settings: Settings, account: str, decision_id: str) -> None:
    """Sent again, by a Whale that knows nothing of it, after more days than ids of hits are remembered."""
    whale = Whale.connect(settings, account)
    client = whale.store.client
    for key in client.scan_iter(f"{account}:*:id:*"):
        client.delete(key)
    for id_ in IDS:
        whale.reward(decision_id, {"value": VALUES[id_]}, id_)
        assert not whale.reward(decision_id, {"value": VALUES[id_]}, id_)
    whale.flush()
    total = sum(VALUES.values())
    for pk in (["page"], ["page", "a"], ["page", "a", "b"]):
        assert whale.total(pk, "value", period="today") == total, pk
    evidence = whale._decider().evidence(whale._asked(["page", "a"], None, ["b"]))
    assert evidence.sums[0, 0].tolist() == [1, total, 1, total**2, 1, total]
    assert len(client.keys(f"{account}:*:seen:*")) > 3
    audit = whale.store.audit(account)
    assert [each for each in audit if each.hits != each.total] == []


def decided(settings: Settings, account: str) -> str:
    whale = Whale.connect(settings, account)
    made = str(whale.decision(["page", "a"], None, ["b"], visitor="ann", dimensions={"country": "US"}).decision_id)
    whale.flush()
    return made


@pytest.mark.parametrize(("part", "method", "at"), PLACES)
def test_a_reward_counts_once_though_redis_is_killed(
    module_redis: RedisServer,
    settings: Settings,
    unique: str,
    monkeypatch: pytest.MonkeyPatch,
    part: type,
    method: str,
    at: int,
) -> None:
    made = decided(settings, unique)
    for id_ in IDS:
        if method == "claim_each" and id_:
            continue  # only what earlier versions noted is claimed
        with monkeypatch.context() as patched:
            patched.setattr(part, method, interrupted(part, method, at, module_redis.kill9))
            whale = Whale.connect(settings, unique)
            if method == "end_reward":
                assert whale.reward(made, {"value": VALUES[id_]}, id_)
            else:
                with pytest.raises(Unavailable):
                    whale.reward(made, {"value": VALUES[id_]}, id_)
        module_redis.start()
    is_counted_once(settings, unique, made)


KILLED = """
import os, signal, sys
from hail.settings import load
from tests.integration.test_rewards import IDS, PLACES, VALUES, interrupted
from whale.client import Whale

settings = load(os.environ)
for made, account, (part, method, at) in zip(sys.argv[1::2], sys.argv[2::2], PLACES):
    for id_ in IDS:
        pid = os.fork()
        if not pid:
            die = lambda: os.kill(os.getpid(), signal.SIGKILL)
            setattr(part, method, interrupted(part, method, at, die))
            Whale.connect(settings, account).reward(made, {"value": VALUES[id_]}, id_)
            os._exit(method == "claim_each" and id_ is not None)
        _, status = os.waitpid(pid, 0)
        assert status == signal.SIGKILL or os.WEXITSTATUS(status) == 1, (method, at, status)
"""


def environment(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HAILWHALE_REDIS_URL": settings.redis_url,
        "HAILWHALE_SHARDS": "256",
    }


def test_a_reward_counts_once_though_whale_is_killed(settings: Settings, unique: str) -> None:
    accounts = [f"{unique}-{i}" for i in range(len(PLACES))]
    mades = [decided(settings, account) for account in accounts]
    words = [word for pair in zip(mades, accounts, strict=True) for word in pair]
    subprocess.run([sys.executable, "-c", KILLED, *words], env=environment(settings), cwd=ROOT, check=True, timeout=60)
    for account, made in zip(accounts, mades, strict=True):
        is_counted_once(settings, account, made)


REWARDING = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from hail.settings import load
from whale.client import Whale

whale = Whale.connect(load(os.environ), sys.argv[1])
def reward(number):
    whale.reward(sys.argv[2 + number % 40], {"value": 1 + number % 7}, f"order {number}")
    print(number, flush=True)
with ThreadPoolExecutor(6) as pool:
    list(pool.map(reward, range(2000)))
"""


@pytest.mark.long(part="kills")
def test_rewards_count_once_through_kills_at_random_moments(settings: Settings, unique: str) -> None:
    whale, chance = Whale.connect(settings, unique), random.Random(5)
    mades = [str(whale.decision("page", None, ["a"], visitor=f"v{i}").decision_id) for i in range(40)]
    line = [sys.executable, "-c", REWARDING, unique, *mades]
    for _ in range(15):
        with subprocess.Popen(line, env=environment(settings), cwd=ROOT, stdout=subprocess.PIPE) as program:
            assert program.stdout is not None
            program.stdout.readline()
            time.sleep(chance.uniform(0, 0.5))
            program.send_signal(signal.SIGKILL)
    subprocess.run(line, env=environment(settings), cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=300)
    whale.flush()
    values = [1 + number % 7 for number in range(2000)]
    sums = [sum(values[i::40]) for i in range(40)]
    evidence = whale._decider().evidence(whale._asked("page", None, ["a"]))
    squares = sum(each**2 for each in sums)
    assert evidence.sums[0, 0].tolist() == [40, sum(values), 40, squares, 40, sum(values)]


def test_names_of_rewards_are_remembered_as_long_as_their_decision(settings: Settings, unique: str) -> None:
    made = decided(settings, unique)
    whale = Whale.connect(settings, unique)
    client: Any = whale.store.client
    known = set(client.scan_iter(f"{unique}:*:seen:*"))
    whale.reward(made, {"value": 1}, "x")
    fresh = set(client.scan_iter(f"{unique}:*:seen:*")) - known
    assert fresh
    assert all(client.ttl(key) > settings.decision_kept_s for key in fresh)

"""Redis is killed, stopped or cut off while a group of messages is on its way and the next one is made ready."""

import random
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hail.settings import Settings, load
from tests.contract.hits import NOW, message
from tests.contract.test_in_flight import PKS, before_call, counted, dropped, each
from tests.integration.test_interrupted import goes_back, once
from tests.servers import RedisCluster, RedisServer, wait_until
from whale.count.apply import Applier, MergingApplier
from whale.errors import Unavailable
from whale.store.redis import connect


@pytest.fixture
def settings(module_redis: RedisServer) -> Settings:
    return load({"HAILWHALE_REDIS_URL": module_redis.url, "HAILWHALE_SHARDS": "4"})


def of(seq: int, settings: Settings, account: str, ids: str = "") -> Any:
    return message(each(ids or f"of{seq}-"), settings, account, seq, PKS * (seq + 1))


@pytest.mark.parametrize("goes", ["back", "back, and another counts the same", "on"])
def test_redis_is_killed_between_the_claim_of_a_group_and_the_settling_of_the_one_before(
    module_redis: RedisServer,
    settings: Settings,
    unique: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    goes: str,
) -> None:
    store = connect(settings)
    applier = Applier(store, settings)
    applier.apply([of(0, settings, unique)], NOW)
    shutil.copytree(module_redis.folder / "appendonlydir", tmp_path / "aof")
    again = [message(each(f"of{seq}-"), settings, unique, seq + 2, PKS * (seq + 3)) for seq in (1, 2)]

    def goes_away() -> None:
        if goes == "on":
            module_redis.kill9()
            module_redis.start()
            return
        goes_back(module_redis, tmp_path / "aof")
        if goes != "back":
            Applier(connect(settings), settings).apply(again, NOW)

    monkeypatch.setattr(store, "claim_each", once(store.claim_each, 2, goes_away))
    applier.apply_each([[of(1, settings, unique)], [of(2, settings, unique)]], NOW)
    Applier(connect(settings), settings).apply(again, NOW)
    assert counted(store, unique) == {3}
    assert (store.audit(unique)[0].hits, dropped(store, unique)) == (5 * PKS, {"duplicate": 2 * PKS})


def test_another_thread_that_connects_anew_hides_no_restart(
    module_redis: RedisServer, settings: Settings, unique: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = connect(settings)
    applier = Applier(store, settings)
    applier.apply([of(0, settings, unique)], NOW)
    shutil.copytree(module_redis.folder / "appendonlydir", tmp_path / "aof")
    again = message(each("of1-"), settings, unique, 2, 3 * PKS)

    def goes() -> None:
        goes_back(module_redis, tmp_path / "aof")
        Applier(connect(settings), settings).apply([again], NOW)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(store.client.ping).result()

    monkeypatch.setattr(store, "claim_each", once(store.claim_each, 1, goes))
    applier.apply([of(1, settings, unique)], NOW)
    assert counted(store, unique) == {2}
    assert dropped(store, unique) == {"duplicate": PKS}


def test_a_server_that_is_away_for_a_while_loses_and_doubles_nothing(
    module_redis: RedisServer, settings: Settings, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = connect(settings)
    merging = MergingApplier(Applier(store, settings), settings, lambda: NOW)
    sent = once(store.writer._send, 1, module_redis.kill9)
    monkeypatch.setattr(store.writer, "_send", sent)
    with ThreadPoolExecutor(24) as pool:
        done = [pool.submit(merging.apply, [of(seq, settings, unique)]) for seq in range(24)]
        wait_until(lambda: not module_redis.running, what="the kill")
        module_redis.start()
        for each_ in done:
            each_.result(60)
    assert counted(connect(settings), unique) == {24}
    assert (store.audit(unique)[0].hits, dropped(store, unique)) == (24 * PKS, {})


class Interruption(BaseException):
    """As KeyboardInterrupt."""


def interrupted_soon() -> None:
    def interrupt(*_: object) -> None:
        raise Interruption

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)


@pytest.mark.parametrize(("error", "timeout_s"), [(Unavailable, 0.2), (Interruption, 20.0)])
def test_after_an_answer_that_nobody_read_each_command_gets_its_own(
    module_redis: RedisServer, settings: Settings, unique: str, error: type[BaseException], timeout_s: float
) -> None:
    store = connect(settings, timeout_s)
    applier = Applier(store, settings)
    applier.apply([message(each(), settings, unique, 0, PKS)], NOW)
    module_redis.sigstop()
    (going,) = applier.send([message(each(), settings, unique, 1, 2 * PKS)], NOW)
    if error is Interruption:
        interrupted_soon()
    with pytest.raises(error):
        applier.settle(going)
    module_redis.sigcont()
    for word in ("one", "two", "three"):
        assert store.client.echo(word) == word.encode()
    applier.apply([message(each(), settings, unique, seq, PKS * (seq + 1)) for seq in (1, 2)], NOW)
    assert counted(connect(settings), unique) == {3}


def test_an_error_of_the_program_between_two_groups_leaves_no_answer_behind(
    settings: Settings, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = connect(settings)
    applier = Applier(store, settings)
    applier.apply([of(0, settings, unique)], NOW)

    def fails() -> None:
        raise ArithmeticError

    for method in ("claim_each", "resets"):
        with monkeypatch.context() as patched:
            patched.setattr(store, method, before_call(getattr(store, method), 2, fails))
            with pytest.raises(ArithmeticError):
                applier.apply_each([[of(1, settings, unique)], [of(2, settings, unique)]], NOW)
        assert store.client.echo("mine") == b"mine"
    applier.apply([of(2, settings, unique), of(1, settings, unique)], NOW)
    assert counted(store, unique) == {3}


def test_a_caller_is_told_when_the_store_has_answered(
    module_redis: RedisServer, settings: Settings, unique: str
) -> None:
    store = connect(settings)
    merging = MergingApplier(Applier(store, settings), settings, lambda: NOW)
    merging.apply([message(each(), settings, unique, 0, PKS)])
    before = store.writer._sent
    module_redis.sigstop()
    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(merging.apply, [message(each(), settings, unique, seq, PKS)]) for seq in (1, 2, 3)]
        wait_until(lambda: store.writer._sent is not before, what="a group on its way")
        assert not any(each_.done() for each_ in done)
        module_redis.sigcont()
        for each_ in done:
            each_.result(60)
    assert counted(store, unique) == {4}


@pytest.mark.parametrize(("groups", "at"), [(1, 1), (3, 2)], ids=["in one group", "between groups"])
def test_connections_to_a_cluster_that_are_cut_are_made_again(
    redis_cluster: RedisCluster, unique: str, monkeypatch: pytest.MonkeyPatch, groups: int, at: int
) -> None:
    url = redis_cluster.url.replace("redis://", "redis+cluster://")
    settings = load({"HAILWHALE_REDIS_URL": url, "HAILWHALE_SHARDS": "8"})
    store = connect(settings)

    def cut() -> None:
        for node in store.client.get_primaries():
            store.client.get_redis_connection(node).connection_pool.disconnect()

    monkeypatch.setattr(store, "claim_each", once(store.claim_each, at, cut))
    Applier(store, settings).apply_each([[of(seq, settings, unique)] for seq in range(groups)], NOW)
    assert counted(store, unique) == {groups}
    for node in store.client.get_primaries():
        assert store.client.execute_command("ECHO", "mine", target_nodes=node) == b"mine"


def test_a_layout_that_was_read_while_a_slot_had_no_owner_is_read_again(
    redis_cluster: RedisCluster, unique: str
) -> None:
    url = redis_cluster.url.replace("redis://", "redis+cluster://")
    settings = load({"HAILWHALE_REDIS_URL": url, "HAILWHALE_SHARDS": "8"})
    store = connect(settings)
    applier = Applier(store, settings)
    for seq in range(2):
        applier.apply([message(each(), settings, unique, seq, PKS * (seq + 1))], NOW)
        assert counted(store, unique) == {seq + 1}
        store.client.nodes_manager.slots_cache.clear()


@pytest.mark.long(part="kills")
def test_a_cluster_that_is_started_again_forgets_no_claim(unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisCluster() as cluster:
        url = cluster.url.replace("redis://", "redis+cluster://")
        settings = load({"HAILWHALE_REDIS_URL": url, "HAILWHALE_SHARDS": "8"})
        store = connect(settings)
        again = [message(each(f"of{seq}-"), settings, unique, seq + 2, PKS * (seq + 3)) for seq in range(2)]

        def goes() -> None:
            cluster.stop()
            cluster.start()

        monkeypatch.setattr(store, "claim_each", once(store.claim_each, 2, goes))
        merging = MergingApplier(Applier(store, settings), settings, lambda: NOW)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda seq: merging.apply([of(seq, settings, unique)]), range(2)))
        for each_ in again:
            merging.apply([each_])
        assert counted(store, unique) == {2}
        assert dropped(store, unique) == {"duplicate": 2 * PKS}


@pytest.mark.long(part="kills")
@pytest.mark.parametrize("seed", range(3))
def test_kills_cut_connections_and_resets_at_random_moments(
    module_redis: RedisServer, settings: Settings, unique: str, seed: int
) -> None:
    """Each id in two messages, each message handed to two appliers."""
    chance = random.Random(seed)
    stores = [connect(settings) for _ in range(2)]
    appliers = [MergingApplier(Applier(store, settings), settings, lambda: NOW) for store in stores]
    messages = [message(each(f"of{seq // 2}-"), settings, unique, seq, PKS * (seq + 1)) for seq in range(2000)]
    deliveries = [(applier, [each_]) for each_ in messages for applier in appliers]
    chance.shuffle(deliveries)
    with ThreadPoolExecutor(32) as pool:
        done = [pool.submit(applier.apply, parts) for applier, parts in deliveries]
        while not all(each_.done() for each_ in done):
            time.sleep(chance.uniform(0, 0.1))
            match chance.randrange(4):
                case 0:
                    module_redis.kill9()
                    module_redis.start()
                case 1:
                    module_redis.client().client_kill_filter(_type="normal", skipme=True)
                case 2:
                    connect(settings).reset(unique, ("other",), None, NOW - 1)
                case 3:
                    module_redis.client().script_flush()
        for each_ in done:
            each_.result()
    assert counted(stores[0], unique) == {1000}
    assert (stores[0].audit(unique)[0].hits, dropped(stores[0], unique)) == (2000 * PKS, {"duplicate": 1000 * PKS})

"""Redis goes back to an older state in the middle of an apply: between the claim of ids and the cells, or between two shards."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hail.settings import Settings, load
from tests import cut
from tests.contract.hits import NOW, PUBLISHER, message, sums
from tests.servers import RedisCluster, RedisServer, wait_until
from whale.count.apply import Applier
from whale.errors import SetupError, Unavailable
from whale.store.redis import RedisStore, connect

HITS = [{"pk": f"pk{i}", "id": f"id{i}"} for i in range(20)]


@pytest.fixture
def settings(own_redis: RedisServer) -> Settings:
    return load({"HAILWHALE_REDIS_URL": own_redis.url, "HAILWHALE_SHARDS": "4"})


def goes_back(server: RedisServer, copies: Path) -> None:
    """Ends the server and starts it with the log that was copied."""
    server.kill9()
    folder = server.folder / "appendonlydir"
    shutil.rmtree(folder)
    shutil.copytree(copies, folder)
    server.start()


def once(method: Callable[..., Any], at: int, then: Callable[[], None]) -> Callable[..., Any]:
    """The method, which after its call number `at` (from 1) calls `then`, once."""
    calls = 0

    def called(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        result = method(*args, **kwargs)
        calls += 1
        if calls == at:
            then()
        return result

    return called


@pytest.mark.parametrize(("method", "at"), [("claim_each", 1), ("_send", 1), ("_send", 3)])
def test_what_was_claimed_or_applied_before_is_done_again(
    own_redis: RedisServer,
    settings: Settings,
    unique: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    at: int,
) -> None:
    store = connect(settings)
    applier = Applier(store, settings)
    applier.apply([message([{"pk": f"pk{i}"} for i in range(20)], settings, unique, 0)], NOW)
    shutil.copytree(own_redis.folder / "appendonlydir", tmp_path / "aof")
    part = store if method == "claim_each" else store.writer
    interrupted = (once if method == "claim_each" else cut.after)(
        getattr(part, method), at, lambda: goes_back(own_redis, tmp_path / "aof")
    )
    monkeypatch.setattr(part, method, interrupted)
    applier.apply([message(HITS, settings, unique, 1, 40)], NOW)
    Applier(connect(settings), settings).apply([message(HITS, settings, unique, 2, 60)], NOW)
    assert [sums(connect(settings), unique, (f"pk{i}",), [()])[0] for i in range(20)] == [2] * 20


def test_a_connection_lost_between_two_applies_is_made_again(
    own_redis: RedisServer, settings: Settings, unique: str
) -> None:
    applier = Applier(connect(settings), settings)
    applier.apply([message(HITS, settings, unique, 0)], NOW)
    own_redis.kill9()
    with pytest.raises(Unavailable):
        applier.apply([message([{"pk": "new", "id": "new"}], settings, unique, 1)], NOW)
    own_redis.start()
    applier.apply([message([{"pk": "new", "id": "new"}], settings, unique, 1)], NOW)
    assert sums(connect(settings), unique, ("new",), [()]) == [1]


def test_a_server_of_a_cluster_that_was_started_again_interrupts(unique: str) -> None:
    with RedisCluster() as cluster:
        url = cluster.url.replace("redis://", "redis+cluster://")
        settings = load({"HAILWHALE_REDIS_URL": url, "HAILWHALE_SHARDS": "8"})
        store = connect(settings)
        names = [(f"id{i}", (PUBLISHER, 0)) for i in range(100)]
        with store.steady():
            store.claim(unique, names, NOW)
            cluster.stop()
            cluster.start()
            with pytest.raises(Unavailable):
                store.claim(unique, names, NOW)
        wait_until(lambda: claimed(store, unique, names), what="the cluster")


def claimed(store: RedisStore, account: str, names: list[tuple[str, tuple[str, int]]]) -> bool:
    try:
        with store.steady():
            return store.claim(account, names, NOW) == set()
    except Unavailable:
        return False


def test_other_threads_may_hold_the_connections(settings: Settings, unique: str) -> None:
    store = connect(settings)
    pool = store.client.connection_pool
    held = [pool.get_connection() for _ in range(3)]
    Applier(store, settings).apply([message(HITS, settings, unique, 0)], NOW)
    for connection in held:
        pool.release(connection)
    assert sums(store, unique, ("pk0",), [()]) == [1]


def test_a_user_without_the_right_to_ask_is_told(own_redis: RedisServer, settings: Settings) -> None:
    own_redis.client().execute_command("ACL", "SETUSER", "meek", "on", ">word", "~*", "+@all", "-info")
    with pytest.raises(
        SetupError, match="the user in HAILWHALE_REDIS_URL lacks a right .*info.*: docs/deploy.md lists those it needs"
    ):
        connect(settings.replace(redis_url=own_redis.url.replace("redis://", "redis://meek:word@")))

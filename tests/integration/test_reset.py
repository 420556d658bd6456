"""A reset while two appliers count, and the sweeper that frees what it left."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hail.hit import encode_hit, parse_hit
from hail.message import Message, decode_message, encode_message
from hail.settings import MONTH, Settings, load
from tests.contract.hits import NOW, sums
from tests.servers import RedisServer, wait_until
from whale.count.apply import Applier, MergingApplier
from whale.dimension import Path
from whale.health.audit import Found, close
from whale.store import connect
from whale.store.redis import RedisStore

HITS = 40
COUNTRIES = ("US", "DE", "FR")


@pytest.fixture(scope="module", params=[1, 8], ids=["one shard", "eight shards"])
def settings(request: pytest.FixtureRequest) -> Iterator[Settings]:
    with RedisServer() as server:
        yield load({"HAILWHALE_REDIS_URL": server.url, "HAILWHALE_SHARDS": str(request.param)})


def redis_store(settings: Settings) -> RedisStore:
    store = connect(settings)
    assert isinstance(store, RedisStore)
    return store


def message_of(publisher: int, seq: int, at: float, settings: Settings, account: str) -> Message:
    wire = []
    for i in range(HITS):
        pk = ["Product", str(i % 4)] if i % 2 else ["Other", str(i % 4)]
        dimensions = {"country": COUNTRIES[i % 3], "page": f"p{(seq * HITS + i) % 300}"}
        wire.append(encode_hit(parse_hit({"pk": pk, "dimensions": dimensions}, settings, at)))
    name = f"{publisher:016x}"
    return decode_message(encode_message(name, seq, account, (seq + 1) * HITS, int(at * 1000), wire))


@pytest.mark.parametrize("path", [None, ("country", "US")], ids=["pk", "path"])
def test_a_reset_under_load_loses_nothing_that_came_after_it(
    settings: Settings, unique: str, path: tuple[str, ...] | None
) -> None:
    """Each applier gets messages stamped before or after the reset, in one go, while it runs; some of them twice."""
    store = redis_store(settings)
    accepted: list[list[Message]] = [[], []]
    reset_at: list[float] = []
    was_reset = threading.Event()
    failures: list[BaseException] = []

    def count(publisher: int) -> None:
        applier = Applier(redis_store(settings), settings)
        held: list[Message] = []
        sent: list[Message] = []
        try:
            for seq in range(60):
                message = message_of(publisher, seq, time.time(), settings, unique)
                accepted[publisher].append(message)
                if seq % 5 == 3:  # waits in a queue, and comes after the reset
                    held.append(message)
                else:
                    sent.append(message)
                    applier.apply([message, *sent[-3:-1]], time.time())
                time.sleep(0.004)
            assert was_reset.wait(60)
            applier.apply(held, time.time())
        except BaseException as error:  # shown by the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=count, args=(publisher,)) for publisher in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: all(len(mine) > 25 for mine in accepted), what="some messages")
    begin = time.time()
    store.reset(unique, ("Product",), path, begin)
    reset_at.append(time.time())
    was_reset.set()
    for thread in threads:
        thread.join()
    assert failures == []

    def hits_of(since: float, wanted: Any) -> int:
        messages = [message for mine in accepted for message in mine if message.at >= since * 1000]
        return sum(wanted(hit) for message in messages for hit in message.hits)

    def is_product(hit: Any) -> bool:
        return b"Product" in bytes(hit.pk)

    def is_us(hit: Any) -> bool:
        return is_product(hit) and b'"US"' in bytes(hit.dimensions)

    now = time.time()
    reader = redis_store(settings)
    gone: Path = path or ()
    found = sums(reader, unique, ("Product",), [gone], now=now)[0]
    # what was accepted while the reset ran may be on either side
    assert (
        hits_of(reset_at[0], is_us if path else is_product)
        <= found
        <= hits_of(int(begin * 1000) / 1000, is_us if path else is_product)
    )
    assert sums(reader, unique, ("Other",), [()], now=now)[0] == hits_of(0, lambda hit: not is_product(hit))
    meanwhile = hits_of(int(begin * 1000) / 1000, is_product) - hits_of(reset_at[0], is_product)
    for pk in (("Product",), ("Other",)):
        root, country, *each = sums(
            reader, unique, pk, [(), ("country",), *(("country", name) for name in COUNTRIES)], now=now
        )
        pages: list[Path] = [("page", f"p{i}") for i in range(300)]
        below: list[Path] = [(None, str(i)) for i in range(4)]
        assert root == country == sum(sums(reader, unique, pk, pages, now=now))
        assert root == sum(sums(reader, unique, pk, below, now=now))
        if path is None or pk == ("Other",):
            assert root == sum(each)
        for i in range(4):
            child = sums(reader, unique, (*pk, str(i)), [()], now=now)[0]
            difference = child - sums(reader, unique, pk, [(None, str(i))], now=now)[0]
            assert abs(difference) <= (0 if path or pk == ("Other",) else meanwhile)
    assert sorted(reader.pks(unique)) == ["Other", "Product"]
    audit = close(reader, unique, Found())
    assert audit.closes
    assert audit.whole.accepted == 2 * 60 * HITS
    assert audit.whole.dropped.keys() == (set() if path else {"reset"})


def test_a_worker_that_knew_the_pk_writes_nothing_of_before_under_numbers_of_after(
    settings: Settings, unique: str
) -> None:
    old, new, store = (redis_store(settings) for _ in range(3))
    stale, fresh = Applier(old, settings), Applier(new, settings)
    stale.apply([message_of(1, 0, NOW, settings, unique)], NOW)
    store.reset(unique, ("Product",), None, NOW + 1)
    fresh.apply([message_of(2, 7, NOW + 2, settings, unique)], NOW + 2)
    before = sums(store, unique, ("Product",), [("page", f"p{i}") for i in range(300)])
    stale.apply([message_of(1, 1, NOW, settings, unique)], NOW + 3)
    assert sums(store, unique, ("Product",), [("page", f"p{i}") for i in range(300)]) == before
    assert sum(before) == HITS / 2
    stale.apply([message_of(1, 2, NOW + 3, settings, unique)], NOW + 3)
    assert sums(store, unique, ("Product",), [()]) == [HITS]


def keys_of(store: RedisStore, account: str, kind: str) -> int:
    return sum(1 for _ in store.client.scan_iter(f"{account}:*:{kind}:*", count=1000))


@pytest.fixture
def large(settings: Settings, unique: str) -> RedisStore:
    """A pk of more than 100,000 cells, beside a small one."""
    store = redis_store(settings)
    applier = Applier(store, settings)
    for seq in range(4):
        hits: list[dict[str, Any]] = [
            {"pk": "big", "dimensions": {"page": {f"p{i}": f"q{i % 3}"}}, "at": NOW - i * 37 % 80_000}
            for i in range(seq * 2000, seq * 2000 + 2000)
        ]
        hits.append({"pk": "small", "dimensions": {"page": "p1"}})
        wire = [encode_hit(parse_hit(hit, settings, NOW)) for hit in hits]
        message = encode_message("ab" * 8, seq, unique, (seq + 1) * len(wire), int(NOW * 1000), wire)
        applier.apply([decode_message(message)], NOW)
    return store


@pytest.mark.parametrize("path", [None, ("page",)], ids=["pk", "path"])
def test_memory_is_freed_in_small_steps(
    settings: Settings, large: RedisStore, unique: str, path: tuple[str, ...] | None
) -> None:
    client = large.client
    before = keys_of(large, unique, "r")
    large.reset(unique, ("big",), path, NOW + 1)
    assert sums(large, unique, ("big",), [("page",), ("page", "p1")]) == [0, 0]
    steps = 0
    for other in range(3):  # killed twice, and taken up by another process
        sweeper = redis_store(settings)
        while sweeper.sweep(unique, NOW + 2):
            steps += 1
            if other < 2 and steps % 40 == 39:
                client.delete(f"{unique}:{{0}}:sweeping")
                break
    assert steps > 80 if path else steps > 3
    assert not client.exists(f"{unique}:{{0}}:trash")
    after = keys_of(large, unique, "r")
    if path is None:
        assert after <= 10  # of the small one
        assert keys_of(large, unique, "n") == 3
    else:
        assert after < before / 4
        shard, pk_id = large_key(settings, unique)
        fields = client.hgetall(f"{unique}:{{{shard}}}:n:{pk_id}")
        assert fields[b"c"] == b"0"
        assert len(fields) < 12
    assert sums(large, unique, ("small",), [(), ("page", "p1")]) == [4, 4]
    assert sums(large, unique, ("big",), [()], interval=MONTH) == [8000 if path else 0]


def large_key(settings: Settings, account: str) -> tuple[int, str]:
    from whale.store.redis.keys import Keys

    return Keys(account, int(settings.shards)).pk(("big",))


def test_a_waiting_applier_sweeps(settings: Settings, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whale.count.apply.SWEEP_IDLE_S", 0.02)
    store = redis_store(settings)
    merging = MergingApplier(Applier(redis_store(settings), settings), settings)
    merging.apply([message_of(1, 0, time.time(), settings, unique)])
    store.reset(unique, ("Product",), None, time.time())
    wait_until(lambda: not store.client.exists(f"{unique}:{{0}}:trash"), what="the sweeper")


def test_a_reset_cut_off_anywhere_is_completed_by_the_next(
    settings: Settings, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was done of it, hits that come meanwhile count in the right place, and a second reset does the rest."""
    for calls in range(0, 60, 3):
        account = f"{unique}-{calls}"
        store = redis_store(settings)
        applier = Applier(redis_store(settings), settings)
        applier.apply([message_of(1, 0, NOW, settings, account)], NOW)
        left = [calls]
        send = store.client.execute_command

        def cut(*args: Any, left: list[int] = left, send: Any = send, **more: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise ConnectionError("cut off")
            return send(*args, **more)

        monkeypatch.setattr(store.client, "execute_command", cut)
        done = True
        try:
            store.reset(account, ("Product",), None, NOW + 1)
        except ConnectionError:
            done = False
        monkeypatch.setattr(store.client, "execute_command", send)
        applier.apply([message_of(1, 1, NOW + 2, settings, account)], NOW + 2)
        if not done:
            store.reset(account, ("Product",), None, NOW + 3)
            assert sums(store, account, ("Product",), [(), ("country", "US")]) == [0, 0]
        applier.apply([message_of(1, 2, NOW + 4, settings, account)], NOW + 4)
        while store.sweep(account, NOW + 5):
            pass
        reader = redis_store(settings)
        expected = HITS // 2 * (2 if done else 1)
        assert sums(reader, account, ("Product",), [()]) == [expected]
        assert sorted(reader.pks(account)) == ["Other", "Product"]
        assert sums(reader, account, ("Other",), [()]) == [3 * HITS // 2]
        assert close(reader, account, Found()).closes

"""The visitor log in Redis: it may be packed beside others who pack, log and read, and be killed at each step."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from hail.settings import DAY, load
from tests import log_oracle
from tests.contract.logs import CAPS, FOR_EVER_MS, NOW_MS, entry, hash_in, logged, pass_by, visit
from tests.servers import RedisServer
from whale.accounts import Act, Site
from whale.store.redis import RedisStore, connect
from whale.store.redis.compaction import SMALL_BYTES, Compaction
from whale.store.redis.connection import Connection, Script, pack
from whale.store.redis.keys import Keys
from whale.visitors.entries import DAY_MS, Done, SiteLog, entry_of


class Killed(Exception):
    pass


class Interrupting:
    """A client or a script, which does something before or after each call."""

    def __init__(self, wrapped: Any, between: Callable[[str], None], name: str = ""):
        self._wrapped, self._between, self._name = wrapped, between, name

    def __call__(self, *args: Any, **more: Any) -> Any:
        self._between(f"before {self._name}")
        answer = self._wrapped(*args, **more)
        self._between(f"after {self._name}")
        return answer

    def __getattr__(self, name: str) -> Any:
        return Interrupting(getattr(self._wrapped, name), self._between, name)


STEPS = [f"{when} {step}" for step in ("freeze", "get", "hgetall", "set", "commit") for when in ("before", "after")]


def interrupted(store: RedisStore, between: Callable[[str], None]) -> Compaction:
    """A compaction like any other, in which something may happen at each step."""
    found = Compaction(store._database)
    found._client = Interrupting(found._client, between)
    found._freeze = Interrupting(found._freeze, between, "freeze")
    found._commit = Interrupting(found._commit, between, "commit")
    return found


@pytest.fixture
def store(redis_server: RedisServer) -> RedisStore:
    return connect(load({"HAILWHALE_REDIS_URL": redis_server.url}))


@pytest.fixture
def log(unique: str) -> SiteLog:
    return SiteLog(unique, "shop", keep_days=400)


def key_of(store: RedisStore, log: SiteLog, partition: int = 0) -> str:
    return Keys(log.account, store.shards).log(log.site, log.generation, partition)[1]


class Writing:
    """Messages about some visitors in some months, and what is to be read of them."""

    def __init__(self, store: RedisStore, log: SiteLog, rng: random.Random):
        self.store, self.log, self.rng = store, log, rng
        self.sent: list[dict[str, Any]] = []

    def more(self) -> None:
        hits = [
            {
                "visitor": f"visitor {self.rng.randrange(9)}",
                "event": self.rng.choice(["visit", "buy", ""]),
                "properties": {self.rng.choice(["plan", "price"]): str(self.rng.randrange(3))},
                "at": NOW_MS - self.rng.choice([0, 1, 40 * DAY_MS, 80 * DAY_MS]) - self.rng.randrange(1000),
            }
            for _ in range(self.rng.randrange(1, 6))
        ]
        self.sent.append({"name": len(self.sent), "at": NOW_MS, "hits": hits})
        self.store.add_to_log([entry(self.log, self.sent[-1], "ab" * 8)], CAPS)

    def again(self) -> None:
        if self.sent:
            self.store.add_to_log([entry(self.log, self.rng.choice(self.sent), "ab" * 8)], CAPS)

    def check(self) -> None:
        assert logged(self.store, self.log) == log_oracle.log(self.sent, 400 * DAY_MS)


@pytest.mark.parametrize("step", STEPS)
def test_a_compaction_that_is_killed_at_a_step_loses_and_doubles_nothing(
    store: RedisStore, log: SiteLog, step: str
) -> None:
    writing = Writing(store, log, random.Random(step))
    for _ in range(5):
        writing.more()
    store.compact_log(log, 0)
    for _ in range(5):
        writing.more()
    happened = []

    def kill(now: str) -> None:
        if now == step:
            happened.append(now)
            raise Killed

    with pytest.raises(Killed):
        interrupted(store, kill).compact_log(log, 0)
    assert happened == [step]
    writing.check()
    writing.more()
    writing.again()
    writing.check()
    while store.compact_log(log, 0):
        writing.check()
    key = key_of(store, log)
    assert not store.client.exists(f"{key}:t", f"{key}:z")
    assert not any(store.client.ttl(f"{key}:b:{id_.decode()}") >= 0 for id_ in store.client.hkeys(f"{key}:x"))


@pytest.mark.parametrize("step", STEPS)
def test_of_two_compactions_one_wins_wherever_they_meet(store: RedisStore, log: SiteLog, step: str) -> None:
    writing = Writing(store, log, random.Random(step))
    for _ in range(4):
        writing.more()
    store.compact_log(log, 0)
    writing.more()
    inner = []

    def meet(now: str) -> None:
        if now == step and not inner:
            writing.more()
            inner.append(store.compact_log(log, 0))
            writing.more()

    interrupted(store, meet).compact_log(log, 0)
    assert len(inner) == 1
    writing.check()
    store.compact_log(log, 0)
    store.compact_log(log, 0)
    writing.check()


def test_a_compaction_does_not_take_the_frozen_tail_of_another_one_for_its_own(store: RedisStore, log: SiteLog) -> None:
    writing = Writing(store, log, random.Random(1))
    writing.more()

    def kill(now: str) -> None:
        if now == "after freeze":
            raise Killed

    def overtake(now: str) -> None:
        if now == "before commit":
            assert store.compact_log(log, 0)
            writing.more()
            with pytest.raises(Killed):
                interrupted(store, kill).compact_log(log, 0)

    assert not interrupted(store, overtake).compact_log(log, 0)
    writing.check()
    assert store.compact_log(log, 0)
    writing.check()


def test_a_commit_without_a_tail_needs_all_old_parts_and_all_new_ones(store: RedisStore, log: SiteLog) -> None:
    key, commit = key_of(store, log), Script(store.client, "commit")
    store.add_to_log([visit(log, 0, "ann")], CAPS)
    store.compact_log(log, 0)
    index = store.client.hgetall(f"{key}:x")
    (old,), (row,) = index.keys(), index.values()
    store.client.set(f"{key}:b:new", store.client.get(f"{key}:b:{old.decode()}"), ex=60)
    state = store.client.hgetall(key)
    assert commit([key], ["", "word", 60, pack([[old.decode(), "gone"], []]), "new", row]) == 0
    assert commit([key], ["", "word", 60, pack([[old.decode()], []]), "new", row, "expired", row]) == 0
    assert (store.client.hgetall(f"{key}:x"), store.client.hgetall(key)) == (index, state)
    assert commit([key], ["", "word", 60, pack([[old.decode()], []]), "new", row]) == 1
    assert store.client.hgetall(f"{key}:x") == {b"new": row}
    assert [store.client.exists(f"{key}:b:{each}") for each in (old.decode(), "new")] == [0, 1]
    assert store.client.ttl(f"{key}:b:new") == -1
    assert [record[0] for record in logged(store, log)] == ["ann"]


def test_a_part_that_is_lost_stops_no_compaction(store: RedisStore, log: SiteLog) -> None:
    key = key_of(store, log)
    store.add_to_log([visit(log, 0, "ann")], CAPS)
    store.compact_log(log, 0)
    (lost,) = store.client.hkeys(f"{key}:x")
    store.client.delete(f"{key}:b:{lost.decode()}")
    store.add_to_log([visit(log, 1, "bob")], CAPS)
    assert store.compact_log(log, 0)
    assert lost in store.client.hkeys(f"{key}:x")
    assert len(store.read_log(log, 0, 0, FOR_EVER_MS).columns["e", "visit"].ticks) == 1


@pytest.mark.parametrize("seed", range(25))
def test_any_schedule_of_writers_redelivery_kills_compactions_and_readers(
    store: RedisStore, log: SiteLog, seed: int
) -> None:
    rng = random.Random(seed)
    writing = Writing(store, log, rng)

    def anything(now: str) -> None:
        what = rng.randrange(12)
        if what == 0:
            raise Killed
        (writing.more, writing.again, lambda: store.compact_log(log, 0), writing.check, *[lambda: None] * 7)[what - 1]()

    for _ in range(rng.randrange(5, 30)):
        rng.choice([writing.more, writing.again, writing.more])()
        if rng.random() < 0.5:
            with suppress(Killed):
                interrupted(store, anything).compact_log(log, 0)
    writing.check()


def test_readers_and_writers_beside_a_compaction_see_each_event_once(
    store: RedisStore, redis_server: RedisServer, log: SiteLog
) -> None:
    other = connect(load({"HAILWHALE_REDIS_URL": redis_server.url}))
    messages, end, faults = 150, threading.Event(), list[BaseException]()

    def pack() -> None:
        try:
            while not end.is_set():
                other.compact_log(log, 0)
        except BaseException as error:
            faults.append(error)
            raise

    packing = [threading.Thread(target=pack) for _ in range(2)]
    for thread in packing:
        thread.start()
    reader, seen = connect(load({"HAILWHALE_REDIS_URL": redis_server.url})), 0
    try:
        for seq in range(messages):
            store.add_to_log([visit(log, seq, "ann", f"v{seq}")], CAPS)
            columns = reader.read_log(log, 0, 0, FOR_EVER_MS).columns
            assert len(columns["e", "visit"].ticks) == 2 * (seq + 1)
            seen += 1
    finally:
        end.set()
        for thread in packing:
            thread.join()
    assert not faults
    assert seen == messages
    assert Counter(record[0] for record in logged(store, log))["ann"] == messages


def test_small_parts_of_a_month_are_packed_together_and_large_ones_stay(store: RedisStore, log: SiteLog) -> None:
    key = key_of(store, log)
    for seq in range(4):
        store.add_to_log([visit(log, seq, "ann", "bob")], CAPS)
        assert store.compact_log(log, 0)
        assert store.client.hlen(f"{key}:x") == 1
    (before,) = store.client.hkeys(f"{key}:x")
    rng = np.random.default_rng(1)
    raw = np.zeros(400_000, [("v", "<u4"), ("d", "<u2"), ("t", "<u4"), ("c", "<u4")])
    raw["v"], raw["d"] = rng.integers(0, 2**27, len(raw)), NOW_MS // DAY_MS
    raw["t"] = rng.integers(0, DAY_MS * 49, len(raw))
    store.client.set(f"{key}:t", raw.tobytes())
    assert store.compact_log(log, 0)
    (large,) = store.client.hkeys(f"{key}:x")
    assert large != before
    assert store.client.strlen(f"{key}:b:{large.decode()}") > SMALL_BYTES
    store.add_to_log([visit(log, 5, "ann")], CAPS)
    assert store.compact_log(log, 0)
    assert large in store.client.hkeys(f"{key}:x")
    assert store.client.hlen(f"{key}:x") == 2
    assert len(store.read_log(log, 0, 0, FOR_EVER_MS).columns["e", "visit"].ticks) == 400_009


def test_a_short_tail_is_left_alone_until_it_has_as_many_as_are_asked_for(store: RedisStore, log: SiteLog) -> None:
    assert store.add_to_log([visit(log, 0, "ann", "bob")], CAPS) == {(log, 0): 2}
    assert not store.compact_log(log, 0, 3)
    assert store.add_to_log([visit(log, 1, "ann")], CAPS) == {(log, 0): 3}
    assert store.compact_log(log, 0, 3)
    assert store.add_to_log([visit(log, 1, "ann")], CAPS) == {}


def test_visitors_lie_in_small_packed_buckets_and_each_id_in_the_chunk_that_its_row_names(
    store: RedisStore, log: SiteLog
) -> None:
    people = [f"visitor {number}" for number in range(6_000)]
    for seq in range(6):
        store.add_to_log([visit(log, seq, *people[1000 * seq : 1000 * seq + 1000])], CAPS)
    pass_by(store, log, 180 * DAY)
    for seq in range(6, 10):
        store.add_to_log([visit(log, seq, *people[5000 - 1000 * (seq - 6) :][:1000], f"new {seq}")], CAPS)
    key = key_of(store, log)
    for period, count in ((1, 6_000), (2, 4_004)):
        buckets = int(store.client.hget(key, f"b:{period}") or 0)
        assert buckets == -(-count // 64)
        rows, lying = dict[bytes, bytes](), 0
        for bucket in range(buckets):
            some = store.client.hgetall(f"{key}:f:{period}:{bucket}")
            assert 0 < len(some) <= 512
            assert store.client.object("encoding", f"{key}:f:{period}:{bucket}") in (b"listpack", b"ziplist")
            assert store.client.ttl(f"{key}:f:{period}:{bucket}") > 0
            rows |= some
            lying += len(some)
        assert lying == len(rows) == count
        numbers = [int.from_bytes(row[:4], "little") for row in rows.values()]
        assert len(set(numbers)) == count
        for row in list(rows.values())[::50]:
            chunk = store.client.get(f"{key}:i:{period}:{int.from_bytes(row[4:], 'little')}")
            assert row[:4] in chunk
            assert store.client.ttl(f"{key}:i:{period}:{int.from_bytes(row[4:], 'little')}") > 0
    assert sorted(store.ids_in_log(log, 0, range(7_000)).values()) == sorted(
        [name.encode() for name in people] + [f"new {seq}".encode() for seq in range(6, 10)]
    )


def test_buckets_that_were_empty_expire_as_others_do(store: RedisStore, log: SiteLog) -> None:
    def uneven(visitor: str) -> bytes:  # all hashes are even, then some odd ones come
        number = int(visitor)
        return (2 * number + (number >= 200)).to_bytes(4, "little") + bytes(12)

    for seq, people in enumerate((range(200), range(200, 260))):
        hits = [Done(str(number), NOW_MS, "visit") for number in people]
        store.add_to_log([entry_of(log, (log.account, "ab" * 8, seq), NOW_MS, hits, uneven)], CAPS)
        found = [store.client.hlen(f"{key_of(store, log)}:f:1:{bucket}") for bucket in range(4)]
        assert (0 in found) == (seq == 0)
    keys = list(store.client.scan_iter(f"{key_of(store, log)}:f:1:*"))
    assert len(keys) >= 4
    assert min(store.client.ttl(key) for key in keys) > 0


def test_a_server_that_is_killed_and_started_again_has_each_message_once(own_redis: RedisServer, unique: str) -> None:
    settings = load({"HAILWHALE_REDIS_URL": own_redis.url})
    store, log = RedisStore(Connection(settings.redis_url, 10.0), settings), SiteLog(unique, "shop", partitions=3)
    for seq in range(20):
        store.add_to_log([visit(log, seq, "ann", f"v{seq}", "bob")], CAPS)
        if seq % 7 == 3:
            for partition in range(3):
                store.compact_log(log, partition)
        if seq % 5 == 2:
            own_redis.kill9()
            own_redis.start()
            store.add_to_log([visit(log, seq, "ann", f"v{seq}", "bob")], CAPS)
    found = Counter(record[0] for record in logged(store, log))
    assert found == {"ann": 20, "bob": 20} | {f"v{seq}": 1 for seq in range(20)}


def test_a_part_that_nobody_has_any_more_is_said_to_be_missing(store: RedisStore, log: SiteLog) -> None:
    store.add_to_log([visit(log, 0, "ann")], CAPS)
    store.compact_log(log, 0)
    store.add_to_log([visit(log, 1, "bob")], CAPS)
    (part,) = store.client.hkeys(f"{key_of(store, log)}:x")
    store.client.delete(f"{key_of(store, log)}:b:{part.decode()}")
    read = store.read_log(log, 0, 0, FOR_EVER_MS)
    assert read.is_incomplete
    assert len(read.columns["e", "visit"].ticks) == 1


def test_a_message_may_say_more_than_a_call_has_places_for(store: RedisStore, log: SiteLog) -> None:
    hits = [
        Done("ann", NOW_MS + hit, "visit", {f"p{number}": str(hit) for number in range(32)}) for hit in range(2_100)
    ]
    hits += [Done("bob", NOW_MS, "", {f"{number} of bob": "1"}) for number in range(1_500)]
    store.add_to_log([entry_of(log, (log.account, "ab" * 8, 0), NOW_MS, hits, hash_in(log))], CAPS)
    told = store.log_tallies(log.account, ["ab" * 8])["ab" * 8]
    assert told == {"logged": 3_600, "records": 33 * 2_100 + 1_500}
    columns = store.read_log(log, 0, 0, FOR_EVER_MS).columns
    assert sum(len(column.ticks) for column in columns.values()) == told["records"]
    assert len(columns["p", "p31"].ticks) == 2_100


def test_without_a_setting_the_logs_of_an_account_take_at_most_a_quarter_of_the_servers_memory() -> None:
    with RedisServer(maxmemory="12000000") as server:
        store = connect(load({"HAILWHALE_REDIS_URL": server.url, "HAILWHALE_VISITOR_LOG": "1"}))
        site = Site("default", "shop")
        store.add_entry(site, Act(0, "a test", "add site", "default", "shop"))
        record = store.begin_log(site, after_ms=-60_000)
        log = record.log("default", "shop", record.generations[0])
        for seq in range(30):
            store.add_to_log([visit(log, seq, *(f"visitor {seq} {number}" for number in range(2_000)))], CAPS)

        def sweep_and_visit(seq: int) -> dict[str, int]:
            while store.sweep_logs(2 * 3_600 * seq):
                pass
            store.add_to_log([visit(log, 100 + seq, "ann")], CAPS)
            return store.log_tallies("default", ["ab" * 8])["ab" * 8]

        assert sweep_and_visit(1)["events_full"] == 1
        server.client().config_set("maxmemory", 0)
        assert sweep_and_visit(2) == {"logged": 60_001, "records": 60_001, "events_full": 1}

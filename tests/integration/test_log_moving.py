"""While Redis Cluster moves a slot, the visitor log takes all of a message or nothing, and no answer lacks a part of it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest
from redis.crc import key_slot

from hail.settings import DAY, load
from tests.contract.logs import CAPS, FOR_EVER_MS, hash_in, logged, pass_by, visit
from tests.contract.test_visitor_log import World
from tests.servers import RedisCluster, SlotMove
from whale.store.redis import RedisStore
from whale.store.redis.connection import Connection, Script, pack
from whale.store.redis.keys import Keys
from whale.store.redis.refusals import SlotMoving
from whale.visitors.entries import SiteLog
from whale.visitors.identity import JOINED, Person

SLOT = key_slot(b"{0}")
PEOPLE = [f"v{number}" for number in range(300)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster(appendonly="no") as running:
        yield running


@pytest.fixture
def store(cluster: RedisCluster) -> RedisStore:
    url = cluster.url.replace("redis://", "redis+cluster://")
    settings = load({"HAILWHALE_REDIS_URL": url, "HAILWHALE_SHARDS": "1"})
    return RedisStore(Connection(settings.redis_url, 10.0), settings)


class Filled:
    """A log that has every form of key: two periods, names, a tail, a frozen one, parts."""

    def __init__(self, store: RedisStore, account: str):
        self.store, self.log = store, SiteLog(account, "shop")
        self.key = Keys(account, 1).log("shop", "", 0)[1]
        store.add_to_log([visit(self.log, 0, *PEOPLE)], CAPS)
        assert store.compact_log(self.log, 0)
        pass_by(store, self.log, 180 * DAY)
        store.add_to_log([visit(self.log, 1, *PEOPLE[:200])], CAPS)
        self.word = Script(store.client, "freeze")([self.key], [1, "later"])[0]
        store.add_to_log([visit(self.log, 2, *PEOPLE[:100])], CAPS)

    def visits(self) -> int:
        return len(self.store.read_log(self.log, 0, 0, FOR_EVER_MS).columns["e", "visit"].ticks)


@pytest.mark.parametrize("which", ["none", "the partition", "all but the partition", "every other key", "all"])
def test_each_script_writes_all_or_nothing_and_nobody_reads_half(
    cluster: RedisCluster, store: RedisStore, unique: str, which: str
) -> None:
    filled = Filled(store, unique)
    people = [Person(hash_in(filled.log)(name), name.encode()) for name in ("v1", "v2")]
    move = SlotMove(cluster, SLOT)
    try:
        mine = sorted(key for key in move.left() if key.startswith(f"{unique}:"))
        assert len(mine) > 12
        others = [key for key in mine if key != filled.key]
        move.named(
            *{
                "none": [],
                "the partition": [filled.key],
                "all but the partition": others,
                "every other key": mine[::2],
                "all": mine,
            }[which]
        )
        before = move.dumped()
        with pytest.raises(SlotMoving):
            store.add_to_log([visit(filled.log, 3, "new", *PEOPLE)], CAPS)
        with pytest.raises(SlotMoving):
            store.compact_log(filled.log, 0)
        with pytest.raises(SlotMoving):
            Script(store.client, "commit")([filled.key], [filled.word, "x", 60, pack([])])
        with pytest.raises(SlotMoving):
            store.identify(filled.log, *people)
        with pytest.raises(SlotMoving):
            store.erase_visitor(filled.log, people[0].hash)
        with suppress(SlotMoving):
            assert filled.visits() == 600
        assert move.dumped() == before
    finally:
        move.end()
    assert filled.visits() == 600
    store.add_to_log([visit(filled.log, 3, "new", *PEOPLE)], CAPS)
    store.add_to_log([visit(filled.log, 2, *PEOPLE[:100])], CAPS)
    while store.compact_log(filled.log, 0):
        assert filled.visits() == 901
    assert {record[0] for record in logged(store, filled.log)} == {*PEOPLE, "new"}
    assert store.identify(filled.log, *people) == JOINED
    store.erase_visitor(filled.log, people[1].hash)
    while store.purge_log(filled.log, 0):
        pass
    assert {record[0] for record in logged(store, filled.log)} == {*PEOPLE, "new"} - {"v1", "v2"}


SHARDS, PARTITIONS, TOGETHER = 4, 3, 120


def test_messages_that_meet_a_moving_slot_are_counted_and_logged_once(cluster: RedisCluster, unique: str) -> None:
    """The slot of one partition moves: where it is not that of the cells, these are counted, and the message comes again for its log."""
    environ = {"SHARDS": SHARDS, "VISITOR_LOG": 1, "SITE_PARTITIONS": PARTITIONS, "SPY": 0}
    url = cluster.url.replace("redis://", "redis+cluster://")
    settings = load({"HAILWHALE_REDIS_URL": url, **{f"HAILWHALE_{name}": str(each) for name, each in environ.items()}})
    world = World(RedisStore(Connection(url, 10.0), settings), settings, unique)
    hits = [{"pk": "shop", "visitor": name, "event": "visit"} for name in PEOPLE[:TOGETHER]]
    world.apply(world.message(hits))
    torn = 0
    for partition in range(PARTITIONS):
        shard, _ = Keys(unique, SHARDS).log("shop", "", partition)
        move, message = SlotMove(cluster, key_slot(b"{%d}" % shard)), world.message(hits)
        try:
            for _ in range(2):
                with pytest.raises(SlotMoving):
                    world.apply(message)
                torn += world.audit().whole.missing_in_log > 0
                mine = [key for key in move.left() if key.startswith(f"{unique}:")]
                move.named(*mine[::2])
        finally:
            move.end()
        for _ in range(2):
            world.apply(message)
        assert (world.closes(), world.audit().whole.logged) == (True, (partition + 2) * TOGETHER)
    assert torn > 0
    assert Counter(record[0] for record in world.logged()) == dict.fromkeys(PEOPLE[:TOGETHER], PARTITIONS + 1)

"""Who remembers what they have read of visitor logs answers as who reads it for the first time, whatever happens between two questions."""

import math
import random
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Event

import pytest

from hail.settings import load
from tests.contract.logs import CAPS, FOR_EVER_MS, LATER_MS, NOW_MS, hash_in
from tests.servers import RedisServer
from whale.errors import Busy
from whale.store.contract.events import Logged, Said, Wanted
from whale.store.contract.log_who import Came
from whale.store.redis import RedisStore, compaction, connect, log_blocks, log_months, log_parts, log_planes, log_who
from whale.store.redis.compaction import Compaction
from whale.store.redis.keys import Keys
from whale.visitors import parts
from whale.visitors.crowd import numbers_of
from whale.visitors.entries import DAY_MS, Done, SiteLog, entry_of


def store_at(server: RedisServer, cache_mb: str = "256") -> RedisStore:
    return connect(load({"HAILWHALE_REDIS_URL": server.url, "HAILWHALE_EVENTS_CACHE_MB": cache_mb}))


class World:
    """A log of one partition, to which things happen by chance."""

    def __init__(self, store: RedisStore, account: str, seed: int):
        self.names = [f"visitor {number}" for number in range(6)]
        self.store, self.log, self.rng, self.seq = (
            store,
            SiteLog(account, "shop", keep_days=400),
            random.Random(seed),
            0,
        )

    def happens(self) -> None:
        rng = self.rng
        match rng.randrange(10):
            case 0 | 1:
                self.store.compact_log(self.log, 0)
            case 2:
                self.store.erase_visitor(self.log, hash_in(self.log)(rng.choice(self.names)))
            case 3:
                self.store.purge_log(self.log, 0)
            case 4:
                Compaction(self.store._database).drop_before(self.log, 0, NOW_MS - rng.randrange(20, 70) * DAY_MS)
            case _:
                self.add(rng.choice((1, 1, 3, 80)))

    def add(self, count: int) -> None:
        rng = self.rng
        hits = [
            Done(
                rng.choice(self.names),
                NOW_MS - rng.randrange(70 * DAY_MS),
                rng.choice(("", "visit", "buy", f"rare {rng.randrange(20)}")),
                {"plan": f'"{rng.randrange(12)}"'} if rng.random() < 0.5 else {},
            )
            for _ in range(count)
        ]
        mark = self.log.account, "ab" * 8, self.seq
        self.store.add_to_log([entry_of(self.log, mark, LATER_MS, hits, hash_in(self.log))], CAPS)
        self.seq += 1

    def ask(self, *readers: RedisStore) -> None:
        """All answer as one who knows nothing."""
        rng, fresh = self.rng, RedisStore(self.store.connection, self.store.settings)
        start_ms = rng.choice((0, NOW_MS - rng.randrange(70) * DAY_MS))
        end_ms = rng.choice((FOR_EVER_MS, start_ms + rng.randrange(40) * DAY_MS + rng.randrange(DAY_MS)))
        said = rng.choice((None, {("e", "visit")}, {("p", "plan"), ("e", "buy")}))
        number = rng.randrange(6)
        whose = rng.choice((None, None, range(number, number + rng.choice((1, 3)))))
        expected = shown(fresh.read_log(self.log, 0, start_ms, end_ms, said, whose))
        came = fresh.visitors_in_log(self.log, 0, start_ms, end_ms).tolist()
        events = [
            column for said, column in fresh.read_log(self.log, 0, start_ms, end_ms).columns.items() if said[0] == "e"
        ]
        assert came == sorted({visitor for column in events for visitor in column.visitors.tolist()})
        things = [None, ("e", "visit"), ("p", "plan"), ("e", f"rare {rng.randrange(20)}"), ("e", "never")]
        edges = sorted(rng.choice((start_ms, NOW_MS - rng.randrange(70 * DAY_MS))) for _ in range(rng.randint(2, 6)))
        who = [[people(fresh.read_log(self.log, 0, *each), thing) for each in pairwise(edges)] for thing in things]
        for reader in readers:
            assert shown(reader.read_log(self.log, 0, start_ms, end_ms, said, whose)) == expected
            assert reader.visitors_in_log(self.log, 0, start_ms, end_ms).tolist() == came
            found = reader.came_in_log(self.log, 0, things, edges, math.inf)
            assert found
            assert not found.is_incomplete
            assert [[numbers_of(bits).tolist() for bits in each] for each in found.sets] == who
            assert len({len(bits) for each in found.sets for bits in each}) == 1
            ranges = reader.ranges_in_log(self.log, 0, [Wanted(said, start_ms, end_ms)], 20)
            pieces = [shown(reader.read_log(self.log, 0, start_ms, end_ms, said, each)) for each in ranges]
            whole = expected if whose is None else shown(fresh.read_log(self.log, 0, start_ms, end_ms, said))
            assert together(pieces) == whole
            assert len(pieces) > 1 or sum(map(len, whole.values())) < 60


@pytest.fixture(autouse=True)
def all_is_cut_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are of two visitors, small parts are joined, columns of few records are cut at days, and threads read them."""
    monkeypatch.setattr(log_blocks, "BLOCK", 2)
    monkeypatch.setattr(parts, "MANY", 5)
    monkeypatch.setattr(log_parts, "HEAD_BYTES", 200)
    monkeypatch.setattr(log_parts, "HEADS", 2)
    monkeypatch.setattr(log_planes, "BATCH_BYTES", 300)
    for module in (compaction, log_months, log_who):
        monkeypatch.setattr(module, "SMALL_BYTES", 200)


def people(logged: Logged, thing: Said | None) -> list[int]:
    """Who said a thing; None for any event."""
    columns = [column for said, column in logged.columns.items() if said == thing or (thing is None and said[0] == "e")]
    return sorted({visitor for column in columns for visitor in column.visitors.tolist()})


Rows = list[tuple[int, int, str]]


def together(pieces: Sequence[Mapping[Said, Rows]]) -> dict[Said, Rows]:
    """Ranges of visitors, one after the other."""
    found: dict[Said, Rows] = {}
    for piece in pieces:
        for said, rows in piece.items():
            found.setdefault(said, []).extend(rows)
    return found


def shown(logged: Logged) -> dict[Said, Rows]:
    """All that it says; values by their names."""
    assert not logged.is_incomplete
    return {
        said: [
            (visitor, tick, logged.values_of[said][value] if said[0] == "p" else "")
            for visitor, tick, value in zip(*(each.tolist() for each in column), strict=True)
        ]
        for said, column in logged.columns.items()
    }


@pytest.mark.parametrize("seed", range(25))
def test_a_reader_who_remembers_answers_as_one_who_knows_nothing(
    redis_server: RedisServer, unique: str, seed: int
) -> None:
    world = World(store_at(redis_server), unique, seed)
    readers = [store_at(redis_server), store_at(redis_server, "0.004")]
    for _ in range(40):
        world.happens()
        if world.rng.random() < 0.7:
            world.ask(*readers)
    world.ask(*readers)


def test_a_value_that_is_forgotten_while_another_one_comes_is_no_value_of_anybody(
    redis_server: RedisServer, unique: str
) -> None:
    store, reader = store_at(redis_server), store_at(redis_server)
    log = SiteLog(unique, "shop")

    def said(seq: int, visitor: str, value: str) -> None:
        hits = [Done(visitor, NOW_MS, "", {"mail": value})]
        store.add_to_log([entry_of(log, (unique, "ab" * 8, seq), LATER_MS, hits, hash_in(log))], CAPS)

    said(0, "ann", '"ann"')
    said(1, "bob", '"bob"')
    store.compact_log(log, 0)
    store.erase_visitor(log, hash_in(log)("ann"))
    _, key = Keys(unique, store.shards).log("shop", "", 0)
    while store.purge_log(log, 0) and store.client.exists(f"{key}:v"):
        reader.read_log(log, 0, 0, FOR_EVER_MS)  # the last time before the value is forgotten
    said(2, "cy", '"cy"')
    read = reader.read_log(log, 0, 0, FOR_EVER_MS)
    values = [read.values_of["p", "mail"][place] for place in read.columns["p", "mail"].values.tolist()]
    assert sorted(values) == ['"bob"', '"cy"']
    assert '"ann"' not in read.values_of["p", "mail"]


@pytest.mark.parametrize("seed", range(4))
def test_an_older_file_of_writes_under_a_reader_mixes_nothing_up(tmp_path: Path, unique: str, seed: int) -> None:
    """It comes back within a tail, over a freeze or over a commit; other visitors get the numbers and codes of those that were lost."""
    with RedisServer() as server:
        world = World(store_at(server), unique, seed)
        readers = [store_at(server), store_at(server, "0.004")]

        def some(times: int) -> None:
            for _ in range(times):
                world.happens()
                world.ask(*readers)

        world.add(9)
        some(world.rng.randrange(6))
        files = [path for path in server.folder.iterdir() if path.name.startswith("appendonly")]
        for path in files:
            (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
        some(world.rng.randrange(1, 9))
        server.kill9()
        for path in files:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.move(tmp_path / path.name, path)
        server.start()
        world.store = store_at(server)
        world.seq += 1000
        world.names = [f"other {name}" for name in world.names]
        world.ask(*readers)
        some(12)


def test_a_second_question_fetches_no_part_and_unpacks_none(redis_server: RedisServer, unique: str) -> None:
    store, reader = store_at(redis_server), store_at(redis_server)
    world = World(store, unique, 1)
    world.add(200)
    store.compact_log(world.log, 0)
    world.add(5)
    first = shown(reader.read_log(world.log, 0, 0, FOR_EVER_MS))
    _, key = Keys(unique, store.shards).log("shop", "", 0)
    for id_ in store.client.hkeys(f"{key}:x"):
        store.client.delete(f"{key}:b:{id_.decode()}")
    assert shown(reader.read_log(world.log, 0, 0, FOR_EVER_MS)) == first
    fresh = store_at(redis_server).read_log(world.log, 0, 0, FOR_EVER_MS)
    assert fresh.is_incomplete


def test_who_came_is_fetched_once_and_what_is_lost_is_said(redis_server: RedisServer, unique: str) -> None:
    store, reader = store_at(redis_server), store_at(redis_server)
    world = World(store, unique, 2)
    world.add(200)
    store.compact_log(world.log, 0)
    world.add(5)

    def who(of: RedisStore, start_ms: int) -> Came:
        found = of.came_in_log(world.log, 0, [None, ("e", "visit")], [start_ms, NOW_MS - DAY_MS, FOR_EVER_MS], math.inf)
        assert found
        return found

    first = who(reader, NOW_MS - 30 * DAY_MS)
    _, key = Keys(unique, store.shards).log("shop", "", 0)
    for id_ in store.client.hkeys(f"{key}:x"):
        store.client.delete(f"{key}:b:{id_.decode()}")
    again = who(reader, NOW_MS - 30 * DAY_MS)
    assert [[bits.tolist() for bits in sets] for sets in again.sets] == [
        [bits.tolist() for bits in sets] for sets in first.sets
    ]
    assert (first.is_incomplete, again.is_incomplete, who(store_at(redis_server), 0).is_incomplete) == (
        False,
        False,
        True,
    )


def test_of_large_readings_four_wait_and_who_comes_then_is_told(
    redis_server: RedisServer, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_planes, "WAITING", 0)
    monkeypatch.setattr(log_planes, "LARGE_BYTES", 1000)
    store, reader = store_at(redis_server), store_at(redis_server)
    world = World(store, unique, 3)
    world.add(300)
    store.compact_log(world.log, 0)
    begun, go_on = Event(), Event()
    unpack = log_planes._unpacked

    def slowly(column: log_planes.Column, raw: bytes) -> log_planes.Found:
        begun.set()
        assert go_on.wait(30)
        return unpack(column, raw)

    monkeypatch.setattr(log_planes, "_unpacked", slowly)
    with ThreadPoolExecutor(1) as pool:
        came = pool.submit(reader.visitors_in_log, world.log, 0, 0, FOR_EVER_MS)
        try:
            assert begun.wait(30)
            with pytest.raises(Busy):
                reader.visitors_in_log(world.log, 0, 0, FOR_EVER_MS)
        finally:
            go_on.set()
        assert came.result().tolist() == store_at(redis_server).visitors_in_log(world.log, 0, 0, FOR_EVER_MS).tolist()
    assert reader.visitors_in_log(world.log, 0, 0, FOR_EVER_MS).tolist() == came.result().tolist()

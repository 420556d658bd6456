"""Nothing is left in Redis of who was erased, whoever packs, logs or is killed meanwhile: no id, no record, no hash but in two places."""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from hail.message import Message
from hail.settings import DAY, load
from tests.contract.logs import CAPS, FOR_EVER_MS, LATER_MS, NOW_MS, hash_in, logged, pass_by, visit
from tests.contract.test_visitor_log import World
from tests.servers import RedisServer
from whale.answer.site_log import Log
from whale.library.erasing import erase
from whale.store.redis import RedisStore, connect
from whale.store.redis.compaction import Compaction
from whale.store.redis.connection import Script, pack
from whale.store.redis.identities import Identities
from whale.store.redis.keys import Keys
from whale.visitors.entries import DAY_MS, Done, SiteLog, entry_of
from whale.visitors.identity import Person

IDS = ("phone-ANN", "ann@example.com", "Laptop of Ann")


class Killed(Exception):
    pass


@pytest.fixture
def store(redis_server: RedisServer) -> RedisStore:
    return connect(load({"HAILWHALE_REDIS_URL": redis_server.url}))


@pytest.fixture
def log(unique: str) -> SiteLog:
    return SiteLog(unique, "shop", partitions=3)


def person(log: SiteLog, name: str) -> Person:
    return Person(hash_in(log)(name), name.encode())


def fill(store: RedisStore, log: SiteLog) -> None:
    """Three ids of one person and many others, in two periods, in parts, a frozen tail and a tail."""
    people = [f"visitor {number}" for number in range(300)]
    store.add_to_log([visit(log, 0, *IDS, *people)], CAPS)
    said = [Done(name, NOW_MS, "", {"mail": f'"{name.upper()}"', "plan": '"pro"'}) for name in (*IDS, *people[:9])]
    store.add_to_log([entry_of(log, (log.account, "ab" * 8, 9), NOW_MS, said, hash_in(log))], CAPS)
    for device in (IDS[0], IDS[2]):
        store.identify(log, person(log, device), person(log, IDS[1]))
    for partition in range(3):
        store.compact_log(log, partition)
    pass_by(store, log, 180 * DAY)
    aliases = store.aliases(log, [person(log, name).hash for name in IDS])
    for seq in range(1, 4):
        hits = [Done(name, NOW_MS, "visit") for name in (*IDS, *people[:50])]
        mark = log.account, "ab" * 8, seq
        store.add_to_log([entry_of(log, mark, LATER_MS, hits, hash_in(log), aliases if seq > 1 else None)], CAPS)
        if seq == 2:
            for partition in range(3):
                Compaction(store._database)._freeze([key_of(store, log, partition)], [1, f"later {seq}"])


def key_of(store: RedisStore, log: SiteLog, partition: int) -> str:
    return Keys(log.account, store.shards).log(log.site, "", partition)[1]


def stored(store: RedisStore, log: SiteLog) -> dict[bytes, list[bytes]]:
    """Of each key of the account, its name and all that it holds."""
    found = {}
    for key in store.client.scan_iter(f"{log.account}:*", count=5_000):
        match store.client.type(key):
            case b"hash":
                found[key] = [part for row in store.client.hgetall(key).items() for part in row]
            case b"set":
                found[key] = [*store.client.smembers(key)]
            case b"string":
                found[key] = [store.client.get(key)]
            case other:
                raise AssertionError(other)
    return found


def purge(store: RedisStore, log: SiteLog) -> None:
    for partition in range(log.partitions):
        while store.purge_log(log, partition):
            pass


@pytest.mark.parametrize("by", IDS)
def test_no_key_and_no_value_holds_an_id_and_no_record_is_left(store: RedisStore, log: SiteLog, by: str) -> None:
    fill(store, log)
    hashes = [person(log, name).hash[:8] for name in IDS]
    assert any(name.encode() in value for values in stored(store, log).values() for value in values for name in IDS)
    others = [record for record in logged(store, log) if record[0] not in IDS]
    store.erase_visitor(log, person(log, by).hash)
    assert logged(store, log) == others
    purge(store, log)
    assert logged(store, log) == others
    for key, values in stored(store, log).items():
        assert not any(name.lower().encode() in part.lower() for part in (key, *values) for name in IDS), key
        kept_hashes = key.endswith(b":g") or b":a:" in key
        assert kept_hashes or not any(hash_ in part for part in values for hash_ in hashes), key
        assert not key.endswith(b":r")
    for partition in range(3):
        read = Compaction(store._database)
        assert not len(read._gone(key_of(store, log, partition)))
    assert sum(len(store.read_log(log, p, 0, FOR_EVER_MS).columns["e", "visit"].ticks) for p in range(3)) == len(
        [each for each in others if each[2] == "e"]
    )


def everything(store: RedisStore) -> Iterator[tuple[bytes, list[bytes]]]:
    """Of each key of the server its name and all that it holds."""
    client = store.client
    for key in client.scan_iter(count=5_000):
        match client.type(key):
            case b"hash":
                yield key, [part for row in client.hgetall(key).items() for part in row]
            case b"set":
                yield key, [*client.smembers(key)]
            case b"zset":
                yield key, client.zrange(key, 0, -1)
            case b"list":
                yield key, client.lrange(key, 0, -1)
            case b"string":
                yield key, [client.get(key) or b""]
            case b"none":  # its time came meanwhile
                continue
            case other:
                raise AssertionError(other)


def test_no_key_and_no_value_of_redis_holds_an_id_whatever_comes_later(store: RedisStore, unique: str) -> None:
    """A queue, a spool and dead letters hold messages that were accepted before; each is counted after the erasure."""
    ids = [f"Ann-{unique}@Example.org", f"PHONE-{unique}", f"laptop-{unique}"]
    world = World(store, load({"HAILWHALE_REDIS_URL": "", "HAILWHALE_VISITOR_LOG": "1"}), unique)
    log = Log.of(store, unique, "shop")

    def message(at_ms: int = 0) -> Message:
        hits = [{"pk": "shop", "visitor": visitor, "event": "visit"} for visitor in (*ids, f"bob-{unique}")]
        return world.message(
            [*hits, {"pk": ["shop", "n" * 200, "n" * 199], "visitor": ids[1], "event": "cut"}], at_ms=at_ms
        )

    early, queued, spooled, dead = (message() for _ in range(4))
    world.apply(early)
    mails = [Done(visitor, NOW_MS, "", {"mail": f'"{visitor}"'}) for visitor in (*ids, f"bob-{unique}")]
    store.add_to_log([entry_of(log.log, (unique, "ab" * 8, 1), NOW_MS, mails, log.hash_of)], CAPS)
    for device in ids[1:]:
        store.identify(log.log, log.person(device), log.person(ids[0]))
    world.apply(message(at_ms=LATER_MS))
    store.compact_log(log.log, 0)
    world.applier.witness.tell()
    held = [key for key, values in everything(store) if any(each.encode() in value for value in values for each in ids)]
    assert {key.rpartition(b":")[2] for key in held} >= {b"c", b"0"}  # the dictionary and a chunk of ids
    assert erase(store, unique, "shop", ids[1]) == {"purged": True, "aof": "kept"}
    for late in (queued, early, spooled, dead):
        world.apply(late)
        world.applier.witness.tell()
    words = [each.lower().encode() for each in ids]
    for key, values in everything(store):
        assert not any(word in part.lower() for part in (key, *values) for word in words), key
    assert {record[0] for record in world.logged()} == {f"bob-{unique}"}
    tally = store.log_tallies(unique, [world.publisher])[world.publisher]
    assert tally["erased"] == 3 * 4


class Cut(Identities):
    """Killed before one of its calls of erase.lua."""

    def __init__(self, store: RedisStore, call: int):
        super().__init__(store._database)
        self.left = call

    def _forget(self, *args: Any) -> list[bytes]:
        self.left -= 1
        if self.left < 0:
            raise Killed
        return super()._forget(*args)


@pytest.mark.parametrize("by", IDS)
@pytest.mark.parametrize("call", range(4))
def test_an_erasure_that_was_cut_off_is_ended_by_the_same_again(
    store: RedisStore, log: SiteLog, call: int, by: str
) -> None:
    fill(store, log)
    others = [record for record in logged(store, log) if record[0] not in IDS]
    with pytest.raises(Killed):
        Cut(store, call).erase_visitor(log, person(log, by).hash)
    store.erase_visitor(log, person(log, by).hash)
    purge(store, log)
    assert logged(store, log) == others
    assert not any(name.encode() in part for values in stored(store, log).values() for part in values for name in IDS)


class Hooked:
    """A client that does something before each call."""

    def __init__(self, client: Any, before: Callable[[str], None]):
        self._client, self._before = client, before

    def __getattr__(self, name: str) -> Any:
        self._before(name)
        return getattr(self._client, name)


def test_a_part_that_was_packed_anew_while_records_are_removed_keeps_none(store: RedisStore, log: SiteLog) -> None:
    """By whoever had begun before there was anybody to leave out."""
    log = SiteLog(log.account, "one partition")
    key, commit = key_of(store, log, 0), Script(store.client, "commit")
    store.add_to_log([visit(log, 0, "ann", "bob")], CAPS)
    store.compact_log(log, 0)
    ((old, row),) = store.client.hgetall(f"{key}:x").items()
    store.client.set(f"{key}:b:new", store.client.get(f"{key}:b:{old.decode()}"), ex=60)
    store.erase_visitor(log, person(log, "ann").hash)
    calls = []

    def overtake(name: str) -> None:
        calls.append(name)
        if calls.count("get") == 3 and name == "get":  # after both tails
            assert commit([key], ["", "word", 60, pack([[old.decode()], []]), "new", row])

    purging = Compaction(store._database)
    purging._client = Hooked(purging._client, overtake)
    while purging.purge_log(log, 0):
        pass
    assert calls.count("get") > 3
    assert [record[0] for record in logged(store, log)] == ["bob"]


def test_an_erased_visitor_who_was_alone_comes_again_and_expires(store: RedisStore, log: SiteLog) -> None:
    store.add_to_log([visit(log, 0, "ann")], CAPS)
    store.erase_visitor(log, person(log, "ann").hash)
    hits = [Done("ann", NOW_MS, "visit")]
    store.add_to_log([entry_of(log, (log.account, "ab" * 8, 1), LATER_MS, hits, hash_in(log))], CAPS)
    (bucket,) = [*store.client.scan_iter(f"{log.account}:*:f:1:*", count=5_000)]
    assert store.client.ttl(bucket) > 180 * DAY


def test_a_lost_part_does_not_keep_an_erasure_from_ending(store: RedisStore, log: SiteLog) -> None:
    store.add_to_log([visit(log, 0, "ann", "bob", "cy")], CAPS)
    for partition in range(3):
        store.compact_log(log, partition)
    for part in store.client.scan_iter(f"{log.account}:*:b:*", count=5_000):
        store.client.delete(part)
    store.erase_visitor(log, person(log, "ann").hash)
    purge(store, log)
    assert not [*store.client.scan_iter(f"{log.account}:*:r", count=5_000)]


def mails(store: RedisStore, log: SiteLog) -> dict[str, set[str]]:
    """Of each visitor the values of a property."""
    read = store.read_log(log, 0, 0, FOR_EVER_MS)
    found: dict[str, set[str]] = {}
    if ("p", "mail") in read.columns:
        column = read.columns["p", "mail"]
        ids = store.ids_in_log(log, 0, column.visitors.tolist())
        for visitor, place in zip(column.visitors.tolist(), column.values.tolist(), strict=True):
            found.setdefault(ids[visitor].decode(), set()).add(read.values_of["p", "mail"][place])
    return found


@pytest.mark.parametrize("seed", range(15))
def test_values_that_nobody_has_are_forgotten_whoever_packs_and_logs_meanwhile(
    store: RedisStore, unique: str, seed: int
) -> None:
    rng, log = random.Random(seed), SiteLog(unique, "shop", keep_days=90)
    key, seq = key_of(store, log, 0), 0

    def more(*names: str) -> None:
        nonlocal seq
        hits = [Done(name, NOW_MS - rng.randrange(60) * DAY_MS, "visit", {"mail": f'"{name}@x"'}) for name in names]
        store.add_to_log([entry_of(log, (log.account, "ab" * 8, seq), LATER_MS, hits, hash_in(log))], CAPS)
        seq += 1

    def meanwhile(_: str = "") -> None:
        match rng.randrange(8):
            case 0:
                more(*(f"visitor {rng.randrange(6)}" for _ in range(rng.choice((1, 20)))))  # a few records, or a block
            case 1:
                store.compact_log(log, 0)

    for _ in range(6):
        more("ann", f"visitor {rng.randrange(6)}")
        meanwhile()
    before = mails(store, log)
    store.erase_visitor(log, person(log, "ann").hash)
    purging = Compaction(store._database)
    purging._client = Hooked(purging._client, meanwhile)
    for _ in range(20):
        purging.purge_log(log, 0)
    purge(store, log)
    assert not store.client.exists(f"{key}:v", f"{key}:r")
    assert not any(b"ann@x" in field for field in store.client.hkeys(f"{key}:c"))
    found = mails(store, log)
    assert found.keys() >= before.keys() - {"ann"}
    assert all(values == {f'"{name}@x"'} for name, values in found.items())
    Compaction(store._database).drop_before(log, 0, LATER_MS)
    store.compact_log(log, 0)
    Compaction(store._database).drop_before(log, 0, LATER_MS)
    purge(store, log)
    assert not [field for field in store.client.hkeys(f"{key}:c") if field.startswith(b"vp")]
    more("ann")
    assert mails(store, log) == {"ann": {'"ann@x"'}}


@pytest.mark.parametrize("seed", range(15))
def test_records_are_removed_whoever_packs_and_logs_meanwhile(store: RedisStore, unique: str, seed: int) -> None:
    rng, log = random.Random(seed), SiteLog(unique, "shop")
    messages = 0

    def more() -> None:
        nonlocal messages
        store.add_to_log([visit(log, messages, f"visitor {rng.randrange(6)}", "ann")], CAPS)
        messages += 1

    acts: Mapping[int, Callable[[], Any]] = {0: more, 1: lambda: store.compact_log(log, 0)}

    def meanwhile(_: str) -> None:
        acts.get(rng.randrange(6), lambda: None)()

    def erase(_: str = "") -> None:
        if rng.random() < 0.3:
            store.erase_visitor(log, person(log, "ann").hash)
            for _ in range(rng.randrange(3)):
                store.purge_log(log, 0)

    for _ in range(8):
        more()
        meanwhile("")
    packing, purging = Compaction(store._database), Compaction(store._database)
    packing._client = Hooked(packing._client, erase)
    packing.compact_log(log, 0)
    store.erase_visitor(log, person(log, "ann").hash)
    purging._client = Hooked(purging._client, meanwhile)
    for _ in range(20):
        purging.purge_log(log, 0)
    purge(store, log)
    assert not store.client.exists(f"{key_of(store, log, 0)}:r")
    found = [record[0] for record in logged(store, log)]
    assert len(found) == messages  # each has one of somebody else
    assert "ann" not in found


@pytest.mark.parametrize("others", [0, 60])
def test_what_only_an_erased_visitor_said_is_not_noted(store: RedisStore, log: SiteLog, others: int) -> None:
    log = SiteLog(log.account, "one partition")
    store.add_to_log([visit(log, 0, "ann")], CAPS)
    store.erase_visitor(log, person(log, "ann").hash)
    hits = [Done(f"visitor {number}", NOW_MS, "visit", {"plan": '"free"'}) for number in range(others)]
    hits.insert(others // 2, Done("ann", NOW_MS, "said by ann", {"address": '"ann@example.com"', "plan": '"hers"'}))
    store.add_to_log([entry_of(log, (log.account, "ab" * 8, 1), NOW_MS, hits, hash_in(log))], CAPS)
    names = b" ".join(store.client.hgetall(f"{key_of(store, log, 0)}:c"))
    assert not [word for word in (b"said by", b"address", b"example", b"hers") if word in names]
    assert store.log_tallies(log.account, ["ab" * 8])["ab" * 8]["erased"] == 1
    assert len(logged(store, log)) == 2 * others

"""What only the Redis store has to bear: dictionaries that go back in time, keys of another type, shards that part ways."""

import shutil
import time
from typing import Any

import msgspec
import pytest
import redis

from hail.hit import MILLION
from hail.message import Message
from hail.settings import DAY, HOUR, Settings, load
from tests import cut
from tests.contract.hits import NOW, PUBLISHER, message, publisher_of, sums
from tests.servers import RedisServer, wait_until
from whale.accounts import Act, Site
from whale.count.apply import Applier
from whale.errors import SetupError, Unavailable
from whale.store import connect
from whale.store.contract.directory import State
from whale.store.contract.tallies import PublisherAudit
from whale.store.redis import RedisStore, database, marker
from whale.store.redis.connection import Script, pack
from whale.store.redis.keys import Keys, place


@pytest.fixture
def settings(module_redis: RedisServer) -> Settings:
    return load({"HAILWHALE_REDIS_URL": module_redis.url, "HAILWHALE_SHARDS": "4"})


@pytest.fixture
def store(settings: Settings) -> RedisStore:
    store = connect(settings)
    assert isinstance(store, RedisStore)
    return store


def dictionary_key(account: str, pk: tuple[str, ...]) -> str:
    keys = Keys(account, 4)
    return keys.dictionary(*keys.pk(pk))


def page_hits(first: int, last: int) -> list[dict[str, Any]]:
    return [{"pk": "t", "dimensions": {"page": f"p{i}"}} for i in range(first, last)]


def pages(first: int, last: int) -> list[tuple[str, str]]:
    return [("page", f"p{i}") for i in range(first, last)]


def test_a_dictionary_of_an_older_log_is_noticed_before_anything_is_written(
    settings: Settings, store: RedisStore, unique: str
) -> None:
    key = dictionary_key(unique, ("t",))
    applier = Applier(store, settings)
    applier.apply([message(page_hits(0, 5), settings, unique, 0)], NOW)
    old = store.client.dump(key)
    applier.apply([message(page_hits(5, 15), settings, unique, 1)], NOW)
    store.client.restore(key, 0, old, replace=True)
    other = Applier(connect(settings), settings)  # takes the numbers that p5 to p14 had
    other.apply([message(page_hits(100, 110), settings, unique, 2)], NOW)
    before = sums(store, unique, ("t",), pages(100, 110))
    applier.apply([message(page_hits(5, 15) * 3, settings, unique, 3)], NOW)
    assert sums(store, unique, ("t",), pages(100, 110)) == before
    assert min(sums(connect(settings), unique, ("t",), pages(5, 15))) >= 3
    assert sums(store, unique, ("t",), pages(0, 5)) == [1] * 5


def test_after_a_reset_every_name_is_registered_again(settings: Settings, store: RedisStore, unique: str) -> None:
    applier = Applier(store, settings)
    applier.apply([message([{"pk": ["a", "b"], "dimensions": "x"}], settings, unique, 0)], NOW)
    for key in store.client.keys(f"{unique}:*"):
        store.client.delete(key)
    applier.apply([message([{"pk": ["a", "b"], "dimensions": "x"}] * 2, settings, unique, 1)], NOW)
    assert store.pks(unique) == ["a"]
    assert store.pks(unique, ("a",)) == ["b"]
    assert sums(store, unique, ("a",), [(), ("x",), (None, "b")]) == [2, 2, 2]


def test_a_lost_directory_alone_is_restored_within_a_minute(settings: Settings, store: RedisStore, unique: str) -> None:
    applier = Applier(store, settings)
    applier.apply([message([{"pk": "t"}], settings, unique, 0)], NOW)
    store.client.delete(dictionary_key(unique, ()))
    applier.apply([message([{"pk": "t"}], settings, unique, 1)], NOW + 61)
    assert store.pks(unique) == ["t"]
    assert sums(store, unique, ("t",), [()]) == [2]


def test_many_processes_name_nodes_at_once(settings: Settings, store: RedisStore, unique: str) -> None:
    appliers = [Applier(connect(settings), settings) for _ in range(3)]
    for step in range(60):
        hits = page_hits(step * 2, step * 2 + 6)
        appliers[step % 3].apply([message(hits, settings, unique, step)], NOW)
    expected = [sum(1 for step in range(60) if step * 2 <= i < step * 2 + 6) for i in range(124)]
    assert sums(store, unique, ("t",), pages(0, 124)) == expected


def test_a_message_cut_off_between_shards_is_completed_in_other_company(
    settings: Settings, store: RedisStore, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = [{"pk": f"pk{i}", "id": f"id{i}"} for i in range(20)]
    one, two = message(hits, settings, unique, 0, 20), message([*hits, {"pk": "new"}], settings, unique, 1, 41)
    with monkeypatch.context() as patched:
        patched.setattr(store.writer, "_send", cut.after(store.writer._send, 2, cut.off("cut off")))
        with pytest.raises(Unavailable):
            Applier(store, settings).apply([one], NOW)
    assert len(store.client.keys(f"{unique}:*:seen:*")) == 2
    Applier(connect(settings), settings).apply([two, one], NOW)
    Applier(connect(settings), settings).apply([one, two], NOW)
    assert [sums(store, unique, (f"pk{i}",), [()])[0] for i in range(20)] == [1] * 20
    assert sums(store, unique, ("new",), [()]) == [1]
    assert store.audit(unique) == [PublisherAudit(PUBLISHER, 2, 41, 1, 41, {"duplicate": 20})]


def test_keys_of_another_type_lose_only_their_own_cells(settings: Settings, store: RedisStore, unique: str) -> None:
    client, keys = store.client, Keys(unique, 4)
    shard, pk_id = keys.pk(("block",))
    client.rpush(keys.block(shard, pk_id, DAY, place(DAY, int(NOW) // DAY * DAY, "UTC")[0], 0), "mine")
    client.rpush(dictionary_key(unique, ("dictionary",)), "mine")
    hits = [{"pk": pk, "metrics": {"m": 2}} for pk in ("block", "dictionary", "sound")]
    applier = Applier(store, settings)
    applier.apply([message(hits, settings, unique, 0)], NOW)
    applier.apply([message(hits, settings, unique, 1)], NOW)
    assert sums(store, unique, ("sound",), [()], "m") == [4 * MILLION]
    assert sums(store, unique, ("block",), [()], "m", HOUR) == [4 * MILLION]
    assert sums(store, unique, ("block",), [()], "m") == [0]
    assert store.faults(unique) == {"wrong_type": 4 + 2}
    client.delete(dictionary_key(unique, ("dictionary",)))
    applier.apply([message(hits, settings, unique, 2)], NOW)
    assert sums(store, unique, ("dictionary",), [()], "m") == [2 * MILLION]


def test_buckets_expire_by_their_own_time_and_the_clock_that_was_given(
    settings: Settings, store: RedisStore, unique: str
) -> None:
    Applier(store, settings).apply([message([{"pk": "t", "at": NOW - 3600}], settings, unique)], NOW)
    keys = Keys(unique, 4)
    shard, pk_id = keys.pk(("t",))
    ttls = {
        interval: store.client.ttl(keys.block(shard, pk_id, interval, place(interval, start, "UTC")[0], 0))
        for interval, start in (
            (60, int(NOW) - 3610),
            (HOUR, int(NOW) // HOUR * HOUR - HOUR),
            (DAY, int(NOW) // DAY * DAY),
        )
    }
    hour = int(NOW) // HOUR * HOUR
    assert ttls[60] == pytest.approx(hour + DAY - NOW, abs=60)  # a day after the end of the hour of those minutes
    assert ttls[HOUR] > 90 * DAY - 3600
    assert ttls[DAY] == -1


def test_the_caches_of_a_worker_are_bounded(settings: Settings, unique: str) -> None:
    store = connect(settings.replace(dictionaries_mb=0.02))
    applier = Applier(store, settings.replace(branches_mb=0.02))
    for step in range(10):
        applier.apply([message(page_hits(step * 10, step * 10 + 30), settings, unique, step)], NOW)
        assert store.numbers.room.held <= 20_000 + 60_000
        assert applier._room.held <= 20_000 + 90_000
    assert sums(store, unique, ("t",), pages(30, 90)) == [3] * 60


def test_a_key_that_belongs_to_somebody_else_keeps_traces_from_its_account_alone(
    settings: Settings, store: RedisStore, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = [f"{unique}-{number}" for number in range(3)]
    store.client.set(Keys(accounts[1], 4).spy()[0], "other")
    applier = Applier(store, settings)
    applier.apply(round_of(accounts, settings, 0), NOW)
    applier.witness.tell()
    wait_until(lambda: all(store.spied(account) for account in (accounts[0], accounts[2])), what="the others' traces")
    assert f"the spy misses some hits of {accounts[1]}: WRONGTYPE" in caplog.text


def asked_for(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the dictionaries of which the store asks for numbers from now on."""
    real, asked = store.numbers._intern, list[str]()

    def counting(keys: Any, args: Any) -> Any:
        asked.extend(keys)
        return real(keys, args)

    monkeypatch.setattr(store.numbers, "_intern", counting)
    return asked


def round_of(accounts: list[str], settings: Settings, step: int) -> list[Message]:
    return [message([{"pk": "t"}], settings, account, step, publisher=publisher_of(account)) for account in accounts]


def test_where_the_names_of_many_accounts_fill_the_memory_few_are_asked_for_again(
    settings: Settings, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = connect(settings.replace(dictionaries_mb=0.2))
    applier, accounts = Applier(store, settings), [f"{unique}-{number}" for number in range(40)]
    for step in range(3):
        applier.apply(round_of(accounts, settings, step), NOW)
    asked = asked_for(store, monkeypatch)
    applier.apply(round_of(accounts, settings, 3), NOW)
    of = {key.partition(":")[0] for key in asked}
    assert 0 < len(of) < 30
    assert len(asked) == 2 * len(of)
    assert store.numbers.room.held < 0.2e6 + 30 * 10_000
    assert [sums(store, account, ("t",), [()]) for account in accounts] == [[4]] * 40
    store.forget()
    assert store.numbers.room.held == 0


def test_a_reset_in_one_account_has_a_worker_ask_again_for_its_names_alone(
    settings: Settings, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = connect(settings), connect(settings)
    applier, accounts = Applier(store, settings), [f"{unique}-{number}" for number in range(5)]
    applier.apply(round_of(accounts, settings, 0), NOW)
    other.reset(accounts[2], ("t",), None, NOW + 1)
    asked = asked_for(store, monkeypatch)
    applier.apply(round_of(accounts, settings, 1), NOW + 2)
    assert {key.partition(":")[0] for key in asked} == {accounts[2]}
    assert [sums(store, account, ("t",), [()]) for account in accounts] == [[2], [2], [0], [2], [2]]


def test_one_call_makes_a_bounded_number_of_marks(
    settings: Settings, store: RedisStore, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sizes = store.marker._mark, list[int]()

    def counting(keys: Any, args: Any) -> Any:
        hashes, rows = msgspec.msgpack.decode(args[0])[2:4]
        names = sum(len(which) * len(row[2]) for row in rows for which in row[3][1::2])
        sizes.append(sum(len(values[2]) // 2 for _, _, values in hashes) + names)
        assert max([len(which) for row in rows for which in row[3][1::2]], default=0) <= marker.A_ROW
        return real(keys, args)

    monkeypatch.setattr(store.marker, "_mark", counting)
    hits = [
        {
            "pk": "t",
            "at": NOW - i * 3,
            "dimensions": [[f"d{path}", f"{i % 20}"] for path in range(6)],
            "metrics": {"who": {"unique": f"v{i}"}, "now": {"last": i}},
        }
        for i in range(1200)
    ]
    Applier(store, settings).apply([message(hits, settings, unique)], NOW)
    assert max(sizes) <= marker.A_CALL + 3 * marker.A_ROW
    assert sum(sizes) >= 3 * 1200 * (1 + 6 + 6)
    day = int(NOW // DAY * DAY)
    for path, expected in (((), 1200), (("d3",), 1200), (("d3", "7"), 60)):
        ((found,),) = store.read_distinct(unique, ("t",), [path], "who", DAY, [[day]])
        assert found == pytest.approx(expected, rel=0.03)
    assert store.read_values(unique, ("t",), [(), ("d3", "7")], "now", DAY, [day]) == [[0], [7 * MILLION]]


def test_ids_beyond_the_budget_are_counted_unchecked(settings: Settings, store: RedisStore, unique: str) -> None:
    small = RedisStore(store.connection, settings.replace(max_ids=3 * 4 * 5))
    names = [(f"id{i}", (PUBLISHER, 0)) for i in range(100)]
    assert small.claim(unique, names, NOW) == set()
    taken = small.claim(unique, [(hit_id, (PUBLISHER, 1)) for hit_id, _ in names], NOW)
    assert len(taken) == 20


def test_a_farm_with_another_number_of_shards_does_not_start(settings: Settings) -> None:
    with pytest.raises(SetupError, match="HAILWHALE_SHARDS is 5, but this Redis was set up with 4"):
        connect(settings.replace(shards=5))


def test_a_message_is_done_with_only_when_a_replica_has_it(unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "REPLICA_TIMEOUT_MS", 9000)
    with RedisServer(repl_diskless_sync_delay="0") as master, RedisServer() as replica:
        replica.client().replicaof("127.0.0.1", master.port)
        settings = load({"HAILWHALE_REDIS_URL": master.url, "HAILWHALE_WAIT_REPLICAS": "1"})
        store = connect(settings)
        applier = Applier(store, settings)
        wait_until(lambda: replica.client().info("replication")["master_link_status"] == "up", what="the replica")
        applier.apply([message([{"pk": "t"}], settings, unique, 0)], NOW)
        assert sums(connect(settings.replace(redis_url=replica.url)), unique, ("t",), [()]) == [1]
        replica.sigstop()
        monkeypatch.setattr(database, "REPLICA_TIMEOUT_MS", 500)
        with pytest.raises(Unavailable, match="0 of 1 replicas"):
            applier.apply([message([{"pk": "t"}], settings, unique, 1)], NOW)
        monkeypatch.setattr(database, "REPLICA_TIMEOUT_MS", 9000)
        replica.sigcont()
        applier.apply([message([{"pk": "t"}], settings, unique, 1)], NOW)
        assert sums(store, unique, ("t",), [()]) == [2]


def test_a_name_that_cannot_be_kept_for_want_of_memory_is_not_counted_as_lost(own_redis: RedisServer) -> None:
    """It comes again: memory may be there when apply.lua runs, a moment later."""
    client = own_redis.client()
    for key in ("{0}n", "{0}resets"):
        client.hset(key, "g", "token")
    client.sadd("{0}u", "1:2")
    client.config_set("maxmemory", "1")
    call = (
        ["{0}n", "{0}resets", "{0}u", "{0}faults", "{0}h"],
        [pack([["token"] * 2, 10, [], [(1, 2, [0], [1, [1]])], ["ann"]])],
    )
    with pytest.raises(redis.OutOfMemoryError):
        Script(client, "newer", "mark")(*call)
    client.config_set("maxmemory", "0")
    assert client.hgetall("{0}faults") == {}
    assert Script(client, "newer", "mark")(*call) == [b"ok"]
    assert client.pfcount("{0}h:1:2") == 1


def test_a_hurried_store_waits_by_its_own_time_and_knows_the_names_that_the_other_learnt(
    own_redis: RedisServer, unique: str
) -> None:
    settings = load({"HAILWHALE_REDIS_URL": own_redis.url})
    patient = connect(settings, timeout_s=30.0)
    Applier(patient, settings).apply([message(page_hits(0, 2), settings, unique)], NOW)
    hurried = patient.hurried(0.1)
    assert patient.descendants(unique, ("t",), (), 2) == [("page",), *pages(0, 2)]
    assert hurried.dictionaries.remembered(unique, ("t",)) is patient.dictionaries.remembered(unique, ("t",))
    own_redis.sigstop()
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        hurried.descendants(unique, ("t",), (), 2)
    assert time.monotonic() - begun < 5 * 3 * 0.1
    own_redis.sigcont()


def test_an_older_copy_of_the_directory_shows_another_word(own_redis: RedisServer) -> None:
    store = connect(load({"HAILWHALE_REDIS_URL": own_redis.url}))
    act = Act(0, "test", "add site", "default", "")
    store.add_entry(Site("default", "kept"), act)
    files = [path for path in own_redis.folder.iterdir() if path.name.startswith("appendonly")]
    copies = own_redis.folder / "copies"
    copies.mkdir()
    for path in files:
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copies / path.name)
    store.add_entry(Site("default", "forgotten"), act)
    seen = store.directory_state("first")
    assert seen == State("first", 2)
    assert store.directory_state("second") == seen
    own_redis.kill9()
    for path in files:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.move(copies / path.name, path)
    own_redis.start()
    store.add_entry(Site("default", "fresh"), act)  # it has the version of the one that is forgotten
    assert store.directory_since(seen, "third") is None
    whole = store.directory("fourth")
    assert whole.state == State("third", 2)
    assert sorted(site.pk for site in whole.sites) == ["fresh", "kept"]


def test_a_replica_that_takes_over_shows_another_word(own_redis: RedisServer) -> None:
    with RedisServer(replicaof=f"127.0.0.1 {own_redis.port}") as replica:
        store = connect(load({"HAILWHALE_REDIS_URL": own_redis.url}))
        store.add_entry(Site("default", "kept"), Act(0, "test", "add site", "default", ""))
        seen = store.directory_state("first")
        there = replica.client()
        wait_until(lambda: there.hget("hailwhale:{accounts}:state", "word") == b"first", what="the replica has it")
        there.replicaof("NO", "ONE")
        other = connect(load({"HAILWHALE_REDIS_URL": replica.url}))
        assert other.directory_since(seen, "second") is None
        assert other.directory_state("third") == State("second", 1)
        there.replicaof("127.0.0.1", own_redis.port)
        back = store.directory_state("fourth")
        assert back == seen

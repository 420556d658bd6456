"""Aliases under redelivery: a message that is cut off between two shards is logged once, told by the same rule whenever it comes again."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from hail.message import Mark
from hail.settings import DAY, load
from tests.contract.logs import CAPS, NOW_MS, hash_in, logged, pass_by
from tests.servers import RedisServer
from whale.store.redis import RedisStore, connect
from whale.store.redis.events import Events
from whale.store.redis.identities import Identities
from whale.store.redis.keys import Keys
from whale.visitors.entries import Done, Entry, SiteLog, entry_of
from whale.visitors.identity import ALREADY, JOINED, OTHER_KNOWN, Alias, Person

MESSAGES, SCHEDULES = 3, 60
REMEMBERED_MS, SKEW_MS, HOLDS_AFTER_MS = 2_000, 2_900, 5_000


class CutOff(Exception):
    pass


@pytest.fixture
def store(redis_server: RedisServer) -> RedisStore:
    return connect(load({"HAILWHALE_REDIS_URL": redis_server.url}))


def deliver(store: RedisStore, entry: Entry, shards: int | None) -> None:
    """As a worker does; one that is killed after some shards."""
    events = Events(store._database)
    send = events._send

    def some(calls: Sequence[Any], done: dict[int, set[Mark]], caps: Any) -> Any:
        if shards is not None and shards < len(calls):
            send(calls[:shards], done, caps)
            raise CutOff
        return send(calls, done, caps)

    events._send = some  # type: ignore[method-assign]  # killed between two shards
    try:
        events.add_to_log([entry], CAPS)
    except CutOff:
        assert shards is not None


def message(log: SiteLog, seq: int, at_ms: int, aliases: Mapping[bytes, Sequence[Alias]]) -> Entry:
    """Hits of two ids that turn out to be one person's, and of two others."""
    names = ("phone", "anna", "bert", "anna")
    hits = [Done(name, NOW_MS, f"{seq} {place} {name}") for place, name in enumerate(names)]
    return entry_of(log, (log.account, "ab" * 8, seq), at_ms, hits, hash_in(log), aliases)


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_each_hit_is_logged_once_and_by_its_alias_where_that_held_when_its_message_was_accepted(
    store: RedisStore, unique: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times are those of a true clock, from the beginning on: Hail's goes wrong by SKEW_MS, and workers remember for REMEMBERED_MS."""
    rng = random.Random(seed)
    log = SiteLog(unique, "shop", partitions=16)
    anna = hash_in(log)("anna")
    joined_at = 6_000
    near = range(joined_at - 3_000, joined_at + 9_000, 100)
    accepted = [rng.choice([rng.randrange(20_000), rng.choice(near), joined_at + 1_950]) for _ in range(MESSAGES)]
    stamped = [at + rng.choice([-SKEW_MS, 0, SKEW_MS]) for at in accepted]
    deliveries = [
        (at + rng.choice([0, 0, rng.randrange(3_000), rng.randrange(20_000)]), seq, rng.choice([0, 1, 2, 3]))
        for seq, at in enumerate(accepted)
        for _ in range(rng.randrange(3))
    ] + [(50_000, seq, None) for seq in range(MESSAGES)]
    monkeypatch.setattr("whale.store.redis.identities.HOLDS_AFTER_MS", joined_at + HOLDS_AFTER_MS)
    began_ms, aliases = _clock_ms(store), dict[bytes, Sequence[Alias]]()
    for at, seq, shards in sorted(deliveries, key=lambda each: each[0]):
        if at >= joined_at and not aliases:
            people = (Person(hash_in(log)(name), name.encode()) for name in ("phone", "anna"))
            assert store.identify(log, *people) == JOINED
            aliases = store.aliases(log, [anna, hash_in(log)("phone"), hash_in(log)("bert")])
            assert aliases.keys() == {anna}
        asked = at - rng.choice([0, REMEMBERED_MS])
        seen = aliases if asked >= joined_at else {}
        deliver(store, message(log, seq, began_ms + stamped[seq], seen), shards)
    found = Counter((record[0], record[3]) for record in logged(store, log))
    expected = Counter[Any]()
    for seq, at in enumerate(stamped):
        who = "phone" if began_ms + at >= aliases[anna][0].since_ms else "anna"
        expected.update([("phone", f"{seq} 0 phone"), (who, f"{seq} 1 anna"), ("bert", f"{seq} 2 bert")])
        expected.update([(who, f"{seq} 3 anna")])
    assert found == expected


def row_of(store: RedisStore, log: SiteLog, name: str) -> bytes:
    """As it is stored."""
    hash_ = hash_in(log)(name)
    key = Keys(log.account, store.shards).log(log.site, "", log.partition_of(hash_))[1]
    row = store.client.hget(f"{key}:a:1", hash_[:8])
    assert row is None or store.client.ttl(f"{key}:a:1") > 180 * DAY
    return row or b""


def person(log: SiteLog, name: str) -> Person:
    return Person(hash_in(log)(name), name.encode())


class Meeting(Identities):
    """Something else happens before each of its steps: "name", "join", "undo"."""

    def __init__(self, store: RedisStore, steps: Mapping[str, Callable[[], Any]]):
        super().__init__(store._database)
        self._steps = dict(steps)

    def _ask(self, log: SiteLog, what: str, whose: bytes, *more: Any) -> bool:
        self._steps.pop(what, lambda: None)()
        return super()._ask(log, what, whose, *more)


def kill() -> None:
    raise CutOff


@pytest.mark.parametrize("step", ["name", "join"])
def test_a_join_that_was_cut_off_is_none_until_the_same_again_ends_it(
    store: RedisStore, unique: str, step: str
) -> None:
    log = SiteLog(unique, "shop", partitions=3)
    phone, anna = person(log, "phone"), person(log, "anna")
    with pytest.raises(CutOff):
        Meeting(store, {step: kill}).identify(log, phone, anna)
    assert store.aliases(log, [phone.hash, anna.hash]) == {}
    assert store.identify(log, phone, anna) == JOINED
    assert row_of(store, log, "phone") == b"=" + anna.hash
    assert row_of(store, log, "anna").endswith(phone.hash + b"phone")


def test_of_joins_that_meet_one_gives_way(store: RedisStore, unique: str) -> None:
    log = SiteLog(unique, "shop", partitions=3)
    phone, tablet, anna, bert = (person(log, name) for name in ("phone", "tablet", "anna", "bert"))
    store.identify(log, tablet, bert)
    meeting = Meeting(store, {"name": lambda: store.identify(log, phone, bert)})
    assert meeting.identify(log, phone, anna) == OTHER_KNOWN
    assert row_of(store, log, "anna") == b""
    assert row_of(store, log, "phone").endswith(tablet.hash + b"tablet")

    laptop, desktop, cleo = (person(log, name) for name in ("laptop", "desktop", "cleo"))
    meeting = Meeting(store, {"join": lambda: store.identify(log, desktop, cleo)})
    assert meeting.identify(log, laptop, cleo) == JOINED
    found = store.aliases(log, [laptop.hash, desktop.hash, cleo.hash])
    assert {hash_: alias.hash for hash_, (alias,) in found.items()} == dict.fromkeys(
        (laptop.hash, cleo.hash), desktop.hash
    )
    assert row_of(store, log, "desktop") == b"=" + cleo.hash + laptop.hash


def test_two_that_cross_leave_nobody_half_joined(store: RedisStore, unique: str) -> None:
    log = SiteLog(unique, "shop", partitions=3)
    phone, anna = person(log, "phone"), person(log, "anna")
    crossing = Meeting(store, {"join": lambda: store.identify(log, anna, phone)})
    first = crossing.identify(log, phone, anna)
    aliases = store.aliases(log, [phone.hash, anna.hash])
    assert len(aliases) == (first != OTHER_KNOWN)
    assert store.identify(log, phone, anna) in (JOINED, ALREADY)
    assert len(store.aliases(log, [phone.hash, anna.hash])) == 1


def test_aliases_expire_with_their_period_also_where_they_were_taken_over(store: RedisStore, unique: str) -> None:
    log = SiteLog(unique, "shop")
    store.identify(log, person(log, "phone"), person(log, "anna"))
    pass_by(store, log, 180 * DAY)
    assert store.aliases(log, [person(log, "anna").hash])
    key = Keys(log.account, store.shards).log(log.site, "", 0)[1]
    assert [store.client.hlen(f"{key}:a:{period}") for period in (1, 2)] == [2, 1]
    assert min(store.client.ttl(f"{key}:a:{period}") for period in (1, 2)) > 0


def _clock_ms(store: RedisStore) -> int:
    seconds, micros = store.client.time()
    return int(seconds) * 1000 + int(micros) // 1000

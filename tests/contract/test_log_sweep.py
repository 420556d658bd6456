"""What is to be done for logs beside logging, in every store: what is not to be kept goes, also where nobody logs any more."""

from typing import Any

import pytest

from hail.room import MEGABYTE
from hail.settings import DAY, Settings
from tests.contract.conftest import open_store
from tests.contract.test_visitor_log import ACT, World, logged_of
from whale.accounts import Site
from whale.answer.site_log import Log
from whale.store.base import Store
from whale.store.contract.identities import HOLDS_AFTER_MS
from whale.store.contract.log_sweep import AGAIN_S, ENDED_S, EVENTS_FULL, QUIET_S
from whale.store.redis import RedisStore
from whale.store.redis.keys import Keys, LogKeys
from whale.visitors.record import LATEST_S, hasher_of

SOON_S = HOLDS_AFTER_MS / 1000 + ENDED_S + 1


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.replace(visitor_log=True, log_tail_records=64)


@pytest.fixture
def world(store: Store, settings: Settings, unique: str) -> World:
    if isinstance(store, RedisStore):
        store.client.delete(LogKeys.DUE)  # of tests before
    return World(store, settings, unique)


def sweep(world: World, later_s: float = 2 * AGAIN_S) -> None:
    """All that is due then; a sweep that was tried later than this one has put things off."""
    if isinstance(world.store, RedisStore):
        for member in world.store.client.zrange(LogKeys.DUE, 0, -1):
            world.store.client.zadd(LogKeys.DUE, {member: 0})
    steps = 0
    while world.store.sweep_logs(later_s):
        steps += 1
        assert steps < 1_000


def buy(world: World, visitor: str = "ann", days_ago: float = 0, at_ms: int = 0) -> None:
    world.later()
    at = int((at_ms or world.now_ms) - days_ago * DAY * 1000)
    world.apply(world.message([{"pk": "shop", "visitor": visitor, "event": "buy", "at": at}], at_ms=at_ms))


def names(world: World) -> set[str]:
    """Of all keys that logs of the account have, but for those that end within a minute."""
    assert isinstance(world.store, RedisStore)
    found = {name.decode() for name in world.store.client.scan_iter(f"{world.account}:*:w:*")}
    return {name for name in found if ":o:" not in name}


def test_what_is_older_than_the_site_keeps_goes_by_months(world: World) -> None:
    for days_ago in (3, 100, 200):
        buy(world, days_ago=days_ago)
        sweep(world, QUIET_S + 60)
    assert len(world.logged()) == 3
    kept = Site(world.account, "shop", keep_days=60)
    world.store.change_entry(world.site, kept, ACT)
    sweep(world)
    assert [record[1] // 49 for record in world.logged()] == [world.now_ms - 3 * DAY * 1000]


def test_a_quiet_tail_is_packed(world: World) -> None:
    buy(world)
    sweep(world)
    if isinstance(world.store, RedisStore):
        _, key = Keys(world.account, world.store.shards).log("shop", "", 0)
        assert (world.store.client.hlen(f"{key}:x"), world.store.client.strlen(f"{key}:t")) == (0, 14)
        sweep(world, QUIET_S + 60)
        assert (world.store.client.hlen(f"{key}:x"), world.store.client.strlen(f"{key}:t")) == (1, 0)
    assert len(world.logged()) == 1


@pytest.mark.parametrize("columns", [False, True])
def test_a_site_that_is_gone_leaves_nothing_in_the_end(world: World, columns: bool) -> None:
    buy(world, "ann", days_ago=40)
    sweep(world, QUIET_S + 60)
    world.apply(world.message([{"pk": "shop", "visitor": f"v{n}", "event": "buy"} for n in range(300)], columns))
    world.store.remove_entry(world.site, ACT)
    sweep(world)  # it ends the log
    sweep(world, SOON_S)
    late = world.message([{"pk": "shop", "visitor": "ann", "event": "buy"}])
    if isinstance(world.store, RedisStore):
        assert names(world) == set()
    world.later()
    world.apply(late)
    assert (world.logged(), world.audit().whole.not_logged, world.closes()) == ([], {"reset": 1}, True)
    sweep(world, SOON_S + LATEST_S)
    assert world.store.log_records(world.account, ["shop"]) == {}
    sweep(world, SOON_S + LATEST_S + 2 * AGAIN_S)
    if isinstance(world.store, RedisStore):
        assert world.store.client.zcard(LogKeys.DUE) == 0


def test_a_log_that_was_reset_goes_and_the_next_one_stays(world: World) -> None:
    buy(world, "ann")
    world.store.restart_log(world.account, "shop")
    buy(world, "bob", at_ms=world.now_ms + 3 * HOLDS_AFTER_MS + 60_000)
    assert [record[0] for record in world.logged()] == ["ann", "bob"]
    sweep(world, SOON_S)
    assert [record[0] for record in world.logged()] == ["bob"]
    sweep(world, LATEST_S + 3 * AGAIN_S)
    (generation,) = world.store.log_records(world.account, ["shop"])["shop"].generations
    assert (generation.until_ms, [record[0] for record in world.logged()]) == (None, ["bob"])


def test_records_of_the_erased_go_and_later_that_they_were_erased(world: World) -> None:
    for visitor in ("ann", "bob"):
        buy(world, visitor)
    record = world.store.log_records(world.account, ["shop"])["shop"]
    (generation,) = record.generations
    log, hash_ = record.log(world.account, "shop", generation), hasher_of(world.account, "shop", generation)("ann")
    sweep(world, QUIET_S + 60)
    world.store.erase_visitor(log, hash_)
    sweep(world)
    assert [record[0] for record in logged_of(world.store, world.account, "shop")] == ["bob"]
    buy(world, "ann")
    assert world.audit().whole.not_logged == {"erased": 1}
    if isinstance(world.store, RedisStore):
        _, key = Keys(world.account, world.store.shards).log("shop", "", 0)
        assert (world.store.client.exists(f"{key}:r"), world.store.client.hlen(f"{key}:g")) == (0, 1)
        sweep(world, LATEST_S + AGAIN_S)
        assert world.store.client.exists(f"{key}:g") == 0


def test_an_account_whose_logs_take_too_much_is_logged_nothing_more_of(settings: Settings, unique: str) -> None:
    few = settings.replace(events_max_mb=0.001)
    world = World(open_store(few), few, unique)
    for visitor in range(30):
        buy(world, str(visitor))
    sweep(world)
    buy(world, "0")
    assert (world.audit().whole.logged, world.audit().whole.not_logged) == (30, {"events_full": 1})
    world.store.restart_log(world.account, "shop", after_ms=-20_000)
    sweep(world, SOON_S)
    buy(world, "0")
    assert world.audit().whole.logged == 31


@pytest.mark.parametrize(("what", "most"), [("values", 30_000), ("ids", 10_000), ("aliases", 8_000)])
def test_names_and_values_and_ids_weigh_too(settings: Settings, unique: str, what: str, most: int) -> None:
    few = settings.replace(events_max_mb=most / MEGABYTE)
    world = World(open_store(few), few, unique)
    log = Log.of(world.store, unique, "shop")
    for number in range(60):
        said: dict[str, Any] = {"properties": {"note": f"{number}" * 400}} if what == "values" else {"event": "buy"}
        if what == "aliases":
            world.store.identify(log.log, log.person(f"phone {number}"), log.person(f"anna {number}"))
        else:
            visitor = "v" * 190 + str(number) if what == "ids" else "ann"
            world.apply(world.message([{"pk": "shop", "visitor": visitor, **said}]))
    before = world.audit().whole.logged
    sweep(world)
    buy(world)
    assert (world.audit().whole.logged, world.audit().whole.not_logged) == (before, {"events_full": 1})
    assert world.store.identify(log.log, log.person("bob"), log.person("bert")) == EVENTS_FULL
    assert world.store.ids_of_visitor(log.log, log.person("bert").hash) == [log.person("bert").hash]


def test_a_site_that_has_no_log_any_more_in_the_directory_is_ended(world: World) -> None:
    world.store.remove_entry(world.site, ACT)
    sweep(world)
    assert not world.store.log_records(world.account, ["shop"])["shop"].is_open

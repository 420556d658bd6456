"""Applied messages are logged once they are counted, each hit once, whatever comes again in whatever company; and the audit closes."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.columns import MANY
from hail.hit import Reason, encode_hit, encode_row, parse_hit, parse_joining
from hail.message import Message, decode_message, encode_message
from hail.settings import DAY, Settings
from tests import log_oracle
from tests.contract.hits import in_columns, publisher_of, sums
from tests.contract.logs import Record, logged
from tests.laws import law
from whale.accounts import Account, Act, Site
from whale.answer.site_log import Log
from whale.count.apply import Applier
from whale.errors import Unavailable
from whale.health.audit import Audit, Found, close
from whale.spy import KEPT
from whale.store.base import Store
from whale.store.contract.identities import HOLDS_AFTER_MS
from whale.store.contract.site_logs import SiteLogs
from whale.store.redis import RedisStore
from whale.store.redis.keys import Keys
from whale.visitors.identity import Person
from whale.visitors.record import LATEST_S, hasher_of

ACT = Act(0, "a test", "did", "default", "it")
BEGAN_MS = 60_000
"""How long before now the logs of these sites hold."""
ACCOUNTS = itertools.count()


@pytest.fixture
def keeping(settings: Settings) -> Settings:
    return settings.replace(visitor_log=True, log_tail_records=64)


class World:
    """An account with a site, whose log holds at once, and one that is none; and an applier that logs."""

    def __init__(self, store: Store, settings: Settings, account: str, **listed: tuple[str, ...]):
        """listed: what the site lists."""
        self.store, self.settings, self.account, self.seq, self.total = store, settings, account, 0, 0
        self.publisher = publisher_of(account)
        self.now_ms = int(time.time() * 1000)
        store.add_entry(Account(account, f"name-{account}", "UTC", 0), ACT)
        self.site = replace(Site(account, "shop"), **listed)
        store.add_entry(self.site, ACT)
        store.begin_log(self.site, after_ms=-BEGAN_MS)
        self.applier = Applier(store, settings)

    def message(self, hits: Sequence[dict[str, Any]], columns: bool = False, at_ms: int = 0) -> Message:
        """The next one of its publisher. hits: times in ms."""
        at_ms = at_ms or self.now_ms
        rows = [parse_hit({**hit, "at": hit.get("at", at_ms) / 1000}, self.settings, at_ms / 1000) for hit in hits]
        return self._named([encode_hit(row) for row in rows], columns, at_ms)

    def _named(self, wire: list[bytes], columns: bool, at_ms: int) -> Message:
        self.total += len(wire)
        found = decode_message(encode_message(self.publisher, self.seq, self.account, self.total, at_ms, wire))
        self.seq += 1
        return in_columns([found])[0] if columns else found

    def joining(self, anonymous: str, known: str, columns: bool, at_ms: int = 0) -> Message:
        """A message that joins two ids."""
        at_ms = at_ms or self.now_ms
        given = {"pk": "shop", "anonymous": anonymous, "known": known}
        row, *_ = parse_joining(given, self.settings, at_ms / 1000)
        return self._named([encode_row(row)], columns, at_ms)

    def apply(self, *messages: Message) -> None:
        self.applier.apply(messages, self.now_ms / 1000)

    def later(self) -> None:
        """As REMEMBERED_S later."""
        assert self.applier._log
        self.applier._log._known.clear()

    def logged(self, site: str = "shop") -> list[Record]:
        """Of all generations."""
        return logged_of(self.store, self.account, site)

    def closes(self) -> bool:
        return self.audit().closes and self.audit().log_closes

    def audit(self) -> Audit:
        return close(self.store, self.account, Found())


def logged_of(store: Store, account: str, site: str) -> list[Record]:
    found: list[Record] = []
    record = store.log_records(account, [site])[site]
    for generation in record.generations:
        found += logged(store, record.log(account, site, generation))
    return sorted(found)


@pytest.fixture
def world(store: Store, keeping: Settings, unique: str) -> World:
    return World(store, keeping, unique)


hits = st.fixed_dictionaries(
    {"pk": st.sampled_from(["shop", "blog", ["shop", "shoes"]])},
    optional={
        "visitor": st.sampled_from(["ann", "bob", "dée"]),
        "event": st.sampled_from(["visit", "buy", "é"]),
        "id": st.integers(0, 30).map(str),
    },
)


@law(25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(some=st.lists(st.lists(hits, max_size=8), min_size=1, max_size=5), data=st.data())
def test_each_hit_of_a_site_with_visitor_and_event_is_logged_once(
    store: Store, keeping: Settings, unique: str, some: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    partitions = data.draw(st.sampled_from([1, 3]))
    world = World(store, keeping.replace(site_partitions=partitions), f"{unique}-{next(ACCOUNTS)}"[-40:].strip("-"))
    backs = st.integers(0, 3) | st.integers(0, 500 * DAY * 1000)
    each = [[{**hit, "at": world.now_ms - data.draw(backs)} for hit in of] for of in some]
    messages = [world.message(of, columns=data.draw(st.booleans())) for of in each]
    deliveries = data.draw(st.permutations(messages * data.draw(st.integers(1, 2))))
    while deliveries:
        together = data.draw(st.integers(1, len(deliveries)))
        world.apply(*deliveries[:together])
        deliveries = deliveries[together:]
    line = world.audit().whole
    assert (world.closes(), line.counted + line.duplicate) == (True, sum(map(len, each)))
    if all("id" not in hit for of in each for hit in of):
        said = [
            {"name": seq, "at": world.now_ms, "hits": [_said(hit) for hit in of if hit["pk"] != "blog"]}
            for seq, of in enumerate(each)
        ]
        expected = log_oracle.log(said, 400 * DAY * 1000)
        assert world.logged() == expected
        assert (line.logged, sum(line.not_logged.values())) == (len(expected), line.to_log - len(expected))


def _said(hit: dict[str, Any]) -> dict[str, Any]:
    return {"visitor": hit.get("visitor", ""), "at": hit["at"], "event": hit.get("event", ""), "properties": {}}


def test_a_hit_whose_id_came_before_is_logged_no_second_time(world: World) -> None:
    hit = {"pk": "shop", "visitor": "ann", "event": "buy", "id": "order 1"}
    first, second = world.message([hit, hit]), world.message([hit])
    for each in ([first, second], [second], [second, first]):
        world.apply(*each)
    assert [record[0] for record in world.logged()] == ["ann"]
    assert (world.audit().whole.to_log, world.audit().whole.logged, world.closes()) == (1, 1, True)


def test_nothing_is_logged_of_what_is_no_site_or_was_accepted_before_its_log_began(world: World) -> None:
    hit = {"visitor": "ann", "event": "buy"}
    early = world.message([{"pk": "shop", **hit}], at_ms=world.now_ms - BEGAN_MS - 30_000)
    world.apply(world.message([{"pk": "blog", **hit}]), early)
    assert world.logged() == []
    assert (world.audit().whole.to_log, world.closes()) == (0, True)
    assert sums(world.store, world.account, ("shop",), [()], now=world.now_ms / 1000) == [1]


def test_nothing_is_logged_where_no_log_is_kept(store: Store, settings: Settings, unique: str) -> None:
    world = World(store, settings.replace(visitor_log=False), unique)
    world.apply(world.message([{"pk": "shop", "visitor": "ann", "event": "buy"}]))
    assert (world.logged(), world.audit().whole.to_log) == ([], 0)


class Away(Exception):
    pass


@pytest.mark.parametrize("columns", [False, True])
def test_what_is_cut_off_between_cells_and_log_is_logged_when_it_comes_again(
    world: World, monkeypatch: pytest.MonkeyPatch, columns: bool
) -> None:
    hit = {"pk": "shop", "visitor": "ann", "event": "buy"}
    message = world.message([hit] * (MANY + 1 if columns else 3), columns)

    def away(*_: Any) -> Any:
        raise Unavailable("the log")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "add_to_log", away)
        with pytest.raises(Unavailable):
            world.apply(message)
    count = len(message.hits)
    assert sums(world.store, world.account, ("shop",), [()], now=world.now_ms / 1000) == [count]
    assert (world.closes(), world.audit().whole.missing_in_log) == (False, count)
    for _ in range(2):
        world.apply(message)
    assert len(world.logged()) == count
    assert sums(world.store, world.account, ("shop",), [()], now=world.now_ms / 1000) == [count]
    assert (world.closes(), world.audit().whole.logged) == (True, count)


def test_an_alias_holds_for_messages_that_were_accepted_after_it(world: World) -> None:
    record = world.store.log_records(world.account, ["shop"])["shop"]
    generation = record.generations[0]
    hash_of = hasher_of(world.account, "shop", generation)
    phone, anna = (Person(hash_of(name), name.encode()) for name in ("phone", "anna"))
    world.store.identify(record.log(world.account, "shop", generation), phone, anna)
    hit = {"pk": "shop", "visitor": "anna", "event": "buy"}
    world.apply(world.message([hit]), world.message([hit], at_ms=world.now_ms + HOLDS_AFTER_MS + 5_000))
    assert [record[0] for record in world.logged()] == ["anna", "phone"]


def test_a_site_that_was_there_before_gets_a_log_with_its_first_hit(world: World) -> None:
    world.store.add_entry(Site(world.account, "blog"), ACT)
    world.apply(world.message([{"pk": "blog", "visitor": "ann", "event": "read"}]))
    since_ms = world.store.log_records(world.account, ["blog"])["blog"].generations[0].since_ms
    assert HOLDS_AFTER_MS <= since_ms - world.now_ms < HOLDS_AFTER_MS + 120_000
    assert (world.logged("blog"), world.closes()) == ([], True)


def test_hits_of_a_site_that_was_made_anew_are_left_out_for_their_reason(world: World) -> None:
    hit = {"pk": "shop", "visitor": "ann", "event": "buy"}
    before, after = world.message([hit]), world.message([hit], at_ms=world.now_ms + 120_000)
    world.store.end_log(world.account, "shop", after_ms=60_000)
    world.store.begin_log(world.site, after_ms=60_000)
    world.apply(before, after)
    assert [record[1] for record in world.logged()] == [(world.now_ms + 120_000) * 49]
    assert (world.audit().whole.not_logged, world.closes()) == ({"reset": 1}, True)


def test_a_removed_site_is_logged_nothing_of(world: World) -> None:
    world.store.end_log(world.account, "shop", after_ms=-1_000)
    world.store.remove_entry(world.site, ACT)
    world.apply(world.message([{"pk": "shop", "visitor": "ann", "event": "buy"}]))
    assert (world.logged(), world.audit().whole.to_log) == ([], 0)


def test_the_record_of_a_log_is_written_once_by_whoever_comes_first(world: World, settings: Settings) -> None:
    store: SiteLogs = world.store
    seen = store.log_records(world.account, ["shop", "none"])
    assert seen.keys() == {"shop"}
    assert store.begin_log(world.site) == seen["shop"]
    changed = store.begin_log(Site(world.account, "shop", keep_days=7, keep_ids=False, session_gap_s=600))
    assert (changed.keep_days, changed.keep_ids, changed.generations) == (7, False, seen["shop"].generations)
    assert store.log_records(world.account, ["shop"])["shop"].session_gap_s == 600
    store.end_log(world.account, "none")
    assert store.log_records(world.account, ["none"]) == {}


def test_tails_are_packed_by_whoever_applies(world: World) -> None:
    hit = {"pk": "shop", "visitor": "ann", "event": "buy"}
    for seq in range(12):
        world.apply(world.message([{**hit, "at": world.now_ms - 1000 * place - seq} for place in range(25)]))
        world.applier._sweep_at = 0.0
        world.applier.sweep(world.now_ms / 1000)
    assert (len(world.logged()), world.audit().whole.not_logged) == (300, {})
    if isinstance(world.store, RedisStore):
        _, key = Keys(world.account, world.store.shards).log("shop", "", 0)
        assert (world.store.client.hlen(f"{key}:x"), world.store.client.strlen(f"{key}:t")) == (1, 14 * 25 * (12 % 3))


@pytest.mark.parametrize("columns", [False, True])
def test_ids_that_a_message_joins_are_one_visitor_unless_one_was_erased_since(
    store: Store, keeping: Settings, unique: str, columns: bool
) -> None:
    world = World(store, keeping, unique)
    world.apply(world.message([{"pk": "shop", "visitor": "phone", "event": "visit"}]))
    joining = world.joining("phone", "ann", columns)
    for _ in range(2):
        world.apply(joining)
    record = store.log_records(unique, ["shop"])["shop"]
    log, hash_of = record.log(unique, "shop", record.generations[-1]), hasher_of(unique, "shop", record.generations[-1])
    assert store.ids_of_visitor(log, hash_of("ann")) == [hash_of("phone"), hash_of("ann")]
    late = world.joining("ann", "anna", columns)
    store.erase_visitor(log, hash_of("ann"))
    world.apply(joining, late)
    assert store.ids_of_visitor(log, hash_of("ann")) == [hash_of("ann")]
    world.apply(world.joining("ann", "anna", columns, at_ms=world.now_ms + 2 * HOLDS_AFTER_MS))
    assert store.ids_of_visitor(log, hash_of("anna")) == [hash_of("ann"), hash_of("anna")]
    assert world.closes()


@pytest.mark.parametrize("columns", [False, True])
def test_a_message_joins_nobody_by_a_hit_that_does_not_count_or_that_is_very_old(
    store: Store, keeping: Settings, unique: str, columns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "BEGAN_MS", 2 * LATEST_S * 1000)
    world = World(store, keeping, unique)
    revoked = msgspec.structs.replace(world.joining("phone", "ann", columns), judged={0: Reason.REVOKED_KEY})
    old = [world.joining("phone", "ann", columns, world.now_ms - days * DAY * 1000) for days in (30, 32)]
    log = Log.of(store, unique, "shop")
    for message, ids in ((revoked, 1), (old[1], 1), (old[0], 2)):
        world.apply(message)
        assert len(store.ids_of_visitor(log.log, log.person("ann").hash)) == ids
    assert world.closes()


def test_the_spy_forgets_who_was_erased_also_among_many_hits(world: World) -> None:
    log = Log.of(world.store, world.account, "shop")
    world.store.erase_visitor(log.log, log.person("ann").hash)
    world.apply(world.message([{"pk": "shop", "visitor": "ann", "event": "buy"}, *[{"pk": "shop"}] * KEPT]))
    world.applier.witness.tell()
    assert world.store.spied(world.account, "ann") == []
    assert len(world.store.spied(world.account)) == KEPT

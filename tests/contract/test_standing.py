"""Hits that belong to nobody: of accounts that do not exist, and by keys that had ended; they are dropped, and the audit closes."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from hail.hit import Reason, encode_row, parse_hit, row_of_hit, with_key
from hail.message import ACCOUNT, NOBODY, Message, decode_message, encode_message
from hail.settings import Settings
from tests.contract.hits import NOW, in_columns, publisher_of, sums
from whale.accounts import Account, Act, Key, Site, new_key, revoked
from whale.count.apply import Applier
from whale.count.standing import GRACE_S, LOOK_S, Ends, Standing, why_not
from whale.health.audit import Found, close
from whale.store.base import Store
from whale.store.redis import RedisStore

ACT = Act(0, "a test", "did", "default", "it")
PKS = ("web", "web", "shop")


class World:
    """An account with keys, and an applier that knows of them; made: what numbers its keys."""

    def __init__(self, store: Store, settings: Settings, account: str):
        self.store, self.settings, self.account, self.made = store, settings, account, 0
        self.entry = Account(account, f"name-{account}", "UTC", 0)
        store.add_entry(self.entry, ACT)
        self.standing = Standing(store)
        self.applier = Applier(store, settings, self.standing)

    def key(self, site: str | None = None) -> Key:
        self.made += 1
        raw = bytes([self.made]) * 4 + hashlib.sha256(f"{self.account} {self.made}".encode()).digest()
        key, _ = new_key(self.account, "write", site, raw, 0)
        self.store.add_entry(key, ACT)
        return key

    def part(self, keys: Sequence[str], account: str = "", seq: int = 0, total: int = 0, at: float = NOW) -> Message:
        """A hit for each key, "" for none."""
        hits = [parse_hit({"pk": "web", "id": f"{seq}-{i}"}, self.settings, NOW) for i in range(len(keys))]
        wire = [encode_row(with_key(row_of_hit(hit), key)) for hit, key in zip(hits, keys, strict=True)]
        account = account or self.account
        total = total or len(wire)
        return decode_message(encode_message(publisher_of(self.account), seq, account, total, int(at * 1000), wire))

    def apply(self, parts: Sequence[Message], columns: bool) -> None:
        """Twice, as after a redelivery."""
        for _ in range(2):
            self.applier.apply(self.applier.judged(in_columns(parts) if columns else parts), NOW)

    def later(self) -> None:
        """As after LOOK_S."""
        self.standing._looks_at -= LOOK_S

    def counted(self, account: str = "") -> int:
        return sums(self.store, account or self.account, ("web",), [()])[0]

    def books(self, account: str = "", publisher: str = "") -> dict[str, int]:
        """Hits, and what was dropped, of a publisher in an account."""
        for row in self.store.audit(account or self.account):
            if row.publisher == (publisher or publisher_of(self.account)):
                return {"hits": row.hits, **row.dropped}
        return {}


@pytest.fixture
def world(store: Store, settings: Settings, unique: str) -> World:
    return World(store, settings, unique)


@pytest.mark.parametrize("columns", [False, True])
def test_a_hit_counts_where_its_key_is_good(world: World, columns: bool) -> None:
    key = world.key()
    world.apply([world.part([key.id, "", key.id])], columns)
    assert (world.counted(), world.books()) == (3, {"hits": 3})


@pytest.mark.parametrize("columns", [False, True])
def test_a_hit_by_a_key_that_had_ended_is_dropped(world: World, columns: bool) -> None:
    good, ended = world.key(), world.key()
    end = revoked(ended, int(NOW))
    world.apply([world.part([good.id, ended.id])], columns)
    world.store.change_entry(ended, end, ACT)
    world.later()
    world.apply([world.part([good.id, ended.id], seq=1, total=4, at=NOW + GRACE_S - 0.001)], columns)
    assert world.counted() == 4
    world.apply([world.part([good.id, ended.id, "", "ffffffff"], seq=2, total=8, at=NOW + GRACE_S)], columns)
    assert (world.counted(), world.books()) == (6, {"hits": 8, Reason.REVOKED_KEY: 2})
    audit = close(world.store, world.account, Found())
    assert (audit.closes, audit.whole.accepted, audit.whole.counted, audit.whole.dropped) == (
        True,
        8,
        6,
        {Reason.REVOKED_KEY: 2},
    )


@pytest.mark.parametrize("columns", [False, True])
def test_a_key_that_was_removed_is_judged_by_the_time_of_the_message(world: World, columns: bool) -> None:
    removed, site = world.key(), Site(world.account, "web")
    world.store.add_entry(site, ACT)
    of_site = world.key("web")
    before = world.part([removed.id, of_site.id], at=NOW + GRACE_S - 0.001)
    after = world.part([removed.id, of_site.id], seq=1, total=4, at=NOW + GRACE_S)
    for entry in (removed, of_site, site):
        world.store.remove_entry(entry, replace(ACT, at_ms=int(NOW * 1000)))
    world.apply([before], columns)
    assert world.counted() == 2
    world.apply([after], columns)
    dropped = {Reason.REVOKED_KEY: 1, Reason.UNKNOWN_SITE: 1}
    assert (world.counted(), world.books()) == (2, {"hits": 4, **dropped})
    audit = close(world.store, world.account, Found())
    assert (audit.closes, audit.whole.counted, audit.whole.dropped) == (True, 2, dropped)


def test_what_is_removed_between_two_deliveries_is_judged_alike(world: World) -> None:
    key, site = world.key(), Site(world.account, "web")
    world.store.add_entry(site, ACT)
    part = world.part([key.id, world.key("web").id])
    assert world.applier.judged([part]) == [part]
    for entry in (*world.store.keys(world.account), site):
        world.store.remove_entry(entry, replace(ACT, at_ms=int((NOW + 1) * 1000)))
    assert world.applier.judged([part]) == [part]
    world.later()
    assert world.applier.judged([part]) == [part]
    late = world.part([key.id], at=NOW + 1 + GRACE_S)
    assert [message.judged for message in world.applier.judged([late])] == [{0: Reason.REVOKED_KEY}]


def test_a_site_that_was_removed_is_heard_of(world: World) -> None:
    site = Site(world.account, "web")
    world.store.add_entry(site, ACT)
    key = world.key("web")
    part = world.part([key.id], at=NOW + GRACE_S)
    assert world.applier.judged([part]) == [part]
    world.store.remove_entry(site, replace(ACT, at_ms=int(NOW * 1000)))
    world.later()
    assert [message.judged for message in world.applier.judged([part])] == [{0: Reason.UNKNOWN_SITE}]
    assert not why_not(Ends(None, None), 0)
    assert why_not(Ends(0, 0), GRACE_S * 1000) is Reason.UNKNOWN_SITE


def test_the_last_use_of_a_key_is_noted(world: World) -> None:
    one, other, _ = world.key(), world.key(), world.key()
    for seq, (key, at) in enumerate(((one, NOW + 7), (one, NOW + 5), (other, NOW))):
        world.apply([world.part([key.id, "", "ffffffff"], seq=seq, total=3 * seq + 3, at=at)], True)
    world.applier.sweep(NOW)
    assert world.store.last_uses(world.account) == {one.id: int(NOW + 7), other.id: int(NOW)}


def test_a_dropped_hit_claims_no_id(world: World) -> None:
    world.apply([world.part(["ffffffff"])], False)
    again = world.part([world.key().id], seq=1, total=2)
    world.apply([msgspec.structs.replace(again, hits=[msgspec.structs.replace(again.hits[0], id="0-0")])], False)
    assert (world.counted(), world.books()) == (1, {"hits": 2, Reason.REVOKED_KEY: 1})


def test_a_key_and_an_account_that_were_made_just_now_are_known(world: World, settings: Settings) -> None:
    world.apply([world.part([world.key().id])], False)
    world.apply([world.part([world.key().id], seq=1, total=2)], False)
    assert world.counted() == 2
    other = World(world.store, settings, f"{world.account}-2")
    world.applier.apply(world.applier.judged([other.part([other.key().id])]), NOW)
    assert other.counted() == 1


def test_what_belongs_to_no_account_is_dropped_in_the_books_of_the_default_account(
    world: World, store: Store, settings: Settings
) -> None:
    before = world.books(ACCOUNT, NOBODY).get(Reason.UNKNOWN_ACCOUNT, 0)
    publisher, key, gone = publisher_of(world.account), world.key(), f"{world.account}-gone"
    dropped = 0

    def of_nobody() -> int:
        return world.books(ACCOUNT, NOBODY).get(Reason.UNKNOWN_ACCOUNT, 0) - before

    # alone, as lines and as columns
    for seq, columns in enumerate((False, True)):
        world.apply([world.part(["", ""], gone, seq, 2 * seq + 2)], columns)
        dropped += 2
        assert of_nobody() == dropped
    assert world.books(ACCOUNT, publisher) == {}
    # beside hits of the account default and of another one
    parts = [
        world.part(["", "", ""], ACCOUNT, 2, 3),
        world.part([key.id], total=1, seq=2),
        world.part([""] * 5, gone, 2, 9),
    ]
    world.apply(parts, True)
    dropped += 5
    assert (of_nobody(), world.books(ACCOUNT, publisher), world.books()) == (dropped, {"hits": 3}, {"hits": 1})
    # an account that is removed
    world.store.remove_entry(world.entry, ACT)
    world.later()
    world.apply([world.part([key.id, ""], seq=3, total=3)], True)
    dropped += 2
    assert of_nobody() == dropped
    world.apply([world.part([""], ACCOUNT, 4, 4)], True)
    lines = {line.publisher: line for line in close(store, ACCOUNT, Found()).lines}
    assert (lines[publisher].accepted, lines[publisher].counted, lines[publisher].missing) == (4, 4, 0)
    assert lines[NOBODY].missing == 0
    assert lines[NOBODY].counted == 0
    keys = keys_under(store, gone)
    assert keys == []


def keys_under(store: Store, account: str) -> list[Any]:
    """What a store keeps of an account."""
    if isinstance(store, RedisStore):
        return list(store.client.scan_iter(f"{account}:*"))
    return [*store.pks(account), *store.audit(account)]

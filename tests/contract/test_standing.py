"""Hits that belong to nobody: of accounts that do not exist, and by keys that had ended; they are dropped, and the audit closes."""

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from hail.hit import Reason, encode_row, parse_hit, row_of_hit, with_key
from hail.message import ACCOUNT, NOBODY, Message, decode_message, encode_message
from hail.settings import Settings
from tests import cut
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, in_columns, publisher_of, sums
from whale.accounts import Account, Act, Key, Site, new_key, revoked
from whale.count.apply import Applier
from whale.count.standing import GRACE_S, LOOK_S, Ends, Standing, why_not
from whale.errors import Unavailable
from whale.health.audit import Found, Line, close
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


class Early:
    """Hits by keys that came before their Hail knew any, in the books of the account `default`. other: another World on the same store."""

    def __init__(self, world: World):
        self.world, self.publisher = world, publisher_of(f"early {world.account}")
        self.other = World(world.store, world.settings, f"{world.account}-b")

    def message(self, hits: Sequence[tuple[str, Mapping[str, Any]]], seq: int = 0, total: int = 0) -> list[Message]:
        """hits: the hash of a secret, or "", and what else is of a hit of the pk web."""
        rows = [
            encode_row(with_key(row_of_hit(parse_hit({"pk": "web", **given}, self.world.settings, NOW)), "", hash_))
            for hash_, given in hits
        ]
        wire = encode_message(self.publisher, seq, ACCOUNT, total or len(rows), int(NOW * 1000), rows)
        return in_columns([decode_message(wire)])

    def deliver(self, parts: Sequence[Message], times: int = 2) -> None:
        for _ in range(times):
            self.world.applier.apply(self.world.applier.judged(parts), NOW)

    def line(self, account: str = ACCOUNT, publisher: str = "") -> Line:
        audit = close(self.world.store, account, Found())
        return next(line for line in audit.lines if line.publisher == (publisher or self.publisher))


@pytest.fixture
def early(world: World) -> Early:
    return Early(world)


def test_hits_that_came_before_a_directory_count_for_the_account_of_their_key(early: Early) -> None:
    world, other, before = early.world, early.other, early.world.counted(ACCOUNT)
    one, two, of_default = world.key(), other.key(), new_key(ACCOUNT, "write", None, secrets.token_bytes(36), 0)[0]
    world.store.add_entry(of_default, ACT)
    hits = [(one.hash, {}), ("f" * 64, {}), (two.hash, {}), ("", {}), (one.hash, {}), (of_default.hash, {})]
    early.deliver(early.message(hits))
    assert (world.counted(), other.counted(), world.counted(ACCOUNT) - before) == (2, 1, 2)
    line = early.line()
    assert (line.accepted, line.counted, line.dropped, line.missing) == (6, 5, {Reason.UNKNOWN_ACCOUNT: 1}, 0)
    assert (world.books(publisher=NOBODY), other.books(publisher=NOBODY)) == ({"hits": 2}, {"hits": 1})
    for account in (world.account, other.account):
        audit = close(world.store, account, Found())
        assert (audit.closes, audit.whole.accepted) == (True, audit.whole.counted)
    world.applier.sweep(NOW)
    assert world.store.last_uses(world.account) == {one.id: int(NOW)}
    world.store.remove_entry(of_default, ACT)


def test_what_came_early_is_judged_as_hail_would_have(early: Early) -> None:
    world = early.world
    world.store.add_entry(Site(world.account, "web"), ACT)
    good, ended, expired, lasting, of_web, of_shop = (world.key(site) for site in (None,) * 4 + ("web", "shop"))
    world.store.add_entry(Site(world.account, "shop"), ACT)
    changes = (
        revoked(ended, NOW - GRACE_S),
        replace(expired, expires_s=int(NOW)),
        replace(lasting, expires_s=int(NOW) + 1),
    )
    for seen, new in zip((ended, expired, lasting), changes, strict=True):
        world.store.change_entry(seen, new, ACT)
    keys = (good, ended, expired, lasting, of_web, of_shop)
    early.deliver(early.message([*((key.hash, {"id": "a"}) for key in keys), (good.hash, {"id": "a"})]))
    assert world.counted() == 1
    dropped = {Reason.REVOKED_KEY: 2, Reason.OTHER_SITE: 1, Reason.DUPLICATE: 3}
    assert world.books(publisher=NOBODY) == {"hits": 7, **dropped}
    assert (early.line().accepted, early.line().counted, early.line().missing) == (7, 7, 0)
    assert close(world.store, world.account, Found()).closes


@pytest.mark.parametrize("gone", ["revoked", "removed", "account"])
def test_early_hits_that_come_again_after_their_key_went_are_judged_alike(early: Early, gone: str) -> None:
    world, key = early.world, early.world.key()
    part = early.message([(key.hash, {}), ("f" * 64, {})])
    early.deliver(part, 1)
    if gone == "revoked":
        world.store.change_entry(key, revoked(key, NOW + 1), ACT)
    else:
        entry = key if gone == "removed" else world.entry
        world.store.remove_entry(entry, replace(ACT, at_ms=int((NOW + 1) * 1000)))
    world.later()
    again = Applier(world.store, world.settings, Standing(world.store))
    again.apply(again.judged(part), NOW)
    line = early.line()
    assert (line.accepted, line.counted, line.dropped, line.missing) == (2, 1, {Reason.UNKNOWN_ACCOUNT: 1}, 0)
    if gone == "account":
        late = early.message([(key.hash, {})], seq=1, total=3)
        again.apply(again.judged(late), NOW)
        assert early.line().dropped == {Reason.UNKNOWN_ACCOUNT: 2}
    else:
        assert world.counted() == 1
        after = early.message([(key.hash, {})], seq=1, total=3)
        later = [msgspec.structs.replace(each, at=each.at + 1000 * (GRACE_S + 1)) for each in after]
        early.deliver(later)
        assert (world.counted(), world.books(publisher=NOBODY)) == (1, {"hits": 2, Reason.REVOKED_KEY: 1})


def test_early_hits_and_later_ones_of_an_account_in_one_message(early: Early) -> None:
    world, key = early.world, early.world.key()
    (of_default,) = early.message([(key.hash, {"id": "a"}), ("", {}), (key.hash, {})])
    later = world.part([key.id, "ffffffff", key.id], total=3)
    later = msgspec.structs.replace(later, publisher=early.publisher, v=2)
    for parts in ([of_default, later], [later, of_default], [of_default, later, of_default, later]):
        early.deliver(parts)
    assert world.counted() == 4
    assert world.books(publisher=early.publisher) == {"hits": 3, Reason.REVOKED_KEY: 1}
    assert world.books(publisher=NOBODY) == {"hits": 2}
    judged = world.applier.judged([of_default, later])
    assert world.applier.judged(judged) == judged
    assert close(world.store, world.account, Found()).closes


def test_a_kill_between_two_shards_counts_early_hits_once(
    early: Early, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, pks = early.world, [f"t{number}" for number in range(9)]  # on several shards, where there are such
    key, other = world.key(), early.other.key()
    part = early.message([(each.hash, {"pk": pk}) for pk in pks for each in (key, other)])
    if settings.redis_url and settings.shards > 1:
        store = open_store(settings)
        cut_off = Applier(store, settings, Standing(store))
        monkeypatch.setattr(store.writer, "_send", cut.after(store.writer._send, 1, cut.off("killed")))
        with pytest.raises(Unavailable):
            cut_off.apply(cut_off.judged(part), NOW)
    world.store.remove_entry(key, replace(ACT, at_ms=int((NOW + 1) * 1000)))
    early.deliver(part)
    for account in (world.account, early.other.account):
        assert [sums(world.store, account, (pk,), [()]) for pk in pks] == [[1]] * 9
        assert close(world.store, account, Found()).closes
    assert (early.line().accepted, early.line().counted, early.line().missing) == (18, 18, 0)


def test_early_hits_of_visitors_are_logged(early: Early) -> None:
    world = early.world
    site = Site(world.account, "web")
    world.store.add_entry(site, ACT)
    world.store.begin_log(site, after_ms=-60_000)
    key, now = world.key("web"), time.time()
    seen = {"visitor": "ann", "event": "came"}
    came = early.message([(key.hash, seen), ("f" * 64, seen), (key.hash, seen), (key.hash, {})])
    part = [msgspec.structs.replace(each, at=int(now * 1000)) for each in came]
    applier = Applier(world.store, world.settings.replace(visitor_log=True), Standing(world.store))
    for _ in range(2):
        applier.apply(applier.judged(part), now)
    audit = close(world.store, world.account, Found())
    line = early.line(world.account)
    assert (audit.closes, audit.log_closes, audit.whole.accepted, audit.whole.counted) == (True, True, 3, 3)
    assert (line.to_log, line.logged, line.not_logged) == (2, 2, {})
    assert close(world.store, ACCOUNT, Found()).whole.to_log == 0


def test_strangers_cost_few_reads_and_leave_nothing(early: Early, trips: list[str]) -> None:
    world = early.world
    part = early.message([(f"{number:064x}", {}) for number in range(1000)])
    world.standing._look()
    trips.clear()
    judged = world.standing.judged(part)
    assert len(trips) <= 5
    assert [len(each.hits) for each in judged] == [0]
    before = world.counted(ACCOUNT)
    early.deliver(part)
    assert (early.line().dropped, early.line().missing) == ({Reason.UNKNOWN_ACCOUNT: 1000}, 0)
    assert world.counted(ACCOUNT) == before


def keys_under(store: Store, account: str) -> list[Any]:
    """What a store keeps of an account."""
    if isinstance(store, RedisStore):
        return list(store.client.scan_iter(f"{account}:*"))
    return [*store.pks(account), *store.audit(account)]

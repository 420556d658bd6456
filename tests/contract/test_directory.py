"""The directory of accounts in every store: who may be made, that each change is whole and seen, and that nothing is left of who went.

The directory belongs to a whole server, which tests share: each looks at accounts of its own.
"""

import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from hail.settings import Settings
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, message, sums
from whale.accounts import ALL, Account, Act, Key, Rights, Site, User, account_id, new_key, revoked
from whale.count.apply import Applier
from whale.errors import CallerError, Conflict, NotFound
from whale.store.base import Store
from whale.store.contract import accounts as contract
from whale.store.contract import directory as bounds
from whale.store.contract import owners
from whale.store.contract.directory import State
from whale.store.redis import RedisStore
from whale.store.redis.keys import DirectoryKeys

ACT = Act(1_800_000_000_123, "command line", "add account", "", "anna")
WORD = "fresh"


def new_id() -> str:
    return account_id(secrets.token_bytes(16))


def made_key(account: str, scope: str = "read", site: str | None = None) -> Key:
    return new_key(account, scope, site, secrets.token_bytes(36), NOW)[0]


@pytest.fixture
def anna(store: Store, unique: str) -> Account:
    account = Account(new_id(), unique, "Asia/Tokyo", 1_800_000_000)
    store.add_entry(account, ACT)
    return account


def of(store: Store, account: Account) -> list[Any]:
    return [*store.users(account.id), *store.sites(account.id), *store.keys(account.id)]


def test_the_account_default_is_always_there_and_stays(store: Store) -> None:
    default = Account("default", "default", "UTC", 0)
    assert store.account_named("default") == store.account_with("default") == default
    assert default in store.accounts()
    for change in (
        lambda: store.remove_entry(default, ACT),
        lambda: store.change_entry(default, replace(default, name="x"), ACT),
    ):
        with pytest.raises(CallerError, match="stays as it is"):
            change()
    with pytest.raises(Conflict, match="account default already"):
        store.add_entry(Account(new_id(), "default", "UTC", 0), ACT)
    with pytest.raises(Conflict):
        store.add_entry(Account("default", "other-default", "UTC", 0), ACT)
    key = made_key("default")
    store.add_entry(key, ACT)
    assert store.key_hashed(key.hash) == key
    store.remove_entry(key, ACT)


def test_an_account_is_found_by_its_name(store: Store, anna: Account) -> None:
    assert store.account_named(anna.name) == store.account_with(anna.id) == anna
    assert store.account_with(new_id()) is None
    assert anna in store.accounts()
    assert store.account_named(f"{anna.name}-other") is None
    assert store.zone(anna.id) == "Asia/Tokyo"


def test_the_zone_of_an_account_is_that_of_its_first_day(settings: Settings, store: Store, anna: Account) -> None:
    Applier(store, settings).apply([message([{"pk": "shop"}], settings, anna.id, 0)], NOW)
    again = open_store(settings) if settings.redis_url else store
    assert again.zone(anna.id) == "Asia/Tokyo"


def test_no_two_accounts_have_one_name_or_one_id(store: Store, anna: Account) -> None:
    with pytest.raises(Conflict) as caught:
        store.add_entry(replace(anna, id=new_id()), ACT)
    assert caught.value.field == "name"
    with pytest.raises(Conflict) as caught:
        store.add_entry(replace(anna, name=f"{anna.name}-b"), ACT)
    assert caught.value.field == "id"
    bob = Account(new_id(), f"{anna.name}-b", "UTC", 0)
    store.add_entry(bob, ACT)
    with pytest.raises(Conflict) as caught:
        store.change_entry(bob, replace(bob, name=anna.name), ACT)
    assert caught.value.field == "name"
    assert store.account_named(bob.name) == bob


def test_an_account_takes_a_new_name_and_keeps_its_id(store: Store, anna: Account) -> None:
    new = replace(anna, name=f"{anna.name}-new")
    store.change_entry(anna, new, ACT)
    assert store.account_named(anna.name) is None
    assert store.account_named(new.name) == new
    with pytest.raises(ValueError, match="the same entry"):
        store.change_entry(new, replace(new, zone="UTC"), ACT)


def test_of_many_programs_that_make_one_name_one_does(settings: Settings, store: Store, unique: str) -> None:
    stores = [store, *(open_store(settings) if settings.redis_url else store for _ in range(5))]
    barrier, done, refused = threading.Barrier(len(stores)), [], []

    def make(mine: Store) -> None:
        barrier.wait()
        for number in range(20):
            account = Account(new_id(), f"{unique}-{number}", "UTC", 0)
            try:
                mine.add_entry(account, ACT)
                done.append(account)
            except Conflict:
                refused.append(account)

    threads = [threading.Thread(target=make, args=(each,)) for each in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.name for each in done) == sorted(f"{unique}-{number}" for number in range(20))
    assert len(refused) == 100
    assert {each.id for each in done} == {each.id for each in store.accounts() if each.name.startswith(f"{unique}-")}


ENTRIES: list[Callable[[str], User | Site | Key]] = [
    lambda account: User(account, "", "hash", ALL, 1),
    lambda account: User(account, "bob", "hash", Rights(counts="read"), 1),
    lambda account: Site(
        account, 'odd "pk" {1}:/\n ü', "Shop", "of ours", True, ("https://shop.example",), 31, False, ("a", "b"), "any"
    ),
    lambda account: made_key(account, "write", "shop"),
    lambda account: made_key(account, "browser", "shop"),
]


@pytest.mark.parametrize("make", ENTRIES)
def test_an_entry_is_added_once_changed_and_removed(store: Store, anna: Account, make: Callable[[str], Any]) -> None:
    entry = make(anna.id)
    store.add_entry(entry, ACT)
    assert of(store, anna) == [entry]
    with pytest.raises(Conflict, match="already"):
        store.add_entry(entry, ACT)
    change: dict[type, dict[str, Any]] = {
        User: {"rights": ALL, "password": "b"},
        Site: {"name": "b"},
        Key: {"expires_s": 5},
    }
    new = replace(entry, **change[type(entry)])
    store.change_entry(entry, new, ACT)
    assert of(store, anna) == [new]
    with pytest.raises(Conflict, match="changed meanwhile"):
        store.change_entry(entry, replace(entry, **change[type(entry)]), ACT)
    store.remove_entry(entry, ACT)
    assert of(store, anna) == []
    for late in (lambda: store.remove_entry(entry, ACT), lambda: store.change_entry(new, new, ACT)):
        with pytest.raises(NotFound, match="there is no"):
            late()


def test_an_entry_takes_the_place_of_no_other(store: Store, anna: Account) -> None:
    key = made_key(anna.id)
    store.add_entry(key, ACT)
    for other in (
        replace(key, id="00000000"),
        replace(key, hash="0"),
        replace(key, account="default"),
        Site(anna.id, key.id),
    ):
        with pytest.raises(ValueError, match="the same entry"):
            store.change_entry(key, other, ACT)
    assert store.keys(anna.id) == [key]


@pytest.mark.parametrize("make", ENTRIES)
def test_nothing_is_written_under_an_account_that_is_not_there(store: Store, make: Callable[[str], Any]) -> None:
    nobody = new_id()
    with pytest.raises(NotFound) as caught:
        store.add_entry(make(nobody), ACT)
    assert caught.value.field == "account"
    assert (store.users(nobody), store.sites(nobody), store.keys(nobody)) == ([], [], [])


def test_a_key_is_found_by_the_hash_of_its_secret(store: Store, anna: Account) -> None:
    first, second = made_key(anna.id), made_key(anna.id, "write", "shop")
    for key in (first, second):
        store.add_entry(key, ACT)
    assert [store.key_hashed(key.hash) for key in (first, second)] == [first, second]
    assert store.key_hashed("0" * 64) is None
    ended = revoked(first, NOW)
    store.change_entry(first, ended, ACT)
    assert store.key_hashed(first.hash) == ended
    store.remove_entry(second, ACT)
    assert store.key_hashed(second.hash) is None
    with pytest.raises(Conflict):
        store.add_entry(replace(made_key(anna.id), hash=first.hash), ACT)


def test_a_key_that_is_not_there_costs_as_many_reads_as_one_that_has_ended(
    store: Store, anna: Account, trips: list[str]
) -> None:
    ended = revoked(made_key(anna.id), NOW)
    store.add_entry(ended, ACT)
    costs = []
    for hash_ in (ended.hash, "0" * 64):
        trips.clear()
        store.key_hashed(hash_)
        costs.append(len(trips))
    assert costs[0] == costs[1]


def test_entries_of_an_account_are_bounded(store: Store, anna: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("whale.store.accounts", "whale.store.redis.accounts"):
        monkeypatch.setattr(f"{module}.MOST_OF_A_KIND", 2)
    for name in ("a", "b"):
        store.add_entry(Site(anna.id, name), ACT)
    with pytest.raises(CallerError, match="at most"):
        store.add_entry(Site(anna.id, "c"), ACT)
    store.add_entry(made_key(anna.id), ACT)
    store.remove_entry(Site(anna.id, "a"), ACT)
    store.add_entry(Site(anna.id, "c"), ACT)
    assert {site.pk for site in store.sites(anna.id)} == {"b", "c"}


def test_accounts_are_bounded(store: Store, anna: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("whale.store.accounts", "whale.store.redis.accounts"):
        monkeypatch.setattr(f"{module}.MOST_ACCOUNTS", len(store.accounts()))
    with pytest.raises(CallerError, match="the limit is") as caught:
        store.add_entry(Account(new_id(), f"{anna.name}-b", "UTC", 0), ACT)
    assert caught.value.field == "name"
    assert contract.MOST_ACCOUNTS == 100_000


def test_a_removed_account_is_gone_at_once_and_its_id_never_comes_back(
    settings: Settings, store: Store, anna: Account
) -> None:
    entries = [make(anna.id) for make in ENTRIES]
    for entry in entries:
        store.add_entry(entry, ACT)
    Applier(store, settings).apply([message([{"pk": "shop"}], settings, anna.id, 0)], NOW)
    store.remove_entry(anna, ACT)
    assert store.account_named(anna.name) is None
    assert store.account_with(anna.id) is None
    assert anna not in store.accounts()
    assert of(store, anna) == []
    assert [store.key_hashed(entry.hash) for entry in entries if isinstance(entry, Key)] == [None, None]
    with pytest.raises(Conflict) as caught:
        store.add_entry(anna, ACT)
    assert caught.value.field == "id"
    again = replace(anna, id=new_id())
    store.add_entry(again, ACT)
    assert store.account_named(anna.name) == again
    assert of(store, again) == []
    assert sums(store, again.id, ("shop",), [()]) == [0]


def keys_of(store: Store, account: str) -> set[bytes]:
    return {*store.client.scan_iter(f"{account}:*", count=10_000)} if isinstance(store, RedisStore) else set()


def rest(store: Store, now: float) -> int:
    """Frees until there is nothing to do; how many steps it took."""
    steps = 0
    while store.free_accounts(now):
        steps += 1
    return steps


def test_what_a_removed_account_counted_is_freed_in_steps_and_looked_for_again(
    settings: Settings, store: Store, anna: Account, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Applier, "sweep", lambda *_: 5.0)  # those that other tests left running would do the work
    quiet = settings.replace(redis_url=settings.redis_url, spy=False)  # the spy writes when it has time
    bob = Account(new_id(), f"{unique}-b", "UTC", 0)
    store.add_entry(bob, ACT)
    if isinstance(store, RedisStore):
        store.client.delete("hailwhale:{accounts}:freeing")  # one of these may be at it
    rest(store, 1e12)
    applier = Applier(store, quiet)
    hits = [{"pk": f"p{number}"} for number in range(60)]
    for account in (anna, bob):
        applier.apply([message(hits, settings, account.id, 0)], NOW)
    store.remove_entry(anna, ACT)
    before = keys_of(store, bob.id)
    steps = rest(store, NOW)
    assert steps > 3 or not settings.redis_url
    assert keys_of(store, anna.id) == set()
    assert sums(store, anna.id, ("p1",), [()]) == [0]
    assert keys_of(store, bob.id) == before
    assert sums(store, bob.id, ("p1",), [()]) == [1]

    late = open_store(settings) if settings.redis_url else store
    Applier(late, quiet).apply([message(hits, settings, anna.id, 1)], NOW)
    assert rest(store, NOW + 3599) == 0
    assert rest(store, NOW + 3600) > 0
    assert keys_of(store, anna.id) == set()
    assert sums(late, anna.id, ("p1",), [()]) == [0]
    assert rest(store, NOW + 1e9) == 0


def test_an_applier_frees_what_removed_accounts_counted(settings: Settings, store: Store, anna: Account) -> None:
    applier = Applier(store, settings)
    applier.apply([message([{"pk": "shop"}], settings, anna.id, 0)], NOW)
    store.remove_entry(anna, ACT)
    deadline = 2000
    while sums(store, anna.id, ("shop",), [()]) != [0] and deadline:
        applier._sweep_at = 0.0  # it need not rest
        applier.sweep(NOW)
        deadline -= 1
    assert deadline


def test_a_removed_key_and_a_removed_site_are_known_for_a_while(
    settings: Settings, store: Store, anna: Account
) -> None:
    key, other, site = made_key(anna.id), made_key(anna.id, "write", "shop"), Site(anna.id, "shop")
    for entry in (key, other, site, User(anna.id, "bob", "hash", ALL, 1)):
        store.add_entry(entry, ACT)
    assert store.doors(new_id()) is None
    doors = store.doors(anna.id)
    assert doors is not None
    assert ({each.id for each in doors.keys}, doors.sites) == ({key.id, other.id}, {"shop"})
    assert (doors.removed_keys, doors.removed_sites) == ([], {})

    ended, first = revoked(other, NOW), replace(ACT, at_ms=1000)
    store.change_entry(other, ended, ACT)
    for entry, act in ((ended, first), (site, replace(ACT, at_ms=2000))):
        store.remove_entry(entry, act)
    store.remove_entry(User(anna.id, "bob", "hash", ALL, 1), ACT)
    doors = store.doors(anna.id)
    assert doors is not None
    assert (doors.keys, doors.sites) == ([key], set())
    assert (doors.removed_keys, doors.removed_sites) == ([(ended, 1000)], {"shop": 2000})
    assert (store.keys(anna.id), store.key_hashed(other.hash)) == ([key], None)
    found = store.owners({key.hash, other.hash, "0" * 64})
    assert found == {key.hash: (anna.id, key.id), other.hash: (anna.id, other.id)}

    store.add_entry(site, ACT)  # what is made again was not removed
    doors = store.doors(anna.id)
    assert doors is not None
    assert (doors.sites, doors.removed_sites) == ({"shop"}, {})
    known_ms = 1000 * owners.known_s(settings)
    for at_ms, left in ((1000 + known_ms, {other.id, key.id}), (1001 + known_ms, {key.id})):  # the older one goes
        store.remove_entry(key, replace(ACT, at_ms=at_ms))
        store.add_entry(key, ACT)
        store.remove_entry(key, replace(ACT, at_ms=at_ms))
        doors = store.doors(anna.id)
        assert doors is not None
        assert {each.id for each, _ in doors.removed_keys} == left
        store.add_entry(key, ACT)
    store.remove_entry(key, ACT)
    taken = replace(made_key(anna.id), id=key.id)  # whose place another one takes
    store.add_entry(taken, ACT)
    assert store.owners({key.hash, taken.hash}) == {taken.hash: (anna.id, key.id)}
    store.remove_entry(anna, ACT)
    assert store.doors(anna.id) is None
    assert store.owners({taken.hash, other.hash}) == {}
    if isinstance(store, RedisStore):
        assert not store.client.exists(f"hailwhale:{{accounts}}:removed:{anna.id}")
        assert not store.client.exists(f"hailwhale:{{accounts}}:was:{key.hash}")


def test_of_many_that_were_removed_the_first_go(store: Store, anna: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("whale.store.accounts", "whale.store.redis.accounts"):
        monkeypatch.setattr(f"{module}.MOST_REMOVED", 2)
    keys = [made_key(anna.id) for _ in range(3)]
    for number, key in enumerate(keys):
        store.add_entry(key, ACT)
        store.remove_entry(key, replace(ACT, at_ms=number))
    doors = store.doors(anna.id)
    assert doors is not None
    assert sorted(at_ms for _, at_ms in doors.removed_keys) == [1, 2]
    if isinstance(store, RedisStore):
        was = [store.client.get(f"hailwhale:{{accounts}}:was:{key.hash}") for key in keys]
        assert was == [None, *(f"{anna.id} {key.id}".encode() for key in keys[1:])]
        assert 0 < store.client.ttl(f"hailwhale:{{accounts}}:removed:{anna.id}") <= 3 * 86_400
    assert owners.MOST_REMOVED == 1_000


def test_the_directory_holds_all_but_users(store: Store, anna: Account) -> None:
    site, key = Site(anna.id, "shop"), made_key(anna.id, "browser", "shop")
    for entry in (site, key, User(anna.id, "bob", "hash", ALL, 1)):
        store.add_entry(entry, ACT)
    store.note_uses({(anna.id, key.id): 5})
    whole = store.directory(WORD)
    assert [each for each in whole.accounts if each.id in (anna.id, "default")] == [
        Account("default", "default", "UTC", 0),
        anna,
    ]
    assert [each for each in whole.sites if each.account == anna.id] == [site]
    assert [each for each in whole.keys if each.account == anna.id] == [key]
    assert whole.state == store.directory_state(WORD)


def test_what_changed_since_a_version_comes_once_as_it_is_now(store: Store, anna: Account) -> None:
    state = store.directory_state(WORD)
    assert state.word
    nothing = store.directory_since(state, WORD)
    assert nothing is not None
    assert (nothing.accounts, nothing.sites, nothing.keys, nothing.gone_keys) == ([], [], [], [])
    site, key, other = Site(anna.id, "a b"), made_key(anna.id), made_key(anna.id, "write")
    for entry in (site, key, other):
        store.add_entry(entry, ACT)
    ended = revoked(key, NOW)
    store.change_entry(key, ended, ACT)
    store.remove_entry(other, ACT)
    store.add_entry(User(anna.id, "bob", "hash", ALL, 1), ACT)
    changed = store.directory_since(state, WORD)
    assert changed is not None
    assert changed.state == State(state.word, state.version + 5)
    assert (changed.accounts, changed.sites, changed.keys) == ([], [site], [ended])
    assert (changed.gone_accounts, changed.gone_sites, changed.gone_keys) == ([], [], [(anna.id, other.id)])

    later = changed.state
    store.remove_entry(site, ACT)
    renamed = replace(anna, name=f"{anna.name}-new")
    store.change_entry(anna, renamed, ACT)
    changed = store.directory_since(later, WORD)
    assert changed is not None
    assert (changed.accounts, changed.gone_sites) == ([renamed], [(anna.id, "a b")])
    store.remove_entry(renamed, ACT)
    changed = store.directory_since(later, WORD)
    assert changed is not None
    assert (changed.accounts, changed.keys, changed.gone_accounts) == ([], [], [anna.id])


def test_what_is_added_again_is_no_longer_gone(store: Store, anna: Account) -> None:
    state, site = store.directory_state(WORD), Site(anna.id, "shop")
    store.add_entry(site, ACT)
    store.remove_entry(site, ACT)
    store.add_entry(site, ACT)
    changed = store.directory_since(state, WORD)
    assert changed is not None
    assert (changed.sites, changed.gone_sites) == ([site], [])


def test_who_knows_another_word_or_a_version_to_come_reads_all(store: Store, anna: Account) -> None:
    state = store.directory_state(WORD)
    assert store.directory_since(State("other", state.version), WORD) is None
    assert store.directory_since(State(state.word, state.version + 1), WORD) is None
    assert store.directory_since(State("", 0), WORD) is None


def test_who_comes_after_too_many_changes_reads_all(
    store: Store, anna: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("whale.store.accounts", "whale.store.redis.directory"):
        monkeypatch.setattr(f"{module}.MOST_CHANGES", 3)
    state = store.directory_state(WORD)
    for name in "abcd":
        store.add_entry(Site(anna.id, name), ACT)
    assert store.directory_since(state, WORD) is None
    assert store.directory_since(replace(state, version=state.version + 1), WORD) is not None


def test_who_comes_after_too_many_are_gone_reads_all(
    store: Store, anna: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("whale.store.accounts", "whale.store.redis.accounts"):
        monkeypatch.setattr(f"{module}.MOST_GONE", 2)
    state = store.directory_state(WORD)
    for name in "abc":
        store.add_entry(Site(anna.id, name), ACT)
        store.remove_entry(Site(anna.id, name), ACT)
    assert store.directory_since(state, WORD) is None
    after = store.directory_since(replace(state, version=state.version + 2), WORD)
    assert after is not None
    assert after.gone_sites == [(anna.id, "b"), (anna.id, "c")]
    assert bounds.MOST_GONE == 10_000


def test_the_last_use_of_a_key_is_the_latest_that_was_told(store: Store, anna: Account) -> None:
    key, other = made_key(anna.id), made_key(anna.id)
    for each in (key, other):
        store.add_entry(each, ACT)
    version = store.directory_state(WORD).version
    store.note_uses({(anna.id, key.id): 9, (anna.id, "00000000"): 9, (new_id(), key.id): 9})
    store.note_uses({(anna.id, key.id): 10})
    store.note_uses({(anna.id, key.id): 7})
    store.note_uses({})
    assert store.last_uses(anna.id) == {key.id: 10}
    assert store.directory_state(WORD).version == version
    store.remove_entry(key, ACT)
    assert store.last_uses(anna.id) == {}


def test_the_journal_says_what_was_done_and_by_whom(
    store: Store, anna: Account, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = [Act(number, "command line", "add site", anna.id, f"{unique} ü {number}") for number in range(4)]
    for act in acts[:2]:
        store.add_entry(Site(anna.id, act.about), act)
    with pytest.raises(Conflict):
        store.add_entry(Site(anna.id, acts[0].about), acts[3])
    store.write_act(acts[2])
    assert store.journal()[:3] == [acts[2], acts[1], acts[0]]
    assert store.journal(anna.id) == [acts[2], acts[1], acts[0]]
    assert store.journal(new_id()) == []
    assert bounds.MOST_ACTS == 10_000


def test_the_journal_keeps_the_last_ten_thousand_acts(store: Store, anna: Account) -> None:
    full = [replace(ACT, account=anna.id, at_ms=number) for number in range(10_000)]
    if isinstance(store, RedisStore):  # 10,000 round trips take long
        store.client.lpush("hailwhale:{accounts}:journal", *map(msgspec.json.encode, full))
    else:
        for act in full:
            store.write_act(act)
    last = replace(ACT, account=anna.id, at_ms=10_000)
    store.write_act(last)
    assert store.journal() == [last, *full[:0:-1]]


def test_salts_of_days_are_those_that_came_first_and_end_with_their_days(store: Store) -> None:
    first = {"4000-01-01": "a", "4000-01-02": "b"}
    assert store.salts(first) == first
    assert store.salts({"4000-01-01": "x", "4000-01-02": "y", "4000-01-03": "c"}) == {**first, "4000-01-03": "c"}
    assert store.salts({"4000-01-02": "z", "4000-01-03": "z"}) == {"4000-01-02": "b", "4000-01-03": "c"}
    assert store.salts({"4000-01-01": "new"}) == {"4000-01-01": "new"}
    if isinstance(store, RedisStore):
        assert 0 < store.client.ttl(DirectoryKeys.SALTS) <= bounds.SALTS_KEPT_S
    store.salts({"9999-01-01": "last"})


def test_whoever_asks_at_once_has_the_same_salts(store: Store) -> None:
    found = list[dict[str, str]]()
    asking = [threading.Thread(target=lambda n=n: found.append(store.salts({"5000-01-01": f"{n}"}))) for n in range(8)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert len(found) == 8
    assert all(each == found[0] for each in found)
    store.salts({"9999-01-01": "last"})

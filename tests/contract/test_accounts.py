"""A message that holds hits of several accounts: each counts once, in its own account, whatever happens between two shards."""

from typing import Any

import msgspec
import pytest

from hail.message import Message
from hail.settings import Settings
from tests import cut
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, in_columns, message, publisher_of, sums
from tests.existing import make_accounts
from tests.servers import wait_until
from whale.accounts import Act
from whale.count.apply import Applier
from whale.errors import Unavailable
from whale.store.base import Store
from whale.store.contract.tallies import PublisherAudit

ROOTS = [f"t{i}" for i in range(9)]  # on several shards, where there are such


def of_all(accounts: list[str], settings: Settings, seq: int, **more: Any) -> list[Message]:
    """What one message of version 2 holds of each account: as many hits of each pk as its place in the list, counted from 1."""
    publisher = publisher_of(accounts[0])
    parts = [
        message([{"pk": name} for name in ROOTS] * count, settings, account, seq, publisher=publisher)
        for count, account in enumerate(accounts, 1)
    ]
    return [msgspec.structs.replace(part, **more) for part in in_columns(parts)]


def counted(store: Store, account: str) -> set[int]:
    return {sums(store, account, (name,), [()])[0] for name in ROOTS}


@pytest.fixture
def accounts(unique: str) -> list[str]:
    return [f"{unique}-{i}" for i in range(3)]


def test_each_account_counts_its_own_once(settings: Settings, store: Store, accounts: list[str]) -> None:
    first, second = (of_all(accounts, settings, seq) for seq in (0, 1))
    Applier(store, settings).apply([*first, *second, *first], NOW)
    again = open_store(settings) if settings.redis_url else store
    Applier(again, settings).apply([*second, *first], NOW)
    for count, account in enumerate(accounts, 1):
        assert counted(store, account) == {2 * count}
        hits = 9 * count
        assert [(row.publisher, row.messages, row.hits) for row in store.audit(account)] == [
            (publisher_of(accounts[0]), 2, 2 * hits)
        ]
        assert store.seen(first[0].mark)
        assert not store.seen((account, publisher_of(accounts[0]), 0))


def test_a_kill_between_two_shards_loses_and_doubles_nothing(
    settings: Settings, accounts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = of_all(accounts, settings, 0)
    store = open_store(settings)
    if settings.redis_url and settings.shards > 1:
        monkeypatch.setattr(store.writer, "_send", cut.after(store.writer._send, 1, cut.off("killed")))
        with pytest.raises(Unavailable):
            Applier(store, settings).apply(parts, NOW)
    fresh = open_store(settings)
    Applier(fresh, settings).apply(parts, NOW)
    Applier(fresh, settings).apply(parts, NOW)
    for count, account in enumerate(accounts, 1):
        assert counted(fresh, account) == {count}


def test_a_reset_in_one_account_leaves_the_others(settings: Settings, store: Store, accounts: list[str]) -> None:
    applier = Applier(store, settings)
    applier.apply(of_all(accounts, settings, 0), NOW)
    other = open_store(settings) if settings.redis_url else store
    other.reset(accounts[1], ("t0",), None, NOW + 1)
    applier.apply(of_all(accounts, settings, 1), NOW)
    assert sums(store, accounts[1], ("t0",), [()]) == [0]
    assert sums(store, accounts[1], ("t1",), [()]) == [4]
    assert counted(store, accounts[0]) == {2}
    assert counted(store, accounts[2]) == {6}
    assert store.audit(accounts[1])[0].dropped == {"reset": 2}


def test_what_is_imported_counts_in_each_account_that_imports_it(
    settings: Settings, store: Store, accounts: list[str]
) -> None:
    parts = of_all(accounts, settings, 0, lasting=True)
    for part in parts * 2:
        Applier(store, settings).apply([part], NOW)
    Applier(store, settings).apply(parts, NOW)
    assert [counted(store, account) for account in accounts] == [{1}, {2}, {3}]


def test_an_id_is_of_its_account(settings: Settings, store: Store, accounts: list[str]) -> None:
    publisher, hits = publisher_of(accounts[0]), [{"pk": "t0", "id": "a"}, {"pk": "t0", "id": "a"}]
    parts = [message(hits, settings, account, publisher=publisher) for account in accounts]
    Applier(store, settings).apply([msgspec.structs.replace(part, v=2) for part in parts], NOW)
    for account in accounts:
        assert sums(store, account, ("t0",), [()]) == [1]
        assert store.audit(account) == [PublisherAudit(publisher, 1, 2, 0, 2, {"duplicate": 1})]


def test_a_removed_account_takes_its_tallies_along_and_no_bit_of_a_message(
    settings: Settings, store: Store, accounts: list[str]
) -> None:
    make_accounts(store, *accounts)
    quiet = settings.replace(redis_url=settings.redis_url, spy=False)  # the spy writes when it has time
    parts = of_all(accounts, settings, 0)
    Applier(store, quiet).apply(parts, NOW)
    gone = store.account_with(accounts[0])
    assert gone
    store.remove_entry(gone, Act(0, "a test", "remove account", gone.id, gone.name))

    def is_free() -> bool:
        store.free_accounts(NOW)
        return not store.audit(gone.id) and counted(store, gone.id) == {0}

    wait_until(is_free, what="what the account had to be freed")
    assert store.seen(parts[0].mark)
    Applier(store, quiet).apply(parts[1:], NOW)
    for count, account in [*enumerate(accounts, 1)][1:]:
        assert counted(store, account) == {count}
        assert [(row.messages, row.hits) for row in store.audit(account)] == [(1, 9 * count)]


def test_an_account_is_looked_at_where_it_has_something_alone(
    settings: Settings, store: Store, accounts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each apply would look at each account on each shard."""
    publisher, called = publisher_of(accounts[0]), list[Any]()
    parts = [
        message([{"pk": f"t{number}"}], settings, account, publisher=publisher)
        for number, account in enumerate(accounts)
    ]
    if settings.redis_url:
        send = store.writer._send
        monkeypatch.setattr(store.writer, "_send", lambda calls: called.extend(calls) or send(calls))
    Applier(store, settings).apply(in_columns(parts), NOW)
    for number, account in enumerate(accounts):
        assert sums(store, account, (f"t{number}",), [()]) == [1]
        assert [row.messages for row in store.audit(account)] == [1]
    for call in called:
        of_blocks = {key.partition(":")[0] for key in call.keys if ":r:" in key}
        of_tallies = {key.partition(":")[0] for key in call.keys if ":pub:" in key}
        looked = {key.partition(":")[0] for key in call.keys} - {"hailwhale"}
        assert looked == of_blocks | of_tallies


def test_what_a_publisher_sent_in_one_apply_is_told_at_once(settings: Settings, store: Store, unique: str) -> None:
    publisher = publisher_of(unique)
    hits = [{"pk": "t0", "id": "a"}, {"pk": "t0"}]
    parts = [
        msgspec.structs.replace(message(hits, settings, unique, seq, 2 * seq + 2, publisher), v=2) for seq in (2, 0, 1)
    ]
    Applier(store, settings).apply(parts, NOW)
    assert store.audit(unique) == [PublisherAudit(publisher, 3, 6, 2, 6, {"duplicate": 2})]

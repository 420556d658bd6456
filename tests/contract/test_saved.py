"""What people save of a site in every store: by site, kind and name, changed by compare-and-set, at most 50 of a kind."""

import pytest

from tests.contract.hits import NOW
from tests.existing import make_accounts
from tests.servers import wait_until
from whale.accounts import Act
from whale.errors import CallerError
from whale.store.base import Store
from whale.store.contract.definitions import Defined
from whale.store.contract.saved import FUNNELS, MOST_SAVED, SEGMENTS

ODD = 'it\'s "a" /pa:th?%2F {1}\x00\n ü'
FIRST, SECOND = Defined(1, b'{"x": "1 2"}'), Defined(2, b"2")


def test_what_is_saved_is_of_one_site_and_kind(store: Store, unique: str) -> None:
    for site, kind, name in (("shop", FUNNELS, ODD), ("shop", SEGMENTS, ODD), (ODD, FUNNELS, "b")):
        assert store.keep_saved(unique, site, kind, name, 0, FIRST) == FIRST
    assert store.saved(unique, "shop", FUNNELS) == {ODD: FIRST}
    assert store.saved(unique, ODD, FUNNELS) == {"b": FIRST}
    assert store.saved(unique, ODD, SEGMENTS) == store.saved(f"{unique}-other", "shop", FUNNELS) == {}
    assert store.forget_saved(unique, "shop", FUNNELS, ODD)
    assert not store.forget_saved(unique, "shop", FUNNELS, ODD)
    assert store.saved(unique, "shop", SEGMENTS) == {ODD: FIRST}
    store.forget_all_saved(unique, "shop")
    assert store.saved(unique, "shop", SEGMENTS) == {}
    assert store.saved(unique, ODD, FUNNELS) == {"b": FIRST}


def test_it_changes_only_where_its_revision_was_seen(store: Store, unique: str) -> None:
    assert store.keep_saved(unique, "shop", FUNNELS, "a", 1, SECOND) is None
    store.keep_saved(unique, "shop", FUNNELS, "a", 0, FIRST)
    assert store.keep_saved(unique, "shop", FUNNELS, "a", 0, SECOND) == FIRST
    assert store.keep_saved(unique, "shop", FUNNELS, "a", 1, SECOND) == SECOND
    assert store.saved(unique, "shop", FUNNELS) == {"a": SECOND}


def test_a_site_has_a_bounded_number_of_each_kind(store: Store, unique: str) -> None:
    for number in range(MOST_SAVED):
        store.keep_saved(unique, "shop", FUNNELS, str(number), 0, FIRST)
    with pytest.raises(CallerError) as caught:
        store.keep_saved(unique, "shop", FUNNELS, "more", 0, FIRST)
    assert caught.value.field == "name"
    assert store.keep_saved(unique, "shop", FUNNELS, "0", 1, SECOND) == SECOND
    assert store.keep_saved(unique, "shop", SEGMENTS, "more", 0, FIRST) == FIRST
    assert len(store.saved(unique, "shop", FUNNELS)) == MOST_SAVED


def test_it_goes_with_its_account(store: Store, unique: str) -> None:
    accounts = [unique, f"{unique}-b"]
    make_accounts(store, *accounts)
    for account in accounts:
        store.keep_saved(account, "shop", FUNNELS, "a", 0, FIRST)
    gone = store.account_with(accounts[0])
    assert gone
    store.remove_entry(gone, Act(0, "a test", "remove account", gone.id, gone.name))

    def is_free() -> bool:
        store.free_accounts(NOW)
        return not store.saved(gone.id, "shop", FUNNELS)

    wait_until(is_free, what="what the account had to be freed")
    assert store.saved(accounts[1], "shop", FUNNELS) == {"a": FIRST}

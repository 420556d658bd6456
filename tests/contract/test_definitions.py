"""Definitions of decisions in every store: kept by name, changed by compare-and-set."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from hail.settings import Settings
from tests.contract.conftest import open_store
from whale.errors import CallerError
from whale.store.base import Store
from whale.store.contract.definitions import Defined

ODD = 'it\'s "a" /pa:th?%2F {1}\x00\n ü'


def test_a_definition_is_kept_and_listed_by_name(store: Store, unique: str) -> None:
    assert store.definitions(unique) == {}
    assert store.definitions(unique, ["a", "b"]) == {}
    first, odd = Defined(1, b'{"x": "1 2"}'), Defined(1, '"\u00fc"'.encode())
    assert store.define(unique, "a", 0, first) == first
    assert store.define(unique, ODD, 0, odd) == odd
    assert store.definitions(unique) == {"a": first, ODD: odd}
    assert store.definitions(unique, ["b", ODD]) == {ODD: odd}
    assert store.definitions(unique, []) == {}
    assert store.definitions(f"{unique}-other") == {}


def test_a_definition_changes_only_where_its_revision_was_seen(store: Store, unique: str) -> None:
    first, second, late = Defined(1, b"1"), Defined(2, b"2"), Defined(2, b"late")
    assert store.define(unique, "a", 1, second) is None
    assert store.definitions(unique) == {}
    store.define(unique, "a", 0, first)
    assert store.define(unique, "a", 0, late) == first
    assert store.define(unique, "a", 1, second) == second
    assert store.define(unique, "a", 1, late) == second
    assert store.definitions(unique) == {"a": second}


def test_of_many_editors_at_once_one_wins_each_revision(settings: Settings, unique: str) -> None:
    store = open_store(settings)

    def edit(editor: int) -> int:
        done = 0
        for _ in range(20):
            found = store.definitions(unique, ["a"]).get("a")
            seen = found.revision if found else 0
            new = Defined(seen + 1, b"%d" % editor)
            mine = store.define(unique, "a", seen, new)
            done += mine is not None and mine == new
        return done

    with ThreadPoolExecutor(4) as pool:
        done = sum(pool.map(edit, range(4)))
    assert store.definitions(unique)["a"].revision == done >= 20


def test_definitions_of_an_account_are_bounded(settings: Settings, unique: str) -> None:
    store = open_store(settings.replace(redis_url=settings.redis_url, max_definitions=2))
    for name in ("a", "b"):
        store.define(unique, name, 0, Defined(1, b"{}"))
    with pytest.raises(CallerError) as caught:
        store.define(unique, "c", 0, Defined(1, b"{}"))
    assert caught.value.field == "name"
    assert store.define(unique, "b", 1, Defined(2, b"{}")) == Defined(2, b"{}")
    assert sorted(store.definitions(unique)) == ["a", "b"]

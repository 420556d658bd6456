"""What is kept of imports in every store, and when things were last reset."""

import pytest

from hail.settings import Settings
from tests.contract.conftest import open_store
from whale.errors import CallerError
from whale.store.base import Store
from whale.store.contract.definitions import Defined

ODD = 'it\'s "a" /pa:th?%2F {1}\x00\n ü.csv'


def test_what_an_import_was_is_kept_by_name(settings: Settings, unique: str) -> None:
    store = open_store(settings)
    assert store.imports(unique) == {}
    first, odd = Defined(1, b'{"x": "1 2"}'), Defined(1, '"\u00fc"'.encode())
    assert store.keep_import(unique, "a.csv", 0, first) == first
    assert store.keep_import(unique, ODD, 0, odd) == odd
    assert store.imports(unique) == {"a.csv": first, ODD: odd}
    assert store.imports(f"{unique}-other") == {}
    assert store.definitions(unique) == {}
    if settings.redis_url:
        assert open_store(settings).imports(unique) == {"a.csv": first, ODD: odd}


def test_it_changes_only_where_its_revision_was_seen(store: Store, unique: str) -> None:
    first, second, late = Defined(1, b"1"), Defined(2, b"2"), Defined(2, b"late")
    assert store.keep_import(unique, "a", 1, second) is None
    assert store.keep_import(unique, "a", 0, first) == first
    assert store.keep_import(unique, "a", 0, late) == first
    assert store.keep_import(unique, "a", 1, second) == second
    assert store.keep_import(unique, "a", 1, late) == second
    assert store.imports(unique) == {"a": second}


def test_imports_of_an_account_are_bounded(settings: Settings, unique: str) -> None:
    store = open_store(settings.replace(max_imports=2))
    for name in ("a", "b"):
        store.keep_import(unique, name, 0, Defined(1, b"{}"))
    with pytest.raises(CallerError, match="the limit is 2 imports: raise HAILWHALE_MAX_IMPORTS"):
        store.keep_import(unique, "c", 0, Defined(1, b"{}"))
    assert store.keep_import(unique, "b", 1, Defined(2, b"{}")) == Defined(2, b"{}")
    assert sorted(store.imports(unique)) == ["a", "b"]


def test_the_last_reset_of_each_pk_and_path_is_known_for_ever(settings: Settings, unique: str) -> None:
    store = open_store(settings)
    assert store.last_resets(unique) == {}
    store.reset(unique, ("a", "b"), None, 1000.0005)
    store.reset(unique, ("a",), ("x", "y"), 1001)
    store.reset(unique, ("a",), ("z",), 1002)
    store.reset(unique, ("ab",), None, 1003)
    known = {(("a", "b"), None): 1_000_000, (("a",), ("x", "y")): 1_001_000, (("a",), ("z",)): 1_002_000}
    assert store.last_resets(unique) == known | {(("ab",), None): 1_003_000}
    store.reset(unique, ("a",), ("x",), 1004)
    del known[("a",), ("x", "y")]
    known[("a",), ("x",)] = 1_004_000
    assert store.last_resets(unique) == known | {(("ab",), None): 1_003_000}
    store.reset(unique, ("a",), None, 1e9)
    late = {(("a",), None): 10**12, (("ab",), None): 1_003_000}
    assert store.last_resets(unique) == late
    store.reset(unique, ("a",), None, 1005)  # a clock that is behind
    assert store.last_resets(unique) == late
    if settings.redis_url:
        assert open_store(settings).last_resets(unique) == late

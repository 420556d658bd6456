"""What metrics measure, in every store: declared by pk and metric, all or none, and forgotten with the pk."""

import pytest

from hail.settings import Settings
from tests.contract.conftest import open_store
from whale.errors import CallerError
from whale.store.base import Store

NOW = 1_795_000_000.0
ODD = 'it\'s "a" /pa:th?%2F {1}\x00\n ü'


def test_metrics_are_declared_and_taken_back(store: Store, unique: str) -> None:
    shop, berlin = ("shop",), ("shop", "berlin")
    assert store.declared(unique, [(shop, "revenue")]) == {}
    assert store.declared(unique, []) == {}
    store.declare(unique, shop, {"revenue": b"1", ODD: b"2"})
    store.declare(unique, berlin, {"revenue": b"3"})
    asked = [(shop, "revenue"), (shop, ODD), (berlin, "revenue"), (berlin, ODD)]
    assert store.declared(unique, asked) == {(shop, "revenue"): b"1", (shop, ODD): b"2", (berlin, "revenue"): b"3"}
    store.declare(unique, shop, {"revenue": b"4", ODD: None, "never": None})
    assert store.declared(unique, asked) == {(shop, "revenue"): b"4", (berlin, "revenue"): b"3"}
    assert store.declared(f"{unique}-other", asked) == {}


def test_a_reset_forgets_the_declarations_of_a_pk_and_of_those_below(store: Store, unique: str) -> None:
    pks = [("shop",), ("shop", "berlin"), ("shop", "berlin", "mitte"), ("shopping",)]
    for pk in pks:
        store.declare(unique, pk, {"revenue": b"1"})
    store.reset(unique, ("shop", "berlin"), ("country",), NOW)
    assert [pk for pk, _ in store.declared(unique, [(pk, "revenue") for pk in pks])] == pks
    store.reset(unique, ("shop", "berlin"), None, NOW)
    assert [pk for pk, _ in store.declared(unique, [(pk, "revenue") for pk in pks])] == [("shop",), ("shopping",)]


def test_declarations_of_an_account_are_bounded(settings: Settings, unique: str) -> None:
    store = open_store(settings.replace(max_declared=2))
    store.declare(unique, ("shop",), {"a": b"1"})
    with pytest.raises(CallerError) as caught:
        store.declare(unique, ("shop",), {"b": b"1", "c": b"1"})
    assert (caught.value.field, "HAILWHALE_MAX_DECLARED" in str(caught.value)) == ("metrics", True)
    asked = [(("shop",), name) for name in "abc"]
    assert store.declared(unique, asked) == {(("shop",), "a"): b"1"}
    store.declare(unique, ("shop",), {"b": b"1"})
    store.declare(unique, ("shop",), {"a": None, "b": b"2", "c": b"3"})
    assert store.declared(unique, asked) == {(("shop",), "b"): b"2", (("shop",), "c"): b"3"}
    less = open_store(settings.replace(max_declared=1)) if settings.redis_url else store
    less.declare(unique, ("shop",), {"b": b"5"})
    assert less.declared(unique, asked)[("shop",), "b"] == b"5"

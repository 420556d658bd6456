"""What every store promises of those who watch: who looks, and what they are told."""

from typing import Any

import pytest

from hail.settings import Settings
from tests.contract.conftest import open_store
from tests.servers import wait_until
from whale.store.base import Store


def test_a_store_knows_what_is_looked_at_until_nobody_says_so(settings: Settings, store: Store, unique: str) -> None:
    assert store.looked(unique) == set()
    store.look(unique, [(), ("shop",), ("a", "\0{x}💥")], 100.0)
    assert store.looked(unique) == {(), ("shop",), ("a", "\0{x}💥")}
    assert store.looked(f"{unique}b") == set()


def test_what_nobody_looks_at_any_more_goes_with_the_next_who_looks(settings: Settings, unique: str) -> None:
    if not settings.redis_url:
        return  # the one in memory has no clock
    one, other = open_store(settings), open_store(settings)
    one.look(unique, [("gone",)], 0.001)

    def looks() -> bool:
        other.look(unique, [("shop",)], 100.0)
        return one.looked(unique) == {("shop",)}

    wait_until(looks, what="the other pk to go")
    other.look(unique, [], 0.5)
    wait_until(lambda: one.looked(unique) == set(), what="the key to end")


def test_the_bound_of_looked_pks_keeps_the_newest(settings: Settings, store: Store, unique: str) -> None:
    store.look(unique, [(f"{number:04}",) for number in range(1010)], 100.0)
    assert len(store.looked(unique)) == 1000


def test_everybody_who_hears_is_told_and_nobody_else(settings: Settings, store: Store, unique: str) -> None:
    store.publish(unique, b"to nobody")
    with store.hear(unique) as first, store.hear(unique) as second, store.hear(f"{unique}b") as other:
        store.publish(unique, b"\0{one}")
        store.publish(unique, b"two")
        assert [first(10.0), first(10.0)] == [b"\0{one}", b"two"]
        assert [second(10.0), second(10.0)] == [b"\0{one}", b"two"]
        assert other(0.05) is None
    store.publish(unique, b"to nobody")


@pytest.mark.parametrize("junk", [b"junk", b'["a"', b"\xff"])
def test_what_is_no_pk_of_ours_is_passed_over(settings: Settings, unique: str, junk: bytes) -> None:
    if not settings.redis_url:
        return
    store: Any = open_store(settings)
    store.look(unique, [("shop",)], 100.0)
    store.client.zadd(store._database.keys(unique).live()[0], {junk: 9e12})
    assert store.looked(unique) == {("shop",)}

"""What every store promises of those who watch: who looks, and what they are told."""

from typing import Any

import pytest

from hail.settings import Settings
from tests.contract.conftest import open_store
from tests.servers import wait_until
from whale.store.base import Store


def test_a_store_knows_what_is_looked_at_until_nobody_says_so(settings: Settings, store: Store, unique: str) -> None:
    assert store.looked(unique) == set()
    store.look({unique: [(), ("shop",), ("a", "\0{x}💥")], f"{unique}c": [("other",)]}, 100.0)
    assert store.looked(unique) == {(), ("shop",), ("a", "\0{x}💥")}
    assert store.looked(f"{unique}b") == set()
    assert store.looked(f"{unique}c") == {("other",)}


def test_what_nobody_looks_at_any_more_goes_with_the_next_who_looks(settings: Settings, unique: str) -> None:
    if not settings.redis_url:
        return  # the one in memory has no clock
    one, other = open_store(settings), open_store(settings)
    one.look({unique: [("gone",)]}, 0.001)

    def looks() -> bool:
        other.look({unique: [("shop",)]}, 100.0)
        return one.looked(unique) == {("shop",)}

    wait_until(looks, what="the other pk to go")
    other.look({unique: []}, 0.5)
    wait_until(lambda: one.looked(unique) == set(), what="the key to end")


def test_the_bound_of_looked_pks_keeps_the_newest(settings: Settings, store: Store, unique: str) -> None:
    store.look({unique: [(f"{number:04}",) for number in range(1010)]}, 100.0)
    assert len(store.looked(unique)) == 1000


def test_everybody_who_hears_is_told_and_nobody_else(settings: Settings, store: Store, unique: str) -> None:
    others = f"{unique}b"
    store.publish(unique, b"to nobody")
    with store.hearing() as first, store.hearing() as second, store.hearing() as nobody:
        for hearing in (first, second):
            hearing.hear(unique)
        nobody.hear(others)
        store.publish(unique, b"\0{one}")
        store.publish(unique, b"two")
        for hearing in (first, second):
            assert [hearing.next(10.0), hearing.next(10.0)] == [(unique, b"\0{one}"), (unique, b"two")]
        assert nobody.next(0.05) is None
    store.publish(unique, b"to nobody")


def test_what_is_heard_may_change_and_nothing_is_lost_meanwhile(settings: Settings, store: Store, unique: str) -> None:
    accounts = [f"{unique}{number}" for number in range(20)]
    with store.hearing() as hearing:
        assert hearing.next(0.01) is None
        hearing.hear(unique)
        for account in accounts:
            store.publish(unique, account.encode())
            hearing.hear(account)
            store.publish(account, b"its own")
        told = [hearing.next(10.0) for _ in range(40)]
        assert [each for each in told if each and each[0] == unique] == [(unique, each.encode()) for each in accounts]
        others = {each for each in told if each and each[0] != unique}  # nodes of a cluster tell in no order
        assert others == {(each, b"its own") for each in accounts}
        hearing.leave(unique)
        store.publish(unique, b"after it was left")
        store.publish(accounts[0], b"last")
        assert hearing.next(10.0) == (accounts[0], b"last")


def test_sessions_that_were_logged_out_are_known_until_their_time_ends(
    settings: Settings, store: Store, unique: str
) -> None:
    assert store.logged_out(unique) == set()
    store.log_out(unique, "a" * 32, 100.0)
    store.log_out(unique, "b" * 32, 100.0)
    assert store.logged_out(unique) == {"a" * 32, "b" * 32}
    assert store.logged_out(f"{unique}b") == set()
    for number in range(1005):
        store.log_out(unique, f"{number:032}", 1000.0 + number)
    known = store.logged_out(unique)
    assert len(known) == 1000
    assert {f"{number:032}" for number in range(5)}.isdisjoint(known)
    if settings.redis_url:  # the one in memory has no clock
        store.log_out(f"{unique}c", "c" * 32, 0.5)
        wait_until(lambda: store.logged_out(f"{unique}c") == set(), what="the key to end")


@pytest.mark.parametrize("junk", [b"junk", b'["a"', b"\xff"])
def test_what_is_no_pk_of_ours_is_passed_over(settings: Settings, unique: str, junk: bytes) -> None:
    if not settings.redis_url:
        return
    store: Any = open_store(settings)
    store.look({unique: [("shop",)]}, 100.0)
    store.client.zadd(store._database.keys(unique).live()[0], {junk: 9e12})
    assert store.looked(unique) == {("shop",)}

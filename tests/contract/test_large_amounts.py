"""Amounts outside the bounds of a hit, and sums outside 64 bits: each spoils its own hit or cell, and nothing of its message or of
those that are applied with it, on each store and from messages of each version."""

import hashlib

import pytest

from hail.columns import encode, messages_of
from hail.hit import MAX_AMOUNT
from hail.message import Message, decode_message, encode_message
from hail.settings import Settings
from tests.contract.hits import NOW, sums
from tests.taken import section_of
from whale.count.apply import Applier
from whale.store.base import Store

AT = int(NOW * 1000)
GOOD = b'[["t"],{"a":{}},{"hits":1,"m":2000000},%d]' % AT
WHOLE = b'[["t"],{"most":{}},{"hits":1,"m":%d,"n":1000000},%d]' % (MAX_AMOUNT, AT)


TOO_LARGE = (2**70, -(2**70), 2**64, 2**63, -(2**63) - 1, MAX_AMOUNT + 1, 10**400)


def of_version(version: int, account: str, hits: list[bytes]) -> list[Message]:
    """What a message holds, of a publisher of this version and account alone."""
    publisher = hashlib.sha256(f"{version} {account}".encode()).hexdigest()[:16]
    message = decode_message(encode_message(publisher, 0, account, len(hits), AT, hits))
    if version == 1:
        return [message]
    return messages_of(encode(publisher, 0, AT, [section_of(account, len(hits), message.hits)]))


def test_an_amount_that_no_hail_sends_takes_its_own_hit_alone(settings: Settings, store: Store, unique: str) -> None:
    bad = [b'[["t"],{"a":{}},{"hits":1,"m":%d},%d]' % (amount, AT) for amount in TOO_LARGE]
    among = [hit for pair in zip(bad, [GOOD] * len(bad), strict=True) for hit in pair]
    group = [*of_version(1, unique, among), *of_version(2, unique, [GOOD] * 400)]
    for _ in range(2):
        Applier(store, settings).apply(group, NOW)
        assert sums(store, unique, ("t",), [(), ("a",)]) == [407, 407]
        assert sums(store, unique, ("t",), [(), ("a",)], "m") == [814_000_000] * 2
    assert sorted((row.hits, row.dropped.get("undecodable_hit", 0)) for row in store.audit(unique)) == [
        (14, 7),
        (400, 0),
    ]
    assert sorted(hit.raw for hit in store.aside(unique)) == sorted(bad)
    assert store.faults(unique) == {}


@pytest.mark.parametrize("version", [1, 2])
def test_a_sum_outside_64_bits_takes_its_own_cells_alone(
    settings: Settings, store: Store, unique: str, version: int
) -> None:
    """1,025 hits of the largest amount: each of them is legal."""
    group = [*of_version(version, unique, [WHOLE] * 1025), *of_version(3 - version, unique, [GOOD] * 3)]
    Applier(store, settings).apply(group, NOW)
    assert sums(store, unique, ("t",), [(), ("most",), ("a",)], "m") == [0, 0, 6_000_000]
    assert sums(store, unique, ("t",), [(), ("most",)], "n") == [1_025_000_000] * 2
    assert sums(store, unique, ("t",), [(), ("most",), ("a",)]) == [1028, 1025, 3]
    assert store.faults(unique) == {"overflow": 2 * len(settings.periods)}
    assert sorted(row.hits for row in store.audit(unique)) == [3, 1025]

"""Which ids are one visitor's, in every store: from when on, for how long, and in whatever order it is said."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.settings import DAY
from tests.contract.logs import CAPS, NOW_MS, hash_in, logged, pass_by
from tests.laws import law
from whale.store.base import Store
from whale.store.contract.identities import HOLDS_AFTER_MS, MOST_ALIASES
from whale.visitors.entries import MOST_ID_BYTES, Done, SiteLog, entry_of
from whale.visitors.identity import ALREADY, JOINED, OTHER_KNOWN, Person

SITES = itertools.count()


@pytest.fixture
def log(unique: str) -> SiteLog:
    return SiteLog(unique, "shop", partitions=3, period_s=180 * DAY)


def person(log: SiteLog, name: str) -> Person:
    return Person(hash_in(log)(name), name.encode())


def join(store: Store, log: SiteLog, anonymous: str, known: str) -> str:
    return store.identify(log, person(log, anonymous), person(log, known))


def names_behind(store: Store, log: SiteLog, *names: str) -> dict[str, str]:
    found = store.aliases(log, [person(log, name).hash for name in names])
    hashes = {name: person(log, name).hash for name in names}
    return {name: found[hash_][-1].id.decode() for name, hash_ in hashes.items() if hash_ in found}


def test_a_visitor_who_becomes_known_stays_who_they_are(store: Store, log: SiteLog) -> None:
    assert names_behind(store, log, "phone", "anna") == {}
    assert join(store, log, "phone", "anna") == JOINED
    assert join(store, log, "phone", "anna") == ALREADY
    assert join(store, log, "laptop", "anna") == JOINED
    assert join(store, log, "laptop", "anna") == ALREADY
    assert join(store, log, "phone", "bert") == OTHER_KNOWN
    assert join(store, log, "laptop", "bert") == OTHER_KNOWN
    assert names_behind(store, log, "phone", "laptop", "anna", "bert") == {"laptop": "phone", "anna": "phone"}
    assert join(store, log, "tablet", "bert") == JOINED
    assert join(store, log, "tablet", "anna") == OTHER_KNOWN
    assert join(store, log, "bert", "anna") == OTHER_KNOWN


def test_hits_are_theirs_whose_message_was_accepted_when_it_held(store: Store, log: SiteLog) -> None:
    join(store, log, "phone", "anna")
    aliases = store.aliases(log, [hash_in(log)("anna")])
    since = aliases[hash_in(log)("anna")][-1].since_ms
    assert since >= NOW_MS + HOLDS_AFTER_MS
    for seq, at in enumerate((since - 1, since, since + 1)):
        hits = [Done("anna", NOW_MS + seq, f"as anna {seq}"), Done("phone", NOW_MS + seq, f"as phone {seq}")]
        entry = entry_of(log, (log.account, "ab" * 8, seq), at, hits, hash_in(log), aliases)
        store.add_to_log([entry], CAPS)
    assert [record[0] for record in logged(store, log) if record[3] == "as anna 0"] == ["anna"]
    assert {record[0] for record in logged(store, log) if record[3] != "as anna 0"} == {"phone"}
    ticks = {record[3]: record[1] for record in logged(store, log)}
    assert ticks["as phone 1"] == ticks["as anna 1"] + 1


def test_an_alias_is_known_for_a_period_after_it_was_asked_for(store: Store, log: SiteLog) -> None:
    join(store, log, "phone", "anna")
    for _ in range(3):
        pass_by(store, log, 179 * DAY)
        assert names_behind(store, log, "anna") == {"anna": "phone"}
    pass_by(store, log, 360 * DAY)
    assert names_behind(store, log, "anna") == {}
    assert join(store, log, "tablet", "anna") == JOINED


def test_a_visitor_who_comes_stays_known_with_their_aliases(store: Store, log: SiteLog) -> None:
    join(store, log, "phone", "anna")
    for seq in range(3):
        pass_by(store, log, 179 * DAY)
        hits = [Done("phone", NOW_MS, "visit")]
        store.add_to_log([entry_of(log, (log.account, "ab" * 8, seq), NOW_MS, hits, hash_in(log))], CAPS)
    assert join(store, log, "phone", "bert") == OTHER_KNOWN


def test_a_visitor_has_a_number_of_aliases_at_most(store: Store, log: SiteLog) -> None:
    for device in range(MOST_ALIASES):
        assert join(store, log, f"device {device}", "anna") == JOINED
    assert join(store, log, "one more", "anna") == OTHER_KNOWN
    assert names_behind(store, log, "one more", "device 50", "anna") == {"device 50": "device 0", "anna": "device 0"}


def test_aliases_are_found_among_many_ids(store: Store, log: SiteLog) -> None:
    whole, ids = replace(log, partitions=1), [f"visitor {number}" for number in range(4_500)]
    expected = {ids[number]: f"phone {number}" for number in (0, 999, 1_000, 2_001, 4_499)}
    for known, anonymous in expected.items():
        assert join(store, whole, anonymous, known) == JOINED
    for _ in range(2):
        aliases = store.aliases(whole, [person(whole, name).hash for name in ids])
        behind = {name: aliases.get(person(whole, name).hash) for name in ids}
        assert {name: spans[-1].id.decode() for name, spans in behind.items() if spans} == expected
        pass_by(store, whole, 179 * DAY)


def test_an_id_may_hold_any_bytes_and_none_where_none_is_kept(store: Store, log: SiteLog) -> None:
    odd = Person(b"\n\0 =" * 4, b"= 1 2\n\xff ")
    assert store.identify(log, odd, Person(b" " * 16, b"")) == JOINED
    assert store.aliases(log, [b" " * 16])[b" " * 16][0][:2] == odd
    assert store.identify(log, odd, Person(b" " * 16, b"")) == ALREADY


@law(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abwxyz")), max_size=12))
def test_aliases_are_one_deep_and_stay(store: Store, unique: str, said: list[Any]) -> None:
    log = SiteLog(unique, f"site {next(SITES)}", partitions=3)
    behind: dict[str, str] = {}
    for anonymous, known in said:
        same = behind.get(anonymous, anonymous) == behind.get(known, known)
        answer = join(store, log, anonymous, known)
        now = names_behind(store, log, *"abcdwxyz")
        assert behind.items() <= now.items()
        assert not set(now) & set(now.values())
        assert (answer == JOINED) == (len(now) == len(behind) + 1)
        assert (answer == ALREADY) == same
        assert (now.get(anonymous, anonymous) == now.get(known, known)) == (answer != OTHER_KNOWN)
        behind = now


@pytest.mark.parametrize("keep_ids", [False, True])
def test_no_id_is_kept_of_a_site_that_keeps_none_nor_one_that_is_too_long(
    store: Store, log: SiteLog, keep_ids: bool
) -> None:
    mine = replace(log, keep_ids=keep_ids)
    long = "phone" * MOST_ID_BYTES if keep_ids else "phone"
    assert join(store, mine, long, "anna") == JOINED
    assert names_behind(store, mine, "anna") == {"anna": ""}
    assert (join(store, mine, long, "anna"), join(store, mine, "laptop", "anna")) == (ALREADY, JOINED)

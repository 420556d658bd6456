"""Who is erased is forgotten under all of their ids, and nothing that was accepted before brings them back, in every store."""

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests import log_oracle
from tests.contract.logs import CAPS, FOR_EVER_MS, LATER_MS, NOW_MS, entry, hash_in, logged, visit
from tests.laws import law
from whale.store.base import Store
from whale.visitors.entries import DAY_MS, Done, Entry, SiteLog, entry_of
from whale.visitors.identity import JOINED, Alias, Person

SITES = itertools.count()
PUBLISHER = "ab" * 8


@pytest.fixture
def log(unique: str) -> SiteLog:
    return SiteLog(unique, "shop", partitions=3)


def person(log: SiteLog, name: str) -> Person:
    return Person(hash_in(log)(name), name.encode())


def erase(store: Store, log: SiteLog, name: str, *others: str) -> None:
    """others: their further ids, if they are looked at."""
    erased = store.erase_visitor(log, person(log, name).hash)
    assert erased >= {person(log, each).hash for each in (name, *others)}
    for partition in range(log.partitions):
        while store.purge_log(log, partition):
            pass


def said(store: Store, log: SiteLog, seq: int, at_ms: int, *names: str) -> Entry:
    """A message in which some visitors, told by their aliases, have an event each."""
    aliases = store.aliases(log, [person(log, name).hash for name in names])
    hits = [Done(name, NOW_MS + seq, "visit") for name in names]
    return entry_of(log, (log.account, PUBLISHER, seq), at_ms, hits, hash_in(log), aliases)


def who(store: Store, log: SiteLog) -> list[str]:
    return [record[0] for record in logged(store, log)]


def test_a_visitor_is_erased_and_comes_again_as_a_new_one(store: Store, log: SiteLog) -> None:
    for seq in range(3):
        store.add_to_log([visit(log, seq, "ann", "bob")], CAPS)
        store.compact_log(log, seq)
    erase(store, log, "ann")
    assert who(store, log) == ["bob"] * 3
    store.add_to_log([said(store, log, 3, NOW_MS, "ann", "bob")], CAPS)  # it was accepted before
    store.add_to_log([said(store, log, 2, NOW_MS, "ann", "bob")], CAPS)  # and this one was logged before
    assert who(store, log) == ["bob"] * 4
    tally = store.log_tallies(log.account, [PUBLISHER])[PUBLISHER]
    assert tally == {"logged": 7, "records": 7, "erased": 1}
    store.add_to_log([said(store, log, 4, LATER_MS, "ann", "bob")], CAPS)
    assert who(store, log) == ["ann"] + ["bob"] * 5


def spans(store: Store, log: SiteLog) -> list[Alias]:
    """When Anna's id and her laptop's stand for her phone's."""
    found = store.aliases(log, [person(log, name).hash for name in ("anna", "laptop")])
    assert [len(each) for each in found.values()] == [1, 1]
    return [span for each in found.values() for span in each]


@pytest.mark.parametrize("by", ["phone", "anna", "laptop"])
def test_a_visitor_is_erased_by_any_of_their_ids(store: Store, log: SiteLog, by: str) -> None:
    names = "phone", "anna", "laptop", "bob"
    store.add_to_log([said(store, log, 0, NOW_MS, *names)], CAPS)
    for device in ("phone", "laptop"):
        assert store.identify(log, person(log, device), person(log, "anna")) == JOINED
    held = max(span.since_ms for span in spans(store, log))
    store.add_to_log([said(store, log, 1, held + 1, *names)], CAPS)
    assert sorted(who(store, log)) == sorted([*names, "phone", "phone", "phone", "bob"])
    erase(store, log, by, "phone", "anna", "laptop")
    assert who(store, log) == ["bob", "bob"]
    assert {span.id for span in spans(store, log)} == {b""}
    until = min(span.until_ms or 0 for span in spans(store, log))
    assert until >= held
    for seq, at in enumerate((NOW_MS, held - 1, until - 1), 2):
        store.add_to_log([said(store, log, seq, at, *names)], CAPS)
    assert who(store, log) == ["bob"] * 5
    store.add_to_log([said(store, log, 9, LATER_MS, *names)], CAPS)
    assert sorted(who(store, log)) == sorted([*names, *["bob"] * 5])
    before = spans(store, log)
    erase(store, log, "anna")
    assert spans(store, log) == before
    assert sorted(who(store, log)) == sorted(["phone", "laptop", *["bob"] * 6])
    assert store.identify(log, person(log, "laptop"), person(log, "anna")) == JOINED


def test_to_erase_nobody_changes_nothing_for_others(store: Store, log: SiteLog) -> None:
    store.add_to_log([visit(log, 0, "ann", "bob")], CAPS)
    erase(store, log, "nobody")
    assert who(store, log) == ["ann", "bob"]
    erase(store, log, "ann")
    erase(store, log, "ann")
    assert who(store, log) == ["bob"]


def test_a_visitor_who_is_known_for_a_day_is_erased_too(store: Store, log: SiteLog) -> None:
    store.add_to_log([visit(log, 0, "ann", "bob", is_daily=True), visit(log, 1, "ann")], CAPS)
    erase(store, log, "ann")
    store.add_to_log([visit(log, 2, "ann", "bob", is_daily=True)], CAPS)
    left = [store.read_log(log, partition, 0, FOR_EVER_MS).columns for partition in range(log.partitions)]
    assert [len(column.visitors) for columns in left for column in columns.values()] == [2]
    assert store.log_tallies(log.account, [PUBLISHER])[PUBLISHER]["erased"] == 1


names = st.sampled_from(["ann", "bob", "cy"])
hits = st.fixed_dictionaries(
    {
        "visitor": names,
        "event": st.sampled_from(["", "visit", "buy"]),
        "properties": st.dictionaries(st.sampled_from(["plan", "price"]), st.sampled_from(["1", "2"]), max_size=2),
        "at": st.integers(0, 70 * DAY_MS).map(lambda back: NOW_MS - back),
    }
)


@law(25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(some=st.lists(st.lists(hits, max_size=6), max_size=5), gone=names, data=st.data())
def test_others_are_as_if_the_erased_one_had_never_been_there(
    store: Store, unique: str, some: list[Any], gone: str, data: st.DataObject
) -> None:
    log = SiteLog(unique, f"site {next(SITES)}", partitions=data.draw(st.sampled_from([1, 3])))
    messages = [{"name": seq, "at": NOW_MS, "hits": each} for seq, each in enumerate(some)]
    publisher, before = f"{next(SITES):016x}", data.draw(st.integers(0, len(messages)))
    for seq, message in enumerate([*messages, *messages]):
        if seq == before:
            erase(store, log, gone)
        store.add_to_log([entry(log, message, publisher)], CAPS)
        if data.draw(st.booleans()):
            store.compact_log(log, 0)
    if before == 2 * len(messages):
        erase(store, log, gone)
    without = [{**each, "hits": [hit for hit in each["hits"] if hit["visitor"] != gone]} for each in messages]
    assert logged(store, log) == log_oracle.log(without, 400 * DAY_MS)

"""Laws of the visitor log: any split into messages, any order, any redelivery and any packing give the same log, in any partitions."""

import itertools
import math
from datetime import date, datetime, timedelta
from secrets import token_bytes
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.settings import DAY
from tests import log_oracle
from tests.contract.logs import CAPS, NOW_MS, entry, logged
from tests.laws import law
from whale.accounts import Account, Act, account_id
from whale.store.base import Store
from whale.visitors import parts
from whale.visitors.crowd import count
from whale.visitors.entries import DAY_MS, SiteLog

SITES = itertools.count()
KEPT_DAYS = 60
LISTED = frozenset(("price", "é"))
names = st.sampled_from(["price", "é", "plan", "a:b", "x,y"])
jsons = st.sampled_from(['"a"', '"b"', "1", "null", '{"a": [1]}', '"__other__"', '"é"'])
times = st.integers(0, 3) | st.integers(0, DAY_MS) | st.integers(0, (KEPT_DAYS + 10) * DAY_MS)
hits = st.fixed_dictionaries(
    {
        "visitor": st.sampled_from(["", "ann", "bob", "cy", "dée", "{0}", "ann "]),
        "event": st.sampled_from(["", "visit", "buy", "é", "__other__"]),
        "properties": st.dictionaries(names, jsons, max_size=3),
        "at": times.map(lambda back: NOW_MS - back),
    }
)
messages = st.lists(st.lists(hits, max_size=8), max_size=5).map(
    lambda some: [{"name": seq, "at": NOW_MS - seq, "hits": each} for seq, each in enumerate(some)]
)


@law(40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(some=messages, partitions=st.sampled_from([1, 3, 16]), data=st.data())
def test_any_order_any_redelivery_and_any_packing_give_the_same_log(
    store: Store, unique: str, some: list[dict[str, Any]], partitions: int, data: st.DataObject
) -> None:
    log = SiteLog(unique, f"site {next(SITES)}", partitions, keep_days=KEPT_DAYS, listed=LISTED)
    deliveries = data.draw(st.permutations(some * data.draw(st.integers(1, 2))))
    publisher = f"{next(SITES):016x}"
    while deliveries:
        together = data.draw(st.integers(1, len(deliveries)))
        each_once = {message["name"]: message for message in deliveries[:together]}.values()
        store.add_to_log([entry(log, message, publisher) for message in each_once], CAPS)
        deliveries = deliveries[together:]
        if data.draw(st.booleans()):
            store.compact_log(log, data.draw(st.integers(0, partitions - 1)))
    expected = log_oracle.log(some, KEPT_DAYS * DAY_MS, LISTED)
    found = logged(store, log)
    assert found == expected
    assert logged(store, log, {("e", "buy"), ("p", "plan")}) == [
        record for record in expected if record[2:4] in (("e", "buy"), ("p", "plan"))
    ]
    told = store.log_tallies(unique, [publisher])[publisher]
    said = [
        hit for message in some for hit in message["hits"] if hit["visitor"] and (hit["event"] or hit["properties"])
    ]
    assert told.get("logged", 0) + told.get("too_old", 0) == len(said)
    assert told.get("records", 0) == len(expected)


@law(20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(some=messages, cut=st.integers(0, KEPT_DAYS))
def test_a_range_is_the_sum_of_its_parts(store: Store, unique: str, some: list[dict[str, Any]], cut: int) -> None:
    log = SiteLog(unique, f"site {next(SITES)}", keep_days=KEPT_DAYS)
    publisher = f"{next(SITES):016x}"
    store.add_to_log([entry(log, message, publisher) for message in some], CAPS)
    store.compact_log(log, 0)
    expected = log_oracle.log(some, KEPT_DAYS * DAY_MS)
    start, middle, end = NOW_MS - 80 * DAY_MS, NOW_MS - cut * DAY_MS, NOW_MS + 1
    counts = []
    for first, last in ((start, middle), (middle, end), (start, end)):
        columns = store.read_log(log, 0, first, last, {("e", "visit")}).columns
        visitors = columns["e", "visit"].visitors.tolist() if columns else []
        assert len(set(visitors)) == log_oracle.distinct(expected, "visit", first, last)
        counts.append(len(visitors))
    assert counts[0] + counts[1] == counts[2]


def edges_of(zone: str) -> list[int]:
    """Where the months of a year of this zone begin, and the days around its changes of clocks, in ms."""
    days = [date(2026, month, 1) for month in range(1, 12)]
    days += [day + timedelta(more) for day in CHANGES[zone] for more in (0, 1)]
    return [int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp() * 1000) for day in days]


CHANGES = {
    "UTC": [date(2026, 3, 29)],
    "America/New_York": [date(2026, 3, 8), date(2026, 11, 1)],
    "Australia/Lord_Howe": [date(2026, 4, 5), date(2026, 10, 4)],  # by half an hour
}


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns of three records are cut at days."""
    monkeypatch.setattr(parts, "MANY", 2)


@pytest.mark.usefixtures("few_are_many")
@pytest.mark.parametrize("zone", CHANGES)
@law(12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_months_and_days_are_those_of_the_account(store: Store, unique: str, zone: str, data: st.DataObject) -> None:
    account = account_id(token_bytes(16))
    store.add_entry(
        Account(account, f"{unique}-{next(SITES)}", zone, 0), Act(0, "test", "add account", account, unique)
    )
    log, edges = SiteLog(account, "shop", keep_days=3_000), sorted(edges_of(zone))
    near = st.sampled_from(edges).flatmap(lambda edge: st.integers(edge - 2, edge + 2))
    visits = st.fixed_dictionaries(
        {"visitor": st.sampled_from("abc"), "event": st.just("visit"), "properties": st.just({}), "at": near}
    )
    some = [
        {"name": seq, "at": NOW_MS, "hits": each}
        for seq, each in enumerate(data.draw(st.lists(st.lists(visits, min_size=1, max_size=9), max_size=4)))
    ]
    for message in some:
        store.add_to_log([entry(log, message, "ab" * 8)], CAPS)
        if data.draw(st.booleans()):
            store.compact_log(log, 0)
    expected = log_oracle.log(some, 3_000 * DAY_MS)
    assert logged(store, log) == expected
    came = store.came_in_log(log, 0, [("e", "visit"), None, ("e", "never")], edges, math.inf)
    assert came
    for place, (first, last) in enumerate(itertools.pairwise(edges)):
        visits, anything, nothing = (sets[place] for sets in came.sets)
        assert count(visits) == count(anything) == log_oracle.distinct(expected, "visit", first, last)
        assert count(nothing) == 0
        columns = store.read_log(log, 0, first, last).columns
        visitors = columns["e", "visit"].visitors.tolist() if columns else []
        assert len(set(visitors)) == log_oracle.distinct(expected, "visit", first, last)


def test_the_oracle_itself_says_what_the_words_mean() -> None:
    def hit(visitor: str, at: int, event: str = "", **properties: str) -> dict[str, Any]:
        return {"visitor": visitor, "at": at, "event": event, "properties": properties}

    day = 1000 * DAY
    first = {
        "name": 1,
        "at": 5 * day,
        "hits": [hit("ann", 5 * day, "b"), hit("ann", 5 * day, "a", plan="1", price="2")],
    }
    late = {"name": 2, "at": 5 * day, "hits": [hit("bob", 2 * day, "a"), hit("ann", day, "a"), hit("", 5 * day, "a")]}
    assert log_oracle.log([first, late, first], 3 * day, {"price"}) == [
        ("ann", 49 * 5 * day, "e", "b", ""),
        ("ann", 49 * 5 * day + 1, "e", "a", ""),
        ("ann", 49 * 5 * day + 1, "p", "plan", "1"),
        ("ann", 49 * 5 * day + 1, "q", "price", "2"),
        ("bob", 49 * 2 * day, "e", "a", ""),
    ]

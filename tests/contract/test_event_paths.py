"""Events in the rollups: at its site a hit also counts below `event`, and below properties that the site lists, as if it had those
dimensions there, in every store.
"""

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.settings import Settings
from tests.contract.hits import everything
from tests.contract.test_visitor_log import World
from tests.laws import law
from whale.accounts import Site
from whale.store.base import Store
from whale.visitors.entries import EVENT_PROPERTY, PROPERTY

ACCOUNTS = itertools.count()
LISTED = ("plan", "age")


@pytest.fixture
def keeping(settings: Settings) -> Settings:
    return settings.replace(visitor_log=True)


hits = st.fixed_dictionaries(
    {"pk": st.sampled_from(["shop", "blog", ["shop", "shoes"]])},
    optional={
        "visitor": st.sampled_from(["ann", "bob"]),
        "event": st.sampled_from(["visit", "buy", "é"]),
        "dimensions": st.sampled_from(
            [
                {"event": "buy"},
                {"event": {"visit": "deep"}},
                {"event": ["visit", "x"], "c": "US"},
                {"c": "US"},
                {"plan": "pro", "event": "visit"},
                {"plan": {"pro": "deep"}},
            ]
        ),
        "properties": st.dictionaries(
            st.sampled_from(["plan", "age", "colour"]),
            st.sampled_from(["pro", 'é\\"', "", 7, 7.0, 0.5, True, None, ["pro"], {"a": 1}, "x" * 201]),
            max_size=3,
        ),
        "metrics": st.sampled_from([{"revenue": 5}, {"names": {"unique": "x"}}, {"time": {"quantile": 3}}]),
    },
)


def cells(world: World, store: Store) -> dict[Any, int]:
    now = world.now_ms / 1000
    return everything(store, world.account, world.settings, now - 86_400, now)


def as_dimension(hit: dict[str, Any]) -> dict[str, Any]:
    """The same hit with its event, and what the site lists of its properties, as dimensions of its own."""
    own = {**hit.get("dimensions", {})}
    given = {"event": hit.get("event"), **{name: hit.get("properties", {}).get(name) for name in LISTED}}
    for name, value in given.items():
        if isinstance(value, list | dict) or value in (None, "", "x" * 201):
            continue
        named = own.get(name, {})
        if isinstance(named, str):
            named = {named: {}}
        elif isinstance(named, list):  # one path
            named = {named[0]: {named[1]: {}}}
        value = {True: "true", 7.0: "7", 0.5: "0.5"}.get(value, value)
        own[name] = {value: {}, **named}
    return {**hit, "dimensions": own}


@law(20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(some=st.lists(hits, min_size=1, max_size=8), columns=st.booleans())
def test_a_hit_counts_at_its_site_as_if_its_event_were_a_dimension(
    store: Store, keeping: Settings, unique: str, some: list[dict[str, Any]], columns: bool
) -> None:
    world = World(store, keeping, f"{unique}-{next(ACCOUNTS)}", dimensions=LISTED)
    world.apply(world.message(some, columns))
    found = cells(world, store)
    plain, named = (World(store, keeping.replace(visitor_log=False), f"{unique}-{next(ACCOUNTS)}") for _ in range(2))
    plain.now_ms = named.now_ms = world.now_ms  # else a minute may begin between them
    plain.apply(plain.message(some, columns))
    named.apply(named.message([as_dimension(hit) for hit in some], columns))
    expected = {key: value for key, value in cells(plain, store).items() if key[0] != ("shop",)}
    expected |= {key: value for key, value in cells(named, store).items() if key[0] == ("shop",)}
    assert found == expected


def test_lists_hold_for_messages_that_are_accepted_later(store: Store, keeping: Settings, unique: str) -> None:
    world = World(store, keeping, unique)
    hit = {"pk": "shop", "visitor": "ann", "event": "buy", "properties": {"plan": "pro", "price": 5}}
    store.begin_log(Site(unique, "shop", dimensions=("plan",), event_properties=("price",)))
    store.begin_log(Site(unique, "shop", dimensions=("plan",), event_properties=("price",)))
    (found,) = store.log_records(unique, ["shop"])["shop"].listings
    for at_ms in (found.since_ms - 1, found.since_ms):
        world.apply(world.message([hit], at_ms=at_ms))
    counted = {key[1]: value for key, value in cells(world, store).items() if key[2] == 86_400 and key[4] == "hits"}
    expected = {(): 2, ("event",): 2, ("event", "buy"): 2, ("plan",): 1, ("plan", "pro"): 1}
    assert counted == expected
    said = [tuple(what) for _, _, *what in world.logged()]
    assert (said.count((PROPERTY, "price", "5")), said.count((EVENT_PROPERTY, "price", "5"))) == (1, 1)


def test_events_are_no_paths_where_no_log_is_kept(store: Store, settings: Settings, unique: str) -> None:
    world = World(store, settings.replace(visitor_log=False), unique)
    world.apply(world.message([{"pk": "shop", "visitor": "ann", "event": "buy"}]))
    assert store.children(unique, ("shop",), ()) == []


def test_a_reset_takes_events_that_were_accepted_before(store: Store, keeping: Settings, unique: str) -> None:
    world = World(store, keeping, unique)
    hit = {"pk": "shop", "visitor": "ann", "event": "buy"}
    world.apply(world.message([hit]))
    before = world.message([hit], at_ms=world.now_ms + 1_000)
    store.reset(unique, ("shop",), ("event", "buy"), world.now_ms / 1000 + 2)
    world.apply(before)
    found = {key[1]: value for key, value in cells(world, store).items() if key[2] == 86_400 and key[4] == "hits"}
    assert found == {(): 2, ("event",): 2}

"""Events in the rollups: at its site a hit also counts below `event`, as if it had that dimension there, in every store."""

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.settings import Settings
from tests.contract.hits import everything
from tests.contract.test_visitor_log import World
from tests.laws import law
from whale.store.base import Store

ACCOUNTS = itertools.count()


@pytest.fixture
def keeping(settings: Settings) -> Settings:
    return settings.replace(visitor_log=True)


hits = st.fixed_dictionaries(
    {"pk": st.sampled_from(["shop", "blog", ["shop", "shoes"]])},
    optional={
        "visitor": st.sampled_from(["ann", "bob"]),
        "event": st.sampled_from(["visit", "buy", "é"]),
        "dimensions": st.sampled_from(
            [{"event": "buy"}, {"event": {"visit": "deep"}}, {"event": ["visit", "x"], "c": "US"}, {"c": "US"}]
        ),
        "metrics": st.sampled_from([{"revenue": 5}, {"names": {"unique": "x"}}, {"time": {"quantile": 3}}]),
    },
)


def cells(world: World, store: Store) -> dict[Any, int]:
    now = world.now_ms / 1000
    return everything(store, world.account, world.settings, now - 86_400, now)


def as_dimension(hit: dict[str, Any]) -> dict[str, Any]:
    """The same hit with its event as a dimension of its own."""
    own = hit.get("dimensions", {})
    named = own.get("event", {})
    if isinstance(named, str):
        named = {named: {}}
    elif isinstance(named, list):  # one path
        named = {named[0]: {named[1]: {}}}
    return {**hit, "dimensions": {**own, "event": {hit["event"]: {}, **named}}}


@law(20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(some=st.lists(hits, min_size=1, max_size=8), columns=st.booleans())
def test_a_hit_counts_at_its_site_as_if_its_event_were_a_dimension(
    store: Store, keeping: Settings, unique: str, some: list[dict[str, Any]], columns: bool
) -> None:
    world = World(store, keeping, f"{unique}-{next(ACCOUNTS)}")
    world.apply(world.message(some, columns))
    found = cells(world, store)
    plain, named = (World(store, keeping.replace(visitor_log=False), f"{unique}-{next(ACCOUNTS)}") for _ in range(2))
    plain.now_ms = named.now_ms = world.now_ms  # else a minute may begin between them
    plain.apply(plain.message(some, columns))
    named.apply(named.message([as_dimension(hit) if "event" in hit else hit for hit in some], columns))
    expected = {key: value for key, value in cells(plain, store).items() if key[0] != ("shop",)}
    expected |= {key: value for key, value in cells(named, store).items() if key[0] == ("shop",)}
    assert found == expected


def test_events_are_no_paths_where_no_log_is_kept(store: Store, settings: Settings, unique: str) -> None:
    world = World(store, settings, unique)
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

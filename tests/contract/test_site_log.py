"""Questions about the visitors of a site: the same as the oracle says, in every store, in any partitions and whatever was packed."""

import itertools
import math
from collections import Counter
from dataclasses import replace
from operator import itemgetter
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.settings import DAY, Settings
from tests import log_oracle
from tests.contract.logs import CAPS, entry
from tests.contract.test_visitor_log import ACT, World
from tests.laws import law
from tests.servers import wait_until
from whale.answer import log_reading
from whale.answer.one_visitor import export, shown_visitor
from whale.answer.site_log import Log, generations
from whale.errors import NotFound
from whale.period import Range
from whale.store.base import Store
from whale.store.contract.identities import HOLDS_AFTER_MS
from whale.store.redis import compaction, log_blocks, log_months

ACCOUNTS = itertools.count()


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(log_reading, "MANY", 3)
    monkeypatch.setattr(log_blocks, "BLOCK", 2)
    for module in (compaction, log_months):
        monkeypatch.setattr(module, "SMALL_BYTES", 200)
    return settings.replace(visitor_log=True)


hits = st.fixed_dictionaries(
    {
        "pk": st.just("shop"),
        "visitor": st.sampled_from(["ann", "bob", "cy", "dée"]),
        "event": st.sampled_from(["visit", "buy", "é"]),
        "back": st.integers(0, 6 * 24).map(lambda hours: hours * 3_600_000),
    }
)


@law(12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(some=st.lists(st.lists(hits, max_size=9), min_size=1, max_size=4), data=st.data())
def test_answers_are_those_of_the_oracle(
    store: Store, settings: Settings, unique: str, some: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    world = World(store, settings.replace(site_partitions=3), f"{unique}-{next(ACCOUNTS)}")
    log = Log.of(store, world.account, "shop", data.draw(st.sampled_from([math.inf, 1e-9])))
    said = []
    for seq, of in enumerate(some):
        given_ = [{**hit, "at": world.now_ms - hit["back"], "properties": {}} for hit in of]
        said.append({"name": seq, "at": world.now_ms, "hits": given_})
        names = "pk", "visitor", "event", "at"
        world.apply(world.message([{name: hit[name] for name in names} for hit in given_]))
        if data.draw(st.booleans()):
            store.compact_log(log.log, data.draw(st.integers(0, 2)))
    records = log_oracle.log(said, 400 * DAY * 1000)
    today = world.now_ms // 1000 // DAY * DAY
    asked = Range(DAY, today - data.draw(st.integers(0, 4)) * DAY, today + DAY)
    found = log.visitors(asked, world.now_ms / 1000)
    starts = [*asked.starts, asked.end]
    for point, (start, end) in zip(found["points"], itertools.pairwise(starts), strict=True):
        assert (point["visitors"], point["new"]) == _of(records, start, end)
    assert (found["visitors"], found["new"]) == _of(records, asked.start, asked.end)
    assert not found["is_incomplete"]
    within = [record for record in records if asked.start * 49_000 <= record[1] < asked.end * 49_000]
    assert {row["event"]: (row["times"], row["visitors"]) for row in log.events(asked, 0)["events"]} == {
        name: (
            sum(record[3] == name for record in within),
            log_oracle.distinct(records, name, asked.start * 1000, asked.end * 1000),
        )
        for name in {record[3] for record in within}
    }
    for visitor in {record[0] for record in records}:
        mine = sorted((record[1], record[3]) for record in records if record[0] == visitor)
        history = shown_visitor(log, visitor, 100, 0, "UTC")
        assert [each["event"] for each in history["events"]] == [event for _, event in reversed(mine)]
        assert (history["visitor"], history["more"]) == (visitor, 0)


def _of(records: list[log_oracle.Record], start: int, end: int) -> tuple[int, int]:
    """Visitors of [start, end), and those of them who had no event before."""
    came = {record[0] for record in records if start * 49_000 <= record[1] < end * 49_000}
    return len(came), len(came - {record[0] for record in records if record[1] < start * 49_000})


saying = st.fixed_dictionaries(
    {
        "visitor": st.sampled_from(["ann", "bob", "cy"]),
        "event": st.sampled_from(["", "visit", "buy"]),
        "properties": st.dictionaries(st.sampled_from(["plan", "price"]), st.sampled_from(["1", '"x"', "[2]"])),
        "back": st.integers(0, 6 * 24).map(lambda hours: hours * 3_600_000),
    }
)


@law(12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(some=st.lists(st.lists(saying, max_size=7), min_size=1, max_size=4), data=st.data())
def test_properties_are_those_of_the_oracle(
    store: Store, settings: Settings, unique: str, some: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    world = World(store, settings.replace(site_partitions=3), f"{unique}-{next(ACCOUNTS)}")
    log = Log.of(store, world.account, "shop")
    said = [
        {"name": seq, "at": world.now_ms, "hits": [{**hit, "at": world.now_ms - hit["back"]} for hit in of]}
        for seq, of in enumerate(some)
    ]
    for message in said:
        store.add_to_log(
            [entry(replace(log.log, listed=frozenset(["price"])), message, world.publisher, log.hash_of)], CAPS
        )
        if data.draw(st.booleans()):
            store.compact_log(log.log, data.draw(st.integers(0, 2)))
    records = log_oracle.log(said, 400 * DAY * 1000, ["price"])
    people = {
        (of, name): {record[0] for record in records if record[2:4] == (kind, name)}
        for kind, of in (("p", "visitor"), ("q", "event"))
        for name in ("plan", "price")
    }
    listed = log.properties("", 0, "UTC")["properties"]
    assert {(row["of"], row["property"]): row["visitors"] for row in listed} == {
        said: len(who) for said, who in people.items() if who
    }
    for name in {name for (of, name), who in people.items() if of == "visitor" and who}:
        last = {visitor: log_oracle.timeline(records, visitor, name)[-1][1] for visitor in people["visitor", name]}
        counts = Counter(last.values())
        found = log.property(name, "", "last", 100, "", 0, "UTC")
        assert {msgspec.json.encode(row["value"]).decode(): row["visitors"] for row in found["rows"]} == counts
        assert (found["of"], found["visitors"], found["values"]) == ("visitor", len(last), len(counts))
        for event in ("visit", "buy"):
            both = {record[0] for record in records if record[2:4] == ("e", event)} & last.keys()
            assert sum(row["visitors"] for row in found["events"] if row["event"] == event) == len(both)
    for visitor in {record[0] for record in records}:
        mine = sorted(record[1:] for record in records if record[0] == visitor)
        whole = export(log, visitor, 0, "UTC")
        assert (whole.head["visitor"], whole.head["ids"]) == (visitor, [visitor])
        assert [
            (
                row["event"],
                {name: msgspec.json.encode(value).decode() for name, value in row.get("properties", {}).items()},
            )
            for row in whole.events
        ] == [(name, {r[2]: r[3] for r in mine if r[:2] == (tick, "q")}) for tick, kind, name, _ in mine if kind == "e"]
        assert [(row["property"], msgspec.json.encode(row["value"]).decode()) for row in whole.properties] == [
            (name, value) for _, kind, name, value in mine if kind == "p"
        ]


def test_an_export_has_what_came_under_all_ids(store: Store, settings: Settings, unique: str) -> None:
    world = World(store, settings, unique)
    log = Log.of(store, unique, "shop")
    world.apply(world.message([{"pk": "shop", "visitor": "anna", "event": "before"}]))
    world.apply(world.message([{"pk": "shop", "visitor": "phone", "event": "visit"}]))
    assert store.identify(log.log, log.person("phone"), log.person("anna")) == "joined"
    later = world.now_ms + 3 * HOLDS_AFTER_MS
    world.apply(world.message([{"pk": "shop", "visitor": "anna", "event": "after"}], at_ms=later))
    for visitor in ("phone", "anna"):
        whole = export(log, visitor, 0, "UTC")
        assert (whole.head["visitor"], sorted(whole.head["ids"])) == ("phone", ["anna", "phone"])
        assert sorted(row["event"] for row in whole.events) == ["after", "before", "visit"]
        assert [row["event"] for row in shown_visitor(log, visitor, 9, 0, "UTC")["events"]] == ["after", "visit"]
    with pytest.raises(NotFound):
        export(log, "nobody", 0, "UTC")


def test_a_visitor_is_found_and_erased_by_any_of_their_ids(store: Store, settings: Settings, unique: str) -> None:
    world = World(store, settings, unique)
    log = Log.of(store, unique, "shop")
    assert store.identify(log.log, log.person("phone"), log.person("anna")) == "joined"
    later = world.now_ms + 3 * HOLDS_AFTER_MS
    world.apply(world.message([{"pk": "shop", "visitor": "phone", "event": "visit"}]))
    world.apply(world.message([{"pk": "shop", "visitor": "anna", "event": "buy"}], at_ms=later))
    for visitor in ("phone", "anna"):
        found = shown_visitor(log, visitor, 1, 0, "UTC")
        assert (found["visitor"], found["more"], found["events"][0]["event"]) == ("phone", 1, "buy")
    erased = store.erase_visitor(log.log, log.person("anna").hash)
    assert log.named(erased, ["phone", "anna", "bob"]) == {"phone", "anna"}
    for visitor in ("phone", "anna", "bob"):
        with pytest.raises(NotFound):
            shown_visitor(log, visitor, 1, 0, "UTC")


def test_a_log_that_was_reset_begins_anew(store: Store, settings: Settings, unique: str) -> None:
    world = World(store, settings, unique)
    store.restart_log(unique, "shop")
    before, now = generations(store, unique, "shop")
    assert (before.generation.until_ms, Log.of(store, unique, "shop")) == (now.generation.since_ms, now)
    store.end_log(unique, "shop")
    for site in ("shop", "blog"):
        with pytest.raises(NotFound):
            Log.of(store, unique, site)
    assert list(generations(store, unique, "blog")) == []
    assert world.logged() == []


def test_the_log_of_a_removed_account_ends(store: Store, settings: Settings, unique: str) -> None:
    world = World(store, settings, unique)
    log = Log.of(store, unique, "shop")
    world.apply(world.message([{"pk": "shop", "visitor": "ann", "event": "visit"}]))
    (account,) = [each for each in store.accounts() if each.id == unique]
    store.remove_entry(account, ACT)
    now = world.now_ms / 1000

    def freed() -> bool:
        """Where another one began to free accounts, and went, it is waited for."""
        while store.free_accounts(now + 60):
            pass
        return not any(record.is_open for record in store.log_records(unique, ["shop"]).values())

    wait_until(freed, 90)
    with pytest.raises(NotFound):
        Log.of(store, unique, "shop")
    assert store.number_in_log(log.log, log.person("ann").hash) is None
    assert len(store.visitors_in_log(log.log, 0, 0, 2**42)) == 0
    while store.sweep_logs(2 * 3_600):
        pass
    assert store.log_records(unique, ["shop"]) == {}


def test_where_ids_are_of_a_day_alone_nobody_is_new(store: Store, settings: Settings, unique: str) -> None:
    world = World(store, settings.replace(site_partitions=2), unique)
    log, today = Log.of(store, unique, "shop"), world.now_ms // 1000 // DAY * DAY
    this_week, long_ago = Range(DAY, today - 6 * DAY, today + DAY), Range(DAY, today - 20 * DAY, today - 10 * DAY)
    told = itemgetter("visitors", "new", "returning", "exact", "basis")
    world.apply(world.message([{"pk": "shop", "visitor": "ann", "event": "visit"}]))
    assert told(log.visitors(this_week, world.now_ms / 1000)) == (1, 1, 0, True, "visitor")
    many_years = Range(DAY, today - 200 * DAY, today + DAY)
    assert told(log.visitors(many_years, world.now_ms / 1000)) == (1, 1, 0, False, "visitor")
    world.apply(world.message([{"pk": "shop", "visitor": "bob", "event": "visit", "basis": "daily"}]))
    found = log.visitors(this_week, world.now_ms / 1000)
    assert told(found) == (2, None, None, False, "daily")
    assert found["points"][-1]["new"] is None
    assert told(log.visitors(long_ago, world.now_ms / 1000)) == (0, 0, 0, True, "visitor")

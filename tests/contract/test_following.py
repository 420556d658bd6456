"""What visitors do next: the same in every store, in any partitions, pieces and packing, as in one piece in memory."""

import itertools
import math
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.settings import DAY, Settings
from tests.contract.logs import CAPS, entry
from tests.contract.test_visitor_log import World
from tests.laws import law
from whale.answer import log_reading
from whale.answer.conditions import Condition, Wanted
from whale.answer.followed import paths_of, retention_of, sessions_of
from whale.answer.log_reading import FOR_EVER_MS
from whale.answer.recent import recent_of
from whale.answer.segments import only, overlap_of
from whale.answer.sets import Began, Came, Did, Has, Not, Set
from whale.answer.site_log import Log
from whale.answer.visits import Must
from whale.answer.visits_asked import Question, visits_of
from whale.period import Range
from whale.store.base import Store
from whale.store.memory import MemoryStore
from whale.store.redis import compaction, log_blocks, log_months

ACCOUNTS = itertools.count()
HOUR_MS = 3_600_000


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(log_reading, "MANY", 3)
    monkeypatch.setattr(log_blocks, "BLOCK", 2)
    for module in (compaction, log_months):
        monkeypatch.setattr(module, "SMALL_BYTES", 200)
    return settings.replace(visitor_log=True)


saying = st.fixed_dictionaries(
    {
        "visitor": st.sampled_from(["ann", "bob", "cy", "dée"]),
        "event": st.sampled_from(["", "visit", "buy"]),
        "properties": st.dictionaries(st.sampled_from(["plan", "source", "page"]), st.sampled_from(["1", '"x"'])),
        "back": st.integers(0, 6 * 24 * 3).map(lambda thirds: thirds * HOUR_MS // 3),
    }
)


@law(15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(some=st.lists(st.lists(saying, max_size=9), min_size=1, max_size=4), data=st.data())
def test_answers_are_those_of_one_piece_in_memory(
    store: Store, settings: Settings, unique: str, some: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    world = World(store, settings.replace(site_partitions=3), f"{unique}-{next(ACCOUNTS)}")
    log = Log.of(store, world.account, "shop", data.draw(st.sampled_from([math.inf, 1e-9])))
    alone = World(MemoryStore(settings), settings, world.account)
    plain = Log.of(alone.store, world.account, "shop")
    first = {"visitor": "zoe", "event": "", "properties": {"plan": "1"}, "back": 300 * HOUR_MS}
    for seq, of in enumerate([[first, {**first, "event": "visit"}, {**first, "event": "buy"}], *some]):
        message = {
            "name": seq,
            "at": world.now_ms,
            "hits": [{**hit, "at": world.now_ms - hit["back"]} for hit in of],
        }
        for each, where in ((log, world), (plain, alone)):
            listed = replace(each.log, listed=frozenset(["source"]))
            where.store.add_to_log([entry(listed, message, where.publisher, each.hash_of)], CAPS)
        if data.draw(st.booleans()):
            store.compact_log(log.log, data.draw(st.integers(0, 2)))
    today = world.now_ms // 1000 // DAY * DAY
    asked = Range(DAY, today - data.draw(st.integers(0, 4)) * DAY, today + DAY)
    leaves: list[Set] = [
        Did(Wanted("buy")),
        Has("plan", Condition("plan", frozenset(["1"]))),
        Came("source", frozenset(['"x"', "null"])),
        Began("", asked.start, asked.start + 2 * DAY),
    ]

    by = ("event", "source", "page", "exit_page")
    not_five = Must("source", frozenset(["5"]), True)
    questions = [
        Question(by, goal="buy", worth="plan", page="visit", limit=1),
        Question(by, [not_five, Must("page", frozenset(["null"]))], order="views"),
    ]

    def answers(of: Log) -> list[Any]:
        now, narrow = world.now_ms / 1000, only(of, Not(leaves[0]), asked, 1800, world.now_ms / 1000)
        whole = only(of, leaves[2], Range(DAY, 0, FOR_EVER_MS // 1000), 1800, now)
        found = [
            *(sessions_of(of, asked, 1800, by, "buy", 1, now) for by in ("", "entry", "source")),
            *(paths_of(of, asked, "visit", direction, 7200, 1, now) for direction in ("next", "before")),
            *(retention_of(of, asked, *events, now) for events in (("", ""), ("visit", "buy"), ("visit", "visit"))),
            overlap_of(of, [(None, each) for each in leaves], asked, 1800, now),
            *(sessions_of(each, asked, 1800, "exit", "", 9, now) for each in (narrow, whole)),
            narrow.visitors(asked, now),
            *(visits_of(each, asked, question, 1800, now) for each in (of, narrow) for question in questions),
            *(recent_of(each, asked, 9, now) for each in (of, narrow)),
        ]
        for each in found[-2:]:
            each["rows"].sort(key=msgspec.json.encode)  # those of one moment are in no order
        return [{**each, "since": ""} for each in found]

    assert answers(log) == answers(plain)


def test_periods_may_begin_before_there_were_any_events(store: Store, settings: Settings, unique: str) -> None:
    world = World(store, settings, unique)
    log, end = Log.of(store, unique, "shop"), world.now_ms // 1000 // DAY * DAY + DAY
    world.apply(world.message([{"pk": "shop", "visitor": "ann", "event": "visit"}]))
    store.compact_log(log.log, 0)
    ever = Range(DAY, -4000 * DAY, end)
    for begun, visitors in (((-4000 * DAY, end), 1), ((-4000 * DAY, -DAY), 0), ((end - DAY, end), 1)):
        found = overlap_of(log, [(None, Began("", *begun))], ever, 1800, world.now_ms / 1000)
        assert (found["visitors"], found["sets"][0]["visitors"]) == (1, visitors)

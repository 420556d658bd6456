"""A saved funnel that is kept up to date says what counting from scratch says, whatever happens between two questions."""

import random
import time
from dataclasses import replace
from typing import Any

import pytest

from hail.settings import DAY
from tests.contract.logs import CAPS, NOW_MS, hash_in
from tests.integration.test_log_cache import all_is_cut_small, store_at
from tests.servers import RedisServer, wait_until
from whale.accounts import Account, Act, Site
from whale.answer import kept_funnels
from whale.answer.conditions import Wanted
from whale.answer.funnel_asked import FunnelAsked, _Counted
from whale.answer.kept_funnels import Kept, KeptFunnels, kept_of
from whale.answer.site_log import Log
from whale.client import Whale
from whale.period import Range
from whale.store.redis.compaction import Compaction
from whale.visitors.entries import Done, SiteLog, entry_of
from whale.visitors.record import Generation

__all__ = ["all_is_cut_small"]
NOW = NOW_MS // 1000
FUNNELS = {
    "two": ([Wanted("visit"), Wanted("buy")], DAY),
    "three": ([Wanted("visit"), Wanted("look"), Wanted("buy")], 3 * DAY),
    "again": ([Wanted("visit"), Wanted("visit")], 3600),
}


class Watched(KeptFunnels):
    """meanwhile: how often the last numbers were answered."""

    meanwhile = 0

    def _count_meanwhile(self, *asked: Any) -> None:
        self.meanwhile += 1
        super()._count_meanwhile(*asked)


class World:
    """A site of two partitions, to which things happen by chance."""

    def __init__(self, redis: RedisServer, account: str, seed: int):
        self.rng, self.seq, self.now = random.Random(seed), 0, NOW
        self.store = store_at(redis)
        site = SiteLog(account, "shop", partitions=2, keep_days=400)
        generation = Generation("", "", NOW_MS - 300 * DAY * 1000)
        self.log = Log(self.store, site, generation, self.rng.choice((1e-9, 100.0)))
        self.kept = Watched()

    @property
    def during(self) -> Range:
        today = self.now // DAY * DAY
        return Range(DAY, today - 20 * DAY, today + DAY)

    def happens(self) -> None:
        rng = self.rng
        match rng.randrange(14):
            case 0 | 1:
                self.store.compact_log(self.log.log, rng.randrange(2))
            case 2:
                self.store.erase_visitor(self.log.log, hash_in(self.log.log)(f"visitor {rng.randrange(9)}"))
            case 3:
                self.store.purge_log(self.log.log, rng.randrange(2))
            case 4:
                Compaction(self.store._database).drop_before(self.log.log, 0, NOW_MS - 300 * DAY * 1000)
            case 5:
                self.now += rng.choice((0, 600, DAY))
            case _:
                self.add(rng.choice((1, 1, 5, 60)))

    def add(self, count: int) -> None:
        rng = self.rng
        hits = [
            Done(
                f"visitor {rng.randrange(9)}",
                self.now * 1000
                - rng.choice((0, 60_000, 3_600_000, DAY * 1000, 25 * DAY * 1000))
                - rng.randrange(9) * 1000,
                rng.choice(("visit", "look", "buy", "other")),
                {"plan": f'"{rng.choice("ab")}"'} if rng.random() < 0.5 else {},
            )
            for _ in range(count)
        ]
        mark = self.log.log.account, "ab" * 8, self.seq
        self.store.add_to_log([entry_of(self.log.log, mark, self.now * 1000, hits, hash_in(self.log.log))], CAPS)
        self.seq += 1

    def ask(self, name: str) -> bool:
        """Whether it answered for now, not for a while ago. What it then says is right."""
        steps, window_s = FUNNELS[name]
        meanwhile = self.kept.meanwhile
        kept = self.kept.ask((name,), self.log, steps, window_s, self.during, self.now)
        assert kept is not None
        if self.kept.meanwhile > meanwhile:
            wait_until(lambda: not self.kept._counting)
            return False
        counted = _Counted(self.log, FunnelAsked(steps, window_s), self.during, self.now)
        assert told(kept) == [(step.visitors, step.occurrences, step.open) for step in counted._steps]
        for step, exact in zip(kept.steps, counted._steps, strict=True):
            for share in (0.5, 0.9):
                found, right = step.quantile(share), exact.quantile(share)
                assert found == right or abs(found - right) <= 0.01 * right + 1
        return True


def told(kept: Kept) -> list[tuple[int, int, int]]:
    return [(step.visitors, step.occurrences, step.open) for step in kept.steps]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_between_two_questions_it_says_what_counting_says(
    redis_server: RedisServer, unique: str, seed: int
) -> None:
    world = World(redis_server, unique, seed)
    for name in ("visit", "look", "buy"):
        mark = world.log.log.account, "cd" * 8, world.seq
        world.store.add_to_log(
            [
                entry_of(
                    world.log.log, mark, NOW_MS, [Done("ann", NOW_MS, name, {"plan": '"a"'})], hash_in(world.log.log)
                )
            ],
            CAPS,
        )
        world.seq += 1
    right = 0
    for _ in range(60):
        for _ in range(world.rng.choice((0, 1, 1, 2, 4))):
            world.happens()
        right += sum(world.ask(name) for name in FUNNELS if world.rng.random() < 0.6)
    assert right > 60


def test_one_that_had_to_go_answers_its_last_numbers_and_comes_back(
    redis_server: RedisServer, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(redis_server, unique, 1)
    for _ in range(5):
        world.add(60)
    assert world.ask("three")
    steps, window_s = FUNNELS["three"]
    before = world.kept.ask(("three",), world.log, steps, window_s, world.during, world.now)
    world.kept._states.clear()
    world.add(60)
    world.now += 5
    last = world.kept.ask(("three",), world.log, steps, window_s, world.during, world.now)
    assert last is not None
    assert before is not None
    assert (told(last), last.as_of) == (told(before), world.now - 5)
    wait_until(lambda: not world.kept._counting)
    assert world.ask("three")


def test_last_numbers_answer_for_nearly_the_same_days_alone(redis_server: RedisServer, unique: str) -> None:
    world = World(redis_server, unique, 4)
    for _ in range(5):
        world.add(60)
    steps, window_s = FUNNELS["two"]
    for minutes in (0, 5, 50):
        end = (world.now + 60 * minutes) // 300 * 300
        during = Range(300, end - 300, end)
        kept = world.kept.ask(("5minutes",), world.log, steps, window_s, during, end)
        assert kept is not None
        assert kept.during == during
    assert world.kept.meanwhile == 0


def test_a_log_that_is_younger_than_the_period_is_kept_too(redis_server: RedisServer, unique: str) -> None:
    world = World(redis_server, unique, 5)
    world.log = replace(world.log, generation=Generation("", "", NOW_MS - 2 * DAY * 1000))
    world.add(60)
    world.add(60)
    assert world.ask("three")
    assert len(world.kept._states) == 1


@pytest.mark.parametrize("is_evicted", [False, True])
def test_no_number_that_was_kept_counts_who_was_erased(
    redis_server: RedisServer, unique: str, is_evicted: bool
) -> None:
    world = World(redis_server, unique, 6)
    for _ in range(3):
        world.add(60)
    assert world.ask("two")
    for name in ("visitor 1", "visitor 2", "visitor 2"):
        world.store.erase_visitor(world.log.log, hash_in(world.log.log)(name))
        if is_evicted:
            world.kept._states.clear()
        assert world.ask("two")
    assert world.kept.meanwhile == 0


def test_what_is_kept_is_bounded_in_bytes(
    redis_server: RedisServer, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_funnels, "STATES_MB", 0.3)
    world = World(redis_server, unique, 2)
    world.add(60)
    world.add(60)
    steps, window_s = FUNNELS["three"]
    for number in range(20):
        world.kept.ask((number,), world.log, steps, window_s, world.during, world.now)
        assert world.kept._states.held <= 300_000
    assert 1 <= len(world.kept._states) < 10


def test_who_asks_by_the_name_gets_the_numbers_that_are_kept(redis_server: RedisServer, unique: str) -> None:
    world = World(redis_server, unique, 3)
    store, site = world.store, Site(unique, "shop")
    store.add_entry(Account(unique, unique, "UTC", 1), Act(0, "a test", "add account", unique, unique))
    store.add_entry(site, Act(0, "a test", "add site", unique, "shop"))
    store.begin_log(site, after_ms=-100 * DAY * 1000)
    whale = Whale(store, store.settings, unique)
    whale.save_funnel("shop", "checkout", ["visit", "buy"])
    for number in range(1, 6):
        for event in ("visit", "buy")[: 1 + number % 2]:
            whale.count_hit(
                {"pk": "shop", "visitor": f"visitor {number}", "event": event, "at": time.time() - 100 + number}
            )
            time.sleep(0.001)
        named = whale.funnel("shop", name="checkout", period="7d")
        counted = whale.funnel("shop", ["visit", "buy"], "7d")
        rows = [{**row, "median_s": None, "p90_s": None} for row in named["steps"]]
        assert rows == [{**row, "median_s": None, "p90_s": None} for row in counted["steps"]]
        assert (named["name"], named["complete"], named["window_s"]) == ("checkout", False, DAY)
    assert [row["visitors"] for row in named["steps"]] == [5, 3]
    assert len(kept_of(store)._states) == 1
    assert len(whale.funnel("shop", name="checkout", period="7d", rate=True)["rate"]) == 7

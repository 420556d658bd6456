"""py-fasttrack's interface on every store: against a list of what was tracked, round trips, faults, and several writers at once."""

import multiprocessing
import random
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import redis
from redis.connection import AbstractConnection

from hail.settings import Settings
from tests.servers import RedisCluster
from whale.errors import CallerError, Unavailable
from whale.fasttrack import Memory, Redis, Tracker
from whale.period import DAY, MONTH, WEEK
from whale.store import dated
from whale.store.dated import start_of, starts_between, starts_from
from whale.store.redis import dated as dated_redis

NOW = datetime(2012, 4, 5, 10, tzinfo=UTC).timestamp()
APRIL_5 = date(2012, 4, 5)
GROUPS = {"day": DAY, "week": WEEK, "month": MONTH}


@pytest.fixture
def tracker(settings: Settings, unique: str) -> Tracker:
    if not settings.redis_url:
        return Memory(clock=lambda: NOW)
    return Redis({"defaults": {"url": settings.redis_url}, "prefix": unique}, lambda: NOW)


# Against a list of what was done


class Listed:
    """Brute force: every day of a pair, and what was left in its other cells."""

    def __init__(self) -> None:
        self.days: dict[tuple[str, str], dict[date, int]] = {}
        self.wide: dict[tuple[str, str, str, date], int] = {}
        self.totals: dict[tuple[str, str], int] = {}

    def track(self, pair: tuple[str, str], day: date, amount: int) -> None:
        days = self.days.setdefault(pair, {})
        days[day] = days.get(day, 0) + amount
        self.totals[pair] = self.totals.get(pair, 0) + amount
        for group in ("week", "month"):
            at = (*pair, group, start_of(GROUPS[group], day))
            self.wide[at] = self.wide.get(at, 0) + amount

    def set(self, pair: tuple[str, str], day: date, value: int, sync: bool, total: bool) -> None:
        days = self.days.setdefault(pair, {})
        if total:
            self.totals[pair] = self.totals.get(pair, 0) + value - days.get(day, 0)
        days[day] = value
        if sync:
            self.sync(pair, day, day)

    def sync(self, pair: tuple[str, str], first: date, last: date) -> None:
        for group in ("week", "month"):
            interval = GROUPS[group]
            for start in starts_between(interval, first, last):
                inside = [n for day, n in self.days.get(pair, {}).items() if start_of(interval, day) == start]
                self.wide[(*pair, group, start)] = sum(inside)

    def series(self, pair: tuple[str, str], group: str, first: date, limit: int) -> list[int]:
        starts = starts_from(GROUPS[group], first, limit)
        days = self.days.get(pair, {})
        return [days.get(s, 0) if group == "day" else self.wide.get((*pair, group, s), 0) for s in starts]

    def sum(self, pair: tuple[str, str], first: date | None, last: date | None) -> int:
        return sum(n for d, n in self.days.get(pair, {}).items() if (first or d) <= d <= (last or d))


@pytest.mark.parametrize("seed", range(3))
def test_every_answer_is_what_a_list_of_all_that_was_done_gives(tracker: Tracker, seed: int) -> None:
    draw, listed = random.Random(seed), Listed()
    pairs = [(uid, metric) for uid in ("5", "5:analy:12") for metric in ("m", "m:2011-12-31")]
    days = [date(2010, 11, 15) + timedelta(days=i) for i in range(900)]
    for _ in range(120):
        pair, day, n = draw.choice(pairs), draw.choice(days), draw.randint(-5, 20)
        match draw.randrange(4):
            case 0 | 1:
                listed.track(pair, day, n)
                found = tracker.track_metric(*pair, day, n)
                held = [listed.series(pair, group, day, 1)[0] for group in GROUPS]
                assert found == [[*held, listed.totals[pair]]]
            case 2:
                sync, total = draw.random() < 0.6, draw.random() < 0.6
                listed.set(pair, day, n, sync, total)
                found = tracker.set_metric_by_day(*pair, day, n, sync, total)
                held = [listed.series(pair, group, day, 1)[0] for group in GROUPS]
                assert found == [[*held, listed.totals.get(pair, 0)]]
            case 3:
                other = draw.choice(days)
                listed.sync(pair, min(day, other), max(day, other))
                tracker.sync_agg_metric(*pair, day, other)
    for group in GROUPS:
        first, limit = draw.choice(days), draw.randint(0, 400)
        found_series = tracker.get_metrics(pairs, first, limit, group)
        starts = [start.isoformat() for start in starts_from(GROUPS[group], first, limit)]
        for pair, (names, values) in zip(pairs, found_series, strict=True):
            assert names == list(values) == starts
            assert list(values.values()) == listed.series(pair, group, first, limit)
    for _ in range(40):
        first, last = (draw.choice([None, *days]) for _ in range(2))
        if first and last:
            first, last = min(first, last), max(first, last)
        expected = [listed.sum(pair, first, last) for pair in pairs]
        if first or last:
            assert tracker.get_counts(pairs, first, last) == expected
        if first and last:
            assert tracker.get_counts(pairs, last, first) == expected
    assert tracker.get_counts(pairs) == [listed.totals.get(pair, 0) for pair in pairs]


def test_a_week_over_new_year_is_one_week_however_often_it_is_synced(tracker: Tracker) -> None:
    tracker.track_metric("1", "m", date(2012, 12, 31))
    tracker.track_metric("1", "m", date(2013, 1, 2))
    for _ in range(3):
        assert tracker.get_metric_by_week("1", "m", date(2013, 1, 6), 2)[1] == {"2012-12-31": 2, "2013-01-07": 0}
        tracker.sync_week_metric("1", "m", date(2012, 12, 31), date(2013, 1, 6))
        tracker.sync_month_metric("1", "m", date(2012, 12, 31), date(2013, 1, 6))
    assert tracker.get_metric_by_month("1", "m", date(2012, 12, 5), 2)[1] == {"2012-12-01": 1, "2013-01-01": 1}


def test_ranges_end_with_the_days_they_name(tracker: Tracker) -> None:
    edges = [
        date(1, 1, 1),
        date(2011, 12, 31),
        date(2012, 1, 1),
        date(2012, 3, 31),
        date(2012, 4, 1),
        date(9999, 12, 31),
    ]
    for i, day in enumerate(edges):
        tracker.track_metric("1", "m", day, 10**i)
        tracker.set_metric_by_day("1", "m", day, 10**i)
    for i, first in enumerate(edges):
        assert tracker.get_count("1", "m", start_date=first) == sum(10**k for k in range(i, 6))
        assert tracker.get_count("1", "m", end_date=first) == sum(10**k for k in range(i + 1))
        for j in range(i, 6):
            assert tracker.get_count("1", "m", first, edges[j]) == sum(10**k for k in range(i, j + 1))
    assert tracker.get_metric_by_day("1", "m", date(999, 12, 31), 1)[0] == ["0999-12-31"]


# Names and numbers


def test_names_are_data(tracker: Tracker) -> None:
    names = ["5", "5:analy:12", "5:analy", "{5}", "5}", "*", "m:w402", "t", "n", "8049", "鯨", " ", "a\nb", "-1"]
    pairs = [(uid, metric) for uid in names for metric in names]
    for i, pair in enumerate(pairs):
        tracker.track_metric(*pair, APRIL_5, i)
        tracker.track_count(*pair, 1000)
    assert tracker.get_counts(pairs) == [1000 + i for i in range(len(pairs))]
    assert tracker.get_counts(pairs, APRIL_5, APRIL_5) == list(range(len(pairs)))
    assert tracker.get_count(5, "m") == tracker.get_count("5", "m")


def test_a_count_and_the_total_of_a_metric_of_one_name_are_two(tracker: Tracker) -> None:
    assert tracker.track_count("1", "login", 5) == 5
    assert tracker.track_metric("1", "login", APRIL_5) == [[1, 1, 1, 1]]
    assert tracker.track_count("1", "login") == 6
    assert tracker.get_count("1", "login") == 7
    assert tracker.get_count("1", "login", APRIL_5) == 1


def test_fractions_add_up(tracker: Tracker) -> None:
    tracker.track_metric("1", "revenue", APRIL_5, 0.1)
    assert tracker.track_metric("1", "revenue", APRIL_5, 0.2) == [[0.3, 0.3, 0.3, 0.3]]
    (found,) = tracker.track_metric("1", "revenue", APRIL_5, -0.3)
    assert found == [0, 0, 0, 0]
    assert {type(value) for value in found} == {int}
    assert tracker.track_count("1", "spent", 0.0000005) == 0
    assert tracker.track_count("1", "spent", 8_999_999_999.999999) == 8_999_999_999.999999


def test_what_would_leave_64_bits_is_refused_and_nothing_is_changed(tracker: Tracker) -> None:
    tracker.track_metric(["1"] * 1024, "m", APRIL_5, 9.0e9)
    for call in (tracker.track_metric, tracker.set_metric_by_day):
        with pytest.raises(CallerError, match="would exceed 64 bits"):
            call(["2", "1", "3"], "m", APRIL_5 + timedelta(days=1), 9.0e9)
    full = 1024 * 9_000_000_000
    assert tracker.get_metric_by_day("1", "m", APRIL_5, 2)[1] == {"2012-04-05": full, "2012-04-06": 0}
    assert tracker.get_metric_by_week("1", "m", APRIL_5, 1)[1] == {"2012-04-02": full}
    assert tracker.get_count("1", "m") == tracker.get_count("1", "m", APRIL_5) == full
    assert tracker.get_counts([("2", "m"), ("3", "m")]) == [9_000_000_000] * 2
    assert tracker.track_metric("1", "m", APRIL_5, -9.0e9)[0] == [full - 9_000_000_000] * 4


# Details


def test_records_of_one_time_are_all_kept(tracker: Tracker) -> None:
    for i in range(5):
        assert tracker.track_uncountable("alice", "seen", {"n": i}) == 1
    found = tracker.get_uncountable_for_user("alice", "seen")
    assert list(found.values()) == [{"n": i} for i in range(5)]
    assert next(iter(found)) == datetime(2012, 4, 5, 10, tzinfo=UTC)
    assert tracker.get_uncountable("seen") == {"alice": found}


def test_an_event_holds_so_many_records(settings: Settings, unique: str) -> None:
    given: dict[str, Any] = {"defaults": {"url": settings.redis_url}, "prefix": unique, "max_records": 3}
    tracker = Redis(given, lambda: NOW) if settings.redis_url else Memory(given, lambda: NOW)
    for user in ("a", "b", "a"):
        tracker.track_uncountable(user, "seen", {})
    with pytest.raises(CallerError, match="event_id: 'seen' has 3 records"):
        tracker.track_uncountable("c", "seen", {})
    tracker.track_uncountable("c", "other", {})
    assert {user: len(records) for user, records in tracker.get_uncountable("seen").items()} == {"a": 2, "b": 1}


def test_too_many_records_of_one_time_are_refused(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (dated, dated_redis):
        monkeypatch.setattr(module, "MAX_AT_ONCE", 20)
    for i in range(20):
        tracker.track_uncountable("a", "seen", {"n": i})
    with pytest.raises(CallerError, match="now: 20 records of this user and event already have this time"):
        tracker.track_uncountable("a", "seen", {})
    tracker.track_uncountable("a", "seen", {}, now=NOW + 1)
    assert len(tracker.get_uncountable_for_user("a", "seen")) == 21


# Clearing


def test_clear_all_clears_its_prefix_alone(tracker: Tracker, settings: Settings, unique: str) -> None:
    others = []
    if settings.redis_url:
        for prefix in (f"{unique}:", f"{unique}*", unique[:-1] + "?", unique + "x"):
            others.append(Redis({"defaults": {"url": settings.redis_url}, "prefix": prefix}))
    for each in (tracker, *others):
        each.track_metric([str(i) for i in range(50)], ["m", "n"], APRIL_5)
        each.track_uncountable("a", "seen", {}, now=NOW)
    tracker.clear_all()
    assert tracker.get_counts([("1", "m"), ("49", "n")]) == [0, 0]
    assert tracker.get_uncountable("seen") == {}
    assert [other.get_counts([("1", "m"), ("49", "n")]) for other in others] == [[1, 1]] * len(others)
    for other in others:
        other.clear_all()


# Round trips

IDS, METRICS = [f"id{i}" for i in range(40)], [f"m{i}" for i in range(5)]
PAIRS = [(uid, metric) for uid in IDS for metric in METRICS]
CALLS: dict[str, Callable[[Tracker], Any]] = {
    "track_count": lambda t: t.track_count("1", "m"),
    "track_metric": lambda t: t.track_metric("1", "m", APRIL_5),
    "track_metric of many": lambda t: t.track_metric(IDS, METRICS, APRIL_5),
    "set_metric_by_day": lambda t: t.set_metric_by_day(IDS, METRICS, APRIL_5, 3),
    "sync_agg_metric": lambda t: t.sync_agg_metric(IDS, "m0", date(2010, 1, 1), date(2012, 12, 31)),
    "sync_week_metric": lambda t: t.sync_week_metric("id0", "m0", APRIL_5, APRIL_5),
    "sync_month_metric": lambda t: t.sync_month_metric("id0", "m0", APRIL_5, APRIL_5),
    "get_metric_by_day": lambda t: t.get_metric_by_day("id0", "m0", APRIL_5, 365),
    "get_metric_by_week": lambda t: t.get_metric_by_week("id0", "m0", APRIL_5, 500),
    "get_metric_by_month": lambda t: t.get_metric_by_month("id0", "m0", APRIL_5, 500),
    "get_metrics": lambda t: t.get_metrics(PAIRS, APRIL_5, 100),
    "get_count": lambda t: t.get_count("id0", "m0"),
    "get_count over years": lambda t: t.get_count("id0", "m0", date(1950, 5, 5), date(2050, 2, 2)),
    "get_count from a date": lambda t: t.get_count("id0", "m0", APRIL_5),
    "get_counts": lambda t: t.get_counts(PAIRS, date(1950, 5, 5), date(2050, 2, 2)),
    "track_uncountable": lambda t: t.track_uncountable("1", "seen", {}),
    "get_uncountable_for_user": lambda t: t.get_uncountable_for_user("1", "seen"),
    "get_uncountable": lambda t: t.get_uncountable("seen"),
}


def test_a_call_is_at_most_two_round_trips_to_a_server(tracker: Tracker, settings: Settings, trips: list[str]) -> None:
    """Both where the servers know the scripts and where they were restarted."""
    for i in range(30):
        tracker.track_uncountable(f"user{i}", "seen", {"n": i})
    tracker.track_metric(IDS, METRICS, APRIL_5)
    tracker.get_counts(PAIRS)
    if isinstance(tracker, Redis):
        for forgets in (False, True):
            for name, call in CALLS.items():
                if forgets:
                    clients(tracker).script_flush()
                trips.clear()
                call(tracker)
                most = max(trips.count(server) for server in trips)
                assert most <= (2 if forgets or name == "get_uncountable" else 1), name
    public = {name for name in vars(Tracker) if not name.startswith("_")}
    assert {name.split()[0] for name in CALLS} == public - {"clear_all"}


def clients(tracker: Tracker) -> Any:
    (client,) = tracker.store.hosts.values()
    return client


# Redis away


def test_a_write_whose_answer_is_lost_is_not_sent_again(
    tracker: Tracker, settings: Settings, trips: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: tracker.track_count("1", "m"),
        lambda: tracker.track_metric(["1", "1"], "m", APRIL_5),
    ]
    for call in calls:
        call()
        if settings.redis_url:
            with monkeypatch.context() as patch:
                patch.setattr(AbstractConnection, "read_response", lost)
                trips.clear()
                with pytest.raises(Unavailable):
                    call()
        else:
            call()
    assert tracker.get_count("1", "m") == 2 + 4


def lost(connection: AbstractConnection, **_: Any) -> None:
    connection.disconnect()  # as it does where a socket times out
    raise redis.TimeoutError("lost")


def test_what_moved_in_a_cluster_is_found(redis_cluster: RedisCluster, unique: str) -> None:
    tracker = Redis(
        {"defaults": {"url": redis_cluster.url.replace("redis://", "redis+cluster://")}, "prefix": unique}, lambda: NOW
    )
    tracker.track_metric(IDS, "m", APRIL_5)
    nodes = clients(tracker).nodes_manager
    first, *others = nodes.get_nodes_by_server_type("primary")
    for slot in nodes.slots_cache:
        nodes.slots_cache[slot] = [first if nodes.slots_cache[slot][0] in others else others[0]]
    assert tracker.track_metric(IDS, "m", APRIL_5) == [[2, 2, 2, 2]] * len(IDS)
    assert tracker.get_counts([(uid, "m") for uid in IDS]) == [2] * len(IDS)


def test_a_server_of_a_cluster_that_is_lost_is_looked_for_again(
    redis_cluster: RedisCluster, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Redis({"defaults": {"url": redis_cluster.url.replace("redis://", "redis+cluster://")}, "prefix": unique})
    tracker.track_metric(IDS, "m", APRIL_5)
    looked = []
    monkeypatch.setattr(clients(tracker).nodes_manager, "initialize", lambda: looked.append(1))
    with monkeypatch.context() as patch:
        patch.setattr(AbstractConnection, "read_response", lost)
        with pytest.raises(Unavailable):
            tracker.track_metric(IDS, "m", APRIL_5)
    assert looked == [1]


# Several at once


def set_and_track(settings: dict[str, Any], rounds: int) -> None:
    tracker = Redis(settings, lambda: NOW)
    for i in range(rounds):
        tracker.set_metric_by_day("1", "m", APRIL_5, i % 7)
        tracker.track_metric("1", "m", APRIL_5 + timedelta(days=1))
        tracker.sync_agg_metric("1", "m", APRIL_5, APRIL_5)
        tracker.track_uncountable("a", "seen", {"n": i})


def test_sets_and_tracks_of_several_processes_agree(settings: Settings, unique: str) -> None:
    """Total, week and month are the sum of the days, whoever set and added in between."""
    if not settings.redis_url:
        tracker: Tracker = Memory(clock=lambda: NOW)
        threads = [threading.Thread(target=memory_rounds, args=(tracker, 100)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        given = {"defaults": {"url": settings.redis_url}, "prefix": unique}
        spawn = multiprocessing.get_context("spawn")
        writers = [spawn.Process(target=set_and_track, args=(given, 100)) for _ in range(2)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(60)
            assert writer.exitcode == 0
        tracker = Redis(given, lambda: NOW)
    days = tracker.get_metric_by_day("1", "m", APRIL_5, 2)[1]
    assert days == {"2012-04-05": 99 % 7, "2012-04-06": 200}
    expected = 99 % 7 + 200
    assert tracker.get_count("1", "m") == tracker.get_count("1", "m", APRIL_5) == expected
    assert tracker.get_metric_by_week("1", "m", APRIL_5, 1)[1] == {"2012-04-02": expected}
    assert tracker.get_metric_by_month("1", "m", APRIL_5, 1)[1] == {"2012-04-01": expected}
    assert len(tracker.get_uncountable_for_user("a", "seen")) == 200


def memory_rounds(tracker: Tracker, rounds: int) -> None:
    for i in range(rounds):
        tracker.set_metric_by_day("1", "m", APRIL_5, i % 7)
        tracker.track_metric("1", "m", APRIL_5 + timedelta(days=1))
        tracker.sync_agg_metric("1", "m", APRIL_5, APRIL_5)
        tracker.track_uncountable("a", "seen", {"n": i})

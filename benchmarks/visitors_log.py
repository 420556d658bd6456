"""What the log of visitors costs: a worker that logs beside one that only counts, bytes in Redis, packing, distinct visitors, erasing.

    python -m benchmarks.visitors_log                        all parts, each on a Redis of its own
    python -m benchmarks.visitors_log --parts intake --runs 5
    python -m benchmarks.visitors_log --prototypes FOLDER    the prototypes of the same steps, by turns
    python -m benchmarks.visitors_log --parts kept --python OTHER/bin/python      a Python that has chdb
    python -m benchmarks.visitors_log --profile 500          where the time of logged hits goes, of the worker and of Redis

intake: the reference workload, each hit with an event of 8 and a visitor: 20 % new, 20 % under an id that is an alias, the others of
20,000 (Zipf). Country, device and page are properties too. Redis fsyncs each call (AOF always). A worker counts all hits on an empty
Redis, then another one counts and logs them on an empty Redis in which the aliases stand, then a third one logs them and counts nothing.

small: a site that 10 visitors come to a day for a year, a fifth of them again, with 5 events of 20 names and 3 properties each.

kept: a partition with visitors of 16-byte ids, and events over 84 days. They wait in tails of 65,536, and each tail is packed when it
is full. Then who came on 30 whole days is counted, and one visitor is erased.
"""

import argparse
import cProfile
import os
import pstats
import random
import re
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from benchmarks import workload
from benchmarks.apply import apply_each, decoded, groups, redis_cpu
from benchmarks.report import Figure, report
from benchmarks.services import ROOT
from hail.message import Message
from hail.settings import DAY, Settings
from tests.servers import RedisServer
from whale.accounts import Act, Site
from whale.count.apply import Applier
from whale.count.visitor_log import VisitorLog
from whale.store import connect
from whale.store.base import Store
from whale.store.contract.events import Caps
from whale.store.redis import RedisStore
from whale.store.redis.keys import Keys
from whale.visitors.deeds import Columns, Deeds, entry_in_columns
from whale.visitors.entries import DAY_MS, DAY_TICKS, TICKS_A_MS, Done, SiteLog, hasher
from whale.visitors.identity import JOINED, Person
from whale.visitors.record import hasher_of
from whale.visitors.tail import RECORD

PARTS = ("intake", "small", "kept")
SITE = workload.PK[0]
MESSAGE = 500
BEFORE_S, AHEAD_S = 60, 3600
"""Records of sites hold since before now, and messages are accepted after it: when aliases hold."""
KNOWN, ALIASES = 20_000, 500
NEW, ALIASED = 0.2, 0.2
EVENTS, WEIGHTS = "abcdefgh", (0.4, 0.2, 0.12, 0.1, 0.08, 0.05, 0.03, 0.02)
DAYS, RANGE_DAYS, PERIOD_DAYS = 84, 30, 180
TAIL_RECORDS = 65_536
ID_BYTES = 16
OTHER_IDS = 3
OF_PLAIN, OF_PROTOTYPE = 0.6, 0.85
SMALL_KB, SMALL_KEYS = 450, 60
EVENT_BYTES, VISITOR_BYTES, VISITOR_OF_TWO_BYTES = 5.2, 43, 86
PACKED_A_S, LONGEST_MS = 1_000_000, 20
DISTINCT_MS, OF_CHDB = 50, 0.5
ERASED_MS, PURGED_MS = 50, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--hits", type=int, default=60_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=(500, 2000), metavar="HITS", help="a call")
    parser.add_argument("--days", type=int, default=365, help="of the small site")
    parser.add_argument("--visitors", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=5_000_000, help="where one visitor is erased")
    parser.add_argument("--distinct", type=int, default=8_000_000, help="events where visitors are counted")
    parser.add_argument("--prototypes", type=Path, metavar="FOLDER")
    parser.add_argument("--python", default=sys.executable, help="that has chdb")
    parser.add_argument("--profile", type=int, metavar="HITS", help="profile calls of so many hits, and stop")
    options = parser.parse_args()
    figures: list[Figure] = []
    if options.profile:
        with RedisServer(appendonly="always") as redis:
            profile(redis, bodies(options.profile, options.hits), options.profile, options.hits)
        return
    if "intake" in options.parts:
        with RedisServer(appendonly="always") as redis:
            for size in options.sizes:
                figures += intake(redis, size, options)
    if "small" in options.parts:
        with RedisServer(appendonly="no", hash_max_listpack_entries="512") as redis:
            figures += small(redis, options.days)
    if "kept" in options.parts:
        with RedisServer(appendonly="no", hash_max_listpack_entries="512") as redis:
            figures += kept(redis, options)
    if options.prototypes and {"small", "kept"} & {*options.parts}:
        print(prototype(options.prototypes, "bench_small.py"))
    report("visitors_log", figures)


# Intake


@dataclass(frozen=True)
class Run:
    rate: float  # hits/s
    worker_us: float  # of CPU, a hit
    redis_us: float

    @property
    def cpu_us(self) -> float:
        return self.worker_us + self.redis_us


def intake(redis: RedisServer, size: int, options: argparse.Namespace) -> list[Figure]:
    hits, made = options.hits, bodies(size, options.hits)
    plain, both, alone, theirs = list[Run](), list[Run](), list[Run](), list[float]()
    for _ in range(options.runs):
        plain.append(measured(redis, made, size, hits, counted))
        both.append(measured(redis, made, size, hits, counted, logs=True))
        alone.append(measured(redis, made, size, hits, logged, logs=True))
        if options.prototypes:
            theirs.append(rate_of_prototype(options.prototypes, size, hits))
    pairs = list(zip(plain, both, strict=True))
    figures = [
        Figure(f"{size} hits a call, counted and logged", [run.rate for run in both], "hits/s"),
        Figure("  of counting alone", [ours.rate / base.rate for base, ours in pairs], "of its speed", OF_PLAIN),
        Figure("  by CPU time", [base.cpu_us / ours.cpu_us for base, ours in pairs], "of its speed", OF_PLAIN),
        Figure("  worker", [run.worker_us for run in both], "us/hit"),
        Figure("  Redis", [run.redis_us for run in both], "us/hit"),
        Figure(f"{size} hits a call, counted", [run.rate for run in plain], "hits/s"),
        Figure("  worker", [run.worker_us for run in plain], "us/hit"),
        Figure("  Redis", [run.redis_us for run in plain], "us/hit"),
        Figure(f"{size} hits a call, logged", [run.rate for run in alone], "hits/s"),
        Figure("  worker", [run.worker_us for run in alone], "us/hit"),
        Figure("  Redis", [run.redis_us for run in alone], "us/hit"),
    ]
    if theirs:
        ratios = [run.rate / rate for run, rate in zip(alone, theirs, strict=True)]
        figures.append(Figure("  of the prototype, without aliases", ratios, "of its speed", OF_PROTOTYPE))
    return figures


Groups = Iterable[list[Message]]


def measured(
    redis: RedisServer,
    made: list[bytes],
    size: int,
    hits: int,
    work: Callable[[Store, Settings, Groups], None],
    logs: bool = False,
) -> Run:
    """All messages on an empty Redis by a worker that knows nothing yet. What is logged alone was decoded before."""
    ready: Groups = groups(made, size) if work is counted else [*groups(made, size)]
    settings = in_force(redis_url=redis.url, visitor_log=logs)
    with redis.client(socket_timeout=60) as client:
        client.flushall()
        store = connect(settings)
        if logs:
            begin(store)
        wall, mine, theirs = time.perf_counter(), time.process_time(), redis_cpu(client)
        work(store, settings, ready)
        wall = time.perf_counter() - wall
        worker = (time.process_time() - mine) / hits * 1e6
        run = Run(hits / wall, worker, (redis_cpu(client) - theirs) / hits * 1e6)
        told = store.log_tallies(workload.ACCOUNT, {message.publisher for message in decoded(made)})
        assert sum(tally.get("logged", 0) for tally in told.values()) == logs * hits, told
        return run


def counted(store: Store, settings: Settings, ready: Groups) -> None:
    apply_each(Applier(store, settings), ready)


def logged(store: Store, settings: Settings, ready: Groups) -> None:
    log = VisitorLog(store, settings)
    for messages in ready:
        log.add(messages, log.to_log(messages, {}), {}, time.time())


def begin(store: Store) -> None:
    """The site, whose log holds already, and the aliases of its visitors."""
    site = Site(workload.ACCOUNT, SITE)
    store.add_entry(site, Act(0, "benchmark", "add site", workload.ACCOUNT, SITE))
    record = store.begin_log(site, after_ms=-1000 * BEFORE_S)
    (generation,) = record.generations
    log, hash_of = record.log(workload.ACCOUNT, SITE, generation), hasher_of(workload.ACCOUNT, SITE, generation)
    for number in range(ALIASES):
        visitor, alias = (Person(hash_of(name), name.encode()) for name in (known(number), alias_of(number)))
        assert store.identify(log, visitor, alias) == JOINED


def known(number: int) -> str:
    return uuid.UUID(int=number * 2**100 + 7).hex


def alias_of(number: int) -> str:
    return f"user {number}"


def bodies(size: int, count: int) -> list[bytes]:
    """Messages of at most MESSAGE hits, accepted a moment from now."""
    now = time.time() + AHEAD_S
    return workload.packed(in_force(), min(size, MESSAGE), hits_of(count, now), now)


def in_force(**changes: Any) -> Settings:
    """Messages of version 2: in those of version 1 hits have no properties."""
    return workload.settings(message_version=2, **changes)


def hits_of(count: int, now: float) -> Iterator[dict[str, Any]]:
    rng = random.Random(5)
    visitors = rng.choices(range(KNOWN), [1 / (i + 1) for i in range(KNOWN)], k=count)
    for visitor, hit in zip(visitors, workload.hits(count), strict=True):
        kind = rng.random()
        hit["at"] += now - workload.NOW
        hit["event"] = rng.choices(EVENTS, WEIGHTS)[0]
        if kind < NEW:
            hit["visitor"] = uuid.UUID(int=rng.getrandbits(128)).hex
        else:
            hit["visitor"] = alias_of(visitor % ALIASES) if kind < NEW + ALIASED else known(visitor)
        hit["properties"] = {**hit["dimensions"], "country": next(iter(hit["dimensions"]["country"]))}
        yield hit


def profile(redis: RedisServer, made: list[bytes], size: int, hits: int) -> None:
    with redis.client() as client:
        client.config_resetstat()
        with cProfile.Profile() as watched:
            measured(redis, made, size, hits, counted, logs=True)
        pstats.Stats(watched).sort_stats("tottime").print_stats(40)
        for name, row in sorted(client.info("commandstats").items(), key=lambda item: -item[1]["usec"])[:12]:
            print(f"{name.removeprefix('cmdstat_'):20} {row['calls']:9} calls {row['usec'] / hits:8.2f} us/hit")


def rate_of_prototype(folder: Path, size: int, hits: int) -> float:
    """Hits a second that it logs, with 3 properties, in one partition."""
    said = prototype(folder, "bench_write.py", str(hits), "1")
    found = re.search(rf"^\s*{size} hits a call, log, P=1, 3 properties\s+(\d+)", said, re.MULTILINE)
    assert found, said
    return float(found[1])


def prototype(folder: Path, script: str, *arguments: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, script, *arguments]
    run = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{script}: {run.stderr[-2000:]}")
    return run.stdout


# A small site


def small(redis: RedisServer, days: int) -> list[Figure]:
    """Its tail is packed when what is first in it is a month old, as the sweep does."""
    store, rng, now_ms = store_of(redis), random.Random(1), int(time.time() * 1000)
    log, hash_of, people = SiteLog(workload.ACCOUNT, SITE), hasher(b"benchmark", workload.ACCOUNT, SITE), list[str]()
    names = [f"event {number}" for number in range(20)]
    for day in range(days):
        for visit in range(10):
            if people and rng.random() < 0.2:
                who = rng.choice(people)
            else:
                who = rng.randbytes(ID_BYTES // 2).hex()
                people.append(who)
            at_ms = now_ms - (days - day) * DAY_MS + rng.randrange(DAY_MS - 60_000)
            their = random.Random(who)
            properties = {
                name: f'"{name} {their.randrange(count)}"'
                for name, count in {"country": 30, "device": 4, "source": 12}.items()
            }
            hits = [Done(who, at_ms, "", properties)]
            hits += [Done(who, at_ms + 1000 * step, rng.choice(names)) for step in range(5)]
            add(store, entry_in_columns(log, mark(10 * day + visit), now_ms, Deeds.of(hits), hash_of))
        if day % 31 == 30:
            store.compact_log(log, 0)
        if day % PERIOD_DAYS == PERIOD_DAYS - 1:
            next_period(store, log)
    _, key = Keys(log.account, store.shards).log(log.site, log.generation, 0)
    kept = sizes(store, key)
    print(f"small site: {50 * days} events and {30 * days} records of properties, {len(people)} visitors")
    return [
        Figure(f"a small site after {days} days", [sum(map(sum, kept.values())) / 1000], "KB", SMALL_KB, less=True),
        *(Figure(f"  {kind}", [sum(of) / 1000], "KB") for kind, of in sorted(kept.items())),
        Figure("  its keys", [sum(map(len, kept.values()))], "keys", SMALL_KEYS, less=True),
    ]


def sizes(store: RedisStore, key: str) -> dict[str, list[int]]:
    """Bytes of the keys of a partition, by kind; without tails that were packed, which stay for a minute."""
    found: dict[str, list[int]] = {}
    for name in store.client.scan_iter(f"{key}*", 5000):
        kind = name.decode().removeprefix(key)[:2] or "itself"
        if kind != ":o":
            found.setdefault(kind, []).append(int(store.client.memory_usage(name, samples=0)))
    return found


def next_period(store: RedisStore, log: SiteLog) -> None:
    """As if so much time had gone by: what is known of visitors of the period before the last one expires."""
    _, key = Keys(log.account, store.shards).log(log.site, log.generation, 0)
    store.client.hincrby(key, "until", -(log.period_s or 0))
    gone = int(store.client.hget(key, "g")) - 1
    for name in store.client.scan_iter(f"{key}:[fi]:{gone}:*", 5000):
        store.client.delete(name)


# What is kept


class Stream(NamedTuple):
    """Events in order of time, of every visitor as likely."""

    visitors: Any
    ticks: Any
    codes: Any


def stream(visitors: int, events: int, start_ms: int) -> Stream:
    rng = np.random.default_rng(3)
    ms = np.sort(rng.integers(0, DAYS * DAY_MS, events)) + start_ms
    who = rng.integers(0, visitors, events).astype(np.uint32)
    codes = rng.choice(len(EVENTS), events, p=WEIGHTS).astype(np.uint32)
    return Stream(who, ms * TICKS_A_MS, codes)


class Packing:
    """Of a partition: what packing took, and how much there is."""

    def __init__(self, store: RedisStore, log: SiteLog):
        self._store, self._log = store, log
        self.key = Keys(log.account, store.shards).log(log.site, log.generation, 0)[1]
        self.events, self.seconds, self.cpu_s, self.longest_ms, self.longest_round_ms = 0, 0.0, 0.0, 0.0, 0.0

    def add(self, events: Stream) -> None:
        """Each tail waits until it is full, and is packed."""
        client = self._store.client
        for first in range(0, len(events.ticks), TAIL_RECORDS):
            some = slice(first, first + TAIL_RECORDS)
            records = np.empty(len(events.ticks[some]), RECORD)
            records["visitor"], records["code"] = events.visitors[some], events.codes[some]
            records["day"], records["tick"] = np.divmod(events.ticks[some], DAY_TICKS)
            client.append(f"{self.key}:t", records.tobytes())
            client.slowlog_reset()
            wall, mine, theirs = time.perf_counter(), time.process_time(), redis_cpu(client)
            assert self._store.compact_log(self._log, 0)
            wall = time.perf_counter() - wall
            self.cpu_s += time.process_time() - mine + redis_cpu(client) - theirs
            self.seconds += wall
            self.longest_round_ms = max(self.longest_round_ms, 1000 * wall)
            slow = [call["duration"] / 1000 for call in client.slowlog_get(1000)]
            self.longest_ms = max([self.longest_ms, *slow])
        self.events += len(events.ticks)


def kept(redis: RedisServer, options: argparse.Namespace) -> list[Figure]:
    store, visitors = store_of(redis), options.visitors
    client, log = store.client, SiteLog(workload.ACCOUNT, SITE)
    hash_of = hasher(b"benchmark", workload.ACCOUNT, SITE)
    client.config_set("slowlog-log-slower-than", 0)
    client.config_set("slowlog-max-len", 1000)
    days = int(time.time()) // DAY - DAYS
    all_events = stream(visitors, max(options.events, options.distinct), days * DAY_MS)
    upto = options.events

    come(store, log, hash_of, visitors, 0)
    packing = Packing(store, log)
    packing.add(Stream(*(column[:upto] for column in all_events)))
    held = {kind: sum(of) for kind, of in sizes(store, packing.key).items()}
    of_visitors = held.pop(":f") + held.pop(":i")
    figures = [
        Figure(f"a visitor of {visitors:,}", [of_visitors / visitors], "bytes", VISITOR_BYTES, less=True),
        Figure(f"an event of {upto:,}", [sum(held.values()) / upto], "bytes", EVENT_BYTES, less=True),
        Figure("packed", [packing.events / packing.seconds], "/s", PACKED_A_S),
        Figure("  by CPU time", [packing.events / packing.cpu_s], "/s", PACKED_A_S),
        Figure("  longest call of Redis", [packing.longest_ms], "ms", LONGEST_MS, less=True),
        Figure("  longest round", [packing.longest_round_ms], "ms"),
        *erased(store, log, hash_of, upto),
    ]
    packing.add(Stream(*(column[upto:] for column in all_events)))
    return [*figures, *distinct(redis, log, all_events, days, options), *of_two_periods(store, log, hash_of, visitors)]


def come(store: RedisStore, log: SiteLog, hash_of: Callable[[str], bytes], visitors: int, seq: int) -> None:
    """All of them, by calls of 2,000 that say nothing further; then the tail is empty."""
    now_ms = int(time.time() * 1000)
    for first in range(0, visitors, 2000):
        numbers = range(first, min(first + 2000, visitors))
        some, nothing = len(numbers), np.zeros(0, np.int64)
        hashes = [hash_of(str(number)) for number in numbers]
        ids = [number.to_bytes(ID_BYTES, "little") for number in numbers]
        hits, daily, name = np.ones(some, np.int64), np.zeros(some, bool), mark(seq + first)
        add(store, Columns(log, name, now_ms, hashes, ids, hits, {}, daily, (), nothing, nothing, nothing, 0.0))
    deeds = Deeds(["0"] * len(EVENTS), np.full(len(EVENTS), now_ms), EVENTS)
    add(store, entry_in_columns(log, mark(seq + visitors), now_ms, deeds, hash_of))
    store.compact_log(log, 0)


def erased(store: RedisStore, log: SiteLog, hash_of: Callable[[str], bytes], events: int) -> list[Figure]:
    """One visitor with some aliases: their ids, then their records."""
    who = str(1)
    for number in range(OTHER_IDS):
        other = f"other id {number}"
        assert (
            store.identify(log, Person(hash_of(who), b"1"), Person(hash_of(other), other.encode())) == JOINED or number
        )
    began = time.perf_counter()
    store.erase_visitor(log, hash_of(who))
    ids = time.perf_counter() - began
    began, mine = time.perf_counter(), time.process_time()
    while store.purge_log(log, 0):
        pass
    purged, cpu = time.perf_counter() - began, time.process_time() - mine
    return [
        Figure(f"ids of one visitor with {OTHER_IDS} aliases erased", [1000 * ids], "ms", ERASED_MS, less=True),
        Figure(f"  their records, of {events:,}", [1000 * purged], "ms", PURGED_MS, less=True),
        Figure("  by CPU time of who erases", [1000 * cpu], "ms"),
    ]


def distinct(
    redis: RedisServer, log: SiteLog, events: Stream, first_day: int, options: argparse.Namespace
) -> list[Figure]:
    """Who came on 30 whole days: asked by a store that remembers nothing of the log, and asked again."""
    first, end = ((first_day + day) * DAY_MS for day in (7, 7 + RANGE_DAYS))
    took, cpu, again = list[float](), list[float](), list[float]()
    found = 0
    for _ in range(options.runs):
        store = store_of(redis)
        store.client.ping()
        began, mine = time.perf_counter(), time.process_time()
        found = len(store.visitors_in_log(log, 0, first, end))
        took.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.process_time() - mine))
        began = time.perf_counter()
        store.visitors_in_log(log, 0, first, end)
        again.append(1000 * (time.perf_counter() - began))
    there = (events.ticks >= first * TICKS_A_MS) & (events.ticks < end * TICKS_A_MS)
    assert abs(found - len(np.unique(events.visitors[there]))) <= 1, found  # one was erased
    figures = [
        Figure(f"visitors of {RANGE_DAYS} days, of {len(events.ticks):,} events", took, "ms", DISTINCT_MS, less=True),
        Figure("  CPU time", cpu, "ms"),
        Figure("  asked again", again, "ms"),
    ]
    theirs = chdb(options.python, events, first, end, options.runs)
    if theirs:
        ratio = statistics.median(took) / statistics.median(theirs)
        figures.append(Figure("  of chDB's time", [ratio], "", OF_CHDB, less=True))
    return figures


def chdb(python: str, events: Stream, first_ms: int, end_ms: int, runs: int) -> list[float]:
    """ms of each run; none where it is not installed."""
    with TemporaryDirectory(prefix="hailwhale-benchmark-") as folder:
        rows = np.empty(len(events.ticks), [("visitor", "<u4"), ("ms", "<i8")])
        rows["visitor"], rows["ms"] = events.visitors, events.ticks // TICKS_A_MS
        path, script = Path(folder, "rows.bin"), Path(__file__).with_name("chdb_distinct.py")
        path.write_bytes(rows.tobytes())
        command = [python, str(script), str(path), str(first_ms), str(end_ms), str(runs)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        print("chDB:", (run.stderr.strip().splitlines() or ["ended"])[-1])
        return []
    return [float(line.split()[1]) for line in run.stdout.splitlines()]


def of_two_periods(store: RedisStore, log: SiteLog, hash_of: Callable[[str], bytes], visitors: int) -> list[Figure]:
    """All come again when the next period has begun; what they take in both."""
    _, key = Keys(log.account, store.shards).log(log.site, log.generation, 0)
    next_period(store, log)
    come(store, log, hash_of, visitors, 2 * visitors)
    held = sizes(store, key)
    size = sum(held[":f"]) + sum(held[":i"])
    what = f"a visitor of {visitors:,} who came in two periods"
    return [Figure(what, [size / visitors], "bytes", VISITOR_OF_TWO_BYTES, less=True)]


def store_of(redis: RedisServer) -> RedisStore:
    found = connect(in_force(redis_url=redis.url))
    assert isinstance(found, RedisStore)
    return found


def add(store: RedisStore, entry: Columns) -> None:
    store.add_to_log([entry], Caps())


def mark(seq: int) -> tuple[str, str, int]:
    return workload.ACCOUNT, workload.PUBLISHER, seq


if __name__ == "__main__":
    main()

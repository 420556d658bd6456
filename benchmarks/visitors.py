"""How long questions about visitors take: cold, warm and over HTTP, beside ClickHouse's engine on the same events.

    python -m benchmarks.visitors                                2 M events of 100,000 visitors over 84 days
    python -m benchmarks.visitors --events 20000000
    python -m benchmarks.visitors --python OTHER/bin/python      a Python that has chdb
    python -m benchmarks.visitors --prototypes FOLDER            the kernel of the prototype, on the same columns

The log has one partition, and a visitor has 20 events of 8 names on average. Cold is the first question of a process, which reads and
unpacks all that it needs; warm is the same again. ClickHouse's tables are ordered by (visitor, time), (event, time) and (event, visitor,
time), and it is compared by the best of them. Where both answer the same question their answers are compared, too.

live: a saved funnel is asked for over HTTP every 30 ms, while 2,000 events/s are logged, 1 % of them three days late, and the tail is
packed every 3 s. At the end its answer is compared with one from scratch.
"""

import argparse
import importlib
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np
import psutil

from benchmarks import workload
from benchmarks.report import Figure, report
from benchmarks.services import Setup, answer_ms
from benchmarks.visitors_log import DAYS, EVENTS, SITE, WEIGHTS, Packing, Stream, come, mark, stream
from hail.settings import DAY, Settings
from tests.servers import RedisServer
from whale.accounts import Act, Site
from whale.client import Whale
from whale.period import Span
from whale.store import connect
from whale.store.contract.events import Caps
from whale.store.redis import RedisStore
from whale.visitors.deeds import Deeds, entry_in_columns
from whale.visitors.entries import DAY_MS, TICKS_A_MS
from whale.visitors.record import hasher_of

TICKS_A_S = 1000 * TICKS_A_MS
OF_KERNEL = 1.25
RESIDENT_MB = 600
PERIOD = f"last_{DAYS}d"
WHOLE_DAYS_MS = 10
NOON = int(time.time()) // DAY * DAY + DAY // 2
FROM_HOUR_TO_HOUR = {"start": NOON - 70 * DAY, "finish": NOON - 10 * DAY, "interval": "hour"}
LIVE_A_S, LIVE_S, PACKED_EVERY_S, OF_LIVE = 2000, 15, 3, 1.5
WITHIN = "ms >= {first} AND ms < {end}"
WEEK_OF = "intDiv({} - 345600000, 604800000)"
"""Since Monday, 5 January 1970."""
THREE, EIGHT = "ace", EVENTS


@dataclass(frozen=True)
class Question:
    """path, asked: as over HTTP, and in the library.  seen: of an answer what ClickHouse says too.  sql: with {table}, {first} and {end}.
    warm, cold: at most so much of its time.  warm_ms: at most so long.
    """

    path: str
    asked: dict[str, Any]
    seen: Callable[[Any], Sequence[int]]
    sql: str
    warm: float | None = None
    cold: float | None = None
    warm_ms: float | None = None


def funnel_sql(steps: str, window_s: int) -> str:
    conditions = ", ".join(f"event = {EVENTS.index(step)}" for step in steps)
    reached = ", ".join(f"countIf(l >= {number})" for number in range(1, len(steps) + 1))
    places = ", ".join(str(EVENTS.index(step)) for step in steps)
    chain = f"windowFunnel({window_s * 1000}, 'strict_increase')(toUInt64(ms), {conditions})"
    return (
        f"SELECT {reached} FROM (SELECT visitor, {chain} AS l FROM {{table}} WHERE event IN ({places}) AND {WITHIN} "
        "GROUP BY visitor)"
    )


def funnel(steps: str, window_days: int) -> Question:
    return Question(
        "/funnel",
        {"pk": SITE, "steps": json.dumps([*steps]), "period": PERIOD, "window": f"{window_days}d"},
        lambda answer: [step["visitors"] for step in answer["steps"]],
        funnel_sql(steps, window_days * DAY),
        0.7,
        1.1,
    )


def overlap(period: dict[str, Any], warm: float | None = None, warm_ms: float | None = None) -> Question:
    return Question(
        "/overlap",
        {"pk": SITE, "sets": json.dumps([{"event": each} for each in THREE]), **period},
        lambda answer: [region["visitors"] for region in answer["regions"] if region["in"] == [0, 1]],
        "SELECT count() FROM (SELECT visitor FROM {table} WHERE event IN (0, 2, 4) AND "
        f"{WITHIN} GROUP BY visitor HAVING countIf(event = 0) > 0 AND countIf(event = 2) > 0 AND countIf(event = 4) = 0)",
        warm,
        warm_ms=warm_ms,
    )


QUESTIONS = {
    "funnel of 3 steps in a day": funnel(THREE, 1),
    "funnel of 8 steps in a week": funnel(EIGHT, 7),
    "visitors, new ones and by day": Question(
        "/visitors",
        {"pk": SITE, "period": PERIOD},
        lambda answer: [answer["visitors"]],
        f"SELECT uniqExact(visitor) FROM {{table}} WHERE {WITHIN}",
    ),
    "retention of 13 weeks": Question(
        "/retention",
        {"pk": SITE, "first": "a", "again": "c", "count": 13},
        lambda answer: [sum(sum(cohort["kept"]) for cohort in answer["cohorts"])],
        f"SELECT count() FROM (SELECT visitor, {WEEK_OF.format('min(ms)')} AS began FROM {{table}} WHERE event = 0 GROUP BY visitor) AS f "
        f"JOIN (SELECT DISTINCT visitor, {WEEK_OF.format('ms')} AS came FROM {{table}} WHERE event = 2) AS x USING visitor "
        "WHERE came >= began",
        cold=0.3,
    ),
    "a and c and not e": overlap({"period": PERIOD}, warm_ms=WHOLE_DAYS_MS),
    "a and c and not e of 60 days, from hour to hour": overlap(FROM_HOUR_TO_HOUR, warm=0.5),
    "visitors of 30 days": Question(
        "/visitors",
        {"pk": SITE, "period": "last_30d"},
        lambda answer: [answer["visitors"]],
        f"SELECT uniqExact(visitor) FROM {{table}} WHERE {WITHIN}",
        warm_ms=WHOLE_DAYS_MS,
    ),
    "sessions": Question(
        "/sessions",
        {"pk": SITE, "period": PERIOD},
        lambda answer: [answer["sessions"]],
        "SELECT countIf(ms - before > 1800000) FROM (SELECT ms, lagInFrame(ms, 1, toInt64(0)) OVER (PARTITION BY visitor ORDER BY ms "
        f"ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS before FROM {{table}} WHERE {WITHIN})",
        0.5,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="that has chdb")
    parser.add_argument("--live-s", type=float, default=LIVE_S, metavar="S", help="that a saved funnel is asked for")
    parser.add_argument("--prototypes", type=Path, metavar="FOLDER")
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=[*QUESTIONS])
    options = parser.parse_args()
    with RedisServer(appendonly="no", hash_max_listpack_entries="512") as redis:
        report("visitors", measured(redis, options))


def measured(redis: RedisServer, options: argparse.Namespace) -> list[Figure]:
    first_day = int(time.time()) // DAY - DAYS
    events = stream(max(1, options.events // 20), options.events, first_day * DAY_MS)
    load(redis, events)
    during = (first_day * DAY, (first_day + DAYS) * DAY)
    mine = {name: asked(redis, QUESTIONS[name], options.runs) for name in options.questions}
    theirs = chdb(options.python, events, stretches(redis, options.questions, during), options.runs)
    kernel = kernels(options.prototypes, events, options.runs) if options.prototypes else {}
    by_http, resident_mb = over_http(redis, options.questions, options.runs)
    figures: list[Figure] = []
    for name, (cold, warm, seen) in mine.items():
        question = QUESTIONS[name]
        figures += [Figure(f"{name}, cold", cold, "ms"), Figure("  warm", warm, "ms", question.warm_ms, less=True)]
        if name in theirs:
            best, found = theirs[name]
            far = [
                mine for mine, other in zip(seen, found, strict=True) if abs(mine - other) > 1
            ]  # one came once more today
            assert not far, (name, found, seen)
            figures += [
                Figure("  ClickHouse's", [best], "ms"),
                Figure("  warm, of its time", [statistics.median(warm) / best], "", question.warm, less=True),
                Figure("  cold, of its time", [statistics.median(cold) / best], "", question.cold, less=True),
            ]
        figures.append(Figure("  over HTTP", by_http[name], "ms"))
        if name in kernel:
            ratio = statistics.median(by_http[name]) / kernel[name]
            figures.append(Figure("  over HTTP, of the kernel's time", [ratio], "", OF_KERNEL, less=True))
    figures += live(redis, first_day, options)
    return [*figures, Figure("memory of Whale", [resident_mb], "MB", RESIDENT_MB, less=True)]


def load(redis: RedisServer, events: Stream) -> None:
    """A site that keeps all of them, with its visitors."""
    store, site = store_of(redis), Site(workload.ACCOUNT, SITE)
    store.add_entry(site, Act(0, "benchmark", "add site", workload.ACCOUNT, SITE))
    record = store.begin_log(site, after_ms=-(DAYS + 2) * DAY_MS)
    (generation,) = record.generations
    log, hash_of = record.log(workload.ACCOUNT, SITE, generation), hasher_of(workload.ACCOUNT, SITE, generation)
    come(store, log, hash_of, int(events.visitors.max()) + 1, 0)
    Packing(store, log).add(events)


def asked(redis: RedisServer, question: Question, runs: int) -> tuple[list[float], list[float], Sequence[int]]:
    """ms of each cold and each warm answer, and what was seen."""
    cold, warm = list[float](), list[float]()
    seen: Sequence[int] = ()
    for _ in range(runs):
        whale = Whale(store_of(redis), settings_of(redis))
        whale.store.log_records(workload.ACCOUNT, [SITE])
        for took in (cold, warm):
            began = time.perf_counter()
            seen = question.seen(answer(whale, question))
            took.append(1000 * (time.perf_counter() - began))
    return cold, warm, seen


def answer(whale: Whale, question: Question) -> Any:
    """As the library is asked."""
    return getattr(whale, question.path[1:])(**in_library(question))


def in_library(question: Question) -> dict[str, Any]:
    asked = dict(question.asked)
    if "start" in asked:
        asked["period"] = Span(asked.pop("start"), asked.pop("finish"), asked.pop("interval"))
    return asked


def over_http(redis: RedisServer, names: Sequence[str], runs: int) -> tuple[dict[str, list[float]], float]:
    """ms of warm answers, and what the largest process of Whale has in memory after all of them, MB."""
    setup = Setup(redis.url)
    with setup.whale() as service:
        took = {}
        for name in names:
            question = QUESTIONS[name]
            address = f"{question.path}?{urlencode(question.asked)}"
            took[name] = answer_ms(setup.whale_port, [address] * (runs + 3), 3)
        whale = psutil.Process(service.process.pid)
        return took, max(each.memory_info().rss for each in (whale, *whale.children(True))) / 1e6


def live(redis: RedisServer, first_day: int, options: argparse.Namespace) -> list[Figure]:
    """ms of a saved funnel, while others write."""
    store = store_of(redis)
    whale, visitors = Whale(store, settings_of(redis)), max(1, options.events // 20)
    whale.save_funnel(SITE, "live", [*THREE])
    setup, period = Setup(redis.url), f"{DAYS}d"
    writer = get_context("spawn").Process(target=write, args=(redis.url, visitors, options.live_s))
    took = list[float]()
    with setup.whale():
        address = f"/funnel?{urlencode({'pk': SITE, 'name': 'live', 'period': period})}"
        answer_ms(setup.whale_port, [address] * 3, 0)
        writer.start()
        while writer.is_alive():
            took += answer_ms(setup.whale_port, [address], 0)
            time.sleep(0.03)
        with urlopen(f"http://127.0.0.1:{setup.whale_port}{address}", timeout=60) as answered:
            kept = json.load(answered)
    counted = whale.funnel(SITE, [*THREE], period)
    assert [row["visitors"] for row in kept["steps"]] == [row["visitors"] for row in counted["steps"]]
    p99 = sorted(took)[int(0.99 * len(took))]
    figures = [
        Figure(f"a saved funnel, {LIVE_A_S:,} events/s", took, "ms"),
        Figure("  p99", [p99], "ms", 10, less=True),
    ]
    if options.prototypes:
        run = [sys.executable, "bench_live.py", str(options.events), str(LIVE_A_S), str(options.live_s)]
        said = subprocess.run(run, cwd=options.prototypes, capture_output=True, text=True, check=True).stdout
        found = re.search(r"p99 ([0-9.]+)", said)
        assert found, said
        figures.append(Figure("  p99, of the prototype's", [p99 / float(found[1])], "", OF_LIVE, less=True))
    return figures


def write(url: str, visitors: int, seconds: float) -> None:
    """Messages of 100 events."""
    store = connect(workload.settings(message_version=2, redis_url=url))
    record = store.log_records(workload.ACCOUNT, [SITE])[SITE]
    (generation,) = record.generations
    log, hash_of = record.log(workload.ACCOUNT, SITE, generation), hasher_of(workload.ACCOUNT, SITE, generation)
    rng, began, packed, seq = np.random.default_rng(9), time.time(), time.time(), 0
    while time.time() - began < seconds:
        now_ms = int(time.time() * 1000)
        at = now_ms - np.where(rng.random(100) < 0.01, 3 * DAY_MS, 0) - rng.integers(0, 50, 100)
        names = [EVENTS[code] for code in rng.choice(len(EVENTS), 100, p=WEIGHTS)]
        deeds = Deeds([str(number) for number in rng.integers(0, visitors, 100)], at, names)
        store.add_to_log([entry_in_columns(log, mark(10**8 + seq), now_ms, deeds, hash_of)], Caps())
        seq += 1
        if time.time() - packed > PACKED_EVERY_S:
            store.compact_log(log, 0)
            packed = time.time()
        time.sleep(max(0.0, began + 100 * seq / LIVE_A_S - time.time()))


def stretches(redis: RedisServer, names: Sequence[str], during: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """From when until when each question asks. during: where it does not say."""
    whale = Whale(store_of(redis), settings_of(redis))
    periods = {name: in_library(QUESTIONS[name]).get("period") for name in names}
    ranges = {name: whale.asking.now().range_of(period) for name, period in periods.items() if period}
    return {name: (ranges[name].start, ranges[name].end) if name in ranges else during for name in names}


def chdb(
    python: str, events: Stream, during: Mapping[str, tuple[int, int]], runs: int
) -> dict[str, tuple[float, list[int]]]:
    """Median ms of its best order, and what it found; nothing where it is not installed. during: of each question."""
    with TemporaryDirectory(prefix="hailwhale-benchmark-") as folder:
        rows = np.empty(len(events.ticks), [("visitor", "<u4"), ("ms", "<i8"), ("event", "u1")])
        rows["visitor"], rows["ms"], rows["event"] = events.visitors, events.ticks // TICKS_A_MS, events.codes
        Path(folder, "rows.bin").write_bytes(rows.tobytes())
        sql = {
            name: QUESTIONS[name].sql.replace("{first}", str(1000 * first)).replace("{end}", str(1000 * end))
            for name, (first, end) in during.items()
        }
        Path(folder, "questions.json").write_text(json.dumps(sql))
        script = Path(__file__).with_name("chdb_visitors.py")
        command = [python, str(script), f"{folder}/rows.bin", f"{folder}/questions.json", str(runs)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        print("chDB:", (run.stderr.strip().splitlines() or ["ended"])[-1])
        return {}
    found = {}
    for line in map(json.loads, run.stdout.splitlines()):
        best = min(statistics.median(ms) for ms in line["ms"].values())
        found[line["question"]] = (
            best,
            [int(number) for number in line["found"].replace("\n", ",").split(",") if number],
        )
    return found


def kernels(folder: Path, events: Stream, runs: int) -> dict[str, float]:
    """Median ms of the prototype's funnels, on columns in memory, by two threads."""
    sys.path.insert(0, str(folder))
    hwv: Any = importlib.import_module("hwv")
    visitors = int(events.visitors.max()) + 1
    columns = hwv.columns(events.visitors, events.ticks, events.codes, range(len(EVENTS)))
    found = {}
    with ThreadPoolExecutor(2) as pool:
        for name, steps, window_days in zip(QUESTIONS, (THREE, EIGHT), (1, 7), strict=False):
            took = []
            for _ in range(runs):
                began = time.perf_counter()
                codes = [EVENTS.index(step) for step in steps]
                hwv.funnel_ranges(columns, codes, window_days * DAY * TICKS_A_S, visitors, pool=pool)
                took.append(1000 * (time.perf_counter() - began))
            found[name] = statistics.median(took)
    return found


def settings_of(redis: RedisServer) -> Settings:
    return workload.settings(message_version=2, redis_url=redis.url)


def store_of(redis: RedisServer) -> RedisStore:
    found = connect(settings_of(redis))
    assert isinstance(found, RedisStore)
    return found


if __name__ == "__main__":
    main()

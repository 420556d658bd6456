"""How fast py-fasttrack's interface is, on one Redis, by one client: single tracks, and reads of whole series.

    python -m benchmarks.fasttrack
    python -m benchmarks.fasttrack --asks 1000 --aof always

Beside them, in turns, a bare PING of the same client, which no track can beat; and the original's four HINCRBY, a round trip each.
The original itself, on Python 2.7 and another day: 10,100 tracks/s, 100 ids x 30 days 19 ms, 365 days 11 ms.
"""

import argparse
import datetime
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.report import Figure, report
from tests.servers import RedisServer
from whale.fasttrack import Redis

DAY = datetime.date(2012, 1, 1)
IDS = [str(uid) for uid in range(100)]
RUNS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asks", type=int, default=300, help="of each read")
    parser.add_argument("--tracks", type=int, default=3000, help="of each run")
    parser.add_argument("--aof", default="no", choices=("no", "everysec", "always"))
    options = parser.parse_args()
    with RedisServer(appendonly=options.aof) as redis:
        tracker = Redis({"defaults": {"port": redis.port}})
        for i in range(366):
            tracker.track_metric(IDS, "m", DAY + datetime.timedelta(days=i), i + 1)
        (client,) = tracker.store.hosts.values()
        pairs = [(uid, "m") for uid in IDS]
        days = [DAY + datetime.timedelta(days=i) for i in range(366)]
        pings, fours, tracks = [], [], []

        def four(i: int) -> None:
            for field in ("day", "week", "month", "total"):
                client.hincrby("four", f"{field}{i % 366}", 1)

        for _ in range(RUNS):
            pings.append(per_second(lambda i: client.ping(), options.tracks))
            fours.append(per_second(four, options.tracks))
            tracks.append(per_second(lambda i: tracker.track_metric("7", "m", days[i % 366]), options.tracks))
        figures = [
            Figure("PING by the same client", pings, "/s"),
            Figure("single tracks", tracks, "/s", 10_100),
            Figure("four HINCRBY, a round trip each", fours, "/s"),
            Figure("single tracks / PING", [t / p for t, p in zip(tracks, pings, strict=True)], ""),
            Figure("single tracks / four HINCRBY", [t / f for t, f in zip(tracks, fours, strict=True)], "", 1.0),
        ]
        reads: list[tuple[str, Callable[[], Any], float | None]] = [
            ("100 ids x 30 days", lambda: tracker.get_metrics(pairs, DAY, 30, "day"), 19.0),
            ("365 days", lambda: tracker.get_metric_by_day("7", "m", DAY, 365), 11.0),
            ("get_count of a year less two days", lambda: tracker.get_count("7", "m", days[1], days[-2]), None),
            ("get_counts of that, 100 ids", lambda: tracker.get_counts(pairs, days[1], days[-2]), None),
            ("100 ids tracked at once", lambda: tracker.track_metric(IDS, "m", DAY), None),
        ]
        for what, call, target in reads:
            took = milliseconds(call, options.asks)
            figures.append(Figure(f"{what}, p50", [statistics.median(took)], "ms", target, less=True))
            figures.append(Figure(f"{what}, p99", [statistics.quantiles(took, n=100)[-1]], "ms"))
    report("fasttrack", figures, [f"AOF {options.aof}"])


def per_second(call: Callable[[int], Any], times: int) -> float:
    begun = time.perf_counter()
    for i in range(times):
        call(i)
    return times / (time.perf_counter() - begun)


def milliseconds(call: Callable[[], Any], times: int) -> list[float]:
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        took.append((time.perf_counter() - begun) * 1000)
    return took


if __name__ == "__main__":
    main()

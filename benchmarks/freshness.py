"""How long it takes from a hit's 202 until Whale shows it: farm and embedded, idle and under half of the load they should carry.

    python -m benchmarks.freshness              40 s each of: farm idle, farm loaded, embedded idle, embedded loaded
    python -m benchmarks.freshness --load 15000

One client sends a hit to a pk of its own, then asks Whale's /totals every 3 ms until the hit is in it, rests for a random moment, and
so on: some 500 hits in 40 s. So a figure is up to 3 ms and one answer of Whale too long. The load is batches of 500 to another pk,
evenly spread.
"""

import argparse
import http.client
import json
import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks import workload
from benchmarks.report import Figure, report
from benchmarks.services import Setup
from tests.servers import RabbitMQ, RedisServer

LOAD = 10_000  # hits a second: half of what end_to_end asks for
BATCH = 500
P95_S = 1.0
GIVEN_UP_S = 120.0
ASK_S = 0.003
HIT = json.dumps({"pk": "fresh"}).encode()
JSON = {"Content-Type": "application/json"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40, help="of each")
    parser.add_argument("--load", type=int, default=LOAD, help="hits a second")
    parser.add_argument("--only", choices=("farm", "embedded"))
    options = parser.parse_args()
    figures, notes = [], [workload.version_said()]
    for name in ("farm", "embedded"):
        if options.only in (None, name):
            with services(name) as setup:
                for load in (0, options.load):
                    took = measure(setup, options.seconds, load)
                    what = f"{name}, {f'{load} hits/s' if load else 'idle'}"
                    parts = statistics.quantiles(took, n=100)
                    figures.append(Figure(f"{what}, p50 of {len(took)}", [parts[49]], "s"))
                    figures.append(Figure(f"{what}, p95", [parts[94]], "s", P95_S, less=True))
                    figures.append(Figure(f"{what}, p99", [parts[98]], "s"))
                if spooled := setup.accepted_by("spool") if name == "farm" else 0:
                    notes.append(f"farm: {spooled} hits went by the spool, since RabbitMQ was slow to confirm")
    report("freshness", figures, notes)


@contextmanager
def services(name: str) -> Iterator[Setup]:
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(appendonly="always"))
        broker = stack.enter_context(RabbitMQ()).url if name == "farm" else ""
        setup = Setup(redis.url, broker)
        behind = [setup.worker(), setup.hailwail()] if name == "farm" else [setup.hailwail()]
        for service in (*behind, setup.hail(), setup.whale()):
            stack.enter_context(service)
        yield setup


def measure(setup: Setup, seconds: float, load: int) -> list[float]:
    """Seconds from accepted to visible, of hits sent one after another."""
    hail = http.client.HTTPConnection("127.0.0.1", setup.hail_port, timeout=30)
    whale = http.client.HTTPConnection("127.0.0.1", setup.whale_port, timeout=30)
    stop = threading.Event()
    background = threading.Thread(target=send, args=(setup, load, stop)) if load else None
    if background:
        background.start()
    took = []
    one_hit(hail, whale)  # everything is connected now
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        took.append(one_hit(hail, whale))
        time.sleep(random.random() * 0.1)
    stop.set()
    if background:
        background.join()
    return took


def one_hit(hail: http.client.HTTPConnection, whale: http.client.HTTPConnection) -> float:
    before = shown(whale)
    hail.request("POST", "/count", HIT, JSON)
    answer = hail.getresponse()
    answer.read()
    accepted = time.monotonic()
    assert answer.status == 202, answer.status
    while shown(whale) == before:
        assert time.monotonic() - accepted < GIVEN_UP_S, f"not visible after {GIVEN_UP_S} s"
        time.sleep(ASK_S)
    return time.monotonic() - accepted


def shown(whale: http.client.HTTPConnection) -> int:
    whale.request("GET", "/totals?pk=fresh&metrics=hits&period=1h:1d")
    (totals,) = json.loads(whale.getresponse().read()).values()
    return int(totals["_"]["hits"])


def send(setup: Setup, load: int, stop: threading.Event) -> None:
    hits = [{name: value for name, value in hit.items() if name != "at"} for hit in workload.hits(50_000)]
    bodies = [json.dumps(hits[i : i + BATCH]).encode() for i in range(0, len(hits), BATCH)]
    hail = http.client.HTTPConnection("127.0.0.1", setup.hail_port, timeout=30)
    began = time.monotonic()
    for nth in range(10**9):
        if stop.wait(max(0.0, began + nth * BATCH / load - time.monotonic())):
            break
        hail.request("POST", "/batch", bodies[nth % len(bodies)], JSON)
        hail.getresponse().read()
    hail.close()


if __name__ == "__main__":
    main()

"""How many hits a second go all the way on one machine: HTTP, Hail, RabbitMQ, worker, Redis with AOF always; none lost, none twice.

    python -m benchmarks.end_to_end                 20 s of batches of 500, then 20 s of single GETs from 64 clients
    python -m benchmarks.end_to_end --server granian --seconds 60

Batches: the rate is what was accepted, divided by the time from the first request until the last of it is in the store. What is in
the store is then compared with what was answered 202. Single GETs: the rate that wrk saw, and how the queue stood meanwhile.
"""

import argparse
import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from benchmarks import workload
from benchmarks.report import Figure, report
from benchmarks.services import Setup, wrk
from hail.settings import DAY
from tests.servers import RabbitMQ, RedisServer
from whale.store import connect
from whale.store.base import Store

RATE = 20_000
BATCH = 500
DRAIN_S = 60.0
CLIENTS = 64


@dataclass
class Load:
    """What some clients have sent and been promised."""

    bodies: list[bytes]
    port: int
    until: float
    accepted: int = 0
    refused: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        nth = client * 17
        while time.monotonic() < self.until:
            connection.request(
                "POST", "/batch", self.bodies[nth % len(self.bodies)], {"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            answer.read()
            with self._lock:
                self.accepted += BATCH * (answer.status == 202)
                self.refused += answer.status != 202
            if answer.status != 202:
                time.sleep(0.1)
            nth += 1
        connection.close()


class Depth:
    """Looks at the queue each half second, until it is left."""

    def __init__(self, rabbitmq: RabbitMQ, queue: str):
        self.seen: list[int] = []
        self._stop = threading.Event()
        self._look: Callable[[], int] = lambda: rabbitmq.depth(queue)
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            self.seen.append(self._look())

    def __enter__(self) -> "Depth":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--clients", type=int, default=4, help="that send batches, each the next when one is answered")
    parser.add_argument("--server", choices=("gevent", "gthread", "granian"), default="gevent")
    parser.add_argument("--only", choices=("batches", "gets"))
    options = parser.parse_args()
    figures: dict[tuple[str, str], Figure] = {}
    with RabbitMQ() as rabbitmq:
        for _ in range(options.runs):
            for measured in (batches, gets):
                if options.only in (None, measured.__name__):
                    with RedisServer(appendonly="always") as redis:
                        for one in measured(options, rabbitmq, redis):
                            before = figures.get((measured.__name__, one.what))
                            values = [*(before.values if before else ()), *one.values]
                            figures[measured.__name__, one.what] = replace(one, values=values)
    report(f"end_to_end-{options.server}", list(figures.values()))


def batches(options: argparse.Namespace, rabbitmq: RabbitMQ, redis: RedisServer) -> list[Figure]:
    hits = [{name: value for name, value in hit.items() if name != "at"} for hit in workload.hits()]
    bodies = [json.dumps(hits[i : i + BATCH]).encode() for i in range(0, len(hits), BATCH)]
    setup = Setup(redis.url, rabbitmq.url)
    with setup.worker(), setup.hail(options.server):
        store = connect(setup.settings)
        warm_up(setup, store, bodies)
        already = counted(store)
        began = time.monotonic()
        load = Load(bodies, setup.hail_port, began + options.seconds)
        clients = [threading.Thread(target=load.send, args=(i,)) for i in range(options.clients)]
        with Depth(rabbitmq, setup.settings.queue) as depth:
            for client in clients:
                client.start()
            for client in clients:
                client.join()
        sent = time.monotonic()
        found = drained(store, already + load.accepted) - already
        done = time.monotonic()
    behind = (done - sent) / (done - began)
    return [
        Figure(f"batches of {BATCH}, counted", [load.accepted / (done - began)], "hits/s", RATE),
        Figure("  accepted meanwhile", [load.accepted / (sent - began)], "hits/s"),
        Figure("  time it took after the last was sent", [100 * behind], "% of all"),
        Figure("  messages waiting, at most", [max(depth.seen)], ""),
        Figure("  refused", [load.refused], "batches"),
        Figure("  lost", [max(0, load.accepted - found)], "hits", 0, less=True),
        Figure("  twice", [max(0, found - load.accepted)], "hits", 0, less=True),
    ]


def gets(options: argparse.Namespace, rabbitmq: RabbitMQ, redis: RedisServer) -> list[Figure]:
    setup = Setup(redis.url, rabbitmq.url)
    url = f"http://127.0.0.1:{setup.hail_port}/count?pk=site&dimensions=services"
    with setup.worker(), setup.hail(options.server):
        store = connect(setup.settings)
        wrk(url, 1)
        settled(store)
        already = counted(store)
        with Depth(rabbitmq, setup.settings.queue) as depth:
            asked = wrk(url, options.seconds, CLIENTS)
        found = settled(store) - already
    half = len(depth.seen) // 2
    grown = sum(depth.seen[half:]) / max(1, len(depth.seen) - half) - sum(depth.seen[:half]) / max(1, half)
    return [
        Figure(f"single GETs of {CLIENTS} clients", [asked.rate], "hits/s"),
        Figure("  p99", [asked.p99_ms], "ms"),
        Figure("  refused", [asked.refused], "", 0, less=True),
        Figure("  messages waiting, at most", [max(depth.seen)], ""),
        Figure("  messages waiting, second half less first", [grown], "", 20, less=True),
        Figure("  lost", [max(0, asked.answered - found)], "hits", 0, less=True),
        Figure(
            f"  more than answered (wrk leaves up to {CLIENTS} unread)",
            [max(0, found - asked.answered)],
            "hits",
            CLIENTS,
            less=True,
        ),
    ]


def warm_up(setup: Setup, store: Store, bodies: list[bytes]) -> None:
    load = Load(bodies, setup.hail_port, time.monotonic() + 0.5)
    load.send(0)
    drained(store, load.accepted)


def counted(store: Store) -> int:
    """Hits of the pk, over yesterday to tomorrow: at midnight no test may lie."""
    today = int(time.time()) // DAY * DAY
    days = (today - DAY, today, today + DAY)
    return int(store.read(workload.ACCOUNT, workload.PK[:1], [()], ["hits"], DAY, days).sum())


def drained(store: Store, wanted: int) -> int:
    """Waits until so many are counted; what is counted a little later, to see what should not come."""
    deadline = time.monotonic() + DRAIN_S
    while counted(store) < wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return counted(store)


def settled(store: Store) -> int:
    """Waits until nothing more is counted for two seconds."""
    before, since = -1, time.monotonic()
    while time.monotonic() - since < 2:
        now = counted(store)
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.05)
    return before


if __name__ == "__main__":
    main()

"""How many hits a second go all the way on one machine: HTTP, Hail, RabbitMQ, worker, Redis with AOF always; none lost, none twice.

    python -m benchmarks.end_to_end                                     each row for 20 s
    python -m benchmarks.end_to_end --only 500 gets --shards 1 64 --seconds 60
    python -m benchmarks.end_to_end --server granian --only 5000
    HAILWHALE_MESSAGE_VERSION=1 python -m benchmarks.end_to_end         with messages of that version
    python -m benchmarks.pairs --ours ../before end_to_end -- --only 500    the same of two checkouts, by turns

A rate is hits counted, divided by the time from the first request until queue and spool are empty. Clients that send batches alone
pause while messages wait in the queue, so that it does not grow. Lost is a hit that was answered 202 and is not counted, twice one
that is counted and was never accepted: by the cells of the store, by the audit, and by Hail's own count. CPU time and memory are
those of a service with all of its processes.
"""

import argparse
import json
import os
import random
import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks import workload
from benchmarks.report import Figure, report
from benchmarks.services import SERVERS, Asked, Setup, cpu_seconds, peak_mb, wrk
from hail.broker import dead_name
from hail.message import ACCOUNT
from hail.settings import DAY, HOUR
from tests.servers import RabbitMQ, RedisServer
from whale.health.audit import Audit, Look, audit
from whale.store import connect
from whale.store.base import Store

DRAIN_S = 120.0
CLIENTS, GET_CLIENTS, GETS_A_BATCH = 4, 64, 99
WAITING = 20  # messages in the queue above which batches pause; a worker has 32 more in its hands
LOOK_S = 0.1
LARGE = {  # limits for batches of 5,000
    "HAILWHALE_MAX_BATCH_HITS": "5000",
    "HAILWHALE_MESSAGE_MAX_HITS": "10000",
    "HAILWHALE_MESSAGE_MAX_CELLS": "2000000",
    "HAILWHALE_WAITING_MAX_HITS": "100000",
    "HAILWHALE_APPLY_MAX_HITS": "20000",
}


@dataclass(frozen=True)
class Row:
    """batch: hits of one, none without.  spread: times over an hour, and the default intervals.  target: hits/s."""

    what: str
    batch: int = 0
    gets: bool = False
    spread: bool = False
    target: float | None = None

    @property
    def environ(self) -> dict[str, str]:
        periods = {"HAILWHALE_PERIODS": workload.DEFAULT_PERIODS} if self.spread else {}
        return {**periods, **(LARGE if self.batch > 500 else {})}


ROWS = {
    "500": Row("batches of 500", 500, target=20_000),
    "5000": Row("batches of 5,000", 5000),
    "spread": Row("batches of 500, times over an hour, 5 intervals", 500, spread=True),
    "mixed": Row(f"a batch of 500 for {GETS_A_BATCH} GETs, no two alike, of {GET_CLIENTS} clients", 500, gets=True),
    "gets": Row(f"single GETs of {GET_CLIENTS} clients", gets=True),
}


@dataclass
class Load:
    """What clients have sent of batches, and how much of it they were promised."""

    port: int
    bodies: list[bytes]
    batch: int
    accepted: int = 0
    refused: int = 0
    may_send: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, client: int, until: float) -> None:
        """Batches one after the other, each when the one before is answered; the client itself costs little."""
        nth = client * 17
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            while time.monotonic() < until:
                if not self.may_send.wait(LOOK_S):
                    continue
                accepted = _posted(connection, self.bodies[nth % len(self.bodies)])
                with self._lock:
                    self.accepted += self.batch * accepted
                    self.refused += not accepted
                if not accepted:
                    time.sleep(0.1)
                nth += 1


def _posted(connection: socket.socket, body: bytes) -> bool:
    """Whether a batch was answered 202, all of its answer read."""
    head = b"POST /batch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    connection.sendall(head % len(body) + body)
    got = b""
    while b"\r\n\r\n" not in got:
        got += _received(connection)
    said, _, beginning = got.partition(b"\r\n\r\n")
    _, _, length = said.lower().partition(b"content-length:")
    left = int(length.split(b"\r\n")[0]) - len(beginning)
    while left > 0:
        left -= len(_received(connection))
    return said.split(b" ", 2)[1] == b"202"


def _received(connection: socket.socket) -> bytes:
    got = connection.recv(1 << 18)
    if not got:
        raise ConnectionError("Hail closed the connection of a batch")
    return got


class Depth:
    """Looks at the queue ten times a second, until it is left; batches wait while too much is in it."""

    def __init__(self, rabbitmq: RabbitMQ, queue: str, may_send: threading.Event):
        self.seen: list[int] = []
        self._rabbitmq, self._queue, self._may_send = rabbitmq, queue, may_send
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @property
    def grown(self) -> float:
        """How many more messages waited, on the average, in the second half than in the first."""
        half = len(self.seen) // 2
        return sum(self.seen[half:]) / max(1, len(self.seen) - half) - sum(self.seen[:half]) / max(1, half)

    def _watch(self) -> None:
        with self._rabbitmq.connect() as connection:
            channel = connection.channel()
            while not self._stop.wait(LOOK_S):
                self.seen.append(int(channel.queue_declare(self._queue, passive=True).message_count))
                if self.seen[-1] > WAITING:
                    self._may_send.clear()
                else:
                    self._may_send.set()

    def __enter__(self) -> "Depth":
        self._may_send.set()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--clients", type=int, default=CLIENTS, help="that send batches")
    parser.add_argument("--server", choices=SERVERS, default="own")
    parser.add_argument("--shards", type=int, nargs="+", default=[1], metavar="SHARDS")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    options = parser.parse_args()
    figures: dict[tuple[str, int, str], Figure] = {}
    with RabbitMQ() as rabbitmq:
        for _ in range(options.runs):
            for name in options.only:
                for shards in options.shards:
                    for one in measure(ROWS[name], options, rabbitmq, shards):
                        before = figures.get((name, shards, one.what))
                        values = [*(before.values if before else ()), *one.values]
                        figures[name, shards, one.what] = replace(one, values=values)
    report(f"end_to_end-{options.server}", list(figures.values()), [workload.version_said()])


def measure(row: Row, options: argparse.Namespace, rabbitmq: RabbitMQ, shards: int) -> list[Figure]:
    """One row, on servers of its own; their start and the first hits are not part of it."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(appendonly="always"))
        setup = Setup(redis.url, rabbitmq.url, HAILWHALE_SHARDS=str(shards), **row.environ)
        stack.callback(rabbitmq.delete, setup.settings.queue, dead_name(setup.settings))
        worker, hailwail = stack.enter_context(setup.worker()), stack.enter_context(setup.hailwail())
        hail = stack.enter_context(setup.hail(options.server))
        assert redis.process
        assert rabbitmq.process
        farm = {
            "Hail": hail.process.pid,
            "RabbitMQ": rabbitmq.process.pid,
            "worker": worker.process.pid,
            "hailwail": hailwail.process.pid,
            "Redis": redis.process.pid,
        }
        store = connect(setup.settings)
        load = Load(setup.hail_port, bodies(row) if row.batch else [], row.batch)
        url = f"http://127.0.0.1:{setup.hail_port}/count?pk=site" + "&dimensions=services" * (not row.batch)
        attack(row, load, url, 1, 1)
        before, _ = emptied(store, setup, setup.accepted())
        used = {name: cpu_seconds(pid) for name, pid in farm.items()}
        spooled, already = setup.accepted_by("spool"), load.accepted
        ours = sum(os.times()[:4])
        began = time.monotonic()
        with Depth(rabbitmq, setup.settings.queue, load.may_send) as depth:
            asked = attack(row, load, url, options.clients, options.seconds)
            sent = time.monotonic()
            if setup.accepted_by("spool") > spooled:
                setup.flush_hail()  # else the last file rests for a while before hailwail takes it
            answered = load.accepted - already + (asked.answered - asked.refused if asked and not row.batch else 0)
            promised = max(setup.accepted(), before + answered)
            found, done = emptied(store, setup, promised)
        hits = found - before
        if not hits:
            raise SystemExit(f"no hit of {row.what} was counted; {load.refused} batches were refused")
        spooled = setup.accepted_by("spool") - spooled
        spent = {name: (cpu_seconds(pid) - used[name]) / hits * 1e6 for name, pid in farm.items()}
        spent["clients"] = (sum(os.times()[:4]) - ours) / hits * 1e6
        return [
            Figure(named(row, shards), [hits / (done - began)], "hits/s", row.target),
            *(Figure(f"  CPU of {name}", [us], "us/hit") for name, us in spent.items()),
            *(Figure(f"  memory of {name}, at most", [peak_mb(pid)], "MB") for name, pid in farm.items()),
            Figure("  accepted meanwhile", [(promised - before) / (sent - began)], "hits/s"),
            *(answers(asked) if asked else [Figure("  refused", [load.refused], "batches", 0, less=True)]),
            Figure("  went by the spool", [100 * spooled / hits], "% of hits"),
            Figure("  time it took after the last was sent", [100 * (done - sent) / (done - began)], "% of all"),
            Figure("  messages waiting, at most", [max(depth.seen)], ""),
            Figure("  messages waiting, second half less first", [depth.grown], "", WAITING, less=True),
            *settled(store, setup, promised),
        ]


def named(row: Row, shards: int) -> str:
    return f"{row.what}, counted" + (f", {shards} shards" if shards > 1 else "")


def answers(asked: Asked) -> list[Figure]:
    return [
        Figure("  answers", [asked.rate], "requests/s"),
        Figure("  p50", [asked.p50_ms], "ms"),
        Figure("  p99", [asked.p99_ms], "ms"),
        Figure("  refused", [asked.refused], "requests", 0, less=True),
    ]


def bodies(row: Row) -> list[bytes]:
    rng, now = random.Random(4), time.time()
    hits: list[dict[str, Any]] = list(workload.hits())
    for hit in hits:
        del hit["at"]
        if row.spread:
            hit["at"] = now - rng.random() * HOUR
    return [json.dumps(hits[first : first + row.batch]).encode() for first in range(0, len(hits), row.batch)]


def attack(row: Row, load: Load, url: str, clients: int, seconds: float) -> Asked | None:
    """All requests of a row, for so long; and how they were answered, where wrk sends them."""
    if row.gets:
        return wrk(url, seconds, GET_CLIENTS, different=bool(row.batch), batches=load.bodies)
    load.may_send.set()
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=load.send, args=(client, until)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return None


def counted(store: Store) -> int:
    """Hits of the pk, over yesterday to tomorrow: at midnight no test may lie."""
    today = int(time.time()) // DAY * DAY
    days = (today - DAY, today, today + DAY)
    return int(store.read(ACCOUNT, workload.PK[:1], [()], ["hits"], DAY, days).sum())


def emptied(store: Store, setup: Setup, promised: int) -> tuple[int, float]:
    """Hits counted, and when, once all that was promised is, and nothing is left in queue or spool; else when time is up."""
    deadline = time.monotonic() + DRAIN_S
    while True:
        found, at = counted(store), time.monotonic()
        if at > deadline or (found >= promised and not left(closed(store, setup, 0))):
            return found, at
        time.sleep(0.02)


def left(done: Audit) -> int:
    """Messages and hits that are not yet where they belong."""
    return (done.queued or 0) + done.whole.spooled + done.whole.in_flight


def closed(store: Store, setup: Setup, wait_s: float) -> Audit:
    return audit(store, ACCOUNT, Look(setup.settings), wait_s)


def settled(store: Store, setup: Setup, promised: int) -> list[Figure]:
    """Where each hit is, after a moment in which one that should not come may."""
    done = closed(store, setup, 5)
    found, whole = counted(store), done.whole
    missing = max(sum(line.missing for line in done.lines if line.missing > 0), promised - found, 0)
    invented = -sum(line.missing for line in done.lines if line.missing < 0)
    return [
        Figure("  left in queue and spool", [left(done)], "", 0, less=True),
        Figure("  lost", [missing + whole.dead_lettered], "hits", 0, less=True),
        Figure("  twice", [max(invented, found - whole.accepted)], "hits", 0, less=True),
    ]


if __name__ == "__main__":
    main()

"""From JSON lines to cells: Hail's checks, a message, a worker and Redis with AOF always, beside ClickHouse's engine (chDB).

    pip install '.[bench]'; python -m benchmarks.beside_clickhouse
    python -m benchmarks.beside_clickhouse --python ../other/bin/python --runs 5 --sizes 500 2000      a Python that has chdb

Both make the same cells of the same hits: 7 paths and the root, 2 pks, 3 intervals, the metrics hits and revenue. They are compared
by name first. Then by turns the rates, from blocks of JSON lines until the last is counted. HailWhale checks each hit, has Redis fsync
each call, and counts no message twice; chDB has no such promise. The rate is of two processes, Hail's part in one and the worker's in
the other, as they run on a farm, and of both parts in one process; Redis is one more.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import workload
from benchmarks.apply import apply_each, decoded
from benchmarks.report import Figure, report
from hail.accept import Acceptor
from hail.access import ALL_RIGHTS, Caller
from hail.formats.batch import Batch
from hail.packing import Packed
from hail.publish import Publisher
from hail.settings import DAY, HOUR, MINUTE
from tests.servers import RedisServer
from whale.count.apply import Applier
from whale.store import connect
from whale.store.base import Store

SIZES = (500, 2000, 10_000)
METRICS = ("hits", "revenue")
ROLLUP = Path(__file__).with_name("chdb_rollup.py")
Cells = dict[tuple[str, str, int, int], tuple[int, int]]
"""By pk, path, width and start: hits, and millionths of revenue."""


class HandedOn(Publisher):
    """Hands each message on, as it would go to the broker."""

    def __init__(self, size: int, hand: Callable[[bytes], object]):
        large = dict.fromkeys(("max_batch_hits", "message_max_hits"), size)
        large |= dict.fromkeys(("max_body_bytes", "message_max_bytes", "message_max_cells"), 10**9)
        self.settings = workload.settings(**large)
        super().__init__(self.settings, lambda: workload.NOW)
        self._hand, self._messages, self._hits = hand, 0, 0

    def publish(self, account: str, hits: Packed) -> None:
        self._hits += hits.hits
        shares, totals = {account: hits.parts}, {account: self._hits}
        self._hand(self.form.encode(workload.PUBLISHER, self._messages, int(workload.NOW * 1000), shares, totals, {}))
        self._messages += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="that has chdb")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="HITS")
    options = parser.parse_args()
    hits = list(workload.hits())
    lines = [json.dumps(hit).encode() for hit in hits]
    found: dict[tuple[int, str], list[float]] = {}
    with RedisServer(appendonly="always") as redis, TemporaryDirectory(prefix="hailwhale-benchmark-") as folder:
        rows, cells = Path(folder, "rows.jsonl"), Path(folder, "cells.tsv")
        rows.write_text("".join(json.dumps(row_of(hit)) + "\n" for hit in hits))
        chdb(options.python, rows, SIZES[-1], cells)
        counted(redis, made(lines, SIZES[-1]))
        compare(read_cells(cells), stored(redis, hits))
        for _ in range(options.runs):
            for size in options.sizes:
                rates = {
                    "chDB": chdb(options.python, rows, size),
                    "two processes": of_two(redis, lines, size),
                    "one process": counted(redis, made(lines, size)),
                }
                for name, rate in rates.items():
                    found.setdefault((size, name), []).append(rate)
    figures = []
    for (size, name), mine in found.items():
        figures.append(Figure(f"{size} rows, {name}", mine, "hits/s"))
        if name != "chDB":
            ratios = [ours / theirs for ours, theirs in zip(mine, found[size, "chDB"], strict=True)]
            figures.append(Figure("  beside chDB", ratios, "of its speed"))
    report("beside_clickhouse", figures, [workload.version_said()])


def row_of(hit: dict[str, Any]) -> dict[str, Any]:
    """A hit as a table has it; times in whole seconds, as its buckets need them."""
    ((country, region),) = hit["dimensions"]["country"].items()
    device, page = hit["dimensions"]["device"], hit["dimensions"]["page"]
    named = {"country": country, "region": region, "device": device, "page": page}
    return {"p1": hit["pk"][0], "p2": hit["pk"][1], "at": int(hit["at"]), **named, "revenue": hit["metrics"]["revenue"]}


def chdb(python: str, rows: Path, size: int, *cells: Path) -> float:
    """Hits/s in a process of its own, its start not counted."""
    run = subprocess.run([python, ROLLUP, rows, str(size), *cells], capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"chDB: {run.stderr[-2000:]}")
    return float(run.stdout.split()[0])


def made(lines: list[bytes], size: int) -> Iterator[bytes]:
    """Messages of blocks of lines, each made when it is asked for."""
    messages: list[bytes] = []
    publisher = HandedOn(size, messages.append)
    batch = Batch(Acceptor(publisher.settings, publisher, lambda: workload.NOW)).batch
    caller = Caller(workload.ACCOUNT, ALL_RIGHTS)
    for body in [b"\n".join(lines[first : first + size]) for first in range(0, len(lines), size)]:
        environ = {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": "application/x-ndjson",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": BytesIO(body),
        }
        answer = batch(caller, environ)
        assert answer.status.startswith("202"), answer.status
        yield from messages
        messages.clear()


def counted(redis: RedisServer, messages: Iterator[bytes]) -> float:
    """Hits/s of one worker on an empty Redis, from the first message asked for until the last is counted."""
    with redis.client(socket_timeout=60) as client:
        client.flushall()
    in_force = workload.settings(redis_url=redis.url)
    applier = Applier(connect(in_force), in_force)
    began = time.perf_counter()
    apply_each(applier, (decoded([body]) for body in messages))
    return workload.HITS / (time.perf_counter() - began)


def of_two(redis: RedisServer, lines: list[bytes], size: int) -> float:
    """`counted`, with Hail's part in a process of its own, which begins when the first message is asked for."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=send, args=(there, lines, size))
    process.start()
    there.close()
    rate = counted(redis, received(here))
    process.join()
    return rate


def send(pipe: Connection, lines: list[bytes], size: int) -> None:
    pipe.recv()
    for message in made(lines, size):
        pipe.send_bytes(message)
    pipe.close()


def received(pipe: Connection) -> Iterator[bytes]:
    pipe.send("begin")
    while True:
        try:
            yield pipe.recv_bytes()
        except EOFError:
            return


def read_cells(path: Path) -> Cells:
    cells: Cells = {}
    for line in path.read_text().splitlines():
        pk, name, width, start, hits, revenue = line.split("\t")
        cells[pk, name, int(width), int(start)] = int(hits), int(revenue)
    return cells


def stored(redis: RedisServer, hits: list[dict[str, Any]]) -> Cells:
    """All cells of these hits' paths that are not zero, under chDB's names."""
    store: Store = connect(workload.settings(redis_url=redis.url))
    paths = {path: None for hit in hits for path in paths_of(hit)}
    cells: Cells = {}
    for pk in (workload.PK[:1], workload.PK):
        for width in (MINUTE, HOUR, DAY):
            starts = list(range(workload.START // width * width, workload.START + workload.SPAN_S, width))
            read = store.read(workload.ACCOUNT, pk, list(paths), METRICS, width, starts)
            for nth, path in enumerate(paths):
                for start, (count, revenue) in zip(starts, read[nth].T.tolist(), strict=True):
                    if count or revenue:
                        cells["/".join(pk), "/".join(path), width, start] = count, revenue
    return cells


def paths_of(hit: dict[str, Any]) -> list[tuple[str, ...]]:
    ((country, region),) = hit["dimensions"]["country"].items()
    device, page = hit["dimensions"]["device"], hit["dimensions"]["page"]
    below = [("country", country, region), ("device", device), ("page", page)]
    return [(), *(path[:levels] for path in below for levels in range(1, len(path) + 1))]


def compare(theirs: Cells, ours: Cells) -> None:
    """Ends the benchmark where a cell differs."""
    differ = [cell for cell in {**theirs, **ours} if theirs.get(cell) != ours.get(cell)]
    if differ:
        cell = differ[0]
        raise SystemExit(f"{len(differ)} cells differ, such as {cell}: {theirs.get(cell)}, and here {ours.get(cell)}")
    print(f"{len(ours)} cells are equal")


if __name__ == "__main__":
    main()

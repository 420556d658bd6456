"""How many viewers one process of the live service carries, and that counting is not slower for them.

    python -m benchmarks.live                  # 100, 300, 1,000 viewers, half of them of all pks; 40 hits a second are shown
    python -m benchmarks.live --viewers 1000 --seconds 20

Viewers are greenlets of one process beside it, which reads their streams. Delay: from an event's publication to its last viewer, and
to each of them. An applier counts meanwhile: alone, beside viewers of another pk, and beside viewers of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks.report import Figure, report
from hail.message import ACCOUNT
from tests.contract.hits import NOW, message
from tests.farm import Farm
from tests.servers import RedisServer, wait_until
from whale.count.apply import Applier
from whale.events import Event, encode
from whale.store import connect

READER = """
import gevent.monkey; gevent.monkey.patch_all()
import gevent, json, socket, sys, time
port, viewers, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
delays, opened = [], 0
def view(number):
    global opened
    one = socket.create_connection(("127.0.0.1", port))
    pk = "?pk=shop" if number % 2 else ""
    one.sendall(f"GET /live{pk} HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n".encode())
    rest, first = b"", True
    while data := one.recv(65536):
        now = time.time()
        opened += first and b"ping" in data
        first = first and b"ping" not in data
        *lines, rest = (rest + data).split(b"\\n")
        for line in lines:
            if line.startswith(b'data: {"sent":') and line.endswith(b"}"):
                delays.append(now - json.loads(line[6:])["sent"])
jobs = [gevent.spawn(view, number) for number in range(viewers)]
while opened < viewers: gevent.sleep(0.05)
print("open", flush=True)
gevent.sleep(seconds)
delays.sort()
print(json.dumps({"events": len(delays), "p50": delays[len(delays) // 2], "p99": delays[int(len(delays) * 0.99)]}), flush=True)
"""


def carried(farm: Farm, viewers: int, seconds: float) -> dict[str, Any]:
    """40 events a second for so many viewers."""
    store = connect(farm.settings)
    port = farm.live_url.rpartition(":")[2]
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, port, str(viewers), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout
    assert reader.stdout.readline() == "open\n"
    (worker,) = (psutil.Process(pid) for pid in farm.live.children())
    before, began = sum(worker.cpu_times()[:2]), time.monotonic()
    sent = 0
    while time.monotonic() < began + seconds - 1:
        hits = [
            Event("hit", ("shop",), msgspec.Raw(json.dumps({"sent": time.time(), "paths": "x" * 200}).encode()))
            for _ in range(8)
        ]
        store.publish(ACCOUNT, encode(hits))
        sent += 8
        time.sleep(max(0.0, began + sent / 40 - time.monotonic()))
    cpu = (sum(worker.cpu_times()[:2]) - before) / (time.monotonic() - began)
    memory = worker.memory_info().rss
    found: dict[str, Any] = json.loads(reader.stdout.readline())
    reader.wait(60)
    wait_until(lambda: not store.looked(ACCOUNT), what="the viewers to be gone")
    return {**found, "viewers": viewers, "lost": sent * viewers - found["events"], "cpu": cpu, "mb": memory / 1e6}


def counted(farm: Farm, looked: tuple[str, ...] | None, runs: int = 5) -> list[float]:
    """Hits a second that an applier counts while a pk is looked at; of some runs."""
    store = connect(farm.settings)
    rates = []
    for run in range(runs):
        applier = Applier(store, farm.settings)
        hits = [{"pk": "shop", "dimensions": {"country": f"c{i % 50}"}, "metrics": {"revenue": i}} for i in range(500)]
        messages = [
            message(hits, farm.settings, ACCOUNT, seq, publisher=f"{hash((looked, run)) & (2**64 - 1):016x}")
            for seq in range(80)
        ]
        if looked is not None:
            store.look({ACCOUNT: [looked]}, 60)
        began = time.perf_counter()
        for some in range(0, len(messages), 4):
            applier.apply(messages[some : some + 4], NOW)
        rates.append(500 * len(messages) / (time.perf_counter() - began))
        wait_until(lambda applier=applier: not applier.witness._live.waiting(), what="the last sums")
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, nargs="*", default=[100, 300, 1000])
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    figures = []
    with RedisServer() as redis, tempfile.TemporaryDirectory() as folder:
        farm = Farm(Path(folder), redis, None, live_max_viewers=max(options.viewers))
        try:
            farm.start_live()
            for viewers in options.viewers:
                said = carried(farm, viewers, options.seconds)
                for name, unit in (("cpu", "of a core"), ("mb", "MB"), ("p50", "s"), ("p99", "s"), ("lost", "events")):
                    figures.append(Figure(f"{viewers} viewers, {name}", [said[name]], unit))
            for name, looked in (("nobody looks", None), ("another pk", ("other",)), ("this pk", ("shop",))):
                figures.append(Figure(f"counted while {name}", counted(farm, looked), "hits/s"))
        finally:
            farm.close()
    report("live", figures, ["40 events a second for each viewer; delays are those of each viewer"])


if __name__ == "__main__":
    main()

"""How many bytes of Redis a counted cell takes, a quiet pk, and a remembered hit id; keys and dictionaries counted.

    python -m benchmarks.memory             the three, in about a minute
    python -m benchmarks.memory --detail    also where the bytes of the reference workload are, by kind of key

Bytes are what `used_memory` has grown by since Redis was empty, so tables, keys and slack of the allocator are in.
"""

import argparse
import random
from collections import Counter, defaultdict
from collections.abc import Callable

from benchmarks import workload
from benchmarks.apply import decoded
from benchmarks.report import Figure, report
from hail.hit import encode_hit, parse_hit
from hail.message import decode_message, encode_message
from hail.settings import DAY, Settings, load
from tests.servers import RedisServer
from whale.cells import Level, targets
from whale.count.apply import Applier
from whale.count.denormalize import Branches, coalesce, denormalize, finest_of
from whale.count.extras import places_of
from whale.store import connect

CELL_BYTES, QUIET_KB, ID_BYTES = 24, 150, 40
SIZES = (125, 500, 2000, 10_000)
QUIET = {
    "pk": "quiet",
    "dimensions": {"plan": "free", "source": {"ad": "spring"}},
    "metrics": {"revenue": 9.5, "cost": 2},
}
IDS = (100_000, 1_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detail", action="store_true")
    parser.add_argument("--hits", type=int, default=workload.HITS)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, metavar="HITS", help="hits an apply")
    parser.add_argument("--ids", type=int, nargs="*", default=IDS)
    options = parser.parse_args()
    figures = []
    with RedisServer(appendonly="no") as redis:
        settings = workload.settings(redis_url=redis.url)
        cells = non_zero_cells(settings, options.hits)
        print(f"{cells} cells of the reference workload are not zero")
        for size in options.sizes:
            grown = growth(redis, lambda size=size: apply_workload(settings, size, options.hits))
            what = f"a cell, applied {size} hits at a time"
            figures.append(Figure(what, [grown / cells], "bytes", CELL_BYTES, less=True))
            if options.detail:
                print(f"\n{size} hits an apply: {grown} bytes")
                detail(redis)
        grown = growth(redis, lambda: apply_a_quiet_year(redis))
        figures.append(Figure("a quiet pk after a year", [grown / 1000], "KB", QUIET_KB, less=True))
        for count in options.ids:
            grown = growth(redis, lambda count=count: claim(settings, count))
            figures.append(Figure(f"a hit id, of {count}", [grown / count], "bytes", ID_BYTES, less=True))
    report("memory", figures, [workload.version_said()])


def growth(redis: RedisServer, fill: Callable[[], None]) -> int:
    """Bytes that an empty Redis grows by; its scripts are loaded, and its connections are new, both times."""
    apply_workload(workload.settings(redis_url=redis.url), 10, 10)
    with redis.client(socket_timeout=60) as client:
        client.flushall()
        client.client_kill_filter(skipme=True)
        before = int(client.info("memory")["used_memory"])
    fill()
    with redis.client() as client:
        client.client_kill_filter(skipme=True)
        return int(client.info("memory")["used_memory"]) - before


def non_zero_cells(settings: Settings, hits: int) -> int:
    level: Level = {}
    finest = finest_of(settings.periods)
    for body in workload.messages(settings, 10_000, hits):
        for message in decoded([body]):
            coalesce(message.hits, places_of(message.hits, Branches("a"))[0], finest, level)
    found: Counter[object] = Counter()
    for interval, added in denormalize(level, finest, settings.periods, "UTC", workload.NOW).items():
        for branch, start, amounts in ((b, start, a) for start, sums in added.items() for b, a in sums.items()):
            for pk, paths in targets(branch.pk, branch.paths):
                for path in paths:
                    for metric, amount in amounts.items():
                        found[pk, path, interval, start, metric] += amount
    return sum(1 for amount in found.values() if amount)


def apply_workload(settings: Settings, size: int, hits: int) -> None:
    applier = Applier(connect(settings), settings)
    for body in workload.messages(settings, size, hits):
        applier.apply(decoded([body]), workload.NOW)


def apply_a_quiet_year(redis: RedisServer) -> None:
    """6 paths, 3 metrics, 10 hits a day, the default periods. Redis's clock stands still, so what would expire is deleted."""
    settings = load({"HAILWHALE_REDIS_URL": redis.url})
    applier = Applier(connect(settings), settings)
    rng = random.Random(1)
    deadlines: dict[bytes, float] = {}
    with redis.client() as client:
        for day in range(365):
            midnight = workload.START // DAY * DAY + day * DAY
            for nth, at in enumerate(sorted(midnight + rng.random() * DAY for _ in range(10))):
                wire = encode_hit(parse_hit({**QUIET, "at": at}, settings, at))
                seq = day * 10 + nth
                body = encode_message(workload.PUBLISHER, seq, workload.ACCOUNT, seq + 1, int(at * 1000), [wire])
                applier.apply([decode_message(body)], at)
            now = float(midnight + DAY)
            new = [key for key in client.scan_iter(count=10_000) if key not in deadlines]
            pipeline = client.pipeline(transaction=False)
            for key in new:
                pipeline.ttl(key)
            deadlines.update(
                (key, now + ttl if ttl > 0 else now * 2) for key, ttl in zip(new, pipeline.execute(), strict=True)
            )
            gone = [key for key, deadline in deadlines.items() if deadline <= now]
            if gone:
                client.delete(*gone)
                for key in gone:
                    del deadlines[key]


def claim(settings: Settings, count: int) -> None:
    store = connect(settings)
    rng = random.Random(1)
    for first in range(0, count, 2000):
        owner = workload.PUBLISHER, first
        store.claim(workload.ACCOUNT, [(f"{rng.getrandbits(128):032x}", owner) for _ in range(2000)], workload.NOW)


def detail(redis: RedisServer) -> None:
    """Keys, bytes and entries, by what a key is for: its table is in whale/store/redis/keys.py."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    with redis.client() as client:
        for key in client.scan_iter(count=10_000):
            parts = key.decode().split(":")
            name = ":".join(
                parts[2:3] if parts[2:3] != ["r"] else ["r", parts[4], "*", parts[6], *"ob"[: len(parts) - 7]]
            )
            kind = client.type(key).decode()
            row = sums[name, client.object("encoding", key).decode()]
            row[0] += 1
            row[1] += client.memory_usage(key, samples=0)
            if kind == "hash":
                row[2] += client.hlen(key)
            elif kind == "string":
                raw = client.get(key)
                row[2] += sum(1 for i in range(0, len(raw), 8) if any(raw[i : i + 8]))
    for (name, encoding), (keys, size, entries) in sorted(sums.items(), key=lambda item: -item[1][1]):
        print(
            f"{name:20} {encoding:10} {keys:6} keys {size:9} bytes {entries:8} entries {size / max(1, entries):7.1f} each"
        )


if __name__ == "__main__":
    main()

"""How many hits a second does one worker process apply to one Redis: decode, claim, coalesce, denormalize, one Lua call.

    python -m benchmarks.apply                                  without ids and with ids, no AOF
    python -m benchmarks.apply --appendonly always --of quiet --sizes 2000     5,000 quiet pks, when the store knows them
    python -m benchmarks.apply --beside baseline.py --runs 5    each size right after a baseline, figures as ratios to it
    python -m benchmarks.apply --appendonly always --mirror 32  each size by turns as usual, and with busy buckets written whole
    python -m benchmarks.apply --profile 500                    where the time goes, of the worker and of Redis

A baseline is a script that takes REDIS_PORT and HITS, does the reference workload its own way on that Redis (which it may flush),
and prints lines as `   500 hits a call:    31000 hits/s`. --beside may come several times; after each script the sizes that it
printed are measured here.
"""

import argparse
import cProfile
import pstats
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from benchmarks import workload
from benchmarks.report import Figure, report
from hail.message import Message, decode_message
from tests.servers import RedisServer
from whale.count.apply import Applier
from whale.store import connect

messages_of = None
with suppress(ImportError):  # a checkout from before there were columns, measured with --ours
    from hail.columns import messages_of

SIZES = (60, 125, 500, 2000, 10_000)
MESSAGE = 500
RATIO, RATIO_WITH_IDS = 0.85, 0.6


@dataclass(frozen=True)
class Run:
    rate: float  # hits/s
    worker_us: float  # a hit
    redis_us: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--appendonly", choices=("no", "everysec", "always"), default="no")
    parser.add_argument("--beside", metavar="SCRIPT", action="append", default=[])
    parser.add_argument("--hits", type=int, default=workload.HITS)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="HITS")
    parser.add_argument("--ids", choices=("no", "yes", "both"), default="both")
    parser.add_argument("--mirror", type=float, metavar="MB", help="also with HAILWHALE_MIRROR_MB")
    parser.add_argument("--profile", type=int, metavar="HITS", help="profile calls of so many hits, and stop")
    parser.add_argument("--of", choices=("reference", "quiet"), default="reference", help="workload")
    options = parser.parse_args()
    if options.of == "quiet":
        options.ids, options.hits = "no", min(options.hits, workload.QUIET_HITS)
    kinds = {"no": (False,), "yes": (True,), "both": (False, True)}[options.ids]
    with RedisServer(appendonly=options.appendonly) as redis:
        if options.profile:
            profile(redis, made(options, options.profile, kinds[-1]), options.profile, options.hits)
            return
        bodies = {(size, ids): made(options, size, ids) for size in options.sizes for ids in kinds}
        known = {size: made(options, size, False) if options.of == "quiet" else [] for size in options.sizes}
        runs: dict[tuple[int, bool], list[Run]] = {key: [] for key in bodies}
        ratios: dict[tuple[int, bool], list[float]] = {key: [] for key in bodies}
        whole: dict[tuple[int, bool], list[Run]] = {key: [] for key in bodies}
        for _ in range(options.runs):
            for script in options.beside or [None]:
                found = baseline(script, redis, options.hits) if script else dict.fromkeys(options.sizes, 0.0)
                for size, theirs in found.items():
                    for ids in kinds if size in options.sizes else ():
                        ours = measure(redis, bodies[size, ids], size, options.hits, known[size])
                        runs[size, ids].append(ours)
                        if options.mirror:
                            mine = measure(redis, bodies[size, ids], size, options.hits, known[size], options.mirror)
                            whole[size, ids].append(mine)
                        if theirs:
                            ratios[size, ids].append(ours.rate / theirs)
    figures = []
    for (size, ids), mine in runs.items():
        what = f"{size} hits a call, {'with' if ids else 'without'} ids" + ", quiet pks" * (options.of == "quiet")
        if mine:
            figures.append(Figure(what, [run.rate for run in mine], "hits/s"))
            figures.append(Figure("  worker", [run.worker_us for run in mine], "us/hit"))
            figures.append(Figure("  Redis", [run.redis_us for run in mine], "us/hit"))
        if whole[size, ids]:
            by_turns = [*zip(whole[size, ids], mine, strict=True)]
            figures.append(Figure("  written whole", [run.rate for run, _ in by_turns], "hits/s"))
            figures.append(
                Figure("    worker, ratio", [run.worker_us / usual.worker_us for run, usual in by_turns], "")
            )
            figures.append(Figure("    Redis, ratio", [run.redis_us / usual.redis_us for run, usual in by_turns], ""))
        if ratios[size, ids]:
            target = RATIO_WITH_IDS if ids else RATIO
            figures.append(Figure("  ratio to the baseline", ratios[size, ids], "", target))
    report(f"apply-appendonly-{options.appendonly}", figures, [workload.version_said()])


def made(options: argparse.Namespace, size: int, ids: bool) -> list[bytes]:
    """Messages of at most 500 hits."""
    if options.of == "quiet":
        return workload.packed(workload.settings(), min(size, MESSAGE), workload.quiet_hits(options.hits))
    return workload.messages(workload.settings(), min(size, MESSAGE), options.hits, ids)


def decoded(bodies: Sequence[bytes]) -> list[Message]:
    return [part for body in bodies for part in (messages_of(body) if messages_of else [decode_message(body)])]


def measure(
    redis: RedisServer, bodies: list[bytes], size: int, hits: int, known: Sequence[bytes] = (), mirror_mb: float = 0.0
) -> Run:
    """All messages on an empty Redis by a worker that knows nothing yet, or only those that it has applied before.

    It takes one group after the other, as it does where messages wait.
    """
    with redis.client(socket_timeout=60) as client:
        client.flushall()
        mirror = {"mirror_mb": mirror_mb} if mirror_mb else {}  # a checkout from before may not know it
        settings = workload.settings(redis_url=redis.url, **mirror)
        applier = Applier(connect(settings), settings)
        apply_each(applier, groups(known, size))
        wall, mine, theirs = time.perf_counter(), time.process_time(), redis_cpu(client)
        apply_each(applier, groups(bodies, size))
        wall = time.perf_counter() - wall
        worker = (time.process_time() - mine) / hits * 1e6
        return Run(hits / wall, worker, (redis_cpu(client) - theirs) / hits * 1e6)


def groups(bodies: Sequence[bytes], size: int) -> Iterator[list[Message]]:
    """Of so many hits each, decoded when their turn comes."""
    together = max(1, size // MESSAGE)
    return (decoded(bodies[first : first + together]) for first in range(0, len(bodies), together))


def apply_each(applier: Applier, groups: Iterable[list[Message]]) -> None:
    if hasattr(applier, "apply_each"):
        applier.apply_each(groups, workload.NOW)
    else:  # a checkout from before Redis worked while the next group is made ready
        for group in groups:
            applier.apply(group, workload.NOW)


def baseline(script: str, redis: RedisServer, hits: int) -> dict[int, float]:
    """Hits a second by hits a call, as a baseline says."""
    said = subprocess.run(
        [sys.executable, script, str(redis.port), str(hits)], capture_output=True, text=True, check=True
    ).stdout
    lines = re.findall(r"(\d+) hits a call:\s*([\d.]+) hits/s", said)
    return {int(size): float(rate) for size, rate in lines}


def profile(redis: RedisServer, bodies: list[bytes], size: int, hits: int) -> None:
    with redis.client() as client:
        client.config_resetstat()
        with cProfile.Profile() as watched:
            measure(redis, bodies, size, hits)
        pstats.Stats(watched).sort_stats("tottime").print_stats(25)
        for name, row in sorted(client.info("commandstats").items(), key=lambda item: -item[1]["usec"])[:12]:
            print(f"{name.removeprefix('cmdstat_'):20} {row['calls']:9} calls {row['usec'] / hits:8.2f} us/hit")


def redis_cpu(client: object) -> float:
    used = client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


if __name__ == "__main__":
    main()

"""What do metrics that are no sums cost a worker? Hits a second with them, each right after the same hits with sums alone.

    python -m benchmarks.kinds                          500 hits a call, no AOF
    python -m benchmarks.kinds --sizes 60 500 2000 --runs 5
    python -m benchmarks.kinds --profile distinct       where the time goes, of the worker and of Redis

The flood is one message of 2,000 hits, each of another visitor, at 64 paths of two pks: how long does Redis do nothing else?
"""

import argparse
from collections.abc import Iterable

from benchmarks import workload
from benchmarks.apply import MESSAGE, Run, measure, profile
from benchmarks.report import Figure, report
from tests.servers import RedisServer

SUMS = "sums"
WORKLOADS = {
    SUMS: (),
    "distinct": ("distinct",),
    "extremes": ("min", "max", "last"),
    "quantile": ("quantile",),
    "extremes-quantile": ("min", "max", "last", "quantile"),
}
FLOOD_HITS, FLOOD_PATHS = 2000, 64
LONGEST_MS = 50.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--appendonly", choices=("no", "everysec", "always"), default="no")
    parser.add_argument("--hits", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=(500,), metavar="HITS")
    parser.add_argument("--only", choices=WORKLOADS, help="beside sums alone, and no flood")
    parser.add_argument("--profile", choices=WORKLOADS, help="profile one kind of hits, and stop")
    options = parser.parse_args()
    with RedisServer(appendonly=options.appendonly) as redis:
        if options.profile:
            for size in options.sizes:
                profile(redis, bodies_of(options.profile, size, options.hits), size, options.hits)
            return
        figures = []
        names = (SUMS, options.only) if options.only else tuple(WORKLOADS)
        for size in options.sizes:
            bodies = {name: bodies_of(name, size, options.hits) for name in names}
            runs: dict[str, list[Run]] = {name: [] for name in names}
            for _ in range(options.runs):
                for name in names:
                    runs[name].append(measure(redis, bodies[name], size, options.hits))
            for name, mine in runs.items():
                figures.append(Figure(f"{size} hits a call, {name}", [run.rate for run in mine], "hits/s"))
                figures.append(Figure("  worker", [run.worker_us for run in mine], "us/hit"))
                figures.append(Figure("  Redis", [run.redis_us for run in mine], "us/hit"))
                if name != SUMS:
                    shares = [run.rate / sums.rate for run, sums in zip(mine, runs[SUMS], strict=True)]
                    figures.append(Figure("  ratio to sums alone", shares, ""))
        for kinds in () if options.only else (["distinct"], ["min", "max", "last"]):
            longest = [flood(redis, kinds) for _ in range(options.runs)]
            figures.append(Figure(f"flood of {', '.join(kinds)}: longest call", longest, "ms", LONGEST_MS, less=True))
    report(f"kinds-appendonly-{options.appendonly}", figures, [workload.version_said()])


def bodies_of(name: str, size: int, hits: int) -> list[bytes]:
    return workload.messages(workload.settings(), min(size, MESSAGE), hits, kinds=WORKLOADS[name], of=workload.HITS)


def flood(redis: RedisServer, kinds: Iterable[str]) -> float:
    """Milliseconds of the longest call of Redis."""
    in_force = workload.settings()
    hits = [
        {
            "pk": list(workload.PK),
            "at": workload.START + i / FLOOD_HITS,
            "dimensions": [[f"d{path}"] for path in range(FLOOD_PATHS - 1)],
            "metrics": {kind: {kind: f"visitor {i}" if kind == "distinct" else i} for kind in kinds},
        }
        for i in range(FLOOD_HITS)
    ]
    bodies = workload.packed(in_force, FLOOD_HITS, hits)
    with redis.client() as client:
        client.config_set("slowlog-log-slower-than", 0)
        client.config_set("slowlog-max-len", 10_000)
        client.slowlog_reset()
        measure(redis, bodies, FLOOD_HITS, FLOOD_HITS)
        calls = client.slowlog_get(10_000)
        client.config_set("slowlog-log-slower-than", 10_000)
    return max(call["duration"] for call in calls if call["command"].startswith(b"EVAL")) / 1000


if __name__ == "__main__":
    main()

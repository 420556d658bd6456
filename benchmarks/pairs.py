"""This checkout beside another: a benchmark of both by turns, and of each figure the ratio, in pairs.

    python -m benchmarks.pairs ../before query
    python -m benchmarks.pairs ../before apply --pairs 7 -- --sizes 500 10000 --ids yes --runs 1
    python -m benchmarks.pairs ../before accept -- --seconds 3
    python -m benchmarks.pairs --ours ../before end_to_end -- --seconds 6 --shards 1 64

The other checkout has an environment of its own (`make .venv/.test`). Each runs its own benchmark; with --ours this checkout's
benchmark measures both, which works where it asks the other for nothing that it does not have. Who is first changes with each pair,
so that what else the machine does meets both alike. A ratio is a speed: above 1 this checkout is faster, also where a figure is a
time. Where a figure misses a target of 0 (hits lost, requests refused), it is said.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.report import Figure, report

HERE = Path(__file__).resolve().parent.parent
TIMES = ("ms", "us", "us/hit", "s")
SPEEDS = ("hits/s", "requests/s", "/s")
SIZES = ("MB", "KB", "bytes")


class Measured(NamedTuple):
    value: float
    unit: str

    def beside(self, other: "Measured") -> float:
        """How many times as fast this is, or as large."""
        return other.value / self.value if self.unit in TIMES else self.value / other.value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("benchmark", help="a module of this folder, as query")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--ours", action="store_true", help="measure both by the benchmark of this checkout")
    own, given = sys.argv[1:], []
    if "--" in own:
        own, given = own[: own.index("--")], own[own.index("--") + 1 :]
    options = parser.parse_args(own)
    trees = {"here": HERE, "there": options.other.resolve()}
    values: dict[str, dict[str, list[Measured]]] = defaultdict(lambda: defaultdict(list))
    for number in range(options.pairs):
        for where in sorted(trees, reverse=bool(number % 2)):
            benchmarks = HERE if options.ours else trees[where]
            for name, found in measured(trees[where], benchmarks, options.benchmark, given).items():
                values[name][where].append(found)
        for name, both in values.items():
            if len(both["here"]) == len(both["there"]) == number + 1:
                ratio = both["here"][-1].beside(both["there"][-1])
                print(f"pair {number + 1}: {ratio:.3f}  {name}", flush=True)
    figures = []
    for name, both in values.items():
        ratios = [ours.beside(theirs) for ours, theirs in zip(both["here"], both["there"], strict=False)]
        if ratios:
            kind = "size" if both["here"][0].unit in SIZES else "speed"
            figures.append(Figure(name, ratios, f"of its {kind}"))
            figures += [
                Figure(f"  {where}", [one.value for one in both[where]], both[where][0].unit) for where in trees
            ]
    report(f"pairs-{options.benchmark}", figures)


def measured(tree: Path, benchmarks: Path, benchmark: str, given: list[str]) -> dict[str, Measured]:
    """By name: the median of each time, speed and size above 0 that a benchmark reports of a checkout."""
    results = benchmarks / "benchmarks/results"
    with TemporaryDirectory(prefix="hailwhale-pairs-") as folder:
        Path(folder, "benchmarks").symlink_to(benchmarks / "benchmarks")
        run = subprocess.run(
            [tree / ".venv/bin/python", "-P", "-m", f"benchmarks.{benchmark}", *given],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": f"{folder}:{tree}"},
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode:
        sys.exit(f"{tree}: {run.stderr[-2000:]}")
    newest = max(results.glob(f"{benchmark}*.json"), key=lambda path: path.stat().st_mtime)
    figures = json.loads(newest.read_text())["figures"]
    found: dict[str, Measured] = {}
    above = ""
    for figure in figures:  # a name that is set in belongs to the one above
        name, median = figure["what"], statistics.median(figure["values"])
        above, name = (above, f"{above}: {name.strip()}") if name.startswith(" ") else (name, name)
        if figure["target"] == 0 and median > 0:
            print(f"{tree.name}: {name}: {median:g}", flush=True)
        if median and figure["unit"] in (*TIMES, *SPEEDS, *SIZES):
            found[name] = Measured(median, figure["unit"])
    return found


if __name__ == "__main__":
    main()

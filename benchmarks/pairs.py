"""This checkout beside another: a benchmark of both by turns, and of each figure the ratio, in pairs.

    python -m benchmarks.pairs ../before query
    python -m benchmarks.pairs ../before apply --pairs 7 -- --sizes 500 10000 --ids yes --runs 1
    python -m benchmarks.pairs ../before accept -- --seconds 3

The other checkout has an environment of its own (`make .venv/.test`). Who is first changes with each pair, so that what else the
machine does meets both alike. A ratio is a speed: above 1 this checkout is faster, also where a figure is a time.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.report import Figure, report

HERE = Path(__file__).resolve().parent.parent
TIMES = ("ms", "us", "us/hit", "s")
SPEEDS = ("hits/s", "requests/s", "/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("benchmark", help="a module of this folder, as query")
    parser.add_argument("--pairs", type=int, default=7)
    own, given = sys.argv[1:], []
    if "--" in own:
        own, given = own[: own.index("--")], own[own.index("--") + 1 :]
    options = parser.parse_args(own)
    ratios: dict[str, list[float]] = {}
    for number in range(options.pairs):
        both = (HERE, options.other.resolve())
        found = {tree: measured(tree, options.benchmark, given) for tree in both[:: 1 if number % 2 else -1]}
        ours, theirs = (found[tree] for tree in both)
        for name, (value, unit) in ours.items():
            if name in theirs and value and theirs[name][0]:
                ratio = theirs[name][0] / value if unit in TIMES else value / theirs[name][0]
                ratios.setdefault(name, []).append(ratio)
                print(f"pair {number + 1}: {ratio:.3f}  {name}", flush=True)
    report(f"pairs-{options.benchmark}", [Figure(name, found, "of its speed") for name, found in ratios.items()])


def measured(tree: Path, benchmark: str, given: list[str]) -> dict[str, tuple[float, str]]:
    """By name and unit: the median of each time and speed that it reports."""
    command = [tree / ".venv/bin/python", "-m", f"benchmarks.{benchmark}", *given]
    run = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{tree}: {run.stderr[-2000:]}")
    newest = max((tree / "benchmarks/results").glob(f"{benchmark}*.json"), key=lambda path: path.stat().st_mtime)
    figures = json.loads(newest.read_text())["figures"]
    found: dict[str, tuple[float, str]] = {}
    above = ""
    for figure in figures:  # a name that is set in belongs to the one above
        name = figure["what"]
        above, name = (above, f"{above}: {name.strip()}") if name.startswith(" ") else (name, name)
        if figure["unit"] in (*TIMES, *SPEEDS):
            found[name] = statistics.median(figure["values"]), figure["unit"]
    return found


if __name__ == "__main__":
    main()

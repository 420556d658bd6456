"""How benchmarks say what they measured: machine, versions, then a line a figure with spread and target."""

import json
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

LIBRARIES = (
    "msgspec",
    "redis",
    "hiredis",
    "numpy",
    "celery",
    "kombu",
    "amqp",
    "bottle",
    "gunicorn",
    "gevent",
    "granian",
)
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One thing measured, once a run. target: at least this, or at most where `less` is better."""

    what: str
    values: Sequence[float]
    unit: str
    target: float | None = None
    less: bool = False

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> str:
        return f"{_number(min(self.values))} to {_number(max(self.values))}" if len(self.values) > 1 else "one run"

    @property
    def wanted(self) -> str:
        return "" if self.target is None else f"{'<=' if self.less else '>='} {_number(self.target)}"

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        met = self.median <= self.target if self.less else self.median >= self.target
        missed = f"short by {abs(self.median / self.target - 1):.0%}" if self.target else "missed"
        return "ok" if met else missed


def report(name: str, figures: Sequence[Figure], notes: Sequence[str] = ()) -> None:
    """Prints the figures, and keeps them in benchmarks/results/ as JSON and as rows of a Markdown table."""
    about = surroundings()
    print(f"\n{name}, {about['at']}\n{about['machine']}; load {about['load']}\n{about['versions']}")
    rows = [(f.what, f"{_number(f.median)} {f.unit}", f.spread, f.wanted, f.verdict) for f in figures]
    head = ("what", "median", "min to max", "target", "")
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for note in notes:
        print(note)
    RESULTS.mkdir(exist_ok=True)
    kept = {"name": name, **about, "figures": [asdict(figure) for figure in figures], "notes": list(notes)}
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    table = ["| what | median | min to max | target | |", "| --- | --- | --- | --- | --- |"]
    table += ["| " + " | ".join(row) + " |" for row in rows]
    (RESULTS / f"{name}.md").write_text("\n".join(table) + "\n")


def surroundings() -> dict[str, str]:
    """The machine, its load and the versions of what ran."""
    said = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", said)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{cores} cores ({model[1] if model else platform.machine()}), {memory:.0f} GB, {platform.system()} {platform.release()}"
    servers = [f"Python {platform.python_version()}", f"Redis {_redis()}", f"RabbitMQ {_rabbitmq()}"]
    return {
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": machine,
        "load": f"{os.getloadavg()[0]:.1f}",
        "versions": ", ".join([*servers, *(f"{library} {version(library)}" for library in LIBRARIES)]),
    }


def _redis() -> str:
    try:
        said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return "none"
    found = re.search(r"v=([\d.]+)", said)
    return found[1] if found else "unknown"


def _rabbitmq() -> str:
    folders = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))
    return folders[-1].name.partition("-")[2] if folders else "none"


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"

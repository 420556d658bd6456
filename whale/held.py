"""What programs without /metrics hold in memory: a worker and hailwail write it to files, for Prometheus and for the doctor.

`<data>/held/<program>-<pid>.prom`, in the text format that the textfile collector of Prometheus's node exporter reads. A file is
written whole and then named, so a reader never sees half of it. It goes with its program; that of a program that was killed is
removed by the next one that starts.
"""

import atexit
import contextlib
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from hail.room import held

EVERY_S = 5.0
_ROW = re.compile(r'hailwhale_held_bytes(_most)?\{program="[^"]*",what="([^"]*)"\} (\d+)')


def keep_written(data_dir: str, program: str) -> None:
    """Writes it every EVERY_S, in the background, as long as this process lives."""
    folder = Path(data_dir) / "held"
    for path in _files(folder):
        if not _lives(path):
            path.unlink(missing_ok=True)
    mine = folder / f"{program}-{os.getpid()}.prom"
    atexit.register(mine.unlink, missing_ok=True)
    threading.Thread(target=_work, args=(mine, program), name="held", daemon=True).start()


def _work(path: Path, program: str) -> None:
    pause = threading.Event()
    while True:
        write(path, program)
        pause.wait(EVERY_S)


def write(path: Path, program: str) -> None:
    rows = held()
    lines = []
    for metric, place in (("hailwhale_held_bytes", 0), ("hailwhale_held_bytes_most", 1)):
        lines.append(f"# TYPE {metric} gauge\n")
        lines += (f'{metric}{{program="{program}",what="{name}"}} {row[place]}\n' for name, row in rows.items())
    with contextlib.suppress(OSError):  # a full disk stops no counting
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text("".join(lines))
        new.rename(path)


def programs(data_dir: str) -> Iterator[tuple[str, dict[str, tuple[int, int]]]]:
    """The programs of this machine that live, as `worker-4711`, and by name what each holds and may hold, in bytes."""
    for path in _files(Path(data_dir) / "held"):
        if not _lives(path):
            continue
        rows: dict[str, list[int]] = {}
        with contextlib.suppress(OSError):  # it has just ended
            for most, name, number in _ROW.findall(path.read_text()):
                rows.setdefault(name, [0, 0])[bool(most)] = int(number)
            yield path.stem, {name: (row[0], row[1]) for name, row in rows.items()}


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*-*.prom"))


def _lives(path: Path) -> bool:
    return Path(f"/proc/{path.stem.rpartition('-')[2]}").exists()

"""Parts as processes: how they start, and what they say where they cannot."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers import wait_until

HERE = Path(__file__).parents[1]
CELERY = (
    "celery --quiet --app whale.count.worker worker --pool threads --concurrency 2 --without-gossip --without-mingle"
)
HAILWHALE = "whale.cli"


def environ_of(**values: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("HAILWHALE_")}
    return {**own, "PYTHONUNBUFFERED": "1", **{f"HAILWHALE_{name}": value for name, value in values.items()}}


def ran(line: str, **values: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `python -m line`."""
    command = [sys.executable, "-m", *line.split()]
    done = subprocess.run(command, env=environ_of(**values), capture_output=True, text=True, cwd=HERE, timeout=120)
    return done.returncode, done.stdout, done.stderr


class Part:
    """A part that runs until the test ends, and is killed then: by itself it would take its time to stop."""

    def __init__(self, line: str, output: Path, **values: str):
        self.output = output
        self.urls: list[str] = []
        with output.open("wb") as said:
            self.process: subprocess.Popen[Any] = subprocess.Popen(
                [sys.executable, "-m", *line.split()], env=environ_of(**values), stdout=said, stderr=said, cwd=HERE
            )

    def __enter__(self) -> "Part":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(60)

    def first_line(self) -> str:
        def whole() -> bool:
            assert self.process.poll() is None, self.output.read_text()
            return "\n" in self.output.read_text()

        wait_until(whole, 60, "a line")
        return self.output.read_text().split("\n")[0]

"""`hailwhale up` as a person starts it: one command, on free ports and a folder of its own."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import redis
import requests

from tests.servers import free_port, wait_until
from whale.commands.demo import State, state_in

ROOT = Path(__file__).parents[1]
PATIENCE_S = 120.0
UP = [sys.executable, "-c", "from whale.cli import main; main()", "up"]


class Up:
    """`hailwhale up` on free ports, with no redis-server on PATH: the wheel's serves."""

    def __init__(self, data_dir: Path, *options: str, **settings: object):
        """options: of `up`.  settings: HAILWHALE_* by their lower-case name.

        root: of the program, where it is of another version.
        """
        self.root: Path | None = None
        self.command = [*UP, *options]
        self.hail, self.whale = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.live = f"127.0.0.1:{free_port()}"
        self.output = data_dir.parent / "output"
        own = {name: value for name, value in os.environ.items() if not name.startswith("HAILWHALE_")}
        binds = {"HAILWHALE_HAIL_BIND": self.hail, "HAILWHALE_WHALE_BIND": self.whale, "HAILWHALE_LIVE_BIND": self.live}
        more = {f"HAILWHALE_{name.upper()}": str(value) for name, value in settings.items()}
        self.environ = {**own, **binds, **more, "HAILWHALE_DATA_DIR": str(data_dir), "PATH": "/nonexistent"}
        self.process: subprocess.Popen[bytes] | None = None
        self.pk = "shop"

    def start(self) -> None:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(self.command, env=self.environ, cwd=self.root, stdout=output, stderr=output)
        wait_until(lambda: "read:" in self.said() or not self.running, 100, "up")
        assert self.running, self.said()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def command_line(self, *words: str, given: str = "") -> str:
        """What `hailwhale` says to these words. given: on stdin."""
        command = [sys.executable, "-m", "whale.cli", *words]
        found = subprocess.run(
            command, env=self.environ, input=given, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
        )
        assert found.returncode == 0, found.stderr
        return found.stdout.strip()

    def redis(self) -> Any:
        """A client of the Redis that it started."""
        folder = Path(self.environ["HAILWHALE_DATA_DIR"]) / "redis"
        return redis.Redis(unix_socket_path=(folder / "socket").read_text())

    def stop(self, how: signal.Signals) -> int:
        assert self.process
        self.process.send_signal(how)
        return self.process.wait(60)

    def said(self) -> str:
        return self.output.read_text()

    def printed(self, what: str) -> list[str]:
        """The words of the curl line that counts, or of the one that reads."""
        found = re.search(rf"{what}: +(curl .*)", self.said())
        assert found
        return shlex.split(found[1])

    def count(self, hits: int) -> None:
        for _ in range(hits):
            answer = requests.get(f"http://{self.hail}/count", {"pk": self.pk, "metrics": '{"sold": 1}'}, timeout=10)
            assert (answer.status_code, answer.text.strip()) == (200, "OK")

    def counted(self) -> dict[str, float]:
        answer = requests.get(
            f"http://{self.whale}/totals",
            {"pk": self.pk, "metrics": '["hits", "sold"]', "period": "today"},
            timeout=10,
        )
        answer.raise_for_status()
        totals: dict[str, float] = next(iter(answer.json().values())).get("_", {})
        return totals

    def child(self, name: str) -> int | None:
        """Process id of the part whose command names this."""
        assert self.process
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = folder.joinpath("stat").read_text().rpartition(")")[2].split()[1]
                if parent == str(self.process.pid) and name in folder.joinpath("cmdline").read_text():
                    return int(folder.name)
            except OSError:  # it ended while we looked
                continue
        return None


class Demo(Up):
    """`hailwhale up --demo`."""

    def __init__(self, data_dir: Path, seed: int):
        super().__init__(data_dir, "--demo", "--seed", str(seed))
        self.folder = data_dir

    @property
    def state(self) -> State:
        found = state_in(self.folder)
        assert found
        return found

    def wait(self) -> None:
        """Until all that happened before its start is sent and counted."""
        wait_until(lambda: "from now on visit by visit" in self.said(), PATIENCE_S, "the demo")
        wait_until(lambda: self.state.crowd_to is not None, PATIENCE_S, "the visitors who are told apart")
        wait_until(lambda: (self.state.crowd_to or 0) > self.state.began, PATIENCE_S, "what these did")
        wait_until(lambda: self.state.people_to > self.state.began, PATIENCE_S, "those who met the experiment")
        wait_until(self._is_counted, PATIENCE_S, "its counts", pause_s=0.2)  # it needs the machine itself

    def _is_counted(self) -> bool:
        answer = requests.get(f"http://{self.whale}/shifts", {"pk": "shop", "metric": "orders/visits"}, timeout=20)
        health = requests.get(f"http://{self.whale}/health.json", timeout=20)
        if answer.status_code != 200 or health.status_code != 200:
            return False
        audit = health.json()["audit"]
        return bool(answer.json()["shifts"]) and audit is not None and audit["in_flight"] + audit["spooled"] < 100

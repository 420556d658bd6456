"""HailWhale's programs as the Procfile starts them, each a real process that a test may kill.

with Farm(folder, redis, rabbitmq, queue=unique) as farm:      # without a RabbitMQ: embedded, the spool is the queue
    with farm.load(unique) as load:
        load.more(200)
        farm.worker.kill9()
        farm.worker.start()
        load.more(200)
    farm.settle(load)          # all is counted once, nothing is left on the way, the audit closes
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from hail.broker import dead_name
from hail.settings import load as load_settings
from hail.spool import SpoolFolder
from tests.load import ACCOUNT, Load
from tests.servers import RabbitMQ, RedisServer, free_port, wait_until
from whale.accounts import Site
from whale.commands.embedded import dying_with_parent
from whale.health.audit import Look, audit
from whale.store.redis import connect

ROOT = Path(__file__).parents[1]


def procfile(root: Path) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in (root / "Procfile").read_text().splitlines())


PROCFILE = procfile(ROOT)
BINARIES = str(Path(sys.executable).parent)


class Program:
    """One line of the Procfile as a process; what it says goes to a file. root: of the program."""

    def __init__(self, name: str, line: str, environ: dict[str, str], folder: Path):
        self.name, self.environ, self.root = name, environ, ROOT
        self._line, self._output = line, folder / f"{name}.output"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def becomes(self, root: Path) -> None:
        """Of another version from its next start on."""
        lines = procfile(self.root)
        word = next(word for word, line in lines.items() if self._line.startswith(line))
        self._line = procfile(root)[word] + self._line.removeprefix(lines[word])
        self.root = root

    def start(self, fault: str = "", **environ: str) -> None:
        """fault: one of tests/faulty.py.  environ: settings that differ from the farm's, this time."""
        assert not self.running
        launcher = f"{sys.executable} -m tests.faulty {fault} " if fault else ""
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {launcher}{self._line}"],
                env={**self.environ, "PYTHONPATH": str(self.root), **environ},
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=dying_with_parent(signal.SIGKILL),
            )

    def stop(self) -> None:
        """As an operator would; it must end by itself."""
        if self.process:
            self.process.terminate()
            self.process.wait(60)
        self.process = None

    def kill9(self) -> None:
        """The process and its children."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(60)
        self.process = None

    def dies(self) -> None:
        """Waits until it has killed itself."""
        assert self.process
        assert self.process.wait(60) == -signal.SIGKILL, self.said()
        self.kill9()

    def children(self) -> list[int]:
        assert self.process
        tasks = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(word) for word in tasks.split()]

    def said(self) -> str:
        return self._output.read_text(errors="replace")[-3000:]


class Farm:
    """Hail, hailwail and (with a broker) a worker on one Redis; a Whale, where it is started. settings: HAILWHALE_* in lower case."""

    def __init__(
        self, folder: Path, redis: RedisServer, rabbitmq: RabbitMQ | None, queue: str = "", **settings: object
    ):
        self.folder, self.redis, self.rabbitmq, self.queue = folder, redis, rabbitmq, queue
        bind, whale_bind, live_bind = (f"127.0.0.1:{free_port()}" for _ in range(3))
        self.url, self.whale_url, self.live_url = (f"http://{each}" for each in (bind, whale_bind, live_bind))
        mine = {
            "hail_bind": bind,
            "whale_bind": whale_bind,
            "live_bind": live_bind,
            "redis_url": redis.url,
            "data_dir": folder,
            "breaker_s": 0.3,
            **settings,
        }
        if rabbitmq:
            mine |= {"broker_url": rabbitmq.url, "queue": queue}
        self.environ = {f"HAILWHALE_{name.upper()}": str(value) for name, value in mine.items()}
        self.settings = load_settings(self.environ)
        path = f"{BINARIES}:{os.environ['PATH']}"
        everywhere = {**self.environ, "PATH": path, "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
        follow = PROCFILE["hailwail"] + ("" if rabbitmq else " --apply")
        self.hail = Program("hail", PROCFILE["hail"], everywhere, folder)
        self.hailwail = Program("hailwail", follow, everywhere, folder)
        self.other_hailwail = Program("other hailwail", follow, everywhere, folder)
        self.worker = Program("worker", PROCFILE["worker"], everywhere, folder)
        self.whale = Program("whale", PROCFILE["whale"], everywhere, folder)
        self.live = Program("live", PROCFILE["live"], everywhere, folder)
        self.spool = SpoolFolder(folder)
        self.loads: list[Load] = []

    def __enter__(self) -> "Farm":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for program in (self.hail, self.hailwail, self.other_hailwail, self.worker, self.whale, self.live):
            program.kill9()

    def start(self) -> None:
        """Whatever does not run; returns when Hail takes hits."""
        for program in (self.worker, self.hailwail, self.hail):
            if not program.running and (program is not self.worker or self.rabbitmq):
                program.start()
        self.wait_for_hail()

    def start_whale(self, **environ: str) -> None:
        """For a test that opens pages or asks over HTTP; returns when Whale answers. environ: settings of it alone."""
        self.whale.start(**environ)
        wait_until(lambda: self._state(self.whale, self.whale_url), 60, "Whale")

    def start_live(self) -> None:
        """For a test that looks while hits are counted; returns when live hears Redis."""
        self.live.start()
        wait_until(lambda: self._state(self.live, self.live_url), 60, "live")

    def wait_for_hail(self, broker: str = "") -> None:
        """broker: what Hail must say of it; by itself up, or none where there is none."""
        expected = broker or ("up" if self.rabbitmq else "none")
        wait_until(lambda: self._state(self.hail, self.url).get("broker") == expected, 60, "Hail")

    def _state(self, program: Program, url: str) -> dict[str, Any]:
        """What it says of itself at /readyz; nothing, while it does not answer."""
        assert program.running, program.said()
        try:
            state: dict[str, Any] = requests.get(f"{url}/readyz", timeout=20).json()
        except (requests.RequestException, ValueError):
            return {}
        return state if state["ready"] else {}

    def load(self, pk: str) -> Load:
        """In a farm that keeps logs of visitors the pk is a site, whose log holds at once."""
        if self.settings.visitor_log:
            connect(self.settings).begin_log(Site(ACCOUNT, pk), after_ms=0)
        self.loads.append(Load(self.url, pk, site=self.settings.visitor_log))
        return self.loads[-1]

    def settle(self, load: Load, dead: int = 0) -> None:
        """Waits until nothing is on its way any more; then the load's book and the audit must close.

        dead: messages that are expected in the dead-letter queue.
        """
        store = connect(self.settings)
        if self.rabbitmq:
            self.seal()
            self._wait_until(lambda: not self.spool.names(), "the spool to be empty")
            self._wait_until(lambda: not self.depth(), "the queue to be empty")
        load.settle(store)
        if self.rabbitmq:
            self._wait_until(lambda: self.depth(dead_name(self.settings)) == dead, f"{dead} dead letters")
        self._wait_until(self.audit_closes, "the audit to close")

    @staticmethod
    def _wait_until(condition: Callable[[], bool], what: str) -> None:
        """Asks seldom: whoever brings it about needs the machine."""
        wait_until(condition, 60, what, pause_s=0.1)

    def depth(self, queue: str = "") -> int:
        assert self.rabbitmq
        return self.rabbitmq.depth(queue or self.queue)

    def seal(self) -> None:
        """Hail hands its spool file over (by itself it does so every 5 s)."""
        requests.get(f"{self.url}/flush_hail", timeout=60)

    def audit_closes(self, *bounds: str) -> bool:
        """Whether every message of every publisher was counted, once. bounds: that cells may have met, by reason."""
        store = connect(self.settings)
        rows = store.audit(ACCOUNT)
        each_once = all((row.hits, row.messages) == (row.total, row.last_seq + 1) for row in rows)
        done = audit(store, ACCOUNT, Look(self.settings), wait_s=0)
        return each_once and done.closes and done.log_closes and store.faults(ACCOUNT).keys() <= {*bounds}

    def finish(self) -> None:
        """Stops all in the order of the data: then nothing may be left, and all that was ever sent still be right."""
        self.hail.stop()
        self.hailwail.stop()
        if self.rabbitmq:
            wait_until(lambda: not self.depth(), 60, "the queue to be empty")
            self.worker.stop()
            assert self.depth() == 0, "messages were not acknowledged"
        assert self.spool.names() == []
        store = connect(self.settings)
        for load in self.loads:
            load.check(store)
        assert self.audit_closes()
        command = [sys.executable, "-m", "whale.cli", "audit", "--json"]
        done = subprocess.run(command, env=self.hail.environ, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        everything = json.loads(done.stdout)["all"]
        assert everything["counted"] == sum(load.total(store) for load in self.loads)
        assert everything["duplicate"] >= sum(load.twice for load in self.loads) > 0
        if self.settings.visitor_log:
            assert everything["logged"] == everything["to_log"] == everything["counted"]
        assert (everything["in_flight"], everything["spooled"], everything["dead_lettered"]) == (0, 0, 0)

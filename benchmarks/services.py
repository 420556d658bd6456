"""Starts and stops the services that a benchmark measures, each a process of its own on a free port; and wrk, which asks."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from types import TracebackType
from typing import NamedTuple

import psutil

import hail
from benchmarks.workload import PERIODS, message_version
from hail.settings import load
from tests.servers import free_port
from whale.commands.embedded import dying_with_parent
from whale.commands.supervisor import hail_command, hailwail_command, whale_command, worker_command

ROOT = Path(hail.__file__).resolve().parents[1]  # the checkout that is measured
SERVERS = ("own", "gevent", "gthread", "granian")
START_S = 30.0
STOP_S = 20.0


def answer_ms(port: int, addresses: Iterable[str], warm: int) -> list[float]:
    """Milliseconds of each answer but the first `warm`, by one client on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    took = []
    for address in addresses:
        begun = time.perf_counter()
        connection.request("GET", address)
        answer = connection.getresponse()
        body = answer.read()
        took.append((time.perf_counter() - begun) * 1000)
        assert answer.status == 200, body
    connection.close()
    return took[warm:]


class Service:
    """A child process; ready when its port takes connections, at once where it has none."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], port: int = 0, folder: Path = ROOT):
        self.command, self.environ, self.port, self.folder = command, environ, port, folder

    def __enter__(self) -> "Service":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HAILWHALE_")}
        self.process = subprocess.Popen(
            self.command,
            env={**inherited, "PYTHONPATH": str(ROOT), **self.environ},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=dying_with_parent(),
        )
        deadline = time.monotonic() + START_S
        while self.port and not self._listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise RuntimeError(f"did not start: {' '.join(self.command)}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Setup:
    """Settings and commands of one farm or one embedded machine, in a folder of its own."""

    def __init__(self, redis_url: str, broker_url: str = "", **more: str):
        self._folder = TemporaryDirectory(prefix="hailwhale-benchmark-")
        self.hail_port, self.whale_port = free_port(), free_port()
        self.environ = {
            "HAILWHALE_HAIL_BIND": f"127.0.0.1:{self.hail_port}",
            "HAILWHALE_WHALE_BIND": f"127.0.0.1:{self.whale_port}",
            "HAILWHALE_LIVE_BIND": "",
            "HAILWHALE_DATA_DIR": self._folder.name,
            "HAILWHALE_REDIS_URL": redis_url,
            "HAILWHALE_BROKER_URL": broker_url,
            "HAILWHALE_PERIODS": PERIODS,
            **message_version(),
            **more,
        }
        self.settings = load(self.environ)

    def hail(self, server: str = "own", application: str = "hail.web:application") -> Service:
        """server: what `hailwhale up` starts, Hail's worker on gevent, gthread of gunicorn, or granian."""
        command = [application if word == "hail.web:application" else word for word in hail_command(self.settings)]
        if server in ("gevent", "gthread"):
            command[command.index("--worker-class") + 1] = {"gevent": "hail.server.HailWorker"}.get(server, server)
        if server == "gthread":
            command += ["--threads", "32"]
        if server == "granian":
            command = granian(application, self.hail_port)
        return Service(command, self.environ, self.hail_port)

    def accepted_by(self, way: str) -> int:
        """Hits that Hail has accepted by way of the broker or the spool, as it says itself."""
        found = re.search(
            rf'^hailwhale_hits_accepted_total{{kept="{way}"}} (\S+)', self._asked("GET", "/metrics"), re.M
        )
        return int(float(found[1])) if found else 0

    def accepted(self) -> int:
        return self.accepted_by("broker") + self.accepted_by("spool")

    def flush_hail(self) -> None:
        """What is spooled may be shipped at once."""
        self._asked("POST", "/flush_hail")

    def _asked(self, method: str, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.hail_port, timeout=30)
        connection.request(method, path)
        said = connection.getresponse().read().decode()
        connection.close()
        return said

    def whale(self) -> Service:
        return Service(whale_command(self.settings), self.environ, self.whale_port)

    def worker(self) -> Service:
        return Service(worker_command(self.settings), self.environ)

    def hailwail(self) -> Service:
        return Service(hailwail_command(self.settings), self.environ)


def cpu_seconds(pid: int) -> float:
    """What a service has used until now, with all of its processes."""
    return sum(sum(process.cpu_times()[:2]) for process in _family(pid))


def peak_mb(pid: int) -> float:
    """The most memory that each process of a service held, added up; pages that they share count in each."""
    said = [Path("/proc", str(process.pid), "status").read_text() for process in _family(pid)]
    return sum(int(found[1]) for text in said if (found := re.search(r"VmHWM:\s+(\d+) kB", text))) / 1024


def _family(pid: int) -> list[psutil.Process]:
    service = psutil.Process(pid)
    return [service, *service.children(recursive=True)]


def gunicorn(application: str, port: int, server: str) -> list[str]:
    """A plain gunicorn of one process, for a baseline."""
    command = [sys.executable, "-m", "gunicorn", "-w", "1", "-k", server, "-b", f"127.0.0.1:{port}", application]
    return command + ["--threads", "32"] * (server == "gthread") + ["--log-level", "warning"]


def granian(application: str, port: int) -> list[str]:
    words = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--blocking-threads", "64", "--log-level", "warning", "--no-access-log", "--no-ws"]
    return [sys.executable, "-m", "granian", *words, application]


class Asked(NamedTuple):
    rate: float  # answers/s
    p50_ms: float
    p99_ms: float
    answered: int
    refused: int


REQUESTS = """
local n, bodies = 0, {}
for body in io.lines('FILE') do bodies[#bodies + 1] = body end
function request()
  n = n + 1
  if #bodies > 0 and n % 100 == 0 then
    return wrk.format('POST', '/batch', {['Content-Type'] = 'application/json'}, bodies[n / 100 % #bodies + 1])
  end
  local page, revenue = '%7B%22page%22%3A%22p' .. n % 2000 .. '%22%7D', '%7B%22revenue%22%3A' .. n % 97 .. '%7D'
  return wrk.format(nil, wrk.path .. '&dimensions=' .. page .. '&metrics=' .. revenue)
end
"""


def wrk(
    url: str,
    seconds: float,
    clients: int = 64,
    different: bool = False,
    batches: Sequence[bytes] = (),
    requests: str = "",
    headers: Sequence[str] = (),
) -> Asked:
    """GETs from so many clients, each as soon as it has its answer. different: no two of 194,000 hits are alike, on 2,000 pages.

    batches: then each hundredth request posts one of these bodies instead.  requests: in Lua, instead of GETs.
    """
    with NamedTemporaryFile("w", suffix=".lua") as script, NamedTemporaryFile("wb") as bodies:
        bodies.write(b"".join(body + b"\n" for body in batches))
        bodies.flush()
        script.write(requests or REQUESTS.replace("FILE", bodies.name))
        script.flush()
        words = [
            "wrk",
            "-t1",
            f"-c{clients}",
            f"-d{seconds:.0f}s",
            "--latency",
            *["-s", script.name] * (different or bool(requests)),
            *(word for header in headers for word in ("-H", header)),
            url,
        ]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    answered = re.search(r"(\d+) requests in", said)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    assert rate, said
    assert answered, said
    return Asked(
        float(rate[1]), _ms("50%", said), _ms("99%", said), int(answered[1]), int(refused[1]) if refused else 0
    )


def _ms(share: str, said: str) -> float:
    found = re.search(rf"{share}\s+([\d.]+)(us|ms|s)", said)
    assert found, said
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]

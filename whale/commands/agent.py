"""`hailwhale agent`: counts how busy this machine is, through Hail as any program does.

    every S seconds ── cpu, memory, disk, each a share from 0 to 1 ──> a hit of the pk ["host", NAME], at its own time, with an id

Promise: a hit that Hail does not accept is kept and sent again with those that follow, up to MOST of them; the oldest goes first, and
the log says how many went. A hit that was sent twice counts once.
"""

import gzip
import http.client
import os
import secrets
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections import deque
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import click
import msgspec
import psutil

from hail.binds import url_of
from hail.hit import HitError, parse_hit
from hail.settings import Settings, SettingsError, load
from whale.errors import SetupError, visible
from whale.options import NumberBetween

PK = "host"
MOST = 1_000  # hits that wait: almost three hours, of one every ten seconds
BATCH = 100
ANSWER_S = 10.0
LEAST_S, EVERY_S, MOST_S = 1.0, 10.0, 3600.0
FIRST_S = 1.0  # over which the first share of the CPU is measured


class Machine:
    """This machine, as the system shows it; in a container that may be the machine around it. disk: a path on it."""

    def __init__(self, disk: str):
        self._disk = disk
        try:
            psutil.disk_usage(disk)
        except OSError as error:
            raise SetupError(f"--disk: expected a path on this machine, got {disk!r}: {error.strerror}") from None
        psutil.cpu_percent()  # what follows is since here

    def shares(self) -> dict[str, Any]:
        """Metrics of a hit: of the CPU the mean and the maximum since the call before, of memory and disk the last ones.

        Without the disk while it is away: a disk may be mounted later again.
        """
        cpu = round(psutil.cpu_percent() / 100, 4)
        memory = psutil.virtual_memory().percent
        found = {"cpu": cpu, "cpu_peak": {"max": cpu}, "memory": {"last": round(memory / 100, 4)}}
        with suppress(OSError):
            found["disk"] = {"last": round(psutil.disk_usage(self._disk).percent / 100, 4)}
        return found


class Waiting:
    """Hits that Hail has not accepted yet, the oldest first."""

    def __init__(self, url: str, settings: Settings):
        self._url, self._settings = url, settings
        self._hits: deque[dict[str, Any]] = deque()
        self._lost = 0
        self._is_away = False

    def add(self, hit: dict[str, Any]) -> None:
        if len(self._hits) == MOST:
            self._hits.popleft()
            self._lost += 1
        self._hits.append(hit)

    def send(self) -> bool:
        """Whether all were accepted. Raises SetupError where Hail refuses them: waiting would not help."""
        while self._hits:
            batch = list(self._hits)[:BATCH]
            status, said = self._post(batch)
            if status == 202:
                for _ in batch:
                    self._hits.popleft()
            elif 400 <= status < 500 and status != 429:
                raise SetupError(f"{self._url} answers {status}: {visible(said[:300])}")
            else:
                if not self._is_away:
                    say(f"{self._url} does not accept hits ({visible(said[:100]) or status}): they wait here")
                self._is_away = True
                return False
        if self._is_away:
            say(f"Hail is back{f'; {self._lost} hits were too many to wait' if self._lost else ''}")
        self._is_away, self._lost = False, 0
        return True

    def _post(self, hits: list[dict[str, Any]]) -> tuple[int, str]:
        """The status, 0 where there was no answer, and its text or the reason."""
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", "User-Agent": "hailwhale-agent"}
        if self._settings.write_key:
            headers["Authorization"] = f"Bearer {self._settings.write_key}"
        request = urllib.request.Request(f"{self._url}/batch", gzip.compress(msgspec.json.encode(hits)), headers)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
                return answer.status, ""
        except HTTPError as error:
            with error:
                return error.code, error.read(1_000).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, str(getattr(error, "reason", error))


def hail_url(given: str | None, settings: Settings) -> str:
    """Where Hail is. Raises SetupError where it is no address."""
    if given is None:
        return url_of(settings.hail_bind)
    try:
        parts = urlsplit(given)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.query
    except ValueError:  # a bracket that is not closed, a port above 65535
        fits = False
    if not fits:
        raise SetupError(f"--hail: expected an address such as https://count.example.org, got {given!r}")
    return given.rstrip("/")


def say(text: str) -> None:
    click.echo(f"agent: {text}", err=True)


@click.command("agent", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--host", metavar="NAME", help="Name of this machine, and the second name of the pk. Default: its host name."
)
@click.option(
    "--every", "every_s", type=NumberBetween(LEAST_S, MOST_S), default=EVERY_S, show_default=True, help="Seconds."
)
@click.option("--disk", metavar="PATH", default="/", show_default=True, help="Disk to count: a path on it.")
@click.option("--hail", "hail", metavar="URL", help="Address of Hail. Default: HAILWHALE_HAIL_BIND.")
@click.option("--once", is_flag=True, help="Count once, and exit.")
def main(host: str | None, every_s: float, disk: str, hail: str | None, once: bool) -> None:
    """Count how busy this machine is: CPU, memory and disk.

    The pk is ["host", NAME]. cpu/hits is the mean share of the CPU that was in use; cpu_peak, memory and disk are shares too.
    Hits wait here while Hail is away. The key is HAILWHALE_WRITE_KEY. Exit code 1: --once, and Hail is away. 2: it could not start.
    """
    try:
        settings = load(os.environ)
        name = socket.gethostname() if host is None else host
        try:
            parse_hit({"pk": [PK, name]}, settings, time.time())
        except HitError as error:
            raise SetupError(f"--host: {str(error).partition(': ')[2]}") from None
        waiting, machine = Waiting(hail_url(hail, settings), settings), Machine(disk)
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        run, count = secrets.token_hex(8), 0
        stopped.wait(min(every_s, FIRST_S))
        while not stopped.is_set():
            now = time.time()
            count += 1
            waiting.add({"pk": [PK, name], "id": f"agent-{run}-{count}", "at": now, "metrics": machine.shares()})
            accepted = waiting.send()
            if once:
                sys.exit(0 if accepted else 1)
            stopped.wait(
                every_s - time.time() % every_s
            )  # at whole multiples, so that buckets have the same number of hits
    except (SettingsError, SetupError) as error:
        say(str(error))
        sys.exit(2)


if __name__ == "__main__":
    main()

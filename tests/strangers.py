"""Clients that mean no good: connections that send half of something, or nothing, or do not read; opened again when closed.

with Strangers(port, 400, "POST /count", "GET /openapi.json"):      # 400 of each kind, in a process of their own
    asked = steadily(ask, 50, seconds)                              # and people who ask 50 times a second meanwhile
"""

import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from whale.commands.embedded import dying_with_parent

KINDS = ("head", "body", "idle", "reader")
PIPELINED = 60
HALF_BODY = 30_000


class Strangers:
    """`each` connections of every kind to a port. post, get: method and path; of `get` large answers are not read."""

    def __init__(self, port: int, each: int, post: str, get: str, kinds: tuple[str, ...] = KINDS):
        self._command = [sys.executable, "-m", "tests.strangers", str(port), str(each), post, get, *kinds]

    def __enter__(self) -> "Strangers":
        self._process = subprocess.Popen(
            self._command,
            cwd=Path(__file__).parents[1],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=dying_with_parent(signal.SIGKILL),
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == "all connected\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


def steadily(ask: Callable[[], None], a_second: int, seconds: float) -> list[float]:
    """Asks so often, however long answers take; how long each took."""
    took: list[float] = []
    began = time.monotonic()

    def timed(due: float) -> None:
        time.sleep(max(0.0, due - time.monotonic()))
        begun = time.monotonic()
        ask()
        took.append(time.monotonic() - begun)

    with ThreadPoolExecutor(4 * a_second) as threads:
        for asked in [threads.submit(timed, began + n / a_second) for n in range(int(a_second * seconds))]:
            asked.result()
    return took


def threads_of(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("Threads:")[2].split()[0])


# the process of strangers


class Stranger:
    def __init__(self, kind: str, port: int, post: str, get: str):
        self.kind, self.port = kind, port
        self.opening = {
            "head": f"{get} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
            "body": f"{post} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {2 * HALF_BODY}\r\n\r\n" + " " * HALF_BODY,
            "idle": "",
            "reader": f"{get} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * PIPELINED,
        }[kind].encode()

    def connect(self) -> int:
        self.socket = socket.socket()
        if self.kind == "reader":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", self.port))
        self.left = self.opening
        return self.socket.fileno()

    def go_on(self) -> None:
        """Sends what it can of its opening."""
        if self.left:
            self.left = self.left[self.socket.send(self.left) :]

    def trickle(self) -> None:
        if not self.left and self.kind in ("head", "body"):
            self.socket.send(b" ")


def attack(port: int, each: int, post: str, get: str, *kinds: str) -> None:
    """For ever. Half of the halves trickle, a byte a second; what was closed comes again within a second."""
    watch = select.epoll()
    strangers: dict[int, Stranger] = {}
    closed: list[Stranger] = []
    connected = False

    def begin(stranger: Stranger) -> None:
        descriptor = stranger.connect()
        strangers[descriptor] = stranger
        watch.register(descriptor, select.EPOLLOUT | select.EPOLLRDHUP)

    for stranger in [Stranger(kind, port, post, get) for _ in range(each) for kind in kinds]:
        begin(stranger)
    trickle_at = time.monotonic() + 1
    while True:
        for descriptor, event in watch.poll(0.2):
            stranger = strangers[descriptor]
            try:
                if event & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP):
                    raise ConnectionError
                stranger.go_on()
                if not stranger.left:
                    watch.modify(descriptor, select.EPOLLRDHUP)
            except BlockingIOError:
                continue
            except OSError:
                del strangers[descriptor]
                stranger.socket.close()
                closed.append(stranger)
        if time.monotonic() > trickle_at:
            trickle_at += 1
            while closed:
                begin(closed.pop())
            for stranger in list(strangers.values())[::2]:
                try:
                    stranger.trickle()
                except OSError:
                    continue
        if not connected and not any(stranger.left for stranger in strangers.values()):
            connected = True
            print("all connected", flush=True)


if __name__ == "__main__":
    port, each, *words = sys.argv[1:]
    attack(int(port), int(each), *words)

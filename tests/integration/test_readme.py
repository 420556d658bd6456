"""The commands that README.md and the tutorial print are run, on a real `hailwhale up`, and answer what is printed below them.

A block ```sh that is followed by a block ```json or ```text is a command and its answer. White space does not matter,
`…` stands for anything, and a time in milliseconds for any time.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.servers import RedisServer, free_port, wait_until

ROOT = Path(__file__).parents[2]
MAIN = [sys.executable, "-c", "from whale.cli import main; main()"]
EXAMPLE = re.compile(r"^```sh\n(.*?)^```\n```(?:json|text)\n(.*?)^```$", re.M | re.S)
ASKS = re.compile(r"127\.0\.0\.1:8086|example\.org\S*/totals|hailwhale audit")
SENDS = re.compile(r"127\.0\.0\.1:8085|hailwhale import|/reward|/reset")


def examples(document: str) -> list[tuple[str, str]]:
    return EXAMPLE.findall((ROOT / document).read_text())


def pattern(expected: str) -> re.Pattern[str]:
    text = re.escape("".join(expected.split()))
    return re.compile(re.sub(r"\b1[0-9]{12}\b", "[0-9]{13}", text).replace("…", ".*"))


class Shell:
    """Runs commands as they are printed, on other ports."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.hail, self.whale, self.live = (f"127.0.0.1:{free_port()}" for _ in range(3))
        own = {name: value for name, value in os.environ.items() if not name.startswith("HAILWHALE_")}
        self.environ = {
            **own,
            "HAILWHALE_HAIL_BIND": self.hail,
            "HAILWHALE_WHALE_BIND": self.whale,
            "HAILWHALE_LIVE_BIND": self.live,
            "PYTHONPATH": str(ROOT),
        }

    def run(self, command: str) -> str:
        for port, real in ((8085, self.hail), (8086, self.whale), (8087, self.live)):
            command = command.replace(f"127.0.0.1:{port}", real)
        command = command.replace(".venv/bin/hailwhale", shlex.join(MAIN)).replace("curl ", "curl -sS -D headers ")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return done.stdout

    def unknown(self) -> list[str]:
        """The names in the last question that were never counted, which read 0."""
        headers = self.folder / "headers"
        return re.findall(r"^X-Whale-Unknown: (.*)$", headers.read_text(), re.M | re.I) if headers.exists() else []


@contextmanager
def running(shell: Shell) -> Iterator[Shell]:
    """With `hailwhale up` in its folder."""
    output = shell.folder / "output"
    with output.open("wb") as stream:
        up = subprocess.Popen([*MAIN, "up"], cwd=shell.folder, env=shell.environ, stdout=stream, stderr=stream)
    try:
        wait_until(lambda: "read:" in output.read_text() or up.poll() is not None, 100, "up")
        assert up.poll() is None, output.read_text()
        yield shell
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with running(Shell(tmp_path)) as shell:
        yield shell


def answers_what_is_printed(shell: Shell, document: str, others: Mapping[str, str] = MappingProxyType({})) -> int:
    """Runs the commands of a page in order; how many there were. others: more addresses that stand for others."""
    found = examples(document)
    for printed, expected in found:
        command = printed
        for address, real in others.items():
            command = command.replace(address, real)
        deadline = time.monotonic() + 60
        answered = shell.run(command)
        # A question may come before what it asks for is counted; what counts is sent once.
        while ASKS.search(command) and not SENDS.search(command) and time.monotonic() < deadline:
            if pattern(expected).fullmatch("".join(answered.split())):
                break
            time.sleep(0.05)
            answered = shell.run(command)
        assert pattern(expected).fullmatch("".join(answered.split())), f"{command}\n{answered}"
        if ASKS.search(command) and "/reset" not in command:
            assert shell.unknown() == [], command
    return len(found)


@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md"])
def test_each_printed_command_answers_what_is_printed(shell: Shell, document: str) -> None:
    assert answers_what_is_printed(shell, document) >= 10


def test_the_python_of_the_library_page_runs(own_redis: RedisServer) -> None:
    program = "\n".join(re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/library.md").read_text(), re.M | re.S))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HAILWHALE_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environ, "PYTHONPATH": str(ROOT), "HAILWHALE_REDIS_URL": own_redis.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr

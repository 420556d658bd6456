"""`hailwhale up` as a supervisor, with small stand-ins for its parts."""

import os
import subprocess
import sys
import time

import pytest

from tests.servers import wait_until
from whale.commands import supervisor
from whale.commands.supervisor import Keeper, Part, Stopping, wait_until_all_answer
from whale.errors import SetupError

WAITS = (
    "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(0)); print('up', flush=True); time.sleep(290)"
)
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(290)"


def part(script: str) -> Part:
    return Part("stand-in", [sys.executable, "-c", script])


def test_a_part_that_dies_is_started_again_and_it_is_said(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LONGEST_BACKOFF_S", 0.1)
    waits = part(WAITS)
    keeper = Keeper({"stand-in": waits}, os.environ, None)
    waits.start(os.environ)
    assert waits.process
    first = waits.process.pid
    waits.process.kill()

    def started_again() -> bool:
        keeper.look()
        return waits.running and waits.process is not None and waits.process.pid != first

    wait_until(started_again)
    waits.stop(60, Stopping())
    assert "stand-in was ended by SIGKILL: starting it again in " in capfd.readouterr().out


def test_the_delay_grows_with_each_early_death(monkeypatch: pytest.MonkeyPatch) -> None:
    dies = part("exit(1)")
    keeper = Keeper({"stand-in": dies}, os.environ, None)
    delays = []
    for _ in range(3):
        dies.start(os.environ)
        assert dies.process
        dies.process.wait()
        keeper.look()
        delays.append(dies.backoff_s)
    assert delays == [1.0, 2.0, 4.0]


def test_what_does_not_stop_is_killed_and_a_second_asking_hurries(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "HURRY_S", 0.1)
    deaf = part(DEAF)
    deaf.start(os.environ)
    wait_until(lambda: deaf.last_line == "up", what="the stand-in")
    began = time.monotonic()
    deaf.stop(250, Stopping(asked=2))
    assert time.monotonic() - began < 60
    assert "stand-in did not stop in time and was killed" in capfd.readouterr().out


def test_a_part_that_does_not_start_is_told_with_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    raises = part("raise ValueError('the reason')")
    forward = Part._forward

    def slowly(self: Part, process: "subprocess.Popen[str]") -> None:
        time.sleep(0.5)
        forward(self, process)

    monkeypatch.setattr(Part, "_forward", slowly)
    raises.start(os.environ)
    assert raises.process
    raises.process.wait()
    with pytest.raises(SetupError, match="stand-in did not start, it ended with code 1: ValueError: the reason"):
        wait_until_all_answer({"hail": raises}, {"hail": "http://127.0.0.1:9"}, Stopping())

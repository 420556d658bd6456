"""`hailwhale up`, as a person uses it: one command, a curl that counts, one that reads, Ctrl-C, a kill."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.servers import free_port, wait_until
from tests.up import UP, Up


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Up]:
    one = Up(tmp_path / "var")
    one.start()
    yield one
    if one.running:
        one.stop(signal.SIGTERM)


def test_the_printed_lines_count_and_read(running: Up) -> None:
    count, read = running.printed("count"), running.printed("read")
    parameters = [word.split("=", 1) for word in count if re.match(r"\w+=", word)]
    assert requests.get(count[2], dict(parameters), timeout=10).text.strip() == "OK"
    parameters = [word.split("=", 1) for word in read if re.match(r"\w+=", word)]

    def dollars() -> bool:
        answer = requests.get(read[2], dict(parameters), timeout=10).json()
        return bool(answer.get("services")) and answer["services"]["dollars"][-1][1] == 200

    wait_until(dollars, what="200 dollars")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_before_a_stop_is_counted_once(running: Up, how: signal.Signals) -> None:
    running.count(50)
    assert running.stop(how) == 0
    assert running.said().splitlines()[-1].endswith("| stopped")
    running.start()
    wait_until(lambda: running.counted() == {"hits": 50, "sold": 50}, what="50 hits, once each")


def test_after_kill_9_of_up_nothing_is_left_and_a_new_one_goes_on(running: Up) -> None:
    running.count(50)
    running.stop(signal.SIGKILL)
    running.start()  # on the same ports and folder
    running.count(1)
    wait_until(lambda: running.counted() == {"hits": 51, "sold": 51}, what="51 hits, once each")


@pytest.mark.parametrize("part", ["hail.web", "whale.web", "whale.count.hailwail", "redis-server"])
def test_a_part_that_is_killed_comes_back_and_every_accepted_hit_counts(running: Up, part: str) -> None:
    running.count(20)
    first = running.child(part)
    assert first
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: running.child(part) not in (None, first), what=f"{part} again")
    assert "was ended by SIGKILL: starting it again" in running.said()

    unsure = 0  # sent, and never answered: each counts once or not at all

    def answered() -> bool:
        nonlocal unsure
        try:
            running.count(1)
        except requests.ConnectionError as error:
            unsure += "Connection refused" not in str(error)
            return False
        return True

    for _ in range(20):
        wait_until(answered, what="Hail")

    def all_counted() -> bool:
        try:
            found = running.counted()
        except requests.RequestException:
            return False
        return found["hits"] == found["sold"] and 40 <= found["hits"] <= 40 + unsure

    wait_until(all_counted, what=f"40 hits, once each, and at most {unsure} more")


def test_what_cannot_start_is_one_sentence_and_exit_code_2(running: Up) -> None:
    second = subprocess.run(UP, env=running.environ, capture_output=True, text=True, timeout=60)
    assert second.returncode == 2
    assert "Traceback" not in second.stderr
    assert f"cannot listen on {running.hail} (Address already in use): stop what listens there" in second.stderr
    ports = {name: f"127.0.0.1:{free_port()}" for name in ("HAILWHALE_HAIL_BIND", "HAILWHALE_WHALE_BIND")}
    second = subprocess.run(UP, env={**running.environ, **ports}, capture_output=True, text=True, timeout=60)
    assert second.returncode == 2
    assert len(second.stderr.splitlines()) == 1
    assert "is in use by another HailWhale: stop that one" in second.stderr

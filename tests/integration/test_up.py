"""`hailwhale up`, as a person uses it: one command, a curl that counts, one that reads, Ctrl-C, a kill."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from hail.settings import DAY, load
from tests.servers import wait_until
from tests.up import UP, Up
from whale.store import connect, with_redis

AT_ONCE_S = 1.0  # and its start


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Up]:
    """One for a test that stops it."""
    one = Up(tmp_path / "var")
    one.start()
    yield one
    if one.running:
        one.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    one = Up(tmp_path_factory.mktemp("up") / "var")
    one.start()
    yield one
    assert one.stop(signal.SIGTERM) == 0


@pytest.fixture
def running(shared: Up, unique: str) -> Up:
    """The same for many tests, each with a pk of its own."""
    shared.pk = unique
    return shared


def test_the_printed_lines_count_and_read(running: Up) -> None:
    count, read = running.printed("count"), running.printed("read")
    parameters = [word.split("=", 1) for word in count if re.match(r"\w+=", word)]
    assert requests.get(count[2], dict(parameters), timeout=10).text.strip() == "OK"
    parameters = [word.split("=", 1) for word in read if re.match(r"\w+=", word)]

    def dollars() -> bool:
        answer = requests.get(read[2], dict(parameters), timeout=10).json()
        return bool(answer.get("services")) and answer["services"]["dollars"][-1][1] == 200

    wait_until(dollars, what="200 dollars")


def test_a_key_of_an_account_counts_for_it_and_all_else_for_the_default_one(running: Up) -> None:
    name = running.pk.replace("_", "-")
    for words in (["account", "add", name], ["key", "add", name, "--scope", "write"]):
        done = subprocess.run([*UP[:-1], *words], env=running.environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    secret = done.stdout.strip()

    def status(key: str) -> int:
        return requests.get(f"http://{running.hail}/count", {"pk": running.pk, "key": key}, timeout=10).status_code

    wait_until(lambda: status(secret) == 200, what="the key at Hail")
    assert [status("hw_w_" + "x" * 43), status("")] == [401, 200]
    store = connect(
        with_redis(load({name: value for name, value in running.environ.items() if name.startswith("HAILWHALE_")}))
    )
    account = store.account_named(name)
    assert account

    def counted(of: str) -> int:
        now = int(time.time())
        days = list(range(now // DAY * DAY - DAY, now + 1, DAY))
        return int(store.read(of, (running.pk,), [()], ["hits"], DAY, days).sum())

    wait_until(lambda: [counted(account.id), counted("default")] == [1, 1], what="a hit of each account")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_before_a_stop_is_counted_once(own: Up, how: signal.Signals) -> None:
    own.count(50)
    assert own.stop(how) == 0
    assert own.said().splitlines()[-1].endswith("| stopped")
    own.start()
    wait_until(lambda: own.counted() == {"hits": 50, "sold": 50}, what="50 hits, once each")


def test_after_kill_9_of_up_nothing_is_left_and_a_new_one_goes_on(own: Up) -> None:
    own.count(50)
    own.stop(signal.SIGKILL)
    own.start()  # on the same ports and folder
    own.count(1)
    wait_until(lambda: own.counted() == {"hits": 51, "sold": 51}, what="51 hits, once each")


@pytest.mark.parametrize(
    ("name", "part"),
    [("hail", "hail.web"), ("whale", "whale.web"), ("hailwail", "whale.count.hailwail"), ("redis", "redis-server")],
)
def test_a_part_that_is_killed_comes_back_and_every_accepted_hit_counts(running: Up, name: str, part: str) -> None:
    running.count(20)
    first = running.child(part)
    assert first
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: running.child(part) not in (None, first), what=f"{part} again")
    assert f"{name} was ended by SIGKILL: starting it again" in running.said()

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


def test_a_folder_in_use_is_one_sentence_at_once_and_exit_code_2(running: Up) -> None:
    assert running.process
    began = time.monotonic()
    second = subprocess.run(UP, env=running.environ, capture_output=True, text=True, timeout=60)
    assert time.monotonic() - began < 5 * AT_ONCE_S
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr == (
        f"hailwhale: {running.environ['HAILWHALE_DATA_DIR']} is in use by another HailWhale (process {running.process.pid}): "
        "stop that one, or set HAILWHALE_DATA_DIR to another folder\n"
    )


def test_a_port_in_use_is_one_sentence_and_exit_code_2(running: Up, tmp_path: Path) -> None:
    environ = {**running.environ, "HAILWHALE_DATA_DIR": str(tmp_path)}
    second = subprocess.run(UP, env=environ, capture_output=True, text=True, timeout=60)
    assert (second.returncode, len(second.stderr.splitlines())) == (2, 1)
    assert f"cannot listen on {running.hail} (Address already in use): stop what listens there" in second.stderr

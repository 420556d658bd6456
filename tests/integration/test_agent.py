"""`hailwhale agent` beside a real `hailwhale up`: how busy this machine is, counted; also what came while Hail was away."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.servers import free_port, wait_until
from tests.up import UP, Up

AGENT = [*UP[:-1], "agent"]
METRICS = ["hits", "cpu", "cpu_peak", "memory", "disk"]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    keys = {f"{name}_key": name[0] * 32 for name in ("write", "read", "admin")}
    one = Up(tmp_path_factory.mktemp("agent") / "var", **keys)
    one.start()
    yield one
    if one.running:
        assert one.stop(signal.SIGTERM) == 0


def agent(up: Up, *options: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environ = {**up.environ, **settings}
    return subprocess.run([*AGENT, *options], env=environ, capture_output=True, text=True, timeout=60)


def counted(up: Up, host: str) -> dict[str, Any]:
    question = {"pk": f'["host","{host}"]', "metrics": str(METRICS).replace("'", '"'), "period": "today"}
    key = {"Authorization": f"Bearer {up.environ['HAILWHALE_READ_KEY']}"}
    answer = requests.get(f"http://{up.whale}/totals", question, headers=key, timeout=20)
    found: dict[str, Any] = answer.json()["today"].get("_", {}) if answer.status_code == 200 else {}
    return found


def test_one_hit_has_the_shares_of_this_machine(up: Up, unique: str) -> None:
    said = agent(up, "--once", "--host", unique)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    wait_until(lambda: counted(up, unique).get("hits") == 1, what="a hit")
    found = counted(up, unique)
    assert 0 <= found["cpu"] == found["cpu_peak"] <= 1
    assert 0 < found["memory"] < 1
    assert 0 < found["disk"] <= 1


def test_it_goes_on_and_what_it_saw_while_hail_was_away_counts_later(up: Up, tmp_path: Path, unique: str) -> None:
    log = tmp_path / "log"
    with log.open("wb") as stream:
        command = [*AGENT, "--host", unique, "--every", "1"]
        running = subprocess.Popen(command, env=up.environ, stdout=stream, stderr=stream)
    try:
        wait_until(lambda: counted(up, unique).get("hits", 0) >= 2, what="two hits")
        before = counted(up, unique)["hits"]
        up.stop(signal.SIGTERM)
        wait_until(lambda: "they wait here" in log.read_text(), what="the agent to see it")
        up.start()
        wait_until(lambda: "Hail is back" in log.read_text(), what="the agent to see it")
    finally:
        running.terminate()
        assert running.wait(30) == 0
    wait_until(lambda: counted(up, unique)["hits"] > before, what="those that waited")
    audit = subprocess.run([*UP[:-1], "audit"], env=up.environ, capture_output=True, text=True, timeout=60)
    assert audit.returncode == 0, audit.stdout


def test_once_ends_with_1_where_hail_is_away(up: Up) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    said = agent(up, "--once", "--hail", url)
    assert (said.returncode, said.stderr) == (
        1,
        f"agent: {url} does not accept hits ([Errno 111] Connection refused): they wait here\n",
    )


def test_a_wrong_key_ends_it_with_the_answer_of_hail(up: Up) -> None:
    said = agent(up, "--host", "h", HAILWHALE_WRITE_KEY="x" * 32)
    assert said.returncode == 2
    assert said.stderr.startswith(f"agent: http://{up.hail} answers 401: ")

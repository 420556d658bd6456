"""Where did my hit go? Asked within a second, through Hail, the queue and the worker."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from hail.settings import load
from tests.contract.hits import NOW, message, sums
from tests.integration.test_up import Up
from tests.servers import RedisServer, wait_until
from whale.count.apply import Applier
from whale.spy import KEPT_S
from whale.store.redis import connect

TAIL = [sys.executable, "-c", "from whale.cli import main; main()", "tail"]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    one = Up(tmp_path / "var")
    one.start()
    yield one
    if one.running:
        one.process.terminate()
        one.process.wait(60)


def count(up: Up, **fields: str) -> int:
    return requests.get(f"http://{up.hail}/count", fields, timeout=10).status_code


def spy(up: Up, **parameters: str) -> list[dict[str, Any]]:
    answer = requests.get(f"http://{up.whale}/spy", parameters, timeout=10)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


def seen_after_s(up: Up, visitor: str) -> float:
    """Seconds until a refused, a good and a duplicate hit of a visitor are seen."""
    assert count(up, pk="shop", visitor=visitor, metrics='{"revenue": "12,50"}') == 400
    assert [count(up, pk="shop", visitor=visitor, id=visitor) for _ in range(2)] == [200, 200]
    asked = time.monotonic()
    wait_until(lambda: len(spy(up, visitor=visitor)) == 3, what="all three")
    return time.monotonic() - asked


def test_good_refused_and_duplicate_hits_of_a_visitor_are_seen_within_a_second(up: Up) -> None:
    assert count(up, pk="shop") == 200
    wait_until(lambda: spy(up), what="the first hit, while all parts start")
    tail = subprocess.Popen([*TAIL, "--visitor", "v1", "--follow"], env=up.environ, stdout=subprocess.PIPE, text=True)
    try:
        assert count(up, pk="shop", visitor="v1", id="a", metrics='{"revenue": 5}') == 200
        assert count(up, pk="shop", visitor="v1", id="a", metrics='{"revenue": 5}') == 200
        assert count(up, pk="shop", visitor="v1", metrics='{"revenue": "12,50"}') == 400
        wait_until(lambda: len(spy(up, visitor="v1")) == 3, what="all three")
        seen = spy(up, visitor="v1")
        assert [trace["outcome"] for trace in seen] == ["bad_metrics", "duplicate", "counted"]
        assert seen[0]["came"].startswith("pk=shop&visitor=v1&metrics={")
        assert seen[2]["metrics"] == {"hits": 1, "revenue": 5}
        assert len(spy(up)) == 4
        assert tail.stdout
        lines = [tail.stdout.readline().split("\t")[1] for _ in range(3)]
        assert sorted(lines) == ["bad_metrics", "counted", "duplicate"]
    finally:
        tail.terminate()
        tail.wait(60)
    said = subprocess.run(TAIL, env=up.environ, capture_output=True, text=True, timeout=60)
    assert said.returncode == 0
    outcomes = [line.split("\t")[1] for line in said.stdout.splitlines()]
    assert outcomes == ["counted", "counted", "duplicate", "bad_metrics"]
    audit = subprocess.run([*TAIL[:-1], "audit"], env=up.environ, capture_output=True, text=True, timeout=60)
    assert audit.returncode == 0, audit.stdout  # a message without hits leaves it closed
    assert re.search(r"^all\s+3\s+2\s+1\s", audit.stdout, re.M)
    assert min(seen_after_s(up, f"w{i}") for i in range(5)) < 1  # of five, as the machine may stand still for a moment


def test_what_is_kept_expires_in_a_day_and_a_key_of_another_type_stops_no_counting(
    redis_server: RedisServer, unique: str
) -> None:
    settings = load({"HAILWHALE_REDIS_URL": redis_server.url})
    store = connect(settings)
    applier = Applier(store, settings)
    applier.apply([message([{"pk": "t", "visitor": "v"}], settings, unique)], NOW)
    with redis.Redis.from_url(redis_server.url) as client:
        names = list(client.scan_iter(f"{unique}:*:spy:*"))
        assert len(names) == 3
        assert all(0 < client.ttl(name) <= KEPT_S for name in names)
        for name in names:
            client.set(name, "another program's")
    applier.apply([message([{"pk": "t", "visitor": "v"}], settings, unique, 1)], NOW)
    applier.witness.tell()
    assert sums(store, unique, ("t",), [()]) == [2]

"""`hailwhale import` into what a user runs: the embedded Redis, and RabbitMQ whose queue is full for a while."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hail.broker import Broker
from hail.message import ACCOUNT
from hail.settings import Settings, load
from tests.killing import Importing
from tests.servers import RabbitMQ, RedisServer, wait_until
from whale.client import Whale
from whale.commands.embedded import EmbeddedRedis
from whale.commands.supervisor import worker_command
from whale.health.audit import Look, audit

MAPPING = 'pk = "shop"\nat = "t"\n[metrics]\nsold = "sold"\n'
ROWS = 5000


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    (tmp_path / "m.toml").write_text(MAPPING)
    now = int(time.time())
    (tmp_path / "f.csv").write_text("t,sold\n" + f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(now))},2\n" * ROWS)
    program = [sys.executable, "-m", "whale.cli", "import"]
    return [*program, str(tmp_path / "f.csv"), "--mapping", str(tmp_path / "m.toml"), "--block-hits", "100"]


def environ(**settings: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("HAILWHALE_")}
    return own | {f"HAILWHALE_{name}": value for name, value in settings.items()}


def sold(settings: Settings) -> float:
    return Whale.connect(settings).total("shop", "sold", period="1d:2d")


def test_into_the_embedded_redis_of_a_data_folder(tmp_path: Path, words: list[str]) -> None:
    given = environ(DATA_DIR=str(tmp_path / "var"))
    away = subprocess.run(words, env=given, capture_output=True, text=True, timeout=60)
    assert (away.returncode, away.stderr.count("\n")) == (2, 1)
    assert "start it with `hailwhale up`" in away.stderr
    with EmbeddedRedis(tmp_path / "var") as server:
        for said in ("5,000 of 5,000 rows counted", "nothing to count: all 5,000 rows were counted"):
            done = subprocess.run(words, env=given, capture_output=True, text=True, timeout=60)
            assert (done.returncode, said in done.stderr) == (0, True), done.stderr
            assert sold(load(given).replace(redis_url=server.url)) == 2 * ROWS


def test_into_rabbitmq_waits_while_the_queue_is_full(
    tmp_path: Path, words: list[str], redis_server: RedisServer, rabbitmq: RabbitMQ, unique: str
) -> None:
    url = f"redis://127.0.0.1:{redis_server.port}/9"
    given = environ(
        DATA_DIR=str(tmp_path / "var"),
        REDIS_URL=url,
        BROKER_URL=rabbitmq.url,
        QUEUE=unique,
        QUEUE_MAX_MESSAGES="5",
        APPLY_MAX_HITS="100",
    )
    settings = load(given)
    Broker(settings).close()  # makes the queue
    with open(tmp_path / "said", "w") as said:
        importing = subprocess.Popen(words, env=given, stderr=said)
        wait_until(lambda: rabbitmq.depth(unique) >= 5, what="a full queue")
        time.sleep(0.5)  # it is refused, and tries again
        assert importing.poll() is None
        worker = subprocess.Popen(worker_command(settings), env=given, stderr=subprocess.DEVNULL)
        try:
            assert importing.wait(60) == 0, (tmp_path / "said").read_text()
            wait_until(lambda: sold(settings) == 2 * ROWS, what="all rows")
            again = subprocess.run(words, env=given, capture_output=True, text=True, timeout=60)
            assert (again.returncode, "nothing to count" in again.stderr) == (0, True), again.stderr
            undone = subprocess.run([*words, "--undo"], env=given, capture_output=True, text=True, timeout=60)
            assert (undone.returncode, "5,000 of 5,000 rows taken back" in undone.stderr) == (0, True), undone.stderr
            wait_until(lambda: sold(settings) == 0, what="nothing")
        finally:
            worker.terminate()
            worker.wait(60)
    assert "5,000 of 5,000 rows handed to RabbitMQ, refused: none" in (tmp_path / "said").read_text()
    audited = subprocess.run([*words[:3], "audit"], env=given, capture_output=True, text=True, timeout=60)
    assert audited.returncode == 0, audited.stdout


def test_an_import_killed_anywhere_counts_each_row_once_and_is_taken_back_once(
    tmp_path: Path, redis_server: RedisServer, unique: str
) -> None:
    kill_imports(tmp_path, redis_server, unique, kills=1, rows=2700)


@pytest.mark.long(part="kills")
def test_an_import_killed_very_often(tmp_path: Path, redis_server: RedisServer, unique: str) -> None:
    kill_imports(tmp_path, redis_server, unique, kills=12, rows=27_000)


def kill_imports(folder: Path, redis_server: RedisServer, unique: str, kills: int, rows: int) -> None:
    """An import, an append and an undo, each killed `kills` times at a random moment; on four shards."""
    given = environ(DATA_DIR=str(folder), REDIS_URL=f"redis://127.0.0.1:{redis_server.port}/10", SHARDS="4")
    given["HAILWHALE_APPLY_MAX_HITS"] = "100"
    settings, chance, importing = load(given), random.Random(unique), Importing(folder, given)
    redis_server.client(db=10).flushdb()
    whale = Whale.connect(settings)

    def sums() -> tuple[float, float]:
        return tuple(whale.total("shop", name, period="2016-01-01..2017-01-01") for name in ("hits", "sold"))

    for words in ((), (), ("--undo",)):
        if not words:
            importing.grow(rows)
        for _ in range(kills):
            importing.killed(chance, lambda: sums()[0], *words)
        process = importing.start(*words)
        said = process.communicate(timeout=300)[1]
        is_undone = "there is nothing to undo" in said  # the one that was killed had come to its end
        assert process.returncode == (1 if is_undone else 0), said
        assert sums() == ((0, 0) if words else (importing.rows, 2 * importing.rows))
        assert audit(whale.store, ACCOUNT, Look(settings), wait_s=0).closes
    importing.ends()
    assert sums() == (importing.rows, 2 * importing.rows)


@pytest.mark.parametrize(
    "fault",
    [
        "before-note:2",
        "between-shards:2",
        *(
            pytest.param(fault, marks=pytest.mark.long(part="kills"))
            for fault in ("before-note:1", "before-apply:2", "after-apply:2")
        ),
    ],
)
def test_an_import_killed_at_an_exact_place(tmp_path: Path, redis_server: RedisServer, fault: str) -> None:
    given = environ(DATA_DIR=str(tmp_path), REDIS_URL=f"redis://127.0.0.1:{redis_server.port}/10", SHARDS="4")
    given["HAILWHALE_APPLY_MAX_HITS"] = "100"
    settings, importing = load(given), Importing(tmp_path, given)
    redis_server.client(db=10).flushdb()
    whale = Whale.connect(settings)

    def sums() -> list[float]:
        pks: list[Any] = ["shop", *(["shop", f"2016-01-01T10:00:0{i}Z"] for i in range(9))]
        return [whale.total(pk, "sold", period="2016-01-01..2017-01-01") for pk in pks]

    importing.grow(540)
    importing.dies(fault)
    importing.ends()
    assert sums() == [1080, *[120] * 9]
    importing.dies(fault, "--undo")
    importing.ends("--undo")
    assert sums() == [0] * 10
    assert audit(whale.store, ACCOUNT, Look(settings), wait_s=0).closes


@pytest.mark.parametrize("fault", ["before-note:1", "before-apply:1", "after-apply:1"])
def test_a_misspelt_column_leaves_the_name_free_also_for_an_import_that_is_killed(
    tmp_path: Path, redis_server: RedisServer, fault: str
) -> None:
    given = environ(DATA_DIR=str(tmp_path), REDIS_URL=f"redis://127.0.0.1:{redis_server.port}/10")
    importing, mapping = Importing(tmp_path, given), tmp_path / "m.toml"
    redis_server.client(db=10).flushdb()
    whale, right = Whale.connect(load(given)), mapping.read_text()
    importing.grow(540)
    mapping.write_text(right.replace('"sold"', '"slod"'))
    for words in ((), ("--again",)):
        process = importing.start(*words)
        assert "no column 'slod'" in process.communicate(timeout=120)[1]
        assert (process.returncode, whale.store.imports(ACCOUNT)) == (2, {})
    mapping.write_text(right)
    importing.dies(fault)
    importing.ends()
    assert whale.total("shop", "sold", period="2016-01-01..2017-01-01") == 1080


def test_a_broker_that_is_away_is_one_sentence(words: list[str], tmp_path: Path) -> None:
    given = environ(DATA_DIR=str(tmp_path), BROKER_URL="amqp://127.0.0.1:1//")
    away = subprocess.run(words, env=given, capture_output=True, text=True, timeout=60)
    assert (away.returncode, away.stderr.count("\n")) == (2, 1)
    assert away.stderr.startswith("hailwhale: RabbitMQ: ")

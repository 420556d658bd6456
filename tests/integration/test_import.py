"""`hailwhale import` into what a user runs: the embedded Redis, and RabbitMQ whose queue is full for a while."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hail.publish import Broker
from hail.settings import Settings, load
from tests.servers import RabbitMQ, RedisServer, wait_until
from whale.client import Whale
from whale.embedded import EmbeddedRedis
from whale.supervisor import worker_command

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
        for _ in range(2):
            done = subprocess.run(words, env=given, capture_output=True, text=True, timeout=60)
            assert (done.returncode, "5,000 of 5,000 rows counted" in done.stderr) == (0, True), done.stderr
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
        finally:
            worker.terminate()
            worker.wait(60)
    assert "5,000 of 5,000 rows handed to RabbitMQ, refused: none" in (tmp_path / "said").read_text()
    audit = subprocess.run([*words[:3], "audit"], env=given, capture_output=True, text=True, timeout=60)
    assert audit.returncode == 0, audit.stdout


def test_a_broker_that_is_away_is_one_sentence(words: list[str], tmp_path: Path) -> None:
    given = environ(DATA_DIR=str(tmp_path), BROKER_URL="amqp://127.0.0.1:1//")
    away = subprocess.run(words, env=given, capture_output=True, text=True, timeout=60)
    assert (away.returncode, away.stderr.count("\n")) == (2, 1)
    assert away.stderr.startswith("hailwhale: RabbitMQ: ")

"""Messages of version 2, and of a version that is still to come, on real servers: each is counted once or waits, and none is lost."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hail import columns
from hail.broker import Broker, dead_name
from hail.columns import encode
from hail.message import decode_message, encode_message
from hail.settings import load
from hail.spool import SpoolFolder, SpoolWriter
from tests.existing import make_accounts
from tests.farm import Farm
from tests.integration.test_hailwail import run
from tests.servers import RabbitMQ, RedisServer, wait_until
from tests.taken import section_of
from tests.unit.test_columns import altered
from whale.store.redis import connect

NEEDED = "message of version 3 with no more fields, this program reads 2"


def publisher_of(accounts: dict[str, int]) -> str:
    """One of this test alone: messages of several accounts are remembered under none of them."""
    return hashlib.sha256("".join(accounts).encode()).hexdigest()[:16]


def message(accounts: dict[str, int], seq: int = 0) -> bytes:
    """So many hits of each account."""
    publisher = publisher_of(accounts)
    at_ms = int(time.time() * 1000)
    hit = b'[["shop"],{"country":{"US":{}}},{"hits":1,"revenue":2500000},%d]' % at_ms
    sections = []
    for account, hits in accounts.items():
        of_one = decode_message(encode_message(publisher, seq, account, hits, at_ms, [hit] * hits))
        sections.append(section_of(account, hits, of_one.hits))
    return encode(publisher, seq, at_ms, sections)


def newer(accounts: dict[str, int], seq: int = 0) -> bytes:
    return altered(message(accounts, seq), version=columns.VERSION + 1)


def counted(redis: RedisServer, accounts: dict[str, int]) -> dict[str, int]:
    store = connect(load({"HAILWHALE_REDIS_URL": redis.url}))
    return {account: sum(row.hits for row in store.audit(account)) for account in accounts}


def send(farm: Farm, *bodies: bytes) -> None:
    broker = Broker(farm.settings)
    broker.send([(f"{seq}", body) for seq, body in enumerate(bodies)], 30)
    broker.close()


@pytest.fixture
def accounts(redis_server: RedisServer, unique: str) -> dict[str, int]:
    found = {f"{unique}-a": 3, f"{unique}-b": 4}
    make_accounts(connect(load({"HAILWHALE_REDIS_URL": redis_server.url})), *found)
    return found


@pytest.fixture
def farm(tmp_path: Path, redis_server: RedisServer, rabbitmq: RabbitMQ, unique: str) -> Iterator[Farm]:
    with Farm(tmp_path, redis_server, rabbitmq, queue=unique) as farm:
        yield farm


def test_a_worker_counts_each_account_of_a_message_once(farm: Farm, accounts: dict[str, int]) -> None:
    body = message(accounts)
    send(farm, body, body)
    wait_until(lambda: counted(farm.redis, accounts) == accounts, what="the hits of both accounts")
    farm.worker.kill9()
    send(farm, body)
    farm.worker.start()
    send(farm, message(accounts, 1))
    twice = {account: 2 * hits for account, hits in accounts.items()}
    wait_until(lambda: counted(farm.redis, accounts) == twice, what="the second message")


def test_what_is_for_a_later_version_waits_and_the_rest_is_counted(farm: Farm, accounts: dict[str, int]) -> None:
    assert farm.rabbitmq
    send(farm, newer(accounts), message(accounts, 1))
    wait_until(lambda: counted(farm.redis, accounts) == accounts, what="the hits that it can read")
    wait_until(lambda: "message of version 3" in farm.worker.said(), what="the version that is needed")
    assert farm.rabbitmq.depth(dead_name(farm.settings)) == 0
    farm.worker.stop()
    assert farm.rabbitmq.depth(farm.queue) == 1
    assert farm.rabbitmq.depth(dead_name(farm.settings)) == 0
    assert counted(farm.redis, accounts) == accounts


def test_hailwail_leaves_the_files_of_a_later_version_and_ships_them(
    tmp_path: Path, redis_server: RedisServer, rabbitmq: RabbitMQ, accounts: dict[str, int], unique: str
) -> None:
    folder = SpoolFolder(tmp_path)
    for bodies in ([message(accounts), message(accounts, 1)], [message(accounts, 2), newer(accounts, 3)]):
        writer = SpoolWriter(folder, publisher_of(accounts), file_mb=2, limit_mb=100, marked=True)
        writer.reserve(map(len, bodies))
        writer.append(bodies)
        writer.seal()
    environ = {**os.environ, "HAILWHALE_DATA_DIR": str(tmp_path), "HAILWHALE_REDIS_URL": redis_server.url}
    left = folder.names()[1]
    done = run(environ, "--apply")
    assert done.stdout == "hailwail: 2 messages with 14 hits applied, 1 files done, 1 files for a later version\n"
    assert (done.returncode, done.stderr) == (1, f"hailwail: {left} stays in the spool: {NEEDED}\n")
    assert counted(redis_server, accounts) == {account: 2 * hits for account, hits in accounts.items()}
    assert folder.names() == [left]
    shipped = run({**environ, "HAILWHALE_BROKER_URL": rabbitmq.url, "HAILWHALE_QUEUE": unique})
    assert (shipped.returncode, shipped.stderr) == (0, "")
    assert shipped.stdout == "hailwail: 2 messages with 14 hits shipped, 1 files done\n"
    assert rabbitmq.depth(unique) == 2
    assert folder.names() == []

"""A hit that no program can read, on every way to the store: its neighbours count, the audit closes, and people can see it."""

import subprocess
import time
from pathlib import Path

import pytest

from hail.message import decode_message, encode_message
from hail.settings import Settings, load
from hail.spool import SpoolFolder, SpoolWriter
from tests.integration.test_doctor import environ, kill_messages, run, send, worker
from tests.servers import RabbitMQ, RedisServer, wait_until
from whale.client import Whale
from whale.commands.supervisor import worker_command
from whale.count.hailwail import Apply, Hailwail, Ship

__all__ = ["worker"]

NOW = time.time()
ONE = "1" * 16
GOOD = b'[["shop"],{},{"hits":1},%d]' % int(NOW * 1000)
BAD = b'[["shop"],{},{"hits":1},%d,null,null,null,{"low":["max",%d]' % (int(NOW * 1000), int(NOW * 1000))
TALL = b'[["shop"],{"a":5},{"hits":1},%d]' % int(NOW * 1000)
LARGE = b'[["shop"],{},{"hits":1,"m":%d},%d]' % (2**70, int(NOW * 1000))
BODY = encode_message(ONE, 0, "default", 6, int(NOW * 1000), [GOOD, BAD, GOOD, TALL, GOOD, LARGE])


@pytest.fixture
def settings(own_redis: RedisServer, rabbitmq: RabbitMQ, unique: str, tmp_path: Path) -> Settings:
    return load({}).replace(redis_url=own_redis.url, broker_url=rabbitmq.url, queue=unique, data_dir=str(tmp_path))


def check(settings: Settings) -> None:
    """All that can be read is counted once, the rest is dropped by name and shown, and the sums close."""
    store = Whale.connect(settings).store
    wait_until(lambda: sum(row.hits for row in store.audit("default")) == 6, what="what was sent")
    audit = run(settings, "audit", "--wait", "20")
    assert audit.exit_code == 0, audit.output
    assert f"{ONE}\t6\t3\t0\t3\t0\t0\t0\t0" in audit.output
    assert "dropped: 3 undecodable_hit" in audit.output
    assert Whale.connect(settings).total("shop") == 3
    dead = run(settings, "doctor", "--dead")
    assert dead.exit_code == 1
    first, second, third, said = dead.output.splitlines()
    assert first.startswith(f"{ONE}-0.1: undecodable_hit, ")
    assert first.endswith(f" ago, {len(BAD)} bytes kept: {BAD.decode()}")
    assert second.startswith(f"{ONE}-0.3: undecodable_hit, ")
    assert second.endswith(f": {TALL.decode()}")
    assert third.startswith(f"{ONE}-0.5: undecodable_hit, ")
    assert third.endswith(f": {LARGE.decode()}")
    assert said == "0 dead messages, 3 unreadable hits"
    assert len(run(settings, "doctor", "--dead", f"{ONE}-0.3").output.splitlines()) == 2
    assert "store: 3 unreadable hits: `hailwhale doctor --dead` shows them" in run(settings, "doctor").output


def spool(settings: Settings) -> None:
    writer = SpoolWriter(SpoolFolder(settings.data_dir), ONE, file_mb=2, limit_mb=10)
    writer.reserve([len(BODY)])
    writer.append([BODY])
    writer.seal()


def test_by_a_replay_of_a_dead_message(settings: Settings, rabbitmq: RabbitMQ) -> None:
    send(settings, BODY)
    kill_messages(settings, rabbitmq, 1)
    assert f"{ONE}-0: 6 hits, rejected" in run(settings, "doctor", "--dead").output
    assert run(settings, "doctor", "--replay").exit_code == 0
    process = subprocess.Popen(worker_command(settings), env=environ(settings), stderr=subprocess.DEVNULL)
    try:
        check(settings)
    finally:
        process.terminate()
        process.wait(60)


def test_shipped_by_hailwail_to_a_worker_that_gets_it_twice(settings: Settings, worker: None) -> None:
    spool(settings)
    send(settings, BODY)
    hailwail = Hailwail(settings, Ship(settings), time.time, live=False, force=False)
    hailwail.once()
    assert (hailwail.hits, hailwail.set_aside, SpoolFolder(settings.data_dir).names()) == (6, [], [])
    check(settings)


def test_applied_by_hailwail_without_a_broker(settings: Settings) -> None:
    settings = settings.replace(broker_url="")
    spool(settings)
    hailwail = Hailwail(settings, Apply(settings, time.time), time.time, live=False, force=False)
    hailwail.once()
    assert (hailwail.hits, hailwail.set_aside, SpoolFolder(settings.data_dir).names()) == (6, [], [])
    check(settings)


def test_counted_at_once(settings: Settings) -> None:
    settings = settings.replace(broker_url="")
    Whale.connect(settings)._direct_now().apply(decode_message(BODY))
    check(settings)

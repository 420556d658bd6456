"""The promise on a farm: each accepted hit is counted once, whatever dies, hangs, comes twice or comes back.

Real Hail, hailwail and worker on real RabbitMQ and Redis, on four shards, while hits keep coming. After each scenario the
load's book is compared with the store value by value and the audit closes; after the last all of them once more.
"""

import os
import re
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import amqp
import pytest

from hail import broker
from hail.message import CONTENT_TYPE
from tests.farm import Farm
from tests.killing import kill_at_an_exact_place, kill_at_random_moments, kill_hail_and_its_master
from tests.load import Load
from tests.older_aof import put_back_an_older_aof
from tests.proxy import Proxy
from tests.servers import RabbitMQ, RedisServer, free_port, wait_until

ANSWERED_S = 1.0  # promised are 0.25 s, beside the work of a busy test machine
SHARDS = 4
LOGS = {"visitor_log": 1, "site_partitions": 3, "log_tail_records": 64}
"""Each hit is one of a site, so that it is logged, too; tails are packed every few seconds."""


@pytest.fixture(
    scope="module",
    params=[2, pytest.param(1, marks=pytest.mark.long(part="kills"))],
    ids="messages of version {}".format,
)
def running(
    request: pytest.FixtureRequest,
    rabbitmq: RabbitMQ,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Farm]:
    """One farm for all scenarios, on a Redis of its own."""
    folder, queue = tmp_path_factory.mktemp("farm"), f"proof-{secrets.token_hex(4)}"
    version = request.param
    settings = {"shards": SHARDS, "message_version": version, "mirror_mb": 4, **LOGS}
    with RedisServer() as redis, Farm(folder, redis, rabbitmq, queue, **settings) as farm:
        yield farm


@pytest.fixture
def farm(running: Farm) -> Farm:
    """The farm, with what the test before left dead running again."""
    running.redis.start()
    running.start()
    return running


class Copies:
    """A queue that gets a copy of each message, from where they are published a second time."""

    def __init__(self, rabbitmq: RabbitMQ, queue: str):
        self._queue, self._copies = queue, f"{queue}.copies"
        self._connection = rabbitmq.connect()
        self._channel = self._connection.channel()
        self._channel.queue_declare(self._copies, exclusive=True)
        self._channel.queue_bind(self._copies, queue, queue)

    def __enter__(self) -> "Copies":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def publish(self) -> int:
        """Publishes again what was published since the last time; how many."""
        count = 0
        while (got := self._channel.basic_get(self._copies, no_ack=True)) is not None:
            self._channel.basic_publish(amqp.Message(got.body, **got.properties), "", self._queue)
            count += 1
        return count


def test_a_worker_killed_at_random_moments(farm: Farm, unique: str) -> None:
    kill_at_random_moments(farm, farm.worker, unique)


@pytest.mark.parametrize(
    "fault",
    [
        "before-apply:2",
        "between-shards:2",
        "in-flight:2",
        "before-log:2",
        "among-logs:2",
        "after-apply:2",
        "before-ack:9",
    ],
)
def test_a_worker_killed_at_an_exact_place(farm: Farm, unique: str, fault: str) -> None:
    kill_at_an_exact_place(farm, farm.worker, fault, unique)


def test_five_kills_of_a_worker_dead_letter_nothing(farm: Farm, unique: str) -> None:
    farm.worker.kill9()
    with farm.load(unique) as load:
        for _ in range(5):
            farm.worker.start("before-apply")
            farm.worker.dies()
        farm.worker.start()
    farm.settle(load)


def test_a_hail_process_killed_by_itself_and_with_its_master(farm: Farm, unique: str) -> None:
    kill_hail_and_its_master(farm, unique)


def test_what_a_killed_hail_had_spooled_is_shipped_by_hailwail(farm: Farm, unique: str) -> None:
    farm.hail.stop()
    farm.hail.start(HAILWHALE_BROKER_URL=f"amqp://127.0.0.1:{free_port()}//")
    farm.wait_for_hail(broker="down")
    with farm.load(unique) as load:
        load.more(300)
        assert farm.spool.names()
        farm.hail.kill9()
        farm.hail.start()
        load.more(50)
    farm.settle(load)


def test_hailwail_killed_while_it_ships_and_two_at_once(farm: Farm, unique: str) -> None:
    farm.hail.stop()
    farm.hail.start(HAILWHALE_BROKER_URL=f"amqp://127.0.0.1:{free_port()}//", HAILWHALE_HAIL_PROCESSES="2")
    farm.wait_for_hail(broker="down")
    farm.hailwail.kill9()
    with farm.load(unique) as load:
        for fault in ("before-send", "after-send"):
            farm.hailwail.start(fault)
            load.more(50)
            unlock_spool(farm)
            farm.hailwail.dies()
        for _ in range(2):
            farm.hailwail.start()
            farm.other_hailwail.start()
            load.more(50)
            there = wait_until(lambda: set(farm.spool.names()), what="a spool file")
            unlock_spool(farm)
            wait_until(lambda there=there: there - set(farm.spool.names()), what="a file to be shipped")
            farm.hailwail.kill9()
            farm.other_hailwail.kill9()
        farm.hailwail.start()
        farm.other_hailwail.start()
        farm.hail.kill9()
        farm.hail.start()
        load.more(50)
    farm.settle(load)
    farm.other_hailwail.stop()


def unlock_spool(farm: Farm) -> None:
    """Kills Hail's processes, whose spool files are then nobody's; gunicorn starts others."""
    for child in farm.hail.children():
        os.kill(child, signal.SIGKILL)


def all_are_answered_while(farm: Farm, unique: str, disturbed: Callable[[Load], None]) -> None:
    """Every request of a disturbed time is accepted, and soon."""
    with farm.load(unique) as load:
        load.more(100)
        began = time.monotonic()
        disturbed(load)
        ended = time.monotonic()
        load.more(100)
    assert load.slowest(began, ended) < ANSWERED_S
    assert not load.refused
    assert not load.unanswered
    farm.settle(load)


def test_a_stopped_broker_holds_up_no_request(farm: Farm, rabbitmq: RabbitMQ, unique: str) -> None:
    def stopped(load: Load) -> None:
        rabbitmq.sigstop()
        load.more(600)
        rabbitmq.sigcont()

    all_are_answered_while(farm, unique, stopped)


def test_a_restarted_broker(farm: Farm, rabbitmq: RabbitMQ, unique: str) -> None:
    all_are_answered_while(farm, unique, lambda _: rabbitmq.restart())


def test_a_broker_under_a_memory_alarm(farm: Farm, rabbitmq: RabbitMQ, unique: str) -> None:
    with farm.load(unique) as load:
        load.more(100)
        rabbitmq.memory_alarm(True)
        began = time.monotonic()
        load.more(300)
        ended = time.monotonic()
        rabbitmq.memory_alarm(False)
        load.more(100)
    assert load.slowest(began, ended) < ANSWERED_S
    assert not load.refused
    assert not load.unanswered
    farm.settle(load)


def test_confirms_that_come_late(farm: Farm, rabbitmq: RabbitMQ, unique: str) -> None:
    with Proxy(rabbitmq.port) as proxy:
        farm.hail.stop()
        farm.hailwail.stop()  # so that the spool can be looked at, however long this takes
        farm.hail.start(HAILWHALE_BROKER_URL=proxy.url, HAILWHALE_BREAKER_S="0.05")
        farm.wait_for_hail()
        with farm.load(unique) as load:
            for _ in range(5):
                load.more(50)
                proxy.hold_confirms(1)
                wait_until(lambda: proxy.held, what="a confirm to be held back")
                load.more(50)
                proxy.release()
        assert farm.spool.names()  # what was not confirmed is there, and in the queue too
        farm.hail.stop()
    farm.start()
    farm.settle(load)


def test_every_message_delivered_twice(farm: Farm, rabbitmq: RabbitMQ, unique: str) -> None:
    farm.worker.kill9()
    farm.worker.start("twice")
    with Copies(rabbitmq, farm.queue) as copies:
        with farm.load(unique) as load:
            load.more(200)
            assert copies.publish() > 0  # while others come
            load.more(200)
        farm.settle(load)
        assert copies.publish() > 0  # after all were counted
        farm.settle(load)
    farm.worker.kill9()


def test_redis_killed_and_started_again_under_the_same_worker(farm: Farm, unique: str) -> None:
    with farm.load(unique) as load:
        for _ in range(3):
            load.more(150)
            farm.redis.kill9()
            load.more(150)
            farm.redis.start()
        load.more(50)
    assert farm.worker.running
    assert not load.refused
    farm.settle(load)


def test_a_worker_that_begins_without_redis_gives_its_messages_back_when_it_is_told_to_end(
    farm: Farm, unique: str
) -> None:
    load = farm.load(unique)
    farm.redis.kill9()
    farm.worker.kill9()
    farm.worker.start()
    with load:
        wait_until(
            lambda: re.search("WARNING.* waiting: Redis", farm.worker.said()), what="a worker that has a message"
        )
        farm.worker.stop()
        farm.redis.start()
        farm.worker.start()
    farm.settle(load)


def test_everything_killed_at_once(farm: Farm, rabbitmq: RabbitMQ, unique: str) -> None:
    with farm.load(unique) as load:
        load.more(200)
        farm.close()
        rabbitmq.kill9()
        farm.redis.kill9()
        farm.hail.start()
        load.more(200)  # Hail needs neither
        farm.redis.start()
        rabbitmq.start()
        farm.start()
        load.more(100)
    farm.settle(load)


def test_undecodable_messages_are_set_aside_and_their_neighbours_counted(
    farm: Farm, rabbitmq: RabbitMQ, unique: str
) -> None:
    sound = b'{"v":1,"publisher":"00112233445566aa","seq":0,"account":"default","total":0,"at":1,"hits":[%b]}'
    bad = [
        (b"", CONTENT_TYPE, broker.TASK),
        (b"\xff\x00 not JSON", CONTENT_TYPE, broker.TASK),
        (sound.replace(b'"v":1', b'"v":2') % b"", CONTENT_TYPE, broker.TASK),
        (sound.replace(b"aa", b"") % b"", CONTENT_TYPE, broker.TASK),
        ((sound % b'["a"]')[:-3], CONTENT_TYPE, broker.TASK),
        (b"[[], {}, {}]", "application/json", broker.TASK),
        (b"\x80\x04.", "application/x-python-serialize", broker.TASK),
        (sound % b"", CONTENT_TYPE, "somebody.elses.task"),
        (sound % b"", "text/plain", ""),
    ]
    with farm.load(unique) as load, rabbitmq.connect() as connection:
        channel = connection.channel()
        for body, content_type, task in bad:
            load.more(20)
            headers = {"task": task, "id": unique, "lang": "py"} if task else {}
            message = amqp.Message(
                body, content_type=content_type, content_encoding="binary", application_headers=headers, delivery_mode=2
            )
            channel.basic_publish(message, "", farm.queue)
        load.more(50)
    farm.settle(load, dead=len(bad))
    rabbitmq.purge(f"{farm.queue}.dead")
    assert farm.worker.running


def test_an_older_aof_under_a_running_worker(rabbitmq: RabbitMQ, unique: str, tmp_path: Path) -> None:
    with RedisServer() as redis, Farm(tmp_path, redis, rabbitmq, unique, shards=SHARDS, **LOGS) as farm:
        put_back_an_older_aof(farm, farm.worker, unique)
        rabbitmq.delete(unique, f"{unique}.dead")


def test_at_the_end_nothing_is_left_and_all_is_still_counted_once(farm: Farm) -> None:
    farm.finish()
    client = farm.redis.client()
    dictionaries = [key for key in client.scan_iter("default:*:n:*") if client.type(key) == b"hash"]
    assert any(client.hexists(key, "w") for key in dictionaries)  # some buckets were written whole

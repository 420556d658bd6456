"""The servers that other tests stand on do what their names say."""

import itertools
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import amqp
import pytest
import redis

from tests.servers import (
    FIRST,
    MEMORY,
    PAIR,
    RabbitMQ,
    RedisCluster,
    RedisServer,
    free_port,
    remove_what_dead_runs_left,
    wait_until,
)

ROOT = Path(__file__).parents[2]


def test_a_free_port_is_told_once() -> None:
    assert len({free_port() for _ in range(300)}) == 300


def test_a_free_port_is_told_to_one_process_alone() -> None:
    code = "from tests.servers import free_port; print(*[free_port() for _ in range(200)])"
    others = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) for _ in range(3)]
    told = [int(word) for other in others for word in other.communicate(timeout=120)[0].split()]
    assert (len(told), len(set(told))) == (600, 600)


def test_a_port_that_is_taken_is_told_to_nobody() -> None:
    with socket.socket() as taken, socket.socket() as bus:
        ahead = (FIRST + (free_port() + step - FIRST) % PAIR for step in itertools.count(50))  # their turn is to come
        ports = [bound(taken, ahead), bound(bus, (port + PAIR for port in ahead)) - PAIR]
        told = [free_port(also_free=True) for _ in range(200)]
        assert not set(told).intersection(ports)


def bound(taken: socket.socket, ports: Iterator[int]) -> int:
    for port in ports:
        with suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port
    raise AssertionError("ports came to an end")


def test_memory_that_a_killed_run_held_is_given_back(redis_server: RedisServer) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = MEMORY / f"hailwhale-redis-{ended.pid}-left"
    left.mkdir()
    remove_what_dead_runs_left.__wrapped__()
    assert not left.exists()
    assert redis_server.folder.exists()


def test_redis_keeps_what_it_confirmed_through_kill_9(redis_server: RedisServer, unique: str) -> None:
    with redis_server.client() as client:
        client.set(unique, "kept")
    redis_server.kill9()
    redis_server.start()
    with redis_server.client() as client:
        assert client.get(unique) == b"kept"


def test_redis_6_and_7_have_the_same_listpack_limit(redis_server: RedisServer, redis_62: RedisServer) -> None:
    limits, versions = [], []
    for server in (redis_server, redis_62):
        with server.client() as client:
            limits.append(client.config_get("hash-max-*-entries"))
            versions.append(client.info("server")["redis_version"].split(".")[0])
    assert versions == ["7", "6"]
    assert limits[0]["hash-max-listpack-entries"] == limits[1]["hash-max-ziplist-entries"] == "512"


def test_a_stopped_redis_answers_nothing_and_then_all(redis_server: RedisServer, unique: str) -> None:
    with redis_server.client() as patient, redis_server.client(socket_timeout=0.2) as hasty:
        hasty.ping()
        redis_server.sigstop()
        with pytest.raises(redis.TimeoutError):
            hasty.ping()
        redis_server.sigcont()
        assert patient.incr(unique) == 1


def test_the_cluster_spreads_keys_and_keeps_a_hash_tag_together(redis_cluster: RedisCluster, unique: str) -> None:
    client = redis_cluster.client()
    slots = {client.keyslot(f"{{{shard}}}:{unique}") for shard in range(64)}
    nodes = {client.nodes_manager.get_node_from_slot(slot).port for slot in slots}
    assert nodes == {node.port for node in redis_cluster.nodes}
    client.mset_nonatomic({f"{{{shard}}}:{unique}": shard for shard in range(64)})
    assert client.eval("return redis.call('GET', KEYS[1])", 1, f"{{17}}:{unique}") == b"17"
    client.close()


def publish(channel: amqp.Channel, queue: str) -> None:
    channel.basic_publish_confirm(amqp.Message(b"x", delivery_mode=2), routing_key=queue, confirm_timeout=1)


def test_rabbitmq_keeps_a_confirmed_message_through_stop_and_start(rabbitmq: RabbitMQ, unique: str) -> None:
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        channel.queue_declare(unique, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        publish(channel, unique)
    rabbitmq.restart()
    wait_until(lambda: rabbitmq.depth(unique) == 1, what="the message")
    rabbitmq.purge(unique, "never-declared")
    assert rabbitmq.depth(unique) == 0
    rabbitmq.delete(unique)


def test_a_memory_alarm_holds_publishers_back_until_it_is_cleared(rabbitmq: RabbitMQ, unique: str) -> None:
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        channel.queue_declare(unique, durable=True, auto_delete=False)
        rabbitmq.memory_alarm(True)
        with pytest.raises(TimeoutError):
            publish(channel, unique)
        rabbitmq.memory_alarm(False)
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        publish(channel, unique)
    rabbitmq.delete(unique)


def test_a_stopped_rabbitmq_confirms_nothing_and_then_goes_on(rabbitmq: RabbitMQ, unique: str) -> None:
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        channel.queue_declare(unique, durable=True, auto_delete=False)
        publish(channel, unique)  # the first one also asks for confirms, and waits for that answer
        rabbitmq.sigstop()
        with pytest.raises(TimeoutError):
            publish(channel, unique)
        rabbitmq.sigcont()
    wait_until(lambda: rabbitmq.depth(unique) == 2, what="the message that was only not confirmed in time")
    rabbitmq.delete(unique)

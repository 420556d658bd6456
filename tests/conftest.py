"""Fixtures every test may use. Servers are started by the first test that asks, one of each a run.

A missing server skips the test on a laptop and fails it in CI (CI=true).
"""

import itertools
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

import pytest

from tests.servers import RabbitMQ, RedisCluster, RedisServer, ServerMissing, find_redis_62, missing

RUN, COUNTER = secrets.token_hex(4), itertools.count(1)
Server = TypeVar("Server", RabbitMQ, RedisCluster, RedisServer)


def started(make: Callable[[], AbstractContextManager[Server]]) -> Iterator[Server]:
    try:
        server = make()
    except ServerMissing as error:
        missing(error)
    with server as running:
        yield running


@pytest.fixture
def unique() -> str:
    """A name no other test has, in this run or another: an account, a key prefix, a queue."""
    return f"t{RUN}-{next(COUNTER)}"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Redis 7, AOF always."""
    yield from started(RedisServer)


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """Redis 7, AOF always, for one test alone."""
    yield from started(RedisServer)


@pytest.fixture(scope="session")
def redis_62() -> Iterator[RedisServer]:
    """Redis 6.2, from a wheel."""
    yield from started(lambda: RedisServer(find_redis_62()))


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """Three masters on loopback."""
    yield from started(RedisCluster)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """One RabbitMQ node."""
    yield from started(RabbitMQ)


@pytest.fixture(autouse=True)
def shared_servers_run_again(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test stopped, killed or alarmed is put right for the next one."""
    yield
    names = request.fixturenames
    if "rabbitmq" in names:
        request.getfixturevalue("rabbitmq").rest()
    for name in {"redis_server", "redis_62"}.intersection(names):
        server: RedisServer = request.getfixturevalue(name)
        if server.running:
            server.sigcont()
        server.start()

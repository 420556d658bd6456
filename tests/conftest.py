"""Fixtures every test may use. Servers are started by the first test that asks, one of each a run.

A missing server skips the test on a laptop and fails it in CI (CI=true).
"""

import gc
import itertools
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import pytest
from hypothesis import settings as hypothesis_settings

from hail.settings import DAY
from tests import groups
from tests.laws import CI
from tests.servers import RabbitMQ, RedisCluster, RedisServer, ServerMissing, find_redis_62, missing

hypothesis_settings.load_profile(CI)

LASTS_S = 120  # longer than any test that reads what it counted today
RUN, COUNTER = secrets.token_hex(4), itertools.count(1)
Server = TypeVar("Server", RabbitMQ, RedisCluster, RedisServer)


def started(make: Callable[[], AbstractContextManager[Server]]) -> Iterator[Server]:
    try:
        server = make()
    except ServerMissing as error:
        missing(error)
    with server as running:
        yield running


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> groups.InGroups:
    return groups.InGroups(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups.sort(items)


def pytest_collection_finish() -> None:
    gc.freeze()  # thousands of tests and all modules stay: to look for garbage among them takes a sixth of a run


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """No test of whole services runs over midnight: what it counts today it reads today. This waiting is not its time."""
    left_s = DAY - time.time() % DAY
    if left_s < LASTS_S and "integration" in item.path.parts:
        time.sleep(left_s + 0.1)
    return (yield)


@pytest.fixture(autouse=True, scope="session")
def patient() -> Iterator[None]:
    """Servers on a machine that is busy with other tests may be slow: where a test is not about that, it waits for them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("whale.decide.decider.HURRY_S", 5.0)
        patched.setattr("hail.broker.CONNECT_S", 20.0)
        patched.setattr("whale.health.queues.CONNECT_S", 20.0)
        yield


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


@pytest.fixture(scope="module")
def module_redis() -> Iterator[RedisServer]:
    """Redis 7, AOF always, for the tests of one module."""
    yield from started(RedisServer)


@pytest.fixture(scope="module")
def quick_redis() -> Iterator[RedisServer]:
    """Redis 7 without AOF, for the tests of one module."""
    yield from started(lambda: RedisServer(appendonly="no"))


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

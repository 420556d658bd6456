"""Every store there is: the reference in memory, Redis 7, Redis 6.2, a Redis Cluster of three on loopback."""

import threading
from typing import Any

import pytest
from redis.connection import AbstractConnection

from hail.settings import Settings, load
from whale.store import connect
from whale.store.base import Store
from whale.store.memory import MemoryStore

IN_REDIS = ("redis_server", "redis_62", "redis_cluster")
STORES = ("memory", *IN_REDIS)


@pytest.fixture(params=STORES)
def settings(request: pytest.FixtureRequest) -> Settings:
    return settings_of(request.param, request)


def settings_of(store: str, request: pytest.FixtureRequest) -> Settings:
    environ = {}
    if store != "memory":
        environ["HAILWHALE_REDIS_URL"] = request.getfixturevalue(store).url
    if store == "redis_cluster":
        environ["HAILWHALE_REDIS_URL"] = environ["HAILWHALE_REDIS_URL"].replace("redis://", "redis+cluster://")
        environ["HAILWHALE_SHARDS"] = "8"
    return load(environ)


def open_store(settings: Settings) -> Store:
    """A store as another process would open it; the one in memory is always new."""
    return connect(settings) if settings.redis_url else MemoryStore(settings)


@pytest.fixture
def store(settings: Settings) -> Store:
    return open_store(settings)


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The server of each packet of commands that this thread sends."""
    sent: list[str] = []
    thread = threading.get_ident()
    send = AbstractConnection.send_packed_command

    def counted(self: Any, command: Any, *args: Any, **more: Any) -> None:
        if threading.get_ident() == thread:
            sent.append(f"{self.host}:{self.port}")
        send(self, command, *args, **more)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)
    return sent

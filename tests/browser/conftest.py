"""What tests in the browser share. Each starts with the first test that asks for it, and runs until the last."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from playwright.sync_api import Page

from hail.settings import load
from tests.browser.visits import Chromium
from tests.conftest import started
from tests.farm import Farm
from tests.servers import RabbitMQ, RedisServer
from tests.up import Demo, Up
from tests.wsgi import serving
from whale.client import Whale
from whale.store.memory import MemoryStore
from whale.web import make_app


class Site(NamedTuple):
    """Where hits are sent, where questions are asked and pages opened, and, where a test asks for it, the live service."""

    hail: str
    whale: str
    live: str = ""
    write_key: str = ""


def whale_with(**settings: str) -> Whale:
    in_force = load({f"HAILWHALE_{name.upper()}": value for name, value in settings.items()})
    return Whale(MemoryStore(in_force), in_force)


@contextmanager
def served(page: Page, whale: Whale) -> Iterator[str]:
    """Its address. At the end the page leaves it, so that no request of it is cut off."""
    with serving(make_app(whale.settings, whale)) as address:
        yield address
        page.goto("about:blank")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    yield from started(Chromium)


@pytest.fixture
def visit(chromium: Chromium) -> Iterator[tuple[Page, list[str]]]:
    """A page and its faults. Any fault that is left at the end fails the test."""
    with chromium.visit() as one:
        yield one


@pytest.fixture
def page(visit: tuple[Page, list[str]]) -> Page:
    return visit[0]


@pytest.fixture
def faults(visit: tuple[Page, list[str]]) -> list[str]:
    """For a test that expects one, and takes it out."""
    return visit[1]


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`hailwhale up`."""
    up = Up(tmp_path_factory.mktemp("embedded") / "var")
    up.start()
    yield Site(f"http://{up.hail}", f"http://{up.whale}")
    up.stop(signal.SIGTERM)


CUSTOMER = ("cafe/anna", "correct horse")
LOCKED = {"write_key": "w" * 20, "read_key": "r" * 20, "admin_key": "a" * 20}


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`hailwhale up` with the keys LOCKED, and the user CUSTOMER; write_key: of their account."""
    up = Up(tmp_path_factory.mktemp("locked") / "var", **LOCKED)
    up.start()
    name, password = CUSTOMER
    up.command_line("account", "add", name.partition("/")[0])
    up.command_line("user", "add", name, "--right", "counts=read", given=f"{password}\n")
    key = up.command_line("key", "add", name.partition("/")[0], "--scope", "write")
    yield Site(f"http://{up.hail}", f"http://{up.whale}", f"http://{up.live}", key)
    up.stop(signal.SIGTERM)


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory, rabbitmq: RabbitMQ) -> Iterator[Site]:
    """Hail, RabbitMQ, a worker, Whale; on a Redis that no other test stops."""
    folder = tmp_path_factory.mktemp("farm")
    with RedisServer() as redis, Farm(folder, redis, rabbitmq, "browser", message_version=2) as farm:
        farm.start_whale()
        yield Site(farm.url, farm.whale_url)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`hailwhale up --demo`, with all that it has to tell."""
    up = Demo(tmp_path_factory.mktemp("demo") / "var", 5)
    up.start()
    up.wait()
    yield Site(f"http://{up.hail}", f"http://{up.whale}")
    up.stop(signal.SIGTERM)


@pytest.fixture(params=["embedded", "farm"])
def site(request: pytest.FixtureRequest) -> Site:
    """First the one, then the other."""
    found: Site = request.getfixturevalue(request.param)
    return found

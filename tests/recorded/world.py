"""Where recorded answers come from: services in process, on one clock, with what they draw told to them.

This is the only module of the recorder that names modules which are no front door: a move of code edits these imports.
"""

import importlib
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

import whale.client
from hail.access import RIGHTS as RIGHTS
from hail.hit import Row
from hail.packing import Form, Most, Packed
from hail.pixel import token_of
from hail.publish import Publisher
from hail.settings import Settings, load
from hail.web import make_app as hail_app
from tests.wsgi import Answer, call
from whale.cli import main
from whale.client import Whale
from whale.store.memory import MemoryStore
from whale.store.redis import connect
from whale.web import make_app as whale_app

NOW = datetime(2026, 11, 18, 14, 35, 20, tzinfo=UTC).timestamp()
DAY = 86_400
KEYS = {"write_key": "w" * 20, "read_key": "r" * 20, "admin_key": "a" * 20}
PIXEL_KEY = "p" * 40


class _NoTimer(threading.Timer):
    """A timer that never comes: what waits for it is asked for."""

    def start(self) -> None:
        pass


class Became(Exception):
    """This process would be another one now."""


def become(path: str, command: list[str]) -> None:
    raise Became(" ".join("python" if word == sys.executable else word for word in command))


@contextmanager
def fixed() -> Iterator[None]:
    """What this thread draws comes from a fixed seed; no setting comes from the environment; local time is UTC.

    Threads that an earlier test left behind draw what they drew: each draw of theirs would move all that follow.
    """
    drawn, draws, token_hex = Random(1), threading.get_ident(), secrets.token_hex

    def drawn_hex(size: int = 16) -> str:
        return drawn.randbytes(size).hex() if threading.get_ident() == draws else token_hex(size)

    with pytest.MonkeyPatch.context() as patched:
        for name in [name for name in os.environ if name.startswith("HAILWHALE_")]:
            patched.delenv(name)
        for name in ("LANG", "LC_ALL", "COLUMNS", "LINES"):
            patched.delenv(name, raising=False)
        patched.setenv("TZ", "UTC")
        time.tzset()
        patched.setattr(secrets, "token_hex", drawn_hex)
        patched.setattr(token_of, "__defaults__", (drawn.randbytes,))
        patched.setattr(threading, "Timer", _NoTimer)
        patched.setattr(os, "execv", become)
        patched.setattr(whale.client, "_connections", {})
        try:
            yield
        finally:
            patched.undo()
            time.tzset()


@contextmanager
def data_elsewhere() -> Iterator[None]:
    """Programs that are started find an empty data folder, whatever lies in the one here."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setenv("HAILWHALE_DATA_DIR", folder)
        yield


def settings_of(**settings: str) -> Settings:
    return load({f"HAILWHALE_{name.upper()}": value for name, value in settings.items()})


class WhaleWorld:
    """A Whale on the memory store, and its HTTP."""

    def __init__(self, kind: type[Whale] = Whale, **settings: str):
        self.settings = settings_of(**settings)
        self.now = NOW
        store = MemoryStore(self.settings)
        store.events._clock = lambda: self.now  # a store that begins a log reads a clock of its own
        self.whale = kind(store, self.settings, clock=lambda: self.now, random=np.random.default_rng(1))
        self.app = whale_app(self.settings, self.whale)

    def call(self, method: str, path: str, **given: Any) -> Answer:
        answer = call(self.app, method, path, **given)
        self.settle()
        return answer

    def settle(self) -> None:
        """What is done soon, is done: trials are counted, the spy is told."""
        self.whale.flush()
        self.whale.refusals._witness.tell()


class Shown(Packed):
    """put_in: wire form and cells of each hit."""

    def __init__(self, form: Form, most: Most, *hits: tuple[Row, int]):
        self.put_in: list[tuple[bytes, int]] = []
        super().__init__(form, most, *hits)

    def put(self, piece: Any, cells: int) -> None:
        self.put_in.append((piece, cells))
        super().put(piece, cells)


class Captured(Publisher):
    """A publisher that keeps what it is given."""

    def __init__(self, settings: Settings):
        super().__init__(settings, lambda: NOW)
        self.taken: list[str] = []

    def pack(self, *hits: tuple[Row, int]) -> Packed:
        return Shown(self.form, self._most, *hits)

    def pack_piece(self, piece: Any, cells: int) -> Packed:
        packed = Shown(self.form, self._most)
        packed.put(piece, cells)
        return packed

    def publish(self, account: str, hits: Packed) -> None:
        assert isinstance(hits, Shown)
        self.taken += [f"{account} {cells} {hit.decode()}" for hit, cells in hits.put_in]

    def note(self, account: str, refusal: Any) -> None:
        self.taken.append(f"{account} refusal {refusal}")

    def start(self) -> None:
        pass

    def status(self) -> dict[str, Any]:
        return {"spool": "ok", "broker": "none"}


class HailWorld:
    """A Hail whose hits are captured."""

    def __init__(self, **settings: str):
        self.settings = settings_of(**settings)
        self.publisher = Captured(self.settings)
        self.app = hail_app(self.settings, self.publisher, lambda: NOW)

    def call(self, method: str, path: str, **given: Any) -> Answer:
        return call(self.app, method, path, **given)

    def published(self) -> list[str]:
        """What was published since the last time."""
        taken, self.publisher.taken = self.publisher.taken, []
        return taken


def commands() -> dict[str, Any]:
    """The commands of the shell, with all that they are made of loaded."""
    for command in main.commands.values():
        if module := getattr(command, "module", ""):
            importlib.import_module(module)
    return {"hailwhale": main, "hailwail": importlib.import_module("whale.count.hailwail").main}


@contextmanager
def store_is(store: Any) -> Iterator[None]:
    """Whoever connects gets this store, wherever its module has the name from; and the time is that of the world."""
    with pytest.MonkeyPatch.context() as patched:
        for module in [each for name, each in sys.modules.items() if name.startswith("whale.")]:
            for name in [name for name, value in vars(module).items() if value is connect]:
                patched.setattr(module, name, lambda *_, **__: store)
        patched.setenv("HAILWHALE_REDIS_URL", "redis://127.0.0.1:1")
        patched.setattr(time, "time", lambda: NOW)
        yield


@contextmanager
def connected() -> Iterator[WhaleWorld]:
    """A world that is the default connection."""
    world = WhaleWorld(spy="0", pixel_key=PIXEL_KEY)
    world.whale._parts.publisher = Captured(world.settings)
    whale.client._connections.clear()
    whale.client._connections[whale.client.Whale] = world.whale
    try:
        yield world
    finally:
        whale.client._connections.clear()


def seed(whale: Whale) -> None:
    """Some weeks of a shop: nested pks, sums and all other kinds, ids, visitors, a reset, set buckets, and decisions."""
    drawn = Random(7)
    for i in range(160):
        at = NOW - drawn.randrange(40 * DAY) * (i % 4 != 0) - drawn.randrange(5 * 3600)
        country = drawn.choice(("US", "US", "DE", "FR", "Österreich"))
        dimensions: Any = {
            "country": {country: drawn.choice(("north", "south"))},
            "device": drawn.choice(("Mac", "PC")),
        }
        if i % 9 == 0:
            dimensions = ["page", f"/{drawn.randrange(14)}"]
        metrics: dict[str, Any] = {"revenue": round(drawn.uniform(-5, 60), 2), "sales": drawn.randrange(3)}
        if i % 3 == 0:
            metrics |= {
                "peak": {"max": drawn.randrange(900)},
                "least": {"min": drawn.randrange(900)},
                "stock": {"last": drawn.randrange(50)},
                "wait": {"quantile": round(drawn.expovariate(0.1), 3)},
                "visitors": "is_unique",
            }
        more = {"visitor": f"v{drawn.randrange(20)}"} | ({"id": f"order-{i // 2}"} if i % 10 < 2 else {})
        whale.count_now("shop", dimensions, metrics, at, **more)
        if i % 3 == 0:
            whale.count_now(["Product", str(drawn.randrange(100, 104))], {"country": country}, {"revenue": i / 4}, at)
    whale.count_now("shop", "__future__", {"revenue": 1}, NOW + 100)
    whale.count_now('odd, ["pk"]', [["a/b", "c d"], ["é 😀"]], {"a/b": 2, "x y": -0.000001}, NOW - 3600)
    whale.count_now("gone", {"a": "b"}, {"x": 1}, NOW - 2 * DAY)
    whale.reset("gone")
    whale.count_now("part", {"keep": "1", "drop": {"x": "y"}}, {"n": 3}, NOW - DAY)
    whale.reset("part", "drop")
    whale.count_now("zero", None, {"up": 0, "down": 0}, NOW)
    whale.update_count_to("shop", ["country", "US"], {"revenue": 500}, at=NOW - 3 * DAY, id="set-1")
    whale.update_count_to("shop", None, {"manual": 5}, period="1h:1d", at=NOW - 7200, id="set-2")
    for _ in range(60):
        option = drawn.choice("abc")
        value = drawn.random() < {"a": 0.1, "b": 0.4, "c": 0.25}[option]
        whale.count_decision(
            "banner", {"colour": option}, {"value": float(value)}, {"device": drawn.choice(("Mac", "PC"))}
        )
    whale.define_decision("page", options={"old": 1, "new": {"deep": [2]}}, by_metric="earned", default="old")
    whale.define_decision("share", options=["x", "y"], policy="split", weights={"x": 3, "y": 1}, holdout=0.1)
    whale.define_decision("done", options=["p", "q"], winner="q")
    whale.define_decision("off", options=["p", "q"], paused=True)
    whale.define_decision("past", options=["p", "q"], archived=True)
    for i in range(40):
        for name in ("page", "share"):
            made = whale.choose(name, f"v{i}", {"device": "Mac" if i % 3 else "PC"}).decision
            if i % 4 == 0 and made.decision_id:
                whale.reward(made.decision_id, {"earned": i, "value": 1})
    whale.flush()

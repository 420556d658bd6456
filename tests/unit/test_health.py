"""The state of all parts: what is told of it, what cannot be known, and Hails that lie, hang or never end."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from hail import __version__
from hail.message import decode_message, encode_message
from hail.settings import SettingsError, load
from hail.spool import SpoolFolder, SpoolWriter
from tests.servers import free_port
from tests.unit.test_whale_web import Door
from whale.client import Whale
from whale.count.apply import Applier
from whale.errors import Refused, Unavailable
from whale.health.hails import ANSWER_S, Said, ask
from whale.health.lag import Pace
from whale.health.probe import Probe, Unknown
from whale.store.memory import MemoryStore

NOW = 1_795_300_800.0
PUBLISHER = "1" * 16


def body(seq: int, hits: int, at: float, total: int) -> bytes:
    hit = f'[["a"],{{}},{{"hits":1}},{int(at * 1000)}]'.encode()
    return encode_message(PUBLISHER, seq, "default", total, int(at * 1000), [hit] * hits)


class Parts:
    """A Whale on the memory store, and a spool of its own."""

    def __init__(self, folder: Path, **settings: Any):
        self.settings = load({}).replace(data_dir=str(folder), **settings)
        self.store = MemoryStore(self.settings)
        self.whale = Whale(self.store, self.settings, clock=lambda: NOW)
        self.folder = SpoolFolder(str(folder))
        self.spool = SpoolWriter(self.folder, PUBLISHER, 4, 100)

    def spooled(self, *bodies: bytes) -> None:
        self.spool.reserve([len(each) for each in bodies])
        self.spool.append(list(bodies))

    def count(self, *bodies: bytes) -> None:
        Applier(self.store, self.settings).apply([decode_message(each) for each in bodies], NOW)


def test_what_is_counted_and_what_waits_closes(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    first, second = body(0, 3, NOW - 90, 3), body(1, 2, NOW - 42.5, 5)
    parts.spooled(first, second)
    parts.count(first)
    said = parts.whale.health()
    assert said["audit"] == {
        "closes": True,
        "accepted": 5,
        "counted": 3,
        "duplicate": 0,
        "dropped": {},
        "in_flight": 0,
        "spooled": 2,
        "dead_lettered": 0,
        "missing": 0,
        "unreadable_messages": 0,
        "faults": {},
        "evicted_keys": 0,
        "publishers": 1,
        "of": "this machine",
        "at": "2026-11-21T22:40:00Z",
    }
    assert said["lag_s"] == 42.5  # the first is counted
    assert (said["whale"], said["redis"]) == ({"ready": True}, {"state": "up", "why": ""})
    assert (said["queue"], said["hails"], said["dead"]) == (None, None, 0)
    assert said["versions"]["hailwhale"] == __version__
    assert said["why"] == {
        "queue": "HAILWHALE_BROKER_URL is empty: the spool is the queue",
        "hails": "HAILWHALE_HAIL_URLS is empty",
    }


def test_a_spool_that_is_too_large_to_add_up_is_told_and_its_lag_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whale.health.watch.MOST_SPOOLED", 100)
    parts = Parts(tmp_path)
    parts.spooled(body(0, 3, NOW - 400, 3))
    said = parts.whale.health()
    assert (said["audit"], said["lag_s"]) == (None, 400)
    assert said["why"]["audit"].endswith("MB: `hailwhale audit` adds them up")


def test_rabbitmq_that_is_away_leaves_the_rest_known(tmp_path: Path) -> None:
    parts = Parts(tmp_path, broker_url=f"amqp://guest:secret@127.0.0.1:{free_port()}/")
    said = parts.whale.health()
    unknown = {"queue", "audit", "lag_s", "dead"}
    assert {name for name in unknown if said[name] is None} == unknown
    assert said["why"]["queue"] == said["why"]["dead"] == said["why"]["lag_s"] == "RabbitMQ cannot be reached"
    assert said["redis"]["state"] == "up"
    assert "secret" not in str(said)


def test_the_state_asks_for_the_read_key() -> None:
    door = Door(write_key="w" * 16, read_key="r" * 16, admin_key="a" * 16)
    assert door.get("/health.json").status == 401
    assert door.get("/health.json", key="w" * 16).status == 401
    answer = door.get("/health.json", key="r" * 16)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json.keys() == door.whale.health().keys()
    assert Door().call("GET", "/health.json", headers={"HTTP_HOST": "elsewhere.example"}).status == 403
    assert door.call("POST", "/health.json", key="r" * 16).status == 405


@pytest.mark.parametrize(
    "text",
    [
        "hail",
        "127.0.0.1:8085",
        "ftp://hail:21",
        "http://hail:0",
        "http://hail:99999",
        "http://hail/readyz",
        "http://user:secret@hail",
        "http://hail?x=1",
        "http://hail#x",
        "file:///etc/passwd",
        ",".join(f"http://hail-{i}" for i in range(65)),
    ],
)
def test_only_plain_addresses_of_hails_are_settings(text: str) -> None:
    with pytest.raises(SettingsError, match="^HAILWHALE_HAIL_URLS: expected "):
        load({"HAILWHALE_HAIL_URLS": text})


def test_addresses_of_hails_are_listed_once() -> None:
    text = "http://10.0.0.5:8085/, https://Hail.example http://[::1]:8085,http://10.0.0.5:8085"
    given = load({"HAILWHALE_HAIL_URLS": text}).hail_urls
    assert given == ("http://10.0.0.5:8085", "https://hail.example", "http://[::1]:8085")
    assert load({}).hail_urls == ()


# Hails


@contextmanager
def answering(*parts: bytes, pause_s: float = 0.0, closes: bool = True) -> Iterator[tuple[str, list[bytes]]]:
    """A server at (its address, the requests that came): sends these parts to whoever connects."""
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            with suppress(OSError):
                wire, _ = listener.accept()
                with wire:
                    asked.extend(filter(None, [wire.recv(4096)]))
                    for part in parts:
                        wire.sendall(part)
                        over.wait(pause_s)
                    if not closes:
                        over.wait(30)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        over.set()
        with suppress(OSError):
            socket.create_connection(listener.getsockname(), 1).close()
        listener.close()
        thread.join(5)


def http(text: str, status: str = "200 OK", *heads: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *heads, "", text)).encode()


GOOD = '{"ready":true,"broker":"up","spool":"ok","spool_mb":1.5}'


def test_a_hail_says_whether_it_is_ready() -> None:
    with answering(http(GOOD)) as (url, asked):
        assert ask(url) == Said(True, "up", 1.5)
    assert asked[0].startswith(b"GET /readyz HTTP/1.0\r\nHost: 127.0.0.1:")
    with answering(http('{"ready":false,"broker":"down","spool":"full: x"}', "503 Service Unavailable")) as (url, _):
        assert ask(url) == Said(False, "down", None)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((b"x" * 10_000_000,), "expected at most 16384 bytes"),
        ((b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 10_000_000,), "expected at most 16384 bytes"),
        ((http(GOOD, "302 Found", "Location: http://169.254.169.254/"),), "got the status 302"),
        ((http(GOOD, "401 Unauthorized"),), "got the status 401"),
        ((b"",), "got something else"),
        ((b"SSH-2.0-OpenSSH\r\n",), "got something else"),
        ((b"HTTP/1.1 99999999999999999999 OK\r\n\r\n{}",), "got something else"),
        ((http("not json"),), "got something else"),
        ((http("[" * 10_000),), "got something else"),
        ((http('{"ready":"yes","broker":"up"}'),), "got something else"),
        ((http('{"ready":true,"broker":"<b>up</b>"}'),), "got something else"),
        ((http('{"ready":true,"broker":"up","spool_mb":"much"}'),), "got something else"),
        ((http('{"ready":true,"broker":"up","spool_mb":1e999}'),), "got something else"),
        ((http('{"ready":true,"broker":"up","spool_mb":NaN}'),), "got something else"),
        ((http('{"ready":true,"broker":"up","spool_mb":-5}'),), "got something else"),
        ((http('{"ready":true,"broker":"up","spool_mb":1e300}'),), "got something else"),
    ],
    ids=range(16),
)
def test_what_is_no_answer_of_a_hail_is_told(parts: tuple[bytes, ...], said: str) -> None:
    with answering(*parts) as (url, _), pytest.raises(Unknown, match=said):
        ask(url)


SLOW: dict[str, tuple[tuple[bytes, ...], float]] = {
    "hangs": ((), 0.0),
    "never ends": ((b"HTTP/1.1 200 OK\r\n",), 0.0),
    "drips": (tuple(bytes([each]) for each in http(GOOD)), 0.2),
}


def test_a_hail_that_is_slow_is_given_up_in_time() -> None:
    def said(name: str) -> tuple[str, float]:
        parts, pause_s = SLOW[name]
        began = time.monotonic()
        with answering(*parts, pause_s=pause_s, closes=False) as (url, _), pytest.raises(Unknown) as caught:
            ask(url)
        return str(caught.value), time.monotonic() - began

    with ThreadPoolExecutor() as pool:
        found = dict(zip(SLOW, pool.map(said, SLOW), strict=True))
    assert {name: why for name, (why, _) in found.items()} == dict.fromkeys(SLOW, f"no answer within {ANSWER_S:g} s")
    assert all(took_s < 5 * ANSWER_S for _, took_s in found.values()), found


def test_a_hail_that_redirects_sends_nobody_elsewhere(tmp_path: Path) -> None:
    with (
        answering(http(GOOD)) as (other, asked),
        answering(http("", "302 Found", f"Location: {other}/readyz")) as (url, _),
    ):
        (said,) = Parts(tmp_path, hail_urls=(url,)).whale.health()["hails"]
    assert (said["ready"], said["why"]) == (None, "expected the answer of a Hail, got the status 302")
    assert asked == []


def test_hails_are_asked_once_in_five_seconds_however_many_look(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with answering(http(GOOD)) as (url, asked), answering(closes=False) as (hanging, _):
        whale = Parts(tmp_path, hail_urls=(url, hanging, nobody)).whale
        threads = [threading.Thread(target=whale.health) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        good, hung, closed = whale.health()["hails"]
    assert len(asked) == 1
    assert good == {"url": url, "ready": True, "broker": "up", "spool_mb": 1.5}
    assert hung == {"url": hanging, "ready": None, "broker": None, "spool_mb": None, "why": "no answer within 1.5 s"}
    assert closed["why"] == f"{nobody}: Connection refused"


# Looks


def until(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


def test_nobody_waits_for_a_look_that_hangs_and_it_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    go, looks = threading.Event(), list[int]()

    def look() -> int:
        looks.append(1)
        go.wait(30)
        return len(looks)

    probe = Probe("it", look)
    assert probe.see(until(0.05))[0] is None
    began = time.monotonic()
    assert probe.see(until())[0] is None  # at once: somebody has waited in vain
    assert time.monotonic() - began < 5
    go.set()
    while probe.see(until(0.05))[0] is None:
        pass
    assert probe.see(until()) == (1, "")
    monkeypatch.setattr("whale.health.probe.EVERY_S", 0.0)
    assert probe.see(until()) == (2, "")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Unknown("it is unknown"), "it is unknown"),
        (Refused("it is full"), "it is full"),
        (Unavailable("Redis: redis.internal:6379 refused"), "it cannot be reached"),
        (ConnectionRefusedError(111, "Connection refused"), "it: Connection refused"),
        (RuntimeError("secret"), "it could not be looked at: the log of Whale says why"),
    ],
)
def test_a_look_that_fails_says_why_and_no_address(error: Exception, why: str) -> None:
    def look() -> None:
        raise error

    assert Probe("it", look).see(until()) == (None, why)


# The lag of a queue that shows no message


@pytest.mark.parametrize(
    ("looks", "lags"),
    [
        ([(0, 0, 0.0), (0, 0, 5.0)], [0, 0]),
        ([(0, 0, 0.0), (10, 100, 5.0)], [0, 0.5]),  # 20 a second
        ([(0, 0, 0.0), (50, 10, 5.0)], [0, 5]),  # 25 s at that pace, but it was empty 5 s ago
        ([(0, 0, 0.0), (9, 0, 5.0), (9, 0, 25.0), (9, 0, 45.0)], [0, 5, 25, 45]),  # nobody counts
        ([(9, 7, 0.0), (9, 7, 5.0), (9, 7, 30.0)], [0, 5, 30]),  # at least as long as it was watched
        ([(9, 7, 0.0), (9, 7, 20.0), (1, 15, 24.0), (0, 16, 25.0)], [0, 20, 0.5, 0]),
        ([(100, 0, 0.0), (100, 10, 5.0)], [0, 50]),  # longer than it was watched
        ([(9, 7, 0.0), (9, 7, 5.0), (1, 900, 3605.0), (1, 900, 3610.0)], [0, 5, 0, 5]),  # nobody looked for an hour
    ],
    ids=range(8),
)
def test_the_lag_of_a_queue_is_told_by_its_pace(looks: list[tuple[int, int, float]], lags: list[float]) -> None:
    pace = Pace()
    assert [pace.lag_s(*look) for look in looks] == lags

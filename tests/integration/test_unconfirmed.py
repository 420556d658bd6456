"""The third outcome: a request whose hits were taken and are not known to be durable is told so, and counters and audit agree
with what became of them."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from hail.hit import Reason
from hail.message import Message
from hail.publish import Publisher
from hail.settings import Settings, load
from hail.web import Hail, make_app
from tests.integration.test_publish import hit, queued, spooled
from tests.proxy import Proxy
from tests.servers import RabbitMQ, wait_until
from tests.wsgi import Answer, call
from whale.client import Whale
from whale.count.apply import Applier
from whale.errors import Unavailable
from whale.health.audit import Found, close
from whale.store.memory import MemoryStore

SHORT_S = 0.3  # for an answer
BATCH = b'[{"pk": "a"}, {"pk": "a"}]'


@pytest.fixture(autouse=True)
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hail.publish.ANSWER_S", SHORT_S)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"HAILWHALE_DATA_DIR": str(tmp_path), "HAILWHALE_SPY": "0"})


@pytest.fixture
def publisher(settings: Settings) -> Iterator[Publisher]:
    publisher = Publisher(settings)
    yield publisher
    publisher.close()


def counted() -> tuple[float, float, float]:
    """Hits accepted, refused and unconfirmed, as /metrics says."""
    sums = dict.fromkeys(("accepted", "refused", "unconfirmed"), 0.0)
    for metric in REGISTRY.collect():
        name = metric.name.removeprefix("hailwhale_hits_")
        if name in sums:
            sums[name] += sum(sample.value for sample in metric.samples if sample.name.endswith("_total"))
    return sums["accepted"], sums["refused"], sums["unconfirmed"]


def grown(before: tuple[float, float, float]) -> tuple[float, ...]:
    return tuple(now - then for now, then in zip(counted(), before, strict=True))


def check_audit(settings: Settings, messages: list[Message], accepted: int) -> None:
    """Every delivery counts once, and the sums close over what was accepted."""
    store = MemoryStore(settings)
    for delivered in (messages, messages[::-1]):
        Applier(store, settings).apply(delivered, time.time())
    done = close(store, "default", Found())
    assert (done.closes, done.whole.accepted, done.whole.counted) == (True, accepted, accepted)


def is_unconfirmed(answer: Answer) -> bool:
    assert int(answer.headers["Retry-After"]) > 0
    return (answer.status, answer.json["code"], answer.json["status"]) == (503, "unconfirmed", 503)


def connected(settings: Settings) -> tuple[Publisher, Hail]:
    publisher = Publisher(settings)
    publisher.start()
    wait_until(lambda: publisher.status()["broker"] == "up", what="the connection")
    return publisher, make_app(settings, publisher)


def test_a_confirm_that_comes_late_counts_as_accepted_then(rabbitmq: RabbitMQ, settings: Settings, unique: str) -> None:
    with Proxy(rabbitmq.port) as proxy:
        settings = settings.replace(broker_url=proxy.url, queue=unique, confirm_timeout_ms=20_000)
        publisher, hail = connected(settings)
        assert call(hail, "GET", "/count", query="pk=a").status == 200
        proxy.hold_confirms(1)
        before = counted()
        with ThreadPoolExecutor(4) as pool:
            first = pool.submit(call, hail, "POST", "/batch", body=BATCH)
            wait_until(lambda: proxy.held == 1, what="a confirm that is held back")
            waiting = pool.submit(
                call, hail, "GET", "/count", query="pk=a"
            )  # not taken: it is sure that it does not count
            assert is_unconfirmed(first.result())
            assert waiting.result().json["code"] == "overloaded"
        assert grown(before) == (0, 1, 2)
        proxy.hold_confirms(0)
        proxy.release()
        wait_until(lambda: grown(before)[0] == 2, what="the late confirm")
        assert call(hail, "GET", "/count", query="pk=a").status == 200
        assert grown(before) == (3, 1, 2)
        publisher.close()
    messages = queued(rabbitmq, settings.replace(broker_url=rabbitmq.url))
    assert spooled(settings) == []
    check_audit(settings, messages, accepted=4)
    rabbitmq.delete(unique, f"{unique}.dead")


def test_a_confirm_that_never_comes_counts_once_from_the_spool(
    rabbitmq: RabbitMQ, settings: Settings, unique: str
) -> None:
    with Proxy(rabbitmq.port) as proxy:
        settings = settings.replace(broker_url=proxy.url, queue=unique, confirm_timeout_ms=1000)
        publisher, hail = connected(settings)
        proxy.hold_confirms(1)
        before = counted()
        assert is_unconfirmed(call(hail, "POST", "/count", body=b'{"pk": "a"}'))
        assert grown(before) == (0, 0, 1)
        wait_until(lambda: grown(before)[0] == 1, what="the spool")
        publisher.close()
    messages = queued(rabbitmq, settings.replace(broker_url=rabbitmq.url)) + spooled(settings)
    assert len(messages) == 2
    check_audit(settings, messages, accepted=1)
    rabbitmq.delete(unique, f"{unique}.dead")


class Disk:
    """os.fdatasync of a disk that can be made to stand still, or to fail after it wrote."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.runs, self.is_broken = threading.Event(), False
        self.runs.set()
        self._sync = os.fdatasync
        monkeypatch.setattr("hail.spool.os.fdatasync", self.sync)

    def sync(self, fd: int) -> None:
        self.runs.wait(30)
        self._sync(fd)
        if self.is_broken:
            raise OSError(5, "Input/output error")


def test_the_image_and_the_script_say_so_too(
    settings: Settings, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    hail = make_app(settings, publisher)
    for path, query in (("/count.gif", "pk=a"), ("/count.js", "pk=a&callback=f")):
        disk.runs.clear()
        before = counted()
        answer = call(hail, "GET", path, query=query)
        assert (answer.status, answer.headers["X-Hail"]) == (200, "unconfirmed")
        assert answer.body.startswith(b"GIF89a") or answer.body == b'/**/f("unconfirmed");'
        assert grown(before) == (0, 0, 1)
        disk.runs.set()
        wait_until(lambda before=before: grown(before)[0] == 1, what="the disk")
    check_audit(settings, spooled(settings), accepted=2)


def test_a_disk_that_fails_may_have_kept_the_hits(
    settings: Settings, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    hail = make_app(settings, publisher)
    assert call(hail, "GET", "/count", query="pk=a").status == 200
    disk.is_broken = True
    before = counted()
    assert is_unconfirmed(call(hail, "POST", "/batch", body=BATCH))
    assert grown(before) == (0, 0, 2)
    disk.is_broken = False
    assert call(hail, "GET", "/count", query="pk=a").status == 200
    assert grown(before) == (1, 0, 2)
    messages = spooled(settings)
    assert [len(message.hits) for message in messages] == [1, 2, 1]
    check_audit(settings, messages, accepted=4)  # where the disk kept them
    check_audit(settings, [messages[0], messages[2]], accepted=2)  # where it did not


def test_the_library_says_which_of_the_two_it_was(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    whale = Whale(MemoryStore(settings), settings)
    whale.count("a")
    disk.is_broken = True
    with pytest.raises(Unavailable, match="may have taken the hit: unconfirmed, try again in 2 s with the same id"):
        whale.count("a")
    whale._queue().close()
    with pytest.raises(Unavailable, match="did not take the hit: overloaded"):
        whale.count("a")


def test_who_waits_longest_hears_of_a_confirm_that_came_in_the_last_moment(
    settings: Settings, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    publisher.publish("default", publisher.pack(hit(1)))
    engine = publisher._engine
    assert engine
    give_up = engine.take_back

    def late(unit: object) -> bool:
        disk.runs.set()
        wait_until(lambda: not unit.done.locked(), what="the answer")
        return give_up(unit)

    engine.take_back = late
    disk.runs.clear()
    publisher.publish("default", publisher.pack(hit(2)))
    assert len(spooled(settings)) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_a_dead_thread_had_taken_is_unconfirmed_and_what_waited_is_refused(
    settings: Settings, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hail.publish.ANSWER_S", 30.0)
    disk = Disk(monkeypatch)
    hail = make_app(settings, publisher)
    assert call(hail, "GET", "/count", query="pk=a").status == 200
    engine = publisher._engine
    assert engine
    append = engine._spool.append

    def append_and_die(messages: list[bytes]) -> None:
        append(messages)
        raise SystemExit

    engine._spool.append = append_and_die
    disk.runs.clear()
    before = counted()
    with ThreadPoolExecutor(2) as pool:
        taken: Future[Answer] = pool.submit(call, hail, "POST", "/count", body=b'{"pk": "a"}')
        wait_until(lambda: not engine._waiting and not engine._idle, what="it to be taken")
        waiting: Future[Answer] = pool.submit(call, hail, "POST", "/batch", body=BATCH)
        wait_until(lambda: engine._waiting, what="the one that waits")
        disk.runs.set()
        wait_until(lambda: not engine.thread.is_alive(), what="the thread to die")
        assert call(hail, "GET", "/count", query="pk=a").status == 200
        assert is_unconfirmed(taken.result(5))
        assert waiting.result(5).json["code"] == str(Reason.OVERLOADED)
    assert grown(before) == (1, 2, 1)
    check_audit(settings, spooled(settings), accepted=3)

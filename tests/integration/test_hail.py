"""Hail as gunicorn runs it, under load: killed, or with its broker stopped, it keeps every hit that it answered for."""

import contextlib
import http.client
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hail.message import Message, decode_message
from hail.settings import load
from hail.spool import SpoolFolder, read_records
from tests.servers import RabbitMQ, free_port, wait_until
from whale.count.hailwail import Hailwail, Ship

ROOT = Path(__file__).parents[2]
CLIENTS = 16


class HailServer:
    """Two gunicorn processes of Hail."""

    def __init__(self, data_dir: Path, **settings: str):
        self.port = free_port()
        self.environ = {"HAILWHALE_DATA_DIR": str(data_dir), "HAILWHALE_BREAKER_S": "0.3", **settings}
        gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:hail.gunicorn_conf", "-k"]
        self.process = subprocess.Popen(
            [*gunicorn, "hail.server.HailWorker", "-w", "2", "-b", f"127.0.0.1:{self.port}", "hail.web:application"],
            env={**os.environ, **self.environ},
            cwd=ROOT,
            start_new_session=True,
        )
        wait_until(self._answers, what="Hail")

    def _answers(self) -> bool:
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def get(self, target: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def kill9(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


class Load:
    """Clients that each send one hit after the other, every hit with an id of its own."""

    def __init__(self, port: int):
        self.port = port
        self.accepted: set[str] = set()
        self.refused = 0
        self.requests: list[tuple[float, float]] = []  # when it was sent, how long it took
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.suppress(OSError, http.client.HTTPException):
            while not self._stop.is_set():
                id_ = f"h{next(self._numbers)}"
                began = time.monotonic()
                connection.request("GET", f"/count?pk=a&id={id_}")
                answer = connection.getresponse()
                answer.read()
                self.requests.append((began, time.monotonic() - began))
                if answer.status == 200:
                    self.accepted.add(id_)
                else:
                    self.refused += 1

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def ids_of(messages: list[Message]) -> Counter[str]:
    named = {message.name: message for message in messages}
    return Counter(str(hit.id) for message in named.values() for hit in message.hits)


def spooled(data_dir: Path) -> list[Message]:
    folder = SpoolFolder(data_dir)
    files = [read_records((folder.path / name).read_bytes()) for name in folder.names()]
    assert not any(records.damaged for records in files)
    return [decode_message(body) for records in files for body in records.messages]


def queued(rabbitmq: RabbitMQ, queue: str) -> list[Message]:
    messages = []
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        while (got := channel.basic_get(queue, no_ack=True)) is not None:
            messages.append(decode_message(bytes(got.body)))
    return messages


@pytest.fixture
def broker(rabbitmq: RabbitMQ, unique: str) -> Iterator[dict[str, str]]:
    yield {"HAILWHALE_BROKER_URL": rabbitmq.url, "HAILWHALE_QUEUE": unique}
    rabbitmq.rest()
    rabbitmq.delete(unique, f"{unique}.dead")


def check(accepted: set[str], kept: Counter[str]) -> None:
    assert accepted <= kept.keys()
    assert len(kept.keys() - accepted) <= CLIENTS  # in flight when it was killed
    assert set(kept.values()) == {1}


def test_killed_without_a_broker_it_keeps_what_it_accepted(tmp_path: Path) -> None:
    server = HailServer(tmp_path)
    load_ = Load(server.port)
    wait_until(lambda: len(load_.accepted) > 500, what="load")
    server.kill9()
    load_.stop()
    assert load_.refused == 0
    check(load_.accepted, ids_of(spooled(tmp_path)))


def test_killed_with_a_broker_it_keeps_what_it_accepted(
    tmp_path: Path, broker: dict[str, str], rabbitmq: RabbitMQ
) -> None:
    server = HailServer(tmp_path, **broker)
    load_ = Load(server.port)
    wait_until(lambda: len(load_.accepted) > 500, what="load")
    server.kill9()
    load_.stop()
    check(load_.accepted, ids_of(queued(rabbitmq, broker["HAILWHALE_QUEUE"]) + spooled(tmp_path)))


def test_stopped_gently_it_loses_and_leaves_nothing_open(tmp_path: Path) -> None:
    server = HailServer(tmp_path)
    load_ = Load(server.port)
    wait_until(lambda: len(load_.accepted) > 200, what="load")
    server.stop()
    load_.stop()
    check(load_.accepted, ids_of(spooled(tmp_path)))
    folder = SpoolFolder(tmp_path)
    for name in folder.names():
        assert not (folder.path / name).read_bytes().endswith(b"\0")


def test_a_broker_stopped_under_load_delays_no_answer(
    tmp_path: Path, broker: dict[str, str], rabbitmq: RabbitMQ
) -> None:
    server = HailServer(tmp_path, **broker)
    load_ = Load(server.port)
    wait_until(lambda: len(load_.accepted) > 200, what="load")
    began = time.monotonic()
    rabbitmq.sigstop()
    time.sleep(1)
    rabbitmq.sigcont()
    ended = time.monotonic()
    reached = len(load_.accepted)
    wait_until(lambda: len(load_.accepted) > reached + 500, what="more load")
    load_.stop()
    server.stop()
    assert load_.refused == 0
    took = sorted(took for sent, took in load_.requests if began <= sent <= ended)
    assert took[len(took) * 9 // 10] < 0.5  # the promise is 0.25 s; this machine runs the load, too
    settings = load({**server.environ, "HAILWHALE_QUEUE_MAX_MESSAGES": "20000"})
    assert spooled(tmp_path)
    Hailwail(settings, Ship(settings), time.time, live=False, force=False).once()
    assert spooled(tmp_path) == []
    check(load_.accepted, ids_of(queued(rabbitmq, broker["HAILWHALE_QUEUE"])))

"""The short way of what counts beside gunicorn's, on the same connections of a real server: nobody can tell which was taken."""

import re
import signal
import threading
from collections.abc import Callable, Iterator
from http.client import parse_headers
from pathlib import Path

import pytest

from tests.integration.test_strangers import Served, worker_of
from tests.servers import RedisServer, wait_until

HOST = "Host: 127.0.0.1"
PIXEL = b"GIF89a"


@pytest.fixture
def serve(tmp_path: Path, redis_server: RedisServer) -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(**options: object) -> Served:
        started.append(Served("hail", tmp_path, redis_server, **options))
        return started[-1]

    yield start
    for each in started:
        each.process.terminate()
        each.process.wait(60)
        assert "Traceback" not in each.output.read_text()


def get(target: str, *fields: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", HOST, *fields, "", ""]).encode()


def post(body: str) -> bytes:
    return f"POST /count HTTP/1.1\r\n{HOST}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


class Asker:
    """One connection, which is kept."""

    def __init__(self, served: Served):
        self._link = served.open()
        self._answers = self._link.makefile("rb")

    def answer(self) -> tuple[int, str, bytes]:
        """Status, the header Connection, body; ConnectionError where it was closed."""
        line = self._answers.readline()
        if not line:
            raise ConnectionError
        headers = parse_headers(self._answers)
        return int(line.split()[1]), headers["Connection"], self._answers.read(int(headers["Content-Length"]))

    def __call__(self, data: bytes) -> tuple[int, str, bytes]:
        self._link.sendall(data)
        return self.answer()

    def send(self, data: bytes) -> None:
        self._link.sendall(data)

    def is_closed(self) -> bool:
        return self._answers.read(1) == b""


def accepted(served: Served) -> float:
    return served.metric('hailwhale_hits_accepted_total{kept="spool"}')


def test_usual_and_other_requests_of_one_connection_are_answered_in_their_order(serve: Callable[..., Served]) -> None:
    served = serve()
    ask = Asker(served)
    usual, kept = get("/count?pk=a"), "keep-alive"
    assert ask(usual) == (200, kept, b"OK")
    assert ask(get("/count.gif?pk=a", "User-Agent: b", "Cookie: c"))[2].startswith(PIXEL)
    assert ask(post('{"pk": "a"}')) == (202, kept, b"OK")
    assert ask(usual) == (200, kept, b"OK")
    ask.send(usual + get("/healthz") + usual + post('{"pk": "a"}') + usual)
    assert [ask.answer()[2] for _ in range(5)] == [b"OK", b"OK\n", b"OK", b"OK", b"OK"]
    ask.send(usual[:20])
    wait_until(lambda: served.metric("hailwhale_connection_bytes") >= 20, what="half a head")
    assert ask(usual[20:]) == (200, kept, b"OK")
    ask.send(post('{"pk": "a"}')[:-4])
    wait_until(lambda: served.metric("hailwhale_connection_bytes") >= 40, what="half a body")
    assert ask(post('{"pk": "a"}')[-4:]) == (202, kept, b"OK")
    assert ask(get("/count?pk=a", "Content-Length: 4") + b"pk=b") == (200, kept, b"OK")  # whose body nobody wants
    assert ask(usual) == (200, kept, b"OK")
    assert ask(get("/count?metric=a"))[0] == 400
    assert ask(get("/count?pk=a", "X-Anything: b")) == (200, kept, b"OK")
    assert ask(get("/count?pk=a", "Connection: close")) == (200, "close", b"OK")
    assert ask.is_closed()
    assert accepted(served) == 14


@pytest.mark.parametrize("data", [get("/count?pk=caf\u00e9"), get("/count?pk=a", "Host: b"), get("/count?pk=a", "a b")])
def test_what_gunicorn_refuses_after_usual_requests_is_refused(serve: Callable[..., Served], data: bytes) -> None:
    served = serve()
    ask = Asker(served)
    for _ in range(3):
        assert ask(get("/count?pk=a"))[0] == 200
    assert ask(data)[:2] == (400, "close")
    assert ask.is_closed()
    assert accepted(served) == 3


def test_an_access_log_has_every_request(serve: Callable[..., Served]) -> None:
    served = serve(options="--access-logfile -")
    ask = Asker(served)
    for _ in range(3):
        assert ask(get("/count?pk=logged"))[0] == 200
    wait_until(lambda: served.output.read_text().count('"GET /count?pk=logged HTTP/1.1" 200') == 3, what="three lines")


def test_a_worker_makes_room_for_another_after_so_many_requests(serve: Callable[..., Served]) -> None:
    served = serve(options="--max-requests 40")
    first = worker_of(served.process.pid)
    ask = Asker(served)
    answers = []
    while not answers or answers[-1][1] == "keep-alive":
        answers.append(ask(get("/count?pk=a")))
    assert {(status, body) for status, _, body in answers} == {(200, b"OK")}
    assert len(answers) <= 40
    assert ask.is_closed()
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
    wait_until(lambda: str(first) not in children.read_text().split(), what="the worker to end")
    assert Asker(served)(get("/count?pk=a"))[0] == 200  # of another one


def test_a_stop_loses_no_hit_that_was_answered(serve: Callable[..., Served]) -> None:
    served = serve(grace_s=10)
    answered: list[int] = []
    begun = threading.Semaphore(0)

    def count() -> None:
        ask = Asker(served)
        try:
            while True:
                answered.append(ask(get("/count?pk=late"))[0])
                begun.release()
        except OSError:  # closed by the stop
            return

    clients = [threading.Thread(target=count) for _ in range(8)]
    for client in clients:
        client.start()
    for _ in range(100):
        assert begun.acquire(timeout=60)
    served.process.send_signal(signal.SIGTERM)
    for client in clients:
        client.join(60)
    served.process.wait(60)
    assert set(answered) == {200}
    spooled = b"".join(path.read_bytes() for path in (Path(served.settings.data_dir) / "spool").iterdir())
    assert len(answered) <= len(re.findall(rb'\[\["late"\]', spooled)) <= len(answered) + len(clients)

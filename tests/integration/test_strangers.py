"""Connections that send half of something, or nothing, or do not read: they cost little, and no one else waits for them."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest

from hail.hit import encode_hit, parse_hit
from hail.message import decode_message, encode_message
from hail.settings import DAY, load
from tests.servers import RedisServer, free_port, wait_until
from tests.strangers import Strangers, steadily, threads_of
from tests.up import Up
from whale.commands.embedded import dying_with_parent
from whale.commands.supervisor import hail_command, whale_command
from whale.count.apply import Applier
from whale.store.redis import connect

HEAD_S = 5
PATIENCE = 5  # times as long as promised: this machine runs the strangers, and other tests
POSTS = {"hail": "POST /count", "whale": "POST /plotpoints"}
Answer = tuple[int, dict[str, str], bytes]


def get(port: int, target: str, timeout_s: float = 60) -> Answer:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        link.request("GET", target)
        answer = link.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        link.close()


def answer_on(link: socket.socket) -> tuple[int, str]:
    answer = http.client.HTTPResponse(link)
    answer.begin()
    return answer.status, answer.read().decode()


def worker_of(master: int) -> int:
    return int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])


def rss_mb(process: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) // 1000


# everything, as `make up` starts it


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    one = Up(tmp_path / "var", head_timeout_s=HEAD_S)
    one.start()
    yield one
    one.stop(signal.SIGKILL)


@pytest.mark.parametrize(
    ("each", "seconds"),
    [(400, 2 * HEAD_S), pytest.param(1000, 60, marks=[pytest.mark.long(part="strangers"), pytest.mark.timeout(600)])],
)
def test_four_kinds_of_strangers_at_both_services_keep_nobody_waiting(up: Up, each: int, seconds: int) -> None:
    ports = {"hail": int(up.hail.rpartition(":")[2]), "whale": int(up.whale.rpartition(":")[2])}
    up.count(1)
    workers = {name: worker_of(up.child(f"{name}.web") or 0) for name in ports}
    before = {name: threads_of(worker) for name, worker in workers.items()}
    targets = {"hail": "/count?pk=shop", "whale": "/totals?pk=shop&period=today"}
    took: dict[str, list[float]] = {}

    def ask(name: str) -> Callable[[], None]:
        def asked() -> None:
            status, _, body = get(ports[name], targets[name])
            assert status == 200, body

        return asked

    with ExitStack() as stack:
        for name, port in ports.items():
            stack.enter_context(Strangers(port, each, POSTS[name], "GET /openapi.json"))
        askers = [
            threading.Thread(target=lambda name=name: took.update({name: steadily(ask(name), 50, seconds)}))
            for name in ports
        ]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        for name, worker in workers.items():
            slowest, threads = max(took[name]), (before[name], threads_of(worker))
            print(f"{name}: slowest of {len(took[name])} {slowest:.2f} s, threads {threads}, {rss_mb(worker)} MB")
            assert len(took[name]) == 50 * seconds
            assert slowest < 1 * PATIENCE
            assert threads[1] <= threads[0] + 8
            assert rss_mb(worker) < (300 if name == "hail" else 600)
        closed = get(ports["hail"], "/metrics")[2].decode()
        why = "head" if 4 * each < 2000 else "connections"
        assert f'hailwhale_connections_closed_total{{why="{why}"}}' in closed
    assert "Traceback" not in up.said()


# one service


class Served:
    """Hail or Whale as `hailwhale hail` or `hailwhale whale` starts it. settings: HAILWHALE_* by their lower-case name.

    grace_s: how long a stop waits for what is on its way.  options: of gunicorn.
    """

    def __init__(
        self, name: str, folder: Path, redis: RedisServer, grace_s: int = 1, options: str = "", **settings: object
    ):
        self.port = free_port()
        mine = {"redis_url": redis.url, "data_dir": folder, f"{name}_bind": f"127.0.0.1:{self.port}", **settings}
        environ = {f"HAILWHALE_{key.upper()}": str(value) for key, value in mine.items()}
        self.settings = load(environ)
        self.output = folder / "output"
        command = hail_command(self.settings) if name == "hail" else whale_command(self.settings)
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **environ, "GUNICORN_CMD_ARGS": f"--graceful-timeout {grace_s} {options}"},
                stdout=output,
                stderr=output,
                preexec_fn=dying_with_parent(signal.SIGKILL),
            )
        wait_until(self._answers, what=f"{name}: {self.output.read_text()[-300:]}")

    def _answers(self) -> bool:
        try:
            return get(self.port, "/readyz")[0] == 200
        except OSError:
            return False

    def open(self, sent: str = "") -> socket.socket:
        """A connection that has sent this; what the service got of it shows in /metrics."""
        link = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        link.sendall(sent.encode())
        return link

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", get(self.port, "/metrics")[2].decode(), re.M)
        return float(found[1]) if found else 0

    def closed(self, why: str) -> float:
        return self.metric(f'hailwhale_connections_closed_total{{why="{why}"}}')


@pytest.fixture
def serve(tmp_path: Path, redis_server: RedisServer) -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(name: str, redis: RedisServer = redis_server, **settings: object) -> Served:
        folder = tmp_path / f"{name}-{len(started)}"
        folder.mkdir()
        started.append(Served(name, folder, redis, **settings))
        return started[-1]

    yield start
    for each in started:
        each.process.terminate()
    for each in started:
        each.process.wait(60)
        assert "Traceback" not in each.output.read_text()


def is_closed(link: socket.socket) -> bool:
    """Whether the service has closed it; an answer that came before is left aside."""
    link.setblocking(False)
    try:
        while link.recv(65_536):
            continue
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HALF_HEAD, HALF_BODY = (
    "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    "{} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90\r\n\r\n{{",
)


@pytest.mark.parametrize("name", ["hail", "whale"])
def test_whoever_takes_too_long_is_closed_though_a_byte_comes_now_and_then(
    serve: Callable[..., Served], name: str
) -> None:
    served = serve(name, head_timeout_s=1, body_timeout_s=1, send_timeout_s=1)
    kept = served.open(HEALTH.decode())
    assert answer_on(kept)[0] == 200
    links = {
        "head": [served.open(), served.open(HALF_HEAD), served.open(HEALTH.decode() + HALF_HEAD)],
        "body": [served.open(HALF_BODY.format(POSTS[name]))],
    }
    trickled = [served.open(HALF_HEAD), served.open(HALF_BODY.format(POSTS[name]))]
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(("127.0.0.1", served.port))
    reader.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 60)

    def trickling_ends() -> bool:
        for link in trickled:
            try:
                link.sendall(b" ")
            except OSError:
                continue
        return all(map(is_closed, trickled))

    wait_until(trickling_ends, 1 * PATIENCE + 5, "trickling to end")
    for link in [*links["head"], *links["body"]]:
        wait_until(lambda link=link: is_closed(link), what="a silent connection to be closed")
    wait_until(lambda: served.closed("reader") == 1, what="the reader to be closed")
    assert (served.closed("head"), served.closed("body")) == (4, 2)
    kept.setblocking(True)
    kept.sendall(HEALTH)  # it has been idle for longer, as a proxy's connections are
    assert answer_on(kept)[0] == 200


@pytest.mark.parametrize("name", ["hail", "whale"])
def test_at_the_bound_the_longest_waiting_is_closed_and_a_new_one_is_answered(
    serve: Callable[..., Served], name: str
) -> None:
    served = serve(name, max_connections=3)
    first = served.open(HALF_BODY.format(POSTS[name]))
    wait_until(lambda: served.metric("hailwhale_connection_bytes") > 0, what="the first")
    second = served.open(HALF_HEAD)
    third = served.open()
    assert get(served.port, "/healthz")[0] == 200  # the fourth
    wait_until(lambda: is_closed(first), what="the first to be closed")
    assert not is_closed(second)
    assert not is_closed(third)
    fourth = served.open()
    assert get(served.port, "/healthz")[0] == 200
    wait_until(lambda: is_closed(second), what="the second to be closed")
    assert not is_closed(fourth)
    assert served.closed("connections") >= 2


@pytest.mark.parametrize("name", ["hail", "whale"])
def test_stalled_uploads_hold_no_more_than_they_may(serve: Callable[..., Served], name: str) -> None:
    served = serve(name, connections_max_mb=3)
    worker = worker_of(served.process.pid)
    get(served.port, "/openapi.json")
    before = rss_mb(worker)
    head = f"{POSTS[name]} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n"
    uploads = [served.open(head + " " * 950_000) for _ in range(60)]
    wait_until(lambda: served.closed("bytes") >= 56, what="uploads to make room")
    assert served.metric("hailwhale_connection_bytes") <= 3_000_000
    assert rss_mb(worker) < before + 40  # they were 57 MB
    kept = next(upload for upload in uploads if not is_closed(upload))
    kept.settimeout(60)
    kept.sendall(b" " * 50_000)
    assert answer_on(kept)[0] == 400


@pytest.mark.long(part="strangers")
@pytest.mark.parametrize("name", ["hail", "whale"])
def test_nine_hundred_stalled_uploads_stay_below_the_ceiling(serve: Callable[..., Served], name: str) -> None:
    served = serve(name, body_timeout_s=20)
    worker = worker_of(served.process.pid)
    before = rss_mb(worker)
    head = f"{POSTS[name]} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n"
    uploads = [served.open() for _ in range(900)]
    for upload in uploads:
        try:
            upload.sendall(head.encode() + b" " * 950_000)
        except OSError:  # it made room
            continue
    most = rss_mb(worker)
    print(f"{name}: {before} MB before, {most} MB with 900 uploads")
    assert most < (300 if name == "hail" else 600)
    wait_until(lambda: served.metric("hailwhale_connection_bytes") < 100_000, 60, "uploads to be closed")
    wait_until(lambda: rss_mb(worker) < before + 40, 60, "memory to be given back")


def test_no_accepted_hit_is_lost_where_connections_are_closed(serve: Callable[..., Served], unique: str) -> None:
    served = serve("hail", max_connections=30)
    accepted: set[str] = set()

    def count(client: int) -> None:
        for n in range(60):
            id_ = f"{unique}-{client}-{n}"
            try:
                if get(served.port, f"/count?pk={unique}&id={id_}")[0] == 200:
                    accepted.add(id_)
            except (OSError, http.client.HTTPException):
                continue

    clients = [threading.Thread(target=count, args=(client,)) for client in range(8)]
    with Strangers(served.port, 10, POSTS["hail"], "GET /openapi.json"):
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert served.closed("connections") > 0
    assert len(accepted) > 400
    assert get(served.port, "/flush_hail")[0] == 200
    cells = connect(served.settings).read("default", (unique,), [()], ["hits"], DAY, [int(time.time()) // DAY * DAY])
    counted = int(cells.sum())  # each id once
    assert len(accepted) <= counted <= 480


def test_a_stop_answers_what_is_on_its_way(serve: Callable[..., Served], own_redis: RedisServer) -> None:
    hail, whale = serve("hail", grace_s=10), serve("whale", own_redis, grace_s=10)
    body = b'{"pk": "late"}'
    upload = hail.open(f"POST /count HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n")
    idle = hail.open()
    own_redis.sigstop()
    question = whale.open("GET /totals?pk=late HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    for served in (hail, whale):
        health = served.open(HEALTH.decode())
        assert answer_on(health)[0] == 200  # so that all which came before it is in work
    for served in (hail, whale):
        served.process.terminate()
    own_redis.sigcont()
    upload.sendall(body)
    assert answer_on(upload)[0] == 202
    assert answer_on(question)[0] in (200, 503)
    assert idle.recv(1000) == b""
    for served in (hail, whale):
        served.process.wait(60)


def test_where_all_is_in_work_the_next_question_is_told_so_and_health_is_not(
    serve: Callable[..., Served], own_redis: RedisServer
) -> None:
    served = serve("whale", own_redis, max_connections=4)
    own_redis.sigstop()
    links = [served.open("GET /totals?pk=a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") for _ in range(12)]
    assert get(served.port, "/healthz")[0] == 200
    answers = [answer_on(link) for link in links]
    assert len([said for _, said in answers if '"code":"overloaded"' in said]) >= 6
    assert {status for status, _ in answers} == {503}
    own_redis.sigcont()
    wait_until(lambda: get(served.port, "/totals?pk=a")[0] == 200, what="Whale")


# health, whatever runs


def test_health_is_answered_at_once_whatever_runs(serve: Callable[..., Served], own_redis: RedisServer) -> None:
    served = serve("whale", own_redis)
    now = time.time()
    hits = [
        {"pk": "big", "at": now - day * DAY, "dimensions": {"v": f"v{value}"}, "metrics": {"m": value + day}}
        for day in range(12)
        for value in range(1000)
    ]
    hits += [{"pk": [f"p{n}", str(child)]} for n in range(50) for child in range(6)]
    settings = served.settings
    rows = [encode_hit(parse_hit(hit, settings, now)) for hit in hits]
    body = encode_message("0" * 16, 0, "default", len(rows), int(now * 1000), rows)
    Applier(connect(settings), settings).apply([decode_message(body)], now)
    heavy = [
        "/?",
        "/plotpoints?" + urlencode({"pk": "big", "dimensions": "v", "depth": 1, "metrics": "m", "period": "1d:11d"}),
        "/factors?" + urlencode({"pk": "big", "metric": "m/hits", "period": "1d:5d"}),
        "/rank?" + urlencode({"pk": "big", "dimensions": "v", "by": "m/hits", "period": "1d:11d", "limit": 1000}),
    ]
    stop = threading.Event()
    statuses: set[int] = set()

    def ask(target: str) -> None:
        while not stop.is_set():
            statuses.add(get(served.port, target)[0])

    askers = [threading.Thread(target=ask, args=(heavy[n % len(heavy)],)) for n in range(12)]
    for asker in askers:
        asker.start()
    code = "import sys; from tests.integration.test_strangers import *; print(health_ms(int(sys.argv[1])))"
    said = subprocess.run(  # a process of its own: the askers of this one would hold it up
        [sys.executable, "-c", code, str(served.port)], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    stop.set()
    for asker in askers:
        asker.join()
    took = json.loads(said.stdout or "[]")
    print(f"health: median {took[len(took) // 2]:.0f} ms, slowest {took[-1]:.0f} ms")
    assert took[-1] < 100 * PATIENCE
    assert statuses == {200}


def health_ms(port: int, times: int = 60) -> list[float]:
    took = []
    for _ in range(times):
        begun = time.monotonic()
        assert get(port, "/healthz")[0] == 200
        took.append((time.monotonic() - begun) * 1000)
        time.sleep(0.02)
    return sorted(took)


FLOODS = {
    "unwanted body": ("POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000000000\r\n\r\n", b"x" * 1_000_000),
    "unwanted chunks": (
        "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 30,
    ),
    "tiny chunks": (
        "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n" * 150_000,
    ),
    "requests at once": ("", HEALTH * 1000),
    "requests at once that no route answers": ("", HEALTH.replace(b"healthz", b"x") * 1000),
    "hits one after the other": ("", HEALTH.replace(b"healthz", b"count.gif?pk=flood")),
}


@pytest.mark.alone
@pytest.mark.parametrize("name", ["hail", "whale"])
@pytest.mark.parametrize("times", [20, pytest.param(200, marks=pytest.mark.long(part="strangers"))])
def test_who_sends_without_a_pause_keeps_nobody_waiting(serve: Callable[..., Served], name: str, times: int) -> None:
    """On a fast line something has always come: a connection must let others in by itself. times: health is asked."""
    served = serve(name, connections_max_mb=8)
    for flood, (start, piece) in FLOODS.items():
        half = served.open(HALF_BODY.format(POSTS[name]))
        assert slowest_ms(served, start.format(POSTS[name].partition(" ")[2]), piece, times) < 500, flood
        assert served.closed("bytes") == 0, flood  # what was thrown away is not held
        assert not is_closed(half), flood
        half.close()


def slowest_ms(served: Served, start: str, piece: bytes, times: int) -> float:
    """The slowest answer of health while one connection sends a piece again and again."""
    link = served.open(start)
    done = threading.Event()

    def send() -> None:
        with suppress(OSError):
            while not done.is_set():
                link.sendall(piece)

    def read() -> None:
        with suppress(OSError):
            while link.recv(1_000_000):
                continue

    threads = [threading.Thread(target=each) for each in (send, read)]
    for thread in threads:
        thread.start()
    try:
        return max(health_ms(served.port, times))
    finally:
        done.set()
        with suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        link.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_large_batches_let_new_connections_in(serve: Callable[..., Served], processes: int) -> None:
    """They make turns of the loop long; a hundred hits would wait for 25 of them, were as few taken in as at a short turn.

    A name of that many letters beyond ASCII is read by the long way, which takes four times as long as the usual one.
    """
    served = serve("hail", hail_processes=processes)
    hit = json.dumps({"pk": "shop", "dimensions": ["é" * 60, "b"]}, ensure_ascii=False).encode()
    batch = b"[" + b",".join([hit] * 500) + b"]"
    answered: list[int] = []
    done = threading.Event()

    def send() -> None:
        link = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        while not done.is_set():
            link.request("POST", "/batch", batch, {"Content-Type": "application/json"})
            answer = link.getresponse()
            answer.read()
            answered.append(answer.status)
        link.close()

    threads = [threading.Thread(target=send) for _ in range(16)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(answered) > 32, what="batches")
        before = len(answered)
        hits = [
            served.open("GET /count?pk=shop HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            for _ in range(100)
        ]
        assert {answer_on(hit)[0] for hit in hits} == {200}
        meanwhile = len(answered) - before
        print(f"{meanwhile} batches were answered before 100 hits were")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert meanwhile < 100


# the limit of open files


def test_the_limit_of_open_files_is_raised_or_bounds_connections() -> None:
    code = (
        "import resource, sys; from hail.server import room_for; soft, hard, asked = map(int, sys.argv[1:]);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard));"
        "print(room_for(asked), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    for (soft, hard, asked), expected in {
        (256, 4096, 2000): "2000 2200",
        (256, 1024, 2000): "824 1024",
        (4000, 4096, 2000): "2000 4000",
    }.items():
        words = [sys.executable, "-c", code, str(soft), str(hard), str(asked)]
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == expected

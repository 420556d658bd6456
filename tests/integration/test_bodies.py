"""Bodies that are cut off, through real servers and raw sockets: what is not whole is refused, and nothing is done.

Hail and Whale stand behind one port of gunicorn (sync, gthread, gevent) and of granian: see tests/both.py.
"""

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from hail.settings import load
from hail.spool import SpoolFolder, read_records
from tests.servers import RedisServer, free_port, wait_until
from whale.client import Whale
from whale.commands.embedded import dying_with_parent

ROOT = Path(__file__).parents[2]
HAIL, WHALE = "localhost", "127.0.0.1"
FORM, JSON, LINES = "application/x-www-form-urlencoded", "application/json", "application/x-ndjson"
GUNICORN = [sys.executable, "-m", "gunicorn", "--config", "python:hail.gunicorn_conf", "-w", "1"]
GRANIAN = [sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", "1", "--log-level", "warning"]
SERVERS = {
    "sync": [*GUNICORN, "-k", "sync"],
    "gthread": [*GUNICORN, "-k", "gthread", "--threads", "4"],
    "gevent": [*GUNICORN, "-k", "gevent"],
    "HailWorker": [*GUNICORN, "-k", "hail.server.HailWorker"],
    "WhaleWorker": [*GUNICORN, "-k", "hail.server.WhaleWorker", "--threads", "4"],
    "granian": [*GRANIAN, "--blocking-threads", "4"],
}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        assert "json" in self.headers["Content-Type"], self.body
        return json.loads(self.body)

    @property
    def refused(self) -> tuple[int, str]:
        """Status and code, also of OpenFeature's form, which names the field in its words only."""
        return self.status, self.json.get("code") or self.json["errorCode"]


@dataclass(frozen=True)
class Served:
    name: str
    port: int
    folder: Path
    whale: Whale

    @property
    def pk(self) -> str:
        return f"shop {self.name}"

    def send(self, data: bytes, ends: bool = False) -> Answer:
        """ends: no more will come, as when a sender is killed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(data)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return Answer(response.status, response.headers, response.read())

    def post(self, host: str, target: str, kind: str, body: bytes, cut: int | None = None, **more: str) -> Answer:
        """cut: how many bytes of the body come."""
        announced = {"Content-Length": str(len(body)), **{name.replace("_", "-"): text for name, text in more.items()}}
        data = head(f"POST {target} HTTP/1.1", host, Content_Type=kind, **announced)
        return self.send(data + body[:cut], cut is not None)

    def chunked(self, host: str, target: str, kind: str, chunks: bytes, ends: bool = False, **more: str) -> Answer:
        data = head(f"POST {target} HTTP/1.1", host, Content_Type=kind, Transfer_Encoding="chunked", **more)
        return self.send(data + chunks, ends)

    def hits(self) -> int:
        """How many hits Hail has kept."""
        folder = SpoolFolder(self.folder)
        files = [read_records((folder.path / name).read_bytes()) for name in folder.names()]
        return sum(len(json.loads(body)["hits"]) for records in files for body in records.messages)

    def counted(self) -> Any:
        """What Whale has counted and what is defined."""
        names = ["hits", "a", "b"]
        paths: dict[str, Any] = {"x": {}, "y": {}}
        totals = [self.whale.totals(pk, paths, names, ["1d"]) for pk in (self.pk, [self.pk, "option"])]
        return totals, self.whale.decisions()

    def log(self) -> str:
        return (self.folder / "log").read_text()


def head(line: str, host: str, **headers: str) -> bytes:
    rows = [line, f"Host: {host}", *(f"{name.replace('_', '-')}: {text}" for name, text in headers.items())]
    return "\r\n".join([*rows, "Connection: close", "", ""]).encode("latin-1")


def chunks_of(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


@pytest.fixture(scope="module")
def all_served(quick_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Served]]:
    whale = Whale.connect(load({}).replace(redis_url=quick_redis.url))
    found, running = {}, []
    for name, command in SERVERS.items():
        folder, port = tmp_path_factory.mktemp(name), free_port()
        where = ["--host", "127.0.0.1", "--port", str(port)] if name == "granian" else ["-b", f"127.0.0.1:{port}"]
        environ = {**os.environ, "HAILWHALE_REDIS_URL": quick_redis.url, "HAILWHALE_DATA_DIR": str(folder)}
        environ["HAILWHALE_PERIODS"] = "((86400, None),)"
        with (folder / "log").open("wb") as log:
            start = partial(subprocess.Popen, cwd=ROOT, env=environ, stdout=log, stderr=log)
            words = [*command, *where, "tests.both:application"]
            running.append(start(words, preexec_fn=dying_with_parent(signal.SIGKILL)))
        found[name] = Served(name, port, folder, whale)
    try:
        for served in found.values():
            for host in (HAIL, WHALE):
                wait_until(partial(is_ready, served, host), what=served.name)
        yield found
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(60)


def is_ready(served: Served, host: str) -> bool:
    try:
        return served.send(head("GET /readyz HTTP/1.1", host)).status == 200
    except (OSError, http.client.HTTPException):
        return False


@pytest.fixture(params=SERVERS)
def served(all_served: dict[str, Served], request: pytest.FixtureRequest) -> Served:
    return all_served[request.param]


@pytest.fixture(params=["sync", "gthread", "gevent", "HailWorker", "WhaleWorker"])
def gunicorn(all_served: dict[str, Served], request: pytest.FixtureRequest) -> Served:
    return all_served[request.param]


def form(**fields: str) -> bytes:
    return urlencode(fields).encode()


def bodies(served: Served) -> list[tuple[str, str, str, bytes]]:
    """Of every route that reads a body: a request that does something, and whose beginnings would do something else."""
    pk = served.pk
    decision = f"d {served.name}"
    made = served.whale.decision(pk, None, ["a", "b"], "a/hits", visitor="ann")
    hit = {"pk": pk, "dimensions": {"x": {}}, "metrics": {"a": 5}}
    fields = {"pk": pk, "id": "order-1001", "dimensions": '["x"]', "metrics": '{"a": 5}'}
    outcome = {"pk": pk, "option": "option", "metrics": '{"a": 5}'}
    week = {"pk": pk, "period": "1d:1w"}
    questions = {
        **dict.fromkeys(("plotpoints", "totals", "rank", "dataset", "factors", "shifts"), week),
        **{name: {"pk": pk} for name in ("subdimensions", "pks", "metrics_of")},
        "total": {"pk": pk, "metric": "a"},
        "spy": {"limit": "3", "visitor": "ann"},
    }
    return [
        (HAIL, "/count", FORM, form(**fields)),
        (HAIL, "/count", JSON, json.dumps(hit).encode()),
        (HAIL, "/batch", LINES, b"\n".join([json.dumps(hit).encode()] * 3)),
        (HAIL, "/batch", JSON, json.dumps([hit, hit]).encode()),
        (HAIL, "/count_decision", FORM, form(**outcome)),
        (WHALE, "/count_now", FORM, form(**fields)),
        (WHALE, "/count_now", JSON, json.dumps(hit).encode()),
        (WHALE, "/tracker", FORM, form(**fields)),
        (WHALE, "/count_decision", FORM, form(**outcome)),
        (WHALE, "/reward", FORM, form(decision_id=str(made.decision_id), metrics='{"a": 5}')),
        (WHALE, "/update_count_to", FORM, form(pk=pk, metrics='{"b": 7}', dimensions="y")),
        (WHALE, f"/decisions/{decision.replace(' ', '%20')}", JSON, b'{"options": ["a", "b"]}'),
        (WHALE, "/decide", FORM, form(pk=pk, options="['a', 'b']", by_metric="a/hits", visitor="bob")),
        (WHALE, "/ofrep/v1/evaluate/flags", JSON, b'{"context": {"targetingKey": "ann"}}'),
        (
            WHALE,
            f"/ofrep/v1/evaluate/flags/{decision.replace(' ', '%20')}",
            JSON,
            b'{"context": {"targetingKey": "ann"}}',
        ),
        *((WHALE, f"/{name}", FORM, form(**asked)) for name, asked in questions.items()),
        (WHALE, "/reset", FORM, form(pk=pk, dimensions="x")),
    ]


REFUSED = {(400, "body_cut_off"), (400, "PARSE_ERROR")}


def test_no_route_takes_a_part_of_a_body_for_the_whole(served: Served) -> None:
    requests = bodies(served)
    hits, before = served.hits(), served.counted()
    for host, target, kind, body in requests:
        for cut in (0, body.find(b"&") if b"&" in body else len(body) // 2, len(body) - 1):
            assert served.post(host, target, kind, body, cut).refused in REFUSED, (target, kind, cut)
    assert (served.hits(), served.counted()) == (hits, before)
    for host, target, kind, body in requests:
        answer = served.post(host, target, kind, body)
        assert answer.status in (200, 202), (target, answer.body)
    assert served.hits() == hits + 8
    assert served.counted() != before


@pytest.mark.long(part="strangers")
def test_no_beginning_of_a_body_does_anything(served: Served) -> None:
    requests = bodies(served)
    hits, before = served.hits(), served.counted()
    for host, target, kind, body in requests:
        for cut in range(len(body)):
            assert served.post(host, target, kind, body, cut).refused in REFUSED, (target, kind, cut)
            if served.name != "granian":
                begun = chunks_of(body)[: len(chunks_of(body)) - len(body) - 2 + cut]
                assert served.chunked(host, target, kind, begun, ends=True).refused in REFUSED, (target, kind, cut)
    assert (served.hits(), served.counted()) == (hits, before)


def test_chunks_that_are_cut_off_or_malformed_do_nothing_and_write_nothing(gunicorn: Served) -> None:
    said = gunicorn.log()
    first, rest = f"pk={gunicorn.name}".encode(), b"&dimensions=x"
    for broken in (
        chunks_of(first),
        chunks_of(first)[:-3],
        chunks_of(first, rest)[:-2],
        chunks_of(first) + b"0\r\n",
        chunks_of(first) + b"zz\r\n",
        chunks_of(first)[:-2] + b"XX0\r\n\r\n",
        b"-5\r\n" + first,
        b"5;" + b"x" * 9000,
    ):
        for host, target in ((HAIL, "/count"), (WHALE, "/count_now"), (WHALE, "/reset"), (WHALE, "/totals")):
            answer = gunicorn.chunked(host, target, FORM, broken, ends=True)
            assert answer.refused == (400, "body_cut_off"), broken
            assert answer.headers["Content-Type"] == "application/problem+json"
    whole = chunks_of(first, b"&dimensions=x") + b"0\r\n\r\n"
    assert gunicorn.chunked(HAIL, "/count", FORM, whole).status == 202
    assert gunicorn.chunked(WHALE, "/count_now", FORM, whole).status == 200
    assert gunicorn.whale.total(gunicorn.name, period="1d") == 1
    assert gunicorn.log() == said


def test_granian_does_not_say_whether_chunks_are_whole_so_they_are_refused(all_served: dict[str, Served]) -> None:
    granian = all_served["granian"]
    for host, target in ((HAIL, "/count"), (WHALE, "/reset")):
        answer = granian.chunked(host, target, FORM, chunks_of(b"pk=a") + b"0\r\n\r\n")
        assert answer.refused == (400, "body_cut_off")
        assert answer.json["field"] == "Content-Length"


def test_gzip_that_is_cut_off_does_nothing(served: Served) -> None:
    lines = gzip.compress(b'{"pk": "gz"}\n' * 30)
    hits = served.hits()
    for cut in (0, 10, len(lines) // 2, len(lines) - 1):
        cut_off = served.post(HAIL, "/batch", LINES, lines, cut, Content_Encoding="gzip")
        assert cut_off.refused == (400, "body_cut_off")
        short = served.post(HAIL, "/batch", LINES, lines[:cut], Content_Encoding="gzip")
        assert short.refused == (400, "bad_json")
    assert served.hits() == hits
    assert served.post(HAIL, "/batch", LINES, lines, Content_Encoding="gzip").json["accepted"] == 30


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Length": "-4"},
        {"Content_Length": "+4"},
        {"Content_Length": "4, 4"},
        {"Content_Length": "four"},
        {"Content_Length": "9" * 5000},
        {"Content_Length": "4", "content_length": "5"},
        {"Transfer_Encoding": "chunked", "Content_Length": "4"},
        {"Transfer_Encoding": "gzip"},
    ],
)
def test_a_length_that_says_no_length_is_refused(served: Served, headers: dict[str, str]) -> None:
    hits, before = served.hits(), served.counted()
    body = chunks_of(b"pk=a") + b"0\r\n\r\n" if "Transfer_Encoding" in headers else b"pk=a"
    for host, target in ((HAIL, "/count"), (WHALE, "/count_now")):
        answer = served.send(head(f"POST {target} HTTP/1.1", host, Content_Type=FORM, **headers) + body)
        assert answer.status in (400, 413, 501)
        if served.name != "granian":  # it answers by itself, without a body
            assert answer.json["status"] == answer.status
    assert (served.hits(), served.counted()) == (hits, before)


def test_http_1_0_needs_a_length_where_it_posts(served: Served) -> None:
    hits, before = served.hits(), served.counted()
    for host, target in (
        (HAIL, "/count?pk=old"),
        (HAIL, "/batch"),
        (WHALE, f"/reset?pk={served.name}"),
        (WHALE, "/totals"),
    ):
        data = head(f"POST {target} HTTP/1.0", host, Content_Type=FORM) + b"pk=old&dimensions=x"
        answer = served.send(data, ends=True)
        assert answer.refused == (400, "body_cut_off")
        assert answer.json["field"] == "Content-Length"
    assert (served.hits(), served.counted()) == (hits, before)
    body = b"pk=old&dimensions=x"
    cut = head("POST /count HTTP/1.0", HAIL, Content_Type=FORM, Content_Length="19") + body[:6]
    assert served.send(cut, ends=True).refused == (400, "body_cut_off")
    whole = head("POST /count HTTP/1.0", HAIL, Content_Type=FORM, Content_Length="19") + body
    assert served.send(whole).status == 202
    empty = head("POST /count?pk=old HTTP/1.0", HAIL, Content_Length="0")
    assert served.send(empty).status == 202
    assert served.send(head("GET /count?pk=old HTTP/1.0", HAIL)).status == 200
    assert served.send(head("GET /count_decision?pk=old&option=a HTTP/1.0", HAIL)).status == 200
    assert served.send(head("POST /count?pk=new HTTP/1.1", HAIL)).status == 202


def test_who_waits_for_100_continue_is_told_to_go_on(served: Served) -> None:
    body = b"pk=waits"
    for host, target, status in ((HAIL, "/count", 202), (WHALE, "/count_now", 200)):
        with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
            announced = {"Content_Length": str(len(body)), "Expect": "100-continue"}
            connection.sendall(head(f"POST {target} HTTP/1.1", host, Content_Type=FORM, **announced))
            assert connection.recv(100).startswith(b"HTTP/1.1 100")
            connection.sendall(body)
            response = http.client.HTTPResponse(connection)
            response.begin()
            response.read()
            assert response.status == status
    cut = served.post(HAIL, "/count", FORM, b"pk=waits&metric=x", 8, Expect="100-continue")
    assert cut.refused == (400, "body_cut_off")


def test_what_gunicorn_cannot_read_is_answered_by_a_problem_and_summed_up_in_the_log(gunicorn: Served) -> None:
    long = "GET /plotpoints?metrics=" + "a%2B" * 3000
    wrong: list[tuple[bytes, int, str]] = [
        (head(f"{long} HTTP/1.1", WHALE), 414, "8190 bytes. POST the parameters to the same route"),
        (head("GET /count?pk=café HTTP/1.1", HAIL), 400, "caf%C3%A9"),
        (head("GET /count?pk=a b HTTP/1.1", HAIL), 400, "%20"),
        (head("GET /count?pk=a HTTP/9.9", HAIL), 400, "HTTP"),
        (head("GET /count?pk=a HTTP/1.1", HAIL, X="y" * 9000), 431, "shorter headers"),
        *(
            (head("POST /count HTTP/1.1", HAIL, Transfer_Encoding=coding), 501, f"expected chunked, got '{coding}'")
            for coding in ("br", "gzip", "gzip, chunked", "chunked, gzip", "identity")
        ),
        (
            head("POST /count HTTP/1.1", HAIL, Transfer_Encoding="chunked, chunked"),
            400,
            "send Transfer-Encoding: chunked instead",
        ),
        (head("POST /count HTTP/1.1", HAIL, Expect="a lot"), 417, "100-continue"),
        (b"\x16\x03\x01\x02\r\n\r\n", 400, "HTTP"),
        (b"nonsense\r\n\r\n", 400, "nonsense"),
    ]
    gunicorn.send(b"nonsense\r\n\r\n")  # the first is said at once
    before = len(gunicorn.log())
    for _ in range(20):
        for data, status, words in wrong:
            answer = gunicorn.send(data)
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert (answer.status, answer.json["status"]) == (status, status)
            assert words in answer.json["detail"], data[:40]
            assert answer.json.keys() == {"type", "title", "status", "detail"}
    written = gunicorn.log()[before:]
    assert len(written.splitlines()) <= 2  # one a minute
    assert len(written) < 1000
    assert "Traceback" not in gunicorn.log()

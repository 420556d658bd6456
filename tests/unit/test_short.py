"""The short way takes nothing that gunicorn would refuse or read otherwise, and answers with gunicorn's bytes."""

import gzip
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.socket
import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create
from hypothesis import given
from hypothesis import strategies as st

from hail import answers, gunicorn_conf
from hail.connections import Bounds, Connections, Wait
from hail.publish import Publisher
from hail.server import Greenlets, HailWorker, Stream, WhaleWorker
from hail.settings import load
from hail.short import MOST_BYTES, USUAL, ShortWay, is_open
from hail.web import Hail, make_app
from tests.laws import law

pytestmark = pytest.mark.usefixtures("loop_of_now")

PEER = ("127.0.0.1", 50_000)
HOST = b"Host: 127.0.0.1:8085\r\n"
BROWSER = HOST + (
    b'Connection: keep-alive\r\nsec-ch-ua: "Browser";v="156"\r\nsec-ch-ua-mobile: ?0\r\nUser-Agent: Mozilla/5.0 (X11)\r\n'
    b'sec-ch-ua-platform: "Linux"\r\nAccept: image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: cross-site\r\n'
    b"Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\nReferer: https://shop.example.org/caf\xe9\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\nCookie: a=b; c=d\r\n"
)
NGINX = b"Host: count.example.org\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"


def head(target: bytes, fields: bytes = HOST) -> bytes:
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (target, fields)


def post(target: bytes, body: bytes, fields: bytes = b"", length: bytes | None = None) -> bytes:
    length = b"%d" % len(body) if length is None else length
    return b"POST %b HTTP/1.1\r\n%b%bContent-Length: %b\r\n\r\n%b" % (target, HOST, fields, length, body)


@pytest.fixture(scope="module")
def cfg() -> Config:
    found = Config()
    for name in found.settings:
        if hasattr(gunicorn_conf, name):
            found.set(name, getattr(gunicorn_conf, name))
    return found


@pytest.fixture(scope="module")
def worker(cfg: Config) -> Any:
    return SimpleNamespace(cfg=cfg, log=Logger(cfg), alive=True, nr=0, max_requests=1000)


@pytest.fixture(params=["open", "locked"])
def hail(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hail]:
    keys = {f"HAILWHALE_{name}_KEY": name * 5 for name in ("WRITE", "READ", "ADMIN") if request.param == "locked"}
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path), **keys})
    publisher = Publisher(settings)
    yield make_app(settings, publisher)
    publisher.close()


def way_to(application: Callable[[dict[str, Any]], Any], worker: Any) -> ShortWay:
    return ShortWay(ROUTES, application, worker)


class Peer:
    """A socket from which these bytes come."""

    def __init__(self, data: bytes):
        self._left, self.sent = BytesIO(data), b""

    def recv(self, size: int) -> bytes:
        return self._left.read(size)

    def sendall(self, data: bytes) -> None:
        self.sent += data


def by_gunicorn(data: bytes, cfg: Config) -> tuple[RequestParser, Any, dict[str, Any]]:
    """Its parser, response and environment of one request."""
    peer = Peer(data)
    parser = RequestParser(cfg, peer, PEER)
    request = next(parser)
    return (parser, *create(request, peer, PEER, ("127.0.0.1", 8085), cfg))


# what is taken

ROUTES = {
    *(("GET", path) for path in ("/count", "/count.gif", "/count.js", "/count_decision")),
    *(("POST", path) for path in ("/count", "/batch", "/count_decision")),
}
JSON, FORM = b"Content-Type: application/json\r\n", b"Content-Type: application/x-www-form-urlencoded\r\n"
TAKEN = [
    head(b"/count?pk=a"),
    head(b"/count.gif?pk=a", BROWSER),
    head(b"/count.js?pk=a&callback=app.done", NGINX),
    head(b"/count_decision?pk=a&option=b"),
    head(b"/count"),
    head(b"/count?pk=a%20b&dimensions=%7B%22a%22%3A1%7D&b=[x]?&c=//d", HOST + b"Authorization: Bearer a\r\n"),
    head(b"/count?pk=a", HOST + FORM),
    post(b"/count", b'{"pk": "a"}', JSON),
    post(b"/count?pk=a", b""),
    post(b"/count", b"pk=a&metric=b\r\n\r\n", FORM + BROWSER.removeprefix(HOST)),
    post(b"/batch", b'{"pk": "a"}\n' * 600, b"Content-Type: application/x-ndjson\r\n"),
    post(b"/batch", gzip.compress(b'[{"pk": "a"}]', mtime=0), JSON + b"Content-Encoding: gzip\r\n"),
    post(b"/count_decision", b'{"pk": "a", "option": "b"}', JSON),
]
LEFT = {
    "another path": head(b"/metrics"),
    "an encoded path": head(b"/coun%74"),
    "a whole address": head(b"http://127.0.0.1:8085/count"),
    "a fragment": head(b"/count#a?pk=a"),
    "letters beyond ASCII": head(b"/count?pk=caf\xe9"),
    "a space": head(b"/count?pk=a b"),
    "no host": head(b"/count", b""),
    "two hosts": head(b"/count", HOST * 2),
    "a field twice": head(b"/count", HOST + b"Cookie: a\r\nCookie: b\r\n"),
    "close": head(b"/count", HOST + b"Connection: close\r\n"),
    "upgrade": head(b"/count", HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n"),
    "a body": head(b"/count", HOST + b"Content-Length: 2\r\n") + b"ab",
    "an empty body": head(b"/count", HOST + b"Content-Length: 0\r\n"),
    "chunks": head(b"/count", HOST + b"Transfer-Encoding: chunked\r\n"),
    "expects": head(b"/count", HOST + b"Expect: 100-continue\r\n"),
    "a field with an underscore": head(b"/count", HOST + b"X_Forwarded_For: 1\r\n"),
    "a folded field": head(b"/count", HOST + b"Cookie: a\r\n b\r\n"),
    "a control character": head(b"/count", HOST + b"Cookie: a\x01\r\n"),
    "a line feed alone": head(b"/count").replace(b"\r\n", b"\n", 1),
    "HTTP/1.0": head(b"/count").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "another method": head(b"/count").replace(b"GET", b"HEAD"),
    "two requests": head(b"/count") * 2,
    "two posts": post(b"/count", b"pk=a") * 2,
    "half a body": post(b"/count", b"pk=a", length=b"5"),
    "more than a body": post(b"/count", b"pk=a", length=b"3"),
    "a length that is none": post(b"/count", b"pk=a", length=b"+4"),
    "a longer length": post(b"/count", b"pk=a", length=b"04"),
    "two lengths": post(b"/count", b"pk=a", b"Content-Length: 4\r\n"),
    "no length": b"POST /count HTTP/1.1\r\n%b\r\n" % HOST,
    "chunks of a post": b"POST /count HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % HOST,
    "a pixel by post": post(b"/count.gif", b"pk=a"),
    "a batch by get": head(b"/batch"),
    "an empty line behind it": head(b"/count") + b"\r\n\r\n",
    "half a head": head(b"/count")[:-2],
    "a long head": head(b"/count?pk=" + b"a" * MOST_BYTES),
    "nothing": b"",
}


@pytest.mark.parametrize("data", TAKEN)
def test_usual_requests_are_taken_and_read_as_gunicorn_reads_them(data: bytes, worker: Any) -> None:
    found = way_to(print, worker).read(data, PEER[0])
    assert found is not None
    assert_alike(data, found, worker.cfg)


@pytest.mark.parametrize("data", LEFT.values(), ids=LEFT.keys())
def test_what_is_unusual_is_left_to_gunicorn(data: bytes, worker: Any) -> None:
    assert way_to(print, worker).read(data, PEER[0]) is None


def assert_alike(data: bytes, found: dict[str, Any], cfg: Config) -> None:
    parser, response, environ = by_gunicorn(data, cfg)
    mine = {name: value for name, value in found.items() if name != "wsgi.input"}
    assert {name: environ.get(name) for name in mine} == mine
    assert {name for name in environ if name.startswith(("HTTP_", "CONTENT_"))} <= mine.keys()
    body = found["wsgi.input"].getvalue() if "wsgi.input" in found else b""
    assert environ["wsgi.input"].read() == body
    assert parser.unreader.buf.getvalue() == b""
    response.start_response("200 OK", [("Content-Length", "2")])
    assert not response.should_close()


def nearly_usual(seed: int) -> bytes:
    """A head with now and then another field or value, and a few bytes that were put in, taken out or changed."""
    rng = Random(seed)

    def mostly(*usual: bytes) -> bytes:
        return rng.choice(usual if rng.random() < 0.95 else ODD)

    path, query = mostly(b"/count", b"/count", b"/count.gif", b"/batch"), mostly(b"", b"?", b"?pk=a", b"?a=%00&b=c;?//")
    fields = b"".join(
        mostly(*FIELDS) + mostly(b": ", b":", b":\t ") + mostly(*VALUES) + b"\r\n" for _ in range(rng.randrange(4))
    )
    line = path + query + mostly(b" HTTP/1.1") + b"\r\n" + mostly(HOST) + fields
    body = rng.choice([b"", b"pk=a", b"\r\n\r\n", b"GET /count HTTP/1.1\r\n" + HOST + b"\r\n"])
    length = mostly(b"Content-Length: %d\r\n" % (len(body) + rng.choice([0, 0, 0, 0, 1, -1])))
    data = bytearray(rng.choice([b"GET %b\r\n" % line, b"POST %b%b\r\n%b" % (line, length, body)]))
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        at, taken = rng.randrange(len(data)), rng.randrange(3)
        data[at : at + taken] = rng.choice([*ODD, rng.randbytes(1)])
    return bytes(data)


FIELDS = [name.encode() for name in USUAL.split()]
VALUES = [b"", b"a", b"keep-alive", b"Keep-Alive ", b"a\xff\xe9", b" \t a \t", b"a, b", b"https"]
ODD = [
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\0",
        b"\x7f",
        b"\x0b",
        b"\x80",
        b"\t",
        b" ",
        b":",
        b"\r\n\r\n",
        b"\r\n ",
        b"#",
        b"?",
        b"//",
        b"*",
    ),
    *(
        b"close",
        b"0",
        b"chunked",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Expect",
        b"Upgrade",
        b"X_Real_IP",
        b"Content-Type",
        b"TE",
    ),
    *(b" HTTP/1.0", b" HTTP/2.0", b" http/1.1", b" RTSP/1.1", b"http://a/count"),
]


@law(3000)
@given(st.integers(0, 2**40).map(nearly_usual))
def test_whatever_is_taken_gunicorn_would_take_and_read_alike(worker: Any, data: bytes) -> None:
    found = way_to(print, worker).read(data, PEER[0])
    if found is not None:
        assert_alike(data, found, worker.cfg)


def test_a_worker_that_stops_or_has_had_its_share_leaves_all_to_gunicorn(worker: Any) -> None:
    leaves = {
        "alive": SimpleNamespace(**{**vars(worker), "alive": False}),
        "nr": SimpleNamespace(**{**vars(worker), "nr": 999}),
    }
    for name, one in leaves.items():
        assert way_to(print, one).read(TAKEN[0], PEER[0]) is None, name


# what is answered


@pytest.mark.parametrize(
    "data",
    [
        *TAKEN,
        *(
            head(b"/%b?pk=a&%b=1" % (path, name))
            for path in (b"count", b"count.gif", b"count.js")
            for name in (b"fbclid", b"metric")
        ),
        head(b"/count?dimensions=%5B", BROWSER),
        head(b"/count.js?pk=a&callback=alert(1)"),
        head(b"/count_decision?pk=a"),
        head(b"/count?pk=a", b"Host: count.example.org\r\n"),
        post(b"/count", b'{"metrics": 1}', JSON),
        post(b"/count", b"pk=%5B", FORM),
        post(b"/batch", b'[{"pk": "a"}, {"pk": 1.5}]', JSON),
        post(b"/batch", b"[" * 5, JSON),
        post(b"/batch?pk=a", b"[]", JSON),
    ],
)
def test_an_answer_has_the_bytes_that_gunicorn_sends(data: bytes, hail: Hail, worker: Any) -> None:
    way = way_to(hail.short, worker)
    found = way.read(data, PEER[0])
    assert found is not None
    mine = [way.answer(way.read(data, PEER[0]) or {}, lambda now=now: now) for now in (0.0, 0.5, 1.0)]
    assert {dateless(answer) for answer in mine} == {by(hail, data, worker.cfg)}
    if found["REQUEST_METHOD"] == "POST":  # whose answers had Bottle's form before they went the short way
        assert dateless(mine[0]) == by(hail.wsgi, data, worker.cfg)


def by(application: Any, data: bytes, cfg: Config) -> bytes:
    """What gunicorn sends of an application's answer."""
    _, response, environ = by_gunicorn(data, cfg)
    for part in application(environ, response.start_response):
        response.write(part)
    response.close()
    return dateless(response.sock.sent)


def dateless(answer: bytes) -> bytes:
    without, dates = re.subn(rb"\r\nDate: [^\r]{29}\r\n", b"\r\n", answer)
    assert dates == 1
    return without


def test_the_date_is_that_of_the_second(worker: Any) -> None:
    ok = answers.OK
    way = way_to(lambda environ: ok, worker)
    first = way.answer({}, lambda: 10.2)
    assert way.answer({}, lambda: 10.9) is first
    assert way.answer({}, lambda: 11.0) is not first


def test_a_route_that_fails_is_answered_by_500(hail: Hail, worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hail.acceptor, "clock", lambda: 1 / 0)
    way = way_to(hail.short, worker)
    found = way.read(head(b"/count?pk=a"), PEER[0])
    assert found is not None
    assert way.answer(found, lambda: 0).startswith(b"HTTP/1.1 500 Internal Server Error\r\nServer: gunicorn\r\n")


# when there is no short way


def test_it_is_closed_where_gunicorn_is_to_see_each_request(worker: Any) -> None:
    assert is_open(worker, {})
    assert not is_open(worker, {"SCRIPT_NAME": "/hail"})
    for name, value in {
        "accesslog": "-",
        "statsd_host": "127.0.0.1:8125",
        "post_request": lambda worker, request: None,
        "pre_request": lambda worker, request: None,
        "keepalive": 0,
        "proxy_protocol": "auto",
        "http2_cleartext": "upgrade",
        "limit_request_line": 1000,
        "limit_request_fields": 10,
        "limit_request_field_size": 1000,
    }.items():
        other = Config()
        other.set("logger_class", "gunicorn.glogging.Logger")
        other.set(name, value)
        one = SimpleNamespace(cfg=other, log=other.logger_class(other))
        assert not is_open(one, {}), name
    plain = Config()
    assert is_open(SimpleNamespace(cfg=plain, log=Logger(plain)), {})


# the workers


def test_hails_worker_has_the_short_way_and_whales_has_none(hail: Hail, worker: Any) -> None:
    one = SimpleNamespace(**vars(worker), greenlets=Greenlets(), short=None)
    WhaleWorker.shorten(one, hail)
    assert one.short is None
    assert hail.acceptor.publisher.waits is not one.greenlets
    HailWorker.shorten(one, lambda environ, start_response: [])
    assert one.short is None
    HailWorker.shorten(one, hail)
    assert one.short.read(TAKEN[0], PEER[0])
    assert hail.acceptor.publisher.waits is one.greenlets


def test_a_connection_answers_what_is_usual_and_hands_the_parser_the_rest(worker: Any) -> None:
    bounds = Bounds(10, 10, 1_000_000, dict.fromkeys(Wait, 60.0))
    book = Connections(bounds, print)
    mine, theirs = gevent.socket.socketpair()
    stream = Stream(theirs, None, book, PEER[0], way_to(lambda environ: answers.OK, worker))
    reads = gevent.spawn(stream.recv, 8192)
    for data in (TAKEN[0], TAKEN[1]):
        mine.sendall(data)
        assert mine.recv(8192).endswith(b"\r\n\r\nOK")
    mine.sendall(LEFT["close"])
    assert reads.get(timeout=30) == LEFT["close"]
    mine.sendall(TAKEN[0])  # which is a body, for all that is known here
    assert gevent.spawn(stream.recv, 8192).get(timeout=30) == TAKEN[0]
    stream.close()
    assert (len(book), book.held) == (0, 0)

"""The short way of usual requests that count, past gunicorn's parser, environment and response, which take two thirds of a GET's time.

    a whole request in one piece, of usual fields alone ──> httptools ──> the application ──> the bytes that gunicorn would send
                                └── None: gunicorn reads it

Promise: gunicorn would take whatever is taken here, and hand the application the same values. All that is unusual, wrong, in
pieces, or followed by more is left to gunicorn, whose checks and refusals stay the only ones.
"""

from collections.abc import Callable, Collection, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import httptools
from gunicorn.glogging import Logger
from gunicorn.http.wsgi import Response

from hail import gunicorn_conf

if TYPE_CHECKING:
    from hail.answers import HttpAnswer  # brings hail.metrics, which hail.server imports later

MOST_BYTES = 4000  # of a head
USUAL = """
    Accept Accept-Encoding Accept-Language Authorization Cache-Control CDN-Loop CF-Connecting-IP CF-IPCountry CF-Ray CF-Visitor
    Connection Content-Encoding Cookie DNT Forwarded Host If-Modified-Since If-None-Match Origin Pragma Priority Purpose Referer Save-Data
    Sec-CH-UA Sec-CH-UA-Mobile Sec-CH-UA-Platform Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-Storage-Access
    Sec-Fetch-User Sec-GPC Sec-Purpose True-Client-IP Upgrade-Insecure-Requests User-Agent Via X-Forwarded-For
    X-Forwarded-Host X-Forwarded-Port X-Forwarded-Proto X-Real-IP X-Request-ID X-Requested-With
"""
"""Fields that browsers and proxies send, and that say nothing of where a request or its connection ends."""
VARIABLES = {name.lower().encode(): f"HTTP_{name.upper().replace('-', '_')}" for name in USUAL.split()}
VARIABLES |= {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}
REMEMBERED = 8  # answers that all requests share, for a second

Environ = dict[str, Any]


class Head:
    """What httptools reads; an error where it is not usual."""

    __slots__ = ("environ", "target")

    def __init__(self, environ: Environ):
        self.environ = environ
        self.target = b""

    def on_url(self, target: bytes) -> None:
        if self.target:
            raise ValueError("a second request")
        self.target = target

    def on_header(self, name: bytes, value: bytes) -> None:
        variable = VARIABLES[name.lower()]
        if variable in self.environ:
            raise ValueError("a field twice")
        self.environ[variable] = value.decode("latin-1").strip(" \t")


class ShortWay:
    """routes: method and path of those that `application` answers.  worker: of gunicorn."""

    def __init__(
        self, routes: Collection[tuple[str, str]], application: "Callable[[Environ], HttpAnswer]", worker: Any
    ):
        self._routes, self._application, self._worker = routes, application, worker
        self._second = 0
        self._known: dict[int, tuple[HttpAnswer, bytes]] = {}

    def read(self, data: bytes, address: str) -> Environ | None:
        """What the application is asked with, so much of WSGI's as it looks at. address: of the peer. About 5 us."""
        method = "GET" if data.startswith(b"GET /") else "POST" if data.startswith(b"POST /") else ""
        end = data.find(b"\r\n\r\n") + 4
        if not method or not 4 <= end <= MOST_BYTES or self._is_last():
            return None
        environ: Environ = {"REQUEST_METHOD": method, "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": address}
        head, body = Head(environ), data[end:]
        try:
            httptools.HttpRequestParser(head).feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        if not data.startswith(b" HTTP/1.1\r\n", len(method) + 1 + len(head.target)) or b"#" in head.target:
            return None
        if "HTTP_HOST" not in environ or environ.get("HTTP_CONNECTION", "keep-alive").lower() != "keep-alive":
            return None
        length = environ.get("CONTENT_LENGTH")
        if length != (None if method == "GET" else str(len(body))) or (method == "GET" and body):
            return None
        target = head.target.decode("latin-1")
        path, _, query = target.partition("?")
        if (method, path) not in self._routes:
            return None
        environ["PATH_INFO"], environ["QUERY_STRING"], environ["RAW_URI"] = path, query, target
        if method == "POST":
            environ["wsgi.input"] = BytesIO(body)
        return environ

    def _is_last(self) -> bool:
        """Whether the answer says that it is the last of its connection."""
        return not self._worker.alive or self._worker.nr + 1 >= self._worker.max_requests

    def answer(self, environ: Environ, clock: Callable[[], float]) -> bytes:
        """clock: epoch seconds. Answers that all share are made once a second, since they say the time."""
        self._worker.nr += 1
        found = self._application(environ)
        second = int(clock())
        if second != self._second:
            self._second = second
            self._known.clear()
        known = self._known.get(id(found))
        if known:
            return known[1]
        sent = self._sent(found)
        if len(self._known) < REMEMBERED:
            self._known[id(found)] = found, sent  # which keeps its id its own
        return sent

    def _sent(self, found: "HttpAnswer") -> bytes:
        sink = Sink()
        response = Response(sink, sink, self._worker.cfg)
        response.start_response(found.status, list(found.headers))
        response.write(found.body)
        response.close()
        return b"".join(sink.parts)


class Sink:
    """A usual request as gunicorn's response looks at it, and the socket that it writes to."""

    method, version = "GET", (1, 1)

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def should_close(self) -> bool:
        return False

    def sendall(self, data: bytes) -> None:
        self.parts.append(data)


def is_open(worker: Any, environ: Mapping[str, str]) -> bool:
    """Whether gunicorn need not see each request: no log has it, no hook of others is called, no limit is stricter than ours."""
    cfg = worker.cfg
    hooks = [cfg.settings[name] for name in ("pre_request", "post_request")]
    limits = (
        (cfg.limit_request_line, MOST_BYTES),
        (cfg.limit_request_field_size, MOST_BYTES),
        (cfg.limit_request_fields, len(VARIABLES)),
    )
    return bool(
        all(hook.get() in (hook.default, gunicorn_conf.pre_request) for hook in hooks)
        and type(worker.log).access is Logger.access
        and not worker.log.access_log_enabled
        and all(limit <= 0 or limit >= needed for limit, needed in limits)
        and cfg.keepalive
        and cfg.proxy_protocol == cfg.http2_cleartext == "off"
        and not environ.get("SCRIPT_NAME")
    )

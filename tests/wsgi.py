"""A WSGI application, called in process, or served on a loopback port."""

import io
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import urlencode
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    app: Any,
    method: str,
    path: str,
    parameters: dict[str, Any] | None = None,
    body: bytes = b"",
    query: str | None = None,
    **environ: str,
) -> Answer:
    """query: the query string as it is, instead of parameters.  environ: more of it, as HTTP_AUTHORIZATION."""
    given = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": urlencode(parameters or {}) if query is None else query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1:8086",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
        **environ,
    }
    got: list[Any] = []
    parts = app(given, lambda status, headers, exc_info=None: got.extend((status, headers)))
    headers: dict[str, str] = {}
    for name, value in got[1]:
        headers[name.title()] = ", ".join(filter(None, (headers.get(name.title()), value)))
    return Answer(int(got[0].split()[0]), headers, b"".join(parts))


def address_of(rule: str) -> str:
    """An address of a route; one that names an account names `default`."""
    return re.sub("<.*?>", "checkout", rule.replace("<user:account>", "default").replace("<call:call>", "track"))


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


class _Threads(ThreadingMixIn, WSGIServer):
    """One for each connection, since a browser opens some that it does not use yet."""

    daemon_threads = True


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The URL where a server of the standard library serves it."""
    with make_server("127.0.0.1", 0, app, _Threads, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

"""A site whose pages have the tracker, and a Hail that only writes down what came: for tests of what the tracker sends, and when.

with Recorder() as hail:
    page.goto(hail.page("/kettle.html"))         # a page of tests/browser/site, on another origin than Hail
    hail.wait("pageview")                        # the first hit of this name, however often it was sent
    hail.hits                                    # each id once, in the order in which they came first
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Page

from hail.access import Caller
from hail.scripts import Scripts
from tests.browser.visits import Chromium
from tests.servers import wait_until

SITE = Path(__file__).parent / "site"
KINDS = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".pdf": "application/pdf"}
ACCOUNT = "shop"
PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
"""Of a person: the one of a browser without a window says that it is a program."""
NO_PROGRAM = "Object.defineProperty(Navigator.prototype, 'webdriver', {get: () => false})"
SETTLED = "settled"
Hit = dict[str, Any]


def tag(hail: str, script: str = "/js/trackr.js", **options: str) -> str:
    """The script tag of a page. options: those of the tracker, as `data-` has them."""
    given = {"account": ACCOUNT, **options}
    data = "".join(f' data-{name.replace("_", "-")}="{value}"' for name, value in given.items() if value is not None)
    return f'<script defer src="{hail}{script}"{data}></script>'


class Pages:
    """The pages of the site over HTTP, each with the tag of the tracker.

    head: that tag.  more: other ones, by the path of a page.  policy: the CSP of all pages.  asked: paths with their headers.
    """

    def __init__(self) -> None:
        self.head, self.policy, self.more = "", "", dict[str, str]()
        self.ready = False  # what /ready.js says
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._scripts = Scripts()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.get(self)

            def do_POST(self) -> None:
                outer.posted(self)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A browser that closes a connection is no error."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.hail = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Any:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def page(self, path: str = "/") -> str:
        """Its address: that of another origin than Hail's."""
        return f"http://localhost:{self.port}{path}"

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        path = urlsplit(handler.path).path
        self.asked.append((path, dict(handler.headers)))
        if path.startswith("/js/"):
            found = self._scripts.get(Caller(""), {"PATH_INFO": path})
            answered(handler, int(found.status[:3]), found.body, dict(found.headers))
            return
        if path == "/ready.js":
            text = b"yes" if self.ready else b"no"
            answered(handler, 200, text, {"Content-Type": "text/plain", "Content-Length": str(len(text))})
            return
        name = path[1:] or "index.html"
        if not (SITE / name).is_file() and not name.endswith((".js", ".pdf", ".ico")):
            name = "app.html"  # each address of the application is a page of it
        body = (SITE / name).read_bytes() if (SITE / name).is_file() else b"none"
        text = body.replace(b"<!-- trackr -->", (self.more.get(path) or self.head).encode())
        kind = KINDS.get(Path(name).suffix, "text/plain")
        policy = {"Content-Security-Policy": self.policy} if self.policy else {}
        answered(handler, 200, text, {"Content-Type": kind, "Content-Length": str(len(text)), **policy})

    def posted(self, handler: BaseHTTPRequestHandler) -> None:
        answered(handler, 404, b"", {"Content-Length": "0"})


def answered(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@dataclass
class Sent:
    """A body that came. took: whether it was answered as accepted."""

    body: dict[str, Any]
    headers: dict[str, str]
    took: bool
    at: float = field(default_factory=time.time)


class Recorder(Pages):
    """status: of all answers.  delay_s: before each.  away: what comes is cut off without an answer."""

    def __init__(self, **options: str) -> None:
        super().__init__()
        self.head = tag(self.hail, **options)
        self.status, self.delay_s, self.away = 202, 0.0, False
        self.sent: list[Sent] = []

    def posted(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        time.sleep(self.delay_s)
        took = not self.away and self.status < 300
        self.sent.append(Sent(json.loads(body), dict(handler.headers), took))
        if self.away:
            handler.close_connection = True
            handler.connection.close()
            return
        answered(handler, self.status, b"", {"Content-Length": "0", "Access-Control-Allow-Origin": "*"})

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """Those that were accepted."""
        return [sent.body for sent in self.sent if sent.took]

    @property
    def hits(self) -> list[Hit]:
        """That were accepted, each id once, as Hail counts them."""
        found: dict[str, Hit] = {}
        for body in list(self.bodies):
            for hit in body["hits"]:
                found.setdefault(hit["id"], hit)
        return list(found.values())

    def named(self, event: str) -> list[Hit]:
        return [hit for hit in self.hits if hit["event"] == event]

    def wait(self, event: str, count: int = 1) -> Hit:
        """The newest of this name, when at least so many came."""
        wait_until(lambda: len(self.named(event)) >= count, 20, f"{count} {event} of {self.counted()}")
        return self.named(event)[-1]

    def counted(self) -> dict[str, int]:
        """How many hits of each name; that of `settle` is none."""
        return {hit["event"]: len(self.named(hit["event"])) for hit in self.hits if hit["event"] != SETTLED}


@contextmanager
def person(chromium: Chromium, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """A visit of somebody who does not seem to be a program."""
    with chromium.visit(user_agent=PERSON, **options) as (page, faults):
        page.context.add_init_script(NO_PROGRAM)
        yield page, faults


def settle(page: Page, hail: Recorder) -> None:
    """All that the page had to tell has come: hits keep their order, and this one is told a task later."""
    before = len(hail.named(SETTLED))
    page.evaluate(f"new Promise(done => setTimeout(() => done(trackr.track('{SETTLED}'))))")
    hail.wait(SETTLED, before + 1)


def forgive(page: Page, faults: list[str], *words: str) -> None:
    """Takes the faults with one of these words out, and no others."""
    page.evaluate("0")  # its answer comes after all that was told before
    faults[:] = [fault for fault in faults if not any(word in fault for word in words)]


def ids(context: BrowserContext) -> dict[str, str]:
    """The cookies of the tracker, by their names."""
    return {each["name"]: each["value"] for each in context.cookies() if "trackit" in each["name"]}

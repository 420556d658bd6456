"""Page views of a WSGI application: each page that Flask, Django or another framework serves counts.

app.wsgi_app = PageViews(app.wsgi_app)                  # Flask
application = PageViews(get_wsgi_application())         # Django, in wsgi.py

A view is an answer of type text/html to GET, or "not modified" to a browser that asked for such a page; redirects are none. It counts in
the pk `page_views`, by page, status and referrer, with the metric `ms`: how long the application took. Nothing of the visitor is sent.

Promise: the application answers as it would without this, and no answer waits for a count. A thread hands the views to Hail's queue after
the answers were sent. Where it cannot keep up, or the queue is away, 16 MB of views wait, and more are dropped: they are counted in
`dropped` and named in the log once a minute. A process that is killed loses the views of its last moment. An order must not be lost: call
`Whale.count` for it, which returns when the hit is safe.
"""

import atexit
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from hail.hit import HitError, Row, encode_row, parse_hit, row_of_hit
from hail.message import ACCOUNT
from hail.publish import NotAccepted, Publisher
from hail.settings import Settings, load

Environ = dict[str, Any]
Dimensions = Mapping[str, Any]

PAGE = "hailwhale.page"
"""Of the environ: what an application calls this page, as the rule of its route."""
WAITING_BYTES, BESIDE_BYTES = 16_000_000, 250  # of all views that wait; what one takes beside its text
AT_ONCE = 500  # views
LAST_S = 5.0  # for the views that wait when the process ends
TOLD_S = 60.0

_Waiting = tuple[Row, int, int]
"""Row of a view, its cells, and the bytes that it takes here."""

log = logging.getLogger("whale.middleware")


def dimensions_of(environ: Environ, status: int) -> Dimensions | None:
    """Page, status and referring site of a view; None where a browser loaded the page in advance, and nobody may ever see it.

    The page is the environ's `hailwhale.page`, else the path without its query. An address that the application does not know
    (status 4xx) is not named: strangers could fill the dimension with them.
    """
    if "prefetch" in environ.get("HTTP_SEC_PURPOSE", "") + environ.get("HTTP_PURPOSE", ""):
        return None
    found = {"status": str(status)}
    if not 400 <= status < 500:
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        found["page"] = environ.get(PAGE) or path.encode("latin-1").decode("utf-8", "replace") or "/"
    referrer = _site_of(environ.get("HTTP_REFERER", ""))
    if referrer and referrer != _site_of(f"//{environ.get('HTTP_HOST', '')}"):
        found["referrer"] = referrer
    return found


def _site_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # a stranger wrote it
        return ""


class PageViews:
    """A WSGI application that counts the pages of another one. For many threads, before or after a fork.

    pk: of the views.  dimensions: a function of the environ and the status, instead of `dimensions_of`.
    It may return None, so that the view does not count.
    settings: Default: those of the environment. Raises SettingsError.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        pk: Any = "page_views",
        dimensions: Callable[[Environ, int], Dimensions | None] = dimensions_of,
        settings: Settings | None = None,
    ):
        self._app, self._pk, self._dimensions = app, pk, dimensions
        self._settings = load(os.environ) if settings is None else settings
        self._publisher = Publisher(self._settings)
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._counts_in = 0  # the process whose thread counts
        self._thread: threading.Thread
        self._told_at = -TOLD_S
        self.dropped = 0

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("REQUEST_METHOD") != "GET":
            return self._app(environ, start_response)
        view = _View(environ, start_response)
        body = self._app(environ, view.start)
        view.took_s = time.perf_counter() - view.began
        if view.status and not view.is_page:
            return body
        kind = _SizedAnswer if hasattr(body, "__len__") else _Answer
        return kind(body, lambda: self._seen(view))

    def _seen(self, view: "_View") -> None:
        """Never raises: the answer is given, and the server must not be told of anything else."""
        try:
            if not view.is_page or (dimensions := self._dimensions(view.environ, view.status)) is None:
                return
            now, metrics = time.time(), {"ms": round(view.took_s * 1000, 3)}
            hit = parse_hit({"pk": self._pk, "dimensions": dimensions, "metrics": metrics}, self._settings, now)
            row = row_of_hit(hit)
            self._start()
            size = len(encode_row(row)) + BESIDE_BYTES
            with self._lock:
                has_room = self._waiting_bytes + size <= WAITING_BYTES
                self._waiting_bytes += size if has_room else 0
            if has_room:
                self._waiting.put((row, hit.cells, size))
            else:
                self._drop(1, f"{WAITING_BYTES // 1_000_000} MB of page views are waiting to be counted")
        except HitError as error:
            self._drop(1, str(error))
        except Exception as error:  # of `dimensions`, which is the application's
            self._drop(1, repr(error))

    def _start(self) -> None:
        if self._counts_in == os.getpid():
            return
        with self._lock:
            if self._counts_in == os.getpid():
                return
            self._waiting, self._waiting_bytes = queue.Queue(), 0  # after a fork the others belong to the parent
            thread = self._thread = threading.Thread(target=self._count, name="page views", daemon=True)
            self._counts_in = os.getpid()
        thread.start()  # not under the lock, as in hail/publish.py
        atexit.register(self.close)

    def close(self) -> None:
        """Counts the waiting views, for at most LAST_S. It runs by itself at the end of the process."""
        if self._counts_in == os.getpid():
            self._waiting.put(None)
            self._thread.join(LAST_S)

    def _count(self) -> None:
        while True:
            waiting = [self._waiting.get()]
            while len(waiting) < AT_ONCE and waiting[-1] is not None:
                try:
                    waiting.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            if views := [view for view in waiting if view is not None]:
                self._publish(views)
            if waiting[-1] is None:
                return

    def _publish(self, views: list[_Waiting]) -> None:
        try:
            self._publisher.publish(ACCOUNT, self._publisher.pack(*((row, cells) for row, cells, _ in views)))
        except NotAccepted as error:
            self._drop(len(views), str(error))
        except Exception as error:  # this thread counts all views that are to come
            self._drop(len(views), repr(error))
        with self._lock:
            self._waiting_bytes -= sum(size for *_, size in views)

    def _drop(self, views: int, why: str) -> None:
        with self._lock:
            self.dropped += views
            if time.monotonic() - self._told_at < TOLD_S:
                return
            self._told_at = time.monotonic()
        log.warning("%d page views were not counted since the start; the last one: %s", self.dropped, why)


class _View:
    """A request and how it was answered. status: 0 until the application has said it."""

    def __init__(self, environ: Environ, start_response: Callable[..., Any]):
        self.environ, self._start_response = environ, start_response
        self.began, self.took_s = time.perf_counter(), 0.0
        self.status, self._type = 0, ""

    def start(self, status: str, headers: list[tuple[str, str]], *more: Any, **named: Any) -> Any:
        self.status = int(status.partition(" ")[0])
        self._type = next((value for name, value in headers if name.lower() == "content-type"), "")
        return self._start_response(status, headers, *more, **named)

    @property
    def is_page(self) -> bool:
        if self.status == 304:  # it says no type
            return "text/html" in self.environ.get("HTTP_ACCEPT", "")
        return self._type.lower().startswith("text/html") and not 300 <= self.status < 400


class _Answer:
    """The parts of an answer, and what is to be done when it was sent."""

    def __init__(self, body: Any, sent: Callable[[], None]):
        self._body, self._sent = body, sent

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        try:
            if close := getattr(self._body, "close", None):
                close()
        finally:
            self._sent()


class _SizedAnswer(_Answer):
    """Of an answer in one part servers tell the length, as Content-Length; they know it by len()."""

    def __len__(self) -> int:
        return len(self._body)

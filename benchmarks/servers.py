"""Which server should stand before Hail: single GETs, the pixel, POSTs, batches, and strangers who mean no good.

    python -m benchmarks.servers                              all below in turns, against a quorum queue
    python -m benchmarks.servers --strangers 400              400 of each kind of tests/strangers.py, and 50 hits a second meanwhile
    python -m benchmarks.servers --servers own whole --runs 5

    own        what `hailwhale up` starts: gunicorn with hail.server.HailWorker
    whole      the same without its short way: gunicorn reads each request, and answers it
    uvicorn    gunicorn with uvicorn's worker, on httptools and uvloop      pip install uvicorn uvicorn-worker uvloop a2wsgi
    granian    granian by its interface RSGI                                pip install granian
    wsgi       granian by its interface WSGI, as docs/deploy.md starts it

uvicorn and granian by RSGI answer GETs that count in one event loop, by Hail's own routes: each in a greenlet, which goes on when the
publisher has answered its group by one call_soon_threadsafe. All else they hand to the WSGI application, in threads. None but the
first two has the bounds of hail/connections.py: the figures of the others are their best case.
"""

import argparse
import asyncio
import http.client
import io
import json
import sys
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from greenlet import getcurrent, greenlet

import hail.web
from benchmarks import workload
from benchmarks.report import Figure, report
from benchmarks.services import Asked, Service, Setup, cpu_seconds, peak_mb, wrk
from hail.answers import HttpAnswer
from hail.broker import dead_name
from hail.web import Hail
from tests.servers import RabbitMQ
from tests.strangers import Strangers, steadily

SERVERS = ("own", "whole", "uvicorn", "granian", "wsgi")
THREADS = 8
BATCH = 500
PATIENCE_S = 5.0
POST = """
wrk.method, wrk.body = 'POST', BODY
wrk.headers['Content-Type'] = 'application/json'
"""
ADDRESS = "pk=test&dimensions=services"

# the applications, in the process of a server


class InLoop:
    """With which a greenlet of an event loop waits for the publisher."""

    def __init__(self) -> None:
        self.greenlet, self.is_answered = getcurrent(), False

    def acquire(self, blocking: bool = True, timeout: float = 0) -> bool:
        return self.is_answered or (blocking and bool(self.greenlet.parent.switch()))


class LoopWaits:
    """How greenlets of one event loop wait, and threads beside it."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop, self._thread = loop, threading.get_ident()

    def begin(self) -> Any:
        if threading.get_ident() == self._thread:
            return InLoop()
        lock = threading.Lock()
        lock.acquire()
        return lock

    def end(self, group: list[Any]) -> None:
        if in_loop := [each for each in group if isinstance(each, InLoop)]:
            self._loop.call_soon_threadsafe(self._go_on, in_loop)
        for each in group:
            if not isinstance(each, InLoop):
                each.release()

    def _go_on(self, group: list[InLoop]) -> None:
        for each in group:
            each.is_answered = True
            each.greenlet.switch(True)


class Application:
    """Hail in an event loop."""

    def __init__(self) -> None:
        self.hail: Hail = hail.web.application
        self.threads = ThreadPoolExecutor(THREADS)
        self.loop = asyncio.get_running_loop()
        self.hail.acceptor.publisher.waits = LoopWaits(self.loop)

    def short(self, environ: dict[str, Any]) -> Awaitable[HttpAnswer]:
        answered = self.loop.create_future()
        greenlet(lambda: answered.set_result(self.hail.short(environ))).switch()
        return answered


_application: Application | None = None


def application_here() -> Application:
    global _application
    if _application is None:
        _application = Application()
    return _application


def environ_of(method: str, path: str, query: str, peer: str, headers: Iterable[tuple[str, str]]) -> dict[str, Any]:
    fields = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers}
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REMOTE_ADDR": peer,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": fields.get("HTTP_CONTENT_TYPE", ""),
        "CONTENT_LENGTH": fields.get("HTTP_CONTENT_LENGTH", ""),
        **fields,
    }


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["method"] != "GET" or ("GET", scope["path"]) not in application_here().hail.short_routes:
        await _by_wsgi(application_here().hail)(scope, receive, send)
    else:
        await _short_asgi(application_here(), scope, send)


async def _short_asgi(application: Application, scope: dict[str, Any], send: Any) -> None:
    fields = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    query = scope["query_string"].decode("latin-1")
    found = await application.short(environ_of("GET", scope["path"], query, scope["client"][0], fields))
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in found.headers]
    await send({"type": "http.response.start", "status": int(found.status[:3]), "headers": headers})
    await send({"type": "http.response.body", "body": found.body})


def _by_wsgi(application: Hail) -> Any:
    global _bridge
    if _bridge is None:
        from a2wsgi import WSGIMiddleware

        _bridge = WSGIMiddleware(application, workers=THREADS)
    return _bridge


_bridge: Any = None


async def rsgi(scope: Any, protocol: Any) -> None:
    application = application_here()
    environ = environ_of(
        scope.method, scope.path, scope.query_string, scope.client.rpartition(":")[0], scope.headers.items()
    )
    if scope.method == "GET" and ("GET", scope.path) in application.hail.short_routes:
        found = await application.short(environ)
    else:
        environ["wsgi.input"] = io.BytesIO(await protocol())
        found = await application.loop.run_in_executor(application.threads, whole, application.hail, environ)
    protocol.response_bytes(int(found.status[:3]), found.headers, found.body)


def whole(application: Any, environ: dict[str, Any]) -> HttpAnswer:
    said: list[Any] = []
    body = b"".join(application(environ, lambda *given: said.extend(given)))
    return HttpAnswer(said[0], said[1], body)


def without_short_way(environ: dict[str, Any], start_response: Any) -> Any:
    return hail.web.application(environ, start_response)


# the comparison


def served(setup: Setup, server: str) -> Service:
    here, python = "benchmarks.servers", [sys.executable, "-m"]
    match server:
        case "own":
            return setup.hail()
        case "wsgi":
            return setup.hail("granian")
        case "whole":
            return setup.hail(application=f"{here}:without_short_way")
        case "uvicorn":
            words = ["--bind", setup.settings.hail_bind, "--config", "python:hail.gunicorn_conf", "--workers", "1"]
            command = [*python, "gunicorn", *words, "--worker-class", "uvicorn_worker.UvicornWorker", f"{here}:asgi"]
        case "granian":
            words = ["--interface", "rsgi", "--host", "127.0.0.1", "--port", str(setup.hail_port), "--workers", "1"]
            command = [*python, "granian", *words, "--log-level", "warning", "--no-ws", f"{here}:rsgi"]
    return Service(command, setup.environ, setup.hail_port)


def loads(port: int) -> dict[str, Callable[[float], Asked]]:
    """By name: what is asked for some seconds."""
    hits = [{name: value for name, value in hit.items() if name != "at"} for hit in workload.hits(BATCH)]
    post = POST.replace("BODY", f"[=[{json.dumps(hits[0])}]=]")
    batch = POST.replace("BODY", f"[=[{json.dumps(hits)}]=]")
    url = f"http://127.0.0.1:{port}"
    return {
        "GET, 64 clients": lambda seconds: wrk(f"{url}/count?{ADDRESS}", seconds),
        "GET, 256 clients": lambda seconds: wrk(f"{url}/count?{ADDRESS}", seconds, 256),
        "GET, no two alike, 64 clients": lambda seconds: wrk(f"{url}/count?pk=test", seconds, different=True),
        "pixel, 64 clients": lambda seconds: wrk(f"{url}/count.gif?{ADDRESS}", seconds),
        "POST, 64 clients": lambda seconds: wrk(f"{url}/count", seconds, requests=post),
        f"batch of {BATCH}, 4 clients": lambda seconds: wrk(f"{url}/batch", seconds, 4, requests=batch),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--strangers", type=int, metavar="EACH", default=0)
    options = parser.parse_args()
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    with RabbitMQ() as rabbitmq:
        for _ in range(options.runs):
            for server in options.servers:
                setup = Setup("", rabbitmq.url, HAILWHALE_QUEUE_MAX_MESSAGES="1000000")
                with served(setup, server) as service:
                    wrk(f"http://127.0.0.1:{setup.hail_port}/count?{ADDRESS}", 1)  # connected and warm
                    measured = harassed if options.strangers else loaded
                    for what, value in measured(service, options).items():
                        found[server, what].append(value)
                rabbitmq.purge(setup.settings.queue, dead_name(setup.settings))
    report("servers", [Figure(f"{server}, {what}", values, "") for (server, what), values in found.items()])


def loaded(service: Service, options: argparse.Namespace) -> dict[str, float]:
    found: dict[str, float] = {}
    for what, ask in loads(service.port).items():
        before = cpu_seconds(service.process.pid)
        asked = ask(options.seconds)
        used = cpu_seconds(service.process.pid) - before
        found |= {f"{what}: answers/s": asked.rate, f"{what}: p99 ms": asked.p99_ms, f"{what}: refused": asked.refused}
        found[f"{what}: us of CPU"] = used / max(asked.answered, 1) * 1e6
    return found


def harassed(service: Service, options: argparse.Namespace) -> dict[str, float]:
    """50 hits a second on connections of their own for 10 s: how many are answered in time, and how long the slowest takes."""
    answered: list[int] = []
    with Strangers(service.port, options.strangers, "POST /count", "GET /openapi.json"):
        took = steadily(partial(ask, service.port, answered), 50, 10)
    return {"answered of 500": len(answered), "slowest ms": max(took) * 1000, "MB": peak_mb(service.process.pid)}


def ask(port: int, answered: list[int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"/count?{ADDRESS}")
        if connection.getresponse().status == 200:
            answered.append(1)
    except (OSError, http.client.HTTPException):
        return
    finally:
        connection.close()


if __name__ == "__main__":
    main()

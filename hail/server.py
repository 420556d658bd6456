"""gunicorn's workers of all services: connections in greenlets, and no more of them than hail/connections.py allows.

    HailWorker     the application runs in the greenlets, too: a hit mostly waits for its confirm
    LiveWorker     as HailWorker, and an answer may go on for long
    WhaleWorker    the application runs in threads, `--threads` of them: an answer is numpy and Redis

A usual request that counts is answered past gunicorn's parser and response (hail/short.py), all else by them.

A stranger who sends half a head, half a body or nothing, or who does not read, holds a greenlet and a few bytes for a while, and
never a thread. A body is read before the application is asked, and its answer is sent after it has gone: an application works
only. Where all connections are in work, the next request is answered 503 `overloaded`.
"""

import errno
import io
import os
import resource
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

import gevent
import gevent.socket
from gevent.hub import Waiter
from gevent.server import StreamServer
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

from hail.connections import Bounds, Connection, Connections, Wait, peer_of
from hail.room import few_arenas
from hail.settings import PREFIX, load
from hail.short import ShortWay, is_open

TICK_S = 0.25
LINGER_S = 0.5  # at a stop: for a request that was on its way when its client had not heard yet
OTHER_FILES = 200  # that a process has open beside its connections
UNSENT_BYTES = 131_072  # of an answer in the kernel: the rest waits in the process, where it is counted
PIECE_BYTES = (
    32_768  # of a body at a time: all that have sent some may be read before one that was closed frees its own
)
# new connections at a turn of the loop: 100, as gevent would, make it 0.1 s long in a burst, and a request waits for several turns
ACCEPTED_A_TURN = 4
ACCEPTED_A_SECOND = 400  # of the loop's work, where that is more: large batches make turns long
SWITCH_S = 0.001  # of Python's 5 ms, eight busy threads make the one with the connections wait 40 ms at each turn
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close without waiting for the peer to take what was sent

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
Call = tuple[Waiter, Callable[..., Any], tuple[Any, ...]]


class Stream(Connection):
    """A socket for gunicorn's parser and responses, which keeps book of whom it waits for.

    It answers what goes the short way by itself, and the parser sees only the rest.  address: of the peer.
    """

    __slots__ = ("_address", "_begins", "_book", "_gone", "_kept", "_short", "_socket", "_was_read")

    def __init__(
        self, connected: Any, peer: str | None, book: Connections, address: str = "", short: ShortWay | None = None
    ):
        super().__init__(peer)
        self._socket, self._book, self._gone = connected, book, False
        self._address, self._short = address, short
        self._begins = True  # whether a request begins with what comes next
        self._was_read = False
        self._kept: bytes | None = None
        book.open(self, time.monotonic())

    def recv(self, size: int) -> bytes:
        data = self._recv(size)
        if self._short:
            while self._begins and (environ := self._short.read(data, self._address)) and self.work():
                self._send(self._short.answer(environ, time.time))
                data = self._recv(size)
        self._begins = False
        return data

    def _recv(self, size: int) -> bytes:
        if self._was_read:
            gevent.sleep(0)  # on a fast line something has always come, and recv would let nobody else in
        self._was_read = True
        if self.waits is None:  # the request before was answered
            self._book.release(self, self.held)
            self._book.wait(self, Wait.IDLE, time.monotonic())
            self._begins = True
        data: bytes = b""
        try:
            data = self._socket.recv(min(size, PIECE_BYTES))
        except OSError:
            if not self._gone:
                raise
        if self.waits is Wait.IDLE and data:
            self._book.wait(self, Wait.HEAD, time.monotonic())
        self._hold(len(data))
        return data

    def read_body(self, environ: dict[str, Any], limit: int) -> None:
        """Reads the body for the application, unless it is too large: then the application refuses it unread."""
        length = environ.get("CONTENT_LENGTH") or ""
        if "HTTP_TRANSFER_ENCODING" in environ:
            left = limit + 1
        elif length.isdecimal() and 0 < int(length) <= limit:
            left = int(length)
        else:
            return
        self._book.wait(self, Wait.BODY, time.monotonic())
        environ["wsgi.input"] = Body(environ["wsgi.input"], left)

    def drop_rest(self, body: Any) -> None:
        """Reads what the application did not want of a body, since the next request stands behind it, and holds none of it.

        The parser would take a kilobyte at a time and copy all that has come for each.
        """
        self._book.wait(self, Wait.BODY, time.monotonic())
        try:
            while body.read(PIECE_BYTES):
                self._book.release(self, self.held)
        except Exception:  # the parser's: nobody knows where the next request begins
            raise StopIteration from None
        self._book.work(self)

    def go_on(self, come: int) -> None:
        """After an answer, where `come` bytes of what follows are here already: it waits for their end, and others first."""
        self._book.release(self, self.held - come)
        self._book.wait(self, Wait.HEAD, time.monotonic())
        gevent.sleep(0)

    def work(self) -> bool:
        """From here on it is not closed; False where there is too much work already. OSError where it was closed."""
        if self._gone:
            raise OSError(errno.ECONNRESET, "closed while its body arrived")
        self._book.work(self)
        return not self._book.overloaded

    def keep_head(self) -> None:
        """Keeps the next piece for the one after it, so that the head of a small answer leaves together with its body."""
        self._kept = b""

    def flush(self) -> None:
        kept, self._kept = self._kept, None
        if kept:
            self._send(kept)

    def sendall(self, data: bytes) -> None:
        if self._kept == b"":
            self._kept = data
        elif self._kept and len(data) <= PIECE_BYTES:
            kept, self._kept = self._kept, None
            self._send(kept + data)
        else:
            self.flush()
            self._send(data)

    def send(self, data: bytes) -> int:
        """At once: `100 Continue`, which no body follows."""
        self._send(data)
        return len(data)

    def _send(self, data: bytes) -> None:
        self._book.wait(self, Wait.READER, time.monotonic())  # first, so that it can be closed while it waits for room
        self._hold(len(data))
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise BrokenPipeError(errno.EPIPE, "the client disconnected, or read too slowly") from error
        self._book.work(self)
        self._book.release(self, len(data))

    def setblocking(self, flag: bool) -> None:
        self._socket.setblocking(flag)

    def close(self) -> None:
        self._book.leave(self)
        self._socket.close()

    def _hold(self, size: int) -> None:
        self._book.hold(self, size)
        while self._book.must_wait(self) and not self._gone:
            gevent.sleep(0)

    def watch(self, gone: Callable[[], None]) -> Callable[[], None]:
        """Of an answer that goes on for long: calls `gone` once the peer has closed. Gives what ends the watch.

        A peer that vanished without a word is found by what is sent to it: the system waits no longer than SEND_TIMEOUT_S for its
        word that it came.
        """
        if hasattr(socket, "TCP_USER_TIMEOUT") and self._socket.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._book.send_timeout_s * 1000))
        watcher = gevent.get_hub().loop.io(self._socket.fileno(), 1)

        def readable() -> None:
            watcher.stop()  # more of it would be the next request, which is read after the answer
            try:
                is_open = bool(self._socket.recv(1, socket.MSG_PEEK))
            except OSError:
                is_open = False
            if not is_open:
                gone()

        def end() -> None:
            watcher.stop()
            watcher.close()

        watcher.start(readable)
        return end

    def cut(self) -> None:
        self._gone = True
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes its greenlet, which closes it


class Body(io.BytesIO):
    """A body that was read from another; ends as that one did, be it with an error."""

    def __init__(self, source: Any, left: int):
        super().__init__()
        self._error: Exception | None = None
        try:
            while left > 0 and (piece := source.read(min(left, PIECE_BYTES))):
                self.write(piece)
                left -= len(piece)
        except Exception as error:  # the parser's: the application asks for the body, and is told then
            self._error = error.with_traceback(None)  # whose frames would keep the body until garbage is collected
        self.seek(0)

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if self._error and not data and size != 0:
            raise self._error
        return data


class Answering:
    """The application as gunicorn calls it, in the greenlet of a connection: first its body, then the application.

    run: calls a function with arguments, here or in a thread, and returns its result.
    """

    def __init__(self, application: Application, limit: int, run: Callable[..., list[bytes]]):
        self.application, self._limit, self._run = application, limit, run
        self._at_once: Callable[[dict[str, Any]], bool] = getattr(application, "answers_at_once", lambda environ: False)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        stream: Stream = environ["gunicorn.socket"]
        stream.read_body(environ, self._limit)
        has_room = stream.work()
        if self._at_once(environ):
            return self._answer(environ, start_response)
        if not has_room:
            return overloaded(start_response)
        return self._run(self._answer, environ, start_response)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        parts = self.application(environ, start_response)
        try:
            return list(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()


class Threads:
    """Calls functions in threads of the system, at most so many, for greenlets that wait meanwhile. For one loop.

    The thread that has ended last is the next to work, since its caches are warm: taking turns, a lone client was answered 5 % slower.
    gevent's own pool makes a watcher of the loop for each call, which cost as much again.
    """

    def __init__(self, most: int):
        self._most, self._count = most, 0
        self._idle: list[SimpleQueue[Call]] = []
        self._waiting: deque[Call] = deque()  # at most one a connection
        self._ended: deque[tuple[SimpleQueue[Call], Waiter, Any, BaseException | None]] = deque()
        self._hub = gevent.get_hub()
        self._wake = self._hub.loop.async_()
        self._wake.start(self._hand_back)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        waiter = Waiter(self._hub)
        call = waiter, function, arguments
        if self._idle:
            self._idle.pop().put(call)
        elif self._count < self._most:
            self._start().put(call)
        else:
            self._waiting.append(call)
        result, error = waiter.get()
        if error is not None:
            raise error
        return result

    def _start(self) -> "SimpleQueue[Call]":
        calls: SimpleQueue[Call] = SimpleQueue()
        self._count += 1
        threading.Thread(target=self._work, args=(calls,), name=f"answer-{self._count}", daemon=True).start()
        return calls

    def _work(self, calls: "SimpleQueue[Call]") -> None:
        while True:
            waiter, function, arguments = calls.get()
            result, error = None, None
            try:
                result = function(*arguments)
            except BaseException as raised:  # raised again where it is waited for
                error = raised
            self._ended.append((calls, waiter, result, error))
            del waiter, function, arguments, result, error  # an idle thread would hold an answer until its next one
            self._wake.send()

    def _hand_back(self) -> None:
        while self._ended:
            calls, waiter, result, error = self._ended.popleft()
            if self._waiting:
                calls.put(self._waiting.popleft())
            else:
                self._idle.append(calls)
            waiter.switch((result, error))


class Waiting:
    """A greenlet waits with this for the publisher."""

    __slots__ = ("_all", "_is_answered", "_waiter")

    def __init__(self, every: "dict[Waiting, float]", hub: Any):
        self._all, self._waiter, self._is_answered = every, Waiter(hub), False

    def acquire(self, blocking: bool = True, timeout: float = 0) -> bool:
        """As of a lock. timeout: seconds, the same for all."""
        if self._is_answered or not blocking:
            return self._is_answered
        self._all[self] = time.monotonic() + timeout
        try:
            return bool(self._waiter.get())
        finally:
            del self._all[self]

    def go_on(self, is_answered: bool) -> None:
        """In the hub."""
        self._is_answered = is_answered
        self._waiter.switch(is_answered)


class Greenlets:
    """How greenlets of one loop wait for the publisher: one callback wakes all of a group, and one timer serves all."""

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._waiting: dict[Waiting, float] = {}  # in the order in which their time ends

    def begin(self) -> Waiting:
        return Waiting(self._waiting, self._hub)

    def end(self, group: list[Waiting]) -> None:
        self._hub.loop.run_callback_threadsafe(self._go_on, group)

    def _go_on(self, group: list[Waiting]) -> None:
        for waiting in group:
            waiting.go_on(True)

    def end_overdue(self, now: float) -> None:
        if self._waiting and next(iter(self._waiting.values())) <= now:
            self._hub.loop.run_callback(self._give_up, now)

    def _give_up(self, now: float) -> None:
        for waiting in [waiting for waiting, until in self._waiting.items() if until <= now]:
            waiting.go_on(False)


def overloaded(start_response: Any) -> list[bytes]:
    body = (
        b'{"type":"urn:hailwhale:overloaded","title":"overloaded","status":503,'
        b'"detail":"overloaded, try again in 2 s","code":"overloaded"}'
    )
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body))), ("Retry-After", "2")]
    start_response("503 Service Unavailable", headers)
    return [body]


class Listener(StreamServer):
    """Takes in few new connections at a turn of the loop, so that those it has are heard, and more after a long turn."""

    def __init__(self, listener: Any, handle: Callable[..., None], least: int):
        super().__init__(listener, handle=handle)
        self._least, self._last = least, time.thread_time()

    def _do_read(self) -> None:
        now = time.thread_time()
        self.max_accept = accepted_after(now - self._last, self._least)
        self._last = now
        super()._do_read()


def accepted_after(seconds: float, least: int) -> int:
    """How many new connections are taken in where the loop has worked so long since the last ones."""
    return max(least, min(int(seconds * ACCEPTED_A_SECOND), StreamServer.max_accept))


class HailWorker(GeventWorker):
    """`--worker-class hail.server.HailWorker`"""

    sockets: list[Any]
    wsgi: Any
    answering = Answering
    short: ShortWay | None = None

    def init_process(self) -> None:
        few_arenas()  # before there are threads
        from hail import metrics  # not before gunicorn_conf has named the folder that it keeps its numbers in

        if self.cfg.is_ssl:
            raise RuntimeError("this worker does not support TLS: terminate TLS in a proxy, as deploy/nginx.conf does")
        self.settings = load(os.environ)
        self._metrics = metrics
        asked = self.settings.max_connections
        connections = room_for(asked)
        if connections < asked:
            said = f"the limit of open files allows {connections} connections, not {PREFIX}MAX_CONNECTIONS={asked}"
            self.log.warning("%s: raise it (ulimit -Hn, LimitNOFILE=) or lower the setting", said)
        bounds = Bounds.of(self.settings.replace(max_connections=connections), self.cfg.keepalive)
        self.book = Connections(bounds, lambda why: metrics.CONNECTIONS_CLOSED.labels(why).inc())
        super().init_process()

    def patch(self) -> None:
        super().patch()
        self._listen()

    def _listen(self) -> None:
        for listener in self.sockets:
            if listener.family != socket.AF_UNIX and hasattr(socket, "TCP_NOTSENT_LOWAT"):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.greenlets = Greenlets()
        self.shorten(self.wsgi)
        self.wsgi = self.answering(self.wsgi, self.settings.max_body_bytes, self.call)

    def shorten(self, application: Any) -> None:
        """Where the application is Hail: the way of what counts, and how it waits."""
        routes = getattr(application, "short_routes", None)
        if routes:
            application.acceptor.publisher.waits = self.greenlets
            if is_open(self, os.environ):
                self.short = ShortWay(routes, application.short, self)

    def call(self, function: Callable[..., list[bytes]], *arguments: Any) -> list[bytes]:
        return function(*arguments)

    def timeout_ctx(self) -> AbstractContextManager[None]:
        return nullcontext()  # each wait has its time in the book

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        peer = peer_of(addr[0], self.settings.trusted_proxies) if isinstance(addr, tuple) else None
        stream = Stream(client, peer, self.book, remote_of(addr), self.short)
        AsyncWorker.handle(self, listener, stream, addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> bool:
        """StopIteration where the connection ends with this request."""
        sock.keep_head()
        try:
            answered = AsyncWorker.handle_request(self, listener_name, req, sock, addr)
        finally:
            sock.flush()
        sock.drop_rest(req.body)
        if come := req.unreader.buf.getbuffer().nbytes:
            sock.go_on(come)
        return bool(answered)

    def run(self) -> None:
        least = 1 if self.cfg.workers > 1 else ACCEPTED_A_TURN  # with several processes the next one is for the others
        servers = [Listener(listener, partial(self.handle, listener), least) for listener in self.sockets]
        for server in servers:
            server.start()
        while self.alive:
            self._tick()
            gevent.sleep(TICK_S)
        for server in servers:
            server.close()
        self.end_streams()
        stopped = time.monotonic()
        while self.book and (now := time.monotonic()) < stopped + self.cfg.graceful_timeout:
            if now > stopped + LINGER_S:
                self.book.close_waiting((Wait.IDLE, Wait.HEAD), now)
            self._tick()
            gevent.sleep(TICK_S / 5)
        self.book.close_waiting(Wait, time.monotonic())
        gevent.sleep(TICK_S / 5)  # for their greenlets to end

    def end_streams(self) -> None:
        """At a stop: answers that would go on for long."""

    def _tick(self) -> None:
        self.notify()
        now = time.monotonic()
        self.book.close_overdue(now)
        self.greenlets.end_overdue(now)
        self._metrics.CONNECTIONS.set(len(self.book))
        self._metrics.CONNECTION_BYTES.set(self.book.held)


class WhaleWorker(HailWorker):
    """`--worker-class hail.server.WhaleWorker`. Nothing is patched: its threads are the system's."""

    def patch(self) -> None:
        self.sockets = [
            gevent.socket.socket(listener.FAMILY, socket.SOCK_STREAM, fileno=listener.sock.detach())
            for listener in self.sockets
        ]
        self._listen()

    def load_wsgi(self) -> None:
        sys.setswitchinterval(SWITCH_S)
        self._threads = Threads(self.cfg.threads)
        super().load_wsgi()

    def shorten(self, application: Any) -> None:
        """Not at all: it runs in threads."""

    def call(self, function: Callable[..., list[bytes]], *arguments: Any) -> list[bytes]:
        answer: list[bytes] = self._threads.call(function, *arguments)
        return answer


class Streaming(Answering):
    """An answer is sent while it is made."""

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self.application(environ, start_response)


class LiveWorker(HailWorker):
    """`--worker-class hail.server.LiveWorker`. It stands here, since gunicorn imports it before sockets are those of greenlets."""

    answering = Streaming

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi.application.load()

    def end_streams(self) -> None:
        self.wsgi.application.end_streams()


def remote_of(address: Any) -> str:
    """REMOTE_ADDR, as gunicorn has it: empty for a unix socket."""
    found = address[0] if isinstance(address, tuple) else address
    return found.decode() if isinstance(found, bytes) else str(found)


def room_for(connections: int) -> int:
    """How many of so many connections the limit of open files allows, after it was raised as far as they need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + OTHER_FILES
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(1, most - OTHER_FILES)

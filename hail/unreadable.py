"""Requests that gunicorn cannot read: answered by RFC 9457 bodies instead of its HTML, and summed up in its log.

Promise: however many come, a process writes at most one line a minute about them, and says there how many there were. No line
shows a key.
"""

import atexit
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from ssl import SSLError
from types import MethodType
from typing import Any

import msgspec
from gunicorn.http import errors

from hail.problem import plain_problem
from hail.secret import masked

EVERY_S = 60.0
SHOWN = 200
DRAINED_BYTES = 65_536


class Summary:
    """The first of many is said at once, then at most one a minute. For many threads. clock: seconds."""

    def __init__(self, say: Callable[[str], object], clock: Callable[[], float] = time.monotonic):
        self._say, self._clock = say, clock
        self._lock = threading.Lock()
        self._silent_until = -EVERY_S
        self._unsaid = 0

    def note(self, text: str) -> None:
        now = self._clock()
        with self._lock:
            self._unsaid += 1
            if now < self._silent_until:
                return
            more, self._unsaid, self._silent_until = self._unsaid - 1, 0, now + EVERY_S
        self._say(f"{text}; {more} more since the last such line" if more else text)

    def end(self) -> None:
        """Says how many were not said."""
        with self._lock:
            more, self._unsaid = self._unsaid, 0
        if more:
            self._say(f"{more} more unreadable {'request' if more == 1 else 'requests'} since the last such line")


def said_of(error: BaseException) -> tuple[int, str]:
    """Status and detail of an error of gunicorn's parser; 500 where it is none."""
    match error:
        case errors.InvalidResponseHeader() | errors.InvalidResponseHeaderName():
            return 500, "see the log"
        case errors.LimitRequestLine():
            detail = f"the address is too long: the limit for method and address is {error.max_size} bytes"
            return (
                414,
                f"{detail}. POST the parameters to the same route, as a form (application/x-www-form-urlencoded)",
            )
        case errors.LimitRequestHeaders():
            return 431, "expected fewer or shorter headers"
        case errors.UnsupportedTransferCoding():
            return 501, f"Transfer-Encoding: expected chunked, got {ascii(error.hdr)[:SHOWN]}"
        case errors.InvalidHeader(hdr="TRANSFER-ENCODING") if coding := other_coding(error.req):
            return 501, f"Transfer-Encoding: expected chunked, got {ascii(coding)[:SHOWN]}"
        case errors.InvalidHeader(hdr="CONTENT-LENGTH" | "TRANSFER-ENCODING"):
            return 400, "Content-Length: expected one whole number; or send Transfer-Encoding: chunked instead"
        case errors.InvalidRequestLine() if not str(error.req).isascii():
            return 400, "the address has bytes that are not ASCII: percent-encode them, such as caf%C3%A9 for café"
        case errors.InvalidHTTPVersion(version=str() as version) if " " in version:
            return 400, "the address contains a space: write it as %20"
        case errors.ExpectationFailed():
            return 417, "Expect: expected 100-continue"
        case errors.ForbiddenProxyRequest() | SSLError():
            return 403, "this connection does not accept the PROXY protocol or TLS"
        case errors.ParseException():
            return 400, f"this is not an HTTP/1.1 request: {ascii(str(error))[1:-1][:SHOWN]}"
    return 500, "see the log"


def other_coding(request: Any) -> str:
    """The Transfer-Encoding of a request, where it names another than chunked; gunicorn takes `gzip, chunked`, and inflates nothing."""
    said = ", ".join(value for name, value in request.headers if name == "TRANSFER-ENCODING")
    return "" if {coding.strip(" \t").lower() for coding in said.split(",")} <= {"", "chunked"} else said


def answer(status: int, detail: str) -> bytes:
    """The whole answer; the connection ends with it."""
    body = msgspec.json.encode(plain_problem(status, detail))
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\nAccess-Control-Allow-Origin: *\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def line_of(address: Any, detail: str) -> str:
    """A line of the log. address: of the peer; a tuple, where it is no unix socket."""
    return f"unreadable request from {address[0] if isinstance(address, tuple) else 'a unix socket'}: {masked(detail)}"


def answer_unreadable(worker: Any) -> None:
    """Makes a worker of gunicorn, of any class, answer and log so."""
    summary = Summary(worker.log.warning)
    atexit.register(summary.end)

    def handle_error(worker: Any, request: Any, client: Any, address: Any, error: BaseException) -> None:
        status, detail = said_of(error)
        if status == 500:
            worker.log.error("a request could not be answered: %r", error, exc_info=error)
        else:
            summary.note(line_of(address, detail))
        with suppress(Exception):  # the peer may be gone
            client.sendall(answer(status, detail))
            _drain(client)

    worker.handle_error = MethodType(handle_error, worker)


def _drain(client: Any) -> None:
    """Reads what has come and nobody wants: closing upon it would cut off the answer."""
    client.setblocking(False)
    drained = 0
    while drained < DRAINED_BYTES and (part := client.recv(4096)):
        drained += len(part)

"""What a Hail says of itself: GET /readyz at an address of the settings, and at no other.

Whatever answers there may lie, hang, drip, redirect or never end: an answer has ANSWER_S and MOST_BYTES, no redirect is followed,
and of its content nothing is taken but the fields of `Said`, each of its type.
"""

import socket
import ssl
import time
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from whale.health.probe import Unknown

ANSWER_S = 1.5
MOST_BYTES = 16_384
PORTS = {"http": 80, "https": 443}


class Said(msgspec.Struct):
    """As Hail's /readyz says it. spool_mb: size of the spool folder."""

    ready: bool
    broker: Literal["up", "down", "none"]
    spool_mb: Annotated[float, msgspec.Meta(ge=0, lt=1e12)] | None = None


_said = msgspec.json.Decoder(Said).decode


def ask(url: str) -> Said:
    """url: http or https, host and port.  Raises Unknown, OSError."""
    deadline = time.monotonic() + ANSWER_S
    status, body = _answer_of(_exchange(url, deadline))
    if status not in (200, 503):
        raise Unknown(f"expected the answer of a Hail, got the status {status}")
    try:
        return _said(body)
    except msgspec.DecodeError:
        raise Unknown("expected the answer of a Hail, got something else") from None


def _exchange(url: str, deadline: float) -> bytes:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    try:
        with socket.create_connection((host, port), ANSWER_S) as plain:
            if parts.scheme == "http":
                return _read(plain, parts.netloc, deadline)
            with ssl.create_default_context().wrap_socket(plain, server_hostname=host) as sealed:
                return _read(sealed, parts.netloc, deadline)
    except TimeoutError:
        raise Unknown(f"no answer within {ANSWER_S:g} s") from None
    except socket.gaierror as error:
        raise Unknown(f"cannot resolve its name ({error.strerror})") from None


def _read(wire: socket.socket, host: str, deadline: float) -> bytes:
    """All that comes until the other side closes; its time and its size are bounded, however slowly it comes."""
    wire.sendall(f"GET /readyz HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    came = b""
    while (left := deadline - time.monotonic()) > 0:
        wire.settimeout(left)
        part = wire.recv(MOST_BYTES)
        if not part:
            return came
        came += part
        if len(came) > MOST_BYTES:
            raise Unknown(f"expected at most {MOST_BYTES} bytes, got more")
    raise TimeoutError


def _answer_of(came: bytes) -> tuple[int, bytes]:
    head, _, body = came.partition(b"\r\n\r\n")
    words = head.partition(b"\r\n")[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit() or len(words[1]) > 3:
        raise Unknown("expected the answer of a Hail, got something else")
    return int(words[1]), body

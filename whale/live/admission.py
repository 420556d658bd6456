"""Where a page finds the live service, and the token that lets it in. Pure.

An EventSource sends no header, so the key of Whale's page cannot come along. The page gets a token instead: base64url of JSON
[account, host of Whale, epoch seconds until which a stream may be opened], a dot, and its HMAC-SHA256. Its secret is derived from
all keys, so that it ends when one of them changes.
"""

import base64
import binascii
import hashlib
import hmac
import re
from typing import NamedTuple

import msgspec

from hail.problem import HOST
from hail.secret import derived
from hail.settings import Settings

CONNECT_S = 60
MAX_TOKEN = 1000
PATH = "/live"


class Admitted(NamedTuple):
    """Whom a token lets in. host: of the page that may read, with its port."""

    account: str
    host: str


def live_origin(settings: Settings, host: str) -> str:
    """Where a browser that found Whale at this host finds the live service; empty where none runs, or where it cannot be told."""
    if (
        settings.live_url
        or not settings.live_bind
        or settings.live_bind.startswith("unix:")
        or not HOST.fullmatch(host)
    ):
        return settings.live_url
    return f"http://{with_port_of(settings.live_bind, host)}"


def with_port_of(bind: str, host: str) -> str:
    """The name of a host, with the port on which another service listens."""
    return f"{re.sub(':[0-9]*$', '', host)}:{bind.rpartition(':')[2]}"


def token_of(settings: Settings, account: str, host: str, now: float) -> str:
    """For CONNECT_S. Raises ValueError where no key is set."""
    said = msgspec.json.encode([account, host, int(now) + CONNECT_S])
    return f"{_text(said)}.{_text(_mac(settings, said))}"


def admitted(token: str, settings: Settings, now: float) -> Admitted:
    """Whom it lets in; raises ValueError with a sentence."""
    if len(token) > MAX_TOKEN:
        raise ValueError("it is too long")
    text, _, mac = token.partition(".")
    try:
        said, given = _bytes(text), _bytes(mac)
    except (binascii.Error, UnicodeError):
        raise ValueError("it is no token") from None
    if not hmac.compare_digest(_mac(settings, said), given):
        raise ValueError("it was not made with the keys of this service")
    account, host, until = msgspec.json.decode(said)
    if now >= until:
        raise ValueError(f"it has expired: a stream opens within {CONNECT_S} s")
    return Admitted(account, host)


def _mac(settings: Settings, said: bytes) -> bytes:
    return hmac.digest(derived(settings, "live"), said, hashlib.sha256)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)

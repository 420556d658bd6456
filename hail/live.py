"""Where a browser finds the live service, and the token by which a page hears what is said to its visitor. Pure.

    page ── who it is ──> Hail: does the site list this page? ── token ──> page ── token ──> live: whose talk is it?

A token is base64url of JSON [account, site, visitor, epoch seconds until which it is good], a dot, and its HMAC-SHA256. Its secret is
derived from the internal key, which Hail and live share: it ends when that changes.

Whoever knows the id of a browser may hear its visitor: it is random, so nobody else knows it. An id that a page gave to a user, such as a
number, could be guessed. So an id must look like one that the tracker drew.
"""

import hashlib
import hmac
import re
from typing import NamedTuple

import msgspec

from hail.problem import HOST
from hail.settings import Settings
from hail.signed import said_by, signed

PUSH = "/push"
TOKEN_S = 60
DRAWN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|(?=.{30})[0-9]{1,10}(?:-[0-9]{1,10}){3}"
)
"""A uuid of version 4, or 128 random bits as four numbers: what the tracker draws for a browser (hail/track/page.js)."""
PURPOSE = b"hailwhale:push"


class Heard(NamedTuple):
    """Whose talk a token opens."""

    account: str
    site: str
    visitor: str


def live_origin(settings: Settings, host: str) -> str:
    """Where a browser that found a service at this host finds live; empty where none runs, or where it cannot be told."""
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


def is_drawn(visitor: str) -> bool:
    """Whether it looks like an id of a browser, which nobody can guess."""
    return DRAWN.fullmatch(visitor) is not None


def push_token(settings: Settings, heard: Heard, now: float) -> str:
    """Good for TOKEN_S. Raises ValueError where no internal key is set."""
    said = msgspec.json.encode((*heard, int(now) + TOKEN_S))
    return signed(said, _secret(settings))


def heard_by(token: str, settings: Settings, now: float) -> Heard:
    """Raises ValueError with a sentence."""
    said = said_by(token, _secret(settings))
    try:
        account, site, visitor, until = msgspec.json.decode(said, type=tuple[str, str, str, int])
    except msgspec.DecodeError:
        raise ValueError("it was made by another version") from None
    if now >= until:
        raise ValueError(f"it has expired: it is good for {TOKEN_S} s")
    return Heard(account, site, visitor)


def _secret(settings: Settings) -> bytes:
    """Empty where no internal key is set."""
    raw = settings.internal_key.encode("utf-8", "surrogateescape")
    return hmac.digest(raw, PURPOSE, hashlib.sha256) if raw else b""

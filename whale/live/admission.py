"""Where a page finds the live service, and the token that lets it in. Pure.

An EventSource sends no header, so neither key nor password of Whale's page can come along, and from another port no cookie. The page gets
a token instead: base64url of JSON [who looks, host of Whale, epoch seconds until which a stream may be opened], a dot, and its
HMAC-SHA256. Who looks is the account alone, or an array as `Looker` below. Its secret is derived from the keys of the settings, so that
it ends when one of them changes.

Who looks stands in the token as what is looked up again while they do (whale/live/standing.py): a key by the hash of its secret, a user by
the mark of their password (whale/sessions.py). Neither opens anything by itself.
"""

import hashlib
import hmac
from typing import Any, NamedTuple

import msgspec

from hail.access import has_directory, is_locked
from hail.live import live_origin
from hail.message import ACCOUNT
from hail.secret import derived, signing_keys
from hail.settings import Settings
from hail.signed import said_by, signed

CONNECT_S = 60
PATH = "/live"


class Looker(NamedTuple):
    """Who looks at an account. By a key of the settings, or of this machine where none is set: the account alone.

    key: hash of the secret of a key.  user: their name.  mark: of their password.  session: a word for it, where they logged in; empty
    of who shows the password itself.  until: when it ends by itself, epoch seconds, or 0.
    """

    account: str
    key: str = ""
    user: str | None = None
    mark: str = ""
    session: str = ""
    until: int = 0


class Admitted(NamedTuple):
    """Whom a token lets in. host: of the page that may read, with its port."""

    looker: Looker
    host: str


def way_in(settings: Settings, looker: Looker, host: str, now: float) -> dict[str, Any]:
    """The answer of /live_token: where to look, and the token where one is needed; nothing where one would be, and no secret is set."""
    origin, token, expires = live_origin(settings, host), None, None
    if origin and (is_locked(settings) or has_directory(settings) or looker != Looker(ACCOUNT)):
        if not _secret(settings):
            origin = ""
        else:
            token, expires = token_of(settings, looker, host, now), int(now) + CONNECT_S
    return {"url": origin + PATH if origin else None, "token": token, "expires": expires, "spy": settings.spy}


def token_of(settings: Settings, looker: Looker, host: str, now: float) -> str:
    """For CONNECT_S. Raises ValueError where no secret is set."""
    who = looker.account if looker == Looker(looker.account) else looker
    said = msgspec.json.encode((who, host, int(now) + CONNECT_S))
    return signed(said, _secret(settings))


def admitted(token: str, settings: Settings, now: float) -> Admitted:
    """Whom it lets in; raises ValueError with a sentence."""
    said = said_by(token, _secret(settings))
    try:
        who, host, until = msgspec.json.decode(said, type=tuple[str | Looker, str, int])
    except msgspec.DecodeError:
        raise ValueError("it was made by another version") from None
    if now >= until:
        raise ValueError(f"it has expired: a stream opens within {CONNECT_S} s")
    return Admitted(Looker(who) if isinstance(who, str) else who, host)


def _secret(settings: Settings) -> bytes:
    """Of the three keys; where none is set, of the internal key, else of what signs sessions. Empty where there is nothing."""
    if is_locked(settings):
        return derived(settings, "live")
    raw = settings.internal_key or (signing_keys(settings) or [""])[-1]
    return hmac.digest(raw.encode("utf-8", "surrogateescape"), b"hailwhale:live", hashlib.sha256) if raw else b""

"""What came, without the keys in it: for whatever is kept, shown or logged of a request that was refused.

Where a text cannot be read, nobody knows where a key in it ends. So it is cut off behind the first word that speaks of one.
"""

import hashlib
import hmac
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote

from hail.settings import Settings

MASK = "***"
DEEPEST = 20
_MENTION = re.compile(
    r"(?<![a-z0-9])(?:api|access|write|read|admin|pixel|secret)?[-_ ]?keys?(?![a-z0-9])"  # key, X-API-Key, writeKey
    r"|hw_[wrab]_(?=[a-z0-9_-]{20})"  # of the directory of accounts
    r"|(?<![a-z0-9])(?:(?:authorization|bearer|password|secret|token)(?![a-z0-9])|basic\s+(?=\S))",
    re.IGNORECASE,
)
_UNPRINTED = re.compile("[\0\ufeff]")  # every second letter, where UTF-16 was read as UTF-8


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """The keys in force."""
    keys = settings.write_key, settings.read_key, settings.admin_key, settings.pixel_key, settings.internal_key
    return (*(key for key in keys if key), *reversed(signing_keys(settings)))


def signing_keys(settings: Settings) -> list[str]:
    """The keys of the setting SECRET, the one that signs last, as itsdangerous takes them."""
    return [key.strip() for key in reversed(settings.secret.split(","))] if settings.secret else []


def derived(settings: Settings, purpose: str) -> bytes:
    """A secret of its own for a purpose, made of all keys in force: it ends when one of them changes. No key, no secret: ValueError."""
    keys = settings.write_key, settings.read_key, settings.admin_key
    if not any(keys):
        raise ValueError("no key is set")
    raw = b"".join(
        len(key).to_bytes(4, "big") + key for key in (each.encode("utf-8", "surrogateescape") for each in keys)
    )
    return hmac.digest(raw, b"hailwhale:" + purpose.encode(), hashlib.sha256)


def masked(text: str, secrets: Collection[str] = ()) -> str:
    """A text up to where it first speaks of a key, or holds one of these; also where that is written with %."""
    plain = _UNPRINTED.sub("", text)
    end = _end(plain, secrets)
    for _ in range(2):
        if end is not None or "%" not in plain:
            break
        plain = unquote(plain)
        end = _end(plain, secrets)
    return text if end is None else plain[:end] + MASK


def _end(text: str, secrets: Collection[str]) -> int | None:
    mention = _MENTION.search(text)
    ends = [mention.end()] if mention else []
    ends += (at for at in (text.find(secret) for secret in secrets) if at >= 0)
    return min(ends, default=None)


def without_keys(value: Any, secrets: Collection[str] = (), depth: int = 0) -> Any:
    """What JSON gave, without the fields whose name speaks of a key, and with every text `masked`."""
    if isinstance(value, str):
        return masked(value, secrets)
    if depth > DEEPEST:
        return MASK
    if isinstance(value, dict):
        named = ((str(name), below) for name, below in value.items())
        return {name: without_keys(below, secrets, depth + 1) for name, below in named if masked(name, secrets) == name}
    return [without_keys(below, secrets, depth + 1) for below in value] if isinstance(value, list) else value

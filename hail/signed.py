"""A token that its maker knows again: base64url of JSON, a dot, and the HMAC-SHA256 of that JSON. Pure."""

import base64
import binascii
import hashlib
import hmac

MAX_TOKEN = 1500


def signed(said: bytes, secret: bytes) -> str:
    """Raises ValueError where there is no secret."""
    return f"{_text(said)}.{_text(_mac(said, secret))}"


def said_by(token: str, secret: bytes) -> bytes:
    """The JSON of a token; raises ValueError with a sentence where it was not signed with this secret."""
    if len(token) > MAX_TOKEN:
        raise ValueError("it is too long")
    text, _, mac = token.partition(".")
    try:
        said, given = _bytes(text), _bytes(mac)
    except (binascii.Error, UnicodeError):
        raise ValueError("it is no token") from None
    if not hmac.compare_digest(_mac(said, secret), given):
        raise ValueError("it was not made with the keys of this service")
    return said


def _mac(said: bytes, secret: bytes) -> bytes:
    if not secret:
        raise ValueError("no key is set")
    return hmac.digest(secret, said, hashlib.sha256)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)

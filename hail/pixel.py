"""Pixels that hide what they count: a hit's pk, dimensions and metrics in a token that only this HailWhale can read or make.

    token   base64url, without padding, of: version (one byte, 1) | nonce (12 bytes) | AES-256-GCM of the text, with its tag
    text    JSON {"pk": ..., "dimensions": ..., "metrics": ...}, spaces to a multiple of 64 bytes so that its length tells little
    key     HKDF-SHA256 of the setting PIXEL_KEY; bound to the version and the account

A token says all that is counted, so it needs no write key. It counts as often as it is sent. Nonces are random: make fewer
than 2^32 tokens with one key (NIST SP 800-38D, 8.3).
"""

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from hail.hit import FIELDS, HitError, Parsed, Reason, fields_of, parse_hit, parse_row
from hail.settings import PREFIX, Settings, SettingsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = b"\1"
NONCE_BYTES, TAG_BYTES = 12, 16
PADDED_TO = 64
MOST_TEXT = 6_000  # so that a token fits into an address
MOST_TOKEN = 9_000
BESIDE = ("id", "visitor", "event", "properties", "basis")
"""What may stand beside a pixel; the rest of a hit is in it."""


def token_of(
    hit: Mapping[str, Any], settings: Settings, account: str, random: Callable[[int], bytes] = os.urandom
) -> str:
    """The token of a hit's pk, dimensions and metrics.  Raises HitError for what is no hit, SettingsError without a key."""
    parse_hit(hit, settings, 0)
    text = msgspec.json.encode({name: value for name, value in hit.items() if value is not None})
    if len(text) > MOST_TEXT:
        raise HitError(Reason.BAD_PIXEL, "pixel", f"expected at most {MOST_TEXT} bytes of JSON, got {len(text)}")
    if not settings.pixel_key:
        raise SettingsError(f"no secret is set for pixels: set {PREFIX}PIXEL_KEY to the same value for Hail and Whale")
    nonce = random(NONCE_BYTES)
    padded = text.ljust(-(-len(text) // PADDED_TO) * PADDED_TO)
    sealed = _cipher(settings.pixel_key).encrypt(nonce, padded, VERSION + account.encode())
    return base64.urlsafe_b64encode(VERSION + nonce + sealed).decode().rstrip("=")


def hit_of_pixel(given: Mapping[str, str], settings: Settings, account: str, now: float) -> Parsed:
    """The hit of a query with a `pixel`, and what may stand beside it; raises HitError, which never says what is hidden."""
    return parse_row(fields_of_pixel(given, settings, account), settings, now)


def fields_of_pixel(given: Mapping[str, str], settings: Settings, account: str) -> dict[str, Any]:
    """The fields of the hit of a pixel, checked; raises HitError."""
    for name in given:
        if name in FIELDS and name not in BESIDE:
            raise HitError(Reason.BAD_PIXEL, name, "came together with a pixel, which already contains it")
    found = _opened(given["pixel"], settings, account)
    try:
        parse_hit(found, settings, 0)
    except HitError:
        raise HitError(
            Reason.BAD_PIXEL, "pixel", "exceeds a limit of a hit: make a new pixel, or raise the limit"
        ) from None
    return found | fields_of({name: given[name] for name in BESIDE if name in given})


def _opened(token: str, settings: Settings, account: str) -> dict[str, Any]:
    if not settings.pixel_key:
        raise HitError(Reason.BAD_PIXEL, "pixel", f"pixels are disabled, because {PREFIX}PIXEL_KEY is empty")
    wrong = HitError(Reason.BAD_PIXEL, "pixel", "expected a complete pixel made with the present key")
    if len(token) > MOST_TOKEN:
        raise wrong
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise wrong from None
    text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    if text != token or len(raw) < 1 + NONCE_BYTES + TAG_BYTES or raw[:1] != VERSION:
        raise wrong
    opened = _decrypted(raw[1 : 1 + NONCE_BYTES], raw[1 + NONCE_BYTES :], settings.pixel_key, account)
    if opened is None:
        raise wrong
    found: dict[str, Any] = msgspec.json.decode(opened)
    return found


def _decrypted(nonce: bytes, sealed: bytes, key: str, account: str) -> bytes | None:
    """The text; None where the tag says that it is another's, or was changed."""
    from cryptography.exceptions import InvalidTag

    try:
        return _cipher(key).decrypt(nonce, sealed, VERSION + account.encode())
    except InvalidTag:
        return None


@lru_cache(maxsize=16)
def _cipher(key: str) -> "AESGCM":
    # Loaded when the first pixel comes: most never have one.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return AESGCM(HKDF(SHA256(), 32, salt=None, info=b"hailwhale pixel 1").derive(key.encode()))

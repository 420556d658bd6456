"""Salts of days, by which a browser that keeps no cookie is told apart for a day: as Whale hands them to Hail, and what is made of them.

    hws1 LENGTH HMAC\\n{"2026-11-27":"3f9a…", …}      by date; HMAC: SHA-256 under the internal key, over `hws1 LENGTH` and the JSON

A salt is 32 random bytes, as hexadecimal letters. An account takes that of its own date, in its zone, so that days begin where its days
do. At any moment there are three dates on earth; that of tomorrow comes before it begins, so no Hail is without at midnight.

Promise: salts are in the memory of this process and nowhere else at Hail. Without the salt of a day nobody can tell whose an id is, nor
find the id of anybody.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

FORM, PURPOSE = b"hws1", b"hailwhale:salts"
HEAD = re.compile(rb"hws1 ([1-9][0-9]{0,3}) ([0-9a-f]{64})\n")
CONTENT_TYPE = "application/vnd.hailwhale.salts"
SALT = re.compile(r"[0-9a-f]{64}")
SALT_BYTES, ID_LETTERS = 32, 32
DAYS = range(-1, 3)
"""Dates, from that of UTC on, of which there are salts: yesterday goes on in the west, and tomorrow has begun in the east."""

_decode = msgspec.json.Decoder(dict[str, str]).decode


class NoSalts(Exception):
    """An answer that was not made by a holder of the internal key."""


def dates_at(now: float) -> list[str]:
    """Dates that are somewhere on earth, and the next one. now: epoch seconds."""
    today = datetime.fromtimestamp(now, UTC).date()
    return [(today + timedelta(days)).isoformat() for days in DAYS]


def date_in(zone: str, now: float) -> str:
    """The date in a zone; in one that is not known here that of UTC."""
    found: date = datetime.fromtimestamp(now, _zone(zone)).date()
    return found.isoformat()


@lru_cache(maxsize=700)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def record_of(salts: Mapping[str, str], internal_key: str) -> bytes:
    """By date, as they travel."""
    body = msgspec.json.encode(salts)
    start = b"%b %d" % (FORM, len(body))
    return b"%b %b\n%b" % (start, _signed(start, body, internal_key), body)


def salts_of(record: bytes, internal_key: str) -> dict[str, bytes]:
    """Raises NoSalts."""
    head = HEAD.match(record)
    if not head or head.end() + int(head[1]) != len(record):
        raise NoSalts("expected salts of days, got something else")
    body = record[head.end() :]
    if not hmac.compare_digest(_signed(b"%b %b" % (FORM, head[1]), body, internal_key), head[2]):
        raise NoSalts("the signature is wrong: is the internal key of Hail that of Whale?")
    try:
        found = _decode(body)
    except msgspec.DecodeError:
        raise NoSalts("expected salts by date, got something else") from None
    if not all(map(SALT.fullmatch, found.values())):
        raise NoSalts(f"expected {SALT.pattern}, got something else")
    return {day: bytes.fromhex(salt) for day, salt in found.items()}


def daily_id(salt: bytes, account: str, site: str, address: bytes, agent: str) -> str:
    """Who somebody is for a day at a site. address: of the client, as `hail.tracking.places.bytes_of` has it."""
    text = b"\0".join((account.encode(), site.encode("utf-8", "replace"), agent.encode("latin-1", "replace"), address))
    return hmac.digest(salt, text, hashlib.sha256).hex()[:ID_LETTERS]


def _signed(start: bytes, body: bytes, internal_key: str) -> bytes:
    own = hmac.digest(internal_key.encode("utf-8", "surrogateescape"), PURPOSE, hashlib.sha256)
    return hmac.digest(own, b"%b\n%b" % (start, body), hashlib.sha256).hex().encode()

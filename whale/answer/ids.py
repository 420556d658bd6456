"""Ids of events, properties and values, as HiiTrack's clients have them in addresses and answers. They never change. Pure."""

import base64
import binascii
import hashlib

from whale.visitors.entries import OTHER

VALUE_BYTES = 16


def id_of(name: str) -> str:
    """Of an event or a property: base64 of its name, as addresses have it. So it is the same everywhere, and for ever."""
    return _letters(name.encode())


def name_of_id(text: str) -> str | None:
    """The name that has this id; None where it is no id."""
    try:
        name = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    return name if name and id_of(name) == text else None


def id_of_value(property_: str, json: str) -> str:
    """Of a value of a property: a hash of both, since a value may be long."""
    whole = id_of(property_).encode() + b"." + json.encode()
    return _letters(hashlib.blake2b(whole, digest_size=VALUE_BYTES).digest())


ID_OF_OTHERS = OTHER
"""Of all values that a report does not name. No hash has so few letters."""


def _letters(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")

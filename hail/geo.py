"""Places: a latitude and a longitude become a geohash, whose beginnings are the areas that the place lies in. Pure.

    52.52,13.405 ──► u33dc       u (a continent) > u3 > u33 > u33d (a city) > u33dc (about 5 km by 5 km)

Only LETTERS letters are made, so a place says no address. Each letter is five bits: of the longitude and the latitude in turn, from the
halves of the earth down.
"""

import re
from typing import Any

GEO = "geo"
"""The property whose value is a place."""
LETTERS = 5
_BITS = 5 * LETTERS
_ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"
_NUMBER = r"[+-]?[0-9]{1,3}(?:\.[0-9]{0,20})?"
_PAIR = re.compile(rf"\s*({_NUMBER})\s*,\s*({_NUMBER})\s*", re.ASCII)
_PLACE = re.compile(f"[{_ALPHABET}]{{{LETTERS}}}", re.ASCII)


def place_of(value: Any) -> str | None:
    """The geohash of `"lat,lon"` or `[lat, lon]`; None of anything else. Raises ValueError where there is no such place."""
    if isinstance(value, str):
        found = _PAIR.fullmatch(value)
        if not found:
            return None
        pair = float(found[1]), float(found[2])
    elif isinstance(value, list | tuple) and len(value) == 2 and all(_is_number(each) for each in value):
        pair = float(value[0]), float(value[1])
    else:
        return None
    if not (abs(pair[0]) <= 90 and abs(pair[1]) <= 180):
        raise ValueError
    return geohash(*pair)


def geohash(latitude: float, longitude: float) -> str:
    south, north, west, east = -90.0, 90.0, -180.0, 180.0
    bits = 0
    for place in range(_BITS):
        if place % 2:
            middle = (south + north) / 2
            is_upper = latitude >= middle
            south, north = (middle, north) if is_upper else (south, middle)
        else:
            middle = (west + east) / 2
            is_upper = longitude >= middle
            west, east = (middle, east) if is_upper else (west, middle)
        bits = bits << 1 | is_upper
    return "".join(_ALPHABET[bits >> (_BITS - 5 * letter) & 31] for letter in range(1, LETTERS + 1))


def areas_of(name: str, value: str) -> tuple[str, ...]:
    """The areas that a value of a property names, from the widest on; the value alone where it is no place."""
    if name != GEO or not _PLACE.fullmatch(value):
        return (value,)
    return tuple(value[:letters] for letters in range(1, LETTERS + 1))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

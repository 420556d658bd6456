"""HiiTrack's events and batches as hits, for both services. Pure.

The message of a batch is base64 of the JSON `[[event, ...], [[property, value], ...]]`, of one visitor.
Base64 may be that of addresses (`-_`), and may lack its `=`; a `+` that an address turned into a space is one.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, NamedTuple

from hail.body import json_of
from hail.hit import MOST_PROPERTIES, HitError, Reason

EXPECTED = "expected base64 of [[event, ...], [[property, value], ...]]"
FOR_ADDRESSES = str.maketrans("-_ ", "+/+")


class Batch(NamedTuple):
    events: list[str]
    properties: list[tuple[str, Any]]


def batch_of(text: str) -> Batch:
    """Raises HitError."""
    given = json_in(text, "message")
    if not isinstance(given, list) or len(given) != 2 or not all(isinstance(part, list) for part in given):
        raise _wrong(EXPECTED, "message")
    events, pairs = given
    if not all(isinstance(event, str) for event in events):
        raise _wrong(f"{EXPECTED}, and events as text", "message")
    if not all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
        raise _wrong(f"{EXPECTED}, and each property as a name and a value", "message")
    return Batch(events, [(name, value) for name, value in pairs])


def sets_of(pairs: Sequence[tuple[str, Any]]) -> list[dict[str, Any]]:
    """As hits can have them: each name once in a set, in their order, and no more than a hit may have."""
    sets: list[dict[str, Any]] = []
    for name, value in pairs:
        if not sets or name in sets[-1] or len(sets[-1]) == MOST_PROPERTIES:
            sets.append({})
        sets[-1][name] = value
    return sets


def json_in(text: str, field: str) -> Any:
    """Any JSON value; raises HitError."""
    letters = text.translate(FOR_ADDRESSES).rstrip("=")
    try:
        body = base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("expected base64 of JSON", field) from None
    return json_of(body, field)


def _wrong(expected: str, field: str) -> HitError:
    return HitError(Reason.BAD_JSON, field, expected)


def hit_of_event(site: str, event: str, visitor: Any, at: Any = None, id: Any = None) -> dict[str, Any]:
    """The hit of an event. It has the event as a dimension, so that it counts there whether or not it is logged."""
    hit = {"pk": site, "dimensions": [["event", event]], "visitor": visitor, "event": event, "at": at, "id": id}
    return {name: value for name, value in hit.items() if value is not None}


def hit_of_properties(site: str, properties: Any, visitor: Any, at: Any = None) -> dict[str, Any]:
    """A hit that says properties alone. As nothing happened, it counts as no hit."""
    hit = {"pk": site, "metrics": {"hits": 0}, "visitor": visitor, "properties": properties, "at": at}
    return {name: value for name, value in hit.items() if value is not None}

"""The oracle of the visitor log: plain dicts and sorted lists, one line a rule. It imports nothing of HailWhale.

A message is {"name", "at", "hits"}, a hit {"visitor", "at", "event", "properties"}; times are ms. `log` says which records are kept.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

Record = tuple[str, int, str, str, str]
"""Visitor, tick, kind (e: event, p: property of the visitor, q: of the event), name, value."""


def log(messages: Iterable[Any], kept_ms: int, listed: Collection[str] = ()) -> list[Record]:
    """Each message once, whatever came how often in which order."""
    found: list[Record] = []
    for message in {message["name"]: message for message in messages}.values():
        last: dict[str, int] = {}
        hits = [hit for hit in message["hits"] if hit["visitor"] and (hit["event"] or hit["properties"])]
        for hit in sorted(hits, key=lambda hit: int(hit["at"])):  # stable: equal times in the order of the message
            visitor = hit["visitor"]
            tick = last[visitor] = max(49 * hit["at"], last.get(visitor, -1) + 1)
            if hit["at"] < max(0, message["at"] - kept_ms):
                continue
            if hit["event"]:
                found.append((visitor, tick, "e", hit["event"], ""))
            for name, value in hit["properties"].items():
                found.append((visitor, tick, "q" if hit["event"] and name in listed else "p", name, value))
    return sorted(found)


def distinct(records: Sequence[Record], event: str, start_ms: int, end_ms: int) -> int:
    """Visitors with such an event in [start, end)."""
    return len({r[0] for r in records if r[2:4] == ("e", event) and 49 * start_ms <= r[1] < 49 * end_ms})


def timeline(records: Sequence[Record], visitor: str, name: str) -> list[tuple[int, str]]:
    """The values that a property of a visitor has had: each with the tick from which it held."""
    return sorted((r[1], r[4]) for r in records if (r[0], r[2], r[3]) == (visitor, "p", name))

"""What people may watch while it is counted: hits, what was refused, and sums. Pure.

    messages that were applied ── hits_of, refused_of ──► events ── encode ──► Redis ── decode ──► whoever looks

An event is shown and never counted from: of many hits only the newest are told, and none where nobody looks.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from hail.hit import EXPECTED, Reason, of_millionths
from hail.message import UNREADABLE, Message, WireHit
from whale.dimension import Pk, paths_of
from whale.spy import name_of, shown, shown_metrics

HIT, REFUSED, TOTALS = "hit", "refused", "totals"
MOST_HITS, MOST_REFUSED = 50, 20  # a second and account
MAX_EVENT_BYTES = 4000
EVERYTHING: Pk = ()
"""Who looks at this pk looks at all of them."""

Dropped = Mapping[tuple[str, int], Mapping[int, Reason]]


class Event(msgspec.Struct, array_like=True, gc=False):
    """pk: None where it is of none, as what could not be read.  data: JSON."""

    kind: str
    pk: Pk | None
    data: msgspec.Raw


_encode = msgspec.json.Encoder().encode
encode = _encode
decode = msgspec.json.Decoder(list[Event]).decode
_pk_of = msgspec.json.Decoder(tuple[str, ...]).decode
_dimensions_of = msgspec.json.Decoder(dict[str, Any]).decode
encode_pk = _encode
decode_pk = _pk_of


class Pace:
    """At most so many in any second."""

    def __init__(self, most: int):
        self._most = most
        self._taken: deque[float] = deque(maxlen=most)

    def room(self, now_s: float) -> int:
        while self._taken and self._taken[0] <= now_s - 1:
            self._taken.popleft()
        return self._most - len(self._taken)

    def take(self, count: int, now_s: float) -> None:
        self._taken.extend([now_s] * count)


def prefixes(pk: Pk) -> list[Pk]:
    """Where it can be looked at: everything, and each pk that it counts in."""
    return [pk[:depth] for depth in range(len(pk) + 1)]


class Watched:
    """Which of the pks that somebody looks at a hit counts in."""

    def __init__(self, looked: Collection[Pk]):
        self._looked = looked
        self._known: dict[bytes, tuple[Pk, list[Pk]]] = {}

    def of(self, hit: WireHit) -> tuple[Pk, list[Pk]]:
        """Its pk, and those that are looked at, the deepest last."""
        text = bytes(hit.pk)
        found = self._known.get(text)
        if found is None:
            try:
                pk = _pk_of(text)
            except UNREADABLE:
                pk = EVERYTHING
            found = self._known[text] = pk, [prefix for prefix in prefixes(pk) if pk and prefix in self._looked]
        return found


def _counted(message: Message, dropped: Dropped) -> Iterable[tuple[int, WireHit]]:
    """The newest first. Imports have a report of their own, and what decisions let expect is a hit of nobody."""
    reasons = dropped.get(message.name, {})
    for position in reversed(range(0 if message.lasting else len(message.hits))):
        if position not in reasons and EXPECTED not in message.hits[position].metrics:
            yield position, message.hits[position]


def hits_of(messages: Sequence[Message], dropped: Dropped, watched: Watched, most: int) -> list[Event]:
    """The newest hits that counted where somebody looks, oldest first. Pks that are looked at take turns, so that none hides another."""
    turns: dict[Pk, list[tuple[int, Pk, WireHit, str]]] = {}
    number = 0
    for message in reversed(messages):
        for position, hit in _counted(message, dropped):
            number -= 1
            pk, looked = watched.of(hit)
            if looked and len(mine := turns.setdefault(looked[-1], [])) < most:
                mine.append((number, pk, hit, name_of(message, position)))
    taken = [each for turn in zip_longest(*turns.values()) for each in turn if each][:most]
    return [hit_event(pk, hit, name) for _, pk, hit, name in sorted(taken, key=lambda each: each[0])]


def hit_event(pk: Pk, hit: WireHit, name: str) -> Event:
    """A hit with all places that it counts in: paths, in each prefix of its pk. name: as in its trace."""
    paths = [list(path) for path in paths_of(_dimensions_of(hit.dimensions))]
    metrics = shown_metrics(hit.metrics, hit.others)
    told = {"name": name, "pk": pk, "paths": paths, "metrics": metrics, "at": hit.at_ms, "id": hit.id}
    data = _encode(told)
    while len(data) > MAX_EVENT_BYTES and paths:
        paths = paths[: len(paths) // 2]
        data = _encode({**told, "paths": paths, "cut": True})
    if len(data) > MAX_EVENT_BYTES:
        bare: dict[str, Any] = {"pk": None, "paths": [], "metrics": {}, "id": None, "cut": True}
        data = _encode({**told, **bare})
    return Event(HIT, pk, msgspec.Raw(data))


def refused_of(traces: Sequence[str], looked: Collection[Pk], most: int) -> list[Event]:
    """What did not count, oldest first: traces of whale/spy.py. One without a pk is of everybody who looks."""
    found = []
    for trace in reversed(shown(traces)):
        pk = tuple(trace["pk"]) if "pk" in trace else None
        if pk is None or any(prefix in looked for prefix in prefixes(pk)):
            told = {name: trace.get(name) for name in ("name", "field", "came", "pk", "at", "id")}
            found.append(Event(REFUSED, pk, msgspec.Raw(_encode({"reason": trace["outcome"], **told}))))
    return found[-most:] if most else []


def add_sums(sums: dict[Pk, dict[str, int]], message: Message, dropped: Dropped, watched: Watched) -> None:
    """What a message adds to each pk that is looked at, as stored. Of all pks together hits alone."""
    for _, hit in _counted(message, dropped):
        for pk in watched.of(hit)[1]:
            mine = sums.setdefault(pk, {})
            for name, amount in hit.metrics.items():
                if pk or name == "hits":
                    mine[name] = mine.get(name, 0) + amount


def totals_event(pk: Pk, amounts: Mapping[str, int], at: float) -> Event:
    told = {"pk": pk, "metrics": shown_metrics(amounts), "at": int(at * 1000)}
    return Event(TOTALS, pk, msgspec.Raw(_encode(told)))


def added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two metrics of a totals event together; in millionths, so that it stays exact."""
    found = dict(one)
    for name, number in other.items():
        if name in found and name != "hits":
            number = of_millionths(round(found[name] * 1_000_000) + round(number * 1_000_000))
        elif name in found:
            number += found[name]
        found[name] = number
    return found

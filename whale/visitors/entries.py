"""What messages add to the log of a site: who did what, when. Values and rules alone: no clock, no store.

    hits of a message ── entry_of ──► Entry(visitors, records) ──► Events.add_to_log

Which records a message leaves, and whose they are, follows from its bytes and from what stood fast when it was accepted. So every
delivery of it leaves the same, in whatever company it comes. What depends on the moment, as caps do, the store decides, once.

A tick is 1/49 ms. Two hits of a visitor in one message never have the same: they keep their order, also where their times are equal.
"""

import hashlib
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hail.message import Mark
from hail.settings import DAY
from whale.visitors.identity import Alias, Person

TICKS_A_MS = 49
DAY_MS, DAY_TICKS = 1000 * DAY, 1000 * DAY * TICKS_A_MS
EVENT, PROPERTY, EVENT_PROPERTY = "e", "p", "q"
"""What a record says: that an event happened, that a visitor had a value from then on, that an event had one."""
HASH_BYTES = 16
OTHER = "__other__"
TOO_OLD = "too_old"
MOST_ID_BYTES = 255
"""A longer id is not kept: its visitor has a hash and a number alone."""
MOST_PLACES = 65_535
"""Names, or rows of visitors, that one call of a store may hold: places are 16 bits."""


class Name(NamedTuple):
    """value: of a property, JSON."""

    kind: str
    name: str
    value: str = ""


class Visitor(NamedTuple):
    """Of one message. hash: HASH_BYTES, the same for all ids of one person.  id: as it is kept, or nothing.  hits: which are logged
    if the store has room.  dropped: reason -> hits of theirs which are not.  is_daily: known for a day of the account alone.
    """

    hash: bytes
    id: bytes
    hits: int
    dropped: Mapping[str, int]
    is_daily: bool = False


class Record(NamedTuple):
    """visitor: its place among those of the message."""

    visitor: int
    tick: int
    what: Name


@dataclass(frozen=True)
class SiteLog:
    """The log of a site. generation: "" until a reset.  period_s: for how long at least a visitor is known; None: for ever.

    listed: properties that are those of an event, where a hit has one. It is of messages of a time, so logs that differ in it are one.
    """

    account: str
    site: str
    partitions: int = 1
    period_s: int | None = 180 * DAY
    keep_days: int = 400
    keep_ids: bool = True
    listed: frozenset[str] = field(default=frozenset(), compare=False)
    generation: str = ""

    def partition_of(self, hash_: bytes) -> int:
        """Where all that is known of a visitor lies; by other bits than those that name them there."""
        if self.partitions == 1:
            return 0
        return int.from_bytes(hash_[8:HASH_BYTES], "little") % self.partitions


@dataclass(frozen=True)
class Entry:
    """All that a message adds to one site. kept_s: how long its name is remembered at least; None: for ever."""

    log: SiteLog
    mark: Mark
    at_ms: int
    visitors: Sequence[Visitor]
    records: Sequence[Record]
    kept_s: float | None = 0.0


@dataclass(frozen=True)
class Done:
    """A hit as far as it belongs in a log. sub: ticks after its ms.  properties: name -> JSON.  is_daily: see Visitor."""

    visitor: str
    at_ms: int
    event: str = ""
    properties: Mapping[str, str] | None = None
    sub: int = 0
    is_daily: bool = False


def as_kept(log: SiteLog, person: Person) -> Person:
    """Without their id, where it is not kept."""
    return person if log.keep_ids and len(person.id) <= MOST_ID_BYTES else person._replace(id=b"")


Hasher = Callable[[str], bytes]


def hasher(secret: bytes, account: str, site: str) -> Hasher:
    """Gives a visitor's id the hash that stands in keys: of that site alone, and none that others could work out.

    It remembers those that it gave: it is for some messages, not for a process.
    """
    state, known = hashlib.blake2b(key=secret, digest_size=HASH_BYTES), dict[str, bytes]()
    for part in (account, site):
        state.update(_with_length(part))

    def hash_of(visitor: str) -> bytes:
        found = known.get(visitor)
        if found is None:
            own = state.copy()
            own.update(_with_length(visitor))
            found = known[visitor] = own.digest()
        return found

    return hash_of


def _with_length(text: str) -> bytes:
    raw = raw_id(text)
    return len(raw).to_bytes(4, "big") + raw


def ticks_of(hits: Iterable[tuple[Hashable, int]]) -> list[int]:
    """Of hits of one message (whose, earliest tick), in their order there: each later than the one before of the same visitor."""
    given = list(hits)
    found, last = [0] * len(given), dict[Hashable, int]()
    for place in sorted(range(len(given)), key=lambda place: given[place][1]):
        whose, tick = given[place]
        found[place] = last[whose] = max(tick, last.get(whose, -1) + 1)
    return found


def entry_of(
    log: SiteLog,
    mark: Mark,
    at_ms: int,
    hits: Sequence[Done],
    hash_of: Hasher,
    aliases: Mapping[bytes, Sequence[Alias]] | None = None,
    kept_s: float | None = 0.0,
) -> Entry:
    """What these hits of one message add. A hit without a visitor, or that says nothing, belongs in no log and is left out.

    aliases: of these visitors, by their hashes. Whether one holds depends on when the message was accepted, so each delivery of it
    gives a hit to the same person.
    """
    said = [hit for hit in hits if hit.visitor and (hit.event or hit.properties)]
    own = {visitor: hash_of(visitor) for visitor in {hit.visitor for hit in said}}
    held = {hash_: alias for hash_, spans in (aliases or {}).items() for alias in spans if alias.holds(at_ms)}
    hashes = [held[own[hit.visitor]].hash if own[hit.visitor] in held else own[hit.visitor] for hit in said]
    ids = {alias.hash: alias.id for alias in held.values()}
    ticks = ticks_of((hash_, hit.at_ms * TICKS_A_MS + hit.sub) for hash_, hit in zip(hashes, said, strict=True))
    oldest_ms = max(0, at_ms - log.keep_days * DAY_MS)
    people: dict[tuple[bytes, bool], _Person] = {}
    records: list[Record] = []
    for hash_, tick, hit in zip(hashes, ticks, said, strict=True):
        person = people.setdefault((hash_, hit.is_daily), _Person(len(people), ids.get(hash_, raw_id(hit.visitor))))
        if hit.at_ms < oldest_ms:
            person.too_old += 1
        else:
            person.hits += 1
            records += (Record(person.place, tick, what) for what in _says(hit, log.listed))
    keeps = log.keep_ids
    visitors = [
        Visitor(
            hash_,
            person.id if keeps and not is_daily and len(person.id) <= MOST_ID_BYTES else b"",
            person.hits,
            {TOO_OLD: person.too_old} if person.too_old else {},
            is_daily,
        )
        for (hash_, is_daily), person in people.items()
    ]
    return Entry(log, mark, at_ms, visitors, records, kept_s)


@dataclass
class _Person:
    place: int
    id: bytes
    hits: int = 0
    too_old: int = 0


def raw_id(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _says(hit: Done, listed: Collection[str]) -> Iterable[Name]:
    if hit.event:
        yield Name(EVENT, hit.event)
    for name, value in (hit.properties or {}).items():
        yield Name(EVENT_PROPERTY if hit.event and name in listed else PROPERTY, name, value)

"""What messages add to visitor logs, as calls of log.lua: a call a shard, with all that they add there."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hail.message import Mark
from hail.settings import DAY
from whale.store.contract.events import LATEST_S, Caps
from whale.store.redis import keys as layout
from whale.store.redis.connection import pack
from whale.store.redis.keys import Keys
from whale.visitors.entries import DAY_TICKS, MOST_PLACES, Entry, Name, SiteLog

MOST_HITS = 2_000
TALLY_TTL_S = 7 * DAY
HASH = 8
"""Bytes of a visitor's hash that stand in keys."""
_ROW, _RECORD = struct.Struct("<HHBB"), struct.Struct("<HHHI")


class Day(NamedTuple):
    """Of an account's zone: its number, and where it begins and ends."""

    number: int
    start: int
    end: int


NO_DAY = Day(0, 0, 0)


def groups(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Entries that may go together, each message whole: a call of a store holds no longer than it must."""
    messages: dict[Mark, list[Entry]] = {}
    for entry in entries:
        messages.setdefault(entry.mark, []).append(entry)
    group: list[Entry] = []
    hits = records = 0
    for some in messages.values():
        more_hits = sum(visitor.hits for entry in some for visitor in entry.visitors)
        more_records = sum(len(entry.records) for entry in some)
        if group and (hits + more_hits > MOST_HITS or records + more_records > MOST_PLACES):
            yield group
            group, hits, records = [], 0, 0
        group += some
        hits, records = hits + more_hits, records + more_records
    if group:
        yield group


@dataclass
class _Partition:
    log: SiteLog
    number: int
    has_daily: bool = False
    rows: list[bytes] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    names: dict[Name, int] = field(default_factory=dict)


class _Message(NamedTuple):
    bit: int
    ttl: int
    at_ms: int
    tally: int
    reasons: list[Any]


class ShardCall:
    """Of one shard. seen_ttl_s: how long names of messages are remembered at least."""

    def __init__(self, shard: int, seen_ttl_s: float):
        self.shard, self._seen_ttl_s = shard, seen_ttl_s
        self.marks: list[Mark] = []
        self._messages: list[_Message] = []
        self._tallies: dict[str, int] = {}
        self._partitions: dict[str, _Partition] = {}

    def add(self, entry: Entry, keys: Keys, visitors: Iterable[tuple[int, int, str]]) -> None:
        """visitors: place in the entry, partition and its key, of those on this shard."""
        message = self._message(entry, keys)
        rows: dict[int, tuple[_Partition, int]] = {}
        for place, number, key in visitors:
            visitor = entry.visitors[place]
            for reason, hits in visitor.dropped.items():
                self._messages[message].reasons.extend((reason, hits))
            if visitor.hits:
                partition = self._partitions.setdefault(key, _Partition(entry.log, number))
                partition.has_daily |= visitor.is_daily
                rows[place] = partition, len(partition.rows)
                said = _ROW.pack(message, visitor.hits, visitor.is_daily, len(visitor.id))
                partition.rows.append(visitor.hash[:HASH] + said + visitor.id)
        for record in entry.records:
            if record.visitor in rows:
                partition, row = rows[record.visitor]
                name = partition.names.setdefault(record.what, len(partition.names))
                partition.records.append(_RECORD.pack(row, name, *divmod(record.tick, DAY_TICKS)))

    def _message(self, entry: Entry, keys: Keys) -> int:
        """Its place; one that adds to several sites of an account has one, one of several accounts has one for each."""
        name = keys.log_tally(self.shard, entry.mark[1])
        tally = self._tallies.setdefault(name, len(self._tallies) + 1)
        if not self.marks or self.marks[-1] != entry.mark or self._messages[-1].tally != tally:
            ttl = 0 if entry.kept_s is None else int(max(self._seen_ttl_s, entry.kept_s)) + DAY
            self.marks.append(entry.mark)
            self._messages.append(_Message(entry.mark[2] % layout.SEEN_BITS, ttl, entry.at_ms, tally, []))
        return len(self.marks) - 1

    @property
    def partitions(self) -> list[tuple[SiteLog, int]]:
        return [(partition.log, partition.number) for partition in self._partitions.values()]

    @property
    def of_days(self) -> set[str]:
        """Accounts whose day it is to be known."""
        return {partition.log.account for partition in self._partitions.values() if partition.has_daily}

    def command(self, caps: Caps, days: dict[str, Day], word: str) -> tuple[list[str], list[bytes]]:
        names = [layout.seen(self.shard, mark, "wseen") for mark in self.marks]
        parts: list[Any] = []
        strings: list[bytes] = []
        for partition in self._partitions.values():
            day = days[partition.log.account] if partition.has_daily else NO_DAY
            parts.append([partition.log.period_s or 0, [word for name in partition.names for word in name], *day])
            strings += (b"".join(partition.records), b"".join(partition.rows))
        bounds = [caps.visitors, caps.events, caps.properties, caps.values]
        head = [self._messages, len(self._tallies), TALLY_TTL_S, bounds, word, LATEST_S, parts]
        return [*names, *self._tallies, *self._partitions], [pack(head), *strings]

"""What messages add to visitor logs, as calls of log.lua: a call a shard, with all that they add there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hail.message import Mark
from hail.settings import DAY
from whale.store.contract.events import Caps
from whale.store.redis import keys as layout
from whale.store.redis.connection import pack
from whale.store.redis.keys import Keys
from whale.sums import Ints, numbered
from whale.visitors.deeds import Columns
from whale.visitors.entries import DAY_TICKS, EVENT, HASH_BYTES, MOST_PLACES, OTHER, SiteLog
from whale.visitors.record import LATEST_S
from whale.visitors.tail import PLACED

MOST_HITS = 2_000
MOST_TOGETHER = MOST_PLACES - 1_300
"""Records of several messages. The rest is for what stands for further names, of each property another one."""
TALLY_TTL_S = 7 * DAY
HASH = 8
"""Bytes of a visitor's hash that stand in keys."""
_ROW = np.dtype(
    [("hash", "u1", HASH), ("message", "<u2"), ("hits", "<u2"), ("records", "<u4"), ("daily", "u1"), ("size", "u1")]
)


class Day(NamedTuple):
    """Of an account's zone: its number, and where it begins and ends."""

    number: int
    start: int
    end: int


NO_DAY = Day(0, 0, 0)


def groups(entries: Sequence[Columns]) -> Iterator[list[Columns]]:
    """Entries that may go together, each message whole: a call of a store holds no longer than it must."""
    messages: dict[Mark, list[Columns]] = {}
    for entry in entries:
        messages.setdefault(entry.mark, []).append(entry)
    group: list[Columns] = []
    hits = records = 0
    for some in messages.values():
        more_hits = sum(int(entry.hits.sum()) for entry in some)
        more_records = sum(len(entry.who) for entry in some)
        if group and (hits + more_hits > MOST_HITS or records + more_records > MOST_TOGETHER):
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
    count: int = 0
    rows: list[bytes] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    names: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def add(self, entry: Columns, message: int, here: NDArray[np.bool_]) -> None:
        """here: of each visitor, whether they are in this partition."""
        places = np.flatnonzero(here & (entry.hits > 0))
        count = len(places)
        if max(self.count + count, int(entry.hits.max())) > MOST_PLACES:
            raise ValueError(f"a message of more than {MOST_PLACES} visitors or hits")
        row_of = np.full(len(here), -1)
        row_of[places] = np.arange(self.count, self.count + count)
        self._add_rows(entry, message, places)
        rows = row_of[entry.who]
        mine = rows >= 0
        found, name = numbered(entry.what[mine], len(entry.names))
        number = self.names.setdefault
        names = [number(self._bounded(entry.names[each]), len(self.names)) for each in found.tolist()]
        records = np.empty(len(name), PLACED)
        records["row"], records["name"] = rows[mine], np.array(names, np.uint16)[name]
        records["day"], records["tick"] = np.divmod(entry.ticks[mine], DAY_TICKS)
        self.records.append(records.tobytes())
        self.count += count

    def _bounded(self, name: tuple[str, str, str]) -> tuple[str, str, str]:
        """The same, or what stands for it where one message says more than a call may hold."""
        if len(self.names) < MOST_TOGETHER or name in self.names:
            return name
        kind, property_, _ = name
        if kind == EVENT:
            return kind, OTHER, ""
        return (kind, property_, OTHER) if len(self.names) < MOST_PLACES - len("epq") else (kind, OTHER, OTHER)

    def _add_rows(self, entry: Columns, message: int, places: Ints) -> None:
        chosen, count = places.tolist(), len(places)
        hashes, ids = ([of[place] for place in chosen] for of in (entry.hashes, entry.ids))
        rows = np.empty(count, _ROW)
        rows["hash"] = np.frombuffer(b"".join(hashes), np.uint8).reshape(count, HASH_BYTES)[:, :HASH]
        rows["message"], rows["hits"], rows["daily"] = message, entry.hits[places], entry.are_daily[places]
        rows["records"] = np.bincount(entry.who, minlength=len(entry.hits))[places]
        rows["size"] = np.fromiter(map(len, ids), np.uint8, count)
        self.has_daily |= bool(rows["daily"].any())
        heads = rows.tobytes()
        if any(ids):
            starts = range(0, len(heads), _ROW.itemsize)
            pieces = [(heads[at : at + _ROW.itemsize], id_) for at, id_ in zip(starts, ids, strict=True)]
            heads = b"".join(chain.from_iterable(pieces))
        self.rows.append(heads)


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

    def add(self, entry: Columns, keys: Keys, partition: Ints, here: Mapping[int, str]) -> None:
        """partition: of each visitor.  here: the partitions on this shard that have some, and their keys."""
        message = self._message(entry, keys)
        on_shard = np.isin(partition, [*here])
        for reason, hits in entry.dropped.items():
            if lost := int(hits[on_shard].sum()):
                self._messages[message].reasons.extend((reason, lost))
        for number, key in here.items():
            mine = partition == number
            if (entry.hits[mine] > 0).any():
                self._partitions.setdefault(key, _Partition(entry.log, number)).add(entry, message, mine)

    def _message(self, entry: Columns, keys: Keys) -> int:
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
            parts.append([partition.log.period_s or 0, [*chain.from_iterable(partition.names)], *day])
            strings += (b"".join(partition.records), b"".join(partition.rows))
        bounds = [caps.visitors, caps.events, caps.properties, caps.values]
        head = [self._messages, len(self._tallies), TALLY_TTL_S, bounds, word, LATEST_S, parts]
        return [*names, *self._tallies, *self._partitions], [pack(head), *strings]

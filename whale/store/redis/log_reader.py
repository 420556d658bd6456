"""Reading the visitor log: tail, frozen tail, index and names in one transaction, so that they are of one moment; then parts, which never
change. A part that was packed anew meanwhile is gone: then all is read once more.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import redis
from numpy.typing import NDArray

from whale.errors import Unavailable
from whale.store.contract.events import Column, Logged, Said
from whale.store.redis.compaction import Indexed, index_of, tail_of
from whale.store.redis.connection import reachable, settled
from whale.store.redis.database import Database
from whale.visitors import parts
from whale.visitors.entries import EVENT, EVENT_PROPERTY, PROPERTY, TICKS_A_MS, SiteLog
from whale.visitors.parts import IS_OF_EVENT, IS_PROPERTY, VALUE_BITS, Records

TRIES = 20


class LogReader:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._client = database, database.client
        self._words = database.script("words")

    @reachable
    def read_log(
        self, log: SiteLog, partition: int, start_ms: int, end_ms: int, said: Collection[Said] | None = None
    ) -> Logged:
        first, end = start_ms * TICKS_A_MS, end_ms * TICKS_A_MS
        at, blobs, is_incomplete = self._read(log, partition, first, end)
        return _logged([*at.tails, *map(parts.records_of, blobs.values())], at, first, end, said, is_incomplete)

    @reachable
    def visitors_in_log(self, log: SiteLog, partition: int, start_ms: int, end_ms: int) -> NDArray[np.uint32]:
        """Of parts that lie within all of the range the planes of visitors alone are unpacked."""
        first, end = start_ms * TICKS_A_MS, end_ms * TICKS_A_MS
        at, blobs, _ = self._read(log, partition, first, end)
        found = [_in_range(tail, first, end) for tail in at.tails]
        for id_, blob in blobs.items():
            if at.parts[id_].first >= first and at.parts[id_].last < end:
                found += parts.visitors_of(blob)
            else:
                found.append(_in_range(parts.records_of(blob), first, end))
        known = np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint32)
        return known[~np.isin(known, np.array(at.gone, np.uint32))]

    def _read(self, log: SiteLog, partition: int, first: int, end: int) -> tuple["_Snapshot", dict[str, bytes], bool]:
        """A partition at one moment, with its parts that touch [first, end); and whether some of these are lost."""
        _, key = self._database.keys(log.account).log(log.site, log.generation, partition)
        lacking: set[str] = set()
        for _ in range(TRIES):
            at = self._snapshot(key)
            wanted = {id_: part for id_, part in at.parts.items() if part.first < end and part.last >= first}
            blobs, gone = self._parts(key, wanted)
            if gone <= lacking:  # it is no compaction: nobody has them
                return at, blobs, bool(gone)
            lacking = gone
        raise Unavailable(f"Redis: a part of the log of {log.site} was packed anew {TRIES} times while it was read")

    def _snapshot(self, key: str) -> "_Snapshot":
        with self._client.pipeline(transaction=True) as pipe:
            self._words.queue(pipe, [key], [])
            pipe.execute_command("GET", f"{key}:t")
            pipe.execute_command("GET", f"{key}:z")
            pipe.execute_command("HGETALL", f"{key}:x")
            pipe.execute_command("HGETALL", f"{key}:c")
            pipe.execute_command("SMEMBERS", f"{key}:r")
            try:
                words, tail, frozen, index, names, gone = pipe.execute()
            except redis.exceptions.NoScriptError:
                self._words([key], [])
                return self._snapshot(key)
        settled(words)
        tails = [tail_of(raw) for raw in (frozen, tail) if raw]
        return _Snapshot(tails, index_of(_pairs(index)), Names(_pairs(names)), sorted(map(int, gone)))

    def _parts(self, key: str, wanted: Collection[str]) -> tuple[dict[str, bytes], set[str]]:
        """And the ids of those that are gone."""
        blobs = {id_: self._client.get(f"{key}:b:{id_}") for id_ in wanted}
        return {id_: blob for id_, blob in blobs.items() if blob}, {id_ for id_, blob in blobs.items() if not blob}


class Names:
    """What the codes of a partition stand for. raw: the hash of its names, see log.lua."""

    def __init__(self, raw: dict[bytes, bytes]):
        self.columns: dict[int, Said] = {}
        self.values_of: dict[int, list[str]] = {}
        values: dict[int, dict[int, str]] = {}
        for field, number in raw.items():
            kind, text = field[:1].decode(), field[1:].decode("utf-8", "surrogatepass")
            if kind == EVENT:
                self.columns[int(number)] = EVENT, text
            elif kind in (PROPERTY, EVENT_PROPERTY):
                self.columns[_column(kind, int(number))] = kind, text
            elif kind == "v":
                of, _, value = text.partition(",")
                values.setdefault(_column(of[0], int(of[1:])), {})[int(number)] = value
        for code, known in values.items():
            self.values_of[code] = [known[number] for number in sorted(known)]


class _Snapshot(NamedTuple):
    """Of a partition, at one moment. parts: of the index, by their ids.  gone: numbers of visitors who were erased."""

    tails: list[Records]
    parts: dict[str, Indexed]
    names: Names
    gone: list[int]


def _in_range(records: Records, first: int, end: int) -> NDArray[np.uint32]:
    """Who had an event there."""
    is_event = records.codes & np.uint32(IS_PROPERTY) == 0
    return records.visitors[is_event & (records.ticks >= first) & (records.ticks < end)]


def _column(kind: str, number: int) -> int:
    return IS_PROPERTY | (IS_OF_EVENT if kind == EVENT_PROPERTY else 0) | number << VALUE_BITS


def _pairs(answer: Any) -> dict[bytes, bytes]:
    """Of a hash, also where a transaction gave it flat."""
    return dict(answer) if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))


def _logged(
    some: list[Records], at: _Snapshot, first: int, end: int, said: Collection[Said] | None, is_incomplete: bool
) -> Logged:
    columns: dict[Said, Column] = {}
    values_of: dict[Said, list[str]] = {}
    if some:
        records = parts.merged(some)
        names, gone = at.names, np.array(at.gone, np.uint32)
        wanted = (records.ticks >= first) & (records.ticks < end) & ~np.isin(records.visitors, gone)
        if said is not None:
            codes = [code for code, name in names.columns.items() if name in said]
            wanted &= np.isin(parts.column_of(records.codes), np.array(codes, np.uint32))
        for code, rows in parts.sort(parts.some_of(records, wanted)):
            name = names.columns[code]
            columns[name] = Column(*rows)
            if code & IS_PROPERTY:
                values_of[name] = names.values_of[code]
    return Logged(columns, values_of, is_incomplete)

"""Reading the visitor log: tail, frozen tail, index and names in one transaction, so that they are of one moment; then parts, which never
change. A part that was packed anew meanwhile is gone: then all is read once more.
"""

from collections.abc import Collection, Container, Iterator
from typing import NamedTuple

import numpy as np
import redis
from numpy.typing import NDArray

from whale.errors import Unavailable
from whale.store.contract.events import Column, Logged, Said
from whale.store.redis.compaction import Indexed, column_code, index_of, pairs
from whale.store.redis.connection import reachable, settled
from whale.store.redis.database import Database
from whale.sums import distinct
from whale.visitors import parts
from whale.visitors.entries import EVENT, EVENT_PROPERTY, PROPERTY, TICKS_A_MS, SiteLog
from whale.visitors.parts import IS_PROPERTY, Records
from whale.visitors.tail import records_of

TRIES = 20


class LogReader:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._client = database, database.client
        self._words = database.script("words")

    @reachable
    def read_log(
        self,
        log: SiteLog,
        partition: int,
        start_ms: int,
        end_ms: int,
        said: Container[Said] | None = None,
        who: int | None = None,
    ) -> Logged:
        first, end = start_ms * TICKS_A_MS, end_ms * TICKS_A_MS
        at, blobs, is_incomplete = self._read(log, partition, first, end)
        wanted = _Wanted(at, first, end, said, who)
        some = [wanted.of(tail) for tail in at.tails]
        for blob in blobs.values():
            some += wanted.of_part(blob)
        return _logged(some, at.names, is_incomplete)

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
        known = distinct(np.concatenate([np.zeros(0, np.uint32), *found]))
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
        tails = [records_of(raw) for raw in (frozen, tail) if raw]
        return _Snapshot(tails, index_of(pairs(index)), Names(pairs(names)), sorted(map(int, gone)))

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
                self.columns[column_code(kind, int(number))] = kind, text
            elif kind == "v":
                of, _, value = text.partition(",")
                values.setdefault(column_code(of[0], int(of[1:])), {})[int(number)] = value
        for code, known in values.items():
            self.values_of[code] = [known.get(number, "") for number in range(max(known) + 1)]  # some were forgotten


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


class _Wanted:
    """Which records are asked for; nothing else of a part is unpacked."""

    def __init__(self, at: _Snapshot, first: int, end: int, said: Container[Said] | None, who: int | None):
        self._first, self._end, self._who, self._gone = first, end, who, np.array(at.gone, np.uint32)
        self._codes = None if said is None else {code for code, name in at.names.columns.items() if name in said}

    def of_part(self, part: bytes) -> Iterator[Records]:
        cuts, begin = parts.directory_of(part)
        for cut in cuts:
            is_within = cut.start * parts.TICKS_A_S < self._end and cut.end * parts.TICKS_A_S > self._first
            if is_within and (self._codes is None or cut.code in self._codes) and self._has(part, cut, begin):
                rows = parts.rows_of(part, cut, begin)
                yield self._some(Records(rows.visitors, rows.ticks, rows.values | np.uint32(cut.code)))

    def _has(self, part: bytes, cut: parts.Cut, begin: int) -> bool:
        """Whether it has records of who is asked for."""
        return self._who is None or self._who in parts.visitors_in(part, cut, begin)

    def of(self, tail: Records) -> Records:
        if self._codes is not None:
            codes = np.array(sorted(self._codes), np.uint32)
            tail = parts.some_of(tail, np.isin(parts.column_of(tail.codes), codes))
        return self._some(tail)

    def _some(self, records: Records) -> Records:
        wanted = (records.ticks >= self._first) & (records.ticks < self._end)
        wanted &= ~np.isin(records.visitors, self._gone)
        if self._who is not None:
            wanted &= records.visitors == self._who
        return parts.some_of(records, wanted)


def _logged(some: list[Records], names: Names, is_incomplete: bool) -> Logged:
    columns: dict[Said, Column] = {}
    values_of: dict[Said, list[str]] = {}
    if some:
        for code, rows in parts.sort(parts.merged(some)):
            name = names.columns[code]
            columns[name] = Column(*rows)
            if code & IS_PROPERTY:
                values_of[name] = names.values_of[code]
    return Logged(columns, values_of, is_incomplete)

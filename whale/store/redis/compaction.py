"""Compaction: what waits in the tail of a partition of a visitor log becomes parts, packed once and never changed.

    tail ── freeze ──► frozen tail ──┐
    small parts of the same months ──┴─ sort, pack ──► new parts, which expire ── commit ──► in the index

A value of a property that a dropped record had, and maybe no other one has, is noted with the commit. When no records of erased
visitors are left, those that nobody has go from the dictionary: a value may be an id too.

Killed anywhere, nothing is lost and nothing is there twice: the frozen tail stays, parts that nobody committed expire, and the next one
begins at the frozen tail. Of two at once one commits. Who logs meanwhile writes to a new tail. All this needs no lock.

In the index a part is msgpack [start of its month, bytes, records, first tick, last tick].
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from whale.store.redis.connection import pack, reachable
from whale.store.redis.database import Database
from whale.sums import distinct
from whale.visitors import parts
from whale.visitors.entries import EVENT_PROPERTY, TICKS_A_MS, SiteLog
from whale.visitors.parts import Records
from whale.visitors.tail import RECORD, records_of

UNCOMMITTED_S, FOLLOWED_S = 3600, 60
SMALL_BYTES = 1 << 20
"""Parts below are packed anew together with later records of their month."""


class Indexed(NamedTuple):
    """A row of the index."""

    start: int
    bytes: int
    records: int
    first: int
    last: int


_indexed = msgspec.msgpack.Decoder(Indexed).decode


def index_of(raw: Mapping[bytes, bytes]) -> dict[str, Indexed]:
    """Parts by their ids."""
    return {id_.decode(): _indexed(row) for id_, row in raw.items()}


def values_of(records: Records, gone: NDArray[np.uint32] | None = None) -> set[int]:
    """The codes of values of properties, of some visitors or of all."""
    codes = records.codes if gone is None else records.codes[np.isin(records.visitors, gone)]
    return set(distinct(codes[codes >= parts.IS_PROPERTY]).tolist())


def value_code(field: bytes, number: bytes) -> int | None:
    """Of a value's field in W:c, see log.lua; None of any other field."""
    if field[:1] != b"v":
        return None
    of, _, _ = field[1:].decode("utf-8", "surrogatepass").partition(",")
    return column_code(of[0], int(of[1:])) | int(number)


def column_code(kind: str, number: int) -> int:
    """Of a property, with all its values."""
    return parts.IS_PROPERTY | (parts.IS_OF_EVENT if kind == EVENT_PROPERTY else 0) | number << parts.VALUE_BITS


def pack_code(code: int) -> bytes:
    return code.to_bytes(4, "little")


def pairs(answer: Any) -> dict[bytes, bytes]:
    """Of a hash, also where a transaction gave it flat."""
    return dict(answer) if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))


class Compaction:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._client = database, database.client
        self._freeze, self._commit = database.script("freeze"), database.script("commit")
        self._purging = (
            "",
            b"",
            set[str](),
        )  # a partition, visitors who are being purged, and parts that have none of their records
        self._unname = database.script("unname")

    @reachable
    def compact_log(self, log: SiteLog, partition: int, least: int = 1) -> bool:
        keys, zone = self._database.keys(log.account), self._database.zone(log.account)
        _, key = keys.log(log.site, log.generation, partition)
        frozen = self._freeze([key], [least * RECORD.itemsize, secrets.token_hex(4)])
        raw = self._client.get(f"{key}:z") if frozen else None
        if raw is None:
            return False
        index, gone = index_of(self._client.hgetall(f"{key}:x")), self._gone(key)
        records, dead, made, lost = records_of(raw), list[str](), list[str | bytes](), set[int]()
        for start, mine in parts.months(records.ticks, zone):
            together = [parts.some_of(records, mine)]
            for id_, part in index.items():
                if part.start == start and part.bytes < SMALL_BYTES:
                    small = self._client.get(f"{key}:b:{id_}")
                    if (
                        small is None
                    ):  # another one was first, and then the commit fails; or it is lost, and stays in the index
                        continue
                    together.append(parts.records_of(small))
                    dead.append(id_)
            merged = parts.merged(together)
            made += self._made(key, merged, gone, start, zone)
            lost |= values_of(merged, gone)
        return self._replace(key, frozen[0], dead, made, lost)

    @reachable
    def drop_before(self, log: SiteLog, partition: int, before_ms: int) -> bool:
        """Drops the parts of which all was said before a time. False where there is none, or another one was first."""
        _, key = self._database.keys(log.account).log(log.site, log.generation, partition)
        index = index_of(self._client.hgetall(f"{key}:x"))
        dead = [id_ for id_, part in index.items() if part.last < before_ms * TICKS_A_MS]
        lost = set[int]()
        for id_ in dead:
            lost |= values_of(parts.records_of(self._client.get(f"{key}:b:{id_}") or parts.NONE))
        return bool(dead) and self._replace(key, b"", dead, (), lost)

    @reachable
    def purge_log(self, log: SiteLog, partition: int) -> bool:
        """First the tails, then the parts, as records go; a part that has some of who was erased is made anew without them.

        Where none has, there are none: nobody logs for a number that was erased. A compaction that began before the erasure may still
        hold some, but it cannot end: its frozen tail was taken, or an old part of it is gone.
        """
        _, key = self._database.keys(log.account).log(log.site, log.generation, partition)
        gone = self._gone(key)
        if not len(gone):
            return self._forget_values(key)
        for name in ("t", "z"):
            if np.isin(records_of(self._client.get(f"{key}:{name}") or b"").visitors, gone).any():
                self.compact_log(log, partition)
                return True
        without = self._without(key, gone)
        for id_, part in index_of(self._client.hgetall(f"{key}:x")).items():
            if id_ in without:
                continue
            raw = self._client.get(f"{key}:b:{id_}")
            if raw is None:
                if self._client.hexists(f"{key}:x", id_):  # it is lost, and nobody reads it
                    continue
                return True
            left = parts.without(raw, gone)
            if left is not None:
                made = self._keep(key, left, part._replace(records=parts.size(left))) if left else ()
                self._replace(key, b"", [id_], made, parts.values_in(raw, gone))
                without.update(made[:1])
                return True
            without.add(id_)
        self._client.srem(f"{key}:r", *gone.tolist())
        return True

    def _forget_values(self, key: str) -> bool:
        """Takes those out of the dictionary that were noted, and that no record has. False where none is noted."""
        if not self._client.exists(f"{key}:v"):
            return False
        with self._client.pipeline(transaction=True) as pipe:
            pipe.execute_command("HMGET", key, "e", "z", "x")
            for command, name in (("SMEMBERS", "v"), ("GET", "t"), ("GET", "z"), ("HGETALL", "x"), ("HGETALL", "c")):
                pipe.execute_command(command, f"{key}:{name}")
            words, noted, tail, frozen, index, names = pipe.execute()
        codes = {int(code) for code in noted}
        records = [records_of(raw) for raw in (tail, frozen) if raw]
        used = {code for some in records for code in distinct(some.codes).tolist()}
        columns = {code & ~parts.VALUE for code in codes}
        for id_ in pairs(index):
            used |= parts.codes_in(self._client.get(f"{key}:b:{id_.decode()}") or parts.NONE, columns)
        fields = {code: field for field, number in pairs(names).items() if (code := value_code(field, number)) in codes}
        said = [*(word or b"" for word in words), len(tail or b""), secrets.token_hex(4)]
        known = ((code, b"" if code in used else fields.get(code, b"")) for code in sorted(codes))
        self._unname([key], [*said, *(each for code, field in known for each in (pack_code(code), field))])
        return True

    def _gone(self, key: str) -> NDArray[np.uint32]:
        """The numbers of visitors who were erased, and of whom there may be records."""
        return np.array(sorted(map(int, self._client.smembers(f"{key}:r"))), np.uint32)

    def _without(self, key: str, gone: NDArray[np.uint32]) -> set[str]:
        """The parts that were looked at and have none of these visitors; a part never changes."""
        name = key, gone.tobytes()
        if self._purging[:2] != name:
            self._purging = *name, set()
        return self._purging[2]

    def _replace(
        self, key: str, frozen: bytes, dead: Sequence[str], made: Sequence[str | bytes], lost: Collection[int] = ()
    ) -> bool:
        """lost: codes of values that records which are in no new part had."""
        said = [frozen, secrets.token_hex(4), FOLLOWED_S, pack([dead, [str(code) for code in sorted(lost)]]), *made]
        return bool(self._commit([key], said))

    def _made(
        self, key: str, records: Records, gone: NDArray[np.uint32], start: int, zone: str
    ) -> tuple[()] | tuple[str, bytes]:
        """A part that is there, but in no index: its id and its row; none where all its visitors were erased."""
        records = parts.some_of(records, ~np.isin(records.visitors, gone))
        if not len(records.ticks):
            return ()
        row = Indexed(start, 0, len(records.ticks), int(records.ticks.min()), int(records.ticks.max()))
        return self._keep(key, parts.make(records, start, zone), row)

    def _keep(self, key: str, part: bytes, row: Indexed) -> tuple[str, bytes]:
        id_ = secrets.token_hex(6)
        self._client.set(f"{key}:b:{id_}", part, ex=UNCOMMITTED_S)
        return id_, pack(row._replace(bytes=len(part)))

"""Reading the visitor log: tail, frozen tail, index and names in one transaction, so that they are of one moment; then parts, which never
change. A part that was packed anew meanwhile is gone: then all is read once more.

Where the words of a partition are those that are remembered, and so is the run of the server, only what was logged since then is fetched;
see log_cache.py.
"""

import itertools
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import redis
from numpy.typing import NDArray

from whale.errors import Unavailable
from whale.store.contract.events import BLOCK, MOST_NUMBERS, Column, Logged, Moment, Numbers, Said, Wanted, Who
from whale.store.redis.compaction import Indexed, index_of, pairs
from whale.store.redis.connection import reachable, settled
from whale.store.redis.database import Database
from whale.store.redis.log_cache import LogCache, Names, Part, PartGone, Standing, Words
from whale.store.redis.log_months import Joined, Months
from whale.sums import distinct
from whale.visitors import parts
from whale.visitors.columns import Rows, decode_visitors
from whale.visitors.entries import TICKS_A_MS, SiteLog
from whale.visitors.parts import IS_PROPERTY, Records
from whale.visitors.tail import records_of

TRIES, FOR_EVER = 20, 2**62
HEAD_BYTES = 8192
"""Of a part, where the directory of most ends."""
AHEAD = 50
"""Parts of which planes of visitors are fetched at once."""
T = TypeVar("T")
Piece = tuple[int, Rows]
"""A column's code, and some of its records."""


class LogReader:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._client = database, database.client
        self._words = database.script("words")
        self._cache = LogCache(database.settings.events_cache_mb)
        self._months = Months(self._cache, self._part)

    @reachable
    def read_log(
        self,
        log: SiteLog,
        partition: int,
        start_ms: int,
        end_ms: int,
        said: Container[Said] | None = None,
        who: Who = None,
    ) -> Logged:
        first, end = start_ms * TICKS_A_MS, end_ms * TICKS_A_MS
        wanted: Asked | None = None

        def prepare(key: str, at: Snapshot) -> None:
            nonlocal wanted
            wanted = Asked(at, first, end, said, who)
            if who is None or len(who) > 1:
                with suppress(PartGone):  # whoever reads the parts finds out
                    wanted.join(self._months.joined(key, at.within(first, end), wanted.codes))

        def pieces_of(at: Snapshot, part: Part, indexed: Indexed) -> list[Piece]:
            return cast(Asked, wanted).of_part(part, indexed)

        at, of_parts, is_incomplete = self._read(log, partition, first, end, pieces_of, prepare)
        wanted = cast(Asked, wanted)
        pieces = [*wanted.of_joined(), *(piece for some in of_parts for piece in some), *wanted.of_tails(at.tails)]
        return logged_of(pieces, at.names, is_incomplete)._replace(moment=at.moment)

    @reachable
    def records_in_log(self, log: SiteLog, partition: int, start_ms: int, end_ms: int) -> int:
        key = self.key_of(log, partition)
        return self.snapshot(key).records(start_ms * TICKS_A_MS, end_ms * TICKS_A_MS)

    @reachable
    def ranges_in_log(
        self, log: SiteLog, partition: int, wanted: Sequence[Wanted], most: float
    ) -> Sequence[range | None]:
        """Of parts, the planes of visitors alone are unpacked for it."""
        if sum(self.records_in_log(log, partition, each.start_ms, each.end_ms) for each in wanted) <= most:
            return [None]
        counts = [each for some in wanted for each in self._blocks(log, partition, some)]
        return ranges_of([sum(some) for some in itertools.zip_longest(*counts, fillvalue=0)], most)

    def _blocks(self, log: SiteLog, partition: int, wanted: Wanted) -> list[NDArray[np.intp]]:
        """Of each part, and of the tails, how many records the visitors of each block have, at most."""
        first, end = wanted.start_ms * TICKS_A_MS, wanted.end_ms * TICKS_A_MS

        def counted(at: Snapshot, part: Part, _: Indexed) -> NDArray[np.intp]:
            return Asked(at, first, end, wanted.said, None).blocks_of(part)

        at, of_parts, _ = self._read(log, partition, first, end, counted)
        return [*of_parts, *(np.bincount(tail.visitors // BLOCK) for tail in at.tails)]

    @reachable
    def visitors_in_log(self, log: SiteLog, partition: int, start_ms: int, end_ms: int) -> NDArray[np.uint32]:
        """Of parts that lie within the range the planes of visitors alone are fetched and unpacked."""
        first, end = start_ms * TICKS_A_MS, end_ms * TICKS_A_MS
        ahead: dict[str, NDArray[np.uint32]] = {}

        def is_within(indexed: Indexed) -> bool:
            return indexed.first >= first and indexed.last < end

        def prepare(key: str, at: Snapshot) -> None:
            within = [f"{key}:b:{id_}" for id_, indexed in at.parts.items() if is_within(indexed)]
            lacking = [part for part in within if part not in ahead and not self._cache.knows_who_came(part)]
            for place in range(0, len(lacking), AHEAD):
                ahead.update(self._who_came(lacking[place : place + AHEAD]))

        def came(at: Snapshot, part: Part, indexed: Indexed) -> NDArray[np.uint32]:
            if is_within(indexed):
                return part.who_came(ahead.get(part.key))
            rows = [part.rows(cut) for cut in part.cuts if not cut.code & IS_PROPERTY and _touches(cut, first, end)]
            which = [each.visitors[(each.ticks >= first) & (each.ticks < end)] for each in rows]
            return np.concatenate([np.zeros(0, np.uint32), *which])

        at, found, _ = self._read(log, partition, first, end, came, prepare)
        found += [_in_range(tail, first, end) for tail in at.tails]
        known = distinct(np.concatenate([np.zeros(0, np.uint32), *found]))
        return known[~np.isin(known, np.array(at.gone, np.uint32))] if at.gone else known

    @reachable
    def said_in_log(self, log: SiteLog, partition: int) -> set[Said]:
        """Of parts the list of columns is read; who was erased alone is looked for in them."""

        def codes_in(at: Snapshot, part: Part, _: Indexed) -> set[int]:
            gone = np.array(at.gone, np.uint32)
            return {cut.code for cut in part.cuts if not (len(gone) and np.isin(part.visitors(cut), gone).all())}

        at, of_parts, _ = self._read(log, partition, 0, FOR_EVER, codes_in)
        codes = set[int]().union(*of_parts)
        for tail in at.tails:
            is_there = ~np.isin(tail.visitors, np.array(at.gone, np.uint32))
            codes |= set(distinct(parts.column_of(tail.codes[is_there])).tolist())
        return {at.names.columns[code] for code in codes}

    def _read(
        self,
        log: SiteLog,
        partition: int,
        first: int,
        end: int,
        read: Callable[["Snapshot", Part, Indexed], T],
        prepare: Callable[[str, "Snapshot"], None] = lambda *_: None,
    ) -> tuple["Snapshot", list[T], bool]:
        """A partition at one moment, what is read of its parts that touch [first, end), and whether some of these are lost.

        prepare: what is done before any part is read.
        """
        key = self.key_of(log, partition)
        lacking: set[str] = set()
        for _ in range(TRIES):
            at, found, gone = self.snapshot(key), list[T](), set[str]()
            prepare(key, at)
            for id_, indexed in at.parts.items():
                if indexed.first < end and indexed.last >= first:
                    try:
                        found.append(read(at, self._part(f"{key}:b:{id_}"), indexed))
                    except PartGone:
                        gone.add(id_)
            if gone <= lacking:  # it is no compaction: nobody has them
                return at, found, bool(gone)
            lacking = gone
        raise Unavailable(f"Redis: a part of the log of {log.site} was packed anew {TRIES} times while it was read")

    def key_of(self, log: SiteLog, partition: int) -> str:
        return self._database.keys(log.account).log(log.site, log.generation, partition)[1]

    def read_at(self, key: str, at: "Snapshot", asked: "Asked") -> Logged:
        """What is asked, as it was then. Raises PartGone where that is packed anew."""
        asked.join(self._months.joined(key, at.within(asked.first, asked.end), asked.codes))
        pieces = asked.of_joined()
        for id_, indexed in at.parts.items():
            if indexed.first < asked.end and indexed.last >= asked.first and asked.lacks(id_):
                pieces += asked.of_part(self._part(f"{key}:b:{id_}"), indexed)
        return logged_of([*pieces, *asked.of_tails(at.tails)], at.names, False)._replace(moment=at.moment)

    def erasures(self, key: str) -> int:
        return int(self._client.hget(key, "y") or 0)

    def packed_tail(self, key: str, word: bytes) -> Records | None:
        """A frozen tail that was packed a moment ago."""
        raw = self._client.get(f"{key}:o:{word.decode()}")
        return None if raw is None else records_of(raw)

    def _who_came(self, keys: Sequence[str]) -> dict[str, NDArray[np.uint32]]:
        """The visitors who had an event in some parts, where their directories are short and the parts are there."""
        ranges: dict[str, list[tuple[int, int]]] = {}
        for key, head in zip(keys, self._ranges([(key, 0, HEAD_BYTES) for key in keys]), strict=True):
            if len(head) >= 4 and len(head) >= 4 + int.from_bytes(head[:4], "little"):
                cuts, begin = parts.directory_of(head)
                ranges[key] = [(begin + cut.offset, cut.visitor_bytes) for cut in cuts if not cut.code & IS_PROPERTY]
        planes = iter(self._ranges([(key, *each) for key, some in ranges.items() for each in some]))
        found: dict[str, NDArray[np.uint32]] = {}
        for key, some in ranges.items():
            columns = [next(planes) for _ in some]
            if all(len(column) == size for column, (_, size) in zip(columns, some, strict=True)):
                found[key] = distinct(np.concatenate([np.zeros(0, np.uint32), *map(decode_visitors, columns)]))
        return found

    def _ranges(self, wanted: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """Of keys, from a byte on so many."""
        with self._client.pipeline(transaction=False) as pipe:
            for key, begin, size in wanted:
                pipe.getrange(key, begin, begin + size - 1)
            return pipe.execute() if wanted else []

    def _part(self, key: str) -> Part:
        return self._cache.part(key, lambda: self._client.get(key))

    def snapshot(self, key: str) -> "Snapshot":
        known = self._cache.standing(key)
        if known is not None:
            words, added, fields, gone = self._asked(
                key, ("GETRANGE", f"{key}:t", known.tail_bytes, -1), ("HLEN", f"{key}:c"), ("SMEMBERS", f"{key}:r")
            )
            if words == known.words and fields == known.names.fields:
                if added:
                    tail = parts.merged([known.tail, records_of(added)])
                    known = known._replace(tail=tail, tail_bytes=known.tail_bytes + len(added))
                    self._cache.stands(key, known)
                return Snapshot.of(known, gone)
        words, tail, frozen, index, names, gone = self._asked(
            key,
            ("GET", f"{key}:t"),
            ("GET", f"{key}:z"),
            ("HGETALL", f"{key}:x"),
            ("HGETALL", f"{key}:c"),
            ("SMEMBERS", f"{key}:r"),
        )
        known = Standing(
            words,
            records_of(frozen or b""),
            records_of(tail or b""),
            len(tail or b""),
            index_of(pairs(index)),
            Names(pairs(names)),
        )
        self._cache.stands(key, known)
        return Snapshot.of(known, gone)

    def _asked(self, key: str, *commands: tuple[object, ...]) -> list[Any]:
        """The words of a partition and the answers of some commands, of one moment."""
        with self._client.pipeline(transaction=True) as pipe:
            self._words.queue(pipe, [key], [])
            for command in commands:
                pipe.execute_command(*command)
            try:
                words, *answers = pipe.execute()
            except redis.exceptions.NoScriptError:
                self._words([key], [])
                return self._asked(key, *commands)
        run, *known = settled(words)
        return [Words(run, *(word or b"" for word in known)), *answers]


class Snapshot(NamedTuple):
    """Of a partition, at one moment. tails: the frozen one, and the one that grows.  parts: of the index, by their ids.  gone: numbers of
    visitors who were erased.
    """

    words: Words
    tails: list[Records]
    parts: dict[str, Indexed]
    names: Names
    gone: list[int]

    @classmethod
    def of(cls, known: Standing, gone: set[bytes]) -> "Snapshot":
        return cls(known.words, [known.frozen, known.tail], known.parts, known.names, sorted(map(int, gone)))

    @property
    def moment(self) -> Moment:
        """As contract/events.py has it."""
        run, tail, _, _, tails, erased = self.words
        return run, tail, int(tails or 0), erased, len(self.tails[-1].ticks)

    def within(self, first: int, end: int) -> dict[str, Indexed]:
        """The parts that lie in [first, end) as a whole."""
        return {id_: each for id_, each in self.parts.items() if each.first >= first and each.last < end}

    def records(self, first: int, end: int) -> int:
        """That may lie in [first, end)."""
        of_parts = sum(each.records for each in self.parts.values() if each.first < end and each.last >= first)
        return of_parts + sum(len(tail.ticks) for tail in self.tails)


def _in_range(records: Records, first: int, end: int) -> NDArray[np.uint32]:
    """Who had an event there."""
    is_event = records.codes & np.uint32(IS_PROPERTY) == 0
    return records.visitors[is_event & (records.ticks >= first) & (records.ticks < end)]


def ranges_of(blocks: Sequence[int], most: float) -> list[range]:
    """Runs of blocks with at most so many records, or one block. blocks: the records of each.  The last has no end."""
    ranges: list[range] = []
    begin, held = 0, 0
    for place, records in enumerate(blocks):
        if held and held + records > most:
            ranges.append(range(begin * BLOCK, place * BLOCK))
            begin, held = place, 0
        held += records
    return [*ranges, range(begin * BLOCK, MOST_NUMBERS)]


def places_of(visitors: NDArray[np.uint32], who: Numbers) -> NDArray[np.int64]:
    """Where some visitors stand among others. Both are in order."""
    low, high = np.searchsorted(visitors, who), np.searchsorted(visitors, who, "right")
    counts = high - low
    return np.repeat(low - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())


def _touches(cut: parts.Cut, first: int, end: int) -> bool:
    return cut.start * parts.TICKS_A_S < end and cut.end * parts.TICKS_A_S > first


class Asked:
    """Which records are asked for; nothing else of a part is unpacked."""

    def __init__(self, at: Snapshot, first: int, end: int, said: Container[Said] | None, who: Who):
        self.first, self.end, self._who, self._gone = first, end, who, np.array(at.gone, np.uint32)
        self._codes = None if said is None else {code for code, name in at.names.columns.items() if name in said}
        self.codes = at.names.columns.keys() if self._codes is None else self._codes
        self.joined: dict[int, list[Joined]] = {}
        self._joined_ids: dict[int, set[str]] = {}

    def join(self, joined: dict[int, list[Joined]]) -> None:
        """What of full parts is known together."""
        self.joined = joined
        self._joined_ids = {code: set[str]().union(*(each.ids for each in several)) for code, several in joined.items()}

    def lacks(self, id_: str) -> bool:
        """Whether something of this part is not joined."""
        return len(self._joined_ids) < len(self.codes) or any(id_ not in ids for ids in self._joined_ids.values())

    def of_part(self, part: Part, indexed: Indexed) -> list[Piece]:
        """But for what is joined."""
        is_whole = indexed.first >= self.first and indexed.last < self.end
        found: list[Piece] = []
        for cut in part.cuts:
            is_joined = part.id in self._joined_ids.get(cut.code, ())
            if not is_joined and self._is_asked(cut) and self._has(part, cut):
                rows = self._of_who(part.rows(cut))
                found.append((cut.code, rows if is_whole and not len(self._gone) else self._some(rows)))
        return found

    def of_joined(self) -> list[Piece]:
        found = [(code, self._of_who(each.rows)) for code, several in self.joined.items() for each in several]
        return [(code, self._some(rows)) for code, rows in found] if len(self._gone) else found

    def _of_who(self, rows: Rows) -> Rows:
        if self._who is None:
            return rows
        which: slice | NDArray[np.int64]
        if isinstance(self._who, range):
            which = slice(*np.searchsorted(rows.visitors, np.array((self._who.start, self._who.stop), np.uint32)))
        else:
            which = places_of(rows.visitors, self._who)
        return Rows(rows.visitors[which], rows.ticks[which], rows.values[which])

    def _has(self, part: Part, cut: parts.Cut) -> bool:
        """Whether it has records of the one who is asked for; of many it is not worth to look."""
        return not isinstance(self._who, range) or len(self._who) > 1 or self._who.start in part.visitors(cut)

    def blocks_of(self, part: Part) -> NDArray[np.intp]:
        """How many records the visitors of each block have, at most."""
        cuts = [cut for cut in part.cuts if self._is_asked(cut)]
        return np.bincount(np.concatenate([np.zeros(0, np.uint32), *map(part.visitors, cuts)]) // BLOCK)

    def _is_asked(self, cut: parts.Cut) -> bool:
        return (self._codes is None or cut.code in self._codes) and _touches(cut, self.first, self.end)

    def of_tails(self, tails: Sequence[Records]) -> list[Piece]:
        found: list[Piece] = []
        for tail in tails:
            if self._codes is not None:
                codes = np.array(sorted(self._codes), np.uint32)
                tail = parts.some_of(tail, np.isin(parts.column_of(tail.codes), codes))
            found += parts.sort(parts.some_of(tail, self._which(tail.visitors, tail.ticks)))
        return found

    def _some(self, rows: Rows) -> Rows:
        which = self._which(rows.visitors, rows.ticks)
        return Rows(rows.visitors[which], rows.ticks[which], rows.values[which])

    def _which(self, visitors: NDArray[np.uint32], ticks: NDArray[np.int64]) -> NDArray[np.bool_]:
        wanted: NDArray[np.bool_] = (ticks >= self.first) & (ticks < self.end)
        if len(self._gone):
            wanted &= ~np.isin(visitors, self._gone)
        if isinstance(self._who, range):
            wanted &= (visitors >= self._who.start) & (visitors < self._who.stop)
        elif self._who is not None:
            wanted &= np.isin(visitors, self._who)
        return wanted


def logged_of(pieces: Sequence[Piece], names: Names, is_incomplete: bool) -> Logged:
    of_codes: dict[int, list[Rows]] = {}
    for code, rows in pieces:
        if len(rows.ticks):
            of_codes.setdefault(code, []).append(rows)
    columns: dict[Said, Column] = {}
    values_of: dict[Said, list[str]] = {}
    for code, several in sorted(of_codes.items()):
        name = names.columns[code]
        columns[name] = Column(*parts.joined(several))
        if code & IS_PROPERTY:
            values_of[name] = names.values_of[code]
    return Logged(columns, values_of, is_incomplete)

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
from whale.store.contract.events import Column, Logged, Moment, Said, Wanted, Who
from whale.store.redis.compaction import Indexed, index_of, pairs
from whale.store.redis.connection import reachable, settled
from whale.store.redis.database import Database
from whale.store.redis.log_blocks import Counts, blocks_in, blocks_of, ranges_of
from whale.store.redis.log_cache import LogCache, Names, Part, PartGone, Standing, Words
from whale.store.redis.log_months import Joined, Known, Months
from whale.store.redis.log_parts import LogParts
from whale.sums import distinct
from whale.visitors import parts
from whale.visitors.entries import TICKS_A_MS, SiteLog
from whale.visitors.keyed import Keyed, keyed
from whale.visitors.parts import IS_PROPERTY, Records
from whale.visitors.tail import records_of

TRIES, FOR_EVER = 20, 2**62
T = TypeVar("T")
Piece = tuple[int, Keyed]
"""A column's code, and some of its records."""


class LogReader:
    """For many threads."""

    def __init__(self, database: Database, cache: LogCache, parts_: LogParts):
        self._database, self._client, self._cache, self._parts = database, database.client, cache, parts_
        self._words = database.script("words")
        self._months = Months(self._cache, self._parts)

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
                    wanted.join(self._months.joined(key, at.parts, wanted.codes, first, end))

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

    def _blocks(self, log: SiteLog, partition: int, wanted: Wanted) -> list[Counts]:
        """Of each part, and of the tails, how many records the visitors of each block have, at most. What fits is joined for it."""
        first, end = wanted.start_ms * TICKS_A_MS, wanted.end_ms * TICKS_A_MS
        asked: Asked | None = None

        def prepare(key: str, at: Snapshot) -> None:
            nonlocal asked
            asked = Asked(at, first, end, wanted.said, None)
            with suppress(PartGone):
                asked.join(self._months.joined(key, at.parts, asked.codes, first, end))

        def counted(_: Snapshot, part: Part, __: Indexed) -> list[Counts]:
            return cast(Asked, asked).blocks_of(part)

        at, of_parts, _ = self._read(log, partition, first, end, counted, prepare)
        joined = cast(Asked, asked).blocks_of_joined()
        return [
            *joined,
            *(each for some in of_parts for each in some),
            *(blocks_of(tail.visitors) for tail in at.tails),
        ]

    @reachable
    def said_in_log(self, log: SiteLog, partition: int) -> set[Said]:
        """Of parts the list of columns is read; who was erased alone is looked for in them."""

        def codes_in(at: Snapshot, part: Part, _: Indexed) -> set[int]:
            gone = np.array(at.gone, np.uint32)
            return {cut.code for cut in part.cuts if not (len(gone) and np.isin(part.visitors(cut), gone).all())}

        def prepare(key: str, at: Snapshot) -> None:
            with suppress(PartGone):
                self._parts.directories([f"{key}:b:{id_}" for id_ in at.parts])

        at, of_parts, _ = self._read(log, partition, 0, FOR_EVER, codes_in, prepare)
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

        def read_all(key: str, at: Snapshot) -> tuple[list[T], set[str]]:
            found, gone = list[T](), set[str]()
            prepare(key, at)
            for id_, indexed in at.parts.items():
                if indexed.first < end and indexed.last >= first:
                    try:
                        found.append(read(at, self._part(f"{key}:b:{id_}"), indexed))
                    except PartGone:
                        gone.add(id_)
            return found, gone

        return self.whole(log, partition, read_all)

    def whole(
        self, log: SiteLog, partition: int, read: Callable[[str, "Snapshot"], tuple[T, set[str]]]
    ) -> tuple["Snapshot", T, bool]:
        """A partition at one moment, what is read of it, and whether some parts of it are lost.

        read: its key and the moment -> what it says, and the parts that were gone.
        """
        key = self.key_of(log, partition)
        lacking: set[str] = set()
        for _ in range(TRIES):
            at = self.snapshot(key)
            found, gone = read(key, at)
            if gone <= lacking:  # it is no compaction: nobody has them
                return at, found, bool(gone)
            lacking = gone
        raise Unavailable(f"Redis: a part of the log of {log.site} was packed anew {TRIES} times while it was read")

    def key_of(self, log: SiteLog, partition: int) -> str:
        return self._database.keys(log.account).log(log.site, log.generation, partition)[1]

    def read_at(self, key: str, at: "Snapshot", asked: "Asked") -> Logged:
        """What is asked, as it was then. Raises PartGone where that is packed anew."""
        asked.join(self._months.joined(key, at.parts, asked.codes, asked.first, asked.end))
        pieces = asked.of_joined()
        for id_, indexed in at.parts.items():
            if indexed.first < asked.end and indexed.last >= asked.first:
                pieces += asked.of_part(self._part(f"{key}:b:{id_}"), indexed)
        return logged_of([*pieces, *asked.of_tails(at.tails)], at.names, False)._replace(moment=at.moment)

    def numbers(self, key: str) -> int:
        """That visitors of a partition have: all are below."""
        return int(self._client.hget(key, "n") or 0)

    def erasures(self, key: str) -> int:
        return int(self._client.hget(key, "y") or 0)

    def packed_tail(self, key: str, word: bytes) -> Records | None:
        """A frozen tail that was packed a moment ago."""
        raw = self._client.get(f"{key}:o:{word.decode()}")
        return None if raw is None else records_of(raw)

    def _part(self, key: str) -> Part:
        return self._parts.part(key)

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

    def records(self, first: int, end: int) -> int:
        """That may lie in [first, end)."""
        of_parts = sum(each.records for each in self.parts.values() if each.first < end and each.last >= first)
        return of_parts + sum(len(tail.ticks) for tail in self.tails)


def _touches(cut: parts.Cut, first: int, end: int) -> bool:
    return cut.start * parts.TICKS_A_S < end and cut.end * parts.TICKS_A_S > first


class Asked:
    """Which records are asked for; nothing else of a part is unpacked."""

    def __init__(self, at: Snapshot, first: int, end: int, said: Container[Said] | None, who: Who):
        self.first, self.end, self._who, self._gone = first, end, who, np.array(at.gone, np.uint32)
        self._codes = None if said is None else {code for code, name in at.names.columns.items() if name in said}
        self.codes = at.names.columns.keys() if self._codes is None else self._codes
        self._joined: dict[int, list[Joined]] = {}
        self._large: set[int] = set()
        self._joined_ids: dict[int, set[str]] = {}

    def join(self, known: Known) -> None:
        """What of full parts is known together."""
        self._joined, self._large = known
        self._joined_ids = {
            code: set[str]().union(*(each.ids for each in several)) for code, several in known.columns.items()
        }

    def of_part(self, part: Part, indexed: Indexed) -> list[Piece]:
        """But for what is joined."""
        is_whole = indexed.first >= self.first and indexed.last < self.end
        found: list[Piece] = []
        for cut in self._left_of(part):
            if self._has(part, cut):
                found.append(
                    (cut.code, self._some(self._of_who(part.keyed(cut, cut.code not in self._large)).alone(), is_whole))
                )
        return found

    def of_joined(self) -> list[Piece]:
        return [
            (code, self._some(self._of_who(each.column), each.first >= self.first and each.last < self.end))
            for code, several in self._joined.items()
            for each in several
        ]

    def blocks_of_joined(self) -> list[Counts]:
        return [blocks_in(each.column) for several in self._joined.values() for each in several]

    def blocks_of(self, part: Part) -> list[Counts]:
        """How many records the visitors of each block have in it, at most, but for what is joined."""
        return [part.blocks(cut) for cut in self._left_of(part)]

    def _left_of(self, part: Part) -> list[parts.Cut]:
        """The columns that are asked for and not joined."""
        joined = {code for code, ids in self._joined_ids.items() if part.id in ids}
        if len(joined) == len(self.codes):
            return []
        return [cut for cut in part.cuts if cut.code not in joined and self._is_asked(cut)]

    def _of_who(self, column: Keyed) -> Keyed:
        if self._who is None:
            return column
        if isinstance(self._who, range):
            return column.between(self._who.start, self._who.stop)
        return column.of(self._who)

    def _some(self, column: Keyed, is_whole: bool) -> Keyed:
        """is_whole: all of it is in time."""
        if not is_whole:
            column = column.within(self.first, self.end)
        return column.some(~np.isin(column.visitors, self._gone)) if len(self._gone) else column

    def _has(self, part: Part, cut: parts.Cut) -> bool:
        """Whether it has records of the one who is asked for; of many it is not worth to look."""
        return not isinstance(self._who, range) or len(self._who) > 1 or self._who.start in part.visitors(cut)

    def _is_asked(self, cut: parts.Cut) -> bool:
        return (self._codes is None or cut.code in self._codes) and _touches(cut, self.first, self.end)

    def of_tails(self, tails: Sequence[Records]) -> list[Piece]:
        found: list[Piece] = []
        for tail in tails:
            if self._codes is not None:
                codes = np.array(sorted(self._codes), np.uint32)
                tail = parts.some_of(tail, np.isin(parts.column_of(tail.codes), codes))
            for code, rows in parts.sort(parts.some_of(tail, self._which(tail.visitors, tail.ticks))):
                found += [(code, each) for each in keyed(*rows)]
        return found

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
    of_codes: dict[int, list[Keyed]] = {}
    for code, column in pieces:
        if len(column.keys):
            of_codes.setdefault(code, []).append(column)
    columns: dict[Said, Column] = {}
    values_of: dict[Said, list[str]] = {}
    for code, several in sorted(of_codes.items()):
        name = names.columns[code]
        columns[name] = Column.of(several)
        if code & IS_PROPERTY:
            values_of[name] = names.values_of[code]
    return Logged(columns, values_of, is_incomplete)

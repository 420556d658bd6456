"""Columns of parts as sets of visitors: their planes of visitors are fetched and unpacked, and times only where they are wanted too.

What is unpacked is remembered, see log_cache.py. Much of it is unpacked by two threads, as zlib and numpy let others run meanwhile; a
process does so for one question at a time.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import NamedTuple

from whale.store.redis.log_cache import WHO, LogCache, kept
from whale.store.redis.log_parts import Directory, LogParts
from whale.turns import Turns
from whale.visitors import crowd
from whale.visitors.columns import decode_steps
from whale.visitors.crowd import Crowd
from whale.visitors.keyed import Keyed
from whale.visitors.parts import Cut, keyed_of

SHARE = 1 / 8
"""Of what a process remembers of logs, that columns with times may take which one question reads."""
BATCH_BYTES, LARGE_BYTES = 500_000, 4_000_000
"""Of columns that are fetched at once, and unpacked by one thread; and of those for which a question waits for its turn."""
KEY_BYTES = 8
THREADS, AHEAD = 2, 4
WAITING = 4
Name = tuple[str, int] | tuple[str, int, str]


class Column(NamedTuple):
    """Of a part. key: of the part.  begin: where its columns do.  has_times: these are wanted too."""

    part: str
    key: str
    cut: Cut
    begin: int
    has_times: bool

    @property
    def name(self) -> Name:
        """Under which it is remembered; with times as of any other question."""
        return (self.key, self.cut.offset) if self.has_times else (self.key, self.cut.offset, WHO)

    @property
    def packed_bytes(self) -> int:
        return self.cut.bytes if self.has_times else self.cut.visitor_bytes

    @property
    def keyed_bytes(self) -> int:
        return KEY_BYTES * self.cut.records if self.has_times else 0


Found = Crowd | Keyed | None
"""None: it is not there any more."""


class Planes:
    """For many threads."""

    def __init__(self, parts: LogParts, cache: LogCache):
        self._parts, self._cache = parts, cache
        self._turns = Turns(WAITING, "too many large questions at once: try again in a second")

    def directories(self, keys: Sequence[str]) -> list[Directory | None]:
        """Of parts; None of one that is not there."""
        return self._parts.directories_there(keys)

    def found(self, columns: Sequence[Column]) -> Iterator[tuple[Column, Found]]:
        """Each of some columns, what is known of them first. Raises Busy."""
        lacking = list[Column]()
        for column in columns:
            known = self._cache.known(column.name)
            if known is None:
                lacking.append(column)
            else:
                yield column, known
        is_large = sum(column.packed_bytes for column in lacking) > LARGE_BYTES
        with self._turns.turn() if is_large else nullcontext():
            to_keep = self._to_keep(lacking)
            for some, found in self._by_turns(_batches(lacking)):
                for column, each in zip(some, found, strict=True):
                    if each is not None and column.name in to_keep:
                        self._cache.keep(column.name, each, _bytes_of(each))
                    yield column, each

    def _to_keep(self, columns: Sequence[Column]) -> set[Name]:
        """All, but of those with times the last ones alone that take a SHARE together."""
        room_left = SHARE * self._cache.most
        found = set[Name]()
        for column in reversed(columns):
            room_left -= column.keyed_bytes
            if room_left >= 0 or not column.has_times:
                found.add(column.name)
        return found

    def _by_turns(self, batches: Sequence[Sequence[Column]]) -> Iterator[tuple[Sequence[Column], list[Found]]]:
        """Each batch with what was found; a few of them wait."""
        if len(batches) < 2:
            yield from ((batch, self._unpacked(batch)) for batch in batches)
            return
        with ThreadPoolExecutor(THREADS, "planes") as pool:
            coming: deque[tuple[Sequence[Column], Future[list[Found]]]] = deque()
            for batch in batches:
                coming.append((batch, pool.submit(self._unpacked, batch)))
                if len(coming) > AHEAD:
                    before, future = coming.popleft()
                    yield before, future.result()
            for before, future in coming:
                yield before, future.result()

    def _unpacked(self, some: Sequence[Column]) -> list[Found]:
        raws = self._parts.ranges([(each.key, each.begin + each.cut.offset, each.packed_bytes) for each in some])
        return [_unpacked(each, raw) for each, raw in zip(some, raws, strict=True)]


def _unpacked(column: Column, raw: bytes) -> Found:
    if len(raw) < column.packed_bytes:
        return None
    if not column.has_times:
        return crowd.of_steps(decode_steps(raw))
    return kept(keyed_of(raw, column.cut, -column.cut.offset))


def _bytes_of(found: Crowd | Keyed) -> int:
    return found.bytes if isinstance(found, Keyed) else found.nbytes


def _batches(columns: Sequence[Column]) -> list[list[Column]]:
    found: list[list[Column]] = []
    room_left = 0
    for column in columns:
        room_left -= column.packed_bytes
        if room_left < 0:
            found.append([])
            room_left = BATCH_BYTES - column.packed_bytes
        found[-1].append(column)
    return found

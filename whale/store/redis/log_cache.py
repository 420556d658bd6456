"""What a reader of visitor logs remembers, so that the next question about the same days fetches and unpacks nothing again.

A part never changes, and its name never comes again: its columns stay, whatever becomes of the server. Everything else (tails, the index,
names, who is erased) is of one run of a server: after an older file of writes, or on a replica that takes over, the same words and lengths
may mean something else. Bounded in bytes; what was not asked for longest goes first.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from hail.room import COST, MEGABYTE, Bounded
from whale.store.redis.compaction import Indexed, column_code
from whale.store.redis.log_blocks import Counts, blocks_in, blocks_of
from whale.visitors import parts
from whale.visitors.columns import Rows, rows_of
from whale.visitors.entries import EVENT, EVENT_PROPERTY, PROPERTY
from whale.visitors.keyed import Keyed
from whale.visitors.parts import Cut, Records

WHO, CUTS, BLOCKS = "who", "cuts", "blocks"
T = TypeVar("T")
Said = tuple[str, str]


class Words(NamedTuple):
    """The run of a server; the words of a tail, a frozen tail and an index; how many tails were frozen, and how many ids erased."""

    run: bytes
    tail: bytes
    frozen: bytes
    of_index: bytes
    tails: bytes
    erased: bytes


class PartGone(Exception):
    """It was packed anew, or is lost."""


class Names:
    """What the codes of a partition stand for. raw: the hash of its names, see log.lua."""

    def __init__(self, raw: dict[bytes, bytes]):
        self.fields, self.bytes = len(raw), sum(map(len, raw))
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


class Standing(NamedTuple):
    """Of a partition at one moment, by these words: what is frozen, the tail and its bytes, parts by their ids, and names."""

    words: Words
    frozen: Records
    tail: Records
    tail_bytes: int
    parts: dict[str, Indexed]
    names: Names


class LogCache:
    """For many threads."""

    def __init__(self, megabytes: float):
        self.most = megabytes * MEGABYTE
        self._kept: Bounded[tuple[Any, ...], tuple[Any, int]] = Bounded(
            "columns of logs", megabytes * MEGABYTE, lambda _, entry: 3 * COST + entry[1]
        )

    def standing(self, key: str) -> Standing | None:
        return cast(Standing | None, self.known((key,)))

    def stands(self, key: str, standing: Standing) -> None:
        size = bytes_of(standing.frozen) + bytes_of(standing.tail)
        size += 2 * COST * (len(standing.parts) + standing.names.fields) + standing.names.bytes
        self._kept.keep((key,), (standing, size))

    def part(self, key: str, fetch: Callable[[], bytes | None]) -> "Part":
        """key: of the part.  fetch: its bytes."""
        return Part(self, key, fetch)

    def keep(self, name: tuple[Any, ...], found: Any, size: int) -> None:
        self._kept.keep(name, (found, size))

    def get(self, name: tuple[Any, ...], make: Callable[[], T], size_of: Callable[[T], int]) -> T:
        found = self.known(name)
        if found is None:
            found = make()
            self.keep(name, found, size_of(found))
        return cast(T, found)

    def known(self, name: tuple[Any, ...]) -> Any:
        entry = self._kept.get(name)
        if entry is None:
            return None
        self._kept.renew(name)
        return entry[0]


class Part:
    """A part whose bytes are fetched once, where something of it is not remembered; raises PartGone. For one thread."""

    def __init__(self, cache: LogCache, key: str, fetch: Callable[[], bytes | None]):
        self._cache, self.key, self._fetch, self._bytes = cache, key, fetch, b""

    @property
    def id(self) -> str:
        return self.key.rpartition(":b:")[2]

    @property
    def cuts(self) -> Sequence[Cut]:
        return self._directory[0]

    def visitors(self, cut: Cut) -> NDArray[np.uint32]:
        """Of a column's records, in order."""

        def unpacked() -> NDArray[np.uint32]:
            return parts.visitors_in(self._whole(), cut, self._directory[1])

        return self._cache.get((self.key, cut.offset, "visitors"), unpacked, lambda found: found.nbytes)

    def keyed(self, cut: Cut, is_kept: bool = True) -> Keyed:
        """Of a column its records. is_kept: they are remembered."""

        def unpacked() -> Keyed:
            return kept(parts.keyed_of(self._whole(), cut, self._directory[1]))

        if not is_kept:
            known: Keyed | None = self._cache.known((self.key, cut.offset))
            return unpacked() if known is None else known

        return self._cache.get((self.key, cut.offset), unpacked, lambda found: found.bytes)

    def rows(self, cut: Cut) -> Rows:
        return rows_of(self.keyed(cut))

    def blocks(self, cut: Cut) -> Counts:
        """How many records the visitors of each block have."""

        def counted() -> Counts:
            known = self._cache.known((self.key, cut.offset))
            if known is not None:
                return blocks_in(known)
            return blocks_of(parts.visitors_in(self._whole(), cut, self._directory[1]))

        return self._cache.get((self.key, cut.offset, BLOCKS), counted, lambda found: found.nbytes)

    @property
    def _directory(self) -> tuple[list[Cut], int]:
        return self._cache.get(
            (self.key, CUTS), lambda: parts.directory_of(self._whole()), lambda found: 2 * COST * len(found[0])
        )

    def _whole(self) -> bytes:
        if not self._bytes:
            self._bytes = self._fetch() or b""
        if not self._bytes:
            raise PartGone
        return self._bytes


def kept(column: Keyed) -> Keyed:
    """To remember: nobody writes into it."""
    for each in column[1:]:
        if each is not None:
            each.setflags(write=False)
    return column


def bytes_of(records: Records) -> int:
    return sum(int(column.nbytes) for column in records)

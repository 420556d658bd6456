"""Full parts of a month, whose columns are joined once, for the questions that read much of them.

A part that is packed full is never packed anew; it goes with its age, or when somebody in it is erased. So what full parts of a month say
of one event stays as it is, and is joined and kept as one column, 8 bytes an event. A part that was full later is read beside it, until
there are FEW.

Of parts that are joined the columns that are asked for alone are fetched, some parts at a time. Two threads unpack them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple, cast

from whale.store.redis.compaction import SMALL_BYTES, Indexed
from whale.store.redis.log_cache import LogCache, PartGone, kept
from whale.store.redis.log_parts import LogParts
from whale.visitors import keyed, parts
from whale.visitors.keyed import Keyed
from whale.visitors.parts import IS_PROPERTY, Cut

FEW = 4
"""Full parts of a month beside those that are joined."""
LEAST = 1 / 4
"""Of the records of a month that a question reads, from which on it reads what is joined."""
SHARE = 0.75
"""Of what a process remembers of logs. What is larger is read part by part, as nothing of it would be remembered."""
EVENT_BYTES, PROPERTY_BYTES = 8, 10
BATCH_BYTES = 2_000_000
"""Of columns that a thread fetches and unpacks at once."""
THREADS = 2
RECORDS = "records"
Ids = frozenset[str]


class Joined(NamedTuple):
    """A column, of these parts. first, last: the earliest and the latest tick of the parts."""

    ids: Ids
    column: Keyed
    first: int
    last: int


class Known(NamedTuple):
    """Of each code its columns, by months. large: codes that do not fit beside them, and would push out everything else."""

    columns: dict[int, list[Joined]]
    large: set[int]


class _Month(NamedTuple):
    """Full parts by their ids. records: of each code."""

    start: int
    parts: dict[str, Indexed]
    records: dict[int, int]


class Months:
    """For many threads."""

    def __init__(self, cache: LogCache, fetched: LogParts):
        self._cache, self._parts = cache, fetched

    def joined(self, key: str, index: Mapping[str, Indexed], codes: Collection[int], first: int, end: int) -> Known:
        """Of those codes that fit into SHARE of what is remembered, the smallest first.

        index: all parts of a partition.  first, end: the ticks that are asked for; some of a month is outside. Raises PartGone.
        """
        months = [self._month(key, start, full) for start, full in _full(index, first, end)]
        found: dict[int, list[Joined]] = {}
        fit, large = self._that_fit(months, codes)
        for month in months:
            for code, column in self._of_month(key, month, [code for code in fit if code in month.records]).items():
                found.setdefault(code, []).append(column)
        return Known(found, large)

    def _month(self, key: str, start: int, full: dict[str, Indexed]) -> _Month:
        ids, name = frozenset(full), (key, start, RECORDS)
        known = self._cache.known(name)
        if known is None or known[0] != ids:
            records: dict[int, int] = {}
            for cuts, _ in self._parts.directories([f"{key}:b:{id_}" for id_ in full]):
                for cut in cuts:
                    records[cut.code] = records.get(cut.code, 0) + cut.records
            known = ids, records
            self._cache.keep(name, known, 100 * (len(ids) + len(records)))
        return _Month(start, full, known[1])

    def _that_fit(self, months: Sequence[_Month], codes: Collection[int]) -> tuple[list[int], set[int]]:
        """And those that are large."""
        sizes = {
            code: sum(month.records.get(code, 0) for month in months)
            * (PROPERTY_BYTES if code & IS_PROPERTY else EVENT_BYTES)
            for code in codes
        }
        held, fit, large = 0, list[int](), set[int]()
        for code, size in sorted(sizes.items(), key=lambda each: each[1]):
            held += size
            if size and held <= SHARE * self._cache.most:
                fit.append(code)
            elif held > self._cache.most:
                large.add(code)
        return fit, large

    def _of_month(self, key: str, month: _Month, codes: Sequence[int]) -> dict[int, Joined]:
        ids, found, lacking = frozenset(month.parts), dict[int, Joined](), list[int]()
        for code in codes:
            known = self._cache.known((key, month.start, code))
            if known and known.ids <= ids and len(ids - known.ids) < FEW:
                found[code] = cast(Joined, known)
            else:
                lacking.append(code)
        if lacking:
            span = min(each.first for each in month.parts.values()), max(each.last for each in month.parts.values())
            for code, column in self._unpacked([f"{key}:b:{id_}" for id_ in month.parts], lacking):
                found[code] = joined = Joined(ids, kept(column), *span)
                self._cache.keep((key, month.start, code), joined, column.bytes + 100 * len(ids))
        return found

    def _unpacked(self, keys: Sequence[str], codes: Collection[int]) -> Iterator[tuple[int, Keyed]]:
        """Of each code what the parts say together."""
        spans = [
            (key, begin + first.offset, stretch)
            for key, (cuts, begin) in zip(keys, self._parts.directories(keys), strict=True)
            for stretch in _stretches([cut for cut in cuts if cut.code in codes])
            for first in stretch[:1]
        ]
        with ThreadPoolExecutor(THREADS, "months") as pool:
            pieces: dict[int, list[Keyed]] = {}
            for some in pool.map(self._columns, _batches(spans)):
                for code, column in some:
                    pieces.setdefault(code, []).append(column)
            yield from pool.map(lambda code: (code, keyed.joined(pieces.pop(code))), list(pieces))

    def _columns(self, spans: Sequence["_Span"]) -> list[tuple[int, Keyed]]:
        wanted = [(key, begin, sum(cut.bytes for cut in stretch)) for key, begin, stretch in spans]
        found = []
        for raw, (_, _, size), (_, _, stretch) in zip(self._parts.ranges(wanted), wanted, spans, strict=True):
            if len(raw) != size:
                raise PartGone
            found += [(cut.code, parts.keyed_of(raw, cut, -stretch[0].offset)) for cut in stretch]
        return found


_Span = tuple[str, int, Sequence[Cut]]
"""Of a part: where columns begin that lie one after the other, and these."""


def _full(index: Mapping[str, Indexed], first: int, end: int) -> Iterator[tuple[int, dict[str, Indexed]]]:
    """The months of which enough is asked for, with their full parts."""
    months: dict[int, dict[str, Indexed]] = {}
    for id_, indexed in index.items():
        if indexed.bytes >= SMALL_BYTES:
            months.setdefault(indexed.start, {})[id_] = indexed
    for start, full in months.items():
        touched = sum(each.records for each in full.values() if each.first < end and each.last >= first)
        if len(full) > 1 and touched >= LEAST * sum(each.records for each in full.values()):
            yield start, full


def _stretches(cuts: Sequence[Cut]) -> list[list[Cut]]:
    """Those that lie one after the other."""
    found = [list(cuts[:1])] if cuts else []
    for before, cut in pairwise(cuts):
        if before.offset + before.bytes == cut.offset:
            found[-1].append(cut)
        else:
            found.append([cut])
    return found


def _batches(spans: Sequence[_Span]) -> list[list[_Span]]:
    found: list[list[_Span]] = []
    room_left = 0
    for span in spans:
        if room_left <= 0:
            found.append([])
            room_left = BATCH_BYTES
        found[-1].append(span)
        room_left -= sum(cut.bytes for cut in span[2])
    return found

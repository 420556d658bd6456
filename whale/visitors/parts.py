"""A part: records of one month of an account's zone, packed once and never changed. Its columns are found by a directory at its head.

    u32 bytes of the directory, msgpack [[code, start, end, offset, bytes of visitors, bytes, records], …], columns

code: of an event, or of a property without its value.  start, end: s, what the column covers. Offsets count from the first column.
A column that has many records is cut at the account's days, so that a question about some days reads no more than these. What it
covers is kept as instants: where the rules of a zone change later, its times are as right as before.
"""

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from hail.settings import DAY, MONTH
from whale.period import month_start, next_start, starts
from whale.sums import distinct
from whale.visitors.columns import Rows, decode, decode_keyed, decode_visitors, encode, visitor_bytes
from whale.visitors.entries import TICKS_A_MS
from whale.visitors.keyed import Keyed

TICKS_A_S = 1000 * TICKS_A_MS
MANY = 65_536
"""Records of a column beyond which it is cut at days."""
IS_PROPERTY, IS_OF_EVENT = 1 << 31, 1 << 30
VALUE_BITS = 20
VALUE = (1 << VALUE_BITS) - 1

_pack = msgspec.msgpack.Encoder().encode


class Cut(NamedTuple):
    """A row of the directory."""

    code: int
    start: int
    end: int
    offset: int
    visitor_bytes: int
    bytes: int
    records: int


_cuts = msgspec.msgpack.Decoder(list[Cut]).decode


NONE = (1).to_bytes(4, "little") + _pack([])
"""A part of nothing."""


class Records(NamedTuple):
    """As they wait: in no order. ticks: since 1970.  codes: as contract/events.py's names are numbered in their partition."""

    visitors: NDArray[np.uint32]
    ticks: NDArray[np.int64]
    codes: NDArray[np.uint32]


def column_of(codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Of each code the column that it stands in: an event's own, or that of all values of the property."""
    return np.where(codes & np.uint32(IS_PROPERTY), codes & ~np.uint32(VALUE), codes)


def value_of(codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return np.where(codes & np.uint32(IS_PROPERTY), codes & np.uint32(VALUE), np.uint32(0))


def sort(records: Records) -> Iterator[tuple[int, Rows]]:
    """Each column with its records, in order of their ticks since 1970."""
    columns = column_of(records.codes)
    names = distinct(columns)
    place = np.searchsorted(names, columns).astype(np.min_scalar_type(len(names)))  # few bits are sorted by counting
    order = np.argsort(place, kind="stable")
    visitors, ticks, values = records.visitors[order], records.ticks[order], value_of(records.codes[order])
    ends = np.cumsum(np.bincount(place, minlength=len(names))).tolist()
    for code, begin, end in zip(names.tolist(), [0, *ends], ends, strict=False):
        yield code, in_order(Rows(visitors[begin:end], ticks[begin:end], values[begin:end]))


def in_order(rows: Rows, are_runs: bool = False) -> Rows:
    """Records of one column, sorted. Most have a visitor and a tick that fit into 64 bits, and are sorted as one number.

    are_runs: they are some that were sorted, one after the other; then these are merged.
    """
    visitors, ticks, values = rows
    first = int(ticks.min())
    bits = int(ticks.max() - first).bit_length()
    if bits + int(visitors.max()).bit_length() <= 64:
        keys = visitors.astype(np.uint64) << np.uint64(bits) | (ticks - first).astype(np.uint64)
        if not values.any():
            keys.sort(kind="stable" if are_runs else None)
            since = keys & np.uint64((1 << bits) - 1)
            return Rows((keys >> np.uint64(bits)).astype(np.uint32), since.astype(np.int64) + first, values)
        order = np.argsort(keys)
        sorted_keys = keys[order]
        if (sorted_keys[1:] != sorted_keys[:-1]).all():
            return Rows(visitors[order], ticks[order], values[order])
    order = np.lexsort((values, ticks, visitors))
    return Rows(visitors[order], ticks[order], values[order])


def joined(several: Sequence[Rows]) -> Rows:
    """Records of one column, each of several in order, together in order.

    Parts of different days come after one another: then only visitors are sorted, which merges what is in order already.
    """
    if len(several) == 1:
        return several[0]
    spans = sorted((int(rows.ticks.min()), int(rows.ticks.max()), place) for place, rows in enumerate(several))
    ordered = [several[place] for *_, place in spans]
    rows = Rows(*(np.concatenate(columns) for columns in zip(*ordered, strict=True)))
    if any(before[1] >= after[0] for before, after in itertools.pairwise(spans)):
        return in_order(rows, are_runs=True)
    order = np.argsort(rows.visitors, kind="stable")
    return Rows(rows.visitors[order], rows.ticks[order], rows.values[order])


def months(ticks: NDArray[np.int64], zone: str) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """The months that some records lie in, by their starts; and which of them lie there."""
    if not len(ticks):
        return
    first, last = (int(tick) // TICKS_A_S for tick in (ticks.min(), ticks.max()))
    begins = [month_start(first, zone)]
    while (after := next_start(MONTH, begins[-1], zone)) <= last:
        begins.append(after)
    which = np.searchsorted(np.array(begins) * TICKS_A_S, ticks, "right") - 1
    for place in np.flatnonzero(np.bincount(which)).tolist():
        yield begins[place], which == place


def some_of(records: Records, which: NDArray[np.bool_]) -> Records:
    return Records(records.visitors[which], records.ticks[which], records.codes[which])


def merged(several: Sequence[Records]) -> Records:
    visitors, ticks, codes = zip(*several, strict=True)
    return Records(np.concatenate(visitors), np.concatenate(ticks), np.concatenate(codes))


def make(records: Records, start: int, zone: str) -> bytes:
    """The part of these records. start: of the month that they lie in."""
    end = next_start(MONTH, start, zone)
    cuts: list[Cut] = []
    columns: list[bytes] = []
    offset = 0
    for code, rows in sort(records):
        for from_, to, some in _cut(rows, start, end, zone):
            column = encode(some._replace(ticks=some.ticks - from_ * TICKS_A_S))
            cuts.append(Cut(code, from_, to, offset, visitor_bytes(column), len(column), len(some.ticks)))
            columns.append(column)
            offset += len(column)
    return _joined(cuts, columns)


def _cut(rows: Rows, start: int, end: int, zone: str) -> Iterator[tuple[int, int, Rows]]:
    if len(rows.ticks) <= MANY:
        yield start, end, rows
        return
    days = list(starts(DAY, start, end, zone))
    day = (np.searchsorted(np.array(days) * TICKS_A_S, rows.ticks, "right") - 1).astype(np.uint8)
    order = np.argsort(day, kind="stable")
    ends = np.cumsum(np.bincount(day, minlength=len(days))).tolist()
    for from_, to, begin, after in zip(days, [*days[1:], end], [0, *ends], ends, strict=False):
        if begin < after:
            mine = order[begin:after]
            yield from_, to, Rows(rows.visitors[mine], rows.ticks[mine], rows.values[mine])


def without(part: bytes, gone: NDArray[np.uint32]) -> bytes | None:
    """The part without the records of some visitors, b"" where none are left; None where it has none of theirs. Other columns stay
    as they are.
    """
    cuts, first = directory_of(part)
    kept: list[Cut] = []
    columns: list[bytes] = []
    offset, is_other = 0, False
    for cut in cuts:
        begin = first + cut.offset
        column = part[begin : begin + cut.bytes]
        if np.isin(decode_visitors(column[: cut.visitor_bytes]), gone).any():
            is_other = True
            rows = decode(column)
            mine = ~np.isin(rows.visitors, gone)
            if not mine.any():
                continue
            rows = Rows(rows.visitors[mine], rows.ticks[mine], rows.values[mine])
            column = encode(rows)
            cut = cut._replace(visitor_bytes=visitor_bytes(column), bytes=len(column), records=len(rows.ticks))
        kept.append(cut._replace(offset=offset))
        columns.append(column)
        offset += len(column)
    if not is_other:
        return None
    return _joined(kept, columns) if kept else b""


def _joined(cuts: Sequence[Cut], columns: Sequence[bytes]) -> bytes:
    directory = _pack(cuts)
    return len(directory).to_bytes(4, "little") + directory + b"".join(columns)


def size(part: bytes) -> int:
    """How many records it has."""
    return sum(cut.records for cut in directory_of(part)[0])


def directory_of(part: bytes) -> tuple[list[Cut], int]:
    """Its rows, and where its columns begin."""
    first = 4 + int.from_bytes(part[:4], "little")
    return _cuts(part[4:first]), first


def rows_of(part: bytes, cut: Cut, first: int) -> Rows:
    """A column with its ticks since 1970. first: where the columns begin."""
    begin = first + cut.offset
    rows = decode(part[begin : begin + cut.bytes])
    return rows._replace(ticks=rows.ticks + cut.start * TICKS_A_S)


def keyed_of(part: bytes, cut: Cut, first: int) -> Keyed:
    """The same, by keys."""
    begin = first + cut.offset
    return decode_keyed(part[begin : begin + cut.bytes], cut.start * TICKS_A_S)


def visitors_in(part: bytes, cut: Cut, first: int) -> NDArray[np.uint32]:
    """The visitors of a column's records; reads no times. first: where the columns begin."""
    begin = first + cut.offset
    return decode_visitors(part[begin : begin + cut.visitor_bytes])


def visitors_of(part: bytes) -> list[NDArray[np.uint32]]:
    """Who had the events of each of its columns; reads no times."""
    cuts, first = directory_of(part)
    return [visitors_in(part, cut, first) for cut in cuts if not cut.code & IS_PROPERTY]


def codes_in(part: bytes, columns: Collection[int]) -> set[int]:
    """The codes of the records in some columns."""
    cuts, first = directory_of(part)
    wanted = [cut for cut in cuts if cut.code in columns]
    return {value | cut.code for cut in wanted for value in distinct(rows_of(part, cut, first).values).tolist()}


def values_in(part: bytes, visitors: NDArray[np.uint32]) -> set[int]:
    """The codes of the values of properties that some visitors have."""
    cuts, first = directory_of(part)
    found = set[int]()
    for cut in cuts:
        if cut.code & IS_PROPERTY and np.isin(visitors_in(part, cut, first), visitors).any():
            rows = rows_of(part, cut, first)
            mine = distinct(rows.values[np.isin(rows.visitors, visitors)])
            found |= {value | cut.code for value in mine.tolist()}
    return found


def records_of(part: bytes) -> Records:
    """All of it, in no order."""
    cuts, first = directory_of(part)
    columns = [(cut.code, rows_of(part, cut, first)) for cut in cuts]
    nothing = Records(np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.uint32))
    return merged(
        [nothing, *(Records(rows.visitors, rows.ticks, rows.values | np.uint32(code)) for code, rows in columns)]
    )

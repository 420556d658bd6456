"""The tail of a partition of the visitor log: records as they wait to be packed, appended by log.lua.

    a record     u32 visitor, u16 UTC day, u32 tick of it, u32 code
    a block      of many records that one call brought: a record that says BLOCK in place of a visitor, the day of the first record, u16
                 visitors and u16 codes, and in place of a code how many records; then u32 visitors, u32 codes, and the records as they
                 came: u16 place of the visitor, u16 place of the code, u16 UTC day, u32 tick

So many records of a call cost its server no more than its visitors and names do.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whale.visitors.entries import DAY_TICKS
from whale.visitors.parts import Records, merged

RECORD = np.dtype([("visitor", "<u4"), ("day", "<u2"), ("tick", "<u4"), ("code", "<u4")])
PLACED = np.dtype([("row", "<u2"), ("name", "<u2"), ("day", "<u2"), ("tick", "<u4")])
BLOCK = 2**32 - 1
LOOK = 256


def records_of(tail: bytes) -> Records:
    """All of them, in no order."""
    some = list(_some(tail))
    return merged(some) if len(some) != 1 else some[0]


def _some(tail: bytes) -> Iterator[Records]:
    at, size = 0, RECORD.itemsize
    while at + size <= len(tail):
        head = np.frombuffer(tail, RECORD, 1, at)[0]
        if head["visitor"] == BLOCK:
            rows, names, count = int(head["tick"]) & 0xFFFF, int(head["tick"]) >> 16, int(head["code"])
            visitors = np.frombuffer(tail, "<u4", rows, at + size)
            codes = np.frombuffer(tail, "<u4", names, at + size + 4 * rows)
            at += size + 4 * rows + 4 * names
            placed = np.frombuffer(tail, PLACED, count, at)
            at += count * PLACED.itemsize
            yield Records(visitors[placed["row"]], _ticks(placed), codes[placed["name"]])
        else:
            count = _until_block(tail, at)
            records = np.frombuffer(tail, RECORD, count, at)
            at += count * size
            yield Records(records["visitor"], _ticks(records), records["code"])
    if at == 0:
        yield Records(np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.uint32))


def _until_block(tail: bytes, at: int) -> int:
    """How many records lie there before the next block, or the end."""
    left, found, look = (len(tail) - at) // RECORD.itemsize, 0, LOOK
    while found < left:
        some = np.frombuffer(tail, RECORD, min(look, left - found), at + found * RECORD.itemsize)
        blocks = np.flatnonzero(some["visitor"] == BLOCK)
        if len(blocks):
            return found + int(blocks[0])
        found, look = found + len(some), 2 * look
    return left


def _ticks(records: NDArray[Any]) -> NDArray[np.int64]:
    ticks: NDArray[np.int64] = records["day"].astype(np.int64) * DAY_TICKS + records["tick"]
    return ticks

"""A column of the visitor log as bytes: records of one event or one property within a month, by visitor, tick and value.

    small      "\\0" and a varint each: [visitors that lie between, ticks since, value] of each record
    packed     "\\1", a head of 20 bytes, then planes: those of visitors, those of times, those of values

The planes of visitors come first and by themselves, so that counting visitors reads and unpacks nothing else. Times are kept as ms
since the event before of the same visitor, else since the first of the column, a plane for each of their bytes; the ticks within a
ms as a plane of their own, which is absent in most. A plane is packed where a sample says that it helps: the low bytes of times are
random, and to try them took most of the time.

    head       u32 records, u32 first ms, u8 planes of times, u8 bytes of a value, u8 has ranks, u8 nothing,
               u32 steps between visitors that are large, u32 bytes of the planes of visitors
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whale.visitors.entries import TICKS_A_MS
from whale.visitors.keyed import TICK_BITS, Keyed

FEW = 64
"""Records below which a plane costs more than it saves."""
SMALL, PACKED = b"\0", b"\1"
LARGE = 255
SAMPLE, HELPS = 4096, 0.9
MOST_ALONE = 4
"""Records for each that follows another one of its visitor."""
_HEAD = struct.Struct("<IIBBBxII")
_TYPES: dict[int, np.dtype[Any]] = {width: np.dtype(f"<u{width}") for width in (1, 2, 4)}


class Rows(NamedTuple):
    """Sorted records. ticks: since the beginning of what they lie in."""

    visitors: NDArray[np.uint32]
    ticks: NDArray[np.int64]
    values: NDArray[np.uint32]


def encode(rows: Rows) -> bytes:
    return _small(rows) if len(rows.ticks) < FEW else _packed(rows)


def decode(column: bytes) -> Rows:
    return rows_of(decode_keyed(column, 0))


def rows_of(keyed: Keyed) -> Rows:
    """ticks: since 1970."""
    values = np.zeros(len(keyed.keys), np.uint32) if keyed.values is None else keyed.values.astype(np.uint32)
    return Rows(keyed.visitors, keyed.ticks, values)


def decode_keyed(column: bytes, first: int) -> Keyed:
    """first: the tick since which its own count."""
    if column[:1] == SMALL:
        rows = _of_small(column)
        keys = rows.visitors.astype(np.uint64) << np.uint64(TICK_BITS) | rows.ticks.astype(np.uint64)
        return Keyed(first, keys, rows.values if rows.values.any() else None)
    count, first_ms, planes, width, has_ranks, large, size = _HEAD.unpack_from(column, 1)
    steps = _steps(column, count, large)
    read = _planes(column, 1 + _HEAD.size + size)
    raw = np.zeros((count, 4), np.uint8)
    for plane in range(planes):
        raw[:, plane] = np.frombuffer(next(read), np.uint8)
    begins = steps != 0
    begins[0] = True
    ticks = _since(raw.view("<u4").ravel(), begins)
    ticks += np.uint64(first_ms)
    ticks *= np.uint64(TICKS_A_MS)
    if has_ranks:
        ticks += np.frombuffer(next(read), np.uint8)
    keys = np.cumsum(steps, dtype=np.uint64)
    keys <<= np.uint64(TICK_BITS)
    keys |= ticks
    return Keyed(first, keys, np.frombuffer(next(read), _TYPES[width]) if width else None)


def decode_visitors(column: bytes) -> NDArray[np.uint32]:
    """The visitors of all records. column: its first `visitor_bytes` are enough."""
    return _visitors(decode_steps(column))


def decode_steps(column: bytes) -> NDArray[Any]:
    """How much each visitor of a column is above the one before; the first one is above 0. column: as above."""
    if column[:1] == SMALL:
        return np.diff(_of_small(column).visitors, prepend=np.uint32(0))
    count, *_, large, _ = _HEAD.unpack_from(column, 1)
    return _steps(column, count, large)


def visitor_bytes(column: bytes) -> int:
    """How many of its bytes say who its visitors are."""
    return len(column) if column[:1] == SMALL else 1 + _HEAD.size + _HEAD.unpack_from(column, 1)[-1]


def _packed(rows: Rows) -> bytes:
    ms, ranks = np.divmod(rows.ticks, TICKS_A_MS)
    steps = np.diff(rows.visitors.astype(np.int64), prepend=0)
    is_same = steps == 0
    is_same[0] = False
    first_ms = int(ms.min())
    times = np.where(is_same, np.diff(ms, prepend=0), ms - first_ms).astype("<u4")
    large = steps[steps >= LARGE].astype("<u4")
    who = _plane(np.minimum(steps, LARGE).astype(np.uint8).tobytes()) + _plane(large.tobytes())

    bytes_of_time = max(1, (int(times.max()).bit_length() + 7) // 8)
    planes = [times.view(np.uint8)[place::4] for place in range(bytes_of_time)]
    if ranks.any():
        planes.append(ranks.astype(np.uint8))
    width = _width(int(rows.values.max()))
    if width:
        planes.append(rows.values.astype(_TYPES[width]))
    head = _HEAD.pack(len(ms), first_ms, bytes_of_time, width, bool(ranks.any()), len(large), len(who))
    return PACKED + head + who + b"".join(_plane(plane.tobytes()) for plane in planes)


def _width(most: int) -> int:
    """Of values, in bytes: 0 where all are 0."""
    return next(width for width in (0, 1, 2, 4) if most < 1 << 8 * width)


def _steps(column: bytes, count: int, large: int) -> NDArray[Any]:
    read = _planes(column, 1 + _HEAD.size)
    steps = np.frombuffer(next(read), np.uint8, count)
    if large:
        far = steps == LARGE
        steps = steps.astype(np.uint32)
        steps[far] = np.frombuffer(next(read), "<u4", large)
    return steps


def _visitors(steps: NDArray[Any]) -> NDArray[np.uint32]:
    return np.cumsum(steps, dtype=np.uint32)


def _since(steps: NDArray[np.uint32], begins: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Sums of steps, each run by itself. begins: where a run does. Where most runs are of one step, the others alone are summed."""
    follows = np.flatnonzero(~begins)
    if len(follows) * MOST_ALONE > len(steps):
        return _sums(steps, begins)
    found = steps.astype(np.uint64)
    is_of_several = np.zeros(len(steps), np.bool_)
    is_of_several[follows] = is_of_several[follows - 1] = True
    at = np.flatnonzero(is_of_several)
    if len(at):
        found[at] = _sums(steps[at], begins[at])
    return found


def _sums(steps: NDArray[np.uint32], begins: NDArray[np.bool_]) -> NDArray[np.uint64]:
    sums, first = np.cumsum(steps, dtype=np.uint64), np.flatnonzero(begins)
    sums -= np.repeat(sums[first] - steps[first], np.diff(first, append=len(steps)))
    return sums


def _plane(raw: bytes) -> bytes:
    middle = raw[len(raw) // 2 :][:SAMPLE]
    if len(raw) <= 2 * SAMPLE or len(zlib.compress(middle, 1)) < HELPS * len(middle):
        packed = zlib.compress(raw, 1)
        if len(packed) < len(raw):
            return b"\1" + len(packed).to_bytes(4, "little") + packed
    return b"\0" + len(raw).to_bytes(4, "little") + raw


def _planes(column: bytes, at: int) -> Iterator[bytes]:
    while at < len(column):
        end = at + 5 + int.from_bytes(column[at + 1 : at + 5], "little")
        raw = column[at + 5 : end]
        yield zlib.decompress(raw) if column[at] else raw
        at = end


def _small(rows: Rows) -> bytes:
    out, visitor, tick = bytearray(SMALL), 0, 0
    for who, at, value in zip(rows.visitors.tolist(), rows.ticks.tolist(), rows.values.tolist(), strict=True):
        for number in (who - visitor, at - tick if who == visitor else at, value):
            while number >= 0x80:
                out.append(number & 0x7F | 0x80)
                number >>= 7
            out.append(number)
        visitor, tick = who, at
    return bytes(out)


def _of_small(column: bytes) -> Rows:
    numbers, number, shift = [], 0, 0
    for byte in column[1:]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    found, visitor, tick = [], 0, 0
    for step, at, value in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        visitor, tick = visitor + step, at if step else tick + at
        found.append((visitor, tick, value))
    visitors, ticks, values = zip(*found, strict=True) if found else ((), (), ())
    return Rows(np.array(visitors, np.uint32), np.array(ticks, np.int64), np.array(values, np.uint32))

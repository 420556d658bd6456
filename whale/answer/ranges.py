"""Ranges of visitors, one after the other: what one of them touches fits into the processor's cache. Pure.

In a range a visitor and a tick are one number that rises as the records of a column do.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from whale.store.contract.events import Column
from whale.visitors import keyed
from whale.visitors.keyed import Keyed

SPAN = 65_536
"""Visitors of a range."""
TICK_BITS = 46
"""Of a tick since the beginning of a range of 45 years."""
TICKS = (1 << TICK_BITS) - 1
Ints = NDArray[np.int64]
FEW = 1000
"""Ticks of which it is no matter how each is found."""


def begins(last: int, first: int = 0, span: int = 0) -> range:
    """Where the ranges begin that hold the visitors from one number to another. span: visitors of each, where it is not SPAN."""
    span = span or SPAN
    return range(first - first % span, last + 1, span)


def span(columns: Iterable[Column]) -> tuple[int, int]:
    """The first and the last of the visitors of columns with records."""
    spans = [column.span for column in columns]
    return min(low for low, _ in spans), max(high for _, high in spans)


def part_of(column: Column, begin: int) -> slice:
    """Where its records of a range are."""
    return slice(*places(column.visitors, begin))


def places(visitors: NDArray[np.uint32], begin: int) -> NDArray[np.intp]:
    """Where a range begins and ends among visitors in order. Edges of another type would have numpy copy all of these."""
    return np.searchsorted(visitors, np.array((begin, begin + SPAN), np.uint32))


def within(column: Column, begin: int, span: int = 0) -> Column:
    """Its records of a range: a view of it."""
    return column.between(begin, begin + (span or SPAN))


def of_some(column: Column, begin: int, who: NDArray[np.bool_]) -> Column:
    """The records of some visitors of a range. column: of this range.  who: of all its visitors."""
    if column.pieces is None:
        return column.some(who[column.visitors - np.uint32(begin)])
    least = np.uint64(begin)
    return Column.of([each.some(who[(each.keys >> np.uint64(keyed.TICK_BITS)) - least]) for each in column.pieces])


def keys(column: Column, begin: int, first: int) -> Ints:
    """Visitor and tick of each record in a range, as one number, in order. first: no tick is earlier."""
    found = keys_in_pieces(column, begin, first)
    if len(found) == 1:
        return found[0]
    together = np.concatenate([np.zeros(0, np.int64), *found])
    together.sort(kind="stable")  # which merges what is in order
    return together


def keys_in_pieces(column: Column, begin: int, first: int, bits: int = TICK_BITS) -> list[Ints]:
    """The same of each of its pieces, with so many bits for ticks; nobody else has these arrays."""
    if column.pieces is None:
        return [(column.visitors.astype(np.int64) - begin) << bits | (column.ticks - first)]
    return [_widened(piece, begin, first, bits) for piece in column.pieces]


def _widened(piece: Keyed, begin: int, first: int, bits: int) -> Ints:
    """Its keys with other bits for ticks."""
    found = (piece.keys - np.uint64(begin << keyed.TICK_BITS)).view(np.int64)
    more = found >> keyed.TICK_BITS
    more *= (1 << bits) - (1 << keyed.TICK_BITS)
    found += more
    found += piece.first - first
    return found


def bucket_of(edges: Ints, ticks: Ints) -> Ints:
    """Of each tick the last edge that is not later; -1 before the first one. Edges that are about as far from each other, as those of days,
    are found by a division: to search them took most of the time of a question about days.
    """
    few = len(edges) < 3 or len(ticks) < FEW
    width = 0 if few else int(edges[-1] - edges[0]) // (len(edges) - 1)
    if width and (np.diff(edges) == width).all():
        return np.clip((ticks - edges[0]) // width, -1, len(edges) - 1)
    if not width or np.abs(edges - edges[0] - width * np.arange(len(edges))).max() >= width // 2:
        return np.searchsorted(edges, ticks, "right").astype(np.int64) - 1
    place = np.clip((ticks - edges[0]) // width, 0, len(edges) - 1)
    place -= ticks < edges[place]
    place += ticks >= np.append(edges[1:], np.iinfo(np.int64).max)[place]
    return place

"""All that visitors did, in order, and where their sessions begin. Pure.

An event that comes more than a gap after the visitor's one before begins a session. Events of one tick are in the order of their names, so
the order in which they arrived is no matter. It works in ranges of visitors, see ranges.py.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whale.answer import ranges
from whale.answer.ranges import TICK_BITS, Ints
from whale.store.contract.events import Column

SPAN = 8192
"""Visitors of a range at most: all of their events are put in order together."""
BITS = 63
"""Of a number by which events are sorted."""
Piece = tuple[int, Column]
"""The place of an event among all names, and some of its records. All pieces of a name have other ticks."""


class Stream(NamedTuple):
    """The events of a range of visitors.

    begin: the first visitor of the range, of so many.  first: no tick is earlier.  places: of their names.
    keys: visitor and tick as one number, in order, of which so many bits are the tick.  begins: which of them begin a session.
    """

    begin: int
    span: int
    first: int
    bits: int
    keys: Ints
    places: NDArray[np.integer[Any]]
    begins: NDArray[np.bool_]

    def visitors(self, which: NDArray[np.intp]) -> Ints:
        return (self.keys[which] >> self.bits) + self.begin

    def ticks(self, which: NDArray[np.intp]) -> Ints:
        return (self.keys[which] & ((1 << self.bits) - 1)) + self.first

    def moments(self, which: NDArray[np.intp]) -> Ints:
        """Their keys as ranges.keys has them."""
        found = self.keys[which]
        return (found >> self.bits << TICK_BITS) + (found & ((1 << self.bits) - 1))


def streams(pieces: Sequence[Piece], gap: int) -> Iterator[Stream]:
    """Of each range in which somebody did something. gap: ticks."""
    known = [(place, column) for place, column in pieces if len(column)]
    if not known:
        return
    first, until = min(column.since for _, column in known), max(column.until for _, column in known)
    lowest, last = ranges.span(column for _, column in known)
    span = min(SPAN, ranges.SPAN)
    width = max(place for place, _ in known).bit_length()
    bits = (until - first + gap + 1).bit_length()  # so two visitors are always further apart than a gap
    fits = (span - 1).bit_length() + bits + width <= BITS
    for begin in ranges.begins(last, lowest, span):
        some = [(place, ranges.within(column, begin, span)) for place, column in known]
        if fits:
            keys, places = _packed(
                [(place, ranges.keys_in_pieces(column, begin, first, bits)) for place, column in some], width
            )
        else:
            keys, places = _ordered([(place, ranges.keys(column, begin, first)) for place, column in some])
        if len(keys):
            begins = np.empty(len(keys), np.bool_)
            begins[0] = True
            np.greater(np.diff(keys), gap, out=begins[1:])
            yield Stream(begin, span, first, bits if fits else TICK_BITS, keys, places, begins)


def _packed(some: Sequence[tuple[int, list[Ints]]], width: int) -> tuple[Ints, NDArray[np.integer[Any]]]:
    """Keys in order, each sorted as one number with its place, which has so many bits; and the places."""
    for place, several in some if width else ():
        for keys in several:
            keys <<= width
            keys |= place
    together = np.concatenate([np.zeros(0, np.int64), *(keys for _, several in some for keys in several)])
    together.sort(kind="stable")  # which merges what is in order
    if not width:
        return together, np.broadcast_to(np.uint8(0), len(together))
    places = (together & ((1 << width) - 1)).astype(np.min_scalar_type(1 << width))
    together >>= width
    return together, places


def _ordered(some: Sequence[tuple[int, Ints]]) -> tuple[Ints, NDArray[np.integer[Any]]]:
    """The same of so many names, or so long a time, that both are not one number."""
    some = sorted(some, key=lambda piece: piece[0])
    keys = np.concatenate([np.zeros(0, np.int64), *(mine for _, mine in some)])
    places = np.repeat(np.array([place for place, _ in some], np.int32), [len(mine) for _, mine in some])
    order = np.argsort(keys, kind="stable")
    return keys[order], places[order]

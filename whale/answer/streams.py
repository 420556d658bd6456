"""All that visitors did, in order, and where their sessions begin. Pure.

An event that comes more than a gap after the visitor's one before begins a session. Events of one tick are in the order of their names, so
the order in which they arrived is no matter. It works in ranges of visitors, see ranges.py.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whale.answer import ranges
from whale.answer.ranges import TICK_BITS, TICKS, Ints
from whale.store.contract.events import Column

Piece = tuple[int, Column]
"""The place of an event among all names, and some of its records. All pieces of a name have other ticks."""


class Stream(NamedTuple):
    """The events of a range of visitors.

    begin: the first visitor of the range.  first: no tick is earlier.  keys: visitor and tick as one number, in order.
    places: of their names.  begins: which of them begin a session.
    """

    begin: int
    first: int
    keys: Ints
    places: NDArray[np.int32]
    begins: NDArray[np.bool_]

    def visitors(self, which: NDArray[np.intp]) -> Ints:
        return (self.keys[which] >> TICK_BITS) + self.begin

    def ticks(self, which: NDArray[np.intp]) -> Ints:
        return (self.keys[which] & TICKS) + self.first


def streams(pieces: Sequence[Piece], gap: int) -> Iterator[Stream]:
    """Of each range in which somebody did something. gap: ticks."""
    known = sorted(((place, column) for place, column in pieces if len(column)), key=lambda piece: piece[0])
    if not known:
        return
    first = min(column.since for _, column in known)
    lowest, last = ranges.span(column for _, column in known)
    for begin in ranges.begins(last, lowest):
        some = [(place, ranges.keys(ranges.within(column, begin), begin, first)) for place, column in known]
        keys = np.concatenate([mine for _, mine in some])
        if not len(keys):
            continue
        places = np.repeat(np.array([place for place, _ in some], np.int32), [len(mine) for _, mine in some])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        begins = np.empty(len(keys), np.bool_)
        begins[0] = True
        begins[1:] = (np.diff(keys) > gap) | (np.diff(keys >> TICK_BITS) != 0)
        yield Stream(begin, first, keys, places[order], begins)

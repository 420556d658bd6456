"""Blocks of visitors: how many records each has, and the ranges in which a large question reads them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whale.store.contract.events import BLOCK, MOST_NUMBERS
from whale.visitors.keyed import Keyed, edges

Counts = NDArray[np.intp]
"""Of records, by block."""


def blocks_of(visitors: NDArray[np.uint32]) -> Counts:
    """visitors: of records, in any order."""
    return np.bincount(visitors // BLOCK)


def blocks_in(column: Keyed) -> Counts:
    if not len(column.keys):
        return np.zeros(0, np.intp)
    last = column.span[1] // BLOCK
    return np.diff(np.searchsorted(column.keys, edges(*range(0, (last + 2) * BLOCK, BLOCK))))


def ranges_of(blocks: Sequence[int], most: float) -> list[range]:
    """Runs of blocks with at most so many records, or one block. blocks: the records of each.  The last has no end."""
    ranges: list[range] = []
    begin, held = 0, 0
    for place, records in enumerate(blocks):
        if held and held + records > most:
            ranges.append(range(begin * BLOCK, place * BLOCK))
            begin, held = place, 0
        held += records
    return [*ranges, range(begin * BLOCK, MOST_NUMBERS)]

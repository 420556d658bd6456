"""Sums by key, by numpy: exact in 64 bits. Pure."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
N = TypeVar("N", np.uint32, np.int64)

MOST_DENSE = 16  # places for each key, up to which they are counted and not sorted
FEW_PLACES = 2**13


def numbered(keys: Ints, size: int) -> tuple[Ints, Ints]:
    """The keys that are there, in order; and of each key its place among them. size: all keys are below it, and none below 0."""
    if size > MOST_DENSE * len(keys) + FEW_PLACES:
        found, places = np.unique(keys, return_inverse=True)
        return found, places
    there = np.zeros(size, bool)
    there[keys] = True
    found = np.flatnonzero(there)
    number = np.empty(size, np.int64)
    number[found] = np.arange(len(found))
    return found, number[keys]


def distinct(values: NDArray[N]) -> NDArray[N]:
    """Each once, in order. numpy.unique hashes them, which takes 20 times as long."""
    if not len(values):
        return values
    most = int(values.max())
    if most <= MOST_DENSE * len(values) + FEW_PLACES:
        there = np.zeros(most + 1, bool)
        there[values] = True
        return np.flatnonzero(there).astype(values.dtype)
    found = np.sort(values)
    return found[np.diff(found, prepend=found[0] ^ 1) != 0]


def summed(keys: Ints, amounts: Ints, size: int) -> tuple[Ints, Ints]:
    """The keys that are there, in order, and the sum of each: exact, where no sum leaves 64 bits."""
    found, places = numbered(keys, size)
    sums = np.zeros(len(found), np.int64)
    np.add.at(sums, places, amounts)
    return found, sums

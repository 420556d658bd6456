"""Some visitors of a partition: a bit for each number, or, where they are few, a list of numbers. Pure.

Bits are words of 64 visitors, the lowest number first. Words that lack at the end are 0.
"""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]
Numbers = NDArray[np.uint32]
Crowd = Bits | Numbers
WORD = 64
NUMBER_BITS = 32
"""That a number in a list takes: where fewer than 1 in so many are there, a list is smaller than bits."""


def bits_of(numbers: NDArray[Any], words: int = 0) -> Bits:
    """numbers: in any order, and as often as they come.  words: of the bits, at least."""
    if len(numbers):
        words = max(words, int(numbers.max()) // WORD + 1)
    is_there = np.zeros(words * WORD, np.bool_)
    is_there[numbers.astype(np.int64, copy=False)] = True  # other types are looked up more slowly than they are copied
    return np.packbits(is_there, bitorder="little").view("<u8").astype(np.uint64, copy=False)


def numbers_of(bits: Bits) -> Numbers:
    """In order."""
    is_there = np.unpackbits(bits.astype("<u8", copy=False).view(np.uint8), bitorder="little")
    return np.flatnonzero(is_there.view(np.bool_)).astype(np.uint32)


def count(bits: Bits) -> int:
    return int(np.bitwise_count(bits).sum(dtype=np.int64))


def fitted(bits: Bits, words: int) -> Bits:
    """With so many words at least."""
    return bits if len(bits) >= words else np.concatenate([bits, np.zeros(words - len(bits), np.uint64)])


def of_steps(steps: NDArray[Any]) -> Crowd:
    """The smaller of both. steps: from each number to the next one, which may be the same; the first one from 0."""
    numbers = np.cumsum(steps, dtype=np.int64)
    is_first = steps != 0
    is_first[:1] = True
    if np.count_nonzero(is_first) * NUMBER_BITS >= (int(numbers[-1]) + 1 if len(numbers) else 1):
        return bits_of(numbers)
    return numbers[is_first].astype(np.uint32)


def smaller(bits: Bits) -> Crowd:
    """The same visitors, as a list where that is smaller."""
    return numbers_of(bits) if count(bits) * NUMBER_BITS < len(bits) * WORD else bits


class Gathered:
    """Visitors who come crowd by crowd, as bits. Lists wait until together they are as large as the bits."""

    def __init__(self, words: int):
        """words: of the bits, at least."""
        self._words = words
        self._bits = np.zeros(0, np.uint64)
        self._is_own = True
        self._waiting: list[Numbers] = []
        self._room_left = 0

    def add(self, crowd: Crowd) -> None:
        """A list may be in any order, with numbers that come again. Bits are not written into, and may be given again."""
        if crowd.dtype == np.uint64:
            self._add_bits(cast(Bits, crowd))
        elif len(crowd):
            self._waiting.append(cast(Numbers, crowd))
            self._room_left -= len(crowd)
            if self._room_left < 0:
                self._take()

    def bits(self) -> Bits:
        """All so far; not to be written into."""
        self._take()
        self._bits = fitted(self._bits, self._words)
        return self._bits

    def _take(self) -> None:
        if self._waiting:
            self._add_bits(bits_of(np.concatenate(self._waiting)))
            self._waiting = []
        self._room_left = max(self._words, len(self._bits)) * WORD // NUMBER_BITS

    def _add_bits(self, bits: Bits) -> None:
        if not len(self._bits):
            self._bits, self._is_own = bits, False
            return
        if not self._is_own or len(self._bits) < len(bits):
            own = np.zeros(max(self._words, len(self._bits), len(bits)), np.uint64)
            own[: len(self._bits)] = self._bits
            self._bits, self._is_own = own, True
        self._bits[: len(bits)] |= bits

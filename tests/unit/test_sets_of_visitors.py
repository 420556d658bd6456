"""Sets of visitors as bits or lists are the same as plain sets, whatever comes in which order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import law
from whale.visitors.crowd import Crowd, Gathered, bits_of, count, fitted, numbers_of, of_steps, smaller

numbers = st.integers(0, 3) | st.integers(60, 70) | st.integers(0, 5_000) | st.integers(0, 200_000)
crowds = st.lists(numbers, max_size=40)


def array(some: list[int]) -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
    return np.array(some, np.uint32)


def members(crowd: Crowd) -> list[int]:
    return (numbers_of(crowd.astype(np.uint64)) if crowd.dtype == np.uint64 else crowd).tolist()


@law(200)
@given(crowds, st.integers(0, 40))
def test_bits_are_of_each_number_once(some: list[int], words: int) -> None:
    bits = bits_of(array(some), words)
    assert numbers_of(bits).tolist() == sorted(set(some))
    assert count(bits) == len(set(some))
    assert len(bits) == max([words, *(number // 64 + 1 for number in some)])
    longer = fitted(bits, len(bits) + 3)
    assert len(longer) == len(bits) + 3
    assert numbers_of(longer).tolist() == sorted(set(some))


@law(200)
@given(crowds)
def test_few_are_kept_as_a_list(some: list[int]) -> None:
    few = len(set(some)) * 32 < max(some, default=0) + 1
    for crowd in (of_steps(np.diff(array(sorted(some)), prepend=np.uint32(0))), smaller(bits_of(array(some)))):
        assert members(crowd) == sorted(set(some))
        assert crowd.nbytes <= (max(some, default=0) // 64 + 1) * 8
    assert (of_steps(np.diff(array(sorted(some)), prepend=np.uint32(0))).dtype == np.uint32) == (few or not some)


@law(200)
@given(st.lists(st.tuples(crowds, st.booleans()), max_size=12), st.integers(0, 8))
def test_gathered_visitors_are_those_of_all(some: list[tuple[list[int], bool]], words: int) -> None:
    gathered, crowds_ = Gathered(words), [bits_of(array(each)) if are_bits else array(each) for each, are_bits in some]
    for crowd in crowds_:
        crowd.setflags(write=False)
        gathered.add(crowd)
    bits = gathered.bits()
    again = Gathered(0)
    again.add(bits)
    again.add(array([7]))
    assert set(numbers_of(again.bits()).tolist()) == {7, *numbers_of(bits).tolist()}
    assert numbers_of(bits).tolist() == sorted({number for each, _ in some for number in each})
    assert len(bits) >= words

"""A tail gives back its records, however they were appended."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import law
from whale.visitors.entries import DAY_TICKS
from whale.visitors.tail import BLOCK, LOOK, PLACED, RECORD, records_of

Row = tuple[int, int, int]
records = st.tuples(st.integers(0, 2**27), st.integers(0, 65_535 * DAY_TICKS), st.integers(0, 2**32 - 1))
appended = st.lists(st.tuples(st.booleans(), st.lists(records, min_size=1, max_size=8)), max_size=6)


def one_by_one(some: list[Row]) -> bytes:
    rows = [(who, *divmod(tick, DAY_TICKS), code) for who, tick, code in some]
    return np.array(rows, RECORD).tobytes()


def together(some: list[Row]) -> bytes:
    visitors, codes = sorted({row[0] for row in some}), sorted({row[2] for row in some})
    placed = [(visitors.index(who), codes.index(code), *divmod(tick, DAY_TICKS)) for who, tick, code in some]
    head = BLOCK, placed[0][2], len(visitors) + (len(codes) << 16), len(some)
    numbers = np.array([*visitors, *codes], np.uint32).tobytes()
    return np.array([head], RECORD).tobytes() + numbers + np.array(placed, PLACED).tobytes()


def rows_of(tail: bytes) -> list[Row]:
    found = records_of(tail)
    return list(zip(found.visitors.tolist(), found.ticks.tolist(), found.codes.tolist(), strict=True))


@law(200)
@given(appended)
def test_records_and_blocks_may_follow_each_other(some: list[tuple[bool, list[Row]]]) -> None:
    tail = b"".join(together(rows) if is_block else one_by_one(rows) for is_block, rows in some)
    assert rows_of(tail) == [row for _, rows in some for row in rows]


def test_a_block_is_found_after_many_records() -> None:
    many, few = [(number, 7 * number, 3) for number in range(5 * LOOK)], [(1, 2, 3), (1, 3, 4)]
    assert rows_of(one_by_one(many) + together(few) + one_by_one(many)) == many + few + many

"""In which ranges of visitors a large question reads."""

import pytest

from whale.store.contract.events import BLOCK, MOST_NUMBERS
from whale.store.redis.log_blocks import ranges_of


@pytest.mark.parametrize(
    ("blocks", "edges"),
    [
        ([], []),
        ([5], []),
        ([500], []),
        ([5, 5], []),
        ([5, 6], [1]),
        ([0, 0, 11, 0, 4, 6, 1], [3, 6]),
        ([20, 20, 20], [1, 2]),
        ([1] * 25, [10, 20]),
    ],
)
def test_blocks_are_together_as_long_as_their_records_fit(blocks: list[int], edges: list[int]) -> None:
    found = ranges_of(blocks, 10)
    assert [each.start // BLOCK for each in found] == [0, *edges]
    assert [each.stop for each in found] == [*(edge * BLOCK for edge in edges), MOST_NUMBERS]

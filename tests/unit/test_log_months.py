"""Which columns of full parts are joined: those that fit into what a process remembers, of months of which enough is asked for."""

from typing import Any

import numpy as np
import pytest

from whale.store.redis.compaction import Indexed
from whale.store.redis.log_cache import LogCache, PartGone
from whale.store.redis.log_months import Months
from whale.store.redis.log_parts import LogParts
from whale.visitors import parts
from whale.visitors.columns import rows_of
from whale.visitors.parts import Records

MONTH, COUNT = 1_761_955_200, 4000  # 2025-11-01
FIRST, END = (at * parts.TICKS_A_S for at in (MONTH, MONTH + 30 * 86_400))


def records(seed: int) -> Records:
    """The event 0 of all visitors, and the event 1 of one in ten."""
    rng = np.random.default_rng(seed)
    codes = (np.arange(COUNT) % 10 == 0).astype(np.uint32)
    ticks = MONTH * parts.TICKS_A_S + rng.integers(0, 20 * 86_400 * parts.TICKS_A_S, COUNT)
    return Records(rng.integers(0, 500, COUNT).astype(np.uint32), ticks, codes)


class Kept(LogParts):
    """Parts that lie here. pieces: that were fetched."""

    def __init__(self, cache: LogCache, numbers: range):
        super().__init__(cache, None)
        self.made = {f"log:b:{number}": parts.make(records(number), MONTH, "UTC") for number in numbers}
        self.pieces: list[tuple[str, int, int]] = []

    def ranges(self, wanted: Any) -> list[bytes]:
        self.pieces += wanted
        return [self.made.get(key, b"")[begin : begin + size] for key, begin, size in wanted]


class World:
    def __init__(self, cache_mb: float, count: int = 3):
        cache = LogCache(cache_mb)
        self.kept = Kept(cache, range(count))
        self.large = set[int]()
        self.months = Months(cache, self.kept)
        self.index = {str(number): Indexed(MONTH, 1 << 20, COUNT, FIRST, END - 1) for number in range(count)}

    def joined(self, first: int = FIRST, end: int = END) -> dict[int, int]:
        """How many records of each code."""
        found, self.large = self.months.joined("log", self.index, [0, 1], first, end)
        return {code: sum(len(each.column.keys) for each in several) for code, several in found.items()}


def test_what_fits_is_joined_once_and_its_columns_alone_are_fetched() -> None:
    world = World(1.0)
    for _ in range(3):
        assert world.joined() == {0: 10_800, 1: 1200}
    assert len(world.kept.pieces) == 6
    column = world.months.joined("log", world.index, [1], FIRST, END).columns[1][0].column
    some = [records(number) for number in range(3)]
    expected = sorted(
        (visitor, tick)
        for each in some
        for visitor, tick, code in zip(*(part.tolist() for part in each), strict=True)
        if code
    )
    visitors, ticks, _ = rows_of(column)
    assert list(zip(visitors.tolist(), ticks.tolist(), strict=True)) == expected


@pytest.mark.parametrize(
    ("cache_mb", "joined", "large"),
    [
        (0.13, {0: 10_800, 1: 1200}, set()),
        (0.1, {1: 1200}, set()),
        (0.05, {1: 1200}, {0}),
        (0.001, {}, {0, 1}),
    ],
)
def test_of_what_does_not_fit_the_small_columns_are_joined(
    cache_mb: float, joined: dict[int, int], large: set[int]
) -> None:
    world = World(cache_mb)
    assert (world.joined(), world.large) == (joined, large)


def test_a_large_column_of_a_part_is_not_remembered() -> None:
    fetched, cache = list[str](), LogCache(1.0)

    def fetch() -> bytes:
        fetched.append("part")
        return parts.make(records(0), MONTH, "UTC")

    def keyed(is_kept: bool) -> list[int]:
        part = cache.part("log:b:0", fetch)
        return part.keyed(part.cuts[0], is_kept).keys.tolist()

    first = keyed(False)
    assert (keyed(False), len(fetched)) == (first, 2)
    assert (keyed(True), len(fetched)) == (first, 3)
    assert (keyed(False), keyed(True), len(fetched)) == (first, first, 3)


def test_a_month_of_which_little_is_asked_for_is_not_joined() -> None:
    world = World(1.0, 9)
    for number in range(9):
        day = MONTH + 3 * number * 86_400
        world.index[str(number)] = Indexed(MONTH, 1 << 20, COUNT, day * parts.TICKS_A_S, (day + 9) * parts.TICKS_A_S)
    assert world.joined(FIRST, FIRST + 4 * 86_400 * parts.TICKS_A_S) == {}
    assert world.kept.pieces == []
    assert world.joined(FIRST, FIRST + 7 * 86_400 * parts.TICKS_A_S) == {0: 32_400, 1: 3600}


def test_who_asks_for_a_part_that_is_gone_is_told() -> None:
    world = World(1.0)
    world.kept.made.pop("log:b:1")
    with pytest.raises(PartGone):
        world.joined()


def test_new_parts_are_read_beside_until_there_are_few_of_them() -> None:
    world = World(1.0, 7)
    index = dict(world.index)
    for count, joined in ((3, 3), (4, 3), (6, 3), (7, 7)):
        world.index = {id_: index[id_] for id_ in list(index)[:count]}
        assert world.joined() == {0: 3600 * joined, 1: 400 * joined}
    world.index = {id_: index[id_] for id_ in list(index)[1:]}
    assert world.joined() == {0: 3600 * 6, 1: 400 * 6}

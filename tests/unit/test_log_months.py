"""Which columns of full parts are joined: those that fit into what a process remembers."""

import numpy as np

from whale.store.redis.compaction import Indexed
from whale.store.redis.log_cache import LogCache
from whale.store.redis.log_months import Months
from whale.visitors import parts
from whale.visitors.parts import Records

MONTH, COUNT = 1_761_955_200, 4000  # 2025-11-01


def part(seed: int) -> bytes:
    """The event 0 of all visitors, and the event 1 of one in ten."""
    rng = np.random.default_rng(seed)
    codes = (np.arange(COUNT) % 10 == 0).astype(np.uint32)
    ticks = MONTH * parts.TICKS_A_S + rng.integers(0, 20 * 86_400 * parts.TICKS_A_S, COUNT)
    return parts.make(Records(rng.integers(0, 500, COUNT).astype(np.uint32), ticks, codes), MONTH, "UTC")


def joined(cache_mb: float) -> tuple[dict[int, int], int]:
    """How many records of each code are joined, and how often a part was fetched."""
    made, fetched = {f"log:b:{number}": part(number) for number in range(3)}, list[str]()
    cache = LogCache(cache_mb)

    def fetch(key: str) -> bytes:
        fetched.append(key)
        return made[key]

    months = Months(cache, lambda key: cache.part(key, lambda: fetch(key)))
    index = {str(number): Indexed(MONTH, 1 << 20, COUNT, 0, 1) for number in range(3)}
    found = {}
    for _ in range(3):
        found = months.joined("log", index, [0, 1])
    return {code: sum(len(each.rows.ticks) for each in several) for code, several in found.items()}, len(fetched)


def test_what_fits_is_joined_once() -> None:
    assert joined(1.0) == ({0: 10_800, 1: 1200}, 3)


def test_of_what_does_not_fit_the_small_columns_are_joined() -> None:
    found, _ = joined(0.05)
    assert found == {1: 1200}
    assert joined(0.001)[0] == {}

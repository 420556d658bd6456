"""What every store promises of sums below a path: what `descendants` and `read` say, in one read."""

import random
from typing import Any

import numpy as np
import pytest

from hail.settings import DAY, HOUR, Settings
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, message
from whale.count.apply import Applier
from whale.dimension import Path, Pk
from whale.errors import TooManyPoints
from whale.period import Interval
from whale.store.base import Store
from whale.store.contract.changes import Change
from whale.store.contract.names import CHILD_PKS, OTHER

TODAY = int(NOW // DAY) * DAY
DAYS = [TODAY - back * DAY for back in range(4, -1, -1)]


def count(settings: Settings, store: Store, account: str, hits: list[dict[str, Any]]) -> None:
    Applier(store, settings).apply([message(hits, settings, account)], NOW)


def check(
    store: Store,
    account: str,
    pk: Pk,
    path: Path,
    levels: int,
    metrics: list[str],
    interval: Interval,
    groups: list[list[int]],
) -> int:
    """Compares with `descendants` and `read`; how many paths there were."""
    paths, sums = store.read_below(account, pk, path, levels, metrics, interval, groups, 100_000)
    below = (
        [(None, name) for name in store.pks(account, pk)]
        if path == CHILD_PKS
        else store.descendants(account, pk, path, levels)
    )
    assert paths[0] == (() if path == CHILD_PKS else path)
    assert paths[1:] == below
    assert sums.shape == (len(paths), len(metrics), len(groups))
    for place, group in enumerate(groups):
        cells = store.read(account, pk, paths, metrics, interval, group)
        assert (sums[:, :, place] == cells.astype(object).sum(axis=-1)).all()
    return len(paths)


@pytest.mark.parametrize("values", [3, 30, 700, 3000])
def test_sums_below_a_path_are_those_of_its_cells(settings: Settings, store: Store, unique: str, values: int) -> None:
    """Few and many children: one hash a block, a hash a bucket, and dense strings."""
    draw = random.Random(values)
    hits = [
        {
            "pk": ["t", f"p{i % 40}"],
            "dimensions": {"v": {f"n{i % values}": draw.choice("xy")}, "w": "1"},
            "metrics": {"m": draw.randrange(-500, 1000) / 8, "k": i % 3},
            "at": NOW - draw.randrange(5) * DAY - draw.randrange(3) * HOUR,
        }
        for i in range(min(6000, 4 * values))
    ]
    count(settings, store, unique, hits)
    metrics = ["m", "never", "hits", "k"]
    whole, split = [DAYS], [DAYS[:2], DAYS[2:3], [], DAYS[3:]]
    for groups in (whole, split):
        assert check(store, unique, ("t",), ("v",), 1, metrics, DAY, groups) == values + 1
        assert check(store, unique, ("t",), (), 8, metrics, DAY, groups) > values + 4
        assert check(store, unique, ("t",), CHILD_PKS, 1, metrics, DAY, groups) == min(40, len(hits)) + 1
    assert check(store, unique, ("t",), ("v", "n1"), 1, ["m"], DAY, whole) in (2, 3)
    hours = [TODAY + hour * HOUR for hour in range(int(NOW - TODAY) // HOUR + 1)]
    assert check(store, unique, ("t",), ("v",), 1, metrics, HOUR, [hours[:5], hours[5:]]) == values + 1
    with pytest.raises(TooManyPoints) as error:
        store.read_below(unique, ("t",), ("v",), 1, metrics, DAY, whole, values - 1)
    assert error.value.field == "dimension"


def test_nobody_knows_what_was_never_counted(settings: Settings, store: Store, unique: str) -> None:
    count(settings, store, unique, [{"pk": "t", "dimensions": "a"}])
    for pk, path in ((("t",), ("nowhere",)), (("nobody",), ()), (("t",), ("a",)), (("t",), CHILD_PKS)):
        paths, sums = store.read_below(unique, pk, path, 1, ["m"], DAY, [DAYS], 10)
        assert paths == [() if path == CHILD_PKS else path]
        assert sums.tolist() == [[[0]]]
    paths, sums = store.read_below(unique, ("t",), (), 1, ["hits"], DAY, [], 10)
    assert (paths, sums.shape) == ([(), ("a",)], (2, 1, 0))


def test_a_child_that_came_since_the_last_read_is_there(settings: Settings, store: Store, unique: str) -> None:
    count(settings, store, unique, [{"pk": "t", "dimensions": "a"}])
    assert store.read_below(unique, ("t",), (), 1, ["hits"], DAY, [DAYS], 10)[0] == [(), ("a",)]
    Applier(store, settings).apply([message([{"pk": "t", "dimensions": "b"}], settings, unique, seq=1)], NOW)
    paths, sums = store.read_below(unique, ("t",), (), 1, ["hits"], DAY, [DAYS], 10)
    assert dict(zip(paths, sums[:, 0, 0].tolist(), strict=True)) == {(): 2, ("a",): 1, ("b",): 1}


def test_what_is_folded_is_a_row(settings: Settings, unique: str) -> None:
    tight = settings.replace(max_children=3)
    narrow = open_store(tight)
    count(tight, narrow, unique, [{"pk": "t", "dimensions": f"d{i}"} for i in range(9)])
    paths, sums = narrow.read_below(unique, ("t",), (), 1, ["hits"], DAY, [DAYS], 10)
    assert len(paths) == 5
    assert dict(zip(paths, sums[:, 0, 0].tolist(), strict=True))[(OTHER,)] == 6


@pytest.mark.parametrize("children", [1, 900])
def test_sums_past_64_bits_are_exact(settings: Settings, store: Store, unique: str, children: int) -> None:
    hits = [
        {"pk": "t", "dimensions": f"d{i}", "metrics": {"m": 1}, "at": day + 1} for i in range(children) for day in DAYS
    ]
    count(settings, store, unique, hits)
    for day in DAYS:
        store.set(unique, Change(f"x{day}", ("t",), ("d0",), DAY, day, day + DAY, {"m": 2**62}), NOW)
    paths, sums = store.read_below(unique, ("t",), (), 1, ["hits", "m"], DAY, [DAYS], 1000)
    assert sums[paths.index(("d0",)), 1, 0] == 5 * 2**62
    assert np.array(sums[:, 0, 0], np.int64).sum() == 2 * len(hits)

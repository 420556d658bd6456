"""What every store promises to those who read its names."""

from hail.settings import DAY, Settings
from tests.contract.hits import NOW, message
from whale.count.apply import Applier
from whale.period import HOUR, MONTH, month_start
from whale.store.base import Store
from whale.store.contract.changes import Change
from whale.store.contract.rollups import Adjustment


def test_descendants_are_the_paths_below_level_by_level(settings: Settings, store: Store, unique: str) -> None:
    trees = [{"a": {"x": "1"}}, {"b": None, "a": {"y": None}}, "c", {"a": {"x": "2"}}]
    hits = [{"pk": ["t", "child"], "dimensions": tree} for tree in trees]
    Applier(store, settings).apply([message(hits, settings, unique)], NOW)
    levels = [[("a",), ("c",)], [("a", "x")], [("a", "x", "1"), ("a", "x", "2")]]
    for pk in (("t",), ("t", "child")):
        for depth in range(4):
            below = store.descendants(unique, pk, (), depth)
            expected = [path for level in levels[:depth] for path in level]
            assert sorted(below, key=lambda path: (len(path), path)) == expected
            assert [len(path) for path in below] == sorted(len(path) for path in below)
        assert store.descendants(unique, pk, ("a", "x"), 8) == [("a", "x", "1"), ("a", "x", "2")]
        assert [path[0] for path in store.descendants(unique, pk, (), 1)] == store.children(unique, pk, ())
    assert store.descendants(unique, ("t",), ("nowhere",), 8) == store.descendants(unique, ("nobody",), (), 8) == []


def test_keys_of_cells_exist(settings: Settings, store: Store, unique: str) -> None:
    Applier(store, settings).apply([message([{"pk": "t", "dimensions": "a"}], settings, unique)], NOW)
    day = int(NOW // DAY * DAY)
    keys = store.keys_of(unique, ("t",), [(), ("a",), ("nowhere",)], DAY, [day])
    assert all(store.client.exists(key) for key in keys)
    assert len(keys) == (2 if settings.redis_url else 0)
    assert store.keys_of(unique, ("nobody",), [()], DAY, [day]) == []


def test_several_spans_are_read_as_each_of_them_alone_with_what_was_set(
    settings: Settings, store: Store, unique: str
) -> None:
    values = [{"a": f"v{n}"} for n in range(1500)]  # one hour and day are dense then
    hits = [{"pk": "t", "dimensions": tree, "metrics": {"m": n}} for n, tree in enumerate(values)]
    hits += [{"pk": "t", "dimensions": "b", "metrics": {"m": 2.5}, "at": NOW - 3600 * n} for n in range(30)]
    Applier(store, settings).apply([message(hits, settings, unique)], NOW)
    today, hour = int(NOW // DAY * DAY), int(NOW // HOUR * HOUR)
    spans = [
        (DAY, [today - 40 * DAY, today - DAY, today]),
        (HOUR, range(hour - 47 * HOUR, hour + 1, HOUR)),
        (HOUR, [hour]),
        (MONTH, [month_start(today, "UTC")]),
        (60, []),
    ]
    few, many = [("b",), ("nowhere",), ()], [("a", f"v{n}") for n in range(0, 1500, 30)]
    for paths in (few, many, [*few, *many]):
        for metrics in (["m", "hits", "never"], ["never"], []):
            cells, notes, names, kinds = store.read_several(unique, ("t",), paths, metrics, spans)
            assert (list(notes.adjustments), names, kinds) == ([], ["hits", "m"], {})
            for (interval, starts), found in zip(spans, cells, strict=True):
                assert found.shape == (len(paths), len(metrics), len(starts))
                alone = [store.read(unique, ("t",), [path], metrics, interval, starts) for path in paths]
                assert [row.tolist() for row in found] == [rows[0].tolist() for rows in alone]
    assert store.read_several(unique, ("t",), [("b",)], ["m"], spans[:3])[0][0].tolist() == [
        [[0, 35_000_000, 40_000_000]]
    ]
    store.set(unique, Change("one", ("t",), ("b",), DAY, today, today + DAY, {"m": 1_000_000}, {}), NOW)
    for metrics in (["m"], ["never"]):
        assert list(store.read_several(unique, ("t",), few, metrics, spans).notes.adjustments) == [
            Adjustment(DAY, today, today + DAY, ("b",), ("m",))
        ]
    cells, notes, names, kinds = store.read_several(unique, ("nobody",), few, ["m"], [])
    assert [list(part or ()) for part in (cells, *notes, names, kinds)] == [[]] * 5

"""What every store promises to those who read its names."""

from hail.settings import DAY, Settings
from tests.contract.hits import NOW, message
from whale.count.apply import Applier
from whale.store.base import Store


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
    assert all(store.client.exists(key) for key in keys)  # type: ignore[attr-defined]
    assert len(keys) == (2 if settings.redis_url else 0)
    assert store.keys_of(unique, ("nobody",), [()], DAY, [day]) == []

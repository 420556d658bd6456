"""The scenario of a Redis that comes back with an older AOF, under a program that remembers newer numbers."""

import shutil
import time
from typing import Any

import requests

from hail.settings import DAY
from tests.farm import Farm, Program
from tests.load import ACCOUNT
from tests.servers import wait_until
from whale.store.redis import connect

OLD, FORGOTTEN, FRESH = range(50), range(50, 100), range(100, 150)


def put_back_an_older_aof(farm: Farm, counting: Program, unique: str) -> None:
    """Names, metrics and a pk get numbers, the AOF goes back to before, others get the same numbers: none is mixed up.

    counting: the worker or hailwail, which lives through it. What was counted after the copy is lost or applied again;
    what is accepted after the swap is counted once, under its own name.
    """
    store, pk, began = connect(farm.settings), f"{unique}-names", time.time()

    def count(pks: str, names: range, metric: str) -> None:
        hits: list[Any] = [
            {"pk": [pk, p], "dimensions": {"n": f"name {n}"}, "metrics": {metric: 1}} for n in names for p in pks
        ]
        answer = requests.post(f"{farm.url}/batch", json=hits, timeout=20)
        assert answer.json()["accepted"] == len(hits)

    def sums(name: str, metric: str, *below: str) -> int:
        """Of one name, or of all where it is empty; in the pk, or in one below it."""
        days = range(int(began) // DAY * DAY, int(time.time()) + 1, DAY)
        path = ("n", name) if name else ()
        return int(store.read(ACCOUNT, (pk, *below), [path], [metric], DAY, days).sum()) // 1_000_000

    with farm.load(unique) as load:
        count("a", OLD, "old")
        load.more(200)
        wait_until(lambda: sums("", "old") == sums("", "old", "a") == len(OLD), what="the old names, on both shards")
        files = [path for path in farm.redis.folder.iterdir() if path.name.startswith("appendonly")]
        copies = farm.folder / "aof"
        copies.mkdir()
        for path in files:
            (shutil.copytree if path.is_dir() else shutil.copy)(path, copies / path.name)
        load.more(200)
        count("ab", FORGOTTEN, "forgotten")
        wait_until(lambda: sums("", "forgotten") == 2 * len(FORGOTTEN), what="the names to be forgotten")
        load.more(200)
        farm.redis.kill9()
        for path in files:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.move(copies / path.name, path)
        unsure = range(load.begun + 1)
        farm.redis.start()
        count("cb", FRESH, "fresh")  # they take the numbers of what was forgotten
        for names in (FRESH, FORGOTTEN, OLD):
            count("ab", names, "again")
        load.more(300)
        assert counting.running
    assert not load.unanswered
    both = {"again": 150, "fresh": 50}
    counted = [("a", "again"), ("b", "again"), ("b", "fresh"), ("c", "fresh")]
    wait_until(lambda: all(sums("", metric, p) >= both[metric] for p, metric in counted), what="the new names")
    wait_until(lambda: all(sums("", metric) >= 2 * n for metric, n in both.items()), what="the new names above")
    load.settle(store, lost=unsure)
    for n in (*OLD, *FORGOTTEN, *FRESH):
        name = f"name {n}"
        assert [sums(name, "again", p) for p in "abc"] == [1, 1, 0], name
        assert [sums(name, "fresh", p) for p in "abc"] == [0, int(n in FRESH), int(n in FRESH)], name
        assert [sums(name, "old", p) for p in "abc"] == [int(n in OLD), 0, 0], name
        assert sums(name, "forgotten") <= 2 * (n in FORGOTTEN), name
        assert (sums(name, "again"), sums(name, "fresh"), sums(name, "old")) == (2, 2 * (n in FRESH), int(n in OLD))
    assert (sums("", "again"), sums("", "fresh"), sums("", "old")) == (300, 100, 50)

"""Sums below a path, of a Redis that is written to."""

import threading
from typing import Any

from hail.settings import DAY, load
from tests.contract.hits import NOW, message
from tests.servers import RedisServer
from whale.count.apply import Applier
from whale.store.redis import connect

TODAY = int(NOW // DAY) * DAY


def test_a_read_is_of_one_moment(redis_server: RedisServer, unique: str) -> None:
    """While hits come, children still add up to their parent: dense pages and small hashes are read together."""
    settings = load({"HAILWHALE_REDIS_URL": redis_server.url})
    store = connect(settings)

    def hits(first: int) -> list[dict[str, Any]]:
        return [
            {"pk": "t", "dimensions": {"v": f"n{i % 2500}"}, "metrics": {"m": 1}} for i in range(first, first + 400)
        ]

    many = [hit for first in range(0, 2400, 400) for hit in hits(first)]
    Applier(store, settings).apply([message(many, settings, unique)], NOW)
    done = threading.Event()

    def write() -> None:
        applier = Applier(store, settings)
        for seq in range(1, 60):
            applier.apply([message(hits(seq * 397), settings, unique, seq)], NOW)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set():
        _, sums = store.read_below(unique, ("t",), ("v",), 1, ["hits", "m"], DAY, [[TODAY]], 10_000)
        assert sums[0, :, 0].tolist() == sums[1:, :, 0].sum(axis=0).tolist()
        reads += 1
    writer.join()
    assert reads > 0

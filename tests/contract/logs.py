"""Visitor logs for tests: messages of plain dicts become entries, and what a store has logged becomes the oracle's records."""

import time
from collections.abc import Collection, Iterable
from typing import Any

from hail.message import Mark
from tests.log_oracle import Record
from whale.store.base import Store
from whale.store.contract.events import Caps, Said
from whale.store.memory import MemoryStore
from whale.store.redis import RedisStore
from whale.store.redis.keys import Keys
from whale.visitors.entries import Done, Entry, Hasher, SiteLog, entry_of, hasher

SECRET = b"secret of a site"
NOW_MS = int(time.time() * 1000)
LATER_MS = NOW_MS + 2 * 3_600_000  # after whatever a test of this run does
FOR_EVER_MS = 2**42
CAPS = Caps()


def hash_in(log: SiteLog) -> Hasher:
    return hasher(SECRET, log.account, log.site)


def hits_of(some: Iterable[dict[str, Any]]) -> list[Done]:
    return [Done(hit["visitor"], hit["at"], hit["event"], hit["properties"]) for hit in some]


def entry(log: SiteLog, message: dict[str, Any], publisher: str, hash_of: Hasher | None = None) -> Entry:
    mark: Mark = log.account, publisher, message["name"]
    return entry_of(log, mark, message["at"], hits_of(message["hits"]), hash_of or hash_in(log))


def visit(log: SiteLog, seq: int, *visitors: str, publisher: str = "ab" * 8, is_daily: bool = False) -> Entry:
    """One message in which each visitor has one event."""
    hits = [Done(visitor, NOW_MS + seq, "visit", is_daily=is_daily) for visitor in visitors]
    return entry_of(log, (log.account, publisher, seq), NOW_MS, hits, hash_in(log))


def logged(store: Store, log: SiteLog, said: Collection[Said] | None = None) -> list[Record]:
    """All records, as the oracle has them; visitors by their ids."""
    found: list[Record] = []
    for partition in range(log.partitions):
        read = store.read_log(log, partition, 0, FOR_EVER_MS, said)
        assert not read.is_incomplete
        assert said is not None or store.said_in_log(log, partition) == read.columns.keys()
        for (kind, name), column in read.columns.items():
            ids = store.ids_in_log(log, partition, column.visitors.tolist())
            rows = list(zip(*(each.tolist() for each in column), strict=True))
            assert rows == sorted(rows)
            for visitor, tick, value in rows:
                text = "" if kind == "e" else read.values_of[kind, name][value]
                found.append((ids[visitor].decode(), tick, kind, name, text))
    return sorted(found)


def numbers(store: Store, log: SiteLog) -> list[int]:
    """Of the visitors of a log with one partition, an event each, in order of these."""
    column = store.read_log(log, 0, 0, FOR_EVER_MS).columns["e", "visit"]
    return [visitor for _, visitor in sorted(zip(column.ticks.tolist(), column.visitors.tolist(), strict=True))]


def pass_by(store: Store, log: SiteLog, seconds: int) -> None:
    """Lets time go by for the periods of a log, by the store's own clock."""
    if isinstance(store, MemoryStore):
        for partition in range(log.partitions):
            for period in store.events.partition(log, partition).periods[False]:
                period.until = period.until and period.until - seconds
        return
    assert isinstance(store, RedisStore)
    for partition in range(log.partitions):
        _, key = Keys(log.account, store.shards).log(log.site, log.generation, partition)
        if store.client.hexists(key, "until"):
            store.client.hincrby(key, "until", -seconds)

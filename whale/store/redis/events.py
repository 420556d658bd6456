"""The visitor log: what messages add, and what is known of visitors. log_reader.py reads it, compaction.py packs it.

A message is logged on each shard by one call, which also sets its bit there. So it is logged once, however often it comes.
"""

import secrets
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from hail.message import Mark
from whale.period import day_of, midnight
from whale.store.contract.events import Caps
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database
from whale.store.redis.log_calls import HASH, NO_DAY, Day, ShardCall, groups
from whale.visitors.deeds import Columns
from whale.visitors.entries import Entry, SiteLog
from whale.visitors.tail import RECORD

CHUNK = 960
AT_ONCE = 1000  # reads of one packet


class Events:
    """`add_to_log` is for one thread, the rest for many."""

    def __init__(self, database: Database):
        self._database, self._client = database, database.client
        self._log, self._number = database.script("period", "log"), database.script("number")
        self._days: dict[str, Day] = {}

    @reachable
    def add_to_log(self, entries: Sequence[Entry | Columns], caps: Caps) -> dict[tuple[SiteLog, int], int]:
        waiting: dict[tuple[SiteLog, int], int] = {}
        for group in groups([Columns.of(entry) if isinstance(entry, Entry) else entry for entry in entries]):
            left: dict[int, set[Mark]] = {}
            while calls := self._calls(group, left):
                waiting |= self._send(calls, left, caps)
                if all(left[call.shard].issuperset(call.marks) for call in calls):
                    break
            if group:
                keys = self._database.keys(group[0].log.account)
                for shard in left:
                    self._database.await_replicas(keys, shard)
        return {partition: size for partition, size in waiting.items() if size}

    def _calls(self, entries: Sequence[Columns], done: dict[int, set[Mark]]) -> list[ShardCall]:
        """A call for each shard that lacks some of these. done: what each shard has."""
        calls: dict[int, ShardCall] = {}
        for entry in entries:
            log, keys = entry.log, self._database.keys(entry.log.account)
            partition = np.fromiter(map(log.partition_of, entry.hashes), np.int64, len(entry.hashes))
            here: dict[int, dict[int, str]] = {}
            for number in np.unique(partition).tolist():
                shard, key = keys.log(log.site, log.generation, number)
                here.setdefault(shard, {})[number] = key
            for shard, partitions in here.items():
                if entry.mark not in done.get(shard, ()):
                    call = calls.setdefault(shard, ShardCall(shard, self._database.settings.spool_max_age_s))
                    call.add(entry, keys, partition, partitions)
        return list(calls.values())

    def _send(
        self, calls: Sequence[ShardCall], done: dict[int, set[Mark]], caps: Caps
    ) -> dict[tuple[SiteLog, int], int]:
        """Notes in `done` which messages a shard has now, and gives the records that wait there."""
        for call in calls:
            for account in call.of_days - self._days.keys():
                self._days[account] = NO_DAY._replace(end=1)  # the server says which it is
        word = secrets.token_hex(4)
        waiting: dict[tuple[SiteLog, int], int] = {}
        answers = self._log.many([call.command(caps, self._days, word) for call in calls])
        for call, (said, *rest) in zip(calls, answers, strict=True):
            has = done.setdefault(call.shard, set())
            if said == b"seen":
                has |= {call.marks[place] for place in rest}
            elif said == b"day":
                for account in call.of_days:
                    self._days[account] = _day(rest[0], self._database.zone(account))
            else:
                has |= set(call.marks)
                waiting |= {each: size // RECORD.itemsize for each, size in zip(call.partitions, rest, strict=True)}
        return waiting

    @reachable
    def ids_in_log(self, log: SiteLog, partition: int, numbers: Iterable[int]) -> dict[int, bytes]:
        _, key = self._database.keys(log.account).log(log.site, log.generation, partition)
        wanted, found = set(numbers), dict[int, bytes]()
        newest = self._client.hget(key, "g")
        for period in () if newest is None else (int(newest), int(newest) - 1):
            count = int(self._client.hget(key, f"m:{period}") or 0)
            for chunk in range(-(-count // CHUNK)):
                for number, id_ in _ids(self._client.get(f"{key}:i:{period}:{chunk}") or b""):
                    if number in wanted and id_.strip(b"\0"):  # else it was erased
                        found[number] = id_
        return found

    @reachable
    def number_in_log(self, log: SiteLog, hash_: bytes) -> int | None:
        found = self._found(log, hash_)
        return int(found[0]) if found else None

    @reachable
    def id_in_log(self, log: SiteLog, hash_: bytes) -> bytes:
        number, *chunk = self._found(log, hash_) or [0]
        ids = _ids(self._client.get(chunk[0]) or b"") if chunk else ()
        return next((id_ for each, id_ in ids if each == number and id_.strip(b"\0")), b"")  # else it was erased

    def _found(self, log: SiteLog, hash_: bytes) -> list[Any] | None:
        _, key = self._database.keys(log.account).log(log.site, log.generation, log.partition_of(hash_))
        return self._number([key], [hash_[:HASH]]) or None

    @reachable
    def daily_in_log(self, log: SiteLog, partition: int) -> tuple[int, int] | None:
        _, key = self._database.keys(log.account).log(log.site, log.generation, partition)
        since, until = self._database.client.hmget(key, ["dfrom", "duntil"])
        return None if since is None or until is None else (int(since), int(until))

    @reachable
    def log_tallies(self, account: str, publishers: Collection[str]) -> dict[str, dict[str, int]]:
        keys, shards = self._database.keys(account), range(self._database.shards)
        found: dict[str, dict[str, int]] = {publisher: {} for publisher in publishers}
        places = [(publisher, keys.log_tally(shard, publisher)) for publisher in found for shard in shards]
        for first in range(0, len(places), AT_ONCE):
            some = places[first : first + AT_ONCE]
            with self._client.pipeline(transaction=False) as pipe:
                for _, key in some:
                    pipe.hgetall(key)
                answers = pipe.execute()
            for (publisher, _), of_shard in zip(some, answers, strict=True):
                tally = found[publisher]
                for word, count in of_shard.items():
                    tally[word.decode()] = tally.get(word.decode(), 0) + int(count)
        return found


def _day(now: int, zone: str) -> Day:
    number = day_of(now, zone)
    start, end = midnight(number, zone), midnight(number + 1, zone)
    return Day(number, min(start, now), end)


def _ids(chunk: bytes) -> Iterable[tuple[int, bytes]]:
    at = 0
    while at < len(chunk):
        end = at + 5 + chunk[at + 4]
        yield int.from_bytes(chunk[at : at + 4], "little"), chunk[at + 5 : end]
        at = end

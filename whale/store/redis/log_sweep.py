"""What is to be done for logs of visitors beside logging, in small steps: quiet tails are packed, what is older than its site keeps
goes, so do the records of erased visitors and logs that have ended, and logs of an account that take too much are closed.

One list for all accounts says when which log is due. A member is there before the record of its log, and goes when there is none any
more; so nothing is forgotten where somebody is killed between. Each step is safe twice at once and killed anywhere. Times go by the
clock of Redis.
"""

from collections.abc import Generator, Iterator

import msgspec
import numpy as np

from hail.room import MEGABYTE
from hail.settings import DAY
from whale.store.contract.log_sweep import (
    AGAIN_S,
    ENDED_S,
    FIELD_BYTES,
    QUIET_S,
    SOON_S,
    USUAL_MB,
    USUAL_PART,
    VISITOR_BYTES,
)
from whale.store.redis.accounts import Accounts
from whale.store.redis.compaction import Compaction, index_of
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database
from whale.store.redis.events import CHUNK
from whale.store.redis.keys import LogKeys
from whale.store.redis.site_logs import SiteLogs
from whale.visitors.entries import SiteLog
from whale.visitors.record import LATEST_S, Generation, LogRecord, without
from whale.visitors.tail import RECORD

LEASE_S = 10
FEW = 100

_member = msgspec.json.Decoder(tuple[str, str]).decode


class LogSweeper:
    """The work of one process. For one thread at a time."""

    def __init__(self, database: Database, accounts: Accounts, site_logs: SiteLogs, compaction: Compaction):
        self._database, self._client = database, database.client
        self._accounts, self._site_logs, self._compaction = accounts, site_logs, compaction
        self._forget = database.script("forget")
        self._work: Iterator[None] | None = None
        self._member = b""

    @reachable
    def sweep_logs(self, later_s: float = 0.0) -> bool:
        if self._work is None:
            now = self._site_logs.now_ms() / 1000 + later_s
            due = self._client.zrange(LogKeys.DUE, "-inf", now, byscore=True, offset=0, num=1)
            if not due:
                return False
            self._member = due[0]
            self._work = self._steps(*_member(due[0]), now)
        self._client.zadd(LogKeys.DUE, {self._member: self._site_logs.now_ms() / 1000 + LEASE_S}, xx=True)
        try:
            next(self._work)
        except StopIteration:
            self._work = None
        except Exception:  # whatever it was: begun anew by whoever comes first
            self._work = None
            raise
        return True

    def _steps(self, account: str, site: str, now: float) -> Iterator[None]:
        record = self._as_its_site_is(account, site)
        yield
        if record is None:
            self._client.hdel(self._database.keys(account).log_bytes(), site)
            self._client.zrem(LogKeys.DUE, self._member)
            return
        size, again_s = 0, AGAIN_S
        for generation in record.generations:
            log = record.log(account, site, generation)
            is_over = generation.until_ms is not None and now >= generation.until_ms / 1000 + ENDED_S
            for partition in range(log.partitions):
                if is_over:
                    yield from self._free(log, partition)
                else:
                    size += yield from self._tend(log, partition, now)
            if generation.until_ms is not None and not is_over:
                again_s = min(again_s, generation.until_ms / 1000 + ENDED_S - now)
            if generation.until_ms is not None and now >= generation.until_ms / 1000 + ENDED_S + LATEST_S:
                self._drop(account, site, generation)  # no message that belongs to it may come any more
        is_full, is_near = self._weigh(account, site, size)
        for generation in record.generations:
            if generation.until_ms is None:
                self._close(record.log(account, site, generation), is_full)
        self._client.zadd(LogKeys.DUE, {self._member: now + (SOON_S if is_near else again_s)}, xx=True)

    def _as_its_site_is(self, account: str, site: str) -> LogRecord | None:
        """The record, ended where its site is gone, and with what the site says now."""
        record = self._site_logs.log_records(account, [site]).get(site)
        if record and record.is_open and self._database.settings.visitor_log:
            entry = next((each for each in self._accounts.sites(account) if each.pk == site), None)
            if entry:
                return self._site_logs.begin_log(entry)
            self._site_logs.end_log(account, site)
            return self._site_logs.log_records(account, [site]).get(site)
        return record

    def _drop(self, account: str, site: str, generation: Generation) -> None:
        self._site_logs.change(account, site, lambda seen, _: without(seen, generation) if seen else None)

    def _key(self, log: SiteLog, partition: int) -> str:
        return self._database.keys(log.account).log(log.site, log.generation, partition)[1]

    # A log that is kept

    def _tend(self, log: SiteLog, partition: int, now: float) -> Generator[None, None, int]:
        """Gives how many bytes the partition takes, about."""
        key = self._key(log, partition)
        if self._is_quiet(key, now):
            self._compaction.compact_log(log, partition)
            yield
        self._compaction.drop_before(log, partition, int(now - log.keep_days * DAY) * 1000)
        self._forget([key], [int((now - LATEST_S) * 1000)])
        yield
        while self._compaction.purge_log(log, partition):
            yield
        parts = sum(part.bytes for part in index_of(self._client.hgetall(f"{key}:x")).values())
        return parts + int(self._client.strlen(f"{key}:t")) + self._names_weigh(key)

    def _names_weigh(self, key: str) -> int:
        """Of what is known of visitors, names and values; of many by some of them."""
        g, dg = self._client.hmget(key, "g", "dg")
        periods = [f"{prefix}{int(last) - back}" for prefix, last in (("", g), ("d", dg)) if last for back in (0, 1)]
        known = self._client.hmget(key, [f"m:{period}" for period in periods]) if periods else []
        size = 0.0
        for period, visitors in zip(periods, (int(count or 0) for count in known), strict=True):
            in_chunk = self._client.strlen(f"{key}:i:{period}:{visitors // CHUNK // 2}")
            size += visitors * (VISITOR_BYTES + in_chunk / min(CHUNK, max(1, visitors)))
        for names in (f"{key}:c", *(f"{key}:a:{period}" for period in periods)):
            some = self._client.hrandfield(names, -FEW, withvalues=True) or []
            size += self._client.hlen(names) * (FIELD_BYTES + sum(map(len, some)) / max(1, len(some) / 2))
        return int(size)

    def _is_quiet(self, key: str, now: float) -> bool:
        """Whether nobody fills the tail any more, or it holds something that is old."""
        first = np.frombuffer(self._client.getrange(f"{key}:t", 0, RECORD.itemsize - 1), RECORD)
        if not len(first):
            return bool(self._client.exists(f"{key}:z"))
        last = float(self._client.hget(key, "t") or 0)
        return now - last >= QUIET_S or now - int(first["day"][0]) * DAY >= LATEST_S

    def _weigh(self, account: str, site: str, size: int) -> tuple[bool, bool]:
        """Whether the account's logs take all that they may, or nearly."""
        key, most = self._database.keys(account).log_bytes(), self._most()
        self._client.hset(key, site, size)
        total = sum(map(int, self._client.hvals(key)))
        return total > most, total > most / 2

    def _most(self) -> float:
        """Bytes that the logs of an account may take."""
        most_mb = self._database.settings.events_max_mb
        if most_mb is not None:
            return most_mb * MEGABYTE
        of_servers = [int(each["maxmemory"]) for each in self._database.info("memory")]
        return USUAL_PART * sum(of_servers) if all(of_servers) else USUAL_MB * MEGABYTE

    def _close(self, log: SiteLog, is_full: bool) -> None:
        for partition in range(log.partitions):
            key = self._key(log, partition)
            if is_full:
                self._client.hset(key, "full", 1)
            else:
                self._client.hdel(key, "full")

    # A log that has ended

    def _free(self, log: SiteLog, partition: int) -> Iterator[None]:
        """All keys of a partition. Who was stopped for long may write some of them anew: they go at the next sweep."""
        key = self._key(log, partition)
        state = {name.decode(): value for name, value in self._client.hgetall(key).items()}
        names = [f"{key}:b:{id_.decode()}" for id_ in self._client.hkeys(f"{key}:x")]
        for prefix in ("", "d"):
            newest = int(state.get(f"{prefix}g", 0))
            for period in (f"{prefix}{each}" for each in (newest, newest - 1) if newest):
                names += (f"{key}:f:{period}:{i}" for i in range(int(state.get(f"b:{period}", 1))))
                chunks = -(-int(state.get(f"m:{period}", 0)) // CHUNK)
                names += (f"{key}:i:{period}:{chunk}" for chunk in range(chunks))
                names.append(f"{key}:a:{period}")
        for first in range(0, len(names), FEW):
            self._client.unlink(*names[first : first + FEW])
            yield
        self._client.unlink(*(f"{key}:{rest}" for rest in "tzxcgrvq"), key)
        yield

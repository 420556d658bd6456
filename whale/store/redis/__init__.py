"""The fast store: Redis (>= 6.2) or Redis Cluster. What each method promises is in base.py, where things lie in keys.py and lua/.

Its parts: numbers.py knows the numbers of nodes and metrics, marker.py makes marks, writer.py applies what hits add up to,
reader.py and below.py answer, changes.py sets and resets, sweep.py frees what they left, decisions.py and imports.py keep those;
connection.py is below them all.
"""

import base64
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import redis
from redis.cluster import RedisCluster

from hail.message import ACCOUNT
from hail.settings import Settings
from whale.cells import Name
from whale.dimension import Path, Pk
from whale.errors import Refused, SetupError, Unavailable
from whale.spy import KEPT, KEPT_S, Traces
from whale.store.base import ASIDE_KEPT_S, Change, FaultyMetric, Illegible, PublisherAudit, last_within
from whale.store.redis import keys as layout
from whale.store.redis.below import Below
from whale.store.redis.changes import Changer
from whale.store.redis.connection import TOGETHER, Connection, Script, pack, reachable
from whale.store.redis.decisions import Decisions
from whale.store.redis.imports import Imports
from whale.store.redis.keys import Keys, digest
from whale.store.redis.refusals import lacks_right
from whale.store.redis.sweep import Sweeper
from whale.store.redis.writer import Writer

FINGERPRINT = 6  # bytes of the hash that stands for a hit id, and for the message that owns it


def connect(settings: Settings, timeout_s: float = 10.0) -> "RedisStore":
    """A store on settings.redis_url; raises SetupError where the server does not fit, Unavailable where there is none."""
    try:
        store = RedisStore(Connection(settings.redis_url, timeout_s), settings)
        store.check()
    except Refused as error:
        if error.lasting:
            raise SetupError(str(error)) from None
        raise
    return store


class RedisStore(Writer, Below, Decisions, Imports):
    """whale.store.base.Store on a connection. One thread may write at a time, beside it many may read, set and reset."""

    def __init__(self, connection: Connection, settings: Settings):
        super().__init__(connection, settings)
        self._claim, self._spy = Script(self.client, "claim"), Script(self.client, "spy")
        self._aside = Script(self.client, "aside")
        self._changing = threading.Lock()
        self._changer = Changer(connection, settings)
        self._sweepers: dict[str, Sweeper] = {}

    @reachable
    def check(self) -> None:
        """That the server was set up for as many shards and this layout; the first one to come says so for ever.

        And that its user has all rights, where it is not the one that has them by itself.
        """
        if not self.connection.is_cluster and self.client.info("server").get("redis_mode") == "cluster":
            raise SetupError(f"HAILWHALE_REDIS_URL: expected a single Redis, got a Redis Cluster: {TOGETHER}")
        found = self.client.hmget(layout.META, "shards", "version")
        if None in found:
            self.client.hsetnx(layout.META, "shards", self.shards)
            self.client.hsetnx(layout.META, "version", layout.VERSION)
            found = self.client.hmget(layout.META, "shards", "version")
        shards, version = map(int, found)
        if shards != self.shards:
            raise SetupError(
                f"HAILWHALE_SHARDS is {self.shards}, but this Redis was begun with {shards}: set it to {shards}"
            )
        if version != layout.VERSION:
            raise SetupError(
                f"this Redis holds layout {version}, this program reads {layout.VERSION}: use the release that wrote it"
            )
        if urlsplit(self.settings.redis_url).username:
            scratch = Keys(ACCOUNT, self.shards).scratch(0)
            self.client.exists(scratch)  # every script begins with it
            lacks = Script(self.client, "rights")([scratch], [])
            if lacks:
                raise Refused(lacks_right(f"it may not run {lacks.decode()}"), lasting=True)

    @reachable
    def check_writable(self) -> None:
        """Raises Unavailable where no write is taken; writes nothing."""
        self.client.setrange(layout.META + ":none", 0, "")

    def hurried(self, timeout_s: float) -> "RedisStore":
        made = RedisStore(Connection(self.settings.redis_url, timeout_s), self.settings)
        made._known = self._known  # what one learnt is true for the other
        return made

    def steady(self) -> AbstractContextManager[None]:
        return self.connection.steady()

    # ids

    @reachable
    def claim(self, account: str, ids: Sequence[tuple[str, Name]], now: float) -> set[int]:
        keys = Keys(account, self.shards)
        width = int(self.settings.dedupe_window_s + self.settings.spool_max_age_s) // 2
        slice_ = int(now) // width
        most = self.settings.max_ids // (3 * self.shards)
        owners: dict[Name, str] = {}
        calls: dict[int, tuple[list[int], list[Any]]] = {}
        for position, (hit_id, name) in enumerate(ids):
            owner = owners.get(name)
            if owner is None:
                owner = owners[name] = _text(digest(name[0], str(name[1]), size=FINGERPRINT))
            raw = digest(hit_id, size=FINGERPRINT + 4)
            bucket = int.from_bytes(raw[:2], "big") % layout.ID_BUCKETS
            shard = int.from_bytes(raw[2:4], "big") % self.shards
            positions, ask = calls.setdefault(shard, ([], [3 * width, most]))
            positions.append(position)
            ask += (bucket, _text(raw[4:]), owner)
        taken: set[int] = set()
        for shard, (positions, ask) in calls.items():
            found = self._claim([keys.ids(shard, slice_ - back) for back in range(3)], [pack(ask)])
            taken.update(positions[i] for i in found)
        return taken

    # changing

    @reachable
    def set(self, account: str, change: Change, now: float) -> dict[str, int]:
        with self._changing:
            return self._changer.set(account, change, now)

    @reachable
    def reset(self, account: str, pk: Pk, path: Path | None, now: float) -> None:
        with self._changing:
            self._changer.reset(account, pk, path, now)

    @reachable
    def sweep(self, account: str, now: float) -> bool:
        if account not in self._sweepers:
            keys = Keys(account, self.shards)
            self._sweepers[account] = Sweeper(self.client, Script(self.client, "sweep"), keys)
        return self._sweepers[account].step(now)

    # the audit

    @reachable
    def seen(self, account: str, name: Name) -> bool:
        keys = Keys(account, self.shards)
        publisher, seq = name
        return bool(self.client.getbit(keys.seen(keys.home(publisher), publisher, seq), seq % layout.SEEN_BITS))

    @reachable
    def audit(self, account: str) -> list[PublisherAudit]:
        keys = Keys(account, self.shards)
        found = []
        for shard in range(self.shards):
            for raw in self.client.zrange(keys.publishers(shard), 0, -1):
                publisher = raw.decode()
                row = {
                    name.decode(): int(value) for name, value in self.client.hgetall(keys.publisher(publisher)).items()
                }
                dropped = {
                    name.removeprefix("dropped."): count for name, count in row.items() if name.startswith("dropped.")
                }
                if row:
                    found.append(
                        PublisherAudit(publisher, row["messages"], row["hits"], row["seq"], row["total"], dropped)
                    )
        return found

    @reachable
    def faults(self, account: str) -> dict[str, int]:
        keys = Keys(account, self.shards)
        sums: dict[str, int] = {}
        for shard in range(self.shards):
            for reason, count in self.client.hgetall(keys.faults(shard)).items():
                sums[reason.decode()] = sums.get(reason.decode(), 0) + int(count)
        return sums

    @reachable
    def evicted(self) -> int:
        if isinstance(self.client, RedisCluster):
            found = self.client.info("stats", target_nodes=RedisCluster.PRIMARIES)
            nodes = [found] if "evicted_keys" in found else list(found.values())  # of one node its own answer
        else:
            nodes = [self.client.info("stats")]
        return sum(int(node["evicted_keys"]) for node in nodes)

    @reachable
    def faulty_metrics(self, account: str) -> list[FaultyMetric]:
        found = [
            name for shard in range(self.shards) for name in self._noted_faults(account, shard) if name.startswith(b"[")
        ]
        return sorted(FaultyMetric(reason, tuple(pk), metric) for reason, pk, metric in map(msgspec.json.decode, found))

    @reachable
    def faults_seen(self, account: str) -> dict[str, int]:
        sums: dict[str, int] = {}
        for shard in range(self.shards):
            for name, count in self._noted_faults(account, shard).items():
                if not name.startswith(b"["):
                    sums[name.decode()] = sums.get(name.decode(), 0) + int(count)
        return sums

    @reachable
    def see_faults(self, account: str) -> None:
        keys = Keys(account, self.shards)
        for shard in range(self.shards):
            if counts := self.client.hgetall(keys.faults(shard)):
                self.client.hset(keys.noted(shard), mapping=counts)

    def _noted_faults(self, account: str, shard: int) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = self.client.hgetall(Keys(account, self.shards).noted(shard))
        return found

    @reachable
    def set_aside(self, account: str, hits: Sequence[Illegible]) -> None:
        most = self.settings.max_undecodable_bytes
        ask: list[Any] = [most, ASIDE_KEPT_S]
        for hit in last_within(hits, most):
            ask += hit
        self._aside(Keys(account, self.shards).undecodable(), ask)

    @reachable
    def aside(self, account: str) -> list[Illegible]:
        names, raws = Keys(account, self.shards).undecodable()
        kept = self.client.zrange(names, 0, -1, withscores=True)
        found = self.client.hmget(raws, [name for name, _ in kept]) if kept else []
        rows = zip(kept, found, strict=True)
        return [Illegible(name.decode(), int(at), raw) for (name, at), raw in rows if raw is not None]

    # the spy

    @reachable
    def spy_add(self, account: str, traces: Traces, now: float) -> None:
        keys = Keys(account, self.shards)
        ask: list[Any] = [KEPT, KEPT_S, self.settings.max_spied_visitors, int(now)]
        ask += (traces.counted, traces.others, traces.refused)
        for visitor, texts in traces.visitors.items():
            ask += (layout.visitor_id(visitor), texts)
        try:
            self._spy(keys.spy(), [pack(ask)])
        except redis.ResponseError as error:
            raise Unavailable(f"Redis: {error}") from error

    @reachable
    def spied(self, account: str, visitor: str | None = None) -> list[bytes]:
        keys = Keys(account, self.shards)
        counted, others, _, refused = keys.spy()
        lists = (counted, others, refused) if visitor is None else (keys.spied_visitor(visitor), refused)
        return [text for key in lists for text in self.client.lrange(key, 0, -1)]


def _text(raw: bytes) -> str:
    """Bytes as the short text that Redis's msgpack can take: it knows no binary."""
    return base64.b64encode(raw).decode()

"""The fast store: Redis (>= 6.2) or Redis Cluster. What each method promises is in base.py, where things lie in keys.py and lua/.

A worker's way: find the number of each node and metric (dictionaries, cached here), turn cells into slots of pages, hand all pages of
a shard to apply.lua in one call. A dictionary in the cache is right as long as Redis still knows its token; apply.lua and read.lua
check that, and what is stale is asked for again by name. So a reset, a failover or an older AOF under a running worker costs a round
trip and never a wrong number.
"""

import base64
import logging
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import wraps
from importlib import resources
from typing import Any, NamedTuple, ParamSpec, TypeVar

import msgspec
import numpy as np
import redis
from numpy.typing import NDArray
from redis.backoff import ExponentialWithJitterBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from hail.hit import Reason
from hail.settings import DAY, DISTINCT, QUANTILE, Settings
from whale.count.denormalize import Branch, Cells, Sums
from whale.count.marks import Marks, Spot, Value, marked
from whale.count.resets import Reset, kept_targets
from whale.dimension import Path, Pk
from whale.errors import SetupError, Unavailable
from whale.metric import distinct_periods, is_narrow, split_bin
from whale.period import Interval, next_start
from whale.spy import KEPT, KEPT_S, Traces
from whale.store import keys as layout
from whale.store.base import OTHER, Change, Mark, Name, PublisherAudit, Tally, touched
from whale.store.keys import PAGE, PAGE_BITS, Keys, digest, place
from whale.store.sweep import Sweeper

log = logging.getLogger(__name__)
CLUSTER_SCHEME = "redis+cluster://"
FINGERPRINT = 6  # bytes of the hash that stands for a hit id, and for the message that owns it
NODE = tuple(f"#{node}" for node in range(PAGE))
TALLY_TTL_S = 7 * DAY
MAX_CACHED_NODES = 500_000
TRIES = 20
MAX_KNOWN_PKS = 1000
REPLICA_TIMEOUT_MS = 1000
DIRECTORY_S = 60
FEW_NODES = 16
MIXED, FULL = -100_000, -100_001
LOST = {MIXED: Reason.MIXED_KINDS, FULL: Reason.TOO_MANY_METRICS}
MARKS_A_CALL, NAMES_A_ROW, COMMANDS_A_READ = 2000, 1000, 2000

_pack = msgspec.msgpack.Encoder().encode
P = ParamSpec("P")
R = TypeVar("R")


def _reachable(method: Callable[P, R]) -> Callable[P, R]:
    """Says Unavailable for what passes by itself: no connection, loading, failing over, out of memory."""

    @wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, redis.OutOfMemoryError) as error:
            raise Unavailable(f"Redis: {error}") from error
        except (redis.exceptions.ClusterError, redis.exceptions.RedisClusterException) as error:
            raise Unavailable(f"Redis Cluster: {error}") from error

    return guarded


class _Script:
    """A Lua file, or several that run as one, loaded where it runs first."""

    def __init__(self, client: Any, *names: str):
        self._client = client
        folder = resources.files("whale.store") / "lua"
        self._text = "\n".join((folder / f"{name}.lua").read_text() for name in names)
        self._sha = redis.Redis().register_script(self._text).sha

    def __call__(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            return self._client.evalsha(self._sha, len(keys), *keys, *args)
        except redis.exceptions.NoScriptError:
            return self._client.eval(self._text, len(keys), *keys, *args)


_Kinded = tuple[str, str]
"""A metric that is no sum, and its kind. Below 0 its number is why it does not count: MIXED, FULL."""


class _Dictionary:
    """What this process knows of one pk's numbers. broken: its key holds something else, so its cells have no place."""

    __slots__ = ("blocks", "broken", "id", "key", "metrics", "nodes", "pk", "shard", "token")

    def __init__(self, pk: Pk, keys: Keys):
        self.pk = pk
        self.shard, self.id = keys.pk(pk)
        self.key = keys.dictionary(self.shard, self.id)
        self.blocks = self.id  # how it stands in keys of blocks
        self.token = b""
        self.nodes: dict[Path, tuple[int, bool]] = {(): (0, False)}  # path -> its number, and whether it is folded
        self.metrics: dict[str | _Kinded, int] = {}
        self.broken = False


class _ResetLog:
    """What this process knows of the resets on one shard: right while Redis knows its token."""

    __slots__ = ("key", "resets", "token")

    def __init__(self, key: str, fields: dict[bytes, bytes]):
        self.key, self.token = key, fields[b"g"]
        self.resets = frozenset(
            Reset(*_reset_of(name[1:]), int(at_ms)) for name, at_ms in fields.items() if name != b"g"
        )


_reset_of = msgspec.json.Decoder(tuple[Pk, tuple[str, ...] | None]).decode


class _Known:
    """A whole dictionary as a reader needs it, true while `token` is the newest."""

    def __init__(self, fields: dict[bytes, bytes]):
        self.token = fields[b"g"][:8]
        self.generation = fields.get(b"gen", b"").decode()
        self.metrics: dict[str, int] = {}
        self.kinds: dict[str, str] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._children: dict[str, list[tuple[int, str]]] = {}
        for field, value in fields.items():
            parent, colon, name = field.decode().partition(":")
            if parent.startswith("r"):  # of runs
                continue
            if parent == "m" and colon:
                self.metrics[name] = int(value)
            elif parent == "k" and colon:
                self.kinds[name] = value.decode()
            elif colon:
                if parent.startswith("q"):  # "q<parent>:<metric>:<bin>"
                    parent, _, name = field.decode().rpartition(":")
                self._numbers[parent, name] = int(value)
                self._children.setdefault(parent, []).append((int(value), name))

    def number(self, path: Path) -> int | None:
        if bin_ := split_bin(path):
            number = self.number(bin_[0])
            return None if number is None else self._numbers.get((f"q{number}:{bin_[1]}", bin_[2]))
        parent = "0"
        for name in path:
            if name is None:
                parent = "p"
                continue
            number = self._numbers.get((parent, name))
            if number is None:
                return None
            parent = str(number)
        return None if parent == "p" else int(parent)

    def parent(self, path: Path) -> str:
        """As which the path's parent stands in the dictionary."""
        return "p" if path[:-1] == (None,) else str(self.number(path[:-1]))

    def children(self, parent: str) -> list[str]:
        return [name for _, name in sorted(self._children.get(parent, ()))]

    def numbered(self, parent: str) -> list[tuple[str, str]]:
        """Children of a node: name and number."""
        return [(name, str(number)) for number, name in sorted(self._children.get(parent, ()))]


# A branch's plan is (stamp, (rows, names)): where its cells go, and the metrics that all of these dictionaries know.
_Plan = list[tuple[tuple[_Dictionary, int], tuple[str, ...]]]  # a dictionary and a page, nodes on it as "#5"
_ShardPages = dict[
    tuple[_Dictionary, Interval, int, int], dict[int, msgspec.Raw]
]  # (..., block, page) -> bucket -> slots
_Pages = dict[int, _ShardPages]
_Lost = dict[int, dict[str, int]]  # by shard and reason, cells
_Expanded = tuple[dict[tuple[_Dictionary, int], msgspec.Raw], list[tuple[int, str, int]]]  # lost: shard, reason, cells


class _MarkCalls(NamedTuple):
    """What mark.lua is to write on one shard: fields of hashes; names (dictionary, key, row)."""

    values: dict[tuple[_Dictionary, Interval, int, int], list[Any]]
    names: list[tuple[_Dictionary, str, list[Any]]]


def connect(settings: Settings, timeout_s: float = 10.0) -> "RedisStore":
    """A store on settings.redis_url; raises SetupError where the server does not fit, Unavailable where there is none."""
    url = settings.redis_url
    retry = Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.02), 2)
    options: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": min(timeout_s, 2.0)}
    try:
        if url.startswith(CLUSTER_SCHEME):
            client: Any = RedisCluster.from_url("redis://" + url.removeprefix(CLUSTER_SCHEME), **options)
        else:
            client = redis.Redis.from_url(url, retry=retry, **options)
    except ValueError as error:
        raise SetupError(f"HAILWHALE_REDIS_URL: {error}") from None
    except redis.RedisError as error:
        raise Unavailable(f"Redis: {error}") from error
    store = RedisStore(client, settings)
    store.check()
    return store


class RedisStore:
    """whale.store.base.Store on a redis client (a redis.Redis or a RedisCluster that returns bytes)."""

    def __init__(self, client: Any, settings: Settings):
        self.client = client
        self.shards = int(settings.shards)
        self._settings = settings
        self._kept = dict(settings.periods)
        self._distinct_kept = distinct_periods(settings.periods)
        self._intern, self._apply, self._claim, self._read, self._mark, self._spy = (
            _Script(client, name) for name in ("intern", "apply", "claim", "read", "mark", "spy")
        )
        self._zones: dict[str, str] = {}
        self._folded: dict[tuple[str, Pk], Pk] = {}
        self._dictionaries: dict[tuple[str, Pk], _Dictionary] = {}
        self._cached_nodes = 0
        self._directory_until = 0.0
        self._stamp = object()  # plans of branches carry it, and are made anew when it changes
        self._known: dict[tuple[str, Pk], _Known] = {}
        self._reset_logs: dict[tuple[str, int], _ResetLog] = {}
        self._changing = threading.Lock()
        self._inner: RedisStore | None = None
        self._sweepers: dict[str, Sweeper] = {}

    @_reachable
    def check(self) -> None:
        """That the server was set up for as many shards and this layout; the first one to come says so for ever."""
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

    @_reachable
    def zone(self, account: str) -> str:
        zone = self._zones.get(account)
        if zone is None:
            found = self.client.hget(Keys(account, self.shards).account, "zone")
            if found is None:  # nothing was counted yet
                return str(self._settings.timezone)
            zone = self._zones[account] = found.decode()
        return zone

    def _begin(self, account: str) -> None:
        """Fixes the zone of an account that is counted for the first time."""
        if account not in self._zones:
            self.client.hsetnx(Keys(account, self.shards).account, "zone", self._settings.timezone)

    # ids

    @_reachable
    def claim(self, account: str, ids: Sequence[tuple[str, Name]], now: float) -> set[int]:
        keys = Keys(account, self.shards)
        width = int(self._settings.dedupe_window_s + self._settings.spool_max_age_s) // 2
        slice_ = int(now) // width
        most = self._settings.max_ids // (3 * self.shards)
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
            found = self._claim([keys.ids(shard, slice_ - back) for back in range(3)], [_pack(ask)])
            taken.update(positions[i] for i in found)
        return taken

    # counting

    @_reachable
    def apply(
        self,
        account: str,
        tallies: Sequence[Tally],
        cells: Cells,
        now: float,
        shards: Collection[int] | None = None,
        resets: frozenset[Reset] = frozenset(),
        marks: Marks | None = None,
    ) -> dict[int, set[Name]]:
        keys = Keys(account, self.shards)
        self._begin(account)
        self._trim(now)
        homes = {keys.home(tally.publisher) for tally in tallies}
        todo, done, refused = shards, set[int](), dict[int, set[Name]]()
        for _ in range(TRIES):
            if not self._resolve(account, keys, cells):
                continue
            pages, lost = self._pages(account, cells, todo)
            if marks and not self._make(account, keys, marks, now, todo, lost, resets):
                continue
            stale = False
            for shard in sorted({*pages, *(homes if todo is None else homes.intersection(todo))} - done):
                mine = pages.get(shard, {})
                dictionaries = list(dict.fromkeys(dictionary for dictionary, *_ in mine))
                log_of = self._resets_on(account, keys, shard)
                if not log_of.resets <= resets:
                    done.add(shard)
                    refused[shard] = set()
                    continue
                checked: list[_Dictionary | _ResetLog] = [*dictionaries, log_of]
                answer = self._apply_shard(keys, shard, tallies, mine, checked, now, lost.get(shard, {}))
                if answer[0] == b"stale":
                    for i in answer[1:]:
                        if i == len(dictionaries):
                            del self._reset_logs[account, shard]
                            self._forget_directory()
                        else:
                            self._forget(account, dictionaries[i])
                    stale = True
                    continue
                done.add(shard)
                if answer[0] == b"seen":
                    refused[shard] = {tallies[i].name for i in answer[1:]}
            if not stale:
                return refused
        raise Unavailable(
            f"Redis: dictionaries of account {account} changed {TRIES} times while some hits were applied"
        )

    def _apply_shard(
        self,
        keys: Keys,
        shard: int,
        tallies: Sequence[Tally],
        pages: _ShardPages,
        dictionaries: Sequence["_Dictionary | _ResetLog"],
        now: float,
        lost: dict[str, int],
    ) -> Any:
        seen_ttl = int(self._settings.spool_max_age_s) + DAY
        bits: list[int] = []
        homed = []
        for tally in tallies:
            bits += (tally.seq % layout.SEEN_BITS, 0 if tally.lasting else seen_ttl)
            if keys.home(tally.publisher) == shard:
                fields = ["messages", 1, "hits", tally.hits]
                for reason, count in tally.dropped.items():
                    fields += (f"dropped.{reason}", count)
                homed.append((tally.publisher, tally.seq, tally.total, fields))
        names = [keys.seen(shard, tally.publisher, tally.seq) for tally in tallies]
        names += (dictionary.key for dictionary in dictionaries)
        names += (keys.publisher(publisher) for publisher, *_ in homed)
        names += (keys.publishers(shard), keys.faults(shard), keys.aside(shard))
        flat = []
        for (dictionary, interval, block, page), buckets in pages.items():
            names.append(keys.block(shard, dictionary.blocks, interval, block, page))
            kept = self._kept[interval]
            row: list[Any] = [0 if kept is None else max(1, int(layout.block_end(interval, block) + kept - now))]
            for bucket in buckets.items():
                row += bucket
            flat.append(row)
        head: list[Any] = [
            bits,
            [dictionary.token.decode() for dictionary in dictionaries],
            homed,
            int(now),
            TALLY_TTL_S,
        ]
        head.append([part for row in lost.items() for part in row])
        answer = self._apply(names, [_pack(head), _pack(flat)])
        if self._settings.wait_replicas:
            self._await_replicas(keys.waited(shard))
        return answer

    def _await_replicas(self, key: str) -> None:
        """Until as many replicas as are asked for have all that was written so far; raises Unavailable.

        WAIT speaks of what its own connection wrote. Replicas take all writes in one order, so one more write, last, stands for all.
        """
        wanted = self._settings.wait_replicas
        if isinstance(self.client, RedisCluster):
            self.client.incr(key)
            node = self.client.get_node_from_key(key)
            reached = self.client.execute_command("WAIT", wanted, REPLICA_TIMEOUT_MS, target_nodes=node)
        else:
            with self.client.pipeline(transaction=False) as one_connection:
                one_connection.incr(key)
                one_connection.execute_command("WAIT", wanted, REPLICA_TIMEOUT_MS)
                reached = one_connection.execute()[1]
        if reached < wanted:
            raise Unavailable(f"Redis: {reached} of {wanted} replicas have what was applied")

    def _pages(self, account: str, cells: Cells, shards: Collection[int] | None) -> tuple[_Pages, _Lost]:
        """Cells by shard, block and page, and bucket, those of a bucket packed as apply.lua takes them; and how many are lost."""
        zone = self.zone(account)
        expanded: dict[int, _Expanded] = {}
        grouped: _Pages = {}
        lost: _Lost = {}
        for interval, level in cells.items():
            for start, sums in level.items():
                found = expanded.get(id(sums))  # levels share their sums
                if found is None:
                    found = expanded[id(sums)] = _expanded(sums)
                block, offset = place(interval, start, zone)
                for shard, reason, count in found[1]:
                    _lose(lost, shard, reason, count)
                for (dictionary, page), slots in found[0].items():
                    if shards is None or dictionary.shard in shards:
                        of_shard = grouped.setdefault(dictionary.shard, {})
                        of_shard.setdefault((dictionary, interval, block, page), {})[offset] = slots
        return grouped, lost

    def _make(
        self,
        account: str,
        keys: Keys,
        marks: Marks,
        now: float,
        shards: Collection[int] | None,
        lost: _Lost,
        resets: frozenset[Reset],
    ) -> bool:
        """Makes marks, after `_resolve`; False where a dictionary turned out to be gone, or a reset came.

        lost: adds what could not be made. None is made on a shard that knows of other resets than those that the marks have
        heeded: it will be refused.
        """
        zone = self.zone(account)
        where: dict[tuple[Branch, str, str], list[tuple[_Dictionary, list[Path]]]] = {}
        unknown: dict[_Dictionary, dict[_Kinded, None]] = {}
        for spot in marks.spots:
            key = spot.branch, spot.metric, spot.kind
            if key in where:
                continue
            found = marked(self._folded[account, spot.branch.pk], spot)
            where[key] = [(self._dictionary(account, keys, pk), paths) for pk, paths in found]
            for dictionary, _ in where[key]:
                if (spot.metric, spot.kind) not in dictionary.metrics:
                    unknown.setdefault(dictionary, {})[spot.metric, spot.kind] = None
        for dictionary, metrics in unknown.items():
            if not dictionary.broken and not self._learn(account, dictionary, (), metrics):
                return False
        calls: dict[int, _MarkCalls] = {}
        for spot in marks.spots:
            for dictionary, paths in where[spot.branch, spot.metric, spot.kind]:
                if dictionary.broken or (shards is not None and dictionary.shard not in shards):
                    continue
                metric = dictionary.metrics[spot.metric, spot.kind]
                nodes = dict.fromkeys(dictionary.nodes[path][0] for path in paths)
                if metric < 0:
                    _lose(lost, dictionary.shard, LOST[metric], len(nodes))
                    continue
                mine = calls.setdefault(dictionary.shard, _MarkCalls({}, []))
                if spot.kind == DISTINCT:
                    kept = self._distinct_kept[spot.interval]
                    end = next_start(spot.interval, spot.start, zone)
                    ttl = 0 if kept is None else max(1, int(end + kept - now))
                    names = list(marks.names[spot])
                    for node in nodes:
                        key_ = keys.distinct(
                            dictionary.shard, dictionary.blocks, spot.interval, spot.start, node, metric
                        )
                        for first in range(0, len(names), NAMES_A_ROW):
                            some = names[first : first + NAMES_A_ROW]
                            mine.names.append((dictionary, key_, [f"{node}:{metric}", ttl, *some]))
                else:
                    self._values_of(keys, dictionary, spot, marks, metric, nodes, mine, zone)
        for shard, call in calls.items():
            log_of = self._resets_on(account, keys, shard)
            if not log_of.resets <= resets:
                continue
            for stale in self._send_marks(keys, shard, call, log_of, now):
                if isinstance(stale, _ResetLog):
                    del self._reset_logs[account, shard]
                    self._forget_directory()
                else:
                    self._forget(account, stale)
                return False
        return True

    def _values_of(
        self,
        keys: Keys,
        dictionary: _Dictionary,
        spot: Spot,
        marks: Marks,
        metric: int,
        nodes: Iterable[int],
        into: _MarkCalls,
        zone: str,
    ) -> None:
        block, offset = place(spot.interval, spot.start, zone)
        text = _value_text(marks.values[spot])
        for node in nodes:
            row = into.values.setdefault((dictionary, spot.interval, block, node >> PAGE_BITS), [])
            row += (offset << layout.BUCKET_BITS | metric << PAGE_BITS | node % PAGE, spot.kind, text)

    def _send_marks(
        self, keys: Keys, shard: int, call: _MarkCalls, log_of: _ResetLog, now: float
    ) -> Iterator[_Dictionary | _ResetLog]:
        """Gives what Redis does not know any more: dictionaries, or the resets."""
        hashes = []
        for (dictionary, interval, block, page), row in call.values.items():
            kept = self._kept[interval]
            ttl = 0 if kept is None else max(1, int(layout.block_end(interval, block) + kept - now))
            key = keys.values(shard, dictionary.blocks, interval, block, page)
            for first in range(0, len(row), 3 * MARKS_A_CALL):
                hashes.append((dictionary, key, [ttl, *row[first : first + 3 * MARKS_A_CALL]]))
        rows = [(True, *row) for row in hashes] + [(False, *row) for row in call.names]
        while rows:
            some, size = [], 0
            while rows and size < MARKS_A_CALL:
                some.append(rows.pop())
                size += len(some[-1][3])
            dictionaries = list(dict.fromkeys(dictionary for _, dictionary, *_ in some))
            values = [(key, row) for is_value, _, key, row in some if is_value]
            names = [
                (key, [dictionaries.index(dictionary) + 1, *row])
                for is_value, dictionary, key, row in some
                if not is_value
            ]
            checked: list[_Dictionary | _ResetLog] = [*dictionaries, log_of]
            answer = self._mark(
                [
                    *(known.key for known in checked),
                    *(keys.distinct_nodes(shard, dictionary.blocks) for dictionary in dictionaries),
                    keys.faults(shard),
                    *(key for key, _ in values + names),
                ],
                [
                    _pack(
                        [
                            [known.token.decode() for known in checked],
                            self._settings.max_distinct_nodes,
                            [row for _, row in values],
                            [row for _, row in names],
                        ]
                    )
                ],
            )
            if answer[0] == b"stale":
                yield from (checked[i] for i in answer[1:])
                return

    @_reachable
    def resets(self, account: str) -> frozenset[Reset]:
        logs = [log.resets for (name, _), log in self._reset_logs.items() if name == account]
        return frozenset().union(*logs)

    def _resets_on(self, account: str, keys: Keys, shard: int) -> _ResetLog:
        found = self._reset_logs.get((account, shard))
        if found is None:
            key = keys.resets(shard)
            self.client.hsetnx(key, "g", secrets.token_hex(4))
            found = self._reset_logs[account, shard] = _ResetLog(key, self.client.hgetall(key))
        return found

    # changing

    @_reachable
    def set(self, account: str, change: Change, now: float) -> dict[str, int]:
        with self._changing:
            return self._changer().set(account, change, now)

    @_reachable
    def reset(self, account: str, pk: Pk, path: Path | None, now: float) -> None:
        with self._changing:
            self._changer().reset(account, pk, path, now)

    def _changer(self) -> "RedisStore":
        from whale.store.changes import Changer

        if self._inner is None:
            self._inner = Changer(self.client, self._settings)
        return self._inner

    @_reachable
    def sweep(self, account: str, now: float) -> bool:
        if account not in self._sweepers:
            keys = Keys(account, self.shards)
            self._sweepers[account] = Sweeper(self.client, _Script(self.client, "sweep"), keys)
        return self._sweepers[account].step(now)

    # dictionaries

    def _resolve(self, account: str, keys: Keys, cells: Cells) -> bool:
        """Gives every branch a plan, and every dictionary the metrics it needs, asking Redis for what is not in the cache.

        False where a dictionary turned out to be gone: it is forgotten, ask again.
        """
        wanted: dict[Branch, dict[str | _Kinded, int]] = {}
        stamp = self._stamp
        whole = next((interval for interval, kept in reversed(self._settings.periods) if kept is None), None)
        for level in reversed(cells.values()) if whole is None else [cells[whole]]:
            for sums in level.values():
                for branch, amounts in sums.items():
                    plan = branch.plan
                    if plan is None or plan[0] is not stamp or not amounts.keys() <= plan[1][1]:
                        wanted.setdefault(branch, {}).update(amounts)
        fresh = [branch for branch in wanted if branch.plan is None or branch.plan[0] is not self._stamp]
        if not self._fold(account, keys, dict.fromkeys(branch.pk for branch in fresh)):
            return False
        where: dict[Branch, list[tuple[_Dictionary, tuple[Path, ...]]]] = {}
        paths_of: dict[_Dictionary, dict[Path, None]] = {}
        metrics_of: dict[_Dictionary, dict[str | _Kinded, None]] = {}
        for branch in fresh:
            if branch.paths and (bin_ := split_bin(branch.paths[0])):
                wanted[branch][bin_[1], QUANTILE] = 0
            targeted = kept_targets(self._folded[account, branch.pk], branch)
            where[branch] = [(self._dictionary(account, keys, pk), paths) for pk, paths in targeted]
            for dictionary, paths in where[branch]:
                paths_of.setdefault(dictionary, {}).update(
                    (path, None) for path in paths if path not in dictionary.nodes
                )
        for branch, needed in wanted.items():
            for dictionary in (
                [row[0] for row in where[branch]] if branch in where else [row[0][0] for row in _plan_of(branch)]
            ):
                known = dictionary.metrics
                metrics_of.setdefault(dictionary, {}).update((name, None) for name in needed if name not in known)
        for dictionary, names in metrics_of.items():
            new = paths_of.get(dictionary, {})
            if (new or names or not dictionary.token) and not self._learn(account, dictionary, new, names):
                return False
        lost: dict[int, int] = {}
        for branch, found in where.items():
            sound = [(dictionary, paths) for dictionary, paths in found if not dictionary.broken]
            for dictionary in {dictionary for dictionary, _ in found if dictionary.broken}:
                lost[dictionary.shard] = lost.get(dictionary.shard, 0) + 1
            branch.plan = self._stamp if len(sound) == len(found) else None, (_plan(sound), set())
        for branch, needed in wanted.items():
            assert branch.plan is not None
            branch.plan[1][1].update(needed)
        for shard, count in lost.items():
            self.client.hincrby(keys.faults(shard), Reason.WRONG_TYPE, count)
        return True

    def _fold(self, account: str, keys: Keys, pks: Iterable[Pk]) -> bool:
        """Learns as which pk each pk counts: itself, or cut at the first name that the directory has folded."""
        unknown = [pk for pk in pks if (account, pk) not in self._folded]
        if not unknown:
            return True
        directory = self._dictionary(account, keys, ())
        if not self._learn(account, directory, dict.fromkeys(unknown), ()):
            return False
        if directory.broken:
            raise Unavailable(f"Redis: the key {directory.key} holds something else: remove it")
        for pk in unknown:
            depth = next((i for i in range(1, len(pk) + 1) if directory.nodes[pk[:i]][1]), None)
            self._folded[account, pk] = pk if depth is None else (*pk[: depth - 1], OTHER)
        return True

    def _dictionary(self, account: str, keys: Keys, pk: Pk) -> _Dictionary:
        found = self._dictionaries.get((account, pk))
        if found is None:
            found = self._dictionaries[account, pk] = _Dictionary(pk, keys)
        return found

    def _learn(
        self, account: str, dictionary: _Dictionary, paths: Iterable[Path], metrics: Iterable[str | _Kinded]
    ) -> bool:
        """Asks for the numbers of nodes and metrics; False where Redis no longer knows what this process knew."""
        found = [(path, split_bin(path)) for path in paths]
        if any(bin_ for _, bin_ in found):  # bins hang on nodes, which must be known first
            plain = [path for path, bin_ in found if not bin_]
            below = dict.fromkeys(bin_[0] for _, bin_ in found if bin_ and bin_[0] not in dictionary.nodes)
            if not self._learn(account, dictionary, dict.fromkeys([*plain, *below]), metrics):
                return False
            if dictionary.broken:
                return True
            paths, metrics = [path for path, bin_ in found if bin_], ()
        nodes, items, asked = dictionary.nodes, list[Any](), dict[Path, int]()
        for path in paths:
            if bin_ := split_bin(path):
                number = nodes[bin_[0]][0]
                items += (f"q{number}:{bin_[1]}", bin_[2])
                asked[path] = len(items) // 2
                continue
            for depth in range(1, len(path) + 1):
                part = path[:depth]
                if part in nodes or part in asked or part == (None,):
                    continue
                above = part[:-1]
                if above in nodes and nodes[above][1]:
                    nodes[part] = nodes[above]
                    continue
                items += ("p" if above == (None,) else nodes[above][0] if above in nodes else -asked[above], part[-1])
                asked[part] = len(items) // 2
        names = list(metrics)
        for name in names:
            items += ("m", name) if isinstance(name, str) else (f"m:{name[1]}", name[0])
        caps = (
            self._settings.max_children,
            self._settings.max_nodes if dictionary.pk else self._settings.max_pks,
            self._settings.max_metrics,
            self._settings.max_bins,
        )
        text = msgspec.json.encode(dictionary.pk).decode()
        ask = _pack([secrets.token_hex(4), text, *caps, items])
        try:
            token, numbers, still_known, gen = self._intern([dictionary.key], [ask, dictionary.token])
        except redis.ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            log.error("the key %s holds something else: its cells are lost until it is removed", dictionary.key)
            dictionary.broken = True
            return True
        if not still_known:
            self._forget(account, dictionary)
            return False
        dictionary.token, dictionary.broken = token, False
        dictionary.blocks = layout.generation(dictionary.id, gen.decode())
        for part, position in asked.items():
            number = numbers[position - 1]
            nodes[part] = (number, False) if number >= 0 else (-1 - number, True)
        for name, number in zip(names, numbers[len(asked) :], strict=True):
            dictionary.metrics[name] = number if number >= 0 or number <= MIXED else -1 - number
        self._cached_nodes += len(asked)
        return True

    def _forget(self, account: str, dictionary: _Dictionary) -> None:
        """Drops a dictionary that Redis does not know any more, and the directory with it, since it may have gone the same way."""
        self._dictionaries.pop((account, dictionary.pk), None)
        self._forget_directory()

    def _forget_directory(self) -> None:
        self._folded.clear()
        for account, pk in [key for key in self._dictionaries if not key[1]]:
            del self._dictionaries[account, pk]
        self._stamp = object()

    def _trim(self, now: float) -> None:
        """Bounds the cache; and asks for the directory anew each minute, as no shard checks its token."""
        if self._cached_nodes > MAX_CACHED_NODES:
            self._dictionaries.clear()
            self._cached_nodes = 0
        if self._cached_nodes == 0 or now >= self._directory_until:
            self._forget_directory()
            self._directory_until = now + DIRECTORY_S

    # reading

    @_reachable
    def read(
        self,
        account: str,
        pk: Pk,
        paths: Sequence[Path],
        metrics: Sequence[str],
        interval: Interval,
        starts: Sequence[int],
    ) -> NDArray[np.int64]:
        out = np.zeros((len(paths), len(metrics), len(starts)), np.int64)
        keys = Keys(account, self.shards)
        shard, pk_id = keys.pk(pk)
        zone = self.zone(account)
        buckets: dict[int, dict[int, int]] = {}
        for column, start in enumerate(starts):
            block, offset = place(interval, start, zone)
            buckets.setdefault(block, {})[offset] = column
        for attempt in range(TRIES):
            # What is remembered is tried first, for read.lua says when it is old: a round trip less.
            known = (attempt == 0 and self._known.get((account, pk))) or self._knowledge(account, pk)
            if known is None:
                return out
            numbers = {known.metrics[name]: row for row, name in enumerate(metrics) if name in known.metrics}
            pages: dict[int, dict[int, int]] = {}
            for row, path in enumerate(paths):
                number = known.number(path)
                if number is not None:
                    pages.setdefault(number >> PAGE_BITS, {})[number % PAGE] = row
            parts = [(page, block) for page in pages for block in buckets]
            blocks_id = layout.generation(pk_id, known.generation)
            if not numbers or not parts:
                if attempt == 0:
                    continue
                return out
            names = [keys.dictionary(shard, pk_id)]
            ask: list[Any] = [list(numbers)]
            for page, block in parts:
                names.append(keys.block(shard, blocks_id, interval, block, page))
                nodes = list(pages[page]) if len(pages[page]) <= FEW_NODES else []
                ask.append((list(buckets[block]), nodes))
            answer = self._read(names, [known.token, _pack(ask)])
            if answer is None:
                continue
            for (page, block), part in zip(parts, answer, strict=True):
                _fill(out, part, pages[page], numbers, buckets[block])
            return out
        raise Unavailable(f"Redis: the dictionary of {pk} changed {TRIES} times while it was read")

    def _knowledge(self, account: str, pk: Pk) -> _Known | None:
        keys = Keys(account, self.shards)
        key = keys.dictionary(*keys.pk(pk))
        tokens = self.client.hget(key, "g")
        if tokens is None:
            self._known.pop((account, pk), None)
            return None
        known = self._known.get((account, pk))
        if known is None or known.token != tokens[:8]:
            if len(self._known) >= MAX_KNOWN_PKS:
                self._known.clear()
            known = self._known[account, pk] = _Known(self.client.hgetall(key))
        return known

    @_reachable
    def read_values(
        self, account: str, pk: Pk, paths: Sequence[Path], metric: str, interval: Interval, starts: Sequence[int]
    ) -> list[list[int | None]]:
        keys, zone = Keys(account, self.shards), self.zone(account)
        shard, pk_id = keys.pk(pk)
        places = [place(interval, start, zone) for start in starts]
        for _ in range(TRIES):
            out: list[list[int | None]] = [[None] * len(starts) for _ in paths]
            known = self._knowledge(account, pk)
            if known is None or metric not in known.metrics:
                return out
            base = known.metrics[metric] << PAGE_BITS
            blocks_id = layout.generation(pk_id, known.generation)
            asked: dict[str, list[tuple[int, int, int]]] = {}
            for row, path in enumerate(paths):
                number = known.number(path)
                if number is None:
                    continue
                for column, (block, offset) in enumerate(places):
                    key = keys.values(shard, blocks_id, interval, block, number >> PAGE_BITS)
                    field = offset << layout.BUCKET_BITS | base | number % PAGE
                    asked.setdefault(key, []).append((field, row, column))
            commands = [("HMGET", key, *(field for field, *_ in cells)) for key, cells in asked.items()]
            answers = self._read_all(keys.dictionary(shard, pk_id), known, commands)
            if answers is None:
                continue
            for cells, values in zip(asked.values(), answers, strict=True):
                for (_, row, column), raw in zip(cells, values, strict=True):
                    if raw is not None:
                        out[row][column] = _value_of(raw)
            return out
        raise Unavailable(f"Redis: the dictionary of {pk} changed {TRIES} times while it was read")

    @_reachable
    def read_distinct(
        self,
        account: str,
        pk: Pk,
        paths: Sequence[Path],
        metric: str,
        interval: Interval,
        groups: Sequence[Sequence[int]],
    ) -> list[list[int | None]]:
        keys = Keys(account, self.shards)
        shard, pk_id = keys.pk(pk)
        for _ in range(TRIES):
            out: list[list[int | None]] = [[0 if is_narrow(path) else None] * len(groups) for path in paths]
            known = self._knowledge(account, pk)
            if known is None or metric not in known.metrics:
                return out
            column = known.metrics[metric]
            rows = {row: number for row, path in enumerate(paths) if (number := known.number(path)) is not None}
            blocks_id = layout.generation(pk_id, known.generation)
            nodes = keys.distinct_nodes(shard, blocks_id)
            members = [f"{number}:{column}" for number in rows.values()]
            kept = [bool(found) for found in self.client.smismember(nodes, members)] if members else []
            is_full = not all(kept) and self.client.scard(nodes) >= self._settings.max_distinct_nodes
            commands, places = [], []
            for (row, number), is_kept in zip(rows.items(), kept, strict=True):
                if not is_kept:
                    if is_full:
                        out[row] = [None] * len(groups)
                    continue
                for place_, group in enumerate(groups):
                    if group:
                        names = [keys.distinct(shard, blocks_id, interval, start, number, column) for start in group]
                        commands.append(("PFCOUNT", *names))
                        places.append((row, place_))
            answers = self._read_all(keys.dictionary(shard, pk_id), known, commands)
            if answers is None:
                continue
            for (row, place_), count in zip(places, answers, strict=True):
                out[row][place_] = count
            return out
        raise Unavailable(f"Redis: the dictionary of {pk} changed {TRIES} times while it was read")

    def _read_all(self, dictionary: str, known: _Known, commands: Sequence[tuple[Any, ...]]) -> list[Any] | None:
        """Answers to commands on one shard; None where its dictionary has changed meanwhile."""
        answers: list[Any] = []
        for first in range(0, len(commands), COMMANDS_A_READ):
            with self.client.pipeline(transaction=False) as pipe:
                for command in commands[first : first + COMMANDS_A_READ]:
                    pipe.execute_command(*command)
                answers += pipe.execute()
        tokens = self.client.hget(dictionary, "g")
        return answers if tokens is not None and tokens[:8] == known.token else None

    @_reachable
    def kinds(self, account: str, pk: Pk, metrics: Collection[str] | None = None) -> dict[str, str]:
        known = self._known.get((account, pk)) if metrics is not None else None
        if known is None or not known.metrics.keys() >= set(metrics or ()):  # a kind, once given, stays
            known = self._knowledge(account, pk)
        return known.kinds if known else {}

    @_reachable
    def bins(self, account: str, pk: Pk, paths: Sequence[Path], metric: str) -> list[list[str]]:
        known = self._knowledge(account, pk)
        return [known.children(f"q{known.number(path)}:{metric}") if known else [] for path in paths]

    @_reachable
    def children(self, account: str, pk: Pk, path: Path) -> list[str]:
        known = self._knowledge(account, pk)
        if known is None:
            return []
        number = known.number(path)
        return [] if number is None else known.children(str(number))

    @_reachable
    def descendants(self, account: str, pk: Pk, path: Path, levels: int) -> list[Path]:
        known = self._knowledge(account, pk)
        number = known.number(path) if known else None
        if known is None or number is None:
            return []
        found: list[Path] = []
        level = [(path, str(number))]
        for _ in range(levels):
            level = [((*above, name), below) for above, parent in level for name, below in known.numbered(parent)]
            found += (path for path, _ in level)
        return found

    @_reachable
    def keys_of(
        self, account: str, pk: Pk, paths: Sequence[Path], interval: Interval, starts: Sequence[int]
    ) -> list[str]:
        keys, known = Keys(account, self.shards), self._knowledge(account, pk)
        if known is None:
            return []
        shard, pk_id = keys.pk(pk)
        blocks_id = layout.generation(pk_id, known.generation)
        zone = self.zone(account)
        pages = sorted({number >> PAGE_BITS for number in map(known.number, paths) if number is not None})
        blocks = sorted({place(interval, start, zone)[0] for start in starts})
        blocks_of = (keys.block(shard, blocks_id, interval, block, page) for page in pages for block in blocks)
        return [keys.dictionary(shard, pk_id), *blocks_of]

    @_reachable
    def adjusted(self, account: str, pk: Pk, ranges: Sequence[Mark]) -> list[bool]:
        keys = Keys(account, self.shards)
        return touched(_marks_of(self.client.hget(keys.dictionary(*keys.pk(pk)), "s")), ranges)

    @_reachable
    def pks(self, account: str, parent: Pk = ()) -> list[str]:
        return self.children(account, (), parent)

    @_reachable
    def metrics(self, account: str, pk: Pk) -> list[str]:
        known = self._knowledge(account, pk)
        return sorted(known.metrics, key=known.metrics.__getitem__) if known else []

    # the audit

    @_reachable
    def seen(self, account: str, name: Name) -> bool:
        keys = Keys(account, self.shards)
        publisher, seq = name
        return bool(self.client.getbit(keys.seen(keys.home(publisher), publisher, seq), seq % layout.SEEN_BITS))

    @_reachable
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

    @_reachable
    def faults(self, account: str) -> dict[str, int]:
        keys = Keys(account, self.shards)
        sums: dict[str, int] = {}
        for shard in range(self.shards):
            for reason, count in self.client.hgetall(keys.faults(shard)).items():
                sums[reason.decode()] = sums.get(reason.decode(), 0) + int(count)
        return sums

    # the spy

    @_reachable
    def spy_add(self, account: str, traces: Traces, now: float) -> None:
        keys = Keys(account, self.shards)
        ask: list[Any] = [KEPT, KEPT_S, self._settings.max_spied_visitors, int(now), traces.counted, traces.others]
        for visitor, texts in traces.visitors.items():
            ask += (layout.visitor_id(visitor), texts)
        try:
            self._spy(keys.spy(), [_pack(ask)])
        except redis.ResponseError as error:
            raise Unavailable(f"Redis: {error}") from error

    @_reachable
    def spied(self, account: str, visitor: str | None = None) -> list[bytes]:
        keys = Keys(account, self.shards)
        lists = keys.spy()[:2] if visitor is None else (keys.spied_visitor(visitor),)
        return [text for key in lists for text in self.client.lrange(key, 0, -1)]


def _marks_of(text: bytes | None) -> list[Mark]:
    """The marks of a dictionary's field `s`."""
    found: list[Mark] = []
    for mark in (text or b"").decode().split(";")[:-1]:
        interval, start, end = mark.split(":")
        name: Interval = int(interval) if interval.isdecimal() else interval
        found.append((name, int(start), int(end)))
    return found


def _text(raw: bytes) -> str:
    """Bytes as the short text that Redis's msgpack can take: it knows no binary."""
    return base64.b64encode(raw).decode()


def _plan_of(branch: Branch) -> _Plan:
    assert branch.plan is not None
    rows: _Plan = branch.plan[1][0]
    return rows


def _lose(lost: _Lost, shard: int, reason: str, count: int) -> None:
    mine = lost.setdefault(shard, {})
    mine[reason] = mine.get(reason, 0) + count


def _value_text(value: Value) -> str:
    """A value as mark.lua takes it. Of a last: fixed widths, so that texts sort as values do."""
    if len(value) == 1:
        return str(value[0])
    at, publisher, seq, position, amount = value
    assert isinstance(at, int)
    return f"{at + 2**44:012x}{publisher}{seq:010x}{position:05x}{amount}"


def _value_of(raw: bytes) -> int:
    return int(raw[43:] if len(raw) > 43 else raw)


def _expanded(sums: Sums) -> _Expanded:
    """The sums of one bucket as slots of pages: [metric, [node, amount, ...], ...], packed; and what is lost."""
    pages: dict[tuple[_Dictionary, int], dict[int, dict[str, int]]] = {}
    for branch, amounts in sums.items():
        for where, nodes in _plan_of(branch):
            slots = pages.get(where)
            if slots is None:
                slots = pages[where] = {}
            known = where[0].metrics
            for name, amount in amounts.items():
                metric = known[name]
                column = slots.get(metric)
                if column is None:
                    slots[metric] = dict.fromkeys(nodes, amount)
                else:
                    for node in nodes:
                        column[node] = column.get(node, 0) + amount
    packed = {}
    lost: list[tuple[int, str, int]] = []
    for where, slots in pages.items():
        flat: list[Any] = []
        for metric, column in slots.items():
            if metric < 0 or where[1] < 0:
                lost.append((where[0].shard, LOST[min(metric, where[1])], len(column)))
                continue
            cells = [""] * (2 * len(column))
            cells[::2] = column
            cells[1::2] = map(str, column.values())
            flat += (metric, cells)
        if flat:
            packed[where] = msgspec.Raw(_pack(flat))
    return packed, lost


def _plan(found: Iterable[tuple[_Dictionary, tuple[Path, ...]]]) -> _Plan:
    """Bins of a metric that has another kind are planned on a page below 0: the number that says why they are lost."""
    plan: _Plan = []
    for dictionary, paths in found:
        pages: dict[int, dict[int, None]] = {}
        for path in paths:
            if (bin_ := split_bin(path)) and (refusal := dictionary.metrics[bin_[1], QUANTILE]) < 0:
                plan.append(((dictionary, refusal), (repr(path),)))
                continue
            number = dictionary.nodes[path][0]
            pages.setdefault(number >> PAGE_BITS, {})[number % PAGE] = None
        plan += (((dictionary, page), tuple(NODE[node] for node in nodes)) for page, nodes in pages.items())
    return plan


def _fill(
    out: NDArray[np.int64], part: Any, rows: dict[int, int], metrics: dict[int, int], columns: dict[int, int]
) -> None:
    """Puts what read.lua says of one block and page into its places. rows, metrics, columns: number -> index in `out`."""
    if not part:
        return
    if part[0] == 0:
        _fill_fields(out, part[1], part[2], rows, metrics, columns)
        return
    at = np.fromiter(rows, np.int64)
    to = np.fromiter(rows.values(), np.int64)
    few = len(rows) <= FEW_NODES
    for bucket, column in zip(part[1:], columns.values(), strict=True):
        if not bucket:
            continue
        if bucket[0] == 0:
            _fill_fields(out, bucket[1], bucket[2], rows, metrics, {0: column})
            continue
        for raw, metric in zip(bucket[1:], metrics.values(), strict=True):
            slots = np.frombuffer(raw, ">i8")
            if few:
                out[to, metric, column] = slots
            else:
                there = at < len(slots)
                out[to[there], metric, column] = slots[at[there]]


def _fill_fields(
    out: NDArray[np.int64],
    fields: Any,
    values: Any,
    rows: dict[int, int],
    metrics: dict[int, int],
    columns: dict[int, int],
) -> None:
    for field, value in zip(fields, values, strict=True):
        if value is None:
            continue
        number = int(field)
        row = rows.get(number % PAGE)
        metric = metrics.get(number >> PAGE_BITS & 63)
        column = columns.get(number >> layout.BUCKET_BITS)
        if row is not None and metric is not None and column is not None:
            out[row, metric, column] = int(value)

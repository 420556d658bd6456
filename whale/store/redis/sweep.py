"""Frees what resets left, in small steps between applies. Safe at any time, twice at once, and killed anywhere: what is gone
is gone, and the next sweeper begins with what is left.

The trash names what was abandoned: a generation of a pk, whose keys go by UNLINK; or a node of a dictionary, of which the
fields of all below it go (so that the caps of the pk have room again) and then the cells and values, as far as they lie in
hashes or fill whole strings, and the distinct counts. Keys are found by SCAN, since nothing lists them.
"""

import secrets
from collections.abc import Generator, Iterator
from typing import Any

import msgspec
from redis.cluster import RedisCluster

from whale.store.redis.connection import reachable
from whale.store.redis.database import Database
from whale.store.redis.keys import PAGE, PAGE_BITS, Keys, generation, is_later
from whale.store.redis.refusals import SlotMoving

LEASE_S = 10
BATCH = 1000
SCAN_COUNT = 500
FEW = 100
KINDS = "rvu"  # of keys: blocks, values, HyperLogLogs
UNFINISHED_S = 3600.0

_Entry = tuple[int, str, str, int]  # shard, pk in keys, generation, node or 0
_entry = msgspec.json.Decoder(_Entry).decode


class Sweepers:
    """For one thread at a time."""

    def __init__(self, database: Database):
        self._database, self._script = database, database.script("newer", "sweep")
        self._of: dict[str, Sweeper] = {}  # those that are at work

    @reachable
    def sweep(self, account: str, now: float) -> bool:
        sweeper = self._of.pop(account, None)
        if sweeper is None:
            sweeper = Sweeper(self._database.client, self._script, self._database.keys(account))
        if is_busy := sweeper.step(now):
            self._of[account] = sweeper
        return is_busy


class Sweeper:
    """The work of one process for one account."""

    def __init__(self, client: Any, script: Any, keys: Keys):
        self._client, self._script, self._keys = client, script, keys
        self._work: Iterator[None] | None = None

    def step(self, now: float) -> bool:
        """One step; False when there is nothing to do, or another one does it."""
        if self._work is None:
            keys = self._keys
            if not self._client.exists(keys.trash) or not self._client.set(keys.sweeping, 1, nx=True, ex=LEASE_S):
                return False
            self._work = self._steps(now)
        else:
            self._client.set(self._keys.sweeping, 1, ex=LEASE_S)
        try:
            next(self._work)
            return True
        except StopIteration:
            self._end()
            return False
        except Exception:  # whatever it was: begun anew by whoever comes first
            self._work = None
            raise

    def _end(self) -> None:
        self._work = None
        self._client.delete(self._keys.sweeping)

    def _steps(self, now: float) -> Iterator[None]:
        whole: dict[bytes, _Entry] = {}
        for raw, since in self._client.zrange(self._keys.trash, 0, BATCH - 1, withscores=True):
            entry = _entry(raw)
            gen, later = self._client.hmget(self._keys.dictionary(*entry[:2]), "gen", "w")
            yield
            if is_later(later):  # it is for the version that wrote that to free it
                continue
            current = (gen or b"").decode() == entry[2]
            if not current and not entry[3]:
                whole[raw] = entry
                continue
            done = not current or (entry[3] and (yield from self._node(entry)))
            if done or now - since > UNFINISHED_S:  # else it is of a reset that goes on, or never came to its end
                self._client.zrem(self._keys.trash, raw)
        if whole:
            yield from self._generations(list(whole.values()))
            self._client.zrem(self._keys.trash, *whole)

    def _generations(self, entries: list[_Entry]) -> Iterator[None]:
        pks = {(shard, generation(pk_id, gen)) for shard, pk_id, gen, _ in entries}
        for shard, pk_id in sorted(pks):
            self._client.unlink(self._keys.distinct_nodes(shard, pk_id))
            yield
        for found in self._scan(pks):
            for first in range(0, len(found), FEW):
                self._client.unlink(*found[first : first + FEW])
                yield
            yield

    def _scan(self, pks: set[tuple[int, str]]) -> Iterator[list[str]]:
        """Keys of what these pks (shard, as in the keys of blocks) have, a little at a time; those of one list are of one shard."""
        prefixes = {self._keys.below(shard, pk_id, kind) for shard, pk_id in pks for kind in KINDS}
        match = f"{self._keys.account_name}:*:[{KINDS}]:*"
        if len(pks) == 1:
            match = self._keys.below(*next(iter(pks)), f"[{KINDS}]") + "*"
        owners = self._owners(pks)
        for client in self._servers(prefixes):
            cursor = 0
            while True:
                cursor, names = client.scan(cursor, match=match, count=SCAN_COUNT)
                by_shard: dict[str, list[str]] = {}
                for name in map(bytes.decode, names):
                    parts = name.split(":", 4)
                    if len(parts) == 5 and ":".join(parts[:4]) + ":" in prefixes:
                        by_shard.setdefault(parts[1], []).append(name)
                yield from by_shard.values()
                yield []
                if cursor == 0:
                    break
        if self._owners(pks) != owners:
            raise SlotMoving()

    def _owners(self, pks: set[tuple[int, str]]) -> list[str]:
        """The servers that their shards lie on; raises SlotMoving. A scan that begins and ends on the same ones saw all keys."""
        if not isinstance(self._client, RedisCluster):
            return []
        found = []
        for shard in sorted({shard for shard, _ in pks}):
            key = self._keys.below(shard, "", "r")  # no such key: the script only says whether the slot moves
            self._script([key, key], ["hash", msgspec.msgpack.encode([])])
            found.append(self._client.get_node_from_key(key).name)
        return found

    def _servers(self, prefixes: set[str]) -> list[Any]:
        if not isinstance(self._client, RedisCluster):
            return [self._client]
        nodes = {node.name: node for node in (self._client.get_node_from_key(prefix) for prefix in prefixes)}
        return [self._client.get_redis_connection(node) for node in nodes.values()]

    def _node(self, entry: _Entry) -> Generator[None, None, bool]:
        """False where the node is not abandoned."""
        shard, pk_id, gen, top = entry
        self._owners({(shard, pk_id)})  # later, where it moves: the names below lead to the cells, and go first
        key = self._keys.dictionary(shard, pk_id)
        children: dict[int, list[tuple[str, int]]] = {}  # the field that leads to a node, and its number
        linked = False
        cursor = 0
        while True:
            cursor, fields = self._client.hscan(key, cursor, count=SCAN_COUNT)
            for raw, value in fields.items():
                field = raw.decode()
                parent, colon, _ = field.partition(":")
                if not colon or parent[0] in "mkr":  # metrics, their kinds, runs
                    continue
                linked = linked or int(value) == top
                if parent != "p":
                    children.setdefault(int(parent.removeprefix("q")), []).append((field, int(value)))
            yield
            if cursor == 0:
                break
        if linked:
            return False
        numbers = [top]
        gone: list[str] = [f"r{top}"]
        for number in numbers:
            for field, below in children.get(number, ()):
                numbers.append(below)
                gone += (field, f"r{below}")
            # runs of bins, "rq<number>:<metric>"
            gone += {f"r{field.rpartition(':')[0]}": None for field, _ in children.get(number, ()) if field[0] == "q"}
        blocks_id = generation(pk_id, gen)
        yield from self._distinct_nodes(self._keys.distinct_nodes(shard, blocks_id), set(numbers))
        for last in range(
            len(gone), 0, -FEW
        ):  # the deepest first, so that what is left can still be found from the top
            token = secrets.token_hex(4) if last <= FEW else ""  # there is room again: workers look anew
            if self._script([key], ["fields", gen, token, *gone[max(0, last - FEW) : last]]) == -1:
                return True
            yield
        if pk_id != self._keys.pk(())[1]:
            yield from self._cells(shard, pk_id, blocks_id, numbers)
        return True

    def _distinct_nodes(self, key: str, numbers: set[int]) -> Iterator[None]:
        """Makes room for distinct counts of other nodes."""
        cursor = 0
        while True:
            cursor, members = self._client.sscan(key, cursor, count=SCAN_COUNT)
            abandoned = [member for member in members if int(member.partition(b":")[0]) in numbers]
            if abandoned:
                self._client.srem(key, *abandoned)
            yield
            if cursor == 0:
                break

    def _cells(self, shard: int, pk_id: str, blocks_id: str, numbers: list[int]) -> Iterator[None]:
        abandoned = set(numbers)
        pages: dict[int, list[int]] = {}
        for number in numbers:
            pages.setdefault(number >> PAGE_BITS, []).append(number % PAGE)
        packed = {page: msgspec.msgpack.encode(nodes) for page, nodes in pages.items()}
        counts, dictionary = self._keys.below(shard, blocks_id, "u"), self._keys.dictionary(shard, pk_id)
        for found in self._scan({(shard, blocks_id)}):
            for name in found:
                _interval, _block, page, *rest = name.split(":")[4:]
                if name.startswith(counts):
                    _interval, _start, node, _metric = name.removeprefix(counts).split(":")
                    if int(node) in abandoned:
                        self._client.unlink(name)
                        yield
                elif int(page) in packed:
                    self._script([dictionary, name], ["dense" if len(rest) == 2 else "hash", packed[int(page)]])
                    yield
            yield

"""What changes cells otherwise than by hits, in Redis: set and reset. What each promises is in contract/changes.py.

It has numbers of its own, so that no writer's memory of dictionaries is touched by another thread.

A reset goes in steps, each of which may be repeated. Writing the record on every shard comes first, since from then on no
worker applies a hit there that was accepted before: it is refused until it has read the record, and forgets the directory too.

    record on each shard → forget the dictionaries (new generation) → take the pk out of the directory → new token on each
    shard, so that who learned the directory meanwhile asks again → list again what was counted meanwhile → note it for imports
"""

import secrets
import threading
from collections.abc import Iterable
from typing import Any

import msgspec

from hail.hit import Reason
from whale.dimension import Path, Pk
from whale.errors import CallerError, Unavailable
from whale.store.contract.changes import MAX_RESETS, OPERATION_KEPT_S, RESET_KEPT_S, Change, is_below, not_a_sum
from whale.store.contract.names import OTHER
from whale.store.redis.connection import pack, reachable
from whale.store.redis.database import Database
from whale.store.redis.declared import declared_below
from whale.store.redis.imports import last_resets_of
from whale.store.redis.keys import PAGE, PAGE_BITS, Keys, digest, is_later, place
from whale.store.redis.known import Known
from whale.store.redis.numbers import MIXED, TRIES, Dictionary, Numbers
from whale.store.redis.refusals import NewerData
from whale.store.redis.timeline import Timeline
from whale.store.redis.writer import TALLY_TTL_S

_json = msgspec.json.Encoder().encode


class Changer:
    """For many threads: one at a time. numbers: its own."""

    def __init__(self, database: Database, numbers: Numbers, timeline: Timeline):
        self._database, self._client, self._numbers = database, database.client, numbers
        self._timeline = timeline
        self._set, self._reset = database.script("newer", "set", "apply"), database.script("newer", "reset")
        self._lock = threading.Lock()

    def _check_ours(self, keys: Keys, pks: Iterable[Pk]) -> None:
        """Raises NewerData where a later version must change one of them: before a first step, which would leave the rest undone."""
        for pk in pks:
            if is_later(self._client.hget(keys.dictionary(*keys.pk(pk)), "w")):
                raise NewerData(_json(pk).decode())

    # setting

    @reachable
    def set(self, account: str, change: Change, now: float) -> dict[str, int]:
        with self._lock:
            return self._set_all(account, change, now)

    def _set_all(self, account: str, change: Change, now: float) -> dict[str, int]:
        keys = self._database.keys(account)
        self._check_ours(keys, (change.pk[:depth] for depth in range(1, len(change.pk) + 1)))
        self._database.begin(account)
        self._numbers.trim(now)
        wide = sorted((str(interval), start) for interval, start in change.wider.items())
        content = change.path, str(change.interval), change.start, sorted(change.amounts.items()), wide
        fingerprint = digest(_json(content), size=9).hex()
        differences = self._set_in(account, keys, change, len(change.pk), None, fingerprint, now)
        added = dict(zip(sorted(change.amounts), differences, strict=True))
        for depth in range(len(change.pk) - 1, 0, -1):
            self._set_in(account, keys, change, depth, added, fingerprint, now)
        return added

    def _set_in(
        self,
        account: str,
        keys: Keys,
        change: Change,
        depth: int,
        added: dict[str, int] | None,
        fingerprint: str,
        now: float,
    ) -> list[int]:
        """Sets in the whole pk; or in one above it adds the differences that this made. The record's differences."""
        pk = change.pk[:depth]
        paths = change.prefixes + ([(None, change.pk[depth])] if depth < len(change.pk) else [])
        shard, pk_id = keys.pk(pk)
        record = keys.operation(shard, pk_id, digest(change.id, *change.pk, size=12))
        for _ in range(TRIES):
            dictionary = self._numbers.known(account, keys, pk, paths, change.amounts)
            if dictionary is None:
                continue
            if added is None:
                if not self._are_sums(account, change, dictionary):
                    continue
                _check_own(change, dictionary)
            if self._run_set(keys, change, dictionary, paths, added, fingerprint, record, now):
                break
        else:
            raise Unavailable(f"Redis: the dictionary of {pk} changed {TRIES} times while it was set")
        found, *differences = (self._client.get(record) or b"").decode().split(" ")
        if found != fingerprint:
            raise CallerError("belongs to another operation: send a new id", "id")
        return [int(difference) for difference in differences]

    def _are_sums(self, account: str, change: Change, dictionary: Dictionary) -> bool:
        """Raises CallerError for a metric of another kind; False where the dictionary has changed."""
        for name in change.amounts:
            if dictionary.metrics[name] == MIXED:
                kind = self._client.hget(dictionary.key, f"k:{name}")
                if kind is None:
                    self._numbers.drop(account, dictionary)
                    return False
                raise not_a_sum(name, kind.decode())
        return True

    def _run_set(
        self,
        keys: Keys,
        change: Change,
        dictionary: Dictionary,
        paths: list[Path],
        added: dict[str, int] | None,
        fingerprint: str,
        record: str,
        now: float,
    ) -> bool:
        """False where the dictionary has changed."""
        pages: dict[int, dict[int, dict[str, int]]] = {}  # page -> metric -> slot -> difference
        lost: list[Any] = []
        counted = [name for name in change.amounts if dictionary.metrics[name] != MIXED]
        if len(counted) < len(
            change.amounts
        ):  # in a pk above, which has that metric as another kind: as a hit's amount
            nodes = len({dictionary.nodes[path][0] for path in paths})
            lost = [Reason.MIXED_KINDS, (len(change.amounts) - len(counted)) * nodes * len(change.buckets)]
        for name in counted:
            for number in dict.fromkeys(dictionary.nodes[path][0] for path in paths):
                slots = pages.setdefault(number >> PAGE_BITS, {}).setdefault(dictionary.metrics[name], {})
                slot = f"#{number % PAGE}"
                slots[slot] = slots.get(slot, 0) + (added[name] if added else 0)
        zone = self._database.zone(keys.account_name)
        own, offset = dictionary.nodes[change.path][0], place(change.interval, change.start, zone)[1]
        names = [dictionary.key, keys.publishers(dictionary.shard), keys.faults(dictionary.shard)]
        names.append(keys.aside(dictionary.shard))
        blocks, own_block = [], 0
        for interval, start in change.buckets.items():
            block, position = place(interval, start, zone)
            ttl = self._database.ttl(interval, block, now)
            for page, metrics in pages.items():
                names.append(keys.block(dictionary.shard, dictionary.blocks, interval, block, page))
                cells: list[Any] = []
                for metric, slots in metrics.items():
                    cells += (metric, [text for slot, amount in slots.items() for text in (slot, str(amount))])
                blocks.append([ttl, position, cells])
                if added is None and interval == change.interval and page == own >> PAGE_BITS:
                    own_block = len(blocks)
        names += (record, keys.scratch(dictionary.shard))
        set_ = ",".join(str(dictionary.metrics[name]) for name in sorted(counted))
        mark = f"{change.interval}:{change.start}:{change.end}:{own}:{set_};"
        ask: list[Any] = [fingerprint, OPERATION_KEPT_S, mark, own_block, offset, own % PAGE]
        for name in sorted(change.amounts):
            ask += (dictionary.metrics[name], str(change.amounts[name]))
        if added is not None and not any(added[name] for name in counted):
            ask[2] = ""
        head = [[], [dictionary.token.decode()], int(now), TALLY_TTL_S, [[], lost, len(blocks)]]
        answer = self._set(names, [pack(head), pack(blocks), pack(ask)])
        if answer[0] == b"stale":
            self._numbers.drop(keys.account_name, dictionary)
            return False
        if answer[0] == b"overflow":
            raise CallerError("the change would exceed 64 bits", "metrics")
        self._database.await_replicas(keys, dictionary.shard)
        return True

    # resetting

    @reachable
    def reset(self, account: str, pk: Pk, path: Path | None, now: float) -> None:
        keys = self._database.keys(account)
        with self._lock:
            self._reset_all(account, keys, pk, path, now)
            self._note_last(keys, pk, path, now)
            for shard in range(keys.shards):
                self._database.await_replicas(keys, shard)

    def _reset_all(self, account: str, keys: Keys, pk: Pk, path: Path | None, now: float) -> None:
        self._check_ours(keys, [pk] if path is not None else [*self._below(keys, pk), pk, pk[:-1]])
        self._record(keys, pk, path, now)
        if path is not None:
            self._forget_node(keys, pk, path, now)
            return
        names = {pk, *self._below(keys, pk)}
        for name in names:
            self._forget_pk(keys, name, now)
        self._forget_noted(keys, pk)
        self._timeline.erase_notes_of(account, pk)
        self._forget_declared(keys, pk)
        if len(pk) > 1:
            self._forget_node(keys, pk[:-1], (None, pk[-1]), now)
        number = self._forget_node(keys, (), pk, now)
        self._record(keys, pk, path, now)
        if number is not None:
            names.update(self._below(keys, pk, number))
        again = [name for name in sorted(names) if self._client.hexists(keys.dictionary(*keys.pk(name)), "g")]
        if again:
            self._numbers.list_pks(account, keys, again)

    def _forget_noted(self, keys: Keys, pk: Pk) -> None:
        for key in map(keys.noted, range(keys.shards)):
            noted = [name for name in self._client.hkeys(key) if name.startswith(b"[")]
            gone = [name for name in noted if tuple(msgspec.json.decode(name)[1][: len(pk)]) == pk]
            if gone:
                self._client.hdel(key, *gone)

    def _forget_declared(self, keys: Keys, pk: Pk) -> None:
        key = keys.declared()
        if gone := declared_below(self._client.hkeys(key), pk):
            self._client.hdel(key, *gone)

    def _record(self, keys: Keys, pk: Pk, path: Path | None, now: float) -> None:
        """Says on every shard that there is a reset; a new token makes workers read it before they apply anything."""
        field = b"Z" + _json((pk, path))
        for shard in range(keys.shards):
            key = keys.resets(shard)
            known = self._client.hgetall(key)
            known.pop(b"g", None)
            old = [name for name, at_ms in known.items() if int(at_ms) < (now - RESET_KEPT_S) * 1000]
            if field not in known and len(known) - len(old) >= MAX_RESETS:
                raise CallerError(f"at most {MAX_RESETS} different pks and paths can be reset within 31 days", "pk")
            at_ms = max(int(now * 1000), int(known.get(field, 0)))
            self._client.hset(key, mapping={field: at_ms, "g": secrets.token_hex(4)})
            if old:
                self._client.hdel(key, *old)

    def _note_last(self, keys: Keys, pk: Pk, path: Path | None, now: float) -> None:
        """For imports, at the end: where a reset was noted and not done, a file would count twice."""
        key, at_ms = keys.imports()[1], int(now * 1000)
        known = self._client.hgetall(key)
        self._client.hset(key, _json((pk, path)), max(at_ms, int(known.get(_json((pk, path)), 0))))
        known.pop(_json((pk, path)), None)
        resets = zip(known, last_resets_of(known).items(), strict=True)
        if gone := [name for name, (other, ms) in resets if is_below(other, (pk, path)) and ms <= at_ms]:
            self._client.hdel(key, *gone)

    def _below(self, keys: Keys, pk: Pk, number: int | None = None) -> list[Pk]:
        """The pks below a pk, in the directory; or below the node that it was there."""
        fields = self._client.hgetall(keys.dictionary(*keys.pk(())))
        if b"g" not in fields:
            return []
        known = Known(fields)
        number = known.number(pk) if number is None else number
        found: list[Pk] = []
        level = [] if number is None else [(pk, str(number))]
        while level:
            level = [((*above, name), below) for above, parent in level for name, below in known.numbered(parent)]
            found += (name for name, _ in level)
        return found

    def _forget_pk(self, keys: Keys, pk: Pk, now: float) -> None:
        shard, pk_id = keys.pk(pk)
        key = keys.dictionary(shard, pk_id)
        for _ in range(TRIES):
            tokens, gen = self._client.hmget(key, "g", "gen")
            if tokens is None:
                return
            gen = (gen or b"").decode()
            self._client.zadd(keys.trash, {_json((shard, pk_id, gen, 0)): now})
            if self._reset([key], ["all", gen, secrets.token_hex(4)]):
                return
        raise Unavailable(f"Redis: the dictionary of {pk} changed {TRIES} times while it was reset")

    def _forget_node(self, keys: Keys, pk: Pk, path: Path, now: float) -> int | None:
        """Takes a path out of a dictionary; the number that it had."""
        shard, pk_id = keys.pk(pk)
        key = keys.dictionary(shard, pk_id)
        for _ in range(TRIES):
            fields = self._client.hgetall(key)
            if b"g" not in fields:
                return None
            known = Known(fields)
            number, parent = known.number(path), known.parent(path)
            if number is None:
                return None
            self._client.zadd(keys.trash, {_json((shard, pk_id, known.generation, number)): now})
            ask = ["node", known.generation, secrets.token_hex(4), number, parent, path[-1]]
            if self._reset([key], ask):
                return number
        raise Unavailable(f"Redis: the dictionary of {pk} changed {TRIES} times while it was reset")


def _check_own(change: Change, dictionary: Dictionary) -> None:
    """That what is set has a place of its own: a cell of `__other__` is not one path's."""
    if dictionary.pk != change.pk:
        raise CallerError(f"exceeds HAILWHALE_MAX_PKS and counts in {OTHER}", "pk")
    if dictionary.nodes[change.path][1]:
        raise CallerError(f"exceeds the limit of paths and counts in {OTHER}", "dimensions")
    for name in change.amounts:
        if dictionary.metrics[name] == 63 and name != OTHER:
            raise CallerError(f"exceeds HAILWHALE_MAX_METRICS and counts in {OTHER}", f"metrics.{name}")

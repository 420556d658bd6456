"""Writing what hits add up to: find the number of each node and metric, turn cells into slots of pages, hand all pages of a shard
to apply.lua in one call. What is no sum goes to mark.lua before.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from redis.cluster import RedisCluster

from hail.hit import Reason
from hail.settings import DAY, DISTINCT, Settings
from whale.count.denormalize import Branch, Cells, Sums
from whale.count.marks import Marks, Spot, Value, marked
from whale.count.resets import Reset
from whale.dimension import Path
from whale.errors import Unavailable
from whale.metric import distinct_periods
from whale.period import Interval, next_start
from whale.store import keys as layout
from whale.store.base import Name, Tally
from whale.store.connection import Connection, Script, pack, reachable
from whale.store.keys import PAGE, PAGE_BITS, Keys, place
from whale.store.numbers import FULL, MIXED, TRIES, Dictionary, Kinded, Numbers, ResetLog, plan_of

TALLY_TTL_S = 7 * DAY
REPLICA_TIMEOUT_MS = 1000
MARKS_A_CALL, NAMES_A_ROW = 2000, 1000
LOST = {MIXED: Reason.MIXED_KINDS, FULL: Reason.TOO_MANY_METRICS}

_ShardPages = dict[
    tuple[Dictionary, Interval, int, int], dict[int, msgspec.Raw]
]  # (..., block, page) -> bucket -> slots
_Pages = dict[int, _ShardPages]
_Lost = dict[int, dict[str, int]]  # by shard and reason, cells
_Expanded = tuple[dict[tuple[Dictionary, int], msgspec.Raw], list[tuple[int, str, int]]]  # lost: shard, reason, cells


class _MarkCalls(NamedTuple):
    """What mark.lua is to write on one shard: fields of hashes; names (dictionary, key, row)."""

    values: dict[tuple[Dictionary, Interval, int, int], list[Any]]
    names: list[tuple[Dictionary, str, list[Any]]]


class Writer(Numbers):
    """Not for several threads at once."""

    def __init__(self, connection: Connection, settings: Settings):
        super().__init__(connection, settings)
        self._kept = dict(settings.periods)
        self._distinct_kept = distinct_periods(settings.periods)
        self._apply, self._mark = Script(self.client, "apply"), Script(self.client, "mark")

    @reachable
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
                checked: list[Dictionary | ResetLog] = [*dictionaries, log_of]
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
        dictionaries: Sequence["Dictionary | ResetLog"],
        now: float,
        lost: dict[str, int],
    ) -> Any:
        seen_ttl = int(self.settings.spool_max_age_s) + DAY
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
        answer = self._apply(names, [pack(head), pack(flat)])
        if self.settings.wait_replicas:
            self._await_replicas(keys.waited(shard))
        return answer

    def _await_replicas(self, key: str) -> None:
        """Until as many replicas as are asked for have all that was written so far; raises Unavailable.

        WAIT speaks of what its own connection wrote. Replicas take all writes in one order, so one more write, last, stands for all.
        """
        wanted = self.settings.wait_replicas
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
        where: dict[tuple[Branch, str, str], list[tuple[Dictionary, list[Path]]]] = {}
        unknown: dict[Dictionary, dict[Kinded, None]] = {}
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
                if isinstance(stale, ResetLog):
                    del self._reset_logs[account, shard]
                    self._forget_directory()
                else:
                    self._forget(account, stale)
                return False
        return True

    def _values_of(
        self,
        keys: Keys,
        dictionary: Dictionary,
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
        self, keys: Keys, shard: int, call: _MarkCalls, log_of: ResetLog, now: float
    ) -> Iterator[Dictionary | ResetLog]:
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
            checked: list[Dictionary | ResetLog] = [*dictionaries, log_of]
            answer = self._mark(
                [
                    *(known.key for known in checked),
                    *(keys.distinct_nodes(shard, dictionary.blocks) for dictionary in dictionaries),
                    keys.faults(shard),
                    *(key for key, _ in values + names),
                ],
                [
                    pack(
                        [
                            [known.token.decode() for known in checked],
                            self.settings.max_distinct_nodes,
                            [row for _, row in values],
                            [row for _, row in names],
                        ]
                    )
                ],
            )
            if answer[0] == b"stale":
                yield from (checked[i] for i in answer[1:])
                return


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


def _expanded(sums: Sums) -> _Expanded:
    """The sums of one bucket as slots of pages: [metric, [node, amount, ...], ...], packed; and what is lost."""
    pages: dict[tuple[Dictionary, int], dict[int, dict[str, int]]] = {}
    for branch, amounts in sums.items():
        for where, nodes in plan_of(branch):
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
            packed[where] = msgspec.Raw(pack(flat))
    return packed, lost

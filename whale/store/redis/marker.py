"""Marking extras: what is no sum, of each node by name, is handed to mark.lua in calls of a bounded size, before the sums are applied."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from hail.settings import DISTINCT
from whale.cells import Batch, Names, Value, Values, stays
from whale.metric import distinct_periods
from whale.period import Interval, next_start
from whale.store.redis.connection import pack
from whale.store.redis.database import Database
from whale.store.redis.keys import Keys, place
from whale.store.redis.numbers import LOST, Dictionary, Kinded, Numbers, ResetLog, plan_of

A_CALL, A_ROW = 4000, 1000

Lost = dict[int, dict[str, int]]  # by shard and reason, cells
_ByNode = dict[tuple[Dictionary, str], dict[int, list[set[str]]]]  # by dictionary and distinct metric, and node
_ByPage = dict[tuple[Dictionary, int], dict[Kinded, dict[str, Value]]]  # by dictionary and page, metric, "#node"
_Buckets = list[tuple[Interval, int]]
Shared = TypeVar("Shared")


class _Row(NamedTuple):
    """What mark.lua is to write by one metric of one dictionary: of values one page in one bucket, of names nodes in some buckets.

    keys: a hash, or what the HyperLogLogs of a bucket begin with.  size: about how many fields or names are written.
    """

    dictionary: Dictionary
    keys: list[str]
    size: int
    values: tuple[int, int, msgspec.Raw] | None = None  # ttl of the hash, bucket in it, what it is to keep
    names: tuple[int, list[int], list[tuple[int, list[str]]]] | None = None  # metric, ttl of each key, nodes with names


class Marker:
    """Not for several threads at once. numbers: a writer's."""

    def __init__(self, database: Database, numbers: Numbers):
        self._database, self._numbers, self._mark = database, numbers, database.script("newer", "mark")
        self._kept = distinct_periods(database.settings.periods)
        self._most_nodes = database.settings.max_distinct_nodes

    def mark(self, account: str, keys: Keys, batch: Batch, now: float, lost: Lost) -> bool:
        """Marks extras, after `resolve` of the numbers; False where a dictionary turned out to be gone, or a reset came.

        lost: adds what could not be marked. None is on a shard that knows of other resets than those that the extras have
        heeded: it will be refused.
        """
        names = [(self._by_node(account, keys, part), buckets) for part, buckets in _shared(batch.extras.names)]
        values = [(_by_page(part), buckets) for part, buckets in _shared(batch.extras.values)]
        if not self._know_kinds(account, [by_node for by_node, _ in names], [by_page for by_page, _ in values]):
            return False
        rows: dict[int, list[_Row]] = {}
        zone = self._database.zone(account)
        for by_node, buckets in names:
            for row in self._name_rows(keys, by_node, buckets, zone, now, lost):
                rows.setdefault(row.dictionary.shard, []).append(row)
        for by_page, buckets in values:
            for row in self._value_rows(keys, by_page, buckets, zone, now, lost):
                rows.setdefault(row.dictionary.shard, []).append(row)
        for shard, mine in rows.items():
            log_of = self._numbers.resets_on(account, keys, shard)
            if (batch.shards is not None and shard not in batch.shards) or not log_of.resets <= batch.resets:
                continue
            for stale in self._send_marks(keys, shard, mine, log_of):
                if isinstance(stale, ResetLog):
                    self._numbers.drop_resets(account, shard, stale)
                else:
                    self._numbers.drop(account, stale)
                return False
        return True

    def _know_kinds(self, account: str, names: Sequence[_ByNode], values: Sequence[_ByPage]) -> bool:
        """Learns the numbers of metrics; False where a dictionary turned out to be gone."""
        unknown: dict[Dictionary, dict[Kinded, None]] = {}
        for dictionary, metric in (found for by_node in names for found in by_node):
            unknown.setdefault(dictionary, {})[metric, DISTINCT] = None
        for (dictionary, _), columns in (found for by_page in values for found in by_page.items()):
            unknown.setdefault(dictionary, {}).update(dict.fromkeys(columns))
        return all(
            dictionary.broken
            or metrics <= dictionary.metrics.keys()
            or self._numbers.learn(account, dictionary, (), metrics)
            for dictionary, metrics in ((known, asked.keys()) for known, asked in unknown.items())
        )

    def _by_node(self, account: str, keys: Keys, names: Names) -> _ByNode:
        """The sets that the names of each node are the union of."""
        found: _ByNode = {}
        for branch, metrics in names.items():
            for dictionary, nodes in self._numbers.narrow(account, keys, branch):
                for metric, some in metrics.items():
                    of_nodes = found.get((dictionary, metric))
                    if of_nodes is None:
                        of_nodes = found[dictionary, metric] = {}
                    for node in nodes:
                        of_nodes.setdefault(node, []).append(some)
        return found

    def _name_rows(
        self, keys: Keys, by_node: _ByNode, buckets: _Buckets, zone: str, now: float, lost: Lost
    ) -> Iterator[_Row]:
        ttls = []
        for interval, start in buckets:
            kept = self._kept[interval]
            ttls.append(0 if kept is None else max(1, int(next_start(interval, start, zone) + kept - now)))
        for (dictionary, name), nodes in by_node.items():
            if dictionary.broken:
                continue
            metric = dictionary.metrics[name, DISTINCT]
            if metric < 0:
                lose(lost, dictionary.shard, LOST[metric], len(nodes) * len(buckets))
                continue
            at = [
                keys.distinct_bucket(dictionary.shard, dictionary.blocks, interval, start)
                for interval, start in buckets
            ]
            some: list[tuple[int, list[str]]] = []
            size = 0
            for node, sets in nodes.items():
                names = list(sets[0] if len(sets) == 1 else set().union(*sets))
                for first in range(0, len(names), A_ROW):
                    part = names[first : first + A_ROW]
                    some.append((node, part))
                    size += (len(part) + 2) * len(at)
                    if size >= A_CALL:
                        yield _Row(dictionary, at, size, names=(metric, ttls, some))
                        some, size = [], 0
            if some:
                yield _Row(dictionary, at, size, names=(metric, ttls, some))

    def _value_rows(
        self, keys: Keys, by_page: _ByPage, buckets: _Buckets, zone: str, now: float, lost: Lost
    ) -> Iterator[_Row]:
        texts: dict[Value, str] = {}  # one value stays at many nodes
        for (dictionary, page), columns in by_page.items():
            if dictionary.broken:
                continue
            packed = []
            for (name, kind), column in columns.items():
                metric = dictionary.metrics[name, kind]
                if metric < 0:
                    lose(lost, dictionary.shard, LOST[metric], len(column) * len(buckets))
                    continue
                flat: list[str] = []
                for node, value in column.items():
                    text = texts.get(value)
                    if text is None:
                        text = texts[value] = _value_text(value)
                    flat += (node, text)
                for first in range(0, len(flat), 2 * A_ROW):
                    some = flat[first : first + 2 * A_ROW]
                    packed.append((len(some), msgspec.Raw(pack((metric, kind, some)))))
            for interval, start in buckets:
                block, bucket = place(interval, start, zone)
                key = keys.values(dictionary.shard, dictionary.blocks, interval, block, page)
                ttl = self._database.ttl(interval, block, now)
                for size, values in packed:
                    yield _Row(dictionary, [key], size, values=(ttl, bucket, values))

    def _send_marks(
        self, keys: Keys, shard: int, rows: Sequence[_Row], log_of: ResetLog
    ) -> Iterator[Dictionary | ResetLog]:
        """Gives what Redis does not know any more: dictionaries, or the resets."""
        first = 0
        while first < len(rows):
            last, size = first, 0
            while last < len(rows) and (last == first or size + rows[last].size <= A_CALL):
                size += rows[last].size
                last += 1
            some, first = rows[first:last], last
            dictionaries = list(dict.fromkeys(row.dictionary for row in some))
            place_of = {dictionary: i for i, dictionary in enumerate(dictionaries, 1)}
            which: dict[str, int] = {}
            hashes, unions = [], []
            hash_keys: list[str] = []
            union_keys: list[str] = []
            for row in some:
                if row.values:
                    hashes.append(row.values)
                    hash_keys += row.keys
                if row.names:
                    flat: list[Any] = []
                    for node, names in row.names[2]:
                        flat += (node, [which.setdefault(name, len(which) + 1) for name in names])
                    unions.append((place_of[row.dictionary], *row.names[:2], flat))
                    union_keys += row.keys
            checked: list[Dictionary | ResetLog] = [*dictionaries, log_of]
            answer = self._mark(
                [
                    *(known.key for known in checked),
                    *(keys.distinct_nodes(shard, dictionary.blocks) for dictionary in dictionaries),
                    keys.faults(shard),
                    *hash_keys,
                    *union_keys,
                ],
                [
                    pack(
                        (
                            [known.token.decode() for known in checked],
                            self._most_nodes,
                            hashes,
                            unions,
                            list(which),
                        )
                    )
                ],
            )
            if answer[0] == b"stale":
                yield from (checked[i] for i in answer[1:])
                return


def _shared(levels: dict[Interval, dict[int, Shared]]) -> list[tuple[Shared, _Buckets]]:
    """What buckets hold, each once, and the buckets that share it."""
    found: dict[int, tuple[Shared, _Buckets]] = {}
    for interval, level in levels.items():
        for start, part in level.items():
            found.setdefault(id(part), (part, []))[1].append((interval, start))
    return list(found.values())


def _by_page(values: Values) -> _ByPage:
    """The value that stays at each node."""
    found: _ByPage = {}
    for branch, metrics in values.items():
        for where, nodes in plan_of(branch):
            columns = found.get(where)
            if columns is None:
                columns = found[where] = {}
            for metric, value in metrics.items():
                column = columns.get(metric)
                if column is None:
                    columns[metric] = dict.fromkeys(nodes, value)
                else:
                    for node in nodes:
                        known = column.get(node)
                        if known is not value:
                            column[node] = stays(metric[1], known, value)
    return found


def _value_text(value: Value) -> str:
    """A value as mark.lua takes it. Of a last: fixed widths, so that texts sort as values do."""
    if len(value) == 1:
        return str(value[0])
    at, publisher, seq, position, amount = value
    assert isinstance(at, int)
    return f"{at + 2**44:012x}{publisher}{seq:010x}{position:05x}{amount}"


def lose(lost: Lost, shard: int, reason: str, count: int) -> None:
    mine = lost.setdefault(shard, {})
    mine[reason] = mine.get(reason, 0) + count

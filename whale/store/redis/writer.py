"""Writing what hits add up to: find the number of each node and metric, turn cells into slots of pages, hand all pages of a shard
to apply.lua in one call. What is no sum goes to mark.lua before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from hail.message import Mark
from hail.settings import DAY
from whale.cells import Batch, Sums, Tally
from whale.errors import Unavailable
from whale.period import Interval
from whale.store.redis import keys as layout
from whale.store.redis.connection import pack, reachable
from whale.store.redis.database import Database
from whale.store.redis.keys import Keys, place
from whale.store.redis.marker import LOST, Lost, Marker, lose
from whale.store.redis.numbers import TRIES, Dictionary, Numbers, ResetLog, plan_of

TALLY_TTL_S = 7 * DAY

_ShardPages = dict[
    tuple[Dictionary, Interval, int, int], dict[int, msgspec.Raw]
]  # (..., block, page) -> bucket -> slots
_Pages = dict[int, _ShardPages]
_Expanded = tuple[dict[tuple[Dictionary, int], msgspec.Raw], list[tuple[int, str, int]]]  # lost: shard, reason, cells


@dataclass(frozen=True)
class _Part:
    """What one account adds in an apply."""

    account: str
    keys: Keys
    batch: Batch
    pages: _Pages
    lost: Lost


class Writer:
    """Not for several threads at once."""

    def __init__(self, database: Database, numbers: Numbers, marker: Marker):
        self._database, self._numbers, self._marker = database, numbers, marker
        self._apply = database.script("newer", "apply")

    @reachable
    def apply(self, batches: Mapping[str, Batch], now: float) -> dict[int, set[Mark]]:
        numbers = self._numbers
        for account in batches:
            self._database.begin(account)
        numbers.trim(now)
        tallies = {tally.mark: tally for batch in batches.values() for tally in batch.tallies}
        homes = {
            self._database.keys(account).home(tally.publisher)
            for account, batch in batches.items()
            for tally in batch.tallies
            if batch.shards is None or self._database.keys(account).home(tally.publisher) in batch.shards
        }
        done, refused = set[int](), dict[int, set[Mark]]()
        for _ in range(TRIES):
            parts = self._parts(batches, now)
            if parts is None:
                continue
            stale = False
            shards = {shard for part in parts for shard in part.pages}
            for shard in sorted({*shards, *homes} - done):
                logs = [numbers.resets_on(part.account, part.keys, shard) for part in parts]
                if any(not log_of.resets <= part.batch.resets for part, log_of in zip(parts, logs, strict=True)):
                    done.add(shard)
                    refused[shard] = set()
                    continue
                dictionaries = [
                    (part.account, dictionary)
                    for part in parts
                    for dictionary in dict.fromkeys(dictionary for dictionary, *_ in part.pages.get(shard, {}))
                ]
                checked = [dictionary for _, dictionary in dictionaries] + logs
                answer = self._apply_shard(shard, list(tallies.values()), parts, checked, now)
                if answer[0] == b"stale":
                    for i in answer[1:]:
                        if i < len(dictionaries):
                            numbers.drop(*dictionaries[i])
                        else:
                            numbers.drop_resets(parts[i - len(dictionaries)].account, shard)
                    stale = True
                    continue
                done.add(shard)
                if answer[0] == b"seen":
                    refused[shard] = {list(tallies)[i] for i in answer[1:]}
            if not stale:
                return refused
        raise Unavailable(
            f"Redis: dictionaries of {', '.join(batches)} changed {TRIES} times while some hits were applied"
        )

    def _parts(self, batches: Mapping[str, Batch], now: float) -> list[_Part] | None:
        """What each account adds; None where a dictionary turned out to be gone."""
        parts = []
        for account, batch in batches.items():
            keys = self._database.keys(account)
            if not self._numbers.resolve(account, keys, batch.cells):
                return None
            pages, lost = self._pages(account, batch)
            if batch.extras and not self._marker.mark(account, keys, batch, now, lost):
                return None
            parts.append(_Part(account, keys, batch, pages, lost))
        return parts

    def _apply_shard(
        self,
        shard: int,
        tallies: Sequence[Tally],
        parts: Sequence[_Part],
        checked: Sequence[Dictionary | ResetLog],
        now: float,
    ) -> Any:
        bits: list[int] = []
        for tally in tallies:
            seen_ttl = int(max(self._database.settings.spool_max_age_s, tally.kept_s)) + DAY
            bits += (tally.seq % layout.SEEN_BITS, 0 if tally.lasting else seen_ttl)
        names = [layout.seen(shard, tally.mark) for tally in tallies]
        names += (dictionary.key for dictionary in checked)
        head: list[Any] = [bits, [dictionary.token.decode() for dictionary in checked], int(now), TALLY_TTL_S]
        flat: list[list[Any]] = []
        for part in parts:
            head.append(self._told(shard, part, names, flat, now))
        answer = self._apply(names, [pack(head), pack(flat)])
        self._database.await_replicas(parts[0].keys, shard)
        return answer

    def _told(self, shard: int, part: _Part, names: list[str], flat: list[list[Any]], now: float) -> list[Any]:
        """Adds the keys and the blocks of an account on a shard, and gives its part of the head: see apply.lua."""
        keys, homed = part.keys, []
        for tally in part.batch.tallies:
            if keys.home(tally.publisher) == shard:
                fields = ["messages", 1, "hits", tally.hits]
                for reason, count in tally.dropped.items():
                    fields += (f"dropped.{reason}", count)
                homed.append((tally.publisher, tally.seq, tally.total, fields))
        names += (keys.publisher(publisher) for publisher, *_ in homed)
        names += (keys.publishers(shard), keys.faults(shard), keys.aside(shard))
        pages = part.pages.get(shard, {})
        for (dictionary, interval, block, page), buckets in pages.items():
            names.append(keys.block(shard, dictionary.blocks, interval, block, page))
            row: list[Any] = [self._database.ttl(interval, block, now)]
            for bucket in buckets.items():
                row += bucket
            flat.append(row)
        lost = [word for row in part.lost.get(shard, {}).items() for word in row]
        return [homed, lost, len(pages)]

    def _pages(self, account: str, batch: Batch) -> tuple[_Pages, Lost]:
        """Cells by shard, block and page, and bucket, those of a bucket packed as apply.lua takes them; and how many are lost."""
        zone, shards = self._database.zone(account), batch.shards
        expanded: dict[int, _Expanded] = {}
        grouped: _Pages = {}
        lost: Lost = {}
        for interval, level in batch.cells.items():
            for start, sums in level.items():
                found = expanded.get(id(sums))  # levels share their sums
                if found is None:
                    found = expanded[id(sums)] = _expanded(sums)
                block, offset = place(interval, start, zone)
                for shard, reason, count in found[1]:
                    lose(lost, shard, reason, count)
                for (dictionary, page), slots in found[0].items():
                    if shards is None or dictionary.shard in shards:
                        of_shard = grouped.setdefault(dictionary.shard, {})
                        of_shard.setdefault((dictionary, interval, block, page), {})[offset] = slots
        return grouped, lost


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

"""Writing what hits add up to: find the number of each node and metric, turn cells into slots of pages, hand all pages of a shard
to apply.lua in one call. What is no sum goes to mark.lua before.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from hail.settings import DAY
from whale.cells import Batch, Name, Sums, Tally
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


class Writer:
    """Not for several threads at once."""

    def __init__(self, database: Database, numbers: Numbers, marker: Marker):
        self._database, self._numbers, self._marker = database, numbers, marker
        self._apply = database.script("apply")

    @reachable
    def apply(self, account: str, batch: Batch, now: float) -> dict[int, set[Name]]:
        keys, numbers = self._database.keys(account), self._numbers
        self._database.begin(account)
        numbers.trim(now)
        homes = {keys.home(tally.publisher) for tally in batch.tallies}
        if batch.shards is not None:
            homes &= set(batch.shards)
        done, refused = set[int](), dict[int, set[Name]]()
        for _ in range(TRIES):
            if not numbers.resolve(account, keys, batch.cells):
                continue
            pages, lost = self._pages(account, batch)
            if batch.extras and not self._marker.mark(account, keys, batch, now, lost):
                continue
            stale = False
            for shard in sorted({*pages, *homes} - done):
                mine = pages.get(shard, {})
                dictionaries = list(dict.fromkeys(dictionary for dictionary, *_ in mine))
                log_of = numbers.resets_on(account, keys, shard)
                if not log_of.resets <= batch.resets:
                    done.add(shard)
                    refused[shard] = set()
                    continue
                checked: list[Dictionary | ResetLog] = [*dictionaries, log_of]
                answer = self._apply_shard(keys, shard, batch.tallies, mine, checked, now, lost.get(shard, {}))
                if answer[0] == b"stale":
                    for i in answer[1:]:
                        if i == len(dictionaries):
                            numbers.drop_resets(account, shard)
                        else:
                            numbers.drop(account, dictionaries[i])
                    stale = True
                    continue
                done.add(shard)
                if answer[0] == b"seen":
                    refused[shard] = {batch.tallies[i].name for i in answer[1:]}
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
        bits: list[int] = []
        homed = []
        for tally in tallies:
            seen_ttl = int(max(self._database.settings.spool_max_age_s, tally.kept_s)) + DAY
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
            row: list[Any] = [self._database.ttl(interval, block, now)]
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
        self._database.await_replicas(keys, shard)
        return answer

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

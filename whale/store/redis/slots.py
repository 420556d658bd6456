"""Sums become slots of pages, packed as apply.lua takes those of a bucket: [metric, [node, amount, ...], ...].

Of cells branch by branch; of a table by numpy, which takes all branches and buckets together.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec import Raw

from hail.columns import runs
from whale.cells import Amounts, Rows, Sums, Table
from whale.store.redis.connection import pack
from whale.store.redis.keys import PAGE
from whale.store.redis.marker import LOST
from whale.store.redis.numbers import NODE, Dictionary, plan_of, slots_of
from whale.sums import numbered, summed

_Where = tuple[Dictionary, int]  # a page
_Columns = dict[int, dict[str, int]]  # by metric, by node


class Packed(NamedTuple):
    """What a bucket gets on each page; and what is lost: a dictionary, reason, cells."""

    pages: list[tuple[tuple[Dictionary, int], Raw]]
    lost: list[tuple[Dictionary, str, int]]


def pack_sums(sums: Sums) -> Packed:
    """The sums of one bucket, of whichever accounts."""
    alone: dict[_Where, tuple[tuple[str, ...], Amounts]] = {}  # what one branch alone has on a page
    pages: dict[_Where, _Columns] = {}
    for branch, amounts in sums.items():
        for where, nodes in plan_of(branch):
            slots = pages.get(where)
            if slots is None:
                first = alone.pop(where, None)
                if first is None:
                    alone[where] = nodes, amounts
                    continue
                slots = pages[where] = {}
                _add(slots, where[0].metrics, *first)
            _add(slots, where[0].metrics, nodes, amounts)
    packed = Packed([], [])
    for where, (nodes, amounts) in alone.items():
        known, flat = where[0].metrics, list[Any]()
        if len(amounts) > 1 and len({known[name] for name in amounts}) < len(amounts):
            _add(pages.setdefault(where, {}), known, nodes, amounts)
            continue
        for name, amount in amounts.items():
            metric, text = known[name], str(amount)
            if metric < 0 or where[1] < 0:
                packed.lost.append((where[0], LOST[min(metric, where[1])], len(nodes)))
            else:
                flat += (metric, [word for node in nodes for word in (node, text)])
        if flat:
            packed.pages.append((where, Raw(pack(flat))))
    for where, slots in pages.items():
        flat = []
        for metric, column in slots.items():
            if metric < 0 or where[1] < 0:
                packed.lost.append((where[0], LOST[min(metric, where[1])], len(column)))
                continue
            cells = [""] * (2 * len(column))
            cells[::2] = column
            cells[1::2] = map(str, column.values())
            flat += (metric, cells)
        if flat:
            packed.pages.append((where, Raw(pack(flat))))
    return packed


def _add(slots: _Columns, known: Mapping[Any, int], nodes: Sequence[str], amounts: Amounts) -> None:
    for name, amount in amounts.items():
        metric = known[name]
        column = slots.get(metric)
        if column is None:
            slots[metric] = dict.fromkeys(nodes, amount)
        else:
            for node in nodes:
                column[node] = column.get(node, 0) + amount


def pack_rows(table: Table, rows: Rows, buckets: int, pages: Sequence[tuple[Dictionary, int]]) -> list[Packed]:
    """Rows of a table, by bucket. pages: those that slots of plans name."""
    slots = [slots_of(branch) for branch in table.branches]
    lengths = np.array([len(some) for some in slots], np.int64) // 8
    times = lengths[rows.branch]
    at = runs((np.cumsum(lengths) - lengths)[rows.branch], times)
    page, node = np.divmod(np.frombuffer(b"".join(slots), np.int64)[at], PAGE)
    here, page = numbered(page, len(pages))
    metrics = len(table.metrics)
    above = page * buckets * metrics + np.repeat(rows.bucket * metrics + rows.metric, times)
    keys, sums = summed(above * PAGE + node, np.repeat(rows.amount, times), len(here) * buckets * metrics * PAGE)

    cells = [""] * (2 * len(keys))
    cells[::2] = [NODE[node] for node in (keys % PAGE).tolist()]
    cells[1::2] = map(str, sums.tolist())
    columns = keys // PAGE  # a column is one metric of a bucket on a page
    begins = np.flatnonzero(np.diff(columns, prepend=-1))
    ends = np.append(begins, len(keys))[1:]
    packed = [Packed([], []) for _ in range(buckets)]
    waiting: list[tuple[int, tuple[Dictionary, int], list[Any]]] = []
    last = -1
    for column, begin, end in zip(columns[begins].tolist(), begins.tolist(), ends.tolist(), strict=True):
        group, metric = divmod(column, metrics)
        if group != last:
            last = group
            bucket, where = group % buckets, pages[here[group // buckets]]
            flat: list[Any] = []
            waiting.append((bucket, where, flat))
        number = where[0].metrics[table.metrics[metric]]
        if number < 0:
            packed[bucket].lost.append((where[0], LOST[number], end - begin))
        else:
            flat += (number, cells[2 * begin : 2 * end])
    for bucket, where, flat in waiting:
        if flat:
            packed[bucket].pages.append((where, Raw(pack(flat))))
    return packed

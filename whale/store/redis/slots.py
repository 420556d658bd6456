"""Sums become slots of pages, packed as apply.lua takes those of a bucket: [metric, [node, amount, ...], ...].

Of cells branch by branch; of a table by numpy, which takes all branches and buckets together. Where buckets may be written whole
(whole.py), what a table gives a bucket stays in columns of numbers until it is known how it is sent, if it is much.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Raw

from hail.columns import runs
from whale.cells import Amounts, Rows, Sums, Table
from whale.store.redis.connection import pack
from whale.store.redis.keys import PAGE
from whale.store.redis.marker import LOST
from whale.store.redis.numbers import NODE, Dictionary, plan_of, slots_of
from whale.sums import Ints, numbered, summed

_Where = tuple[Dictionary, int]  # a page
_Columns = dict[int, dict[str, int]]  # by metric, by node


FEW = 48
"""Cells of a bucket on a page, below which columns are not worth their while."""
MOST_INT, LEAST_INT = 2**63 - 1, -(2**63)


class Span(NamedTuple):
    """One metric of a bucket on a page: a stretch of columns; low and high are its first and last node."""

    metric: int
    begin: int
    end: int
    low: int
    high: int


class Columns:
    """What a bucket gets on a page, as numbers: stretches of nodes, which rise in each, and of amounts."""

    def __init__(self, nodes: Ints, amounts: Ints, spans: list[Span]):
        self.nodes, self.amounts, self.spans = nodes, amounts, spans
        self.cells = sum([span.end - span.begin for span in spans])

    @property
    def is_plain(self) -> bool:
        """Whether it has each metric once."""
        return len({span.metric for span in self.spans}) == len(self.spans)

    @cached_property
    def slots(self) -> int:
        """From the first to the last node, of all metrics."""
        return sum([span.high + 1 - span.low for span in self.spans])

    @cached_property
    def raw(self) -> Raw:
        flat: list[Any] = []
        for metric, begin, end, _, _ in self.spans:
            flat += (metric, _words_of(self.nodes[begin:end], self.amounts[begin:end]))
        return Raw(pack(flat))


Part = Raw | Columns
"""What a bucket gets on a page: as apply.lua takes it, or as numbers."""
_unpack = msgspec.msgpack.Decoder(list[int | list[str]]).decode


def raw_of(part: Part) -> Raw:
    return part.raw if isinstance(part, Columns) else part


def columns_of(parts: Sequence[Part]) -> Columns | None:
    """What several parts give a bucket, each metric once: names that are folded share a number. None where an amount has more than 64
    bits."""
    if len(parts) == 1 and isinstance(alone := parts[0], Columns) and alone.is_plain:
        return alone
    sums: dict[int, dict[int, int]] = {}
    for metric, nodes, amounts in (cells for part in parts for cells in _cells_in(part)):
        mine = sums.setdefault(metric, {})
        for node, amount in zip(nodes, amounts, strict=True):
            mine[node] = mine.get(node, 0) + amount
    order = [(metric, sorted(mine.items())) for metric, mine in sums.items()]
    all_amounts = [amount for _, rows in order for _, amount in rows]
    if not all_amounts or not LEAST_INT <= min(all_amounts) <= max(all_amounts) <= MOST_INT:
        return None
    spans, end = [], 0
    for metric, rows in order:
        begin, end = end, end + len(rows)
        spans.append(Span(metric, begin, end, rows[0][0], rows[-1][0]))
    all_nodes = [node for _, rows in order for node, _ in rows]
    return Columns(np.array(all_nodes, np.int64), np.array(all_amounts, np.int64), spans)


def _cells_in(part: Part) -> Iterator[tuple[int, Sequence[int], Iterable[int]]]:
    """Metric, nodes and amounts."""
    if isinstance(part, Columns):
        for metric, begin, end, _, _ in part.spans:
            yield metric, part.nodes[begin:end].tolist(), part.amounts[begin:end].tolist()
        return
    flat: list[Any] = _unpack(part)
    for metric, words in zip(flat[::2], flat[1::2], strict=True):
        yield metric, [int(word[1:]) for word in words[::2]], map(int, words[1::2])


def _words_of(nodes: Ints, amounts: Ints) -> list[str]:
    """Node, amount, node, amount, … as apply.lua takes them."""
    words = [""] * (2 * len(nodes))
    words[::2] = [NODE[node] for node in nodes.tolist()]
    words[1::2] = map(str, amounts.tolist())
    return words


class Packed(NamedTuple):
    """What a bucket gets on each page; and what is lost: a dictionary, reason, cells."""

    pages: list[tuple[tuple[Dictionary, int], Part]]
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


def pack_rows(
    table: Table, rows: Rows, buckets: int, pages: Sequence[tuple[Dictionary, int]], as_columns: bool = False
) -> list[Packed]:
    """Rows of a table, by bucket. pages: those that slots of plans name.  as_columns: where much stays as numbers."""
    slots = [slots_of(branch) for branch in table.branches]
    lengths = np.array([len(some) for some in slots], np.int64) // 8
    times = lengths[rows.branch]
    at = runs((np.cumsum(lengths) - lengths)[rows.branch], times)
    page, node = np.divmod(np.frombuffer(b"".join(slots), np.int64)[at], PAGE)
    here, page = numbered(page, len(pages))
    metrics = len(table.metrics)
    above = page * buckets * metrics + np.repeat(rows.bucket * metrics + rows.metric, times)
    keys, sums = summed(above * PAGE + node, np.repeat(rows.amount, times), len(here) * buckets * metrics * PAGE)

    nodes, columns = keys % PAGE, keys // PAGE  # a column is one metric of a bucket on a page
    begins = np.flatnonzero(np.diff(columns, prepend=-1))
    ends = np.append(begins, len(keys))[1:]
    packed = [Packed([], []) for _ in range(buckets)]
    texts = begins.tolist()  # where the text of each column begins
    if as_columns:
        is_large = np.bincount(columns // metrics, minlength=len(here) * buckets)[columns // metrics] >= FEW
        large = is_large[begins].tolist()
        texts = (np.cumsum(~is_large) - 1)[begins].tolist()
        cells = _words_of(nodes[~is_large], sums[~is_large])
    else:
        large, cells = [False] * len(begins), _words_of(nodes, sums)
    waiting: list[tuple[int, tuple[Dictionary, int], list[Any], bool]] = []
    last = -1
    each = zip(columns[begins].tolist(), begins.tolist(), ends.tolist(), large, texts, strict=True)
    for column, begin, end, stays, text in each:
        group, metric = divmod(column, metrics)
        if group != last:
            last = group
            bucket, where = group % buckets, pages[here[group // buckets]]
            flat: list[Any] = []
            waiting.append((bucket, where, flat, stays))
        number = where[0].metrics[table.metrics[metric]]
        if number < 0:
            packed[bucket].lost.append((where[0], LOST[number], end - begin))
        elif stays:
            flat.append(Span(number, begin, end, int(nodes[begin]), int(nodes[end - 1])))
        else:
            flat += (number, cells[2 * text : 2 * (text + end - begin)])
    for bucket, where, flat, stays in waiting:
        if flat:
            packed[bucket].pages.append((where, Columns(nodes, sums, flat) if stays else Raw(pack(flat))))
    return packed

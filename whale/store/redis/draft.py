"""What one shard gets in a call, where busy buckets may be written whole: each bucket so, or as amounts that Redis adds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from whale.period import Interval
from whale.store.redis.connection import pack
from whale.store.redis.keys import PAGE
from whale.store.redis.mirror import SLOT, Bucket, Form, Mirror, PkMemory, as_sent
from whale.store.redis.numbers import Dictionary
from whale.store.redis.slots import Columns, Part, columns_of, raw_of
from whale.sums import Ints

SHORT = 150
"""Bytes of a string for each slot that changes, up to which it is written whole: SETRANGE of 8 KB takes 11 us, an added slot 0.5."""
DENSE, SPLIT, FIELD_BYTES, PACKED_BYTES = 256, 512, 48, 36  # as in apply.lua
NONE = np.zeros(0, np.int64)

Page = tuple[Dictionary, Interval, int, int]
"""A block of a page: (dictionary, interval, block, page)."""
Pages = Mapping[Page, Sequence[Any]]
"""Of each (bucket, part, bucket, part, ...)."""


class _Item(NamedTuple):
    """What a bucket gets that is remembered."""

    account: int
    page: Page
    offset: int
    columns: Columns
    bucket: Bucket


class Draft:
    """What one shard gets: amounts, and buckets to be written whole. Of what the mirror has, nothing changes until it is `sent`.

    amounts: by account, of each page (bucket, what is added, bucket, ...).
    """

    def __init__(self, mirror: Mirror, of_accounts: Sequence[Pages], after: str):
        """after: the stamp of its pks when it is written."""
        self._mirror, self._pages, self._after = mirror, of_accounts, after
        self.amounts: list[dict[Page, list[Any]]] = [{} for _ in of_accounts]
        self._items: list[_Item] = []
        self._memories: dict[Dictionary, PkMemory] = {}
        for account, pages in enumerate(of_accounts):
            self._sort(account, pages)
        self._add_up()
        self._whole: list[_Item] = []
        for item in self._items:
            if item.bucket.form != Form.DENSE or is_short(item.columns):
                self._whole.append(item)
            else:
                self._as_amounts(item)
        self._begun = [item.bucket for item in self._items if item.bucket.form != Form.DENSE]
        self._stamps = {dictionary: memory.stamp for dictionary, memory in self._memories.items()}

    # making it ready

    def _sort(self, account: int, pages: Pages) -> None:
        """Which buckets are remembered; what others get is to be added."""
        known, amounts = self._mirror.known, self.amounts[account]
        for page, row in pages.items():
            memory = known(page[0].blocks)
            if memory is None:
                amounts[page] = _raw(row)
            else:
                self._memories[page[0]] = memory
                self._sort_page(account, page, row, memory)

    def _sort_page(self, account: int, page: Page, row: Sequence[Any], memory: PkMemory) -> None:
        for offset, parts in buckets_in(row):
            bucket = memory.buckets.get((*page[1:], offset))
            columns = None
            if bucket and bucket.form in (Form.DENSE, Form.ABSENT):
                columns = columns_of(parts)
                if columns is None or not _may_be_whole(bucket, columns):
                    self._is_added_to(bucket)
                    columns = None
            if bucket and columns:
                self._mirror.use(bucket)
                self._items.append(_Item(account, page, offset, columns, bucket))
            else:
                amounts = self.amounts[account].setdefault(page, [])
                for part in parts:
                    amounts += (offset, raw_of(part))

    def _is_added_to(self, bucket: Bucket) -> None:
        """By amounts, which the mirror does not follow."""
        if bucket.form == Form.DENSE:
            self._mirror.drop(bucket)
        else:
            bucket.form = Form.SPARSE

    def _as_amounts(self, item: _Item) -> None:
        self.amounts[item.account].setdefault(item.page, []).extend((item.offset, item.columns.raw))

    def _add_up(self) -> None:
        """The slots of all items as they will be. What finds no room, or leaves 64 bits, is added by Redis."""
        items = []
        for item in self._items:
            rows = [self._mirror.row(item.bucket, span.metric) for span in item.columns.spans]
            if None in rows:
                self._give_up(item)
            else:
                items.append(item)
        while True:
            index, amounts, of = _slots(items)
            before = self._mirror.flat[index]
            sums = before + amounts
            beyond = ((before ^ sums) & (amounts ^ sums)) < 0
            if not beyond.any():
                break
            gone = set(of[beyond].tolist())
            for number in gone:
                self._give_up(items[number])
            items = [item for number, item in enumerate(items) if number not in gone]
        self._items, self._index, self._sums = items, index, sums

    def _give_up(self, item: _Item) -> None:
        self._as_amounts(item)
        self._mirror.drop(item.bucket)

    def asked(
        self, dictionaries: Sequence[Dictionary], others: int, ttl_of: Callable[[Page], int]
    ) -> tuple[list[Page], list[bytes]]:
        """The blocks of buckets that are written whole, and what whole.lua is asked. others: further keys that are checked."""
        number = {dictionary: d for d, dictionary in enumerate(dictionaries, 1)}
        stamps = [self._stamps.get(dictionary, "") for dictionary in dictionaries] + [""] * others
        blocks: dict[Page, int] = {}
        rows: list[list[list[int]]] = [[] for _ in self._pages]
        strings: list[bytes] = []
        begun = {id(bucket) for bucket in self._begun}
        slots = self._mirror.flat
        before = slots[self._index]
        slots[self._index] = self._sums  # until they are packed
        for item in self._whole:
            of = item.bucket
            block = blocks.setdefault(item.page, len(blocks) + 1)
            row = [block, number[item.page[0]], ttl_of(item.page), item.offset, int(id(of) in begun)]
            for metric, _, _, low, high in item.columns.spans:
                row += (metric, SLOT * of.lengths[metric], SLOT * low)
                first = of.rows[metric] * PAGE
                strings.append(as_sent(slots[first + low : first + high + 1]))
            rows[item.account].append(row)
        slots[self._index] = before
        return [*blocks], [pack([stamps, self._after, len(blocks), rows]), *strings]

    # on its way

    def sent(self) -> None:
        """It is on its way: from here on the mirror has it."""
        self._mirror.flat[self._index] = self._sums
        for item in self._items:
            lengths = item.bucket.lengths
            for span in item.columns.spans:
                lengths[span.metric] = max(lengths[span.metric], span.high + 1)
        for bucket in self._begun:
            bucket.form = Form.DENSE
        for memory in self._memories.values():
            memory.on_its_way = True
            if memory.stamp:
                memory.stamp = self._after

    def moved(self, dictionaries: Iterable[Dictionary]) -> None:
        """Nothing was written, since others wrote to these: they are forgotten. What it holds is to be sent again, all as amounts."""
        for dictionary in dictionaries:
            self._mirror.moved(self._memories[dictionary])
            self._stamps[dictionary] = ""
        for bucket in self._begun:  # whether they become dense is for apply.lua to say
            self._mirror.drop(bucket)
        self._whole, self._begun = [], []
        self._index, self._sums = NONE, NONE
        for amounts, pages in zip(self.amounts, self._pages, strict=True):
            amounts.clear()
            for page, row in pages.items():
                amounts[page] = _raw(row)

    def kept(self, others: Iterable[Dictionary], dense: Sequence[tuple[Page, int]]) -> None:
        """It is written. others: somebody else wrote to these, too.  dense: buckets that were added to."""
        for memory in self._memories.values():
            memory.on_its_way = False
        for dictionary in {item.page[0]: None for item in self._whole}:
            self._mirror.written(self._memories[dictionary])
        for dictionary in others:
            self._mirror.moved(self._memories[dictionary])
        for page, offset in dense:
            memory = self._mirror.pk(page[0].blocks)
            where = (*page[1:], offset)
            known = memory.buckets.get(where)
            if not memory.rest and (known is None or known.form == Form.SPARSE):
                self._mirror.add(memory, where, Form.SEEN)

    def lost(self) -> None:
        """Nobody knows whether it is written."""
        for memory in self._memories.values():
            memory.on_its_way = False
            self._mirror.forget_pk(memory)


def _slots(items: Sequence[_Item]) -> tuple[Ints, Ints, Ints]:
    """Of each cell of these its slot in the mirror, what is added there, and which item it is of."""
    nodes, amounts, rows, lengths = [NONE], [NONE], [0], [0]
    for item in items:
        of, bucket_rows = item.columns, item.bucket.rows
        for metric, begin, end, _, _ in item.columns.spans:
            nodes.append(of.nodes[begin:end])
            amounts.append(of.amounts[begin:end])
            rows.append(bucket_rows[metric])
            lengths.append(end - begin)
    which = np.repeat(np.arange(len(items)), [item.columns.cells for item in items])
    return np.concatenate(nodes) + np.repeat(rows, lengths) * PAGE, np.concatenate(amounts), which


def is_short(columns: Columns) -> bool:
    return SLOT * columns.slots <= SHORT * columns.cells


def _may_be_whole(bucket: Bucket, columns: Columns) -> bool:
    """A bucket that is not there becomes dense where apply.lua would make it so."""
    if bucket.form == Form.DENSE:
        return True
    size = sum([100 + SLOT * (span.high + 1) for span in columns.spans])
    field = FIELD_BYTES if columns.cells > SPLIT else PACKED_BYTES
    return columns.cells > DENSE and size < columns.cells * field and is_short(columns)


def buckets_in(row: Sequence[Any]) -> Iterable[tuple[int, list[Part]]]:
    """Each bucket of a page with all that it gets."""
    if len(row) == 2:
        return ((row[0], [row[1]]),)
    several: dict[int, list[Part]] = {}
    for offset, part in zip(row[::2], row[1::2], strict=True):
        several.setdefault(offset, []).append(part)
    return several.items()


def _raw(row: Sequence[Any]) -> list[Any]:
    """As apply.lua takes it."""
    found = [*row]
    found[1::2] = map(raw_of, row[1::2])
    return found

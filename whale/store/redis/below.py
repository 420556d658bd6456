"""Reading what lies below a path: sums of whole pages, so that nothing is done for each node.

First forms.lua says in which form each bucket is kept; then one transaction reads what is there by plain commands, and the
forms again, so that all is of one moment. Through Lua, a page of 8 KB costs ten times as much.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from whale.dimension import Path, Pk
from whale.errors import Unavailable
from whale.period import Interval
from whale.store.contract.names import CHILD_PKS
from whale.store.redis import keys as layout
from whale.store.redis.connection import pack, reachable
from whale.store.redis.database import Database
from whale.store.redis.keys import PAGE, PAGE_BITS, place
from whale.store.redis.known import Dictionaries, Known
from whale.store.redis.reader import FEW_NODES, TRIES

CELLS_A_CALL = 1_000_000


class Below:
    """For many threads."""

    def __init__(self, database: Database, dictionaries: Dictionaries):
        self._database, self._client, self._dictionaries = database, database.client, dictionaries
        self._forms = database.script("forms")

    @reachable
    def read_below(
        self,
        account: str,
        pk: Pk,
        path: Path,
        levels: int,
        metrics: Sequence[str],
        interval: Interval,
        groups: Sequence[Sequence[int]],
        most: int,
    ) -> tuple[list[Path], NDArray[Any]]:
        keys, zone = self._database.keys(account), self._database.zone(account)
        shard, pk_id = keys.pk(pk)
        buckets: dict[int, dict[int, int]] = {}
        for group, starts in enumerate(groups):
            for start in starts:
                block, offset = place(interval, start, zone)
                buckets.setdefault(block, {})[offset] = group
        for attempt in range(TRIES):
            known = (attempt == 0 and self._dictionaries.remembered(account, pk)) or self._dictionaries.newest(
                account, pk
            )
            below = known.below(path, levels, most) if known else None
            columns = (
                {known.metrics[name]: i for i, name in enumerate(metrics) if name in known.metrics} if known else {}
            )
            if known is None or below is None or not columns or not buckets:
                if attempt == 0:
                    continue
                paths = [() if path == CHILD_PKS else path] if below is None else below[0]
                return paths, np.zeros((len(paths), len(metrics), len(groups)), np.int64)
            paths, numbers = below
            sums = _Sums(numbers, list(columns), buckets, len(groups))
            blocks_id = layout.generation(pk_id, known.generation)
            parts = [(page, block) for page in range(len(sums.pages)) for block in buckets]
            a_call = max(1, CELLS_A_CALL // (PAGE * len(columns) * max(map(len, buckets.values()))))
            for first in range(0, len(parts), a_call):
                some = parts[first : first + a_call]
                names = [keys.block(shard, blocks_id, interval, block, int(sums.pages[page])) for page, block in some]
                if not self._add_up(keys.dictionary(shard, pk_id), known, sums, some, names):
                    break
            else:
                found = sums.found
                out = np.zeros((len(paths), len(metrics), len(groups)), found.dtype)
                out[:, np.array([*columns.values()])] = found
                return paths, out
        raise Unavailable(f"Redis: the dictionary of {pk} changed {TRIES} times while it was read")

    def _add_up(
        self, dictionary: str, known: Known, sums: "_Sums", parts: Sequence[tuple[int, int]], names: Sequence[str]
    ) -> bool:
        """Adds what parts (page, block) hold, all of one moment; False where something changed: then all is asked again.

        First the forms of all buckets, then, in one transaction, the same again and what is there by plain commands.
        """
        ask = [known.token, pack([list(sums.buckets[block]) for _, block in parts])]
        forms = self._forms([dictionary, *names], ask)
        if forms is None:
            return False
        hashes: list[tuple[int, int, int]] = []  # page, block, bucket, of which fields say the bucket where it is -1
        dense: list[tuple[int, int, int]] = []
        whole: list[str] = []
        ranges: list[tuple[str, int, int]] = []
        with self._client.pipeline(transaction=True) as pipe:
            self._forms.queue(pipe, [dictionary, *names], ask)
            for (page, block), name, form in zip(parts, names, forms, strict=True):
                if form == b"H":
                    pipe.execute_command("HGETALL", name)
                    hashes.append((page, block, -1))
                    continue
                span = sums.spans[page]
                for offset, letter in zip(sums.buckets[block], form.decode(), strict=bool(form)):
                    if letter == "h":
                        pipe.execute_command("HGETALL", layout.bucket(name, offset))
                        hashes.append((page, block, offset))
                    elif letter == "d":
                        columns = [layout.column(name, offset, metric) for metric in sums.columns]
                        dense.append((page, block, offset))
                        if span is None:
                            whole += columns
                        else:
                            ranges += ((column, 8 * span[0], 8 * span[1] + 7) for column in columns)
            if not hashes and not dense:
                return True
            if whole:
                pipe.execute_command("MGET", *whole)
            for command in ranges:
                pipe.execute_command("GETRANGE", *command)
            try:
                again, *answers = pipe.execute()
            except redis.exceptions.NoScriptError:
                return False
            except redis.ResponseError as error:
                if "WRONGTYPE" not in str(error):  # a hash that has become something else since
                    raise
                return False
        if again != forms:
            return False
        sums.add_hashes(hashes, answers[: len(hashes)])
        texts = iter(answers[len(hashes)] if whole else ())
        parts_of = iter(answers[len(hashes) + bool(whole) :])
        slots = []
        for page, block, offset in dense:
            source = texts if sums.spans[page] is None else parts_of
            slots.append((page, sums.buckets[block][offset], [next(source) or b"" for _ in sums.columns]))
        sums.add_dense(slots)
        return True


class _Sums:
    """What the cells of some nodes add up to, in groups of buckets.

    pages: those of the nodes.  columns: numbers of metrics.  buckets: by block, the group of each bucket.
    spans: of a page with few of the nodes, the first and the last; None: all of it is read.
    """

    def __init__(self, numbers: NDArray[np.int64], columns: list[int], buckets: dict[int, dict[int, int]], groups: int):
        self.columns, self.buckets = columns, buckets
        self.pages, self._page, counts = np.unique(numbers >> PAGE_BITS, return_inverse=True, return_counts=True)
        self._node = numbers % PAGE
        self.spans: list[tuple[int, int] | None] = [None] * len(counts)
        for page in np.flatnonzero(counts <= FEW_NODES).tolist():
            nodes = self._node[self._page == page]
            self.spans[page] = int(nodes.min()), int(nodes.max())
        self._sums: NDArray[Any] = np.zeros((len(self.pages), len(columns), groups, PAGE), np.int64)
        self._most = sum(map(len, buckets.values()))
        self._largest = 0  # that any of the sums can be
        self._blocks = {block: i for i, block in enumerate(buckets)}
        self._groups = np.full((len(buckets), 1 + max(max(offsets) for offsets in buckets.values())), -1)
        for row, offsets in enumerate(buckets.values()):
            self._groups[row, list(offsets)] = list(offsets.values())

    @property
    def found(self) -> NDArray[Any]:
        """Of shape (nodes, columns, groups)."""
        found: NDArray[Any] = self._sums[self._page, :, :, self._node]
        return found

    def add_hashes(self, places: Sequence[tuple[int, int, int]], hashes: Sequence[dict[bytes, bytes]]) -> None:
        """places: page, block, and the bucket, -1 where fields name it."""
        sizes = np.array([len(each) for each in hashes], np.int64)
        if not sizes.sum():
            return
        fields = np.fromstring(b" ".join(field for each in hashes for field in each), np.int64, sep=" ")
        values = np.fromstring(b" ".join(value for each in hashes for value in each.values()), np.int64, sep=" ")
        page = np.repeat([page for page, _, _ in places], sizes)
        block = np.repeat([self._blocks[block] for _, block, _ in places], sizes)
        offset = (fields >> layout.BUCKET_BITS) + np.repeat([max(0, offset) for *_, offset in places], sizes)
        column_of = np.full(64, -1)
        column_of[self.columns] = np.arange(len(self.columns))
        column = column_of[fields >> PAGE_BITS & 63]
        group = np.where(offset < self._groups.shape[1], self._groups[block, offset % self._groups.shape[1]], -1)
        asked = (column >= 0) & (group >= 0)
        values = self._roomy(values[asked])
        np.add.at(self._sums, (page[asked], column[asked], group[asked], fields[asked] % PAGE), values)

    def add_dense(self, found: Sequence[tuple[int, int, list[bytes]]]) -> None:
        """found: of some buckets the page, the group, and the slots of each metric."""
        for (page, group), some in itertools.groupby(found, key=lambda bucket: bucket[:2]):
            texts = [each for *_, each in some]
            begin, last = self.spans[page] or (0, PAGE - 1)
            width = last - begin + 1
            for column in range(len(self.columns)):
                raw = b"".join(each[column].ljust(8 * width, b"\0") for each in texts)
                slots = self._roomy(np.frombuffer(raw, ">i8").reshape(-1, width).astype(np.int64))
                self._sums[page, column, group, begin : last + 1] += slots.sum(axis=0)

    def _roomy(self, amounts: NDArray[Any]) -> NDArray[Any]:
        """The amounts, as Python's integers once 64 bits might not hold the sums any more."""
        if amounts.size:
            self._largest = max(self._largest, int(amounts.max()), -int(amounts.min()))
        if self._largest * self._most < 2**62:
            return amounts
        self._sums = self._sums.astype(object)
        return amounts.astype(object)

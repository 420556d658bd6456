"""What a process remembers of dense buckets: what each string of them has in Redis, as long as nobody else writes there.

A pk's memory stands under a stamp (lua/newer.lua). As long as its dictionary has that stamp, all that is here is as in Redis, but for what
expired or was evicted: whoever writes says how long each string must be.

Nothing that is not here is taken as zero. That a bucket, or a metric of it, is not there is a fact that was loaded, of all metrics at
once, and it is forgotten with its bucket. A bucket is loaded and forgotten whole.
"""

from collections.abc import Iterable
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from hail.room import MEGABYTE, Room
from whale.period import Interval
from whale.store.redis.keys import PAGE
from whale.sums import Ints

SLOT = 8
ROW_BYTES, BUCKET_BYTES, PK_BYTES = PAGE * SLOT, 600, 700
FIRST_REST, MOST_REST, ALONE = 30, 2000, 16  # calls
BIG = np.dtype(">i8")

Where = tuple[Interval, int, int, int]
"""A bucket of a pk: interval, block, page, and its place in the block."""


class Form(IntEnum):
    """How a bucket lies in Redis."""

    ABSENT = 0
    SPARSE = 1  # as fields of a hash, or not as it should
    SEEN = 2  # dense, and not loaded
    DENSE = 3


class Bucket:
    """One that something is known of. rows: of each metric that it has, where it is remembered.  lengths: slots in Redis.

    cells: how many were added while it was SEEN, in calls that could have written it whole.
    """

    __slots__ = ("cells", "form", "lengths", "pk", "rows", "turn", "where")

    def __init__(self, pk: "PkMemory", where: Where, form: Form):
        self.pk, self.where, self.form = pk, where, form
        self.rows: dict[int, int] = {}
        self.lengths: dict[int, int] = {}
        self.cells = self.turn = 0


class PkMemory:
    """Of a pk in one generation. stamp: under which its buckets are as they are here; empty where none is known.

    rest: in so many calls nothing of it is written whole.  rests: how many the next time.  kept: calls since somebody else wrote.
    on_its_way: a call that changes it was sent.
    """

    __slots__ = ("buckets", "id", "kept", "on_its_way", "rest", "rests", "stamp")

    def __init__(self, id: str):
        self.id = id
        self.stamp = ""
        self.buckets: dict[Where, Bucket] = {}
        self.rest = self.rests = self.kept = 0
        self.on_its_way = False


class Mirror:
    """Not for several threads at once."""

    def __init__(self, most_mb: float):
        self.room = Room("mirror", most_mb * MEGABYTE)
        self.turn = 0
        self.losses = 0  # what was made ready before the last one may rest on what is not so any more
        self._pks: dict[str, PkMemory] = {}
        self._order: dict[Bucket, None] = {}  # the one that was used last is the last
        self._most_rows = self.room.most // ROW_BYTES
        self._matrix: Ints = np.zeros((0, PAGE), np.int64)
        self._free: list[int] = []

    @property
    def flat(self) -> Ints:
        """All rows; PAGE slots each."""
        return self._matrix.reshape(-1)

    def known(self, id: str) -> PkMemory | None:
        return self._pks.get(id)

    def pk(self, id: str) -> PkMemory:
        found = self._pks.get(id)
        if found is None:
            found = self._pks[id] = PkMemory(id)
            self.room.held += PK_BYTES
        return found

    def use(self, bucket: Bucket) -> None:
        """Has it stay until the next turn, and leave last."""
        bucket.turn = self.turn
        self._order[bucket] = self._order.pop(bucket, None)

    def add(self, pk: PkMemory, where: Where, form: Form) -> Bucket:
        """Something that is known of a bucket, in place of what was."""
        if where in pk.buckets:
            self.drop(pk.buckets[where])
        bucket = pk.buckets[where] = Bucket(pk, where, form)
        self.room.held += BUCKET_BYTES
        self.use(bucket)
        return bucket

    def load(self, pk: PkMemory, where: Where, strings: Iterable[tuple[int, bytes]]) -> bool:
        """Remembers a dense bucket; False where there is no room for all of it: then nothing of it is remembered."""
        bucket = self.add(pk, where, Form.DENSE)
        for metric, raw in strings:
            row = self.row(bucket, metric)
            if row is None:
                self.drop(bucket)
                return False
            slots = len(raw) // SLOT
            self._matrix[row, :slots] = np.frombuffer(raw, BIG)
            bucket.lengths[metric] = slots
        return True

    def row(self, bucket: Bucket, metric: int) -> int | None:
        """Where a metric of a bucket is remembered; None where there is no room. A new one is all zeros: it is not in Redis."""
        row = bucket.rows.get(metric)
        if row is not None:
            return row
        if not self._free and not self._grow() and not self._evict():
            return None
        row = bucket.rows[metric] = self._free.pop()
        self._matrix[row] = 0
        bucket.lengths[metric] = 0
        self.room.held += ROW_BYTES
        return row

    def drop(self, bucket: Bucket) -> None:
        """Forgets a bucket, with all of its metrics."""
        if bucket.pk.buckets.get(bucket.where) is bucket:
            del bucket.pk.buckets[bucket.where]
            del self._order[bucket]
            self._free += bucket.rows.values()
            self.room.held -= BUCKET_BYTES + ROW_BYTES * len(bucket.rows)
            bucket.rows, bucket.lengths = {}, {}

    def forget_pk(self, pk: PkMemory) -> None:
        self.losses += bool(pk.stamp or pk.buckets)
        pk.stamp = ""
        for bucket in [*pk.buckets.values()]:
            self.drop(bucket)

    def moved(self, pk: PkMemory) -> None:
        """Somebody else wrote there. The first time it is loaded again at once; where that comes again, it rests for longer each time."""
        self.forget_pk(pk)
        pk.rest, pk.kept = pk.rests, 0
        pk.rests = min(MOST_REST, 16 * pk.rests + FIRST_REST)

    def written(self, pk: PkMemory) -> None:
        """Some of it was written whole. Who was alone there for long rests less the next time."""
        pk.kept += 1
        if pk.kept % ALONE == 0:
            pk.rests //= 2

    def forget(self) -> None:
        self.losses += 1
        for pk in self._pks.values():
            pk.stamp, pk.buckets = "", {}
        self._pks, self._order, self._free = {}, {}, []
        self._matrix = np.zeros((0, PAGE), np.int64)
        self.room.held = 0

    def trim(self) -> None:
        """A new turn; keeps within the room what is no row."""
        self.turn += 1
        while self.room.is_full and self._evict(any_bucket=True):
            pass
        if self.room.is_full:
            self.forget()

    def _grow(self) -> bool:
        """Makes twice as many rows, as far as there may be so many."""
        rows = len(self._matrix)
        more = min(max(64, rows), self._most_rows - rows)
        if more <= 0:
            return False
        self._matrix = np.concatenate((self._matrix, np.zeros((more, PAGE), np.int64)))
        self._free += range(rows + more - 1, rows - 1, -1)
        return True

    def _evict(self, any_bucket: bool = False) -> bool:
        """Forgets the bucket that was not used for longest, of those that have rows; none of this turn."""
        for bucket in self._order:
            if bucket.turn == self.turn:
                return False
            if bucket.rows or any_bucket:
                self.drop(bucket)
                return True
        return False


def as_sent(values: NDArray[np.int64]) -> bytes:
    return values.astype(BIG).tobytes()

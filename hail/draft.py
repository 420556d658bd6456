"""Hits on their way into a message of version 2: columns that grow.

    row ── pieces_of ──> Pieces ── put ──> Draft ── take ──> the Draft of a message ── section ──> columns.Section

Few hits wait as they came, since columns of one hit would cost more than the hit. Many wait as columns, where each name stands once.
Bytes are counted from the pieces: each text where it comes first, each number at its widest. So no message is larger than its drafts
say, and where several drafts have the same texts it is smaller.
"""

from array import array
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import numpy as np

from hail.columns import Ints, Section
from hail.hit import Row, encode_row
from hail.message import Refusal, WireHit

FEW = 8
SURELY_FITS = (
    4  # below this part of a bound nobody asks how large the next hit is: it is not three times as large as all before
)
SECTION_BYTES = 300
HIT_BYTES, PLACE_BYTES, AMOUNT_BYTES = 24, 4, 8  # of numbers
TEXT_BYTES, BRANCH_BYTES, SHAPE_BYTES, METRIC_BYTES, FIELD_BYTES = 5, 11, 5, 40, 60  # beside a text, or beside numbers
ENTRY_COST, PIECES_COST, TOP_COST = (
    250,
    400,
    130,
)  # in memory: of a text in columns; of a hit in pieces, and of each top dimension
_PLAIN_PARTS = 4
_RARE = ("id", "visitor", "event", "others", "ignored")
_encode_value = msgspec.msgpack.Encoder().encode
_decode_tops = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

Pieces = tuple[bytes, Sequence[tuple[str, bytes]], tuple[str, ...], Collection[int], int, Sequence[Any]]
"""Of a hit: JSON of its pk; names and JSON of its top dimensions; names of its sums, and their amounts; its time; and what is rare."""


def pieces_of(row: Row) -> Pieces:
    sums = row[2]
    tops = [(name, encode_row(below)) for name, below in row[1].items()]
    return encode_row(row[0]), tops, tuple(sums), sums.values(), row[3], row[_PLAIN_PARTS:]


def pieces_of_wire(hit: WireHit) -> Pieces:
    """Of a legible hit of version 1."""
    tops = [(name, bytes(below)) for name, below in _decode_tops(hit.dimensions).items()]
    rare = [getattr(hit, name) for name in _RARE]
    return bytes(hit.pk), tops, tuple(hit.metrics), hit.metrics.values(), hit.at_ms, rare


class Draft:
    """For one thread at a time. hits: how many it has.  size: bytes that they add to a message, at most."""

    __slots__ = (
        "_amounts",
        "_at",
        "_branches",
        "_counts",
        "_few",
        "_fields",
        "_metrics",
        "_pk",
        "_pks",
        "_places",
        "_shape",
        "_shapes",
        "hits",
        "size",
    )

    def __init__(self) -> None:
        self._few: list[Pieces] | None = []
        self.hits, self.size = 0, SECTION_BYTES

    @property
    def memory(self) -> int:
        """Bytes that it takes in this process."""
        if self._few is not None:
            return 2 * self.size + sum(PIECES_COST + TOP_COST * len(tops) for _, tops, *_ in self._few)
        entries = len(self._pks) + len(self._branches) + len(self._metrics) + len(self._shapes)
        return 2 * self.size + ENTRY_COST * entries

    def put(self, pieces: Pieces) -> None:
        """Adds a hit."""
        if self._few is None:
            self._put(pieces)
            return
        self.hits += 1
        self.size += _size_of(pieces)
        self._few.append(pieces)
        if self.hits == FEW:
            self._spread()

    def grown(self, piece: Pieces, most: int) -> bool:
        """Whether it may be larger than `most` bytes with this hit."""
        return self.size > most / SURELY_FITS and self.size + _size_of(piece) > most

    def take(self, other: "Draft") -> None:
        """Adds the hits of another, behind its own."""
        self._spread()
        if other._few is not None:
            for pieces in other._few:
                self._put(pieces)
            return
        pks = list(map(self._pk_of, other._pks))
        branches = list(map(self._branch_of, other._branches))
        shapes = [self._shape_of(metrics)[0] for metrics in other._shapes]
        self._counts += other._counts
        self._at += other._at
        self._places.extend(map(branches.__getitem__, other._places))
        self._pk.extend(map(pks.__getitem__, other._pk))
        self._shape.extend(map(shapes.__getitem__, other._shape))
        for name, number in other._metrics.items():
            self._amounts[self._metrics[name]] += other._amounts[number]
        for name, (positions, values) in other._fields.items():
            mine, all_values = self._field(name)
            mine.extend(self.hits + position for position in positions)
            all_values += values
        self.hits += other.hits
        self.size += other.size

    def section(self, account: str, total: int, refused: Sequence[Refusal] = ()) -> Section:
        self._spread()
        return Section(
            account,
            total,
            [str(pk, "utf-8") for pk in self._pks],
            [(name, str(below, "utf-8")) for name, below in self._branches],
            list(self._metrics),
            [[self._metrics[name] for name in shape] for shape in self._shapes],
            _ints(self._counts),
            _ints(self._places),
            _ints(self._pk),
            _ints(self._at),
            _ints(self._shape),
            [_ints(amounts) for amounts in self._amounts],
            {name: (_ints(positions), values) for name, (positions, values) in self._fields.items()},
            refused,
        )

    def _spread(self) -> None:
        """Makes columns of the hits, unless it has them."""
        few = self._few
        if few is None:
            return
        self._few = None
        self._pks: dict[bytes, int] = {}
        self._branches: dict[tuple[str, bytes], int] = {}
        self._metrics: dict[str, int] = {}
        self._shapes: dict[tuple[str, ...], tuple[int, list[Any]]] = {}
        self._counts, self._places, self._pk, self._at, self._shape = (array("q") for _ in range(5))
        self._amounts: list[array[int]] = []
        self._fields: dict[str, tuple[array[int], list[Any]]] = {}
        self.hits, self.size = 0, SECTION_BYTES
        for pieces in few:
            self._put(pieces)

    def _put(self, pieces: Pieces) -> None:
        pk, tops, metrics, amounts, at, rare = pieces
        number = self._pks.get(pk)
        self._pk.append(self._pk_of(pk) if number is None else number)
        known, place = self._branches.get, self._places.append
        for top in tops:
            number = known(top)
            place(self._branch_of(top) if number is None else number)
        self._counts.append(len(tops))
        self._at.append(at)
        number, keepers = self._shapes.get(metrics) or self._shape_of(metrics)
        self._shape.append(number)
        for keep, amount in zip(keepers, amounts, strict=True):
            keep(amount)
        self.size += HIT_BYTES + PLACE_BYTES * len(tops) + AMOUNT_BYTES * len(metrics)
        if rare:
            for name, value in zip(_RARE, rare, strict=False):
                if value is not None:
                    positions, values = self._field(name)
                    positions.append(self.hits)
                    values.append(value)
                    self.size += _size_of_rare(value)
        self.hits += 1

    def _pk_of(self, pk: bytes) -> int:
        number = self._pks.get(pk)
        if number is None:
            number = self._pks[pk] = len(self._pks)
            self.size += TEXT_BYTES + len(pk)
        return number

    def _branch_of(self, top: tuple[str, bytes]) -> int:
        number = self._branches.get(top)
        if number is None:
            number = self._branches[top] = len(self._branches)
            self.size += _size_of_branch(top)
        return number

    def _shape_of(self, metrics: tuple[str, ...]) -> tuple[int, list[Any]]:
        """Its number, and what keeps the amounts of each of its metrics."""
        found = self._shapes.get(metrics)
        if found is None:
            for name in metrics:
                if name not in self._metrics:
                    self._metrics[name] = len(self._metrics)
                    self._amounts.append(array("q"))
                    self.size += _size_of_metric(name)
            keepers = [self._amounts[self._metrics[name]].append for name in metrics]
            found = self._shapes[metrics] = len(self._shapes), keepers
            self.size += SHAPE_BYTES * (1 + len(metrics))
        return found

    def _field(self, name: str) -> tuple["array[int]", list[Any]]:
        found = self._fields.get(name)
        if found is None:
            found = self._fields[name] = array("q"), []
            self.size += FIELD_BYTES
        return found


def section_of(account: str, total: int, hits: Sequence[WireHit], refused: Sequence[Refusal] = ()) -> Section:
    """The columns of these hits, all legible."""
    draft = Draft()
    for hit in hits:
        draft.put(pieces_of_wire(hit))
    return draft.section(account, total, refused)


def _size_of(pieces: Pieces) -> int:
    """What these pieces add where they are the first."""
    pk, tops, metrics, _, _, rare = pieces
    size = HIT_BYTES + TEXT_BYTES + len(pk) + PLACE_BYTES * len(tops)
    size += SHAPE_BYTES * (1 + len(metrics)) + AMOUNT_BYTES * len(metrics)
    size += sum(map(_size_of_branch, tops)) + sum(map(_size_of_metric, metrics))
    return size + sum(_size_of_rare(value) + FIELD_BYTES for value in rare if value is not None)


def _size_of_branch(top: tuple[str, bytes]) -> int:
    name, below = top
    return BRANCH_BYTES + len(name.encode()) + len(below)


def _size_of_metric(name: str) -> int:
    return METRIC_BYTES + len(name.encode())


def _size_of_rare(value: Any) -> int:
    return PLACE_BYTES + len(_encode_value(value))


def _ints(values: "array[int]") -> Ints:
    return np.array(values, np.int64)

"""Hits on their way into a message of version 2: columns that grow.

    row ── pieces_of ──> Pieces ── put ──> Draft ── take ──> the Draft of a message ── section ──> columns.Section

Few hits wait as they came, since columns of one hit would cost more than the hit. Many wait as columns, where each name stands once.
Bytes are counted from the pieces: each text where it comes first, each number at its widest. So no message is larger than its drafts
say, and where several drafts have the same texts it is smaller.
"""

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, TypeVar

import msgspec
import numpy as np

from hail.columns import Ints, Section
from hail.hit import Row, encode_row
from hail.message import Refusal, WireHit

FEW = 8
SECTION_BYTES = 300
HIT_BYTES, PLACE_BYTES, AMOUNT_BYTES = 24, 4, 8  # of numbers
TEXT_BYTES, BRANCH_BYTES, SHAPE_BYTES, METRIC_BYTES, FIELD_BYTES = 5, 11, 5, 45, 60  # beside a text, or beside numbers
# in memory: of a draft; of a text in columns; of a hit in pieces, and of each of its top dimensions
DRAFT_COST, ENTRY_COST, PIECES_COST, TOP_COST = 200, 250, 400, 130
_PLAIN_PARTS = 4
_RARE = ("id", "visitor", "event", "others", "ignored")
K = TypeVar("K")
_encode_value = msgspec.msgpack.Encoder().encode
_decode_tops = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

Top = tuple[str, bytes]
Pieces = tuple[bytes, Sequence[Top], tuple[str, ...], Collection[int], int, Sequence[Any], int]
"""Of a hit: JSON of its pk; names and JSON of its top dimensions; names of its sums, and their amounts; its time; what is rare;
and its bytes in a message where nothing of it stands yet."""


def pieces_of(row: Row) -> Pieces:
    tops = [(name, encode_row(below)) for name, below in row[1].items()]
    return _with_size(encode_row(row[0]), tops, row[2], row[3], row[_PLAIN_PARTS:])


def pieces_of_wire(hit: WireHit) -> Pieces:
    """Of a legible hit of version 1."""
    tops = [(name, bytes(below)) for name, below in _decode_tops(hit.dimensions).items()]
    return _with_size(bytes(hit.pk), tops, hit.metrics, hit.at_ms, [getattr(hit, name) for name in _RARE])


def _with_size(pk: bytes, tops: Sequence[Top], sums: Mapping[str, int], at_ms: int, rare: Sequence[Any]) -> Pieces:
    metrics = tuple(sums)
    size = HIT_BYTES + _size_of_pk(pk) + PLACE_BYTES * len(tops) + AMOUNT_BYTES * len(metrics) + _size_of_shape(metrics)
    for top in tops:
        size += _size_of_branch(top)
    for value in rare:
        if value is not None:
            size += _size_of_rare(value) + FIELD_BYTES
    return pk, tops, metrics, tuple(sums.values()), at_ms, rare, size


def memory_of(pieces: Pieces) -> int:
    """Bytes that they take in this process."""
    _, tops, *_, size = pieces
    return PIECES_COST + TOP_COST * len(tops) + 2 * size


class _Numbers(dict[K, int]):
    """Of each key a number, in the order in which they first came."""

    def __missing__(self, key: K) -> int:
        number = self[key] = len(self)
        return number


def cut(names: dict[Any, int], length: int) -> None:
    """Leaves the first ones."""
    while len(names) > length:
        names.popitem()


class Columns:
    """hits: how many.  size: bytes that they are in a message, at most.  pks, branches, shapes: their numbers in it."""

    def __init__(self) -> None:
        self.pks, self.branches, self.shapes = _Numbers[bytes](), _Numbers[Top](), _Numbers[tuple[str, ...]]()
        self.pk, self.counts, self.places, self.at, self.shape, self.amounts = (array("q") for _ in range(6))
        self.fields: dict[str, tuple[array[int], list[Any]]] = {}
        self.hits, self.size = 0, SECTION_BYTES

    @property
    def memory(self) -> int:
        return 2 * self.size + ENTRY_COST * (len(self.pks) + len(self.branches) + len(self.shapes))

    def put(self, some: Sequence[Pieces]) -> None:
        """Adds hits."""
        known = len(self.pks), len(self.branches), len(self.shapes)
        places, numbers = len(self.places), len(self.amounts)
        pks, tops, metrics, amounts, at, rare, _ = zip(*some, strict=True)
        self.pk.extend(map(self.pks.__getitem__, pks))
        self.counts.extend(map(len, tops))
        self.places.extend(map(self.branches.__getitem__, chain.from_iterable(tops)))
        self.at.extend(at)
        self.shape.extend(map(self.shapes.__getitem__, metrics))
        self.amounts.extend(chain.from_iterable(amounts))
        self.size += HIT_BYTES * len(some) + PLACE_BYTES * (len(self.places) - places)
        self.size += AMOUNT_BYTES * (len(self.amounts) - numbers)
        self.size += sum(map(_size_of_pk, islice(self.pks, known[0], None)))
        self.size += sum(map(_size_of_branch, islice(self.branches, known[1], None)))
        self.size += sum(map(_size_of_shape, islice(self.shapes, known[2], None)))
        for parts in rare:
            if parts:
                self.put_rare(parts)
            self.hits += 1

    @property
    def known(self) -> tuple[int, int, int, int]:
        """How many pks, branches and shapes there are, and the size with them: for `forget`."""
        return len(self.pks), len(self.branches), len(self.shapes), self.size

    def forget(self, known: tuple[int, int, int, int]) -> None:
        """Takes out the names that came since, which no hit has."""
        pks, branches, shapes, self.size = known
        cut(self.pks, pks)
        cut(self.branches, branches)
        cut(self.shapes, shapes)

    def number_of_pk(self, pk: bytes) -> int:
        number = self.pks.get(pk)
        if number is None:
            number = self.pks[pk]
            self.size += _size_of_pk(pk)
        return number

    def number_of_branch(self, top: Top) -> int:
        number = self.branches.get(top)
        if number is None:
            number = self.branches[top]
            self.size += _size_of_branch(top)
        return number

    def number_of_shape(self, metrics: tuple[str, ...]) -> int:
        number = self.shapes.get(metrics)
        if number is None:
            number = self.shapes[metrics]
            self.size += _size_of_shape(metrics)
        return number

    def put_rare(self, parts: Sequence[Any]) -> None:
        """What is rare of the next hit."""
        for name, value in zip(_RARE, parts, strict=False):
            if value is not None:
                positions, values = self.field(name)
                positions.append(self.hits)
                values.append(value)
                self.size += _size_of_rare(value)

    def take(self, other: "Columns") -> None:
        """Adds the hits of another."""
        pks = list(map(self.pks.__getitem__, other.pks))
        branches = list(map(self.branches.__getitem__, other.branches))
        shapes = list(map(self.shapes.__getitem__, other.shapes))
        self.pk.extend(map(pks.__getitem__, other.pk))
        self.counts += other.counts
        self.places.extend(map(branches.__getitem__, other.places))
        self.at += other.at
        self.shape.extend(map(shapes.__getitem__, other.shape))
        self.amounts += other.amounts
        for name, (positions, values) in other.fields.items():
            mine, all_values = self.field(name)
            mine.extend(self.hits + position for position in positions)
            all_values += values
        self.hits += other.hits
        self.size += other.size

    def field(self, name: str) -> tuple["array[int]", list[Any]]:
        """Positions and values of what few hits have."""
        if name not in self.fields:
            self.fields[name] = array("q"), []
            self.size += FIELD_BYTES
        return self.fields[name]

    def section(self, account: str, total: int, refused: Sequence[Refusal]) -> Section:
        metrics = _Numbers[str]()
        shapes = [list(map(metrics.__getitem__, names)) for names in self.shapes]
        amounts, whose = _ints(self.amounts), chain.from_iterable(map(shapes.__getitem__, self.shape))
        metric = np.fromiter(whose, np.int64, len(amounts))
        ends = np.cumsum(np.bincount(metric, minlength=len(metrics)))
        return Section(
            account,
            total,
            [str(pk, "utf-8") for pk in self.pks],
            [(name, str(below, "utf-8")) for name, below in self.branches],
            list(metrics),
            shapes,
            _ints(self.counts),
            _ints(self.places),
            _ints(self.pk),
            _ints(self.at),
            _ints(self.shape),
            np.split(amounts[np.argsort(metric, kind="stable")], ends[:-1]) if metrics else [],
            {name: (_ints(positions), values) for name, (positions, values) in self.fields.items()},
            refused,
        )


class Draft:
    """For one thread at a time. few: the hits that are in no columns yet."""

    __slots__ = ("_columns", "_few_size", "few")

    def __init__(self) -> None:
        self._columns: Columns | None = None
        self.few: list[Pieces] = []
        self._few_size = 0

    @property
    def hits(self) -> int:
        return len(self.few) + (self._columns.hits if self._columns else 0)

    @property
    def size(self) -> int:
        """Bytes that its hits add to a message, at most."""
        return self._few_size + (self._columns.size if self._columns else SECTION_BYTES)

    @property
    def memory(self) -> int:
        """Bytes that it takes in this process."""
        return DRAFT_COST + sum(map(memory_of, self.few)) + (self._columns.memory if self._columns else 0)

    def put(self, pieces: Pieces) -> None:
        """Adds a hit."""
        self.few.append(pieces)
        self._few_size += pieces[-1]
        if len(self.few) == FEW:
            self.in_columns()

    def grown(self, pieces: Pieces, most: int) -> bool:
        """Whether it may be larger than `most` bytes with this hit."""
        return self.size + pieces[-1] > most

    def take(self, others: Iterable["Draft"]) -> None:
        """Adds the hits of others, behind its own."""
        for other in others:
            if other._columns:
                self.in_columns().take(other._columns)
            self.few += other.few
            self._few_size += other._few_size

    def section(self, account: str, total: int, refused: Sequence[Refusal] = ()) -> Section:
        return self.in_columns().section(account, total, refused)

    def in_columns(self) -> Columns:
        """All its hits, and those that are to come."""
        columns = self._columns = self._columns or Columns()
        if self.few:
            columns.put(self.few)
            self.few, self._few_size = [], 0
        return columns


def section_of(account: str, total: int, hits: Sequence[WireHit], refused: Sequence[Refusal] = ()) -> Section:
    """The columns of these hits, all legible."""
    draft = Draft()
    for hit in hits:
        draft.put(pieces_of_wire(hit))
    return draft.section(account, total, refused)


def _size_of_pk(pk: bytes) -> int:
    return TEXT_BYTES + len(pk)


def _size_of_branch(top: Top) -> int:
    name, below = top
    return BRANCH_BYTES + len(name if name.isascii() else name.encode()) + len(below)


def _size_of_shape(metrics: tuple[str, ...]) -> int:
    return SHAPE_BYTES + sum(METRIC_BYTES + len(name if name.isascii() else name.encode()) for name in metrics)


def _size_of_rare(value: Any) -> int:
    return PLACE_BYTES + len(_encode_value(value))


def _ints(values: "array[int]") -> Ints:
    return np.array(values, np.int64)

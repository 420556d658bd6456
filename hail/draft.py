"""Hits on their way into a message of version 2: columns that grow.

    row ── pieces_of ──> Pieces ── put ──> Draft ── take ──> the Draft of a message ── section ──> columns.Section

Few hits wait as they came, since columns of one hit would cost more than the hit. Many wait as columns, where each name stands once.
Bytes are counted from the pieces: each text where it comes first, each number at its widest. So no message is larger than its drafts
say, and where several drafts have the same texts it is smaller.
"""

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from json.encoder import encode_basestring as quoted
from typing import Any

import msgspec
import numpy as np

from hail.columns import Ints, Section
from hail.hit import Dimensions, Row, encode_row
from hail.message import Refusal

FEW = 8
SECTION_BYTES = 300
HIT_BYTES, PLACE_BYTES, AMOUNT_BYTES = 24, 4, 8  # of numbers
TEXT_BYTES, BRANCH_BYTES, SHAPE_BYTES, METRIC_BYTES, FIELD_BYTES = 5, 11, 5, 45, 60  # beside a text, or beside numbers
NAME_BYTES, ESCAPED, WIDEST = 7, 2, 6  # beside a name as JSON; of one of its letters
# in memory: of a draft; of a text in columns; of a hit in pieces, and of each of its top dimensions
DRAFT_COST, ENTRY_COST, PIECES_COST, TOP_COST = 200, 250, 400, 130
_PLAIN_PARTS = 4
_RARE = ("id", "visitor", "event", "others", "ignored")
_encode_value = msgspec.msgpack.Encoder().encode

Top = tuple[str, bytes] | tuple[str, ...]
"""A top dimension of a hit: the names of its levels where it is one path; else its name, and JSON of what is below it."""
Pieces = tuple[bytes, Sequence[Top], tuple[str, ...], Collection[int], int, Sequence[Any], int]
"""Of a hit: JSON of its pk; names and JSON of its top dimensions; names of its sums, and their amounts; its time; what is rare;
and its bytes in a message where nothing of it stands yet."""
Numbered = tuple[int, Sequence[int], int, Collection[int], int, Sequence[Any]]
"""The same by its numbers: pk, top dimensions, names of sums; amounts, time, and what is rare."""


def pieces_of(row: Row) -> Pieces:
    tops = [top_of(name, below) for name, below in row[1].items()]
    return _with_size(encode_row(row[0]), tops, row[2], row[3], row[_PLAIN_PARTS:])


def top_of(name: str, tree: Dimensions) -> Top:
    """Of its name and what is below it."""
    path, below = [name], tree
    while len(below) == 1:
        ((inner, below),) = below.items()
        path.append(inner)
    return (name, encode_row(tree)) if below else tuple(path)


def memory_of(pieces: Pieces) -> int:
    """Bytes that they take in this process."""
    _, tops, *_, size = pieces
    return PIECES_COST + TOP_COST * len(tops) + 2 * size


def _with_size(pk: bytes, tops: Sequence[Top], sums: Mapping[str, int], at_ms: int, rare: Sequence[Any]) -> Pieces:
    metrics = tuple(sums)
    size = HIT_BYTES + size_of_pk(pk) + PLACE_BYTES * len(tops) + AMOUNT_BYTES * len(metrics) + size_of_shape(metrics)
    for top in tops:
        size += size_of_branch(top)
    for value in rare:
        if value is not None:
            size += _size_of_rare(value) + FIELD_BYTES
    return pk, tops, metrics, tuple(sums.values()), at_ms, rare, size


class Columns:
    """hits: how many.  size: bytes that they are in a message, at most.  pks, branches, shapes: their numbers in it."""

    def __init__(self) -> None:
        self.pks: dict[bytes, int] = {}
        self.branches: dict[Top, int] = {}
        self.shapes: dict[tuple[str, ...], int] = {}
        self.pk, self.counts, self.places, self.at, self.shape, self.amounts = (array("q") for _ in range(6))
        self.fields: dict[str, tuple[array[int], list[Any]]] = {}
        self.hits, self.size = 0, SECTION_BYTES

    @property
    def memory(self) -> int:
        return 2 * self.size + ENTRY_COST * (len(self.pks) + len(self.branches) + len(self.shapes))

    def put(self, some: Sequence[Pieces]) -> None:
        """Adds hits."""
        self.put_numbers(
            [
                (
                    self.number_of_pk(pk),
                    [self.number_of_branch(top) for top in tops],
                    self.number_of_shape(metrics),
                    amounts,
                    at,
                    rare,
                )
                for pk, tops, metrics, amounts, at, rare, _ in some
            ]
        )

    def put_numbers(self, some: Sequence[Numbered]) -> None:
        """Adds hits of which all texts have numbers here."""
        if not some:
            return
        places, amounts_before = len(self.places), len(self.amounts)
        pks, their_places, shapes, amounts, at, rare = zip(*some, strict=True)
        self.pk.extend(pks)
        self.counts.extend(map(len, their_places))
        self.places.extend(chain.from_iterable(their_places))
        self.at.extend(at)
        self.shape.extend(shapes)
        self.amounts.extend(chain.from_iterable(amounts))
        self.size += HIT_BYTES * len(some) + PLACE_BYTES * (len(self.places) - places)
        self.size += AMOUNT_BYTES * (len(self.amounts) - amounts_before)
        for position, parts in enumerate(rare, self.hits):
            if parts:
                self._put_rare(position, parts)
        self.hits += len(some)

    def number_of_pk(self, pk: bytes) -> int:
        number = self.pks.get(pk)
        if number is None:
            number = self.pks[pk] = len(self.pks)
            self.size += size_of_pk(pk)
        return number

    def number_of_branch(self, top: Top) -> int:
        number = self.branches.get(top)
        if number is None:
            number = self.branches[top] = len(self.branches)
            self.size += size_of_branch(top)
        return number

    def number_of_shape(self, metrics: tuple[str, ...]) -> int:
        number = self.shapes.get(metrics)
        if number is None:
            number = self.shapes[metrics] = len(self.shapes)
            self.size += size_of_shape(metrics)
        return number

    def _put_rare(self, position: int, parts: Sequence[Any]) -> None:
        for name, value in zip(_RARE, parts, strict=False):
            if value is not None:
                positions, values = self.field(name)
                positions.append(position)
                values.append(value)
                self.size += _size_of_rare(value)

    def take(self, other: "Columns") -> None:
        """Adds the hits of another."""
        pks = list(map(self.number_of_pk, other.pks))
        branches = list(map(self.number_of_branch, other.branches))
        shapes = list(map(self.number_of_shape, other.shapes))
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
            self.size += sum(map(_size_of_rare, values))
        self.hits += other.hits
        self.size += HIT_BYTES * other.hits + PLACE_BYTES * len(other.places) + AMOUNT_BYTES * len(other.amounts)

    def field(self, name: str) -> tuple["array[int]", list[Any]]:
        """Positions and values of what few hits have."""
        if name not in self.fields:
            self.fields[name] = array("q"), []
            self.size += FIELD_BYTES
        return self.fields[name]

    def section(self, account: str, total: int, refused: Sequence[Refusal]) -> Section:
        metrics: dict[str, int] = {}
        in_order = [[metrics.setdefault(name, len(metrics)) for name in sorted(names)] for names in self.shapes]
        as_given = [[metrics[name] for name in names] for names in self.shapes]
        amounts, whose = _ints(self.amounts), chain.from_iterable(map(as_given.__getitem__, self.shape))
        metric = np.fromiter(whose, np.int64, len(amounts))
        ends = np.cumsum(np.bincount(metric, minlength=len(metrics)))
        return Section(
            account,
            total,
            [str(pk, "utf-8") for pk in self.pks],
            [(top[0], _below(top)) for top in self.branches],
            list(metrics),
            in_order,
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


def size_of_pk(pk: bytes) -> int:
    return TEXT_BYTES + len(pk)


def size_of_branch(top: Top) -> int:
    size = BRANCH_BYTES
    for part in top:
        if isinstance(part, bytes):
            size += len(part)
        else:  # as JSON, with brackets
            size += NAME_BYTES + len(part) * (ESCAPED if part.isascii() and part.isprintable() else WIDEST)
    return size


def _below(top: Top) -> str:
    """JSON of what is below a top dimension."""
    text = "{}"
    for part in reversed(top[1:]):
        text = str(part, "utf-8") if isinstance(part, bytes) else f"{{{quoted(part)}:{text}}}"
    return text


def size_of_shape(metrics: tuple[str, ...]) -> int:
    return SHAPE_BYTES + sum(METRIC_BYTES + len(name if name.isascii() else name.encode()) for name in metrics)


def _size_of_rare(value: Any) -> int:
    return PLACE_BYTES + len(_encode_value(value))


def _ints(values: "array[int]") -> Ints:
    return np.array(values, np.int64)

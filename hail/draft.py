"""Hits on their way into a message of version 2.

    row ── pieces_of ──> Pieces ──┐
    many hits of a body ── bulk.py ──> Columns ──┴── put ──> Draft ── take ──> the Draft of a message ── section ──> columns.Section

Few hits wait as they came, since columns of one hit would cost more than the hit. Many wait as columns, where each name stands once.
Bytes are counted from the pieces: each text where it comes first, each number at its widest. So no message is larger than its drafts
say, and where several drafts have the same texts it is smaller.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from json.encoder import encode_basestring as quoted
from typing import Any, TypeVar

import msgspec
import numpy as np

from hail.columns import Few, Ints, Section
from hail.hit import Dimensions, Row, encode_row
from hail.message import Refusal

SECTION_BYTES = 300
HIT_BYTES, PLACE_BYTES, AMOUNT_BYTES = 24, 4, 8  # of numbers
TEXT_BYTES, BRANCH_BYTES, SHAPE_BYTES, METRIC_BYTES, FIELD_BYTES = 5, 11, 5, 45, 60  # beside a text, or beside numbers
NAME_BYTES, ESCAPED, WIDEST = 7, 2, 6  # beside a name as JSON; of one of its letters
# in memory: of a draft; of columns; of a text in them; of a hit in pieces, and of each of its top dimensions
DRAFT_COST, COLUMNS_COST, ENTRY_COST, PIECES_COST, TOP_COST = 200, 1500, 250, 400, 130
MANY = 32  # hits from which on it takes less time to write them by numpy
_PLAIN_PARTS = 4
_RARE = ("id", "visitor", "event", "others", "ignored", "key", "hash", "properties", "sub", "basis", "known")
_encode_value = msgspec.msgpack.Encoder().encode

Top = tuple[str, bytes] | tuple[str, ...]
"""A top dimension of a hit: the names of its levels where it is one path; else its name, and JSON of what is below it."""
Metrics = tuple[str, ...]
"""Names of the sums of a hit, in their order."""
Pieces = tuple[bytes, Sequence[Top], Metrics, Collection[int], int, Sequence[Any], int]
"""Of a hit: JSON of its pk; names and JSON of its top dimensions; names of its sums, and their amounts; its time; what is rare;
and its bytes in a message where nothing of it stands yet."""
Fields = Mapping[str, tuple[Ints, Sequence[Any]]]
"""Of what few hits have, by name: positions and values."""
T = TypeVar("T")


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


@dataclass(frozen=True)
class Columns:
    """Of n hits: pk, at (ms), shape, counts (n,); places (sum of counts,): numbers of branches, hit by hit; amounts of each, likewise.

    pks, branches, shapes: the names of which these are numbers, each once, in the order in which they came; each has a hit.
    """

    pks: Sequence[bytes]
    branches: Sequence[Top]
    shapes: Sequence[Metrics]
    pk: Ints
    at: Ints
    shape: Ints
    counts: Ints
    places: Ints
    amounts: Ints
    fields: Fields

    @property
    def hits(self) -> int:
        return len(self.at)

    @cached_property
    def size(self) -> int:
        """Bytes that they are in a message, at most."""
        names = sum(map(size_of_pk, self.pks)) + _size_of_branches(self.branches) + sum(map(size_of_shape, self.shapes))
        rare = sum(FIELD_BYTES + sum(map(_size_of_rare, values)) for _, values in self.fields.values())
        places, amounts = len(self.places), len(self.amounts)
        return names + HIT_BYTES * self.hits + PLACE_BYTES * places + AMOUNT_BYTES * amounts + rare

    @property
    def memory(self) -> int:
        """Bytes that they take in this process."""
        return COLUMNS_COST + 2 * self.size + ENTRY_COST * (len(self.pks) + len(self.branches) + len(self.shapes))

    def of(self, order: Ints) -> "Columns":
        """Some of these hits, in this order."""
        pks, pk = _numbered(self.pk[order], self.pks)
        branches, places = _numbered(self.places[_members(self.counts, order)], self.branches)
        shapes, shape = _numbered(self.shape[order], self.shapes)
        amounts = self.amounts[_members(_widths(self.shapes)[self.shape], order)]
        where = np.full(self.hits, -1)
        where[order] = np.arange(len(order))
        fields = {}
        for name, (positions, values) in self.fields.items():
            found = sorted((place, number) for number, place in enumerate(where[positions].tolist()) if place >= 0)
            if found:
                fields[name] = ints(place for place, _ in found), [values[number] for _, number in found]
        return Columns(
            pks,
            branches,
            shapes,
            pk,
            self.at[order],
            shape,
            self.counts[order],
            places,
            amounts,
            fields,
        )

    def section(self, account: str, total: int, refused: Sequence[Refusal]) -> Section:
        metrics: dict[str, int] = {}
        in_order = [[metrics.setdefault(name, len(metrics)) for name in sorted(names)] for names in self.shapes]
        as_given = ints(metrics[name] for names in self.shapes for name in names)
        metric = as_given[_members(_widths(self.shapes), self.shape)]
        ends = np.cumsum(np.bincount(metric, minlength=len(metrics)))
        return Section(
            account,
            total,
            [str(pk, "utf-8") for pk in self.pks],
            [(top[0], _below(top)) for top in self.branches],
            list(metrics),
            in_order,
            self.counts,
            self.places,
            self.pk,
            self.at,
            self.shape,
            np.split(self.amounts[np.argsort(metric, kind="stable")], ends[:-1]) if metrics else [],
            self.fields,
            refused,
        )


def columns_of(some: Sequence[Pieces]) -> Columns:
    """The same hits."""
    all_pks, tops, metrics, amounts, at, rare, _ = zip(*some, strict=True) if some else ((),) * 7
    pks, branches, shapes = dict[bytes, int](), dict[Top, int](), dict[Metrics, int]()
    pk = ints(pks.setdefault(pk, len(pks)) for pk in all_pks)
    places = ints(branches.setdefault(top, len(branches)) for top in chain.from_iterable(tops))
    shape = ints(shapes.setdefault(names, len(shapes)) for names in metrics)
    fields = {}
    for number, name in enumerate(_RARE):
        values = [parts[number] if len(parts) > number else None for parts in rare]
        if field := field_of(values):
            fields[name] = field
    return Columns(
        list(pks),
        list(branches),
        list(shapes),
        pk,
        ints(at),
        shape,
        ints(map(len, tops)),
        places,
        ints(chain.from_iterable(amounts)),
        fields,
    )


def few_of(some: Sequence[Pieces], account: str, total: int, refused: Sequence[Refusal]) -> Few:
    """As `columns_of` and `Columns.section`, of few hits."""
    pks: dict[bytes, int] = {}
    branches: dict[Top, int] = {}
    shapes: dict[Metrics, int] = {}
    metrics: dict[str, int] = {}
    fields: dict[str, tuple[list[int], list[Any]]] = {}
    counts: list[int] = []
    places: list[int] = []
    pk: list[int] = []
    at: list[int] = []
    shape: list[int] = []
    for position, (of_pk, tops, names, _, at_ms, rare, _) in enumerate(some):
        pk.append(pks.setdefault(of_pk, len(pks)))
        places += [branches.setdefault(top, len(branches)) for top in tops]
        counts.append(len(tops))
        at.append(at_ms)
        shape.append(shapes.setdefault(names, len(shapes)))
        for name, value in zip(_RARE, rare, strict=False) if rare else ():
            if value is not None:
                positions, values = fields.setdefault(name, ([], []))
                positions.append(position)
                values.append(value)
    in_order = [[metrics.setdefault(name, len(metrics)) for name in sorted(names)] for names in shapes]
    amounts: list[list[int]] = [[] for _ in metrics]
    for _, _, names, given, *_ in some:
        for name, amount in zip(names, given, strict=True):
            amounts[metrics[name]].append(amount)
    return Few(
        account,
        total,
        [str(text, "utf-8") for text in pks],
        [(top[0], _below(top)) for top in branches],
        list(metrics),
        in_order,
        counts,
        places,
        pk,
        at,
        shape,
        amounts,
        fields,
        refused,
    )


def joined(parts: Sequence[Columns]) -> Columns:
    """The hits of all, in this order."""
    if len(parts) == 1:
        return parts[0]
    pks, branches, shapes = dict[bytes, int](), dict[Top, int](), dict[Metrics, int]()
    fields: dict[str, tuple[list[Ints], list[Any]]] = {}
    all_pks, places, all_shapes, hits = [], [], [], 0
    for part in parts:
        all_pks.append(_renumbered(part.pk, part.pks, pks))
        places.append(_renumbered(part.places, part.branches, branches))
        all_shapes.append(_renumbered(part.shape, part.shapes, shapes))
        for name, (positions, values) in part.fields.items():
            all_positions, all_values = fields.setdefault(name, ([], []))
            all_positions.append(positions + hits)
            all_values += values
        hits += part.hits
    return Columns(
        list(pks),
        list(branches),
        list(shapes),
        np.concatenate(all_pks),
        np.concatenate([part.at for part in parts]),
        np.concatenate(all_shapes),
        np.concatenate([part.counts for part in parts]),
        np.concatenate(places),
        np.concatenate([part.amounts for part in parts]),
        {name: (np.concatenate(positions), values) for name, (positions, values) in fields.items()},
    )


class Draft:
    """The hits of one request, or of a message. For one thread at a time."""

    __slots__ = ("_few", "_few_size", "_many")

    def __init__(self) -> None:
        self._few: list[Pieces] = []
        self._few_size = 0
        self._many: list[Columns] = []

    @property
    def hits(self) -> int:
        return len(self._few) + sum(columns.hits for columns in self._many)

    @property
    def size(self) -> int:
        """Bytes that its hits add to a message, at most."""
        return SECTION_BYTES + self._few_size + sum(columns.size for columns in self._many)

    @property
    def memory(self) -> int:
        """Bytes that it takes in this process."""
        return DRAFT_COST + sum(map(memory_of, self._few)) + sum(columns.memory for columns in self._many)

    def put(self, pieces: Pieces) -> None:
        """Adds a hit."""
        self._few.append(pieces)
        self._few_size += pieces[-1]

    def put_columns(self, columns: Columns) -> None:
        """Adds many."""
        self._many.append(columns)

    def grown(self, pieces: Pieces, most: int) -> bool:
        """Whether it may be larger than `most` bytes with this hit."""
        return self.size + pieces[-1] > most

    def take(self, others: Iterable["Draft"]) -> None:
        """Adds the hits of others."""
        for other in others:
            self._few += other._few
            self._few_size += other._few_size
            self._many += other._many

    def shortest(self, account: str, total: int, refused: Sequence[Refusal] = ()) -> Section | Few:
        """`section`, or the same in the form that takes less time to write."""
        if self._many or len(self._few) >= MANY:
            return self.section(account, total, refused)
        return few_of(self._few, account, total, refused)

    def section(self, account: str, total: int, refused: Sequence[Refusal] = ()) -> Section:
        """All hits, those that came as columns first."""
        few = [columns_of(self._few)] if self._few or not self._many else []
        return joined([*self._many, *few]).section(account, total, refused)


def _numbered(numbers: Ints, names: Sequence[T]) -> tuple[list[T], Ints]:
    """Of numbers of names: the names that are there, each once as it came first, and the numbers that they have so."""
    here = np.arange(len(numbers))
    table = np.empty(len(names), np.int64)
    table[numbers[::-1]] = here[::-1]  # of a number that is there twice, the last one stands
    first = numbers[table[numbers] == here]
    table[first] = np.arange(len(first))
    return [names[number] for number in first.tolist()], table[numbers]


def _renumbered(numbers: Ints, names: Sequence[T], into: dict[T, int]) -> Ints:
    return ints(into.setdefault(name, len(into)) for name in names)[numbers]


def _members(counts: Ints, order: Ints) -> Ints:
    """Where the members of some groups are, in the order of these groups. counts: members of each group, which lie one after the other."""
    some = counts[order]
    ends = np.cumsum(some)
    begins = np.cumsum(counts)[order] - some
    return np.repeat(begins - ends + some, some) + np.arange(ends[-1] if len(ends) else 0)


def _widths(shapes: Sequence[Metrics]) -> Ints:
    return ints(map(len, shapes))


def field_of(values: Sequence[Any]) -> tuple[Ints, list[Any]] | None:
    """Positions and values of those that are not None."""
    found = [(place, value) for place, value in enumerate(values) if value is not None]
    return (ints(place for place, _ in found), [value for _, value in found]) if found else None


def _size_of_branches(tops: Collection[Top]) -> int:
    parts: Iterable[Any] = chain.from_iterable(tops)
    try:
        letters = "".join(parts)
    except TypeError:  # some have JSON
        letters = "\n"
    if letters.isascii() and letters.isprintable():
        return BRANCH_BYTES * len(tops) + NAME_BYTES * sum(map(len, tops)) + ESCAPED * len(letters)
    return sum(map(size_of_branch, tops))


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


def size_of_shape(metrics: Metrics) -> int:
    return SHAPE_BYTES + sum(METRIC_BYTES + len(name if name.isascii() else name.encode()) for name in metrics)


def _size_of_rare(value: Any) -> int:
    return PLACE_BYTES + len(_encode_value(value))


def ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, np.int64)

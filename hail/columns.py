"""A message of version 2: many hits under one name as columns, of one account or several, the same bytes in the spool and in RabbitMQ.

    0    2       6               10
    +----+-------+---------------+--------------+----------+-----+
    | HW | CRC32 | length of the | the envelope | the body | "." |        CRC32: of all after it; integers big endian
    |    |       | envelope      |              |          |     |
    +----+-------+---------------+--------------+----------+-----+

The envelope is one msgpack array, in this form in every version from 2 on, so that a program can carry, show and give back what it
cannot read:

    [version, publisher, seq, at, lasting, [[account, hits, total], …], fields]

publisher, seq, at, lasting   as in version 1 (message.py)
hits, total                   of each account: hits in this message; hits of this publisher up to and with it
fields                        names of what the hits carry beside pk, dimensions, metrics and time. Who does not know one reads none

The body is one msgpack array, a section for each account of the envelope, in its order:

    [pks, branches, metrics, shapes, counts, places, pk, at, shape, amounts, fields, refused]

pks        JSON texts, each once
branches   [name of a top dimension, JSON text of all below it], each once
metrics    names, each once
shapes     [number of a metric, …], each once: the metrics of a hit
counts     column: branches of each hit
places     column: the numbers of these branches, hit by hit
pk, shape  columns: of each hit the number of its pk, and of its shape
at         column: ms since the epoch
amounts    of each metric a column: what the hits whose shape has it say of it, in their order
fields     [name, column of positions, values] of what few hits carry (id, visitor, event, others, ignored, properties, sub, basis, known;
           key: 4 bytes of the id of a key of the directory; hash: 32 bytes of the hash of a secret that Hail could not look up);
           positions count from 0
refused    of this account what Hail refused lately, as in version 1

A column is [width, base, unit, bytes]: little-endian numbers of 0 (all are the base), 1, 2, 4 or 8 bytes; a value is base + unit * number.
"""

import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice, pairwise
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from hail.hit import MAX_AMOUNT, TICKS_A_MS
from hail.message import (
    UNREADABLE,
    AccountName,
    At,
    BadMessage,
    Envelope,
    Message,
    OthersOnWire,
    Publisher,
    Refusal,
    Seq,
    Share,
    Total,
    WireHit,
    decode_message,
    envelope_of,
)

VERSION = 2
MAGIC, END = b"HW", b"."
MOST_HITS = 2**20  # of a section
MOST_PLACES = 2**22  # branches of all its hits
MOST_AMOUNTS = 2**24  # of all its hits
UNITS = (10**6, 10**4)  # whole amounts, and cents
MANY = 100  # hits of a section from which on it costs less to add them up in columns than one by one
TOGETHER = 256  # hits that are made when one of them is looked at
EARLIEST, LATEST = -(2**43), 2**43 - 1
KEY, HASH = "key", "hash"
IN_HEX = frozenset((KEY, HASH))
FIELDS = frozenset(("basis", "event", HASH, "id", "ignored", KEY, "known", "others", "properties", "sub", "visitor"))
"""What hits may carry that this program knows."""

Ints = NDArray[np.int64]
T = TypeVar("T")


class NewerMessage(BadMessage):
    """A sound message that only a later version can read."""

    def __init__(self, version: int, fields: Sequence[str]):
        self.version, self.fields = version, fields
        super().__init__(
            f"message of version {version} with {', '.join(fields) or 'no more fields'}, this program reads {VERSION}"
        )


@dataclass(frozen=True, slots=True)
class Section:
    """The hits of one account. Of n hits: counts, pk, at, shape (n,); places (sum of counts,): numbers of branches, hit by hit.

    amounts: of each metric those of the hits whose shape has it, in their order.  fields: name -> (positions, values).
    """

    account: str
    total: int
    pks: Sequence[str]
    branches: Sequence[tuple[str, str]]
    metrics: Sequence[str]
    shapes: Sequence[Sequence[int]]
    counts: Ints
    places: Ints
    pk: Ints
    at: Ints
    shape: Ints
    amounts: Sequence[Ints]
    fields: Mapping[str, tuple[Ints, Sequence[Any]]]
    refused: Sequence[Refusal] = ()

    @property
    def hits(self) -> int:
        return len(self.at)


class Few(NamedTuple):
    """A Section of few hits on its way out, with lists of numbers: to begin with numpy would take longer."""

    account: str
    total: int
    pks: Sequence[str]
    branches: Sequence[tuple[str, str]]
    metrics: Sequence[str]
    shapes: Sequence[Sequence[int]]
    counts: list[int]
    places: list[int]
    pk: list[int]
    at: list[int]
    shape: list[int]
    amounts: Sequence[list[int]]
    fields: Mapping[str, tuple[list[int], Sequence[Any]]]
    refused: Sequence[Refusal] = ()

    @property
    def hits(self) -> int:
        return len(self.at)


class ColumnMessage(NamedTuple):
    """One message, decoded."""

    envelope: Envelope
    sections: Sequence[Section]


class _Column(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    width: int
    base: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    unit: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    data: bytes


class _Field(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    name: str
    positions: _Column
    values: msgspec.Raw


class _Section(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    pks: list[str]
    branches: list[tuple[str, str]]
    metrics: list[str]
    shapes: list[list[int]]
    counts: _Column
    places: _Column
    pk: _Column
    at: _Column
    shape: _Column
    amounts: list[_Column]
    fields: list[_Field]
    refused: list[Refusal]


class _Head(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: Annotated[int, msgspec.Meta(ge=VERSION, lt=2**16)]
    publisher: Publisher
    seq: Seq
    at: At
    lasting: bool
    shares: list[tuple[AccountName, Annotated[int, msgspec.Meta(ge=0, le=MOST_HITS)], Total]]
    fields: list[str]


_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(_Head).decode
_decode_body = msgspec.msgpack.Decoder(list[_Section]).decode
_encode_text = msgspec.json.Encoder().encode
_TYPES = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<i8"}
_LETTERS = {1: "B", 2: "H", 4: "I", 8: "q"}  # the same for struct
_UP, _UP_BYTES = [*range(256)], bytes(range(256))  # numbers of names, in the order in which they come
_NOTHING, Raw = msgspec.Raw(b"{}"), msgspec.Raw
_NONE, _ZERO = np.zeros(0, np.int64), np.zeros(1, np.int64)
_decode_keys, _decode_hashes = (
    msgspec.msgpack.Decoder(list[Annotated[bytes, msgspec.Meta(min_length=size, max_length=size)]]).decode
    for size in (4, 32)
)
_DECODE_VALUES: Mapping[str, Callable[[msgspec.Raw], list[Any]]] = {
    "id": msgspec.msgpack.Decoder(list[str]).decode,
    "visitor": msgspec.msgpack.Decoder(list[str]).decode,
    "event": msgspec.msgpack.Decoder(list[str]).decode,
    "known": msgspec.msgpack.Decoder(list[str]).decode,
    "others": msgspec.msgpack.Decoder(list[OthersOnWire]).decode,
    "ignored": msgspec.msgpack.Decoder(list[list[str]]).decode,
    "properties": msgspec.msgpack.Decoder(list[dict[str, str]]).decode,
    "sub": msgspec.msgpack.Decoder(list[Annotated[int, msgspec.Meta(ge=0, lt=TICKS_A_MS)]]).decode,
    "basis": msgspec.msgpack.Decoder(list[Literal["daily"]]).decode,
    KEY: lambda raw: [id_.hex() for id_ in _decode_keys(raw)],
    HASH: lambda raw: [hash_.hex() for hash_ in _decode_hashes(raw)],
}


def is_columns(body: bytes) -> bool:
    """Whether these bytes begin as a message of version 2 or later does; one of version 1 begins with a brace."""
    return body.startswith(MAGIC)


# to bytes


def encode(publisher: str, seq: int, at_ms: int, sections: Sequence[Section | Few], lasting: bool = False) -> bytes:
    shares = [(section.account, section.hits, section.total) for section in sections]
    fields = sorted({name for section in sections for name in section.fields})
    head = _encode([VERSION, publisher, seq, at_ms, lasting, shares, fields])
    body = _encode([_written(section) for section in sections])
    told = b"".join((len(head).to_bytes(4, "big"), head, body, END))
    return MAGIC + zlib.crc32(told).to_bytes(4, "big") + told


def _written(section: Section | Few) -> _Section:
    column: Callable[..., _Column] = _column_of_few if isinstance(section, Few) else _column_of_many
    fields = [
        _Field(name, column(at), Raw(_encode(list(map(bytes.fromhex, values) if name in IN_HEX else values))))
        for name, (at, values) in sorted(section.fields.items())
    ]
    return _Section(
        list(section.pks),
        list(section.branches),
        list(section.metrics),
        [list(shape) for shape in section.shapes],
        column(section.counts),
        column(section.places),
        column(section.pk),
        column(section.at),
        column(section.shape),
        [column(amounts, UNITS) for amounts in section.amounts],
        fields,
        list(section.refused),
    )


def _column_of_few(values: list[int], units: Sequence[int] = ()) -> _Column:
    """As `_column_of_many`."""
    if not values:
        return _Column(0, 0, 1, b"")
    if values.count(values[0]) == len(values):
        return _Column(0, values[0], 1, b"")
    least, most = min(values), max(values)
    if most - least >= 2**63:
        return _Column(8, 0, 1, struct.pack(f"<{len(values)}q", *values))
    above = [value - least for value in values]
    unit = next((unit for unit in units if not any(value % unit for value in above)), 1)
    span = (most - least) // unit
    width = next(width for width in (1, 2, 4, 8) if span < 2 ** (8 * width))
    numbers = [value // unit for value in above]
    return _Column(width, least, unit, struct.pack(f"<{len(values)}{_LETTERS[width]}", *numbers))


def _column_of_many(values: Ints, units: Sequence[int] = ()) -> _Column:
    if not len(values):
        return _Column(0, 0, 1, b"")
    least, most = int(values.min()), int(values.max())
    if least == most:
        return _Column(0, least, 1, b"")
    if most - least >= 2**63:
        return _Column(8, 0, 1, values.astype("<i8").tobytes())
    above = values - least
    unit = next((unit for unit in units if not (above % unit).any()), 1)
    span = (most - least) // unit
    width = next(width for width in (1, 2, 4, 8) if span < 2 ** (8 * width))
    return _Column(width, least, unit, (above // unit).astype(_TYPES[width]).tobytes())


# from bytes


def read_envelope(message: bytes) -> Envelope:
    """Of a message of any version, also of one that is later than this program; raises BadMessage."""
    return _opened(message)[0] if is_columns(message) else envelope_of(message)


def decode(message: bytes) -> ColumnMessage:
    """Raises BadMessage where anything is not as it was made, NewerMessage where only a later program can read it."""
    envelope, sections = _decoded(message, _read)
    return ColumnMessage(envelope, sections)


def _decoded(message: bytes, read: Callable[[Share, _Section], T]) -> tuple[Envelope, list[T]]:
    """The envelope, and what `read` makes of each section; raises as `decode` does."""
    envelope, rest = _opened(message)
    _check(envelope)
    try:
        sections = _decode_body(rest)
        if len(sections) != len(envelope.shares):
            raise BadMessage(f"{len(sections)} sections, but {len(envelope.shares)} accounts")
        found = [read(share, section) for share, section in zip(envelope.shares, sections, strict=True)]
    except UNREADABLE as error:
        raise BadMessage(f"message of {len(message)} bytes: {error}") from None
    if not {field.name for section in sections for field in section.fields} <= set(envelope.fields):
        raise BadMessage("a field that its envelope does not name")
    return envelope, found


def check_version(message: bytes) -> None:
    """Raises NewerMessage for a sound message that only a later program can read."""
    if is_columns(message):
        try:
            envelope, _ = _opened(message)
        except BadMessage:
            return
        _check(envelope)


def _check(envelope: Envelope) -> None:
    if envelope.version > VERSION or not FIELDS.issuperset(envelope.fields):
        raise NewerMessage(envelope.version, envelope.fields)


def _opened(message: bytes) -> tuple[Envelope, bytes]:
    """The envelope, and the bytes of the body."""
    told = message[6:]
    if not is_columns(message) or message[2:6] != zlib.crc32(told).to_bytes(4, "big") or not told.endswith(END):
        raise BadMessage(f"message of {len(message)} bytes: damaged")
    end = 4 + int.from_bytes(told[:4], "big")
    try:
        head = _decode_head(told[4:end])
    except UNREADABLE as error:
        raise BadMessage(f"message of {len(message)} bytes: {error}") from None
    shares = [Share(*share) for share in head.shares]
    if len({share.account for share in shares}) != len(shares):
        raise BadMessage(f"message of {len(message)} bytes: an account is there twice")
    return Envelope(head.version, head.publisher, head.seq, head.at, head.lasting, shares, head.fields), told[end:-1]


def _read(share: Share, section: _Section) -> Section:
    hits = share.hits
    counts = _values(section.counts, hits, 0, MOST_PLACES)
    places = int(counts.sum())
    if places > MOST_PLACES:
        raise BadMessage(f"{places} branches in a section")
    shape = _values(section.shape, hits, 0, len(section.shapes) - 1)
    shown = np.bincount(shape, minlength=len(section.shapes))
    having = np.zeros(len(section.metrics), np.int64)
    for names, times in zip(section.shapes, shown.tolist(), strict=True):
        if len(set(names)) != len(names) or any(not 0 <= name < len(having) for name in names):
            raise BadMessage("a shape of metrics that are not there")
        having[names] += times
    if having.sum() > MOST_AMOUNTS:
        raise BadMessage(f"{having.sum()} amounts in a section")
    if len(section.amounts) != len(having):
        raise BadMessage(f"{len(section.amounts)} columns of amounts for {len(having)} metrics")
    amounts = zip(section.amounts, having.tolist(), strict=True)
    return Section(
        share.account,
        share.total,
        section.pks,
        section.branches,
        section.metrics,
        section.shapes,
        counts,
        _values(section.places, places, 0, len(section.branches) - 1),
        _values(section.pk, hits, 0, len(section.pks) - 1),
        _values(section.at, hits, EARLIEST, LATEST),
        shape,
        [_values(column, length, -MAX_AMOUNT, MAX_AMOUNT) for column, length in amounts],
        {field.name: _field(field, hits) for field in section.fields},
        section.refused,
    )


def _values(column: _Column, length: int, least: int, most: int) -> Ints:
    """So many numbers, all between these bounds."""
    width, base, unit, data = column.width, column.base, column.unit, column.data
    if len(data) != width * length:
        raise BadMessage(f"a column of {len(data)} bytes for {length} numbers")
    if width == 0:
        lowest = highest = base
        values = np.full(length, base, np.int64)
    elif width in _TYPES:
        values = np.frombuffer(data, _TYPES[width]).astype(np.int64)
        lowest, highest = (
            (base + unit * int(values[at]) for at in (values.argmin(), values.argmax())) if length else (least, most)
        )
    else:
        raise BadMessage(f"a column of numbers of {width} bytes")
    if length and not least <= lowest <= highest <= most:
        raise BadMessage(f"a column from {lowest} to {highest}, expected {least} to {most}")
    return values * unit + base if width else values


def _field(field: _Field, hits: int) -> tuple[Ints, list[Any]]:
    values = _values_of(field)
    positions = _values(field.positions, len(values), 0, hits - 1)
    if (np.diff(positions) <= 0).any():
        raise BadMessage(f"positions of {field.name} that do not rise")
    return positions, values


def _values_of(field: _Field) -> list[Any]:
    if field.name not in FIELDS:
        raise BadMessage(f"a field {field.name[:40]!r}")
    return _DECODE_VALUES[field.name](field.values)


# from and to hits, one by one


def messages_of(body: bytes) -> list[Message]:
    """What a message of any version holds of each account; raises BadMessage, NewerMessage."""
    if not is_columns(body):
        return [decode_message(body)]
    envelope, sections = _decoded(body, _hits_and_refused)
    version, publisher, seq, at, lasting, *_ = envelope
    return [
        Message(
            v=version,
            publisher=publisher,
            seq=seq,
            account=share.account,
            total=share.total,
            at=at,
            lasting=lasting,
            refused=refused,
            hits=hits,
        )
        for share, (hits, refused) in zip(envelope.shares, sections, strict=True)
    ]


def _hits_and_refused(share: Share, section: _Section) -> tuple[Sequence[WireHit], list[Refusal]]:
    hits = Hits(_read(share, section)) if share.hits >= MANY else _few(share, section)
    return hits, section.refused


def hits_of(section: Section) -> list[WireHit]:
    """All of them at once."""
    return list(Hits(section))


def _few(share: Share, section: _Section) -> list[WireHit]:
    """The hits of a section, one by one: the same as Hits gives, and the same is refused. To begin with numpy takes longer."""
    hits = share.hits
    if hits == 1 and (plain := _plain(section)):
        return [plain]
    counts = _numbers(section.counts, hits, 0, MOST_PLACES)
    all_counts = sum(counts)
    if all_counts > MOST_PLACES:
        raise BadMessage(f"{all_counts} branches in a section")
    shape, metrics = _numbers(section.shape, hits, 0, len(section.shapes) - 1), section.metrics
    having = _having(section.shapes, shape, len(metrics))
    if len(section.amounts) != len(having):
        raise BadMessage(f"{len(section.amounts)} columns of amounts for {len(having)} metrics")
    places = iter(_numbers(section.places, all_counts, 0, len(section.branches) - 1))
    pk, at = _numbers(section.pk, hits, 0, len(section.pks) - 1), _numbers(section.at, hits, EARLIEST, LATEST)
    pairs = zip(section.amounts, having, strict=True)
    amounts = [iter(_numbers(column, length, -MAX_AMOUNT, MAX_AMOUNT)) for column, length in pairs]
    texts = [b"%b:%b" % (_encode_text(name), below.encode()) for name, below in section.branches]
    pks = [Raw(text.encode()) for text in section.pks]
    of_shapes = [[(metrics[number], amounts[number]) for number in names] for names in section.shapes]
    found = [
        WireHit(
            pks[pk_of],
            Raw(b"{%b}" % b",".join([texts[place] for place in islice(places, count)])) if count else _NOTHING,
            {name: next(amount) for name, amount in of_shapes[shape_of]},
            at_ms,
        )
        for pk_of, count, shape_of, at_ms in zip(pk, counts, shape, at, strict=True)
    ]
    for field in section.fields:
        values = _values_of(field)
        positions = _numbers(field.positions, len(values), 0, hits - 1)
        if any(one >= other for one, other in pairwise(positions)):
            raise BadMessage(f"positions of {field.name} that do not rise")
        for position, value in zip(positions, values, strict=True):
            setattr(found[position], field.name, value)
    return found


def _plain(section: _Section) -> WireHit | None:
    """The one hit of a section as most are written: of one pk and one shape, without numbers that differ. None: `_few` looks at it."""
    counts, places, pk, at, shape = section.counts, section.places, section.pk, section.at, section.shape
    branches, metrics, amounts = section.branches, section.metrics, section.amounts
    count = counts.base
    if counts.data or pk.data or at.data or shape.data or counts.width or pk.width or at.width or shape.width:
        return None
    if pk.base or shape.base or len(section.pks) != 1 or len(section.shapes) != 1 or count != len(branches):
        return None
    if not EARLIEST <= at.base <= LATEST or section.shapes[0] != _UP[: len(metrics)] or len(amounts) != len(metrics):
        return None
    if count > 1:
        if places.width != 1 or places.base or places.unit != 1 or places.data != _UP_BYTES[:count]:
            return None
    elif places.data or places.width or (count and places.base):
        return None
    sums: dict[str, int] = {}
    for name, column in zip(metrics, amounts, strict=True):
        amount = column.base
        if column.data or column.width or not -MAX_AMOUNT <= amount <= MAX_AMOUNT:
            return None
        sums[name] = amount
    dimensions = _NOTHING
    if count:
        dimensions = Raw(
            b"{%b}" % b",".join([b"%b:%b" % (_encode_text(name), below.encode()) for name, below in branches])
        )
    hit = WireHit(Raw(section.pks[0].encode()), dimensions, sums, at.base)
    for field in section.fields:
        positions, values = field.positions, _values_of(field)
        if len(values) != 1 or positions.data or positions.width or positions.base:
            return None
        setattr(hit, field.name, values[0])
    return hit


def _having(shapes: Sequence[Sequence[int]], shape: Sequence[int], metrics: int) -> list[int]:
    """How many hits have each metric. shape: of each hit."""
    for names in shapes:
        if names and (len(set(names)) != len(names) or min(names) < 0 or max(names) >= metrics):
            raise BadMessage("a shape of metrics that are not there")
    having = [0] * metrics
    for number, times in Counter(shape).items():
        for name in shapes[number]:
            having[name] += times
    if sum(having) > MOST_AMOUNTS:
        raise BadMessage(f"{sum(having)} amounts in a section")
    return having


def _numbers(column: _Column, length: int, least: int, most: int) -> Sequence[int]:
    """As `_values`, without numpy."""
    width, base, data = column.width, column.base, column.data
    if len(data) != width * length:
        raise BadMessage(f"a column of {len(data)} bytes for {length} numbers")
    if width == 0:
        if length and not least <= base <= most:
            raise BadMessage(f"a column from {base} to {base}, expected {least} to {most}")
        return [base] * length
    if width not in _LETTERS:
        raise BadMessage(f"a column of numbers of {width} bytes")
    unit = column.unit
    values = [base + unit * number for number in struct.unpack(f"<{length}{_LETTERS[width]}", data)]
    if values and not least <= min(values) <= max(values) <= most:
        raise BadMessage(f"a column from {min(values)} to {max(values)}, expected {least} to {most}")
    return values


class Hits(Sequence[WireHit]):
    """The hits of a section, as a message of version 1 has them. They are made when they are looked at, some at a time."""

    def __init__(self, section: Section):
        self.section = section
        self._looked: tuple[int, list[WireHit]] = (
            -1,
            [],
        )  # those that were looked at last, and the position of their first

    def __len__(self) -> int:
        return self.section.hits

    def __iter__(self) -> Iterator[WireHit]:
        return chain.from_iterable(map(self._some, range(0, len(self), TOGETHER)))

    def __getitem__(self, position: Any) -> Any:
        """position: from 0, no slice."""
        if not 0 <= position < len(self):
            raise IndexError(position)
        first, some = self._looked
        if first != position - position % TOGETHER:
            first = position - position % TOGETHER
            some = self._some(first)
            self._looked = first, some
        return some[position - first]

    def values(self, field: str) -> Iterable[tuple[int, Any]]:
        """Of what few hits carry: positions, and the values there."""
        positions, values = self.section.fields.get(field, (_NONE, ()))
        return zip(positions.tolist(), values, strict=True)

    def others(self) -> Iterable[tuple[int, int, OthersOnWire]]:
        """Of those with metrics that are no sums: position, ms since the epoch, and these metrics."""
        positions, values = self.section.fields.get("others", (_NONE, ()))
        return zip(positions.tolist(), self.section.at[positions].tolist(), values, strict=True)

    @cached_property
    def metrics(self) -> tuple[Ints, Ints, Ints]:
        """How many metrics each hit has; and of all of them, hit by hit, their numbers and amounts."""
        section = self.section
        lengths = np.array([len(shape) for shape in section.shapes], np.int64)
        having = lengths[section.shape]
        at = runs((np.cumsum(lengths) - lengths)[section.shape], having)
        numbers = np.array(list(chain.from_iterable(section.shapes)), np.int64)[at]
        amounts = np.empty(len(numbers), np.int64)
        amounts[np.argsort(numbers, kind="stable")] = np.concatenate((_NONE, *section.amounts))
        return having, numbers, amounts

    @cached_property
    def _begins(self) -> tuple[Ints, Ints]:
        """Where the branches and the amounts of each hit begin, and where the last ones end."""
        return _begins(self.section.counts), _begins(self.metrics[0])

    @cached_property
    def _texts(self) -> tuple[list[msgspec.Raw], list[bytes]]:
        pks = [msgspec.Raw(pk.encode()) for pk in self.section.pks]
        return pks, [b"%b:%b" % (_encode_text(name), below.encode()) for name, below in self.section.branches]

    def _some(self, first: int) -> list[WireHit]:
        """TOGETHER hits, or those that are left."""
        section, (pks, branches) = self.section, self._texts
        last = min(first + TOGETHER, len(self))
        columns = (column[first:last].tolist() for column in (section.counts, section.pk, section.at, section.shape))
        begin, end = (int(self._begins[0][at]) for at in (first, last))
        places = iter(section.places[begin:end].tolist())
        begin, end = (int(self._begins[1][at]) for at in (first, last))
        amounts = iter(self.metrics[2][begin:end].tolist())
        hits = []
        for count, pk, at, shape in zip(*columns, strict=True):
            dimensions = msgspec.Raw(b"{%b}" % b",".join([branches[place] for place in islice(places, count)]))
            metrics = {section.metrics[number]: next(amounts) for number in section.shapes[shape]}
            hits.append(WireHit(pks[pk], dimensions, metrics, at))
        for name, (positions, values) in section.fields.items():
            begin, end = np.searchsorted(positions, (first, last)).tolist()
            for position, value in zip(positions[begin:end].tolist(), values[begin:end], strict=True):
                setattr(hits[position - first], name, value)
        return hits


def ids_of(hits: Sequence[WireHit]) -> Iterable[tuple[int, str]]:
    """Positions of hits that have an id, and these."""
    if type(hits) is Hits:
        return hits.values("id")
    return [(position, hit.id) for position, hit in enumerate(hits) if hit.id is not None]


def keys_of(hits: Sequence[WireHit]) -> Iterable[tuple[int, str]]:
    """Positions of hits that came by a key of the directory, and its id."""
    if type(hits) is Hits:
        return hits.values(KEY)
    return [(position, hit.key) for position, hit in enumerate(hits) if hit.key is not None]


def joinings_of(hits: Sequence[WireHit]) -> Iterable[tuple[int, str]]:
    """Positions of hits that join two ids, and the id that is to be their visitor's too."""
    if isinstance(hits, Hits):
        return hits.values("known")
    return ((position, hit.known) for position, hit in enumerate(hits) if hit.known is not None)


def hashes_of(hits: Sequence[WireHit]) -> Iterable[tuple[int, str]]:
    """Positions of hits whose key Hail could not look up, and the hash of its secret."""
    if isinstance(hits, Hits):
        return hits.values(HASH)
    return ((position, hit.hash) for position, hit in enumerate(hits) if hit.hash is not None)


def runs(begins: Ints, lengths: Ints) -> Ints:
    """begin, begin + 1, … of each, as many as its length, one after the other."""
    return np.repeat(begins - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())


def _begins(counts: Ints) -> Ints:
    return np.concatenate((_ZERO, np.cumsum(counts)))

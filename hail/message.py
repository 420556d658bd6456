"""A message: many hits under one name, the same bytes in the spool and in RabbitMQ.

{"v":1,"publisher":"91b2…","seq":7,"account":"default","total":4210,"at":1795300800250,"lasting":false,"hits":[hit,…]}

publisher, seq   its name for ever, however often it is sent: 64 random bits drawn after fork, and a counter from 0
total            hits of this publisher up to and with this message: what the audit closes on
at               when Hail accepted it, ms since the epoch
lasting          its name is remembered for ever (an import), not only for a few days
refused          absent in most: what Hail refused lately, at most 20, for people who ask where their hit went. Such a message
                 may have no hits
hits             a line each. No hit has a line's end in it, so where one cannot be read the others can
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec

from hail.hit import MAX_AMOUNT, Reason

VERSION = 1
CONTENT_TYPE = "application/x-hailwhale"
MAX_REFUSALS = 20  # of a message
CAME_BYTES = 200
MOST_HEAD_BYTES = 400  # of a message: all but its hits and what was refused
_BETWEEN = b",\n"  # two hits
_OPENED, _CLOSED = b'"hits":[\n', b"\n]}"
NOBODY = "0" * 16
"""In place of a publisher, for hits of which it does not know that they are in the books of this account."""
ACCOUNT = "default"  # of whoever comes with a key of the settings, or with none: the one place that names it


class BadMessage(Exception):
    """Bytes that are not a message this version can read."""


Seq = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]
Total = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Publisher = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
AccountName = Annotated[str, msgspec.Meta(pattern="^[a-z0-9_-]{1,40}$")]
At = Annotated[int, msgspec.Meta(ge=-(2**43), lt=2**43)]
_Amount = Annotated[int, msgspec.Meta(ge=-MAX_AMOUNT, le=MAX_AMOUNT)]
OthersOnWire = dict[str, tuple[str, _Amount | str | dict[str, _Amount]]]


class WireHit(msgspec.Struct, array_like=True, gc=False):
    """One hit as it travels; pk and dimensions stay JSON text until someone needs them.

    One that cannot be read keeps its place among the others, so that hits are as many as were accepted: see `is_legible`.
    """

    pk: msgspec.Raw
    dimensions: msgspec.Raw
    metrics: dict[str, _Amount]
    at_ms: At
    id: str | None = None
    visitor: str | None = None
    event: str | None = None
    others: OthersOnWire | None = None
    ignored: list[str] | None = None
    key: str | None = None
    hash: str | None = None
    properties: dict[str, str] | None = None
    sub: int | None = None
    basis: str | None = None
    known: str | None = None

    @property
    def is_legible(self) -> bool:
        """Whether it is a hit as far as can be seen without reading pk and dimensions. Else its bytes stand in place of the pk."""
        return len(self.dimensions) > 0

    @property
    def raw(self) -> bytes:
        """Its bytes: of an illegible hit as they came, else as they would be written."""
        if not self.is_legible:
            return bytes(self.pk)
        written = _header(self)[:-1]
        while written.endswith(b",null"):
            written = written.removesuffix(b",null")
        return written + b"]"


class Refusal(msgspec.Struct, array_like=True, gc=False):
    """One hit that Hail refused. came: the beginning of what came, at most CAME_BYTES; visitor: where it can be told."""

    at_ms: At
    code: str
    field: str
    came: str
    visitor: str | None = None


class _Envelope(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    v: int
    publisher: Publisher
    seq: Seq
    account: AccountName
    total: Total
    at: At
    lasting: bool = False
    refused: list[Refusal] = []
    kept_s: float = 0.0  # how long its name is remembered at least; of messages that do not travel


class _Sealed(_Envelope, kw_only=True):
    hits: list[msgspec.Raw]


Mark = tuple[str, str, int]
"""As which a message is remembered: (account, publisher, seq); "" is the account where all of them have it under one name."""


class Share(NamedTuple):
    """What an envelope says of one account: its hits in this message, and those of this publisher up to and with it."""

    account: str
    hits: int
    total: int


class Envelope(NamedTuple):
    """All that a program can say of a message of any version.

    fields: what its hits carry beside pk, dimensions, metrics and time; of version 1 it says nothing.
    """

    version: int
    publisher: str
    seq: int
    at: int
    lasting: bool
    shares: Sequence[Share]
    fields: Sequence[str] = ()

    @property
    def hits(self) -> int:
        return sum(share.hits for share in self.shares)

    def mark(self, account: str) -> Mark:
        return mark_of(self.version, self.lasting, account, self.publisher, self.seq)


def mark_of(version: int, lasting: bool, account: str, publisher: str, seq: int) -> Mark:
    """What an account imports is its own affair, and so was each message of version 1."""
    return account if version == VERSION or lasting else "", publisher, seq


class Message(_Envelope, kw_only=True, gc=False):
    """The hits of one account in one message, decoded. hits: of a message of columns, its `columns.Hits`.

    Of messages that do not travel: judged, positions of hits that do not count, and why; strangers, how many hits beside these belong
    to accounts that do not exist, where these were looked for. Where Hail could not say whose hits these are, it sent them as those of
    the account `default`: there, handed and unknown are how many were found to be of another account, and of none, and early_here
    says whether some stay; and early is how many came so to the other account, the last of its hits.
    """

    hits: Sequence[WireHit]
    judged: dict[int, Reason] = {}
    strangers: int | None = None
    handed: int = 0
    unknown: int = 0
    early: int = 0
    early_here: bool = False

    @property
    def name(self) -> tuple[str, int]:
        return self.publisher, self.seq

    @property
    def part(self) -> tuple[str, str, int]:
        """Its name, and the account whose hits these are."""
        return self.account, self.publisher, self.seq

    @property
    def mark(self) -> Mark:
        return mark_of(self.v, self.lasting, self.account, self.publisher, self.seq)


_decode = msgspec.json.Decoder(Message).decode
_decode_hit = msgspec.json.Decoder(WireHit).decode
_decode_sealed = msgspec.json.Decoder(_Sealed).decode
_header = msgspec.json.Encoder().encode
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What reading JSON raises for bytes that are not as expected."""


def size_of(wire: bytes) -> int:
    """How many bytes a message grows by with a hit, or with what was refused."""
    return len(wire) + len(_BETWEEN)


def encode_refusal(refusal: Refusal) -> bytes:
    return _header(refusal)


def encode_message(
    publisher: str,
    seq: int,
    account: str,
    total: int,
    at_ms: int,
    hits: list[bytes],
    lasting: bool = False,
    refused: Sequence[bytes] = (),
) -> bytes:
    """hits: wire forms of `encode_hit`.  refused: of `encode_refusal`."""
    head = {
        "v": VERSION,
        "publisher": publisher,
        "seq": seq,
        "account": account,
        "total": total,
        "at": at_ms,
        "lasting": lasting,
    }
    told = b',"refused":[%b]' % b",".join(refused) if refused else b""
    return b"".join((_header(head)[:-1], told, b",", _OPENED, _BETWEEN.join(hits), _CLOSED))


def decode_message(body: bytes) -> Message:
    """A message, of which single hits may be illegible; raises BadMessage where all around the hits is not as it was made."""
    try:
        message = _decode(body)
        if body.endswith(_CLOSED) and body.count(b"\n") != max(len(message.hits), 1) + 1:
            message = _decode_one_by_one(body)  # some that are broken make sound JSON together
    except UNREADABLE as error:
        try:
            message = _decode_one_by_one(body)
        except UNREADABLE:
            raise BadMessage(f"message of {len(body)} bytes: {error}") from None
    if message.v != VERSION:
        raise BadMessage(f"message of version {message.v}, this program reads {VERSION}")
    return message


def _decode_one_by_one(body: bytes) -> Message:
    head, _, rest = body.partition(_OPENED)
    if rest.endswith(_CLOSED):
        envelope: _Envelope = _decode(head + b'"hits":[]}')
        lines = rest[: -len(_CLOSED)].split(_BETWEEN)
    else:  # not written by this program: where the JSON of all is sound, it shows where a hit ends
        envelope = sealed = _decode_sealed(body)
        lines = [bytes(line) for line in sealed.hits]
    return Message(**{**msgspec.structs.asdict(envelope), "hits": [_hit_of(line) for line in lines]})


def _hit_of(line: bytes) -> WireHit:
    try:
        return _decode_hit(line)
    except UNREADABLE:
        return WireHit(msgspec.Raw(line), msgspec.Raw(b""), {}, 0)


def envelope_of(body: bytes) -> Envelope:
    """Of a message of version 1, whatever its hits are; raises BadMessage."""
    found: _Sealed | Message
    try:
        found = _decode_sealed(body)
    except UNREADABLE:  # because of a hit, perhaps
        found = decode_message(body)
    if found.v != VERSION:
        raise BadMessage(f"message of version {found.v} in the form of version {VERSION}")
    share = Share(found.account, len(found.hits), found.total)
    return Envelope(found.v, found.publisher, found.seq, found.at, found.lasting, (share,))

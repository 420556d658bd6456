"""A message: many hits under one name, the same bytes in the spool and in RabbitMQ.

{"v":1,"publisher":"91b2…","seq":7,"account":"default","total":4210,"at":1795300800250,"lasting":false,"hits":[hit,…]}

publisher, seq   its name for ever, however often it is sent: 64 random bits drawn after fork, and a counter from 0
total            hits of this publisher up to and with this message: what the audit closes on
at               when Hail accepted it, ms since the epoch
lasting          its name is remembered for ever (an import), not only for a few days
refused          absent in most: what Hail refused lately, at most 20, for people who ask where their hit went. Such a message
                 may have no hits
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

VERSION = 1
CONTENT_TYPE = "application/x-hailwhale"
MAX_REFUSALS = 20  # of a message
CAME_BYTES = 200
ACCOUNT = "default"  # of all hits, until there are several accounts


class BadMessage(Exception):
    """Bytes that are not a message this version can read."""


_Seq = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]
_Total = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
_Publisher = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
_Account = Annotated[str, msgspec.Meta(pattern="^[a-z0-9_-]{1,40}$")]
_At = Annotated[int, msgspec.Meta(ge=-(2**43), lt=2**43)]


class WireHit(msgspec.Struct, array_like=True, gc=False):
    """One hit as it travels; pk and dimensions stay JSON text until someone needs them."""

    pk: msgspec.Raw
    dimensions: msgspec.Raw
    metrics: dict[str, int]
    at_ms: _At
    id: str | None = None
    visitor: str | None = None
    event: str | None = None
    others: dict[str, tuple[str, int | str | dict[str, int]]] | None = None


class Refusal(msgspec.Struct, array_like=True, gc=False):
    """One hit that Hail refused. came: the beginning of what came, at most CAME_BYTES; visitor: where it can be told."""

    at_ms: _At
    code: str
    field: str
    came: str
    visitor: str | None = None


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """One message, decoded."""

    v: int
    publisher: _Publisher
    seq: _Seq
    account: _Account
    total: _Total
    at: _At
    hits: list[WireHit]
    lasting: bool = False
    refused: list[Refusal] = []
    kept_s: float = 0.0  # how long its name is remembered at least; of messages that do not travel

    @property
    def name(self) -> tuple[str, int]:
        return self.publisher, self.seq


_decode = msgspec.json.Decoder(Message).decode
_header = msgspec.json.Encoder().encode


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
    return b"".join((_header(head)[:-1], told, b',"hits":[', b",".join(hits), b"]}"))


def decode_message(body: bytes) -> Message:
    """Raises BadMessage on anything that `encode_message` did not make."""
    try:
        message = _decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadMessage(f"message of {len(body)} bytes: {error}") from None
    if message.v != VERSION:
        raise BadMessage(f"message of version {message.v}, this program reads {VERSION}")
    return message

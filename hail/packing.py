"""How the hits of a request wait, and the messages that they make: as lines in version 1, as columns in version 2.

row ── Packed.add ──> parts, each of which fits a message ── encode ──> the message of several requests
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from hail import columns, message
from hail.columns import Ints
from hail.draft import PLACE_BYTES, Columns, Draft, Pieces, memory_of, pieces_of
from hail.hit import HitError, Reason, Row, Timeless, line_of, lost_in_lines
from hail.message import Refusal, encode_message, encode_refusal, size_of
from hail.room import COST
from hail.settings import PREFIX, Settings

BESIDE_BYTES = 2 * COST  # of a request that waits, in memory
TIMELESS_BYTES = 950  # of a line that is remembered, beside the text
REMEMBERED_BYTES = 1100  # of pieces
MOST_LOGGED = 65_535  # hits of a message, which a worker logs in one call


class Part(Protocol):
    """Hits of one request that go into one message. size: bytes that they add to it, at most.  memory: bytes that they take here."""

    hits: int
    size: int

    @property
    def memory(self) -> int: ...

    def put(self, piece: Any) -> None: ...

    def grown(self, piece: Any, most: int) -> bool:
        """Whether it would be larger than `most` bytes with this hit."""
        ...


class Lines:
    """Hits as a message of version 1 has them; a piece is the wire form of one."""

    __slots__ = ("lines", "size")

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.size = 0

    @property
    def hits(self) -> int:
        return len(self.lines)

    @property
    def memory(self) -> int:
        return self.size + COST * self.hits

    def put(self, piece: bytes) -> None:
        self.lines.append(piece)
        self.size += size_of(piece)

    def grown(self, piece: bytes, most: int) -> bool:
        return self.size + size_of(piece) > most


Shares = Mapping[str, Sequence[Any]]
"""By account, parts of the hits of some requests."""


class Form(NamedTuple):
    """A version of messages. is_mixed: whether one holds hits of several accounts.  piece_of: what a part takes of a row.

    remember: of a row and its piece, gives the piece of the same hit, had it come at other epoch seconds.
    memory_of: bytes that what is remembered takes, of the text of a hit and its piece.
    encode: publisher, seq, at in ms, parts, running totals and refusals by account -> the message.
    """

    version: int
    is_mixed: bool
    part: Callable[[], Any]
    piece_of: Callable[[Row], Any]
    remember: Callable[[Row, Any], Callable[[float], Any]]
    memory_of: Callable[[str, Any], int]
    encode: Callable[[str, int, int, Shares, Mapping[str, int], Mapping[str, Sequence[Refusal]]], bytes]


class Most(NamedTuple):
    """Of one message."""

    hits: int
    bytes_: int
    cells: int


class Packed:
    """The hits of one request, in parts. For one thread at a time."""

    __slots__ = ("_cells_of_last", "_hits_of_last", "cells", "form", "hits", "most", "parts")

    def __init__(self, form: Form, most: Most, *hits: tuple[Row, int]):
        """hits: row and cells of each; more may be added."""
        self.form, self.most = form, most
        self.parts: list[Any] = []
        self.hits = self.cells = self._hits_of_last = self._cells_of_last = 0
        for row, cells in hits:
            self.add(row, cells)

    @property
    def size(self) -> int:
        """Bytes that they add to a message, at most."""
        return sum(part.size for part in self.parts)

    @property
    def memory(self) -> int:
        """Bytes that they take while they wait."""
        return BESIDE_BYTES + sum(part.memory for part in self.parts)

    def add(self, row: Row, cells: int) -> None:
        self.put(self.form.piece_of(row), cells)

    def put(self, piece: Any, cells: int) -> None:
        """Adds a hit of which the piece is known."""
        part = self.parts[-1] if self.parts else self.begin()
        if not self.counted(cells, part.grown(piece, self.most.bytes_)):
            part = self.begin()
            self.counted(cells, False)
        part.put(piece)

    def put_columns(self, columns: Columns, cells: Ints) -> None:
        """Adds many hits to drafts. cells: of each."""
        hits, of_all = columns.hits, int(cells.sum())
        part = self.parts[-1] if self.parts else self.begin()
        if self.counted(of_all, part.size + columns.size > self.most.bytes_, hits):
            part.put_columns(columns)
        elif hits == 1:
            self.begin()
            self.put_columns(columns, cells)
        else:
            for some in np.array_split(np.arange(hits), 2):
                self.put_columns(columns.of(some), cells[some])

    def begin(self) -> Any:
        """A part for the hits that follow."""
        self._hits_of_last = self._cells_of_last = 0
        self.parts.append(part := self.form.part())
        return part

    def counted(self, cells: int, is_full: bool, more: int = 1) -> bool:
        """Counts hits that go to the last part; or it does not, where that has no room for them.

        is_full: in bytes. A hit that is larger than all may be has a part for itself.
        """
        hits, all_cells = self._hits_of_last + more, self._cells_of_last + cells
        if hits > 1 and (is_full or hits > self.most.hits or all_cells > self.most.cells):
            return False
        self._hits_of_last, self._cells_of_last = hits, all_cells
        self.hits += more
        self.cells += cells
        return True


def _message_of_lines(
    publisher: str,
    seq: int,
    at_ms: int,
    shares: Shares,
    totals: Mapping[str, int],
    refused: Mapping[str, Sequence[Refusal]],
) -> bytes:
    ((account, parts),) = shares.items()
    lines = [line for part in parts for line in part.lines]
    told = [encode_refusal(refusal) for refusal in refused.get(account, ())]
    return encode_message(publisher, seq, account, totals[account], at_ms, lines, refused=told)


def _message_of_columns(
    publisher: str,
    seq: int,
    at_ms: int,
    shares: Shares,
    totals: Mapping[str, int],
    refused: Mapping[str, Sequence[Refusal]],
) -> bytes:
    sections = []
    for account, parts in shares.items():
        draft, *more = parts or (Draft(),)
        draft.take(more)
        sections.append(draft.shortest(account, totals[account], refused.get(account, ())))
    return columns.encode(publisher, seq, at_ms, sections)


def _remember_line(row: Row, line: bytes) -> Callable[[float], bytes]:
    return Timeless(row).at


def _memory_of_line(text: str, line: bytes) -> int:
    return 5 * len(text) + TIMELESS_BYTES


def _memory_of_pieces(text: str, pieces: Pieces) -> int:
    return len(text) + REMEMBERED_BYTES + memory_of(pieces)


def _remember_pieces(row: Row, pieces: Pieces) -> Callable[[float], Pieces]:
    pk, tops, metrics, amounts, _, rare, size = pieces
    return lambda now: (pk, tops, metrics, amounts, math.floor(now * 1000), rare, size)


LINES = Form(message.VERSION, False, Lines, line_of, _remember_line, _memory_of_line, _message_of_lines)
COLUMNS = Form(columns.VERSION, True, Draft, pieces_of, _remember_pieces, _memory_of_pieces, _message_of_columns)
FORMS = {form.version: form for form in (LINES, COLUMNS)}


def check_form(row: Row, form: Form) -> None:
    """Raises HitError of a hit that messages of this form would carry in part."""
    if form is LINES and (field := lost_in_lines(row)):
        raise HitError(Reason.BAD_PROPERTIES, field, f"needs messages of version 2: set {PREFIX}MESSAGE_VERSION to 2")


def most_of(settings: Settings) -> Most:
    """Of a message. A section has bounds of its own, which no setting can raise."""
    most_bytes = min(settings.message_max_bytes, columns.MOST_PLACES * PLACE_BYTES)
    hits = min(settings.message_max_hits, MOST_LOGGED)
    return Most(hits, most_bytes - message.MOST_HEAD_BYTES, settings.message_max_cells)

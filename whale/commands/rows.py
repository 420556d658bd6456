"""The rows of a file that is imported: CSV or NDJSON, plain, .gz or .zip, read once to know it and once to count it.

Promise: a file that is cut short, in another encoding or of another form is told before anything of it is counted, and no
line is read that is longer than HAILWHALE_IMPORT_LINE_BYTES.
"""

import codecs
import csv
import gzip
import hashlib
import io
import json
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import IO, Any

import msgspec

from hail.hit import HitError, Reason
from hail.settings import Settings
from whale.commands.imports import Content
from whale.commands.mapping import Row, RowMapping
from whale.errors import SetupError

READ_BYTES = 1 << 20
BAD_ROW = "bad_row"


class BadRow(Exception):
    """A row that cannot be read."""


class CutOff(BadRow):
    """The last row of a file that ends inside its quotes: the next time it may be whole."""


class NoRows(SetupError):
    """By its header a file has no row that the mapping can read, whatever the settings are."""


Rows = Iterator[tuple[int, Row | Exception]]
"""Line numbers and rows, or what is wrong with them."""
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


# The file


@contextmanager
def unpacked(path: str) -> Iterator[tuple[str, IO[bytes]]]:
    """The name and the bytes of the one file that this is, or holds. Raises SetupError, also while it is read."""
    try:
        if os.path.isdir(path):
            raise SetupError(f"{path}: is a folder; give a file")
        if path.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
                if len(names) != 1:
                    raise SetupError(f"{path}: expected a zip with one file in it, got {len(names)}")
                with archive.open(names[0]) as stream:
                    yield names[0], stream
        elif not stat.S_ISREG(os.stat(path).st_mode):
            raise SetupError(f"{path}: expected a file, which is read more than once: save the stream to a file first")
        elif path.lower().endswith(".gz"):
            with gzip.open(path) as stream:
                yield path[:-3], stream  # type: ignore[misc]  # a GzipFile reads as IO does
        else:
            with open(path, "rb") as plain:
                yield path, plain
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SetupError(f"{path}: cannot be unpacked, it is damaged or of another kind: {error}") from None
    except OSError as error:
        raise SetupError(f"{path}: cannot be read: {error.strerror or error}") from None


def scan(path: str, mapping: RowMapping, sizes: Collection[int] = ()) -> Content:
    """Reads all of the file once, so that nothing is counted of one that is cut short or in another encoding.

    sizes: the digests up to there are wanted, too.
    """
    lines, head = 1, ""
    decoder = codecs.getincrementaldecoder(mapping.encoding)()
    ends = Ends(mapping.encoding, sizes)
    with unpacked(path) as (name, stream):
        while True:
            part = stream.read(min(READ_BYTES, ends.room))
            if not ends.size:
                _check_utf16(path, mapping, part[:1000])
            try:
                text = decoder.decode(part, final=not part)
            except UnicodeDecodeError as error:
                line = lines + error.object[: error.start].count(b"\n")
                wanted = mapping.encoding.removesuffix("-sig")
                raise SetupError(
                    f"{path}: line {line} is not {wanted}: name the file's encoding in {mapping.path}, "
                    'such as encoding = "latin-1"'
                ) from None
            ends.add(part, text)
            if not part:
                break
            head = head or text.lstrip()[:1000]
            lines += part.count(b"\n")
    if not head:
        raise SetupError(f"{path}: is empty")
    by_name = {"csv": "csv", "tsv": "csv", "ndjson": "ndjson", "jsonl": "ndjson", "json": "ndjson"}
    named = mapping.format or by_name.get(name.rpartition(".")[2].lower())
    if named != "csv" and head[0] == "[" and (named or head[1:].lstrip()[:1] in ("{", "[", "]")):
        raise SetupError(
            f"{path}: is one JSON array: write each of its values on a line of its own, as `jq -c '.[]'` does"
        )
    name = os.path.basename(name).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    form = named or ("ndjson" if head[0] == "{" else "csv")
    return Content(ends.digest, ends.size, form, ends.end, name, frozenset(sizes), ends.where_a_row_ends)


class Ends:
    """Digests of the beginnings of a text, up to some sizes in bytes, and up to its end without empty lines.

    where_a_row_ends: those after which a line ended, or all did.
    """

    def __init__(self, encoding: str, sizes: Collection[int]):
        self.size = 0
        self.where_a_row_ends: dict[int, str] = {}
        self._state, self._held = hashlib.blake2b(), b""
        self._wanted = sorted(sizes, reverse=True)
        self._reached: tuple[int, str] | None = None
        self._newlines = b"\r\n" if len("\n".encode(encoding)) - len("".encode(encoding)) == 1 else b""

    @property
    def room(self) -> int:
        """Bytes up to the next size that is wanted."""
        return self._wanted[-1] - self.size if self._wanted else READ_BYTES

    def add(self, part: bytes, text: str) -> None:
        """The next bytes, at most `room`, and what they say; none at the end."""
        if self._reached and (text or not part):
            if not text or text[0] in "\r\n":
                self.where_a_row_ends[self._reached[0]] = self._reached[1]
            self._reached = None
        held = self._held + part
        kept = held.rstrip(self._newlines) if self._newlines else held
        if len(held) - len(kept) > READ_BYTES:
            kept = held
        self._state.update(kept)
        self._held = held[len(kept) :]
        self.size += len(part)
        if self._wanted and self.size == self._wanted[-1]:
            self._wanted.pop()
            self._reached = self.size, self.digest
            if text[-1:] in ("\r", "\n"):
                self.where_a_row_ends[self.size] = self.digest

    @property
    def digest(self) -> str:
        """Of all so far."""
        state = self._state.copy()
        state.update(self._held)
        return state.hexdigest()

    @property
    def end(self) -> tuple[int, str]:
        return self.size - len(self._held), self._state.hexdigest()


def _check_utf16(path: str, mapping: RowMapping, head: bytes) -> None:
    """head: how the file begins.  Raises SetupError where that is UTF-16 and the mapping does not say so."""
    if mapping.encoding in ("utf-16", "utf-32"):
        return
    found = "utf-16" if head.startswith(UTF16) else ""
    if not found and not mapping.encoding.startswith(("utf-16", "utf-32")) and 3 * head.count(0) > len(head):
        found = "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
    if found:
        raise SetupError(f'{path}: is {found}: name the file\'s encoding in {mapping.path}: encoding = "{found}"')


class Lines:
    """The lines of a text. One longer than `most` bytes is read past and raises BadRow, as does a row of such lines.

    number: of the last line.  ended: there is none after it.  Whoever has read a row says so by `row_ended`.
    """

    def __init__(self, text: IO[str], most: int):
        self.number, self.ended = 0, False
        self._read, self._most, self._held = text.readline, most, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._read(self._most + 1)
        if not line:
            self.ended = True
            raise StopIteration
        self.number += 1
        self._held += len(line) if line.isascii() else len(line.encode("utf-8", "replace"))
        if self._held > self._most + (line[-1] in "\r\n"):
            self._held = 0
            while line and line[-1] not in "\r\n":
                line = self._read(self._most)
            raise BadRow(f"expected at most {self._most:,} bytes in a row (HAILWHALE_IMPORT_LINE_BYTES)")
        return line

    def row_ended(self) -> None:
        self._held = 0


def csv_rows(path: str, lines: Lines, mapping: RowMapping) -> Rows:
    """The values of the mapping's columns, row by row; raises NoRows, or SetupError where the header is too long."""
    reader = csv.reader(lines, delimiter=mapping.delimiter, strict=True)
    try:
        header = next(reader)
    except (csv.Error, BadRow) as error:
        kind = NoRows if isinstance(error, csv.Error) else SetupError
        raise kind(f"{path}: expected CSV, with a header in line 1: {error}") from None
    for column, key in mapping.columns.items():
        if header.count(column) != 1:
            found = f"{header.count(column)} columns" if column in header else "no column"
            names = ", ".join(name[:40] for name in header[:30])
            raise NoRows(f"{path}: {found} {column!r}, which {key} of {mapping.path} asks for, in: {names}")
    places = [header.index(column) for column in mapping.columns]
    pick: Callable[[list[str]], Row] = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)
    width = len(header)
    lines.row_ended()
    while True:
        try:
            for row in reader:
                lines.row_ended()
                if len(row) == width:
                    yield lines.number, pick(row)
                elif row:
                    yield lines.number, BadRow(f"expected {width} values, got {len(row)}")
            return
        except csv.Error as error:
            lines.row_ended()
            yield lines.number, (CutOff if lines.ended else BadRow)(f"expected CSV: {error}")
        except BadRow as error:
            yield lines.number, error


def ndjson_rows(path: str, lines: Lines, mapping: RowMapping) -> Rows:
    """The same of NDJSON: numbers and booleans as text, null and what is not there as None."""
    columns = list(mapping.columns)
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    while True:
        try:
            for line in lines:
                lines.row_ended()
                if line.strip():
                    found = decode(line)
                    yield lines.number, [_value(found, column) for column in columns]
            return
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            yield lines.number, HitError(Reason.BAD_JSON, "row", f"expected a JSON object: {error}")
        except BadRow as error:
            yield lines.number, error


def _value(found: dict[str, Any], column: str) -> str | None:
    value: Any = found.get(column)
    if value is None and "." in column:
        value = found
        for key in column.split("."):
            value = value.get(key) if isinstance(value, dict) else None
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        raise BadRow(f"expected text or a number in {column!r}, got {ascii(value)[:40]}")
    return json.dumps(value)


class Portion(io.RawIOBase):
    """The first `size` bytes of a stream, as they are read. done: how many were."""

    def __init__(self, stream: IO[bytes], size: int):
        self.done = 0
        self._stream, self._size, self._state = stream, size, hashlib.blake2b()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._stream.read(min(len(buffer), self._size - self.done))
        self._state.update(part)
        self.done += len(part)
        buffer[: len(part)] = part
        return len(part)

    @property
    def digest(self) -> str:
        """Of what was read."""
        return self._state.hexdigest()


def rows_of(path: str, portion: Portion, form: str, mapping: RowMapping, settings: Settings) -> Rows:
    """form: csv or ndjson."""
    newline = "" if form == "csv" else None
    text = io.TextIOWrapper(io.BufferedReader(portion, READ_BYTES), mapping.encoding, newline=newline)
    lines = Lines(text, settings.import_line_bytes)
    return (csv_rows if form == "csv" else ndjson_rows)(path, lines, mapping)


def check_columns(path: str, content: Content, mapping: RowMapping, settings: Settings) -> None:
    """That each column of the mapping is in the header of a CSV file, or in some row of NDJSON; raises SetupError."""
    absent = dict(enumerate(mapping.columns))
    is_json = False
    with unpacked(path) as (_, stream):
        rows = rows_of(path, Portion(stream, content.size), content.form, mapping, settings)
        if content.form == "csv":
            next(rows, None)
            return
        for _, row in rows:
            if not isinstance(row, HitError):
                is_json = True
            if not isinstance(row, Exception):
                absent = {place: column for place, column in absent.items() if row[place] is None}
            if not absent:
                return
    if not is_json:
        raise SetupError(f"{path}: no line is a JSON object: write one object a line, as `jq -c .` does")
    column = next(iter(absent.values()))
    raise SetupError(f"{path}: no row has {column!r}, which {mapping.columns[column]} of {mapping.path} asks for")

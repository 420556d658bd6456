"""Files in: `hailwhale import FILE --mapping M.toml` counts each row of a CSV or NDJSON file, plain, .gz or .zip.

Promise: however often an import is run, killed and run again, each row counts once. The account remembers what was
imported (imports.py): the same rows under the same mapping count no more, of a file that has grown the new rows count,
and anything else is declined until `--again` or another `--name` says that it is meant. `--undo` takes an import back.

Rows are packed into blocks by their number; a block is a message whose publisher stands in the record of the import, and
whose seq is the number of the block; its name is remembered for ever. The first publisher is a hash of what the file
says, of the mapping and of --block-hits, so an import that the version before has begun goes on.

With HAILWHALE_BROKER_URL blocks go to RabbitMQ and its workers, else straight to the store.
Exit codes: 0 all rows are counted, 1 some were refused, or it was declined, 2 it could not start or go on.
"""

import codecs
import csv
import gzip
import hashlib
import io
import json
import os
import stat
import sys
import threading
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from operator import itemgetter
from typing import IO, Any, NamedTuple

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from hail.hit import HitError, Reason, name_of
from hail.message import ACCOUNT, decode_message, encode_message
from hail.publish import Broker
from hail.settings import DAY, SUM, Settings, load
from whale.count.apply import Applier
from whale.count.hailwail import Ship
from whale.count.imports import (
    MOST_PARTS,
    UNKNOWN,
    Asked,
    Content,
    Counted,
    Declined,
    Part,
    Record,
    Resets,
    Step,
    Stretch,
    Unfinished,
    finished,
    newest_reset,
    next_step,
    record_of,
    sizes_of,
    stretches_of,
    text_of,
    touches,
    when,
)
from whale.count.mapping import HitMaker, Row, RowMapping, load_mapping, meaning_of
from whale.embedded import redis_url_of
from whale.errors import CallerError, SetupError, Unavailable, visible
from whale.store import connect
from whale.store.base import RESET_KEPT_S, Defined, Store

BLOCK_HITS = 2000
READ_BYTES = 1 << 20
BAD_ROW = "bad_row"
MOST_SHOWN = 20
PATIENCE_S = 300.0
BACKOFF_S = (0.1, 2.0)
PLAIN_LINE_S = 5.0
AGAIN = "run it again (without --again) to go on: nothing counts twice"
WAITING_BYTES = 16_000_000
FIRST_BLOCKS = 100  # of an import, in which one has hits


class BadRow(Exception):
    """A row that cannot be read."""


Rows = Iterator[tuple[int, Row | Exception]]
"""Line numbers and rows, or what is wrong with them."""
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


# The file


@contextmanager
def unpacked(path: str) -> Iterator[tuple[str, IO[bytes]]]:
    """The name and the bytes of the one file that this is, or holds. Raises SetupError, also while it is read."""
    try:
        if path.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
                if len(names) != 1:
                    raise SetupError(f"{path}: expected a zip with one file in it, got {len(names)}")
                with archive.open(names[0]) as stream:
                    yield names[0], stream
        elif not stat.S_ISREG(os.stat(path).st_mode):
            raise SetupError(f"{path}: expected a file: it is read more than once, so write what comes into one")
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

    number: of the last line.  Whoever has read a row says so by `row_ended`.
    """

    def __init__(self, text: IO[str], most: int):
        self.number = 0
        self._read, self._most, self._held = text.readline, most, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._read(self._most + 1)
        if not line:
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
    """The values of the mapping's columns, row by row; raises SetupError where the header does not have them."""
    reader = csv.reader(lines, delimiter=mapping.delimiter, strict=True)
    try:
        header = next(reader)
    except (csv.Error, BadRow) as error:
        raise SetupError(f"{path}: expected CSV, with a header in line 1: {error}") from None
    for column, key in mapping.columns.items():
        if header.count(column) != 1:
            found = f"{header.count(column)} columns" if column in header else "no column"
            names = ", ".join(name[:40] for name in header[:30])
            raise SetupError(f"{path}: {found} {column!r}, which {key} of {mapping.path} asks for, in: {names}")
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
            yield lines.number, BadRow(f"expected CSV: {error}")
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


def check_keys_exist(path: str, content: Content, mapping: RowMapping, settings: Settings) -> None:
    """That each column of the mapping is in some row of an NDJSON file; raises SetupError."""
    absent = dict(enumerate(mapping.columns))
    is_json = False
    with unpacked(path) as (_, stream):
        for _, row in rows_of(path, Portion(stream, content.size), "ndjson", mapping, settings):
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


# Blocks


class Block(NamedTuple):
    """Some rows as messages; none when no row of it made a hit. read: bytes of the file up to its end."""

    bodies: tuple[bytes, ...]
    rows: int
    hits: int
    read: int


@dataclass
class Refused:
    """Rows that were left out: each reported, up to MOST_SHOWN, and counted by reason; and those that were dated ahead."""

    say: Callable[[str], None]
    by_reason: Counter[str] = field(default_factory=Counter)
    ahead: int = 0
    first_ahead: int = 0

    def landed_on_now(self, line: int) -> None:
        """Of a row that counts, but not at its own time, since that was ahead."""
        self.ahead += 1
        self.first_ahead = self.first_ahead or line

    def add(self, path: str, line: int, error: Exception) -> None:
        reason = str(error.reason) if isinstance(error, HitError) else BAD_ROW
        self.by_reason[reason] += 1
        if (so_far := self.by_reason.total()) <= MOST_SHOWN:
            self.say(f"{path}:{line}: {reason}: {error}")
        if so_far == MOST_SHOWN:
            self.say("further rows that are refused are counted only")


def publisher_of(content: Content, mapping: RowMapping, block_hits: int) -> str:
    """The name of an import."""
    return hashlib.sha256(f"{content.digest} {mapping.digest} {block_hits}".encode()).hexdigest()[:16]


def blocks(
    path: str,
    size: int,
    form: str,
    mapping: RowMapping,
    stretches: Sequence[Stretch],
    settings: Settings,
    refused: Refused,
    digest: str = "",
) -> Iterator[Block]:
    """Some stretches of the first `size` bytes of a file, in order. Raises SetupError where their digest is another one.

    A block is `block_hits` rows, whether they make hits or not, so that its name stays its own.
    """
    with unpacked(path) as (_, stream):
        portion = Portion(stream, size)
        rows, number = rows_of(path, portion, form, mapping, settings), 0
        for stretch in stretches:
            for _ in islice(rows, stretch.first - number):
                pass
            last = None if stretch.last is None else stretch.last - stretch.first
            number = stretch.last or 0
            packer = Packer(mapping, stretch, settings)
            for line, row in islice(rows, last):
                try:
                    if isinstance(row, Exception):
                        raise row
                    if packer.add(row):
                        refused.landed_on_now(line)
                except (HitError, BadRow) as error:
                    refused.add(path, line, error)
                packer.rows += 1
                if packer.rows == stretch.block_hits:
                    yield packer.block(portion.done)
            if packer.rows:
                yield packer.block(portion.done)
        if digest and portion.digest != digest:
            raise SetupError(f"{path}: was changed while it was read: put it back as it was, and {AGAIN}")


class Packer:
    """Rows of a stretch become messages of each of its publishers. rows: of the block that is being filled."""

    def __init__(self, mapping: RowMapping, stretch: Stretch, settings: Settings):
        columns, now = list(mapping.columns), stretch.at_ms / 1000
        self.rows = self._seq = self._total = 0
        self._at_ms = stretch.at_ms
        self._publishers = [
            (publisher, HitMaker(mapping, columns, settings, now, sign, tag), list[bytes]())
            for publisher, sign, tag in stretch.publishers
        ]

    def add(self, row: Row) -> bool:
        """Whether it was dated ahead; raises HitError."""
        made = [maker.wire(row) for _, maker, _ in self._publishers]
        for (_, _, hits), hit in zip(self._publishers, made, strict=True):
            hits.append(hit)
        return self._publishers[0][1].is_ahead

    def block(self, read: int) -> Block:
        count = len(self._publishers[0][2])
        self._total += count
        bodies = [
            encode_message(publisher, self._seq, ACCOUNT, self._total, self._at_ms, hits, lasting=True)
            for publisher, _, hits in self._publishers
            if hits
        ]
        rows, self.rows, self._seq = self.rows, 0, self._seq + 1
        for _, _, hits in self._publishers:
            hits.clear()
        return Block(tuple(bodies), rows, count, read)


# Where they go


class ToStore:
    """Straight to the store, several blocks in one apply."""

    verb = "counted"

    def __init__(self, store: Store, settings: Settings):
        self._store = store
        self._applier = Applier(self._store, settings)
        self.known = 0

    def put(self, bodies: Sequence[bytes], now: float) -> None:
        messages = [decode_message(body) for body in bodies]
        known = [message for message in messages if self._store.seen(ACCOUNT, message.name)]
        names = {message.name for message in known}
        if self._store.shards == 1:  # else another shard may still be due
            messages = [message for message in messages if message.name not in names]
        self._applier.apply(messages, now)
        self.known += sum(len(message.hits) for message in known)

    def close(self) -> None:
        pass


class ToBroker:
    """To RabbitMQ, with confirms; while its queue is full, `put` raises Unavailable."""

    verb = "handed to RabbitMQ"
    known = 0

    def __init__(self, settings: Settings):
        """Raises Unavailable."""
        try:
            Broker(settings).close()
        except Exception as error:  # py-amqp raises nearly anything
            raise Unavailable(f"RabbitMQ: {error or type(error).__name__}: see HAILWHALE_BROKER_URL") from None
        self._ship = Ship(settings)

    def put(self, bodies: Sequence[bytes], now: float) -> None:
        self._ship.put(list(bodies))

    def close(self) -> None:
        self._ship.close()


def put_patiently(to: ToStore | ToBroker, bodies: Sequence[bytes], now: float, stopped: threading.Event) -> None:
    """Tries again with backoff while the other side is away or full; raises Unavailable after PATIENCE_S, or stopped."""
    deadline, pause = time.monotonic() + PATIENCE_S, BACKOFF_S[0]
    while True:
        try:
            to.put(bodies, now)
            return
        except Unavailable as error:
            if stopped.wait(pause) or time.monotonic() > deadline:
                raise Unavailable(f"{error}: {AGAIN}") from None
            pause = min(2 * pause, BACKOFF_S[1])


# The command


def say(console: Console, text: str) -> None:
    console.print(f"import: {visible(text)}", markup=False, highlight=False, soft_wrap=True)


class Shown:
    """How far it is: a bar on a terminal, else a line now and then."""

    def __init__(self, console: Console, size: int):
        self.rows = self.hits = 0
        self._console, self._size, self._began = console, size, time.monotonic()
        self._line_at = self._began + PLAIN_LINE_S
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("0 rows", total=size)

    def __enter__(self) -> "Shown":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @property
    def rate(self) -> str:
        return f"{self.rows / max(time.monotonic() - self._began, 0.001):,.0f} rows/s"

    @property
    def took_s(self) -> float:
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        say(self._console, text)

    def sum_up(self, verb: str, refused: "Refused", at_ms: int, before: int = 0) -> None:
        """before: rows that were there before those that were read now."""
        if refused.ahead:
            at = datetime.fromtimestamp(at_ms / 1000).astimezone().isoformat(" ", "seconds")
            self.say(
                f"{refused.ahead:,} rows are dated ahead and count at {at}; the first is line {refused.first_ahead:,}"
            )
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in refused.by_reason.most_common())
        after = f" after the first {before:,}" if before else ""
        took = f"{self.took_s:.1f} s, {self.rate}"
        self.say(f"{self.hits:,} of {self.rows:,} rows{after} {verb}, refused: {left_out or 'none'}; {took}")

    def done(self, block: Block) -> None:
        rows, read = block.rows, block.read
        self.rows += rows
        self.hits += block.hits
        self._bar.update(self._task, completed=read, description=f"{self.rows:,} rows, {self.rate}")
        if not self._console.is_terminal and time.monotonic() > self._line_at:
            self._line_at = time.monotonic() + PLAIN_LINE_S
            self.say(f"{self.rows:,} rows, {100 * read // self._size} %, {self.rate}")


@dataclass(frozen=True)
class Job:
    """A file, its mapping, and where its rows go."""

    path: str
    mapping: RowMapping
    settings: Settings
    asked: Asked
    console: Console


def check_rows(job: Job, content: Content) -> int:
    """Counts nothing; the exit code."""
    at_ms = int(time.time() * 1000)
    stretch = Stretch(0, None, at_ms, job.asked.block_hits, (("", 1, ""),))
    with Shown(job.console, content.size) as shown:
        refused = Refused(shown.say)
        for block in blocks(job.path, content.size, content.form, job.mapping, [stretch], job.settings, refused):
            shown.done(block)
        shown.sum_up("would be counted", refused, at_ms)
    return 1 if refused.by_reason else 0


class Importing:
    """Does what next_step says, until there is nothing left to do."""

    def __init__(self, job: Job, store: Store, to: ToStore | ToBroker):
        self._job, self._store, self._to = job, store, to

    def run(self, content: Content) -> int:
        """The exit code; raises Declined, SetupError, Unavailable."""
        job, code, is_done = self._job, 0, False
        asked = job.asked
        while True:
            kept = self._store.imports(ACCOUNT)
            records = {name: record_of(each.text) for name, each in kept.items()}
            sizes = sizes_of(records)
            if not {size for size in sizes if size <= content.size} <= {content.end[0], *content.asked}:
                content = scan(job.path, job.mapping, sizes)
            resets = self._store.last_resets(ACCOUNT)
            step = next_step(
                asked,
                content,
                records,
                publisher_of(content, job.mapping, asked.block_hits),
                lambda counted: self._covered(counted, content, resets),  # noqa: B023  # used at once
                lambda counted: partly(job.mapping, counted, resets),  # noqa: B023
                max(int(time.time() * 1000), newest_reset(job.mapping, resets)),
            )
            if step.says and is_done:
                return code
            begun = step.record.begun
            is_new = step.record != records.get(step.name, Record())
            if is_new and begun and begun.undo:
                self._check_undo(step.record, begun, content, resets)
            elif is_new and begun and step.record.first == begun.counted.parts[-1].publisher:
                step = self._known_before(step, begun)
            if is_new and not self._keep(step.name, kept.get(step.name), step.record):
                continue
            if step.says or not begun:
                self._say(f"{step.name}: {step.says}")
                return code
            code = max(code, self._do(step.name, content))
            if asked.undo:
                return code
            asked, is_done = replace(asked, again=False), True

    def _say(self, text: str) -> None:
        say(self._job.console, text)

    def _keep(self, name: str, seen: Defined | None, record: Record) -> bool:
        revision = seen.revision if seen else 0
        new = Defined(revision + 1, text_of(record))
        try:
            return self._store.keep_import(ACCOUNT, name, revision, new) == new
        except CallerError as error:
            raise SetupError(str(error)) from None

    def _record(self, name: str) -> tuple[Defined | None, Record]:
        kept = self._store.imports(ACCOUNT).get(name)
        return kept, record_of(kept.text) if kept else Record()

    def _covered(self, counted: Counted, content: Content, resets: Resets) -> int:
        """When the first names of all pks of these rows were reset, the last time; 0 where one of them was not, since then."""
        at_ms = max(part.at_ms for part in counted.parts)
        tops = {pk[0]: ms for (pk, path), ms in resets.items() if path is None and len(pk) == 1 and ms > at_ms}
        if not tops:
            return 0
        first = self._job.mapping.pk[0]
        names = self._tops(counted, content) if first.is_column else [first.text]
        return max(tops.values()) if all(name in tops for name in names) else 0

    def _tops(self, counted: Counted, content: Content) -> Iterator[str]:
        job = self._job
        maker = HitMaker(job.mapping, list(job.mapping.columns), job.settings, counted.at_ms / 1000)
        with unpacked(job.path) as (_, stream):
            for _, row in rows_of(job.path, Portion(stream, counted.size), content.form, job.mapping, job.settings):
                if not isinstance(row, Exception):
                    with suppress(HitError):
                        yield maker.pk(row)[0]

    def _known_before(self, step: Step, begun: Unfinished) -> Step:
        """The same step, of an import that a version before has begun: nobody knows when it did."""
        publisher = begun.counted.parts[-1].publisher
        if not any(self._store.seen(ACCOUNT, (publisher, seq)) for seq in range(FIRST_BLOCKS)):
            return step
        counted = msgspec.structs.replace(begun.counted, is_exact=False)
        begun = msgspec.structs.replace(begun, counted=counted)
        return replace(step, record=msgspec.structs.replace(step.record, begun=begun))

    def _check_undo(self, record: Record, begun: Unfinished, content: Content, resets: Resets) -> None:
        """Raises Declined where the negative of each row would not be what it counted."""
        job, counted = self._job, begun.counted
        for name in job.mapping.metrics:
            if (kind := job.settings.kinds.get(name, SUM)) != SUM:
                raise Declined(f"metric {name} is of kind {kind}: only sums can be taken back")
        if not counted.is_exact:
            raise Declined(
                f"{counted.file} was begun by a version that did not note when, or came in more than {MOST_PARTS} parts: "
                "it cannot be taken back"
            )
        old = [
            ms
            for (pk, path), ms in resets.items()
            if touches(job.mapping, pk, path)
            and counted.parts[0].at_ms < ms < (time.time() - RESET_KEPT_S + DAY) * 1000
        ]
        if old:
            raise Declined(f"a part of it was reset {when(max(old))}, too long ago to know of which rows")
        if job.mapping.id:
            if not begun.is_whole:
                raise Declined("its rows have ids, and not all were counted: run it without --undo first")
            self._check_ids(counted)
        if begun.is_whole:
            refused = Refused(lambda _: None)
            for _ in blocks(
                job.path, counted.size, content.form, job.mapping, stretches_of(begun), job.settings, refused
            ):
                pass
            if (now := refused.by_reason.total()) != counted.refused:
                raise Declined(
                    f"{counted.refused:,} of its rows were refused, now {now:,} would be: "
                    "set the limits back to what they were (docs/settings.md)"
                )

    def _check_ids(self, counted: Counted) -> None:
        """That each hit counted, though it had an id."""
        known = {row.publisher: sum(row.dropped.values()) for row in self._store.audit(ACCOUNT)}
        for part in counted.parts:
            dropped = known.get(part.publisher, UNKNOWN) if part.dropped == UNKNOWN else part.dropped
            if dropped:
                many = "it is not known any more how many" if dropped == UNKNOWN else f"{dropped:,}"
                raise Declined(f"its rows have ids, and some did not count ({many}): which ones is not known")

    def _do(self, name: str, content: Content) -> int:
        """What is begun under a name; the exit code."""
        job, to = self._job, self._to
        kept, record = self._record(name)
        begun = record.begun
        if not begun:  # another process has done it meanwhile
            return 0
        counted, known = begun.counted, to.known
        before = counted.parts[-2].rows if len(counted.parts) > 1 and not begun.undo else 0
        with Shown(job.console, counted.size) as shown:
            refused = Refused(shown.say)
            self._send(begun, content, shown, refused)
            part = counted.parts[-1]
            dropped = self._dropped(part) if job.mapping.id and not begun.undo else UNKNOWN
            resets = self._store.last_resets(ACCOUNT)
            is_apart = len(counted.parts) > 1 and any(
                touches(job.mapping, pk, path) and counted.parts[-2].at_ms < ms <= part.at_ms
                for (pk, path), ms in resets.items()
            )
            rows, bad = before + shown.rows, refused.by_reason.total()
            while record.begun == begun:
                if self._keep(name, kept, finished(record, rows, bad, refused.ahead > 0, dropped, is_apart)):
                    break
                kept, record = self._record(name)
            else:
                if record.begun:
                    raise Declined(f"{name}: another process undoes it")
            verb = "taken back" if begun.undo else to.verb
            more = f" ({to.known - known:,} of them before)" if to.known > known and not begun.undo else ""
            more += f", {dropped:,} of them dropped" if dropped > 0 else ""
            shown.sum_up(verb + more, refused, part.at_ms, before)
            if not begun.undo and (reset_ms := self._covered(counted, content, resets)):
                raise Declined(f"all of it was reset {when(reset_ms)}, while it was counted: run it again to count it")
        return 1 if bad and not begun.undo else 0

    def _send(self, begun: Unfinished, content: Content, shown: "Shown", refused: Refused) -> None:
        job, to = self._job, self._to
        counted, stopped, now = begun.counted, threading.Event(), time.time()
        stretches = stretches_of(begun)
        with ThreadPoolExecutor(1) as pool:
            under_way: Future[None] | None = None
            bodies: list[bytes] = []
            waiting = 0

            def hand_on() -> None:  # the next blocks are read while these are applied
                nonlocal under_way, bodies, waiting
                if under_way:
                    under_way.result()
                under_way = pool.submit(put_patiently, to, bodies, now, stopped) if bodies else None
                bodies, waiting = [], 0

            try:
                for block in blocks(
                    job.path, counted.size, content.form, job.mapping, stretches, job.settings, refused, counted.digest
                ):
                    size = sum(map(len, block.bodies))
                    if bodies and (
                        waiting + block.rows > job.settings.apply_max_hits
                        or sum(map(len, bodies)) + size > WAITING_BYTES
                    ):
                        hand_on()
                    bodies += block.bodies
                    waiting += block.rows
                    shown.done(block)
                hand_on()
                hand_on()
            finally:
                stopped.set()

    def _dropped(self, part: Part) -> int:
        """Hits of a part that did not count; UNKNOWN where that is not known yet."""
        if isinstance(self._to, ToBroker):
            return UNKNOWN
        rows = [row for row in self._store.audit(ACCOUNT) if row.publisher == part.publisher]
        return sum(sum(row.dropped.values()) for row in rows)


def partly(mapping: RowMapping, counted: Counted, resets: Resets) -> str:
    """What to add where a part of it was reset since."""
    since = [(ms, pk, path) for (pk, path), ms in resets.items() if ms > counted.parts[0].at_ms]
    some = [(ms, pk, path) for ms, pk, path in since if touches(mapping, pk, path)]
    if not some:
        return ""
    at_ms, pk, path = max(some, key=itemgetter(0))
    first = mapping.pk[0]
    tops = "all their pks" if first.is_column else json.dumps(first.text, ensure_ascii=False)
    what = json.dumps(pk if path is None else [*pk, list(path)], ensure_ascii=False)
    return (
        f"; {what} was reset {when(at_ms)}, which took a part of them: "
        f"after a reset of {tops} they count anew, and --again counts all of them once more"
    )


def import_file(job: Job, dry_run: bool) -> int:
    """The exit code; raises Declined, SetupError, Unavailable."""
    content = scan(job.path, job.mapping)
    if content.form == "ndjson":
        check_keys_exist(job.path, content, job.mapping, job.settings)
    if dry_run:
        return check_rows(job, content)
    settings = job.settings
    to = ToBroker(settings) if settings.broker_url else None
    with closing(to) if to else nullcontext():
        url = settings.redis_url or redis_url_of(settings.data_dir)
        store = connect(settings.replace(redis_url=url))
        return Importing(job, store, to or ToStore(store, settings)).run(content)


@click.command("import", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.Path())
@click.option("--mapping", "mapping_file", metavar="M.toml", required=True, help="How a row becomes a hit.")
@click.option("--dry-run", is_flag=True, help="Check every row, count nothing.")
@click.option("--again", is_flag=True, help="Count all rows once more, whatever was counted before.")
@click.option("--undo", is_flag=True, help="Take back what this file and mapping have counted.")
@click.option("--name", metavar="NAME", help="The import's name, to keep it apart from others; by itself the file's.")
@click.option(
    "--block-hits",
    type=click.IntRange(1, 10_000),
    default=BLOCK_HITS,
    show_default=True,
    help="Rows in a message.",
)
def main(
    file: str, mapping_file: str, dry_run: bool, again: bool, undo: bool, name: str | None, block_hits: int
) -> None:
    """Count each row of a CSV or NDJSON file, plain, .gz or .zip. Running it again counts nothing twice.

    Of a file that has grown the new rows count. After a reset of all that it counted, it counts again.

    examples/flights.toml shows what a mapping says.
    """
    if again and undo:
        raise click.UsageError("--again and --undo exclude each other")
    if dry_run and (again or undo):
        raise click.UsageError("--dry-run only checks rows: leave out --again or --undo")
    settings = load(os.environ)
    mapping = load_mapping(mapping_file, settings)
    if name is not None:
        check_name(name, settings)
    asked = Asked(
        meaning_of(mapping, settings), os.path.basename(visible(mapping_file)), block_hits, name, again=again, undo=undo
    )
    console = Console(stderr=True)
    try:
        sys.exit(import_file(Job(file, mapping, settings, asked, console), dry_run))
    except Declined as error:
        say(console, str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        say(console, f"stopped; {AGAIN}")
        sys.exit(130)


def check_name(name: str, settings: Settings) -> None:
    """Raises SetupError."""
    try:
        name_of(name, "--name", settings, Reason.BAD_ID)
    except HitError as error:
        raise SetupError(str(error)) from None

"""Files in: `hailwhale import FILE --mapping M.toml` counts each row of a CSV or NDJSON file, plain, .gz or .zip.

Promise: however often an import is run, killed and run again, each row counts once. Rows are packed into blocks by
their number; a block is a message whose publisher is a hash of what the file says, of the mapping and of --block-hits,
and whose seq is the number of the block; its name is remembered for ever. So a changed file or mapping is another
import, and counts anew.

With HAILWHALE_BROKER_URL blocks go to RabbitMQ and its workers, else straight to the store.
Exit codes: 0 all rows are counted, 1 some were refused, 2 it could not start or go on.
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import IO, Any, NamedTuple

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from hail.hit import HitError, Reason
from hail.message import ACCOUNT, decode_message, encode_message
from hail.publish import Broker
from hail.settings import Settings, load
from whale.count.apply import Applier
from whale.count.hailwail import Ship
from whale.count.mapping import HitMaker, Row, RowMapping, load_mapping
from whale.embedded import redis_url_of
from whale.errors import SetupError, Unavailable, visible
from whale.store import connect

BLOCK_HITS = 2000
READ_BYTES = 1 << 20
BAD_ROW = "bad_row"
MOST_SHOWN = 20
PATIENCE_S = 300.0
BACKOFF_S = (0.1, 2.0)
PLAIN_LINE_S = 5.0
AGAIN = "run the same command again to go on: nothing counts twice"


class BadRow(Exception):
    """A row that cannot be read."""


Rows = Iterator[tuple[int, Row | Exception]]
"""Line numbers and rows, or what is wrong with them."""
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


# The file


class Content(NamedTuple):
    """What a file holds once it is unpacked. digest: of its bytes; size: bytes."""

    digest: str
    size: int
    format: str


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


def scan(path: str, mapping: RowMapping) -> Content:
    """Reads all of the file once, so that nothing is counted of one that is cut short or in another encoding."""
    state, size, lines = hashlib.blake2b(), 0, 1
    decoder = codecs.getincrementaldecoder(mapping.encoding)()
    head = ""
    with unpacked(path) as (name, stream):
        while True:
            part = stream.read(READ_BYTES)
            if not size:
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
            if not part:
                break
            head = head or text.lstrip()[:1000]
            state.update(part)
            size, lines = size + len(part), lines + part.count(b"\n")
    if not head:
        raise SetupError(f"{path}: is empty")
    by_name = {"csv": "csv", "tsv": "csv", "ndjson": "ndjson", "jsonl": "ndjson", "json": "ndjson"}
    named = mapping.format or by_name.get(name.rpartition(".")[2].lower())
    if named != "csv" and head[0] == "[" and (named or head[1:].lstrip()[:1] in ("{", "[", "]")):
        raise SetupError(
            f"{path}: is one JSON array: write each of its values on a line of its own, as `jq -c '.[]'` does"
        )
    return Content(state.hexdigest(), size, named or ("ndjson" if head[0] == "{" else "csv"))


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
    """Some rows as a message; body is None when no row of it made a hit. read: bytes of the file up to its end."""

    body: bytes | None
    rows: int
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
    path: str, content: Content, mapping: RowMapping, block_hits: int, settings: Settings, now: float, refused: Refused
) -> Iterator[Block]:
    """The whole file. A block is `block_hits` rows, whether they make hits or not, so that its name stays its own."""
    publisher = publisher_of(content, mapping, block_hits)
    maker = HitMaker(mapping, list(mapping.columns), settings, now)
    total = seq = rows = 0
    hits: list[bytes] = []

    def block() -> Block:
        body = encode_message(publisher, seq, ACCOUNT, total, int(now * 1000), hits, lasting=True) if hits else None
        return Block(body, rows, portion.done)

    with unpacked(path) as (_, stream):
        portion = Portion(stream, content.size)
        for line, row in rows_of(path, portion, content.format, mapping, settings):
            rows += 1
            try:
                if isinstance(row, Exception):
                    raise row
                hits.append(maker.wire(row))
                total += 1
                if maker.is_ahead:
                    refused.landed_on_now(line)
            except (HitError, BadRow) as error:
                refused.add(path, line, error)
            if rows == block_hits:
                yield block()
                seq, rows, hits = seq + 1, 0, []
        if rows:
            yield block()


# Where they go


class ToStore:
    """Straight to the store, several blocks in one apply."""

    verb = "counted"

    def __init__(self, settings: Settings):
        settings = settings.replace(redis_url=settings.redis_url or redis_url_of(settings.data_dir))
        self._store = connect(settings)
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


class Shown:
    """How far it is: a bar on a terminal, else a line now and then."""

    def __init__(self, console: Console, size: int):
        self.rows = 0
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
        self._console.print(f"import: {visible(text)}", markup=False, highlight=False, soft_wrap=True)

    def done(self, rows: int, read: int) -> None:
        self.rows += rows
        self._bar.update(self._task, completed=read, description=f"{self.rows:,} rows, {self.rate}")
        if not self._console.is_terminal and time.monotonic() > self._line_at:
            self._line_at = time.monotonic() + PLAIN_LINE_S
            self.say(f"{self.rows:,} rows, {100 * read // self._size} %, {self.rate}")


def import_file(
    path: str, mapping: RowMapping, settings: Settings, block_hits: int, dry_run: bool, console: Console
) -> int:
    """The exit code; raises SetupError, Unavailable."""
    content = scan(path, mapping)
    if content.format == "ndjson":
        check_keys_exist(path, content, mapping, settings)
    to: ToStore | ToBroker | None = None
    if not dry_run:
        to = ToBroker(settings) if settings.broker_url else ToStore(settings)
    now, stopped = time.time(), threading.Event()
    with closing(to) if to else nullcontext(), Shown(console, content.size) as shown, ThreadPoolExecutor(1) as pool:
        refused = Refused(shown.say)
        under_way: Future[None] | None = None
        bodies: list[bytes] = []
        waiting = 0

        def hand_on() -> None:  # the next blocks are read while these are applied
            nonlocal under_way, bodies, waiting
            if under_way:
                under_way.result()
            under_way = pool.submit(put_patiently, to, bodies, now, stopped) if to and bodies else None
            bodies, waiting = [], 0

        try:
            for block in blocks(path, content, mapping, block_hits, settings, now, refused):
                if waiting + block_hits > settings.apply_max_hits:
                    hand_on()
                if block.body:
                    bodies.append(block.body)
                    waiting += block_hits
                shown.done(block.rows, block.read)
            hand_on()
            hand_on()
        finally:
            stopped.set()
        hits = shown.rows - refused.by_reason.total()
    verb = to.verb if to else "would be counted"
    known = f" ({to.known:,} of them before)" if to and to.known else ""
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in refused.by_reason.most_common())
    if refused.ahead:
        when = datetime.fromtimestamp(now).astimezone().isoformat(" ", "seconds")
        shown.say(
            f"{refused.ahead:,} rows are dated ahead and count at {when}; the first is line {refused.first_ahead:,}"
        )
    took = f"{shown.took_s:.1f} s, {shown.rate}"
    shown.say(f"{hits:,} of {shown.rows:,} rows {verb}{known}, refused: {left_out or 'none'}; {took}")
    return 1 if refused.by_reason else 0


@click.command("import", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.Path())
@click.option("--mapping", "mapping_file", metavar="M.toml", required=True, help="How a row becomes a hit.")
@click.option("--dry-run", is_flag=True, help="Check every row, count nothing.")
@click.option(
    "--block-hits",
    type=click.IntRange(1, 10_000),
    default=BLOCK_HITS,
    show_default=True,
    help="Rows in a message; a part of the import's name: keep it when you run again.",
)
def main(file: str, mapping_file: str, dry_run: bool, block_hits: int) -> None:
    """Count each row of a CSV or NDJSON file, plain, .gz or .zip. Running it again counts nothing twice.

    examples/flights.toml shows what a mapping says.
    """
    settings = load(os.environ)
    mapping = load_mapping(mapping_file, settings)
    try:
        sys.exit(import_file(file, mapping, settings, block_hits, dry_run, Console(stderr=True)))
    except KeyboardInterrupt:
        click.echo(f"import: stopped; {AGAIN}", err=True)
        sys.exit(130)

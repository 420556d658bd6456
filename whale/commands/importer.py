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

import hashlib
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import NamedTuple, Protocol

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from hail.broker import Broker, away
from hail.hit import HitError, Reason, name_of
from hail.message import ACCOUNT, VERSION, Message, decode_message, encode_message
from hail.settings import DAY, PREFIX, SUM, Settings, load
from whale.commands.imports import (
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
    left,
    newest_reset,
    next_step,
    record_of,
    sizes_of,
    stretches_of,
    text_of,
    touches,
    undone,
    when,
)
from whale.commands.mapping import HitMaker, Row, RowMapping, load_mapping, meaning_of
from whale.commands.rows import BAD_ROW, BadRow, CutOff, NoRows, Portion, check_columns, rows_of, scan, unpacked
from whale.count.apply import Applier, CountingStore
from whale.count.hailwail import Ship
from whale.errors import CallerError, SetupError, Unavailable, visible
from whale.options import WholeNumber
from whale.store import connect, with_redis
from whale.store.contract.changes import RESET_KEPT_S
from whale.store.contract.definitions import Defined
from whale.store.contract.imports import Imports, too_many_imports
from whale.store.contract.server import Server
from whale.store.contract.tallies import Tallies
from whale.store.memory import MemoryStore

BLOCK_HITS = 2000
MOST_SHOWN = 20
PATIENCE_S = 300.0
BACKOFF_S = (0.1, 2.0)
PLAIN_LINE_S = 5.0
AGAIN = "run it again (without --again) to go on: nothing counts twice"
WAITING_BYTES = 16_000_000
FIRST_BLOCKS = 100  # of an import, in which one has hits


# Blocks


class Block(NamedTuple):
    """Some rows as messages; none when no row of it made a hit. read: bytes of the file up to its end."""

    bodies: tuple[bytes, ...]
    rows: int
    hits: int
    read: int


@dataclass
class Refused:
    """Rows that were left out: each reported, up to MOST_SHOWN, and counted by reason; and those that were dated ahead.

    last_is_cut: the last row of the file is one of them, and may be whole the next time.
    """

    say: Callable[[str], None]
    by_reason: Counter[str] = field(default_factory=Counter)
    ahead: int = 0
    first_ahead: int = 0
    last_is_cut: bool = False

    def landed_on_now(self, line: int) -> None:
        """Of a row that counts, but not at its own time, since that was ahead."""
        self.ahead += 1
        self.first_ahead = self.first_ahead or line

    def add(self, path: str, line: int, error: Exception) -> None:
        reason = str(error.reason) if isinstance(error, HitError) else BAD_ROW
        self.by_reason[reason] += 1
        self.last_is_cut = isinstance(error, CutOff)
        if (so_far := self.by_reason.total()) <= MOST_SHOWN:
            self.say(f"{path}:{line}: {reason}: {error}")
        if so_far == MOST_SHOWN:
            self.say("further refused rows are only counted")


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
            raise SetupError(f"{path}: changed while it was read: restore it, and {AGAIN}")


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


class BlocksStore(CountingStore, Tallies, Server, Protocol):
    """All that an import counts into."""


class ToStore:
    """Straight to the store, several blocks in one apply."""

    verb = "counted"

    def __init__(self, store: BlocksStore, settings: Settings):
        self._store, self._keeps_log = store, settings.visitor_log
        self._applier = Applier(self._store, settings)
        self.known = 0

    def put(self, bodies: Sequence[bytes], now: float) -> None:
        messages = [decode_message(body) for body in bodies]
        known = known_of(self._store, messages)
        names = {message.name for message in known}
        if self._store.shards == 1 and not self._keeps_log:  # else another shard, or the log, may still be due
            messages = [message for message in messages if message.name not in names]
        self._applier.apply(messages, now)
        self.known += sum(len(message.hits) for message in known)

    def close(self) -> None:
        pass


def known_of(store: Tallies, messages: Sequence[Message]) -> list[Message]:
    """Those that were counted before."""
    return [message for message in messages if store.seen(message.mark)]


class ToBroker:
    """To RabbitMQ, with confirms; while its queue is full, `put` raises Unavailable."""

    verb = "handed to RabbitMQ"
    known = 0

    def __init__(self, settings: Settings):
        """Raises Unavailable."""
        try:
            Broker(settings).close()
        except Exception as error:  # py-amqp raises nearly anything
            raise Unavailable(away(error, settings)) from None
        self._ship = Ship(settings)

    def put(self, bodies: Sequence[bytes], now: float) -> None:
        self._ship.put(list(bodies))

    def close(self) -> None:
        self._ship.close()


class ToNobody:
    """Nowhere: what would be counted. store: that knows what was counted before, if any does."""

    verb = "would be counted"

    def __init__(self, store: Tallies | None = None):
        self._store = store
        self.known = 0

    def put(self, bodies: Sequence[bytes], now: float) -> None:
        if self._store:
            known = known_of(self._store, [decode_message(body) for body in bodies])
            self.known += sum(len(message.hits) for message in known)

    def close(self) -> None:
        pass


class ImportStore(Imports, Tallies, Protocol):
    """All that an import knows of what was imported."""


class Rehearsed:
    """One that is only read: what is to be remembered of imports is remembered here."""

    def __init__(self, store: ImportStore, settings: Settings):
        self.seen, self.last_resets, self.audit = store.seen, store.last_resets, store.audit
        self._store, self._most = store, settings.max_imports
        self._kept: dict[str, Defined] = {}

    def imports(self, account: str) -> dict[str, Defined]:
        return {**self._store.imports(account), **self._kept}

    def keep_import(self, account: str, name: str, seen: int, new: Defined) -> Defined:
        if not seen and len(self.imports(account)) >= self._most:
            raise too_many_imports(self._most)
        self._kept[name] = new
        return new


def put_patiently(
    to: ToStore | ToBroker | ToNobody,
    bodies: Sequence[bytes],
    now: float,
    stopped: threading.Event,
    say: Callable[[str], None],
) -> None:
    """Tries again with backoff while the other side is away or full; raises Unavailable after PATIENCE_S, or stopped.

    say: is told why it waits, when it begins to.
    """
    deadline, pause = time.monotonic() + PATIENCE_S, BACKOFF_S[0]
    while True:
        try:
            to.put(bodies, now)
            return
        except Unavailable as error:
            if pause == BACKOFF_S[0]:
                say(f"waiting: {error}")
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

    def sum_up(self, verb: str, refused: "Refused", dropped: Counter[str], at_ms: int, before: int = 0) -> None:
        """dropped: hits, by reason.  before: rows that were there before those that were read now."""
        if refused.ahead:
            at = datetime.fromtimestamp(at_ms / 1000).astimezone().isoformat(" ", "seconds")
            self.say(
                f"{refused.ahead:,} rows have a time in the future and count at {at}; the first is line {refused.first_ahead:,}"
            )
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in refused.by_reason.most_common())
        first = f"{before:,} {'row was' if before == 1 else 'rows were'} imported before; " if before else ""
        new = "new " if before else ""
        count = self.hits - dropped.total()
        verb += "".join(f", {many:,} dropped as {reason}" for reason, many in dropped.most_common())
        took = f"{self.took_s:.1f} s, {self.rate}"
        self.say(f"{first}{count:,} of {self.rows:,} {new}rows {verb}, refused: {left_out or 'none'}; {took}")

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


class Importing:
    """Does what next_step says, until there is nothing left to do."""

    def __init__(self, job: Job, store: ImportStore, to: ToStore | ToBroker | ToNobody):
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
                partial(self._covered, content=content, resets=resets),
                partial(partly, job.mapping, resets=resets),
                max(int(time.time() * 1000), newest_reset(job.mapping, resets)),
            )
            if step.says and is_done:
                return code
            begun = step.record.begun
            old = records.get(step.name, Record())
            is_new = step.record != old
            if begun:
                self._check_columns(step.name, kept.get(step.name), old, content)
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

    def _check_columns(self, name: str, kept: Defined | None, old: Record, content: Content) -> None:
        """Raises SetupError where the mapping cannot read the file: before anything is begun.

        Versions before checked it later. An import that they began so sent nothing, and gives its name free.
        """
        job, begun = self._job, old.begun
        try:
            check_columns(job.path, content, job.mapping, job.settings)
        except NoRows as error:
            if not begun or begun.counted.file != content.name:  # a name says which form the file has
                raise
            if not self._keep(name, kept, msgspec.structs.replace(old, begun=None)):
                raise
            raise SetupError(f"{error}; the import that was begun so has counted nothing and is forgotten") from None

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
        with suppress(NoRows), unpacked(job.path) as (_, stream):
            for _, row in rows_of(job.path, Portion(stream, counted.size), content.form, job.mapping, job.settings):
                if not isinstance(row, Exception):
                    with suppress(HitError):
                        yield maker.pk(row)[0]

    def _known_before(self, step: Step, begun: Unfinished) -> Step:
        """The same step, of an import that a version before has begun: nobody knows when it did."""
        publisher = begun.counted.parts[-1].publisher
        if not any(self._store.seen((ACCOUNT, publisher, seq)) for seq in range(FIRST_BLOCKS)):
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
        if job.mapping.is_of_visitors and job.settings.visitor_log:
            raise Declined("its rows may be logged as events of visitors: only counts can be taken back")
        if not counted.is_exact:
            raise Declined(
                f"{counted.file} was imported by an older version that noted no time, or in more than {MOST_PARTS} parts: "
                "it cannot be taken back"
            )
        old = [
            ms
            for (pk, path), ms in resets.items()
            if touches(job.mapping, pk, path)
            and counted.parts[0].at_ms < ms < (time.time() - RESET_KEPT_S + DAY) * 1000
        ]
        if old:
            raise Declined(f"a part of it was reset {when(max(old))}, too long ago to know which rows it had")
        if job.mapping.id:
            if not begun.is_whole:
                raise Declined("its rows have ids, and some are not counted yet: run the import without --undo first")
            self._check_ids(counted)
        if begun.is_whole:
            refused = Refused(lambda _: None)
            for _ in blocks(
                job.path, counted.size, content.form, job.mapping, stretches_of(begun), job.settings, refused
            ):
                pass
            if (now := refused.by_reason.total() - refused.last_is_cut) != counted.refused:
                raise Declined(
                    f"{counted.refused:,} of its rows were refused, but the present limits refuse {now:,}: "
                    "restore the limits of that import (docs/settings.md)"
                )

    def _check_ids(self, counted: Counted) -> None:
        """That each hit counted, though it had an id."""
        known = {row.publisher: sum(row.dropped.values()) for row in self._store.audit(ACCOUNT)}
        for part in counted.parts:
            dropped = known.get(part.publisher, UNKNOWN) if part.dropped == UNKNOWN else part.dropped
            if dropped:
                many = "the number is no longer known" if dropped == UNKNOWN else f"{dropped:,}"
                raise Declined(f"its rows have ids, and some did not count ({many}); HailWhale does not know which")

    def _do(self, name: str, content: Content) -> int:
        """What is begun under a name; the exit code."""
        job, to = self._job, self._to
        kept, record = self._record(name)
        begun = record.begun
        if not begun:  # another process has done it meanwhile
            return 0
        counted, known = begun.counted, to.known
        if begun.undo:
            self._say(f"{name}: {undone(record, begun)}")
        before = counted.parts[-2].rows if len(counted.parts) > 1 and not begun.undo else 0
        with Shown(job.console, counted.size) as shown:
            refused = Refused(shown.say)
            self._send(begun, content, shown, refused)
            part = counted.parts[-1]
            dropped = self._dropped(part) if job.mapping.id and not begun.undo else None
            many = UNKNOWN if dropped is None else dropped.total()
            resets = self._store.last_resets(ACCOUNT)
            is_apart = len(counted.parts) > 1 and any(
                touches(job.mapping, pk, path) and counted.parts[-2].at_ms < ms <= part.at_ms
                for (pk, path), ms in resets.items()
            )
            bad, cut = refused.by_reason.total(), int(refused.last_is_cut)
            rows, known_bad = before + shown.rows - cut, bad - cut  # without a row that may be whole the next time
            while record.begun == begun:
                if self._keep(name, kept, finished(record, rows, known_bad, refused.ahead > 0, many, is_apart)):
                    break
                kept, record = self._record(name)
            else:
                if record.begun:
                    raise Declined(f"{name}: another process is undoing it")
            verb = "taken back" if begun.undo else to.verb
            still = left(self._record(name)[1]) if begun.undo else ""
            more = f" ({to.known - known:,} of them before)" if to.known > known and not (begun.undo or dropped) else ""
            shown.sum_up(verb + more, refused, dropped or Counter(), part.at_ms, before)
            if still:
                shown.say(f"{name}: {still}")
            if not begun.undo and (reset_ms := self._covered(counted, content, resets)):
                raise Declined(f"all of it was reset {when(reset_ms)}, during the import: run it again")
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
                under_way = pool.submit(put_patiently, to, bodies, now, stopped, shown.say) if bodies else None
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

    def _dropped(self, part: Part) -> Counter[str] | None:
        """Hits of a part that did not count, by reason; None where that is not known yet."""
        if isinstance(self._to, ToBroker):
            return None
        found = Counter[str]()
        for row in self._store.audit(ACCOUNT):
            if row.publisher == part.publisher:
                found.update(row.dropped)
        return found


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
        f"; {what} was reset {when(at_ms)}, which removed a part of them: "
        f"after a reset of {tops} they count again, and --again counts all of them once more"
    )


def rehearse(job: Job, content: Content) -> int:
    """Says what would be done, and does nothing; the exit code that it would have. Raises as import_file does.

    It needs no HailWhale: where none runs on this folder, nothing that was counted before is known, and it says so.
    """
    settings = job.settings
    try:
        found = with_redis(settings)
    except SetupError as error:
        say(job.console, f"earlier imports are not known, so all rows are treated as new: {error}")
        return Importing(job, MemoryStore(settings), ToNobody()).run(content)
    store = connect(found)
    return Importing(job, Rehearsed(store, settings), ToNobody(store)).run(content)


def import_file(job: Job, dry_run: bool) -> int:
    """The exit code; raises Declined, SetupError, Unavailable."""
    content, settings = scan(job.path, job.mapping), job.settings
    if dry_run:
        return rehearse(job, content)
    if settings.broker_url and job.mapping.properties and settings.message_version == VERSION:
        raise SetupError(f"properties need messages of version 2: set {PREFIX}MESSAGE_VERSION to 2")
    to = ToBroker(settings) if settings.broker_url else None
    with closing(to) if to else nullcontext():
        store = connect(with_redis(settings))
        return Importing(job, store, to or ToStore(store, settings)).run(content)


@click.command("import", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.Path())
@click.option(
    "--mapping",
    "mapping_file",
    metavar="M.toml",
    required=True,
    help="TOML file that maps columns to the fields of a hit.",
)
@click.option("--dry-run", is_flag=True, help="Check every row and show the result without counting.")
@click.option("--again", is_flag=True, help="Count all rows again, even if they were counted before.")
@click.option("--undo", is_flag=True, help="Subtract the counts of this file and mapping.")
@click.option("--name", metavar="NAME", help="Name of the import. Default: the name of the file.")
@click.option(
    "--block-hits",
    type=WholeNumber(1, 10_000),
    default=BLOCK_HITS,
    show_default=True,
    help="Rows per message.",
)
def main(
    file: str, mapping_file: str, dry_run: bool, again: bool, undo: bool, name: str | None, block_hits: int
) -> None:
    """Count each row of a CSV or NDJSON file, plain, .gz or .zip. Running it again counts nothing twice.

    If the file has grown, only its new rows count. If all its counts were reset, it counts again.

    examples/flights.toml is an example of a mapping.
    """
    if again and undo:
        raise click.UsageError("--again and --undo exclude each other")
    if dry_run and (again or undo):
        raise click.UsageError("--dry-run only checks rows: omit --again or --undo")
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

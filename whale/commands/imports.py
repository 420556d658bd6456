"""What an import was, and what is to be done now. Pure: records and the ends of a file in, a step out.

An import has a name, its file's unless it is given one, and the account keeps a record of it:

    Record   counted: what counts now, each entry a file's first rows under one mapping; begun: what is not finished
    Counted  file, mapping, size and digest of the rows, and the parts in which they came
    Part     rows up to which it goes, when it was accepted, under which publisher

A step is written into the record before its first message goes out, and taken out of it after its last one. So whoever
comes meanwhile, or after a kill, goes on under the same names, and each message counts once. `steps` makes the names of
a further step new: it counts those that were begun.

All messages of a part are accepted when it was begun, whenever they are sent: so a reset that comes after takes all of it, or
all of it in the pks and paths that it takes, and an undo, which is accepted at that same time, is left out where they are.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from whale.commands.mapping import RowMapping
from whale.dimension import Path, Pk

MOST_COUNTED = 100
MOST_PARTS = 100
UNKNOWN = -1

Resets = Mapping[tuple[Pk, Path | None], int]


class Declined(Exception):
    """What was asked is not done, and why: a sentence."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Rows that came together, up to row `rows`; UNKNOWN until all were read.

    tag: stands behind the ids of its hits, whose own ids are claimed by rows that do not count any more.
    is_ahead: some rows were dated ahead.  dropped: hits that did not count.
    """

    rows: int
    at_ms: int
    publisher: str
    block_hits: int
    tag: str = ""
    is_ahead: bool = False
    dropped: int = UNKNOWN


class Counted(msgspec.Struct, frozen=True, omit_defaults=True):
    """Rows of a file, its first `size` bytes. mapping: digest of what it means.  is_exact: the parts say how each row counted."""

    file: str
    mapping_file: str
    mapping: str
    size: int
    digest: str
    parts: tuple[Part, ...]
    refused: int = 0
    is_exact: bool = True

    @property
    def rows(self) -> int:
        return self.parts[-1].rows

    @property
    def at_ms(self) -> int:
        return self.parts[-1].at_ms


class Unfinished(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step that goes on. counted: as it is to be, or what is undone.  place: of the entry that it changes, or UNKNOWN.

    undo: the name of the undo.  is_whole: the undo is of something that was finished.
    """

    counted: Counted
    place: int = UNKNOWN
    undo: str = ""
    is_whole: bool = True


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """first: the publisher of its first step, where that is named by content alone.  undone: something was undone."""

    steps: int = 0
    counted: tuple[Counted, ...] = ()
    begun: Unfinished | None = None
    first: str = ""
    undone: bool = False


_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Record).decode


def text_of(record: Record) -> bytes:
    return _encode(record)


def record_of(text: bytes) -> Record:
    return _decode(text)


@dataclass(frozen=True)
class Content:
    """What a file holds once it is unpacked. digest: of its bytes; size: bytes; form: csv or ndjson.

    end: size and digest without the empty lines at the end.  name: of the file that is inside.
    ends: digests up to such sizes as were asked for, where a row ends there.
    """

    digest: str
    size: int
    form: str
    end: tuple[int, str]
    name: str
    asked: frozenset[int]
    ends: Mapping[int, str]

    def begins_with(self, counted: Counted) -> bool:
        return counted.digest == (self.end[1] if counted.size == self.end[0] else self.ends.get(counted.size))


@dataclass(frozen=True)
class Asked:
    """What the command says. name: None, the file's.  meaning: digest of what the mapping means, now."""

    meaning: str
    mapping_file: str
    block_hits: int
    name: str | None = None
    again: bool = False
    undo: bool = False


@dataclass(frozen=True)
class Step:
    """What is done next, under a name: the record becomes `record`, and what it has begun is done. says: if there is nothing to do."""

    name: str
    record: Record
    says: str = ""


class Stretch(NamedTuple):
    """Rows after the first `first`, up to `last` (None: to the end), which messages of some publishers carry.

    publishers: of each its name, 1 or -1, and the tag of its ids.
    """

    first: int
    last: int | None
    at_ms: int
    block_hits: int
    publishers: tuple[tuple[str, int, str], ...]


def stretches_of(begun: Unfinished) -> list[Stretch]:
    """What a step sends."""
    parts = begun.counted.parts
    firsts = [0, *(part.rows for part in parts[:-1])]
    found = []
    for number, (first, part) in enumerate(zip(firsts, parts, strict=True)):
        is_last = number == len(parts) - 1
        publishers: list[tuple[str, int, str]] = []
        if is_last and not (begun.undo and begun.is_whole):
            publishers.append((part.publisher, 1, part.tag))
        if begun.undo:
            publishers.append((_hash(begun.undo, number), -1, ""))
        if publishers:
            last = None if is_last else part.rows
            found.append(Stretch(first, last, part.at_ms, part.block_hits, tuple(publishers)))
    return found


def touches(mapping: RowMapping, pk: Pk, path: Path | None) -> bool:
    """Whether a reset may take something that rows of this mapping counted."""
    if len(pk) > len(mapping.pk):
        return False
    if any(not part.is_column and part.text != name for part, name in zip(mapping.pk, pk, strict=False)):
        return False
    return path is None or path[0] in mapping.dimensions


def newest_reset(mapping: RowMapping, resets: Resets) -> int:
    return max((at_ms for (pk, path), at_ms in resets.items() if touches(mapping, pk, path)), default=0)


def sizes_of(records: Mapping[str, Record]) -> set[int]:
    """Where a file is to be compared with what was counted."""
    return {counted.size for record in records.values() for counted in _all(record)}


def next_step(
    asked: Asked,
    content: Content,
    records: Mapping[str, Record],
    first: str,
    covered: Callable[[Counted], int],
    note: Callable[[Counted], str],
    at_ms: int,
) -> Step:
    """What is done next; raises Declined.

    first: the publisher that is named by the content alone, as the version before had it.
    covered: when something was reset of which all that was counted is gone; 0: it was not.
    note: what else there is to say of something that was counted.  at_ms: now.
    """
    name = asked.name or content.name
    if asked.name is None and not asked.again and not _all(records.get(name, Record())):
        name = _elsewhere(asked, content, records) or name
    record = records.get(name, Record())
    if record.begun:
        return _go_on(name, record, record.begun, asked, content, covered, at_ms)
    place = next(
        (
            i
            for i, counted in reversed([*enumerate(record.counted)])
            if counted.mapping == asked.meaning and content.begins_with(counted)
        ),
        UNKNOWN,
    )
    if asked.undo:
        return _undo(name, record, place, asked, content, covered)
    if asked.again or not record.counted:
        if len(record.counted) >= MOST_COUNTED:
            raise Declined(f"{name}: was imported {MOST_COUNTED} times, which is the limit: choose another --name")
        is_first = not record.steps and asked.name is None and not asked.again
        is_free = first not in {other.first for other in records.values()}
        return _begin(name, record, asked, content, at_ms, UNKNOWN, first if is_first and is_free else "")
    if place == UNKNOWN:
        raise Declined(f"{name}: {_why(record.counted[-1], asked, content)}")
    counted = record.counted[place]
    if covered(counted):
        return _begin(name, record, asked, content, at_ms, place, of=counted)
    if counted.size < content.end[0]:
        return _begin(name, record, asked, content, at_ms, place, after=counted)
    return Step(name, record, f"nothing to count: {_outcome(counted)} {_told(counted)}{note(counted)}")


def _outcome(counted: Counted) -> str:
    """How many of the rows counted, as far as it is known: of hits that a worker drops, it is not."""
    dropped = sum(part.dropped for part in counted.parts if part.dropped != UNKNOWN)
    others = [f"{many:,} {what}" for many, what in ((counted.refused, "refused"), (dropped, "dropped")) if many]
    if not others:
        return f"all {counted.rows:,} rows were counted"
    count = counted.rows - counted.refused - dropped
    return " and ".join([f"{count:,} of {counted.rows:,} rows were counted", *others]) + ","


def undone(record: Record, begun: Unfinished) -> str:
    """Which of the imports under a name an undo takes back."""
    if begun.place == UNKNOWN:
        return f"takes back the unfinished import: {_rows_of(begun.counted)}"
    return f"takes back import {begun.place + 1} of {len(record.counted)}: {_rows_of(begun.counted)}"


def left(record: Record) -> str:
    """What still counts under a name after an undo; empty where nothing does."""
    if not record.counted:
        return ""
    last = _rows_of(record.counted[-1])
    return (
        f"still counts: {last}"
        if len(record.counted) == 1
        else f"{len(record.counted)} imports still count, the last: {last}"
    )


def _rows_of(counted: Counted) -> str:
    rows = "rows" if counted.rows == UNKNOWN else f"{counted.rows:,} rows"
    return f"{rows} of {counted.file} that were counted {_told(counted)}"


def finished(record: Record, rows: int, refused: int, is_ahead: bool, dropped: int, is_apart: bool) -> Record:
    """The record once all was sent that is begun. rows: of the file; is_apart: the last part must not be joined with the one before."""
    begun = record.begun
    assert begun
    counted = list(record.counted)
    if begun.undo:
        if begun.place != UNKNOWN:
            del counted[begun.place]
        return msgspec.structs.replace(record, counted=tuple(counted), begun=None, undone=True)
    *parts, last = begun.counted.parts
    last = msgspec.structs.replace(last, rows=rows, is_ahead=is_ahead, dropped=dropped)
    joins = parts and not is_apart and not last.is_ahead and not parts[-1].is_ahead
    if parts and parts[-1].rows == rows:
        last = parts.pop()
    elif joins:
        before = parts.pop()
        known = UNKNOWN if UNKNOWN in (before.dropped, last.dropped) else before.dropped + last.dropped
        last = msgspec.structs.replace(last, dropped=known)
    is_exact = begun.counted.is_exact and len(parts) < MOST_PARTS
    entry = msgspec.structs.replace(
        begun.counted,
        parts=(*parts, last) if is_exact else (last,),
        refused=refused + (begun.counted.refused if len(begun.counted.parts) > 1 else 0),
        is_exact=is_exact,
    )
    if begun.place != UNKNOWN:
        counted[begun.place] = entry
    elif rows:
        counted.append(entry)
    return msgspec.structs.replace(record, counted=tuple(counted), begun=None)


def _begin(
    name: str,
    record: Record,
    asked: Asked,
    content: Content,
    at_ms: int,
    place: int,
    publisher: str = "",
    of: Counted | None = None,
    after: Counted | None = None,
) -> Step:
    """Counts the file; or only the rows of `of`, again; or those after `after`."""
    size, digest = (of.size, of.digest) if of else content.end
    steps = record.steps + 1
    publisher = publisher or _hash(name, steps, digest, asked.meaning)
    is_afresh = bool(of) or (record.undone and after is None)
    part = Part(UNKNOWN, at_ms, publisher, asked.block_hits, publisher if is_afresh else "")
    counted = Counted(
        content.name,
        asked.mapping_file,
        asked.meaning,
        size,
        digest,
        (*(after.parts if after else ()), part),
        after.refused if after else 0,
        after.is_exact if after else True,
    )
    is_first = not record.steps and publisher != _hash(name, steps, digest, asked.meaning)
    first = publisher if is_first else record.first
    return Step(name, Record(steps, record.counted, Unfinished(counted, place), first, record.undone))


def _go_on(
    name: str,
    record: Record,
    begun: Unfinished,
    asked: Asked,
    content: Content,
    covered: Callable[[Counted], int],
    at_ms: int,
) -> Step:
    counted = begun.counted
    if counted.mapping != asked.meaning or not content.begins_with(counted):
        what = "undo" if begun.undo else "import"
        raise Declined(
            f"{name}: an {what} of {counted.file} was started {_told(counted)} and is unfinished: run it again with that "
            "file and mapping, or choose another --name"
        )
    if begun.undo:
        if not asked.undo:
            raise Declined(f"{name}: an undo is unfinished: run it again with --undo")
        return Step(name, record)
    if asked.undo:
        return _begin_undo(name, record, begun.counted, begun.place, is_whole=False)
    if covered(counted):
        return _begin(name, record, asked, content, at_ms, begun.place, of=counted)
    return Step(name, record)


def _undo(
    name: str, record: Record, place: int, asked: Asked, content: Content, covered: Callable[[Counted], int]
) -> Step:
    if place == UNKNOWN:
        why = _why(record.counted[-1], asked, content) if record.counted else "nothing of it counts"
        raise Declined(f"{name}: there is nothing to undo: {why}")
    counted = record.counted[place]
    if reset_ms := covered(counted):
        left = record.counted[:place] + record.counted[place + 1 :]
        says = f"nothing to undo: all its counts were reset {when(reset_ms)}"
        return Step(name, msgspec.structs.replace(record, steps=record.steps + 1, counted=left, undone=True), says)
    return _begin_undo(name, record, counted, place, is_whole=True)


def _begin_undo(name: str, record: Record, counted: Counted, place: int, is_whole: bool) -> Step:
    steps = record.steps + 1
    undo = _hash(name, steps, "undo")
    return Step(name, msgspec.structs.replace(record, steps=steps, begun=Unfinished(counted, place, undo, is_whole)))


def _elsewhere(asked: Asked, content: Content, records: Mapping[str, Record]) -> str:
    """The name under which these rows were imported; "" where they were not. Raises Declined where only some of them were."""
    found = [
        (counted.size, counted.mapping == asked.meaning, name, counted)
        for name, record in records.items()
        for counted in _all(record)
        if content.begins_with(counted)
    ]
    if not found:
        return ""
    size, is_same, name, counted = max(found, key=lambda each: each[:3])
    if size == content.end[0] and is_same:
        return name
    if asked.undo:
        return ""
    go_on = f"; --name {name} goes on after them" if is_same else ""
    raise Declined(f"{content.name}: {_why(counted, asked, content)}{go_on}")


def _why(counted: Counted, asked: Asked, content: Content) -> str:
    """What was counted, why this is something else, and what to do."""
    rows = "rows" if counted.rows == UNKNOWN else f"{counted.rows:,} rows"
    is_same, has_them = counted.mapping == asked.meaning, content.begins_with(counted)
    if is_same and has_them:
        other = "they are the first rows of this file"
    elif has_them:
        other = "the mapping, HAILWHALE_KINDS or HAILWHALE_BANDS changed since"
    else:
        other = "the rows differ now" if is_same else "rows and mapping differ now"
    return (
        f"{rows} of {counted.file} were counted {_told(counted)}, and {other}: "
        "to count all rows of this file anyway, use --again or another --name"
    )


def _told(counted: Counted) -> str:
    return f"{when(counted.at_ms)} under {counted.mapping_file} ({counted.mapping[:8]})"


def when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("on %Y-%m-%d at %H:%M:%S UTC")


def _all(record: Record) -> Sequence[Counted]:
    return (*record.counted, *([record.begun.counted] if record.begun else ()))


def _hash(*parts: str | int) -> str:
    """The name of a publisher: 64 bits."""
    return hashlib.sha256(json.dumps(["import", *parts]).encode()).hexdigest()[:16]

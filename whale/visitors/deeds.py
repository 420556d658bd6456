"""What visitors did, and what that adds to a log, in columns: the fast form of entries.py, which says by rows what each record means.

    columns of a message ── entry_in_columns ──► Columns ── Events.add_to_log

`entry_of` is the definition. Here the same comes of few operations on all hits of a message, each visitor is hashed once, and no hit
has an object of its own. tests/unit/test_deeds.py compares the two.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hail.message import Mark
from whale.sums import Ints
from whale.visitors.entries import (
    DAY_MS,
    EVENT,
    EVENT_PROPERTY,
    MOST_ID_BYTES,
    PROPERTY,
    TICKS_A_MS,
    TOO_OLD,
    Done,
    Entry,
    Hasher,
    Name,
    Record,
    SiteLog,
    Visitor,
    raw_id,
    ticks_of,
)
from whale.visitors.identity import Alias

MOST_SHIFTED = 2**62
_NONE = np.zeros(0, np.int64)

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Deeds:
    """Hits of one message that belong in one log, as columns of `Done`: each has a visitor, and an event or properties.

    properties, subs, are_daily: of every hit, or nothing where no hit has some.
    """

    visitors: Sequence[str]
    at_ms: Ints
    events: Sequence[str]
    properties: Sequence[Mapping[str, str] | None] = ()
    subs: Ints = field(default_factory=lambda: _NONE)
    are_daily: NDArray[np.bool_] = field(default_factory=lambda: _NONE.astype(bool))

    @classmethod
    def of(cls, hits: Iterable[Done]) -> "Deeds":
        """Without hits that have no visitor, or say nothing."""
        said = [hit for hit in hits if hit.visitor and (hit.event or hit.properties)]
        count = len(said)
        return cls(
            [hit.visitor for hit in said],
            np.fromiter((hit.at_ms for hit in said), np.int64, count),
            [hit.event for hit in said],
            [hit.properties for hit in said],
            np.fromiter((hit.sub for hit in said), np.int64, count),
            np.fromiter((hit.is_daily for hit in said), bool, count),
        )

    def __len__(self) -> int:
        return len(self.visitors)

    @cached_property
    def people(self) -> tuple[list[str], Ints]:
        """Each visitor once, as they come; and of each hit whose it is."""
        return numbered_as_they_come(self.visitors)

    @property
    def rows(self) -> list[Done]:
        """The same in the form that is easy to read."""
        count = len(self)
        properties = self.properties or [None] * count
        subs, are_daily = self.subs.tolist() or [0] * count, self.are_daily.tolist() or [False] * count
        columns = (self.visitors, self.at_ms.tolist(), self.events, properties, subs, are_daily)
        return list(map(Done, *columns))


@dataclass(frozen=True, eq=False)
class Columns:
    """An Entry in columns. hashes, ids, hits, are_daily: of each visitor.  dropped: reason -> hits of each visitor.

    who, ticks, what: of each record its visitor and its name by their places.
    """

    log: SiteLog
    mark: Mark
    at_ms: int
    hashes: Sequence[bytes]
    ids: Sequence[bytes]
    hits: Ints
    dropped: Mapping[str, Ints]
    are_daily: NDArray[np.bool_]
    names: Sequence[tuple[str, str, str]]
    who: Ints
    ticks: Ints
    what: Ints
    kept_s: float | None

    @classmethod
    def of(cls, entry: Entry) -> "Columns":
        visitors, records = entry.visitors, entry.records
        reasons = {reason for visitor in visitors for reason in visitor.dropped}
        names, what = numbered_as_they_come([record.what for record in records])
        return cls(
            entry.log,
            entry.mark,
            entry.at_ms,
            [visitor.hash for visitor in visitors],
            [visitor.id for visitor in visitors],
            np.array([visitor.hits for visitor in visitors], np.int64),
            {
                reason: np.array([visitor.dropped.get(reason, 0) for visitor in visitors], np.int64)
                for reason in reasons
            },
            np.array([visitor.is_daily for visitor in visitors], bool),
            names,
            np.array([record.visitor for record in records], np.int64),
            np.array([record.tick for record in records], np.int64),
            what,
            entry.kept_s,
        )

    @property
    def visitors(self) -> list[Visitor]:
        """Those of the Entry that says the same."""
        dropped = [
            {reason: hits for reason, hits in zip(self.dropped, of, strict=True) if hits}
            for of in zip(*(column.tolist() for column in self.dropped.values()), strict=True)
        ]
        columns = (self.hashes, self.ids, self.hits.tolist(), dropped or [{}] * len(self.ids), self.are_daily.tolist())
        return [Visitor(*row) for row in zip(*columns, strict=True)]

    @property
    def records(self) -> list[Record]:
        """Those of the Entry that says the same."""
        names = [Name(*name) for name in self.names]
        columns = (self.who.tolist(), self.ticks.tolist(), self.what.tolist())
        return [Record(who, tick, names[what]) for who, tick, what in zip(*columns, strict=True)]

    def all_dropped(self, reason: str) -> "Columns":
        """The same hits, none of which is logged. No id is kept."""
        hits = sum(self.dropped.values(), self.hits)
        return Columns(
            self.log,
            self.mark,
            self.at_ms,
            self.hashes,
            [b""] * len(self.hashes),
            np.zeros_like(hits),
            {reason: hits},
            self.are_daily,
            (),
            _NONE,
            _NONE,
            _NONE,
            self.kept_s,
        )


def entry_in_columns(
    log: SiteLog,
    mark: Mark,
    at_ms: int,
    deeds: Deeds,
    hash_of: Hasher,
    aliases: Mapping[bytes, Sequence[Alias]] | None = None,
    kept_s: float | None = 0.0,
) -> Columns:
    """What `entry_of` gives of the same hits."""
    visitors, whose = deeds.people
    hashes, ids = list(map(hash_of, visitors)), list(map(raw_id, visitors))
    held = {hash_: alias for hash_, spans in (aliases or {}).items() for alias in spans if alias.holds(at_ms)}
    is_daily, own = deeds.are_daily.any(), whose
    if held or is_daily or len(set(hashes)) < len(hashes):  # else each visitor is a person
        hashes, person = numbered_as_they_come([held[hash_].hash if hash_ in held else hash_ for hash_ in hashes])
        whose = person[own]
    ticks, place, are_daily = _ticks(whose, deeds), whose, np.zeros(len(hashes), bool)
    if is_daily:
        keys, place = numbered_as_they_come((2 * whose + deeds.are_daily).tolist())
        hashes, are_daily = [hashes[key // 2] for key in keys], np.array(keys) % 2 == 1
    if place is not own:
        kept = {alias.hash: alias.id for alias in held.values()}
        first = own[np.unique(place, return_index=True)[1]].tolist()
        ids = [kept.get(hash_, ids[visitor]) for hash_, visitor in zip(hashes, first, strict=True)]
    count = len(hashes)
    is_kept = deeds.at_ms >= max(0, at_ms - log.keep_days * DAY_MS)
    hits, dropped = np.bincount(place[is_kept], minlength=count), {}
    if not is_kept.all():
        dropped[TOO_OLD] = np.bincount(place[~is_kept], minlength=count)
    if not log.keep_ids:
        ids = [b""] * count
    else:
        if is_daily:
            ids = [b"" if daily else id_ for id_, daily in zip(ids, are_daily.tolist(), strict=True)]
        if max(map(len, ids), default=0) > MOST_ID_BYTES:
            ids = [id_ if len(id_) <= MOST_ID_BYTES else b"" for id_ in ids]
    hit, names, what = _said(deeds, is_kept, log.listed)
    return Columns(log, mark, at_ms, hashes, ids, hits, dropped, are_daily, names, place[hit], ticks[hit], what, kept_s)


def numbered_as_they_come(given: Sequence[T]) -> tuple[list[T], Ints]:
    """What is given, each once; and the places there of all."""
    number: dict[Any, int] = dict.fromkeys(given, 0)
    found = list(number)
    number = dict(zip(found, range(len(found)), strict=True))
    return found, np.fromiter(map(number.__getitem__, given), np.int64, len(given))


def _ticks(whose: Ints, deeds: Deeds) -> Ints:
    """As `ticks_of`."""
    earliest = deeds.at_ms * TICKS_A_MS
    if len(deeds.subs):
        earliest = earliest + deeds.subs
    count = len(earliest)
    order = np.lexsort((earliest, whose))
    ticks, group = earliest[order], whose[order]
    is_same = group[1:] == group[:-1]
    if not (is_same & (ticks[1:] <= ticks[:-1])).any():
        return earliest
    shifted = ticks - np.arange(count)  # those of a visitor may be equal now, where each must be above the one before
    width = int(shifted.max()) - int(shifted.min()) + 1
    if width * count >= MOST_SHIFTED:
        return np.array(ticks_of(zip(whose.tolist(), earliest.tolist(), strict=True)), np.int64)
    runs = np.cumsum(np.concatenate(([0], ~is_same))) * width
    found = np.empty(count, np.int64)
    found[order] = np.maximum.accumulate(shifted + runs) - runs + np.arange(count)
    return found


def _said(
    deeds: Deeds, is_kept: NDArray[np.bool_], listed: Collection[str]
) -> tuple[Ints, list[tuple[str, str, str]], Ints]:
    """Of each record its hit and the place of its name; and the names, of which some may be of no record."""
    events, what = numbered_as_they_come(deeds.events)
    has_event = np.array([bool(event) for event in events], bool)[what] if events else is_kept
    hit = np.flatnonzero(is_kept & has_event)
    names, what = [(EVENT, event, "") for event in events], what[hit]
    if any(deeds.properties):
        given = [each or {} for each in deeds.properties]
        pairs, said = numbered_as_they_come(list(chain.from_iterable([each.items() for each in given])))
        owner = np.repeat(np.arange(len(given)), np.fromiter(map(len, given), np.int64, len(given)))
        said += len(events)
        names += [(PROPERTY, name, value) for name, value in pairs]
        if listed:
            names += [(EVENT_PROPERTY, name, value) for name, value in pairs]
            is_listed = np.array([False] * len(events) + [name in listed for name, _ in pairs])
            said = said + len(pairs) * (is_listed[said] & has_event[owner])
        said, owner = said[is_kept[owner]], owner[is_kept[owner]]
        order = np.argsort(np.concatenate((hit, owner)), kind="stable")
        hit, what = np.concatenate((hit, owner))[order], np.concatenate((what, said))[order]
    return hit, names, what

"""The log of visitors of one site, as questions ask it: over all partitions, and by a visitor's id.

An id may be one of several of the same visitor: whoever asks by any of them is told of the visitor that it stands for now.
"""

import math
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hail.hit import DAILY
from hail.room import MEGABYTE
from hail.times import EPOCH
from whale.answer.log_reading import AT_ONCE, FOR_EVER_MS, LogReading, Read, Reading, Wanted
from whale.answer.properties import properties, value_of, values
from whale.answer.visited import Partition, Visits, happened, visits, visits_of_sets
from whale.errors import NotFound
from whale.period import Range, tz
from whale.store.contract.events import Said
from whale.visitors.crowd import Bits, bits_of
from whale.visitors.entries import DAY_MS, EVENT, EVENT_PROPERTY, OTHER, PROPERTY, TICKS_A_MS, Hasher, SiteLog
from whale.visitors.identity import Person
from whale.visitors.record import Generation, hasher_of

TICKS_A_S = 1000 * TICKS_A_MS
KINDS = {"visitor": PROPERTY, "event": EVENT_PROPERTY}
"""Whose a property is."""
MOST_EDGES = 400
"""Of ranges of which sets of visitors are asked for. Of more ranges times are read, which takes no longer for it."""
_OF = {kind: of for of, kind in KINDS.items()}


@dataclass(frozen=True)
class Asked:
    """What of a log is read. events, properties: names; None for all."""

    events: Collection[str] | None = None
    properties: Collection[str] | None = None

    def __contains__(self, said: object) -> bool:
        kind, name = cast(Said, said)
        names = self.events if kind == EVENT else self.properties
        return names is None or name in names


@dataclass(frozen=True)
class Crowds:
    """partitions: of each the sets of what was asked for, by ranges.  is_incomplete: some of it is lost."""

    partitions: Sequence[Sequence[Sequence[Bits]]]
    is_incomplete: bool


@dataclass(frozen=True)
class Log:
    """Of one site, as it is kept now.

    only: the visitors of each partition whom questions are about; None for everybody.  narrow: finds these, of a period.
    session_gap_s: its own, or 0.
    """

    store: LogReading
    log: SiteLog
    generation: Generation
    question_mb: float = math.inf
    only: Sequence[NDArray[np.uint32]] | None = None
    session_gap_s: int = 0
    narrow: Callable[["Log", Range], "Log"] | None = None

    @classmethod
    def of(cls, store: LogReading, account: str, site: str, question_mb: float = math.inf) -> "Log":
        """question_mb: memory that a question takes at a time. Raises NotFound where no log is kept of the site."""
        record = store.log_records(account, [site]).get(site)
        if record is None or not record.is_open:
            raise NotFound(f"there is no log of the visitors of {ascii(site)[:60]}", "pk")
        generation = record.generations[-1]
        log = record.log(account, site, generation)
        return cls(store, log, generation, question_mb, session_gap_s=record.session_gap_s)

    def of_period(self, asked: Range) -> "Log":
        """As a question about a period asks it: of a segment, those alone who are in it then. Raises UnknownEvent, NotFound."""
        return self.narrow(self, asked) if self.narrow else self

    def since_ms(self, now: float) -> int:
        """From when on it is whole."""
        return max(self.generation.since_ms, int(now * 1000) - self.log.keep_days * DAY_MS)

    def visitors(self, asked: Range, now: float) -> dict[str, Any]:
        starts = list(asked.starts)
        crowds = self.who([None], [0, *(start * 1000 for start in starts), asked.end * 1000])
        if crowds:
            whole, buckets = visits_of_sets(sets for (sets,) in crowds.partitions)
        else:
            reading = self._during(asked)
            whole, buckets = visits(self._before_and(reading), starts)
        basis, kept = self.basis(asked), self.kept(now, asked.zone, crowds or reading)
        points = [
            {"at": shown(start * 1000, asked.zone), **_said(each, basis)}
            for start, each in zip(starts, buckets, strict=True)
        ]
        is_known = self.log.period_s is None or asked.end - asked.start <= self.log.period_s
        is_exact = is_known and basis != DAILY and not kept["is_incomplete"]
        return {**_said(whole, basis), "exact": is_exact, "basis": basis, **kept, "points": points}

    def _before_and(self, reading: Reading) -> Iterator[Partition]:
        number, before = -1, np.zeros(0, np.uint32)
        for partition, during in reading.pieces():
            if partition != number:
                number, before = (
                    partition,
                    self.store.visitors_in_log(self.log, partition, 0, reading.wanted[0].start_ms),
                )
            yield Partition(before, during)

    def basis(self, asked: Range) -> str:
        """DAILY where visitors may have come in a range who are known for a day alone."""
        found = [self.store.daily_in_log(self.log, number) for number in range(self.log.partitions)]
        is_daily = any(span and span[0] < asked.end and asked.start < span[1] for span in found)
        return DAILY if is_daily else "visitor"

    def events(self, asked: Range, now: float) -> dict[str, Any]:
        reading = self._during(asked)
        rows = [
            {
                "event": each.event,
                "times": each.times,
                "visitors": each.visitors,
                "last": shown(each.last_ms, asked.zone),
            }
            for each in happened(reading)
        ]
        return {"events": rows, **self.kept(now, asked.zone, reading)}

    @property
    def hash_of(self) -> Hasher:
        """Of ids of visitors."""
        return hasher_of(self.log.account, self.log.site, self.generation)

    def person(self, visitor: str) -> Person:
        return Person(self.hash_of(visitor), visitor.encode())

    def named(self, hashes: Collection[bytes], ids: Iterable[str]) -> set[str]:
        """Those of some ids that have these hashes."""
        hash_of = self.hash_of
        return {id_ for id_ in ids if hash_of(id_) in hashes}

    def properties(self, event: str, now: float, zone: str) -> dict[str, Any]:
        """All of them; or those of an event, or of who had it. Raises NotFound of an event that is not there."""
        self._check_event(event)
        reading = self.partitions(Asked([event] if event else []))
        rows = [
            {"property": each.name, "of": _OF[each.kind], "visitors": each.visitors, "values": each.values}
            for each in properties(reading, event)
        ]
        return {"properties": rows, **self.kept(now, zone, reading)}

    def property(self, name: str, of: str, when: str, limit: int, event: str, now: float, zone: str) -> dict[str, Any]:
        """The values of a property. of: of KINDS, or "" for that of visitors, where there is one; raises NotFound."""
        names, kinds = self.names(), [KINDS[of]] if of else list(KINDS.values())
        kind = next((kind for kind in kinds if (kind, name) in names), None)
        if kind is None:
            raise NotFound(f"no property {ascii(name)[:60]} was logged", "property")
        self._check_event(event)
        reading = self.partitions(Asked(None, [name]))
        found = values(reading, (kind, name), when, limit, event)
        rows = [{"value": value_of(text), "visitors": count} for text, count in found.rows]
        if found.other:
            rows.append({"value": OTHER, "visitors": found.other})
        return {
            "property": name,
            "of": _OF[kind],
            "visitors": found.visitors,
            "values": found.values,
            "rows": rows,
            "events": [{"event": each, "visitors": count} for each, count in found.events],
            **self.kept(now, zone, reading),
        }

    def _check_event(self, event: str) -> None:
        """Raises NotFound of one that was never logged. event: "" for none."""
        if event and (EVENT, event) not in self.names():
            raise NotFound(f"no event {ascii(event)[:60]} was logged", "event")

    def names(self) -> set[Said]:
        """What was ever said in it."""
        return {said for number in range(self.log.partitions) for said in self.store.said_in_log(self.log, number)}

    def partitions(
        self,
        said: Container[Said] | None,
        start_ms: int = 0,
        end_ms: int = FOR_EVER_MS,
        always: Collection[Said] = (),
    ) -> Reading:
        """What was said in [start, end). said: None for everything.  always: what else is read, whenever it was said."""
        wanted = [Wanted(said, start_ms, end_ms)]
        if always:
            wanted.append(Wanted(always, 0, FOR_EVER_MS))
        return self.reading(wanted)

    def reading(self, wanted: Sequence[Wanted]) -> Reading:
        """wanted: of different names."""
        return Reading(self.store, self.log, wanted, self.question_mb, self.only)

    def came(self, partition: int, start_ms: int, end_ms: int) -> NDArray[np.uint32]:
        """The visitors of a partition with an event in [start, end), in order."""
        found = self.store.visitors_in_log(self.log, partition, start_ms, end_ms)
        return found if self.only is None else np.intersect1d(found, self.only[partition], assume_unique=True)

    def who(self, said: Sequence[Said | None], edges_ms: Sequence[int], beside: int = 0) -> "Crowds | None":
        """Who said each of some things, in each of the ranges between edges; None for any event. beside: as many sets that are held too.

        None where there are too many ranges, or sets would take more memory than a question may: then times are to be read.
        """
        if len(edges_ms) > MOST_EDGES:
            return None
        count, share = len(said) * (len(edges_ms) - 1), self.question_mb * MEGABYTE / AT_ONCE / self.log.partitions
        most, is_incomplete = share * count / (count + beside), False
        found: list[Sequence[Sequence[Bits]]] = []
        for partition in range(self.log.partitions):
            came = self.store.came_in_log(self.log, partition, said, [max(0, each) for each in edges_ms], most)
            if came is None:
                return None
            is_incomplete |= came.is_incomplete
            found.append(came.sets if self.only is None else among(came.sets, self.only[partition]))
        return Crowds(found, is_incomplete)

    def _during(self, asked: Range) -> Reading:
        """The events of a range."""
        return self.partitions(Asked(None, ()), asked.start * 1000, asked.end * 1000)

    def kept(self, now: float, zone: str, reading: Read) -> dict[str, Any]:
        """From when on a log is whole, and whether all of it could be read. reading: at its end."""
        return {"since": shown(self.since_ms(now), zone), "is_incomplete": reading.is_incomplete}


def among(sets: Sequence[Sequence[Bits]], who: NDArray[np.uint32]) -> Sequence[Sequence[Bits]]:
    """The same sets without all others."""
    words = len(sets[0][0])
    mine = bits_of(who, words)[:words]
    return [[bits & mine for bits in each] for each in sets]


def _said(each: Visits, basis: str) -> dict[str, int | None]:
    """Nobody knows who is new where visitors are known for a day alone."""
    new, returning = (None, None) if basis == DAILY else (each.new, each.returning)
    return {"visitors": each.visitors, "new": new, "returning": returning}


def shown(ms: int, zone: str) -> str:
    """A time in a zone, with ms where it has some."""
    when = (EPOCH + timedelta(milliseconds=ms)).astimezone(tz(zone))
    return when.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")


def generations(store: LogReading, account: str, site: str) -> Iterator[Log]:
    """All that there is of a site, also what has ended and is not gone yet."""
    for record in store.log_records(account, [site]).values():
        for generation in record.generations:
            yield Log(store, record.log(account, site, generation), generation)

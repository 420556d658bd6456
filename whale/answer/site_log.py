"""The log of visitors of one site, as questions ask it: over all partitions, and by a visitor's id.

An id may be one of several of the same visitor: whoever asks by any of them is told of the visitor that it stands for now.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from hail.times import EPOCH
from whale.answer.visited import Partition, happened, history, visits
from whale.errors import NotFound
from whale.period import Range, tz
from whale.store.contract.events import Events, Logged
from whale.store.contract.identities import Identities
from whale.store.contract.site_logs import SiteLogs
from whale.visitors.entries import DAY_MS, SiteLog
from whale.visitors.identity import Person
from whale.visitors.record import Generation, hasher_of

FOR_EVER_MS = 2**42


class LogReading(Events, Identities, SiteLogs, Protocol):
    """What is asked of a store."""


@dataclass(frozen=True)
class Log:
    """Of one site, as it is kept now."""

    store: LogReading
    log: SiteLog
    generation: Generation

    @classmethod
    def of(cls, store: LogReading, account: str, site: str) -> "Log":
        """Raises NotFound where none is kept of it."""
        record = store.log_records(account, [site]).get(site)
        if record is None or not record.is_open:
            raise NotFound(f"there is no log of the visitors of {ascii(site)[:60]}", "pk")
        generation = record.generations[-1]
        return cls(store, record.log(account, site, generation), generation)

    def since_ms(self, now: float) -> int:
        """From when on it is whole."""
        return max(self.generation.since_ms, int(now * 1000) - self.log.keep_days * DAY_MS)

    def visitors(self, asked: Range, now: float) -> dict[str, Any]:
        starts = list(asked.starts)
        partitions = [
            Partition(self.store.visitors_in_log(self.log, number, 0, asked.start * 1000), self._during(number, asked))
            for number in range(self.log.partitions)
        ]
        whole, buckets = visits(partitions, starts)
        points = [
            {"at": shown(start * 1000, asked.zone), **_said(each)} for start, each in zip(starts, buckets, strict=True)
        ]
        return {**_said(whole), **self._about(asked, now, [each.during for each in partitions]), "points": points}

    def events(self, asked: Range, now: float) -> dict[str, Any]:
        partitions = [self._during(number, asked) for number in range(self.log.partitions)]
        rows = [
            {
                "event": each.event,
                "times": each.times,
                "visitors": each.visitors,
                "last": shown(each.last_ms, asked.zone),
            }
            for each in happened(partitions)
        ]
        return {"events": rows, **self._about(asked, now, partitions)}

    def person(self, visitor: str) -> Person:
        return Person(hasher_of(self.log.account, self.log.site, self.generation)(visitor), visitor.encode())

    def named(self, hashes: Collection[bytes], ids: Iterable[str]) -> set[str]:
        """Those of some ids that have these hashes."""
        hash_of = hasher_of(self.log.account, self.log.site, self.generation)
        return {id_ for id_ in ids if hash_of(id_) in hashes}

    def history(self, visitor: str, limit: int, now: float, zone: str) -> dict[str, Any]:
        """The last events of a visitor, the newest first; raises NotFound of one who is not known."""
        hash_ = self.person(visitor).hash
        spans = self.store.aliases(self.log, [hash_]).get(hash_, ())
        found = next((alias.hash for alias in reversed(spans) if alias.until_ms is None), hash_)
        partition = self.log.partition_of(found)
        number = self.store.number_in_log(self.log, found)
        if number is None:
            raise NotFound(f"no visitor {ascii(visitor)[:60]} is known", "visitor")
        logged = self._read(partition, 0, FOR_EVER_MS)
        done = history(logged, number)
        id_ = self.store.ids_in_log(self.log, partition, [number]).get(number)
        last = [{"at": shown(ms, zone), "event": event} for ms, event in reversed(done[-limit:])]
        return {
            "visitor": id_.decode("utf-8", "replace") if id_ else visitor,
            "since": shown(self.since_ms(now), zone),
            "is_incomplete": logged.is_incomplete,
            "events": last,
            "more": len(done) - len(last),
        }

    def _during(self, partition: int, asked: Range) -> Logged:
        return self._read(partition, asked.start * 1000, asked.end * 1000)

    def _read(self, partition: int, start_ms: int, end_ms: int) -> Logged:
        return self.store.read_log(self.log, partition, start_ms, end_ms)

    def _about(self, asked: Range, now: float, partitions: list[Logged]) -> dict[str, Any]:
        is_incomplete = any(each.is_incomplete for each in partitions)
        return {"since": shown(self.since_ms(now), asked.zone), "is_incomplete": is_incomplete}


def _said(each: Any) -> dict[str, int]:
    return {"visitors": each.visitors, "new": each.new, "returning": each.returning}


def shown(ms: int, zone: str) -> str:
    """A time in a zone, with ms where it has some."""
    when = (EPOCH + timedelta(milliseconds=ms)).astimezone(tz(zone))
    return when.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")


def generations(store: LogReading, account: str, site: str) -> Iterator[Log]:
    """All that there is of a site, also what has ended and is not gone yet."""
    for record in store.log_records(account, [site]).values():
        for generation in record.generations:
            yield Log(store, record.log(account, site, generation), generation)

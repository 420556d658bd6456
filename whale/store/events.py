"""The reference of the visitor log: plain dicts, every rule of contract/events.py in its simplest form."""

import itertools
import math
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hail.message import Mark
from hail.room import MEGABYTE
from hail.settings import DAY, Settings
from whale.accounts import Site
from whale.period import day_of
from whale.store.contract.events import (
    MOST_NUMBERS,
    VISITORS_FULL,
    Caps,
    Changed,
    Column,
    Logged,
    Moment,
    Said,
    Wanted,
    Who,
)
from whale.store.contract.identities import ERASED, HOLDS_AFTER_MS, MOST_ALIASES
from whale.store.contract.log_sweep import ENDED_S, EVENTS_FULL, FIELD_BYTES, ID_BYTES, USUAL_MB, VISITOR_BYTES
from whale.store.contract.log_who import Came
from whale.store.contract.site_logs import NAME_BYTES, SECRET_BYTES
from whale.visitors.crowd import WORD, Bits, bits_of
from whale.visitors.deeds import Columns
from whale.visitors.entries import EVENT, OTHER, TICKS_A_MS, TOO_OLD, Entry, Name, SiteLog, Visitor, as_kept
from whale.visitors.identity import JOINED, OTHER_KNOWN, Alias, Person, Standing, to_join
from whale.visitors.record import LATEST_S, LogRecord, begun, ended, restarted, without

RECORD_BYTES = 14

Place = tuple[str, str, str, int]
"""Account, site, generation, partition."""


def place_of(log: SiteLog, partition: int) -> Place:
    return log.account, log.site, log.generation, partition


class MemoryEvents:
    """For many threads. zone, sites: of an account.  clock: the store's own."""

    def __init__(
        self,
        settings: Settings,
        zone: Callable[[str], str],
        sites: Callable[[str], list[Site]],
        clock: Callable[[], float] = time.time,
    ):
        self._settings, self._zone, self._sites, self._clock = settings, zone, sites, clock
        self._records: dict[tuple[str, str], LogRecord] = {}  # by account and site
        self._lock = threading.RLock()
        self._partitions: dict[Place, _Partition] = {}
        self._seen: set[Mark] = set()
        self._tallies: dict[tuple[str, str], Counter[str]] = {}  # by account and publisher

    def add_to_log(self, entries: Sequence[Entry | Columns], caps: Caps) -> dict[tuple[SiteLog, int], int]:
        with self._lock:
            now, new = self._clock(), {entry.mark for entry in entries} - self._seen
            for entry in entries:
                if entry.mark in new:
                    self._log(entry, caps, now)
            self._seen |= new
        return {}

    def forget(self, account: str) -> None:
        """All that its logs hold; of messages alone it stays known that they were."""
        with self._lock:
            self._partitions = {place: each for place, each in self._partitions.items() if place[0] != account}
            self._records = {place: each for place, each in self._records.items() if place[0] != account}
            self._tallies = {key: tally for key, tally in self._tallies.items() if key[0] != account}

    def _log(self, entry: Entry | Columns, caps: Caps, now: float) -> None:
        log = entry.log
        tally = self._tallies.setdefault((log.account, entry.mark[1]), Counter())
        day = day_of(int(now), self._zone(log.account))
        numbers: list[int | str] = []
        for visitor in entry.visitors:
            tally.update(visitor.dropped)
            known = self.partition(log, log.partition_of(visitor.hash))
            number = known.number(visitor, entry.at_ms, log.period_s, day, caps, now) if visitor.hits else ""
            numbers.append(number)
            tally["logged" if isinstance(number, int) else number] += visitor.hits
        for record in entry.records:
            number = numbers[record.visitor]
            if isinstance(number, int):
                known = self.partition(log, log.partition_of(entry.visitors[record.visitor].hash))
                known.records.append((number, record.tick, known.folded(record.what, caps)))
                tally["records"] += 1

    def partition(self, log: SiteLog, partition: int) -> "_Partition":
        return self._partitions.setdefault(place_of(log, partition), _Partition())

    def compact_log(self, log: SiteLog, partition: int, least: int = 1) -> bool:
        return False

    def read_log(
        self,
        log: SiteLog,
        partition: int,
        start_ms: int,
        end_ms: int,
        said: Container[Said] | None = None,
        who: Who = None,
    ) -> Logged:
        with self._lock:
            found = self.partition(log, partition)
            start, end = start_ms * TICKS_A_MS, end_ms * TICKS_A_MS
            rows: dict[Said, list[tuple[int, int, int]]] = {}
            for number, tick, name in found.records:
                kind, text, value = name
                is_wanted = (said is None or (kind, text) in said) and (who is None or number in who)
                if is_wanted and start <= tick < end:
                    place = 0 if kind == EVENT else found.values[kind, text].index(value)
                    rows.setdefault((kind, text), []).append((number, tick, place))
            columns = {each: _column(sorted(of)) for each, of in rows.items()}
            return Logged(columns, {each: tuple(found.values[each]) for each in columns if each[0] != EVENT})

    def changed_in_log(
        self, log: SiteLog, partition: int, since: Sequence[tuple[range | None, Moment]], wanted: Wanted
    ) -> Changed | None:
        return None  # and all is read anew

    def erasures_in_log(self, log: SiteLog, partition: int) -> int:
        with self._lock:
            return self.partition(log, partition).erasures

    def ranges_in_log(
        self, log: SiteLog, partition: int, wanted: Sequence[Wanted], most: float
    ) -> Sequence[range | None]:
        return [None]

    def records_in_log(self, log: SiteLog, partition: int, start_ms: int, end_ms: int) -> int:
        with self._lock:
            return len(self.partition(log, partition).records)

    def visitors_in_log(self, log: SiteLog, partition: int, start_ms: int, end_ms: int) -> NDArray[np.uint32]:
        with self._lock:
            start, end = start_ms * TICKS_A_MS, end_ms * TICKS_A_MS
            records = self.partition(log, partition).records
            return np.array(
                sorted({who for who, tick, name in records if name.kind == EVENT and start <= tick < end}), np.uint32
            )

    def came_in_log(
        self, log: SiteLog, partition: int, said: Sequence[Said | None], edges_ms: Sequence[int], most: float
    ) -> Came | None:
        with self._lock:
            found = self.partition(log, partition)
            words, edges = -(-found.next // WORD), [edge_ms * TICKS_A_MS for edge_ms in edges_ms]
            ranges = list(itertools.pairwise(edges))
            if words * 8 * len(said) * len(ranges) > most:
                return None

            def who(each: Said | None, start: int, end: int) -> Bits:
                numbers = [
                    number
                    for number, tick, name in found.records
                    if start <= tick < end and (name.kind == EVENT if each is None else each == (name.kind, name.name))
                ]
                return bits_of(np.array(numbers, np.uint32), words)

            return Came([[who(each, *stretch) for stretch in ranges] for each in said])

    def said_in_log(self, log: SiteLog, partition: int) -> set[Said]:
        with self._lock:
            return {(name.kind, name.name) for *_, name in self.partition(log, partition).records}

    def ids_in_log(self, log: SiteLog, partition: int, numbers: Iterable[int]) -> dict[int, bytes]:
        with self._lock:
            periods = self.partition(log, partition).periods[False]
            ids = {number: id_ for period in periods for number, id_ in period.ids.items()}
            return {number: ids[number] for number in numbers if number in ids}

    def daily_in_log(self, log: SiteLog, partition: int) -> tuple[int, int] | None:
        with self._lock:
            return self.partition(log, partition).daily

    def number_in_log(self, log: SiteLog, hash_: bytes) -> int | None:
        with self._lock:
            periods = self.partition(log, log.partition_of(hash_)).periods[False]
            return next((each.numbers[hash_[:8]] for each in periods if hash_[:8] in each.numbers), None)

    def id_in_log(self, log: SiteLog, hash_: bytes) -> bytes:
        number = self.number_in_log(log, hash_)
        return b"" if number is None else self.ids_in_log(log, log.partition_of(hash_), [number]).get(number, b"")

    def identify(self, log: SiteLog, anonymous: Person, known: Person) -> str:
        anonymous, known = as_kept(log, anonymous), as_kept(log, known)
        with self._lock:
            found = to_join(anonymous, self._standing(log, anonymous.hash), known, self._standing(log, known.hash))
            if isinstance(found, str):
                return found
            visitor, alias = found
            if self.partition(log, log.partition_of(visitor.hash)).is_full:
                return EVENTS_FULL
            aliases = self._standing(log, visitor.hash).aliases | {alias.hash}
            if len(aliases) > MOST_ALIASES:
                return OTHER_KNOWN
            since_ms = int(self._clock() * 1000) + HOLDS_AFTER_MS
            spans = (*self._standing(log, alias.hash).spans, Alias(*visitor, since_ms))
            for hash_, standing in ((visitor.hash, Standing(aliases=aliases)), (alias.hash, Standing(spans))):
                self.partition(log, log.partition_of(hash_)).periods[False][0].standings[hash_[:8]] = standing
            return JOINED

    def aliases(self, log: SiteLog, hashes: Collection[bytes]) -> dict[bytes, Sequence[Alias]]:
        with self._lock:
            return {hash_: spans for hash_ in hashes if (spans := self._standing(log, hash_).spans)}

    def ids_of_visitor(self, log: SiteLog, hash_: bytes) -> list[bytes]:
        with self._lock:
            alias = self._standing(log, hash_).alias
            visitor = alias.hash if alias else hash_
            return [visitor, *sorted(self._standing(log, visitor).aliases)]

    def erase_visitor(self, log: SiteLog, hash_: bytes) -> set[bytes]:
        with self._lock:
            until_ms = int(self._clock() * 1000) + HOLDS_AFTER_MS
            erased = set(self.ids_of_visitor(log, hash_))
            for each in erased:
                self._standing(log, each)
                partition = self.partition(log, log.partition_of(each))
                partition.erase(each[:8], until_ms)
                partition.erasures += 1
            return erased

    def erased(self, log: SiteLog, hashes: Collection[bytes]) -> dict[bytes, int]:
        with self._lock:
            known = {hash_: self.partition(log, log.partition_of(hash_)).erased.get(hash_[:8]) for hash_ in hashes}
            return {hash_: until_ms for hash_, until_ms in known.items() if until_ms is not None}

    def purge_log(self, log: SiteLog, partition: int) -> bool:
        return False

    def log_records(self, account: str, sites: Collection[str]) -> dict[str, LogRecord]:
        with self._lock:
            return {site: self._records[account, site] for site in sites if (account, site) in self._records}

    def begin_log(self, site: Site, after_ms: int = HOLDS_AFTER_MS) -> LogRecord:
        with self._lock:
            place, since_ms = (site.account, site.pk), int(self._clock() * 1000) + after_ms
            partitions, days = self._settings.site_partitions, self._settings.visitor_kept_days
            name, secret = secrets.token_hex(NAME_BYTES), secrets.token_hex(SECRET_BYTES)
            self._records[place] = begun(self._records.get(place), site, partitions, days, since_ms, name, secret)
            return self._records[place]

    def end_log(self, account: str, site: str, after_ms: int = HOLDS_AFTER_MS) -> None:
        with self._lock:
            if record := self._records.get((account, site)):
                self._records[account, site] = ended(record, int(self._clock() * 1000) + after_ms)

    def restart_log(self, account: str, site: str, after_ms: int = HOLDS_AFTER_MS) -> None:
        with self._lock:
            if record := self._records.get((account, site)):
                name, secret = secrets.token_hex(NAME_BYTES), secrets.token_hex(SECRET_BYTES)
                at_ms = int(self._clock() * 1000) + after_ms
                self._records[account, site] = restarted(record, at_ms, name, secret)

    def sweep_logs(self, later_s: float = 0.0) -> bool:
        with self._lock:
            now = self._clock() + later_s
            for place in [*self._records]:
                self._see_to(*place, now)
            for account in {account for account, _ in self._records}:
                mine = [each for place, each in self._partitions.items() if place[0] == account]
                most_mb = self._settings.events_max_mb or USUAL_MB
                is_full = sum(each.size for each in mine) > most_mb * MEGABYTE
                for each in mine:
                    each.is_full = is_full
        return False

    def _see_to(self, account: str, site: str, now: float) -> None:
        if self._settings.visitor_log and self._records[account, site].is_open:
            entry = next((each for each in self._sites(account) if each.pk == site), None)
            if entry:
                self.begin_log(entry)
            else:
                self.end_log(account, site)
        seen: LogRecord = self._records.pop((account, site))
        record: LogRecord | None = seen
        for generation in seen.generations:
            end_s = math.inf if generation.until_ms is None else generation.until_ms / 1000 + ENDED_S
            log = seen.log(account, site, generation)
            for partition in range(log.partitions):
                if now >= end_s:
                    self._partitions.pop(place_of(log, partition), None)
                else:
                    self.partition(log, partition).forget_before(now - log.keep_days * DAY, now - LATEST_S)
            if now >= end_s + LATEST_S:
                record = record and without(record, generation)
        if record:
            self._records[account, site] = record

    def aliases_of(self, asked: Mapping[SiteLog, Collection[bytes]]) -> dict[SiteLog, dict[bytes, Sequence[Alias]]]:
        return {log: self.aliases(log, hashes) for log, hashes in asked.items()}

    def _standing(self, log: SiteLog, hash_: bytes) -> Standing:
        return self.partition(log, log.partition_of(hash_)).standing(hash_, log.period_s, self._clock())

    def log_tallies(self, account: str, publishers: Collection[str]) -> dict[str, dict[str, int]]:
        with self._lock:
            tallies = {each: self._tallies.get((account, each), Counter[str]()) for each in publishers}
            return {
                publisher: {word: count for word, count in tally.items() if count}
                for publisher, tally in tallies.items()
            }


class _Period:
    """The visitors that were first met in a period, or met again. number: which one it is.  until: None for ever."""

    def __init__(self, number: int, until: float | None):
        self.number, self.until = number, until
        self.numbers: dict[bytes, int] = {}
        self.ids: dict[int, bytes] = {}
        self.standings: dict[bytes, Standing] = {}


class _Partition:
    def __init__(self) -> None:
        self.next = 0
        self.periods: dict[bool, list[_Period]] = {False: [], True: []}  # daily or not: this one, and the one before
        self.names: dict[Said, None] = {}
        self.values: dict[Said, list[str]] = {}
        self.records: list[tuple[int, int, Name]] = []
        self.erased: dict[bytes, int] = {}  # ms until which what was accepted is not logged
        self.erasures = 0
        self.is_full = False
        self.daily: tuple[int, int] | None = None  # s, from when until when some visitors are known for a day alone

    @property
    def size(self) -> int:
        periods = [period for some in self.periods.values() for period in some]
        visitors = sum(len(period.numbers) for period in periods)
        texts = [text for of in self.values.values() for text in of] + [name for _, name in self.names]
        fields = len(texts) + sum(len(period.standings) for period in periods)
        ids = sum(len(id_) + ID_BYTES for period in periods for id_ in period.ids.values())
        known = VISITOR_BYTES * visitors + ids + FIELD_BYTES * fields + sum(map(len, texts))
        return RECORD_BYTES * len(self.records) + known

    def forget_before(self, said_s: float, erased_s: float) -> None:
        self.records = [record for record in self.records if record[1] >= said_s * 1000 * TICKS_A_MS]
        self._forget_values()
        self.erased = {name: until_ms for name, until_ms in self.erased.items() if until_ms >= erased_s * 1000}

    def number(self, visitor: Visitor, at_ms: int, period_s: int | None, day: int, caps: Caps, now: float) -> int | str:
        """Of a visitor who is known, or becomes so; or why their hits are not logged."""
        if at_ms < (now - LATEST_S) * 1000:
            return TOO_OLD
        if at_ms < self.erased.get(visitor.hash[:8], 0):
            return ERASED
        if self.is_full:
            return EVENTS_FULL
        periods = self.periods[visitor.is_daily]
        _move(periods, *((day, now + 2 * DAY) if visitor.is_daily else _now(periods, period_s, now)))
        if visitor.is_daily:
            until = int(now + 2 * DAY)
            self.daily = (self.daily[0] if self.daily else int(now - DAY)), until
        name = visitor.hash[:8]
        number = next((each.numbers[name] for each in periods if name in each.numbers), None)
        if number is None:
            known = sum(len(each.numbers) for some in self.periods.values() for each in some)
            if known >= caps.visitors or self.next >= MOST_NUMBERS:
                return VISITORS_FULL
            number, self.next = self.next, self.next + 1
        if name not in periods[0].numbers:
            periods[0].numbers[name] = number
            if visitor.id:
                periods[0].ids[number] = visitor.id
            if not visitor.is_daily:
                self.standing(visitor.hash, period_s, now)
        return number

    def standing(self, hash_: bytes, period_s: int | None, now: float) -> Standing:
        """Who it stands for, or who for it; taken over from the period before."""
        periods, name = self.periods[False], hash_[:8]
        _move(periods, *_now(periods, period_s, now))
        found = next((each.standings[name] for each in periods if name in each.standings), Standing())
        if found != Standing():
            periods[0].standings[name] = found
        return found

    def erase(self, name: bytes, until_ms: int) -> None:
        self.erased[name] = until_ms
        for period in (*self.periods[False], *self.periods[True]):
            number = period.numbers.pop(name, None)
            self.records = [record for record in self.records if record[0] != number]
            period.ids = {each: id_ for each, id_ in period.ids.items() if each != number}
            spans = period.standings.pop(name, Standing()).spans
            if period is self.periods[False][0] and spans:
                if spans[-1].until_ms is None:
                    spans = (*spans[:-1], Alias(spans[-1].hash, b"", spans[-1].since_ms, until_ms))
                period.standings[name] = Standing(spans)
        self._forget_values()

    def _forget_values(self) -> None:
        """Those that no record has. Their places stay."""
        used = {name for *_, name in self.records}
        for said, values in self.values.items():
            values[:] = [value if Name(*said, value) in used else "" for value in values]

    def folded(self, name: Name, caps: Caps) -> Name:
        """The name that it is logged under."""
        said = name.kind, name.name
        if said not in self.names:
            most = caps.events if name.kind == EVENT else caps.properties
            if sum(kind == name.kind and text != OTHER for kind, text in self.names) >= most:
                said = name.kind, OTHER
            self.names[said] = None
        if name.kind == EVENT:
            return Name(*said)
        values = self.values.setdefault(said, [])
        value = OTHER if said[1] == OTHER else name.value
        if value not in values:
            if len(values) - (OTHER in values) >= caps.values:
                value = OTHER
            if value not in values:
                values.append(value)
        return Name(*said, value)


def _now(periods: Sequence[_Period], period_s: int | None, now: float) -> tuple[int, float | None]:
    """The number of the period that it is now, and its end. Another length begins with the next one."""
    if not periods:
        return 1, None if period_s is None else now + period_s
    last = periods[0]
    if last.until is None or now < last.until:
        return last.number, last.until
    if period_s is None:
        return last.number + 1, None
    more = int((now - last.until) // period_s) + 1
    return last.number + more, last.until + more * period_s


def _move(periods: list[_Period], number: int, until: float | None) -> None:
    """Begins a period, where it is a later one, and forgets those before the one before it."""
    if not periods or number > periods[0].number:
        periods.insert(0, _Period(number, until))
    periods[:] = [each for each in periods if each.number >= periods[0].number - 1]


def _column(rows: Sequence[tuple[int, int, int]]) -> Column:
    visitors, ticks, values = zip(*rows, strict=True)
    return Column(np.array(visitors, np.uint32), np.array(ticks, np.int64), np.array(values, np.uint32))

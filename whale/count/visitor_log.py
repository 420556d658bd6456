"""The gatherer of the log of visitors: what messages say of visitors of sites is logged, once they are counted.

    messages ── to_log ──► cells, with how many hits are to be logged ── add ──► Events.add_to_log

Promise: of every message that is settled each hit that belongs in a log is there, or was left out for a counted reason, once, however
often the message comes. Cells come first. Whoever is killed between gets the message again: its cells are known, and it is logged.

Records of sites are remembered for REMEMBERED_S from before they were read, less than they need to hold. A site that has none yet, since
it was made before there were logs, gets one when its first hit comes.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from hail.columns import joinings_of
from hail.hit import Reason
from hail.message import Message
from hail.room import COST, MEGABYTE, Bounded
from hail.settings import Settings
from whale.count.said import ToLog, entry, first_of, pks_said, said_by, sites_at, to_log
from whale.store.contract.accounts import Accounts
from whale.store.contract.events import Caps, Events
from whale.store.contract.identities import Identities
from whale.store.contract.log_sweep import LogSweep
from whale.store.contract.site_logs import SiteLogs
from whale.visitors.entries import SiteLog, raw_id
from whale.visitors.identity import Person
from whale.visitors.record import LATEST_S, LogRecord, hasher_of

REMEMBERED_S = 2.0
MOST_BYTES = 8 * MEGABYTE
PRESSED = 4
"""Tails of this many times the usual length are packed before more is logged."""

Part = tuple[str, str, int]
"""Account, publisher, seq of a message."""


class LogStore(Accounts, Events, Identities, SiteLogs, LogSweep, Protocol):
    """All that is asked of a store."""


class VisitorLog:
    """Not for several threads at once."""

    def __init__(self, store: LogStore, settings: Settings, clock: Callable[[], float] = time.monotonic):
        """clock: seconds, for what is remembered."""
        self._store, self._clock, self._tail = store, clock, settings.log_tail_records
        self._caps = Caps(
            settings.max_visitors, settings.max_event_names, settings.max_properties, settings.max_property_values
        )
        self._known: Bounded[tuple[str, str], tuple[float, LogRecord | None]] = Bounded(
            "logs of sites", MOST_BYTES, lambda *_: 6 * COST
        )
        self._waiting: deque[tuple[SiteLog, int]] = deque()

    def to_log(
        self, messages: Sequence[Message], left_out: Mapping[Part, Mapping[int, Reason]]
    ) -> dict[Part, list[ToLog]]:
        """What each message adds to logs. left_out: positions of hits that do not count, whatever is reset; raises Unavailable."""
        said = {message.part: said_by(message, left_out.get(message.part, ())) for message in messages}
        sites: dict[str, set[str]] = {}
        for (account, *_), of in said.items():
            sites.setdefault(account, set()).update(of)
        records = {account: self._records(account, pks) for account, pks in sites.items() if pks}
        return {
            message.part: found
            for message in messages
            if (found := to_log(message, said[message.part], records.get(message.account, {})))
        }

    def sites(self, messages: Sequence[Message]) -> dict[Part, dict[str, frozenset[str]]]:
        """Of each message that says something the sites among its pks, where their logs hold it, and the properties that each lists
        as dimensions; raises Unavailable.
        """
        pks = {message.part: pks_said(message.hits) for message in messages}
        wanted: dict[str, set[str]] = {}
        for (account, *_), of in pks.items():
            wanted.setdefault(account, set()).update(of)
        records = {account: self._records(account, of) for account, of in wanted.items() if of}
        found = {message.part: sites_at(message, records.get(message.account, {})) for message in messages}
        of_parts = {
            part: {site: listed for site, listed in sites.items() if site in pks[part]} for part, sites in found.items()
        }
        return {part: sites for part, sites in of_parts.items() if sites}

    def add(
        self,
        messages: Sequence[Message],
        found: Mapping[Part, Sequence[ToLog]],
        left_out: Mapping[Part, Mapping[int, Reason]],
        now: float,
    ) -> None:
        """Logs what `to_log` found of messages that are counted, and joins the ids that they join; raises Unavailable.

        left_out: as there. A hit that does not count, as its key was revoked, joins nobody. Nor does one that is so old that it may be
        forgotten who was erased since.
        """
        self._join([each for each in messages if each.at >= (now - LATEST_S) * 1000], left_out)
        asked: dict[SiteLog, set[bytes]] = {}
        for message in messages:
            for each in found.get(message.part, ()):
                asked.setdefault(each.log, set()).update(map(each.hash_of, each.hits.people[0]))
        if not asked:
            return
        aliases = self._store.aliases_of(asked)
        entries = [
            entry(message, each, aliases[each.log]) for message in messages for each in found.get(message.part, ())
        ]
        for place, records in self._store.add_to_log(entries, self._caps).items():
            if records >= PRESSED * self._tail:
                self._store.compact_log(*place, least=self._tail)
            elif records >= self._tail and place not in self._waiting:
                self._waiting.append(place)

    def _join(self, messages: Sequence[Message], left_out: Mapping[Part, Mapping[int, Reason]]) -> None:
        """An id that was erased since a message was accepted is joined with no other; also where that happens meanwhile."""
        for message in messages:
            for position, known in joinings_of(message.hits):
                if position in left_out.get(message.part, ()):
                    continue
                hit = message.hits[position]
                site = first_of(bytes(hit.pk))
                record = self._records(message.account, {site}).get(site)
                generation = record.generation(message.at) if record else None
                if not (record and generation and generation.until_ms is None and hit.visitor):
                    continue
                log, hash_of = (
                    record.log(message.account, site, generation),
                    hasher_of(message.account, site, generation),
                )
                anonymous, visitor = (Person(hash_of(each), raw_id(each)) for each in (hit.visitor, known))
                asked = log, (anonymous.hash, visitor.hash), message.at
                if not self._is_erased(*asked):
                    self._store.identify(log, anonymous, visitor)
                    if self._is_erased(*asked):
                        self._store.erase_visitor(log, anonymous.hash)

    def _is_erased(self, log: SiteLog, hashes: Collection[bytes], at_ms: int) -> bool:
        """Whether one of these ids was erased after a message was accepted."""
        return any(at_ms < until_ms for until_ms in self._store.erased(log, hashes).values())

    def sweep(self) -> bool:
        """A step of packing what was logged, or of what is due for logs; False where there is nothing to do. Raises Unavailable."""
        if not self._waiting:
            return self._store.sweep_logs()
        self._store.compact_log(*self._waiting.popleft(), least=self._tail)
        return True

    def _records(self, account: str, pks: Collection[str]) -> dict[str, LogRecord]:
        asked_at, found = self._clock(), dict[str, LogRecord | None]()
        for pk in pks:
            known = self._known.get((account, pk))
            if known and asked_at < known[0] + REMEMBERED_S:
                found[pk] = known[1]
        lacking = pks - found.keys()
        if lacking:
            there = self._store.log_records(account, lacking)
            if without := {pk for pk in lacking if pk not in there or not there[pk].is_open}:
                for site in self._store.sites(account):
                    if site.pk in without:
                        there[site.pk] = self._store.begin_log(site)
            for pk in lacking:
                found[pk] = there.get(pk)
                self._known.keep((account, pk), (asked_at, there.get(pk)))
        return {pk: record for pk, record in found.items() if record}

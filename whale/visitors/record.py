"""The record of a site's log: since when it is kept, under which secret, and how. Values and rules alone.

A log has generations, one after the other: the first begins with the site, and another one where the site is made anew. Which one a hit
belongs to follows from the time at which its message was accepted, so two deliveries of a message agree. A generation holds from a
while after it was written, since whoever logs may not know of it before. So do the lists of properties that a site has.
"""

from dataclasses import dataclass, replace

from hail.settings import DAY
from whale.accounts import Site
from whale.visitors.entries import Hasher, SiteLog, hasher

LATEST_S = 31 * DAY
"""How old a message may be that is logged: what it would have to be compared with is forgotten then."""
MOST_LISTINGS = 50
"""That a record keeps. A site whose lists change more often within LATEST_S may list some late messages otherwise."""


@dataclass(frozen=True)
class Generation:
    """Of messages that were accepted from since_ms on, and before until_ms, if that is not None.

    name: as it stands in keys, "" of the first.  secret: hex, under which ids of visitors become hashes.
    """

    name: str
    secret: str
    since_ms: int
    until_ms: int | None = None

    def holds(self, at_ms: int) -> bool:
        return self.since_ms <= at_ms and (self.until_ms is None or at_ms < self.until_ms)


@dataclass(frozen=True)
class Listing:
    """Of messages that were accepted from since_ms on.

    dimensions: properties that are paths in the rollups.  event_properties: those that are an event's and not its visitor's.
    """

    since_ms: int
    dimensions: frozenset[str] = frozenset()
    event_properties: frozenset[str] = frozenset()


NOTHING_LISTED = Listing(-(2**63))


@dataclass(frozen=True)
class LogRecord:
    """Of a site. partitions: never changes.  period_days: for how long at least a visitor is known; None: for ever.

    listings: one after the other, each until the next one holds.  session_gap_s: 0 for that of the settings.
    """

    partitions: int
    period_days: int | None
    keep_days: int
    keep_ids: bool
    generations: tuple[Generation, ...]
    listings: tuple[Listing, ...] = ()
    session_gap_s: int = 0

    @property
    def is_open(self) -> bool:
        return bool(self.generations) and self.generations[-1].until_ms is None

    def generation(self, at_ms: int) -> Generation | None:
        """The one that a message belongs to."""
        return next((each for each in self.generations if each.holds(at_ms)), None)

    def listing(self, at_ms: int) -> Listing:
        """What was listed when a message was accepted."""
        return next((each for each in reversed(self.listings) if each.since_ms <= at_ms), NOTHING_LISTED)

    def log(self, account: str, site: str, generation: Generation, at_ms: int | None = None) -> SiteLog:
        """at_ms: when the message was accepted whose hits are to be logged."""
        return SiteLog(
            account,
            site,
            self.partitions,
            None if self.period_days is None else self.period_days * DAY,
            self.keep_days,
            self.keep_ids,
            self.listing(at_ms).event_properties if at_ms is not None else frozenset(),
            generation.name,
        )


def hasher_of(account: str, site: str, generation: Generation) -> Hasher:
    return hasher(bytes.fromhex(generation.secret), account, site)


def begun(
    seen: LogRecord | None, site: Site, partitions: int, period_days: int | None, since_ms: int, name: str, secret: str
) -> LogRecord:
    """The record of a site that is there. name, secret: random, of the generation that begins where none is open."""
    record = seen or LogRecord(partitions, period_days, site.keep_days, site.keep_ids, ())
    if not record.is_open:
        name = name if record.generations else ""
        record = replace(record, generations=(*record.generations, Generation(name, secret, since_ms)))
    listings = _with_listing(record.listings, site, since_ms)
    return replace(
        record,
        keep_days=site.keep_days,
        keep_ids=site.keep_ids,
        listings=listings,
        session_gap_s=site.session_gap_s,
    )


def _with_listing(listings: tuple[Listing, ...], site: Site, since_ms: int) -> tuple[Listing, ...]:
    """Those that a message may still need, and what a site lists now."""
    now = Listing(since_ms, frozenset(site.dimensions), frozenset(site.event_properties))
    before = listings[-1] if listings else NOTHING_LISTED
    if replace(before, since_ms=since_ms) == now:
        return listings
    over = sum(each.since_ms < since_ms - LATEST_S * 1000 for each in listings)
    return (*listings[max(over - 1, len(listings) - MOST_LISTINGS, 0) :], now)


def restarted(record: LogRecord, at_ms: int, name: str, secret: str) -> LogRecord:
    """The record of a site whose log was reset: from then on there is another one."""
    if not record.is_open:
        return record
    before = ended(record, at_ms)
    end_ms = before.generations[-1].until_ms or at_ms
    return replace(record, generations=(*before.generations, Generation(name, secret, end_ms)))


def without(record: LogRecord, generation: Generation) -> LogRecord | None:
    """The record when a generation is forgotten; None where none is left."""
    left = tuple(each for each in record.generations if each != generation)
    return replace(record, generations=left) if left else None


def ended(record: LogRecord, until_ms: int) -> LogRecord:
    """The record of a site that is gone."""
    if not record.is_open:
        return record
    *before, last = record.generations
    return replace(record, generations=(*before, replace(last, until_ms=max(until_ms, last.since_ms))))

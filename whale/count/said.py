"""Which hits of a message belong in logs of visitors, and what each says. Pure.

A hit belongs there that has a visitor and an event or properties, that counts, and whose first-level pk is a site with a log that holds
messages of its time. What is a site, and since when, stands in records that hold from a while after they were written. So it follows from
the message, and every delivery of it finds the same hits.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import compress, repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np

from hail.columns import Hits
from hail.hit import DAILY, Reason
from hail.message import Message, WireHit
from whale.visitors.deeds import Columns, Deeds, entry_in_columns
from whale.visitors.entries import Done, Hasher, SiteLog
from whale.visitors.identity import Alias
from whale.visitors.record import Generation, LogRecord, hasher_of

_first = msgspec.json.Decoder(tuple[str, ...]).decode
_NONE = np.zeros(0, np.int64)


class ToLog(NamedTuple):
    """Of one message what belongs in the log of one site, in the order of its hits."""

    log: SiteLog
    generation: Generation
    hits: Deeds
    hash_of: Hasher


class Saying(NamedTuple):
    """Of a hit: its position, the first level of its pk, its event and its properties, of which it has at least one."""

    position: int
    pk: str
    event: str
    properties: Mapping[str, str] | None = None


def sayings(hits: Sequence[WireHit]) -> Iterator[Saying]:
    """Of hits with an event or properties."""
    if isinstance(hits, Hits):
        section, events, properties = hits.section, dict(hits.values("event")), dict(hits.values("properties"))
        firsts: dict[int, str] = {}
        for position in sorted(events.keys() | properties.keys()) if properties else events:
            pk = int(section.pk[position])
            if pk not in firsts:
                firsts[pk] = first_of(section.pks[pk].encode())
            yield Saying(position, firsts[pk], events.get(position, ""), properties.get(position))
    else:
        for position, hit in enumerate(hits):
            if (hit.event or hit.properties) and hit.is_legible:
                yield Saying(position, first_of(bytes(hit.pk)), hit.event or "", hit.properties)


def said_by(message: Message, left_out: Collection[int]) -> dict[str, Deeds]:
    """By first-level pk what visitors did, of hits that count. left_out: positions of the others."""
    if isinstance(message.hits, Hits):
        return _in_columns(message.hits, left_out)
    found: dict[str, list[Done]] = {}
    for position, pk, event, properties in sayings(message.hits):
        hit = message.hits[position]
        if hit.visitor and position not in left_out:
            done = Done(hit.visitor, hit.at_ms, event, properties, hit.sub or 0, hit.basis == DAILY)
            found.setdefault(pk, []).append(done)
    return {pk: Deeds.of(done) for pk, done in found.items()}


def _in_columns(hits: Hits, left_out: Collection[int]) -> dict[str, Deeds]:
    """As `said_by`, without an object for each hit."""
    section = hits.section
    positions, visitors = section.fields.get("visitor", (_NONE, ()))
    places = positions.tolist()

    def beside(field: str, otherwise: Any = None) -> list[Any]:
        """What hits with a visitor carry; nothing where no hit carries it."""
        found = dict(hits.values(field))
        return list(map(found.get, places, repeat(otherwise))) if found else []

    events, properties = beside("event", "") or [""] * len(places), beside("properties")
    counts = np.array([*map(bool, events)], bool)
    if properties:
        counts |= np.array([*map(bool, properties)], bool)
    counts &= np.array([*map(bool, visitors)], bool)
    if left_out:
        counts &= ~np.isin(positions, [*left_out])
    subs, are_daily = np.array(beside("sub", 0), np.int64), np.array([*map(bool, beside("basis"))], bool)
    pks = section.pk[positions]
    firsts = {pk: first_of(section.pks[pk].encode()) for pk in np.unique(pks[counts]).tolist()}
    found: dict[str, Deeds] = {}
    for first in dict.fromkeys(firsts.values()):
        mine = counts & np.isin(pks, [pk for pk, name in firsts.items() if name == first])
        some = mine.tolist()
        found[first] = Deeds(
            [*compress(visitors, some)],
            section.at[positions[mine]],
            [*compress(events, some)],
            [*compress(properties, some)],
            subs[mine] if len(subs) else subs,
            are_daily[mine] if len(are_daily) else are_daily,
        )
    return found


def pks_said(hits: Sequence[WireHit]) -> set[str]:
    """The first levels of pks of hits with an event or properties."""
    if not isinstance(hits, Hits):
        return {saying.pk for saying in sayings(hits)}
    section = hits.section
    there = [section.pk[section.fields[field][0]] for field in ("event", "properties") if field in section.fields]
    return {first_of(section.pks[pk].encode()) for pk in dict.fromkeys(np.concatenate([_NONE, *there]).tolist())}


def first_of(pk: bytes) -> str:
    """ "" of one that cannot be read, whose hits do not count."""
    try:
        names = _first(pk)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    return names[0] if names else ""


def sites_at(message: Message, records: Mapping[str, LogRecord]) -> dict[str, frozenset[str]]:
    """The sites whose logs hold a message, and the properties that each lists as dimensions. records: of sites of its account."""
    at = message.at
    return {site: record.listing(at).dimensions for site, record in records.items() if record.generation(at)}


def to_log(message: Message, said: Mapping[str, Deeds], records: Mapping[str, LogRecord]) -> list[ToLog]:
    """records: of sites of the message's account."""
    found = []
    for site, hits in said.items():
        record = records.get(site)
        generation = record.generation(message.at) if record else None
        if record and generation:
            hash_of = hasher_of(message.account, site, generation)
            found.append(ToLog(record.log(message.account, site, generation, message.at), generation, hits, hash_of))
    return found


def entry(message: Message, each: ToLog, aliases: Mapping[bytes, Sequence[Alias]]) -> Columns:
    """What a message adds to the log of a site. aliases: of its visitors. Nothing, but why, where that log has ended meanwhile."""
    kept_s = None if message.lasting else message.kept_s
    found = entry_in_columns(each.log, message.mark, message.at, each.hits, each.hash_of, aliases, kept_s)
    return found if each.generation.until_ms is None else found.all_dropped(Reason.RESET)

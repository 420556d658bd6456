"""Which hits of a message belong in logs of visitors, and what each says. Pure.

A hit belongs there that has a visitor and an event, that counts, and whose first-level pk is a site with a log that holds messages of its
time. What is a site, and since when, stands in records that hold from a while after they were written; so it follows from the message,
and every delivery of it finds the same hits.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec

from hail.columns import Hits
from hail.hit import Reason
from hail.message import Message, WireHit
from whale.visitors.entries import Done, Entry, Hasher, SiteLog, Visitor, entry_of
from whale.visitors.identity import Alias
from whale.visitors.record import Generation, LogRecord, hasher_of

_first = msgspec.json.Decoder(tuple[str, ...]).decode


class ToLog(NamedTuple):
    """Of one message what belongs in the log of one site, in the order of its hits."""

    log: SiteLog
    generation: Generation
    hits: Sequence[Done]
    hash_of: Hasher


class Event(NamedTuple):
    """Of a hit: its position, the first level of its pk, and the event."""

    position: int
    pk: str
    event: str


def events_of(hits: Sequence[WireHit]) -> Iterator[Event]:
    """Of hits that have one."""
    if isinstance(hits, Hits):
        section = hits.section
        firsts: dict[int, str] = {}
        for position, event in hits.values("event"):
            pk = int(section.pk[position])
            if pk not in firsts:
                firsts[pk] = _first_of(section.pks[pk].encode())
            yield Event(position, firsts[pk], event)
    else:
        for position, hit in enumerate(hits):
            if hit.event and hit.is_legible:
                yield Event(position, _first_of(bytes(hit.pk)), hit.event)


def said_by(message: Message, left_out: Collection[int]) -> dict[str, list[Done]]:
    """By first-level pk what visitors did, of hits that count. left_out: positions of the others."""
    found: dict[str, list[Done]] = {}
    for position, pk, done in _all_said(message.hits):
        if position not in left_out:
            found.setdefault(pk, []).append(done)
    return found


def _all_said(hits: Sequence[WireHit]) -> Iterator[tuple[int, str, Done]]:
    visitors = dict(hits.values("visitor")) if isinstance(hits, Hits) else {}
    for position, pk, event in events_of(hits):
        if isinstance(hits, Hits):
            visitor, at_ms = visitors.get(position), int(hits.section.at[position])
        else:
            visitor, at_ms = hits[position].visitor, hits[position].at_ms
        if visitor:
            yield position, pk, Done(visitor, at_ms, event)


def _first_of(pk: bytes) -> str:
    """ "" of one that cannot be read, whose hits do not count."""
    try:
        names = _first(pk)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    return names[0] if names else ""


def sites_at(message: Message, records: Mapping[str, LogRecord]) -> frozenset[str]:
    """The sites whose logs hold a message. records: of sites of its account."""
    return frozenset(site for site, record in records.items() if record.generation(message.at))


def to_log(message: Message, said: Mapping[str, Sequence[Done]], records: Mapping[str, LogRecord]) -> list[ToLog]:
    """records: of sites of the message's account."""
    found = []
    for site, hits in said.items():
        record = records.get(site)
        generation = record.generation(message.at) if record else None
        if record and generation:
            hash_of = hasher_of(message.account, site, generation)
            found.append(ToLog(record.log(message.account, site, generation), generation, hits, hash_of))
    return found


def entry(message: Message, each: ToLog, aliases: Mapping[bytes, Sequence[Alias]]) -> Entry:
    """What a message adds to the log of a site. aliases: of its visitors. Nothing, but why, where that log has ended meanwhile."""
    kept_s = None if message.lasting else message.kept_s
    found = entry_of(each.log, message.mark, message.at, each.hits, each.hash_of, aliases, kept_s)
    if each.generation.until_ms is None:
        return found
    return replace(found, visitors=[_reset(visitor) for visitor in found.visitors], records=())


def _reset(visitor: Visitor) -> Visitor:
    return visitor._replace(id=b"", hits=0, dropped={Reason.RESET: visitor.hits + sum(visitor.dropped.values())})

"""Pks below a pk that begin with some letters, and how much each is used. Pure.

Cost: the names lie in memory, sorted. Counts take three round trips, however many pks are answered.
"""

from collections.abc import Mapping, Sequence

import msgspec

from whale.answer.days_counted import Calendar, last_days
from whale.answer.series import stored_of
from whale.dimension import ROOT, Pk
from whale.errors import CallerError
from whale.period import Interval, Range
from whale.store.contract.counters import Counters

MOST_COUNTED = 1000
COUNTED = 50
"""Pks whose use is told: the most, and by default."""


class PkUsed(msgspec.Struct, frozen=True):
    """hits_today: of the zone that was asked.  last_seen: the last day with a hit; None where no day is kept."""

    pk: Pk
    hits_today: int
    last_seen: str | None


def page_of(count: int, limit: int, offset: int, counts: bool) -> slice:
    """Which of so many pks are answered. Raises CallerError."""
    if offset < 0:
        raise CallerError(f"expected 0 or more, got {offset}", "offset")
    if counts and not 0 <= limit <= MOST_COUNTED:
        raise CallerError(f"expected 1 to {MOST_COUNTED} with counts, or 0 for {COUNTED}, got {limit}", "limit")
    if limit < 0:
        raise CallerError(f"expected 0 or more, got {limit}", "limit")
    size = limit or (COUNTED if counts else count)
    return slice(offset, offset + size)


def used(
    store: Counters, account: str, pks: Sequence[Pk], today: Range, kept: Mapping[Interval, float | None], now: float
) -> list[PkUsed]:
    """How much each of some pks is used. today: in the zone in which days are told."""
    if not pks:
        return []
    zone, hits = store.zone(account), [0] * len(pks)
    for part in today.parts or (today,):
        cells = store.read_many(account, pks, [ROOT], ["hits"], *stored_of(part, zone))
        hits = [one + int(row.sum()) for one, row in zip(hits, cells, strict=True)]
    calendar = Calendar(kept, now, zone)
    days = last_days(store, account, pks, calendar)
    texts = [None if day is None else calendar.last_text(day, today.zone) for day in days]
    return [PkUsed(*row) for row in zip(pks, hits, texts, strict=True)]

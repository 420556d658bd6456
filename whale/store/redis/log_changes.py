"""What visitors said since a moment: the tail has grown, and was frozen and packed once at most.

A frozen tail stays readable for a minute after it was packed, under its word. So what was logged since is known by bytes, whatever became
of them in parts; and what its visitors said before is all that they said but these records.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whale.store.contract.events import Changed, Column, Logged, Moment, Said, Wanted
from whale.store.redis.connection import reachable
from whale.store.redis.log_cache import PartGone
from whale.store.redis.log_reader import Asked, LogReader, Snapshot, logged_of
from whale.sums import distinct
from whale.visitors import parts
from whale.visitors.entries import TICKS_A_MS, SiteLog
from whale.visitors.parts import Records


class LogChanges:
    """For many threads."""

    def __init__(self, reader: LogReader):
        self._reader = reader

    @reachable
    def changed_in_log(
        self, log: SiteLog, partition: int, since: Sequence[tuple[range | None, Moment]], wanted: Wanted
    ) -> Changed | None:
        key = self._reader.key_of(log, partition)
        at = self._reader.snapshot(key)
        said_since = [self._since(key, at, moment) for _, moment in since]
        if any(each is None for each in said_since):
            return None
        new = parts.merged([_by(who, each) for (who, _), each in zip(since, said_since, strict=True) if each])
        first, end = wanted.start_ms * TICKS_A_MS, wanted.end_ms * TICKS_A_MS
        of_new = Asked(at, first, end, wanted.said, None).of_tails([new])
        who = distinct(np.concatenate([np.zeros(0, np.uint32), *(column.visitors for _, column in of_new)]))
        try:
            after = (
                self._reader.read_at(key, at, Asked(at, first, end, wanted.said, who)) if len(who) else Logged({}, {})
            )
        except PartGone:
            return None
        return Changed(at.moment, _without(after, logged_of(of_new, at.names, False)), after)

    @reachable
    def erasures_in_log(self, log: SiteLog, partition: int) -> int:
        return self._reader.erasures(self._reader.key_of(log, partition))

    def _since(self, key: str, at: Snapshot, moment: Moment) -> Records | None:
        run, tail, tails, erased, count = moment
        now = at.moment
        if (now[0], now[3]) != (run, erased):
            return None
        frozen, growing = at.tails
        if (now[1], now[2]) == (tail, tails):
            return _from(growing, count)
        if now[2] != tails + 1:
            return None
        before = frozen if at.words.frozen == tail and len(frozen.ticks) else self._reader.packed_tail(key, tail)
        if before is None or len(before.ticks) < count:
            return None
        return parts.merged([_from(before, count), growing])


def _from(records: Records, place: int) -> Records:
    return Records(records.visitors[place:], records.ticks[place:], records.codes[place:])


def _by(who: range | None, records: Records) -> Records:
    """Those of some visitors."""
    if who is None:
        return records
    return parts.some_of(records, (records.visitors >= who.start) & (records.visitors < who.stop))


def _without(whole: Logged, new: Logged) -> Logged:
    """As it was before some records came."""
    columns: dict[Said, Column] = {}
    for said, column in whole.columns.items():
        left = ~_first_of(column, new.columns[said]) if said in new.columns else None
        if left is not None:
            column = column.some(left)
        columns[said] = column
    return whole._replace(columns={said: column for said, column in columns.items() if len(column)})


def _first_of(column: Column, some: Column) -> NDArray[np.bool_]:
    """Which records of a column are these. Of equal ones it is no matter which."""
    rows = [np.append(*each) for each in zip(some, column, strict=True)]
    order = np.lexsort(rows[::-1])  # of equal ones these come first
    is_new = np.append(True, np.any([np.diff(each[order].astype(np.int64)) != 0 for each in rows], axis=0))
    kind, first = np.cumsum(is_new) - 1, np.flatnonzero(is_new)
    is_mine = order >= len(some)
    wanted = np.bincount(kind, ~is_mine, len(first)).astype(np.int64)
    rank = np.arange(len(order)) - first[kind]  # those of some, then as many of the column
    found = np.zeros(len(column), np.bool_)
    found[order[is_mine] - len(some)] = (rank < 2 * wanted[kind])[is_mine]
    return found

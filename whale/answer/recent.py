"""Who was here last: the visitors of a period by their last event. From the log of a site.

What is read ends where enough visitors are found: the last quarter of an hour is looked at first, and then more and more of the period.
"""

import heapq
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from whale.answer.log_reading import Reading
from whale.answer.site_log import Asked, Log, shown
from whale.period import DAY, HOUR, Range
from whale.store.contract.events import Logged
from whale.visitors.entries import EVENT, TICKS_A_MS

STEPS_S = (HOUR // 4, 6 * HOUR, DAY, 7 * DAY)
"""How much of a period is looked at, before all of it is."""


class Seen(NamedTuple):
    """The last event of a visitor."""

    tick: int
    partition: int
    number: int
    event: str


def recent_of(log: Log, asked: Range, limit: int, now: float) -> dict[str, Any]:
    """The last so many visitors of a period, the newest first, as JSON holds them."""
    for reading in _readings(log, asked, now):
        found = heapq.nlargest(limit, _seen(reading, limit))
        if len(found) == limit:
            break
    ids = {
        partition: log.store.ids_in_log(
            log.log, partition, [each.number for each in found if each.partition == partition]
        )
        for partition in range(log.log.partitions)
    }
    rows = []
    for each in found:
        id_ = ids[each.partition].get(each.number)
        visitor = None if id_ is None else id_.decode("utf-8", "replace")
        rows.append({"visitor": visitor, "at": shown(each.tick // TICKS_A_MS, asked.zone), "event": each.event})
    return {"rows": rows, **log.kept(now, asked.zone, reading)}


def _readings(log: Log, asked: Range, now: float) -> Iterator[Reading]:
    """Of the end of a period, further back each time."""
    for width in (*STEPS_S, asked.end - asked.start):
        start = max(asked.start, min(asked.end, int(now)) - width)
        yield log.partitions(Asked(None, ()), start * 1000, asked.end * 1000)
        if start == asked.start:
            return


def _seen(reading: Reading, limit: int) -> Iterator[Seen]:
    for partition, logged in reading.pieces():
        yield from _last_of(logged, partition, limit)


def _last_of(logged: Logged, partition: int, limit: int) -> list[Seen]:
    """Of one piece, those who came last."""
    names = [name for kind, name in logged.columns if kind == EVENT]
    if not names:
        return []
    whose, when, what = [], [], []
    for place, name in enumerate(names):
        visitors, ticks, _ = logged.columns[EVENT, name]
        last = np.flatnonzero(np.append(visitors[1:] != visitors[:-1], True))
        whose.append(visitors[last])
        when.append(ticks[last])
        what.append(np.full(len(last), place))
    who, tick, event = np.concatenate(whose), np.concatenate(when), np.concatenate(what)
    order = np.lexsort((event, tick, who))
    order = order[np.append(who[order][1:] != who[order][:-1], True)]
    if len(order) > limit:
        order = order[np.lexsort((who[order], tick[order]))[-limit:]]
    return [
        Seen(at, partition, number, names[place])
        for at, number, place in zip(tick[order].tolist(), who[order].tolist(), event[order].tolist(), strict=True)
    ]

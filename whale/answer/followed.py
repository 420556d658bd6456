"""What visitors of a site do next, as JSON holds it: their sessions, what comes beside an event, and who comes back. From its log."""

from collections.abc import Collection, Iterator, Sequence
from threading import Lock
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from hail.hit import DAILY
from whale.answer import paths
from whale.answer.conditions import NOTHING
from whale.answer.log_reading import Read, Reading
from whale.answer.properties import value_of
from whale.answer.retention import Part as Returning
from whale.answer.retention import curve, retention, retention_of_sets
from whale.answer.sessions import ENTRY, EXIT, WHOLE, Group, Part, Told, added, told
from whale.answer.sessions import Asked as SessionsAsked
from whale.answer.sessions import begun as sessions_begun
from whale.answer.sets import Came, Leaf, Numbers
from whale.answer.site_log import TICKS_A_S, Asked, Log, shown
from whale.answer.stretches import pieces, placed, read_on, texts_of
from whale.answer.wanted import logged_name
from whale.period import Range
from whale.store.contract.events import Column, Logged, Said, Wanted
from whale.visitors.entries import EVENT, OTHER


def sessions_of(log: Log, asked: Range, gap_s: int, by: str, page: str, limit: int, now: float) -> dict[str, Any]:
    """Sessions that began in a period. by: ENTRY, EXIT, or a property; WHOLE: not split.  page: the event that is a page view."""
    events = _events(log.names())
    following = _Following(log, asked, gap_s, by, events, now)
    named = events if by in (ENTRY, EXIT) else following.texts
    edges = np.array([*asked.starts, asked.end], np.int64) * TICKS_A_S
    wanted = SessionsAsked(edges, gap_s * TICKS_A_S, events.index(page) if page in events else None, by)

    def work(partition: int, _: range | None, logged: Logged) -> list[Told]:
        return told(following.part(partition, logged), wanted)

    found = added(following.reading.map(work), wanted, limit, lambda place: named[place])
    rows = [{"value": _value(named, place, by), **_group(each)} for place, each in found.groups.items()]
    if found.other.sessions:
        rows.append({"value": OTHER, **_group(found.other)})
    points = [
        {"at": shown(start * 1000, asked.zone), "sessions": count, "bounces": bounces}
        for start, (count, bounces) in zip(asked.starts, found.buckets.tolist(), strict=True)
    ]
    return {
        **_group(found.whole),
        "gap_s": gap_s,
        "basis": log.basis(asked),
        **log.kept(now, asked.zone, following.reading),
        "points": points,
        "rows": rows,
    }


def paths_of(log: Log, asked: Range, event: str, direction: str, gap_s: int, limit: int, now: float) -> dict[str, Any]:
    """What came next, or before, whenever an event happened in a period. Raises UnknownEvent."""
    names = log.names()
    event, events = logged_name(event, names, "event"), _events(names)
    reading = log.partitions(Asked(None, ()), (asked.start - gap_s) * 1000, (asked.end + gap_s) * 1000)
    during = asked.start * TICKS_A_S, asked.end * TICKS_A_S
    folded = events.index(OTHER) if OTHER in events else None
    wanted = paths.Asked(events.index(event), direction, gap_s * TICKS_A_S, during, int(now * TICKS_A_S), limit, folded)

    def work(_: int, __: range | None, logged: Logged) -> list[paths.Told]:
        return paths.told(pieces(logged, events), wanted)

    found = paths.added(reading.map(work), wanted)
    rows = [{"event": events[place], "occurrences": times, "visitors": people} for place, times, people in found.rows]
    if found.other[0]:
        rows.append({"event": OTHER, "occurrences": found.other[0], "visitors": found.other[1]})
    return {
        "event": event,
        "direction": direction,
        "occurrences": found.occurrences,
        "visitors": found.visitors,
        "rows": rows,
        "ended": found.ended,
        "open": found.open,
        "gap_s": gap_s,
        "basis": log.basis(asked),
        **log.kept(now, asked.zone, reading),
    }


def retention_of(log: Log, asked: Range, first: str, again: str, now: float) -> dict[str, Any]:
    """Who came back. asked: its buckets are those of the cohorts.  first, again: events; "" for any. Raises UnknownEvent."""
    starts = [start for start in asked.starts if start <= now]
    edges = [*asked.starts, asked.end][: len(starts) + 1]
    if first or again:
        names = log.names()
        first, again = (
            logged_name(name, names, field) if name else "" for name, field in ((first, "first"), (again, "again"))
        )
    reading, sizes, kept = _returned(log, first, again, edges)
    basis, complete = log.basis(asked), sum(edge <= now for edge in edges[1:])
    is_daily = basis == DAILY
    cohorts = [
        {
            "at": shown(start * 1000, asked.zone),
            "visitors": None if is_daily else sizes[place],
            "kept": None if is_daily else kept[place, place:].tolist(),
            "open_from": max(0, complete - place) if complete < len(starts) else None,
        }
        for place, start in enumerate(starts)
    ]
    return {
        "cohorts": cohorts,
        "curve": None if is_daily else curve(sizes, kept, complete),
        "basis": basis,
        **log.kept(now, asked.zone, reading),
    }


def _returned(log: Log, first: str, again: str, edges: Sequence[int]) -> tuple[Read, list[int], NDArray[np.int64]]:
    """What it was read from, the visitors of each cohort, and who of them came back."""
    crowds = log.who(
        [(EVENT, name) if name else None for name in (first, again)], [0, *(edge * 1000 for edge in edges)]
    )
    if crowds:
        return crowds, *retention_of_sets((began, came[1:]) for began, came in crowds.partitions)
    reading = _returning(log, first, again, edges)
    parts = ((_columns(logged, first), _columns(logged, again)) for logged in reading)
    return reading, *retention((Returning(*part) for part in parts), np.array(edges, np.int64) * TICKS_A_S)


def _value(named: Sequence[str], place: int, by: str) -> Any:
    """Of a row. Other texts than those of rows may be no JSON: those of forgotten values."""
    if place < 0:
        return None
    return named[place] if by in (ENTRY, EXIT) else value_of(named[place])


def _group(group: Group) -> dict[str, Any]:
    median, mean = group.median, group.mean
    return {
        "sessions": group.sessions,
        "visitors": group.visitors,
        "bounces": group.bounces,
        "bounce_rate": group.bounces / group.sessions if group.sessions else None,
        "duration": {
            "median": None if median is None else round(median / TICKS_A_S, 3),
            "mean": None if mean is None else round(mean / TICKS_A_S, 3),
        },
    }


def came_by(
    log: Log, leaf: Came, asked: Range, gap_s: int, now: float
) -> tuple[Reading, Iterator[tuple[int, Leaf, Numbers]]]:
    """Who began a session of which `by` is one of some values, as they are read, each with their partition."""
    events = _events(log.names())
    following = _Following(log, asked, gap_s, leaf.by, events, now)
    edges = np.array([asked.start, asked.end], np.int64) * TICKS_A_S
    wanted = SessionsAsked(edges, gap_s * TICKS_A_S, by=leaf.by)

    def pieces() -> Iterator[tuple[int, Leaf, Numbers]]:
        for partition, logged in following.reading.pieces():
            part, texts = following.part(partition, logged), following.texts
            named = [msgspec.json.encode(name).decode() for name in events] if leaf.by in (ENTRY, EXIT) else texts
            is_one = np.array([text in leaf.values for text in (NOTHING, *named)], np.bool_) != leaf.is_not
            for begun in sessions_begun(part, wanted):
                yield partition, leaf, begun.visitors[is_one[begun.place]].astype(np.uint32)

    return following.reading, pieces()


class _Following:
    """The parts of sessions that begin in a period. For many threads.

    texts: the values of a property by their places, of the parts so far.
    """

    def __init__(self, log: Log, asked: Range, gap_s: int, by: str, events: Sequence[str], now: float):
        names = () if by in (WHOLE, ENTRY, EXIT) else (by,)
        self.reading = log.partitions(Asked(None, names), (asked.start - gap_s) * 1000, asked.end * 1000)
        self.texts: list[str] = []
        self._log, self._end, self._gap_s, self._events, self._now = log, asked.end, gap_s, events, now
        self._places: dict[str, int] = {}
        self._naming = Lock()

    def part(self, partition: int, logged: Logged) -> Part:
        """After the range it reads on for those alone whose sessions are open."""
        stretches = read_on(self._log, self.reading, partition, logged, self._end, self._gap_s, self._now)
        here = texts_of(stretches)
        with self._naming:
            groups = np.array([self._places.setdefault(text, len(self._places)) for text in here], np.int64)
            self.texts.extend([*self._places][len(self.texts) :])
        return Part(
            [piece for each in stretches for piece in pieces(each, self._events)], placed(stretches, here), groups
        )


def _returning(log: Log, first: str, again: str, edges: Sequence[int]) -> Reading:
    """The first events of all that is kept, and those to come back for. A name is read once."""
    end_ms = edges[-1] * 1000
    if first and again and first != again:
        wanted = [Wanted(Asked([first], ()), 0, end_ms), Wanted(Asked([again], ()), edges[0] * 1000, end_ms)]
    else:
        wanted = [Wanted(Asked([first] if first == again and first else None, ()), 0, end_ms)]
    return log.reading(wanted)


def _columns(logged: Logged, event: str) -> list[Column]:
    """Of an event; "" for all."""
    return [column for (kind, name), column in logged.columns.items() if kind == EVENT and event in ("", name)]


def _events(names: Collection[Said]) -> list[str]:
    return sorted(name for kind, name in names if kind == EVENT)

"""Which event comes next, or came before, within a session. Pure.

Of each time that an event happened one event comes next: the visitor's first one that is strictly later, if it is of the same session. Of
several of one tick it is the first by name, so all that came next, and the ends, add up to all times.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whale.answer.streams import Piece, Stream, streams

NEXT, BEFORE = "next", "before"


class Paths(NamedTuple):
    """occurrences, visitors: of the event.  rows: place of the event beside it, times, visitors.  other: times and visitors of all other
    events.  ended: times without an event beside.  open: those of them that may still get one.
    """

    occurrences: int
    visitors: int
    rows: list[tuple[int, int, int]]
    other: tuple[int, int]
    ended: int
    open: int


class Asked(NamedTuple):
    """event: its place.  gap: ticks.  during: ticks.  as_of: the tick before which all is known.  limit: of rows.

    folded: the place of the events past a cap, which are always of `other`.
    """

    event: int
    direction: str
    gap: int
    during: tuple[int, int]
    as_of: int
    limit: int
    folded: int | None = None


class Told(NamedTuple):
    """What a range of visitors says. times: of each place.  who, places: each visitor and each event beside once, by visitors, who count
    from the beginning of the range.
    """

    visitors: int
    ended: int
    open: int
    times: NDArray[np.intp]
    who: NDArray[np.unsignedinteger[Any]]
    places: NDArray[np.unsignedinteger[Any]]


def paths(partitions: Iterable[Sequence[Piece]], asked: Asked) -> Paths:
    """Beside an event in a range. partitions: all events of each, from a gap before the range to a gap after it."""
    return added((told(pieces, asked) for pieces in partitions), asked)


def told(pieces: Sequence[Piece], asked: Asked) -> list[Told]:
    """Of each range of visitors. For any thread."""
    return [_told(stream, asked) for stream in streams(pieces, asked.gap)]


def _told(stream: Stream, asked: Asked) -> Told:
    at = _happened(stream, asked.event, asked.during)
    beside = _beside(stream, at, asked.direction)
    ends = beside < 0
    is_open = asked.direction == NEXT and stream.ticks(at[ends]) + asked.gap >= asked.as_of
    places = stream.places[beside[~ends]].astype(np.int64)
    times = np.bincount(places)
    pairs = (stream.visitors(at[~ends]) - stream.begin) * len(times) + places
    pairs.sort(kind="stable")
    who, places = np.divmod(pairs[np.diff(pairs, prepend=-1) != 0], max(1, len(times)))
    small = [each.astype(np.min_scalar_type(int(each.max(initial=0)))) for each in (who, places)]
    return Told(_different(stream.visitors(at)), int(ends.sum()), int(np.sum(is_open)), times, small[0], small[1])


def added(several: Iterable[Sequence[Told]], asked: Asked) -> Paths:
    """All of them together."""
    parts = [each for some in several for each in some]
    times, folded = Counter[int](), asked.folded
    for each in parts:
        times.update({place: count for place, count in enumerate(each.times.tolist()) if count})
    order = sorted(times, key=lambda place: (place == folded, -times[place], place))
    limit = min(asked.limit, len(order) - (folded in times))
    people = sum(
        (np.bincount(each.places, minlength=max(order, default=0) + 1) for each in parts), np.zeros(1, np.intp)
    )
    hidden = order[limit:]
    other = (
        sum(times[place] for place in hidden),
        sum(_different(each.who[np.isin(each.places, hidden)]) for each in parts) if hidden else 0,
    )
    rows = [(place, times[place], int(people[place])) for place in order[:limit]]
    ended, open_ = sum(each.ended for each in parts), sum(each.open for each in parts)
    visitors = sum(each.visitors for each in parts)
    return Paths(sum(times.values()) + ended, visitors, rows, other, ended - open_, open_)


def _happened(stream: Stream, event: int, during: tuple[int, int]) -> NDArray[np.intp]:
    at = np.flatnonzero(stream.places == event)
    ticks = stream.ticks(at)
    return at[(ticks >= during[0]) & (ticks < during[1])]


def _beside(stream: Stream, at: NDArray[np.intp], direction: str) -> NDArray[np.int64]:
    """Which event comes next, or came before; -1 where there is none in the session."""
    group = np.flatnonzero(np.diff(stream.keys, prepend=stream.keys[0] - 1))  # where each moment of a visitor begins
    mine = np.searchsorted(group, at, "right") - 1
    if direction == NEXT:
        found = np.append(group, len(stream.keys))[mine + 1]
        is_end = np.append(stream.begins, True)[found]
    else:
        found = group[mine - 1]
        is_end = stream.begins[group[mine]]
    return np.where(is_end, -1, found)


def _different(visitors: NDArray[np.integer[Any]]) -> int:
    """How many, where they are in order."""
    return int(np.count_nonzero(visitors[1:] != visitors[:-1])) + bool(len(visitors))

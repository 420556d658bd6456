"""Which event comes next, or came before, within a session. Pure.

Of each time that an event happened one event comes next: the visitor's first one that is strictly later, if it is of the same session. Of
several of one tick it is the first by name, so all that came next, and the ends, add up to all times.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whale.answer.ranges import TICK_BITS
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


def paths(
    partitions: Iterable[Sequence[Piece]],
    event: int,
    direction: str,
    gap: int,
    during: tuple[int, int],
    as_of: int,
    limit: int,
    folded: int | None = None,
) -> Paths:
    """Beside an event in a range. partitions: all events of each, from a gap before the range to a gap after it.

    event: its place.  during: ticks.  as_of: the tick before which all is known.  limit: of rows.
    folded: the place of the events past a cap, which are always of `other`.
    """
    times, people, ended, is_open = Counter[int](), Counter[int](), 0, 0
    visitors = 0
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for pieces in partitions:
        for stream in streams(pieces, gap):
            at = _happened(stream, event, during)
            visitors += _different(stream.keys[at] >> TICK_BITS)
            beside = _beside(stream, at, direction)
            ends = beside < 0
            ended += int(ends.sum())
            if direction == NEXT:
                is_open += int((stream.ticks(at[ends]) + gap >= as_of).sum())
            places = stream.places[beside[~ends]].astype(np.int64)
            who = stream.visitors(at[~ends])
            times.update({place: count for place, count in enumerate(np.bincount(places).tolist()) if count})
            pairs.append((who, places))
    order = sorted(times, key=lambda place: (place == folded, -times[place], place))
    limit = min(limit, len(order) - (folded in times))
    for who, places in pairs:
        people.update({place: _different(who[places == place]) for place in order[:limit]})
    hidden = order[limit:]
    other = (
        sum(times[place] for place in hidden),
        sum(_different(who[np.isin(places, hidden)]) for who, places in pairs),
    )
    rows = [(place, times[place], people[place]) for place in order[:limit]]
    return Paths(sum(times.values()) + ended, visitors, rows, other, ended - is_open, is_open)


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


def _different(visitors: NDArray[np.int64]) -> int:
    """How many, where they are in order."""
    return int(np.count_nonzero(np.diff(visitors))) + bool(len(visitors))

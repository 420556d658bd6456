"""Visits of a site and their splits, as JSON holds them. From its log, in one pass for all splits.

What is held of a visit while others are read: some 20 bytes, and 1 to 4 for each value by which it is split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from hail.hit import of_millionths
from whale.answer import visits
from whale.answer.conditions import NOTHING
from whale.answer.properties import value_of
from whale.answer.ranges import Ints
from whale.answer.site_log import TICKS_A_S, Asked, Log, shown
from whale.answer.stretches import pieces, placed, read_on, texts_of
from whale.answer.visit_rows import Row, added, by_name
from whale.answer.visits import EVENT, Must, Part, Told, Values
from whale.answer.wanted import logged_name
from whale.period import Range
from whale.store.contract.events import Logged
from whale.visitors.entries import EVENT as EVENT_KIND
from whale.visitors.entries import OTHER


@dataclass(frozen=True)
class Question:
    """by: as visits.py has it.  where: all of them hold.  goal: an event, or "".  worth: a property of goals.  page: the event that is a
    page view.  order: of ORDERS.  limit: of rows.
    """

    by: Sequence[str] = ()
    where: Sequence[Must] = ()
    goal: str = ""
    worth: str = "revenue"
    page: str = "pageview"
    order: str = "visits"
    limit: int = 10


def visits_of(log: Log, asked: Range, question: Question, gap_s: int, now: float) -> dict[str, Any]:
    """Of the visits that began in a period. Raises UnknownEvent about the goal."""
    names = log.names()
    events = sorted(name for kind, name in names if kind == EVENT_KIND)
    place_of = {name: place for place, name in enumerate(events)}
    goal = logged_name(question.goal, names, "goal") if question.goal else ""
    edges = np.array([*asked.starts, asked.end], np.int64) * TICKS_A_S
    wanted = visits.Asked(
        edges,
        gap_s * TICKS_A_S,
        place_of.get(question.page),
        place_of[goal] if goal else None,
        question.worth,
        question.by,
        question.where,
    )
    reading = log.partitions(Asked(None, wanted.names), (asked.start - gap_s) * 1000, asked.end * 1000)
    texts_of_events = [OTHER if name == OTHER else msgspec.json.encode(name).decode() for name in events]

    def work(partition: int, _: range | None, logged: Logged) -> list[Told]:
        stretches = read_on(log, reading, partition, logged, asked.end, gap_s, now)
        values = {name: _values(stretches, name) for name in wanted.names}
        said = [piece for each in stretches for piece in pieces(each, events)]
        return visits.told(Part(said, {**values, EVENT: Values([], texts_of_events)}), wanted)

    found = added(reading.map(work), len(edges) - 1, len(question.by), question.order, question.limit)
    points = [
        {"at": shown(start * 1000, asked.zone), **_numbers(row, bool(goal))}
        for start, row in zip(asked.starts, found.points, strict=True)
    ]
    return {
        **_numbers(found.whole, bool(goal)),
        "goal": goal or None,
        "gap_s": gap_s,
        "basis": log.basis(asked),
        **log.kept(now, asked.zone, reading),
        "points": points,
        "rows": {
            by: [_row(row, by, bool(goal)) for row in rows] for by, rows in zip(question.by, found.rows, strict=True)
        },
    }


def _values(stretches: Sequence[Logged], name: str) -> Values:
    texts = texts_of(stretches, name)
    return Values(placed(stretches, texts, name), texts)


def _row(row: Row, by: str, has_goal: bool) -> dict[str, Any]:
    value = None if row.text == NOTHING else value_of(row.text)
    numbers = _numbers(row.numbers, has_goal)
    if by == EVENT:
        numbers = {**numbers, "views": None, "times": numbers["views"]}
    low, high = (float(each) if has_goal and np.isfinite(each) else None for each in (row.low, row.high))
    return {"value": value, **numbers, "low": low, "high": high}


def _numbers(row: Ints, has_goal: bool) -> dict[str, Any]:
    """Nobody knows what converts where no goal is asked."""
    known: Mapping[str, int] = by_name(row)
    some = known["visits"]
    return {
        **{name: known[name] for name in ("visitors", "visits", "views", "bounces")},
        "bounce_rate": known["bounces"] / some if some else None,
        "duration_s": round(known["took"] / some / TICKS_A_S, 3) if some else None,
        **{name: known[name] if has_goal else None for name in ("converters", "converted", "goals")},
        "conversion": known["converted"] / some if some and has_goal else None,
        "worth": of_millionths(known["worth"]) if has_goal else None,
    }

"""A funnel of a site, as it is answered: which parts of the log it needs, and what is said of each step."""

from collections.abc import Iterable, Sequence
from typing import Any

from whale.answer.conditions import Fulfilled, Wanted, shown_again
from whale.answer.funnels import Partition, Step, funnel
from whale.answer.log_reading import Reading
from whale.answer.site_log import TICKS_A_S, Log, shown
from whale.errors import NotFound, UnknownEvent
from whale.period import Range
from whale.store.contract.events import Logged, Said
from whale.visitors.entries import EVENT, EVENT_PROPERTY, PROPERTY


def shown_funnel(log: Log, asked: Range, steps: Sequence[Wanted], window_s: int, now: float) -> dict[str, Any]:
    """How many visitors did these events in this order. Raises UnknownEvent, and NotFound of a property."""
    check_known(log, steps)
    as_of = min(asked.end, int(now))
    reading = _read(log, asked, steps)
    found = funnel((_partition(steps, logged) for logged in reading), window_s * TICKS_A_S, as_of * TICKS_A_S)
    rows = [_step(*row) for row in zip(steps, found, [*found[1:], None], [found[0]] * len(found), strict=True)]
    return {
        "as_of": shown(as_of * 1000, asked.zone),
        "complete": asked.end <= now,
        "window_s": window_s,
        "steps": rows,
        "basis": log.basis(asked),
        **log.kept(now, asked.zone, reading),
    }


def _read(log: Log, asked: Range, steps: Sequence[Wanted]) -> Reading:
    """The events of a range, with properties of theirs; and properties of visitors, which hold whenever they came."""
    said = {condition.said for step in steps for condition in step.where}
    of_visitors = {each for each in said if each[0] == PROPERTY}
    events = {(EVENT, step.event) for step in steps}
    return log.partitions(events | (said - of_visitors), asked.start * 1000, asked.end * 1000, of_visitors)


def _partition(steps: Sequence[Wanted], logged: Logged) -> Partition:
    columns = [logged.columns.get((EVENT, step.event)) for step in steps]
    return Partition(columns, [Fulfilled(step.where, logged) if step.where else None for step in steps])


def check_known(log: Log, steps: Iterable[Wanted]) -> None:
    """Raises UnknownEvent, and NotFound of a property."""
    names = log.names()
    for number, step in enumerate(steps):
        if (EVENT, step.event) not in names:
            raise UnknownEvent(f"no event {ascii(step.event)[:60]} was logged; /events lists those that were", "steps")
        for place, condition in enumerate(step.where):
            if condition.said not in names:
                raise NotFound(_no_property(condition.said), f"steps[{number}].where[{place}].property")


def _no_property(said: Said) -> str:
    kind, name = said
    whose = "events" if kind == EVENT_PROPERTY else "visitors"
    return f"no property {ascii(name)[:60]} of {whose} was logged; /properties lists those that were"


def _step(wanted: Wanted, step: Step, after: Step | None, first: Step) -> dict[str, Any]:
    """A row of a funnel. after: the step that follows, if one does."""
    return {
        "event": wanted.event,
        **({"where": [shown_again(each) for each in wanted.where]} if wanted.where else {}),
        "visitors": step.visitors,
        "occurrences": step.occurrences,
        "conversion": step.visitors / first.visitors if first.visitors else None,
        "dropped": step.visitors - after.visitors - step.open if after else 0,
        "open": step.open,
        "median_s": _seconds(step.quantile(0.5)),
        "p90_s": _seconds(step.quantile(0.9)),
    }


def _seconds(ticks: int | None) -> float | None:
    return None if ticks is None else round(ticks / TICKS_A_S, 3)

"""What of a log a question reads that names events, each with conditions if need be; and by which names they were logged.

An event may be named by its id, as HiiTrack's clients have it. A name goes before an id that reads the same.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hail.meant import nearest
from whale.answer.conditions import Checks, Fulfilled, Wanted
from whale.answer.ids import name_of_id
from whale.answer.log_reading import Reading
from whale.answer.site_log import Log
from whale.errors import NotFound, UnknownEvent
from whale.period import Range
from whale.store.contract.events import Column, Logged, Said
from whale.visitors.entries import EVENT, EVENT_PROPERTY, PROPERTY

MOST_NEAR, MOST_LOOKED = 3, 1000
"""Events that an error names, and those among which it looks for them."""


class Found(NamedTuple):
    """wanted: by the names that were logged.  reading: of these in a range, with the properties that conditions need."""

    wanted: Sequence[Wanted]
    reading: Reading

    def columns(self, logged: Logged) -> list[Column | None]:
        """The events that are wanted, before any condition; None where there are none. logged: a piece of the reading."""
        return [logged.columns.get((EVENT, each.event)) for each in self.wanted]

    def tests(self, logged: Logged) -> list[Fulfilled | None]:
        """What they must fulfil."""
        checks = Checks(logged)
        return [Fulfilled(each.where, checks) if each.where else None for each in self.wanted]


def found(
    log: Log, asked: Range, wanted: Sequence[Wanted], field: str, by: Sequence[Said] = (), has_all: bool = False
) -> Found:
    """What is wanted in a range. field: where the events stood, for errors.  by: properties of which one must be there, for the field `by`.

    has_all: all events are read.  Raises UnknownEvent, and NotFound of a property.
    """
    names = log.names()
    by_name = [each._replace(event=logged_name(each.event, names, field)) for each in wanted]
    needed = {
        f"{field}[{number}].where[{place}].property": condition.said
        for number, each in enumerate(wanted)
        for place, condition in enumerate(each.where)
    }
    for where, property_ in needed.items():
        if property_ not in names:
            raise NotFound(_no_property(property_), where)
    if by and not names.intersection(by):
        raise NotFound(_no_property(by[0]), "by")
    said = {*needed.values(), *names.intersection(by)}
    of_visitors = {each for each in said if each[0] == PROPERTY}
    events = {each for each in names if each[0] == EVENT} if has_all else {(EVENT, each.event) for each in by_name}
    return Found(
        by_name, log.partitions(events | (said - of_visitors), asked.start * 1000, asked.end * 1000, of_visitors)
    )


def logged_name(event: str, names: set[Said], field: str) -> str:
    """The name of an event, which may stand there by its id. Raises UnknownEvent."""
    for name in (event, name_of_id(event)):
        if name and (EVENT, name) in names:
            return name
    raise unknown_event(event, names, field)


def unknown_event(event: str, names: Iterable[Said], field: str) -> UnknownEvent:
    """names: of all that was logged."""
    events = sorted(name for kind, name in names if kind == EVENT)[:MOST_LOOKED]
    near = nearest(event, events, MOST_NEAR)
    meant = (
        f"did you mean {' or '.join(ascii(name)[:60] for name in near)}?" if near else "/events lists those that were"
    )
    return UnknownEvent(f"no event {ascii(event)[:60]} was logged; {meant}", field, near)


def _no_property(said: Said) -> str:
    kind, name = said
    whose = "events" if kind == EVENT_PROPERTY else "visitors"
    return f"no property {ascii(name)[:60]} of {whose} was logged; /properties lists those that were"

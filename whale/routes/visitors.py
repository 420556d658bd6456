"""Routes of visitors of sites: who came, what happened, what one visitor did; two ids become one visitor's, and one is erased."""

from collections.abc import Iterator
from typing import Any

import bottle
import msgspec

from hail.hit import lenient
from whale.answer import sheets
from whale.answer.one_visitor import Export
from whale.library.exporting import exported
from whale.routes.asked_of_visitors import (
    EraseAsked,
    EventsAsked,
    Identified,
    PropertiesAsked,
    VisitorAsked,
    VisitorsAsked,
)
from whale.routes.door import OfCaller
from whale.routes.parameters import object_of, period_of, struct_of
from whale.routes.responses import EXPOSED, PRIVATE, json_answer, sheet_answer

ROWS_AT_ONCE = 1000


class VisitorRoutes(OfCaller):
    """For many threads."""

    def add_to(self, app: bottle.Bottle) -> None:
        door, one = self._door, "/visitor/<visitor:path>"
        door.add(app, "/visitors", ["GET", "POST"], self.visitors, VisitorsAsked)
        door.add(app, "/events", ["GET", "POST"], self.events, EventsAsked)
        door.add(app, "/properties", ["GET", "POST"], self.properties, PropertiesAsked)
        door.add(app, one, ["GET"], self.visitor, VisitorAsked)
        door.add(app, one, ["DELETE"], self.erase, EraseAsked)
        door.add(app, "/identify", ["POST"], self.identify)
        for rule in ("/visitors", "/events", "/properties", one, "/identify"):
            door.add_options(app, rule)

    def visitors(self, asked: VisitorsAsked) -> Any:
        found = self._whale.visitors(
            _site(asked.pk), period_of(asked), segment=asked.segment, tz=asked.tz, tzoffset=asked.tzoffset
        )
        return json_answer(found, headers=PRIVATE)

    def events(self, asked: EventsAsked) -> Any:
        found = self._whale.events(
            _site(asked.pk), period_of(asked), segment=asked.segment, tz=asked.tz, tzoffset=asked.tzoffset
        )
        return json_answer(found, headers=PRIVATE)

    def properties(self, asked: PropertiesAsked) -> Any:
        found = self._whale.properties(
            _site(asked.pk),
            asked.property,
            asked.event,
            of=asked.of,
            when=asked.when,
            limit=asked.limit,
            segment=asked.segment,
            tz=asked.tz,
            tzoffset=asked.tzoffset,
        )
        if asked.format == "json":
            return json_answer(found, headers=PRIVATE)
        rows = (
            [{**row, "value": sheets.json_cell(row["value"])} for row in found["rows"]]
            if asked.property
            else found["properties"]
        )
        return sheet_answer(sheets.of_names("property", rows), asked.format, PRIVATE)

    def visitor(self, asked: VisitorAsked, visitor: str) -> Any:
        if asked.export:
            whole = exported(self._whale, _site(asked.pk), visitor, asked.tz, asked.tzoffset)
            name = 'attachment; filename="visitor.json"'
            headers = {**EXPOSED, **PRIVATE, "Content-Type": "application/json", "Content-Disposition": name}
            return bottle.HTTPResponse(_written(whole), 200, headers)
        found = self._whale.visitor(_site(asked.pk), visitor, asked.limit, tz=asked.tz, tzoffset=asked.tzoffset)
        return json_answer(found, headers=PRIVATE)

    def erase(self, asked: EraseAsked, visitor: str) -> Any:
        return json_answer(self._whale.erase_visitor(_site(asked.pk), visitor), headers=PRIVATE)

    def identify(self) -> Any:
        given = struct_of(object_of(self._door.body(), "the fields"), Identified)
        self._door.check_pk(given.pk)
        return json_answer(self._whale.identify(given.pk, given.anonymous, given.known), headers=PRIVATE)


def _written(found: Export) -> Iterator[bytes]:
    """A JSON object, piece by piece: a visitor may have millions of events."""
    yield msgspec.json.encode(found.head)[:-1]
    for name, rows in (("events", found.events), ("properties", found.properties)):
        yield f',"{name}":['.encode()
        some: list[bytes] = []
        separator = b""
        for row in rows:
            some.append(msgspec.json.encode(row))
            if len(some) == ROWS_AT_ONCE:
                yield separator + b",".join(some)
                separator, some = b",", []
        if some:
            yield separator + b",".join(some)
        yield b"]"
    yield b"}"


def _site(pk: str) -> Any:
    return lenient("pk", pk)

"""Routes of visitors of sites: who came, what happened, what one visitor did; two ids become one visitor's, and one is erased."""

from typing import Any

import bottle

from hail.hit import lenient
from whale.routes.asked import EraseAsked, EventsAsked, Identified, VisitorAsked, VisitorsAsked
from whale.routes.door import OfCaller
from whale.routes.parameters import object_of, period_of, struct_of
from whale.routes.responses import json_answer

PRIVATE = {"Cache-Control": "no-store"}


class VisitorRoutes(OfCaller):
    """For many threads."""

    def add_to(self, app: bottle.Bottle) -> None:
        door, one = self._door, "/visitor/<visitor:path>"
        door.add(app, "/visitors", ["GET", "POST"], self.visitors, VisitorsAsked)
        door.add(app, "/events", ["GET", "POST"], self.events, EventsAsked)
        door.add(app, one, ["GET"], self.visitor, VisitorAsked)
        door.add(app, one, ["DELETE"], self.erase, EraseAsked)
        door.add(app, "/identify", ["POST"], self.identify)
        for rule in ("/visitors", "/events", one, "/identify"):
            door.add_options(app, rule)

    def visitors(self, asked: VisitorsAsked) -> Any:
        found = self._whale.visitors(_site(asked.pk), period_of(asked), tz=asked.tz, tzoffset=asked.tzoffset)
        return json_answer(found, headers=PRIVATE)

    def events(self, asked: EventsAsked) -> Any:
        found = self._whale.events(_site(asked.pk), period_of(asked), tz=asked.tz, tzoffset=asked.tzoffset)
        return json_answer(found, headers=PRIVATE)

    def visitor(self, asked: VisitorAsked, visitor: str) -> Any:
        found = self._whale.visitor(_site(asked.pk), visitor, asked.limit, tz=asked.tz, tzoffset=asked.tzoffset)
        return json_answer(found, headers=PRIVATE)

    def erase(self, asked: EraseAsked, visitor: str) -> Any:
        return json_answer(self._whale.erase_visitor(_site(asked.pk), visitor), headers=PRIVATE)

    def identify(self) -> Any:
        given = struct_of(object_of(self._door.body(), "the fields"), Identified)
        self._door.check_pk(given.pk)
        return json_answer(self._whale.identify(given.pk, given.anonymous, given.known), headers=PRIVATE)


def _site(pk: str) -> Any:
    return lenient("pk", pk)

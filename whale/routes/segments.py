"""Routes of saved segments: sets of visitors of a site under names."""

from typing import Any

import bottle

from whale.library.segmenting import kept_segment
from whale.routes.asked_of_following import SegmentGiven
from whale.routes.door import OfCaller
from whale.routes.parameters import object_of, struct_of
from whale.routes.responses import PRIVATE, json_answer

ALL = "/segments/<site>"
ONE = f"{ALL}/<name:path>"


class SegmentRoutes(OfCaller):
    """For many threads."""

    def add_to(self, app: bottle.Bottle) -> None:
        door = self._door
        door.add(app, ALL, ["GET"], self.segments)
        door.add(app, ONE, ["GET"], self.saved)
        door.add(app, ONE, ["PUT"], self.save)
        door.add(app, ONE, ["DELETE"], self.delete)
        for rule in (ALL, ONE):
            door.add_options(app, rule)

    def segments(self, site: str) -> Any:
        self._door.check_pk(site)
        return json_answer(self._whale.segments(site), headers=PRIVATE)

    def saved(self, site: str, name: str) -> Any:
        self._door.check_pk(site)
        return json_answer(self._whale.saved_segment(site, name), headers=PRIVATE)

    def save(self, site: str, name: str) -> Any:
        self._door.check_pk(site)
        given = struct_of(object_of(self._door.body(), "the fields"), SegmentGiven)
        found, is_new = kept_segment(self._whale, site, name, given.set, given.revision)
        return json_answer(found, 201 if is_new else 200, PRIVATE)

    def delete(self, site: str, name: str) -> Any:
        self._door.check_pk(site)
        self._whale.delete_segment(site, name)
        return bottle.HTTPResponse("", 204, PRIVATE)

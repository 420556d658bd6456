"""Routes of funnels: how far visitors of a site got."""

from typing import Any

import bottle

from hail.hit import lenient
from whale.answer import sheets
from whale.library.funneling import kept_funnel
from whale.routes.asked_of_funnels import FunnelAsked, FunnelGiven
from whale.routes.door import OfCaller
from whale.routes.parameters import object_of, period_of, struct_of
from whale.routes.responses import json_answer, sheet_answer

PRIVATE = {"Cache-Control": "no-store"}
SAVED = "/funnels/<site>"
ONE = f"{SAVED}/<name:path>"


class FunnelRoutes(OfCaller):
    """For many threads."""

    def add_to(self, app: bottle.Bottle) -> None:
        door = self._door
        door.add(app, "/funnel", ["GET", "POST"], self.funnel, FunnelAsked)
        door.add(app, SAVED, ["GET"], self.funnels)
        door.add(app, ONE, ["GET"], self.saved)
        door.add(app, ONE, ["PUT"], self.save)
        door.add(app, ONE, ["DELETE"], self.delete)
        for rule in ("/funnel", SAVED, ONE):
            door.add_options(app, rule)

    def funnel(self, asked: FunnelAsked) -> Any:
        found = self._whale.funnel(
            lenient("pk", asked.pk),
            asked.steps,
            period_of(asked),
            name=asked.name,
            window=asked.window,
            by=asked.by,
            when=asked.when,
            limit=asked.limit,
            compare=asked.compare,
            rate=asked.rate,
            segment=asked.segment,
            tz=asked.tz,
            tzoffset=asked.tzoffset,
        )
        if asked.format == "json":
            return json_answer(found, headers=PRIVATE)
        return sheet_answer(sheets.of_funnel(found), asked.format, PRIVATE)

    def funnels(self, site: str) -> Any:
        self._door.check_pk(site)
        return json_answer(self._whale.funnels(site), headers=PRIVATE)

    def saved(self, site: str, name: str) -> Any:
        self._door.check_pk(site)
        return json_answer(self._whale.saved_funnel(site, name), headers=PRIVATE)

    def save(self, site: str, name: str) -> Any:
        self._door.check_pk(site)
        given = struct_of(object_of(self._door.body(), "the fields"), FunnelGiven)
        found, is_new = kept_funnel(self._whale, site, name, given.steps, given.window, given.revision)
        return json_answer(found, 201 if is_new else 200, PRIVATE)

    def delete(self, site: str, name: str) -> Any:
        self._door.check_pk(site)
        self._whale.delete_funnel(site, name)
        return bottle.HTTPResponse("", 204, PRIVATE)

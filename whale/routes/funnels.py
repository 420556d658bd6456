"""Routes of funnels: how far visitors of a site got."""

from typing import Any

import bottle

from hail.hit import lenient
from whale.answer import sheets
from whale.routes.asked_of_funnels import FunnelAsked
from whale.routes.door import OfCaller
from whale.routes.parameters import period_of
from whale.routes.responses import json_answer, sheet_answer

PRIVATE = {"Cache-Control": "no-store"}


class FunnelRoutes(OfCaller):
    """For many threads."""

    def add_to(self, app: bottle.Bottle) -> None:
        door = self._door
        door.add(app, "/funnel", ["GET", "POST"], self.funnel, FunnelAsked)
        door.add_options(app, "/funnel")

    def funnel(self, asked: FunnelAsked) -> Any:
        found = self._whale.funnel(
            lenient("pk", asked.pk),
            asked.steps,
            period_of(asked),
            window=asked.window or "1d",
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

"""Where the page finds the live service, which is another one: whale/live."""

from typing import Any

import bottle

from hail.problem import HOST
from whale.routes.door import OfCaller
from whale.routes.responses import json_answer


class LiveRoutes(OfCaller):
    """For many threads."""

    def add_to(self, app: bottle.Bottle) -> None:
        self._door.add(app, "/live_token", ["GET"], self.live_token)

    def live_token(self) -> Any:
        host = bottle.request.environ.get("HTTP_HOST", "")
        said = self._whale.live_token(host if HOST.fullmatch(host) else "")
        return json_answer(said, headers={"Cache-Control": "no-store"})

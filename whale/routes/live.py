"""Where the page finds the live service, which is another one: whale/live."""

from typing import Any

import bottle

from hail.problem import HOST
from whale.accounts import hash_of
from whale.live.admission import Looker, way_in
from whale.routes.door import Door, OfCaller
from whale.routes.responses import json_answer


class LiveRoutes(OfCaller):
    """For many threads."""

    def add_to(self, app: bottle.Bottle) -> None:
        self._door.add(app, "/live_token", ["GET"], self.live_token)

    def live_token(self) -> Any:
        host, settings = bottle.request.environ.get("HTTP_HOST", ""), self._door.settings
        host = host if HOST.fullmatch(host) else settings.whale_bind
        said = way_in(settings, looker_of(self._door), host, self._door.clock())
        return json_answer(said, headers={"Cache-Control": "no-store"})


def looker_of(door: Door) -> Looker:
    """Who sent the request that was let in, as who looks at what is live. Raises Unavailable."""
    caller, environ = door.caller, bottle.request.environ
    if caller.key:
        return Looker(caller.account, key=hash_of(door.access.secret(environ).decode("latin-1")))
    if caller.user is not None and door.logins:
        return door.logins.looker(caller, environ)
    return Looker(caller.account)

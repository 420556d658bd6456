"""Routes about the service itself: the description of the API, health, and its own counters."""

from typing import Any

import bottle

from hail.metrics import CONTENT_TYPE, exposition
from whale.client import Whale
from whale.errors import NotAllowed, Unavailable
from whale.routes import openapi
from whale.routes.door import Door
from whale.routes.responses import json_answer, said_of, text_answer, unavailable


class ServiceRoutes:
    """For many threads. Only the state of all parts asks for a key."""

    def __init__(self, door: Door, whale: Whale):
        self._door, self._whale = door, whale  # the service's own

    def add_to(self, app: bottle.Bottle) -> None:
        self._door.add(app, "/health.json", ["GET"], self.health)
        self._door.add_options(app, "/health.json")
        self._door.add_plain(app, "/openapi.json", lambda: json_answer(openapi.document()))
        self._door.add_plain(app, "/healthz", healthz)
        self._door.add_plain(app, "/readyz", self.readyz)
        self._door.add_plain(app, "/metrics", metrics)

    def health(self) -> Any:
        if self._door.caller.account != self._whale.account:
            raise NotAllowed(
                "the state of the service is shown to whoever may read the account that it was set up with"
            )
        return json_answer(self._whale.health(), headers={"Cache-Control": "no-store"})

    def readyz(self) -> Any:
        try:
            self._whale.pks()
        except Unavailable as error:
            return unavailable(error).response()
        try:
            self._whale.store.check_writable()
        except Unavailable as error:  # questions are answered
            return json_answer({"ready": True, "store": "takes no writes", "detail": said_of(error)})
        return json_answer({"ready": True, "store": "up"})


def healthz() -> Any:
    return text_answer("OK\n")


def metrics() -> Any:
    return bottle.HTTPResponse(exposition(), 200, {"Content-Type": CONTENT_TYPE})

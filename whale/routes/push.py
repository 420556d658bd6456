"""Routes of what is said to one visitor: who listens, what was said, and a word to them. Their own pages ask live: whale/live/push.py."""

from typing import Any

import bottle

from whale.answer import sheets
from whale.routes.asked_of_talks import ListeningAsked, TalkAsked
from whale.routes.door import OfCaller
from whale.routes.parameters import address_query, asked_of, object_of
from whale.routes.responses import PRIVATE, json_answer, sheet_answer

SITE = "/push/<site>"
ONE = f"{SITE}/<visitor>"


class PushRoutes(OfCaller):
    """For many threads."""

    def add_to(self, app: bottle.Bottle) -> None:
        door = self._door
        door.add(app, SITE, ["GET"], self.listening)
        door.add(app, ONE, ["GET"], self.talk)
        door.add(app, ONE, ["POST"], self.push)
        door.add_options(app, SITE)
        door.add_options(app, ONE, "POST")

    def listening(self, site: str) -> Any:
        self._door.check_pk(site)
        asked = self._asked(ListeningAsked)
        found = self._whale.listening(site, asked.limit)
        if asked.format == "json":
            return json_answer(found, headers=PRIVATE)
        rows = [_flat(row) for row in found["rows"]]
        return sheet_answer(sheets.of_names("visitor", rows), asked.format, PRIVATE)

    def talk(self, site: str, visitor: str) -> Any:
        self._door.check_pk(site)
        return json_answer(self._whale.talk(site, visitor, self._asked(TalkAsked).after), headers=PRIVATE)

    def push(self, site: str, visitor: str) -> Any:
        self._door.check_pk(site)
        return json_answer(
            self._whale.push(site, visitor, object_of(self._door.body(), "what to say")), headers=PRIVATE
        )

    def _asked(self, kind: Any) -> Any:
        return asked_of(address_query(bottle.request.environ), kind, self._door.settings.ignored_parameters)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    last = row["last"] or {"id": None, "by": None, "data": None}
    return {
        "visitor": row["visitor"],
        "pages": row["pages"],
        "last": last["id"],
        "by": last["by"],
        "data": None if last["data"] is None else sheets.json_cell(last["data"]),
    }

"""Routes of notes on the time axis: a deploy writes one, charts and shifts show it."""

from typing import Any

import bottle

from hail.hit import lenient
from whale.answer.sheets import of_notes
from whale.answer.unknown import Unknowns, unknown_header
from whale.dimension import pk_asked
from whale.errors import CallerError
from whale.routes.asked import NotesAsked
from whale.routes.door import OfCaller
from whale.routes.parameters import period_of
from whale.routes.responses import json_answer, sheet_answer

NOTE = ("at", "text", "pk", "id")


class NoteRoutes(OfCaller):
    """For many threads."""

    def add_to(self, app: bottle.Bottle) -> None:
        door = self._door
        door.add(app, "/notes", ["GET"], self.notes, NotesAsked)
        door.add(app, "/notes", ["POST"], self.note)
        door.add(app, "/notes/<id:path>", ["DELETE"], self.delete_note)
        door.add_options(app, "/notes")
        door.add_options(app, "/notes/<id:path>")

    def notes(self, asked: NotesAsked) -> Any:
        asking = self._whale.asking.now()
        pk = pk_asked(lenient("pk", asked.pk)) if asked.pk else None
        period = asking.range_of(period_of(asked), asked.tz, asked.tzoffset, week=asked.week)
        unknown = asking.unknown(pk) if pk else []
        found, headers = asking.notes(pk, period), unknown_header(Unknowns(unknown))
        if asked.format == "json":
            return json_answer(found, headers=headers)
        return sheet_answer(of_notes(found), asked.format, headers)

    def note(self) -> Any:
        given = self._door.given("text")
        for field in sorted(given.keys() - {*NOTE}):
            raise CallerError(f"is not a field here: expected {', '.join(NOTE)}", ascii(field)[1:-1])
        id = self._whale.note(given.pop("text", None), **given)
        return json_answer({"id": id}, 201)

    def delete_note(self, id: str) -> Any:
        self._whale.delete_note(id)
        return json_answer({"id": id})

"""Notes on the time axis in the library; a part of Whale, see client.py."""

import secrets
import unicodedata
from typing import Any

from hail.hit import MILLION, Reason, name_of, parse_hit, parse_time
from whale.answer.asking import Period
from whale.dimension import pk_asked
from whale.errors import CallerError, NotFound
from whale.library.arguments import on_default
from whale.library.questions import Questions
from whale.store.contract.timeline import Note

MOST_TEXT = 500  # bytes of a note
LINES = "\n\t"  # control characters that a note may have


class Noting(Questions):
    """Questions, and the notes of people beside their answers."""

    @on_default
    def note(self, text: str, at: Any = None, pk: Any = None, id: Any = None) -> str:
        """Writes a note, such as the name of a release; returns its id.

        at: default now.  pk: that it is about; default all.  id: default a new one. The same note again with its id is kept once.
        The account keeps 1,000 notes: beyond them the one with the earliest time is deleted.
        Raises HitError, CallerError, Unavailable; after Unavailable repeat the call with the same id.
        """
        now, content, names = self.clock(), _text_of(text), None if pk is None else pk_asked(pk)
        if names is not None:
            parse_hit({"pk": list(names)}, self.settings, now)  # names within their limits
        name = secrets.token_hex(6) if id is None else name_of(id, "id", self.settings, Reason.BAD_ID)
        at_ms = parse_time(now if at is None else at, now) * 1000 // MILLION
        self.store.write_note(self.account, Note(name, at_ms, names, content), at is not None)
        return name

    @on_default
    def notes(
        self, pk: Any = None, period: Period = None, *, tz: str | None = None, tzoffset: Any = None
    ) -> list[dict[str, Any]]:
        """[{"id", "at", "pk", "text"}, ...] of a period, by time: those of the pk and those of none; without a pk all."""
        asking = self.asking.now()
        return asking.notes(None if pk is None else pk_asked(pk), asking.range_of(period, tz, tzoffset))

    @on_default
    def delete_note(self, id: Any) -> None:
        """Deletes a note; raises NotFound where there is none."""
        name = name_of(id, "id", self.settings, Reason.BAD_ID)
        if not self.store.erase_note(self.account, name):
            raise NotFound(f"no note has the id {ascii(name)[:60]}", "id")


def _text_of(text: str) -> str:
    """Raises CallerError."""
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise CallerError("expected text, got nothing", "text")
    if (size := len(text.encode())) > MOST_TEXT:
        raise CallerError(f"expected at most {MOST_TEXT} bytes, got {size}", "text")
    for letter in text:
        if unicodedata.category(letter) == "Cc" and letter not in LINES:
            raise CallerError(f"expected text without control characters, got {letter!a}", "text")
    return text

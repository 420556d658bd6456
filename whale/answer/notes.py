"""Notes of people as answers hold them: those of a period, and those near the begin of a shift. Pure."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from hail.times import EPOCH
from whale.dimension import Pk
from whale.period import tz
from whale.store.contract.timeline import Note

MOST_NEAR = 10


def about(notes: Iterable[Note], pk: Pk | None) -> list[Note]:
    """Those of a pk, and those that name none; of None all."""
    return [note for note in notes if pk is None or note.pk in (None, pk)]


def said(note: Note, zone: str) -> dict[str, Any]:
    """As JSON holds it. zone: of its time."""
    when = (EPOCH + timedelta(milliseconds=note.at_ms)).astimezone(tz(zone))
    precision = "milliseconds" if note.at_ms % 1000 else "seconds"
    pk = None if note.pk is None else list(note.pk)
    return {"id": note.id, "at": when.isoformat(timespec=precision), "pk": pk, "text": note.text}


def near(notes: Sequence[Note], begin: int, since: int, until: int) -> list[dict[str, Any]]:
    """Those from `since` until before `until`, the nearest to `begin` first, at most MOST_NEAR. All in epoch seconds.

    after_s: seconds from the note to `begin`, negative where the note came later.
    """
    some = [note for note in notes if since * 1000 <= note.at_ms < until * 1000]
    some.sort(key=lambda note: (abs(begin * 1000 - note.at_ms), note.place))
    return [
        {"id": note.id, "text": note.text, "after_s": round(begin - note.at_ms / 1000)} for note in some[:MOST_NEAR]
    ]

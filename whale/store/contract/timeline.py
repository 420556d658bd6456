"""Notes that people write on the time axis: a release, a campaign, an outage."""

from dataclasses import dataclass
from typing import Protocol

from whale.dimension import Pk
from whale.errors import CallerError

MOST_NOTES = 1000
"""Of an account. Past it the one with the earliest time goes."""


@dataclass(frozen=True, slots=True)
class Note:
    """pk: that it is about; None: all of the account."""

    id: str
    at_ms: int
    pk: Pk | None
    text: str

    @property
    def place(self) -> tuple[int, bytes]:
        """By which notes are sorted."""
        return self.at_ms, self.id.encode()


def other_note() -> CallerError:
    """What says that an id is taken."""
    return CallerError("belongs to another note: send a new id", "id")


class Timeline(Protocol):
    """For many threads."""

    def write_note(self, account: str, note: Note, is_timed: bool) -> None:
        """Keeps a note, and forgets those with the earliest time past MOST_NOTES; never the one that is written.

        The same id again changes nothing; with another text or pk it is CallerError, and with another time where that was given.
        is_timed: whether it was. Else the time is when the note was first written.
        """

    def notes_between(self, account: str, start_ms: int, end_ms: int) -> list[Note]:
        """Those from a time until before another, by time."""

    def erase_note(self, account: str, id: str) -> bool:
        """Whether there was one."""

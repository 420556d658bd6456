"""Decisions that somebody defined."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from whale.errors import CallerError


@dataclass(frozen=True)
class Defined:
    """A definition, or what an import was, that is kept. revision: 1 or more.  text: JSON."""

    revision: int
    text: bytes


def too_many_definitions(most: int) -> CallerError:
    """What says that no further decision can be defined."""
    return CallerError(f"this account has defined {most} decisions, which is the limit", "name")


class Definitions(Protocol):
    """For many threads."""

    def definitions(self, account: str, names: Sequence[str] | None = None) -> dict[str, Defined]:
        """Definitions by name; of None all of the account. One read; what is not there is left out."""

    def define(self, account: str, name: str, seen: int, new: Defined) -> Defined | None:
        """Keeps a definition where the revision that is there is `seen` (0: none); else returns the one that is there, if any.

        Returns `new` where it is kept. Raises CallerError where a new name is past `max_definitions` of the account.
        """

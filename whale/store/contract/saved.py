"""What people save of a site under a name, to ask for it again: a definition, and nothing that was counted."""

from typing import Protocol

from whale.errors import CallerError
from whale.store.contract.definitions import Defined

FUNNELS, SEGMENTS = "funnels", "segments"
"""Kinds. Names of one kind know nothing of those of another."""
MOST_SAVED = 50
"""Of a site, of each kind."""


def too_many_saved(kind: str) -> CallerError:
    return CallerError(f"this site has {MOST_SAVED} saved {kind}, which is the limit: delete one first", "name")


class Saved(Protocol):
    """For many threads. A reset leaves it; it goes with its site."""

    def saved(self, account: str, site: str, kind: str) -> dict[str, Defined]:
        """All of a kind, by name. One read."""

    def keep_saved(self, account: str, site: str, kind: str, name: str, seen: int, new: Defined) -> Defined | None:
        """Keeps a definition where the revision that is there is `seen` (0: none); else returns the one that is there, if any.

        Returns `new` where it is kept. Raises CallerError where a new name is past MOST_SAVED.
        """

    def forget_saved(self, account: str, site: str, kind: str, name: str) -> bool:
        """Whether there was one."""

    def forget_all_saved(self, account: str, site: str) -> None:
        """All that is saved of it."""

"""Which message owns a hit id."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from whale.cells import Name


class Ids(Protocol):
    """For one thread at a time."""

    def claim(self, account: str, ids: Sequence[tuple[str, Name]], now: float) -> set[int]:
        """Claims hit ids for their messages; returns the positions of those that another message owns.

        First wins, for `dedupe_window_s` and the age a spool may have. A message finds its own claims again.
        """

    def claim_each(self, ids: Mapping[str, Sequence[tuple[str, Name]]], now: float) -> dict[str, set[int]]:
        """`claim` of several accounts, in one round trip to each server."""

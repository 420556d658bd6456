"""Traces of the last hits, for people to look at."""

from collections.abc import Collection, Mapping
from typing import Protocol

from whale.spy import Traces


class Spy(Protocol):
    """For many threads."""

    def spy_add(self, account: str, traces: Traces, now: float) -> None:
        """Keeps the newest `spy.KEPT` traces of each list for a day, of at most `max_spied_visitors` visitors, the newest."""

    def spied_visitors(self, account: str) -> frozenset[str]:
        """Who stands in traces."""

    def spy_forget(self, account: str, visitors: Mapping[str, int]) -> None:
        """Forgets the traces of some visitors, and those of refused hits that name one of them. visitors: each with the ms; what was
        accepted, or refused, before goes.
        """

    def spy_add_each(self, traces: Mapping[str, Traces], now: float) -> Collection[str]:
        """`spy_add` of several accounts, in one round trip to each server. Gives those whose traces were not taken.

        Raises Unavailable where that is so for all.
        """

    def spied(self, account: str, visitor: str | None = None) -> list[bytes]:
        """Traces of a visitor; of None, of the account: what counted, then what did not. Then what was refused, of whomever.

        Each oldest first.
        """

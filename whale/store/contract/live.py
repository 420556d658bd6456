"""What people watch while it is counted: who looks, and what they are told. It is gone once it was told."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Protocol

from whale.dimension import Pk

MOST_LOOKED = 1000
Heard = Callable[[float], bytes | None]
"""The next that was published; None where nothing came in so many seconds. Raises Unavailable."""


class Live(Protocol):
    """For many threads."""

    def look(self, account: str, pks: Collection[Pk], kept_s: float) -> None:
        """Says for so many seconds that somebody looks at these pks; () is all of them. The newest MOST_LOOKED are kept."""

    def looked(self, account: str) -> frozenset[Pk]:
        """The pks that somebody looks at. Where nobody says so any more, a pk may stay until the next one looks or its time ends."""

    def publish(self, account: str, said: bytes) -> None:
        """To everybody who hears at this moment."""

    def hear(self, account: str) -> AbstractContextManager[Heard]:
        """What is published from now on, for one thread."""

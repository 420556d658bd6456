"""What people watch while it is counted: who looks, and what they are told. It is gone once it was told."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from whale.dimension import Pk

MOST_LOOKED = 1000
MOST_LOGGED_OUT = 1000
"""Sessions of an account that are known to be over, the newest."""


class Hearing(ABC):
    """What is published of some accounts. For one thread."""

    @abstractmethod
    def hear(self, account: str) -> None:
        """From when this returns. Raises Unavailable."""

    @abstractmethod
    def leave(self, account: str) -> None:
        """No more of it. Raises Unavailable."""

    @abstractmethod
    def next(self, wait_s: float) -> tuple[str, bytes] | None:
        """The account, and what was published; None where nothing came in so many seconds. Raises Unavailable."""


class Live(Protocol):
    """For many threads."""

    def look(self, looked: Mapping[str, Collection[Pk]], kept_s: float) -> None:
        """Says for so many seconds that somebody looks at these pks of each account; () is all of them.

        The newest MOST_LOOKED of an account are kept. Three round trips to each node, however many accounts there are.
        """

    def looked(self, account: str) -> frozenset[Pk]:
        """The pks that somebody looks at. Where nobody says so any more, a pk may stay until the next one looks or its time ends."""

    def publish(self, account: str, said: bytes) -> None:
        """To everybody who hears at this moment."""

    def hearing(self) -> AbstractContextManager[Hearing]:
        """Hears of no account yet."""

    def log_out(self, account: str, session: str, kept_s: float) -> None:
        """Keeps for so many seconds, or until MOST_LOGGED_OUT newer ones came, that a session of an account is over."""

    def logged_out(self, account: str) -> frozenset[str]:
        """Such sessions. One read. One may stay longer than it was to be kept."""

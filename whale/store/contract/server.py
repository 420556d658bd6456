"""The server behind a store."""

from typing import Protocol, Self


class Server(Protocol):
    """For many threads."""

    shards: int

    def check_writable(self) -> None:
        """Raises Unavailable where the store takes no writes now; writes nothing."""

    def version(self) -> str:
        """Of the server, such as 7.0.15, of several the oldest; empty where there is none."""

    def rewrite_aof(self) -> str:
        """Has the file of writes rewritten, so that what was removed goes there too: `rewriting` where this began, `kept` where it did
        not, as the server is not HailWhale's own or is at it already, `none` where no such file is written.
        """

    def remove_stamps(self) -> int:
        """Of how many pks it was noted that a process remembers what lies in the store: it is not any more. Safe while they count."""

    def hurried(self, timeout_s: float) -> Self:
        """The same store over a connection of its own, which waits at most about three times so long for an answer."""

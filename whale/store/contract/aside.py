"""Bytes of hits that no program could read."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

ASIDE_KEPT_S = 31 * 86_400


class Illegible(NamedTuple):
    """A hit that no program could read. name: "<publisher>-<seq>.<position>".  at_ms: when it was accepted.  raw: its bytes."""

    name: str
    at_ms: int
    raw: bytes


def last_within(hits: Sequence[Illegible], most: int) -> list[Illegible]:
    """The newest of some hits that fit into so many bytes with their names, oldest first; of a large one a beginning."""
    cut = sorted((hit._replace(raw=hit.raw[: most // 10]) for hit in hits), key=lambda hit: hit.at_ms)
    size = 0
    for position in range(len(cut) - 1, -1, -1):
        size += len(cut[position].name) + len(cut[position].raw)
        if size > most:
            return cut[position + 1 :]
    return cut


class Aside(Protocol):
    """For many threads."""

    def set_aside(self, account: str, hits: Sequence[Illegible]) -> None:
        """Keeps the bytes of hits that cannot be read for 31 days, each once, up to `max_undecodable_bytes`; the newest stay.

        Of one that is larger than a tenth of that the beginning.
        """

    def aside(self, account: str) -> list[Illegible]:
        """What `set_aside` keeps, the oldest first."""

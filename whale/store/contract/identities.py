"""Which ids are one visitor's."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from whale.visitors.entries import SiteLog
from whale.visitors.identity import Alias, Person

MOST_ALIASES = 100
"""Of a visitor. Who has so many is somebody else."""
HOLDS_AFTER_MS = 5_000
"""From when on an alias or an erasure holds, after it was written. Meanwhile whoever logs may not know of it, and clocks may differ."""
ERASED = "erased"
"""Why a hit is not logged: its visitor was erased."""


class Identities(Protocol):
    """For many threads. How ids become one person's: see whale/visitors/identity.py."""

    def identify(self, log: SiteLog, anonymous: Person, known: Person) -> str:
        """That two ids are one person's: `joined`, or with nothing changed `already` or `other_known`, or EVENTS_FULL where the
        logs of the account take as much as they may.

        It holds for messages that are accepted later, and is never taken back. Where it is cut off it is not so, and the same again
        ends it. Of two that cross both may be refused.
        """

    def aliases(self, log: SiteLog, hashes: Collection[bytes]) -> dict[bytes, Sequence[Alias]]:
        """Those of these ids that are or were aliases. One is known for a period after it was asked for last, as a visitor is."""

    def aliases_of(self, asked: Mapping[SiteLog, Collection[bytes]]) -> dict[SiteLog, dict[bytes, Sequence[Alias]]]:
        """`aliases` of several logs, in one round trip where these have none."""

    def ids_of_visitor(self, log: SiteLog, hash_: bytes) -> list[bytes]:
        """The hashes of all ids of a visitor, by any of them; the id under which they came first stands first."""

    def erase_visitor(self, log: SiteLog, hash_: bytes) -> set[bytes]:
        """Forgets a visitor by any of their ids: their ids, and who stands for whom. Their records are read no more. Gives the hashes
        of all of their ids.

        Hits of messages that were accepted before, or within HOLDS_AFTER_MS, are not logged: `erased`. Who comes later is new.
        Where it was cut off, the same again ends it.
        """

    def erased(self, log: SiteLog, hashes: Collection[bytes]) -> dict[bytes, int]:
        """Of ids that were erased and are not forgotten yet, the ms until which what was accepted is not logged."""

    def purge_log(self, log: SiteLog, partition: int) -> bool:
        """A step of removing the records of who was erased. False where there is nothing to do now."""

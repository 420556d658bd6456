"""Which ids are one visitor's."""

from collections.abc import Collection
from typing import Protocol

from whale.visitors.entries import SiteLog
from whale.visitors.identity import Alias, Person

MOST_ALIASES = 100
"""Of a visitor. Who has so many is somebody else."""
HOLDS_AFTER_MS = 5_000
"""From when on an alias holds, after it was written: for as long may whoever logs remember that there is none, and clocks differ."""


class Identities(Protocol):
    """For many threads. How ids become one person's: see whale/visitors/identity.py."""

    def identify(self, log: SiteLog, anonymous: Person, known: Person) -> str:
        """That two ids are one person's: `joined`, or with nothing changed `already` or `other_known`.

        It holds for messages that are accepted later, and is never taken back. Where it is cut off it is not so, and the same again
        ends it. Of two that cross both may be refused.
        """

    def aliases(self, log: SiteLog, hashes: Collection[bytes]) -> dict[bytes, Alias]:
        """Those of these ids that are aliases. One is known for a period after it was asked for last, as a visitor is."""

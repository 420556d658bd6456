"""Reading a large log of visitors piece by piece, and only what is new."""

from collections.abc import Sequence
from typing import Protocol

from whale.store.contract.events import Changed, Moment, Wanted
from whale.visitors.entries import SiteLog


class LogRanges(Protocol):
    """For many threads."""

    def changed_in_log(
        self, log: SiteLog, partition: int, since: Sequence[tuple[range | None, Moment]], wanted: Wanted
    ) -> Changed | None:
        """What else was said of what is wanted, since some ranges of visitors were read, each at a moment.

        None where that is not known: too much was logged or somebody was erased since, or the server is another one.
        """

    def erasures_in_log(self, log: SiteLog, partition: int) -> int:
        """Another number after each id that is erased in it."""

    def ranges_in_log(
        self, log: SiteLog, partition: int, wanted: Sequence[Wanted], most: float
    ) -> Sequence[range | None]:
        """Ranges of visitors to read one after the other, which together are everybody.

        most: records that are wanted of a range; only one of BLOCK visitors may have more.
        """

    def records_in_log(self, log: SiteLog, partition: int, start_ms: int, end_ms: int) -> int:
        """At most so many were said in [start, end); more cheaply known than read."""

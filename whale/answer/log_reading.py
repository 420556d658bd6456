"""What a question about the visitors of a site reads: a partition after the other, and of a large one ranges of visitors.

Each visitor is in one piece with all that is asked of them, so what pieces say adds up. A piece takes a bounded memory, whatever the site
is. Of large questions a process answers one at a time; a few wait, and who comes then is told to come again.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hail.room import MEGABYTE, keep_freed
from whale.store.contract.events import Column, Events, Logged, Wanted
from whale.store.contract.identities import Identities
from whale.store.contract.log_ranges import LogRanges
from whale.store.contract.log_who import LogWho
from whale.store.contract.site_logs import SiteLogs
from whale.turns import Turns
from whale.visitors.entries import SiteLog

FOR_EVER_MS = 2**42
RECORD_BYTES = 32
"""Of a record while it is read: its key and value, what of them is in time, and these put together."""
AT_ONCE = 2
"""Pieces: one is read while the question is about another one."""
PIECES = 8
"""Of a large question at least, if it has visitors enough: so threads end at about one time."""
MANY = 1_000_000
"""Records that a large question may touch."""
WAITING = 4
T = TypeVar("T")
_turns = Turns(WAITING, "too many large questions at once: try again in a second")


class LogReading(Events, LogRanges, LogWho, Identities, SiteLogs, Protocol):
    """What is asked of a store."""


class Read(Protocol):
    """is_incomplete: some of what was read is lost."""

    @property
    def is_incomplete(self) -> bool: ...


@dataclass
class Reading:
    """What is wanted of one log, all of a visitor in one piece. wanted: of different names.  most_mb: that a piece takes.

    only: the visitors of each partition who are to be in it; None for everybody.

    is_incomplete: some of what was read so far is lost.
    """

    store: LogReading
    log: SiteLog
    wanted: Sequence[Wanted]
    most_mb: float
    only: Sequence[NDArray[np.uint32]] | None = None
    is_incomplete: bool = field(default=False, init=False)

    def __iter__(self) -> Iterator[Logged]:
        return (logged for _, logged in self.pieces())

    def pieces(self) -> Iterator[tuple[int, Logged]]:
        """With the number of their partition."""
        return ((partition, logged) for partition, _, logged in self.ranges())

    def ranges(self) -> Iterator[tuple[int, range | None, Logged]]:
        """With the number of their partition, and whose they are. Raises Busy before the first one."""
        return self._each(lambda *piece: piece, 1)

    def map(self, work: Callable[[int, range | None, Logged], T]) -> Iterator[T]:
        """What comes of work on each of them, in order; of a large question two threads work. Raises Busy before the first one."""
        return self._each(work, AT_ONCE)

    def _each(self, work: Callable[[int, range | None, Logged], T], threads: int) -> Iterator[T]:
        records = sum(
            self.store.records_in_log(self.log, partition, start_ms, end_ms)
            for partition in range(self.log.partitions)
            for _, start_ms, end_ms in self.wanted
        )
        if records < MANY:
            for place in self._places(self._most):
                yield work(*self._piece(*place))
            return
        keep_freed()
        with _turns.turn(), ThreadPoolExecutor(threads, "log") as pool:
            coming: deque[Future[T]] = deque()
            for place in self._places(min(self._most, records / PIECES)):
                coming.append(pool.submit(lambda place: work(*self._piece(*place)), place))
                if len(coming) > threads:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    @property
    def _most(self) -> float:
        """Records of a piece."""
        return self.most_mb * MEGABYTE / RECORD_BYTES / AT_ONCE

    def _places(self, most: float) -> Iterator[tuple[int, range | None]]:
        return (
            (partition, who)
            for partition in range(self.log.partitions)
            for who in self.store.ranges_in_log(self.log, partition, self.wanted, most)
        )

    def _piece(self, partition: int, who: range | None) -> tuple[int, range | None, Logged]:
        logged = self._read(partition, who)
        return partition, who, logged if self.only is None else of_visitors(logged, self.only[partition])

    def _read(self, partition: int, who: range | None) -> Logged:
        several = [
            self.store.read_log(self.log, partition, start_ms, end_ms, said, who)
            for said, start_ms, end_ms in self.wanted
        ]
        if any(each.is_incomplete for each in several):
            self.is_incomplete = True
        if len(several) == 1:
            return several[0]
        return Logged(
            {said: column for each in several for said, column in each.columns.items()},
            {said: texts for each in several for said, texts in each.values_of.items()},
        )


def of_visitors(logged: Logged, who: NDArray[np.uint32]) -> Logged:
    """Without all others. who: in order."""
    columns = {}
    for said, column in logged.columns.items():
        place = np.searchsorted(who, column.visitors)
        which = np.append(who, np.uint32(0))[place] == column.visitors if len(who) else np.zeros(len(place), np.bool_)
        if which.any():
            columns[said] = Column(column.visitors[which], column.ticks[which], column.values[which])
    return logged._replace(columns=columns)

"""The visitor log: who did what, each message once."""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from whale.visitors.columns import Rows, rows_of
from whale.visitors.deeds import Columns
from whale.visitors.entries import Entry, SiteLog
from whale.visitors.keyed import TICKS, Keyed
from whale.visitors.parts import joined

VISITORS_FULL = "visitors_full"
"""Why a hit is not logged whose visitor is new: as many as may be are known already."""
MOST_NUMBERS = 2**27
"""Visitors of a partition, ever: numbers are never given twice."""
BLOCK = 65_536
"""Visitors of a range at least."""
LOGGED, RECORDS = "logged", "records"
"""Words of a tally, beside reasons."""

Numbers = NDArray[np.uint32]
"""Of visitors, in order, each once."""
Who = range | Numbers | None
"""Some numbers; None for everybody."""
Moment = tuple[Any, ...]
"""When a partition was as it was read, as `changed_in_log` takes it."""
Said = tuple[str, str]
"""Kind and name: an event, or a property with all its values."""


@dataclass(frozen=True)
class Caps:
    """Of a partition. visitors: known at a time.  values: of a property.

    Hits of visitors beyond are not logged. Names and values beyond are logged as `__other__`; a property of that name has no values.
    """

    visitors: int = 16_000_000
    events: int = 10_000
    properties: int = 200
    values: int = 10_000


class Wanted(NamedTuple):
    """What was said in [start, end). said: None for everything."""

    said: Container[Said] | None
    start_ms: int
    end_ms: int


class Column:
    """Records of an event or a property, by visitor, then tick, then value.

    visitors: their numbers in this partition.  ticks: since 1970.  values: places in `values_of`; of an event 0.

    A store that has them by keys, in several pieces, hands these on: then they are put together when somebody asks for one of the three.
    For one thread, until they are. Nobody writes into them.
    """

    __slots__ = ("_pieces", "_rows")

    def __init__(self, visitors: NDArray[np.uint32], ticks: NDArray[np.int64], values: NDArray[np.uint32]):
        self._rows: Rows | None = Rows(visitors, ticks, values)
        self._pieces: Sequence[Keyed] = ()

    @classmethod
    def of(cls, pieces: Sequence[Keyed]) -> "Column":
        """pieces: each in order, some of them of the same time."""
        found = cls.__new__(cls)
        found._pieces, found._rows = [each for each in pieces if len(each.keys)], None
        return found

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter((self.visitors, self.ticks, self.values))

    def __len__(self) -> int:
        return len(self._rows.ticks) if self._rows is not None else sum(len(each.keys) for each in self._pieces)

    @property
    def visitors(self) -> NDArray[np.uint32]:
        return self.rows.visitors

    @property
    def ticks(self) -> NDArray[np.int64]:
        return self.rows.ticks

    @property
    def values(self) -> NDArray[np.uint32]:
        return self.rows.values

    @property
    def rows(self) -> Rows:
        if self._rows is None:
            self._rows = _together(self._pieces)
        return self._rows

    @property
    def pieces(self) -> Sequence[Keyed] | None:
        """None where its records are together."""
        return self._pieces if self._rows is None else None

    @property
    def since(self) -> int:
        """No tick is earlier. It has records."""
        return int(self._rows.ticks.min()) if self._rows is not None else min(each.first for each in self._pieces)

    @property
    def until(self) -> int:
        """No tick is later. It has records."""
        return (
            int(self._rows.ticks.max()) if self._rows is not None else max(each.first for each in self._pieces) + TICKS
        )

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last of its visitors. It has records."""
        if self._rows is not None:
            return int(self._rows.visitors[0]), int(self._rows.visitors[-1])
        spans = [each.span for each in self._pieces]
        return min(low for low, _ in spans), max(high for _, high in spans)

    def some(self, which: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "Column":
        return Column(self.visitors[which], self.ticks[which], self.values[which])

    def visitors_from(self, tick: int) -> NDArray[np.uint32]:
        """Of the records from then on, in no order."""
        if self._rows is not None:
            return self._rows.visitors[self._rows.ticks >= tick]
        late = [each.within(tick, each.first + TICKS + 1).visitors for each in self._pieces]
        return np.concatenate([np.zeros(0, np.uint32), *late])

    def between(self, low: int, high: int) -> "Column":
        """The records of the visitors from one number up to another: a view."""
        if self._rows is None:
            return Column.of([each.between(low, high) for each in self._pieces])
        begin, end = np.searchsorted(self._rows.visitors, np.array((low, high), np.uint32))
        return self.some(slice(begin, end))


def _together(pieces: Sequence[Keyed]) -> Rows:
    if not pieces:
        return Rows(np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.uint32))
    return joined([rows_of(each) for each in pieces])


class Logged(NamedTuple):
    """A partition at one moment. values_of: of a property its values as JSON; `__other__`, in no quotes, stands for those past a cap,
    and an empty text for one that no record has: it was forgotten.

    is_incomplete: some of it could not be read, and is missing here.  moment: None where no store has to know it again.
    """

    columns: Mapping[Said, Column]
    values_of: Mapping[Said, Sequence[str]]
    is_incomplete: bool = False
    moment: Moment | None = None


class Changed(NamedTuple):
    """What visitors said who said more since. before: as it was.  after: as it is now, at this moment."""

    moment: Moment
    before: Logged
    after: Logged


class Events(Protocol):
    """Writing is for the one thread that applies, the rest for many.

    A log lies in partitions, each visitor wholly in one of them. There they have a number, the same for as long as they are known:
    a period after their last event at least, two at most. Periods go by the store's own clock. Then the number stays with what was
    logged, and who comes again gets another. Two ids with one hash are one visitor.
    """

    def add_to_log(self, entries: Sequence[Entry | Columns], caps: Caps) -> dict[tuple[SiteLog, int], int]:
        """Adds what some messages say; on each shard all of a message or nothing, and each message once.

        All entries of a message come in one call, and once in it. Where it raises Unavailable nothing is known: log the same
        again. Gives how many records wait to be compacted, of each partition that was written to and has some.
        """

    def compact_log(self, log: SiteLog, partition: int, least: int = 1) -> bool:
        """Packs the records that wait, where they are at least so many. False where nothing was to do, or another one was first.

        Safe against others who do the same, against whoever logs meanwhile, and against being killed anywhere.
        """

    def read_log(
        self,
        log: SiteLog,
        partition: int,
        start_ms: int,
        end_ms: int,
        said: Container[Said] | None = None,
        who: Who = None,
    ) -> Logged:
        """What was said in [start, end), all of one moment. said: None for everything."""

    def visitors_in_log(self, log: SiteLog, partition: int, start_ms: int, end_ms: int) -> NDArray[np.uint32]:
        """The numbers of visitors who had an event in [start, end), in order, each once."""

    def said_in_log(self, log: SiteLog, partition: int) -> set[Said]:
        """All events and properties of which there are records."""

    def ids_in_log(self, log: SiteLog, partition: int, numbers: Iterable[int]) -> dict[int, bytes]:
        """The ids of some visitors by their numbers, of those whose ids are kept and who are still known."""

    def number_in_log(self, log: SiteLog, hash_: bytes) -> int | None:
        """The number of a visitor in their partition; None of one who is not known."""

    def daily_in_log(self, log: SiteLog, partition: int) -> tuple[int, int] | None:
        """From when until when (s) there are visitors who are known for a day alone, by whole days; None where there never was one."""

    def id_in_log(self, log: SiteLog, hash_: bytes) -> bytes:
        """The id of a visitor as it is kept, if it is. One read, however many there are."""

    def log_tallies(self, account: str, publishers: Collection[str]) -> dict[str, dict[str, int]]:
        """What became of the hits of some publishers: `logged` hits, their `records`, and of the others a number by reason."""

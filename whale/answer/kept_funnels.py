"""Funnels that people saved, kept up to date as hits arrive: of a log of any size only the visitors are counted who said more since.

    asked ── known, of the same days ──► who said more? ── what they were is taken away, what they are is added ──► steps
       │            └─ other days, or it is not known what was said since: the last numbers, and counted anew meanwhile
       └─ not asked for an hour: counted now

Steps are those that a question counts from scratch, but for times, which are in bins of 1 %. Numbers that are counted anew say of which
time they are: `as_of`. A process keeps a bounded memory of them; the last numbers of a funnel that had to go are kept longer.

Not kept: what is split, compared, rated or asked of a segment, conditions on properties of visitors, and days that the log does not keep
any more.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from hail.room import COST, MEGABYTE, Bounded
from hail.settings import DAY
from whale.answer.conditions import Wanted
from whale.answer.funnels import Counted, Partition, Step, added, counted
from whale.answer.log_reading import LogReading, Reading
from whale.answer.site_log import TICKS_A_S, Log
from whale.answer.tallies import Tally
from whale.answer.wanted import Found, found
from whale.errors import HailWhaleError
from whale.period import Range
from whale.store.contract.events import Changed, Column, Logged, Moment
from whale.sums import distinct

STATES_MB, LAST_MB = 64, 4
OLD_S = 3600
"""Last numbers of before are not shown."""
MOVED = 1 / 6
"""Of a period, by which the one of last numbers may lie before it, as that of seven days does after midnight."""
MOST_COUNTING = 2
"""Funnels that are counted meanwhile; others are when they are asked for again."""
Key = tuple[Any, ...]
log_of_errors = logging.getLogger(__name__)


class Kept(NamedTuple):
    """The numbers of a funnel in some days. as_of: the second up to which they hold.  erasures: before them."""

    wanted: Sequence[Wanted]
    steps: list[Step]
    during: Range
    as_of: int
    is_incomplete: bool
    erasures: int


@dataclass
class _State:
    """tally: of all partitions.  since: of each partition when ranges of its visitors were read.  is_known: that is told by the store."""

    found: Found
    during: Range
    window: int
    tally: Tally
    since: dict[int, list[tuple[range | None, Moment]]]
    erasures: int
    is_known: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def counted(cls, log: Log, steps: Sequence[Wanted], window: int, during: Range, as_of: int) -> "_State | None":
        """From scratch. None where it can not be kept. Raises what a question raises."""
        erasures = erasures_in(log)
        what = found(log, during, steps, "steps")
        state = cls(what, during, window, Tally(len(steps), as_of * TICKS_A_S), {}, erasures)
        if len(what.reading.wanted) > 1 or what.reading.only is not None or state._loses(log, as_of):
            return None
        added(state._noted(what.reading), tally=state.tally)
        return state if state.is_known else None

    def _loses(self, log: Log, as_of: int) -> bool:
        """Whether days go meanwhile of which it counts something."""
        return self.during.start < as_of - log.log.keep_days * DAY

    def update(self, log: Log, as_of: int) -> bool:
        """False where it is not known what was said since; then it can not be used any more."""
        if self._loses(log, as_of):
            return False
        for partition, since in self.since.items():
            changed = log.store.changed_in_log(log.log, partition, since, self.found.reading.wanted[0])
            if changed is None:
                return False
            if changed.after.columns:
                self.tally.replace(*(self._tally(logged) for logged in close_together(changed)))
            self.since[partition] = [(None, changed.moment)]
        self.tally.raise_floor(max(self.tally.floor, as_of * TICKS_A_S))
        return True

    def kept(self, as_of: int) -> Kept:
        as_of = max(as_of, self.tally.floor // TICKS_A_S)
        steps = self.tally.steps(as_of * TICKS_A_S)
        return Kept(self.found.wanted, steps, self.during, as_of, self.found.reading.is_incomplete, self.erasures)

    @property
    def bytes(self) -> int:
        return 10 * COST + self.tally.bytes

    def _noted(self, reading: Reading) -> Iterator[Counted]:
        def work(partition: int, who: range | None, logged: Logged) -> tuple[int, range | None, Moment | None, Counted]:
            return partition, who, logged.moment, self._counted(logged, self.tally.floor)

        for partition, who, moment, some in reading.map(work):
            if moment is None:
                self.is_known = False
            else:
                self.since.setdefault(partition, []).append((who, moment))
            yield some

    def _counted(self, logged: Logged, as_of: int) -> Counted:
        return counted(Partition(self.found.columns(logged), self.found.tests(logged)), self.window, as_of)

    def _tally(self, logged: Logged) -> Tally:
        tally = Tally(len(self.found.wanted), self.tally.floor)
        added([self._counted(logged, tally.floor)], tally=tally)
        return tally


def close_together(changed: Changed) -> tuple[Logged, Logged]:
    """Before and after, with numbers of visitors that follow each other: so they lie in few ranges."""
    who = distinct(np.concatenate([column.visitors for column in changed.after.columns.values()]))

    def renumbered(logged: Logged) -> Logged:
        columns = {
            said: Column(np.searchsorted(who, column.visitors).astype(np.uint32), column.ticks, column.values)
            for said, column in logged.columns.items()
        }
        return logged._replace(columns=columns)

    return renumbered(changed.before), renumbered(changed.after)


class KeptFunnels:
    """Of one store. For many threads."""

    def __init__(self) -> None:
        self._states: Bounded[Key, _State] = Bounded("kept funnels", STATES_MB * MEGABYTE, lambda _, state: state.bytes)
        self._last: Bounded[Key, Kept] = Bounded("last numbers of funnels", LAST_MB * MEGABYTE, _bytes_of)
        self._counting: set[Key] = set()
        self._lock = threading.Lock()

    def ask(
        self, name: Key, log: Log, steps: Sequence[Wanted], window_s: int, during: Range, now: float
    ) -> Kept | None:
        """name: the same for the same funnel in a period that moves with the days.  None where it can not be kept."""
        key = (*name, log.log, tuple(steps), window_s)
        as_of, state, last = min(during.end, int(now)), self._states.get(key), self._last.get(key)
        if state and state.during == during:
            with state.lock:
                if state.update(log, as_of):
                    return self._keep(key, state, as_of)
            self._states.drop(key)
        if last is None or not _may_answer(last, log, during, now):
            state = _State.counted(log, steps, window_s * TICKS_A_S, during, as_of)
            return self._keep(key, state, as_of) if state else None
        self._count_meanwhile(key, log, steps, window_s, during, as_of)
        return last

    def _keep(self, key: Key, state: _State, as_of: int) -> Kept:
        kept = state.kept(as_of)
        self._states.keep(key, state)
        self._last.keep(key, kept)
        return kept

    def _count_meanwhile(
        self, key: Key, log: Log, steps: Sequence[Wanted], window_s: int, during: Range, as_of: int
    ) -> None:
        with self._lock:
            if key in self._counting or len(self._counting) >= MOST_COUNTING:
                return
            self._counting.add(key)

        def count() -> None:
            try:
                state = _State.counted(log, steps, window_s * TICKS_A_S, during, as_of)
                if state is None:
                    self._last.drop(key)
                else:
                    self._keep(key, state, as_of)
            except HailWhaleError as error:  # whoever asks next begins again
                log_of_errors.warning("a saved funnel was not counted: %s", error)
            finally:
                with self._lock:
                    self._counting.discard(key)

        threading.Thread(target=count, name="funnel", daemon=True).start()


def erasures_in(log: Log) -> int:
    return sum(log.store.erasures_in_log(log.log, partition) for partition in range(log.log.partitions))


def _may_answer(last: Kept, log: Log, during: Range, now: float) -> bool:
    """Whether last numbers are young enough, of nearly the same days, and of nobody who was erased."""
    is_young = 0 <= now - last.as_of <= OLD_S
    return is_young and _moved(during, last.during) <= MOVED and last.erasures == erasures_in(log)


def _moved(during: Range, before: Range) -> float:
    """How far a period has moved, of its length."""
    return max(abs(during.start - before.start), abs(during.end - before.end)) / (during.end - during.start)


_of_stores: "WeakKeyDictionary[LogReading, KeptFunnels]" = WeakKeyDictionary()
_of_stores_lock = threading.Lock()


def kept_of(store: LogReading) -> KeptFunnels:
    with _of_stores_lock:
        return _of_stores.setdefault(store, KeptFunnels())


def _bytes_of(_: Key, kept: Kept) -> int:
    return (10 + 10 * len(kept.wanted)) * COST

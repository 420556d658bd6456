"""A Store for one question: what it has read it does not read again, as the days of a month are in those of a year."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from whale.dimension import Path, Pk
from whale.period import Interval
from whale.store.contract.counters import Counters
from whale.store.contract.rollups import Buckets, Notes, Reading, Stretch, touched

MOST_CELLS = 1_000_000
"""That are kept; what is read beyond is read again."""


def once(store: Counters) -> Counters:
    """Reads of one moment: ask anew for the next question."""
    return cast(Counters, _Once(store))


class _Once:
    def __init__(self, store: Counters):
        self._store = store
        self._metrics: dict[tuple[str, Pk], list[str]] = {}
        self._kinds: dict[tuple[str, Pk], dict[str, str]] = {}
        self._notes: dict[tuple[str, Pk], Notes] = {}
        self._kept = 0
        self._cells: dict[Any, list[tuple[Sequence[int], NDArray[np.int64]]]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def metrics(self, account: str, pk: Pk) -> list[str]:
        key = account, pk
        if key not in self._metrics:
            self._metrics[key] = self._store.metrics(account, pk)
        return self._metrics[key]

    def kinds(self, account: str, pk: Pk) -> dict[str, str]:
        key = account, pk
        if key not in self._kinds:
            self._kinds[key] = self._store.kinds(account, pk)
        return self._kinds[key]

    def adjusted(self, account: str, pk: Pk, stretches: Sequence[Stretch]) -> list[bool]:
        return touched(self.notes(account, pk).adjustments, stretches)

    def notes(self, account: str, pk: Pk) -> Notes:
        key = account, pk
        if key not in self._notes:
            self._notes[key] = self._store.notes(account, pk)
        return self._notes[key]

    def read(
        self,
        account: str,
        pk: Pk,
        paths: Sequence[Path],
        metrics: Sequence[str],
        interval: Interval,
        starts: Sequence[int],
    ) -> NDArray[np.int64]:
        return self.read_several(account, pk, paths, metrics, [(interval, starts)]).cells[0]

    def read_several(
        self, account: str, pk: Pk, paths: Sequence[Path], metrics: Sequence[str], spans: Sequence[Buckets]
    ) -> Reading:
        """The longest first, so that what lies in another is not read. What the pk is like is then known, too."""
        pk_of = account, pk
        what = account, pk, tuple(paths), tuple(metrics)
        had = {interval: list(self._cells.get((what, interval), ())) for interval, _ in spans}
        new: dict[Interval, list[Sequence[int]]] = {}
        for interval, starts in sorted(spans, key=lambda span: -len(span[1])):
            rows = [*(row for row, _ in had[interval]), *new.get(interval, ())]
            if all(_first_in(row, starts) is None for row in rows):
                new.setdefault(interval, []).append(starts)
        if new:
            asked = [(interval, starts) for interval, rows in new.items() for starts in rows]
            read = self._store.read_several(account, pk, paths, metrics, asked)
            self._notes[pk_of] = read.notes
            kinds = self._kinds.setdefault(pk_of, read.kinds)
            self._metrics.setdefault(pk_of, read.metrics)
            sums = [place for place, metric in enumerate(metrics) if metric not in kinds]
            what = account, pk, tuple(paths), tuple(metrics[place] for place in sums)
            for (interval, starts), cells in zip(asked, read.cells, strict=True):
                had[interval].append((starts, cells))
                self._kept += cells.size
                if self._kept <= MOST_CELLS:
                    kept = cells if len(sums) == len(metrics) else cells[:, sums]
                    self._cells.setdefault((what, interval), []).append((starts, kept))
        found = [_cut(had[interval], starts) for interval, starts in spans]
        return Reading(found, self._notes.get(pk_of, Notes()), self._metrics.get(pk_of, []), self._kinds.get(pk_of, {}))


def _cut(rows: Sequence[tuple[Sequence[int], NDArray[np.int64]]], starts: Sequence[int]) -> NDArray[np.int64]:
    places = ((_first_in(row, starts), cells) for row, cells in rows)
    return next(cells[..., first : first + len(starts)] for first, cells in places if first is not None)


def _first_in(had: Sequence[int], starts: Sequence[int]) -> int | None:
    """Where some buckets begin among others that hold them all."""
    first = bisect_left(had, starts[0]) if starts else 0
    return first if list(had[first : first + len(starts)]) == list(starts) else None

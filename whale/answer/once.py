"""A Store for one question: what it has read it does not read again, as the days of a month are in those of a year."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from whale.dimension import Path, Pk
from whale.period import Interval
from whale.store.base import Store


def once(store: Store) -> Store:
    """Reads of one moment: ask anew for the next question."""
    return cast(Store, _Once(store))


class _Once:
    def __init__(self, store: Store):
        self._store = store
        self._metrics: dict[tuple[str, Pk], list[str]] = {}
        self._cells: dict[Any, tuple[Sequence[int], NDArray[np.int64]]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def metrics(self, account: str, pk: Pk) -> list[str]:
        key = account, pk
        if key not in self._metrics:
            self._metrics[key] = self._store.metrics(account, pk)
        return self._metrics[key]

    def read(
        self,
        account: str,
        pk: Pk,
        paths: Sequence[Path],
        metrics: Sequence[str],
        interval: Interval,
        starts: Sequence[int],
    ) -> NDArray[np.int64]:
        key = account, pk, tuple(paths), tuple(metrics), interval
        had, cells = self._cells.get(key, ((), None))
        if cells is not None and starts:
            first = bisect_left(had, starts[0])
            if list(had[first : first + len(starts)]) == list(starts):
                return cells[..., first : first + len(starts)]
        found = self._store.read(account, pk, paths, metrics, interval, starts)
        if len(starts) >= len(had):
            self._cells[key] = starts, found
        return found

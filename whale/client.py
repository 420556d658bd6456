"""Whale: the library's front door over a store and its answers. A connection, no state of the class.

whale = Whale.connect(settings)
whale.count_now("shop", {"country": "US"}, {"revenue": 5})
whale.plotpoints("shop", depth=1, metrics=["revenue", "revenue/hits"], period="seven")
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from hail.hit import parse_hit
from hail.settings import Settings
from whale.answer import series
from whale.answer.series import Bounds, Number, Question
from whale.count.apply import Applier, MergingApplier
from whale.count.direct import Direct
from whale.dimension import Pk, path_text, paths_asked, pk_asked
from whale.errors import PeriodError
from whale.formula import metrics_asked
from whale.period import Range, parse_period
from whale.store.base import Store
from whale.store.redis import connect

ACCOUNT = "default"
PERIODS = ("1d:1y", "1d:1mo", "1d:1w", "1h:1d", "1m:1h")
"""What `totals` answers when no period is asked."""

Points = list[tuple[int, Number]]


class Whale:
    """Counts and answers for one account. For many threads; raises whale.errors."""

    def __init__(
        self, store: Store, settings: Settings, account: str = ACCOUNT, clock: Callable[[], float] = time.time
    ):
        self.store, self.settings, self.account, self.clock = store, settings, account, clock
        self.bounds = Bounds(settings.max_points, settings.max_answer_points, settings.max_levels)
        self._direct = Direct(MergingApplier(Applier(store, settings), settings, clock, patience_s=0).apply)

    @classmethod
    def connect(cls, settings: Settings, account: str = ACCOUNT, timeout_s: float = 10.0) -> "Whale":
        """On settings.redis_url; raises SetupError, Unavailable."""
        return cls(connect(settings, timeout_s), settings, account)

    def count_now(self, pk: Any, dimensions: Any = None, metrics: Any = None, at: Any = None, **more: Any) -> None:
        """Counts one hit at once; more: id, visitor, event.  Raises HitError, Unavailable."""
        self.count_hit({"pk": pk, "dimensions": dimensions, "metrics": metrics, "at": at, **more})

    def count_hit(self, given: dict[str, Any]) -> None:
        """Counts one hit, in the form of the HTTP API."""
        now = self.clock()
        self._direct.count(self.account, [parse_hit(given, self.settings, now)], now)

    def plotpoints(
        self,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        depth: int = 0,
        period: str | None = None,
        sort: str | None = None,
        limit: int = 0,
    ) -> dict[str, dict[str, Points]]:
        """{path: {metric: [(epoch ms, number), ...]}}: the asked paths, then those below them in sort order."""
        question = self._question(pk, dimensions, metrics, depth, sort, limit)
        plot = series.plotpoints(self.store, question, self._range(period), self.bounds)
        # Most points are zero: sharing those makes a large answer in half the time.
        empty: Points = [(start * 1000, 0) for start in plot.starts]
        return {
            path_text(found.path): {
                name: [(zero[0], value) if value else zero for zero, value in zip(empty, values, strict=True)]
                for name, values in found.values.items()
            }
            for found in plot.series
        }

    def totals(
        self, pk: Any, dimensions: Any = None, metrics: Any = None, periods: Sequence[str] | None = None
    ) -> dict[str, dict[str, dict[str, Number]]]:
        """{period as asked: {path: {metric: number}}}; without periods those of PERIODS that are kept."""
        question = self._question(pk, dimensions, metrics)
        found = {}
        for period in self._kept(PERIODS) if periods is None else periods:
            answers = series.totals(self.store, question, self._range(period), self.bounds)
            found[period] = {path_text(answer.path): answer.totals for answer in answers}
        return found

    def total(self, pk: Any, metric: str, dimension: Any = None, period: str | None = None) -> Number:
        """One number: the sum of a period; a ratio is the ratio of sums."""
        question = self._question(pk, dimension, [metric])
        return series.totals(self.store, question, self._range(period), self.bounds)[0].totals[metric]

    def pks(self, parent: Any = None) -> list[Pk]:
        """The pks one level below a pk; without one, the top ones."""
        above = () if parent is None else pk_asked(parent)
        return [(*above, name) for name in self.store.pks(self.account, above)]

    def metrics_of(self, pk: Any) -> list[str]:
        """The metrics of a pk, `hits` first."""
        return self.store.metrics(self.account, pk_asked(pk))

    def _question(
        self, pk: Any, dimensions: Any, metrics: Any, depth: int = 0, sort: str | None = None, limit: int = 0
    ) -> Question:
        paths, names = paths_asked(dimensions), metrics_asked(metrics)
        return Question(self.account, pk_asked(pk), paths, names, depth, sort, limit)

    def _kept(self, periods: Sequence[str]) -> Iterator[str]:
        for period in periods:
            with suppress(PeriodError):
                self._range(period)
                yield period

    def _range(self, period: str | None) -> Range:
        return parse_period(period, self.clock(), self.store.zone(self.account), self.settings.periods)

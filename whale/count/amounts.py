"""Gathers what hits amount to, by metrics of every kind: cells, and the extras beside them."""

from dataclasses import replace

from hail.settings import Settings
from whale.cells import Batch, Level
from whale.count.denormalize import coalesce, denormalize, finest_of
from whale.count.extras import Gathered
from whale.count.taken import Taken


class Amounts:
    def __init__(self, settings: Settings):
        self._periods, self._finest = settings.periods, finest_of(settings.periods)
        self._level: Level = {}
        self._extras = Gathered(settings.periods)
        self.cells = 0

    @property
    def size(self) -> int:
        """Sums: what one apply makes Redis add in each interval, give or take the paths of a branch; and names."""
        return sum(map(len, self._level.values())) + self._extras.names

    def take(self, taken: Taken) -> None:
        others = self._extras.of(taken.message.name, taken.branches, self._level)
        self.cells += coalesce(taken.message.hits, taken.places, self._finest, self._level, taken.left_out, others)

    def fill(self, batch: Batch, zone: str, now: float) -> Batch:
        cells = denormalize(self._level, self._finest, self._periods, zone, now)
        return replace(batch, cells=cells, extras=self._extras.extras(zone, now))

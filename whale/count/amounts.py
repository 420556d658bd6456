"""Adds up what hits amount to: the sums of all accounts whose days are in one zone, and of each account beside them.

Most accounts have few hits in an apply. Their sums are together in one level, so that an account more costs no more than its hits; each
branch says whose it is. What only many hits need, or unusual ones, is made for an account when the first of them come.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from hail.columns import Hits
from hail.settings import Settings
from whale.cells import Cells, Extras, Level, Table
from whale.count.denormalize import TakeOthers, coalesce, denormalize, finest_of
from whale.count.extras import Gathered
from whale.count.sections import Places, Usual
from whale.count.taken import Taken

NO_TABLE, NO_EXTRAS = Table(), Extras()
_finest_of = lru_cache(maxsize=16)(finest_of)


class Together:
    """Of all accounts in a zone. level: in the finest buckets."""

    def __init__(self, settings: Settings):
        self.periods, self.finest = settings.periods, _finest_of(settings.periods)
        self.level: Level = {}

    @property
    def size(self) -> int:
        """Sums: what one apply makes Redis add in each interval, give or take the paths of a branch."""
        return sum(map(len, self.level.values()))

    def cells(self, zone: str, now: float) -> Cells:
        return denormalize(self.level, self.finest, self.periods, zone, now)


class Amounts:
    """Of one account, metrics of every kind."""

    def __init__(self, together: Together):
        self._together = together
        self._usual: Usual | None = None
        self._extras: Gathered | None = None

    @property
    def size(self) -> int:
        """Sums beside those of all accounts, and names."""
        return (self._usual.size if self._usual else 0) + (self._extras.names if self._extras else 0)

    def take(self, taken: Taken) -> int:
        """How many cells of one interval there are, before they are added up."""
        hits, places, left_out, together = taken.message.hits, taken.places, taken.left_out, self._together
        others: TakeOthers | None = None
        if type(hits) is Hits:
            others = self._others(taken)
            if isinstance(places, Places):
                self._usual = self._usual or Usual(together.periods)
                cells = self._usual.take(hits, places, left_out)
                if cells is not None:
                    for position, at_ms, values in hits.others():
                        if position not in left_out:
                            found, targeted = places[position]
                            others(position, at_ms, values, found)
                            cells += targeted * len(values)
                    return cells
        elif [hit for hit in hits if hit.others]:
            others = self._others(taken)
        return coalesce(hits, places, together.finest, together.level, left_out, others)

    def _others(self, taken: Taken) -> TakeOthers:
        self._extras = self._extras or Gathered(self._together.periods)
        return self._extras.of(taken.message, taken.branches, self._together.level)

    def fields(self, zone: str, now: float) -> Mapping[str, Any]:
        return {
            "table": self._usual.table(zone, now) if self._usual else NO_TABLE,
            "extras": self._extras.extras(zone, now) if self._extras else NO_EXTRAS,
        }

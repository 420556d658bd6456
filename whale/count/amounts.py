"""Gathers what hits amount to, by metrics of every kind: cells, and the extras beside them."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from hail.columns import Hits
from hail.settings import Settings
from whale.cells import Extras, Level, Table
from whale.count.denormalize import TakeOthers, coalesce, denormalize, finest_of
from whale.count.extras import Gathered
from whale.count.sections import Places, Usual
from whale.count.taken import Taken

NO_TABLE, NO_EXTRAS = Table(), Extras()
_finest_of = lru_cache(maxsize=16)(finest_of)


class Amounts:
    """Most accounts have few hits in an apply: what only many hits need, or unusual ones, is made when the first of them come."""

    def __init__(self, settings: Settings):
        self._periods, self._finest = settings.periods, _finest_of(settings.periods)
        self._level: Level = {}
        self._usual: Usual | None = None
        self._extras: Gathered | None = None

    @property
    def size(self) -> int:
        """Sums: what one apply makes Redis add in each interval, give or take the paths of a branch; and names."""
        size = sum(map(len, self._level.values()))
        if self._usual:
            size += self._usual.size
        return size + self._extras.names if self._extras else size

    def take(self, taken: Taken) -> int:
        hits, places, left_out = taken.message.hits, taken.places, taken.left_out
        if isinstance(hits, Hits) and isinstance(places, Places):
            self._usual = self._usual or Usual(self._periods)
            cells, others = self._usual.take(hits, places, left_out), self._others(taken)
            if cells is not None:
                for position, at_ms, values in hits.others():
                    if position not in left_out:
                        found, targeted = places[position]
                        others(position, at_ms, values, found)
                        cells += targeted * len(values)
                return cells
            return coalesce(hits, places, self._finest, self._level, left_out, others)
        has_others = [hit for hit in hits if hit.others]
        return coalesce(hits, places, self._finest, self._level, left_out, self._others(taken) if has_others else None)

    def _others(self, taken: Taken) -> TakeOthers:
        self._extras = self._extras or Gathered(self._periods)
        return self._extras.of(taken.message, taken.branches, self._level)

    def fields(self, zone: str, now: float) -> Mapping[str, Any]:
        return {
            "cells": denormalize(self._level, self._finest, self._periods, zone, now),
            "table": self._usual.table(zone, now) if self._usual else NO_TABLE,
            "extras": self._extras.extras(zone, now) if self._extras else NO_EXTRAS,
        }

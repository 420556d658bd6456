"""Gathers what hits amount to, by metrics of every kind: cells, and the extras beside them."""

from collections.abc import Mapping
from typing import Any

from hail.columns import Hits
from hail.settings import Settings
from whale.cells import Level
from whale.count.denormalize import coalesce, denormalize, finest_of
from whale.count.extras import Gathered
from whale.count.sections import Places, Usual
from whale.count.taken import Taken


class Amounts:
    def __init__(self, settings: Settings):
        self._periods, self._finest = settings.periods, finest_of(settings.periods)
        self._level: Level = {}
        self._usual = Usual(settings.periods)
        self._extras = Gathered(settings.periods)

    @property
    def size(self) -> int:
        """Sums: what one apply makes Redis add in each interval, give or take the paths of a branch; and names."""
        return sum(map(len, self._level.values())) + self._usual.size + self._extras.names

    def take(self, taken: Taken) -> int:
        others = self._extras.of(taken.message, taken.branches, self._level)
        hits, places, left_out = taken.message.hits, taken.places, taken.left_out
        if isinstance(hits, Hits) and isinstance(places, Places):
            cells = self._usual.take(hits, places, left_out)
            if cells is not None:
                for position, at_ms, values in hits.others():
                    if position not in left_out:
                        found, targeted = places[position]
                        others(position, at_ms, values, found)
                        cells += targeted * len(values)
                return cells
        return coalesce(hits, places, self._finest, self._level, left_out, others)

    def fields(self, zone: str, now: float) -> Mapping[str, Any]:
        return {
            "cells": denormalize(self._level, self._finest, self._periods, zone, now),
            "table": self._usual.table(zone, now),
            "extras": self._extras.extras(zone, now),
        }

"""Hits' metrics that are no sums: bins of quantiles and of moments become cells like any other; the rest become extras. Pure.

hits ── gather ──► finest: bucket -> branch -> {metric: names, or the value that stays} ── extras ──► the same for each interval
"""

from collections.abc import Collection, Iterable, Sequence

from hail.columns import Hits
from hail.hit import MOMENTS_KIND
from hail.message import UNREADABLE, Message, OthersOnWire, WireHit
from hail.settings import DISTINCT, KINDS, QUANTILE, SUM, Retention
from whale.cells import Branch, Extras, Level, Names, Value, Values, stays
from whale.count.denormalize import NOWHERE, Branches, BranchesBelow, Placed, TakeOthers, by_interval, finest_of
from whale.count.sections import places_in
from whale.metric import bin_of, bins_of, distinct_periods, moments, more_moments

OTHER_KINDS = {*KINDS, MOMENTS_KIND} - {SUM}


class Gathered:
    """Of some messages what they have beside sums, in the finest buckets: names as sets, of values the one that stays.

    names: how many there are, of each branch and bucket.
    """

    def __init__(self, periods: Collection[Retention]):
        self._periods = tuple(periods)
        self._finest = finest_of(self._periods)
        self._narrow = distinct_periods(self._periods)
        self._narrow_finest = finest_of(self._narrow.items())
        self.names = 0
        self._names: dict[int, Names] = {}
        self._values: dict[int, Values] = {}

    def of(self, message: Message, branches: BranchesBelow, level: Level) -> TakeOthers:
        """Takes hits of a message one by one. level: of sums, gets the bins."""

        def gather(position: int, at_ms: int, others: OthersOnWire, found: tuple[Branch, ...]) -> None:
            for metric, (kind, value) in others.items():
                if kind == QUANTILE:
                    assert isinstance(value, int)
                    self._add_bin(metric, value, at_ms, found, branches, level)
                elif kind == MOMENTS_KIND:
                    assert not isinstance(value, str)
                    metrics = message.hits[position].metrics
                    added = more_moments(metrics, value) if isinstance(value, dict) else moments(metrics, value)
                    self._add_moments(metric, added, at_ms, found, branches, level)
                elif kind != DISTINCT:
                    assert isinstance(value, int)
                    candidate = (at_ms, *message.name, position, value) if kind == "last" else (value,)
                    self._add_value((metric, kind), candidate, at_ms, found)
                elif self._narrow:
                    self._add_name(metric, str(value), at_ms, found)

        return gather

    def _add_bin(
        self, metric: str, value: int, at_ms: int, found: Iterable[Branch], branches: BranchesBelow, level: Level
    ) -> None:
        sums = level.setdefault(at_ms // (self._finest * 1000), {})
        reserved, bin_ = bins_of((), metric), bin_of(value)
        for branch in found:
            amounts = sums.setdefault(branches.below(branch, reserved, bin_), {})
            amounts["hits"] = amounts.get("hits", 0) + 1

    def _add_moments(
        self,
        metric: str,
        added: dict[str, int],
        at_ms: int,
        found: Sequence[Branch],
        branches: BranchesBelow,
        level: Level,
    ) -> None:
        sums = level.setdefault(at_ms // (self._finest * 1000), {})
        for root in found[:1]:
            for bin_, amount in added.items():
                amounts = sums.setdefault(branches.below(root, bins_of((), metric), bin_), {})
                amounts["hits"] = amounts.get("hits", 0) + amount

    def _add_value(self, metric: tuple[str, str], value: Value, at_ms: int, found: Iterable[Branch]) -> None:
        values = self._values.setdefault(at_ms // (self._finest * 1000), {})
        for branch in found:
            mine = values.get(branch)
            if mine is None:
                mine = values[branch] = {}
            mine[metric] = stays(metric[1], mine.get(metric), value)

    def _add_name(self, metric: str, name: str, at_ms: int, found: Iterable[Branch]) -> None:
        names = self._names.setdefault(at_ms // (self._narrow_finest * 1000), {})
        for branch in found:
            mine = names.get(branch)
            if mine is None:
                mine = names[branch] = {}
            known = mine.get(metric)
            if known is None:
                known = mine[metric] = set()
            size = len(known)
            known.add(name)
            self.names += len(known) - size

    def extras(self, zone: str, now: float) -> Extras:
        """For each interval that still keeps them: a coarser bucket is made of finer ones, as sums are."""
        if not self._names and not self._values:
            return Extras()
        return Extras(
            by_interval(self._names, self._narrow_finest, self._narrow.items(), zone, now, _united),
            by_interval(self._values, self._finest, self._periods, zone, now, _staying),
        )


def _united(parts: list[Names]) -> Names:
    found: Names = {}
    for part in parts:
        for branch, metrics in part.items():
            mine = found.setdefault(branch, {})
            for metric, names in metrics.items():
                mine.setdefault(metric, set()).update(names)
    return found


def _staying(parts: list[Values]) -> Values:
    found: Values = {}
    for part in parts:
        for branch, metrics in part.items():
            mine = found.setdefault(branch, {})
            for metric, value in metrics.items():
                mine[metric] = stays(metric[1], mine.get(metric), value)
    return found


def places_of(hits: Sequence[WireHit], branches: Branches) -> tuple[Sequence[Placed], list[int]]:
    """The branches of each hit; and the positions of those that are not of the wire form, which have none.

    Whether one is rests on its bytes alone, so two deliveries agree.
    """
    if type(hits) is Hits:
        found, unread = places_in(hits, branches)
        unsound = [at for at, others in hits.values("others") if not _are_sound(others)]
        return found, sorted({*unread, *unsound})
    places, undecodable, known = [], [], branches.known
    for position, hit in enumerate(hits):
        text = bytes(hit.pk), bytes(hit.dimensions)
        place = known(text)
        if place is None:
            try:
                place = branches.placed(*text)
            except UNREADABLE:
                place = NOWHERE
                undecodable.append(position)
        if place is not NOWHERE and hit.others and not _are_sound(hit.others):
            undecodable.append(position)
        places.append(place)
    return places, undecodable


def _are_sound(others: OthersOnWire) -> bool:
    for kind, value in others.values():
        if isinstance(value, dict):
            if kind != MOMENTS_KIND:
                return False
        elif kind not in OTHER_KINDS or isinstance(value, str) != (kind == DISTINCT):
            return False
    return True

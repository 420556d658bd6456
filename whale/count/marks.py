"""Hits' metrics that are no sums: bins of quantiles become cells like any other; the rest become marks. Pure.

A mark may be made any number of times: a name is in a set or not, the least of values is the least, and the last value is the one of
the greatest (time, publisher, number of its message, position there). So marks need no memory of which messages made them.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from hail.message import Message, WireHit
from hail.settings import DISTINCT, KINDS, QUANTILE, SUM, Period
from whale.count.denormalize import Branch, BranchesOf, Level
from whale.count.resets import kept_targets
from whale.dimension import Path, Pk
from whale.metric import bin_of, bins_of, distinct_periods, is_narrow
from whale.period import Interval, bucket_start

Value = tuple[int | str, ...]
"""(amount,) of a min or max; (at ms, publisher, seq, position, amount) of a last: the greater is the later."""


class Spot(NamedTuple):
    """Where a mark is made: a metric in a bucket, at every path of a branch."""

    branch: Branch
    interval: Interval
    start: int
    metric: str
    kind: str


@dataclass(frozen=True)
class Marks:
    """names: what distinct counts count.  values: the one that stays of min, max, last."""

    names: dict[Spot, set[str]] = field(default_factory=dict)
    values: dict[Spot, Value] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.names or self.values)

    @property
    def spots(self) -> Iterator[Spot]:
        yield from self.names
        yield from self.values


def mark(
    message: Message,
    branches: BranchesOf,
    finest: int,
    periods: Iterable[Period],
    zone: str,
    now: float,
    level: Level,
    marks: Marks,
    left_out: Collection[int] = (),
) -> None:
    """Adds what a message's hits have beside sums: bins to a level of `coalesce`, the rest to marks.

    left_out: positions of hits that do not count.
    """
    typed = [position for position, hit in enumerate(message.hits) if hit.others]
    if not typed:
        return
    kept = dict(periods)
    narrow = distinct_periods(kept.items())
    for position in typed:
        hit = message.hits[position]
        if position in left_out:
            continue
        try:
            found = branches.of(bytes(hit.pk), bytes(hit.dimensions))
        except msgspec.DecodeError:
            continue  # `coalesce` tells
        for metric, (kind, value) in (hit.others or {}).items():
            if kind == QUANTILE:
                assert isinstance(value, int)
                sums = level.setdefault(hit.at_ms // (finest * 1000), {})
                for branch in found:
                    amounts = sums.setdefault(branches.below(branch, bins_of((), metric), bin_of(value)), {})
                    amounts["hits"] = amounts.get("hits", 0) + 1
                continue
            for interval, age in (narrow if kind == DISTINCT else kept).items():
                start = bucket_start(interval, hit.at_ms // 1000, zone)
                if age is not None and start <= now - age - _width(interval):
                    continue
                for branch in found:
                    spot = Spot(branch, interval, start, metric, kind)
                    if kind == DISTINCT:
                        marks.names.setdefault(spot, set()).add(str(value))
                    elif kind == "last":
                        _keep(marks, spot, (hit.at_ms, *message.name, position, value))
                    else:
                        _keep(marks, spot, (value,))


def _keep(marks: Marks, spot: Spot, value: Value) -> None:
    marks.values[spot] = stays(spot.kind, marks.values.get(spot), value)


def stays(kind: str, one: Value | None, other: Value) -> Value:
    """Which of two values of a min, max or last stays."""
    if one is None:
        return other
    return min(one, other) if kind == "min" else max(one, other)


def unsound_of(hits: Sequence[WireHit]) -> list[int]:
    """Positions of hits whose metrics of other kinds are not of the wire form."""
    return [
        position
        for position, hit in enumerate(hits)
        if hit.others and not all(_is_sound(kind, value) for kind, value in hit.others.values())
    ]


def _is_sound(kind: str, value: int | str) -> bool:
    return kind in KINDS and kind != SUM and isinstance(value, str) == (kind == DISTINCT)


def _width(interval: Interval) -> int:
    return interval if isinstance(interval, int) else 31 * 86_400


def marked(pk: Pk, spot: Spot) -> Iterator[tuple[Pk, list[Path]]]:
    """The paths that a mark is made at, in each prefix of the pk as it counts."""
    for prefix, paths in kept_targets(pk, spot.branch):
        found = [path for path in paths if is_narrow(path)] if spot.kind == DISTINCT else list(paths)
        if found:
            yield prefix, found

"""The numbers of visits from all parts of a log together, and the rows of what they are split by. Pure.

Rows are in an order, and those past a limit are `other`. A visitor or a visit with several hidden values counts once in `other`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whale.answer import confidence
from whale.answer.conditions import NOTHING
from whale.answer.ranges import Ints
from whale.answer.sessions import Small, small
from whale.answer.visits import CONVERTED, NUMBERS, VIEWS, VISITS, Records, Told, table
from whale.formula import Floats
from whale.visitors.entries import OTHER

SURE = "confidence"
ORDERS = ("visits", "visitors", "views", "converted", "worth", SURE)


class Row(NamedTuple):
    """text: a value as JSON, or NOTHING, or OTHER of all that are in no row.  low, high: of converted/visits, 95 %; nan: not known."""

    text: str
    numbers: Ints
    low: float = float("nan")
    high: float = float("nan")


@dataclass
class Found:
    """whole: of all visits.  points: of each bucket.  rows: of each split."""

    whole: Ints
    points: NDArray[np.int64]
    rows: list[list[Row]] = field(default_factory=list)


def added(
    several: Iterable[Sequence[Told]], buckets: int, splits: int, order: str = "visits", limit: int = 10
) -> Found:
    """order: of ORDERS, the largest first."""
    points = np.zeros((buckets, len(NUMBERS)), np.int64)
    whole, parts = np.zeros(len(NUMBERS), np.int64), list[Told]()
    for each in (each for some in several for each in some):
        points += each.points
        whole += each.numbers(np.ones(len(each.visitors), np.bool_))
        parts.append(each)
    found = Found(whole, points)
    for number in range(splits):
        found.rows.append(_rows(parts, number, whole, order, limit))
    return found


def _rows(parts: Sequence[Told], number: int, whole: Ints, order: str, limit: int) -> list[Row]:
    texts: dict[str, int] = {NOTHING: 0}
    splits: list[Records] = []
    known: dict[int, Small] = {}
    for each in parts:
        mine = each.texts[number]
        if id(mine) not in known:  # parts of one piece share their texts
            known[id(mine)] = small(np.array([0, *(texts.setdefault(text, len(texts)) for text in mine)], np.int64))
        split = each.splits[number]
        splits.append(split._replace(place=known[id(mine)][split.place]))
    numbers = np.zeros((len(texts), len(NUMBERS)), np.int64)
    for each, split in zip(parts, splits, strict=True):
        numbers += table(each, split, len(texts))
    low, high = bounds(numbers, whole)
    names = list(texts)
    places = [place for place in np.flatnonzero(numbers[:, VISITS]).tolist() if names[place] != OTHER]
    places.sort(key=lambda place: (*_rank(numbers[place], float(low[place]), order), names[place]))
    found = [Row(names[place], numbers[place], float(low[place]), float(high[place])) for place in places[:limit]]
    hidden = numbers[:, VISITS] > 0
    hidden[places[:limit]] = False
    if hidden.any():
        found.append(Row(OTHER, _other(parts, splits, hidden)))
    return found


def _rank(numbers: Ints, low: float, order: str) -> tuple[float, ...]:
    """Where a row stands. By confidence one of few visits stands behind those of more, as in a ranking."""
    visits = int(numbers[VISITS])
    if order == SURE:
        return float(visits <= confidence.FEW), -low if np.isfinite(low) else np.inf, -int(numbers[CONVERTED]), -visits
    return -int(numbers[NUMBERS.index(order)]), -visits


def bounds(numbers: NDArray[np.int64], whole: Ints) -> tuple[Floats, Floats]:
    """Between what the rate of visits that convert surely lies, of each row. Rows without a visit are not looked at."""
    some = numbers[:, VISITS] > 0
    low, high = np.full(len(numbers), np.nan), np.full(len(numbers), np.nan)
    if some.any():
        visits, converted = numbers[some, VISITS].astype(float), numbers[some, CONVERTED].astype(float)
        no_pieces = np.zeros((len(visits), 0))
        overall = float(whole[CONVERTED] / whole[VISITS])
        low[some], high[some] = confidence.of_ratios(converted, visits, overall, (no_pieces, no_pieces))
    return low, high


def _other(parts: Sequence[Told], splits: Sequence[Records], hidden: NDArray[np.bool_]) -> Ints:
    """Of all visits with a value that is hidden, each once."""
    found = np.zeros(len(NUMBERS), np.int64)
    for each, split in zip(parts, splits, strict=True):
        is_hidden = hidden[split.place]
        some = np.zeros(len(each.visitors), np.bool_)
        some[split.visit[is_hidden]] = True
        numbers = each.numbers(some)
        if split.times is not None:
            numbers[VIEWS] = split.times[is_hidden].sum(dtype=np.int64)
        found += numbers
    return found


def by_name(numbers: Ints) -> Mapping[str, int]:
    return dict(zip(NUMBERS, numbers.tolist(), strict=True))

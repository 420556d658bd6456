"""Kinds of metric: what is kept of each, where, and how buckets are merged. Pure.

| kind | kept, for each path and bucket | over several buckets | where |
| --- | --- | --- | --- |
| sum | the sum | sum | every path |
| min, max | the least, the greatest value | the least, the greatest | every path |
| last | the value of the latest hit | the latest | every path |
| quantile | how many values fell in each bin | bins are added up | the root, and down to two names below it |
| distinct | a HyperLogLog of names | the union | as quantile; by hour, day and month |
| moments | of outcomes of decisions: how many, sums, squares and products of their metrics | sum | the root |

A quantile is a DDSketch: bin i of positive values holds (g^(i-1), g^i] millionths with g = 1.01 / 0.99, and the answer is its middle,
so it is off by at most 1 % of the true value. Each bin is a reserved node (*path, None, metric, bin) whose hits are counted as any
others are: `p17` of positive values, `n17` of negative ones, `z` of zero.  Source: Masson, Rim, Lee, DDSketch, VLDB 2019.

Moments are kept in the same way, as bins of the metric `__moments__`: `n`, how many outcomes; `=earned`, their sum of it; `earned*spent`,
their sum of products. Hits stand there less 1, so that the usual hit of 1 costs nothing. A product of two numbers within ±9e9 that have
six decimals does not fit into 64 bits, so large ones are kept in wider units, in bins of their own (`earned*earned~7`: units of 10): each
is right to 1 in 100,000, and ten million of the largest fit into a bucket.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from hail.hit import MILLION, MOMENTS, MOST_MOMENTS, RESERVED
from hail.settings import DAY, DISTINCT, HOUR, MONTH, QUANTILE, Retention
from whale.dimension import Path

NARROW_LEVELS = 2  # names of the longest path where distinct counts and quantiles are kept
RELATIVE_ERROR = 0.01
ERRORS = {DISTINCT: 0.0081, QUANTILE: RELATIVE_ERROR}
DISTINCT_KEPT: dict[int | str, float | None] = {HOUR: 7 * DAY, DAY: None, MONTH: None}
_LOG_GAMMA = math.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))


def distinct_periods(periods: Iterable[Retention]) -> dict[int | str, float | None]:
    """Of the intervals kept those of distinct counts, and for how long."""
    found = {}
    for interval, kept in periods:
        if interval in DISTINCT_KEPT:
            most = DISTINCT_KEPT[interval]
            found[interval] = most if kept is None else kept if most is None else min(kept, most)
    return found


def is_narrow(path: Path) -> bool:
    """Whether distinct counts and quantiles are kept there."""
    return len(path) <= NARROW_LEVELS and None not in path


def bins_of(path: Path, metric: str) -> Path:
    """The reserved path above the bins of a quantile metric."""
    return (*path, None, metric)


def split_bin(path: Path) -> tuple[Path, str, str] | None:
    """(path, metric, bin) of a reserved path of a bin; None of any other."""
    if len(path) < 3 or path[-3] is not None:
        return None
    metric, bin_ = path[-2:]
    return path[:-3], str(metric), str(bin_)


def bin_of(amount: int) -> str:
    """The bin of a value in millionths."""
    if amount == 0:
        return "z"
    return f"{'p' if amount > 0 else 'n'}{math.ceil(math.log(abs(amount)) / _LOG_GAMMA)}"


def value_of(bin_: str) -> float:
    """What a bin stands for, in millionths; not a number for `__other__`."""
    if bin_ == "z":
        return 0.0
    if bin_[:1] not in "pn" or not bin_[1:].isdecimal():
        return math.nan
    middle = math.exp(int(bin_[1:]) * _LOG_GAMMA) * (1 - RELATIVE_ERROR)  # 2 g^i / (g + 1)
    return middle if bin_[0] == "p" else -middle


def quantiles(
    values: Sequence[float] | NDArray[np.float64], counts: NDArray[np.int64], share: float
) -> NDArray[np.float64]:
    """The value below which a share (0 to 1) of what was counted lies, a column: of bins x columns.

    Not a number where nothing was counted.
    """
    if not len(values):
        return np.full(counts.shape[1:], np.nan)
    order = np.argsort(values)
    running = np.cumsum(counts[order], axis=0)
    total = running[-1]
    ranks = np.floor(share * (total - 1))
    places = np.minimum((running <= ranks).sum(axis=0), len(values) - 1)
    return np.where(total > 0, np.asarray(values, np.float64)[order][places], np.nan)


# Moments

STEPS = (0, 7, 14)  # powers of ten that a product's unit is wider by than a millionth
COUNT = "n"


@lru_cache(maxsize=4096)
def sum_bin(metric: str) -> str:
    return "=" + quote(metric, safe="")


@lru_cache(maxsize=4096)
def product_bin(one: str, other: str, step: int = 0) -> str:
    """In either order the same."""
    text = "*".join(quote(metric, safe="") for metric in sorted((one, other)))
    return f"{text}~{step}" if step else text


def moment_path(bin_: str) -> Path:
    """Where the `hits` of a bin of moments are kept."""
    return (*bins_of((), MOMENTS), bin_)


def moments(metrics: Mapping[str, int], own: int) -> dict[str, int]:
    """What an outcome adds to the bins of its pk. metrics: as stored.

    own: 1; or 0 where it adds to an outcome that was counted before, as one hit without a number: hits are that one's, and are not
    looked at.
    """
    known = sorted((name, amount) for name, amount in metrics.items() if name != "hits" and name not in RESERVED)
    known = known[:MOST_MOMENTS]
    if own and (hits := metrics.get("hits", 0)) != 1:
        known.append(("hits", (hits - 1) * MILLION))
    found = {COUNT: own} if own else {}
    for name, amount in known:
        found[sum_bin(name)] = amount
    for (one, amount), (other, more) in combinations_with_replacement(known, 2):
        product = amount * more
        step = next((step for step in STEPS if abs(product) < 10 ** (18 + step)), STEPS[-1])
        unit = 10 ** (6 + step)
        found[product_bin(one, other, step)] = (2 * product + unit) // (2 * unit)
    return {name: amount for name, amount in found.items() if amount}


def more_moments(metrics: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """What a further part of an outcome adds to those bins: what they are with it, less what they were.

    before: the sums of its parts so far, as stored, whose moments were counted; `hits` among them where `own` was 1 then.
    A square grows by (S + r)^2 - S^2: that of r alone would make single outcomes look more alike than they are.
    """
    own = int("hits" in before)
    after = {name: before.get(name, 0) + metrics.get(name, 0) for name in {**before, **metrics}}
    old, new = moments(before, own), moments(after, own)
    added = {name: new.get(name, 0) - old.get(name, 0) for name in {**old, **new}}
    return {name: amount for name, amount in added.items() if amount}

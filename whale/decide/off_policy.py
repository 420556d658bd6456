"""What is counted so that "what would option b alone have earned?" can be answered from counters. Pure.

Each decision counts at [off-policy, ...] 1 over the probability that its option had, and its reward over that too; of both the
moments are kept (whale/metric.py), and `experiment.always` makes the estimate of them. A reward comes later than its decision, so
it brings the decision's weight along once more, for the sum of products.
"""

from collections.abc import Sequence

import numpy as np

from hail.hit import MAX_AMOUNT, MILLION, Hit, with_moments
from hail.settings import Settings
from whale.dimension import Pk
from whale.formula import Floats
from whale.metric import COUNT, STEPS, moment_path, product_bin, sum_bin
from whale.period import Range, starts
from whale.store.contract.counters import Counters
from whale.store.contract.rollups import Buckets

TOP = "off-policy"
WEIGHT, AGAIN, EARNED = "weight", "weight again", "weighted reward"

_BINS = (COUNT, sum_bin(EARNED), sum_bin(WEIGHT))
_PRODUCTS = ((EARNED, EARNED), (WEIGHT, WEIGHT), (EARNED, AGAIN))


def tried(pk: Pk, option: str, probability: float, at_ms: int, settings: Settings) -> Hit:
    """What a decision counts. pk: of the decision, whose first name gives way to `off-policy`."""
    return with_moments(
        _hit(pk, option, {"hits": 1, WEIGHT: _clipped(MILLION / probability)}, at_ms, settings), settings
    )


def rewarded(
    pk: Pk, option: str, probability: float, amount: int, at_ms: int, settings: Settings, before: int | None = None
) -> Hit:
    """What its reward counts. amount, and before, the sum of its rewards so far, if there were any: in millionths."""
    again = _clipped(MILLION / probability)
    if before is None:
        metrics = {EARNED: _clipped(amount / probability), AGAIN: again}
        return with_moments(_hit(pk, option, metrics, at_ms, settings), settings, own=0)
    earned = _clipped(before / probability)
    more = {EARNED: _clipped((before + amount) / probability) - earned}
    known = {EARNED: earned, AGAIN: again}
    return with_moments(_hit(pk, option, more, at_ms, settings), settings, own=0, before=known)


def _clipped(amount: float) -> int:
    return round(max(-MAX_AMOUNT, min(MAX_AMOUNT, amount)))


def _hit(pk: Pk, option: str, metrics: dict[str, int], at_ms: int, settings: Settings) -> Hit:
    names = (TOP, *pk[1:], option)
    return Hit(names, {}, metrics, at_ms, cells=len(names) * len(metrics) * len(settings.periods))


def sums_of(store: Counters, account: str, pk: Pk, options: Sequence[str], period: Range) -> Floats:
    """(options, 6), as `experiment.always` takes them. One read."""
    source, stored = stored_buckets(store, account, period)
    bins = [*_BINS, *(product_bin(*pair, step) for pair in _PRODUCTS for step in STEPS)]
    pks = [(TOP, *pk[1:], option) for option in options]
    cells = store.read_many(account, pks, list(map(moment_path, bins)), ["hits"], source, stored)
    totals = cells[:, :, 0].astype(np.float64).sum(axis=-1)
    found = np.zeros((len(options), 6))
    found[:, 0], found[:, 1], found[:, 2] = totals[:, 0], totals[:, 1] / MILLION, totals[:, 2] / MILLION
    units = np.array([10.0**step for step in STEPS]) / MILLION
    found[:, 3:] = (totals[:, len(_BINS) :].reshape(len(options), len(_PRODUCTS), len(STEPS)) * units).sum(axis=-1)
    return found


def stored_buckets(store: Counters, account: str, period: Range) -> Buckets:
    """The buckets that answer a range of one total."""
    if period.source is None:
        return period.interval, period.starts
    return period.source, starts(period.source, period.start, period.end, store.zone(account))

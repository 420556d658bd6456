"""How sure the change of a row is from one period to another, told from the sums of both. Pure.

Each period has its own 95 % interval, and both make the interval of the change (Zou and Donner, Statistics in Medicine, 2008):

    low  = change - sqrt((now - now_low)² + (before_high - before)²)
    high = change + sqrt((now_high - now)² + (before - before_low)²)

A rate has Wilson's interval (so that the change has Newcombe's, Statistics in Medicine, 1998), a sum that of a Poisson count as
whale/answer/confidence.py has it, any other ratio a normal one. All are widened by s: the pieces of the two periods that lie at the
same place are set against each other, and s is how many times their changes vary more than chance alone explains. So what returns
every week or every hour is no noise.  Rows are columns of numpy; not a number stands for what cannot be said.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whale.answer import confidence
from whale.answer.confidence import UNKNOWN_SPREAD, Z
from whale.formula import Floats

Flags = NDArray[np.bool_]
FEW_PIECES = 5
"""With fewer pieces that have something, they tell nothing of s."""


class Changes(NamedTuple):
    """By row. z: the change as so many standard deviations: beyond 1.96 either way where the interval leaves out 0."""

    low: Floats
    high: Floats
    z: Floats


class Side(NamedTuple):
    """One period: totals by row, and the same by row and piece.

    above: of a ratio, or of the sum.  below: of a ratio; of a sum the hits.
    """

    above: Floats
    below: Floats
    hits: Floats
    above_pieces: Floats
    below_pieces: Floats


def of_sums(now: Side, before: Side, error: float = 0.0) -> Changes:
    """Of sums. error: the relative one of an estimated sum."""
    with np.errstate(all="ignore"):
        parts = [np.minimum(np.abs(side.above), side.hits) for side in (now, before)]
        size = (np.abs(now.above) + np.abs(before.above)) / (parts[0] + parts[1])
        both = now.above_pieces + before.above_pieces
        share = (now.above / (now.above + before.above))[:, None]
        units = np.abs(both) * share * (1 - share) * size[:, None]
        spread = _spread(now.above_pieces - share * both, units, both != 0)
        spread = np.where(np.isnan(spread), np.where(size > 1, UNKNOWN_SPREAD, 1.0), spread)
        (low, high), (then_low, then_high) = (
            confidence.of_sums(side.above, some / spread) for side, some in zip((now, before), parts, strict=True)
        )
        found = _changes((now.above, low, high), (before.above, then_low, then_high), error)
        # amounts of both signs have no size that says how much they vary
        signs = np.concatenate([now.above_pieces, before.above_pieces], axis=1)
        is_known: Flags = np.logical_or((signs >= 0).all(axis=1), (signs <= 0).all(axis=1))
        return _where(is_known, found)


def of_ratios(now: Side, before: Side, is_rate: bool, error: float = 0.0) -> Changes:
    """Of ratios. is_rate: of how many of so many, where rows are such, too. error: the relative one of an estimated ratio."""
    below, then = now.below, before.below
    with np.errstate(all="ignore"):
        ratio, ratio_then = now.above / below, before.above / then
        pooled = (now.above + before.above) / (below + then)
        rates = is_rate & _are_rates(now) & _are_rates(before)
        unit = np.where(rates, pooled * (1 - pooled), pooled**2)
        spread = _ratio_spread(now, before, unit)
        spread = np.where(np.isnan(spread), np.where(rates, 1.0, UNKNOWN_SPREAD), spread)
        ends = [
            [np.where(rates, wilson, normal) for wilson, normal in zip(_wilson(*rate), _normal(*plain), strict=True)]
            for rate, plain in (
                ((ratio, below / spread), (ratio, unit * spread / below)),
                ((ratio_then, then / spread), (ratio_then, unit * spread / then)),
            )
        ]
        found = _changes((ratio, *ends[0]), (ratio_then, *ends[1]), error)
        # what was set without hits is one number that somebody wrote; without any amount nothing shows their size
        is_known = (below > 0) & (then > 0) & (now.hits > 0) & (before.hits > 0) & (rates | (pooled != 0))
        return _where(is_known, found)


def are_rates(*sides: Side) -> bool:
    """Whether these are counts of counts: whole numbers, none above what it is of."""
    return all(bool(_are_rates(side).all()) for side in sides)


def _are_rates(side: Side) -> Flags:
    above, below = side.above, side.below
    found: Flags = (above >= 0) & (above <= below) & (above == np.floor(above)) & (below == np.floor(below))
    return found


def _ratio_spread(now: Side, before: Side, unit: Floats) -> Floats:
    seen = (now.below_pieces > 0) & (before.below_pieces > 0)
    seen &= np.isfinite(now.above_pieces) & np.isfinite(before.above_pieces)
    differences = now.above_pieces / now.below_pieces - before.above_pieces / before.below_pieces
    weights = np.where(seen, 1 / (1 / now.below_pieces + 1 / before.below_pieces), 0.0)
    differences = np.where(seen, differences, 0.0)
    middle = (weights * differences).sum(axis=1) / weights.sum(axis=1)
    return _spread(differences - middle[:, None], unit[:, None] / weights, seen)


def _spread(residuals: Floats, units: Floats, seen: Flags) -> Floats:
    """How many times the plain variance there is, at least once; not a number where too few pieces tell it.

    Told by how much each piece differs from the next one, so that one break inside the period is not taken for noise (von Neumann,
    Annals of Mathematical Statistics, 1941). Of few pieces it is itself unsure: it is as much larger as Student's bounds are wider
    than the normal ones (Cornish and Fisher's expansion).
    """
    used = seen & (units > 0) & np.isfinite(residuals)
    levels = np.where(used, residuals / np.sqrt(units), 0.0)
    pairs = used[:, 1:] & used[:, :-1]
    steps = pairs.sum(axis=1)
    within = np.where(pairs, np.diff(levels, axis=1) ** 2, 0.0).sum(axis=1) / (2 * steps)
    free = 2 * steps**2 / (3 * steps - 1)  # of a variance that is as sure
    wider = 1 + (Z**2 + 1) / (4 * free) + (5 * Z**4 + 16 * Z**2 + 3) / (96 * free**2)
    return np.where(steps >= FEW_PIECES - 1, np.maximum(1.0, within * wider**2), np.nan)


def _wilson(rate: Floats, of: Floats) -> tuple[Floats, Floats]:
    """Source: Wilson, Journal of the American Statistical Association, 1927."""
    shrink = 1 + Z**2 / of
    middle = (rate + Z**2 / (2 * of)) / shrink
    half = Z / shrink * np.sqrt(rate * (1 - rate) / of + Z**2 / (4 * of**2))
    return middle - half, middle + half


def _normal(value: Floats, variance: Floats) -> tuple[Floats, Floats]:
    half = Z * np.sqrt(variance)
    return value - half, value + half


def _changes(now: tuple[Floats, ...], before: tuple[Floats, ...], error: float) -> Changes:
    """now, before: value, low, high."""
    (value, low, high), (then, then_low, then_high) = now, before
    change = value - then
    noise = (Z * error) ** 2 * (value**2 + then**2)
    down = np.sqrt((value - low) ** 2 + (then_high - then) ** 2 + noise)
    up = np.sqrt((high - value) ** 2 + (then - then_low) ** 2 + noise)
    return Changes(change - down, change + up, np.where(change == 0, 0.0, Z * change / np.where(change > 0, down, up)))


def _where(is_known: Flags, found: Changes) -> Changes:
    is_known = is_known & np.isfinite(found.low) & np.isfinite(found.high) & np.isfinite(found.z)
    return Changes(*(np.where(is_known, each, np.nan) for each in found))

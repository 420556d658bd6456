"""Arithmetic of chance that numpy lacks: the normal and the chi-square law, and which of several unknown numbers is greatest. Pure."""

import math
from statistics import NormalDist

import numpy as np

from whale.formula import Floats

REACH = 5.0  # standard deviations either side of its centre within which a number is looked for
MOST_POINTS, FEWEST_POINTS, ALL_POINTS = 41, 9, 1_200  # of the grid: for each option, and for all together

quantile = NormalDist().inv_cdf


def below(z: Floats) -> Floats:
    """Of each z the share of a normal law below it; wrong by less than 2e-7. Source: Abramowitz and Stegun, 7.1.26."""
    x = np.abs(z) * math.sqrt(0.5)
    t = 1 / (1 + 0.3275911 * x)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    tail = 0.5 * series * np.exp(-x * x)
    found: Floats = np.where(z < 0, tail, 1 - tail)
    return found


def greatest(centre: Floats, deviation: Floats) -> Floats:
    """For each of several independent normal numbers the probability that it is the greatest; sums to 1.

    centre, deviation: (options,), deviation > 0.  By quadrature, so nothing is drawn: wrong by less than 2e-3, mostly far less.
    Costs options x 1,200 evaluations at most, 9 x options^2 from 133 options on.
    """
    count = len(centre)
    if count == 1:
        return np.ones(1)
    lowest = (centre - REACH * deviation).max()  # below it one of them surely lies above
    each = max(FEWEST_POINTS, min(MOST_POINTS, ALL_POINTS // count))
    steps = np.linspace(-REACH, REACH, each)
    points = np.unique(centre[:, None] + deviation[:, None] * steps)
    points = points[points >= lowest]
    shares = below((points - centre[:, None]) / deviation[:, None]) + 1e-300
    logs = np.log(shares)
    others = np.exp(logs.sum(axis=0) - logs)
    found: Floats = ((others[:, 1:] + others[:, :-1]) * np.diff(shares, axis=1)).sum(axis=1)
    found = np.maximum(found, 0.0)
    return found / found.sum()


def chi_square_beyond(value: float, degrees: int) -> float:
    """The probability that a chi-square number of so many degrees of freedom (>= 1) is at least value.

    Exact sums for whole degrees. Source: Abramowitz and Stegun, 26.4.4 and 26.4.5.
    """
    if value <= 0:
        return 1.0
    half = value / 2
    if degrees % 2:
        found, step, first = math.erfc(math.sqrt(half)), 0.5, 1
    else:
        found, step, first = 0.0, 0.0, 0
    for i in range(first, degrees // 2 + first):
        power = i - step
        found += math.exp(power * math.log(half) - half - math.lgamma(power + 1))
    return min(found, 1.0)

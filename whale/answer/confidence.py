"""Between what bounds a row's value surely lies, told from sums alone, for all rows of a ranking at once. Pure.

Why these bounds and no others: docs/ranking.md. Rows are columns of numpy; not a number stands for what is undefined.
"""

import numpy as np
from numpy.typing import NDArray

from whale.formula import Floats

Z = 1.96  # of the normal distribution: 95 in 100 lie within
FEW = 5
"""With so little support a row stands behind those with more: the seed's rule, by which no such ratio is important."""
LEAST_SPREAD = 0.1  # of the parent's ratio: by so much rows may differ though nothing shows it
UNKNOWN_SPREAD = 20.0  # of money, where the period is one bucket and tells no noise: as of buyers, 5 in 100
LEAST_PIECES = 10  # beyond one a row, from which on the spread of rates is told by them
Bounds = tuple[Floats, Floats]


def of_sums(values: Floats, hits: Floats) -> Bounds:
    """Of sums: those of a Poisson count of as many parts as there were hits, or units where these are fewer."""
    parts = np.minimum(np.abs(values), np.maximum(hits, 0))
    with np.errstate(all="ignore"):
        low, high = _poisson(parts)
        bounds = np.array([np.where(parts > 0, values / parts * bound, np.nan) for bound in (low, high)])
    unknown = np.where(values == 0, np.array([0.0, float(_poisson(np.zeros(1))[1][0])])[:, None], np.nan)
    bounds = np.where(parts > 0, bounds, unknown)
    return bounds.min(axis=0), bounds.max(axis=0)


def _poisson(count: Floats) -> Bounds:
    """Garwood's exact bounds of a count's mean, in Wilson and Hilferty's approximation of the gamma distribution."""
    some, more = np.maximum(count, 1e-12), count + 1
    low = some * np.maximum(1 - 1 / (9 * some) - Z / (3 * np.sqrt(some)), 0) ** 3
    return low, more * (1 - 1 / (9 * more) + Z / (3 * np.sqrt(more))) ** 3


def of_ratios(above: Floats, below: Floats, overall: float, pieces: Bounds) -> Bounds:
    """Of ratios above / below. overall: the parent's ratio.  pieces: above and below again, of each piece of the period.

    A rate (whole numbers, none larger than what it is of) has the variance of one, anything else one that grows with its
    square; how many times that, is told by how a row's pieces differ from the row. The row is drawn towards the parent by as
    much as its own variance outweighs that between rows.
    """
    known = (below > 0) & np.isfinite(above)
    low, high = np.full(len(above), np.nan), np.full(len(above), np.nan)
    if not known.any() or not np.isfinite(overall):
        return low, high
    with np.errstate(all="ignore"):
        some, of = above[known], below[known]
        ratios = some / of
        is_rate = bool(
            0 <= overall <= 1 and ((some >= 0) & (some <= of) & (some == np.floor(some)) & (of == np.floor(of))).all()
        )
        size = float(np.abs(some).sum() / of.sum())
        spread = _spread(ratios, of, overall, is_rate, size, *(piece[known] for piece in pieces))
        if is_rate:
            common = (some.sum() + 1) / (of.sum() + 2)
            nearly = (some + 1) / (of + 2)
            unit, own = common * (1 - common), nearly * (1 - nearly)
        else:
            unit, own = size**2 + overall**2, size**2 + ratios**2
        variance = spread * own / of
        between = _between(ratios, of / (spread * unit), overall)
        between = max(between, (LEAST_SPREAD * (abs(overall) or size)) ** 2)
        own_weight = np.where(variance > 0, between / (between + variance), 1.0)
        middle = overall + own_weight * (ratios - overall)
        half = Z * np.sqrt(own_weight * variance)
        limits = (0.0, 1.0) if is_rate else (0.0 if (some >= 0).all() else -np.inf, np.inf)
        low[known], high[known] = np.clip(middle - half, *limits), np.clip(middle + half, *limits)
    return low, high


def _spread(
    ratios: Floats, of: Floats, overall: float, is_rate: bool, size: float, above: Floats, below: Floats
) -> float:
    """How many times the plain variance one unit has, at least once. above, below: by row and piece."""
    seen = (below > 0) & np.isfinite(above)
    above, below = np.where(seen, above, 0.0), np.where(seen, below, 0.0)
    means = above.sum(axis=1) / below.sum(axis=1)
    units = means * (1 - means) if is_rate else size**2 + means**2
    free = seen.sum(axis=1) - 1
    told: NDArray[np.bool_] = (free > 0) & (units > 0)
    squares = np.where(seen, below * (np.where(seen, above / below, 0.0) - means[:, None]) ** 2, 0.0).sum(axis=1)
    pieces = float(free[told].sum())
    within = float(squares[told].sum() / (free[told] * units[told]).sum()) if pieces else UNKNOWN_SPREAD
    if is_rate:
        return max(1.0, within) if pieces >= LEAST_PIECES else 1.0
    # Of few pieces, the most that it may be (nine times in ten); or as if all that rows differ by were chance.
    if pieces:
        within /= max(1e-3, 1 - 2 / (9 * pieces) - 1.2816 * np.sqrt(2 / (9 * pieces))) ** 3
    if len(ratios) > 1 and size:
        squares = of * (ratios - overall) ** 2
        within = min(within, float(squares.sum() / ((len(ratios) - 1) * (size**2 + overall**2))))
    return max(1.0, within)


def _between(ratios: Floats, weights: Floats, overall: float) -> float:
    """The variance between rows beyond chance.  Source: DerSimonian and Laird, Controlled Clinical Trials, 1986."""
    weights = np.where(np.isfinite(weights), weights, 0.0)
    total = weights.sum()
    room = total - (weights**2).sum() / total if total > 0 else 0.0
    if room <= 0:
        return 0.0
    return max(0.0, float(((weights * (ratios - overall) ** 2).sum() - (len(ratios) - 1)) / room))

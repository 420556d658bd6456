"""What the counters know of a decision's options: sums by option and node of the context. Pure; everything a policy reads.

A node is a path of dimensions: () the root, ("country", "US"), ("country", "US", "CA"). A deeper node refines the deepest
node above it that is there; every hit of it was counted in those above it too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from whale.dimension import Path
from whale.errors import CallerError
from whale.formula import Floats

SUMS = 6  # of hits: 1, y, x, y*y, x*x, x*y, where y is the numerator of the ratio and x its denominator
MOST_OPTIONS = 200
MOST_NODES = 2_000
GUESSED_SPREAD = 20.0  # variance over mean squared of one trial's reward, until hits tell: as of buyers, 5 in 100
FEWEST_HITS = 30  # beyond one an option, before the guess gives way to how hits differ
LEAST_NOISE = 0.05  # of the guess: hits that agree by chance do not prove that there is no noise


Dimension = tuple[
    str | None, int
]  # the first name of a path and its length: all countries; all regions of all countries


@dataclass(frozen=True)
class Departures:
    """How much options differ between the nodes of a dimension beyond their noise, as `policy.departures` found it.

    lossy: differences rather than factors.  variances: by dimension.
    """

    lossy: bool
    variances: Mapping[Dimension, float]


@dataclass(frozen=True)
class Evidence:
    """options: names.  nodes: the known context, the root first.  sums: (options, nodes, 6), in the order of SUMS.

    The rate of an option is the sum of y over the sum of x: earned/spent, revenue/visitors, or value/hits, where x is 1 a hit.
    trials: (options, nodes): how often an option was tried; hits, unless one hit reports many (visitors: 100).
    A window or a half-life is a choice of which counters are summed, or of their weights: any sums >= 0 will do.
    departures: learnt now and then from all nodes of a decision, since the few of one context tell little; None: from those few.
    Where the denominator is 0 or less nothing is known, and those sums are read as none.
    Raises CallerError: no option, too many, one twice; nodes without a root; sums that are not finite numbers.
    """

    options: Sequence[str]
    nodes: Sequence[Path]
    sums: Floats
    trials: Floats
    departures: Departures | None = None

    @classmethod
    def of(
        cls,
        options: Sequence[str],
        nodes: Sequence[Path],
        sums: Floats,
        trials: Floats | None = None,
        departures: Departures | None = None,
    ) -> "Evidence":
        """Checked; see the class. trials: None for hits."""
        if not options:
            raise CallerError("expected at least one option", "options")
        if len(options) > MOST_OPTIONS:
            raise CallerError(f"{len(options)} options, the limit is {MOST_OPTIONS}", "options")
        if len(set(options)) < len(options):
            raise CallerError("an option is listed twice", "options")
        if len(nodes) > MOST_NODES:
            raise CallerError(f"{len(nodes)} nodes, the limit is {MOST_NODES}", "dimensions")
        if not nodes or nodes[0] != () or len(set(nodes)) < len(nodes):
            raise CallerError("expected the root, then each node once", "dimensions")
        sums = np.array(sums, np.float64)
        trials = sums[:, :, 0].copy() if trials is None else np.array(trials, np.float64)
        if sums.shape != (len(options), len(nodes), SUMS) or trials.shape != sums.shape[:2]:
            raise CallerError(f"expected {len(options)} options x {len(nodes)} nodes x {SUMS} sums", "sums")
        if not (np.isfinite(sums).all() and np.isfinite(trials).all()):
            raise CallerError("expected finite sums", "sums")
        unknown = (sums[:, :, 2] <= 0) | (sums[:, :, 0] <= 0)
        sums[unknown], trials[unknown] = 0, 0
        return cls(options, nodes, sums, np.maximum(trials, 0), departures)

    @property
    def rewards(self) -> Floats:
        """Sums of the numerator, (options, nodes)."""
        return self.sums[:, :, 1]

    @property
    def bases(self) -> Floats:
        """Sums of the denominator, (options, nodes)."""
        return self.sums[:, :, 2]

    @cached_property
    def rates(self) -> Floats:
        """(options, nodes); not a number where nothing is known."""
        return np.divide(self.rewards, self.bases, out=np.full(self.bases.shape, np.nan), where=self.bases > 0)

    @cached_property
    def rate(self) -> float:
        """Of all options together; not a number where nothing is known."""
        base = float(self.bases[:, 0].sum())
        return float(self.rewards[:, 0].sum()) / base if base > 0 else np.nan

    @property
    def lossy(self) -> bool:
        """Whether rewards may be below zero, so that rates differ by amounts and not by factors."""
        return bool((self.rewards < 0).any()) or (self.departures is not None and self.departures.lossy)

    @cached_property
    def parents(self) -> list[int]:
        """For each node the place of the deepest one above it; the root is its own."""
        places = {node: i for i, node in enumerate(self.nodes)}
        found = [0]
        for node in self.nodes[1:]:
            above = (node[:length] for length in range(len(node) - 1, -1, -1))
            found.append(next(places[path] for path in above if path in places))
        return found

    @cached_property
    def noise(self) -> float:
        """Variance of a sum of rewards, for each unit of the denominator: so much times x is the variance of y - rate * x.

        From how single hits of an option differ from its rate (the delta method), pooled over options; until there are
        hits enough, a guess. 0 where nothing was earned.
        """
        return self.noise_from(GUESSED_SPREAD)

    def noise_from(self, spread: float) -> float:
        """The noise where the guess is another: variance over mean squared of one trial's reward."""
        hits, y, x, yy, xx, xy = self.sums[:, 0].T
        base, reward, trials = x.sum(), np.abs(y).sum(), self.trials[:, 0].sum()
        if base <= 0 or yy.sum() <= 0 or trials <= 0:
            return 0.0
        guess = min(spread * reward * reward / trials, yy.sum()) / base
        rates = np.nan_to_num(self.rates[:, 0])
        left = np.maximum(yy - 2 * rates * xy + rates * rates * xx, 0).sum()
        degrees = float(np.maximum(hits - 1, 0).sum())
        if degrees < FEWEST_HITS:
            return float(guess)
        return float(max(left / base * hits.sum() / degrees, LEAST_NOISE * guess))


def moments(y: Floats, x: Floats) -> Floats:
    """The sums of one hit, or of many with arrays: what a counter adds for a numerator and a denominator. (..., 6)."""
    y, x = np.broadcast_arrays(np.asarray(y, np.float64), np.asarray(x, np.float64))
    return np.stack([np.ones(y.shape), y, x, y * y, x * x, x * y], axis=-1)

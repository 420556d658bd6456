"""Which option a visitor should see: policies, pure functions of counters. The method on one page: docs/decisions-method.md.

    choose(policy, evidence, random)  ->  Choice: the option, the probability it had, and what spoke for each option

`probabilities` says how likely each option is; it draws nothing, so the probability that is logged is exact.

A belief about an option in this context is its overall rate, times one factor for each known node: how much better or worse
the option does there than its rate and the context's own effect (the same for all options) let expect. Each factor is shrunk
towards 1 by how little is known of it. Rewards that may be negative take the same way with differences in place of factors.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from whale.decide import chance, reasons
from whale.decide.evidence import Departures, Dimension, Evidence
from whale.decide.exploration import BAD_IDEA, EPSILON, EXPLORATION, FLOOR, MIN_TRIALS, PARAMETERS, TEST_IDEA
from whale.dimension import Path
from whale.errors import CallerError
from whale.formula import Floats

GUESSED_VARIANCE = 0.1  # of options, and of an option's departures in a context: of factors
GUESSED_CELLS = 2.0  # how many well known cells that guess is worth
HEAVY = 3.0  # a few departures are large and most are none: a normal law of the variance that is seen would shrink those few too far
LEAST_PART = 20  # a variance is at least a 20th of its guess, and at most 20 times
STEADY = 100  # where rewards may be negative: after so many trials of usual noise an option is half believed
VISIBLE = 1.96  # standard deviations either side: 95 %


@dataclass(frozen=True)
class Policy:
    """name: thompson, epsilon or seed (the rule of the HailWhale of 2011 to 2015, mended).

    goal: whether a great rate is good.
    exploration (thompson): how much of its uncertainty is played: 1 is Thompson's own rule, 0 always the best known; see `played`.
    floor (thompson): the share that is spread evenly over all options, so that no probability is 0.
    min_trials (thompson, epsilon): until an option has so many, it has its even share at least.
    epsilon (epsilon): the share that is spread evenly; the rest goes to the option with the best estimate.
    bad_idea_threshold, test_idea_threshold (seed): shares of options known to be bad, and of untested ones.
    """

    name: Literal["thompson", "epsilon", "seed"] = "thompson"
    goal: Literal["max", "min"] = "max"
    exploration: float = EXPLORATION.default
    floor: float = FLOOR.default
    min_trials: float = MIN_TRIALS.default
    epsilon: float = EPSILON.default
    bad_idea_threshold: float = BAD_IDEA.default
    test_idea_threshold: float = TEST_IDEA.default

    def __post_init__(self) -> None:
        if self.name not in VERSIONS:
            raise CallerError(f"expected one of {', '.join(VERSIONS)}, got {str(self.name)[:60]!r}", "policy")
        if self.goal not in ("max", "min"):
            raise CallerError(f"expected max or min, got {str(self.goal)[:60]!r}", "goal")
        for parameter in PARAMETERS:
            parameter.check(getattr(self, parameter.name))

    @classmethod
    def of(cls, name: str, goal: str, parameters: Mapping[str, Any]) -> "Policy":
        """Of what somebody gave; raises CallerError, and TypeError where a parameter is unknown or no number."""
        return cls(**{"name": name, "goal": goal, **parameters})

    @property
    def version(self) -> str:
        """Changes when the same evidence is answered otherwise; to be logged with each decision."""
        return VERSIONS[self.name]


VERSIONS = {"thompson": "thompson-2", "epsilon": "epsilon-1", "seed": "seed-2"}
DEFAULT = Policy()


@dataclass(frozen=True)
class Row:
    """What a node's own counters say of an option.

    rate: None where nothing is known; low, high: its 95 % interval.  weight: 0 to 1, how far these counters decided rather than
    what is known above them.
    """

    option: str
    node: Path
    trials: float
    rate: float | None
    low: float | None
    high: float | None
    weight: float


@dataclass(frozen=True)
class Choice:
    """probability: of the option that was chosen; probabilities: of all, in the order of the evidence."""

    option: str
    probability: float
    probabilities: Sequence[float]
    rows: Sequence[Row]
    version: str


@dataclass(frozen=True)
class Beliefs:
    """Of each option's rate in the context: a best guess, and the normal law of its cube root, or of itself where rewards are lossy.

    overall, here: the law's deviation, from what is unknown of the option as a whole, and of its departures in this context.
    weights: (options, nodes), see Row.
    """

    rate: Floats
    centre: Floats
    overall: Floats
    here: Floats
    weights: Floats

    def played(self, exploration: float) -> Floats:
        """The deviation to play with. Of `overall` twice the exploration, at most all; of `here` its square, so by default a quarter.

        A good option that is given up early is lost everywhere; one that is overlooked in a country is lost there, and there are many.
        """
        found: Floats = np.hypot(min(1.0, 2 * exploration) * self.overall, exploration**2 * self.here)
        return found


def choose(policy: Policy, evidence: Evidence, random: np.random.Generator) -> Choice:
    """One option, drawn by `probabilities`: one number of the generator. About 0.5 ms for 5 options, 3 ms for 50."""
    beliefs = beliefs_of(evidence)
    shares = _probabilities(policy, evidence, beliefs)
    place = min(int(np.searchsorted(np.cumsum(shares), random.random(), side="right")), len(shares) - 1)
    rows = rows_of(evidence, beliefs.weights)
    return Choice(evidence.options[place], float(shares[place]), shares.tolist(), rows, policy.version)


def probabilities(policy: Policy, evidence: Evidence) -> Floats:
    """How likely the policy chooses each option; sums to 1. Nothing known: even."""
    return _probabilities(policy, evidence, beliefs_of(evidence))


def _probabilities(policy: Policy, evidence: Evidence, beliefs: Beliefs) -> Floats:
    if policy.name == "seed":
        bad, test = policy.bad_idea_threshold, policy.test_idea_threshold
        return reasons.shares(reasons.weighted(evidence, policy.goal), bad, test)
    even = np.full(len(evidence.options), 1 / len(evidence.options))
    sign = 1 if policy.goal == "max" else -1
    if policy.name == "thompson" and policy.exploration > 0:
        best = chance.greatest(sign * beliefs.centre, beliefs.played(policy.exploration))
        spread = policy.floor
    else:
        first = np.isclose(sign * beliefs.rate, (sign * beliefs.rate).max(), rtol=1e-9, atol=0)
        best = first / first.sum()
        spread = policy.epsilon if policy.name == "epsilon" else policy.floor
    shares = spread * even + (1 - spread) * best
    untried = evidence.trials[:, 0] < policy.min_trials
    found: Floats = untried * even + (1 - untried.mean()) * shares
    return found


def beliefs_of(evidence: Evidence) -> Beliefs:
    """What is believed of each option in the context; see the top of the module."""
    parts = _parts(evidence, {})
    overall, here = parts.variances[0], parts.variances[1:].sum(axis=0)
    if evidence.lossy:
        rate = parts.own.sum(axis=0)
        return Beliefs(rate, rate, np.sqrt(overall), np.sqrt(here), parts.weights.T)
    rate = parts.own.prod(axis=0) * (evidence.rate if evidence.noise > 0 else 1.0)
    # The cube root of a Gamma number is very nearly normal. Source: Wilson and Hilferty, 1931.
    root = np.cbrt(rate)
    centre = root * (1 - (overall + here) / 9)
    return Beliefs(rate, centre, root * np.sqrt(overall / 9), root * np.sqrt(here / 9), parts.weights.T)


def departures(whole: Evidence) -> Departures:
    """How much options differ between countries, between devices: learnt from all nodes of a decision, not only from one context.

    whole: the root and as many nodes as there are, parents before children; the same for every visitor, so once a minute will do.
    Without it a policy guesses more, and explores more. About 20 us a node.
    """
    found: dict[Dimension, Spread] = {}
    _parts(whole, found)
    return Departures(whole.lossy, {dimension: spread.variance for dimension, spread in found.items()})


@dataclass
class Spread:
    """The variance of options, or of their departures: a guess, and what cells that are known well add to it."""

    guess: float
    cells: float = GUESSED_CELLS
    total: float = 0.0

    def add(self, squares: Floats, errors: Floats) -> None:
        """squares: of what was found in each cell; errors: the variance that noise alone gives it. What is common was taken out."""
        count = len(squares)
        if count < 2:
            return
        trust = (self.guess / (self.guess + errors)) ** 2
        self.cells += float(trust.sum())
        self.total += float((trust * (squares * count / (count - 1) - errors)).sum())

    @property
    def variance(self) -> float:
        """To shrink by."""
        found = (GUESSED_CELLS * self.guess + self.total) / self.cells
        return HEAVY * min(max(found, self.guess / LEAST_PART), self.guess * LEAST_PART)


def _variance(
    evidence: Evidence, node: int, learnt: dict[Dimension, Spread], guess: float, squares: Floats, errors: Floats
) -> float:
    """Of the departures in a node: learnt from all of its dimension, or else from it alone."""
    path = evidence.nodes[node]
    dimension = (path[0], len(path)) if path else (None, 0)
    spread = learnt.setdefault(dimension, Spread(guess))
    spread.add(squares, errors)
    known = evidence.departures
    if known is not None and known.lossy == evidence.lossy and path:
        return known.variances.get(dimension, spread.variance)
    return spread.variance


@dataclass(frozen=True)
class Parts:
    """What a belief is made of, (nodes, options) each: at the root the option's level, at a node its factor or difference there.

    variances: of a factor relative to its square.  weights: how far a node's own counters decided, 0 to 1.
    """

    own: Floats
    variances: Floats
    weights: Floats


def _parts(evidence: Evidence, learnt: dict[Dimension, Spread]) -> Parts:
    found = (_differences if evidence.lossy else _factors)(evidence, learnt)
    own, variances, weights = (np.array(columns) for columns in zip(*found, strict=True))
    return Parts(own, variances, weights)


def _factors(evidence: Evidence, learnt: dict[Dimension, Spread]) -> Iterator[tuple[Floats, Floats, Floats]]:
    """A Gamma law for each factor: its shape is the reward in units of its noise."""
    noise = evidence.noise
    unit = evidence.rate / noise if noise > 0 else 0.0  # reward -> how many counts of a Poisson law it is worth
    counts, expected = evidence.rewards * unit, evidence.bases * (evidence.rate * unit if unit else 0.0)
    levels: list[Floats] = []
    for node, parent in enumerate(evidence.parents):
        count, usual, rest = counts[:, node], expected[:, node], np.ones(len(counts))
        if node:
            usual = usual * levels[parent]
            usual = usual * (count.sum() + 1) / (usual.sum() + 1)  # the context's own effect, on all options
            rest = _rest(evidence, node, parent)
        known = usual > 0
        squares, errors = (count[known] / usual[known] - 1) ** 2, 1 / usual[known]
        shape = 1 / (_variance(evidence, node, learnt, GUESSED_VARIANCE, squares, errors) * rest)
        factor = (shape + count) / (shape + usual)
        levels.append(levels[parent] * factor if node else factor)
        yield factor, rest / (shape + count), usual / (shape + usual)


def _rest(evidence: Evidence, node: int, parent: int) -> Floats:
    """By option the share of the parent that is not in the node: 0 where all is, so that nothing counts twice."""
    inside, all_of_it = evidence.bases[:, node], evidence.bases[:, parent]
    share = np.divide(inside, all_of_it, out=np.zeros(len(inside)), where=all_of_it > 0)
    found: Floats = np.clip(1 - share, 1e-9, 1.0)
    return found


def _differences(evidence: Evidence, learnt: dict[Dimension, Spread]) -> Iterator[tuple[Floats, Floats, Floats]]:
    """A normal law for each difference; noise / denominator is the variance of a rate."""
    bases, rates = evidence.bases, np.nan_to_num(evidence.rates)
    errors = np.divide(evidence.noise, bases, out=np.full(bases.shape, np.inf), where=bases > 0)
    pooled = float(np.nan_to_num(evidence.rate))
    a_trial = float(bases[:, 0].sum() / max(evidence.trials[:, 0].sum(), 1e-300)) or 1.0
    guess = max(evidence.noise / a_trial / STEADY, 1e-300)
    levels: list[Floats] = []
    for node, parent in enumerate(evidence.parents):
        base, known, rest = bases[:, node], bases[:, node] > 0, np.ones(len(bases))
        apart = np.where(known, rates[:, node] - (levels[parent] if node else pooled), 0.0)
        if node and known.any():  # the context's own effect, on all options
            apart = np.where(known, apart - np.average(apart, weights=base), 0.0)
            rest = _rest(evidence, node, parent)
        spread = _variance(evidence, node, learnt, guess, apart[known] ** 2, errors[known, node]) * rest
        trust = spread / (spread + errors[:, node])
        own = trust * apart + (0.0 if node else pooled)
        levels.append(levels[parent] + own if node else own)
        yield own, rest * spread * (1 - trust), trust


def rows_of(evidence: Evidence, weights: Floats) -> list[Row]:
    """One for each option and node."""
    rates, lows, highs = (_or_none(each) for each in (evidence.rates, *intervals(evidence)))
    trials, shares = evidence.trials.tolist(), weights.tolist()
    return [
        Row(option, node, trials[i][j], rates[i][j], lows[i][j], highs[i][j], shares[i][j])
        for i, option in enumerate(evidence.options)
        for j, node in enumerate(evidence.nodes)
    ]


def _or_none(numbers: Floats) -> list[list[float | None]]:
    """As lists, with None for what is not a number."""
    return [[None if each != each else each for each in row] for row in numbers.tolist()]


def intervals(evidence: Evidence, deviations: float = VISIBLE) -> tuple[Floats, Floats]:
    """The 95 % interval of each rate from its own counters alone: low and high, (options, nodes); not a number: unknown.

    Until something was earned nobody knows how much one reward may be, so there is no high.

    Rewards that are never negative: of a Gamma law, half a unit of reward added (Jeffreys' prior of a count).
    """
    noise, bases = evidence.noise, evidence.bases
    if evidence.lossy:
        half = deviations * np.sqrt(np.divide(noise, bases, out=np.full(bases.shape, np.nan), where=bases > 0))
        return evidence.rates - half, evidence.rates + half
    if noise <= 0:
        zero = np.where(bases > 0, 0.0, np.nan)
        return zero, np.full(bases.shape, np.nan)
    unit = noise / evidence.rate  # what one event of Poisson's law would have to be worth
    shape = evidence.rewards / unit + 0.5
    rate = np.divide(shape * unit, bases, out=np.full(bases.shape, np.nan), where=bases > 0)
    middle, half = 1 - 1 / (9 * shape), deviations / (3 * np.sqrt(shape))
    return rate * np.maximum(middle - half, 0) ** 3, rate * (middle + half) ** 3

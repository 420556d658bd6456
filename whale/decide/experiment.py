"""Reports of a decision from its counters: how each option does, whether it was shown as often as said, whether to stop. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whale.decide import chance
from whale.decide.evidence import FEWEST_HITS, Evidence
from whale.decide.policy import VISIBLE, intervals
from whale.dimension import Path
from whale.errors import CallerError
from whale.formula import Floats

DRAWS = 4_000  # for expected losses and intervals of lifts
SUSPICIOUS = 0.001  # a mismatch of shares this unlikely is told
ERROR, PLANNED, MIN_TRIALS = 0.05, 5_000.0, 100.0  # of `standing`
LEAST_SHARE = 0.1  # of the usual variance, that an option has at least


@dataclass(frozen=True)
class Result:
    """An option in a segment, by that segment's own counters. None where nothing is known.

    reward, base: sums of numerator and denominator; rate: their ratio; low, high: its 95 % interval.
    best: probability that its rate is the best of all.  loss: how much rate is lost on average by staying with it.
    lift: rate / baseline's rate - 1, with its 95 % interval; None for the baseline, and where a rate may be 0 or less.
    """

    option: str
    node: Path
    trials: float
    reward: float
    base: float
    rate: float | None
    low: float | None
    high: float | None
    best: float | None
    loss: float | None
    lift: float | None
    lift_low: float | None
    lift_high: float | None


def results(
    evidence: Evidence, goal: Literal["max", "min"], random: np.random.Generator, baseline: str | None = None
) -> list[Result]:
    """One for each option and node. baseline: an option, None for the first. Costs nodes x options x 4,000 draws.

    Best and loss compare the options that were tried in the segment, as if looked at once; to stop early see `standing`. Rates are of
    the visitors that met an option: where a policy reads the context, compare within a segment, or by `always`.
    """
    if baseline is not None and baseline not in evidence.options:
        raise CallerError(f"{baseline[:60]!r} is no option", "baseline")
    first = evidence.options.index(baseline) if baseline is not None else 0
    low, high = intervals(evidence)
    found = []
    for j, node in enumerate(evidence.nodes):
        best, loss, lifts = _compared(evidence, j, 1 if goal == "max" else -1, first, random)
        for i, option in enumerate(evidence.options):
            sums = float(evidence.trials[i, j]), float(evidence.rewards[i, j]), float(evidence.bases[i, j])
            numbers = evidence.rates[i, j], low[i, j], high[i, j], best[i], loss[i], *lifts[i]
            found.append(Result(option, node, *sums, *(None if np.isnan(x) else float(x) for x in numbers)))
    return found


def _compared(
    evidence: Evidence, node: int, sign: int, first: int, random: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Of one node by option: probability to be best, expected loss, and lift, low, high; not a number: unknown."""
    count = len(evidence.options)
    best, loss, lifts = np.full(count, np.nan), np.full(count, np.nan), np.full((count, 3), np.nan)
    known = np.flatnonzero(evidence.bases[:, node] > 0)
    rate = evidence.rates[known, node]
    if not len(known) or evidence.noise <= 0:
        return best, loss, lifts
    centre, deviation = _laws(evidence, known, node)
    best[known] = chance.greatest(sign * centre, deviation)
    drawn = _rates(evidence, random.normal(centre, deviation, (DRAWS, len(known))))
    signed = sign * drawn
    loss[known] = (signed.max(axis=1, keepdims=True) - signed).mean(axis=0)
    place = np.flatnonzero(known == first)
    if len(place) and not evidence.lossy and rate[place[0]] > 0:
        below = np.maximum(drawn[:, place], 1e-6 * rate[place])  # a millionth of it stands for nothing
        lifts[known, 0] = rate / rate[place[0]] - 1
        lifts[known, 1:] = np.quantile(drawn / below - 1, [0.025, 0.975], axis=0).T
        lifts[first] = np.nan
    return best, loss, lifts


def _laws(evidence: Evidence, options: NDArray[np.intp], node: int) -> tuple[Floats, Floats]:
    """Centre and deviation of what these options' own counters say: of cube roots as in policy.py, of rates where they are lossy."""
    noise, base, rate = evidence.noise, evidence.bases[options, node], evidence.rates[options, node]
    if evidence.lossy:
        return rate, np.sqrt(noise / base)
    shape = evidence.rewards[options, node] * evidence.rate / noise + 0.5
    root = np.cbrt(shape * noise / evidence.rate / base)
    return root * (1 - 1 / (9 * shape)), root / (3 * np.sqrt(shape))


def _rates(evidence: Evidence, drawn: Floats) -> Floats:
    """The rates that numbers drawn by these laws stand for."""
    return drawn if evidence.lossy else np.maximum(drawn, 0) ** 3


@dataclass(frozen=True)
class Shares:
    """Whether options were shown as often as their logged probabilities say. chance: of such a difference, or a greater one."""

    chi_square: float
    degrees: int
    chance: float

    @property
    def suspicious(self) -> bool:
        return self.chance < SUSPICIOUS


def sample_ratio(shown: Mapping[str, float], probabilities: Mapping[str, float]) -> Shares:
    """shown: decisions that went to each option; probabilities: the sum, over all decisions, of what each option had.

    Valid however probabilities moved, since each decision is compared with its own; where they moved much the true chance is
    smaller than told. An option that was shown against a probability of 0 has chance 0. Raises CallerError for other options.
    """
    if shown.keys() - probabilities.keys():
        raise CallerError("an option was shown that has no logged probability", "options")
    if any(shown.get(option, 0) > 0 and expected <= 0 for option, expected in probabilities.items()):
        return Shares(float("inf"), 1, 0.0)
    possible = {option: expected for option, expected in probabilities.items() if expected > 0}
    value = sum((shown.get(option, 0) - expected) ** 2 / expected for option, expected in possible.items())
    degrees = len(possible) - 1
    return Shares(value, degrees, chance.chi_square_beyond(value, degrees) if degrees > 0 else 1.0)


State = Literal["best", "beaten", "open"]


@dataclass(frozen=True)
class Standing:
    """An option where looking often is allowed. low, high: hold at all times at once.

    state: best: surely better than all others; beaten: surely worse than one of them; open.
    """

    option: str
    rate: float | None
    low: float | None
    high: float | None
    state: State


def standing(
    evidence: Evidence,
    goal: Literal["max", "min"] = "max",
    error: float = ERROR,
    planned: float = PLANNED,
    min_trials: float = MIN_TRIALS,
) -> Sequence[Standing]:
    """Which options are decided at the root, for whoever looks daily and stops when something is.

    With probability 1 - error none of this is ever wrong, whenever and however often it is asked and however the policy divided
    the trials, for each option has an interval that holds over all its own trials. Two conditions: counters that do not forget,
    and options that met the same visitors. A policy that reads the context shows options to different visitors; then hand in the
    sums of reward / probability and 1 / probability, as for `always`, which weigh all visitors alike.
    planned: hits an option at which the intervals are about as narrow as can be.  min_trials: below, an option is open and so is
    the comparison with it: the intervals rest on the central limit theorem.
    Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
    Annals of Statistics 2024: the normal mixture of Robbins, which is also the mixture SPRT of Johari, Pekelis and Walsh.
    """
    if not 0 < error < 1:
        raise CallerError(f"expected a number between 0 and 1, got {error}", "error")
    if not 0 < planned < np.inf:
        raise CallerError(f"expected a number of hits, got {planned}", "planned")
    hits, _, x, yy, xx, xy = evidence.sums[:, 0].T
    known = (evidence.trials[:, 0] >= min_trials) & (x > 0)
    hits, x = np.where(known, hits, 1.0), np.where(known, x, 1.0)
    rates = np.where(known, evidence.rates[:, 0], 0.0)
    left = np.maximum(yy - 2 * rates * xy + rates * rates * xx, 0)
    usual = evidence.noise * x / hits  # of a hit, where the option's own hits are too few or all alike
    variance = np.where(hits > FEWEST_HITS, np.maximum(left / np.maximum(hits - 1, 1), usual * LEAST_SHARE), usual)
    half = _at_all_times(hits, variance, error / len(evidence.options), planned) * hits / x
    sign = 1 if goal == "max" else -1
    low = np.where(known, sign * rates - half, -np.inf)
    high = np.where(known, sign * rates + half, np.inf)
    found = []
    for i, option in enumerate(evidence.options):
        others = np.arange(len(hits)) != i
        best = len(hits) > 1 and bool(low[i] > high[others].max())
        beaten = bool((low[others] > high[i]).any())
        bounds = sorted((float(sign * low[i]), float(sign * high[i])))
        state: State = "best" if best else "beaten" if beaten else "open"
        tried = bool(known[i])
        found.append(
            Standing(option, float(rates[i]), bounds[0], bounds[1], state)
            if tried
            else Standing(option, None, None, None, state)
        )
    return found


def _at_all_times(hits: Floats, variance: Floats, level: float, planned: float) -> Floats:
    """Half the interval of a mean of so many hits of this variance, that holds at all times with probability 1 - level."""
    mixed = -2 * np.log(level)
    time = hits * (mixed + np.log(mixed + 1)) / planned
    found: Floats = np.sqrt(variance * 2 * (time + 1) / (hits * time) * np.log(np.sqrt(time + 1) / level))
    return found


FURTHEST = 1_000  # times the trials so far, up to which it is foretold when something is decided
LOOKS = 1 + np.geomspace(0.01, FURTHEST, 72)  # at a continuation, in times the trials so far
CONTINUATIONS, MOST_CONTINUED = 1_000, 40_000  # draws; and draws x options, which bounds the time
ALIKE = np.array(
    [*np.linspace(-9, 6, 46), np.inf]
)  # logits of the share of differences that is luck; the last: all of it


@dataclass(frozen=True)
class Risk:
    """What stopping now risks. option: the one to stop with.  loss: how much rate it loses on average.

    low, high: the chance that it is not the best: by each option's own counters, and where it is as likely as not that all are alike.
    """

    option: str
    loss: float
    low: float
    high: float


def risk(evidence: Evidence, goal: Literal["max", "min"], random: np.random.Generator) -> Risk:
    """Of two options or more of which something is known and earned. A few ms."""
    sign, count = 1 if goal == "max" else -1, len(evidence.options)
    centre, deviation = _laws(evidence, np.arange(count), 0)
    drawn, alike = _believed(centre, deviation, random)
    signed = sign * _rates(evidence, drawn)
    lost = (signed.max(axis=1, keepdims=True) - signed).mean(axis=0)
    chosen = int(np.argmin(lost))
    own = 1 - float(chance.greatest(sign * centre, deviation)[chosen])
    unlike = float(((sign * drawn).argmax(axis=1) != chosen).mean())
    low, high = sorted((own, alike * (1 - 1 / count) + (1 - alike) * unlike))
    return Risk(evidence.options[chosen], float(lost[chosen]), low, high)


def more_trials(
    evidence: Evidence, goal: Literal["max", "min"], random: np.random.Generator
) -> tuple[float, float] | None:
    """How many more trials, all options together, until one is best, if spread and shares stay as they are: from, to.

    One time in ten it takes fewer, one time in ten more. Infinite: more than FURTHEST times as many as there were; the second is
    infinite where options may be alike, so where evidence is too weak to tell.
    None: of an option nothing is known, or nothing was earned. Costs about 20 ms for 5 options, 200 ms for 200.
    """
    if not (evidence.bases[:, 0] > 0).all() or evidence.noise <= 0:
        return None
    count = len(evidence.options)
    centre, deviation = _laws(evidence, np.arange(count), 0)
    own = random.normal(centre, deviation, (DRAWS, count))
    fewest, most = (
        float(np.quantile(_continued(evidence, goal, _rates(evidence, drawn), random), share, method="higher"))
        for drawn, share in ((own, 0.1), (_believed(centre, deviation, random)[0], 0.9))
    )
    return min(fewest, most), most


def _believed(centre: Floats, deviation: Floats, random: np.random.Generator) -> tuple[Floats, float]:
    """Options as they may be, (DRAWS, options), drawn towards each other; and the chance that all are alike, if it was 1/2 before.

    The best one of several had luck, the more so the more alike they are. How alike is not known: the share of their differences
    that is luck is held to be anything from 0 to 1 evenly, weighed by how well that explains the differences seen.
    Source: the uniform shrinkage prior of Daniels, Canadian Journal of Statistics 1999.
    """
    squares = deviation**2
    luck = 1 / (1 + np.exp(-ALIKE))
    typical = len(squares) / (1 / squares).sum()
    spread = (typical * (1 - luck) / luck)[:, None]  # the variance between options
    weights = 1 / (squares + spread)
    total = weights.sum(axis=1)
    middle = (weights * centre).sum(axis=1) / total
    fit = np.log(weights).sum(axis=1) - np.log(total) - (weights * (centre - middle[:, None]) ** 2).sum(axis=1)
    likely, before = np.exp((fit - fit.max()) / 2), luck * (1 - luck)
    odds = likely * before
    alike = float(likely[-1] / (likely[-1] + odds.sum() / before.sum()))
    row = random.choice(len(odds), DRAWS, p=odds / odds.sum())
    common = random.normal(middle[row], total[row] ** -0.5)[:, None]
    trust = spread[row] * weights[row]
    return random.normal(common + trust * (centre - common), np.sqrt(trust * squares)), alike


def _continued(evidence: Evidence, goal: Literal["max", "min"], rates: Floats, random: np.random.Generator) -> Floats:
    """For some of these rates, (draws, options), after how many more trials `standing` would tell the best; infinite: not in time."""
    count = len(evidence.options)
    rates = rates[: min(CONTINUATIONS, MOST_CONTINUED // count)]
    trials, hits, base = evidence.trials[:, 0], evidence.sums[:, 0, 0], evidence.bases[:, 0]
    noise = np.full_like(rates, evidence.noise)
    if not evidence.lossy:
        noise *= np.maximum(rates / evidence.rate, LEAST_SHARE)
    sign = 1 if goal == "max" else -1
    reward = np.broadcast_to(evidence.rewards[:, 0], rates.shape)
    found = np.full(len(rates), np.inf)
    level = ERROR / count
    for before, times in pairwise([1.0, *LOOKS.tolist()]):
        grown = times - before
        reward = random.normal(reward + rates * base * grown, np.sqrt(noise * base * grown))
        if (trials * times < MIN_TRIALS).any():
            continue
        half = _at_all_times(hits * times, noise * base / hits, level, PLANNED) * hits / base
        means = sign * reward / (base * times)
        best = means.argmax(axis=1)[:, None]
        low, high = means - half, means + half
        least = np.take_along_axis(low, best, axis=1)[:, 0]
        np.put_along_axis(high, best, -np.inf, axis=1)
        decided = np.isinf(found) & (least > high.max(axis=1))
        found[decided] = trials.sum() * (times - 1)
    return found


FEW = 100  # effective decisions


@dataclass(frozen=True)
class Estimate:
    """What a policy would have earned a decision, with its 95 % interval.

    effective: how many decisions of even weight it rests on; below FEW it is not `sound`: the interval is too narrow,
    and where a policy learnt while it logged, the value too low.
    """

    value: float
    low: float
    high: float
    effective: float

    @property
    def sound(self) -> bool:
        return self.effective >= FEW


def always(sums: Floats) -> Estimate | None:
    """What showing one option always would have earned: self-normalised inverse propensity, from counters alone.

    sums: (6,), the option's `evidence.moments` of y = reward / probability and x = 1 / probability, over the decisions that
    chose it; so two metrics more a decision, and no log. None where it was never chosen.
    The interval is by the delta method.
    """
    if not np.isfinite(sums).all():
        raise CallerError("expected finite sums", "sums")
    _, y, x, yy, xx, xy = (float(number) for number in sums)
    if x <= 0 or xx <= 0:
        return None
    value = y / x
    left = max(yy - 2 * value * xy + value * value * xx, 0.0)
    effective = x * x / xx
    return _estimate(value, left / (x * x) * effective / max(effective - 1, 1), effective, y >= 0)


def _estimate(value: float, variance: float, effective: float, positive: bool) -> Estimate:
    """Rewards that are never negative lean to the right, and so does the interval: that of a Gamma law, as of a count."""
    if not positive or value <= 0 or variance <= 0:
        half = VISIBLE * variance**0.5
        return Estimate(value, value - half, value + half, effective)
    counts = value * value / variance
    shape = counts + 0.5
    rate, middle, half = value * shape / counts, 1 - 1 / (9 * shape), VISIBLE / (3 * shape**0.5)
    return Estimate(value, float(rate * max(middle - half, 0) ** 3), float(rate * (middle + half) ** 3), effective)


@dataclass(frozen=True)
class Log:
    """Decisions one by one. options: places, (n,).  probabilities: what each chosen option had, (n,).  rewards: (n,).

    segments: (n,) small integers, what was known of each visitor; the model of `doubly_robust` is a mean for each segment and option.
    Raises CallerError: lengths that differ, a probability outside (0, 1], a reward that is not finite.
    """

    options: np.ndarray[tuple[int], np.dtype[np.int64]]
    probabilities: Floats
    rewards: Floats
    segments: np.ndarray[tuple[int], np.dtype[np.int64]]

    def __post_init__(self) -> None:
        lengths = {len(self.options), len(self.probabilities), len(self.rewards), len(self.segments)}
        if len(lengths) != 1 or not len(self.options):
            raise CallerError("expected at least one decision, and as many of each column", "log")
        if not ((self.probabilities > 0) & (self.probabilities <= 1)).all():
            raise CallerError("expected logged probabilities above 0, up to 1", "log")
        if not np.isfinite(self.rewards).all():
            raise CallerError("expected finite rewards", "log")


def self_normalised(log: Log, shares: Floats) -> Estimate | None:
    """Of a policy that gives options these shares, (n, options), by decision; None where it never agrees with the log."""
    weights = shares[np.arange(len(log.options)), log.options] / log.probabilities
    y = weights * log.rewards
    every = np.stack([weights, y, weights, y * y, weights * weights, y * weights])
    return always(every.sum(axis=1))


def doubly_robust(log: Log, shares: Floats) -> Estimate:
    """The same, corrected by a model of rewards, so that it is narrower where the model is good and right where it is not.

    The model: the mean of each segment and option, from the other half of the log, drawn towards the option's own mean by
    ten decisions' weight.
    """
    count, options = shares.shape
    segments = int(log.segments.max()) + 1
    every = np.arange(count)
    guesses = np.zeros((count, options))
    for half in (0, 1):
        learn = every % 2 != half
        cell = log.segments[learn] * options + log.options[learn]
        n = np.bincount(cell, minlength=segments * options).reshape(segments, options)
        y = np.bincount(cell, log.rewards[learn], minlength=segments * options).reshape(segments, options)
        overall = float(log.rewards[learn].mean()) if learn.any() else 0.0
        own = (y.sum(axis=0) + 10 * overall) / (n.sum(axis=0) + 10)
        guesses[~learn] = ((y + 10 * own) / (n + 10))[log.segments[~learn]]
    weights = shares[every, log.options] / log.probabilities
    values = (shares * guesses).sum(axis=1) + weights * (log.rewards - guesses[every, log.options])
    effective = float(weights.sum() ** 2 / max((weights * weights).sum(), 1e-300))
    variance = float(values.var(ddof=1)) / count if count > 1 else 0.0
    return _estimate(float(values.mean()), variance, effective, bool((log.rewards >= 0).all()))

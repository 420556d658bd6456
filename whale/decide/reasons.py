"""The rule of the HailWhale of 2011 to 2015: options are good, bad or to be tested, each for a reason. Pure.

Of an option o with rate R (P: of all options together, C: their denominator) a known node with rate r and denominator M speaks by

    effect = M * ((r - R) + (r - P))          significance = (effect / 2)^2 / C

and the root by M * (R - P). That is kept, and shown. Where two options or more were tried at a node they are compared within that
context: Q, the rate of these options there, stands for P, and the effect is M * (r - Q).

Mended: an option is good or bad where its rewards are at least CERTAIN standard deviations from what P (there: Q) lets expect, by the
noise of single hits, so that cents decide as dollars do; that noise grows with Q, so that a segment that earns little is judged as one
that earns much; a node can be a bad reason, too; known-bad options are not played while there are untested ones, and the worst is not
played most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whale.decide.evidence import Evidence
from whale.dimension import Path
from whale.formula import Floats

CERTAIN = 2.0  # standard deviations
FEWEST = 30  # trials; below, an option is tested
APART = 0.1  # of the option's own rate: a node where options are not compared speaks only if its rate is farther from that one
PLAIN_SPREAD = 1.0  # of a trial's reward, where one hit reports many: variance over mean squared

Kind = Literal["good", "bad", "test"]


@dataclass(frozen=True)
class Reason:
    """Why an option is good, bad or to be tested.

    node: what spoke, () the root.  effect: how much more was earned there than elsewhere.  significance: see the module.
    deviations: how many standard deviations the rewards are from what all options let expect.
    weight: share among its kind: |effect| in usual rewards where a known node spoke, else 1.
    """

    option: str
    kind: Kind
    node: Path
    effect: float
    significance: float
    deviations: float
    weight: float


def weighted(evidence: Evidence, goal: str = "max") -> list[Reason]:
    """One reason an option, in their order."""
    rates, bases = np.nan_to_num(evidence.rates), evidence.bases
    pooled = float(np.nan_to_num(evidence.rate))
    own = rates[:, :1]
    enough = evidence.trials >= FEWEST
    compared, within = _within(evidence, enough, pooled)
    effects = bases * np.where(compared, rates - within, (rates - own) + (rates - pooled))
    total = float(bases[:, 0].sum()) or 1.0
    significance = (effects / 2) ** 2 / total
    errors = np.sqrt(_noise(evidence, within, pooled) * bases)
    deviations = np.divide(bases * (rates - within), errors, out=np.zeros(errors.shape), where=errors > 0)
    speaks = enough & (np.abs(deviations) >= CERTAIN)
    apart = np.abs(rates - own) > APART * np.abs(own)
    speaks[:, 1:] &= (compared | apart)[:, 1:]
    usual = float(np.abs(evidence.rewards[:, 0]).sum()) / total or 1.0
    found = []
    for i, option in enumerate(evidence.options):
        known = [node for node in range(1, len(evidence.nodes)) if speaks[i, node]]
        node = max(known, key=lambda node: abs(effects[i, node]), default=0)
        kind: Kind = "test"
        if speaks[i, node] and enough[i, 0]:
            kind = "good" if (deviations[i, node] > 0) == (goal == "max") else "bad"
        weight = abs(float(effects[i, node])) / usual if node else 1.0
        numbers = float(effects[i, node]), float(significance[i, node]), float(deviations[i, node])
        found.append(Reason(option, kind, evidence.nodes[node], *numbers, weight))
    return found


def _within(evidence: Evidence, enough: NDArray[np.bool_], pooled: float) -> tuple[NDArray[np.bool_], Floats]:
    """By node: whether two options or more were tried there, and the rate that they are compared with: theirs, else P."""
    compared: NDArray[np.bool_] = enough.sum(axis=0) > 1
    compared[0] = False
    rewards, bases = (np.where(enough, each, 0.0).sum(axis=0) for each in (evidence.rewards, evidence.bases))
    compared &= bases > 0
    return compared, np.where(compared, rewards / np.where(compared, bases, 1.0), pooled)


def _noise(evidence: Evidence, within: Floats, pooled: float) -> Floats:
    """By node the noise of single hits: it grows with the rate there, as in policy.py.

    Rewards that may be negative differ by amounts and not by factors, so their noise is the same everywhere.
    """
    everywhere = evidence.noise_from(PLAIN_SPREAD)
    grows = pooled > 0 and not evidence.lossy
    found: Floats = everywhere * (within / pooled if grows else np.ones(len(within)))
    return found


def shares(found: Sequence[Reason], bad_idea_threshold: float, test_idea_threshold: float) -> Floats:
    """How likely each option is; sums to 1. Good ones by their weight, the others evenly among their kind.

    Untested ones have test_idea_threshold while there are others to play; known-bad ones have bad_idea_threshold of what is
    left. With no good option the untested are played, with no untested one either the bad.
    """
    kinds = np.array([reason.kind for reason in found])
    weights = np.array([reason.weight if reason.kind == "good" else 1.0 for reason in found])
    there = set(kinds.tolist())
    bad = bad_idea_threshold if "bad" in there else 0.0
    if "good" in there:
        test = test_idea_threshold if "test" in there else 0.0
        parts = {"test": test, "bad": (1 - test) * bad, "good": (1 - test) * (1 - bad)}
    else:
        parts = {"test": 1 - bad, "bad": bad} if "test" in there else {"bad": 1.0}
    answer = np.zeros(len(found))
    for kind, part in parts.items():
        chosen = kinds == kind
        answer[chosen] = part * weights[chosen] / max(weights[chosen].sum(), 1e-300)
    return answer

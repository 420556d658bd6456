"""Whether a report's words on what is ahead hold: the chance of being wrong, and how many more trials it takes.

    python -m benchmarks.verdicts

Draws worlds of options with log rates about that of 5 % (a deviation of 2 %: nearly alike; of 30 %: far apart), shows each option so
many times, asks for the report, and, where it is open, goes on as the world is until the report tells the best. Only the
report's words come from the code that is measured.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from benchmarks.report import Figure, report
from whale.decide.evidence import Evidence
from whale.decide.experiment import FURTHEST, more_trials, risk, standing
from whale.formula import Floats

RATE = 0.05
LOOK = 0.03  # of the trials so far, between two looks
FAR = 100  # times the trials at the report: how far a world goes on


def evidence_of(trials: Floats, rewards: Floats) -> Evidence:
    """Of rewards of 0 or 1."""
    sums = np.stack([trials, rewards, trials, rewards, trials, rewards], axis=-1)[:, None, :]
    return Evidence.of([f"o{i}" for i in range(len(trials))], [()], sums)


def is_open(evidence: Evidence) -> bool:
    return all(each.state != "best" for each in standing(evidence))


def more(rates: Floats, trials: Floats, rewards: Floats, random: np.random.Generator) -> float:
    """How many more trials it took; infinite: it was open to the end."""
    first = trials.sum()
    while trials.sum() < FAR * first:
        shown = np.ceil(trials * LOOK)
        trials, rewards = trials + shown, rewards + random.binomial(shown.astype(int), rates)
        if not is_open(evidence_of(trials, rewards)):
            return float(trials.sum() - first)
    return np.inf


def measured(name: str, shares: Sequence[float], deviation: float, worlds: int, followed: int) -> list[Figure]:
    """shares: how often each option was shown. followed: in how many worlds it is seen how long it takes."""
    random = np.random.default_rng([len(shares), round(1_000 * deviation), round(sum(shares))])
    trials = np.array(shares, float)
    told, wrong, costs, unsaid = [], [], [], 0
    within: list[bool] = []
    for _ in range(worlds):
        rates = RATE * np.exp(random.normal(0, deviation, len(trials)))
        rewards = random.binomial(trials.astype(int), rates).astype(float)
        evidence = evidence_of(trials, rewards)
        if not is_open(evidence) or not rewards.any():
            continue
        said = risk(evidence, "max", random)
        lost = rates.max() - rates[evidence.options.index(said.option)]
        told.append((said.low, said.high))
        wrong.append(lost > 0)
        costs.append((said.loss, lost))
        if len(within) < followed and (found := more_trials(evidence, "max", random)):
            fewest, most = found
            end = min(FAR, FURTHEST) * trials.sum()
            took = more(rates, trials, rewards, random)
            within.append(min(fewest, end) <= took and (took <= most or most > end))
            unsaid += most == np.inf
    low, high = zip(*told, strict=True)
    told_cost, cost = zip(*costs, strict=True)
    return [
        Figure(f"{name}: chance of being wrong, told from", [float(np.mean(low))], ""),
        Figure(f"{name}: to", [float(np.mean(high))], ""),
        Figure(f"{name}: how often it was", [float(np.mean(wrong))], ""),
        Figure(f"{name}: cost told", [float(np.mean(told_cost)) / RATE], "of a rate"),
        Figure(f"{name}: cost", [float(np.mean(cost)) / RATE], "of a rate"),
        Figure(f"{name}: it took as many as was told", [float(np.mean(within))], "", 0.8),
        Figure(f"{name}: told only how many at least", [unsaid / len(within)], ""),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=400)
    parser.add_argument("--followed", type=int, default=40)
    asked = parser.parse_args()
    figures = []
    for options in (2, 4):
        for deviation in (0.02, 0.1, 0.3):
            for shown in (200, 1_000, 5_000):
                name = f"{options} options, deviation {deviation:.0%}, {shown:,} trials each"
                figures += measured(name, [shown] * options, deviation, asked.worlds, asked.followed)
    for deviation in (0.02, 0.1, 0.3):
        name = f"3 options, deviation {deviation:.0%}, 5,000, 1,000 and 200 trials"
        figures += measured(name, [5_000, 1_000, 200], deviation, asked.worlds, asked.followed)
    report("verdicts", figures)


if __name__ == "__main__":
    main()

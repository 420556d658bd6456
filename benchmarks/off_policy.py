"""How often estimates of what a policy would have earned cover the truth.

    python -m benchmarks.off_policy                        # 500 simulated logs of 5,000 decisions; 100 of a learning policy
    python -m benchmarks.off_policy --obd obp/dataset/obd  # also the sample of the Open Bandit Dataset in obp 0.4.1: what the
                                                           # random policy's log says of the other, beside what that one earned

Worlds are those of benchmarks.decide. Logs are by fixed shares that depend on the country, or by the project's policy as it learns.
What is estimated: "always the third option", and a policy that prefers the option that is best in each country.
"""

import argparse
import csv
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.decide import LEARN, HailWhale, World, truth
from benchmarks.report import Figure, report
from whale.decide.experiment import Log, doubly_robust, self_normalised
from whale.decide.policy import Policy
from whale.formula import Floats

WORLD = World()
METHODS = ("self-normalised", "doubly robust")


def log_of(seed: int, decisions: int, learning: bool) -> tuple[Log, Floats]:
    """A log, and the rates of its world by country and device."""
    rates = truth(WORLD, seed)[0]
    random = np.random.default_rng([seed, 3])
    shares = [1 / np.arange(1, count + 1) for count in (WORLD.countries, WORLD.devices)]
    countries, devices = (random.choice(len(share), decisions, p=share / share.sum()) for share in shares)
    luck = random.random(decisions)
    options, odds = np.zeros(decisions, np.int64), np.zeros(decisions)
    if learning:
        player = HailWhale(WORLD, seed, Policy())
        for i in range(decisions):
            place = int(countries[i]), int(devices[i])
            options[i], odds[i] = player.choose(*place)
            player.tried(int(options[i]), *place)
            player.earned(int(options[i]), *place, float(luck[i] < rates[(options[i], *place)]), odds[i])
    else:
        logged = random.dirichlet(np.full(WORLD.options, 2.0), WORLD.countries) * 0.9 + 0.1 / WORLD.options
        options = (logged.cumsum(axis=1)[countries] < random.random((decisions, 1))).sum(axis=1)
        odds = logged[countries, options]
    rewards = (luck < rates[options, countries, devices]).astype(float)
    return Log(options, odds, rewards, countries * WORLD.devices + devices), rates


def covered(seed: int, decisions: int, learning: bool) -> Floats:
    """Of the two policies that are estimated, by method: whether the interval held the truth, and its width; not a number: not sound."""
    log, rates = log_of(seed, decisions, learning)
    countries = log.segments // WORLD.devices
    visits = [1 / np.arange(1, count + 1) for count in (WORLD.countries, WORLD.devices)]
    weights = np.outer(*(share / share.sum() for share in visits))
    third = np.zeros((WORLD.options, WORLD.countries))
    third[2] = 1
    preferring = np.full(third.shape, 0.2 / WORLD.options)
    preferring[rates.mean(axis=2).argmax(axis=0), np.arange(WORLD.countries)] += 0.8
    found = []
    for policy in (third, preferring):
        earned = float((policy[:, :, None] * rates * weights).sum())
        shares = policy[:, countries].T
        for estimate in (self_normalised(log, shares), doubly_robust(log, shares)):
            if estimate is None or not estimate.sound:
                found.append((np.nan, np.nan))
            else:
                found.append((float(estimate.low <= earned <= estimate.high), estimate.high - estimate.low))
    return np.array(found).reshape(2, 2, 2)


def coverage(logs: int, decisions: int, learning: bool, processes: int) -> Iterator[tuple[str, float, float, int]]:
    """By policy and method, of the sound estimates: share that held the truth, mean width, how many there were."""
    with ProcessPoolExecutor(processes) as pool:
        every = list(pool.map(covered, range(logs), [decisions] * logs, [learning] * logs, chunksize=10))
    mean, sound = np.nanmean(every, axis=0), np.isfinite(every).sum(axis=0)
    for i, policy in enumerate(("always one option", "a policy by country")):
        for j, method in enumerate(METHODS):
            yield f"{policy}, {method}", float(mean[i, j, 0]), float(mean[i, j, 1]), int(sound[i, j, 0])


def open_bandit(folder: Path, campaign: str) -> list[str]:
    """Clicks of the logged random policy, reweighted to the other policy's shares of items by position, beside its own clicks."""

    def read(policy: str) -> tuple[Floats, ...]:
        with (folder / policy / campaign / f"{campaign}.csv").open() as lines:
            rows = [
                (row["item_id"], row["position"], row["click"], row["propensity_score"])
                for row in csv.DictReader(lines)
            ]
        return tuple(np.array(column, np.float64) for column in zip(*rows, strict=True))

    item, position, click, odds = read("random")
    other_item, other_position, other_click, _ = read("bts")
    items, places = int(max(item.max(), other_item.max())) + 1, int(position.max()) + 1
    counts = np.zeros((places, items))
    np.add.at(counts, (other_position.astype(int), other_item.astype(int)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # Positions of the two logs are about equally frequent, so visitors are taken as they are.
    log = Log(item.astype(np.int64), odds, click, position.astype(np.int64))
    each = shares[position.astype(int)]
    earned, many = float(other_click.mean()), len(other_click)
    half = 1.96 * (earned * (1 - earned) / many) ** 0.5
    said = [
        f"Open Bandit, {campaign}: earned {earned:.2%} ({earned - half:.2%} to {earned + half:.2%}), random {click.mean():.2%}"
    ]
    for name, found in zip(METHODS, (self_normalised(log, each), doubly_robust(log, each)), strict=True):
        if found is not None:
            inside = "holds" if found.low <= earned <= found.high else "does not hold"
            interval = f"{found.value:.2%} ({found.low:.2%} to {found.high:.2%}), {inside} what it earned"
            said.append(f"Open Bandit, {campaign}, {name}: {interval}; {found.effective:.0f} effective decisions")
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=500)
    parser.add_argument("--decisions", type=int, default=5_000)
    parser.add_argument("--learning-logs", type=int, default=100, help="logs by the project's policy as it learns")
    parser.add_argument("--obd", type=Path, help="folder of the Open Bandit Dataset's sample")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    figures = []
    notes = [f"logs of {asked.decisions} decisions; the project's policy looks at all nodes every {LEARN} decisions"]
    for kind, learning, logs in (("fixed shares", False, asked.logs), ("learning policy", True, asked.learning_logs)):
        if not logs:
            continue
        for what, share, width, sound in coverage(logs, asked.decisions, learning, asked.processes):
            figures.append(Figure(f"{kind}: {what}: covered", [share], "of 1", None if learning else 0.93))
            notes.append(
                f"{kind}: {what}: covered {share:.1%} of {sound} sound estimates from {logs} logs, mean width {width:.4f}"
            )
            print(notes[-1], flush=True)
    for campaign in ("all", "men", "women") if asked.obd else ():
        notes += open_bandit(asked.obd, campaign)
    report("off_policy", figures, notes)


if __name__ == "__main__":
    main()

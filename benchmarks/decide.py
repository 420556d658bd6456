"""What decisions cost: the regret of the project's policy and of others in worlds whose truth is known, and its microseconds.

    python -m benchmarks.decide                      # the project's policy, context-free Thompson, uniform: numpy is all they need
    python -m benchmarks.decide --others             # LinTS and LinUCB of mabwiser 2.7.4, squarecb of vowpalwabbit 9.11.9 in the main world

A world: options x countries (Zipf) x devices (Zipf); logit of the rate = base + option + country + device effects, and for
some (option, country) and (option, device) pairs a departure. All players of a world and seed meet the same visitors and the
same luck. Regret: what the best option for each visitor would have earned in expectation, less what the chosen one would have.

The project's policy reads counters only: sums by option for the root, the country, the device. Its microseconds are CPU time.
"""

import argparse
import statistics
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from benchmarks.report import Figure, report
from whale.decide.evidence import Departures, Evidence, moments
from whale.decide.policy import Policy, choose, departures, probabilities
from whale.formula import Floats


@dataclass(frozen=True)
class World:
    """effects: deviations of option, country and device effects on the logit.  departures: share of the pairs, deviation.

    money: a reward is a lognormal amount of mean 1, deviation of its logarithm 1.  drift: rounds after which options trade
    places.  late: rounds until a reward is known.  stale: rounds that the project's policy goes on with what it has read.
    half_life: rounds, for counters.
    """

    options: int = 5
    countries: int = 20
    devices: int = 4
    base: float = 0.05
    effects: tuple[float, float, float] = (0.25, 0.3, 0.2)
    departures: tuple[float, float] = (0.15, 0.6)
    money: bool = False
    drift: int = 0
    late: int = 0
    stale: int = 0
    half_life: int = 0


WORLDS = {
    "main": World(),
    "no context effects": World(effects=(0.25, 0, 0), departures=(0, 0)),
    "one option": World(options=1),
    "50 options": World(options=50, stale=50),
    "money": World(base=0.03, money=True),
    "drift": World(drift=5000, half_life=4000),
    "late": World(late=417),  # an hour, where 20,000 rounds are two days
}


class Player(Protocol):
    def choose(self, country: int, device: int) -> tuple[int, float]:
        """An option, and the probability it had."""

    def tried(self, option: int, country: int, device: int) -> None: ...

    def earned(self, option: int, country: int, device: int, reward: float, probability: float) -> None:
        """Called once for each trial, also for a reward of 0."""


LEARN = 200  # rounds after which the project's policy looks at all nodes again
Maker = Callable[[World, int], Player]


class HailWhale:
    """The project's policy; counters as rollups have them."""

    def __init__(self, world: World, seed: int, policy: Policy):
        self.policy, self.world = policy, world
        self.random = np.random.default_rng([seed, 2])
        self.sums = np.zeros((world.options, 1 + world.countries + world.devices, 6))
        self.names = [str(option) for option in range(world.options)]
        self.read: dict[tuple[int, int], tuple[int, Floats]] = {}
        self.round = 0
        self.learnt: Departures | None = None
        values = [("country", world.countries), ("device", world.devices)]
        self.paths = [(), *((name, str(value)) for name, count in values for value in range(count))]

    def nodes(self, country: int, device: int) -> list[int]:
        return [0, 1 + country, 1 + self.world.countries + device]

    def evidence(self, country: int, device: int) -> Evidence:
        if self.round % LEARN == 0:
            self.learnt = departures(Evidence.of(self.names, self.paths, self.sums))
        nodes = self.nodes(country, device)
        return Evidence.of(
            self.names, [self.paths[node] for node in nodes], self.sums[:, nodes], departures=self.learnt
        )

    def choose(self, country: int, device: int) -> tuple[int, float]:
        self.round += 1
        if not self.world.stale:
            found = choose(self.policy, self.evidence(country, device), self.random)
            return int(found.option), found.probability
        at, shares = self.read.get((country, device), (-self.world.stale, np.ones(1)))
        if self.round - at >= self.world.stale:
            shares = probabilities(self.policy, self.evidence(country, device))
            self.read[country, device] = self.round, shares
        option = int(self.random.choice(len(shares), p=shares))
        return option, float(shares[option])

    def tried(self, option: int, country: int, device: int) -> None:
        if self.world.half_life and self.round % 500 == 0:  # a bucket ends, and all before it weigh less
            self.sums *= 0.5 ** (500 / self.world.half_life)
        self.sums[option, self.nodes(country, device)] += moments(np.zeros(1), np.ones(1))

    def earned(self, option: int, country: int, device: int, reward: float, probability: float) -> None:
        self.sums[option, self.nodes(country, device)] += (0, reward, 0, reward * reward, 0, reward)


class ContextFree:
    """Thompson without context: Beta(1, 1) for each option; of money a normal law of the mean, after 30 trials each."""

    def __init__(self, world: World, seed: int, half_life: int = 0):
        self.random, self.money = np.random.default_rng([seed, 2]), world.money
        self.sums = np.zeros((world.options, 3))
        self.half_life, self.round = half_life, 0

    def choose(self, country: int, device: int) -> tuple[int, float]:
        n, y, yy = self.sums.T
        if not self.money:
            return int(self.random.beta(1 + y, 1 + np.maximum(n - y, 0)).argmax()), 1.0
        if n.min() < 30:
            return int(n.argmin()), 1.0
        mean = y / n
        deviation = np.sqrt(np.maximum(yy / n - mean * mean, (yy.sum() / n.sum()) / 10) / n)
        return int(self.random.normal(mean, deviation).argmax()), 1.0

    def tried(self, option: int, country: int, device: int) -> None:
        self.round += 1
        if self.half_life and self.round % 500 == 0:
            self.sums *= 0.5 ** (500 / self.half_life)
        self.sums[option, 0] += 1

    def earned(self, option: int, country: int, device: int, reward: float, probability: float) -> None:
        self.sums[option, 1:] += reward, reward * reward


class Uniform:
    def __init__(self, world: World, seed: int):
        self.random, self.options = np.random.default_rng([seed, 2]), world.options

    def choose(self, country: int, device: int) -> tuple[int, float]:
        return int(self.random.integers(self.options)), 1 / self.options

    def tried(self, option: int, country: int, device: int) -> None:
        pass

    def earned(self, option: int, country: int, device: int, reward: float, probability: float) -> None:
        pass


class Mabwiser:
    """One linear model for each option, of which country and which device it is."""

    def __init__(self, world: World, seed: int, name: str, alpha: float):
        from mabwiser.mab import MAB, LearningPolicy

        self.world = world
        law = LearningPolicy.LinTS(alpha=alpha) if name == "LinTS" else LearningPolicy.LinUCB(alpha=alpha)
        self.mab = MAB(list(range(world.options)), law, seed=seed)
        self.mab.fit(np.array([0]), np.array([0]), np.zeros((1, 1 + world.countries + world.devices)))

    def features(self, country: int, device: int) -> Floats:
        found = np.zeros((1, 1 + self.world.countries + self.world.devices))
        found[0, [0, 1 + country, 1 + self.world.countries + device]] = 1
        return found

    def choose(self, country: int, device: int) -> tuple[int, float]:
        return int(self.mab.predict(self.features(country, device))), 1.0

    def tried(self, option: int, country: int, device: int) -> None:
        pass

    def earned(self, option: int, country: int, device: int, reward: float, probability: float) -> None:
        self.mab.partial_fit(np.array([option]), np.array([reward]), self.features(country, device))


class VowpalWabbit:
    """--cb_explore_adf --squarecb, with the pairs of option and country, option and device as features."""

    def __init__(self, world: World, seed: int):
        import vowpalwabbit

        self.world, self.random = world, np.random.default_rng([seed, 2])
        self.learner = vowpalwabbit.Workspace(
            f"--cb_explore_adf --squarecb -q CA -q DA --quiet --random_seed {seed + 1}"
        )

    def lines(self, country: int, device: int) -> list[str]:
        return [f"shared |C c{country} |D d{device}", *(f"|A a{option}" for option in range(self.world.options))]

    def choose(self, country: int, device: int) -> tuple[int, float]:
        shares = np.array(self.learner.predict("\n".join(self.lines(country, device))))
        shares /= shares.sum()
        option = int(self.random.choice(len(shares), p=shares))
        return option, float(shares[option])

    def tried(self, option: int, country: int, device: int) -> None:
        pass

    def earned(self, option: int, country: int, device: int, reward: float, probability: float) -> None:
        lines = self.lines(country, device)
        lines[1 + option] = f"0:{-reward}:{probability:.6f} {lines[1 + option]}"
        self.learner.learn("\n".join(lines))


def truth(world: World, seed: int) -> list[Floats]:
    """The rates, (options, countries, devices); several where they drift."""
    random = np.random.default_rng(seed)
    options, countries, devices = (
        random.normal(0, deviation, count)
        for deviation, count in zip(world.effects, (world.options, world.countries, world.devices), strict=True)
    )
    logit = np.log(world.base / (1 - world.base)) + countries[:, None] + devices
    share, deviation = world.departures
    by_country, by_device = (
        random.normal(0, deviation, (world.options, count)) * (random.random((world.options, count)) < share)
        for count in (world.countries, world.devices)
    )
    own = options[:, None, None] + by_country[:, :, None] + by_device[:, None, :]
    return [1 / (1 + np.exp(-(logit + np.roll(own, turn, axis=0)))) for turn in range(4 if world.drift else 1)]


def play(make: Maker, world: World, rounds: int, seed: int) -> tuple[float, float]:
    """Regret of one player in one world, and microseconds of CPU a decision with its learning."""
    rates = truth(world, seed)
    random = np.random.default_rng([seed, 1])
    visits = [1 / np.arange(1, count + 1) for count in (world.countries, world.devices)]
    countries, devices = (random.choice(len(share), rounds, p=share / share.sum()) for share in visits)
    luck = random.random(rounds)
    amounts = np.exp(random.normal(-0.5, 1, rounds)) if world.money else np.ones(rounds)
    player = make(world, seed)
    regret = 0.0
    known: deque[tuple[int, tuple[Any, ...]]] = deque()
    start = time.process_time()
    for i in range(rounds):
        while known and known[0][0] <= i:
            player.earned(*known.popleft()[1])
        country, device = int(countries[i]), int(devices[i])
        rate = rates[i // world.drift % len(rates) if world.drift else 0][:, country, device]
        option, probability = player.choose(country, device)
        player.tried(option, country, device)
        regret += float(rate.max() - rate[option])
        reward = float(amounts[i]) if luck[i] < rate[option] else 0.0
        known.append((i + 1 + world.late, (option, country, device, reward, probability)))
    return regret, (time.process_time() - start) / rounds * 1e6


def players(world: World, others: bool, only_main: bool) -> dict[str, Maker]:
    found: dict[str, Maker] = {
        "HailWhale": partial(HailWhale, policy=Policy()),
        "context-free Thompson": ContextFree,
        "uniform": Uniform,
    }
    if only_main:
        found["HailWhale, exploration=1"] = partial(HailWhale, policy=Policy(exploration=1))
    if world.half_life:
        found["context-free Thompson, same half-life"] = partial(ContextFree, half_life=world.half_life)
    if others and only_main:
        found["VowpalWabbit squarecb"] = VowpalWabbit
        found["MABWiser LinTS, alpha 0.1"] = partial(Mabwiser, name="LinTS", alpha=0.1)
        found["MABWiser LinUCB, alpha 0.3"] = partial(Mabwiser, name="LinUCB", alpha=0.3)
    return found


def choosing(options: int, nodes: int, times: int = 200) -> list[float]:
    """Microseconds of CPU of `choose` with its rows, several times."""
    random = np.random.default_rng(7)
    paths = [(), *(("dimension", str(node)) for node in range(1, nodes))]
    sums = np.zeros((options, nodes, 6))
    for option in range(options):
        for node in range(nodes):
            wins = (random.random(2000 if node == 0 else 300) < 0.05).astype(float)
            sums[option, node] = moments(wins, np.ones(len(wins))).sum(axis=0)
    names, found = [str(option) for option in range(options)], []
    for _ in range(5):
        start = time.process_time()
        for _ in range(times):
            choose(Policy(), Evidence.of(names, paths, sums), random)
        found.append((time.process_time() - start) / times * 1e6)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=48, help="of the main world: of 12 the mean is wrong by a sixth")
    parser.add_argument("--side-seeds", type=int, default=12, help="of each other world")
    parser.add_argument("--first-seed", type=int, default=1_000, help="the policy was chosen on seeds below 600")
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument("--worlds", nargs="*", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--stale", type=int, default=0, help="rounds that the policy goes on with what it has read")
    parser.add_argument("--others", action="store_true", help="mabwiser and vowpalwabbit, in the main world")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    figures = [
        Figure(f"choose, {options} options x {nodes} nodes", choosing(options, nodes), "us of CPU", target, less=True)
        for options, nodes, target in ((5, 5, 2_000), (50, 5, 10_000), (200, 5, None))
    ]
    notes = []
    with ProcessPoolExecutor(asked.processes) as pool:
        for name in asked.worlds:
            world = replace(WORLDS[name], stale=max(WORLDS[name].stale, asked.stale))
            first = asked.first_seed
            seeds = range(first, first + (asked.seeds if name == "main" else asked.side_seeds))
            runs = {
                who: [pool.submit(play, make, world, asked.rounds, seed) for seed in seeds]
                for who, make in players(world, asked.others, name == "main").items()
            }
            found = {who: [run.result() for run in some] for who, some in runs.items()}
            means = {who: statistics.mean(regret for regret, _ in some) for who, some in found.items()}
            for who, some in found.items():
                regrets = [regret for regret, _ in some]
                error = statistics.stdev(regrets) / len(regrets) ** 0.5 if len(regrets) > 1 else 0.0
                cost = statistics.median(each for _, each in some)
                figures.append(Figure(f"{name}: {who}", regrets, "rewards lost"))
                notes.append(f"{name}: {who}: {means[who]:.1f} +- {error:.1f}, {cost:.0f} us of CPU a round")
                print(notes[-1], flush=True)
            rest = [mean for who, mean in means.items() if not who.startswith("HailWhale")]
            if name == "main":
                share = means["HailWhale"] / min(rest)
                figures.append(Figure(f"{name}: of the best other's mean", [share], "", 0.8, less=True))
            elif min(rest):
                share = means["HailWhale"] / means["context-free Thompson"]
                figures.append(Figure(f"{name}: of context-free Thompson's mean", [share], "", 1.1, less=True))
    report("decide", figures, notes)


if __name__ == "__main__":
    main()

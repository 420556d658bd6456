"""Which option a policy shows: the cases of the first HailWhale under each policy, and laws that hold for any counters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from whale.decide import chance
from whale.decide.evidence import MOST_OPTIONS, Evidence, moments
from whale.decide.policy import Policy, beliefs_of, choose, departures, probabilities
from whale.dimension import Path
from whale.errors import CallerError

POLICIES = [Policy(name="thompson"), Policy(name="epsilon"), Policy(name="seed")]
UK: Path = ("country", "uk")
NO_EXPLORATION = Policy(name="seed", bad_idea_threshold=0, test_idea_threshold=0)


def generator(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def reported(counts: Mapping[str, Mapping[Path, tuple[float, float]]], *known: Path) -> Evidence:
    """As one hit a node reports it: option -> node -> (reward, trials). Every hit counts at the root too."""
    nodes: list[Path] = [(), *known]
    sums, trials = np.zeros((len(counts), len(nodes), 6)), np.zeros((len(counts), len(nodes)))
    for i, hits in enumerate(counts.values()):
        for node, (y, x) in hits.items():
            for place in {0, nodes.index(node)} if node in nodes else {0}:
                sums[i, place] += moments(np.float64(y), np.float64(x))
                trials[i, place] += x
    return Evidence.of(list(counts), nodes, sums, trials)


def shown(conversions: Sequence[Sequence[int]], trials: Sequence[Sequence[int]], nodes: Sequence[Path]) -> Evidence:
    """Trials that earn 1 or 0, one a hit: (options, nodes)."""
    y, n = np.array(conversions, float), np.array(trials, float)
    return Evidence.of([f"o{i}" for i in range(len(y))], nodes, np.stack([n, y, n, y, n, y], -1))


def amounts(rewards: Sequence[Any]) -> Evidence:
    """One list of rewards for each option."""
    sums = np.array([moments(np.array(some, float), np.ones(len(some))).sum(axis=0) for some in rewards])
    return Evidence.of([f"o{i}" for i in range(len(sums))], [()], sums[:, None])


def dc4(*known: Path) -> Evidence:
    counts = {
        "a": {(): (50_000, 10_000)},
        "b": {(): (0, 2_000), UK: (10_000, 2_000)},
        "c": {(): (0, 7_500)},
        "d": {(): (5, 1)},
    }
    return reported(counts, *known)


DC2 = {"a": {(): (5_000, 1_000)}, "b": {(): (0, 2_000)}, "c": {(): (0, 2_000)}, "d": {(): (50, 10)}}


def picks(policy: Policy, evidence: Evidence, times: int) -> dict[str, int]:
    random = generator()
    drawn = [choose(policy, evidence, random).option for _ in range(times)]
    return {option: drawn.count(option) for option in evidence.options}


# The cases of the first HailWhale


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_dc1_nothing_known_is_about_even(policy: Policy) -> None:
    nothing = Evidence.of(["1", "2", "3"], [()], np.zeros((3, 1, 6)))
    assert probabilities(policy, nothing) == pytest.approx([1 / 3] * 3, abs=1e-3)
    assert min(picks(policy, nothing, 300).values()) > 70


def test_dc2_without_exploration_the_good_option_is_always_played() -> None:
    assert picks(NO_EXPLORATION, reported(DC2), 100) == {"a": 100, "b": 0, "c": 0, "d": 0}


def test_dc5_known_country_b_is_chosen_more_than_70_times_of_100() -> None:
    found = picks(NO_EXPLORATION, dc4(UK), 100)
    assert found["b"] > 70
    assert found["c"] == found["d"] == 0


def test_dc8_a_known_bad_option_is_rarely_played_while_there_is_an_untested_one() -> None:
    evidence = reported({"bad": {(): (10.0, 2_000.0)}, "new": {(): (5.0, 5.0)}})
    assert probabilities(Policy(name="seed"), evidence) == pytest.approx([0.05, 0.95])
    assert probabilities(Policy(), evidence)[0] < 0.05


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_a_reported_clear_winner_comes_out(policy: Policy) -> None:
    """The README's: English and Spanish pages for visitors from the US, 100 visitors in one hit."""
    us: Path = ("country", "US")
    counts = {"EN": {us: (500.0, 100.0)}, "SP": {us: (0.0, 100.0)}}
    assert probabilities(policy, reported(counts, us))[0] > 0.9


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_the_least_cost_comes_out_where_less_is_better(policy: Policy) -> None:
    """The README's spent/earned: a earns 25 of each 50 cents, b of each 5."""
    sums = np.array([moments(np.full(60, 0.5), np.full(60, 25.0)), moments(np.full(60, 5.0), np.full(60, 25.0))])
    evidence = Evidence.of(["a", "b"], [()], sums.sum(axis=1)[:, None])
    assert probabilities(Policy(name=policy.name, goal="min"), evidence)[0] > 0.9
    assert probabilities(policy, evidence)[1] > 0.9


def test_thompson_prefers_in_the_uk_what_does_well_there() -> None:
    nodes: list[Path] = [(), UK]
    evidence = shown([[300, 10], [200, 60]], [[5_000, 400], [5_000, 400]], nodes)
    everywhere = Evidence.of(evidence.options, [()], evidence.sums[:, :1])
    assert probabilities(Policy(), everywhere)[0] > 0.95
    assert probabilities(Policy(), evidence)[1] > 0.95


def test_dc9_no_options_are_the_callers_fault() -> None:
    with pytest.raises(CallerError, match="options: expected at least one option"):
        Evidence.of([], [()], np.zeros((0, 1, 6)))


# Laws


CASES = {
    "binary": shown([[30, 5], [25, 9], [0, 0]], [[500, 60], [450, 80], [3, 0]], [(), UK]),
    "money": amounts([generator(i).lognormal(3, 1, 40) * (generator(9 + i).random(40) < 0.3) for i in range(4)]),
    "reported": dc4(UK),
    "losses": amounts([generator(i).normal(0.1 * i, 2, 50) for i in range(3)]),
    "one": shown([[3]], [[40]], [()]),
}
EACH_CASE = pytest.mark.parametrize("case", CASES)
EACH_POLICY = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)


@EACH_CASE
@EACH_POLICY
@pytest.mark.parametrize("goal", ["max", "min"])
def test_probabilities_sum_to_one_and_are_what_is_drawn_by(case: str, policy: Policy, goal: Any) -> None:
    policy = Policy(name=policy.name, goal=goal)
    shares = probabilities(policy, CASES[case])
    assert shares.sum() == pytest.approx(1)
    assert (shares >= 0).all()
    found = choose(policy, CASES[case], generator())
    assert found.probabilities == shares.tolist()
    assert found.probability == found.probabilities[list(CASES[case].options).index(found.option)]
    counts = picks(policy, CASES[case], 400)
    expected = dict(zip(CASES[case].options, (400 * shares).tolist(), strict=True))
    assert all(abs(counts[option] - expected[option]) < 45 for option in counts)


@EACH_CASE
@EACH_POLICY
def test_the_same_generator_gives_the_same_answer(case: str, policy: Policy) -> None:
    assert choose(policy, CASES[case], generator(7)) == choose(policy, CASES[case], generator(7))


@EACH_CASE
@EACH_POLICY
def test_the_order_of_options_changes_no_probability(case: str, policy: Policy) -> None:
    evidence = CASES[case]
    order = generator(3).permutation(len(evidence.options))
    turned = Evidence.of(
        [evidence.options[i] for i in order], evidence.nodes, evidence.sums[order], evidence.trials[order]
    )
    assert probabilities(policy, turned) == pytest.approx(probabilities(policy, evidence)[order], abs=1e-9)


@EACH_CASE
@EACH_POLICY
def test_cents_are_decided_as_dollars_are(case: str, policy: Policy) -> None:
    evidence = CASES[case]
    sums = evidence.sums * [1, 100, 1, 10_000, 1, 100]
    cents = Evidence.of(evidence.options, evidence.nodes, sums, evidence.trials)
    assert probabilities(policy, cents) == pytest.approx(probabilities(policy, evidence), abs=1e-9)


@EACH_POLICY
def test_of_two_options_the_least_is_the_one_that_is_not_the_greatest(policy: Policy) -> None:
    evidence = shown([[30, 5], [25, 9]], [[500, 60], [450, 80]], [(), UK])
    least = Policy(name=policy.name, goal="min")
    assert probabilities(least, evidence) == pytest.approx(probabilities(policy, evidence)[::-1], abs=2e-3)


def test_a_node_that_holds_every_hit_of_its_parent_changes_nothing() -> None:
    root = shown([[30], [45]], [[500], [520]], [()])
    twice = shown([[30, 30], [45, 45]], [[500, 500], [520, 520]], [(), ("country",)])
    assert probabilities(Policy(), twice) == pytest.approx(probabilities(Policy(), root), abs=1e-6)


def test_what_is_known_of_a_region_goes_beyond_what_is_known_of_its_country() -> None:
    nodes: list[Path] = [(), ("country", "US"), ("country", "US", "CA")]
    trials = [[8_000, 2_000, 1_000]] * 2
    in_region = shown([[400, 100, 20], [400, 100, 80]], trials, nodes)
    assert in_region.parents == [0, 0, 1]
    assert probabilities(Policy(), in_region)[1] > 0.95
    sparse = shown([[400, 100, 0], [400, 150, 0]], [[8_000, 2_000, 0]] * 2, nodes)
    country = Evidence.of(sparse.options, nodes[:2], sparse.sums[:, :2])
    assert beliefs_of(sparse).rate == pytest.approx(beliefs_of(country).rate)


def test_an_untried_option_is_believed_to_be_usual_and_is_tried() -> None:
    evidence = shown([[50], [51], [0]], [[1_000], [1_000], [0]], [()])
    assert beliefs_of(evidence).rate[2] == pytest.approx(101 / 2_000)
    assert probabilities(Policy(), evidence)[2] > 0.2


def test_until_it_has_its_trials_an_option_has_its_even_share() -> None:
    evidence = shown([[500], [10], [0]], [[1_000], [1_000], [9]], [()])
    assert probabilities(Policy(min_trials=10), evidence)[2] >= 1 / 3
    assert probabilities(Policy(min_trials=9), evidence)[2] < 0.1


def test_no_probability_is_below_the_floor() -> None:
    evidence = shown([[900], [10], [10]], [[1_000], [1_000], [1_000]], [()])
    assert probabilities(Policy(floor=0.03), evidence) == pytest.approx([0.98, 0.01, 0.01], abs=1e-6)


def test_more_exploration_plays_the_second_best_more() -> None:
    evidence = shown([[60, 3], [50, 1]], [[1_000, 50], [1_000, 50]], [(), UK])
    shares = [probabilities(Policy(exploration=share), evidence)[1] for share in (0, 0.2, 0.5, 1)]
    assert shares == sorted(set(shares))
    assert shares[0] == pytest.approx(0.0025)


def test_doubt_of_an_option_as_a_whole_is_played_sooner_than_doubt_of_it_in_a_country() -> None:
    beliefs = beliefs_of(shown([[60, 3], [50, 1]], [[1_000, 50], [1_000, 50]], [(), UK]))
    assert beliefs.played(1) == pytest.approx(np.hypot(beliefs.overall, beliefs.here))
    assert beliefs.played(0.5) == pytest.approx(np.hypot(beliefs.overall, beliefs.here / 4))
    assert beliefs.played(0.25) == pytest.approx(np.hypot(beliefs.overall / 2, beliefs.here / 16))
    assert beliefs.played(0) == pytest.approx([0, 0])
    assert (beliefs.overall > 0).all()
    assert (beliefs.here > 0).all()


def test_where_options_never_differ_by_country_a_country_says_less() -> None:
    random = generator(5)
    paths: list[Path] = [(), *(("country", str(i)) for i in range(40))]
    trials = np.full((3, 41), 500)
    trials[:, 0] = 20_000
    wins = random.binomial(trials, 0.05)
    wins[:, 0] = wins[:, 1:].sum(axis=1)
    alike = shown(wins.tolist(), trials.tolist(), paths)
    known = departures(alike)
    assert known.variances["country", 2] < 0.05
    here = shown([[1_000, 20], [1_000, 30], [1_000, 25]], [[20_000, 500]] * 3, [(), UK])
    told = Evidence.of(here.options, here.nodes, here.sums, departures=known)
    assert np.ptp(beliefs_of(told).rate) < np.ptp(beliefs_of(here).rate)
    unlike = np.round(wins * np.exp(random.normal(0, 0.5, wins.shape))).astype(int)
    unlike[:, 0] = unlike[:, 1:].sum(axis=1)
    assert 0.2 < departures(shown(unlike.tolist(), trials.tolist(), paths)).variances["country", 2] < 1


def test_noise_is_that_of_single_hits() -> None:
    """The delta method, by hand: mean squared residual of y - rate * x over hits, for each unit of x."""
    random = generator(2)
    x = random.uniform(1, 9, 4_000)
    y = 3 * x + random.normal(0, 2, 4_000) * np.sqrt(x)
    evidence = Evidence.of(["a"], [()], moments(y, x).sum(axis=0)[None, None])
    residuals = y - y.sum() / x.sum() * x
    assert evidence.noise == pytest.approx((residuals**2).sum() / x.sum(), rel=0.01)
    assert evidence.noise == pytest.approx(4, rel=0.1)


# Rows


def test_rows_say_what_each_node_knows() -> None:
    found = choose(Policy(), dc4(UK), generator())
    rows = {(row.option, row.node): row for row in found.rows}
    assert len(rows) == 8
    b = rows["b", UK]
    assert (b.trials, b.rate) == (2_000, 5.0)
    assert b.low is not None
    assert b.high is not None
    assert b.low < 5 < b.high
    assert 0.5 < b.weight < 1
    assert (rows["a", UK].trials, rows["a", UK].rate, rows["a", UK].weight) == (0, None, 0)
    assert found.version == "thompson-2"


def test_intervals_of_a_rate_cover_it() -> None:
    random = generator(11)
    wins, trials = random.binomial(400, 0.05, (150, 1)), np.full((150, 1), 400)
    rows = choose(Policy(), shown(wins.tolist(), trials.tolist(), [()]), random).rows
    inside = [row.low <= 0.05 <= row.high for row in rows if row.low is not None and row.high is not None]
    assert len(inside) == 150
    assert sum(inside) >= 138


# Chance


def test_the_greatest_is_as_often_greatest_as_in_many_draws() -> None:
    random = generator(4)
    for count in (2, 3, 8, 40):
        centre, deviation = random.normal(0, 1, count), np.exp(random.normal(-0.5, 1, count))
        drawn = random.normal(centre, deviation, (100_000, count)).argmax(axis=1)
        assert chance.greatest(centre, deviation) == pytest.approx(
            np.bincount(drawn, minlength=count) / 100_000, abs=0.006
        )


def test_the_greatest_of_two_is_the_normal_law() -> None:
    found = chance.greatest(np.array([0.0, 1.0]), np.array([0.6, 0.8]))
    assert found[1] == pytest.approx(0.841345, abs=2e-3)  # the difference has mean 1, deviation 1


# Bad input


def test_ten_thousand_options_are_refused() -> None:
    with pytest.raises(CallerError, match=f"10000 options, the limit is {MOST_OPTIONS}"):
        Evidence.of([str(i) for i in range(10_000)], [()], np.zeros((10_000, 1, 6)))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_sums_that_are_no_numbers_are_refused(number: float) -> None:
    sums = np.ones((2, 1, 6))
    sums[0, 0, 3] = number
    with pytest.raises(CallerError, match="sums: expected finite sums"):
        Evidence.of(["a", "b"], [()], sums)


@pytest.mark.parametrize(
    ("options", "nodes"),
    [(["a", "a"], [()]), (["a", "b"], []), (["a", "b"], [UK]), (["a", "b"], [(), UK, UK]), (["a", "b"], [(), UK])],
)
def test_options_and_nodes_are_named_once(options: list[str], nodes: list[Path]) -> None:
    with pytest.raises(CallerError):
        Evidence.of(options, nodes, np.zeros((2, 1, 6)))


@EACH_POLICY
@pytest.mark.parametrize("base", [0.0, -5.0])
def test_without_a_denominator_nothing_is_known(policy: Policy, base: float) -> None:
    known = moments(np.full(50, 2.0), np.full(50, 1.0)).sum(axis=0)
    nowhere = np.array([50, 9e9, base, 9e9, 100, 10])
    evidence = Evidence.of(["a", "b"], [()], np.stack([known, nowhere])[:, None])
    untried = Evidence.of(["a", "b"], [()], np.stack([known, np.zeros(6)])[:, None])
    assert probabilities(policy, evidence).tolist() == probabilities(policy, untried).tolist()
    assert choose(policy, evidence, generator()).rows[1].rate is None


@pytest.mark.parametrize(
    "wrong", [{"name": "best"}, {"goal": "most"}, {"epsilon": 1.5}, {"floor": float("nan")}, {"min_trials": -1}]
)
def test_a_policy_out_of_its_bounds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(CallerError, match="expected"):
        Policy(**wrong)

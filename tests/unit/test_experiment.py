"""Reports of decisions, held against draws and worlds whose truth is known."""

import math
from typing import Literal

import numpy as np
import pytest

from tests.unit.test_policy import UK, amounts, dc4, generator, shown
from whale.decide import chance
from whale.decide.evidence import Evidence, moments
from whale.decide.experiment import (
    Log,
    Result,
    always,
    doubly_robust,
    more_trials,
    results,
    risk,
    sample_ratio,
    self_normalised,
    standing,
)
from whale.decide.policy import Policy, probabilities
from whale.errors import CallerError
from whale.formula import Floats


def by_option(found: list[Result]) -> dict[str, Result]:
    return {result.option: result for result in found if result.node == ()}


# Reports


def test_a_report_agrees_with_gamma_draws() -> None:
    evidence = shown([[50], [60], [0]], [[1_000], [1_000], [0]], [()])
    found = by_option(results(evidence, "max", generator()))
    random = generator(2)
    a, b = random.gamma(50.5, 1 / 1_000, 200_000), random.gamma(60.5, 1 / 1_000, 200_000)
    one = found["o1"]
    assert (one.trials, one.reward, one.base, one.rate) == (1_000, 60, 1_000, 0.06)
    assert one.best == pytest.approx((b > a).mean(), abs=0.02)
    assert one.loss == pytest.approx(np.maximum(a - b, 0).mean(), abs=3e-4)
    assert one.lift == pytest.approx(0.2)
    assert one.lift_low == pytest.approx(np.quantile(b / a - 1, 0.025), abs=0.03)
    assert one.lift_high == pytest.approx(np.quantile(b / a - 1, 0.975), abs=0.06)
    assert found["o0"].lift is None
    assert [found["o2"].rate, found["o2"].low, found["o2"].best, found["o2"].loss] == [None] * 4


def test_a_report_of_losses_agrees_with_normal_draws() -> None:
    evidence = amounts([generator(i).normal(shift, 2, 400) for i, shift in enumerate((-0.2, 0.0))])
    assert evidence.lossy
    found = by_option(results(evidence, "min", generator()))
    assert found["o0"].best is not None
    assert found["o0"].best == pytest.approx(0.79, abs=0.01)  # 0.81 deviations apart
    assert found["o0"].best + (found["o1"].best or 0) == pytest.approx(1)
    assert found["o1"].lift is None
    middle = ((found["o0"].low or 0) + (found["o0"].high or 0)) / 2
    assert middle == pytest.approx(found["o0"].rate)


def test_a_segment_is_reported_by_its_own_counters() -> None:
    found = [result for result in results(dc4(UK), "max", generator(), baseline="b") if result.node == UK]
    assert [(result.option, result.trials, result.best) for result in found][1] == ("b", 2_000, 1.0)
    assert [result.best for result in found if result.option != "b"] == [None] * 3


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(CallerError, match="baseline: 'x' is no option"):
        results(shown([[1]], [[2]], [()]), "max", generator(), baseline="x")


def test_a_report_says_between_how_many_more_trials_decide_it() -> None:
    """1,000 each are nearly enough. If rates stay as they are it takes a number between the two that are told."""
    some = shown([[50], [90]], [[1_000], [1_000]], [()])
    assert {each.state for each in standing(some)} == {"open"}
    told = more_trials(some, "max", generator())
    assert told is not None
    for more, state in zip(told, ("open", "best"), strict=True):
        times = 1 + more / 2_000
        later = Evidence.of(some.options, some.nodes, some.sums * times, some.trials * times)
        assert standing(later)[1].state == state
    assert told[1] < 50_000


def test_where_evidence_is_weak_a_report_says_how_many_more_trials_at_least() -> None:
    """Taken at their word 50 and 51 of 1,000 take more than 2,000,000 more; if one is better by a fifth 50,000."""
    told = more_trials(shown([[50], [51]], [[1_000], [1_000]], [()]), "max", generator())
    assert told is not None
    assert told[0] < 20_000
    assert told[1] == math.inf


def test_of_an_option_without_trials_nobody_can_say_how_many_more_it_takes() -> None:
    assert more_trials(shown([[50], [0]], [[1_000], [0]], [()]), "max", generator()) is None


def test_trials_that_an_option_lacks_are_told_whatever_the_rates() -> None:
    """None counts below 100 trials, and b has 10 of 1,010."""
    told = more_trials(shown([[1], [10]], [[1_000], [10]], [()]), "max", generator())
    assert told is not None
    assert told[0] >= 9 * 1_010


@pytest.mark.parametrize("goal", ["max", "min"])
def test_the_chance_of_being_wrong_takes_into_account_that_the_best_had_luck(goal: Literal["max", "min"]) -> None:
    some = shown([[50], [60]], [[1_000], [1_000]], [()])
    best = max(each.best or 0 for each in results(some, goal, generator()))
    found = risk(some, goal, generator())
    assert found.option == ("o1" if goal == "max" else "o0")
    assert found.low == pytest.approx(1 - best)
    # Were options alike it is 1/2. The two are 0.96 deviations apart, which luck makes as easily as a difference.
    assert 0.3 < found.high < 0.45
    far = risk(shown([[50], [160]], [[1_000], [1_000]], [()]), goal, generator())
    assert far.high < 1e-3


def test_the_more_options_the_more_luck_the_best_had() -> None:
    """Each of 20 options has the same rate but for chance; 1/20 is how likely any of them is the best."""
    rewards = generator(3).binomial(1_000, 0.05, 20)
    found = risk(shown([[int(each)] for each in rewards], [[1_000]] * 20, [()]), "max", generator())
    assert found.option == f"o{int(rewards.argmax())}"
    assert found.low < 0.8
    assert 0.85 < found.high < 0.95


def test_losses_are_judged_the_same_way() -> None:
    evidence = amounts([generator(i).normal(shift, 2, 400) for i, shift in enumerate((-0.2, 0.0))])
    found = risk(evidence, "min", generator())
    assert found.option == "o0"
    assert found.low == pytest.approx(0.21, abs=0.01)
    assert 0.3 < found.high < 0.45
    told = more_trials(evidence, "min", generator())
    assert told is not None
    assert told[1] == math.inf


# Shares


def test_shares_as_logged_are_not_suspicious_even_when_they_moved() -> None:
    random = generator(6)
    chances = []
    for _ in range(200):
        odds = random.dirichlet([2, 2, 2], 500)
        taken = (odds.cumsum(axis=1) < random.random((500, 1))).sum(axis=1)
        shown_ = dict(zip("abc", np.bincount(taken, minlength=3).tolist(), strict=True))
        chances.append(sample_ratio(shown_, dict(zip("abc", odds.sum(axis=0).tolist(), strict=True))).chance)
    assert sum(chance < 0.05 for chance in chances) <= 16


def test_a_mismatch_of_shares_is_found() -> None:
    found = sample_ratio({"a": 5_300, "b": 4_700}, {"a": 5_000.0, "b": 5_000.0})
    assert (found.chi_square, found.degrees) == (36, 1)
    assert found.chance == pytest.approx(math.erfc(math.sqrt(18)))
    assert found.suspicious
    assert sample_ratio({"a": 1, "b": 9}, {"a": 0.0, "b": 10.0}).chance == 0
    assert sample_ratio({"a": 4}, {"a": 4.0}).chance == 1
    with pytest.raises(CallerError, match="no logged probability"):
        sample_ratio({"c": 1}, {"a": 1.0})


@pytest.mark.parametrize(
    ("value", "degrees", "expected"), [(3.841459, 1, 0.05), (5.991465, 2, 0.05), (7.814728, 3, 0.05)]
)
def test_chi_square_as_in_the_tables(value: float, degrees: int, expected: float) -> None:
    assert chance.chi_square_beyond(value, degrees) == pytest.approx(expected, abs=1e-7)
    assert chance.chi_square_beyond(0, degrees) == 1
    assert chance.chi_square_beyond(18.307038, 10) == pytest.approx(0.05, abs=1e-7)


# Looking daily


def test_who_looks_daily_is_seldom_told_of_a_winner_among_equals() -> None:
    """100 experiments of three equal options, each looked at after each of 40 days; a plain 95 % test would be wrong in most."""
    random = generator(12)
    wrong = 0
    for _ in range(100):
        wins = random.binomial(150, 0.1, (3, 40)).cumsum(axis=1)
        looks = (standing(shown(wins[:, [day]].tolist(), [[150 * (day + 1)]] * 3, [()])) for day in range(40))
        wrong += any(option.state != "open" for look in looks for option in look)
    assert wrong <= 5


def test_who_looks_daily_at_a_learning_policy_is_seldom_told_of_a_winner_among_equals() -> None:
    random = generator(13)
    wrong = 0
    for _ in range(50):
        wins, trials, told = np.zeros(2), np.zeros(2), False
        for _ in range(25):
            evidence = shown(wins[:, None].tolist(), trials[:, None].tolist(), [()])
            told |= any(option.state != "open" for option in standing(evidence))
            today = random.multinomial(200, probabilities(Policy(), evidence))
            wins, trials = wins + random.binomial(today, 0.1), trials + today
        wrong += told
    assert wrong <= 2


@pytest.mark.parametrize("wrong", [{"error": 0.0}, {"error": 1.0}, {"planned": 0.0}, {"planned": math.nan}])
def test_a_stop_rule_out_of_its_bounds_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(CallerError, match="expected a number"):
        standing(shown([[1]], [[2]], [()]), **wrong)


def test_a_clear_winner_is_told_and_a_beaten_option_too() -> None:
    found = standing(shown([[200], [90], [100], [9]], [[1_000], [1_000], [1_000], [90]], [()]), planned=1_000)
    assert [option.state for option in found] == ["open", "beaten", "beaten", "open"]
    assert found[3].rate is None
    found = standing(shown([[300], [90], [100]], [[2_000]] * 3, [()]))
    assert [option.state for option in found] == ["best", "beaten", "beaten"]
    dear = standing(shown([[300], [90], [250]], [[2_000]] * 3, [()]), goal="min")
    assert [option.state for option in dear] == ["beaten", "best", "beaten"]
    assert found[0].low is not None
    assert found[0].high is not None
    assert found[0].low < 0.15 < found[0].high


# What if


def logs(random: np.random.Generator, count: int) -> tuple[Log, Floats, Floats]:
    """A log of three options in four segments, a policy's shares, and the rates of each segment."""
    rates = np.array([[0.05, 0.1, 0.02], [0.1, 0.05, 0.05], [0.04, 0.04, 0.12], [0.2, 0.1, 0.1]])
    logged = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.1, 0.45, 0.45], [0.34, 0.33, 0.33]])
    segments = random.choice(4, count, p=[0.4, 0.3, 0.2, 0.1])
    options = (logged.cumsum(axis=1)[segments] < random.random((count, 1))).sum(axis=1)
    rewards = (random.random(count) < rates[segments, options]).astype(float)
    policy = np.array([[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [1.0, 0.0, 0.0]])
    return Log(options, logged[segments, options], rewards, segments), policy[segments], rates


def test_estimates_cover_what_a_policy_would_have_earned() -> None:
    random = generator(21)
    truth = 0.4 * (0.1 * 0.05 + 0.8 * 0.1 + 0.1 * 0.02) + 0.3 * (0.8 * 0.1 + 0.1 * 0.05 * 2)
    truth += 0.2 * (0.1 * 0.04 * 2 + 0.8 * 0.12) + 0.1 * 0.2
    inside = np.zeros(2)
    for _ in range(150):
        log, shares, _ = logs(random, 2_000)
        for i, found in enumerate((self_normalised(log, shares), doubly_robust(log, shares))):
            assert found is not None
            inside[i] += found.low <= truth <= found.high
    assert (inside >= 0.92 * 150).all()


def test_always_one_option_is_told_from_counters_as_from_the_log() -> None:
    log, _, _ = logs(generator(22), 3_000)
    shares = np.zeros((3_000, 3))
    shares[:, 1] = 1
    chosen = log.options == 1
    weights = 1 / log.probabilities[chosen]
    counters = moments(log.rewards[chosen] * weights, weights).sum(axis=0)
    found, expected = always(counters), self_normalised(log, shares)
    assert found is not None
    assert expected is not None
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert found.value == pytest.approx((log.rewards[chosen] * weights).sum() / weights.sum())
    assert always(np.zeros(6)) is None


def test_with_even_shares_the_estimate_is_the_mean() -> None:
    rewards = np.array([0.0, 1, 0, 0, 1, 1, 0, 2])
    log = Log(np.zeros(8, np.int64), np.ones(8), rewards, np.zeros(8, np.int64))
    found = self_normalised(log, np.ones((8, 1)))
    assert found is not None
    assert (found.value, found.effective, found.sound) == (0.625, 8, False)
    assert doubly_robust(log, np.ones((8, 1))).value == pytest.approx(0.625, abs=0.1)


@pytest.mark.parametrize(
    ("probabilities", "rewards"),
    [([0.0, 1.0], [1.0, 1.0]), ([0.5, 1.5], [1.0, 1.0]), ([0.5, 0.5], [1.0, math.nan]), ([], [])],
)
def test_a_log_without_probabilities_is_refused(probabilities: list[float], rewards: list[float]) -> None:
    places = np.zeros(len(rewards), np.int64)
    with pytest.raises(CallerError, match="log: expected"):
        Log(places, np.array(probabilities), np.array(rewards), places)


def test_what_cannot_be_a_share_or_a_sum_is_refused() -> None:
    with pytest.raises(CallerError, match="sums: expected finite sums"):
        always(np.array([1, np.nan, 1, 1, 1, 1]))
    one = Evidence.of(["a"], [()], np.zeros((1, 1, 6)))
    assert standing(one)[0].state == "open"

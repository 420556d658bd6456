"""Good, bad, to be tested: the rule of the first HailWhale and its faults mended."""

import numpy as np
import pytest

from tests.unit.test_policy import DC2, UK, amounts, dc4, generator, reported
from whale.decide.evidence import Evidence, moments
from whale.decide.policy import Policy, probabilities
from whale.decide.reasons import Reason, shares, weighted


def kinds(evidence: Evidence, goal: str = "max") -> str:
    return " ".join(f"{reason.option}:{reason.kind}" for reason in weighted(evidence, goal))


def test_dc2_classes() -> None:
    assert kinds(reported(DC2)) == "a:good b:bad c:bad d:test"


def test_dc3_effects_and_significances() -> None:
    a, _, _, d = weighted(reported(DC2))
    assert reported(DC2).rate == pytest.approx(1.00798, abs=1e-5)
    assert (a.effect, a.significance) == pytest.approx((3992.016, 795.219), abs=1e-3)
    assert (d.effect, d.significance) == pytest.approx((39.92, 0.0795), abs=1e-3)


def test_dc4_classes_where_nothing_is_known() -> None:
    assert kinds(dc4()) == "a:good b:bad c:bad d:test"


def test_dc5_classes_in_a_known_country() -> None:
    assert kinds(dc4(UK)) == "a:good b:good c:bad d:test"
    a, b, *_ = weighted(dc4(UK))
    assert (a.node, a.weight, b.node) == ((), 1.0, UK)
    assert b.effect == pytest.approx(2_000 * ((5 - 2.5) + (5 - 60_005 / 21_501)))


def test_an_option_that_is_good_overall_and_bad_here_is_bad_here() -> None:
    mx = ("country", "mx")
    counts = {
        "en": {(): (90_000.0, 9_000.0), mx: (100.0, 2_000.0)},
        "es": {(): (20_000.0, 9_000.0), mx: (9_000.0, 2_000.0)},
    }
    assert kinds(reported(counts)) == "en:good es:bad"
    en, es = weighted(reported(counts, mx))
    assert (en.kind, en.node, es.kind, es.node) == ("bad", mx, "good", mx)
    assert en.effect < 0 < es.effect


@pytest.mark.parametrize("least", [1, 0.1, 0.02])
def test_the_best_of_a_segment_that_earns_less_than_all_is_good_there(least: float) -> None:
    """least: of what is earned there, however little that is beside what single hits earn elsewhere."""
    mx = ("country", "mx")
    counts = {
        name: {(): (38_000.0, 10_000.0), mx: (least * rate * 2_000, 2_000.0)}
        for name, rate in {"a": 2.0, "b": 1.0, "c": 0.02}.items()
    }
    evidence = reported(counts, mx)
    assert kinds(evidence) == "a:good b:test c:bad"
    played = probabilities(Policy(name="seed", bad_idea_threshold=0.05, test_idea_threshold=0.05), evidence)
    assert played[0] > 0.9 > 0.05 > played[2]


def test_an_option_that_is_best_everywhere_is_played_most_where_it_is_best_too() -> None:
    mx = ("country", "mx")
    rates = {"a": (12.0, 6.4), "b": (9.0, 6.2), "c": (9.0, 3.0), "d": (3.0, 2.0)}
    counts = {
        name: {(): (all_ * 10_000, 10_000.0), mx: (here * 2_000, 2_000.0)} for name, (all_, here) in rates.items()
    }
    played = probabilities(Policy(name="seed"), reported(counts, mx)).tolist()
    assert played == sorted(played, reverse=True)


def test_options_of_a_rich_segment_that_do_not_differ_are_rarely_good_or_bad_there() -> None:
    """Where ten times as much is earned as elsewhere, it is by chance that options differ by more, too."""
    random, mx = generator(5), ("country", "mx")
    found = []
    for _ in range(60):
        there, all_ = random.poisson(10, (4, 100)), random.poisson(0.3, (4, 10_000))
        sums = np.stack([moments(each, np.ones(each.shape)).sum(axis=1) for each in (all_, there)], axis=1)
        sums[:, 0] += sums[:, 1]
        found += weighted(Evidence.of(list("abcd"), [(), mx], sums))
    assert sum(reason.node == mx for reason in found) < 0.1 * len(found)


def test_cents_are_classed_as_dollars_are() -> None:
    random = generator(8)
    rewards = [random.lognormal(0, 1, 300) * (random.random(300) < share) for share in (0.05, 0.2, 0.1)]
    dollars, cents = amounts(rewards), amounts([100 * some for some in rewards])
    assert kinds(cents) == kinds(dollars)
    assert [reason.weight for reason in weighted(cents)] == pytest.approx(
        [reason.weight for reason in weighted(dollars)]
    )


def test_options_that_do_not_differ_are_rarely_called_good_or_bad() -> None:
    random = generator(3)
    found = [
        reason.kind
        for _ in range(60)
        for reason in weighted(amounts((random.random((4, 400)) < 0.05).astype(float).tolist()))
    ]
    assert found.count("test") >= 0.93 * len(found)


def test_what_is_dear_is_bad_where_less_is_better() -> None:
    assert kinds(reported(DC2), "min") == "a:bad b:good c:good d:test"


def parts(text: str, bad: float = 0.05, test: float = 0.05) -> list[float]:
    found: list[Reason] = []
    for word in text.split():
        kind, _, weight = word.partition(":")
        named = {"g": "good", "b": "bad", "t": "test"}[kind]
        found.append(Reason(word, named, (), 0, 0, 0, float(weight or 1)))
    return [round(float(share), 6) for share in shares(found, bad, test)]


def test_shares_by_kind_and_weight() -> None:
    assert parts("g:3 g:1 b t") == [0.676875, 0.225625, 0.0475, 0.05]
    assert parts("g:3 g:1 b t", bad=0, test=0) == [0.75, 0.25, 0, 0]
    assert parts("b:900 t") == [0.05, 0.95]
    assert parts("b:900 b t t", bad=0.1) == [0.05, 0.05, 0.45, 0.45]
    assert parts("b:900 b:1") == [0.5, 0.5]
    assert parts("t t t t") == [0.25] * 4
    assert parts("g:5 b", bad=0.2) == [0.8, 0.2]
    assert parts("g:5") == [1]


def test_nothing_earned_at_all_is_to_be_tested() -> None:
    evidence = reported({"a": {(): (0.0, 500.0)}, "b": {(): (0.0, 500.0)}})
    assert kinds(evidence) == "a:test b:test"
    assert probabilities(Policy(name="seed"), evidence).tolist() == [0.5, 0.5]
    assert np.isfinite([reason.weight for reason in weighted(evidence)]).all()

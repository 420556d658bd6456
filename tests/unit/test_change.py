"""How sure a change is. The oracle draws periods whose true change is known, and counts how often the interval holds it."""

from collections.abc import Callable

import numpy as np
import pytest

from whale.answer.change import Changes, Side, of_ratios, of_sums

ROWS, PIECES = 4000, 14


def side(above: np.ndarray, below: np.ndarray | None = None, hits: np.ndarray | None = None) -> Side:
    """Of amounts by row and piece."""
    of = above if below is None else below
    hits = of if hits is None else hits
    below = hits if below is None else below
    return Side(above.sum(axis=1), below.sum(axis=1), hits.sum(axis=1), above, below)


def coverage(found: Changes, truth: float) -> float:
    known = np.isfinite(found.low)
    assert known.mean() > 0.9
    return float(((found.low <= truth) & (truth <= found.high))[known].mean())


def counts(random: np.random.Generator) -> tuple[Changes, float]:
    """Small counts: 3 and 2 a piece."""
    now, before = random.poisson(3, (ROWS, PIECES)) * 1.0, random.poisson(2, (ROWS, PIECES)) * 1.0
    return of_sums(side(now), side(before)), 1.0 * PIECES


def days_of_a_week(random: np.random.Generator) -> tuple[Changes, float]:
    """Counts whose days differ by a factor of four, in the same way in both periods."""
    days = np.tile([40, 60, 80, 100, 120, 160, 40.0], 2)
    now, before = random.poisson(1.1 * days, (ROWS, PIECES)) * 1.0, random.poisson(days, (ROWS, PIECES)) * 1.0
    return of_sums(side(now), side(before)), 0.1 * days.sum()


def moody_days(random: np.random.Generator) -> tuple[Changes, float]:
    """Counts of days that have a luck of their own, of a fifth."""
    now, before = (random.poisson(1000 * random.gamma(25, 0.04, (ROWS, PIECES))) * 1.0 for _ in range(2))
    return of_sums(side(now), side(before)), 0.0


def rare_rates(random: np.random.Generator) -> tuple[Changes, float]:
    of = np.full((ROWS, PIECES), 30)
    now, before = random.binomial(of, 0.02) * 1.0, random.binomial(of, 0.05) * 1.0
    return of_ratios(side(now, of * 1.0), side(before, of * 1.0), True), -0.03


def moody_rates(random: np.random.Generator) -> tuple[Changes, float]:
    """Rates of days that have a luck of their own."""
    of = np.full((ROWS, PIECES), 2000)
    now, before = (random.binomial(of, random.beta(20, 180, of.shape)) * 1.0 for _ in range(2))
    return of_ratios(side(now, of * 1.0), side(before, of * 1.0), True), 0.0


def money(random: np.random.Generator) -> tuple[Changes, float]:
    """Money a visitor: one of ten buys, for log-normal amounts."""

    def period(level: float) -> Side:
        of = np.full((ROWS, PIECES), 60)
        buys = random.random((ROWS, PIECES, 60)) < 0.1
        spent = np.where(buys, level * random.lognormal(3 - 0.32, 0.8, buys.shape), 0).sum(axis=2)
        return side(spent, of * 1.0)

    return of_ratios(period(1.5), period(1.0), False), 0.05 * np.exp(3.0)


def takings(random: np.random.Generator) -> tuple[Changes, float]:
    """Sums of log-normal amounts, one a hit."""

    def period(orders: float) -> Side:
        hits = random.poisson(orders, (ROWS, PIECES))
        amounts = random.lognormal(3 - 0.32, 0.8, (ROWS, PIECES, 60)) * (np.arange(60) < hits[..., None])
        return side(amounts.sum(axis=2), hits=hits * 1.0)

    return of_sums(period(12), period(8)), 4 * PIECES * np.exp(3.0)


@pytest.mark.parametrize("draw", [counts, days_of_a_week, moody_days, rare_rates, moody_rates, money, takings])
def test_the_interval_holds_the_true_change_in_95_of_100_rows(
    draw: Callable[[np.random.Generator], tuple[Changes, float]],
) -> None:
    found, truth = draw(np.random.default_rng(12))
    assert 0.935 < coverage(found, truth) < 0.985
    beyond = np.abs(found.z) > 1.96
    assert (beyond == ((found.low > 0) | (found.high < 0)))[np.abs(np.abs(found.z) - 1.96) > 1e-6].all()


def test_a_break_inside_the_period_is_a_change() -> None:
    """Sixteen pieces of about 90 orders, of which the last seven fall to a seventh."""
    random = np.random.default_rng(12)
    expected = np.array([90.0] * 9 + [13.0] * 7)
    now, before = random.poisson(expected, (ROWS, 16)) * 1.0, random.poisson(90, (ROWS, 16)) * 1.0
    assert (of_sums(side(now), side(before)).z < -3).mean() > 0.9
    of = np.full((ROWS, 16), 2000.0)
    assert (of_ratios(side(now, of), side(before, of), True).z < -3).mean() > 0.9


def one(above: float, below: float, hits: float | None = None) -> Side:
    """A period of one bucket."""
    return side(*(np.array([[number * 1.0]]) for number in (above, below, below if hits is None else hits)))


def ends(found: Changes) -> list[float]:
    return [round(float(column[0]), 4) for column in found]


def test_rates_have_the_interval_that_newcombe_printed() -> None:
    """Table II of his paper, method 10."""
    for now, before, low, high in (
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ):
        assert ends(of_ratios(one(*now), one(*before), True))[:2] == pytest.approx([low, high], abs=2e-4)


def test_one_of_one_is_no_change_beyond_chance() -> None:
    (low, high, z) = ends(of_ratios(one(1, 1), one(0, 3), True))
    assert low < 0.1
    assert high == 1
    assert z < 2.2


def test_what_came_and_what_went_have_a_change() -> None:
    came, went = of_sums(one(40, 40), one(0, 0)), of_sums(one(0, 0), one(40, 40))
    assert 25 < came.low[0] < 30
    assert came.z[0] == -went.z[0] > 5
    assert ends(of_sums(one(0, 0), one(0, 0)))[2] == 0


def test_money_of_one_bucket_is_as_unsure_as_if_one_of_twenty_paid() -> None:
    (low, high, _) = ends(of_sums(one(9000, 900), one(7000, 700)))
    assert low < 0 < 2000 < high
    assert ends(of_ratios(one(9000, 900), one(7000, 700), False))[2] == 0


@pytest.mark.parametrize(
    "found",
    [
        of_sums(one(40, 0), one(30, 30)),  # was set, without hits
        of_ratios(one(40, 80, 0), one(30, 60), True),
        of_ratios(one(1, 0), one(3, 4), True),  # over zero
        of_ratios(one(0, 50), one(0, 40), False),  # no amount shows their size
        of_sums(side(np.array([[9.0, -4.0]])), side(np.array([[5.0, 2.0]]))),  # of both signs
        of_sums(one(np.nan, 4), one(3, 4)),
    ],
)
def test_what_cannot_be_said_is_not_said(found: Changes) -> None:
    assert all(np.isnan(column).all() for column in found)


def test_a_sum_of_refunds_is_the_mirror_of_a_sum() -> None:
    up = of_sums(one(40, 50), one(20, 30))
    down = of_sums(one(-40, 50), one(-20, 30))
    assert (down.low[0], down.high[0], down.z[0]) == pytest.approx((-up.high[0], -up.low[0], -up.z[0]))

"""How often /shifts tells of a shift where nothing changed, how many breaks it finds beside PELT, and how long its arithmetic takes.

    python -m benchmarks.shifts                  # 100 calls of 10,000 series of each kind, a ratio and a count; pip install '.[bench]'
    python -m benchmarks.shifts --calls 10       # less sure
    python -m benchmarks.shifts --seeds 1000     # other series: what was tuned was tuned on those from 1,000 on

Series have 30 daily buckets. All series of a call are of one kind. PELT (ruptures) gets counts as Anscombe's roots, and ratios as
deviations from the mean rate, so that noise has variance 1; both as they are and divided by their own noise, and the better counts.
Its penalty is the least at which it reports something in at most 1 of 100 calls over the same series.
"""

import argparse
import time
from typing import Any

import numpy as np

from benchmarks.report import Figure, report
from hail.hit import MILLION
from whale.answer.change_points import shifts
from whale.formula import Floats

SERIES, DAYS, MONDAY = 10_000, 30, 4
ORDINALS = [739_000 + MONDAY + day for day in range(DAYS)]
PATHS = [("value", str(at)) for at in range(SERIES)]
LEAST = 3  # days of a segment of PELT
Pair = tuple[Floats, Floats | None]
"""Numerators and, of a ratio, denominators."""


# Series in which nothing changed


def levels(random: np.random.Generator, low: float, high: float) -> Floats:
    """Of each series, a day; evenly spread on the scale of logarithms."""
    return 10 ** random.uniform(low, high, (SERIES, 1)) * np.ones((1, DAYS))


def gammas(random: np.random.Generator, low: float, high: float) -> Floats:
    """Noise around 1, by a shape of its own for each series."""
    shape = 10 ** random.uniform(low, high, (SERIES, 1)) * np.ones((1, DAYS))
    return random.gamma(shape) / shape


def weekly(random: np.random.Generator) -> Floats:
    """A week of its own for each series, in which weekends differ."""
    days = np.exp(random.normal(0, 0.1, (SERIES, 7)))
    days[:, 5:] *= random.uniform(0.3, 1.3, (SERIES, 1))
    return days[:, np.arange(DAYS) % 7]


def trend(random: np.random.Generator) -> Floats:
    """Up to four times as much in the end, or a fourth: by a straight line, by the same share each day, or bent as an S."""
    last, at = 10 ** random.uniform(-0.6, 0.6, (SERIES, 1)), np.linspace(0, 1, DAYS)
    bent = 1 / (1 + np.exp(-8 * (at - 0.5)))
    which = random.integers(3, size=(SERIES, 1))
    return np.select([which == 0, which == 1], [1 + (last - 1) * at, last**at], 1 + (last - 1) * bent)


def bursts(random: np.random.Generator) -> Floats:
    """Half of them as uneven as visits of crawlers, half quiet with days of two to thirty times as much."""
    often, times = random.uniform(0.02, 0.1, (SERIES, 1)), 10 ** random.uniform(0.3, 1.5, (SERIES, DAYS))
    spikes = np.where(random.random((SERIES, DAYS)) < often, times, 1.0)
    return np.where(random.random((SERIES, 1)) < 0.5, gammas(random, -0.5, 0.5), spikes)


def traffic(kind: str, random: np.random.Generator) -> Floats:
    """What a count is about, a day."""
    if kind == "tiny":
        return levels(random, -2, 0.5)
    base = levels(random, 0, 4)
    if kind == "flat" or kind == "drifting":
        return base
    of = {"weekly": weekly, "trending": trend, "bursty": bursts, "uneven": lambda random: gammas(random, 0.3, 2.5)}
    if kind in of:
        return base * of[kind](random)
    if kind == "wandering":
        return base * np.exp(random.normal(0, 0.1, (SERIES, DAYS)).cumsum(axis=1))
    return base


def money(orders: Floats, random: np.random.Generator) -> Floats:
    """Of so many orders, with prices of a gamma distribution that each series has of its own."""
    price, spread = 10 ** random.uniform(0.5, 2.5, (SERIES, 1)), random.uniform(0.2, 1.5, (SERIES, 1))
    return np.round(price * spread**2 * random.gamma(orders / spread**2), 2)


def unchanged(kind: str, ratio: bool, seed: int) -> Pair:
    random = np.random.default_rng([seed, ratio, *kind.encode()])
    counts = random.poisson(traffic(kind, random)).astype(float)
    if not ratio:
        return (money(counts, random) if kind == "money" else counts), None
    rate = 10 ** random.uniform(-2.5, -0.1, (SERIES, 1)) * np.ones((1, DAYS))
    if kind == "weekly":
        rate = rate * weekly(random)
    elif kind == "bursty":
        rate = rate * np.exp(random.normal(0, 0.5, (SERIES, DAYS)))
    elif kind == "uneven":
        rate = rate * gammas(random, 0.3, 2.5)
    elif kind == "drifting":
        rate = rate * trend(random)
    elif kind == "wandering":
        rate = rate * np.exp(random.normal(0, 0.1, (SERIES, DAYS)).cumsum(axis=1))
    got = random.binomial(counts.astype(np.int64), np.clip(rate, 0, 1)).astype(float)
    return (money(got, random) if kind == "money" else got), counts


UNCHANGED = ("flat", "weekly", "trending", "bursty", "tiny", "uneven", "money")
BESIDE = {False: ("wandering",), True: ("drifting", "wandering")}
"""Told without a bar: these did change, slowly."""


# Series that broke


def broken(
    kind: str, ratio: bool, seed: int, low: float = 0.0, high: float = 0.5, most: float = 5_000
) -> tuple[Any, ...]:
    """Series of 500 or more a day, where each breaks to a share from low to high of what it was, and what day each did so.

    Most go on to the end, for 7 to 20 days; a fourth ended, 3 to 9 days before.
    """
    random = np.random.default_rng([seed, ratio, 1, round(100 * high), *kind.encode()])
    base = levels(random, np.log10(500), np.log10(most))
    base = base * weekly(random) if kind == "weekly" else base
    base = base * gammas(random, 2, 2.7) if kind == "uneven" else base
    share = random.uniform(low, high, (SERIES, 1))
    ended = random.random(SERIES) < 0.25
    last = np.where(ended, DAYS - random.integers(3, 10, SERIES), DAYS)
    first = last - random.integers(7, np.where(ended, last - 13, 21))
    inside = (np.arange(DAYS) >= first[:, None]) & (np.arange(DAYS) < last[:, None])
    times = np.where(inside, share, 1.0)
    if not ratio:
        return random.poisson(base * times).astype(float), None, first
    visits = random.poisson(base)
    rate = 10 ** random.uniform(-1.5, -0.7, (SERIES, 1))
    return random.binomial(visits, rate * times).astype(float), visits.astype(float), first


# Who finds them


def asked(pair: Pair) -> Any:
    above, below = (None if each is None else np.round(each * MILLION).astype(np.int64) for each in pair)
    assert above is not None
    return shifts(PATHS, above, below, None, ORDINALS)


def signals(pair: Pair) -> list[Floats]:
    """As PELT gets them: with noise of variance 1 if it is that of counts; and over their own noise, if that is more."""
    x, d = pair
    if d is None:
        signal = 2 * np.sqrt(x + 0.375)
    else:
        rate = x.sum(axis=1, keepdims=True) / np.maximum(d.sum(axis=1, keepdims=True), 1)
        signal = (x - rate * d) / np.sqrt(np.maximum(rate * (1 - rate) * d, 1e-9))
        signal = np.where((d > 0) & (rate > 0) & (rate < 1), signal, 0.0)
    own = np.median(np.abs(np.diff(signal, axis=1)), axis=1, keepdims=True) / 0.9539
    return [signal, signal / np.maximum(own, 1.0)]


def gains(signal: Floats) -> Floats:
    """For each series the penalty above which PELT tells of no break: the most of what one break gains, and half of what two do."""
    sums = np.concatenate([np.zeros((len(signal), 1)), signal.cumsum(axis=1)], axis=1)
    total = sums[:, -1]
    found = np.zeros(len(signal))
    for i in range(LEAST, DAYS - LEAST + 1):
        first = sums[:, i] ** 2 / i - total**2 / DAYS
        np.maximum(found, first + (total - sums[:, i]) ** 2 / (DAYS - i), out=found)
        for j in range(i + LEAST, DAYS - LEAST + 1):
            two = first + (sums[:, j] - sums[:, i]) ** 2 / (j - i) + (total - sums[:, j]) ** 2 / (DAYS - j)
            np.maximum(found, two / 2, out=found)
    return found


def found_by_pelt(signal: Floats, penalty: float, first: Floats) -> tuple[float, float]:
    import ruptures

    found, right = 0, 0
    for row, day in zip(signal, first, strict=True):
        breaks = ruptures.Pelt(model="l2", min_size=LEAST, jump=1).fit(row).predict(pen=penalty)[:-1]
        found += bool(breaks)
        right += any(abs(each - day) <= 1 for each in breaks)
    return found / len(signal), right / len(signal)


def found_here(some: tuple[Any, ...]) -> tuple[float, float, float]:
    """Shares of the series that are told, told with the right day within one; and of those told these."""
    x, d, first = some
    answer = asked((x, d))
    right = sum(abs(shift.start - first[shift.row]) <= 1 for shift in answer.found)
    return len(answer.found) / SERIES, right / SERIES, right / max(1, len(answer.found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=50_000, help="the first seed")
    parser.add_argument("--of", nargs="*", default=("count", "ratio"), choices=("count", "ratio"))
    parser.add_argument("--kinds", nargs="*", default=UNCHANGED, help="of series that do not change")
    parser.add_argument("--pelt-calls", type=int, default=4, help="calls by whose series the penalty of PELT is found")
    parser.add_argument("--pelt", type=int, default=200, help="broken series that PELT looks at, of each kind; 0: none")
    options = parser.parse_args()
    figures: list[Figure] = []
    for what in options.of:
        figures += measured(what == "ratio", options)
    report("shifts", figures)


def measured(ratio: bool, options: argparse.Namespace) -> list[Figure]:
    what, seeds = "ratio" if ratio else "count", range(options.seeds, options.seeds + options.calls)
    figures, took, most = [], [], {}
    for kind in (*options.kinds, *BESIDE[ratio]):
        alarms = told = 0
        calls = seeds if kind in UNCHANGED else seeds[: max(1, len(seeds) // 10)]
        for seed in calls:
            pair = unchanged(kind, ratio, seed)
            begun = time.process_time()
            answer = asked(pair)
            took.append(1000 * (time.process_time() - begun))
            alarms += bool(answer.found)
            told += len(answer.found)
        bar = 0.01 if kind in UNCHANGED else None
        name = f"{what}, {kind}: calls that tell of anything ({told} series in {len(calls)} calls)"
        figures.append(Figure(name, [alarms / len(calls)], "of 1", bar, less=True))
        print(name, alarms, f"{np.median(took):.0f} ms", flush=True)
        if options.pelt and kind in UNCHANGED:
            each = [
                [gains(some).max() for some in signals(unchanged(kind, ratio, seed))]
                for seed in seeds[: options.pelt_calls]
            ]
            most[kind] = np.quantile(each, 0.99, axis=0)
    for kind, low, high in BREAKS:
        some = broken(kind, ratio, options.seeds, low, high)
        all_, right, of_told = found_here(some)
        name = f"{what}, {kind}, to {low:.0%} to {high:.0%}"
        beside = {}
        if options.pelt and most:
            for scope, kinds in (("all kinds", tuple(most)), ("flat alone", ("flat",) if "flat" in most else ())):
                if not kinds:
                    continue
                penalties = np.max([most[each] for each in kinds], axis=0)
                cut = [signal[: options.pelt] for signal in signals((some[0], some[1]))]
                beside[scope] = max(
                    found_by_pelt(s, p, some[2][: options.pelt]) for s, p in zip(cut, penalties, strict=True)
                )
        bar = beside["all kinds"][0] if beside and high <= 0.5 else None
        figures.append(Figure(f"{name}: found", [all_], "of 1", bar))
        figures.append(Figure(f"{name}: the day right within one, of those found", [of_told], "of 1"))
        for scope, (found, on_day) in beside.items():
            figures.append(
                Figure(f"{name}: found by PELT, penalty by {scope}", [found], f"of 1 ({on_day:.3f} on the day)")
            )
        print(name, all_, right, of_told, beside, flush=True)
    figures.append(
        Figure(
            f"{what}: 10,000 series x 30 days, time of the processor", [float(np.median(took))], "ms", 150.0, less=True
        )
    )
    return figures


BREAKS = (
    ("flat", 0.0, 0.5),
    ("weekly", 0.0, 0.5),
    ("uneven", 0.0, 0.5),
    ("flat", 0.5, 0.5),
    ("flat", 0.7, 0.7),
    ("flat", 0.8, 0.8),
    ("flat", 0.9, 0.9),
)


if __name__ == "__main__":
    main()

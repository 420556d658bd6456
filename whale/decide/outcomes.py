"""What the counters know of a decision's options, over any Store. Pure: no clock; the range says when.

One read of all options and nodes. Sums of y and x are those of the pk [..., option]; n, and the sums of squares and products, are its
moments (whale/metric.py), kept at the root alone: a policy asks there how noisy single hits are. What was counted without moments
(by /count, say) is taken as one report of all of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hail.hit import MILLION, Dimensions
from whale.decide.evidence import MOST_OPTIONS, Evidence
from whale.dimension import Path, Pk, paths_of
from whale.errors import CallerError, FormulaError
from whale.formula import Floats, parse_formula, sums
from whale.metric import COUNT, STEPS, moment_path, product_bin, sum_bin
from whale.period import Range, check_points, length_name, length_of, next_start, starts, width
from whale.store.contract.counters import Counters

PERIOD = "thirty"
"""Whose counters speak where no period is asked."""
PATHS_AT_ONCE = 20_000
"""Of all options, that are read in one round trip: 15 MB over a month."""
FORGOTTEN = 50
"""So many half-lives ago is as never."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What evidence is read of. pk: of a decision, its options one level below.  nodes: the root first."""

    pk: Pk
    options: Sequence[str]
    nodes: Sequence[Path]
    ratio: "Ratio"


@dataclass(frozen=True, slots=True)
class Ratio:
    """What an option is judged by: the sum of one metric over the sum of another."""

    reward: str
    base: str = "hits"


def ratio_of(text: str, field: str) -> Ratio:
    """`earned/spent`, or `earned`, which means earned/hits; raises FormulaError."""
    try:
        steps = parse_formula(text).steps
    except FormulaError as error:
        raise error.named(field) from None
    names = [what[0] for kind, what in steps if kind == "metric" and not what[1]]
    if len(names) == len(steps) == 1 or (len(steps) == 3 and len(names) == 2 and steps[2] == ("op", "/")):
        return Ratio(*names)
    raise FormulaError(f"expected a metric, or one over another such as earned/spent, got {ascii(text)[:60]}", field)


def nodes_of(tree: Dimensions) -> list[Path]:
    """The root and the paths of a known context; not the names of its properties, which every hit of an option has."""
    return [path for path in paths_of(tree) if len(path) != 1 or not tree[str(path[0])]]


def check_options(options: Sequence[str]) -> None:
    """Raises CallerError before anything is read."""
    if not options:
        raise CallerError("expected at least one option, got none", "options")
    if len(options) > MOST_OPTIONS:
        raise CallerError(f"expected at most {MOST_OPTIONS}, got {len(options)}", "options")
    if len(set(options)) < len(options):
        twice = next(option for option in options if list(options).count(option) > 1)
        raise CallerError(f"{ascii(twice)[:60]} is listed twice", "options")


def evidence_of(
    store: Counters,
    account: str,
    pk: Pk,
    options: Sequence[str],
    nodes: Sequence[Path],
    ratio: Ratio,
    period: Range,
    most_points: int,
) -> Evidence:
    """The sums of a range. pk: of the decision.  nodes: the root first. Raises CallerError; Unavailable."""
    return evidence_of_each(store, account, [Judged(pk, options, nodes, ratio)], period, most_points)[0]


def half_life_of(value: Any, period: Range) -> float:
    """Seconds of a half-life: `7d`, or a number of seconds. Raises CallerError.

    There is nothing finer to weigh than a bucket of the period, and nothing older than the period.
    """
    seconds: Any = length_of(value.strip()) if isinstance(value, str) else value
    is_length = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    least, most = width(period.source or period.interval), period.end - period.start
    if not (is_length and least <= seconds <= most):
        raise CallerError(
            f"expected a length from {length_name(least)} (one bucket of the period) to {length_name(most)} (the whole period), "
            f"got {ascii(value)[:60]}",
            "half_life",
        )
    return float(seconds)


@dataclass(frozen=True, slots=True)
class Decay:
    """What was counted weighs 0.5 ** (its age / half_life_s). now: epoch seconds."""

    half_life_s: float
    now: float

    def weights(self, begins: Sequence[int], ends: Sequence[int]) -> Floats:
        """Of buckets, each by the middle of what has passed of it: at least 0, at most 1."""
        middles = (np.array(begins, np.float64) + np.minimum(np.array(ends, np.float64), self.now)) / 2
        lives = np.maximum(self.now - middles, 0) / self.half_life_s
        found: Floats = np.where(lives <= FORGOTTEN, 0.5**lives, 0.0)
        return found


def evidence_of_each(
    store: Counters,
    account: str,
    judged: Sequence[Judged],
    period: Range,
    most_points: int,
    decay: Decay | None = None,
) -> list[Evidence]:
    """`evidence_of` several decisions, in as many round trips as of one, unless they are very large.

    decay: how much buckets weigh; None: all the same.
    Trials are the sum of the denominator where it is a count (visitors: 100), as far as sums can tell: whole, and no more than
    its sum of squares. Else they are hits.
    """
    check_points(period, most_points)
    for each in judged:
        check_options(each.options)
    for each, kinds in zip(judged, store.kinds_of(account, [each.pk for each in judged]), strict=True):
        for name in (each.ratio.reward, each.ratio.base):
            if name in kinds:
                raise FormulaError(f"{name[:60]} is of kind {kinds[name]}: options are judged by sums", "by_metric")
    source = period.interval if period.source is None else period.source
    zone = store.zone(account) if period.source else period.zone
    stored = starts(source, period.start, period.end, zone)
    weights = None if decay is None else decay.weights(stored, [next_start(source, start, zone) for start in stored])
    found: list[Evidence] = []
    for some in _portions(judged):
        wanted = [
            ((*each.pk, option), _paths_of(each), _metrics_of(each.ratio)) for each in some for option in each.options
        ]
        cells = iter(store.read_each(account, wanted, source, stored))
        found += [_evidence(each, np.stack([next(cells) for _ in each.options]), weights) for each in some]
    return found


def _portions(judged: Sequence[Judged]) -> Iterator[list[Judged]]:
    """What is read at once, so that many large decisions neither hold Redis nor fill memory."""
    portion: list[Judged] = []
    paths = 0
    for each in judged:
        more = len(each.options) * len(_paths_of(each))
        if portion and paths + more > PATHS_AT_ONCE:
            yield portion
            portion, paths = [], 0
        portion.append(each)
        paths += more
    if portion:
        yield portion


def _paths_of(judged: Judged) -> list[Path]:
    return [*judged.nodes, *map(moment_path, _bins_of(judged.ratio))]


def _evidence(of: Judged, cells: NDArray[np.int64], weights: Floats | None) -> Evidence:
    """cells: (options, nodes and bins, metrics, buckets).  weights: of buckets."""
    ratio, nodes, metrics, bins = of.ratio, of.nodes, _metrics_of(of.ratio), _bins_of(of.ratio)
    totals = np.asarray(sums(cells) if weights is None else (cells * weights).sum(axis=-1), np.float64)
    units = np.array([1 if name == "hits" else MILLION for name in metrics], np.float64)
    by_node = totals[:, : len(nodes)] / units
    hits, y, x = (by_node[:, :, metrics.index(name)] for name in ("hits", ratio.reward, ratio.base))
    found = np.zeros((len(of.options), len(nodes), 6))
    found[:, :, 0], found[:, :, 1], found[:, :, 2] = np.where(hits > 0, hits, x > 0), y, x
    moments = dict(zip(bins, totals[:, len(nodes) :, 0].T, strict=True))
    mine = _with_moments(_Moments(moments), ratio, y[:, 0], x[:, 0])
    fractions = cells[:, : len(nodes), metrics.index(ratio.base)] % MILLION
    is_whole = not fractions.any() and (mine[:, 4] >= mine[:, 2] * (1 - 1e-9)).all()
    trials = x if is_whole or ratio.base == "hits" else hits
    trials = np.where(trials > 0, trials, x > 0)
    found[:, 0] = mine
    return Evidence.of(of.options, nodes, found, trials)


def _metrics_of(ratio: Ratio) -> list[str]:
    return list(dict.fromkeys(("hits", ratio.reward, ratio.base)))


def _bins_of(ratio: Ratio) -> list[str]:
    names = {ratio.reward, ratio.base}
    pairs = [(ratio.reward, ratio.reward), (ratio.base, ratio.base), (ratio.reward, ratio.base)]
    products = [product_bin(*pair, step) for pair in pairs for step in STEPS]
    return list(dict.fromkeys([COUNT, *map(sum_bin, names), *products]))


class _Moments:
    """Sums over the hits that have their moments counted, by option. Hits are kept less 1."""

    def __init__(self, bins: Mapping[str, Floats]):
        self._bins = bins
        self.count = bins[COUNT]

    def sum(self, metric: str) -> Floats:
        added = self._bins[sum_bin(metric)] / MILLION
        return self.count + added if metric == "hits" else added

    def product(self, one: str, other: str) -> Floats:
        added = sum((self._bins[product_bin(one, other, step)] * 10.0**step for step in STEPS), np.zeros(1)) / MILLION
        if one == other == "hits":
            return self.count + 2 * (self.sum("hits") - self.count) + added
        if "hits" in (one, other):
            return self.sum(other if one == "hits" else one) + added
        return added


def _with_moments(known: _Moments, ratio: Ratio, y: Floats, x: Floats) -> Floats:
    """n, y, x, yy, xx, xy of each option."""
    reward, base = ratio.reward, ratio.base
    more_y, more_x = y - known.sum(reward), x - known.sum(base)  # of hits without moments: as one
    more_y[np.abs(more_y) < 1e-9 * np.abs(y)] = 0
    more_x[np.abs(more_x) < 1e-9 * np.abs(x)] = 0
    count = known.count + ((more_y != 0) | (more_x != 0))
    yy = known.product(reward, reward) + more_y * more_y
    xx = known.product(base, base) + more_x * more_x
    xy = known.product(reward, base) + more_x * more_y
    return np.stack([count, y, x, yy, xx, xy], axis=-1)

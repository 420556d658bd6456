"""Points and totals, over any Store. Pure: no clock; the range says when.

A question costs one read of the dictionary and, for each path below the ones it names, one sum over the range to find
those that the answer keeps; only these are read in full. Never more with more hits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whale.dimension import ROOT, Path, Pk
from whale.errors import CallerError, TooManyPoints
from whale.formula import Formula, parse_formula
from whale.period import DAY, HOUR, MINUTE, MONTH, Interval, Range, interval_name, points, starts
from whale.store.base import Store

CELLS_A_READ = 1_000_000
READ_FACTOR = 50  # cells that may be summed to choose a series, for each point that may be answered

Number = int | float


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one answer may cost: points of a series, points of the answer, levels below a path."""

    points: int = 10_000
    answer_points: int = 200_000
    levels: int = 8


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a pk.

    paths: () is the root.  metrics: names or ratios as `revenue/visitors`.
    depth: levels below the paths that are answered too.
    sort: `-metric` (the largest first) or `metric`; None: by the first metric, the largest first, the paths as asked.
    limit: how many paths below the asked ones the answer keeps; 0 keeps all.
    """

    account: str
    pk: Pk
    paths: Sequence[Path] = (ROOT,)
    metrics: Sequence[str] = ("hits",)
    depth: int = 0
    sort: str | None = None
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """One path's numbers: for each formula as asked, one value a bucket, and the total of the range."""

    path: Path
    values: dict[str, list[Number]] = field(default_factory=dict)
    totals: dict[str, Number] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plot:
    """starts: epoch seconds of the buckets.  series: the asked paths first, then those below them in sort order."""

    starts: Sequence[int]
    series: list[Series]


def plotpoints(store: Store, question: Question, period: Range, bounds: Bounds = Bounds()) -> Plot:
    """Every bucket of the range for each path that the question keeps; 0 where nothing was counted.

    A name never counted reads 0.  Raises CallerError (depth, limit, formula), TooManyPoints, Unavailable.
    """
    _check(question, bounds)
    edges = _edges(store, question, period, bounds)
    formulas = _formulas(store, question, question.metrics)
    paths = _chosen(store, question, period, edges, len(formulas), bounds)
    _check_size(len(paths) * len(formulas) * len(edges), bounds)
    metrics = list(dict.fromkeys(name for formula in formulas for name in formula.metrics))
    found = []
    for some in _portions(paths, len(metrics) * len(edges)):
        cells = store.read(question.account, question.pk, some, metrics, period.interval, edges)
        for path, rows, sums in zip(some, cells, _sums(cells).tolist(), strict=True):
            values, amounts = dict(zip(metrics, rows, strict=True)), dict(zip(metrics, sums, strict=True))
            found.append(
                Series(path, {f.text: f.series(values) for f in formulas}, {f.text: f.of(amounts) for f in formulas})
            )
    return Plot(edges, found)


def totals(store: Store, question: Question, period: Range, bounds: Bounds = Bounds()) -> list[Series]:
    """The sums of the range for each path that the question keeps, in its order; a ratio is the ratio of sums."""
    _check(question, bounds)
    edges = _edges(store, question, period, bounds)
    formulas = _formulas(store, question, question.metrics)
    paths = _chosen(store, question, period, edges, 0, bounds)
    _check_size(len(paths) * len(formulas), bounds)
    metrics = list(dict.fromkeys(name for formula in formulas for name in formula.metrics))
    found = []
    for path, sums in zip(paths, _totals(store, question, paths, metrics, period, edges), strict=True):
        amounts = dict(zip(metrics, sums.tolist(), strict=True))
        found.append(Series(path, totals={formula.text: formula.of(amounts) for formula in formulas}))
    return found


def _check(question: Question, bounds: Bounds) -> None:
    if not 0 <= question.depth <= bounds.levels:
        raise CallerError(f"expected 0 to {bounds.levels}, got {question.depth}", "depth")
    if question.limit < 0:
        raise CallerError(f"expected 0 (all) or more, got {question.limit}", "limit")


def _formulas(store: Store, question: Question, texts: Sequence[str]) -> list[Formula]:
    known = store.metrics(question.account, question.pk) if any("/" in text for text in texts) else ()
    return list(dict.fromkeys(parse_formula(text, known) for text in texts))


def _edges(store: Store, question: Question, period: Range, bounds: Bounds) -> Sequence[int]:
    zone = store.zone(question.account)
    count = points(period.interval, period.start, period.end, zone)
    if count > bounds.points:
        wider = next((name for name, wide in WIDER if _width(period.interval) < wide), None)
        hint = f"ask by {wider} or shorten the range" if wider else "shorten the range"
        raise TooManyPoints(
            f"this range by {interval_name(period.interval)} is {count} points, the limit is {bounds.points}: {hint}"
        )
    return starts(period.interval, period.start, period.end, zone)


WIDER = (("minute", MINUTE), ("hour", HOUR), ("day", DAY), ("month", 28 * DAY))


def _width(interval: Interval) -> int:
    return 28 * DAY if interval == MONTH else int(interval)


def _check_size(count: int, bounds: Bounds) -> None:
    if count > bounds.answer_points:
        raise TooManyPoints(
            f"the answer would be {count} points, the limit is {bounds.answer_points}: "
            "ask for fewer metrics, a smaller limit or depth, or a shorter range"
        )


def _chosen(
    store: Store, question: Question, period: Range, edges: Sequence[int], points_a_path: int, bounds: Bounds
) -> list[Path]:
    """The asked paths, then the ones below them that sort first."""
    asked = list(dict.fromkeys(question.paths))
    below = _below(store, question, asked)
    if not question.limit:
        _check_size((len(asked) + len(below)) * points_a_path, bounds)
    if question.sort is None:
        return asked + _sorted(store, question, below, period, edges, bounds)[: question.limit or None]
    ordered = _sorted(store, question, asked + below, period, edges, bounds)
    first = set(asked)
    return [path for path in ordered if path in first] + [path for path in ordered if path not in first][
        : question.limit or None
    ]


def _below(store: Store, question: Question, asked: list[Path]) -> list[Path]:
    found = dict.fromkeys(asked)
    level = asked
    for _ in range(question.depth):
        level = [(*path, name) for path in level for name in store.children(question.account, question.pk, path)]
        level = [path for path in level if path not in found]
        found.update(dict.fromkeys(level))
    return list(found)[len(asked) :]


def _sorted(
    store: Store, question: Question, paths: list[Path], period: Range, edges: Sequence[int], bounds: Bounds
) -> list[Path]:
    """By the total over the range; of ratios by the ratio of sums. Equal ones by name."""
    if len(paths) < 2:
        return paths
    asked = f"-{question.metrics[0]}" if question.sort is None else question.sort
    text = asked.removeprefix("-")
    if not text:
        raise CallerError(f"expected metric or -metric, got {asked!a}", "sort")
    formula = _formulas(store, question, [text])[0]
    work = len(paths) * len(formula.metrics) * len(edges)
    if work > READ_FACTOR * bounds.answer_points:
        raise TooManyPoints(
            f"sorting {len(paths)} paths over {len(edges)} buckets reads {work} cells, the limit is "
            f"{READ_FACTOR * bounds.answer_points}: ask by a wider interval or shorten the range"
        )
    sums = _totals(store, question, paths, formula.metrics, period, edges).tolist()
    score = {
        path: formula.of(dict(zip(formula.metrics, row, strict=True))) for path, row in zip(paths, sums, strict=True)
    }
    return sorted(sorted(paths, key=_name), key=lambda path: score[path], reverse=asked.startswith("-"))


def _name(path: Path) -> tuple[str, ...]:
    return tuple(name or "" for name in path)


def _totals(
    store: Store, question: Question, paths: list[Path], metrics: Sequence[str], period: Range, edges: Sequence[int]
) -> NDArray[np.int64]:
    """Sums over the range, of shape (paths, metrics)."""
    parts = [
        _sums(store.read(question.account, question.pk, some, metrics, period.interval, edges))
        for some in _portions(paths, len(metrics) * len(edges))
    ]
    return np.concatenate(parts) if parts else np.zeros((0, len(metrics)), np.int64)


def _sums(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums over the buckets; Python's integers where 64 bits might not hold them."""
    if cells.size and float(np.abs(cells.astype(np.float64)).max()) * cells.shape[-1] >= 2.0**62:
        return cells.astype(object).sum(axis=-1)
    total: NDArray[np.int64] = cells.sum(axis=-1)
    return total


def _portions(paths: list[Path], cells_a_path: int) -> list[list[Path]]:
    """Paths in portions that keep one read small."""
    size = max(1, CELLS_A_READ // max(1, cells_a_path))
    return [paths[i : i + size] for i in range(0, len(paths), size)]

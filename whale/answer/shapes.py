"""The shapes of a series: a map or a list of labelled points, or [epoch ms, number] pairs. Pure.

A label is the local time of the bucket as C's ctime writes it, `Wed Jun 17 00:00:00 2015`; an hour that a zone has
twice also says its offset the second time.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from whale.answer.listed import listed, percent_encoded
from whale.answer.series import Plot
from whale.dimension import Path, Pk, path_text, pk_text
from whale.errors import CallerError
from whale.formula import Number
from whale.period import Range, interval_name, tz
from whale.store.contract.rollups import Overflowed

TOTAL = "Total"
V = TypeVar("V")
Naming = Callable[[Path], Any]
NAMINGS: dict[str, Naming] = {"text": path_text, "list": list}
"""How an answer names a path, by the word of the parameter `paths`: as text, or as the list of its names."""


def naming_of(word: str) -> Naming:
    if word not in NAMINGS:
        raise CallerError(f"expected text or list, got {ascii(word)[:60]}", "paths")
    return NAMINGS[word]


def named_paths(rows: Iterable[tuple[Path, Any]], field: str) -> list[dict[str, Any]]:
    """Rows by path, as a list: [{"path": [name, ...], field: row}, ...]."""
    return [{"path": list(path), field: row} for path, row in rows]


class ByPath(dict[str, V]):
    """path -> what was asked of it. The root answers to `_`, and to the pk's own name where no path has that.

    adjusted: in a wider bucket of this time something of it was set, so that these finer ones may not add up to it.
    adjustments: what was set, as the `adjusted` of other answers has it.
    overflowed: the cells that lack an amount, since their sums left 64 bits; None: too many to name, any may.
    more: how many paths below the asked ones the limit left out.
    """

    def __init__(
        self,
        pk: Pk,
        rows: Iterable[tuple[str, V]],
        adjustments: Sequence[dict[str, Any]] = (),
        overflowed: Collection[Overflowed] | None = (),
        more: int = 0,
    ):
        super().__init__(rows)
        self.adjusted, self.adjustments = bool(adjustments), adjustments
        self.overflowed, self.more = overflowed, more
        self._root_names = (pk_text(pk), pk[-1])

    def __missing__(self, name: str) -> V:
        if name in self._root_names and "_" in self:
            return self["_"]
        raise KeyError(name)


def overflow_text(lacking: Sequence[Collection[Overflowed] | None]) -> str:
    """The first cells that lack an amount, as a header says it; `*`: any may. lacking: of each question."""
    cells: list[Overflowed] = []
    for each in lacking:
        if each is None:
            return "*"
        cells += each
    return listed(
        f"{percent_encoded(cell.metric)};path={percent_encoded(path_text(cell.path))}"
        f";interval={interval_name(cell.interval)};at={cell.start * 1000}"
        for cell in cells
    )


def labels(at: Range, starts: Sequence[int], flot_time: bool) -> list[Any]:
    """One a bucket: epoch ms, or text."""
    if flot_time:
        return [start * 1000 for start in starts]
    zone = tz(at.zone)
    times = [datetime.fromtimestamp(start, zone) for start in starts]
    return [f"{time.ctime()} {time:%z}" if time.fold else time.ctime() for time in times]


def times(at: Range, starts: Sequence[int]) -> list[datetime]:
    """One a bucket: aware, in the zone that was asked."""
    zone = tz(at.zone)
    return [datetime.fromtimestamp(start, zone) for start in starts]


@dataclass(frozen=True, slots=True)
class Shape:
    """How the points of a series are written.

    flot_time: labels are epoch ms, not text.  points_type: dict or a subclass: label -> number; else a list of (label, number).
    with_totals: the total is a last row.
    """

    flot_time: bool = False
    points_type: type = dict
    descending: bool = False
    with_totals: bool = False

    def rows(self, plot: Plot, at: Range) -> list[tuple[Path, dict[str, Any]]]:
        """Each path of a plot, with its points by formula."""
        names = labels(at, plot.starts, self.flot_time)
        return [
            (
                row.path,
                {name: self._points(names, values, row.totals[name]) for name, values in row.values.items()},
            )
            for row in plot.series
        ]

    def _points(self, names: Sequence[Any], values: Sequence[Number], total: Number) -> Any:
        rows = list(zip(names, values, strict=True))
        if self.descending:
            rows.reverse()
        if self.with_totals:
            rows.append((TOTAL, total))
        return self.points_type(rows) if issubclass(self.points_type, dict) else rows


def path_below(path: Sequence[str | None], above: Sequence[str | None]) -> str:
    """A path as its parent calls it: the child's name, or the text of the rest."""
    rest = tuple(path[len(above) :])
    return rest[0] if len(rest) == 1 and rest[0] else path_text(rest)


def flot_json(
    rows: Iterable[tuple[Any, dict[str, list[Number]], dict[str, Number]]],
    names: Sequence[Any],
    descending: bool = False,
    with_totals: bool = False,
    is_listed: bool = False,
) -> bytes:
    """{path: {metric: [[label, number], ...]}} as JSON, or listed [{"path", "metrics"}, ...]. rows: path, values and totals by metric.

    By hand, for most of a large answer is the same labels again: half the time of pairs that are then encoded.
    """
    shown = [*(reversed(names) if descending else names), *([TOTAL] if with_totals else [])]
    pairs = b"[" + b",".join([b"[%s,%%b]" % _json(name).replace(b"%", b"%%") for name in shown]) + b"]"
    metrics: list[str] = []
    template = zeros = b"{}"
    found = []
    for path, values, totals in rows:
        if list(values) != metrics:
            metrics = list(values)
            template = b"{" + b",".join([_json(name).replace(b"%", b"%%") + b":" + pairs for name in metrics]) + b"}"
            zeros = template % ((b"0",) * len(shown) * len(metrics))
        numbers: list[Number] = []
        for metric, some in values.items():
            numbers += some[::-1] if descending else some
            if with_totals:
                numbers.append(totals[metric])
        text = zeros
        if any(numbers) or None in numbers:
            text = template % tuple(_json(numbers)[1:-1].split(b","))
        found.append(b'{"path":%b,"metrics":%b}' % (_json(path), text) if is_listed else _json(path) + b":" + text)
    return (b"[%b]" if is_listed else b"{%b}") % b",".join(found)


_json = msgspec.json.Encoder().encode

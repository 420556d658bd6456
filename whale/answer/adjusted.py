"""What an answer says where it is read from finer buckets than one that was set: which one, of which path and metric, and to what.

At most MOST_NAMED are named. Where so many were set in a pk that only their stretch is known, or
the path was reset since, `*` says that there are more.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from whale.answer.explain import iso
from whale.answer.listed import MOST_NAMED, listed, percent_encoded
from whale.answer.series import Question, formulas_of, stored_of
from whale.answer.whole import is_kept
from whale.dimension import Path, path_text
from whale.formula import Number, number_of
from whale.period import Interval, Range, interval_name
from whale.store.contract.counters import Counters
from whale.store.contract.rollups import Adjustment, Stretch, touches


class Set(NamedTuple):
    """A cell that was set. start: of its bucket.  to: what it holds, with what was counted since."""

    path: Path
    metric: str
    interval: Interval
    start: int
    to: Number


class Adjusted(NamedTuple):
    """rows: those that are named.  more: how many are not.  unnamed: further ones, of which nobody knows which."""

    rows: Sequence[Set] = ()
    more: int = 0
    unnamed: bool = False

    def __bool__(self) -> bool:
        return bool(self.rows) or self.unnamed

    def said(self) -> list[dict[str, Any]]:
        """As JSON holds it."""
        rows: list[dict[str, Any]] = [
            {
                "path": path_text(row.path),
                "metric": row.metric,
                "interval": interval_name(row.interval),
                "start": iso(row.start),
                "to": row.to,
            }
            for row in self.rows
        ]
        return [*rows, *([{"more": None if self.unnamed else self.more}] if self.more or self.unnamed else [])]


def adjusted(store: Counters, question: Question, ranges: Sequence[Range]) -> list[Adjusted]:
    """What was set of a question in wider buckets than each range is read from. store: that answered, for it knows the marks.

    One read more where something was set, of the cells that are named.
    """
    marks = store.notes(question.account, question.pk).adjustments
    if not marks:
        return [Adjusted()] * len(ranges)
    zone = store.zone(question.account)
    metrics = {name for formula in formulas_of(store, question, question.metrics) for name in formula.metrics}
    meant = sorted(
        (mark for mark in marks if _is_meant(mark, question, metrics)), key=lambda mark: (mark.start, str(mark[1:]))
    )
    of_ranges = [_touching(meant, _spans(found, zone)) for found in ranges]
    cells = [dict.fromkeys(cell for mark in some for cell in _cells(mark, metrics)) for some in of_ranges]
    shown = [list(some)[:MOST_NAMED] for some in cells]
    amounts = _amounts(store, question, [cell for some in shown for cell in some])
    return [
        Adjusted(
            [Set(*cell, number_of(cell[1], amounts[cell])) for cell in named],
            len(all_) - len(named),
            any(mark.path is None for mark in some),
        )
        for some, all_, named in zip(of_ranges, cells, shown, strict=True)
    ]


def header(found: Iterable[Adjusted]) -> str:
    """As `X-Adjusted` says it."""
    every = list(found)
    rows = dict.fromkeys(row for each in every for row in each.rows)
    said = (
        f"{percent_encoded(row.metric)};path={percent_encoded(path_text(row.path))}"
        f";interval={interval_name(row.interval)};at={row.start * 1000};to={row.to}"
        for row in rows
    )
    return listed(said, max((each.more for each in every), default=0), any(each.unnamed for each in every))


_Cell = tuple[Path, str, Interval, int]


def _is_meant(mark: Adjustment, question: Question, metrics: set[str]) -> bool:
    """Whether what was set adds to what is asked: a path, what is above it, and nothing beside or below it."""
    if question.kept is not None and not is_kept(mark.interval, mark.end, question.kept, question.now or 0):
        return False
    if mark.path is None or mark.metrics is None:
        return True
    path = mark.path
    return not metrics.isdisjoint(mark.metrics) and any(path[: len(above)] == above for above in question.paths)


def _spans(found: Range, zone: str) -> list[Stretch]:
    return [(stored_of(part, zone)[0], part.start, part.end) for part in found.parts or (found,)]


def _touching(marks: Iterable[Adjustment], spans: Sequence[Stretch]) -> list[Adjustment]:
    return [mark for mark in marks if any(touches(mark, span) for span in spans)]


def _cells(mark: Adjustment, metrics: set[str]) -> list[_Cell]:
    if mark.path is None:
        return []
    return [(mark.path, name, mark.interval, mark.start) for name in mark.metrics or () if name in metrics]


def _amounts(store: Counters, question: Question, cells: Sequence[_Cell]) -> dict[_Cell, int]:
    paths, metrics = list(dict.fromkeys(cell[0] for cell in cells)), list(dict.fromkeys(cell[1] for cell in cells))
    starts: dict[Interval, list[int]] = {}
    for _, _, interval, start in cells:
        starts.setdefault(interval, []).append(start)
    spans = [(interval, tuple(sorted(set(some)))) for interval, some in starts.items()]
    read = store.read_several(question.account, question.pk, paths, metrics, spans).cells if cells else []
    rows = {interval: (some, found) for (interval, some), found in zip(spans, read, strict=True)}
    return {
        cell: int(rows[cell[2]][1][paths.index(cell[0]), metrics.index(cell[1]), rows[cell[2]][0].index(cell[3])])
        for cell in cells
    }

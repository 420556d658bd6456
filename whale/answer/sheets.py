"""Answers as tables: CSV for people with spreadsheets, and flat rows of time, series and value for charts of other tools. Pure.

    format=csv    a table has a row each; series have a row for each bucket, and a column each
    format=rows   [{"time", "series", "value"}, ...]

A path is always text here. A series is named by what tells it from the others: by its pk, its path, its formula, where a question may
answer several of these.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec

from whale.answer.series import Plot, Question
from whale.answer.shapes import TOTAL, times
from whale.dimension import path_text, pk_text
from whale.formula import Number
from whale.period import Range

FORMATS = {"csv": "text/csv; charset=utf-8; header=present", "rows": "application/json"}
"""And the type of their content."""
GUARDED = re.compile(r"^(?=[\t\r\n])|(^|[;\t\r\n])(?=[\s\"\0\ufeff]*[=+\-@＝＋－＠])")
"""Before what a spreadsheet may take for a formula: at the begin of a cell, or after what parts cells in another country's."""
Point = tuple[str, str, Any]
"""A time, a series and a value."""


class Sheet(NamedTuple):
    """columns, rows: of the CSV.  points: of the flat rows."""

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]
    points: Iterable[Point]

    def written(self, form: str) -> bytes:
        """form: of FORMATS."""
        if form == "rows":
            return msgspec.json.encode(
                [dict(zip(("time", "series", "value"), row, strict=True)) for row in self.points]
            )
        text = io.StringIO()
        csv.writer(text).writerows([_cell(cell) for cell in row] for row in [self.columns, *self.rows])
        return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """Numbers stay numbers; text that looks like a formula gets an apostrophe, since names are written by strangers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return GUARDED.sub(r"\1'", value) if isinstance(value, str) else value


# Series


class Plotted(NamedTuple):
    """A question and its series; and those of the period before, where it is compared with one (word)."""

    question: Question
    period: Range
    plots: Sequence[Plot]
    word: str = ""


def of_series(
    several: Sequence[Plotted], descending: bool = False, with_totals: bool = False, has_parent: bool = True
) -> Sheet:
    """Of questions about the same period. has_parent: with the asked paths, not only those below them."""
    first = several[0]
    labels = _iso(first.period, first.plots[0].starts)
    named = [each for one in several for each in _named(one, len(several) > 1, has_parent)]
    rows: list[Sequence[Any]] = [
        [labels[at] if at < len(labels) else "", *row]
        for at, row in enumerate(zip_longest(*(row for _, row, _ in named)))
    ]
    points = [(label, name, value) for name, values, _ in named for label, value in zip(labels, values, strict=False)]
    if descending:
        rows.reverse()
    if with_totals:
        rows.append([TOTAL, *(total for _, _, total in named)])
    return Sheet(["time", *(name for name, _, _ in named)], rows, points)


def _named(one: Plotted, is_of_several: bool, has_parent: bool) -> Iterator[tuple[str, list[Number], Number]]:
    """The series of one question, their values and their totals."""
    question = one.question
    pk = pk_text(question.pk) if is_of_several else ""
    for row, *before in zip(*(plot.series for plot in one.plots), strict=True):
        if not has_parent and row.path in question.paths:
            continue
        path = path_text(row.path) if len(question.paths) > 1 or question.depth else ""
        for formula, values in row.values.items():
            shown = formula if len(row.values) > 1 or not (pk or path) else ""
            name = ": ".join(filter(None, [pk, path, shown]))
            yield name, values, row.totals[formula]
            for each in before:
                yield f"{name} ({one.word})", each.values[formula], each.totals[formula]


def _iso(period: Range, starts: Sequence[int]) -> list[str]:
    return [time.isoformat() for time in times(period, starts)]


# Tables, of answers as JSON holds them

PAIR = ("now", "before", "change", "ratio")


def of_totals(answers: Mapping[str, Mapping[str, Any]], ranges: Mapping[str, Range], word: str) -> Sheet:
    """answers: totals by pk.  word: of the comparison, or empty."""
    columns: list[str] = ["pk", "period", "path"]
    rows: list[Sequence[Any]] = []
    points: list[Point] = []
    for pk, periods in answers.items():
        for period, said in periods.items():
            paths = said["paths"] if word else said
            (time,) = _iso(ranges[period], [ranges[period].start])
            for path, numbers in paths.items():
                values = [value for each in numbers.values() for value in (_pair(each) if word else [each])]
                rows.append([pk, period, path, *values])
                names = [name for each in numbers for name in ([each, f"{each} ({word})"] if word else [each])]
                shown = [value for each in numbers.values() for value in (_pair(each)[:2] if word else [each])]
                label = ": ".join([pk] * (len(answers) > 1) + [period] * (len(periods) > 1) + [path] * (len(paths) > 1))
                points += [
                    (time, ": ".join(filter(None, [label, name])), value)
                    for name, value in zip(names, shown, strict=True)
                ]
            if len(columns) == 3:
                some: Mapping[str, Any] = next(iter(paths.values()), {})
                columns += [f"{name} {part}" for name in some for part in PAIR] if word else [*some]
    return Sheet(columns, rows, points)


def of_rank(said: Mapping[str, Any], by: str, columns: Sequence[str], period: Range, word: str) -> Sheet:
    """said: rows, and `other`, `rest`, `ended` and `total`, by which it closes."""
    rows = [("row", row) for row in said["rows"]]
    rows += [(kind, said[kind]) for kind in ("other", "rest", "ended", "total") if said[kind]]
    parts = list(said["total"]["parts"])
    judged = ["difference", "effect", "important"]
    ends = ["low", "high"] if any("low" in row for row in said["rows"]) else []
    changed = [*PAIR[1:], "change low", "change high", "change z"] if word else []
    starts = [time // 1000 for time in said.get("times", ())]
    labels = _iso(period, starts)
    head = ["kind", "path", "value", "n", *(f"part {name}" for name in parts), *columns, *judged, *ends, *changed]
    body = (
        [
            kind,
            row.get("path", ""),
            row["value"],
            row["n"],
            *(row["parts"][name] for name in parts),
            *(row["columns"][name] for name in columns),
            *(row.get(name) for name in [*judged, *ends]),
            *(_change(row, by) if word else ()),
            *row.get("series", [None] * len(labels)),
        ]
        for kind, row in rows
    )
    return Sheet([*head, *labels], body, _points_of_rank(said, by, columns, period, labels, word))


def _change(row: Mapping[str, Any], by: str) -> list[Any]:
    sure = row.get("change") or {}
    return [*_pair(row.get("compared", {}).get(by, {}))[1:], *(sure.get(name) for name in ("low", "high", "z"))]


def _points_of_rank(
    said: Mapping[str, Any], by: str, columns: Sequence[str], period: Range, labels: Sequence[str], word: str
) -> Iterator[Point]:
    (begin,) = _iso(period, [period.start])
    for row in said["rows"]:
        if labels:
            yield from ((label, row["path"], value) for label, value in zip(labels, row["series"], strict=True))
            continue
        for name, value in {by: row["value"], **row["columns"]}.items():
            label = f"{row['path']}: {name}" if columns else row["path"]
            yield begin, label, value
            if word:
                yield begin, f"{label} ({word})", row["compared"][name]["before"]


FACTOR = ("kind", "now", "before", "part", "of_change", "low", "high", "excess", "z", "rate", "mix")


def of_factors(said: Mapping[str, Any]) -> Sheet:
    """A row for each value of each dimension; the values that explain it further follow it, as `because`."""
    rows: list[Sequence[Any]] = []
    points: list[Point] = []
    for dimension in said["dimensions"]:
        for row in dimension["rows"]:
            rows.append([dimension["dimension"], row["path"], *(row.get(name) for name in FACTOR)])
            rows += [
                [dimension["dimension"], each["path"], "because", *(each.get(name) for name in FACTOR[1:])]
                for each in row.get("because", ())
            ]
            is_value = row["kind"] == "value"
            name = row["path"] if is_value else f"{dimension['dimension']}: {row['kind']}"
            points.append((said["compared"]["now"]["start"], name, row["part"]))
    return Sheet(["dimension", "path", *FACTOR], rows, points)


SHIFT = ("path", "at", "until", "before", "now", "z", "ongoing")


def of_shifts(said: Mapping[str, Any]) -> Sheet:
    shifts = said["shifts"]
    costs = list(shifts[0]["cost"]) if shifts else []
    rows: list[Sequence[Any]] = []
    points: list[Point] = []
    for row in shifts:
        path, n = path_text(tuple(row["path"])), row["n"]
        told = (row[name] for name in SHIFT[1:])
        note = row["notes"][0]["text"] if row["notes"] else ""  # the nearest
        rows.append([path, *told, n["before"], n["now"], *(row["cost"][name] for name in costs), note])
        points += [(row["at"], f"{path}: {name}" if len(costs) > 1 else path, row["cost"][name]) for name in costs]
    return Sheet([*SHIFT, "n before", "n now", *(f"cost {name}" for name in costs), "note"], rows, points)


def of_notes(said: Sequence[Mapping[str, Any]]) -> Sheet:
    """A row for each note; as a flat row its text is the value, in a series for each pk."""
    pks = ["" if note["pk"] is None else pk_text(tuple(note["pk"])) for note in said]
    rows = [[note["at"], note["text"], pk, note["id"]] for note, pk in zip(said, pks, strict=True)]
    points = [(note["at"], pk, note["text"]) for note, pk in zip(said, pks, strict=True)]
    return Sheet(["at", "text", "pk", "id"], rows, points)


def json_cell(value: Any) -> str:
    """A value in a table: text as it is, other JSON as it is written."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def of_names(name: str, found: Sequence[Any]) -> Sheet:
    """Names in a column of this name; or what is known of each, as objects that are all alike."""
    rows = msgspec.to_builtins(found)
    if not rows or not isinstance(rows[0], dict):
        return Sheet([name], ([row] for row in rows), ())
    return Sheet(list(rows[0]), (list(row.values()) for row in rows), ())


STEP = ("event", "where", "visitors", "occurrences", "conversion", "dropped", "open", "median_s", "p90_s")


def of_funnel(said: Mapping[str, Any]) -> Sheet:
    """A row for each step, after it those of the other period, or of each value, which these name in the first column."""
    kinds = {"split": "value", "compared": "period"}
    more = [kind for kind in kinds if kind in said]
    of = [("", said["steps"])]
    of += [(json_cell(row["value"]), row["steps"]) for row in said.get("split", ())]
    if compared := said.get("compared"):
        of.append((compared["with"], compared["steps"]))
    has_where = any("where" in step for step in said["steps"])
    names = [name for name in STEP if has_where or name != "where"]
    rows = [
        [*([of_what] if more else []), *(_of_step(step, name) for name in names)]
        for of_what, steps in of
        for step in steps
    ]
    return Sheet([*([" or ".join(kinds[kind] for kind in more)] if more else []), *names], rows, ())


def _of_step(step: Mapping[str, Any], name: str) -> Any:
    return json_cell(step["where"]) if name == "where" and "where" in step else step.get(name)


def _pair(found: Mapping[str, Any]) -> list[Any]:
    return [found.get(name) for name in PAIR]

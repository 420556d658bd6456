"""Answers as pictures: series of a question, with their names and their time, for whale/plot.py to draw."""

from collections.abc import Collection
from dataclasses import dataclass

from whale import plot
from whale.answer.inquiry import Answer, Inquiry
from whale.answer.series import Plot, formulas_of
from whale.answer.shapes import times
from whale.dimension import Path, pk_text
from whale.errors import CallerError
from whale.period import DAY, Range, bucket_start, next_start
from whale.plot import FULL, LEAST, MOST, MOST_LINES, SMALL, THEMES, Line, Picture

SIZES = {"small": SMALL, "full": FULL}
WHOLE = "all"
MOST_TITLE = 200  # letters
LOOKS = ("limit", "size", "width", "height", "theme", "area", "title")
"""What may be asked of a picture, in the order of `look_of`."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture looks, checked. size: width, height.  title: empty for the names of what it shows."""

    is_full: bool
    size: tuple[int, int]
    theme: str
    area: bool
    title: str


def look_of(limit: int, size: str, width: int | None, height: int | None, theme: str, area: bool, title: str) -> Look:
    """size: of SIZES; width, height: instead of it.  limit: how many paths below it may show.  Raises CallerError."""
    words: dict[str, tuple[str, Collection[str]]] = {"size": (size, SIZES), "theme": (theme, THEMES)}
    for name, (word, expected) in words.items():
        if word not in expected:
            raise CallerError(f"expected {' or '.join(expected)}, got {ascii(word)[:60]}", name)
    numbers = {"limit": (limit, 1, MOST_LINES), "width": (width, LEAST, MOST), "height": (height, LEAST, MOST)}
    for name, (number, least, most) in numbers.items():
        if number is not None and not least <= number <= most:
            raise CallerError(f"expected {least} to {most}, got {ascii(number)[:60]}", name)
    wide, high = SIZES[size]
    return Look(size == "full", (width or wide, height or high), theme, area, title[:MOST_TITLE])


def pictured(inquiry: Inquiry, answer: Answer[list[Plot]], look: Look) -> str:
    """The SVG of an answer. Raises CallerError for more lines than can be told apart."""
    (drawn,), (period,) = answer.rows, inquiry.ranges.values()
    question = inquiry.question
    formulas = formulas_of(inquiry.store, question, question.metrics)
    lines = [Line(_name(row.path, text, drawn), values) for row in drawn.series for text, values in row.values.items()]
    if len(lines) > MOST_LINES:
        raise CallerError(
            f"expected at most {MOST_LINES} lines, got {len(drawn.series)} paths x {len(formulas)} metrics", "metrics"
        )
    picture = Picture(
        look.title or _title(pk_text(question.pk), drawn),
        lines,
        times(period, drawn.starts),
        is_open=(question.now or 0.0) < period.end,
        is_ratio=all(formula.quotient() for formula in formulas),
        area=look.area,
        size=look.size,
        theme=look.theme,
    )
    return plot.svg(picture, look.is_full)


def _title(pk: str, drawn: Plot) -> str:
    names = ", ".join(drawn.series[0].values)
    (path, *more) = [row.path for row in drawn.series]
    return f"{names} of {pk}" + (f" \u203a {_shown(path)}" if path and not more else "")


def _shown(path: Path) -> str:
    return " \u203a ".join(name or "" for name in path) if path else WHOLE


def _name(path: Path, formula: str, drawn: Plot) -> str:
    """Of one line: by what the lines differ in."""
    several = len(drawn.series[0].values) > 1
    if len(drawn.series) == 1:
        return formula
    return f"{_shown(path)}: {formula}" if several else _shown(path)


def fresh_s(period: Range, now: float) -> int:
    """For how many seconds a picture may be kept: until the bucket of now ends, at most a day."""
    start = bucket_start(period.interval, now, period.zone)
    end = next_start(period.interval, start, period.zone)
    return max(0, min(int(end - now), DAY))

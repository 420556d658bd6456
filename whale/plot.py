"""Series as a picture: one SVG text, for pages without scripts and for mails. Pure: the same series give the same bytes.

    small   a line, and a dot where it ends
    full    a title, ticks of both axes, one line for each series with its name

Names are data: every text is escaped, and there is no script, style or address in a picture.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from itertools import groupby

from whale.formatting import THIN, day, short
from whale.formula import Number

FONT = "Inter, system-ui, sans-serif"
SMALL, FULL = (240, 48), (720, 300)
LEAST, MOST = 16, 2000
"""Of a side, in pixels."""
MOST_LINES = 11
LETTER = 6.4
"""The width of a letter of 11 pixels, generously."""
DASHES = ("", "6 3", "2 3", "8 3 2 3", "4 4", "1 4")


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours. lines: the first is the accent; what follows the last one is `other`."""

    card: str
    rule: str
    ink: str
    soft: str
    lines: tuple[str, ...]
    other: str


THEMES = {
    "light": Theme(
        "#ffffff", "#e4e8ec", "#15212b", "#5b6873", ("#0b66c3", "#c2571a", "#6b4fb3", "#0b7a75", "#8a5a00"), "#7d8a96"
    ),
    "dark": Theme(
        "#161e26", "#28333d", "#e7edf2", "#9aa8b5", ("#62aef7", "#f0986a", "#b39ce8", "#4fc4bd", "#e3b341"), "#7c8a97"
    ),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One series. values: one a bucket, None where there is none."""

    name: str
    values: Sequence[Number | None]


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn. when: where the buckets begin, in the zone to show.  is_open: the last bucket is not over.

    is_ratio: the axis need not begin at 0.  size: width, height.
    """

    title: str
    lines: Sequence[Line]
    when: Sequence[datetime]
    is_open: bool = False
    is_ratio: bool = False
    area: bool = False
    size: tuple[int, int] = SMALL
    theme: str = "light"

    def described(self) -> str:
        """The picture in a sentence."""
        first, last = self.when[0], self.when[-1]
        span = f"From {day(first)} to {day(last)}." if len(self.when) > 1 else f"{day(first)}."
        ends = "; ".join(f"{line.name} ends at {short(line.values[-1])}" for line in self.lines)
        return f"{span} {ends}{', not over yet' if self.is_open else ''}."


def svg(picture: Picture, full: bool) -> str:
    """The picture. full: with axes and names."""
    theme = THEMES[picture.theme]
    body = _full(picture, theme) if full else _small(picture, theme)
    width, height = picture.size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-labelledby="t d" font-family="{FONT}" font-size="11">'
        f'<title id="t">{_text(picture.title)}</title><desc id="d">{_text(picture.described())}</desc>'
        f"{''.join(body)}</svg>\n"
    )


def _small(picture: Picture, theme: Theme) -> Iterator[str]:
    box = _Box(3, 3, picture.size[0] - 3, picture.size[1] - 3, _scale(picture, 2), len(picture.when))
    yield from _lines(picture, theme, box, 1.5)
    for number, line in enumerate(picture.lines[:1]):
        if (last := line.values[-1]) is not None:
            x, y = box.x(len(line.values) - 1), box.y(last)
            yield f'<circle cx="{x}" cy="{y}" r="2" fill="{_colour(theme, number)}"/>'


def _full(picture: Picture, theme: Theme) -> Iterator[str]:
    width, height = picture.size
    scale = _scale(picture, max(2, height // 60))
    ticks = [short(at) for at in scale]
    left, named = 12 + LETTER * max(map(len, ticks)), len(picture.lines) > 1
    rows = _legend(picture.lines, width - 24) if named else []
    bottom = height - 26 - 17 * len(rows)
    box = _Box(left + 4, 36, width - 14, max(bottom, 40), scale, len(picture.when))
    yield f'<rect width="{width}" height="{height}" rx="8" fill="{theme.card}"/>'
    yield f'<text x="12" y="21" font-size="14" font-weight="600" fill="{theme.ink}">{_text(_cut(picture.title, width - 24))}</text>'
    for at, text in zip(scale, ticks, strict=True):
        y = box.y(at)
        yield f'<path d="M{_n(box.left)} {y}H{_n(box.right)}" stroke="{theme.rule}"/>'
        yield f'<text x="{_n(left)}" y="{_n(float(y) + 4)}" text-anchor="end" fill="{theme.soft}">{_text(text)}</text>'
    yield from _days(picture, theme, box)
    yield from _lines(picture, theme, box, 2)
    for row, names in enumerate(rows):
        for x, number, name in names:
            foot = height - 17 * (len(rows) - row) + 6
            stroke = _stroke(theme, number, 2)
            yield f'<path d="M{_n(x)} {foot - 4}h16" {stroke}/><text x="{_n(x + 21)}" y="{foot}" fill="{theme.ink}">{_text(name)}</text>'


def _days(picture: Picture, theme: Theme, box: "_Box") -> Iterator[str]:
    last = len(picture.when) - 1
    places = dict.fromkeys((0, last // 2, last)) if box.right - box.left > 260 else dict.fromkeys((0, last))
    for place in places:
        anchor = "middle" if 0 < place < last else "end" if place and place == last else "start"
        when = day(picture.when[place], picture.when[-1])
        yield f'<text x="{box.x(place)}" y="{_n(box.bottom + 16)}" text-anchor="{anchor}" fill="{theme.soft}">{_text(when)}</text>'


@dataclass(frozen=True, slots=True)
class _Box:
    """Where lines are drawn, in pixels. scale: the ticks, of which the first and the last are its edges."""

    left: float
    top: float
    right: float
    bottom: float
    scale: Sequence[float]
    points: int

    def x(self, place: int) -> str:
        return _n(self.left + (self.right - self.left) * (place / (self.points - 1) if self.points > 1 else 1))

    def y(self, value: float) -> str:
        low, high = self.scale[0], self.scale[-1]
        return _n(self.bottom - (self.bottom - self.top) * (value - low) / (high - low))


def _lines(picture: Picture, theme: Theme, box: _Box, width: float) -> Iterator[str]:
    """The first line on top."""
    for number, line in reversed([*enumerate(picture.lines)]):
        stroke = _stroke(theme, number, width)
        for points in _pieces(line.values):
            if len(points) == 1:  # with nothing on either side
                ((at, value),) = points
                yield f'<circle cx="{box.x(at)}" cy="{box.y(value)}" r="{width}" fill="{_colour(theme, number)}"/>'
                continue
            if picture.area:
                path = " ".join(f"L{box.x(at)} {box.y(value)}" for at, value in points)
                foot = box.y(max(box.scale[0], min(0, box.scale[-1])))
                first, last = box.x(points[0][0]), box.x(points[-1][0])
                yield f'<path d="M{first} {foot}{path}L{last} {foot}Z" fill="{_colour(theme, number)}" fill-opacity="0.12"/>'
            is_last = picture.is_open and points[-1][0] == len(line.values) - 1
            over = points[:-1] if is_last else points
            yield f'<path d="M{"L".join(f"{box.x(at)} {box.y(value)}" for at, value in over)}" {stroke}/>'
            if is_last:
                ends = "L".join(f"{box.x(at)} {box.y(value)}" for at, value in points[-2:])
                yield f'<path d="M{ends}" fill="none" stroke="{_colour(theme, number)}" stroke-width="{width}" stroke-dasharray="2 3"/>'


def _pieces(values: Sequence[Number | None]) -> Iterator[list[tuple[int, float]]]:
    """(place, value) of what stands together."""
    for is_there, some in groupby(enumerate(values), lambda each: each[1] is not None):
        if is_there:
            yield [(at, value) for at, value in some if value is not None]


def _scale(picture: Picture, steps: int) -> list[float]:
    """Round ticks, at most so many steps and one more: they hold all values, and 0 but for a ratio."""
    values = [value for line in picture.lines for value in line.values if value is not None]
    if not picture.is_ratio or picture.area or not values:
        values.append(0)
    low, high = min(values), max(values)
    if low == high:
        low, high = min(low, 0), max(high, 0)
    if low == high:
        high = 1
    rough = (high - low) / steps
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, max(last, first + 1) + 1)]


def _legend(lines: Sequence[Line], width: float) -> list[list[tuple[float, int, str]]]:
    """Rows of (x, number of the line, its name)."""
    rows: list[list[tuple[float, int, str]]] = [[]]
    x = 12.0
    for number, line in enumerate(lines):
        name = _cut(line.name, min(width - 21, 200))
        needed = 21 + LETTER * len(name) + 14
        if rows[-1] and x + needed > width + 12:
            rows.append([])
            x = 12.0
        rows[-1].append((x, number, name))
        x += needed
    return rows


def _cut(text: str, width: float) -> str:
    most = max(1, int(width / LETTER))
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def _colour(theme: Theme, number: int) -> str:
    return theme.lines[number] if number < len(theme.lines) else theme.other


def _stroke(theme: Theme, number: int, width: float) -> str:
    dash = DASHES[number % len(DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'fill="none" stroke="{_colour(theme, number)}" stroke-width="{width}" stroke-linejoin="round"{dashed}'


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _text(text: str) -> str:
    """As XML holds it, which has no control characters."""
    return escape("".join(letter if letter.isprintable() or letter == THIN else " " for letter in text))

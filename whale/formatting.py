"""Numbers and days as people read them: in pictures, tables and sentences. Always in English."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from html import escape

from whale.formula import Number

FULL_BELOW = 10_000
SCALES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
MINUS, THIN = "\u2212", "\u202f"
MOST_PCT = 101.0
NOTHING = "\u2013"
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def short(number: Number | None) -> str:
    """Three digits: `0.0123`, `4.03`, `3 742` in full, then `87.2 k`, `1.24 M`."""
    if number is None:
        return NOTHING
    size = abs(number)
    sign = MINUS if number < 0 else ""
    if size < FULL_BELOW:
        if size >= 100 or size == int(size):
            return sign + grouped(round(size)).replace(",", THIN)
        return sign + _digits(size)
    if size >= 1e15:
        return f"{sign}{size:.2e}"
    scale, letter = next(each for each in SCALES if size >= each[0])
    return f"{sign}{_digits(size / scale)}{THIN}{letter}"


def _digits(size: float) -> str:
    """Three significant digits, without an exponent."""
    if size >= 100:
        return f"{size:.0f}"
    if size >= 10:
        return f"{size:.1f}"
    if size >= 1:
        return f"{size:.2f}"
    return f"{size:.3g}" if size >= 1e-4 or not size else f"{size:.1e}"


def grouped(number: float) -> str:
    """`1,234.5`; at most two decimals."""
    return f"{number:,.2f}".rstrip("0").rstrip(".") if number != int(number) else f"{int(number):,}"


def _pct(number: float) -> str:
    return f"{min(number * 100, MOST_PCT):.0f}%"


def _money(number: float) -> str:
    return f"{'-' if number < 0 else ''}${abs(number):,.2f}"


FORMATS: dict[str, Callable[[Number], str]] = {
    "int": lambda number: str(round(number)),
    "float": lambda number: f"{number:.2f}",
    "grouped": grouped,
    "pct": _pct,
    "cash": _money,
    "cents": lambda number: _money(number / 100),
}
"""How tables write numbers, by the names of the first HailWhale. `pct` stops at 101 %; `cents` are hundredths of a dollar."""


def table(
    named: Mapping[str, str],
    points: Sequence[tuple[datetime, Number | None]],
    write: Callable[[Number], str],
    hidden: bool,
) -> str:
    """An HTML table of a series: a row a bucket, with the numbers as they are beside those that are shown. named: its `data-hw-…`."""
    about = "".join(f' data-hw-{name}="{escape(text)}"' for name, text in named.items() if text)
    rows = "\n".join(
        f'<tr><th scope="row" data-hw-at="{int(when.timestamp() * 1000)}">{day(when)}</th>'
        f'<td data-hw-value="{"" if value is None else value}">{NOTHING if value is None else escape(write(value))}</td></tr>'
        for when, value in points
    )
    caption = escape(f"{named['metric']} of {named['name']}")
    head = f'<thead><tr><th scope="col">time</th><th scope="col">{escape(named["metric"])}</th></tr></thead>'
    return f"<table{about}{' hidden' if hidden else ''}>\n<caption>{caption}</caption>\n{head}\n<tbody>\n{rows}\n</tbody>\n</table>\n"


def day(when: datetime, now: datetime | None = None) -> str:
    """`19 Nov 2026`, with its time where it is not midnight; without the year where that is the year of `now`."""
    year = "" if now and when.year == now.year else f" {when.year}"
    time = f" {when:%H:%M}" if (when.hour, when.minute) != (0, 0) else ""
    return f"{when.day} {MONTHS[when.month - 1]}{year}{time}"

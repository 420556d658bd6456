"""A law of buckets that were set: totals take those that lie in a range as a whole, tables close, and what was set is named."""

import itertools
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.settings import DAY, HOUR, MONTH, load
from tests.contract.conftest import open_store
from tests.laws import law
from whale.answer.explain import iso
from whale.client import Whale
from whale.dimension import Path, path_text
from whale.period import Interval, Span, bucket_start, next_start

NOW = datetime(2015, 6, 17, 14, 35, tzinfo=UTC).timestamp()
FIRST = int(datetime(2015, 4, 25, tzinfo=UTC).timestamp())
HOURS = 24 * 45
KEPT: dict[str, Interval] = {"1h": HOUR, "1d": DAY, "1mo": MONTH}
ACCOUNTS = itertools.count()
PATHS: tuple[Path, ...] = ((), ("c",), ("c", "US"), ("c", "DE"), ("c", "US", "LA"), ("d", "x"))
paths, hours = st.sampled_from(PATHS), st.integers(0, HOURS - 1)
times = st.integers(24 * 6, 24 * 9) | hours  # often around the end of a month
begins = st.sampled_from([24 * day for day in range(5, 9)]) | hours
lengths = st.sampled_from([24, 48, 24 * 31]) | st.integers(1, HOURS)
steps = st.lists(
    st.tuples(st.just("count"), paths, times, st.integers(-5, 5))
    | st.tuples(st.sampled_from(["1h", "1d", "1d", "1mo"]), paths, times, st.integers(0, 9))
    | st.tuples(st.just("reset"), paths.filter(bool), times, st.just(0)),
    min_size=2,
    max_size=16,
)
Cell = tuple[Path, str, int]


class Counted:
    """A pk with one metric, computed plainly.

    cells: sums.  set: the cells wider than an hour whose sum was changed by setting it, and that were not reset since.
    wide: their buckets; for any path they answer as a whole, also after a reset.
    """

    def __init__(self) -> None:
        self.cells = Counter[Cell]()
        self.set: set[Cell] = set()
        self.wide: set[tuple[str, int]] = set()

    def add(self, path: Path, at: int, amount: int, intervals: list[str]) -> None:
        for above, name in itertools.product(range(len(path) + 1), intervals):
            self.cells[path[:above], name, start_of(name, at)] += amount

    def set_to(self, path: Path, at: int, value: int, interval: str) -> None:
        cell = path, interval, start_of(interval, at)
        missing = value - self.cells[cell]
        self.add(path, at, missing, list(KEPT)[list(KEPT).index(interval) :])
        if missing and interval != "1h":
            self.set.add(cell)
            self.wide.add(cell[1:])

    def reset(self, path: Path) -> None:
        self.cells = Counter({cell: amount for cell, amount in self.cells.items() if not is_at(path, cell)})
        self.set = {cell for cell in self.set if not is_at(path, cell)}

    def total(self, path: Path, start: int, end: int) -> int:
        """The widest set buckets that lie in a range as a whole, and the hours of the rest."""
        total, at = 0, start
        while at < end:
            whole = (name for name in ("1mo", "1d") if (name, at) in self.wide and end_of(name, at) <= end)
            name = next(whole, "1h")
            total += self.cells[path, name, at]
            at = end_of(name, at)
        return total

    def hours(self, path: Path, start: int, end: int) -> int:
        return sum(self.cells[path, "1h", at] for at in range(start, end, HOUR))

    def told(self, path: Path, start: int, end: int) -> set[tuple[str, str, str, int]]:
        """What was set of a path and below it, in buckets that touch a range."""
        return {
            (path_text(cell[0]), cell[1], iso(cell[2]), self.cells[cell])
            for cell in self.set
            if is_at(path, cell) and cell[2] < end and end_of(*cell[1:]) > start
        }


def is_at(path: Path, cell: Cell) -> bool:
    """Whether a cell is of a path or of one below it."""
    return cell[0][: len(path)] == path


def start_of(name: str, at: int) -> int:
    return bucket_start(KEPT[name], at, "UTC")


def end_of(name: str, start: int) -> int:
    return next_start(KEPT[name], start, "UTC")


@pytest.mark.parametrize("url", ["memory", "redis_server"])
@given(steps, paths, begins, lengths)
@law(50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_totals_close_over_what_was_set_and_name_it(
    request: pytest.FixtureRequest,
    unique: str,
    url: str,
    some: list[tuple[str, Path, int, int]],
    path: Path,
    begin: int,
    length: int,
) -> None:
    environ = {"HAILWHALE_PERIODS": "((3600, None), (86400, None), ('1mo', None))"}
    settings = load(environ if url == "memory" else environ | {"HAILWHALE_REDIS_URL": request.getfixturevalue(url).url})
    whale = Whale(open_store(settings), settings, f"{unique}-{next(ACCOUNTS)}", clock=lambda: NOW)
    counted, names = Counted(), {path_text(each): each for each in (*PATHS, ("d",))}
    whale.count_now("t", at=FIRST)
    for kind, where, hour, number in some:
        at, named = FIRST + hour * HOUR + 60, [list(where)] if where else None
        if kind == "count":
            whale.count_now("t", named, {"m": number}, at=at)
            counted.add(where, at, number, list(KEPT))
        elif kind == "reset":
            whale.reset("t", named)
            counted.reset(where)
        else:
            whale.update_count_to("t", list(where) or None, {"m": number}, kind, at)
            counted.set_to(where, at, number, kind)
    start, end = FIRST + begin * HOUR, FIRST + min(begin + length, HOURS) * HOUR
    period, asked = Span(start, end, "1h"), [list(path)] if path else None
    expected = counted.total(path, start, end)

    (found,) = whale.totals("t", asked, "m", period).values()
    assert found == {path_text(path): {"m": expected}}
    (points,) = (row["m"] for row in whale.plotpoints("t", asked, "m", period=period, with_totals=True).values())
    assert points.pop("Total") == expected
    assert sum(points.values()) == counted.hours(path, start, end)
    assert found.adjusted or sum(points.values()) == expected
    named_rows = {(row["path"], row["interval"], row["start"], row["to"]) for row in found.adjustments if "path" in row}
    assert named_rows == counted.told(path, start, end)

    ranked: dict[str, Any] = whale.rank("t", "m", asked, period, limit=1)
    rows = [*ranked["rows"], *(ranked[name] for name in ("other", "rest", "ended") if ranked[name])]
    assert sum(row["value"] for row in rows) == ranked["total"]["value"] == expected
    assert [row["value"] for row in ranked["rows"]] == [
        counted.total(names[row["path"]], start, end) for row in ranked["rows"]
    ]
    change = whale.factors("t", "m", period, against=Span(start - DAY, start, "1h"))
    assert change["now"] == counted.total((), start, end)
    for dimension in change["dimensions"]:
        assert sum(row["part"] for row in dimension["rows"]) == pytest.approx(change["change"])

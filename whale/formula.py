"""Formulas over metrics: `revenue`, `(revenue-cost)/hits`, `v:sum`, `ma7(v)`, `v/days`. Parsed once, nothing evaluated.

    formula  = term {("+" | "-") term}          term  = factor {("*" | "/") factor}
    factor   = "-" factor | "(" formula ")" | "ma" digits "(" formula ")" | "p" number "(" name ")" | number
             | name [":" level]
    level    = sum, add, cumulative, + (running total) | last, set, level, _ (last value that is not 0) | count (plain)
    name     = `any text`, "any text", or text without + - * / ( ) : ` "

A total is the formula of the sums, never a mean of ratios: revenue/hits of a month is its revenue over its hits. So a
moving average of a ratio is a ratio of moving averages; and the total of a running total, of a level or of a moving
average is its value at the last bucket. Over zero: 0, or null where that is asked for.

Names may hold anything. A name that was counted is read wherever it stands, so with a metric `a/b` the formula `a/b` is
that metric, and the ratio is written `a / b`; a constant (`days`) gives way to a metric of its name in the same way.

A metric that is no sum (whale/metric.py) merges as its kind does: visitors of a month are the union of its days. It has no
level. Of a quantile metric the name alone is how many values there were, and `p95(name)` the one that 95 % do not exceed.

Constants are per bucket, in a total of the whole range: seconds minutes hours days weeks months years; _count, the
number of buckets; _days_in_month, of the month in which the bucket (the last one) begins.

Amounts are integers (`hits` plain, others in millionths); sums and differences stay exact, quotients are floats.
"""

import math
import re
from calendar import isleap, monthrange
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hail.hit import MILLION, is_text, of_millionths
from hail.room import COST, Bounded
from hail.settings import DISTINCT, QUANTILE, SUM
from whale.errors import FormulaError
from whale.period import CALENDAR_DAYS, DAY, MONTHS, YEAR, Range, tz

LONGEST = 1000
DEEPEST = 50
REMEMBERED = 300  # characters of a formula whose parse is kept
REMEMBERED_BYTES = 8_000_000  # of all that are kept
MAX_WINDOW = 1000
MOST_FORMULAS = 1000  # of one question
LEVELS = {
    **dict.fromkeys(("sum", "add", "cumulative", "+"), "sum"),
    **dict.fromkeys(("last", "set", "level", "_"), "last"),
    "count": "",
}
UNITS = ("seconds", "minutes", "hours", "days", "weeks", "months", "years")
CONSTANTS = frozenset((*UNITS, "_count", "_days_in_month"))
_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?=[\s+\-*/():]|$)", re.ASCII)
_NAME = re.compile(r"[^+\-*/():`\"]+")
_WINDOW = re.compile(r"ma([0-9]{1,9})", re.ASCII)
_PERCENT = re.compile(r"p([0-9]{1,9}(?:\.[0-9]{1,9})?)", re.ASCII)
_OPERATORS = {"+": 1, "-": 1, "*": 2, "/": 2}

Number = int | float
Cells = NDArray[Any]  # int64 or Python integers, the last axis is buckets
Floats = NDArray[np.float64]
Step = tuple[str, Any]
"""One step of a formula in reverse Polish order: (number, x), (metric, (name, level)), (constant, name), (op, +-*/),
(negate, None), (average, (buckets, steps)), (quantile, (metric, share))."""


class Others(Protocol):
    """Metrics that are no sums: numbers by path and bucket, or by path. Not a number: unknown."""

    @property
    def kinds(self) -> Mapping[str, str]: ...

    def numbers(self, metric: str, total: bool) -> Floats: ...

    def quantile(self, metric: str, share: float, total: bool) -> Floats: ...


@dataclass(frozen=True)
class Frame:
    """What formulas are evaluated on. cells: metric -> amounts of shape (paths, buckets).  at, starts: the buckets.

    null: over zero is null, not 0.  others: metrics that are no sums, which have no cells.
    more: metric -> amounts by path that totals have beside those of the buckets, where a wider bucket was set.
    """

    cells: Mapping[str, Cells]
    paths: int
    at: Range
    starts: Sequence[int]
    null: bool = False
    others: Others | None = None
    more: Mapping[str, Cells] = field(default_factory=dict)
    _constants: dict[tuple[str, bool], Any] = field(default_factory=dict)

    def constant(self, name: str, total: bool) -> Any:
        """A value a bucket, or one for the range."""
        key = name, total
        if key not in self._constants:
            found = _constant(name, self.at, self.starts)
            self._constants[key] = (found[-1] if name.startswith("_") else found.sum()) if total else found
        return self._constants[key]


@dataclass(frozen=True, slots=True)
class Formula:
    """A parsed formula. text: as it was asked, the key of its answer.  metrics: what must be read for it."""

    text: str
    metrics: tuple[str, ...]
    steps: tuple[Step, ...]

    def series(self, frame: Frame) -> list[list[Any]]:
        """For each path the numbers a bucket: whole ones as int, None where they are undefined."""
        return self._listed(_series(self.steps, frame), (frame.paths, len(frame.starts)))

    def totals(self, frame: Frame) -> list[Any]:
        """For each path the number of the whole range."""
        return self._listed(_total(self.steps, frame), (frame.paths,))

    def numbers(self, frame: Frame) -> Floats:
        """For each path the number of the whole range, as a float; not a number where it is undefined."""
        return np.array(np.broadcast_to(_floats(_total(self.steps, frame)), (frame.paths,)))

    def by_bucket(self, frame: Frame) -> Floats:
        """By path and bucket, as floats."""
        return np.array(np.broadcast_to(_floats(_series(self.steps, frame)), (frame.paths, len(frame.starts))))

    @property
    def is_of_totals(self) -> bool:
        """Whether its total needs no more than the totals of its metrics."""
        return not any(step == "average" or (step == "metric" and what[1]) for step, what in self.steps)

    def quotient(self) -> "tuple[Formula, Formula] | None":
        """What it divides and by what, where it is a ratio of metrics, perhaps times a constant."""
        found = _quotient(self.steps)
        if found is None:
            return None
        above, below = (Formula(self.text, _metrics_of(steps), tuple(steps)) for steps in found)
        return above, below

    def is_sum(self, kinds: Mapping[str, str]) -> bool:
        """Whether it adds up metrics, perhaps times constants, so that it grows with what is counted."""
        return _degree(self.steps, kinds) == 1

    def check_divisors(self, field: str) -> None:
        """Raises FormulaError where it divides by a constant that is 0."""
        if _degree(self.steps, {}) is None:
            raise FormulaError(f"{self.text[:60]!a} divides by 0", field)

    def _listed(self, value: "_Value", shape: tuple[int, ...]) -> list[Any]:
        try:
            return _listed(value, shape)
        except OverflowError:
            raise FormulaError(f"the result of {self.text[:60]!a} is too large for a number") from None


def parse_formula(text: str, known: Collection[str] = ()) -> Formula:
    """known: names of metrics that were counted.  Raises FormulaError that points at the character."""
    if not text:
        raise FormulaError("expected a metric, or a formula such as revenue/visitors, got empty text")
    if text in known:
        return Formula(text, (text,), (("metric", (text, "")),))
    if len(text) > LONGEST:
        raise FormulaError(f"expected at most {LONGEST} characters, got {len(text)}")
    special = tuple(name for name in known if name in CONSTANTS or not _NAME.fullmatch(name))
    return _parse(text, special) if len(text) <= REMEMBERED else _Parser(text, special).formula()


def check_kinds(steps: Sequence[Step], known: Collection[str], kinds: Mapping[str, str], field: str) -> None:
    """Refuses what a kind of metric cannot do. known: names that were counted.  kinds: of those that are no sums."""
    for step, what in steps:
        if step == "average":
            check_kinds(what[1], known, kinds, field)
        elif step == "metric" and what[1] and what[0] in kinds:
            raise FormulaError(f"{what[0][:60]} is of kind {kinds[what[0]]}: :{what[1]} is for sums", field)
        elif step == "quantile" and what[0] in known and kinds.get(what[0]) != QUANTILE:
            kind = kinds.get(what[0], SUM)
            raise FormulaError(
                f"p{what[1] * 100:g}({what[0][:60]}): expected a quantile metric, got one of kind {kind}", field
            )


def metrics_asked(value: Any, field: str = "metrics") -> list[str]:
    """The formulas that a question names: of decoded JSON or a plain text.

    Nothing means hits; a name or a list of names, of which a null is left out; an object means its keys, and `{"a": "b"}` means `a/b`.
    """
    if isinstance(value, list | tuple):
        value = [name for name in value if name is not None]
    if value is None or value in ("", [], {}):
        return ["hits"]
    for name in value if isinstance(value, Mapping | list) else [value]:
        if not isinstance(name, str) or not is_text(name):
            raise FormulaError(f"expected names, got {ascii(name)[:60]}", field)
    if isinstance(value, Mapping):
        found = [ratio_text(name, by) if isinstance(by, str) and by else name for name, by in value.items()]
    else:
        found = value if isinstance(value, list) else [value]
    if len(found) > MOST_FORMULAS:
        raise FormulaError(f"expected at most {MOST_FORMULAS}, got {len(found)}", field)
    return list(dict.fromkeys(found))


def ratio_text(above: Any, below: str) -> str:
    """The formula of one metric over another. Names that hold operators are quoted."""
    return "/".join(
        f"`{name}`" if re.search(r"[+\-*/()]", name) and "`" not in name else name for name in (above, below)
    )


# Parsing


def number_of(metric: str, amount: int) -> Number:
    """An amount as it is stored, as a number."""
    return amount if metric == "hits" else of_millionths(amount)


def _bytes_of(asked: tuple[str, tuple[str, ...]], formula: Formula) -> int:
    """special: names that a dictionary may have forgotten since."""
    text, special = asked
    return 2 * COST + COST * len(formula.steps) + 4 * len(text) + sum(COST // 2 + 4 * len(name) for name in special)


_parsed: Bounded[tuple[str, tuple[str, ...]], Formula] = Bounded("formulas", REMEMBERED_BYTES, _bytes_of)


def _parse(text: str, special: tuple[str, ...]) -> Formula:
    found = _parsed.get((text, special))
    if found is None:
        found = _Parser(text, special).formula()
        _parsed.keep((text, special), found)
    return found


class _Parser:
    """One pass with a stack of operators; no recursion but for moving averages."""

    def __init__(self, text: str, special: tuple[str, ...]):
        self.text, self.at = text, 0
        self.special = sorted(special, key=len, reverse=True)
        self.metrics: dict[str, None] = {}
        self.averaging = False

    def formula(self) -> Formula:
        steps = self._steps()
        if self.at < len(self.text):
            raise self._error("expected an operator + - * / or the end")
        return Formula(self.text, tuple(self.metrics), tuple(steps))

    def _steps(self) -> list[Step]:
        """Up to the end, or to a `)` that belongs to a caller."""
        steps: list[Step] = []
        waiting: list[str] = []  # operators, "(" and "negate"
        opened = 0
        while True:
            # an operand
            while True:
                self._skip()
                if self._take("-"):
                    waiting.append("negate")
                elif self._take("("):
                    waiting.append("(")
                    opened += 1
                else:
                    break
                if len(waiting) > DEEPEST:
                    raise self._error(f"expected at most {DEEPEST} levels of nesting")
            steps.append(self._operand())
            # what follows it
            while True:
                self._skip()
                if opened and self._take(")"):
                    while waiting[-1] != "(":
                        steps.append(_step(waiting.pop()))
                    waiting.pop()
                    opened -= 1
                    continue
                break
            letter = self.text[self.at : self.at + 1]
            if letter not in _OPERATORS or not letter:
                if opened:
                    raise self._error("expected an operator + - * / or )")
                steps.extend(_step(name) for name in reversed(waiting))
                return steps
            while waiting and waiting[-1] != "(" and _binds(waiting[-1]) >= _OPERATORS[letter]:
                steps.append(_step(waiting.pop()))
            waiting.append(letter)
            self.at += 1

    def _operand(self) -> Step:
        begun = self.at
        if not self.text[begun:]:
            raise self._error("expected a metric, a number or (")
        for name in self.special:  # counted names that hold operators, and those that hide a constant
            if self.text.startswith(name, begun) and self._ends(begun + len(name), name):
                self.at += len(name)
                return self._metric(name)
        if self.text[begun] in '`"':
            end = self.text.find(self.text[begun], begun + 1)
            if end < 0:
                raise self._error(f"expected a closing {self.text[begun]}")
            if end == begun + 1:
                raise self._error("expected a name between the quotes")
            self.at = end + 1
            return self._metric(self.text[begun + 1 : end])
        if number := _NUMBER.match(self.text, begun):
            self.at = number.end()
            value = float(number[0])
            if not math.isfinite(value):
                self.at = begun
                raise self._error("expected a number of at most 1e308")
            return "number", int(number[0]) if number[0].isdigit() and len(number[0]) < 10 else value
        found = _NAME.match(self.text, begun)
        if not found:
            raise self._error("expected a metric, a number or (")
        name = found[0].rstrip()
        self.at = begun + len(name)
        if (window := _WINDOW.fullmatch(name)) and self.text[self.at :].lstrip().startswith("("):
            return self._average(int(window[1]), begun)
        if (percent := _PERCENT.fullmatch(name)) and self.text[self.at :].lstrip().startswith("("):
            return self._quantile(float(percent[1]), begun)
        if name in CONSTANTS and self.text[self.at : self.at + 1] != ":":
            return "constant", name
        return self._metric(name)

    def _average(self, buckets: int, begun: int) -> Step:
        if self.averaging or not 1 <= buckets <= MAX_WINDOW:
            self.at = begun
            inside = "no moving average inside another" if self.averaging else f"1 to {MAX_WINDOW} buckets"
            raise self._error(f"expected {inside}")
        self.averaging = True
        self._skip()
        self.at += 1
        steps = self._steps()
        if not self._take(")"):
            raise self._error("expected )")
        self.averaging = False
        return "average", (buckets, tuple(steps))

    def _quantile(self, percent: float, begun: int) -> Step:
        if percent > 100:
            self.at = begun
            raise self._error("expected p0 to p100")
        self._skip()
        self.at += 1
        self._skip()
        inside = self.at
        kind, what = self._operand()
        if kind != "metric" or what[1]:
            self.at = inside
            raise self._error("expected the name of a quantile metric")
        self._skip()
        if not self._take(")"):
            raise self._error("expected )")
        return "quantile", (what[0], percent / 100)

    def _metric(self, name: str) -> Step:
        level = ""
        if self._take(":"):
            begun = self.at
            word = re.compile(r"[A-Za-z_]+|\+").match(self.text, begun)
            if not word or word[0] not in LEVELS:
                raise self._error("expected :sum, :last or :count (a name with a colon is written in backquotes)")
            self.at, level = word.end(), LEVELS[word[0]]
        self.metrics[name] = None
        return "metric", (name, level)

    def _ends(self, at: int, name: str) -> bool:
        """Whether a known name may end here: not inside a longer name."""
        return at == len(self.text) or not _NAME.match(self.text[at]) or self.text[at].isspace()

    def _skip(self) -> None:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1

    def _take(self, letter: str) -> bool:
        if self.text.startswith(letter, self.at):
            self.at += 1
            return True
        return False

    def _error(self, expected: str) -> FormulaError:
        came = self.text[self.at : self.at + 1]
        if came == "(":
            expected += " (the functions are ma and p, such as ma7(...) and p50(...))"
        first = max(0, self.at - 30)
        shown = "".join(letter if letter.isprintable() else "?" for letter in self.text[first : self.at + 30])
        said = f"{expected} at character {self.at + 1}, got {came!a}" if came else f"{expected} at the end"
        return FormulaError(f"{said}\n  {shown}\n  {' ' * (self.at - first)}^")


def _binds(waiting: str) -> int:
    return 3 if waiting == "negate" else _OPERATORS[waiting]


def _step(name: str) -> Step:
    return ("negate", None) if name == "negate" else ("op", name)


# What a formula is made of


def _metrics_of(steps: Sequence[Step]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for kind, what in steps:
        if kind == "average":
            found.update(dict.fromkeys(_metrics_of(what[1])))
        elif kind in ("metric", "quantile"):
            found[what[0]] = None
    return tuple(found)


def _operands(steps: Sequence[Step]) -> tuple[Sequence[Step], Sequence[Step]]:
    """What the last operator stands between."""
    begins: list[int] = []
    for i, (kind, _) in enumerate(steps[:-1]):
        if kind == "op":
            begins.pop()
        elif kind != "negate":
            begins.append(i)
    return steps[: begins[-1]], steps[begins[-1] : -1]


def _quotient(steps: Sequence[Step]) -> tuple[list[Step], list[Step]] | None:
    kind, what = steps[-1]
    if kind == "negate":
        inner = _quotient(steps[:-1])
        return inner and ([*inner[0], steps[-1]], inner[1])
    if kind != "op" or what not in "*/":
        return None
    left, right = _operands(steps)
    if what == "/" and _metrics_of(right):
        return list(left), list(right)
    if not _metrics_of(right):  # (a / b) * 100
        inner = _quotient(left)
        return inner and ([*inner[0], *right, steps[-1]], inner[1])
    if not _metrics_of(left):  # 100 * (a / b)
        inner = _quotient(right)
        return inner and ([*left, *inner[0], steps[-1]], inner[1])
    return None


def _degree(steps: Sequence[Step], kinds: Mapping[str, str]) -> int | None:
    """0: a constant; 1: a sum of metrics times constants; 2: anything else; None: something is divided by a constant 0."""
    stack: list[tuple[int, float]] = []  # degree, and the value of a constant; not a number: unknown
    for kind, what in steps:
        if kind == "number":
            stack.append((0, float(what)))
        elif kind == "constant":
            stack.append((0, math.nan))
        elif kind == "negate":
            degree, value = stack.pop()
            stack.append((degree, -value))
        elif kind == "op":
            (right, divisor), (left, value) = stack.pop(), stack.pop()
            if what == "/" and right == 0 and divisor == 0:
                return None
            stack.append(_degree_of(what, left, right, value, divisor))
        elif kind == "average":
            if _degree(what[1], kinds) is None:
                return None
            stack.append((2, math.nan))
        else:
            grows = kind == "metric" and what[1] in ("", "sum") and kinds.get(what[0], SUM) in (SUM, DISTINCT, QUANTILE)
            stack.append((1 if grows else 2, math.nan))
    return stack[0][0]


def _degree_of(operator: str, left: int, right: int, value: float, divisor: float) -> tuple[int, float]:
    if left == right == 0:
        both = np.float64(value), np.float64(divisor)
        with np.errstate(all="ignore"):
            found = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}[operator](*both)
        return 0, float(found)
    if operator in "+-":
        return (1 if left == right == 1 else 2), math.nan
    if operator == "*":
        return (1 if left + right == 1 else 2), math.nan
    return (1 if (left, right) == (1, 0) else 2), math.nan


# Evaluating


@dataclass(frozen=True, slots=True)
class _Exact:
    """Integers (an array, or one) in units of 1/unit."""

    value: Any
    unit: int

    def times(self, factor: int) -> Any:
        """The integers, multiplied, with room to add another such."""
        if factor == 1 and isinstance(self.value, int):
            return self.value
        return roomy(self.value, 2 * factor) * factor

    @property
    def floats(self) -> Any:
        return np.asarray(self.value, np.float64) / self.unit


_Value = _Exact | Any  # floats otherwise


def _series(steps: Sequence[Step], frame: Frame, window: int = 1) -> _Value:
    stack: list[_Value] = []
    for kind, what in steps:
        match kind:
            case "metric" | "quantile":
                other = _other(frame, kind, what, False)
                found = _leaf(frame.cells[what[0]], *what) if other is None else other
                stack.append(found if window == 1 else _averaged(found, window))
            case "constant":
                stack.append(frame.constant(what, False))
            case "average":
                stack.append(_series(what[1], frame, what[0]))
            case _:
                _reduce(stack, kind, what, frame.null)
    return stack[0]


def _total(steps: Sequence[Step], frame: Frame) -> _Value:
    stack: list[_Value] = []
    for kind, what in steps:
        match kind:
            case "metric" | "quantile":
                other = _other(frame, kind, what, True)
                if other is not None:
                    stack.append(other)
                    continue
                found = _leaf(frame.cells[what[0]], *what)
                whole = _last(found) if what[1] else _Exact(sums(found.value), found.unit)
                more = frame.more.get(what[0]) if what[1] in ("", "sum") else None
                stack.append(whole if more is None else _Exact(roomy(whole.value, 2) + roomy(more, 2), whole.unit))
            case "constant":
                stack.append(frame.constant(what, True))
            case "average":
                stack.append(_last(_series(what[1], frame, what[0])))
            case _:
                _reduce(stack, kind, what, frame.null)
    return stack[0]


def _floats(value: _Value) -> Floats:
    found: Floats = np.asarray(value.floats if isinstance(value, _Exact) else value, np.float64)
    return found


def _last(value: _Value) -> _Value:
    """Its value at the last bucket."""
    if isinstance(value, _Exact):
        return value if isinstance(value.value, int) else _Exact(value.value[..., -1], value.unit)
    return value[..., -1] if np.ndim(value) else value


def _reduce(stack: list[_Value], kind: str, what: Any, null: bool) -> None:
    if kind == "number":
        stack.append(_Exact(what, 1) if isinstance(what, int) else what)
    elif kind == "negate":
        value = stack.pop()
        stack.append(_Exact(-value.times(1), value.unit) if isinstance(value, _Exact) else -value)
    else:
        right, left = stack.pop(), stack.pop()
        with np.errstate(over="ignore", invalid="ignore"):
            stack.append(_combined(what, left, right, null))


def _combined(operator: str, left: _Value, right: _Value, null: bool) -> _Value:
    a, b = left, right
    if operator != "*" and isinstance(left, _Exact) and isinstance(right, _Exact):
        unit = max(left.unit, right.unit)
        a, b = left.times(unit // left.unit), right.times(unit // right.unit)
        if operator != "/":
            return _Exact(a + b if operator == "+" else a - b, unit)
    else:
        a, b = (side.floats if isinstance(side, _Exact) else np.asarray(side) for side in (left, right))
    if operator == "/":
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        out = np.full(np.broadcast_shapes(a.shape, b.shape), np.nan if null else 0.0)
        return np.divide(a, b, out=out, where=b != 0)
    return a + b if operator == "+" else a - b if operator == "-" else a * b


def _other(frame: Frame, kind: str, what: Any, total: bool) -> Floats | None:
    """The numbers of a metric that is no sum; None of a sum."""
    name, more = what
    others = frame.others
    if kind == "quantile":
        if others is None or name not in others.kinds:  # never counted
            return np.full((frame.paths,) if total else (frame.paths, len(frame.starts)), np.nan if frame.null else 0.0)
        return others.quantile(name, more, total)
    if others is None or name not in others.kinds:
        return None
    return others.numbers(name, total)


def _leaf(cells: Cells, name: str, level: str) -> _Exact:
    if level == "sum":
        cells = np.cumsum(roomy(cells, cells.shape[-1]), axis=-1)
    elif level == "last":
        places = np.maximum.accumulate(np.where(cells != 0, np.arange(cells.shape[-1]), -1), axis=-1)
        cells = np.where(places >= 0, np.take_along_axis(cells, np.maximum(places, 0), -1), 0)
    return _Exact(cells, 1 if name == "hits" else MILLION)


def _averaged(found: _Exact | Floats, window: int) -> Floats:
    """The mean of each bucket and the ones before it, up to `window`, as far as the range has them (and knows them)."""
    if not isinstance(found, _Exact):
        known = ~np.isnan(found)
        count = _windowed(np.cumsum(known, axis=-1), window)
        added = _windowed(np.cumsum(np.where(known, found, 0.0), axis=-1), window)
        out: Floats = np.full(found.shape, np.nan)
        np.divide(added, count, out=out, where=count > 0)
        return out
    buckets = found.value.shape[-1]
    added = _windowed(np.cumsum(roomy(found.value, buckets), axis=-1), window)
    means: Floats = np.asarray(added, np.float64) / (np.minimum(np.arange(1, buckets + 1), window) * found.unit)
    return means


def _windowed(running: NDArray[Any], window: int) -> NDArray[Any]:
    """Sums of each bucket and those before it, up to `window`, of running sums."""
    added = running.copy()
    added[..., window:] -= running[..., :-window]
    return added


def sums(cells: Cells) -> Cells:
    """Sums over the buckets; Python's integers where 64 bits might not hold them."""
    total: Cells = roomy(cells, cells.shape[-1]).sum(axis=-1)
    return total


def roomy(value: Any, times: int) -> Any:
    """The integers as Python's own, where 64 bits might not hold so many of them."""
    if isinstance(value, int) or value.dtype == object or not value.size:
        return value
    return value.astype(object) if float(np.abs(value.astype(np.float64)).max()) * times >= 2.0**62 else value


def _constant(name: str, at: Range, starts: Sequence[int]) -> Floats:
    """What a constant is in each bucket."""
    if name == "_count":
        return np.full(len(starts), float(len(starts)))
    ends = np.array([*starts[1:], at.end], np.float64)
    seconds: Floats = ends - np.array(starts, np.float64)
    short = {"seconds": 1, "minutes": 60, "hours": 3600}.get(name)
    if short:
        return seconds / short
    zone = tz(at.zone)
    dates = [datetime.fromtimestamp(start, zone) for start in starts]
    months = np.array([monthrange(date.year, date.month)[1] for date in dates], np.float64)
    if name == "_days_in_month":
        return months
    years = np.array([365 + isleap(date.year) for date in dates], np.float64)
    # A day is a day though it has 23 hours: longer buckets are whole days, rounded from their seconds.
    long = at.interval in CALENDAR_DAYS or at.interval in MONTHS
    days: Floats = np.maximum(np.rint(seconds / DAY), 1) if long else seconds / DAY
    found: Floats = {"days": days, "weeks": days / 7, "months": days / months, "years": days / years}[name]
    if at.interval == YEAR:
        found = np.full(len(starts), 12.0) if name == "months" else found
    return found


def _shaped(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """`np.broadcast_to` where it is needed: it takes longer than the rest."""
    return values if values.shape == shape else np.broadcast_to(values, shape)


def _listed(value: _Value, shape: tuple[int, ...]) -> list[Any]:
    """Nested lists of numbers; raises OverflowError for what is none."""
    if isinstance(value, _Exact):
        cells = _shaped(np.asarray(value.value), shape)
        if value.unit == 1:
            return list(cells.tolist())
        whole = cells // value.unit
        broken = whole * value.unit != cells
        if not broken.any():
            return list(whole.tolist())
        out = whole.astype(object)
        out[broken] = cells[broken] / value.unit
    else:
        floats = _shaped(np.asarray(value, np.float64), shape)
        if np.isinf(floats).any():
            raise OverflowError
        is_whole = (floats == np.floor(floats)) & (np.abs(floats) < 2.0**53)
        whole = np.where(is_whole, floats, 0).astype(np.int64)
        if is_whole.all():
            return list(whole.tolist())
        out = floats.astype(object)
        out[np.isnan(floats)] = None
        out[is_whole] = whole[is_whole]
    return list(out.tolist())

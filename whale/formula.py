"""What is asked of a series: a metric's name, or a ratio of two, parsed once.

A ratio over a range is the sum of one metric divided by the sum of the other, never a mean of ratios. Names may hold
anything, so `a/b` could also be a metric that is literally called so: where a metric of that very name was counted,
its name wins. Otherwise the text splits at its first ` / `, or where there is none, at its first `/`. So `"km/h" /
hits` is written `km/h / hits`; and the ratio of `a` and `b` beside a metric `a/b` is written `a / b`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whale.errors import FormulaError

MILLION = 1_000_000
LONGEST = 10_000


@dataclass(frozen=True, slots=True)
class Formula:
    """metric, or metric / by. text: as it was asked, the key of its answer."""

    text: str
    metric: str
    by: str | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that must be read."""
        return (self.metric,) if self.by is None else (self.metric, self.by)

    def of(self, amounts: dict[str, int]) -> int | float:
        """The number for stored amounts: 0 over a zero denominator, an int where it is whole."""
        if self.by is None:
            return _ratio(amounts[self.metric], _unit(self.metric))
        below = amounts[self.by] * _unit(self.metric)
        return _ratio(amounts[self.metric] * _unit(self.by), below) if below else 0

    def series(self, amounts: dict[str, NDArray[np.int64]]) -> list[int | float]:
        """`of`, for each bucket."""
        if self.by is None:
            unit = _unit(self.metric)
            values = amounts[self.metric].tolist()
            return values if unit == 1 else [_ratio(value, unit) if value else 0 for value in values]
        above, below = amounts[self.metric].tolist(), amounts[self.by].tolist()
        return [self.of({self.metric: a, self.by: b}) if a else 0 for a, b in zip(above, below, strict=True)]


def parse_formula(text: str, known: Collection[str] = ()) -> Formula:
    """known: names of metrics that were counted.  Raises FormulaError where one side of the `/` is empty."""
    if not text:
        raise FormulaError("expected a metric or a ratio as revenue/visitors, got empty text")
    if len(text) > LONGEST:
        raise FormulaError(f"expected at most {LONGEST} characters, got {len(text)}")
    if text in known or "/" not in text:
        return Formula(text, text)
    above, _, below = text.partition(" / " if " / " in text else "/")
    above, below = above.strip(), below.strip()
    if not above or not below:
        raise FormulaError(f"expected a metric on each side of the /, got {text[:60]!a}")
    return Formula(text, above, below)


def metrics_asked(value: Any, field: str = "metrics") -> list[str]:
    """The formulas that a question names: of decoded JSON or a plain text.

    Nothing means hits; a name or a list of names; an object means its keys, and `{"a": "b"}` means `a/b`.
    """
    if value is None or value in ("", [], {}):
        return ["hits"]
    if isinstance(value, Mapping):
        found = [f"{name}/{by}" if isinstance(by, str) and by else name for name, by in value.items()]
    else:
        found = list(value) if isinstance(value, list | tuple) else [value]
    for name in found:
        if not isinstance(name, str):
            raise FormulaError(f"expected names, got {ascii(name)[:60]}", field)
    return list(dict.fromkeys(found))


def _unit(metric: str) -> int:
    return 1 if metric == "hits" else MILLION


def _ratio(above: int, below: int) -> int | float:
    """Whole numbers stay whole, however large."""
    whole, rest = divmod(above, below)
    return above / below if rest else whole

"""Numbers of the command line, refused in the words of the settings."""

import math
from typing import Any

import click


class WholeNumber(click.IntRange):
    """Within limits, as click.IntRange."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            int(value)
        except ValueError:
            self.fail(f"expected a whole number, got {value!r}", param, ctx)
        return super().convert(value, param, ctx)


class NumberBetween(click.FloatRange):
    """Within limits, as click.FloatRange."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isnan(number):  # which is within any limits
            self.fail(f"expected a number, got {value!r}", param, ctx)
        return super().convert(value, param, ctx)

"""Numbers of the command line, refused in the words of the settings."""

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
            float(value)
        except ValueError:
            self.fail(f"expected a number, got {value!r}", param, ctx)
        return super().convert(value, param, ctx)

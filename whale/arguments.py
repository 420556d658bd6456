"""Arguments of the library, as people write them; and methods that the class offers too."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import wraps
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from hail.hit import MILLION
from whale.errors import CallerError, PeriodError
from whale.formula import Number
from whale.period import Span

P = ParamSpec("P")
R = TypeVar("R")
Period = str | int | Sequence[Any] | Span | None
"""As text; a Span; or a pair of the setting PERIODS: (interval in seconds or '1mo', length in seconds or None)."""


class on_default(Generic[P, R]):
    """A method that the class offers too, on the default connection."""

    def __init__(self, function: Callable[Concatenate[Any, P], R]):
        self.function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: Any) -> Callable[P, R]:
        if instance is not None:
            return MethodType(self.function, instance)

        @wraps(self.function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            return self.function(owner.default(), *args, **kwargs)

        return called


def one(plural: Any, singular: Any) -> Any:
    return singular if plural is None else plural


def hit_given(pk: Any, dimensions: Any, metrics: Any, at: Any, more: Mapping[str, Any]) -> dict[str, Any]:
    return {"pk": pk, "dimensions": dimensions, "metrics": metrics, "at": None if at is False else at, **more}


def plain_time(value: Any) -> Any:
    return value.timestamp() if isinstance(value, datetime) else value


def zone_text(tz: str | None, tzoffset: Any) -> str:
    if tz and tzoffset not in (None, ""):
        raise CallerError("came twice, as tz and as tzoffset", "tz")
    return tz or ("" if tzoffset is None else str(tzoffset))


def is_pair(period: Any) -> bool:
    return isinstance(period, list | tuple) and len(period) == 2 and isinstance(period[1], int | float | None)


def period_text(period: Any) -> str:
    """As `parse_period` reads it."""
    if period is None:
        return "thirty"
    if is_pair(period):
        interval, length = period
        return str(interval) if length is None else f"{interval}:{int(length)}"
    if isinstance(period, list | tuple):
        raise PeriodError(f"expected text or a pair (interval, length), got {ascii(period)[:60]}")
    return str(period)


def number_of(metric: str, amount: int) -> Number:
    """An amount as it is stored, as a number."""
    if metric == "hits" or not amount % MILLION:
        return amount if metric == "hits" else amount // MILLION
    return amount / MILLION

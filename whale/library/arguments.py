"""Arguments of the library, as people write them; and methods that the class offers too."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import wraps
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from hail.hit import HitError, Reason, is_text
from hail.times import EPOCH, time_of
from whale.errors import CallerError, PeriodError
from whale.period import Span, midnight
from whale.plain import exact, kind_of, plain

P = ParamSpec("P")
R = TypeVar("R")


class BadArgument(CallerError, HitError):
    """A value that the library cannot take: of a hit and of a question alike, with the field and a reason."""

    def __init__(self, reason: Reason, field: str, message: str):
        Exception.__init__(self, f"{field}: {message}")
        self.field, self.reason, self.code = field, reason, reason

    def named(self, field: str) -> Self:
        return type(self)(self.reason, field, str(self).removeprefix(f"{self.field}: "))


class on_default(Generic[P, R]):
    """A method that the class offers too, on the default connection. Its arguments come in as plain values: whale/plain.py."""

    def __init__(self, function: Callable[Concatenate[Any, P], R]):
        self.function = function
        self.__doc__ = function.__doc__
        parameters = list(inspect.signature(function).parameters.values())[1:]
        self._readers = {each.name: _reader_of(each) for each in parameters if each.kind not in _SEVERAL}
        self._names = [each.name for each in parameters if each.kind in _BY_PLACE]
        others = (each.annotation for each in parameters if each.kind == inspect.Parameter.VAR_KEYWORD)
        self._other: Reader = _ANNOTATED.get(next(others, None), _as_it_is)

        @wraps(function)
        def called(instance: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
            some, more = self.plain(instance, args, kwargs)
            return function(instance, *some, **more)

        self._called = called

    def __get__(self, instance: Any, owner: Any) -> Callable[P, R]:
        if instance is not None:
            return MethodType(self._called, instance)

        @wraps(self.function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            return self._called(owner.default(), *args, **kwargs)

        return called

    def plain(self, instance: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments as plain values; those that another method takes are left to it.  Raises BadArgument, CallerError."""
        readers, names = self._readers, self._names
        some = [
            readers[names[place]](value, names[place], instance) if place < len(names) else value
            for place, value in enumerate(args)
        ]
        more = {
            name: (readers.get(name) or READERS.get(name, self._other))(value, name, instance)
            for name, value in kwargs.items()
        }
        return some, more


# What arguments are read as: (value, name, the Whale) -> plain value

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_SEVERAL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
Reader = Callable[[Any, str, Any], Any]
MOST = 1e300
"""The largest number of a setting, as a share."""


def _as_it_is(value: Any, name: str, whale: Any = None) -> Any:
    return value


def _named(value: Any, name: str, whale: Any = None) -> Any:
    """A name, or names in lists and maps."""
    try:
        return plain(value, name)
    except HitError as error:
        raise _bad(error) from None


def _amounts(value: Any, name: str, whale: Any = None) -> Any:
    """Names, and numbers that stay exact."""
    try:
        return plain(value, name, exact)
    except HitError as error:
        raise _bad(error) from None


def _hit(value: Any, name: str, whale: Any) -> Any:
    """A hit in the form of the HTTP API."""
    if type(value) is not dict:
        if not issubclass(type(value), Mapping):
            raise BadArgument(Reason.BAD_JSON, name, f"expected the fields of a hit, got {kind_of(value)}")
        try:
            value = dict(value.items())
        except Exception as error:  # whatever a program's own type raises
            raise BadArgument(Reason.BAD_JSON, name, f"expected the fields of a hit, got {kind_of(error)}") from None
    names = _named(list(value), name)
    for field in names:
        if type(field) is not str:
            raise BadArgument(Reason.UNKNOWN_FIELD, name, f"expected names of fields, got {kind_of(field)}")
    if len(set(names)) < len(names):
        raise BadArgument(Reason.UNKNOWN_FIELD, name, "has a field twice")
    return {
        field: READERS.get(field, _named)(each, field, whale) for field, each in zip(names, value.values(), strict=True)
    }


def _time(value: Any, name: str, whale: Any = None) -> Any:
    """A number or text; a datetime, in UTC; a date as the begin of that day in the account's zone."""
    kind = type(value)
    if not issubclass(kind, date):
        return _amounts(value, name)
    try:
        if issubclass(kind, datetime):
            return EPOCH + timedelta(microseconds=time_of(value))
        return EPOCH + timedelta(seconds=midnight(date.toordinal(value), whale.settings.timezone))
    except Exception as error:  # at the ends of the calendar; or whatever its zone raises
        message = f"expected a time, got {kind_of(value)} that raised {kind_of(error)}"
        raise BadArgument(Reason.BAD_TIME, name, message) from None


def _period(value: Any, name: str, whale: Any = None) -> Any:
    """A period, or several: a Span's parts as plain values too."""
    if type(value) is list or type(value) is tuple:
        return type(value)(_span(each) if isinstance(each, Span) else _named(each, name) for each in value)
    found = _span(value) if isinstance(value, Span) else _named(value, name)
    if type(found) is str and not is_text(found):
        raise PeriodError(f"expected Unicode text, got {ascii(found)[:60]}", name)
    return found


def _span(span: Span) -> Span:
    """Its datetimes stay: they have a zone of their own, and the span is called by them."""
    for part in ("start", "finish"):
        if issubclass(type(getattr(span, part)), datetime):
            _time(getattr(span, part), part)
        else:
            span = replace(span, **{part: _named(getattr(span, part), part)})
    return replace(span, interval=_text(span.interval, "interval"), buckets=_named(span.buckets, "buckets"))


def _whole(value: Any, name: str, whale: Any = None) -> int:
    found = _amounts(value, name)
    if type(found) is float and found.is_integer():
        found = int(found)
    if type(found) is not int:
        raise CallerError(f"expected a whole number, got {ascii(found)[:60]}", name)
    return found


def _number(value: Any, name: str, whale: Any = None) -> float:
    found = _float(_amounts(value, name))
    if type(found) not in (int, float) or not abs(found) <= MOST:
        raise CallerError(f"expected a number, got {ascii(found)[:60]}", name)
    return found


def _float(value: Any) -> Any:
    """A fraction as a float, which may be infinite."""
    try:
        return float(value) if isinstance(value, Fraction) else value
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _text(value: Any, name: str, whale: Any = None) -> str:
    found = _named(value, name)
    if type(found) is not str or not is_text(found):
        raise CallerError(f"expected text, got {ascii(found)[:60]}", name)
    return found


def _flag(value: Any, name: str, whale: Any = None) -> bool:
    return bool(_named(value, name))


def _type(value: Any, name: str, whale: Any = None) -> type:
    if not isinstance(value, type):
        raise CallerError(f"expected dict or list, got {kind_of(value)}", name)
    return value


def _options(value: Any, name: str, whale: Any = None) -> Any:
    """Options as they are given, since the answer is one of them; of several decisions by the decision's name."""
    found = _named(value, name)
    if not isinstance(found, dict | list):
        return found
    try:
        if isinstance(found, dict):
            return {each: _options(options, name) for each, options in zip(found, value.values(), strict=True)}
        given = list(value)
        for option in given:
            hash(option)
        return given
    except CallerError:
        raise
    except Exception as error:  # whatever a program's own type raises
        raise BadArgument(Reason.BAD_PK, name, f"expected names, got {kind_of(error)}") from None


def _reasons(value: Any, name: str, whale: Any = None) -> Any:
    """As `weighted_reasons` answers them, by the options as they were given."""
    try:
        rows = {option: _named(row, name) for option, row in value.items()}
    except CallerError:
        raise
    except Exception as error:  # whatever a program's own type raises
        raise CallerError(f"expected an answer of weighted_reasons, got {kind_of(error)}", name) from None
    for row in rows.values():
        if not isinstance(row, dict):
            raise CallerError(f"expected an answer of weighted_reasons, got {ascii(row)[:60]}", name)
        _number(row.get("weight", 1.0), name)
    return rows


def _optional(reader: Reader) -> Reader:
    def read(value: Any, name: str, whale: Any = None) -> Any:
        return None if value is None else reader(value, name, whale)

    return read


READERS: dict[str, Reader] = {
    **dict.fromkeys(("metrics", "metric", "values"), _amounts),
    **dict.fromkeys(("at", "start_at"), _time),
    **dict.fromkeys(("period", "periods", "against"), _period),
    **dict.fromkeys(("record", "given"), _hit),
    **dict.fromkeys(("good", "bad", "test"), _reasons),
    "options": _options,
    "tz": _optional(_text),
    "tzoffset": _named,
}
_ANNOTATED: dict[Any, Reader] = {
    int: _whole,
    int | None: _optional(_whole),
    float: _number,
    float | None: _optional(_number),
    bool: _flag,
    bool | None: _optional(_flag),
    str: _text,
    str | None: _optional(_text),
    type: _type,
}


def _reader_of(parameter: inspect.Parameter) -> Reader:
    return _ANNOTATED.get(parameter.annotation) or READERS.get(parameter.name, _named)


def _bad(error: HitError) -> BadArgument:
    return BadArgument(error.reason, error.field, str(error).removeprefix(f"{error.field}: "))


def one(plural: Any, singular: Any) -> Any:
    return singular if plural is None else plural


def hit_given(pk: Any, dimensions: Any, metrics: Any, at: Any, more: Mapping[str, Any]) -> dict[str, Any]:
    return {"pk": pk, "dimensions": dimensions, "metrics": metrics, "at": None if at is False else at, **more}

"""A time as people and programs write it, read in one way at every door. Pure.

    a number of seconds, milliseconds or microseconds since 1970, told apart by how large it is; as text too
    eight digits            YYYYMMDD, the beginning of that day
    four or six digits      refused: a year or a month is no time
    ISO 8601, C's ctime     2015-06-17T14:35:20Z, Wed Jun 17 14:35:20 2015
    a datetime, a date      of a program

Promise: nothing is lost. The answer is whole microseconds, rounded down, and no step goes through a binary fraction.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from numbers import Integral, Real
from operator import index
from typing import Any

CTIME = "%a %b %d %H:%M:%S %Y"  # Wed Jun 17 14:35:20 2015
SECOND, MILLISECOND = 1_000_000, 1_000  # in microseconds
BELOW = ((10**11, SECOND), (10**14, MILLISECOND), (10**18, 1))
"""How large a number may be, without its sign, and what it counts."""
ACCEPTED = "expected epoch seconds or ISO 8601 (also milliseconds, microseconds or YYYYMMDD)"
MOST_TEXT = 60  # of a time
WHOLE = 2**53  # below it a float has every whole number

Number = int | Decimal | Fraction
Local = Callable[[datetime], datetime]
"""The instant of a local time: gives the datetime a zone."""

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EXACT = Context(prec=MOST_TEXT, rounding=ROUND_FLOOR)  # not the program's own context, which it may have changed
_PLURAL = {4: "a year", 6: "a month"}


class NoTime(ValueError):
    """What is no time: a sentence that says what is accepted and what came."""


def in_utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC)


def time_of(value: Any, local: Local = in_utc, unit: int | None = None) -> int:
    """Microseconds since 1970, rounded down; raises NoTime.

    local: the zone of what names none.  unit: microseconds that a number counts, where that was said: then no number is a date.
    """
    try:
        if isinstance(value, date):
            return _of_datetime(value, local)
        number = _number(value)
        if number is not None:
            return _of_number(number, _digits(value, number) if unit is None else 0, value, local, unit)
        if isinstance(value, str) and unit is None and len(value) <= MOST_TEXT:
            when = datetime.strptime(value, CTIME) if value[:1].isalpha() else datetime.fromisoformat(value)
            return _since_1970(when if when.tzinfo else local(when))
    except NoTime:
        raise
    except Exception:  # of no calendar, or whatever a program's own type raises
        pass
    raise NoTime(f"{ACCEPTED}, got {came(value)}") from None


def is_time(value: Any) -> bool:
    """Whether `time_of` reads it, however far away it is."""
    try:
        time_of(value)
    except NoTime:
        return False
    return True


def shown(value: object) -> str:
    """A value within a sentence."""
    try:
        text = ascii(value)
    except Exception:  # an integer of thousands of digits, or whatever a program's own type raises
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."


def came(value: object) -> str:
    """A value that came, within a sentence; `true`, `false` and `null` as JSON has them."""
    return _OF_JSON[value] if value is None or isinstance(value, bool) else shown(value)


_OF_JSON = {None: "null", True: "true", False: "false"}


def _number(value: Any) -> Number | None:
    """The exact number of a number, or of its text; None where it is neither. A float is its shortest decimal form."""
    if isinstance(value, float):
        if value.is_integer() and abs(value) < WHOLE:
            return int(value)
        return Decimal(float.__repr__(value)) if math.isfinite(value) else None
    if isinstance(value, str):
        text = value.strip()
        if len(text) > MOST_TEXT or not _NUMBER.fullmatch(text):
            return None
        found = Decimal(text)
        return int(found) if found.copy_abs() < BELOW[-1][0] and found == found.to_integral_value() else found
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    if isinstance(value, Integral):
        return index(value)
    return value if isinstance(value, Fraction) else _number(float(value))  # as of numpy


def _digits(value: Any, number: Number) -> int:
    """How many digits it is written in; 0 where it has a sign that matters, or a fraction."""
    if isinstance(value, str) and (written := value.strip().removeprefix("+")).isdecimal():
        return len(written)
    is_plain = 0 <= number < BELOW[0][0] and number == int(number)
    return len(str(int(number))) if is_plain else 0


def _of_number(number: Number, digits: int, value: Any, local: Local, unit: int | None) -> int:
    if digits == 8:
        try:
            when = datetime(int(number) // 10_000, int(number) // 100 % 100, int(number) % 100)
        except ValueError:
            raise NoTime(f"{ACCEPTED}; 8 digits are YYYYMMDD, and {shown(value)} is not a date") from None
        return _since_1970(local(when))
    if digits in _PLURAL:
        raise NoTime(f"{ACCEPTED}; {digits} digits are {_PLURAL[digits]}, not a time; got {came(value)}")
    for below, counted in BELOW:
        if -below < number < below:
            factor = unit or counted
            if isinstance(number, Decimal):
                return math.floor(_EXACT.multiply(number, factor))
            return math.floor(number * factor)
    raise NoTime(f"{ACCEPTED}, got {came(value)}")


def _of_datetime(value: date, local: Local) -> int:
    """Of a program: a datetime without a zone is this machine's time, as Python has it; a date begins where days do here."""
    if not isinstance(value, datetime):
        return _since_1970(local(datetime.combine(value, time.min)))
    return _since_1970(value) if value.tzinfo else round(value.timestamp() * SECOND)


def _since_1970(when: datetime) -> int:
    return (when - EPOCH) // _MICROSECOND

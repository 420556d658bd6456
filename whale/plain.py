"""Values that programs have, as the plain ones that JSON has too: text, numbers, booleans, None, lists, and dicts of these.

| a program has | it is |
| --- | --- |
| a subclass of str, int or float; a number of numpy | the same text or number |
| Decimal, Fraction | the number, exactly; as a name the text of that number: `5` of Decimal("5.00") |
| an Enum | its value |
| datetime, date, UUID | its text; datetime and date as ISO 8601 |
| a tuple, another sequence or mapping | a list, a dict |

Anything else is refused with the field where it stands: bytes, sets (which have no order), generators, arrays, objects. Nothing
of a value is run but what turns it into these, and whatever that raises is refused too; nothing is compared, and no `repr` is asked.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from itertools import islice
from numbers import Integral, Rational, Real
from typing import Any

from hail.hit import LENIENT_BITS, HitError, Reason

MOST_DEEP = 100
MOST_VALUES = 250_000
"""Values in one argument, each counted as often as it stands there."""
MOST_LISTED = 100_000
"""Of a sequence or a mapping that may make its values as they are asked for."""
MOST_DIGITS = 1000

REASONS = {
    "dimensions": Reason.BAD_DIMENSIONS,
    "dimension": Reason.BAD_DIMENSIONS,
    "metrics": Reason.BAD_METRICS,
    "metric": Reason.BAD_METRICS,
    "values": Reason.BAD_METRICS,
    "at": Reason.BAD_TIME,
    "start_at": Reason.BAD_TIME,
    "id": Reason.BAD_ID,
    "visitor": Reason.BAD_ID,
    "event": Reason.BAD_ID,
    "properties": Reason.BAD_PROPERTIES,
    "basis": Reason.BAD_ID,
}
_AS_IT_IS = frozenset((str, float, bool, type(None)))
_BYTES = (bytes, bytearray, memoryview)
_EXPECTED = "expected a name, a number, a list or a dict"

Number = Callable[[Fraction], Any]
"""What becomes of a number that is not whole, and was exact."""


def plain(value: Any, field: str, number: Number | None = None) -> Any:
    """A value as JSON has it. number: for Decimal and Fraction; None: as a name.  Raises HitError with the field."""
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    return _Plain(number or name_of_number).of(value, (field,), 0)


def exact(number: Fraction) -> Fraction:
    """Of amounts: `hail.hit` rounds them as it does others."""
    return number


def name_of_number(number: Fraction) -> float | str:
    """The float that names it, as in JSON; the decimal text of one that has more digits than a float."""
    found = float(number)
    if Fraction(repr(found)) == number or not _is_decimal(number):
        return found
    scale = 0
    while number.denominator != 1:
        number, scale = number * 10, scale + 1
    digits = str(abs(number.numerator)).rjust(scale + 1, "0")
    return f"{'-' if number < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"


def kind_of(value: Any) -> str:
    """The name of a value's type, for people."""
    try:
        return f"{ascii(type.__getattribute__(type(value), '__name__'))[1:-1][:60]}"
    except Exception:  # a type may refuse to be asked
        return "object"


class _Plain:
    """One argument."""

    def __init__(self, number: Number):
        self._number, self._left = number, MOST_VALUES

    def of(self, value: Any, where: tuple[Any, ...], depth: int) -> Any:
        kind = type(value)
        if kind in _AS_IT_IS:
            return value
        if kind is int:
            return self._whole(value, where)
        self._left -= 1
        if depth > MOST_DEEP or self._left < 0:
            reason = Reason.TOO_MANY_LEVELS if depth > MOST_DEEP else _reason(where)
            limit = (
                f"{MOST_DEEP} levels, got more, or a value that holds itself" if depth > MOST_DEEP else "fewer values"
            )
            raise _refused(where, f"expected {limit}", reason)
        if kind is list or kind is tuple:
            return self._list(value, where, depth)
        if kind is dict:
            return self._dict(value.items(), where, depth)
        try:
            if issubclass(kind, Mapping):
                pairs = [(key, below) for key, below in self._some(value.items(), where)]
            else:
                found, pairs = self._converted(value, kind, where), None
        except HitError:
            raise
        except Exception as error:  # whatever a program's own type raises
            raise _refused(where, f"{_EXPECTED}, got {kind_of(value)} that raised {kind_of(error)}") from None
        if pairs is not None:
            return self._dict(pairs, where, depth)
        return self._fraction(found, where) if type(found) is Fraction else self.of(found, where, depth + 1)

    def _fraction(self, number: Fraction, where: tuple[Any, ...]) -> Any:
        if number.denominator == 1:
            return self._whole(number.numerator, where)
        self._whole(max(abs(number.numerator), number.denominator), where)
        try:
            return self._number(number)
        except OverflowError:
            raise _refused(where, "expected a number of less than 300 digits", Reason.NUMBER_OUT_OF_RANGE) from None

    def _whole(self, value: int, where: tuple[Any, ...]) -> int:
        if value.bit_length() > LENIENT_BITS:  # its text is slow to make, or refused
            reason = Reason.NUMBER_OUT_OF_RANGE if self._number is exact else Reason.NAME_TOO_LONG
            raise _refused(
                where, f"expected a number of less than 3,000 digits, got one of {value.bit_length()} bits", reason
            )
        return value

    def _list(self, values: Iterable[Any], where: tuple[Any, ...], depth: int) -> list[Any]:
        number, self._number = self._number, name_of_number  # a list never holds amounts
        found = []
        for place, value in enumerate(values):
            self._left -= 1
            found.append(value if type(value) in _AS_IT_IS else self.of(value, (*where, place), depth + 1))
        self._number = number
        return found

    def _dict(self, pairs: Iterable[tuple[Any, Any]], where: tuple[Any, ...], depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, value in pairs:
            self._left -= 1
            name = key if type(key) is str else _Plain(name_of_number).of(key, where, depth + 1)
            if isinstance(name, list | dict):
                raise _refused(where, f"expected names, got {kind_of(key)}")
            if name in found:
                raise _refused((*where, name), "came twice")
            found[name] = value if type(value) in _AS_IT_IS else self.of(value, (*where, name), depth + 1)
        return found

    def _converted(self, value: Any, kind: type, where: tuple[Any, ...]) -> Any:
        """One step nearer to a plain value. May raise anything."""
        if issubclass(kind, Enum):
            return value.value
        if issubclass(kind, str):
            return str.__str__(value)
        if issubclass(kind, int):
            return int.__int__(value)
        if issubclass(kind, float):
            return float.__float__(value)
        if issubclass(kind, Decimal):
            return _of_decimal(Decimal(value), where)
        if issubclass(kind, datetime):
            return datetime.isoformat(value)
        if issubclass(kind, date):
            return date.isoformat(value)
        if _is_of(kind, "uuid", "UUID"):
            return str(value)
        if issubclass(kind, Integral):
            return operator.index(value)
        if issubclass(kind, Rational):
            return Fraction(operator.index(value.numerator), operator.index(value.denominator))
        if issubclass(kind, Real):
            return float(value)
        if _is_of(kind, "numpy", "bool") or _is_of(kind, "numpy", "bool_"):
            return bool(value)
        if issubclass(kind, Sequence) and not issubclass(kind, _BYTES):
            return self._some(value, where)
        raise _refused(where, f"{_EXPECTED}, got {kind_of(value)}")

    def _some(self, values: Iterable[Any], where: tuple[Any, ...]) -> list[Any]:
        found = list(islice(values, MOST_LISTED + 1))
        if len(found) > MOST_LISTED:
            raise _refused(where, f"expected at most {MOST_LISTED} values")
        return found


def _of_decimal(value: Decimal, where: tuple[Any, ...]) -> float | Fraction:
    """Without the thread's decimal context, which may round, or raise."""
    if not value.is_finite():
        return float("nan") if value.is_nan() else float("-inf" if value.is_signed() else "inf")
    if not value or value.adjusted() < -MOST_DIGITS:
        return Fraction(0)
    if value.adjusted() > MOST_DIGITS or len(value.as_tuple().digits) > MOST_DIGITS:
        raise _refused(where, f"expected a number of at most {MOST_DIGITS} digits", Reason.NUMBER_OUT_OF_RANGE)
    return Fraction(value)


def _is_of(kind: type, module: str, name: str) -> bool:
    """Whether a type is one of a module, which need not be there."""
    return any(each.__module__ == module and each.__name__ == name for each in kind.__mro__)


def _is_decimal(number: Fraction) -> bool:
    """Whether it ends as a decimal."""
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _reason(where: tuple[Any, ...]) -> Reason:
    return REASONS.get(where[0], Reason.BAD_PK)


def _refused(where: tuple[Any, ...], message: str, reason: Reason | None = None) -> HitError:
    field, *below = where
    for each in below:
        field += f".{ascii(each)[1:-1]}" if type(each) is str else f"[{each}]"
    return HitError(reason or _reason(where), field[:200], message)

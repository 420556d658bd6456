"""What the numbers of a metric are, as somebody declares it: {"unit": "money", "currency": "USD", "better": "up"}. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hail.meant import did_you_mean

UNITS = ("count", "money", "share", "seconds", "bytes")
BETTER = ("up", "down", "none")
_CURRENCY = re.compile("[A-Z]{3}")
_WORDS = {"unit": UNITS, "better": BETTER}


class NotDeclared(ValueError):
    """A declaration that cannot be read. field: of it, or empty."""

    def __init__(self, message: str, field: str = ""):
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Declaration:
    """None: nobody says. currency: three letters of ISO 4217, of money alone."""

    unit: str | None = None
    currency: str | None = None
    better: str | None = None

    def said(self) -> dict[str, str]:
        """As it was given."""
        every = {"unit": self.unit, "currency": self.currency, "better": self.better}
        return {name: word for name, word in every.items() if word is not None}


def declaration_of(given: Any) -> Declaration:
    """Raises NotDeclared."""
    if not isinstance(given, Mapping):
        raise NotDeclared(f"expected an object with unit, currency, better, got {_shown(given)}")
    if not given:
        raise NotDeclared("expected at least one of unit, currency, better, got nothing")
    for name, word in given.items():
        if name not in Declaration.__dataclass_fields__:
            hint = did_you_mean(str(name)[:60], Declaration.__dataclass_fields__)
            raise NotDeclared(f"is not a field here: {hint}", ascii(str(name)[:60])[1:-1])
        if name in _WORDS and word not in _WORDS[name]:
            raise NotDeclared(f"expected one of {', '.join(_WORDS[name])}, got {_shown(word)}", name)
    currency = given.get("currency")
    if currency is not None and not (isinstance(currency, str) and _CURRENCY.fullmatch(currency)):
        expected = "expected three capital letters of ISO 4217 such as USD"
        raise NotDeclared(f"{expected}, got {_shown(currency)}", "currency")
    if currency is not None and given.get("unit") != "money":
        raise NotDeclared("requires the unit money", "currency")
    return Declaration(given.get("unit"), currency, given.get("better"))


def _shown(value: Any) -> str:
    return ascii(value)[:60]

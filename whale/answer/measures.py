"""What the metrics of a pk measure: as it was declared of the pk, of one above it, or in the settings; else guessed. Pure.

    declared of ["shop", "berlin"] ──> of ["shop"] ──> HAILWHALE_METRICS ──> a guess from name and kind, which says so

The first that declares a metric counts. What it leaves out is guessed.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from hail.hit import RESERVED
from hail.settings import DISTINCT, SUM
from hail.units import Declaration
from whale.answer.days_counted import Calendar, Days, seen_metrics
from whale.dimension import Pk
from whale.store.contract.counters import Counters
from whale.store.contract.declared import Declarations

Unit = Literal["count", "money", "share", "seconds", "bytes"]
Better = Literal["up", "down", "none"]


class Described(Counters, Declarations, Protocol):
    """What this asks of a store."""


class Measure(msgspec.Struct, kw_only=True, frozen=True):
    """A metric. declared: False: unit and better are guessed.  first_seen, last_seen: days, None where no day is kept."""

    name: str
    kind: str
    unit: Unit
    currency: str | None
    better: Better
    declared: bool
    first_seen: str | None
    last_seen: str | None


def measures(
    store: Described,
    account: str,
    pk: Pk,
    declared: Mapping[str, Declaration],
    calendar: Calendar,
    zone: str,
) -> list[Measure]:
    """Of each metric of a pk, in the order of `metrics`. declared: by the settings.  zone: that the days are told in.

    In another zone than the account's the two days enclose all that was counted, and may be a day further apart.
    """
    names = [name for name in store.metrics(account, pk) if name not in RESERVED]
    kinds = store.kinds(account, pk)
    seen = seen_metrics(store, account, pk, names, kinds, calendar) if names else {}
    said = {**declared, **declared_of(store, account, pk, names)}
    return [_measure(name, kinds.get(name, SUM), said.get(name), seen.get(name), calendar, zone) for name in names]


def declared_of(store: Described, account: str, pk: Pk, names: Sequence[str]) -> dict[str, Declaration]:
    """Of metrics of a pk, by the nearest of it and the pks above it that declares one."""
    above = [pk[:depth] for depth in range(1, len(pk) + 1)]
    texts = store.declared(account, [(each, name) for each in above for name in names])
    return {name: _read(texts[each, name]) for each in above for name in names if (each, name) in texts}


def _measure(
    name: str,
    kind: str,
    declared: Declaration | None,
    seen: Days | None,
    calendar: Calendar,
    zone: str,
) -> Measure:
    said, guess = declared or Declaration(), guessed(name, kind)
    unit = said.unit or guess.unit
    return Measure(
        name=name,
        kind=kind,
        unit=unit,  # type: ignore[arg-type]  # one of UNITS
        currency=(said.currency if said.unit else guess.currency) if unit == "money" else None,
        better=said.better or guess.better,  # type: ignore[arg-type]  # one of BETTER
        declared=declared is not None,
        first_seen=calendar.first_text(seen.first, zone) if seen else None,
        last_seen=calendar.last_text(seen.last, zone) if seen else None,
    )


def text_of(declaration: Declaration) -> bytes:
    """As a store keeps it."""
    return msgspec.json.encode(declaration.said())


def _read(text: bytes) -> Declaration:
    return msgspec.json.decode(text, type=Declaration)


# A guess

_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MONEY = _words(
    "revenue income earned earnings turnover profit margin price amount gross net tax paid spent spend cost costs fee fees refunded"
)
CURRENCIES = {
    **dict.fromkeys(("usd", "dollar", "dollars"), "USD"),
    **dict.fromkeys(("eur", "euro", "euros"), "EUR"),
    **dict.fromkeys(("gbp", "pounds"), "GBP"),
}
SECONDS = _words("s sec secs second seconds duration latency wait elapsed time uptime")
OTHER_TIMES = _words("ms us ns millis milliseconds microseconds min mins minutes hours days times timeouts")
SHARES = _words("share ratio rate")
WORSE = _words(
    "error errors failure failures failed refused crash crashes timeout timeouts cost costs spent spend fee fees refund refunds "
    "refunded cancelled cancellations churn complaints bounces bounced unsubscribes latency wait lag dropped lost retries cpu memory disk"
)


def guessed(name: str, kind: str) -> Declaration:
    """From the words of a name. Whatever adds up is no share; of a number that nobody knows nothing is better."""
    words = {word.lower() for word in _WORD.findall(name)}
    currency = next((CURRENCIES[word] for word in sorted(words) if word in CURRENCIES), None)
    unit = "count"
    if kind == DISTINCT:
        pass
    elif currency or words & MONEY:
        unit = "money"
    elif "bytes" in words:
        unit = "bytes"
    elif words & SECONDS and not words & OTHER_TIMES:
        unit = "seconds"
    elif words & SHARES and kind != SUM:
        unit = "share"
    adds_up = kind in (SUM, DISTINCT) and unit in ("count", "money") and not words & OTHER_TIMES
    return Declaration(unit, currency, "down" if words & WORSE else "up" if adds_up else "none")

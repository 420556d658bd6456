"""What events are asked for by: a name, or a name with conditions on properties."""

from typing import Any

from hail.hit import HitError, Reason, lenient, name_of, properties_of
from hail.settings import Settings
from whale.answer.conditions import NOTHING, WHENS, Condition, Wanted
from whale.answer.properties import FOLDED, LAST
from whale.errors import CallerError
from whale.plain import plain
from whale.visitors.entries import OTHER

MOST_CONDITIONS, MOST_VALUES = 16, 1000
"""Of an event, and of a condition."""
VERBS = ("is", "in", "not")
_EXPECTED = 'expected a list of conditions, such as [{"property": "plan", "is": "pro"}]'


def wanted_asked(given: Any, field: str, settings: Settings) -> Wanted:
    """An event: its name, or {"event", "where"}. given: plain.  Raises CallerError, HitError."""
    if not isinstance(given, dict):
        return Wanted(name_of(given, field, settings, Reason.BAD_ID))
    _known_fields(given, ("event", "where"), field)
    event = name_of(given.get("event", ""), f"{field}.event", settings, Reason.BAD_ID)
    return Wanted(event, where_asked(given.get("where"), f"{field}.where", settings))


def where_asked(where: Any, field: str, settings: Settings) -> tuple[Condition, ...]:
    """Conditions from a list or its JSON; none from nothing. Raises CallerError, HitError."""
    given = plain(lenient(field, where) if isinstance(where, str) else where, field)
    if given in (None, ""):
        return ()
    if not isinstance(given, list | tuple):
        raise CallerError(_EXPECTED, field)
    if len(given) > MOST_CONDITIONS:
        raise CallerError(f"expected at most {MOST_CONDITIONS} conditions, got {len(given)}", field)
    return tuple(_condition(each, f"{field}[{number}]", settings) for number, each in enumerate(given))


def _condition(given: Any, field: str, settings: Settings) -> Condition:
    if not isinstance(given, dict):
        raise CallerError(_EXPECTED, field)
    _known_fields(given, ("property", *VERBS, "when"), field)
    name = name_of(given.get("property", ""), f"{field}.property", settings, Reason.BAD_ID)
    verbs = [verb for verb in VERBS if verb in given]
    if len(verbs) != 1:
        raise CallerError("expected one of is, in and not", field)
    verb = verbs[0]
    texts = texts_asked(name, given[verb], verb, field, settings)
    when = given.get("when", LAST)
    if when not in WHENS:
        raise CallerError(f"expected {', '.join(WHENS[:-1])} or {WHENS[-1]}, got {ascii(when)[:60]}", f"{field}.when")
    return Condition(name, texts, verb == "not", when)


def texts_asked(name: str, given: Any, verb: str, field: str, settings: Settings) -> frozenset[str]:
    """The values that stand at a verb, as the log has them. Raises CallerError."""
    values = given if verb == "in" else [given]
    if not isinstance(values, list | tuple) or not 1 <= len(values) <= MOST_VALUES:
        raise CallerError(f"expected a list of 1 to {MOST_VALUES} values", f"{field}.in")
    return frozenset(text for value in values for text in _texts(name, value, f"{field}.{verb}", settings))


def _texts(name: str, value: Any, field: str, settings: Settings) -> tuple[str, ...]:
    """As JSON, as the log has it."""
    if value is None:
        return (NOTHING,)
    if value == OTHER:
        return FOLDED
    try:
        return tuple((properties_of({name: value}, settings) or {}).values())
    except HitError as error:
        raise CallerError(str(error).removeprefix(f"{error.field}: "), field) from None


def _known_fields(given: dict[str, Any], fields: tuple[str, ...], field: str) -> None:
    for name in given:
        if name not in fields:
            raise CallerError(f"expected {', '.join(fields[:-1])} or {fields[-1]}, got {ascii(name)[:60]}", field)

"""What sets of visitors are asked by: an object, or its JSON.

{"event": "buy", "where": [...]}                    had the event
{"property": "plan", "is": "pro", "when": "last"}   has the value; `in` and `not` as in conditions
{"session": "source", "is": "ads"}                  began a session from there
{"cohort": "signup", "period": "last_week"}         had the event for the first time then
{"segment": "payers"}                               is in a saved set
{"and": [set, ...]}, {"or": [set, ...]}, {"not": set}
"""

from collections.abc import Callable
from typing import Any

from hail.hit import HitError, Reason, lenient, name_of
from hail.settings import Settings
from whale.answer.conditions import OF_VISITORS, Condition
from whale.answer.sessions import SPLITS
from whale.answer.sets import AND, OR, Began, Came, Did, Not, Of, Set, having
from whale.errors import CallerError
from whale.library.conditions import wanted_asked, where_asked
from whale.period import Range
from whale.plain import plain

FEWEST, MOST = 1, 8
"""Sets of an overlap."""
MOST_LEAVES, MOST_LEVELS = 32, 8
"""Of all sets of a question, with the conditions of their events; and of one set."""
KINDS = ("event", "property", "session", "cohort", "segment", "and", "or", "not")
FIELDS = {
    "event": ("where",),
    "property": ("is", "in", "not", "when"),
    "session": ("is", "in", "not"),
    "cohort": ("period",),
}
_EXPECTED = f"expected a set, which is an object with one of {', '.join(KINDS)}"


class Reader:
    """Reads the sets of one question."""

    def __init__(self, settings: Settings, range_of: Callable[[Any], Range], saved: Callable[[Any], Any]):
        """range_of: of a period, as the question has it.  saved: the set of a name, as it was asked; raises CallerError."""
        self._settings, self._range_of, self._saved = settings, range_of, saved
        self._room_left = MOST_LEAVES

    def several(self, sets: Any, field: str = "sets") -> list[tuple[Any, Set]]:
        """Each as it was asked, and as it is meant, from a list or its JSON. Raises CallerError, HitError."""
        given = plain(lenient(field, sets) if isinstance(sets, str) else sets, field)
        if not isinstance(given, list | tuple) or not FEWEST <= len(given) <= MOST:
            raise CallerError(f'expected {FEWEST} to {MOST} sets as a list, such as [{{"event": "buy"}}]', field)
        return [(each, self._read(each, f"{field}[{number}]", MOST_LEVELS)) for number, each in enumerate(given)]

    def one(self, given: Any, field: str = "segment") -> Set:
        """From an object or its JSON."""
        return self._read(plain(lenient(field, given) if isinstance(given, str) else given, field), field, MOST_LEVELS)

    def _read(self, given: Any, field: str, levels: int) -> Set:
        if not levels:
            raise CallerError(f"expected at most {MOST_LEVELS} levels of sets", field)
        kind = _kind_of(given, field)
        match kind:
            case "and" | "or":
                several = given[kind]
                if not isinstance(several, list | tuple) or not 1 <= len(several) <= MOST_LEAVES:
                    raise CallerError(f"expected a list of 1 to {MOST_LEAVES} sets", f"{field}.{kind}")
                inner = (self._read(each, f"{field}.{kind}[{n}]", levels - 1) for n, each in enumerate(several))
                return Of(AND if kind == "and" else OR, tuple(inner))
            case "not":
                return Not(self._read(given["not"], f"{field}.not", levels - 1))
            case "segment":
                try:
                    saved = self._saved(given["segment"])
                except CallerError as error:
                    raise error.named(field) from None
                except HitError as error:
                    raise CallerError(str(error).removeprefix(f"{error.field}: "), field) from None
                return self._read(saved, field, levels - 1)
        leaf = self._leaf(given, kind, field)
        self._room_left -= 1 + (len(leaf.wanted.where) if isinstance(leaf, Did) else 0)
        if self._room_left < 0:
            raise CallerError(f"expected at most {MOST_LEAVES} conditions in a set", field)
        return leaf

    def _leaf(self, given: Any, kind: str, field: str) -> Set:
        match kind:
            case "event":
                return Did(wanted_asked(given, field, self._settings))
            case "property":
                condition = self._condition(given, field)
                if condition.when not in OF_VISITORS:
                    raise CallerError(f"expected {', '.join(OF_VISITORS)}, got {condition.when}", f"{field}.when")
                return having(condition)
            case "session":
                by = given["session"]
                if by not in SPLITS:
                    raise CallerError(f"expected one of {', '.join(SPLITS)}, got {ascii(by)[:60]}", f"{field}.session")
                fields = {name: value for name, value in given.items() if name != "session"}
                asked = self._condition({"property": by, **fields}, field)
                return Came(by, asked.values, asked.is_not)
        return self._cohort(given, field)

    def _condition(self, given: Any, field: str) -> Condition:
        try:
            (found,) = where_asked([given], field, self._settings)
        except CallerError as error:
            raise error.named(error.field.replace(f"{field}[0]", field, 1)) from None
        return found

    def _cohort(self, given: Any, field: str) -> Began:
        event = given["cohort"]
        name = name_of(event, f"{field}.cohort", self._settings, Reason.BAD_ID) if event else ""
        try:
            asked = self._range_of(given.get("period"))
        except CallerError as error:
            raise error.named(f"{field}.period") from None
        return Began(name, asked.start, asked.end)


def _kind_of(given: Any, field: str) -> str:
    """Which of KINDS an object is; `not` is also a word of conditions."""
    if not isinstance(given, dict):
        raise CallerError(_EXPECTED, field)
    kind = next((kind for kind in KINDS if kind in given), None)
    if kind is None:
        raise CallerError(_EXPECTED, field)
    for name in given:
        if name != kind and name not in FIELDS.get(kind, ()):
            raise CallerError(f"expected {' or '.join((kind, *FIELDS.get(kind, ())))}, got {ascii(name)[:60]}", field)
    return kind

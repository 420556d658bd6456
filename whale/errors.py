"""The errors of HailWhale: whose fault it is decides what an answer looks like.

HailWhaleError
    CallerError     what was asked cannot be answered: 400, names the field, what was expected and what came
        PeriodError     a period that cannot be read, or whose buckets are not kept
            NotBegun        a period that lies ahead, where there must be something to look at
        PathError       a pk or a path that cannot be read
        FormulaError    a formula that cannot be read
        TooManyPoints   an answer larger than its bound
        NotFound        what was named is not there: 404
        Gone            what was named has ended: 410
        Conflict        somebody else changed it first: 409, with what is there
        NotAllowed      who asks is known, and has no right to this: 403
        TooSoon         too much of it came from there: 429 with Retry-After
    Unavailable     ours, for now: 503 with Retry-After; asking again later may work
        Refused         the store answers, and says why it does not do it
        Interrupted     the store was away within a piece of work, which is to begin again
        Busy            enough others are at it, and nobody is to wait for them
    SetupError      the machine or the settings: nothing starts; one sentence that says what to do, exit code 2
"""

import re
from collections.abc import Sequence
from typing import Self


class HailWhaleError(Exception):
    """Any error that HailWhale raises on purpose; `str()` of it is a sentence for people."""


class CallerError(HailWhaleError):
    """The caller's fault: HTTP 400. field: the parameter to mend; code: a word that stays, for programs."""

    code = "bad_request"

    def __init__(self, message: str, field: str = ""):
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field

    def named(self, field: str) -> Self:
        """The same about another parameter."""
        return type(self)(str(self).removeprefix(f"{self.field}: "), field)


class PeriodError(CallerError):
    code = "bad_period"

    def __init__(self, message: str, field: str = "period"):
        super().__init__(message, field)


class NotBegun(PeriodError):
    pass


class PathError(CallerError):
    code = "bad_path"


class FormulaError(CallerError):
    code = "bad_formula"

    def __init__(self, message: str, field: str = "metrics"):
        super().__init__(message, field)


class TooManyPoints(CallerError):
    code = "too_many_points"

    def __init__(self, message: str, field: str = "period"):
        super().__init__(message, field)


class NotFound(CallerError):
    """HTTP 404."""

    code = "not_found"


class UnknownEvent(NotFound):
    """near: events that were logged, with names like it."""

    code = "unknown_event"

    def __init__(self, message: str, field: str = "", near: Sequence[str] = ()):
        super().__init__(message, field)
        self.near = list(near)


class Gone(CallerError):
    """HTTP 410."""

    code = "gone"


class Conflict(CallerError):
    """HTTP 409: somebody else was first. current: what is there now, as it is answered."""

    code = "conflict"

    def __init__(self, message: str, field: str = "", current: object = None):
        super().__init__(message, field)
        self.current = current


class NotAllowed(CallerError):
    """HTTP 403."""

    code = "not_allowed"


class TooSoon(CallerError):
    """HTTP 429: come again later. after_s: seconds."""

    code = "too_soon"

    def __init__(self, message: str, after_s: int, field: str = ""):
        super().__init__(message, field)
        self.after_s = after_s


class Unavailable(HailWhaleError):
    """Ours, and it may pass: HTTP 503."""


class Refused(Unavailable):
    """The store says why.

    said: in a sentence that anybody may see.  lasting: until a person changes something.  about: names, for the log alone.
    """

    def __init__(self, said: str, lasting: bool = False, about: str = ""):
        super().__init__(f"{said} ({about})" if about else said)
        self.said, self.lasting = said, lasting


class Interrupted(Unavailable):
    """The store was lost and found within a piece of work that stands on one state of it: begin it again."""


class Busy(Unavailable):
    """Nothing is away: enough others ask for the same. after_s: when to come again."""

    def __init__(self, message: str, after_s: int):
        super().__init__(message)
        self.after_s = after_s


class SetupError(HailWhaleError):
    """Nothing can start until a person changes something."""


TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
"""The types of msgspec, as people call them."""


def expected_of(error: Exception) -> str:
    """Of an error of msgspec about a type: `a whole number or null`; empty where it is about something else."""
    found = re.match(r"Expected `([^`]*)`, got ", str(error))
    return " or ".join(TYPES.get(word, word) for word in found[1].split(" | ")) if found else ""


def visible(text: str) -> str:
    """Names are data: what is no printable letter is shown as its escape, so that it cannot move the cursor."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)

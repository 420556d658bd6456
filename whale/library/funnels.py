"""What a funnel is asked by: its steps, its window, and what it is split by."""

import re
from typing import Any

from hail.hit import Reason, lenient, name_of
from hail.settings import DAY, Settings
from whale.answer.conditions import Wanted
from whale.answer.properties import LAST
from whale.answer.site_log import TICKS_A_S
from whale.answer.split import WHENS, By
from whale.errors import CallerError
from whale.library.conditions import wanted_asked
from whale.plain import plain

FEWEST, MOST = 2, 32
MOST_CONDITIONS = 32
"""Of all steps."""
FEW_ROWS, MOST_ROWS = 10, 1000
"""Of a split."""
DEFAULT_WINDOW = "1d"
MOST_WINDOW_S = 366 * DAY
UNITS = {"s": 1, "m": 60, "h": 3600, "d": DAY, "w": 7 * DAY}
_WINDOW = re.compile(r"([0-9]{1,9})([smhdw]?)", re.ASCII)


def steps_asked(steps: Any, settings: Settings) -> list[Wanted]:
    """Events, from a list or its JSON; raises CallerError, HitError."""
    given = plain(lenient("steps", steps) if isinstance(steps, str) else steps, "steps")
    if not isinstance(given, list | tuple) or not FEWEST <= len(given) <= MOST:
        raise CallerError(f'expected {FEWEST} to {MOST} events as a list, such as ["visit", "buy"]', "steps")
    found, conditions = [], 0
    for number, step in enumerate(given):
        found.append(wanted_asked(step, f"steps[{number}]", settings))
        conditions += len(found[-1].where)
        if conditions > MOST_CONDITIONS:
            raise CallerError(f"expected at most {MOST_CONDITIONS} conditions in all steps", "steps")
    return found


def window_asked(window: Any) -> int:
    """Seconds; raises CallerError."""
    is_given = isinstance(window, str | int) and not isinstance(window, bool)
    found = _WINDOW.fullmatch(str(window)) if is_given else None
    seconds = int(found[1]) * UNITS[found[2] or "s"] if found else 0
    if not 0 < seconds <= MOST_WINDOW_S:
        raise CallerError("expected 1s to 366d, such as 30m or 1d", "window")
    return seconds


def by_asked(by: Any, when: Any, limit: Any, gap_s: int, settings: Settings) -> By | None:
    """A property; None where none is asked. gap_s: ends a session.  Raises CallerError, HitError."""
    if by in (None, ""):
        if when:
            raise CallerError("requires by", "when")
        return None
    name = name_of(plain(by, "by"), "by", settings, Reason.BAD_ID)
    when = when or LAST
    if when not in WHENS:
        raise CallerError(f"expected {', '.join(WHENS[:-1])} or {WHENS[-1]}, got {ascii(when)[:60]}", "when")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_ROWS:
        raise CallerError(f"expected 1 to {MOST_ROWS}, got {ascii(limit)[:60]}", "limit")
    return By(name, when, limit, gap_s * TICKS_A_S)

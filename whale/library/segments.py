"""The log that a question about visitors of a site asks: of all of them, or of a segment, which is a set."""

from typing import Any

from whale.answer.segments import only
from whale.answer.site_log import FOR_EVER_MS, Log
from whale.library.exporting import site_asked
from whale.library.noting import Noting
from whale.library.sets import Reader
from whale.period import DAY, Range


def log_of(whale: Noting, pk: Any) -> Log:
    """Raises NotFound."""
    return Log.of(whale.store, whale.account, site_asked(pk), whale.settings.events_question_mb)


def log_asked(
    whale: Noting, pk: Any, segment: Any, asked: Range | None, tz: str | None = None, tzoffset: Any = None
) -> Log:
    """asked: the period of the question; None for all that is kept. Raises CallerError, NotFound, UnknownEvent."""
    log = log_of(whale, pk)
    if segment in (None, ""):
        return log
    asking = whale.asking.now()
    found = Reader(whale.settings, lambda period: asking.range_of(period, tz, tzoffset)).one(segment)
    period = asked or Range(DAY, 0, FOR_EVER_MS // 1000, asking.zone)
    return only(log, found, period, whale.settings.session_gap_s, asking.clock())

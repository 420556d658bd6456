"""The log that a question about visitors of a site asks: of all of them, or of a segment, which is a set."""

from dataclasses import replace
from typing import Any

from whale.answer.segments import only
from whale.answer.site_log import Log
from whale.library.exporting import site_asked
from whale.library.noting import Noting
from whale.library.sets import Reader


def log_asked(whale: Noting, pk: Any, segment: Any, tz: str | None, tzoffset: Any) -> Log:
    """segment: a set, as an object or its JSON; nothing for everybody. Raises CallerError, NotFound."""
    log = Log.of(whale.store, whale.account, site_asked(pk), whale.settings.events_question_mb)
    if segment in (None, ""):
        return log
    asking, gap_s = whale.asking.now(), gap_of(whale, log)
    wanted = Reader(whale.settings, lambda period: asking.range_of(period, tz, tzoffset)).one(segment)
    return replace(log, narrow=lambda whole, asked: only(whole, wanted, asked, gap_s, asking.clock()))


def gap_of(whale: Noting, log: Log) -> int:
    """Seconds without an event after which the next one of a visitor begins a session."""
    return log.session_gap_s or whale.settings.session_gap_s

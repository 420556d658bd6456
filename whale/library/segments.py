"""The log that a question about visitors of a site asks: of all of them, or of a segment, which is a set."""

from dataclasses import replace
from typing import Any

from whale.answer.segments import only
from whale.answer.sets import AND, Of, Set
from whale.answer.site_log import Log
from whale.library.exporting import site_asked
from whale.library.noting import Noting
from whale.library.saving import Shelf
from whale.library.sets import Reader
from whale.store.contract.saved import SEGMENTS


def log_asked(whale: Noting, pk: Any, segment: Any, tz: str | None, tzoffset: Any, where: Any = None) -> Log:
    """segment: a set, as an object or its JSON, or the name of a saved one; nothing for everybody.  where: a list of sets, or its JSON;
    all of them hold. Raises CallerError, NotFound.
    """
    log = Log.of(whale.store, whale.account, site_asked(pk), whale.settings.events_question_mb)
    reader, several = reader_of(whale, pk, tz, tzoffset), list[Set]()
    if where not in (None, ""):
        several = [each for _, each in reader.several(where, "where")]
    if segment not in (None, ""):
        is_name = isinstance(segment, str) and not segment.lstrip().startswith("{")
        several.append(reader.one({"segment": segment} if is_name else segment))
    if not several:
        return log
    asking, gap_s = whale.asking.now(), gap_of(whale, log)
    wanted = several[0] if len(several) == 1 else Of(AND, tuple(several))
    return replace(log, narrow=lambda whole, asked: only(whole, wanted, asked, gap_s, asking.clock()))


def reader_of(whale: Noting, pk: Any, tz: str | None = None, tzoffset: Any = None) -> Reader:
    """Of sets of visitors of a site."""
    asking = whale.asking.now()

    def saved(name: Any) -> Any:
        return Shelf(whale, pk, SEGMENTS).one(name)["set"]

    return Reader(whale.settings, lambda period: asking.range_of_log(period, tz, tzoffset), saved)


def gap_of(whale: Noting, log: Log) -> int:
    """Seconds without an event after which the next one of a visitor begins a session."""
    return log.session_gap_s or whale.settings.session_gap_s

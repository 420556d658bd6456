"""Visits of sites and what they are split by, in the library; a part of Whale, see client.py."""

from typing import Any

from hail.hit import Reason, lenient, name_of
from hail.settings import Settings
from whale.answer.asking import Period
from whale.answer.visit_rows import ORDERS
from whale.answer.visits import ENTRY, EVENT, EXIT, PAGE, Must
from whale.answer.visits_asked import Question, visits_of
from whale.errors import CallerError
from whale.library.arguments import on_default
from whale.library.conditions import texts_asked
from whale.library.following import FEW_ROWS, MOST_ROWS, PAGE_VIEW, Following
from whale.library.segments import gap_of
from whale.plain import plain

FROM = ("source", "channel", "campaign", "medium", "content", "term")
WITH = ("country", "device", "browser", "platform", "screen", "language")
SPLITS = (PAGE, ENTRY, EXIT, EVENT, *FROM, *WITH)
WORTH = "revenue"
"""The property that says what a goal is worth, if no other one is named."""
MOST_TESTS = MOST_SPLITS = 16
VERBS = ("is", "in", "not")


class Splitting(Following):
    """What visitors of sites did in a visit, and where it came from."""

    @on_default
    def visits(
        self,
        pk: Any,
        period: Period = None,
        *,
        by: Any = "",
        where: Any = None,
        goal: Any = None,
        worth: Any = WORTH,
        page: Any = PAGE_VIEW,
        order: str = "visits",
        limit: int = FEW_ROWS,
        segment: Any = None,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> dict[str, Any]:
        """{"visitors", "visits", "views", "bounces", "bounce_rate", "duration_s", "converters", "converted", "goals", "conversion",
        "worth", "goal", "gap_s", "basis", "since", "is_incomplete", "points", "rows": {by: [{"value", ..., "low", "high"}, ...]}}: the
        visits of a site that began in a period, in its buckets, and split.

        by: one or several of `page`, `entry_page`, `exit_page`, `event`, `source`, `channel`, `campaign`, `medium`, `content`, `term`,
        `country`, `device`, `browser`, `platform`, `screen` and `language`, as a list or with commas between.  where: only visits of
        which all hold, such as [{"by": "source", "is": "google"}]; `in` or `not` may stand for `is`.  goal: an event; a visit with one
        converted.  worth: the property that says what goals are worth.  page: the event that is a page view.  order: `visits`,
        `visitors`, `views`, `converted`, `worth`, or `confidence`: by the low end of the 95 % interval of the conversion.
        limit: of rows; the others are in `__other__`.  segment: only visitors of a set, as `overlap` has them, in this period.
        Raises NotFound of a goal that was never logged.
        """
        if order not in ORDERS:
            raise CallerError(f"expected {', '.join(ORDERS[:-1])} or {ORDERS[-1]}, got {ascii(order)[:60]}", "order")
        if order in ORDERS[3:] and not goal:
            raise CallerError(f"to order by {order} requires a goal", "order")
        if not 1 <= limit <= MOST_ROWS:
            raise CallerError(f"expected 1 to {MOST_ROWS}, got {limit}", "limit")
        question = Question(
            _splits(by),
            _tests(where, self.settings),
            self._event(goal, "goal") if goal else "",
            name_of(worth, "worth", self.settings, Reason.BAD_ID),
            self._event(page, "page"),
            order,
            limit,
        )
        log, asking = self._log(pk, segment, tz, tzoffset), self.asking.now()
        asked = asking.range_of_log(period, tz, tzoffset)
        return visits_of(log.of_period(asked), asked, question, gap_of(self, log), asking.clock())


def _splits(by: Any) -> tuple[str, ...]:
    """Each once, from a list, its JSON, or with commas between. Raises CallerError."""
    if by in (None, ""):
        return ()
    given = plain(lenient("by", by) if isinstance(by, str) and by.startswith("[") else by, "by")
    if isinstance(given, str):
        given = [part.strip() for part in given.split(",")]
    if not isinstance(given, list | tuple) or len(given) > MOST_SPLITS:
        raise CallerError(f"expected at most {MOST_SPLITS} names, such as source,page", "by")
    return tuple(dict.fromkeys(_split(each, "by") for each in given))


def _split(by: Any, field: str) -> str:
    for split in SPLITS:
        if by == split:
            return split
    raise CallerError(f"expected {', '.join(SPLITS[:-1])} or {SPLITS[-1]}, got {ascii(by)[:60]}", field)


def _tests(where: Any, settings: Settings) -> tuple[Must, ...]:
    """From a list or its JSON; none from nothing. Raises CallerError, HitError."""
    given = plain(lenient("where", where) if isinstance(where, str) else where, "where")
    if given in (None, ""):
        return ()
    if not isinstance(given, list | tuple) or len(given) > MOST_TESTS:
        raise CallerError(
            f'expected a list of at most {MOST_TESTS} tests, such as [{{"by": "source", "is": "google"}}]', "where"
        )
    return tuple(_test(each, f"where[{number}]", settings) for number, each in enumerate(given))


def _test(given: Any, field: str, settings: Settings) -> Must:
    if not isinstance(given, dict) or len(given) != 2 or "by" not in given:
        raise CallerError("expected by, and one of is, in and not", field)
    verb = next((verb for verb in VERBS if verb in given), "")
    if not verb:
        raise CallerError("expected by, and one of is, in and not", field)
    by = _split(given["by"], f"{field}.by")
    return Must(by, texts_asked(by, given[verb], verb, field, settings), verb == "not")

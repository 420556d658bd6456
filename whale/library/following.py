"""What visitors of sites do next, in the library; a part of Whale, see client.py."""

from typing import Any

from hail.hit import Reason, name_of
from whale.answer.asking import Period
from whale.answer.followed import paths_of, retention_of, sessions_of
from whale.answer.paths import BEFORE, NEXT
from whale.answer.recent import recent_of
from whale.answer.segments import overlap_of
from whale.answer.sessions import SPLITS
from whale.errors import CallerError, NotBegun, PeriodError, TooManyPoints
from whale.library.arguments import on_default
from whale.library.segments import gap_of, log_asked, reader_of
from whale.library.visiting import Visiting
from whale.period import DAY, MONTH, WEEK_STARTS, Interval, Span, bucket_start, next_start

PAGE_VIEW = "pageview"
"""The event that is a page view, if no other one is named."""
ENGAGED = "engaged_ms"
"""The metric of the time for which a page was looked at."""
FEW_ROWS, MOST_ROWS, MOST_COHORTS = 10, 1000, 100
WIDTHS: dict[str, Interval] = {"day": DAY, "week": "", "month": MONTH}
"""Of cohorts; which day a week begins with is asked, or a setting."""


class Following(Visiting):
    """What visitors of sites did, and what they did after it."""

    @on_default
    def sessions(
        self,
        pk: Any,
        period: Period = None,
        *,
        by: str = "",
        page: Any = PAGE_VIEW,
        limit: int = FEW_ROWS,
        segment: Any = None,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> dict[str, Any]:
        """{"sessions", "visitors", "bounces", "bounce_rate", "duration": {"median", "mean"}, "engaged_s", "gap_s", "basis", "since",
        "is_incomplete", "points", "rows"}: the sessions of a site that began in a period, in its buckets, and split.

        by: `entry` or `exit`, the first or the last event; or `source`, `campaign`, `medium`, `content` or `term`, the first value of
        this property in the session.  page: the event that is a page view.  limit: of rows; the others are in `__other__`.
        duration: seconds from the first to the last event.  engaged_s: sum of the metric engaged_ms; None where there is
        none, and of a segment.  segment: only visitors of a set, as `overlap` has them, in this period.
        """
        if by and by not in SPLITS:
            raise CallerError(f"expected {', '.join(SPLITS[:-1])} or {SPLITS[-1]}, got {ascii(by)[:60]}", "by")
        _within(limit, MOST_ROWS, "limit")
        log, asking, viewed = self._log(pk, segment, tz, tzoffset), self.asking.now(), self._event(page, "page")
        asked = asking.range_of_log(period, tz, tzoffset)
        found = sessions_of(log.of_period(asked), asked, gap_of(self, log), by, viewed, limit, asking.clock())
        if segment:
            return {**found, "engaged_s": None}  # a metric knows no visitors
        question = asking.single([log.log.site], None, ENGAGED, "metric")
        try:
            ranges = asking.range_named(period, tz, tzoffset)
        except (PeriodError, TooManyPoints):  # the log reaches further back than counts, and knows all zones
            return {**found, "engaged_s": None}
        engaged_ms = asking.inquiry(question, ranges).total(None).rows  # a site may have no such metric: no warning
        return {**found, "engaged_s": round(engaged_ms / 1000, 3) if engaged_ms else None}

    @on_default
    def recent_visitors(
        self,
        pk: Any,
        period: Period = None,
        *,
        limit: int = FEW_ROWS,
        segment: Any = None,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> dict[str, Any]:
        """{"rows": [{"visitor", "at", "event"}, ...], "since", "is_incomplete"}: who was at a site last in a period, the newest first,
        each visitor once with their last event. visitor: their id; None where ids are not kept.  limit: of rows, 1 to 1,000.
        segment: only visitors of a set, as `overlap` has them, in this period.
        """
        _within(limit, MOST_ROWS, "limit")
        asking, log = self.asking.now(), self._log(pk, segment, tz, tzoffset)
        asked = asking.range_of_log(period, tz, tzoffset)
        return recent_of(log.of_period(asked), asked, limit, asking.clock())

    @on_default
    def paths(
        self,
        pk: Any,
        event: Any,
        period: Period = None,
        *,
        direction: str = NEXT,
        limit: int = FEW_ROWS,
        segment: Any = None,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> dict[str, Any]:
        """{"event", "direction", "occurrences", "visitors", "rows": [{"event", "occurrences", "visitors"}, ...], "ended", "open", "gap_s",
        "basis", "since", "is_incomplete"}: the events that came `next`, or `before`, each time that an event happened, within the session.

        ended: how often it was the last of its session, or the first with `before`.  open: how often something may still come.
        limit: of rows; the others are in `__other__`.  segment: only visitors of a set in this period.
        Raises NotFound of an event that was never logged.
        """
        if direction not in (NEXT, BEFORE):
            raise CallerError(f"expected {NEXT} or {BEFORE}, got {ascii(direction)[:60]}", "direction")
        _within(limit, MOST_ROWS, "limit")
        named, asking = self._event(event, "event"), self.asking.now()
        asked = asking.range_of_log(period, tz, tzoffset)
        log = self._log(pk, segment, tz, tzoffset).of_period(asked)
        return paths_of(log, asked, named, direction, gap_of(self, log), limit, asking.clock())

    @on_default
    def retention(
        self,
        pk: Any,
        first: Any = None,
        again: Any = None,
        *,
        by: str = "week",
        count: int = 12,
        start: Any = None,
        where: Any = None,
        segment: Any = None,
        tz: str | None = None,
        tzoffset: Any = None,
        week: str | None = None,
    ) -> dict[str, Any]:
        """{"cohorts": [{"at", "visitors", "kept", "open_from"}, ...], "curve", "basis", "since", "is_incomplete"}: visitors by the day,
        week or month in which they first did something, and how many of them came back in it and in each one after it.

        first, again: events; None for any.  by: `day`, `week` or `month`.  count: of cohorts.  start: a time in the first one; default:
        so that the last one is now's.  open_from: the first of `kept` that is not over; None if all are.  curve: shares of all
        cohorts together whose bucket is over.
        where: only visitors of all of these sets, such as [{"property": "plan", "is": "pro"}].  segment: and of this set.
        Raises NotFound of an event that was never logged.
        """
        if by not in WIDTHS:
            raise CallerError(f"expected {', '.join(WIDTHS)}, got {ascii(by)[:60]}", "by")
        _within(count, MOST_COHORTS, "count")
        began, came = (self._event(each, field) if each else "" for each, field in ((first, "first"), (again, "again")))
        asking = self.asking.now()
        now = asking.clock()
        if start in (None, ""):
            today = asking.range_of_log("today", tz, tzoffset, week=week)
            width = WIDTHS[by] or WEEK_STARTS[week or self.settings.week_starts]
            start = next_start(width, bucket_start(width, now, today.zone), today.zone, 1 - count)
        asked = asking.range_of_log(Span(start, None, by, count), tz, tzoffset, week=week)
        if asked.start > now:
            raise NotBegun("expected a time that is not ahead", "start")
        log = log_asked(self, pk, segment, tz, tzoffset, where).of_period(asked)
        return retention_of(log, asked, began, came, now)

    @on_default
    def overlap(
        self,
        pk: Any,
        sets: Any,
        period: Period = None,
        *,
        segment: Any = None,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> dict[str, Any]:
        """{"visitors", "sets": [{"set", "visitors"}, ...], "regions": [{"in", "visitors"}, ...], "basis", "since", "is_incomplete"}: how
        many visitors of a site, of those with an event in a period, are in which of some sets.

        sets: 1 to 8. A set is {"event", "where"}, {"property", "is", "when"}, {"session", "is"}, {"cohort", "period"}, {"and": [set, ...]},
        {"or": [set, ...]} or {"not": set}; `in` or `not` may stand for `is`.  in: places in sets. Each visitor is in one region.
        segment: only visitors of a set. Raises NotFound of an event or a property that was never logged.
        """
        asking = self.asking.now()
        asked, wanted = asking.range_of_log(period, tz, tzoffset), reader_of(self, pk, tz, tzoffset).several(sets)
        log = self._log(pk, segment, tz, tzoffset)
        return overlap_of(log.of_period(asked), wanted, asked, gap_of(self, log), asking.clock())

    def _event(self, event: Any, field: str) -> str:
        return name_of(event, field, self.settings, Reason.BAD_ID)


def _within(given: int, most: int, field: str) -> None:
    if not 1 <= given <= most:
        raise CallerError(f"expected 1 to {most}, got {given}", field)

"""Reports of events, properties and funnels as HiiTrack has them, in the library; a part of Whale, see client.py."""

from typing import Any

from hail.hit import Reason, is_text, name_of
from whale.answer.hiitrack import Numbers, Reports
from whale.answer.site_log import Log
from whale.answer.wanted import unknown_event
from whale.dimension import path_text
from whale.errors import CallerError, PeriodError
from whale.library.arguments import on_default
from whale.library.exporting import now_in, site_asked
from whale.library.funnels import FEWEST, MOST, MOST_WINDOW_S
from whale.library.saving import Shelf
from whale.library.visiting import Visiting
from whale.period import Range, Span, interval_name, width
from whale.store.contract.saved import FUNNELS
from whale.visitors.entries import EVENT

MOST_LETTERS = 300
"""Of a description."""
VALUES, MOST_VALUES = 1000, 10_000
"""Of a property, that a report names."""


class Reporting(Visiting):
    """What visitors of sites did, and HiiTrack's reports of it."""

    @on_default
    def event_report(
        self,
        pk: Any,
        event: Any,
        *,
        property: Any = None,
        start: Any = None,
        finish: Any = None,
        interval: str | None = None,
        limit: int | None = None,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> dict[str, Any]:
        """{"id", "name", "total", "unique_total", "path", "unique_path", "properties", "since", "is_incomplete"}: how often an event of a
        site happened, by how many visitors, and after which others, as HiiTrack's GET /USER/BUCKET/event/NAME.

        property: {"totals", "unique_totals", "paths", "unique_paths", "values"} by ids of its values; limit of them are named, 1,000 by
        default.  start, finish, interval: each number is a list [[epoch s, number], ...] of buckets.  total: from the counts; all else from
        the log, since `since`.
        Raises NotFound where no log is kept of the site, or the event or the property never happened.
        """
        site, name = site_asked(pk), name_of(event, "event", self.settings, Reason.BAD_ID)
        by, reports = self._by(property, limit), self._reports(site, tz, tzoffset)
        if start in (None, ""):
            for field, value in (("finish", finish), ("interval", interval)):
                if value not in (None, ""):
                    raise CallerError("requires start", field)
            asked, total = None, self._known(reports.log, site, [name], "event")[name]
            return reports.event(name, total, asked, by)
        self._known(reports.log, site, [name], "event")
        span = Span(start, None if finish == "" else finish, interval or "day")
        asked = self.asking.now().range_of(span, tz, tzoffset)
        return reports.event(name, None if by else self._counted_in(site, name, span, tz, tzoffset), asked, by)

    @on_default
    def property_report(
        self, pk: Any, property: Any, *, limit: int | None = None, tz: str | None = None, tzoffset: Any = None
    ) -> dict[str, Any]:
        """{"id", "name", "values": {id: {"value", "total": {event id: visitors}}}, "events": {id: name}, "since", "is_incomplete"}: the
        values of a property of a site, and the visitors who have them and had an event, as HiiTrack's GET /USER/BUCKET/property/NAME.

        limit: of values, 1,000 by default.  Raises NotFound where no log is kept of the site, or the property was never logged.
        """
        name = name_of(property, "property", self.settings, Reason.BAD_PROPERTIES)
        return self._reports(site_asked(pk), tz, tzoffset).property(name, _limit(limit))

    @on_default
    def funnel_report(
        self,
        pk: Any,
        events: Any,
        *,
        property: Any = None,
        limit: int | None = None,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> dict[str, Any]:
        """{"event_ids", "total", "unique_total", "path", "unique_path", "funnel", "unique_funnel", "since", "is_incomplete"}: a funnel
        of 2 to 32 events of a site, as HiiTrack's GET /USER/BUCKET/funnel. Each step is later than the one before, and the last at most
        366 days after the first. `funnel` counts events, and `unique_funnel` visitors.

        property: of visitors; "totals", "funnels" and so on by ids of its values.
        Raises NotFound where no log is kept of the site, or an event or the property never happened.
        """
        site, names = site_asked(pk), self._steps(events)
        by, reports = self._by(property, limit), self._reports(site, tz, tzoffset)
        return reports.funnel(names, self._known(reports.log, site, names, "event"), by)

    @on_default
    def save_funnel_report(
        self, pk: Any, name: Any, events: Any, *, description: str = "", property: Any = None
    ) -> dict[str, Any]:
        """{"name", "revision", "steps", "window_s", "description", "property"}: saves a funnel of 2 to 32 events of a site under a name,
        in place of the one that is there, as HiiTrack's POST /USER/BUCKET/funnel/NAME. `funnel` finds it by its name, too. property: None,
        or the one by which it is to be split.

        Raises NotFound where no log is kept of the site, or an event never happened.
        """
        site, names = site_asked(pk), self._steps(events)
        if not isinstance(description, str) or len(description) > MOST_LETTERS or not is_text(description):
            raise CallerError(f"expected text of at most {MOST_LETTERS} letters", "description")
        split = name_of(property, "property", self.settings, Reason.BAD_PROPERTIES) if property else None
        self._known(self._log(site), site, names, "event")
        fields = {"steps": names, "window_s": MOST_WINDOW_S, "description": description, "property": split}
        return Shelf(self, site, FUNNELS).keep(name, fields, None, "steps")[0]

    @on_default
    def saved_funnel_report(
        self, pk: Any, name: Any, *, limit: int | None = None, tz: str | None = None, tzoffset: Any = None
    ) -> dict[str, Any]:
        """{"description"} beside what `funnel_report` has: of a saved funnel of a site, by its name, as HiiTrack's GET
        /USER/BUCKET/funnel/NAME.

        Raises NotFound where there is none; CallerError where it has conditions, which such a report does not know.
        """
        site = site_asked(pk)
        saved = Shelf(self, site, FUNNELS).one(name)
        if not all(isinstance(step, str) for step in saved["steps"]):
            raise CallerError("has steps with conditions, which only /funnel knows: ask it by name", "name")
        split, reports = saved.get("property"), self._reports(site, tz, tzoffset)
        totals = self._known(reports.log, site, saved["steps"], "name")
        found = reports.funnel(saved["steps"], totals, self._by(split, limit), saved["window_s"])
        return {"description": saved.get("description", ""), **found}

    def _steps(self, events: Any) -> list[str]:
        """Raises CallerError, HitError."""
        if not isinstance(events, list | tuple) or not FEWEST <= len(events) <= MOST:
            raise CallerError(f"expected {FEWEST} to {MOST} events", "event")
        return [name_of(each, "event", self.settings, Reason.BAD_ID) for each in events]

    def _reports(self, site: str, tz: str | None, tzoffset: Any) -> Reports:
        """Raises NotFound."""
        now, zone = now_in(self, tz, tzoffset)
        return Reports(self._log(site), now, zone, self.settings.max_answer_points)

    def _by(self, property_: Any, limit: int | None) -> tuple[str, int] | None:
        if property_ in (None, ""):
            if limit is not None:
                raise CallerError("requires property", "limit")
            return None
        return name_of(property_, "property", self.settings, Reason.BAD_PROPERTIES), _limit(limit)

    def _known(self, log: Log, site: str, events: list[str], field: str) -> dict[str, int]:
        """Of events how often each was ever counted; raises UnknownEvent of one that never was, and is not in the log."""
        asking = self.asking.now()
        question = asking.question(site, [["event", event] for event in dict.fromkeys(events)], ["hits"])
        (rows,) = asking.inquiry(question, {"": self._ever()}).totals().rows.values()
        counts = {event: int(rows[path_text(("event", event))]["hits"]) for event in events}
        missing = [event for event, count in counts.items() if not count]
        names = log.names() if missing else set()
        for event in missing:
            if (EVENT, event) not in names:
                raise unknown_event(event, names, field)
        return counts

    def _ever(self) -> Range:
        """All of which counts are kept."""
        asking = self.asking.now()
        try:
            return asking.range_of(Span(0, None, "year"))
        except PeriodError:  # none is kept for ever
            kept = dict(self.settings.periods)
            longest = max(kept, key=lambda interval: kept[interval] or 0)
            begin = asking.clock() - (kept[longest] or 0) + width(longest)
            return asking.range_of(Span(begin, None, interval_name(longest)))

    def _counted_in(self, site: str, event: str, span: Span, tz: str | None, tzoffset: Any) -> Numbers:
        """Buckets in which an event was counted."""
        found = self.plotpoints(
            site, [["event", event]], ["hits"], period=span, points_type=list, flot_time=True, tz=tz, tzoffset=tzoffset
        )
        ((points),) = (row["hits"] for row in found.values())
        return [[ms // 1000, count] for ms, count in points if count]


def _limit(limit: int | None) -> int:
    limit = VALUES if limit is None else limit
    if not 1 <= limit <= MOST_VALUES:
        raise CallerError(f"expected 1 to {MOST_VALUES}, got {limit}", "limit")
    return limit

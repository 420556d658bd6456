"""Visitors of sites in the library; a part of Whale, see client.py."""

from typing import Any

from hail.hit import Reason, name_of
from whale.answer.asking import Period
from whale.answer.log_reading import FOR_EVER_MS
from whale.answer.one_visitor import shown_visitor
from whale.answer.properties import ANY, FIRST, LAST
from whale.answer.site_log import KINDS
from whale.errors import CallerError
from whale.library.arguments import on_default
from whale.library.erasing import erase
from whale.library.exporting import exported, now_in, site_asked
from whale.library.funneling import Funneling
from whale.period import DAY, Range

MOST_EVENTS = MOST_VALUES = 10_000
"""Of one visitor, and of one property, in one answer."""
FEW_VALUES = 100


class Visiting(Funneling):
    """Funnels, and what else visitors of sites did."""

    @on_default
    def visitors(
        self,
        pk: Any,
        period: Period = None,
        *,
        segment: Any = None,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> dict[str, Any]:
        """{"visitors", "new", "returning", "exact", "basis", "since", "is_incomplete", "points"}: who came to a site, each once, in a
        period and in its buckets. new: who had no event before, since the log is kept; None where `basis` is "daily".
        segment: only visitors of a set, as `overlap` has them, in this period.

        Raises NotFound where no log is kept of the site.
        """
        asking, log = self.asking.now(), self._log(pk, segment, tz, tzoffset)
        asked = asking.range_of_log(period, tz, tzoffset)
        return log.of_period(asked).visitors(asked, asking.clock())

    @on_default
    def events(
        self,
        pk: Any,
        period: Period = None,
        *,
        segment: Any = None,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> dict[str, Any]:
        """{"events": [{"event", "times", "visitors", "last"}, ...], "since", "is_incomplete"}: the events of a site in a period, the
        most frequent first. segment: only those of visitors of a set, as `overlap` has them, in this period.
        """
        asking, log = self.asking.now(), self._log(pk, segment, tz, tzoffset)
        asked = asking.range_of_log(period, tz, tzoffset)
        return log.of_period(asked).events(asked, asking.clock())

    @on_default
    def visitor(
        self, pk: Any, visitor: Any, limit: int = 100, *, tz: str | None = None, tzoffset: Any = None
    ) -> dict[str, Any]:
        """{"visitor", "events": [{"at", "event"}, ...], "more", "properties": [{"property", "value", "since"}, ...], "since",
        "is_incomplete"}: the last events of a visitor of a site, the newest first, and the last value of each of their properties. Raises
        NotFound of one who is not known.
        """
        _within(limit, MOST_EVENTS)
        return shown_visitor(self._log(pk), self._visitor(visitor), limit, *now_in(self, tz, tzoffset))

    @on_default
    def export_visitor(self, pk: Any, visitor: Any, *, tz: str | None = None, tzoffset: Any = None) -> dict[str, Any]:
        """{"site", "visitor", "ids", "since", "is_incomplete", "last_hits", "events", "properties"}: all that is kept of a visitor of a
        site, the oldest first, also under further ids of theirs. Raises NotFound of one who is not known.
        """
        found = exported(self, pk, visitor, tz, tzoffset)
        return {**found.head, "events": list(found.events), "properties": list(found.properties)}

    @on_default
    def properties(
        self,
        pk: Any,
        property: Any = None,
        event: Any = None,
        *,
        of: str = "",
        when: str | None = None,
        limit: int | None = None,
        segment: Any = None,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> dict[str, Any]:
        """{"properties": [{"property", "of", "visitors", "values"}, ...], "since", "is_incomplete"}: the properties of visitors of a site
        and of their events. event: only those of this event, and of visitors who had it.

        With a property, its values: {"property", "of", "visitors", "values", "rows": [{"value", "visitors"}, ...],
        "events": [{"event", "visitors"}, ...], "since", "is_incomplete"}. of: `visitor` or `event`; default: the visitors' where they
        have it.  when: the `last` value of each visitor (the default), the `first`, or `any` that they had.  limit: of rows, 100 by
        default; the others are in `__other__`.  segment: only visitors of a set, as `overlap` has them, among all who had an event.
        Raises NotFound of a property or an event that was not logged.
        """
        now = now_in(self, tz, tzoffset)
        log = self._log(pk, segment, tz, tzoffset).of_period(Range(DAY, 0, FOR_EVER_MS // 1000, now[1]))
        wanted = name_of(event, "event", self.settings, Reason.BAD_ID) if event else ""
        if not property:
            for field, value in (("of", of), ("when", when), ("limit", limit)):
                if value:
                    raise CallerError("requires property", field)
            return log.properties(wanted, *now)
        if of and of not in KINDS:
            raise CallerError(f"expected {' or '.join(KINDS)}, got {ascii(of)[:60]}", "of")
        when = when or LAST
        if when not in (ANY, LAST, FIRST):
            raise CallerError(f"expected any, last or first, got {ascii(when)[:60]}", "when")
        limit = FEW_VALUES if limit is None else limit
        _within(limit, MOST_VALUES)
        name = name_of(property, "property", self.settings, Reason.BAD_ID)
        return log.property(name, of, when, limit, wanted, *now)

    @on_default
    def identify(self, pk: Any, anonymous: Any, known: Any) -> dict[str, Any]:
        """{"joined", "why"}: that two ids of a site are one visitor's, for hits that are accepted 5 s later or more.

        why: `joined`; `already`; `other_known`, where both are other people's; `events_full`, where the logs take all the memory that they
        may. Never taken back.
        """
        log = self._log(pk)
        people = [
            log.person(name_of(each, field, self.settings, Reason.BAD_ID))
            for field, each in (("anonymous", anonymous), ("known", known))
        ]
        why = self.store.identify(log.log, *people)
        return {"joined": why in ("joined", "already"), "why": why}

    @on_default
    def erase_visitor(self, pk: Any, visitor: Any) -> dict[str, Any]:
        """{"purged", "aof"}: forgets a visitor of a site by any of their ids. Hits that were accepted before, and in the next 5 s, are
        counted and not logged. purged: whether all of their records are out of Redis's memory; else a worker packs them away within an
        hour.  aof: `rewriting` if the embedded Redis writes its file anew without them, `kept` if copies stay there for now, `none` if
        no such file is written.
        """
        return erase(self.store, self.account, site_asked(pk), self._visitor(visitor))

    def _visitor(self, visitor: Any) -> str:
        return name_of(visitor, "visitor", self.settings, Reason.BAD_ID)


def _within(limit: int, most: int) -> None:
    if not 1 <= limit <= most:
        raise CallerError(f"expected 1 to {most}, got {limit}", "limit")

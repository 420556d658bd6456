"""Visitors of sites in the library; a part of Whale, see client.py."""

from typing import Any

from hail.hit import Reason, name_of
from whale.answer.asking import Period
from whale.answer.site_log import Log
from whale.dimension import pk_asked
from whale.errors import CallerError
from whale.library.arguments import on_default
from whale.library.erasing import erase
from whale.library.noting import Noting

MOST_EVENTS = 10_000
"""Of one visitor, in one answer."""


class Visiting(Noting):
    """Notes, and what visitors of sites did."""

    @on_default
    def visitors(
        self, pk: Any, period: Period = None, *, tz: str | None = None, tzoffset: Any = None
    ) -> dict[str, Any]:
        """{"visitors", "new", "returning", "since", "is_incomplete", "points"}: who came to a site, each once, in a period and in its
        buckets. new: who had no event before, since the log is kept. Raises NotFound where no log is kept of the site.
        """
        asking = self.asking.now()
        return self._log(pk).visitors(asking.range_of(period, tz, tzoffset), asking.clock())

    @on_default
    def events(self, pk: Any, period: Period = None, *, tz: str | None = None, tzoffset: Any = None) -> dict[str, Any]:
        """{"events": [{"event", "times", "visitors", "last"}, ...], "since", "is_incomplete"}: the events of a site in a period, the
        most frequent first.
        """
        asking = self.asking.now()
        return self._log(pk).events(asking.range_of(period, tz, tzoffset), asking.clock())

    @on_default
    def visitor(
        self, pk: Any, visitor: Any, limit: int = 100, *, tz: str | None = None, tzoffset: Any = None
    ) -> dict[str, Any]:
        """{"visitor", "events": [{"at", "event"}, ...], "more", "since", "is_incomplete"}: the last events of a visitor of a site, the
        newest first. Raises NotFound of one who is not known.
        """
        if not 1 <= limit <= MOST_EVENTS:
            raise CallerError(f"expected 1 to {MOST_EVENTS}, got {limit}", "limit")
        asking = self.asking.now()
        zone = asking.range_of("today", tz, tzoffset).zone
        return self._log(pk).history(self._visitor(visitor), limit, asking.clock(), zone)

    @on_default
    def identify(self, pk: Any, anonymous: Any, known: Any) -> dict[str, Any]:
        """{"joined", "why"}: that two ids of a site are one visitor's, for hits that are accepted 5 s later or more.

        why: `joined`; `already`; `other_known`, where both are other people's. Never taken back.
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
        """{"purged"}: forgets a visitor of a site by any of their ids. Hits that were accepted before, and in the next 5 s, are counted
        and not logged. purged: whether all of their records are out of Redis's memory; else a worker packs them away within an hour.
        """
        return erase(self.store, self.account, _site(pk), self._visitor(visitor))

    def _log(self, pk: Any) -> Log:
        """Raises NotFound."""
        return Log.of(self.store, self.account, _site(pk))

    def _visitor(self, visitor: Any) -> str:
        return name_of(visitor, "visitor", self.settings, Reason.BAD_ID)


def _site(pk: Any) -> str:
    names = pk_asked(pk)
    if len(names) > 1:
        raise CallerError("expected a site, which is a pk of one level", "pk")
    return names[0]

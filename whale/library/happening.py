"""What visitors of sites do, counted at once; a part of Whale, see client.py.

Promise of a batch: all of it counts, as one message, or nothing does.
"""

from collections.abc import Sequence
from typing import Any

from hail.hiitrack import hit_of_event, hit_of_properties
from hail.hit import Reason, name_of, parse_hit
from whale.errors import CallerError
from whale.library.arguments import on_default
from whale.library.counting import Counting
from whale.library.exporting import site_asked
from whale.library.reporting import Reporting
from whale.library.segmenting import Segmenting
from whale.library.talking import Talking


class Happening(Reporting, Segmenting, Talking, Counting):
    """What visitors did, and what they do now."""

    @on_default
    def event(self, pk: Any, event: Any, visitor: Any = None, *, at: Any = None, id: Any = None) -> None:
        """Counts an event of a site at once: at the site, and there at `event` > its name. It is logged if there is a visitor, and a log.

        id: a second event with the same id does not count.  Raises HitError, CallerError, Unavailable.
        """
        named = name_of(event, "event", self.settings, Reason.BAD_ID)
        self.count_hit(hit_of_event(site_asked(pk), named, visitor, at, id))

    @on_default
    def property(self, pk: Any, name: Any, value: Any, visitor: Any, *, at: Any = None) -> None:
        """Logs at once that a visitor of a site has a value of a property, of any JSON type. It counts no hit.

        Raises HitError, CallerError, Unavailable.
        """
        named = name_of(name, "name", self.settings, Reason.BAD_PROPERTIES)
        self._count_together([_of_somebody(site_asked(pk), {named: value}, visitor, at)])

    @on_default
    def batch(self, pk: Any, events: Any = (), visitor: Any = None, *, properties: Any = None, at: Any = None) -> None:
        """Counts some events of one visitor of a site at once, in their order, and logs properties of theirs: name -> JSON value.

        Raises HitError, CallerError, Unavailable.
        """
        if not isinstance(events, list | tuple):
            raise CallerError(f"expected a list of names, got {ascii(events)[:60]}", "events")
        site = site_asked(pk)
        names = [name_of(event, f"events[{i}]", self.settings, Reason.BAD_ID) for i, event in enumerate(events)]
        sets = properties if isinstance(properties, list) else [properties] if properties else []
        first = [_of_somebody(site, each, visitor, at) for each in sets]
        self._count_together([*first, *(hit_of_event(site, name, visitor, at) for name in names)])

    def _count_together(self, given: Sequence[dict[str, Any]]) -> None:
        """As one message, in this order."""
        most, now = self.settings.max_batch_hits, self.clock()
        if not 1 <= len(given) <= most:
            raise CallerError(f"expected 1 to {most} events, got {len(given)}", "events")
        hits = [parse_hit(each, self.settings, now) for each in given]
        self._direct_now().count(self.account, hits, now)


def _of_somebody(site: str, properties: Any, visitor: Any, at: Any) -> dict[str, Any]:
    if visitor is None:
        raise CallerError("expected the id of a visitor, got nothing", "visitor")
    return hit_of_properties(site, properties, visitor, at)

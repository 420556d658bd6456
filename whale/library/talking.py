"""Words to one visitor of a site, in the library; a part of Whale, see client.py.

    push ──> the talk of the visitor ──> live: each page of theirs that listens

Promise: a message is kept when it returns, for `push_kept_s`, within the bounds of the settings. It comes once to each page that
listens until then. Nobody but pages that hold a token for this visitor hear it (hail/live.py).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from hail.live import is_drawn
from hail.times import shown
from whale.answer.talked import message_of, rows_of
from whale.errors import CallerError, NotFound
from whale.library.arguments import on_default
from whale.library.exporting import site_asked
from whale.library.noting import Noting
from whale.plain import plain

MOST_TALKS = 1000


class Talking(Noting):
    """Messages to one visitor."""

    @on_default
    def push(self, pk: Any, visitor: Any, data: Any) -> dict[str, Any]:
        """{"id", "reached"}: says something, an object, to the pages of a visitor. visitor: the id of their browser.
        reached: how many pages listen now; with 0 the next page hears it, until it is forgotten.

        Raises NotFound where there is no such site.
        """
        site, named = self._talking_at(pk), _visitor_of(visitor)
        given = plain(data, "data")
        if not isinstance(given, Mapping) or not given:
            raise CallerError(f"expected an object, got {ascii(given)[:60]}", "data")
        text, most = msgspec.json.encode(given), self.settings.push_message_bytes
        if len(text) > most:
            raise CallerError(f"expected at most {most} bytes, got {len(text)}", "data")
        id_ = self.store.say(self.account, (site, named), False, text)
        self.store.tell_more(self.account, (site, named))
        return {"id": id_, "reached": self.store.listening(self.account, site, named).get(named, 0)}

    @on_default
    def listening(self, pk: Any, limit: int = 100) -> dict[str, Any]:
        """{"rows": [{"visitor", "pages", "last"}, ...], "pages"}: visitors of a site whose pages listen, then those who are gone and
        with whom somebody talked. last: the last words, as `talk` has them, or None.  pages: how many listen.
        """
        site = self._talking_at(pk)
        if isinstance(limit, bool) or not 1 <= limit <= MOST_TALKS:
            raise CallerError(f"expected 1 to {MOST_TALKS}, got {limit}", "limit")
        pages = self.store.listening(self.account, site)
        last = self.store.talks(self.account, site, self.settings.push_talks)
        return {"rows": rows_of(pages, last, limit), "pages": sum(pages.values())}

    @on_default
    def talk(self, pk: Any, visitor: Any, after: int = 0) -> dict[str, Any]:
        """{"visitor", "pages", "messages": [{"id", "by", "data"}, ...]}: the messages to a visitor and by them, the oldest first.
        after: only messages with greater ids.
        """
        site, named = self._talking_at(pk), _visitor_of(visitor)
        if isinstance(after, bool) or after < 0:
            raise CallerError(f"expected the id of a message, got {after}", "after")
        return {
            "visitor": named,
            "pages": self.store.listening(self.account, site, named).get(named, 0),
            "messages": [message_of(each) for each in self.store.talk(self.account, (site, named), after)],
        }

    def _talking_at(self, pk: Any) -> str:
        """Raises NotFound."""
        site = site_asked(pk)
        if all(each.pk != site for each in self.store.sites(self.account)):
            raise NotFound(f"there is no site {ascii(site)[:60]}", "pk")
        return site


def _visitor_of(visitor: Any) -> str:
    if not isinstance(visitor, str) or not is_drawn(visitor):
        raise CallerError(
            f"expected the random id of a browser, as a UUID of version 4, got {shown(visitor)}", "visitor"
        )
    return visitor

"""Pages that listen to what is said to their visitor, and those who keep them awake.

    say ──> Redis: the talk ── "there is more" ──> live: pages of that visitor wake ──> each reads its talk after what it had last

Nothing that is said waits here: a page reads its own talk, in its order, after the id that it had last. So each word comes once to each
page, whichever live service it is at and whatever was missed meanwhile; and a page that reads slowly holds nothing but its connection.

Promise: a page hears the talk of its own account, site and visitor alone. It stops within CHECK_S and the time of a read after its site
was closed or removed. While Redis is away pages stay, and read when it is back; a wake-up that was lost is made good after at most the
time between two pings.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Protocol

import gevent
import gevent.event
import msgspec

from hail.live import Heard
from hail.message import ACCOUNT
from hail.settings import Settings
from whale.errors import SetupError, Unavailable
from whale.live.viewers import ENDED, GONE, Full
from whale.store.contract.accounts import Accounts
from whale.store.contract.talks import Page, Talks

log = logging.getLogger("whale.live")

MOST_OF_VISITOR = 20
"""Pages of one visitor."""
SAY_S, SAID_S = 5.0, 15.0
"""How often it is said who listens, and for how long."""
CHECK_S = 2.0
HEAR_S, LONGEST_PAUSE_S = 1.0, 1.0
AGAIN = "again"
"""The same page has come again."""


class TalkStore(Talks, Accounts, Protocol):
    """What of the store is needed here."""


class Listener:
    """One page. cut: closes its connection at once.  ended: why it is over.  heard: whose talk."""

    __slots__ = ("_wake", "cut", "ended", "heard", "page")

    def __init__(self, heard: Heard, page: str):
        self.heard, self.page = heard, Page(heard.site, heard.visitor, page)
        self.ended = ""
        self.cut: Callable[[], None] = lambda: None
        self._wake = gevent.event.Event()

    def begin(self) -> None:
        """Before it reads: what is said from now on wakes it."""
        self._wake.clear()

    def more(self) -> None:
        self._wake.set()

    def wait(self, seconds: float) -> None:
        """Until there may be more, or it has ended."""
        if not self.ended:
            self._wake.wait(max(0.0, seconds))

    def end(self, why: str) -> None:
        self.ended = self.ended or why
        self._wake.set()


class Listeners:
    """All of this service. For one loop of greenlets."""

    def __init__(self, settings: Settings):
        self._most, self._of_account = settings.push_max_pages, settings.push_account_pages
        self._all: dict[Heard, dict[str, Listener]] = {}
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(self._counts.values())

    def open(self, heard: Heard, page: str) -> Listener:
        """page: its word. One that has come again takes its own place. Raises Full."""
        mine = self._all.get(heard, {})
        before = mine.get(page)
        if not before:
            if len(self) >= self._most:
                raise Full(self._most)
            if heard.account != ACCOUNT and self._counts.get(heard.account, 0) >= self._of_account:
                raise Full(self._of_account)
            if len(mine) >= MOST_OF_VISITOR:
                raise Full(MOST_OF_VISITOR)
            self._counts[heard.account] = self._counts.get(heard.account, 0) + 1
        else:
            before.end(AGAIN)
        found = Listener(heard, page)
        self._all.setdefault(heard, {})[page] = found
        return found

    def close(self, listener: Listener) -> bool:
        """Whether its page is gone; not where it has come again."""
        listener.end(GONE)
        mine = self._all.get(listener.heard, {})
        if mine.get(listener.page.page) is not listener:
            return False
        del mine[listener.page.page]
        account = listener.heard.account
        self._counts[account] -= 1
        if not mine:
            del self._all[listener.heard]
        if not self._counts[account]:
            del self._counts[account]
        return True

    def more(self, heard: Heard) -> None:
        for listener in self._all.get(heard, {}).values():
            listener.more()

    def wake_all(self) -> None:
        for listener in self:
            listener.more()

    def end_all(self, why: str) -> None:
        for listener in self:
            listener.end(why)

    def __iter__(self) -> Iterator[Listener]:
        return iter([listener for mine in self._all.values() for listener in mine.values()])

    def pages(self) -> dict[str, list[Page]]:
        """By account."""
        found: dict[str, list[Page]] = {}
        for listener in self:
            found.setdefault(listener.heard.account, []).append(listener.page)
        return found


class Watch:
    """Keeps pages awake, says who listens, and ends those that may no more.  store: raises Unavailable while it was not reached."""

    def __init__(self, listeners: Listeners, store: Callable[[], TalkStore]):
        self._listeners, self._store = listeners, store

    def start(self) -> None:
        for work in (self._hear, self._say, self._check):
            gevent.spawn(work)

    def _hear(self) -> None:
        pause = 0.05
        while True:
            try:
                with self._store().hearing_talks() as hearing:
                    hearing.hear("")
                    self._listeners.wake_all()
                    pause = 0.05
                    while True:
                        if told := hearing.next(HEAR_S):
                            self._listeners.more(msgspec.json.decode(told[1], type=Heard))
            except (Unavailable, SetupError) as error:
                log.info("pages that listen wait: %s", error)
            except Exception:  # this greenlet serves all pages
                log.exception("cannot hear what is said to visitors")
            gevent.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _say(self) -> None:
        while True:
            gevent.sleep(SAY_S)
            try:
                self.say_who_listens()
            except Unavailable as error:
                log.info("who listens is not said: %s", error)
            except Exception:  # as above
                log.exception("cannot say who listens")

    def say_who_listens(self) -> None:
        """Raises Unavailable."""
        for account, pages in self._listeners.pages().items():
            self._store().listen(account, pages, SAID_S)

    def _check(self) -> None:
        while True:
            gevent.sleep(CHECK_S)
            try:
                self.end_of_closed_sites()
            except Unavailable as error:
                log.info("sites of pages that listen are not checked: %s", error)
            except Exception:  # as above
                log.exception("cannot check the sites of pages that listen")

    def end_of_closed_sites(self) -> None:
        """Raises Unavailable."""
        for account in self._listeners.pages():
            there = open_sites(self._store(), account)
            for listener in self._listeners:
                if listener.heard.account == account and listener.heard.site not in there:
                    listener.end(ENDED)


def open_sites(store: Accounts, account: str) -> set[str]:
    """Sites of an account whose pages may send and listen. One read."""
    return {site.pk for site in store.sites(account) if site.open}

"""The relay: one subscription to Redis for all viewers, and the word there that somebody looks.

It hears the account of the keys always, to know that Redis is there, and any other one while somebody looks at it. A stream begins once its
account is heard. While Redis is away streams stay open and are told so. It is taken up again by itself; what was published meanwhile is
not told.
"""

import logging
import time
from collections.abc import Callable
from typing import Protocol

import gevent
import gevent.event
import gevent.lock
import msgspec

from hail.message import ACCOUNT
from hail.metrics import tell_held
from hail.settings import Settings
from whale.dimension import Pk
from whale.errors import SetupError, Unavailable
from whale.events import decode
from whale.keys import KeyStore
from whale.live.standing import CHECK_S, Standing, ended
from whale.live.viewers import Viewer, Viewers, said
from whale.logins import Users
from whale.store.contract.live import Hearing, Live
from whale.store.contract.talks import Talks

log = logging.getLogger("whale.live")

LOOK_S, LOOKED_S = 2.0, 6.0  # how often it is said that somebody looks, and for how long
WAIT_S = 0.05  # for what is published, until it is looked whether another account is to be heard
BEGIN_S = 2.0  # that a stream waits for its account to be heard
LONGEST_PAUSE_S = 1.0
TICK_S = 0.25


class LiveStore(Live, Talks, KeyStore, Users, Standing, Protocol):
    """What of the store is needed for streams, for talks with visitors and for who may look."""


class Relay:
    """connect: gives the store; raises SetupError, Unavailable.  clock: epoch seconds."""

    def __init__(
        self,
        settings: Settings,
        viewers: Viewers,
        connect: Callable[[], LiveStore],
        clock: Callable[[], float] = time.time,
    ):
        self._settings, self._viewers, self._connect, self._clock = settings, viewers, connect, clock
        self._store: LiveStore | None = None
        self._why = "it was not reached yet"
        self._said: frozenset[tuple[str, Pk]] = frozenset()  # that are looked at, the last time
        self._heard: frozenset[str] = frozenset()
        self._more_heard = gevent.event.Event()
        self._speaking = gevent.lock.RLock()
        self._hears = self._looks = False
        self._was_up: bool | None = None

    @property
    def is_up(self) -> bool:
        return self._hears and self._looks

    @property
    def store(self) -> LiveStore:
        """Once it was reached; raises Unavailable before."""
        if self._store is None:
            raise Unavailable(f"Redis: {self._why}")
        return self._store

    def start(self) -> None:
        for work in (self._hear, self._look, self._tick, self._check):
            gevent.spawn(work)

    def ping(self) -> bytes:
        """What each stream begins with and is told every PING_S, and when Redis goes or comes."""
        state = {
            "at": int(time.time() * 1000),
            "redis": "up" if self.is_up else "away",
            "spy": self._settings.spy,
        }
        return said("ping", msgspec.json.encode(state))

    def look_now(self, viewer: Viewer) -> None:
        """So that whoever has just come misses nothing. Of many who come together one speaks for all."""
        account, until = viewer.looker.account, time.monotonic() + BEGIN_S
        while self.is_up and account not in self._heard and (left := until - time.monotonic()) > 0:
            self._more_heard.wait(left)
        with self._speaking:
            if self._store and self.is_up and (account, viewer.pk) not in self._said:
                self._say_looked()

    def _hear(self) -> None:
        pause = 0.05
        while True:
            try:
                store = self._store = self._store or self._connect()
                with store.hearing() as hearing:
                    self._heard = frozenset()
                    self._follow(hearing)
                    self._be(hears=True, looks=True)
                    self._say_looked()
                    pause = 0.05
                    while True:
                        if published := hearing.next(WAIT_S):
                            account, text = published
                            self._viewers.tell(account, decode(text), time.monotonic())
                        self._follow(hearing)
            except (Unavailable, SetupError) as error:
                self._why = str(error)
                self._be(hears=False, why=str(error))
            except msgspec.DecodeError:  # of another version
                log.exception("cannot read an event that was published")
            except Exception:  # this greenlet serves all viewers
                log.exception("cannot hear events")
                self._be(hears=False)
            gevent.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _follow(self, hearing: Hearing) -> None:
        """Hears the accounts that somebody looks at, and no others."""
        wanted = frozenset((ACCOUNT, *self._viewers.accounts))
        if wanted == self._heard:
            return
        for account in wanted - self._heard:
            hearing.hear(account)
        for account in self._heard - wanted:
            hearing.leave(account)
        self._heard = wanted
        waiting, self._more_heard = self._more_heard, gevent.event.Event()
        waiting.set()

    def _look(self) -> None:
        while True:
            gevent.sleep(LOOK_S)
            if self._store:
                self._say_looked()

    def _say_looked(self) -> None:
        looked = self._viewers.looked
        try:
            if looked and self._store:
                self._store.look(looked, LOOKED_S)
                self._be(looks=True)
            self._said = frozenset((account, pk) for account, pks in looked.items() for pk in pks)
        except Unavailable as error:
            self._be(looks=False, why=str(error))
        except Exception:  # as above
            log.exception("cannot say that somebody looks")

    def _check(self) -> None:
        """Ends the streams of those who may look no more."""
        while True:
            gevent.sleep(CHECK_S)
            try:
                if self._store:
                    for looker in ended(self._viewers.lookers, self._store, self._clock()):
                        self._viewers.end_of(looker)
            except Exception:  # as above
                log.exception("cannot check who looks")

    def _tick(self) -> None:
        while True:
            gevent.sleep(TICK_S)
            self._viewers.tell_totals(time.monotonic())
            tell_held()

    def _be(self, hears: bool | None = None, looks: bool | None = None, why: str = "") -> None:
        self._hears = self._hears if hears is None else hears
        self._looks = self._looks if looks is None else looks
        if self.is_up != self._was_up:
            self._was_up = self.is_up
            if why:
                log.warning("streams wait: %s", why)
            self._viewers.say(self.ping())

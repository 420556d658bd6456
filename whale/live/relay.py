"""The relay: one subscription to Redis for all viewers, and the word there that somebody looks.

While Redis is away streams stay open and are told so. It is taken up again by itself; what was published meanwhile is not told.
"""

import logging
import time
from collections.abc import Callable

import gevent
import gevent.lock
import msgspec

from hail.metrics import tell_held
from hail.settings import Settings
from whale.dimension import Pk
from whale.errors import SetupError, Unavailable
from whale.events import decode
from whale.live.viewers import Viewers, said
from whale.store.contract.live import Live

log = logging.getLogger("whale.live")

LOOK_S, LOOKED_S = 2.0, 6.0  # how often it is said that somebody looks, and for how long
WAIT_S = 1.0  # for what is published
LONGEST_PAUSE_S = 1.0
TICK_S = 0.25


class Relay:
    """connect: gives the store; raises SetupError, Unavailable."""

    def __init__(self, settings: Settings, viewers: Viewers, account: str, connect: Callable[[], Live]):
        self._settings, self._viewers, self._account, self._connect = settings, viewers, account, connect
        self._store: Live | None = None
        self._said: frozenset[Pk] = frozenset()  # that are looked at, the last time
        self._speaking = gevent.lock.RLock()
        self._hears = self._looks = False
        self._was_up: bool | None = None

    @property
    def is_up(self) -> bool:
        return self._hears and self._looks

    def start(self) -> None:
        for work in (self._hear, self._look, self._tick):
            gevent.spawn(work)

    def ping(self) -> bytes:
        """What each stream begins with and is told every PING_S, and when Redis goes or comes."""
        state = {
            "at": int(time.time() * 1000),
            "redis": "up" if self.is_up else "away",
            "spy": self._settings.spy,
        }
        return said("ping", msgspec.json.encode(state))

    def look_now(self, pk: Pk) -> None:
        """So that whoever has just come misses nothing. Of many who come together one speaks for all."""
        with self._speaking:
            if self._store and self.is_up and pk not in self._said:
                self._say_looked(self._viewers.looked)

    def _hear(self) -> None:
        pause = 0.05
        while True:
            try:
                store = self._store = self._store or self._connect()
                with store.hear(self._account) as heard:
                    self._be(hears=True, looks=True)
                    self._say_looked(self._viewers.looked)
                    pause = 0.05
                    while True:
                        if published := heard(WAIT_S):
                            self._viewers.tell(decode(published), time.monotonic())
            except (Unavailable, SetupError) as error:
                self._be(hears=False, why=str(error))
            except msgspec.DecodeError:  # of another version
                log.exception("cannot read an event that was published")
            except Exception:  # this greenlet serves all viewers
                log.exception("cannot hear events")
                self._be(hears=False)
            gevent.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _look(self) -> None:
        while True:
            gevent.sleep(LOOK_S)
            if self._store:
                self._say_looked(self._viewers.looked)

    def _say_looked(self, pks: list[Pk]) -> None:
        try:
            if pks and self._store:
                self._store.look(self._account, pks, LOOKED_S)
                self._be(looks=True)
            self._said = frozenset(pks)
        except Unavailable as error:
            self._be(looks=False, why=str(error))
        except Exception:  # as above
            log.exception("cannot say that somebody looks")

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

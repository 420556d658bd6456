"""A probe: the last look at something that may be slow, or hang: made in a thread of its own, and never twice at once."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from whale.errors import Refused, SetupError, Unavailable

T = TypeVar("T")
EVERY_S = 5.0
STALE_S = 3 * EVERY_S

log = logging.getLogger(__name__)


class Unknown(Exception):
    """Nothing can be said about it now; the message says why, to anybody."""


class Probe(Generic[T]):
    """For many threads. look: raises Unknown, Unavailable, SetupError, OSError.  name: of it, in sentences."""

    def __init__(self, name: str, look: Callable[[], T]):
        self._name, self._look = name, look
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._found: T | None = None
        self._why = ""
        self._begun = self._seen = -STALE_S
        self._runs = self._late = False

    def see(self, until: float) -> tuple[T | None, str]:
        """What it found last, or None and why. It looks again where that is older than EVERY_S.

        until: monotonic time to wait for it; nobody waits for a look that others have waited for in vain.
        """
        with self._lock:
            now = time.monotonic()
            if not self._runs and now - self._begun >= EVERY_S:
                self._runs, self._late, self._begun, self._ended = True, False, now, threading.Event()
                threading.Thread(target=self._work, args=(self._ended,), name="probe", daemon=True).start()
            ended, late = self._ended, self._late
        if not late and not ended.wait(max(0.0, until - time.monotonic())):
            self._late = True
        with self._lock:
            if self._runs and time.monotonic() - self._seen >= STALE_S:
                return None, f"{self._name} has not answered for {time.monotonic() - self._begun:.0f} s"
            return self._found, self._why

    def _work(self, ended: threading.Event) -> None:
        found, why = None, ""
        try:
            found = self._look()
        except (Unknown, Refused, SetupError) as error:
            why = str(error)
        except Unavailable:
            why = f"{self._name} cannot be reached"
        except OSError as error:
            why = f"{self._name}: {error.strerror or type(error).__name__}"
        except Exception:  # of a look no answer falls
            log.exception("cannot look at %s", self._name)
            why = f"{self._name} could not be looked at: the log of Whale says why"
        with self._lock:
            self._found, self._why, self._seen, self._runs = found, why, time.monotonic(), False
        ended.set()

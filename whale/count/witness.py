"""The witness: tells the spy what became of the hits of an apply. By the way: no hit waits for it, nothing is counted from it.

The first word goes at once; while applies come faster than EVERY_S, what they saw is told together, by a timer. So it costs the
same however many applies there are. A process that ends first tells what it saw; one that is killed does not.

What Whale itself refuses is told the same way, the newest MAX_REFUSALS of it: a write to Redis may be a fsync, which no stranger
shall have for the asking.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence

from hail.hit import Reason
from hail.message import MAX_REFUSALS, Message
from whale.cells import Name
from whale.errors import Unavailable
from whale.spy import KEPT, Traces, traces_of
from whale.store.contract.spy import Spy

log = logging.getLogger(__name__)

EVERY_S = 0.2
EVERY_REFUSED_S = 1.0
MOST_HITS = 20 * KEPT  # of those seen, the newest, where telling takes long

Dropped = Mapping[Name, Mapping[int, Reason]]


class Witness:
    """For any number of threads. every_s: between two words."""

    def __init__(self, store: Spy, every_s: float = EVERY_S):
        self._store, self._every_s = store, every_s
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[deque[Message], dict[Name, Mapping[int, Reason]]]] = {}
        self._refused: dict[str, deque[str]] = {}
        self._free_at = 0.0
        self._timer: threading.Timer | None = None
        self._now = 0.0

    def saw(self, account: str, messages: Sequence[Message], dropped: Dropped, now: float) -> None:
        """Messages that were applied, and which of their hits did not count."""
        with self._lock:
            waiting, reasons = self._seen.setdefault(account, (deque(), {}))
            waiting += messages
            reasons.update(dropped)
            hits = sum(len(message.hits) for message in waiting)
            while hits - len(waiting[0].hits) >= MOST_HITS:
                gone = waiting.popleft()
                reasons.pop(gone.name, None)
                hits -= len(gone.hits)
        self._tell_soon(now)

    def refused(self, account: str, trace: str, now: float) -> None:
        """A hit that was never accepted; see spy.refused."""
        with self._lock:
            self._refused.setdefault(account, deque(maxlen=MAX_REFUSALS)).append(trace)
        self._tell_soon(now)

    def _tell_soon(self, now: float) -> None:
        with self._lock:
            self._now = now
            if self._timer is not None:  # it tells this, too, however late it is
                return
            now_s = time.monotonic()
            if now_s < self._free_at:
                timer = threading.Timer(self._free_at - now_s, self.tell)
                timer.start()
                self._timer = timer
                return
            self._free_at = now_s + self._every_s
        self.tell()

    def tell(self) -> None:
        """All that was seen, now."""
        with self._lock:
            seen, self._seen = self._seen, {}
            refused, self._refused = self._refused, {}
            self._timer, self._free_at, now = None, time.monotonic() + self._every_s, self._now
        told = {account: traces_of(messages, dropped) for account, (messages, dropped) in seen.items()}
        for account, traces in refused.items():
            told.setdefault(account, Traces([], [], {})).refused.extend(traces)
        for account, found in told.items():
            if found:
                try:
                    self._store.spy_add(account, found, now)
                except Unavailable as error:  # the hits are counted: only what is shown of them is lost
                    log.warning("the spy misses some hits: %s", error)
                except Exception:  # as above, whatever it is
                    log.exception("the spy misses some hits")

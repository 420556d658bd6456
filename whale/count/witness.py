"""The witness: tells the spy what became of the hits of an apply. By the way: no hit waits for it, nothing is counted from it.

The first word goes at once; while applies come faster than EVERY_S, what they saw is told together, by a timer. So it costs the
same however many applies there are. A process that ends first tells what it saw; one that is killed does not.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence

from hail.hit import Reason
from hail.message import Message
from whale.errors import Unavailable
from whale.spy import traces_of
from whale.store.base import Name, Store

log = logging.getLogger(__name__)

EVERY_S = 0.2

Dropped = Mapping[Name, Mapping[int, Reason]]


class Witness:
    """For any number of threads."""

    def __init__(self, store: Store):
        self._store = store
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[list[Message], dict[Name, Mapping[int, Reason]]]] = {}
        self._free_at = 0.0
        self._timer: threading.Timer | None = None
        self._now = 0.0

    def saw(self, account: str, messages: Sequence[Message], dropped: Dropped, now: float) -> None:
        """Messages that were applied, and which of their hits did not count."""
        with self._lock:
            waiting, reasons = self._seen.setdefault(account, ([], {}))
            waiting += messages
            reasons.update(dropped)
            self._now = now
            if self._timer is not None:  # it tells this, too, however late it is
                return
            now_s = time.monotonic()
            if now_s < self._free_at:
                timer = threading.Timer(self._free_at - now_s, self.tell)
                timer.start()
                self._timer = timer
                return
            self._free_at = now_s + EVERY_S
        self.tell()

    def tell(self) -> None:
        """All that was seen, now."""
        with self._lock:
            seen, self._seen = self._seen, {}
            self._timer, self._free_at, now = None, time.monotonic() + EVERY_S, self._now
        for account, (messages, dropped) in seen.items():
            traces = traces_of(messages, dropped)
            if traces.counted or traces.others:
                try:
                    self._store.spy_add(account, traces, now)
                except Unavailable as error:  # the hits are counted: only what is shown of them is lost
                    log.warning("the spy misses some hits: %s", error)
                except Exception:  # as above, whatever it is
                    log.exception("the spy misses some hits")

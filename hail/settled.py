"""Accounts, sites and pages that the directory does not know: since when they are asked for.

    a name comes that is unknown ── has Whale told the directory since it first came? ──> yes: there is none, 4xx, for good
                                                                                    └──> no: 503, ask again

A site is made at Whale, and Hail hears of it a second later. A tracker forgets what was refused by a 4xx, so until then Hail says 503.

Promise: nobody is told that there is no such name who asked within SETTLES_S of Whale's last word. No request asks Whale. Each process
remembers MOST names, and forgets the oldest: a stranger who asks for many others makes a wrong name get 503 once more, and no right one
wait.
"""

import threading
from collections.abc import Callable

MOST = 1000
SETTLES_S = 2.0
"""Whale's word counts if it came so long after the name: it may have been under way before."""


class Settled:
    """For many threads. told_at: when Whale last told the directory; None: never.  clock: epoch seconds."""

    def __init__(self, told_at: Callable[[], float | None], clock: Callable[[], float]):
        self._told_at, self._clock = told_at, clock
        self._since: dict[int, float] = {}
        self._lock = threading.Lock()

    def is_final(self, *name: str) -> bool:
        """Whether nobody needs to ask again for what the directory does not have."""
        key, now, told_at = hash(name), self._clock(), self._told_at()
        with self._lock:
            since = self._since.get(key)
            if since is None or since > now:  # or the clock was put back
                self._since.pop(key, None)
                if len(self._since) >= MOST:
                    del self._since[next(iter(self._since))]
                since = self._since[key] = now
        return told_at is not None and told_at >= since + SETTLES_S

    def __len__(self) -> int:
        """Names."""
        return len(self._since)

"""The witness: tells the spy, and those who look, what became of the hits of an apply. By the way: nothing is counted from it.

The first word goes at once; while applies come faster than EVERY_S, what they saw is told together, by a timer. So it costs the
same however many applies there are. A word takes a round trip for each account, to see who looks, and one for each TOGETHER of them.
After a long one comes a rest REST times as long, so that many accounts do not hold up who counts. A process that ends first tells
what it saw; one that is killed does not.

What Whale itself refuses is told the same way, the newest MAX_REFUSALS of it: a write to Redis may be a fsync, which no stranger
shall have for the asking.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from hail.hit import Reason
from hail.message import MAX_REFUSALS, Message
from whale.cells import Name
from whale.count.erased import ErasedStore, forget_erased
from whale.count.live_events import TOTALS_S, LiveEvents
from whale.errors import Unavailable
from whale.spy import KEPT, Traces, traces_of
from whale.store.contract.live import Live

log = logging.getLogger(__name__)

EVERY_S = 0.2
EVERY_REFUSED_S = 1.0
REST, MOST_REST_S = 9, 3.0
TOGETHER = 100  # accounts
MOST_HITS = 20 * KEPT  # of those seen, the newest, where telling takes long

Dropped = Mapping[Name, Mapping[int, Reason]]


class _Seen:
    """Of an account, since the last word."""

    __slots__ = ("dropped", "hits", "messages")

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.dropped: dict[Name, Mapping[int, Reason]] = {}
        self.hits = 0


class Watching(ErasedStore, Live, Protocol):
    """What is asked of a store."""


class Witness:
    """For any number of threads. every_s: between two words.  spy: 0 keeps no hits and shows none, sums alone."""

    def __init__(self, store: Watching, every_s: float = EVERY_S, spy: bool = True):
        self._store, self._every_s, self._spy = store, every_s, spy
        self._live = LiveEvents(store, spy)
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._refused: dict[str, deque[str]] = {}
        self._free_at, self._telling = 0.0, 0
        self._timer: threading.Timer | None = None
        self._now = 0.0

    def saw(self, account: str, messages: Sequence[Message], dropped: Dropped, now: float) -> None:
        """Messages that were applied, and which of their hits did not count."""
        with self._lock:
            seen = self._seen.get(account)
            if seen is None:
                seen = self._seen[account] = _Seen()
            seen.messages += messages
            seen.dropped.update(dropped)
            seen.hits += sum([len(message.hits) for message in messages])
            while seen.hits - len(seen.messages[0].hits) >= MOST_HITS:
                gone = seen.messages.popleft()
                self._live.missed(account, gone, seen.dropped)
                seen.dropped.pop(gone.name, None)
                seen.hits -= len(gone.hits)
        self._tell_soon(now)

    def refused(self, account: str, trace: str, now: float) -> None:
        """A hit that was never accepted; see spy.refused."""
        with self._lock:
            self._refused.setdefault(account, deque(maxlen=MAX_REFUSALS)).append(trace)
        self._tell_soon(now)

    def _tell_soon(self, now: float) -> None:
        with self._lock:
            self._now = now
            if self._timer is not None or self._telling:  # this is told then, too, however late it is
                return
            now_s = time.monotonic()
            if now_s < self._free_at:
                self._tell_in(self._free_at - now_s)
                return
            self._free_at = now_s + self._every_s
        self.tell()

    def _tell_in(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self.tell)
        self._timer.start()

    def tell(self) -> None:
        """All that was seen, now."""
        with self._lock:
            seen, self._seen = self._seen, {}
            refused, self._refused = self._refused, {}
            self._timer, self._telling, now = None, self._telling + 1, self._now
            began = time.monotonic()
        try:
            self._tell(seen, refused, now)
        finally:
            with self._lock:
                ended = time.monotonic()
                self._telling -= 1
                self._free_at = max(began + self._every_s, ended + min(REST * (ended - began), MOST_REST_S))
                waiting = self._free_at - ended if self._seen or self._refused else TOTALS_S
                if self._timer is None and (self._seen or self._refused or self._live.waiting()):
                    self._tell_in(waiting)

    def _tell(self, seen: Mapping[str, _Seen], refused: Mapping[str, Iterable[str]], now: float) -> None:
        accounts = [*dict.fromkeys((*seen, *refused, *self._live.waiting()))]
        for first in range(0, len(accounts), TOGETHER):
            some = {account: seen.get(account) or _Seen() for account in accounts[first : first + TOGETHER]}
            traces: dict[str, Traces] = {}
            for account, of in some.items():
                traces[account] = traces_of(of.messages, of.dropped) if self._spy else Traces([], [], {})
                traces[account].refused.extend(refused.get(account, ()))
            lost = self._not_kept(traces, now)
            if lost is None:
                return
            for account, of in some.items():
                if account not in lost:
                    self._live.tell(account, of.messages, of.dropped, traces[account], now, time.monotonic())

    def _not_kept(self, traces: Mapping[str, Traces], now: float) -> Collection[str] | None:
        """The accounts whose traces the store did not take; None where it is away, so that there is no use in further ones."""
        given = {account: of_account for account, of_account in traces.items() if of_account}
        try:
            lost = self._store.spy_add_each(given, now) if given else ()
            for account, of_account in given.items():
                forget_erased(self._store, account, of_account)
            return lost
        except (
            Unavailable
        ) as error:  # the hits are counted: only what is shown of them, and of further accounts, is lost
            log.warning("the spy misses some hits: %s", error)
            return None
        except Exception:  # as above, whatever it is
            log.exception("the spy misses some hits")
            return given

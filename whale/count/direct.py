"""Counting at once, without Hail and without a queue: `count_now`.

Promise: when `count` returns, the hits are counted, each once. When it raises Unavailable they may or may not be:
nothing was accepted. Each call is a message of a publisher of this process, so that the audit closes: a publisher is
used by one call at a time, for one account alone, and thrown away when its last message may have been lost.
"""

import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from hail.hit import Hit, encode_hit
from hail.message import Message, decode_message, encode_message

MOST_ACCOUNTS = 1000
"""Whose publishers are kept for their next hits; others get new ones."""


@dataclass(frozen=True)
class Named:
    """What a message is called before its hits are known: its name, the running total up to it, and when it was made."""

    account: str
    publisher: str
    seq: int
    total: int
    at_ms: int


class Direct:
    """Hands hits to an applier as messages. For many threads.

    kept_s: how long the names of its messages are remembered at least.
    """

    def __init__(self, apply: Callable[[Message], None], kept_s: float = 0.0):
        self.apply, self._kept_s = apply, kept_s
        self._idle: OrderedDict[str, deque[tuple[str, int, int]]] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, account: str, hits: Sequence[Hit], now: float) -> None:
        """Counts the hits; raises Unavailable."""
        name = self.name(account, len(hits), now)
        self.count_as(name, hits)
        self.done(name)

    def name(self, account: str, hits: int, now: float) -> Named:
        """A name for so many hits, of a publisher that nobody uses until it is `done`, or put back as `unused`."""
        try:
            publisher, seq, total = self._idle_of(account).pop()
        except IndexError:
            publisher, seq, total = secrets.token_hex(8), 0, 0
        return Named(account, publisher, seq, total + hits, int(now * 1000))

    def count_as(self, name: Named, hits: Sequence[Hit]) -> None:
        """Counts hits under a name: the same again, from whatever process, adds nothing. Raises Unavailable."""
        rows = [encode_hit(hit) for hit in hits]
        message = decode_message(encode_message(name.publisher, name.seq, name.account, name.total, name.at_ms, rows))
        self.apply(msgspec.structs.replace(message, kept_s=self._kept_s) if self._kept_s else message)

    def done(self, name: Named) -> None:
        self._idle_of(name.account).append((name.publisher, name.seq + 1, name.total))

    def unused(self, name: Named, hits: int) -> None:
        self._idle_of(name.account).append((name.publisher, name.seq, name.total - hits))

    def _idle_of(self, account: str) -> deque[tuple[str, int, int]]:
        with self._lock:
            idle = self._idle.pop(account, None)
            if idle is None:
                idle = deque()
                while len(self._idle) >= MOST_ACCOUNTS:
                    self._idle.popitem(last=False)
            self._idle[account] = idle
            return idle

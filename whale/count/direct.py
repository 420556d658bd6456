"""Counting at once, without Hail and without a queue: `count_now`.

Promise: when `count` returns, the hits are counted, each once. When it raises Unavailable they may or may not be:
nothing was accepted. Each call is a message of a publisher of this process, so that the audit closes: a publisher is
used by one call at a time, and thrown away when its last message may have been lost.
"""

import secrets
from collections import deque
from collections.abc import Callable, Sequence

from hail.hit import Hit, encode_hit
from hail.message import Message, decode_message, encode_message


class Direct:
    """Hands hits to an applier as messages. For many threads."""

    def __init__(self, apply: Callable[[Message], None]):
        self.apply = apply
        self._idle: deque[tuple[str, int, int]] = deque()

    def count(self, account: str, hits: Sequence[Hit], now: float) -> None:
        """Counts the hits; raises Unavailable."""
        try:
            publisher, seq, total = self._idle.pop()
        except IndexError:
            publisher, seq, total = secrets.token_hex(8), 0, 0
        total += len(hits)
        body = encode_message(publisher, seq, account, total, int(now * 1000), [encode_hit(hit) for hit in hits])
        self.apply(decode_message(body))
        self._idle.append((publisher, seq + 1, total))

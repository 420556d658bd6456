"""Answers that are remembered for a while: least recently used first out, by function and arguments."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import msgspec

MOST = 1000


class Cache:
    """For many threads. clock: epoch seconds.  most: of what `weigh` says of all answers together; else answers."""

    def __init__(self, clock: Callable[[], float], most: int = MOST, weigh: Callable[[Any], int] = lambda _: 1):
        self._clock, self._most, self._weigh = clock, most, weigh
        self._weight = 0
        self._entries: OrderedDict[bytes, tuple[float, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, key: bytes | None, answer: Callable[[], Any], lifetime_s: Callable[[Any], float], force: bool = False
    ) -> Any:
        """The remembered answer, or a new one where there is none or it is forced. key: None remembers nothing.

        lifetime_s: of an answer.
        """
        if key is None:
            return answer()
        now = self._clock()
        known = None if force else self.find(key)
        if known is not None:
            return known[0]
        found = answer()
        self.keep(key, found, now + lifetime_s(found))
        return found

    def find(self, key: bytes) -> tuple[Any] | None:
        """The remembered answer; None where there is none."""
        now = self._clock()
        with self._lock:
            until, found = self._entries.get(key, (0.0, None))
            if until <= now:
                return None
            self._entries.move_to_end(key)
            return (_copy(found),)

    def keep(self, key: bytes, answer: Any, until: float) -> None:
        """Remembers an answer. until: epoch seconds."""
        entry, weight = (until, _copy(answer)), self._weigh(answer)
        with self._lock:
            if key in self._entries:
                self._weight -= self._weigh(self._entries.pop(key)[1])
            if weight > self._most:
                return
            self._entries[key] = entry
            self._weight += weight
            while self._weight > self._most:
                self._weight -= self._weigh(self._entries.popitem(last=False)[1][1])


def values_in(answer: Any) -> int:
    """How many maps, lists and values an answer is made of."""
    if isinstance(answer, dict | list):
        return 1 + sum(map(values_in, answer.values() if isinstance(answer, dict) else answer))
    return 1


def argument_key(function: str, arguments: Mapping[str, Any]) -> bytes | None:
    """The same for the same question; None where an argument cannot be written down."""
    try:
        return msgspec.json.encode([function, sorted(arguments.items())], enc_hook=_type_name)
    except (TypeError, ValueError, UnicodeError):
        return None


def _type_name(value: Any) -> str:
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    raise TypeError(type(value).__name__)


def _copy(value: Any) -> Any:
    """Maps and lists anew, so that a caller may change what it got."""
    if isinstance(value, dict):
        made = copy(value)
        made.update((name, _copy(item)) for name, item in value.items())
        return made
    return [_copy(item) for item in value] if isinstance(value, list) else value

"""Answers that are remembered for a while: least recently used first out, by account, function and arguments."""

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import msgspec

from hail.room import COST, MEGABYTE, Bounded


class Cache:
    """For many threads. clock: epoch seconds.  name, megabytes: of its Room.  weigh: bytes of an answer in memory."""

    def __init__(self, clock: Callable[[], float], name: str, megabytes: float, weigh: Callable[[Any], int]):
        self._clock = clock
        self._kept: Bounded[bytes, tuple[float, Any]] = Bounded(
            name, megabytes * MEGABYTE, lambda key, entry: 2 * COST + len(key) + weigh(entry[1])
        )

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
        until, found = self._kept.get(key) or (0.0, None)
        if until <= self._clock():
            return None
        self._kept.renew(key)
        return (_copy(found),)

    def keep(self, key: bytes, answer: Any, until: float) -> None:
        """Remembers an answer. until: epoch seconds."""
        self._kept.keep(key, (until, _copy(answer)))


def bytes_of(answer: Any) -> int:
    """About how much memory maps, lists, numbers and texts take."""
    if isinstance(answer, dict):
        return COST + sum(COST + len(str(name)) + bytes_of(below) for name, below in answer.items())
    if isinstance(answer, list | tuple):
        return COST + sum(map(bytes_of, answer))
    return 100 + len(answer) if isinstance(answer, str | bytes) else 40


def argument_key(account: str, function: str, arguments: Mapping[str, Any]) -> bytes | None:
    """The same for the same question of the same account; None where an argument cannot be written down."""
    try:
        return msgspec.json.encode([account, function, sorted(arguments.items())], enc_hook=_type_name)
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

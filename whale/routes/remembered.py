"""Answers that one process remembers, for those who ask with `cached`: least recently used first out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import bottle
import msgspec

from whale.answer.cache import Cache, argument_key
from whale.routes.door import Door


@dataclass(frozen=True, slots=True)
class Kept:
    """A remembered answer. until: epoch seconds."""

    body: bytes
    headers: dict[str, str]
    until: float


class Remembered:
    """For many threads. The caller's account is the first part of what an answer is remembered by."""

    def __init__(self, door: Door, clock: Callable[[], float]):
        self._door, self._clock = door, clock
        self._cache = Cache(clock, "answers", door.settings.answers_mb, lambda kept: len(kept.body) + 1000)

    def remembering(self, answer: Callable[..., Any], periods: Callable[..., Any]) -> Callable[..., Any]:
        """The same answer to a question; with `cached` what is remembered of it, for a fifth of the interval.

        periods: of a question.
        """

        @wraps(answer)
        def answered(asked: Any) -> Any:
            if not (asked.cached or asked.unmemoize):
                return answer(asked)

            def anew() -> Kept:
                said, now = answer(asked), self._clock()
                until = now + self._door.whale.asking.lifetime_s(periods(asked), asked.tz, asked.tzoffset)
                return Kept(said.body, dict(said.headers.items()), until)

            names = {**msgspec.structs.asdict(asked), "cached": True, "unmemoize": False}
            key = argument_key(self._door.caller.account, answer.__name__, names)
            found: Kept = self._cache.get(key, anew, self._left_s, asked.unmemoize)
            control = f"private, max-age={max(0, int(self._left_s(found)))}"
            return bottle.HTTPResponse(found.body, 200, {**found.headers, "Cache-Control": control})

        return answered

    def _left_s(self, kept: Kept) -> float:
        return kept.until - self._clock()

"""An apply is cut off between two shards: the calls of all shards are sent at once, so a test has some of them done before.

monkeypatch.setattr(store.writer, "_send", cut.after(store.writer._send, 2, server.kill9))
"""

from collections.abc import Callable
from typing import Any

from whale.errors import Unavailable


def after(send: Callable[..., Any], at: int, then: Callable[[], Any]) -> Callable[..., Any]:
    """Writer._send: of all the calls that it is ever given those up to number `at` (from 1) are done, then it calls `then`, once, and
    sends all that it was given."""
    calls_before = 0

    def sent(*given: Any) -> Any:
        nonlocal calls_before
        *owner, calls = given
        first, calls_before = calls_before, calls_before + len(calls)
        if first < at <= calls_before:
            send(*owner, calls[: at - first]).answers()
            then()
        return send(*given)

    return sent


def off(reason: str) -> Callable[[], None]:
    """Raises Unavailable."""

    def raising() -> None:
        raise Unavailable(reason)

    return raising

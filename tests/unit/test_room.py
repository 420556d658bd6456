"""The book of what a process holds, looked at while other threads write into it."""

import sys
import threading
from collections.abc import Iterator

import pytest

from hail.room import Bounded, held, rest


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns after every few steps."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_what_is_held_is_told_while_other_threads_begin_to_hold_something() -> None:
    kept = []

    def begin() -> None:
        for i in range(3000):
            kept.append(Bounded[str, str](f"new {i % 7}", 1000, lambda *_: 1))

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        held()
        rest()
    for thread in threads:
        thread.join()
    assert sum(most for name, (_, most) in held().items() if name.startswith("new ")) == 6_000_000

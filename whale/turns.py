"""Work of which a process does one piece at a time, since each takes much memory or time. A few wait; who comes then is told.

    turns = Turns(waiting=4, busy="too many logins at once: try again in a second")
    with turns.turn():      # raises Busy where four wait already
        ...

A thread that has its turn may take another one within it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Semaphore, local

from whale.errors import Busy


class Turns:
    """For many threads."""

    def __init__(self, waiting: int, busy: str, after_s: int = 1):
        """waiting: threads that may wait while another has its turn.  busy: what others are told, who are to come again after_s later."""
        self._busy, self._after_s = busy, after_s
        self._room_left, self._turn = Semaphore(1 + waiting), Lock()
        self._mine = local()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Raises Busy."""
        if getattr(self._mine, "has", False):
            yield
            return
        if not self._room_left.acquire(blocking=False):
            raise Busy(self._busy, self._after_s)
        try:
            with self._turn:
                self._mine.has = True
                try:
                    yield
                finally:
                    self._mine.has = False
        finally:
            self._room_left.release()

"""What the Whales of all accounts on one connection share. Each part is made when it is first needed, and keeps accounts apart itself."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from whale.answer.cache import Cache, bytes_of
from whale.count.direct import Direct
from whale.decide.decider import Decider
from whale.decide.trials import Trials

if TYPE_CHECKING:
    from hail.publish import Publisher


class Parts:
    """For many threads. lock: of whoever makes a part.  cache: remembered answers, by account."""

    def __init__(self, clock: Callable[[], float], answers_mb: float):
        self.lock = threading.Lock()
        self.direct: Direct | None = None
        self.decider: Decider | None = None
        self.trials: Trials | None = None
        self.publisher: Publisher | None = None
        self.cache = Cache(clock, "answers of Python", answers_mb, bytes_of)

"""How long the oldest hit has waited that is not counted yet.

Of the spool it is known: each message says when it was accepted. RabbitMQ does not show its messages without delivering them, so
there it is estimated by watching: as many messages as wait, at the pace at which they are counted; while none is counted, as long
as that was watched; and never longer than since the queue was last seen empty.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hail.settings import Settings
from hail.spool import SpoolFolder
from whale.count.hailwail import envelope_in

WATCHED_S = 30.0  # between two looks: what lies further back says nothing about now


def accepted_s(folder: SpoolFolder, names: list[str]) -> Iterator[float]:
    """When the first message of each file was accepted. A process of Hail may have a file ready, but empty."""
    for name in names:
        file = folder.open(name)
        if file is not None:
            first = file.first()
            file.close()
            if first is not None and (head := envelope_in(first)):
                yield head.at / 1000


def spool_lag_s(settings: Settings, now: float) -> float:
    """By the oldest file, counted or not; raises OSError."""
    folder = SpoolFolder(settings.data_dir)
    return max((now - at for at in accepted_s(folder, folder.names())), default=0.0)


@dataclass
class Pace:
    """What was seen of a queue. Not for several threads at once.  counted: messages, since the account was made."""

    at: float = -math.inf
    counted: int = 0
    still_since: float = 0.0
    empty_at: float | None = None

    def lag_s(self, waiting: int, counted: int, now: float) -> float:
        """Seconds, estimated. now: in seconds of any clock.  Where nobody looked for WATCHED_S it begins anew, with 0."""
        seconds, new = now - self.at, counted - self.counted
        if not 0 <= seconds <= WATCHED_S:
            new, self.empty_at, self.still_since = 0, None, now
        if new > 0:
            self.still_since = now
        self.at, self.counted = now, counted
        if not waiting:
            self.empty_at = now
            return 0.0
        lag_s = waiting * seconds / new if new > 0 else now - self.still_since
        return lag_s if self.empty_at is None else min(lag_s, now - self.empty_at)

"""The visitor log: who did something on which days, and not when exactly."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from whale.store.contract.events import Said
from whale.visitors.crowd import Bits
from whale.visitors.entries import SiteLog


class Came(NamedTuple):
    """Of a partition at one moment. sets: of each thing that was asked for, of each range, who said it; all of one length.

    is_incomplete: some of it could not be read, and is missing here.
    """

    sets: Sequence[Sequence[Bits]]
    is_incomplete: bool = False


class LogWho(Protocol):
    """For many threads."""

    def came_in_log(
        self, log: SiteLog, partition: int, said: Sequence[Said | None], edges_ms: Sequence[int], most: float
    ) -> Came | None:
        """Who said each of some things, in each of the ranges between edges, from one of them on and before the next.

        said: a property stands for each of its values; None for any event.  edges_ms: in order.  most: bytes that the answer may take;
        None where it would take more, and then it is to be read in ranges of visitors.
        """

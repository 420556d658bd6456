"""One message, as gatherers take it: with the branches of its hits, and without those that do not count."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from hail.hit import Reason
from hail.message import Message
from whale.count.denormalize import BranchesBelow, Placed


class Taken(NamedTuple):
    """places: of each hit its branches.  branches: gives those below them.  left_out: positions of hits that do not count, and why.

    to_log: how many of its hits belong in logs of visitors.
    """

    message: Message
    places: Sequence[Placed]
    branches: BranchesBelow
    left_out: Mapping[int, Reason]
    to_log: int = 0


class Gatherer(Protocol):
    """Gathers one kind of stored fact from some messages of an account.

    size: how many sums, names or values are left of the cells that it found. Both bound a batch.
    """

    @property
    def size(self) -> int: ...

    def take(self, taken: Taken) -> int:
        """How many cells of one interval it found, before they are added up."""

    def fields(self, zone: str, now: float) -> Mapping[str, Any]:
        """Those of a Batch that it fills."""

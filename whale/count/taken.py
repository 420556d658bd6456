"""One message, as gatherers take it: with the branches of its hits, and without those that do not count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hail.hit import Reason
from hail.message import Message
from whale.cells import Batch
from whale.count.denormalize import BranchesBelow, Placed


@dataclass(frozen=True, slots=True)
class Taken:
    """places: of each hit its branches.  branches: gives those below them.  left_out: positions of hits that do not count, and why.

    to_log: how many of its hits belong in logs of visitors.
    """

    message: Message
    places: Sequence[Placed]
    branches: BranchesBelow
    left_out: Mapping[int, Reason]
    to_log: int = 0


class Gatherer(Protocol):
    """Gathers one kind of stored fact from some messages of an account, and fills its field of their Batch.

    cells: how many cells of one interval were found, before they were added up.  size: how many sums, names or values are left of
    them. Both bound a batch.
    """

    @property
    def cells(self) -> int: ...

    @property
    def size(self) -> int: ...

    def take(self, taken: Taken) -> None: ...

    def fill(self, batch: Batch, zone: str, now: float) -> Batch: ...

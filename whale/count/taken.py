"""One message, as gatherers take it: with the branches of its hits, and without those that do not count."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

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

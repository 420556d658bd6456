"""All that an answer reads: cells, and the names that lead to them."""

from typing import Protocol

from whale.store.contract.names import Names
from whale.store.contract.rollups import Rollups


class Counters(Rollups, Names, Protocol):
    """For many threads."""

"""All that an answer reads: cells, the names that lead to them, and the notes of people beside them."""

from typing import Protocol

from whale.store.contract.names import Names
from whale.store.contract.rollups import Rollups
from whale.store.contract.timeline import Timeline


class Counters(Rollups, Names, Timeline, Protocol):
    """For many threads."""

"""Messages become a Batch for each account, and cells of all accounts together. Each gatherer takes every message, and fills its fields.

A further kind of stored fact is a gatherer in a file of its own and its place in Gathering, a field of Batch, and a contract with a part
of each store that keeps it.
"""

from collections.abc import Collection, Mapping, Sequence

from hail.hit import Reason
from hail.message import Message
from whale.cells import Batch, Name, Reset
from whale.count.amounts import Amounts, Together
from whale.count.denormalize import Branches, Placed
from whale.count.resets import Older
from whale.count.taken import Taken
from whale.count.tallies import Tallies


class Gathering:
    """Some messages of one account. resets: those that are heeded.  left_out: of what was taken, hits that do not count, and why.

    together: gets its cells.
    """

    def __init__(self, branches: Branches, resets: frozenset[Reset], zone: str, together: Together):
        self._tallies, self._amounts = Tallies(), Amounts(together)
        self._zone = zone
        self._branches, self._resets = branches, resets
        self._newest = max((reset.at_ms for reset in resets), default=0)
        self._older: dict[tuple[Reset, ...], Older] = {}
        self.left_out: dict[Name, Mapping[int, Reason]] = {}
        self._size = 0

    def take(
        self, message: Message, places: Sequence[Placed], left_out: Mapping[int, Reason], to_log: int = 0
    ) -> tuple[int, int]:
        """How many cells of one interval its hits have, before they are added up; and by how many sums, names or values this grows.

        Those of all accounts are not among the latter.
        """
        later = tuple(reset for reset in self._resets if message.at < reset.at_ms) if message.at < self._newest else ()
        older = self._older.setdefault(later, Older(self._branches, later)) if later else None
        if older:
            places = [older.cut(place) for place in places]
            gone = [i for i, place in enumerate(places) if not place[0] and i not in left_out]
            left_out = {**left_out, **dict.fromkeys(gone, Reason.RESET)}
        if left_out:
            self.left_out[message.name] = left_out
        taken = Taken(message, places, older or self._branches, left_out, to_log)
        self._tallies.take(taken)
        cells, size = self._amounts.take(taken), self._size
        self._size = self._amounts.size
        return cells, self._size - size

    def batch(self, now: float, shards: Collection[int] | None = None) -> Batch:
        amounts = self._amounts.fields(self._zone, now)
        return Batch(self._tallies.found, **amounts, resets=self._resets, shards=shards)

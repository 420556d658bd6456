"""Gathers what the audit is told of each message."""

from collections import Counter
from dataclasses import replace

from hail.settings import Settings
from whale.cells import Batch, Tally
from whale.count.taken import Taken


class Tallies:
    cells = size = 0

    def __init__(self, settings: Settings):
        self._tallies: list[Tally] = []

    def take(self, taken: Taken) -> None:
        message = taken.message
        dropped = Counter[str](taken.left_out.values())
        self._tallies.append(
            Tally(message.mark, message.total, len(message.hits), dropped, message.lasting, message.kept_s)
        )

    def fill(self, batch: Batch, zone: str, now: float) -> Batch:
        return replace(batch, tallies=self._tallies)

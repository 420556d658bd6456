"""Gathers what the audit is told of each message."""

from collections import Counter
from dataclasses import replace

from hail.hit import Reason
from hail.message import NOBODY
from hail.settings import Settings
from whale.cells import Batch, Tally
from whale.count.taken import Taken


class Tallies:
    cells = size = 0

    def __init__(self, settings: Settings):
        self._tallies: list[Tally] = []

    def take(self, taken: Taken) -> None:
        message = taken.message
        if message.strangers is not None:
            if message.strangers:
                nobody = {str(Reason.UNKNOWN_ACCOUNT): message.strangers}
                self._tallies.append(
                    Tally(message.mark, 0, message.strangers, nobody, message.lasting, message.kept_s, NOBODY)
                )
            if not message.total:  # it stands for parts of others alone
                return
        hits = len(message.hits) - message.early
        if message.early:
            reasons = Counter[str](reason for position, reason in taken.left_out.items() if position >= hits)
            self._tallies.append(
                Tally(message.mark, 0, message.early, reasons, message.lasting, message.kept_s, NOBODY)
            )
            if not message.total and not taken.to_log:  # it stands for hits of the account default alone
                return
        dropped = Counter[str](reason for position, reason in taken.left_out.items() if position < hits)
        if message.unknown:
            dropped[Reason.UNKNOWN_ACCOUNT] += message.unknown
        hits += message.handed + message.unknown
        self._tallies.append(
            Tally(
                message.mark,
                message.total,
                hits,
                dropped,
                message.lasting,
                message.kept_s,
                to_log=taken.to_log,
            )
        )

    def fill(self, batch: Batch, zone: str, now: float) -> Batch:
        return replace(batch, tallies=self._tallies)

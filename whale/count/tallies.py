"""Gathers what the audit is told of each message."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from hail.hit import Reason
from hail.message import NOBODY
from hail.settings import Settings
from whale.cells import Tally
from whale.count.taken import Taken

NONE: Mapping[str, int] = MappingProxyType({})


class Tallies:
    size = 0

    def __init__(self, settings: Settings):
        self._tallies: list[Tally] = []

    def take(self, taken: Taken) -> int:
        message = taken.message
        if message.strangers is not None:
            if message.strangers:
                nobody = {str(Reason.UNKNOWN_ACCOUNT): message.strangers}
                self._tallies.append(
                    Tally(message.mark, 0, message.strangers, nobody, message.lasting, message.kept_s, NOBODY)
                )
            if not message.total:  # it stands for parts of others alone
                return 0
        hits = len(message.hits) - message.early
        if message.early:
            reasons = Counter(str(reason) for position, reason in taken.left_out.items() if position >= hits)
            self._tallies.append(
                Tally(message.mark, 0, message.early, reasons, message.lasting, message.kept_s, NOBODY)
            )
            if not message.total and not taken.to_log:  # it stands for hits of the account default alone
                return 0
        dropped = NONE
        if taken.left_out or message.unknown:
            dropped = Counter(str(reason) for position, reason in taken.left_out.items() if position < hits)
            if message.unknown:
                dropped[str(Reason.UNKNOWN_ACCOUNT)] += message.unknown
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
        return 0

    def fields(self, zone: str, now: float) -> Mapping[str, Sequence[Tally]]:
        return {"tallies": self._tallies}

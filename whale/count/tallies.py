"""Gathers what the audit is told of each message."""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from hail.hit import Reason
from hail.message import NOBODY
from whale.cells import Tally
from whale.count.taken import Taken

NONE: Mapping[str, int] = MappingProxyType({})


class Tallies:
    def __init__(self) -> None:
        self.found: list[Tally] = []

    def take(self, taken: Taken) -> None:
        message = taken.message
        if message.strangers is not None:
            if message.strangers:
                nobody = {str(Reason.UNKNOWN_ACCOUNT): message.strangers}
                self.found.append(
                    Tally(message.mark, 0, message.strangers, nobody, message.lasting, message.kept_s, NOBODY)
                )
            if not message.total:  # it stands for parts of others alone
                return
        hits = len(message.hits) - message.early
        if message.early:
            reasons = Counter(str(reason) for position, reason in taken.left_out.items() if position >= hits)
            self.found.append(Tally(message.mark, 0, message.early, reasons, message.lasting, message.kept_s, NOBODY))
            if not message.total and not taken.to_log:  # it stands for hits of the account default alone
                return
        dropped: Mapping[str, int] = NONE
        if taken.left_out or message.unknown:
            reasons = Counter(str(reason) for position, reason in taken.left_out.items() if position < hits)
            if message.unknown:
                reasons[str(Reason.UNKNOWN_ACCOUNT)] += message.unknown
            dropped = reasons
        hits += message.handed + message.unknown
        self.found.append(
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

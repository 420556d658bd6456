"""What hits add up to is taken, in batches."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from whale.cells import Batch, Reset, Settle, Zoned
from whale.store.contract.zones import Zones


class Batches(Zones, Protocol):
    """For the one thread that applies."""

    def steady(self) -> AbstractContextManager[None]:
        """Work within stands on one state of the store: where that may have been lost meanwhile, a method raises Unavailable.

        So what was claimed is still claimed when it is applied. On a Redis Cluster this holds for each server by itself:
        one that was started again is noticed when it is asked, and not before.

        May be entered again, for what belongs to the same work; other work may come between.
        """

    def forget(self) -> None:
        """Gives back the memory of what was remembered only to count faster. For the thread that applies."""

    def resets(self, account: str) -> frozenset[Reset]:
        """The resets that this process knows of; what `send` gives says where there are others."""

    def send(self, batches: Mapping[str, Batch], cells: Zoned, now: float) -> Settle:
        """Adds what some messages add up to, by account and together: on each shard all or nothing, and each message once.

        It may return before that is done: whoever calls what it gives, once, waits. The two stand on one state of the store, as
        in `steady`. All that was sent before is done, or has failed, before anything of this is. Batches of one call have the
        same `shards`. Extras may come of a message that is not applied, since it was or will be.

        Settling returns, for each shard where nothing was written, the messages that had been applied there before: the caller
        sends that shard again without them. None there means that a reset came, or that numbers which stood for names have
        changed: ask `resets`, add up again and send.
        """

    def sweep(self, account: str, now: float) -> bool:
        """A small step of freeing what resets left. False when there is nothing to do now."""

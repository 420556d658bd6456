"""What hits add up to is taken, in batches."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from hail.message import Mark
from whale.cells import Batch, Reset
from whale.store.contract.zones import Zones


class Batches(Zones, Protocol):
    """For the one thread that applies."""

    def steady(self) -> AbstractContextManager[None]:
        """Work within stands on one state of the store: where that may have been lost meanwhile, a method raises Unavailable.

        So what was claimed is still claimed when it is applied. On a Redis Cluster this holds for each server by itself:
        one that was started again is noticed when it is asked, and not before.
        """

    def forget(self) -> None:
        """Gives back the memory of what was remembered only to count faster. For the thread that applies."""

    def resets(self, account: str) -> frozenset[Reset]:
        """The resets that this process knows of; `apply` says where there are others."""

    def apply(self, batches: Mapping[str, Batch], now: float) -> dict[int, set[Mark]]:
        """Adds what some messages add up to, by account: on each shard all or nothing, and each message once.

        Batches of one apply have the same `shards`. Extras may come of a message that is not applied, since it was or will be.
        Returns, for each shard where nothing was written, the messages that had been applied there before: the
        caller applies that shard again without them. None there means that a reset came: ask `resets` and add up again.
        """

    def sweep(self, account: str, now: float) -> bool:
        """A small step of freeing what resets left. False when there is nothing to do now."""

"""The Whale of each caller: one connection, and what is remembered is bounded however many accounts ask."""

from hail.access import Caller
from hail.room import COST, MEGABYTE, Bounded
from whale.client import Whale

KNOWN_BYTES = MEGABYTE
WHALE_BYTES = 20 * COST  # a Whale beside the one that it was made from


class Whales:
    """For many threads. whale: of the account that the keys of the settings are of."""

    def __init__(self, whale: Whale):
        self.own = whale
        self._known: Bounded[str, Whale] = Bounded("accounts", KNOWN_BYTES, lambda *_: WHALE_BYTES)

    def has(self, account: str) -> bool:
        """Whether there is an account with this id."""
        return account == self.own.account or self.own.store.account_with(account) is not None

    def of(self, caller: Caller) -> Whale:
        if caller.account == self.own.account:
            return self.own
        whale = self._known.get(caller.account)
        if whale is None:
            whale = self.own.of(caller.account)
            self._known.keep(caller.account, whale)
        return whale

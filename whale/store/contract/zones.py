"""The zone of an account."""

from typing import Protocol


class Zones(Protocol):
    """For all who read or write by days."""

    def zone(self, account: str) -> str:
        """The account's IANA zone, fixed when the account was made (at its first use)."""

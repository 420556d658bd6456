"""The records of the logs of sites: since when each is kept, and how."""

from collections.abc import Collection
from typing import Protocol

from whale.accounts import Site
from whale.store.contract.identities import HOLDS_AFTER_MS
from whale.visitors.record import LogRecord

SECRET_BYTES, NAME_BYTES = 16, 4


class SiteLogs(Protocol):
    """For many threads. A site that has no record is logged nothing of."""

    def log_records(self, account: str, sites: Collection[str]) -> dict[str, LogRecord]:
        """Of these sites, by their pks, those that have or had a log. One read."""

    def begin_log(self, site: Site, after_ms: int = HOLDS_AFTER_MS) -> LogRecord:
        """Where a site has no log: begins one, for messages that are accepted after_ms from now on. Takes over what the site says of it.

        Who logs may not know of it for a while, and clocks differ: with less than HOLDS_AFTER_MS some messages may be logged in part.
        """

    def end_log(self, account: str, site: str, after_ms: int = HOLDS_AFTER_MS) -> None:
        """Messages that are accepted after_ms from now on are not logged any more."""

    def restart_log(self, account: str, site: str, after_ms: int = HOLDS_AFTER_MS) -> None:
        """Ends a log, and begins another one for the same site, if it has one. What was logged goes a while later, by `sweep_logs`."""

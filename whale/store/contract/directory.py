"""The directory of accounts as Hail needs it, the last use of keys, and the journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from whale.accounts import Account, Act, Key, Site

MOST_GONE = 10_000
"""Entries that are gone of which `directory_since` knows."""
MOST_CHANGES = 10_000
"""Entries of one answer of `directory_since`."""
MOST_ACTS = 10_000
SALTS_KEPT_S = 3 * 86_400


@dataclass(frozen=True)
class State:
    """Which directory it is, and how often it has changed.

    word: drawn when the directory is made, and again when its server was started again or replaced, since that may have put
    an older copy back. Versions of two words say nothing of each other.
    """

    word: str
    version: int


@dataclass(frozen=True)
class Whole:
    """The directory: at least all that there was at this state. What is newer comes again in `directory_since`."""

    state: State
    accounts: list[Account]
    sites: list[Site]
    keys: list[Key]


@dataclass(frozen=True)
class Changed(Whole):
    """What has changed, as it is now; and what is gone, with all that an account had where it is one.

    gone_sites: account and pk.  gone_keys: account and id.
    """

    gone_accounts: list[str]
    gone_sites: list[tuple[str, str]]
    gone_keys: list[tuple[str, str]]


class Directory(Protocol):
    """For many threads. Users are no part of it: Hail knows no passwords. word: random, taken where a new one is needed."""

    def directory_state(self, word: str) -> State:
        """One read."""

    def directory(self, word: str) -> Whole:
        """All. Reads that hold the store for no long time each, 10,000 accounts in half a second."""

    def directory_since(self, seen: State, word: str) -> Changed | None:
        """What has changed since a state; None where nobody knows, so that all is to be read. One read.

        None where the word is another, or more than MOST_CHANGES changed, or more than MOST_GONE are gone since.
        """

    def salts(self, fresh: Mapping[str, str]) -> dict[str, str]:
        """Salts of these days, by date: of one that has none yet the one given. Those of earlier days are forgotten.

        All of them are forgotten SALTS_KEPT_S after the last call.
        """

    def note_uses(self, used: Mapping[tuple[str, str], int]) -> None:
        """When keys were last used: account and id of the key -> seconds. The latest stays; a key that is not there is left out."""

    def last_uses(self, account: str) -> dict[str, int]:
        """When each key of an account was last used, by its id, in seconds; those never used are left out."""

    def write_act(self, act: Act) -> None:
        """Adds to the journal an act that changed no entry."""

    def journal(self, account: str | None = None) -> list[Act]:
        """The last MOST_ACTS acts of all, or of an account, the newest first."""

"""Whose hits are: what is known of the keys by which they came, and of those that are gone."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from hail.settings import DAY, Settings
from whale.accounts import Key

MOST_REMOVED = 1_000
"""Keys and sites that were removed of which an account still knows."""


@dataclass(frozen=True)
class Doors:
    """What the hits of an account came through: its keys and its sites, and those that were removed, as they were, and when in ms."""

    keys: list[Key]
    sites: set[str]
    removed_keys: list[tuple[Key, int]]
    removed_sites: dict[str, int]


def known_s(settings: Settings) -> int:
    """How long a key or a site is known after it was removed: as long as a message may come again."""
    return int(settings.spool_max_age_s) + DAY


class Owners(Protocol):
    """For many threads. A key or a site that was removed alone is known for `known_s` from the time of the act on; of more than
    MOST_REMOVED of an account the first go."""

    def doors(self, account: str) -> Doors | None:
        """Of an account; None where it is not there. One read."""

    def owners(self, hashes: Collection[str]) -> dict[str, tuple[str, str]]:
        """The account and the id of the keys with these hashes, those that were removed too. Of 500 hashes one read, or two."""

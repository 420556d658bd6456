"""Which message owns a hit id."""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from hail.settings import DAY, Settings
from whale.cells import Name

ORDER = re.compile(r"b:.*:(?:order|refund)-", re.S)
"""How the ids of orders begin, whoever tells of them: a page, or a client of another kind. See docs/http/track.md."""
ORDER_S = 31 * DAY


def is_order(hit_id: str) -> bool:
    """Whether it is remembered as an order: a page that shows one may be opened again weeks later."""
    return ORDER.match(hit_id) is not None


def window_of(settings: Settings, order: bool) -> float:
    """Seconds for which an id is remembered at least; messages of old spool files may still bring it."""
    known_s = max(settings.dedupe_window_s, ORDER_S) if order else settings.dedupe_window_s
    return known_s + settings.spool_max_age_s


class Ids(Protocol):
    """For one thread at a time."""

    def claim(self, account: str, ids: Sequence[tuple[str, Name]], now: float) -> set[int]:
        """Claims hit ids for their messages; returns the positions of those that another message owns.

        First wins, for as long as `window_of` says. A message finds its own claims again.
        """

    def claim_each(self, ids: Mapping[str, Sequence[tuple[str, Name]]], now: float) -> dict[str, set[int]]:
        """`claim` of several accounts, in one round trip to each server."""

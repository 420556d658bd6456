"""Live events: those who look are told of hits while they are counted, by the witness, after the hits are in the store.

Promise: none. What is told decides no count, and a store that does not take it fails nothing. Where nobody looks it is one read of
a small key for each word of the witness, at most five a second, and nothing is published.

At most MOST_HITS hits and MOST_REFUSED refusals a second and account, and once a second the sums of each pk that is looked at: of all
hits, those too that were not told one by one.
"""

import logging
import threading
from collections.abc import Sequence

from hail.message import Message
from whale.dimension import Pk
from whale.errors import Unavailable
from whale.events import (
    MOST_HITS,
    MOST_REFUSED,
    Dropped,
    Event,
    Pace,
    Watched,
    add_sums,
    encode,
    hits_of,
    refused_of,
    totals_event,
)
from whale.spy import Traces
from whale.store.contract.live import Live

TOTALS_S = 1.0
WARN_S = 60.0
log = logging.getLogger(__name__)


class _Account:
    def __init__(self) -> None:
        self.looked: frozenset[Pk] = frozenset()
        self.sums: dict[Pk, dict[str, int]] = {}
        self.told_at: dict[Pk, float] = {}
        self.hits, self.refused = Pace(MOST_HITS), Pace(MOST_REFUSED)


class LiveEvents:
    """For any number of threads. shows_hits: else sums alone are told.  now_s: seconds of a clock that never goes back."""

    def __init__(self, store: Live, shows_hits: bool):
        self._store, self._shows_hits = store, shows_hits
        self._lock = threading.Lock()
        self._accounts: dict[str, _Account] = {}
        self._warns_at = 0.0

    def missed(self, account: str, message: Message, dropped: Dropped) -> None:
        """A message of which hits will not be told: its sums are."""
        known = self._accounts.get(account)
        if known and known.looked:
            with self._lock:
                add_sums(known.sums, message, dropped, Watched(known.looked))

    def tell(
        self,
        account: str,
        messages: Sequence[Message],
        dropped: Dropped,
        traces: Traces | None,
        now: float,
        now_s: float,
    ) -> None:
        """What became of messages, to whoever looks. Of an account at which nobody looks nothing is kept."""
        try:
            looked = self._store.looked(account)
            with self._lock:
                if not looked:
                    self._accounts.pop(account, None)
                    return
                known = self._accounts.setdefault(account, _Account())
                known.looked = looked
                events = self._events(known, messages, dropped, traces, now, now_s)
            if events:
                self._store.publish(account, encode(events))
            return
        except Unavailable as error:  # the hits are counted: only what is shown of them is lost
            if now_s >= self._warns_at:
                self._warns_at = now_s + WARN_S
                log.warning("those who look at hits miss some: %s", error)
        except Exception:  # as above, whatever it is
            log.exception("those who look at hits miss some")
        if known_before := self._accounts.get(account):
            known_before.sums = {}

    def waiting(self) -> list[str]:
        """Accounts with sums that were not told yet."""
        return [account for account, known in [*self._accounts.items()] if known.sums]

    def _events(
        self,
        known: _Account,
        messages: Sequence[Message],
        dropped: Dropped,
        traces: Traces | None,
        now: float,
        now_s: float,
    ) -> list[Event]:
        watched = Watched(known.looked)
        events: list[Event] = []
        if self._shows_hits:
            events = hits_of(messages, dropped, watched, known.hits.room(now_s))
            known.hits.take(len(events), now_s)
            refused = [*traces.others, *traces.refused] if traces else []
            told = refused_of(refused, known.looked, known.refused.room(now_s))
            known.refused.take(len(told), now_s)
            events += told
        for message in messages:
            add_sums(known.sums, message, dropped, watched)
        known.told_at = {pk: at for pk, at in known.told_at.items() if pk in known.looked and at > now_s - TOTALS_S}
        for pk in [pk for pk in known.sums if pk not in known.told_at]:
            amounts = known.sums.pop(pk)
            if pk in known.looked:
                known.told_at[pk] = now_s
                events.append(totals_event(pk, amounts, now))
        return events

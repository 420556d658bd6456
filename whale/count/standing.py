"""Which accounts and keys there are, for whoever counts hits: what belongs to nobody is dropped, for a counted reason.

    messages ── judged ──► the same messages, which say what of them is dropped ──► Applier

A hit whose key was revoked or removed GRACE_S before it was accepted is dropped as `revoked_key`, and one whose key is of a site that was
removed then as `unknown_site`. So is what names a key or a site of which nothing is known. Of an account that does not exist no message is
left: its hits are dropped as `unknown_account` in the books of the account `default`.

Promise: nothing is counted, noted or shown of an account that does not exist, so no key is written under it. Keys and sites are judged by
the time of the message. So two deliveries are judged alike, also where a key or a site was removed between the two, and whatever a Hail
could take before it heard of the end counts.
Not promised: that two deliveries are judged alike where an account was removed between them; that the last use of a key is noted, where
the process ends before.

What was read of an account is remembered until the directory says that it changed, which is asked each LOOK_S. What is not there is read
anew each time. Of hits of the account `default` without such keys nothing is asked.
"""

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from hail.columns import keys_of
from hail.hit import Reason
from hail.message import ACCOUNT, Mark, Message
from hail.room import COST, MEGABYTE, Bounded
from whale.store.contract.accounts import Accounts, Doors
from whale.store.contract.directory import Changed, Directory, State

LOOK_S, NOTE_S = 1.0, 10.0
MOST_USES = 10_000
"""Keys whose use waits to be noted; of more the use is not."""
GRACE_S = 5
"""More than Hail needs to hear of an end, and clocks differ."""
MOST_MB = 8.0
WORD_BYTES = 8

LONG_AGO = -(2**62)


class Ends(NamedTuple):
    """When a key ended, and when its site did, in ms since the epoch; None: they have not."""

    key_ms: int | None
    site_ms: int | None


Keys = Mapping[str, Ends]
"""By their ids."""


class KnownStore(Accounts, Directory, Protocol):
    """What is asked of a store."""


class Standing:
    """Not for several threads at once."""

    def __init__(self, store: KnownStore):
        self._store = store
        self._known: Bounded[str, Keys] = Bounded(
            "accounts of hits", MOST_MB * MEGABYTE, lambda account, keys: 2 * COST * (1 + len(keys))
        )
        self._state: State | None = None
        self._looks_at = self._notes_at = 0.0
        self._used: dict[tuple[str, str], int] = {}

    def judged(self, messages: Sequence[Message]) -> list[Message]:
        """As these are to be counted; raises Unavailable."""
        found: list[Message] = []
        strangers: dict[Mark, list[Message]] = {}
        for message in messages:
            ids = {id_ for _, id_ in keys_of(message.hits)}
            known = self._keys_of(message.account, ids) if ids or message.account != ACCOUNT else {}
            if known is None:
                strangers.setdefault(message.mark, []).append(message)
                continue
            ended = {id_: reason for id_ in ids if (reason := why_not(known.get(id_), message.at))}
            self._use(message, ids - ended.keys())
            if ended:
                judged = {position: ended[id_] for position, id_ in keys_of(message.hits) if id_ in ended}
                message = msgspec.structs.replace(message, judged=judged)
            found.append(message)
        return with_strangers(found, strangers) if strangers else found

    def _use(self, message: Message, ids: Collection[str]) -> None:
        at_s = message.at // 1000
        for place in ((message.account, id_) for id_ in ids):
            if place in self._used or len(self._used) < MOST_USES:
                self._used[place] = max(at_s, self._used.get(place, at_s))

    def note_uses(self) -> None:
        """Tells the store which keys were used, where it is time for that; raises Unavailable."""
        if self._used and time.monotonic() >= self._notes_at:
            self._notes_at = time.monotonic() + NOTE_S
            self._store.note_uses(self._used)
            self._used = {}

    def _keys_of(self, account: str, ids: Collection[str]) -> Keys | None:
        """Of an account, with these keys where they are there, or were; None where it does not exist."""
        self._look()
        known = self._known.get(account)
        if known is None or not all(id_ in known for id_ in ids):
            doors = self._store.doors(account)
            if doors is None:
                return None
            known = ends_of(doors)
            self._known.keep(account, known)
        return known

    def _look(self) -> None:
        """Forgets the accounts that have changed."""
        if self._state and time.monotonic() < self._looks_at:
            return
        word = secrets.token_hex(WORD_BYTES)
        changed = self._store.directory_since(self._state, word) if self._state else None
        if changed is None:
            self._known.clear()
            self._state = self._store.directory_state(word)
        else:
            for account in changed_accounts(changed):
                self._known.drop(account)
            self._state = changed.state
        self._looks_at = time.monotonic() + LOOK_S


def changed_accounts(changed: Changed) -> set[str]:
    """Those of which something has changed, or is gone."""
    gone = (account for account, _ in (*changed.gone_keys, *changed.gone_sites))
    there = (*(key.account for key in changed.keys), *(site.account for site in changed.sites))
    return {*changed.gone_accounts, *gone, *there}


def ends_of(doors: Doors) -> Keys:
    """Of the keys of an account, those that were removed too."""

    def site_ms(pk: str | None) -> int | None:
        return None if pk is None or pk in doors.sites else doors.removed_sites.get(pk, LONG_AGO)

    rows = [(key, ()) for key in doors.keys] + [(key, (at_ms,)) for key, at_ms in doors.removed_keys]
    found = {}
    for key, removed in rows:
        ends = removed if key.revoked_s is None else (*removed, key.revoked_s * 1000)
        found[key.id] = Ends(min(ends, default=None), site_ms(key.site))
    return found


def why_not(key: Ends | None, at_ms: int) -> Reason | None:
    """Why a hit by a key does not count, if its message was accepted then."""
    if key is None:
        return Reason.REVOKED_KEY
    latest = at_ms - GRACE_S * 1000
    if key.site_ms is not None and key.site_ms <= latest:
        return Reason.UNKNOWN_SITE
    return Reason.REVOKED_KEY if key.key_ms is not None and key.key_ms <= latest else None


def with_strangers(messages: Sequence[Message], strangers: Mapping[Mark, Sequence[Message]]) -> list[Message]:
    """These messages, and how many hits of others came with each of them.

    A message that holds nothing else is one of the account `default` without hits.
    """
    found, left = [], dict(strangers)
    for message in messages:
        if message.account == ACCOUNT and (gone := left.pop(message.mark, None)):
            message = msgspec.structs.replace(message, strangers=_hits_of(gone))
        found.append(message)
    for (one, *_), count in ((gone, _hits_of(gone)) for gone in left.values()):
        found.append(
            msgspec.structs.replace(one, account=ACCOUNT, total=0, refused=[], hits=[], judged={}, strangers=count)
        )
    return found


def _hits_of(messages: Sequence[Message]) -> int:
    return sum(len(message.hits) for message in messages)

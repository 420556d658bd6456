"""Which accounts and keys there are, for whoever counts hits: what belongs to nobody is dropped, for a counted reason.

    messages ── judged ──► the same messages, which say what of them is dropped ──► Applier

A hit whose key was revoked or removed GRACE_S before it was accepted is dropped as `revoked_key`, and one whose key is of a site that was
removed then as `unknown_site`. So is what names a key or a site of which nothing is known. Of an account that does not exist no message is
left: its hits are dropped as `unknown_account` in the books of the account `default`.

A Hail without a directory sends hits by keys as those of the account `default`, with the hash of the secret in place of the key. Here they
go to the account of the key, where they are judged like all others, and as Hail would have: by the end of the key and by its site. They
are in two books: those of `default` say that they were handed on, or are `unknown_account`, and those of their account what became of them.

Promise: nothing is counted, noted or shown of an account that does not exist, so no key is written under it. Keys and sites are judged by
the time of the message. So two deliveries are judged alike, also where a key or a site was removed between the two, and whatever a Hail
could take before it heard of the end counts.
Not promised: that two deliveries are judged alike where an account was removed between them, or where a key that had expired was given
another end; that the last use of a key is noted, where the process ends before.

What was read of an account is remembered until the directory says that it changed, which is asked each LOOK_S. What is not there is read
anew each time. Of hits of the account `default` without such keys nothing is asked.
"""

import secrets
import time
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple, Protocol

import msgspec

from hail.columns import hashes_of, keys_of
from hail.hit import Reason
from hail.message import ACCOUNT, UNREADABLE, VERSION, Mark, Message, WireHit
from hail.room import COST, MEGABYTE, Bounded
from whale.store.contract.directory import Changed, Directory, State
from whale.store.contract.owners import Doors, Owners

LOOK_S, NOTE_S = 1.0, 10.0
MOST_USES = 10_000
"""Keys whose use waits to be noted; of more the use is not."""
GRACE_S = 5
"""More than Hail needs to hear of an end, and clocks differ."""
MOST_MB = 24.0  # of 15,000 accounts with three keys each
WORD_BYTES = 8
NONE: Set[str] = frozenset()

LONG_AGO = -(2**62)


class Ends(NamedTuple):
    """When a key was revoked or removed, and when its site was removed, in ms since the epoch; None: they were not.

    expires_ms: when it ends by itself.  site: the only first-level pk that it opens.
    """

    key_ms: int | None
    site_ms: int | None
    expires_ms: int | None = None
    site: str | None = None


Keys = Mapping[str, Ends]
"""By their ids."""
_pk = msgspec.json.Decoder(list[str]).decode


class KnownStore(Owners, Directory, Protocol):
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
        for message in self._at_home(messages):
            account, at_ms, keyed = message.account, message.at, keys_of(message.hits)
            ids: Set[str] = {id_ for _, id_ in keyed} if keyed else NONE
            if not ids and account == ACCOUNT:
                found.append(message)
                continue
            known = self._keys_of(account, ids)
            if known is None:
                strangers.setdefault(message.mark, []).append(message)
                continue
            ended = {id_: reason for id_ in ids if (reason := why_not(known.get(id_), at_ms))}
            for id_ in ids:
                if id_ not in ended:
                    self._use((account, id_), at_ms // 1000)
            judged = {position: ended[id_] for position, id_ in keys_of(message.hits) if id_ in ended} if ended else {}
            if message.early or message.early_here:
                judged = early_judged(message, known) | judged
            found.append(msgspec.structs.replace(message, judged=judged) if judged else message)
        return with_strangers(found, strangers) if strangers else found

    def _at_home(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The same, with each hit in the account of its key, where Hail could not look that up."""
        hashes = [{hash_ for _, hash_ in hashes_of(each.hits)} if may_be_early(each) else set() for each in messages]
        shown = set().union(*hashes)
        if not shown:
            return messages
        owners = self._store.owners(shown)
        found: dict[tuple[Mark, str], Message] = {}
        others: list[Message] = []
        for message, mine in zip(messages, hashes, strict=True):
            place = message.mark, message.account
            if place not in found:  # else it came twice
                found[place], more = parted(message, owners) if mine else (message, [])
                others += more
        for part in others:
            place = part.mark, part.account
            found[place] = joined(found[place], part) if place in found else part
        return [*found.values()]

    def _use(self, place: tuple[str, str], at_s: int) -> None:
        before = self._used.get(place)
        if at_s > before if before is not None else len(self._used) < MOST_USES:
            self._used[place] = at_s

    def note_uses(self) -> None:
        """Tells the store which keys were used, where it is time for that; raises Unavailable."""
        if self._used and time.monotonic() >= self._notes_at:
            self._notes_at = time.monotonic() + NOTE_S
            self._store.note_uses(self._used)
            self._used = {}

    def _keys_of(self, account: str, ids: Set[str]) -> Keys | None:
        """Of an account, with these keys where they are there, or were; None where it does not exist."""
        self._look()
        known = self._known.get(account)
        if known is None or not known.keys() >= ids:
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
        expires_ms = None if key.expires_s is None else key.expires_s * 1000
        found[key.id] = Ends(min(ends, default=None), site_ms(key.site), expires_ms, key.site)
    return found


def why_not(key: Ends | None, at_ms: int) -> Reason | None:
    """Why a hit by a key does not count, if its message was accepted then."""
    if key is None:
        return Reason.REVOKED_KEY
    latest = at_ms - GRACE_S * 1000
    if key.site_ms is not None and key.site_ms <= latest:
        return Reason.UNKNOWN_SITE
    return Reason.REVOKED_KEY if key.key_ms is not None and key.key_ms <= latest else None


def may_be_early(message: Message) -> bool:
    """Whether it may hold hits of which Hail could not say whose they are. It writes none in version 1."""
    return message.account == ACCOUNT and message.v > VERSION and not message.lasting


def parted(message: Message, owners: Mapping[str, tuple[str, str]]) -> tuple[Message, list[Message]]:
    """The message with those of its hits that are not of another account; and those of each other one, as a message of its own.

    owners: by hash, account and id of a key.  Hits that are known to have come so keep their hash.
    """
    own: list[WireHit] = []
    others: dict[str, list[WireHit]] = {}
    handed = unknown = here = 0
    for hit in message.hits:
        if hit.hash is None:
            own.append(hit)
        elif hit.hash not in owners:
            unknown += 1
        else:
            account, id_ = owners[hit.hash]
            is_other = account != message.account
            handed, here = handed + is_other, here + (not is_other)
            (others.setdefault(account, []) if is_other else own).append(msgspec.structs.replace(hit, key=id_))
    replace = msgspec.structs.replace
    left = replace(
        message, hits=own, handed=message.handed + handed, unknown=message.unknown + unknown, early_here=here > 0
    )
    parts = [
        replace(message, account=account, total=0, refused=[], hits=hits, handed=0, unknown=0, early=len(hits))
        for account, hits in others.items()
    ]
    return left, parts


def joined(message: Message, part: Message) -> Message:
    """One message of both, which are of one account; part: hits that came early."""
    return msgspec.structs.replace(message, hits=[*message.hits, *part.hits], early=message.early + part.early)


def early_judged(message: Message, keys: Keys) -> dict[int, Reason]:
    """Hits that Hail would not have taken, had it known their keys, and why."""
    found = {}
    for position, _ in hashes_of(message.hits):
        hit = message.hits[position]
        key = keys.get(hit.key or "")
        if key is None:
            continue
        if key.expires_ms is not None and message.at >= key.expires_ms:
            found[position] = Reason.REVOKED_KEY
        elif key.site is not None and first_pk(hit) not in (None, key.site):
            found[position] = Reason.OTHER_SITE
    return found


def first_pk(hit: WireHit) -> str | None:
    """None where it cannot be read."""
    try:
        return _pk(hit.pk)[0]
    except (*UNREADABLE, IndexError):
        return None


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
            msgspec.structs.replace(
                one, account=ACCOUNT, total=0, refused=[], hits=[], judged={}, early=0, strangers=count
            )
        )
    return found


def _hits_of(messages: Sequence[Message]) -> int:
    return sum(len(message.hits) for message in messages)

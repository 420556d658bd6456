"""The applier: messages become cells in the store, each accepted hit once. Used by the Celery worker, hailwail, imports and Whale.

Promise: when `apply` returns, every hit of these messages is counted, or dropped for a counted reason, exactly once, however often
and in whatever company the messages come again. When it raises Unavailable nothing is known: apply the same messages again.

    claim(ids) → gather: coalesce(hits) → denormalize → store.send(batches) → settle → log of visitors (visitor_log.py)

The store works on a group of messages while the next one is made ready: each is settled after the next was sent, or at once where
none waits.

Messages are merged, since a big apply costs far less a hit than a small one. Where a shard has applied some of them before, it takes
nothing, and that shard is applied again without them. Where it knows of a reset that came meanwhile, it is applied again without
what that leaves out: hits accepted before it, by Hail's clock, which are dropped as `reset` where they then count nowhere.

A hit that cannot be read takes no other along: it is dropped as `undecodable_hit`, claims no id, and its bytes are kept aside first.

What became of the hits is told afterwards (witness.py), for people to look at.
"""

import logging
import math
import queue
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

from hail.columns import ids_of
from hail.hit import Reason
from hail.message import ACCOUNT, Mark, Message
from hail.room import MEGABYTE, Room, give_back, look_for_garbage, resident_bytes
from hail.settings import Settings
from whale.cells import Batch, Name, Settle, Zoned
from whale.count.amounts import Together
from whale.count.denormalize import Branches, Placed
from whale.count.event_paths import with_further
from whale.count.extras import places_of
from whale.count.gather import Gathering
from whale.count.said import ToLog
from whale.count.standing import Standing
from whale.count.visitor_log import VisitorLog
from whale.count.witness import Witness
from whale.errors import Interrupted, Refused, Unavailable
from whale.store.contract.accounts import Accounts
from whale.store.contract.aside import Aside, Illegible
from whale.store.contract.batches import Batches
from whale.store.contract.events import Events
from whale.store.contract.identities import Identities
from whale.store.contract.ids import Ids
from whale.store.contract.live import Live
from whale.store.contract.log_sweep import LogSweep
from whale.store.contract.site_logs import SiteLogs
from whale.store.contract.spy import Spy

MAX_MESSAGES = 2000
CELL_BYTES = 60  # of a cell before it is added up, on its whole way into Redis, as measured with the worst hits
REST_S = 20.0
ACCOUNT_BYTES = 1000  # of one of which no branch is remembered
RELIEF_PAUSE_S = 1.0  # between two reliefs, where forgetting does not help
MOST_CHANGES = 20  # of numbers and resets, while one group is applied
SWEEP_STEP_S, SWEEP_IDLE_S, SWEPT_AT_ONCE = 0.01, 5.0, 20

NONE: Mapping[int, Reason] = MappingProxyType({})

log = logging.getLogger(__name__)

_Whole = Sequence[Message]
"""All that one delivery holds: a message of version 1, or of a later one what it holds of each account. Never taken apart."""
_Part = tuple[str, str, int]
"""Account, publisher, seq."""
_Places = dict[_Part, Sequence[Placed]]
"""Of each message the branches of its hits."""
_LeftOut = dict[_Part, dict[int, Reason]]
"""Of each message the positions of hits that do not count, and why."""
_ToLog = Mapping[_Part, Sequence[ToLog]]
"""Of each message what belongs in logs of visitors."""


class CountingStore(Batches, Ids, Aside, Spy, Live, Accounts, Events, Identities, SiteLogs, LogSweep, Protocol):
    """All that an applier asks of a store."""


class Applier:
    """Applies messages to one store. Not for several threads at once."""

    def __init__(self, store: CountingStore, settings: Settings, standing: Standing | None = None):
        """standing: which accounts and keys there are; None: all that are named."""
        self._store, self._settings, self._standing = store, settings, standing
        self.witness = Witness(store, spy=settings.spy)
        self._log = VisitorLog(store, settings) if settings.visitor_log else None
        self._room = Room("branches", settings.branches_mb * MEGABYTE)
        self._branches: dict[str, Branches] = {}  # by account: a store notes on a branch where its cells are
        self._most_bytes = settings.apply_max_mb * MEGABYTE
        self._sent: Settle | None = None  # last
        self._sweep_at = 0.0
        self._to_sweep: list[str] = []
        self._rests_at = math.inf
        self._most_resident = settings.forget_above_mb * MEGABYTE
        self._relief_at = 0.0

    def sweep(self, now: float) -> float:
        """Frees some of what resets and removed accounts left, and packs what was logged, when it is time for that: a small step.
        Seconds until the next one.

        It also notes which keys were used. Where nothing was applied for REST_S, also forgets all that the next hits will tell again.
        """
        if time.monotonic() >= self._rests_at:
            self._rests_at = math.inf
            self._forget()
            look_for_garbage(time.monotonic())
            give_back()
        if time.monotonic() >= self._sweep_at:
            try:
                if self._standing:
                    self._standing.note_uses()
                busy = self._sweep_some(now)
                busy |= self._store.free_accounts(now)
                busy |= bool(self._log and self._log.sweep())
            except Unavailable:
                busy = False
            except Exception:  # applying goes on
                log.exception("cannot free the data of resets and removed accounts")
                busy = False
            self._sweep_at = time.monotonic() + (SWEEP_STEP_S if busy else SWEEP_IDLE_S)
        return max(0.0, self._sweep_at - time.monotonic())

    def _sweep_some(self, now: float) -> bool:
        """Of a few accounts, and of the same ones until nothing is left to do there. False where all have had their turn."""
        if not self._to_sweep:
            self._to_sweep = [*{ACCOUNT, *self._branches}]
        for _ in range(min(SWEPT_AT_ONCE, len(self._to_sweep))):
            account = self._to_sweep.pop()
            if self._store.sweep(account, now):
                self._to_sweep.append(account)
                return True
        return bool(self._to_sweep)

    def _forget(self) -> None:
        for branches in self._branches.values():
            branches.clear()
        self._store.forget()

    def _relieve(self) -> None:
        """Forgets what is remembered where the process has grown too large: kinds of hits that follow each other leave holes."""
        at = time.monotonic()
        if at >= self._relief_at and resident_bytes() > self._most_resident:
            self._relief_at = at + RELIEF_PAUSE_S
            self._forget()
            give_back()

    def judged(self, messages: Sequence[Message]) -> Sequence[Message]:
        """These as they are to be counted, once for all tries; raises Unavailable."""
        return self._standing.judged(messages) if self._standing else messages

    def apply(self, messages: Sequence[Message], now: float) -> None:
        """Counts every message, merging as many as the bounds allow; raises Unavailable."""
        self.apply_each([messages], now)

    def apply_each(self, groups: Iterable[Sequence[Message]], now: float) -> None:
        """As `apply`, of one group after the other: the store works on each while the next is fetched and made ready."""
        before: Going | None = None
        for group in groups:
            for going in self.send(group, now):
                if before:
                    self.settle(before)
                before = going
        if before:
            self.settle(before)

    def send(self, messages: Sequence[Message], now: float) -> Iterator["Going"]:
        """`apply` in parts: gives each when it was sent. It is counted when it was settled; those before it are settled first."""
        self._rests_at = time.monotonic() + REST_S
        wholes: dict[Mark, dict[str, Message]] = {}
        for message in messages:
            wholes.setdefault(message.mark, {})[message.account] = message
        waiting = [list(parts.values()) for parts in wholes.values()]
        while waiting:
            self._relieve()
            group = self._group(waiting)
            yield from self._send_group(waiting[:group], now)
            waiting = waiting[group:]

    def _group(self, waiting: Sequence[_Whole]) -> int:
        """How many of the waiting messages go together."""
        hits = 0
        for position, whole in enumerate(waiting[:MAX_MESSAGES]):
            hits += hits_of(whole)
            if position and hits > self._settings.apply_max_hits:
                return position
        return min(len(waiting), MAX_MESSAGES)

    def _send_group(self, wholes: Sequence[_Whole], now: float, tries: int = 2) -> Iterator["Going"]:
        """Begins again at the claim where that may have been lost: an id that the store forgot could be claimed by another message too."""
        for left in reversed(range(tries)):
            try:
                for going in self._send_steadily(wholes, now):
                    wholes = wholes[len(going.wholes) :]
                    yield going
            except Interrupted:
                if not left:
                    raise
            else:
                return

    def _send_steadily(self, wholes: Sequence[_Whole], now: float) -> Iterator["Going"]:
        while wholes:
            self._make_room()
            steady = self._store.steady()
            with steady:
                count, places, left_out = self._placed(wholes, now)
                some, wholes = wholes[:count], wholes[count:]
                self._leave_out_duplicates(some, left_out, now)
                to_log = self._to_log(some, left_out)
                self._add_further(some, places)
            while some:
                with steady:
                    going = self._send_some(some, places, left_out, to_log, now, steady)
                some = some[len(going.wholes) :]
                yield going

    def _to_log(self, wholes: Sequence[_Whole], left_out: _LeftOut) -> _ToLog:
        return self._log.to_log([message for whole in wholes for message in whole], left_out) if self._log else {}

    def _add_further(self, wholes: Sequence[_Whole], places: _Places) -> None:
        """Events of sites, and properties that they list, are paths of theirs too."""
        messages = [message for whole in wholes for message in whole]
        sites = self._log.sites(messages) if self._log else {}
        for message in messages:
            if message.part in sites:
                known, branches = places[message.part], self._branches_of(message.account)
                most = self._settings.max_name_bytes
                places[message.part] = with_further(known, message.hits, sites[message.part], most, branches)

    def _make_room(self) -> None:
        """Where too much is remembered, forgets accounts, those first that have been known for longest."""
        for account in [*self._branches] if self._room.is_full else ():
            self._branches[account].trim()
            if not self._branches[account].held:
                del self._branches[account]
                self._room.held -= ACCOUNT_BYTES
            if not self._room.is_full:
                break

    def _branches_of(self, account: str) -> Branches:
        found = self._branches.get(account)
        if found is None:
            found = self._branches[account] = Branches(account, self._room)
            self._room.held += ACCOUNT_BYTES
        return found

    def _send_some(
        self,
        wholes: Sequence[_Whole],
        places: _Places,
        left_out: _LeftOut,
        to_log: _ToLog,
        now: float,
        steady: AbstractContextManager[None],
    ) -> "Going":
        """Sends the first of the messages, as many as one apply may hold."""
        count, gathered = self._gathered(wholes, places, left_out, to_log, is_bounded=True)
        lost = {account: gathering.left_out for account, gathering in gathered.accounts.items()}
        self._sent = self._store.send(*gathered.batches(now), now)
        return Going(wholes[:count], places, left_out, to_log, now, steady, lost, self._sent)

    def settle(self, going: "Going") -> None:
        """Returns when they are counted; raises Unavailable. Once."""
        try:
            with going.steady:
                self._settle_steadily(going)
        except Interrupted:
            for again in self._send_group(going.wholes, going.now, tries=1):
                with again.steady:
                    self._settle_steadily(again)

    def _settle_steadily(self, going: "Going") -> None:
        """Where a shard took nothing, adds up again what was not applied there before."""
        places, left_out, now, lost = going.places, going.left_out, going.now, going.lost
        again, changes = going.answer(), 0
        while again:
            shard, seen = again.popitem()
            wholes = [whole for whole in going.wholes if whole[0].mark not in seen]
            while wholes:
                changes += not seen
                if changes > MOST_CHANGES:
                    raise Unavailable(
                        f"the store: numbers or resets changed {MOST_CHANGES} times while some hits were applied"
                    )
                _, gathered = self._gathered(wholes, places, left_out, going.to_log)
                for account, gathering in gathered.accounts.items():
                    lost[account] |= gathering.left_out
                more = self._store.send(*gathered.batches(now, {shard}), now)().get(shard)
                if more is None:
                    break
                seen = more
                wholes = [whole for whole in wholes if whole[0].mark not in seen]
        if self._log:
            self._log.add([message for whole in going.wholes for message in whole], going.to_log, left_out, now)
        told: dict[str, list[Message]] = {}
        for message in (message for whole in going.wholes for message in whole):
            told.setdefault(message.account, []).append(message)
        for account, messages in told.items():
            self.witness.saw(account, messages, lost[account], now)

    def _gathered(
        self,
        wholes: Sequence[_Whole],
        places: _Places,
        left_out: _LeftOut,
        to_log: _ToLog,
        is_bounded: bool = False,
    ) -> tuple[int, "_Gathered"]:
        """How many messages were gathered. is_bounded: the first ones only, as many as fit."""
        gathered = _Gathered({}, {})
        cells = beside = 0
        most_size, periods, held_before = self._settings.apply_max_cells, len(self._settings.periods), self._room.held
        most_bytes = self._most_bytes - (self._sent.held if self._sent else 0)
        for count, whole in enumerate(wholes, 1):
            for message in whole:
                gathering = gathered.accounts.get(message.account) or self._gathering_of(message.account, gathered)
                part = message.part
                hits_to_log = sum([len(each.hits) for each in to_log[part]]) if part in to_log else 0
                more, grown = gathering.take(message, places[part], left_out.get(part, NONE), hits_to_log)
                cells, beside = cells + more, beside + grown
            held = cells * periods * CELL_BYTES + self._room.held - held_before
            size = beside + sum(together.size for together in gathered.zones.values())
            if is_bounded and (held > most_bytes or size > most_size):
                return count, gathered
        return len(wholes), gathered

    def _gathering_of(self, account: str, gathered: "_Gathered") -> Gathering:
        zone = self._store.zone(account)
        together = gathered.zones.get(zone)
        if together is None:
            together = gathered.zones[zone] = Together(self._settings)
        made = Gathering(self._branches_of(account), self._store.resets(account), zone, together)
        gathered.accounts[account] = made
        return made

    def _placed(self, wholes: Sequence[_Whole], now: float) -> tuple[int, _Places, _LeftOut]:
        """The branches of the first messages, as many as may be remembered at once, and how many messages these are.

        Hits that cannot be read are kept aside.
        """
        places: _Places = {}
        found: _LeftOut = {}
        aside: dict[str, list[Illegible]] = {}
        most, count = self._room.held + self._most_bytes / 2, 0
        for whole in wholes:
            count += 1
            for message in whole:
                part = message.part
                places[part], undecodable = places_of(message.hits, self._branches_of(message.account))
                if message.judged:
                    found[part] = dict(message.judged)
                for position in undecodable:
                    found.setdefault(part, {})[position] = Reason.UNDECODABLE_HIT
                    name = f"{message.publisher}-{message.seq}.{position}"
                    raw = message.hits[position].raw
                    aside.setdefault(message.account, []).append(Illegible(name, message.at, raw))
            if self._room.held > most:
                break
        for account, some in aside.items():
            log.error("unreadable hits, kept for `hailwhale doctor --dead`: %d, the first %s", len(some), some[0].name)
            self._store.set_aside(account, some)
        return count, places, found

    def _leave_out_duplicates(self, wholes: Sequence[_Whole], left_out: _LeftOut, now: float) -> None:
        """Adds hits whose id is owned by another message, or came earlier in their own."""
        asked: dict[str, list[tuple[str, Name]]] = {}
        places: dict[str, list[tuple[_Part, int]]] = {}
        for message in (message for whole in wholes for message in whole):
            found = ids_of(message.hits)
            if not found:
                continue
            mine: set[str] = set()
            name, part = message.name, message.part
            unread = left_out.get(part, NONE)
            ids, at = asked.setdefault(message.account, []), places.setdefault(message.account, [])
            for position, hit_id in found:
                if position in unread:
                    continue
                if hit_id in mine:
                    left_out.setdefault(part, {})[position] = Reason.DUPLICATE
                else:
                    mine.add(hit_id)
                    ids.append((hit_id, name))
                    at.append((part, position))
        if not any(asked.values()):
            return
        for account, taken in self._store.claim_each(asked, now).items():
            for number in taken:
                part, position = places[account][number]
                left_out.setdefault(part, {})[position] = Reason.DUPLICATE


class _Gathered(NamedTuple):
    """Some messages, as a store takes them: of each account what is its own, of each zone what accounts have together."""

    accounts: dict[str, Gathering]
    zones: dict[str, Together]

    def batches(self, now: float, shards: Collection[int] | None = None) -> tuple[dict[str, Batch], Zoned]:
        own = {account: gathering.batch(now, shards) for account, gathering in self.accounts.items()}
        return own, {zone: together.cells(zone, now) for zone, together in self.zones.items()}


@dataclass(frozen=True)
class Going:
    """Some messages on their way into the store, with all that is needed to send them again.

    steady: the state of the store that they stand on, since their ids were claimed.  lost: by account, hits that do not count.
    """

    wholes: Sequence[_Whole]
    places: _Places
    left_out: _LeftOut
    to_log: _ToLog
    now: float
    steady: AbstractContextManager[None]
    lost: dict[str, dict[Name, Mapping[int, Reason]]]
    answer: Settle


def hits_of(whole: _Whole) -> int:
    return sum(len(message.hits) for message in whole)


_Handed = tuple[Sequence[Message], Future[None]]
"""All that one message holds, and who waits for it."""
_Sent = tuple[Going, list[_Handed]]
_Told = dict[Mark, list[_Handed]]


class MergingApplier:
    """One thread that applies what many threads hand it, as much at a time as waits.

    While the store works on a group the next one is made ready, where about as much waits as is on its way; else more is let to come,
    since a large group costs less a hit. A caller is told once its message is settled.

    While the store is away it tries again with backoff, up to `patience_s` for a message, or until its process is `ending`; then
    its caller gets Unavailable. Where the store says why, the log has it once.

    The thread ends once nobody holds this any more: a program may make many, one after the other.
    """

    def __init__(
        self,
        applier: Applier,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        patience_s: float = 1200.0,
        ending: threading.Event | None = None,
    ):
        merging = _Merging(applier, settings, clock, patience_s, ending or threading.Event())
        self._waiting = merging.waiting
        weakref.finalize(self, self._waiting.put, None).atexit = False
        threading.Thread(target=merging.work, name="applier", daemon=True).start()

    def apply(self, parts: Sequence[Message]) -> None:
        """All that one message holds. Returns when it is counted; raises Unavailable."""
        done: Future[None] = Future()
        self._waiting.put((parts, done))
        done.result()


class _Merging:
    """What the thread of a MergingApplier does. waiting: a None, after all else, ends it."""

    def __init__(
        self,
        applier: Applier,
        settings: Settings,
        clock: Callable[[], float],
        patience_s: float,
        ending: threading.Event,
    ):
        self._applier, self._settings, self._clock, self._patience_s = applier, settings, clock, patience_s
        self._ending = ending
        self.waiting: queue.SimpleQueue[_Handed | None] = queue.SimpleQueue()
        self._kept: list[_Handed] = []
        self._is_over = False

    def work(self) -> None:
        before: _Sent | None = None
        while before or self._kept or not self._is_over:
            rest_s = self._applier.sweep(self._clock()) + 0.001
            if before and 2 * (len(self._kept) + self.waiting.qsize()) < len(before[1]):
                self._settle(before)
                before = None
            elif group := self._next(0.0 if before else rest_s):
                before = self._send(group, before)
                del group  # what was applied is not held until more comes

    def _next(self, wait_s: float) -> list[_Handed]:
        """All that waits, as much as one apply takes; none where nothing comes in time. The first that would be too much is kept."""
        group, self._kept = self._kept, []
        hits = sum(hits_of(parts) for parts, _ in group)
        while True:
            try:
                handed = self.waiting.get(block=wait_s > 0 and not group, timeout=wait_s)
            except queue.Empty:
                return group
            if handed is None:
                self._is_over = True
                return group
            hits += hits_of(handed[0])
            if group and hits > self._settings.apply_max_hits:
                self._kept = [handed]
                return group
            group.append(handed)

    def _send(self, group: Sequence[_Handed], before: "_Sent | None") -> "_Sent | None":
        """Sends a group, and settles what was sent before. The last of it, which is not settled."""
        told: _Told = {}
        try:
            group = [(self._applier.judged(parts), done) for parts, done in group]
        except Exception as error:  # of all of them
            if before:
                self._settle(before)
            self._try_on(group, error)
            return None
        for parts, done in group:
            told.setdefault(parts[0].mark, []).append((parts, done))
        try:
            for going in self._applier.send([message for parts, _ in group for message in parts], self._clock()):
                if before:
                    self._settle(before)
                before = going, [each for whole in going.wholes for each in told.pop(whole[0].mark, ())]
            return before
        except Exception as error:  # of this group
            if before:
                self._settle(before)
            self._try_on([each for some in told.values() for each in some], error)
            return None

    def _settle(self, sent: "_Sent") -> None:
        going, group = sent
        try:
            self._applier.settle(going)
        except Exception as error:  # told to those who handed these messages
            self._try_on(group, error)
        else:
            for _, done in group:
                done.set_result(None)

    def _try_on(self, group: Sequence[_Handed], error: Exception) -> None:
        """While the store is away. Another error is handed to the callers: this thread serves them all and must live on."""
        deadline, pause, said = time.monotonic() + self._patience_s, 0.05, ""
        messages = [message for parts, _ in group for message in parts]
        while isinstance(error, Unavailable) and time.monotonic() < deadline:
            if isinstance(error, Refused) and str(error) != said:
                said = str(error)
                log.warning("waiting: %s", said)
            if self._ending.wait(pause):
                break
            pause = min(pause * 2, 2.0)
            try:
                self._applier.apply(self._applier.judged(messages), self._clock())
            except Exception as again:  # tried on, or told
                error = again
            else:
                for _, done in group:
                    done.set_result(None)
                return
        for _, done in group:
            done.set_exception(error)

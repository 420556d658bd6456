"""Closing the sums: says of every accepted hit where it is, for `hailwhale audit` and GET /health.json.

    accepted = counted + duplicate + dropped + in flight + spooled + dead-lettered
    to log   = logged + not logged

accepted: the largest running total that a message of a publisher carries, of those that the store counted, that lie in
this machine's spool and in the dead-letter queue. A message may be in several of these places at once, since each keeps
it until the next has it: what the store has seen is counted, what else lies in the spool is spooled, the rest is dead.
in flight: what is missing while the queue is not empty; RabbitMQ is not asked what is in it. So hits of a publisher of
which nothing has arrived anywhere yet are not known here. Hits of accounts that do not exist are in the account `default` as those of a
publisher NOBODY: they are known where they were dropped, and nowhere before. Publishers are remembered for a week after their last hit.

to log: hits that belong in logs of visitors, as they were counted. Each is logged after it was counted, or not, for a counted reason. Of a
message that was cut off between, before its site's log began anew, a hit may be on both sides: then less was to be logged.

It only reads. Dead messages are looked at and put back, which RabbitMQ counts as a delivery.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from hail.columns import read_envelope
from hail.hit import Reason
from hail.message import NOBODY, BadMessage, Envelope, Mark
from hail.settings import Settings
from hail.spool import SpoolFolder
from whale.health.queues import Queues
from whale.store.contract.events import LOGGED, RECORDS, Events
from whale.store.contract.faults import Faults
from whale.store.contract.tallies import Tallies

POLL_S = 0.2
STILL_S = 1.5


@dataclass
class Line:
    """One publisher, or all: where its hits are. dropped: by reason, without duplicates.

    to_log: those that belong in logs of visitors.  not_logged: of these, by reason.
    """

    publisher: str
    accepted: int = 0
    counted: int = 0
    duplicate: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    in_flight: int = 0
    spooled: int = 0
    dead_lettered: int = 0
    to_log: int = 0
    logged: int = 0
    not_logged: dict[str, int] = field(default_factory=dict)

    @property
    def missing_in_log(self) -> int:
        """0 when it closes."""
        return max(0, self.to_log - self.logged - sum(self.not_logged.values()))

    @property
    def missing(self) -> int:
        """0 when it closes; below 0 when more was counted than accepted."""
        there = self.counted + self.duplicate + sum(self.dropped.values())
        return self.accepted - there - self.in_flight - self.spooled - self.dead_lettered

    def values(self) -> tuple[int, ...]:
        """As `whale.commands.audit.COLUMNS`."""
        dropped = sum(self.dropped.values())
        there = self.accepted, self.counted, self.duplicate, dropped, self.in_flight, self.spooled, self.dead_lettered
        return *there, self.missing


@dataclass(frozen=True)
class Found:
    """What lies outside the store. queued: messages that wait in RabbitMQ, None where there is none.

    unreadable: messages that no program can read, whose hits nobody knows.
    """

    spooled: Sequence[Envelope] = ()
    dead: Sequence[Envelope] = ()
    queued: int | None = None
    unreadable: int = 0


@dataclass(frozen=True)
class Audit:
    """lines: by publisher, those with most hits first.  faults: cells that the store could not add, by reason.

    evicted: keys that the store's servers threw away.  seen: of the faults those that somebody has said to know of.
    spooled_since_ms: when the oldest message was accepted that waits in the spool; None where none does.
    """

    lines: list[Line]
    faults: dict[str, int]
    queued: int | None = None
    unreadable: int = 0
    evicted: int = 0
    seen: Mapping[str, int] = field(default_factory=dict)
    spooled_since_ms: int | None = None

    @property
    def whole(self) -> Line:
        """All publishers; `missing` of it may be 0 where theirs are not."""
        sums = Line("all")
        for line in self.lines:
            sums.accepted += line.accepted
            sums.counted += line.counted
            sums.duplicate += line.duplicate
            for reason, count in line.dropped.items():
                sums.dropped[reason] = sums.dropped.get(reason, 0) + count
            sums.in_flight += line.in_flight
            sums.spooled += line.spooled
            sums.dead_lettered += line.dead_lettered
            sums.to_log += line.to_log
            sums.logged += line.logged
            for reason, count in line.not_logged.items():
                sums.not_logged[reason] = sums.not_logged.get(reason, 0) + count
        return sums

    @property
    def lacking(self) -> int:
        """Cells that lost an amount for good, and nobody has seen it yet."""
        lost = (Reason.OVERFLOW, Reason.WRONG_TYPE)
        return sum(self.faults.get(reason, 0) - self.seen.get(reason, 0) for reason in lost)

    @property
    def closes(self) -> bool:
        return not (self.evicted or self.lacking or any(line.missing for line in self.lines))

    @property
    def log_closes(self) -> bool:
        """For a moment it does not, while what was counted is logged."""
        return not any(line.missing_in_log for line in self.lines)


class AuditStore(Tallies, Faults, Events, Protocol):
    """All that an audit asks of a store."""


def close(store: AuditStore, account: str, found: Found) -> Audit:
    """The sums of one account. What was found is older than what the store says now, so nothing falls between."""
    totals: dict[str, int] = {}
    spooled, dead = dict[str, int](), dict[str, int]()
    placed: set[Mark] = set()
    since: list[int] = []
    for envelopes, where in ((found.spooled, spooled), (found.dead, dead)):
        for envelope, share in ((each, share) for each in envelopes for share in each.shares):
            if share.account != account:
                continue
            publisher, mark = envelope.publisher, envelope.mark(account)
            totals[publisher] = max(totals.get(publisher, 0), share.total)
            if mark not in placed and not store.seen(mark):
                placed.add(mark)
                where[publisher] = where.get(publisher, 0) + share.hits
                since += [envelope.at] if where is spooled else []
    lines = {publisher: Line(publisher, accepted) for publisher, accepted in totals.items()}
    for known in store.audit(account):
        line = lines.setdefault(known.publisher, Line(known.publisher))
        line.accepted = known.hits if known.publisher == NOBODY else max(line.accepted, known.total)
        line.dropped = dict(known.dropped)
        line.duplicate = line.dropped.pop(Reason.DUPLICATE, 0)
        line.counted = known.hits - sum(known.dropped.values())
        line.to_log = known.to_log
    for publisher, tally in store.log_tallies(account, [each for each in lines if lines[each].to_log]).items():
        line = lines[publisher]
        line.logged = tally.get(LOGGED, 0)
        line.not_logged = {reason: count for reason, count in tally.items() if reason not in (LOGGED, RECORDS)}
    for publisher, line in lines.items():
        line.spooled, line.dead_lettered = spooled.get(publisher, 0), dead.get(publisher, 0)
        if found.queued:
            line.in_flight = max(line.missing, 0)
    ordered = sorted(lines.values(), key=lambda line: (-line.accepted, line.publisher))
    faults, seen = store.faults(account), store.faults_seen(account)
    return Audit(ordered, faults, found.queued, found.unreadable, store.evicted(), seen, min(since, default=None))


def spooled_messages(settings: Settings) -> tuple[list[Envelope], int]:
    """Every whole message in this machine's spool, applied or not, and how many cannot be read."""
    folder = SpoolFolder(settings.data_dir)
    bodies: list[bytes] = []
    for name in folder.names():
        file = folder.open(name)
        if file is not None:
            try:
                bodies += file.rest().messages
            finally:
                file.close()
    return readable(bodies)


def readable(bodies: Iterable[bytes]) -> tuple[list[Envelope], int]:
    """The messages, and how many bodies are none."""
    messages, unreadable = [], 0
    for body in bodies:
        try:
            messages.append(read_envelope(body))
        except BadMessage:
            unreadable += 1
    return messages, unreadable


class Look:
    """Looks into the spool and the queues; the dead messages again only when their number has changed."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._dead: tuple[list[Envelope], int] = [], 0
        self._dead_count = 0

    def __call__(self) -> Found:
        queued = None
        if self._settings.broker_url:
            with Queues(self._settings) as queues:
                queued = queues.length()
                count = queues.dead_length()
                if count != self._dead_count:
                    self._dead = readable(letter.body for letter in queues.dead())
                    self._dead_count = count
        messages, unreadable = spooled_messages(self._settings)
        dead, unreadable_dead = self._dead
        return Found(messages, dead, queued, unreadable + unreadable_dead)


def audit(store: AuditStore, account: str, look: Callable[[], Found], wait_s: float) -> Audit:
    """Of one account, as `audits`."""
    return audits(store, [account], look, wait_s)[account]


def audits(store: AuditStore, accounts: Sequence[str], look: Callable[[], Found], wait_s: float) -> dict[str, Audit]:
    """Asks until all close with nothing in flight, at most `wait_s`: hits that are on their way arrive meanwhile."""
    deadline = time.monotonic() + wait_s
    before, since = list[Line](), time.monotonic()
    while True:
        found = look()
        done = {account: close(store, account, found) for account in accounts}
        if (sums := [each.whole for each in done.values()]) != before:
            before, since = sums, time.monotonic()
        # RabbitMQ does not count what workers hold: with it, the sums must stand still for a while
        still = found.queued is None or time.monotonic() - since >= STILL_S
        closed = all(each.closes and each.log_closes and not each.whole.in_flight for each in done.values())
        if (closed and still and not found.queued) or time.monotonic() > deadline:
            return done
        time.sleep(POLL_S)


def as_json(done: Audit) -> dict[str, Any]:
    def row(line: Line) -> dict[str, Any]:
        return {**asdict(line), "missing": line.missing, "missing_in_log": line.missing_in_log}

    return {
        "closes": done.closes and done.log_closes,
        "all": row(done.whole),
        "publishers": [row(line) for line in done.lines],
        "queued_messages": done.queued,
        "unreadable_messages": done.unreadable,
        "faults": done.faults,
        "evicted_keys": done.evicted,
    }

"""From accepted hits to durable messages: the publisher with its group commit.

Promise: `Publisher.publish` returns after the hits are confirmed by a quorum queue, or fsynced in this node's spool;
else it raises NotAccepted. Its reason is `unconfirmed` where the hits may be counted all the same: they were taken, and
what became of them was not known in time, or never will be. With any other reason they are surely not counted.

Requests put their hits on a bounded list and wait. One thread a process packs what waits into one persistent message,
publishes it, awaits the confirm, and answers all of them.

After any time-out, error, return or nack the connection is cut and the message goes to the spool under the same name;
the broker is then left alone for `breaker_s` and hits go straight to the spool. So a message may be in both places,
never in none. Connecting again happens in the background: no request waits for it.
"""

import logging
import os
import secrets
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Protocol

from hail import counters
from hail.broker import Broker, BrokerFailed, away, setup_fault
from hail.hit import Reason, Row
from hail.message import MAX_REFUSALS, Refusal
from hail.metrics import tell_held
from hail.packing import COLUMNS, FORMS, Packed, Shares, check_form, most_of
from hail.room import MEGABYTE, Room, rest
from hail.settings import Settings
from hail.spool import CHUNK_BYTES, MOST_HEAD, SpoolFolder, SpoolFull, SpoolWriter

log = logging.getLogger("hail.publish")

TICK_S = 1.0
SEAL_AFTER_S = 5.0
ANSWER_S = 5.0
PAUSE_S = 0.001
RETRY_AFTER_S = 2
TELL_S = 1.0
REST_S = 20.0


class NotAccepted(Exception):
    """Hits of which nothing is promised. They are not counted, but for reason UNCONFIRMED: then they may be, or not."""

    def __init__(self, reason: Reason, retry_after_s: int = RETRY_AFTER_S):
        said = f"{reason}, try again in {retry_after_s} s"
        if reason is Reason.UNCONFIRMED:
            said += " with the same id; without an id it may count twice"
        super().__init__(said)
        self.reason, self.retry_after_s = reason, retry_after_s


class Waits(Protocol):
    """How requests wait for the publisher, each with an object of its own, and how those of a group are told at once."""

    def begin(self) -> Any:
        """What one request waits with: as a lock that is taken, with `acquire`."""

    def end(self, group: list[Any]) -> None:
        """Wakes all who wait with these. Called by the publisher's thread."""


class Locks:
    """For threads."""

    def begin(self) -> threading.Lock:
        lock = threading.Lock()
        lock.acquire()
        return lock

    def end(self, group: list[threading.Lock]) -> None:
        for lock in group:
            lock.release()


class _Unit:
    """The hits of one request, which stay together. done: with which it waits."""

    __slots__ = ("account", "done", "hits", "memory", "refused", "size", "taken")

    def __init__(self, account: str, hits: Packed, done: Any):
        self.account, self.hits = account, hits
        self.size, self.memory = hits.size, hits.memory
        self.done = done
        self.refused: Reason | None = None
        self.taken = False


class Publisher:
    """The way from a request to a durable message; one object a process, safe from any number of threads.

    Made before or after a fork: its thread, files and connection are opened at the first use in each process.
    clock: epoch seconds, stamped on messages.  waits: how requests wait; a server that runs them in no threads sets its own.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time):
        self._settings, self._clock = settings, clock
        self.form, self._most = FORMS[settings.message_version], most_of(settings)
        self.waits: Waits = Locks()
        self._lock = threading.Lock()
        self._engine: _Engine | None = None
        self._closed = False
        _publishers.add(self)

    def check(self, row: Row) -> None:
        """Raises HitError of a hit that its messages would carry in part."""
        check_form(row, self.form)

    def pack(self, *hits: tuple[Row, int]) -> Packed:
        """The hits of one request, for `publish`. hits: row and cells of each; more may be added."""
        return Packed(self.form, self._most, *hits)

    def pack_piece(self, piece: Any, cells: int) -> Packed:
        """One hit, of which `form` made a piece."""
        packed = Packed(self.form, self._most)
        packed.put(piece, cells)
        return packed

    def publish(self, account: str, hits: Packed) -> None:
        """Blocks until all hits are durable; raises NotAccepted."""
        if not hits.hits:
            return
        engine = self._engine
        if engine is None or not engine.thread.is_alive():
            engine = self._start()
        unit = _Unit(account, hits, engine.waits.begin())
        engine.put(unit)
        if not unit.done.acquire(timeout=ANSWER_S):
            if engine.take_back(unit):
                raise NotAccepted(Reason.OVERLOADED)
            if not unit.done.acquire(blocking=False):  # else it was answered in the last moment
                raise NotAccepted(Reason.UNCONFIRMED)
        if unit.refused:
            raise NotAccepted(unit.refused)

    def note(self, account: str, refusal: Refusal) -> None:
        """A hit that was refused, to be told to those who ask where it went; goes with a later message, or is lost."""
        if not self._settings.spy or self._closed:
            return
        engine = self._engine
        if engine is None or not engine.thread.is_alive():
            try:
                engine = self._start()
            except NotAccepted:  # closed meanwhile
                return
        engine.note(account, refusal)

    def start(self) -> None:
        """Connects before the first hit comes."""
        if self._engine is None and not self._closed:
            self._start()

    def seal(self) -> None:
        """Hands this process's spool file to hailwail now."""
        if self._engine:
            self._engine.seal_now()

    def status(self) -> dict[str, str | float | None]:
        """broker: up, down or none. spool: ok, full, or what is wrong.  spool_mb: of the whole folder, with what is reserved."""
        spool_mb = None
        with suppress(OSError):
            spool_mb = round(SpoolFolder(self._settings.data_dir).size() / MEGABYTE, 1)
        engine = self._engine
        broker = "none" if not self._settings.broker_url else "up" if engine and engine.connected else "down"
        return {"broker": broker, "spool": engine.spool_state if engine else "ok", "spool_mb": spool_mb}

    def close(self) -> None:
        """Answers all that wait, seals the spool and closes the connection; hits are refused from now on."""
        with self._lock:
            self._closed, engine = True, self._engine
        if engine:
            engine.close()

    def _start(self) -> "_Engine":
        with self._lock:
            if self._closed:
                raise NotAccepted(Reason.OVERLOADED)
            if self._engine is not None:
                if self._engine.thread.ident is None or self._engine.thread.is_alive():  # None: it is about to start
                    return self._engine
                log.error("the publisher thread died: starting another")
                self._engine.bury()
            engine = self._engine = _Engine(self._settings, self._clock, self.waits)
        # Not under the lock: it may be older than gevent's patches, and then a greenlet that waits for it stops all others, the one
        # that starts the thread among them.
        try:
            engine.thread.start()
        except RuntimeError:  # there may be no more threads; the next hit tries again
            self._engine = None
            raise
        return engine

    def after_fork(self) -> None:
        """In the child: what was opened is the parent's."""
        self._lock = threading.Lock()
        if self._engine:
            self._engine.forget()
        self._engine = None


_publishers: "weakref.WeakSet[Publisher]" = weakref.WeakSet()


def _after_fork() -> None:
    for publisher in list(_publishers):
        publisher.after_fork()


os.register_at_fork(after_in_child=_after_fork)


class _Engine:
    """The waiting list and the one thread that empties it."""

    def __init__(self, settings: Settings, clock: Callable[[], float], waits: Waits):
        self._settings, self._clock, self.waits = settings, clock, waits
        self._name = secrets.token_hex(8)
        self._form, self._most = FORMS[settings.message_version], most_of(settings)
        self._seq = 0
        self._totals: dict[str, int] = {}  # by account
        self._spool = SpoolWriter(
            SpoolFolder(settings.data_dir),
            self._name,
            settings.spool_file_mb,
            settings.spool_max_mb,
            marked=self._form is COLUMNS,
        )
        self.spool_state = "ok"
        self._spooled_at = 0.0
        self._seal_asked = threading.Event()
        self._sealed = threading.Event()
        self._waiting: deque[_Unit] = deque()
        self._waiting_hits = 0
        self._taken: list[_Unit] = []
        self._room = Room("waiting hits", settings.waiting_max_mb * MEGABYTE)
        self._refusals: deque[tuple[str, Refusal]] = deque(maxlen=MAX_REFUSALS)
        self._told_at = 0.0
        self._lock = threading.Lock()
        self._awake = threading.Condition(self._lock)
        self._idle = False
        self._closing = False
        self._crowd = 1
        self._broker: Broker | None = None
        self._fresh: Broker | None = None
        self._connecting: threading.Thread | None = None
        self._try_at = 0.0
        self._no_connection = ""
        self._started = time.monotonic()
        self._rests_at, self._tells_at = self._started + REST_S, 0.0
        self.thread = threading.Thread(target=self._run, name="hail-publisher", daemon=True)

    # the side of the requests

    def put(self, unit: _Unit) -> None:
        with self._lock:
            too_many = self._waiting_hits + unit.hits.hits > self._settings.waiting_max_hits
            too_many = too_many or not self._room.fits(unit.memory)
            if self._closing or (self._waiting and too_many):
                raise NotAccepted(Reason.OVERLOADED)
            self._waiting.append(unit)
            self._waiting_hits += unit.hits.hits
            self._room.held += unit.memory
            if self._idle:
                self._idle = False
                self._awake.notify()

    def note(self, account: str, refusal: Refusal) -> None:
        with self._lock:
            self._refusals.append((account, refusal))
            if self._idle and time.monotonic() - self._told_at >= TELL_S:
                self._idle = False
                self._awake.notify()

    def take_back(self, unit: _Unit) -> bool:
        """Gives up waiting, so that hits that were refused are not counted; False when it is under way."""
        with self._lock:
            if unit.taken:
                return False
            self._waiting.remove(unit)
            self._waiting_hits -= unit.hits.hits
            self._room.held -= unit.memory
            return True

    def bury(self) -> None:
        """After its thread died: what waits is refused, what it had taken may be kept, what was spooled goes to hailwail."""
        with self._lock:
            units, self._waiting = list(self._waiting), deque()
            self._room.held = 0
            self._closing = True
            for unit in units:
                unit.taken = True
        self._answer(units, Reason.OVERLOADED)
        self._answer(self._taken, Reason.UNCONFIRMED)
        self._spool.forget()
        for broker in (self._broker, self._fresh):
            if broker:
                broker.cut()

    @property
    def connected(self) -> bool:
        return self._broker is not None or self._fresh is not None

    def seal_now(self) -> None:
        self._sealed.clear()
        self._seal_asked.set()
        self._wake()
        self._sealed.wait(ANSWER_S)

    def close(self) -> None:
        with self._lock:
            self._closing = True
        self._wake()
        self.thread.join(2 * ANSWER_S)

    def forget(self) -> None:
        """After a fork, in the child."""
        self._spool.forget()
        for broker in (self._broker, self._fresh):
            if broker:
                broker.forget()

    def _wake(self) -> None:
        with self._lock:
            self._idle = False
            self._awake.notify()

    # the side of the thread

    def _run(self) -> None:
        self._connect()
        while True:
            closing = self._closing  # asked before, so that what came until then is taken and told
            units = self._take()
            if units:
                try:
                    refused = self._commit(units)
                except Exception:  # nothing was sent: the group is refused, and the thread lives on for all others
                    log.exception("a group of %d requests failed", len(units))
                    refused = Reason.OVERLOADED
                self._crowd = len(units) + len(self._waiting)
                self._taken = []  # nobody answers them twice
                self._answer(units, refused)
            try:
                self._tend(idle=not units)
                if not units:
                    self._tell()
            except Exception:  # of tending and telling no request waits; accepting goes on
                log.exception("the spool in %s", self._settings.data_dir)
            if closing and not units:
                break
        self._spool.seal()
        if self._broker:
            try:
                self._broker.close()
            except Exception as error:  # py-amqp raises nearly anything
                log.info("closing the broker connection: %s", error)

    def _answer(self, units: list[_Unit], refused: Reason | None) -> None:
        for unit in units:
            unit.refused = refused
        self.waits.end([unit.done for unit in units])

    def _take(self) -> list[_Unit]:
        """The requests of the next message, after waiting for one, and for more while more come. Empty: a tick."""
        with self._lock:
            if not self._waiting and not self._closing and not self._seal_asked.is_set():
                self._idle = True
                self._awake.wait(TICK_S)
                self._idle = False
            if not self._waiting:
                return []
        if self._crowd > 1 and not self._closing:
            self._linger()
        most = self._most
        units: list[_Unit] = []
        hits = size = cells = 0
        with self._lock:
            while self._waiting:
                unit = self._waiting[0]
                hits, size, cells = hits + unit.hits.hits, size + unit.size, cells + unit.hits.cells
                is_full = hits > most.hits or size > most.bytes_ or cells > most.cells
                is_other = unit.account != units[0].account and not self._form.is_mixed if units else False
                if units and (is_full or is_other):
                    break
                unit.taken = True
                units.append(self._waiting.popleft())
                self._waiting_hits -= unit.hits.hits
                self._room.held -= unit.memory
            self._taken = units
        return units

    def _linger(self) -> None:
        """Waits while requests keep coming, at most linger_ms: a larger message costs the worker less.

        Half of those that were about is enough: they are confirmed while the other half is read.
        """
        until = time.monotonic() + self._settings.linger_ms / 1000
        seen = 0
        while seen < len(self._waiting) < self._crowd // 2 and time.monotonic() < until:
            seen = len(self._waiting)
            time.sleep(PAUSE_S)

    def _commit(self, units: list[_Unit]) -> Reason | None:
        """Makes a group durable; None, or the reason why not."""
        if len(units) == 1:  # it may be too large for one message
            (unit,) = units
            return self._keep([{unit.account: [part]} for part in unit.hits.parts])
        shares: dict[str, list[Any]] = {}
        for unit in units:
            shares.setdefault(unit.account, []).extend(unit.hits.parts)
        return self._keep([shares])

    def _refused(self, accounts: Collection[str]) -> dict[str, list[Refusal]]:
        """What the next message tells of these accounts."""
        found: dict[str, list[Refusal]] = {}
        if not self._refusals:
            return found
        with self._lock:
            kept = [row for row in self._refusals if row[0] not in accounts]
            for account, refusal in self._refusals:
                if account in accounts:
                    found.setdefault(account, []).append(refusal)
            self._refusals.clear()
            self._refusals.extend(kept)
        return found

    def _tell(self) -> None:
        """Where no hit comes: a message without hits, which carries what was refused. At most one a second, and one at the end."""
        now = time.monotonic()
        if self._refusals and (self._closing or now - self._told_at >= TELL_S):
            self._told_at = now
            accounts = [account for account, _ in self._refusals]
            self._keep([dict.fromkeys(accounts if self._form.is_mixed else accounts[:1], ())])

    def _keep(self, messages: Sequence[Shares]) -> Reason | None:
        """Makes messages of so many hits durable, the first with what was refused; None, or the reason why not."""
        began = time.monotonic()
        at_ms, hits, named = int(self._clock() * 1000), 0, []
        refused, totals = self._refused(messages[0]), dict[str, int]()
        for seq, shares in enumerate(messages, self._seq):
            for account, parts in shares.items():
                more = sum(part.hits for part in parts)
                totals[account] = totals.get(account, self._totals.get(account, 0)) + more
                hits += more
            body = self._form.encode(self._name, seq, at_ms, shares, totals, refused)
            named.append((f"{self._name}-{seq}", body))
            refused = {}
        try:
            self._spool.reserve(len(body) for _, body in named)
            self.spool_state = "ok"
        except SpoolFull as error:
            if self.spool_state == "ok":
                log.error("hits are refused: %s", error)
            self.spool_state = f"full: {error}"
            return Reason.SPOOL_FULL
        self._seq += len(named)
        try:
            kept = "broker" if self._publish(named) else "spool"
            if kept == "spool":
                self._spool.append([body for _, body in named])
                self._spooled_at = self._spooled_at or began
        except Exception:  # whatever it was: the callers are told, and the thread lives on for all others
            log.exception("%d messages are unconfirmed: they may be counted, or not", len(named))
            # their hits belong to no later total: so the audit closes whatever became of them
            self._name, self._seq, self._totals = secrets.token_hex(8), 0, {}
            return Reason.UNCONFIRMED
        counters.ACCEPTED_BY[kept].inc(hits)
        counters.MESSAGES_BY[kept].inc(len(named))
        counters.COMMIT_SECONDS.observe(time.monotonic() - began)
        self._totals.update(totals)
        return None

    def _try_spool(self) -> None:
        """After it was full: a balancer that asks /readyz sends no hit that would find out whether there is room again."""
        try:
            self._spool.reserve([CHUNK_BYTES - MOST_HEAD])
            self.spool_state = "ok"
        except SpoolFull as error:
            self.spool_state = f"full: {error}"

    def _publish(self, messages: list[tuple[str, bytes]]) -> bool:
        """True when the broker confirmed; False: to the spool."""
        broker = self._ready_broker()
        if broker is None:
            return False
        try:
            broker.send(messages, self._settings.confirm_timeout_ms / 1000)
            return True
        except Exception as error:  # py-amqp raises nearly anything; whatever it is, nothing is confirmed
            self._break(error)
            return False

    def _break(self, error: Exception) -> None:
        broker, self._broker = self._broker, None
        self._try_at = time.monotonic() + self._settings.breaker_s
        cause = str(error) if isinstance(error, BrokerFailed) else "timeout" if _timed_out(error) else "error"
        counters.BROKER_FAILURES.labels(cause).inc()
        log.warning("RabbitMQ: %s (%r): hits go to the spool for %s s", cause, error, self._settings.breaker_s)
        if broker:
            broker.cut()

    def _ready_broker(self) -> Broker | None:
        if self._broker is None and self._settings.broker_url:
            self._connect()
            patience = self._started + self._settings.confirm_timeout_ms / 1000 - time.monotonic()
            if patience > 0 and self._connecting:  # only for the first hits of a process
                self._connecting.join(patience)
            self._broker, self._fresh = self._fresh, None
        return self._broker

    def _connect(self) -> None:
        """Begins to connect in the background, unless it is too early or under way."""
        under_way = self._connecting is not None and self._connecting.is_alive()
        if not self._settings.broker_url or under_way or self.connected or time.monotonic() < self._try_at:
            return
        self._connecting = threading.Thread(target=self._connect_now, name="hail-connect", daemon=True)
        self._connecting.start()

    def _connect_now(self) -> None:
        try:
            self._fresh = Broker(self._settings)
        except Exception as error:  # as above: whatever py-amqp raises, there is no connection
            self._try_at = time.monotonic() + self._settings.breaker_s
            counters.BROKER_FAILURES.labels("connect").inc()
            if str(error) != self._no_connection:
                why = setup_fault(error, self._settings) or f"no connection: {away(error, self._settings)}"
                log.warning("%s; hits go to the spool", why)
            self._no_connection = str(error)
        else:
            self._no_connection = ""

    def _tend(self, idle: bool) -> None:
        """Between groups: the connection is watched, and a spool file with hits in it is soon handed over."""
        if idle and self.spool_state != "ok":
            self._try_spool()
        now = time.monotonic()
        broker = self._ready_broker() if idle else None
        if broker:
            try:
                broker.tend()
            except Exception as error:  # as above
                self._break(error)
        if not idle:
            self._rests_at = now + REST_S
        elif now >= self._rests_at:
            self._rests_at = now + REST_S
            rest()
        if now >= self._tells_at:
            self._tells_at = now + TICK_S
            tell_held()
        asked = self._seal_asked.is_set()
        if asked or (self._spooled_at and now - self._spooled_at > SEAL_AFTER_S):
            self._spooled_at = 0.0
            self._spool.seal()
        if asked:
            self._seal_asked.clear()
            self._sealed.set()


def _timed_out(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or "timed out" in str(error)

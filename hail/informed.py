"""The directory of this node: asked of Whale each second by one of its processes, and kept in a copy beside the spool.

    each half second ── did a process of this node ask within the last second?
                            ├─ yes ──> what it added to the copy is read
                            └─ no ───> Whale is asked for what changed, and that is added to the copy

    <data_dir>/directory/    mode 700
        copy                 mode 600. Signed records: all there is, then what changed. Its time says when Whale last answered
        turn                 held by the process that asks. Its time says when one last asked

Promise: while Whale is away, what was known stays in force, over restarts too. An answer or a copy that is cut off, forged, older, or
too large changes nothing. A key that nobody knows is asked for once more, at most each AT_ONCE_S a node, before `key_of` gives none.
No request waits longer than WAIT_S for that, and none waits while Whale fails: it is the thread that asks. A large directory is read in
steps of some milliseconds, since the thread may be a greenlet of the loop that answers all requests.
Not promised: that the copy can be written. Without it each process asks for itself.

The salts of days (hail/salts.py) are in no copy: each process asks for them once a minute.
"""

import fcntl
import http.client
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from prometheus_client import Counter, Gauge

from hail import salts
from hail.binds import url_of
from hail.directory import (
    CONTENT_TYPE,
    SECRET,
    Answer,
    Directory,
    DoesNotFit,
    Key,
    NotTaken,
    State,
    Unsound,
    answer_of,
    read_record,
    record_of,
)
from hail.room import MEGABYTE
from hail.settings import PREFIX, Settings, SettingsError

log = logging.getLogger("hail.informed")

FOLDER, COPY, TURN = "directory", "copy", "turn"
ROUTE, SALTS_ROUTE = "/internal/directory", "/internal/salts"
LOOK_S, ASK_S, AT_ONCE_S, WAIT_S = 0.5, 0.9, 0.2, 0.5  # so that one of them asks at each second look
PAUSE_S = 0.001  # between two steps
SALTS_S, SALTS_AGAIN_S = 60.0, 2.0
"""How often the salts of days are asked for, and how soon again where they did not come."""
TIMEOUT_S, LONGEST_S = 2.0, 10.0
"""For each step of an answer, and for all of it."""
PIECE_BYTES = 1 << 16
ROOM_FOR_CHANGES = 1_000_000
"""Bytes of changes that the copy may have beside as many as all there is, before it is written anew."""

AGE = Gauge(
    "hailwhale_directory_age_seconds",
    "Seconds since Whale last answered for the directory",
    multiprocess_mode="livemax",
)
FAILURES = Counter("hailwhale_directory_failures", "Times that Whale was asked for the directory in vain", ["cause"])


class Away(Exception):
    """Whale gave no answer that could be one. The message says why, cause is a word for it."""

    def __init__(self, cause: str, said: str):
        super().__init__(said)
        self.cause = cause


class Whale:
    """Where Whale is asked. For one thread at a time."""

    def __init__(self, settings: Settings):
        """Raises SettingsError where Whale listens at no address that can be asked."""
        parts = urlsplit(settings.whale_url or _url_of(settings.whale_bind))
        self.address = parts.netloc
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._internal_key, self._most = settings.internal_key, int(settings.directory_mb * MEGABYTE)

    def ask(self, seen: State | None) -> bytes | None:
        """A record with all there is, or what changed since a state; None where nothing did. Raises Away."""
        headers = {"Authorization": f"Bearer {self._internal_key}", "Accept": CONTENT_TYPE}
        path = ROUTE
        if seen:
            path, headers["If-None-Match"] = f"{ROUTE}?since={seen.text}", f'"{seen.text}"'
        return self._get(path, headers)

    def ask_salts(self) -> bytes:
        """A record of the salts of days. Raises Away."""
        headers = {"Authorization": f"Bearer {self._internal_key}", "Accept": salts.CONTENT_TYPE}
        return self._get(SALTS_ROUTE, headers) or b""

    def _get(self, path: str, headers: Mapping[str, str]) -> bytes | None:
        """The body; None of an answer that nothing changed. Raises Away."""
        connection = self._kind(self.address, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path, headers=dict(headers))
            answer = connection.getresponse()
            if answer.status == 304:
                return None
            if answer.status != 200:
                raise Away("refused" if answer.status in (401, 403) else "status", f"Whale answered {answer.status}")
            return self._body(answer)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Away("unreachable", f"no answer from Whale at {self.address}: {error!r}") from None
        finally:
            connection.close()

    def _body(self, answer: http.client.HTTPResponse) -> bytes:
        until, pieces, size = time.monotonic() + LONGEST_S, [], 0
        while piece := answer.read1(PIECE_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size > self._most:
                raise Away(
                    "too_large", f"Whale's answer is larger than {self._most} bytes: raise HAILWHALE_DIRECTORY_MB"
                )
            if time.monotonic() > until:
                raise Away("slow", f"Whale's answer took longer than {LONGEST_S:.0f} s")
        return b"".join(pieces)


def _url_of(bind: str) -> str:
    try:
        return url_of(bind)
    except SettingsError:
        raise SettingsError(
            f"{PREFIX}WHALE_URL: expected the address at which Hail reaches Whale, since no client can reach {bind!r}"
        ) from None


class Informed:
    """For many threads. clock: epoch seconds.

    Made before or after a fork: each process has a thread of its own.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time):
        self.directory = Directory(settings.directory_mb)
        self._internal_key, self._clock, self._whale = settings.internal_key, clock, Whale(settings)
        self._folder = Path(settings.data_dir) / FOLDER
        self._is_started = self._is_stopped = False
        self._begin()
        self._copy: BinaryIO | None = None  # as it was read; while it is open, no other file has its number
        self._offset = self._whole_bytes = 0
        self._is_damaged = self._is_gone = False
        self._salts: dict[str, bytes] = {}
        self._salts_due_at = float("-inf")
        self._answered_at: float | None = None
        self._failed = ""
        with self._lock:
            self._read()
        _all.add(self)

    def _begin(self) -> None:
        """What a process has for itself."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._turns = threading.Condition()
        self._wanted = self._begun = self._ended = 0  # turns of the thread, by number

    def start(self) -> None:
        """Keeps it as Whale has it, from now on."""
        self._is_started = True
        with self._turns:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hail-directory", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        with self._turns:
            self._is_stopped = True
            self._turns.notify_all()

    def after_fork(self) -> None:
        """In the child, whose parent has the thread. What was read stays."""
        self._begin()
        self._hold(None)

    def key_of(self, secret: bytes) -> Key | None:
        """The key with this secret, if it is good now. Of one that nobody knows it may take WAIT_S."""
        found = self.directory.key_of(secret, self._clock())
        if found is None and not self._failed and SECRET.fullmatch(secret):
            self._ask_once_more()
            found = self.directory.key_of(secret, self._clock())
        return found

    def _ask_once_more(self) -> None:
        """Returns after a turn that began after this was called, or WAIT_S later."""
        if not self._is_started:
            self.refresh(AT_ONCE_S)
            return
        self.start()
        with self._turns:
            wanted = self._wanted = self._begun + 1
            self._turns.notify_all()
            self._turns.wait_for(lambda: self._ended >= wanted or self._is_stopped, WAIT_S)

    def salt_in(self, zone: str) -> bytes | None:
        """The salt of the date that it is in a zone; None where Whale has not told it."""
        return self._salts.get(salts.date_in(zone, self._clock()))

    def renew_salts(self) -> None:
        """Asks for the salts of days, where it is time. They are in no copy, so each process asks. Raises nothing."""
        now = self._clock()
        if now < self._salts_due_at:
            return
        try:
            found = salts.salts_of(self._whale.ask_salts(), self._internal_key)
        except (Away, salts.NoSalts):  # which `_ask` tells of
            known, self._salts_due_at = set(salts.dates_at(now)), now + SALTS_AGAIN_S
            self._salts = {day: salt for day, salt in self._salts.items() if day in known}
        else:
            self._salts, self._salts_due_at = found, now + SALTS_S

    @property
    def is_known(self) -> bool:
        """Whether there is a directory at all."""
        return self.directory.state is not None

    @property
    def told_at(self) -> float | None:
        """When Whale last answered; None where it never did."""
        return self._answered_at

    def age_s(self) -> float | None:
        """Seconds since Whale last answered; None where it never did."""
        return None if self._answered_at is None else max(0.0, self._clock() - self._answered_at)

    def refresh(self, after_s: float) -> None:
        """Reads what other processes were told, and asks Whale where none was within so many seconds. Raises nothing."""
        with self._lock:
            self._read()
            if self._is_due(after_s):
                with self._turn() as is_ours:
                    if is_ours:
                        self._read()  # what came before it was ours
                        self._ask()

    def _run(self) -> None:
        while True:
            with self._turns:
                self._turns.wait_for(
                    lambda: self._wanted > self._begun or self._is_stopped, LOOK_S if self._begun else 0
                )
                if self._is_stopped:
                    return
                after_s = AT_ONCE_S if self._wanted > self._begun else ASK_S
                self._begun += 1
            try:
                self.refresh(after_s)
                self.renew_salts()
                age = self.age_s()
                AGE.set(float("inf") if age is None else age)
            except Exception:  # whatever it was, the next turn comes
                log.exception("the directory")
            with self._turns:
                self._ended = self._begun
                self._turns.notify_all()

    def _is_due(self, after_s: float) -> bool:
        try:
            asked_at = (self._folder / TURN).stat().st_mtime
        except OSError:
            return True
        return not 0 <= self._clock() - asked_at < after_s  # also where the clock went back

    @contextmanager
    def _turn(self) -> Iterator[bool]:
        """Whether it is this process that asks now; also where no file can say so."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            turn = os.open(self._folder / TURN, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            yield True
            return
        try:
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            with suppress(OSError):
                os.utime(turn, (self._clock(),) * 2)
            yield True
            fcntl.flock(turn, fcntl.LOCK_UN)  # also of a child that was forked meanwhile, which has it open
        finally:
            os.close(turn)

    def _ask(self) -> None:
        try:
            record = self._whale.ask(self.directory.state)
            if record is not None:
                self._take(record)
            elif self._is_gone:
                self._is_gone = False
                with suppress(OSError):
                    self._write_all()
        except Away as error:
            self._tell(error.cause, str(error))
        except NotTaken as error:
            self._tell(type(error).__name__.lower(), f"Whale's answer was not taken: {error}")
        else:
            self._tell("", "")
            self._answered_at = self._clock()
            with suppress(OSError):
                os.utime(self._folder / COPY, (self._answered_at,) * 2)

    def _take(self, record: bytes) -> None:
        """Raises NotTaken and Away."""
        answer = answer_of(record, self._internal_key, _let_others_work)
        try:
            self._take_answer(answer, record)
        except DoesNotFit:
            whole = self._whale.ask(None)
            if whole is None:
                raise Unsound("expected all there is, got nothing") from None
            self._take_answer(answer_of(whole, self._internal_key, _let_others_work), whole)

    def _take_answer(self, answer: Answer, record: bytes) -> None:
        self.directory.take(answer, _let_others_work)
        try:
            self._keep(answer, record)
        except OSError as error:
            log.warning("%s cannot be written (%s): each process asks for itself", self._folder / COPY, error)

    def _tell(self, cause: str, said: str) -> None:
        """Says once what is wrong, and once that it is over."""
        if cause:
            FAILURES.labels(cause).inc()
        if cause != self._failed:
            if cause:
                log.warning("%s; keys stay as they were", said)
            else:
                log.warning("Whale answers again for the directory")
        self._failed = cause

    # the copy

    def _read(self) -> None:
        """Takes what was added to the copy since it was read."""
        try:
            found = (self._folder / COPY).stat()
            if not self._copy or not os.path.samestat(found, os.fstat(self._copy.fileno())):
                self._hold((self._folder / COPY).open("rb"))
            assert self._copy
            if os.fstat(self._copy.fileno()).st_size > self._offset:
                self._copy.seek(self._offset)
                self._take_records(self._copy.read())
        except OSError:
            self._is_gone = self._is_gone or self._copy is not None  # whoever asks next writes it
            self._hold(None)
            return
        if self.is_known:
            self._answered_at = max(found.st_mtime, self._answered_at or 0.0)

    def _hold(self, copy: BinaryIO | None, offset: int = 0) -> None:
        if self._copy:
            self._copy.close()
        self._copy, self._offset = copy, offset

    def _take_records(self, data: bytes) -> None:
        at, self._is_damaged = 0, False
        while at < len(data):
            try:
                answer, end = read_record(data, at, self._internal_key, _let_others_work)
            except Unsound:
                self._is_damaged = True  # or its end is being written
                break
            with suppress(NotTaken):  # of a state that this process has left behind
                self.directory.take(answer, _let_others_work)
            if answer.since is None:
                self._whole_bytes = end - at
            at = end
        self._offset += at

    def _keep(self, answer: Answer, record: bytes) -> None:
        """Adds what was taken to the copy, or writes it anew. Raises OSError."""
        most = 2 * self._whole_bytes + ROOM_FOR_CHANGES
        if answer.since is None:
            self._write(record)
            return
        if not self._copy or self._is_damaged or self._offset + len(record) > most:
            self._write_all()
            return
        copy = os.open(self._folder / COPY, os.O_WRONLY | os.O_APPEND)
        try:
            found, read = os.fstat(copy), os.fstat(self._copy.fileno())
            if (
                os.path.samestat(found, read)
                and found.st_size == self._offset
                and os.write(copy, record) == len(record)
            ):
                os.fsync(copy)
                self._offset += len(record)
                return
        finally:
            os.close(copy)
        self._write_all()

    def _write_all(self) -> None:
        """All there is. Raises OSError."""
        self._write(record_of(self.directory.answer(), self._internal_key, _let_others_work))

    def _write(self, record: bytes) -> None:
        """A record with all there is, in a new file. Raises OSError."""
        new = self._folder / f"{COPY}.new"
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(record)
            file.flush()
            os.fsync(file.fileno())
        self._hold(new.open("rb"), len(record))
        new.replace(self._folder / COPY)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._whole_bytes, self._is_damaged = len(record), False


def _let_others_work() -> None:
    time.sleep(PAUSE_S)


_all: "weakref.WeakSet[Informed]" = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_all):
        each.after_fork()


os.register_at_fork(after_in_child=_after_fork)

"""Counting decisions as trials, in the background: a decision does not wait for its count.

What waits is added up and counted every PAUSE_S. Each decision adds to its option, at the paths of its context, `__decided__` 1, and
a hit where it is a trial; and to the root of every option `__expected__`, the probability that the option had. So the number of
decisions and the sum of probabilities close over the same decisions.

Promise: a process that ends counts what waits; one that is killed loses at most what came in PAUSE_S. While the store is away it waits,
up to MOST decisions, and TRIALS_MAX_MB; more are not counted, and the log says how many.
"""

import atexit
import hashlib
import logging
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence

from hail.hit import DECIDED, EXPECTED, MILLION, Dimensions, Hit, encode_hit, with_moments
from hail.message import Message, decode_message, encode_message
from hail.room import MEGABYTE, Room
from hail.settings import Settings
from whale.dimension import Pk, paths_of
from whale.errors import Unavailable

PAUSE_S, IDLE_S = 1.0, 10.0
MOST = 50_000
MOST_ACCOUNTS = 1000  # whose publishers are kept for what they decide next
HIT_BYTES, PATH_BYTES, EXPECTED_BYTES = 700, 500, 400  # about what each costs in memory

log = logging.getLogger(__name__)


class Trials:
    """For many threads, and for all accounts. apply: counts a message, as often as it is handed the same one once."""

    def __init__(self, apply: Callable[[Message], None], settings: Settings, clock: Callable[[], float]) -> None:
        self._apply, self._settings, self._clock = apply, settings, clock
        self._room = Room("trials", settings.trials_max_mb * MEGABYTE)
        self._waiting: list[tuple[str, Hit]] = []  # by account
        self._expected: dict[tuple[str, Pk, int], float] = {}
        self._unsent: deque[bytes] = deque()  # the first may be counted, or not
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._lost = 0
        self._publishers: OrderedDict[str, tuple[str, int, int]] = OrderedDict()  # of each account: name, seq, total
        self._word, self._named = secrets.token_hex(8), 0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(
        self,
        account: str,
        pk: Pk,
        option: str,
        dimensions: Dimensions,
        at: float,
        probabilities: Mapping[str, float],
        is_trial: bool,
        visitor: str | None,
    ) -> None:
        """One decision of a pk. probabilities: by option."""
        at_ms = int(at * 1000)
        metrics = {"hits": 1, DECIDED: MILLION} if is_trial else {DECIDED: MILLION}
        cells = (len(pk) + 1) * len(paths_of(dimensions)) * len(metrics) * len(self._settings.periods)
        hit = Hit((*pk, option), dimensions, metrics, at_ms, None, visitor, "decided", cells)
        with self._lock:
            if not self._has_room():
                self._lost += 1
                return
            self._wait(account, with_moments(hit, self._settings) if is_trial else hit)
            for name, share in probabilities.items():
                key = account, (*pk, name), at_ms // 60_000
                if key not in self._expected:
                    self._room.held += EXPECTED_BYTES
                self._expected[key] = self._expected.get(key, 0.0) + share
            self._call()

    def add_hit(self, account: str, hit: Hit) -> None:
        """What a decision counts beside its trial, without a promise."""
        with self._lock:
            if self._has_room():
                self._wait(account, hit)
                self._call()

    def _has_room(self) -> bool:
        return len(self._waiting) < MOST and not self._room.is_full

    def _wait(self, account: str, hit: Hit) -> None:
        self._waiting.append((account, hit))
        self._room.held += HIT_BYTES + PATH_BYTES * len(paths_of(hit.dimensions))

    def _call(self) -> None:
        """Lets the thread count what waits. Holding the lock."""
        self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="trials", daemon=True)
            self._thread.start()
            atexit.register(self._leave)

    def flush(self) -> None:
        """Counts what waits, now; raises Unavailable."""
        with self._sending:
            with self._lock:
                waiting, expected, lost = self._waiting, self._expected, self._lost
                self._waiting, self._expected, self._lost, self._room.held = [], {}, 0, 0
            if lost:
                log.error(
                    "%d decisions are not counted: more than %d, or than TRIALS_MAX_MB, were waiting for the store",
                    lost,
                    MOST,
                )
            for (account, pk, minute), share in expected.items():
                cells = len(pk) * len(self._settings.periods)
                hit = Hit(pk, {}, {EXPECTED: round(share * MILLION)}, minute * 60_000, cells=cells)
                waiting.append((account, hit))
            hits: dict[str, list[Hit]] = {}
            for account, hit in waiting:
                hits.setdefault(account, []).append(hit)
            for account, own in hits.items():
                self._publish(account, own)
            while self._unsent:
                self._apply(decode_message(self._unsent[0]))
                self._unsent.popleft()

    def _publish(self, account: str, hits: Sequence[Hit]) -> None:
        """As messages of the account's own publisher, so that its audit closes."""
        publisher, seq, total = self._publishers.pop(account, ("", 0, 0))
        publisher = publisher or self._new_name()
        most = self._settings.message_max_hits
        for first in range(0, len(hits), most):
            rows = [encode_hit(hit) for hit in hits[first : first + most]]
            total += len(rows)
            self._unsent.append(encode_message(publisher, seq, account, total, int(self._clock() * 1000), rows))
            seq += 1
        while len(self._publishers) >= MOST_ACCOUNTS:
            self._publishers.popitem(last=False)
        self._publishers[account] = publisher, seq, total

    def _new_name(self) -> str:
        """The word of this process, and then such as nobody else draws."""
        self._named += 1
        if self._named == 1:
            return self._word
        return hashlib.blake2b(f"{self._word} {self._named}".encode(), digest_size=8).hexdigest()

    def _work(self) -> None:
        pause = threading.Event()
        while self._is_needed():
            pause.wait(PAUSE_S)
            self._wake.clear()
            try:
                self.flush()
            except Unavailable:
                self._wake.set()  # the same message again
            except Exception:  # decisions go on
                log.exception("decisions were not counted")
                with self._sending:
                    self._unsent.clear()

    def _is_needed(self) -> bool:
        """Whether something waits, now or within IDLE_S; else the thread ends, and holds nothing of a program that is done."""
        if self._wake.wait(IDLE_S):
            return True
        with self._lock:
            if self._wake.is_set():
                return True
            self._thread = None
            atexit.unregister(self._leave)
            return False

    def _leave(self) -> None:
        try:
            self.flush()
        except Unavailable as error:
            log.error("the last decisions may not be counted: %s", error)

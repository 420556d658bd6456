"""The state of all of it, in one answer: Whale, Redis, RabbitMQ, each Hail, the lag, the audit, the dead messages, the versions.

    store ─┐
    queue ─┤  each a Probe: looked at in a thread of its own, at most once in 5 s for this process
    audit ─┤                          │
    hails ─┘                          └──> GET /health.json, Whale.health

A field that cannot be known is null, and `why` has the reason. Nobody waits for more than WAIT_S.
"""

import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from hail import __version__
from hail.settings import Settings
from hail.spool import MEGABYTE, SpoolFolder
from whale.answer.explain import iso
from whale.errors import Refused
from whale.health import hails
from whale.health.audit import Audit, Look, close
from whale.health.lag import Pace, spool_lag_s
from whale.health.probe import Probe, Unknown
from whale.health.queues import Queues
from whale.store.contract.events import Events
from whale.store.contract.faults import Faults
from whale.store.contract.server import Server
from whale.store.contract.tallies import Tallies

WAIT_S = 2.0
MOST_SPOOLED = 16 * MEGABYTE  # bytes of a spool that is read for the audit, some ten times that in memory


class HealthStore(Tallies, Faults, Events, Server, Protocol):
    """All that is asked of a store."""


@dataclass(frozen=True)
class Redis:
    """state: up, or takes no writes.  why: it takes none."""

    state: str
    version: str
    why: str = ""


@dataclass(frozen=True)
class Queue:
    """Of RabbitMQ: messages that wait, workers that read, dead messages."""

    messages: int
    workers: int
    dead: int
    version: str


@dataclass(frozen=True)
class Summed:
    """An audit, and when it was made."""

    audit: Audit
    at: float
    counted: int


class HealthWatch:
    """For many threads. clock: epoch seconds."""

    def __init__(self, store: HealthStore, account: str, settings: Settings, clock: Callable[[], float]):
        self._store, self._account, self._settings, self._clock = store, account, settings, clock
        self._look = Look(settings)
        self._before: list[tuple[int, ...]] = []
        self._pace, self._pacing = Pace(), threading.Lock()
        self._redis = Probe("the store", self._see_store)
        self._queue = Probe("RabbitMQ", self._see_queue)
        self._audit = Probe("the audit", self._see_sums)
        self._hails = {url: Probe(url, partial(hails.ask, url)) for url in settings.hail_urls}

    def now(self) -> dict[str, Any]:
        """As JSON holds it."""
        until, why = time.monotonic() + WAIT_S, dict[str, str]()
        redis, why_redis = self._redis.see(until)
        queue, why["queue"] = self._queue.see(until)
        summed, why["audit"] = self._audit.see(until)
        asked = {url: probe.see(until) for url, probe in self._hails.items()}
        if not asked:
            why["hails"] = "HAILWHALE_HAIL_URLS is empty"
        has_queue = bool(self._settings.broker_url)
        lag_s, why["lag_s"] = self._lag(queue, summed, why["queue"] if has_queue else "")
        said = {
            "as_of": iso(int(self._clock())),
            "whale": {"ready": redis is not None},
            "redis": {"state": redis.state, "why": redis.why} if redis else {"state": "away", "why": why_redis},
            "queue": {"messages": queue.messages, "workers": queue.workers} if queue else None,
            "hails": [_hail_said(url, *each) for url, each in asked.items()] or None,
            "lag_s": lag_s,
            "audit": _audit_said(summed) if summed else None,
            "dead": queue.dead if queue else None if has_queue else 0,
            "versions": {
                "hailwhale": __version__,
                "python": platform.python_version(),
                "redis": redis.version if redis else None,
                "rabbitmq": queue.version if queue else None,
            },
        }
        if said["dead"] is None:
            why["dead"] = why["queue"]
        return {**said, "why": {name: why[name] for name in said if said[name] is None}}

    def _lag(self, queue: Queue | None, summed: Summed | None, why_no_queue: str) -> tuple[float | None, str]:
        """Of the spool of this machine and of the queue, whichever waits longer."""
        now, since = self._clock(), summed.audit.spooled_since_ms if summed else None
        try:
            spool_s = spool_lag_s(self._settings, now) if summed is None else now - since / 1000 if since else 0.0
        except OSError as error:
            return None, f"the spool cannot be read: {error.strerror}"
        if why_no_queue:
            return None, why_no_queue
        queue_s = 0.0
        if queue:
            with self._pacing:
                queue_s = self._pace.lag_s(queue.messages, summed.counted if summed else self._pace.counted, now)
        return round(max(0.0, spool_s, queue_s), 1), ""

    # looks

    def _see_store(self) -> Redis:
        version = self._store.version()
        try:
            self._store.check_writable()
        except Refused as error:  # questions are answered
            return Redis("takes no writes", version, str(error))
        return Redis("up", version)

    def _see_queue(self) -> Queue:
        if not self._settings.broker_url:
            raise Unknown("HAILWHALE_BROKER_URL is empty: the spool is the queue")
        with Queues(self._settings) as queues:
            messages, workers = queues.state(self._settings.queue) or (0, 0)
            return Queue(messages, workers, queues.dead_length(), queues.version)

    def _see_sums(self) -> Summed:
        size = SpoolFolder(self._settings.data_dir).size()
        if size > MOST_SPOOLED:
            raise Unknown(f"the spool holds {size / MEGABYTE:,.0f} MB: `hailwhale audit` adds them up")
        at, found = self._clock(), self._look()
        audit = close(self._store, self._account, found)
        sums = [line.values() for line in audit.lines]
        if found.queued is not None and sums != self._before:
            # RabbitMQ does not count what workers hold: only sums that stand still can lack something
            for line in audit.lines:
                line.in_flight += max(line.missing, 0)
        self._before = sums
        return Summed(audit, at, sum(each.messages for each in self._store.audit(self._account)))


def _hail_said(url: str, said: hails.Said | None, why: str) -> dict[str, Any]:
    if said is None:
        return {"url": url, "ready": None, "broker": None, "spool_mb": None, "why": why}
    return {"url": url, "ready": said.ready, "broker": said.broker, "spool_mb": said.spool_mb}


def _audit_said(summed: Summed) -> dict[str, Any]:
    audit, whole = summed.audit, summed.audit.whole
    return {
        "closes": audit.closes,
        "accepted": whole.accepted,
        "counted": whole.counted,
        "duplicate": whole.duplicate,
        "dropped": whole.dropped,
        "in_flight": whole.in_flight,
        "spooled": whole.spooled,
        "dead_lettered": whole.dead_lettered,
        "missing": whole.missing,
        "unreadable_messages": audit.unreadable,
        "faults": audit.faults,
        "evicted_keys": audit.evicted,
        "publishers": len(audit.lines),
        "of": "this machine",
        "at": iso(int(summed.at)),
    }

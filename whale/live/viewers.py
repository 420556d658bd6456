"""Viewers: streams that are open, and what waits for each. One loop runs them all; time is an argument.

    events ── tell ──► by pk: viewers ──► what waits ──► its greenlet sends it

Promise: what waits for one viewer is at most `viewer_kb`; whoever reads more slowly is dropped, and counted. A text is one object, however
many it waits for. Whoever comes back within a moment, and says what came last, gets what came meanwhile.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent.event
import msgspec

from hail.room import Room
from hail.settings import Settings
from whale.dimension import Pk
from whale.events import HIT, MOST_HITS, MOST_REFUSED, REFUSED, TOTALS, Event, Pace, added, prefixes

SLOW, GONE, STOPPING = "slow", "gone", "stopping"
TOTALS_S = 1.0
REPLAYED_BYTES = 256_000


class Full(Exception):
    """No more viewers."""


class Viewer:
    """One stream. cut: closes its connection at once.  ended: why it is over."""

    __slots__ = ("_room", "_wake", "cut", "ended", "held", "most", "pk", "waiting")

    def __init__(self, pk: Pk, most: int, room: Room):
        self.pk, self.most, self._room = pk, most, room
        self.waiting: list[bytes] = []
        self.held = 0
        self.ended = ""
        self.cut: Callable[[], None] = lambda: None
        self._wake = gevent.event.Event()

    def push(self, text: bytes) -> None:
        if self.ended:
            return
        if self.held + len(text) > self.most:
            self.end(SLOW)
            self.cut()
            return
        self.waiting.append(text)
        self._hold(len(text))
        self._wake.set()

    def take(self) -> bytes:
        """All that waits."""
        text = b"".join(self.waiting)
        self.waiting.clear()
        self._hold(-self.held)
        self._wake.clear()
        return text

    def wait(self, seconds: float) -> None:
        """Until something waits, or it has ended."""
        self._wake.wait(max(0.0, seconds))

    def end(self, why: str) -> None:
        self.ended = self.ended or why
        self.waiting.clear()
        self._hold(-self.held)
        self._wake.set()

    def _hold(self, size: int) -> None:
        self.held += size
        self._room.held += size


class Viewers:
    """run: a word for this process, of letters and digits, so that another one's ids are not taken for its own."""

    def __init__(self, settings: Settings, run: str):
        self._most = settings.live_max_viewers
        self._of_one = settings.live_viewer_kb * 1000
        self._spy, self._run, self._number = settings.spy, run, 0
        self._room = Room("live viewers", self._most * self._of_one)
        self._by_pk: dict[Pk, set[Viewer]] = {}
        self._count = 0
        self._replayed: deque[tuple[int, tuple[Pk, ...] | None, bytes]] = deque()
        self._replayed_bytes = 0
        self._hits, self._refused = Pace(MOST_HITS), Pace(MOST_REFUSED)
        self._sums: dict[Pk, dict[str, Any]] = {}
        self._told_at: dict[Pk, float] = {}

    def __len__(self) -> int:
        return self._count

    @property
    def looked(self) -> list[Pk]:
        """The pks that somebody looks at."""
        return list(self._by_pk)

    def open(self, pk: Pk, last: str = "") -> Viewer:
        """last: the id of the event that it had last, and what came after it waits for it. Raises Full."""
        if self._count >= self._most:
            raise Full
        viewer = Viewer(pk, self._of_one, self._room)
        self._by_pk.setdefault(pk, set()).add(viewer)
        self._count += 1
        run, _, number = last.rpartition("-")
        if run == self._run and number.isdecimal() and len(number) < 20:
            missed = [text for at, keys, text in self._replayed if at > int(number) and (keys is None or pk in keys)]
            if missed:
                viewer.push(b"".join(missed))
        return viewer

    def close(self, viewer: Viewer) -> None:
        viewer.end(GONE)
        mine = self._by_pk.get(viewer.pk, set())
        if viewer in mine:
            mine.remove(viewer)
            self._count -= 1
            if not mine:
                del self._by_pk[viewer.pk]

    def end_all(self, why: str) -> None:
        for viewer in self._all():
            viewer.end(why)

    def say(self, text: bytes) -> None:
        """To everybody, at once."""
        for viewer in self._all():
            viewer.push(text)

    def tell(self, events: Iterable[Event], now_s: float) -> None:
        """What appliers published: each of them keeps to the pace, and here all of them together do."""
        passed: list[Event] = []
        for event in events:
            if event.kind == TOTALS and event.pk is not None:
                told = msgspec.json.decode(event.data)
                self._sums[event.pk] = {
                    **told,
                    "metrics": added(self._sums.get(event.pk, {}).get("metrics", {}), told["metrics"]),
                }
            elif self._spy and (pace := {HIT: self._hits, REFUSED: self._refused}.get(event.kind)) and pace.room(now_s):
                pace.take(1, now_s)
                passed.append(event)
        self._send(passed)
        self.tell_totals(now_s)

    def tell_totals(self, now_s: float) -> None:
        """Those that are due."""
        self._told_at = {pk: at for pk, at in self._told_at.items() if at > now_s - TOTALS_S}
        due = [pk for pk in self._sums if pk not in self._told_at]
        self._told_at |= dict.fromkeys(due, now_s)
        self._send([Event(TOTALS, pk, msgspec.Raw(msgspec.json.encode(self._sums.pop(pk)))) for pk in due])

    def _send(self, events: list[Event]) -> None:
        texts: dict[Pk, list[bytes]] = {}
        for event in events:
            self._number += 1
            text = said(event.kind, bytes(event.data), f"{self._run}-{self._number}")
            keys = None if event.pk is None else (event.pk,) if event.kind == TOTALS else tuple(prefixes(event.pk))
            self._replay_later(keys, text)
            for key in self._by_pk if keys is None else keys:
                if key in self._by_pk:
                    texts.setdefault(key, []).append(text)
        for key, found in texts.items():
            text = b"".join(found)
            for viewer in list(self._by_pk[key]):
                viewer.push(text)

    def _replay_later(self, keys: tuple[Pk, ...] | None, text: bytes) -> None:
        self._replayed.append((self._number, keys, text))
        self._replayed_bytes += len(text)
        while self._replayed_bytes > min(REPLAYED_BYTES, self._of_one):
            self._replayed_bytes -= len(self._replayed.popleft()[2])

    def _all(self) -> Iterator[Viewer]:
        return iter([viewer for viewers in self._by_pk.values() for viewer in viewers])


def said(kind: str, data: bytes, id_: str = "") -> bytes:
    """An event as text/event-stream has it. data: JSON, which has no line's end in it."""
    head = f"id: {id_}\n" if id_ else ""
    return f"{head}event: {kind}\ndata: ".encode() + data + b"\n\n"

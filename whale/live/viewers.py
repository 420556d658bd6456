"""Viewers: streams that are open, and what waits for each. One loop runs them all; time is an argument.

    events of an account ── tell ──► by pk: its viewers ──► what waits ──► its greenlet sends it

Promise: a viewer is told of their own account alone, whose events have numbers of their own. What waits for one viewer is at most
`viewer_kb`; whoever reads more slowly is dropped, and counted. A text is one object, however many it waits for. Whoever comes back within
a moment, and says what came last, gets what came meanwhile.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent.event
import msgspec

from hail.message import ACCOUNT
from hail.room import Room
from hail.settings import Settings
from whale.dimension import Pk
from whale.events import HIT, MOST_HITS, MOST_REFUSED, REFUSED, TOTALS, Event, Pace, added, prefixes
from whale.live.admission import Looker

SLOW, GONE, STOPPING, ENDED = "slow", "gone", "stopping", "ended"
TOTALS_S = 1.0
REPLAYED_BYTES, ALL_REPLAYED_BYTES = 256_000, 8_000_000  # of an account, and of all
LINGER_S = 6.0
"""How long events of an account are kept after its last viewer has gone."""

Place = tuple[Pk, bool]
"""A pk that is looked at, and whether by those who see no other: they are told of no refusal without a pk."""


class Full(Exception):
    """No more viewers; most: of the service, or of the account."""

    def __init__(self, most: int):
        super().__init__(most)
        self.most = most


class Viewer:
    """One stream. limited: of whoever sees this pk alone.  cut: closes its connection at once.  ended: why it is over."""

    __slots__ = ("_room", "_wake", "cut", "ended", "held", "looker", "most", "pk", "place", "waiting")

    def __init__(self, looker: Looker, pk: Pk, limited: bool, most: int, room: Room):
        self.looker, self.pk, self.most, self._room = looker, pk, most, room
        self.place: Place = pk, limited
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


class Audience:
    """The viewers of one account. run: a word of its own, of letters and digits, so that no other's ids are taken for its own."""

    def __init__(self, run: str, spy: bool, replayed: Room):
        self.run, self._spy, self._number, self._room = run, spy, 0, replayed
        self.places: dict[Place, set[Viewer]] = {}
        self.count = 0
        self.empty_since: float | None = None
        self._replayed: deque[tuple[int, tuple[Pk, ...] | None, bytes]] = deque()
        self.replayed_bytes = 0
        self._paces = {HIT: Pace(MOST_HITS), REFUSED: Pace(MOST_REFUSED)}
        self._sums: dict[Pk, dict[str, Any]] = {}
        self._told_at: dict[Pk, float] = {}

    def add(self, viewer: Viewer, last: str) -> None:
        self.places.setdefault(viewer.place, set()).add(viewer)
        self.count += 1
        self.empty_since = None
        run, _, number = last.rpartition("-")
        if run == self.run and number.isdecimal() and len(number) < 20:
            pk, limited = viewer.place
            missed = [
                text
                for at, pks, text in self._replayed
                if at > int(number) and (not limited if pks is None else pk in pks)
            ]
            if missed:
                viewer.push(b"".join(missed))

    def remove(self, viewer: Viewer) -> bool:
        mine = self.places.get(viewer.place, set())
        if viewer not in mine:
            return False
        mine.remove(viewer)
        self.count -= 1
        if not mine:
            del self.places[viewer.place]
        return True

    def tell(self, events: Iterable[Event], now_s: float) -> None:
        passed: list[Event] = []
        for event in events:
            if event.kind == TOTALS and event.pk is not None:
                told = msgspec.json.decode(event.data)
                before = self._sums.get(event.pk, {}).get("metrics", {})
                self._sums[event.pk] = {**told, "metrics": added(before, told["metrics"])}
            elif self._spy and (pace := self._paces.get(event.kind)) and pace.room(now_s):
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
        texts: dict[Place, list[bytes]] = {}
        for event in events:
            self._number += 1
            text = said(event.kind, bytes(event.data), f"{self.run}-{self._number}")
            pks = None if event.pk is None else (event.pk,) if event.kind == TOTALS else tuple(prefixes(event.pk))
            self._replayed.append((self._number, pks, text))
            self._keep(len(text))
            for place in (
                self._all_unlimited() if pks is None else [(pk, limited) for pk in pks for limited in (False, True)]
            ):
                if place in self.places:
                    texts.setdefault(place, []).append(text)
        for place, found in texts.items():
            text = b"".join(found)
            for viewer in list(self.places[place]):
                viewer.push(text)

    def _all_unlimited(self) -> list[Place]:
        return [place for place in self.places if not place[1]]

    def forget(self) -> None:
        """The oldest event that is kept for whoever comes back."""
        self._keep(-len(self._replayed.popleft()[2]))

    def forget_all(self) -> None:
        self._replayed.clear()
        self._keep(-self.replayed_bytes)

    def _keep(self, size: int) -> None:
        self.replayed_bytes += size
        self._room.held += size

    def all(self) -> Iterator[Viewer]:
        return iter([viewer for viewers in self.places.values() for viewer in viewers])


class Viewers:
    """run: draws a word for each account, see Audience."""

    def __init__(self, settings: Settings, run: Callable[[], str]):
        self._most, self._of_account = settings.live_max_viewers, settings.live_account_viewers
        self._of_one = settings.live_viewer_kb * 1000
        self._spy, self._run = settings.spy, run
        self._room = Room("live viewers", self._most * self._of_one)
        self._replayed = Room("live events", ALL_REPLAYED_BYTES)
        self._audiences: dict[str, Audience] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def accounts(self) -> list[str]:
        """Those whose events are wanted."""
        return list(self._audiences)

    @property
    def looked(self) -> dict[str, list[Pk]]:
        """The pks that somebody looks at, by account."""
        found = {account: list(dict.fromkeys(pk for pk, _ in each.places)) for account, each in self._audiences.items()}
        return {account: pks for account, pks in found.items() if pks}

    @property
    def lookers(self) -> set[Looker]:
        return {viewer.looker for viewer in self._all()}

    def open(self, looker: Looker, pk: Pk, last: str = "", limited: bool = False) -> Viewer:
        """last: the id of the event that it had last, and what came after it waits for it. Raises Full."""
        audience = self._audiences.get(looker.account)
        if self._count >= self._most:
            raise Full(self._most)
        if looker.account != ACCOUNT and audience and audience.count >= self._of_account:
            raise Full(self._of_account)
        if audience is None:
            audience = self._audiences[looker.account] = Audience(self._run(), self._spy, self._replayed)
        viewer = Viewer(looker, pk, limited, self._of_one, self._room)
        audience.add(viewer, last)
        self._count += 1
        return viewer

    def close(self, viewer: Viewer) -> None:
        viewer.end(GONE)
        audience = self._audiences.get(viewer.looker.account)
        if audience and audience.remove(viewer):
            self._count -= 1

    def end_all(self, why: str) -> None:
        for viewer in self._all():
            viewer.end(why)

    def end_of(self, looker: Looker) -> None:
        """Whoever may look no more."""
        audience = self._audiences.get(looker.account)
        for viewer in audience.all() if audience else ():
            if viewer.looker == looker:
                viewer.end(ENDED)

    def say(self, text: bytes) -> None:
        """To everybody, at once."""
        for viewer in self._all():
            viewer.push(text)

    def tell(self, account: str, events: Iterable[Event], now_s: float) -> None:
        """What appliers published: each of them keeps to the pace, and here all of them together do."""
        if audience := self._audiences.get(account):
            audience.tell(events, now_s)
            self._forget(audience)

    def tell_totals(self, now_s: float) -> None:
        """Those that are due; and what nobody came back for is let go."""
        for account, audience in list(self._audiences.items()):
            audience.tell_totals(now_s)
            self._forget(audience)
            if audience.count:
                continue
            if audience.empty_since is None:
                audience.empty_since = now_s
            elif now_s >= audience.empty_since + LINGER_S:
                audience.forget_all()
                del self._audiences[account]

    def _forget(self, audience: Audience) -> None:
        """What is kept past its bounds: of this account, and of whichever has most."""
        while audience.replayed_bytes > min(REPLAYED_BYTES, self._of_one):
            audience.forget()
        while self._replayed.held > ALL_REPLAYED_BYTES:
            max(self._audiences.values(), key=lambda each: each.replayed_bytes).forget()

    def _all(self) -> Iterator[Viewer]:
        return iter([viewer for audience in self._audiences.values() for viewer in audience.all()])


def said(kind: str, data: bytes, id_: str = "") -> bytes:
    """An event as text/event-stream has it. data: JSON, which has no line's end in it."""
    head = f"id: {id_}\n" if id_ else ""
    return f"{head}event: {kind}\ndata: ".encode() + data + b"\n\n"

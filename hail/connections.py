"""Which connections a process keeps and which it closes: the rule alone. The sockets are in hail/server.py.

    HEAD ──> BODY ──> in work ──> READER ──> IDLE ──> HEAD ──> ...

A connection waits for its peer in four ways, each with a time of its own; while it is in work it is never closed.

    HEAD    for the end of a head, since it was opened or since the head's first byte     HEAD_TIMEOUT_S
    BODY    for the end of a body, since its head was there                               BODY_TIMEOUT_S
    READER  for the peer to take an answer                                                SEND_TIMEOUT_S
    IDLE    for the first byte of the next request, since the answer before it            keep-alive

Each time is a total, so one byte a second wins nothing. Three bounds hold as well: connections of the process, connections
of one peer, and bytes of heads, bodies and answers that connections hold. At a bound the connection that has waited longest
is closed, and a new one never is; those of one peer make room for their own, and for bytes those alone that hold more than
an equal share of them, so that no small request pays for large ones.

Cost: a few dictionary operations a request, whatever the number of connections.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from hail.settings import Settings

MB = 1_000_000


class Wait(StrEnum):
    HEAD = "head"
    BODY = "body"
    READER = "reader"
    IDLE = "idle"


HOLDING = (Wait.HEAD, Wait.BODY, Wait.READER)


@dataclass(frozen=True)
class Bounds:
    """seconds: how long each wait may last."""

    connections: int
    of_a_peer: int
    held_bytes: int
    seconds: dict[Wait, float]

    @classmethod
    def of(cls, settings: Settings, keepalive_s: float) -> "Bounds":
        seconds = {
            Wait.HEAD: settings.head_timeout_s,
            Wait.BODY: settings.body_timeout_s,
            Wait.READER: settings.send_timeout_s,
            Wait.IDLE: keepalive_s,
        }
        return cls(settings.max_connections, settings.max_connections_a_peer, settings.connections_max_mb * MB, seconds)


class Connection(ABC):
    """peer: None where its number is not bounded.  held: bytes.  waits: None while it is in work."""

    __slots__ = ("held", "peer", "since", "waits")

    def __init__(self, peer: str | None = None):
        self.peer = peer
        self.held = 0
        self.waits: Wait | None = None
        self.since = 0.0

    @abstractmethod
    def cut(self) -> None:
        """Closes it at once."""


class Connections:
    """All of a process. For one thread. closed: is told of each that was closed, and why."""

    def __init__(self, bounds: Bounds, closed: Callable[[str], None]):
        self._bounds, self._closed = bounds, closed
        self._waiting: dict[Wait, OrderedDict[Connection, None]] = {wait: OrderedDict() for wait in Wait}
        self._open: set[Connection] = set()
        self._of_peer: dict[str, set[Connection]] = {}
        self._share = bounds.held_bytes // bounds.connections
        self.held = 0
        self.going = 0  # bytes of those that were closed here and have not ended yet

    def __len__(self) -> int:
        return len(self._open)

    @property
    def send_timeout_s(self) -> float:
        return self._bounds.seconds[Wait.READER]

    @property
    def overloaded(self) -> bool:
        """Whether nothing can be closed to make room: all is in work."""
        in_work = len(self._open) - sum(map(len, self._waiting.values()))
        return in_work > self._bounds.connections or self.held > self._bounds.held_bytes

    def open(self, new: Connection, now: float) -> None:
        """A new one waits for its head; where there are too many, others make room."""
        if new.peer is not None:
            own = self._of_peer.setdefault(new.peer, set())
            waiting = sorted((each for each in own if each.waits), key=lambda each: each.since)
            for each in waiting[: max(0, len(own) + 1 - self._bounds.of_a_peer)]:
                self._close(each, "peer")
            self._of_peer.setdefault(new.peer, set()).add(new)
        while len(self._open) >= self._bounds.connections and (longest := self._longest(self._waiting)):
            self._close(longest, "connections")
        self._open.add(new)
        self.wait(new, Wait.HEAD, now)

    def leave(self, connection: Connection) -> None:
        """It has ended, and holds nothing more."""
        if connection in self._open:
            self._forget(connection)
        else:
            self.going -= connection.held
        connection.held = 0

    def _forget(self, connection: Connection) -> None:
        self.work(connection)
        self.held -= connection.held
        self._open.remove(connection)
        if connection.peer is not None:
            own = self._of_peer[connection.peer]
            own.remove(connection)
            if not own:
                del self._of_peer[connection.peer]

    def wait(self, connection: Connection, wait: Wait, now: float) -> None:
        self.work(connection)
        if connection in self._open:
            connection.waits, connection.since = wait, now
            self._waiting[wait][connection] = None

    def work(self, connection: Connection) -> None:
        """It waits no more."""
        if connection.waits:
            del self._waiting[connection.waits][connection]
            connection.waits = None

    def must_wait(self, connection: Connection) -> bool:
        """Whether those that were closed have yet to end before it may go on; what holds no more than its share waits for nobody."""
        full = self.going > 0 and self.held + self.going > self._bounds.held_bytes
        return full and connection.held > self._share

    def hold(self, connection: Connection, size: int) -> None:
        """So many bytes more; where there are too many, others make room."""
        if connection not in self._open:
            return
        connection.held += size
        self.held += size
        while self.held > self._bounds.held_bytes and (longest := self._longest(HOLDING, connection)):
            self._close(longest, "bytes")

    def release(self, connection: Connection, size: int) -> None:
        """So many bytes less."""
        if connection in self._open:
            connection.held -= size
            self.held -= size

    def close_overdue(self, now: float) -> None:
        for wait, seconds in self._bounds.seconds.items():
            self.close_waiting((wait,), now - seconds)

    def close_waiting(self, waits: Iterable[Wait], before: float) -> None:
        """Those that have waited like this since then."""
        for wait in waits:
            queue = self._waiting[wait]
            while queue and (first := next(iter(queue))).since <= before:
                self._close(first, wait)

    def _longest(self, waits: Iterable[Wait], but: Connection | None = None) -> Connection | None:
        """The one that has waited longest; `but`: of those that hold more than their share, and not that one."""
        firsts = (
            next(
                (each for each in self._waiting[wait] if but is None or (each.held > self._share and each is not but)),
                None,
            )
            for wait in waits
        )
        return min(filter(None, firsts), key=lambda each: each.since, default=None)

    def _close(self, connection: Connection, why: str) -> None:
        self._closed(why)
        self._forget(connection)
        self.going += connection.held
        connection.cut()


Networks = Iterable[IPv4Network | IPv6Network]


def peer_of(address: str, trusted: Networks) -> str | None:
    """Whose connections are counted together: an IPv4 address, or the /64 of an IPv6 one, which one customer has.

    None for loopback, a unix socket and trusted proxies, which bring the connections of many.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    found = getattr(found, "ipv4_mapped", None) or found
    if found.is_loopback or any(found in network for network in trusted):
        return None
    return str(found) if found.version == 4 else str(ip_network((found, 64), strict=False))

"""Tries: how long whoever gave wrong passwords waits until the next one is looked at.

    counted for     free    then a wait of           at most
    an address        5     2 s, 4 s, 8 s …          5 min     whatever names it tries
    a name           10     1 s, 2 s, 4 s …          30 s      wherever it is tried
    both, if known    5     1 s, 2 s, 4 s …          30 s      in place of the two above

15 minutes without a wrong password end it. A name is known at an address for 30 days after it was let in there, and so is a browser that
shows a signed cookie of that name. So a stranger who guesses does not hold up an owner where they usually are, and elsewhere for 30 s.
An IPv6 address is its /64, which one customer has.

What is kept of a name or address is a keyed hash, so it takes the same memory whatever came. Where its room is full, what was wrong
longest ago is forgotten first: to be forgotten costs a stranger thousands of addresses.

Not promised: a stranger with thousands of addresses can be quicker than the owner each time a wait of 30 s ends, as long as they go on.
Sessions, keys, and places where the owner was before do not suffer from it. Each process counts by itself, and begins anew when it
starts. As many wrong passwords as are compared at once may come before the first of them counts.

Pure: time is an argument.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from threading import Lock
from typing import Any

from hail.access import is_trusted_by
from hail.connections import peer_of
from hail.room import COST, MEGABYTE, Room
from hail.settings import DAY, MINUTE

REMEMBERED_S = 15 * MINUTE
KNOWN_S = 30 * DAY
MOST_BYTES = 6 * MEGABYTE
MOST_PROXIES = 20
ENTRY_BYTES = 2 * COST  # a hash of 16 bytes, a pair of numbers, and its place

Networks = Sequence[IPv4Network | IPv6Network]


@dataclass(frozen=True, slots=True)
class Pace:
    """free: wrong passwords without a wait.  first_s: the wait after them, doubled by each one more.  most_s: the longest."""

    free: int
    first_s: float
    most_s: float

    def wait_s(self, wrong: int) -> float:
        """After so many wrong passwords."""
        if wrong < self.free:
            return 0
        return min(self.first_s * 2 ** min(wrong - self.free, 30), self.most_s)


OF_ADDRESS, OF_NAME, OF_KNOWN = Pace(5, 2, 300), Pace(10, 1, 30), Pace(5, 1, 30)


class _Counts:
    """How often something was wrong, and when last. kept_s: how long that matters."""

    def __init__(self, name: str, most_bytes: int, kept_s: float):
        self.room, self._kept_s = Room(name, most_bytes), kept_s
        self._counts: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def get(self, key: bytes, now: float) -> tuple[int, float] | None:
        found = self._counts.get(key)
        return found if found and now - found[1] < self._kept_s else None

    def put(self, key: bytes, wrong: int, now: float) -> None:
        if key in self._counts:
            self._counts.move_to_end(key)
        else:
            self.room.held += ENTRY_BYTES
        self._counts[key] = wrong, now
        while self.room.is_full:
            self._counts.popitem(last=False)
            self.room.held -= ENTRY_BYTES


class Tries:
    """For many threads; one for each process. key: random, so that nobody can make two names count as one.

    A name is an account and a user, as they were given; no such user counts the same. An address is one of `address_of`.
    """

    def __init__(self, key: bytes):
        self._key, self._lock = key, Lock()
        self._names = _Counts("tries", MOST_BYTES // 3, REMEMBERED_S)
        self._addresses = _Counts("tries", MOST_BYTES // 3, REMEMBERED_S)
        self._known = _Counts("tries", MOST_BYTES // 3, KNOWN_S)

    @property
    def held_bytes(self) -> int:
        return sum(counts.room.held for counts in (self._names, self._addresses, self._known))

    def wait_s(self, name: tuple[str, str], address: str | None, now: float, known: bool = False) -> float:
        """Seconds until a password may be compared; 0 where it may be at once. known: a cookie says that this name was let in."""
        of_name, of_address, of_both = self._hashes(name, address, known)
        with self._lock:
            if known or self._known.get(of_both, now):
                return _rest(OF_KNOWN, self._known.get(of_both, now), now)
            wait = _rest(OF_NAME, self._names.get(of_name, now), now)
            if of_address:
                wait = max(wait, _rest(OF_ADDRESS, self._addresses.get(of_address, now), now))
            return wait

    def wrong(self, name: tuple[str, str], address: str | None, now: float, known: bool = False) -> None:
        """A password was compared, and was wrong, or there is no such user."""
        of_name, of_address, of_both = self._hashes(name, address, known)
        with self._lock:
            if known or self._known.get(of_both, now):
                _add(self._known, of_both, now)
                return
            _add(self._names, of_name, now)
            if of_address:
                _add(self._addresses, of_address, now)

    def right(self, name: tuple[str, str], address: str | None, now: float) -> None:
        """A password was right. This ends no wait of an address: others may have been guessed there."""
        with self._lock:
            self._known.put(self._hashes(name, address)[2], 0, now)

    def _hashes(self, name: tuple[str, str], address: str | None, known: bool = False) -> tuple[bytes, bytes, bytes]:
        """Of the name, of the address, and of both; where a browser is known, of the browsers of this name."""
        of_both = self._hash("browsers", *name) if known else self._hash("both", *name, address or "")
        return self._hash("name", *name), self._hash("address", address) if address else b"", of_both

    def _hash(self, *parts: str) -> bytes:
        raw = [part.encode("utf-8", "surrogatepass") for part in parts]
        text = b"".join(len(part).to_bytes(4, "big") + part for part in raw)
        return hashlib.blake2b(text, key=self._key, digest_size=16).digest()


def _rest(pace: Pace, counted: tuple[int, float] | None, now: float) -> float:
    """Seconds that are left of a wait."""
    if counted is None or now - counted[1] >= REMEMBERED_S:
        return 0
    wait = pace.wait_s(counted[0])
    return min(max(counted[1] + wait - now, 0), wait)


def _add(counts: _Counts, key: bytes, now: float) -> None:
    wrong, last = counts.get(key, now) or (0, now)
    counts.put(key, 1 if now - last >= REMEMBERED_S else wrong + 1, now)


def address_of(environ: Mapping[str, Any], trusted: Networks) -> str | None:
    """Whose tries are counted together: an IPv4 address or an IPv6 /64, of the last one that is no trusted proxy.

    None where nobody can tell whose they are: this machine, and a proxy that does not say for whom it asks. `X-Forwarded-For` is read from
    its right end, each address only where the one behind it is trusted: what stands left of these is whatever the client wrote.
    """
    address = str(environ.get("REMOTE_ADDR", ""))
    said = str(environ.get("HTTP_X_FORWARDED_FOR", "")).rsplit(",", MOST_PROXIES)
    while said and is_trusted_by(address, trusted):
        address = _without_port(said.pop().strip())
    return peer_of(address, trusted)


def _without_port(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address

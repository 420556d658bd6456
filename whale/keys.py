"""Keys of the directory at Whale's door: which key a secret is, if it is good now, and when each key was last used.

    secret ── SHA-256 ──> known for KNOWN_AGAIN_S ──> the key
                              └─ no ──> the store ──> known for the next requests, if it is good

Promise: a key that was revoked, or whose account was removed, opens nothing KNOWN_AGAIN_S later. A secret that nobody knows and a key
that has ended cost the same reads, and none of them is remembered. While the store is away, keys that were known stay so: decisions
that have a default are answered then.

When keys were used is written every PAUSE_S for all that were used meanwhile, so a process that is killed loses that of the last
seconds.
"""

import atexit
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from hail import directory
from hail.room import COST, MEGABYTE, WIDE, Bounded
from whale.accounts import Key, Site, hash_of
from whale.errors import Unavailable
from whale.store.contract.accounts import Accounts
from whale.store.contract.directory import Directory
from whale.store.contract.server import Server

KNOWN_AGAIN_S = 1.0
KNOWN_BYTES = 4 * MEGABYTE
WAIT_S = 0.3  # three tries of it, where the store is away
PAUSE_S = 10.0

log = logging.getLogger(__name__)


class KeyStore(Accounts, Directory, Server, Protocol):
    """What of the store is needed here."""


@dataclass(frozen=True)
class _Known:
    """at: when it was read."""

    key: Key
    at: float


class Keys:
    """For many threads; one for each process. clock: epoch seconds."""

    def __init__(self, store: KeyStore, clock: Callable[[], float]):
        self._slow, self._clock = store, clock
        self._store: KeyStore | None = None
        self._known: Bounded[str, _Known] = Bounded("keys", KNOWN_BYTES, lambda *_: 12 * COST)
        self._sites: Bounded[tuple[str, str], Site] = Bounded("sites", KNOWN_BYTES, _bytes_of)
        self._away_until = 0.0
        self._used: dict[tuple[str, str], int] = {}
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def key_of(self, secret: bytes) -> directory.Key | None:
        """The key with this secret, if it is good now. Raises Unavailable."""
        now = self._clock()
        known = self._look_up(hash_of(secret.decode("latin-1")), now)
        if known is None or known.key.standing(now) != "good":
            return None
        key = known.key
        self._note(key, now)
        scope = cast(directory.Scope, key.scope)
        return directory.Key(key.hash, key.id, key.account, scope, key.site, key.public, key.expires_s)

    def site_of(self, account: str, pk: str) -> directory.Site | None:
        """The site of a browser key that was just found by its secret. Raises Unavailable."""
        site = self._sites.get((account, pk)) or self._read_site(self._soon(), account, pk)
        if site is None:
            return None
        pixels = cast(directory.Pixels, site.pixels)
        return directory.Site(site.account, site.pk, site.open, site.origins, pixels, site.cross_site_cookie)

    def _look_up(self, hash: str, now: float) -> _Known | None:
        known = self._known.get(hash)
        if known and (0 <= now - known.at < KNOWN_AGAIN_S or now < self._away_until):
            return known
        try:
            store = self._soon()
            key = store.key_hashed(hash)
            if key is None or key.standing(now) != "good":
                self._known.drop(hash)
                return None
            if key.site is not None and key.public:
                self._read_site(store, key.account, key.site)
        except Unavailable:
            if known is None:
                raise
            self._away_until = now + KNOWN_AGAIN_S
            return known
        known = _Known(key, now)
        self._known.keep(hash, known)
        return known

    def _read_site(self, store: KeyStore, account: str, pk: str) -> Site | None:
        site = next((each for each in store.sites(account) if each.pk == pk), None)
        if site is None:
            self._sites.drop((account, pk))
        else:
            self._sites.keep((account, pk), site)
        return site

    def _soon(self) -> KeyStore:
        """The store, by a connection that soon gives up."""
        with self._lock:
            if self._store is None:
                self._store = self._slow.hurried(WAIT_S)
            return self._store

    # when they were used

    def _note(self, key: Key, now: float) -> None:
        with self._lock:
            self._used[key.account, key.id] = int(now)
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="keys", daemon=True)
                self._thread.start()
                atexit.register(self.write_uses)

    def _write(self) -> None:
        pause = threading.Event()
        while True:
            self._wake.wait()
            pause.wait(PAUSE_S)
            self._wake.clear()
            try:
                self.write_uses()
            except Exception:  # those of the next seconds are written
                log.exception("the last uses of keys were not written")

    def write_uses(self) -> None:
        """Now. Where the store is away they are lost: a key that is in use is used again."""
        with self._lock:
            used, self._used = self._used, {}
        try:
            if used:
                self._slow.note_uses(used)
        except Unavailable as error:
            log.warning("the last uses of %d keys were not written: %s", len(used), error)


def _bytes_of(_: tuple[str, str], site: Site) -> int:
    texts = (site.pk, site.name, site.description, *site.origins, *site.dimensions, *site.event_properties)
    return 6 * COST + sum(COST + WIDE * len(text) for text in texts)

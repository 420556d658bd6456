"""From which country a request came: by the address of its client, and a file in MaxMind's format, where a setting names one.

    REMOTE_ADDR ── a trusted proxy? ── no ──> that is the client; nobody where a proxy shows itself, which stands for many
                        └─ yes: Forwarded, or X-Forwarded-For, from its right end: the first that is no trusted proxy

Promise: an address leaves this module as a country, or as the bytes of `bytes_of`. It is never stored, and no text here shows one.
"""

import logging
import os
import re
import threading
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any

from hail.settings import PREFIX, SettingsError

if TYPE_CHECKING:
    import maxminddb  # which is loaded where a setting names a file

log = logging.getLogger("hail.tracking.places")

LOOK_S = 60
MOST_PROXIES = 20
HEADERS = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR")
_FOR = re.compile(r'(?:^|[;,\s])for="?(\[[^\]]*\]|[^\s";,]+)', re.I)

Address = IPv4Address | IPv6Address
Networks = Iterable[IPv4Network | IPv6Network]


def client_of(environ: Mapping[str, Any], trusted: Networks) -> Address | None:
    """The address of whoever sent a request; None where nobody can say so."""
    peer = address_of(environ.get("REMOTE_ADDR", ""))
    if peer is None:
        return None
    if not _is_in(peer, trusted):
        return None if any(name in environ for name in HEADERS) else peer
    for text in reversed(_named(environ)[-MOST_PROXIES:]):
        found = address_of(text)
        if found is None or not _is_in(found, trusted):
            return found
    return None


def address_of(text: str) -> Address | None:
    """Also with a port, or in brackets. An IPv4 address is one, however it is written."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def bytes_of(address: Address) -> bytes:
    """What of an address tells visitors apart: all of an IPv4 one, and the /64 of an IPv6 one, which one household has."""
    return address.packed if address.version == 4 else address.packed[:8]


def _named(environ: Mapping[str, Any]) -> list[str]:
    """Addresses that proxies wrote, the nearest last."""
    if forwarded := environ.get("HTTP_FORWARDED"):
        return _FOR.findall(forwarded)
    return [text for text in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if text.strip()]


def _is_in(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


class Places:
    """For many threads. A file that takes the place of the old one is read a minute later, at most."""

    def __init__(self, path: str):
        """path: of the file, or empty. Raises SettingsError where it cannot be read."""
        self._path, self._lock = path, threading.Lock()
        self._reader: maxminddb.Reader | None = None
        self._stamp, self._looked_at = (0, 0), 0.0
        if path:
            try:
                self._open()
            except (OSError, ValueError, RuntimeError) as error:
                raise SettingsError(f"{PREFIX}COUNTRY_FILE: expected a file in MaxMind's format: {error}") from None

    @property
    def is_there(self) -> bool:
        """Whether anybody can say where an address is."""
        return self._reader is not None

    def country_of(self, address: Address | None, now: float) -> str:
        """Two letters in upper case; empty where nobody knows. now: epoch seconds."""
        if self._reader is None or address is None:
            return ""
        if now - self._looked_at > LOOK_S:
            self._look(now)
        try:
            found: Any = self._reader.get(address)
        except (ValueError, RuntimeError):  # an IPv6 address in a file of IPv4, or a damaged row
            return ""
        code = _code_in(found)
        return code.upper() if len(code) == 2 and code.isascii() and code.isalpha() else ""

    def _look(self, now: float) -> None:
        """Opens the file anew where it is another. One that cannot be read leaves the old one in place."""
        with self._lock:
            self._looked_at = now
            try:
                if self._stamp_of_file() != self._stamp:
                    self._open()
            except (OSError, ValueError, RuntimeError) as error:
                log.warning("%s cannot be read (%s): countries are those of the file before", self._path, error)

    def _open(self) -> None:
        import maxminddb

        stamp = self._stamp_of_file()
        self._reader = maxminddb.open_database(self._path)
        self._stamp = stamp

    def _stamp_of_file(self) -> tuple[int, int]:
        found = os.stat(self._path)
        return found.st_mtime_ns, found.st_ino


def _code_in(row: Any) -> str:
    """As MaxMind and DB-IP have it, and as IPinfo's free files have it."""
    if not isinstance(row, dict):
        return ""
    for name in ("country", "registered_country"):
        if isinstance(place := row.get(name), dict) and isinstance(code := place.get("iso_code"), str):
            return code
    code = row.get("country_code", row.get("country"))
    return code if isinstance(code, str) else ""

"""Sessions: who logged in at a page, in a signed cookie. Nothing of them is stored.

    token   base64url of JSON [account, user, issued, mark] . base64url of its HMAC-SHA256
    mark    the beginning of SHA-256 of the stored hash of the password: with another password the session is over
    key     derived from the setting SECRET; the first of several signs, and all of them are known

A session holds for 14 days. The cookie stays 90 days, since it also says that this browser was let in before (tries.py).

Cookies know no port, so each port has a cookie of its own name, and every other service on the host gets to see it. A page of another
port is of the same site, so SameSite does not keep it away: whatever a cookie lets in must come from an own page (`from_own_page`).

Not promised: to log out makes the browser forget its cookie, and takes back no copy of it. Change the password for that. The live streams
that the session opened end.

Pure: time is an argument.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from itsdangerous import BadData, URLSafeSerializer

from hail.cookies import PORTS
from hail.secret import signing_keys
from hail.settings import DAY, PREFIX, Settings, SettingsError, origin_of

SESSION_S, BROWSER_S = 14 * DAY, 90 * DAY
AHEAD_S = 60  # that the clocks of two Whales may differ
MARK_LETTERS = 32
MOST_TOKEN = 1500  # letters; a browser takes cookies of 4,096
PORT = re.compile(r":([0-9]{1,5})$")
TOKEN = re.compile(r"[A-Za-z0-9_.-]+")  # a decoder of base64 would pass over other letters


class Session(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Who logged in. account: its id.  issued: epoch seconds.  mark: of the hash that their password had."""

    account: str
    user: str
    issued: int
    mark: str

    def holds(self, stored: str | None, now: float) -> bool:
        """Whether it lets in still. stored: the hash of the user's password now; None where there is no such user."""
        same = stored is not None and hmac.compare_digest(mark_of(stored), self.mark)
        return same and -AHEAD_S <= now - self.issued < SESSION_S

    @property
    def word(self) -> str:
        """Which session it is, for whoever keeps that it is over; it opens nothing."""
        return hashlib.sha256(b"hailwhale session over " + msgspec.json.encode(self)).hexdigest()[:MARK_LETTERS]


def mark_of(stored: str) -> str:
    """Of the stored hash of a password, for a session. The hash has 32 secret bytes, so nobody can guess it from this."""
    return hashlib.sha256(b"hailwhale session " + stored.encode()).hexdigest()[:MARK_LETTERS]


def token_of(session: Session, settings: Settings) -> str:
    """The value of the cookie. Raises SettingsError without a secret."""
    if not settings.secret:
        raise SettingsError(
            f"no secret is set for sessions: set {PREFIX}SECRET to the output of `openssl rand -hex 32`"
        )
    return str(_signer(settings).dumps(msgspec.to_builtins(session)))


def session_of(token: str, settings: Settings) -> Session | None:
    """The session of a token that this service made, also where it is over; None for all else."""
    if not settings.secret or len(token) > MOST_TOKEN or not TOKEN.fullmatch(token):
        return None
    try:
        return msgspec.convert(_signer(settings).loads(token), Session)
    except (BadData, UnicodeError, msgspec.ValidationError):
        return None


def _signer(settings: Settings) -> URLSafeSerializer:
    how = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeSerializer(signing_keys(settings), salt=b"hailwhale session 1", signer_kwargs=how)


def cookie_name(host: str, scheme: str) -> str:
    """Of the cookie, with the port that a browser sees. On https no other host and no page of http can set it: `__Host-`."""
    found = PORT.search(host)
    return f"{'__Host-' * (scheme == 'https')}hailwhale-{found[1] if found else PORTS[scheme]}"


def cookie_of(name: str, token: str, scheme: str, seconds: int = BROWSER_S) -> str:
    """A value of the header `Set-Cookie`."""
    return f"{name}={token}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{'; Secure' * (scheme == 'https')}"


def cleared(name: str, scheme: str) -> str:
    """The same, for a browser that is to forget it."""
    return cookie_of(name, "", scheme, 0)


def from_own_page(environ: Mapping[str, Any], scheme: str) -> bool:
    """Whether a page of this very service sent a request, as its browser says.

    What logs in, logs out or changes something by a cookie asks for this; programs send keys, or a password by Basic. A browser says
    `Origin: null` of a form under `Referrer-Policy: no-referrer`, so pages with forms have `same-origin`.
    """
    origin, host = environ.get("HTTP_ORIGIN"), environ.get("HTTP_HOST", "")
    if origin is None:
        return bool(environ.get("HTTP_SEC_FETCH_SITE") == "same-origin")
    # on http, TLS may end at a proxy that nobody listed; a page of the same host and port is this service in either case
    schemes = ("https",) if scheme == "https" else ("http", "https")
    return origin != "" and origin.lower() in [origin_of(f"{each}://{host}") for each in schemes]

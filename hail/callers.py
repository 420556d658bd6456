"""Whom a key of the directory of accounts stands for, at Hail.

    secret ── the directory ──> its key ──> the Caller of its account, with what the key may
                  ├─ None: nobody        └─ a browser key: from which page?
                  └─ there is none yet: a Caller by the form of the secret

Promise: a key that is unknown, revoked or expired makes nobody. A browser key opens to pages of its site's list alone; a GET that names
no page only where the site says so, and what a person typed never. A Hail that never had a directory takes hits by what looks like the
secret of a `write` or `admin` key: as hits of the account `default` that know its hash, of which workers find out whose they are. It
lets nobody else in.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from hail import directory
from hail.access import ADMIN, ALL_RIGHTS, BROWSER, MAX_SHOWN, READ, WRITE, Caller, Environ
from hail.message import ACCOUNT

RIGHTS_OF = {
    WRITE: frozenset((WRITE,)),
    READ: frozenset((READ,)),
    ADMIN: ALL_RIGHTS,
    BROWSER: frozenset((BROWSER,)),
}
"""What a key of each scope may, as whale/accounts.py has it."""
SCOPE_OF = {scope[0].encode(): scope for scope in RIGHTS_OF}
NOT_YET = "no directory of accounts has come from Whale yet, so the key cannot be checked; try again in 2 s"

KeyOf = Callable[[bytes], directory.Key | None]
SiteOf = Callable[[str, str], directory.Site | None]


def is_secret(secret: bytes) -> bool:
    """Whether this has the form of a secret of the directory."""
    return secret.startswith(b"hw_") and directory.SECRET.fullmatch(secret) is not None


class Callers:
    """For many threads. key_of: the key of a secret, if it is good now.  site_of: of an account and a pk.  is_known: whether there is
    a directory.  takes_early: whether hits are taken before.
    """

    def __init__(self, key_of: KeyOf, site_of: SiteOf, is_known: Callable[[], bool], takes_early: bool = False):
        self._key_of, self._site_of, self._is_known, self._takes_early = key_of, site_of, is_known, takes_early

    def caller(self, secret: bytes, environ: Environ, nobody: Caller) -> Caller | None:
        """Who shows this secret; None where it has not the form of one. nobody: who has no key."""
        if not is_secret(secret):
            return None
        key = self._key_of(secret)
        if key is None:
            return nobody if self._is_known() else self._early(secret, nobody)
        foreign = ""
        if key.scope == BROWSER:
            foreign = foreign_page(self._site_of(key.account, key.site) if key.site else None, environ)
        return Caller(key.account, RIGHTS_OF[key.scope], None, key.id, key.site, foreign)

    def _early(self, secret: bytes, nobody: Caller) -> Caller:
        """Who shows this before there is a directory. The third letter of a secret says its scope."""
        scope = SCOPE_OF[secret[3:4]]
        if scope == READ:
            return nobody
        if scope == BROWSER or not self._takes_early:
            return Caller(nobody.account, unready=NOT_YET)
        return Caller(ACCOUNT, RIGHTS_OF[WRITE], hash=hashlib.sha256(secret).hexdigest())


class Words(NamedTuple):
    """Why a page may not, in each case; `{}` is its origin."""

    closed: str
    nobody: str
    unsaid: str
    other: str


OF_KEY = Words(
    "the site of this key is closed to browsers: open it and list its origins",
    "a browser key opens to pages, and no page sent this request",
    "a browser key needs the Origin of a page, or the Referer at a GET, and neither came",
    "a page of {} may not use this key: list it as an origin of the site",
)
KEYLESS = Words(
    "the site is closed to browsers: open it and list its origins, or send a key",
    "only pages may send this without a key, and no page sent this request",
    "a page without a key needs its Origin, or the Referer at a GET, and neither came",
    "a page of {} may not send hits of this site: list it as an origin of the site",
)


def foreign_page(site: directory.Site | None, environ: Environ, words: Words = OF_KEY) -> str:
    """Why the page that shows a browser key of this site may not use it, as a sentence; empty where it may."""
    if site is None or not site.open:
        return words.closed
    if environ.get("HTTP_SEC_FETCH_SITE") == "none":
        return words.nobody
    origin = environ.get("HTTP_ORIGIN")
    if origin is None and environ["REQUEST_METHOD"] == "GET":  # as of an image or a script
        if (referer := environ.get("HTTP_REFERER")) is not None:
            origin = _origin_of(referer)
        elif site.pixels == "any":
            return ""
    if origin is None:
        return words.unsaid
    if site.lists(origin):
        return ""
    return words.other.format(ascii(origin[:MAX_SHOWN]))


def _origin_of(referer: str) -> str:
    """The origin of the page at an address, as browsers write it; empty where there is none."""
    try:
        parts = urlsplit(referer)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and "@" not in parts.netloc else ""

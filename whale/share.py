"""Shares: links that answer one question, and no other, to whoever has them. Nothing of them is stored.

    token   base64url of the share as JSON (deflated where that is shorter) . base64url of its HMAC-SHA256
    key     derived from the setting SECRET; bound to the version and the account. The first of several signs, all are known

The id of an account other than the one that is always there stands before its tokens, with a dot.

Everybody can read in a token what it answers, and nobody can change it. All shares end when the secret is changed.
"""

import hashlib
import re
from typing import Any

import msgspec
from itsdangerous import BadData, URLSafeSerializer

from hail.message import ACCOUNT
from hail.secret import signing_keys
from hail.settings import DAY, PREFIX, Settings, SettingsError, origin_of
from whale.accounts import ID
from whale.dimension import Path, Pk
from whale.errors import CallerError, Gone, NotFound

DEFAULT_DAYS, MOST_DAYS = 30, 366
MOST_TOKEN = 4000  # letters; an address may have 8,190
TOKEN = re.compile(r"[A-Za-z0-9_.-]+")  # a decoder of base64 would pass over other letters, and pages repeat the token
MOST_SITES = 20
UNKNOWN = "there is no such share"


class Share(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a link answers. paths: () is the root.  expires: epoch seconds.  drill: the paths below these too.

    frame: origins of the sites whose pages may show the page of the share in a frame.
    """

    pk: Pk
    paths: tuple[Path, ...]
    metrics: tuple[str, ...]
    period: str
    expires: int
    frame: tuple[str, ...] = ()
    drill: bool = False

    def covers(self, path: Path) -> bool:
        """Whether it answers about a path."""
        return path in self.paths or (self.drill and any(path[: len(top)] == top for top in self.paths))

    def check(self, now: float) -> None:
        """Raises Gone where it has ended."""
        if now >= self.expires:
            raise Gone("this share has ended: ask for a new one")


def expiry(now: float, days: Any) -> int:
    """Epoch seconds, so many days after now; raises CallerError."""
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 < days <= MOST_DAYS:
        raise CallerError(f"expected a number above 0 and up to {MOST_DAYS}, got {ascii(days)[:60]}", "days")
    return int(now + days * DAY)


def frame_of(given: Any) -> tuple[str, ...]:
    """The origins of sites: one, or a list; raises CallerError."""
    if given in (None, "", [], ()):
        return ()
    sites = [given] if isinstance(given, str) else given
    if not isinstance(sites, list | tuple) or len(sites) > MOST_SITES:
        raise CallerError(f"expected up to {MOST_SITES} origins such as https://site.example", "frame")
    found = [origin_of(site) if isinstance(site, str) else "" for site in sites]
    if "" in found:
        came = ascii(sites[found.index("")])[:60]
        raise CallerError(f"expected an origin such as https://site.example, got {came}", "frame")
    return tuple(dict.fromkeys(found))


def token_of(share: Share, settings: Settings, account: str) -> str:
    """The token of a share. Raises CallerError where it would be too long for an address, SettingsError without a secret."""
    token = str(_signer(settings, account).dumps(msgspec.to_builtins(share)))
    if _is_named(account):
        token = f"{account}.{token}"
    if len(token) > MOST_TOKEN:
        raise CallerError("a link would be too long: name fewer or shorter paths", "dimensions")
    return token


def share_of(token: str, settings: Settings, own: str) -> tuple[str, Share]:
    """Whose share a token is, and the share, which may have ended. Raises NotFound, which never says what is wrong with the token.

    own: the account of tokens that name none.
    """
    account, _, rest = token.partition(".")
    if not _is_named(account) or "." not in rest.lstrip("."):
        account, rest = own, token
    try:
        if not settings.secret or len(token) > MOST_TOKEN or not TOKEN.fullmatch(token):
            raise NotFound(UNKNOWN)
        return account, msgspec.convert(_signer(settings, account).loads(rest), Share)
    except (BadData, UnicodeError, msgspec.ValidationError):
        raise NotFound(UNKNOWN) from None


def _is_named(account: str) -> bool:
    return account != ACCOUNT and ID.fullmatch(account) is not None


def _signer(settings: Settings, account: str) -> URLSafeSerializer:
    if not settings.secret:
        raise SettingsError(f"no secret is set for shares: set {PREFIX}SECRET to the output of `openssl rand -hex 32`")
    how = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeSerializer(signing_keys(settings), salt=f"hailwhale share 1 {account}".encode(), signer_kwargs=how)

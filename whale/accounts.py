"""Accounts, and what belongs to one: users with rights, sites, keys. Values and rules alone: no clock, no chance, no store.

    account ── users   a password, and a right in each module; "" is the owner
            ├─ sites   settings of a first-level pk
            └─ keys    what a program shows instead of a password

An account's id stands in keys of Redis and in messages; its name stands in the directory alone. So a name that was given up and
taken anew meets nothing of the account before. The account `default` is always there, under this id.

A secret has 256 random bits, so its plain SHA-256 is kept: nobody can try them all, and a slow hash would only slow us down. A
password has fewer, and its slow hash is made elsewhere.

Every `check_…` raises CallerError with the field, and gives back the value as it is kept.
"""

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hail.hit import BOTS, MOST_LISTED
from hail.message import ACCOUNT
from hail.settings import origin_of
from whale.errors import CallerError

OWNER = ""
NONE, READ, WRITE, ADMIN, BROWSER = "none", "read", "write", "admin", "browser"
LEVELS = (NONE, READ, WRITE)
"""What a user may in a module; each holds those before it."""
SCOPES = (WRITE, READ, ADMIN, BROWSER)
RIGHTS_OF = {
    WRITE: frozenset((WRITE,)),
    READ: frozenset((READ,)),
    ADMIN: frozenset((WRITE, READ, ADMIN)),
    BROWSER: frozenset((BROWSER,)),
}
"""What a key of each scope may. `browser` is no part of another: a page may do some of what `write` and `read` may."""
EVENT_PATH = "event"
"""In counts of a site: of its events, so no property is listed under this name."""
REFERER, ANY = "referer", "any"
PIXELS = (REFERER, ANY)
"""Whether an image or a script that shows a browser key must show by its Referer which page it is on."""

RESERVED = frozenset(
    (
        # first words of today's addresses; tests/unit/test_accounts.py compares them with the routes
        *(
            "count",
            "count.gif",
            "count.js",
            "batch",
            "count_decision",
            "tracker",
            "count_now",
            "reward",
            "update_count_to",
        ),
        *("flush_hail", "reset", "decide", "ofrep", "decisions", "outcomes", "plotpoints", "totals", "total", "rank"),
        *(
            "dataset",
            "factors",
            "shifts",
            "subdimensions",
            "visits",
            "push",
            "push_token",
            "pks",
            "metrics_of",
            "health.json",
            "spy",
            "plot.svg",
            "static",
        ),
        *(
            "hail-whale-graph.js",
            "graph.js",
            "table_graph.js",
            "jquery.hailwhale.js",
            "shares",
            "s",
            "live_token",
            "live",
        ),
        *("openapi.json", "metrics", "healthz", "readyz", "notes"),
        # and those to come
        *("js", "login", "logout", "users", "keys", "sites", "journal", "internal", "identify", "visitor", "visitors"),
        *(
            "events",
            "properties",
            "segments",
            "funnel",
            "funnels",
            "retention",
            "overlap",
            "paths",
            "sessions",
            "track",
        ),
        *("push", "v1", "api", "privacy"),
        # and what browsers and robots ask every site for
        *("favicon.ico", "robots.txt", ".well-known"),
    )
)
"""Names that no account may have, since an account's name is the first word of its addresses."""

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
ID = re.compile(rf"[a-z]{{10}}|{ACCOUNT}")
SECRET = re.compile(rf"hw_[{''.join(scope[0] for scope in SCOPES)}]_[A-Za-z0-9_-]{{43}}")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ID_LETTERS, ID_BYTES, KEY_ID_BYTES, SECRET_BYTES = 10, 16, 4, 32
SHOWN = len("hw_w_") + 6
"""Letters of a secret that are kept and shown, so that people can tell which it is."""
MOST_TEXT = 300
MOST_ORIGINS, MOST_DAYS, MOST_GAP_S, MOST_PARAMETERS = 100, 3650, 86_400, 20
MOST_S = MOST_DAYS * 86_400
"""How long a key may last that ends at all."""


@dataclass(frozen=True)
class Rights:
    """What a user may in each module: none, read or write."""

    counts: str = NONE
    visitors: str = NONE
    funnels: str = NONE
    decisions: str = NONE
    admin: str = NONE

    def may(self, module: str, level: str) -> bool:
        return LEVELS.index(getattr(self, module)) >= LEVELS.index(level)


MODULES = tuple(each.name for each in fields(Rights))
ALL = Rights(*[WRITE] * len(MODULES))


@dataclass(frozen=True)
class Account:
    """id: ten letters, or `default`.  zone: IANA, fixed when the account is made."""

    id: str
    name: str
    zone: str
    made_s: int


@dataclass(frozen=True)
class User:
    """name: OWNER, or one within the account.  password: its hash."""

    account: str
    name: str
    password: str
    rights: Rights
    made_s: int


@dataclass(frozen=True)
class Site:
    """open: whether browsers may send to it, from these origins.  keep_days, keep_ids: of the visitor log.

    dimensions: properties of its visitors that are paths in counts.  event_properties: those that are of an event.  pixels: REFERER or ANY.
    cross_site_cookie: whether pages of other sites send the cookie of its visitors, too.  session_gap_s: 0 for that of the settings.
    pages_in_lower_case, pages_without_slash: how pages of the tracker are named.  page_parameters: of addresses, that stay in these names.
    """

    account: str
    pk: str
    name: str = ""
    description: str = ""
    open: bool = False
    origins: tuple[str, ...] = ()
    keep_days: int = 400
    keep_ids: bool = True
    dimensions: tuple[str, ...] = ()
    pixels: str = REFERER
    event_properties: tuple[str, ...] = ()
    cross_site_cookie: bool = False
    session_gap_s: int = 0
    pages_in_lower_case: bool = False
    pages_without_slash: bool = False
    page_parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Key:
    """id: eight hex digits, once in an account.  site: the only first-level pk that it opens, or None.

    public: it stands in pages, for all to read.  hash: of its secret.  prefix: how the secret begins.
    """

    account: str
    id: str
    scope: str
    site: str | None
    public: bool
    hash: str
    prefix: str
    made_s: int
    expires_s: int | None = None
    revoked_s: int | None = None

    def standing(self, now: float) -> str:
        """`good`, `expired` or `revoked`."""
        if self.revoked_s is not None:
            return "revoked"
        return "expired" if self.expires_s is not None and now >= self.expires_s else "good"

    def may(self, right: str, pk: str | None, now: float) -> bool:
        """Whether it opens what asks for a right: READ, WRITE, ADMIN or BROWSER. pk: the first level that is asked for, or None."""
        return self.standing(now) == "good" and right in RIGHTS_OF[self.scope] and self.site in (None, pk)


@dataclass(frozen=True)
class Act:
    """What an admin did, for the journal. who: a person or a program, in words.  did: `add key`, `remove user`, …

    account: its id.  about: the name of what it was done to, or the prefix of a key; no secret.
    """

    at_ms: int
    who: str
    did: str
    account: str
    about: str


def check_name(name: str, field: str = "name") -> str:
    """The name of an account."""
    check_user_name(name, field)
    if name.lower() in RESERVED or name.startswith("_") or not name.strip("."):
        raise CallerError(f"{name} is reserved: take another name", field)
    return name


def check_user_name(name: str, field: str = "name") -> str:
    """The name of a user within an account."""
    if not NAME.fullmatch(name):
        raise CallerError(f"expected 1 to 64 of A-Z a-z 0-9 . _ -, got {shown(name)}", field)
    return name


def user_name(account: Account, name: str) -> str:
    """How a user's name is kept: the account's own is the owner's."""
    return OWNER if name in (OWNER, account.name) else name


def check_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # a name with a slash may be a folder
        raise CallerError(f"expected a time zone such as Europe/Berlin, got {shown(zone)}", "zone") from None
    return zone


def check_rights(given: Mapping[str, str]) -> Rights:
    """Modules that are not given: none."""
    for module, level in given.items():
        if module not in MODULES:
            raise CallerError(f"expected one of {', '.join(MODULES)}, got {shown(module)}", "rights")
        if level not in LEVELS:
            raise CallerError(f"expected one of {', '.join(LEVELS)}, got {shown(level)}", f"rights.{module}")
    return Rights(**given)


def with_rights(rights: Rights, given: Mapping[str, str]) -> Rights:
    """Rights with other levels in some modules; raises CallerError."""
    check_rights(given)
    return replace(rights, **given)


def check_site(site: Site, max_name_bytes: int) -> Site:
    """As it is kept: its origins as browsers write them, nothing twice."""
    _check_pk(site.pk, "pk", max_name_bytes)
    for field in ("name", "description"):
        if len(getattr(site, field)) > MOST_TEXT:
            raise CallerError(f"expected at most {MOST_TEXT} letters", field)
        _check_unicode(getattr(site, field), field)
    if not 1 <= site.keep_days <= MOST_DAYS:
        raise CallerError(f"expected 1 to {MOST_DAYS} days, got {site.keep_days}", "keep_days")
    if not 0 <= site.session_gap_s <= MOST_GAP_S:
        raise CallerError(f"expected 0 to {MOST_GAP_S} s, got {site.session_gap_s}", "session_gap_s")
    if site.pixels not in PIXELS:
        raise CallerError(f"expected one of {', '.join(PIXELS)}, got {shown(site.pixels)}", "pixels")
    origins = tuple(dict.fromkeys(_origin(each) for each in _at_most(site.origins, MOST_ORIGINS, "origins")))
    dimensions, event_properties = (
        _names(getattr(site, field), field, max_name_bytes) for field in ("dimensions", "event_properties")
    )
    parameters = tuple(dict.fromkeys(_at_most(site.page_parameters, MOST_PARAMETERS, "page_parameters")))
    for each in parameters:
        _check_pk(each, "page_parameters", max_name_bytes)
    if EVENT_PATH in dimensions:
        raise CallerError(f"{EVENT_PATH} is the path of events", "dimensions")
    if site.open and not origins:
        raise CallerError(
            "is open for browsers, so list the origins that may send, such as https://shop.example", "origins"
        )
    site = replace(site, origins=origins, page_parameters=parameters)
    return replace(site, dimensions=dimensions, event_properties=event_properties)


def _names(given: Collection[str], field: str, max_name_bytes: int) -> tuple[str, ...]:
    """Of properties."""
    names = tuple(dict.fromkeys(_at_most(given, MOST_LISTED, field)))
    for each in names:
        _check_pk(each, field, max_name_bytes)
    return names


def _check_pk(text: str, field: str, most: int) -> None:
    _check_unicode(text, field)
    if not 1 <= len(text.encode()) <= most:
        raise CallerError(f"expected 1 to {most} bytes, got {shown(text)}", field)
    if text == BOTS:
        raise CallerError(f"{BOTS} is reserved: HailWhale counts hits of bots there", field)


def _check_unicode(text: str, field: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CallerError(f"expected Unicode text, got {shown(text)}", field) from None


def _origin(text: str) -> str:
    found = origin_of(text)
    if not found:
        raise CallerError(f"expected an origin such as https://shop.example, got {shown(text)}", "origins")
    return found


def _at_most(words: Iterable[str], most: int, field: str) -> Collection[str]:
    found = tuple(words)
    if len(found) > most:
        raise CallerError(f"expected at most {most}, got {len(found)}", field)
    return found


def account_id(raw: bytes) -> str:
    """The id of a new account. raw: ID_BYTES random bytes."""
    number, letters = int.from_bytes(raw[:ID_BYTES], "big"), ""
    for _ in range(ID_LETTERS):
        number, letter = divmod(number, len(LETTERS))
        letters += LETTERS[letter]
    return letters


def new_key(
    account: str, scope: str, site: str | None, raw: bytes, now: float, expires_s: int | None = None
) -> tuple[Key, str]:
    """A key, and its secret, which is kept nowhere. raw: KEY_ID_BYTES and SECRET_BYTES random bytes.

    Raises CallerError: no such scope, a browser's key without a site, an end that is over.
    """
    if scope not in SCOPES:
        raise CallerError(f"expected one of {', '.join(SCOPES)}, got {shown(scope)}", "scope")
    if scope == BROWSER and site is None:
        raise CallerError("a browser key belongs to one site: name it", "site")
    if expires_s is not None and expires_s <= now:
        raise CallerError("expected a time that lies ahead", "expires")
    if len(raw) != KEY_ID_BYTES + SECRET_BYTES:
        raise ValueError("a key takes 36 random bytes")
    letters = base64.urlsafe_b64encode(raw[KEY_ID_BYTES:]).decode().rstrip("=")
    secret = f"hw_{scope[0]}_{letters}"
    id_ = raw[:KEY_ID_BYTES].hex()
    key = Key(account, id_, scope, site, scope == BROWSER, hash_of(secret), secret[:SHOWN], int(now), expires_s)
    return key, secret


def hash_of(secret: str) -> str:
    """How a secret is kept and found."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def rotated(key: Key, raw: bytes, now: float, overlap_s: float, expires_s: int | None = None) -> tuple[Key, Key, str]:
    """The key with the end of the overlap as its end, the one that takes its place, and that one's secret.

    Raises CallerError where the key has ended.
    """
    if key.standing(now) != "good":
        raise CallerError(f"key {key.id} is {key.standing(now)}: make a new one", "key")
    if overlap_s < 0:
        raise CallerError("expected 0 or more seconds", "overlap")
    end = int(now + overlap_s)
    new, secret = new_key(key.account, key.scope, key.site, raw, now, expires_s)
    return replace(key, expires_s=end if key.expires_s is None else min(end, key.expires_s)), new, secret


def revoked(key: Key, now: float) -> Key:
    """The key, which opens nothing from now on. One that was revoked before stays as it is."""
    return key if key.revoked_s is not None else replace(key, revoked_s=int(now))


def shown(text: str) -> str:
    """What came, in an error: printable, and short."""
    return ascii(text if len(text) <= 60 else text[:60] + "…")

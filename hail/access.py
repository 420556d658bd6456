"""Who may: one table of rights, and the doors that both services share.

    request ── stranger? ──> key? ──> page of another site? ──> the route
                   └ 403 keyless  └ 401       └ 403 foreign_origin

Keys come by Bearer, by Basic password, or as `key=`. As soon as one is set, each door wants its own key or the admin
key; a door whose key is not set then opens to the admin key alone.

A door makes of each request one Caller, and hands it down: whose counts it is about, and what it may. Keys of the settings are those of
one account; a key of the directory (hail/callers.py) stands for the account that it belongs to.

No key set: all is open to this machine, and to it alone. `check_bind` sees to that at the start, and `Access.stranger`
for each request, since another server may listen where it likes, a proxy may stand before it, and a page may have
pointed its own name at 127.0.0.1.

Not promised: a proxy on this machine that adds no header, and names this machine as the host, cannot be told from you.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from hail.message import ACCOUNT
from hail.settings import ANY_ORIGIN, PREFIX, Settings, SettingsError

KEYS = ("WRITE_KEY", "READ_KEY", "ADMIN_KEY")
KEY_LETTERS = 16
HOW_TO_MAKE = "make new ones with `openssl rand -hex 32`"
WRITE, READ, ADMIN, BROWSER = "write", "read", "admin", "browser"
ALL_RIGHTS = frozenset((WRITE, READ, ADMIN))
INTERNAL = "internal"
"""What a service of HailWhale itself may, by HAILWHALE_INTERNAL_KEY; no other key has this right."""
ANY_MODULE, COUNTS, VISITORS, DECISIONS, ADMINISTRATION = "any", "counts", "visitors", "decisions", "admin"

# What proxies add to a request; beside these, all that is of the kind of X-Forwarded-For.
OF_PROXIES = frozenset(
    f"HTTP_{name}"
    for name in (
        "FORWARDED",
        "VIA",
        "X_REAL_IP",
        "X_CLIENT_IP",
        "TRUE_CLIENT_IP",
        "CF_CONNECTING_IP",
        "X_ORIGINAL_HOST",
        "X_ENVOY_EXTERNAL_ADDRESS",
        "X_CLUSTER_CLIENT_IP",
        "FASTLY_CLIENT_IP",
        "CLIENT_IP",
        "X_AZURE_CLIENTIP",
        "X_AMZN_TRACE_ID",
        "CDN_LOOP",
    )
)
HOST = re.compile(
    r"(?:\[(?P<v6>[0-9a-f]*:[0-9a-f:.]+)\]|(?P<name>[a-z0-9_-][a-z0-9._-]*?)\.?)(?::[0-9]*)?", re.I | re.A
)
WILDCARDS = ("", "0.0.0.0", "::")
MAX_KNOWN = 1000  # hosts, and peers, that are remembered
MAX_SHOWN = 100  # letters
HOW = (
    "no key is set, so only this machine gets answers: set "
    f"{PREFIX}WRITE_KEY, {PREFIX}READ_KEY and {PREFIX}ADMIN_KEY, each to a secret from `openssl rand -hex 32`, and restart"
)
ALLOW_ORIGIN, EXPOSE = "Access-Control-Allow-Origin", "Access-Control-Expose-Headers"

Environ = Mapping[str, Any]


class Pages(StrEnum):
    """What pages of other sites may do at a route, by a visitor's browser. Allowed: by HAILWHALE_ALLOWED_ORIGINS."""

    ANY = "any"
    READ = "allowed ones may read"
    CHANGE = "allowed ones may send"
    WHALE = "Whale's own may read"
    OWN = "its own alone may send"
    NONE = "none may read"


@dataclass(frozen=True, slots=True)
class Right:
    """A row of the table. key: that the route asks for, or None.

    module: in which a user needs a right, to read where the key is `read`, and to write else; any: whatever a user's rights are.
    sealed: a sealed pixel needs no key.  probe: answers strangers too, where no key is set.
    shows: what the admin key opens and changes nothing, so a user needs the right to read.
    of_site: at Whale it opens to a key of one site, for pks of that site.  public: and to a browser key, for public decisions.
    """

    rule: str
    methods: tuple[str, ...]
    key: str | None
    pages: Pages
    module: str = COUNTS
    shows: bool = False
    sealed: bool = False
    probe: bool = False
    of_site: bool = False
    public: bool = False

    @property
    def of_user(self) -> str:
        """The right that a user needs, as `counts:read`."""
        return f"{self.module}:{READ if self.key == READ or self.shows else WRITE}"


GET, POST, BOTH, PUT, DELETE = ("GET",), ("POST",), ("GET", "POST"), ("PUT",), ("DELETE",)
RIGHTS = (
    # what counts: a tracker sends from anywhere
    Right("/count", BOTH, WRITE, Pages.ANY, sealed=True),
    Right("/count.gif", GET, WRITE, Pages.ANY, sealed=True),
    Right("/count.js", GET, WRITE, Pages.ANY, sealed=True),
    Right("/batch", POST, WRITE, Pages.ANY),
    Right("/track", POST, None, Pages.ANY),  # which asks for a key, or for a page that the site lists
    Right("/track/it", GET, None, Pages.ANY),
    Right("/v1/<call:call>", POST, WRITE, Pages.ANY),  # as Segment's libraries send; their key may stand in the body
    Right("/api/event", POST, None, Pages.ANY),  # as Plausible's do, from a page that the site lists
    Right("/<user:account>/api/event", POST, None, Pages.ANY),
    Right("/count_decision", BOTH, WRITE, Pages.ANY, DECISIONS, of_site=True),
    Right("/tracker", BOTH, WRITE, Pages.ANY, sealed=True, of_site=True),
    # what changes more than a count
    Right("/count_now", BOTH, WRITE, Pages.CHANGE, of_site=True),
    Right("/reward", POST, WRITE, Pages.CHANGE, DECISIONS, of_site=True, public=True),
    Right("/update_count_to", POST, WRITE, Pages.CHANGE, of_site=True),
    Right("/flush_hail", BOTH, WRITE, Pages.CHANGE, ADMINISTRATION),
    Right("/reset", POST, ADMIN, Pages.CHANGE, ADMINISTRATION, of_site=True),
    Right("/decisions/<name:path>", POST, ADMIN, Pages.CHANGE, DECISIONS),
    Right("/notes", POST, WRITE, Pages.CHANGE),
    Right("/notes/<id:path>", DELETE, ADMIN, Pages.CHANGE, ADMINISTRATION),
    Right("/identify", POST, WRITE, Pages.CHANGE, VISITORS, of_site=True),
    Right("/visitor/<visitor:path>", DELETE, ADMIN, Pages.CHANGE, VISITORS, of_site=True),
    Right("/funnels/<site>/<name:path>", PUT, ADMIN, Pages.CHANGE, VISITORS, of_site=True),
    Right("/funnels/<site>/<name:path>", DELETE, ADMIN, Pages.CHANGE, VISITORS, of_site=True),
    Right("/segments/<site>/<name:path>", PUT, ADMIN, Pages.CHANGE, VISITORS, of_site=True),
    Right("/segments/<site>/<name:path>", DELETE, ADMIN, Pages.CHANGE, VISITORS, of_site=True),
    Right("/decide", BOTH, READ, Pages.CHANGE, DECISIONS, of_site=True, public=True),
    Right("/ofrep/v1/evaluate/flags", POST, READ, Pages.CHANGE, DECISIONS, public=True),
    Right("/ofrep/v1/evaluate/flags/<key:path>", POST, READ, Pages.CHANGE, DECISIONS, public=True),
    # what reads
    Right("/decisions", GET, READ, Pages.READ, DECISIONS),
    Right("/decisions/<name:path>", GET, READ, Pages.READ, DECISIONS),
    Right("/outcomes", BOTH, READ, Pages.READ, DECISIONS, of_site=True),
    Right("/plotpoints", BOTH, READ, Pages.READ, of_site=True),
    Right("/totals", BOTH, READ, Pages.READ, of_site=True),
    Right("/total", BOTH, READ, Pages.READ, of_site=True),
    Right("/rank", BOTH, READ, Pages.READ, of_site=True),
    Right("/dataset", BOTH, READ, Pages.READ, of_site=True),
    Right("/factors", BOTH, READ, Pages.READ, of_site=True),
    Right("/shifts", BOTH, READ, Pages.READ, of_site=True),
    Right("/subdimensions", BOTH, READ, Pages.READ, of_site=True),
    Right("/pks", BOTH, READ, Pages.READ, of_site=True),
    Right("/metrics_of", BOTH, READ, Pages.READ, of_site=True),
    Right("/metrics_of", PUT, ADMIN, Pages.CHANGE, ADMINISTRATION, of_site=True),
    Right("/visitors", BOTH, READ, Pages.READ, VISITORS, of_site=True),
    Right("/visits", BOTH, READ, Pages.READ, VISITORS, of_site=True),
    Right("/visitors/recent", BOTH, READ, Pages.READ, VISITORS, of_site=True),
    Right("/events", BOTH, READ, Pages.READ, VISITORS, of_site=True),
    Right("/properties", BOTH, READ, Pages.READ, VISITORS, of_site=True),
    Right("/funnel", BOTH, READ, Pages.READ, VISITORS, of_site=True),
    Right("/funnels/<site>", GET, READ, Pages.READ, VISITORS, of_site=True),
    Right("/funnels/<site>/<name:path>", GET, READ, Pages.READ, VISITORS, of_site=True),
    Right("/segments/<site>", GET, READ, Pages.READ, VISITORS, of_site=True),
    Right("/segments/<site>/<name:path>", GET, READ, Pages.READ, VISITORS, of_site=True),
    Right("/sessions", BOTH, READ, Pages.READ, VISITORS, of_site=True),
    Right("/paths", BOTH, READ, Pages.READ, VISITORS, of_site=True),
    Right("/retention", BOTH, READ, Pages.READ, VISITORS, of_site=True),
    Right("/overlap", BOTH, READ, Pages.READ, VISITORS, of_site=True),
    Right("/visitor/<visitor:path>", GET, READ, Pages.READ, VISITORS, of_site=True),
    Right("/notes", GET, READ, Pages.READ),
    Right("/health.json", GET, READ, Pages.READ),
    Right("/spy", BOTH, READ, Pages.READ),
    Right("/plot.svg", GET, READ, Pages.READ, of_site=True),
    Right("/", GET, READ, Pages.NONE, ANY_MODULE),
    Right("/static/<name:path>", GET, READ, Pages.NONE, ANY_MODULE),
    # who came
    Right("/login", GET, None, Pages.NONE, ANY_MODULE),
    Right("/login", POST, None, Pages.OWN, ANY_MODULE),
    Right("/logout", POST, None, Pages.OWN, ANY_MODULE),
    # scripts for pages of other sites, without any number
    Right("/js/<name>", GET, None, Pages.ANY),
    Right("/hail-whale-graph.js", GET, None, Pages.ANY),
    Right("/graph.js", GET, None, Pages.ANY),
    Right("/table_graph.js", GET, None, Pages.ANY),
    Right("/jquery.hailwhale.js", GET, None, Pages.ANY),
    # what hands on the right to read one thing, and what that right is for
    Right("/shares", POST, READ, Pages.CHANGE),
    Right("/s/<token>", GET, None, Pages.ANY),
    Right("/s/<token>/plotpoints", GET, None, Pages.ANY),
    Right("/s/<token>/plot.svg", GET, None, Pages.ANY),
    Right("/s/<token>/metrics_of", GET, None, Pages.ANY),
    # what is said to one visitor: pages of a site that lists them, by a token; and who talks to them
    Right("/push_token", POST, None, Pages.ANY),
    Right("/push", BOTH, None, Pages.ANY),
    Right("/push/<site>", GET, READ, Pages.READ, VISITORS, of_site=True),
    Right("/push/<site>/<visitor>", GET, READ, Pages.READ, VISITORS, of_site=True),
    Right("/push/<site>/<visitor>", POST, WRITE, Pages.CHANGE, VISITORS, of_site=True),
    # what is live
    Right("/live_token", GET, READ, Pages.NONE),
    Right("/live", GET, READ, Pages.WHALE, of_site=True),
    # who has an account, and what opens it
    Right("/users", GET, ADMIN, Pages.NONE, ADMINISTRATION, shows=True),
    Right("/users", POST, ADMIN, Pages.CHANGE, ADMINISTRATION),
    Right("/users/<name:path>", ("POST", "DELETE"), ADMIN, Pages.CHANGE, ADMINISTRATION),
    Right("/keys", GET, ADMIN, Pages.NONE, ADMINISTRATION, shows=True),
    Right("/keys", POST, ADMIN, Pages.CHANGE, ADMINISTRATION),
    Right("/keys/<id:path>", ("POST", "DELETE"), ADMIN, Pages.CHANGE, ADMINISTRATION),
    Right("/sites", GET, ADMIN, Pages.NONE, ADMINISTRATION, shows=True),
    Right("/sites", POST, ADMIN, Pages.CHANGE, ADMINISTRATION),
    Right("/sites/<pk:path>", ("POST", "DELETE"), ADMIN, Pages.CHANGE, ADMINISTRATION),
    Right("/journal", GET, ADMIN, Pages.NONE, ADMINISTRATION, shows=True),
    # what the services tell each other
    Right("/internal/directory", GET, INTERNAL, Pages.NONE, ADMINISTRATION),
    Right("/internal/salts", GET, INTERNAL, Pages.NONE, ADMINISTRATION),
    # what is about the service
    Right("/openapi.json", GET, None, Pages.READ),
    Right("/metrics", GET, None, Pages.NONE),
    Right("/healthz", GET, None, Pages.NONE, probe=True),
    Right("/readyz", GET, None, Pages.NONE, probe=True),
    # what names an account: last, since such a name may stand for any address that is none above
    Right("/<user:account>", POST, None, Pages.CHANGE, ADMINISTRATION),
    Right("/<user:account>", GET, READ, Pages.READ),
    Right("/<user:account>", DELETE, ADMIN, Pages.CHANGE, ADMINISTRATION),
    Right("/<user:account>/<bucket:bucket>", ("POST", "DELETE"), ADMIN, Pages.CHANGE, ADMINISTRATION),
    Right("/<user:account>/<bucket:bucket>", GET, READ, Pages.READ),
    Right("/<user:account>/<bucket:bucket>/event/<name:name>", ("POST", "PUT"), WRITE, Pages.ANY),
    Right("/<user:account>/<bucket:bucket>/event/<name:name>", GET, READ, Pages.READ, VISITORS),
    Right("/<user:account>/<bucket:bucket>/event_id/<id:word>", GET, READ, Pages.READ, VISITORS),
    Right("/<user:account>/<bucket:bucket>/event/<name:name>/jsonp", GET, WRITE, Pages.ANY),
    Right("/<user:account>/<bucket:bucket>/property/<name:word>", ("POST", "PUT"), WRITE, Pages.ANY),
    Right("/<user:account>/<bucket:bucket>/property/<name:word>", GET, READ, Pages.READ, VISITORS),
    Right("/<user:account>/<bucket:bucket>/property_id/<id:word>", GET, READ, Pages.READ, VISITORS),
    Right("/<user:account>/<bucket:bucket>/property/<name:word>/jsonp", GET, WRITE, Pages.ANY),
    Right("/<user:account>/<bucket:bucket>/property/<name:word>/<value:name>", PUT, WRITE, Pages.ANY),
    Right("/<user:account>/<bucket:bucket>/property/<name:word>/<value:name>/jsonp", GET, WRITE, Pages.ANY),
    Right("/<user:account>/<bucket:bucket>/batch", GET, WRITE, Pages.ANY),
    Right("/<user:account>/<bucket:bucket>/funnel", GET, READ, Pages.READ, VISITORS),
    Right("/<user:account>/<bucket:bucket>/funnel/<name:name>", ("POST", "DELETE"), ADMIN, Pages.CHANGE, VISITORS),
    Right("/<user:account>/<bucket:bucket>/funnel/<name:name>", GET, READ, Pages.READ, VISITORS),
)
_RIGHTS = {(right.rule, method): right for right in RIGHTS for method in right.methods}
PROBES = frozenset(right.rule for right in RIGHTS if right.probe)


def right_of(rule: str, *methods: str) -> Right:
    """The row of a route, by the first of these methods that has one. A route without a row stops the start: LookupError."""
    for method in methods:
        if right := _RIGHTS.get((rule, method)):
            return right
    raise LookupError(f"{rule} by {' or '.join(methods)} has no row in the table of rights")


def has_directory(settings: Settings) -> bool:
    """Whether Hail, Whale and live open to keys of accounts, and to nobody without a key."""
    return bool(settings.internal_key and settings.whale_url)


def check_bind(bind: str, settings: Settings) -> None:
    """Raises SettingsError when a service would listen beyond this machine without all three keys. Keys of accounts take their place."""
    missing = [PREFIX + name for name in KEYS if not getattr(settings, name.lower())]
    if has_directory(settings):
        return
    if missing and not (bind.startswith("localhost:") or is_loopback(_host_of(bind))):
        raise SettingsError(
            f"{bind} can be reached from other machines: set {', '.join(missing)}, or listen on 127.0.0.1"
        )


def weak_keys(settings: Settings) -> str:
    """A sentence about keys that protect less than they seem to; empty where there are none such. It shows no key.

    They are no reason not to start: one person may want one key for all, and a machine may be closed by other means.
    """
    keys = {name: getattr(settings, name.lower()) for name in KEYS if getattr(settings, name.lower())}
    alike = [PREFIX + name for name, key in keys.items() if list(keys.values()).count(key) > 1]
    short = [PREFIX + name for name, key in keys.items() if len(key) < KEY_LETTERS]
    said = [f"{' and '.join(alike)} are the same, so each gives the rights of the others"] if alike else []
    if short:
        have = "have" if len(short) > 1 else "has"
        said.append(f"{' and '.join(short)} {have} fewer than {KEY_LETTERS} characters and can be guessed")
    return f"{'; '.join(said)}: {HOW_TO_MAKE}" if said else ""


def _host_of(bind: str) -> str:
    return bind.rpartition(":")[0].strip("[]").lower()


def is_loopback(address: str) -> bool:
    """Is this an address that only this machine reaches? A name is none."""
    found = _address(address)
    return found is not None and found.is_loopback


def is_trusted(address: str, settings: Settings) -> bool:
    """Is this the address of a proxy that HAILWHALE_TRUSTED_PROXIES names?"""
    return is_trusted_by(address, settings.trusted_proxies)


def is_trusted_by(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """The same of other networks."""
    found = _address(address)
    return found is not None and any(found in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def is_locked(settings: Settings) -> bool:
    """Does anything ask for a key?"""
    return any(getattr(settings, name.lower()) for name in KEYS)


def _key_of_query(query: str) -> bytes:
    """The last `key=` of a query, as WSGI gives it; empty where there is none."""
    found = b""
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if value and (name == "key" or ("%" in name and unquote(name) == "key")):
            found = unquote_to_bytes(value.replace("+", " ").encode("latin-1", "replace"))
    return found


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. account: whose counts it adds to and reads.

    rights: of a key `write`, `read`, `admin`, `browser`; of a user `counts:read`, `decisions:write`, ….
    user: their name there; None for a key.  key: its id, where it is one of the directory.  site: the only first-level pk that it is for.
    hash: of a secret that may be one of the directory, where nobody can say now whose it is, and hits are taken all the same.
    foreign: why the page may not use its browser key, as a sentence.  unready: why nobody can say now who it is.
    """

    account: str
    rights: frozenset[str] = frozenset()
    user: str | None = None
    key: str = ""
    site: str | None = None
    foreign: str = ""
    unready: str = ""
    hash: str = ""

    def may(self, right: str | None) -> bool:
        """Whether a door opens that asks for this right; None asks for nothing."""
        return right is None or right in self.rights

    def opens(self, right: Right) -> bool:
        """Whether the key, or the user, opens a route. What is internal opens to no user."""
        if right.public and self.may(BROWSER):
            return True
        return self.may(right.key) or (right.key != INTERNAL and right.of_user in self.rights)


ByDirectory = Callable[[bytes, Environ, Caller], Caller | None]


class Access:
    """What one service lets in, and as whom.  For many threads.

    bind: where it listens.  account: whose the keys of the settings are.  key_header: of WSGI, in which a key may come beside
    `Authorization`.  by_directory: of the secret of a key, and of who has none, who shows it; None where it is none of the directory.
    """

    def __init__(
        self,
        settings: Settings,
        bind: str,
        account: str = ACCOUNT,
        key_header: str = "",
        by_directory: ByDirectory | None = None,
    ):
        self.settings = settings
        self.locked = is_locked(settings) or (by_directory is not None and has_directory(settings))
        self._by_directory = by_directory
        self._key_header = key_header
        keys = {WRITE: settings.write_key, READ: settings.read_key, ADMIN: settings.admin_key}
        # as the environment has them, whose bytes need not be UTF-8
        self._keys = {right: key.encode("utf-8", "surrogateescape") for right, key in keys.items()}
        self._internal_key = settings.internal_key.encode("utf-8", "surrogateescape")
        self._nobody = Caller(account)
        self._anybody = Caller(account, ALL_RIGHTS)
        self._own_name = _host_of(bind)
        self._known_hosts: set[str] = set()
        self._known_peers = {""}  # a unix socket has none: whoever may open its file may come in
        listed = settings.allowed_origins
        self._origins = frozenset(listed)
        self._any_origin = ANY_ORIGIN in listed or (self.locked and not listed)

    def caller_at(self, right: Right, environ: Environ) -> Caller:
        """Who asks for a route: at one that is internal, by the internal key as a Bearer token, and by no other."""
        if right.key is None:  # no key is looked up for what opens to all
            return self._nobody if self.locked else self._anybody
        if right.key != INTERNAL:
            return self.caller(environ)
        scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        given = value.strip().encode("latin-1", "replace")
        is_it = self._internal_key and scheme.lower() == "bearer" and hmac.compare_digest(self._internal_key, given)
        return Caller(self._nobody.account, frozenset((INTERNAL,))) if is_it else self._nobody

    def caller(self, environ: Environ) -> Caller:
        """Who sent a request, by the key that came with it. The admin key has all rights, and so has everybody where no key is set.

        A key of the directory stands for its account, also where no key is set, and for nobody where it is not good.
        """
        if not (self.locked or self._by_directory):
            return self._anybody
        return self.caller_of(self.secret(environ), environ)

    def caller_of(self, key: bytes, environ: Environ) -> Caller:
        """The same by this key, wherever in the request it stands."""
        if found := self._of_settings(key):
            return found
        if self._by_directory and (found := self._by_directory(key, environ, self._nobody)):
            return found
        return self._nobody if self.locked else self._anybody

    def caller_of_settings(self, environ: Environ) -> Caller:
        """The same by the keys of the settings alone."""
        if not self.locked:
            return self._anybody
        return self._of_settings(self.secret(environ)) or self._nobody

    def _of_settings(self, key: bytes) -> Caller | None:
        rights = [
            right
            for right, expected in self._keys.items()
            if hmac.compare_digest(expected, key) and expected  # each is compared, whatever the others said
        ]
        if not rights:
            return None
        return self._anybody if ADMIN in rights else Caller(self._nobody.account, frozenset(rights))

    def secret(self, environ: Environ) -> bytes:
        """The key that came, whether it opens anything or not.

        From the header `Authorization` (as WSGI gives it, latin-1), else `key=`, else the service's own header. Of Basic it is the
        password, or the name where that is empty, as Segment's clients send it.
        """
        scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        match scheme.lower():
            case "bearer":
                return bytes(value.strip().encode("latin-1", "replace"))
            case "basic":
                try:
                    name, _, password = base64.b64decode(value.strip(), validate=True).partition(b":")
                except (binascii.Error, ValueError):
                    return b""
                return password or name
        key = _key_of_query(environ.get("QUERY_STRING", ""))
        return key or bytes(environ.get(self._key_header, "").encode("latin-1", "replace"))

    def stranger(self, environ: Environ) -> str:
        """Why a service without keys does not answer this request, as a sentence; empty where it does. About 1 us."""
        if self.locked or environ.get("PATH_INFO") in PROBES:
            return ""
        peer, host = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_HOST", "")
        if ("_FORWARDED" in " ".join(environ) or not OF_PROXIES.isdisjoint(environ)) and (
            found := self._proxy(environ, peer)
        ):
            return f"{found} shows that the request came through a proxy; {HOW}"
        if peer not in self._known_peers and not self._is_near(peer):
            return f"the request came from another machine, {peer}; {HOW}"
        target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or "/"
        for name in (host,) if target[0] == "/" else (host, target.partition("://")[2].partition("/")[0]):
            if name not in self._known_hosts and not self._is_own(name):
                return f"the Host {name[:MAX_SHOWN]!a} is not this machine; {HOW}"
        return ""

    def _proxy(self, environ: Environ, peer: str) -> str:
        """The header by which a proxy shows itself, as people write it; empty where there is none, or it is trusted."""
        for name in environ:
            if (("_FORWARDED" in name and name.startswith("HTTP_")) or name in OF_PROXIES) and not is_trusted(
                peer, self.settings
            ):
                return name.removeprefix("HTTP_").replace("_", "-").title()
        return ""

    def _is_near(self, peer: str) -> bool:
        near = is_loopback(peer) or is_trusted(peer, self.settings)
        return near and _remember(peer, self._known_peers)

    def _is_own(self, host: str) -> bool:
        """Is this a name of this machine alone? `localhost`, and what ends so, is answered by no name server."""
        found = HOST.fullmatch(host)
        if not found:
            return False
        name = (found["v6"] or found["name"]).lower()
        own = name == "localhost" or name.endswith(".localhost") or is_loopback(name) or name == self._own_name
        return own and name not in WILDCARDS and _remember(host, self._known_hosts)

    def foreign_page(self, right: Right, environ: Environ) -> str:
        """Why the page that sent this may not do so, as a sentence; empty where it may, and where no page sent it.

        A key that a page must know opens to all pages, unless some are listed. A password of Basic is no such key:
        browsers send it by themselves.
        """
        if right.pages is not Pages.CHANGE:
            return ""
        origin = environ.get("HTTP_ORIGIN")
        if origin is None:  # as of <img>, or of a program
            foreign = environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin")
        else:
            foreign = not self._is_allowed(origin, environ)
        by_itself = self.locked and environ.get("HTTP_AUTHORIZATION", "")[:5].lower() == "basic"
        if not foreign or (self._any_origin and not by_itself):
            return ""
        said = ascii(origin[:MAX_SHOWN]) if origin is not None else "another site"
        return f"a page of {said} may not use this route: list its origin in {PREFIX}ALLOWED_ORIGINS"

    def _is_allowed(self, origin: str, environ: Environ) -> bool:
        origin = origin.lower()
        own = environ.get("HTTP_HOST", "").lower()
        return origin in self._origins or origin in (f"http://{own}", f"https://{own}")

    def readers(self, right: Right, environ: Environ) -> dict[str, str]:
        """The headers that say which pages may read the answer."""
        if right.pages in (Pages.NONE, Pages.OWN):
            return {}
        if right.pages is Pages.ANY or self._any_origin:
            return {ALLOW_ORIGIN: ANY_ORIGIN}
        origin = environ.get("HTTP_ORIGIN", "")
        return {"Vary": "Origin", **({ALLOW_ORIGIN: origin} if self._is_allowed(origin, environ) else {})}


def methods_of(rule: str) -> str:
    """The methods that a page may send to a route, for a browser that asks: GET and POST, and what else it has."""
    more = dict.fromkeys(method for right in RIGHTS if right.rule == rule for method in right.methods)
    return ", ".join(dict.fromkeys(("GET", "POST", *more, "OPTIONS")))


def preflight(*headers: str) -> dict[str, str]:
    """What a browser wants to know before a page of another site may send. headers: that it may send beside the usual ones."""
    return {
        "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
        "Access-Control-Allow-Headers": ", ".join(("Authorization", "Content-Type", *headers)),
        "Access-Control-Max-Age": "86400",
    }


def _remember(text: str, known: set[str]) -> bool:
    """True, and quicker the next time."""
    if len(known) < MAX_KNOWN and len(text) <= MAX_SHOWN:
        known.add(text)
    return True

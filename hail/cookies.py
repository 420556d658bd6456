"""Cookies: how one is read, over which scheme a browser came, and the cookie `v` that says who a visitor is.

    a visitor who is named ──────────────────────────────────────> them; the cookie says so from then on
    nobody is named ── the cookie that came ─────────────────────> them
                           └ none: could one come back? ── yes ──> somebody new, with a cookie
                                                        └─ no ───> nobody: three pages would make three visitors

Promise: a visitor is made up only where the browser that sent the request keeps a cookie of the answer, as far as its headers tell. A
page of another site gets a cookie back only over https, and where the site wants such cookies.
"""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from hail.access import is_trusted_by

PORTS = {"http": "80", "https": "443"}
VISITOR, VISITOR_S = "v", 365 * 86_400
"""The cookie's name, and how long it lasts from the last answer that gave it."""
ID_BYTES = 16
SENT = "/!$&'()*+,=:@"
"""What browsers send as it is in the path of an address, beside letters: they compare the path of a cookie with that, sign by sign."""
CROSS_SITE = "cross-site"

Environ = Mapping[str, Any]
Networks = Iterable[IPv4Network | IPv6Network]


class Told(NamedTuple):
    """visitor: None where nobody is known.  cookie: a value of `Set-Cookie`; empty where the browser has it already, or keeps none."""

    visitor: str | None
    cookie: str = ""


class Jar(NamedTuple):
    """Where a cookie is for, and how. path: of addresses to which it comes back.  crosses: whether pages of other sites send it, too.

    most: bytes of an id.
    """

    path: str
    crosses: bool
    most: int


def token_in(header: str, name: str) -> str:
    """The value of a cookie in the header `Cookie`; empty where it is not there."""
    for cookie in header.split(";"):
        its_name, _, value = cookie.strip().partition("=")
        if its_name == name:
            return value
    return ""


def scheme_of(environ: Environ, trusted: Networks) -> str:
    """http or https, as the browser has it: of the request, or as a trusted proxy says."""
    said = environ.get("HTTP_X_FORWARDED_PROTO", "")
    if said in PORTS and is_trusted_by(environ.get("REMOTE_ADDR", ""), trusted):
        return str(said)
    return "https" if environ.get("wsgi.url_scheme") == "https" else "http"


def told(
    environ: Environ,
    named: str | None,
    jar: Jar,
    scheme: str,
    draw: Callable[[int], bytes],
    may_invent: bool = True,
) -> Told:
    """Who the visitor of a request is. named: who it says they are.  draw: random bytes.  may_invent: whether it may be somebody new."""
    known = visitor_in(environ, jar.most)
    crosses = jar.crosses and scheme == "https"
    keeps = crosses or not is_cross_site(environ)
    if named is None and known:
        return Told(known)
    visitor = named if named is not None else draw(ID_BYTES).hex() if keeps and may_invent else None
    if visitor is None or visitor == known or not keeps:
        return Told(visitor)
    return Told(visitor, cookie_of(visitor, jar.path, scheme, crosses))


def visitor_in(environ: Environ, most: int) -> str:
    """Whom the cookie names; empty where it names nobody, or no one who can be."""
    try:
        found = unquote(token_in(environ.get("HTTP_COOKIE", ""), VISITOR), errors="strict")
    except UnicodeDecodeError:
        return ""
    return found if found.isprintable() and len(found.encode("utf-8", "replace")) <= most else ""


def cookie_of(visitor: str, path: str, scheme: str, crosses: bool) -> str:
    """A value of the header `Set-Cookie`."""
    same_site = "None; Secure; Partitioned" if crosses else "Lax" + "; Secure" * (scheme == "https")
    return f"{VISITOR}={quote(visitor, safe='')}; Max-Age={VISITOR_S}; Path={quote(path, SENT)}; HttpOnly; SameSite={same_site}"


def says_where(environ: Environ) -> bool:
    """Whether a browser says which page sent the request. A program says nothing, and mostly keeps no cookies."""
    return "HTTP_SEC_FETCH_SITE" in environ


def is_cross_site(environ: Environ) -> bool:
    """Whether a page of another site sent a request. Browsers say so on https; else the page's own address must be of this host."""
    said = environ.get("HTTP_SEC_FETCH_SITE")
    if said is not None:
        return bool(said == CROSS_SITE)
    page = environ.get("HTTP_ORIGIN") or environ.get("HTTP_REFERER")
    if not page:
        return False
    try:
        host = urlsplit(page).netloc
    except ValueError:
        return True
    return host.lower() != environ.get("HTTP_HOST", "").lower()

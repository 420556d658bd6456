"""Where a visit came from: the address at which it began, and the page before it. Pure.

    utm_source, source, ref of the address ──> that source, with utm_campaign and utm_medium
    a click id, as gclid ────────────────────> who sells such clicks, medium cpc
    the page before is of another host ──────> that host
    there is none ───────────────────────────> direct

A page of the same host says nothing: the visit began earlier.
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

DIRECT, PAID = "direct", "cpc"
SOURCE_NAMES = ("utm_source", "source", "ref")
CLICKS = {
    "gclid": "google",
    "gbraid": "google",
    "wbraid": "google",
    "dclid": "google",
    "msclkid": "bing",
    "fbclid": "facebook",
    "yclid": "yandex",
    "ttclid": "tiktok",
    "twclid": "twitter",
    "li_fat_id": "linkedin",
}
"""Parameters that sellers of clicks append."""
MOST_PARAMETERS = 100
"""Of an address, that are looked at."""


class Source(NamedTuple):
    source: str
    campaign: str = ""
    medium: str = ""
    content: str = ""
    term: str = ""


class Address(NamedTuple):
    """Of a page. host: in lower case, without a port."""

    host: str
    path: str
    query: str = ""
    fragment: str = ""


NOWHERE = Address("", "")


def address_of(url: str) -> Address:
    """NOWHERE where a text is no address of a page."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return NOWHERE
    if parts.scheme not in ("http", "https") or not host:
        return NOWHERE
    return Address(host.rstrip("."), parts.path or "/", parts.query, parts.fragment)


def parameters_of(query: str) -> Mapping[str, str]:
    """The last value of each, of the first MOST_PARAMETERS."""
    pairs = query.split("&", MOST_PARAMETERS)[:MOST_PARAMETERS]
    return dict(parse_qsl("&".join(pairs), errors="replace")) if query else {}


def source_of(page: Address, before: Address) -> Source | None:
    """page: where the visit began.  before: what led there, or NOWHERE.  None where the visit began earlier."""
    given = parameters_of(page.query)
    source = next((given[name] for name in SOURCE_NAMES if given.get(name)), "").strip().lower()
    campaign, medium = given.get("utm_campaign", "").strip(), given.get("utm_medium", "").strip().lower()
    if not source:
        source = next((seller for name, seller in CLICKS.items() if name in given), "")
        medium = medium or (PAID if source and "fbclid" not in given else "")
    if source or campaign:
        host = _plain_host(before.host)
        return Source(
            source or host or DIRECT, campaign, medium, given.get("utm_content", ""), given.get("utm_term", "")
        )
    if not before.host:
        return Source(DIRECT)
    host = _plain_host(before.host)
    return None if host == _plain_host(page.host) else Source(host)


def _plain_host(host: str) -> str:
    return host.removeprefix("www.")

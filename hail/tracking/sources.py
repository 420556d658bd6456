"""Where a visit came from: the address at which it began, and the page before it. Pure.

    utm_source, source, ref of the address ──> that source, with utm_campaign and utm_medium
    a click id, as gclid ────────────────────> who sells such clicks, medium cpc
    the page before is of another host ──────> its name in referrers.tsv, else that host
    there is none ───────────────────────────> direct

A page of the same host says nothing: the visit began earlier. Names are in lower case, so that `Google` and `google` are one.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

DIRECT, PAID, CAMPAIGN, REFERRAL = "direct", "paid", "campaign", "referral"
CPC = "cpc"
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
    "twclid": "x",
    "li_fat_id": "linkedin",
}
"""Parameters that sellers of clicks append."""
FREE = frozenset(("fbclid",))
"""Of these, those that are appended to what nobody paid for, too."""
CHANNELS = {
    **dict.fromkeys(("cpc", "ppc", "cpm", "cpv", "paid", "display", "banner", "retargeting"), PAID),
    **dict.fromkeys(("paidsearch", "paid-search", "paid_search", "paidsocial", "paid-social", "paid_social"), PAID),
    **dict.fromkeys(("email", "e-mail", "mail", "newsletter"), "mail"),
    **dict.fromkeys(("social", "social-media", "social_media", "sm"), "social"),
    **dict.fromkeys(("affiliate", "referral"), REFERRAL),
    "organic": "search",
    "video": "video",
}
"""By medium."""
_URL = re.compile(
    r"(?:https?|app|android-app)://(?:[^/?#@]*@)?(\[[^]/?#]+]|[^/?#:@\[\]]+)(?::[0-9]*)?(/[^?#]*)?(?:\?([^#]*))?(?:#(.*))?",
    re.I | re.S,
)
MOST_PARAMETERS = 100
"""Of an address, that are looked at."""
MOST_LABELS = 6
ANY_END = ".*"
FILE = Path(__file__).with_name("referrers.tsv")


class Source(NamedTuple):
    source: str
    channel: str
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
    """NOWHERE where a text is no address of a page, or of an app."""
    found = _URL.fullmatch(url)
    if found is None:
        return NOWHERE
    host, path, query, fragment = found.groups("")
    return Address(host.lower().rstrip("."), path or "/", query, fragment)


def parameters_of(query: str) -> Mapping[str, str]:
    """The last value of each, of the first MOST_PARAMETERS."""
    pairs = query.split("&", MOST_PARAMETERS)[:MOST_PARAMETERS]
    return dict(parse_qsl("&".join(pairs), errors="replace")) if query else {}


def source_of(page: Address, before: Address) -> Source | None:
    """page: where the visit began.  before: what led there, or NOWHERE.  None where the visit began earlier."""
    given, led = parameters_of(page.query), _plain_host(before.host)
    source = next((given[name] for name in SOURCE_NAMES if given.get(name)), "").strip().lower()
    campaign, medium = given.get("utm_campaign", "").strip(), given.get("utm_medium", "").strip().lower()
    if not source and (clicked := next((name for name in CLICKS if name in given), "")):
        source = CLICKS[clicked]
        medium = medium or ("" if clicked in FREE else CPC)
    if source or campaign:
        content, term = given.get("utm_content", ""), given.get("utm_term", "")
        name = source or name_of_host(led) or DIRECT
        return Source(name, CHANNELS.get(medium) or _channels().get(name, CAMPAIGN), campaign, medium, content, term)
    if not led:
        return Source(DIRECT, DIRECT)
    if led == _plain_host(page.host):
        return None
    name = name_of_host(led)
    return Source(name, _channels().get(name, REFERRAL))


def name_of_host(host: str) -> str:
    """The name of the nearest of its parents in the table, else the host. About 1 us."""
    table, below = referrers(), host
    for _ in range(MOST_LABELS):
        if found := table.get(below):
            return found[0]
        label, _, rest = below.partition(".")
        if not rest:
            break
        if rest.count(".") <= 1 and (found := table.get(label + ANY_END)):
            return found[0]
        below = rest
    return host


@cache
def referrers() -> Mapping[str, tuple[str, str]]:
    """By host the name of a source, and its channel."""
    lines = (line for line in FILE.read_text().splitlines() if not line.startswith("#"))
    return {host: (name, channel) for host, name, channel in (line.split("\t") for line in lines)}


@cache
def _channels() -> Mapping[str, str]:
    """By the name of a source."""
    return dict(referrers().values())


def _plain_host(host: str) -> str:
    return host.removeprefix("www.")

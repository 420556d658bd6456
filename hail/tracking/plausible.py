"""Events of Plausible's trackers, as hits of the tracker. docs/http/clients.md has them as a table. Pure.

    {"n": "pageview", "u": "https://shop.example/", "d": "shop.example", "r": null, "p": {}, "$": {}, "e": 4000, "sd": 60, …}

A depth (`sd`) is how far a page was read until now, not the difference to the report before. Such numbers do not add up: it is left out.
"""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from hail.body import json_of, kind_of
from hail.hit import MOST_PROPERTY_BYTES, HitError, Reason
from hail.times import came
from hail.tracking.sources import address_of
from hail.tracking.wire import ENGAGEMENT, Amount, Text, Tracked, checked

NAMES = {
    "n": "name",
    "u": "url",
    "d": "domain",
    "r": "referrer",
    **dict.fromkeys(("p", "m", "meta"), "props"),
    "$": "revenue",
    **dict.fromkeys(("w", "screen_width"), "width"),
    **dict.fromkeys(("h", "hashMode"), "hash"),
    "e": "engaged",
}
"""Short names of fields, and older ones."""
MOST_DOMAINS = 20
CLICK, DOWNLOAD = "Outbound Link: Click", "File Download"


class Event(msgspec.Struct, kw_only=True):
    """Fields that are not here are not read."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    url: Text
    domain: Text | None = None
    referrer: Text | None = None
    props: dict[str, Any] | str | None = None
    revenue: dict[str, Any] | None = None
    width: Amount | None = None
    hash: int | bool | str | None = None
    engaged: Amount | None = None


def event_of(body: bytes) -> Event:
    """Raises HitError."""
    given = json_of(body)
    if not isinstance(given, dict):
        raise HitError(Reason.BAD_JSON, "body", f"expected an event as an object, got {kind_of(given)}")
    named = {NAMES.get(name, name): value for name, value in given.items()}
    found: Event = checked(msgspec.convert, named, Event, fields=Event.__struct_fields__)
    return found


def domains_of(event: Event) -> list[str]:
    """The sites that it counts at; raises HitError."""
    named = [name.strip().lower() for name in (event.domain or "").split(",")]
    found = list(dict.fromkeys(name for name in named if name)) or [address_of(event.url).host]
    if len(found) > MOST_DOMAINS or not found[0]:
        raise HitError(Reason.BAD_PK, "domain", f"expected 1 to {MOST_DOMAINS} sites, got {came(event.domain)}")
    return found


def tracked_of_event(event: Event) -> Tracked:
    """Raises HitError."""
    properties, metrics = _properties(event.props), dict[str, float]()
    if (revenue := event.revenue) and event.name != ENGAGEMENT:
        metrics["revenue"] = _amount(revenue.get("amount"))
        if isinstance(currency := revenue.get("currency"), str):
            properties["currency"] = currency
    name, link = event.name, str(properties.get("url", ""))
    if name == CLICK and link:
        name, properties = "outbound", {**properties, "to": _plain(link)}
    elif name == DOWNLOAD and link:
        name, properties = "download", {**properties, "file": _path_of(link)}
    fields: dict[str, Any] = {
        "event": name,
        "url": _url_of(event),
        "referrer": event.referrer or "",
        "width": event.width or 0,
    }
    fields |= {"engaged": event.engaged} if name == ENGAGEMENT else {}
    fields |= {"properties": properties or None, "metrics": metrics or None}
    found: Tracked = checked(msgspec.convert, fields, Tracked)
    return found


def _url_of(event: Event) -> str:
    """With each fragment a page of its own, where the site says that it has such pages."""
    before, mark, fragment = event.url.partition("#")
    if not event.hash or event.hash in ("0", "false") or not mark or fragment.startswith(("/", "!/")):
        return event.url
    return f"{before}#/{fragment}"


def _properties(given: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """Texts, numbers and flags, as Plausible keeps them; older trackers send an object as text."""
    if isinstance(given, str):
        given = json_of(given.encode("utf-8", "replace"), "props")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise HitError(Reason.BAD_PROPERTIES, "props", f"expected an object, got {kind_of(given)}")
    return {name: value for name, value in given.items() if value not in (None, "") and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    is_short = not isinstance(value, str) or len(msgspec.json.encode(value)) <= MOST_PROPERTY_BYTES
    return not isinstance(value, list | dict) and is_short


def _amount(given: Any) -> float:
    """Raises HitError."""
    try:
        if isinstance(given, bool) or not isinstance(given, str | int | float) or "_" in str(given):
            raise ValueError
        return float(given)
    except ValueError:
        raise HitError(Reason.BAD_METRICS, "revenue.amount", f"expected a number, got {came(given)}") from None


def _plain(link: str) -> str:
    """Its host and path, as the tracker has them."""
    page = address_of(link)
    return page.host + page.path if page.host else link


def _path_of(link: str) -> str:
    try:
        return urlsplit(link).path or link
    except ValueError:
        return link

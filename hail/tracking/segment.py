"""Calls of Segment's libraries, as hits of the tracker and properties of visitors. docs/http/clients.md has them as tables. Pure.

    page, screen     a page view
    track            an event; those of Segment's own list have the names that the tracker gives them
    identify, group  properties of a visitor: they count nothing
    alias            two ids of one visitor

Promise: a property that is an object is taken apart; a list, and what no property can hold, is left out. Nothing else is.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from hail.hit import MOST_PROPERTY_BYTES, HitError, Reason
from hail.times import NoTime, came, time_of
from hail.tracking.sources import address_of
from hail.tracking.wire import PAGEVIEW, Short, Text, Tracked, checked, name_of_id

TRACK, PAGE, SCREEN, IDENTIFY, GROUP, ALIAS = "track", "page", "screen", "identify", "group", "alias"
CALLS: Mapping[str, str] = {
    name[:end]: name for name in (TRACK, PAGE, SCREEN, IDENTIFY, GROUP, ALIAS) for end in (None, 1)
}
"""By the last word of an address; each has a short one, too."""
BATCHES = ("batch", "b", "import")
HAPPENED = frozenset((TRACK, PAGE, SCREEN))
EVENTS = {
    "Order Completed": "purchase",
    "Order Refunded": "refund",
    "Product Viewed": "view_product",
    "Product Added": "add_to_cart",
    "Product Removed": "remove_from_cart",
    "Checkout Started": "checkout",
    "Signed Up": "signup",
    "Signed In": "login",
    "Signed Out": "logout",
}
"""Of Segment's list of events, those that the tracker has, too."""
ORDER_EVENTS, PRODUCT_EVENTS = ("purchase", "refund", "checkout"), ("view_product", "add_to_cart", "remove_from_cart")
IDS = {**dict.fromkeys(ORDER_EVENTS, "order_id"), **dict.fromkeys(PRODUCT_EVENTS, "product_id")}
"""Which property of theirs is the `id` of the tracker."""
OF_PAGES = frozenset(("url", "path", "referrer", "title", "search"))
"""Properties of a page that are read elsewhere."""
AMOUNTS = ("revenue", "total", "value")
MOST_LEVELS = 5
APP = "app://screen/"
UTM = {
    "source": "utm_source",
    "name": "utm_campaign",
    "medium": "utm_medium",
    "content": "utm_content",
    "term": "utm_term",
}

Id = Annotated[str, Meta(max_length=200)] | int | None
Time = str | float | None


class Page(msgspec.Struct):
    url: Text | None = None
    referrer: Text | None = None


class Screen(msgspec.Struct):
    width: float | None = None
    height: float | None = None


class Context(msgspec.Struct):
    """site: of HailWhale, as no library of Segment's has it by itself."""

    site: Short | None = None
    page: Page | None = None
    userAgent: str | None = None
    ip: str | None = None
    locale: Short | None = None
    screen: Screen | None = None
    campaign: dict[str, Any] | None = None


class Call(msgspec.Struct, kw_only=True, gc=False):
    """One of them. Fields that are not here are not read."""

    type: str = ""
    event: Annotated[str, Meta(max_length=200)] | None = None
    name: Text | None = None
    category: Text | None = None
    userId: Id = None
    anonymousId: Id = None
    previousId: Id = None
    groupId: Id = None
    messageId: Id = None
    timestamp: Time = None
    originalTimestamp: Time = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: Context | None = None


class Batch(msgspec.Struct, kw_only=True):
    """A body: of many calls, or, without `batch`, of one."""

    batch: list[msgspec.Raw] | None = None
    writeKey: str | None = None
    sentAt: Time = None


class Ids(NamedTuple):
    """That belong to one visitor; known is None where there is only one."""

    visitor: str | None
    known: str | None


_read_batch = msgspec.json.Decoder(Batch).decode
_read_call = msgspec.json.Decoder(Call).decode


def batch_of(body: bytes) -> Batch:
    """Raises HitError."""
    found: Batch = checked(_read_batch, body, fields=Batch.__struct_fields__)
    return found


def call_of(item: msgspec.Raw | bytes, kind: str | None) -> Call:
    """kind: by the address; without one the call says it. Raises HitError."""
    found: Call = checked(_read_call, item, fields=Call.__struct_fields__)
    found.type = kind or found.type
    if found.type not in CALLS or len(found.type) == 1:
        names = ", ".join(name for name in CALLS if len(name) > 1)
        raise HitError(Reason.BAD_JSON, "type", f"expected {names}, got {came(found.type)}")
    found.context = found.context or Context()
    return found


def site_named(call: Call) -> str | None:
    """The site that a call names, or the host of its page; None where it says neither."""
    context = call.context or Context()
    return context.site or address_of(_url_of(call)).host or None


def _url_of(call: Call) -> str:
    """Of the page that a call is about, or on which it was."""
    url = (call.properties or {}).get("url") if call.type == PAGE else None
    return url if isinstance(url, str) and url else ((call.context or Context()).page or Page()).url or ""


def ms_of(given: Time, field: str) -> float | None:
    """Raises HitError."""
    if given is None or given == "":
        return None
    try:
        return time_of(given) / 1000
    except NoTime as error:
        raise HitError(Reason.BAD_TIME, field, str(error)) from None


def at_of(call: Call) -> tuple[float | None, bool]:
    """When it was, in ms, and whether that is by the clock of the sender. Raises HitError.

    A call with both times came through Segment, which has set the clock of `timestamp`.
    """
    at, first = ms_of(call.timestamp, "timestamp"), ms_of(call.originalTimestamp, "originalTimestamp")
    return (first, True) if at is None else (at, first is None)


def ids_of(call: Call) -> Ids:
    """Of an alias the new one is known."""
    first, user = name_of_id(_text(call.anonymousId)), name_of_id(_text(call.userId))
    if call.type == ALIAS:
        first = name_of_id(_text(call.previousId))
    visitor = first or user
    return Ids(visitor, user if user != visitor else None)


def tracked_of_call(call: Call) -> Tracked:
    """What happened by it, as a hit of the tracker; raises HitError."""
    context, properties = call.context or Context(), flat(call.properties or {})
    ids, url = ids_of(call), _place_of(call)
    fields: dict[str, Any] = {"event": PAGEVIEW, "url": url, "id": _text(call.messageId), "at": at_of(call)[0]}
    fields |= {"v_visitor": ids.visitor, "visitor": ids.known, "language": context.locale or ""}
    page = context.page or Page()
    referrer = properties.get("referrer", page.referrer) if call.type == PAGE else page.referrer
    fields["referrer"] = referrer if isinstance(referrer, str) else None
    if context.screen and context.screen.width:
        fields["screen"] = f"{round(context.screen.width)}x{round(context.screen.height or 0)}"
    if tags := _tags_of(context.campaign or {}):
        fields |= {"entry_url": f"{(url or APP).partition('?')[0].partition('#')[0]}?{tags}"}
        fields |= {"entry_referrer": fields["referrer"] or ""}
    if call.type == TRACK:
        if not call.event:
            raise HitError(Reason.BAD_ID, "event", "expected the name of an event, got nothing")
        fields["event"] = event = EVENTS.get(call.event, call.event)
        if (id_ := properties.get(IDS.get(event, ""))) is not None:
            properties["id"] = id_
        for name in AMOUNTS:
            if name in properties:
                properties[name] = _number(properties[name], name)
        if event not in ORDER_EVENTS[:2]:
            fields["metrics"] = {
                name: properties[name] for name in ("revenue", "value") if _is_number(properties.get(name))
            }
    else:
        properties = {name: value for name, value in properties.items() if name not in OF_PAGES}
        properties |= {name: text for name, text in (("name", call.name), ("category", call.category)) if text}
    found: Tracked = checked(msgspec.convert, {**fields, "properties": properties or None}, Tracked)
    return found


def said_of_visitor(call: Call) -> dict[str, Any]:
    """Properties that an identify or a group says of its visitor; raises HitError."""
    found = flat(call.traits or {})
    if call.type == IDENTIFY:
        return found
    group = _text(call.groupId)
    if not group:
        raise HitError(Reason.BAD_ID, "groupId", "expected the id of a group, got nothing")
    return {"group": group, **{f"group.{name}": value for name, value in found.items()}}


def flat(given: Mapping[str, Any]) -> dict[str, Any]:
    """Properties, with those of an object by the names of both: {"a": {"b": 1}} is {"a.b": 1}."""
    return dict(_flat(given, "", MOST_LEVELS))


def _flat(given: Mapping[str, Any], before: str, levels: int) -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        if isinstance(value, dict):
            if levels > 1:
                yield from _flat(value, f"{before}{name}.", levels - 1)
        elif value is not None and not isinstance(value, list) and _is_short(value):
            yield before + name, value


def _is_short(value: Any) -> bool:
    return not isinstance(value, str) or len(msgspec.json.encode(value)) <= MOST_PROPERTY_BYTES


def _place_of(call: Call) -> str:
    """The address of the page; of a screen, and of a page without an address, one that is made of its name."""
    url = _url_of(call)
    if url or not call.name or call.type == TRACK:
        return url
    return APP + call.name.removeprefix("/").replace("?", "%3F").replace("#", "%23")


def _tags_of(campaign: Mapping[str, Any]) -> str:
    pairs = {UTM[name]: text for name, text in campaign.items() if name in UTM and isinstance(text, str) and text}
    return urlencode(pairs) if pairs.keys() & {"utm_source", "utm_campaign"} else ""


def _text(given: str | int | None) -> str | None:
    return str(given) if given not in (None, "") else None


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _number(given: Any, name: str) -> Any:
    """A number that is text as one. Other texts may be any where they are no revenue; raises HitError."""
    if _is_number(given):
        return given
    try:
        return float(given) if isinstance(given, str) and "_" not in given else float("x")
    except ValueError:
        if name == "value":
            return given
        raise HitError(Reason.BAD_METRICS, f"properties.{name}", f"expected a number, got {came(given)}") from None

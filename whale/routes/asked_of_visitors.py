"""What is asked of visitors of sites, and what is answered. Each type describes itself to OpenAPI."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from hail.openapi import Name
from whale.routes.asked import Buckets, Finish, NamesFormat, Offset, Period, Site, Start, Width, Zone


class OfSite(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All that is asked of the visitors of a site."""

    SPELLINGS: ClassVar[dict[str, str]] = {"site": "pk"}
    pk: Annotated[Site, Meta(description="The site: a pk of one level. You may also write `site` for `pk`.")]


Segment = Annotated[
    str,
    Meta(
        description="Only visitors of a set in this period: a set as JSON, or the name of a saved segment.",
        examples=['{"property": "plan", "is": "pro"}'],
    ),
]


class VisitorsAsked(OfSite, kw_only=True, forbid_unknown_fields=True):
    period: Period = ""
    start: Start = ""
    finish: Finish = ""
    interval: Width = ""
    buckets: Buckets = None
    segment: Segment = ""
    tz: Zone = ""
    tzoffset: Offset = ""


class EventsAsked(VisitorsAsked):
    pass


class PropertiesAsked(OfSite, kw_only=True, forbid_unknown_fields=True):
    property: Annotated[str, Meta(description="Answer the values of this property. Default: list all properties.")] = ""
    event: Annotated[str, Meta(description="Only what goes with this event, or visitors who had it.")] = ""
    of: Annotated[
        Literal["", "visitor", "event"],
        Meta(description="Whose the property is. Default: the visitors' if they have it, otherwise the events'."),
    ] = ""
    when: Annotated[
        Literal["", "any", "last", "first"],
        Meta(description="The value of a visitor: last (the default), first, or any that they ever had."),
    ] = ""
    limit: Annotated[
        int | None,
        Meta(description="Number of values, 1 to 10,000. Default: 100. `__other__` has the visitors of the others."),
    ] = None
    segment: Segment = ""
    format: NamesFormat = "json"
    tz: Zone = ""
    tzoffset: Offset = ""


class VisitorAsked(OfSite, kw_only=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(description="Number of events, the newest first: 1 to 10,000.")] = 100
    export: Annotated[bool, Meta(description="Answer all that is kept of the visitor, the oldest first.")] = False
    tz: Zone = ""
    tzoffset: Offset = ""


class EraseAsked(OfSite, kw_only=True, forbid_unknown_fields=True):
    pass


class Identified(OfSite, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /identify."""

    anonymous: Annotated[Name, Meta(description="The id under which the visitor came so far.")]
    known: Annotated[Name, Meta(description="The id under which they are known, such as a user's.")]


class Joined(msgspec.Struct):
    joined: Annotated[bool, Meta(description="Whether both ids are one visitor's.")]
    why: Literal["joined", "already", "other_known", "events_full"]


class Purged(msgspec.Struct):
    purged: Annotated[
        bool, Meta(description="Whether all records are gone from Redis's memory; else they go within an hour.")
    ]
    aof: Annotated[
        Literal["rewriting", "kept", "none"],
        Meta(
            description="Copies in Redis's append-only file: `rewriting` if the file is written anew without them, `kept` if they stay "
            "until Redis does so, `none` if no such file is written."
        ),
    ]


class VisitsPoint(msgspec.Struct):
    at: str
    visitors: int
    new: int | None
    returning: int | None


class Visitors(msgspec.Struct):
    visitors: Annotated[int, Meta(description="Visitors with an event in the period, each once.")]
    new: Annotated[
        int | None,
        Meta(description="Those of them who had no event before, since the log is kept. Null if `basis` is `daily`."),
    ]
    returning: int | None
    exact: Annotated[bool, Meta(description="Each person with one id counts once.")]
    basis: Annotated[
        Literal["visitor", "daily"],
        Meta(description="`daily`: some ids are of a day alone, and count on each day anew."),
    ]
    since: Annotated[str, Meta(description="From when on the log is whole.")]
    is_incomplete: Annotated[bool, Meta(description="Some of the log could not be read, and is missing here.")]
    points: list[VisitsPoint]


class EventRow(msgspec.Struct):
    event: str
    times: int
    visitors: int
    last: str


class Events(msgspec.Struct):
    events: Annotated[list[EventRow], Meta(description="The most frequent first.")]
    since: str
    is_incomplete: bool


class PropertyRow(msgspec.Struct):
    property: str
    of: Literal["visitor", "event"]
    visitors: Annotated[int, Meta(description="Visitors who have it, or an event with it.")]
    values: Annotated[int, Meta(description="Number of different values, without those in `__other__`.")]


class Properties(msgspec.Struct):
    properties: Annotated[list[PropertyRow], Meta(description="Those of most visitors first.")]
    since: str
    is_incomplete: bool


class ValueRow(msgspec.Struct):
    value: Annotated[Any, Meta(description="As it was sent: any JSON.")]
    visitors: int


class EventTouched(msgspec.Struct):
    event: str
    visitors: int


class PropertyShown(msgspec.Struct):
    property: str
    of: Literal["visitor", "event"]
    visitors: Annotated[int, Meta(description="Visitors who have it, or an event with it.")]
    values: int
    rows: Annotated[list[ValueRow], Meta(description="Those of most visitors first, and `__other__` last.")]
    events: Annotated[list[EventTouched], Meta(description="Events that it touches, with visitors who have both.")]
    since: str
    is_incomplete: bool


class EventAt(msgspec.Struct):
    at: str
    event: str
    properties: dict[str, Any] | UnsetType = UNSET


class PropertySince(msgspec.Struct):
    property: str
    value: Any
    since: str


class PropertyAt(msgspec.Struct):
    at: str
    property: str
    value: Any


class VisitorExported(msgspec.Struct):
    site: str
    visitor: str
    ids: Annotated[list[str], Meta(description="Ids of the visitor that are kept, and the one that was asked.")]
    since: str
    is_incomplete: bool
    last_hits: Annotated[list[dict[str, Any]], Meta(description="Their last hits, as /spy shows them.")]
    events: Annotated[list[EventAt], Meta(description="The oldest first.")]
    properties: Annotated[list[PropertyAt], Meta(description="The oldest first.")]


class VisitorShown(msgspec.Struct):
    visitor: Annotated[str, Meta(description="The id under which they came first.")]
    since: str
    is_incomplete: bool
    events: Annotated[list[EventAt], Meta(description="The newest first.")]
    more: Annotated[int, Meta(description="How many earlier events there are.")]
    properties: Annotated[list[PropertySince], Meta(description="The last value of each, and since when.")]

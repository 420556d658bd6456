"""What is asked of sessions, paths, retention and overlap, and what is answered. Each type describes itself to OpenAPI."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from whale.routes.asked import NamesFormat, Offset, Week, Zone
from whale.routes.asked_of_visitors import OfSite, Segment, VisitorsAsked

Limit = Annotated[int, Meta(description="Number of rows, 1 to 1,000. `__other__` has all that is in no row.")]
Basis = Annotated[Literal["visitor", "daily"], Meta(description="`daily`: some ids are of a day alone.")]


class SessionsAsked(VisitorsAsked):
    by: Annotated[
        Literal["", "entry", "exit", "source", "campaign", "medium", "content", "term"],
        Meta(
            description="Split by the first event of a session, its last one, or the first value of a property. Default: do not split."
        ),
    ] = ""
    page: Annotated[str, Meta(description="The event that is a page view. Default: pageview.")] = ""
    limit: Limit = 10
    format: NamesFormat = "json"


class RecentAsked(VisitorsAsked):
    limit: Annotated[int, Meta(description="Number of visitors, 1 to 1,000.")] = 10
    format: NamesFormat = "json"


class PathsAsked(VisitorsAsked):
    event: Annotated[str, Meta(description="The event to look from.", examples=["visit"])] = ""
    direction: Annotated[
        Literal["next", "before"], Meta(description="The events that come next, or that came before.")
    ] = "next"
    limit: Limit = 10
    format: NamesFormat = "json"


class RetentionAsked(OfSite, kw_only=True, forbid_unknown_fields=True):
    first: Annotated[str, Meta(description="The event with which a visitor begins. Default: any.")] = ""
    again: Annotated[str, Meta(description="The event for which they come back. Default: any.")] = ""
    by: Annotated[Literal["day", "week", "month"], Meta(description="How long the bucket of a cohort is.")] = "week"
    count: Annotated[int, Meta(description="Number of cohorts, 1 to 100.")] = 12
    start: Annotated[
        str, Meta(description="A time in the first cohort. Default: so that the last one is that of now.")
    ] = ""
    week: Week = ""
    where: Annotated[
        str,
        Meta(
            description="Only visitors of all of these sets, as a JSON list.",
            examples=['[{"property": "plan", "is": "pro"}]'],
        ),
    ] = ""
    segment: Segment = ""
    format: NamesFormat = "json"
    tz: Zone = ""
    tzoffset: Offset = ""


class OverlapAsked(VisitorsAsked):
    sets: Annotated[
        str,
        Meta(
            description="1 to 8 sets of visitors as a JSON list.",
            examples=[
                '[{"event": "buy"}, {"property": "plan", "is": "pro"}, {"not": {"session": "source", "is": "ads"}}]'
            ],
        ),
    ] = ""
    format: NamesFormat = "json"


class Duration(msgspec.Struct):
    """Seconds from the first to the last event."""

    median: float | None
    mean: float | None


class SessionsRow(msgspec.Struct):
    value: Annotated[Any, Meta(description="The event or the value; null for sessions without one.")]
    sessions: int
    visitors: int
    bounces: int
    bounce_rate: float | None
    duration: Duration


class SessionsPoint(msgspec.Struct):
    at: str
    sessions: int
    bounces: int


class Sessions(msgspec.Struct):
    sessions: Annotated[int, Meta(description="Sessions that began in the period.")]
    visitors: int
    bounces: Annotated[
        int, Meta(description="Sessions of one page view, or of one event where a site has no page views.")
    ]
    bounce_rate: Annotated[float | None, Meta(description="0 to 1.")]
    duration: Duration
    engaged_s: Annotated[float | None, Meta(description="Sum of the metric engaged_ms, in seconds.")]
    gap_s: Annotated[int, Meta(description="An event that comes later than so after the one before begins a session.")]
    basis: Basis
    since: Annotated[str, Meta(description="From when on the log is whole.")]
    is_incomplete: Annotated[bool, Meta(description="Some of the log could not be read, and is missing here.")]
    points: list[SessionsPoint]
    rows: Annotated[list[SessionsRow], Meta(description="Those with the most sessions first.")]


class RecentRow(msgspec.Struct):
    visitor: Annotated[str | None, Meta(description="Their id. Null if ids are not kept.")]
    at: str
    event: Annotated[str, Meta(description="Their last event.")]


class Recent(msgspec.Struct):
    rows: Annotated[list[RecentRow], Meta(description="The newest first, each visitor once.")]
    since: str
    is_incomplete: bool


class PathsRow(msgspec.Struct):
    event: str
    occurrences: int
    visitors: int


class Paths(msgspec.Struct):
    event: str
    direction: Literal["next", "before"]
    occurrences: Annotated[int, Meta(description="How often the event happened: the sum of rows, `ended` and `open`.")]
    visitors: int
    rows: Annotated[list[PathsRow], Meta(description="The events beside it, the most frequent first.")]
    ended: Annotated[int, Meta(description="How often nothing came in the session.")]
    open: Annotated[int, Meta(description="How often the session is not over and has no further event yet.")]
    gap_s: int
    basis: Basis
    since: str
    is_incomplete: bool


class Cohort(msgspec.Struct):
    at: str
    visitors: Annotated[int | None, Meta(description="Who began there. Null if `basis` is `daily`.")]
    kept: Annotated[
        list[int] | None, Meta(description="Those of them who came again: in the same bucket, the next one, and so on.")
    ]
    open_from: Annotated[int | None, Meta(description="The first place in `kept` whose bucket is not over.")]


class Retention(msgspec.Struct):
    cohorts: list[Cohort]
    curve: Annotated[
        list[float | None] | None,
        Meta(
            description="Share of all cohorts that came again, by the buckets in between. Buckets that are not over do not count."
        ),
    ]
    basis: Basis
    since: str
    is_incomplete: bool


class SegmentGiven(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of PUT /segments/SITE/NAME."""

    set: Annotated[dict[str, Any], Meta(description="A set of visitors.")]
    revision: Annotated[
        int | None, Meta(description="The revision that you have read, 0 for none. Another one answers 409.")
    ] = None


class SegmentSaved(msgspec.Struct):
    name: str
    revision: Annotated[int, Meta(description="Each change adds 1.")]
    set: Annotated[dict[str, Any], Meta(description="As it was saved.")]


class SetCounted(msgspec.Struct):
    set: Annotated[dict[str, Any], Meta(description="As it was asked.")]
    visitors: int


class Region(msgspec.Struct):
    in_: Annotated[
        list[int], Meta(description="Places of the sets that these visitors are in; they are in no other.")
    ] = msgspec.field(name="in")
    visitors: int


class Overlap(msgspec.Struct):
    visitors: Annotated[int, Meta(description="Visitors with an event in the period: the sum of all regions.")]
    sets: list[SetCounted]
    regions: Annotated[list[Region], Meta(description="Those with the most visitors first.")]
    basis: Basis
    since: str
    is_incomplete: bool

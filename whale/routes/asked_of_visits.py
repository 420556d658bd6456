"""What is asked of visits and their splits, and what is answered. Each type describes itself to OpenAPI."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from whale.routes.asked import NamesFormat
from whale.routes.asked_of_following import Basis, Limit
from whale.routes.asked_of_visitors import VisitorsAsked


class VisitsAsked(VisitorsAsked):
    by: Annotated[
        str,
        Meta(
            description="Split by these, with commas between: page, entry_page, exit_page, event, source, channel, campaign, medium, "
            "content, term, country, device, browser, platform, screen or language. Default: do not split.",
            examples=["source,page"],
        ),
    ] = ""
    where: Annotated[
        str,
        Meta(
            description="Only visits for which all of this holds, as a JSON list.",
            examples=['[{"by": "source", "is": "google"}, {"by": "page", "not": "/jobs"}]'],
        ),
    ] = ""
    goal: Annotated[str, Meta(description="An event. A visit with one has converted.", examples=["purchase"])] = ""
    worth: Annotated[str, Meta(description="The property that says what a goal is worth. Default: revenue.")] = ""
    page: Annotated[str, Meta(description="The event that is a page view. Default: pageview.")] = ""
    order: Annotated[
        Literal["visits", "visitors", "views", "converted", "worth", "confidence"],
        Meta(description="Which rows come first. `confidence`: by the low end of the 95 % interval of the conversion."),
    ] = "visits"
    limit: Limit = 10
    format: NamesFormat = "json"


class VisitNumbers(msgspec.Struct):
    """Of some visits."""

    visitors: int
    visits: int
    views: Annotated[int | None, Meta(description="Page views; of rows of pages those of this page.")]
    bounces: Annotated[
        int, Meta(description="Visits of one page view, or of one event where a site has no page views.")
    ]
    bounce_rate: Annotated[float | None, Meta(description="0 to 1.")]
    duration_s: Annotated[float | None, Meta(description="Mean time from the first to the last event.")]
    converters: Annotated[int | None, Meta(description="Visitors with the goal. Null without a goal.")]
    converted: Annotated[int | None, Meta(description="Visits with the goal.")]
    goals: Annotated[int | None, Meta(description="How often the goal happened.")]
    conversion: Annotated[float | None, Meta(description="Visits with the goal, of all visits: 0 to 1.")]
    worth: Annotated[float | None, Meta(description="The sum of the numbers that came with goals.")]


class VisitsBucket(VisitNumbers):
    at: str


class VisitsRow(msgspec.Struct):
    """As of all visits, of those with this value."""

    value: Annotated[Any, Meta(description="The value; null for visits without one, `__other__` for all further ones.")]
    visitors: int
    visits: int
    views: Annotated[int | None, Meta(description="Page views; of rows of pages those of this page, of events null.")]
    bounces: int
    bounce_rate: float | None
    duration_s: float | None
    converters: int | None
    converted: int | None
    goals: int | None
    conversion: float | None
    worth: Annotated[float | None, Meta(description="The sum of the numbers that came with goals.")]
    low: Annotated[float | None, Meta(description="The conversion surely lies from here, at 95 %, …")]
    high: Annotated[float | None, Meta(description="… to here.")]
    times: Annotated[int | UnsetType, Meta(description="Only if events are rows: how often the event happened.")] = (
        UNSET
    )


class Visits(VisitNumbers):
    goal: str | None
    gap_s: Annotated[int, Meta(description="An event that comes later than so after the one before begins a visit.")]
    basis: Basis
    since: Annotated[str, Meta(description="From when on the log is whole.")]
    is_incomplete: Annotated[bool, Meta(description="Some of the log could not be read, and is missing here.")]
    points: list[VisitsBucket]
    rows: Annotated[dict[str, list[VisitsRow]], Meta(description="By each of `by`. Each list closes with `__other__`.")]

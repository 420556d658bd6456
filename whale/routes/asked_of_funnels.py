"""What is asked of funnels of sites, and what is answered. Each type describes itself to OpenAPI."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from whale.library.funnels import DEFAULT_WINDOW
from whale.routes.asked import Compare, NamesFormat
from whale.routes.asked_of_visitors import VisitorsAsked


class FunnelGiven(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of PUT /funnels/SITE/NAME."""

    steps: Annotated[list[Any], Meta(description="2 to 32 steps, as in `GET /funnel`.")]
    window: Annotated[str | int, Meta(description="The longest time from the first to the last step, 1s to 366d.")] = (
        DEFAULT_WINDOW
    )
    revision: Annotated[
        int | None, Meta(description="The revision that you have read, 0 for none. Another one answers 409.")
    ] = None


class FunnelSaved(msgspec.Struct):
    name: str
    revision: Annotated[int, Meta(description="Each change adds 1.")]
    steps: list[str | dict[str, Any]]
    window_s: int


class FunnelAsked(VisitorsAsked):
    steps: Annotated[
        str,
        Meta(
            description="2 to 32 steps as a JSON list, in their order: an event, or an object with `event` and its conditions `where`.",
            examples=['["visit", {"event": "buy", "where": [{"property": "plan", "is": "pro", "when": "last"}]}]'],
        ),
    ] = ""
    window: Annotated[
        str,
        Meta(
            description="The longest time from the first to the last step, 1s to 366d. Default: that of the saved funnel, or 1d.",
            examples=["7d"],
        ),
    ] = ""
    name: Annotated[str, Meta(description="A saved funnel, instead of `steps`.")] = ""
    by: Annotated[str, Meta(description="Split by the value of this property.")] = ""
    when: Annotated[
        Literal["", "last", "first", "session"],
        Meta(
            description="The value of a visitor: last (the default), first, or that of the session in which they began. Requires `by`."
        ),
    ] = ""
    limit: Annotated[
        int, Meta(description="Number of values in the split, 1 to 1,000. `__other__` has the visitors of the others.")
    ] = 10
    compare: Compare = ""
    rate: Annotated[
        str,
        Meta(
            description="Answer the rate of the last step over time, too: `1` for the buckets of the period, or their width.",
            examples=["1d"],
        ),
    ] = ""
    format: NamesFormat = "json"


class FunnelStep(msgspec.Struct):
    event: str
    visitors: Annotated[int, Meta(description="Visitors who got here, each once.")]
    occurrences: Annotated[int, Meta(description="Events of this step that the steps before led to.")]
    conversion: Annotated[float | None, Meta(description="Share of the first step's visitors, 0 to 1.")]
    dropped: Annotated[int, Meta(description="Visitors who got here and can not get to the next step any more.")]
    open: Annotated[int, Meta(description="Visitors who got here and may still get to the next step.")]
    median_s: Annotated[float | None, Meta(description="Median time from the first step to this one, s.")]
    p90_s: Annotated[float | None, Meta(description="Time in which 9 of 10 got here.")]
    where: Annotated[
        list[dict[str, Any]] | UnsetType, Meta(description="The conditions of the step, as they may be asked again.")
    ] = UNSET


class FunnelOfValue(msgspec.Struct):
    value: Annotated[Any, Meta(description="As it was sent, or null for visitors who have none.")]
    steps: list[FunnelStep]


class FunnelCompared(msgspec.Struct):
    """`with`, `now`, `before`, `cut`, `complete`, `same_length` are as in every comparison."""

    with_: Annotated[str, Meta(description="The other period, as it was asked.")] = msgspec.field(name="with")
    now: dict[str, str]
    before: dict[str, str]
    cut: str | None
    complete: bool
    same_length: bool
    steps: Annotated[list[FunnelStep], Meta(description="The steps in the other period.")]


class Funnel(msgspec.Struct, kw_only=True):
    as_of: Annotated[str, Meta(description="The time up to which events are known.")]
    complete: Annotated[bool, Meta(description="The period is over.")]
    window_s: int
    steps: list[FunnelStep]
    basis: Annotated[Literal["visitor", "daily"], Meta(description="`daily`: some ids are of a day alone.")]
    since: str
    is_incomplete: bool
    name: Annotated[str | UnsetType, Meta(description="The saved funnel that was asked.")] = UNSET
    revision: int | UnsetType = UNSET
    split: Annotated[
        list[FunnelOfValue] | UnsetType,
        Meta(description="By value, those of most visitors first. The rows add up to `steps`."),
    ] = UNSET
    rate: Annotated[
        list[tuple[int, float | None]] | UnsetType,
        Meta(
            description="Milliseconds at which a bucket begins; of the visitors who began in it, the share who got to the last step."
        ),
    ] = UNSET
    compared: FunnelCompared | UnsetType = UNSET

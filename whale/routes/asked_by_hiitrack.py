"""What HiiTrack's clients send to their addresses, and what they are answered. Each type describes itself to OpenAPI."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta


class HiiTrackBeside(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What HiiTrack's routes take beside their fields, in the address or in the body."""

    request_id: Annotated[str, Meta(description="Comes back in the answer. At most 200 letters.")] = ""
    callback: Annotated[
        str,
        Meta(
            description="JavaScript name that the answer calls, as a script. A GET then needs a key as `key` in the address."
        ),
    ] = ""


class HiiTrackUserGiven(HiiTrackBeside, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of POST /USER."""

    password: Annotated[str, Meta(description="At least 8 letters.")]


class HiiTrackBucketGiven(HiiTrackBeside, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of POST /USER/BUCKET."""

    description: Annotated[str, Meta(description="A description for people, at most 300 letters.")] = ""


class HiiTrackEventGiven(HiiTrackBeside, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The fields of an event, in the address or in the body."""

    visitor_id: Annotated[
        str, Meta(description="Id of the visitor. Default: the cookie `v`, or a new visitor who gets one.")
    ] = ""


class HiiTrackPropertyGiven(HiiTrackEventGiven, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The fields of a value of a property, in the address or in the body."""

    value: Annotated[str, Meta(description="Base64 of JSON of any type.")]


class HiiTrackBatchGiven(HiiTrackEventGiven, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The fields of a batch, in the address."""

    message: Annotated[str, Meta(description="Base64 of the JSON `[[event, ...], [[property, value], ...]]`.")]


class HiiTrackDone(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Each answer of HiiTrack's routes."""

    request_id: str = ""


class HiiTrackCounted(HiiTrackDone, kw_only=True, omit_defaults=True):
    """visitor_id: null where nobody is known, and a cookie would not come back."""

    visitor_id: str | None


class HiiTrackDescribed(msgspec.Struct, kw_only=True):
    description: str


class HiiTrackUser(HiiTrackDone, kw_only=True, omit_defaults=True):
    buckets: dict[str, HiiTrackDescribed]


class HiiTrackToken(HiiTrackDone, kw_only=True, omit_defaults=True):
    """token: reads the bucket; shown once."""

    token: str


class HiiTrackBucket(HiiTrackDone, kw_only=True, omit_defaults=True):
    bucket_name: str
    description: str
    properties: dict[str, str]
    events: dict[str, dict[str, str]]


# Reports


class HiiTrackSplit(HiiTrackBeside, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    property: Annotated[str, Meta(description="Split by the values of this property.")] = ""
    limit: Annotated[int, Meta(description="Values that are named, 1 to 10,000. The others are `__other__`.")] = 1000


class HiiTrackEventAsked(HiiTrackSplit, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    start: Annotated[
        str, Meta(description="Answer each number by buckets from this time on, as epoch seconds or ISO 8601.")
    ] = ""
    finish: Annotated[str, Meta(description="End of the buckets. Default: now.")] = ""
    interval: Annotated[str, Meta(description="Width of a bucket: `day`, `hour`, or as in a period.")] = "day"
    tz: Annotated[str, Meta(description="Zone of days. Default: that of the account.")] = ""


class HiiTrackPropertyAsked(HiiTrackBeside, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(description="Values that are named, 1 to 10,000. The others are `__other__`.")] = 1000


class HiiTrackFunnelAsked(HiiTrackSplit, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    event: Annotated[str, Meta(description="Name of an event; send one for each step, in their order.")] = ""
    event_id: Annotated[str, Meta(description="Id of an event, in place of a name.")] = ""


class HiiTrackSavedAsked(HiiTrackBeside, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(description="Values that are named, 1 to 10,000. The others are `__other__`.")] = 1000


class HiiTrackFunnelGiven(HiiTrackBeside, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of POST /USER/BUCKET/funnel/NAME. In a form each event is a field of its own."""

    event_id: Annotated[list[str], Meta(description="Ids of 2 to 32 events, in their order.")] = []
    event: Annotated[list[str], Meta(description="Names of events, in place of ids.")] = []
    description: Annotated[str, Meta(description="For people, at most 300 letters.")] = ""
    property: Annotated[str, Meta(description="A property of visitors that splits its report.")] = ""


class HiiTrackReport(HiiTrackDone, kw_only=True):
    """What all reports say of the log."""

    since: Annotated[str, Meta(description="From when on the log is whole.")]
    is_incomplete: Annotated[bool, Meta(description="Some of the log could not be read, and is missing here.")]


Number = int | list[list[int]]
"""How often; or of each bucket when it begins, in epoch seconds, and how often."""


class HiiTrackEvent(HiiTrackReport, kw_only=True):
    id: str
    name: str
    total: Annotated[Number, Meta(description="How often it was ever counted.")]
    unique_total: Annotated[Number, Meta(description="Visitors, each at their first one.")]
    path: Annotated[dict[str, Number], Meta(description="How often it came after another event, by its id.")]
    unique_path: dict[str, Number]
    properties: Annotated[dict[str, str], Meta(description="Names of the properties that it has, by id.")]


class HiiTrackEventSplit(HiiTrackReport, kw_only=True):
    """By the ids of values."""

    id: str
    name: str
    totals: dict[str, Number]
    unique_totals: dict[str, Number]
    paths: dict[str, dict[str, Number]]
    unique_paths: dict[str, dict[str, Number]]
    values: dict[str, Any]
    properties: dict[str, str]


class HiiTrackValue(msgspec.Struct):
    value: Any
    total: Annotated[dict[str, int], Meta(description="Visitors who have the value and had an event, by its id.")]


class HiiTrackProperty(HiiTrackReport, kw_only=True):
    id: str
    name: str
    values: dict[str, HiiTrackValue]
    events: dict[str, str]


class HiiTrackFunnel(HiiTrackReport, kw_only=True, omit_defaults=True):
    """By the ids of events. description: of a saved one."""

    description: str = ""

    event_ids: list[str]
    total: dict[str, int]
    unique_total: dict[str, int]
    path: dict[str, dict[str, int]]
    unique_path: dict[str, dict[str, int]]
    funnel: Annotated[list[tuple[str, int]], Meta(description="Events of each step that the steps before led to.")]
    unique_funnel: Annotated[list[tuple[str, int]], Meta(description="Visitors who got to each step.")]


class HiiTrackValues(msgspec.Struct):
    name: str
    id: str
    values: dict[str, Any]


class HiiTrackFunnelSplit(HiiTrackReport, kw_only=True, omit_defaults=True):
    """By the ids of values, and of these by the ids of events; numbers of one event the other way round."""

    description: str = ""

    event_ids: list[str]
    property: HiiTrackValues
    totals: dict[str, dict[str, int]]
    unique_totals: dict[str, dict[str, int]]
    paths: dict[str, dict[str, dict[str, int]]]
    unique_paths: dict[str, dict[str, dict[str, int]]]
    funnels: dict[str, list[tuple[str, int]]]
    unique_funnels: dict[str, list[tuple[str, int]]]

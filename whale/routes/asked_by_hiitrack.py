"""What HiiTrack's clients send to their addresses, and what they are answered. Each type describes itself to OpenAPI."""

from typing import Annotated

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

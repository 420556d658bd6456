"""Hail's HTTP API as OpenAPI 3.1, and the parts that Whale's shares: the hit, the refusal.

A hit is checked by hit.parse_hit, by hand, for speed; HitGiven is the same form as a msgspec type.
"""

import re
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hail import __version__, access
from hail.tracking import plausible, segment, wire

SEALED = "A GET may send `pixel` instead of pk, dimensions and metrics: a token that `hailwhale pixel` printed."

CALLBACK = (
    "JavaScript name, or up to five names joined by dots. The script calls it with the outcome, such as "
    "`accepted` or `dropped; reason=bad_pk`. Omit for a comment."
)

FORMS = "Epoch seconds, milliseconds or microseconds (recognised by size), YYYYMMDD, or ISO 8601"
TIME = f"{FORMS}. A time without an offset is UTC. Default: now."

Name = str | int | float | bool
Names = Annotated[
    Name | list[Any] | dict[str, Any],
    Meta(
        description="A name, a list of names (one path, also inside an object), a list of lists (several paths), or a nested object."
    ),
]
Amounts = Annotated[
    dict[str, Any] | list[Name] | str,
    Meta(
        description='An object of name: number, name: "is_unique", or name: a kind and its value such as {"max": 5}; or names, '
        "which count 1 each. `hits` counts 1 if omitted. A null is ignored."
    ),
]


class HitGiven(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One hit in a JSON body."""

    pk: Annotated[
        Name | list[Name],
        Meta(description="The thing to count: a name, or a list of names. Each prefix of a list counts too."),
    ]
    dimensions: Names | None = None
    dimension: Names | None = None
    metrics: Amounts | None = None
    metric: Amounts | None = None
    at: Annotated[int | float | str, Meta(description=TIME)] | None = None
    id: Annotated[Name, Meta(description="Id of the hit. Hits with the same id count once.")] | None = None
    visitor: Name | None = None
    event: Name | None = None
    properties: (
        Annotated[
            dict[str, Any],
            Meta(
                description="Name: value, of any JSON type. They are the visitor's, or the event's where the site lists them so. "
                "A null is ignored."
            ),
        ]
        | None
    ) = None
    basis: Annotated[Literal["daily"], Meta(description="`daily`: the visitor has this id for a day alone.")] | None = (
        None
    )


class OutcomeGiven(HitGiven, kw_only=True, omit_defaults=True):
    """The outcome of a decision in a JSON body: a hit of one of its options."""

    option: Annotated[Name, Meta(description="Option that the visitor saw.")]
    decision: Annotated[Name, Meta(description="Name of the decision. Default: the pk.")] | None = None


class HitAsked(msgspec.Struct, kw_only=True):
    """One hit in a query or a form. Values are text. Text that opens with a bracket is JSON or a Python literal."""

    pk: Annotated[str, Meta(description="The thing to count: a name, or a list of names.", examples=["shop"])]
    dimensions: Annotated[
        str,
        Meta(
            description="A name, a list of names (one path), a list of lists (several paths), or an object. Omit, or send "
            "`_`, for the root."
        ),
    ] = ""
    dimension: Annotated[str, Meta(description="Same as `dimensions`.")] = ""
    metrics: Annotated[str, Meta(description="{name: number}, or a list of names, which count 1 each.")] = ""
    metric: Annotated[str, Meta(description="Same as `metrics`.")] = ""
    at: Annotated[str, Meta(description=TIME)] = ""
    id: Annotated[str, Meta(description="Id of the hit. Hits with the same id count once.")] = ""
    visitor: str = ""
    event: str = ""
    properties: Annotated[str, Meta(description="{name: value}, of any JSON type.")] = ""
    basis: Annotated[str, Meta(description="`daily`: the visitor has this id for a day alone.")] = ""


class OutcomeAsked(HitAsked, kw_only=True):
    """The outcome of a decision in a query or a form."""

    option: Annotated[str, Meta(description="Option that the visitor saw.", examples=["b"])]
    decision: Annotated[str, Meta(description="Name of the decision. Default: the pk.")] = ""


class JoiningGiven(msgspec.Struct, kw_only=True):
    """That two ids of a site are one visitor's, in a JSON body."""

    pk: Annotated[Name, Meta(description="The site.")]
    anonymous: Annotated[Name, Meta(description="The id until now, as of a cookie.")]
    known: Annotated[Name, Meta(description="The id of the visitor who is known now.")]


class EventAsked(msgspec.Struct, kw_only=True):
    """An event of HiiTrack's clients, in the address or in the body."""

    visitor_id: Annotated[
        str, Meta(description="Id of the visitor. Default: the cookie `v`, or a new visitor who gets one.")
    ] = ""
    request_id: Annotated[str, Meta(description="Comes back in the answer. At most 200 letters.")] = ""
    callback: Annotated[
        str, Meta(description="JavaScript name that the answer calls. The key then stands in the address.")
    ] = ""


class EventsAsked(EventAsked, kw_only=True):
    """Several events of one visitor, in the address."""

    message: Annotated[str, Meta(description="Base64 of the JSON `[[event, ...], [[property, value], ...]]`.")]


class PropertyAsked(EventAsked, kw_only=True):
    """A value of a property of a visitor, in the address or in the body."""

    value: Annotated[str, Meta(description="Base64 of JSON of any type.")]


class EventTaken(msgspec.Struct, kw_only=True, omit_defaults=True):
    """visitor_id: null where nobody is known, and a cookie would not come back."""

    visitor_id: str | None
    request_id: str = ""


class PushAt(msgspec.Struct):
    """url, token, expires: null where `why` says that there is none.  why: `anonymous`, `no_live` or `no_sites`."""

    url: str | None
    token: str | None
    expires: int | None
    why: str | None


class Tracked(msgspec.Struct, kw_only=True):
    """Some hits of the tracker. refused: of each that was wrong, code, detail and field."""

    accepted: int
    refused: list[dict[str, Any]] = []


class Called(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Calls of Segment were accepted. refused: of each that was wrong, code, detail and field."""

    success: bool
    refused: list[dict[str, Any]] = []


class Problem(msgspec.Struct, kw_only=True):
    """RFC 9457: the reason why a request was refused. code: for programs. field: the parameter to correct."""

    type: str
    title: str
    status: int
    detail: str
    code: str = ""
    field: str = ""


def schema_of(kind: Any) -> dict[str, Any]:
    """A JSON schema with no reference in it."""
    schema, parts = msgspec.json.schema_components([kind], ref_template="#/{name}")
    found: dict[str, Any] = _inlined(schema[0], parts)
    return found


def _inlined(part: Any, parts: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_inlined(each, parts) for each in part]
    if not isinstance(part, dict):
        return part
    if isinstance(part.get("$ref"), str):
        return _inlined(parts[part["$ref"].removeprefix("#/")], parts)
    return {name: _inlined(each, parts) for name, each in part.items()}


def parameters(kind: type[msgspec.Struct], **more: str) -> list[dict[str, Any]]:
    """The fields of a type as query parameters."""
    schema = schema_of(kind)
    found = []
    for name, field in schema["properties"].items():
        said = {key: value for key, value in field.items() if key not in ("description", "default", "examples")}
        about = {"description": field["description"]} if "description" in field else {}
        row = {"name": name, "in": "query", "required": name in schema.get("required", ()), **about, "schema": said}
        if examples := field.get("examples"):
            row["examples"] = {str(text): {"value": text} for text in examples}
        found.append(row)
    for name, description in more.items():
        found.append(
            {"name": name, "in": "query", "required": False, "description": description, "schema": {"type": "string"}}
        )
    return found


def answer(description: str, kind: Any = None, content_type: str = "application/json") -> dict[str, Any]:
    """One response."""
    schema = {"type": "string"} if kind is None else schema_of(kind)
    return {"description": description, "content": {content_type: {"schema": schema}}}


REFUSALS = {
    400: "The request is wrong. `field` names the parameter to correct.",
    401: "The route requires a key, of an account or of the settings: as a Bearer token, as the Basic password, or as the "
    "parameter `key`. A key that is unknown, revoked or expired, or of another scope, opens nothing.",
    403: "No key is set and the request came from another machine; or the page of another site may not use this route; or "
    "the key is for one site and the request is about something else.",
    404: "Not found.",
    409: "Someone else changed it first. `current` shows the present state.",
    413: "The body is too large.",
    429: "Too many wrong passwords, or too many new users. Retry-After names the seconds to wait.",
    503: "Temporarily unavailable. Retry-After names the seconds to wait. An `unconfirmed` hit may have been counted: resend "
    "it with the same id.",
}


def common(*statuses: int) -> dict[str, Any]:
    """The refusals, RFC 9457; 403 may answer every route."""
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(status): {"description": REFUSALS[status], "content": problem} for status in sorted({*statuses, 403})}


def hit_operations(
    name: str,
    summary: str,
    said: str,
    statuses: tuple[int, int],
    uid: bool = False,
    given: type[msgspec.Struct] = HitGiven,
    asked: type[msgspec.Struct] = HitAsked,
    **more: str,
) -> dict[str, Any]:
    """GET and POST of a route that takes one hit. statuses: of GET and of POST.  given, asked: as JSON, as a form or a query."""
    if uid:
        more = {"uid": "Id of the visitor. Default: the id in the cookie, or a new one.", **more}
    body = {
        "required": False,
        "content": {
            "application/json": {"schema": schema_of(given)},
            "application/x-www-form-urlencoded": {"schema": schema_of(asked)},
        },
    }
    got, posted = statuses
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "parameters": parameters(asked, **more),
            "responses": {str(got): answer(said, None, "text/plain"), **common(400, 401, 503)},
        },
        "post": {
            "operationId": f"{name}_posted",
            "summary": summary,
            "requestBody": body,
            "responses": {
                str(posted): answer(said, None, "text/plain"),
                **common(400, 401, 413, 503),
            },
        },
    }


def outcome_operations(statuses: tuple[int, int]) -> dict[str, Any]:
    """GET and POST of /count_decision."""
    summary = "Count the outcome of a decision: a hit of the option that the visitor saw."
    return hit_operations("count_decision", summary, "OK", statuses, given=OutcomeGiven, asked=OutcomeAsked)


COOKIE = {
    "headers": {
        "Set-Cookie": {
            "description": "`v`: the id of a new visitor, where the hit of a site has an event or properties and no visitor.",
            "schema": {"type": "string"},
        }
    }
}

KEYS: dict[str, dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key."},
    "basic": {"type": "http", "scheme": "basic", "description": "A key as the password, with any name."},
    "address": {"type": "apiKey", "in": "query", "name": "key", "description": "A key, for images and scripts."},
}
"""Ways to show a key."""


def components(**more: dict[str, Any]) -> dict[str, Any]:
    """What all paths share. more: ways to show a key beside the usual ones."""
    return {"schemas": {"Problem": schema_of(Problem)}, "securitySchemes": {**KEYS, **more}}


def secured(paths: dict[str, Any], *ways: str) -> dict[str, Any]:
    """The same paths, each operation with the ways to show the key that it needs, as the table of rights has it."""
    keys = {
        (re.sub(r"<(\w+)(:\w+)?>", r"{\1}", right.rule), method): right.key
        for right in access.RIGHTS
        for method in right.methods
    }
    for path, operations in paths.items():
        for method, operation in operations.items():
            needed = keys[path, method.upper()]
            operation["security"] = [] if needed is None else [{way: []} for way in ways]
    return paths


WORD = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def _hiitrack() -> dict[str, Any]:
    """HiiTrack's events, by the queue."""
    user, bucket, name = (
        {"name": each, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}
        for each, pattern in (("user", WORD), ("bucket", WORD), ("name", "^.+$"))
    )
    taken = answer("It is durable.", EventTaken) | COOKIE
    taken["content"] |= answer("", None, "text/javascript")["content"]
    refused = common(400, 401, 404, 413, 503)
    kinds = ("application/json", "application/x-www-form-urlencoded")

    def sent(
        id_: str, summary: str = "Accept an event of a visitor.", asked: type[msgspec.Struct] = EventAsked, *more: Any
    ) -> dict[str, Any]:
        return {
            "operationId": id_,
            "summary": summary,
            "parameters": [user, bucket, name, *more],
            "requestBody": {"content": {kind: {"schema": schema_of(asked)} for kind in kinds}},
            "responses": {"202": taken, **refused},
        }

    def got(id_: str, summary: str, kind: type[msgspec.Struct], *places: Any) -> dict[str, Any]:
        said = {"parameters": [*places, *parameters(kind)], "responses": {"200": taken, **refused}}
        return {"operationId": id_, "summary": f"{summary} A script of a page may ask.", **said}

    both, of_property = (user, bucket), "Accept a value of a property of a visitor."
    value = {"name": "value", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^.+$"}}
    return {
        "/{user}/{bucket}/property/{name}": {
            "post": sent("hiitrack_property", of_property, PropertyAsked),
            "put": sent("hiitrack_put_property", of_property, PropertyAsked),
        },
        "/{user}/{bucket}/property/{name}/jsonp": {
            "get": got("hiitrack_property_by_script", of_property, PropertyAsked, *both, name)
        },
        "/{user}/{bucket}/property/{name}/{value}": {
            "put": sent("hiitrack_put_text", "Accept a text as the value of a property.", EventAsked, value)
        },
        "/{user}/{bucket}/property/{name}/{value}/jsonp": {
            "get": got("hiitrack_text_by_script", of_property, EventAsked, *both, name, value)
        },
        "/{user}/{bucket}/event/{name}": {"post": sent("hiitrack_event"), "put": sent("hiitrack_put_event")},
        "/{user}/{bucket}/event/{name}/jsonp": {
            "get": got("hiitrack_event_by_script", "Accept an event of a visitor.", EventAsked, *both, name)
        },
        "/{user}/{bucket}/batch": {
            "get": got("hiitrack_batch", "Accept several events of a visitor.", EventsAsked, *both)
        },
    }


def _track() -> dict[str, Any]:
    """Hits of the browser tracker."""
    sent = schema_of(wire.Sent)
    sent["properties"]["hits"]["items"] = schema_of(wire.Tracked)
    schema = {"schema": sent}
    names = (
        ("config_account", "Name of the account."),
        ("site", "The site. Default: `hostname`."),
        ("hostname", "Host of the page."),
        ("path", "Path of the page."),
        ("trackr_event_type", "Type of the event, such as `trackr_pageloaded_event`."),
        ("event_id", "Id of the hit."),
        ("hit", "JSON of a hit as `/track` takes it, in place of all others but `account`, `site` and `sent_at`."),
    )
    asked = [
        {"name": name, "in": "query", "required": False, "description": said, "schema": {"type": "string"}}
        for name, said in names
    ]
    script = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}, "example": "trackr.js"}
    token = {"schema": schema_of(wire.TokenAsked)}
    return {
        "/js/{name}": {
            "get": {
                "operationId": "tracker_script",
                "summary": "The script of the tracker for pages: trackr.js, trackr.core.js, trackr.push.js, or each under its hash.",
                "parameters": [script],
                "responses": {"200": answer("The script.", None, "text/javascript"), **common(404)},
            }
        },
        "/track/it": {
            "get": {
                "operationId": "track_it",
                "summary": "Accept one hit of Aktivat's tracker and answer an image in every case. X-Hail names the outcome.",
                "parameters": asked,
                "responses": {"200": answer("A transparent pixel.", None, "image/gif"), **common(401)},
            }
        },
        "/push_token": {
            "post": {
                "operationId": "push_token",
                "summary": "Give a page the token by which it hears messages to its visitor.",
                "requestBody": {"required": True, "content": {"text/plain": token, "application/json": token}},
                "responses": {"200": answer("Where to listen, and until when.", PushAt), **common(400, 413, 503)},
            }
        },
        "/track": {
            "post": {
                "operationId": "track",
                "summary": "Accept hits of the browser tracker, from pages that their site lists. X-Hail names the outcome.",
                "requestBody": {"required": True, "content": {"text/plain": schema, "application/json": schema}},
                "responses": {
                    "202": answer("They are durable, but for those in `refused`.", Tracked),
                    **common(400, 401, 413, 503),
                },
            }
        },
    }


def _clients() -> dict[str, Any]:
    """Calls of Segment's libraries, and events of Plausible's trackers."""
    words = [*segment.BATCHES, *segment.CALLS]
    call = {"name": "call", "in": "path", "required": True, "schema": {"type": "string", "enum": words}}
    batch = schema_of(segment.Batch)
    batch["properties"]["batch"] = {"type": "array", "minItems": 1, "items": schema_of(segment.Call)}
    body = {"schema": {"anyOf": [{**batch, "required": ["batch"]}, schema_of(segment.Call)]}}
    event = {"schema": schema_of(plausible.Event)}
    user = {"name": "user", "in": "path", "required": True, "schema": {"type": "string", "pattern": WORD}}

    def accepted(id_: str, *places: Any) -> dict[str, Any]:
        return {
            "operationId": id_,
            "summary": "Accept an event of Plausible's trackers, from pages that its site lists. X-Hail names the outcome.",
            "parameters": [*places],
            "requestBody": {"required": True, "content": {"text/plain": event, "application/json": event}},
            "responses": {"202": answer("ok", None, "text/plain"), **common(400, 401, 413, 503)},
        }

    return {
        "/v1/{call}": {
            "post": {
                "operationId": "segment",
                "summary": "Accept calls of Segment's libraries: many in a `batch`, or one. X-Hail names the outcome.",
                "parameters": [call],
                "requestBody": {"required": True, "content": {"application/json": body, "text/plain": body}},
                "responses": {
                    "200": answer("They are durable, but for those in `refused`.", Called),
                    **common(400, 401, 413, 503),
                },
            }
        },
        "/api/event": {"post": accepted("plausible")},
        "/{user}/api/event": {"post": accepted("plausible_of_account", user)},
    }


@cache
def document() -> dict[str, Any]:
    """The whole description, as JSON holds it."""
    count = hit_operations("count", f"Accept one hit. After a 2xx answer it is durable. {SEALED}", "OK", (200, 202))
    count["get"]["responses"]["200"] |= COOKIE
    query = parameters(HitAsked)
    batch = {
        "type": "object",
        "properties": {"hits": {"type": "array", "items": schema_of(HitGiven)}},
        "required": ["hits"],
    }
    paths = {
        "/count": count,
        "/count_decision": outcome_operations((200, 202)),
        "/count.gif": {
            "get": {
                "operationId": "pixel",
                "summary": f"Accept one hit and answer an image in every case. X-Hail names the outcome. {SEALED}",
                "parameters": query,
                "responses": {"200": answer("A transparent pixel.", None, "image/gif") | COOKIE, **common(401)},
            }
        },
        "/count.js": {
            "get": {
                "operationId": "script",
                "summary": f"Accept one hit and answer a script in every case. X-Hail names the outcome. {SEALED}",
                "parameters": parameters(HitAsked, callback=CALLBACK),
                "responses": {"200": answer("A script.", None, "text/javascript") | COOKIE, **common(401)},
            }
        },
        "/identify": {
            "post": {
                "operationId": "identify",
                "summary": "Accept that two ids of a site are one visitor's. A worker joins them.",
                "requestBody": {"required": True, "content": {"application/json": {"schema": schema_of(JoiningGiven)}}},
                "responses": {"202": answer("OK", None, "text/plain"), **common(400, 401, 413, 503)},
            }
        },
        "/batch": {
            "post": {
                "operationId": "batch",
                "summary": "Accept many hits, with one answer for each.",
                "requestBody": {"required": True, "content": {"application/json": {"schema": batch}}},
                "responses": {
                    "202": answer("One answer for each hit, in order.", Any),
                    **common(400, 401, 413, 503),
                },
            }
        },
    }
    paths |= _hiitrack() | _track() | _clients()
    return {
        "openapi": "3.1.0",
        "info": {"title": "HailWhale: Hail", "version": __version__, "license": {"name": "MIT"}},
        "paths": secured(paths, *KEYS),
        "components": components(),
    }

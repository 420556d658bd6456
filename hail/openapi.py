"""Hail's HTTP API as OpenAPI 3.1, and the parts that Whale's shares: the hit, the refusal.

A hit is checked by hit.parse_hit, by hand, for speed; HitGiven is the same form as a msgspec type.
"""

from functools import cache
from importlib.metadata import version
from typing import Annotated, Any

import msgspec
from msgspec import Meta

SEALED = "By GET `pixel` may say what is counted, in place of pk, dimensions and metrics: a token of `hailwhale pixel`."

FORMS = "Epoch seconds, milliseconds or microseconds, told apart by size; YYYYMMDD; or ISO 8601"
TIME = f"{FORMS} (without an offset: UTC); default: now."

Name = str | int | float | bool
Names = Annotated[
    Name | list[Any] | dict[str, Any],
    Meta(
        description="A name, a list of names (one path, also below an object), a list of lists (several), or a nested object."
    ),
]
Amounts = Annotated[
    dict[str, Any] | list[Name] | str,
    Meta(
        description='name: number, "is_unique", or a kind and its value as {"max": 5}; or names that count 1 each. hits: 1 is '
        "added unless it is given. A null is left out."
    ),
]


class HitGiven(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One hit, as a JSON body holds it."""

    pk: Annotated[Name | list[Name], Meta(description="What is counted; each prefix of a list counts too.")]
    dimensions: Names | None = None
    dimension: Names | None = None
    metrics: Amounts | None = None
    metric: Amounts | None = None
    at: Annotated[int | float | str, Meta(description=TIME)] | None = None
    id: Annotated[Name, Meta(description="Counts once, however often it comes.")] | None = None
    visitor: Name | None = None
    event: Name | None = None


class OutcomeGiven(HitGiven, kw_only=True, omit_defaults=True):
    """The outcome of a decision: a hit of one of its options."""

    option: Annotated[Name, Meta(description="The option that was shown.")]
    decision: Annotated[Name, Meta(description="The decision's name; default: the pk is its name.")] | None = None


class HitAsked(msgspec.Struct, kw_only=True):
    """One hit, as a query or a form holds it: text; JSON, or Python-like, where it opens with a bracket."""

    pk: Annotated[str, Meta(description="What is counted: a name, or a list.", examples=["shop"])]
    dimensions: Annotated[
        str,
        Meta(
            description="A name, a list of names (one path), a list of lists (several), or an object. Empty or `_`: the root."
        ),
    ] = ""
    dimension: Annotated[str, Meta(description="The same as dimensions.")] = ""
    metrics: Annotated[str, Meta(description="{name: number}, or names.")] = ""
    metric: Annotated[str, Meta(description="The same as metrics.")] = ""
    at: Annotated[str, Meta(description=TIME)] = ""
    id: Annotated[str, Meta(description="Counts once, however often it comes.")] = ""
    visitor: str = ""
    event: str = ""


class OutcomeAsked(HitAsked, kw_only=True):
    """The same, as a query or a form holds it."""

    option: Annotated[str, Meta(description="The option that was shown.", examples=["b"])]
    decision: Annotated[str, Meta(description="The decision's name; default: the pk is its name.")] = ""


class Problem(msgspec.Struct, kw_only=True):
    """RFC 9457: why a request was refused. code: a word for programs; field: the parameter to mend."""

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
    400: "The caller must mend what it asked; `field` says what.",
    401: "A key is needed: Bearer, the password of Basic, or the parameter key.",
    403: "No key is set, and this did not come from this machine; or a page of another site may not do this.",
    404: "What was named is not there.",
    409: "Somebody else changed it first; `current` is what is there.",
    413: "The body is too large.",
    503: "Not now: Retry-After says when to try again. A hit that is `unconfirmed` may be counted: send it with its id.",
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
        more = {"uid": "Who the visitor is; default: the cookie's, else someone new.", **more}
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
    summary = "Takes the outcome of a decision: a hit of the option that was shown."
    return hit_operations("count_decision", summary, "OK", statuses, given=OutcomeGiven, asked=OutcomeAsked)


@cache
def document() -> dict[str, Any]:
    """The whole description, as JSON holds it."""
    count = hit_operations("count", f"Takes one hit; 2xx: it is durable. {SEALED}", "OK", (200, 202))
    query = parameters(HitAsked)
    batch = {
        "type": "object",
        "properties": {"hits": {"type": "array", "items": schema_of(HitGiven)}},
        "required": ["hits"],
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "HailWhale: Hail", "version": version("hailwhale"), "license": {"name": "MIT"}},
        "paths": {
            "/count": count,
            "/count_decision": outcome_operations((200, 202)),
            "/count.gif": {
                "get": {
                    "operationId": "pixel",
                    "summary": f"Takes one hit, answers an image whatever happens; X-Hail says what did. {SEALED}",
                    "parameters": query,
                    "responses": {"200": answer("A transparent pixel.", None, "image/gif"), **common(401)},
                }
            },
            "/batch": {
                "post": {
                    "operationId": "batch",
                    "summary": "Takes many hits: an answer for each.",
                    "requestBody": {"required": True, "content": {"application/json": {"schema": batch}}},
                    "responses": {"202": answer("One answer a hit.", Any), **common(400, 401, 413, 503)},
                }
            },
        },
        "components": {"schemas": {"Problem": schema_of(Problem)}},
    }

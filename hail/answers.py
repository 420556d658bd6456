"""What Hail answers over HTTP: text, JSON, and RFC 9457 bodies whose `code` is a word of hail.hit.Reason."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from hail.accept import Refused
from hail.access import ALLOW_ORIGIN, EXPOSE
from hail.hit import Reason

STATUS = {
    Reason.UNAUTHORIZED: 401,
    Reason.KEYLESS: 403,
    Reason.FOREIGN_ORIGIN: 403,
    Reason.OTHER_SITE: 403,
    Reason.NO_DIRECTORY: 503,
    Reason.BODY_TOO_LARGE: 413,
    Reason.BATCH_TOO_LARGE: 413,
    Reason.OVERLOADED: 503,
    Reason.SPOOL_FULL: 503,
    Reason.UNCONFIRMED: 503,
}
EXPOSED = {EXPOSE: "X-Hail, Retry-After"}
CORS = {ALLOW_ORIGIN: "*", **EXPOSED}
"""Of what counts: a tracker reads the answer on any page."""


class HttpAnswer(NamedTuple):
    """status: of the first line, with its words."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def answer(status: int, body: bytes | str, content_type: str, headers: Mapping[str, str]) -> HttpAnswer:
    data = body.encode() if isinstance(body, str) else body
    line = f"{status} {HTTPStatus(status).phrase}"
    return HttpAnswer(
        line, [*headers.items(), ("Content-Type", content_type), ("Content-Length", str(len(data)))], data
    )


def text_answer(status: int, body: str, headers: Mapping[str, str]) -> HttpAnswer:
    return answer(status, body, "text/plain; charset=utf-8", headers)


def json_answer(status: int, body: Any, headers: Mapping[str, str], kind: str = "json") -> HttpAnswer:
    return answer(status, msgspec.json.encode(body), f"application/{kind}", headers)


def problem(reason: Reason, detail: str, field: str | None = None) -> dict[str, Any]:
    """An RFC 9457 body."""
    body = {
        "type": f"urn:hailwhale:{reason}",
        "title": reason.replace("_", " "),
        "status": STATUS.get(reason, 400),
        "detail": detail,
        "code": str(reason),
    }
    return {**body, "field": field} if field else body


def refusal(error: Refused, more: Mapping[str, Any] | None = None) -> HttpAnswer:
    """more: fields of its body, for clients that read others."""
    headers = dict(CORS)
    if error.retry_after_s:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.reason is Reason.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer, Basic realm="hail"'
    body = {**problem(error.reason, error.detail, error.field), **(more or {})}
    return json_answer(body["status"], body, headers, "problem+json")


OK = text_answer(200, "OK", {**CORS, "Cache-Control": "no-store"})
ACCEPTED = text_answer(202, "OK", CORS)

"""What Whale answers over HTTP: JSON, text, and RFC 9457 problems."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import bottle
import msgspec
from prometheus_client import Counter

from hail.access import EXPOSE
from hail.settings import SettingsError
from whale.answer.sheets import FORMATS, Sheet
from whale.errors import Busy, Refused, SetupError, Unavailable

log = logging.getLogger("whale.web")

# to pages that may read an answer at all, which the door says
EXPOSED = {
    EXPOSE: "Retry-After, ETag, X-Whale-As-Of, X-Whale-Complete, X-Whale-Range, X-Whale-Estimated, "
    "X-Whale-Overflow, X-Whale-Unknown, X-Whale-More, X-Adjusted",
}
PRIVATE = {"Cache-Control": "no-store"}
"""Of answers about visitors: nobody keeps them."""
CHALLENGES = ("Bearer", 'Basic realm="whale"')
"""Ways to give a key. Each in a header of its own: Chromium asks nobody for a password where one header has both."""
REFUSED = Counter("hailwhale_questions_refused", "Questions that were not answered, by code", ["code"])


class Problem(Exception):
    """Ends a request with an RFC 9457 body."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        field: str = "",
        headers: Mapping[str, str] | None = None,
        current: Any = None,
        near: Sequence[str] | None = None,
    ):
        super().__init__(detail)
        self.status, self.code, self.field, self.headers = status, code, field, headers or {}
        self.current, self.near = current, near

    def response(self) -> Any:
        REFUSED.labels(self.code).inc()
        body: dict[str, Any] = {
            "type": f"urn:hailwhale:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.status,
            "detail": str(self),
            "code": self.code,
        }
        if self.field:
            body["field"] = self.field
        if self.current is not None:
            body["current"] = self.current
        if self.near is not None:
            body["near"] = self.near
        answer = json_answer(body, self.status, self.headers, "application/problem+json")
        for challenge in challenges_for(bottle.request.environ) if self.status == 401 else ():
            answer.add_header("WWW-Authenticate", challenge)
        return answer


def challenges_for(environ: Mapping[str, Any]) -> Sequence[str]:
    """Ways to come in. A script of a page is not told of Basic: its browser would ask for a password in a dialog of its own, and the script
    would wait for that.
    """
    by_script = environ.get("HTTP_SEC_FETCH_DEST") == "empty"
    return [each for each in CHALLENGES if not (by_script and each.startswith("Basic"))]


def json_answer(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None, content_type: str = "application/json"
) -> Any:
    more = {**EXPOSED, "Cache-Control": "no-cache", "Content-Type": content_type, **(headers or {})}
    return bottle.HTTPResponse(msgspec.json.encode(body), status, more)


def text_answer(body: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
    more = {"Cache-Control": "no-store", "Content-Type": "text/plain; charset=utf-8", **(headers or {})}
    return bottle.HTTPResponse(body, status, more)


def sheet_answer(sheet: Sheet, form: str, headers: Mapping[str, str]) -> Any:
    """A table. form: of FORMATS."""
    more = {**EXPOSED, "Cache-Control": "no-cache", "Content-Type": FORMATS[form], **headers}
    return bottle.HTTPResponse(sheet.written(form), 200, more | (as_file() if form == "csv" else {}))


def as_file() -> dict[str, str]:
    """A CSV is saved under the name of its route."""
    name = bottle.request.environ["PATH_INFO"].rpartition("/")[2]
    return {"Content-Disposition": f'attachment; filename="{name}.csv"'}


def unavailable(error: Unavailable | SetupError | SettingsError) -> Problem:
    if isinstance(error, Busy):  # nothing is wrong, and a line for each would help whoever sends too many
        return Problem(503, "unavailable", str(error), headers={"Retry-After": str(error.after_s)})
    log.warning("%s", error)
    return Problem(503, "unavailable", said_of(error), headers={"Retry-After": "1"})


def said_of(error: Exception) -> str:
    """What anybody may know of it: no address of a server."""
    if isinstance(error, Refused):
        return error.said
    if isinstance(error, SetupError | SettingsError):
        return str(error)
    return "the store cannot be reached: try again in a second"

"""What all routes of Whale share: keys, what a request gave, and what is answered where something is raised.

    request ── key ──> what is asked ──> the route ──> its answer; 304 where the asker has it already
                                             └─ raises ──> 400 | 401 | 404 | 409 | 413 | 503, as an RFC 9457 body

The methods of Door are about the request that is being answered, which Bottle keeps for each thread.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import bottle
import msgspec
from prometheus_client import Histogram

from hail import access
from hail.hit import HitError, Reason
from hail.settings import Settings
from whale.definition import Definition, decision_shown
from whale.errors import CallerError, Conflict, NotFound, Unavailable
from whale.parameters import A, about_asked, asked_of, body_of, hit_given, query_of
from whale.responses import CORS, Problem, text_answer, unavailable

ASKED = "hailwhale.asked"
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-None-Match, X-API-Key",
    "Access-Control-Max-Age": "86400",
}
ANSWER_SECONDS = Histogram("hailwhale_answer_seconds", "Time of an answer, by route", ["route"])


class Door:
    """In front of every route. locked: whether anything asks for a key. For many threads."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.locked = any(getattr(settings, name.lower()) for name in access.KEYS)

    def answering(
        self, key: str | None, answer: Callable[..., Any], kind: type[msgspec.Struct] | None = None
    ) -> Callable[..., Any]:
        """A route, timed under the name of what answers.

        key: that it asks for, `read`, `write` or `admin`.  kind: of a question, which is handed to what answers.
        """
        seconds = ANSWER_SECONDS.labels(answer.__name__)

        def answered(**named: str) -> Any:
            try:
                with seconds.time():
                    if key:
                        self.check_key(key)
                    question = (self.asked(kind),) if kind else ()
                    found = answer(*question, **named)
            except (Problem, CallerError, HitError, Unavailable) as error:
                return problem_of(error).response()
            tag = found.headers.get("ETag")
            if tag and tag in bottle.request.environ.get("HTTP_IF_NONE_MATCH", ""):
                found.status, found.body = 304, ""
            return found

        return answered

    def check_key(self, door: str) -> None:
        """Raises Problem 401 where the request has no key that opens this door."""
        if not self.locked:
            return
        environ = bottle.request.environ
        parameter = dict(parse_qsl(environ.get("QUERY_STRING", ""), errors="replace")).get("key")
        parameter = parameter or environ.get("HTTP_X_API_KEY")
        key = access.given_key(environ.get("HTTP_AUTHORIZATION", ""), parameter)
        if not access.allowed(self.settings, key, door):
            asks = {"WWW-Authenticate": 'Bearer, Basic realm="whale"'}
            expected = f"expected the {door} key, as Bearer, Basic password or key="
            raise Problem(401, Reason.UNAUTHORIZED, expected, headers=asks)

    def check_site(self) -> None:
        """Where nothing asks for a key, a page of another site must not change what is here. Raises Problem 401."""
        if not self.locked and bottle.request.environ.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site"):
            raise Problem(401, Reason.UNAUTHORIZED, "pages of other sites need the admin key, which is not set")

    def asked(self, kind: type[A]) -> A:
        """The question of the request; raises CallerError, HitError, Problem."""
        environ = bottle.request.environ
        asked = environ[ASKED] = asked_of(query_of(environ, self.settings.max_body_bytes), kind)
        return asked

    def given(self, *more: str) -> dict[str, Any]:
        """The fields of the hit in the request. more: names beside a hit's.  Raises CallerError, HitError, Problem."""
        return hit_given(bottle.request.environ, self.settings.max_body_bytes, more)

    def body(self) -> bytes:
        """Raises HitError, Problem."""
        return body_of(bottle.request.environ, self.settings.max_body_bytes)


def problem_of(error: Problem | CallerError | HitError | Unavailable) -> Problem:
    """The answer that an error means."""
    match error:
        case Problem():
            return error
        case NotFound():
            return Problem(404, error.code, str(error), error.field)
        case Conflict():
            current = decision_shown(error.current) if isinstance(error.current, Definition) else None
            return Problem(409, error.code, str(error), error.field, current=current)
        case CallerError():
            about = about_asked(error, bottle.request.environ.get(ASKED))
            return Problem(400, about.code, str(about), about.field)
        case HitError():
            return Problem(400, error.reason, str(error), error.field)
        case Unavailable():
            return unavailable(error)


def preflight(**_: str) -> Any:
    """What a browser wants to know before a page of another site may ask."""
    return bottle.HTTPResponse("", 204, {**CORS, **PREFLIGHT})


def add_options_and_head(app: bottle.Bottle, rule: str) -> None:
    """OPTIONS and HEAD of a route that counts: Bottle would answer HEAD by GET, and count."""
    app.route(rule, "OPTIONS", preflight)
    app.route(rule, "HEAD", lambda: text_answer("", headers=CORS))

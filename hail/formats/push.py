"""The right to hear what is said to one visitor: a page that its site lists says who its visitor is, and gets a token for live.

    POST /push_token    {"account", "site", "v_visitor"}: 200, {"url", "token", "expires", "why"}

Promise: nothing is counted or kept. A browser that does not want to be followed gets no token, whatever the page says.
"""

from typing import Any

import msgspec
from prometheus_client import Counter

from hail.accept import RETRY_AFTER_S, Acceptor, Refused
from hail.access import Caller, Environ
from hail.answers import CORS, HttpAnswer, json_answer, refusal
from hail.body import read_body
from hail.formats.track import UNSETTLED, NotYet, Sender
from hail.hit import HitError, Reason
from hail.live import PUSH, TOKEN_S, Heard, is_drawn, live_origin, push_token
from hail.parameters import refuse_unknown
from hail.times import shown
from hail.tracking.wire import TokenAsked

MOST_BYTES = 4000
NOBODY = {"url": None, "token": None, "expires": None}
TOKENS = Counter("hailwhale_push_tokens", "Pages that asked for a token to hear what is said to a visitor", ["outcome"])


class PushTokens:
    """For many threads."""

    def __init__(self, acceptor: Acceptor):
        self._acceptor = acceptor
        self.routes = {("POST", "/push_token"): self.posted}

    def posted(self, caller: Caller, environ: Environ) -> HttpAnswer:
        try:
            found = self._token(caller, environ)
        except HitError as error:
            return self.refuse(Refused.by(error), environ)
        except Refused as error:
            return self.refuse(error, environ)
        TOKENS.labels(found["why"] or "given").inc()
        return json_answer(200, found, {**CORS, "Cache-Control": "no-store"})

    def refuse(self, error: Refused, environ: Environ) -> HttpAnswer:
        TOKENS.labels(str(error.reason)).inc()
        return refusal(error)

    def _token(self, caller: Caller, environ: Environ) -> dict[str, Any]:
        """Raises HitError, Refused."""
        acceptor = self._acceptor
        if query := environ.get("QUERY_STRING"):
            refuse_unknown(acceptor.parameters(query, ()).unknown, ())
        asked = _asked(read_body(environ, MOST_BYTES))
        if acceptor.directory is None:
            return {**NOBODY, "why": "no_sites"}
        sender = Sender(acceptor, caller, environ, asked.account, 0)
        named = asked.site if asked.site is not None else _host_of(environ.get("HTTP_ORIGIN", ""))
        try:
            site = sender.listed(named)
        except NotYet as error:
            raise Refused(Reason.NO_DIRECTORY, f"{error}: {UNSETTLED}", error.field, 0, RETRY_AFTER_S) from None
        if not is_drawn(asked.v_visitor):
            raise HitError(
                Reason.BAD_ID,
                "v_visitor",
                f"expected a random id, such as a UUID of version 4, got {shown(asked.v_visitor)}",
            )
        settings = acceptor.settings
        origin = live_origin(settings, environ.get("HTTP_HOST", ""))
        if sender.is_anonymous or not (origin and settings.internal_key):
            return {**NOBODY, "why": "anonymous" if sender.is_anonymous else "no_live"}
        now = acceptor.clock()
        token = push_token(settings, Heard(sender.caller.account, site.pk, asked.v_visitor), now)
        return {"url": origin + PUSH, "token": token, "expires": int(now) + TOKEN_S, "why": None}


def _asked(body: bytes) -> TokenAsked:
    try:
        return msgspec.json.decode(body, type=TokenAsked)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise HitError(Reason.BAD_JSON, "body", f"expected account, site and v_visitor as JSON: {error}") from None


def _host_of(origin: str) -> str:
    return origin.partition("://")[2].partition(":")[0].lower()

"""Events of Plausible's trackers: their `endpoint` is an address of this Hail.

    POST /ACCOUNT/api/event     202 ok
    POST /api/event             the same of the account `default`, or of that of a key

The site is the domain of the event; it must be open, and list the page, as for /track. Several domains, with commas, are several hits.

Promise: each domain is accepted, or refused by itself, which X-Hail says.
"""

from typing import Any

from hail.accept import Acceptor, Refused, came_of_body
from hail.access import Caller, Environ
from hail.answers import CORS, HttpAnswer, text_answer
from hail.body import read_body
from hail.formats.track import PARAMETERS, SAID, Sender, Told, Tracking, nothing_kept, refused_whole, said_of
from hail.hit import HitError, Parsed
from hail.parameters import refuse_unknown
from hail.tracking.plausible import domains_of, event_of, tracked_of_event


class Plausible:
    """For many threads."""

    def __init__(self, acceptor: Acceptor):
        self._acceptor, self._tracking = acceptor, Tracking(acceptor)
        self.routes = {("POST", "/api/event"): self.event, ("POST", "/<user:account>/api/event"): self.event}

    def event(self, caller: Caller, environ: Environ) -> HttpAnswer:
        try:
            told = self._event(caller, environ)
        except Refused as error:
            return refused_whole(error)
        if told.first and not told.accepted:
            return nothing_kept(told.first, {"refused": told.refused} if len(told.refused) > 1 else {})
        return text_answer(202, "ok", {**CORS, SAID: said_of(told)})

    def refuse(self, error: Refused, environ: Environ) -> HttpAnswer:
        return refused_whole(error)

    def _event(self, caller: Caller, environ: Environ) -> Told:
        acceptor, body = self._acceptor, b""
        try:
            try:
                _, unknown = acceptor.parameters(environ.get("QUERY_STRING", ""), PARAMETERS)
                refuse_unknown(unknown, PARAMETERS)
                body = read_body(environ, acceptor.settings.max_body_bytes)
                event = event_of(body)
                tracked, domains = tracked_of_event(event), domains_of(event)
            except HitError as error:
                raise Refused.by(error) from None
            now, named = acceptor.clock(), environ.get("route.url_args", {}).get("user")
            sender = Sender(acceptor, caller, environ, named, len(domains))
            around = self._tracking.around(sender, environ, None, now)

            def rows_of(domain: Any) -> list[Parsed]:
                return self._tracking.rows(sender, tracked, sender.site_of(domain), around, now)

            return self._tracking.keep(sender.caller, domains, rows_of)
        except Refused as error:
            acceptor.note(caller, error, *came_of_body(body))
            raise

"""That two ids of a site are one visitor's: POST /identify answers 202, and a worker joins them.

It travels as a hit that counts nothing, so it is as durable, and in the same books.
"""

from typing import Any

from hail.accept import Acceptor, Refused, came_of_body
from hail.access import Caller, Environ
from hail.answers import ACCEPTED, HttpAnswer, refusal
from hail.body import json_of, kind_of, read_body
from hail.formats.address import PARAMETERS
from hail.hit import HitError, Parsed, Reason, parse_joining, with_key
from hail.parameters import refuse_unknown


class Joining:
    def __init__(self, acceptor: Acceptor):
        self._acceptor = acceptor
        self.routes = {("POST", "/identify"): self.identify}

    def identify(self, caller: Caller, environ: Environ) -> HttpAnswer:
        acceptor, body = self._acceptor, b""
        try:
            try:
                _, unknown = acceptor.parameters(environ.get("QUERY_STRING", ""), PARAMETERS)
                acceptor.let_in(caller)
                refuse_unknown(unknown, ("key",))
                body = read_body(environ, acceptor.settings.max_body_bytes)
                row, cells, _ = acceptor.check(caller, self._parsed(body))
            except HitError as error:
                raise Refused.by(error) from None
            acceptor.keep(caller, acceptor.publisher.pack((with_key(row, caller.key, caller.hash), cells)))
        except Refused as error:
            acceptor.note(caller, error, *came_of_body(body))
            return refusal(error)
        return ACCEPTED

    def refuse(self, error: Refused, environ: Environ) -> HttpAnswer:
        return refusal(error)

    def _parsed(self, body: bytes) -> Parsed:
        given: Any = json_of(body, is_hit=True)
        if not isinstance(given, dict):
            raise HitError(
                Reason.BAD_JSON, "body", f"expected pk, anonymous and known as an object, got {kind_of(given)}"
            )
        if "site" in given and "pk" not in given:
            given["pk"] = given.pop("site")
        return parse_joining(given, self._acceptor.settings, self._acceptor.clock())

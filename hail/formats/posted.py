"""One hit in a body, JSON or a form: POST /count. One outcome of a decision, so or in the address: /count_decision.

A body that opens with a bracket is JSON, whatever its type says: curl calls all it sends a form. Without a body the address says the hit.
"""

from contextlib import suppress
from typing import Any

import msgspec

from hail.accept import Acceptor, Refused, came_of_body
from hail.access import Caller, Environ
from hail.answers import ACCEPTED, OK, HttpAnswer, refusal
from hail.body import is_json, json_of, kind_of, read_body
from hail.formats.address import PARAMETERS, ParseRow, hit_of
from hail.hit import DECIDED_FIELDS, FIELDS, HitError, Parsed, Reason, parse_decided_row, parse_row, with_key
from hail.parameters import refuse_unknown
from hail.settings import Settings
from hail.usual import UNUSUAL

OF_DECISION = PARAMETERS.union(DECIDED_FIELDS)


class Posted:
    def __init__(self, acceptor: Acceptor):
        self._acceptor = acceptor
        self.routes = {
            ("POST", "/count"): self.hit,
            ("GET", "/count_decision"): self.outcome,
            ("POST", "/count_decision"): self.outcome,
        }

    def hit(self, caller: Caller, environ: Environ) -> HttpAnswer:
        return self._answer(caller, environ, parse_row)

    def outcome(self, caller: Caller, environ: Environ) -> HttpAnswer:
        return self._answer(caller, environ, parse_decided_row)

    def refuse(self, error: Refused, environ: Environ) -> HttpAnswer:
        return refusal(error)

    def _answer(self, caller: Caller, environ: Environ, parse: ParseRow) -> HttpAnswer:
        try:
            self._count(caller, environ, parse)
        except Refused as error:
            return refusal(error)
        return ACCEPTED if environ["REQUEST_METHOD"] == "POST" else OK

    def _count(self, caller: Caller, environ: Environ, parse: ParseRow) -> None:
        acceptor, settings = self._acceptor, self._acceptor.settings
        names, expected = (PARAMETERS, FIELDS) if parse is parse_row else (OF_DECISION, (*FIELDS, *DECIDED_FIELDS))
        body, is_form = b"", False
        try:
            try:
                given, unknown = acceptor.parameters(environ.get("QUERY_STRING", ""), names)
                acceptor.let_in(caller, with_hits=parse is parse_row)
                refuse_unknown(unknown, expected)
                if environ["REQUEST_METHOD"] == "POST":
                    body = read_body(environ, settings.max_body_bytes)
                is_form = not is_json(environ, body)
                if not body:
                    found = hit_of(given, acceptor, acceptor.clock(), parse)
                elif is_form:
                    given, unknown = acceptor.parameters(body.decode("latin-1"), names)
                    refuse_unknown(unknown, expected)
                    found = hit_of(given, acceptor, acceptor.clock(), parse)
                else:
                    found = self._of_json(body, parse)
                acceptor.check(caller, found)
            except HitError as error:
                raise Refused.by(error) from None
            row, cells, is_ahead = found
            acceptor.keep(caller, acceptor.publisher.pack((with_key(row, caller.key, caller.hash), cells)), is_ahead)
        except Refused as error:
            if body and not is_form:
                acceptor.note(caller, error, *came_of_body(body))
            else:
                acceptor.note_query(caller, error, body.decode("latin-1") or environ.get("QUERY_STRING", ""))
            raise

    def _of_json(self, body: bytes, parse: ParseRow) -> Parsed:
        acceptor, now = self._acceptor, self._acceptor.clock()
        if parse is parse_row:
            with suppress(*UNUSUAL):
                return acceptor.usual.row(acceptor.usual.reading(body).one(body), now)
        return hit_of_json(body, acceptor.settings, now, parse)


def hit_of_json(body: bytes | msgspec.Raw, settings: Settings, now: float, parse: ParseRow = parse_row) -> Parsed:
    """A hit from a JSON object; raises HitError."""
    given: Any = json_of(body, is_hit=True)
    if not isinstance(given, dict):
        several = "; send a list of hits to /batch" if isinstance(given, list) and parse is parse_row else ""
        raise HitError(Reason.BAD_JSON, "body", f"expected a hit as an object, got {kind_of(given)}{several}")
    return parse(given, settings, now)

"""Events of HiiTrack's clients, by the queue. The address names the account and the bucket; the key must be one of the account.

    POST, PUT /USER/BUCKET/event/NAME        202     an event: `visitor_id`
    GET /USER/BUCKET/event/NAME/jsonp        200     the same by a script of a page
    POST, PUT /USER/BUCKET/property/NAME     202     a value of a property: `value`, base64 of JSON
    PUT /USER/BUCKET/property/NAME/VALUE     202     a text, as the rest of the address
    GET …/property/NAME[/VALUE]/jsonp        200     the same by a script of a page
    GET /USER/BUCKET/batch                   200     several events of one visitor, and properties: `message`

Whale answers the same addresses, and counts at once (whale/routes/hiitrack_events.py). Hail makes no bucket: an event of one that is
not there counts, and is logged once it is a site.

Promise: a batch is kept whole or not at all. Nobody is made up for a bucket that is no site, since nothing is logged of them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hail.accept import Acceptor, Refused
from hail.access import Caller, Environ
from hail.answers import CORS, HttpAnswer, answer, json_answer, refusal
from hail.body import is_json, json_of, kind_of, read_body
from hail.cookies import Told, is_cross_site, says_where
from hail.formats.address import with_cookie
from hail.hiitrack import batch_of, hit_of_event, hit_of_properties, json_in, sets_of
from hail.hit import HitError, Reason, name_of, parse_row, with_key
from hail.parameters import CALLBACK, refuse_unknown

BUCKET = "/<user:account>/<bucket:bucket>"
EVENT, BATCH = f"{BUCKET}/event/<name:name>", f"{BUCKET}/batch"
PROPERTY, VALUE = f"{BUCKET}/property/<name:word>", f"{BUCKET}/property/<name:word>/<value:name>"
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
BESIDE = ("visitor_id", "request_id", "callback", "key")
MOST_ID = 200
SCRIPT = {"X-Content-Type-Options": "nosniff"}
ENDS_OF_LINES = {0x2028: "\\u2028", 0x2029: "\\u2029"}  # no text of a script could hold them before 2019
OTHERS = "expected a key of the account whose name stands in the address"
OF_PROGRAM = "expected the id of a visitor, got nothing"
NOT_YET = "no directory of accounts has come from Whale yet, so nobody can say whose address this is; try again in 2 s"


class HiiTrack:
    """For many threads."""

    def __init__(self, acceptor: Acceptor):
        self._acceptor = acceptor
        self.routes = {
            ("GET", f"{EVENT}/jsonp"): self.event,
            ("POST", EVENT): self.event,
            ("PUT", EVENT): self.event,
            ("GET", f"{VALUE}/jsonp"): self.text_property,
            ("GET", f"{PROPERTY}/jsonp"): self.property,
            ("POST", PROPERTY): self.property,
            ("PUT", PROPERTY): self.property,
            ("PUT", VALUE): self.text_property,
            ("GET", BATCH): self.batch,
        }

    def event(self, caller: Caller, environ: Environ) -> HttpAnswer:
        return self._answer(caller, environ, BESIDE, self._event)

    def property(self, caller: Caller, environ: Environ) -> HttpAnswer:
        return self._answer(caller, environ, (*BESIDE, "value"), self._property)

    def text_property(self, caller: Caller, environ: Environ) -> HttpAnswer:
        return self._answer(caller, environ, BESIDE, self._property)

    def batch(self, caller: Caller, environ: Environ) -> HttpAnswer:
        return self._answer(caller, environ, (*BESIDE, "message"), self._batch)

    def refuse(self, error: Refused, environ: Environ) -> HttpAnswer:
        return refusal(error)

    def _event(self, caller: Caller, environ: Environ, given: Mapping[str, str]) -> Told:
        event = name_of(_place(environ, "name"), "event", self._acceptor.settings, Reason.BAD_ID)
        who, bucket = self._told(caller, environ, given), _place(environ, "bucket")
        self._keep(caller, [hit_of_event(bucket, event, who.visitor)])
        return who

    def _property(self, caller: Caller, environ: Environ, given: Mapping[str, str]) -> Told:
        """A text of the address, or any JSON in base64."""
        text = environ["route.url_args"].get("value")
        value = json_in(given.get("value", ""), "value") if text is None else text
        who, bucket = self._told(caller, environ, given), _place(environ, "bucket")
        if who.visitor is None:
            raise HitError(Reason.BAD_ID, "visitor_id", OF_PROGRAM)
        self._keep(caller, [hit_of_properties(bucket, {_place(environ, "name"): value}, who.visitor)])
        return who

    def _batch(self, caller: Caller, environ: Environ, given: Mapping[str, str]) -> Told:
        found, most = batch_of(given.get("message", "")), self._acceptor.settings.max_batch_hits
        sets = sets_of(found.properties)
        if not found.events and not sets:
            raise HitError(Reason.BAD_JSON, "message", "expected events or properties, got neither")
        if len(found.events) + len(sets) > most:
            raise HitError(Reason.BATCH_TOO_LARGE, "message", f"expected at most {most} events and properties")
        who, bucket = self._told(caller, environ, given), _place(environ, "bucket")
        if who.visitor is None and not found.events:
            raise HitError(Reason.BAD_ID, "visitor_id", OF_PROGRAM)
        first = [hit_of_properties(bucket, each, who.visitor) for each in sets if who.visitor is not None]
        self._keep(caller, [*first, *(hit_of_event(bucket, event, who.visitor) for event in found.events)])
        return who

    def _told(self, caller: Caller, environ: Environ, given: Mapping[str, str]) -> Told:
        """Who the visitor is; raises HitError where a program names nobody."""
        acceptor, bucket = self._acceptor, _place(environ, "bucket")
        if not NAME.fullmatch(bucket):
            raise HitError(Reason.BAD_PK, "bucket", f"expected {NAME.pattern}")
        said = given.get("visitor_id")
        named = None if said is None else name_of(said, "visitor_id", acceptor.settings, Reason.BAD_ID)
        who = Told(named)
        if acceptor.visits:
            who = acceptor.visits.told_at_bucket(caller.account, _place(environ, "user"), bucket, environ, named)
        by_page = environ["REQUEST_METHOD"] == "GET" or says_where(environ) or is_cross_site(environ)
        if who.visitor is None and not by_page:
            raise HitError(Reason.BAD_ID, "visitor_id", OF_PROGRAM)
        return who

    def _keep(self, caller: Caller, hits: Sequence[dict[str, Any]]) -> None:
        """All of them in one message; raises HitError, Refused."""
        acceptor, rows = self._acceptor, []
        now = acceptor.clock()
        for hit in hits:
            row, cells, _ = acceptor.check(caller, parse_row(hit, acceptor.settings, now))
            rows.append((with_key(row, caller.key, caller.hash), cells))
        acceptor.keep(caller, acceptor.publisher.pack(*rows))

    # what all share

    def _answer(self, caller: Caller, environ: Environ, names: Sequence[str], count: Any) -> HttpAnswer:
        given: dict[str, str] = {}
        try:
            try:
                given = self._fields(caller, environ, names)
                who = count(caller, environ, given)
            except HitError as error:
                raise Refused.by(error) from None
        except Refused as error:
            came = f"{environ['REQUEST_METHOD']} /{_place(environ, 'user')}/{_place(environ, 'bucket')}"
            self._acceptor.note(caller, error, came, given.get("visitor_id"))
            return refusal(error)
        body = {"visitor_id": who.visitor}
        if request_id := given.get("request_id"):
            body["request_id"] = request_id
        headers = {**CORS, "Cache-Control": "no-store"}
        if callback := given.get("callback"):
            text = f"/**/{callback}({msgspec.json.encode(body).decode().translate(ENDS_OF_LINES)});"
            found = answer(200, text, "text/javascript; charset=utf-8", {**headers, **SCRIPT})
        else:
            found = json_answer(200 if environ["REQUEST_METHOD"] == "GET" else 202, body, headers)
        return with_cookie(found, who.cookie)

    def _fields(self, caller: Caller, environ: Environ, names: Sequence[str]) -> dict[str, str]:
        """Those of the address and of the body, of somebody who may; raises HitError, Refused."""
        acceptor, body = self._acceptor, b""
        given, unknown = acceptor.parameters(environ.get("QUERY_STRING", ""), names)
        acceptor.let_in(caller, with_hits=True)
        self._check_account(caller, environ, "callback" in given)
        refuse_unknown(unknown, names)
        if environ["REQUEST_METHOD"] != "GET":
            body = read_body(environ, acceptor.settings.max_body_bytes)
        if body and is_json(environ, body):
            given |= _texts(json_of(body))
            refuse_unknown([name for name in given if name not in names], names)
        elif body:
            more, unknown = acceptor.parameters(body.decode("latin-1"), names)
            refuse_unknown(unknown, names)
            given |= more
        if len(given.get("request_id", "")) > MOST_ID:
            raise HitError(Reason.BAD_ID, "request_id", f"expected at most {MOST_ID} letters")
        if "callback" in given and not CALLBACK.fullmatch(given["callback"]):
            raise HitError(Reason.BAD_CALLBACK, "callback", "expected a JavaScript name such as app.done")
        return given

    def _check_account(self, caller: Caller, environ: Environ, is_script: bool) -> None:
        """Raises Refused where the address is not of the caller's account.

        Any page can run a script, and browsers send a password of Basic by themselves: a script shows its key in the address.
        """
        if caller.hash:
            raise Refused(Reason.NO_DIRECTORY, NOT_YET, retry_after_s=2)
        is_its_own = self._acceptor.account_id(_place(environ, "user")) == caller.account
        if not is_its_own or (is_script and environ.get("HTTP_AUTHORIZATION")):
            raise Refused(Reason.UNAUTHORIZED, OTHERS)


def _place(environ: Environ, name: str) -> str:
    """A name in the address."""
    found: str = environ["route.url_args"][name]
    return found


def _texts(given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        raise HitError(Reason.BAD_JSON, "body", f"expected the fields as an object, got {kind_of(given)}")
    for name, value in given.items():
        if not isinstance(value, str):
            raise HitError(Reason.BAD_JSON, ascii(name[:60])[1:-1], f"expected text, got {kind_of(value)}")
    return given

"""Calls of Segment's libraries: their `host` is this Hail, their write key one of HailWhale that may send hits.

    POST /v1/batch, /v1/b                                       many calls
    POST /v1/track, page, screen, identify, group, alias        one; and by their first letters
    200 {"success": true}, when all of them are safe

    site? ── that of the key ── else context.site ── else the host of the page
    who? ── userId, anonymousId; browser and country by context.userAgent and context.ip, which are of the visitor

Promise: each call is accepted, or refused by itself with a reason, which X-Hail and `refused` say.
"""

import re
from typing import Any

import msgspec

from hail.accept import Acceptor, Refused, came_of_body
from hail.access import Caller, Environ
from hail.answers import CORS, HttpAnswer, json_answer
from hail.body import read_body
from hail.formats.track import PARAMETERS, SAID, Came, Sender, Told, Tracking, nothing_kept, refused_whole, said_of
from hail.hit import HitError, Parsed, Reason, parse_joining, parse_row
from hail.parameters import refuse_unknown
from hail.tracking.places import address_of
from hail.tracking.segment import (
    BATCHES,
    HAPPENED,
    Batch,
    Call,
    at_of,
    batch_of,
    call_of,
    ids_of,
    ms_of,
    said_of_visitor,
    site_named,
    tracked_of_call,
)
from hail.tracking.segment import CALLS as KINDS
from hail.tracking.translation import JOINED, Around, bot_of, id_in

CALLS = "|".join((*BATCHES, *KINDS))
"""The last words of their addresses, as a pattern."""
_ADDRESS = re.compile(r'("ip"\s*:\s*)(?:"[^"]*"?|\[[^\]]*\]?)', re.I)
NO_SITE = "expected a key of one site, or context.site, or context.page.url, got none of them"
NO_ID = "expected userId or anonymousId, got neither"
NO_TWO = "expected previousId and userId, which are different"


class Segment:
    """For many threads."""

    def __init__(self, acceptor: Acceptor):
        self._acceptor, self._tracking = acceptor, Tracking(acceptor, came_of)
        self.routes = {("POST", "/v1/<call:call>"): self.called}

    def called(self, caller: Caller, environ: Environ) -> HttpAnswer:
        try:
            told = self._called(caller, environ)
        except Refused as error:
            return self.refuse(error, environ)
        if told.first and not told.accepted:
            return nothing_kept(told.first, {**_failed(str(told.first)), "refused": told.refused})
        body: dict[str, Any] = {"success": True}
        if told.refused:
            body["refused"] = told.refused
        return json_answer(200, body, {**CORS, SAID: said_of(told)})

    def refuse(self, error: Refused, environ: Environ) -> HttpAnswer:
        return refused_whole(error, _failed(str(error)))

    def _called(self, caller: Caller, environ: Environ) -> Told:
        acceptor, body = self._acceptor, b""
        try:
            try:
                _, unknown = acceptor.parameters(environ.get("QUERY_STRING", ""), PARAMETERS)
                refuse_unknown(unknown, PARAMETERS)
                body = read_body(environ, acceptor.settings.max_body_bytes)
                batch = batch_of(body)
                caller = self._known(caller, environ, batch.writeKey)
                acceptor.let_in(caller, with_hits=True)
                word = environ["route.url_args"]["call"]
                calls = self._calls(batch, body, word in BATCHES)
                return self._count(caller, environ, calls, KINDS.get(word), ms_of(batch.sentAt, "sentAt"))
            except HitError as error:
                acceptor.let_in(caller, with_hits=True)  # who has no key is told that alone
                raise Refused.by(error) from None
        except Refused as error:
            acceptor.note(caller, error, *came_of(body))
            raise

    def _known(self, caller: Caller, environ: Environ, key: str | None) -> Caller:
        """By the key in the body, where none that came with the request is good."""
        may = self._acceptor.may_hit(caller) or caller.foreign or caller.unready or caller.hash
        return caller if may or not key else self._acceptor.caller_of(key.encode(), environ)

    def _calls(self, batch: Batch, body: bytes, is_batch: bool) -> list[Any]:
        """Raises HitError."""
        if not is_batch:
            return [msgspec.Raw(body)]
        calls, most = batch.batch, self._acceptor.settings.max_batch_hits
        if not calls:
            raise HitError(Reason.BAD_JSON, "batch", "expected at least one call, got none")
        if len(calls) > most:
            raise HitError(Reason.BATCH_TOO_LARGE, "batch", f"expected at most {most} calls, got {len(calls)}")
        return calls

    def _count(
        self, caller: Caller, environ: Environ, calls: list[Any], kind: str | None, sent_at: float | None
    ) -> Told:
        """Raises Refused."""
        now = self._acceptor.clock()
        sender = Sender(self._acceptor, caller, environ, None, len(calls))
        around = self._tracking.around(sender, environ, sent_at, now)

        def rows_of(item: Any) -> list[Parsed]:
            call = call_of(item, kind)
            named = caller.site or site_named(call)
            if not named:
                raise HitError(Reason.BAD_PK, "context.site", NO_SITE)
            return self._rows(sender, call, sender.site_of(named), self._of_visitor(call, around, now), now)

        return self._tracking.keep(caller, calls, rows_of)

    def _of_visitor(self, call: Call, around: Around, now: float) -> Around:
        """What is known of whoever the call is about: a library of a server sends it for many."""
        acceptor, context = self._acceptor, call.context
        if context and context.userAgent:
            around = around._replace(agent=acceptor.agents.agent_of(context.userAgent))
        if context and context.ip:
            around = around._replace(country=acceptor.places.country_of(address_of(context.ip), now))
        return around if at_of(call)[1] else around._replace(skew_ms=0.0)

    def _rows(self, sender: Sender, call: Call, site: str, around: Around, now: float) -> list[Parsed]:
        """Raises HitError."""
        acceptor, settings, ids = self._acceptor, self._acceptor.settings, ids_of(call)
        rows, has_joined = list[Parsed](), False
        if call.type in HAPPENED:
            tracked = tracked_of_call(call)
            rows = self._tracking.rows(sender, tracked, site, around, now)
            if bot_of(tracked, around.agent):
                return rows
            has_joined = tracked.event in JOINED
        elif not ids.visitor:
            raise HitError(Reason.BAD_ID, "userId", NO_ID)
        elif call.type == "alias" and not ids.known:
            raise HitError(Reason.BAD_ID, "userId", NO_TWO)
        elif call.type != "alias" and (said := said_of_visitor(call)) and not around.is_anonymous:
            fields: dict[str, Any] = {"pk": site, "metrics": {"hits": 0}, "visitor": ids.visitor, "properties": said}
            at, message = at_of(call)[0], call.messageId
            fields |= {} if at is None else {"at": round(at + around.skew_ms)}
            fields |= {"id": id_in(site, message)} if message else {}
            rows.append(acceptor.check(sender.caller, parse_row(fields, settings, now)))
        if ids.known and around.says_all and not around.is_anonymous and not has_joined:
            joining = {"pk": site, "anonymous": ids.visitor, "known": ids.known}
            rows.append(acceptor.check(sender.caller, parse_joining(joining, settings, now)))
        return rows


def came_of(body: bytes | msgspec.Raw) -> Came:
    """As of any body, without the addresses of visitors."""
    text, visitor = came_of_body(body)
    return _ADDRESS.sub(r'\1"***"', text), visitor


def _failed(why: str) -> dict[str, Any]:
    """Beside a problem. The library for Python shows the message."""
    return {"success": False, "message": why}

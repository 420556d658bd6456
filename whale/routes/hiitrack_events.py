"""Routes of HiiTrack that count: what a visitor of a bucket did.

    POST, PUT /USER/BUCKET/event/NAME   an event           GET …/event/NAME/jsonp   the same by a script of a page
    POST, PUT …/property/NAME           a value of a property of theirs: `value`, or …/property/NAME/VALUE      GET …/jsonp
    GET /USER/BUCKET/batch              several events of one visitor, and properties

A bucket that is not there is made. Counted at once: whoever asks next is told of it. The visitor is whom `visitor_id` names, else whom
the cookie `v` names, else somebody new where a cookie can come back (hail/cookies.py). A program that sends an event by POST names one.

Promise: nothing is made of a request that is refused, and no page of another site makes a bucket: without
one its events count all the same.
"""

from typing import Any

import bottle

from hail import access
from hail.cookies import Jar, Told, is_cross_site, says_where, scheme_of, told
from hail.hiitrack import batch_of, json_in, sets_of
from hail.hit import Reason, name_of, properties_of
from whale.client import Whale
from whale.errors import CallerError
from whale.library.buckets import add_by_event, bucket_of
from whale.routes.account_paths import BUCKET, AccountPaths, Request
from whale.routes.hiitrack_paths import EVENT, PROPERTY
from whale.routes.responses import json_answer

EVENT_BY_SCRIPT, BATCH = f"{EVENT}/jsonp", f"{BUCKET}/batch"
VALUE = f"{PROPERTY}/<value:name>"
PROPERTY_BY_SCRIPT, VALUE_BY_SCRIPT = f"{PROPERTY}/jsonp", f"{VALUE}/jsonp"
VISITOR = ("visitor_id",)
PRIVATE = {"Cache-Control": "no-store"}


class HiiTrackEventRoutes:
    """For many threads."""

    def __init__(self, paths: AccountPaths):
        self._paths, self._door, self._settings = paths, paths.door, paths.door.settings

    def add_to(self, app: bottle.Bottle) -> None:
        paths = self._paths
        for rule, method, answer, fields in (
            (EVENT_BY_SCRIPT, "GET", self.event, VISITOR),
            (EVENT, "POST", self.event, VISITOR),
            (EVENT, "PUT", self.event, VISITOR),
            (VALUE_BY_SCRIPT, "GET", self.text_property, VISITOR),
            (PROPERTY_BY_SCRIPT, "GET", self.property, ("value", *VISITOR)),
            (PROPERTY, "POST", self.property, ("value", *VISITOR)),
            (PROPERTY, "PUT", self.property, ("value", *VISITOR)),
            (VALUE, "PUT", self.text_property, VISITOR),
            (BATCH, "GET", self.batch, ("message", *VISITOR)),
        ):
            paths.add(app, rule, method, paths.admitting(access.right_of(rule, method), answer, fields))
        for rule in (EVENT_BY_SCRIPT, PROPERTY_BY_SCRIPT, VALUE_BY_SCRIPT, BATCH):
            self._door.add_options_and_head(app, rule)
        for rule in (EVENT, PROPERTY, VALUE):
            self._door.add_options(app, rule, "POST")

    def event(self, request: Request, name: str) -> Any:
        event = name_of(name, "event", self._settings, Reason.BAD_ID)
        who, whale = self._begun(request)
        with whale.refusals.kept({"pk": request.bucket, "event": event, "visitor": who.visitor}):
            whale.event(request.bucket, event, who.visitor)
        return _answer(who)

    def property(self, request: Request, name: str) -> Any:
        """A value of any JSON type, in base64."""
        return self._set(request, name, json_in(request.given.get("value", ""), "value"))

    def text_property(self, request: Request, name: str, value: str) -> Any:
        return self._set(request, name, value)

    def _set(self, request: Request, name: str, value: Any) -> Any:
        properties_of({name: value}, self._settings)
        who, whale = self._begun(request, is_needed=True)
        whale.property(request.bucket, name, value, who.visitor)
        return _answer(who)

    def batch(self, request: Request) -> Any:
        given = batch_of(request.given.get("message", ""))
        for event in given.events:
            name_of(event, "message", self._settings, Reason.BAD_ID)
        sets = sets_of(given.properties)
        for each in sets:
            properties_of(each, self._settings)
        if not 1 <= len(given.events) + len(sets) <= self._settings.max_batch_hits:
            raise CallerError(f"expected 1 to {self._settings.max_batch_hits} events and properties", "message")
        who, whale = self._begun(request, is_needed=not given.events)
        whale.batch(request.bucket, given.events, who.visitor, properties=sets if who.visitor else None)
        return _answer(who)

    def _begun(self, request: Request, is_needed: bool = False) -> tuple[Told, Whale]:
        """Who the visitor is, and the Whale of the account. Its bucket is made, if need be. is_needed: whether nothing is to be said
        without a visitor.  Raises CallerError, HitError, Problem.
        """
        given = request.given.get("visitor_id")
        named = None if given is None else name_of(given, "visitor_id", self._settings, Reason.BAD_ID)
        site = bucket_of(request.managing, request.account, request.bucket)
        who = self._told(request, named, site is not None and site.cross_site_cookie)
        if is_needed and who.visitor is None:
            raise CallerError(
                "expected the id of a visitor, since no cookie of a page of another site comes back", "visitor_id"
            )
        is_own = not self._door.access.foreign_page(access.right_of(BUCKET, "POST"), bottle.request.environ)
        if site is None and is_own:
            add_by_event(request.managing, request.account, request.bucket, self._settings.max_name_bytes)
        self._door.let_in(request.caller)
        return who, self._door.whale_of_account

    def _told(self, request: Request, named: str | None, crosses: bool) -> Told:
        """Raises CallerError where a program names nobody."""
        environ = bottle.request.environ
        jar = Jar(f"/{request.account.name}/{request.bucket}", crosses, self._settings.max_name_bytes)
        by_page = environ["REQUEST_METHOD"] == "GET" or says_where(environ)
        scheme = scheme_of(environ, self._settings.trusted_proxies)
        who = told(environ, named, jar, scheme, self._paths.draw, by_page)
        if who.visitor is None and not is_cross_site(environ):
            raise CallerError("expected the id of a visitor, got nothing", "visitor_id")
        return who


def _answer(who: Told) -> Any:
    return json_answer(
        {"visitor_id": who.visitor}, headers=PRIVATE | ({"Set-Cookie": who.cookie} if who.cookie else {})
    )

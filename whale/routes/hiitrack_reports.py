"""Routes of HiiTrack that report: how often events happened and after which others, what properties say, and funnels.

    GET /USER/BUCKET/event/NAME      one event       …/event_id/ID      by its id      `start` and `interval`: by buckets of time
    GET /USER/BUCKET/property/NAME   one property    …/property_id/ID   by its id
    GET /USER/BUCKET/funnel          a funnel of the events that are named
    POST, GET, DELETE …/funnel/NAME  the same under a name

`property` splits an event and a funnel by its values. A bucket that is not there is none to report of.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import bottle

from hail import access
from whale.answer.ids import name_of_id
from whale.client import Whale
from whale.errors import CallerError, NotFound
from whale.routes.account_paths import BUCKET, AccountPaths, Request
from whale.routes.hiitrack_paths import EVENT, PROPERTY
from whale.routes.responses import json_answer

EVENT_ID, PROPERTY_ID = f"{BUCKET}/event_id/<id:word>", f"{BUCKET}/property_id/<id:word>"
PREVIEW = f"{BUCKET}/funnel"
FUNNEL = f"{PREVIEW}/<name:name>"
SPLIT = ("property", "limit")
OF_EVENT = (*SPLIT, "start", "finish", "interval", "tz")
STEPS = ("event", "event_id")
PRIVATE = {"Cache-Control": "no-store"}


class HiiTrackReportRoutes:
    """For many threads."""

    def __init__(self, paths: AccountPaths):
        self._paths, self._door = paths, paths.door

    def add_to(self, app: bottle.Bottle) -> None:
        paths = self._paths
        for rule, method, answer, fields, several in (
            (EVENT, "GET", self.event, OF_EVENT, ()),
            (EVENT_ID, "GET", self.event_by_id, OF_EVENT, ()),
            (PROPERTY, "GET", self.property, ("limit",), ()),
            (PROPERTY_ID, "GET", self.property_by_id, ("limit",), ()),
            (PREVIEW, "GET", self.funnel, SPLIT, STEPS),
            (FUNNEL, "POST", self.save, ("description", "property"), STEPS),
            (FUNNEL, "GET", self.saved, ("limit",), ()),
            (FUNNEL, "DELETE", self.delete, (), ()),
        ):
            paths.add(app, rule, method, paths.admitting(access.right_of(rule, method), answer, fields, several))
        for rule in (EVENT_ID, PROPERTY_ID, PREVIEW, FUNNEL):
            self._door.add_options(app, rule)

    def event(self, request: Request, name: str) -> Any:
        given = request.given
        found = self._whale(request).event_report(
            request.bucket,
            name,
            property=given.get("property"),
            start=given.get("start"),
            finish=given.get("finish"),
            interval=given.get("interval"),
            limit=_limit(given),
            tz=given.get("tz"),
        )
        return json_answer(found, headers=PRIVATE)

    def event_by_id(self, request: Request, id: str) -> Any:
        return self.event(request, _named(id, "event_id"))

    def property(self, request: Request, name: str) -> Any:
        found = self._whale(request).property_report(request.bucket, name, limit=_limit(request.given))
        return json_answer(found, headers=PRIVATE)

    def property_by_id(self, request: Request, id: str) -> Any:
        return self.property(request, _named(id, "property_id"))

    def funnel(self, request: Request) -> Any:
        found = self._whale(request).funnel_report(
            request.bucket, steps_of(request), property=request.given.get("property"), limit=_limit(request.given)
        )
        return json_answer(found, headers=PRIVATE)

    def save(self, request: Request, name: str) -> Any:
        given = request.given
        self._whale(request).save_funnel_report(
            request.bucket,
            name,
            steps_of(request),
            description=given.get("description", ""),
            property=given.get("property"),
        )
        return json_answer({}, 201, PRIVATE)

    def saved(self, request: Request, name: str) -> Any:
        found = self._whale(request).saved_funnel_report(request.bucket, name, limit=_limit(request.given))
        return json_answer(found, headers=PRIVATE)

    def delete(self, request: Request, name: str) -> Any:
        """Where there is none, too, as HiiTrack does."""
        with suppress(NotFound):
            self._whale(request).delete_funnel(request.bucket, name)
        return json_answer({}, headers=PRIVATE)

    def _whale(self, request: Request) -> Whale:
        """Of the account. Raises NotFound where the bucket is not there."""
        request.managing.site(request.account, request.bucket)
        self._door.let_in(request.caller)
        return self._door.whale_of_account


def steps_of(request: Request) -> list[str]:
    """The events of a funnel, by names or by ids; raises CallerError."""
    names, ids = (request.several.get(field, ()) for field in STEPS)
    if names and ids:
        raise CallerError("came twice, as event and as event_id", "event")
    return list(names) or [_named(id_, "event_id") for id_ in ids]


def _named(id_: str, field: str) -> str:
    name = name_of_id(id_)
    if name is None:
        raise CallerError(f"expected an id that a bucket shows, got {ascii(id_)[:60]}", field)
    return name


def _limit(given: Mapping[str, str]) -> int | None:
    text = given.get("limit")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise CallerError(f"expected a number, got {ascii(text)[:60]}", "limit")
    return int(text)

"""Whale over HTTP: request -> one question -> JSON.

    GET  /plotpoints     {path: {metric: [[epoch ms, number], ...]}}
    GET  /dataset        [[time, number], ...], or {child: the same} with depth
    GET  /totals         {period: {path: {metric: number}}}
    GET  /total          number
    GET  /rank           {"rows": [{path, value, n, parts, columns, ...}, ...], "other", "rest", "ended", "total"}
    GET  /factors        {change, dimensions: [{dimension, explains, rows: [...]}, ...], ...}
    GET  /shifts         {baseline, tested, shifts: [{path, at, before, now, z, cost, ...}, ...], ...}
    GET  /subdimensions  [path, ...]
    GET  /pks            [pk, ...]          GET  /metrics_of   [metric, ...]        PUT  /metrics_of: declares units
    GET  /spy            [{at, outcome, ...}, ...]: the last hits
    GET  /health.json    {redis, queue, hails, lag_s, audit, dead, versions, why}: the state of all parts
    GET  /notes          [{id, at, pk, text}, ...]: of people             POST /notes   {"id"}             DELETE /notes/ID   {"id"}
    GET  /visitors       {visitors, new, returning, points, ...}: of a site
    GET  /events         {"events": [{event, times, visitors, last}, ...]}: of a site
    GET  /funnel         {"steps": [{event, visitors, conversion, ...}, ...]}: who did events in an order
    GET  /funnels/SITE   [{name, revision, steps, window_s}, ...]: saved    PUT, DELETE /funnels/SITE/NAME: saves one, deletes it
    GET  /sessions       {sessions, visitors, bounces, duration, rows, ...}: of a site
    GET  /visits         {visitors, visits, views, converted, points, rows, ...}: of a site, split by pages, sources, events ...
    GET  /visitors/recent  {"rows": [{visitor, at, event}, ...]}: who was at a site last
    GET  /paths          {"rows": [{event, occurrences, visitors}, ...]}: what came next after an event, or before it
    GET  /retention      {"cohorts": [{at, visitors, kept, ...}, ...], "curve"}: who came back
    GET  /segments/SITE  [{name, revision, set}, ...]: saved sets of visitors    PUT, DELETE /segments/SITE/NAME: saves one, deletes it
    GET  /push/SITE      {rows, pages}: whose pages listen   GET, POST /push/SITE/ID: what was said to a visitor; says something
    GET  /overlap        {"regions": [{in, visitors}, ...]}: visitors that sets share
    GET  /properties     {"properties": [{property, of, visitors, values}, ...]}, or the values of one
    GET  /visitor/ID     {visitor, events: [{at, event}, ...], ...}   DELETE /visitor/ID   {"purged"}       POST /identify   {joined, why}
    GET  /count_now      OK: counted (also POST, JSON or a form), as Hail's /count
    GET  /decide         {option, probability, decision_id, ...}: which option to show
    GET  /count_decision OK: an outcome was counted (also POST)       POST /reward   {"counted": true}
    GET  /tracker        the visitor's uid: counted (also POST; by GET with a sealed pixel)
    GET  /outcomes       {options, segments, stop, ...}: the report of a decision that nobody defined
    GET  /decisions      [decision, ...]: those that are defined
    GET  /decisions/NAME {decision, phase, report}                POST /decisions/NAME: defines or changes it
    POST /ofrep/v1/evaluate/flags, .../flags/KEY: OpenFeature remote evaluation
    POST /update_count_to  {"added": {metric: number}}: a bucket was set
    POST /reset          OK: a pk, or a path of it, was forgotten
    GET  /users /keys /sites /journal   of the account                    POST, DELETE: as docs/http/accounts.md says
    GET  /internal/directory   accounts, keys and sites, for Hail
    GET  /USER /USER/BUCKET   HiiTrack's users and buckets                POST, DELETE: as docs/http/hiitrack.md says
    GET  /USER/BUCKET/event/NAME, …/property/NAME, …/funnel   HiiTrack's reports, as docs/http/hiitrack_reports.md says
    GET  /live_token     {url, token, expires, spy}: where hits can be watched
    GET  /               the dashboard, whose files are below /static/
    GET  /login          a form; POST /login logs a user in by a cookie, POST /logout out
    GET  /openapi.json /healthz /readyz /metrics
    GET  /plot.svg       a series as a picture
    POST /shares         {"url", "expires"}: a link that answers one question: /s/TOKEN, with plotpoints, plot.svg, metrics_of below it
    GET  /hail-whale-graph.js    the element for pages of other sites       /graph.js /table_graph.js /jquery.hailwhale.js
    GET  /               a page for people        /openapi.json /healthz /readyz /metrics

What each takes is in whale/routes/asked.py, what answers it in whale/routes; a question that is too long for an address may be POSTed.
Promise: a question never writes, but for /decide, which keeps what it decided. `OK` from /count_now means counted. A caller's fault
is 400 with the field, in an RFC 9457 body; 503 with Retry-After means that the store is away. What was never counted reads 0 or empty.
"""

import gc
import logging
import os
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import bottle

from hail import access
from hail.metrics import tell_held
from hail.problem import Unrouted
from hail.room import rest
from hail.settings import Settings, load
from whale.client import Whale
from whale.errors import SetupError, Unavailable
from whale.keys import Keys
from whale.library.whales import Whales
from whale.logins import Logins
from whale.passwords import KEY_BYTES, Passwords
from whale.routes.account_paths import AccountPaths, add_filters
from whale.routes.accounts import AccountRoutes
from whale.routes.counting import CountingRoutes
from whale.routes.dashboard import DashboardRoutes
from whale.routes.decisions import DecisionRoutes
from whale.routes.door import Door, Guarded
from whale.routes.following import FollowingRoutes
from whale.routes.funnels import FunnelRoutes
from whale.routes.graphs import GraphRoutes
from whale.routes.hiitrack import HiiTrackRoutes
from whale.routes.hiitrack_events import HiiTrackEventRoutes
from whale.routes.hiitrack_reports import HiiTrackReportRoutes
from whale.routes.internal import InternalRoutes
from whale.routes.live import LiveRoutes
from whale.routes.login import LoginRoutes
from whale.routes.notes import NoteRoutes
from whale.routes.push import PushRoutes
from whale.routes.questions import QuestionRoutes
from whale.routes.responses import text_answer, unavailable
from whale.routes.segments import SegmentRoutes
from whale.routes.service import ServiceRoutes
from whale.routes.shares import BELOW, ShareRoutes
from whale.routes.visitors import VisitorRoutes
from whale.store import with_redis
from whale.store.contract.identities import HOLDS_AFTER_MS
from whale.tries import Tries

log = logging.getLogger("whale.web")

HEALTH = "/healthz"
TELL_S, REST_TURNS = 1.0, 20
STORE_TIMEOUT_S = 0.4  # three tries of it, so that a request is refused within about a second


def make_app(
    settings: Settings, whale: Whale, passwords: Passwords | None = None, hold_ms: int = HOLDS_AFTER_MS
) -> bottle.Bottle:
    """The WSGI application over a Whale, which knows the store, the account and the clock. passwords: that compares them.

    hold_ms: until the log of visitors of a bucket that HiiTrack's routes make begins.
    """
    passwords = passwords or Passwords.beside(settings.whale_threads, os.urandom)
    logins = Logins(whale.store, settings, whale.clock, os.urandom(KEY_BYTES), passwords)
    door = Door(settings, Whales(whale), logins, Keys(whale.store, whale.clock))
    app = Guarded(door.access, BELOW)
    # names may be of several lines, Bottle's own may not
    app.router.add_filter("path", lambda _: ("(?s:.+)", None, None))
    questions = QuestionRoutes(door)
    questions.add_to(app)
    ShareRoutes(door, questions.plotpoints, questions.plot_svg).add_to(app)
    LoginRoutes(door, logins).add_to(app)
    AccountRoutes(door, passwords, os.urandom).add_to(app)
    InternalRoutes(door, whale, os.urandom).add_to(app)
    registrations = Tries(os.urandom(KEY_BYTES))
    paths = AccountPaths(door, whale, logins, os.urandom, hold_ms)
    add_filters(app)
    HiiTrackRoutes(paths, passwords, registrations).add_to(app)
    HiiTrackEventRoutes(paths).add_to(app)
    HiiTrackReportRoutes(paths).add_to(app)
    for routes in (
        CountingRoutes,
        DecisionRoutes,
        NoteRoutes,
        VisitorRoutes,
        FollowingRoutes,
        SegmentRoutes,
        PushRoutes,
        FunnelRoutes,
        LiveRoutes,
        DashboardRoutes,
        GraphRoutes,
    ):
        routes(door).add_to(app)
    ServiceRoutes(door, whale).add_to(app)
    Unrouted(log, "Hail", settings.hail_bind, "see the log").add_to(app)
    return app


def _keep_house() -> None:
    """Tells what this process holds, and forgets what nobody asks for any more."""
    pause, turn = threading.Event(), 0
    while True:
        tell_held()
        pause.wait(TELL_S)
        turn += 1
        if turn % REST_TURNS == 0:
            rest()


class Application:
    """`gunicorn whale.web:application`: reads the settings, and connects, in the process that serves."""

    def __init__(self) -> None:
        self._app: bottle.Bottle | None = None
        self._away: Unavailable | SetupError | None = None
        self._lock = threading.Lock()

    def answers_at_once(self, environ: Mapping[str, Any]) -> bool:
        """Whether this waits for nothing, neither for the store nor for a thread: health, once the settings were right."""
        return environ.get("PATH_INFO") == HEALTH and bool(self._app or self._away)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            if self._away and not self._app and self.answers_at_once(environ):
                raise self._away  # without asking the store again
            app = self._app or self.load()
        except (Unavailable, SetupError) as error:
            self._away = error
            settings = load(os.environ)
            app = Guarded(access.Access(settings, settings.whale_bind, by_directory=lambda *_: None), BELOW)
            app.route(HEALTH, "GET", lambda: text_answer("OK\n"))
            app.route("<:re:(?s:.*)>", "ANY", lambda error=error: unavailable(error).response())
        return app(environ, start_response)

    def load(self) -> bottle.Bottle:
        """Raises SettingsError and SetupError with a sentence, Unavailable while the store is away."""
        with self._lock:
            if self._app is None:
                settings = load(os.environ)
                access.check_bind(settings.whale_bind, settings)
                settings = with_redis(settings)
                threading.Thread(target=_keep_house, name="housekeeping", daemon=True).start()
                self._app = make_app(settings, Whale.connect(settings, timeout_s=STORE_TIMEOUT_S))
                gc.freeze()  # what is loaded by now stays: a full collection then takes a fraction of its 20 ms
            return self._app


application = Application()

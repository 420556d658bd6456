"""The live service: text/event-stream, while hits are counted.

    GET  /live      hit, refused, totals, ping: of a pk, or of all
    GET, POST /push   what is said to one visitor, and by them (whale/live/push.py)
    GET  /healthz /readyz /metrics

Whoever may read counts may look, at their own account: a key, a user by Basic or by a session, or who has the token that Whale gives its
page at /live_token; without keys this machine too. A key of one site looks at pks of the site. Pages of other sites than Whale's are
refused. A stream ends soon after its right did (whale/live/standing.py).
"""

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import bottle
import gevent
from prometheus_client import Counter, Gauge

from hail import access
from hail.hit import HitError, Reason
from hail.live import with_port_of
from hail.message import ACCOUNT
from hail.metrics import CONTENT_TYPE, exposition
from hail.problem import Unrouted
from hail.settings import Settings, load
from whale.dimension import pk_asked
from whale.errors import CallerError, Unavailable
from whale.events import EVERYTHING
from whale.keys import Keys
from whale.live import admission
from whale.live.admission import Looker
from whale.live.listeners import Listeners, Watch
from whale.live.push import Push
from whale.live.relay import LiveStore, Relay
from whale.live.standing import may_still
from whale.live.viewers import GONE, STOPPING, Full, Viewer, Viewers
from whale.logins import Logins
from whale.passwords import KEY_BYTES, Passwords, matches
from whale.routes.asked import LiveAsked
from whale.routes.door import Door, Guarded, problem_of
from whale.routes.live import looker_of
from whale.routes.parameters import address_query, asked_of, lenient
from whale.routes.responses import Problem, json_answer, text_answer
from whale.store import connect, with_redis

log = logging.getLogger("whale.live")

PING_S = 15.0
RETRY_MS, FULL_RETRY_S = 2000, 5
STORE_TIMEOUT_S = 1.0
EXPECTED = "expected the read key, or a token that GET /live_token of Whale gives"
VIEWERS = Gauge("hailwhale_live_viewers", "Open live streams", multiprocess_mode="livesum")
ENDED = Counter("hailwhale_live_streams_ended", "Live streams that ended, by reason", ["why"])
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx hands on each event
    "X-Content-Type-Options": "nosniff",
}


class Live:
    """The routes. For one loop of greenlets."""

    def __init__(self, settings: Settings, viewers: Viewers, relay: Relay, door: Door, clock: Callable[[], float]):
        self._settings, self._viewers, self._relay, self._door, self._clock = settings, viewers, relay, door, clock
        self._right = access.right_of(admission.PATH, "GET")

    def add_to(self, app: bottle.Bottle) -> None:
        for rule, answer in (
            (admission.PATH, self.live),
            ("/healthz", lambda: text_answer("OK\n")),
            ("/readyz", self.readyz),
            ("/metrics", lambda: bottle.HTTPResponse(exposition(), 200, {"Content-Type": CONTENT_TYPE})),
        ):
            access.right_of(rule, "GET")
            app.route(rule, "GET", answer)

    def live(self) -> Any:
        try:
            return self._opened(bottle.request.environ)
        except (Problem, CallerError, HitError, Unavailable) as error:
            return problem_of(error).response()

    def _opened(self, environ: dict[str, Any]) -> Any:
        looker, page = self._who(environ)
        origin = self._allowed_origin(environ, page)
        asked = asked_of(address_query(environ), LiveAsked, self._settings.ignored_parameters)
        pk = pk_asked(lenient("pk", asked.pk)) if asked.pk else EVERYTHING
        limited = self._door.caller.site is not None
        if limited:
            self._door.check_pk(pk)
        try:
            last = asked.last or environ.get("HTTP_LAST_EVENT_ID", "")
            viewer = self._viewers.open(looker, pk, last, limited)
        except Full as full:
            ENDED.labels("full").inc()
            whose = "" if full.most == self._settings.live_max_viewers else " of this account"
            said = f"{full.most} streams{whose} are open: ask again in {FULL_RETRY_S} s"
            raise Problem(503, Reason.OVERLOADED, said, headers={"Retry-After": str(FULL_RETRY_S)}) from None
        more = {"Vary": "Origin", **({access.ALLOW_ORIGIN: origin} if origin else {})}
        return bottle.HTTPResponse(self._stream(viewer, environ.get("gunicorn.socket")), 200, {**HEADERS, **more})

    def _who(self, environ: dict[str, Any]) -> tuple[Looker, str]:
        """Who looks, and the host of the page that a token is for; empty without one. Raises Problem 401, NotAllowed, Unavailable."""
        token = dict(parse_qsl(environ.get("QUERY_STRING", ""), errors="replace")).get("token", "")
        if not token:
            try:
                self._door.check(self._right)
            except Problem as problem:
                raise problem if problem.status != 401 else Problem(401, Reason.UNAUTHORIZED, EXPECTED) from None
            return looker_of(self._door), ""
        try:
            admitted = admission.admitted(token, self._settings, self._clock())
            if not self._may_still(admitted.looker):
                raise ValueError("whoever it was made for may look no more")
        except ValueError as error:
            raise Problem(401, Reason.UNAUTHORIZED, f"token: {error}; {EXPECTED}", "token") from None
        self._door.let_in(access.Caller(admitted.looker.account))
        return admitted.looker, admitted.host

    def _may_still(self, looker: Looker) -> bool:
        """Nothing is told while the store is away, and afterwards it is looked at again."""
        try:
            return looker == Looker(ACCOUNT) or may_still(looker, self._relay.store, self._clock())
        except Unavailable:
            return True

    def _allowed_origin(self, environ: dict[str, Any], page: str) -> str:
        """The Origin of the page that asks; empty where it is none of another origin. Raises Problem 403 of any but Whale's."""
        origin = environ.get("HTTP_ORIGIN")
        host = environ.get("HTTP_HOST", "").lower()
        whale = with_port_of(self._settings.whale_bind, host)
        if origin is None:
            if environ.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin"):
                return ""
        elif origin.lower() in {
            f"{scheme}://{name}" for name in (host, whale, page.lower()) if name for scheme in ("http", "https")
        }:
            return str(origin)
        shown = ascii(origin[: access.MAX_SHOWN]) if origin is not None else "another site"
        raise Problem(403, Reason.FOREIGN_ORIGIN, f"a page of {shown} may not look: only Whale's own may")

    def _stream(self, viewer: Viewer, stream: Any) -> Iterator[bytes]:
        began = time.monotonic()
        ends, pings = began + self._settings.live_stream_s, began + PING_S
        ends_watch: Callable[[], None] | None = None
        VIEWERS.set(len(self._viewers))
        try:
            if stream is not None:
                viewer.cut = stream.cut
                ends_watch = stream.watch(partial(viewer.end, GONE))
            yield (
                b"retry: %d\n\n" % RETRY_MS
            )  # before anything waits: until then Bottle keeps the answer for its thread
            self._relay.look_now(viewer)
            yield self._relay.ping()
            while not viewer.ended and (now := time.monotonic()) < ends:
                viewer.wait(min(pings, ends) - now)
                text = viewer.take()
                if time.monotonic() >= pings:
                    text += self._relay.ping()
                    pings = time.monotonic() + PING_S
                if text and not viewer.ended:
                    yield text
        finally:
            ENDED.labels(viewer.ended or "time").inc()
            if ends_watch:
                ends_watch()
            self._viewers.close(viewer)
            VIEWERS.set(len(self._viewers))

    def readyz(self) -> Any:
        if self._relay.is_up:
            return json_answer({"ready": True, "store": "up"})
        return json_answer({"ready": False, "store": "away"}, 503, {"Retry-After": "1"})


class Reached:
    """The store of the relay, whatever is asked of it; raises Unavailable until it was reached."""

    def __init__(self, relay: Relay):
        self._relay = relay

    def __getattr__(self, name: str) -> Any:
        return getattr(self._relay.store, name)


def make_app(
    settings: Settings,
    viewers: Viewers,
    relay: Relay,
    clock: Callable[[], float] = time.time,
    listeners: Listeners | None = None,
) -> bottle.Bottle:
    store: Any = Reached(relay)
    passwords = Passwords(os.urandom, check=_beside)
    logins = Logins(store, settings, clock, os.urandom(KEY_BYTES), passwords)
    door = Door(settings, None, logins, Keys(store, clock), settings.live_bind)
    app = Guarded(door.access)
    Live(settings, viewers, relay, door, clock).add_to(app)
    listeners = Listeners(settings) if listeners is None else listeners
    Push(settings, listeners, store, clock, partial(secrets.token_hex, 8)).add_to(app)
    Unrouted(log, "Whale", settings.whale_bind, "see the log").add_to(app)
    return app


def _beside(password: bytes, stored: str) -> bool:
    """Compares a password in a thread of its own, so that no stream waits for it."""
    right: bool = gevent.get_hub().threadpool.apply(matches, (password, stored))
    return right


def _store_of(settings: Settings) -> LiveStore:
    return connect(with_redis(settings), STORE_TIMEOUT_S)


class Application:
    """`gunicorn whale.live.web:application`: reads the settings, and begins to hear, in the process that serves."""

    def __init__(self) -> None:
        self._app: bottle.Bottle | None = None
        self._viewers: Viewers | None = None
        self._listeners: Listeners | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        app = self._app or self.load()
        return app(environ, start_response)

    def load(self) -> bottle.Bottle:
        """Raises SettingsError with a sentence."""
        with self._lock:
            if self._app is None:
                settings = load(os.environ)
                access.check_bind(settings.live_bind, settings)
                viewers = self._viewers = Viewers(settings, partial(secrets.token_hex, 4))
                relay = Relay(settings, viewers, partial(_store_of, settings))
                relay.start()
                listeners = self._listeners = Listeners(settings)
                Watch(listeners, lambda: relay.store).start()
                self._app = make_app(settings, viewers, relay, listeners=listeners)
            return self._app

    def end_streams(self) -> None:
        if self._viewers:
            self._viewers.end_all(STOPPING)
        if self._listeners:
            self._listeners.end_all(STOPPING)


application = Application()

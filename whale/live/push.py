"""What is said to one visitor, as their pages hear it, and what they say.

    GET  /push?token     text/event-stream: message, ping; with `wait` one JSON answer, once there is something (long polling)
    POST /push?token     {"id", "text"}: the visitor says something

A token (hail/live.py) says whose talk it is: Hail gives it to a page that the site lists. Who has none hears nothing, whatever they know.
What a visitor says goes to the talk alone, and into no log.
"""

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any

import bottle
import msgspec
from msgspec import Meta
from prometheus_client import Counter, Gauge

from hail import access
from hail.hit import HitError, Reason
from hail.live import PUSH, Heard, heard_by
from hail.settings import Settings
from whale.answer.talked import message_of
from whale.errors import CallerError, Unavailable
from whale.live.listeners import SAID_S, Listener, Listeners, TalkStore, open_sites
from whale.live.viewers import GONE, Full, said
from whale.routes.door import problem_of
from whale.routes.parameters import address_query, asked_of, body_of, object_of, struct_of
from whale.routes.responses import Problem, json_answer
from whale.store.contract.talks import Said

PING_S, MOST_WAIT_S, AWAY_S = 15.0, 30.0, 1.0
RETRY_MS, FULL_RETRY_S = 2000, 5
WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
ROOM = 500
"""Bytes of a body beside what is said."""
EXPECTED = "expected a token that POST /push_token of Hail gives"
PAGES = Gauge("hailwhale_push_pages", "Pages that listen", multiprocess_mode="livesum")
SAID = Counter("hailwhale_push_said", "Messages of visitors")
REFUSED = Counter(
    "hailwhale_push_refused", "Pages that listen or say something and were refused, by reason", ["reason"]
)
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}
READABLE = {access.ALLOW_ORIGIN: access.ANY_ORIGIN}


class PushAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a page that listens may say. An EventSource sends no header, so all of it stands in the address."""

    token: Annotated[str, Meta(description="Token of POST /push_token of Hail.")] = ""
    after: Annotated[int, Meta(ge=0, description="Id of the last message that came. Only later ones are sent.")] = 0
    page: Annotated[str, Meta(description="A word of the page, so that it counts once when it comes again.")] = ""
    wait: Annotated[float | None, Meta(description="Seconds to wait for messages: the answer is JSON, no stream.")] = (
        None
    )


class SaidGiven(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a visitor says. id: a word of its own, so that it counts once when it is sent again."""

    text: str
    id: str = ""


class Push:
    """The routes. For one loop of greenlets."""

    def __init__(
        self,
        settings: Settings,
        listeners: Listeners,
        store: TalkStore,
        clock: Callable[[], float],
        draw: Callable[[], str],
    ):
        """draw: a word for a page that says none."""
        self._settings, self._listeners, self._store, self._clock, self._draw = settings, listeners, store, clock, draw

    def add_to(self, app: bottle.Bottle) -> None:
        for method, answer in (("GET", self.listen), ("POST", self.say)):
            access.right_of(PUSH, method)
            app.route(PUSH, method, partial(self._answered, answer))
        headers = {**READABLE, **access.preflight()}
        app.route(PUSH, "OPTIONS", lambda: bottle.HTTPResponse("", 204, headers))

    def _answered(self, answer: Callable[[dict[str, Any]], Any]) -> Any:
        try:
            return answer(bottle.request.environ)
        except (Problem, CallerError, HitError, Unavailable) as error:
            problem = problem_of(error)
            REFUSED.labels(problem.code).inc()
            found = problem.response()
            found.set_header(access.ALLOW_ORIGIN, access.ANY_ORIGIN)
            return found

    def listen(self, environ: dict[str, Any]) -> Any:
        asked = self._asked(environ)
        heard = self._heard(asked)
        if asked.page and not WORD.fullmatch(asked.page):
            raise CallerError("expected 1 to 64 letters, digits, - and _", "page")
        if asked.wait is not None and not asked.wait >= 0:  # nor no number at all
            raise CallerError(f"expected seconds, 0 or more, got {asked.wait}", "wait")
        last = environ.get("HTTP_LAST_EVENT_ID", "")
        after = max(asked.after, int(last) if last.isdecimal() and len(last) < 20 else 0)
        try:
            listener = self._listeners.open(heard, asked.page or self._draw())
        except Full as full:
            raise Problem(
                503,
                Reason.OVERLOADED,
                f"{full.most} pages listen: ask again in {FULL_RETRY_S} s",
                headers={"Retry-After": str(FULL_RETRY_S)},
            ) from None
        PAGES.set(len(self._listeners))
        stream = environ.get("gunicorn.socket")
        if asked.wait is not None:
            return self._polled(listener, after, min(asked.wait, MOST_WAIT_S), stream)
        return bottle.HTTPResponse(self._stream(listener, after, stream), 200, {**HEADERS, **READABLE})

    def say(self, environ: dict[str, Any]) -> Any:
        heard = self._heard(self._asked(environ))
        most = self._settings.push_message_bytes
        given = struct_of(object_of(body_of(environ, 6 * most + ROOM), "the fields"), SaidGiven)
        if given.id and not WORD.fullmatch(given.id):
            raise CallerError("expected 1 to 64 letters, digits, - and _", "id")
        data = msgspec.json.encode({"text": given.text})
        if not given.text.strip() or len(data) > most:
            raise CallerError(f"expected a text of at most {most} bytes as JSON, got {len(data)}", "text")
        id_ = self._store.say(heard.account, (heard.site, heard.visitor), True, data, given.id)
        self._store.tell_more(heard.account, (heard.site, heard.visitor))
        SAID.inc()
        return json_answer({"id": id_}, headers={**READABLE, "Cache-Control": "no-store"})

    def _asked(self, environ: dict[str, Any]) -> PushAsked:
        return asked_of(address_query(environ), PushAsked, self._settings.ignored_parameters)

    def _heard(self, asked: PushAsked) -> Heard:
        """Whose talk it is. Raises Problem 401; Unavailable."""
        try:
            heard = heard_by(asked.token, self._settings, self._clock())
            if heard.site not in open_sites(self._store, heard.account):
                raise ValueError("its site is closed or gone")
        except ValueError as error:
            raise Problem(401, Reason.UNAUTHORIZED, f"token: {error}; {EXPECTED}", "token") from None
        return heard

    def _begin(self, listener: Listener) -> None:
        self._store.listen(listener.heard.account, [listener.page], SAID_S)

    def _read(self, listener: Listener, after: int) -> list[Said]:
        heard = listener.heard
        listener.begin()
        return self._store.talk(heard.account, (heard.site, heard.visitor), after)

    def _polled(self, listener: Listener, after: int, seconds: float, stream: Any) -> Any:
        """Once there is something, or nothing came for so long. Who listens so is known to for SAID_S after each answer."""
        until = time.monotonic() + seconds
        ends_watch: Callable[[], None] | None = None
        try:
            if stream is not None:
                ends_watch = stream.watch(partial(listener.end, GONE))
            self._begin(listener)
            while not (found := self._read(listener, after)) and not listener.ended:
                left = until - time.monotonic()
                if left <= 0:
                    break
                listener.wait(left)
        finally:
            if ends_watch:
                ends_watch()
            self._listeners.close(listener)
            PAGES.set(len(self._listeners))
        body = {"messages": [message_of(each) for each in found], "after": found[-1].id if found else after}
        return json_answer(body, headers={**READABLE, "Cache-Control": "no-store"})

    def _stream(self, listener: Listener, after: int, stream: Any) -> Iterator[bytes]:
        began = time.monotonic()
        ends, pings = began + self._settings.live_stream_s, began
        ends_watch: Callable[[], None] | None = None
        try:
            if stream is not None:
                listener.cut = stream.cut
                ends_watch = stream.watch(partial(listener.end, GONE))
            yield b"retry: %d\n\n" % RETRY_MS  # before anything waits, as in whale/live/web.py
            has_begun = False
            while not listener.ended and (now := time.monotonic()) < ends:
                text, is_up = b"", True
                try:
                    if not has_begun:
                        self._begin(listener)
                        has_begun = True
                    found = self._read(listener, after)
                except Unavailable:
                    found, is_up = [], False
                for each in found:
                    text += said("message", msgspec.json.encode(message_of(each)), str(each.id))
                    after = each.id
                if now >= pings:
                    text = self._ping(is_up) + text
                    pings = now + PING_S
                if text and not listener.ended:
                    yield text
                elif not found:
                    listener.wait((min(pings, ends) if is_up else now + AWAY_S) - now)
        finally:
            if ends_watch:
                ends_watch()
            if self._listeners.close(listener):
                self._leave(listener)
            PAGES.set(len(self._listeners))

    def _ping(self, is_up: bool) -> bytes:
        state = {"at": int(self._clock() * 1000), "redis": "up" if is_up else "away"}
        return said("ping", msgspec.json.encode(state))

    def _leave(self, listener: Listener) -> None:
        try:
            self._store.listen_no_more(listener.heard.account, listener.page)
        except Unavailable:
            return  # its time ends by itself

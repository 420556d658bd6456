"""Routes that count and change: hits at once, the tracker's hits, a bucket that is set, a pk that is forgotten."""

import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote, unquote

import bottle

from hail.hit import FIELDS
from hail.pixel import fields_of_pixel
from whale.answer.unknown import Unknowns, unknown_header
from whale.errors import CallerError
from whale.routes.door import OfCaller
from whale.routes.parameters import address_query, parameters
from whale.routes.responses import EXPOSED, json_answer, text_answer

UID_COOKIE, UID_S, MAX_UID = "uid", 365 * 86_400, 50


class CountingRoutes(OfCaller):
    """For many threads."""

    def add_to(self, app: bottle.Bottle) -> None:
        door = self._door
        door.add(app, "/count_now", ["GET", "POST"], self.count_now)
        door.add(app, "/tracker", ["GET", "POST"], self.tracker)
        door.add(app, "/update_count_to", ["POST"], self.update_count_to)
        door.add(app, "/reset", ["POST"], self.reset)
        door.add_options_and_head(app, "/count_now")
        door.add_options_and_head(app, "/tracker")
        door.add_options(app, "/update_count_to")
        door.add_options(app, "/reset")

    def count_now(self) -> Any:
        self._count(self._door.given())
        return text_answer("OK", headers=EXPOSED)

    def tracker(self) -> Any:
        if self._door.is_sealed():
            settings, names = self._door.settings, (*FIELDS, "uid", "pixel")
            asked = parameters(address_query(bottle.request.environ), names, settings.ignored_parameters)
            given = fields_of_pixel(asked, settings, self._whale.account) | {"uid": asked.get("uid")}
        else:
            given = self._door.given("uid")
        uid = uid_of(bottle.request.environ, given.pop("uid", None))
        self._count({"visitor": uid, **given})
        cookie = f"{UID_COOKIE}={quote(uid, safe='')}; Max-Age={UID_S}; Path=/; HttpOnly; SameSite=Lax"
        return text_answer(uid, headers={**EXPOSED, "Set-Cookie": cookie})

    def update_count_to(self) -> Any:
        more = ("period", "rank")
        given = self._door.given(*more)
        for field in sorted(given.keys() - {*FIELDS, *more}):
            expected = ", ".join((*FIELDS, *more))
            raise CallerError(f"is not a field here: expected one of {expected}", ascii(field)[1:-1])
        given = {name: value for name, value in given.items() if name not in ("visitor", "event")}
        return json_answer({"added": self._whale.update_count_to(given.pop("pk", None), **given)})

    def reset(self) -> Any:
        given = self._door.given()
        for field in sorted(given.keys() - {"pk", "dimensions", "dimension"}):
            raise CallerError("is not a field here: expected pk, dimensions", ascii(field)[1:-1])
        unknown = self._whale.reset(given.pop("pk", None), **given)
        return text_answer("OK", headers={**EXPOSED, **unknown_header(Unknowns(unknown))} if unknown else {})

    def _count(self, given: Mapping[str, Any]) -> None:
        with self._whale.refusals.kept(given):
            self._whale.count_hit(given)


def uid_of(environ: Mapping[str, Any], asked: Any) -> str:
    """Who a tracker's hit is of: as it says, else as the cookie says, else someone new. `_new` is someone new."""
    if asked not in (None, "", "_new"):
        return str(asked)
    try:
        cookie = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(UID_COOKIE)
    except CookieError:
        cookie = None
    known = unquote(cookie.value) if cookie and asked != "_new" else ""
    return known if 0 < len(known) <= MAX_UID and known.isprintable() else secrets.token_hex(16)

"""Routes by which a user of the dashboard logs in and out: a form, and a cookie.

    GET /login ──> the form ── POST /login ──> 303 to the page before, with the cookie
                                  └─ wrong: 403; too many: 429, 503; a page of another site: 403

Pages of this service alone may send the form, and the one that logs out (the table of hail/access.py says so): else another site
could log its readers in as somebody else.
"""

import re
from typing import Any
from urllib.parse import parse_qsl

import bottle

from hail.settings import SettingsError
from whale.errors import Busy, TooSoon
from whale.logins import Logins
from whale.routes.door import Door
from whale.routes.login_page import POLICY, render

WRONG = "The name or the password is wrong."
HOME = "/"
MOST_LETTERS = 2000
OWN_PATH = re.compile(r"/(?:[?#][!-~]*)?")  # of the dashboard alone, whose state is in its query
MOST_FIELDS = 10


class LoginRoutes:
    """For many threads."""

    def __init__(self, door: Door, logins: Logins):
        self._door, self._logins = door, logins

    def add_to(self, app: bottle.Bottle) -> None:
        self._door.add(app, "/login", ["GET"], self.login_page)
        self._door.add(app, "/login", ["POST"], self.log_in)
        self._door.add(app, "/logout", ["POST"], self.log_out)

    def login_page(self) -> Any:
        query = dict(parse_qsl(bottle.request.environ.get("QUERY_STRING", ""), errors="replace"))
        return _page(200, "", "", own_path(query.get("next", "")))

    def log_in(self) -> Any:
        """Raises HitError, Problem, Unavailable."""
        given = _form(self._door.body())
        name, path = given.get("name", ""), own_path(given.get("next", ""))
        try:
            cookie = self._logins.logged_in(name, given.get("password", ""), bottle.request.environ)
        except TooSoon as error:
            return _page(429, f"Too many wrong passwords. Try again in {error.after_s} s.", name, path, error.after_s)
        except Busy as error:
            return _page(503, "Too many logins at once. Try again in a second.", name, path, error.after_s)
        except SettingsError as error:
            return _page(503, f"Nobody can log in: {error}.", name, path)
        if cookie is None:
            return _page(403, WRONG, name, path)
        return _elsewhere(path, cookie)

    def log_out(self) -> Any:
        return _elsewhere("/login", self._logins.logged_out(bottle.request.environ))


def own_path(text: str) -> str:
    """Where to go on after a login, the dashboard where it is no address of it: never to another site."""
    return text if len(text) <= MOST_LETTERS and OWN_PATH.fullmatch(text) else HOME


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii", "replace"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        return {}
    return dict(pairs)


def _page(status: int, said: str, name: str, path: str, after_s: int = 0) -> Any:
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": POLICY,
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",  # with no-referrer a browser would send the form with `Origin: null`
        "X-Content-Type-Options": "nosniff",
        **({"Retry-After": str(after_s)} if after_s else {}),
    }
    shown = name[:200].encode("utf-8", "replace").decode()
    return bottle.HTTPResponse(render(said, shown, path), status, headers)


def _elsewhere(path: str, cookie: str) -> Any:
    return bottle.HTTPResponse("", 303, {"Location": path, "Set-Cookie": cookie, "Cache-Control": "no-store"})

"""Routes of HiiTrack for users and buckets: a user is an account with its owner, and a bucket is a site.

POST /USER            password: makes both          GET /USER           its buckets
POST /USER/BUCKET     makes a site, and its token   GET /USER/BUCKET    what it is          DELETE: with all that it counted
"""

from math import ceil
from typing import Any

import bottle

from hail import access
from hail.hit import HitError
from hail.settings import PREFIX
from whale.accounts import NAME
from whale.errors import CallerError, NotAllowed, TooSoon
from whale.library import buckets
from whale.passwords import Passwords, check_new
from whale.routes.account_paths import BUCKET, USER, AccountPaths, NoUser, Request, Said
from whale.routes.responses import json_answer
from whale.tries import Tries, address_of

PRIVATE = {"Cache-Control": "no-store"}


class HiiTrackRoutes:
    """For many threads. registrations: how many accounts were made where."""

    def __init__(self, paths: AccountPaths, passwords: Passwords, registrations: Tries):
        self._paths, self._passwords, self._registrations = paths, passwords, registrations
        self._door, self._whale = paths.door, paths.whale

    def add_to(self, app: bottle.Bottle) -> None:
        paths = self._paths
        paths.add(app, USER, "POST", self._new_user)
        for rule, method, answer, fields in (
            (USER, "GET", self.user, ()),
            (USER, "DELETE", self.remove_user, ()),
            (BUCKET, "POST", self.add_bucket, ("description",)),
            (BUCKET, "GET", self.bucket, ()),
            (BUCKET, "DELETE", self.remove_bucket, ()),
        ):
            paths.add(app, rule, method, paths.admitting(access.right_of(rule, method), answer, fields))
        for rule in (USER, BUCKET):
            self._door.add_options(app, rule)

    # users

    def _new_user(self, _: Said, body: bytes, user: str) -> Any:
        """Any address that is misspelt may be a name. So NoUser where no password came, and nothing can mean a new user."""
        settings, now = self._door.settings, self._whale.clock()
        self._paths.check_page(access.right_of(USER, "POST"))
        is_closed = self._door.access.locked and not settings.open_registration
        is_typo = b"password" not in body and "password" not in bottle.request.query_string
        if is_typo and (is_closed or not NAME.fullmatch(user)):
            raise NoUser
        if is_closed:
            raise NotAllowed(f"nobody may make a user here: {PREFIX}OPEN_REGISTRATION is 0")
        try:
            given = self._paths.fields(body, ("password",))
        except (CallerError, HitError):
            if is_typo:
                raise NoUser from None
            raise
        managing = self._paths.managing("anybody over HTTP")
        check_new(given.get("password", ""))
        buckets.check_free(managing, user)
        if self._door.access.locked:
            self._pace(user, now)
        buckets.add_user(managing, user, str(settings.timezone), self._passwords.hash(given["password"]))
        return json_answer({}, 201, PRIVATE)

    def _pace(self, user: str, now: float) -> None:
        """Whoever makes many users waits; raises TooSoon."""
        counted = (user, ""), address_of(bottle.request.environ, self._door.settings.trusted_proxies), now
        if wait := self._registrations.wait_s(*counted):
            raise TooSoon(f"too many users were made there: try again in {ceil(wait)} s", ceil(wait))
        self._registrations.wrong(*counted)

    def user(self, request: Request) -> Any:
        return json_answer(buckets.user_shown(request.managing.sites_shown(request.account)), headers=PRIVATE)

    def remove_user(self, request: Request) -> Any:
        request.managing.remove_account(request.account)
        self._paths.logins.account_now(request.account.name)
        return json_answer({}, headers=PRIVATE)

    # buckets

    def add_bucket(self, request: Request) -> Any:
        description, most = request.given.get("description", ""), self._door.settings.max_name_bytes
        token = buckets.add_bucket(request.managing, request.account, request.bucket, description, most)
        return json_answer({"token": token}, 201, PRIVATE)

    def bucket(self, request: Request) -> Any:
        site = request.managing.site(request.account, request.bucket)
        return json_answer(buckets.bucket_shown(self._whale.store, site), headers=PRIVATE)

    def remove_bucket(self, request: Request) -> Any:
        site = request.managing.site(request.account, request.bucket)
        buckets.remove_bucket(request.managing, self._whale.store, request.account, site, self._whale.clock())
        return json_answer({}, headers=PRIVATE)

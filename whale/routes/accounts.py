"""Routes of users, keys and sites of the caller's account, and the journal of what admins did to them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import bottle
import msgspec

from whale.accounts import Account, Site, check_rights, with_rights
from whale.errors import CallerError
from whale.library.managing import Managing, full_name, site_shown, user_shown
from whale.passwords import Passwords, check_new
from whale.routes.asked import JournalAsked, KeyChanges, KeyGiven, SiteChanges, SiteGiven, UserChanges, UserGiven
from whale.routes.door import Door, OfCaller
from whale.routes.parameters import object_of, struct_of
from whale.routes.responses import json_answer

PRIVATE = {"Cache-Control": "no-store"}
Given = TypeVar("Given", bound=msgspec.Struct)


class AccountRoutes(OfCaller):
    """For many threads. draw: random bytes."""

    def __init__(self, door: Door, passwords: Passwords, draw: Callable[[int], bytes]):
        super().__init__(door)
        self._passwords, self._draw = passwords, draw

    def add_to(self, app: bottle.Bottle) -> None:
        door = self._door
        for rule, below, listed, add, change, remove in (
            ("/users", "<name:path>", self.users, self.add_user, self.change_user, self.remove_user),
            ("/keys", "<id:path>", self.keys, self.add_key, self.change_key, self.remove_key),
            ("/sites", "<pk:path>", self.sites, self.add_site, self.change_site, self.remove_site),
        ):
            door.add(app, rule, ["GET"], listed)
            door.add(app, rule, ["POST"], add)
            door.add(app, f"{rule}/{below}", ["POST"], change)
            door.add(app, f"{rule}/{below}", ["DELETE"], remove)
            door.add_options(app, rule)
            door.add_options(app, f"{rule}/{below}")
        door.add(app, "/journal", ["GET"], self.journal, JournalAsked)
        door.add_options(app, "/journal")

    def _begun(self) -> tuple[Managing, Account]:
        """Managing, and the caller's account; raises NotFound where it is gone."""
        caller = self._door.caller
        keeps_logs = self._door.settings.visitor_log
        managing = Managing(self._whale.store, self._whale.clock(), self._draw, keeps_logs=keeps_logs)
        account = managing.account_with(caller.account)
        key = f"key {caller.key}" if caller.key else "an admin key"
        managing.who = f"{key if caller.user is None else full_name(account, caller.user)} over HTTP"
        return managing, account

    def _given(self, kind: type[Given]) -> Given:
        return struct_of(object_of(self._door.body(), "the fields"), kind)

    # users

    def users(self) -> Any:
        managing, account = self._begun()
        return json_answer(managing.users_shown(account), headers=PRIVATE)

    def add_user(self) -> Any:
        managing, account = self._begun()
        given = self._given(UserGiven)
        name = managing.check_new_user(account, given.name)
        rights = check_rights(given.rights or {})
        check_new(given.password)
        user = managing.add_user(account, name, self._passwords.hash(given.password), rights)
        return json_answer(user_shown(account, user), 201, PRIVATE)

    def change_user(self, name: str) -> Any:
        managing, account = self._begun()
        given = self._given(UserChanges)
        if given.password is None and given.rights is None:
            raise CallerError("expected password or rights", "body")
        user = managing.user(account, name)
        rights = None if given.rights is None else with_rights(user.rights, given.rights)
        password = None
        if given.password is not None:
            check_new(given.password)
            password = self._passwords.hash(given.password)
        changed = managing.change_user(user, password, rights)
        self._passwords.forget((account.id, user.name))
        return json_answer(user_shown(account, changed), headers=PRIVATE)

    def remove_user(self, name: str) -> Any:
        managing, account = self._begun()
        user = managing.user(account, name)
        managing.remove_user(user)
        self._passwords.forget((account.id, user.name))
        return json_answer(user_shown(account, user), headers=PRIVATE)

    # keys

    def keys(self) -> Any:
        managing, account = self._begun()
        if self._door.keys:
            self._door.keys.write_uses()  # so that what was used here is seen
        return json_answer(managing.keys_shown(account), headers=PRIVATE)

    def add_key(self) -> Any:
        managing, account = self._begun()
        given = self._given(KeyGiven)
        key, secret = managing.add_key(account, given.scope, given.site, given.expires_s)
        return json_answer({**managing.key_shown(key), "secret": secret}, 201, PRIVATE)

    def change_key(self, id: str) -> Any:
        managing, account = self._begun()
        given = self._given(KeyChanges)
        ends = given.expires_s is not msgspec.UNSET
        lasts_s = None if given.expires_s is msgspec.UNSET else given.expires_s
        if [given.revoke, given.rotate_s is not None or ends].count(True) != 1:
            raise CallerError("expected revoke, rotate_s or expires_s", "body")
        key = managing.key(account, id)
        if given.rotate_s is not None:
            _, new, secret = managing.rotate_key(key, given.rotate_s, lasts_s)
            return json_answer({**managing.key_shown(new), "secret": secret}, headers=PRIVATE)
        changed = managing.revoke_key(key) if given.revoke else managing.change_key(key, lasts_s)
        return json_answer(managing.key_shown(changed), headers=PRIVATE)

    def remove_key(self, id: str) -> Any:
        managing, account = self._begun()
        key = managing.key(account, id)
        found = managing.key_shown(key)
        managing.remove_key(key)
        return json_answer(found, headers=PRIVATE)

    # sites

    def sites(self) -> Any:
        managing, account = self._begun()
        return json_answer(managing.sites_shown(account), headers=PRIVATE)

    def add_site(self) -> Any:
        managing, account = self._begun()
        given = self._given(SiteGiven)
        site = managing.add_site(_site(Site(account.id, given.pk), given), self._door.settings.max_name_bytes)
        return json_answer(site_shown(site), 201, PRIVATE)

    def change_site(self, pk: str) -> Any:
        managing, account = self._begun()
        given = self._given(SiteChanges)
        site = managing.site(account, pk)
        changed = managing.change_site(site, _site(site, given), self._door.settings.max_name_bytes)
        return json_answer(site_shown(changed), headers=PRIVATE)

    def remove_site(self, pk: str) -> Any:
        managing, account = self._begun()
        site = managing.site(account, pk)
        managing.remove_site(account, site)
        return json_answer(site_shown(site), headers=PRIVATE)

    # the journal

    def journal(self, asked: JournalAsked) -> Any:
        managing, account = self._begun()
        return json_answer(managing.journal_shown(account, asked.limit), headers=PRIVATE)


def _site(site: Site, given: SiteChanges) -> Site:
    """The site with the settings that are given."""
    changes: dict[str, Any] = {}
    for name in SiteChanges.__struct_fields__:
        if (value := getattr(given, name)) is not None:
            changes[name] = tuple(value) if isinstance(value, list) else value
    return replace(site, **changes)

"""What an admin does to accounts, users, sites and keys, whether on the command line or over HTTP; and how each is shown.

Each call checks what it was given, then changes one entry with its row in the journal. It raises CallerError with the field,
NotFound, Conflict, Unavailable. A secret is returned once and kept nowhere; hashes of secrets and of passwords are never shown.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from whale.accounts import (
    ALL,
    ID_BYTES,
    KEY_ID_BYTES,
    NAME,
    OWNER,
    SECRET_BYTES,
    Account,
    Act,
    Key,
    Rights,
    Site,
    User,
    account_id,
    check_name,
    check_site,
    check_user_name,
    check_zone,
    new_key,
    revoked,
    rotated,
    shown,
    user_name,
)
from whale.errors import CallerError, Conflict, NotFound
from whale.store.contract.accounts import KINDS, Accounts, Entry, account_of, name_of
from whale.store.contract.directory import MOST_ACTS, Directory
from whale.store.contract.identities import HOLDS_AFTER_MS
from whale.store.contract.saved import Saved
from whale.store.contract.site_logs import SiteLogs
from whale.store.contract.talks import Talks

TRIES = 10
"""How often a random id is drawn anew where it is taken."""


class AccountStore(Accounts, Directory, SiteLogs, Saved, Talks, Protocol):
    """All that managing asks of a store."""


class Managing:
    """For one admin at one time. now: seconds.  draw: gives that many random bytes.  who: for the journal.

    keeps_logs: whether sites have logs of visitors.  hold_ms: until the log of a new one begins.
    """

    def __init__(
        self,
        store: AccountStore,
        now: float,
        draw: Callable[[int], bytes],
        who: str = "",
        keeps_logs: bool = False,
        hold_ms: int = HOLDS_AFTER_MS,
    ):
        self._store, self._now, self._draw, self.who = store, now, draw, who
        self._keeps_logs, self._hold_ms = keeps_logs, hold_ms

    # Accounts

    def account(self, name: str) -> Account:
        found = self._store.account_named(name) if NAME.fullmatch(name) else None
        if found is None:
            raise NotFound(f"there is no account {shown(name)}", "account")
        return found

    def has_account(self, name: str) -> bool:
        return self._store.account_named(name) is not None

    def account_with(self, id: str) -> Account:
        found = self._store.account_with(id)
        if found is None:
            raise NotFound(f"there is no account with the id {shown(id)}", "account")
        return found

    def add_account(self, name: str, zone: str) -> Account:
        check_name(name)
        check_zone(zone)
        for _ in range(TRIES):
            account = Account(account_id(self._draw(ID_BYTES)), name, zone, int(self._now))
            try:
                self._add(account)
            except Conflict as error:
                if error.field != "id":
                    raise
            else:
                return account
        raise Conflict("found no id that is free: try again", "id")

    def rename_account(self, name: str, new: str) -> Account:
        """Raises Conflict where a user has the new name, since `new/new` is the owner."""
        account = self.account(name)
        changed = replace(account, name=check_name(new))
        if any(user.name == new for user in self._store.users(account.id)):
            raise Conflict(f"{full_name(account, new)} would be called as the owner: remove this user first", "name")
        self._change(account, changed)
        return changed

    def remove_account(self, account: Account) -> None:
        self._remove(account)

    # Users

    def user(self, account: Account, name: str) -> User:
        wanted = user_name(account, name)
        found = next((user for user in self._store.users(account.id) if user.name == wanted), None)
        if found is None:
            raise NotFound(f"there is no user {shown(full_name(account, wanted))}", "name")
        return found

    def check_new_user(self, account: Account, name: str) -> str:
        """How a user's name is kept; raises Conflict where there is one, so that nobody is asked for a password in vain."""
        wanted = user_name(account, name)
        if wanted != OWNER:
            check_user_name(wanted)
        if any(user.name == wanted for user in self._store.users(account.id)):
            raise Conflict(f"there is a user {full_name(account, wanted)} already", "name")
        return wanted

    def add_user(self, account: Account, name: str, password: str, rights: Rights) -> User:
        """password: its hash. The owner has all rights, whatever is said."""
        wanted = self.check_new_user(account, name)
        user = User(account.id, wanted, password, ALL if wanted == OWNER else rights, int(self._now))
        self._add(user)
        return user

    def change_user(self, user: User, password: str | None = None, rights: Rights | None = None) -> User:
        if rights is not None and user.name == OWNER:
            raise CallerError("the owner of an account has all rights", "rights")
        changed = replace(user, password=password or user.password, rights=rights or user.rights)
        self._change(user, changed)
        return changed

    def remove_user(self, user: User) -> None:
        self._remove(user)

    # Sites

    def sites(self, account: Account) -> list[Site]:
        return self._store.sites(account.id)

    def site(self, account: Account, pk: str) -> Site:
        found = next((site for site in self.sites(account) if site.pk == pk), None)
        if found is None:
            raise NotFound(f"account {account.name} has no site {shown(pk)}", "site")
        return found

    def add_site(self, site: Site, max_name_bytes: int) -> Site:
        checked = check_site(site, max_name_bytes)
        self._add(checked)
        self._log(checked)
        return checked

    def change_site(self, site: Site, new: Site, max_name_bytes: int) -> Site:
        checked = check_site(new, max_name_bytes)
        self._change(site, checked)
        self._log(checked)
        return checked

    def remove_site(self, account: Account, site: Site) -> None:
        """Raises Conflict while a key opens it, since the same name may come again. One that was made at the same moment is revoked."""
        for key in self._opening(account, site.pk):
            raise Conflict(f"key {key.id} opens the site {shown(site.pk)}: remove the key first", "site")
        self._store.end_log(account.id, site.pk)
        self._remove(site)
        self._store.end_log(account.id, site.pk)  # who logs may have begun another one meanwhile
        self._store.forget_all_saved(account.id, site.pk)
        self._store.forget_talks(account.id, site.pk)
        while opening := self._opening(account, site.pk):
            for key in opening:
                with suppress(Conflict, NotFound):  # somebody else changed it: it is looked at again
                    self.revoke_key(key)

    def _opening(self, account: Account, pk: str) -> list[Key]:
        return [key for key in self._store.keys(account.id) if key.site == pk and key.standing(self._now) == "good"]

    def _log(self, site: Site) -> None:
        if self._keeps_logs:
            self._store.begin_log(site, self._hold_ms)

    # Keys

    def key(self, account: Account, id: str) -> Key:
        found = next((key for key in self._store.keys(account.id) if key.id == id), None)
        if found is None:
            raise NotFound(f"account {account.name} has no key {shown(id)}", "key")
        return found

    def keys_of(self, account: Account, site: Site) -> list[Key]:
        """Those that open this site and no other."""
        return [key for key in self._store.keys(account.id) if key.site == site.pk]

    def add_key(self, account: Account, scope: str, site: str | None, lasts_s: int | None) -> tuple[Key, str]:
        """The key and its secret. lasts_s: seconds from now; None: for ever.

        The site is looked for before and after: either this sees that it was removed meanwhile, or `remove_site` sees the key.
        """
        if site is not None:
            self.site(account, site)
        key, secret = self._drawn(lambda raw: new_key(account.id, scope, site, raw, self._now, self._end(lasts_s)))
        try:
            self._check_site_of(key)
        except NotFound:
            self._remove(key)  # nobody has its secret
            raise
        return key, secret

    def rotate_key(self, key: Key, overlap_s: int, lasts_s: int | None) -> tuple[Key, Key, str]:
        """The old key, which ends after the overlap; the new one, and its secret."""
        old, _, _ = rotated(key, bytes(KEY_ID_BYTES + SECRET_BYTES), self._now, overlap_s)
        new, secret = self._drawn(lambda raw: rotated(key, raw, self._now, overlap_s, self._end(lasts_s))[1:])
        try:
            self._change(key, old)
        except BaseException:
            self._remove(new)  # nobody has its secret
            raise
        return old, new, secret

    def change_key(self, key: Key, lasts_s: int | None) -> Key:
        """Gives it another end, or none. Raises NotFound where it would open a site that was removed after the key had ended."""
        changed = replace(key, expires_s=self._end(lasts_s))
        self._check_site_of(changed)
        self._change(key, changed)
        try:
            self._check_site_of(changed)  # as in `add_key`
        except NotFound:
            self._change(changed, key)
            raise
        return changed

    def _check_site_of(self, key: Key) -> None:
        """Raises NotFound of a key that opens a site which is not there."""
        if key.site is not None and key.standing(self._now) == "good":
            self.site(self.account_with(key.account), key.site)

    def revoke_key(self, key: Key) -> Key:
        changed = revoked(key, self._now)
        if changed != key:
            self._change(key, changed, "revoke")
        return changed

    def remove_key(self, key: Key) -> None:
        self._remove(key)

    def _end(self, lasts_s: int | None) -> int | None:
        return None if lasts_s is None else int(self._now + lasts_s)

    def _drawn(self, make: Callable[[bytes], tuple[Key, str]]) -> tuple[Key, str]:
        for left in reversed(range(TRIES)):
            key, secret = make(self._draw(KEY_ID_BYTES + SECRET_BYTES))
            try:
                self._add(key)
            except Conflict:
                if not left:
                    raise
            else:
                break
        return key, secret

    # All of an account, as they are shown

    def users_shown(self, account: Account) -> list[dict[str, Any]]:
        users = sorted(self._store.users(account.id), key=lambda user: user.name)
        return [user_shown(account, user) for user in users]

    def sites_shown(self, account: Account) -> list[dict[str, Any]]:
        return [site_shown(site) for site in sorted(self._store.sites(account.id), key=lambda site: site.pk)]

    def keys_shown(self, account: Account) -> list[dict[str, Any]]:
        """The oldest first."""
        used = self._store.last_uses(account.id)
        keys = sorted(self._store.keys(account.id), key=lambda key: (key.made_s, key.id))
        return [key_shown(key, self._now, used.get(key.id)) for key in keys]

    def key_shown(self, key: Key) -> dict[str, Any]:
        return key_shown(key, self._now, self._store.last_uses(key.account).get(key.id))

    def journal_shown(self, account: Account | None, last: int) -> list[dict[str, Any]]:
        """Of an account, or of all; the newest last."""
        if not 1 <= last <= MOST_ACTS:
            raise CallerError(f"expected 1 to {MOST_ACTS}, got {last}", "limit")
        accounts = [account] if account else self._store.accounts()
        names = {each.id: each.name for each in accounts}
        acts = self._store.journal(account.id if account else None)[:last]
        return [act_shown(act, names) for act in reversed(acts)]

    # Each of them

    def _add(self, entry: Entry) -> None:
        self._store.add_entry(entry, self._act("add", entry))

    def _change(self, seen: Entry, new: Entry, did: str = "change") -> None:
        self._store.change_entry(seen, new, self._act(did, new))

    def _remove(self, entry: Entry) -> None:
        self._store.remove_entry(entry, self._act("remove", entry))

    def _act(self, did: str, entry: Entry) -> Act:
        about = entry.prefix if isinstance(entry, Key) else name_of(entry)
        return Act(int(self._now * 1000), self.who, f"{did} {KINDS[type(entry)]}", account_of(entry), about)


def full_name(account: Account, user: str) -> str:
    """How a user is called at the door: `account`, or `account/user`."""
    return account.name if user == OWNER else f"{account.name}/{user}"


def account_shown(account: Account) -> dict[str, Any]:
    return {"name": account.name, "id": account.id, "zone": account.zone, "made_at": _ms(account.made_s or None)}


def user_shown(account: Account, user: User) -> dict[str, Any]:
    rights = {module: getattr(user.rights, module) for module in Rights.__dataclass_fields__}
    return {"name": full_name(account, user.name), "rights": rights, "made_at": _ms(user.made_s)}


def site_shown(site: Site) -> dict[str, Any]:
    return {
        "pk": site.pk,
        "name": site.name,
        "description": site.description,
        "open": site.open,
        "origins": [*site.origins],
        "pixels": site.pixels,
        "keep_days": site.keep_days,
        "keep_ids": site.keep_ids,
        "dimensions": [*site.dimensions],
        "event_properties": [*site.event_properties],
        "cross_site_cookie": site.cross_site_cookie,
        "session_gap_s": site.session_gap_s,
        "pages_in_lower_case": site.pages_in_lower_case,
        "pages_without_slash": site.pages_without_slash,
        "page_parameters": [*site.page_parameters],
    }


def key_shown(key: Key, now: float, used_s: int | None) -> dict[str, Any]:
    """used_s: when it was last used."""
    return {
        "id": key.id,
        "prefix": key.prefix,
        "scope": key.scope,
        "site": key.site,
        "public": key.public,
        "standing": key.standing(now),
        "made_at": _ms(key.made_s),
        "expires_at": _ms(key.expires_s),
        "revoked_at": _ms(key.revoked_s),
        "last_used_at": _ms(used_s),
    }


def act_shown(act: Act, names: dict[str, str]) -> dict[str, Any]:
    """names: of accounts, by id; one that is gone is shown by its id."""
    return {
        "at": act.at_ms,
        "who": act.who,
        "did": act.did,
        "account": names.get(act.account, act.account),
        "about": act.about,
    }


def _ms(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1000

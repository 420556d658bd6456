"""Logins: who a password or a cookie stands for, and what they may.

    Basic, form ── wait over? ──> password ──> right: Caller, and a cookie for a form | wrong: counted
                     └ no: TooSoon, 429        └ Busy, 503
    cookie ── signed by us ──> user ──> password unchanged, not over: Caller

A user is written `account` (its owner) or `account/user`. All that is wrong gets one answer, after one hash: a password, a user, an
account, and a name that none could have.

Users are read from the store at most once a second, so a password that another program changed, or a right that was taken, may hold a
second longer.
"""

import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Protocol

import msgspec

from hail.access import ANY_MODULE, Caller
from hail.cookies import scheme_of, token_in
from hail.room import COST, MEGABYTE, Bounded
from hail.settings import Settings
from whale.accounts import MODULES, NAME, OWNER, READ, WRITE, Account, Rights, User, user_name
from whale.errors import TooSoon, Unavailable
from whale.live.admission import CONNECT_S, Looker
from whale.passwords import Passwords
from whale.sessions import (
    SESSION_S,
    Session,
    cleared,
    cookie_name,
    cookie_of,
    mark_of,
    session_of,
    token_of,
)
from whale.tries import Tries, address_of

log = logging.getLogger(__name__)

KNOWN_AGAIN_S = 1.0
KNOWN_BYTES = MEGABYTE
ENTRY_BYTES = 10 * COST  # names have at most 64 letters, a hash 97
Environ = Mapping[str, Any]


class Users(Protocol):
    """What of `Accounts` and `Live` of the store is needed here."""

    def account_named(self, name: str) -> Account | None: ...

    def users(self, account: str) -> list[User]: ...

    def user_named(self, account: str, name: str) -> User | None: ...

    def log_out(self, account: str, session: str, kept_s: float) -> None: ...

    def logged_out(self, account: str) -> frozenset[str]: ...


def rights_of(rights: Rights) -> frozenset[str]:
    """As `hail.access.Caller` has them, `module:level`. Every user may what needs no module."""
    levels = [f"{module}:{level}" for module in MODULES for level in (READ, WRITE) if rights.may(module, level)]
    return frozenset((f"{ANY_MODULE}:{READ}", *levels))


class Logins:
    """For many threads; one for each process. key: random."""

    def __init__(self, users: Users, settings: Settings, clock: Callable[[], float], key: bytes, passwords: Passwords):
        self._users, self._settings, self._clock = users, settings, clock
        self._passwords, self._tries = passwords, Tries(key)
        self._known: Bounded[tuple[str, str], tuple[User, float]] = Bounded(
            "users", KNOWN_BYTES, lambda *_: ENTRY_BYTES
        )
        self._named: Bounded[str, tuple[Account, float]] = Bounded("users", KNOWN_BYTES, lambda *_: ENTRY_BYTES)

    def by_basic(self, environ: Environ) -> Caller | None:
        """Whom the header `Authorization` lets in; raises TooSoon, Busy, Unavailable."""
        scheme, _, value = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            text = base64.b64decode(value.strip(), validate=True).decode("utf-8", "surrogateescape")
        except (binascii.Error, ValueError):
            return None
        name, colon, password = text.partition(":")
        user = self._by_password(name, password, environ) if name and colon else None
        return _caller(user) if user else None

    def names_a_user(self, environ: Environ) -> bool:
        """Whether the header `Authorization` names a user by Basic, whatever the password is."""
        scheme, _, value = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
        try:
            text = base64.b64decode(value.strip(), validate=True).decode() if scheme.lower() == "basic" else ""
        except (binascii.Error, ValueError):
            return False
        first, _, rest = text.partition(":")[0].partition("/")
        account = self._account(first)
        return account is not None and self._user(account.id, user_name(account, rest)) is not None

    def logged_in(self, name: str, password: str, environ: Environ) -> str | None:
        """The value of `Set-Cookie` for whom a form lets in. Raises SettingsError without a secret, TooSoon, Busy, Unavailable."""
        user = self._by_password(name, password, environ)
        if user is None:
            return None
        session = self._new_session(user)
        scheme = scheme_of(environ, self._settings.trusted_proxies)
        return cookie_of(_cookie_name(environ, scheme), token_of(session, self._settings), scheme)

    def _new_session(self, user: User) -> Session:
        """None that was logged out within this second."""
        session = Session(user.account, user.name, int(self._clock()), mark_of(user.password))
        over = self._users.logged_out(user.account)
        while session.word in over:
            session = msgspec.structs.replace(session, issued=session.issued + 1)
        return session

    def logged_out(self, environ: Environ) -> str:
        """The value of `Set-Cookie` that ends it in this browser. Its live streams end too, where the store can be told."""
        session = self._session(environ)
        try:
            if session and self._holds(session):
                kept_s = CONNECT_S + self._settings.live_stream_s
                self._users.log_out(session.account, session.word, kept_s)
        except Unavailable as error:
            log.warning("the live streams of a session that was logged out end later: %s", error)
        scheme = scheme_of(environ, self._settings.trusted_proxies)
        return cleared(_cookie_name(environ, scheme), scheme)

    def by_cookie(self, environ: Environ) -> Caller | None:
        """Whom the cookie lets in. Whoever asks must see to it that an own page sent it, where it changes anything."""
        session = self._session(environ)
        user = self._holds(session) if session else None
        return _caller(user) if user else None

    def looker(self, caller: Caller, environ: Environ) -> Looker:
        """A user who was just let in, as who looks at what is live."""
        name = caller.user or OWNER
        user = self._user(caller.account, name)
        mark = mark_of(user.password) if user else ""
        session = None if environ.get("HTTP_AUTHORIZATION") else self._session(environ)
        if session is None:
            return Looker(caller.account, user=name, mark=mark)
        return Looker(caller.account, "", name, mark, session.word, session.issued + SESSION_S)

    def account_now(self, name: str) -> Account | None:
        """The account that has this name, read anew: one that was removed, or made again, is known at once in this process."""
        account = self._users.account_named(name) if NAME.fullmatch(name) else None
        if account:
            self._named.keep(name, (account, self._clock()))
        else:
            self._named.drop(name)
        return account

    def has_users(self, account: str) -> bool:
        """Whether anybody could log in to an account, by its id."""
        return bool(self._users.users(account))

    def _by_password(self, written: str, password: str, environ: Environ) -> User | None:
        first, _, rest = written.partition("/")
        account = self._account(first)
        name = user_name(account, rest) if account else rest
        user = self._user(account.id if account else "", name)
        now, address = self._clock(), address_of(environ, self._settings.trusted_proxies)
        session = self._session(environ)
        known = bool(user and session and (session.account, session.user) == (user.account, user.name))
        if wait := self._tries.wait_s((first, name), address, now, known):
            raise TooSoon(f"too many wrong passwords: try again in {ceil(wait)} s", ceil(wait))
        who = (account.id if account else "", name)
        if self._passwords.are_right(who, user.password if user else None, password, now):
            self._tries.right((first, name), address, now)
            return user
        self._tries.wrong((first, name), address, now, known)
        return None

    def _account(self, name: str) -> Account | None:
        found = self._named.get(name)
        if found and 0 <= self._clock() - found[1] < KNOWN_AGAIN_S:
            return found[0]
        return self.account_now(name)

    def _user(self, account: str, name: str) -> User | None:
        """No such user is looked for anew each time, so that one who was just made is found."""
        found = self._known.get((account, name))
        if found and 0 <= self._clock() - found[1] < KNOWN_AGAIN_S:
            return found[0]
        user = self._users.user_named(account, name)
        if user:
            self._known.keep((account, name), (user, self._clock()))
        return user

    def _holds(self, session: Session) -> User | None:
        """Whose session it is, if it holds."""
        user = self._user(session.account, session.user)
        return user if user and session.holds(user.password, self._clock()) else None

    def _session(self, environ: Environ) -> Session | None:
        header = environ.get("HTTP_COOKIE")
        if not header:
            return None
        name = _cookie_name(environ, scheme_of(environ, self._settings.trusted_proxies))
        return session_of(token_in(header, name), self._settings)


def _caller(user: User) -> Caller:
    return Caller(user.account, rights_of(user.rights), user.name)


def _cookie_name(environ: Environ, scheme: str) -> str:
    return cookie_name(environ.get("HTTP_HOST", ""), scheme)

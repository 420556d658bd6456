"""Whether those who look still may: asked of the store every CHECK_S, for each of them once, however many streams they have.

    session, key or password ──> Looker ── every CHECK_S ──> is the account there, the key good, the password the same, the right there,
                                                             the session not over?  no ──> their streams end

Promise: a stream ends within CHECK_S and the time of the reads after its right did. While the store is away it stays open: nothing can be
told then, and it is looked at again before long.
Cost: one or two small reads for each who looks, and one for each account in which somebody looks by a session.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from hail.access import READ, right_of
from hail.message import ACCOUNT
from whale.accounts import Account, Key, User
from whale.errors import Unavailable
from whale.live.admission import PATH, Looker
from whale.sessions import mark_of

log = logging.getLogger("whale.live")

CHECK_S = 2.0
MODULE = right_of(PATH, "GET").module
"""In which a user needs the right to read."""


class Standing(Protocol):
    """What of a store is needed here."""

    def account_with(self, id: str) -> Account | None: ...

    def user_named(self, account: str, name: str) -> User | None: ...

    def key_hashed(self, hash: str) -> Key | None: ...

    def logged_out(self, account: str) -> frozenset[str]: ...


def may_still(
    looker: Looker, store: Standing, now: float, logged_out: Callable[[str], frozenset[str]] | None = None
) -> bool:
    """Whether somebody may look now. logged_out: of an account, the sessions that are over.  Raises Unavailable."""
    if looker.until and now >= looker.until:
        return False
    if looker.key:
        key = store.key_hashed(looker.key)
        return key is not None and key.account == looker.account and key.may(READ, key.site, now)
    if looker.user is not None:
        user = store.user_named(looker.account, looker.user)
        if user is None or mark_of(user.password) != looker.mark or not user.rights.may(MODULE, READ):
            return False
        return not looker.session or looker.session not in (logged_out or store.logged_out)(looker.account)
    return looker.account == ACCOUNT or store.account_with(looker.account) is not None


def ended(lookers: Iterable[Looker], store: Standing, now: float) -> list[Looker]:
    """Those who may look no more; none while the store is away."""
    over: dict[str, frozenset[str]] = {}

    def logged_out(account: str) -> frozenset[str]:
        if account not in over:
            over[account] = store.logged_out(account)
        return over[account]

    found: list[Looker] = []
    try:
        for looker in lookers:
            if not may_still(looker, store, now, logged_out):
                found.append(looker)
    except Unavailable as error:
        log.info("who looks is not checked: %s", error)
    return found

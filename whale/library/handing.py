"""The directory of accounts as Hail gets it: what the store has, in the form of hail/directory.py.

    store ── all of it, or what changed since a state ── without what Hail does not need ──> a signed record

Promise: a key that was revoked is in no answer, and a delta names it among what is gone, although the store keeps it to be shown.
"""

from collections.abc import Callable
from typing import cast

from hail import salts
from hail.directory import Account, Answer, Gone, Key, Pixels, Scope, Site, State, record_of
from hail.salts import SALT_BYTES, dates_at
from whale.store.contract.directory import Changed, Directory, Whole
from whale.store.contract.directory import State as Stored

WORD_BYTES = 16


class Handing:
    """For many threads. draw: random bytes."""

    def __init__(self, store: Directory, internal_key: str, draw: Callable[[int], bytes]):
        self._store, self._internal_key, self._draw = store, internal_key, draw

    def state(self) -> State:
        """Raises Unavailable."""
        found = self._store.directory_state(self._word())
        return State(found.word, found.version)

    def record(self, seen: State | None) -> tuple[State, bytes]:
        """What has changed since a state, or all where nobody knows that; raises Unavailable."""
        answer = self._answer(seen)
        return State(*answer.state), record_of(answer, self._internal_key)

    def salts(self, now: float) -> bytes:
        """Salts of the days that are somewhere, as a signed record; those that are not there yet are drawn. Raises Unavailable."""
        fresh = {day: self._draw(SALT_BYTES).hex() for day in dates_at(now)}
        return salts.record_of(self._store.salts(fresh), self._internal_key)

    def _answer(self, seen: State | None) -> Answer:
        if seen and (changed := self._store.directory_since(Stored(*seen), self._word())):
            return answer_of(changed, seen.version)
        return answer_of(self._store.directory(self._word()))

    def _word(self) -> str:
        return self._draw(WORD_BYTES).hex()


def answer_of(found: Whole, since: int | None = None) -> Answer:
    """since: of a delta, the version before it."""
    gone = Gone()
    if isinstance(found, Changed):
        ended = [(key.account, key.id) for key in found.keys if key.revoked_s is not None]
        gone = Gone((*found.gone_accounts,), (*found.gone_keys, *ended), (*found.gone_sites,))
    return Answer(
        State(found.state.word, found.state.version),
        since,
        [Account(each.id, each.name, each.zone) for each in found.accounts],
        [
            Key(each.hash, each.id, each.account, cast(Scope, each.scope), each.site, each.public, each.expires_s)
            for each in found.keys
            if each.revoked_s is None
        ],
        [
            Site(
                *(each.account, each.pk, each.open, each.origins, cast(Pixels, each.pixels), each.cross_site_cookie),
                *(each.pages_in_lower_case, each.pages_without_slash, each.page_parameters),
            )
            for each in found.sites
        ],
        gone,
    )

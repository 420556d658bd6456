"""The directory of accounts as Hail needs it, the last use of keys, and the journal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from hail.message import ACCOUNT
from whale.accounts import Account, Act
from whale.store.contract.directory import MOST_ACTS, MOST_CHANGES, SALTS_KEPT_S, Changed, State, Whole
from whale.store.redis.accounts import AT_ONCE, account_from, key_from, site_from
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database
from whale.store.redis.keys import DirectoryKeys

_act = msgspec.json.Decoder(Act).decode
_encode = msgspec.json.Encoder().encode


class Directory:
    """For many threads. default: gives the account that is always there."""

    def __init__(self, database: Database, default: Callable[[], Account]):
        self._client, self._default = database.client, default
        self._since, self._used = database.script("since"), database.script("used")

    @reachable
    def directory_state(self, word: str) -> State:
        return _state_of(self._asked(word, State("", 0)))

    def _asked(self, word: str, seen: State) -> Sequence[Any]:
        keys = DirectoryKeys.STATE, DirectoryKeys.ENTRIES, DirectoryKeys.CHANGES, DirectoryKeys.GONE
        answer: Sequence[Any] = self._since(keys, [word, seen.word, seen.version, MOST_CHANGES])
        return answer

    @reachable
    def directory(self, word: str) -> Whole:
        state = _state_of(
            self._asked(word, State("", 0))
        )  # first: what changes meanwhile is in the next `directory_since`
        ids = [ACCOUNT, *(raw.decode() for raw in self._client.hvals(DirectoryKeys.NAMES))]
        whole = Whole(state, [self._default()], [], [])
        for first in range(0, len(ids), AT_ONCE):
            with self._client.pipeline(transaction=False) as pipe:
                for id_ in ids[first : first + AT_ONCE]:
                    pipe.hgetall(DirectoryKeys.entries(id_))
                for entries in pipe.execute():
                    _into(whole, entries.items())
        return whole

    @reachable
    def directory_since(self, seen: State, word: str) -> Changed | None:
        answer = self._asked(word, seen)
        if len(answer) == 2:
            return None
        flat, gone = answer[2:]
        changed = Changed(_state_of(answer), [], [], [], [], [], [])
        _into(changed, ((member.partition(b" ")[2], text) for member, text in zip(flat[::2], flat[1::2], strict=True)))
        for member in gone:
            account, _, field = member.decode().partition(" ")
            if field == "a":
                changed.gone_accounts.append(account)
            else:
                (changed.gone_sites if field[0] == "s" else changed.gone_keys).append((account, field[2:]))
        return changed

    @reachable
    def salts(self, fresh: Mapping[str, str]) -> dict[str, str]:
        with self._client.pipeline() as pipe:
            for day, salt in fresh.items():
                pipe.hsetnx(DirectoryKeys.SALTS, day, salt)
            pipe.expire(DirectoryKeys.SALTS, SALTS_KEPT_S)
            pipe.hgetall(DirectoryKeys.SALTS)
            *_, answer = pipe.execute()
        found: dict[str, str] = {day.decode(): salt.decode() for day, salt in answer.items()}
        if over := [day for day in found if day < min(fresh)]:
            self._client.hdel(DirectoryKeys.SALTS, *over)
        return {day: found[day] for day in fresh}

    @reachable
    def note_uses(self, used: Mapping[tuple[str, str], int]) -> None:
        rows = [part for (account, id_), at_s in used.items() for part in (account, id_, at_s)]
        for first in range(0, len(rows), 3 * AT_ONCE):
            self._used([DirectoryKeys.ENTRIES], rows[first : first + 3 * AT_ONCE])

    @reachable
    def last_uses(self, account: str) -> dict[str, int]:
        entries = self._client.hgetall(DirectoryKeys.entries(account))
        return {field[2:].decode(): int(at_s) for field, at_s in entries.items() if field.startswith(b"l:")}

    @reachable
    def write_act(self, act: Act) -> None:
        with self._client.pipeline() as pipe:
            pipe.lpush(DirectoryKeys.JOURNAL, _encode(act))
            pipe.ltrim(DirectoryKeys.JOURNAL, 0, MOST_ACTS - 1)
            pipe.execute()

    @reachable
    def journal(self, account: str | None = None) -> list[Act]:
        acts = [_act(text) for text in self._client.lrange(DirectoryKeys.JOURNAL, 0, -1)]
        return [act for act in acts if account in (None, act.account)]


def _state_of(answer: Sequence[Any]) -> State:
    return State(answer[0].decode(), int(answer[1]))


def _into(whole: Whole, entries: Any) -> None:
    for field, text in entries:
        kind = field[:1]
        if kind == b"a":
            whole.accounts.append(account_from(text))
        elif kind == b"s":
            whole.sites.append(site_from(text))
        elif kind == b"k":
            whole.keys.append(key_from(text))

"""Accounts and what belongs to each. An account's entries lie in one hash, each as JSON under the letter of its kind and its name;
every change is one call of entry.lua."""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from redis.cluster import RedisCluster

from hail.message import ACCOUNT
from whale.accounts import NAME, OWNER, Account, Act, Key, Site, User
from whale.store.contract.accounts import (
    FREED_AGAIN_S,
    MOST_ACCOUNTS,
    MOST_OF_A_KIND,
    Entry,
    account_of,
    changed_meanwhile,
    check_same,
    default_stays,
    field_of,
    no_account,
    not_there,
    retired,
    taken,
    too_many,
)
from whale.store.contract.directory import MOST_ACTS, MOST_GONE
from whale.store.contract.owners import MOST_REMOVED, known_s
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database
from whale.store.redis.keys import DirectoryKeys

AT_ONCE = 500  # reads of one packet
SCAN_COUNT, FEW, LEASE_S = 500, 100, 10
SAYS = {
    b"account": no_account,
    b"taken": taken,
    b"retired": retired,
    b"full": too_many,
    b"none": not_there,
    b"meanwhile": changed_meanwhile,
}

Kind = TypeVar("Kind", User, Site, Key)
_encode = msgspec.json.Encoder().encode
account_from, user_from, site_from, key_from = (
    msgspec.json.Decoder(Account).decode,
    msgspec.json.Decoder(User).decode,
    msgspec.json.Decoder(Site).decode,
    msgspec.json.Decoder(Key).decode,
)


class Accounts:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._client, self._entry = database, database.client, database.script("entry")
        self._work: Iterator[None] | None = None

    @reachable
    def accounts(self) -> list[Account]:
        ids = self._client.hvals(DirectoryKeys.NAMES)
        found = [self.default()]
        for first in range(0, len(ids), AT_ONCE):
            with self._client.pipeline(transaction=False) as pipe:
                for raw in ids[first : first + AT_ONCE]:
                    pipe.hget(DirectoryKeys.entries(raw.decode()), "a")
                found += [account_from(text) for text in pipe.execute() if text is not None]
        return found

    def default(self) -> Account:
        return Account(ACCOUNT, ACCOUNT, self._database.zone(ACCOUNT), 0)

    @reachable
    def account_named(self, name: str) -> Account | None:
        if name == ACCOUNT:
            return self.default()
        found = self._client.hget(DirectoryKeys.NAMES, name)
        text = self._client.hget(DirectoryKeys.entries(found.decode()), "a") if found else None
        account = account_from(text) if text else None
        return account if account and account.name == name else None  # it may have changed between the two

    @reachable
    def account_with(self, id: str) -> Account | None:
        if id == ACCOUNT:
            return self.default()
        text = self._client.hget(DirectoryKeys.entries(id), "a")
        return account_from(text) if text else None

    @reachable
    def users(self, account: str) -> list[User]:
        return [user_from(text) for text in self._of(account, b"u:")]

    @reachable
    def user_named(self, account: str, name: str) -> User | None:
        if name != OWNER and not NAME.fullmatch(name):  # such a name may have letters that are no UTF-8
            return None
        text = self._client.hget(DirectoryKeys.entries(account), f"u:{name}")
        return user_from(text) if text else None

    @reachable
    def sites(self, account: str) -> list[Site]:
        return [site_from(text) for text in self._of(account, b"s:")]

    @reachable
    def keys(self, account: str) -> list[Key]:
        return [key_from(text) for text in self._of(account, b"k:")]

    def _of(self, account: str, kind: bytes) -> list[bytes]:
        entries = self._client.hgetall(DirectoryKeys.entries(account))
        return [text for field, text in entries.items() if field.startswith(kind)]

    @reachable
    def key_hashed(self, hash: str) -> Key | None:
        found = self._client.hget(DirectoryKeys.HASHES, hash)
        account, _, id_ = (found or ACCOUNT.encode()).decode().partition(" ")  # as many reads where there is none
        text = self._client.hget(DirectoryKeys.entries(account), f"k:{id_}")
        return key_from(text) if found and text else None

    @reachable
    def add_entry(self, entry: Entry, act: Act) -> None:
        self._done("add", entry, act, new=_encode(entry))

    @reachable
    def change_entry(self, seen: Entry, new: Entry, act: Act) -> None:
        check_same(seen, new)
        self._done("change", new, act, new=_encode(new), seen=_encode(seen))

    @reachable
    def remove_entry(self, entry: Entry, act: Act) -> None:
        self._done("remove", entry, act)

    def _done(self, op: str, entry: Entry, act: Act, new: bytes = b"", seen: bytes = b"") -> None:
        is_account = isinstance(entry, Account)
        if op != "add" and is_account and account_of(entry) == ACCOUNT:
            raise default_stays()
        word = entry.name if isinstance(entry, Account) else entry.hash if isinstance(entry, Key) else ""
        most = MOST_ACCOUNTS if is_account else MOST_OF_A_KIND
        keys = DirectoryKeys
        said = self._entry(
            [
                *(keys.STATE, keys.NAMES, keys.ENTRIES, keys.HASHES, keys.CHANGES, keys.GONE, keys.JOURNAL),
                *(keys.RETIRED, keys.TRASH, keys.REMOVED, keys.WAS),
            ],
            [
                *(op, account_of(entry), field_of(entry), new, seen, _encode(act), most, word, ACCOUNT),
                *(MOST_GONE, MOST_ACTS, act.at_ms, known_s(self._database.settings), MOST_REMOVED),
            ],
        )
        if said in SAYS:
            raise SAYS[said](entry)

    @reachable
    def free_accounts(self, now: float) -> bool:
        """Safe twice at once, and killed anywhere: the next one begins with what is left."""
        if self._work is None:
            due = self._client.zrange(DirectoryKeys.TRASH, "-inf", now, byscore=True, offset=0, num=1, withscores=True)
            if not due or not self._client.set(DirectoryKeys.FREEING, 1, nx=True, ex=LEASE_S):
                return False
            self._work = self._steps(due[0][0].decode(), due[0][1] > 0, now)
        else:
            self._client.set(DirectoryKeys.FREEING, 1, ex=LEASE_S)
        try:
            next(self._work)
        except StopIteration:
            self._work = None
            self._client.delete(DirectoryKeys.FREEING)
        except Exception:  # whatever it was: begun anew by whoever comes first
            self._work = None
            raise
        return True

    def _steps(self, account: str, is_last: bool, now: float) -> Iterator[None]:
        for server in self._servers():
            cursor = 0
            while True:
                cursor, names = server.scan(cursor, match=f"{account}:*", count=SCAN_COUNT)
                for first in range(0, len(names), FEW):
                    for name in names[first : first + FEW]:  # each may have a slot of its own
                        self._client.unlink(name)
                    yield
                if cursor == 0:
                    break
                yield
        if is_last:
            self._client.zrem(DirectoryKeys.TRASH, account)
        else:
            self._client.zadd(DirectoryKeys.TRASH, {account: now + FREED_AGAIN_S})

    def _servers(self) -> list[Any]:
        if not isinstance(self._client, RedisCluster):
            return [self._client]
        return [self._client.get_redis_connection(node) for node in self._client.get_primaries()]

"""Whose hits are, read from the entries of accounts and from what entry.lua leaves of those that it removes."""

from collections.abc import Collection, Sequence

from hail.message import ACCOUNT
from whale.store.contract.owners import Doors
from whale.store.redis.accounts import AT_ONCE, key_from
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database
from whale.store.redis.keys import DirectoryKeys


class Owners:
    """For many threads."""

    def __init__(self, database: Database):
        self._client = database.client

    @reachable
    def doors(self, account: str) -> Doors | None:
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hgetall(DirectoryKeys.entries(account))
            pipe.hgetall(DirectoryKeys.removed(account))
            entries, removed = pipe.execute()
        if account != ACCOUNT and b"a" not in entries:
            return None
        found = Doors([], set(), [], {})
        for field, text in entries.items():
            if field.startswith(b"k:"):
                found.keys.append(key_from(text))
            elif field.startswith(b"s:"):
                found.sites.add(field[2:].decode())
        for field, row in removed.items():
            at_ms, _, text = row.partition(b" ")
            if field.startswith(b"k:"):
                found.removed_keys.append((key_from(text), int(at_ms)))
            else:
                found.removed_sites[field[2:].decode()] = int(at_ms)
        return found

    @reachable
    def owners(self, hashes: Collection[str]) -> dict[str, tuple[str, str]]:
        found: dict[str, bytes] = {}
        asked = list(hashes)
        for first in range(0, len(asked), AT_ONCE):
            some = asked[first : first + AT_ONCE]
            found |= _there(some, self._client.hmget(DirectoryKeys.HASHES, some))
            if left := [hash_ for hash_ in some if hash_ not in found]:
                with self._client.pipeline(transaction=False) as pipe:
                    for hash_ in left:
                        pipe.get(DirectoryKeys.was(hash_))
                    found |= _there(left, pipe.execute())
        places = {hash_: row.decode().partition(" ") for hash_, row in found.items()}
        return {hash_: (account, id_) for hash_, (account, _, id_) in places.items()}


def _there(asked: Sequence[str], found: Sequence[bytes | None]) -> dict[str, bytes]:
    return {name: row for name, row in zip(asked, found, strict=True) if row is not None}

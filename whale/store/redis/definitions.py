"""Texts by name, each with its revision: decisions that somebody defined, and what was imported."""

from collections.abc import Sequence

from whale.errors import CallerError
from whale.store.contract.definitions import Defined, too_many_definitions
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database


class Revisions:
    """One hash of such texts. For many threads."""

    def __init__(self, database: Database):
        self._client, self._define = database.client, database.script("define")

    def read(self, key: str, names: Sequence[str] | None = None) -> dict[str, Defined]:
        """Those that are there; of None all."""
        if names is None:
            return {name.decode(): _defined_of(text) for name, text in self._client.hgetall(key).items()}
        found = self._client.hmget(key, names) if names else []
        return {name: _defined_of(text) for name, text in zip(names, found, strict=True) if text is not None}

    def keep(self, key: str, name: str, seen: int, new: Defined, most: int, full: CallerError) -> Defined | None:
        """What is new where the revision that is there was seen; else what is there. full: raised past `most` names."""
        done, *found = self._define([key], [name, seen, b"%d %s" % (new.revision, new.text), most])
        if done < 0:
            raise full
        return new if done else _defined_of(found[0]) if found and found[0] is not None else None


def _defined_of(found: bytes) -> Defined:
    revision, _, text = found.partition(b" ")
    return Defined(int(revision), text)


class Definitions:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._revisions = database, Revisions(database)

    @reachable
    def definitions(self, account: str, names: Sequence[str] | None = None) -> dict[str, Defined]:
        return self._revisions.read(self._database.keys(account).definitions(), names)

    @reachable
    def define(self, account: str, name: str, seen: int, new: Defined) -> Defined | None:
        key, most = self._database.keys(account).definitions(), int(self._database.settings.max_definitions)
        return self._revisions.keep(key, name, seen, new, most, too_many_definitions(most))

"""Bytes of hits that no program could read."""

from collections.abc import Sequence
from typing import Any

from whale.store.contract.aside import ASIDE_KEPT_S, Illegible, last_within
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database


class Aside:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._client, self._aside = database, database.client, database.script("aside")

    @reachable
    def set_aside(self, account: str, hits: Sequence[Illegible]) -> None:
        most = self._database.settings.max_undecodable_bytes
        ask: list[Any] = [most, ASIDE_KEPT_S]
        for hit in last_within(hits, most):
            ask += hit
        self._aside(self._database.keys(account).undecodable(), ask)

    @reachable
    def aside(self, account: str) -> list[Illegible]:
        names, raws = self._database.keys(account).undecodable()
        kept = self._client.zrange(names, 0, -1, withscores=True)
        found = self._client.hmget(raws, [name for name, _ in kept]) if kept else []
        rows = zip(kept, found, strict=True)
        return [Illegible(name.decode(), int(at), raw) for (name, at), raw in rows if raw is not None]

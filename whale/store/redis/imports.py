"""What is kept of imports, and when things were last reset, for them."""

import msgspec

from whale.dimension import Path, Pk
from whale.store.contract.definitions import Defined
from whale.store.contract.imports import too_many_imports
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database
from whale.store.redis.definitions import Revisions

_target = msgspec.json.Decoder(tuple[Pk, tuple[str, ...] | None]).decode


class Imports:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._revisions = database, Revisions(database)

    @reachable
    def imports(self, account: str) -> dict[str, Defined]:
        return self._revisions.read(self._database.keys(account).imports()[0])

    @reachable
    def keep_import(self, account: str, name: str, seen: int, new: Defined) -> Defined | None:
        key, most = self._database.keys(account).imports()[0], int(self._database.settings.max_imports)
        return self._revisions.keep(key, name, seen, new, most, too_many_imports(most))

    @reachable
    def last_resets(self, account: str) -> dict[tuple[Pk, Path | None], int]:
        return last_resets_of(self._database.client.hgetall(self._database.keys(account).imports()[1]))


def last_resets_of(fields: dict[bytes, bytes]) -> dict[tuple[Pk, Path | None], int]:
    return {_target(target): int(at_ms) for target, at_ms in fields.items()}

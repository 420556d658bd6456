"""What is kept of imports, and when things were last reset, for them."""

import msgspec

from hail.settings import Settings
from whale.dimension import Path, Pk
from whale.store.base import Defined, too_many_imports
from whale.store.redis.connection import Connected, Connection, Script, reachable
from whale.store.redis.decisions import defined_of
from whale.store.redis.keys import Keys

_target = msgspec.json.Decoder(tuple[Pk, tuple[str, ...] | None]).decode


class Imports(Connected):
    """For many threads."""

    def __init__(self, connection: Connection, settings: Settings):
        super().__init__(connection, settings)
        self._keep = Script(self.client, "define")

    @reachable
    def imports(self, account: str) -> dict[str, Defined]:
        kept = self.client.hgetall(Keys(account, self.shards).imports()[0])
        return {name.decode(): defined_of(text) for name, text in kept.items()}

    @reachable
    def keep_import(self, account: str, name: str, seen: int, new: Defined) -> Defined | None:
        text, most = b"%d %s" % (new.revision, new.text), int(self.settings.max_imports)
        done, *found = self._keep([Keys(account, self.shards).imports()[0]], [name, seen, text, most])
        if done < 0:
            raise too_many_imports(most)
        return new if done else defined_of(found[0]) if found and found[0] is not None else None

    @reachable
    def last_resets(self, account: str) -> dict[tuple[Pk, Path | None], int]:
        return last_resets_of(self.client.hgetall(Keys(account, self.shards).imports()[1]))


def last_resets_of(fields: dict[bytes, bytes]) -> dict[tuple[Pk, Path | None], int]:
    return {_target(target): int(at_ms) for target, at_ms in fields.items()}

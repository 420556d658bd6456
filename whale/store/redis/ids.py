"""Which message owns a hit id."""

import base64
from collections.abc import Sequence
from typing import Any

from whale.cells import Name
from whale.store.redis import keys as layout
from whale.store.redis.connection import pack, reachable
from whale.store.redis.database import Database
from whale.store.redis.keys import digest

FINGERPRINT = 6  # bytes of the hash that stands for a hit id, and for the message that owns it


class Ids:
    """For one thread at a time."""

    def __init__(self, database: Database):
        self._database, self._claim = database, database.script("claim")

    @reachable
    def claim(self, account: str, ids: Sequence[tuple[str, Name]], now: float) -> set[int]:
        keys, settings = self._database.keys(account), self._database.settings
        width = int(settings.dedupe_window_s + settings.spool_max_age_s) // 2
        slice_ = int(now) // width
        most = settings.max_ids // (3 * keys.shards)
        owners: dict[Name, str] = {}
        calls: dict[int, tuple[list[int], list[Any]]] = {}
        for position, (hit_id, name) in enumerate(ids):
            owner = owners.get(name)
            if owner is None:
                owner = owners[name] = _text(digest(name[0], str(name[1]), size=FINGERPRINT))
            raw = digest(hit_id, size=FINGERPRINT + 4)
            bucket = int.from_bytes(raw[:2], "big") % layout.ID_BUCKETS
            shard = int.from_bytes(raw[2:4], "big") % keys.shards
            positions, ask = calls.setdefault(shard, ([], [3 * width, most]))
            positions.append(position)
            ask += (bucket, _text(raw[4:]), owner)
        taken: set[int] = set()
        for shard, (positions, ask) in calls.items():
            found = self._claim([keys.ids(shard, slice_ - back) for back in range(3)], [pack(ask)])
            taken.update(positions[i] for i in found)
        return taken


def _text(raw: bytes) -> str:
    """Bytes as the short text that Redis's msgpack can take: it knows no binary."""
    return base64.b64encode(raw).decode()

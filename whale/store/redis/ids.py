"""Which message owns a hit id."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from whale.cells import Name
from whale.store.contract.ids import is_order, window_of
from whale.store.redis import keys as layout
from whale.store.redis.connection import pack, reachable
from whale.store.redis.database import Database
from whale.store.redis.keys import digest

_Call = tuple[Sequence[str], Sequence[bytes]]
FINGERPRINT = 6  # bytes of the hash that stands for a hit id, and for the message that owns it


class Ids:
    """For one thread at a time."""

    def __init__(self, database: Database):
        self._database, self._claim = database, database.script("claim")

    def claim(self, account: str, ids: Sequence[tuple[str, Name]], now: float) -> set[int]:
        return self.claim_each({account: ids}, now)[account]

    @reachable
    def claim_each(self, ids: Mapping[str, Sequence[tuple[str, Name]]], now: float) -> dict[str, set[int]]:
        owners: dict[Name, str] = {}
        calls, asked = list[_Call](), list[tuple[str, list[int]]]()
        for account, of_account in ids.items():
            for positions, call in self._calls(account, of_account, owners, now):
                calls.append(call)
                asked.append((account, positions))
        answers = self._claim.many(calls) if len(calls) > 1 else [self._claim(*call) for call in calls]
        taken: dict[str, set[int]] = {account: set() for account in ids}
        for (account, positions), found in zip(asked, answers, strict=True):
            taken[account].update(positions[i] for i in found)
        return taken

    def _calls(
        self, account: str, ids: Sequence[tuple[str, Name]], owners: dict[Name, str], now: float
    ) -> Iterator[tuple[list[int], _Call]]:
        """One a shard, and one for orders, with the positions of its ids. owners: how messages stand in them, as far as that is known."""
        keys, settings = self._database.keys(account), self._database.settings
        widths = [int(window_of(settings, order)) // 2 for order in (False, True)]
        most = settings.max_ids // (3 * keys.shards)
        shards: dict[tuple[int, bool], tuple[list[int], list[Any]]] = {}
        for position, (hit_id, name) in enumerate(ids):
            owner = owners.get(name)
            if owner is None:
                owner = owners[name] = _text(digest(name[0], str(name[1]), size=FINGERPRINT))
            raw = digest(hit_id, size=FINGERPRINT + 4)
            bucket = int.from_bytes(raw[:2], "big") % layout.ID_BUCKETS
            place = int.from_bytes(raw[2:4], "big") % keys.shards, is_order(hit_id)
            positions, ask = shards.setdefault(place, ([], [3 * widths[place[1]], most]))
            positions.append(position)
            ask += (bucket, _text(raw[4:]), owner)
        for (shard, order), (positions, ask) in shards.items():
            slice_ = int(now) // widths[order]
            yield positions, ([keys.ids(shard, slice_ - back, order) for back in range(3)], [pack(ask)])


def _text(raw: bytes) -> str:
    """Bytes as the short text that Redis's msgpack can take: it knows no binary."""
    return base64.b64encode(raw).decode()

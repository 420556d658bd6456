"""What could not be added, or was lost."""

import msgspec

from whale.store.contract.faults import FaultyMetric
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database


class Faults:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._client = database, database.client

    @reachable
    def faults(self, account: str) -> dict[str, int]:
        keys = self._database.keys(account)
        sums: dict[str, int] = {}
        for shard in range(keys.shards):
            for reason, count in self._client.hgetall(keys.faults(shard)).items():
                sums[reason.decode()] = sums.get(reason.decode(), 0) + int(count)
        return sums

    @reachable
    def evicted(self) -> int:
        return sum(int(node["evicted_keys"]) for node in self._database.info("stats"))

    @reachable
    def faulty_metrics(self, account: str) -> list[FaultyMetric]:
        shards = range(self._database.shards)
        found = [name for shard in shards for name in self._noted_faults(account, shard) if name.startswith(b"[")]
        return sorted(FaultyMetric(reason, tuple(pk), metric) for reason, pk, metric in map(msgspec.json.decode, found))

    @reachable
    def faults_seen(self, account: str) -> dict[str, int]:
        sums: dict[str, int] = {}
        for shard in range(self._database.shards):
            for name, count in self._noted_faults(account, shard).items():
                if not name.startswith(b"["):
                    sums[name.decode()] = sums.get(name.decode(), 0) + int(count)
        return sums

    @reachable
    def see_faults(self, account: str) -> None:
        keys = self._database.keys(account)
        for shard in range(keys.shards):
            if counts := self._client.hgetall(keys.faults(shard)):
                self._client.hset(keys.noted(shard), mapping=counts)

    def _noted_faults(self, account: str, shard: int) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = self._client.hgetall(self._database.keys(account).noted(shard))
        return found

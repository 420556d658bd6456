"""What was counted of each publisher, by message."""

from hail.message import Mark
from whale.store.contract.tallies import PublisherAudit
from whale.store.redis import keys as layout
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database


class Tallies:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._client = database, database.client

    @reachable
    def seen(self, mark: Mark) -> bool:
        account, publisher, seq = mark
        home = self._database.keys(account).home(publisher)
        return bool(self._client.getbit(layout.seen(home, mark), seq % layout.SEEN_BITS))

    @reachable
    def audit(self, account: str) -> list[PublisherAudit]:
        keys = self._database.keys(account)
        found = []
        for shard in range(keys.shards):
            for raw in self._client.zrange(keys.publishers(shard), 0, -1):
                publisher = raw.decode()
                row = {
                    name.decode(): int(value) for name, value in self._client.hgetall(keys.publisher(publisher)).items()
                }
                dropped = {
                    name.removeprefix("dropped."): count for name, count in row.items() if name.startswith("dropped.")
                }
                if row:
                    found.append(
                        PublisherAudit(
                            publisher,
                            row["messages"],
                            row["hits"],
                            row["seq"],
                            row["total"],
                            dropped,
                            row.get("to_log", 0),
                        )
                    )
        return found

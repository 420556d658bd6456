"""What every part of the store stands on: one Redis, the settings, and of each account its keys and its zone."""

from typing import Any

import msgspec
from redis.cluster import RedisCluster

from hail.message import ACCOUNT
from hail.room import COST, MEGABYTE, Bounded
from hail.settings import Settings
from whale.errors import Unavailable
from whale.period import Interval
from whale.store.redis.connection import Connection, Script, reachable
from whale.store.redis.keys import DirectoryKeys, Keys, block_end

REPLICA_TIMEOUT_MS = 1000
ZONES_BYTES = 8 * MEGABYTE  # of 13,000 accounts


class _Zoned(msgspec.Struct):
    """Of an account's record."""

    zone: str


_zoned = msgspec.json.Decoder(_Zoned).decode


class Database:
    """For many threads."""

    def __init__(self, connection: Connection, settings: Settings):
        self.connection, self.client, self.settings = connection, connection.client, settings
        self.shards = int(settings.shards)
        self._kept = dict(settings.periods)
        self._zones: Bounded[str, str] = Bounded("zones", ZONES_BYTES, lambda *_: 3 * COST)

    def keys(self, account: str) -> Keys:
        return Keys(account, self.shards)

    def script(self, *names: str) -> Script:
        return Script(self.client, *names)

    @reachable
    def zone(self, account: str) -> str:
        zone = self._zones.get(account)
        if zone is None:
            found = self.client.hget(self.keys(account).account, "zone")
            if found is None:  # nothing was counted yet
                return self._zone_made_with(account) or str(self.settings.timezone)
            zone = found.decode()
            self._zones.keep(account, zone)
        return zone

    def _zone_made_with(self, account: str) -> str:
        made = None if account == ACCOUNT else self.client.hget(DirectoryKeys.entries(account), "a")
        return _zoned(made).zone if made else ""

    def begin(self, account: str) -> None:
        """Fixes the zone of an account that is counted for the first time."""
        if self._zones.get(account) is None:
            self.client.hsetnx(self.keys(account).account, "zone", self.zone(account))

    def info(self, section: str) -> list[dict[str, Any]]:
        """Of INFO, of each server that takes writes."""
        if not isinstance(self.client, RedisCluster):
            return [self.client.info(section)]
        found = self.client.info(section, target_nodes=RedisCluster.PRIMARIES)
        several = all(isinstance(each, dict) for each in found.values())  # of one node its own answer
        return list(found.values()) if several else [found]

    def ttl(self, interval: Interval, block: int, now: float) -> int:
        """Of a block of buckets: seconds from now, 0 for ever."""
        kept = self._kept[interval]
        return 0 if kept is None else max(1, int(block_end(interval, block) + kept - now))

    def await_replicas(self, keys: Keys, shard: int) -> None:
        """Until as many replicas as are asked for have all that was written to a shard so far; raises Unavailable.

        WAIT speaks of what its own connection wrote. Replicas take all writes in one order, so one more write, last, stands for all.
        """
        wanted, key = self.settings.wait_replicas, keys.waited(shard)
        if not wanted:
            return
        if isinstance(self.client, RedisCluster):
            self.client.incr(key)
            node = self.client.get_node_from_key(key)
            reached = self.client.execute_command("WAIT", wanted, REPLICA_TIMEOUT_MS, target_nodes=node)
        else:
            with self.client.pipeline(transaction=False) as one_connection:
                one_connection.incr(key)
                one_connection.execute_command("WAIT", wanted, REPLICA_TIMEOUT_MS)
                reached = one_connection.execute()[1]
        if reached < wanted:
            raise Unavailable(f"Redis: {reached} of {wanted} replicas acknowledged the write")

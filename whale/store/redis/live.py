"""What people watch while it is counted: who looks stands in a sorted set, and what they are told goes by Pub/Sub."""

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from redis.cluster import RedisCluster

from whale.dimension import Pk
from whale.errors import Unavailable
from whale.events import decode_pk, encode_pk
from whale.store.contract.live import MOST_LOOKED, Heard
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database

CONFIRM_S = 2.0


class Live:
    """For many threads. Plain Pub/Sub, which a Redis Cluster hands to all of its nodes: Redis 6.2 has no other."""

    def __init__(self, database: Database):
        self._database, self._client = database, database.client

    @reachable
    def look(self, account: str, pks: Collection[Pk], kept_s: float) -> None:
        """By the server's clock, since those of several machines differ."""
        key, _ = self._database.keys(account).live()
        is_cluster = isinstance(self._client, RedisCluster)
        where = {"target_nodes": self._client.get_node_from_key(key)} if is_cluster else {}
        seconds, micros = self._client.execute_command("TIME", **where)
        now = int(seconds) + int(micros) / 1e6
        with self._client.pipeline(transaction=False) as pipe:
            if pks:
                pipe.zadd(key, {encode_pk(pk): now + kept_s for pk in pks})
            pipe.zremrangebyscore(key, "-inf", now)
            pipe.zremrangebyrank(key, 0, -MOST_LOOKED - 1)
            pipe.expire(key, math.ceil(kept_s))
            pipe.execute()

    @reachable
    def looked(self, account: str) -> frozenset[Pk]:
        key, _ = self._database.keys(account).live()
        found = set[Pk]()
        for text in self._client.zrange(key, 0, -1):
            try:
                found.add(decode_pk(text))
            except (msgspec.DecodeError, UnicodeError):  # not ours
                continue
        return frozenset(found)

    @reachable
    def publish(self, account: str, said: bytes) -> None:
        self._client.publish(self._database.keys(account).live()[1], said)

    @contextmanager
    def hear(self, account: str) -> Iterator[Heard]:
        """It takes itself up again after a short while without Redis: what was published meanwhile is gone."""
        subscription = self._subscribed(self._database.keys(account).live()[1])
        try:
            yield reachable(lambda wait_s: _next(subscription, wait_s))
        finally:
            subscription.close()

    @reachable
    def _subscribed(self, channel: str) -> Any:
        subscription = self._client.pubsub()
        subscription.subscribe(channel)
        if subscription.get_message(timeout=CONFIRM_S) is None:
            subscription.close()
            raise Unavailable("Redis: it does not confirm a subscription")
        return subscription


def _next(subscription: Any, wait_s: float) -> bytes | None:
    message = subscription.get_message(timeout=wait_s)
    return message["data"] if message and message["type"] == "message" else None

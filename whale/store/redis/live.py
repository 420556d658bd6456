"""What people watch while it is counted: who looks stands in a sorted set, and what they are told goes by Pub/Sub."""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from redis.cluster import RedisCluster

from whale.dimension import Pk
from whale.errors import Unavailable
from whale.events import decode_pk, encode_pk
from whale.store.contract import live
from whale.store.contract.live import MOST_LOGGED_OUT, MOST_LOOKED
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database

CONFIRM_S = 2.0
AT_ONCE = 500  # accounts of one packet


class Live:
    """For many threads. Plain Pub/Sub, which a Redis Cluster hands to all of its nodes: Redis 6.2 has no other."""

    def __init__(self, database: Database):
        self._database, self._client = database, database.client

    @reachable
    def look(self, looked: Mapping[str, Collection[Pk]], kept_s: float) -> None:
        """By the server's clock, since those of several machines differ."""
        now_of = clock_of(self._client)
        accounts = [*looked.items()]
        for first in range(0, len(accounts), AT_ONCE):
            with self._client.pipeline(transaction=False) as pipe:
                for account, pks in accounts[first : first + AT_ONCE]:
                    key, _ = self._database.keys(account).live()
                    now = now_of(key)
                    if pks:
                        pipe.zadd(key, {encode_pk(pk): now + kept_s for pk in pks})
                    _trim(pipe, key, now, MOST_LOOKED)
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
    def hearing(self) -> Iterator["Hearing"]:
        """It takes itself up again after a short while without Redis: what was published meanwhile is gone."""
        subscription = self._client.pubsub()
        try:
            yield Hearing(subscription, lambda account: self._database.keys(account).live()[1])
        finally:
            subscription.close()

    @reachable
    def log_out(self, account: str, session: str, kept_s: float) -> None:
        key = self._database.keys(account).logged_out()
        now = clock_of(self._client)(key)
        with self._client.pipeline(transaction=False) as pipe:
            pipe.zadd(key, {session: now + kept_s})
            _trim(pipe, key, now, MOST_LOGGED_OUT)
            pipe.expire(key, math.ceil(kept_s))
            pipe.execute()

    @reachable
    def logged_out(self, account: str) -> frozenset[str]:
        found = self._client.zrange(self._database.keys(account).logged_out(), 0, -1)
        return frozenset(word.decode("utf-8", "replace") for word in found)


def clock_of(client: Any) -> Callable[[str], float]:
    """Seconds by the clock of the server that has a key; each is asked once."""
    times: dict[Any, float] = {}

    def now_of(key: str) -> float:
        node = client.get_node_from_key(key) if isinstance(client, RedisCluster) else None
        if node not in times:
            seconds, micros = client.execute_command("TIME", **({"target_nodes": node} if node else {}))
            times[node] = int(seconds) + int(micros) / 1e6
        return times[node]

    return now_of


def _trim(pipe: Any, key: str, now: float, most: int) -> None:
    pipe.zremrangebyscore(key, "-inf", now)
    pipe.zremrangebyrank(key, 0, -most - 1)


class Hearing(live.Hearing):
    """For one thread. channel_of: of an account."""

    def __init__(self, subscription: Any, channel_of: Callable[[str], str]):
        self._subscription, self._channel_of = subscription, channel_of
        self._accounts: dict[bytes, str] = {}
        self._early: deque[tuple[str, bytes]] = deque()  # came while another channel was not confirmed yet

    @reachable
    def hear(self, account: str) -> None:
        channel = self._channel_of(account).encode()
        self._accounts[channel] = account
        self._subscription.subscribe(channel)
        while (message := self._subscription.get_message(timeout=CONFIRM_S)) is not None:
            if message["type"] == "subscribe" and message["channel"] == channel:
                return
            if told := self._told(message):
                self._early.append(told)
        raise Unavailable("Redis: it does not confirm a subscription")

    @reachable
    def leave(self, account: str) -> None:
        channel = self._channel_of(account).encode()
        self._accounts.pop(channel, None)
        self._subscription.unsubscribe(channel)

    @reachable
    def next(self, wait_s: float) -> tuple[str, bytes] | None:
        if self._early:
            return self._early.popleft()
        while (message := self._subscription.get_message(timeout=wait_s)) is not None:
            if told := self._told(message):  # others confirm what is heard and left
                return told
        return None

    def _told(self, message: Any) -> tuple[str, bytes] | None:
        if not message or message["type"] != "message":
            return None
        account = self._accounts.get(message["channel"])
        return (account, message["data"]) if account is not None else None

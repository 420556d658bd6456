"""What is said with one visitor: a list for each talk, a sorted set of the talks of an account, and two of the pages that listen.

All of an account lies on one shard. Pages stand by name, so that those of a visitor lie together, and beside that by when their time ends.
"""

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import msgspec

from whale.store.contract.talks import Page, Said, Where
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database
from whale.store.redis.keys import TALK_NAME, TALKS_CHANNEL
from whale.store.redis.live import Hearing, clock_of

NAME = TALK_NAME
AT_ONCE = 500


class Talks:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._client = database, database.client
        self._say = database.script("say")
        settings = database.settings
        self._bounds = settings.push_visitor_kb * 1000, math.ceil(settings.push_kept_s), settings.push_talks

    @reachable
    def say(self, account: str, where: Where, by_visitor: bool, data: bytes, word: str = "") -> int:
        keys = self._database.keys(account)
        name = keys.talk_name(*where)
        side = "v" if by_visitor else "s"
        arguments = [name, _of(where), side, word, data, *self._bounds, keys.talk("")]
        return int(self._say([keys.talk(name), keys.talks(), keys.unanswered()], arguments))

    @reachable
    def tell_more(self, account: str, where: Where) -> None:
        self._client.publish(TALKS_CHANNEL, msgspec.json.encode((account, *where)))

    @reachable
    def talk(self, account: str, where: Where, after: int = 0) -> list[Said]:
        keys = self._database.keys(account)
        found = [_said(text) for text in self._client.lrange(keys.talk(keys.talk_name(*where)), 0, -1)]
        return [each for each in found if each.id > after]

    @reachable
    def talks(self, account: str, site: str, most: int) -> dict[str, Said]:
        keys = self._database.keys(account)
        names = [
            (name, visitor)
            for name, its_site, visitor in map(_named, self._client.zrange(keys.talks(), 0, -1, desc=True))
            if its_site == site
        ][:most]
        with self._client.pipeline(transaction=False) as pipe:
            for name, _ in names:
                pipe.lrange(keys.talk(name), -1, -1)
            last = pipe.execute()
        return {visitor: _said(said[0]) for (_, visitor), said in zip(names, last, strict=True) if said}

    @reachable
    def forget_talks(self, account: str, site: str, visitors: Collection[str] | None = None) -> None:
        keys = self._database.keys(account)
        for member in self._client.zrange(keys.talks(), 0, -1):
            name, its_site, visitor = _named(member)
            if its_site == site and (visitors is None or visitor in visitors):
                self._client.unlink(keys.talk(name))
                self._client.zrem(keys.talks(), member)
                self._client.zrem(keys.unanswered(), member)

    @reachable
    def listen(self, account: str, pages: Collection[Page], kept_s: float) -> None:
        by_name, by_end = self._database.keys(account).listening()
        now = clock_of(self._client)(by_name)
        members, kept = [msgspec.json.encode(page) for page in pages], math.ceil(kept_s)
        over = self._client.zrangebyscore(by_end, "-inf", now)
        with self._client.pipeline(transaction=False) as pipe:
            for first in range(0, len(over), AT_ONCE):
                pipe.zrem(by_name, *over[first : first + AT_ONCE])
                pipe.zrem(by_end, *over[first : first + AT_ONCE])
            for first in range(0, len(members), AT_ONCE):
                pipe.zadd(by_name, dict.fromkeys(members[first : first + AT_ONCE], 0))
                pipe.zadd(by_end, dict.fromkeys(members[first : first + AT_ONCE], now + kept_s))
            pipe.expire(by_name, kept)
            pipe.expire(by_end, kept)
            pipe.execute()

    @reachable
    def listen_no_more(self, account: str, page: Page) -> None:
        for key in self._database.keys(account).listening():
            self._client.zrem(key, msgspec.json.encode(page))

    @reachable
    def listening(self, account: str, site: str, visitor: str | None = None) -> dict[str, int]:
        by_name, _ = self._database.keys(account).listening()
        begins = msgspec.json.encode([site] if visitor is None else [site, visitor])[:-1] + b","
        found: dict[str, int] = {}
        for member in self._client.zrangebylex(by_name, b"[" + begins, b"(" + begins + b"\xff"):
            page = msgspec.json.decode(member, type=Page)
            found[page.visitor] = found.get(page.visitor, 0) + 1
        return found

    @contextmanager
    def hearing_talks(self) -> Iterator[Hearing]:
        """As `Live.hearing`: it takes itself up again."""
        subscription = self._client.pubsub()
        try:
            yield Hearing(subscription, lambda _: TALKS_CHANNEL)
        finally:
            subscription.close()


def _of(where: Where) -> bytes:
    return msgspec.json.encode(where)


def _named(member: bytes) -> tuple[str, str, str]:
    """Name of a talk, its site and its visitor."""
    site, visitor = msgspec.json.decode(member[NAME:], type=tuple[str, str])
    return member[:NAME].decode(), site, visitor


def _said(text: bytes) -> Said:
    id_, side, _, data = text.split(b" ", 3)
    return Said(int(id_), side == b"v", data)

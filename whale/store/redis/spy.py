"""Traces of the last hits, for people to look at."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import redis

from whale.errors import Unavailable
from whale.spy import KEPT, KEPT_S, Traces, names_one_of, visitor_in
from whale.store.redis import keys as layout
from whale.store.redis.connection import pack, reachable
from whale.store.redis.database import Database
from whale.store.redis.refusals import SlotMoving, unavailable_of

SAID = 3  # names of accounts
log = logging.getLogger(__name__)


class Spy:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._client, self._spy = database, database.client, database.script("spy")

    @reachable
    def spy_add(self, account: str, traces: Traces, now: float) -> None:
        try:
            self._spy(*self._call(account, traces, now))
        except redis.ResponseError as error:
            raise Unavailable(f"Redis: {error}") from error

    @reachable
    def spy_add_each(self, traces: Mapping[str, Traces], now: float) -> set[str]:
        answers = self._spy.each([self._call(account, of_account, now) for account, of_account in traces.items()])
        found = {
            account: answer for account, answer in zip(traces, answers, strict=True) if isinstance(answer, Exception)
        }
        for error in found.values():
            if (meaning := unavailable_of(error)) and not isinstance(meaning, SlotMoving):  # it is so for all
                raise meaning
        if found:
            log.warning("the spy misses some hits of %s: %s", ", ".join([*found][:SAID]), next(iter(found.values())))
        return set(found)

    def _call(self, account: str, traces: Traces, now: float) -> tuple[Sequence[str], Sequence[bytes]]:
        keys = self._database.keys(account)
        ask: list[Any] = [KEPT, KEPT_S, self._database.settings.max_spied_visitors, int(now)]
        ask += (traces.counted, traces.others, traces.refused)
        for visitor, texts in traces.visitors.items():
            ask += (layout.visitor_id(visitor), texts)
        return keys.spy(), [pack(ask)]

    @reachable
    def spied_visitors(self, account: str) -> frozenset[str]:
        keys = self._database.keys(account)
        counted, others, visitors, refused = keys.spy()
        texts = [text for key in (counted, others, refused) for text in self._client.lrange(key, 0, -1)]
        names = self._client.zrange(visitors, 0, -1)
        with self._client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.lindex(f"{visitors}:{name.decode()}", -1)
            texts += filter(None, pipe.execute())
        return frozenset(visitor for text in texts if (visitor := visitor_in(text)))

    @reachable
    def spy_forget(self, account: str, visitors: Mapping[str, int]) -> None:
        keys = self._database.keys(account)
        counted, others, known, refused = keys.spy()
        mine = {keys.spied_visitor(visitor): layout.visitor_id(visitor) for visitor in visitors}
        for key in (*mine, counted, others, refused):
            for text in self._client.lrange(key, 0, -1):
                if names_one_of(text, visitors):
                    self._client.lrem(key, 0, text)
        for key, name in mine.items():
            if not self._client.exists(key):  # else somebody came anew
                self._client.zrem(known, name)

    @reachable
    def spied(self, account: str, visitor: str | None = None) -> list[bytes]:
        keys = self._database.keys(account)
        counted, others, _, refused = keys.spy()
        lists = (counted, others, refused) if visitor is None else (keys.spied_visitor(visitor), refused)
        return [text for key in lists for text in self._client.lrange(key, 0, -1)]

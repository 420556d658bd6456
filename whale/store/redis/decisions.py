"""Decisions that are kept: their visitors', and their rewards.

The id of a decision is its shard and a nonce: `17-91b2...`.
"""

import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from whale.dimension import Pk
from whale.store.contract.decisions import (
    MOST_REWARDED,
    Begun,
    Keeping,
    Kept,
    Reward,
    no_decision,
    other_reward,
    rewarded_too_much,
    too_many_rewarded,
    too_many_rewards,
)
from whale.store.redis.connection import pack, reachable
from whale.store.redis.database import Database
from whale.store.redis.keys import digest


class Decisions:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._settings = database, database.settings
        self._decide, self._sticky = database.script("decide"), database.script("sticky")
        self._reward, self._rewarded = database.script("reward"), database.script("rewarded")

    def decision_of(self, account: str, pk: Pk, visitor: str, now: float) -> Kept | None:
        return self.decisions_of(account, [(pk, visitor)], now)[0]

    @reachable
    def decisions_of(self, account: str, asked: Sequence[tuple[Pk, str]], now: float) -> list[Kept | None]:
        keys = self._database.keys(account)
        places = [keys.decided(pk, visitor) for pk, visitor in asked]
        calls = [(keys.decisions(shard)[1:], [whose]) for shard, whose in places]
        return [
            Kept(f"{shard}-{found[0].decode()}", found[1]) if found and found[1] is not None else None
            for (shard, _), found in zip(places, self._sticky.many(calls), strict=True)
        ]

    def keep_decision(
        self,
        account: str,
        pk: Pk,
        visitor: str | None,
        text: bytes,
        now: float,
        nonce: str,
        sticky_s: float,
        instead_of: str = "",
    ) -> Kept:
        return self.keep_decisions(account, [Keeping(pk, visitor, text, nonce, sticky_s, instead_of)], now)[0]

    @reachable
    def keep_decisions(self, account: str, keeping: Sequence[Keeping], now: float) -> list[Kept]:
        keys = self._database.keys(account)
        most, kept_s = max(1, self._settings.max_decisions // keys.shards), max(1, int(self._settings.decision_kept_s))
        shards, calls = [], []
        for each in keeping:
            shard, whose = keys.decided(each.pk, each.nonce if each.visitor is None else each.visitor)
            ask: list[Any] = [each.nonce, each.text.decode(), int(now), kept_s, max(1, int(each.sticky_s)), most]
            ask += ["" if each.visitor is None else whose, each.instead_of.partition("-")[2]]
            shards.append(shard)
            calls.append((keys.decisions(shard), [pack(ask)]))
        return [
            Kept(f"{shard}-{found[0].decode()}", found[1]) if found else Kept(f"{shard}-{each.nonce}", each.text)
            for each, shard, found in zip(keeping, shards, self._decide.many(calls), strict=True)
        ]

    @reachable
    def decision(self, account: str, id: str, now: float) -> Kept | None:
        key = self._key(account, id)
        if key is None:
            return None
        text = self._database.client.hget(key, "t")
        return None if text is None else Kept(id, text)

    @reachable
    def begin_reward(self, account: str, id: str, reward: Reward, now: float) -> Begun | None:
        key = self._key(account, id)
        if key is None:
            raise no_decision(id)
        most, metrics = int(self._settings.max_rewards), int(self._settings.max_metrics_per_hit) - 1
        name = [reward.publisher, reward.seq, reward.total, reward.at_ms]
        ask = [self._field(reward), reward.digest, list(reward.amounts.items()), name, most, metrics, MOST_REWARDED]
        said, *more = self._reward([key], [pack(ask)])
        match said.decode():
            case "none":
                raise no_decision(id)
            case "other":
                raise other_reward(reward)
            case "many":
                raise too_many_rewards(most)
            case "wide":
                raise too_many_rewarded(metrics)
            case "large":
                raise rewarded_too_much(more[0].decode())
            case "counted":
                return None
        (publisher, seq, total, at_ms), before = msgspec.msgpack.decode(more[0])
        return Begun(publisher, seq, total, at_ms, None if before is False else dict(before))

    @reachable
    def end_reward(self, account: str, id: str, reward: Reward) -> None:
        key = self._key(account, id)
        if key is not None:
            self._rewarded([key], [self._field(reward), reward.digest])

    def _field(self, reward: Reward) -> str:
        """Where a reward stands in the hash of its decision: ids are as long as they like."""
        return "r" + (base64.urlsafe_b64encode(digest(reward.id, size=12)).decode() if reward.id else "")

    def _key(self, account: str, id: str) -> str | None:
        shard, _, nonce = id.partition("-")
        keys = self._database.keys(account)
        known = shard.isascii() and shard.isdecimal() and len(shard) < 6 and int(shard) < keys.shards
        return f"{keys.decisions(int(shard))[1]}:{nonce}" if known and nonce else None

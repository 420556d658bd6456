"""Decisions that are kept: their visitors', and their rewards; and those that somebody defined.

The id of a decision is its shard and a nonce: `17-91b2...`.
"""

from collections.abc import Sequence
from typing import Any

from hail.settings import Settings
from whale.dimension import Pk
from whale.store.base import Defined, Keeping, Kept, too_many_definitions
from whale.store.connection import Connected, Connection, Script, pack, reachable
from whale.store.keys import Keys


class Decisions(Connected):
    """For many threads."""

    def __init__(self, connection: Connection, settings: Settings):
        super().__init__(connection, settings)
        self._decide, self._reward = Script(self.client, "decide"), Script(self.client, "reward")
        self._define, self._sticky = Script(self.client, "define"), Script(self.client, "sticky")

    def decision_of(self, account: str, pk: Pk, visitor: str, now: float) -> Kept | None:
        return self.decisions_of(account, [(pk, visitor)], now)[0]

    @reachable
    def decisions_of(self, account: str, asked: Sequence[tuple[Pk, str]], now: float) -> list[Kept | None]:
        keys = Keys(account, self.shards)
        places = [keys.decided(pk, visitor) for pk, visitor in asked]
        calls = [(keys.decisions(shard)[1:], [whose]) for shard, whose in places]
        return [
            _kept(f"{shard}-{found[0].decode()}", found[1:]) if found else None
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
        keys = Keys(account, self.shards)
        most, kept_s = max(1, self.settings.max_decisions // self.shards), max(1, int(self.settings.decision_kept_s))
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
        return _kept(id, self.client.hmget(key, "t", "r", "d"))

    @reachable
    def begin_reward(self, account: str, id: str, digest: str, now: float) -> Kept | None:
        return self._noted(account, id, "r", digest)

    @reachable
    def end_reward(self, account: str, id: str) -> None:
        self._noted(account, id, "d", "1")

    @reachable
    def definitions(self, account: str, names: Sequence[str] | None = None) -> dict[str, Defined]:
        key = Keys(account, self.shards).definitions()
        if names is None:
            return {name.decode(): _defined(text) for name, text in self.client.hgetall(key).items()}
        found = self.client.hmget(key, names) if names else []
        return {name: _defined(text) for name, text in zip(names, found, strict=True) if text is not None}

    @reachable
    def define(self, account: str, name: str, seen: int, new: Defined) -> Defined | None:
        text, most = b"%d %s" % (new.revision, new.text), int(self.settings.max_definitions)
        done, *found = self._define([Keys(account, self.shards).definitions()], [name, seen, text, most])
        if done < 0:
            raise too_many_definitions(most)
        return new if done else _defined(found[0]) if found and found[0] is not None else None

    def _noted(self, account: str, id: str, field: str, value: str) -> Kept | None:
        key = self._key(account, id)
        return None if key is None else _kept(id, self._reward([key], [field, value]))

    def _key(self, account: str, id: str) -> str | None:
        shard, _, nonce = id.partition("-")
        known = shard.isascii() and shard.isdecimal() and len(shard) < 6 and int(shard) < self.shards
        return f"{Keys(account, self.shards).decisions(int(shard))[1]}:{nonce}" if known and nonce else None


def _kept(id: str, found: Sequence[bytes | None] | None) -> Kept | None:
    text, reward, done = found or (None, None, None)
    return None if text is None else Kept(id, text, (reward or b"").decode(), done is not None)


def _defined(found: bytes) -> Defined:
    revision, _, text = found.partition(b" ")
    return Defined(int(revision), text)

"""Which ids are one visitor's: a row for each in the id's own partition, by alias.lua.

To join two, the visitor's row gets the alias first, then the alias gets its own. Cut off between, the alias is none yet.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from whale.store.contract.identities import HOLDS_AFTER_MS, MOST_ALIASES
from whale.store.contract.log_sweep import EVENTS_FULL
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database
from whale.store.redis.log_calls import HASH
from whale.visitors.entries import HASH_BYTES, SiteLog, as_kept
from whale.visitors.identity import JOINED, OTHER_KNOWN, Alias, Person, Standing, to_join

TRIES = 3
MOST_FOUND = 2_000  # by one call, which holds Redis meanwhile
_SPAN = re.compile(rb"(\d+) (\d+) (\d+) ")


class Identities:
    """For many threads."""

    def __init__(self, database: Database):
        self._database = database
        self._script = database.script("period", "spans", "alias")
        self._erase = database.script("period", "spans", "erase")

    @reachable
    def aliases(self, log: SiteLog, hashes: Collection[bytes]) -> dict[bytes, Sequence[Alias]]:
        return self.aliases_of({log: hashes})[log]

    @reachable
    def aliases_of(self, asked: Mapping[SiteLog, Collection[bytes]]) -> dict[SiteLog, dict[bytes, Sequence[Alias]]]:
        found: dict[SiteLog, dict[bytes, Sequence[Alias]]] = {log: {} for log in asked}
        calls, parts = [], _parts(asked)
        for log, partition, some in parts:
            names = b"".join([hash_[:HASH] for hash_ in some])
            calls.append(([self._key(log, partition)], ["spans", log.period_s or 0, names]))
        for (log, _, some), answer in zip(parts, self._script.many(calls), strict=True):
            found[log].update((some[place], _spans(row)) for place, row in zip(answer[::2], answer[1::2], strict=True))
        return found

    @reachable
    def ids_of_visitor(self, log: SiteLog, hash_: bytes) -> list[bytes]:
        visitor = self._visitor(log, hash_)
        return [visitor, *sorted(self._standings(log, [visitor])[visitor].aliases)]

    @reachable
    def erase_visitor(self, log: SiteLog, hash_: bytes) -> set[bytes]:
        """Aliases first: while the visitor's row names them, the same again finds all."""
        visitor, seen_to = self._visitor(log, hash_), list[bytes]()
        while others := self._forget(log, visitor, seen_to):
            for each in others:
                while more := self._forget(log, each, others):
                    others += more
            seen_to += others
        return {visitor, *seen_to}

    def _visitor(self, log: SiteLog, hash_: bytes) -> bytes:
        """Whose id it is; also where an erasure that was cut off has ended what it stood for."""
        spans = self._standings(log, [hash_])[hash_].spans
        if not spans:
            return hash_
        visitor = spans[-1].hash
        return visitor if hash_ in self._standings(log, [visitor])[visitor].aliases else hash_

    def _forget(self, log: SiteLog, hash_: bytes, seen_to: Sequence[bytes]) -> list[bytes]:
        """Forgets one id; or gives aliases of it that are not seen to."""
        key = self._key(log, log.partition_of(hash_))
        args = [log.period_s or 0, hash_[:HASH], HOLDS_AFTER_MS, b"".join(seen_to)]
        is_done, *others = self._erase([key], args)
        return [] if is_done else others

    @reachable
    def erased(self, log: SiteLog, hashes: Collection[bytes]) -> dict[bytes, int]:
        wanted = [*hashes]
        with self._database.client.pipeline(transaction=False) as pipe:
            for hash_ in wanted:
                pipe.hget(f"{self._key(log, log.partition_of(hash_))}:g", hash_[:HASH])
            answers = pipe.execute() if wanted else ()
        return {hash_: int(until_ms) for hash_, until_ms in zip(wanted, answers, strict=True) if until_ms is not None}

    @reachable
    def identify(self, log: SiteLog, anonymous: Person, known: Person) -> str:
        anonymous, known = as_kept(log, anonymous), as_kept(log, known)
        for _ in range(TRIES):
            standing = self._standings(log, [anonymous.hash, known.hash])
            found = to_join(anonymous, standing[anonymous.hash], known, standing[known.hash])
            if isinstance(found, str):
                return found
            visitor, alias = found
            if self._database.client.hexists(self._key(log, log.partition_of(visitor.hash)), "full"):
                return EVENTS_FULL
            name = visitor.hash, visitor.hash[:HASH], alias.hash, MOST_ALIASES
            if not self._ask(log, "name", *name):
                continue  # it has become an alias, or has too many
            if self._ask(log, "join", alias.hash, alias.hash[:HASH], visitor.hash + visitor.id, HOLDS_AFTER_MS):
                return JOINED
            self._ask(log, "undo", *name)
        return OTHER_KNOWN

    def _standings(self, log: SiteLog, hashes: Sequence[bytes]) -> dict[bytes, Standing]:
        return self._standings_of({log: hashes})[log]

    def _standings_of(self, asked: Mapping[SiteLog, Collection[bytes]]) -> dict[SiteLog, dict[bytes, Standing]]:
        """Of each id; all partitions are asked at once."""
        parts = _parts(asked)
        calls = [
            ([self._key(log, partition)], ["find", log.period_s or 0, *(hash_[:HASH] for hash_ in some)])
            for log, partition, some in parts
        ]
        found: dict[SiteLog, dict[bytes, Standing]] = {log: {} for log in asked}
        for (log, _, some), rows in zip(parts, self._script.many(calls), strict=True):
            found[log].update((hash_, _standing(row)) for hash_, row in zip(some, rows, strict=True))
        return found

    def _ask(self, log: SiteLog, what: str, whose: bytes, *more: Any) -> bool:
        key = self._key(log, log.partition_of(whose))
        return bool(self._script([key], [what, log.period_s or 0, *more]))

    def _key(self, log: SiteLog, partition: int) -> str:
        return self._database.keys(log.account).log(log.site, log.generation, partition)[1]


def _parts(asked: Mapping[SiteLog, Collection[bytes]]) -> list[tuple[SiteLog, int, list[bytes]]]:
    """Some hashes of a partition each, as many as one call takes."""
    mine: dict[tuple[SiteLog, int], list[bytes]] = {}
    for log, hashes in asked.items():
        if log.partitions == 1 and hashes:
            mine[log, 0] = list(dict.fromkeys(hashes))
        else:
            for hash_ in dict.fromkeys(hashes):
                mine.setdefault((log, log.partition_of(hash_)), []).append(hash_)
    return [
        (*place, some[first : first + MOST_FOUND])
        for place, some in mine.items()
        for first in range(0, len(some), MOST_FOUND)
    ]


def _standing(row: bytes) -> Standing:
    if row[:1] == b"=":
        return Standing(aliases=frozenset(row[at : at + HASH_BYTES] for at in range(1, len(row), HASH_BYTES)))
    return Standing(_spans(row))


def _spans(row: bytes) -> tuple[Alias, ...]:
    spans, at = list[Alias](), 0
    while found := _SPAN.match(row, at):
        since_ms, until_ms, size = map(int, found.groups())
        at = found.end() + size
        who = row[found.end() : at]
        spans.append(Alias(who[:HASH_BYTES], who[HASH_BYTES:], since_ms, until_ms or None))
    return tuple(spans)

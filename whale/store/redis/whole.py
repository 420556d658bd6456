"""Dense buckets are written whole: a worker adds to what it remembers of them (mirror.py), and sends the stretch of each string that
changed. What it does not remember goes as amounts, which are right in any state of Redis; both in the one call that marks its messages.

    unsure ── load.lua ──► mirror ──► Draft: whole where that is short, else amounts ── whole.lua ──► kept, or moved: again by amounts
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from whale.store.redis.connection import pack
from whale.store.redis.database import Database
from whale.store.redis.draft import DENSE, Draft, Page, Pages, buckets_in, is_short
from whale.store.redis.keys import STAMP
from whale.store.redis.mirror import Form, Mirror, PkMemory
from whale.store.redis.numbers import Dictionary
from whale.store.redis.slots import Columns, Part, columns_of

WORTH = 64
"""Cells of a dense bucket, from which on it is loaded; it takes about as long to add as many."""
MOST_LOADED = 512  # buckets in one call
LEAST_BYTES = 5  # of a cell as apply.lua takes it


class Whole:
    """Not for several threads at once."""

    def __init__(self, database: Database, mirror: Mirror):
        self.mirror = mirror
        self.script = database.script("newer", "whole", "apply")
        self._load, self._database = database.script("newer", "load"), database

    def drafts(self, shards: Mapping[int, Sequence[Pages]]) -> dict[int, Draft]:
        """What to send to each shard, of its accounts. Asks for what is not known and worth it: a round trip, where there is any."""
        self.mirror.trim()
        for of_accounts in shards.values():
            self._rest(of_accounts)
        unsure = {shard: found for shard, pages in shards.items() if (found := self._unsure(pages))}
        self._fetch(list(unsure.values()))
        return {shard: Draft(self.mirror, pages, _stamp()) for shard, pages in shards.items()}

    def _rest(self, of_accounts: Sequence[Pages]) -> None:
        """Counts a call of each pk that rests."""
        for id in {dictionary.blocks for pages in of_accounts for dictionary, *_ in pages}:
            memory = self.mirror.known(id)
            if memory and memory.rest:
                memory.rest -= 1

    def _unsure(self, of_accounts: Sequence[Pages]) -> dict[Page, list[int]]:
        """The buckets to be loaded."""
        found: dict[Page, list[int]] = {}
        left, known = MOST_LOADED, self.mirror.known
        for pages in of_accounts:
            for page, row in pages.items():
                memory = known(page[0].blocks)
                if memory.rest if memory else not any(map(_may_be_much, row[1::2])):
                    continue
                if offsets := [
                    offset for offset, parts in buckets_in(row) if self._is_unsure(memory, page, offset, parts)
                ]:
                    found[page] = offsets[:left]
                    left -= len(found[page])
                    if not left:
                        return found
        return found

    def _is_unsure(self, memory: PkMemory | None, page: Page, offset: int, parts: Sequence[Part]) -> bool:
        bucket = memory.buckets.get((*page[1:], offset)) if memory else None
        if bucket.form != Form.SEEN if bucket else not any(map(_may_be_much, parts)):
            return False
        columns = columns_of(parts)
        if columns is None or not is_short(columns):
            return False
        if bucket is None:
            return columns.cells > DENSE
        self.mirror.use(bucket)
        bucket.cells += columns.cells
        return bucket.cells >= WORTH

    def _fetch(self, unsure: Sequence[Mapping[Page, list[int]]]) -> None:
        calls = []
        for pages in unsure:
            dictionaries = {key: number for number, key in enumerate(dict.fromkeys(page[0] for page in pages), 1)}
            names = [dictionary.key for dictionary in dictionaries]
            names += [self._block(page) for page in pages]
            blocks = [[dictionaries[page[0]], *offsets] for page, offsets in pages.items()]
            tokens = [dictionary.token.decode() for dictionary in dictionaries]
            calls.append((names, [pack([tokens, _stamp(), blocks])]))
        for pages, answer in zip(unsure, self._load.each(calls), strict=True):
            if not isinstance(answer, Exception) and answer[0] != b"stale":  # else the call that follows says why
                self._keep(pages, answer)

    def _keep(self, pages: Mapping[Page, list[int]], answer: Sequence[Any]) -> None:
        stamps = dict(zip(dict.fromkeys(page[0] for page in pages), answer[0], strict=True))
        memories: dict[Dictionary, PkMemory | None] = {}
        for dictionary, stamp in stamps.items():
            memories[dictionary] = self._under(dictionary, stamp.decode())
        buckets = iter(answer[1:])
        for page, offsets in pages.items():
            for offset in offsets:
                found, memory, where = next(buckets), memories[page[0]], (*page[1:], offset)
                if memory is None:
                    continue
                if len(found) > 1:
                    self.mirror.load(memory, where, zip(found[1::2], found[2::2], strict=True))
                else:
                    self.mirror.add(memory, where, Form.SPARSE if found else Form.ABSENT)

    def _under(self, dictionary: Dictionary, stamp: str) -> PkMemory | None:
        """The memory of a pk, as it is under a stamp; None where it cannot be said: a call that changes both is on its way."""
        memory = self.mirror.pk(dictionary.blocks)
        if memory.stamp == stamp:
            return memory
        if memory.on_its_way:
            return None
        if memory.stamp:
            self.mirror.moved(memory)
        memory.stamp = stamp
        return None if memory.rest else memory

    def _block(self, page: Page) -> str:
        dictionary, interval, block, number = page
        keys = self._database.keys(dictionary.account)
        return keys.block(dictionary.shard, dictionary.blocks, interval, block, number)


def _may_be_much(part: Part) -> bool:
    """Whether a part may have more cells than one that makes a bucket dense."""
    if isinstance(part, Columns):
        return part.cells > DENSE
    return memoryview(part).nbytes > DENSE * LEAST_BYTES


def _stamp() -> str:
    return secrets.token_hex(STAMP // 2)

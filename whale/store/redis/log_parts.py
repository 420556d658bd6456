"""Parts of a log, and pieces of them: their directories, and columns by their bytes."""

from collections.abc import Sequence
from typing import Any, cast

from hail.room import COST
from whale.store.redis.log_cache import CUTS, LogCache, Part, PartGone
from whale.visitors import parts
from whale.visitors.parts import Cut

HEAD_BYTES = 8192
"""Of a part, where the directory of most ends."""
HEADS = 50
"""Fetched at once."""
Directory = tuple[list[Cut], int]
"""The columns of a part, and where they begin."""


class LogParts:
    """For many threads."""

    def __init__(self, cache: LogCache, client: Any):
        self._cache, self._client = cache, client

    def part(self, key: str) -> Part:
        return self._cache.part(key, lambda: self._client.get(key))

    def directories(self, keys: Sequence[str]) -> list[Directory]:
        """Raises PartGone."""
        found = self.directories_there(keys)
        if None in found:
            raise PartGone
        return cast(list[Directory], found)

    def directories_there(self, keys: Sequence[str]) -> list[Directory | None]:
        """None of a part that is not there."""
        known: dict[str, Directory | None] = {key: self._cache.known((key, CUTS)) for key in keys}
        lacking = [key for key, directory in known.items() if directory is None]
        for place in range(0, len(lacking), HEADS):
            some = lacking[place : place + HEADS]
            for key, head in zip(some, self._heads(some), strict=True):
                if head:
                    known[key] = found = parts.directory_of(head)
                    self._cache.keep((key, CUTS), found, 2 * COST * len(found[0]))
        return [known[key] for key in keys]

    def _heads(self, keys: Sequence[str]) -> list[bytes]:
        """With the whole directory; nothing of a part that is not there."""
        heads = self.ranges([(key, 0, HEAD_BYTES) for key in keys])
        sizes = [4 + int.from_bytes(head[:4], "little") for head in heads]
        long = [place for place, (head, size) in enumerate(zip(heads, sizes, strict=True)) if 0 < len(head) < size]
        for place, head in zip(long, self.ranges([(keys[each], 0, sizes[each]) for each in long]), strict=True):
            heads[place] = head if len(head) == sizes[place] else b""
        return heads

    def ranges(self, wanted: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """Of keys, from a byte on so many."""
        with self._client.pipeline(transaction=False) as pipe:
            for key, begin, size in wanted:
                pipe.getrange(key, begin, begin + size - 1)
            return pipe.execute() if wanted else []

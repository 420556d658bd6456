"""Parts of a month whose columns are joined once, for the questions that read all of them.

A part that is packed full is never packed anew; it goes with its age, or when somebody in it is erased. So what full parts of a month say
of one event stays as it is, and is joined and kept as one column. A part that was full later is read beside it, until there are FEW.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from whale.store.redis.compaction import SMALL_BYTES, Indexed
from whale.store.redis.log_cache import LogCache, Part, bytes_of, kept
from whale.visitors import parts
from whale.visitors.columns import Rows

FEW = 4
"""Full parts of a month beside those that are joined."""


class Joined(NamedTuple):
    """A column, by visitor, then tick, and the parts that it is of."""

    ids: frozenset[str]
    rows: Rows


class Months:
    """For many threads. part_of: by its key."""

    def __init__(self, cache: LogCache, part_of: Callable[[str], Part]):
        self._cache, self._part_of = cache, part_of

    def joined(self, key: str, parts_: Mapping[str, Indexed], codes: Collection[int]) -> dict[int, list[Joined]]:
        """Of each code, by months. parts_: of a partition, all of which is asked for. Raises PartGone."""
        found: dict[int, list[Joined]] = {}
        months: dict[int, set[str]] = {}
        for id_, indexed in parts_.items():
            if indexed.bytes >= SMALL_BYTES:
                months.setdefault(indexed.start, set()).add(id_)
        for month, ids in months.items():
            if len(ids) > 1:
                for code, column in self._of_month(key, month, ids, codes).items():
                    found.setdefault(code, []).append(column)
        return found

    def _of_month(self, key: str, month: int, ids: set[str], codes: Collection[int]) -> dict[int, Joined]:
        known = {code: self._cache.known((key, month, code)) for code in codes}
        found = {code: each for code, each in known.items() if each and each.ids <= ids and len(ids - each.ids) < FEW}
        lacking: dict[int, list[Rows]] = {code: [] for code in codes if code not in found}
        if lacking:
            for id_ in ids:
                part = self._part_of(f"{key}:b:{id_}")
                for cut in part.cuts:
                    if cut.code in lacking:
                        lacking[cut.code].append(part.unpacked(cut))
        for code, several in lacking.items():
            if several:
                found[code] = Joined(frozenset(ids), kept(code, parts.joined(several)))
                self._cache.keep((key, month, code), found[code], bytes_of(found[code].rows))
        return found

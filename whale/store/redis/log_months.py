"""Parts of a month whose columns are joined once, for the questions that read all of them.

A part that is packed full is never packed anew; it goes with its age, or when somebody in it is erased. So what full parts of a month say
of one event stays as it is, and is joined and kept as one column. A part that was full later is read beside it, until there are FEW.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from whale.store.redis.compaction import SMALL_BYTES, Indexed
from whale.store.redis.log_cache import LogCache, Part, bytes_of, kept
from whale.visitors import parts
from whale.visitors.columns import Rows
from whale.visitors.parts import IS_PROPERTY

FEW = 4
"""Full parts of a month beside those that are joined."""
SHARE = 0.75
"""Of what a process remembers of logs. What is larger is read part by part, as nothing of it would be remembered."""
EVENT_BYTES, PROPERTY_BYTES = 12, 16


class Joined(NamedTuple):
    """A column, by visitor, then tick, and the parts that it is of."""

    ids: frozenset[str]
    rows: Rows


class Months:
    """For many threads. part_of: by its key."""

    def __init__(self, cache: LogCache, part_of: Callable[[str], Part]):
        self._cache, self._part_of = cache, part_of

    def joined(self, key: str, parts_: Mapping[str, Indexed], codes: Collection[int]) -> dict[int, list[Joined]]:
        """Of each code, by months; of those codes that fit into SHARE of what is remembered, the smallest first.

        parts_: of a partition, all of which is asked for. Raises PartGone.
        """
        months: dict[int, list[Part]] = {}
        for id_, indexed in parts_.items():
            if indexed.bytes >= SMALL_BYTES:
                months.setdefault(indexed.start, []).append(self._part_of(f"{key}:b:{id_}"))
        months = {month: some for month, some in months.items() if len(some) > 1}
        found: dict[int, list[Joined]] = {}
        for code in self._that_fit(months.values(), codes):
            for month, some in months.items():
                if column := self._of_month((key, month, code), some):
                    found.setdefault(code, []).append(column)
        return found

    def _that_fit(self, months: Iterable[Sequence[Part]], codes: Collection[int]) -> Iterator[int]:
        sizes = dict.fromkeys(codes, 0)
        for some in months:
            for part in some:
                for cut in part.cuts:
                    if cut.code in sizes:
                        sizes[cut.code] += cut.records * (PROPERTY_BYTES if cut.code & IS_PROPERTY else EVENT_BYTES)
        room = SHARE * self._cache.most
        for code, size in sorted(sizes.items(), key=lambda each: each[1]):
            room -= size
            if room >= 0 and size:
                yield code

    def _of_month(self, name: tuple[str, int, int], some: Sequence[Part]) -> Joined | None:
        ids, known = frozenset(part.id for part in some), self._cache.known(name)
        if known and known.ids <= ids and len(ids - known.ids) < FEW:
            return cast(Joined, known)
        code = name[2]
        several = [part.unpacked(cut) for part in some for cut in part.cuts if cut.code == code]
        if not several:
            return None
        column = Joined(ids, kept(code, parts.joined(several)))
        self._cache.keep(name, column, bytes_of(column.rows))
        return column

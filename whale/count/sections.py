"""Hits that come as columns: the branches of each, and by numpy the sums of all of them. Pure.

    sections ── places_in ──► branches of each hit ── Usual ──► rows of (bucket, branch, metric, amount) ── Table of each interval

The same sums as `coalesce` and `denormalize` give; what is no sum, and what is cut by a reset, goes their way.
"""

from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from hail.columns import Hits, runs
from hail.settings import Retention
from whale.cells import Branch, Rows, Table, TableLevel
from whale.count.denormalize import NOWHERE, Branches, Placed, by_interval, finest_of
from whale.period import Interval
from whale.sums import Ints, numbered, summed

MOST_HITS, MOST_METRICS = 2**20, 2**9
MOST_SUM = 2**62
"""Bounds of a table, past which hits go the other way: of its amounts together no sum leaves 64 bits, and no key of cells does, which
is (page, bucket, metric, node on its page): a page is one of far less than 2**24 in memory, a node one of 2**10."""


class Places(Sequence[Placed]):
    """Of each hit of a section its branches.

    branches: each once.  counts: how many each hit has, none where it cannot be read.  numbers: which these are, hit by hit.
    """

    def __init__(self, branches: Sequence[Branch], counts: Ints, numbers: Ints):
        self.branches, self.counts, self.numbers = branches, counts, numbers

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, position: Any) -> Any:
        """position: no slice."""
        ends, numbers, cells = self._lists
        found = tuple([self.branches[number] for number in numbers[ends[position] : ends[position + 1]]])
        return (found, cells[position]) if found else NOWHERE

    @cached_property
    def _lists(self) -> tuple[list[int], list[int], list[int]]:
        """Where the branches of each hit end, from 0 on; their numbers, hit by hit; and the cells of each hit."""
        return [0, *np.cumsum(self.counts).tolist()], self.numbers.tolist(), self.cells.tolist()

    @cached_property
    def cells(self) -> Ints:
        """How many cells each metric of each hit has."""
        of_each = np.array([branch.cells for branch in self.branches], np.int64)[self.numbers]
        ends = np.concatenate(([0], np.cumsum(of_each)))
        last = np.cumsum(self.counts)
        found: Ints = ends[last] - ends[last - self.counts]
        return found


def places_in(hits: Hits, branches: Branches) -> tuple[Places, list[int]]:
    """The branches of hits, and the positions of those of which some text is not of the wire form."""
    section, count = hits.section, len(hits)
    counts = section.counts + 1
    hit = np.repeat(np.arange(count), counts)
    is_top = np.ones(len(hit), bool)
    is_top[np.cumsum(counts) - counts] = False
    top = np.zeros(len(hit), np.int64)  # 0 is the root
    top[is_top] = section.places + 1
    hit, top = _last_of_a_name(hit, top, [name for name, _ in section.branches], count)
    width = len(section.branches) + 1
    found, numbers = numbered(section.pk[hit] * width + top, len(section.pks) * width)
    pks = [pk.encode() for pk in section.pks]
    tops = [("", b""), *((name, below.encode() or b"-") for name, below in section.branches)]
    of_pair = zip((found // width).tolist(), (found % width).tolist(), strict=True)
    made = branches.several((pks[pk], *tops[top]) for pk, top in of_pair)
    undecodable = np.zeros(count, bool)
    if None in made:
        undecodable[hit[np.array([branch is None for branch in made], bool)[numbers]]] = True
        sound = ~undecodable[hit]
        found, numbers = numbered(numbers[sound], len(made))
        made, hit = [made[pair] for pair in found.tolist()], hit[sound]
    places = Places([branch for branch in made if branch], np.bincount(hit, minlength=count), numbers)
    return places, np.flatnonzero(undecodable).tolist()


def _last_of_a_name(hit: Ints, top: Ints, names: Sequence[str], hits: int) -> tuple[Ints, Ints]:
    """Hits and their branches, without those whose name stands in the same hit again."""
    of_name = {name: number for number, name in enumerate(dict.fromkeys(names), 1)}
    keys = hit * (len(of_name) + 1) + np.array([0, *map(of_name.__getitem__, names)])[top]
    if len(numbered(keys, hits * (len(of_name) + 1))[0]) == len(keys):
        return hit, top
    _, last = np.unique(keys[::-1], return_index=True)
    kept = np.sort(len(keys) - 1 - last)
    return hit[kept], top[kept]


class Usual:
    """What hits in columns add to, as long as it stays within what a table may hold.

    size: buckets of branches, message by message.
    """

    def __init__(self, periods: Sequence[Retention]):
        self._periods, self._finest = periods, finest_of(periods)
        self._branches: dict[Branch, int] = {}
        self._metrics: dict[str, int] = {}
        self._parts: list[tuple[Ints, ...]] = []
        self._hits, self._sum = 0, 0.0
        self.size = 0

    def take(self, hits: Hits, places: Places, left_out: Collection[int]) -> int | None:
        """How many cells of one interval these hits have; None where they are not taken. left_out: positions of those that do not count."""
        section = hits.section
        having, numbers, amounts = hits.metrics
        added = float(np.abs(amounts).sum(dtype=np.float64)) * int(places.counts.max(initial=0))
        if (
            self._hits + len(hits) > MOST_HITS
            or len(self._metrics) + len(section.metrics) > MOST_METRICS
            or self._sum + added > MOST_SUM
        ):
            return None
        if not len(hits):
            return 0
        self._hits, self._sum = self._hits + len(hits), self._sum + added
        counts, branches = places.counts, places.numbers
        if left_out:
            kept = np.ones(len(hits), bool)
            kept[[*left_out]] = False
            counts, branches = counts * kept, branches[np.repeat(kept, counts)]
        bucket = section.at // (self._finest * 1000)
        since, width = bucket - bucket.min(), len(places.branches)
        self.size += len(numbered(np.repeat(since, counts) * width + branches, (int(since.max()) + 1) * width)[0])
        branches = _renumbered(places.branches, self._branches)[branches]
        self._parts.append(
            (bucket, counts, branches, having, _renumbered(section.metrics, self._metrics)[numbers], amounts)
        )
        return int((having * places.cells)[counts > 0].sum())

    def table(self, zone: str, now: float) -> Table:
        """The sums for each interval that still keeps them."""
        if not self._parts:
            return Table()
        at, counts, branch, having, metric, amount = map(np.concatenate, zip(*self._parts, strict=True))
        wide = len(self._branches) * len(self._metrics)
        buckets, bucket = np.unique(at, return_inverse=True)
        hit = np.repeat(np.arange(len(at)), having)
        times = counts[hit]  # each amount counts in so many branches
        of_hit = branch[runs((np.cumsum(counts) - counts)[hit], times)]
        keys = np.repeat(bucket[hit] * wide + metric, times) + of_hit * len(self._metrics)
        finest = summed(keys, np.repeat(amount, times), len(buckets) * wide)
        parts = {bucket: [number] for number, bucket in enumerate(buckets.tolist())}
        levels: dict[Interval, TableLevel] = {}
        before, rows = np.arange(len(buckets)), self._rows(*finest)
        for interval, level in by_interval(parts, self._finest, self._periods, zone, now, _together).items():
            number_of = np.full(len(buckets), -1)
            for number, finer in enumerate(level.values()):
                number_of[finer] = number
            if not np.array_equal(number_of, before):
                before, rows = number_of, self._rows(*_coarser(*finest, number_of, len(level), wide))
            levels[interval] = TableLevel(list(level), rows)
        return Table([*self._branches], [*self._metrics], levels)

    def _rows(self, keys: Ints, amounts: Ints) -> Rows:
        metrics = len(self._metrics)
        above, metric = np.divmod(keys, metrics)
        return Rows(*np.divmod(above, len(self._branches)), metric, amounts)


def _coarser(keys: Ints, amounts: Ints, number_of: Ints, buckets: int, wide: int) -> tuple[Ints, Ints]:
    """number_of: of each finer bucket the coarser one; below 0 where it is not kept any more."""
    finer, below = np.divmod(keys, wide)
    coarser = number_of[finer]
    kept = coarser >= 0
    return summed((coarser * wide + below)[kept], amounts[kept], buckets * wide)


def _together(parts: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(parts))


def _renumbered(names: Sequence[Any], known: dict[Any, int]) -> Ints:
    """The numbers of these in a larger table, to which they are added."""
    return np.array([known.setdefault(name, len(known)) for name in names], np.int64)

"""The words of count and store: what hits add up to on their way from one to the other. Pure.

A branch is some of a hit's paths in one pk, a level the sums of branches by bucket, cells a level by interval. What is no sum comes
beside them as extras. Where a branch counts, and what resets leave out of it, is said here once: every store heeds it.

A reset of a pk takes the pks below it along. What lies above keeps its sums: a hit of `Product/123` that was accepted
before the reset of `Product/123` still counts in `Product`, whenever it comes; its reserved node there goes. A reset of
a path takes the paths below it along, in that one pk. So what a reset leaves does not depend on when hits are counted.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from hail.message import Mark
from whale.dimension import Path, Pk
from whale.metric import is_narrow
from whale.period import Interval
from whale.sums import Ints, numbered

Name = tuple[str, int]
"""A message's name: (publisher, seq)."""


class Tally(NamedTuple):
    """What one message adds to the audit: of its `hits`, how many count and how many were dropped, by reason.

    of: as whose it is kept, where that is not its publisher.  to_log: how many of the hits belong in logs of visitors.
    Its name is remembered for ever where it is lasting, else for the age a spool may have, for `kept_s` where that is longer,
    and a day.
    """

    mark: Mark
    total: int
    hits: int
    dropped: Mapping[str, int] = MappingProxyType({})
    lasting: bool = False
    kept_s: float = 0.0
    of: str = ""
    to_log: int = 0

    @property
    def publisher(self) -> str:
        return self.of or self.mark[1]

    @property
    def seq(self) -> int:
        return self.mark[2]


@dataclass(frozen=True, slots=True)
class Reset:
    """path: None for the whole pk.  at_ms: hits of messages accepted before it do not count there."""

    pk: Pk
    path: Path | None
    at_ms: int


class Branch:
    """One pk with some of a hit's paths: the root alone, or a top-level dimension with all below it.

    Compared by identity: a Branches gives the same object for the same text. account: whose it is.
    plan: a store's own note on where its cells are.  resets: these leave some of it out.  cells: how many each metric has in it, of
    one bucket.
    """

    __slots__ = ("account", "cells", "paths", "pk", "plan", "resets")

    def __init__(self, account: str, pk: Pk, paths: tuple[Path, ...], resets: tuple[Reset, ...] = ()):
        self.account, self.pk, self.paths, self.resets = account, pk, paths, resets
        self.cells = len(pk) * len(paths)
        self.plan: tuple[Any, Any] | None = None


# Sums

Amounts = dict[str, int]
Sums = dict[Branch, Amounts]
Level = dict[int, Sums]  # by bucket
Cells = dict[Interval, Level]  # levels may share their sums: read them, do not add to them
Zoned = Mapping[str, Cells]
"""By zone, of all accounts whose days are in it: what few hits of each of many accounts come to is added up at once."""


class Rows(NamedTuple):
    """Columns of the sums of one interval, by bucket, then branch, then metric: numbers in the table, and the amount."""

    bucket: Ints
    branch: Ints
    metric: Ints
    amount: Ints


class TableLevel(NamedTuple):
    """starts: epoch seconds of each bucket. rows: other intervals may have the very same ones, with other starts."""

    starts: Sequence[int]
    rows: Rows


@dataclass(frozen=True, eq=False)
class Table:
    """Sums as columns of numbers: the fast form of cells, of hits that come as columns."""

    branches: Sequence[Branch] = ()
    metrics: Sequence[str] = ()
    levels: Mapping[Interval, TableLevel] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.branches)

    def needs(self, interval: Interval) -> Iterator[tuple[Branch, Amounts]]:
        """Each branch of an interval with the metrics it has there, and no amounts."""
        width = len(self.metrics)
        rows = self.levels[interval].rows
        found, _ = numbered(rows.branch * width + rows.metric, len(self.branches) * width)
        if len(found) == len(self.branches) * width:
            every = dict.fromkeys(self.metrics, 0)
            yield from ((branch, every) for branch in self.branches)
            return
        needed: dict[int, Amounts] = {}
        for branch, metric in zip((found // width).tolist(), (found % width).tolist(), strict=True):
            needed.setdefault(branch, {})[self.metrics[metric]] = 0
        yield from ((self.branches[branch], names) for branch, names in needed.items())

    @property
    def cells(self) -> Cells:
        """The same in the form that is easy to read."""
        found: Cells = {}
        for interval, (starts, rows) in self.levels.items():
            level: dict[int, Sums] = {}
            for bucket, branch, metric, amount in zip(*(column.tolist() for column in rows), strict=True):
                sums = level.setdefault(starts[bucket], {})
                sums.setdefault(self.branches[branch], {})[self.metrics[metric]] = amount
            found[interval] = level
        return found


# Beside sums

Value = tuple[int | str, ...]
"""(amount,) of a min or max; (at ms, publisher, seq, position, amount) of a last: the greater is the later."""

Names = dict[Branch, dict[str, set[str]]]  # of a bucket: what a distinct metric counts
Values = dict[Branch, dict[tuple[str, str], Value]]  # of a bucket, by metric and kind: the one that stays


@dataclass(frozen=True)
class Extras:
    """By interval and epoch seconds of the bucket's start. Buckets may share what they hold: read it, do not add to it.

    An extra may come any number of times: a name is in a set or not, the least of values is the least, and the last value is the
    one of the greatest (time, publisher, number of its message, position there). So no store remembers which messages they are of.
    """

    names: dict[Interval, dict[int, Names]] = field(default_factory=dict)
    values: dict[Interval, dict[int, Values]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.names.values()) or any(self.values.values())


def stays(kind: str, one: Value | None, other: Value) -> Value:
    """Which of two values of a min, max or last stays."""
    if one is None:
        return other
    return min(one, other) if kind == "min" else max(one, other)


# Together


@dataclass(frozen=True)
class Batch:
    """What some messages of an account add up to, for a store to apply, beside cells, which accounts share.

    tallies: one a message.  table, extras: of all of them together; what is in both cells and table is added up.
    resets: those that were heeded.  shards: only these take it.
    """

    tallies: Sequence[Tally] = ()
    table: Table = field(default_factory=Table)
    extras: Extras = field(default_factory=Extras)
    resets: frozenset[Reset] = frozenset()
    shards: Collection[int] | None = None


class Settle(Protocol):
    """Some batches on their way."""

    @property
    def held(self) -> int:
        """Bytes of them that this process keeps; none any more once they are done, or have failed."""

    def __call__(self) -> dict[int, set[Mark]]:
        """Waits until they are done, once; see `whale.store.contract.batches.Batches.send`."""


# Where a branch counts


def targets(pk: Pk, paths: tuple[Path, ...]) -> Iterator[tuple[Pk, tuple[Path, ...]]]:
    """In each prefix of its pk; its root also in the parent's node of each child pk."""
    for depth in range(1, len(pk) + 1):
        below = paths
        if depth < len(pk) and paths == ((),):
            below = ((), (None, pk[depth]))
        yield pk[:depth], below


def kept_targets(pk: Pk, branch: Branch) -> Iterator[tuple[Pk, tuple[Path, ...]]]:
    """`targets` of a branch, without what its resets leave out. pk: as which its pk counts."""
    for target, paths in targets(pk, branch.paths):
        for reset in branch.resets:
            paths = _left(target, paths, reset)
        if paths:
            yield target, paths


def narrow_targets(pk: Pk, branch: Branch) -> Iterator[tuple[Pk, list[Path]]]:
    """Where names of a branch are counted: `kept_targets`, of the narrow paths."""
    for target, paths in kept_targets(pk, branch):
        found = [path for path in paths if is_narrow(path)]
        if found:
            yield target, found


def _left(target: Pk, paths: tuple[Path, ...], reset: Reset) -> tuple[Path, ...]:
    if reset.path is None:
        if target[: len(reset.pk)] == reset.pk:
            return ()
        gone: Path = (None, reset.pk[-1])
        return tuple(path for path in paths if path != gone) if target == reset.pk[:-1] else paths
    if target != reset.pk:
        return paths
    return tuple(path for path in paths if path[: len(reset.path)] != reset.path)

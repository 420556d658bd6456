"""The Store contract: what each store promises. memory.py is the readable reference, redis/ the fast one; one suite runs on both.

A store keeps, per account: pks; for each pk a dictionary of nodes (its paths) and of metrics; and cells
(pk, path, interval, bucket, metric) -> signed 64-bit integer. It remembers which messages and which hit ids it has counted.

Caps close over `__other__`: where a parent has `max_children` children, a pk `max_nodes` nodes or `max_metrics` metrics, an account
`max_pks` pks, what is new counts in `__other__` beside them (and what lies deeper ends there), so sums always close.

A metric has one kind in a pk, the one of its first use (whale/metric.py). What comes as another kind is not counted: cells of
`mixed_kinds`. Metrics that are no sums do not fold: past `max_metrics` theirs are cells of `too_many_metrics`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from whale.cells import Cells, Extras, Name, Reset, Tally
from whale.dimension import Path, Pk
from whale.errors import CallerError, TooManyPoints
from whale.period import Interval, width
from whale.spy import Traces

OTHER = "__other__"
CHILD_PKS: Path = (None,)
"""Where the nodes of a pk's child pks stand."""
MAX_RESETS = 1000
RESET_KEPT_S = 31 * 86_400
"""How long a reset is remembered: a message that comes later, from a dead-letter queue, counts."""
OPERATION_KEPT_S = 31 * 86_400
ASIDE_KEPT_S = 31 * 86_400
MAX_NOTED = 64
"""Metrics of a shard whose amounts could not be added that are kept by name."""


class Illegible(NamedTuple):
    """A hit that no program could read. name: "<publisher>-<seq>.<position>".  at_ms: when it was accepted.  raw: its bytes."""

    name: str
    at_ms: int
    raw: bytes


def last_within(hits: Sequence[Illegible], most: int) -> list[Illegible]:
    """The newest of some hits that fit into so many bytes with their names, oldest first; of a large one a beginning."""
    cut = sorted((hit._replace(raw=hit.raw[: most // 10]) for hit in hits), key=lambda hit: hit.at_ms)
    size = 0
    for position in range(len(cut) - 1, -1, -1):
        size += len(cut[position].name) + len(cut[position].raw)
        if size > most:
            return cut[position + 1 :]
    return cut


@dataclass(frozen=True)
class PublisherAudit:
    """Sums over the messages of one publisher that a store has counted.

    total: the running total that its message `last_seq`, the latest seen, carried: hits accepted up to then.
    """

    publisher: str
    messages: int
    hits: int
    last_seq: int
    total: int
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class Change:
    """Cells of one bucket that are set, under the id of an operation.

    amounts: by metric, as stored.  wider: the kept intervals that are coarser, and the bucket of each that contains this one.
    """

    id: str
    pk: Pk
    path: Path
    interval: Interval
    start: int
    end: int
    amounts: Mapping[str, int]
    wider: Mapping[Interval, int] = field(default_factory=dict)

    @property
    def prefixes(self) -> list[Path]:
        """The path and those above it, the root first."""
        return [self.path[:depth] for depth in range(len(self.path) + 1)]

    @property
    def buckets(self) -> dict[Interval, int]:
        return {self.interval: self.start, **self.wider}


Stretch = tuple[Interval, int, int]
"""Buckets that are read one after the other: interval, start, end."""


class Adjustment(NamedTuple):
    """A bucket in which something was set, or a range of buckets in which many were.

    path, metrics: what was set; None: nobody knows any more, and anything may have been.
    """

    interval: Interval
    start: int
    end: int
    path: Path | None = None
    metrics: tuple[str, ...] | None = None


Buckets = tuple[Interval, Sequence[int]]
"""Buckets of one interval, by their starts, ascending."""
Wanted = tuple[Pk, Sequence[Path], Sequence[str]]
"""Of which paths of a pk which metrics are read."""


class Overflowed(NamedTuple):
    """A cell that lacks an amount: with it, the sum would not have fitted into 64 bits. start: of its bucket."""

    path: Path
    metric: str
    interval: Interval
    start: int


class Notes(NamedTuple):
    """What is noted of a pk beside its cells.

    adjustments: for `touched`.  overflowed: the cells that lack an amount; None: too many to name them, and any may.
    """

    adjustments: Collection[Adjustment] = ()
    overflowed: Collection[Overflowed] | None = ()


class Reading(NamedTuple):
    """What was read of a pk at one moment. cells: by list of buckets, as `read` has them.

    notes, metrics, kinds: what the methods of these names said then.
    """

    cells: list[NDArray[np.int64]]
    notes: Notes
    metrics: list[str]
    kinds: dict[str, str]


def touched(adjustments: Collection[Adjustment], stretches: Iterable[Stretch]) -> list[bool]:
    """Whether each stretch overlaps a bucket that was set and is wider than its own: then it does not add up to that one."""
    return [any(touches(adjustment, each) for adjustment in adjustments) for each in stretches]


def touches(adjustment: Adjustment, stretch: Stretch) -> bool:
    """Whether a stretch overlaps a bucket that was set and is wider than its own."""
    interval, start, end = stretch
    return width(adjustment.interval) > width(interval) and adjustment.start < end and start < adjustment.end


def not_a_sum(metric: str, kind: str) -> CallerError:
    """What says that a metric cannot be set."""
    return CallerError(f"is of kind {kind}: only a metric of kind sum can be set", f"metrics.{metric}")


def check_below(count: int, most: int) -> None:
    """Raises TooManyPoints where a question would add up more paths than it may."""
    if count > most:
        raise TooManyPoints(
            f"there are {count} paths below it, and over this period {most} may be added up: "
            "ask one level, a path further down, by a wider interval, or a shorter period",
            "dimension",
        )


def too_many_imports(most: int) -> CallerError:
    """What says that no further import can be remembered."""
    return CallerError(f"{most} imports are remembered, which is the limit: raise HAILWHALE_MAX_IMPORTS", "name")


def is_below(one: tuple[Pk, Path | None], other: tuple[Pk, Path | None]) -> bool:
    """Whether what one reset (pk, path or None) takes is all taken by another one, too."""
    (pk, path), (above, top) = one, other
    if top is None:
        return pk[: len(above)] == above
    return pk == above and path is not None and path[: len(top)] == top


def too_many_definitions(most: int) -> CallerError:
    """What says that no further decision can be defined."""
    return CallerError(f"this account has defined {most} decisions, which is the limit", "name")


@dataclass(frozen=True)
class Kept:
    """A decision that is kept. text: what was decided, JSON."""

    id: str
    text: bytes


@dataclass(frozen=True)
class Reward:
    """A reward of a decision. id: its own, or empty.  digest: of what it says, DIGEST characters.  amounts: its sums, as stored.

    publisher, seq, total, at_ms: of the message that is to count it.
    """

    id: str
    digest: str
    amounts: Mapping[str, int]
    publisher: str
    seq: int
    total: int
    at_ms: int


@dataclass(frozen=True)
class Begun:
    """How a reward is counted, whoever counts it and however often: the message, and what the decision was rewarded with before.

    before: sums, as stored; None for its first reward.
    """

    publisher: str
    seq: int
    total: int
    at_ms: int
    before: Mapping[str, int] | None


DIGEST = 18
MOST_REWARDED = 9_000_000_000 * 1_000_000
"""What the rewards of a decision may add up to of a metric: what one reward may say, in millionths."""


def no_decision(id: str) -> CallerError:
    return CallerError(f"{ascii(id)[:60]} is no decision that is kept: misspelt, or too old", "decision_id")


def other_reward(reward: Reward) -> CallerError:
    if reward.id:
        return CallerError("named another reward of this decision before: each reward has an id of its own", "id")
    return CallerError("was rewarded before, by something else: give each reward an id, and they add up", "decision_id")


def too_many_rewards(most: int) -> CallerError:
    return CallerError(f"was rewarded {most} times, which is the limit (HAILWHALE_MAX_REWARDS)", "decision_id")


def too_many_rewarded(most: int) -> CallerError:
    return CallerError(f"the rewards of a decision may have {most} metrics together", "metrics")


def rewarded_too_much(metric: str) -> CallerError:
    return CallerError("the rewards of a decision may add up to -9.0e9 to 9.0e9", f"metrics.{metric[:60]}")


@dataclass(frozen=True)
class Keeping:
    """A decision that is to be kept; see `Store.keep_decisions`."""

    pk: Pk
    visitor: str | None
    text: bytes
    nonce: str
    sticky_s: float
    instead_of: str = ""


@dataclass(frozen=True)
class Defined:
    """A definition, or what an import was, that is kept. revision: 1 or more.  text: JSON."""

    revision: int
    text: bytes


Place = tuple[int, Sequence[str]]
"""At which of some nested names none is known, and the names that are known there."""


class Missing(NamedTuple):
    """What was never counted. pk: where its names end, or None where it was.  paths: of the pk.  known_metrics: that it has."""

    pk: Place | None
    paths: Mapping[Path, Place]
    metrics: Sequence[str]
    known_metrics: Sequence[str]


def place_of(names: Path, children: Callable[[Path], Sequence[str]]) -> Place | None:
    """Where nested names are not known; None where they are. children: of a parent."""
    for depth, name in enumerate(names):
        known = children(names[:depth])
        if name not in known:
            return depth, known
    return None


class FaultyMetric(NamedTuple):
    """A metric whose amounts do not count in a pk, and why: mixed_kinds or too_many_metrics."""

    reason: str
    pk: Pk
    metric: str


class Store(Protocol):
    """Every method raises whale.errors.Unavailable while the store cannot be reached."""

    shards: int

    def zone(self, account: str) -> str:
        """The account's IANA zone, fixed when the account was made (at its first use)."""

    def check_writable(self) -> None:
        """Raises Unavailable where the store takes no writes now; writes nothing."""

    def steady(self) -> AbstractContextManager[None]:
        """Work within stands on one state of the store: where that may have been lost meanwhile, a method raises Unavailable.

        So what was claimed is still claimed when it is applied. On a Redis Cluster this holds for each server by itself:
        one that was started again is noticed when it is asked, and not before.
        """

    def forget(self) -> None:
        """Gives back the memory of what was remembered only to count faster. For the thread that applies."""

    def claim(self, account: str, ids: Sequence[tuple[str, Name]], now: float) -> set[int]:
        """Claims hit ids for their messages; returns the positions of those that another message owns.

        First wins, for `dedupe_window_s` and the age a spool may have. A message finds its own claims again.
        """

    def resets(self, account: str) -> frozenset[Reset]:
        """The resets that this process knows of; `apply` says where there are others."""

    def apply(
        self,
        account: str,
        tallies: Sequence[Tally],
        cells: Cells,
        now: float,
        shards: Collection[int] | None = None,
        resets: frozenset[Reset] = frozenset(),
        extras: Extras | None = None,
    ) -> dict[int, set[Name]]:
        """Adds the cells of some messages, on each shard all or nothing, and each message once.

        tallies: one a message.  cells: of `denormalize`, all of these messages added up.  shards: only these.
        resets: those that the cells have heeded.
        extras: of the same messages; they may be made of a message that is not applied, since it was or will be.
        Returns, for each shard where nothing was written, the messages that had been applied there before: the
        caller applies that shard again without them. None there means that a reset came: ask `resets` and add up again.
        """

    def set(self, account: str, change: Change, now: float) -> dict[str, int]:
        """Sets the cells of one path and bucket to some amounts, as one atomic step among hits.

        The difference to what was there is added as a hit of that path would be: to the paths above it, to the wider
        buckets that contain this one, and in the pks above. Finer buckets stay, and `adjusted` says so.
        Returns the difference by metric. The same id again changes nothing and returns the same; with other content it
        is CallerError, as a path or a metric that only counts in `__other__`, and a metric that is no sum.
        A pk above that has the metric as another kind does not get it: cells of `mixed_kinds`.
        """

    def adjusted(self, account: str, pk: Pk, stretches: Sequence[Stretch]) -> list[bool]:
        """Whether each stretch overlaps a wider bucket in which something was set. One read."""

    def notes(self, account: str, pk: Pk) -> Notes:
        """What is noted of a pk beside its cells. One read, and one more where a cell lacks an amount."""

    def adjustments_of(self, account: str, pks: Sequence[Pk]) -> list[Collection[Adjustment]]:
        """What was set in each of these pks. One read, and one more where something was."""

    def reset(self, account: str, pk: Pk, path: Path | None, now: float) -> None:
        """Forgets a pk and all pks below it; or a path of one pk and all paths below it. What is above keeps its sums.

        When this returns readers see nothing of it, and `apply` takes no hit of a message accepted before it there.
        Raises CallerError where more than MAX_RESETS are remembered.
        """

    def sweep(self, account: str, now: float) -> bool:
        """A small step of freeing what resets left. False when there is nothing to do now."""

    def read(
        self,
        account: str,
        pk: Pk,
        paths: Sequence[Path],
        metrics: Sequence[str],
        interval: Interval,
        starts: Sequence[int],
    ) -> NDArray[np.int64]:
        """Cells as int64 of shape (paths, metrics, starts); 0 where nothing was counted.

        starts: epoch seconds of bucket starts, ascending.  Amounts as stored: `hits` plain, other metrics in millionths.
        """

    def read_several(
        self, account: str, pk: Pk, paths: Sequence[Path], metrics: Sequence[str], spans: Sequence[Buckets]
    ) -> Reading:
        """`read` of several such lists of buckets, and what the pk is like, at one moment and in one round trip."""

    def read_below(
        self,
        account: str,
        pk: Pk,
        path: Path,
        levels: int,
        metrics: Sequence[str],
        interval: Interval,
        groups: Sequence[Sequence[int]],
        most: int,
    ) -> tuple[list[Path], NDArray[Any]]:
        """A path, then the paths up to so many levels below it as `descendants` has them, and what their cells add up to.

        path: CHILD_PKS is the root, then the nodes of the child pks.  groups: starts of buckets, ascending, in order.
        Sums have the shape (paths, metrics, groups): int64, or Python's integers where 64 bits might not hold them.
        Raises TooManyPoints where there are more than `most` paths.  One read of the pages, nothing for each path.
        """

    def read_many(
        self,
        account: str,
        pks: Sequence[Pk],
        paths: Sequence[Path],
        metrics: Sequence[str],
        interval: Interval,
        starts: Sequence[int],
    ) -> NDArray[np.int64]:
        """`read` of several pks, (pks, paths, metrics, starts), in one round trip, or three where a dictionary has changed."""

    def read_each(
        self, account: str, wanted: Sequence[Wanted], interval: Interval, starts: Sequence[int]
    ) -> list[NDArray[np.int64]]:
        """`read` of several pks, each with paths and metrics of its own, in as many round trips as `read_many`."""

    def read_values(
        self, account: str, pk: Pk, paths: Sequence[Path], metric: str, interval: Interval, starts: Sequence[int]
    ) -> list[list[int | None]]:
        """Of a min, max or last: for each path the value of each bucket, in millionths; None where there is none."""

    def read_distinct(
        self,
        account: str,
        pk: Pk,
        paths: Sequence[Path],
        metric: str,
        interval: Interval,
        groups: Sequence[Sequence[int]],
    ) -> list[list[int | None]]:
        """For each path how many names the union of each group of buckets has, give or take 0.81 %.

        groups: starts of buckets.  None where names are not kept: too deep, or past `max_distinct_nodes`.
        """

    def kinds(self, account: str, pk: Pk) -> dict[str, str]:
        """Kinds of a pk's metrics that are no sums, as they are now: after a reset a metric may be of another kind."""

    def kinds_of(self, account: str, pks: Sequence[Pk]) -> list[dict[str, str]]:
        """`kinds` of several pks, in one round trip, or two where a dictionary has changed."""

    def bins(self, account: str, pk: Pk, paths: Sequence[Path], metric: str) -> list[list[str]]:
        """For each path the bins of a quantile metric. How full they are: `read` hits of (*bins_of(path, metric), bin)."""

    def children(self, account: str, pk: Pk, path: Path) -> list[str]:
        """Names of the paths one level below a path, in the order they were first counted; `__other__` where it exists."""

    def uncounted(self, account: str, pk: Pk, paths: Sequence[Path], metrics: Sequence[str]) -> Missing | None:
        """Which of a pk, paths and metrics of it were never counted; None where all were.

        No read where the last one of this pk said that all were; else one, and one more where a dictionary has changed.
        """

    def counted(self, account: str, pk: Pk, paths: Sequence[Path]) -> list[Path]:
        """Those of some paths of a pk that were counted. One read, and one more where a dictionary has changed."""

    def descendants(self, account: str, pk: Pk, path: Path, levels: int) -> list[Path]:
        """The paths up to so many levels below a path, level by level, each as `children` orders it; one read."""

    def descendants_of(self, account: str, asked: Sequence[tuple[Pk, Path, int]]) -> list[list[Path]]:
        """`descendants` of several pks, paths and levels, in one round trip, or two where a dictionary has changed."""

    def keys_of(
        self, account: str, pk: Pk, paths: Sequence[Path], interval: Interval, starts: Sequence[int]
    ) -> list[str]:
        """Names of what holds those cells, for people who look into a store."""

    def pks(self, account: str, parent: Pk = ()) -> list[str]:
        """Names of the pks one level below a pk; of () the top ones."""

    def pks_of(self, account: str, parents: Sequence[Pk]) -> list[list[str]]:
        """`pks` of several parents, in one round trip, or two where the directory has changed."""

    def metrics_of(self, account: str, pks: Sequence[Pk]) -> list[list[str]]:
        """`metrics` of several pks, in one round trip, or two where a dictionary has changed."""

    def metrics(self, account: str, pk: Pk) -> list[str]:
        """Names of a pk's metrics, in the order they were first counted; `hits` first."""

    def seen(self, account: str, name: Name) -> bool:
        """Whether the shard that keeps its publisher's tally has counted this message: what the audit closes on.

        Other shards may still be due, where a worker was killed between two; the message then comes again.
        """

    def audit(self, account: str) -> list[PublisherAudit]:
        """Every publisher that was heard of within the last week."""

    def faults(self, account: str) -> dict[str, int]:
        """Cells that could not be added, by reason (overflow, wrong_type, mixed_kinds, too_many_metrics), since the account was made."""

    def evicted(self) -> int:
        """Keys that the servers threw away since they were started, to make room: what they held is lost."""

    def faulty_metrics(self, account: str) -> list[FaultyMetric]:
        """Metrics whose amounts could not be added, in order: the first MAX_NOTED of each shard, until their pk is reset."""

    def faults_seen(self, account: str) -> dict[str, int]:
        """How many of `faults` there were, by reason, when somebody last said that they were seen."""

    def see_faults(self, account: str) -> None:
        """Takes note that all of `faults` were seen."""

    def set_aside(self, account: str, hits: Sequence[Illegible]) -> None:
        """Keeps the bytes of hits that cannot be read for 31 days, each once, up to `max_undecodable_bytes`; the newest stay.

        Of one that is larger than a tenth of that the beginning.
        """

    def aside(self, account: str) -> list[Illegible]:
        """What `set_aside` keeps, the oldest first."""

    def spy_add(self, account: str, traces: Traces, now: float) -> None:
        """Keeps the newest `spy.KEPT` traces of each list for a day, of at most `max_spied_visitors` visitors, the newest."""

    def spied(self, account: str, visitor: str | None = None) -> list[bytes]:
        """Traces of a visitor; of None, of the account: what counted, then what did not. Then what was refused, of whomever.

        Each oldest first.
        """

    def decision_of(self, account: str, pk: Pk, visitor: str, now: float) -> Kept | None:
        """The decision of a pk that a visitor has, while it is sticky. One read."""

    def decisions_of(self, account: str, asked: Sequence[tuple[Pk, str]], now: float) -> list[Kept | None]:
        """`decision_of` several pks and visitors, in one round trip."""

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
        """Keeps a decision for `decision_kept_s`, under an id that begins with a number and holds the nonce.

        A visitor has it for `sticky_s`, unless there already is one other than `instead_of`: then that one is returned and
        nothing is kept. Past `max_decisions` of an account the oldest are forgotten.
        """

    def keep_decisions(self, account: str, keeping: Sequence[Keeping], now: float) -> list[Kept]:
        """`keep_decision` of several, each for itself, in one round trip."""

    def decision(self, account: str, id: str, now: float) -> Kept | None:
        """A decision that is kept."""

    def begin_reward(self, account: str, id: str, reward: Reward, now: float) -> Begun | None:
        """Notes a reward of a decision, and adds it to the sums of the decision's rewards, once an id; None where it was counted.

        The same again, until `end_reward`, returns what it returned first. Both are remembered as long as the decision.
        Raises CallerError: no such decision; another reward under this id; more than `max_rewards` of them, or more metrics
        than a hit may have, or a sum beyond MOST_REWARDED.
        """

    def end_reward(self, account: str, id: str, reward: Reward) -> None:
        """Notes that a reward was counted."""

    def definitions(self, account: str, names: Sequence[str] | None = None) -> dict[str, Defined]:
        """Definitions by name; of None all of the account. One read; what is not there is left out."""

    def define(self, account: str, name: str, seen: int, new: Defined) -> Defined | None:
        """Keeps a definition where the revision that is there is `seen` (0: none); else returns the one that is there, if any.

        Returns `new` where it is kept. Raises CallerError where a new name is past `max_definitions` of the account.
        """

    def imports(self, account: str) -> dict[str, Defined]:
        """What is kept of imports, by name. One read."""

    def keep_import(self, account: str, name: str, seen: int, new: Defined) -> Defined | None:
        """Keeps what an import was, as `define` does; raises CallerError where a new name is past `max_imports`."""

    def last_resets(self, account: str) -> dict[tuple[Pk, Path | None], int]:
        """When each pk, or path of one, was last reset, in ms, however long ago; without those below one that was reset later.

        It is there only when all of the reset is done.
        """

    def hurried(self, timeout_s: float) -> "Store":
        """The same store over a connection of its own, which waits at most about three times so long for an answer."""

"""THE CORE: hits become cells, a known list of increments. Pure: no clock, no Redis, no settings.

`expand` is the definition, one hit at a time: each prefix of the pk x each path x each metric x each interval is one increment.
`pk=shop, dimensions={country: US}, metrics={revenue: 5}` with intervals hour and day: 3 paths (root, country, country/US)
x 2 metrics (hits=1 is implied, revenue=5) x 2 buckets = 12 increments; the 12 are written out in tests/unit/test_denormalize.py.

`coalesce` and `denormalize` give the same sums at a fraction of the work: hits are added up per (branch, finest bucket) before
anything is expanded, and coarser buckets are added up from finer ones. A branch is the root, or one top-level dimension with all
that a hit carries below it; hits share few of them.

    hits ── coalesce ──► finest: bucket -> branch -> {metric: amount} ── denormalize ──► the same for each interval ──► Store

Where a pk has several levels, each prefix is a pk of its own; and a parent keeps a reserved path (None, name) for each child pk,
so that "which Product?" is one read.
"""

import functools
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from hail.geo import areas_of
from hail.hit import Dimensions
from hail.message import UNREADABLE, OthersOnWire, WireHit
from hail.room import WIDE, Room
from hail.settings import DAY, MONTH, Retention
from whale.cells import Amounts, Branch, Cells, Level, Sums
from whale.dimension import Path, Pk, paths_of
from whale.metric import is_narrow
from whale.period import Interval, bucket_start, day_start, month_start

Held = TypeVar("Held")
"""What is held of a bucket: of each branch Amounts; or names, or values, see cells.py."""
BRANCHES_BYTES = 64_000_000
HIT_BYTES, BRANCH_BYTES, PATH_BYTES, PLAN_BYTES = 250, 750, 150, 250
"""What one costs in memory beside its text, with its place in a dict; of a branch with the plan that a store makes of it."""
QUARTER = 900  # every zone's offset is whole quarters of an hour


class Increment(NamedTuple):
    """What one hit turns into. start: epoch seconds of the bucket; amount: `hits` plain, other metrics in millionths."""

    pk: Pk
    path: Path
    interval: Interval
    start: int
    metric: str
    amount: int


Placed = tuple[tuple[Branch, ...], int]
"""The branches of a hit, and how many cells of one interval each of its metrics adds to, before anything is added up."""
NOWHERE: Placed = ((), 0)


TakeOthers = Callable[[int, int, OthersOnWire, tuple[Branch, ...]], None]
"""Takes of a hit its metrics that are no sums: position, ms, these, and its branches."""


class BranchesBelow(Protocol):
    """What gives the branches of bins: Branches, or resets.Older."""

    def below(self, branch: Branch, reserved: Path, bin_: str) -> Branch: ...


class Branches:
    """Branches of an account's hits by their wire text. What it holds is kept in `room`; it is trimmed between batches only."""

    def __init__(self, account: str, room: Room | None = None):
        self._account, self._room = account, room or Room("branches", BRANCHES_BYTES)
        self._of_hit: dict[tuple[bytes, bytes], Placed] = {}
        self.known = self._of_hit.get
        self._single: dict[tuple[bytes, str, bytes], Branch] = {}
        self._below: dict[tuple[Branch, Path, str], Branch] = {}
        self._pks: dict[bytes, Pk] = {}
        self._further: dict[tuple[str, str, str, Branch | None], Branch | None] = {}
        self._of_hit_bytes = self._bytes = 0

    @property
    def held(self) -> int:
        """Bytes, of what is in it."""
        return self._of_hit_bytes + self._bytes

    def trim(self) -> None:
        """Where the room is full: forgets whole hits, which are soon made of their branches; and these, where they are too many."""
        if self._room.is_full:
            self._of_hit.clear()
            self._room.held -= self._of_hit_bytes
            self._of_hit_bytes = 0
            if 2 * self._room.held > self._room.most:
                self.clear()

    def clear(self) -> None:
        for kept in (self._of_hit, self._single, self._below, self._pks, self._further):
            kept.clear()
        self._room.held -= self._of_hit_bytes + self._bytes
        self._of_hit_bytes = self._bytes = 0

    def below(self, branch: Branch, reserved: Path, bin_: str) -> Branch:
        """A branch of the reserved paths of a bin, below those paths of a branch where bins are kept."""
        key = branch, reserved, bin_
        found = self._below.get(key)
        if found is None:
            found = self._below[key] = branch_below(branch, reserved, bin_)
            self._take(found, 0)
        return found

    def further(self, site: str, name: str, value: str, own: Branch | None) -> Branch | None:
        """`name` and `name` > `value` at a site, without those that a hit's own branch of that name has; None where none is left. A place
        counts at each of its areas.
        """
        key = site, name, value, own
        if key not in self._further:
            has = own.paths if own else ()
            areas = areas_of(name, value)
            every = [(name, *areas[:depth]) for depth in range(len(areas) + 1)]
            paths = tuple(path for path in every if path not in has)
            branch = self._further[key] = Branch(self._account, (site,), paths) if paths else None
            if branch:
                self._take(branch, WIDE * (len(site) + len(name) + len(value)))
        return self._further[key]

    def of(self, pk: bytes, dimensions: bytes) -> tuple[Branch, ...]:
        """pk, dimensions: their JSON in a message; raises one of message.UNREADABLE where they are not of the wire form."""
        return self.placed(pk, dimensions)[0]

    def placed(self, pk: bytes, dimensions: bytes) -> Placed:
        """`of`, with their cells."""
        known = self._of_hit.get((pk, dimensions))
        if known is None:
            root = self.one(pk, "", b"")
            found, cells = [root], root.cells
            for name, below in _decode_tops(dimensions).items():
                branch = self.one(pk, name, bytes(below))
                found.append(branch)
                cells += branch.cells
            known = self._of_hit[pk, dimensions] = tuple(found), cells
            size = len(pk) + len(dimensions) + 8 * len(found) + HIT_BYTES
            self._of_hit_bytes += size
            self._room.held += size
        return known

    def one(self, pk: bytes, name: str, below: bytes) -> Branch:
        """The branch of a top-level dimension and the text of what is below it; of no text, the root."""
        key = pk, name, below
        return self._single.get(key) or self._made(key)

    def several(self, keys: Iterable[tuple[bytes, str, bytes]]) -> list[Branch | None]:
        """`one` of each, and None where that raises one of message.UNREADABLE."""
        known = self._single.get
        return [known(key) or self._readable(key) for key in keys]

    def _readable(self, key: tuple[bytes, str, bytes]) -> Branch | None:
        try:
            return self._made(key)
        except UNREADABLE:
            return None

    def _made(self, key: tuple[bytes, str, bytes]) -> Branch:
        pk, name, below = key
        names = self._pks.get(pk)
        if names is None:
            names = self._pks[pk] = _decode_pk(pk)
        paths = tuple(paths_of({name: _decode_dimensions(below)})[1:]) if below else ((),)
        branch = self._single[key] = Branch(self._account, names, paths)
        plain = pk.isascii() and name.isascii() and below.isascii()
        self._take(branch, (1 if plain else WIDE) * (len(pk) + len(name) + len(below)))
        return branch

    def _take(self, branch: Branch, text: int) -> None:
        """text: bytes of its key."""
        paths = len(branch.paths)
        size = 3 * text + BRANCH_BYTES + paths * PATH_BYTES + len(branch.pk) * (PLAN_BYTES + 16 * paths)
        self._bytes += size
        self._room.held += size


def branch_below(branch: Branch, reserved: Path, bin_: str) -> Branch:
    paths = tuple((*path, *reserved, bin_) for path in branch.paths if is_narrow(path))
    return Branch(branch.account, branch.pk, paths, branch.resets)


_pk_decoder = msgspec.json.Decoder(tuple[str, ...])
_decode_tops = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_dimensions_decoder = msgspec.json.Decoder(dict[str, dict[str, Any]])


def _decode_pk(text: bytes) -> Pk:
    pk = _pk_decoder.decode(text)
    if not pk:
        raise msgspec.ValidationError("a pk has at least one name")
    return pk


def _decode_dimensions(text: bytes) -> Dimensions:
    tree: Dimensions = _dimensions_decoder.decode(text)
    waiting = [tree]
    while waiting:
        for below in waiting.pop().values():
            if not isinstance(below, dict):
                raise msgspec.ValidationError("dimensions nest as objects down to {}")
            waiting.append(below)
    return tree


def expand(
    pk: Pk, dimensions: Dimensions, metrics: Amounts, at_ms: int, intervals: Iterable[Interval], zone: str
) -> list[Increment]:
    """One hit, plainly: the reference that everything faster must equal."""
    found: list[Increment] = []
    for depth in range(1, len(pk) + 1):
        paths: list[Path] = paths_of(dimensions)
        if depth < len(pk):
            paths.append((None, pk[depth]))
        for path in paths:
            for interval in intervals:
                start = bucket_start(interval, at_ms // 1000, zone)
                found += (
                    Increment(pk[:depth], path, interval, start, name, amount) for name, amount in metrics.items()
                )
    return found


def finest_of(periods: Iterable[Retention]) -> int:
    """Seconds of the bucket that every kept interval can be added up from."""
    seconds = [QUARTER if interval in (DAY, MONTH) else interval for interval, _ in periods]
    return math.gcd(*(s for s in seconds if isinstance(s, int)))


def coalesce(
    hits: Sequence[WireHit],
    places: Sequence[Placed],
    finest: int,
    into: Level,
    left_out: Collection[int] = (),
    others: TakeOthers | None = None,
) -> int:
    """Adds hits up per (branch, bucket of `finest` seconds, as its number) into a level; how many cells of one interval they had.

    places: of each hit.  left_out: positions of hits that do not count, undecodable ones among them.
    """
    width = finest * 1000
    cells = 0
    for position, hit in enumerate(hits):
        if left_out and position in left_out:
            continue
        found, targeted = places[position]
        bucket, metrics = hit.at_ms // width, hit.metrics
        cells += targeted * len(metrics)
        if others and hit.others:
            others(position, hit.at_ms, hit.others, found)
            cells += targeted * len(hit.others)
        sums = into.get(bucket)
        if sums is None:
            sums = into[bucket] = {}
        for branch in found:
            mine = sums.get(branch)
            if mine is None:
                sums[branch] = metrics.copy()
            else:
                for name, amount in metrics.items():
                    mine[name] = mine.get(name, 0) + amount
    return cells


def denormalize(level: Level, finest: int, periods: Collection[Retention], zone: str, now: float) -> Cells:
    """The same sums for each interval that still keeps them, by epoch seconds of the bucket's start; level: of `coalesce`."""
    return by_interval(level, finest, periods, zone, now, _added)


def by_interval(
    level: dict[int, Held],
    finest: int,
    periods: Collection[Retention],
    zone: str,
    now: float,
    added: Callable[[list[Held]], Held],
) -> dict[Interval, dict[int, Held]]:
    """A level at `finest` seconds for each interval that still keeps it, by epoch seconds of the bucket's start.

    added: what several finer buckets make together.  Each interval is made from the widest finer one that it is made of: a day from
    hours where no hour is cut by the zone's midnight, else from quarters.
    """
    found: dict[Interval, dict[int, Held]] = {interval: {} for interval, _ in periods}
    if not level:
        return found
    days: dict[int, Held] = {}
    finer = [(finest, {bucket * finest: sums for bucket, sums in level.items()})]
    newest = max(finer[0][1], default=0)
    for interval, kept in periods:
        width = interval if isinstance(interval, int) else 31 * DAY
        oldest = -math.inf if kept is None else now - kept - width
        if newest <= oldest:
            continue
        if isinstance(interval, int) and interval < DAY:
            source = next(fitting for fine, fitting in reversed(finer) if interval % fine == 0)
            if interval != finest:
                source = _coarser(source, functools.partial(_floor, interval), added)
                finer.append((interval, source))
        elif interval == MONTH:
            source = _coarser(days or _uncut(finer, zone), lambda at: month_start(at, zone), added)
        else:
            source = days = _coarser(_uncut(finer, zone), lambda at: day_start(at, zone), added)
        found[interval] = source if kept is None else {start: sums for start, sums in source.items() if start > oldest}
    return found


def _floor(width: int, at: int) -> int:
    return at - at % width


def _uncut(finer: list[tuple[int, dict[int, Held]]], zone: str) -> dict[int, Held]:
    """The widest level of which no bucket is cut by a local midnight."""
    for width, level in reversed(finer):
        if all(day_start(start, zone) == day_start(start + width - 1, zone) for start in level):
            return level
    return finer[0][1]


def _coarser(
    level: dict[int, Held], start_of: Callable[[int], int], added: Callable[[list[Held]], Held]
) -> dict[int, Held]:
    """Where one finer bucket is all that came of a coarser one, as in live traffic, both have the same object."""
    parts: dict[int, list[Held]] = {}
    for fine, sums in level.items():
        parts.setdefault(start_of(fine), []).append(sums)
    return {start: found[0] if len(found) == 1 else added(found) for start, found in parts.items()}


def _added(parts: list[Sums]) -> Sums:
    total = {branch: amounts.copy() for branch, amounts in parts[0].items()}
    for sums in parts[1:]:
        for branch, amounts in sums.items():
            mine = total.get(branch)
            if mine is None:
                total[branch] = amounts.copy()
            else:
                for name, amount in amounts.items():
                    mine[name] = mine.get(name, 0) + amount
    return total

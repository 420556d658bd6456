"""Reading cells, and names. What is remembered of a dictionary is true while Redis knows its token; read.lua checks that."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hail.room import MEGABYTE, WIDE, Bounded, calendar
from hail.settings import DAY, MONTH, Settings
from whale.dimension import Path, Pk
from whale.errors import Unavailable
from whale.metric import distinct_periods, is_narrow, split_bin
from whale.period import Interval, widest
from whale.store.base import (
    CHILD_PKS,
    Adjustment,
    Buckets,
    Missing,
    Notes,
    Overflowed,
    Reading,
    Stretch,
    Wanted,
    check_below,
    place_of,
    touched,
)
from whale.store.redis import keys as layout
from whale.store.redis.connection import Connected, Connection, Script, pack, reachable
from whale.store.redis.keys import PAGE, PAGE_BITS, Keys, place

TRIES = 20
NAME_BYTES = 700  # what a name of a dictionary that is remembered costs in memory beside its text
FEW_NODES = 16
WHOLE, FIELDS, SPLIT = 0, 1, 2  # forms of a part that read.lua answers; the fourth is dense
COMMANDS_A_READ = 2000
FEW_BUCKETS = 1000  # of one range, whose places are remembered


class Known:
    """A whole dictionary as a reader needs it, true while `token` is the newest."""

    def __init__(self, fields: dict[bytes, bytes]):
        self.token = fields[b"g"][:8]
        self.size = sum(NAME_BYTES + (1 if field.isascii() else WIDE) * len(field) for field in fields)
        self.generation = fields.get(b"gen", b"").decode()
        self.metrics: dict[str, int] = {}
        self.kinds: dict[str, str] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._children: dict[str, list[tuple[int, str]]] = {}
        self._rows_of: dict[str, tuple[list[Path], NDArray[np.int64]]] = {}
        self._named: dict[int, tuple[str, str]] | None = None
        self._found: dict[Path, int] = {}  # numbers that were asked
        for field, value in fields.items():
            parent, colon, name = field.decode().partition(":")
            if parent.startswith("r"):  # of runs
                continue
            if parent == "m" and colon:
                self.metrics[name] = int(value)
            elif parent == "k" and colon:
                self.kinds[name] = value.decode()
            elif colon:
                if parent.startswith("q"):  # "q<parent>:<metric>:<bin>"
                    parent, _, name = field.decode().rpartition(":")
                self._numbers[parent, name] = int(value)
                self._children.setdefault(parent, []).append((int(value), name))
        self.in_order = sorted(self.metrics, key=self.metrics.__getitem__)

    def number(self, path: Path) -> int | None:
        found = self._found.get(path)
        if found is None:
            found = self._number(path)
            if found is not None:
                self._found[path] = found
        return found

    def _number(self, path: Path) -> int | None:
        if bin_ := split_bin(path):
            number = self.number(bin_[0])
            return None if number is None else self._numbers.get((f"q{number}:{bin_[1]}", bin_[2]))
        parent = "0"
        for name in path:
            if name is None:
                parent = "p"
                continue
            number = self._numbers.get((parent, name))
            if number is None:
                return None
            parent = str(number)
        return None if parent == "p" else int(parent)

    def has(self, paths: Sequence[Path], metrics: Sequence[str]) -> bool:
        return all(self.number(path) is not None for path in paths) and all(name in self.metrics for name in metrics)

    def names_below(self, path: Path) -> list[str]:
        number = self.number(path)
        return [] if number is None else self.children(str(number))

    def parent(self, path: Path) -> str:
        """As which the path's parent stands in the dictionary."""
        return "p" if path[:-1] == (None,) else str(self.number(path[:-1]))

    def below(self, path: Path, levels: int, most: int) -> tuple[list[Path], NDArray[np.int64]] | None:
        """A path and those up to so many levels below it, with their numbers; None where nobody knows it."""
        above = () if path == CHILD_PKS else path
        number = self.number(above)
        if number is None:
            return None
        paths, numbers = [above], [np.array([number])]
        level: list[tuple[Path, str]] = [(path, "p" if path == CHILD_PKS else str(number))]
        for _ in range(levels):
            rows = [self._rows(above, parent) for above, parent in level]
            check_below(len(paths) - 1 + sum(len(below) for below, _ in rows), most)
            level = []
            for below, found in rows:
                paths += below
                numbers.append(found)
                if levels > 1:
                    level += zip(below, map(str, found.tolist()), strict=True)
        return paths, np.concatenate(numbers)

    def _rows(self, above: Path, parent: str) -> tuple[list[Path], NDArray[np.int64]]:
        """The paths of a node's children, and their numbers, by number. Kept, for 10,000 take longer than their sums."""
        if parent not in self._children:
            return [], np.empty(0, np.int64)
        if parent not in self._rows_of:
            rows = sorted(self._children[parent])
            self._rows_of[parent] = [(*above, name) for _, name in rows], np.array([number for number, _ in rows])
        return self._rows_of[parent]

    def overflowed(self, text: bytes, zone: str) -> list[Overflowed] | None:
        """The cells of the dictionary's field `o`. Those of a path that was reset since are nobody's."""
        if text == b"*;":
            return None
        found = []
        names = self._names() if text else {}
        metrics = {number: metric for metric, number in self.metrics.items()}
        for cell in text.decode().split(";")[:-1]:
            interval, block, offset, metric, node = cell.split(":")
            name: Interval = int(interval) if interval.isdecimal() else interval
            path = _path_of(int(node), names)
            if path is not None and int(metric) in metrics:
                start = layout.start_of(name, int(block), int(offset), zone)
                found.append(Overflowed(path, metrics[int(metric)], name, start))
        return found

    def _names(self) -> Mapping[int, tuple[str, str]]:
        """Of each number its parent and its name."""
        if self._named is None:
            self._named = {number: where for where, number in self._numbers.items()}
        return self._named

    def adjusted(self, text: bytes) -> list[Adjustment]:
        """The marks of the dictionary's field `s`. Of a path that was reset since nobody knows which it was."""
        found = []
        names = self._names() if text else {}
        metrics = {number: metric for metric, number in self.metrics.items()}
        for mark in text.decode().split(";")[:-1]:
            interval, start, end, *what = mark.split(":")
            name: Interval = int(interval) if interval.isdecimal() else interval
            path = _path_of(int(what[0]), names) if what else None
            of = tuple(metrics.get(int(each), "") for each in what[1].split(",")) if what else None
            found.append(Adjustment(name, int(start), int(end), path, of))
        return found

    def children(self, parent: str) -> list[str]:
        return [name for _, name in sorted(self._children.get(parent, ()))]

    def descendants(self, path: Path, levels: int) -> list[Path]:
        number = self.number(path)
        level = [] if number is None else [(path, str(number))]
        found: list[Path] = []
        for _ in range(levels):
            level = [((*above, name), below) for above, parent in level for name, below in self.numbered(parent)]
            found += (path for path, _ in level)
        return found

    def numbered(self, parent: str) -> list[tuple[str, str]]:
        """Children of a node: name and number."""
        return [(name, str(number)) for number, name in sorted(self._children.get(parent, ()))]


class _Block(NamedTuple):
    """Some buckets, by their place in a block: the column that each is answered in."""

    interval: Interval
    block: int
    columns: dict[int, int]


class _Asked(NamedTuple):
    """One call of read.lua. pages: node on a page -> index in the answer.  metrics: number -> index."""

    keys: list[str]
    args: list[Any]
    pages: list[dict[int, int]]
    metrics: dict[int, int]
    blocks: list[_Block]

    def fill(self, out: NDArray[np.int64], answer: Any) -> None:
        parts = iter(answer[1:])
        for rows in self.pages:
            page = _Page(rows, self.metrics)
            for block in self.blocks:
                _fill(out, next(parts), page, block.columns)
            page.fill(out)


class Reader(Connected):
    """For many threads."""

    def __init__(self, connection: Connection, settings: Settings):
        super().__init__(connection, settings)
        self._read = Script(self.client, "read")
        self._known: Bounded[tuple[str, Pk], Known] = Bounded(
            "names", settings.names_mb * MEGABYTE, lambda key, known: known.size + 2 * NAME_BYTES
        )
        self._keeps_months = distinct_periods(settings.periods).get(MONTH, 0) is None

    @reachable
    def read(
        self,
        account: str,
        pk: Pk,
        paths: Sequence[Path],
        metrics: Sequence[str],
        interval: Interval,
        starts: Sequence[int],
    ) -> NDArray[np.int64]:
        return self.read_several(account, pk, paths, metrics, [(interval, starts)]).cells[0]

    @reachable
    def read_several(
        self, account: str, pk: Pk, paths: Sequence[Path], metrics: Sequence[str], spans: Sequence[Buckets]
    ) -> Reading:
        ends = list(accumulate(len(starts) for _, starts in spans))
        out = np.zeros((len(paths), len(metrics), ends[-1] if ends else 0), np.int64)
        cells = [out[..., end - len(starts) : end] for end, (_, starts) in zip(ends, spans, strict=True)]
        blocks = self._blocks(account, spans)
        for attempt in range(TRIES):
            # What is remembered is tried first, for read.lua says when it is old: a round trip less.
            known = (attempt == 0 and self._known.get((account, pk))) or self._knowledge(account, pk)
            if known is None:
                return Reading(cells, Notes(), [], {})
            asked = self._asked(account, pk, paths, metrics, blocks, known)
            if asked is None:
                if attempt == 0:
                    continue
                return Reading(cells, self.notes(account, pk), known.in_order, known.kinds)
            answer = self._read(asked.keys, asked.args)
            if answer is not None:
                asked.fill(out, answer)
                marks, _, overflowed = answer[0].partition(b"|")
                notes = Notes(known.adjusted(marks), known.overflowed(overflowed, self.zone(account)))
                return Reading(cells, notes, known.in_order, known.kinds)
        raise Unavailable(f"Redis: the dictionary of {pk} changed {TRIES} times while it was read")

    def read_many(
        self,
        account: str,
        pks: Sequence[Pk],
        paths: Sequence[Path],
        metrics: Sequence[str],
        interval: Interval,
        starts: Sequence[int],
    ) -> NDArray[np.int64]:
        out = np.zeros((len(pks), len(paths), len(metrics), len(starts)), np.int64)
        self._read_into(out, account, [(pk, paths, metrics) for pk in pks], interval, starts)
        return out

    def read_each(
        self, account: str, wanted: Sequence[Wanted], interval: Interval, starts: Sequence[int]
    ) -> list[NDArray[np.int64]]:
        out = [np.zeros((len(paths), len(metrics), len(starts)), np.int64) for _, paths, metrics in wanted]
        self._read_into(out, account, wanted, interval, starts)
        return out

    @reachable
    def _read_into(
        self,
        out: Sequence[NDArray[np.int64]] | NDArray[np.int64],
        account: str,
        wanted: Sequence[Wanted],
        interval: Interval,
        starts: Sequence[int],
    ) -> None:
        blocks = self._blocks(account, [(interval, starts)])
        waiting = {row: pk for row, (pk, _, _) in enumerate(wanted)}
        known = {pk: self._known.get((account, pk)) for pk in waiting.values()}
        fresh: set[Pk] = set()
        for _ in range(TRIES):
            unknown = [pk for pk in dict.fromkeys(waiting.values()) if known[pk] is None]
            known.update(self._knowledge_of(account, unknown))
            fresh.update(unknown)
            calls: list[tuple[int, _Asked]] = []
            for row, pk in list(waiting.items()):
                mine = known[pk]
                asked = self._asked(account, *wanted[row], blocks, mine) if mine else None
                if asked is not None:
                    calls.append((row, asked))
                elif pk in fresh:
                    del waiting[row]
                else:
                    known[pk] = None
            answers = self._read.many([(asked.keys, asked.args) for _, asked in calls])
            for (row, asked), answer in zip(calls, answers, strict=True):
                if answer is None:
                    known[waiting[row]] = None
                else:
                    asked.fill(out[row], answer)
                    del waiting[row]
            if not waiting:
                return
        raise Unavailable(f"Redis: dictionaries of account {account} changed {TRIES} times while they were read")

    def _blocks(self, account: str, spans: Sequence[Buckets]) -> list[_Block]:
        """Of spans that are answered one after the other."""
        zone, first = self.zone(account), 0
        blocks: list[_Block] = []
        for interval, starts in spans:
            placed = _placed if len(starts) <= FEW_BUCKETS else _placed.__wrapped__
            blocks += placed(interval, starts if isinstance(starts, range) else tuple(starts), zone, first)
            first += len(starts)
        return blocks

    def _asked(
        self,
        account: str,
        pk: Pk,
        paths: Sequence[Path],
        metrics: Sequence[str],
        blocks: list[_Block],
        known: Known,
    ) -> _Asked | None:
        """None where nothing of it is known."""
        keys = Keys(account, self.shards)
        shard, pk_id = keys.pk(pk)
        numbers = {known.metrics[name]: row for row, name in enumerate(metrics) if name in known.metrics}
        pages: dict[int, dict[int, int]] = {}
        for row, path in enumerate(paths):
            number = known.number(path)
            if number is not None:
                pages.setdefault(number >> PAGE_BITS, {})[number % PAGE] = row
        if not (numbers and pages and blocks):
            return None
        blocks_id = layout.generation(pk_id, known.generation)
        names = [keys.dictionary(shard, pk_id)]
        shapes: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
        shape_of: list[int] = []
        for page, rows in pages.items():
            nodes = tuple(rows) if len(rows) <= FEW_NODES else ()
            for interval, block, columns in blocks:
                names.append(keys.block(shard, blocks_id, interval, block, page))
                shape_of.append(shapes.setdefault((tuple(columns), nodes), len(shapes) + 1))
        ask = pack([list(numbers), list(shapes), shape_of])
        return _Asked(names, [known.token, ask], list(pages.values()), numbers, blocks)

    def _knowledge_of(self, account: str, pks: Sequence[Pk]) -> dict[Pk, Known | None]:
        """The dictionaries of some pks, in one round trip."""
        if not pks:
            return {}
        keys = Keys(account, self.shards)
        with self.client.pipeline(transaction=False) as pipe:
            for pk in pks:
                pipe.hgetall(keys.dictionary(*keys.pk(pk)))
            answers = pipe.execute()
        return {pk: self._learned(account, pk, fields) for pk, fields in zip(pks, answers, strict=True)}

    def _newest(self, account: str, pks: Sequence[Pk]) -> dict[Pk, Known | None]:
        """`_knowledge` of several pks, in one round trip, or two."""
        if not pks:
            return {}
        keys = Keys(account, self.shards)
        with self.client.pipeline(transaction=False) as pipe:
            for pk in pks:
                pipe.hget(keys.dictionary(*keys.pk(pk)), "g")
            tokens = pipe.execute()
        known = {pk: self._known.get((account, pk)) for pk in pks}
        old = []
        for pk, token in zip(pks, tokens, strict=True):
            mine = known[pk]
            if mine is None or token is None or mine.token != token[:8]:
                known[pk] = None
                if token is not None:
                    old.append(pk)
                else:
                    self._known.drop((account, pk))
        return known | self._knowledge_of(account, old)

    def _knowledge(self, account: str, pk: Pk) -> Known | None:
        keys = Keys(account, self.shards)
        key = keys.dictionary(*keys.pk(pk))
        tokens = self.client.hget(key, "g")
        known = self._known.get((account, pk))
        if tokens is not None and known is not None and known.token == tokens[:8]:
            return known
        return self._learned(account, pk, self.client.hgetall(key) if tokens is not None else {})

    def _learned(self, account: str, pk: Pk, fields: dict[bytes, bytes]) -> Known | None:
        """Remembers a dictionary; None where the pk was never counted, or was reset, though it may have had names just before."""
        if b"g" not in fields:
            self._known.drop((account, pk))
            return None
        known = Known(fields)
        self._known.keep((account, pk), known)
        return known

    @reachable
    def read_values(
        self, account: str, pk: Pk, paths: Sequence[Path], metric: str, interval: Interval, starts: Sequence[int]
    ) -> list[list[int | None]]:
        keys, zone = Keys(account, self.shards), self.zone(account)
        shard, pk_id = keys.pk(pk)
        places = [place(interval, start, zone) for start in starts]
        for _ in range(TRIES):
            out: list[list[int | None]] = [[None] * len(starts) for _ in paths]
            known = self._knowledge(account, pk)
            if known is None or metric not in known.metrics:
                return out
            base = known.metrics[metric] << PAGE_BITS
            blocks_id = layout.generation(pk_id, known.generation)
            asked: dict[str, list[tuple[int, int, int]]] = {}
            for row, path in enumerate(paths):
                number = known.number(path)
                if number is None:
                    continue
                for column, (block, offset) in enumerate(places):
                    key = keys.values(shard, blocks_id, interval, block, number >> PAGE_BITS)
                    field = offset << layout.BUCKET_BITS | base | number % PAGE
                    asked.setdefault(key, []).append((field, row, column))
            commands = [("HMGET", key, *(field for field, *_ in cells)) for key, cells in asked.items()]
            answers = self._read_all(keys.dictionary(shard, pk_id), known, commands)
            if answers is None:
                continue
            for cells, values in zip(asked.values(), answers, strict=True):
                for (_, row, column), raw in zip(cells, values, strict=True):
                    if raw is not None:
                        out[row][column] = _value_of(raw)
            return out
        raise Unavailable(f"Redis: the dictionary of {pk} changed {TRIES} times while it was read")

    @reachable
    def read_distinct(
        self,
        account: str,
        pk: Pk,
        paths: Sequence[Path],
        metric: str,
        interval: Interval,
        groups: Sequence[Sequence[int]],
    ) -> list[list[int | None]]:
        keys, zone = Keys(account, self.shards), self.zone(account)
        shard, pk_id = keys.pk(pk)
        for _ in range(TRIES):
            out: list[list[int | None]] = [[0 if is_narrow(path) else None] * len(groups) for path in paths]
            known = self._knowledge(account, pk)
            if known is None or metric not in known.metrics:
                return out
            column = known.metrics[metric]
            rows = {row: number for row, path in enumerate(paths) if (number := known.number(path)) is not None}
            blocks_id = layout.generation(pk_id, known.generation)
            nodes = keys.distinct_nodes(shard, blocks_id)
            members = [f"{number}:{column}" for number in rows.values()]
            kept = [bool(found) for found in self.client.smismember(nodes, members)] if members else []
            is_full = not all(kept) and self.client.scard(nodes) >= self.settings.max_distinct_nodes
            commands, places = [], []
            for (row, number), is_kept in zip(rows.items(), kept, strict=True):
                if not is_kept:
                    if is_full:
                        out[row] = [None] * len(groups)
                    continue
                for place_, group in enumerate(groups):
                    if group:
                        # Months have the names of their days, and a year of days would be 366 keys.
                        by_month = interval == DAY and len(group) >= 28 and self._keeps_months
                        buckets = widest(group, zone) if by_month else [(interval, start) for start in group]
                        names = [keys.distinct(shard, blocks_id, *bucket, number, column) for bucket in buckets]
                        commands.append(("PFCOUNT", *names))
                        places.append((row, place_))
            answers = self._read_all(keys.dictionary(shard, pk_id), known, commands)
            if answers is None:
                continue
            for (row, place_), count in zip(places, answers, strict=True):
                out[row][place_] = count
            return out
        raise Unavailable(f"Redis: the dictionary of {pk} changed {TRIES} times while it was read")

    def _read_all(self, dictionary: str, known: Known, commands: Sequence[tuple[Any, ...]]) -> list[Any] | None:
        """Answers to commands on one shard; None where its dictionary has changed meanwhile."""
        answers: list[Any] = []
        for first in range(0, len(commands), COMMANDS_A_READ):
            with self.client.pipeline(transaction=False) as pipe:
                for command in commands[first : first + COMMANDS_A_READ]:
                    pipe.execute_command(*command)
                answers += pipe.execute()
        tokens = self.client.hget(dictionary, "g")
        return answers if tokens is not None and tokens[:8] == known.token else None

    @reachable
    def kinds(self, account: str, pk: Pk) -> dict[str, str]:
        known = self._knowledge(account, pk)
        return known.kinds if known else {}

    @reachable
    def kinds_of(self, account: str, pks: Sequence[Pk]) -> list[dict[str, str]]:
        known = self._newest(account, pks)
        return [mine.kinds if (mine := known[pk]) else {} for pk in pks]

    @reachable
    def bins(self, account: str, pk: Pk, paths: Sequence[Path], metric: str) -> list[list[str]]:
        known = self._knowledge(account, pk)
        return [known.children(f"q{known.number(path)}:{metric}") if known else [] for path in paths]

    @reachable
    def children(self, account: str, pk: Pk, path: Path) -> list[str]:
        known = self._knowledge(account, pk)
        if known is None:
            return []
        number = known.number(path)
        return [] if number is None else known.children(str(number))

    @reachable
    def uncounted(self, account: str, pk: Pk, paths: Sequence[Path], metrics: Sequence[str]) -> Missing | None:
        known = self._known.get((account, pk))
        if known is None or not known.has(paths, metrics):
            newest = self._newest(account, [pk] if known else [pk, ()])
            known = newest[pk]
            if known is None:
                pks = newest.get(())
                return Missing(place_of(pk, pks.names_below if pks else lambda _: ()) or (len(pk) - 1, ()), {}, (), ())
        if known.has(paths, metrics):
            return None
        names_below = cache(known.names_below)
        places = {path: place_of(path, names_below) for path in paths if known.number(path) is None}
        absent = [name for name in metrics if name not in known.metrics]
        return Missing(None, {path: place for path, place in places.items() if place}, absent, known.in_order)

    @reachable
    def counted(self, account: str, pk: Pk, paths: Sequence[Path]) -> list[Path]:
        known = self._knowledge(account, pk)
        return [path for path in paths if known.number(path) is not None] if known else []

    @reachable
    def descendants(self, account: str, pk: Pk, path: Path, levels: int) -> list[Path]:
        known = self._knowledge(account, pk)
        return known.descendants(path, levels) if known else []

    @reachable
    def descendants_of(self, account: str, asked: Sequence[tuple[Pk, Path, int]]) -> list[list[Path]]:
        known = self._newest(account, [pk for pk, _, _ in asked])
        return [mine.descendants(path, levels) if (mine := known[pk]) else [] for pk, path, levels in asked]

    @reachable
    def keys_of(
        self, account: str, pk: Pk, paths: Sequence[Path], interval: Interval, starts: Sequence[int]
    ) -> list[str]:
        keys, known = Keys(account, self.shards), self._knowledge(account, pk)
        if known is None:
            return []
        shard, pk_id = keys.pk(pk)
        blocks_id = layout.generation(pk_id, known.generation)
        zone = self.zone(account)
        pages = sorted({number >> PAGE_BITS for number in map(known.number, paths) if number is not None})
        blocks = sorted({place(interval, start, zone)[0] for start in starts})
        blocks_of = (keys.block(shard, blocks_id, interval, block, page) for page in pages for block in blocks)
        return [keys.dictionary(shard, pk_id), *blocks_of]

    @reachable
    def adjusted(self, account: str, pk: Pk, stretches: Sequence[Stretch]) -> list[bool]:
        return touched(self.notes(account, pk).adjustments, stretches)

    @reachable
    def notes(self, account: str, pk: Pk) -> Notes:
        keys = Keys(account, self.shards)
        marks, overflowed = self.client.hmget(keys.dictionary(*keys.pk(pk)), "s", "o")
        known = self._knowledge(account, pk) if overflowed or marks else None
        if known is None:
            return Notes()
        return Notes(known.adjusted(marks or b""), known.overflowed(overflowed or b"", self.zone(account)))

    @reachable
    def adjustments_of(self, account: str, pks: Sequence[Pk]) -> list[Collection[Adjustment]]:
        keys = Keys(account, self.shards)
        with self.client.pipeline(transaction=False) as pipe:
            for pk in pks:
                pipe.hget(keys.dictionary(*keys.pk(pk)), "s")
            found = dict(zip(pks, pipe.execute(), strict=True))
        known = self._newest(account, [pk for pk, marks in found.items() if marks])
        return [mine.adjusted(found[pk]) if (mine := known.get(pk)) else () for pk in pks]

    @reachable
    def pks(self, account: str, parent: Pk = ()) -> list[str]:
        return self.children(account, (), parent)

    @reachable
    def pks_of(self, account: str, parents: Sequence[Pk]) -> list[list[str]]:
        known = self._knowledge(account, ()) if parents else None
        numbers = [None if known is None else known.number(parent) for parent in parents]
        return [known.children(str(number)) if known and number is not None else [] for number in numbers]

    @reachable
    def metrics_of(self, account: str, pks: Sequence[Pk]) -> list[list[str]]:
        known = self._newest(account, pks)
        return [[*mine.in_order] if (mine := known[pk]) else [] for pk in pks]

    @reachable
    def metrics(self, account: str, pk: Pk) -> list[str]:
        known = self._knowledge(account, pk)
        return [*known.in_order] if known else []


@calendar
@lru_cache(maxsize=128)
def _placed(interval: Interval, starts: Sequence[int], zone: str, first: int) -> tuple[_Block, ...]:
    """The blocks of some buckets. first: the column of the first bucket."""
    buckets: dict[int, dict[int, int]] = {}
    for column, start in enumerate(starts, first):
        block, offset = place(interval, start, zone)
        buckets.setdefault(block, {})[offset] = column
    return tuple(_Block(interval, block, columns) for block, columns in buckets.items())


def _path_of(number: int, names: Mapping[int, tuple[str, str]]) -> Path | None:
    """names: of each number its parent, as a dictionary has it, and its name."""
    if number == 0:
        return ()
    if number not in names:
        return None
    parent, name = names[number]
    if parent == "p":
        return (None, name)
    above, _, metric = parent.removeprefix("q").partition(":")
    path = _path_of(int(above), names)
    return None if path is None else (*path, None, metric, name) if metric else (*path, name)


def _value_of(raw: bytes) -> int:
    return int(raw[43:] if len(raw) > 43 else raw)


class _Page:
    """What one page is read for. rows: number of a node on it -> index in the answer; metrics: number -> index.

    texts, columns: wanted fields of its hashes, and of each bucket the column.
    """

    __slots__ = ("columns", "few", "metrics", "nodes", "places", "rows", "texts")

    def __init__(self, rows: dict[int, int], metrics: dict[int, int]):
        self.rows, self.metrics, self.few = rows, metrics, len(rows) <= FEW_NODES
        self.nodes, self.places = np.fromiter(rows, np.int64), np.fromiter(rows.values(), np.int64)
        self.texts: list[bytes] = []
        self.columns: list[int] = []

    def fill(self, out: NDArray[np.int64]) -> None:
        """Puts the fields of all hashes into their places at once: one by one takes three times as long."""
        if self.texts:
            shape = len(self.columns), len(self.metrics), len(self.rows)
            values = np.fromstring(b" ".join(self.texts), np.int64, sep=" ").reshape(shape)
            metrics = np.fromiter(self.metrics.values(), np.int64)
            out[np.ix_(self.places, metrics, np.array(self.columns))] = values.transpose()


def _fill(out: NDArray[np.int64], part: Any, page: _Page, columns: dict[int, int]) -> None:
    """Puts a part of what read.lua says into its places. columns: offset of a bucket in the block -> index in `out`."""
    if not part:
        return
    form, found = part
    if form == WHOLE:
        for field, value in zip(found[::2], found[1::2], strict=True):
            number = int(field)
            row = page.rows.get(number % PAGE)
            metric = page.metrics.get(number >> PAGE_BITS & 63)
            column = columns.get(number >> layout.BUCKET_BITS)
            if row is not None and metric is not None and column is not None:
                out[row, metric, column] = int(value)
    elif form == FIELDS:
        page.texts.append(found)
        page.columns += columns.values()
    elif form == SPLIT:
        for bucket, column in zip(found, columns.values(), strict=True):
            _fill(out, bucket, page, {0: column})
    else:
        (column,) = columns.values()
        for raw, metric in zip(found, page.metrics.values(), strict=True):
            slots = np.frombuffer(raw, ">i8")
            if page.few:
                out[page.places, metric, column] = slots
            else:
                there = page.nodes < len(slots)
                out[page.places[there], metric, column] = slots[page.nodes[there]]

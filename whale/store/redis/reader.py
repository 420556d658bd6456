"""Reading cells. What is remembered of a dictionary is true while Redis knows its token; read.lua checks that."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hail.room import calendar
from hail.settings import DAY, MONTH
from whale.dimension import Path, Pk
from whale.errors import Unavailable
from whale.metric import distinct_periods, is_narrow
from whale.period import Interval, widest
from whale.store.contract.rollups import Adjustment, Buckets, Notes, Reading, Stretch, Wanted, touched
from whale.store.redis import keys as layout
from whale.store.redis.connection import pack, reachable
from whale.store.redis.database import Database
from whale.store.redis.keys import PAGE, PAGE_BITS, place
from whale.store.redis.known import Dictionaries, Known

TRIES = 20
FEW_NODES = 16
WHOLE, FIELDS, SPLIT = 0, 1, 2  # forms of a part that read.lua answers; the fourth is dense
COMMANDS_A_READ = 2000
FEW_BUCKETS = 1000  # of one range, whose places are remembered


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


class Reader:
    """For many threads."""

    def __init__(self, database: Database, dictionaries: Dictionaries):
        self._database, self._client, self._dictionaries = database, database.client, dictionaries
        self._read = database.script("read")
        self._keeps_months = distinct_periods(database.settings.periods).get(MONTH, 0) is None

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
            known = (attempt == 0 and self._dictionaries.remembered(account, pk)) or self._dictionaries.newest(
                account, pk
            )
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
                notes = Notes(known.adjusted(marks), known.overflowed(overflowed, self._database.zone(account)))
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
        known = {pk: self._dictionaries.remembered(account, pk) for pk in waiting.values()}
        fresh: set[Pk] = set()
        for _ in range(TRIES):
            unknown = [pk for pk in dict.fromkeys(waiting.values()) if known[pk] is None]
            known.update(self._dictionaries.fetched(account, unknown))
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
        zone, first = self._database.zone(account), 0
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
        keys = self._database.keys(account)
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

    @reachable
    def read_values(
        self, account: str, pk: Pk, paths: Sequence[Path], metric: str, interval: Interval, starts: Sequence[int]
    ) -> list[list[int | None]]:
        keys, zone = self._database.keys(account), self._database.zone(account)
        shard, pk_id = keys.pk(pk)
        places = [place(interval, start, zone) for start in starts]
        for _ in range(TRIES):
            out: list[list[int | None]] = [[None] * len(starts) for _ in paths]
            known = self._dictionaries.newest(account, pk)
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
        keys, zone = self._database.keys(account), self._database.zone(account)
        shard, pk_id = keys.pk(pk)
        for _ in range(TRIES):
            out: list[list[int | None]] = [[0 if is_narrow(path) else None] * len(groups) for path in paths]
            known = self._dictionaries.newest(account, pk)
            if known is None or metric not in known.metrics:
                return out
            column = known.metrics[metric]
            rows = {row: number for row, path in enumerate(paths) if (number := known.number(path)) is not None}
            blocks_id = layout.generation(pk_id, known.generation)
            nodes = keys.distinct_nodes(shard, blocks_id)
            members = [f"{number}:{column}" for number in rows.values()]
            kept = [bool(found) for found in self._client.smismember(nodes, members)] if members else []
            is_full = not all(kept) and self._client.scard(nodes) >= self._database.settings.max_distinct_nodes
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
            with self._client.pipeline(transaction=False) as pipe:
                for command in commands[first : first + COMMANDS_A_READ]:
                    pipe.execute_command(*command)
                answers += pipe.execute()
        tokens = self._client.hget(dictionary, "g")
        return answers if tokens is not None and tokens[:8] == known.token else None

    @reachable
    def keys_of(
        self, account: str, pk: Pk, paths: Sequence[Path], interval: Interval, starts: Sequence[int]
    ) -> list[str]:
        keys, known = self._database.keys(account), self._dictionaries.newest(account, pk)
        if known is None:
            return []
        shard, pk_id = keys.pk(pk)
        blocks_id = layout.generation(pk_id, known.generation)
        zone = self._database.zone(account)
        pages = sorted({number >> PAGE_BITS for number in map(known.number, paths) if number is not None})
        blocks = sorted({place(interval, start, zone)[0] for start in starts})
        blocks_of = (keys.block(shard, blocks_id, interval, block, page) for page in pages for block in blocks)
        return [keys.dictionary(shard, pk_id), *blocks_of]

    @reachable
    def adjusted(self, account: str, pk: Pk, stretches: Sequence[Stretch]) -> list[bool]:
        return touched(self.notes(account, pk).adjustments, stretches)

    @reachable
    def notes(self, account: str, pk: Pk) -> Notes:
        keys = self._database.keys(account)
        marks, overflowed = self._client.hmget(keys.dictionary(*keys.pk(pk)), "s", "o")
        known = self._dictionaries.newest(account, pk) if overflowed or marks else None
        if known is None:
            return Notes()
        return Notes(known.adjusted(marks or b""), known.overflowed(overflowed or b"", self._database.zone(account)))

    @reachable
    def adjustments_of(self, account: str, pks: Sequence[Pk]) -> list[Collection[Adjustment]]:
        keys = self._database.keys(account)
        with self._client.pipeline(transaction=False) as pipe:
            for pk in pks:
                pipe.hget(keys.dictionary(*keys.pk(pk)), "s")
            found = dict(zip(pks, pipe.execute(), strict=True))
        known = self._dictionaries.newest_of(account, [pk for pk, marks in found.items() if marks])
        return [mine.adjusted(found[pk]) if (mine := known.get(pk)) else () for pk in pks]


@calendar
@lru_cache(maxsize=128)
def _placed(interval: Interval, starts: Sequence[int], zone: str, first: int) -> tuple[_Block, ...]:
    """The blocks of some buckets. first: the column of the first bucket."""
    buckets: dict[int, dict[int, int]] = {}
    for column, start in enumerate(starts, first):
        block, offset = place(interval, start, zone)
        buckets.setdefault(block, {})[offset] = column
    return tuple(_Block(interval, block, columns) for block, columns in buckets.items())


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

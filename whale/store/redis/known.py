"""What readers remember of dictionaries, whole: true while Redis knows their tokens, which read.lua checks."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hail.room import MEGABYTE, WIDE, Bounded
from whale.dimension import Path, Pk
from whale.metric import split_bin
from whale.period import Interval
from whale.store.contract.names import CHILD_PKS
from whale.store.contract.rollups import Adjustment, Overflowed, check_below
from whale.store.redis import keys as layout
from whale.store.redis.database import Database

NAME_BYTES = 700  # what a name of a dictionary that is remembered costs in memory beside its text


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
        self._ordered: dict[str, list[str]] = {}
        self._folded: dict[str, tuple[list[str], list[int]]] = {}
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

    def beginning(self, parent: str, prefix: str) -> list[str]:
        """Those children that begin with a text in any case. What is sorted for it is kept: 100,000 names take 0.1 s."""
        if parent not in self._ordered:
            self._ordered[parent] = self.children(parent)
        ordered = self._ordered[parent]
        if not prefix:
            return [*ordered]
        if parent not in self._folded:
            names = [name.casefold() for name in ordered]
            places = sorted(range(len(names)), key=names.__getitem__)
            self._folded[parent] = [names[place] for place in places], places
        names, places = self._folded[parent]
        begin = prefix.casefold()
        first = bisect_left(names, begin)
        end = bisect_left(names, True, first, key=lambda name: not name.startswith(begin))
        return [ordered[place] for place in sorted(places[first:end])]

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


class Dictionaries:
    """For many threads.  learnt: of another store on the same server, since what one learnt is true for the other."""

    def __init__(self, database: Database, learnt: "Dictionaries | None" = None):
        self._database, self._client = database, database.client
        self._cache: Bounded[tuple[str, Pk], Known] = (
            learnt._cache
            if learnt
            else Bounded("names", database.settings.names_mb * MEGABYTE, lambda key, known: known.size + 2 * NAME_BYTES)
        )

    def remembered(self, account: str, pk: Pk) -> Known | None:
        """As it was when it was last asked for."""
        return self._cache.get((account, pk))

    def fetched(self, account: str, pks: Sequence[Pk]) -> dict[Pk, Known | None]:
        """The dictionaries of some pks, in one round trip."""
        if not pks:
            return {}
        keys = self._database.keys(account)
        with self._client.pipeline(transaction=False) as pipe:
            for pk in pks:
                pipe.hgetall(keys.dictionary(*keys.pk(pk)))
            answers = pipe.execute()
        return {pk: self._keep(account, pk, fields) for pk, fields in zip(pks, answers, strict=True)}

    def newest_of(self, account: str, pks: Sequence[Pk]) -> dict[Pk, Known | None]:
        """`newest` of several pks, in one round trip, or two."""
        if not pks:
            return {}
        keys = self._database.keys(account)
        with self._client.pipeline(transaction=False) as pipe:
            for pk in pks:
                pipe.hget(keys.dictionary(*keys.pk(pk)), "g")
            tokens = pipe.execute()
        known = {pk: self._cache.get((account, pk)) for pk in pks}
        old = []
        for pk, token in zip(pks, tokens, strict=True):
            mine = known[pk]
            if mine is None or token is None or mine.token != token[:8]:
                known[pk] = None
                if token is not None:
                    old.append(pk)
                else:
                    self._cache.drop((account, pk))
        return known | self.fetched(account, old)

    def newest(self, account: str, pk: Pk) -> Known | None:
        keys = self._database.keys(account)
        key = keys.dictionary(*keys.pk(pk))
        tokens = self._client.hget(key, "g")
        known = self._cache.get((account, pk))
        if tokens is not None and known is not None and known.token == tokens[:8]:
            return known
        return self._keep(account, pk, self._client.hgetall(key) if tokens is not None else {})

    def _keep(self, account: str, pk: Pk, fields: dict[bytes, bytes]) -> Known | None:
        """Remembers a dictionary; None where the pk was never counted, or was reset, though it may have had names just before."""
        if b"g" not in fields:
            self._cache.drop((account, pk))
            return None
        known = Known(fields)
        self._cache.keep((account, pk), known)
        return known

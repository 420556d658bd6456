"""The reference store: plain dicts, every rule of base.py in its simplest form. For tests, trials and reading."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from hail.settings import Settings
from whale.count.denormalize import Cells, targets
from whale.dimension import Path, Pk
from whale.period import Interval
from whale.store.base import OTHER, Name, PublisherAudit, Tally

INT64 = range(-(2**63), 2**63)


class _Names:
    """The names below each parent, under the caps: `known` gives the name, or `__other__`."""

    def __init__(self, max_children: int, max_nodes: int):
        self.max_children, self.max_nodes = max_children, max_nodes
        self.children: dict[tuple[str | None, ...], list[str]] = {}
        self.nodes = 0

    def known(self, parent: tuple[str | None, ...], name: str) -> str:
        names = self.children.setdefault(parent, [])
        if name in names:
            return name
        if len(names) - (OTHER in names) >= self.max_children or self.nodes >= self.max_nodes:
            name = OTHER
        if name not in names:
            names.append(name)
            self.nodes += name != OTHER
        return name


class _PkNames:
    def __init__(self, settings: Settings):
        self.paths = _Names(settings.max_children, settings.max_nodes)
        self.metrics = _Names(settings.max_metrics, settings.max_metrics)
        self.metrics.known((), "hits")

    def fold(self, path: Path) -> Path:
        """The path, cut after the first name that is folded into `__other__`."""
        known: Path = path[:1] if path[:1] == (None,) else ()
        for name in path[len(known) :]:
            assert name is not None
            known = (*known, self.paths.known(known, name))
            if known[-1] != name:
                break
        return known


class MemoryStore:
    """whale.store.base.Store in plain dicts, one shard."""

    shards = 1

    def __init__(self, settings: Settings):
        self._settings = settings
        self._cells: dict[tuple[str, Pk, Path, Interval, int, str], int] = {}
        self._directory: dict[str, _Names] = {}
        self._names: dict[tuple[str, Pk], _PkNames] = {}
        self._seen: set[tuple[str, Name]] = set()
        self._ids: dict[tuple[str, str], tuple[Name, float]] = {}
        self._tallies: dict[str, list[Tally]] = {}
        self._faults: dict[str, dict[str, int]] = {}

    def zone(self, account: str) -> str:
        return str(self._settings.timezone)

    def claim(self, account: str, ids: Sequence[tuple[str, Name]], now: float) -> set[int]:
        window = self._settings.dedupe_window_s + self._settings.spool_max_age_s
        taken = set()
        for position, (hit_id, name) in enumerate(ids):
            owner, since = self._ids.get((account, hit_id), (name, now))
            if since + window <= now:
                owner, since = name, now
            self._ids[account, hit_id] = owner, since
            if owner != name:
                taken.add(position)
        return taken

    def apply(
        self, account: str, tallies: Sequence[Tally], cells: Cells, now: float, shards: Collection[int] | None = None
    ) -> dict[int, set[Name]]:
        seen = {tally.name for tally in tallies if (account, tally.name) in self._seen}
        if seen:
            return {0: seen}
        self._seen.update((account, tally.name) for tally in tallies)
        self._tallies.setdefault(account, []).extend(tallies)
        for interval, level in reversed(cells.items()):  # the widest has every path, in the order they came
            for branch, start, amounts in ((b, start, a) for start, sums in level.items() for b, a in sums.items()):
                for pk, paths in targets(self._fold_pk(account, branch.pk), branch.paths):
                    names = self._names.setdefault((account, pk), _PkNames(self._settings))
                    for path in dict.fromkeys(names.fold(path) for path in paths):
                        for metric, amount in amounts.items():
                            self._add((account, pk, path, interval, start, names.metrics.known((), metric)), amount)
        return {}

    def _fold_pk(self, account: str, pk: Pk) -> Pk:
        directory = self._directory.setdefault(account, _Names(self._settings.max_children, self._settings.max_pks))
        known: Pk = ()
        for name in pk:
            known = (*known, directory.known(known, name))
            if known[-1] != name:
                break
        return known

    def _add(self, key: tuple[str, Pk, Path, Interval, int, str], amount: int) -> None:
        value = self._cells.get(key, 0) + amount
        if value in INT64:
            self._cells[key] = value
        else:
            faults = self._faults.setdefault(key[0], {})
            faults["overflow"] = faults.get("overflow", 0) + 1

    def read(
        self,
        account: str,
        pk: Pk,
        paths: Sequence[Path],
        metrics: Sequence[str],
        interval: Interval,
        starts: Sequence[int],
    ) -> NDArray[np.int64]:
        values = [
            [
                [self._cells.get((account, pk, path, interval, start, metric), 0) for start in starts]
                for metric in metrics
            ]
            for path in paths
        ]
        return np.array(values, np.int64).reshape(len(paths), len(metrics), len(starts))

    def children(self, account: str, pk: Pk, path: Path) -> list[str]:
        names = self._names.get((account, pk))
        return list(names.paths.children.get(path, ())) if names else []

    def descendants(self, account: str, pk: Pk, path: Path, levels: int) -> list[Path]:
        found: list[Path] = []
        level = [path]
        for _ in range(levels):
            level = [(*above, name) for above in level for name in self.children(account, pk, above)]
            found += level
        return found

    def keys_of(
        self, account: str, pk: Pk, paths: Sequence[Path], interval: Interval, starts: Sequence[int]
    ) -> list[str]:
        return []

    def pks(self, account: str, parent: Pk = ()) -> list[str]:
        directory = self._directory.get(account)
        return list(directory.children.get(parent, ())) if directory else []

    def metrics(self, account: str, pk: Pk) -> list[str]:
        names = self._names.get((account, pk))
        return list(names.metrics.children[()]) if names else []

    def seen(self, account: str, name: Name) -> bool:
        return (account, name) in self._seen

    def audit(self, account: str) -> list[PublisherAudit]:
        found = []
        for publisher in dict.fromkeys(tally.publisher for tally in self._tallies.get(account, ())):
            mine = [tally for tally in self._tallies[account] if tally.publisher == publisher]
            last = max(mine, key=lambda tally: tally.seq)
            dropped: dict[str, int] = {}
            for tally in mine:
                for reason, count in tally.dropped.items():
                    dropped[reason] = dropped.get(reason, 0) + count
            hits = sum(tally.hits for tally in mine)
            found.append(PublisherAudit(publisher, len(mine), hits, last.seq, last.total, dropped))
        return found

    def faults(self, account: str) -> dict[str, int]:
        return dict(self._faults.get(account, {}))

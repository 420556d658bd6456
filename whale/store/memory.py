"""The reference store: plain dicts, every rule of base.py in its simplest form. For tests, trials and reading."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from hail.settings import Settings
from whale.count.denormalize import Cells
from whale.count.resets import Reset, kept_targets
from whale.dimension import Path, Pk
from whale.errors import CallerError
from whale.period import Interval
from whale.store.base import MAX_RESETS, OTHER, RESET_KEPT_S, Change, Mark, Name, PublisherAudit, Tally, touched

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

    def forget(self, path: tuple[str | None, ...]) -> None:
        """Removes a name and all below it."""
        names = self.children.get(path[:-1], [])
        if path[-1] not in names:
            return
        names.remove(str(path[-1]))
        for parent in [parent for parent in self.children if parent[: len(path)] == path]:
            self.nodes -= sum(name != OTHER for name in self.children.pop(parent))
        self.nodes -= path[-1] != OTHER


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
        self._operations: dict[tuple[str, Pk, str], tuple[Change, dict[str, int]]] = {}
        self._marks: dict[tuple[str, Pk], set[Mark]] = {}
        self._resets: dict[str, dict[tuple[Pk, Path | None], Reset]] = {}

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

    def resets(self, account: str) -> frozenset[Reset]:
        return frozenset(self._resets.get(account, {}).values())

    def apply(
        self,
        account: str,
        tallies: Sequence[Tally],
        cells: Cells,
        now: float,
        shards: Collection[int] | None = None,
        resets: frozenset[Reset] = frozenset(),
    ) -> dict[int, set[Name]]:
        if not self.resets(account) <= resets:
            return {0: set()}
        seen = {tally.name for tally in tallies if (account, tally.name) in self._seen}
        if seen:
            return {0: seen}
        self._seen.update((account, tally.name) for tally in tallies)
        self._tallies.setdefault(account, []).extend(tallies)
        for interval, level in reversed(cells.items()):  # the widest has every path, in the order they came
            for branch, start, amounts in ((b, start, a) for start, sums in level.items() for b, a in sums.items()):
                for pk, paths in kept_targets(self._fold_pk(account, branch.pk), branch):
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

    def set(self, account: str, change: Change, now: float) -> dict[str, int]:
        done = self._operations.get((account, change.pk, change.id))
        if done is None:
            done = self._operations[account, change.pk, change.id] = change, self._set(account, change)
        if done[0] != change:
            raise CallerError("was used for another operation", "id")
        return done[1]

    def _set(self, account: str, change: Change) -> dict[str, int]:
        if self._fold_pk(account, change.pk) != change.pk:
            raise CallerError("is beyond the cap of pks, and counts in __other__", "pk")
        names = self._names.setdefault((account, change.pk), _PkNames(self._settings))
        if names.fold(change.path) != change.path:
            raise CallerError("is beyond the cap of paths, and counts in __other__", "dimensions")
        for name in change.amounts:
            if names.metrics.known((), name) != name:
                raise CallerError("is beyond the cap of metrics, and counts in __other__", f"metrics.{name}")
        where = account, change.pk, change.path, change.interval, change.start
        added = {name: amount - self._cells.get((*where, name), 0) for name, amount in change.amounts.items()}
        for depth in range(len(change.pk), 0, -1):
            pk = change.pk[:depth]
            names = self._names.setdefault((account, pk), _PkNames(self._settings))
            paths = change.prefixes + ([(None, change.pk[depth])] if depth < len(change.pk) else [])
            for path in dict.fromkeys(map(names.fold, paths)):
                for interval, start in change.buckets.items():
                    for name, amount in added.items():
                        self._add((account, pk, path, interval, start, names.metrics.known((), name)), amount)
            if any(added.values()):
                self._marks.setdefault((account, pk), set()).add((change.interval, change.start, change.end))
        return added

    def adjusted(self, account: str, pk: Pk, ranges: Sequence[Mark]) -> list[bool]:
        return touched(self._marks.get((account, pk), ()), ranges)

    def reset(self, account: str, pk: Pk, path: Path | None, now: float) -> None:
        known = self._resets.setdefault(account, {})
        for key in [key for key, reset in known.items() if reset.at_ms < (now - RESET_KEPT_S) * 1000]:
            del known[key]
        if (pk, path) not in known and len(known) >= MAX_RESETS:
            raise CallerError(f"{MAX_RESETS} resets of the last days are remembered, and no more", "pk")
        known[pk, path] = Reset(pk, path, int(now * 1000))
        if path is not None:
            self._forget(account, pk, path)
            return
        for other in [other for _, other in self._names if other[: len(pk)] == pk]:
            self._names.pop((account, other), None)
            self._marks.pop((account, other), None)
        self._cells = {key: value for key, value in self._cells.items() if key[0] != account or key[1][: len(pk)] != pk}
        self._forget(account, pk[:-1], (None, pk[-1]))
        if account in self._directory:
            self._directory[account].forget(pk)

    def _forget(self, account: str, pk: Pk, path: Path) -> None:
        if (account, pk) in self._names:
            self._names[account, pk].paths.forget(path)
        self._cells = {
            key: value for key, value in self._cells.items() if key[:2] != (account, pk) or key[2][: len(path)] != path
        }

    def sweep(self, account: str, now: float) -> bool:
        return False

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

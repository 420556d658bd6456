"""The reference store: plain dicts, every rule of contract/ in its simplest form. For tests, trials and reading."""

import functools
import queue
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from hail.hit import Reason
from hail.message import Mark
from hail.settings import DISTINCT, QUANTILE, SUM, Settings
from whale.cells import (
    Batch,
    Cells,
    Extras,
    Name,
    Reset,
    Settle,
    Tally,
    Value,
    Zoned,
    kept_targets,
    narrow_targets,
    stays,
)
from whale.dimension import Path, Pk
from whale.errors import CallerError
from whale.metric import bins_of, is_narrow, split_bin
from whale.period import Interval
from whale.spy import KEPT, KEPT_S, Traces, names_one_of, visitor_in
from whale.store.accounts import MemoryAccounts
from whale.store.contract.aside import Illegible, last_within
from whale.store.contract.changes import MAX_RESETS, RESET_KEPT_S, Change, is_below, not_a_sum
from whale.store.contract.decisions import (
    MOST_REWARDED,
    Begun,
    Keeping,
    Kept,
    Reward,
    no_decision,
    other_reward,
    rewarded_too_much,
    too_many_rewarded,
    too_many_rewards,
)
from whale.store.contract.declared import Metric, too_many_declared
from whale.store.contract.definitions import Defined, too_many_definitions
from whale.store.contract.faults import MAX_NOTED, FaultyMetric
from whale.store.contract.ids import is_order, window_of
from whale.store.contract.imports import too_many_imports
from whale.store.contract.live import MOST_LOGGED_OUT, MOST_LOOKED, Hearing
from whale.store.contract.names import CHILD_PKS, OTHER, Missing, place_of
from whale.store.contract.owners import known_s
from whale.store.contract.rollups import (
    Adjustment,
    Buckets,
    Notes,
    Overflowed,
    Reading,
    Stretch,
    Wanted,
    check_below,
    touched,
)
from whale.store.contract.saved import MOST_SAVED, too_many_saved
from whale.store.contract.tallies import PublisherAudit
from whale.store.contract.timeline import MOST_NOTES, Note, other_note
from whale.store.events import MemoryEvents
from whale.store.talks import MemoryTalks

INT64 = range(-(2**63), 2**63)
_Key = tuple[str, Pk, Path, Interval, int, str]
"""Account, pk, path, interval, start, metric."""


class _Done:
    """What was sent: it is done at once."""

    held = 0

    def __init__(self, again: dict[int, set[Mark]]):
        self._again = again

    def __call__(self) -> dict[int, set[Mark]]:
        return self._again


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
        self.forget_below(path)
        self.nodes -= path[-1] != OTHER

    def forget_below(self, path: tuple[str | None, ...]) -> None:
        for parent in [parent for parent in self.children if parent[: len(path)] == path]:
            self.nodes -= sum(name != OTHER for name in self.children.pop(parent))


class _PkNames:
    def __init__(self, settings: Settings):
        self.paths = _Names(settings.max_children, settings.max_nodes)
        self.metrics = _Names(settings.max_metrics, settings.max_metrics)
        self.metrics.known((), "hits")
        self.bins = _Names(settings.max_children, settings.max_bins)
        self.kinds: dict[str, str] = {}
        self.distinct: set[tuple[Path, str]] = set()
        self._max_metrics = settings.max_metrics

    def metric(self, name: str, kind: str) -> str | Reason:
        """The name that a metric counts under, or why it does not count."""
        known = self.metrics.children[()]
        if name in known:
            return name if self.kinds.get(name, SUM) == kind else Reason.MIXED_KINDS
        if kind == SUM:
            return self.metrics.known((), name)
        if name == OTHER:
            return Reason.MIXED_KINDS
        if len(known) - (OTHER in known) >= self._max_metrics:
            return Reason.TOO_MANY_METRICS
        self.kinds[name] = kind
        return self.metrics.known((), name)

    def fold(self, path: Path) -> Path:
        """The path, cut after the first name that is folded into `__other__`."""
        if bin_ := split_bin(path):
            above = bins_of(self.fold(bin_[0]), bin_[1])
            return (*above, self.bins.known(above, bin_[2]))
        known: Path = path[:1] if path[:1] == (None,) else ()
        for name in path[len(known) :]:
            assert name is not None
            known = (*known, self.paths.known(known, name))
            if known[-1] != name:
                break
        return known


AnyKey = TypeVar("AnyKey", bound=tuple[str, ...])


def _changed(
    kept: dict[AnyKey, Defined], key: AnyKey, seen: int, new: Defined, full: CallerError | None
) -> Defined | None:
    """Keeps what is new where the revision that is there was seen. full: raised where there is none."""
    found = kept.get(key)
    if (found.revision if found else 0) != seen:
        return found
    if found is None and full:
        raise full
    kept[key] = new
    return new


class _Hearing(Hearing):
    """Told from any thread, heard by one."""

    def __init__(self) -> None:
        self.accounts = set[str]()
        self._told: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()

    def hear(self, account: str) -> None:
        self.accounts.add(account)

    def leave(self, account: str) -> None:
        self.accounts.discard(account)

    def tell(self, account: str, said: bytes) -> None:
        if account in self.accounts:
            self._told.put((account, said))

    def next(self, wait_s: float) -> tuple[str, bytes] | None:
        try:
            return self._told.get(timeout=wait_s)
        except queue.Empty:
            return None


def _one_at_a_time(store: type["MemoryStore"]) -> type["MemoryStore"]:
    """Each public method of a store under its lock: the spy and the trials call from threads of their own."""

    def locked(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(self: "MemoryStore", *arguments: Any, **named: Any) -> Any:
            with self._lock:
                return method(self, *arguments, **named)

        return call

    for name, method in [*vars(store).items()]:
        if callable(method) and not name.startswith("_"):
            setattr(store, name, locked(method))
    return store


@_one_at_a_time
class MemoryStore:
    """whale.store.base.Store in plain dicts, one shard. For any number of threads."""

    shards = 1

    def __init__(self, settings: Settings):
        self._settings = settings
        self._lock = threading.RLock()
        self._cells: dict[tuple[str, Pk, Path, Interval, int, str], int] = {}
        self._directory: dict[str, _Names] = {}
        self._names: dict[tuple[str, Pk], _PkNames] = {}
        self._seen: set[Mark] = set()
        self._ids: dict[tuple[str, str], tuple[Name, float]] = {}
        self._tallies: dict[str, list[Tally]] = {}
        self._faults: dict[str, dict[str, int]] = {}
        self._faults_seen: dict[str, dict[str, int]] = {}
        self._faulty: dict[str, set[FaultyMetric]] = {}
        self._operations: dict[tuple[str, Pk, str], tuple[Change, dict[str, int]]] = {}
        self._adjustments: dict[tuple[str, Pk], set[Adjustment]] = {}
        self._overflowed: dict[tuple[str, Pk], dict[tuple[Path, str, Interval, int], None]] = {}
        self._resets: dict[str, dict[tuple[Pk, Path | None], Reset]] = {}
        self._values: dict[tuple[str, Pk, Path, Interval, int, str], Value] = {}
        self._unions: dict[tuple[str, Pk, Path, Interval, int, str], set[str]] = {}
        self._aside: dict[str, list[Illegible]] = {}
        self._looked: dict[str, dict[Pk, None]] = {}
        self._hearing: list[_Hearing] = []
        self._logged_out: dict[str, dict[str, None]] = {}
        self._spied: dict[
            tuple[str, str | bool | None], tuple[float, deque[bytes]]
        ] = {}  # a bool: the account's, did they count

        self._decisions: dict[
            tuple[str, str], tuple[float, Kept]
        ] = {}  # by account and id, until when; the oldest first
        self._rewards: dict[tuple[str, str], dict[str, tuple[str, Begun | None]]] = {}  # digests; None: counted
        self._rewarded: dict[tuple[str, str], dict[str, int]] = {}
        self._definitions: dict[tuple[str, str], Defined] = {}
        self._saved: dict[tuple[str, str, str, str], Defined] = {}  # by account, site, kind and name
        self._declared: dict[str, dict[Metric, bytes]] = {}
        self._imports: dict[tuple[str, str], Defined] = {}
        self._last_resets: dict[str, dict[tuple[Pk, Path | None], int]] = {}
        self._sticky: dict[tuple[str, Pk, str], tuple[float, str]] = {}
        self._timeline: dict[str, dict[str, Note]] = {}  # by account and id

        book = MemoryAccounts(str(settings.timezone), known_s(settings), self._free)
        self.accounts, self.account_named, self.key_hashed = book.accounts, book.account_named, book.key_hashed
        self.account_with = book.account_with
        self.doors, self.owners = book.doors, book.owners
        self.users, self.user_named, self.sites, self.keys = book.users, book.user_named, book.sites, book.keys
        self.add_entry, self.change_entry, self.remove_entry = book.add_entry, book.change_entry, book.remove_entry
        self.free_accounts = book.free_accounts
        self.directory_state, self.directory = book.directory_state, book.directory
        self.directory_since = book.directory_since
        self.salts = book.salts
        self.note_uses, self.last_uses = book.note_uses, book.last_uses
        self.write_act, self.journal = book.write_act, book.journal
        events = self.events = MemoryEvents(settings, self.zone, book.sites)
        self.add_to_log, self.ids_in_log, self.log_tallies = events.add_to_log, events.ids_in_log, events.log_tallies
        self.number_in_log, self.id_in_log = events.number_in_log, events.id_in_log
        self.visitors_in_log, self.came_in_log = events.visitors_in_log, events.came_in_log
        self.daily_in_log = events.daily_in_log
        self.said_in_log = events.said_in_log
        self.compact_log, self.read_log = events.compact_log, events.read_log
        self.changed_in_log, self.erasures_in_log = events.changed_in_log, events.erasures_in_log
        self.ranges_in_log, self.records_in_log = events.ranges_in_log, events.records_in_log
        self.identify, self.aliases, self.aliases_of = events.identify, events.aliases, events.aliases_of
        self.ids_of_visitor, self.erased = events.ids_of_visitor, events.erased
        self.erase_visitor, self.purge_log = events.erase_visitor, events.purge_log
        self.log_records, self.begin_log, self.end_log = events.log_records, events.begin_log, events.end_log
        self.restart_log, self.sweep_logs = events.restart_log, events.sweep_logs
        talks = self._talking = MemoryTalks(settings)
        self.say, self.tell_more, self.talk, self.talks = talks.say, talks.tell_more, talks.talk, talks.talks
        self.forget_talks, self.hearing_talks = talks.forget_talks, talks.hearing_talks
        self.listen, self.listen_no_more, self.listening = talks.listen, talks.listen_no_more, talks.listening

    def _free(self, account: str) -> None:
        """All that an account has counted; of messages alone it stays known that they were."""
        self.events.forget(account)
        self._talking.forget(account)
        with self._lock:
            for kept in vars(self).values():
                if isinstance(kept, dict):
                    for key in [key for key in kept if account in (key, key[0])]:
                        del kept[key]

    def zone(self, account: str) -> str:
        made = self.account_with(account)
        return made.zone if made else str(self._settings.timezone)

    def check_writable(self) -> None:
        pass

    def version(self) -> str:
        return ""

    def steady(self) -> AbstractContextManager[None]:
        return nullcontext()

    def forget(self) -> None:
        pass

    def claim(self, account: str, ids: Sequence[tuple[str, Name]], now: float) -> set[int]:
        taken = set()
        for position, (hit_id, name) in enumerate(ids):
            owner, since = self._ids.get((account, hit_id), (name, now))
            if since + window_of(self._settings, is_order(hit_id)) <= now:
                owner, since = name, now
            self._ids[account, hit_id] = owner, since
            if owner != name:
                taken.add(position)
        return taken

    def claim_each(self, ids: Mapping[str, Sequence[tuple[str, Name]]], now: float) -> dict[str, set[int]]:
        return {account: self.claim(account, of_account, now) for account, of_account in ids.items()}

    def resets(self, account: str) -> frozenset[Reset]:
        return frozenset(self._resets.get(account, {}).values())

    def send(self, batches: Mapping[str, Batch], cells: Zoned, now: float) -> Settle:
        return _Done(self._apply(batches, cells))

    def _apply(self, batches: Mapping[str, Batch], cells: Zoned) -> dict[int, set[Mark]]:
        if any(not self.resets(account) <= batch.resets for account, batch in batches.items()):
            return {0: set()}
        marks = {tally.mark for batch in batches.values() for tally in batch.tallies}
        if seen := marks & self._seen:
            return {0: seen}
        self._seen |= marks
        for of_zone in cells.values():
            self._add_up(of_zone)
        for account, batch in batches.items():
            self._tallies.setdefault(account, []).extend(batch.tallies)
            self._add_up(batch.table.cells)
            self._mark(account, batch.extras)
        return {}

    def _add_up(self, cells: Cells) -> None:
        for interval, level in reversed(cells.items()):  # the widest has every path, in the order they came
            for branch, start, amounts in ((b, start, a) for start, sums in level.items() for b, a in sums.items()):
                account = branch.account
                for pk, paths in kept_targets(self._fold_pk(account, branch.pk), branch):
                    names = self._names.setdefault((account, pk), _PkNames(self._settings))
                    for path in dict.fromkeys(names.fold(path) for path in paths):
                        bin_ = split_bin(path)
                        for metric, amount in amounts.items():
                            known = names.metric(bin_[1], QUANTILE) if bin_ else names.metric(metric, SUM)
                            if isinstance(known, Reason):
                                self._fault(account, known, pk, bin_[1] if bin_ else metric)
                            else:
                                key = account, pk, path, interval, start, metric if bin_ else known
                                self._add(key, amount)

    def _mark(self, account: str, extras: Extras) -> None:
        for interval, level in extras.names.items():
            for start, branches in level.items():
                for branch, metrics in branches.items():
                    for pk, paths in narrow_targets(self._fold_pk(account, branch.pk), branch):
                        for metric, names in metrics.items():
                            for key, kept in self._places(account, pk, paths, interval, start, metric, DISTINCT):
                                node = key[2], metric
                                if node in kept.distinct or len(kept.distinct) < self._settings.max_distinct_nodes:
                                    kept.distinct.add(node)
                                    self._unions.setdefault(key, set()).update(names)
        for interval, level_ in extras.values.items():
            for start, branches_ in level_.items():
                for branch, values in branches_.items():
                    for pk, paths_ in kept_targets(self._fold_pk(account, branch.pk), branch):
                        for (metric, kind), value in values.items():
                            for key, _ in self._places(account, pk, paths_, interval, start, metric, kind):
                                self._values[key] = stays(kind, self._values.get(key), value)

    def _places(
        self, account: str, pk: Pk, paths: Iterable[Path], interval: Interval, start: int, metric: str, kind: str
    ) -> Iterator[tuple[_Key, _PkNames]]:
        """Where extras of a metric go, with the names of the pk; none where it has another kind."""
        names = self._names.setdefault((account, pk), _PkNames(self._settings))
        known = names.metric(metric, kind)
        for path in dict.fromkeys(names.fold(path) for path in paths):
            if isinstance(known, Reason):
                self._fault(account, known, pk, metric)
            else:
                yield (account, pk, path, interval, start, metric), names

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
            self._fault(key[0], Reason.OVERFLOW)
            account, pk, path, interval, start, metric = key
            self._overflowed.setdefault((account, pk), {})[path, metric, interval, start] = None

    def _fault(self, account: str, reason: Reason, pk: Pk | None = None, metric: str = "") -> None:
        faults = self._faults.setdefault(account, {})
        faults[reason] = faults.get(reason, 0) + 1
        if pk is not None and len(faulty := self._faulty.setdefault(account, set())) < MAX_NOTED:
            faulty.add(FaultyMetric(reason, pk, metric))

    def set(self, account: str, change: Change, now: float) -> dict[str, int]:
        done = self._operations.get((account, change.pk, change.id))
        if done is None:
            done = self._operations[account, change.pk, change.id] = change, self._set(account, change)
        if done[0] != change:
            raise CallerError("belongs to another operation: send a new id", "id")
        return done[1]

    def _set(self, account: str, change: Change) -> dict[str, int]:
        if self._fold_pk(account, change.pk) != change.pk:
            raise CallerError("exceeds HAILWHALE_MAX_PKS and counts in __other__", "pk")
        names = self._names.setdefault((account, change.pk), _PkNames(self._settings))
        if names.fold(change.path) != change.path:
            raise CallerError("exceeds the limit of paths and counts in __other__", "dimensions")
        for name in change.amounts:
            known = names.metric(name, SUM)
            if isinstance(known, Reason):
                raise not_a_sum(name, names.kinds[name])
            if known != name:
                raise CallerError("exceeds HAILWHALE_MAX_METRICS and counts in __other__", f"metrics.{name}")
        where = account, change.pk, change.path, change.interval, change.start
        added = {name: amount - self._cells.get((*where, name), 0) for name, amount in change.amounts.items()}
        for depth in range(len(change.pk), 0, -1):
            pk = change.pk[:depth]
            names = self._names.setdefault((account, pk), _PkNames(self._settings))
            paths = change.prefixes + ([(None, change.pk[depth])] if depth < len(change.pk) else [])
            known_as = {name: names.metric(name, SUM) for name in added}
            for path in dict.fromkeys(map(names.fold, paths)):
                for interval, start in change.buckets.items():
                    for name, amount in added.items():
                        known = known_as[name]
                        if isinstance(known, Reason):
                            self._fault(account, known, pk, name)
                        else:
                            self._add((account, pk, path, interval, start, known), amount)
            if any(amount for name, amount in added.items() if not isinstance(known_as[name], Reason)):
                metrics = tuple(sorted(change.amounts))
                adjustment = Adjustment(change.interval, change.start, change.end, names.fold(change.path), metrics)
                self._adjustments.setdefault((account, pk), set()).add(adjustment)
        return added

    def adjusted(self, account: str, pk: Pk, stretches: Sequence[Stretch]) -> list[bool]:
        return touched(self.notes(account, pk).adjustments, stretches)

    def notes(self, account: str, pk: Pk) -> Notes:
        lacking = self._overflowed.get((account, pk), ())
        return Notes(frozenset(self._adjustments.get((account, pk), ())), [Overflowed(*cell) for cell in lacking])

    def adjustments_of(self, account: str, pks: Sequence[Pk]) -> list[Collection[Adjustment]]:
        return [self.notes(account, pk).adjustments for pk in pks]

    def reset(self, account: str, pk: Pk, path: Path | None, now: float) -> None:
        known = self._resets.setdefault(account, {})
        for key in [key for key, reset in known.items() if reset.at_ms < (now - RESET_KEPT_S) * 1000]:
            del known[key]
        if (pk, path) not in known and len(known) >= MAX_RESETS:
            raise CallerError(f"at most {MAX_RESETS} different pks and paths can be reset within 31 days", "pk")
        known[pk, path] = Reset(pk, path, int(now * 1000))
        last = self._last_resets.setdefault(account, {})
        for below in [below for below in last if is_below(below, (pk, path)) and last[below] <= int(now * 1000)]:
            del last[below]
        last[pk, path] = max(int(now * 1000), last.get((pk, path), 0))
        if path is not None:
            self._forget(account, pk, path)
            known_of = self._adjustments.get((account, pk), set())
            for each in [each for each in known_of if each.path is not None and each.path[: len(path)] == path]:
                known_of.remove(each)
                known_of.add(each._replace(path=None))
            return
        for other in [other for _, other in self._names if other[: len(pk)] == pk]:
            self._names.pop((account, other), None)
            self._adjustments.pop((account, other), None)
            self._overflowed.pop((account, other), None)
        self._drop(lambda key: key[0] == account and key[1][: len(pk)] == pk)
        self._faulty[account] = {each for each in self._faulty.get(account, ()) if each.pk[: len(pk)] != pk}
        notes = self._timeline.get(account, {})
        self._timeline[account] = {id: note for id, note in notes.items() if not note.pk or note.pk[: len(pk)] != pk}
        declared = self._declared.get(account, {})
        self._declared[account] = {metric: text for metric, text in declared.items() if metric[0][: len(pk)] != pk}
        self._forget(account, pk[:-1], (None, pk[-1]))
        if account in self._directory:
            self._directory[account].forget(pk)

    def _forget(self, account: str, pk: Pk, path: Path) -> None:
        if (account, pk) in self._names:
            names = self._names[account, pk]
            names.paths.forget(path)
            names.bins.forget_below(path)
            names.distinct = {kept for kept in names.distinct if kept[0][: len(path)] != path}
        self._drop(lambda key: key[:2] == (account, pk) and key[2][: len(path)] == path)
        lacking = self._overflowed.get((account, pk), {})
        self._overflowed[account, pk] = {cell: None for cell in lacking if cell[0][: len(path)] != path}

    def _drop(self, is_gone: Callable[[_Key], bool]) -> None:
        self._cells = {key: value for key, value in self._cells.items() if not is_gone(key)}
        self._values = {key: value for key, value in self._values.items() if not is_gone(key)}
        self._unions = {key: value for key, value in self._unions.items() if not is_gone(key)}

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

    def read_several(
        self, account: str, pk: Pk, paths: Sequence[Path], metrics: Sequence[str], spans: Sequence[Buckets]
    ) -> Reading:
        cells = [self.read(account, pk, paths, metrics, *span) for span in spans]
        return Reading(cells, self.notes(account, pk), self.metrics(account, pk), self.kinds(account, pk))

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
        paths = [() if path == CHILD_PKS else path, *self.descendants(account, pk, path, levels)]
        check_below(len(paths) - 1, most)
        found = np.empty((len(paths), len(metrics), len(groups)), object)
        for row, each in enumerate(paths):
            for column, metric in enumerate(metrics):
                for place, group in enumerate(groups):
                    cells = (self._cells.get((account, pk, each, interval, start, metric), 0) for start in group)
                    found[row, column, place] = sum(cells)
        fits = all(value in INT64 for value in found.flat)
        return paths, found.astype(np.int64) if fits else found

    def read_many(
        self,
        account: str,
        pks: Sequence[Pk],
        paths: Sequence[Path],
        metrics: Sequence[str],
        interval: Interval,
        starts: Sequence[int],
    ) -> NDArray[np.int64]:
        found = [self.read(account, pk, paths, metrics, interval, starts) for pk in pks]
        return np.array(found, np.int64).reshape(len(pks), len(paths), len(metrics), len(starts))

    def read_each(
        self, account: str, wanted: Sequence[Wanted], interval: Interval, starts: Sequence[int]
    ) -> list[NDArray[np.int64]]:
        return [self.read(account, pk, paths, metrics, interval, starts) for pk, paths, metrics in wanted]

    def read_values(
        self, account: str, pk: Pk, paths: Sequence[Path], metric: str, interval: Interval, starts: Sequence[int]
    ) -> list[list[int | None]]:
        found = [[self._values.get((account, pk, path, interval, start, metric)) for start in starts] for path in paths]
        return [[None if value is None else int(value[-1]) for value in row] for row in found]

    def read_distinct(
        self,
        account: str,
        pk: Pk,
        paths: Sequence[Path],
        metric: str,
        interval: Interval,
        groups: Sequence[Sequence[int]],
    ) -> list[list[int | None]]:
        names = self._names.get((account, pk))
        is_full = names is not None and len(names.distinct) >= self._settings.max_distinct_nodes
        found: list[list[int | None]] = []
        for path in paths:
            is_kept = names is not None and (path, metric) in names.distinct
            if not is_kept:
                found.append([None if is_full or not is_narrow(path) else 0] * len(groups))
                continue
            unions = (
                set[str]().union(*(self._unions.get((account, pk, path, interval, at, metric), ()) for at in group))
                for group in groups
            )
            found.append([len(union) for union in unions])
        return found

    def kinds(self, account: str, pk: Pk) -> dict[str, str]:
        names = self._names.get((account, pk))
        return dict(names.kinds) if names else {}

    def kinds_of(self, account: str, pks: Sequence[Pk]) -> list[dict[str, str]]:
        return [self.kinds(account, pk) for pk in pks]

    def bins(self, account: str, pk: Pk, paths: Sequence[Path], metric: str) -> list[list[str]]:
        names = self._names.get((account, pk))
        return [list(names.bins.children.get(bins_of(path, metric), ())) if names else [] for path in paths]

    def children(self, account: str, pk: Pk, path: Path) -> list[str]:
        names = self._names.get((account, pk))
        return list(names.paths.children.get(path, ())) if names else []

    def uncounted(self, account: str, pk: Pk, paths: Sequence[Path], metrics: Sequence[str]) -> Missing | None:
        if place := place_of(pk, lambda above: self.pks(account, cast(Pk, above))):
            return Missing(place, {}, (), ())
        places = {path: place_of(path, lambda above: self.children(account, pk, above)) for path in paths}
        known = self.metrics(account, pk)
        missing = Missing(
            None,
            {path: at for path, at in places.items() if at},
            [name for name in metrics if name not in known],
            known,
        )
        return missing if missing.paths or missing.metrics else None

    def counted(self, account: str, pk: Pk, paths: Sequence[Path]) -> list[Path]:
        names = self._names.get((account, pk))
        below = names.paths.children if names else {}
        return [path for path in paths if not path or path[-1] in below.get(path[:-1], ())] if names else []

    def descendants(self, account: str, pk: Pk, path: Path, levels: int) -> list[Path]:
        found: list[Path] = []
        level = [path]
        for _ in range(levels):
            level = [(*above, name) for above in level for name in self.children(account, pk, above)]
            found += level
        return found

    def descendants_of(self, account: str, asked: Sequence[tuple[Pk, Path, int]]) -> list[list[Path]]:
        return [self.descendants(account, *each) for each in asked]

    def keys_of(
        self, account: str, pk: Pk, paths: Sequence[Path], interval: Interval, starts: Sequence[int]
    ) -> list[str]:
        return []

    def pks(self, account: str, parent: Pk = (), prefix: str = "") -> list[str]:
        directory = self._directory.get(account)
        names = directory.children.get(parent, ()) if directory else ()
        return [name for name in names if name.casefold().startswith(prefix.casefold())]

    def pks_of(self, account: str, parents: Sequence[Pk]) -> list[list[str]]:
        return [self.pks(account, parent) for parent in parents]

    def metrics_of(self, account: str, pks: Sequence[Pk]) -> list[list[str]]:
        return [self.metrics(account, pk) for pk in pks]

    def metrics(self, account: str, pk: Pk) -> list[str]:
        names = self._names.get((account, pk))
        return list(names.metrics.children[()]) if names else []

    def seen(self, mark: Mark) -> bool:
        return mark in self._seen

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
            to_log = sum(tally.to_log for tally in mine)
            found.append(PublisherAudit(publisher, len(mine), hits, last.seq, last.total, dropped, to_log))
        return found

    def faults(self, account: str) -> dict[str, int]:
        return dict(self._faults.get(account, {}))

    def evicted(self) -> int:
        return 0

    def faulty_metrics(self, account: str) -> list[FaultyMetric]:
        return sorted(self._faulty.get(account, ()))

    def faults_seen(self, account: str) -> dict[str, int]:
        return dict(self._faults_seen.get(account, {}))

    def see_faults(self, account: str) -> None:
        self._faults_seen[account] = self.faults(account)

    def set_aside(self, account: str, hits: Sequence[Illegible]) -> None:
        known = self._aside.get(account, [])
        names = {hit.name for hit in known}
        new = [hit for hit in hits if hit.name not in names]
        self._aside[account] = last_within(known + new, self._settings.max_undecodable_bytes)

    def aside(self, account: str) -> list[Illegible]:
        return list(self._aside.get(account, []))

    def spy_add(self, account: str, traces: Traces, now: float) -> None:
        lists: dict[str | bool | None, list[str]] = {True: traces.counted, False: traces.others, None: traces.refused}
        lists.update(traces.visitors)
        for whose, texts in lists.items():
            _, kept = self._spied.pop((account, whose), (now, deque[bytes](maxlen=KEPT)))
            kept.extend(text.encode() for text in texts)
            self._spied[account, whose] = now, kept
        visitors = [key for key in self._spied if key[0] == account and isinstance(key[1], str)]
        for key in visitors[: -self._settings.max_spied_visitors]:
            del self._spied[key]
        for key in [key for key, (heard, _) in self._spied.items() if heard <= now - KEPT_S]:
            del self._spied[key]

    def spied_visitors(self, account: str) -> frozenset[str]:
        texts = chain.from_iterable(kept for (whose, _), (_, kept) in self._spied.items() if whose == account)
        return frozenset(visitor for text in texts if (visitor := visitor_in(text)))

    def spy_forget(self, account: str, visitors: Mapping[str, int]) -> None:
        for key in [key for key in self._spied if key[0] == account]:
            heard, kept = self._spied[key]
            left = deque((text for text in kept if not names_one_of(text, visitors)), maxlen=KEPT)
            self._spied[key] = heard, left
            if not left and isinstance(key[1], str):
                del self._spied[key]

    def spy_add_each(self, traces: Mapping[str, Traces], now: float) -> Collection[str]:
        for account, of_account in traces.items():
            self.spy_add(account, of_account, now)
        return ()

    def spied(self, account: str, visitor: str | None = None) -> list[bytes]:
        lists: tuple[str | bool | None, ...] = (True, False, None) if visitor is None else (visitor, None)
        return [text for whose in lists for text in self._spied.get((account, whose), (0, ()))[1]]

    def look(self, looked: Mapping[str, Collection[Pk]], kept_s: float) -> None:
        """Without a clock: until the next one looks."""
        for account, pks in looked.items():
            self._looked[account] = dict.fromkeys([*pks][-MOST_LOOKED:])

    def looked(self, account: str) -> frozenset[Pk]:
        return frozenset(self._looked.get(account, ()))

    def publish(self, account: str, said: bytes) -> None:
        for hearing in self._hearing:
            hearing.tell(account, said)

    @contextmanager
    def hearing(self) -> Iterator[_Hearing]:
        hearing = _Hearing()
        self._hearing.append(hearing)
        try:
            yield hearing
        finally:
            self._hearing.remove(hearing)

    def log_out(self, account: str, session: str, kept_s: float) -> None:
        """Without a clock: the newest."""
        known = self._logged_out.setdefault(account, {})
        known.pop(session, None)
        known[session] = None
        while len(known) > MOST_LOGGED_OUT:
            del known[next(iter(known))]

    def logged_out(self, account: str) -> frozenset[str]:
        return frozenset(self._logged_out.get(account, ()))

    def decision_of(self, account: str, pk: Pk, visitor: str, now: float) -> Kept | None:
        until, id_ = self._sticky.get((account, pk, visitor), (0.0, ""))
        return self.decision(account, id_, now) if now < until else None

    def decisions_of(self, account: str, asked: Sequence[tuple[Pk, str]], now: float) -> list[Kept | None]:
        return [self.decision_of(account, pk, visitor, now) for pk, visitor in asked]

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
        if visitor is not None:
            found = self.decision_of(account, pk, visitor, now)
            if found is not None and found.id != instead_of:
                return found
        kept = Kept(f"0-{nonce}", text)
        self._decisions[account, kept.id] = now + self._settings.decision_kept_s, kept
        if visitor is not None:
            self._sticky[account, pk, visitor] = now + sticky_s, kept.id
        mine = [key for key in self._decisions if key[0] == account]
        for key in mine[: -self._settings.max_decisions]:
            del self._decisions[key]
            self._rewards.pop(key, None)
            self._rewarded.pop(key, None)
        return kept

    def keep_decisions(self, account: str, keeping: Sequence[Keeping], now: float) -> list[Kept]:
        return [
            self.keep_decision(
                account, each.pk, each.visitor, each.text, now, each.nonce, each.sticky_s, each.instead_of
            )
            for each in keeping
        ]

    def decision(self, account: str, id: str, now: float) -> Kept | None:
        until, kept = self._decisions.get((account, id), (0.0, None))
        return kept if now < until else None

    def begin_reward(self, account: str, id: str, reward: Reward, now: float) -> Begun | None:
        if self.decision(account, id, now) is None:
            raise no_decision(id)
        rewards = self._rewards.setdefault((account, id), {})
        known = rewards.get(reward.id)
        if known is not None:
            if known[0] != reward.digest:
                raise other_reward(reward)
            return known[1]
        if len(rewards) >= self._settings.max_rewards:
            raise too_many_rewards(self._settings.max_rewards)
        before, metrics = self._rewarded.get((account, id), {}), self._settings.max_metrics_per_hit - 1  # no hits
        after = {name: before.get(name, 0) + reward.amounts.get(name, 0) for name in {**before, **reward.amounts}}
        for name in reward.amounts:
            if abs(after[name]) > MOST_REWARDED:
                raise rewarded_too_much(name)
        if len(after) > metrics:
            raise too_many_rewarded(metrics)
        begun = Begun(reward.publisher, reward.seq, reward.total, reward.at_ms, before if rewards else None)
        rewards[reward.id], self._rewarded[account, id] = (reward.digest, begun), after
        return begun

    def end_reward(self, account: str, id: str, reward: Reward) -> None:
        if self._rewards.get((account, id), {}).get(reward.id, ("",))[0] == reward.digest:
            self._rewards[account, id][reward.id] = reward.digest, None

    def definitions(self, account: str, names: Sequence[str] | None = None) -> dict[str, Defined]:
        return {
            name: defined
            for (whose, name), defined in self._definitions.items()
            if whose == account and (names is None or name in names)
        }

    def define(self, account: str, name: str, seen: int, new: Defined) -> Defined | None:
        is_full = len(self.definitions(account)) >= self._settings.max_definitions
        full = too_many_definitions(self._settings.max_definitions) if is_full else None
        return _changed(self._definitions, (account, name), seen, new, full)

    def saved(self, account: str, site: str, kind: str) -> dict[str, Defined]:
        return {name: kept for (*whose, name), kept in self._saved.items() if whose == [account, site, kind]}

    def keep_saved(self, account: str, site: str, kind: str, name: str, seen: int, new: Defined) -> Defined | None:
        full = too_many_saved(kind) if len(self.saved(account, site, kind)) >= MOST_SAVED else None
        return _changed(self._saved, (account, site, kind, name), seen, new, full)

    def forget_saved(self, account: str, site: str, kind: str, name: str) -> bool:
        return self._saved.pop((account, site, kind, name), None) is not None

    def forget_all_saved(self, account: str, site: str) -> None:
        for key in [key for key in self._saved if key[:2] == (account, site)]:
            del self._saved[key]

    def declared(self, account: str, asked: Sequence[Metric]) -> dict[Metric, bytes]:
        known = self._declared.get(account, {})
        return {metric: known[metric] for metric in asked if metric in known}

    def declare(self, account: str, pk: Pk, metrics: Mapping[str, bytes | None]) -> None:
        known, most = self._declared.get(account, {}), self._settings.max_declared
        wanted: dict[Metric, bytes | None] = {**known, **{(pk, name): text for name, text in metrics.items()}}
        kept = {metric: text for metric, text in wanted.items() if text is not None}
        if len(kept) > max(most, len(known)):
            raise too_many_declared(most)
        self._declared[account] = kept

    def imports(self, account: str) -> dict[str, Defined]:
        return {name: kept for (whose, name), kept in self._imports.items() if whose == account}

    def keep_import(self, account: str, name: str, seen: int, new: Defined) -> Defined | None:
        is_full = len(self.imports(account)) >= self._settings.max_imports
        full = too_many_imports(self._settings.max_imports) if is_full else None
        return _changed(self._imports, (account, name), seen, new, full)

    def last_resets(self, account: str) -> dict[tuple[Pk, Path | None], int]:
        return dict(self._last_resets.get(account, {}))

    def write_note(self, account: str, note: Note, is_timed: bool) -> None:
        notes = self._timeline.setdefault(account, {})
        if known := notes.get(note.id):
            if (known.pk, known.text) != (note.pk, note.text) or (is_timed and known.at_ms != note.at_ms):
                raise other_note()
            return
        while len(notes) >= MOST_NOTES:
            del notes[min(notes.values(), key=lambda each: each.place).id]
        notes[note.id] = note

    def notes_between(self, account: str, start_ms: int, end_ms: int) -> list[Note]:
        notes = (note for note in self._timeline.get(account, {}).values() if start_ms <= note.at_ms < end_ms)
        return sorted(notes, key=lambda each: each.place)

    def erase_note(self, account: str, id: str) -> bool:
        return self._timeline.get(account, {}).pop(id, None) is not None

    def rewrite_aof(self) -> str:
        return "none"

    def remove_stamps(self) -> int:
        return 0

    def hurried(self, timeout_s: float) -> "MemoryStore":
        return self

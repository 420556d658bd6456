"""Numbers of nodes and metrics, as Redis gives them out: the dictionaries that a worker remembers.

A dictionary in the cache is right as long as Redis still knows its token; apply.lua and mark.lua check that, and what is stale
is asked for again by name. So a reset, a failover or an older AOF under a running worker costs a round trip and never a wrong
number.
"""

import logging
import secrets
from array import array
from collections.abc import Iterable
from itertools import chain
from typing import Any

import msgspec
import redis

from hail.hit import Reason
from hail.room import MEGABYTE, WIDE, Room
from hail.settings import QUANTILE
from whale.cells import Branch, Cells, Reset, Table, kept_targets, narrow_targets
from whale.dimension import Path, Pk
from whale.errors import Unavailable
from whale.metric import split_bin
from whale.store.contract.faults import MAX_NOTED
from whale.store.contract.names import OTHER
from whale.store.redis import keys as layout
from whale.store.redis.connection import pack, reachable
from whale.store.redis.database import Database
from whale.store.redis.keys import PAGE, PAGE_BITS, Keys

log = logging.getLogger(__name__)
NODE = tuple(f"#{node}" for node in range(PAGE))
NAME_BYTES, DICTIONARY_BYTES = 650, 1400  # what one costs in memory beside its text
LOG_BYTES, RESET_BYTES = 800, 600
TRIES = 20
DIRECTORY_S = 60
MIXED, FULL = -100_000, -100_001
LOST = {MIXED: Reason.MIXED_KINDS, FULL: Reason.TOO_MANY_METRICS}


Kinded = tuple[str, str]
"""A metric that is no sum, and its kind. Below 0 its number is why it does not count: MIXED, FULL."""


class Dictionary:
    """What this process knows of one pk's numbers. broken: its key holds something else, so its cells have no place."""

    __slots__ = ("blocks", "broken", "id", "key", "metrics", "nodes", "pk", "shard", "size", "token")

    def __init__(self, pk: Pk, keys: Keys):
        self.pk = pk
        self.shard, self.id = keys.pk(pk)
        self.key = keys.dictionary(self.shard, self.id)
        self.blocks = self.id  # how it stands in keys of blocks
        self.token = b""
        self.nodes: dict[Path, tuple[int, bool]] = {(): (0, False)}  # path -> its number, and whether it is folded
        self.metrics: dict[str | Kinded, int] = {}
        self.broken = False
        self.size = DICTIONARY_BYTES + sum(map(_bytes_of, pk[-1:]))


class ResetLog:
    """What this process knows of the resets on one shard: right while Redis knows its token."""

    __slots__ = ("key", "resets", "size", "token")

    def __init__(self, key: str, fields: dict[bytes, bytes]):
        self.key, self.token = key, fields[b"g"]
        self.resets = frozenset(
            Reset(*_reset_of(name[1:]), int(at_ms)) for name, at_ms in fields.items() if name != b"g"
        )
        self.size = LOG_BYTES + RESET_BYTES * len(self.resets)


_reset_of = msgspec.json.Decoder(tuple[Pk, tuple[str, ...] | None]).decode


# A branch's plan is (stamp, (rows, names, narrow, slots)): where its cells go, the metrics that all of these dictionaries know, where
# its distinct counts are, once that was asked for, and where its cells go as integers of 64 bits: a number of Numbers.pages * PAGE +
# a node on that page.
Plan = list[tuple[tuple[Dictionary, int], tuple[str, ...]]]  # a dictionary and a page, nodes on it as "#5"
Narrow = list[tuple[Dictionary, tuple[int, ...]]]  # a dictionary and nodes


class Numbers:
    """The cache, and how it is filled. Not for several threads at once."""

    def __init__(self, database: Database):
        self._database = database
        self._client, self._settings, self._intern = (
            database.client,
            database.settings,
            database.script("newer", "intern"),
        )
        self._folded: dict[tuple[str, Pk], Pk] = {}
        self._dictionaries: dict[tuple[str, Pk], Dictionary] = {}
        self.room = Room("dictionaries", database.settings.dictionaries_mb * MEGABYTE)
        self._folded_bytes = 0
        self._directory_until = 0.0
        kept_for_ever = (interval for interval, kept in reversed(database.settings.periods) if kept is None)
        self._whole = next(kept_for_ever, None)  # it has every branch
        self._stamp = object()  # plans of branches carry it, and are made anew when it changes
        self._page_numbers: dict[tuple[Dictionary, int], int] = {}
        self.pages: list[tuple[Dictionary, int]] = []  # those that slots of plans name
        self._reset_logs: dict[str, dict[int, ResetLog]] = {}  # by account and shard
        self.drops = 0  # what was made ready before the last one may rest on numbers that Redis does not know

    @reachable
    def resets(self, account: str) -> frozenset[Reset]:
        return frozenset().union(*(log.resets for log in self._reset_logs.get(account, {}).values()))

    def resets_on(self, account: str, keys: Keys, shard: int) -> ResetLog:
        known = self._reset_logs.setdefault(account, {})
        found = known.get(shard)
        if found is None:
            key = keys.resets(shard)
            self._client.hsetnx(key, "g", secrets.token_hex(4))
            found = known[shard] = ResetLog(key, self._client.hgetall(key))
            self.room.held += found.size
        return found

    def drop_resets(self, account: str, shard: int, log_of: ResetLog) -> None:
        """Where Redis knows of others; and the directory with them. Nothing, where others are known meanwhile."""
        if self._reset_logs.get(account, {}).get(shard) is log_of:
            del self._reset_logs[account][shard]
            self.room.held -= log_of.size
            self._dropped()

    def resolve(self, account: str, keys: Keys, cells: Cells, table: Table) -> bool:
        """Gives every branch a plan, and every dictionary the metrics it needs, asking Redis for what is not in the cache.

        False where a dictionary turned out to be gone: it is forgotten, ask again.
        """
        wanted: dict[Branch, dict[str | Kinded, int]] = {}
        stamp = self._stamp
        intervals = [*reversed(cells)] if self._whole is None else [self._whole]
        needs = (item for interval in intervals for sums in cells[interval].values() for item in sums.items())
        for branch, amounts in chain(needs, *map(table.needs, intervals if table else ())):
            plan = branch.plan
            if plan is None or plan[0] is not stamp or not amounts.keys() <= plan[1][1]:
                wanted.setdefault(branch, {}).update(amounts)
        if not wanted:
            return True
        fresh = [branch for branch in wanted if branch.plan is None or branch.plan[0] is not self._stamp]
        if not self._fold(account, keys, dict.fromkeys(branch.pk for branch in fresh)):
            return False
        where: dict[Branch, list[tuple[Dictionary, tuple[Path, ...]]]] = {}
        paths_of: dict[Dictionary, dict[Path, None]] = {}
        metrics_of: dict[Dictionary, dict[str | Kinded, None]] = {}
        for branch in fresh:
            if branch.paths and (bin_ := split_bin(branch.paths[0])):
                wanted[branch][bin_[1], QUANTILE] = 0
            targeted = kept_targets(self._folded[account, branch.pk], branch)
            where[branch] = [(self._dictionary(account, keys, pk), paths) for pk, paths in targeted]
            for dictionary, paths in where[branch]:
                paths_of.setdefault(dictionary, {}).update(
                    (path, None) for path in paths if path not in dictionary.nodes
                )
        for branch, needed in wanted.items():
            for dictionary in (
                [row[0] for row in where[branch]] if branch in where else [row[0][0] for row in plan_of(branch)]
            ):
                known = dictionary.metrics
                metrics_of.setdefault(dictionary, {}).update((name, None) for name in needed if name not in known)
        for dictionary, names in metrics_of.items():
            new = paths_of.get(dictionary, {})
            if (new or names or not dictionary.token) and not self.learn(account, dictionary, new, names):
                return False
        lost: dict[int, int] = {}
        for branch, found in where.items():
            sound = [(dictionary, paths) for dictionary, paths in found if not dictionary.broken]
            for dictionary in {dictionary for dictionary, _ in found if dictionary.broken}:
                lost[dictionary.shard] = lost.get(dictionary.shard, 0) + 1
            rows, slots = self._plan(sound)
            branch.plan = self._stamp if len(sound) == len(found) else None, (rows, set(), [], slots)
        for branch, needed in wanted.items():
            assert branch.plan is not None
            branch.plan[1][1].update(needed)
        for shard, count in lost.items():
            self._client.hincrby(keys.faults(shard), Reason.WRONG_TYPE, count)
        return True

    def _plan(self, found: Iterable[tuple[Dictionary, tuple[Path, ...]]]) -> tuple[Plan, bytes]:
        """The rows of a branch, and its slots.

        Bins of a metric that has another kind are planned on a page below 0: the number that says why they are lost.
        """
        plan: Plan = []
        slots = array("q")
        for dictionary, paths in found:
            pages: dict[int, dict[int, None]] = {}
            for path in paths:
                if (bin_ := split_bin(path)) and (refusal := dictionary.metrics[bin_[1], QUANTILE]) < 0:
                    plan.append(((dictionary, refusal), (repr(path),)))
                    continue
                number = dictionary.nodes[path][0]
                pages.setdefault(number >> PAGE_BITS, {})[number % PAGE] = None
            for page, nodes in pages.items():
                plan.append(((dictionary, page), tuple(NODE[node] for node in nodes)))
                base = self._page_number(dictionary, page) * PAGE
                slots.extend(base + node for node in nodes)
        return plan, slots.tobytes()

    def _page_number(self, dictionary: Dictionary, page: int) -> int:
        where = dictionary, page
        number = self._page_numbers.get(where)
        if number is None:
            number = self._page_numbers[where] = len(self.pages)
            self.pages.append(where)
        return number

    def narrow(self, account: str, keys: Keys, branch: Branch) -> Narrow:
        """Where a branch that has a plan has its distinct counts."""
        assert branch.plan is not None
        found: Narrow = branch.plan[1][2]
        if not found:
            for pk, paths in narrow_targets(self._folded[account, branch.pk], branch):
                dictionary = self._dictionary(account, keys, pk)
                if not dictionary.broken:
                    found.append((dictionary, tuple(dict.fromkeys(dictionary.nodes[path][0] for path in paths))))
        return found

    def known(
        self, account: str, keys: Keys, pk: Pk, paths: Iterable[Path], metrics: Iterable[str]
    ) -> Dictionary | None:
        """The dictionary of a pk, which knows these; None where Redis no longer knows what this process knew: ask again."""
        if not self._fold(account, keys, [pk]):
            return None
        dictionary = self._dictionary(account, keys, self._folded[account, pk])
        new = [path for path in paths if path not in dictionary.nodes]
        names = [name for name in metrics if name not in dictionary.metrics]
        if (new or names or not dictionary.token) and not self.learn(account, dictionary, new, names):
            return None
        if dictionary.broken:
            raise Unavailable(f"Redis: the key {dictionary.key} does not belong to HailWhale: remove it")
        return dictionary

    def list_pks(self, account: str, keys: Keys, pks: Iterable[Pk]) -> None:
        """Puts pks into the directory, whatever this process knows of it."""
        self.learn(account, Dictionary((), keys), dict.fromkeys(pks), ())

    def _fold(self, account: str, keys: Keys, pks: Iterable[Pk]) -> bool:
        """Learns as which pk each pk counts: itself, or cut at the first name that the directory has folded."""
        unknown = [pk for pk in pks if (account, pk) not in self._folded]
        if not unknown:
            return True
        directory = self._dictionary(account, keys, ())
        if not self.learn(account, directory, dict.fromkeys(unknown), ()):
            return False
        if directory.broken:
            raise Unavailable(f"Redis: the key {directory.key} does not belong to HailWhale: remove it")
        for pk in unknown:
            depth = next((i for i in range(1, len(pk) + 1) if directory.nodes[pk[:i]][1]), None)
            self._folded[account, pk] = pk if depth is None else (*pk[: depth - 1], OTHER)
            size = NAME_BYTES + sum(map(_bytes_of, pk))
            self._folded_bytes += size
            self.room.held += size
        return True

    def _dictionary(self, account: str, keys: Keys, pk: Pk) -> Dictionary:
        found = self._dictionaries.get((account, pk))
        if found is None:
            found = self._dictionaries[account, pk] = Dictionary(pk, keys)
            self.room.held += found.size
        return found

    def learn(
        self, account: str, dictionary: Dictionary, paths: Iterable[Path], metrics: Iterable[str | Kinded]
    ) -> bool:
        """Asks for the numbers of nodes and metrics; False where Redis no longer knows what this process knew."""
        found = [(path, split_bin(path)) for path in paths]
        if any(bin_ for _, bin_ in found):  # bins hang on nodes, which must be known first
            plain = [path for path, bin_ in found if not bin_]
            below = dict.fromkeys(bin_[0] for _, bin_ in found if bin_ and bin_[0] not in dictionary.nodes)
            if not self.learn(account, dictionary, dict.fromkeys([*plain, *below]), metrics):
                return False
            if dictionary.broken:
                return True
            paths, metrics = [path for path, bin_ in found if bin_], ()
        nodes, items, asked = dictionary.nodes, list[Any](), dict[Path, int]()
        folded: list[str | None] = []
        for path in paths:
            if bin_ := split_bin(path):
                number = nodes[bin_[0]][0]
                items += (f"q{number}:{bin_[1]}", bin_[2])
                asked[path] = len(items) // 2
                continue
            for depth in range(1, len(path) + 1):
                part = path[:depth]
                if part in nodes or part in asked or part == (None,):
                    continue
                above = part[:-1]
                if above in nodes and nodes[above][1]:
                    nodes[part] = nodes[above]
                    folded.append(part[-1])
                    continue
                items += ("p" if above == (None,) else nodes[above][0] if above in nodes else -asked[above], part[-1])
                asked[part] = len(items) // 2
        names = list(metrics)
        for name in names:
            items += ("m", name) if isinstance(name, str) else (f"m:{name[1]}", name[0])
        caps = (
            self._settings.max_children,
            self._settings.max_nodes if dictionary.pk else self._settings.max_pks,
            self._settings.max_metrics,
            self._settings.max_bins,
        )
        text = msgspec.json.encode(dictionary.pk).decode()
        ask = pack([secrets.token_hex(4), text, *caps, items])
        try:
            token, numbers, still_known, gen = self._intern([dictionary.key], [ask, dictionary.token])
        except redis.ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            log.error("the key %s does not belong to HailWhale: its cells are lost until you remove it", dictionary.key)
            dictionary.broken = True
            return True
        if not still_known:
            self.drop(account, dictionary)
            return False
        dictionary.token, dictionary.broken = token, False
        dictionary.blocks = layout.generation(dictionary.id, gen.decode())
        for part, position in asked.items():
            number = numbers[position - 1]
            nodes[part] = (number, False) if number >= 0 else (-1 - number, True)
        for name, number in zip(names, numbers[len(asked) :], strict=True):
            dictionary.metrics[name] = number if number >= 0 or number <= MIXED else -1 - number
            if number <= MIXED:
                self._note(account, dictionary, name if isinstance(name, str) else name[0], LOST[number])
        new = (*folded, *(part[-1] for part in asked), *(name if isinstance(name, str) else name[0] for name in names))
        size = sum(NAME_BYTES + 2 * _bytes_of(name) for name in new)
        dictionary.size += size
        self.room.held += size
        return True

    def _note(self, account: str, dictionary: Dictionary, metric: str, reason: Reason) -> None:
        """Keeps the name of a metric that does not count, for people to find."""
        key = self._database.keys(account).noted(dictionary.shard)
        if self._client.hlen(key) < MAX_NOTED + len(LOST):
            self._client.hset(key, msgspec.json.encode((reason, dictionary.pk, metric)), 1)

    def drop(self, account: str, dictionary: Dictionary) -> None:
        """Drops a dictionary that Redis does not know any more, and the directory with it, since it may have gone the same way.

        Nothing, where another one has been learned in its place.
        """
        if self._dictionaries.get((account, dictionary.pk)) is dictionary:
            del self._dictionaries[account, dictionary.pk]
            self.room.held -= dictionary.size
            self._dropped()

    def _dropped(self) -> None:
        self.drops += 1
        self.forget_directory()

    def forget_directory(self) -> None:
        self._folded.clear()
        self.room.held -= self._folded_bytes
        self._folded_bytes = 0
        for account, pk in [key for key in self._dictionaries if not key[1]]:
            self.room.held -= self._dictionaries.pop((account, pk)).size
        self._stamp = object()
        self._page_numbers, self.pages = {}, []

    def forget(self) -> None:
        for dictionary in self._dictionaries.values():  # plans of branches may hold on to it
            dictionary.nodes, dictionary.metrics = {}, {}
        self._dictionaries.clear()
        self._reset_logs.clear()
        self.forget_directory()
        self.room.held = 0

    def trim(self, now: float) -> None:
        """Bounds the cache; and asks for the directory anew each minute, as no shard checks its token."""
        if self.room.is_full:
            self.forget()
        if now >= self._directory_until:
            self.forget_directory()
            self._directory_until = now + DIRECTORY_S


def _bytes_of(name: str | None) -> int:
    """In memory, beside what any name costs; None is the reserved path's first."""
    if name is None:
        return 0
    return len(name) if name.isascii() else WIDE * len(name)


def plan_of(branch: Branch) -> Plan:
    assert branch.plan is not None
    rows: Plan = branch.plan[1][0]
    return rows


def slots_of(branch: Branch) -> bytes:
    """None of a branch that has no cells to add to."""
    slots: bytes = branch.plan[1][3] if branch.plan else b""
    return slots

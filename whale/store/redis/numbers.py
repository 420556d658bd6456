"""Numbers of nodes and metrics, as Redis gives them out: the dictionaries that a worker remembers.

A dictionary in the cache is right as long as Redis still knows its token; apply.lua and mark.lua check that, and what is stale
is asked for again by name. So a reset, a failover or an older AOF under a running worker costs a round trip and never a wrong
number.
"""

import logging
import secrets
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import msgspec
import redis

from hail.hit import Reason
from hail.room import MEGABYTE, WIDE, Room
from hail.settings import QUANTILE
from whale.cells import Amounts, Branch, Cells, Reset, Table, kept_targets, narrow_targets
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
ACCOUNT_BYTES, PAGE_BYTES = 1000, 250
LOG_BYTES = (
    800  # without its resets: an account with very many would have others forgotten at each apply, and be read again
)
TRIES = 20
DIRECTORY_S = 60
MIXED, FULL = -100_000, -100_001
LOST = {MIXED: Reason.MIXED_KINDS, FULL: Reason.TOO_MANY_METRICS}


Kinded = tuple[str, str]
"""A metric that is no sum, and its kind. Below 0 its number is why it does not count: MIXED, FULL."""
Wanted = dict[Branch, dict[str | Kinded, int]]
"""Branches, and of each the metrics that it has."""


class Dictionary:
    """What this process knows of one pk's numbers. broken: its key holds something else, so its cells have no place."""

    __slots__ = ("account", "blocks", "broken", "id", "key", "metrics", "nodes", "pk", "shard", "size", "token")

    def __init__(self, pk: Pk, keys: Keys):
        self.pk, self.account = pk, keys.account_name
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

    __slots__ = ("key", "resets", "token")

    def __init__(self, key: str, fields: dict[bytes, bytes]):
        self.key, self.token = key, fields[b"g"]
        self.resets = frozenset(
            Reset(*_reset_of(name[1:]), int(at_ms)) for name, at_ms in fields.items() if name != b"g"
        )


_reset_of = msgspec.json.Decoder(tuple[Pk, tuple[str, ...] | None]).decode


class _Stamp:
    """Plans of branches carry it, and are made anew when it is no longer good."""

    __slots__ = ("good",)

    def __init__(self, good: bool = True):
        self.good = good


_BAD = _Stamp(False)


class _Known:
    """What this process knows of an account. folded: as which pk each pk counts.  held: bytes of all of it.  stamp: of its plans."""

    __slots__ = ("dictionaries", "folded", "folded_bytes", "held", "logs", "stamp")

    def __init__(self) -> None:
        self.dictionaries: dict[Pk, Dictionary] = {}
        self.folded: dict[Pk, Pk] = {}
        self.logs: dict[int, ResetLog] = {}
        self.stamp = _Stamp()
        self.folded_bytes = self.held = 0

    def renew(self) -> None:
        """Has the plans of its branches made anew."""
        self.stamp.good = False
        self.stamp = _Stamp()


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
        self._accounts: dict[str, _Known] = {}
        self.room = Room("dictionaries", database.settings.dictionaries_mb * MEGABYTE)
        self._directory_until = 0.0
        kept_for_ever = (interval for interval, kept in reversed(database.settings.periods) if kept is None)
        self._whole = next(kept_for_ever, None)  # it has every branch
        self._page_numbers: dict[tuple[Dictionary, int], int] = {}
        self.pages: list[tuple[Dictionary, int]] = []  # those that slots of plans name
        self.drops = 0  # what was made ready before the last one may rest on numbers that Redis does not know

    @reachable
    def resets(self, account: str) -> frozenset[Reset]:
        known = self._accounts.get(account)
        found: frozenset[Reset] = frozenset()
        return found.union(*[log.resets for log in known.logs.values()]) if known else found

    def resets_on(self, account: str, keys: Keys, shard: int) -> ResetLog:
        known = self._known(account)
        found = known.logs.get(shard)
        if found is None:
            key = keys.resets(shard)
            self._client.hsetnx(key, "g", secrets.token_hex(4))
            found = known.logs[shard] = ResetLog(key, self._client.hgetall(key))
            self._hold(known, LOG_BYTES)
        return found

    def drop_resets(self, account: str, shard: int, log_of: ResetLog) -> None:
        """Where Redis knows of others; and the directory with them. Nothing, where others are known meanwhile."""
        known = self._accounts.get(account)
        if known and known.logs.get(shard) is log_of:
            del known.logs[shard]
            self._hold(known, -LOG_BYTES)
            self._dropped(known)

    def _known(self, account: str) -> _Known:
        found = self._accounts.get(account)
        if found is None:
            found = self._accounts[account] = _Known()
            self._hold(found, ACCOUNT_BYTES)
        return found

    def _hold(self, known: _Known, size: int) -> None:
        known.held += size
        self.room.held += size

    def unplanned(self, cells: Iterable[Cells], tables: Iterable[Table]) -> dict[str, Wanted]:
        """By account, branches without a plan, or whose dictionaries may lack a metric that they need."""
        found: dict[str, Wanted] = {}
        for branch, amounts in chain.from_iterable((*map(self._needs, cells), *map(self._needs_of, tables))):
            plan = branch.plan
            if plan is None or not plan[0].good or not amounts.keys() <= plan[1][1]:
                found.setdefault(branch.account, {}).setdefault(branch, {}).update(amounts)
        return found

    def _needs(self, cells: Cells) -> Iterator[tuple[Branch, Amounts]]:
        intervals = [*reversed(cells)] if self._whole is None else [self._whole]
        return (item for interval in intervals for sums in cells[interval].values() for item in sums.items())

    def _needs_of(self, table: Table) -> Iterator[tuple[Branch, Amounts]]:
        intervals = [*table.levels][::-1] if self._whole is None else [self._whole]
        return chain.from_iterable([table.needs(interval) for interval in intervals])

    def plan(self, account: str, keys: Keys, wanted: Wanted) -> bool:
        """Gives branches of an account a plan, and every dictionary the metrics it needs, asking Redis for what is not in the cache.

        False where a dictionary turned out to be gone: it is forgotten, and so are other plans of the account; ask again.
        """
        known = self._known(account)
        stamp = known.stamp
        fresh = [branch for branch in wanted if branch.plan is None or not branch.plan[0].good]
        if not self._fold(account, keys, dict.fromkeys(branch.pk for branch in fresh)):
            return False
        where: dict[Branch, list[tuple[Dictionary, tuple[Path, ...]]]] = {}
        paths_of: dict[Dictionary, dict[Path, None]] = {}
        metrics_of: dict[Dictionary, dict[str | Kinded, None]] = {}
        for branch in fresh:
            if branch.paths and (bin_ := split_bin(branch.paths[0])):
                wanted[branch][bin_[1], QUANTILE] = 0
            targeted = kept_targets(known.folded[branch.pk], branch)
            where[branch] = [(self._dictionary(account, keys, pk), paths) for pk, paths in targeted]
            for dictionary, paths in where[branch]:
                paths_of.setdefault(dictionary, {}).update(
                    (path, None) for path in paths if path not in dictionary.nodes
                )
        for branch, needed in wanted.items():
            for dictionary in (
                [row[0] for row in where[branch]] if branch in where else [row[0][0] for row in plan_of(branch)]
            ):
                metrics = dictionary.metrics
                metrics_of.setdefault(dictionary, {}).update((name, None) for name in needed if name not in metrics)
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
            branch.plan = stamp if len(sound) == len(found) else _BAD, (rows, set(), [], slots)
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
            self.room.held += PAGE_BYTES
        return number

    def _forget_pages(self) -> None:
        """And all plans, whose slots name them."""
        self.room.held -= PAGE_BYTES * len(self.pages)
        self._page_numbers, self.pages = {}, []
        for known in self._accounts.values():
            known.renew()

    def narrow(self, account: str, keys: Keys, branch: Branch) -> Narrow:
        """Where a branch that has a plan has its distinct counts."""
        assert branch.plan is not None
        found: Narrow = branch.plan[1][2]
        if not found:
            for pk, paths in narrow_targets(self._known(account).folded[branch.pk], branch):
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
        dictionary = self._dictionary(account, keys, self._known(account).folded[pk])
        new = [path for path in paths if path not in dictionary.nodes]
        names = [name for name in metrics if name not in dictionary.metrics]
        if (new or names or not dictionary.token) and not self.learn(account, dictionary, new, names):
            return None
        if dictionary.broken:
            raise Unavailable(f"Redis: the key {dictionary.key} does not belong to HailWhale: remove it")
        return dictionary

    def list_pks(self, account: str, keys: Keys, pks: Iterable[Pk]) -> None:
        """Puts pks into the directory, whatever this process knows of it."""
        directory = Dictionary((), keys)
        size = directory.size
        self.learn(account, directory, dict.fromkeys(pks), ())
        self._hold(self._known(account), size - directory.size)  # it is not kept

    def _fold(self, account: str, keys: Keys, pks: Iterable[Pk]) -> bool:
        """Learns as which pk each pk counts: itself, or cut at the first name that the directory has folded."""
        known = self._known(account)
        unknown = [pk for pk in pks if pk not in known.folded]
        if not unknown:
            return True
        directory = self._dictionary(account, keys, ())
        if not self.learn(account, directory, dict.fromkeys(unknown), ()):
            return False
        if directory.broken:
            raise Unavailable(f"Redis: the key {directory.key} does not belong to HailWhale: remove it")
        for pk in unknown:
            depth = next((i for i in range(1, len(pk) + 1) if directory.nodes[pk[:i]][1]), None)
            known.folded[pk] = pk if depth is None else (*pk[: depth - 1], OTHER)
            size = NAME_BYTES + sum(map(_bytes_of, pk))
            known.folded_bytes += size
            self._hold(known, size)
        return True

    def _dictionary(self, account: str, keys: Keys, pk: Pk) -> Dictionary:
        known = self._known(account)
        found = known.dictionaries.get(pk)
        if found is None:
            found = known.dictionaries[pk] = Dictionary(pk, keys)
            self._hold(known, found.size)
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
        self._hold(self._known(account), size)
        return True

    def _note(self, account: str, dictionary: Dictionary, metric: str, reason: Reason) -> None:
        """Keeps the name of a metric that does not count, for people to find."""
        key = self._database.keys(account).noted(dictionary.shard)
        if self._client.hlen(key) < MAX_NOTED + len(LOST):
            self._client.hset(key, msgspec.json.encode((reason, dictionary.pk, metric)), 1)

    def drop(self, account: str, dictionary: Dictionary) -> None:
        """Drops a dictionary that Redis does not know any more, and its account's directory with it, since it may have gone the same way.

        Nothing, where another one has been learned in its place.
        """
        known = self._accounts.get(account)
        if known and known.dictionaries.get(dictionary.pk) is dictionary:
            del known.dictionaries[dictionary.pk]
            self._hold(known, -dictionary.size)
            self._dropped(known)

    def _dropped(self, known: _Known) -> None:
        self.drops += 1
        self._forget_directory(known)

    def _forget_directory(self, known: _Known) -> None:
        directory = known.dictionaries.pop((), None)
        self._hold(known, -known.folded_bytes - (directory.size if directory else 0))
        known.folded, known.folded_bytes = {}, 0
        known.renew()

    def forget(self) -> None:
        for account in [*self._accounts]:
            self._forget_account(account)
        self._forget_pages()

    def _forget_account(self, account: str) -> None:
        known = self._accounts.pop(account)
        known.stamp.good = False
        self.room.held -= known.held
        for dictionary in known.dictionaries.values():  # plans of branches may hold on to it
            dictionary.nodes, dictionary.metrics = {}, {}

    def trim(self, now: float) -> None:
        """Bounds the cache: those accounts go first that have been known for longest. It is for the time before plans are made.

        It also asks for directories anew each minute, as no shard checks their tokens.
        """
        if now >= self._directory_until:
            for known in self._accounts.values():
                self._forget_directory(known)
            self._directory_until = now + DIRECTORY_S
            self._forget_pages()
        elif (
            self.room.is_full and 4 * PAGE_BYTES * len(self.pages) > self.room.most
        ):  # most of accounts that are forgotten
            self._forget_pages()
        while self.room.is_full and self._accounts:
            self._forget_account(next(iter(self._accounts)))


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

"""While Redis Cluster moves a slot from one node to another, nothing is lost, nothing counts twice, and no answer is too small.

A slot that moves lies on two nodes. Each key is on one of them; a script that is handed some keys and appends to them could find
one here and miss another.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from redis.crc import key_slot

from hail.hit import MILLION
from hail.message import Message
from hail.settings import DAY, Settings, load
from tests.contract.hits import NOW, PUBLISHER, everything, message, sums
from tests.servers import RedisCluster, SlotMove, wait_until
from whale.commands.doctor import findings
from whale.commands.finding import WRONG
from whale.count.apply import Applier
from whale.dimension import Path
from whale.period import MINUTE
from whale.spy import Traces
from whale.store.contract.changes import Change
from whale.store.contract.decisions import DIGEST, Kept, Reward
from whale.store.contract.definitions import Defined
from whale.store.memory import MemoryStore
from whale.store.redis import RedisStore
from whale.store.redis.connection import Connection
from whale.store.redis.dated import RedisDated, open_client
from whale.store.redis.keys import Keys
from whale.store.redis.refusals import SlotMoving

SLOT = key_slot(b"{0}")
MINUTES = [int(NOW) // MINUTE * MINUTE - back * MINUTE for back in range(5)]
PATHS: list[Path] = [("n", str(i)) for i in range(400)]
DAY_START = int(NOW) // DAY * DAY
UNIQUE = {"visitors": "is_unique"}
ID_SLICE_S = 400_000.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster(appendonly="no") as running:
        yield running


def settings_of(cluster: RedisCluster, shards: int = 1) -> Settings:
    url = cluster.url.replace("redis://", "redis+cluster://")
    return load({"HAILWHALE_REDIS_URL": url, "HAILWHALE_SHARDS": str(shards), "HAILWHALE_SPY": "0"})


def open_store(settings: Settings) -> RedisStore:
    return RedisStore(Connection(settings.redis_url, 10.0), settings)


def hit(path: Path, at: float = NOW, **more: Any) -> dict[str, Any]:
    return {"pk": "t", "dimensions": {"n": path[1]}, "at": at, "metrics": {"revenue": 2}, **more}


def change(id: str, amount: int) -> Change:
    return Change(id, ("t",), PATHS[0], MINUTE, MINUTES[0], MINUTES[0] + MINUTE, {"revenue": amount}, {DAY: DAY_START})


class Filled:
    """An account on one shard with every form of cells: packed, split and dense blocks, values, distinct counts, ids, decisions."""

    def __init__(self, cluster: RedisCluster, account: str):
        self.settings, self.account = settings_of(cluster), account
        self.store, self.reader = open_store(self.settings), open_store(self.settings)
        self.applier = Applier(self.store, self.settings)
        self.dated = RedisDated({"": open_client(self.settings.redis_url, 10.0)}, account, "")
        self.seq = 0
        few = [hit(path, minute) for minute in MINUTES[1:] for path in PATHS[:100]]
        many = [hit(path, visitor=path[1], metrics={"revenue": 2, "top": {"max": 5}, **UNIQUE}) for path in PATHS]
        self.count(few + many)
        for width in range(3):
            self.store.claim(account, [("a", ("ff" * 8, 0))], NOW - ID_SLICE_S * width)
        self.kept = self.store.keep_decision(account, ("t",), "ann", b"{}", NOW, "one", 1000.0)
        self.store.define(account, "flag", 0, Defined(1, b"{}"))
        self.store.spy_add(account, Traces(["{}"], ["{}"], {"ann": ["{}"]}), NOW)
        self.store.reset(account, ("gone",), None, NOW)
        for name in ("one", "two"):
            self.dated.add([("id", name)], date(2026, 9, 21), 3)
        key = self.store.client
        key.hset(f"{account}:{{0}}:faults", "wrong_type", 1)
        key.lpush(f"{account}:{{0}}:aside", "one")

    def count(self, hits: list[dict[str, Any]]) -> None:
        self.applier.apply([message(hits, self.settings, self.account, self.seq)], NOW)
        self.seq += 1

    def appended(self, keys: list[str]) -> list[str]:
        """Of some keys those that scripts make from others."""
        kinds = (":r:", ":u:", ":id:", ":d:", ":dv:", ":spy:visitors:")
        mine = [key for key in keys if key.startswith(f"{self.account}:") and any(kind in key for kind in kinds)]
        return [
            key for key in mine if any(key.startswith(f"{other}:") for other in keys) or ":d:" in key or ":dv:" in key
        ]

    def faults(self) -> dict[str, int]:
        return self.store.faults(self.account)


def read(filled: Filled) -> Any:
    cells = filled.reader.read(filled.account, ("t",), PATHS[:3], ["revenue"], MINUTE, MINUTES)
    return cells[:, 0].tolist()


def read_below(filled: Filled) -> Any:
    _, cells = filled.reader.read_below(filled.account, ("t",), ("n",), 1, ["hits"], MINUTE, [MINUTES], 1000)
    return cells[1:4, 0, 0].tolist()


def read_distinct(filled: Filled) -> Any:
    found = filled.reader.read_distinct(filled.account, ("t",), [(), PATHS[0]], "visitors", DAY, [[DAY_START]])
    return [round((row[0] or 0) / 100) for row in found]


QUESTIONS: dict[str, Callable[[Filled], Any]] = {
    "read": read,
    "forms": read_below,
    "distinct": read_distinct,
    "sticky": lambda filled: filled.reader.decision_of(filled.account, ("t",), "ann", NOW),
    "decide": lambda filled: filled.reader.keep_decision(filled.account, ("t",), "ann", b"{}", NOW, "two", 1000.0).id,
}
CHANGES: dict[str, Callable[[Filled], Any]] = {
    "apply": lambda filled: filled.count([hit(path) for path in PATHS]),
    "apply to a few": lambda filled: filled.count([hit(path, MINUTES[1]) for path in PATHS[:3]]),
    "mark": lambda filled: filled.count([hit(PATHS[0], visitor="x", metrics={"top": {"max": 7}, **UNIQUE})]),
    "set": lambda filled: filled.store.set(filled.account, change("s", 50 * MILLION), NOW),
    "claim": lambda filled: filled.store.claim(filled.account, [("a", ("ee" * 8, 1)), ("b", ("ee" * 8, 1))], NOW),
    "decide anew": lambda filled: filled.store.keep_decision(filled.account, ("t",), "bob", b"{}", NOW, "new", 1000.0),
    "spy": lambda filled: filled.store.spy_add(filled.account, Traces(["{}"], [], {"ann": ["{}"]}), NOW),
    "intern": lambda filled: filled.count([hit(("n", "new"))]),
}


@pytest.fixture(params=["what scripts append has moved", "all but what scripts append has moved"])
def halfway(request: pytest.FixtureRequest, cluster: RedisCluster, unique: str) -> Iterator[tuple[Filled, SlotMove]]:
    filled = Filled(cluster, unique)
    move = SlotMove(cluster, SLOT)
    try:
        keys = move.left()
        appended = filled.appended(keys)
        assert len(appended) > 15
        move.named(*(appended if request.param.startswith("what") else set(keys) - set(appended)))
        yield filled, move
    finally:
        move.end()


RIGHT = {
    "read": [[2 * MILLION] * 5] * 3,
    "forms": [5, 5, 5],
    "distinct": [4, 0],
    "sticky": Kept("0-one", b"{}"),
    "decide": "0-one",
}


def test_nothing_is_written_and_nothing_is_answered_too_small_while_a_slot_moves(
    halfway: tuple[Filled, SlotMove],
) -> None:
    filled, move = halfway
    for name, ask in QUESTIONS.items():
        with suppress(SlotMoving):
            assert ask(filled) == RIGHT[name], name
    before = move.dumped()  # after PFCOUNT, which notes its answer in the key
    for name, do in CHANGES.items():
        with pytest.raises(SlotMoving):
            do(filled)
        assert move.dumped() == before, f"{name} wrote"
    move.end()
    for name, ask in QUESTIONS.items():
        assert ask(filled) == RIGHT[name], name
    for do in CHANGES.values():
        do(filled)
    assert filled.faults() == {"wrong_type": 1}


# The keys that these are handed are all that they touch, so Redis itself could say whether all are there; they ask as the others do.


@pytest.mark.parametrize("on_target", [False, True], ids=["not yet moved", "moved"])
def test_scripts_that_are_handed_all_their_keys_write_all_or_nothing(
    cluster: RedisCluster, unique: str, on_target: bool
) -> None:
    filled = Filled(cluster, unique)
    store, dated = filled.store, filled.dated
    shard_of_id = key_slot(dated.keys.pair("id", "one").encode())
    pairs = [("id", "one"), ("id", "two")]
    reward = Reward("r", "d" * DIGEST, {"revenue": 5}, PUBLISHER, 7, 1, int(NOW * 1000))
    day = date(2026, 9, 21)
    calls: dict[str, Callable[[], Any]] = {
        "intern": lambda: filled.count([{"pk": "t", "dimensions": "new"}]),
        "define": lambda: store.define(unique, "flag", 1, Defined(2, b"{}")),
        "reward": lambda: store.begin_reward(unique, filled.kept.id, reward, NOW),
        "rewarded": lambda: store.end_reward(unique, filled.kept.id, reward),
        "dated": lambda: dated.set_day(pairs, day, 5, True, True),
        "detail": lambda: dated.add_record("id", "ann", 1, "{}", 10),
    }
    for slot, names in ((SLOT, ("intern", "define", "reward", "rewarded")), (shard_of_id, ("dated",))):
        move = SlotMove(cluster, slot)
        try:
            mine = [key for key in move.left() if key.startswith(f"{unique}:")]
            move.named(*(mine if on_target else mine[::2]))
            before = move.dumped()
            for name in names:
                with pytest.raises(SlotMoving):
                    calls[name]()
                assert move.dumped() == before, f"{name} wrote"
        finally:
            move.end()
    for call in calls.values():
        call()
    assert dated.totals(pairs) == [5, 5]


def test_a_reset_that_meets_a_moving_slot_is_done_by_the_next(cluster: RedisCluster, unique: str) -> None:
    """Else the dictionary would go, and its generation with it: what was counted before would come back under new names."""
    filled = Filled(cluster, unique)
    move = SlotMove(cluster, SLOT)
    try:
        with pytest.raises(SlotMoving):
            filled.store.reset(unique, ("t",), None, NOW)
    finally:
        move.end()
    assert read(filled) == RIGHT["read"]
    filled.store.reset(unique, ("t",), None, NOW)
    assert sums(filled.reader, unique, ("t",), [()]) == [0]
    filled.count([hit(PATHS[0])])
    assert sums(filled.reader, unique, ("t",), [()]) == [1]


@pytest.mark.parametrize("steps", [1, 4])
def test_what_a_reset_left_is_freed_though_it_moved_meanwhile(cluster: RedisCluster, unique: str, steps: int) -> None:
    filled = Filled(cluster, unique)
    filled.store.reset(unique, ("t",), None, NOW)
    for _ in range(steps):
        assert filled.store.sweep(unique, NOW)
    move = SlotMove(cluster, SLOT)
    try:
        with pytest.raises(SlotMoving):
            drain(filled)
    finally:
        move.end()
    wait_until(lambda: swept(filled), what="the sweeper to be done")
    left = [key.removeprefix(f"{unique}:{{0}}:") for key in move.keys_on(move.target) if key.startswith(unique)]
    assert [key for key in left if key.startswith(("r:", "v:"))] == []


def drain(filled: Filled) -> None:
    while filled.store.sweep(filled.account, NOW):
        pass


def swept(filled: Filled) -> bool:
    filled.store.client.delete(
        f"{filled.account}:{{0}}:sweeping"
    )  # 10 s after one that had to give up another may begin
    return not filled.store.sweep(filled.account, NOW) and not filled.store.client.exists(
        f"{filled.account}:{{0}}:trash"
    )


def test_doctor_names_a_slot_that_moves(cluster: RedisCluster) -> None:
    settings = settings_of(cluster)
    move = SlotMove(cluster, SLOT)
    try:
        found = [each for each in findings(settings, time.time()) if f"{SLOT}" in each.text]
    finally:
        move.end()
    assert [(each.state, each.about) for each in found] == [(WRONG, f"Redis 127.0.0.1:{move.source.port}")]
    assert "redis-cli --cluster fix" in found[0].text


# Under load

SHARDS = 4
PKS = [("t", str(i)) for i in range(8)]


def slots_of(account: str) -> list[int]:
    """Those that pks of the load lie in."""
    keys = Keys(account, SHARDS)
    return [key_slot(b"{%d}" % shard) for shard in dict.fromkeys(keys.pk(pk)[0] for pk in PKS)]


class Work:
    """Threads that count, set, decide, look and spy until they are told to end; they wait where a slot moves, and count that."""

    def __init__(self, settings: Settings, account: str):
        self.settings, self.account = settings, account
        self.applied: list[Message] = []
        self.done = 0  # messages whose apply has returned
        self.amount = 0  # what was set last
        self.waits: Counter[str] = Counter()
        self.errors: list[BaseException] = []
        self._stop = threading.Event()
        self.decided: dict[str, str] = {}
        works = (self._count, self._set, self._decide, self._look, self._spy)
        self._threads = [threading.Thread(target=self._run, args=(work,), daemon=True) for work in works]

    def __enter__(self) -> "Work":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)
        assert not self.errors, self.errors

    def waited(self, work: str) -> None:
        """Waits until that work had to wait once more."""
        before = self.waits[work]
        wait_until(lambda: self.waits[work] > before or self.errors, what=f"{work} to meet the moving slot")

    def counted(self) -> None:
        """Waits until two more messages are counted, of which one was begun meanwhile."""
        before = self.done
        wait_until(lambda: self.done > before + 1 or self.errors, what="hits to be counted")

    def _run(self, work: Callable[[RedisStore, int], None]) -> None:
        store, turn = open_store(self.settings), 0
        while not self._stop.is_set():
            try:
                work(store, turn)
                turn += 1
            except SlotMoving:
                self.waits[work.__name__] += 1
                time.sleep(0.01)
            except BaseException as error:  # for the thread that waits
                self.errors.append(error)
                return

    def _count(self, store: RedisStore, turn: int) -> None:
        """Hits of many pks, so of all shards, in all forms; ids come twice, and some messages too."""
        if len(self.applied) <= turn:
            hits = [
                {
                    "pk": ["t", str(i % 8)],
                    "dimensions": {"n": {str(i % 8): str(i % 150)}},
                    "metrics": {"revenue": 2, "top": {"max": i + turn}, "low": {"min": i - turn}, **UNIQUE},
                    "visitor": f"v{i % 50}",
                    **({"id": f"{turn // 2}-{i}"} if i % 3 == 0 else {}),
                }
                for i in range(300)
            ]
            self.applied.append(message(hits, self.settings, self.account, turn, 300 * (turn + 1)))
        if not hasattr(self, "applier"):
            self.applier = Applier(store, self.settings)
        self.applier.apply(self.applied[-2:], NOW)
        self.done = turn + 1

    def _set(self, store: RedisStore, turn: int) -> None:
        change_ = Change(f"s{turn}", ("s", "below"), ("a",), MINUTE, MINUTES[0], MINUTES[0] + MINUTE, {"m": turn + 1})
        store.set(self.account, change_, NOW)
        self.amount = turn + 1
        time.sleep(0.005)

    def _decide(self, store: RedisStore, turn: int) -> None:
        visitor = f"v{turn % 40}"
        kept = store.keep_decision(self.account, ("t", "1"), visitor, b"{}", NOW, f"n{turn}", 1000.0)
        assert self.decided.setdefault(visitor, kept.id) == kept.id
        found = store.decision_of(self.account, ("t", "1"), visitor, NOW)
        assert found
        assert found.id == kept.id

    def _look(self, store: RedisStore, turn: int) -> None:
        """What was counted before a question began is in its answer."""
        least, amount = self.done, self.amount
        pk = ("t", str(turn % 8))
        one = int(store.read(self.account, pk, [()], ["hits"], DAY, [DAY_START])[0, 0, 0])
        paths, below = store.read_below(self.account, pk, (), 3, ["hits"], MINUTE, [[MINUTES[0]]], 10_000)
        assert one >= hits_of(pk, least)
        leaves = sum(int(below[row, 0, 0]) for row, path in enumerate(paths) if len(path) == 3)
        assert leaves >= hits_of(pk, least)
        found = store.read(self.account, ("s", "below"), [("a",)], ["m"], MINUTE, [MINUTES[0]])
        assert int(found[0, 0, 0]) >= amount

    def _spy(self, store: RedisStore, turn: int) -> None:
        store.spy_add(self.account, Traces(["{}"], [], {f"v{turn % 5}": ["{}"]}), NOW)
        assert store.spied(self.account)
        time.sleep(0.005)


def hits_of(pk: Any, messages: int) -> int:
    """Hits of ("t", "3") in so many messages: of each pair that shares its ids, these count once."""
    mine = [i for i in range(300) if i % 8 == int(pk[1])]
    ids = sum(i % 3 == 0 for i in mine)
    return messages * (len(mine) - ids) + (messages + 1) // 2 * ids


def check_all(work: Work) -> None:
    """Every cell, value and distinct count is what the reference in memory makes of the same."""
    store, reference = open_store(work.settings), MemoryStore(work.settings)
    for each_store in (store, reference):  # the last one may have been begun and not ended
        Applier(each_store, work.settings).apply(work.applied, NOW)
    change_ = Change("end", ("s", "below"), ("a",), MINUTE, MINUTES[0], MINUTES[0] + MINUTE, {"m": 5})
    for each_store in (store, reference):
        each_store.set(work.account, change_, NOW)
    found = everything(store, work.account, work.settings, NOW - MINUTE)
    assert found == everything(reference, work.account, work.settings, NOW - MINUTE)
    assert store.faults(work.account) == {}
    assert [(row.messages, row.hits) for row in store.audit(work.account)] == [
        (len(work.applied), 300 * len(work.applied))
    ]
    for pk in PKS:
        for metric in ("top", "low"):
            asked = work.account, pk, [(), ("n",)], metric, DAY, [DAY_START]
            assert store.read_values(*asked) == reference.read_values(*asked)
        of_visitors = store.read_distinct(work.account, pk, [()], "visitors", DAY, [[DAY_START]])
        assert of_visitors == reference.read_distinct(work.account, pk, [()], "visitors", DAY, [[DAY_START]])


def reshard(cluster: RedisCluster, work: Work, slots: list[int], portions: int) -> None:
    """Moves each slot to a node that joined later, and back; in portions, while all goes on."""
    new = cluster.nodes[-1]
    for slot in [*slots, *slots]:
        source = cluster.owner(slot)
        move = SlotMove(cluster, slot, new if source is not new else cluster.nodes[0])
        try:
            work.waited("_count")
            size = max(1, len(move.left()) // portions)
            while move.some(size):
                work.waited("_look")
        finally:
            move.end()
        work.counted()


def test_resharding_under_load_loses_nothing_and_counts_nothing_twice(cluster: RedisCluster, unique: str) -> None:
    settings = settings_of(cluster, SHARDS)
    with Work(settings, unique) as work:
        work.counted()
        if len(cluster.nodes) == 3:
            cluster.add()
        reshard(cluster, work, slots_of(unique)[:1], portions=2)
    check_all(work)


@pytest.mark.long(part="kills")
def test_resharding_all_slots_for_long_loses_nothing_and_counts_nothing_twice(
    cluster: RedisCluster, unique: str
) -> None:
    settings = settings_of(cluster, SHARDS)
    with Work(settings, unique) as work:
        work.counted()
        if len(cluster.nodes) == 3:
            cluster.add()
        for portions in (1, 3, 10, 30):
            reshard(cluster, work, slots_of(unique), portions)
    check_all(work)

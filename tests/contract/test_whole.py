"""Busy buckets that are written whole hold the same as those to which amounts are added: on each Redis, whoever writes between."""

import itertools
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.hit import MILLION
from hail.settings import DAY, Settings
from tests.contract.conftest import IN_REDIS, settings_of
from tests.contract.hits import NOW, everything, in_columns, message, publisher_of, sums
from tests.contract.test_laws import expected_of
from tests.laws import law
from whale.count.apply import Applier
from whale.errors import Unavailable
from whale.period import bucket_start
from whale.store import connect
from whale.store.contract.changes import Change
from whale.store.contract.names import OTHER
from whale.store.memory import MemoryStore
from whale.store.redis import RedisStore
from whale.store.redis.keys import Keys, bucket, column, place
from whale.store.redis.mirror import Bucket, Form, PkMemory

TURNS = itertools.count()
PATHS, TODAY = 300, bucket_start(DAY, NOW, "UTC")
BLOCK, OFFSET = place(DAY, TODAY, "UTC")
ONE_STRING, ROOM = 0.01, 8.0

Hits = list[dict[str, Any]]


@pytest.fixture(params=IN_REDIS)
def settings(request: pytest.FixtureRequest) -> Settings:
    """One interval, so that few hits make a bucket dense."""
    return settings_of(request.param, request).replace(mirror_mb=ROOM, periods=((DAY, None),), spy=False)


class Worker:
    """A process that counts for an account. said: what its calls were answered first, by their first words.

    to_lose: so many of the next answers never come.
    """

    def __init__(self, settings: Settings, account: str):
        store = connect(settings)
        assert isinstance(store, RedisStore)
        self.store, self.settings, self.account = store, settings, account
        self.applier, self.said, self.to_lose = Applier(store, settings), list[bytes](), 0
        self.applier._most_resident = sys.maxsize  # the process of tests is large, and would have it forget
        send = store.writer._send

        def heard(calls: Any) -> Any:
            sent = send(calls)
            answers = sent.answers

            def noted() -> Any:
                found = answers()
                self.said += [answer[0] for answer in found]
                if self.to_lose:
                    self.to_lose -= 1
                    raise Unavailable("an answer was lost")
                return found

            vars(sent)["answers"] = noted
            return sent

        vars(store.writer)["_send"] = heard

    def count(self, hits: Hits, seq: int, times: int = 1) -> None:
        made = in_columns([message(hits, self.settings, self.account, seq, 0, publisher_of(self.account))])
        while times:
            try:
                self.applier.apply(made, NOW)
                times -= 1
            except Unavailable:  # as a worker does
                assert self.to_lose == 0

    def dies(self, hits: Hits, seq: int) -> None:
        """When it has sent them."""
        made = in_columns([message(hits, self.settings, self.account, seq, 0, publisher_of(self.account))])
        for _ in self.applier.send(made, NOW):
            return

    def memory(self, pk: str) -> PkMemory:
        whole = self.store.writer._whole
        assert whole
        id_ = Keys(self.account, int(self.settings.shards)).pk((pk,))[1]
        return next(found for name, found in reversed(whole.mirror._pks.items()) if name.startswith(id_))

    def dense(self, pk: str) -> list[Bucket]:
        """The buckets that it remembers."""
        return [each for each in self.memory(pk).buckets.values() if each.form == Form.DENSE]

    def block(self, pk: str, page: int = 0) -> str:
        keys = Keys(self.account, int(self.settings.shards))
        shard, pk_id = keys.pk((pk,))
        return keys.block(shard, pk_id, DAY, BLOCK, page)


def busy(pk: str = "t", first: int = 0, count: int = PATHS, **metrics: float) -> Hits:
    return [{"pk": pk, "dimensions": {"c": f"n{i}"}, "metrics": metrics} for i in range(first, first + count)]


def cells(worker: Worker) -> dict[Any, int]:
    """As another process reads them."""
    return everything(connect(worker.settings), worker.account, worker.settings, NOW - DAY)


def by_amounts(settings: Settings, account: str, given_hits: list[Hits]) -> dict[Any, int]:
    """What messages come to in another account, of which nothing is written whole."""
    worker = Worker(settings.replace(mirror_mb=0.0), f"{account}-amounts")
    for seq, hits in enumerate(given_hits):
        worker.count(hits, seq)
    return cells(worker)


def test_it_writes_whole_what_it_remembers(settings: Settings, unique: str) -> None:
    worker, given_hits = Worker(settings, unique), [busy(m=i) for i in range(1, 5)]
    for seq, hits in enumerate(given_hits):
        worker.count(hits, seq)
    (bucket,) = worker.dense("t")
    assert sorted(bucket.lengths) == [0, 1]
    assert set(worker.said) == {b"ok"}
    assert cells(worker) == by_amounts(settings, unique, given_hits)
    assert sums(worker.store, unique, ("t",), [(), ("c",), ("c", "n7")], "m") == [
        3000 * MILLION,
        3000 * MILLION,
        10 * MILLION,
    ]
    assert worker.store.faults(unique) == {}


def strings(worker: Worker) -> dict[str, Any]:
    """All that there is of the pk's blocks, by the end of the key."""
    block, client = worker.block("t"), worker.store.client
    found = sorted(key.decode() for key in client.scan_iter(f"{block}*"))
    return {key.removeprefix(block): client.get(key) for key in found if client.type(key) == b"string"}


def test_strings_have_the_same_bytes_as_where_amounts_are_added(settings: Settings, unique: str) -> None:
    made = []
    for is_whole in (True, False):
        worker = Worker(settings.replace(mirror_mb=ROOM * is_whole), f"{unique}-{int(is_whole)}")
        for seq, hits in enumerate([busy(), busy(m=1), busy("t", 50, 200, n=2), busy("t", 7, 1, m=3)]):
            worker.count(hits, seq)
        made.append(strings(worker))
    assert made[0] == made[1]
    assert len(made[0]) == 4  # the bitmap and three metrics


def test_each_message_comes_twice_and_by_two_workers_in_turn(settings: Settings, unique: str) -> None:
    workers, given_hits = [Worker(settings, unique) for _ in range(2)], [busy(m=i) for i in range(8)]
    for seq, hits in enumerate(given_hits):
        for worker in workers if seq % 2 else workers[::-1]:
            worker.count(hits, seq)
    assert cells(workers[0]) == by_amounts(settings, unique, given_hits)
    assert [row.hits for row in workers[0].store.audit(unique)] == [8 * PATHS]


def test_an_answer_that_is_lost_is_asked_for_again_and_nothing_counts_twice(settings: Settings, unique: str) -> None:
    worker, given_hits = Worker(settings, unique), [busy(m=i) for i in range(8)]
    for seq, hits in enumerate(given_hits):
        worker.to_lose = seq % 3 == 2
        worker.count(hits, seq)
    assert worker.dense("t")
    assert cells(worker) == by_amounts(settings, unique, given_hits)


def test_a_metric_that_is_folded_is_loaded_with_its_bucket(settings: Settings, unique: str) -> None:
    few = settings.replace(max_metrics=2)
    workers, given_hits = [Worker(few, unique) for _ in range(2)], [busy(m=1, n=i, o=2) for i in range(1, 6)]
    for seq, hits in enumerate(given_hits):
        workers[seq == 2].count(hits, seq)
    (bucket,) = workers[0].dense("t")
    assert sorted(bucket.lengths) == [0, 1, 63]
    assert cells(workers[0]) == by_amounts(few, unique, given_hits)
    assert sums(workers[0].store, unique, ("t",), [("c", "n7")], OTHER) == [25 * MILLION]


def test_each_string_expires_with_its_bucket(settings: Settings, unique: str) -> None:
    left = []
    for is_whole in (True, False):
        kept = settings.replace(mirror_mb=ROOM * is_whole, periods=((60, DAY),))
        worker = Worker(kept, f"{unique}-{int(is_whole)}")
        for seq, hits in enumerate([busy(m=1, n=1), busy(m=1, n=1), busy(m=1, o=1)]):
            worker.count(hits, seq)
        names = worker.store.client.scan_iter(f"{worker.account}:*:r:*")
        left.append(sorted((key.decode().split(":")[-3:], worker.store.client.ttl(key)) for key in names))
    assert [key for key, _ in left[0]] == [key for key, _ in left[1]]
    assert len(left[0]) == 5  # the bitmap and four metrics
    assert all(abs(one[1] - other[1]) < 30 for one, other in zip(*left, strict=True))
    assert min(seconds for _, seconds in left[0]) > DAY


def test_a_worker_that_forgets_while_a_call_is_on_its_way_sends_it_again(settings: Settings, unique: str) -> None:
    worker, given_hits = Worker(settings, unique), [busy(m=i) for i in range(5)]
    for seq in range(3):
        worker.count(given_hits[seq], seq)
    Worker(settings, unique).count(given_hits[3], 3)
    made = in_columns([message(given_hits[4], settings, unique, 4, 0, publisher_of(unique))])
    for going in worker.applier.send(made, NOW):
        worker.applier._forget()
        worker.applier.settle(going)
    assert b"moved" in worker.said
    assert cells(worker) == by_amounts(settings, unique, given_hits)


def test_those_that_moved_are_forgotten_alone_and_the_call_goes_by_amounts(settings: Settings, unique: str) -> None:
    one = settings.replace(shards=1) if "cluster" not in settings.redis_url else settings
    worker, other = Worker(one, unique), Worker(one, unique)
    for seq in range(3):
        worker.count([*busy("t", m=1), *busy("u", m=1)], seq)
    assert [len(worker.dense(pk)) for pk in "tu"] == [1, 1]
    other.count(busy("t", 0, 1), 3)
    worker.said.clear()
    worker.count([*busy("t", m=1), *busy("u", m=1)], 4)
    assert worker.said.count(b"moved") == 1
    assert [len(worker.dense(pk)) for pk in "tu"] == [0, 1]
    for seq in range(5, 8):  # it is loaded again
        worker.count([*busy("t", m=1), *busy("u", m=1)], seq)
    assert worker.said.count(b"moved") == 1
    assert [len(worker.dense(pk)) for pk in "tu"] == [1, 1]
    assert sums(worker.store, unique, ("t",), [()]) == [7 * PATHS + 1]
    assert sums(worker.store, unique, ("u",), [()]) == [7 * PATHS]


def test_workers_on_one_pk_soon_write_by_amounts_alone(settings: Settings, unique: str) -> None:
    """No two of them hinder each other for ever."""
    workers, turns = [Worker(settings, unique) for _ in range(2)], 40
    for seq in range(2 * turns):
        workers[seq % 2].count(busy(m=1), seq)
    for worker in workers:
        assert worker.said.count(b"moved") <= 6
    assert sums(workers[0].store, unique, ("t",), [()]) == [2 * turns * PATHS]


def other_writes(worker: Worker) -> None:
    Worker(worker.settings.replace(mirror_mb=0.0), worker.account).count(busy("t", 5, 1), 90)


def sets(worker: Worker) -> None:
    change = Change("one", ("t",), ("c", "n7"), DAY, TODAY, TODAY + DAY, {"m": 5 * MILLION})
    connect(worker.settings).set(worker.account, change, NOW)


def resets(worker: Worker) -> None:
    connect(worker.settings).reset(worker.account, ("t",), None, NOW - 1)


def resets_a_path(worker: Worker) -> None:
    """And all that it left is freed."""
    store = connect(worker.settings)
    store.reset(worker.account, ("t",), ("c", "n7"), NOW - 1)
    while store.sweep(worker.account, NOW):
        pass


@pytest.mark.parametrize("change", [other_writes, sets, resets, resets_a_path])
@pytest.mark.parametrize("when", ["between calls", "between load and write"])
def test_what_others_do_is_neither_lost_nor_undone(
    settings: Settings, unique: str, change: Callable[[Worker], None], when: str
) -> None:
    found = []
    for is_whole in (True, False):
        worker = Worker(settings.replace(mirror_mb=ROOM * is_whole), f"{unique}-{int(is_whole)}")
        worker.count(busy(m=1), 0)
        worker.count(busy(m=1), 1)
        if when == "between calls":
            worker.count(busy(m=1), 2)
            change(worker)
        else:
            send, left = worker.store.writer._send, [change]

            def changed(calls: Any, send: Any = send, left: Any = left, worker: Worker = worker) -> Any:
                if left:
                    left.pop()(worker)
                return send(calls)

            vars(worker.store.writer)["_send"] = changed
            worker.count(busy(m=1), 2)
        for seq in range(3, 6):
            worker.count(busy(m=1), seq)
        found.append(cells(worker))
        assert not is_whole or worker.dense("t")
    assert found[0] == found[1]
    assert found[0][("t",), ("c", "n8"), DAY, TODAY, "m"] > 0


@pytest.mark.parametrize("metric", [0, 1])
def test_a_string_that_was_evicted_never_comes_back_in_part(settings: Settings, unique: str, metric: int) -> None:
    worker = Worker(settings, unique)
    for seq in range(3):
        worker.count(busy(m=1), seq)
    worker.store.client.delete(column(worker.block("t"), OFFSET, metric))
    for seq in range(3, 6):
        worker.count(busy("t", 10, 200, m=1), seq)
    expected = {0: {"hits": 600, "m": 1500}, 1: {"hits": 1500, "m": 600}}[metric]
    assert sums(worker.store, unique, ("t",), [()], "hits") == [expected["hits"]]
    assert sums(worker.store, unique, ("t",), [()], "m") == [expected["m"] * MILLION]


def test_a_string_that_was_cut_is_seen(settings: Settings, unique: str) -> None:
    worker = Worker(settings, unique)
    for seq in range(3):
        worker.count(busy(m=1), seq)
    key = column(worker.block("t"), OFFSET, 0)
    worker.store.client.set(key, worker.store.client.get(key)[:80])
    worker.count(busy(m=1), 3)
    assert worker.said.count(b"moved") == 1
    assert len(worker.store.client.get(key)) > 8 * PATHS
    assert sums(worker.store, unique, ("t",), [()]) == [4 * PATHS]
    assert sums(worker.store, unique, ("t",), [("c", "n250")]) == [1]


@pytest.mark.parametrize("at", ["block", "bucket", "hits", "m", "another metric"])
@pytest.mark.parametrize("since", ["before all", "while it is remembered"])
def test_a_key_of_another_type_loses_its_own_cells_alone(settings: Settings, unique: str, at: str, since: str) -> None:
    found = []
    for is_whole in (True, False):
        worker = Worker(settings.replace(mirror_mb=ROOM * is_whole), f"{unique}-{int(is_whole)}")
        block = worker.block("t")
        key = {"block": block, "bucket": bucket(block, OFFSET), "another metric": column(block, OFFSET, 2)}
        key |= {"hits": column(block, OFFSET, 0), "m": column(block, OFFSET, 1)}
        for seq in range(6):
            if seq == (0 if since == "before all" else 3):
                worker.store.client.delete(key[at])
                worker.store.client.rpush(key[at], "somebody's")
            worker.count(busy(m=1), seq)
        faults = worker.store.faults(worker.account)
        assert worker.store.client.lrange(key[at], 0, -1) == [b"somebody's"]
        found.append((strings(worker), faults, [row.hits for row in worker.store.audit(worker.account)]))
    assert found[0] == found[1]
    assert found[0][2] == [6 * PATHS]
    is_used = at in ("block", "hits", "m") or (at, since) == ("bucket", "before all")
    assert (found[0][1].get("wrong_type", 0) > 0) == is_used


def test_a_sum_that_leaves_64_bits_loses_its_own_cell_alone(settings: Settings, unique: str) -> None:
    large = [{"pk": "t", "dimensions": {"c": f"n{i % 400}"}, "metrics": {"m": 9e9}} for i in range(400)]
    given_hits = [busy(m=1), busy(m=1), *([large] * 4), busy(m=1)]
    worker, other = Worker(settings, unique), Worker(settings.replace(mirror_mb=0.0), f"{unique}-amounts")
    for each in (worker, other):
        for seq, hits in enumerate(given_hits):
            each.count(hits, seq)
    assert cells(worker) == cells(other)
    assert worker.store.faults(unique) == other.store.faults(other.account) != {}


def test_slots_that_lie_far_apart_are_added_and_remembered_all_the_same(settings: Settings, unique: str) -> None:
    worker, given_hits = Worker(settings, unique), [busy("t", 0, 900) for _ in range(3)]
    far = [busy("t", first, 1)[0] for first in (3, 890)]
    given_hits += [far, far, busy("t", 0, 900), [*far, *far]]
    for seq, hits in enumerate(given_hits):
        worker.count(hits, seq)
    assert worker.dense("t")
    assert set(worker.said) == {b"ok"}
    assert cells(worker) == by_amounts(settings, unique, given_hits)


def test_an_older_copy_put_back_under_a_worker_is_seen(settings: Settings, unique: str) -> None:
    worker, given_hits = Worker(settings, unique), [busy(m=i) for i in range(8)]
    for seq in range(4):
        worker.count(given_hits[seq], seq)
    client = worker.store.client
    older = {key: client.dump(key) for key in client.scan_iter(f"*{unique}:*")}
    seen = [key for key in client.scan_iter("*:seen:*") if publisher_of(unique).encode() in key]
    older |= {key: client.dump(key) for key in seen}
    for seq in range(4, 6):
        worker.count(given_hits[seq], seq)
    for key in [*client.scan_iter(f"*{unique}:*"), *seen]:
        client.delete(key)
    for key, raw in older.items():
        client.restore(key, 0, raw)
    for seq in range(4, 8):
        worker.count(given_hits[seq], seq)
    assert cells(worker) == by_amounts(settings, unique, given_hits)


class _Both:
    """The same happens to workers and in memory."""

    def __init__(self, workers: list[Worker], reference: MemoryStore, rng: Any):
        self.workers, self.reference, self.rng = workers, reference, rng
        self.settings, self.account = workers[0].settings, workers[0].account
        self.by_memory, self.has_changed = Applier(reference, self.settings), False

    def count(self, hits: Hits, seq: int) -> None:
        made = message(hits, self.settings, self.account, seq, 0, publisher_of(self.account))
        self.by_memory.apply(in_columns([made]), NOW)
        if self.rng.random() < 0.15:
            dying = self.rng.randrange(2)
            self.workers[dying].dies(hits, seq)
            self.workers[dying] = Worker(self.workers[dying].settings, self.account)
        for _ in range(self.rng.randrange(1, 3)):
            worker = self.rng.choice(self.workers)
            worker.to_lose = self.rng.random() < 0.15
            worker.count(hits, seq)

    def set(self, seq: int) -> None:
        change = Change(f"{seq}", ("t",), (), DAY, TODAY, TODAY + DAY, {"hits": self.rng.randrange(99)})
        for store in (self.reference, self.rng.choice(self.workers).store):
            store.set(self.account, change, NOW)
        self.has_changed = True

    def reset(self) -> None:
        pk, path = self.rng.choice([(("t", "u"), None), (("t",), None), (("t",), ("d",))])
        for store in (self.reference, self.rng.choice(self.workers).store):
            store.reset(self.account, pk, path, NOW - 1)  # of nothing that is still to come
        self.has_changed = True

    def sweep(self) -> None:
        while self.workers[0].store.sweep(self.account, NOW):
            pass


@law(4, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rng=st.randoms(use_true_random=False))
@pytest.mark.parametrize("is_folded", [True, False], ids=["folded", "not folded"])
def test_any_turns_of_two_workers_that_remember_little(
    settings: Settings, unique: str, rng: Any, is_folded: bool
) -> None:
    """Equal to memory, and to the definition: names are folded, other changes come between, messages come twice."""
    account = f"{unique}-{next(TURNS)}"
    if is_folded:
        settings = settings.replace(max_metrics=2, max_children=3)
    workers = [Worker(settings.replace(mirror_mb=rng.choice([ONE_STRING, 0.02, ROOM])), account) for _ in range(2)]
    both, all_hits = _Both(workers, MemoryStore(settings), rng), list[dict[str, Any]]()
    for seq in range(rng.randrange(4, 9)):
        metrics = {name: rng.randrange(-3, 9) for name in rng.sample(["m", "n", "o"], rng.randrange(4))}
        hits = [
            {
                "pk": ["t", "u"][: rng.randrange(1, 3)],
                "dimensions": {"d": _nested(rng.choices("abcdef", k=4))},
                "metrics": metrics,
            }
            for _ in range(rng.choice([3, 300, 600]))
        ]
        all_hits += hits
        both.count(hits, seq)
        if rng.random() < 0.2:
            rng.choice(workers).applier._forget()
        if rng.random() < 0.25:
            both.set(seq)
        if rng.random() < 0.2:
            both.reset()
        if rng.random() < 0.3:
            both.sweep()
    found = cells(workers[0])
    assert found == everything(both.reference, account, settings, NOW - DAY)
    if not both.has_changed and not is_folded:
        assert found == expected_of(all_hits, settings)
    assert workers[0].store.faults(account) == {}


def _nested(names: list[str]) -> Any:
    return {names[0]: _nested(names[1:])} if len(names) > 1 else names[0]

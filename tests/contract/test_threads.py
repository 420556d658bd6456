"""Many threads at one store: the spy's timer and the trials of decisions call it beside a worker and beside Whale."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hail.settings import Settings
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, PUBLISHER, message, sums
from whale.count.apply import Applier
from whale.spy import Traces
from whale.store.base import Store

THREADS, TURNS = 4, 25


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads that give way after each instruction or two, so that what is not held together comes apart."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_threads_count_tell_and_read_at_once(settings: Settings, store: Store, unique: str) -> None:
    def work(number: int) -> None:
        mine = store if number == 0 or not settings.redis_url else open_store(settings)  # one writer each, of Redis
        applier = Applier(mine, settings)
        for turn in range(TURNS):
            hit = {"pk": "t", "dimensions": {"of": f"{number}-{turn}"}, "id": str(turn), "visitor": f"{number}-{turn}"}
            applier.apply([message([hit], settings, unique, turn, turn + 1, f"{PUBLISHER[:-1]}{number}")], NOW)
            store.spy_add(unique, Traces([], ["x"], {f"{number}+{turn}": ["x"]}), NOW)
            store.keep_decision(unique, ("t",), f"{number}-{turn}", b"{}", NOW, f"{number}-{turn}", 60)
            store.spied(unique)
            store.children(unique, ("t",), ())
            store.audit(unique)
        applier.witness.tell()

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(work, range(THREADS)))
    assert sums(store, unique, ("t",), [()]) == [TURNS]  # of each id, one of four
    audit = store.audit(unique)
    assert sum(each.hits for each in audit) == THREADS * TURNS
    assert sum(each.dropped["duplicate"] for each in audit if each.dropped) == (THREADS - 1) * TURNS

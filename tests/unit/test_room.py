"""The book of what a process holds, looked at while other threads write into it."""

import gc
import json
import resource
import secrets
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from string import ascii_lowercase

import msgspec
import numpy as np
import pytest

from hail.accept import Acceptor
from hail.access import ALL_RIGHTS, Caller
from hail.formats.address import Address
from hail.message import ACCOUNT
from hail.room import (
    GARBAGE_S,
    NEW_OBJECTS,
    Bounded,
    few_collections,
    give_back,
    held,
    keep_freed,
    look_for_garbage,
    rest,
)
from hail.settings import MESSAGE_VERSIONS, load
from tests.taken import Taken


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns after every few steps."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_what_is_held_is_told_while_other_threads_begin_to_hold_something() -> None:
    kept = []

    def begin() -> None:
        for i in range(3000):
            kept.append(Bounded[str, str](f"new {i % 7}", 1000, lambda *_: 1))

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        held()
        rest()
    for thread in threads:
        thread.join()
    assert sum(most for name, (_, most) in held().items() if name.startswith("new ")) == 6_000_000


def asked_names() -> list[str]:
    """Names that a type was asked for: each is a text of its own, as of a library in C."""
    names = ["".join(("bit_", "length")) for _ in range(100)]
    assert all(getattr(int, name) for name in names)
    return names


def read_keys() -> list[str]:
    """Keys that came in JSON, each time others."""
    return list(msgspec.json.decode(msgspec.json.encode({secrets.token_hex(8): 1 for _ in range(100)})))


@pytest.mark.parametrize("found", [asked_names, read_keys])
def test_what_python_and_msgspec_keep_for_later_is_given_back(found: Callable[[], list[str]]) -> None:
    """Each of them would keep a megabyte of Python's memory."""
    names = found()

    def kept() -> int:
        return sum(sys.getrefcount(name) > 3 for name in names)  # the list, the loop and the question

    before = kept()
    give_back()
    assert before > 50
    assert kept() < 10


class Circle:
    def __init__(self) -> None:
        self.itself = self


def test_garbage_is_looked_for_once_in_a_while_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1e9  # ahead of the clock of all threads that other tests left
    monkeypatch.setattr("hail.room._garbage_at", now)
    left = []
    gc.disable()
    try:
        for at in (now - 1, now, now - 1 + GARBAGE_S, now + GARBAGE_S):
            circle = weakref.ref(Circle())
            look_for_garbage(at)
            left.append(circle() is not None)
    finally:
        gc.enable()
    assert left == [True, False, True, False]


def test_what_refers_to_itself_goes_when_so_many_new_objects_are_there() -> None:
    before = gc.get_threshold()
    few_collections()
    try:
        gc.collect()
        circle = weakref.ref(Circle())
        some = [[number] for number in range(NEW_OBJECTS // 2)]
        is_there = circle() is not None
        some += [[number] for number in range(NEW_OBJECTS)]
        assert (is_there, circle()) == (True, None)
    finally:
        gc.set_threshold(*before)
    assert len(some) == NEW_OBJECTS // 2 + NEW_OBJECTS


HITS = {
    "plain": "pk=shop&dimensions=page%d",
    "many dimensions": f"pk=%d&dimensions={json.dumps(dict.fromkeys(ascii_lowercase, 1))}",
    "many metrics": f"pk=%d&metrics={json.dumps(dict.fromkeys(ascii_lowercase[:15], 1))}",
}


def remembered(query: str, version: int, folder: str) -> tuple[int, int]:
    """What 300 more take, and what is said of them; the least of three times."""
    settings = load(
        {
            "HAILWHALE_MESSAGE_VERSION": str(version),
            "HAILWHALE_DATA_DIR": folder,
            "HAILWHALE_KNOWN_HITS_MB": "8",
        }
    )
    taken = Taken(settings)
    address = Address(Acceptor(settings, taken, lambda: 1_790_000_000.0))
    room, caller = address._known._room, Caller(ACCOUNT, ALL_RIGHTS)

    def count(first: int, hits: int) -> None:
        for number in range(first, first + hits):
            address.count(caller, {"QUERY_STRING": (query % number).replace(" ", "")})

    def measured(first: int) -> tuple[int, int]:
        taken.hits.clear()
        gc.collect()
        before = room.held
        tracemalloc.start()
        count(first, 300)
        taken.hits.clear()
        gc.collect()
        took, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return took, room.held - before

    count(0, 100)
    return min(measured(first) for first in (1000, 2000, 3000))


@pytest.mark.parametrize("version", MESSAGE_VERSIONS)
@pytest.mark.parametrize("query", HITS.values(), ids=HITS.keys())
def test_hits_that_are_remembered_say_at_least_the_memory_that_they_take(
    query: str, version: int, tmp_path: Path
) -> None:
    """In a process of its own, where no threads of other tests take memory at that moment."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        took, said = pool.submit(remembered, query, version, str(tmp_path)).result()
    assert took < said < 4 * took


def pages_for_arrays(keeps: bool) -> int:
    """That the system gives a thread which makes arrays of 24 MB in all, and frees them, again and again."""
    if keeps:
        keep_freed()
    found = list[int]()

    def make() -> None:
        for _ in range(10):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            arrays = [np.ones(125_000 * size) for size in (2, 5, 7, 10)]
            arrays.clear()
            found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return sum(found[2:])


def test_large_arrays_that_are_freed_serve_the_next_ones() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        usual = pool.submit(pages_for_arrays, False).result()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        kept = pool.submit(pages_for_arrays, True).result()
    assert kept < usual / 4

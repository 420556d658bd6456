"""One large piece of work at a time: a few wait, and who comes then is told."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from tests.servers import wait_until
from whale.errors import Busy
from whale.turns import Turns


def test_one_has_its_turn_two_wait_and_the_next_is_told() -> None:
    turns, go, working = Turns(2, "come again"), Event(), list[int]()

    def work() -> int:
        with turns.turn():
            working.append(1)
            assert len(working) == 1
            go.wait(20)
            working.pop()
        return 1

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(work) for _ in range(3)]
        wait_until(lambda: len(working) == 1 and turns._room_left._value == 0)
        with pytest.raises(Busy, match="come again"), turns.turn():
            pass
        go.set()
        assert [each.result() for each in asked] == [1, 1, 1]
    with turns.turn():
        pass


def test_who_has_its_turn_may_take_another_within_it() -> None:
    turns = Turns(0, "come again")
    with turns.turn():
        with turns.turn():
            pass
        with ThreadPoolExecutor(1) as pool, pytest.raises(Busy):
            pool.submit(turns.turn().__enter__).result()


def test_a_turn_ends_however_the_work_ends() -> None:
    turns, ready = Turns(0, "come again"), Barrier(2)
    for _ in range(3):
        with pytest.raises(KeyError), turns.turn():
            raise KeyError

    def work() -> None:
        with turns.turn():
            ready.wait(20)

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(work)
        ready.wait(20)
        asked.result()

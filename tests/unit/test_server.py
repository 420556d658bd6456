"""How many connections are taken in at a turn of the loop; and the threads that Whale answers in, while greenlets wait."""

import threading
import time
import weakref

import gevent
import pytest

from hail.server import ACCEPTED_A_SECOND, ACCEPTED_A_TURN, Threads, accepted_after


def test_each_call_gets_its_own_result() -> None:
    threads = Threads(4)
    calls = [gevent.spawn(threads.call, pow, 2, number) for number in range(200)]
    gevent.joinall(calls, timeout=30, raise_error=True)
    assert [call.value for call in calls] == [2**number for number in range(200)]


def test_an_error_is_raised_where_it_was_called() -> None:
    threads = Threads(1)
    with pytest.raises(ZeroDivisionError):
        threads.call(divmod, 1, 0)
    assert threads.call(divmod, 7, 2) == (3, 1)


def test_as_many_run_at_once_as_there_are_threads_and_greenlets_run_meanwhile() -> None:
    threads, together = Threads(3), threading.Barrier(4)
    calls = [gevent.spawn(threads.call, together.wait, 30) for _ in range(3)]
    gevent.sleep(0)  # all three have called
    while together.n_waiting < 3:
        gevent.sleep(0.001)
    together.wait(30)
    gevent.joinall(calls, timeout=30, raise_error=True)
    assert len({call.value for call in calls}) == 3


def test_a_greenlet_that_ended_meanwhile_hinders_no_other() -> None:
    threads, go = Threads(1), threading.Event()
    ended = gevent.spawn(threads.call, go.wait, 30)
    gevent.sleep(0)
    ended.kill()
    go.set()
    assert threads.call(divmod, 7, 2) == (3, 1)


def test_an_idle_thread_holds_nothing_of_its_last_call() -> None:
    class Answer:
        pass

    threads = Threads(1)
    answer = threads.call(Answer)
    gone = weakref.ref(answer)
    del answer
    deadline = time.monotonic() + 30
    while gone() is not None:
        assert time.monotonic() < deadline
        gevent.sleep(0.001)


@pytest.mark.parametrize("least", [1, ACCEPTED_A_TURN])
def test_few_connections_are_taken_in_after_a_short_turn_and_more_after_a_long_one(least: int) -> None:
    assert [accepted_after(seconds, least) for seconds in (0, 0.0001, 0.002)] == [least] * 3
    assert accepted_after(0.125, least) == 0.125 * ACCEPTED_A_SECOND
    assert accepted_after(3600, least) == 100

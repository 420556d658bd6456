"""How many connections are taken in at a turn of the loop; the threads that Whale answers in, and how greenlets wait."""

import subprocess
import sys
import threading
import time
import weakref
from typing import Any

import gevent
import gevent.socket
import pytest

from hail.connections import Bounds, Connections, Wait
from hail.server import ACCEPTED_A_SECOND, ACCEPTED_A_TURN, Greenlets, Stream, Threads, accepted_after

pytestmark = pytest.mark.usefixtures("loop_of_now")


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


# greenlets that wait for the publisher


def waiting(greenlets: Greenlets, count: int, timeout: float = 30) -> tuple[list[Any], list[gevent.Greenlet]]:
    """So many greenlets, each of which has begun to wait."""
    each = [greenlets.begin() for _ in range(count)]
    asleep = [gevent.spawn(one.acquire, timeout=timeout) for one in each]
    gevent.sleep(0)
    return each, asleep


def test_all_greenlets_of_a_group_are_woken_and_no_others() -> None:
    greenlets = Greenlets()
    group, woken = waiting(greenlets, 20)
    others, asleep = waiting(greenlets, 2)
    greenlets.end(group)
    gevent.joinall(woken, timeout=30)
    assert [greenlet.value for greenlet in woken] == [True] * 20
    assert not any(greenlet.ready() for greenlet in asleep)
    threading.Thread(target=greenlets.end, args=(others,)).start()  # as a publisher of another thread would
    gevent.joinall(asleep, timeout=30)
    assert [greenlet.value for greenlet in asleep] == [True] * 2


def test_a_greenlet_whose_answer_came_before_it_waits_goes_on_at_once() -> None:
    greenlets = Greenlets()
    early = greenlets.begin()
    greenlets.end([early])
    gevent.sleep(0)
    gevent.sleep(0)
    assert early.acquire(timeout=30)


def test_a_greenlet_that_waits_too_long_gives_up_and_may_ask_again() -> None:
    greenlets, now = Greenlets(), time.monotonic()
    (late, *_), (gives_up, *_) = waiting(greenlets, 3, timeout=5)
    greenlets.end_overdue(now + 4)
    gevent.sleep(0)
    assert not gives_up.ready()
    greenlets.end_overdue(now + 6)
    assert gives_up.get(timeout=30) is False
    assert late.acquire(blocking=False) is False
    greenlets.end([late])  # its answer came in the last moment
    gevent.sleep(0)
    gevent.sleep(0)
    assert late.acquire(blocking=False) is True


def test_a_greenlet_that_was_killed_while_it_waited_hinders_no_other() -> None:
    greenlets = Greenlets()
    group, woken = waiting(greenlets, 3)
    woken[1].kill()
    greenlets.end(group)
    assert (woken[0].get(timeout=30), woken[2].get(timeout=30)) == (True, True)
    greenlets.end_overdue(time.monotonic() + 60)
    gevent.sleep(0)


# what is imported


def test_the_workers_leave_the_folder_of_metrics_to_be_named_by_gunicorn() -> None:
    code = "import sys, hail.server; print([name for name in sys.modules if name.startswith('prometheus')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


# answers and the memory of all connections


def test_an_answer_that_waits_for_room_is_closed_to_make_some() -> None:
    """One that was closed has not ended yet, so a large answer waits; another needs the room meanwhile."""
    book = Connections(Bounds(10, 10, 100_000, dict.fromkeys(Wait, 30.0)), lambda why: None)
    ours, theirs = gevent.socket.socketpair()
    with ours, theirs:
        stream, hit = Stream(ours, None, book), Stream(gevent.socket.socket(), None, book)
        book.work(stream)
        book.work(hit)
        book.going = 50_000
        sending = gevent.spawn(stream._send, b"x" * 90_000)
        gevent.sleep(0)
        assert book.held == 90_000
        book.hold(hit, 20_000)
        assert (book.held, book.overloaded) == (20_000, False)
        with pytest.raises(BrokenPipeError):
            sending.get(timeout=30)

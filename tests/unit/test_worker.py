"""What a worker lets in at once, and what its Celery keeps."""

import threading
from collections.abc import Callable

import pytest
from celery.worker import state

from hail.settings import load
from tests.servers import wait_until
from whale.count.worker import Gate, make_celery


def test_so_many_bytes_are_inside_at_once_and_what_is_larger_goes_alone() -> None:
    gate, inside, most, may_leave = Gate(10), list[int](), list[int](), threading.Event()

    def go(size: int) -> Callable[[], None]:
        def through() -> None:
            with gate.room_for(size):
                inside.append(size)
                most.append(sum(inside))
                may_leave.wait(60)
                inside.remove(size)

        return through

    threads = [threading.Thread(target=go(size)) for size in (4, 5, 6, 20, 3)]
    for count, thread in enumerate(threads[:2], 1):
        thread.start()
        wait_until(lambda count=count: len(inside) == count, what="those that have room")
    for thread in threads[2:]:
        thread.start()
    assert sum(inside) == 9
    may_leave.set()
    for thread in threads:
        thread.join(60)
    assert inside == []
    assert max(size for size in most if size != 20) <= 10
    assert len(most) == 5


def test_celery_keeps_no_more_names_of_finished_messages_than_may_wait_for_their_acknowledgement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state.successful_requests, "maxlen", 1000)  # as Celery has it, and has it again afterwards
    make_celery(load({"HAILWHALE_BROKER_URL": "amqp://127.0.0.1", "HAILWHALE_WORKER_THREADS": "3"}))
    for number in range(100):
        state.successful_requests.add(f"0005fc21365a8623-{number}")
    assert sorted(state.successful_requests) == [f"0005fc21365a8623-{number}" for number in range(94, 100)]
    state.successful_requests.clear()

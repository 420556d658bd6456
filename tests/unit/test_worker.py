"""What a worker lets in at once."""

import threading
from collections.abc import Callable

from tests.servers import wait_until
from whale.count.worker import Gate


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

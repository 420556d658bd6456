"""Runs celery, hailwail or hailwhale with a fault at an exact place: python -m tests.faulty FAULT[:n] PROGRAM [words]

before-apply    kill -9 of itself before the n-th apply of a group of messages
between-shards  kill -9 when the n-th apply that touches several shards has done its first
in-flight       kill -9 when the n-th group of messages was sent, and nobody has read the answers
after-apply     kill -9 after the n-th apply was settled: all is in the store, nobody has been told
before-log      kill -9 before what the n-th group says of visitors is logged; its cells are in the store
among-logs      kill -9 when the n-th group that is logged on several shards has been logged on its first
before-pack     kill -9 before the n-th packing of a log is committed
before-ack      kill -9 before the n-th message is acknowledged; some of its group may have been
before-send     kill -9 before hailwail sends its n-th group to RabbitMQ
before-note     kill -9 before an import writes into its record for the n-th time: it is begun, or all was sent
after-send      kill -9 after RabbitMQ confirmed the n-th group of hailwail: shipped, and still in the spool
twice           no kill: whatever is applied is applied again at once
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import kombu.message

from whale.count.apply import Applier
from whale.count.hailwail import Ship
from whale.store.redis.compaction import Compaction
from whale.store.redis.events import Events
from whale.store.redis.imports import Imports
from whale.store.redis.writer import Writer


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wrap(
    owner: type, name: str, before: Callable[[int], Any] = lambda n: 0, after: Callable[[int], Any] = lambda n: 0
) -> None:
    """Has the method call before(n) and after(n) at its n-th call, from 1."""
    original, calls = getattr(owner, name), 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        mine = calls
        before(mine)
        result = original(*args, **kwargs)
        after(mine)
        return result

    setattr(owner, name, wrapped)


def between_shards(at: int) -> None:
    """Counts applies that have cells on several shards; in the `at`-th, dies when all is done up to the first of these shards."""
    send, applies = Writer._send, 0

    def sent(self: Writer, calls: Any) -> Any:
        nonlocal applies
        with_cells = [i for i, call in enumerate(calls) if call.dictionaries]
        applies += len(with_cells) > 1
        if len(with_cells) > 1 and applies == at:
            send(self, calls[: with_cells[0] + 1]).answers()
            die()
        return send(self, calls)

    Writer._send = sent


def among_logs(at: int) -> None:
    """As between_shards, of what is logged."""
    send, groups = Events._send, 0

    def sent(self: Events, calls: Any, *more: Any) -> Any:
        nonlocal groups
        groups += len(calls) > 1
        if len(calls) > 1 and groups == at:
            send(self, calls[:1], *more)
            die()
        return send(self, calls, *more)

    Events._send = sent


def apply_twice() -> None:
    settle = Applier.settle

    def twice(self: Applier, going: Any) -> None:
        settle(self, going)
        for again in self.send([message for whole in going.wholes for message in whole], going.now):
            settle(self, again)

    Applier.settle = twice


def install(fault: str, at: int) -> None:
    def kill(n: int) -> None:
        if n == at:
            die()

    match fault:
        case "before-apply":
            wrap(Applier, "send", before=kill)
        case "between-shards":
            between_shards(at)
        case "in-flight":
            wrap(Writer, "_send", after=kill)
        case "after-apply":
            wrap(Applier, "settle", after=kill)
        case "before-log":
            wrap(Events, "add_to_log", before=kill)
        case "among-logs":
            among_logs(at)
        case "before-pack":
            wrap(Compaction, "_replace", before=kill)
        case "before-ack":
            wrap(kombu.message.Message, "ack", before=kill)
        case "before-send":
            wrap(Ship, "_send", before=kill)
        case "after-send":
            wrap(Ship, "_send", after=kill)
        case "before-note":
            wrap(Imports, "keep_import", before=kill)
        case "twice":
            apply_twice()
        case _:
            raise SystemExit(f"no such fault: {fault}")


def main() -> None:
    fault, _, at = sys.argv[1].partition(":")
    install(fault, int(at or 1))
    program, sys.argv = sys.argv[2], sys.argv[2:]
    if program == "celery":
        from celery.__main__ import main as run
    elif program == "hailwhale":
        from whale.cli import main as run
    else:
        from whale.count.hailwail import main as run
    run()


if __name__ == "__main__":
    main()

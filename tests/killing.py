"""Scenarios of kills that a farm and a single machine have in common. counting: the worker or hailwail."""

import os
import random
import signal
import time

from tests.farm import Farm, Program
from whale.store.redis import connect


def kill_at_random_moments(farm: Farm, counting: Program, unique: str) -> None:
    store, chance = connect(farm.settings), random.Random(unique)
    with farm.load(unique) as load:
        for _ in range(4):
            load.counting(store)
            time.sleep(chance.uniform(0, 0.2))
            counting.kill9()
            counting.start()
        load.more(50)
    farm.settle(load)


def kill_at_an_exact_place(farm: Farm, counting: Program, fault: str, unique: str) -> None:
    """fault: one of tests/faulty.py."""
    counting.kill9()
    counting.start(fault)
    with farm.load(unique) as load:
        counting.dies()
        if fault.startswith("between"):
            assert load.torn(connect(farm.settings))
        counting.start()
        load.more(50)
    farm.settle(load)


def kill_hail_and_its_master(farm: Farm, unique: str) -> None:
    with farm.load(unique) as load:
        for _ in range(2):
            load.more(100)
            os.kill(farm.hail.children()[0], signal.SIGKILL)
            load.more(100)
            farm.hail.kill9()
            farm.hail.start()
        load.more(100)
    farm.settle(load)

"""Scenarios of kills that a farm and a single machine have in common. counting: the worker or hailwail."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.farm import ROOT, Farm, Program
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


class Importing:
    """`hailwhale import` of a file that grows, into pks on several shards; each row is worth 2.

    rows: of the file.  root: of the program, which may be of another version.
    """

    def __init__(self, folder: Path, environ: dict[str, str], block_hits: int = 50):
        self.rows, self.root = 0, ROOT
        self._file, self._environ = folder / "f.csv", environ
        (folder / "m.toml").write_text('pk = ["shop", { column = "t" }]\nat = "t"\n[metrics]\nsold = "sold"\n')
        self._file.write_text("t,sold\n")
        words = [str(self._file), "--mapping", str(folder / "m.toml"), "--block-hits", str(block_hits)]
        self._words = ["import", *words]

    def grow(self, rows: int) -> None:
        """rows: a multiple of nine."""
        with self._file.open("a") as file:
            file.write("".join(f"2016-01-01T10:00:0{i}Z,2\n" for i in range(9)) * (rows // 9))
        self.rows += rows

    def start(self, *more: str, fault: str = "") -> "subprocess.Popen[str]":
        program = ["tests.faulty", fault, "hailwhale"] if fault else ["whale.cli"]
        command = [sys.executable, "-m", *program, *self._words, *more]
        environ = {**self._environ, "PYTHONPATH": str(self.root)}
        return subprocess.Popen(command, env=environ, cwd=self.root, stderr=subprocess.PIPE, text=True)

    def ends(self, *more: str) -> str:
        """Runs it to its end, where nothing is refused; what it said."""
        process = self.start(*more)
        said = process.communicate(timeout=120)[1]
        assert process.returncode == 0, said
        return said

    def dies(self, fault: str, *more: str) -> None:
        """Kills itself at an exact place, of tests/faulty.py."""
        process = self.start(*more, fault=fault)
        said = process.communicate(timeout=120)[1]
        assert process.returncode == -signal.SIGKILL, said

    def killed(self, chance: random.Random, counted: Callable[[], float], *more: str) -> None:
        """Killed a moment after it has begun to change what is counted; it may have come to its end."""
        before = counted()
        process = self.start(*more)
        deadline = time.monotonic() + 60
        while counted() == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.communicate(timeout=60)


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

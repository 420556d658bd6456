"""Benchmarks can be started, and say of their figures no more than is true."""

from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.pairs import Measured
from benchmarks.report import Figure

MODULES = sorted(path.stem for path in Path("benchmarks").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_can_be_started_without_its_extras(name: str) -> None:
    assert import_module(f"benchmarks.{name}").__doc__


def test_a_hit_that_is_lost_is_a_missed_target() -> None:
    assert Figure("lost", [0, 0, 3], "hits", 0, less=True).verdict == "ok"
    assert Figure("lost", [0, 3, 3], "hits", 0, less=True).verdict == "missed"
    assert Figure("counted", [90], "hits/s", 100).verdict == "short by 10%"


def test_a_shorter_time_is_a_higher_speed() -> None:
    assert Measured(2, "ms").beside(Measured(3, "ms")) == 1.5
    assert Measured(3, "hits/s").beside(Measured(2, "hits/s")) == 1.5
    assert Measured(3, "MB").beside(Measured(2, "MB")) == 1.5

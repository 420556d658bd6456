"""Factors and comparisons are the same on every store as in memory, whatever was counted."""

import random
from itertools import product
from typing import Any

import pytest

from hail.settings import DAY, HOUR, Settings
from tests.contract.hits import NOW, message
from whale.client import Whale
from whale.count.apply import Applier
from whale.store.base import Store
from whale.store.memory import MemoryStore


@pytest.fixture
def both(settings: Settings, store: Store, unique: str) -> tuple[Whale, Whale]:
    """Whales over this store and over memory, with the same hits: 60 values and deeper ones, over 12 days."""
    draw = random.Random(7)
    hits = []
    for _ in range(1500):
        back, value = draw.random() * 12, draw.randrange(60)
        tree: dict[str, Any] = {"page": {f"p{value}": draw.choice("xy")}} if value % 2 else {"page": f"p{value}"}
        if draw.random() < 0.7:
            tree["country"] = draw.choice([{"US": draw.choice(["CA", "TX"])}, "DE", "FR"])
        amounts = {
            "sales": int(draw.random() < (0.6 if value == 3 and back < 6 else 0.2)),
            "money": draw.randrange(900) / 8,
        }
        hits.append({"pk": "shop", "dimensions": tree, "metrics": amounts, "at": NOW - back * DAY})
    whales = []
    for each in (store, MemoryStore(settings)):
        for seq, first in enumerate(range(0, len(hits), 500)):
            Applier(each, settings).apply([message(hits[first : first + 500], settings, unique, seq=seq)], NOW)
        whales.append(Whale(each, settings, unique, clock=lambda: NOW))
    return whales[0], whales[1]


def flat(value: Any, at: str = "") -> dict[str, Any]:
    """Every leaf of an answer by where it stands."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {where: leaf for name, each in pairs for where, leaf in flat(each, f"{at}/{name}").items()}
    return {at: value}


METRICS = ["hits", "money", "sales/hits", "(money - sales)/hits"]
PERIODS = ["1d:5d", "today", "yesterday", "1h:5h", "wtd"]
DIMENSIONS: list[Any] = [None, ["page"], {"country": ["US", "nowhere"]}, "_"]


def test_factors_are_those_of_memory(both: tuple[Whale, Whale]) -> None:
    for metric, period, dimensions in product(METRICS, PERIODS, DIMENSIONS):
        here, there = (whale.factors("shop", metric, period, dimensions=dimensions, limit=7) for whale in both)
        expected = {at: pytest.approx(leaf) if isinstance(leaf, float) else leaf for at, leaf in flat(there).items()}
        assert flat(here) == expected, (metric, period, dimensions)
        assert here["dimensions"]
        for dimension in here["dimensions"]:
            assert sum(row["part"] for row in dimension["rows"]) == pytest.approx(here["change"], abs=1e-9)


def test_periods_that_overlap_are_read_apart(both: tuple[Whale, Whale]) -> None:
    here, there = (whale.factors("shop", "hits", "1d:5d", against="1d:8d") for whale in both)
    assert flat(here) == flat(there)
    assert here["change"] == here["now"] - here["before"] < 0


def test_comparisons_are_those_of_memory(both: tuple[Whale, Whale]) -> None:
    for period in ("today", "yesterday", "wtd", "mtd", "seven", "day", "hour", "1mo"):
        asked: dict[str, Any] = {
            "metrics": ["money", "sales/hits", "ma3(money)"],
            "period": period,
            "compare": "previous",
        }
        here, there = (whale.totals("shop", dimensions={"page": ["p1", "p3"]}, **asked) for whale in both)
        assert here == there
        here, there = (whale.plotpoints("shop", dimensions="country", depth=1, **asked) for whale in both)
        assert here == there
        for order in ("value", "confidence"):
            rank = {"columns": ["money"], "period": period, "compare": "previous", "order": order, "limit": 5}
            here, there = (whale.rank("shop", "sales/hits", "page", **rank) for whale in both)
            assert flat(here) == {
                at: pytest.approx(leaf) if isinstance(leaf, float) else leaf for at, leaf in flat(there).items()
            }


def test_the_row_that_a_second_read_finds_closes_too(settings: Settings, unique: str) -> None:
    """A value that comes between two reads counts as ended above, so parts still add up."""
    store = MemoryStore(settings)
    hits = [{"pk": "c", "dimensions": {"v": "a"}, "at": NOW - back} for back in (0, HOUR, DAY, DAY + HOUR)]
    Applier(store, settings).apply([message(hits, settings, unique)], NOW)
    late = [{"pk": "c", "dimensions": {"v": "late"}, "at": NOW - 2 * HOUR}]
    real = store.read_below
    reads: list[Any] = []

    def read_below(*args: Any) -> Any:
        if reads:
            Applier(store, settings).apply([message(late, settings, unique, seq=1)], NOW)
        reads.append(args)
        return real(*args)

    store.read_below = read_below
    answer = Whale(store, settings, unique, clock=lambda: NOW).factors("c", "hits", "seven", depth=0)
    assert len(reads) > 1
    (dimension,) = answer["dimensions"]
    assert [row["path"] for row in dimension["rows"] if row["kind"] == "value"] == ['["v", "a"]']
    assert sum(row["part"] for row in dimension["rows"]) == answer["change"]

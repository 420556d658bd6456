"""Totals of several periods on every store: in how many round trips, and that they are those of each period by itself."""

import json
from typing import Any

import pytest

from hail.settings import DAY, HOUR, Settings
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, message
from tests.wsgi import call
from whale.answer.compare import totals
from whale.answer.series import Bounds
from whale.client import Whale
from whale.count.apply import Applier
from whale.store.base import Store
from whale.web import make_app

METRICS = [
    "hits",
    "money",
    "money/hits",
    "a/b",
    "a / b",
    "ma3(money)",
    "names",
    "low",
    "high/hits",
    "p50(took)",
    "never",
]
ADJUSTED = ["hits", "money", "money/hits"]


@pytest.fixture
def whale(settings: Settings, store: Store, unique: str) -> Whale:
    """Hits of 40 days, and of every minute of the last two hours, with metrics of every kind."""
    ages = [n * DAY for n in range(40)] + [n * 60 for n in range(120)] + [n * HOUR for n in range(30)]
    hits: list[dict[str, Any]] = [
        {
            "pk": "shop",
            "at": NOW - age,
            "dimensions": {"page": f"p{i % 3}"},
            "visitor": f"v{i % 7}",
            "metrics": {
                "money": i / 4,
                "a": i,
                "b": 2,
                "a/b": 1000,
                "names": "is_unique",
                "low": {"min": -i},
                "high": {"max": i},
                "took": {"quantile": i},
            },
        }
        for i, age in enumerate(ages)
    ]
    Applier(store, settings).apply([message(hits, settings, unique)], NOW)
    return Whale(store, settings, unique, clock=lambda: NOW)


@pytest.mark.parametrize(
    ("pk", "asked", "most"),
    [  # and one more where a name was never counted: what is near to it
        ("shop", {}, 1),
        ("shop", {"metrics": '["hits", "money"]'}, 1),
        ("shop", {"metrics": '["hits", "money"]', "dimensions": '[["page", "p1"], ["page", "p2"]]'}, 1),
        ("shop", {"metrics": '["money/hits", "ma3(money)"]'}, 1),
        ("nobody", {"metrics": '["hits", "money"]'}, 2),
        ("shop", {"metrics": '["hits", "never"]'}, 2),
        ("shop", {"metrics": "never"}, 3),
        ("shop", {"metrics": "a/b"}, 2),  # a metric, as is found where a and b are read
        ("shop", {"metrics": '["hits", "money"]', "compare": "previous"}, 2),
        ("shop", {"metrics": "money/hits", "compare": "previous"}, 3),
    ],
)
def test_five_periods_are_so_many_round_trips(
    whale: Whale, settings: Settings, trips: list[str], pk: str, asked: dict[str, str], most: int
) -> None:
    app = make_app(settings, whale)
    for _ in range(2):  # the process knows the scripts and the names then
        trips.clear()
        answer = call(app, "GET", "/totals", {"pk": pk, **asked})
        assert answer.status == 200
        assert len(answer.json) == 5
    # of a cluster, the names of a pk and those of the pks may be asked of two servers at once
    at_once = int(pk == "nobody" and settings.redis_url.startswith("redis+cluster"))
    assert len(trips) - most in (0, at_once) if settings.redis_url else not trips


def test_totals_are_those_of_each_period_by_itself(whale: Whale) -> None:
    periods = ["today", "yesterday", "wtd", "1d:1mo", "seven", "1h:1d", "mtd", "1d:1y"]
    for metrics in (METRICS, ["names"], ["a/b"], ["low", "money"], ["took", "never", "hits"]):
        found = whale.totals("shop", ["page", "p1"], metrics, periods)
        assert {period: rows['["page", "p1"]'] for period, rows in found.items()} == {
            period: {metric: whale.total("shop", metric, ["page", "p1"], period) for metric in metrics}
            for period in periods
        }
        question, some = whale.asking.question("shop", None, metrics), ("today", "yesterday", "seven", "1d:1mo")
        found = whale.totals("shop", None, metrics, some, compare="previous")
        for period in some:
            inquiry = whale.asking.inquiry(question, whale.asking.range_named(period), "previous")
            (comparison,) = (inquiry.comparisons or {}).values()
            assert found[period]["compared"] == comparison.said()
            assert found[period]["paths"]["_"] == totals(whale.store, question, comparison, Bounds())[()]


def test_a_process_that_knew_a_metric_answers_by_what_it_became(
    settings: Settings, store: Store, whale: Whale, unique: str
) -> None:
    """Another kind, another number, a name that is a formula, nothing: whatever a reset and new hits make of it."""
    here = Whale(open_store(settings) if settings.redis_url else store, settings, unique, clock=lambda: NOW)
    asked: dict[str, Any] = {"metrics": ["hits", "level", "x/y"], "periods": ["today", "1h:1d"]}
    steps: list[tuple[dict[str, Any], list[float]]] = [
        ({"level": 5, "x": 6, "y": 3}, [1, 5, 2]),
        ({"x": 1, "level": {"min": 7}, "y": 4}, [1, 7, 0.25]),
        ({"y": 1, "x/y": 9, "level": {"last": 8}}, [1, 8, 9]),
        ({"level": 2}, [1, 2, 0]),
        ({"level": "is_unique"}, [1, 1, 0]),
        ({}, [1, 0, 0]),
    ]
    for metrics, expected in steps:
        here.count_now("t", metrics=metrics, visitor="one")
        for each in (whale, here, whale):
            found = each.totals("t", **asked)
            assert [list(found[period]["_"].values()) for period in asked["periods"]] == [expected] * 2
            today = each.totals("t", compare="previous", **asked)["today"]["paths"]["_"]
            assert [row["before"] for row in today.values()] == [0, 0, 0]
        here.reset("t")
        assert list(whale.totals("t", **asked)["today"]["_"].values()) == [0, 0, 0]


def test_what_was_set_is_told_with_the_same_read(whale: Whale, settings: Settings, trips: list[str]) -> None:
    app = make_app(settings, whale)
    asked = {"pk": "shop", "metrics": json.dumps(ADJUSTED), "periods": "seven,1h:1d"}
    assert "X-Adjusted" not in call(app, "GET", "/totals", asked).headers
    whale.update_count_to("shop", metrics={"money": 7}, period="1d", at=NOW)
    told = f"money;path=_;interval=1d;at={int(NOW) // 86_400 * 86_400_000};to=7"
    assert call(app, "GET", "/totals", asked).headers["X-Adjusted"] == told
    trips.clear()
    assert call(app, "GET", "/totals", asked).headers["X-Adjusted"] == told
    assert len(trips) == (2 if settings.redis_url else 0)  # the cells that were set are read apart

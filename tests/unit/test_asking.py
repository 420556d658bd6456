"""A question is of one moment, however often it would look at the clock, and whatever that says meanwhile."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from hail.settings import load
from tests.wsgi import call
from whale.client import Whale
from whale.store.memory import MemoryStore
from whale.web import make_app

SETTINGS = load({})
BEFORE, AFTER = (datetime(2026, 11, day, hour, tzinfo=UTC).timestamp() for day, hour in ((25, 23), (26, 1)))
QUESTIONS: dict[str, Callable[[Whale], Any]] = {
    "plotpoints": lambda whale: whale.plotpoints("t", period="today", compare="previous"),
    "totals": lambda whale: whale.totals("t", periods=["today", "last_week"], compare="previous"),
    "total": lambda whale: whale.total("t", period="today", compare="previous"),
    "dataset": lambda whale: whale.dataset("t", period="today"),
    "rank": lambda whale: whale.rank("t", period="today"),
    "factors": lambda whale: whale.factors("t", period="today"),
    "shifts": lambda whale: whale.shifts("t", period="today"),
}


def whale_whose_day_ends(at: int) -> Whale:
    """Its clock says BEFORE that many times, and AFTER from then on."""
    store = MemoryStore(SETTINGS)
    readings = count()
    whale = Whale(store, SETTINGS, clock=lambda: BEFORE if next(readings) < at else AFTER)
    Whale(store, SETTINGS, clock=lambda: BEFORE).count_now("t", {"country": "US"})
    return whale


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_that_is_asked_at_midnight_is_of_one_day(name: str) -> None:
    of_day = [QUESTIONS[name](whale_whose_day_ends(at)) for at in (1000, 0)]
    assert of_day[0] != of_day[1]
    for at in range(1, 6):
        assert QUESTIONS[name](whale_whose_day_ends(at)) in of_day


@pytest.mark.parametrize("path", ["/plotpoints", "/totals", "/total", "/dataset", "/rank", "/factors", "/shifts"])
def test_over_http_too(path: str) -> None:
    def answer(at: int) -> Any:
        found = call(make_app(SETTINGS, whale_whose_day_ends(at)), "GET", path, {"pk": "t", "period": "today"})
        shown = {name: value for name, value in found.headers.items() if name.startswith("X-Whale")}
        return found.status, found.body, shown

    of_day = [answer(1000), answer(0)]
    assert of_day[0] != of_day[1]
    for at in range(1, 6):
        assert answer(at) in of_day

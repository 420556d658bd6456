"""What is counted, at a glance, on every store: the same numbers as questions give, in as many round trips for many pks as for one."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from hail.settings import Settings
from tests.contract.conftest import open_store
from tests.contract.hits import message
from tests.wsgi import call
from whale.client import Whale
from whale.count.apply import Applier
from whale.library.overview import CHILDREN, OTHERS, PKS, Row, overview
from whale.store.base import Store
from whale.web import make_app

NOW = datetime(2015, 6, 17, 14, 35, 20, tzinfo=UTC).timestamp()
MANY = {"hits": 1, "money": 2.5, "visitors": {"distinct": "ann"}, "low": {"min": -3}}


@pytest.fixture
def whale(settings: Settings, store: Store, unique: str) -> Whale:
    return Whale(store, settings, unique, clock=lambda: NOW)


def count(whale: Whale, hits: list[dict[str, Any]]) -> None:
    Applier(whale.store, whale.settings).apply([message(hits, whale.settings, whale.account)], NOW)


def asked_one_by_one(whale: Whale, pk: tuple[str, ...], more: int, sums: bool) -> Row:
    kinds = whale.store.kinds(whale.account, pk)
    names = [name for name in whale.metrics_of(pk) if not (sums and name in kinds)]
    return Row(pk, whale.totals(pk, metrics=names, periods=["today"])["today"]["_"], more)


def test_the_overview_has_the_totals_of_today(whale: Whale) -> None:
    below = [
        {"pk": ["product", str(n)], "metrics": {"hits": n + 1, "sold": 0.5}, "at": NOW - 3600 * n} for n in range(8)
    ]
    count(whale, [*below, {"pk": "shop", "metrics": MANY, "at": NOW}])
    rows, more = overview(whale)
    expected = [("product",), *(("product", str(n)) for n in range(CHILDREN)), ("shop",)]
    assert rows == [asked_one_by_one(whale, pk, 3 if pk == ("product",) else 0, False) for pk in expected]
    assert (rows[0].today, rows[-1].today["visitors"]) == ({"hits": 36, "sold": 4}, 1)
    assert more == 0


def test_of_many_pks_the_overview_shows_the_first_and_asks_no_more_often(
    whale: Whale, settings: Settings, unique: str, trips: list[str]
) -> None:
    names = [f"p{n}" for n in range(PKS + 7)]
    count(whale, [{"pk": [name, str(n)], "metrics": MANY, "at": NOW} for name in names for n in range(2)])
    rows, more = overview(whale)
    assert (len(rows), more) == (3 * PKS, 7)
    assert rows == [asked_one_by_one(whale, row.pk, 0, place >= OTHERS) for place, row in enumerate(rows)]

    fresh = Whale(open_store(settings) if settings.redis_url else whale.store, settings, unique, clock=lambda: NOW)
    overview(fresh)  # connects, and learns the names
    trips.clear()
    overview(fresh)
    assert max((trips.count(server) for server in trips), default=0) <= 30


def test_the_overview_marks_a_day_that_was_set(whale: Whale, settings: Settings) -> None:
    for name in ("set", "month", "above", "other", "beside"):
        count(whale, [{"pk": [name], "metrics": {"hits": 1, "money": 2}, "at": NOW}])
    whale.update_count_to("set", metrics={"money": 100})
    whale.update_count_to("month", metrics={"hits": 100}, period="1mo")
    whale.update_count_to(["above", "child"], {"country": "US"}, {"money": 100})
    whale.update_count_to("other", metrics={"money": 100}, period="1h")  # today is read by hours, so it has it
    whale.update_count_to("beside", metrics={"money": 100}, at=NOW - 86_400)
    rows, _ = overview(whale)
    marked = {row.pk: row.was_set for row in rows}
    assert marked == {
        ("set",): True,
        ("month",): True,
        ("above",): True,
        ("above", "child"): True,
        ("other",): False,
        ("beside",): False,
    }
    for pk, was_set in marked.items():
        shown = call(
            make_app(settings, whale),
            "GET",
            "/totals",
            {"pk": json.dumps(pk), "metrics": '["hits", "money"]', "periods": "today"},
        )
        assert ("X-Adjusted" in shown.headers) == was_set, pk
    whale.reset("set")
    whale.reset("month")
    whale.reset("above")
    assert not any(row.was_set for row in overview(whale)[0])


def test_the_overview_lists_no_pks_that_hold_the_counters_of_decisions(whale: Whale) -> None:
    whale.define_decision("colour", options=["red", "blue"], policy="thompson")
    answer = whale.choose("colour", "ann")
    assert answer.decision.decision_id
    whale.reward(answer.decision.decision_id, {"value": 1})
    whale.flush()
    count(whale, [{"pk": "shop", "at": NOW}])
    assert {"decisions", "off-policy"} <= {pk[0] for pk in whale.pks()}
    rows, more = overview(whale)
    assert ([row.pk for row in rows], more) == ([("shop",)], 0)

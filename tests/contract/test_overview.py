"""The page at `/` on every store: the same numbers as questions give, in as many round trips for many pks as for one."""

from datetime import UTC, datetime
from typing import Any

import pytest

from hail.settings import Settings
from tests.contract.conftest import open_store
from tests.contract.hits import message
from tests.wsgi import call
from whale.client import Whale
from whale.count.apply import Applier
from whale.overview import CHILDREN, OTHERS, PKS, overview
from whale.page import Row
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


def test_the_page_has_the_totals_of_today(whale: Whale) -> None:
    below = [
        {"pk": ["product", str(n)], "metrics": {"hits": n + 1, "sold": 0.5}, "at": NOW - 3600 * n} for n in range(8)
    ]
    count(whale, [*below, {"pk": "shop", "metrics": MANY, "at": NOW}])
    rows, more = overview(whale)
    expected = [("product",), *(("product", str(n)) for n in range(CHILDREN)), ("shop",)]
    assert rows == [asked_one_by_one(whale, pk, 3 if pk == ("product",) else 0, False) for pk in expected]
    assert (rows[0].today, rows[-1].today["visitors"]) == ({"hits": 36, "sold": 4}, 1)
    assert more == 0


def test_of_many_pks_the_page_shows_the_first_and_asks_no_more_often(
    whale: Whale, settings: Settings, unique: str, trips: list[str]
) -> None:
    names = [f"p{n}" for n in range(PKS + 7)]
    count(whale, [{"pk": [name, str(n)], "metrics": MANY, "at": NOW} for name in names for n in range(2)])
    rows, more = overview(whale)
    assert (len(rows), more) == (3 * PKS, 7)
    assert rows == [asked_one_by_one(whale, row.pk, 0, place >= OTHERS) for place, row in enumerate(rows)]

    fresh = Whale(open_store(settings) if settings.redis_url else whale.store, settings, unique, clock=lambda: NOW)
    app = make_app(settings, fresh)
    assert call(app, "GET", "/").status == 200  # connects, and learns the names
    trips.clear()
    assert call(app, "GET", "/").status == 200
    assert max((trips.count(server) for server in trips), default=0) <= 30

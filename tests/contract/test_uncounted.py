"""What a question names and was never counted: alike on every store, and without a round trip where all is known."""

import logging

import pytest

from hail.settings import Settings
from tests.contract.conftest import open_store
from whale.client import Whale
from whale.errors import PathError
from whale.store.base import Store
from whale.store.contract.names import Missing


def counted(store: Store, settings: Settings, account: str) -> Whale:
    whale = Whale(store, settings, account)
    whale.count_now(["shop", "one"], {"country": {"US": "CA"}}, {"revenue": 5})
    return whale


def test_what_was_never_counted_is_named_with_what_stands_there(store: Store, settings: Settings, unique: str) -> None:
    counted(store, settings, unique)
    pk = ("shop", "one")
    assert store.uncounted(unique, pk, [(), ("country", "US")], ["hits", "revenue"]) is None
    missing = store.uncounted(unique, pk, [("country", "UK", "x"), ("country",), ("city",)], ["hits", "revenu"])
    assert missing == Missing(
        None, {("country", "UK", "x"): (1, ["US"]), ("city",): (0, ["country"])}, ["revenu"], ["hits", "revenue"]
    )
    for wrong, place in ((("shop", "two"), (1, ["one"])), (("shp", "one"), (0, ["shop"]))):
        missing = store.uncounted(unique, wrong, [()], ["hits"])
        assert missing is not None
        assert missing.pk == place
    store.reset(unique, pk, ("country",), 0.0)
    store.metrics(unique, pk)  # a question reads before it asks
    missing = store.uncounted(unique, pk, [("country",)], [])
    assert missing is not None
    assert list(missing.paths) == [("country",)]


def test_a_question_whose_names_are_known_takes_no_round_trip_more_and_others_at_most_one(
    settings: Settings, unique: str, trips: list[str]
) -> None:
    store = open_store(settings)
    counted(store, settings, unique)
    whale = Whale(store, settings, unique)
    whale.total("shop", "revenue/hits", {"country": "US"})
    trips.clear()
    assert store.uncounted(unique, ("shop",), [("country", "US")], ["revenue", "hits"]) is None
    assert trips == []
    assert store.uncounted(unique, ("shop",), [("contry",)], ["revenue"]) is not None
    assert len(trips) == (1 if settings.redis_url else 0)


def test_a_list_below_an_object_takes_one_round_trip_and_heeds_a_reset_by_another_process(
    settings: Settings, unique: str, trips: list[str]
) -> None:
    store = open_store(settings)
    whale = counted(store, settings, unique)
    paths = [(), ("country", "US", "CA"), ("country", "CA", "US"), ("US",)]
    assert store.counted(unique, ("shop", "one"), paths) == [(), ("country", "US", "CA")]
    assert store.counted(unique, ("nobody",), paths) == []
    trips.clear()
    with pytest.raises(PathError, match="ambiguous"):
        whale.asking.question(["shop", "one"], {"country": ["US", "CA"]})
    assert whale.asking.question(["shop", "one"], {"country": ["CA", "US"], "page": ["a", "b"]}).paths
    assert whale.asking.question(["shop", "one"], {"country": ["US"]}).paths == [("country", "US")]
    assert len(trips) == (2 if settings.redis_url else 0)
    other = open_store(settings) if settings.redis_url else store
    other.reset(unique, ("shop", "one"), ("country", "US", "CA"), 0.0)
    assert whale.asking.question(["shop", "one"], {"country": ["US", "CA"]}).paths == [
        ("country", "US"),
        ("country", "CA"),
    ]


def test_the_library_tells_its_log_each_name_once(
    store: Store, settings: Settings, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    whale = counted(store, settings, unique)
    with caplog.at_level(logging.WARNING, "whale"):
        for _ in range(2):
            whale.total("shop", "revenu")
            whale.totals("shop", metrics=["revenue", "revenu"], periods="today")
            whale.plotpoints("shop", "contry")
            whale.rank("shop", "revenue", "country")
    said = [record.getMessage() for record in caplog.records if record.name == "whale"]
    assert said == [
        "metric 'revenu' of pk 'shop' was never counted; did you mean 'revenue'?",
        "path 'contry' of pk 'shop' was never counted; did you mean 'country'?",
    ]

"""The library, on the memory store."""

import gc
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import whale
from hail.hit import HitError
from hail.room import COST
from hail.settings import load
from tests.servers import wait_until
from whale import HailWhale, Whale, client
from whale.answer.cache import Cache, bytes_of
from whale.errors import CallerError, FormulaError, PathError, PeriodError
from whale.store.memory import MemoryStore

NOW = datetime(2015, 6, 17, 14, 35, 20, tzinfo=UTC).timestamp()
DAY = 86_400


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def a_whale(kind: type[Whale] = Whale, **settings: str) -> Any:
    in_force = load({f"HAILWHALE_{name.upper()}": value for name, value in settings.items()})
    return kind(MemoryStore(in_force), in_force, clock=Clock())


@pytest.fixture
def shop() -> Whale:
    """v: 20 yesterday, 5 today in US."""
    made: Whale = a_whale()
    made.count_now("shop", {"country": "UK"}, {"v": 20}, at=NOW - DAY)
    made.count_now("shop", {"country": "US"}, {"v": 5})
    return made


def test_importing_whale_loads_nothing() -> None:
    code = "import sys, whale; print([name for name in ('numpy', 'redis', 'whale.client') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
    with pytest.raises(AttributeError):
        _ = whale.Nothing
    assert all(getattr(whale, name) for name in whale.__all__)


def test_points_are_a_map_a_list_or_pairs_for_flot(shop: Whale) -> None:
    asked: dict[str, Any] = {"metrics": ["v"], "period": "2015-06-16..2015-06-18"}
    first, last = "Tue Jun 16 00:00:00 2015", "Wed Jun 17 00:00:00 2015"
    assert shop.plotpoints("shop", **asked) == {"_": {"v": {first: 20, last: 5}}}
    assert shop.plotpoints("shop", **asked, points_type=list)["_"]["v"] == [(first, 20), (last, 5)]
    assert shop.plotpoints("shop", **asked, points_type=list, flot_time=True)["_"]["v"] == [
        (1_434_412_800_000, 20),
        (1_434_499_200_000, 5),
    ]
    newest_first = shop.plotpoints("shop", **asked, descending=True, with_totals=True)["_"]["v"]
    assert list(newest_first.items()) == [(last, 5), (first, 20), ("Total", 25)]


def test_an_hour_that_comes_twice_has_two_labels() -> None:
    made = a_whale(timezone="Europe/Berlin")
    made.clock.now = datetime(2026, 10, 26, tzinfo=UTC).timestamp()
    hours = made.plotpoints("t", period="1h:2026-10-25..2026-10-26")["_"]["hits"]
    assert len(hours) == 25
    assert list(hours)[2:4] == ["Sun Oct 25 02:00:00 2026", "Sun Oct 25 02:00:00 2026 +0100"]


def test_the_root_answers_to_the_pks_own_name(shop: Whale) -> None:
    found = shop.plotpoints("shop", period="today")
    assert found["shop"] is found["_"]
    assert list(found) == ["_"]
    assert shop.totals("shop", period="today")["today"]["shop"] == {"hits": 1}
    assert shop.plotpoints(["shop", "x"])["x"] == shop.plotpoints(["shop", "x"])['["shop", "x"]']
    with pytest.raises(KeyError):
        _ = found["other"]
    shop.count_now("same", "same", {"v": 3})
    shop.count_now("same", None, {"v": 1})
    assert shop.totals("same", [[], ["same"]], "v", "today")["today"]["same"] == {"v": 3}


def test_ratio_and_scalar_plotpoints_are_the_two_halves(shop: Whale) -> None:
    shop.count_now("shop", None, {"km/h": 6})
    assert list(shop.ratio_plotpoints("shop", "v", "hits", period="today")["_"]) == ["v/hits"]
    found = shop.ratio_plotpoints("shop", "km/h", period="mtd", points_type=list)["_"]["`km/h`/hits"]
    assert found[-1][1] == 3
    assert shop.scalar_plotpoints("shop", metric="v", period="today") == shop.plotpoints(
        "shop", metrics="v", period="today"
    )


def test_totals_and_total(shop: Whale) -> None:
    assert shop.totals("shop", metric=["v", "v/hits"], period="1d:1mo") == {"1d:1mo": {"_": {"v": 25, "v/hits": 12.5}}}
    assert shop.totals("shop", metrics="v", periods=["today", (3600, 3600)]) == {
        "today": {"_": {"v": 5}},
        "3600:3600": {"_": {"v": 5}},
    }
    assert list(shop.totals("shop")) == ["1d:1y", "1d:1mo", "1d:1w", "1h:1d", "1m:1h"]
    assert (shop.today("shop", "v"), shop.yesterday("shop", "v"), shop.today("shop", "v", ["country", "UK"])) == (
        5,
        20,
        0,
    )
    assert shop.total("shop", "v", at=NOW - DAY, period="today") == 20
    assert shop.total("shop", "v", at=datetime.fromtimestamp(NOW - DAY), period="today") == 20
    assert [shop.total("shop", "v", index=index) for index in (-1, -2)] == [5, 20]
    assert shop.total("shop", "v", period="today", tzoffset=-700) == 5
    assert shop.total("shop", "v/never", undefined="null") is None


def test_subdimensions(shop: Whale) -> None:
    assert shop.get_subdimensions("shop") == ["country"]
    assert shop.get_subdimensions("shop", "country") == ['["country", "UK"]', '["country", "US"]']
    assert shop.all_subdimensions("shop") == ["_", "country", '["country", "UK"]', '["country", "US"]']


def test_a_remembered_answer_lives_a_fifth_of_its_interval(shop: Whale) -> None:
    def hits(unmemoize: bool = False) -> Any:
        return shop.cached_totals("c", period="1h:1d", unmemoize=unmemoize)["1h:1d"]["_"]["hits"]

    shop.count_now("c")
    assert hits() == 1
    for _ in range(3):
        shop.count_now("c")
    assert hits() == 1
    assert shop.cached_plotpoints("c", period="1h:1d")["_"]["hits"]["Wed Jun 17 14:00:00 2015"] == 4
    assert hits(unmemoize=True) == hits() == 4
    shop.count_now("c")
    shop.clock.now = NOW + 719
    assert hits() == 4
    shop.clock.now = NOW + 720
    assert hits() == 5


def test_a_remembered_answer_belongs_to_its_arguments_and_to_nobody_else(shop: Whale) -> None:
    first = shop.cached_plotpoints("shop", metrics=["v"], period="today")
    first["_"]["v"].clear()
    first["x"] = {}
    again = shop.cached_plotpoints("shop", None, ["v"], period="today")
    assert list(again["shop"]["v"].values())[-1] == 5
    assert "x" not in again
    assert shop.cached_total("shop", "v", period="today") == 5
    assert shop.cached_total("shop", "v", period="yesterday") == 20
    assert shop.cached_plotpoints("shop", metrics=["v"], period="today", points_type=list)["_"]["v"][-1][1] == 5


def test_a_dataset_is_a_list_of_times_and_values_or_one_for_each_child() -> None:
    made: HailWhale = a_whale(HailWhale)
    made.log(["pageviews", "site.com", "site.com/main"], {"hits": 1, "time_on_page": 25})
    made.log(["pageviews", "site.com", "site.com/about"], {"time_on_page": 5}, at=NOW - 3600)
    hour = datetime(2015, 6, 17, 14, tzinfo=ZoneInfo("UTC"))
    found = made.dataset(["pageviews"], value="time_on_page", period=(3600, DAY), start_at=NOW - 3600)
    assert found == [(hour - timedelta(hours=1), 5), (hour, 25)]
    below = made.dataset(["pageviews", "site.com"], value="hits", period="today", depth=1)
    assert {child: series[-2:] for child, series in below.items()} == {
        "site.com/main": [(hour - timedelta(hours=1), 0), (hour, 1)],
        "site.com/about": [(hour - timedelta(hours=1), 1), (hour, 0)],
    }
    assert Whale.dataset.__doc__
    with pytest.raises(CallerError, match="path: expected a list of names"):
        made.log("pageviews", {})


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda it: it.plotpoints(""), PathError),
        (lambda it: it.plotpoints([]), PathError),
        (lambda it: it.plotpoints("shop", period="fortnight"), PeriodError),
        (lambda it: it.plotpoints("shop", period=[1, 2, 3]), PeriodError),
        (lambda it: it.plotpoints("shop", metrics="a/"), FormulaError),
        (lambda it: it.plotpoints("shop", depth=-1), CallerError),
        (lambda it: it.plotpoints("shop", undefined="maybe"), CallerError),
        (lambda it: it.total("shop", index=99), CallerError),
        (lambda it: it.total("shop", at="soon"), CallerError),
        (lambda it: it.total("shop", "hits", [["a"], ["b"]]), CallerError),
        (lambda it: it.dataset("shop", [["a"], ["b"]]), CallerError),
        (lambda it: it.total("shop", tzoffset="-7", tz="UTC"), CallerError),
        (lambda it: it.get_subdimensions("shop", [["a"], ["b"]]), CallerError),
        (lambda it: it.count_now(""), HitError),
    ],
)
def test_a_wrong_call_says_what_is_wrong(shop: Whale, call: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        call(shop)


@pytest.fixture
def default(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """Another default connection while a test runs."""
    monkeypatch.setattr(client, "_connections", {})
    settings = load({})
    store = MemoryStore(settings)
    whale.connect(settings=settings, store=store)
    return store


def test_the_class_answers_on_the_default_connection(default: MemoryStore) -> None:
    Whale.count_now("my_counter", metrics={"hits": 1})
    HailWhale.count_now("my_counter")
    assert Whale.total("my_counter", metric="hits", period="1d:2d") == 2
    assert HailWhale.pks() == [("my_counter",)]
    whale.connect(settings=load({}), store=MemoryStore(load({})))
    assert Whale.pks() == HailWhale.pks() == []


def test_count_hands_a_hit_to_the_queue(tmp_path: Any) -> None:
    made = a_whale(data_dir=str(tmp_path))
    made.count("t", metrics={"v": 1})
    made.count_record({"pk": "t", "metrics": ["v"]})
    assert made.pks() == []
    spooled = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert spooled.count(b'[["t"],{},{"hits":1,"v":1000000}') == 2


def test_half_a_letter_is_no_name() -> None:
    shop = Whale(MemoryStore(load({})), load({}), clock=lambda: NOW)
    for pk, dimension, metric in (
        ("\ud800", "a", "m"),
        ("a", "\ud800", "m"),
        ("a", ["b", "\ud800"], "m"),
        ("a", "b", "\ud800"),
    ):
        with pytest.raises(CallerError):
            shop.total(pk, metric, dimension)
    with pytest.raises(CallerError):
        shop.pks("\ud800")


def test_a_cache_holds_no_more_than_it_may_weigh() -> None:
    cache = Cache(lambda: 0.0, "test", 0.001, lambda text: 100 * len(text) - 2 * COST - (4 if text == "x" * 11 else 1))
    asked: list[bytes] = []

    def get(key: bytes, size: int, force: bool = False) -> None:
        cache.get(key, lambda: asked.append(key) or "x" * size, lambda _: 60, force)

    for key, size in ((b"a", 4), (b"b", 4), (b"a", 4), (b"huge", 11), (b"c", 4), (b"a", 4), (b"b", 4)):
        get(key, size)
    assert asked == [b"a", b"b", b"huge", b"c", b"b"]  # c pushed b out, which was asked longest ago
    get(b"b", 10, force=True)
    get(b"b", 10)
    get(b"a", 4)
    assert asked[5:] == [b"b", b"a"]


def test_the_library_remembers_as_much_as_it_may() -> None:
    assert bytes_of({"a": {"b": [1, "cd"]}}) == 3 * COST + (COST + 1) + (COST + 1) + 40 + 102
    settings = load({"HAILWHALE_ANSWERS_MB": "0.1"})
    made = Whale(MemoryStore(settings), settings, clock=lambda: NOW)
    made.count_now("a")
    long = {"metrics": ["hits", "v"], "period": "1m:20h"}  # 2,402 points, more than may be remembered
    for _ in range(2):
        for asked in ({"period": "seven"}, long):
            made.cached_plotpoints("a", **asked)
        made.count_now("a")
    assert sum(made.cached_plotpoints("a", period="seven")["a"]["hits"].values()) == 1
    assert sum(made.cached_plotpoints("a", **long)["a"]["hits"].values()) == 3


def test_a_whale_that_nobody_holds_any_more_leaves_no_thread() -> None:
    settings, before = load({}), set(threading.enumerate())
    for number in range(3):
        whale = Whale(MemoryStore(settings), settings)
        whale.count_now("shop", metrics={"hits": number})
    del whale
    gc.collect()
    wait_until(
        lambda: not {each for each in threading.enumerate() if each.name == "applier"} - before, what="no thread"
    )

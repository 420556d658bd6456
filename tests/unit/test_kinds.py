"""Kinds of metric from a hit to an answer: what is taken, what is refused, what is merged how."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from hail.hit import HitError, Reason, encode_hit, parse_hit
from hail.settings import DAY, HOUR, Settings, SettingsError, load
from tests.wsgi import Answer, call
from whale.client import Whale
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = datetime(2015, 6, 17, 14, 35, 20, tzinfo=UTC).timestamp()
KINDS = '{"visitors": "distinct", "time_on_page": "quantile", "temperature": "last", "plain": "sum"}'
SETTINGS = load({"HAILWHALE_KINDS": KINDS})


# In a hit


def of(metrics: Any, settings: Settings = SETTINGS, **more: Any) -> Any:
    hit = parse_hit({"pk": "shop", "metrics": metrics, **more}, settings, NOW)
    return hit.metrics, hit.others


def refused(metrics: Any, **more: Any) -> tuple[str, str, str]:
    with pytest.raises(HitError) as caught:
        of(metrics, **more)
    return str(caught.value.reason), caught.value.field, str(caught.value)


def test_a_number_is_of_the_kind_that_is_declared() -> None:
    assert of({"time_on_page": 1.5, "temperature": -3, "plain": 2, "free": 1}) == (
        {"hits": 1, "plain": 2_000_000, "free": 1_000_000},
        {"time_on_page": ("quantile", 1_500_000), "temperature": ("last", -3_000_000)},
    )
    assert of({"free": 1}) == ({"hits": 1, "free": 1_000_000}, None)


def test_a_kind_may_be_said_at_its_use() -> None:
    said = {"a": {"min": 5}, "b": {"max": 5}, "c": {"last": 5}, "d": {"quantile": 5}, "e": {"unique": 7}}
    assert of(said)[1] == {
        "a": ("min", 5_000_000),
        "b": ("max", 5_000_000),
        "c": ("last", 5_000_000),
        "d": ("quantile", 5_000_000),
        "e": ("distinct", "7"),
    }
    assert of({"u": "is_unique"}, visitor="ann")[1] == {"u": ("distinct", "ann")}
    assert of({"temperature": {"last": 5}, "visitors": {"distinct": "bob"}})[1] == {
        "temperature": ("last", 5_000_000),
        "visitors": ("distinct", "bob"),
    }


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"u": "is_unique"}, "is_unique requires a visitor"),
        ({"visitors": 5}, "visitors is declared distinct"),
        ({"temperature": {"min": 5}}, "of kind last, got min"),
        ({"plain": {"unique": "x"}}, "of kind sum, got distinct"),
        ({"hits": {"max": 1}}, "of kind sum, got max"),
        ({"a": {"median": 5}}, "expected a number or one of unique, distinct, min, max, last, quantile"),
        ({"a": {"min": 5, "max": 5}}, "expected a number or one of"),
        ({"a": {}}, "expected a number or one of"),
        ({"a": {"min": "5"}}, "expected a finite number"),
        ({"a": {"unique": None}}, "expected a name"),
        ({"a": "unique"}, "expected a finite number"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_field(metrics: Any, words: str) -> None:
    reason, field, message = refused(metrics)
    assert reason == Reason.BAD_METRICS
    assert field.startswith(f"metrics.{next(iter(metrics))}")
    assert words in message


def test_the_bounds_hold_for_every_kind() -> None:
    assert refused({"a": {"max": 9.1e9}})[0] == "number_out_of_range"
    assert refused({"a": {"unique": "x" * 201}})[:2] == ("name_too_long", "metrics.a.unique")
    assert refused({f"m{i}": {"min": 1} for i in range(17)})[0] == "too_many_metrics"
    many = {f"m{i}": {"min": 1} for i in range(16)}
    assert refused(many, dimensions=[[f"d{i}"] for i in range(60)])[0] == "too_many_cells"


def test_hits_without_other_kinds_have_the_same_bytes() -> None:
    plain = {"pk": "shop", "metrics": {"revenue": 2}, "id": "i"}
    expected = [["shop"], {}, {"hits": 1, "revenue": 2_000_000}, int(NOW * 1000), "i"]
    assert json.loads(encode_hit(parse_hit(plain, SETTINGS, NOW))) == expected
    kinds = {**plain, "metrics": {"time_on_page": 2}}
    row = json.loads(encode_hit(parse_hit(kinds, SETTINGS, NOW)))
    assert row[4:] == ["i", None, None, {"time_on_page": ["quantile", 2_000_000]}]


@pytest.mark.parametrize("text", ['{"a": "median"}', "[]", "a=b", '{"hits": "max"}', '{"a": []}', "[" * 5000])
def test_kinds_that_cannot_be_read_stop_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="HAILWHALE_KINDS"):
        load({"HAILWHALE_KINDS": text})


# In an answer


class Shop:
    def __init__(self) -> None:
        self.whale = Whale(MemoryStore(SETTINGS), SETTINGS, clock=lambda: NOW)
        self.app = make_app(SETTINGS, self.whale)

    def hit(self, who: str, revenue: float = 0, back_s: float = 0, **more: Any) -> None:
        metrics = {"visitors": "is_unique", "revenue": revenue, **more.pop("metrics", {})}
        self.whale.count_now("shop", more.pop("dimensions", None), metrics, NOW - back_s, visitor=who)

    def get(self, path: str, **parameters: Any) -> Answer:
        return call(self.app, "GET", path, parameters)

    def total(self, metric: str, period: str = "seven", **more: Any) -> Any:
        return self.whale.total("shop", metric, period=period, **more)

    def week(self, metric: str, **more: Any) -> list[Any]:
        return list(self.whale.plotpoints("shop", metrics=[metric], period="seven", **more)["_"][metric].values())


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    for back, who, revenue in ((0, "ann", 10), (0, "bob", 20), (1, "ann", 30), (3, "ann", 0), (3, "cid", 40)):
        shop.hit(who, revenue, back * DAY, dimensions={"country": "US" if who == "ann" else "DE"})
    return shop


def test_a_distinct_count_is_a_union_never_a_sum(shop: Shop) -> None:
    assert shop.week("visitors") == [0, 0, 0, 0, 2, 0, 1, 2]
    assert shop.total("visitors") == 3
    assert shop.week("revenue/visitors") == [0, 0, 0, 0, 20, 0, 30, 15]
    assert shop.total("revenue/visitors") == pytest.approx(100 / 3)
    assert shop.total("visitors", period="1w:2w") == 3
    weeks = shop.whale.plotpoints("shop", metrics=["visitors"], period="1w:2w")["_"]["visitors"]
    assert list(weeks.values())[-2:] == [2, 2]
    assert shop.whale.total("shop", "visitors", period="seven", index=-1) == 2


def test_paths_are_sorted_by_kinds_that_are_no_sums(shop: Shop) -> None:
    def order(sort: str) -> list[str]:
        return list(shop.whale.plotpoints("shop", "country", ["visitors"], 1, "seven", sort))[1:]

    assert order("-visitors") == ['["country", "DE"]', '["country", "US"]']
    assert order("visitors") == ['["country", "US"]', '["country", "DE"]']
    assert order("-hits/visitors") == ['["country", "US"]', '["country", "DE"]']


def test_distinct_counts_have_no_minutes_and_hours_for_a_week(shop: Shop) -> None:
    assert shop.total("visitors", "today") == 2
    minutes = shop.get("/plotpoints", pk="shop", metrics="visitors", period="hour")
    assert (minutes.status, minutes.json["code"], minutes.json["field"]) == (400, "bad_period", "period")
    assert "by hour, day and month" in minutes.json["detail"]
    hours = shop.get("/plotpoints", pk="shop", metrics="visitors", period="1h:9d")
    assert (hours.status, hours.json["code"]) == (400, "bad_period")
    assert "for 7 days: ask by day" in hours.json["detail"]
    assert list(shop.whale.totals("shop", metrics=["visitors"])) == ["1d:1y", "1d:1mo", "1d:1w", "1h:1d"]
    assert list(shop.get("/totals", pk="shop", metrics="visitors").json) == ["1d:1y", "1d:1mo", "1d:1w", "1h:1d"]
    assert shop.get("/totals", pk="shop", metrics="visitors", periods="1m:1h").status == 400


def test_least_greatest_and_last_are_merged_over_buckets(shop: Shop) -> None:
    for back, number in ((0, 5), (0.5 * HOUR, -7), (2 * DAY, 3), (2 * DAY - 60, 4)):
        shop.hit("ann", back_s=back, metrics={"low": {"min": number}, "high": {"max": number}, "temperature": number})
    assert shop.week("low") == [0, 0, 0, 0, 0, 3, 0, -7]
    assert shop.week("low", undefined="null") == [None] * 5 + [3, None, -7]
    assert shop.week("high", undefined="null") == [None] * 5 + [4, None, 5]
    assert shop.week("temperature", undefined="null") == [None] * 5 + [4, None, 5]
    assert [shop.total(name) for name in ("low", "high", "temperature", "high-low")] == [-7, 5, 5, 12]
    assert shop.total("low", "yesterday") == 0
    assert shop.total("low", "yesterday", undefined="null") is None
    assert shop.total("high", "1w:2w") == 5
    assert shop.week("ma3(temperature)", undefined="null")[-3:] == [4, 4, 4.5]


def test_quantiles_of_any_range_are_within_one_percent(shop: Shop) -> None:
    for i in range(1, 101):
        shop.hit("ann", back_s=DAY if i > 50 else 0, dimensions={"a": {"b": "c"}}, metrics={"time_on_page": i})
    assert shop.total("p50(time_on_page)") == pytest.approx(50, rel=0.01)
    assert shop.total("p95(time_on_page)") == pytest.approx(95, rel=0.01)
    assert shop.total("p99.9( `time_on_page` )/2") == pytest.approx(49.5, rel=0.01)
    assert shop.week("p0(time_on_page)")[-2:] == pytest.approx([51, 1], rel=0.01)
    best = shop.week("p100(time_on_page)", undefined="null")
    assert best[-3] is None
    assert best[-2:] == pytest.approx([100, 50], rel=0.01)
    assert shop.week("time_on_page")[-2:] == [50, 50]
    assert shop.total("time_on_page") == 100
    below = shop.whale.totals("shop", [["a", "b"], ["a", "b", "c"]], ["p50(time_on_page)", "time_on_page"], "seven")
    kept, deep = below["seven"].values()
    assert kept["time_on_page"] == 100
    assert deep == {"p50(time_on_page)": None, "time_on_page": None}
    assert shop.total("p50(never)") == 0


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("p50(revenue)", "got one of kind sum"),
        ("p50(visitors)", "got one of kind distinct"),
        ("p101(time_on_page)", "expected p0 to p100 at character 1"),
        ("p50(1)", "expected the name of a quantile metric at character 5"),
        ("p50(p50(a))", "expected the name of a quantile metric at character 5"),
        ("p50(a", "expected )"),
        ("p50(a+b)", "expected )"),
        ("visitors:sum", "is of kind distinct: :sum is for sums"),
    ],
)
def test_formulas_that_fit_no_kind_are_refused(shop: Shop, formula: str, words: str) -> None:
    answer = shop.get("/plotpoints", pk="shop", metrics=json.dumps([formula]), period="seven")
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_formula", "metrics")
    assert words in answer.json["detail"]
    assert shop.get("/plotpoints", pk="shop", sort=f"-{formula}", depth=1, period="seven").json["field"] == "sort"


def test_an_answer_says_what_is_estimated(shop: Shop) -> None:
    shop.hit("ann", metrics={"time_on_page": 1, "ä b": {"unique": "x"}})
    asked = {"pk": "shop", "period": "seven"}
    plain = shop.get("/plotpoints", metrics="revenue", **asked)
    assert "X-Whale-Estimated" not in plain.headers
    metrics = json.dumps(["revenue/visitors", "p50(time_on_page)", "ä b"])
    assert shop.get("/plotpoints", metrics=metrics, **asked).headers["X-Whale-Estimated"] == (
        "visitors;error=0.81%, time_on_page;error=1%, %C3%A4%20b;error=0.81%"
    )

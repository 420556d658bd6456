"""GET /rank, on the memory store."""

import json

import pytest

from tests.unit.test_whale_web import DAY, NOW, Door

BIG = "9" * 400


@pytest.fixture
def door() -> Door:
    door = Door()
    for country, revenue, visitors in (("US", 500, 100), ("UK", 300, 30), ("FR", 10, 100)):
        door.count(
            ["shop", country], {"country": country}, {"revenue": revenue, "visitors": visitors, "peak": {"max": 1}}
        )
    return door


def test_a_ranking_says_what_it_rests_on(door: Door) -> None:
    asked = {
        "pk": "shop",
        "dimension": "country",
        "by": "revenue/visitors",
        "columns": '["hits", "revenue"]',
        "limit": 2,
    }
    answer = door.get("/rank", **asked)
    assert answer.status == 200
    assert [(row["path"], row["value"], row["columns"]) for row in answer.json["rows"]] == [
        ('["country", "UK"]', 10, {"hits": 1, "revenue": 300}),
        ('["country", "US"]', 5, {"hits": 1, "revenue": 500}),
    ]
    assert list(answer.json) == ["rows", "other", "rest", "ended", "total", "as_of", "complete"]
    assert answer.headers["X-Whale-Complete"] == "false"
    assert door.call("GET", "/rank", headers={"HTTP_IF_NONE_MATCH": answer.headers["Etag"]}, **asked).status == 304
    closed = door.get("/rank", pk="shop", period="2015-06-01..2015-06-10")
    assert (closed.json["as_of"], closed.json["complete"]) == ("2015-06-10T00:00:00Z", True)
    assert closed.headers["X-Whale-Complete"] == "true"


def test_what_was_never_counted_has_no_rows(door: Door) -> None:
    answer = door.get("/rank", pk="nobody", by="a/b").json
    assert (answer["rows"], answer["rest"], answer["total"]["value"]) == ([], None, None)


def test_a_ranking_may_be_remembered(door: Door) -> None:
    before = door.get("/rank", pk="shop", by="revenue", pks="1", cached="1").json
    door.count(["shop", "US"], {}, {"revenue": 1})
    assert door.get("/rank", pk="shop", by="revenue", pks="1", cached="1").json == before
    assert door.get("/rank", pk="shop", by="revenue", pks="1", unmemoize="1").json["rows"][0]["value"] == 501


def test_child_pks_by_their_names(door: Door) -> None:
    answer = door.get("/rank", pk="shop", by="revenue", pks="1", order="confidence", ascending="1").json
    assert [row["path"] for row in answer["rows"]] == ['["shop", "FR"]', '["shop", "UK"]', '["shop", "US"]']
    assert answer["rows"][0]["low"] < 10 < answer["rows"][0]["high"]


def test_explain_tells_the_read(door: Door) -> None:
    said = door.get("/rank", pk="shop", dimension="country", by="revenue/visitors", explain="true", period="seven").json
    (read,) = said["explain"]["reads"]
    assert (read["interval"], read["buckets"], read["paths"], read["metrics"]) == ("1d", 8, 4, ["revenue", "visitors"])
    assert len(said["answer"]["rows"]) == 3


def test_estimates_are_named(door: Door) -> None:
    door.whale.count_hit({"pk": "shop", "metrics": {"people": "is_unique"}, "visitor": "ann", "dimensions": "country"})
    answer = door.get("/rank", pk="shop", by="revenue/people", columns="hits")
    assert answer.headers["X-Whale-Estimated"] == "people;error=0.81%"


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("sort", {"sort": "revenue"}),
        ("order", {"order": "size"}),
        ("by", {"by": "revenue/"}),
        ("by", {"by": "revenue/0"}),
        ("by", {"by": "revenue/(hits/(2-2))"}),
        ("by", {"by": "ma7(revenue/0.0)"}),
        ("by", {"by": "5"}),
        ("by", {"by": "days"}),
        ("by", {"by": "p95(revenue)/hits"}),
        ("by", {"by": "peak:sum"}),
        ("order", {"by": "peak", "order": "confidence"}),
        ("order", {"by": "revenue/peak", "order": "confidence"}),
        ("order", {"by": "revenue*visitors", "order": "confidence"}),
        ("columns", {"columns": "revenue/0"}),
        ("columns", {"columns": "[1]"}),
        ("columns", {"columns": json.dumps([f"a{i}" for i in range(101)])}),
        ("columns", {"columns": "[" * 50}),
        ("limit", {"limit": "1e9"}),
        ("limit", {"limit": "1000000000"}),
        ("limit", {"limit": "-1"}),
        ("offset", {"offset": "-1"}),
        ("offset", {"offset": BIG}),
        ("threshold", {"threshold": "2"}),
        ("threshold", {"threshold": "-0.1"}),
        ("threshold", {"threshold": "nan"}),
        ("min_support", {"min_support": "-1"}),
        ("min_support", {"min_support": "inf"}),
        ("min_support", {"min_support": "many"}),
        ("ascending", {"ascending": "up"}),
        ("period", {"period": "2030-01-01..2030-02-01"}),
        ("period", {"period": "sometime"}),
        ("start", {"start": "2030-01-01", "buckets": "3"}),
        ("finish", {"finish": "2015-06-01"}),
        ("dimension", {"dimension": '[["a"], ["b"]]'}),
        ("dimension", {"dimension": "country", "pks": "1"}),
        ("all", {"all": "1", "pks": "1"}),
        ("tz", {"tz": "Nowhere"}),
        ("dimensions", {"dimension": "a", "dimensions": "b"}),
    ],
)
def test_a_question_that_cannot_be_answered_names_its_field(door: Door, field: str, asked: dict[str, str]) -> None:
    answer = door.get("/rank", **{"pk": "shop", "by": "revenue", "dimension": "", **asked})
    assert answer.status == 400, answer.text
    assert answer.json["field"] == field, answer.text


def test_what_is_too_large_for_a_number_is_refused(door: Door) -> None:
    for _ in range(2):
        door.count("big", {"a": "x"}, {"v": 9e9})
    assert door.get("/rank", pk="big", dimension="a", by="v*1e300").json["field"] == "by"
    assert door.get("/rank", pk="big", dimension="a", by="v", columns="v*1e300").json["field"] == "columns"
    assert door.get("/rank", pk="big", dimension="a", by="v*v*v/hits").json["rows"][0]["value"] == 2.916e30


# What stands beside the rows


def days(door: Door) -> dict[str, str]:
    """Ten days of two countries, of which one breaks after five; asked beside the five days before."""
    for day in range(8, 18):
        for country, orders in (("DE", 20), ("US", 20 if day < 13 else 4)):
            metrics = {"hits": 200, "orders": orders, "revenue": orders * 10, "peak": {"max": day}}
            door.count("buys", {"country": country}, metrics, f"2015-06-{day:02}T10:00Z")
    return {"pk": "buys", "dimension": "country", "period": "2015-06-13..2015-06-18", "compare": "previous"}


def test_compared_rows_say_how_sure_their_change_is(door: Door) -> None:
    asked = days(door)
    answer = door.get("/rank", **asked, by="orders/hits", columns="hits").json
    changes = {row["path"]: row["change"] for row in [*answer["rows"], answer["total"]]}
    assert list(changes['["country", "DE"]']) == ["low", "high", "z"]
    assert changes['["country", "DE"]']["z"] == 0
    assert changes['["country", "US"]']["z"] < -6
    low, high = (changes['["country", "US"]'][end] for end in ("low", "high"))
    assert low < 0.02 - 0.1 < high < 0
    assert changes["country"]["z"] < -4
    assert answer["rows"][0]["compared"]["orders/hits"]["change"] == 0
    orders = door.get("/rank", **asked, by="orders", limit=1, ascending="1").json["rows"][0]
    assert orders["change"]["low"] < 20 - 100 < orders["change"]["high"] < 0
    assert "change" not in door.get("/rank", **{**asked, "compare": ""}).json["rows"][0]
    assert door.whale.rank(**asked, by="orders/hits", columns="hits") == answer


def test_a_row_says_the_same_of_its_change_on_every_page(door: Door) -> None:
    asked = {**days(door), "by": "orders/hits"}
    whole = door.get("/rank", **asked).json["rows"]
    pages = [door.get("/rank", **asked, limit=1, offset=offset).json["rows"][0] for offset in (0, 1)]
    assert pages == whole


@pytest.mark.parametrize("by", ["peak", "orders:last", "ma7(orders)", "orders*hits", "orders/hits+1"])
def test_a_change_that_nothing_tells_is_null(door: Door, by: str) -> None:
    answer = door.get("/rank", **days(door), by=by).json
    assert [row["change"] for row in [*answer["rows"], answer["total"]]] == [None] * 3


def test_rows_have_their_series(door: Door) -> None:
    asked = {**days(door), "by": "orders/hits", "series": "true"}
    for compare in ("previous", ""):
        answer = door.get("/rank", **{**asked, "compare": compare}).json
        assert answer["times"] == [1434153600000 + day * 86_400_000 for day in range(5)]
        assert [row["series"] for row in [*answer["rows"], answer["total"]]] == [[0.1] * 5, [0.02] * 5, [0.06] * 5]
    pks = door.get("/rank", pk="shop", pks="1", by="revenue", period="seven", series="1").json
    assert [row["series"] for row in pks["rows"]] == [[0] * 7 + [500], [0] * 7 + [300], [0] * 7 + [10]]
    assert "times" not in door.get("/rank", **{**asked, "series": "false"}).json


def test_series_and_changes_are_one_read_of_the_rows_each_period(door: Door) -> None:
    ended = {"period": "2015-06-12..2015-06-17", "by": "orders/hits", "series": "true", "explain": "1"}
    asked = {**days(door), **ended}
    reads = door.get("/rank", **asked).json["explain"]["reads"]
    assert [(read["paths"], read["metrics"]) for read in reads] == [
        (3, ["orders", "hits"]),
        (3, ["orders", "hits"]),
        (3, ["orders", "hits"]),
    ]


def test_series_of_too_many_rows_are_refused() -> None:
    few = Door(max_answer_points="20")
    for number in range(4):
        few.count("many", str(number))
    refused = few.get("/rank", pk="many", period="seven", series="1")
    assert (refused.status, refused.json["code"], refused.json["field"]) == (400, "too_many_points", "limit")
    assert few.get("/rank", pk="many", period="1d:1d", series="1").status == 200


def test_today_in_its_first_hour_has_nothing_to_compare_and_says_so(door: Door) -> None:
    """Both days end at the last whole hour, which is their midnight."""
    door.now = NOW // DAY * DAY + 10 * 60
    for at in (door.now, door.now - 365 * DAY):
        door.count("shop", {"source": ["news", "mail"]}, {"visits": 2, "orders": 1}, at)
    asked = {"pk": "shop", "period": "today", "compare": "last_year", "dimension": ["source"], "by": "orders/visits"}
    for by in (asked, {**asked, "by": "visits"}, {**asked, "series": True}):
        answer = door.get("/rank", **by, order="confidence")
        assert answer.status == 200, answer.text

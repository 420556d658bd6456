"""GET /rank, on the memory store."""

import json

import pytest

from tests.unit.test_whale_web import Door

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

import base64
import gzip
import json
import re
import secrets
import threading
from datetime import UTC, datetime
from typing import Any

import bottle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail import openapi as hail_openapi
from hail.hit import FIELDS
from hail.settings import load
from tests.servers import wait_until
from tests.wsgi import Answer, call
from whale.client import Whale
from whale.errors import Unavailable
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = datetime(2015, 6, 17, 14, 35, 20, tzinfo=UTC).timestamp()
DAY = 86_400


class Door:
    """A Whale on the memory store, called in process."""

    def __init__(self, **settings: str):
        self.settings = load({f"HAILWHALE_{name.upper()}": value for name, value in settings.items()})
        self.store = MemoryStore(self.settings)
        self.now = NOW
        self.whale = Whale(self.store, self.settings, clock=lambda: self.now)
        self.app = make_app(self.settings, self.whale)

    def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        query: str | None = None,
        headers: Any = None,
        **parameters: Any,
    ) -> Answer:
        return call(self.app, method, path, parameters, body, query, **(headers or {}))

    def get(self, path: str, **parameters: Any) -> Answer:
        return self.call("GET", path, **parameters)

    def count(self, pk: Any, dimensions: Any = None, metrics: Any = None, at: Any = None) -> None:
        self.whale.count_now(pk, dimensions, metrics, at)


@pytest.fixture
def door() -> Door:
    door = Door()
    door.count("test", "services", {"dollars": 200})
    door.count("test", {"sales": 55}, {"dollars": 500}, "2015-06-16T10:00Z")
    return door


def test_plotpoints_has_a_point_for_each_bucket_in_sort_order(door: Door) -> None:
    answer = door.get("/plotpoints", pk="test", depth=1, metrics='["dollars","dollars/hits"]', period="seven")
    assert answer.status == 200
    assert list(answer.json) == ["_", "sales", "services"]
    last = int(NOW // DAY) * DAY * 1000
    assert answer.json["_"]["dollars"][-3:] == [[last - 2 * DAY * 1000, 0], [last - DAY * 1000, 500], [last, 200]]
    assert [value for _, value in answer.json["services"]["dollars/hits"]] == [0, 0, 0, 0, 0, 0, 0, 200]
    assert "200.0" not in answer.text


def test_the_default_period_is_32_days_and_the_default_metric_hits(door: Door) -> None:
    answer = door.get("/plotpoints", pk="test").json
    assert list(answer) == ["_"]
    assert len(answer["_"]["hits"]) == 32


def test_ten_paths_below_the_asked_one_are_kept_unless_more_are_asked(door: Door) -> None:
    for i in range(12):
        door.count("many", f"d{i:02}", {"n": i})
    assert list(door.get("/plotpoints", pk="many", depth=1, metric="n").json) == [
        "_",
        *(f"d{i:02}" for i in range(11, 1, -1)),
    ]
    assert list(door.get("/plotpoints", pk="many", depth=1, metric="n", sort="n", limit=2).json) == ["_", "d00", "d01"]
    assert len(door.get("/plotpoints", pk="many", depth=1, limit=0).json) == 13


def test_an_answer_says_how_many_more_paths_there_are_than_its_limit_keeps(door: Door) -> None:
    for i in range(12):
        door.count("many", f"d{i:02}", {"n": i})
    door.count("few", {"a": "b"}, {"n": 1})
    many = {"pk": "many", "depth": 1, "metric": "n", "period": "today"}
    for limit, more in ((10, "2"), (11, "1"), (12, None), (0, None)):
        answer = door.get("/plotpoints", **many, limit=limit)
        assert answer.headers.get("X-Whale-More") == more
        compared = door.get("/plotpoints", **many, limit=limit, compare="previous")
        assert (compared.headers.get("X-Whale-More"), len(compared.json["paths"])) == (more, len(answer.json))
        assert str(door.whale.plotpoints(**many, limit=limit).more or None) == str(more)
    assert door.get("/plotpoints", pk="many", period="today").headers.get("X-Whale-More") is None
    assert "X-Whale-More" in answer.headers["Access-Control-Expose-Headers"]
    several = {"pks": '["many", "few", ["few", "x"]]', "depth": 8, "period": "today"}
    assert door.get("/plotpoints", **several, limit=1).headers["X-Whale-More"] == "many=11, few=1"
    assert door.get("/plotpoints", **several, limit=11).headers["X-Whale-More"] == "many=1"
    for _ in range(2):
        assert door.get("/plotpoints", **many, cached="1", limit=3).headers["X-Whale-More"] == "9"


def test_paths_that_were_asked_are_not_among_the_more(door: Door) -> None:
    for i in range(5):
        door.count("many", ["a", str(i)], {"n": i})
    asked = {
        "pk": "many",
        "dimensions": '[["a", "0"], "a"]',
        "depth": 1,
        "metric": "n",
        "sort": "-n",
        "period": "today",
    }
    answer = door.get("/plotpoints", **asked, limit=2)
    assert list(answer.json) == ['["a", "0"]', "a", '["a", "4"]', '["a", "3"]']
    assert answer.headers["X-Whale-More"] == "2"


def test_a_ranking_says_how_many_more_rows_there_are(door: Door) -> None:
    for i in range(12):
        door.count("many", {"a": {f"d{i:02}": "x"}}, {"n": i})
    many = {"pk": "many", "dimension": "a", "period": "today"}
    for more, asked in (
        ("2", {}),
        (None, {"limit": 12}),
        (None, {"limit": 0}),
        ("14", {"all": "1"}),
        ("7", {"limit": 5, "offset": 3}),
    ):
        for compare in ({}, {"compare": "previous"}):
            assert door.get("/rank", **many, **asked, **compare).headers.get("X-Whale-More") == more


def test_totals_answer_by_period_as_asked(door: Door) -> None:
    answer = door.get("/totals", pk="test", metrics="dollars").json
    assert answer == {
        "1d:1y": {"_": {"dollars": 700}},
        "1d:1mo": {"_": {"dollars": 700}},
        "1d:1w": {"_": {"dollars": 700}},
        "1h:1d": {"_": {"dollars": 200}},
        "1m:1h": {"_": {"dollars": 200}},
    }
    assert door.get("/totals", pk="test", metric="dollars", period="today").json == {"today": {"_": {"dollars": 200}}}
    for periods in ('["today", "yesterday"]', "today,yesterday"):
        answer = door.get("/totals", pk="test", metric="dollars", periods=periods).json
        assert answer == {"today": {"_": {"dollars": 200}}, "yesterday": {"_": {"dollars": 500}}}


def test_totals_leave_out_the_periods_that_are_not_kept_unless_asked() -> None:
    door = Door(periods="((3600, 86400), (86400, None))")
    assert list(door.get("/totals", pk="t").json) == ["1d:1y", "1d:1mo", "1d:1w", "1h:1d"]
    assert door.get("/totals", pk="t", period="1m:1h").json["detail"] == (
        "period: buckets of 1m are not kept, and neither are finer ones to sum; kept are 1h, 1d"
    )


def test_the_parameters_are_read_as_people_type_them(door: Door) -> None:
    door.count(["Product", "123"], {"country": {"US": "CA"}}, {"revenue": 10, "sales": 4})
    expected = {"today": {'["country", "US"]': {"revenue/sales": 2.5, "revenue": 10}}}
    for dimensions in ("['country', 'US']", '["country","US"]', '{"country": "US"}', '[["country", "US"]]'):
        for metrics in ("['revenue/sales', 'revenue']", '["revenue/sales","revenue"]'):
            for singular in (
                {"dimension": dimensions, "metric": metrics},
                {"dimensions": dimensions, "metrics": metrics},
            ):
                assert door.get("/totals", pk="['Product', '123']", period="today", **singular).json == expected
    assert door.get("/totals", pk="Product", metrics='{"revenue": "sales"}', period="today").json == {
        "today": {"_": {"revenue/sales": 2.5}}
    }


def test_pks_are_a_tree(door: Door) -> None:
    door.count(["Product", "123"])
    door.count(["Product", "124"])
    assert door.get("/pks").json == ["test", "Product"]
    assert door.get("/pks", pk="Product").json == ['["Product", "123"]', '["Product", "124"]']
    assert door.get("/pks", pk='["Product", "123"]').json == []
    assert door.get("/pks", pk="nobody").json == []


def test_metrics_of_a_pk(door: Door) -> None:
    assert door.get("/metrics_of", pk="test").json == ["hits", "dollars"]
    assert door.get("/metrics_of", pk="nobody").json == []


def declare(door: Door, given: Any, **headers: str) -> Answer:
    body = given if isinstance(given, bytes) else json.dumps(given).encode()
    return door.call("PUT", "/metrics_of", body, headers={"CONTENT_TYPE": "application/json", **headers})


def test_units_are_declared_and_told(door: Door) -> None:
    given = {
        "pk": "test",
        "metrics": {"dollars": {"unit": "money", "currency": "USD", "better": "none"}, "dolars": {"better": "up"}},
    }
    answer = declare(door, given)
    assert (answer.status, answer.headers["X-Whale-Unknown"]) == (200, "metric=dolars;near=dollars")
    found = door.get("/metrics_of", pk="test", info=1)
    assert found.json == answer.json
    assert found.json[1] == {
        "name": "dollars",
        "kind": "sum",
        "unit": "money",
        "currency": "USD",
        "better": "none",
        "declared": True,
        "first_seen": "2015-06-16",
        "last_seen": "2015-06-17",
    }
    unknown = door.get("/metrics_of", pk="tset", info="true")
    assert (unknown.json, unknown.headers["X-Whale-Unknown"]) == ([], "pk=tset;near=test")


@pytest.mark.parametrize(
    ("given", "status", "field"),
    [
        ({}, 400, "pk"),
        ({"pk": "test"}, 400, "metrics"),
        ({"metrics": {"dollars": {"unit": "money"}}}, 400, "pk"),
        ({"pk": "test", "metrics": {"dollars": {"unit": "dollars"}}}, 400, "metrics.dollars.unit"),
        ({"pk": "test", "metrics": {"dollars": {"unit": "money", "currency": "dollars"}}}, 400, "metrics.dollars.currency"),
        ({"pk": "test", "metrics": {"dollars": {"better": "more"}}}, 400, "metrics.dollars.better"),
        ({"pk": "test", "metrics": {"dollars": {"colour": "red"}}}, 400, "metrics.dollars.colour"),
        ({"pk": "test", "metrics": ["dollars"]}, 400, "metrics"),
        ({"pk": "test", "metrics": {"": {"unit": "count"}}}, 400, "metrics"),
        ({"pk": "test", "metrics": {"n" * 201: {"unit": "count"}}}, 400, "metrics"),
        ({"pk": "n" * 201, "metrics": {"a": {"unit": "count"}}}, 400, "pk[0]"),
        ({"pk": ["a"] * 9, "metrics": {"a": {"unit": "count"}}}, 400, "pk"),
        ({"pk": "test", "metrics": {"dollars": {"unit": "money"}}, "info": True}, 400, "info"),
        ({"pk": "test", "metrics": {f"m{i}": {"unit": "count"} for i in range(10_001)}}, 400, "metrics"),
        (b"{", 400, "body"),
        (b"[]", 400, "body"),
        (b"", 400, "body"),
        (b'{"pk":"' + b"a" * 10_000_000 + b'"}', 413, "body"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_wrong_declaration_is_refused_over_http(given: Any, status: int, field: str) -> None:
    answer = declare(SHARED, given)
    assert (answer.status, answer.json["field"], len(answer.body) < 1000) == (status, field, True)


def test_a_declaration_needs_the_admin_key_and_a_page_asks_first() -> None:
    locked = Door(write_key="w" * 16, read_key="r" * 16, admin_key="a" * 16)
    given = {"pk": "test", "metrics": {"dollars": {"unit": "money"}}}
    for key, status in (("r", 401), ("w", 401), ("a", 200)):
        assert declare(locked, given, HTTP_AUTHORIZATION=f"Bearer {key * 16}").status == status
    asked = SHARED.call("OPTIONS", "/metrics_of", headers={"HTTP_ORIGIN": "http://127.0.0.1:8086"})
    assert asked.headers["Access-Control-Allow-Methods"] == "GET, POST, PUT, OPTIONS"
    assert SHARED.call("OPTIONS", "/pks").headers["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
    assert declare(SHARED, given, HTTP_ORIGIN="http://evil.example").json["code"] == "foreign_origin"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"limit": "all"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"counts": "1", "limit": "1001"}, "limit"),
        ({"counts": "much"}, "counts"),
        ({"counts": "1", "tz": "Mars/Olympus"}, "tz"),
        ({"prefixes": "a"}, "prefixes"),
    ],
)
def test_a_wrong_question_about_pks_is_told_its_parameter(asked: dict[str, str], field: str) -> None:
    answer = SHARED.get("/pks", **asked)
    assert (answer.status, answer.json["field"]) == (400, field)


def test_of_many_pks_those_of_a_prefix_are_told_with_their_use(door: Door) -> None:
    door.count(["Product", "1"])
    door.count("Product")
    assert door.get("/pks", prefix="pr", counts=1).json == [
        {"pk": "Product", "hits_today": 2, "last_seen": "2015-06-17"}
    ]
    door.now += 2 * DAY
    assert [row["hits_today"] for row in door.get("/pks", counts=1).json] == [0, 0]
    assert [row["last_seen"] for row in door.get("/pks", counts=1).json] == ["2015-06-17"] * 2
    assert door.get("/pks", limit=1).headers["X-Whale-More"] == "1"
    assert door.get("/pks", limit="1e9").json == ["test", "Product"]
    assert door.get("/pks", prefix="<img src=x>").json == []


def test_what_was_never_counted_reads_zero(door: Door) -> None:
    assert door.get("/totals", pk="nobody", dimensions="x", metric="y", period="today").json == {
        "today": {"x": {"y": 0}}
    }


ZONED = ("/plotpoints", "/totals", "/total", "/dataset", "/rank", "/factors", "/shifts")


@pytest.mark.parametrize(
    ("path", "parameters", "field", "code"),
    [
        ("/plotpoints", {}, "pk", "bad_path"),
        ("/plotpoints", {"pk": "[]"}, "pk", "bad_path"),
        ("/plotpoints", {"pk": "[1"}, "pk", "bad_json"),
        ("/plotpoints", {"pk": '[""]'}, "pk", "bad_path"),
        ("/plotpoints", {"pk": "t", "dimensions": '[{"a": 1}]'}, "dimensions", "bad_path"),
        ("/plotpoints", {"pk": "t", "dimensions": "{a"}, "dimensions", "bad_json"),
        ("/plotpoints", {"pk": "t", "dimensions": "a", "dimension": "b"}, "dimensions", "bad_request"),
        ("/plotpoints", {"pk": "t", "metrics": "[1]"}, "metrics", "bad_formula"),
        ("/plotpoints", {"pk": "t", "metrics": "a/"}, "metrics", "bad_formula"),
        ("/plotpoints", {"pk": "t", "metrics": '[""]'}, "metrics", "bad_formula"),
        ("/plotpoints", {"pk": "t", "period": "fortnight"}, "period", "bad_period"),
        ("/plotpoints", {"pk": "t", "period": "1m:3d"}, "period", "bad_period"),
        ("/plotpoints", {"pk": "t", "period": "1m:100y"}, "period", "too_many_points"),
        ("/plotpoints", {"pk": "t", "period": "1m:1915-01-01..2015-01-01"}, "period", "too_many_points"),
        ("/plotpoints", {"pk": "t", "period": "2015-06-02..2015-06-01"}, "period", "bad_period"),
        ("/plotpoints", {"pk": "t", "period": "seven|Mars/Olympus"}, "tz", "bad_period"),
        ("/plotpoints", {"pk": "t", "tz": "Europe/Berlin", "period": "year"}, "period", "bad_period"),
        ("/plotpoints", {"pk": "t", "tz": "../etc/passwd"}, "tz", "bad_period"),
        ("/plotpoints", {"pk": "t", "tzoffset": "0710"}, "tzoffset", "bad_period"),
        ("/plotpoints", {"pk": "t", "tz": "+0710"}, "tz", "bad_period"),
        *((route, {"pk": "t", "tzoffset": "abc"}, "tzoffset", "bad_period") for route in ZONED),
        ("/plotpoints", {"pk": "t", "tz": "UTC", "tzoffset": "1"}, "tz", "bad_request"),
        ("/plotpoints", {"pk": "t", "metrics": "(a+" * 1000}, "metrics", "bad_formula"),
        ("/plotpoints", {"pk": "t", "metrics": "a+" * 5000}, "metrics", "bad_formula"),
        ("/plotpoints", {"pk": "t", "sort": "a/"}, "sort", "bad_formula"),
        ("/plotpoints", {"pk": "t", "undefined": "nan"}, "undefined", "bad_request"),
        ("/plotpoints", {"pk": "t", "flot_time": "maybe"}, "flot_time", "bad_request"),
        ("/plotpoints", {"pk": "t", "points_type": "set"}, "points_type", "bad_request"),
        ("/dataset", {"pk": "t", "start_at": "2015-12-01"}, "start_at", "bad_period"),
        ("/dataset", {"pk": "t", "start_at": "soon"}, "start_at", "bad_request"),
        ("/dataset", {"pk": "t", "dimensions": '[["a"], ["b"]]'}, "dimensions", "bad_request"),
        ("/total", {"pk": "t", "index": "32"}, "index", "bad_request"),
        ("/total", {"pk": "t", "at": "yesterday"}, "at", "bad_request"),
        ("/total", {}, "pk", "bad_path"),
        ("/subdimensions", {"pk": "t", "depth": "0"}, "depth", "bad_request"),
        ("/subdimensions", {"pk": "t", "depth": "1000000000"}, "depth", "bad_request"),
        ("/tracker", {}, "pk", "bad_pk"),
        ("/plotpoints", {"pk": "t", "depth": "deep"}, "depth", "bad_request"),
        ("/plotpoints", {"pk": "t", "depth": "9"}, "depth", "bad_request"),
        ("/plotpoints", {"pk": "t", "depth": "1000000000"}, "depth", "bad_request"),
        ("/plotpoints", {"pk": "t", "limit": "-1"}, "limit", "bad_request"),
        ("/plotpoints", {"pk": "t", "limit": "١"}, "limit", "bad_request"),
        ("/plotpoints", {"pk": "t", "perod": "today"}, "perod", "bad_request"),
        ("/plotpoints", {"pk": "t", "period": "1d:100y"}, "period", "too_many_points"),
        ("/totals", {"pk": "t", "period": "today", "periods": "today"}, "periods", "bad_request"),
        ("/totals", {"pk": "t", "periods": "{}"}, "periods", "bad_request"),
        ("/totals", {"pk": "t", "periods": "[[]]"}, "periods", "bad_request"),
        ("/totals", {"pk": "t", "periods": str(["today"] * 101)}, "periods", "bad_request"),
        ("/totals", {"pk": "t", "periods": "today,fortnight"}, "periods", "bad_period"),
        ("/totals", {"pk": "t", "period": "today,fortnight"}, "period", "bad_period"),
        ("/totals", {"pk": "t", "periods": "today", "tz": "Mars/Olympus"}, "tz", "bad_period"),
        ("/total", {"pk": "t", "metric": "a/"}, "metric", "bad_formula"),
        ("/total", {"pk": "t", "metric": "(" * 1001}, "metric", "bad_formula"),
        ("/total", {"pk": "t", "metric": "a/", "compare": "previous"}, "metric", "bad_formula"),
        ("/dataset", {"pk": "t", "value": "a//b"}, "value", "bad_formula"),
        ("/totals", {"pk": "t", "metrics": str(list(map(str, range(1001))))}, "metrics", "bad_formula"),
        (
            "/plotpoints",
            {"pk": "t", "depth": "1", "dimensions": str([[f"d{i}"] for i in range(1001)])},
            "dimensions",
            "bad_request",
        ),
        ("/count_now", {}, "pk", "bad_pk"),
        ("/count_now", {"pk": "t", "metrics": '{"x": 9.1e9}'}, "metrics.x", "number_out_of_range"),
        ("/metrics_of", {}, "pk", "bad_path"),
    ],
)
def test_a_wrong_question_is_400_with_its_field(
    door: Door, path: str, parameters: dict[str, str], field: str, code: str
) -> None:
    answer = door.get(path, **parameters)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.json["field"], answer.json["code"], answer.json["status"]) == (field, code, 400)


def test_a_misspelt_parameter_is_told_the_right_one(door: Door) -> None:
    assert "did you mean period?" in door.get("/plotpoints", pk="t", perod="today").json["detail"]


@pytest.mark.parametrize(
    ("path", "asked", "detail"),
    [
        ("/plotpoints", {"depth": "deep"}, "depth: expected a whole number, got 'deep'"),
        ("/plotpoints", {"limit": "1.5"}, "limit: expected a whole number, got '1.5'"),
        ("/plotpoints", {"limit": "-1"}, "limit: expected 0 (all) or more, got -1"),
        ("/plotpoints", {"start": "1", "buckets": "ten"}, "buckets: expected a whole number, got 'ten'"),
        ("/total", {"index": "last"}, "index: expected a whole number, got 'last'"),
        ("/rank", {"threshold": "much"}, "threshold: expected a number, got 'much'"),
        ("/rank", {"threshold": "2"}, "threshold: expected a number from 0 to 1, got 2"),
        ("/decide", {"options": "['a']", "trial": "x"}, "trial: expected true or false, or 1 or 0, got 'x'"),
    ],
)
def test_a_number_that_is_none_is_told_its_parameter_and_what_is_allowed(
    door: Door, path: str, asked: dict[str, str], detail: str
) -> None:
    assert door.get(path, pk="t", **asked).json["detail"] == detail


def test_a_word_that_is_none_of_those_is_told_them(door: Door) -> None:
    detail = door.get("/rank", pk="t", order="size").json["detail"]
    assert detail == "order: expected value or confidence, got 'size'"
    detail = door.get("/plotpoints", pk="t", flot_time="maybe").json["detail"]
    assert detail == "flot_time: expected true or false, or 1 or 0, got 'maybe'"
    detail = door.get("/totals", pk="t", compare="before").json["detail"]
    assert detail == "compare: expected previous or last_year, got 'before'"


def test_a_parameter_that_came_twice_and_bytes_that_are_no_text_are_400(door: Door) -> None:
    assert door.get("/totals", query="pk=a&pk=b").json["field"] == "pk"
    assert door.get("/totals", query="pk=%ff").json["field"] == "query"
    assert door.get("/totals", query="a=1&" * 200).json["field"] == "query"


def test_a_question_may_be_posted_as_a_form(door: Door) -> None:
    door.get("/count_now", pk="t", metrics='{"dollars": 5}')
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded; charset=utf-8"}
    assert call(door.app, "POST", "/totals", body=b"pk=t&metrics=dollars&period=today", **form).json == {
        "today": {"_": {"dollars": 5}}
    }
    both = call(door.app, "POST", "/total", {"pk": "t"}, body=b"metric=dollars&cached=true", **form)
    assert both.text == "5"
    assert door.get("/total", pk="t", metric="dollars").json == 5


def test_a_form_in_chunks_is_read_to_its_end(door: Door) -> None:
    form = {
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": "",
        "SERVER_SOFTWARE": "gunicorn/27.0.1",
    }
    door.get("/count_now", pk="t", metrics='{"dollars": 5}')
    assert call(door.app, "POST", "/total", {"pk": "t"}, body=b"metric=dollars", **form).json == 5
    long = call(door.app, "POST", "/total", {"pk": "t"}, body=b"metric=" + b"d" * door.settings.max_body_bytes, **form)
    assert (long.status, long.json["field"]) == (413, "body")


@pytest.mark.parametrize(
    ("body", "kind", "field"),
    [
        (b"pk=t&metrics=" + b"a%2b" * 2500 + b"a", "application/x-www-form-urlencoded", "metrics"),
        (b"pk=t&metrics=" + b"(" * 1000 + b"a" + b")" * 1000, "application/x-www-form-urlencoded", "metrics"),
        (b'{"pk": "t"}', "application/json", "body"),
        (b"pk=\xff", "application/x-www-form-urlencoded", "body"),
        (b"pk=%ff", "application/x-www-form-urlencoded", "query"),
        (b"pk=t&pk=t", "application/x-www-form-urlencoded", "pk"),
        (b"", "", "pk"),
    ],
)
def test_a_wrong_form_is_400_with_its_field(door: Door, body: bytes, kind: str, field: str) -> None:
    answer = call(door.app, "POST", "/plotpoints", body=body, CONTENT_TYPE=kind)
    assert (answer.status, answer.json["field"]) == (400, field)


def test_a_body_may_be_gzipped(door: Door) -> None:
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded", "HTTP_CONTENT_ENCODING": "gzip"}
    assert call(door.app, "POST", "/count_now", body=gzip.compress(b"pk=t"), **form).text == "OK"
    assert call(door.app, "POST", "/total", body=gzip.compress(b"pk=t"), **form).text == "1"
    large = call(door.app, "POST", "/total", body=gzip.compress(b"pk=t&_=" + b"x" * 2_000_000), **form)
    assert (large.status, large.json["field"], large.json["code"]) == (413, "body", "body_too_large")
    assert call(door.app, "POST", "/total", body=b"pk=t", **form).json["field"] == "body"


def test_a_cache_buster_is_left_aside(door: Door) -> None:
    assert door.get("/pks", _="1234").status == 200


@pytest.mark.parametrize("path", ["/plotpoints", "/totals", "/total", "/rank", "/dataset", "/factors", "/shifts"])
def test_what_was_never_counted_is_told_with_a_name_that_is_near(door: Door, path: str) -> None:
    door.get("/count_now", pk="shop", dimensions='{"country": "US"}', metrics='{"revenue": 5}')
    metric = {"/rank": "by", "/dataset": "value", "/factors": "metric", "/shifts": "metric", "/total": "metric"}.get(
        path, "metrics"
    )
    known = door.get(path, pk="shop", **{metric: "revenue"})
    assert (known.status, known.headers.get("X-Whale-Unknown")) == (200, None)
    answer = door.get(path, pk="shop", **{metric: "revenu"})
    assert (answer.status, answer.headers["X-Whale-Unknown"]) == (200, "metric=revenu;near=revenue")
    assert "X-Whale-Unknown" in answer.headers["Access-Control-Expose-Headers"]
    again = call(door.app, "GET", path, {"pk": "shop", metric: "revenu"}, HTTP_IF_NONE_MATCH=answer.headers["Etag"])
    assert (again.status, again.headers["X-Whale-Unknown"]) == (304, "metric=revenu;near=revenue")
    assert door.get(path, pk="shp", **{metric: "revenue"}).headers["X-Whale-Unknown"] == "pk=shp;near=shop"
    if path not in ("/factors", "/shifts"):
        answer = door.get(path, pk="shop", dimensions='["country", "UK"]', **{metric: "caf\u00e9"})
        near = "path=%5B%22country%22%2C%20%22UK%22%5D"
        assert answer.headers["X-Whale-Unknown"].startswith(near)
        assert answer.headers["X-Whale-Unknown"].endswith("metric=caf%C3%A9")


def test_names_below_what_was_never_counted_say_so(door: Door) -> None:
    door.get("/count_now", pk="shop", dimensions="country")
    said = door.get("/subdimensions", pk="shop", dimensions="contry").headers["X-Whale-Unknown"]
    assert said == "path=contry;near=country"
    assert door.get("/metrics_of", pk="shpo").headers["X-Whale-Unknown"] == "pk=shpo;near=shop"
    assert "X-Whale-Unknown" not in door.get("/metrics_of", pk="shop").headers
    assert "X-Whale-Unknown" not in door.get("/subdimensions", pk="shop").headers


def test_an_answer_that_is_remembered_says_what_is_unknown_and_bounds_it(door: Door) -> None:
    door.get("/count_now", pk="shop")
    for _ in range(2):
        asked = door.get("/total", pk="shop", metric="hitz", cached="1")
        assert asked.headers["X-Whale-Unknown"] == "metric=hitz;near=hits"
    many = door.get("/totals", pk="shop", metrics=json.dumps([f"m{number}" for number in range(30)]))
    assert many.headers["X-Whale-Unknown"].count("metric=") == 20


def test_what_hail_passes_over_whale_passes_over(door: Door) -> None:
    assert door.get("/total", pk="t", utm_source="x", gclid="y", rnd="1").status == 200
    assert door.get("/tracker", pk="t", utm_source="x", cb="1").status == 200
    refusal = door.get("/tracker", pk="t", country="US")
    assert (refusal.status, refusal.json["field"]) == (400, "country")


@given(
    st.sampled_from(["/plotpoints", "/dataset", "/totals", "/total", "/factors", "/shifts", "/subdimensions"]),
    st.dictionaries(
        st.sampled_from(["pk", "dimensions", "metrics", "period", "sort", "depth", "limit", "tz", "tzoffset", "value"]),
        st.text(),
    ),
)
def test_no_question_breaks_whale(path: str, parameters: dict[str, str]) -> None:
    assert SHARED.get(path, **parameters).status in (200, 400)


@given(st.text('ab1.:/*+-()`"_ ma7', max_size=30))
def test_no_formula_breaks_whale(formula: str) -> None:
    assert SHARED.get("/totals", pk="x", metrics=json.dumps([formula])).status in (200, 400)


SHARED = Door()
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(NAMES, st.lists(NAMES, min_size=1, max_size=3), NAMES)
def test_any_name_that_was_counted_is_read_back(pk: str, path: list[str], metric: str) -> None:
    thing = [pk, secrets.token_hex(8)]
    SHARED.count(thing, path, {metric: 2})
    asked = {
        "pk": json.dumps(thing),
        "dimensions": json.dumps(path),
        "metrics": json.dumps([metric]),
        "period": "today",
    }
    (totals,) = SHARED.get("/totals", **asked).json["today"].values()
    assert totals == {metric: 2}
    assert SHARED.get("/pks").status == SHARED.get("/").status == 200


def test_count_now_counts_once_and_at_once() -> None:
    door = Door()
    assert door.get("/count_now", pk="t", metrics="{'spent': .5}", dimensions="a").text == "OK"
    assert (
        door.call("POST", "/count_now", b'{"pk": "t", "metrics": {"spent": 1.9}, "at": "2015-06-17T14:00Z"}').text
        == "OK"
    )
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    assert door.call("POST", "/count_now", b"pk=t&metrics=%7B%22spent%22%3A-2.7%7D", headers=form).text == "OK"
    assert door.get("/totals", pk="t", metrics='["spent","hits"]', period="today").json["today"]["_"] == {
        "spent": -0.3,
        "hits": 3,
    }


def test_a_retried_id_counts_once() -> None:
    door = Door()
    for _ in range(3):
        assert door.get("/count_now", pk="t", id="one").text == "OK"
    assert door.get("/totals", pk="t", period="today").json["today"]["_"] == {"hits": 1}


def test_a_formula_is_refused_with_a_line_that_points_at_the_character(door: Door) -> None:
    detail = door.get("/totals", pk="test", metrics="dollars/").json["detail"]
    assert detail.split("\n") == [
        "metrics: expected a metric, a number or ( at the end",
        "  dollars/",
        "          ^",
    ]


def test_points_come_in_every_shape(door: Door) -> None:
    asked = {"pk": "test", "metrics": "dollars", "period": "2015-06-16..2015-06-18"}
    first, last = 1_434_412_800_000, 1_434_499_200_000
    assert door.get("/plotpoints", **asked).json["_"]["dollars"] == [[first, 500], [last, 200]]
    more = {"descending": "1", "with_totals": "true", "flot_time": "0"}
    assert door.get("/plotpoints", **asked, **more).json["_"]["dollars"] == [
        ["Wed Jun 17 00:00:00 2015", 200],
        ["Tue Jun 16 00:00:00 2015", 500],
        ["Total", 700],
    ]
    assert door.get("/plotpoints", **asked, **more, points_type="dict").text == (
        '{"_":{"dollars":{"Wed Jun 17 00:00:00 2015":200,"Tue Jun 16 00:00:00 2015":500,"Total":700}}}'
    )


def test_a_range_is_a_start_and_a_finish_or_a_number_of_buckets(door: Door) -> None:
    asked = {"pk": "test", "metric": "dollars", "start": "2015-06-16T10:42"}
    assert door.get("/total", **asked).json == 700
    assert door.get("/total", **asked, interval="hour", finish="2015-06-16T12:00").json == 500
    assert door.get("/total", **asked, interval="hour", buckets=1).json == 500
    assert door.get("/totals", **asked, interval="hour", buckets=3).json == {
        "hour:2015-06-16T10:42..+3": {"_": {"dollars": 500}}
    }
    found = door.get("/plotpoints", **asked, interval="week", explain=1).json
    assert found["answer"]["_"]["dollars"] == [[1_434_326_400_000, 700]]
    assert list(found["explain"]["ranges"]) == ["week:2015-06-16T10:42.."]
    assert door.get(
        "/dataset", pk="test", value="dollars", start="1434450000", finish="1434455000", interval="15m"
    ).json == [
        ["2015-06-16T10:15:00+00:00", 0],
        ["2015-06-16T10:30:00+00:00", 0],
        ["2015-06-16T10:45:00+00:00", 0],
        ["2015-06-16T11:00:00+00:00", 0],
        ["2015-06-16T11:15:00+00:00", 0],
        ["2015-06-16T11:30:00+00:00", 0],
    ]


@pytest.mark.parametrize("path", ["/plotpoints", "/totals", "/total", "/dataset"])
@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"finish": "2015-06-16"}, "finish"),
        ({"interval": "day"}, "interval"),
        ({"buckets": "5"}, "buckets"),
        ({"start": "2015-06-16", "period": "today"}, "start"),
        ({"start": "2015-06-16", "finish": "2015-06-15"}, "finish"),
        ({"start": "2015-06-16", "buckets": "x"}, "buckets"),
        ({"start": "2015-06-16", "buckets": "1" * 400}, "buckets"),
        ({"start": "1915-06-16", "interval": "minute"}, "interval"),
        ({"start": "2015-06-16", "tz": "../../etc/passwd"}, "tz"),
    ],
)
def test_a_range_that_is_none_is_refused_by_its_field(door: Door, path: str, asked: dict[str, str], field: str) -> None:
    answer = door.get(path, pk="test", **asked)
    assert (answer.status, answer.json["field"]) == (400, field)


AHEAD: list[dict[str, str]] = [
    {"start": "2030-01-01", "finish": "2030-01-03"},
    {"start": "2030-01-01", "buckets": "3"},
    {"start": "2015-06-17T20:00", "finish": "2015-06-17T22:00", "interval": "hour"},
]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/rank", {"dimension": "sales"}),
        ("/rank", {"dimension": "sales", "compare": "previous"}),
        ("/rank", {"dimension": "sales", "cached": "1"}),
        ("/factors", {}),
        ("/factors", {"against": "thirty"}),
        ("/plotpoints", {"compare": "previous"}),
        ("/plotpoints", {"compare": "last_year"}),
        ("/totals", {"compare": "previous"}),
        ("/total", {"compare": "previous"}),
    ],
)
def test_what_lies_ahead_is_refused_by_the_field_that_says_so(door: Door, path: str, asked: dict[str, str]) -> None:
    for range_, field in [*((each, "start") for each in AHEAD), ({"period": "2030-01-01..2030-01-03"}, "period")]:
        for method in ("GET", "POST"):
            answer = door.call(method, path, pk="test", **asked, **range_)
            assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_period", field)
            assert answer.json["detail"].startswith(f"{field}: ")


def test_what_a_period_is_refused_for_is_told_of_the_field_that_was_sent(door: Door) -> None:
    door.count("test", {"sales": 55}, {"seen": {"unique": "ann"}})
    fine = {"pk": "test", "metric": "seen"}
    for path, asked, field in [
        ("/totals", {"start": "2015-06-17T14:00", "interval": "minute"}, "interval"),
        ("/total", {"start": "2015-06-17T14:00", "interval": "minute"}, "interval"),
        ("/total", {"period": "1m:1h"}, "period"),
        ("/totals", {"periods": "1m:1h"}, "periods"),
        ("/totals", {"period": "1m:1h"}, "period"),
    ]:
        answer = door.get(path, **fine, **asked)
        assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_period", field)
    ahead = door.get("/totals", pk="test", periods='["today", "2030-01-01..2030-01-02"]', compare="previous")
    assert (ahead.status, ahead.json["field"]) == (400, "periods")
    against = door.get("/factors", pk="test", start="2015-06-01", against="2030-01-01..2030-01-02")
    assert (against.status, against.json["field"]) == (400, "against")


ODD = [
    *("['\\ud800']", "{'a': '\\ud800'}", "{'\\ud800': 1}", "[1j]", "[b'x']", "[{1, 2}]", "['a', ...]", "{(1, 2): 3}"),
    *(
        "{None: 1}",
        "{True: 1}",
        "[1e400]",
        "[-1e400]",
        "[nan]",
        "['a', {'b': 1j}]",
        "{'a': {5: 1j}}",
        "[",
        "{",
        "[]]",
        "[0x" + "f" * 3000 + "]",
    ),
]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("field", ["pk", "dimensions", "metrics"])
def test_what_python_can_write_and_json_cannot_is_refused_by_its_field(door: Door, field: str, text: str) -> None:
    given = {"pk": "t", field: text}
    for path in ("/plotpoints", "/totals", "/count_now", "/tracker"):
        answer = door.get(path, **given)
        assert (answer.status, answer.json["field"].partition(".")[0].partition("[")[0]) == (400, field), (path, text)
    assert door.get("/total", pk="t", period="today").json == 0


def test_a_ratio_of_a_number_is_refused(door: Door) -> None:
    answer = door.get("/totals", pk="test", metrics="{5: 'hits'}")
    assert (answer.status, answer.json["field"]) == (400, "metrics")


def test_several_pks_are_answered_in_one_call(door: Door) -> None:
    door.count(["Product", "1"], None, {"dollars": 5})
    pks = '["test", ["Product", "1"], "nobody", "test"]'
    asked = {"metrics": '["dollars", "dollars/hits"]', "period": "today"}
    found = door.get("/totals", pks=pks, **asked)
    assert found.json == {
        "test": {"today": {"_": {"dollars": 200, "dollars/hits": 200}}},
        '["Product", "1"]': {"today": {"_": {"dollars": 5, "dollars/hits": 5}}},
        "nobody": {"today": {"_": {"dollars": 0, "dollars/hits": 0}}},
    }
    assert (
        door.whale.totals_of(["test", ["Product", "1"], "nobody"], None, ["dollars", "dollars/hits"], "today")
        == found.json
    )
    series = door.get("/plotpoints", pks=pks, **asked, depth=1, explain=1).json["answer"]
    for pk in ("test", '["Product", "1"]', "nobody"):
        assert series[pk] == door.get("/plotpoints", pk=pk, **asked, depth=1).json
    assert list(series) == ["test", '["Product", "1"]', "nobody"]
    assert door.whale.plotpoints_of(["test"], metric="dollars", period="yesterday") == {
        "test": {"_": {"dollars": {"Tue Jun 16 00:00:00 2015": 500}}}
    }


def test_several_pks_share_the_bound_of_one_answer() -> None:
    door = Door(max_answer_points="3200")
    for count, status in ((100, 200), (101, 400)):
        assert door.get("/plotpoints", pks=json.dumps([f"p{i}" for i in range(count)])).status == status
    many = door.get("/plotpoints", pks=json.dumps([f"p{i}" for i in range(100)]), metrics='["a", "b"]')
    assert (many.status, many.json["code"]) == (400, "too_many_points")
    for wrong in (
        {"pks": "a"},
        {"pks": "[]"},
        {"pks": "{}"},
        {"pks": '["a"]', "pk": "a"},
        {"pks": "[[]]"},
        {"pks": "[1e400]"},
    ):
        for path in ("/plotpoints", "/totals"):
            answer = door.get(path, **wrong)
            assert (answer.status, answer.json["field"]) == (400, "pks"), wrong


def test_over_zero_is_null_where_that_is_asked(door: Door) -> None:
    asked = {"pk": "test", "metrics": '["dollars/hits", "a/b"]', "period": "2015-06-15..2015-06-18"}
    found = door.get("/plotpoints", **asked, undefined="null", with_totals="1").json["_"]
    assert [value for _, value in found["dollars/hits"]] == [None, 500, 200, 350]
    assert [value for _, value in found["a/b"]] == [None] * 4
    assert [value for _, value in door.get("/plotpoints", **asked).json["_"]["a/b"]] == [0, 0, 0]


def test_a_dataset_is_one_series_or_one_for_each_child(door: Door) -> None:
    asked = {"pk": "test", "value": "dollars", "period": "seven", "start_at": "2015-06-16T12:00Z"}
    assert door.get("/dataset", **asked).json == [
        ["2015-06-16T00:00:00+00:00", 500],
        ["2015-06-17T00:00:00+00:00", 200],
    ]
    found = door.get("/dataset", **asked, depth=2).json
    assert {path: [value for _, value in series] for path, series in found.items()} == {
        "sales": [500, 0],
        '["sales", "55"]': [500, 0],
        "services": [0, 200],
    }


def test_a_total_is_one_number_now_or_at_a_time(door: Door) -> None:
    asked = {"pk": "test", "metric": "dollars"}
    assert door.get("/total", **asked).json == 700
    assert door.get("/total", **asked, period="today").json == 200
    assert door.get("/total", **asked, period="today", at="2015-06-16T23:00Z").json == 500
    assert [door.get("/total", **asked, period="seven", index=index).json for index in (-1, -2, 0)] == [200, 500, 0]
    assert door.get("/total", **asked, dimension="sales").json == 500


def test_subdimensions_are_the_paths_below(door: Door) -> None:
    assert door.get("/subdimensions", pk="test").json == ["services", "sales"]
    assert door.get("/subdimensions", pk="test", dimension="sales").json == ['["sales", "55"]']
    assert door.get("/subdimensions", pk="test", all="1").json == ["_", "services", "sales", '["sales", "55"]']
    assert door.get("/subdimensions", pk="nobody").json == []


def test_another_zone_has_its_own_days(door: Door) -> None:
    door.count("zoned", None, {"n": 1}, "2015-06-17T03:00Z")
    for zone in ({"tzoffset": "-700"}, {"tzoffset": "-0700"}, {"tzoffset": "-7"}, {"tz": "America/Phoenix"}):
        points = door.get("/plotpoints", pk="zoned", metrics="n", period="seven", **zone).json["_"]["n"]
        assert points[-2:] == [[1_434_438_000_000, 1], [1_434_524_400_000, 0]]
    assert door.get("/total", pk="zoned", metric="n", period="today|-700").json == 0
    detail = door.get("/total", pk="zoned", period="year", tz="America/Phoenix").json["detail"]
    assert detail.startswith("period: buckets of 1h, which 1d in America/Phoenix is summed from, are kept for 90d")


def test_an_answer_says_whether_it_is_complete_and_is_checked_by_its_tag(door: Door) -> None:
    open_, closed = (door.get("/totals", pk="test", period=period) for period in ("today", "yesterday"))
    assert open_.headers["X-Whale-As-Of"] == "2015-06-17T14:35:20Z"
    assert (open_.headers["X-Whale-Complete"], open_.headers["Cache-Control"]) == ("false", "no-cache")
    assert (closed.headers["X-Whale-Complete"], closed.headers["Cache-Control"]) == ("true", "no-cache")
    known = {"HTTP_IF_NONE_MATCH": closed.headers["Etag"]}
    again = door.get("/totals", headers=known, pk="test", period="yesterday")
    assert (again.status, again.body) == (304, b"")
    door.count("test", None, {"dollars": 1}, "2015-06-16T10:00Z")
    assert door.get("/totals", headers=known, pk="test", period="yesterday", metric="dollars").status == 200


def test_a_remembered_answer_stays_for_a_fifth_of_the_interval_or_until_it_is_forced(door: Door) -> None:
    for path, asked, kept_s, left_s in (
        ("/totals", {"period": "thirty"}, 17_280, "17280"),
        ("/plotpoints", {"period": "hour", "points_type": "dict"}, 12, "12"),
        ("/total", {}, 60, "60"),
    ):
        door.now = NOW
        asked = {"pk": f"c{path}", **asked, "cached": "1"}
        door.count(f"c{path}")
        first = door.get(path, **asked)
        assert (first.status, first.headers["Cache-Control"]) == (200, f"private, max-age={left_s}")
        door.count(f"c{path}")
        door.now = NOW + kept_s - 1
        again = door.get(path, **asked)
        assert (again.body, again.headers["X-Whale-As-Of"]) == (first.body, "2015-06-17T14:35:20Z")
        assert again.headers["Cache-Control"] == "private, max-age=1"
        tagged = door.get(path, headers={"HTTP_IF_NONE_MATCH": first.headers["Etag"]}, **asked)
        assert (tagged.status, tagged.body) == (304, b"")
        assert door.get(path, **{**asked, "cached": "0"}).body != first.body
        door.now = NOW + kept_s
        second = door.get(path, **asked)
        assert second.body != first.body
        door.count(f"c{path}")
        assert door.get(path, **asked).body == second.body
        forced = door.get(path, **asked, unmemoize="1")
        assert forced.body != second.body
        assert door.get(path, **asked).body == forced.body


def test_what_was_refused_is_not_remembered_and_other_questions_have_their_own_answers(door: Door) -> None:
    assert door.get("/totals", pk="test", metrics="a/", cached="1").status == 400
    assert door.get("/totals", pk="test", period="nonsense", cached="1").json["field"] == "period"
    one = door.get("/total", pk="test", metric="dollars", cached="1").json
    assert (one, door.get("/total", pk="test", metric="hits", cached="1").json) == (700, 2)


def test_explain_says_what_answered(door: Door) -> None:
    found = door.get("/plotpoints", pk="test", metrics="dollars", period="seven", tzoffset="-7", explain=1).json
    assert list(found["answer"]) == ["_"]
    assert found["explain"]["ranges"]["seven"] == {
        "interval": "1d",
        "answered_from": "1h",
        "start": "2015-06-10T07:00:00Z",
        "end": "2015-06-18T07:00:00Z",
        "zone": "-07:00",
        "points": 8,
        "complete": False,
    }
    (read,) = found["explain"]["reads"]
    assert (read["interval"], read["buckets"], read["paths"], read["metrics"]) == ("1h", 192, 1, ["dollars"])
    assert set(found["explain"]["stages_ms"]) == {"parse", "names", "read", "answer", "encode"}


def test_the_tracker_counts_a_visitor_it_knows_by_a_cookie() -> None:
    door = Door()
    first = door.get("/tracker", pk="t")
    uid = first.text
    assert re.fullmatch("[0-9a-f]{32}", uid)
    assert first.headers["Set-Cookie"] == f"uid={uid}; Max-Age=31536000; Path=/; HttpOnly; SameSite=Lax"
    cookie = {"HTTP_COOKIE": f"a=b; uid={uid}"}
    assert door.get("/tracker", headers=cookie, pk="t").text == uid
    assert door.get("/tracker", headers=cookie, pk="t", uid="_new").text not in (uid, "_new")
    assert (
        door.get("/tracker", headers=cookie, pk="t", uid="me; x=\r\n")
        .headers["Set-Cookie"]
        .startswith("uid=me%3B%20x%3D%0D%0A; ")
    )
    assert len(door.get("/tracker", headers={"HTTP_COOKIE": 'uid="' + "x" * 5000}, pk="t").text) == 32
    assert door.get("/total", pk="t", period="today").json == 5


def test_both_services_describe_themselves(door: Door) -> None:
    described = door.get("/openapi.json").json
    assert described["openapi"] == "3.1.0"
    assert set(described["paths"]) == {
        *(
            "/plotpoints",
            "/dataset",
            "/totals",
            "/total",
            "/rank",
            "/factors",
            "/shifts",
            "/subdimensions",
            "/pks",
            "/metrics_of",
            "/outcomes",
            "/decisions",
            "/decisions/{name}",
            "/ofrep/v1/evaluate/flags",
            "/ofrep/v1/evaluate/flags/{key}",
            "/spy",
            "/live_token",
            "/notes",
            "/notes/{id}",
            "/visitors",
            "/visits",
            "/visitors/recent",
            "/events",
            "/properties",
            "/funnel",
            "/funnels/{site}",
            "/funnels/{site}/{name}",
            "/sessions",
            "/paths",
            "/retention",
            "/overlap",
            "/segments/{site}",
            "/segments/{site}/{name}",
            "/push/{site}",
            "/push/{site}/{visitor}",
            "/visitor/{visitor}",
            "/identify",
            "/health.json",
        ),
        *("/users", "/users/{name}", "/keys", "/keys/{id}", "/sites", "/sites/{pk}", "/journal"),
        *("/{user}", "/{user}/{bucket}"),
        *(
            f"/{{user}}/{{bucket}}{rest}"
            for rest in ("/batch", "/event/{name}", "/event/{name}/jsonp", "/property/{name}")
        ),
        *(f"/{{user}}/{{bucket}}/{rest}" for rest in ("event_id/{id}", "property_id/{id}", "funnel", "funnel/{name}")),
        *(f"/{{user}}/{{bucket}}/property/{{name}}/{rest}" for rest in ("jsonp", "{value}", "{value}/jsonp")),
        *(
            "/shares",
            "/plot.svg",
            "/s/{token}",
            "/s/{token}/metrics_of",
            "/s/{token}/plot.svg",
            "/s/{token}/plotpoints",
        ),
        *("/count_now", "/tracker", "/update_count_to", "/reset", "/decide", "/count_decision", "/reward"),
    }
    assert hail_openapi.document()["openapi"] == "3.1.0"
    assert set(hail_openapi.HitGiven.__struct_fields__) == set(FIELDS) == set(hail_openapi.HitAsked.__struct_fields__)


def test_head_and_options_do_not_count() -> None:
    door = Door()
    assert door.call("HEAD", "/count_now", pk="t").status == door.call("HEAD", "/tracker", pk="t").status == 200
    options = door.call("OPTIONS", "/count_now", pk="t")
    assert (options.status, options.headers["Access-Control-Allow-Methods"]) == (204, "GET, POST, OPTIONS")
    assert door.get("/pks").json == []


def test_many_threads_count_every_hit_and_the_audit_closes() -> None:
    door = Door()
    threads = [threading.Thread(target=lambda: [door.get("/count_now", pk="t") for _ in range(25)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert door.get("/totals", pk="t", period="today").json["today"]["_"] == {"hits": 200}
    publishers = door.store.audit("default")
    assert sum(publisher.hits for publisher in publishers) == sum(publisher.total for publisher in publishers) == 200
    assert len(publishers) <= 8


def test_a_body_that_is_too_large_or_no_hit_is_refused() -> None:
    door = Door(max_body_bytes="100")
    assert door.call("POST", "/count_now", b"x" * 101).status == 413
    assert door.call("POST", "/count_now", b"[1]").json["code"] == "bad_json"
    assert door.call("POST", "/count_now", b"{").json["code"] == "bad_json"
    assert door.call("POST", "/count_now", b"\xff").json["code"] == "bad_json"


@pytest.fixture
def locked() -> Door:
    return Door(write_key="w", read_key="r", admin_key="a")


def test_reading_asks_for_the_read_key_and_counting_for_the_write_key(locked: Door) -> None:
    basic = base64.b64encode(b"me:r").decode()
    for headers, read, write in (
        ({}, 401, 401),
        ({"HTTP_AUTHORIZATION": "Bearer r"}, 200, 401),
        ({"HTTP_AUTHORIZATION": f"Basic {basic}"}, 200, 401),
        ({"HTTP_AUTHORIZATION": "Bearer w"}, 401, 200),
        ({"HTTP_AUTHORIZATION": "Bearer a"}, 200, 200),
    ):
        for path in (
            "/plotpoints",
            "/dataset",
            "/totals",
            "/total",
            "/factors",
            "/shifts",
            "/subdimensions",
            "/metrics_of",
            "/",
        ):
            parameters = {} if path == "/" else {"pk": "t"}
            assert locked.get(path, headers=headers, **parameters).status == read
        for path in ("/count_now", "/tracker"):
            assert locked.get(path, headers=headers, pk="t").status == write
    assert locked.get("/pks", key="r").status == 200
    assert locked.get("/pks").headers["Www-Authenticate"] == 'Bearer, Basic realm="whale"'
    by_script = locked.get(
        "/pks", headers={"HTTP_SEC_FETCH_DEST": "empty"}
    )  # a browser would ask for a password by itself
    assert (by_script.status, by_script.headers["Www-Authenticate"]) == (401, "Bearer")
    assert locked.get("/healthz").status == 200


def test_health_metrics_and_unknown_paths(door: Door) -> None:
    assert door.get("/healthz").text == "OK\n"
    assert door.get("/readyz").json == {"ready": True, "store": "up"}
    assert "hailwhale_answer_seconds" in door.get("/metrics").text
    assert (door.get("/nowhere").status, door.get("/nowhere").json["status"]) == (404, 404)
    assert door.call("DELETE", "/totals").status == 405


@pytest.fixture
def away(door: Door, monkeypatch: pytest.MonkeyPatch) -> Door:
    def refuse(*_: Any, **__: Any) -> Any:
        raise Unavailable("Redis: Connection refused to secret-host:6379")

    for method in ("zone", "claim_each", "send", "read", "children", "descendants", "pks", "metrics"):
        monkeypatch.setattr(door.store, method, refuse)
    return door


@pytest.mark.parametrize(
    "path",
    [
        "/plotpoints",
        "/dataset",
        "/totals",
        "/total",
        "/subdimensions",
        "/metrics_of",
        "/count_now",
        "/tracker",
        "/readyz",
    ],
)
def test_while_the_store_is_away_it_is_503_with_retry_after(away: Door, path: str) -> None:
    answer = away.get(path, **({} if path == "/readyz" else {"pk": "t"}))
    assert (answer.status, answer.headers["Retry-After"], answer.json["code"]) == (503, "1", "unavailable")
    assert "secret-host" not in answer.text
    assert away.get("/healthz").status == 200


def test_a_fault_of_ours_is_500_without_its_inside(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("inside")

    monkeypatch.setattr(bottle, "DEBUG", False)
    monkeypatch.setattr(door.store, "pks", broken)
    answer = door.get("/pks")
    assert (answer.status, answer.json["detail"]) == (500, "see the log")
    assert "inside" not in answer.text


def test_spy_shows_what_came_of_a_visitors_hits(door: Door) -> None:
    assert door.get("/tracker", pk="shop", uid="v1", metrics='{"revenue": 0.5}', id="a").status == 200
    assert door.get("/tracker", pk="shop", uid="v1", id="a").status == 200
    assert door.get("/tracker", pk="shop", uid="v1", metrics='{"revenue": "12,50"}', key="secret").status == 400
    assert door.get("/count_now", pk="[]").status == 400
    wait_until(lambda: len(door.get("/spy").json) == 6, what="those and the two of the fixture")
    seen = sorted(
        door.get("/spy", visitor="v1").json, key=lambda trace: str(trace["outcome"])
    )  # they are of one moment
    assert [trace["outcome"] for trace in seen] == ["bad_metrics", "counted", "duplicate"]
    assert seen[0]["field"] == "metrics.revenue"
    assert seen[0]["came"] == '{"visitor":"v1","pk":"shop","metrics":{"revenue":"12,50"}}'
    assert (seen[1]["pk"], seen[1]["metrics"], seen[1]["id"]) == (["shop"], {"hits": 1, "revenue": 0.5}, "a")
    assert len(door.get("/spy", limit="2").json) == 2
    assert door.get("/spy", visitor="nobody").json == []


def test_spy_asks_for_the_read_key_and_can_be_switched_off() -> None:
    locked = Door(read_key="r", write_key="w", admin_key="a")
    assert locked.get("/spy", key="w").status == 401
    assert locked.get("/spy", key="r").status == 200
    off = Door(spy="0")
    off.count("shop")
    assert off.store.spied("default") == []
    answer = off.get("/spy")
    assert (answer.status, answer.json["detail"]) == (400, "spy: no hits are kept, because HAILWHALE_SPY is 0")
    assert Door().get("/spy", limit="201").status == 400


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_question_in_json_is_told_how_a_question_is_written(door: Door, content_type: str) -> None:
    answer = call(door.app, "POST", "/totals", body=b'{"pk": "t"}', CONTENT_TYPE=content_type)
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_request", "body")
    assert answer.json["detail"].endswith(
        "expected application/x-www-form-urlencoded such as pk=shop&period=today, got JSON"
    )

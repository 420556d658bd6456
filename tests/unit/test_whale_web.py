import base64
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

from hail.settings import load
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
        self.whale = Whale(self.store, self.settings, clock=lambda: NOW)
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
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
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
        "period: buckets of 1m are not kept; kept are 1h, 1d"
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


def test_what_was_never_counted_reads_zero(door: Door) -> None:
    assert door.get("/totals", pk="nobody", dimensions="x", metric="y", period="today").json == {
        "today": {"x": {"y": 0}}
    }


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
        ("/plotpoints", {"pk": "t", "period": "1m:30d"}, "period", "bad_period"),
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
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_misspelt_parameter_is_told_the_right_one(door: Door) -> None:
    assert "did you mean period?" in door.get("/plotpoints", pk="t", perod="today").json["detail"]


def test_a_parameter_that_came_twice_and_bytes_that_are_no_text_are_400(door: Door) -> None:
    assert door.get("/totals", query="pk=a&pk=b").json["field"] == "pk"
    assert door.get("/totals", query="pk=%ff").json["field"] == "query"
    assert door.get("/totals", query="a=1&" * 200).json["field"] == "query"


def test_a_cache_buster_is_left_aside(door: Door) -> None:
    assert door.get("/pks", _="1234").status == 200


@given(st.dictionaries(st.sampled_from(["pk", "dimensions", "metrics", "period", "sort", "depth", "limit"]), st.text()))
def test_no_question_breaks_whale(parameters: dict[str, str]) -> None:
    assert SHARED.get("/plotpoints", **parameters).status in (200, 400)


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


def test_head_and_options_do_not_count() -> None:
    door = Door()
    assert door.call("HEAD", "/count_now", pk="t").status == 200
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
        for path in ("/plotpoints", "/totals", "/pks", "/metrics_of", "/"):
            parameters = {} if path == "/" else {"pk": "t"}
            assert locked.get(path, headers=headers, **parameters).status == read
        assert locked.get("/count_now", headers=headers, pk="t").status == write
    assert locked.get("/pks", key="r").status == 200
    assert locked.get("/pks").headers["Www-Authenticate"] == 'Bearer, Basic realm="whale"'
    assert locked.get("/healthz").status == 200


def test_the_page_shows_names_as_text_and_loads_nothing() -> None:
    door = Door()
    door.count(["<script>alert(1)</script>", "'\"&\0"], None, {"<b>money</b>": 1234567.5})
    answer = door.get("/")
    assert answer.status == 200
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert "&lt;b&gt;money&lt;/b&gt; 1,234,567.5" in answer.text
    assert not re.search(r"<script|<b>|src=|href=|url\(|@import|\0", answer.text.split("<h2>Send")[0])
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "http://whale.test:8086/plotpoints" in answer.text
    assert "http://127.0.0.1:8085/count" in answer.text


def test_the_page_says_what_it_leaves_out() -> None:
    door = Door()
    for i in range(8):
        door.count(["Product", str(i)])
    for i in range(60):
        door.count(f"p{i}")
    text = door.get("/").text
    assert "and 3 more below" in text
    assert "and 11 more: <code>GET /pks</code> lists all" in text


def test_the_page_names_hail_where_its_reader_finds_it() -> None:
    keys = {"write_key": "w", "read_key": "r", "admin_key": "a"}
    text = Door(hail_bind="0.0.0.0:8085", **keys).get("/", key="r").text
    assert "http://whale.test:8085/count" in text
    assert "Authorization: Bearer $KEY" in text


def test_the_page_repeats_no_host_that_is_not_one() -> None:
    answer = Door().get("/", headers={"HTTP_HOST": "x;rm -rf ~;<script>"})
    assert "rm -rf" not in answer.text
    assert "http://127.0.0.1:8086/plotpoints" in answer.text


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

    for method in ("zone", "claim", "apply", "read", "children", "pks", "metrics"):
        monkeypatch.setattr(door.store, method, refuse)
    return door


@pytest.mark.parametrize("path", ["/plotpoints", "/totals", "/pks", "/metrics_of", "/count_now", "/", "/readyz"])
def test_while_the_store_is_away_it_is_503_with_retry_after(away: Door, path: str) -> None:
    answer = away.get(path, **({} if path in ("/", "/readyz") else {"pk": "t"}))
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

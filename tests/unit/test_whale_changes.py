"""Setting and resetting over HTTP, on the memory store."""

import json
from typing import Any

import pytest

from tests.unit.test_whale_web import Door
from tests.wsgi import Answer


@pytest.fixture
def door() -> Door:
    door = Door()
    door.count(["shop", "1"], {"country": "US"}, {"revenue": 60})
    return door


def post(door: Door, path: str, headers: Any = None, **body: Any) -> Answer:
    sent = {"CONTENT_TYPE": "application/json", **(headers or {})}
    return door.call("POST", path, json.dumps(body).encode(), headers=sent)


def test_a_bucket_is_set_once_an_id(door: Door) -> None:
    asked = {"pk": ["shop", "1"], "dimensions": {"country": "US"}, "metrics": {"revenue": 100.5}, "id": "x"}
    for _ in range(2):
        said = post(door, "/update_count_to", **asked)
        assert (said.status, said.json) == (200, {"added": {"revenue": 40.5}})
    again = post(door, "/update_count_to", **{**asked, "metrics": {"revenue": 1}})
    assert (again.status, again.json["field"]) == (400, "id")
    path, day = "%5B%22country%22%2C%20%22US%22%5D", 1_434_499_200
    told = f"revenue;path={path};interval=1d;at={day * 1000};to=100.5"
    for period, adjusted in (("today", told), ("1d:1d", None), ("1mo", None)):
        answer = door.get("/total", pk="shop", metric="revenue", period=period)
        assert (answer.json, answer.headers.get("X-Adjusted")) == (60 if adjusted else 100.5, adjusted)
        plotted = door.get("/plotpoints", pk="shop", metrics="revenue", period=period)
        assert plotted.headers.get("X-Adjusted") == adjusted
    ranges = door.get("/totals", pk="shop", metrics="revenue", periods="today,1mo", explain=1).json["explain"]["ranges"]
    assert [len(row.get("adjusted", ())) for row in ranges.values()] == [1, 0]


def test_a_form_sets_too(door: Door) -> None:
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    body = b"pk=gauge&metrics={'level': 7}&period=1h&rank=1"
    assert door.call("POST", "/update_count_to", body, headers=form).json == {"added": {"level": 7}}
    assert door.get("/total", pk="gauge", metric="level", period="1h", index=-1).json == 7


def test_a_pk_or_a_path_is_reset(door: Door) -> None:
    said = post(door, "/reset", pk=["shop", "1"], dimensions={"country": "US"})
    assert (said.status, said.body) == (200, b"OK")
    assert door.get("/total", pk='["shop", "1"]', dimensions='["country", "US"]').json == 0
    assert door.get("/total", pk='["shop", "1"]').json == 1
    assert post(door, "/reset", pk="shop").status == 200
    assert door.get("/total", pk="shop").json == 0
    assert door.get("/pks").json == []
    assert post(door, "/reset", pk="never").status == 200


@pytest.mark.parametrize("root", ["_", ["_"], "", [], {}, None, [[]]])
def test_a_reset_of_the_root_forgets_the_whole_pk_as_the_documents_say(door: Door, root: Any) -> None:
    assert post(door, "/reset", pk="shop", dimensions=root).status == 200
    assert door.get("/pks").json == []
    assert door.get("/total", pk='["shop", "1"]').json == 0


@pytest.mark.parametrize("inner", [[None], {"a": None}])
def test_a_null_inside_dimensions_forgets_and_sets_nothing(door: Door, inner: Any) -> None:
    for path in ("/update_count_to", "/reset"):
        assert post(door, path, pk="shop", dimensions=inner).json["code"] == "bad_dimensions"
    assert door.get("/total", pk="shop").json == 1


@pytest.mark.parametrize("path", ["/update_count_to", "/reset"])
def test_only_a_post_changes_anything(door: Door, path: str) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert door.call(method, path, pk="shop", metrics="hits").status == 405
    assert door.get("/total", pk="shop").json == 1


def test_pages_of_other_sites_change_nothing_where_no_key_is_asked(door: Door) -> None:
    for path in ("/update_count_to", "/reset"):
        assert post(door, path, {"HTTP_SEC_FETCH_SITE": "cross-site"}, pk="shop", metrics={"hits": 0}).status == 403
    assert door.get("/total", pk="shop").json == 1


def test_each_asks_for_its_key() -> None:
    door = Door(write_key="w", read_key="r", admin_key="a")
    for key, sets, resets in (("w", 200, 401), ("r", 401, 401), ("a", 200, 200), ("", 401, 401)):
        headers = {"HTTP_AUTHORIZATION": f"Bearer {key}"}
        assert post(door, "/update_count_to", headers, pk="p", metrics={"hits": 1}).status == sets
        assert post(door, "/reset", headers, pk="p").status == resets


BAD = [
    ("/update_count_to", {}, "pk"),
    ("/update_count_to", {"pk": "p"}, "metrics"),
    ("/update_count_to", {"pk": "p", "metrics": {"m": None}}, "metrics.m"),
    ("/update_count_to", {"pk": "p", "metrics": {"m": 1, "hits": None}}, "metrics.hits"),
    ("/update_count_to", {"pk": "p", "metrics": ["m", None]}, "metrics"),
    ("/update_count_to", {"pk": "p", "metrics": {"m": 1}, "dimensions": {"country": None}}, "dimensions.country"),
    ("/update_count_to", {"pk": "p", "metrics": {"hits": 0.5}}, "metrics.hits"),
    ("/update_count_to", {"pk": "p", "metrics": {"m": {"unique": "a"}}}, "metrics.m"),
    ("/update_count_to", {"pk": "p", "metrics": {"m": 1}, "dimensions": {"a": ["b"], "c": "d"}}, "dimensions"),
    ("/update_count_to", {"pk": "p", "metrics": {"m": 1}, "period": "5s"}, "period"),
    ("/update_count_to", {"pk": "p", "metrics": {"m": 1}, "period": {}}, "period"),
    ("/update_count_to", {"pk": "p", "metrics": {"m": 1}, "period": [[]]}, "period"),
    ("/update_count_to", {"pk": "p", "metrics": {"m": 1}, "at": "x"}, "at"),
    ("/update_count_to", {"pk": "p", "metrics": {"m": 1}, "amount": 1}, "amount"),
    ("/update_count_to", {"pk": "p", "metrics": {"m": 1}, "id": "x" * 300}, "id"),
    ("/reset", {}, "pk"),
    ("/reset", {"pk": ""}, "pk"),
    ("/reset", {"pk": []}, "pk"),
    ("/reset", {"pk": "x" * 300}, "pk[0]"),
    ("/reset", {"pk": ["\ud800"]}, "pk[0]"),
    ("/reset", {"pk": "p", "dimensions": {"a": 1, "b": 2}}, "dimensions"),
    ("/reset", {"pk": "p", "dimensions": [1, None]}, "dimensions"),
    ("/reset", {"pk": "p", "dimensions": {"a": {"b": None}}}, "dimensions.a.b"),
    ("/reset", {"pk": "p", "dimensions": [None]}, "dimensions"),
    ("/reset", {"pk": "p", "metrics": {"m": 1}}, "metrics"),
]


@pytest.mark.parametrize(("path", "body", "field"), BAD, ids=range(len(BAD)))
def test_bad_input_is_a_400_that_names_the_field(door: Door, path: str, body: dict[str, Any], field: str) -> None:
    said = post(door, path, **body)
    assert (said.status, said.json.get("field")) == (400, field)


def test_json_that_curl_calls_a_form_is_read_as_json(door: Door) -> None:
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    body = b' {"pk": ["shop", "1"], "dimensions": {"country": "US"}}'
    assert door.call("POST", "/reset", body, headers=form).text == "OK"
    assert door.get("/total", pk='["shop", "1"]', dimensions='{"country": "US"}', period="today").json == 0
    assert door.get("/total", pk='["shop", "1"]', period="today").json == 1

"""Answers as askers take them: gzipped, or 304."""

import gzip
import json
from typing import Any

import bottle
import pytest

from tests.unit.test_whale_web import Door
from tests.wsgi import Answer
from whale.routes.negotiation import LEAST, negotiated, taken_codings

YEAR = {"pk": "shop", "period": "1d:1y"}


@pytest.fixture
def door() -> Door:
    door = Door()
    door.count("shop", {"country": "US"}, {"revenue": 5})
    return door


def get(door: Door, path: str, takes: str | None = None, has: str = "", method: str = "GET", **asked: Any) -> Answer:
    headers = {} if takes is None else {"HTTP_ACCEPT_ENCODING": takes}
    return door.call(method, path, headers={**headers, "HTTP_IF_NONE_MATCH": has}, **asked)


def test_a_large_answer_is_gzipped_for_those_who_take_it(door: Door) -> None:
    plain, packed = get(door, "/plotpoints", **YEAR), get(door, "/plotpoints", "gzip, deflate, br", **YEAR)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Origin, Accept-Encoding"
    assert gzip.decompress(packed.body) == plain.body
    assert int(packed.headers["Content-Length"]) == len(packed.body) < len(plain.body) / 3
    assert packed.body == get(door, "/plotpoints", "gzip", **YEAR).body
    assert packed.headers["Content-Type"] == "application/json"


def test_a_small_answer_stays_as_it_is(door: Door) -> None:
    small = get(door, "/total", "gzip", pk="shop")
    assert small.text == "1"
    assert "Content-Encoding" not in small.headers
    assert "Accept-Encoding" not in small.headers.get("Vary", "")


def test_either_name_of_an_answer_is_304_in_either_form(door: Door) -> None:
    plain, packed = (get(door, "/plotpoints", takes, **YEAR) for takes in (None, "gzip"))
    assert packed.headers["Etag"] == f"W/{plain.headers['Etag']}"
    for takes in (None, "gzip"):
        for has in (plain.headers["Etag"], packed.headers["Etag"], f'"x", {packed.headers["Etag"]}'):
            again = get(door, "/plotpoints", takes, has, **YEAR)
            assert (again.status, again.body) == (304, b"")
            assert again.headers["Etag"] == (packed if takes else plain).headers["Etag"]
            assert again.headers["Vary"] == "Origin, Accept-Encoding"
            assert "Content-Encoding" not in again.headers
    assert get(door, "/plotpoints", "gzip", 'W/"other"', **YEAR).status == 200
    assert get(door, "/total", None, get(door, "/total", pk="shop").headers["Etag"], pk="shop").status == 304


def test_head_says_what_get_says(door: Door) -> None:
    for takes in (None, "gzip"):
        for path, asked in (("/plotpoints", YEAR), ("/pks", {}), ("/openapi.json", {})):
            whole = get(door, path, takes, **asked)
            head = get(door, path, takes, method="HEAD", **asked)
            assert (head.status, head.headers, head.body) == (200, whole.headers, b"")


def test_what_is_remembered_is_gzipped_for_those_who_take_it(door: Door) -> None:
    plain = get(door, "/plotpoints", **YEAR, cached="1").body
    assert gzip.decompress(get(door, "/plotpoints", "gzip", **YEAR, cached="1").body) == plain
    assert get(door, "/plotpoints", **YEAR, cached="1").body == plain


def test_names_and_problems_are_gzipped_too(door: Door) -> None:
    for number in range(200):
        door.count(f"pk {number}")
    assert len(json.loads(gzip.decompress(get(door, "/pks", "gzip").body))) == 201
    refused = get(door, "/total", "gzip;q=1, identity;q=0", pk="shop", metric="x/")
    assert (refused.status, json.loads(gzip.decompress(refused.body))["code"]) == (400, "bad_formula")


@pytest.mark.parametrize(
    ("header", "takes", "refuses_plain"),
    [
        ("", False, False),
        ("gzip", True, False),
        ("GZip;Q=0.5", True, False),
        ("x-gzip", True, False),
        ("gzip;q=0", False, False),
        ("gzip;q=0, *", False, False),
        ("gzip;q=0.0, *;q=1", False, False),
        ("*", True, False),
        ("*;q=0", False, True),
        ("br, deflate", False, False),
        ("identity", False, False),
        ("gzip;q=0.2, identity;q=0.8", False, False),
        ("gzip;q=0.8, identity;q=0.8", True, False),
        ("identity;q=0", False, True),
        ("identity;q=0, gzip", True, True),
        ("identity;q=0, *", True, True),
        ("gzip;q=soon", False, False),
        ("gzip;q=-1", False, False),
        ("gzip;q=nan", False, False),
        ("gzip;level=9;q=0", False, False),
        (",,;;=,q", False, False),
        ("gzip;q=0.1;" * 700, True, False),
    ],
)
def test_what_an_accept_encoding_takes(header: str, takes: bool, refuses_plain: bool) -> None:
    assert taken_codings(header) == (takes, refuses_plain)


def test_who_takes_no_plain_answer_gets_a_small_one_gzipped(door: Door) -> None:
    answer = get(door, "/total", "gzip, identity;q=0", pk="shop")
    assert (gzip.decompress(answer.body), answer.headers["Content-Encoding"]) == (b"1", "gzip")
    for nothing in ("identity;q=0", "*;q=0", "br, identity;q=0"):
        assert get(door, "/total", nothing, pk="shop").text == "1"


@pytest.mark.parametrize(
    ("kind", "body", "more"),
    [
        ("image/png", b"x" * LEAST, {}),
        ("text/event-stream", b"x" * LEAST, {}),
        ("application/json", iter([b"x" * LEAST]), {}),
        ("text/javascript", b"x" * LEAST, {"Content-Encoding": "gzip"}),
        ("text/plain", b"", {}),
    ],
)
def test_streams_and_what_is_compressed_stay_as_they_are(kind: str, body: Any, more: dict[str, str]) -> None:
    found = bottle.HTTPResponse(body, 200, {"Content-Type": kind, **more})
    assert negotiated(found, {"HTTP_ACCEPT_ENCODING": "gzip, identity;q=0"}).body is body
    assert "Vary" not in found.headers

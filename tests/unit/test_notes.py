"""Notes over HTTP and from Python, and beside shifts."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from hail.hit import HitError
from tests.unit.test_shifts_web import ASKED
from tests.unit.test_shifts_web import door as shop
from tests.unit.test_whale_web import Door
from tests.wsgi import Answer
from whale.errors import CallerError, NotFound

ADMIN, WRITE, READ = "a" * 16, "w" * 16, "r" * 16
KEYS = {"write_key": WRITE, "read_key": READ, "admin_key": ADMIN}
FORM = "application/x-www-form-urlencoded"
__all__ = ["shop"]


@pytest.fixture
def door() -> Door:
    return Door()


def post(door: Door, body: Any, kind: str = "application/json", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return door.call("POST", "/notes", raw, headers={"CONTENT_TYPE": kind, **headers})


def test_a_note_is_kept_with_its_time_and_listed_in_its_period(door: Door) -> None:
    answer = post(door, {"text": " release 4 \n", "at": "2015-06-17T08:30:00.250+02:00", "pk": ["shop", "berlin"]})
    assert (answer.status, list(answer.json)) == (201, ["id"])
    now = post(door, b"text=deploy+of+%22b%22&pk=shop", FORM).json["id"]  # as curl -d sends it
    listed = door.get("/notes", period="today", tz="Europe/Berlin")
    assert listed.json == [
        {"id": answer.json["id"], "at": "2015-06-17T08:30:00.250+02:00", "pk": ["shop", "berlin"], "text": "release 4"},
        {"id": now, "at": "2015-06-17T16:35:20+02:00", "pk": ["shop"], "text": 'deploy of "b"'},
    ]
    assert door.get("/notes", period="yesterday").json == []
    hour = door.get("/notes", start="2015-06-17T06:00", finish="2015-06-17T07:00", interval="hour").json
    assert [each["id"] for each in hour] == [answer.json["id"]]
    assert len(door.get("/notes").json) == 2


def test_a_pk_has_its_own_notes_and_those_of_none(door: Door) -> None:
    for pk in (None, "shop", ["shop", "berlin"], "other"):
        post(door, {"text": json.dumps(pk), "pk": pk})
        door.now += 1
    assert [each["text"] for each in door.get("/notes", pk="shop").json] == ["null", '"shop"']
    assert [each["pk"] for each in door.get("/notes", pk='["shop","berlin"]').json] == [None, ["shop", "berlin"]]
    door.count("shop")
    assert "X-Whale-Unknown" not in door.get("/notes", pk="shop").headers
    assert door.get("/notes", pk="shpo").headers["X-Whale-Unknown"] == "pk=shpo;near=shop"


def test_notes_are_a_table_and_flat_rows_too(door: Door) -> None:
    post(door, {"text": "=cmd()\nnext", "id": "n1", "pk": ["shop", "berlin"]})
    door.now += 1
    post(door, {"text": "release", "id": "+n2"})
    answer = door.get("/notes", format="csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="notes.csv"'
    assert list(csv.reader(io.StringIO(answer.text, newline=""))) == [
        ["at", "text", "pk", "id"],
        ["2015-06-17T14:35:20+00:00", "'=cmd()\nnext", '["shop", "berlin"]', "n1"],
        ["2015-06-17T14:35:21+00:00", "release", "", "'+n2"],
    ]
    assert door.get("/notes", format="rows").json == [
        {"time": "2015-06-17T14:35:20+00:00", "series": '["shop", "berlin"]', "value": "=cmd()\nnext"},
        {"time": "2015-06-17T14:35:21+00:00", "series": "", "value": "release"},
    ]
    assert door.get("/notes", format="xml").json["field"] == "format"


def test_a_retry_with_an_id_keeps_one_note(door: Door) -> None:
    given = {"text": "release 4", "id": "deploy/4"}
    assert post(door, given).json == {"id": "deploy/4"}
    door.now += 60
    assert post(door, given).status == 201
    other = post(door, given | {"text": "release 5"})
    assert (other.status, other.json["field"]) == (400, "id")
    assert [each["at"] for each in door.get("/notes").json] == ["2015-06-17T14:35:20+00:00"]


def test_a_note_is_deleted_by_its_id(door: Door) -> None:
    odd = "a/b ü%2F?"
    post(door, {"text": "x", "id": odd})
    path = "/notes/" + odd.encode().decode("latin-1")
    assert door.call("DELETE", path).json == {"id": odd}
    again = door.call("DELETE", path)
    assert (again.status, again.json["code"]) == (404, "not_found")
    assert door.get("/notes").json == []
    assert door.call("DELETE", "/notes").status == 405
    assert door.call("GET", "/notes/x").status == 405


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": " \n"}, "text"),
        ({"text": None}, "text"),
        ({"text": 5}, "text"),
        ({"text": ["a"]}, "text"),
        ({"text": "é" * 251}, "text"),
        ({"text": "a\x00b"}, "text"),
        ({"text": "a\x1b[31mb"}, "text"),
        ({"text": "a\x85b"}, "text"),
        ({"text": "x", "at": "soon"}, "at"),
        ({"text": "x", "at": ""}, "at"),
        ({"text": "x", "at": True}, "at"),
        ({"text": "x", "at": "1850-01-01"}, "at"),
        ({"text": "x", "at": "2017-01-01"}, "at"),
        ({"text": "x", "at": 1e300}, "at"),
        ({"text": "x", "pk": []}, "pk"),
        ({"text": "x", "pk": ""}, "pk"),
        ({"text": "x", "pk": {"a": 1}}, "pk"),
        ({"text": "x", "pk": ["a"] * 9}, "pk"),
        ({"text": "x", "pk": "p" * 201}, "pk"),
        ({"text": "x", "id": ""}, "id"),
        ({"text": "x", "id": "i" * 201}, "id"),
        ({"text": "x", "id": [1]}, "id"),
        ({"text": "x", "dimensions": "a"}, "dimensions"),
        ({"text": "x", "colour": "red"}, "colour"),
    ],
)
def test_what_is_no_note_is_refused_with_its_field(door: Door, given: dict[str, Any], field: str) -> None:
    answer = post(door, given)
    assert (answer.status, answer.json.get("field", "").partition("[")[0]) == (400, field), answer.text
    assert door.get("/notes").json == []


def test_bodies_that_are_too_large_or_no_note_are_refused(door: Door) -> None:
    assert post(door, {"text": "x" * 10_000_000}).status == 413
    assert post(door, b"[1]").status == 400
    assert post(door, b"{").status == 400
    assert post(door, b"text=%ff", FORM).status == 400
    assert post(door, b"text=a&text=b", FORM).status == 400
    assert post(door, b"").json["field"] == "text"
    assert post(door, {"text": "x" * 500}).status == 201
    assert door.get("/notes", text="x").status == 400
    assert door.get("/notes", period="soon").json["field"] == "period"
    assert door.get("/notes", pk="[").status == 400


def test_names_and_text_are_data(door: Door) -> None:
    odd = "<img src=x onerror=alert(1)>\u202e 'a' \n\t {\"b\"} 🚀 =cmd()"
    post(door, {"text": odd, "pk": odd, "id": odd})
    (note,) = door.get("/notes", pk=odd).json
    assert (note["text"], note["pk"], note["id"]) == (odd, [odd], odd)
    post(door, {"text": "[not, json"})
    post(door, b"text=%7Bnot%7D", FORM)
    assert {each["text"] for each in door.get("/notes").json} == {odd, "[not, json", "{not}"}


def test_the_write_key_writes_the_read_key_reads_and_the_admin_key_deletes() -> None:
    door = Door(**KEYS)
    bearer = {key: {"HTTP_AUTHORIZATION": f"Bearer {key}"} for key in (ADMIN, WRITE, READ)}
    assert post(door, {"text": "x"}).status == 401
    assert post(door, {"text": "x"}, **bearer[READ]).status == 401
    assert post(door, {"text": "x", "id": "n"}, **bearer[WRITE]).status == 201
    assert door.call("GET", "/notes", headers=bearer[WRITE]).status == 401
    assert len(door.call("GET", "/notes", headers=bearer[READ]).json) == 1
    assert door.call("DELETE", "/notes/n", headers=bearer[WRITE]).status == 401
    assert door.call("DELETE", "/notes/n", headers=bearer[ADMIN]).status == 200


def test_a_page_of_another_site_writes_and_deletes_nothing(door: Door) -> None:
    foreign = {"HTTP_ORIGIN": "https://elsewhere.example"}
    assert post(door, {"text": "x"}, **foreign).json["code"] == "foreign_origin"
    assert door.call("DELETE", "/notes/n", headers=foreign).json["code"] == "foreign_origin"
    asked = door.call("OPTIONS", "/notes/n", headers=foreign)
    assert "DELETE" in asked.headers["Access-Control-Allow-Methods"]


def test_the_library_writes_reads_and_deletes_the_same(door: Door) -> None:
    whale = door.whale
    id = whale.note("release 4", datetime(2015, 6, 16, 10, tzinfo=UTC), ["shop"])
    assert whale.notes("shop") == door.get("/notes", pk="shop").json
    assert whale.notes("shop", "yesterday")[0]["at"] == "2015-06-16T10:00:00+00:00"
    assert whale.notes("shop", "today") == whale.notes("other") == []
    assert whale.note("release 4", datetime(2015, 6, 16, 10, tzinfo=UTC), ["shop"], id) == id
    whale.delete_note(id)
    with pytest.raises(NotFound):
        whale.delete_note(id)
    with pytest.raises(CallerError, match="^text: expected at most 500 bytes, got 501"):
        whale.note("x" * 501)
    with pytest.raises(HitError, match="^at: "):
        whale.note("x", "soon")


def test_a_reset_forgets_the_notes_of_a_pk(door: Door) -> None:
    for pk in (None, "shop", "other"):
        door.whale.note("x", pk=pk)
    door.whale.reset("shop")
    assert {str(each["pk"]) for each in door.whale.notes()} == {"None", "['other']"}


# Beside shifts


def test_a_shift_names_the_notes_near_its_begin_the_nearest_first(shop: Door) -> None:
    begin = datetime(2015, 6, 9, tzinfo=UTC).timestamp()
    near = {"two hours before": -7200, "at noon": 43_200, "the day before": -86_400}
    far = {"two days before": -86_401, "the day after": 86_400}
    for text, seconds in {**near, **far}.items():
        shop.whale.note(text, begin + seconds, "shop", text)
    shop.whale.note("of another pk", begin, "other")
    shop.whale.note("of all", begin - 60, id="all")
    (shift,) = shop.get("/shifts", **ASKED).json["shifts"]
    assert shift["notes"] == [
        {"id": "all", "text": "of all", "after_s": 60},
        {"id": "two hours before", "text": "two hours before", "after_s": 7200},
        {"id": "at noon", "text": "at noon", "after_s": -43_200},
        {"id": "the day before", "text": "the day before", "after_s": 86_400},
    ]
    assert shop.whale.shifts("shop", "orders/visits", "revenue", "30d")["shifts"] == [shift]
    assert shop.get("/shifts", **ASKED, format="csv").text.splitlines()[1].endswith(",of all")
    for i in range(20):
        shop.whale.note("busy", begin + i, "shop")
    (shift,) = shop.get("/shifts", **ASKED).json["shifts"]
    assert [each["after_s"] for each in shift["notes"]] == [0, *range(-1, -10, -1)]


def test_a_shift_without_notes_says_so(shop: Door) -> None:
    (shift,) = shop.get("/shifts", **ASKED).json["shifts"]
    assert shift["notes"] == []

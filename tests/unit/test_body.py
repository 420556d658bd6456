"""Bodies as Hail and Whale read them: whole, in UTF-8, and named by their field where a text is no Unicode."""

import codecs
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.body import json_of, read_body
from hail.hit import HitError, Reason
from hail.publish import Publisher
from hail.settings import load
from hail.web import make_app
from tests.doors import DecisionDoor
from tests.laws import law
from tests.wsgi import Answer, call

FORM, JSON, LINES = "application/x-www-form-urlencoded", "application/json", "application/x-ndjson"
LIMIT = 1000
HALF = "\\ud800"


def read(body: bytes, **environ: Any) -> bytes:
    source = io.BytesIO(body)
    return read_body({"SERVER_PROTOCOL": "HTTP/1.1", "wsgi.input": source, **environ}, LIMIT)


@given(st.binary(min_size=1, max_size=50), st.data())
@law(100)
def test_a_body_is_read_whole_or_not_at_all(body: bytes, data: st.DataObject) -> None:
    body = b"a=" + body
    cut = data.draw(st.integers(0, len(body) - 1))
    length = {"CONTENT_LENGTH": str(len(body))}
    assert read(body, **length) == body
    with pytest.raises(HitError, match=f"expected {len(body)} bytes \\(Content-Length\\), got {cut}"):
        read(body[:cut], **length)


@pytest.mark.parametrize(
    ("environ", "field"),
    [
        ({"CONTENT_LENGTH": "5"}, "body"),
        ({"CONTENT_LENGTH": "-4"}, "Content-Length"),
        ({"CONTENT_LENGTH": "4.0"}, "Content-Length"),
        ({"CONTENT_LENGTH": "²"}, "Content-Length"),
        ({"CONTENT_LENGTH": "٤"}, "Content-Length"),
        ({"CONTENT_LENGTH": "4" * 5000}, "Content-Length"),
        ({"CONTENT_LENGTH": "4", "HTTP_TRANSFER_ENCODING": "chunked"}, "Content-Length"),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, "Content-Length"),
        ({"HTTP_TRANSFER_ENCODING": "chunked", "SERVER_SOFTWARE": "Granian"}, "Content-Length"),
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, "Content-Length"),
        ({"SERVER_PROTOCOL": "HTTP/1"}, "Content-Length"),
        ({"SERVER_PROTOCOL": "HTTP/2", "SERVER_SOFTWARE": "Granian"}, "Content-Length"),
    ],
)
def test_where_nobody_knows_the_end_it_is_refused(environ: dict[str, str], field: str) -> None:
    with pytest.raises(HitError) as error:
        read(b"pk=a", **environ)
    assert (error.value.reason, error.value.field) == (Reason.BODY_CUT_OFF, field)


def test_where_the_server_knows_the_end_it_is_read_until_there() -> None:
    assert read(b"pk=a", HTTP_TRANSFER_ENCODING="chunked", SERVER_SOFTWARE="gunicorn/27.0.1") == b"pk=a"
    assert read(b"pk=a", SERVER_PROTOCOL="HTTP/2", SERVER_SOFTWARE="gunicorn/27.0.1") == b"pk=a"
    assert read(b"pk=a") == b""  # HTTP/1.1 without a length has no body
    with pytest.raises(HitError, match="at most 1000 bytes"):
        read(b"a" * 1001, HTTP_TRANSFER_ENCODING="chunked", SERVER_SOFTWARE="gunicorn/27.0.1")


@pytest.mark.parametrize("error", [OSError("reset"), ValueError("no chunk"), TimeoutError()])
def test_an_error_of_the_server_means_that_it_is_cut_off(error: Exception) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise error

    with pytest.raises(HitError, match="is truncated, or its chunks are malformed") as refused:
        read(b"", CONTENT_LENGTH="5", **{"wsgi.input": Broken()})
    assert refused.value.reason == Reason.BODY_CUT_OFF


def test_a_byte_order_mark_is_left_out_and_utf_16_is_refused() -> None:
    for body in (codecs.BOM_UTF8 + b"{}", gzip.compress(codecs.BOM_UTF8 + b"{}")):
        coding = {} if body.startswith(codecs.BOM_UTF8) else {"HTTP_CONTENT_ENCODING": "gzip"}
        assert read(body, CONTENT_LENGTH=str(len(body)), **coding) == b"{}"
    for coding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
        body = '{"pk": "a"}'.encode(coding)
        with pytest.raises(HitError, match="expected UTF-8, got UTF-16 or UTF-32"):
            read(body, CONTENT_LENGTH=str(len(body)))


NAMES = st.text(st.sampled_from("abé"), min_size=1, max_size=3)


@given(st.recursive(NAMES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner), max_leaves=8))
@law(100)
def test_half_of_a_surrogate_pair_is_named_by_its_field_wherever_it_stands(value: Any) -> None:
    assert json_of(json.dumps({"x": value}).encode()) == {"x": value}
    text = json.dumps({"x": [value, "HALF"]}).replace("HALF", HALF).encode()
    with pytest.raises(HitError) as error:
        json_of(text)
    assert (error.value.reason, error.value.field) == (Reason.BAD_JSON, "x[1]")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'"\\ud800"', "body"),
        (b'{"pk": "\\uDC00 x"}', "pk"),
        (b'{"dimensions": {"country": {"\\ud800": 1}}}', "dimensions.country.\\ud800"),
        (b'{"a": "\\ud800", ' + b'"b":[' * 5000, "body"),
        (b'{"a": "\\ud83d\\ude00", b}', "body"),
        (b'["\xed\xa0\x80"]', "body"),
    ],
)
def test_json_that_cannot_be_read_says_where(body: bytes, field: str) -> None:
    with pytest.raises(HitError) as error:
        json_of(body)
    assert (error.value.reason, error.value.field) == (Reason.BAD_JSON, field)


# Both services


def test_letters_that_are_not_written_with_percent_are_read_as_utf_8(hail: Any) -> None:
    """gunicorn refuses them; granian and others hand them over."""
    door = DecisionDoor()
    raw = "pk=café€".encode().decode("latin-1")
    assert call(hail, "GET", "/count", query=raw).text == "OK"
    for path in ("/count_now", "/tracker", "/count_now"):
        assert call(door.app, "GET", path, query=raw).status == 200
    assert call(door.app, "GET", "/pks").json == ["café€"]
    assert call(door.app, "GET", "/total", query=raw).json == 3
    assert call(door.app, "POST", "/total", query=raw).json == 3
    for path in ("/total", "/count_now", "/tracker"):
        refused = call(door.app, "GET", path, query="pk=caf\xe9")
        assert (refused.status, refused.json["field"]) == (400, "query")


@pytest.fixture
def hail(tmp_path: Path) -> Iterator[Any]:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)})
    publisher = Publisher(settings)
    yield make_app(settings, publisher)
    publisher.close()


def post(app: Any, target: str, body: bytes, kind: str = JSON) -> Answer:
    path, _, query = target.partition("?")
    return call(app, "POST", path, query=query, body=body, CONTENT_TYPE=kind)


def test_a_mark_before_json_lines_and_forms_is_left_out(hail: Any) -> None:
    door = DecisionDoor()
    for body, kind in ((b'{"pk": "a"}', JSON), (b"pk=a", FORM), (b"pk=a", f"{FORM}; charset=utf-8")):
        assert post(hail, "/count", codecs.BOM_UTF8 + body, kind).status == 202
        assert post(door.app, "/count_now", codecs.BOM_UTF8 + body, kind).text == "OK"
    for body, kind in ((b'[{"pk": "a"}]', JSON), (b'{"hits": [{"pk": "a"}]}', JSON), (b'{"pk": "a"}\n', LINES)):
        assert post(hail, "/batch", codecs.BOM_UTF8 + body, kind).json["accepted"] == 1
    assert post(door.app, "/total", codecs.BOM_UTF8 + b"pk=a", FORM).json == 3
    assert post(door.app, "/decisions/new", codecs.BOM_UTF8 + b'{"options": ["a"]}').status == 200
    flags = post(door.app, "/ofrep/v1/evaluate/flags", codecs.BOM_UTF8 + b'{"context": {"targetingKey": "v"}}')
    assert [flag["key"] for flag in flags.json["flags"]] == ["new"]


def test_utf_16_is_told_to_be_utf_8_on_both_services(hail: Any) -> None:
    door = DecisionDoor()
    for body in ('{"pk": "a"}'.encode("utf-16"), "pk=a".encode("utf-16-le")):
        for kind in (JSON, FORM, f"{JSON}; charset=utf-16"):
            for app, target in ((hail, "/count"), (hail, "/batch"), (door.app, "/count_now"), (door.app, "/totals")):
                answer = post(app, target, body, kind)
                assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_json", "body")
                assert "expected UTF-8" in answer.json["detail"]
            flags = post(door.app, "/ofrep/v1/evaluate/flags", body, kind)
            assert (flags.status, flags.json["errorCode"]) == (400, "PARSE_ERROR")


def test_every_route_refuses_a_bomb_of_gzip(hail: Any) -> None:
    door, bomb = DecisionDoor(), gzip.compress(bytes(20_000_000))
    routes = [(hail, "/count"), (hail, "/batch"), (hail, "/count_decision")]
    routes += [(door.app, f"/{name}") for name in ("count_now", "reset", "totals", "decide", "reward", "decisions/a")]
    for app, target in routes:
        answer = call(app, "POST", target, body=bomb, CONTENT_TYPE=FORM, HTTP_CONTENT_ENCODING="gzip")
        assert (answer.status, answer.json["code"]) == (413, "body_too_large"), target
    flags = call(door.app, "POST", "/ofrep/v1/evaluate/flags", body=bomb, HTTP_CONTENT_ENCODING="gzip")
    assert (flags.status, flags.json["errorCode"]) == (413, "PARSE_ERROR")


HALVES: list[tuple[str, str]] = [
    ('{"pk": "X"}', "pk"),
    ('{"pk": ["a", "X"]}', "pk[1]"),
    ('{"pk": "a", "dimensions": {"country": "X"}}', "dimensions.country"),
    ('{"pk": "a", "metrics": {"X": 1}}', "metrics.\\ud800"),
    ('{"pk": "a", "visitor": "X"}', "visitor"),
    ('{"pk": "a", "at": "X"}', "at"),
    ('{"options": {"a": ["X"]}}', "options.a[0]"),
    ('{"decision_id": "X"}', "decision_id"),
    ('{"context": {"targetingKey": "X"}}', "context.targetingKey"),
]


@pytest.mark.parametrize(("body", "field"), HALVES)
def test_half_of_a_surrogate_pair_is_refused_by_every_route(hail: Any, body: str, field: str) -> None:
    door = DecisionDoor()
    sent = body.replace("X", HALF).encode()
    posts = [(hail, "/count"), (hail, "/count_decision")]
    posts += [(door.app, f"/{name}") for name in ("count_now", "tracker", "count_decision", "reward", "reset")]
    posts += [(door.app, "/update_count_to"), (door.app, "/decisions/new")]
    for app, target in posts:
        answer = post(app, target, sent)
        assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_json", field), target
    for target in ("/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/new"):
        flag = post(door.app, target, sent)
        assert (flag.status, flag.json["errorCode"]) == (400, "PARSE_ERROR")
        assert flag.json["errorDetails"].startswith(f"{field}: expected Unicode text")
    for batch in (b"[%s, %s]" % (sent, b'{"pk": "a"}'), b"%s\n%s" % (sent, b'{"pk": "a"}')):
        answer = post(hail, "/batch", batch)
        assert [result["status"] for result in answer.json["results"]] == ["refused", "accepted"]
        assert answer.json["results"][0]["field"] == field


def test_a_batch_that_is_too_large_is_refused_for_that(hail: Any) -> None:
    for items in (b'"\\ud800"', b'{"pk": "a"}, "\\ud800"'):
        answer = post(hail, "/batch", b"[" + b", ".join([items] * 501) + b"]")
        assert answer.json["code"] == "batch_too_large"
        assert answer.json["detail"].endswith(f"got {(items.count(b',') + 1) * 501}")


@pytest.mark.parametrize("text", [f'["{HALF}"]', f"['{HALF}']", f'{{"a": "{HALF}"}}', "\ud800"])
def test_half_of_a_surrogate_pair_in_an_address_is_refused(hail: Any, text: str) -> None:
    door = DecisionDoor()
    for app, target, field in (
        (hail, "/count", "pk"),
        (hail, "/count?pk=a", "dimensions"),
        (hail, "/count_decision?option=a", "pk"),
        (door.app, "/totals", "pk"),
        (door.app, "/plotpoints?pk=a", "metrics"),
        (door.app, "/rank?pk=a", "dimension"),
        (door.app, "/decide?pk=a", "options"),
        (door.app, "/decide?pk=a&options=['a']", "dimensions"),
        (door.app, "/count_now", "pk"),
    ):
        path, _, query = target.partition("?")
        value = "%ED%A0%80" if text == "\ud800" else "".join(f"%{byte:02x}" for byte in text.encode())
        answer = call(app, "GET", path, query=f"{query}&{field}={value}".lstrip("&"))
        assert answer.status == 400, target
        assert answer.json["field"] in (field, f"{field}s", "query")

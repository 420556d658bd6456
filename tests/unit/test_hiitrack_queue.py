"""HiiTrack's events at Hail: whose they are, who the visitor is, and bad input."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hail.publish import Publisher
from hail.settings import load
from hail.web import make_app
from tests.nodes import ACT, ANN, Asked, Node
from tests.unit.test_hail_keys import SHOP, Keyed, basic
from tests.wsgi import Answer, call
from whale.accounts import Account

PAGE = {"HTTP_SEC_FETCH_SITE": "same-origin"}
OTHER_PAGE = {"HTTP_SEC_FETCH_SITE": "cross-site"}
EVENT, BATCH = "/ann/web/event/signup", "/ann/web/batch"
V1 = {"visitor_id": "v1"}


@pytest.fixture
def whale() -> Asked:
    found = Asked()
    found.site("web", SHOP)
    found.site("crossing", cross_site_cookie=True)
    return found


class Queue(Keyed):
    def send(self, method: str = "POST", path: str = EVENT, body: bytes = b"", **environ: str) -> Answer:
        return call(self.app, method, path, {"key": self.key}, body, **environ)

    def ask(self, path: str = f"{EVENT}/jsonp", given: dict[str, str] | None = None, **environ: str) -> Answer:
        return call(self.app, "GET", path, {"key": self.key, **(given or {})}, **environ)

    def said(self) -> list[tuple[str | None, str | None, Any]]:
        return [(hit.event, hit.visitor, hit.properties) for hit in self.hits()]


@pytest.fixture
def hail(node: Node, whale: Asked) -> Iterator[Queue]:
    found = Queue(node, whale)
    yield found
    found.publisher.close()


def encoded(message: Any) -> str:
    return base64.b64encode(json.dumps(message).encode()).decode()


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("body", [b"visitor_id=v1&request_id=7", b'{"visitor_id": "v1", "request_id": "7"}'])
def test_an_event_is_a_hit_of_its_bucket_and_counts_at_its_name(hail: Queue, method: str, body: bytes) -> None:
    form = {} if body.startswith(b"{") else {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    answer = hail.send(method, body=body, **form)
    assert (answer.status, answer.json) == (202, {"visitor_id": "v1", "request_id": "7"})
    (part,) = hail.messages()
    (hit,) = part.hits
    assert (part.account, hit.event, hit.visitor, hit.metrics) == (ANN.id, "signup", "v1", {"hits": 1})
    assert (bytes(hit.pk), bytes(hit.dimensions)) == (b'["web"]', b'{"event":{"signup":{}}}')


def test_a_script_of_a_page_sends_an_event_by_a_key_in_the_address(hail: Queue) -> None:
    for path in (f"{EVENT}/jsonp", f"{EVENT}/jsonp/"):
        answer = hail.ask(path, {"callback": "app.done", **V1})
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert (answer.status, answer.text) == (200, '/**/app.done({"visitor_id":"v1"});')
    assert [each[0] for each in hail.said()] == ["signup", "signup"]


def test_no_script_is_answered_to_a_key_that_a_browser_sends_by_itself(hail: Queue) -> None:
    header = basic(b"ann", hail.key.encode())
    assert call(hail.app, "GET", f"{EVENT}/jsonp", V1, **header).status == 200
    assert call(hail.app, "GET", f"{EVENT}/jsonp", {"callback": "app.done", **V1}, **header).status == 401


def test_a_batch_has_properties_first_and_then_its_events_in_their_order(hail: Queue) -> None:
    message = encoded([["a", "b"], [["plan", "pro"], ["plan", "free"], ["age", 5]]])
    answer = hail.ask(BATCH, {"message": message, **V1})
    assert (answer.status, answer.json) == (200, V1)
    hits = hail.hits()
    assert [(hit.event, hit.visitor, hit.properties, hit.metrics) for hit in hits] == [
        (None, "v1", {"plan": '"pro"'}, {"hits": 0}),
        (None, "v1", {"plan": '"free"', "age": "5"}, {"hits": 0}),
        ("a", "v1", None, {"hits": 1}),
        ("b", "v1", None, {"hits": 1}),
    ]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_property_is_a_hit_that_counts_nothing(hail: Queue, method: str) -> None:
    body = json.dumps({**V1, "value": encoded({"a": [1.0, None]})}).encode()
    answer = hail.send(method, "/ann/web/property/plan é".encode().decode("latin-1"), body)
    assert (answer.status, answer.json) == (202, V1)
    (hit,) = hail.hits()
    assert (hit.metrics, hit.visitor, hit.event) == ({"hits": 0}, "v1", None)
    assert hit.properties == {"plan é": '{"a":[1,null]}'}


def test_a_text_may_be_the_value_of_a_property_in_the_address(hail: Queue) -> None:
    assert hail.send("PUT", "/ann/web/property/plan/a/b", b'{"visitor_id": "v1"}').status == 202
    assert hail.ask("/ann/web/property/plan/pro/jsonp", {**V1, "callback": "done"}).body.startswith(b"/**/done(")
    assert hail.ask("/ann/web/property/plan/jsonp", {**V1, "value": encoded(7)}).json == V1
    assert [properties for _, _, properties in hail.said()] == [{"plan": '"a/b"'}, {"plan": '"pro"'}, {"plan": "7"}]


@pytest.mark.parametrize(
    ("path", "given", "field"),
    [
        ("/ann/web/property/plan", V1, "value"),
        ("/ann/web/property/plan", {**V1, "value": "%%%"}, "value"),
        ("/ann/web/property/plan", {**V1, "value": encoded("x" * 1023)}, "properties.plan"),
        ("/ann/web/property/plan", {"value": encoded(1)}, "visitor_id"),
        ("/ann/web/property/plan", {**V1, "event": "x"}, "event"),
    ],
)
def test_a_property_that_cannot_be_kept_is_refused(hail: Queue, path: str, given: dict[str, str], field: str) -> None:
    answer = hail.send("POST", path, json.dumps(given).encode())
    assert (answer.status, hail.hits()) == (400, [])
    assert answer.json["field"] == field


def test_names_may_have_slashes_and_letters_of_any_language(hail: Queue) -> None:
    for path in ("checkout/paid", "checkout/paid/", "größe".encode().decode("latin-1")):
        assert hail.send(path=f"/ann/web/event/{path}", body=json.dumps(V1).encode()).status == 202
    assert [each[0] for each in hail.said()] == ["checkout/paid", "checkout/paid", "größe"]


# Who the visitor is


def test_a_page_of_the_same_site_gets_a_cookie_of_the_bucket_and_is_known_by_it(hail: Queue) -> None:
    first = hail.send(**PAGE)
    visitor = first.json["visitor_id"]
    assert re.fullmatch("[0-9a-f]{32}", visitor)
    assert first.headers["Set-Cookie"] == f"v={visitor}; Max-Age=31536000; Path=/ann/web; HttpOnly; SameSite=Lax"
    again = hail.send(HTTP_COOKIE=f"v={visitor}", **PAGE)
    assert (again.json, again.headers.get("Set-Cookie")) == ({"visitor_id": visitor}, None)
    other = hail.send(body=json.dumps(V1).encode(), HTTP_COOKIE=f"v={visitor}", **PAGE)
    assert other.headers["Set-Cookie"].startswith("v=v1;")
    assert [each[1] for each in hail.said()] == [visitor, visitor, "v1"]


def test_a_page_of_another_site_gets_nobody_unless_the_site_wants_it_over_https(hail: Queue) -> None:
    https = {"wsgi.url_scheme": "https", **OTHER_PAGE}
    for _ in range(3):
        answer = hail.ask(**https)
        assert (answer.json, answer.headers.get("Set-Cookie")) == ({"visitor_id": None}, None)
    crossing = hail.ask("/ann/crossing/event/signup/jsonp", **https)
    assert crossing.headers["Set-Cookie"].endswith("Path=/ann/crossing; HttpOnly; SameSite=None; Secure; Partitioned")
    assert [each[1] for each in hail.said()] == [None, None, None, crossing.json["visitor_id"]]


def test_properties_of_nobody_are_left_out_of_a_batch(hail: Queue) -> None:
    given = {"message": encoded([["a"], [["plan", "pro"]]])}
    assert hail.ask(BATCH, given, **OTHER_PAGE).json == {"visitor_id": None}
    alone = hail.ask(BATCH, {"message": encoded([[], [["plan", "pro"]]])}, **OTHER_PAGE)
    assert (alone.status, alone.json["field"]) == (400, "visitor_id")
    assert hail.said() == [("a", None, None)]


def test_a_program_that_posts_names_the_visitor(hail: Queue) -> None:
    answer = hail.send()
    assert (answer.status, answer.json["field"]) == (400, "visitor_id")
    assert hail.said() == []


def test_events_of_a_bucket_that_is_not_there_count_and_make_up_nobody(hail: Queue) -> None:
    assert hail.send(path="/ann/new/event/a", **PAGE).json == {"visitor_id": None}
    assert hail.send(path="/ann/new/event/a", body=json.dumps(V1).encode()).json == V1
    assert hail.send(path="/ann/new/event/a", HTTP_COOKIE="v=v2", **PAGE).json == {"visitor_id": "v2"}
    assert [each[1] for each in hail.said()] == [None, "v1", "v2"]


# Who may


def test_an_address_opens_to_keys_of_its_account_alone(hail: Queue, whale: Asked) -> None:
    ben = Account("benbenbenb", "ben", "UTC", 0)
    whale.store.add_entry(ben, ACT)
    keys = {
        "own": hail.key,
        "other": whale.key(account=ben.id)[1].decode(),
        "site": whale.key("write", "web")[1].decode(),
        "read": whale.key("read")[1].decode(),
        "page": whale.key("browser", "web")[1].decode(),
        "none": "",
    }
    hail.learn()
    body, found = json.dumps(V1).encode(), {}
    for name, hail.key in keys.items():
        page_of = {"HTTP_ORIGIN": SHOP} if name == "page" else {}
        found[name] = hail.send(body=body, **page_of).status
    assert found == {"own": 202, "other": 401, "site": 202, "read": 401, "page": 202, "none": 401}
    hail.key = keys["site"]
    assert hail.send(path="/ann/crossing/event/a", body=body).status == 403
    hail.key = keys["page"]
    assert hail.send(body=body, HTTP_ORIGIN="https://evil.example").status == 403
    hail.key = keys["own"]
    assert hail.send(path="/nobody/web/event/a", body=body).status == 401
    assert len(hail.hits()) == 3


def test_without_a_directory_the_only_account_is_the_default_one(tmp_path: Path) -> None:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)})
    publisher = Publisher(settings)
    app = make_app(settings, publisher)
    assert call(app, "GET", "/default/web/event/a/jsonp", V1).json == V1
    assert call(app, "GET", "/default/web/event/a/jsonp").json == {"visitor_id": None}
    assert call(app, "GET", "/ann/web/event/a/jsonp", V1).status == 401
    publisher.close()


# Bad input


@pytest.mark.parametrize(
    ("path", "given", "field"),
    [
        (f"{EVENT}/jsonp", {"visitor_id": "x" * 10_000}, "visitor_id"),
        (f"{EVENT}/jsonp", {"visitor": "v1"}, "visitor"),
        (f"{EVENT}/jsonp", {"password": "horse"}, "password"),
        (f"{EVENT}/jsonp", {"callback": "alert(1)//"}, "callback"),
        (f"{EVENT}/jsonp", {"request_id": "x" * 201}, "request_id"),
        (f"/ann/web/event/{'x' * 10_000}/jsonp", V1, "event"),
        ("/ann/we b/event/a/jsonp", V1, "bucket"),
        ("/ann/web;Domain=x/event/a/jsonp", V1, "bucket"),
        (BATCH, V1, "message"),
        (BATCH, {"message": "%%%", **V1}, "message"),
        (BATCH, {"message": encoded([["a"]]), **V1}, "message"),
        (BATCH, {"message": encoded([[1], []]), **V1}, "message"),
        (BATCH, {"message": encoded([["a"], [["b"]]]), **V1}, "message"),
        (BATCH, {"message": encoded([[], []]), **V1}, "message"),
        (BATCH, {"message": encoded([["a"], [["b", "x" * 2000]]]), **V1}, "properties.b"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_of_it_is_kept(
    hail: Queue, path: str, given: dict[str, str], field: str
) -> None:
    answer = hail.ask(path, given)
    assert (answer.status, answer.json.get("field")) == (400, field)
    assert hail.said() == []


def test_a_batch_of_too_many_is_refused(hail: Queue) -> None:
    answer = hail.ask(BATCH, {"message": encoded([["a"] * 501, []]), **V1})
    assert (answer.status, answer.json["code"]) == (413, "batch_too_large")
    assert hail.said() == []


@pytest.mark.parametrize("body", [b'["v1"]', b'{"visitor_id": 5}', b'{"visitor_id": "v1", "x": "y"}', b"{"])
def test_a_body_that_is_no_object_of_texts_is_refused(hail: Queue, body: bytes) -> None:
    assert hail.send(body=body).status == 400
    assert hail.said() == []

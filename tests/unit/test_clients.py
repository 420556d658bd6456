"""Calls of Segment's libraries and events of Plausible's trackers at Hail: what each part counts, who may send, and bad input."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hail.publish import Publisher
from hail.settings import load
from hail.tracking import plausible, segment
from hail.tracking.translation import Around, seen_of
from hail.web import make_app
from tests.nodes import ANN, Asked, Node
from tests.unit.test_hail_keys import EVIL, SHOP, Keyed, basic
from tests.unit.test_track import SAFARI
from tests.wsgi import Answer, call

DOCUMENT = (Path(__file__).parents[2] / "docs/http/clients.md").read_text()
OF_SEGMENT, OF_PLAUSIBLE = (
    re.findall(r"^\| `(\".*?)` \| `(\".*?)` \|$", part, re.M) for part in DOCUMENT.split("| an event of Plausible")
)
SETTINGS = load({})
PAGE = {
    "HTTP_ORIGIN": SHOP,
    "HTTP_SEC_FETCH_SITE": "cross-site",
    "HTTP_USER_AGENT": SAFARI,
    "CONTENT_TYPE": "text/plain",
}
VIEW = {"n": "pageview", "u": f"{SHOP}/a", "d": "web", "r": None, "v": 36}
EVENT: dict[str, Any] = {"type": "track", "event": "Rated", "userId": "u1"}


@pytest.fixture
def whale() -> Asked:
    found = Asked()
    found.site("web", SHOP)
    found.site("shop.example", SHOP)
    found.site("closed")
    return found


class Client(Keyed):
    """key: of the account.  of_site: of `web`."""

    def __init__(self, node: Node, whale: Asked):
        super().__init__(node, whale)
        self.of_site, self.of_page = whale.key(site="web")[1].decode(), whale.key("browser", "web")[1].decode()
        self.learn()

    def call(self, *calls: Any, key: str | None = None, path: str = "batch", **environ: str) -> Answer:
        body = {"batch": calls, "sentAt": "2027-01-15T08:00:00Z"} if path == "batch" else calls[0]
        return self.sent(json.dumps(body).encode(), self.of_site if key is None else key, path, **environ)

    def sent(self, body: bytes, key: str = "", path: str = "batch", **environ: str) -> Answer:
        shown = basic(key.encode()) if key else {}
        return call(
            self.app, "POST", f"/v1/{path}", None, body, **{"CONTENT_TYPE": "application/json", **shown, **environ}
        )

    def event(self, given: Any, path: str = "/ann/api/event", **environ: str) -> Answer:
        return call(self.app, "POST", path, None, json.dumps(given).encode(), **{**PAGE, **environ})

    def counted(self) -> dict[str, Any]:
        """The fields of the one hit that came."""
        (hit,) = self.hits()
        return hit_fields(hit)


def hit_fields(hit: Any) -> dict[str, Any]:
    metrics = {name: value if name == "hits" else value / 1e6 for name, value in hit.metrics.items()}
    properties = {name: json.loads(text) for name, text in (hit.properties or {}).items()} or None
    return {
        "id": hit.id,
        "at": hit.at_ms,
        "visitor": hit.visitor,
        "event": hit.event,
        "metrics": metrics,
        "properties": properties,
    }


@pytest.fixture
def hail(node: Node, whale: Asked) -> Iterator[Client]:
    found = Client(node, whale)
    yield found
    found.publisher.close()


def is_part(expected: Any, found: Any) -> bool:
    return bool(found == (found | expected if isinstance(expected, dict) and found is not None else expected))


@pytest.mark.parametrize(("sent", "counted"), OF_SEGMENT)
def test_each_row_of_segments_table_is_so(hail: Client, sent: str, counted: str) -> None:
    given = {"userId": "u0", **json.loads(f"{{{sent}}}")}
    if "anonymousId" in given:
        del given["userId"]
    called = segment.call_of(json.dumps(given).encode(), None)
    if called.type in segment.HAPPENED:
        fields = seen_of(segment.tracked_of_call(called), "web", Around(), SETTINGS).fields
    else:
        assert hail.call(given).json == {"success": True}
        fields = hail.counted()
    for name, expected in json.loads(f"{{{counted}}}").items():
        assert is_part(expected, fields.get(name)), (name, fields)


@pytest.mark.parametrize(("sent", "counted"), OF_PLAUSIBLE)
def test_each_row_of_plausibles_table_is_so(sent: str, counted: str) -> None:
    body = json.dumps({"u": "https://shop.example/", **json.loads(f"{{{sent}}}")}).encode()
    fields = seen_of(plausible.tracked_of_event(plausible.event_of(body)), "web", Around(), SETTINGS).fields
    for name, expected in json.loads(f"{{{counted}}}").items():
        assert is_part(expected, fields.get(name)), (name, fields)


def test_the_tables_have_rows() -> None:
    assert (len(OF_SEGMENT) > 20, len(OF_PLAUSIBLE) > 9) == (True, True)


# Segment


def test_a_library_sends_a_batch_by_its_write_key(hail: Client) -> None:
    bodies = json.dumps({"batch": [{**EVENT, "messageId": "m1"}], "writeKey": hail.of_site}).encode()
    zipped = hail.sent(gzip.compress(bodies), hail.of_site, HTTP_CONTENT_ENCODING="gzip")
    assert (zipped.status, zipped.json, zipped.headers["X-Hail"]) == (200, {"success": True}, "accepted")
    assert zipped.headers["Access-Control-Allow-Origin"] == "*"
    assert hail.sent(bodies).json == {"success": True}  # the key in the body alone
    first, again = hail.hits()
    assert hit_fields(first) == hit_fields(again)
    assert (bytes(first.pk), first.id, first.visitor, first.event) == (b'["web"]', "b:web:m1", "u1", "Rated")
    assert json.loads(bytes(first.dimensions)) == {"event": {"Rated": {}}}


@pytest.mark.parametrize("name", segment.CALLS)
def test_each_call_has_an_address_of_its_own_and_a_short_one(hail: Client, name: str) -> None:
    fields = {
        "event": "Rated",
        "userId": "u1",
        "previousId": "a1",
        "groupId": "g1",
        "traits": {"plan": "pro"},
        "name": "Home",
    }
    assert hail.call(fields, path=name).json == {"success": True}
    assert len(hail.hits()) == 1
    assert hail.call(fields, path=f"{name}/x").status == 404


def test_an_unknown_address_is_not_found(hail: Client) -> None:
    assert hail.call(EVENT, path="settings").status == 404


def test_two_ids_of_a_call_are_one_visitors(hail: Client) -> None:
    both = {"anonymousId": "a1", "userId": "u1"}
    calls = [
        {**EVENT, **both},
        {"type": "identify", **both},
        {"type": "alias", "previousId": "a2", "userId": "u1"},
        {**EVENT, "event": "Signed In", **both},
    ]
    assert hail.call(*calls).json == {"success": True}
    found = [(hit.event, hit.visitor, hit.known) for hit in hail.hits()]
    assert found == [
        ("Rated", "a1", None),
        (None, "a1", "u1"),
        (None, "a1", "u1"),
        (None, "a2", "u1"),
        ("login", "a1", None),
        (None, "a1", "u1"),
    ]


@pytest.mark.parametrize(
    ("key", "given", "site"),
    [
        ("of_site", {"context": {"page": {"url": "https://other.example/"}}}, "web"),
        ("key", {"context": {"site": "new", "page": {"url": f"{SHOP}/"}}}, "new"),
        ("key", {"context": {"page": {"url": "https://WWW.shop.example:8443/a"}}}, "shop.example"),
        ("key", {"type": "page", "properties": {"url": f"{SHOP}/b"}}, "shop.example"),
    ],
)
def test_the_site_is_that_of_the_key_or_named_or_the_host(hail: Client, key: str, given: Any, site: str) -> None:
    assert hail.call({**EVENT, **given}, key=getattr(hail, key)).status == 200
    assert hail.kept() == [(ANN.id, site)]


def test_what_is_around_is_of_the_visitor_not_of_the_server(hail: Client) -> None:
    crawler = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    calls = [{**EVENT, "context": {"userAgent": SAFARI}}, EVENT, {**EVENT, "context": {"userAgent": crawler}}]
    assert hail.call(*calls, HTTP_USER_AGENT="analytics-python/2.4.0").status == 200
    seen, plain, bot = (json.loads(bytes(hit.dimensions)) for hit in hail.hits())
    assert seen == {
        "event": {"Rated": {}},
        "browser": {"Safari": {"17": {}}},
        "platform": {"iOS": {}},
        "device": {"phone": {}},
    }
    assert plain == {"event": {"Rated": {}}}
    assert bot == {"class": {"crawler": {"Googlebot": {}}}}
    assert bytes(hail.hits()[2].pk) == b'["__bots__","web"]'


def test_a_clock_of_the_sender_is_set_and_one_that_segment_set_is_not(hail: Client) -> None:
    at = {"timestamp": "2027-01-15T07:00:00Z"}
    body = {
        "batch": [{**EVENT, **at}, {**EVENT, **at, "originalTimestamp": "2027-01-15T07:00:00Z"}],
        "sentAt": "2027-01-15T07:00:01Z",
    }
    assert hail.sent(json.dumps(body).encode(), hail.of_site).status == 200
    now = 1_800_000_000_000  # by Hail's clock
    assert hail.node.now * 1000 - now == 2000
    assert [hit.at_ms - now for hit in hail.hits()] == [1000, -3_600_000]


def test_a_page_sends_by_a_browser_key_if_its_site_lists_it(hail: Client) -> None:
    body = json.dumps({"batch": [EVENT], "writeKey": hail.of_page}).encode()
    assert hail.sent(body, **PAGE).status == 200
    other = hail.sent(body, **{**PAGE, "HTTP_ORIGIN": EVIL})
    assert (other.status, other.json["code"]) == (403, "foreign_origin")
    anonymous = hail.sent(
        json.dumps({"batch": [EVENT, {"type": "identify", "userId": "u1", "traits": {"a": 1}}]}).encode(),
        hail.of_page,
        **PAGE,
        HTTP_SEC_GPC="1",
    )
    assert anonymous.status == 200
    seen, unseen = hail.hits()
    assert (seen.visitor, unseen.visitor) == ("u1", None)
    assert json.loads(bytes(seen.dimensions))["device"] == {"phone": {}}


def test_a_call_that_is_wrong_is_refused_by_itself(hail: Client) -> None:
    answer = hail.call(EVENT, {"type": "nonsense"}, {**EVENT, "timestamp": "soon"})
    assert (answer.status, answer.headers["X-Hail"]) == (200, "accepted; refused=2")
    assert answer.json["success"] is True
    assert [(each["code"], each["field"]) for each in answer.json["refused"]] == [
        ("bad_json", "type"),
        ("bad_time", "timestamp"),
    ]
    assert len(hail.hits()) == 1


MANY = {f"p{number}": number for number in range(10_000)}


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"type": "nonsense"}, "bad_json", "type"),
        ({"type": "t"}, "bad_json", "type"),
        ({"type": 5}, "bad_json", "type"),
        ({"event": None}, "bad_id", "event"),
        ({"event": "x" * 300}, "bad_id", "event"),
        ({"userId": 4.5}, "bad_id", "userId"),
        ({"userId": {"a": 1}}, "bad_id", "userId"),
        ({"userId": "x" * 300}, "bad_id", "userId"),
        ({"timestamp": "yesterday"}, "bad_time", "timestamp"),
        ({"timestamp": True}, "bad_time", "timestamp"),
        ({"properties": MANY}, "too_many_properties", "properties"),
        ({"properties": {"a": MANY}}, "too_many_properties", "properties"),
        ({"properties": [1]}, "bad_properties", "properties"),
        ({"properties": {"revenue": "12,50"}}, "bad_metrics", "properties.revenue"),
        ({"properties": {"revenue": True}}, "bad_metrics", "properties.revenue"),
        ({"properties": {"revenue": 1e300}}, "number_out_of_range", "metrics.revenue"),
        ({"properties": {"revenue": "nan"}}, "bad_metrics", "metrics.revenue"),
        ({"context": "x"}, "bad_dimensions", "context"),
        ({"context": {"page": {"url": 5}}}, "bad_dimensions", "context.page.url"),
        ({"type": "identify", "userId": ""}, "bad_id", "userId"),
        ({"type": "group"}, "bad_id", "groupId"),
        ({"type": "alias"}, "bad_id", "userId"),
        ({"type": "alias", "previousId": "u1"}, "bad_id", "userId"),
    ],
)
def test_a_bad_call_says_which_field(hail: Client, given: dict[str, Any], code: str, field: str) -> None:
    answer = hail.call({**EVENT, **given})
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, code, field)
    assert (answer.json["success"], answer.json["message"]) == (False, answer.json["detail"])
    assert answer.headers["X-Hail"] == f"dropped; reason={code}"
    assert hail.kept() == []


@pytest.mark.parametrize(
    ("body", "key", "status", "code"),
    [
        (b"", "of_site", 400, "bad_json"),
        (b"nonsense", "of_site", 400, "bad_json"),
        (b"[]", "of_site", 400, "bad_json"),
        (b"{}", "of_site", 400, "bad_json"),
        (b'{"batch":[]}', "of_site", 400, "bad_json"),
        (b'{"batch":[3]}', "of_site", 400, "bad_json"),
        (b'{"batch":3}', "of_site", 400, "bad_json"),
        (b'{"batch":[' + b",".join([b"{}"] * 501) + b"]}", "of_site", 413, "batch_too_large"),
        (b'{"batch":["' + b"x" * 1_000_000 + b'"]}', "of_site", 413, "body_too_large"),
        (b'{"batch":[{}],"sentAt":"soon"}', "of_site", 400, "bad_time"),
        (b'{"batch":[{}],"writeKey":"hw_w_nonsense"}', None, 401, "unauthorized"),
        (b'{"batch":[{}]}', None, 401, "unauthorized"),
        (b'{"batch":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}", "of_site", 400, "bad_json"),
    ],
)
def test_a_bad_body_is_refused_whole(hail: Client, body: bytes, key: str | None, status: int, code: str) -> None:
    answer = hail.sent(body, getattr(hail, key) if key else "")
    assert (answer.status, answer.json["code"], answer.headers["X-Hail"]) == (status, code, f"dropped; reason={code}")
    assert (answer.json["success"], answer.json["message"]) == (False, answer.json["detail"])
    assert hail.kept() == []


def test_a_key_of_the_account_needs_a_site_and_one_of_a_site_no_other(hail: Client) -> None:
    answer = hail.call(EVENT, key=hail.key)
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_pk", "context.site")
    assert hail.call(EVENT, key=hail.of_page).json["code"] == "foreign_origin"  # no page sent it


def test_no_address_and_no_key_of_a_call_that_is_refused_is_noted(hail: Client) -> None:
    bad = {**EVENT, "timestamp": "soon", "context": {"ip": "192.0.2.7"}}
    assert hail.call(bad, {**bad, "context": {"ip": 5, "page": {"ip": "192.0.2.7"}}}).status == 400
    body = json.dumps({"batch": [bad], "writeKey": hail.of_site, "sentAt": "soon"}).encode()
    assert [hail.sent(each).status for each in (body, body[:-2], body.replace(b"192", b"\\u003192"))] == [400, 401, 400]
    assert hail.sent(body[:-2] + b" " * 20_000).status == 401
    noted = [refusal.came for part in hail.messages() for refusal in part.refused]
    assert [("soon" in came, "192.0.2.7" in came, hail.of_site in came) for came in noted] == [(True, False, False)] * 6


NONSENSE = [None, True, [], {}, [1], {"a": []}, "x" * 3000, "\ud800", -1, 1e300, 10**30, ""]


@pytest.mark.parametrize("field", segment.Call.__struct_fields__)
def test_nonsense_in_any_field_of_a_call_is_refused_by_a_reason_or_counts(hail: Client, field: str) -> None:
    for value in NONSENSE:
        answer = hail.call({**EVENT, field: value})
        assert answer.status in (200, 400), (field, value)
        assert re.fullmatch(r"accepted|dropped; reason=\w+", answer.headers["X-Hail"])


@pytest.mark.parametrize("field", segment.Context.__struct_fields__)
def test_nonsense_in_a_context_is_refused_by_a_reason_or_counts(hail: Client, field: str) -> None:
    for value in NONSENSE:
        for kind in ("track", "page"):
            assert hail.call({**EVENT, "type": kind, "context": {field: value}}).status in (200, 400), (field, value)


def test_a_hail_without_keys_takes_calls_of_this_machine(tmp_path: Path) -> None:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)})
    publisher = Publisher(settings)
    app = make_app(settings, publisher)
    try:
        body = json.dumps({"batch": [{**EVENT, "context": {"site": "web"}}], "writeKey": "any"}).encode()
        assert call(app, "POST", "/v1/batch", None, body).status == 200
        assert call(app, "POST", "/api/event", None, json.dumps(VIEW).encode()).status == 202
        assert call(app, "POST", "/shop/api/event", None, json.dumps(VIEW).encode()).status == 400
    finally:
        publisher.close()


# Plausible


def test_a_page_that_its_site_lists_sends_a_view_and_an_event(hail: Client) -> None:
    answer = hail.event(VIEW)
    assert (answer.status, answer.body, answer.headers["X-Hail"]) == (202, b"ok", "accepted")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert hail.event({**VIEW, "n": "Signup", "p": {"plan": "pro"}}).status == 202
    assert hail.event({**VIEW, "d": "shop.example,web, web,none"}).headers["X-Hail"] == "accepted; refused=1"
    assert hail.event({**VIEW, "d": None, "u": "https://www.shop.example/b"}).status == 202
    assert hail.kept() == [(ANN.id, each) for each in ("web", "web", "shop.example", "web", "shop.example")]
    view = hail.hits()[0]
    assert (view.event, view.visitor, view.metrics) == ("pageview", None, {"hits": 1, "pageviews": 1_000_000})
    assert json.loads(bytes(view.dimensions))["device"] == {"phone": {}}


@pytest.mark.parametrize(
    ("given", "environ", "status", "code"),
    [
        ({"d": "none"}, {}, 400, "unknown_site"),
        ({"d": "none,nobody"}, {}, 400, "unknown_site"),
        ({"d": "closed"}, {}, 403, "foreign_origin"),
        ({}, {"HTTP_ORIGIN": EVIL}, 403, "foreign_origin"),
        ({"n": ""}, {}, 400, "bad_id"),
        ({"n": None}, {}, 400, "bad_id"),
        ({"n": 5}, {}, 400, "bad_id"),
        ({"u": None}, {}, 400, "bad_pk"),
        ({"u": "x" * 2001}, {}, 400, "bad_pk"),
        ({"u": "nonsense", "d": None}, {}, 400, "bad_pk"),
        ({"d": ",".join(map(str, range(21)))}, {}, 400, "bad_pk"),
        ({"p": [1]}, {}, 400, "bad_properties"),
        ({"p": "nonsense"}, {}, 400, "bad_json"),
        ({"p": MANY}, {}, 400, "too_many_properties"),
        ({"$": {"amount": "12,50"}}, {}, 400, "bad_metrics"),
        ({"$": {}}, {}, 202, ""),
        ({"$": {"currency": "EUR"}}, {}, 400, "bad_metrics"),
        ({"n": "engagement", "e": -1}, {}, 400, "bad_metrics"),
    ],
)
def test_an_event_that_is_wrong_is_told_why(
    hail: Client, given: Any, environ: dict[str, str], status: int, code: str
) -> None:
    answer = hail.settled(lambda: hail.event({**VIEW, **given}, **environ))
    assert (answer.status, answer.headers["X-Hail"]) == (status, f"dropped; reason={code}" if code else "accepted")
    assert len(hail.kept()) == 2 * (not code)


def test_an_account_is_named_in_the_address_or_by_a_key(hail: Client, whale: Asked) -> None:
    for path, reason in (("/nobody/api/event", "unknown_account"), ("/api/event", "unknown_site")):  # of default
        answer = hail.settled(lambda path=path: hail.event(VIEW, path))
        assert answer.headers["X-Hail"] == f"dropped; reason={reason}"
    body = json.dumps({**VIEW, "d": "new"}).encode()
    assert call(hail.app, "POST", "/api/event", {"key": hail.key}, body, **PAGE).status == 202
    assert hail.kept() == [(ANN.id, "new")]


def in_full(field: str) -> str:
    return plausible.NAMES.get(field, field)


@pytest.mark.parametrize("field", [*plausible.Event.__struct_fields__, *plausible.NAMES])
def test_nonsense_in_any_field_of_an_event_is_refused_by_a_reason_or_counts(hail: Client, field: str) -> None:
    for value in NONSENSE:
        given = {name: each for name, each in VIEW.items() if in_full(name) != in_full(field)}
        answer = hail.event({**given, field: value})
        assert answer.status in (202, 400), (field, value)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_json"),
        (b"[]", 400, "bad_json"),
        (b"{}", 400, "bad_id"),
        (b'{"n":"' + b"x" * 1_000_000 + b'"}', 413, "body_too_large"),
    ],
)
def test_a_body_that_is_no_event_is_refused(hail: Client, body: bytes, status: int, code: str) -> None:
    answer = call(hail.app, "POST", "/ann/api/event", None, body, **PAGE)
    assert (answer.status, answer.headers["X-Hail"]) == (status, f"dropped; reason={code}")


@pytest.mark.parametrize("id_", ["undefined", "null", "NaN", "[object Object]"])
def test_what_a_script_makes_of_no_id_joins_nobody(hail: Client, id_: str) -> None:
    call_ = {**EVENT, "anonymousId": "a1", "userId": id_}
    assert hail.call(call_, {"type": "identify", "anonymousId": "a1", "userId": id_, "traits": {"x": 1}}).status == 200
    assert [(hit.visitor, hit.known) for hit in hail.hits()] == [("a1", None), ("a1", None)]

"""HiiTrack's routes that count: what counts where, whose the cookie is, who may, and bad input."""

import base64
import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.unit.test_hiitrack_web import ACT, KEYS, NOW, Server
from tests.wsgi import Answer
from whale.accounts import Site, new_key
from whale.web import make_app

PAGE = {"HTTP_SEC_FETCH_SITE": "same-origin"}
OTHER_PAGE = {"HTTP_SEC_FETCH_SITE": "cross-site"}
EVENT = "/ann/home/event/signup"


@pytest.fixture
def server() -> Server:
    found = Server(VISITOR_LOG="1")
    found.made("ann", "ben")
    return found


def account_of(server: Server, name: str = "ann") -> str:
    found = server.store.account_named(name)
    assert found is not None
    return found.id


def happened(server: Server, site: str = "home", user: str = "ann") -> dict[str, tuple[int, int]]:
    """Of each event in the log how often, and by how many visitors."""
    rows = server.whale.of(account_of(server, user)).events(site, "today")["events"]
    return {row["event"]: (row["times"], row["visitors"]) for row in rows}


def counted(server: Server, *path: str, site: str = "home", user: str = "ann") -> Any:
    return server.whale.of(account_of(server, user)).total(
        site, dimension=[list(path)] if path else None, period="today"
    )


def cookie_in(answer: Answer) -> str:
    """What a browser sends back."""
    found: str = answer.headers["Set-Cookie"].partition(";")[0]
    return found


def key_of(server: Server, scope: str, site: str | None = None) -> str:
    key, secret = new_key(account_of(server), scope, site, scope.encode().ljust(36, b"-"), NOW)
    server.store.add_entry(key, ACT)
    return secret


# What counts


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_event_is_counted_and_logged_at_once_and_makes_its_bucket(server: Server, method: str) -> None:
    for visitor in ("v1", "v1", "v2"):
        answer = server.ask(method, EVENT, "ann", f"visitor_id={visitor}".encode())
        assert (answer.status, answer.json) == (200, {"visitor_id": visitor})
    assert happened(server) == {"signup": (3, 2)}
    assert (counted(server), counted(server, "event", "signup")) == (3, 3)
    assert server.ask("GET", "/ann/home", "ann").json["description"] == "home"
    assert server.store.journal(account_of(server))[0].who == "ann over HTTP"


def test_events_count_as_well_where_no_log_is_kept() -> None:
    server = Server()
    server.made("ann")
    assert server.ask("POST", EVENT, "ann", {"visitor_id": "v1"}).status == 200
    assert counted(server, "event", "signup") == 1


def test_events_of_the_first_seconds_of_a_new_bucket_are_counted_and_not_logged(server: Server) -> None:
    server.app = make_app(server.settings, server.whale, server.passwords)
    for wait_s in (0, 5):
        server.now += wait_s
        assert server.ask("POST", EVENT, "ann", {"visitor_id": "v1"}).status == 200
    assert happened(server) == {"signup": (1, 1)}
    assert counted(server, "event", "signup") == 2


def test_a_script_of_a_page_counts_an_event_by_a_key_in_the_address(server: Server) -> None:
    server.bucket("ann", "home")
    query = f"key={key_of(server, 'write')}&callback=app.done&request_id=7&visitor_id=v1"
    assert server.ask("GET", f"{EVENT}/jsonp/", query=query).status == 200
    answer = server.ask("GET", f"{EVENT}/jsonp", query=query)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    found = re.fullmatch(r"/\*\*/app\.done\((.*)\);", answer.text)
    assert found
    assert json.loads(found[1]) == {"visitor_id": "v1", "request_id": "7"}
    assert happened(server) == {"signup": (2, 1)}


def test_names_may_have_slashes_and_letters_of_any_language_and_a_slash_at_the_end_means_nothing(
    server: Server,
) -> None:
    for path in ("/checkout/paid", "/checkout/paid/", "/größe"):
        assert server.ask("POST", f"/ann/home/event{path}", "ann", {"visitor_id": "v"}).status == 200
    assert happened(server) == {"checkout/paid": (2, 1), "größe": (1, 1)}


# Who the visitor is


def test_a_page_of_the_same_site_gets_a_cookie_and_is_known_by_it(server: Server) -> None:
    first = server.ask("POST", EVENT, "ann", {}, **PAGE)
    visitor = first.json["visitor_id"]
    assert re.fullmatch(r"[0-9a-f]{32}", visitor)
    assert first.headers["Set-Cookie"] == f"v={visitor}; Max-Age=31536000; Path=/ann/home; HttpOnly; SameSite=Lax"
    again = server.ask("POST", EVENT, "ann", {}, HTTP_COOKIE=f"a=b; {cookie_in(first)}", **PAGE)
    assert (again.json, again.headers.get("Set-Cookie")) == ({"visitor_id": visitor}, None)
    assert happened(server) == {"signup": (2, 1)}


def test_over_https_the_cookie_is_secure(server: Server) -> None:
    answer = server.ask("POST", EVENT, "ann", {}, **PAGE, **{"wsgi.url_scheme": "https"})
    assert answer.headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Lax; Secure")


def test_another_id_takes_the_place_of_the_cookie_and_the_same_one_does_not(server: Server) -> None:
    first = server.ask("POST", EVENT, "ann", {}, **PAGE)
    known = {"HTTP_COOKIE": cookie_in(first), **PAGE}
    same = server.ask("POST", EVENT, "ann", {"visitor_id": first.json["visitor_id"]}, **known)
    assert same.headers.get("Set-Cookie") is None
    other = server.ask("POST", EVENT, "ann", {"visitor_id": "é; x"}, **known)
    assert (other.json, cookie_in(other)) == ({"visitor_id": "é; x"}, "v=%C3%A9%3B%20x")
    assert server.ask("POST", EVENT, "ann", {}, HTTP_COOKIE=cookie_in(other)).json == {"visitor_id": "é; x"}


@pytest.mark.parametrize(
    "page",
    [
        OTHER_PAGE,
        {"HTTP_REFERER": "http://shop.example/cart", "HTTP_HOST": "localhost:8086"},
        {"HTTP_ORIGIN": "null", "HTTP_HOST": "localhost:8086"},
        {"HTTP_REFERER": "http://[/"},
    ],
)
def test_where_no_cookie_comes_back_nobody_is_invented(server: Server, page: dict[str, str]) -> None:
    server.bucket("ann", "home")
    query = f"key={key_of(server, 'write')}"
    for _ in range(3):
        answer = server.ask("GET", f"{EVENT}/jsonp", query=query, **page)
        assert (answer.status, answer.json) == (200, {"visitor_id": None})
        assert "Set-Cookie" not in answer.headers
    assert (counted(server, "event", "signup"), happened(server)) == (3, {})


def test_a_site_may_want_a_cookie_of_pages_of_other_sites_over_https(server: Server) -> None:
    server.store.add_entry(Site(account_of(server), "home", cross_site_cookie=True), ACT)
    query, https = f"key={key_of(server, 'write')}", {"wsgi.url_scheme": "https", **OTHER_PAGE}
    first = server.ask("GET", f"{EVENT}/jsonp", query=query, **https)
    visitor = first.json["visitor_id"]
    path = "Path=/ann/home; HttpOnly; SameSite=None; Secure; Partitioned"
    assert first.headers["Set-Cookie"] == f"v={visitor}; Max-Age=31536000; {path}"
    again = server.ask("GET", f"{EVENT}/jsonp", query=query, HTTP_COOKIE=cookie_in(first), **https)
    assert (again.json, again.headers.get("Set-Cookie")) == ({"visitor_id": visitor}, None)
    assert server.ask("GET", f"{EVENT}/jsonp", query=query, **OTHER_PAGE).json == {"visitor_id": None}


@pytest.mark.parametrize("cookie", ["v=", "v=%ff", "v=%00", "v=" + "x" * 10_000, "w=1", ";;="])
def test_a_cookie_that_names_nobody_is_none(server: Server, cookie: str) -> None:
    answer = server.ask("POST", EVENT, "ann", {}, HTTP_COOKIE=cookie, **PAGE)
    assert re.fullmatch(r"[0-9a-f]{32}", answer.json["visitor_id"])


def test_a_program_that_posts_names_the_visitor(server: Server) -> None:
    answer = server.ask("POST", EVENT, "ann", {})
    assert (answer.status, answer.json["field"]) == (400, "visitor_id")
    assert server.ask("GET", "/ann/home", "ann").status == 404
    assert re.fullmatch(r"[0-9a-f]{32}", server.ask("GET", f"{EVENT}/jsonp", "ann").json["visitor_id"])


# Who may


def test_an_event_counts_for_the_account_of_its_address_alone(server: Server) -> None:
    sent = {"visitor_id": "v"}
    assert server.ask("POST", EVENT, "", sent).status == 401
    assert server.ask("POST", EVENT, "ben", sent).status == 401
    assert server.ask("POST", EVENT, "ann", sent, password="wrong horse").status == 401
    assert server.ask("POST", "/nobody/home/event/signup", "", sent).status == 404
    assert server.ask("POST", "/nobody/home/event/signup", "ann", sent).status == 401
    assert server.ask("GET", "/ann", "ann").json == {"buckets": {}}


def test_a_key_that_writes_counts_and_one_that_reads_does_not(server: Server) -> None:
    server.bucket("ann", "home")
    of = {scope: key_of(server, scope, "home") for scope in ("write", "read", "admin")}
    found = {
        scope: server.ask("POST", EVENT, "", {"visitor_id": "v"}, HTTP_AUTHORIZATION=f"Bearer {secret}").status
        for scope, secret in of.items()
    }
    assert found == {"write": 200, "read": 401, "admin": 200}
    elsewhere = server.ask(
        "POST", "/ann/x/event/a", "", {"visitor_id": "v"}, HTTP_AUTHORIZATION=f"Bearer {of['write']}"
    )
    assert elsewhere.status == 401


def test_a_page_that_the_site_lists_counts_by_a_browser_key_and_others_do_not(server: Server) -> None:
    site = Site(account_of(server), "home", open=True, origins=("https://shop.example",))
    server.store.add_entry(site, ACT)
    query = f"key={key_of(server, 'browser', 'home')}"

    def asked(**environ: str) -> Answer:
        return server.ask("POST", EVENT, "", {"visitor_id": "v"}, query, **environ)

    answer = asked(HTTP_ORIGIN="https://shop.example")
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, "https://shop.example")
    assert (asked(HTTP_ORIGIN="https://evil.example").status, asked().status) == (403, 403)
    assert server.ask("GET", "/ann/home", query=query, HTTP_ORIGIN="https://shop.example").status == 401


def test_no_page_of_another_site_makes_a_bucket() -> None:
    server = Server()
    evil = {"HTTP_ORIGIN": "https://evil.example", **OTHER_PAGE}
    for environ, buckets in ((evil, []), ({}, ["home"])):
        assert server.ask("POST", "/default/home/event/a", "", {"visitor_id": "v"}, **environ).status == 200
        assert [*server.ask("GET", "/default").json["buckets"]] == buckets
    assert server.whale.total("home", dimension=[["event", "a"]], period="today") == 2


def test_an_event_makes_no_more_buckets_than_may_be(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whale.library.buckets.MOST_MADE", 2)
    made = [server.ask("POST", f"/ann/b{i}/event/a", "ann", {"visitor_id": "v"}).status for i in range(3)]
    assert made == [200, 200, 403]
    assert server.ask("POST", "/ann/b0/event/a", "ann", {"visitor_id": "v"}).status == 200


def test_with_keys_of_the_settings_the_write_key_counts_for_default() -> None:
    server = Server(**KEYS)
    for key, status in (("w" * 16, 200), ("r" * 16, 401), ("a" * 16, 200)):
        basic = base64.b64encode(f"x:{key}".encode()).decode()
        sent = {"visitor_id": "v"}
        answer = server.ask("POST", "/default/home/event/a", "", sent, HTTP_AUTHORIZATION=f"Basic {basic}")
        assert answer.status == status
        assert server.ask("POST", "/ann/home/event/a", "", sent, HTTP_AUTHORIZATION=f"Basic {basic}").status == 404


# Bad input


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (EVENT, {"visitor_id": "x" * 10_000}, "visitor_id"),
        (EVENT, b"visitor_id=" + b"x" * 10_000, "visitor_id"),
        (EVENT, {"visitor_id": 1}, "visitor_id"),
        (EVENT, {"visitor_id": None}, "visitor_id"),
        (EVENT, {"visitor": "v"}, "visitor"),
        (EVENT, b"visitor_id=v&visitor_id=w", "visitor_id"),
        (EVENT, {"visitor_id": "v", "callback": "alert(1)//"}, "callback"),
        (EVENT, {"visitor_id": "v", "request_id": "x" * 201}, "request_id"),
        ("/ann/home/event/" + "x" * 201, {"visitor_id": "v"}, "event"),
        ("/ann/_%20/event/a b".replace("%20", " "), {"visitor_id": "v"}, "bucket"),
        ("/ann/" + "b" * 65 + "/event/a", {"visitor_id": "v"}, "bucket"),
    ],
)
def test_what_is_refused_names_its_field_and_makes_nothing(server: Server, path: str, body: Any, field: str) -> None:
    answer = server.ask("POST", path, "ann", body)
    assert (answer.status, answer.json["field"]) == (400, field)
    assert "alert" not in answer.text
    assert server.ask("GET", "/ann", "ann").json == {"buckets": {}}


def test_odd_ids_of_visitors_are_kept_apart(server: Server) -> None:
    odd = ["a\0b", "a", "\0", " ", "é", "日本", "a;b=c", '"']
    for visitor in odd:
        assert server.ask("POST", EVENT, "ann", {"visitor_id": visitor}).json == {"visitor_id": visitor}
    assert happened(server) == {"signup": (len(odd), len(odd))}


def test_head_and_options_count_nothing(server: Server) -> None:
    server.bucket("ann", "home")
    query = f"key={key_of(server, 'write')}&visitor_id=v"
    for method in ("HEAD", "OPTIONS"):
        assert server.ask(method, f"{EVENT}/jsonp", query=query).status < 300
    assert happened(server) == {}


def test_a_million_bytes_are_refused(server: Server) -> None:
    answer = server.ask("POST", EVENT, "ann", b"visitor_id=" + b"x" * 1_000_000)
    assert (answer.status, answer.json["field"]) == (413, "body")


# Batches


def message_of(*parts: Any) -> str:
    return base64.b64encode(json.dumps(parts).encode()).decode()


def batch(server: Server, message: str, **fields: str) -> Answer:
    return server.ask("GET", "/ann/home/batch", "ann", query=urlencode({"message": message, **fields}))


def test_a_batch_counts_its_events_in_their_order(server: Server) -> None:
    answer = batch(server, message_of(["a", "b", "b", "ü/ö"], []), visitor_id="v1")
    assert (answer.status, answer.json) == (200, {"visitor_id": "v1"})
    assert happened(server) == {"b": (2, 1), "a": (1, 1), "ü/ö": (1, 1)}
    rows = server.whale.of(account_of(server)).visitor("home", "v1")["events"]
    assert [row["event"] for row in reversed(rows)] == ["a", "b", "b", "ü/ö"]


def test_a_batch_of_nobody_gives_a_cookie_that_knows_them(server: Server) -> None:
    first = batch(server, message_of(["a"], []))
    assert cookie_in(first) == f"v={first.json['visitor_id']}"
    query = urlencode({"message": message_of(["a"], [])})
    again = server.ask("GET", "/ann/home/batch/", "ann", query=query, HTTP_COOKIE=cookie_in(first))
    assert again.json == first.json
    assert happened(server) == {"a": (2, 1)}


def test_base64_may_be_that_of_addresses_and_lack_its_end(server: Server) -> None:
    text = base64.urlsafe_b64encode(json.dumps([["~~~???"], []]).encode()).decode()
    for message in (text, text.rstrip("="), text.replace("-", "+").replace("_", "/")):
        assert batch(server, message, visitor_id="v").status == 200
    plain = message_of(["~~~>>>"], [])
    assert "+" in plain
    assert server.ask("GET", "/ann/home/batch", "ann", query=f"message={plain}&visitor_id=v").status == 200
    assert happened(server) == {"~~~???": (3, 1), "~~~>>>": (1, 1)}


@pytest.mark.parametrize(
    "message",
    [
        "",
        "!",
        "A",
        "é",
        "bm90IGpzb24=",
        "//8=",
        message_of(),
        message_of([]),
        message_of([], []),
        message_of(["a"], [], []),
        message_of("a", []),
        message_of(["a"], {}),
        message_of([1], []),
        message_of([None], []),
        message_of([["a"]], []),
        message_of([""], []),
        message_of(["x" * 201], []),
        message_of(["a", "x" * 201], []),
        message_of(["a"], ["ab"]),
        message_of(["a"], [["p"]]),
        message_of(["a"], [[1, 2]]),
        message_of(["a"] * 501, []),
        base64.b64encode(b"[" * 100_000).decode(),
        base64.b64encode(b'{"a": 1}').decode(),
        base64.b64encode(b"null").decode(),
        base64.b64encode(b'[["\\ud800"], []]').decode(),
    ],
)
def test_a_message_that_is_none_is_refused_and_makes_nothing(server: Server, message: str) -> None:
    answer = batch(server, message, visitor_id="v")
    assert (answer.status, answer.json["field"].partition("[")[0]) == (400, "message")
    assert len(answer.text) < 1000
    assert server.ask("GET", "/ann", "ann").json == {"buckets": {}}


# Properties


def values(server: Server, name: str, site: str = "home") -> list[tuple[Any, int]]:
    """Each value that visitors ever had, and how many did."""
    rows = server.whale.of(account_of(server)).properties(site, name, when="any")["rows"]
    return [(row["value"], row["visitors"]) for row in rows]


def in_base64(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize("value", ["pro", "", 0, -1.5, True, False, [], [1, [None]], {}, {"a": {"b": "é"}}])
def test_a_property_is_of_any_json_type_and_counts_no_hit(server: Server, value: Any) -> None:
    sent = {"visitor_id": "v1", "value": in_base64(value)}
    for method in ("POST", "PUT"):
        answer = server.ask(method, "/ann/home/property/plan", "ann", sent)
        assert (answer.status, answer.json) == (200, {"visitor_id": "v1"})
    assert values(server, "plan") == [(value, 1)]
    assert (counted(server), happened(server)) == (0, {})


def test_a_later_value_does_not_replace_an_earlier_one(server: Server) -> None:
    for value in ("free", "pro"):
        assert server.ask("PUT", f"/ann/home/property/plan/{value}", "ann", {"visitor_id": "v1"}).status == 200
    assert batch(server, message_of([], [["plan", "a"], ["plan", "b"]]), visitor_id="v2").status == 200
    assert values(server, "plan") == [("a", 1), ("b", 1), ("free", 1), ("pro", 1)]
    rows = server.whale.of(account_of(server)).properties("home", "plan")["rows"]
    assert rows == [{"value": "b", "visitors": 1}, {"value": "pro", "visitors": 1}]


def test_scripts_of_pages_set_properties_too(server: Server) -> None:
    server.bucket("ann", "home")
    query = f"key={key_of(server, 'write')}&callback=done&visitor_id=v1"
    value = urlencode({"value": in_base64([1])})
    for path, more in (("plan/a/b/jsonp", ""), ("plan/jsonp", f"&{value}"), ("plan/jsonp/", f"&{value}")):
        answer = server.ask("GET", f"/ann/home/property/{path}", query=query + more)
        assert (answer.status, answer.text) == (200, '/**/done({"visitor_id":"v1"});')
    assert values(server, "plan") == [("a/b", 1), ([1], 1)]


def test_a_bucket_lists_events_and_properties_with_ids_that_never_change(server: Server) -> None:
    message = message_of(["größe", "~~~???"], [["plan", 1], ["é", 2]])
    assert batch(server, message, visitor_id="v1").status == 200
    shown = server.ask("GET", "/ann/home", "ann").json
    assert shown["properties"] == {"cGxhbg": "plan", "w6k": "é"}
    assert shown["events"] == {"größe": {"id": "Z3LDtsOfZQ"}, "~~~???": {"id": "fn5-Pz8_"}}


def test_a_property_of_nobody_is_refused_and_dropped_beside_events(server: Server) -> None:
    server.bucket("ann", "home")
    sent = {"value": in_base64(1)}
    answer = server.ask("POST", "/ann/home/property/plan", "ann", sent)
    assert (answer.status, answer.json["field"]) == (400, "visitor_id")
    query = {"key": key_of(server, "write"), "message": message_of(["a"], [["plan", 1]])}
    answer = server.ask("GET", "/ann/home/batch", query=urlencode(query), **OTHER_PAGE)
    assert (answer.status, answer.json) == (200, {"visitor_id": None})
    query["message"] = message_of([], [["plan", 1]])
    assert server.ask("GET", "/ann/home/batch", query=urlencode(query), **OTHER_PAGE).status == 400
    assert counted(server, "event", "a") == 1
    assert server.ask("GET", "/ann/home", "ann").json["properties"] == {}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", 400),
        ("!", 400),
        ("bm90IGpzb24=", 400),
        (in_base64("x" * 2_000), 400),
        (in_base64("x" * 700_000), 400),
        (in_base64("x" * 1_000_000), 413),
        (base64.b64encode(b"[" * 100_000).decode(), 400),
        (base64.b64encode(b"NaN").decode(), 400),
        (base64.b64encode(b'"\\ud800"').decode(), 400),
    ],
)
def test_a_value_that_is_none_is_refused_and_makes_nothing(server: Server, value: str, code: int) -> None:
    answer = server.ask("POST", "/ann/home/property/plan", "ann", {"visitor_id": "v", "value": value})
    assert answer.status == code
    assert len(answer.text) < 1000
    long = server.ask("PUT", f"/ann/home/property/{'n' * 201}/x", "ann", {"visitor_id": "v"})
    assert (long.status, long.json["code"]) == (400, "name_too_long")
    assert server.ask("GET", "/ann", "ann").json == {"buckets": {}}


@pytest.mark.parametrize(
    ("bucket", "path"),
    [("日本", "%E6%97%A5%E6%9C%AC"), ("my shop", "my%20shop"), ("a;Domain=b", "a%3BDomain=b"), ("o'r(1)", "o'r(1)")],
)
def test_a_cookie_comes_back_to_a_bucket_of_any_name(server: Server, bucket: str, path: str) -> None:
    server.store.add_entry(Site(account_of(server), bucket), ACT)
    answer = server.ask("GET", f"/ann/{bucket}/event/signup/jsonp", "ann", **PAGE)
    assert answer.status == 200
    assert answer.headers["Set-Cookie"].partition("; HttpOnly")[0].partition("; Path=")[2] == f"/ann/{path}"

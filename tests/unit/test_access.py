"""Who may: the settings that say whom a service believes, the table of rights on both services, strangers and foreign pages."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bottle
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import hail.web
import whale.live.web
import whale.web
from hail import access
from hail.access import RIGHTS, Pages, Right
from hail.message import ACCOUNT
from hail.pixel import token_of
from hail.publish import Publisher
from hail.settings import Settings, SettingsError, load
from tests.laws import law
from tests.wsgi import Answer, address_of, call, serving
from whale.cli import main
from whale.client import Whale
from whale.commands.doctor import settings_findings
from whale.commands.finding import WRONG
from whale.errors import Unavailable
from whale.live.relay import Relay
from whale.live.viewers import Viewers
from whale.store.memory import MemoryStore

KEYS = {"write_key": "w", "read_key": "r", "admin_key": "a"}
COUNTS = {"pk": "shop", "options": "['a', 'b']", "decision": "x", "option": "a", "decision_id": "none"}
EVIL = "http://evil.example"
OPEN = 200  # an image or a script, whatever happens


class Services:
    """Hail on a spool, Whale and live on a store in memory."""

    def __init__(self, folder: Path, **settings: Any):
        self.settings = load({"HAILWHALE_DATA_DIR": str(folder)}).replace(**{"pixel_key": "p" * 32, **settings})
        self.publisher = Publisher(self.settings)
        self.store = MemoryStore(self.settings)
        self.whale = Whale(self.store, self.settings)
        self.hail_app = hail.web.make_app(self.settings, self.publisher)
        self.whale_app = whale.web.make_app(self.settings, self.whale)
        self.live_app = live_of(self.settings, self.store)
        assert self.hail_app._flushing.acquire(blocking=False)  # one hailwail runs: /flush_hail starts no other

    @property
    def apps(self) -> dict[str, bottle.Bottle]:
        return {"hail": self.hail_app, "whale": self.whale_app, "live": self.live_app}

    def routes(self) -> list[tuple[bottle.Bottle, str, str]]:
        """Application, method and rule of each route; those that answer nothing (HEAD, OPTIONS) too."""
        return [(app, route.method, route.rule) for app in self.apps.values() for route in app.routes]

    def ask(self, app: bottle.Bottle, method: str, rule: str, query: str | None = None, **environ: str) -> Answer:
        path = address_of(rule)
        given = {"CONTENT_TYPE": "application/json", **environ}
        pk = {} if rule.startswith("/<user:account>") else {"pk": "shop"}
        return call(app, method, path, pk if query is None else None, b"", query, **given)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    found = Services(tmp_path)
    found.whale.count_now("shop")
    yield found
    found.publisher.close()


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Services]:
    found = Services(tmp_path / "locked", **KEYS)
    yield found
    found.publisher.close()


def with_settings(services: Services, **settings: Any) -> Services:
    """The same with other settings, on the same store and spool."""
    changed = object.__new__(Services)
    changed.settings = services.settings.replace(**settings)
    changed.publisher, changed.store, changed.whale = services.publisher, services.store, services.whale
    changed.hail_app = hail.web.make_app(changed.settings, changed.publisher)
    changed.whale_app = whale.web.make_app(changed.settings, changed.whale)
    changed.live_app = live_of(changed.settings, changed.store)
    return changed


def live_of(settings: Settings, store: MemoryStore) -> bottle.Bottle:
    """Whose streams end as soon as they have begun."""
    settings = settings.replace(live_stream_s=0.0)
    viewers = Viewers(settings, lambda: "run")
    relay = Relay(settings, viewers, lambda: store)
    relay._store, relay._hears, relay._looks, relay._heard = store, True, True, frozenset((ACCOUNT,))
    return whale.live.web.make_app(settings, viewers, relay)


# Settings


def test_trusted_proxies_are_networks() -> None:
    assert load({}).trusted_proxies == ()
    given = load({"HAILWHALE_TRUSTED_PROXIES": "10.0.0.0/8, 192.168.1.7  ::1/128,"}).trusted_proxies
    assert given == tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "192.168.1.7/32", "::1/128")))


def test_allowed_origins_are_as_a_browser_writes_them() -> None:
    assert load({}).allowed_origins == ()
    assert load({"HAILWHALE_ALLOWED_ORIGINS": "*"}).allowed_origins == ("*",)
    text = "https://Shop.Example, http://localhost:3000 http://[::1]:80"
    expected = ("https://shop.example", "http://localhost:3000", "http://[::1]")
    assert load({"HAILWHALE_ALLOWED_ORIGINS": text}).allowed_origins == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TRUSTED_PROXIES", "nginx"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "*"),
        ("ALLOWED_ORIGINS", "shop.example"),
        ("ALLOWED_ORIGINS", "https://shop.example/"),
        ("ALLOWED_ORIGINS", "https://shop.example/page"),
        ("ALLOWED_ORIGINS", "https://*.shop.example"),
        ("ALLOWED_ORIGINS", "https://me@shop.example"),
        ("ALLOWED_ORIGINS", "https://shop.example:0x50"),
        ("ALLOWED_ORIGINS", "https://shop.example:99999"),
        ("ALLOWED_ORIGINS", "null"),
        ("ALLOWED_ORIGINS", "* https://shop.example"),
    ],
)
def test_a_list_that_cannot_be_used_stops_the_start(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"HAILWHALE_{name}: expected"):
        load({f"HAILWHALE_{name}": text})


# The table


def row_of(method: str, rule: str) -> Right:
    """HEAD and OPTIONS answer nothing of their own: they stand under the rule."""
    return access.right_of(rule, method, "GET", "POST", "PUT", "DELETE")


def test_each_route_of_both_services_has_a_row_and_each_row_a_route(services: Services) -> None:
    routes = {(rule, method) for _, method, rule in services.routes() if method not in ("HEAD", "OPTIONS")}
    assert routes == {(right.rule, method) for right in RIGHTS for method in right.methods}
    assert {rule for _, _, rule in services.routes()} == {right.rule for right in RIGHTS}
    assert len(RIGHTS) == len({(right.rule, right.methods) for right in RIGHTS})


def test_a_route_without_a_row_stops_the_start() -> None:
    with pytest.raises(LookupError, match="/secrets by GET has no row in the table of rights"):
        access.right_of("/secrets", "GET")


def is_refused(answer: Answer, status: int, code: str) -> bool:
    """By its status; an image and a script by their header."""
    if said := answer.headers.get("X-Hail"):
        is_open = not answer.headers["Content-Type"].endswith("json")
        return answer.status == (OPEN if is_open else status) and said == f"dropped; reason={code}"
    if answer.headers["Content-Type"].startswith("text/html"):
        return False
    return answer.status == status and (not answer.body or answer.json["code"] == code)


def test_each_route_opens_to_its_key_and_the_admin_key_alone(locked: Services) -> None:
    for app, method, rule in locked.routes():
        if method in ("HEAD", "OPTIONS"):
            continue  # they do nothing
        right = row_of(method, rule)
        for name, key in {**KEYS, "none": "", "wrong": "x"}.items():
            header = {"HTTP_AUTHORIZATION": f"Bearer {key}"} if key else {}
            opens = right.key is None or (right.key != access.INTERNAL and name in (f"{right.key}_key", "admin_key"))
            answer = locked.ask(app, method, rule, **header)
            assert is_refused(answer, 401, "unauthorized") != opens, (method, rule, name, answer)


def test_what_a_sealed_pixel_may_count_needs_no_key(locked: Services) -> None:
    query = f"pixel={token_of({'pk': 'shop'}, locked.settings, 'default')}"
    for app, method, rule in locked.routes():
        if method == "GET":
            answer = locked.ask(app, method, rule, query=query)
            right = row_of(method, rule)
            assert is_refused(answer, 401, "unauthorized") == bool(right.key and not right.sealed), (rule, answer)


def test_heads_and_preflights_need_no_key_and_do_nothing(locked: Services) -> None:
    routes = [
        (app, "HEAD", rule) for app, method, rule in locked.routes() if row_of(method, rule).pages == Pages.CHANGE
    ]
    routes += [(app, method, rule) for app, method, rule in locked.routes() if method in ("HEAD", "OPTIONS")]
    for app, method, rule in routes:
        answer = locked.ask(app, method, rule)
        assert answer.status in (200, 204, 401, 405), (method, rule)
        assert answer.body == b"" or method == "HEAD", (method, rule)
    assert locked.store.pks("default") == []
    assert locked.store.definitions("default") == {}
    assert locked.publisher.status()["spool"] == "ok"


# Strangers

FOREIGN_HOSTS = [
    "",
    "evil.example",
    "evil.example:8085",
    "10.0.0.7:8085",
    "0.0.0.0:8085",
    "[::]:8085",
    "[2001:db8::1]",
    "localhost.evil.example",
    "localhost@evil.example",
    "evil.example@localhost",
    "localhost,evil.example",
    "localhost/evil.example",
    "localhost#",
    "localhost:8085:8085",
    "localhost:evil",
    "localhost..",
    "notlocalhost",
    ".localhost",
    "127.0.0.1.evil.example",
    "127.0.0.1.nip.io",
    "128.0.0.1",
    "2130706433",
    "0x7f.1",
    "127.0.0.01",
    "[::1",
    "::1",
    "[127.0.0.1]",
    "[fe80::1%lo]",
    "l\xf6calhost",
    "\uff11\uff12\uff17.0.0.1",
    "localhost\n",
    " localhost",
]
OWN_HOSTS = [
    "localhost",
    "LOCALHOST:8085",
    "localhost:",
    "localhost.",
    "localhost.:8085",
    "foo.localhost",
    "a.b.localhost:80",
    "127.0.0.1",
    "127.1.2.3:9000",
    "[::1]",
    "[::1]:8085",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]:8085",
]
PROXIED = [
    {"HTTP_FORWARDED": "for=192.0.2.60"},
    {"HTTP_X_FORWARDED_FOR": "192.0.2.60"},
    {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
    {"HTTP_X_FORWARDED_FOR": ""},
    {"HTTP_X_FORWARDED_HOST": "count.example.org"},
    {"HTTP_X_FORWARDED_PROTO": "https"},
    {"HTTP_X_FORWARDED_CLIENT_CERT": "x"},
    {"HTTP_VIA": "1.1 squid"},
    {"HTTP_X_REAL_IP": "192.0.2.60"},
    {"HTTP_CF_CONNECTING_IP": "192.0.2.60"},
    {"HTTP_X_ORIGINAL_FORWARDED_FOR": "192.0.2.60"},
    {"HTTP_X_ENVOY_EXTERNAL_ADDRESS": "192.0.2.60"},
    {"HTTP_X_CLUSTER_CLIENT_IP": "192.0.2.60"},
    {"HTTP_FASTLY_CLIENT_IP": "192.0.2.60"},
    {"HTTP_CLIENT_IP": "192.0.2.60"},
    {"HTTP_X_AZURE_CLIENTIP": "192.0.2.60"},
    {"HTTP_CDN_LOOP": "cloudflare"},
    {"HTTP_X_AMZN_TRACE_ID": "Root=1-67891233-abcdef012345678912345678"},
]
STRANGERS = [
    {"HTTP_HOST": "evil.example"},
    {"HTTP_X_FORWARDED_FOR": "192.0.2.60"},
    {"REMOTE_ADDR": "192.0.2.60"},
]


def everything(services: Services) -> dict[str, Any]:
    """What a stranger might change."""
    names = services.store.pks("default")
    totals = [services.whale.totals(pk, periods=["today"]) for pk in names]
    return {"pks": names, "totals": totals, "definitions": services.store.definitions("default")}


@pytest.mark.parametrize("environ", STRANGERS, ids=lambda environ: next(iter(environ)))
def test_without_keys_a_stranger_is_refused_at_each_route(services: Services, environ: dict[str, str]) -> None:
    before = everything(services)
    for app, method, rule in services.routes():
        answer = services.ask(app, method, rule, **environ)
        if row_of(method, rule).probe:
            assert answer.status == 200
            continue
        assert is_refused(answer, 403, "keyless"), (method, rule, answer)
        if not answer.headers.get("X-Hail"):
            assert "set HAILWHALE_WRITE_KEY, HAILWHALE_READ_KEY and HAILWHALE_ADMIN_KEY" in answer.json["detail"]
    for app in services.apps.values():
        for method, path in (("GET", "/nowhere"), ("PUT", "/pks"), ("DELETE", "/healthz/"), ("GET", "//healthz")):
            assert call(app, method, path, **environ).status == 403
    assert everything(services) == before


def test_an_image_and_a_script_tell_a_stranger_in_their_own_way(services: Services) -> None:
    image = call(services.hail_app, "GET", "/count.gif", {"pk": "a"}, HTTP_HOST="evil.example")
    assert (image.status, image.headers["Content-Type"]) == (200, "image/gif")
    script = call(services.hail_app, "GET", "/count.js", {"pk": "a", "callback": "f"}, HTTP_HOST="evil.example")
    assert (script.status, script.text) == (200, '/**/f("dropped; reason=keyless");')
    bad = call(services.hail_app, "GET", "/count.js", {"pk": "a", "callback": "1;"}, HTTP_HOST="evil.example")
    assert bad.text == "/* dropped; reason=bad_callback */"


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_host_that_is_not_this_machine_is_a_stranger(services: Services, host: str) -> None:
    for app, path in ((services.hail_app, "/count"), (services.whale_app, "/pks")):
        for _ in range(2):  # and nothing of it is remembered
            assert call(app, "GET", path, {"pk": "a"}, HTTP_HOST=host).status == 403


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_all_names_of_this_machine_are_answered(services: Services, host: str) -> None:
    for _ in range(2):
        assert call(services.hail_app, "GET", "/count", {"pk": "a"}, HTTP_HOST=host).status == 200
        assert call(services.whale_app, "GET", "/pks", HTTP_HOST=host).status == 200


def test_the_name_that_is_listened_on_is_answered(tmp_path: Path) -> None:
    found = access.Access(load({}), "count.internal:8085")
    assert not found.stranger({"HTTP_HOST": "Count.Internal:9000"})
    assert found.stranger({"HTTP_HOST": "other.internal:8085"})
    for wildcard in ("0.0.0.0", "[::]"):
        assert access.Access(load({}), f"{wildcard}:8085").stranger({"HTTP_HOST": f"{wildcard}:8085"})


WORDS = st.text(alphabet="localhst.127:[]@/0\xe9,%- ", max_size=20)


@given(WORDS, WORDS, WORDS, st.sampled_from(RIGHTS))
@law(300)
def test_no_header_breaks_the_door(host: str, origin: str, target: str, right: Right) -> None:
    environ = {"HTTP_HOST": host, "HTTP_ORIGIN": origin, "RAW_URI": target, "REMOTE_ADDR": host}
    for settings in (load({}), load({"HAILWHALE_ALLOWED_ORIGINS": "http://a"}).replace(**KEYS)):
        found = access.Access(settings, "127.0.0.1:8085")
        assert isinstance(found.stranger(environ), str)
        assert isinstance(found.foreign_page(right, environ), str)
        assert set(found.readers(right, environ)) <= {"Vary", "Access-Control-Allow-Origin"}


def test_the_host_of_a_whole_address_counts_too(services: Services) -> None:
    for target, status in (("http://evil.example/pks", 403), ("http://localhost:8086/pks", 200), ("/pks", 200)):
        assert call(services.whale_app, "GET", "/pks", RAW_URI=target).status == status
        assert call(services.whale_app, "GET", "/pks", REQUEST_URI=target).status == status


@pytest.mark.parametrize("environ", PROXIED, ids=str)
def test_what_came_through_a_proxy_is_a_strangers(services: Services, environ: dict[str, str]) -> None:
    peer = {"REMOTE_ADDR": "127.0.0.1"}
    answer = call(services.whale_app, "GET", "/pks", **environ, **peer)
    assert (answer.status, answer.json["code"]) == (403, "keyless")
    assert "came through a proxy" in answer.json["detail"]
    assert call(services.hail_app, "GET", "/count", {"pk": "a"}, **environ, **peer).status == 403
    trusting = with_settings(services, trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),))
    assert call(trusting.whale_app, "GET", "/pks", **environ, **peer).status == 200
    assert call(trusting.whale_app, "GET", "/pks", **environ, REMOTE_ADDR="::ffff:127.0.0.1").status == 200
    assert call(trusting.whale_app, "GET", "/pks", **environ, REMOTE_ADDR="192.0.2.60").status == 403
    assert call(trusting.whale_app, "GET", "/pks", **environ, REMOTE_ADDR="").status == 403
    assert call(trusting.whale_app, "GET", "/pks", HTTP_HOST="evil.example", **environ, **peer).status == 403


def test_another_machine_is_a_stranger_whatever_host_it_names(services: Services) -> None:
    for peer, status in (("127.0.0.1", 200), ("::1", 200), ("", 200), ("10.0.0.7", 403), ("2001:db8::1", 403)):
        for _ in range(2):
            answer = call(services.whale_app, "GET", "/pks", REMOTE_ADDR=peer, HTTP_HOST="localhost")
            assert answer.status == status
    near = with_settings(services, trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),))
    assert call(near.whale_app, "GET", "/pks", REMOTE_ADDR="10.0.0.7", HTTP_HOST="localhost").status == 200


def test_with_a_key_strangers_are_answered(locked: Services) -> None:
    for environ in STRANGERS:
        assert call(locked.whale_app, "GET", "/pks", {"key": "r"}, **environ).status == 200
        assert call(locked.hail_app, "GET", "/count", {"pk": "a", "key": "w"}, **environ).status == 200


@pytest.mark.parametrize("path", ["//reset", "/reset/", "/./reset", "/reset;a", "/reset\x00", "/RESET", "reset", ""])
def test_another_writing_of_an_address_is_another_address(services: Services, path: str) -> None:
    assert call(services.whale_app, "POST", path, body=b'{"pk": "shop"}').status in (404, 405)
    assert services.store.pks("default") == ["shop"]


def test_while_the_store_is_away_strangers_are_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> bottle.Bottle:
        raise Unavailable("away")

    application = whale.web.Application()
    monkeypatch.setattr(application, "load", away)
    for environ in STRANGERS:
        assert call(application, "GET", "/pks", **environ).status == 403
        assert call(application, "GET", "/healthz", **environ).status == 200
    assert call(application, "GET", "/pks").status == 503


def test_doctor_warns_of_trusted_proxies_without_keys() -> None:
    trusting = load({"HAILWHALE_TRUSTED_PROXIES": "127.0.0.1"})
    assert [finding.state for finding in settings_findings(trusting)].count(WRONG) == 1
    assert WRONG not in [finding.state for finding in settings_findings(trusting.replace(**KEYS))]


# Pages of other sites

FOREIGN = [
    {"HTTP_ORIGIN": EVIL},
    {"HTTP_ORIGIN": "null"},
    {"HTTP_ORIGIN": "http://127.0.0.1:3000"},
    {"HTTP_ORIGIN": "http://localhost:8086"},
    {"HTTP_ORIGIN": "http://127.0.0.1:8086.evil.example"},
    {"HTTP_ORIGIN": ""},
    {"HTTP_ORIGIN": EVIL, "HTTP_SEC_FETCH_SITE": "same-origin"},
    {"HTTP_SEC_FETCH_SITE": "cross-site"},
    {"HTTP_SEC_FETCH_SITE": "same-site"},
    {"HTTP_SEC_FETCH_SITE": "something-new"},
]
OWN = [
    {},
    {"HTTP_ORIGIN": "http://127.0.0.1:8086"},
    {"HTTP_ORIGIN": "HTTP://127.0.0.1:8086"},
    {"HTTP_SEC_FETCH_SITE": "same-origin"},
    {"HTTP_SEC_FETCH_SITE": "none"},
]


def origin_of(answer: Answer) -> str | None:
    return answer.headers.get("Access-Control-Allow-Origin")


@pytest.mark.parametrize("environ", FOREIGN, ids=str)
def test_without_keys_foreign_pages_count_and_nothing_else(services: Services, environ: dict[str, str]) -> None:
    for app, method, rule in services.routes():
        pages = row_of(method, rule).pages
        if method in ("HEAD", "OPTIONS"):
            continue
        answer = services.ask(app, method, rule, **environ)
        refused = is_refused(answer, 403, "foreign_origin")
        assert refused == (pages in (Pages.CHANGE, Pages.WHALE, Pages.OWN)), (method, rule, answer)
        assert origin_of(answer) == ("*" if pages is Pages.ANY else None), (method, rule)
        assert ("Origin" in answer.headers.get("Vary", "")) == (pages in (Pages.READ, Pages.CHANGE)), (method, rule)
    assert services.store.definitions("default") == {}


@pytest.mark.parametrize("environ", OWN, ids=str)
def test_programs_and_own_pages_do_all(services: Services, environ: dict[str, str]) -> None:
    for app, method, rule in services.routes():
        if method in ("HEAD", "OPTIONS") or row_of(method, rule).key == access.INTERNAL:
            continue
        answer = services.ask(app, method, rule, **environ)
        pages = row_of(method, rule).pages
        if pages is Pages.OWN:  # a browser says of each form which page it is on
            said = environ.get("HTTP_ORIGIN") or environ.get("HTTP_SEC_FETCH_SITE") == "same-origin"
            assert is_refused(answer, 403, "foreign_origin") != bool(said), (method, rule)
            continue
        assert answer.status not in (401, 403), (method, rule)
        own = environ.get("HTTP_ORIGIN") if pages in (Pages.READ, Pages.CHANGE, Pages.WHALE) else None
        assert origin_of(answer) == ("*" if pages is Pages.ANY else own), (method, rule)


def test_listed_origins_read_and_change(services: Services) -> None:
    listing = with_settings(services, allowed_origins=("https://shop.example",))
    for origin, status in (("https://shop.example", 200), ("https://evil.example", 403), ("http://shop.example", 403)):
        said = origin if status == 200 else None
        read = call(listing.whale_app, "GET", "/pks", HTTP_ORIGIN=origin)
        assert (read.status, origin_of(read), read.headers["Vary"]) == (200, said, "Origin")
        asked = call(listing.whale_app, "OPTIONS", "/pks", HTTP_ORIGIN=origin)
        assert (asked.status, origin_of(asked), asked.headers["Vary"]) == (204, said, "Origin")
        assert call(listing.whale_app, "GET", "/count_now", {"pk": "shop"}, HTTP_ORIGIN=origin).status == status
        refused = call(listing.whale_app, "GET", "/pks", {"pks": "1"}, HTTP_ORIGIN=origin)
        assert (refused.status, origin_of(refused)) == (400, said)
    for app, path in (
        (listing.whale_app, "/reset"),
        (listing.whale_app, "/update_count_to"),
        (listing.hail_app, "/flush_hail"),
    ):
        asked = call(app, "OPTIONS", path, HTTP_ORIGIN="https://shop.example")
        assert (origin_of(asked), "Authorization" in asked.headers["Access-Control-Allow-Headers"]) == (
            "https://shop.example",
            True,
        )
    assert call(listing.whale_app, "GET", "/count_now", {"pk": "shop"}, HTTP_SEC_FETCH_SITE="cross-site").status == 403
    every = with_settings(services, allowed_origins=("*",))
    answer = call(every.whale_app, "GET", "/count_now", {"pk": "shop"}, HTTP_ORIGIN=EVIL)
    assert (answer.status, origin_of(answer), answer.headers.get("Vary")) == (200, "*", None)


def test_a_remembered_answer_is_read_by_whom_it_is_now_asked_by(services: Services) -> None:
    listing = with_settings(services, allowed_origins=("https://a.example", "https://b.example"))
    for origin in ("https://a.example", "https://b.example", EVIL):
        answer = call(listing.whale_app, "GET", "/totals", {"pk": "shop", "cached": "1"}, HTTP_ORIGIN=origin)
        assert origin_of(answer) == (None if origin == EVIL else origin)
    tag = {"HTTP_IF_NONE_MATCH": answer.headers["Etag"]}
    again = call(listing.whale_app, "GET", "/totals", {"pk": "shop", "cached": "1"}, HTTP_ORIGIN=EVIL, **tag)
    assert (again.status, origin_of(again), again.headers["Vary"]) == (304, None, "Origin")


def test_where_keys_are_set_all_pages_may_that_know_the_key(locked: Services) -> None:
    for environ in ({"HTTP_ORIGIN": EVIL}, {"HTTP_SEC_FETCH_SITE": "cross-site"}):
        answer = call(locked.whale_app, "GET", "/pks", {"key": "r"}, **environ)
        assert (answer.status, origin_of(answer), answer.headers.get("Vary")) == (200, "*", None)
        assert call(locked.whale_app, "GET", "/count_now", {"pk": "a", "key": "w"}, **environ).status == 200
        bearer = {"HTTP_AUTHORIZATION": "Bearer a", **environ}
        assert call(locked.whale_app, "POST", "/reset", body=b'{"pk": "a"}', **bearer).status == 200


def test_a_password_that_browsers_send_by_themselves_is_no_consent(locked: Services) -> None:
    basic = {"HTTP_AUTHORIZATION": "Basic bWU6YQ=="}  # me:a
    for environ, status in (
        ({"HTTP_ORIGIN": EVIL}, 403),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, 403),
        ({"HTTP_ORIGIN": "http://127.0.0.1:8086"}, 200),
        ({}, 200),
    ):
        answer = call(locked.whale_app, "POST", "/reset", body=b'{"pk": "a"}', **basic, **environ)
        assert answer.status == status
    listing = with_settings(locked, allowed_origins=("https://shop.example",))
    shop = {"HTTP_ORIGIN": "https://shop.example", **basic}
    assert call(listing.whale_app, "POST", "/reset", body=b'{"pk": "a"}', **shop).status == 200


def test_where_keys_are_set_a_list_bounds_the_pages(locked: Services) -> None:
    listing = with_settings(locked, allowed_origins=("https://shop.example",))
    evil = {"HTTP_ORIGIN": EVIL, "HTTP_AUTHORIZATION": "Bearer a"}
    assert call(listing.whale_app, "POST", "/reset", body=b'{"pk": "a"}', **evil).status == 403
    assert origin_of(call(listing.whale_app, "GET", "/pks", **evil)) is None
    assert call(listing.hail_app, "GET", "/count", {"pk": "a"}, **evil).status == 200


def test_what_is_remembered_of_hosts_and_peers_is_bounded() -> None:
    found = access.Access(load({}), "127.0.0.1:8085")
    for number in range(3000):
        environ = {"HTTP_HOST": f"a{number}.localhost", "REMOTE_ADDR": f"127.0.{number // 200}.{number % 200}"}
        assert not found.stranger(environ)
    assert len(found._known_hosts) == len(found._known_peers) == access.MAX_KNOWN
    assert not found.stranger({"HTTP_HOST": "new.localhost", "REMOTE_ADDR": "127.9.9.9"})
    assert len(found.stranger({"HTTP_HOST": f"{'a' * 5000}.example"})) < 500


# As a stranger would


def through_a_proxy(app: Any) -> Any:
    """The application behind a proxy that says so."""
    return lambda environ, start_response: app({**environ, "HTTP_X_FORWARDED_FOR": "192.0.2.60"}, start_response)


def both(services: Services) -> Any:
    """Both services at one address, as nginx shows them."""

    def at(environ: Any, start_response: Any) -> Any:
        app = services.hail_app if environ["PATH_INFO"].startswith("/count") else services.whale_app
        return app(environ, start_response)

    return at


def doctor(*words: str) -> Result:
    return CliRunner().invoke(main, ["doctor", "--from", *words])


def test_doctor_says_what_anyone_can_read(services: Services) -> None:
    before = everything(services)
    with serving(both(services)) as url:
        done = doctor(f"{url}/")
    said = " ".join(done.output.split())
    assert done.exit_code == 1
    assert f"wrong {url}/pks: anyone can read 1 pks ('shop') and all other counts, and can reset them: set HAIL" in said
    assert f"wrong {url}/spy: anyone can read single hits" in said
    assert f"wrong {url}/count: anyone can count" in said
    assert f"note {url}/metrics: anyone can read it" in said
    assert "3 wrong" in said
    assert everything(services) == before


def test_doctor_is_content_where_a_key_is_asked_or_nobody_is_answered(services: Services, locked: Services) -> None:
    for app, words in ((both(locked), "asks for a key"), (through_a_proxy(both(services)), "no key is set")):
        with serving(app) as url:
            done = doctor(url)
        assert done.exit_code == 0, done.output
        assert done.output.count(words) == 3


def test_doctor_says_that_nothing_of_ours_is_there() -> None:
    def other(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"<html>"]

    with serving(other) as url:
        assert "this is not an address of HailWhale" in doctor(url).output
    gone = doctor(url)
    assert (gone.exit_code, "cannot be reached from here" in gone.output) == (1, True)


@pytest.mark.parametrize(
    "url", ["count.example.org", "file:///etc/passwd", "http://me:key@localhost", "http://x/?key=w", ""]
)
def test_doctor_asks_an_address_and_nothing_else(url: str) -> None:
    done = doctor(url)
    assert done.exit_code == 2
    assert "expected an address without a key" in done.output
    assert doctor("http://localhost", "--dead").exit_code == 2


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:99999", "http://127.0.0.1:x", "http://127.0.0.1:0"])
def test_an_address_that_cannot_be_read_is_one_sentence(url: str) -> None:
    answer = doctor(url)
    assert answer.exit_code == 2
    assert answer.output.splitlines() == [
        f"hailwhale: --from: expected an address without a key, such as https://count.example.org, got {url!r}"
    ]


A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, ""),
        ({"write_key": A, "read_key": B, "admin_key": C}, ""),
        ({"write_key": "w" * 16}, ""),
        (
            {"write_key": A, "read_key": A, "admin_key": B},
            "HAILWHALE_WRITE_KEY and HAILWHALE_READ_KEY are the same, so each gives the rights of the others: ",
        ),
        (
            {"read_key": B, "admin_key": "geheim"},
            "HAILWHALE_ADMIN_KEY has fewer than 16 characters and can be guessed: ",
        ),
        (
            {"write_key": "x", "read_key": "x", "admin_key": "x"},
            "HAILWHALE_WRITE_KEY and HAILWHALE_READ_KEY and HAILWHALE_ADMIN_KEY are the same, so each gives the rights of the "
            "others; HAILWHALE_WRITE_KEY and HAILWHALE_READ_KEY and HAILWHALE_ADMIN_KEY have fewer than 16 characters and can be "
            "guessed: ",
        ),
    ],
)
def test_keys_that_are_alike_or_short_are_told_without_showing_them(keys: dict[str, str], said: str) -> None:
    found = access.weak_keys(load({}).replace(**keys))
    assert found == (said + "make new ones with `openssl rand -hex 32`" if said else "")
